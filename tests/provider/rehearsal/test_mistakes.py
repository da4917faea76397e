"""Mistakes are tidy: linter and type checker pass them, and the tests of the one endpoint they are in do not."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swarmworks.provider.rehearsal.mistakes import MISTAKES, Mistake
from tests.provider.rehearsal.application import build, lint_problems, run
from tests.provider.rehearsal.test_examples import plan_of

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.slow
STARTED = {
    "app/main.py": "tests/test_health.py",
    "app/middleware/rate_limit.py": "tests/requirements/test_rate_limit.py",
}


def test_of(path: str) -> str:
    if path.startswith("tests/"):
        return path
    return STARTED.get(path) or path.replace("app/api/", "tests/test_")


test_of.__test__ = False


@pytest.fixture(scope="module")
def application(model: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("application") / "task-management"
    build(model, plan_of("task-management"), root)
    return root


def rounds(root: Path) -> list[dict[str, tuple[Mistake, str]]]:
    """Every mistake in every place where it can be made, no two of a round in what the same test looks at."""
    found: list[dict[str, tuple[Mistake, str]]] = []
    asked: list[set[str]] = []
    texts = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.py"))}
    for mistake in MISTAKES:
        for path, text in texts.items():
            made = mistake.made_in(path, text)
            if made is None:
                continue
            test = test_of(path)
            free = next((number for number, tests in enumerate(asked) if test not in tests), len(found))
            if free == len(found):
                found.append({})
                asked.append(set())
            found[free][path] = (mistake, made)
            asked[free].add(test)
    return found


@pytest.mark.timeout(1800)
def test_no_mistake_is_seen_by_the_tools_and_each_is_by_its_tests(application, tmp_path):
    every = rounds(application)
    made = {mistake.what for wrong in every for mistake, _ in wrong.values()}
    assert {mistake.what for mistake in MISTAKES} - made <= {"the state it needs is not looked at"}
    for number, wrong in enumerate(every):
        root = tmp_path / f"wrong-{number}"
        shutil.copytree(application, root)
        for path, (_, text) in wrong.items():
            (root / path).write_text(text)
        assert lint_problems(root) == ""
        if importlib.util.find_spec("mypy") is not None:
            checked = run(root, "mypy", "app", "tests")
            assert checked.returncode == 0, checked.stdout
        done = run(root, "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore:Using `httpx`")
        failing = set(re.findall(r"^(?:FAILED|ERROR) ([\w/.]+)::", done.stdout, re.MULTILINE))
        unseen = [(path, mistake.what) for path, (mistake, _) in wrong.items() if test_of(path) not in failing]
        assert not unseen, done.stdout[-3000:]
        assert failing == {test_of(path) for path in wrong}, done.stdout[-3000:]
