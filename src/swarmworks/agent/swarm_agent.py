"""`swarm-agent`: the platform's tools as a command, for agents' programs that speak no MCP. Mounted into their sandboxes.

Run as `python -S -E -B .../swarmworks/agent/__main__.py swarm-agent COMMAND ...`, with nothing installed. It finds the listener in
SWARM_GATEWAY_URL, the session's token in SWARM_TOKEN, and where a handoff is left in SWARM_HANDOFF_FILE.

Exit codes: 0 done, 1 the platform says no, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from swarmworks.agent import document, hand_in
from swarmworks.agent.platform_tools import Platform
from swarmworks.base.errors import ToolError

REFUSED, USAGE = 1, 2
MOST_STDIN_BYTES = 1 << 20

Arguments = dict[str, object]


def main() -> int:
    options = _parser().parse_args()
    url, token = os.environ.get("SWARM_GATEWAY_URL", ""), os.environ.get("SWARM_TOKEN", "")
    if not url or not token:
        return _say_no("this is no session of an agent: SWARM_GATEWAY_URL or SWARM_TOKEN is missing", USAGE)
    try:
        tool, arguments = _asked(options)
        sys.stdout.write(Platform(f"{url.rstrip('/')}/mcp", token).call(tool, arguments).text + "\n")
        if tool == "hand_in":
            _leave(arguments)
    except (ToolError, OSError) as error:
        return _say_no(str(error), REFUSED)
    return 0


def _say_no(why: str, code: int) -> int:
    sys.stderr.write(f"swarm-agent: {why}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="swarm-agent", description="Speak to the platform that runs this session.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    handing = commands.add_parser("handoff", help="hand in and end the session")
    handing.add_argument("--outcome", choices=hand_in.OUTCOMES, default="submitted")
    handing.add_argument("--done", help="what was done; - or left out: a whole handoff as JSON on standard input")
    handing.add_argument("--changed", action="append", default=[], metavar="PATH=WHAT")
    handing.add_argument("--note", action="append", default=[], help="what the next agent must know")
    handing.add_argument("--risk", action="append", default=[], help="what may still be wrong")
    handing.add_argument("--question", help="for needs_answer: what a person must answer")
    commands.add_parser("ask", help="ask a person").add_argument("question", nargs="+")
    commands.add_parser("progress", help="say how far you are").add_argument("text", nargs="+")
    commands.add_parser("task", help="the record of your task")
    commands.add_parser("rejections", help="why earlier attempts did not land")
    scope = commands.add_parser("request-scope", help="ask to write more files")
    scope.add_argument("--reason", required=True)
    scope.add_argument("paths", nargs="+", metavar="PATH")
    sending = commands.add_parser("send", help="write to other agents")
    sending.add_argument("to")
    sending.add_argument("text", nargs="+")
    taking = commands.add_parser("take-over", help="say what you took over from the session before")
    taking.add_argument("--task", required=True)
    taking.add_argument("--left", required=True)
    taking.add_argument("owns", nargs="*", metavar="PATH")
    commands.add_parser("read", help="read what other agents wrote")
    return parser


def _asked(options: argparse.Namespace) -> tuple[str, Arguments]:
    name: str = options.command
    if name == "handoff":
        return "hand_in", _handoff(options)
    tool, given = _TOOLS[name]
    return tool, given(options)


_TOOLS: dict[str, tuple[str, Callable[[argparse.Namespace], Arguments]]] = {
    "ask": ("ask_person", lambda options: {"question": " ".join(options.question)}),
    "progress": ("progress", lambda options: {"text": " ".join(options.text)}),
    "request-scope": ("request_scope", lambda options: {"paths": options.paths, "reason": options.reason}),
    "send": ("send_message", lambda options: {"to": options.to, "text": " ".join(options.text)}),
    "read": ("read_messages", lambda _options: {}),
    "task": ("task", lambda _options: {}),
    "rejections": ("rejections", lambda _options: {}),
    "take-over": (
        "take_over",
        lambda options: {"task": options.task, "owns": options.owns, "left": options.left},
    ),
}


def _handoff(options: argparse.Namespace) -> Arguments:
    if options.done in {None, "-"}:
        try:
            given = document.mapping(document.parse(sys.stdin.buffer.read(MOST_STDIN_BYTES)))
        except ValueError as error:
            raise ToolError(f"what came on standard input is no JSON: {error}") from error
        return hand_in.checked(given)
    changed = [dict(zip(("path", "what"), each.partition("=")[::2], strict=True)) for each in options.changed]
    given: Arguments = {"outcome": options.outcome, "done": options.done, "changed": changed}
    given |= {"notes": options.note, "risks": options.risk}
    return hand_in.checked(given | ({"question": options.question} if options.question else {}))


def _leave(handoff: Arguments) -> None:
    """Whole or not at all: whoever reads it may look at any moment."""
    path = Path(os.environ["SWARM_HANDOFF_FILE"])
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(handoff), encoding="utf-8")
    beside.replace(path)
