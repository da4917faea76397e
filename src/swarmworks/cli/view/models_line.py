"""Providers that do not simply answer, in a person's words: for `swarm status` and the dashboard."""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.cli.view.amounts import counted, duration
from swarmworks.wire.api import ProviderStatus, SwarmStatus

WORDS = {
    "answers": "answers",
    "rate_limited": "limits the rate",
    "overloaded": "is overloaded",
    "failing": "does not answer",
    "key_refused": "refuses the key: a person must look",
    "no_credit": "is out of credit: a person must look",
}


def provider_lines(status: SwarmStatus) -> Iterator[str]:
    """What is only the account's waiting is told where it does not answer, once."""
    for one in status.providers:
        if one.state != "answers" or not any(
            other.account == one.account and other.state != "answers" for other in status.providers
        ):
            yield _told(one)
    for tier, model in status.fallbacks.items():
        yield f"{tier}: {model} answers in the place of the first choice"


def _told(one: ProviderStatus) -> str:
    name = f"{one.account} with {one.model}" if one.model else one.account
    parts = [f"{name} {WORDS.get(one.state, one.state)}"]
    if one.state != "answers":
        parts.append("is being asked again" if one.retry_in_s is None else f"asked again in {duration(one.retry_in_s)}")
    if one.waiting:
        parts.append(f"{counted(one.waiting, 'call')} waiting")
    return ", ".join(parts)
