"""The tool that ends a session: what the model says is checked and bounded here, and once more on the host."""

from __future__ import annotations

from swarmworks.agent import document
from swarmworks.base.errors import ToolError

OUTCOMES = ("submitted", "nothing_to_do", "needs_answer")
HANDED_OFF = "handed_off"
"""Only of a session that was asked to hand over to a fresh one."""
MAX_DONE_CHARS = 2_000
MAX_CHANGED = 200
MAX_PATH_CHARS = 500
MAX_WHAT_CHARS = 300
MAX_ITEMS = 20
MAX_ITEM_CHARS = 500
MAX_QUESTION_CHARS = 2_000
MAX_DROPPED = 200
MAX_LINE_CHARS = 1_000

Handoff = dict[str, object]


def checked(arguments: dict[str, object], *, may_hand_over: bool = False) -> Handoff:
    """The handoff in its wire form. ToolError says everything that is wrong, so that the model can mend it at once."""
    problems: list[str] = []
    outcome = arguments.get("outcome")
    outcomes = (*OUTCOMES, HANDED_OFF) if may_hand_over else OUTCOMES
    if outcome not in outcomes:
        problems.append(f"outcome must be one of {', '.join(outcomes)}")
    done = _text(arguments.get("done"), "done", MAX_DONE_CHARS, problems)
    if not done.strip():
        problems.append("done must say what was done")
    changed = _changed(arguments, problems)
    notes = _texts(arguments, "notes", problems)
    risks = _texts(arguments, "risks", problems)
    dropped = _dropped(arguments, problems)
    question = _text(arguments.get("question", ""), "question", MAX_QUESTION_CHARS, problems)
    if outcome == "needs_answer" and not question.strip():
        problems.append("question must say what a person is to answer")
    if problems:
        raise ToolError("not handed in: " + "; ".join(problems[:20]))
    handoff: Handoff = {"outcome": outcome, "done": done, "changed": changed, "notes": notes, "risks": risks}
    handoff |= {"dropped": dropped} if dropped else {}
    return {**handoff, "question": question} if question else handoff


def progress(written: list[str], last_words: str) -> Handoff:
    """The handoff of a session whose context is exhausted: facts only, written by the program, not by the model."""
    words = document.clip(last_words, MAX_ITEM_CHARS - 60)
    return {
        "outcome": HANDED_OFF,
        "done": "The session's context was exhausted before it handed in. What it wrote is in the working copy.",
        "changed": [{"path": path[:MAX_PATH_CHARS], "what": "written, unfinished"} for path in written[:MAX_CHANGED]],
        "notes": [f"Last words: {words}"] if words else [],
        "risks": ["Unfinished: nothing was verified."],
    }


def _text(value: object, name: str, limit: int, problems: list[str]) -> str:
    if not isinstance(value, str):
        problems.append(f"{name} must be a text")
        return ""
    if len(value) > limit:
        problems.append(f"{name} has {len(value)} characters, at most {limit} are allowed")
    return document.text(value)


def _texts(arguments: dict[str, object], name: str, problems: list[str]) -> list[str]:
    values = document.items(arguments.get(name))
    if not isinstance(arguments.get(name, []), list):
        problems.append(f"{name} must be a list of texts")
    if len(values) > MAX_ITEMS:
        problems.append(f"{name} has {len(values)} items, at most {MAX_ITEMS} are allowed")
    return [_text(item, f"{name}[{i}]", MAX_ITEM_CHARS, problems) for i, item in enumerate(values[:MAX_ITEMS])]


def _changed(arguments: dict[str, object], problems: list[str]) -> list[dict[str, str]]:
    values = document.items(arguments.get("changed"))
    if not isinstance(arguments.get("changed", []), list):
        problems.append("changed must be a list of {path, what}")
    if len(values) > MAX_CHANGED:
        problems.append(f"changed has {len(values)} items, at most {MAX_CHANGED} are allowed")
    found: list[dict[str, str]] = []
    for number, item in enumerate(values[:MAX_CHANGED]):
        fields = document.mapping(item)
        path = _text(fields.get("path"), f"changed[{number}].path", MAX_PATH_CHARS, problems)
        what = _text(fields.get("what"), f"changed[{number}].what", MAX_WHAT_CHARS, problems)
        found.append({"path": path, "what": what})
    return found


def _dropped(arguments: dict[str, object], problems: list[str]) -> list[dict[str, str]]:
    values = document.items(arguments.get("dropped"))
    if not isinstance(arguments.get("dropped", []), list):
        problems.append("dropped must be a list of {path, line, why}")
    if len(values) > MAX_DROPPED:
        problems.append(f"dropped has {len(values)} items, at most {MAX_DROPPED} are allowed")
    limits = {"path": MAX_PATH_CHARS, "line": MAX_LINE_CHARS, "why": MAX_ITEM_CHARS}
    found: list[dict[str, str]] = []
    for number, item in enumerate(values[:MAX_DROPPED]):
        fields = document.mapping(item)
        row = {
            name: _text(fields.get(name), f"dropped[{number}].{name}", most, problems) for name, most in limits.items()
        }
        problems += [f"dropped[{number}].{name} is empty" for name, text in row.items() if not text.strip()]
        found.append(row)
    return found
