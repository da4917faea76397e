"""What every store must do with prices and subscriptions. Collected by `test_conformance.py`."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from swarmworks.base.errors import ConflictError, NotFoundError
from swarmworks.base.ids import ReservationId
from swarmworks.domain.budget import Amount, Limit, Usage
from swarmworks.policy import pricing
from swarmworks.policy.bound import Price, Rates, Tier
from swarmworks.policy.pricing import PriceEntry, PriceVerdict
from swarmworks.policy.subscription import Drawn, PastCall
from tests.store.sample import SWARM, agents_of, claim, planned, swarm_of, terms_of, worker

FROM = datetime(2026, 11, 1, tzinfo=UTC)
PRICE = Price(Rates.of(input=3, output=15), (Tier(1_000, Rates.of(input=6, output=30)),), 200_000, "a contract")
HERE = PriceEntry("m", ("=m", "^m-"), FROM, PRICE, provider="p")
THERE = PriceEntry("n", ("~n.*",), FROM, PRICE, hosts=frozenset({"a.example", "b.example"}))


async def running(store):
    def begin(tx):
        tx.set_agents("shop", agents_of(1))
        tx.insert_swarm(swarm_of(planned("a")))
        return worker(tx)

    lease = await store.transact(begin)
    [(session, _work)] = await store.transact(lambda tx: claim(tx, lease, 1, terms=terms_of(limit=Limit())))
    return session


class TestPrices:
    async def test_a_list_is_proposed_and_priced_by_only_once_it_is_approved(self, store, clock):
        made = await store.transact(lambda tx: tx.insert_price_list("prl_1", "a contract", "person:ada", [HERE, THERE]))
        assert (made.source, made.imported_by, made.imported_at) == ("a contract", "person:ada", clock.now())
        assert (made.entries, made.decision) == (2, None)
        entries = await store.read(lambda r: r.price_entries("prl_1"))
        assert [(one.label, one.match, one.provider, one.hosts, one.valid_from) for one in entries] == [
            ("m", ("=m", "^m-"), "p", frozenset(), FROM),
            ("n", ("~n.*",), None, THERE.hosts, FROM),
        ]
        assert pricing.same_figures(entries[0].price, PRICE)
        assert entries[0].price.source == "price list prl_1, row 1: a contract"
        assert await store.read(lambda r: (r.approved_prices(), r.price_version())) == ([], 0)
        decided = await store.transact(
            lambda tx: tx.decide_price_list("prl_1", PriceVerdict.APPROVED, "person:bo", "checked")
        )
        assert (decided.decision.decided_by, decided.decision.reason) == ("person:bo", "checked")
        assert decided.decision.decided_at == clock.now()
        approved = await store.read(lambda r: r.approved_prices())
        assert [(one.list_id, one.position, one.entry) for one in approved] == [
            ("prl_1", 0, entries[0]),
            ("prl_1", 1, entries[1]),
        ]
        assert await store.read(lambda r: r.price_version()) == approved[0].number
        assert await store.read(lambda r: r.price_lists()) == [decided]

    async def test_a_decision_that_is_committed_after_a_later_one_is_noticed(self, store):
        """Numbers are given out before the commit: two control planes may commit in the other order."""

        def decided(number):
            def step(tx):
                tx.insert_price_list(f"prl_{number}", "a contract", "person:ada", [HERE])
                tx.db.change(
                    "INSERT INTO price_decision (number, list_id, verdict, decided_by, reason, decided_at) "
                    "VALUES (:number, :list_id, 'approved', '', '', :at)",
                    number=number,
                    list_id=f"prl_{number}",
                    at=FROM.isoformat(),
                )

            return step

        await store.transact(decided(2))
        before = await store.read(lambda r: r.price_version())
        await store.transact(decided(1))
        assert await store.read(lambda r: r.price_version()) > before

    async def test_a_list_is_decided_once_and_a_rejected_one_is_never_used(self, store):
        await store.transact(lambda tx: tx.insert_price_list("prl_1", "s", "person:ada", [HERE]))
        await store.transact(lambda tx: tx.decide_price_list("prl_1", PriceVerdict.REJECTED, "person:bo", "too old"))
        for verdict in PriceVerdict:
            with pytest.raises(ConflictError, match="rejected already, by person:bo"):
                await store.transact(lambda tx, v=verdict: tx.decide_price_list("prl_1", v, "person:cy", ""))
        assert await store.read(lambda r: r.approved_prices()) == []
        assert await store.read(lambda r: r.price_version()) > 0
        with pytest.raises(NotFoundError):
            await store.transact(lambda tx: tx.decide_price_list("prl_9", PriceVerdict.APPROVED, "person:bo", ""))

    @pytest.mark.parametrize("table", ["price_list", "price", "price_decision", "price_used"])
    @pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
    async def test_no_row_of_a_price_is_ever_changed_or_taken_out(self, store, table, verb):
        def fill(tx):
            tx.insert_price_list("prl_1", "s", "person:ada", [HERE])
            tx.decide_price_list("prl_1", PriceVerdict.APPROVED, "person:bo", "")
            tx.record_price("d1", pricing.written(PRICE))

        await store.transact(fill)
        column = {"price_used": "document", "price_decision": "reason"}.get(table, "source")
        column = "document" if table == "price" else column
        statement = f"UPDATE {table} SET {column} = 'x'" if verb == "UPDATE" else f"DELETE FROM {table}"
        with pytest.raises(Exception, match="never changed"):
            await store.transact(lambda tx: tx.db.change(statement))
        [entry] = await store.read(lambda r: r.price_entries("prl_1"))
        assert pricing.same_figures(entry.price, PRICE)

    async def test_what_a_call_was_priced_by_is_found_weeks_later(self, store):
        session = await running(store)
        document = pricing.written(PRICE)
        digest = pricing.digest(document)

        def call(tx, name, price, amount):
            if price:
                tx.record_price(digest, document)
            tx.reserve(ReservationId(name), session.id, "p:m", Amount(100, 10), sent=True, price=price)
            return tx.settle(ReservationId(name), amount, Usage(3, 4, 1, 0) if amount else None)

        first = await store.transact(lambda tx: call(tx, "r1", digest, Amount(60, 7)))
        assert first.price == digest
        await store.transact(lambda tx: call(tx, "r2", digest, None))
        await store.transact(lambda tx: call(tx, "r3", None, Amount(0, 7)))
        priced, unpriced = await store.read(lambda r: r.prices_used(SWARM))
        assert (priced.model, priced.price, priced.calls, priced.estimated_calls) == ("p:m", PRICE, 2, 1)
        assert (priced.spent, priced.usage) == (Amount(160, 17), Usage(3, 4, 1, 0))
        assert (unpriced.price, unpriced.calls, unpriced.spent) == (None, 1, Amount(0, 7))


class TestSubscriptions:
    async def test_calls_count_until_they_ended_before_the_window(self, store, clock):
        session = await running(store)
        started = clock.now()

        def begin(tx, name, tokens, subscription="plan"):
            tx.hold_subscription(subscription)
            amount = Amount(0, tokens)
            tx.reserve(ReservationId(name), session.id, "p:m", amount, sent=True, subscription=subscription)

        await store.transact(lambda tx: begin(tx, "r1", 100))
        await store.transact(lambda tx: begin(tx, "r2", 50))
        await store.transact(lambda tx: begin(tx, "r3", 7, "another"))
        await store.transact(
            lambda tx: tx.reserve(ReservationId("r4"), session.id, "p:m", Amount(0, 5), sent=False, subscription="plan")
        )
        assert await store.read(lambda r: r.drawn("plan", started)) == Drawn(3, 155)
        await store.transact(lambda tx: tx.free(ReservationId("r4")))
        clock.advance(10)
        ended = clock.now()
        await store.transact(lambda tx: tx.settle(ReservationId("r1"), Amount(0, 30)))
        assert await store.read(lambda r: r.drawn("plan", started)) == Drawn(2, 80)
        assert await store.read(lambda r: r.oldest_draws("plan", started, 9)) == [PastCall(ended, 30)]
        later = ended + timedelta(seconds=1)
        assert await store.read(lambda r: r.drawn("plan", later)) == Drawn(1, 50)
        assert await store.read(lambda r: r.oldest_draws("plan", later, 9)) == []

    async def test_of_many_that_count_at_once_no_more_than_fit_are_let_in(self, store):
        session = await running(store)
        since = datetime(2020, 1, 1, tzinfo=UTC)

        def call(tx, name):
            tx.session(session.id)
            tx.hold_subscription("plan")
            if tx.drawn("plan", since).requests >= 5:
                return False
            tx.reserve(ReservationId(name), session.id, "p:m", Amount(0, 1), sent=True, subscription="plan")
            return True

        let_in = await asyncio.gather(*(store.transact(lambda tx, n=n: call(tx, f"r{n}")) for n in range(20)))
        assert sum(let_in) == 5
