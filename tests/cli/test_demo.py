from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from swarmworks.cli import demo_project
from swarmworks.git.hub import BareHub
from swarmworks.wire.config_file import load_config
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane

EXAMPLE = Path(__file__).parents[2] / "examples" / "task-management" / "spec.yaml"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class DemoLauncher(FakeLauncher):
    """Its swarm "builds" one commit on the branch in the hub before it lands."""

    def project(self, path: Path):
        self.root = path.resolve()
        self.config = (path / "swarm.toml").read_text()
        load_config(self.config, name="swarm.toml", environment={})
        return super().project(path)

    def base_commit(self, project, *, allow_dirty: bool) -> str:
        assert git(project.root, "status", "--porcelain") == ""
        base = git(project.root, "rev-parse", "HEAD")
        hub = BareHub.open_or_create(project.state / "hub.git")
        (project.state / ".gitignore").write_text("*\n")
        hub.import_commit(project.root, base)
        built = git(project.root, "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "built")
        hub.import_commit(project.root, built)
        hub.update_ref(f"refs/heads/{sample.BRANCH}", built, None)
        home = project.state / "environments" / "abc"
        (home / "env" / "bin").mkdir(parents=True)
        (home / "complete").touch()
        return base


@pytest.fixture
def launcher(tmp_path: Path) -> DemoLauncher:
    return DemoLauncher(tmp_path, FakePlane([sample.status(), sample.status("landed")]))


def test_the_demo_ends_with_the_application_in_the_folder(tmp_path, swarm: Swarm, launcher):
    ran = swarm(launcher, "demo", "--faults", "none")
    assert ran.err == ""
    assert ran.code == 0
    assert "on purpose" not in ran.out
    assert "Task Management: 55 tasks for 12 agents, in demo" in ran.out
    assert "No model is asked, no money is spent." in ran.out
    assert "(cd demo && .swarm/environments/abc/env/bin/python -m uvicorn --factory app.main:create_app" in ran.out
    assert git(tmp_path / "demo", "log", "-1", "--format=%s") == "built"
    assert git(tmp_path / "demo", "status", "--porcelain") == ""
    assert (tmp_path / "demo" / "spec.yaml").read_bytes() == EXAMPLE.read_bytes()
    [body] = launcher.plane.bodies("/swarms")
    assert (body["model"], body["agents"]) == ("rehearsal:rehearsal", 12)


def test_a_model_that_errs_on_purpose_is_said_to_and_its_faults_are_counted_at_the_end(tmp_path, swarm, launcher):
    ran = swarm(launcher, "demo", "--faults", "many", "--seed", 7)
    assert ran.code == 0
    assert "The rehearsal model errs on purpose (--faults many --seed 7)" in ran.out
    assert "demo/.swarm/logs/rehearsal-faults.jsonl" in ran.out
    assert "made no fault this time" in ran.out
    [body] = launcher.plane.bodies("/swarms")
    assert body["model"] == "rehearsal:faults-many-7"
    sharing = [task for task in body["plan"]["tasks"] if "docs/endpoints.md" in task["owns"]]
    assert {task["kind"] for task in sharing} == {"implement_endpoint"}
    described = (tmp_path / "demo" / "docs" / "endpoints.md").read_text()
    assert all(f"## {task['id']}\n" in described for task in sharing)
    assert body["config"]["files"]["exclusive"] is False


def test_an_earlier_demo_is_replaced_and_nothing_else_is(tmp_path, swarm: Swarm, launcher):
    swarm(launcher, "demo", "--agents", 3)
    (tmp_path / "demo" / "left-over").touch()
    launcher.plane = FakePlane([sample.status("landed")])
    kept = swarm(launcher, "demo", "--keep")
    assert (kept.code, "--keep keeps it" in kept.err) == (2, True)
    assert (tmp_path / "demo" / "left-over").exists()
    assert swarm(launcher, "demo").code == 0
    assert not (tmp_path / "demo" / "left-over").exists()

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    ran = swarm(launcher, "demo", "--dir", mine)
    assert ran.code == 2
    assert "no earlier demo" in ran.err
    assert (mine / "thesis.txt").exists()


def test_a_link_to_a_demo_is_not_followed(tmp_path, swarm: Swarm, launcher):
    swarm(launcher, "demo")
    (tmp_path / "link").symlink_to(tmp_path / "demo")
    assert swarm(launcher, "demo", "--dir", "link").code == 2
    assert (tmp_path / "demo" / "spec.yaml").exists()


def test_a_demo_that_is_running_is_left_alone(tmp_path, swarm: Swarm, launcher):
    swarm(launcher, "demo")
    launcher.running = True
    ran = swarm(launcher, "demo")
    assert ran.code == 2
    assert "a demo is running there" in ran.err


def test_a_demo_that_did_not_land_says_how_to_go_on(tmp_path, swarm: Swarm, launcher):
    launcher.plane = FakePlane([sample.status("blocked", blocked=(sample.blocked(),))])
    ran = swarm(launcher, "demo")
    assert ran.code == 1
    assert f"swarm resume -C demo {sample.SWARM} --retry-blocked" in ran.out


def test_the_sample_is_the_example_of_the_repository():
    assert demo_project.sample_specification() == EXAMPLE.read_bytes()
