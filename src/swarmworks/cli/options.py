"""Options and value types that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

NANO_USD = 1_000_000_000
MOST_DOLLARS = 1_000_000
MOST_TOKENS = 10**12
MOST_CALLS = 10**9
_UNITS = {"k": 1_000, "m": 1_000_000}

F = TypeVar("F", bound=Callable[..., Any])


class Dollars(click.ParamType[int]):
    """An amount of money on the command line becomes integer nano-dollars, exactly."""

    name = "USD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            dollars = Decimal(str(value).strip().removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount of dollars, such as 2.50", param, ctx)
        if not dollars.is_finite() or not 0 <= dollars <= MOST_DOLLARS:
            self.fail(f"{value!r} is not between 0 and {MOST_DOLLARS:,} dollars", param, ctx)
        nano = dollars * NANO_USD
        if nano != int(nano):
            self.fail(f"{value!r} has more than nine decimal places", param, ctx)
        return int(nano)


class Tokens(click.ParamType[int]):
    """A number of tokens, with k and M for thousands and millions."""

    name = "TOKENS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().replace("_", "").lower()
        unit = _UNITS.get(text[-1:], 1)
        try:
            tokens = Decimal(text.rstrip("km") if unit > 1 else text) * unit
        except InvalidOperation:
            self.fail(f"{value!r} is not a number of tokens, such as 500k or 2M", param, ctx)
        if not tokens.is_finite() or tokens != int(tokens) or not 0 < tokens <= MOST_TOKENS:
            self.fail(f"{value!r} is not a whole number of tokens above 0", param, ctx)
        return int(tokens)


class Words(click.ParamType[str]):
    """Words of a person, at most so many characters. `needed`: nothing at all, as of a variable that is not set, is refused. A
    byte of the command line that is no UTF-8 becomes a question mark.
    """

    name = "WORDS"

    def __init__(self, most: int, *, needed: bool = False) -> None:
        self._most = most
        self._needed = needed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = sendable(str(value))
        if self._needed and not text.strip():
            self.fail("nothing is said with it: leave it out, or see whether a variable is empty", param, ctx)
        if len(text) > self._most:
            self.fail(f"{len(text):,} characters are more than the {self._most:,} that are taken", param, ctx)
        return text


def sendable(text: str) -> str:
    """`text` as it can be written in UTF-8."""
    return text.encode("utf-8", "replace").decode()


def project_option(command: F) -> F:
    option = click.option(
        "-C",
        "--path",
        "path",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path(),
        help="The project's folder; the current one when left out.",
    )
    return option(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def budget_options(command: F) -> F:
    command = click.option("--tokens", type=Tokens(), help="The most tokens to use, such as 500k or 2M.")(command)
    return click.option("--budget", type=Dollars(), help="The most money to spend, in dollars.")(command)
