"""Mistakes are tidy: linter and type checker pass them, and the tests of the one endpoint they are in do not."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swarmworks.provider.rehearsal.mistakes import MISTAKES
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


def spread(root: Path) -> dict[str, tuple[object, str]]:
    """Each mistake in a file of its own, the one with the fewest places first."""
    texts = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.py"))}
    places = {
        mistake: {path: made for path, text in texts.items() if (made := mistake.made_in(path, text)) is not None}
        for mistake in MISTAKES
    }
    taken: dict[str, tuple[object, str]] = {}
    for mistake, found in sorted(places.items(), key=lambda item: len(item[1])):
        free = {path: text for path, text in found.items() if test_of(path) not in {test_of(one) for one in taken}}
        if free:
            path, text = next(iter(free.items()))
            taken[path] = (mistake, text)
    return taken


def test_no_mistake_is_seen_by_the_tools_and_each_is_by_its_tests(application, tmp_path):
    root = tmp_path / "wrong"
    shutil.copytree(application, root)
    made = spread(root)
    left_out = {mistake.what for mistake in MISTAKES} - {mistake.what for mistake, _ in made.values()}
    assert left_out <= {"the state it needs is not looked at"}  # nothing in the sample needs a state
    for path, (_, text) in made.items():
        (root / path).write_text(text)
    assert lint_problems(root) == ""
    if importlib.util.find_spec("mypy") is not None:
        checked = run(root, "mypy", "app", "tests")
        assert checked.returncode == 0, checked.stdout
    done = run(root, "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore:Using `httpx`")
    failing = set(re.findall(r"^(?:FAILED|ERROR) ([\w/.]+)::", done.stdout, re.MULTILINE))
    assert failing == {test_of(path) for path in made}, done.stdout[-3000:]
