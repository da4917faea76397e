"""Whether a budget still pays for sessions: by its numbers, by what the gateway had to turn away, and by the day and month."""

from __future__ import annotations

from collections.abc import Collection

from swarmworks.base.ids import AgentId, SwarmId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import UNLIMITED, AccountKind, Amount, Window
from swarmworks.domain.event import NewEvent
from swarmworks.domain.plan import COMMAND
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import Task, TaskState
from swarmworks.policy import ledger
from swarmworks.policy.ledger import used_percent
from swarmworks.policy.purse import nearly_used_up, pauses, refused_by
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config import BudgetSection
from swarmworks.wire.options import from_json

_REFUSED = b"refused"
PLATFORM = "platform"


async def bound_project(store: Store, project: str, budget: BudgetSection) -> None:
    """What `swarm.toml` says of the project as a whole holds from now on. ConflictError for a limit below what is spent."""

    def write(tx: Tx) -> None:
        tx.hold_project(project)
        account = tx.account_of(AccountKind.PROJECT, project)
        if account.limit != budget.project_limit:
            tx.raise_limit(account.id, budget.project_limit)
        tx.set_windows(project, budget.timezone, budget.windows)

    await store.transact(write)


def affordable(reader: Reader, swarm: Swarm, least: Amount) -> bool:
    """Whether one more session can make its smallest call, and no call was refused under the present limit."""
    if reader.blob(_key(swarm.id)) == _REFUSED:
        return False
    return ledger.affordable(reader.headroom(swarm.account_id), least) > 0 and _somebody_pays(reader, swarm, least)


def _somebody_pays(reader: Reader, swarm: Swarm, least: Amount) -> bool:
    """Whether, for any task that is ready, an agent that may take it has something left of its own share, or needs nothing."""
    if from_json(swarm.options).config.agent_limit() == UNLIMITED:
        return True
    agents = reader.active_agents(swarm.project)
    spent = reader.spent_agents(swarm.id, [agent.id for agent in agents], least)
    if not spent:
        return True
    ready = reader.tasks(swarm.id, states=(TaskState.READY,))
    return not ready or any(_takes(agent, task, spent) for task in ready for agent in agents)


def _takes(agent: Agent, task: Task, spent: Collection[AgentId]) -> bool:
    wanted = task.guidance.agent if task.guidance is not None else None
    anew = task.rejection is not None and rejection_wire.parse(task.rejection).regenerates
    costs_nothing = task.planned.kind == COMMAND or anew
    return (
        (costs_nothing or agent.id not in spent) and task.planned.kind in agent.kinds and wanted in {None, agent.name}
    )


def paused_by(reader: Reader, swarm: Swarm, least: Amount) -> Window | None:
    """The day or month in which nothing new begins any more; the one that ends last."""
    percent = from_json(swarm.options).config.budget.pause_percent
    full = [
        window
        for window in reader.windows(swarm.project)
        if pauses(window, least, percent) or _has_refused(reader, swarm.id, window)
    ]
    return max(full, key=lambda window: window.ends_at, default=None)


def note_pause(tx: Tx, swarm: Swarm, least: Amount) -> bool:
    """On the swarm's record, once: that nothing new begins, and that it goes on. True when something was written."""
    window = paused_by(tx, swarm, least)
    name = "" if window is None else f"{window.period} {window.key}"
    key = f"pause/{swarm.id}"
    if (tx.blob(key) or b"").decode() == name:
        return False
    tx.put_blob(key, name.encode())
    if window is None:
        tx.append(swarm.id, NewEvent("budget.resumed", PLATFORM, {}))
        return True
    data: dict[str, object] = {
        "period": str(window.period),
        "window": window.key,
        "percent": used_percent(window.limit, window.spent, window.calls),
        "until": window.ends_at.isoformat(timespec="minutes"),
    }
    tx.append(swarm.id, NewEvent("budget.paused", PLATFORM, data))
    return True


def note_refusal(tx: Tx, swarm: Swarm, stopped: str, least: Amount) -> bool:
    """Whether the gateway ended a session, with the reason `stopped`, because little is left in a budget that all tasks share.
    Room in one never grows by itself: in the swarm's or the project's nothing new begins until the swarm is resumed, in a
    day's or month's until it is over or has another limit.
    """
    refused = refused_by(stopped)
    if refused is None:
        return False
    kind, subject = refused
    if kind in {AccountKind.SWARM, AccountKind.PROJECT}:
        return _shut(tx, swarm.id, kind, subject, least)
    return kind in {AccountKind.DAY, AccountKind.MONTH} and _shut_window(tx, swarm, subject, least)


def _shut(tx: Tx, swarm_id: SwarmId, kind: AccountKind, subject: str, least: Amount) -> bool:
    now = tx.totals(tx.account_of(kind, subject).id)
    if not nearly_used_up(now.limit, now.spent, least, calls=now.calls):
        return False
    tx.put_blob(_key(swarm_id), _REFUSED)
    return True


def _shut_window(tx: Tx, swarm: Swarm, subject: str, least: Amount) -> bool:
    """One that is over by now needs no shutting, and is no task's fault either."""
    window = next((each for each in tx.windows(swarm.project) if f"{swarm.project}/{each.key}" == subject), None)
    if window is None:
        return True
    if not nearly_used_up(window.limit, window.spent, least, calls=window.calls):
        return False
    tx.put_blob(_window_key(swarm.id, window), _as_it_is(window))
    return True


def _has_refused(reader: Reader, swarm_id: SwarmId, window: Window) -> bool:
    return reader.blob(_window_key(swarm_id, window)) == _as_it_is(window)


def reopen(tx: Tx, swarm_id: SwarmId) -> None:
    tx.put_blob(_key(swarm_id), b"")


def _window_key(swarm_id: SwarmId, window: Window) -> str:
    return f"purse/{swarm_id}/{window.period}"


def _as_it_is(window: Window) -> bytes:
    limit = window.limit
    return f"{window.key} {limit.nano_usd} {limit.tokens} {limit.calls}".encode()


def _key(swarm_id: SwarmId) -> str:
    return f"purse/{swarm_id}"
