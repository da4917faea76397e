"""What the worker asks of the agent: one JSON document on stdin, read once."""

from __future__ import annotations

from dataclasses import dataclass

from swarmworks.agent import document
from swarmworks.base.errors import InvalidDocumentError, Problem

FORMAT = 1
MAX_REQUEST_BYTES = 32 << 20
WIRES = ("openai", "anthropic")

_TEXTS = ("system", "prompt", "model", "wire", "base_url", "workdir")
_NUMBERS: dict[str, tuple[float, float, float]] = {  # default, least, most
    "max_turns": (60, 1, 10_000),
    "max_output_tokens": (8_192, 1, 1_000_000),
    "context_limit_bytes": (600_000, 1_000, 64 << 20),
    "deadline_s": (900, 0.1, 86_400),
    "command_timeout_s": (120, 0.1, 86_400),
}


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """`owned` are the paths the task may write, a trailing slash is a whole folder. `writable_hint` false says that the
    working copy is mounted read-only: the writing tools are then not offered at all. `context_limit_bytes` bounds one
    request's body. `stream` asks the model for its answer piece by piece. `platform_url` is where
    the platform's own tools answer; empty: there are none. `mail`: those for other agents are among them; `takes_over`: so is the one that a
    session begins with which goes on from another.
    """

    system: str
    prompt: str
    model: str
    wire: str
    base_url: str
    workdir: str
    owned: tuple[str, ...]
    writable_hint: bool
    max_turns: int
    max_output_tokens: int
    context_limit_bytes: int
    deadline_s: float
    command_timeout_s: float
    stream: bool
    platform_url: str
    mail: bool
    takes_over: bool


def parse_request(raw: bytes) -> SessionRequest:
    """InvalidDocumentError names everything that is wrong at once."""
    try:
        value = document.parse(raw)
    except ValueError as error:
        raise InvalidDocumentError("request", [Problem(0, f"not JSON: {error}")]) from error
    fields = document.mapping(value)
    problems = _problems(fields)
    if problems:
        raise InvalidDocumentError("request", [Problem(0, what) for what in problems])
    texts = {name: document.text(fields[name]) for name in _TEXTS}
    numbers = {name: _number(fields, name) for name in _NUMBERS}
    return SessionRequest(
        **texts,
        owned=tuple(document.text(path) for path in document.items(fields.get("owned"))),
        writable_hint=fields.get("writable_hint", True) is True,
        max_turns=int(numbers["max_turns"]),
        max_output_tokens=int(numbers["max_output_tokens"]),
        context_limit_bytes=int(numbers["context_limit_bytes"]),
        deadline_s=numbers["deadline_s"],
        command_timeout_s=numbers["command_timeout_s"],
        stream=fields.get("stream", True) is True,
        platform_url=document.text(fields.get("platform_url")),
        mail=fields.get("mail") is True,
        takes_over=fields.get("takes_over") is True,
    )


def _number(fields: dict[str, object], name: str) -> float:
    value = fields.get(name, _NUMBERS[name][0])
    return value if isinstance(value, int | float) else 0.0


def _problems(fields: dict[str, object]) -> list[str]:
    if not fields:
        return ["an object was expected"]
    found = [f"{name}: a text was expected" for name in _TEXTS if not isinstance(fields.get(name), str)]
    if fields.get("format") != FORMAT:
        found.append(f"format: {FORMAT} was expected")
    if isinstance(fields.get("wire"), str) and fields["wire"] not in WIRES:
        found.append(f"wire: one of {', '.join(WIRES)} was expected")
    owned = fields.get("owned", [])
    if not isinstance(owned, list) or not all(isinstance(path, str) for path in document.items(fields.get("owned"))):
        found.append("owned: a list of paths was expected")
    found += [
        f"{name}: a truth value was expected"
        for name in ("writable_hint", "stream")
        if not isinstance(fields.get(name, True), bool)
    ]
    for name, (default, least, most) in _NUMBERS.items():
        value = fields.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            found.append(f"{name}: a number from {least} to {most} was expected")
    return found
