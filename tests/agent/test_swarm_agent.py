"""The platform's tools as a command: run as a program in a sandbox runs it, against the real server."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

import swarmworks
from swarmworks.agent import swarm_agent
from swarmworks.domain.question import QuestionState
from swarmworks.wire.config_file import load_config
from swarmworks.worker import handoff_file
from tests.api.agents import sites

PACKAGE = Path(swarmworks.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"


@asynccontextmanager
async def serving(app):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await running


@pytest.fixture
async def command(tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    async with sites(tmp_path, agents={"answer_wait_s": 0.0}) as (site,), serving(site.server) as url:

        async def run(*words, given="", token=None):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-E", "-B", str(PACKAGE / "agent" / "__main__.py"), "swarm-agent", *words),
                env={
                    "SWARM_GATEWAY_URL": url,
                    "SWARM_TOKEN": site.work.token if token is None else token,
                    "SWARM_HANDOFF_FILE": str(copy / handoff_file.HANDOFF_FILE),
                },
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(given.encode())
            return process.returncode, out.decode(), err.decode()

        run.site, run.copy = site, copy
        yield run


async def test_it_asks_and_tells_what_the_tools_do(command):
    assert (await command("task"))[1].startswith("# Task t0: Do t0")
    assert (await command("progress", "half", "way")) == (0, "noted\n", "")
    assert "No answer yet" in (await command("ask", "Blue", "or", "red?"))[1]
    (question,) = await command.site.questions()
    assert (question.text, question.state) == ("Blue or red?", QuestionState.OPEN)
    code, _, err = await command("request-scope", "--reason", "I like it", "swarm.toml")
    assert (code, "protected" in err) == (1, True)
    assert (await command("read"))[0] == 1
    assert (await command())[0] == 2
    assert [row.data["text"] for row in await command.site.events("session.progress")] == ["half way"]


async def test_a_handoff_is_accepted_by_the_platform_and_left_for_the_worker(command):
    code, _, err = await command("handoff", "--done", "x" * 3_000)
    assert (code, "at most 2000" in err) == (1, True)
    assert handoff_file.read(command.copy) is None
    code, out, _ = await command("handoff", "--done", "did it", "--changed", "a.py=new", "--note", "mind the gap")
    assert (code, out) == (0, "Handed in. The session ends now.\n")
    assert command.site.handed_in == [command.site.work.session_id]
    left = handoff_file.read(command.copy)
    assert (left.handoff.outcome, left.handoff.done, left.handoff.notes) == ("submitted", "did it", ("mind the gap",))
    assert left.handoff.changed[0].path == "a.py"
    whole = json.dumps({"outcome": "needs_answer", "done": "half", "question": "Blue?"})
    assert (await command("handoff", given=whole))[0] == 0
    assert handoff_file.read(command.copy).handoff.question == "Blue?"


async def test_without_a_session_or_with_anothers_token_it_says_so(command):
    assert (await command("task", token="swk_other"))[0] == 1
    code, _, err = await command("task", token="")
    assert (code, "no session" in err) == (2, True)


def test_its_documentation_names_commands_that_are_there():
    text = (DOCS / "agents-tools.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("swarm-agent ")]
    assert len(lines) == 4
    for line in lines:
        tool, _ = swarm_agent._asked(swarm_agent._parser().parse_args(shlex.split(line)[1:]))
        assert tool in {"task", "ask_person", "request_scope", "hand_in"}


@pytest.mark.parametrize("name", ["agents-tools.md", "reach.md"])
def test_the_configurations_in_the_documentation_are_accepted(name):
    blocks = re.findall(r"^```toml\n(.*?)^```", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    whole = '[project]\nname = "x"\n[gates.tests]\nrun = "true"\n' + "\n".join(blocks)
    config = load_config(whole, name="swarm.toml", environment={})
    assert config.mail.allow or config.databases


def test_what_lies_above_the_package_is_not_loaded(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "swarmworks")
    (tmp_path / "argparse.py").write_text("raise SystemExit('loaded')")
    entry = str(tmp_path / "swarmworks/agent/__main__.py")
    words = (sys.executable, "-S", "-E", "-B", entry, "swarm-agent", "task")
    done = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:44]) == (2, "swarm-agent: this is no session of an agent:")
