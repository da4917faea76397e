"""Commits between the control plane and workers that cannot open the project's hub. Version 1."""

from __future__ import annotations

from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from swarmworks.base.ids import WorkerId

MOST_PUSHED_BYTES = 20 << 20
"""A request holds 32 MiB, and a pack grows by a third on its way."""

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FetchCommits(Model):
    """The answer is a pack: the history of `wants` without that of `haves`."""

    worker_id: WorkerId
    worker_fence: int
    wants: tuple[Commit, ...] = Field(min_length=1, max_length=50)
    haves: tuple[Commit, ...] = Field(default=(), max_length=500)


class PushWork(Model):
    """What a session's agent has written so far: `commit`, and a pack with what the control plane lacks of it. Where it is kept
    follows from the work that is held, and can be nowhere else.
    """

    worker_id: WorkerId
    worker_fence: int
    fence: int
    commit: Commit
    pack: Base64Bytes = Field(max_length=MOST_PUSHED_BYTES * 4 // 3 + 4)
