"""PostgreSQL's wire protocol, version 3, as far as a proxy needs it: messages, and how a client proves who it is.

Source: the PostgreSQL documentation, chapter "Frontend/Backend Protocol"; SCRAM is RFC 5802 and RFC 7677.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = 196_608
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80_877_103, 80_877_104, 80_877_102
MOST_STARTUP_BYTES = 10_000
MOST_MESSAGE_BYTES = 1 << 20
MOST_ITERATIONS = 1_000_000
SCRAM = "SCRAM-SHA-256"


class ProtocolError(Exception):
    """What came is not what the protocol has there; in words without a secret."""


def message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!i", len(payload) + 4) + payload


def startup(parameters: Mapping[str, str]) -> bytes:
    rows = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items())
    payload = struct.pack("!i", VERSION) + rows + b"\0"
    return struct.pack("!i", len(payload) + 4) + payload


def parameters(rest: bytes) -> dict[str, str]:
    """Of a startup message, from what follows its version."""
    words = [word.decode("utf-8", "replace") for word in rest.split(b"\0")]
    return dict(zip(words[::2], words[1::2], strict=False))


def fatal(text: str, code: str = "28000") -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": text}
    return message(b"E", b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0")


async def read_startup(reader: asyncio.StreamReader, begun: bytes = b"") -> tuple[int, bytes]:
    """The code of a client's first message (the protocol's version, or a request before it), and what follows it. `begun` are
    those of its first four bytes that were read already.
    """
    (length,) = struct.unpack("!i", begun + await reader.readexactly(4 - len(begun)))
    if not 8 <= length <= MOST_STARTUP_BYTES:
        raise ProtocolError("its first message has no sensible length")
    payload = await reader.readexactly(length - 4)
    return int(struct.unpack("!i", payload[:4])[0]), payload[4:]


async def read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One message's kind and payload."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    if not 4 <= length <= MOST_MESSAGE_BYTES:
        raise ProtocolError("a message has no sensible length")
    return head[:1], await reader.readexactly(length - 4)


def error_text(payload: bytes) -> str:
    """What an error says, in one line."""
    for row in payload.split(b"\0"):
        if row[:1] == b"M":
            return " ".join(row[1:].decode("utf-8", "replace").split())[:300]
    return "no reason was given"


def md5_password(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


def first_column(row: bytes) -> str | None:
    """Of a DataRow."""
    count, length = struct.unpack("!hi", row[:6])
    return None if count < 1 or length < 0 else row[6 : 6 + length].decode("utf-8", "replace")


@dataclass(slots=True)
class Scram:
    """A client's side of SCRAM-SHA-256. Without channel binding, and passwords as they are: no SASLprep beyond ASCII."""

    password: str = field(repr=False)
    nonce: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(18)).decode())
    proved: bool = False
    _expected: bytes = b""

    @property
    def _bare(self) -> str:
        return f"n=,r={self.nonce}"

    def first(self) -> bytes:
        text = f"n,,{self._bare}".encode()
        return SCRAM.encode() + b"\0" + struct.pack("!i", len(text)) + text

    def final(self, challenge: bytes) -> bytes:
        """ProtocolError when the server's challenge is none of ours."""
        given = challenge.decode("ascii", "replace")
        parts = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
        nonce, salt, rounds = parts.get("r", ""), parts.get("s", ""), parts.get("i", "")
        if (
            not nonce.startswith(self.nonce)
            or nonce == self.nonce
            or not rounds.isdigit()
            or int(rounds) > MOST_ITERATIONS
        ):
            raise ProtocolError("the server's challenge does not fit")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(salt), int(rounds))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={nonce}"
        signed = f"{self._bare},{given},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, verdict: bytes) -> None:
        """`proved` afterwards, when the server knows the password too."""
        told = verdict.decode("ascii", "replace").removeprefix("v=")
        expected = base64.b64encode(self._expected).decode()
        self.proved = bool(self._expected) and hmac.compare_digest(expected.encode(), told.encode())
