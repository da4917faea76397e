"""Secrets out of text that is going to be stored: keys and tokens by their well-known shapes."""

from __future__ import annotations

import re

_SHAPES = re.compile(
    r"swk_[A-Za-z0-9_-]{20,}"  # our own session tokens
    r"|sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic and others
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
    r"|AKIA[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_-]{30,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(text: str) -> str:
    return _SHAPES.sub("[secret removed]", text)
