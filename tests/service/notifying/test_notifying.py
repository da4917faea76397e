"""The service on a real store with a clock that moves when told to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from types import SimpleNamespace

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import QuestionId, SequentialIds, SwarmId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.notice import Severity
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.domain.task import TaskEvent
from swarmworks.notify.protocol import Dispatch, NotToldError
from swarmworks.policy.quiet import QuietHours
from swarmworks.policy.telling import ChannelRule, Rules
from swarmworks.service.notifying.notifying import Notifying
from tests.store import sample
from tests.store.sample import SWARM
from tests.stores import open_test_store

EVENING = datetime(2026, 3, 1, 21, tzinfo=UTC)


class FakeChannel:
    """`errors`: what the next sends end with; None is taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = f"{name} of ann"
        self.taken: list[Dispatch] = []
        self.errors: list[Exception | None] = []
        self.tried = 0
        self.gate: asyncio.Event | None = None

    def lacks(self):
        return None

    async def send(self, dispatch: Dispatch) -> None:
        self.tried += 1
        if self.gate is not None:
            await self.gate.wait()
        if error := (self.errors.pop(0) if self.errors else None):
            raise error
        self.taken.append(dispatch)

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.taken]


class Plant:
    def __init__(self, folder) -> None:
        self.folder = folder
        self.clock = ManualClock(EVENING)
        self.desk, self.boss = FakeChannel("desk"), FakeChannel("boss")
        self.rules = Rules((ChannelRule("desk", Severity.WARNING),))
        self.alarms: list[float] = []
        self.outcomes = {}

    async def start(self) -> None:
        self.store = await open_test_store(self.folder / "state.db", self.clock, SequentialIds())
        self.service = self.notifying()
        await self.service.begin()

    def notifying(self) -> Notifying:
        return Notifying(
            self.store, self.clock, [self.desk, self.boss], self.rules, "shop",
            alarm=self.alarms.append, note=self.outcomes.__setitem__,
        )  # fmt: skip

    async def restart(self) -> None:
        await self.store.close()
        await self.start()

    async def create(self, swarm_id=SWARM, **more) -> None:
        await self.store.transact(
            lambda tx: tx.insert_swarm(sample.swarm_of(sample.planned("a"), sample.planned("b"), swarm_id=swarm_id, **more))
        )  # fmt: skip

    async def block(self, task="a", swarm_id=SWARM, reason="3 attempts") -> None:
        def write(tx):
            (work,) = [w for _, w in sample.claim(tx, self.lease(tx), 2, swarm_id=swarm_id, chooser=only(task))]
            tx.end_session(work.subject, "failed", None)
            tx.move_task(swarm_id, task, TaskEvent.EXHAUST, note=reason)
            tx.append(swarm_id, NewEvent("task.blocked", "platform", {"reason": reason}, task))

        await self.store.transact(write)

    def lease(self, tx):
        tx.set_agents("shop", sample.agents_of(8))
        return sample.worker(tx, f"w{len(tx.workers())}")

    async def say(self, kind, task=None, swarm_id=SWARM, **data) -> None:
        await self.store.transact(lambda tx: tx.append(swarm_id, NewEvent(kind, "platform", data, task)))

    async def look(self, service=None, swarm_id=SWARM) -> None:
        """As after a commit, until nothing more can be done now."""
        service = service or self.service
        service._news.add(swarm_id)
        await service.once()
        while service._busy:
            await asyncio.wait(service._busy.values())
            await service.once()

    async def later(self, seconds) -> None:
        self.clock.advance(seconds)
        await self.look()

    async def events(self, kind, swarm_id=SWARM):
        events = await self.store.read(lambda reader: reader.events(swarm_id))
        return [one for one in events if one.kind == kind]


def only(task):
    def chosen(facts):
        return [choice for choice in sample.choose(facts) if choice.task_id == task]

    return chosen


@asynccontextmanager
async def open_plant(folder):
    plant = Plant(folder)
    await plant.start()
    await plant.create()
    try:
        yield plant
    finally:
        await plant.service.finish(1.0)
        await plant.store.close()


@pytest.fixture
async def plant(tmp_path):
    async with open_plant(tmp_path) as one:
        yield one


async def test_a_blocked_task_is_told_once_and_on_record(plant):
    await plant.block("a", reason="tests failed three times")
    await plant.look()
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked"]
    assert "tests failed three times" in plant.desk.taken[0].text
    (sent,) = await plant.events("notice.sent")
    assert '"channel":"desk"' in sent.data
    assert '"to":"desk of ann"' in sent.data
    assert sent.actor == "platform"
    assert plant.outcomes["desk"].failure == ""


async def test_what_was_missed_is_told_though_the_store_did_not_answer_when_it_was_looked_for(plant, monkeypatch):
    await plant.block("a")

    async def commits():
        yield SimpleNamespace(swarms=frozenset(), unsure=True)

    async def away(_look):
        raise StoreUnavailableError("starting")

    with monkeypatch.context() as broken:
        broken.setattr(plant.store, "commits", commits)
        broken.setattr(plant.store, "read", away)
        await plant.service.listen()
        with pytest.raises(StoreUnavailableError):
            await plant.service.once()
    assert plant.alarms[-1] > 0, "a look is due"
    await plant.service.once()
    await asyncio.wait(plant.service._busy.values())
    assert plant.desk.titles == ["Task a is blocked"]


async def test_what_is_not_severe_enough_is_not_told(plant):
    await plant.say("swarm.landed")
    await plant.look()
    assert plant.desk.tried == 0


async def test_nothing_is_told_twice_over_a_restart(plant):
    await plant.block()
    await plant.look()
    await plant.restart()
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked"]


async def test_a_crash_after_the_decision_tells_it_after_the_restart(plant):
    await plant.block()
    plant.desk.gate = asyncio.Event()
    plant.service._news.add(SWARM)
    await plant.service.once()
    await asyncio.sleep(0)
    await plant.service.finish(0.0)
    plant.desk.gate = None
    await plant.restart()
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked"]


async def test_a_crash_between_sending_and_writing_tells_it_again_with_the_same_id(plant, monkeypatch):
    await plant.block()

    def full(*_):
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(plant.service._sending, "_record", full)
    await plant.look()
    assert plant.desk.tried == 1
    await plant.restart()
    await plant.look()
    first, second = plant.desk.taken
    assert first.key == second.key
    assert len(await plant.events("notice.sent")) == 1


async def test_what_cannot_be_written_down_is_not_sent_over_and_over(plant, monkeypatch):
    def full(*_):
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(plant.service._sending, "_record", full)
    await plant.block()
    for _ in range(5):
        await plant.look()
    assert plant.desk.tried == 1
    assert 0.0 not in plant.alarms[-3:]


async def test_at_night_only_what_is_urgent_is_told_and_the_morning_brings_one_digest(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.INFO),), QuietHours(time(22), time(7), UTC))
    await plant.start()
    await plant.create()
    plant.clock.advance(2 * 3600)
    for percent in (90, 91, 92):
        await plant.say("budget.warning", percent=percent)
    await plant.block("a")
    await plant.look()
    assert plant.desk.tried == 0
    await plant.say("plant.failed", reason="the worker died")
    await plant.look()
    assert plant.desk.titles == ["Swarm swm_1 cannot go on on this machine"]
    await plant.later(7 * 3600)
    assert plant.desk.tried == 1
    assert plant.alarms[-1] == pytest.approx(3600)
    await plant.later(3600)
    assert plant.desk.titles[1:] == ["4 notices of shop"]
    assert len(await plant.events("notice.sent")) == 2
    await plant.store.close()


async def test_what_was_answered_during_the_night_is_not_told_in_the_morning(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.INFO),), QuietHours(time(20), time(7), UTC))
    await plant.start()
    await plant.create()
    await plant.block("a")
    await plant.look()
    await plant.store.transact(lambda tx: tx.move_task(SWARM, "a", TaskEvent.RETRY))
    await plant.later(12 * 3600)
    assert plant.desk.tried == 0
    assert plant.service._ledgers == {}
    await plant.store.close()


@pytest.fixture
async def escalating(tmp_path):
    plant = Plant(tmp_path)
    desk, boss = ChannelRule("desk", Severity.WARNING), ChannelRule("boss", Severity.WARNING, only_again=True)
    plant.rules = Rules((desk, boss), None, 900.0, ("boss",))
    await plant.start()
    await plant.create()
    yield plant
    await plant.store.close()


async def test_what_nobody_answers_goes_to_the_next_channel_once(escalating):
    await escalating.block()
    await escalating.look()
    await escalating.later(899)
    assert escalating.boss.tried == 0
    assert escalating.alarms[-1] == pytest.approx(1)
    await escalating.later(1)
    assert escalating.boss.titles == ["Task a is blocked"]
    assert "Nobody has answered" in escalating.boss.taken[0].text
    await escalating.later(9000)
    assert (escalating.boss.tried, escalating.desk.tried) == (1, 1)
    first, again = await escalating.events("notice.sent")
    assert '"again":true' in again.data
    assert '"again":false' in first.data


async def test_an_answer_ends_the_escalation(escalating):
    await escalating.block()
    await escalating.look()
    await escalating.store.transact(lambda tx: tx.move_task(SWARM, "a", TaskEvent.RETRY))
    await escalating.later(1000)
    assert escalating.boss.tried == 0


async def test_an_escalation_is_not_forgotten_over_a_restart(escalating):
    await escalating.block()
    await escalating.look()
    escalating.clock.advance(1000)
    await escalating.restart()
    await escalating.look()
    assert escalating.boss.titles == ["Task a is blocked"]
    assert escalating.desk.tried == 1


async def test_an_open_question_is_escalated_and_an_answered_one_is_not(escalating):
    def ask(tx):
        found = sample.claim(tx, escalating.lease(tx), places=2)
        for number, (session, _) in enumerate(found, start=1):
            tx.insert_question(QuestionId(f"qst_{number}"), session.id, "Which currency?")
            data = {"question": f"qst_{number}", "text": "Which currency?"}
            tx.append(SWARM, NewEvent("question.asked", "agent:ada", data, session.task_id, session.id))

    await escalating.store.transact(ask)
    await escalating.look()
    assert len(escalating.desk.taken) == 2
    await escalating.store.transact(lambda tx: tx.answer_question(QuestionId("qst_1"), "EUR", "person:ann"))
    await escalating.later(900)
    assert [one.notices[0].command for one in escalating.boss.taken] == ['swarm answer qst_2 "..."']


async def test_a_channel_that_fails_is_tried_again_and_then_given_up_loudly(plant):
    plant.desk.errors = [NotToldError("no answer", where="host") for _ in range(9)]
    await plant.block()
    await plant.look()
    assert plant.desk.tried == 1
    assert await plant.events("notice.failed") == []
    assert plant.outcomes["desk"].failure == "host: no answer"
    for seconds in (4, 1, 30, 120, 600, 3600, 86_400):
        await plant.later(seconds)
    assert plant.desk.tried == 5
    (failed,) = await plant.events("notice.failed")
    assert '"reason":"host: no answer"' in failed.data
    assert '"tries":5' in failed.data


async def test_a_channel_that_works_again_tells_what_it_missed(plant):
    plant.desk.errors = [NotToldError("no answer")]
    await plant.block()
    await plant.look()
    await plant.later(5)
    assert plant.desk.titles == ["Task a is blocked"]
    assert plant.outcomes["desk"].failure == ""


async def test_a_refusal_is_not_repeated_and_the_other_channel_is_told_of_it(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.WARNING), ChannelRule("boss", Severity.WARNING)))
    await plant.start()
    await plant.create()
    plant.desk.errors = [NotToldError("401", again=False)]
    await plant.block()
    await plant.look()
    await plant.later(86_400)
    assert plant.desk.tried == 1
    assert plant.boss.titles == ["Task a is blocked", "The notification channel desk does not work"]
    await plant.store.close()


async def test_a_broken_channel_is_told_of_once_until_it_takes_something_again(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.WARNING), ChannelRule("boss", Severity.WARNING)))
    await plant.start()
    await plant.create()

    async def warned(percent, *errors):
        plant.desk.errors = list(errors)
        await plant.say("budget.warning", percent=percent)
        await plant.look()

    refused = NotToldError("401", again=False)
    for percent in (90, 91, 92):
        await warned(percent, refused)
    await plant.restart()
    await warned(93, refused)
    broken = "The notification channel desk does not work"
    assert plant.boss.titles.count(broken) == 1
    assert len(await plant.events("notice.failed")) == 4
    await warned(94)
    await warned(95, refused)
    assert plant.boss.titles.count(broken) == 2
    assert len(plant.desk.taken) == 1
    await plant.store.close()


async def test_two_broken_channels_do_not_tell_each_other_for_ever(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.WARNING), ChannelRule("boss", Severity.WARNING)))
    await plant.start()
    await plant.create()
    for channel in (plant.desk, plant.boss):
        channel.errors = [NotToldError("401", again=False) for _ in range(50)]
    await plant.block()
    await plant.look()
    await plant.look()
    assert (plant.desk.tried, plant.boss.tried) == (2, 2)
    await plant.store.close()


async def test_a_fault_in_a_channel_is_like_a_failure(plant):
    plant.desk.errors = [RuntimeError("a bug")]
    await plant.block()
    await plant.look()
    assert "RuntimeError" in plant.outcomes["desk"].failure
    await plant.later(5)
    assert plant.desk.titles == ["Task a is blocked"]


async def test_a_slow_channel_holds_up_no_other_and_gets_each_notice_once(tmp_path):
    plant = Plant(tmp_path)
    plant.rules = Rules((ChannelRule("desk", Severity.WARNING), ChannelRule("boss", Severity.WARNING)))
    await plant.start()
    await plant.create()
    plant.desk.gate = asyncio.Event()
    for task in ("a", "b"):
        await plant.block(task)
        plant.service._news.add(SWARM)
        for _ in range(3):
            await plant.service.once()
            if "boss" in plant.service._busy:
                await asyncio.wait([plant.service._busy["boss"]])
    assert plant.boss.titles == ["Task a is blocked", "Task b is blocked"]
    assert plant.desk.tried == 1
    plant.desk.gate.set()
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked", "Task b is blocked"]
    await plant.store.close()


async def test_many_at_once_come_as_one_digest(plant):
    for percent in range(90, 100):
        await plant.say("budget.warning", percent=percent)
    await plant.look()
    assert plant.desk.titles == ["10 notices of shop"]


async def test_the_budget_is_warned_of_once_for_each_limit(tmp_path):
    plant = Plant(tmp_path)
    await plant.start()
    await plant.create(limit=Limit(100, None), task_limit=Limit(None, None))
    spent = [89]

    async def spend(more):
        spent[0] = more
        await plant.later(1.5)
        await plant.look()

    plant.store.read = _with_spent(plant.store.read, spent)
    await spend(89)
    assert plant.desk.tried == 0
    await spend(90)
    await spend(95)
    assert plant.desk.titles == ["Swarm swm_1 has used 90 % of its budget"]
    account = await plant.store.read(lambda reader: reader.swarm(SWARM).account_id)
    await plant.store.transact(lambda tx: tx.raise_limit(account, Limit(1000, None)))
    await spend(500)
    assert plant.desk.tried == 1
    await spend(940)
    assert plant.desk.titles[1:] == ["Swarm swm_1 has used 94 % of its budget"]
    assert len(await plant.events("budget.warning")) == 2
    await plant.store.close()


def _with_spent(read, spent):
    """The ledger's own sums are its own tests' business: here only what follows from them."""

    async def reading(look):
        def looking(reader):
            true = reader.totals
            reader.totals = lambda account: type(true(account))(true(account).limit, Amount(spent[0], 0), Amount(), 1)
            try:
                return look(reader)
            finally:
                del reader.totals

        return await read(looking)

    return reading


async def test_the_end_of_a_burst_of_spending_is_not_overlooked(plant):
    await plant.look()
    plant.alarms.clear()
    await plant.look()
    assert plant.alarms == [1.0]
    assert plant.service._news == {SWARM}


async def test_a_changed_log_is_found_and_told(plant):
    await plant.say("task.noted", n=1)
    await plant.say("task.noted", n=2)
    await plant.look()
    await plant.store.transact(
        lambda tx: tx.db.change_many("UPDATE event SET data = :data WHERE seq = 1", [{"data": '{"n":9}'}])
    )
    await plant.restart()
    await plant.look()
    await plant.look()
    assert plant.desk.titles == ["The event log of swarm swm_1 is broken"]
    (broken,) = await plant.events("chain.broken")
    assert broken.data == '{"first":1}'


async def test_what_stops_the_control_plane_is_told_before_it_ends(plant):
    await plant.service.report_failure("the worker died 5 times")
    await plant.service.finish(5.0)
    assert plant.desk.titles == ["Swarm swm_1 cannot go on on this machine"]
    assert "died 5 times" in plant.desk.taken[0].text


async def test_ending_waits_for_no_channel_for_ever(plant):
    plant.desk.gate = asyncio.Event()
    await plant.block()
    plant.service._news.add(SWARM)
    await plant.service.finish(0.05)
    assert plant.service._busy == {}


async def test_two_swarms_have_each_their_own(plant):
    other = SwarmId("swm_2")
    await plant.create(other)
    await plant.block("a")
    await plant.block("b", other)
    await plant.look()
    await plant.look(swarm_id=other)
    assert sorted(one.notices[0].swarm_id for one in plant.desk.taken) == ["swm_1", "swm_2"]


async def test_old_news_is_no_news_but_what_is_still_open_is_told(plant):
    await plant.say("budget.warning", percent=95)
    await plant.block("a")
    plant.clock.advance(2 * 86_400)
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked"]


async def test_without_news_the_store_is_not_touched(plant):
    await plant.look()
    plant.clock.advance(2)
    await plant.look()

    async def never(_):
        raise AssertionError("the store was asked")

    plant.service._news.clear()
    plant.store.read = plant.store.transact = never
    for _ in range(3):
        assert await plant.service.once() is False


async def test_commits_are_news_and_a_lot_of_them_is_one_look(plant):
    alarmed = asyncio.Event()
    plant.service._alarm = lambda seconds: (plant.alarms.append(seconds), alarmed.set())
    listening = asyncio.create_task(plant.service.listen())
    await asyncio.sleep(0)
    plant.service._news.clear()
    await plant.block()
    await asyncio.wait_for(alarmed.wait(), 5)
    assert plant.alarms[-1] == 0.2
    await plant.service.once()
    await plant.look()
    assert plant.desk.titles == ["Task a is blocked"]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_channel_taken_out_of_the_configuration_is_forgotten(plant):
    plant.desk.errors = [NotToldError("no answer")]
    await plant.block()
    await plant.look()
    plant.rules = Rules(())
    plant.desk, plant.boss = FakeChannel("other"), FakeChannel("another")
    await plant.restart()
    await plant.look()
    assert plant.service._ledgers == {}


async def test_a_blocked_swarm_is_urgent_until_it_is_resumed(escalating):
    def stick(tx):
        tx.move_swarm(SWARM, SwarmEvent.STICK, reason="2 blocked")
        tx.append(SWARM, NewEvent("swarm.blocked", "platform", {"reason": "2 blocked"}))

    await escalating.store.transact(stick)
    await escalating.look()
    assert escalating.desk.taken[0].severity is Severity.URGENT
    await escalating.store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.RESUME))
    await escalating.later(1000)
    assert escalating.boss.tried == 0
