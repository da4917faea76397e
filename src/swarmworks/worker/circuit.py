"""What a session reports, told to the breaker that ends one which goes in circles."""

from __future__ import annotations

import json

from swarmworks.policy.breaker import Breaker
from swarmworks.wire.session_events import Garbage, SessionEvent, ToolCall, ToolResult

CLIPPED_FROM = 500
"""Arguments are reported up to this length: two longer ones may differ behind it, and are never taken for the same."""


class Circuit:
    def __init__(self) -> None:
        self._breaker = Breaker()

    def hears(self, event: SessionEvent) -> str | None:
        """The reason to end the session for, None while it may go on."""
        match event:
            case ToolCall():
                return self._breaker.called(event.tool, _arguments(event))
            case ToolResult():
                return self._breaker.answered(ok=event.ok)
            case Garbage():
                return self._breaker.babbled()
            case _:
                return None


def _arguments(call: ToolCall) -> str:
    clipped = any(isinstance(value, str) and len(value) > CLIPPED_FROM for value in call.arguments.values())
    return json.dumps([call.arguments, call.id if clipped else ""], sort_keys=True)
