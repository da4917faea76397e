"""Secrets as the client sees them, beside the rest of the API: reached as `client.secrets`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from pydantic import BaseModel

from swarmworks.wire.secrets import RotatedSecrets, SecretRow, Secrets, SetSecret

ROOT = "/api/v1/secrets"

Send = Callable[[str, str, BaseModel | None], Awaitable[bytes]]


class SecretsClient:
    def __init__(self, send: Send) -> None:
        self._send = send

    async def secrets(self) -> Secrets:
        return Secrets.model_validate_json(await self._send("GET", ROOT, None))

    async def set(self, name: str, request: SetSecret) -> SecretRow:
        return SecretRow.model_validate_json(await self._send("POST", f"{ROOT}/{quote(name, safe='')}/set", request))

    async def remove(self, name: str) -> None:
        await self._send("POST", f"{ROOT}/{quote(name, safe='')}/remove", None)

    async def rotate(self) -> RotatedSecrets:
        return RotatedSecrets.model_validate_json(await self._send("POST", f"{ROOT}/rotate", None))
