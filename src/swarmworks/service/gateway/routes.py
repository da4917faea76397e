"""Which request is which: a call that costs, a count of tokens, a list of models; and where it goes at the provider."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from swarmworks.base.errors import NotFoundError, RejectedError
from swarmworks.provider import gemini
from swarmworks.provider.anthropic import Messages
from swarmworks.provider.gemini import GenerateContent
from swarmworks.provider.openai import ChatCompletions
from swarmworks.provider.responses import Responses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.format import WireFormat

CHAT, RESPONSES, MESSAGES = ChatCompletions(), Responses(), Messages()
GEMINI, GEMINI_STREAM = GenerateContent(), GenerateContent(stream=True)


class Kind(Enum):
    CALL = "call"
    COUNT = "count"
    MODELS = "models"


@dataclass(frozen=True, slots=True)
class Route:
    """`path` at the provider, without its version; `{model}` stands for the session's model."""

    kind: Kind
    wire: WireFormat
    path: str = ""

    def at(self, model: str) -> str:
        return self.path.replace("{model}", model)


_POST: Mapping[str, Route] = {
    "/v1/chat/completions": Route(Kind.CALL, CHAT, "/chat/completions"),
    "/v1/responses": Route(Kind.CALL, RESPONSES, "/responses"),
    "/v1/messages": Route(Kind.CALL, MESSAGES, "/messages"),
    "/v1/messages/count_tokens": Route(Kind.COUNT, MESSAGES, "/messages/count_tokens"),
}
_GEMINI = re.compile(r"/v1(?:beta)?/models/[^/:?#]{1,200}:(\w+)")
_GEMINI_VERBS: Mapping[str, Route] = {
    gemini.WHOLE: Route(Kind.CALL, GEMINI, f"/models/{{model}}:{gemini.WHOLE}"),
    gemini.STREAM: Route(Kind.CALL, GEMINI_STREAM, f"/models/{{model}}:{gemini.STREAM}?alt=sse"),
    gemini.COUNT: Route(Kind.COUNT, GEMINI, f"/models/{{model}}:{gemini.COUNT}"),
}


def speaker(path: str, headers: Mapping[str, str]) -> WireFormat:
    """Whose words an error is told in, whatever was asked for."""
    if path in _POST:
        return _POST[path].wire
    if path.startswith("/v1beta/") or "x-goog-api-key" in headers or _GEMINI.fullmatch(path):
        return GEMINI
    return MESSAGES if "anthropic-version" in headers else CHAT


def find(method: str, path: str, query: bytes, headers: Mapping[str, str]) -> Route:
    """NotFoundError for anything else, RejectedError for a stream in a form that is not read here."""
    if method == "POST" and path in _POST:
        return _POST[path]
    if method == "GET" and path in {"/v1/models", "/v1beta/models"}:
        return Route(Kind.MODELS, speaker(path, headers))
    asked = _GEMINI.fullmatch(path) if method == "POST" else None
    route = _GEMINI_VERBS.get(asked.group(1)) if asked else None
    if route is None:
        known = ", ".join((*_POST, f"/v1beta/models/MODEL:{gemini.WHOLE}"))
        raise NotFoundError(f"there is no {method} {path[:200]} here", mend=f"use one of {known}")
    if route.wire is GEMINI_STREAM and parse_qs(query.decode("latin-1")).get("alt") != ["sse"]:
        raise RejectedError(
            "a stream is answered as server-sent events only", where="alt", mend=f"ask for :{gemini.STREAM}?alt=sse"
        )
    return route
