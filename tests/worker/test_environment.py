from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swarmworks.base.errors import UnavailableError
from swarmworks.sandbox.none import NoSandbox
from swarmworks.sandbox.protocol import Network, ProcessLimits
from swarmworks.worker.environment import EnvironmentSpec, ensure_environment, environment_id, interpreter
from swarmworks.worker.registries import RegistryAccess, registry_access

PROGRAM = Path(sys.executable).resolve()
SECRET = "https://me:hunter2@index.example/simple"


class Watched(NoSandbox):
    """Keeps the specs it was started with."""

    def __init__(self, state_dir):
        super().__init__(state_dir)
        self.specs = []

    async def start(self, spec):
        self.specs.append(spec)
        return await super().start(spec)


@pytest.fixture
def sandbox(tmp_path):
    return Watched(tmp_path / "sandbox")


@pytest.fixture
def tree(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "requirements.txt").write_text("one==1\n")
    return tree


def spec(*setup, **values) -> EnvironmentSpec:
    made = EnvironmentSpec(setup, ("requirements.txt",), False, Path(sys.executable), sys.version)
    return replace(made, **values)


async def build(made, tree, tmp_path, sandbox, access=None):
    return await ensure_environment(made, tree, tmp_path / "state", sandbox, access=access or RegistryAccess())


async def test_commands_run_in_the_tree_in_order_and_make_the_environment(tree, tmp_path, sandbox):
    made = spec('mkdir "$SWARM_ENVIRONMENT/bin"', 'cp requirements.txt "$SWARM_ENVIRONMENT/bin/locked"')
    built = await build(made, tree, tmp_path, sandbox)
    assert (built.path / "bin/locked").read_text() == "one==1\n"
    assert built.path_entries[0] == str(built.path / "bin")
    assert any(mount.source == built.path and not mount.writable for mount in built.mounts)
    assert "$ mkdir" in (built.path.parent / "build.log").read_text()


async def test_an_environment_is_built_once_until_a_lock_file_changes(tree, tmp_path, sandbox):
    made = spec('touch "$SWARM_ENVIRONMENT/x"')
    first = await build(made, tree, tmp_path, sandbox)
    again = await build(made, tree, tmp_path, sandbox)
    assert (first.id, len(sandbox.specs)) == (again.id, 1)
    (tree / "requirements.txt").write_text("one==2\n")
    other = await build(made, tree, tmp_path, sandbox)
    assert (other.path != first.path, len(sandbox.specs)) == (True, 2)
    assert first.path.is_dir()


def test_everything_an_environment_depends_on_is_in_its_id(tree):
    base = spec("a")
    ids = {
        environment_id(made, tree)
        for made in (base, spec("b"), replace(base, python_version="4"), replace(base, registries=True))
    }
    (tree / "requirements.txt").unlink()
    ids.add(environment_id(base, tree))
    (tree / "requirements.txt").symlink_to("/etc/hostname")
    ids.add(environment_id(base, tree))
    assert len(ids) == 6


async def test_builds_of_one_environment_wait_for_each_other(tree, tmp_path, sandbox):
    made = spec('mkdir "$SWARM_ENVIRONMENT/only-once"')
    built = await asyncio.gather(*(build(made, tree, tmp_path, sandbox) for _ in range(4)))
    assert len({environment.path for environment in built}) == 1
    assert len(sandbox.specs) == 1


async def test_a_failure_shows_the_end_of_the_log_and_the_mend_and_is_not_kept(tree, tmp_path, sandbox):
    made = spec(
        'touch "$SWARM_ENVIRONMENT/half"', "echo cannot reach the index >&2; test -e /tmp/../%s" % (tmp_path / "up")
    )
    with pytest.raises(UnavailableError) as caught:
        await build(made, tree, tmp_path, sandbox)
    assert "cannot reach the index" in caught.value.what
    assert "registries = true" in caught.value.mend
    (tmp_path / "up").touch()
    built = await build(made, tree, tmp_path, sandbox)
    assert (built.path / "half").exists()


async def test_what_a_build_that_was_cut_off_left_is_not_used(tree, tmp_path, sandbox):
    made = spec('test ! -e "$SWARM_ENVIRONMENT/part"', 'touch "$SWARM_ENVIRONMENT/whole"')
    part = tmp_path / "state" / "environments" / environment_id(made, tree) / "env" / "part"
    part.parent.mkdir(parents=True)
    part.touch()
    assert [path.name for path in (await build(made, tree, tmp_path, sandbox)).path.iterdir()] == ["whole"]


async def test_a_build_that_takes_too_long_is_ended(tree, tmp_path, sandbox):
    with pytest.raises(UnavailableError, match="did not end within"):
        await build(spec("sleep 60", timeout_s=0.3), tree, tmp_path, sandbox)


async def test_a_build_that_is_ended_for_a_limit_says_which(tree, tmp_path, sandbox):
    with pytest.raises(UnavailableError, match="was ended: it printed more than 1000 bytes") as caught:
        await ensure_environment(
            spec("yes"),
            tree,
            tmp_path / "state",
            sandbox,
            access=RegistryAccess(),
            limits=ProcessLimits(output_bytes=1_000),
        )
    assert "do less" in caught.value.mend


async def test_without_set_up_there_is_only_the_interpreter(tree, tmp_path, sandbox):
    built = await build(spec(), tree, tmp_path, sandbox)
    assert (built.path, sandbox.specs) == (None, [])
    assert built.path_entries == (str(PROGRAM.parent),)
    assert built.variables == {"SWARM_PYTHON": str(PROGRAM)}


@pytest.mark.parametrize(("registries", "network"), [(False, Network.NONE), (True, Network.HOST)])
async def test_only_builds_that_may_reach_registries_get_the_network_and_its_settings(
    tree, tmp_path, sandbox, registries, network
):
    access = RegistryAccess({"PIP_INDEX_URL": SECRET})
    await build(spec("true", registries=registries), tree, tmp_path, sandbox, access)
    used = sandbox.specs[0]
    assert used.network is network
    assert ("PIP_INDEX_URL" in used.environment) is registries
    tree_mount = next(mount for mount in used.mounts if mount.source == tree)
    assert tree_mount.writable is False


def test_registry_settings_are_those_of_the_machine_and_never_printed(tmp_path):
    index = tmp_path / "mirror" / "simple"
    index.mkdir(parents=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    config = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"[global]\nfind-links = {wheels}\nextra-index-url = file://{index} https://else.example/simple\n"
    )
    environment = {
        "PIP_INDEX_URL": SECRET,
        "PIP_TARGET": "/x",
        "AWS_SECRET_ACCESS_KEY": "no",
        "HTTPS_PROXY": "http://p",
    }
    access = registry_access(environment, tmp_path / "home", tmp_path / "none")
    assert set(access.variables) == {"PIP_INDEX_URL", "HTTPS_PROXY", "PIP_CONFIG_FILE"}
    assert {mount.source for mount in access.mounts} == {config, wheels, index.parent}
    assert not any(mount.writable for mount in access.mounts)
    assert "hunter2" not in repr(access)


def test_the_program_behind_a_virtual_environment_is_offered_and_never_its_tools():
    assert interpreter(Path(sys.executable)) == Path(sys.executable).resolve()
    with pytest.raises(UnavailableError, match="no interpreter"):
        interpreter(Path("/no/such/python"))
