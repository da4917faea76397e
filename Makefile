# Two commands on a fresh machine: `make demo` and `make test`. Each does all its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ON_BOTH_STORES := $(patsubst %,tests/scenario/test_%.py,story chain people parking whole_run whole_run_budget)
TWO_AT_ONCE := -n 2 --dist loadfile --no-loadscope-reorder
# Commands start sooner, also where PYTHONDONTWRITEBYTECODE keeps Python from doing it once and for all.
COMPILED = $(BIN)/python -m compileall -q src
PIP_FLAGS := --disable-pip-version-check --no-input -qq

.PHONY: help setup setup-dev setup-bench system system-tests system-bench demo test test-agents check bench bench-smoke lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.runtime ## make .venv with .venv/bin/swarm
	@$(COMPILED)

setup-dev: .venv/.dev ## the same, with the tools the tests need
	@$(COMPILED)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Swarmworks needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv

.venv/.runtime: requirements/runtime.lock pyproject.toml | .venv/bin/python
	@echo "Installing what swarm needs ..."
	@$(BIN)/pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements/runtime.lock
	@$(BIN)/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.lock pyproject.toml | .venv/bin/python
	@echo "Installing what swarm and its tests need ..."
	@$(BIN)/pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements/dev.lock
	@$(BIN)/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.runtime

.venv-bench/.installed: requirements/bench.lock
	@echo "Installing the peers of the measurements ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements/bench.lock
	@touch $@

.venv-zuul/.installed: requirements/bench-zuul.lock
	@echo "Installing Zuul's merger ..."
	@$(PYTHON) -m venv .venv-zuul
	@.venv-zuul/bin/pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements/bench-zuul.lock && touch $@ \
	  || echo "Zuul's merger cannot be installed here (its lock is for Python 3.11 on Linux, x86-64): it will not be measured"

setup-bench: .venv-bench/.installed .venv-zuul/.installed

system: ## the Debian packages the sandbox needs (installed when run as root on Debian, otherwise named)
	@scripts/system-packages

system-tests: ## the same, with those of the tests and the measurements
	@scripts/system-packages tests

system-bench: system-tests
	@scripts/system-packages bench

demo: setup system ## twelve agents build a sample application with the rehearsal model
	@$(BIN)/swarm demo

check: setup-dev ## lint, types, floors of the house
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

test: setup-dev system-tests check ## every test, and whole stories again on PostgreSQL
	@$(BIN)/pytest $(TWO_AT_ONCE)
	@SWARM_TEST_STORE=postgres $(BIN)/pytest $(TWO_AT_ONCE) $(ON_BOTH_STORES)
	@$(BIN)/python -m tests.runtime.agents --missing

test-agents: setup-dev system-tests ## the programs of other vendors as agents: fetched at pinned versions, each through the conformance suite
	@$(BIN)/python -m tests.runtime.agents
	@$(BIN)/pytest tests/runtime

bench: setup-dev setup-bench system-bench ## the measurements, with their peers, in one run
	@$(BIN)/python -m bench

bench-smoke: setup-dev setup-bench system-bench ## every benchmark once, small, to see that it runs
	@$(BIN)/python -m bench --smoke

lock: ## re-resolve the locks (needs uv)
	@for set in runtime dev; do \
	  uv pip compile pyproject.toml --group $$([ $$set = dev ] && echo dev || echo build) --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header -q -o requirements/$$set.lock; done
	@uv pip compile --group pyproject.toml:bench --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements/bench.lock

clean: ## remove what setup and the demo made
	@rm -rf .venv .venv-bench .venv-zuul .agents demo
