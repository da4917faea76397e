"""Machines that cannot give everything: what is lacking is said by doctor, run, record and report, a higher floor is refused, and
what is asked for lands all the same. Each is made of this one, for real processes of the `swarm` command.

SWARM_TEST_WEAK_MACHINES=1 builds a small specification with the rehearsal model on each, too: some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from swarmworks.cli import demo_project
from swarmworks.domain.isolation import FULL, LEVELS, Property, level_of, properties
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits, SandboxSpec
from tests.scenario.driver import MOST_S, SOURCE, CountedModel, Ended, Site, ended, twelve

pytestmark = pytest.mark.sandbox

WITHOUT = Path(__file__).parents[1] / "sandbox" / "without.py"
ZOO = Path(__file__).parents[1] / "chaos" / "zoo.yaml"
LEFT_WITHOUT_NAMESPACES = "none" if os.geteuid() == 0 else "contained"
"""Folders that only root may enter cannot be shown to another user without a mount namespace."""


class Machine:
    """`level` is what is left, `why` said of something that is lacking. Commands are run behind `words`."""

    def __init__(self, level: str, why: str, words: tuple[str, ...] = (), variables: dict[str, str] | None = None):
        self.level, self.why = level, why
        self.lacking = sorted(FULL - LEVELS[level])
        self._words, self._variables = words, variables or {}

    async def swarm(self, site: Site, *arguments: str, timeout_s: float = MOST_S) -> Ended:
        site.command = [*self._words, sys.executable, "-m", "swarmworks"]
        return ended(site.start(*arguments, environment=self._variables), timeout_s)


class Nested(Machine):
    """Inside a sandbox of ours: an ordinary user, and no new namespaces."""

    def __init__(self, state: Path):
        super().__init__("contained", "namespace")
        self._sandbox = BubblewrapSandbox(state)

    async def swarm(self, site: Site, *arguments: str, timeout_s: float = MOST_S) -> Ended:
        self._sandbox.own(site.root.parent)
        mounts = (Mount(SOURCE, str(SOURCE)), Mount(site.root.parent, str(site.root.parent), writable=True))
        passed_on = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT", "REQUESTS_CA")
        process = await self._sandbox.start(
            SandboxSpec(
                argv=(sys.executable, "-m", "swarmworks", *arguments),
                workdir=str(site.root),
                mounts=(*mounts, *python_mounts(Path(sys.executable))),
                environment={
                    **{name: value for name, value in os.environ.items() if name.upper().startswith(passed_on)},
                    "PYTHONPATH": str(SOURCE),
                    "OPENAI_API_KEY": "sk-not-a-secret",
                },
                network=Network.HOST,
                limits=ProcessLimits(processes=4096, open_files=4096),
            )
        )
        process.stdin.close()
        try:
            async with asyncio.timeout(timeout_s):
                out, err, code = await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())
        finally:
            process.kill()
            await process.wait()
        return Ended(code, out.decode(), err.decode())


def without(what: str) -> tuple[str, ...]:
    return sys.executable, str(WITHOUT), what, "--"


def without_bubblewrap(tmp_path: Path) -> Machine:
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name != "bwrap" and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    return Machine(LEFT_WITHOUT_NAMESPACES, "apt-get install bubblewrap", variables={"PATH": str(tools)})


MACHINES = {
    "no Landlock": lambda _: Machine("namespaces", "Landlock", without("landlock")),
    "no namespaces": lambda _: Machine(LEFT_WITHOUT_NAMESPACES, "namespace", without("namespaces")),
    "no bubblewrap": without_bubblewrap,
    "nested": lambda tmp_path: Nested(tmp_path / "outer"),
}


@pytest.fixture(params=MACHINES)
def machine(request, tmp_path) -> Machine:
    return MACHINES[request.param](tmp_path)


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, machine, model):
    (tmp_path / "place").mkdir()
    made = Site(tmp_path / "place" / "site", model.url, twelve(1), more=f'[sandbox]\nfloor = "{machine.level}"\n')
    yield made
    made.close()


async def test_what_is_lacking_is_said_everywhere_and_the_run_lands(machine, site):
    done = await machine.swarm(site, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert f"level {machine.level}" in checks["sandbox"]["found"], done
    lacking = [each for each in FULL if checks[f"sandbox {each}"]["finding"] != "ok"]
    assert sorted(lacking) == machine.lacking
    assert checks["bubblewrap"]["finding"] != "lacking", "what is left is all that is asked for"
    told = [checks[f"sandbox {each}"] for each in lacking]
    assert all(check["mend"] for check in told), told
    assert any(machine.why in f"{check['found']} {check['mend']}" for check in told), told

    done = await machine.swarm(site, "run", str(site.plan_file))
    assert done.code == 0, done
    assert f"lacks {', '.join(machine.lacking)}, and [sandbox] floor in swarm.toml allows that" in done.out

    report = await machine.swarm(site, "report", "--json")
    assert report.json["sandboxes"] == [{"level": machine.level, "lacking": machine.lacking, "sessions": 1}]
    (record,) = (await site.truth()).data("session.ended")
    assert level_of(properties(record["sandbox"])) == machine.level
    assert sorted(FULL - properties(record["sandbox"])) == machine.lacking

    floor = f'floor = "{machine.level}"'
    asking_for_more = (site.root / "swarm.toml").read_text().replace(floor, 'floor = "full"')
    (site.root / "swarm.toml").write_text(asking_for_more)
    refused = await machine.swarm(site, "run", str(site.plan_file), "--json", "--allow-dirty")
    assert refused.code == 4, refused
    assert f"lacks `{machine.lacking[0]}`, which the floor asks for" in refused.out + refused.err


@pytest.mark.skipif(not os.environ.get("SWARM_TEST_WEAK_MACHINES"), reason="SWARM_TEST_WEAK_MACHINES=1 runs this")
async def test_a_small_specification_is_built_there(machine, site):
    folder = site.root.parent / "zoo"
    demo_project.make(folder, data=ZOO.read_bytes(), floor=machine.level)
    site.root = folder
    done = await machine.swarm(site, "run", "plan.yaml", "--json", "--model", "rehearsal", timeout_s=3_000)
    assert (done.code, done.json["state"]) == (0, "landed"), done


def test_no_property_is_said_of_less_than_it_is():
    assert properties(["files", "a property of another version's"]) == {Property.FILES}
