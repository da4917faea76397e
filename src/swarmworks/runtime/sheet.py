"""A runtime as data: the words, variables and files with which a command-line agent is started, as one sheet.

What differs in kind between programs, the form of their input and output, is given as functions. A text of a sheet may hold
`$home`, `$workdir`, `$model`, `$token`, `$gateway_url`, `$system`, `$prompt`, `$output_tokens`, `$command_timeout_s` and
`$command_timeout_ms`. Words are seen by every process of the machine, so a sheet never puts the token or the prompt into
them.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any, Literal, cast

from swarmworks.base.errors import UnavailableError
from swarmworks.policy.tiers import Wire
from swarmworks.runtime.housing import Housed, Housing, Python
from swarmworks.runtime.protocol import Facts, Found, Launch, Reading

VERSION_S = 90.0
"""Some programs of Python and Node take seconds to start, and many times that on a machine that is busy."""
_FLAG = re.compile("--[a-z][a-z0-9-]*")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


ENDS = (
    "$system\n\n# How you hand in\n\n"
    "You do not have the tools `hand_in`, `ask_person` and `progress`. When everything is done and checked, end: say what you did, "
    "what the next agent must know, and which risks remain. What you say last is your handoff.\n"
)
"""The rules for a program without the platform's tools."""


def no_python(interpreter: Path) -> tuple[()]:
    raise UnavailableError(f"nothing is known of the interpreter {interpreter}")


def prompted(facts: Facts) -> bytes:
    """The first input of a program that reads its prompt from its standard input."""
    return facts.prompt.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Package:
    """Where a program is had from, and the version that it is tested with. `beside`: what its environment needs as well, as
    pip is told; `after`: a script of the package that is to be run once it is there, by its path in the package.
    """

    manager: Literal["npm", "pip"]
    name: str
    version: str
    beside: tuple[str, ...] = ()
    after: str = ""

    def commands(self) -> str:
        if self.manager == "npm":
            fetched = f"npm install -g {self.name}@{self.version}"
            return f'{fetched} && (cd "$(npm root -g)/{self.name}" && node {self.after})' if self.after else fetched
        fetched = f"pipx install {self.name}=={self.version}"
        more = " ".join(shlex.quote(one) for one in self.beside)
        return f"{fetched} && pipx inject {self.name} {more}" if more else fetched


@dataclass(frozen=True, slots=True)
class Sheet:
    """`housing` says what kind of program it is. A value of `files` is a text, or what is written as JSON. `says` is None for a
    program that cannot be spoken to while it runs; `asks` writes the platform's own words. `version` are the words on which it
    tells its version, empty to ask its Python environment; `help` those on which it tells its flags, all but `unlisted`. `memory_mb` is its peak in a session of a few turns, as it was measured.
    """

    name: str
    wires: frozenset[Wire]
    housing: Housing
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    reading: Callable[[], Reading]
    package: Package
    memory_mb: int
    first_input: Callable[[Facts], bytes] = prompted
    says: Callable[[str], bytes] | None = None
    asks: Callable[[str], bytes] | None = None
    files: Mapping[str, object] = field(default_factory=dict[str, object])
    version: tuple[str, ...] = ("--version",)
    help: tuple[str, ...] = ("--help",)
    unlisted: frozenset[str] = frozenset()
    output_bytes: int | None = None


class SheetRuntime:
    """Implements Runtime for a program of the host. `program` is None when none was found; `python` is asked what an
    interpreter needs inside.
    """

    def __init__(self, sheet: Sheet, program: Path | None, python: Python = no_python) -> None:
        self._sheet = sheet
        self._program = program
        self._python = python

    @property
    def name(self) -> str:
        return self._sheet.name

    @property
    def wires(self) -> frozenset[Wire]:
        return self._sheet.wires

    @property
    def memory_bytes(self) -> int:
        return self._sheet.memory_mb << 20

    @property
    def own_home(self) -> bool:
        return True

    def probe(self) -> Found:
        found = Found(
            str(self._program or self._sheet.name),
            mend=self._mend(),
            wires=self.wires,
            tested=self._sheet.package.version,
        )
        try:
            said = self._asked(self._version())
        except UnavailableError as error:
            return replace(found, lacking=error.what)
        number = _VERSION.search(said)
        return replace(found, version=number[0] if number else said.strip()[:80])

    def lost_flags(self) -> tuple[str, ...]:
        said = self._asked((*self._housed().outside, *self._sheet.help))
        flags = [word for word in self._sheet.arguments if word.startswith("--")]
        known = set(_FLAG.findall(said)) | self._sheet.unlisted
        return tuple(flag for flag in dict.fromkeys(flags) if flag not in known)

    def launch(self, facts: Facts) -> Launch:
        housed = self._housed()
        values = _values(facts)
        files = {
            name: _filled(content, values) if isinstance(content, str) else _json(_leaves(content, values))
            for name, content in self._sheet.files.items()
        }
        return Launch(
            argv=(*housed.inside, *(_filled(word, values) for word in self._sheet.arguments)),
            environment={name: _filled(text, values) for name, text in self._sheet.environment.items()},
            first_input=self._sheet.first_input(facts),
            input_stays_open=self._sheet.says is not None,
            shown=housed.shown,
            files=files,
            silence_s=facts.silence_s,
            output_bytes=self._sheet.output_bytes,
        )

    def reading(self) -> Reading:
        return self._sheet.reading()

    def says(self, text: str) -> bytes | None:
        return None if self._sheet.says is None else self._sheet.says(text)

    def tells(self, text: str) -> bytes | None:
        return self.asks_to_hand_over(text)  # the platform's words are written one way, whatever they ask for

    def asks_to_hand_over(self, text: str) -> bytes | None:
        return None if self._sheet.asks is None else self._sheet.asks(text)

    def _housed(self) -> Housed:
        """UnavailableError with what is missing, and the mend."""
        if self._program is None:
            lacking = f"there is no program {self.name!r} on this machine"
            raise UnavailableError(lacking, where=self.name, mend=self._mend())
        try:
            return self._sheet.housing.house(self.name, self._program, self._python)
        except UnavailableError as error:
            raise UnavailableError(error.what, where=str(self._program), mend=self._mend()) from error

    def _version(self) -> tuple[str, ...]:
        """The words of the command that tells it."""
        outside = self._housed().outside
        if self._sheet.version:
            return (*outside, *self._sheet.version)
        return (
            outside[0],
            "-c",
            f"from importlib.metadata import version; print(version({self._sheet.package.name!r}))",
        )

    def _asked(self, command: tuple[str, ...]) -> str:
        """What it writes when it is run for itself, in a home of its own. UnavailableError when it cannot be run."""
        try:
            with tempfile.TemporaryDirectory() as home:
                asked = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    timeout=VERSION_S,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    env={"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", **self._quiet()},
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(f"it cannot be run: {_said(error)}"[:300], where=self.name) from error
        return asked.stdout or asked.stderr

    def _mend(self) -> str:
        return f'{self._sheet.package.commands()}; or name it: [runtimes.{self.name}] program = "/path/to/{self.name}"'

    def _quiet(self) -> dict[str, str]:
        return {name: text for name, text in self._sheet.environment.items() if "$" not in text}


def _said(error: OSError | subprocess.SubprocessError) -> str:
    """Its own words, where it has any."""
    if isinstance(error, subprocess.CalledProcessError):
        words = f"{error.stderr}{error.stdout}".strip().splitlines()
        return f"exit status {error.returncode}: {' '.join(words[-3:])}"
    return str(error)


def _values(facts: Facts) -> dict[str, str]:
    return {
        "home": facts.home,
        "workdir": facts.workdir,
        "model": facts.model,
        "token": facts.token,
        "gateway_url": facts.gateway_url,
        "system": facts.system,
        "prompt": facts.prompt,
        "output_tokens": str(facts.limits.output_tokens_per_call),
        "command_timeout_s": str(int(facts.command_timeout_s)),
        "command_timeout_ms": str(int(facts.command_timeout_s * 1000)),
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A name that is not there is a fault of the sheet: KeyError."""
    return Template(text).substitute(values)


def _json(content: object) -> str:
    """As YAML reads it, too: no escape stands for half a character, and nothing that cannot be printed stands for itself."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(content, ensure_ascii=False))


def _leaves(content: object, values: Mapping[str, str]) -> object:
    if isinstance(content, str):
        return _filled(content, values)
    if isinstance(content, Mapping):
        return {
            _filled(key, values): _leaves(value, values) for key, value in cast("Mapping[str, Any]", content).items()
        }
    if isinstance(content, list | tuple):
        return [_leaves(item, values) for item in cast("list[Any]", content)]
    return content
