"""The page "your repository" is followed step by step, with a model on loopback where it names a vendor's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import PRICES, SOURCE
from tests.scenario.harness import git, repository
from tests.scenario.scripted_worker import ScriptedWorker, Step

CALC = "def add(a: float, b: float) -> float:\n    return a + b\n"
TEST = """\
import unittest

from calc import {name}


class {title}Test(unittest.TestCase):
    def test_it(self) -> None:
        self.assertEqual({name}({given}), {wanted})
"""
PLAN = """\
format: 1
id: {name}
name: A {name}
tasks:
  - id: {name}
    kind: implement_feature
    title: Add {name}
    role: api
    owns: [calc.py, tests/test_{name}.py]
    instructions: Add `{name}(numbers)` to `calc.py`, and test it in `tests/test_{name}.py`.
    output: "`calc.{name}` and its test."
    contracts: ["`calc.{name}(numbers: list[float]) -> float`"]
    acceptance:
      - {{statement: "{name}([1, 3]) is 2", gate: tests}}
    gates: [scope, secrets, syntax, tests]
"""
SUBMITTED: Step = ("hand_in", {"outcome": "submitted", "done": "did it"})


def script(task: str, _attempt: int, prompt: str) -> list[Step]:
    if task == "plan":
        name = "median" if "median" in prompt else "mean"
        return [("write_file", {"path": "plan.yaml", "content": PLAN.format(name=name)}), SUBMITTED]
    code = f"{CALC}\n\ndef mean(numbers: list[float]) -> float:\n    return sum(numbers) / len(numbers)\n"
    test = TEST.format(name="mean", title="Mean", given="[1, 3]", wanted=2)
    return [
        ("write_file", {"path": "calc.py", "content": code}),
        ("write_file", {"path": "tests/test_mean.py", "content": test}),
        SUBMITTED,
    ]


@pytest.mark.sandbox
@pytest.mark.slow
def test_the_page_is_followed_to_a_delivered_change(tmp_path):
    first = TEST.format(name="add", title="Add", given="1, 2", wanted=3)
    root = tmp_path / "calc"
    repository(root, {"calc.py": CALC, "tests/test_add.py": first, "tests/__init__.py": ""})
    page = "\n".join(blocks((ROOT / "docs" / "your-repository.md").read_text()))
    model = ScriptedWorker(script)
    try:
        local = f'kind = "openai"\nbase_url = "{model.url}"'
        prices = PRICES.replace("local:writer", "openai:gpt-5")
        page = page.replace('kind = "openai"', local).replace("\nTOML\n", f"{prices}\nTOML\n")
        page = page.replace("--budget 5", '--budget 5 --approve "the page says so"')
        page = page.replace("swarm deliver", 'swarm deliver --approve "the page says so"')
        done = follow(page, root)
    finally:
        model.close()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Every gate is green on your last commit." in done.stdout
    assert "suitability" in done.stdout
    assert "def mean(" in (root / "calc.py").read_text()
    assert git(root, "status", "--porcelain") == ""
    assert (tmp_path / "median.yaml").is_file()


def follow(page: str, root: Path) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "a@example.invalid" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {
        **os.environ,
        **who,
        "PYTHONPATH": str(SOURCE),
        "PATH": programs,
        "HOME": str(root.parent),
        "OPENAI_API_KEY": "sk-none",
    }
    return subprocess.run(
        ["bash", "-ec", page],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
