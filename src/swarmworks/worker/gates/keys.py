"""The key a gate's result is cached under: everything the result depends on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swarmworks.domain.gate import GateDefinition

Parameters = dict[str, "str | float | list[str] | None"]

CHECKS = Path(__file__).parent / "checks"
"""Scripts for gates that ship with the product; inside, the folder is `$SWARM_CHECKS`."""

CHANGED = "SWARM_CHANGED"
"""The variable that names the file with the changed paths."""

_FORMAT = 1


def cacheable(definition: GateDefinition) -> bool:
    """`scope` and `secrets` judge a difference, not a tree, and cost nothing: they always run. So does what asks for the difference,
    and what a shorter command has to say: it may have found nothing, which lets nothing through by itself.
    """
    if definition.command is not None:
        return CHANGED not in definition.command and not definition.may_find_nothing
    return definition.source is not None


def gate_parameters(
    definition: GateDefinition,
    definitions: Iterable[GateDefinition],
    *,
    covers: tuple[str, ...] = (),
    floors: Mapping[str, float] | None = None,
    tests: tuple[str, ...] = (),
) -> Parameters:
    """What besides the tree and the environment decides this gate: the floor and the files a coverage gate is asked for,
    the command that makes the report it reads, and the tests that have to be named when they passed.
    """
    parameters: Parameters = {}
    if definition.source is not None:
        source = next((d for d in definitions if d.name == definition.source), None)
        parameters["source"] = source.command if source else None
    if definition.reader == "coverage":
        parameters["floor"] = (floors or {}).get(definition.name, definition.floor)
        parameters["covers"] = sorted(covers)
    if definition.reader == "junit" and tests:
        parameters["tests"] = sorted(tests)
    return parameters


def gate_key(definition: GateDefinition, tree: str, environment_id: str, parameters: Parameters) -> str:
    """SHA-256 in hexadecimal. `tree` is git's name of the judged tree."""
    facts = {
        "format": _FORMAT,
        "name": definition.name,
        "command": definition.command,
        "reader": definition.reader,
        "source": definition.source,
        "timeout_s": definition.timeout_s,
        "nothing": definition.nothing_exit_codes,
        "checks": _checks_digest() if "SWARM_CHECKS" in (definition.command or "") else "",
        "tree": tree,
        "environment": environment_id,
        "parameters": parameters,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def _checks_digest() -> str:
    """The scripts that ship with the product are part of the gates that call them."""
    digest = hashlib.sha256()
    for entry in sorted(CHECKS.glob("*.py")):
        digest.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return digest.hexdigest()
