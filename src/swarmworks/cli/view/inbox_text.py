"""The inbox in words: the list of what waits, and everything about one of them. For the terminal and for the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmworks.cli.view.amounts import counted, dollars, duration, plain, shortened, tokens
from swarmworks.policy.wording import breaks_drawn
from swarmworks.wire.inbox import ChangedFile, ChangeSize, InboxAttempt, InboxDetail, InboxFinding, InboxItem

WIDTH = 100
MOST_FINDINGS = 15
MOST_FILES = 40
MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Line:
    """`style` as rich names it, "" for none."""

    text: str = ""
    style: str = ""


def age(seconds: float) -> str:
    """One unit is enough: `40 s`, `12 min`, `3 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def what_it_is(item: InboxItem) -> str:
    if item.kind == "review":
        return f"review of {item.task_id or item.subject}"
    return f"question from {item.task_id}" if item.kind == "question" else f"blocked: {item.task_id}"


def asked(item: InboxItem) -> str:
    """The gate's question, the agent's question, or why it is blocked."""
    words = plain(item.what) or plain(item.title)
    return f"{item.gate}: {words}" if item.gate else words


def actions(item: InboxItem, at: str = "") -> list[str]:
    """Commands that work as they are printed."""
    if item.kind == "review":
        return [f"swarm approve{at} {item.short}", f'swarm reject{at} {item.short} --reason "what is wrong"']
    if item.kind == "question":
        return [f'swarm answer{at} {item.short} "what you say"']
    return [f'swarm retry{at} {item.short} --note "what to mind"', f'swarm cancel{at} {item.short} --reason "why"']


def inbox_lines(items: Sequence[InboxItem], at: str = "", width: int = WIDTH) -> Iterator[str]:
    """`at` as `place_option` gives it."""
    if not items:
        yield "Nothing waits for you."
        return
    yield f"{counted(len(items), 'thing')} {'waits' if len(items) == 1 else 'wait'} for you, the longest waiting first"
    yield ""
    ids = min(24, max(len(item.short) for item in items))
    kinds = min(30, max(len(what_it_is(item)) for item in items))
    for item in items:
        held = f"  ({counted(item.waiting, 'task')} behind it)" if item.waiting else ""
        head = f"  {item.short:<{ids}}  {shortened(what_it_is(item), kinds):<{kinds}}  {age(item.age_s):>6}  "
        yield shortened(head + asked(item), max(len(head) + 20, width - len(held))) + held
    yield ""
    yield f"Look at one: swarm inbox{at} {items[0].short}"
    yield f"Decide it:   {actions(items[0], at)[0]}"


def detail_lines(detail: InboxDetail, at: str = "") -> Iterator[Line]:
    yield from _head(detail)
    yield from _task(detail)
    yield from _attempts(detail.attempts)
    yield from _last_rejection(detail)
    yield from _files(detail.changed, detail.whole)
    if detail.diff:
        yield Line()
        yield from diff_lines(detail.diff)
        if detail.diff_cut:
            yield Line("the rest of the difference is left out", "dim")
    yield Line()
    for command in actions(detail.item, at):
        yield Line(command, "bold")


def _head(detail: InboxDetail) -> Iterator[Line]:
    item = detail.item
    yield Line(f"{what_it_is(item)}: {plain(item.title)}", "bold")
    yield Line(f"{item.id}, of {plain(item.plan_name)} ({item.swarm_id}, {item.swarm_state})", "dim")
    held = f"; {counted(len(detail.dependents), 'task')} behind it: {_named(detail.dependents)}"
    behind = held if detail.dependents else f"; {counted(item.waiting, 'task')} held up" if item.waiting else ""
    yield Line(f"waits for {duration(item.age_s)}{behind}")
    yield Line()
    yield Line(asked(item), "bold yellow")
    if item.kind == "review":
        yield Line(f"may decide: {', '.join(plain(one) for one in item.deciders) or 'anybody'}")
    if item.advice:
        yield Line()
        yield Line("a model's advice:", "bold")
        yield from _block(item.advice)


def _task(detail: InboxDetail) -> Iterator[Line]:
    if detail.instructions:
        yield Line()
        yield from _block(detail.instructions)
    for statement in detail.acceptance:
        yield Line(f"  - {plain(statement)}")
    if detail.guidance:
        yield Line()
        yield Line("a person said for the next attempt:", "bold")
        yield from _block(detail.guidance)
    if detail.plan:
        yield Line()
        tasks = detail.tasks or len(detail.plan)
        yield Line(f"{counted(tasks, 'task')}:", "bold")
        yield from (Line(f"  {plain(line)}") for line in detail.plan)
        yield from _more(tasks - len(detail.plan), "  ")


def _attempts(attempts: Sequence[InboxAttempt]) -> Iterator[Line]:
    if attempts:
        yield Line()
        yield Line("what was tried", "bold")
    for one in attempts:
        spent = f"{dollars(one.cost_nano_usd)}, {tokens(one.tokens)} tokens"
        fate = one.change_state or one.outcome
        yield Line(f"  attempt {one.attempt}  {one.agent} with {one.model}  {fate}  {spent}", _style(fate))
        if one.reason and one.change_id is None:
            yield Line(f"    {plain(one.reason)}")
        if one.did:
            yield Line(f"    did: {shortened(plain(one.did), 300)}")
        if one.passed:
            yield Line(f"    passed: {', '.join(one.passed)}", "green")
        for failure in one.failed:
            yield Line(f"    {plain(failure)}", "red")
        yield from _findings(one.findings)


def _last_rejection(detail: InboxDetail) -> Iterator[Line]:
    """What the attempts do not tell already, such as a conflict with what landed meanwhile."""
    told = {(one.file, one.line, one.message) for attempt in detail.attempts for one in attempt.findings}
    new = [one for one in detail.findings if (one.file, one.line, one.message) not in told]
    if detail.rejection and (new or not detail.findings):
        yield Line()
        yield Line(f"the last rejection: {plain(detail.rejection)}", "red")
        yield from _findings(new)


def _findings(findings: Sequence[InboxFinding]) -> Iterator[Line]:
    for one in findings[:MOST_FINDINGS]:
        place = f"{one.file}:{one.line}" if one.file and one.line else one.file
        yield Line(f"    {plain(f'{place}: {one.message}' if place else f'{one.gate}: {one.message}')}")
    yield from _more(len(findings) - MOST_FINDINGS, "    ")


def _files(changed: Sequence[ChangedFile], whole: ChangeSize | None) -> Iterator[Line]:
    if not changed:
        return
    size = whole or _size(changed)
    yield Line()
    yield Line(f"the change: {counted(size.files, 'file')}, +{size.added} -{size.removed}", "bold")
    for one in changed[:MOST_FILES]:
        lines = "binary" if one.added is None else f"+{one.added} -{one.removed or 0}"
        yield Line(f"  {one.status} {plain(one.path)}  {lines}")
    yield from _more(size.files - min(len(changed), MOST_FILES), "  ")


def _size(changed: Sequence[ChangedFile]) -> ChangeSize:
    added = sum(one.added or 0 for one in changed)
    removed = sum(one.removed or 0 for one in changed)
    return ChangeSize(files=len(changed), added=added, removed=removed)


def _more(count: int, indent: str) -> Iterator[Line]:
    if count > 0:
        yield Line(f"{indent}and {count:,} more", "dim")


def diff_lines(diff: str) -> Iterator[Line]:
    for text in breaks_drawn(diff).removesuffix("\n").split("\n"):
        shown = "".join(letter if letter.isprintable() else " " for letter in text.removesuffix("\r").expandtabs(4))
        yield Line(shown, _diff_style(text))


def _diff_style(text: str) -> str:
    if text.startswith(("+++", "---", "diff ", "index ", "new file", "deleted file")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(text[:1], "")


def _style(fate: str) -> str:
    return "red" if fate in {"rejected", "failed", "stopped", "lost"} else ""


def _block(text: str) -> Iterator[Line]:
    return (Line(f"  {plain(line)}") for line in text.strip().splitlines())


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(ids[:MOST_NAMED]) + more
