"""YAML with the line of every value: the reader under specifications and plan files.

Stricter than YAML: UTF-8 only, one document, no anchors, aliases or tags (an alias bomb cannot be written), no duplicate
keys, no control characters behind an escape (an agent writes plans, and people read them in terminals), bounded in bytes,
depth and number of values. Every refusal is a `Problem` with its line and its mend.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from swarmworks.base.errors import InvalidDocumentError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_DEPTH = 24
MAX_VALUES = 400_000
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Also those that turn the direction of a text, with which it reads as another."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` is what was written; `null` says that it was nothing (or `~`); `quoted` that it cannot be anything but text."""

    text: str
    line: int
    quoted: bool = False

    @property
    def null(self) -> bool:
        return not self.quoted and self.text.lower() in {"", "~", "null"}


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    line: int
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    entries: tuple[Entry, ...]
    line: int

    def get(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)


Node = Scalar | Listing | Mapping


def read_document(path: Path, max_bytes: int) -> bytes:
    """The file's bytes. Raises InvalidDocumentError when it cannot be read or is larger than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise _refusal(str(path), 0, "no such file", "give the path of an existing YAML file") from error
    except OSError as error:
        raise _refusal(
            str(path), 0, f"cannot be read: {error.strerror}", "check the path and its permissions"
        ) from error
    if len(data) > max_bytes:
        raise _refusal(
            str(path), 0, f"larger than {max_bytes // 1024} KiB", "split it: a file this large is no plan for one swarm"
        )
    return data


def parse_document(document: str, data: bytes) -> Mapping:
    """The tree of a document that must be a mapping. Raises InvalidDocumentError."""
    text = _decode(document, data)
    _refuse_tabs(document, text)
    problems: list[Problem] = []
    try:
        root = _Reader(text, problems).read()
    except yaml.YAMLError as error:
        raise InvalidDocumentError(document, [_syntax(error, text)]) from error
    except _LimitError as error:
        raise InvalidDocumentError(document, [error.problem]) from error
    if problems:
        raise InvalidDocumentError(document, problems)
    if root is None or (isinstance(root, Scalar) and root.null):
        raise _refusal(document, 0, "the file is empty", "write at least: name, architecture, resources")
    if not isinstance(root, Mapping):
        raise _refusal(document, root.line, "the document must be a mapping", "begin with `name: ...`")
    return root


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` when something is near, else the list of what is known."""
    choices = list(known)
    near = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(choices)


def unknown_keys(node: Mapping, known: Iterable[str], where: str) -> Iterator[Problem]:
    choices = list(known)
    for entry in node.entries:
        if entry.key not in choices:
            yield Problem(entry.line, f"unknown key `{entry.key}` in {where}", suggest(entry.key, choices))


def _refusal(document: str, line: int, what: str, mend: str) -> InvalidDocumentError:
    return InvalidDocumentError(document, [Problem(line, what, mend)])


def _decode(document: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _refusal(document, line, "not UTF-8 text", "save the file as UTF-8") from error
    return text.replace("\r\n", "\n")


def _refuse_tabs(document: str, text: str) -> None:
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip():
            problems.append(Problem(number, "a tab in the indentation", "indent with spaces"))
    if problems:
        raise InvalidDocumentError(document, problems[:20])


def _syntax(error: yaml.YAMLError, text: str) -> Problem:
    mend = "check the indentation and the quotes around this line"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        what = error.problem or str(error)
        if "mapping values are not allowed" in what:
            what = "a colon followed by a space inside a value"
            mend = "put the whole value in quotes, or write `max_length 200` without the colon"
        elif "cannot start any token" in what:
            mend = "put the value in quotes"
        return Problem(line, f"not valid YAML: {what}", mend)
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return Problem(line, "a control character", "remove the character")
    return Problem(0, f"not valid YAML: {error}", mend)


class _LimitError(Exception):
    def __init__(self, event: yaml.Event, what: str, mend: str) -> None:
        super().__init__(what)
        self.problem = Problem(_line(event), what, mend)


class _Reader:
    """Builds the tree from parser events, so that nothing is resolved, constructed or expanded on the way."""

    def __init__(self, text: str, problems: list[Problem]) -> None:
        self._events = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._problems = problems
        self._values = 0

    def read(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._problem(event, "a second document", "keep one document in a file: remove the `---`")
                    return root
                root = self._node(next(self._events), 0)
        return root

    def _problem(self, event: yaml.Event, what: str, mend: str) -> None:
        self._problems.append(Problem(_line(event), what, mend))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._values += 1
        if depth > MAX_DEPTH:
            raise _LimitError(event, f"nested more than {MAX_DEPTH} deep", "flatten it")
        if self._values > MAX_VALUES:
            raise _LimitError(event, f"more than {MAX_VALUES} values", "split the file")
        if isinstance(event, yaml.AliasEvent):
            self._problem(event, "an alias", "write the value out: anchors and aliases are not allowed")
            return Scalar("", _line(event))
        self._refuse_decoration(event)
        if isinstance(event, yaml.ScalarEvent):
            if _CONTROL.search(event.value):
                self._problem(event, "a control character", "remove the character, or its escape")
            return Scalar(event.value, _line(event), quoted=event.style not in {None, ""})
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(event, depth)
        return self._mapping(event, depth)

    def _refuse_decoration(self, event: yaml.Event) -> None:
        if getattr(event, "anchor", None):
            self._problem(event, "an anchor", "write the value out: anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            self._problem(event, f"a tag `{getattr(event, 'tag', '')}`", "remove the tag")

    def _listing(self, start: yaml.Event, depth: int) -> Listing:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Listing(tuple(items), _line(start))

    def _mapping(self, start: yaml.Event, depth: int) -> Mapping:
        entries: list[Entry] = []
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._problem(
                    event, "a key that is not a word", "write `key: value`; quote values that begin with { or ["
                )
            elif key.text in lines:
                self._problem(
                    event, f"`{key.text}` stands here twice, first on line {lines[key.text]}", "remove one of the two"
                )
            else:
                lines[key.text] = key.line
                entries.append(Entry(key.text, key.line, value))
        return Mapping(tuple(entries), _line(start))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
