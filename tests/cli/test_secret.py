"""`swarm secret set`: what it takes from a pipe."""

from __future__ import annotations

import io

import pytest

from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher


@pytest.mark.parametrize("data", [b"\xff\xfekey\n", b"", b"two\nlines\n"])
def test_what_is_no_line_of_text_is_refused(tmp_path, swarm: Swarm, monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    ran = swarm(FakeLauncher(tmp_path), "secret", "set", "openai")
    assert (ran.code, "openai: a secret is" in ran.err, "mend:" in ran.err) == (2, True, True)
