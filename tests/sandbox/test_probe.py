from __future__ import annotations

import os

import pytest

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.contained import ContainedSandbox
from swarmworks.sandbox.none import NoSandbox
from swarmworks.sandbox.protocol import Mount, SandboxSpec
from swarmworks.sandbox.view import translate


def _fake_bubblewrap(directory, script):
    path = directory / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_without_bubblewrap_the_mend_is_named_and_the_floor_refused(tmp_path):
    sandbox = best_sandbox(tmp_path, program="no-such-bubblewrap")
    assert isinstance(sandbox, NoSandbox if os.geteuid() == 0 else ContainedSandbox)
    assert "apt-get install bubblewrap" in sandbox.probe().missing[Property.PROTECTED]
    if os.geteuid() == 0:
        assert (
            "for the level contained: start the worker as an ordinary user" in sandbox.probe().missing[Property.FILES]
        )
    spec = SandboxSpec(argv=("true",), workdir="/", floor=frozenset({Property.PROTECTED}))
    with pytest.raises(SandboxUnavailableError, match=r"`protected`(?s:.)*mend: apt-get install bubblewrap"):
        await sandbox.start(spec)


async def test_a_bubblewrap_that_does_not_work_holds_nothing_and_runs_nothing(tmp_path):
    program = _fake_bubblewrap(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    sandbox = BubblewrapSandbox(tmp_path / "state", program=program)
    probe = sandbox.probe()
    assert probe.properties == frozenset()
    assert set(probe.missing) == set(Property)
    assert all("mend: " in reason for reason in probe.missing.values())
    with pytest.raises(SandboxUnavailableError, match="does not work here"):
        await sandbox.start(SandboxSpec(argv=("true",), workdir="/"))


@pytest.mark.sandbox
def test_a_property_is_reported_only_when_its_test_was_seen_to_hold(bubblewrap, tmp_path):
    dropped = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
    program = _fake_bubblewrap(tmp_path, dropped)
    (tmp_path / "probe").mkdir()
    probe = BubblewrapSandbox(tmp_path / "state", program=program).probe()
    assert not probe.properties & {Property.FILES, Property.PROTECTED, Property.SYSCALLS}


def test_uid_0_is_refused(tmp_path):
    with pytest.raises(SandboxUnavailableError, match="uid 0"):
        BubblewrapSandbox(tmp_path, uid=0)


def test_the_deepest_mount_names_the_path_on_the_host(tmp_path):
    mounts = (Mount(tmp_path / "a", "/work"), Mount(tmp_path / "b", "/work/lib"))
    assert translate("/work/lib/x", mounts) == str(tmp_path / "b" / "x")
    assert translate("/work", mounts) == str(tmp_path / "a")
    assert translate("/workshop", mounts) == "/workshop"
    assert translate("--work", mounts) == "--work"
