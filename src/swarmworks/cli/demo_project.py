"""The repository in which `swarm demo` works: a new application's starter, its specification and its plan, committed."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

import swarmworks
from swarmworks.base.errors import UnavailableError, UsageError
from swarmworks.cli.starters.writing import CONFIG_NAME, current_branch, starter_files, write_files
from swarmworks.domain.plan import IMPLEMENT_ENDPOINT, Plan, PlannedTask, Source
from swarmworks.git.command import Git
from swarmworks.git.removal import remove_tree
from swarmworks.policy.planning.decompose import decompose
from swarmworks.wire.planfile import dump_plan
from swarmworks.wire.spec import parse_specification

SPECIFICATION = "spec.yaml"
PLAN = "plan.yaml"
MARKER = "swarm-demo"
"""A file in `.git`, so that it neither stands in the way nor is committed."""

SHARED = "docs/endpoints.md"
"""What every endpoint's task owns beside its own file, where tasks are to share one."""

_AUTHOR = ("-c", "user.name=swarm demo", "-c", "user.email=demo@swarmworks.invalid", "-c", "commit.gpgSign=false")


def sample_specification() -> bytes:
    """The sample from the package where it was installed, from the repository where it runs from there."""
    packaged = resources.files("swarmworks.cli") / "samples" / "task-management.yaml"
    if packaged.is_file():
        return packaged.read_bytes()
    example = Path(swarmworks.__file__).parents[2] / "examples" / "task-management" / "spec.yaml"
    try:
        return example.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"the sample specification is missing: {error.strerror}",
            where=str(example),
            mend="install Swarmworks again, from a wheel or as a clone of the repository",
        ) from error


def is_demo(folder: Path) -> bool:
    return not folder.is_symlink() and (folder / ".git" / MARKER).is_file()


def check_folder(folder: Path, *, keep: bool) -> None:
    """UsageError when `folder` holds anything but an earlier demo, or one that is to be kept."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise UsageError("this is no folder", where=str(folder), mend="name another with --dir")
    if is_demo(folder):
        if keep:
            raise UsageError(
                "there is an earlier demo, and --keep keeps it", where=str(folder), mend="name another with --dir"
            )
        return
    if any(folder.iterdir()):
        raise UsageError(
            "the folder is not empty, and no earlier demo", where=str(folder), mend="name another with --dir"
        )


def make(folder: Path, *, erring: bool = False, data: bytes | None = None, floor: str | None = None) -> Plan:
    """A fresh repository at `folder` with one commit, for the sample or for the specification in `data`. An earlier demo
    that is there is deleted. Where the model errs on purpose, tasks share a file, so that they can conflict. `floor` is the
    level of the sandbox, where it is not the usual one.
    """
    data = sample_specification() if data is None else data
    if is_demo(folder):
        remove_tree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as template:
            git(folder, "init", "--quiet", "--initial-branch=main", f"--template={template}")
        (folder / ".git" / MARKER).write_text("made by swarm demo, which may delete this folder\n")
        (folder / SPECIFICATION).write_bytes(data)
        specification = parse_specification(SPECIFICATION, data)
        framework = specification.architecture.framework
        files = starter_files(framework, name=specification.name, branch=current_branch(folder))
        plan = decompose(specification, Source("resources", SPECIFICATION, hashlib.sha256(data).hexdigest()))
        if erring:
            plan = shared_plan(plan)
            files = {**files, CONFIG_NAME: shared_config(files[CONFIG_NAME]), SHARED: shared_text(plan)}
            (folder / SHARED).parent.mkdir(exist_ok=True)
        if floor is not None:
            files = {**files, CONFIG_NAME: f'{files[CONFIG_NAME].rstrip()}\n\n[sandbox]\nfloor = "{floor}"\n'}
        write_files(folder, files, force=False)
        (folder / PLAN).write_text(dump_plan(plan), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(folder), mend="name another folder with --dir"
        ) from error
    git(folder, "add", "--all")
    git(folder, *_AUTHOR, "commit", "--quiet", "--message=A specification, a plan and the starter")
    return plan


def shared_plan(plan: Plan) -> Plan:
    """The plan with one file that all endpoint tasks describe their endpoint in."""
    return replace(plan, tasks=tuple(_sharing(task) if _shares(task) else task for task in plan.tasks))


def _shares(task: PlannedTask) -> bool:
    return task.kind == IMPLEMENT_ENDPOINT


def _sharing(task: PlannedTask) -> PlannedTask:
    told = (
        f"Say in {SHARED} what the endpoint is: replace the line below the heading {task.id}, and nothing else there."
    )
    return replace(task, owns=(*task.owns, SHARED), instructions=f"{task.instructions.rstrip()}\n\n{told}\n")


def shared_text(plan: Plan) -> str:
    parts = [f"## {task.id}\n\nTo be described.\n" for task in plan.tasks if _shares(task)]
    return "\n".join(["# Endpoints\n\nLast described: nothing yet\n", *parts])


def shared_config(text: str) -> str:
    """The starter's swarm.toml, for tasks that share a file."""
    return f"{text.rstrip()}\n\n[files]\nexclusive = false  # {SHARED} belongs to every endpoint\n"


def take_over(folder: Path, hub: Path, branch: str) -> None:
    """Fast-forward the demo's own branch to what the swarm built. GitError when somebody committed meanwhile."""
    git(folder, "fetch", "--quiet", str(hub), branch, environment={"GIT_ALLOW_PROTOCOL": "file"})
    git(folder, "merge", "--quiet", "--ff-only", "FETCH_HEAD")


def git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """None of the person's own git configuration is in force: no hook runs, no key signs."""
    folder = folder.absolute()
    Git().run(folder / ".git", [f"--work-tree={folder}", *arguments], environment=environment)
