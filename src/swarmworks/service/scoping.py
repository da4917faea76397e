"""More files for a task: its agent asks, a rule refuses, or a person decides. What is granted belongs to the task from then on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from swarmworks.base.errors import LimitReachedError, RejectedError
from swarmworks.base.ids import IdSource, QuestionId, SessionId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import Question, QuestionState
from swarmworks.domain.session import Session
from swarmworks.policy.scope_request import covered, granted, in_words, refusal
from swarmworks.policy.wording import plain
from swarmworks.service import questions
from swarmworks.store.protocol import Store, Tx
from swarmworks.wire.config_roles import writable
from swarmworks.wire.options import from_json

MOST_REASON = 500
MOST_NOTED = 20
"""Refusals of one session that are on record; what it asks beyond is refused without a trace."""
REMEMBERED = 10_000


class Scoping:
    def __init__(self, store: Store, ids: IdSource) -> None:
        self._store = store
        self._ids = ids
        self._noted: OrderedDict[SessionId, int] = OrderedDict()

    async def request(self, session: Session, paths: Sequence[str], reason: str) -> Question | None:
        """The question that is put to a person, or the one in which it was answered before; None when the task owns them
        all. RejectedError says why a rule refuses, LimitReachedError that it has asked too much.
        """
        question_id = QuestionId(self._ids.new("qst"))
        wanted = tuple(dict.fromkeys(paths))
        self._count(session, 1)  # before anybody waits: it may ask many times at once
        noted = self._noted[session.id] <= MOST_NOTED

        def write(tx: Tx) -> Question | str | None:
            task = tx.task(session.swarm_id, session.task_id)
            missing = tuple(path for path in wanted if not covered(path, task.planned.owns))
            if not missing and wanted:
                return None
            config = from_json(tx.swarm(session.swarm_id).options).config
            held = tx.file_claims(session.swarm_id) if config.files.exclusive else {}
            role_writes = writable(config.role(task.planned.role))
            no = refusal(missing, config.files.protected_globs, held, session.task_id, role_writes)
            if no is not None:
                if noted:
                    self._refused(tx, session, missing, no)
                return no
            asked = [one for one in questions.of_session(tx, session) if one.paths == missing]
            if asked and asked[-1].state is not QuestionState.WITHDRAWN:
                return asked[-1]
            if len(questions.of_session(tx, session)) >= questions.MOST_QUESTIONS:
                raise LimitReachedError(f"a session may ask {questions.MOST_QUESTIONS} questions, not more")
            words = in_words(missing, plain(reason, MOST_REASON))
            if questions.shown(words) != words.strip():
                return "a person must see every path: ask for fewer or shorter ones, without what looks like a secret"
            return questions.put(tx, question_id, session, words, missing)

        refused = False
        try:
            found = await self._store.transact(write)
            refused = isinstance(found, str)
        finally:
            if not refused:
                self._count(session, -1)
        if isinstance(found, str):
            raise RejectedError(found)
        return found

    def _count(self, session: Session, refusals: int) -> None:
        self._noted[session.id] = self._noted.get(session.id, 0) + refusals
        while len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)

    def _refused(self, tx: Tx, session: Session, paths: Sequence[str], why: str) -> None:
        shown = [plain(path, 200) for path in paths[:20]]
        data: dict[str, object] = {"paths": shown, "reason": plain(why, 600)}
        tx.append(session.swarm_id, NewEvent("scope.refused", "rule:scope", data, session.task_id, session.id))


def grant(tx: Tx, question: Question, actor: str) -> None:
    """What follows from a person's answer to a question about files: RejectedError when it is neither yes nor no,
    ConflictError when another task holds one of them now.
    """
    said = granted(question.answer or "")
    if said is None:
        raise RejectedError(
            "this question is about files: it takes a yes or a no",
            where=question.id,
            mend="begin your answer with yes or no",
        )
    if not said:
        return
    config = from_json(tx.swarm(question.swarm_id).options).config
    data: dict[str, object] = {"question": question.id, "paths": list(question.paths)}
    tx.append(question.swarm_id, NewEvent("scope.granted", actor, data, question.task_id, question.session_id))
    tx.widen_task(question.swarm_id, question.task_id, question.paths, exclusive=config.files.exclusive)
