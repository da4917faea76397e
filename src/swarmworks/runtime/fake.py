"""A runtime for tests: a shell that reads its first input and then writes what it was given, in the normal form."""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.policy.tiers import BUILT_IN_SPEAKS, Wire
from swarmworks.runtime.builtin import NormalForm
from swarmworks.runtime.protocol import SMALL_BYTES, Facts, Found, Launch
from swarmworks.wire.session_events import SessionEvent, dump_line

SHELL = "/bin/sh"
PLAY = 'read -r request; cat "$1"; while read -r said; do :; done'


class Fake:
    """Implements Runtime."""

    def __init__(self, events: Sequence[SessionEvent]) -> None:
        self._events = events

    @property
    def name(self) -> str:
        return "fake"

    @property
    def wires(self) -> frozenset[Wire]:
        return BUILT_IN_SPEAKS

    @property
    def memory_bytes(self) -> int:
        return SMALL_BYTES

    @property
    def own_home(self) -> bool:
        return True

    def probe(self) -> Found:
        return Found(SHELL, version="1")

    def launch(self, facts: Facts) -> Launch:
        lines = "".join(dump_line(event).decode() for event in self._events)
        return Launch(
            argv=(SHELL, "-c", PLAY, "play", f"{facts.home}/events.jsonl"),
            environment={"SWARM_TOKEN": facts.token},
            first_input=facts.prompt.replace("\n", " ").encode() + b"\n",
            input_stays_open=True,
            files={"events.jsonl": lines},
        )

    def reading(self) -> NormalForm:
        return NormalForm()

    def says(self, text: str) -> bytes | None:
        return text.replace("\n", " ").encode() + b"\n"

    def tells(self, text: str) -> bytes | None:
        return self.says(text)

    def asks_to_hand_over(self, text: str) -> bytes | None:
        return self.says(text)
