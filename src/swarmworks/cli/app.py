"""The command line: a table of commands, each in a module of its own that is loaded when it is called."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from dataclasses import asdict
from typing import Any

import click

from swarmworks import __version__
from swarmworks.base.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_USAGE,
    InvalidDocumentError,
    SwarmworksError,
    UnavailableError,
    UsageError,
)

COMMANDS = {
    "demo": "A sample application built by twelve agents with the rehearsal model.",
    "init": "Write swarm.toml from what is found in the repository.",
    "plan": "Decompose a specification into a plan of tasks.",
    "check": "Lint a plan; say how many agents it keeps busy, and for how long.",
    "run": "Run a plan with a swarm of agents.",
    "status": "Where a swarm stands.",
    "queue": "What waits to land, why, and when it is expected to.",
    "logs": "What happened, event by event.",
    "report": "The final report.",
    "audit": "Verify and export the log of events.",
    "why": "Why a commit, a line or a task is as it is.",
    "attach": "Follow a session live, and speak to its agent.",
    "say": "Say something to the agent of a running session.",
    "watch": "Watch a running swarm live, and steer it.",
    "pause": "Start no new sessions; those under way go on.",
    "deliver": "Bring what a swarm landed to your branch.",
    "inbox": "What waits for you, with what is needed to decide it.",
    "approve": "Say yes at a review gate.",
    "reject": "Say no at a review gate, and why.",
    "answer": "Answer what an agent asked.",
    "retry": "Try a blocked task again, as you want it.",
    "cancel": "Give a task up.",
    "revert": "Take back what a task landed.",
    "stop": "Stop a running swarm in order; nothing is lost.",
    "resume": "Go on after a stop, a crash, a block or a raised budget.",
    "notify": "Whether notices arrive: `swarm notify test`.",
    "prices": "What models cost, and who approved it: list, import, approve.",
    "secret": "Keys of providers, sealed in the store: init, set, list, rm, rotate.",
    "store": "The database that holds the state: check, migrate, copy.",
    "doctor": "What this machine has, and what it lacks.",
    "copies": "The working copies of sessions on this machine: list, discard.",
    "serve": "Start a control plane and leave it running.",
    "worker": "Start a worker for a control plane.",
}
MOST_PROBLEMS = 5
HIDDEN = frozenset({"worker"})


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name in COMMANDS if name not in HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"swarmworks.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, so that help loads no command."""
        rows = [(name, COMMANDS[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="swarm")
def swarm() -> None:
    """Run swarms of coding agents: bounded, gated, attributed, never lost.

    Start with `swarm demo`, or in a repository of yours with `swarm init`.
    """


def run(launcher: Any) -> int:
    """The process's exit code. Errors of the tree are printed with their mend, never as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no reason to fail
    try:
        return _exit_code(launcher)
    except (OSError, ValueError) as error:  # the boundary of this process: what no command foresaw of its surroundings
        if isinstance(error, ValueError) and not isinstance(error, _pydantic().ValidationError):
            raise
        _show(_unforeseen(error))
        return EXIT_INFRASTRUCTURE


def _exit_code(launcher: Any) -> int:
    try:
        result = swarm.main(standalone_mode=False, obj=launcher)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        _show_usage(error)
        return EXIT_USAGE
    except click.Abort:
        print("stopped", file=sys.stderr)
        return 130
    except SwarmworksError as error:
        _show(error)
        return error.exit_code
    except (BrokenPipeError, SystemExit):  # nobody reads what is printed; click says so by the latter
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INFRASTRUCTURE
    return result if isinstance(result, int) else 0


def _pydantic() -> Any:
    return importlib.import_module("pydantic")  # takes a while, and `swarm --help` needs none of it


def _unforeseen(error: Any) -> UnavailableError:
    """Without any value that was refused: it may be a secret."""
    if isinstance(error, OSError):
        return UnavailableError(
            f"this machine refuses it: {error.strerror or error}",
            where=str(error.filename or ""),
            mend="check that file or address, its permissions and the free space; `swarm doctor` says what this machine lacks",
        )
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = "; ".join(
        f"{'.'.join(map(str, one['loc'])) or error.title}: {one['msg']}" for one in problems[:MOST_PROBLEMS]
    )
    return UnavailableError(
        f"a value is not taken ({error.title}): {told}",
        mend="check what you gave; when it came from a control plane, bring both to the same version",
    )


def _show_usage(error: click.ClickException) -> None:
    """A command line that click could not read, in the words of click."""
    if not _as_json():
        error.show()
        return
    called = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "swarm"
    _show(UsageError(error.format_message(), where=called, mend=f"see {called} --help"))


def _as_json() -> bool:
    return "--json" in sys.argv


def _show(error: SwarmworksError) -> None:
    if _as_json():
        told: dict[str, object] = {"error": error.code, "what": error.what, "where": error.where, "mend": error.mend}
        if isinstance(error, InvalidDocumentError):
            told["problems"] = [asdict(problem) for problem in error.problems]
        print(json.dumps(told))
        return
    text = f"error: {error}"  # which may quote what an agent wrote
    click.echo("".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text), err=True)
