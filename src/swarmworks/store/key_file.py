"""The keys that seal secrets: a file outside the database, one key a line in hexadecimal, the last one sealing.

Nobody but its owner may read it. It is made by an explicit command only: a key that appeared by itself would make what was
sealed before look damaged.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from swarmworks.base.errors import ConflictError, UsageError

KEY_BYTES = 32
MOST_KEYS = 100
_OTHERS = 0o077


class KeyFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def where(self) -> str:
        return str(self._path)

    def held(self) -> list[bytes]:
        try:
            mode = self._path.stat().st_mode
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "the keys that seal secrets cannot be read", where=self.where, mend="check the file and its owner"
            ) from error
        if mode & _OTHERS:
            raise UsageError(
                f"others than its owner can use the file of keys (mode {mode & 0o777:03o})",
                where=self.where,
                mend=f"chmod 600 {self.where}; if others have read it, rotate: swarm secret rotate",
            )
        return parsed(text, self.where)

    def make(self) -> None:
        """ConflictError when it is there."""
        if self._path.exists():
            raise ConflictError(
                "there is a file of keys already", where=self.where, mend="a new key is made by `swarm secret rotate`"
            )
        self._write([secrets.token_bytes(KEY_BYTES)])

    def renew(self) -> list[bytes]:
        keys = [*self.held(), secrets.token_bytes(KEY_BYTES)]
        if len(keys) > MOST_KEYS:
            raise ConflictError(
                f"the file holds {MOST_KEYS} keys", where=self.where, mend="take out those no copy needs any more"
            )
        self._write(keys)
        return keys

    def _write(self, keys: list[bytes]) -> None:
        """Whole, or not at all."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                    stream.writelines(f"{key.hex()}\n" for key in keys)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise UsageError(
                f"the file of keys cannot be written: {error.strerror}",
                where=self.where,
                mend="see that its folder is writable, or name another file in secrets.key_file",
            ) from error


class GivenKeys:
    """Keys of the environment, which only who gives them can renew: the new one last, and the old one before it."""

    def __init__(self, text: str, variable: str) -> None:
        self._keys = parsed(text.replace(",", "\n"), f"environment variable {variable}")
        self.where = f"environment variable {variable}"

    def held(self) -> list[bytes]:
        return self._keys

    def renew(self) -> list[bytes]:
        if len(self._keys) < 2:
            raise ConflictError(
                "a new key is not made here: there is only the one that seals already",
                where=self.where,
                mend="set it to OLD,NEW where the control plane starts (openssl rand -hex 32), then rotate",
            )
        return self._keys


def parsed(text: str, where: str) -> list[bytes]:
    try:
        keys = [bytes.fromhex(line) for line in text.split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise UsageError(
            "not the keys that seal secrets", where=where, mend=f"one a line, {2 * KEY_BYTES} hexadecimal digits each"
        ) from None
    return keys
