"""What becomes of a model's verdict: advice on the open review, a rejection where it may reject, and a yes only where
nobody but a model is asked.
"""

from __future__ import annotations

import asyncio

from swarmworks.base.ids import ChangeId, IdSource, WorkId
from swarmworks.domain.change import Change
from swarmworks.domain.lease import Work, WorkerLease
from swarmworks.domain.rejection import RejectedFinding
from swarmworks.domain.review import ModelMay, Review, ReviewGate, ReviewState, ReviewStrategy
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.protocol import Hub
from swarmworks.policy.reviewing import MODEL, ReviewFacts
from swarmworks.service import change_reviews, review_sessions, reviews
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.work import ReviewResult

MOST_ADVICE = 4_000


class ModelReviews:
    def __init__(self, store: Store, hub: Hub, ids: IdSource) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: ReviewResult) -> None:
        """FenceLostError when the work is no longer the worker's; nothing is written then."""
        facts = await self._facts(work_id)

        def write(tx: Tx) -> None:
            tx.finish_work(lease, work_id, fence, result.model_dump_json())
            work = tx.work(work_id)
            outcome = SessionOutcome.FAILED if result.verdict == "none" else SessionOutcome.SUBMITTED
            review_sessions.end(tx, work, outcome, result.summary[:600])
            self._judge(tx, work, result, facts)

        await self._store.transact(write)

    async def _facts(self, work_id: WorkId) -> ReviewFacts:
        def look(reader: Reader) -> tuple[Change, str]:
            asked = review_sessions.review_work(reader.work(work_id))
            return reader.change(ChangeId(asked.change_id)), asked.task.kind

        change, kind = await self._store.read(look)
        return await asyncio.to_thread(change_reviews.change_facts, self._hub, change, kind)

    def _judge(self, tx: Tx, work: Work, result: ReviewResult, facts: ReviewFacts) -> None:
        asked = review_sessions.review_work(work)
        review = tx.review(asked.review_id)
        gate = next((one for one in reviews.gates_of(tx, work.swarm_id) if one.name == review.gate), None)
        if review.state is not ReviewState.OPEN or gate is None:
            return
        change = tx.change(ChangeId(review.subject_id))
        if result.verdict == "reject" and gate.model_may is ModelMay.REJECT:
            self._reject(tx, review, change, gate, result)
        elif result.verdict == "pass" and gate.strategy is ReviewStrategy.MODEL:
            reason = result.summary or "no objection"
            reviews.settle(tx, review, approve=True, decided_by=f"{MODEL}{gate.model}", reason=reason)
            change_reviews.proceed(tx, self._ids, change, facts)
        else:
            reviews.advise(tx, review, advice_text(result), by=f"{MODEL}{gate.model}")

    def _reject(self, tx: Tx, review: Review, change: Change, gate: ReviewGate, result: ReviewResult) -> None:
        reason = result.summary or "see the findings"
        rejected = reviews.settle(tx, review, approve=False, decided_by=f"{MODEL}{gate.model}", reason=reason)
        name = f"review {gate.name}"
        findings = tuple(
            RejectedFinding(gate=name, message=one.message, file=one.file, line=one.line) for one in result.findings
        )
        change_reviews.reject(tx, change, rejected, findings)


def advice_text(result: ReviewResult) -> str:
    """What a person reads beside the question."""
    if result.verdict == "none":
        return result.summary[:MOST_ADVICE]
    head = "no objection" if result.verdict == "pass" else "would reject"
    lines = [f"{head}: {result.summary}" if result.summary else head]
    for one in result.findings:
        place = f"{one.file}:{one.line}: " if one.file and one.line else f"{one.file}: " if one.file else ""
        lines.append(f"- {place}{one.message}")
    return "\n".join(lines)[:MOST_ADVICE]
