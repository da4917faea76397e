from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmworks.cli import watching
from swarmworks.cli.app import run
from tests.cli.fakes import FakeLauncher

PLAN = """\
format: 1
id: small
name: Small
description: One task
stack: {language: python, framework: fastapi}
tasks:
  - id: scaffold
    kind: scaffold
    title: The scaffold
    role: api
    owns: [app/]
    instructions: Write the application's skeleton with one endpoint that says it is alive.
    output: A package app with a factory.
    acceptance:
      - statement: the tests pass
        gate: tests
    gates: [scope, tests]
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Swarm = Callable[..., Ran]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Swarm:
    """`swarm(launcher, "run", "plan.yaml")` as a person would, and what became of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "CALM_S", 0.0)

    def call(launcher: FakeLauncher, *arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["swarm", *map(str, arguments)])
        code = run(launcher)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
