"""The table of attacks in docs/sandbox.md.

    python -m tests.sandbox.table     writes it anew

A test makes every attack and compares what it sees with what the table says.
"""

from __future__ import annotations

from pathlib import Path

from swarmworks.domain.isolation import LEVELS
from tests.sandbox.attacks import TITLES, is_stopped

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
FIRST = "| attack |"


def table() -> list[str]:
    lines = [f"{FIRST} {' | '.join(f'`{name}`' for name in LEVELS)} |", "|---" * (len(LEVELS) + 1) + "|"]
    for title in TITLES:
        answers = ("stopped" if is_stopped(title, level) else "–" for level in LEVELS)  # noqa: RUF001
        lines.append(f"| {title} | {' | '.join(answers)} |")
    return lines


def parts(page: str) -> tuple[list[str], list[str], list[str]]:
    """The page's lines before the table, the table's, and those after it."""
    lines = page.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(FIRST))
    length = next(number for number, line in enumerate([*lines[first:], ""]) if not line.startswith("|"))
    return lines[:first], lines[first : first + length], lines[first + length :]


def main() -> None:
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text("\n".join([*before, *table(), *after, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
