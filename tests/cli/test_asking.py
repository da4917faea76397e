from __future__ import annotations

import asyncio
import os
import pty
import sys

import click
import pytest

from swarmworks.cli.asking import confirmed


@pytest.fixture
def keyboard(monkeypatch):
    """What is written to it is typed at the terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


@pytest.mark.parametrize(("typed", "answer"), [(b"y\n", True), (b"YES\n", True), (b"n\n", False), (b"\n", False)])
async def test_others_go_on_while_the_person_thinks(keyboard, typed, answer):
    async def somebody_else():
        await asyncio.sleep(0)
        os.write(keyboard, typed)

    async with asyncio.timeout(10):
        said, _ = await asyncio.gather(confirmed("Run this plan?"), somebody_else())
    assert said is answer


async def test_what_is_neither_yes_nor_no_is_asked_again(keyboard, capsys):
    os.write(keyboard, b"perhaps\ny\n")
    async with asyncio.timeout(10):
        assert await confirmed("Run this plan?")
    assert capsys.readouterr().out.count("Run this plan? [y/N]: ") == 2


async def test_the_end_of_the_input_is_no_answer(keyboard):
    os.write(keyboard, b"\x04")
    with pytest.raises(click.Abort):
        async with asyncio.timeout(10):
            await confirmed("Run this plan?")
