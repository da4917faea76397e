"""What a model is known to be able to write. A real model may try anything; the rehearsal model knows what it knows."""

from __future__ import annotations

from swarmworks.domain.plan import Plan

REHEARSAL = "rehearsal"
_REHEARSAL_STACKS = {("python", "fastapi")}
_REHEARSAL_SOURCES = {"resources"}


def refusal(model: str, plan: Plan) -> str | None:
    """Why `model` cannot work on `plan`, None when nothing is known against it."""
    if plan.is_mechanical or model.partition(":")[0] != REHEARSAL:
        return None
    stack = (plan.stack.language.lower(), plan.stack.framework.lower())
    if stack not in _REHEARSAL_STACKS:
        return f"the rehearsal model writes Python with FastAPI only, and this plan asks for {' with '.join(stack)}"
    if plan.source.kind not in _REHEARSAL_SOURCES:
        return "the rehearsal model works on resource specifications only, and this plan was made from text"
    return None
