"""The notification channels of a project, from its configuration and the secrets this process may read."""

from __future__ import annotations

import sys

from swarmworks.base.clock import SystemClock
from swarmworks.notify.command import CommandChannel
from swarmworks.notify.desktop import DesktopChannel
from swarmworks.notify.email import EmailChannel, MailServer
from swarmworks.notify.protocol import Channel, Lack
from swarmworks.notify.slack import SlackChannel
from swarmworks.notify.terminal import TerminalChannel
from swarmworks.notify.webhook import WebhookChannel
from swarmworks.policy.telling import ChannelRule, Rules
from swarmworks.settings import NamedSecret, clean_environment, named_secret
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_notify import (
    ChannelSection,
    CommandSection,
    DesktopSection,
    EmailSection,
    SlackSection,
    WebhookSection,
)


def rules_of(config: SwarmConfig) -> Rules:
    """For the control plane: a terminal is rung by the command that draws on it, not from here."""
    notify = config.notify
    channels = tuple(
        ChannelRule(one.name, one.severity, one.about, only_again=one.name in notify.escalate_to)
        for one in notify.channels
        if one.kind != "terminal"
    )
    return Rules(channels, notify.quiet_hours, notify.escalate_after_s, notify.escalate_to)


def channels_of(config: SwarmConfig) -> list[Channel]:
    """Every configured one, also where what it needs is missing: it says so itself."""
    return [_channel(section, config) for section in config.notify.channels]


def _channel(section: ChannelSection, config: SwarmConfig) -> Channel:
    if isinstance(section, CommandSection):
        return CommandChannel(section.name, section.argv, clean_environment(config), timeout_s=section.timeout_s)
    if isinstance(section, DesktopSection):
        return DesktopChannel(section.name, clean_environment(config))
    if isinstance(section, WebhookSection):
        return _webhook(section)
    if isinstance(section, SlackSection):
        url = named_secret(section.url_env, section.url_file)
        return SlackChannel(section.name, _value(url), missing=_missing(url), timeout_s=section.timeout_s)
    if isinstance(section, EmailSection):
        return _email(section)
    return TerminalChannel(section.name, sys.stderr, lambda line: print(line, file=sys.stderr))  # noqa: T201


def _webhook(section: WebhookSection) -> Channel:
    url, secret = named_secret(section.url_env, section.url_file), named_secret(section.secret_env, section.secret_file)
    return WebhookChannel(
        section.name,
        section.url or _value(url),
        SystemClock(),
        secret=_value(secret),
        missing=_missing(url) or _missing(secret),
        timeout_s=section.timeout_s,
    )


def _email(section: EmailSection) -> Channel:
    password = named_secret(section.password_env, section.password_file)
    server = MailServer(section.host, section.number, section.security, section.user, section.ca_file)
    return EmailChannel(
        section.name,
        server,
        section.sender,
        section.to,
        SystemClock(),
        password=_value(password),
        missing=_missing(password),
        timeout_s=section.timeout_s,
    )


def _value(secret: NamedSecret | None) -> str | None:
    return None if secret is None else secret.value


def _missing(secret: NamedSecret | None) -> Lack | None:
    if secret is None or secret.value is not None:
        return None
    return Lack(f"{secret.source} is empty", "set it where the control plane is started")
