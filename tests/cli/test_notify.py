from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest

from swarmworks.cli.ringing import RingingDisplay
from swarmworks.cli.view.plain import PlainProgress
from swarmworks.notify.outcomes import Outcome, Outcomes
from swarmworks.notify.protocol import Lack, NotToldError
from swarmworks.wire.config_notify import NotifySection
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher
from tests.scenario.harness import repository


class Channel:
    def __init__(self, name, error=None, lack=None):
        self.name = name
        self.address = f"{name} of ann"
        self.error = error
        self.lack = lack
        self.taken = []

    def lacks(self):
        return self.lack

    async def send(self, dispatch):
        if self.error is not None:
            raise self.error
        self.taken.append(dispatch)


@pytest.fixture
def channels():
    broken = NotToldError("it answered 404", where="https://example.com", mend="check its address and key")
    return [Channel("desk"), Channel("hook", broken)]


def test_each_channel_is_tried_and_its_answer_told(tmp_path, swarm: Swarm, channels):
    ran = swarm(FakeLauncher(tmp_path, channels=channels), "notify", "test")
    assert ran.code == 4
    assert "sent   desk  desk of ann" in ran.out
    assert "FAILED hook  https://example.com: it answered 404" in ran.out
    assert "mend: check its address and key" in ran.out
    assert channels[0].taken[0].title == "A test notice: this channel works"


def test_one_channel_by_name_as_json(tmp_path, swarm: Swarm, channels):
    ran = swarm(FakeLauncher(tmp_path, channels=channels), "notify", "test", "desk", "--json")
    assert ran.code == 0
    rows = json.loads(ran.out)
    assert rows["ok"] is True
    assert [(row["channel"], row["ok"]) for row in rows["channels"]] == [("desk", True)]


def test_a_channel_that_is_not_there_is_a_mistake(tmp_path, swarm: Swarm, channels):
    ran = swarm(FakeLauncher(tmp_path, channels=channels), "notify", "test", "pager")
    assert ran.code == 2
    assert "there is no channel 'pager'" in ran.err
    assert "there is: desk, hook" in ran.err


def test_doctor_lists_channels_and_what_they_lack(tmp_path, swarm: Swarm):
    channels = [
        Channel("desk", lack=Lack("there is no desktop session here", "start swarm inside it")),
        Channel("team"),
    ]
    ran = swarm(FakeLauncher(tmp_path, channels=channels), "doctor")
    assert ran.code == 4
    assert "LACKS  notify desk" in ran.out
    assert "mend: start swarm inside it" in ran.out
    assert "team of ann" in ran.out


def test_doctor_shows_the_last_failure_until_the_channel_works_again(tmp_path, swarm: Swarm, channels):
    repository(tmp_path, {"README.md": "shop\n"})
    (tmp_path / ".swarm").mkdir()
    launcher = FakeLauncher(tmp_path, channels=channels)
    swarm(launcher, "notify", "test")
    ran = swarm(launcher, "doctor")
    assert ran.code == 4
    assert "https://example.com: it answered 404" in ran.out
    assert "swarm notify test hook" in ran.out
    channels[1].error = None
    swarm(launcher, "notify", "test", "hook")
    ran = swarm(launcher, "doctor")
    assert ran.code == 0
    assert "hook of ann, worked at " in ran.out


def test_a_damaged_file_of_outcomes_is_no_reason_to_fail(tmp_path):
    outcomes = Outcomes(tmp_path)
    for text in ("", "[]", '{"a": 1}', '{"a": {}}', "\x00"):
        (tmp_path / "notify.json").write_text(text)
        assert outcomes.read() == {}
    outcomes.put("desk", Outcome("now"))
    assert Outcomes(tmp_path).read() == {"desk": Outcome("now")}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(events, *, stream=None, now=sample.BORN, **notify):
    out, stream = io.StringIO(), stream or Terminal()
    display = RingingDisplay(
        PlainProgress(out), NotifySection.model_validate(notify), "shop", stream=stream, now=lambda: now
    )
    display.show(sample.status(), events)
    return out.getvalue(), stream.getvalue()


BLOCKED = sample.event(1, "task.blocked", "users", reason="tests failed")
LANDED = sample.event(2, "swarm.landed")
STUCK = sample.event(3, "swarm.blocked", reason="2 blocked")


def test_who_follows_sees_what_to_type_and_is_rung():
    said, rung = shown([BLOCKED])
    assert "Task users is blocked. Type: swarm inbox" in said
    assert rung.count("\a") == 3
    assert "\x1b]9;Swarmworks: Task users is blocked\a" in rung
    assert "\x1b]777;notify;Swarmworks: Task users is blocked;tests failed" in rung


def test_where_no_terminal_listens_nothing_but_the_line_is_written():
    said, rung = shown([BLOCKED], stream=io.StringIO())
    assert "swarm inbox" in said
    assert rung == ""


def test_an_agent_cannot_send_sequences_to_the_terminal():
    hostile = sample.event(1, "task.blocked", "users", reason="\x1b]0;owned\a\x1b[2J\x9b31m; more")
    said, rung = shown([hostile])
    assert "\x1b" not in said
    assert rung.count("\x1b") == 2
    assert "owned" not in rung.split("\a")[0]


def test_old_events_do_not_ring():
    said, rung = shown([BLOCKED], now=sample.BORN + timedelta(minutes=5))
    assert rung == ""
    assert "Type:" not in said


def test_in_quiet_hours_the_line_is_there_and_only_what_is_urgent_rings():
    hour = sample.BORN.strftime("%H")
    quiet = {"quiet": f"{hour}:00-{(int(hour) + 1) % 24:02}:00", "timezone": "UTC"}
    said, rung = shown([BLOCKED], **quiet)
    assert "Type: swarm inbox" in said
    assert rung == ""
    assert "\a" in shown([STUCK], **quiet)[1]


def test_the_end_of_a_swarm_rings_without_a_second_line():
    said, rung = shown([STUCK])
    assert "Type:" not in said
    assert "\a" in rung


def test_severity_and_channels_are_as_configured():
    assert shown([LANDED])[1] == ""
    everything = {"channels": [{"name": "here", "kind": "terminal", "severity": "info"}]}
    assert "\a" in shown([LANDED], **everything)[1]
    nobody = {"channels": [{"name": "desk", "kind": "desktop"}]}
    assert shown([BLOCKED], **nobody)[1] == ""
