"""Whether a test that has to be kept still is what it was: its lines, its definitions, and that it ran and passed. Pure."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.policy.testfiles import base_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SWITCHED_OFF = re.compile(
    r"\b(?:xit|xdescribe|xtest)\b|\.(?:skip\w*|todo|only|failing)\b|@(?:Disabled|Ignore)\b|#\[ignore|\bt\.Skip",
    re.IGNORECASE,
)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Weakened:
    """`line` counts in the kept file (`kept` given to `weakened`) or, for what is gone, in the file as it was written."""

    line: int
    message: str
    expected: str = ""


def weakened(path: str, before: str | None, written: str, kept: str | None) -> list[Weakened]:
    """What of the test file `path` was lost between `written` (as its author handed it in, on `before`) and `kept`. In
    Python, a definition the author wrote or touched must be the same to the last detail, which finds what lines do not
    show: an early `return`, a decorator, a second definition of the name. Elsewhere, added lines that switch tests off.
    """
    if kept is None:
        return [Weakened(0, "the test file is gone")]
    found = list(_lost_lines(before or "", written, kept))
    if not path.endswith(".py"):
        return found + list(_switched_off(written, kept))
    trees = _parsed(written), _parsed(kept)
    if trees[0] is None or trees[1] is None:  # it cannot pass, whatever else it is
        return found
    was, now = _Definitions(trees[0], written), _Definitions(trees[1], kept)
    touched = _added(before or "", written)
    return [*found, *_changed(was, now, touched), *_hidden(trees[0], was, now, touched)]


def not_passed(expected: Iterable[str], passed: Iterable[str]) -> list[str]:
    """Tests that had to run and pass and did not, whatever their parameters are called now."""
    good = {base_name(name) for name in passed}
    return [name for name in dict.fromkeys(map(base_name, expected)) if name not in good]


def _lost_lines(before: str, written: str, kept: str) -> Iterator[Weakened]:
    lost = Counter(_lines(written)) - Counter(_lines(before))
    lost -= Counter(_lines(kept))
    for number, line in enumerate(_lines(written), start=1):
        if lost[line] > 0 and line.strip():
            lost[line] -= 1
            yield Weakened(number, "a line of the test is gone or was changed", line.strip())


class _Definitions:
    """Functions and classes of a module, and what is in its classes, under their dotted names, each as it is written; of a
    class only what stands before its body. `bound` are names that are set in another way, with the lines.
    """

    def __init__(self, tree: ast.Module, text: str) -> None:
        self.texts = dict[str, list[tuple[range, tuple[str, ...]]]]()
        self.bound = dict[str, list[int]]()
        lines = _lines(text)
        for said in (each for each in ast.walk(tree) if isinstance(each, ast.Global)):  # set by a function
            for name in said.names:
                self.bound.setdefault(name, []).append(said.lineno)
        pending: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
        while pending:
            prefix, node = pending.pop(0)
            if not isinstance(node, _Definition):
                self._note_bound(prefix, node)
                continue
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            last = node.end_lineno or node.lineno
            if isinstance(node, ast.ClassDef):
                pending += [(f"{prefix}{node.name}.", inner) for inner in node.body]
                last = node.lineno
            written = tuple(lines[first - 1 : last])
            self.texts.setdefault(f"{prefix}{node.name}", []).append((range(first, last + 1), written))

    def places(self, name: str) -> list[int]:
        """The lines that give the module's `name` a meaning."""
        return sorted([*self.bound.get(name, ()), *(lines.start for lines, _ in self.texts.get(name, ()))])

    def _note_bound(self, prefix: str, node: ast.stmt) -> None:
        for inner in ast.walk(node):
            name = ""
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                name = inner.id
            elif isinstance(inner, ast.alias):
                name = inner.asname or inner.name
            elif isinstance(inner, _Definition | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
                name = inner.name or ""  # a definition under a condition, in a `try`
            if name:
                self.bound.setdefault(f"{prefix}{name}", []).append(node.lineno)


def _changed(was: _Definitions, now: _Definitions, touched: frozenset[int]) -> Iterator[Weakened]:
    for name, places in was.texts.items():
        if all(touched.isdisjoint(lines) for lines, _ in places):
            continue
        there = now.texts.get(name, [])
        if not there:
            yield Weakened(places[0][0].start, f"{name} is gone")
        elif len(there) > len(places):
            yield Weakened(there[-1][0].start, f"{name} is defined a second time, which hides the first")
        elif [text for _, text in there] != [text for _, text in places]:
            yield Weakened(there[0][0].start, f"{name} was changed")
        elif name in now.bound and name not in was.bound:
            yield Weakened(now.bound[name][0], f"{name} is set a second time, which hides the first")


def _hidden(tree: ast.Module, was: _Definitions, now: _Definitions, touched: frozenset[int]) -> Iterator[Weakened]:
    """Names of the module that the author's definitions use and that mean something else now: `price = print`, below the
    import of `price`, leaves every line of a test as it is.
    """
    written = (
        node
        for node in ast.walk(tree)
        if isinstance(node, _Definition) and not touched.isdisjoint(range(node.lineno, (node.end_lineno or 0) + 1))
    )
    used = dict.fromkeys(name for node in written for name in _global_names(node))
    for name in used:
        places = now.places(name)
        if name not in was.texts and len(places) > len(was.places(name)):
            yield Weakened(places[-1], f"{name}, which the test uses, is set once more")
    stars = now.places("*")
    if used and len(stars) > len(was.places("*")):
        yield Weakened(stars[-1], "an import of everything can hide what the test uses")


def _global_names(node: ast.AST) -> list[str]:
    """What it reads and does not set itself."""
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    own = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return [name.id for name in names if name.id not in own]


def _switched_off(written: str, kept: str) -> Iterator[Weakened]:
    lines = _lines(kept)
    for number in sorted(_added(written, kept)):
        if _SWITCHED_OFF.search(lines[number - 1]):
            yield Weakened(number, "a line that can switch tests off was added", lines[number - 1].strip())


def _added(before: str, after: str) -> frozenset[int]:
    """Numbers of the lines of `after` that `before` does not have."""
    matcher = difflib.SequenceMatcher(None, _lines(before), _lines(after), autojunk=False)
    spans = (range(start + 1, end + 1) for tag, _, _, start, end in matcher.get_opcodes() if tag != "equal")
    return frozenset(number for span in spans for number in span)


def _lines(text: str) -> Sequence[str]:
    return [line.removesuffix("\r") for line in text.split("\n")]


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of somebody else's code, which is not run here
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
