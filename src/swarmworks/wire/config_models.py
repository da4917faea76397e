"""`[models]` and `[providers.x.accounts]` of `swarm.toml`: which models answer, in which order, by which keys. See docs/models.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from swarmworks.domain.provider import AccountLimits
from swarmworks.policy.tiers import TIERS
from swarmworks.wire.config_types import Name, Section, VariableName

REHEARSAL = "rehearsal"
DEFAULT_KINDS = {"plan": "frontier", "document": "fast"}
"""What these kinds of tasks ask for where the default is a tier and theirs is configured."""

MOST_FALLBACKS = 10
SECRET_NAME = r"^[A-Za-z][A-Za-z0-9._-]{0,99}$"  # noqa: S105 - what names may look like

SecretName = Annotated[str, Field(pattern=SECRET_NAME)]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Chain = Annotated[
    tuple[Annotated[str, Field(max_length=200)], ...], BeforeValidator(_listed), Field(max_length=MOST_FALLBACKS)
]


def is_model(value: str) -> bool:
    """`rehearsal` or `provider:model`."""
    provider, colon, model = value.partition(":")
    return value == REHEARSAL or bool(provider and colon and model)


def full_name(model: str) -> str:
    """`provider:model`; the rehearsal model is both."""
    return f"{REHEARSAL}:{REHEARSAL}" if model == REHEARSAL else model


class ModelsSection(Section):
    """A tier is a model, or a list of which the first that can answers. `kinds`: by a task's kind, or its role, what it
    asks for in the place of `default`.
    """

    default: str = REHEARSAL
    frontier: Chain = ()
    mid: Chain = ()
    fast: Chain = ()
    kinds: dict[Name, str] = Field(default_factory=dict[str, str])

    @field_validator("default")
    @classmethod
    def _shape(cls, value: str) -> str:
        if value not in TIERS and not is_model(value):
            raise ValueError(
                'must be "rehearsal", a tier (frontier, mid, fast) or "provider:model", such as "openai:gpt-5"'
            )
        return value

    @field_validator(*TIERS)
    @classmethod
    def _chain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for model in value:
            if not is_model(model):
                raise ValueError(f'{model!r} is neither "rehearsal" nor "provider:model", such as "openai:gpt-5"')
        if len(set(value)) != len(value):
            raise ValueError("the same model stands twice in it")
        return value

    @model_validator(mode="after")
    def _tiers_are_there(self) -> ModelsSection:
        for key, asked in (("default", self.default), *self.kinds.items()):
            if asked in TIERS and asked not in self.tiers:
                raise ValueError(f'{key} asks for the tier {asked}: add {asked} = ["provider:model"] to [models]')
            if asked not in TIERS and not is_model(asked):
                raise ValueError(f'{key} must name a tier or "provider:model", not {asked!r}')
        return self

    @property
    def tiers(self) -> dict[str, tuple[str, ...]]:
        """Those configured, with full names."""
        found: dict[str, tuple[str, ...]] = {}
        for tier, chain in (("frontier", self.frontier), ("mid", self.mid), ("fast", self.fast)):
            if chain:
                found[tier] = tuple(map(full_name, chain))
        return found

    def chain(self, asked: str) -> tuple[str, ...]:
        return self.tiers.get(asked) or (full_name(asked),)

    def by_kind(self) -> dict[str, str]:
        """What tasks ask for by kind or role, with full names."""
        given = {key: asked if asked in TIERS else full_name(asked) for key, asked in self.kinds.items()}
        if self.default not in TIERS:
            return given
        return {kind: tier for kind, tier in DEFAULT_KINDS.items() if tier in self.tiers} | given

    def named(self) -> Iterator[tuple[str, str]]:
        """Every provider's model that is named, and by which key."""
        for key, asked in (("default", self.default), *self.kinds.items()):
            if asked not in TIERS:
                yield f"models.{key if key == 'default' else f'kinds.{key}'}", full_name(asked)
        for tier, chain in self.tiers.items():
            for model in chain:
                yield f"models.{tier}", model


class ThroughputSection(Section):
    """What a subscription gives within any `window_s` seconds."""

    window_s: Annotated[float, Field(gt=0, le=2_678_400)]
    requests: Annotated[int, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> ThroughputSection:
        if self.requests is None and self.tokens is None:
            raise ValueError("a window limits requests, tokens or both")
        return self


class AccountSection(Section):
    """One account at a provider: what holds its key, and what it may be used for in a minute."""

    key_env: VariableName | None = None
    key_file: Annotated[str, Field(min_length=1, max_length=4_000)] | None = None
    key_secret: SecretName | None = None
    requests_per_minute: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    tokens_per_minute: Annotated[int, Field(gt=0, le=100_000_000_000)] | None = None

    @model_validator(mode="after")
    def _one_key(self) -> AccountSection:
        if sum(one is not None for one in (self.key_env, self.key_file, self.key_secret)) != 1:
            raise ValueError("an account names its key with one of key_env, key_file and key_secret")
        return self

    def limits(self) -> AccountLimits:
        return AccountLimits(self.requests_per_minute, self.tokens_per_minute)


AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
ProviderKind = Literal["openai", "anthropic", "google"]
