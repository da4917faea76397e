"""`[notify]` of `swarm.toml`: who is told of what, through which channel, and when not.

Secrets are named, never held: `..._env` names a variable, `..._file` a file.
"""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, field_validator, model_validator

from swarmworks.domain.notice import Severity
from swarmworks.policy.notices import KINDS
from swarmworks.policy.quiet import QuietHours
from swarmworks.wire.config_types import Name, Section, VariableName

MOST_CHANNELS = 20
LONGEST_WAIT_S = 7 * 24 * 3600
Line = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]+$")]
_PART = r"[^\x00-\x20\x7f<>@,;:()\[\]\"\\]+"
_CALLED = r"(\"[^\x00-\x1f\x7f\"\\]*\"|[^\x00-\x1f\x7f<>@,;:()\[\]\"\\]*)"
Mail = Annotated[str, Field(max_length=320, pattern=rf"^({_PART}@{_PART}|{_CALLED} <{_PART}@{_PART}>)$")]
"""One address, alone or as `Ada <ada@example.com>`. A comma would make two of it, but for one between quotes."""
_QUIET = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")
_WAIT = re.compile(r"^([1-9]\d{0,6})(s|m|h|d)$")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Channel(Section):
    """`severity`: nothing less severe is told here. `about`: kinds of notices, all when empty."""

    name: Name
    severity: Severity = Severity.WARNING
    about: frozenset[str] = frozenset()

    @field_validator("about")
    @classmethod
    def _known(cls, kinds: frozenset[str]) -> frozenset[str]:
        unknown = sorted(kinds - KINDS)
        if unknown:
            raise ValueError(f"there is no notice {unknown[0]!r}; there is: {', '.join(sorted(KINDS))}")
        return kinds


class TerminalSection(_Channel):
    kind: Literal["terminal"]


class DesktopSection(_Channel):
    kind: Literal["desktop"]


class CommandSection(_Channel):
    kind: Literal["command"]
    argv: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4_000)], ...], Field(min_length=1, max_length=100)
    ]
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0


class WebhookSection(_Channel):
    """The address itself may be a secret: then `url_env` or `url_file` names what holds it."""

    kind: Literal["webhook"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]", max_length=2_000)] | None = None
    url_env: VariableName | None = None
    url_file: Line | None = None
    secret_env: VariableName | None = None
    secret_file: Line | None = None
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0

    @model_validator(mode="after")
    def _one_address(self) -> WebhookSection:
        if [self.url, self.url_env, self.url_file].count(None) != 2:
            raise ValueError("write one of url, url_env and url_file")
        if self.secret_env and self.secret_file:
            raise ValueError("secret_env and secret_file exclude each other")
        if self.url and "@" in urlsplit(self.url).netloc:
            raise ValueError("url holds a user or password; name the whole address with url_env or url_file")
        return self


class SlackSection(_Channel):
    """The address of an incoming webhook is its key."""

    kind: Literal["slack"]
    url_env: VariableName | None = None
    url_file: Line | None = None
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0

    @model_validator(mode="after")
    def _one_address(self) -> SlackSection:
        if (self.url_env is None) == (self.url_file is None):
            raise ValueError("write one of url_env and url_file: the address is a secret")
        return self


class EmailSection(_Channel):
    kind: Literal["email"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
    port: Annotated[int, Field(gt=0, le=65_535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[Mail, Field(alias="from")]
    to: Annotated[tuple[Mail, ...], Field(min_length=1, max_length=50)]
    user: Line | None = None
    password_env: VariableName | None = None
    password_file: Line | None = None
    ca_file: Line | None = None
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 20.0

    @model_validator(mode="after")
    def _login(self) -> EmailSection:
        if self.password_env and self.password_file:
            raise ValueError("password_env and password_file exclude each other")
        named = self.password_env or self.password_file
        if bool(self.user) != bool(named):
            raise ValueError("a login takes both: user, and password_env or password_file")
        if named and self.security == "none" and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError('a password is not sent in the open: security = "starttls" or "tls"')
        return self

    @property
    def number(self) -> int:
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]


ChannelSection: TypeAlias = (
    TerminalSection | DesktopSection | CommandSection | WebhookSection | SlackSection | EmailSection
)
CHANNEL_SECTIONS: dict[str, type[BaseModel]] = {
    "terminal": TerminalSection,
    "desktop": DesktopSection,
    "command": CommandSection,
    "webhook": WebhookSection,
    "slack": SlackSection,
    "email": EmailSection,
}
SECRET_KEYS = {"password": "password", "secret": "secret", "url": "url", "token": "secret", "key": "secret"}
DEFAULT_CHANNELS: tuple[ChannelSection, ...] = (TerminalSection(name="terminal", kind="terminal"),)


class NotifySection(Section):
    """`quiet`: only what is urgent passes, the rest is told at once when it ends. What nobody answered for
    `escalate_after` is told again, through the channels of `escalate_to`, which are told nothing else.
    """

    channels: Annotated[
        tuple[Annotated[ChannelSection, Field(discriminator="kind")], ...], Field(max_length=MOST_CHANNELS)
    ] = DEFAULT_CHANNELS
    quiet: str | None = None
    timezone: str | None = None
    escalate_after: str | None = None
    escalate_to: tuple[Name, ...] = ()

    @field_validator("quiet")
    @classmethod
    def _span(cls, value: str | None) -> str | None:
        if value is not None:
            match = _QUIET.match(value)
            if match is None:
                raise ValueError('must be two times of the day, such as "22:00-07:00"')
            if match[1] + match[2] == match[3] + match[4]:
                raise ValueError("begins and ends at the same time; leave it out to have no quiet hours")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(
                    f'there is no time zone {value!r}; write one such as "Europe/Berlin" or "UTC"'
                ) from None
        return value

    @field_validator("escalate_after")
    @classmethod
    def _wait(cls, value: str | None) -> str | None:
        if value is not None and not 0 < _seconds(value) <= LONGEST_WAIT_S:
            raise ValueError('must be a time of at most 7 days, such as "15m" or "2h"')
        return value

    @model_validator(mode="after")
    def _references(self) -> NotifySection:
        names = [channel.name for channel in self.channels]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two channels are named {name!r}")
        for name in self.escalate_to:
            if name not in names:
                raise ValueError(f"escalate_to names {name!r}, which is no channel")
            if any(one.name == name and one.kind == "terminal" for one in self.channels):
                raise ValueError(f"escalate_to names {name!r}: a terminal reaches nobody who is not in front of it")
        if bool(self.escalate_after) != bool(self.escalate_to):
            raise ValueError("escalate_after and escalate_to go together")
        if self.timezone and not self.quiet:
            raise ValueError("timezone is of no use without quiet")
        return self

    @property
    def secret_variables(self) -> set[str]:
        """The environment variables that hold what no other process may see."""
        rows = [channel.model_dump() for channel in self.channels]
        return {str(value) for row in rows for key, value in row.items() if key.endswith("_env") and value}

    @property
    def quiet_hours(self) -> QuietHours | None:
        match = _QUIET.match(self.quiet or "")
        if match is None:
            return None
        start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
        return QuietHours(start, end, ZoneInfo(self.timezone) if self.timezone else None)

    @property
    def escalate_after_s(self) -> float | None:
        return float(_seconds(self.escalate_after)) if self.escalate_after else None


def _seconds(text: str) -> int:
    match = _WAIT.match(text)
    return int(match[1]) * _UNITS_S[match[2]] if match else 0
