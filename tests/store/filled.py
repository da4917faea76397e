"""A store with something in every table, and everything that can be read back from it."""

from dataclasses import replace
from datetime import UTC, datetime

from swarmworks.base.ids import DeliveryId, MessageId, QuestionId, ReservationId, ReviewId, SwarmId, TaskId, WorkId
from swarmworks.domain.budget import AccountKind, Amount, Limit, Usage
from swarmworks.domain.change import ChangeEvent
from swarmworks.domain.delivery import DeliveryEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.review import ReviewSubject
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.domain.task import Guidance, TaskEvent
from swarmworks.policy.queueing import Run
from swarmworks.store.protocol import GateRun, NewDelivery, NewReview, NewWork, QueueBranch
from swarmworks.wire.options import SwarmOptions, to_json
from tests.scenario.harness import configuration
from tests.store.sample import PER_SESSION, SWARM, USD, agents_of, change_of, claim, planned, swarm_of, terms_of, worker

OTHER = SwarmId("swm_2")
SWARMS = (SWARM, OTHER)


def fill(tx):
    """Two swarms: one stopped, one in the middle of its work, with two sessions and calls under way."""
    tx.set_agents("shop", agents_of(6))
    tx.insert_swarm(swarm_of(planned("x"), swarm_id=OTHER))
    tx.move_swarm(OTHER, SwarmEvent.STOP, reason="enough")
    tasks = (planned("a"), planned("b"), planned("c", "a"), planned("d"))
    new = swarm_of(*tasks, limit=Limit(50 * USD, 1_000_000), task_limit=Limit(20 * USD))
    options = SwarmOptions(config=configuration(), model="rehearsal:rehearsal", agents=6)
    tx.insert_swarm(replace(new, options=to_json(options)))
    lease = worker(tx)
    claimed = claim(tx, lease, 3, terms=terms_of(limit=Limit(None, 50_000)))
    (first, work), (second, _), _third = claimed
    _calls(tx, first.id, second.id)
    tx.start_session(second.id, "5" * 64)
    tx.insert_question(QuestionId("que_1"), second.id, "which port — 8080 or 80?")
    tx.answer_question(QuestionId("que_1"), "8080", "person:ana")
    tx.insert_question(QuestionId("que_2"), second.id, "May it also write x?", ("x", "src/"))
    tx.insert_mail(MessageId("mai_1"), second.id, first.agent_id, "mind the gap")
    tx.insert_message(MessageId("msg_1"), second.id, "person:ana", "use httpx")
    tx.finish_work(lease, work.id, work.fence, '{"outcome": "submitted"}')
    tx.end_session(first.id, SessionOutcome.SUBMITTED, None)
    _change(tx, first)
    tx.begin_takeover(second.id, first.id)
    tx.insert_run(SWARM, Run("wrk_g", "o" * 40, ("chg_1",), ("n" * 40,), lane=True))
    tx.set_queue_branch(SWARM, QueueBranch("o" * 40, "p" * 40, "tests fails since Ada pushed"))
    tx.insert_health(SWARM, ["tests/test_a.py::test_a"], TaskId("d"))
    tx.guide_task(SWARM, TaskId("d"), Guidance("take care", None, "ada-3"))
    tx.put_blob("icon", bytes(range(256)))
    for number, task_id in enumerate((first.task_id, None, second.task_id)):
        data = {"n": number, "text": "naïve ✓ \0 \U0001f980", "list": [1, 2.5, None, True]}
        tx.append(SWARM, NewEvent("task.noted", "platform", data, task_id, second.id if task_id else None))
    tx.append(OTHER, NewEvent("swarm.stopped", "person:ana", {}))


def _calls(tx, first, second):
    tx.reserve(ReservationId("r1"), first, "m", Amount(3 * USD, 900), sent=True)
    tx.settle(ReservationId("r1"), Amount(2 * USD, 700), Usage(600, 100, 50, 5), "req-1")
    tx.reserve(ReservationId("r2"), first, "m", Amount(USD, 100), sent=False)
    tx.free(ReservationId("r2"))
    tx.reserve(ReservationId("r3"), second, "m", Amount(USD, 200), sent=True)
    tx.reserve(ReservationId("r4"), second, "m", Amount(USD, 300), sent=False)


def _change(tx, session):
    tx.insert_change(change_of(session))
    task_id = session.task_id
    tx.move_task(SWARM, task_id, TaskEvent.SUBMIT)
    passed = GateResult("tests", GateOutcome.PASSED, "12 passed", 1.5, (Finding("m", "f.py", 3),), "log", {"n": 12})
    run = GateRun("chg_1", "candidate", "tree", (passed,), datetime(2026, 1, 1, tzinfo=UTC))
    tx.record_gates(run, {"tests": "k1"})
    asked = NewReview(ReviewId("rev_1"), SWARM, "owner", ReviewSubject.CHANGE, "chg_1", "Good?", task_id, ("ana",))
    tx.insert_review(asked)
    tx.move_change("chg_1", ChangeEvent.APPROVE)
    tx.move_task(SWARM, task_id, TaskEvent.APPROVE)
    tx.move_change("chg_1", ChangeEvent.BUILD, candidate="n")
    tx.open_intent("chg_1", "refs/i", "o", "n")
    tx.insert_delivery(NewDelivery(DeliveryId("del_1"), SWARM, "main", "t" * 40, "h" * 40, "person:ana"))
    tx.move_delivery(DeliveryId("del_1"), DeliveryEvent.PASS, candidate="m" * 40)
    tx.enqueue_work(NewWork(WorkId("wrk_g"), WorkKind.BUILD, SWARM, task_id, "chg_1", PER_SESSION, "{}", priority=7))


def read_back(reader):
    """Everything, by what it is."""
    found = {"swarms": reader.swarms(), "workers": reader.workers(), "intents": reader.open_intents()}
    found |= {"works": reader.works(), "reservations": [reader.reservation(f"r{n}") for n in (1, 2, 3, 4)]}
    found |= {"agents": reader.agents("shop"), "gates": reader.gate_runs("chg_1"), "cached": reader.cached_gate("k1")}
    found |= {"blob": reader.blob("icon"), "token": reader.token_session("5" * 64)}
    for swarm_id in SWARMS:
        account = reader.account_of(AccountKind.SWARM, swarm_id)
        of_swarm = {
            "tasks": reader.tasks(swarm_id),
            "counts": reader.task_counts(swarm_id),
            "files": reader.file_claims(swarm_id),
            "sessions": (sessions := reader.sessions(swarm_id)),
            "results": [reader.session_result(session.id) for session in sessions],
            "accounts": [account, *(reader.account(session.account_id) for session in sessions)],
            "totals": reader.totals(account.id),
            "peak": reader.peak(swarm_id),
            "usage": reader.session_usage(swarm_id),
            "changes": reader.changes(swarm_id),
            "reviews": reader.reviews(swarm_id),
            "questions": reader.questions(swarm_id),
            "mail": [agent.id for agent in reader.agents("shop") if reader.unread_mail(swarm_id, agent.id)],
            "takeovers": [session.id for session in sessions if reader.takeover_pending(session.id)],
            "runs": reader.open_runs(swarm_id),
            "branch": [branch for branch in (reader.queue_branch(swarm_id),) if branch is not None],
            "health": sorted(reader.health_tasks(swarm_id).items()),
            "messages": [each for session in sessions for each in reader.messages(session.id)],
            "deliveries": reader.deliveries(swarm_id),
            "events": reader.events(swarm_id),
        }
        found |= {f"{swarm_id} {name}": value for name, value in of_swarm.items()}
    return found
