from __future__ import annotations

import socket

import pytest

from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from tests.sandbox.playground import Playground


@pytest.fixture(scope="session")
def bubblewrap(tmp_path_factory):
    sandbox = BubblewrapSandbox(tmp_path_factory.mktemp("state"))
    probe = sandbox.probe()
    if not probe.properties:
        pytest.skip(f"NO SANDBOX TESTED HERE: {next(iter(probe.missing.values()))}")
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
