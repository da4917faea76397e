"""The agent's loop: ask the model, do what it calls for, until it hands in or a limit is reached."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.agent import document, hand_in
from swarmworks.agent.conversation import Answered, Conversation, Results, Spoken, ToolResult
from swarmworks.agent.model import ModelFailure
from swarmworks.agent.repetition import END_AT, Repetition, Verdict
from swarmworks.agent.toolbox import HAND_IN
from swarmworks.base.errors import ToolError

if TYPE_CHECKING:
    from swarmworks.agent.conversation import ModelAnswer, ToolCall
    from swarmworks.agent.events import EventWriter
    from swarmworks.agent.inbox import Inbox
    from swarmworks.agent.model import ModelClient
    from swarmworks.agent.request import SessionRequest
    from swarmworks.agent.toolbox import Toolbox

REMINDER = "Use a tool, or hand_in when done."
PERSON = "A person says: {words}"
WARNING = "\n[warning: this is the same call for the {times}. time running; do something else, or hand_in]"
MAX_CALLS_PER_ANSWER = 50

SHORTEN_TO = 0.7
"""Once the limit is reached the conversation is shortened to this part of it, so that the next turns keep a prefix that
the provider may have cached.
"""


@dataclass(frozen=True, slots=True)
class Ending:
    outcome: str
    reason: str
    handoff: dict[str, object] | None = None


class AgentLoop:
    def __init__(
        self, request: SessionRequest, client: ModelClient, toolbox: Toolbox, events: EventWriter, inbox: Inbox
    ) -> None:
        self._request = request
        self._client = client
        self._toolbox = toolbox
        self._events = events
        self._inbox = inbox
        self._conversation = Conversation(request.system, [Spoken(request.prompt)])
        self._repetition = Repetition()
        self._last_words = ""
        self._may_hand_over = False

    def run(self) -> Ending:
        for _turn in range(self._request.max_turns):
            self._conversation.turns += [Spoken(PERSON.format(words=words)) for words in self._inbox.words()]
            self._conversation.turns += [Spoken(words) for words in self._inbox.told()]
            if asked := self._inbox.hand_over():
                self._may_hand_over = True
                self._conversation.turns.append(Spoken(asked))
            body = self._fitting_body()
            if body is None:
                limit = self._request.context_limit_bytes
                return self._handed_off(f"context: the conversation is larger than {limit} bytes")
            answer = self._client.ask(body)
            if isinstance(answer, ModelFailure):
                if answer.outcome == "handed_off":
                    return self._handed_off(answer.reason)
                return Ending(answer.outcome, answer.reason)
            self._hear(answer)
            ending = self._act(answer)
            if ending is not None:
                return ending
        return Ending("failed", f"max_turns: not handed in after {self._request.max_turns} answers")

    def _handed_off(self, reason: str) -> Ending:
        return Ending("handed_off", reason, hand_in.progress(self._toolbox.written, self._last_words))

    def _fitting_body(self) -> bytes | None:
        limit = self._request.context_limit_bytes
        body = self._client.body(self._conversation)
        if len(body) <= limit:
            return body
        while len(body) > limit * SHORTEN_TO and self._conversation.shorten_oldest():
            body = self._client.body(self._conversation)
        while len(body) > limit and self._conversation.shorten_oldest(newest_too=True):
            body = self._client.body(self._conversation)
        return body if len(body) <= limit else None

    def _hear(self, answer: ModelAnswer) -> None:
        self._events.usage(answer.usage)
        if answer.text.strip():
            self._last_words = answer.text
            self._events.message(answer.text)
        self._conversation.turns.append(Answered(answer.text, answer.calls[:MAX_CALLS_PER_ANSWER]))

    def _act(self, answer: ModelAnswer) -> Ending | None:
        if not answer.calls:
            self._conversation.turns.append(Spoken(REMINDER))
            if self._repetition.note("no tool call") is Verdict.END:
                return Ending("failed", f"loop: {END_AT} answers running without a tool call")
            return None
        results: list[ToolResult] = []
        for call in answer.calls[:MAX_CALLS_PER_ANSWER]:
            self._events.tool_call(call)
            started = time.monotonic()
            verdict = self._repetition.note(_signature(call))
            if verdict is Verdict.END:
                return Ending("failed", f"loop: the same call of {call.tool} {END_AT} times running")
            outcome = self._do(call, cut=answer.cut)
            if isinstance(outcome, Ending):
                self._report(call, "handed in", ok=True, started=started)
                return outcome
            if verdict is Verdict.WARN:
                warning = WARNING.format(times=self._repetition.times)
                outcome = ToolResult(outcome.call_id, outcome.text + warning, outcome.ok)
            self._report(call, outcome.text, ok=outcome.ok, started=started)
            results.append(outcome)
        self._conversation.turns.append(Results(tuple(results)))
        return None

    def _do(self, call: ToolCall, *, cut: bool) -> ToolResult | Ending:
        try:
            arguments = self._toolbox.arguments(call, cut=cut)
            if call.tool == HAND_IN:
                handoff = self._handoff(arguments)
                said = self._inbox.words()
                if said:
                    words = "\n".join(PERSON.format(words=each) for each in said)
                    return ToolResult(
                        call.id, f"error: not handed in yet. {words}\nMind it, then hand in again.", ok=False
                    )
                return Ending(document.text(handoff["outcome"]), "handed in", handoff)
            return ToolResult(call.id, self._toolbox.use(call.tool, arguments), ok=True)
        except ToolError as error:
            return ToolResult(call.id, f"error: {error}", ok=False)

    def _handoff(self, arguments: dict[str, object]) -> dict[str, object]:
        if self._toolbox.must_take_over:
            raise ToolError("not handed in: first call take_over, and say what you took over")
        return hand_in.checked(arguments, may_hand_over=self._may_hand_over)

    def _report(self, call: ToolCall, text: str, *, ok: bool, started: float) -> None:
        self._events.tool_result(call.id, ok=ok, summary=text, duration_s=time.monotonic() - started)


def _signature(call: ToolCall) -> str:
    return json.dumps([call.tool, call.arguments if call.arguments is not None else call.raw], sort_keys=True)
