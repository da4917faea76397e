"""The shipped smoke check, on a stand-in for a FastAPI application: it asks only for what it documents."""

from __future__ import annotations

import subprocess
import sys

import pytest

from swarmworks.worker.gates.keys import CHECKS

DATABASE = """
import sqlite3
def connect(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
def migrate(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (id TEXT PRIMARY KEY)")
    if connection.execute("SELECT count(*) FROM schema_migrations").fetchone()[0]:
        return []
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent(id))")
    connection.execute("INSERT INTO schema_migrations VALUES ('001')")
    connection.commit()
    return ["001"]
"""
MAIN = """
from types import SimpleNamespace
from app.database import connect, migrate
def create_app(path=None):
    connection = connect(path)
    migrate(connection)
    connection.close()
    return SimpleNamespace(routes=[SimpleNamespace(path="/health")], openapi=lambda: {"paths": {}})
"""


def smoke(root, main=MAIN, database=DATABASE):
    app = root / "app"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "main.py").write_text(main)
    (app / "database.py").write_text(database)
    done = subprocess.run(
        [sys.executable, str(CHECKS / "fastapi_smoke.py")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_an_application_that_keeps_to_the_conventions_passes(tmp_path):
    assert smoke(tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("main", "database", "expected"),
    [
        (MAIN.replace('"/health"', '"/other"'), DATABASE, "app/main.py:1: there is no route /health"),
        (
            MAIN.replace("migrate(connection)", "raise RuntimeError('no disk')"),
            DATABASE,
            "app/main.py:6: RuntimeError: no disk",
        ),
        (MAIN, DATABASE.replace("        return []\n", "        return ['001']\n"), "ran a second time: 001"),
        (MAIN, DATABASE.replace("foreign_keys = ON", "foreign_keys = OFF"), "leaves foreign keys off"),
        (
            MAIN,
            DATABASE.replace("foreign_keys = ON", "user_version").replace(
                "    connection.commit()",
                "    connection.execute('INSERT INTO child VALUES (1, 7)')\n    connection.commit()",
            ),
            "foreign key violated: table child",
        ),
        (MAIN, DATABASE.replace("def migrate(connection):", "def migrate(connection:"), "app/database.py:"),
        ("raise SystemExit(0)", DATABASE, "SystemExit"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path, main, database, expected):
    code, output = smoke(tmp_path, main, database)
    assert code == 1
    assert expected in output
