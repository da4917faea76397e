"""Whether a budget still pays for sessions: by its numbers, by what the gateway had to turn away, and by the day and month."""

from __future__ import annotations

from swarmworks.base.ids import SwarmId
from swarmworks.domain.budget import UNLIMITED, AccountKind, Amount, Window
from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import TaskState
from swarmworks.policy import ledger
from swarmworks.policy.ledger import used_percent
from swarmworks.policy.purse import pauses
from swarmworks.store.protocol import Reader, Store, Tx
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
    """Whether, for any task that is ready, an agent that takes such tasks has something left of its own share."""
    if from_json(swarm.options).config.agent_limit() == UNLIMITED:
        return True
    agents = reader.active_agents(swarm.project)
    spent = reader.spent_agents(swarm.id, [agent.id for agent in agents], least)
    if not spent:
        return True
    kinds = {kind for agent in agents if agent.id not in spent for kind in agent.kinds}
    ready = reader.tasks(swarm.id, states=(TaskState.READY,))
    return not ready or any(task.planned.kind in kinds for task in ready)


def paused_by(reader: Reader, swarm: Swarm, least: Amount) -> Window | None:
    """The day or month in which nothing new begins any more; the one that ends last."""
    percent = from_json(swarm.options).config.budget.pause_percent
    full = [window for window in reader.windows(swarm.project) if pauses(window, least, percent)]
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


def shut(tx: Tx, swarm_id: SwarmId) -> None:
    """A call did not fit the swarm's budget: room never grows by itself, so no session is started until it is resumed."""
    tx.put_blob(_key(swarm_id), _REFUSED)


def reopen(tx: Tx, swarm_id: SwarmId) -> None:
    tx.put_blob(_key(swarm_id), b"")


def _key(swarm_id: SwarmId) -> str:
    return f"purse/{swarm_id}"
