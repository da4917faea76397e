"""Renders the templates that hold the text of generated files."""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from swarmworks.provider.rehearsal.naming import snake

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATES = Path(__file__).parent.parent / "templates"
LINE_LENGTH = 100  # of the generated application


DOCSTRING = re.compile(r'^( *)"""([^"\n]+)"""$', re.MULTILINE)


def _wrapped(match: re.Match[str]) -> str:
    """Long names make long sentences: give those that do not fit a second line."""
    indent, sentence = match[1], match[2]
    if len(match[0]) <= LINE_LENGTH:
        return match[0]
    lines = textwrap.wrap(sentence, LINE_LENGTH - len(indent) - 3, break_long_words=False)
    body = f"\n{indent}".join(lines)
    return f'{indent}"""{body}\n{indent}"""'


def quoted(value: object) -> str:
    """A Python literal in double quotes, as the formatter would write it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def equals(source: str) -> str:
    """The comparison with a literal: `is` for those of which there is only one."""
    return f"is {source}" if source in {"True", "False", "None"} else f"== {source}"


def differs(source: str) -> str:
    return f"is not {source}" if source in {"True", "False", "None"} else f"!= {source}"


def argument(key: str, source: str) -> str:
    """A keyword argument, also for a key that Python cannot name."""
    return f"{key}={source}" if key.isidentifier() and not keyword.iskeyword(key) else f"**{{{quoted(key)}: {source}}}"


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def joined(names: list[str], conjunction: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {conjunction} {names[-1]}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python source, not HTML
    )
    filters = cast("dict[str, Callable[[str], str]]", environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters.update(quoted=quoted, lower_first=lower_first, equals=equals, differs=differs, snake=snake)
    return environment


@dataclass(frozen=True, slots=True)
class Renderer:
    """Compiles each template once; a missing value in a template is an error, never an empty string."""

    environment: Environment = field(default_factory=_environment)

    def render(self, template: str, **values: object) -> str:
        text = self.environment.get_template(f"{template}.j2").render(**values)
        # Optional parts leave runs of blank lines behind; Python never wants more than two.
        text = re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"
        return DOCSTRING.sub(_wrapped, text)
