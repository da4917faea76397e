"""What a command sends to a control plane that may be older than itself."""

from __future__ import annotations

import json

from swarmworks.wire.api import ResumeSwarm


def test_limits_that_nobody_named_are_not_sent():
    assert json.loads(ResumeSwarm(budget_tokens=5).model_dump_json()) == {"budget_tokens": 5, "retry_blocked": False}
    assert ResumeSwarm.model_validate_json(ResumeSwarm(budget_calls=9).model_dump_json()) == ResumeSwarm(budget_calls=9)
