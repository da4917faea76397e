"""docs/store.md: its commands are run in order, from a file with work under way to a server; its configurations are read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store.sqlite import open_store
from swarmworks.wire.config_file import load_config
from tests.docs.test_documented_commands import ROOT, blocks
from tests.postgres import a_database, needs_postgres
from tests.store.filled import fill

PAGE = (ROOT / "docs" / "store.md").read_text()
SOURCE = ROOT / "src"
ADDRESS = "postgresql://swarm@db.internal/swarm"
REST = '[project]\nname = "a"\n[gates.tests]\nrun = "true"\n'


@pytest.fixture
async def project(tmp_path):
    (tmp_path / "swarm.toml").write_text(REST)
    store = await open_store(tmp_path / ".swarm" / "state.db", SystemClock(), RandomIds())
    await store.transact(fill)
    await store.close()
    return tmp_path


def run(project, script):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_STORE")}
    return subprocess.run(
        ["bash", "-c", f"set -e\n{script}"],
        cwd=project,
        env={**inherited, "PYTHONPATH": str(SOURCE), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@needs_postgres
def test_its_commands_work_as_written(project):
    database = a_database()
    script = "\n".join(blocks(PAGE))
    assert ADDRESS in script
    done = run(project, script.replace(ADDRESS, database))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("The store is sound.") == 2
    assert "nothing to do" in done.stdout
    assert "copied and compared; what was under way is ready again" in done.stdout
    with psycopg.connect(database) as raw:
        states = dict(raw.execute("SELECT id, state FROM task WHERE swarm_id = 'swm_1'").fetchall())
    assert states == {"a": "queued", "b": "ready", "c": "waiting", "d": "ready"}


@needs_postgres
def test_a_refusal_is_told_with_its_mend_and_its_exit_code(project):
    database = a_database()
    assert run(project, f"swarm store copy --to {database}").returncode == 0
    again = run(project, f"swarm store copy --to {database}")
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert "mend: name a database that nothing was written to" in again.stderr
    away = run(project, "SWARM_STORE_URL=postgresql://swarm:geheim@127.0.0.1:1/x swarm store check")
    assert away.returncode == 4
    assert "LACKS  database" in away.stdout
    assert "geheim" not in away.stdout + away.stderr
    assert "Traceback" not in away.stderr
    nowhere = run(project, "swarm store copy")
    assert nowhere.returncode == 2
    assert "SWARM_STORE_URL" in nowhere.stderr


def test_its_configurations_are_read():
    first, second = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    named = load_config(first + REST, name="swarm.toml", environment={}).store
    pooled = load_config(second + REST, name="swarm.toml", environment={}).store
    assert named.url_env == "SWARM_DATABASE"
    assert (pooled.url, pooled.listen_url) == ("postgresql://swarm@pooler.internal:6432/swarm", ADDRESS)
