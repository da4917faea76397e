"""Files a person asked for with -o."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import pytest

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.cli import writing
from swarmworks.cli.writing import refuse_overwriting, write_whole, written_to


@pytest.fixture
def pipe(tmp_path):
    """A named pipe with somebody at its other end: what was read so far, once asked for."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(path.read_text()), daemon=True)
    reader.start()

    def read():
        reader.join(20)
        return "".join(heard)

    return path, read


def test_a_pipe_is_written_into_and_never_replaced(pipe):
    path, read = pipe
    with written_to(path) as stream:
        stream.write("text\n")
    assert (read(), stat.S_ISFIFO(path.stat().st_mode)) == ("text\n", True)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_pipe_is_not_read_to_see_what_it_holds(pipe):
    path, read = pipe
    refuse_overwriting(None, path, force=False)
    assert write_whole(path, "plan\n")
    assert (read(), stat.S_ISFIFO(path.stat().st_mode)) == ("plan\n", True)


def test_a_link_to_a_file_stays_a_link(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("old\n")
    link = tmp_path / "link"
    link.symlink_to(kept)
    assert write_whole(link, "new\n")
    assert (kept.read_text(), link.is_symlink(), write_whole(link, "new\n")) == ("new\n", True, False)


def test_what_a_shell_appends_to_keeps_what_was_there(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("before\n")
    program = """
import sys, pathlib
from swarmworks.cli.writing import write_whole, written_to
print("said")
write_whole(pathlib.Path("/dev/stdout"), "whole\\n")
with written_to(pathlib.Path("/dev/stdout")) as stream:
    stream.write("piece\\n")
print("after")
"""
    with kept.open("a") as appended:
        subprocess.run([sys.executable, "-c", program], stdout=appended, check=True)
    assert kept.read_text() == "before\nsaid\nwhole\npiece\nafter\n"
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def test_a_file_larger_than_any_plan_is_somebody_elses_and_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MAX_PLAN_BYTES", 10)
    huge = tmp_path / "huge"
    with huge.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConflictError):
        refuse_overwriting(None, huge, force=False)
    assert write_whole(huge, "plan\n")
    assert huge.read_text() == "plan\n"


def test_nothing_is_left_of_what_could_not_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"), written_to(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), written_to(tmp_path / "file") as stream:
        stream.write(str(1 // 0))
    assert list(tmp_path.iterdir()) == []
