"""Secrets as they lie here: sealed, with nothing that could open them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError, NotFoundError
from swarmworks.store.connection import load
from swarmworks.store.protocol import SealedSecret
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from swarmworks.store.connection import Row

_SQL = load("secrets")


class SecretReads(Scope):
    def secrets(self) -> list[SealedSecret]:
        return [_secret(row) for row in self.db.rows(_SQL["secrets"])]

    def secret(self, name: str) -> SealedSecret:
        return _secret(found(self.db.row(_SQL["secret"], name=name), "secret", name))


class SecretWrites(SecretReads):
    def put_secret(self, name: str, key_id: str, envelope: str, set_by: str) -> SealedSecret:
        self.db.change(_SQL["put"], name=name, key_id=key_id, envelope=envelope, set_by=set_by, set_at=self.now())
        return self.secret(name)

    def rewrap_secret(self, name: str, key_id: str, envelope: str, *, expected: str) -> None:
        if not self.db.change(_SQL["rewrap"], name=name, key_id=key_id, envelope=envelope, expected=expected):
            raise ConflictError("the secret was set anew meanwhile", where=name, mend="do it again")

    def remove_secret(self, name: str) -> None:
        if not self.db.change(_SQL["remove"], name=name):
            raise NotFoundError("no such secret", where=name, mend="see `swarm secret list`")


def _secret(row: Row) -> SealedSecret:
    set_at = datetime.fromisoformat(row["set_at"])
    return SealedSecret(row["name"], row["key_id"], row["envelope"], row["set_by"], set_at)
