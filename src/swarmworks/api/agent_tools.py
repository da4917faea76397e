"""The tools behind the MCP server: what each one does for the session that calls it, and what it is told.

Nothing in here takes a session's name from the agent. What other agents wrote is fenced as data; every answer is bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from swarmworks.base.errors import ConflictError, LimitReachedError, RejectedError
from swarmworks.base.ids import SessionId
from swarmworks.domain.question import Question, QuestionState
from swarmworks.domain.session import Session
from swarmworks.policy.scope_request import granted
from swarmworks.policy.wording import untrusted
from swarmworks.service.conversing import Conversing
from swarmworks.service.handing_over import HandingOver
from swarmworks.service.mailing import Mailing
from swarmworks.service.scoping import Scoping
from swarmworks.service.task_record import TaskRecord
from swarmworks.service.waking import Waking
from swarmworks.wire.handoff import HandoffDocument

Object = dict[str, Any]

MOST_PROBLEMS = 10
MOST_ANSWER_CHARS = 40_000
HANDED_IN = "Handed in. The session ends now."
NOT_YET = (
    "No answer yet. Your question stays open, and an answer is passed on to you while you work. Go on if you can; if you "
    "cannot, hand_in with outcome needs_answer and the question."
)
NOT_WHILE_YOU_WORK = (
    "No answer yet. Your question stays open, but you cannot be told anything while you work: an answer is told to the task's next "
    "session. Go on if you can; if you cannot, hand_in with outcome needs_answer and the question."
)
TAKE_OVER = "take_over"
MAIL_TOOLS = frozenset({"send_message", "read_messages"})
SCHEMAS: list[Object] = json.loads(Path(__file__).with_name("mcp_tools.json").read_text(encoding="utf-8"))


class ToolRefusal(Exception):  # noqa: N818 - an answer to the model, not a fault
    """In words for the model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`structured` is for the agent's program."""

    text: str
    structured: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class AgentServices:
    conversing: Conversing
    mailing: Mailing
    scoping: Scoping
    record: TaskRecord
    handing_over: HandingOver
    waking: Waking


class AgentTools:
    """`handed_in` is called before an agent is told that its handoff was accepted."""

    def __init__(self, services: AgentServices, handed_in: Callable[[SessionId], None]) -> None:
        self._services = services
        self._handed_in = handed_in
        self._tools: dict[str, Callable[[Session, Object], Awaitable[Answer]]] = {
            "hand_in": self._hand_in,
            "ask_person": self._ask,
            "progress": self._progress,
            "task": self._task,
            "rejections": self._rejections,
            "request_scope": self._request_scope,
            "send_message": self._send,
            "read_messages": self._read,
            TAKE_OVER: self._take_over,
        }

    async def offered(self, session: Session) -> list[Object]:
        """The schemas of the tools that the session has."""
        without: set[str] = set()
        if not await self._services.mailing.offered(session):
            without |= MAIL_TOOLS
        if not await self._services.handing_over.pending(session):
            without.add(TAKE_OVER)
        return [schema for schema in SCHEMAS if schema["name"] not in without]

    def knows(self, name: str) -> bool:
        return name in self._tools

    async def use(self, session: Session, name: str, arguments: Object) -> Answer:
        """ToolRefusal when it cannot be done, in words for the model."""
        try:
            answer = await self._tools[name](session, arguments)
        except (RejectedError, LimitReachedError, ConflictError) as error:
            raise ToolRefusal(error.what) from error
        return Answer(_bounded(answer.text), answer.structured)

    async def _hand_in(self, session: Session, arguments: Object) -> Answer:
        _check_handoff(arguments, may_hand_over=await self._services.handing_over.asked(session))
        if await self._services.handing_over.pending(session):
            raise ToolRefusal("not handed in: first call take_over, and say what you took over")
        self._handed_in(session.id)
        return Answer(HANDED_IN)

    async def _ask(self, session: Session, arguments: Object) -> Answer:
        asked = await self._services.conversing.ask(session, _line(arguments, "question"))
        question = await self._answered(asked, session)
        if question.state is QuestionState.ANSWERED:
            return Answer(f"A person answers: {question.answer}")
        return Answer(NOT_YET if await self._services.conversing.hears(session) else NOT_WHILE_YOU_WORK)

    async def _answered(self, question: Question, session: Session) -> Question:
        waking = self._services.waking
        deadline = waking.clock() + await self._services.conversing.answer_wait_s(session)
        while True:
            ticket = waking.ticket()
            present = await self._services.conversing.question(question.id)
            remaining_s = deadline - waking.clock()
            if present.state is not QuestionState.OPEN or remaining_s <= 0 or waking.closing:
                ticket.cancel()
                return present
            await asyncio.wait((ticket,), timeout=remaining_s)
            ticket.cancel()

    async def _progress(self, session: Session, arguments: Object) -> Answer:
        noted = await self._services.conversing.progress(session, _line(arguments, "text"))
        text = "noted" if noted else "not noted: too soon after the last one, or too many; go on with your work"
        waiting = await self._services.mailing.waiting(session)
        return Answer(f"{text}\n{waiting} messages wait for you: read_messages" if waiting else text)

    async def _task(self, session: Session, _arguments: Object) -> Answer:
        return Answer(await self._services.record.task(session))

    async def _rejections(self, session: Session, _arguments: Object) -> Answer:
        return Answer(await self._services.record.rejections(session))

    async def _request_scope(self, session: Session, arguments: Object) -> Answer:
        paths = _texts(arguments, "paths")
        asked = await self._services.scoping.request(session, paths, _line(arguments, "reason"))
        if asked is None:
            return Answer(f"These are yours to write: {', '.join(paths)}", {"granted": paths})
        question = await self._answered(asked, session)
        if question.state is not QuestionState.ANSWERED:
            return Answer("No answer yet: do not write them. " + NOT_YET)
        if granted(question.answer or ""):
            return Answer(f"Granted: you may write {', '.join(question.paths)}", {"granted": list(question.paths)})
        raise ToolRefusal(f"A person refuses: {question.answer}. Do without.")

    async def _take_over(self, session: Session, arguments: Object) -> Answer:
        owns = _texts(arguments, "owns") if arguments.get("owns") != [] else []
        task, left = _line(arguments, "task"), _line(arguments, "left")
        await self._services.handing_over.take_over(session, task, owns, left)
        return Answer("You have taken over: that agrees with the record. Go on.")

    async def _send(self, session: Session, arguments: Object) -> Answer:
        to = await self._services.mailing.send(session, _line(arguments, "to").strip(), _line(arguments, "text"))
        return Answer(f"sent to {', '.join(to)}")

    async def _read(self, session: Session, _arguments: Object) -> Answer:
        if not await self._services.mailing.offered(session):
            raise ToolRefusal("agents of your role neither write nor are written to")
        read = await self._services.mailing.read(session)
        parts = [
            untrusted(mail.text, f"The agent {mail.sender.rpartition('/')[2]} (task {mail.task_id})")
            for mail in read.mails
        ]
        if read.left:
            parts.append(f"{read.left} more wait: call it again.")
        return Answer("\n\n".join(parts) or "Nothing waits for you.")


def _check_handoff(arguments: Object, *, may_hand_over: bool) -> None:
    """What an agent hands in is read where its session is watched; here it is told at once whether it can be."""
    try:
        document = HandoffDocument.model_validate_json(json.dumps(arguments), strict=True)
    except RecursionError:
        raise ToolRefusal("not handed in: nested too deeply") from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, row['loc'])) or 'arguments'}: {row['msg'].removeprefix('Value error, ')}"
            for row in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise ToolRefusal(f"not handed in: {'; '.join(problems[:MOST_PROBLEMS])}") from error
    if document.outcome == "handed_off" and not may_hand_over:
        raise ToolRefusal("not handed in: outcome must be submitted, nothing_to_do or needs_answer")
    if not document.done.strip():
        raise ToolRefusal("not handed in: done must say what was done")


def _line(arguments: Object, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolRefusal(f"{name} must be a text")
    return value.encode("utf-8", "replace").decode()


def _texts(arguments: Object, name: str) -> list[str]:
    value = arguments.get(name)
    items = cast("list[object]", value) if isinstance(value, list) else []
    texts = [item.encode("utf-8", "replace").decode() for item in items if isinstance(item, str)]
    if not texts or len(texts) != len(items):
        raise ToolRefusal(f"{name} must be a list of texts")
    return texts


def _bounded(text: str) -> str:
    if len(text) <= MOST_ANSWER_CHARS:
        return text
    return f"{text[:MOST_ANSWER_CHARS]}\n[cut: {len(text) - MOST_ANSWER_CHARS} more characters]"
