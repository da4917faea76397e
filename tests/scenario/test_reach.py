"""Whole runs in which an agent tries its way out, and reads a database: what it meets, and what is on record."""

from __future__ import annotations

import psycopg
import pytest

from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.postgres import a_database, needs_postgres, program
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]

ASK = (
    "import os, socket; proxy = socket.create_connection(('127.0.0.1', 8181));"
    "proxy.sendall(b'CONNECT {host}:{port} HTTP/1.1\\r\\n\\r\\n'); print(proxy.recv(300).decode(), os.environ.get('HTTPS_PROXY'))"
)
RESOLVE = "import socket\ntry: print(socket.getaddrinfo('localhost.localdomain.invalid', 80))\nexcept OSError: print('no DNS')"


class Playing:
    """Runs the commands one after the other, writes its file, hands in. `answers` is what it was told."""

    def __init__(self, *commands):
        self.commands = commands
        self.answers: list[str] = []
        self.system = ""

    def __call__(self, recorded):
        messages = recorded.body["messages"]
        self.system = str(messages[0]["content"])
        self.answers = [str(message["content"]) for message in messages if message["role"] == "tool"]
        steps = [call("run_command", command=command) for command in self.commands]
        steps += [call("write_file", path="t0.txt", content="done"), hand_in()]
        return steps[len(self.answers)]


async def play(tmp_path, script, more, environment=None):
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1, more=more)
        try:
            done = ended(site.start("run", str(site.plan_file), "--json", environment=environment))
        finally:
            site.close()
    assert (done.code, done.json["state"]) == (0, "landed"), done
    return await site.truth()


def python(code):
    return f'python3 -c "{code}"'


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_a_sandbox_asks_for_outside_is_on_record_and_nothing_inside_is_reached(tmp_path, allowed):
    script = Playing(
        python(ASK.format(host="localhost", port=443)),
        python(ASK.format(host="evil.example", port=443)),
        python(RESOLVE),
    )
    truth = await play(tmp_path, script, '[roles.api]\nreach = ["localhost"]\n' if allowed else "")
    assert all("403 Forbidden" in answer for answer in script.answers[:2])
    assert ("http://127.0.0.1:8181" in script.answers[0]) is allowed
    assert ("you reach only localhost" in script.system) is allowed
    assert "no DNS" in script.answers[2]
    first, second = truth.data("session.access")
    assert (first["to"], first["verdict"]) == ("localhost:443", "refused")
    assert ("no public address" in first["reason"]) is allowed
    assert (second["to"], second["verdict"]) == ("evil.example:443", "refused")
    assert "no rule" in second["reason"]


@needs_postgres
async def test_an_agent_reads_a_database_and_never_sees_its_address(tmp_path):
    address = a_database()
    name = address.rpartition("/")[2]
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE reader_{name} LOGIN")
        connection.execute(f"CREATE TABLE lamp (name text); GRANT SELECT ON lamp TO reader_{name}")
        connection.execute("INSERT INTO lamp VALUES ('bright')")
    psql = f'{program("psql")} -XAt "$SWARM_DATABASE_SHOP"'
    script = Playing(
        f"{psql} -c 'SELECT name FROM lamp'",
        f"{psql} -c 'SET default_transaction_read_only = off' -c \"INSERT INTO lamp VALUES ('x')\"",
        "env",
    )
    more = '[databases.shop]\nurl_env = "SHOP_URL"\n[roles.api]\ndatabases = ["shop"]\n'
    url = address.replace("swarm@", f"reader_{name}@")
    truth = await play(tmp_path, script, more, {"SHOP_URL": url})
    assert "bright" in script.answers[0]
    assert "permission denied" in script.answers[1]
    assert "SHOP_URL" not in script.answers[2]
    assert f"reader_{name}" not in "".join(script.answers)
    assert "databases shop" in script.system
    assert [(row["to"], row["verdict"]) for row in truth.data("session.access")] == [("database shop", "allowed")] * 2


async def test_a_worker_without_the_databases_address_runs_no_session_and_says_why(tmp_path):
    script = Playing()
    with ScriptedModel(script) as model:
        more = '[databases.shop]\nurl_env = "SHOP_URL"\n[roles.api]\ndatabases = ["shop"]\n'
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1, more=more)
        try:
            done = ended(site.start_run())
        finally:
            site.close()
    assert done.code != 0, done
    truth = await site.truth()
    assert {str(one.outcome) for one in truth.sessions} <= {"infrastructure", "failed"}
    assert "no address of the database 'shop'" in str(truth.data("session.ended"))
    assert model.requests == []
