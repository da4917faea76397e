"""Gate `smoke` of a FastAPI and SQLite application: does it start on an empty database, do its migrations run once and
only once, and do its foreign keys hold?

Runs with the project's own interpreter in the root of its tree. It calls `app.main.create_app(path)` and
`app.database.connect` and `migrate`. Problems are printed as `file:line: message`.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any


def check(path: str) -> list[str]:
    main: Any = importlib.import_module("app.main")
    database: Any = importlib.import_module("app.database")
    app = main.create_app(path)
    problems: list[str] = []
    hidden = [getattr(route, "path", "") for route in app.routes]
    if "/health" not in hidden and "/health" not in app.openapi()["paths"]:
        problems.append("app/main.py:1: there is no route /health")
    connection = database.connect(path)
    again = database.migrate(connection)
    if again:
        problems.append(f"app/database.py:1: these migrations ran a second time: {', '.join(map(str, again))}")
    if not connection.execute("PRAGMA foreign_keys").fetchone()[0]:
        problems.append("app/database.py:1: connect() leaves foreign keys off")
    problems.extend(
        f"app/database.py:1: foreign key violated: table {row[0]}, row {row[1]}, parent {row[2]}"
        for row in connection.execute("PRAGMA foreign_key_check").fetchall()
    )
    mismatched = [row[0] for row in connection.execute("PRAGMA integrity_check").fetchall() if row[0] != "ok"]
    problems.extend(f"app/database.py:1: integrity: {row}" for row in mismatched)
    connection.close()
    main.create_app(path)
    return problems


def place(error: BaseException, root: Path) -> str:
    """`file:line: message` for the innermost frame in the tree."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return f"{Path(error.filename).relative_to(root)}:{error.lineno or 1}: {error.msg}"
    message = f"{type(error).__name__}: {error}".replace("\n", " ")
    if not inside:
        return f"app/main.py:1: {message}"
    return f"{Path(inside[-1].filename).relative_to(root)}:{inside[-1].lineno}: {message}"


def main() -> int:
    root = Path.cwd()
    sys.path.insert(0, str(root))
    with tempfile.TemporaryDirectory() as folder:
        try:
            problems = check(str(Path(folder) / "smoke.db"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the application raises is the finding
            traceback.print_exc()
            problems = [place(error, root)]
    print("\n".join(problems) or "the application starts, migrates once, and its foreign keys hold")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
