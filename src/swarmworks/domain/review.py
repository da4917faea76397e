"""A review: a judgement of a change between its gates and the merge queue. A rule may say that none is needed; a model
may advise or reject; where a person is asked for, only a person approves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import ChangeId


class ReviewVerdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Review:
    """`decided_by` is `rule:<name>`, `model:<name>` or `person:<name>`."""

    change_id: ChangeId
    verdict: ReviewVerdict
    decided_by: str
    reason: str
    at: datetime
