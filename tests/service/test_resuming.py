from __future__ import annotations

from swarmworks.base.clock import ManualClock
from swarmworks.base.ids import QuestionId, SequentialIds
from swarmworks.domain.budget import Amount
from swarmworks.domain.question import QuestionState
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.domain.task import TaskEvent, TaskState
from swarmworks.service import questions
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.options import SwarmOptions, to_json
from tests.scenario.harness import configuration
from tests.store import sample
from tests.store.sample import SWARM
from tests.stores import open_test_store


async def test_a_task_that_is_tried_again_asks_no_more_and_it_is_on_record(tmp_path):
    store = await open_test_store(tmp_path / "state.db", ManualClock(), SequentialIds())
    options = to_json(SwarmOptions(config=configuration(), model="rehearsal:rehearsal", agents=2))
    new = sample.swarm_of(sample.planned("a"), sample.planned("b"))

    def ask(tx):
        tx.insert_swarm(type(new)(**{name: getattr(new, name) for name in new.__slots__} | {"options": options}))
        tx.set_agents("shop", sample.agents_of(2))
        for session, _ in sample.claim(tx, sample.worker(tx), places=2):
            question = questions.put(tx, QuestionId(f"qst_{session.task_id}"), session, "Which currency?")
            tx.end_session(session.id, SessionOutcome.ASKED, None)
            questions.block(tx, session, question)
        tx.move_task(SWARM, "b", TaskEvent.CANCEL)
        tx.move_swarm(SWARM, SwarmEvent.STICK, reason="1 blocked")

    await store.transact(ask)
    swarms = Swarms(store, None, SequentialIds(), ManualClock(), lambda _model: Amount())
    await swarms.resume(SWARM, ResumeSwarm(retry_blocked=True), "person:ann")
    tasks, asked, events = await store.read(
        lambda reader: (reader.tasks(SWARM), reader.questions(SWARM), reader.events(SWARM))
    )
    assert tasks[0].state is TaskState.READY
    assert {one.task_id: one.state for one in asked} == {"a": QuestionState.WITHDRAWN, "b": QuestionState.OPEN}
    assert [(one.actor, one.task_id) for one in events if one.kind == "task.retried"] == [("person:ann", "a")]
    await store.close()
