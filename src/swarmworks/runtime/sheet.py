"""A runtime as data: the words, variables and files with which a command-line agent is started, as one sheet.

What differs in kind between programs, the form of their input and output, is given as functions. A text of a sheet may hold
`$home`, `$workdir`, `$model`, `$token`, `$gateway_url`, `$system`, `$output_tokens` and `$command_timeout_ms`. Words are seen
by every process of the machine, so a sheet never puts the token or the prompt into them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, cast

from swarmworks.base.errors import UnavailableError
from swarmworks.runtime.protocol import Facts, Found, Launch, Reading, Shown

VERSION_S = 20.0
ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Sheet:
    """`inside` is where the program appears in the sandbox. A value of `files` is a text, or what is written as JSON.
    `says` is None for a program that cannot be spoken to while it runs; `asks` writes the platform's own words. `install` says how the program is had.
    """

    name: str
    wires: frozenset[str]
    inside: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    first_input: Callable[[Facts], bytes]
    reading: Callable[[], Reading]
    install: str
    says: Callable[[str], bytes] | None = None
    asks: Callable[[str], bytes] | None = None
    files: Mapping[str, object] = field(default_factory=dict[str, object])
    version: tuple[str, ...] = ("--version",)


class SheetRuntime:
    """Implements Runtime for a program of the host that is one native file. `program` is None when none was found."""

    def __init__(self, sheet: Sheet, program: Path | None) -> None:
        self._sheet = sheet
        self._program = program

    @property
    def name(self) -> str:
        return self._sheet.name

    @property
    def wires(self) -> frozenset[str]:
        return self._sheet.wires

    @property
    def own_home(self) -> bool:
        return True

    def probe(self) -> Found:
        lacking = self._lacking()
        shown = str(self._program or self._sheet.name)
        if lacking:
            return Found(shown, lacking=lacking, mend=self._mend())
        assert self._program is not None
        try:
            with tempfile.TemporaryDirectory() as home:
                asked = subprocess.run(
                    [str(self._program), *self._sheet.version],
                    capture_output=True,
                    text=True,
                    timeout=VERSION_S,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    env={"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", **self._quiet()},
                )
        except (OSError, subprocess.SubprocessError) as error:
            return Found(shown, lacking=f"it cannot be run: {error}"[:300], mend=self._mend())
        return Found(shown, version=asked.stdout.strip()[:80])

    def launch(self, facts: Facts) -> Launch:
        lacking = self._lacking()
        if lacking or self._program is None:
            raise UnavailableError(f"{self.name}: {lacking}", where=str(self._program or ""), mend=self._mend())
        values = _values(facts)
        files = {
            name: _filled(content, values) if isinstance(content, str) else json.dumps(_leaves(content, values))
            for name, content in self._sheet.files.items()
        }
        return Launch(
            argv=(self._sheet.inside, *(_filled(word, values) for word in self._sheet.arguments)),
            environment={name: _filled(text, values) for name, text in self._sheet.environment.items()},
            first_input=self._sheet.first_input(facts),
            input_stays_open=self._sheet.says is not None,
            shown=(Shown(self._program.resolve(), self._sheet.inside),),
            files=files,
        )

    def reading(self) -> Reading:
        return self._sheet.reading()

    def says(self, text: str) -> bytes | None:
        return None if self._sheet.says is None else self._sheet.says(text)

    def asks_to_hand_over(self, text: str) -> bytes | None:
        return None if self._sheet.asks is None else self._sheet.asks(text)

    def _lacking(self) -> str:
        if self._program is None:
            return f"there is no program {self.name!r} on this machine"
        try:
            with self._program.open("rb") as file:
                native = file.read(len(ELF)) == ELF
        except OSError as error:
            return f"{self._program} cannot be read: {error.strerror}"
        return "" if native else f"{self._program.resolve()} is not the native program, but a stand-in or a script"

    def _mend(self) -> str:
        return f'{self._sheet.install}; or name it: [runtimes.{self.name}] program = "/path/to/{self.name}"'

    def _quiet(self) -> dict[str, str]:
        return {name: text for name, text in self._sheet.environment.items() if "$" not in text}


def _values(facts: Facts) -> dict[str, str]:
    return {
        "home": facts.home,
        "workdir": facts.workdir,
        "model": facts.model,
        "token": facts.token,
        "gateway_url": facts.gateway_url,
        "system": facts.system,
        "output_tokens": str(facts.limits.output_tokens_per_call),
        "command_timeout_ms": str(int(facts.command_timeout_s * 1000)),
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A name that is not there is a fault of the sheet: KeyError."""
    return Template(text).substitute(values)


def _leaves(content: object, values: Mapping[str, str]) -> object:
    if isinstance(content, str):
        return _filled(content, values)
    if isinstance(content, Mapping):
        return {key: _leaves(value, values) for key, value in cast("Mapping[str, Any]", content).items()}
    if isinstance(content, list | tuple):
        return [_leaves(item, values) for item in cast("list[Any]", content)]
    return content
