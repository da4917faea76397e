"""Replicas: the control planes on this database, who of them does which chore, and what one that is gone left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import FenceLostError
from swarmworks.base.ids import ReplicaId
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.ledger import LedgerWrites
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from swarmworks.domain.budget import Reservation
    from swarmworks.store.protocol import ReplicaRow

_SQL = load("replicas")


class ReplicaReads(Scope):
    def replicas(self) -> list[ReplicaRow]:
        return [rows.replica(row) for row in self.db.rows(_SQL["replicas"])]

    def chores(self) -> dict[str, ReplicaId]:
        return {row["subject"]: ReplicaId(row["replica_id"]) for row in self.db.rows(_SQL["chores"])}


class ReplicaWrites(ReplicaReads, LedgerWrites):
    def register_replica(self, new: ReplicaRow) -> None:
        self.db.change(
            _SQL["register_replica"],
            id=new.id,
            name=new.name,
            ttl_s=new.ttl_s,
            beats=new.beats,
            api_url=new.api_url,
            gateway_url=new.gateway_url,
        )

    def beat_replica(self, replica_id: ReplicaId) -> None:
        self.db.post(
            _SQL["beat_replica"],
            [{"id": replica_id}],
            lambda: FenceLostError("this control plane has been given up by the others", where=replica_id),
        )

    def remove_replica(self, replica_id: ReplicaId) -> list[Reservation]:
        self.db.change(_SQL["remove_replica"], id=replica_id)
        return self._clear(replica_id)

    def expire_replica(self, replica_id: ReplicaId, beats: int) -> list[Reservation] | None:
        if not self.db.change(_SQL["expire_replica"], id=replica_id, beats=beats):
            return None
        return self._clear(replica_id)

    def _clear(self, replica_id: ReplicaId) -> list[Reservation]:
        self.db.change(_SQL["release_chores"], id=replica_id)
        return self.charge_calls_of(replica_id)

    def take_chore(self, subject: str, replica_id: ReplicaId) -> ReplicaId:
        self.db.change(_SQL["take_chore"], subject=subject, replica_id=replica_id)
        return ReplicaId(found(self.db.row(_SQL["chore"], subject=subject), "chore", subject)["replica_id"])
