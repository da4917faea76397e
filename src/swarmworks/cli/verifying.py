"""What the project's own gates say of its last commit, before anybody works on it: `init --verify` and `doctor --gates`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from swarmworks.base.errors import UnavailableError
from swarmworks.cli.view.amounts import counted, plain
from swarmworks.domain.gate import GateOutcome, GateResult

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.cli.context import Launcher

MOST_FINDINGS = 3
WIDTH = 100
_MENDS = {
    GateOutcome.FAILED: "mend it, or take the gate out: it would reject every change",
    GateOutcome.COULD_NOT_RUN: "correct its command, or [environment] setup: it would let nothing through",
    GateOutcome.RAN_NOTHING: "point it at what it shall check: a gate that checks nothing lets nothing through",
}


def verify_gates(launcher: Launcher, path: Path) -> bool:
    """Whether every gate passes. Prints each as it stands, with the mend."""
    project = launcher.project(path)
    commit = launcher.base_commit(project, allow_dirty=True)
    try:
        found = asyncio.run(launcher.verify(project, commit, click.echo))
    except UnavailableError as error:
        click.echo(f"LACKS  environment: {error.what}")
        click.echo(f"       mend: {error.mend}")
        return False
    for line in lines(found.results):
        click.echo(line)
    return all(result.outcome is GateOutcome.PASSED for result in found.results)


def lines(results: Sequence[GateResult]) -> list[str]:
    rows: list[str] = []
    for result in results:
        passed = result.outcome is GateOutcome.PASSED
        rows.append(
            f"{'ok' if passed else 'LACKS':<7}gate {result.gate}: {result.outcome}, {plain(result.summary)}"[:WIDTH]
        )
        if not passed:
            rows += [
                f"         {plain(f'{f.file}:{f.line}: {f.message}')}"[:WIDTH] for f in result.findings[:MOST_FINDINGS]
            ]
            rows.append(f"       mend: {_MENDS.get(result.outcome, 'see docs/gates.md')}")
    red = [result.gate for result in results if result.outcome is not GateOutcome.PASSED]
    if red:
        rows.append(f"{counted(len(red), 'gate')} not green on your last commit: {', '.join(red)}")
    else:
        rows.append("Every gate is green on your last commit.")
    return rows
