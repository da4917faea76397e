"""Chooses how progress is shown: live in a terminal, plain lines elsewhere, nothing for JSON."""

from __future__ import annotations

import sys

from swarmworks.cli.view.plain import PlainProgress, SilentProgress
from swarmworks.cli.watching import Display


def display_for(*, as_json: bool) -> Display:
    if as_json:
        return SilentProgress()
    if not sys.stdout.isatty():
        return PlainProgress()
    return PlainProgress()
