"""Whether a swarm's budget still pays for sessions: by its numbers, and by what the gateway had to turn away."""

from __future__ import annotations

from swarmworks.base.ids import SwarmId
from swarmworks.domain.budget import Amount
from swarmworks.domain.swarm import Swarm
from swarmworks.policy.purse import fits
from swarmworks.store.protocol import Reader, Tx

_REFUSED = b"refused"


def affordable(reader: Reader, swarm: Swarm, least: Amount) -> bool:
    """Whether one more session can make its smallest call, and no call was refused under the present limit."""
    totals = reader.totals(swarm.account_id)
    if reader.blob(_key(swarm.id)) == _REFUSED:
        return False
    return fits(totals.limit, totals.spent.plus(totals.held), least)


def shut(tx: Tx, swarm_id: SwarmId) -> None:
    """A call did not fit the swarm's budget: room never grows by itself, so no session is started until it is resumed."""
    tx.put_blob(_key(swarm_id), _REFUSED)


def reopen(tx: Tx, swarm_id: SwarmId) -> None:
    tx.put_blob(_key(swarm_id), b"")


def _key(swarm_id: SwarmId) -> str:
    return f"purse/{swarm_id}"
