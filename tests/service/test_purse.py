"""Who may take a task when shares of the budget are used up."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from swarmworks.domain.plan import COMMAND
from swarmworks.domain.rejection import Rejection, RejectionKind
from swarmworks.domain.task import Guidance
from swarmworks.service.scheduling import purse
from swarmworks.wire.rejection import dump

API = SimpleNamespace(id="agt_1", name="api-1", kinds=frozenset({"code", COMMAND}))
CONFLICT = Rejection(RejectionKind.CONFLICT, "package-lock.json conflicts", resolves="chg_1")


def asked(kind="code", guidance=None, rejection=None):
    return SimpleNamespace(planned=SimpleNamespace(kind=kind), guidance=guidance, rejection=rejection)


@pytest.mark.parametrize(
    ("task", "spent", "takes"),
    [
        (asked(), set(), True),
        (asked(), {"agt_1"}, False),
        (asked(COMMAND), {"agt_1"}, True),
        (asked(rejection=dump(CONFLICT)), {"agt_1"}, False),
        (asked(rejection=dump(replace(CONFLICT, regenerates=True))), {"agt_1"}, True),
        (asked(guidance=Guidance(agent="api-2")), set(), False),
        (asked(guidance=Guidance(agent="api-1")), set(), True),
        (asked("docs"), set(), False),
    ],
)
def test_an_agent_takes_what_its_share_pays_for_and_what_costs_nothing(task, spent, takes):
    assert purse._takes(API, task, spent) is takes
