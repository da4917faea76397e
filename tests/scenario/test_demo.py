"""`swarm demo`, as it is: twelve agents, the rehearsal model, every gate; then the application is used as a user would."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.registries import needs_registries
from tests.stores import store_environment

SWARM = Path(sys.executable).with_name("swarm")
pytestmark = [pytest.mark.slow, pytest.mark.sandbox, needs_registries, pytest.mark.timeout(1800)]


def swarm(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **store_environment(folder / ".swarm" / "state.db")}
    return subprocess.run(
        [SWARM, *arguments], env=environment, capture_output=True, text=True, timeout=1700, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    done = swarm(folder, "demo", "--dir", folder)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return folder, done.stdout


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def environment(folder: Path) -> Path:
    (found,) = (folder / ".swarm" / "environments").glob("*/env")
    return found


def test_it_says_that_it_is_a_rehearsal_and_what_to_try_next(demo):
    _, output = demo
    assert "No model is asked, no money is spent" in output
    assert "The rehearsal model errs on purpose" in output
    assert re.search(r"The rehearsal model erred \d+ times, on purpose:", output)
    assert "not caught" not in output
    assert "uvicorn --factory app.main:create_app" in output
    assert "curl" in output


def test_the_report_is_measured(demo):
    folder, _ = demo
    done = swarm(folder, "report", "--json", "-C", folder)
    report = json.loads(done.stdout)
    assert report["state"] == "landed"
    assert report["coverage_percent"] >= 80
    assert report["tests"] > 100
    assert report["tests_failed"] == 0
    assert report["chain_intact"]
    assert report["code"]["files"] > 50
    assert report["spent_nano_usd"] == 0
    assert {task["state"] for task in report["tasks"]} <= {"landed", "nothing_to_do", "superseded"}
    assert len({task["commit"] for task in report["tasks"] if task["commit"]}) == sum(
        task["state"] == "landed" for task in report["tasks"]
    )


def test_one_first_parent_commit_per_task_by_its_agent_with_trailers(demo):
    folder, _ = demo
    tasks = set()
    rows = git(folder, "log", "--first-parent", "--format=%an%x00%ae%x00%P%x00%B%x01").split("\x01")
    for row in [row.strip("\n") for row in rows if "Swarm-Task" in row]:
        name, email, parents, body = row.split("\0")
        trailers = dict(re.findall(r"^(Swarm-\w+): (.*)$", body, re.MULTILINE))
        assert set(trailers) >= {"Swarm-Task", "Swarm-Session", "Swarm-Model", "Swarm-Plan", "Swarm-Agent"}
        assert name == trailers["Swarm-Agent"]
        assert email.endswith("@agents.swarmworks.invalid")
        assert len(parents.split()) == 1
        assert trailers["Swarm-Task"] not in tasks
        tasks.add(trailers["Swarm-Task"])
    assert len(tasks) > 40
    assert len(git(folder, "log", "--format=%H").split()) == len(tasks) + 1


def test_commits_pass_the_gates_when_checked_out(demo, tmp_path):
    folder, _ = demo
    programs = environment(folder) / "bin"
    commits = git(folder, "log", "--first-parent", "--format=%H").split()[:-1]
    for commit in (commits[-1], commits[len(commits) // 2], commits[0]):
        place = tmp_path / commit
        git(folder, "worktree", "add", "-q", "--detach", str(place), commit)
        for command in (["ruff", "check", "."], ["mypy", "."], ["python", "-m", "pytest", "-q"]):
            done = subprocess.run(
                [programs / command[0], *command[1:]], cwd=place, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{commit} {command}: {done.stdout[-1500:]}"
        git(folder, "worktree", "remove", "--force", str(place))


def test_the_application_answers_and_keeps_its_promises(demo, tmp_path):
    folder, _ = demo
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "uvicorn", "--factory", "app.main:create_app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(
        [environment(folder) / "bin" / "python", *command],
        cwd=folder,
        env={"DATABASE_PATH": str(tmp_path / "app.db"), "PATH": "/usr/bin:/bin"},
    )
    try:
        use_the_application(f"http://127.0.0.1:{port}", tmp_path / "app.db")
    finally:
        server.terminate()
        server.wait(20)


def call(method: str, url: str, body: dict | None = None, token: str | None = None) -> tuple[int, dict]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if call("GET", f"{url}/health")[0] == 200:
                return
        except OSError:
            assert time.monotonic() < deadline, "the application did not start"


def use_the_application(url: str, database: Path) -> None:
    wait_until_it_answers(url)
    ada = {"email": "ada@example.org", "name": "Ada", "password": "lovelace-1843"}
    assert call("POST", f"{url}/users", ada)[0] == 201
    assert call("POST", f"{url}/users", ada)[0] == 409
    assert call("POST", f"{url}/users", {**ada, "email": "nonsense"})[0] == 422
    assert call("GET", f"{url}/projects")[0] == 401
    assert call("POST", f"{url}/auth/login", {"email": ada["email"], "password": "wrong-wrong"})[0] == 401
    status, answer = call("POST", f"{url}/auth/login", {"email": ada["email"], "password": ada["password"]})
    assert status == 200
    token = answer["access_token"]
    assert b"lovelace-1843" not in database.read_bytes()
    assert b"scrypt" in database.read_bytes()
    status, project = call("POST", f"{url}/projects", {"name": "Engine", "owner_id": 1}, token)
    assert status == 201
    assert call("GET", f"{url}/projects/{project['id']}", token=token)[1]["name"] == "Engine"
    assert call("GET", f"{url}/projects/999", token=token)[0] == 404
    answers = [call("GET", f"{url}/projects", token=token)[0] for _ in range(150)]
    assert answers.count(429) > 0
    assert answers[0] == 200
    assert call("GET", f"{url}/health")[0] == 200
