"""What the ledger says: accounts, windows, reservations, and the history from which the peak is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.ids import AccountId
from swarmworks.domain.budget import AccountKind, AccountState, Amount, Limit, Period, Window
from swarmworks.policy import windows
from swarmworks.policy.ledger import affordable
from swarmworks.store import accounts, rows
from swarmworks.store.accounts import UNITS, Node, by_unit
from swarmworks.store.connection import load
from swarmworks.store.protocol import ModelUsage, Near, Peak, SessionUsage, Totals
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Collection

    from swarmworks.base.ids import AgentId, ReservationId, SessionId, SwarmId
    from swarmworks.domain.budget import Account, Reservation
    from swarmworks.store.connection import Row

_SQL = load("ledger")


class LedgerReads(Scope):
    def account(self, account_id: AccountId) -> Account:
        return rows.account(found(self.db.row(_SQL["account"], id=account_id), "account", account_id))

    def account_of(self, kind: AccountKind, subject: str) -> Account:
        row = self.db.row(_SQL["account_of"], kind=kind, subject=subject)
        return rows.account(found(row, f"account of a {kind}", subject))

    def totals(self, account_id: AccountId) -> Totals:
        """`limit` is the account's own bound; None where only the accounts above bound it."""
        account = accounts.node(found(self.db.row(_SQL["account"], id=account_id), "account", account_id))
        row = found(self.db.row(_SQL["totals"], id=account_id), "account", account_id)
        return Totals(
            limit=Limit(**{unit: purse.cap for unit, purse in account.purses.items()}),
            spent=Amount(row["spent_nano_usd"], row["spent_tokens"]),
            held=Amount(row["held_nano_usd"], row["held_tokens"]),
            calls=row["spent_calls"],
            held_calls=row["held_calls"],
        )

    def headroom(self, account_id: AccountId) -> Limit:
        left: dict[str, int | None] = dict.fromkeys(UNITS)
        for node in self.chain(account_id):
            if node.state is not AccountState.OPEN or node.closing:
                return Limit(0, 0, 0)
            caps = {unit: purse.cap for unit, purse in node.purses.items() if purse.cap is not None}
            if not caps:
                continue
            totals = self.totals(node.id)
            used = by_unit(totals.spent.plus(totals.held), totals.calls + totals.held_calls)
            for unit, cap in caps.items():
                room, present = max(0, cap - used[unit]), left[unit]
                left[unit] = room if present is None else min(present, room)
        return Limit(**left)

    def windows(self, project: str) -> list[Window]:
        return [each for row in self.db.rows(_SQL["windows"], project=project) if (each := self._window(row))]

    def _window(self, row: Row) -> Window | None:
        limit = rows.window_limit(row)
        if limit.bounds_nothing:
            return None
        period = Period(row["period"])
        span = windows.present(period, self.clock.now(), row["zone"], row["newest"])
        begun = row["account_id"] is not None and span.key == row["newest"]
        used = self.totals(row["account_id"]) if begun else Totals(limit, Amount(), Amount(), 0)
        return Window(
            period=period,
            key=span.key,
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            account_id=row["account_id"] if begun else None,
            limit=limit,
            spent=used.spent,
            held=used.held,
            calls=used.calls,
            held_calls=used.held_calls,
        )

    def near_limits(self, swarm_id: SwarmId, percent: int) -> list[Near]:
        swarm = found(self.db.row(_SQL["swarm_account"], swarm_id=swarm_id), "swarm", swarm_id)
        near = [self._near(node) for node in self.chain(swarm["account_id"]) if node.is_bounded]
        near += [
            Near(
                each.account_id,
                AccountKind(each.period),
                f"{swarm['project']}/{each.key}",
                each.limit,
                each.spent,
                each.calls,
            )
            for each in self.windows(swarm["project"])
            if each.account_id is not None
        ]
        for row in self.db.rows(_SQL["near_limits"], swarm_id=swarm_id, percent=percent):
            limit = Limit(row["cap_nano_usd"], row["cap_tokens"], row["cap_calls"])
            spent = Amount(row["spent_nano_usd"], row["spent_tokens"])
            near.append(Near(row["id"], AccountKind(row["kind"]), row["subject"], limit, spent, row["spent_calls"]))
        return [each for each in near if each.percent >= percent]

    def _near(self, node: Node) -> Near:
        now = self.totals(node.id)
        return Near(node.id, node.kind, node.subject, now.limit, now.spent, now.calls)

    def spent_agents(self, swarm_id: SwarmId, agents: Collection[AgentId], least: Amount) -> frozenset[AgentId]:
        subjects = {f"{swarm_id}/{agent_id}": agent_id for agent_id in agents}
        if not subjects:
            return frozenset()
        opened = self.db.rows(_SQL["accounts_of"], kind=AccountKind.AGENT, subjects=tuple(subjects))
        rooms = {subjects[row["subject"]]: self.headroom(AccountId(row["id"])) for row in opened}
        return frozenset(agent for agent, room in rooms.items() if affordable(room, least) == 0)

    def totals_of_session(self, session_id: SessionId) -> list[tuple[AccountId | None, Totals]]:
        row = found(self.db.row(_SQL["drawing"], id=session_id), "session", session_id)
        drawn: list[tuple[AccountId | None, Totals]] = [
            (node.id, self.totals(node.id)) for node in self.chain(row["account_id"])
        ]
        drawn += [
            (each.account_id, Totals(each.limit, each.spent, each.held, each.calls, each.held_calls))
            for each in self.windows(row["project"])
        ]
        if row["agent_account"] is not None:
            drawn.append((row["agent_account"], self.totals(row["agent_account"])))
        elif row["agent_limit"] is not None:
            drawn.append((None, Totals(rows.limit(row["agent_limit"]), Amount(), Amount(), 0)))
        return drawn

    def peak(self, swarm_id: SwarmId) -> Peak:
        highest = found(self.db.row(_SQL["peak"], swarm_id=swarm_id), "swarm", swarm_id)
        settled = found(self.db.row(_SQL["settled"], swarm_id=swarm_id), "swarm", swarm_id)
        return Peak(
            peak=Amount(highest["nano_usd"], highest["tokens"]),
            spent=Amount(settled["nano_usd"], settled["tokens"]),
            calls=settled["calls"],
            estimated_calls=settled["estimated_calls"],
        )

    def session_usage(self, swarm_id: SwarmId) -> list[SessionUsage]:
        return [
            SessionUsage(
                session_id=row["session_id"],
                task_id=row["task_id"],
                agent_id=row["agent_id"],
                model=row["model"],
                calls=row["calls"],
                spent=Amount(row["nano_usd"], row["tokens"]),
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
            )
            for row in self.db.rows(_SQL["session_usage"], swarm_id=swarm_id)
        ]

    def model_usage(self, swarm_id: SwarmId) -> list[ModelUsage]:
        return [
            ModelUsage(row["session_id"], row["model"], row["calls"], Amount(row["nano_usd"], row["tokens"]))
            for row in self.db.rows(_SQL["model_usage"], swarm_id=swarm_id)
        ]

    def answered_calls(self, session_id: SessionId) -> int:
        row = found(self.db.row(_SQL["answered_calls"], session_id=session_id), "session", session_id)
        return int(row["calls"])

    def reservation(self, reservation_id: ReservationId) -> Reservation:
        row = self.db.row(_SQL["reservation"], id=reservation_id)
        return rows.reservation(found(row, "reservation", reservation_id))

    def open_reservations(self, swarm_id: SwarmId | None = None) -> list[Reservation]:
        if swarm_id is None:
            return [rows.reservation(row) for row in self.db.rows(_SQL["open_reservations"])]
        return [rows.reservation(row) for row in self.db.rows(_SQL["open_reservations_of"], swarm_id=swarm_id)]

    def orphaned_reservations(self) -> list[Reservation]:
        return [rows.reservation(row) for row in self.db.rows(_SQL["orphaned_reservations"])]

    def chain(self, account_id: AccountId) -> list[Node]:
        """The account and those above it, itself first."""
        return [accounts.node(row) for row in self.db.rows(_SQL["chain"], id=account_id)]

    def subtree(self, account_id: AccountId) -> list[Node]:
        """The account and what is not closed below it, deepest first, itself last."""
        return [accounts.node(row) for row in self.db.rows(_SQL["subtree"], id=account_id)]
