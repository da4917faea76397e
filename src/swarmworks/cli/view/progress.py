"""Chooses how progress is shown: live in a terminal, plain lines elsewhere, nothing for JSON."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from rich.console import Console

from swarmworks.cli.environment import being_built
from swarmworks.cli.view.plain import PlainProgress, SilentProgress
from swarmworks.cli.watching import Display

LEAST_WIDTH = 40
LEAST_HEIGHT = 12


def display_for(state: Path, *, as_json: bool) -> Display:
    """`state` is the project's state folder. A terminal too small or too simple for the dashboard gets plain lines."""
    if as_json:
        return SilentProgress()
    if not _fit_for_a_dashboard():
        return PlainProgress()
    live = importlib.import_module("swarmworks.cli.view.live")  # only here: it takes a moment to load
    display: Display = live.LiveProgress(lambda: being_built(state))
    return display


def _fit_for_a_dashboard() -> bool:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    at_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    console = Console(highlight=False)
    roomy = console.width >= LEAST_WIDTH and console.height >= LEAST_HEIGHT
    return utf8 and at_terminal and not console.is_dumb_terminal and roomy
