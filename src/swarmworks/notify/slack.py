"""Slack, and what understands the same (Mattermost, Rocket.Chat, Discord's /slack): an incoming webhook.

The address is the secret, so it is named and never written down.
"""

from __future__ import annotations

import json

from swarmworks.domain.notice import Severity
from swarmworks.notify.protocol import Dispatch, Lack, NotToldError
from swarmworks.notify.webhook import TIMEOUT_S, address_lack, place, post

MOST_TEXT = 2_900  # a section's text may have 3000 characters
_MARKS = {Severity.INFO: ":white_check_mark:", Severity.WARNING: ":warning:", Severity.URGENT: ":rotating_light:"}


class SlackChannel:
    def __init__(
        self, name: str, url: str | None, *, missing: Lack | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = name
        self._url = url
        self._missing = missing
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        return f"Slack at {place(self._url)}"

    def lacks(self) -> Lack | None:
        return self._missing or address_lack(self._url)

    async def send(self, dispatch: Dispatch) -> None:
        if (lack := self.lacks()) is not None:
            raise NotToldError(lack.what, where=self.name, mend=lack.mend, again=False)
        assert self._url is not None
        await post(self._url, json.dumps(_payload(dispatch)).encode(), {}, timeout_s=self._timeout_s)


def _payload(dispatch: Dispatch) -> dict[str, object]:
    heading = f"{_MARKS[dispatch.severity]} *{_escaped(dispatch.title)}*"
    text = f"{heading}\n{_escaped(dispatch.text)}"[:MOST_TEXT]
    return {
        "text": f"{dispatch.project}: {_escaped(dispatch.title)}",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}],
    }


def _escaped(text: str) -> str:
    """Slack's three: without them an agent's words could mention everybody, or hide an address behind a word."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
