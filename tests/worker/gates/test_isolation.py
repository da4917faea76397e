"""Gates and environments in the real sandbox: what only isolation can promise."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from swarmworks.domain.gate import GateOutcome
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.worker.environment import EnvironmentSpec, ensure_environment, interpreter
from swarmworks.worker.registries import RegistryAccess
from tests.worker.gates.bench import Bench, command

pytestmark = pytest.mark.sandbox
FLOOR = frozenset({Property.FILES, Property.NETWORK, Property.PROCESSES, Property.ENVIRONMENT, Property.UNPRIVILEGED})


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.sandbox = best_sandbox(tmp_path / "state")
    if not bench.sandbox.probe().properties >= FLOOR:
        pytest.skip(f"NO ISOLATION TESTED HERE: {bench.sandbox.probe().missing}")
    return bench


async def environment(bench, *setup):
    python = interpreter(Path(sys.executable))
    spec = EnvironmentSpec(setup, (), False, python, sys.version, python_mounts(python))
    return await ensure_environment(
        spec, bench.tree, bench.root / "state", bench.sandbox, access=RegistryAccess(), floor=FLOOR
    )


async def test_a_virtual_environment_is_built_and_then_only_read(bench):
    built = await environment(bench, '"$SWARM_PYTHON" -m venv --without-pip "$SWARM_ENVIRONMENT"', "! touch dropping")
    use = "python -c \"import os, sys; assert sys.prefix == os.environ['SWARM_ENVIRONMENT'], sys.prefix\""
    results = await bench.run(
        bench.request(
            command(use, name="uses"),
            command('touch "$SWARM_ENVIRONMENT/x" || touch "$SWARM_CHECKS/x"', name="alters"),
            environment=built,
            sandbox_floor=FLOOR,
        )
    )
    assert results["uses"].outcome is GateOutcome.PASSED, results["uses"].log_tail
    assert results["alters"].outcome is GateOutcome.FAILED
    assert not (built.path / "x").exists()


async def test_a_gate_reaches_neither_the_network_nor_other_files(bench):
    (bench.root / "secret").write_text("private")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        dial = f"python -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2)'"
        results = await bench.run(
            bench.request(
                command(dial, name="dials"),
                command(f"cat {bench.root}/secret || cat {bench.tree}/a.py", name="reads"),
                command(
                    "test $(id -u) -ne 0 && touch a b && echo x > $SWARM_REPORTS/y && ls $SWARM_CACHE", name="works"
                ),
                environment=await environment(bench),
                sandbox_floor=FLOOR,
            )
        )
    assert {name: result.outcome for name, result in results.items()} == {
        "dials": GateOutcome.FAILED,
        "reads": GateOutcome.FAILED,
        "works": GateOutcome.PASSED,
    }, results
    assert "refused" in results["dials"].log_tail.lower()


async def test_the_scripts_that_ship_with_the_product_find_their_faults(bench):
    bench.write("app/good.py")
    bench.write("app/bad.py", "x = 1\ndef broken(:\n")
    syntax = command('python "$SWARM_CHECKS/python_syntax.py"', "lines", nothing_exit_codes=(5,))
    built = await environment(bench)
    result = await bench.run_one(syntax, environment=built)
    assert [(finding.file, finding.line) for finding in result.findings] == [("app/bad.py", 2)]
    (bench.tree / "app/bad.py").unlink()
    assert (await bench.run_one(syntax, environment=built)).outcome is GateOutcome.PASSED
    (bench.tree / "app/good.py").unlink()
    assert (await bench.run_one(syntax, environment=built)).outcome is GateOutcome.RAN_NOTHING


async def test_nothing_of_a_hostile_gate_stays_behind(bench):
    hostile = "mkdir -p $(printf 'd/%.0s' $(seq 900)); (sleep 300 &) ; chmod 000 . ; mkdir -m 000 $SWARM_REPORTS/z"
    await bench.run_one(
        command(hostile, cache=True), environment=await environment(bench), caches=bench.root / "caches"
    )
    assert list((bench.root / "scratch").iterdir()) == []


async def test_junit_from_the_real_test_runner(bench):
    """pytest of this interpreter's own environment, on a tree with one failure."""
    bench.write("test_a.py", "def test_ok():\n    assert True\n\ndef test_bad():\n    assert 1 + 1 == 3\n")
    run = f'{sys.executable} -m pytest -q -p no:cacheprovider -o junit_family=xunit1 --junitxml "$SWARM_REPORTS/junit.xml"'
    built = await environment(bench)
    mounts = (*built.mounts, *python_mounts(Path(sys.executable)))
    result = await bench.run_one(
        command(run, "junit"), environment=type(built)(built.id, None, mounts, built.path_entries)
    )
    finding = result.findings[0]
    assert (result.metrics["tests"], result.metrics["failed"]) == (2, 1), result.log_tail
    assert (finding.file, finding.line, finding.expected, finding.provided) == ("test_a.py", 5, "3", "(1 + 1)")
