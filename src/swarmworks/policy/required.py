"""Which gates a change of a task must pass at which stage. Only the plan may say that one is not required."""

from __future__ import annotations

from collections.abc import Iterable

from swarmworks.domain.gate import GateDefinition, GateStage
from swarmworks.domain.plan import PlannedTask

ALWAYS = frozenset({"scope"})


def required_gates(task: PlannedTask, configured: frozenset[str], *, none_chosen: bool = False) -> frozenset[str]:
    """What the plan and the project ask for together, without what the plan declares not to apply; `scope` stays. With
    `none_chosen` (the project wrote `gates = "none"`) nothing but `scope`, whatever the plan names.
    """
    if none_chosen:
        return ALWAYS
    return (frozenset(task.gates) | configured) - frozenset(task.not_required) | ALWAYS


def at_stage(required: frozenset[str], definitions: Iterable[GateDefinition], stage: GateStage) -> frozenset[str]:
    """The required gates that run at `stage`. A required gate that nobody defined stays required at the candidate stage,
    where it can never pass: an unknown gate fails closed.
    """
    stages = {definition.name: definition.stages for definition in definitions}
    unknown = frozenset({GateStage.CANDIDATE})
    return frozenset(name for name in required if stage in stages.get(name, unknown))
