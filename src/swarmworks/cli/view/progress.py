"""Chooses how progress is shown: live in a terminal, plain lines elsewhere, nothing for JSON."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from swarmworks.cli.environment import being_built
from swarmworks.cli.view.live import LiveProgress
from swarmworks.cli.view.plain import PlainProgress, SilentProgress
from swarmworks.cli.watching import Display

LEAST_WIDTH = 40
LEAST_HEIGHT = 12


def display_for(state: Path, *, as_json: bool) -> Display:
    """`state` is the project's state folder. A terminal too small or too simple for the dashboard gets plain lines."""
    if as_json:
        return SilentProgress()
    console = Console(highlight=False)
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    roomy = console.width >= LEAST_WIDTH and console.height >= LEAST_HEIGHT
    if sys.stdout.isatty() and not console.is_dumb_terminal and utf8 and roomy:
        return LiveProgress(console, lambda: being_built(state))
    return PlainProgress()
