"""Where a program is found, and what of the machine is shown with it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import UnavailableError
from swarmworks.runtime.housing import Native, NodePackage, PythonScript
from swarmworks.runtime.protocol import Shown
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.wire.config import PROGRAM_RUNTIMES
from swarmworks.wiring.runtimes import SHEETS

ARCH = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def put(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def nothing(_interpreter):
    raise AssertionError("it asks for no interpreter")


def test_every_sheet_can_be_named_in_the_configuration():
    assert tuple(SHEETS) == PROGRAM_RUNTIMES


@pytest.mark.parametrize("where", ["node_modules", "node_modules/vendor/node_modules"])
def test_the_native_program_is_found_behind_the_script_that_starts_it(tmp_path, where):
    script = put(tmp_path / "node_modules/vendor/bin/it.js", b"#!/usr/bin/env node\n")
    native = put(tmp_path / where / f"vendor-linux-{ARCH}/bin/it", b"\x7fELF")
    link = tmp_path / "it"
    link.symlink_to(script)
    housed = Native(below=("vendor-linux-{arch}/bin/it",)).house("it", link, nothing)
    assert housed.outside == (str(native),)
    assert housed.shown == (Shown(native, housed.inside[0]),)
    put(native, b"not yet: run the post-install script")
    with pytest.raises(UnavailableError, match="not the native program"):
        Native(below=("vendor-linux-{arch}/bin/it",)).house("it", link, nothing)


def test_a_package_is_shown_with_all_that_lies_beside_it_and_with_the_node_beside_its_program(tmp_path):
    script = put(tmp_path / "lib/node_modules/@a/b/node_modules/c/main.js", b"#!/usr/bin/env node\n")
    node = put(tmp_path / "bin/node", b"\x7fELF")
    link = tmp_path / "bin/it"
    link.symlink_to(script)
    housed = NodePackage().house("it", link, nothing)
    assert housed.outside == (str(node), str(script))
    assert housed.inside == ("/opt/it/node", "/opt/it/node_modules/@a/b/node_modules/c/main.js")
    assert {shown.source for shown in housed.shown} == {node, tmp_path / "lib/node_modules"}
    for wrong in (b"#!/bin/sh\n", b""):
        put(script, wrong)
        with pytest.raises(UnavailableError, match="no script for Node"):
            NodePackage().house("it", link, nothing)


def shown(interpreter):
    return tuple(Shown(mount.source, mount.target) for mount in python_mounts(interpreter))


@pytest.mark.parametrize("first", ["#!{python}", "#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''"])
def test_a_python_program_keeps_its_paths_and_its_interpreter(tmp_path, first):
    python = put(tmp_path / "venv/bin/python3", b"\x7fELF")
    script = put(tmp_path / "venv/bin/it", first.format(python=python).encode() + b"\nimport it\n")
    link = tmp_path / "it"
    link.symlink_to(script)
    environment = Shown(tmp_path / "venv", str(tmp_path / "venv"))
    asked = []
    housed = PythonScript().house("it", link, lambda interpreter: (asked.append(interpreter), (environment,))[1])
    assert asked == [python]
    assert housed.inside == housed.outside == (str(python), str(script))
    assert housed.shown == (environment,)


def test_a_script_that_is_not_in_its_interpreters_environment_could_not_be_seen_inside(tmp_path):
    stray = put(tmp_path / "it", f"#!{sys.executable}\n".encode())
    with pytest.raises(UnavailableError, match="not in the environment"):
        PythonScript().house("it", stray, shown)
    for wrong in (b"#!/bin/sh\n", b"#!python\n", b"", b"\x7fELF"):
        with pytest.raises(UnavailableError, match="no script of a Python environment"):
            PythonScript().house("it", put(stray, wrong), shown)
    with pytest.raises(UnavailableError, match="cannot be read"):
        PythonScript().house("it", tmp_path / "nowhere", shown)
