"""A ledger in memory behind the store's protocol: project, swarm and sessions, no carving. For tests of the gateway only."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from swarmworks.base.errors import BudgetExceededError, ConflictError, NotFoundError
from swarmworks.domain.budget import (
    Account,
    AccountKind,
    AccountState,
    Amount,
    Limit,
    Reservation,
    ReservationState,
)
from swarmworks.domain.session import Session, SessionState
from swarmworks.store.protocol import Totals

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeStore:
    def __init__(self):
        self.accounts, self.sessions, self.tokens, self.reservations = {}, {}, {}, {}
        self.calls = {}
        self.peaks = {}
        self.fail_next = []

    async def transact(self, step):
        if self.fail_next:
            raise self.fail_next.pop()
        return step(self)

    async def read(self, look):
        if self.fail_next:
            raise self.fail_next.pop()
        return look(self)

    async def close(self):
        return None

    def add_account(self, account_id, parent_id, kind, limit):
        self.accounts[account_id] = Account(
            account_id, parent_id, kind, account_id, AccountState.OPEN, limit, Amount(), Amount(), Amount()
        )

    def chain(self, account_id):
        while account_id is not None:
            yield self.accounts[account_id]
            account_id = self.accounts[account_id].parent_id

    def account(self, account_id):
        return self.accounts[account_id]

    def totals(self, account_id):
        account = self.accounts[account_id]
        return Totals(account.limit, account.spent, account.held, self.calls.get(account_id, 0))

    def peak(self, account_id):
        return self.peaks.get(account_id, 0)

    def token_session(self, digest):
        return self.tokens.get(digest)

    def session(self, session_id):
        if session_id not in self.sessions:
            raise NotFoundError(f"no session {session_id}")
        return self.sessions[session_id]

    def reserve(self, reservation_id, session_id, model, amount, *, sent):
        leaf = self.sessions[session_id].account_id
        for account in self.chain(leaf):
            if account.state is not AccountState.OPEN:
                raise ConflictError(f"account {account.id} is {account.state}")
            wanted = account.spent.plus(account.held).plus(amount)
            over_money = account.limit.nano_usd is not None and wanted.nano_usd > account.limit.nano_usd
            if over_money or (account.limit.tokens is not None and wanted.tokens > account.limit.tokens):
                raise BudgetExceededError(f"account {account.id} is full", where=account.id, mend="raise it")
        for account in list(self.chain(leaf)):
            self.accounts[account.id] = replace(account, held=account.held.plus(amount))
            now = account.spent.nano_usd + account.held.nano_usd + amount.nano_usd
            self.peaks[account.id] = max(now, self.peaks.get(account.id, 0))
        state = ReservationState.SENT if sent else ReservationState.HELD
        found = Reservation(
            reservation_id, leaf, session_id, "sw", state, model, amount, None, None, False, NOW, None, None
        )
        self.reservations[reservation_id] = found
        return found

    def settle(self, reservation_id, amount, usage=None, provider_request_id=None):
        before = self.reservations[reservation_id]
        if before.state is not ReservationState.SENT:
            raise ConflictError(f"{reservation_id} is {before.state}")
        booked = before.reserved if amount is None else amount
        for account in list(self.chain(before.account_id)):
            held = Amount(
                account.held.nano_usd - before.reserved.nano_usd, account.held.tokens - before.reserved.tokens
            )
            over = booked.nano_usd > before.reserved.nano_usd or booked.tokens > before.reserved.tokens
            state = AccountState.FROZEN if over else account.state
            self.accounts[account.id] = replace(account, held=held, spent=account.spent.plus(booked), state=state)
            self.calls[account.id] = self.calls.get(account.id, 0) + 1
        after = replace(
            before,
            state=ReservationState.SETTLED,
            settled=booked,
            usage=usage,
            estimated=amount is None,
            ended_at=NOW,
            provider_request_id=provider_request_id,
        )
        self.reservations[reservation_id] = after
        return after


def open_fake(swarm_limit, sessions, model, session_limit=None):
    """A store with running sessions, and the token of each."""
    store = FakeStore()
    store.add_account("acc_project", None, AccountKind.PROJECT, Limit())
    store.add_account("acc_swarm", "acc_project", AccountKind.SWARM, swarm_limit)
    tokens = []
    for number in range(sessions):
        account_id, session_id, token = f"acc_{number}", f"ses_{number}", f"swk_{number}"
        store.add_account(account_id, "acc_swarm", AccountKind.SESSION, session_limit or Limit())
        store.sessions[session_id] = Session(
            session_id, "sw", f"task-{number}", 1, 1, "agt", "wrk", account_id, model, SessionState.RUNNING, "base", NOW
        )
        store.tokens[hashlib.sha256(token.encode()).hexdigest()] = session_id
        tokens.append(token)
    return store, tokens
