"""The ledger of notices as it is stored, one for each swarm."""

from __future__ import annotations

from pydantic import TypeAdapter

from swarmworks.base.ids import SwarmId
from swarmworks.policy.telling import Ledger

_LEDGER: TypeAdapter[Ledger] = TypeAdapter(Ledger)


def ledger_key(swarm_id: SwarmId) -> str:
    return f"notices/{swarm_id}"


def dump(ledger: Ledger) -> bytes:
    return _LEDGER.dump_json(ledger)


def load(stored: bytes | None) -> Ledger:
    """An empty one for a swarm that has none yet."""
    return Ledger() if stored is None else _LEDGER.validate_json(stored)
