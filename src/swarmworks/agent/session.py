"""One session from stdin to the end event: puts the pieces together and is the one place where a fault is caught."""

from __future__ import annotations

import os
import sys
import traceback

from swarmworks.agent.anthropic import AnthropicDialect
from swarmworks.agent.dialect import ModelSettings
from swarmworks.agent.events import EventWriter
from swarmworks.agent.inbox import Inbox
from swarmworks.agent.interrupts import Interrupts, SessionInterrupt
from swarmworks.agent.loop import AgentLoop, Ending
from swarmworks.agent.model import ModelClient
from swarmworks.agent.openai import OpenAIDialect
from swarmworks.agent.platform_tools import Platform
from swarmworks.agent.request import MAX_REQUEST_BYTES, SessionRequest, parse_request
from swarmworks.agent.toolbox import Toolbox, load_schemas
from swarmworks.agent.workspace import Workspace
from swarmworks.base.errors import SwarmworksError

TOKEN_VARIABLE = "SWARM_TOKEN"  # noqa: S105 (the variable's name)
EXIT_NO_END = 1


def main() -> int:
    """0 when an end event was written, whatever it says."""
    events = EventWriter(sys.stdout.fileno())
    inbox = Inbox(sys.stdin.fileno())
    token = os.environ.pop(TOKEN_VARIABLE, "")
    try:
        request = parse_request(inbox.first_line(MAX_REQUEST_BYTES))
        interrupts = Interrupts(request.deadline_s)
    except SwarmworksError as error:
        return _end(events, Ending("failed", f"request: {error}"))
    try:
        interrupts.install()
        ending = _run(request, token, interrupts, events, inbox)
    except SessionInterrupt as interrupt:
        ending = Ending("failed", interrupt.reason)
    interrupts.disarm()
    return _end(events, ending)


def _run(request: SessionRequest, token: str, interrupts: Interrupts, events: EventWriter, inbox: Inbox) -> Ending:
    """The labelled boundary of this process: a fault of ours becomes an end event, and its trace goes to stderr."""
    try:
        return _loop(request, token, interrupts, events, inbox).run()
    except (SwarmworksError, OSError) as error:
        return Ending("failed", f"request: {error}")
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return Ending("failed", f"internal: {error!r}")


def _loop(request: SessionRequest, token: str, interrupts: Interrupts, events: EventWriter, inbox: Inbox) -> AgentLoop:
    dialect = OpenAIDialect() if request.wire == "openai" else AnthropicDialect()
    platform = Platform(request.platform_url, token) if request.platform_url else None
    schemas = load_schemas(
        writable=request.writable_hint, platform=platform is not None, mail=request.mail, takes_over=request.takes_over
    )
    settings = ModelSettings(request.model, request.max_output_tokens, request.stream, schemas)
    client = ModelClient(dialect, settings, request.base_url, token, interrupts.remaining_s)
    workspace = Workspace(request.workdir, request.owned)
    toolbox = Toolbox(workspace, schemas, interrupts, request.command_timeout_s, platform)
    return AgentLoop(request, client, toolbox, events, inbox)


def _end(events: EventWriter, ending: Ending) -> int:
    try:
        events.end(ending.outcome, ending.reason, ending.handoff)
    except OSError:  # nobody reads any more
        return EXIT_NO_END
    return 0
