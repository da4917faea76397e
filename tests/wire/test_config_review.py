from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.review import ReviewStrategy, ReviewSubject
from swarmworks.policy.reviewing import DEFAULT_GATES
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_file import load_config

REST = '[project]\nname = "a"\n[gates.tests]\nrun = "true"\n'


def load(text: str) -> SwarmConfig:
    return load_config(text, name="swarm.toml", environment={})


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(InvalidDocumentError) as refused:
        load(text)
    return [(one.line, one.what) for one in refused.value.problems]


def test_nothing_said_means_the_default_gates_and_none_is_a_written_choice():
    assert load(REST).review.all_gates() == DEFAULT_GATES
    chosen = load('review = "none"\n' + REST)
    assert chosen.review.all_gates() == ()
    assert chosen.review.explicitly_none


def test_gates_are_read_in_order_and_survive_the_wire():
    text = f"""{REST}
[[review]]
name = "docs"
on = "change"
paths = ["docs/**"]
strategy = "skip"
[[review]]
name = "security"
question = "Is it safe?"
on = "change"
deciders = ["Ana", "Bob"]
min_lines = 10
model = "rehearsal"
model_may = "reject"
"""
    config = load(text)
    docs, security = config.review.all_gates()
    assert (docs.name, docs.strategy, docs.paths) == ("docs", ReviewStrategy.SKIP, ("docs/**",))
    assert (security.on, security.deciders) == (ReviewSubject.CHANGE, ("Ana", "Bob"))
    assert (security.model, security.model_may) == ("rehearsal:rehearsal", "reject")
    assert SwarmConfig.model_validate_json(config.model_dump_json(by_alias=True)) == config


GATE = REST + '[[review]]\nname = "a"\non = "change"\nquestion = "?"\n[[review]]\nname = "b"\n'  # b's header: line 9


@pytest.mark.parametrize(
    ("rest", "line", "what"),
    [
        ('on = "change"\n', 9, "review: a gate that asks needs a question"),
        ('on = "change"\nquestion = "?"\nstrategy = "skip"\n', 9, 'strategy = "skip" asks nobody'),
        ('on = "change"\nquestion = "?"\nstrategy = "model"\n', 9, 'strategy = "model" needs model'),
        ('on = "plan"\nquestion = "?"\nkinds = ["fix_bug"]\n', 9, 'kinds belong to on = "change"'),
        ('on = "plan"\nquestion = "?"\nmin_lines = 3\n', 9, "a plan has no paths and lines yet"),
        ('on = "delivery"\nquestion = "?"\nmodel = "rehearsal"\n', 9, "a model reviews changes only"),
        ('on = "never"\nquestion = "?"\n', 11, "review.on: input should be 'plan', 'change' or 'delivery'"),
        ('on = "change"\nquestion = "?"\nmodel = "gpt"\n', 13, 'must be "provider:model"'),
        ('on = "change"\nquestion = "?"\ndecider = ["Ana"]\n', 13, "unknown key review.decider"),
        ('on = "change"\nquestion = "?"\nmin_lines = 9\nmax_lines = 2\n', 9, "max_lines is below min_lines"),
    ],
)
def test_each_mistake_is_told_with_its_line(rest, line, what):
    ((at, told),) = problems(GATE + rest)
    assert at == line
    assert what in told


def test_two_gates_of_one_name_and_an_unknown_provider_are_refused():
    assert (
        "two gates have the name 'b'"
        in problems(GATE + 'on = "plan"\nquestion = "?"\n[[review]]\nname = "b"\non = "plan"\nquestion = "?"\n')[0][1]
    )
    told = problems(GATE + 'on = "change"\nquestion = "?"\nmodel = "openai:gpt-5"\n')[0][1]
    assert "names the provider 'openai': add a table [providers.openai]" in told


@pytest.mark.parametrize("word", ['"nobody"', "[]", "true"])
def test_review_is_a_list_of_gates_or_none(word):
    assert problems(f"review = {word}\n{REST}") == [(1, "review is no list of gates")]
