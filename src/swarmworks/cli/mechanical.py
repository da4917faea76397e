"""`swarm plan --run COMMAND --each PATTERN`: mechanical work, one task for each file, planned and done without a model."""

from __future__ import annotations

import click

from swarmworks.base.errors import UsageError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.planning import facts_of
from swarmworks.domain.plan import Plan
from swarmworks.policy.lint import is_path
from swarmworks.policy.patterns import matching_pattern
from swarmworks.policy.planning.for_each import PLACE, plan_for_each

MOST_TASKS = 1_000
SHOWN = 5


def mechanical_plan(
    launcher: Launcher, project: OpenProject, run: str | None, each: tuple[str, ...], *, allow_dirty: bool
) -> Plan:
    """UsageError when the command has no place for a file, or no file is meant. A protected file has to be named in full."""
    if run is None or not each:
        mend = "swarm plan --run 'ruff check --fix {}' --each 'src/**/*.py'"
        raise UsageError("--run and --each go together", where="--run" if run is not None else "--each", mend=mend)
    if PLACE not in run:
        mend = f"write {PLACE} where the path of the file goes"
        raise UsageError("every task would run the same command", where=f"--run {run}", mend=mend)
    base = launcher.base_commit(project, allow_dirty=allow_dirty)
    files = launcher.tracked_files(project, base)
    named = sorted(path for path in files if matching_pattern(path, each) is not None)
    kept = project.config.files.protected_globs
    protected = [path for path in named if path not in each and matching_pattern(path, kept) is not None]
    unusual = [path for path in named if not is_path(path)]
    for left_out, why in ((protected, "protected"), (unusual, "no path that a plan can name")):
        if left_out:
            click.echo(
                f"left out, {why}: {', '.join(left_out[:SHOWN])}{' ...' if len(left_out) > SHOWN else ''}", err=True
            )
    meant = [path for path in named if path not in {*protected, *unusual}]
    if not meant:
        raise UsageError(
            "no file of the last commit is meant", where=f"--each {' '.join(each)}", mend="check the pattern"
        )
    if len(meant) > MOST_TASKS:
        mend = "name fewer with --each, and run the command for the rest afterwards"
        raise UsageError(
            f"{len(meant)} files are more than one plan holds: at most {MOST_TASKS}", where="--each", mend=mend
        )
    return plan_for_each(run, meant, facts_of(project.config, tuple(files)))
