"""docs/budgets.md: its configuration is one, and every key it names there is."""

import re

from swarmworks.domain.budget import Limit, Period
from swarmworks.wire.config import BreakerSection, BudgetSection, LimitsSection
from swarmworks.wire.config_file import load_config
from tests.docs.test_documented_commands import ROOT

PAGE = (ROOT / "docs" / "budgets.md").read_text()


def test_its_configuration_is_read_as_it_says():
    [text] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    config = load_config(text, name="swarm.toml", environment={})
    assert config.budget.windows[Period.DAY] == Limit(25 * 10**9)
    assert config.ceilings()["budget.agent_*"] == Limit(6 * 10**9)
    assert (config.task_limit(), config.limits.swarm_wall_s) == (Limit(4 * 10**9, None, 250), 14_400)


def test_every_key_it_names_is_one():
    known = {*BudgetSection.model_fields, *LimitsSection.model_fields, *BreakerSection.model_fields}
    named = set(re.findall(r"`((?:project|month|day|swarm|task|agent|session)_[a-z]+)`", PAGE))
    assert named
    assert named <= known


def test_the_reference_of_configuration_knows_every_key_of_them():
    reference = (ROOT / "docs" / "configuration.md").read_text()
    for section, name in ((BudgetSection, "budget"), (BreakerSection, "breaker"), (LimitsSection, "limits")):
        for key in section.model_fields:
            assert f"`{name}.{key}`" in reference or f"`.{key}`" in reference, (name, key)
