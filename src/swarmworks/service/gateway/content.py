"""A call's prompt and answer for its record, where the recording is switched on: bounded, and without secrets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swarmworks.policy.redact import redact
from swarmworks.provider.content import Said, answer, prompt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

KEPT_ANSWER_BYTES = 256 << 10
"""Of an answer as it was sent, to read the text out of; the words of a stream take some forty times their length."""
MOST_PIECES = 200
SECRET_CHARS = 4_096
"""Longer than any secret: cut text is looked through that much further, so that none is cut until it is not known as one."""
UNSURE_CHARS = 512
"""At the place where the looking stops: longer than what any secret needs to be known by."""


@dataclass(frozen=True, slots=True)
class Content:
    """Of the prompt what was said last, of the answer what was said first; in the order it was said."""

    prompt: tuple[Said, ...]
    answer: tuple[Said, ...]


def prompt_of(body: Mapping[str, Any], most: int, keys: Collection[str]) -> tuple[Said, ...]:
    """At most `most` characters. `keys` are the provider's, which no shape may tell."""
    return tuple(reversed(_bounded(reversed(list(prompt(body))), most, keys)))


def answer_of(sent: bytes, most: int, keys: Collection[str]) -> tuple[Said, ...]:
    """As `prompt_of`, of what was sent to the client."""
    return tuple(_bounded(answer(sent), most, keys))


def _bounded(said: Iterable[Said], most: int, keys: Collection[str]) -> list[Said]:
    kept: list[Said] = []
    for each in said:
        if most <= 0 or len(kept) == MOST_PIECES:
            break
        clean = replace(each, role=each.role[:20], name=without_secrets(each.name, 100, keys))
        clean = replace(clean, text=without_secrets(each.text, most, keys))
        most -= len(clean.text)
        kept.append(clean)
    return kept


def without_secrets(text: str, most: int, keys: Collection[str]) -> str:
    """The first `most` characters. What is left is no part of a secret that was cut, and can be written as UTF-8."""
    looked_at = text[: most + SECRET_CHARS]
    for key in keys:
        looked_at = looked_at.replace(key, "[key]")
    clean = redact(looked_at)
    if len(text) > most + SECRET_CHARS:
        clean = clean[:-UNSURE_CHARS]
    return clean[:most].encode("utf-8", "replace").decode()
