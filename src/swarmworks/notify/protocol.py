"""Channels: ways to tell a person. Every one passes `tests/notify/conformance.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from swarmworks.base.errors import UnavailableError
from swarmworks.domain.notice import Notice, Severity

MOST_IN_A_DIGEST = 20


class NotToldError(UnavailableError):
    """A channel did not take a dispatch. `again`: whether it may take it later; what is refused for good is not repeated."""

    code = "not_told"

    def __init__(self, what: str, *, where: str = "", mend: str = "", again: bool = True) -> None:
        super().__init__(what, where=where, mend=mend)
        self.again = again


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What goes through a channel at once: one notice, or several as a digest. `key` is the same when the same is sent
    again after a crash, so that a receiver can tell. `opening` is a line before it all, such as why it is sent again;
    `more` counts what did not fit.
    """

    key: str
    project: str
    notices: tuple[Notice, ...]
    opening: str = ""
    more: int = 0

    @property
    def severity(self) -> Severity:
        return max((one.severity for one in self.notices), key=lambda severity: severity.rank)

    @property
    def title(self) -> str:
        if len(self.notices) == 1 and not self.more:
            return self.notices[0].title
        return f"{len(self.notices) + self.more} notices of {self.project}"

    @property
    def text(self) -> str:
        """Everything but the title, as plain text."""
        if len(self.notices) == 1 and not self.more:
            only = self.notices[0]
            rows = [self.opening, only.text, f"Type: {only.command}"]
            return "\n".join(row for row in rows if row)
        rows = [self.opening] if self.opening else []
        for one in self.notices:
            rows += [f"- {one.title} ({one.severity}, {one.at:%Y-%m-%d %H:%M} UTC)", f"  Type: {one.command}"]
        if self.more:
            rows.append(f"- and {self.more} more. Type: swarm inbox")
        return "\n".join(rows)


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a channel cannot work here, and the mend."""

    what: str
    mend: str


class Channel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str:
        """Who or what is told, for the record: no secret is in it."""
        ...

    def lacks(self) -> Lack | None:
        """What can be seen to be missing without sending anything."""
        ...

    async def send(self, dispatch: Dispatch) -> None:
        """Returns when the other side has taken it; NotToldError otherwise. Always ends within the channel's own limit."""
        ...
