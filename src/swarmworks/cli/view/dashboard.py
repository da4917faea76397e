"""One frame of the live dashboard, as lines that fit the terminal: from facts to text, nothing else.

Every column has a fixed place for a given size of the terminal, so that nothing moves that has not changed. Colours are
the terminal's own, so that a light background is as readable as a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from swarmworks.cli.view.amounts import clock, counted, dollars, percent, plain, shortened, tokens
from swarmworks.cli.view.models_line import provider_lines
from swarmworks.cli.view.phrases import Mood, Phrase
from swarmworks.cli.view.seats import in_order
from swarmworks.cli.view.summary import windows
from swarmworks.wire.api import AgentStatus, SwarmStatus

LABEL = 9
GAUGE = 20
WIDE = 120
"""From this many columns on, agents and events stand side by side."""

LEAST_AGENTS = 3
MOST_EVENTS_BELOW = 9
MOST_EVENTS = 100
"""Events kept for a tall terminal."""

DONE = ("landed", "nothing_to_do", "superseded", "cancelled")
PARTS: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("done", DONE, "green"),
    ("merging", ("queued",), "blue"),
    ("review", ("review",), "cyan"),
    ("at work", ("running",), "yellow"),
    ("parked", ("parked",), "magenta"),
    ("blocked", ("blocked",), "red"),
    ("ready", ("ready",), "bright_black"),
    ("waiting", ("waiting",), "bright_black"),
)
MOODS = {Mood.NEUTRAL: "", Mood.GOOD: "green", Mood.CARE: "yellow", Mood.BAD: "red"}
STATES = {
    "running": "green",
    "paused": "yellow",
    "stopping": "yellow",
    "stopped": "yellow",
    "blocked": "red",
    "landed": "green",
}


@dataclass(frozen=True, slots=True)
class News:
    """What happened, and how long after the swarm was created, in seconds."""

    at_s: float
    phrase: Phrase


@dataclass(frozen=True, slots=True)
class Facts:
    """`since_s`: seconds since `status` was taken. `setting_up_s`: how long the environment is being built, None when it
    is not. `seated`: the agents in the order of their rows, all of them by name when empty. `selected`: the agent's name.
    `notice`: the latest word to the person.
    """

    status: SwarmStatus
    news: Sequence[News]
    since_s: float = 0.0
    setting_up_s: float | None = None
    seated: Sequence[str] = ()
    selected: str = ""
    notice: str = ""

    @property
    def elapsed_s(self) -> float:
        return self.status.elapsed_s + self.since_s


@dataclass(frozen=True, slots=True)
class Shape:
    """How many rows agents and news get at a size. Side by side they are equally many."""

    width: int
    height: int
    agents: int
    news: int
    wide: bool


TOP_LINES = 10
"""Head, bar, counts, three figures, the lines between the parts, and the title of the agents."""
END_LINES = 2


def shape(width: int, height: int, agents: int) -> Shape:
    free = max(0, height - TOP_LINES - END_LINES)
    if width >= WIDE:
        return Shape(width, height, free, free, wide=True)
    below = max(0, free - 1)  # the title of the events
    for_agents = min(agents, max(min(LEAST_AGENTS, below), below - MOST_EVENTS_BELOW, -(-below * 3 // 5)))
    return Shape(width, height, for_agents, below - for_agents, wide=False)


def frame(facts: Facts, width: int, height: int) -> list[Text]:
    """Exactly `height` lines, none wider than `width`."""
    size = shape(width, height - len(facts.status.money.windows), len(facts.status.agents))
    lines = [_head(facts, width), _bar(facts.status, width), *_counts(facts.status, width), Text()]
    lines += [*_figures(facts, width), _models(facts.status)]
    lines += _side_by_side(facts, size) if size.wide else _stacked(facts, size)
    end = [_notice(facts), _keys(facts)]
    lines = lines[: max(0, height - len(end))]
    lines += [Text() for _ in range(height - len(lines) - len(end))]
    lines = [*lines, *end][-height:]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _stacked(facts: Facts, size: Shape) -> list[Text]:
    agents = _agents(facts, size.agents, size.width)
    return [_agents_title(facts, size), *agents, _title("events", "", size.width), *_news(facts, size.news, size.width)]


def _side_by_side(facts: Facts, size: Shape) -> list[Text]:
    left_width = size.width // 2
    right_width = size.width - left_width - 2
    left = [_agents_title(facts, size, left_width), *_agents(facts, size.agents, left_width)]
    right = [_title("events", "", right_width), *_news(facts, size.news, right_width)]
    lines: list[Text] = []
    for number in range(max(len(left), len(right))):
        line = left[number] if number < len(left) else Text()
        line.truncate(left_width, overflow="ellipsis", pad=True)
        line.append("  ")
        if number < len(right):
            right[number].truncate(right_width, overflow="ellipsis")
            line.append_text(right[number])
        lines.append(line)
    return lines


def _head(facts: Facts, width: int) -> Text:
    status = facts.status
    head = Text.assemble((plain(status.plan_name), "bold"), "  ", (status.state, STATES.get(status.state, "")))
    if status.inbox:
        head.append(f"  {status.inbox} {'needs' if status.inbox == 1 else 'need'} you", style="bold yellow")
    times = Text().append(clock(facts.elapsed_s))
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
    label = f"  {done:>{len(str(total))}} of {total} tasks"
    room = max(10, width - len(label))
    bar = Text()
    for (_, _, color), cells in zip(PARTS, _cells(status, room), strict=True):
        bar.append(("─" if color == "bright_black" else "━") * cells, style=color)
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


def _counts(status: SwarmStatus, width: int) -> list[Text]:
    """Every state in its own column, always, so that none moves when another comes or goes."""
    column = min(16, width // len(PARTS))
    names, numbers = Text(), Text()
    for name, states, color in PARTS:
        number = sum(status.tasks.get(state, 0) for state in states)
        names.append(f"{shortened(name, column - 1):<{column}}", style="dim")
        numbers.append(f"{number:<{column}}", style=f"bold {color}" if number else "dim")
    return [names, numbers]


def _title(name: str, more: str, width: int) -> Text:
    """A dim line with its name, and `more` at its right end."""
    text = Text().append(f"{name} ", style="dim")
    end = f" {more}" if more else ""
    text.append("─" * max(0, width - text.cell_len - len(end)), style="bright_black")
    return text.append(end, style="dim")


def _agents_title(facts: Facts, size: Shape, width: int | None = None) -> Text:
    agents = facts.status.agents
    busy = sum(agent.task_id is not None for agent in agents)
    hidden = len(agents) - min(size.agents, len(agents))
    more = f"{busy} of {len(agents)} at work" + (f", {hidden} not shown" if hidden else "")
    return _title("agents", more, width or size.width)


def _agents(facts: Facts, lines: int, width: int) -> list[Text]:
    by_name = {agent.name: agent for agent in facts.status.agents}
    order = [name for name in facts.seated if name in by_name] or in_order(by_name)
    names = min(20, width // 5, max((len(name) for name in order), default=0) + 2)
    tasks = min(36, width * 2 // 5)
    return [_agent(facts, by_name[name], names, tasks) for name in order[:lines]]


def _agent(facts: Facts, agent: AgentStatus, name_width: int, task_width: int) -> Text:
    selected = agent.name == facts.selected
    line = Text().append("▸ " if selected else "  ", style="bold")
    line.append(_cell(agent.name, name_width), style="bold" if selected else "")
    if agent.task_id is None:
        return line.append("idle", style="dim")
    line.append(_cell(agent.task_id, task_width), style="yellow")
    since_s = 0.0
    if agent.since is not None:
        since_s = facts.elapsed_s - (agent.since - facts.status.created_at).total_seconds()
    line.append(f"{clock(since_s):>5}  ", style="dim")
    return line.append(plain(agent.doing) or "starting", style="" if agent.doing else "dim")


def _cell(text: str, width: int) -> str:
    return f"{shortened(text, width - 2):<{width}}"


def _figures(facts: Facts, width: int) -> Iterator[Text]:
    status = facts.status
    if facts.setting_up_s is not None:
        text = f"installing the project's tools, only once ({clock(facts.setting_up_s)})"
        yield _row("set-up", Text(text, style="yellow"))
    else:
        yield _row("merging", _merging(status))
    coverage = "" if status.coverage_percent is None else f", coverage {percent(status.coverage_percent)}"
    yield _row("tests", Text("none yet" if status.tests is None else f"{status.tests:,} passed{coverage}"))
    yield _row("cost", _cost(status, width))
    for window, line in zip(status.money.windows, windows(status), strict=True):
        yield _row("limit", Text(shortened(line, width - LABEL), style="bold yellow" if window.paused else "dim"))


def _models(status: SwarmStatus) -> Text:
    """The line between the parts says what holds the models up, so that nothing moves when it comes and goes."""
    told = "; ".join(provider_lines(status))
    return _row("models", Text(plain(told), style="yellow")) if told else Text()


def _merging(status: SwarmStatus) -> Text:
    if status.building is None and not status.queue:
        return Text("nothing waits", style="dim")
    line = Text(f"{status.building} is being built" if status.building else "nothing is being built")
    if status.queue:
        line.append(f"; {len(status.queue)} waiting: {', '.join(status.queue)}", style="dim")
    return line


def _cost(status: SwarmStatus, width: int) -> Text:
    """Spent and held side by side against the limit: what is held may still come back."""
    money = status.money
    line = Text()
    if money.limit_nano_usd:
        spent = min(GAUGE, money.spent_nano_usd * GAUGE // money.limit_nano_usd)
        held = min(GAUGE - spent, -(-money.held_nano_usd * GAUGE // money.limit_nano_usd))
        line.append("━" * spent, style="green").append("━" * held, style="yellow")
        line.append("─" * (GAUGE - spent - held), style="bright_black").append("  ")
    line.append(f"{dollars(money.spent_nano_usd)} spent")
    line.append(f", {dollars(money.held_nano_usd)} held", style="yellow" if money.held_nano_usd else "dim")
    if money.limit_nano_usd is not None:
        line.append(f", of {dollars(money.limit_nano_usd)}")
    used = f"{tokens(money.tokens_spent)}"
    if money.tokens_limit is not None:
        used += f" of {tokens(money.tokens_limit)}"
    used += " tokens" + (f" in {counted(money.calls, 'call')}" if width >= WIDE else "")
    return line.append(f"   {used}", style="dim")


def _notice(facts: Facts) -> Text:
    return Text(facts.notice, style="bold yellow")


def _keys(facts: Facts) -> Text:
    status = facts.status
    line = Text()
    inbox = f"inbox ({status.inbox})" if status.inbox else "inbox"
    pause = "go on" if status.state == "paused" else "pause"
    for key, word in (("i", inbox), ("a", "attach"), ("p", pause), ("s", "stop"), ("?", "help"), ("q", "leave")):
        waits = key == "i" and status.inbox
        line.append(f" {key} ", style="bold reverse yellow" if waits else "bold reverse")
        line.append(f" {word}   ", style="bold yellow" if waits else "")
    return line


def _news(facts: Facts, lines: int, width: int) -> list[Text]:
    shown = list(facts.news)[-lines:] if lines > 0 else []
    subject = min(36, width // 3)
    drawn: list[Text] = []
    for news in shown:
        line = Text().append(f"{clock(news.at_s):>7}  ", style="dim")
        line.append(_cell(news.phrase.subject, subject))
        drawn.append(line.append(news.phrase.text, style=MOODS[news.phrase.mood]))
    return drawn


def _row(label: str, text: Text) -> Text:
    return Text().append(f"{label:<{LABEL}}", style="dim").append_text(text)
