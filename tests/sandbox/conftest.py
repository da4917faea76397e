from __future__ import annotations

import os
import socket
import subprocess

import pytest

from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.contained import ContainedSandbox
from swarmworks.sandbox.none import NoSandbox
from tests.sandbox.playground import Playground


@pytest.fixture(scope="session")
def bubblewrap(tmp_path_factory):
    """Left out only where bubblewrap itself does not work: where it does, ours must."""
    try:
        plain = subprocess.run(
            ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("NO SANDBOX TESTED HERE: bubblewrap is not installed; apt-get install bubblewrap")
    if plain.returncode != 0:
        pytest.skip(f"NO SANDBOX TESTED HERE: bubblewrap does not work on this machine: {plain.stderr.strip()}")
    sandbox = BubblewrapSandbox(tmp_path_factory.mktemp("state"))
    assert sandbox.probe().properties, sandbox.probe().missing
    return sandbox


@pytest.fixture(scope="session")
def unsandboxed(tmp_path_factory):
    return NoSandbox(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def contained(tmp_path_factory):
    if os.geteuid() == 0:
        pytest.skip("the back end contained is for ordinary users: test_started_as_a_user runs this as one")
    sandbox = ContainedSandbox(tmp_path_factory.mktemp("state"))
    assert sandbox.probe().properties, sandbox.probe().missing
    return sandbox


@pytest.fixture
def playground(bubblewrap, tmp_path):
    return Playground(bubblewrap, tmp_path)


@pytest.fixture(params=["bubblewrap", "contained", "none"])
def any_playground(request, tmp_path):
    name = {"none": "unsandboxed"}.get(request.param, request.param)
    return Playground(request.getfixturevalue(name), tmp_path)


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
