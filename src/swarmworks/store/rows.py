"""Rows to domain values and back. The only place in the store where untyped values are allowed."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from swarmworks.domain.agent import Agent
from swarmworks.domain.anchor import Anchor
from swarmworks.domain.budget import (
    Account,
    AccountKind,
    AccountState,
    Amount,
    Limit,
    Reservation,
    ReservationState,
    Usage,
)
from swarmworks.domain.change import Change, ChangeState, IntentState
from swarmworks.domain.delivery import Delivery, DeliveryState
from swarmworks.domain.event import ArchivedEvents, Event, SwarmLog
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import Capacity, Work, WorkKind, WorkState
from swarmworks.domain.mail import Mail
from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.domain.question import Message, Question, QuestionState
from swarmworks.domain.review import Review, ReviewState, ReviewSubject
from swarmworks.domain.session import Session, SessionOutcome, SessionState
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import Guidance, Task, TaskState
from swarmworks.store.protocol import GateRun, Intent, ReplicaRow, WorkerRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.store.connection import Row


def _text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


# Documents


def planned_text(task: PlannedTask) -> str:
    return _text(asdict(task))


@functools.lru_cache(maxsize=4096)
def planned(text: str) -> PlannedTask:
    return _planned(json.loads(text))


def _planned(data: dict[str, Any]) -> PlannedTask:
    parts: dict[str, Any] = {
        name: tuple(data[name]) for name in ("depends_on", "owns", "reads", "contracts", "gates", "covers")
    }
    parts["acceptance"] = tuple(Acceptance(**each) for each in data["acceptance"])
    parts["estimate"] = Estimate(**data["estimate"])
    return PlannedTask(**{**data, **parts})


def plan_text(plan: Plan) -> str:
    return _text(asdict(plan))


@functools.lru_cache(maxsize=32)
def plan(text: str) -> Plan:
    data = json.loads(text)
    parts: dict[str, Any] = {
        "stack": Stack(**data["stack"]),
        "source": Source(**data["source"]),
        "tasks": tuple(_planned(each) for each in data["tasks"]),
    }
    return Plan(**{**data, **parts})


@functools.lru_cache(maxsize=4096)
def capacity_text(capacity: Capacity) -> str:
    return _text(asdict(capacity))


@functools.lru_cache(maxsize=4096)
def capacity(text: str) -> Capacity:
    return Capacity(**json.loads(text))


@functools.lru_cache(maxsize=4096)
def limit_text(limit: Limit) -> str:
    return _text(asdict(limit))


def window_limit(row: Row) -> Limit:
    return Limit(row["limit_nano_usd"], row["limit_tokens"], row["limit_calls"])


def limit(text: str) -> Limit:
    return Limit(**json.loads(text))


def names_text(names: Iterable[str]) -> str:
    return _text(list(names))


@functools.lru_cache(maxsize=4_096)  # a claim reads those of every idle agent, again and again the same
def names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def guidance_text(guidance: Guidance | None) -> str | None:
    return None if guidance is None else _text(asdict(guidance))


def guidance(text: str | None) -> Guidance | None:
    return None if text is None else Guidance(**json.loads(text))


def gate_text(result: GateResult) -> str:
    return _text(asdict(result))


def cached(text: str) -> GateResult:
    return _gate({**json.loads(text), "cached": True})


def _gate(data: dict[str, Any]) -> GateResult:
    parts: dict[str, Any] = {
        "outcome": GateOutcome(data["outcome"]),
        "findings": tuple(Finding(**each) for each in data["findings"]),
        "tests_passed": tuple(data.get("tests_passed", ())),
    }
    return GateResult(**{**data, **parts})


def gates_text(results: Iterable[GateResult]) -> str:
    return _text([asdict(result) for result in results])


# Rows


def swarm(row: Row) -> Swarm:
    return Swarm(
        id=row["id"],
        project=row["project"],
        plan=plan(row["plan"]),
        state=SwarmState(row["state"]),
        account_id=row["account_id"],
        integration_ref=row["integration_ref"],
        base=row["base"],
        options=row["options"],
        created_at=datetime.fromisoformat(row["created_at"]),
        ended_at=_time(row["ended_at"]),
        reason=row["reason"],
    )


def task(row: Row) -> Task:
    return Task(
        swarm_id=row["swarm_id"],
        id=row["id"],
        planned=planned(row["planned"]),
        state=TaskState(row["state"]),
        rank=row["rank"],
        attempts=row["attempts"],
        fence=row["fence"],
        rejection=row["rejection"],
        note=row["note"],
        commit=row["landed_commit"],
        guidance=guidance(row["guidance"]),
    )


def agent(row: Row) -> Agent:
    return Agent(id=row["id"], name=row["name"], role=row["role"], kinds=frozenset(names(row["kinds"])))


def session(row: Row) -> Session:
    return Session(
        id=row["id"],
        swarm_id=row["swarm_id"],
        task_id=row["task_id"],
        fence=row["fence"],
        attempt=row["attempt"],
        agent_id=row["agent_id"],
        worker_id=row["worker_id"],
        account_id=row["account_id"],
        model=row["model"],
        state=SessionState(row["state"]),
        base_commit=row["base_commit"],
        claimed_at=datetime.fromisoformat(row["claimed_at"]),
        started_at=_time(row["started_at"]),
        ended_at=_time(row["ended_at"]),
        outcome=None if row["outcome"] is None else SessionOutcome(row["outcome"]),
        reason=row["reason"],
    )


def worker(row: Row) -> WorkerRow:
    return WorkerRow(
        id=row["id"],
        name=row["name"],
        fence=row["fence"],
        ttl_s=row["ttl_s"],
        renewals=row["renewals"],
        capacity=capacity(row["capacity"]),
    )


def replica(row: Row) -> ReplicaRow:
    return ReplicaRow(
        id=row["id"],
        name=row["name"],
        ttl_s=row["ttl_s"],
        beats=row["beats"],
        api_url=row["api_url"],
        gateway_url=row["gateway_url"],
    )


def work(row: Row) -> Work:
    return Work(
        id=row["id"],
        kind=WorkKind(row["kind"]),
        swarm_id=row["swarm_id"],
        task_id=row["task_id"],
        subject=row["subject"],
        state=WorkState(row["state"]),
        fence=row["fence"],
        need=capacity(row["need"]),
        payload=row["payload"],
        worker_id=row["worker_id"],
        leased_at=_time(row["leased_at"]),
        result=row["result"],
    )


def change(row: Row) -> Change:
    return Change(
        id=row["id"],
        swarm_id=row["swarm_id"],
        task_id=row["task_id"],
        session_id=row["session_id"],
        agent_id=row["agent_id"],
        state=ChangeState(row["state"]),
        base=row["base"],
        head=row["head"],
        handoff=row["handoff"],
        submitted_at=datetime.fromisoformat(row["submitted_at"]),
        candidate=row["candidate"],
        landed=row["landed"],
    )


def gate_run(row: Row) -> GateRun:
    return GateRun(
        change_id=row["change_id"],
        stage=row["stage"],
        tree=row["tree"],
        results=tuple(_gate(each) for each in json.loads(row["results"])),
        at=datetime.fromisoformat(row["at"]),
    )


def intent(row: Row) -> Intent:
    return Intent(
        id=row["id"],
        swarm_id=row["swarm_id"],
        change_id=row["change_id"],
        ref=row["ref"],
        old=row["old"],
        new=row["new"],
        state=IntentState(row["state"]),
    )


def review(row: Row) -> Review:
    return Review(
        id=row["id"],
        swarm_id=row["swarm_id"],
        gate=row["gate"],
        subject=ReviewSubject(row["subject"]),
        subject_id=row["subject_id"],
        question=row["question"],
        state=ReviewState(row["state"]),
        asked_at=datetime.fromisoformat(row["asked_at"]),
        task_id=row["task_id"],
        deciders=names(row["deciders"]),
        advice=row["advice"],
        decided_by=row["decided_by"],
        reason=row["reason"],
        decided_at=_time(row["decided_at"]),
    )


def question(row: Row) -> Question:
    return Question(
        id=row["id"],
        swarm_id=row["swarm_id"],
        task_id=row["task_id"],
        session_id=row["session_id"],
        text=row["text"],
        state=QuestionState(row["state"]),
        asked_at=datetime.fromisoformat(row["asked_at"]),
        answer=row["answer"],
        answered_by=row["answered_by"],
        answered_at=_time(row["answered_at"]),
        paths=() if row["paths"] is None else names(row["paths"]),
    )


def message(row: Row) -> Message:
    return Message(
        id=row["id"],
        swarm_id=row["swarm_id"],
        session_id=row["session_id"],
        sender=row["sender"],
        text=row["text"],
        sent_at=datetime.fromisoformat(row["sent_at"]),
        delivered_at=_time(row["delivered_at"]),
    )


def mail(row: Row) -> Mail:
    return Mail(
        id=row["id"],
        swarm_id=row["swarm_id"],
        session_id=row["session_id"],
        task_id=row["task_id"],
        sender=row["sender"],
        recipient=row["recipient"],
        text=row["text"],
        sent_at=datetime.fromisoformat(row["sent_at"]),
        read_at=_time(row["read_at"]),
    )


def delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        swarm_id=row["swarm_id"],
        branch=row["branch"],
        tip=row["tip"],
        head=row["head"],
        state=DeliveryState(row["state"]),
        actor=row["actor"],
        created_at=datetime.fromisoformat(row["created_at"]),
        candidate=row["candidate"],
        note=row["note"],
        ended_at=_time(row["ended_at"]),
    )


def event(row: Row) -> Event:
    return Event(
        swarm_id=row["swarm_id"],
        seq=row["seq"],
        at=datetime.fromisoformat(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        task_id=row["task_id"],
        session_id=row["session_id"],
        data=row["data"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )


def swarm_log(row: Row) -> SwarmLog:
    return SwarmLog(row["swarm_id"], _time(row["ended_at"]), row["first_seq"], row["last_seq"], row["anchored_seq"])


def archived_events(row: Row) -> ArchivedEvents:
    return ArchivedEvents(
        row["swarm_id"], row["first_seq"], row["last_seq"], row["last_hash"], row["file"], row["sha256"]
    )


def anchor(row: Row) -> Anchor:
    return Anchor(row["number"], row["statement"], row["signature"])


def account(row: Row) -> Account:
    return Account(
        id=row["id"],
        parent_id=row["parent_id"],
        kind=AccountKind(row["kind"]),
        subject=row["subject"],
        state=AccountState(row["state"]),
        limit=Limit(row["limit_nano_usd"], row["limit_tokens"], row["limit_calls"]),
        spent=Amount(row["spent_nano_usd"], row["spent_tokens"]),
        held=Amount(row["held_nano_usd"], row["held_tokens"]),
        allocated=Amount(row["allocated_nano_usd"], row["allocated_tokens"]),
    )


def reservation(row: Row) -> Reservation:
    settled = None
    if row["settled_nano_usd"] is not None:
        settled = Amount(row["settled_nano_usd"], row["settled_tokens"])
    usage = None
    if row["input_tokens"] is not None:
        usage = Usage(row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"])
    return Reservation(
        id=row["id"],
        account_id=row["account_id"],
        session_id=row["session_id"],
        swarm_id=row["swarm_id"],
        state=ReservationState(row["state"]),
        model=row["model"],
        reserved=Amount(row["reserved_nano_usd"], row["reserved_tokens"]),
        settled=settled,
        usage=usage,
        estimated=bool(row["estimated"]),
        opened_at=datetime.fromisoformat(row["opened_at"]),
        ended_at=_time(row["ended_at"]),
        provider_request_id=row["provider_request_id"],
        beside=tuple(row[name] for name in ("day_account", "month_account", "agent_account") if row[name] is not None),
        price=row["price"],
    )
