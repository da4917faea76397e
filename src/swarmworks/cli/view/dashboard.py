"""One frame of the live dashboard, as lines that fit the terminal: from facts to text, nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.text import Text

from swarmworks.cli.view.amounts import clock, counted, dollars, percent, plain, shortened, tokens
from swarmworks.cli.view.phrases import Mood, Phrase
from swarmworks.wire.api import AgentStatus, SwarmStatus

LABEL = 10
MOST_NAME = 22
MOST_TASK = 34
MOST_EVENTS = 10
LEAST_EVENTS = 3
FIXED_LINES = 10
"""Head, bar, counts, four figures and the blank lines between the parts."""

DONE = ("landed", "nothing_to_do", "superseded", "cancelled")
PARTS: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("done", DONE, "green"),
    ("merging", ("queued",), "blue"),
    ("in review", ("review",), "cyan"),
    ("at work", ("running",), "yellow"),
    ("blocked", ("blocked",), "red"),
    ("ready", ("ready",), "bright_black"),
    ("waiting", ("waiting",), "bright_black"),
)
MOODS = {Mood.NEUTRAL: "", Mood.GOOD: "green", Mood.CARE: "yellow", Mood.BAD: "red"}
STATES = {"running": "green", "stopping": "yellow", "stopped": "yellow", "blocked": "red", "landed": "green"}


@dataclass(frozen=True, slots=True)
class News:
    """What happened, and how long after the swarm was created, in seconds."""

    at_s: float
    phrase: Phrase


@dataclass(frozen=True, slots=True)
class Facts:
    """`since_s`: seconds since `status` was taken. `setting_up_s`: how long the environment is being built, None when it
    is not. `notice`: the latest word to the person.
    """

    status: SwarmStatus
    news: Sequence[News]
    since_s: float = 0.0
    setting_up_s: float | None = None
    notice: str = ""

    @property
    def elapsed_s(self) -> float:
        return self.status.elapsed_s + self.since_s


def frame(facts: Facts, width: int, height: int) -> list[Text]:
    """Never wider than `width`, nor higher than `height`: what does not fit is left out from the end of its part."""
    for_agents, for_news = _share(len(facts.status.agents), height)
    parts = [
        [_head(facts, width), _bar(facts.status, width), _counts(facts.status)],
        [*_agents(facts, for_agents, width)],
        [*_figures(facts)],
        [*_notice(facts, width), *_news(facts, for_news)][: max(for_news, 1)],
    ]
    lines: list[Text] = []
    for part in parts:
        if part and lines:
            lines.append(Text())
        lines += part
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _share(agents: int, height: int) -> tuple[int, int]:
    """Lines for the agents and for the news. The agents come first, once there are a few lines of news."""
    free = max(0, height - FIXED_LINES)
    for_agents = min(agents, max(0, free - LEAST_EVENTS))
    return for_agents, min(MOST_EVENTS, free - for_agents)


def _head(facts: Facts, width: int) -> Text:
    status = facts.status
    head = Text.assemble((status.plan_name, "bold"), "  ", (status.state, STATES.get(status.state, "")))
    times = Text(clock(facts.elapsed_s))
    if status.remaining_s is not None:
        times.append(f", about {_about(status.remaining_s - facts.since_s)} left", style="dim")
    room = width - times.cell_len - 2
    head.truncate(max(0, room), overflow="ellipsis", pad=True)
    return head.append("  ").append_text(times)


def _about(seconds: float) -> str:
    """Coarse, since it is a guess: it does not flutter from second to second."""
    if seconds < 60:
        return "a minute"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _bar(status: SwarmStatus, width: int) -> Text:
    total = sum(status.tasks.values())
    done = sum(status.tasks.get(state, 0) for state in DONE)
    label = f"  {done} of {total} tasks"
    room = max(10, width - len(label))
    bar = Text()
    for (_, _, color), cells in zip(PARTS, _cells(status, room), strict=True):
        bar.append("━" * cells, style=color)
    return bar.append(label)


def _cells(status: SwarmStatus, room: int) -> list[int]:
    """Widths by largest remainder, so that they add up to `room`; what exists has at least one cell where there is room."""
    numbers = [sum(status.tasks.get(state, 0) for state in states) for _, states, _ in PARTS]
    total = sum(numbers)
    if total == 0:
        return [0] * (len(PARTS) - 1) + [room]
    shares = [number * room / total for number in numbers]
    cells = [max(int(share), 1 if share > 0 else 0) for share in shares]
    order = sorted(range(len(cells)), key=lambda index: shares[index] - cells[index], reverse=True)
    for index in order:
        if sum(cells) < room:
            cells[index] += 1
    while sum(cells) > room:
        cells[cells.index(max(cells))] -= 1
    return cells


def _counts(status: SwarmStatus) -> Text:
    line = Text()
    for name, states, color in PARTS:
        number = sum(status.tasks.get(state, 0) for state in states)
        if number:
            line.append("   " if line else "").append(str(number), style=f"bold {color}").append(
                f" {name}", style="dim"
            )
    return line


def _agents(facts: Facts, lines: int, width: int) -> Iterator[Text]:
    """The busy ones first, the longest at it at the top, so that a row moves only when one above it ends."""
    agents = sorted(facts.status.agents, key=lambda agent: (agent.task_id is None, agent.since or 0, agent.name))
    hidden = agents[lines - 1 :] if len(agents) > lines else []
    shown = agents[: lines - 1] if hidden else agents
    names = _column([agent.name for agent in shown], min(MOST_NAME, width // 4))
    tasks = _column([agent.task_id or "" for agent in shown], min(MOST_TASK, width * 2 // 5))
    for agent in shown:
        yield _agent(facts, agent, names, tasks)
    if hidden and lines > 0:
        busy = sum(agent.task_id is not None for agent in hidden)
        yield Text(f"{len(hidden)} more, {f'{busy} of them at work' if busy else 'idle'}", style="dim")


def _column(texts: Sequence[str], most: int) -> int:
    return min(most, max((len(text) for text in texts), default=0)) + 2


def _agent(facts: Facts, agent: AgentStatus, name_width: int, task_width: int) -> Text:
    line = Text(_cell(agent.name, name_width))
    if agent.task_id is None:
        return line.append("idle", style="dim")
    line.append(_cell(agent.task_id, task_width), style="yellow")
    age = timedelta(seconds=facts.elapsed_s)
    if agent.since is not None:
        age -= agent.since - facts.status.created_at
    line.append(f"{clock(age.total_seconds()):>5}  ", style="dim")
    return line.append(plain(agent.doing) or "starting", style="" if agent.doing else "dim")


def _cell(text: str, width: int) -> str:
    return f"{shortened(text, width - 2):<{width}}"


def _figures(facts: Facts) -> Iterator[Text]:
    status = facts.status
    if facts.setting_up_s is not None:
        text = f"installing the project's tools, only once ({clock(facts.setting_up_s)})"
        yield _row("set-up", text, "yellow")
    else:
        yield _row("merging", _merging(status))
    coverage = "" if status.coverage_percent is None else f", coverage {percent(status.coverage_percent)}"
    yield _row("tests", "none yet" if status.tests is None else f"{status.tests:,} passed{coverage}")
    yield _row("cost", _money(status))
    yield _row("tokens", _tokens(status))


def _merging(status: SwarmStatus) -> str:
    if status.building is None and not status.queue:
        return "nothing waits"
    waiting = f"; {len(status.queue)} waiting: {', '.join(status.queue)}" if status.queue else ""
    return f"{status.building or 'nothing'}{waiting}"


def _money(status: SwarmStatus) -> str:
    money = status.money
    text = dollars(money.spent_nano_usd)
    if money.limit_nano_usd is not None:
        text += f" of {dollars(money.limit_nano_usd)}"
    if money.held_nano_usd:
        text += f", and {dollars(money.held_nano_usd)} held for calls under way"
    return text


def _tokens(status: SwarmStatus) -> str:
    money = status.money
    limit = "" if money.tokens_limit is None else f" of {tokens(money.tokens_limit)}"
    return f"{tokens(money.tokens_spent)}{limit} in {counted(money.calls, 'call')}"


def _notice(facts: Facts, width: int) -> list[Text]:
    return [Text(line, style="bold yellow") for line in textwrap.wrap(facts.notice, width)]


def _news(facts: Facts, lines: int) -> Iterator[Text]:
    shown = list(facts.news)[-lines:] if lines > 0 else []
    subjects = _column([news.phrase.subject for news in shown], MOST_TASK)
    for news in shown:
        line = Text(f"{clock(news.at_s):>7}  ", style="dim")
        line.append(_cell(news.phrase.subject, subjects))
        yield line.append(news.phrase.text, style=MOODS[news.phrase.mood])


def _row(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label:<{LABEL}}", "dim"), (text, style))
