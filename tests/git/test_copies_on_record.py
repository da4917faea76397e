"""The records of working copies, as a power cut or a person may leave them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmworks.base.errors import ConflictError, GitError
from tests.git.conftest import AGENT, AT

UNREADABLE = [b"", b'{"name": "t-1", "com', b"[]", b'"text"', b'{"name": "t-1"}', b"\xff\xfe"]


@pytest.fixture
def copy(copies, base):
    made = copies.create("t-1", base)
    (made.path / "a.txt").write_text("unsaved\n")
    return made


@pytest.mark.parametrize("record", UNREADABLE)
def test_one_that_cannot_be_read_is_passed_over_and_stays(copies, copy, base, tmp_path, caplog, record):
    other = copies.create("t-2", base)
    (tmp_path / "copies/.state/t-1/copy.json").write_bytes(record)
    assert copies.existing() == [other]
    assert copies.retired() == []
    assert "copies/.state/t-1/copy.json" in caplog.text
    assert (copy.path / "a.txt").read_text() == "unsaved\n"
    with pytest.raises(GitError) as caught:
        copies.snapshot(copy, "refs/swarm/work/t/1", "m", AGENT, AT)
    assert str(copy.path) in str(caught.value.mend)
    with pytest.raises(ConflictError):
        copies.create("t-1", base)
    copies.destroy(copy)
    assert copies.create("t-1", base) == copy


def test_a_copy_whose_record_was_not_finished_is_cleared_away(copies, copy, tmp_path):
    state = tmp_path / "copies/.state/t-1"
    (state / "copy.json").rename(state / "copy.json.new")
    assert copies.existing() == []
    assert not copy.path.exists()
    assert not state.exists()


def test_a_record_is_on_the_disk_before_it_counts(copies, base, monkeypatch):
    steps = []
    real_sync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real_sync(fd))
    )
    monkeypatch.setattr(Path, "rename", lambda path, to: (steps.append(f"{path} counts"), real_rename(path, to))[1])
    copies.create("t-1", base)
    (record,) = [step for step in steps if step.endswith("copy.json.new counts")]
    assert record.removesuffix(" counts") in steps[: steps.index(record)]
