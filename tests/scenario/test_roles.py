"""What a session of each role can do, tried by a program in the sandbox that a worker makes for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.domain.isolation import FULL, Property, properties
from swarmworks.git.clones import SharedClones
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import DEFAULT_UID
from swarmworks.sandbox.protocol import Mount
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.api import PlaneAddress
from swarmworks.wire.config_roles import DEFAULT_ROLES
from swarmworks.worker.context import Places, WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.session import SessionRun
from tests.agent.test_swarm_agent import serving
from tests.api.agents import sites
from tests.scenario.harness import configuration, task
from tests.scenario.test_program_without_mcp import Shell

pytestmark = [pytest.mark.sandbox]

TRYING = """
can=""
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then can="$can $name"; fi; }
try read cat README.md
try log git log
try awk awk 'BEGIN { exit 0 }'
try write sh -c 'echo work > OWNED'
try commit sh -c 'git add -A && git commit -qm work'
try own sh -c 'trap "rm -f own" EXIT; printf "#!/bin/sh\\n" > own; chmod +x own; ./own'
try python python3 -c 'pass'
try make make --version
try perl perl -e 1
try touch touch made
try instructions sh -c 'echo broken > AGENTS.md'
try config git config user.name somebody
try hook sh -c 'echo broken > .git/hooks/pre-commit'
try host bash -c ': < /dev/tcp/127.0.0.1/PORT'
try secret cat OUTSIDE
try environment cat /environment/tool
swarm-agent handoff --outcome nothing_to_do --done "can:$can"
"""
EVERYBODY = {"read", "log", "awk"}
WRITERS = {"write", "commit", "own", "touch"}
BUILDERS = {"environment"} | {
    name for name, program in (("python", "python3"), ("make", "make")) if shutil.which(program, path="/usr/bin:/bin")
}
CAN = {
    "architect": EVERYBODY | WRITERS | BUILDERS,
    "implementer": EVERYBODY | WRITERS | BUILDERS,
    "tester": EVERYBODY | WRITERS | BUILDERS,
    "reviewer": EVERYBODY,
    "documenter": EVERYBODY | WRITERS,
    "mechanic": EVERYBODY | WRITERS | BUILDERS,
}


async def played(tmp_path, script, *tasks, **more):
    """The result of a session of each task, all at once, whose program is the shell with `script`."""
    sandbox = best_sandbox(tmp_path)
    if not sandbox.probe().properties >= FULL:
        pytest.skip(f"NO ROLES TESTED HERE: {sandbox.probe().missing}")
    config = configuration(**more)
    installed = tmp_path / "installed"
    installed.mkdir(mode=0o755)
    (installed / "tool").write_text("of the project\n")
    environment = BuiltEnvironment("built", installed, (Mount(installed, "/environment"),), ())

    async def configured(_swarm_id):
        return config

    async def play(site):
        base = await asyncio.to_thread(site.worker.commit, site.work, {"AGENTS.md": "kept\n"})
        work = site.work.model_copy(update={"runtime": "shell", "base": base})
        mine = Shell(script.replace("OWNED", work.task.owns[0]))
        context = WorkerContext(
            SimpleNamespace(url=url, config=configured, learn=lambda _urls: None),  # type: ignore[arg-type]
            site.plane.hub,
            SharedClones(site.plane.hub.path, tmp_path / "copies", DEFAULT_UID if os.getuid() == 0 else None),
            sandbox,
            Places(
                environments=tmp_path / "environments",
                caches=tmp_path / "caches",
                scratch=tmp_path / "scratch",
                package=Path(swarmworks.__file__).parent,
                interpreter=Path(sys.executable),
            ),
            SystemClock(),
            runtimes={"shell": mine},  # type: ignore[dict-item]
        )
        context.gateways.learn([PlaneAddress(api_url=url, gateway_url=url)])
        run = SessionRun(context, work, environment, Prompt("system", "prompt", ""))
        reporter = SimpleNamespace(add=lambda _event: None)
        return await run.result(reporter)  # type: ignore[arg-type]

    async with sites(tmp_path, *tasks, **more) as found, serving(found[0].server) as url:
        results = await asyncio.gather(*(play(site) for site in found))
        return {site.work.task.id: result for site, result in zip(found, results, strict=True)}


def done(result) -> str:
    assert result.handoff is not None, result
    return handoff_wire.parse(result.handoff).done


@pytest.mark.parametrize("roles", [list(DEFAULT_ROLES)[:3], list(DEFAULT_ROLES)[3:]], ids=",".join)
async def test_each_role_can_do_what_it_is_for_and_nothing_else(tmp_path, roles):
    secret = tmp_path / "secret"
    secret.write_text("private")
    secret.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = TRYING.replace("PORT", str(server.getsockname()[1])).replace("OUTSIDE", str(secret))
        results = await played(tmp_path, script, *(task(role, role=role) for role in roles))
    assert {role: set(done(result).split()[1:]) for role, result in results.items()} == {
        role: CAN[role] for role in roles
    }
    for role, result in results.items():
        assert properties(result.properties) == FULL, role
        assert ("write" in CAN[role]) == (f"{role}.txt" in result.changed)
        assert not {"AGENTS.md", ".git/config"} & set(result.changed)


async def test_a_role_the_file_gives_nothing_sees_no_repository_and_hands_in_all_the_same(tmp_path):
    script = 'ls -A . /work > seen 2>&1; swarm-agent handoff --outcome nothing_to_do --done "$(echo $(cat seen))"'
    role = {"files": "none", "run": ["ls", "cat"]}
    results = await played(tmp_path, script, task("auditor", role="auditor"), roles={"auditor": role})
    of_the_command = {path.parts[2] for path in (Path(sys.prefix), Path(sys.base_prefix)) if path.parts[1] == "work"}
    here, there = done(results["auditor"]).removeprefix(".: ").split(" /work: ")
    assert (here, set(there.split()) - of_the_command) == ("seen", {"home"})


async def test_a_task_that_owns_instructions_by_name_writes_them(tmp_path):
    script = "echo new > AGENTS.md; swarm-agent handoff --done wrote --changed AGENTS.md=new"
    results = await played(tmp_path, script, task("t0", owns=("AGENTS.md",)))
    assert results["t0"].changed == ("AGENTS.md",)


async def test_at_the_floor_strict_nothing_runs_that_an_agent_wrote(tmp_path):
    sandbox = {"floor": "strict"}
    results = await played(
        tmp_path, TRYING.replace("PORT", "1"), task("implementer", role="implementer"), sandbox=sandbox
    )
    assert set(done(results["implementer"]).split()[1:]) == CAN["implementer"] - {"own"}
    assert properties(results["implementer"].properties) == frozenset(Property)
