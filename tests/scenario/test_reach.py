"""Whole runs in which an agent tries its way out, and reads a database: what it meets, and what is on record."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest

from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.postgres import NO_LARGE_OBJECTS, a_database, needs_postgres
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


class Outside(BaseHTTPRequestHandler):
    """A host of the Internet, which leads whoever follows it to where it must not get."""

    def do_GET(self):
        where = {
            "/cloud": "http://169.254.169.254/latest",
            "/within": "http://10.0.0.7/",
            "/other": "http://other.test/",
        }
        if self.path in where:
            self.send_response(302)
            self.send_header("location", where[self.path])
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"the page of {self.headers['host']}".encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def outside():
    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


FETCH = "import urllib.request as u; print(u.urlopen('http://docs.test/page').read())"
NAMED = '[roles.api]\nreach = ["docs.test", "*.files.test"]\nrun = ["@text", "@project", "curl"]\n'


async def test_programs_reach_the_hosts_of_their_role_and_are_led_nowhere_else(tmp_path, outside):
    script = Playing(
        "curl -sS http://docs.test/page",
        "curl -sS --proxytunnel http://a.files.test/page",
        python(FETCH),
        *(f"curl -sSL http://docs.test/{path}" for path in ("cloud", "within", "other")),
        "curl -sS http://docs.test:8080/",
    )
    hosts = {"SWARM_REACH_HOSTS": f"docs.test={outside}, a.files.test={outside}, other.test={outside}"}
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1, more=NAMED)
        try:
            done = ended(site.start("run", str(site.plan_file), "--json", environment=hosts))
            logs = site.run("logs", "--kind", "session.access")
            report = site.run("report")
            wrong = site.run("run", str(site.plan_file), environment={"SWARM_REACH_HOSTS": "docs.test"})
        finally:
            site.close()
    assert (done.code, done.json["state"]) == (0, "landed"), done
    one, tunnel, python_, *led, port = script.answers[:7]
    assert "the page of docs.test" in one
    assert "the page of a.files.test" in tunnel
    assert "the page of docs.test" in python_
    for answer, host in zip(led, ("169.254.169.254:80", "10.0.0.7:80", "other.test:80"), strict=True):
        assert f"{host} is not reached from here" in answer
        assert "the page" not in answer
    assert "docs.test:8080 is not reached from here" in port
    rows = (await site.truth()).data("session.access")
    assert [(row["to"], row["verdict"]) for row in rows] == [
        ("docs.test:80", "allowed"),
        ("a.files.test:80", "allowed"),
        ("docs.test:80", "allowed"),
        *(("docs.test:80", "allowed"), ("169.254.169.254:80", "refused")),
        *(("docs.test:80", "allowed"), ("10.0.0.7:80", "refused")),
        *(("docs.test:80", "allowed"), ("other.test:80", "refused")),
        ("docs.test:8080", "refused"),
    ]
    assert "reaches docs.test:80" in logs.out
    assert "is kept from 169.254.169.254:80" in logs.out
    assert "allowed: docs.test:80, 5 times (t0)" in report.out
    assert "refused: 10.0.0.7:80, 1 time (t0)" in report.out
    assert (wrong.code, "SWARM_REACH_HOSTS" in wrong.err) == (2, True), wrong


@needs_postgres
async def test_an_agent_reads_a_database_and_never_sees_its_address(tmp_path):
    address = a_database()
    name = address.rpartition("/")[2]
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"{NO_LARGE_OBJECTS} CREATE ROLE reader_{name} LOGIN")
        connection.execute(f"CREATE TABLE lamp (name text); GRANT SELECT ON lamp TO reader_{name}")
        connection.execute("INSERT INTO lamp VALUES ('bright')")
    psql = 'psql -XAt "$SWARM_DATABASE_SHOP"'
    script = Playing(
        f"{psql} -c 'SELECT name FROM lamp'",
        f"{psql} -c 'SET default_transaction_read_only = off' -c \"INSERT INTO lamp VALUES ('x')\"",
        f"{psql} -c 'SET ROLE swarm'",
        "env",
    )
    more = '[databases.shop]\nurl_env = "SHOP_URL"\n[roles.api]\ndatabases = ["shop"]\n'
    url = address.replace("swarm@", f"reader_{name}@")
    truth = await play(tmp_path, script, more, {"SHOP_URL": url})
    assert "bright" in script.answers[0]
    assert "permission denied" in script.answers[1]
    assert "permission denied" in script.answers[2]
    assert "SHOP_URL" not in script.answers[3]
    assert f"reader_{name}" not in "".join(script.answers)
    assert "databases shop" in script.system
    assert [(row["to"], row["verdict"]) for row in truth.data("session.access")] == [("database shop", "allowed")] * 3


@needs_postgres
async def test_a_database_whose_role_can_write_is_not_offered_and_who_runs_the_swarm_is_told_the_mend(tmp_path):
    script = Playing('psql -XAt "$SWARM_DATABASE_SHOP" -c "SELECT 1"')
    more = '[databases.shop]\nurl_env = "SHOP_URL"\n[roles.api]\ndatabases = ["shop"]\n'
    truth = await play(tmp_path, script, more, {"SHOP_URL": a_database()})
    (row,) = truth.data("session.access")
    for told in (script.answers[0], row["reason"]):
        assert "swarm is a superuser" in told
        assert "mend: name one in SHOP_URL that may only SELECT" in told
    assert (row["to"], row["verdict"]) == ("database shop", "refused")


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
