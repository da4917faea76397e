"""Runs the gates for one tree. Called by the worker for a session's own change and for a candidate of the merge queue.

Gates fail closed: what could not be run, ran nothing or left no evidence is never a pass, and an error of ours is never
reported as the change's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import UnavailableError
from swarmworks.domain.gate import GateOutcome, GateResult, GateStage
from swarmworks.domain.plan import PLAN_GATE
from swarmworks.sandbox.protocol import Mount, Network, SandboxSpec
from swarmworks.worker.gates.copies import ToolCache, copy_tree, remove_tree
from swarmworks.worker.gates.keys import CHANGED, CHECKS
from swarmworks.worker.gates.plan import check_plan
from swarmworks.worker.gates.readers.coverage import read_coverage
from swarmworks.worker.gates.readers.judged import TREE, Judged, plain
from swarmworks.worker.gates.readers.junit import read_junit
from swarmworks.worker.gates.readers.lines import read_exit, read_lines
from swarmworks.worker.gates.readers.mypy import read_mypy
from swarmworks.worker.gates.readers.ruff import read_ruff
from swarmworks.worker.gates.scope import check_scope
from swarmworks.worker.gates.secrets import check_secrets
from swarmworks.worker.running import Ran, run_sandboxed

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.domain.gate import GateDefinition
    from swarmworks.sandbox.protocol import Sandbox
    from swarmworks.worker.gates.request import GatesRequest
    from swarmworks.worker.gates.turns import Turns

LOG_TAIL_CHARACTERS = 4_096
REPORTS, CACHE, CHECKS_INSIDE = "/swarm/reports", "/swarm/cache", "/swarm/checks"
_CHANGED = "changed"
_NOT_STARTED = {126, 127}  # of a shell: the program is no program, or is not there
_NO_MODULE = re.compile(rb"^\S*python[\d.]*: No module named (\S+)\s*$", re.MULTILINE)
_KILLED = 128 + 9
_OUTPUT_READERS: dict[str, Callable[[Ran], Judged]] = {
    "exit": read_exit,
    "lines": read_lines,
    "mypy": read_mypy,
    "ruff": read_ruff,
}
_PRINTS_JSON = {"mypy", "ruff"}
_BUILT_IN = {"scope": check_scope, "secrets": check_secrets, PLAN_GATE: check_plan}


async def run_gates(request: GatesRequest, sandbox: Sandbox, turns: Turns) -> tuple[GateResult, ...]:
    """A result for every required gate of the stage (and for those whose reports they read), every gate the plan does not
    require, and every required name that is defined nowhere, in this order. `turns` bounds commands that run at once; it is
    shared by all runs of a worker.
    """
    results = [_not_required(name, reason) for name, reason in sorted(request.not_required.items())]
    results += [_undefined(name) for name in request.unknown()]
    selected = request.selected()
    commands = [definition for definition in selected if definition.command is not None]
    sources = {definition.source for definition in selected}
    commands.sort(key=lambda definition: definition.name not in sources)  # what others wait for goes first
    try:
        done: dict[str, GateResult] = {}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run_command(d, request, sandbox, turns)) for d in commands]
            for definition in selected:
                if definition.name in _BUILT_IN:
                    done[definition.name] = await asyncio.to_thread(_BUILT_IN[definition.name], request)
        done.update({definition.name: task.result() for definition, task in zip(commands, tasks, strict=True)})
        for definition in selected:
            if definition.source is not None:
                done[definition.name] = await asyncio.to_thread(_read_source, definition, request, done)
        if request.stage is GateStage.CANDIDATE and _all_passed(done):
            await asyncio.to_thread(_promote_caches, request, commands)
    finally:
        await asyncio.to_thread(_clean, request, commands)
    return (*[done[definition.name] for definition in selected], *results)


def _not_required(name: str, reason: str) -> GateResult:
    return GateResult(name, GateOutcome.NOT_REQUIRED, reason)


def _undefined(name: str) -> GateResult:
    return GateResult(
        name, GateOutcome.COULD_NOT_RUN, f"no gate {name!r} is configured: add [gates.{name}] to swarm.toml"
    )


def _all_passed(done: dict[str, GateResult]) -> bool:
    return all(result.outcome is GateOutcome.PASSED for result in done.values())


async def _run_command(definition: GateDefinition, request: GatesRequest, sandbox: Sandbox, turns: Turns) -> GateResult:
    async with turns.turn(definition.command or ""):
        try:
            place = await asyncio.to_thread(_prepare, definition, request, sandbox)
            spec = _spec(definition, request, place)
            ran = await run_sandboxed(sandbox, spec, timeout_s=definition.timeout_s)
            ran = _as_of_the_tree(ran, sandbox.seen(TREE, spec.mounts))
        except (UnavailableError, OSError) as error:
            return GateResult(definition.name, GateOutcome.COULD_NOT_RUN, plain(str(error), 1_000))
        judged = await asyncio.to_thread(_judge, definition, ran, place / "reports", request)
    return GateResult(
        definition.name,
        judged.outcome,
        judged.summary,
        duration_s=round(ran.duration_s, 3),
        findings=judged.findings,
        log_tail=_log_tail(definition, ran, judged),
        metrics=judged.metrics,
        tests_passed=judged.tests_passed,
    )


def _prepare(definition: GateDefinition, request: GatesRequest, sandbox: Sandbox) -> Path:
    place = request.scratch / definition.name
    if place.exists():
        remove_tree(place)
    place.mkdir(parents=True)
    copy_tree(request.tree, place / "tree")
    (place / "reports").mkdir()
    (place / "reports" / _CHANGED).write_text("".join(f"{path}\n" for path in _changed(request)), encoding="utf-8")
    (place / "cache").mkdir()
    if definition.cache and request.caches is not None:
        ToolCache(request.caches, definition, request.environment.id).check_out(place / "cache")
    for name in ("tree", "reports", "cache"):
        sandbox.own(place / name)
    return place


def _changed(request: GatesRequest) -> list[str]:
    """What is there to be looked at: without what the change deletes."""
    return sorted(change.path for change in request.changes if os.path.lexists(request.tree / change.path))


def _spec(definition: GateDefinition, request: GatesRequest, place: Path) -> SandboxSpec:
    environment = {
        "LANG": "C.UTF-8",
        "CI": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own, in memory
        "PYTHONHASHSEED": "0",  # the same tree gives the same result, which is cached
        **request.environment.variables,
        "PATH": request.environment.search_path(),
        "SWARM_REPORTS": REPORTS,
        "SWARM_CACHE": CACHE,
        "SWARM_CHECKS": CHECKS_INSIDE,
        CHANGED: f"{REPORTS}/{_CHANGED}",
        "SWARM_READ_BY": " ".join(reader.name for reader in request.selected() if reader.source == definition.name),
    }
    return SandboxSpec(
        argv=("/bin/sh", "-c", definition.command or ""),
        workdir=TREE,
        mounts=(
            *request.environment.mounts,
            Mount(place / "tree", TREE, writable=True),
            Mount(place / "reports", REPORTS, writable=True),
            Mount(place / "cache", CACHE, writable=True),
            Mount(CHECKS, CHECKS_INSIDE),
        ),
        environment=environment,
        network=Network.NONE,
        limits=request.limits,
        floor=request.sandbox_floor,
    )


def _as_of_the_tree(ran: Ran, seen: str) -> Ran:
    """Where the tree has another path inside, tools speak of that one."""
    if seen == TREE:
        return ran
    was, now = seen.encode(), TREE.encode()
    return replace(ran, stdout=ran.stdout.replace(was, now), stderr=ran.stderr.replace(was, now))


def _judge(definition: GateDefinition, ran: Ran, reports: Path, request: GatesRequest) -> Judged:
    """A gate that hangs or floods is the change's fault: the limits are far above what an honest run needs."""
    if ran.timed_out:
        return Judged(GateOutcome.FAILED, f"did not end within {definition.timeout_s:g} s", metrics={"timed_out": 1.0})
    if ran.exceeded:
        return Judged(GateOutcome.FAILED, f"was ended: {ran.exceeded}")
    if hindrance := _hindrance(definition, ran):
        return Judged(GateOutcome.COULD_NOT_RUN, hindrance)
    if ran.exit_code in definition.nothing_exit_codes:
        judged = Judged(GateOutcome.RAN_NOTHING, f"exit status {ran.exit_code}: there was nothing to check")
    elif definition.reader == "junit":
        judged = read_junit(ran, reports, request.owns, request.tests)
    else:
        judged = _OUTPUT_READERS[definition.reader](ran)
    if judged.outcome is GateOutcome.RAN_NOTHING and definition.may_find_nothing:
        return Judged(GateOutcome.PASSED, "nothing of it concerns this change: the whole is run on the candidate")
    return judged


def _hindrance(definition: GateDefinition, ran: Ran) -> str:
    """What kept the gate from judging at all; empty when nothing did."""
    if ran.hindered:
        return f"was ended: {ran.hindered}"
    if definition.reader != "junit" and definition.reader not in _OUTPUT_READERS:
        return f"the reader {definition.reader!r} cannot read a command's output"
    if ran.exit_code == _KILLED:
        return "the system ended it (signal 9), most likely for want of memory: see [sandbox] memory_mb"
    missing = _missing_tool(ran)
    return f"{missing}: see [environment] setup in swarm.toml" if missing else ""


def _missing_tool(ran: Ran) -> str:
    if ran.exit_code in _NOT_STARTED:
        return plain(ran.stderr.decode("utf-8", "replace")[-300:]) or f"exit status {ran.exit_code}: no such program"
    if ran.exit_code != 0 and (match := _NO_MODULE.search(ran.stderr[-2_000:])):
        return f"the environment has no Python module {match.group(1).decode('utf-8', 'replace')}"
    return ""


def _read_source(definition: GateDefinition, request: GatesRequest, done: dict[str, GateResult]) -> GateResult:
    source = done.get(definition.source or "")
    if source is None or source.outcome is GateOutcome.COULD_NOT_RUN:
        return GateResult(definition.name, GateOutcome.COULD_NOT_RUN, f"gate {definition.source!r} could not be run")
    if source.outcome is not GateOutcome.PASSED:
        return GateResult(
            definition.name,
            GateOutcome.RAN_NOTHING,
            f"gate {definition.source!r} did not pass, so its report is no evidence",
        )
    reports = request.scratch / source.gate / "reports"
    if definition.reader == "coverage":
        judged = read_coverage(reports, request.floors.get(definition.name, definition.floor), request.covers)
    else:
        nothing_said = Ran(exit_code=0, stdout=b"", stderr=b"", duration_s=0.0)
        judged = read_junit(nothing_said, reports, request.owns, request.tests)
    return GateResult(
        definition.name,
        judged.outcome,
        judged.summary,
        findings=judged.findings,
        metrics=judged.metrics,
        tests_passed=judged.tests_passed,
    )


def _promote_caches(request: GatesRequest, commands: list[GateDefinition]) -> None:
    for definition in commands:
        if definition.cache and request.caches is not None:
            cache = ToolCache(request.caches, definition, request.environment.id)
            cache.promote(request.scratch / definition.name / "cache")


def _clean(request: GatesRequest, commands: list[GateDefinition]) -> None:
    for definition in commands:
        place = request.scratch / definition.name
        if place.exists():
            remove_tree(place)


def _log_tail(definition: GateDefinition, ran: Ran, judged: Judged) -> str:
    """What a person would have read on the terminal; rows for a person instead of a tool's JSON."""
    if definition.reader in _PRINTS_JSON and judged.findings:
        return "\n".join(f"{f.file}:{f.line}: {f.message}" for f in judged.findings)[-LOG_TAIL_CHARACTERS:]
    return plain(ran.text(), 1 << 24)[-LOG_TAIL_CHARACTERS:]
