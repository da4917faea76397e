"""What a worker is handed, as it is written."""

from __future__ import annotations

from swarmworks.domain.plan import Stack
from swarmworks.wire.api import LeasedWork
from swarmworks.wire.work import WORK, GatesWork, SessionWork
from tests.scenario.harness import task


def session(**more) -> SessionWork:
    known = {
        "work_id": "wrk_1",
        "fence": 1,
        "need": {"agents": 1, "cpu_slots": 0, "memory_bytes": 1},
        "swarm_id": "swm_1",
        "task": task("t0"),
        "session_id": "ses_1",
        "plan_id": "pln_1",
        "plan_name": "A plan",
        "stack": Stack("python", "none", "none"),
        "attempt": 1,
        "max_attempts": 3,
        "base": "0" * 40,
        "agent": {"id": "p/api-1", "name": "api-1", "role": "api", "kinds": ["api"]},
        "model": "m",
        "wire": "openai",
        "token": "t",
        "limits": {},
    }
    return SessionWork.model_validate(known | more)


def test_it_comes_back_as_it_was():
    for work in (
        session(),
        session(regenerates=True, resolves=True, start="1" * 40, notes=[{"task_id": "t1", "text": "x"}]),
    ):
        assert WORK.validate_json(work.model_dump_json()) == work
        (heard,) = LeasedWork.model_validate_json(LeasedWork(work=(work,)).model_dump_json()).work
        assert heard == work


def test_an_older_worker_hears_of_a_field_only_where_it_is_used():
    usual = {"regenerates", "resolves", "summary", "guidance", "start", "runtime"}
    written = session().model_dump(mode="json")
    assert written["kind"] == "session"
    assert not usual & set(written)
    assert session(regenerates=True).model_dump(mode="json")["regenerates"] is True
    assert LeasedWork(work=(session(),)).model_dump(mode="json")["work"][0] == written


def test_of_other_work_as_well():
    work = GatesWork.model_validate(
        {
            "work_id": "wrk_1",
            "fence": 1,
            "need": {"agents": 0, "cpu_slots": 1, "memory_bytes": 1},
            "swarm_id": "swm_1",
            "task": task("t0"),
            "change_id": "chg_1",
            "stage": "change",
            "base": "0" * 40,
            "head": "1" * 40,
        }
    )
    assert {"floors", "tests"} & set(work.model_dump()) == set()
    assert WORK.validate_json(work.model_dump_json()) == work
