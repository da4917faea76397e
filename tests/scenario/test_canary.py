"""A provider's key, wherever it is kept, is nowhere else: looked for after a whole run in which an agent looks for it too."""

from __future__ import annotations

import json

import pytest

from tests.scenario.driver import CountedModel, Site, job
from tests.scenario.harness import git, plan
from tests.scenario.writing_model import _call

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

CANARY = "cnry-7f3a9e1b5d204c68"
LOOK = (
    "env; set; cat /proc/self/environ /proc/*/environ /proc/*/cmdline; cat ~/.config/swarmworks/* ; "
    "find ~ /tmp /run /etc -xdev -type f -size -200k 2>/dev/null | head -200 | xargs cat"
)


class NosyModel(CountedModel):
    """It first has its agent look for keys, and repeats in its answers, and in an error, the key it was called with."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.failed = False
        super().__init__()
        handler = self._server.RequestHandlerClass
        answered, model = handler.do_POST, self

        def do_post(request):
            model.keys.append(request.headers["authorization"])
            if len(model.keys) == 2:
                request.rfile.read(int(request.headers["content-length"]))
                data = json.dumps({"error": {"message": f"slow down, {CANARY}", "type": "rate_limit_error"}}).encode()
                request.send_response(429)
                request.send_header("content-type", "application/json")
                request.send_header("retry-after", "0")
                request.send_header("content-length", str(len(data)))
                request.end_headers()
                request.wfile.write(data)
                return
            answered(request)

        handler.do_POST = do_post

    def answer(self, body):
        first = next((at for at, one in enumerate(body["messages"]) if one["role"] == "tool"), None)
        kept = [one for at, one in enumerate(body["messages"]) if at != first]
        answered = super().answer({**body, "messages": kept})
        message = answered["choices"][0]["message"]
        message["content"] = f"my key is {CANARY}"
        if first is None:
            message["tool_calls"] = [_call(0, "run_command", {"command": LOOK})]
        return answered


@pytest.fixture
def model():
    found = NosyModel()
    yield found
    found.close()


def site_of(tmp_path, model, more):
    site = Site(tmp_path / "site", model.url, plan(job("t0", owns=("app/main.py",))))
    file = site.root / "swarm.toml"
    file.write_text(file.read_text().replace('kind = "openai"\n', f'kind = "openai"\n{more}\n', 1))
    git(site.root, "commit", "-qam", "configured")
    return site


def holding(folder, *, but=()):
    """The files that hold the canary."""
    files = (path for path in folder.rglob("*") if path.is_file() and path not in but)
    return [str(path) for path in files if CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("kept", ["environment", "file", "secret"])
def test_the_key_is_in_no_log_event_answer_or_sandbox(tmp_path, model, kept):
    key_file = tmp_path / "key"
    config = tmp_path / "config"
    more = {"environment": 'key_env = "ODD_NAME"', "file": f'key_file = "{key_file}"', "secret": 'key_secret = "odd"'}
    site = site_of(tmp_path, model, more[kept])
    environment = {"XDG_CONFIG_HOME": str(config), "OPENAI_API_KEY": "x"}
    try:
        if kept == "environment":
            environment["ODD_NAME"] = CANARY
        elif kept == "file":
            key_file.write_text(CANARY)
            key_file.chmod(0o600)
        else:
            assert site.run("secret", "init", environment=environment).code == 0
            put = site.start("secret", "set", "odd", environment=environment, stdin=-1)
            out, err = put.communicate(f"{CANARY}\n", timeout=60)
            assert put.returncode == 0, err
            assert CANARY not in out + err
        done = site.run("run", str(site.plan_file), "--json", environment=environment)
        assert done.code == 0, done
        assert set(model.keys) == {f"Bearer {CANARY}"}
        assert CANARY not in done.out + done.err
        assert CANARY not in json.dumps(model.requests)
        looked = json.dumps([body["messages"] for body in model.requests])
        assert "SWARM_" in looked  # what the agent found of its environment came back
        assert holding(tmp_path, but={key_file}) == []
        for command in (("audit", "export"), ("logs",), ("report", "--json"), ("status", "--json"), ("secret", "list")):
            told = site.run(*command, environment=environment)
            assert CANARY not in told.out + told.err, command
    finally:
        site.close()
