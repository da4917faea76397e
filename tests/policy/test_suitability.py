from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.plan import Acceptance, Estimate
from swarmworks.policy.suitability import Ground, Work, suitability, work_of
from tests.scenario.harness import plan, task

SHARE = st.floats(0, 1)
WORK = st.builds(
    Work,
    tasks=st.integers(1, 2000),
    width=st.integers(1, 500),
    speed_up=st.floats(1, 500),
    proved=SHARE,
    contracted=SHARE,
    spread=st.floats(1, 1000),
    keeps_busy=st.integers(1, 200),
)
GROUND = st.builds(Ground, **{field.name: st.booleans() for field in fields(Ground)})
READY = Ground(tests=True, static_checks=True, coverage=True, sandbox=True, budget=True, reviews=True)


@given(WORK, GROUND, st.booleans())
def test_the_score_is_of_ten_and_the_sum_of_its_parts(work, ground, urgent):
    found = suitability(work, ground, urgent=urgent)
    assert 0 <= found.score <= 10
    assert abs(found.score - sum(part.points for part in found.parts)) <= 0.051
    assert all(0 <= part.points <= part.most and part.reasons for part in found.parts)
    assert sum(part.most for part in found.parts) == 10


@given(WORK, GROUND, st.sampled_from(["width", "speed_up", "proved", "contracted"]), st.floats(0, 100))
def test_better_work_never_scores_less(work, ground, name, more):
    most = 1.0 if name in {"proved", "contracted"} else 1000
    better = replace(work, **{name: min(most, getattr(work, name) + more)})
    assert suitability(better, ground).score >= suitability(work, ground).score
    more_even = replace(work, spread=max(1.0, work.spread - more))
    assert suitability(more_even, ground).score >= suitability(work, ground).score


@given(WORK, GROUND, st.sampled_from([field.name for field in fields(Ground)]))
def test_better_ground_and_urgency_never_score_less(work, ground, name):
    worse, better = replace(ground, **{name: False}), replace(ground, **{name: True})
    assert suitability(work, better).score > suitability(work, worse).score - 1e-9
    assert suitability(work, ground, urgent=True).score >= suitability(work, ground).score


def test_independent_proved_tasks_on_good_ground_are_for_a_swarm():
    wide = plan(*(task(f"t{number}", contracts=("`f`",)) for number in range(6)))
    found = suitability(work_of(wide), READY)
    assert found.recommended
    assert found.agents == 6


def test_one_task_is_not_for_a_swarm_whatever_else_is_there():
    single = plan(task("only", contracts=("`f`",)))
    assert not suitability(work_of(single), READY, urgent=True).recommended


def test_a_chain_is_not_for_a_swarm():
    chain = plan(*(task(f"t{number}", after=(f"t{number - 1}",) if number else ()) for number in range(8)))
    assert suitability(work_of(chain), READY).parts[0].points == 0
    assert not suitability(work_of(chain), READY, urgent=True).recommended


def test_what_is_missing_is_named():
    work = work_of(
        plan(
            task("a", acceptance=(Acceptance("It is there.", "scope"),), estimate=Estimate(1000, 50)),
            *(task(name) for name in "bcd"),
        )
    )
    decomposability, urgency, infrastructure, design = suitability(work, Ground(tests=True)).parts
    assert "missing: a gate that lints or checks types, a coverage gate" in infrastructure.reasons[1]
    assert "75%" in design.reasons[0]
    assert "16.7 times" in design.reasons[2]
    assert "--urgent" in urgency.reasons[0]
    assert decomposability.points < 4
