"""One swarm whose tasks are done by different real programs at once, and what becomes of each when it ends as it should not."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.agent.scripted_model import ScriptedModel, Stall
from tests.runtime.crew import SCRIPTED, crew, crew_site
from tests.runtime.drives import Play, task_of
from tests.scenario.driver import ended, trailer

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

SIX = 6
ONCE = "[limits]\nattempts = 1\nsession_idle_s = 300\n"


class Meeting:
    """The first answers wait until every program has asked: they are all at work at once."""

    def __init__(self, drives):
        self._all = threading.Barrier(len(drives))
        self._play = Play({drive.name: drive.lands(drive.name) for drive in drives})
        self._met = set()

    def __call__(self, recorded):
        task = task_of(recorded)
        if task not in self._met:
            self._met.add(task)
            self._all.wait(300)
        return self._play(recorded)


async def test_six_tasks_are_done_by_six_programs_at_once_gated_landed_and_attributed(tmp_path):
    drives = crew(least=SIX)
    with ScriptedModel(Meeting(drives)) as model:
        site = crew_site(tmp_path, model, drives, ONCE)
        try:
            done = ended(site.start_run("--allow-dirty", "--budget", "20"))
        finally:
            site.close()
    truth = await site.truth()
    names = {drive.name for drive in drives}
    assert (done.code, done.json["state"]) == (0, "landed"), (done, truth.data("session.ended"))
    truth.assert_sound()
    head = truth.landed()[0]["commit"]
    assert {f"{name}.txt" for name in names} <= set(truth.hub.list_files(head))
    kinds = {drive.name: drive.kind for drive in drives}
    started = {event.task_id: event for event in truth.events if event.kind == "session.started"}
    assert set(started) == names
    for name, event in started.items():
        told = json.loads(event.data)
        assert (told["runtime"], told["role"], told["model"]) == (name, name, f"{kinds[name]}:{SCRIPTED}")
        assert event.actor == f"agent:{name}-1"
    for row in truth.landed():
        task = trailer(row, "Swarm-Task")
        assert row["author"] == f"{task}-1", row
    passed = Counter(event.task_id for event in truth.events if event.kind == "change.landed")
    assert passed == Counter(names)
    acted = {event.kind for event in truth.events if event.task_id and event.actor.startswith("agent:")}
    assert {"session.started", "session.tool_call", "session.ended"} <= acted
    for event in truth.events:
        if event.kind in {"session.tool_call", "session.tool_result", "session.message", "session.ended"}:
            assert event.actor == f"agent:{event.task_id}-1", event
            assert event.session_id == started[event.task_id].session_id
    calls = {event.task_id for event in truth.events if event.kind == "session.tool_call"}
    assert calls == names


class Holding:
    """Each program writes its file, if it can, and then waits for an answer that comes when the test lets it go, or never."""

    def __init__(self, drives):
        self._drives = {drive.name: drive for drive in drives}
        self._play = Play({drive.name: drive.lands(drive.name) for drive in drives})
        self._waiting = set()
        self.all_wait = threading.Event()
        self.go = threading.Event()

    def __call__(self, recorded):
        task = task_of(recorded)
        drive = self._drives[task]
        if drive.turns(recorded) or not drive.works_in_turns:
            self._waiting.add(task)
            if self._waiting == set(self._drives):
                self.all_wait.set()
            if not self.go.wait(300):
                return Stall()
        return self._play(recorded)


def inside(site):
    """The processes in the sandboxes, but for the outermost."""
    outermost = site.sandboxes()
    return [child for process in outermost for child in process.children(recursive=True)]


def ends(truth):
    return {event.task_id: json.loads(event.data) for event in truth.events if event.kind == "session.ended"}


def assert_kept(truth, drives):
    for drive in drives:
        head = ends(truth)[drive.name]["head"]
        assert not drive.works_in_turns or f"{drive.name}.txt" in truth.hub.list_files(head), drive.name


async def test_a_program_that_dies_has_failed_and_its_work_is_kept(tmp_path):
    drives = crew()
    held = Holding(drives)
    with ScriptedModel(held) as model:
        site = crew_site(tmp_path, model, drives, ONCE)
        try:
            process = site.start_run("--allow-dirty", "--budget", "20")
            assert held.all_wait.wait(300), process.poll()
            for one in inside(site):
                try:
                    one.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue
            done = ended(process)
        finally:
            held.go.set()
            site.close()
    truth = await site.truth()
    assert done.json["state"] == "blocked", done
    for name, row in ends(truth).items():
        assert row["outcome"] == "failed", (name, row)
        assert "without a word" in row["reason"] or "exit status" in row["reason"], (name, row)
    assert set(ends(truth)) == {drive.name for drive in drives}
    assert_kept(truth, drives)


async def test_a_program_that_does_nothing_any_more_is_stopped_and_its_work_is_kept(tmp_path):
    drives = crew()
    held = Holding(drives)
    short = "[limits]\nattempts = 1\nsession_idle_s = 2\ncommand_timeout_s = 2\n"
    with ScriptedModel(held) as model:
        site = crew_site(tmp_path, model, drives, short)
        try:
            process = site.start_run("--allow-dirty", "--budget", "20")
            assert held.all_wait.wait(300), process.poll()
            for one in inside(site):
                one.suspend()
            held.go.set()
            done = ended(process)
        finally:
            held.go.set()
            site.close()
    truth = await site.truth()
    assert done.json["state"] == "blocked", done
    for name, row in ends(truth).items():
        assert row["outcome"] == "stopped", (name, row)
        assert "stalled: no event for" in row["reason"], (name, row)
    assert set(ends(truth)) == {drive.name for drive in drives}
    assert_kept(truth, drives)


GARBAGE = b"\xff<html>no event</html>" * 60 + b"\n"
SOME = 30
ENDLESS_BYTES = 1 << 30


async def babbled(tmp_path, lines):
    """How a run ends in whose programs' standard output somebody writes so many lines of garbage while they wait."""
    drives = crew()
    held = Holding(drives)
    with ScriptedModel(held) as model:
        site = crew_site(tmp_path, model, drives, ONCE)
        try:
            process = site.start_run("--allow-dirty", "--budget", "20")
            assert held.all_wait.wait(300), process.poll()
            flood(site, len(drives), lines)
            held.go.set()
            done = ended(process)
        finally:
            held.go.set()
            site.close()
    truth = await site.truth()
    truth.assert_sound()
    told = Counter(event.task_id for event in truth.events if "no event</html>" in event.data)
    assert set(told) == {drive.name for drive in drives}, "what was written is not what was read"
    assert len(truth.events) < 500 * len(drives)
    return done, truth, drives


async def test_some_garbage_is_read_past_and_the_work_lands(tmp_path):
    done, truth, _ = await babbled(tmp_path, SOME)
    assert (done.code, done.json["state"]) == (0, "landed"), (done, ends(truth))


async def test_output_without_end_ends_the_session_and_its_work_is_kept(tmp_path):
    done, truth, drives = await babbled(tmp_path, ENDLESS_BYTES // len(GARBAGE))
    assert done.json["state"] == "blocked", done
    for name, row in ends(truth).items():
        assert row["outcome"] == "stopped", (name, row)
        assert "no event" in row["reason"] or "printed more than" in row["reason"], (name, row)
    assert_kept(truth, drives)


def flood(site, wanted, lines):
    """Into the standard output of every program, as if it had written that."""
    outputs = [output_of(outermost) for outermost in site.sandboxes()]
    assert len(outputs) == wanted
    writers = [threading.Thread(target=pour, args=(output, lines)) for output in outputs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert not writer.is_alive()


def output_of(outermost):
    """The pipe to the worker, of the first process below that has one: the program. Mini keeps it elsewhere, and writes what
    others print to its standard error.
    """
    for process in (outermost, *outermost.children(recursive=True)):
        opened = {int(place.name): str(place.readlink()) for place in Path(f"/proc/{process.pid}/fd").iterdir()}
        if opened[1].startswith("pipe:"):
            pipes = [
                number for number, to in opened.items() if to.startswith("pipe:") and to not in {opened[0], opened[2]}
            ]
            return Path(f"/proc/{process.pid}/fd/{min(pipes)}").open("wb", buffering=0)
    raise AssertionError(outermost.cmdline())


def pour(output, lines):
    with output, suppress(BrokenPipeError):
        for _ in range(lines):
            output.write(GARBAGE)
