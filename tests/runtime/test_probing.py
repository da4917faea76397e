"""What `swarm doctor` asks of a program: its version, and whether it still has the flags that it is started with."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from swarmworks.runtime.housing import Housed
from swarmworks.runtime.sheet import Package, SheetRuntime
from swarmworks.wiring.runtimes import SHEETS, probed

ROOT = Path(__file__).resolve().parents[2]


class AsItIs:
    def house(self, name, program, python):
        del name, python
        return Housed((str(program),), (str(program),), ())


def program(folder, version, helped):
    found = folder / "codex"
    found.write_text(
        f'#!/bin/sh\ncase "$*" in --version) echo "{version}";; "exec --help") {helped};; *) exit 3;; esac\n'
    )
    found.chmod(0o755)
    return found


def codex(found):
    return SheetRuntime(dataclasses.replace(SHEETS["codex"], housing=AsItIs()), found)


KNOWN = "--json --ephemeral --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox"


def test_its_version_is_told_without_the_words_around_it(tmp_path):
    found = codex(program(tmp_path, "codex-cli 0.171.0 (build 7)", "exit 0")).probe()
    assert (found.version, found.tested, found.lacking) == ("0.171.0", SHEETS["codex"].package.version, "")


@pytest.mark.parametrize("where", ["", ">&2"])
def test_flags_that_its_help_does_not_name_any_more_are_lost(tmp_path, where):
    assert codex(program(tmp_path, "1.0", f"echo '{KNOWN}' {where}")).lost_flags() == ()
    fewer = KNOWN.replace("--ephemeral", "--ephemerals")
    assert codex(program(tmp_path, "1.0", f"echo '{fewer}' {where}")).lost_flags() == ("--ephemeral",)


def test_what_it_cannot_run_is_lacking_with_the_commands_that_mend_it(tmp_path):
    found = codex(program(tmp_path, "1.0", "exit 0"))
    broken = SheetRuntime(dataclasses.replace(SHEETS["pi"], housing=AsItIs()), tmp_path / "codex")
    assert found.probe().lacking == ""
    (tmp_path / "codex").write_text("#!/bin/sh\necho 'wrong node' >&2\nexit 4\n")
    told = broken.probe()
    assert told.lacking == "it cannot be run: exit status 4: wrong node"
    assert "npm install -g @mariozechner/pi-coding-agent@0.73.1" in told.mend


def test_a_python_programs_version_is_asked_of_its_environment():
    sheet = dataclasses.replace(SHEETS["mini"], housing=AsItIs(), package=Package("pip", "pytest", pytest.__version__))
    assert SheetRuntime(sheet, Path(sys.executable)).probe().version == pytest.__version__


def test_every_program_has_a_mend_that_installs_the_version_it_was_tested_with(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    page = (ROOT / "docs" / "runtimes.md").read_text()
    for name, found in probed(None).items():
        package = SHEETS[name].package
        assert found.lacking, name
        assert f"{package.name}{'@' if package.manager == 'npm' else '=='}{package.version}" in found.mend
        assert f"| {package.version} |" in next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
