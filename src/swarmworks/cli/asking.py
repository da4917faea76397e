"""A question that is answered at the terminal while the control plane, which may live in this process, goes on with its work.

`click.confirm` would keep it from answering its workers and whoever else asks it, for as long as the person thinks.
"""

from __future__ import annotations

import asyncio
import os
import sys

import click

MOST_TYPED = 4_096
_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


async def confirmed(question: str) -> bool:
    """Whether the person at the terminal says yes; no is the answer of an empty line. Abort at the end of the input."""
    while True:
        click.echo(f"{question} [y/N]: ", nl=False)
        typed = await _line(sys.stdin.fileno())
        answer = _ANSWERS.get(typed.decode("utf-8", "replace").strip().lower())
        if answer is not None:
            return answer
        click.echo("Answer y or n.")


async def _line(terminal: int) -> bytes:
    """A terminal gives a line at a time, and nothing at its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(terminal, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(terminal)
    typed = os.read(terminal, MOST_TYPED)
    if not typed:
        raise click.Abort
    return typed
