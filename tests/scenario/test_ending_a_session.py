"""A person ends one session: its token is revoked at once, and its task begins anew at no charge."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenario.driver import CALL_NANO_USD, CountedModel, Site, ended, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]


def test_a_session_that_is_ended_gets_no_more_calls_and_its_task_lands_with_another(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0", owns=("app/main.py",))))
    try:
        model.hold_from(1)
        run = site.start_run()
        assert model.reached(1)
        done = site.run("stop", "--session", "t0", "--reason", "it reads the wrong thing")
        assert done.code == 0, done
        assert "is ended, its token revoked; the task begins anew" in done.out
        assert model.reached(2)
        model.release()
        assert ended(run).code == 0
        truth = asyncio.run(site.truth())
        assert [(str(one.outcome), one.reason) for one in truth.sessions] == [
            ("killed", "it reads the wrong thing"),
            ("submitted", "handed in"),
        ]
        [event] = [one for one in truth.events if one.kind == "session.ended" and one.actor.startswith("person:")]
        assert event.session_id == truth.sessions[0].id
        assert [(task.attempts, str(task.state)) for task in truth.tasks] == [(0, "landed")]
        truth.assert_sound(cost_nano_usd=3 * CALL_NANO_USD)
        again = site.run("stop", "--session", "t0")
        assert "nothing is running" in again.err
    finally:
        site.close()
        model.close()
