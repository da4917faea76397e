"""The words of the tasks, kept as data files: one YAML file per family of stacks, rendered with undefined-is-an-error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import yaml

from swarmworks.domain.plan import Acceptance


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    instructions: str
    output: str
    contracts: tuple[str, ...]
    acceptance: tuple[Acceptance, ...]


_ENVIRONMENT = jinja2.Environment(autoescape=False)  # noqa: S701 - the result is plain text, never HTML
_ENVIRONMENT.undefined = jinja2.StrictUndefined
_ENVIRONMENT.trim_blocks = True
_ENVIRONMENT.lstrip_blocks = True


@cache
def _file(family: str) -> dict[str, Any]:
    text = resources.files("swarmworks.policy.planning").joinpath("texts", f"{family}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.CSafeLoader)


@cache
def _template(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def words_for(family: str, task: str, **facts: Any) -> Words:
    """Lines and list items that render to nothing are left out, so that a text can name what applies only sometimes."""
    known = _file(family)
    template = known[task] if task in known or not task.startswith("tests_") else known["requirement"]

    def render(text: str) -> str:
        lines = [line.rstrip() for line in _template(text).render(facts).split("\n")]
        return "\n".join(line for line in lines if line).strip()

    contracts = [render(text) for text in template.get("contracts", [])]
    acceptance = [(render(each["statement"]), each["gate"]) for each in template["acceptance"]]
    return Words(
        title=render(template["title"]),
        instructions=render(template["instructions"] + known["common"]) + "\n",
        output=render(template["output"]),
        contracts=tuple(each for each in contracts if each),
        acceptance=tuple(Acceptance(statement, gate) for statement, gate in acceptance if statement),
    )
