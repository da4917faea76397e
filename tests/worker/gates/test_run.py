from __future__ import annotations

import asyncio
import time

import pytest

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.gate import GateOutcome, GateStage, lets_through
from swarmworks.domain.isolation import Property
from swarmworks.git.protocol import FileChange
from swarmworks.sandbox.protocol import ProcessLimits
from swarmworks.worker.gates.run import run_gates
from swarmworks.worker.gates.turns import Turns
from swarmworks.worker.running import Ran
from tests.worker.gates.bench import command

JUNIT = '<testsuite><testcase classname="t" name="a"/></testsuite>'
GOOD_TESTS = f"printf '%s' '{JUNIT}' > $SWARM_REPORTS/junit.xml"


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        ("true", GateOutcome.PASSED),
        ("exit 1", GateOutcome.FAILED),
        ("no-such-program --check", GateOutcome.COULD_NOT_RUN),
        ("python -m no_such_tool", GateOutcome.COULD_NOT_RUN),
        ("kill -9 $$", GateOutcome.COULD_NOT_RUN),
        ("exit 5", GateOutcome.RAN_NOTHING),
    ],
)
async def test_every_way_to_end_has_its_outcome(bench, run, outcome):
    result = await bench.run_one(command(run, nothing_exit_codes=(5,)))
    assert result.outcome is outcome
    assert lets_through((result,), frozenset({"gate"})) is (outcome is GateOutcome.PASSED)


async def test_on_a_change_a_shorter_command_runs_that_need_not_find_anything(bench):
    whole = command(
        "echo whole; exit 5", on_change="echo some; exit 5", nothing_exit_codes=(5,), stages=frozenset(GateStage)
    )
    found = {stage: await bench.run_one(whole.at(stage), stage=stage) for stage in GateStage}
    assert found[GateStage.CHANGE].outcome is GateOutcome.PASSED
    assert found[GateStage.CANDIDATE].outcome is GateOutcome.RAN_NOTHING
    assert [found[stage].log_tail.strip() for stage in (GateStage.CHANGE, GateStage.CANDIDATE)] == ["some", "whole"]
    failing = command("true", on_change="exit 1", nothing_exit_codes=(5,)).at(GateStage.CHANGE)
    assert (await bench.run_one(failing)).outcome is GateOutcome.FAILED


async def test_a_gate_is_told_which_of_the_changed_files_are_there(bench):
    changes = (bench.write("b.py", "b\n"), bench.write("a b.py", "a\n"), FileChange("gone.py", "D", 0, 1, "000000"))
    bench.write("as-it-was.py", "c\n")
    result = await bench.run_one(command('cat "$SWARM_CHANGED"'), changes=changes)
    assert result.log_tail == "a b.py\nb.py"


async def test_a_gate_that_hangs_fails_and_is_ended(bench):
    result = await bench.run_one(command("echo began; sleep 60", timeout_s=0.5))
    assert result.outcome is GateOutcome.FAILED
    assert "0.5 s" in result.summary
    assert "began" in result.log_tail


async def test_a_gate_that_floods_fails(bench):
    limits = ProcessLimits(output_bytes=100_000)
    result = await bench.run_one(command("yes"), limits=limits)
    assert result.outcome is GateOutcome.FAILED
    assert len(result.log_tail) <= 4_096


async def test_without_a_sandbox_nothing_is_judged(bench):
    result = await bench.run_one(command("true"), sandbox_floor=frozenset({Property.NETWORK}))
    assert result.outcome is GateOutcome.COULD_NOT_RUN
    assert "network" in result.summary.lower()


async def test_a_sandbox_that_breaks_is_not_the_changes_fault(bench):
    async def broken(_spec):
        raise SandboxUnavailableError("no namespaces today", mend="allow them")

    bench.sandbox.start = broken
    result = await bench.run_one(command("true"))
    assert result.outcome is GateOutcome.COULD_NOT_RUN
    assert "allow them" in result.summary


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        ({"exceeded": "memory limit of 1 MB exceeded"}, GateOutcome.FAILED),
        ({"hindered": "the machine had no more memory"}, GateOutcome.COULD_NOT_RUN),
    ],
)
async def test_what_is_ended_for_the_machines_sake_is_no_verdict(bench, monkeypatch, ended, outcome):
    async def run(*_arguments, **_more):
        return Ran(exit_code=137, stdout=b"", stderr=b"", duration_s=1.0, **ended)

    monkeypatch.setattr("swarmworks.worker.gates.run.run_sandboxed", run)
    result = await bench.run_one(command("true"))
    assert result.outcome is outcome
    assert f"was ended: {next(iter(ended.values()))}" in result.summary


async def test_gates_get_a_copy_of_the_tree_each_and_cannot_alter_it(bench):
    bench.write("app/a.py", "original\n")
    one = command("echo altered > app/a.py; touch dropping; cat app/a.py", name="one")
    two = command("sh -c 'test ! -e dropping && grep original app/a.py'", name="two")
    results = await bench.run(bench.request(one, two), slots=1)
    assert {result.outcome for result in results.values()} == {GateOutcome.PASSED}
    assert (bench.tree / "app/a.py").read_text() == "original\n"
    assert not (bench.tree / "dropping").exists()


async def test_nothing_is_left_of_the_copies_whatever_a_gate_leaves(bench):
    await bench.run_one(command("mkdir -p a/b; chmod 000 a; mkfifo pipe; ln -s / root"))
    assert list((bench.root / "scratch").iterdir()) == []


async def test_files_and_links_arrive_as_they_are(bench):
    bench.write("run.sh", "#!/bin/sh\nexit 0\n")
    (bench.tree / "run.sh").chmod(0o755)
    (bench.tree / "link").symlink_to("run.sh")
    assert (await bench.run_one(command("./run.sh && test -L link && ./link"))).outcome is GateOutcome.PASSED


async def test_independent_gates_run_side_by_side_up_to_the_slots(bench):
    meet = "touch {root}/{me}; for i in $(seq 200); do test -e {root}/{you} && exit 0; sleep 0.02; done; exit 1"
    one = command(meet.format(root=bench.root, me="one", you="two"), name="one")
    two = command(meet.format(root=bench.root, me="two", you="one"), name="two")
    results = await bench.run(bench.request(one, two), slots=2)
    assert {result.outcome for result in results.values()} == {GateOutcome.PASSED}


async def test_slots_are_shared_between_runs(bench, tmp_path):
    alone = f"mkdir {bench.root}/busy || exit 1; sleep 0.1; rmdir {bench.root}/busy"
    turns = Turns(1, time.monotonic)
    requests = [bench.request(command(alone), scratch=tmp_path / str(n)) for n in range(3)]

    results = await asyncio.gather(*(run_gates(request, bench.sandbox, turns) for request in requests))
    assert [found[0].outcome for found in results] == [GateOutcome.PASSED] * 3


async def test_only_what_is_required_runs_and_what_is_not_says_why(bench):
    request = bench.request(
        command("false", name="lint"),
        command("false", name="types"),
        required=frozenset({"scope"}),
        not_required={"types": "a document has no types"},
    )
    results = await bench.run(request)
    assert set(results) == {"scope", "types"}
    assert results["types"].outcome is GateOutcome.NOT_REQUIRED
    assert results["types"].summary == "a document has no types"


async def test_a_required_gate_nobody_configured_is_no_pass(bench):
    results = await bench.run(bench.request(required=frozenset({"licence"})))
    assert results["licence"].outcome is GateOutcome.COULD_NOT_RUN


async def test_the_change_stage_runs_the_cheap_gates_and_the_candidate_stage_all(bench):
    early = command("true", name="early", stages=frozenset({GateStage.CHANGE}))
    late = command("true", name="late")
    change = await bench.run(bench.request(early, late, stage=GateStage.CHANGE))
    candidate = await bench.run(bench.request(early, late, stage=GateStage.CANDIDATE))
    assert (set(change), set(candidate)) == ({"early"}, {"early", "late"})


async def test_the_environment_inside_holds_only_what_is_meant(bench, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-gates")
    result = await bench.run_one(command("env; exit 1"))
    assert "sk-not-for-gates" not in result.log_tail
    assert "SWARM_REPORTS=" in result.log_tail


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (GOOD_TESTS, GateOutcome.PASSED),
        (f"{GOOD_TESTS}; exit 1", GateOutcome.FAILED),
        ("true", GateOutcome.RAN_NOTHING),
        ("printf '<testsuite/>' > $SWARM_REPORTS/junit.xml", GateOutcome.RAN_NOTHING),
        ("ln -s /etc/passwd $SWARM_REPORTS/junit.xml", GateOutcome.RAN_NOTHING),
        ("mkfifo $SWARM_REPORTS/junit.xml", GateOutcome.RAN_NOTHING),
        (GOOD_TESTS.replace('name="a"/>', 'name="a"><failure/></testcase>'), GateOutcome.FAILED),
        (GOOD_TESTS.replace('name="a"/>', 'name="a"><skipped/></testcase>'), GateOutcome.RAN_NOTHING),
    ],
)
async def test_a_report_and_the_exit_status_have_to_agree(bench, run, outcome):
    assert (await bench.run_one(command(run, "junit"))).outcome is outcome


COVERAGE = (
    '{"files": {"app/a.py": {"summary": {"num_statements": 10, "covered_lines": 7}, "missing_lines": [3, 4, 9]}}}'
)


def covered(run=GOOD_TESTS, floor=None):
    tests = command(f"{run}; printf '%s' '{COVERAGE}' > $SWARM_REPORTS/coverage.json", "junit", name="tests")
    coverage = command(None, "coverage", name="coverage", source="tests", floor=floor)
    return tests, coverage


async def test_a_coverage_gate_reads_what_the_tests_left(bench):
    results = await bench.run(bench.request(*covered(floor=70)))
    assert results["coverage"].outcome is GateOutcome.PASSED
    assert results["coverage"].metrics["coverage_percent"] == 70


async def test_the_plans_floor_wins_and_the_finding_names_the_lines(bench):
    results = await bench.run(bench.request(*covered(floor=70), floors={"coverage": 80}))
    finding = results["coverage"].findings[0]
    assert results["coverage"].outcome is GateOutcome.FAILED
    assert (finding.file, finding.line, finding.provided) == ("app/a.py", 3, "70.0 %")
    assert "3-4, 9" in finding.message


async def test_the_source_runs_although_only_the_coverage_is_required(bench):
    results = await bench.run(bench.request(*covered(floor=70), required=frozenset({"coverage"})))
    assert {name: result.outcome for name, result in results.items()} == {
        "tests": GateOutcome.PASSED,
        "coverage": GateOutcome.PASSED,
    }


async def test_the_report_of_tests_that_did_not_pass_is_no_evidence(bench):
    results = await bench.run(bench.request(*covered("false", floor=10)))
    assert results["coverage"].outcome is GateOutcome.RAN_NOTHING


async def test_files_the_task_answers_for_must_be_in_the_report(bench):
    request = bench.request(*covered(floor=70), covers=("app/a.py", "app/b.py"))
    results = await bench.run(request)
    assert [finding.file for finding in results["coverage"].findings] == ["app/b.py"]


async def test_a_gate_is_told_who_reads_its_report(bench):
    tests = command(f'{GOOD_TESTS}; echo "read by [$SWARM_READ_BY]"', "junit", name="tests")
    _, coverage = covered(floor=0)
    alone = await bench.run(bench.request(tests, coverage, required=frozenset({"tests"})))
    both = await bench.run(bench.request(tests, coverage))
    assert ("read by []" in alone["tests"].log_tail, "read by [coverage]" in both["tests"].log_tail) == (True, True)


COUNT = 'n=$(cat "$SWARM_CACHE/n" 2>/dev/null || echo 0); echo $((n+1)) > "$SWARM_CACHE/n"; echo "run $n"; '


async def cached_runs(bench, *runs, stage=GateStage.CANDIDATE, cache=True):
    """What each run found in its cache."""
    found = []
    for extra in runs:
        gate = command(COUNT + "test ! -e poison", "lines", cache=cache)
        other = command(extra, name="other")
        results = await bench.run(bench.request(gate, other, stage=stage, caches=bench.root / "caches"))
        found.append(results["gate"].summary if results["gate"].outcome is GateOutcome.PASSED else "failed")
    return found


async def test_a_tool_cache_goes_on_from_the_last_good_candidate(bench):
    assert await cached_runs(bench, "true", "true", "true") == ["run 0", "run 1", "run 2"]


async def test_a_run_in_which_any_gate_failed_leaves_the_cache_alone(bench):
    assert await cached_runs(bench, "true", "false", "true") == ["run 0", "run 1", "run 1"]


async def test_a_gate_without_a_cache_starts_empty(bench):
    assert await cached_runs(bench, "true", "true", cache=False) == ["run 0", "run 0"]


async def test_a_cache_too_deep_to_copy_is_dropped(bench):
    deep = command("mkdir -p $SWARM_CACHE/$(printf 'd/%.0s' $(seq 300))", cache=True)
    for _ in range(2):
        result = (await bench.run(bench.request(deep, caches=bench.root / "caches")))["gate"]
        assert result.outcome is GateOutcome.PASSED
