"""Secrets of an installation, such as a provider's key, sealed in the store.

Each secret is encrypted with a random data key of its own (AES-256-GCM, the secret's name as associated data); the data key
is wrapped with a key-encryption key that lies outside the database, so that a copy of the database opens nothing, and a new
key-encryption key wraps the data keys anew. What was changed, or moved under another name, does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swarmworks.base.errors import ConflictError, RejectedError, UnavailableError
from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import OPEN
from swarmworks.store.protocol import SealedSecret, Store, Tx
from swarmworks.wire.secrets import RotatedSecrets, SecretRow, Secrets

_log = logging.getLogger(__name__)
KEY_BYTES = 32
NONCE_BYTES = 12
MOST_BYTES = 16_384


class SecretSealedError(UnavailableError):
    """A secret that cannot be opened: its key is not there, or it is not what was sealed."""

    code = "secret_sealed"


class Keyring(Protocol):
    """The key-encryption keys: the last one seals, the others sealed before. `where` names what holds them."""

    @property
    def where(self) -> str: ...
    def held(self) -> list[bytes]:
        """Empty when there are none. UsageError when what holds them is not fit for it."""
        ...

    def renew(self) -> list[bytes]:
        """With one more key, which seals from now on. ConflictError where a person has to add it."""
        ...


class SecretKeeping:
    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def secrets(self) -> Secrets:
        """Never their values."""
        found = await self._store.read(lambda reader: reader.secrets())
        known = {key_id(key): key for key in self._keyring.held()}
        return Secrets(
            secrets=tuple(
                SecretRow(
                    name=one.name,
                    set_by=one.set_by,
                    set_at=one.set_at,
                    key_id=one.key_id,
                    opens=one.key_id in known and _opens(one, known),
                )
                for one in found
            ),
            keys=self._keyring.where,
        )

    async def set(self, name: str, value: str, person: str) -> SecretRow:
        """In place of the one there is by that name. RejectedError for what cannot be sent as a key."""
        if not value or len(value.encode()) > MOST_BYTES or not value.isprintable():
            raise RejectedError(
                f"a secret is 1 to {MOST_BYTES:,} bytes without control characters", where=name, mend="give it again"
            )
        key = self._sealing_keys()[-1]
        envelope = seal(name, value, key)

        def step(tx: Tx) -> SealedSecret:
            made = tx.put_secret(name, key_id(key), envelope, person)
            _tell(tx, "secret.set", person, {"name": name})
            return made

        made = await self._store.transact(step)
        return SecretRow(name=name, set_by=made.set_by, set_at=made.set_at, key_id=made.key_id, opens=True)

    async def remove(self, name: str, person: str) -> None:
        def step(tx: Tx) -> None:
            tx.remove_secret(name)
            _tell(tx, "secret.removed", person, {"name": name})

        await self._store.transact(step)

    async def value(self, name: str) -> str:
        """NotFoundError, SecretSealedError."""
        return self.open(await self._store.read(lambda reader: reader.secret(name)))

    async def sealed(self, names: Collection[str]) -> list[SealedSecret]:
        """Those of them that there are, as they lie in the store."""
        return [one for one in await self._store.read(lambda reader: reader.secrets()) if one.name in names]

    def open(self, sealed: SealedSecret) -> str:
        """SecretSealedError."""
        return unseal(sealed, {key_id(key): key for key in self._keyring.held()})

    async def rotate(self, person: str) -> RotatedSecrets:
        """Every data key is wrapped anew with a new key-encryption key, or none is."""
        before = self._sealing_keys()
        sealed = await self._store.read(lambda reader: reader.secrets())
        known = {key_id(key): key for key in before}
        for one in sealed:
            unseal(one, known)
        keys = self._keyring.renew()
        newest = keys[-1]
        known = {key_id(key): key for key in keys}

        def step(tx: Tx) -> int:
            for one in tx.secrets():
                tx.rewrap_secret(one.name, key_id(newest), rewrap(one, known, newest), expected=one.envelope)
            _tell(tx, "secret.rotated", person, {"key": key_id(newest)})
            return len(tx.secrets())

        count = await self._store.transact(step)
        return RotatedSecrets(secrets=count, key_id=key_id(newest), keys=self._keyring.where)

    def _sealing_keys(self) -> list[bytes]:
        keys = self._keyring.held()
        if not keys:
            raise ConflictError(
                "there is no key to seal secrets with", where=self._keyring.where, mend="make one: swarm secret init"
            )
        return keys


class SecretWatch:
    """A chore: tells `changed` the name and the value of each of `names` that was set anew, by whichever control plane. Of one
    that was removed or does not open, what was told before goes on; once its key is there it opens without being set anew.
    """

    def __init__(self, keeping: SecretKeeping, names: Collection[str], changed: Callable[[str, str], None]) -> None:
        self._keeping = keeping
        self._names = names
        self._changed = changed
        self._seen: dict[str, str] = {}
        self._closed: dict[str, str] = {}

    async def look(self) -> bool:
        for one in await self._keeping.sealed(self._names):
            if self._seen.get(one.name) == one.envelope:
                continue
            try:
                value = self._keeping.open(one)
            except SecretSealedError as error:
                if self._closed.get(one.name) != one.envelope:
                    _log.error("%s: %s; the one before it is used on", error.where, error.what)
                self._closed[one.name] = one.envelope
            else:
                self._changed(one.name, value)
                self._seen[one.name] = one.envelope
        return False


def key_id(key: bytes) -> str:
    """Names a key without showing it."""
    return hashlib.sha256(b"swarm secret key\0" + key).hexdigest()[:16]


def seal(name: str, value: str, key: bytes) -> str:
    data_key = AESGCM.generate_key(bit_length=256)
    return _written(name, data_key, _encrypt(data_key, value.encode(), _of_secret(name)), key)


def unseal(sealed: SealedSecret, keys: Mapping[str, bytes]) -> str:
    """SecretSealedError when no key of `keys` opens it."""
    envelope = _read(sealed)
    data_key = _data_key(sealed, envelope, keys)
    return _decrypt(sealed, data_key, envelope["sealed"], _of_secret(sealed.name)).decode()


def rewrap(sealed: SealedSecret, keys: Mapping[str, bytes], newest: bytes) -> str:
    """The same ciphertext, its data key wrapped with the `newest` key."""
    envelope = _read(sealed)
    return _written(sealed.name, _data_key(sealed, envelope, keys), envelope["sealed"], newest)


def _data_key(sealed: SealedSecret, envelope: Mapping[str, bytes], keys: Mapping[str, bytes]) -> bytes:
    key = keys.get(sealed.key_id)
    if key is None:
        raise SecretSealedError(
            f"it was sealed with key {sealed.key_id}, which is not here",
            where=f"secret {sealed.name}",
            mend="bring back the file of keys it was sealed with, or set the secret anew",
        )
    return _decrypt(sealed, key, envelope["wrapped"], _of_key(sealed.name, sealed.key_id))


def _opens(sealed: SealedSecret, keys: Mapping[str, bytes]) -> bool:
    try:
        unseal(sealed, keys)
    except SecretSealedError:
        return False
    return True


def _of_secret(name: str) -> bytes:
    return f"swarm secret\0{name}".encode()


def _of_key(name: str, key: str) -> bytes:
    return f"swarm data key\0{name}\0{key}".encode()


def _encrypt(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def _decrypt(sealed: SealedSecret, key: bytes, data: bytes, about: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:  # the latter when it is too short to be anything
        raise _changed(sealed) from error


def _written(name: str, data_key: bytes, sealed: bytes, key: bytes) -> str:
    wrapped = _encrypt(key, data_key, _of_key(name, key_id(key)))
    parts = {"wrapped": wrapped, "sealed": sealed}
    return json.dumps({"v": 1, **{part: base64.b64encode(data).decode() for part, data in parts.items()}})


def _read(sealed: SealedSecret) -> dict[str, bytes]:
    try:
        document: Any = json.loads(sealed.envelope)
        return {part: base64.b64decode(document[part], validate=True) for part in ("wrapped", "sealed")}
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise _changed(sealed) from error


def _changed(sealed: SealedSecret) -> SecretSealedError:
    return SecretSealedError(
        "it is not what was sealed under this name: the database was changed or is damaged",
        where=f"secret {sealed.name}",
        mend="look who can write to the database, and set the secret anew",
    )


def _tell(tx: Tx, kind: str, person: str, data: Mapping[str, object]) -> None:
    """On record where anything is going on that it may matter for; else with the swarm before, so that it is on record at all."""
    for swarm in tx.swarms(states=OPEN) or tx.swarms()[:1]:
        tx.append(swarm.id, NewEvent(kind, person, data))
