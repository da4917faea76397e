"""Reads a task prompt back into its parts. The prompt's headings are a documented contract; nothing else is known of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TITLE = re.compile(r"^# Task (?P<id>\S+?): (?P<title>.*)$")
FACT = re.compile(r"^(?P<name>Kind|Role|Plan|Stack|Attempt): (?P<value>.*)$")
FENCE = re.compile(r"^(`{3,}|~{3,})\s*(?P<language>[\w+-]*)\s*$")
HEADINGS = frozenset(
    {
        "What to do",
        "Files you own",
        "Interfaces to keep",
        "Expected output",
        "Acceptance",
        "Specification",
        "Neighbouring files",
        "Recent changes",
        "Notes from earlier tasks",
        "Why the last attempt was rejected",
        "Last attempt's diff",
        "What a person decided",
        "The parked tests",
        "The conflict",
        "What the session before you handed over",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One structured complaint of a gate about the last attempt."""

    gate: str
    message: str
    file: str = ""
    line: int = 0
    expected: str = ""
    provided: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    summary: str
    findings: tuple[Finding, ...]
    log_tail: str = ""

    def names(self, path: str) -> bool:
        """Whether the rejection says anything about this file."""
        return any(f.file == path or path in f.message for f in self.findings) or path in self.log_tail


@dataclass(frozen=True, slots=True)
class Brief:
    """A task prompt, parsed. `documents` are the YAML of the specification as data; `files` maps a neighbouring path to its text.
    `done` are the files that the session before this one has written.
    """

    task_id: str
    title: str
    kind: str
    stack: tuple[str, ...]
    attempt: int
    instructions: str
    owns: tuple[str, ...]
    contracts: tuple[str, ...]
    documents: tuple[object, ...]
    files: Mapping[str, str]
    rejection: Rejection | None = None
    stack_text: str = ""
    done: tuple[str, ...] = ()

    @property
    def specification(self) -> object:
        return self.documents[0] if self.documents else None

    def owns_path(self, path: str) -> bool:
        return any(path == own or (own.endswith("/") and path.startswith(own)) for own in self.owns)


@dataclass(frozen=True, slots=True)
class Head:
    """What the first lines of a task prompt say."""

    task_id: str
    kind: str
    attempt: int


@dataclass(slots=True)
class _Sections:
    title: re.Match[str] | None = None
    facts: dict[str, str] = field(default_factory=dict[str, str])
    bodies: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def body(self, heading: str) -> str:
        return "\n".join(self.bodies.get(heading, [])).strip("\n")


def head(prompt: str) -> Head | None:
    """The first lines alone, for who needs no more of it."""
    facts: dict[str, str] = {}
    title: re.Match[str] | None = None
    for line in prompt.splitlines():
        if line.startswith("## "):
            break
        title = title or TITLE.match(line)
        if fact := FACT.match(line):
            facts[fact["name"]] = fact["value"].strip()
    return Head(title["id"], facts["Kind"], _attempt(facts.get("Attempt", "1"))) if title and "Kind" in facts else None


def parse(prompt: str) -> Brief | None:
    """The task in `prompt`, or `None` when it is not a task prompt at all."""
    sections = _split(prompt)
    if sections.title is None or "Kind" not in sections.facts:
        return None
    text = _first_fence(sections.body("Specification"))
    stack = sections.facts.get("Stack", "")
    return Brief(
        task_id=sections.title["id"],
        title=sections.title["title"].strip(),
        kind=sections.facts["Kind"].strip(),
        stack=tuple(part.strip().lower() for part in stack.split(",") if part.strip()),
        attempt=_attempt(sections.facts.get("Attempt", "1")),
        instructions=sections.body("What to do"),
        owns=tuple(_bullets(sections.body("Files you own"))),
        contracts=tuple(_bullets(sections.body("Interfaces to keep"))),
        documents=_yaml(text),
        files=dict(_files(sections.body("Neighbouring files"))),
        rejection=_rejection(sections.body("Why the last attempt was rejected")),
        stack_text=stack,
        done=tuple(_done(sections.body("What the session before you handed over"))),
    )


def _split(prompt: str) -> _Sections:
    """Cut at the contract's own headings, and only outside fences: a file's text may hold headings of its own."""
    found = _Sections()
    heading = ""
    fence = ""
    for line in prompt.splitlines():
        marker = FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif marker:
            fence = marker[1]
        elif line.startswith("## ") and line[3:].strip() in HEADINGS:
            heading = line[3:].strip()
            found.bodies[heading] = []
            continue
        if heading:
            found.bodies[heading].append(line)
        elif title := TITLE.match(line):
            found.title = title
        elif fact := FACT.match(line):
            found.facts[fact["name"]] = fact["value"]
    return found


def _attempt(text: str) -> int:
    number = re.match(r"\d+", text.strip())
    return int(number[0]) if number else 1


def _bullets(body: str) -> Iterator[str]:
    for line in body.splitlines():
        if line.startswith("- "):
            yield line[2:].strip().strip("`")


def _first_fence(body: str) -> str:
    return next((text for _, text in _fences(body)), body)


def _fences(body: str) -> Iterator[tuple[str, str]]:
    """Each fenced block with the last `### ` heading before it."""
    heading = ""
    fence = ""
    lines: list[str] = []
    for line in body.splitlines():
        if fence:
            if line.strip() == fence:
                yield heading, "\n".join(lines) + "\n"
                fence, lines = "", []
            else:
                lines.append(line)
        elif marker := FENCE.match(line):
            fence = marker[1]
        elif line.startswith("### "):
            heading = line[4:].strip().strip("`")


def _files(body: str) -> Iterator[tuple[str, str]]:
    for heading, text in _fences(body):
        path = heading.split(" ")[0]
        if path:
            yield path, text


def _yaml(text: str) -> tuple[object, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return tuple(cast("Iterator[object]", yaml.load_all(text, Loader=loader)))
    except yaml.YAMLError:
        return ()


def _done(body: str) -> Iterator[str]:
    data = next(iter(_yaml(_first_fence(body))), None) if body.strip() else None
    entries = cast("dict[str, object]", data).get("changed") if isinstance(data, dict) else None
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        path = cast("dict[str, object]", entry).get("path") if isinstance(entry, dict) else None
        if isinstance(path, str):
            yield path


def _rejection(body: str) -> Rejection | None:
    if not body.strip():
        return None
    data = next(iter(_yaml(_first_fence(body))), None)
    if not isinstance(data, dict):
        return Rejection(summary=body.strip(), findings=())
    record = cast("dict[str, object]", data)
    entries = record.get("findings")
    findings = cast("list[object]", entries) if isinstance(entries, list) else []
    return Rejection(
        summary=str(record.get("summary", "")),
        findings=tuple(_finding(cast("dict[str, object]", f)) for f in findings if isinstance(f, dict)),
        log_tail=str(record.get("log_tail", "")),
    )


def _finding(entry: dict[str, object]) -> Finding:
    line = entry.get("line")
    return Finding(
        gate=str(entry.get("gate", "")),
        message=str(entry.get("message", "")),
        file=str(entry.get("file") or ""),
        line=line if isinstance(line, int) else 0,
        expected=str(entry.get("expected") or ""),
        provided=str(entry.get("provided") or ""),
    )
