from __future__ import annotations

import socket
import subprocess

import pytest

from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
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
    return best_sandbox(tmp_path_factory.mktemp("state"), program="no-such-bubblewrap")


@pytest.fixture
def playground(bubblewrap, tmp_path):
    return Playground(bubblewrap, tmp_path)


@pytest.fixture(params=["bubblewrap", "none"])
def any_playground(request, tmp_path):
    name = {"bubblewrap": "bubblewrap", "none": "unsandboxed"}[request.param]
    return Playground(request.getfixturevalue(name), tmp_path)


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
