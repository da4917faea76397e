"""Real agents' programs that do what a model orders: every attack of the sandbox's list. Seen from outside, nothing came of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from swarmworks.domain.isolation import FULL, properties
from tests.agent.scripted_model import ScriptedModel
from tests.runtime.agents import program
from tests.runtime.drives import DRIVES
from tests.sandbox import attacks
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

FORBIDDEN = "/usr/bin/mkfifo"  # makes what it is told to, and is in no list of programs
TRIED = tuple(attack for attack in attacks.ATTACKS if attacks.is_stopped(attack.title, "full"))
SCRIPT = "attack.txt"  # of source code a person would be asked
TRIED_ALL = "all of them were tried"
AT_THE_END = f"""
for name in ("way", "out", "hard", "n", "m", "copied", "led"):
    if os.path.lexists(name): os.unlink(name)
open("t0.txt", "w").write("its own work")
print({TRIED_ALL!r})
"""
ORDER = f"python3 {SCRIPT} > /tmp/said 2>&1"
LOOK = "sleep 2; cat /tmp/said"


@pytest.fixture(params=[name for name in ("claude", "codex", "opencode") if name in DRIVES])
def drive(request):
    return DRIVES[request.param]


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    (place / ".ssh").mkdir(parents=True)
    (place / ".ssh" / "id_rsa").write_text(attacks.SECRET)
    for path in (place, place / ".ssh"):
        path.chmod(0o777)
    (place / ".ssh" / "id_rsa").chmod(0o666)
    return place


class Host:
    """What the attacks are after: ports, sockets and a process."""

    def __init__(self, outside: Path, stack: ExitStack) -> None:
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.other = stack.enter_context(socket.create_server(("127.0.0.2", self.tcp.getsockname()[1])))
        self.abstract = f"swarmworks-{uuid4()}"
        self.unix = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        self.udp = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for listening, address in zip(self.unix, (f"\0{self.abstract}", str(outside / "docker.sock")), strict=True):
            listening.bind(address)
            listening.listen()
        (outside / "docker.sock").chmod(0o777)
        for receiving in self.udp:
            receiving.bind(("127.0.0.1", 0))
        self.victim = stack.enter_context(subprocess.Popen(["/bin/sleep", "600"], env={"TOKEN": attacks.SECRET}))
        stack.callback(self.victim.kill)
        for each in (self.tcp, self.other, *self.unix, *self.udp):
            each.setblocking(False)

    def facts(self, outside: Path) -> dict[str, object]:
        udp, dns = (receiving.getsockname()[1] for receiving in self.udp)
        return {
            "OUTSIDE": str(outside),
            "SECRET": attacks.SECRET[::-1],  # what it looks for must not be where it looks
            "FORBIDDEN": FORBIDDEN,
            "LOADER": attacks.LOADER,
            "VICTIM": self.victim.pid,
            "TCP": self.tcp.getsockname()[1],
            "UDP": udp,
            "DNS": dns,
            "ABSTRACT": self.abstract,
        }

    def reached(self) -> list[str]:
        found = [str(each.getsockname()) for each in (self.tcp, self.other, *self.unix) if _came(each.accept)]
        return found + [str(each.getsockname()) for each in self.udp if _came(lambda one=each: one.recv(64))]


def _came(look) -> bool:
    try:
        look()
    except BlockingIOError:
        return False
    return True


def prepare(site: Site, script: str) -> None:
    root = site.root
    (root / ".github").mkdir()
    for name in ("AGENTS.md", ".mcp.json", ".github/ci.yml"):
        (root / name).write_text("kept\n")
    shutil.copyfile(FORBIDDEN, root / "given")
    (root / SCRIPT).write_text(script.replace("SECRET in", "SECRET[::-1] in") + AT_THE_END)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "what it is given")


@pytest.mark.skipif(not Path(FORBIDDEN).exists() or not shutil.which("python3", path="/usr/bin"), reason="needs both")
async def test_an_agent_that_is_ordered_to_attack_gets_nowhere(tmp_path, drive, outside):
    found = program(drive.name)

    def answer(recorded):
        """Some programs answer before a command has ended."""
        if drive.turns(recorded) == 0:
            return drive.run(ORDER)
        return drive.hand_in("t0") if TRIED_ALL in json.dumps(recorded.body) else drive.run(LOOK)

    with ExitStack() as stack:
        host = Host(outside, stack)
        with ScriptedModel(answer) as model:
            site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
            drive.configure(site, found, "[limits]\nattempts = 1\n")
            prepare(site, attacks.batch(TRIED, host.facts(outside)))
            try:
                done = ended(site.start_run("--allow-dirty"))
            finally:
                site.close()
        assert host.victim.poll() is None
        assert host.reached() == []
    assert (done.code, done.json.get("state")) == (0, "landed"), done
    heard = "\n".join(json.dumps(recorded.body) for recorded in model.requests)
    assert TRIED_ALL in heard
    told = [key for key in (attack.key for attack in TRIED) if f"got {key}" in heard]
    assert told == []
    assert attacks.SECRET not in heard
    assert sorted(os.listdir(outside)) == [".ssh", "docker.sock"]  # noqa: PTH208 -- names only
    assert (outside / ".ssh" / "id_rsa").read_text() == attacks.SECRET
    truth = await site.truth()
    (record,) = truth.data("session.ended")
    assert record["changed"] == ["t0.txt"], "no proof of any attack, and nothing protected"
    assert properties(record["sandbox"]) >= FULL
