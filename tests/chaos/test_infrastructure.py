"""What the machine lacks is one clear refusal with its mend and its exit code, and costs no work."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from tests.scenario.driver import Ended, ended, twelve

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox]

UNREACHABLE = "http://127.0.0.1:9/v1"


@pytest.fixture
def one(build):
    return build(twelve(1))


def assert_refused(done: Ended, code: int, *words: str) -> None:
    assert done.code == code, done
    assert "Traceback" not in done.err + done.out
    found = done.json
    assert found["mend"], done
    for word in words:
        assert word in f"{found['error']} {found['what']} {found['where']} {found['mend']}", done


def test_a_port_in_use_is_refused_by_its_number(one):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_refused(ended(one.start_run("--port", port)), 2, "usage", port)
    assert one.left_behind() == []


def test_a_model_that_cannot_be_reached_is_refused_before_anything_starts(build):
    site = build(twelve(1), url=UNREACHABLE)
    assert_refused(ended(site.start_run()), 4, "provider_unavailable", "127.0.0.1:9")
    assert site.left_behind() == []


def test_a_missing_key_is_refused_by_its_variable(build):
    site = build(twelve(1), url="https://model.invalid/v1")
    done = site.run("run", str(site.plan_file), "--json", environment={"OPENAI_API_KEY": ""})
    assert_refused(done, 2, "usage", "OPENAI_API_KEY")


def test_without_bubblewrap_the_floor_is_refused(one, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(shutil.which(name) or "")
    done = one.run("run", str(one.plan_file), "--json", environment={"PATH": str(tools)})
    assert_refused(done, 4, "sandbox_unavailable", "bubblewrap")
    assert one.left_behind() == []


def test_without_user_namespaces_the_floor_is_refused(one, tmp_path):
    """A bwrap that is there and may not do anything, as where the kernel or a profile forbids namespaces."""
    tools = tmp_path / "bin"
    tools.mkdir()
    broken = tools / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = one.run("run", str(one.plan_file), "--json", environment={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert_refused(done, 4, "sandbox_unavailable")


def test_a_state_folder_that_cannot_be_written_is_refused(one):
    one.state.write_text("a file where the folder should be\n")
    done = ended(one.start_run())
    assert_refused(done, 2, "usage", str(one.state))
