"""A command as an agent: the task's own, for mechanical work such as formatters and code modifications, or any program of the
user's, named in `swarm.toml`. Its exit status and the diff decide; there need not be a model behind it.

A task's own command gets no token, so it can ask no model. A program of the user's gets the session's token and the gateway's
address, and may report in the normal form (docs/agent-events.md); lines that are no events are its messages.
"""

from __future__ import annotations

from swarmworks.policy.tiers import WIRES, Wire
from swarmworks.runtime.protocol import COMMAND, SMALL_BYTES, Facts, Found, Heard, Launch
from swarmworks.runtime.reading import ENDED, SHORT_CHARS, TextLines, clip
from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import End, Garbage, SessionEvent, parse_line

SHELL = "/bin/sh"


class Command:
    """Implements Runtime. `run` is the user's program, a shell command; None when there is none, and tasks have their own."""

    def __init__(self, run: str | None) -> None:
        self._run = run

    @property
    def name(self) -> str:
        return COMMAND

    @property
    def wires(self) -> frozenset[Wire]:
        return frozenset(wire for wires in WIRES.values() for wire in wires)

    @property
    def memory_bytes(self) -> int:
        return SMALL_BYTES

    @property
    def own_home(self) -> bool:
        return True

    def probe(self) -> Found:
        if self._run is None:
            mend = '[runtimes.command] run = "your-agent --headless"; tasks of kind command need none'
            return Found(COMMAND, lacking="no command is named for it", mend=mend, wires=self.wires)
        return Found(self._run, version="as named in swarm.toml", wires=self.wires)

    def launch(self, facts: Facts) -> Launch:
        files = {"system.md": facts.system, "prompt.md": facts.prompt}
        environment = {
            "SWARM_SYSTEM_FILE": f"{facts.home}/system.md",
            "SWARM_PROMPT_FILE": f"{facts.home}/prompt.md",
        }
        if not facts.run:
            environment |= {
                "SWARM_TOKEN": facts.token,
                "SWARM_GATEWAY_URL": facts.gateway_url,
                "SWARM_MODEL": facts.model,
                "SWARM_WIRE": facts.wire,
            }
        return Launch(
            argv=(SHELL, "-ec", f"exec 2>&1\n{facts.run or self._run or 'false'}"),
            environment=environment,
            first_input=facts.prompt.encode() + b"\n",
            input_stays_open=False,
            files=files,
            silence_s=facts.limits.wall_s,  # a formatter says nothing until it is done
        )

    def reading(self) -> ExitStatus:
        return CommandOutput()

    def says(self, text: str) -> bytes | None:
        del text  # its input ends with its prompt
        return None

    def tells(self, text: str) -> bytes | None:
        return self.says(text)

    def asks_to_hand_over(self, text: str) -> bytes | None:
        return self.says(text)


class Regenerating(Command):
    """The project's own command, in the place of an agent: what it prints is nobody's word, only how it ends counts."""

    def __init__(self) -> None:
        super().__init__(None)

    def reading(self) -> ExitStatus:
        return ExitStatus()


class ExitStatus(TextLines):
    """Every line is a message."""

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        """With success it has nothing to do unless the diff says otherwise, which it does."""
        if status != 0:
            return (End(outcome="failed", reason=clip(f"exit status {status}: {self.ended()}", SHORT_CHARS)),)
        done = f"The command ended with exit status 0. {self.ended()}".strip()
        return (
            End(outcome="nothing_to_do", reason=ENDED, handoff=HandoffDocument(outcome="nothing_to_do", done=done)),
        )


class CommandOutput(ExitStatus):
    """Lines that are events are what they say."""

    def hear(self, line: bytes) -> Heard:
        event = parse_line(line)
        return super().hear(line) if isinstance(event, Garbage) else Heard((event,))
