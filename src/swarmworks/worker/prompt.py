"""What an agent is told: the system prompt of its role and the task prompt, built from data files, within a bound.

Pure: the worker gathers the context, this module writes it down. When it does not fit, it is cut in this order, and the
prompt says so where it was cut: recent changes first, then neighbouring files (the last ones first), then the last
attempt's diff, then a parked change that does not apply, then notes from earlier tasks, then the rejection's log. The task
itself, what a person decided and the rejection's findings are never cut.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from swarmworks.base.errors import LimitReachedError
from swarmworks.domain.handoff import Handoff
from swarmworks.domain.plan import PlannedTask, Stack
from swarmworks.domain.rejection import Rejection
from swarmworks.policy.wording import fenced
from swarmworks.wire import rejection as rejection_wire

DEFAULT_BUDGET_BYTES = 120_000
MAX_FILE_BYTES = 24 << 10
MAX_DIFF_BYTES = 32 << 10
MAX_REJECTION_BYTES = 16 << 10
MAX_NOTES = 40
MAX_NOTE_CHARS = 500
MAX_RECENT = 20
MAX_SUBJECT_CHARS = 120
MAX_GUIDANCE_CHARS = 8_000
LEAST_PART_BYTES = 512
"""A smaller part of a file or diff is of no use: it is left out whole."""

_SECTION_RESERVE_BYTES = 250  # a heading and the sentence that says what was left out
_SECTIONS = 6
_TEMPLATES = Path(__file__).with_name("prompts")
_ROLES = frozenset({"api", "database", "testing", "documentation", "review", "planner", "generalist"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class RecentChange:
    commit: str
    subject: str
    agent: str


@dataclass(frozen=True, slots=True)
class EarlierNote:
    task_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ParkedTests:
    """The parked change of `task_id`: it is in the working copy, unless it conflicts there; then `diff` shows it."""

    task_id: str
    paths: tuple[str, ...]
    conflicts: tuple[str, ...] = ()
    diff: str = ""


@dataclass(frozen=True, slots=True)
class BothSides:
    """The task's change (`paths`) merged with what landed meanwhile: both are in the working copy, in `conflicts` with markers.
    `generated`: those of them that `commands` make anew.
    """

    paths: tuple[str, ...]
    conflicts: tuple[str, ...]
    generated: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What a session says whose context was used up, and what it wrote; None when it wrote nothing."""

    handoff: Handoff
    work: ParkedTests | None


@dataclass(frozen=True, slots=True)
class PromptContext:
    """`files` are neighbours at the base commit in order of importance, None for one that does not exist yet.
    `recent_changes` come newest first. `last_diff` is the diff of the last attempt, `guidance` what a person decided; ""
    when there is none. `reach` are the hosts and `databases` the databases its role may reach. `context_budget_bytes` bounds system and task prompt together.
    """

    task: PlannedTask
    plan_name: str
    stack: Stack
    attempt: int
    max_attempts: int
    files: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    recent_changes: tuple[RecentChange, ...] = ()
    notes: tuple[EarlierNote, ...] = ()
    rejection: Rejection | None = None
    last_diff: str = ""
    parked: ParkedTests | None = None
    both_sides: BothSides | None = None
    taken_over: TakenOver | None = None
    guidance: str = ""
    reach: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    context_budget_bytes: int = DEFAULT_BUDGET_BYTES


@dataclass(frozen=True, slots=True)
class Prompt:
    """`template_sha256` identifies the data files it was built from; `cut` names the sections that were cut."""

    system: str
    task: str
    template_sha256: str
    cut: tuple[str, ...] = ()


def build_prompt(context: PromptContext) -> Prompt:
    """LimitReachedError when the task itself is larger than the budget."""
    system = _system(context.task.role, context.reach, context.databases)
    core = _task(context, _Sections(rejection=_rejection(context.rejection, 0), summary=_summary(context.taken_over)))
    room = _Room(context.context_budget_bytes - _size(system) - _size(core) - _SECTIONS * _SECTION_RESERVE_BYTES)
    if room.left < 0:
        raise LimitReachedError(
            f"the task's prompt is larger than {context.context_budget_bytes} bytes",
            where=f"task {context.task.id}",
            mend="split the task, shorten its specification, or raise the context budget",
        )
    sections = _fill(context, room)
    return Prompt(system, _task(context, sections), template_sha256(), tuple(room.cut))


def hand_over(reason: str) -> str:
    """What an agent is told whose session is to hand over to a fresh one."""
    return _environment().get_template("hand_over.md.j2").render(reason=one_line(reason))


@cache
def template_sha256() -> str:
    digest = hashlib.sha256()
    for path in sorted(_TEMPLATES.glob("*.md.j2")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def one_line(text: str) -> str:
    """Without line breaks and control characters: it cannot begin a heading or a block of its own."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _foreign_line(text: str) -> str:
    """What another agent wrote and stands outside of a fence: no backticks either."""
    return one_line(text).replace("`", "'")


@dataclass(slots=True)
class _Sections:
    files: str = ""
    recent_changes: str = ""
    notes: str = ""
    rejection: str = ""
    last_diff: str = ""
    parked_diff: str = ""
    summary: str = ""


@dataclass(slots=True)
class _Room:
    """The bytes that are left for what may be cut, and the names of the sections that were."""

    left: int
    cut: list[str] = field(default_factory=list[str])

    def take(self, block: str) -> bool:
        """Whether `block` and the empty line after it fit; if so they are paid for."""
        size = _size(block) + 2
        if size > self.left:
            return False
        self.left -= size
        return True

    def note_cut(self, section: str) -> None:
        if section not in self.cut:
            self.cut.append(section)


def _fill(context: PromptContext, room: _Room) -> _Sections:
    """In order of importance: what comes last is cut first."""
    sections = _Sections(summary=_summary(context.taken_over))
    sections.rejection = _rejection_with_log(context.rejection, room)
    sections.notes = _notes(context.notes, room)
    begun = context.parked or (context.taken_over.work if context.taken_over else None)
    sections.parked_diff = _diff(begun.diff if begun else "", room, "parked diff")
    sections.last_diff = _diff(context.last_diff, room, "last diff")
    sections.files = _files(context.files, room)
    sections.recent_changes = _recent_changes(context.recent_changes, room)
    return sections


def _rejection(rejection: Rejection | None, log_bytes: int) -> str:
    """Findings are kept from the first on, as many as MAX_REJECTION_BYTES can hold."""
    if rejection is None:
        return ""
    log_tail = rejection_wire.tail(rejection.log_tail, log_bytes) if log_bytes > 0 else ""
    shown = replace(rejection, log_tail="")
    count = len(rejection.findings)
    while _size(rejection_wire.as_yaml(shown)) > MAX_REJECTION_BYTES and shown.findings:
        kept = shown.findings[: len(shown.findings) // 2]
        summary = f"{rejection.summary[:800]} (the first {len(kept)} of {count} findings are shown)"
        shown = replace(shown, findings=kept, summary=summary)
    return fenced(rejection_wire.as_yaml(replace(shown, log_tail=log_tail)), "yaml")


def _rejection_with_log(rejection: Rejection | None, room: _Room) -> str:
    """The log may grow in YAML (indentation, escapes), so its part is halved until it fits."""
    bare = _rejection(rejection, 0)
    if rejection is None or not rejection.log_tail:
        return bare
    log_bytes = rejection_wire.LOG_TAIL_BYTES
    while log_bytes >= LEAST_PART_BYTES:
        block = _rejection(rejection, log_bytes)
        growth = _size(block) - _size(bare)
        if growth <= room.left:
            room.left -= max(0, growth)
            return block
        room.note_cut("rejection log")
        log_bytes //= 2
    return bare


def _notes(notes: tuple[EarlierNote, ...], room: _Room) -> str:
    rows: list[str] = []
    for note in notes[:MAX_NOTES]:
        row = f"- {one_line(note.task_id)}: {_clip(' '.join(note.text.split()), MAX_NOTE_CHARS)}"
        if not room.take(row):
            break
        rows.append(row)
    left_out = _left_out(len(notes) - len(rows), "note", "", room, "notes")
    return _joined(fenced("\n".join(rows)) if rows else "", left_out)


def _diff(diff: str, room: _Room, section: str) -> str:
    if not diff.strip():
        return ""
    block, shown = _fitting(diff, "diff", min(MAX_DIFF_BYTES, room.left), room)
    if shown == _size(diff):
        return block
    room.note_cut(section)
    return _joined(block, f"(cut: {shown} of {_size(diff)} bytes are shown)")


def _files(files: Mapping[str, str | None], room: _Room) -> str:
    blocks: list[str] = []
    missing = 0
    for path, content in files.items():
        heading = f"### {one_line(path)}"
        if content is None:
            block, shown, size = "(does not exist yet)", 0, 0
            fits = room.take(f"{heading}\n\n{block}")
        else:
            size = _size(content)
            limit = min(MAX_FILE_BYTES, room.left - _size(heading) - 100)
            block, shown = _fitting(content, _language(path), limit, room)
            fits = bool(block) and room.take(heading + " " * 100)
        if not fits:
            missing += 1
            continue
        notice = "" if shown == size else f"(cut: {shown} of {size} bytes are shown; read the file for the rest)"
        if notice:
            room.note_cut("neighbouring files")
        blocks.append(_joined(heading, block, notice))
    mend = "; read the ones you need"
    return _joined(*blocks, _left_out(missing, "file", mend, room, "neighbouring files"))


def _recent_changes(changes: tuple[RecentChange, ...], room: _Room) -> str:
    rows: list[str] = []
    for change in changes[:MAX_RECENT]:
        subject = _clip(_foreign_line(change.subject), MAX_SUBJECT_CHARS)
        row = f"- {one_line(change.commit)[:12]} {subject} ({_foreign_line(change.agent)})"
        if not room.take(row):
            break
        rows.append(row)
    return _joined("\n".join(rows), _left_out(len(changes) - len(rows), "older change", "", room, "recent changes"))


def _fitting(text: str, language: str, limit: int, room: _Room) -> tuple[str, int]:
    """The fenced text, cut at a line's end when it is larger than `limit`, and how many of its bytes are in it; ("", 0)
    when there is no room for a useful part.
    """
    whole = fenced(text, language)
    if _size(whole) <= limit and room.take(whole):
        return whole, _size(text)
    fence_bytes = _size(whole) - _size(text)
    part = text.encode("utf-8", "replace")[: max(0, limit - fence_bytes - 4)].decode("utf-8", "ignore")
    part = part[: part.rfind("\n") + 1] or part
    block = fenced(part, language)
    if _size(part) < LEAST_PART_BYTES or not room.take(block):
        return "", 0
    return block, _size(part)


def _left_out(count: int, what: str, mend: str, room: _Room, section: str) -> str:
    if count <= 0:
        return ""
    room.note_cut(section)
    return f"(cut: {count} {what}{'s' if count != 1 else ''} left out to keep the context within its bound{mend})"


def _joined(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _language(path: str) -> str:
    suffix = path.rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""
    return {"py": "python", "md": "markdown", "yml": "yaml"}.get(suffix, suffix if suffix.isalnum() else "")


def _system(role: str, reach: tuple[str, ...], databases: tuple[str, ...]) -> str:
    known = role if role in _ROLES else "generalist"
    template = _environment().get_template("system.md.j2")
    return template.render(role=one_line(role), role_template=f"role_{known}.md.j2", reach=reach, databases=databases)


def _task(context: PromptContext, sections: _Sections) -> str:
    stack = context.stack
    return (
        _environment()
        .get_template("task.md.j2")
        .render(
            task=context.task,
            plan_name=context.plan_name,
            stack=[part for part in (stack.language, stack.framework, stack.database) if part],
            attempt=context.attempt,
            max_attempts=context.max_attempts,
            files=sections.files,
            recent_changes=sections.recent_changes,
            notes=sections.notes,
            rejection=sections.rejection,
            last_diff=sections.last_diff,
            parked=context.parked,
            parked_diff=sections.parked_diff,
            both_sides=context.both_sides,
            taken_over=context.taken_over,
            summary=sections.summary,
            guidance=_quoted(context.guidance),
        )
    )


def _summary(taken_over: TakenOver | None) -> str:
    """A handoff is bounded as it is: never cut."""
    if taken_over is None:
        return ""
    handoff = taken_over.handoff
    document = {
        "done": handoff.done,
        "changed": [{"path": file.path, "what": file.what} for file in handoff.changed],
        "notes": list(handoff.notes),
        "risks": list(handoff.risks),
    }
    return fenced(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), "yaml")


def _quoted(text: str) -> str:
    """A person's words as a quotation: no line of them is taken for a heading of the prompt."""
    cut = _clip(_CONTROL.sub(" ", text.strip()), MAX_GUIDANCE_CHARS)
    return "\n".join(f"> {line}".rstrip() for line in cut.splitlines())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (Markdown for a model, not HTML)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"fenced": fenced, "one_line": one_line}  # pyright: ignore[reportUnknownMemberType]
    return environment
