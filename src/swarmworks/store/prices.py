"""The lists of prices people imported, what calls were priced by, and what the calls of a subscription use.

Rows of prices are added and never changed: triggers of the database refuse it. What a person decides about a list is a row
of its own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.domain.budget import Amount, Usage
from swarmworks.policy import pricing
from swarmworks.policy.pricing import ApprovedPrice, PriceDecision, PriceEntry, PriceList, PriceVerdict
from swarmworks.policy.subscription import Drawn, PastCall
from swarmworks.store.connection import load
from swarmworks.store.protocol import PriceUse
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import SwarmId
    from swarmworks.store.connection import Row

_SQL = load("prices")


class PriceReads(Scope):
    def price_lists(self) -> list[PriceList]:
        return [_list(row) for row in self.db.rows(_SQL["lists"])]

    def price_list(self, list_id: str) -> PriceList:
        return _list(found(self.db.row(_SQL["list"], id=list_id), "price list", list_id))

    def price_entries(self, list_id: str) -> list[PriceEntry]:
        return [_entry(row) for row in self.db.rows(_SQL["entries"], list_id=list_id)]

    def approved_prices(self) -> list[ApprovedPrice]:
        return [
            ApprovedPrice(row["list_id"], row["number"], row["position"], _entry(row))
            for row in self.db.rows(_SQL["approved"])
        ]

    def price_version(self) -> int:
        row = self.db.row(_SQL["version"])
        return 0 if row is None else int(row["version"])

    def prices_used(self, swarm_id: SwarmId) -> list[PriceUse]:
        return [_use(row) for row in self.db.rows(_SQL["used"], swarm_id=swarm_id)]

    def drawn(self, provider: str, since: datetime) -> Drawn:
        row = self.db.row(_SQL["drawn"], provider=provider, since=_second(since))
        return Drawn(0, 0) if row is None else Drawn(row["requests"], row["tokens"])

    def oldest_draws(self, provider: str, since: datetime, most: int) -> list[PastCall]:
        return [
            PastCall(datetime.fromisoformat(row["ended_at"]), row["tokens"])
            for row in self.db.rows(_SQL["oldest"], provider=provider, since=_second(since), most=most)
        ]


class PriceWrites(PriceReads):
    def insert_price_list(
        self, list_id: str, source: str, imported_by: str, entries: Sequence[PriceEntry]
    ) -> PriceList:
        self.db.change(_SQL["insert_list"], id=list_id, source=source, imported_by=imported_by, imported_at=self.now())
        rows = [
            {
                "list_id": list_id,
                "position": position,
                "label": entry.label,
                "provider": entry.provider,
                "hosts": None if entry.provider is not None else json.dumps(sorted(entry.hosts)),
                "match": json.dumps(entry.match),
                "valid_from": entry.valid_from.isoformat(),
                "document": pricing.written(entry.price),
            }
            for position, entry in enumerate(entries)
        ]
        self.db.change_many(_SQL["insert_price"], rows)
        return self.price_list(list_id)

    def decide_price_list(self, list_id: str, verdict: PriceVerdict, decided_by: str, reason: str) -> PriceList:
        present = self.price_list(list_id)
        if present.decision is not None:
            raise ConflictError(
                f"the list is {present.decision.verdict} already, by {present.decision.decided_by}",
                where=list_id,
                mend="import another; of two prices the later one holds",
            )
        self.db.change(
            _SQL["insert_decision"],
            list_id=list_id,
            verdict=verdict,
            decided_by=decided_by,
            reason=reason,
            decided_at=self.now(),
        )
        return self.price_list(list_id)

    def record_price(self, digest: str, document: str) -> None:
        self.db.change(_SQL["record"], digest=digest, document=document)

    def hold_subscription(self, provider: str) -> None:
        """A row to lock: those that count are not there yet when two look at once."""
        if self.db.row(_SQL["hold_subscription"], provider=provider) is None:
            self.db.change(_SQL["put_subscription"], provider=provider)
            self.db.row(_SQL["hold_subscription"], provider=provider)


def _second(since: datetime) -> str:
    """Up to the second: that far, times as text sort in every database's order of letters."""
    return since.isoformat()[:19]


def _list(row: Row) -> PriceList:
    decision = None
    if row["verdict"] is not None:
        decided_at = datetime.fromisoformat(row["decided_at"])
        decision = PriceDecision(PriceVerdict(row["verdict"]), row["decided_by"], row["reason"], decided_at)
    imported_at = datetime.fromisoformat(row["imported_at"])
    return PriceList(row["id"], row["source"], row["imported_by"], imported_at, row["entries"], decision)


def _entry(row: Row) -> PriceEntry:
    """Its price names the row, so that what was charged by it leads back here."""
    price = pricing.read(row["document"])
    place = f"price list {row['list_id']}, row {row['position'] + 1}"
    return PriceEntry(
        label=row["label"],
        match=tuple(json.loads(row["match"])),
        valid_from=datetime.fromisoformat(row["valid_from"]),
        price=replace(price, source=f"{place}: {price.source}"),
        provider=row["provider"],
        hosts=frozenset(json.loads(row["hosts"])) if row["hosts"] is not None else frozenset(),
    )


def _use(row: Row) -> PriceUse:
    return PriceUse(
        model=row["model"],
        price=None if row["document"] is None else pricing.read(row["document"]),
        subscription=row["subscription"],
        calls=row["calls"],
        estimated_calls=row["estimated_calls"],
        spent=Amount(row["nano_usd"], row["tokens"]),
        usage=Usage(row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]),
    )
