"""The agents' programs this machine may run, by name, and whether one fits what a swarm asks for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import swarmworks
from swarmworks.base.errors import UnavailableError, UsageError
from swarmworks.policy.capability import REHEARSAL
from swarmworks.policy.tiers import WIRES, common
from swarmworks.runtime.aider import AIDER
from swarmworks.runtime.builtin import BuiltIn
from swarmworks.runtime.claude import CLAUDE
from swarmworks.runtime.codex import CODEX
from swarmworks.runtime.command import Command
from swarmworks.runtime.gemini import GEMINI
from swarmworks.runtime.mini import MINI
from swarmworks.runtime.opencode import OPENCODE
from swarmworks.runtime.pi import PI
from swarmworks.runtime.protocol import BUILTIN, COMMAND, Found, Runtime, Shown
from swarmworks.runtime.qwen import QWEN
from swarmworks.runtime.sheet import Sheet, SheetRuntime
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.settings import ProviderAccount
from swarmworks.wire.config import SwarmConfig

SHEETS: Mapping[str, Sheet] = {sheet.name: sheet for sheet in (CLAUDE, CODEX, GEMINI, OPENCODE, QWEN, PI, AIDER, MINI)}


def runtimes(config: SwarmConfig) -> Mapping[str, Runtime]:
    interpreter = Path(sys.executable)
    builtin = BuiltIn(Path(swarmworks.__file__).parent, interpreter, lambda: _python(interpreter))
    found: dict[str, Runtime] = {builtin.name: builtin}
    for name, sheet in SHEETS.items():
        found[name] = SheetRuntime(sheet, _program(config, name), _python)
    found[COMMAND] = Command(_command(config))
    return found


def probed(config: SwarmConfig | None) -> Mapping[str, Found]:
    """Of the programs that are not part of the platform, with the flags they have lost."""
    asked = [SheetRuntime(sheet, _program(config, name), _python) for name, sheet in SHEETS.items()]
    with ThreadPoolExecutor(len(asked)) as pool:
        found = dict(zip(SHEETS, pool.map(_looked_at, asked), strict=True))
    if config is not None and (COMMAND in config.agents.programs or _command(config)):
        found[COMMAND] = Command(_command(config)).probe()
    return found


def _looked_at(runtime: SheetRuntime) -> Found:
    found = runtime.probe()
    if found.lacking:
        return found
    try:
        return replace(found, lost=runtime.lost_flags())
    except UnavailableError as error:
        return replace(found, lacking=error.what)


def _command(config: SwarmConfig) -> str | None:
    section = config.runtimes.get(COMMAND)
    return None if section is None else section.run


def _program(config: SwarmConfig | None, name: str) -> Path | None:
    section = config.runtimes.get(name) if config is not None else None
    where = (section.program if section is not None else None) or shutil.which(name)
    return Path(where).expanduser() if where else None


def _python(interpreter: Path) -> tuple[Shown, ...]:
    return tuple(Shown(mount.source, mount.target) for mount in python_mounts(interpreter))


def fits(config: SwarmConfig, accounts: Mapping[str, ProviderAccount]) -> Callable[[str, str], None]:
    """A check of a runtime and a model together, before anything is started: UsageError names the mend."""
    known = runtimes(config)

    def check(name: str, model: str) -> None:
        runtime = known.get(name)
        where = f"--runtime {name}"
        if runtime is None:
            raise UsageError(f"there is no runtime {name!r}", where=where, mend=f"use {', '.join(sorted(known))}")
        if name == BUILTIN:
            return
        chain = config.models.chain(model)
        provider = chain[0].partition(":")[0]
        if provider == REHEARSAL and name != COMMAND:
            raise UsageError(
                f"the rehearsal model cannot drive {name}: it knows the built-in agent's tools only",
                where=where,
                mend="name a real model with --model, or leave --runtime out",
            )
        named = (accounts.get(one.partition(":")[0]) for one in chain)
        known_accounts = [one for one in named if one is not None]
        if known_accounts and not any(common(one.kind, runtime.wires) for one in known_accounts):
            provider, account = known_accounts[0].name, known_accounts[0]
            kinds = sorted(kind for kind in WIRES if common(kind, runtime.wires))
            raise UsageError(
                f"{name} speaks with {' or '.join(kinds)} providers only, and {provider} is of kind {account.kind}",
                where=where,
                mend=f'name a model of a provider with kind = "{kinds[0]}"',
            )
        found = runtime.probe()
        if found.lacking:
            raise UsageError(found.lacking, where=where, mend=found.mend)

    return check
