"""Whole plans of the example specifications, task by task through the model, then judged from outside."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swarmworks.domain.plan import Source
from swarmworks.policy.planning.decompose import decompose
from swarmworks.wire.spec import parse_specification
from tests.provider.rehearsal.application import build, lint_problems, openapi_paths, run, run_tests, served

if TYPE_CHECKING:
    import httpx

EXAMPLES = Path(__file__).parents[3] / "examples"


def plan_of(name: str):
    path = EXAMPLES / name / "spec.yaml"
    return decompose(parse_specification(str(path), path.read_bytes()), Source("resources", str(path), "0" * 64))


@pytest.fixture(scope="module")
def applications(model: httpx.Client, tmp_path_factory: pytest.TempPathFactory):
    """Built once each, when first asked for."""
    built: dict[str, Path] = {}

    def application(name: str) -> Path:
        if name not in built:
            root = tmp_path_factory.mktemp("applications") / name
            build(model, plan_of(name), root)
            assert lint_problems(root) == ""
            built[name] = root
        return built[name]

    return application


@pytest.mark.parametrize("name", ["school", pytest.param("library", marks=pytest.mark.slow)])
def test_application_passes_its_own_tests(applications, name):
    tested = run_tests(applications(name))
    assert tested.returncode == 0, tested.stdout[-3000:]


@pytest.mark.slow
def test_task_management_passes_its_own_tests(applications):
    tested = run_tests(applications("task-management"))
    assert tested.returncode == 0, tested.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("coverage") is None, reason="coverage is not installed: NOT MEASURED")
@pytest.mark.parametrize("name", ["school", "library", "task-management"])
def test_own_tests_cover_four_fifths(applications, name):
    root = applications(name)
    run(root, "coverage", "run", "--source=app", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert float(run(root, "coverage", "report", "--format=total").stdout) >= 80


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed: TYPES NOT CHECKED")
@pytest.mark.parametrize("name", ["school", "library", "task-management"])
def test_types_hold(applications, name):
    checked = run(applications(name), "mypy", "app", "tests")
    assert checked.returncode == 0, checked.stdout


def test_authentication_validation_and_rate_limit_hold_from_outside(applications):
    plan = plan_of("task-management")
    with served(applications("task-management")) as client:
        assert ("POST", "/tasks/{id}/complete") in openapi_paths(client)
        person = {"email": "eve@example.org", "name": "Eve", "password": "correct horse 1"}
        made = client.post("/users", json=person)
        assert made.status_code == 201
        assert "password" not in made.text
        assert client.post("/users", json=person).status_code == 409
        assert client.post("/users", json={**person, "email": "no"}).status_code == 422
        assert client.get("/projects").status_code == 401
        wrong = client.post("/auth/login", json={"email": person["email"], "password": "wrong horse 1"})
        assert wrong.status_code == 401
        token = client.post("/auth/login", json={k: person[k] for k in ("email", "password")}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        project = {"name": "Barn", "owner_id": made.json()["id"]}
        project_id = client.post("/projects", json=project).json()["id"]
        task = {"title": "Roof", "project_id": project_id, "start_date": "2030-05-02"}
        task_id = client.post("/tasks", json=task).json()["id"]
        assert client.patch(f"/tasks/{task_id}", json={"due_date": "2030-05-01"}).status_code == 422
        assert client.post(f"/tasks/{task_id}/complete").json()["status"] == "done"
        assert [t["id"] for t in client.get(f"/projects/{project_id}/tasks").json()] == [task_id]
        assert client.post("/tasks", json={**task, "project_id": 10**30}).status_code == 422
        assert client.delete(f"/projects/{project_id}").status_code == 204
        assert client.get(f"/tasks/{task_id}").status_code == 404
        statuses = [client.get("/projects").status_code for _ in range(101)]
        assert 429 in statuses
        assert statuses[0] == 200
        assert client.get("/health").status_code == 200
    assert any(task.id == "rate-limit" for task in plan.tasks)
