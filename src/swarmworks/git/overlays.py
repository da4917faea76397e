"""`OverlayCopies`: working copies of which only what the agent changes takes time and space.

    <root>/.templates/<tree>/    the files of one commit with their `.git`, never written again, below any number of copies
    <root>/.state/<name>/upper   what differs in the copy from its template; `work` is the kernel's
    <root>/<name>                where both are seen as one, while they are mounted

A mount does not outlive the machine and the layer does: whoever finds a copy mounts it again before it looks at it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from swarmworks.base.errors import GitError
from swarmworks.git.checkout import give_to, write_tree
from swarmworks.git.clones import CLONE, FILE_LIMIT_BYTES, SharedClones
from swarmworks.git.command import records
from swarmworks.git.layout import write_durable
from swarmworks.git.locking import held
from swarmworks.git.mounting import mount_overlay, mounted, sync_file_system, unmount
from swarmworks.git.removal import remove_tree

if TYPE_CHECKING:
    from swarmworks.git.command import Git
    from swarmworks.git.protocol import WorkingCopy

OVERLAY = "overlay"
MOST_DIFFERING = 300
"""Files that are written into a copy rather than making a template of their own for it."""

TEMPLATES_KEPT = 2
"""Of those no copy stands on."""


class OverlayCopies(SharedClones):
    """Implements `protocol.WorkingCopies`, for root where `mounting.why_not` has no objection. Shared clones of an earlier time
    are handled as such.
    """

    way: ClassVar[str] = OVERLAY
    ways: ClassVar[frozenset[str]] = frozenset({CLONE, OVERLAY})

    def __init__(
        self,
        hub_path: Path,
        root: Path,
        owner_uid: int | None,
        *,
        git: Git | None = None,
        file_limit_bytes: int = FILE_LIMIT_BYTES,
    ) -> None:
        super().__init__(hub_path, root, owner_uid, git=git, file_limit_bytes=file_limit_bytes)
        self._templates = self._root / ".templates"
        self._templates.mkdir(exist_ok=True, mode=0o700)

    def _fill(self, copy: WorkingCopy, state: Path) -> None:
        for name in ("upper", "work"):
            (state / name).mkdir(mode=0o755)
        if self._owner_uid is not None:
            os.chown(state / "upper", self._owner_uid, self._owner_uid)
        copy.path.mkdir(mode=0o755)
        tree = self._hub.tree_of(copy.commit)
        template = self._stand_on(tree, copy.commit, state)
        self._mount(copy)
        beneath = _tree_of(template)
        if beneath != tree:
            self._bring_to(copy, state, template, (beneath, tree))
        head = copy.path / ".git/HEAD"
        if head.read_text(encoding="ascii") != f"{copy.commit}\n":
            head.write_text(f"{copy.commit}\n", encoding="ascii")

    def _stand_on(self, tree: str, commit: str, state: Path) -> Path:
        """A template that is near enough, noted as needed in the same breath in which it is chosen."""
        with held(self._templates / "lock", timeout_s=600):
            name = f"{tree}{self._shallow_mark()}"
            template = self._templates / name
            if not template.exists():
                template = self._near(tree) or self._make_template(name, commit)
            write_durable(state / "template", template.name)
        return template

    def _near(self, tree: str) -> Path | None:
        mark = self._shallow_mark()
        known = [place for place in self._templates.iterdir() if place.name.endswith(mark) and _is_template(place)]
        for template in sorted(known, key=lambda place: place.stat().st_mtime, reverse=True)[:TEMPLATES_KEPT]:
            if (mark or "-" not in template.name) and self._differ_little(_tree_of(template), tree):
                return template
        return None

    def _differ_little(self, one: str, other: str) -> bool:
        """False too when the hub has given `one` up meanwhile."""
        arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other]
        finished = self._git.run(self._hub.path, arguments, ok=(0, 128))
        return finished.code == 0 and len(records(finished.out)) <= MOST_DIFFERING

    def _shallow_mark(self) -> str:
        """Part of a template's name: the history that a `.git` may be asked for ends where the hub's does."""
        shallow = self._hub.path / "shallow"
        return f"-{hashlib.sha256(shallow.read_bytes()).hexdigest()[:12]}" if shallow.exists() else ""

    def _make_template(self, name: str, commit: str) -> Path:
        self._forget_templates()
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._templates))
        try:
            tree, index = made / "tree", made / "index"
            tree.mkdir(mode=0o755)
            write_tree(self._git, self._hub.path, commit, tree, index)
            self._lay_out(tree / ".git", commit, index)
            if self._owner_uid is not None:
                give_to(tree, self._owner_uid)
            self._refresh(index, tree)  # a change of owner is one of the times git compares
            shutil.copyfile(index, tree / ".git/index")
            sync_file_system(made)  # or a power cut could leave empty files below every copy
            return made.rename(self._templates / name)
        except BaseException:
            remove_tree(made)
            raise

    def _refresh(self, index: Path, tree: Path) -> None:
        environment = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(tree)}
        arguments = ["-c", "core.bare=false", "update-index", "-q", "--refresh"]
        self._git.patient(600).run(self._hub.path, arguments, environment=environment, ok=(0, 1))

    def _forget_templates(self) -> None:
        needed = {self._template_of(state.name) for state in self._states.iterdir() if state.is_dir()}
        known = sorted(filter(_is_template, self._templates.iterdir()), key=lambda place: place.stat().st_mtime)
        for template in [place for place in known if place.name not in needed][: -(TEMPLATES_KEPT - 1)]:
            remove_tree(template)
        for left in self._templates.glob(".new-*"):
            remove_tree(left)

    def _template_of(self, name: str) -> str | None:
        try:
            return (self._states / name / "template").read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def _bring_to(self, copy: WorkingCopy, state: Path, template: Path, trees: tuple[str, str]) -> None:
        """From the template's tree to the copy's own: what differs is written into the copy's layer."""
        shutil.copyfile(template / "index", state / "index")
        environment = {"GIT_INDEX_FILE": str(state / "index"), "GIT_WORK_TREE": str(copy.path)}
        arguments = ["-c", "core.bare=false", "read-tree", "-m", "-u", *trees]
        self._git.patient(600).run(self._hub.path, arguments, environment=environment)
        if self._owner_uid is not None:
            for folder, folders, files in os.walk(state / "upper"):
                below = copy.path / Path(folder).relative_to(state / "upper")
                for name in (*folders, *files):
                    if os.path.lexists(below / name):  # what was removed is a mark in the layer
                        os.chown(below / name, self._owner_uid, self._owner_uid, follow_symlinks=False)
            self._refresh(state / "index", copy.path)
        shutil.copyfile(state / "index", copy.path / ".git/index")

    def places(self, copy: WorkingCopy) -> list[Path]:
        if self._template_of(copy.name) is None:
            return super().places(copy)
        return [self._states / copy.name / "upper"]

    def _attach(self, copy: WorkingCopy) -> None:
        template = self._template_of(copy.name)
        if template is None:
            return  # a shared clone
        if not mounted(copy.path):
            self._mount(copy)
        index = self._states / copy.name / "index"
        if not index.exists():
            shutil.copyfile(self._templates / template / "index", index)

    def _mount(self, copy: WorkingCopy) -> None:
        state = self._states / copy.name
        template = self._template_of(copy.name)
        lower = self._templates / str(template) / "tree"
        if not lower.is_dir():
            raise GitError("what the working copy stands on is gone", where=str(lower), mend=f"see {state / 'upper'}")
        mount_overlay(lower, state / "upper", state / "work", copy.path)

    def _detach(self, copy: WorkingCopy) -> None:
        if self._template_of(copy.name) is not None:
            unmount(copy.path)

    def _discard(self, copy: WorkingCopy) -> None:
        self._record(copy.name).unlink(missing_ok=True)
        unmount(copy.path)
        super()._discard(copy)


def _is_template(place: Path) -> bool:
    return not place.name.startswith(".") and (place / "tree").is_dir()


def _tree_of(template: Path) -> str:
    return template.name.partition("-")[0]
