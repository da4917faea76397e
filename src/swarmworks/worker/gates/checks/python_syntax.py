"""Gate `syntax`: compiles every Python file below the current directory. Exit status 5: there was none.

Standard library only: it runs with the project's own interpreter.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path


def problem_in(path: Path) -> str | None:
    """`file:line: message` of what keeps `path` from compiling."""
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{path}:{error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        return f"{path}:1: {error}"
    return None


def main() -> int:
    warnings.simplefilter("ignore")
    hidden = (".git", ".venv", "node_modules")
    files = [path for path in sorted(Path().rglob("*.py")) if not any(part in hidden for part in path.parts)]
    if not files:
        print("there is no Python file")  # noqa: T201 - a gate reports on stdout
        return 5
    problems = [problem for path in files if (problem := problem_in(path))]
    print("\n".join(problems) or f"{len(files)} files compile")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
