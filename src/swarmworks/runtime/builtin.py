"""The agent that comes with the platform: `swarmworks.agent`, run by a Python of the host. See docs/agent-events.md."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

from swarmworks.policy.tiers import BUILT_IN_SPEAKS, Wire
from swarmworks.runtime.protocol import BUILTIN, SMALL_BYTES, Facts, Found, Heard, Launch, Shown
from swarmworks.wire.session_events import SessionEvent, parse_line

INSIDE_PACKAGE = "/opt/swarm/swarmworks"
CONTEXT_BYTES = 400_000


class BuiltIn:
    """Implements Runtime. `package` is the installed `swarmworks`, `python` what `interpreter` needs inside: asked for when
    a session starts, since it may fail.
    """

    def __init__(self, package: Path, interpreter: Path, python: Callable[[], tuple[Shown, ...]]) -> None:
        self._package = package
        self._interpreter = interpreter
        self._python = python

    @property
    def name(self) -> str:
        return BUILTIN

    @property
    def wires(self) -> frozenset[Wire]:
        return BUILT_IN_SPEAKS

    @property
    def memory_bytes(self) -> int:
        return SMALL_BYTES

    @property
    def own_home(self) -> bool:
        return False

    def probe(self) -> Found:
        return Found(str(self._interpreter), f"Python {platform.python_version()}")

    def launch(self, facts: Facts) -> Launch:
        program = (str(self._interpreter), "-S", "-E", "-B", f"{INSIDE_PACKAGE}/agent/__main__.py")
        document = {
            "format": 1,
            "system": facts.system,
            "prompt": facts.prompt,
            "model": facts.model,
            "wire": facts.wire,
            "base_url": f"{facts.gateway_url}/v1",
            "platform_url": f"{facts.gateway_url}/mcp",
            "mail": facts.mail,
            "takes_over": facts.takes_over,
            "workdir": facts.workdir,
            "owned": list(facts.owned),
            "writable_hint": facts.writable,
            "max_turns": facts.limits.calls,
            "max_output_tokens": facts.limits.output_tokens_per_call,
            "context_limit_bytes": CONTEXT_BYTES,
            "deadline_s": facts.limits.wall_s,
            "command_timeout_s": facts.command_timeout_s,
        }
        return Launch(
            argv=program,
            environment={"SWARM_TOKEN": facts.token},
            first_input=json.dumps(document).encode() + b"\n",
            input_stays_open=True,
            shown=(Shown(self._package, INSIDE_PACKAGE), *self._python()),
            working_s=facts.silence_s,
        )

    def reading(self) -> NormalForm:
        return NormalForm()

    def says(self, text: str) -> bytes | None:
        return json.dumps({"say": text}).encode() + b"\n"

    def tells(self, text: str) -> bytes | None:
        return json.dumps({"tell": text}).encode() + b"\n"

    def asks_to_hand_over(self, text: str) -> bytes | None:
        return json.dumps({"hand_over": text}).encode() + b"\n"


class NormalForm:
    """Implements Reading, for programs that write the normal form themselves."""

    def hear(self, line: bytes) -> Heard:
        return Heard((parse_line(line),))

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        del status  # it says itself how it ended
        return ()

    def ended(self) -> str:
        return ""
