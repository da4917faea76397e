"""From configured providers to the gateway's upstreams, prices, and the least a call can cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx

from swarmworks.base.errors import ProviderUnavailableError, UsageError
from swarmworks.domain.budget import Amount
from swarmworks.policy.bound import PER_MILLION
from swarmworks.policy.capability import REHEARSAL
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.record import Upstream
from swarmworks.settings import ProviderAccount
from swarmworks.wire.config import SwarmConfig

SMALLEST_INPUT_TOKENS = 40_000
"""A first request of a session: prompt, tools and files, bounded by its bytes."""
REACH_S = 5.0


def price_table(config: SwarmConfig) -> PriceTable:
    return PriceTable.load({name: section.model_dump(mode="python") for name, section in config.prices.items()})


def upstreams(accounts: Mapping[str, ProviderAccount], rehearsal_url: str) -> dict[str, Upstream]:
    found: dict[str, Upstream] = {}
    for name, account in accounts.items():
        kind = "anthropic" if account.kind == "anthropic" else "openai"
        found[name] = Upstream(name=name, kind=kind, base_url=account.base_url, key=account.key)
    found[REHEARSAL] = Upstream(name=REHEARSAL, kind="rehearsal", base_url=rehearsal_url, key=None)
    return found


def full_name(model: str) -> str:
    """`provider:model`; the rehearsal model is both."""
    return f"{REHEARSAL}:{REHEARSAL}" if model == REHEARSAL else model


def least_amount(prices: PriceTable, found: Mapping[str, Upstream], *, output_tokens: int) -> Callable[[str], Amount]:
    """The headroom one small call needs, by model: the gateway holds the `output_tokens` a call may write at most. Zero money for an unpriced model: the gateway refuses that itself."""

    def least(model: str) -> Amount:
        provider, _, name = model.partition(":")
        upstream = found.get(provider)
        price = prices.find(provider, name, upstream.base_url) if upstream is not None else None
        tokens = SMALLEST_INPUT_TOKENS + output_tokens
        if price is None:
            return Amount(0, tokens)
        dearest = max(price.rates.input, price.rates.cache_write)
        nano = SMALLEST_INPUT_TOKENS * dearest + output_tokens * price.rates.output
        return Amount(-(-nano // PER_MILLION), tokens)

    return least


def check_model(model: str, accounts: Mapping[str, ProviderAccount]) -> None:
    """Before anything is started: the provider is configured, its key is there, and somebody answers."""
    provider, _, name = model.partition(":")
    if provider == REHEARSAL:
        return
    account = accounts.get(provider)
    if account is None:
        known = ", ".join(sorted(accounts)) or "none"
        raise UsageError(
            f"no provider {provider!r} is configured (there is: {known})",
            where=f"--model {model}",
            mend=f"add a table [providers.{provider}] with its kind to swarm.toml, or use --model rehearsal",
        )
    if not name:
        raise UsageError("the model's name is missing", where=f"--model {model}", mend="write provider:model")
    if account.key is None and account.base_url.startswith("https://"):
        raise UsageError(
            f"there is no key for {provider}: {account.key_source} is empty",
            where=f"[providers.{provider}]",
            mend="set it, or name another with key_env or key_file",
        )
    try:
        path = "/v1/models" if account.kind == "anthropic" else "/models"
        httpx.get(f"{account.base_url}{path}", timeout=REACH_S, headers={"user-agent": "swarmworks"})
    except httpx.HTTPError as error:
        raise ProviderUnavailableError(
            f"{provider} cannot be reached: {type(error).__name__}",
            where=account.base_url,
            mend="check the address, the network and the server; nothing was started",
        ) from error
