"""The platform's tools of an agent: one JSON-RPC request over HTTP each, at the sandbox's listener. See api/mcp.py there."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from swarmworks.agent import document
from swarmworks.base.errors import ToolError

MAIL = frozenset({"send_message", "read_messages"})
TAKE_OVER = "take_over"
TOOLS = frozenset({"ask_person", "progress", "request_scope", TAKE_OVER, *MAIL})
TIMEOUT_S = 130.0
"""Longer than any question waits for its answer."""
MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PlatformAnswer:
    """`granted`: paths that the task owns from now on."""

    text: str
    granted: tuple[str, ...] = ()


class Platform:
    """`url` such as http://127.0.0.1:8181/mcp."""

    def __init__(self, url: str, token: str) -> None:
        self._url = urlsplit(url)
        self._token = token

    def call(self, tool: str, arguments: dict[str, object]) -> PlatformAnswer:
        """ToolError in the platform's words, or in ours when it does not answer."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        try:
            connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
            connection.request("POST", self._url.path, json.dumps(message), headers)
            raw = connection.getresponse().read(MAX_ANSWER_BYTES)
            connection.close()
            answer = document.mapping(document.parse(raw))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ToolError(f"{tool}: the platform does not answer now; go on with your work") from error
        result = document.mapping(answer.get("result"))
        parts = [document.text(document.mapping(part).get("text")) for part in document.items(result.get("content"))]
        text = "\n".join(parts)
        if not result or result.get("isError") is True:
            raise ToolError(text or document.text(document.mapping(answer.get("error")).get("message")) or "refused")
        granted = document.items(document.mapping(result.get("structuredContent")).get("granted"))
        return PlatformAnswer(text, tuple(path for path in granted if isinstance(path, str)))
