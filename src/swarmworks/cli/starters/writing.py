"""Writes the files `swarm init` makes: a `swarm.toml` for what is there, or the starter of a new application."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jinja2

from swarmworks.base.errors import NotARepositoryError, UsageError
from swarmworks.git.importing import common_dir, find_git_dir

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.resources.abc import Traversable

    from swarmworks.cli.starters.detected import Detected

STARTERS = ("fastapi",)
CONFIG_NAME = "swarm.toml"
AGENTS = 6
"""For a repository that is there already: as many as a person can follow at first."""
MOST_REF_BYTES = 4_096

_SUFFIX = ".template"  # so that tools working on this repository do not take the starter's configuration for their own
_TARGET_NAMES = {"gitignore": ".gitignore"}
_NO_SOURCE = {".git", ".gitignore", ".gitattributes", "LICENSE", "README.md", "README", "README.rst", CONFIG_NAME}


def _data() -> Traversable:
    return resources.files("swarmworks.cli") / "starters"


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701 - TOML, not HTML
    filters = cast("dict[str, Callable[[str], str]]", environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters["toml"] = toml_text
    return environment


def toml_text(value: str) -> str:
    """`value` as a TOML string: literal where it can be, so that shell commands stay readable."""
    if re.fullmatch(r"[^'\x00-\x1f\x7f]*", value) and ('"' in value or "\\" in value):
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", escaped) + '"'


def project_name(wanted: str) -> str:
    """`wanted` with only the letters a project's name may have."""
    name = re.sub(r"[^A-Za-z0-9._ -]+", "-", wanted).strip("-. _")[:100]
    return name or "project"


def config_text(detected: Detected, *, name: str, branch: str, branch_why: str) -> str:
    template = _templates().from_string((_data() / "swarm.toml.jinja").read_text("utf-8"))
    text = template.render(
        detected=_without_line_breaks(detected),
        evidence=[one_line(each) for each in detected.evidence],
        name=project_name(name),
        branch=branch,
        branch_why=branch_why,
        agents=AGENTS,
    )
    return text.rstrip("\n") + "\n"


def _without_line_breaks(detected: Detected) -> Detected:
    """What stands in comments comes from the repository's files: a line of its own would be configuration."""
    gates = tuple(replace(gate, why=one_line(gate.why)) for gate in detected.gates)
    return replace(detected, gates=gates, setup_why=one_line(detected.setup_why))


def one_line(text: str) -> str:
    """Surrogates stand for bytes of a file's name that are no UTF-8, and cannot be written."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:200])


def starter_files(framework: str, *, name: str, branch: str) -> dict[str, str]:
    """File name to content for a new application.

    Raises UsageError when there is no starter for `framework`.
    """
    wanted = framework.strip().lower()
    if wanted not in STARTERS:
        raise UsageError(
            f"there is no starter for the framework {framework!r}",
            mend=f"known: {', '.join(STARTERS)}; for any other, set up the project yourself and run swarm init in it",
        )
    files: dict[str, str] = {}
    for entry in sorted((_data() / wanted).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(_SUFFIX):
            target = entry.name.removesuffix(_SUFFIX)
            files[_TARGET_NAMES.get(target, target)] = entry.read_text("utf-8")
    template = _templates().from_string(files[CONFIG_NAME])
    files[CONFIG_NAME] = template.render(name=project_name(name), branch=branch)
    return files


def has_sources(root: Path, spec: Path) -> bool:
    """Whether `root` holds anything beside the specification and what a forge puts into a new repository."""
    return any(entry.name not in _NO_SOURCE and entry.resolve() != spec.resolve() for entry in root.iterdir())


def write_files(root: Path, files: dict[str, str], *, force: bool) -> list[Path]:
    """Write all files or none. Raises UsageError when one of them exists and `force` is not given, and when one cannot be
    written.
    """
    folders = [name for name in files if (root / name).is_dir() and not (root / name).is_symlink()]
    if folders:
        raise UsageError(f"{', '.join(folders)} is a folder", where=str(root), mend="move it away first")
    existing = [name for name in files if os.path.lexists(root / name)]
    if existing and not force:
        raise UsageError(
            f"{', '.join(existing)} exists already",
            where=str(root),
            mend="use --force to overwrite, or remove it first",
        )
    contents = {root / name: _encoded(root / name, content) for name, content in files.items()}
    beside: dict[Path, Path] = {}
    try:
        for target, content in contents.items():
            beside[target] = _written_beside(target, content)
        for target, new in beside.items():
            _move(new, target)
    finally:
        for new in beside.values():
            new.unlink(missing_ok=True)
    return list(contents)


def _encoded(target: Path, content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        shown = error.object[max(0, error.start - 40) : error.end].encode("ascii", "backslashreplace").decode()
        raise UsageError(
            f"what the repository says is no text that can be written: ...{shown}",
            where=str(target),
            mend="rename or mend what it names, in the repository",
        ) from None


def _written_beside(target: Path, content: bytes) -> Path:
    """A new file in the same folder, whole, with the permissions that `target` has or would get."""
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.is_file() and not target.is_symlink() else _new_mode()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                os.fchmod(descriptor, mode)
        except OSError:
            Path(name).unlink()
            raise
    except OSError as error:
        raise _unwritable(target, error) from error
    return Path(name)


def _move(new: Path, target: Path) -> None:
    try:
        new.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _new_mode() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _unwritable(target: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot be written: {error.strerror}",
        where=str(target),
        mend="check the folder, its permissions and its free space",
    )


def current_branch(root: Path) -> str:
    """The branch `root` is on; `main` where there is none."""
    return _checked_out(root) or "main"


def default_branch(root: Path) -> tuple[str, str]:
    """The branch results go to, and why it is that: what the remote calls its own, else the one that is checked out."""
    if named := _remotes(root):
        return named, "the default branch of origin"
    branch = _checked_out(root)
    return (branch, "the branch you are on") if branch else ("main", "a guess: no branch is checked out")


def _checked_out(root: Path) -> str | None:
    """None outside a repository, and where a commit is checked out without a branch."""
    try:
        return _named(find_git_dir(root) / "HEAD", "refs/heads/")
    except (NotARepositoryError, OSError):
        return None


def _remotes(root: Path) -> str | None:
    try:
        return _named(common_dir(find_git_dir(root)) / "refs/remotes/origin/HEAD", "refs/remotes/origin/")
    except (NotARepositoryError, OSError):
        return None


def _named(ref: Path, below: str) -> str | None:
    """What the symbolic `ref` names below that prefix."""
    with ref.open("rb") as stream:
        text = stream.read(MOST_REF_BYTES).decode(errors="replace").strip()
    prefix = f"ref: {below}"
    return text.removeprefix(prefix) if text.startswith(prefix) else None
