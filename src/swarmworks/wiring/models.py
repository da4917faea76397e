"""From configured providers to the gateway's upstreams, prices, and the least a call can cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from swarmworks.base.clock import Clock, SystemClock
from swarmworks.base.errors import NotFoundError, ProviderUnavailableError, SwarmworksError, UsageError
from swarmworks.domain.budget import Amount
from swarmworks.policy.bound import PER_MILLION
from swarmworks.policy.capability import REHEARSAL
from swarmworks.policy.circuit import CircuitRules
from swarmworks.policy.context import ContextRules
from swarmworks.policy.tiers import NO_MODEL, TIERS, ModelBook
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.prices import price_at
from swarmworks.service.gateway.record import ProviderAccount as Key
from swarmworks.service.gateway.record import Upstream
from swarmworks.service.gateway.throughput import has_room
from swarmworks.service.secrets import SecretKeeping, SecretSealedError
from swarmworks.settings import ProviderAccount, ProviderKey, providers
from swarmworks.store.protocol import Reader
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_models import full_name

log = logging.getLogger(__name__)

SMALLEST_INPUT_TOKENS = 40_000
"""A first request of a session: prompt, tools and files, bounded by its bytes."""
REACH_S = 5.0
REHEARSAL_FIRST_BYTE_S = 10.0
"""A program that follows rules answers at once, or stalls on purpose."""


def price_table(config: SwarmConfig, clock: Clock) -> PriceTable:
    overrides = {name: section.model_dump(mode="python") for name, section in config.prices.items()}
    return PriceTable.load(overrides, clock)


def context_rules(config: SwarmConfig) -> ContextRules:
    return ContextRules(config.context.hand_over_percent, config.context.windows)


def configured_models(config: SwarmConfig) -> tuple[str, ...]:
    """As `provider:model`, each once: what sessions and reviews use, and what has a price in the configuration."""
    reviewers = [gate.model for gate in config.review.all_gates() if gate.model is not None]
    named = [
        *(model for _key, model in config.models.named()),
        *(model for asked in reviewers for model in config.models.chain(asked)),
        *(name for name in config.prices if ":" in name),
    ]
    return tuple(dict.fromkeys(named))


def upstreams(accounts: Mapping[str, ProviderAccount], rehearsal_url: str) -> dict[str, Upstream]:
    found: dict[str, Upstream] = {}
    for name, account in accounts.items():
        keys = tuple(Key(one.name, one.key, one.limits) for one in account.keys)
        found[name] = Upstream(
            name=name,
            kind=account.kind,
            base_url=account.base_url,
            key=account.key,
            accounts=keys,
            subscription=account.subscription,
        )
    found[REHEARSAL] = Upstream(REHEARSAL, "rehearsal", rehearsal_url, first_byte_s=REHEARSAL_FIRST_BYTE_S)
    return found


async def with_secrets(accounts: Mapping[str, ProviderAccount], secrets: SecretKeeping) -> dict[str, ProviderAccount]:
    """With the keys that are sealed in the store. UsageError naming the provider where one cannot be had."""
    opened: dict[str, ProviderAccount] = {}
    for name, account in accounts.items():
        keys = [await _opened(name, key, secrets) for key in account.keys]
        opened[name] = account.with_keys(keys)
    return opened


async def _opened(provider: str, key: ProviderKey, secrets: SecretKeeping) -> ProviderKey:
    if key.key_secret is None:
        return key
    try:
        return replace(key, key=await secrets.value(key.key_secret))
    except (NotFoundError, SecretSealedError) as error:
        mend = f"swarm secret set {key.key_secret}" if isinstance(error, NotFoundError) else error.mend
        whose = f"{provider}/{key.name}" if key.name else provider
        raise UsageError(f"the key of {whose}: {error.what}", where=key.key_source, mend=mend) from error


def circuit_rules(config: SwarmConfig) -> CircuitRules:
    return CircuitRules(**config.breaker.model_dump())


def model_book(config: SwarmConfig) -> ModelBook:
    return ModelBook(config.models.tiers, {name: section.kind for name, section in config.providers.items()})


def asked_models(config: SwarmConfig, model: str | None) -> list[str]:
    """What sessions and reviews of a run may ask for: tiers and full names. A model named for the run is for all its tasks."""
    asked = [model or config.models.default]
    if model is None:
        asked += config.models.by_kind().values()
    asked += [gate.model for gate in config.review.all_gates() if gate.model is not None]
    return list(dict.fromkeys(one if one in TIERS else full_name(one) for one in asked))


def least_amount(
    prices: PriceTable, found: Mapping[str, Upstream], *, output_tokens: int, book: ModelBook | None = None
) -> Callable[[str], Amount]:
    """Of a tier, that of its first choice. The headroom one small call needs, by model: the gateway holds the `output_tokens` a call may write at most. Zero money for an unpriced model: the gateway refuses that itself."""

    def least(model: str) -> Amount:
        if model == NO_MODEL:
            return Amount()
        provider, _, name = (book.chain(model)[0] if book else model).partition(":")
        upstream = found.get(provider)
        price = price_at(prices, upstream, name) if upstream is not None else None
        tokens = SMALLEST_INPUT_TOKENS + output_tokens
        if price is None:
            return Amount(0, tokens)
        dearest = max(price.rates.input, price.rates.cache_write)
        nano = SMALLEST_INPUT_TOKENS * dearest + output_tokens * price.rates.output
        return Amount(-(-nano // PER_MILLION), tokens)

    return least


def smallest_call(config: SwarmConfig, model: str) -> Amount:
    """Without a control plane, and whether or not the provider's key is there."""
    found, output = upstreams(providers(config), "http://127.0.0.1/v1"), config.limits.max_output_tokens
    least = least_amount(price_table(config, SystemClock()), found, output_tokens=output, book=model_book(config))
    return least(model if model in TIERS else full_name(model))


def check_chain(chain: Sequence[str], accounts: Mapping[str, ProviderAccount]) -> None:
    """One of a tier's models must be there; of those that are not, only the log tells. The only model must be."""
    refusals: list[SwarmworksError] = []
    for model in chain:
        try:
            check_model(model, accounts)
        except (UsageError, ProviderUnavailableError) as error:
            log.warning("the fallback %s cannot be used now: %s", model, error)
            refusals.append(error)
    if len(refusals) == len(chain):
        raise refusals[0]


def room_for(
    found: Mapping[str, Upstream], least: Callable[[str], Amount], clock: Clock
) -> Callable[[Reader, str], bool]:
    """Whether the subscription a model is paid by has room for one small call; always where there is none."""

    def room(reader: Reader, model: str) -> bool:
        upstream = found.get(model.partition(":")[0])
        if upstream is None or upstream.subscription is None:
            return True
        return has_room(reader, upstream.subscription, least(model).tokens, clock.now())

    return room


def _refuse_faulty_keys(account: ProviderAccount) -> None:
    for key in account.keys:
        if key.key_fault is not None:
            raise UsageError(
                f"the key of {account.name}{f'/{key.name}' if key.name else ''} is not used: {key.key_fault}",
                where=key.key_source,
                mend="let nobody else read it; give the provider another key if others have",
            )


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
    _refuse_faulty_keys(account)
    if account.key is None and account.key_secret is None and account.base_url.startswith("https://"):
        raise UsageError(
            f"there is no key for {provider}: {account.key_source} is empty",
            where=f"[providers.{provider}]",
            mend="set it, or name another with key_env, key_file or key_secret",
        )
    try:
        path = {"anthropic": "/v1/models", "google": "/v1beta/models"}.get(account.kind, "/models")
        httpx.get(f"{account.base_url}{path}", timeout=REACH_S, headers={"user-agent": "swarmworks"})
    except httpx.HTTPError as error:
        raise ProviderUnavailableError(
            f"{provider} cannot be reached: {type(error).__name__}",
            where=account.base_url,
            mend="check the address, the network and the server; nothing was started",
        ) from error
