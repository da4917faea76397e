"""Providers' keys that are sealed in the store, taken anew while a control plane runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack

from swarmworks.base.chores import Chore
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.secrets import SecretKeeping, SecretWatch
from swarmworks.settings import ProviderAccount

KEYS_S = 2.0


def start_watching_keys(
    stack: AsyncExitStack, secrets: SecretKeeping, accounts: Mapping[str, ProviderAccount], gateway: Gateway
) -> None:
    """Until the stack unwinds. Nothing runs where no key is sealed."""
    users: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for provider, account in accounts.items():
        for key in account.keys:
            if key.key_secret is not None:
                users[key.key_secret].append((provider, key.name))
    if not users:
        return

    def changed(name: str, value: str) -> None:
        for provider, account in users[name]:
            gateway.rekey(provider, account, value)

    watch = Chore("take keys anew", SecretWatch(secrets, frozenset(users), changed).look, every_s=KEYS_S)
    stack.push_async_callback(_ended, asyncio.create_task(watch.run()))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
