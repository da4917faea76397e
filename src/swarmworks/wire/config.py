"""`swarm.toml`, version 1: one project's choices, read once and frozen.

`settings.py` reads the file and hands its text to `load_config`; nothing here touches a disk or the environment. No value
is a secret: keys are named (`key_env`, `key_file`), never held, so a configuration may be printed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from swarmworks.domain.budget import Limit, Period
from swarmworks.domain.gate import GateDefinition
from swarmworks.domain.isolation import LEVELS, NAMESPACES, Property
from swarmworks.domain.plan import PLAN, PLAN_GATE
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.tiers import TIERS
from swarmworks.wire.config_context import ContextSection
from swarmworks.wire.config_copies import CopiesSection
from swarmworks.wire.config_gates import (
    BUILT_IN_GATES,
    GatesSection,
    built_in_gates,
    definition_of,
    plan_gate,
)
from swarmworks.wire.config_mail import MailSection
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.config_models import (
    REHEARSAL,
    AccountName,
    AccountSection,
    ModelsSection,
    ProviderKind,
    SecretName,
    ThroughputSection,
)
from swarmworks.wire.config_notify import NotifySection
from swarmworks.wire.config_reach import Database, DatabaseSection
from swarmworks.wire.config_review import ReviewsSection
from swarmworks.wire.config_roles import RoleSection, boundaries, completed
from swarmworks.wire.config_telemetry import TelemetrySection
from swarmworks.wire.config_types import Count, Dollars, Line, Name, Seconds, Section, VariableName, WholeSeconds
from swarmworks.wire.database_address import MEND, holds_password, is_address
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED

NANO_USD = 1_000_000_000
BUILT_IN_RUNTIME = "builtin"
PROGRAM_RUNTIMES = ("claude", "codex", "gemini", "opencode", "qwen", "pi", "aider", "mini")
"""Agents' programs that are not part of the platform."""
COMMAND_RUNTIME = "command"
"""Whatever the user's command is."""


class ProjectSection(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$")]
    default_branch: Annotated[str, Field(min_length=1, max_length=200)] = "main"
    language: Annotated[str, Field(min_length=1, max_length=40)] = "python"
    framework: str = ""


class ProviderSection(Section):
    """Where a model provider answers, and the name of what holds its key (never the key). The limits of a minute are those
    of its only account, or of each of `accounts` that has none of its own.
    """

    kind: ProviderKind
    base_url: Annotated[str, Field(pattern=r"^https?://", max_length=500)] | None = None
    key_env: VariableName | None = None
    key_file: Line | None = None
    key_secret: SecretName | None = None
    requests_per_minute: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    tokens_per_minute: Annotated[int, Field(gt=0, le=100_000_000_000)] | None = None
    accounts: Annotated[dict[AccountName, AccountSection], Field(max_length=50)] = Field(
        default_factory=dict[str, AccountSection]
    )
    billing: Literal["tokens", "subscription"] = "tokens"
    throughput: Annotated[tuple[ThroughputSection, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _a_subscription_is_limited_by_throughput(self) -> ProviderSection:
        if self.billing == "subscription" and not self.throughput:
            raise ValueError(
                "a subscription is limited by throughput: add throughput = [{ window_s = 3600, requests = 100 }]"
            )
        if self.billing != "subscription" and self.throughput:
            raise ValueError('throughput limits a subscription: add billing = "subscription"')
        return self

    @model_validator(mode="after")
    def _one_key_and_none_in_the_address(self) -> ProviderSection:
        named = sum(one is not None for one in (self.key_env, self.key_file, self.key_secret))
        if self.accounts and named:
            raise ValueError(
                "with accounts, each of them names its own key: leave key_env, key_file and key_secret out"
            )
        if named > 1:
            raise ValueError("key_env, key_file and key_secret exclude each other")
        if self.base_url and "@" in self.base_url.split("//", 1)[1].split("/", 1)[0]:
            raise ValueError("base_url holds a user or password; name the key with key_env or key_file")
        return self


class PriceSection(Section):
    """Dollars for a million tokens. A cache price left out is the input price, a context window the list's."""

    input_usd_per_mtok: Dollars
    output_usd_per_mtok: Dollars
    cache_read_usd_per_mtok: Dollars | None = None
    cache_write_usd_per_mtok: Dollars | None = None
    context_window: Annotated[int, Field(gt=0, le=1_000_000_000)] | None = None


class BudgetSection(Section):
    """Caps in dollars, tokens and requests; a cap left out does not bound that level, and the levels above it still do. A day
    is one in `timezone`; from `pause_percent` of a day or month on, no session is started until it is over.
    """

    project_usd: Dollars | None = None
    project_tokens: Count | None = None
    month_usd: Dollars | None = None
    month_tokens: Count | None = None
    month_calls: Count | None = None
    day_usd: Dollars | None = None
    day_tokens: Count | None = None
    day_calls: Count | None = None
    swarm_usd: Dollars | None = None
    task_usd: Dollars | None = None
    task_tokens: Count | None = None
    agent_usd: Dollars | None = None
    agent_tokens: Count | None = None
    session_usd: Dollars | None = None
    session_tokens: Count | None = 2_000_000
    timezone: str = "UTC"
    pause_percent: Annotated[int, Field(gt=0, le=100)] = 90

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f'{value!r} is no time zone this machine knows, such as "UTC" or "Europe/Berlin"'
            ) from error
        return value

    @property
    def swarm_nano_usd(self) -> int | None:
        return nano_usd(self.swarm_usd)

    @property
    def session_nano_usd(self) -> int | None:
        return nano_usd(self.session_usd)

    @property
    def project_limit(self) -> Limit:
        return Limit(nano_usd(self.project_usd), self.project_tokens)

    @property
    def windows(self) -> dict[Period, Limit]:
        return {
            Period.DAY: Limit(nano_usd(self.day_usd), self.day_tokens, self.day_calls),
            Period.MONTH: Limit(nano_usd(self.month_usd), self.month_tokens, self.month_calls),
        }


class BreakerSection(Section):
    """When the gateway ends a session, whatever its budget still holds. 0 switches a rule off. `rate_factor`: how many times
    faster than its limit and its time allow a session may spend, over a minute; `same_calls`: the same request answered so
    many times in a row; `failed_calls`: so many requests in a row that were refused for what they are.
    """

    rate_factor: Annotated[float, Field(ge=0, le=1_000)] = 8.0
    same_calls: Annotated[int, Field(ge=0, le=1_000)] = 8
    failed_calls: Annotated[int, Field(ge=0, le=1_000)] = 20


class LimitsSection(Section):
    session_wall_s: Seconds = 900.0
    session_idle_s: Seconds = 120.0
    session_calls: Annotated[int, Field(gt=0, le=10_000)] = 100
    task_wall_s: WholeSeconds | None = None
    task_calls: Count | None = None
    swarm_wall_s: WholeSeconds | None = None
    swarm_calls: Count | None = None
    attempts: Annotated[int, Field(gt=0, le=20)] = 3
    command_timeout_s: Seconds = 120.0
    max_output_tokens: Annotated[int, Field(gt=0, le=1_000_000)] = 8_192


class AgentsSection(Section):
    """`runtime` is the program they are, `runtimes` that of the tasks of a kind or a role. `roles` are given out in turn, so a
    name may stand twice; empty: the roles the plan asks for. `answer_wait_s`: how long an agent's question waits for a person
    before the agent is told to go on without.
    """

    count: Annotated[int, Field(gt=0, le=10_000)] = 12
    roles: tuple[Name, ...] = ()
    runtime: Name = BUILT_IN_RUNTIME
    runtimes: dict[Name, Name] = Field(default_factory=dict[str, str])
    answer_wait_s: Annotated[float, Field(ge=0, le=100)] = 20.0

    @property
    def programs(self) -> frozenset[str]:
        """The names of all runtimes that tasks may be done by."""
        return frozenset({self.runtime, *self.runtimes.values()})


class RuntimeSection(Section):
    """`program`: where an agent's program is; looked for on the PATH when left out. `run`: the shell command that is the
    runtime `command`.
    """

    program: Line | None = None
    run: Line | None = None


class SandboxSection(Section):
    """`floor`: what must hold around every agent and gate, by the name of a level or as a set; a machine that cannot give it is
    refused. What concerns programs holds around agents alone: gates run the project's own tools. `noexec`: nothing an agent
    wrote can be run.
    """

    floor: frozenset[Property] = NAMESPACES
    noexec: bool = False
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = 4_096
    disk_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 8_192
    processes: Annotated[int, Field(ge=8, le=65_536)] = 512

    @field_validator("floor", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value not in LEVELS:
            raise ValueError(f"{value!r} is no level: {', '.join(LEVELS)}, or a list of {', '.join(Property)}")
        return LEVELS[value]

    @property
    def agents_noexec(self) -> bool:
        return self.noexec or Property.NOEXEC in self.floor

    @property
    def gates_floor(self) -> frozenset[Property]:
        return self.floor - {Property.EXEC, Property.NOEXEC}


class EnvironmentSection(Section):
    """How the project's tools are installed: shell commands, run with the network only when `registries` is true."""

    setup: tuple[Line, ...] = ()
    lock_files: tuple[Line, ...] = ()
    registries: bool = False
    python: str | None = None
    timeout_s: Seconds = 900.0


class FilesSection(Section):
    """`protected` adds to the built-in list, `unprotected` takes patterns of that list out again."""

    exclusive: bool = True
    protected: tuple[Line, ...] = ()
    unprotected: tuple[Line, ...] = ()

    @field_validator("unprotected")
    @classmethod
    def _known(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern in ALWAYS_PROTECTED:
                raise ValueError(f"{pattern!r} is always protected")
            if pattern not in DEFAULT_PROTECTED:
                raise ValueError(f"{pattern!r} is not a pattern of the built-in list")
        return patterns

    @property
    def protected_globs(self) -> tuple[str, ...]:
        kept = [pattern for pattern in DEFAULT_PROTECTED if pattern not in self.unprotected]
        return tuple(dict.fromkeys([*ALWAYS_PROTECTED, *kept, *self.protected]))


class StoreSection(Section):
    """Where the state is kept: without an address in `.swarm/state.db`, otherwise in a PostgreSQL database."""

    url: str | None = None
    url_env: VariableName | None = None
    listen_url: str | None = None
    listen_url_env: VariableName | None = None

    @field_validator("url", "listen_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_address(value):
            raise ValueError(f"not an address of a PostgreSQL database: {MEND}")
        if holds_password(value):
            raise ValueError("a password does not belong here: name a variable in url_env, or keep it in ~/.pgpass")
        return value

    @model_validator(mode="after")
    def _one_address(self) -> StoreSection:
        for name in ("url", "listen_url"):
            if getattr(self, name) is not None and getattr(self, f"{name}_env") is not None:
                raise ValueError(f"both {name} and {name}_env: name one of them")
        return self


class AuditSection(Section):
    """The log of events: how long a swarm's events stay in the database after its end, and how many in all; the rest is
    read from archive files. How often the log is anchored, the file of anchors, and the file with the keys that sign.
    """

    keep_days: Annotated[float, Field(ge=0, le=36_500)] = 90.0
    keep_events: Annotated[int, Field(ge=0)] = 10_000_000
    anchor_every_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    anchor_file: Line | None = None
    key_file: Line | None = None


class SecretsSection(Section):
    """The file with the keys that seal the store's secrets; not below `.swarm/`."""

    key_file: Line | None = None


class SwarmConfig(Section):
    project: ProjectSection
    gates: GatesSection
    models: ModelsSection = ModelsSection()
    providers: dict[Name, ProviderSection] = Field(default_factory=dict[str, ProviderSection])
    prices: dict[str, PriceSection] = Field(default_factory=dict[str, PriceSection])
    budget: BudgetSection = BudgetSection()
    breaker: BreakerSection = BreakerSection()
    limits: LimitsSection = LimitsSection()
    agents: AgentsSection = AgentsSection()
    runtimes: dict[str, RuntimeSection] = Field(default_factory=dict[str, RuntimeSection])
    sandbox: SandboxSection = SandboxSection()
    roles: dict[Name, RoleSection] = Field(default_factory=dict[str, RoleSection])
    environment: EnvironmentSection = EnvironmentSection()
    files: FilesSection = FilesSection()
    merge: MergeSection = MergeSection()
    copies: CopiesSection = CopiesSection()
    context: ContextSection = ContextSection()
    mail: MailSection = MailSection()
    databases: dict[Database, DatabaseSection] = Field(default_factory=dict[str, DatabaseSection])
    review: ReviewsSection = ReviewsSection()
    notify: NotifySection = NotifySection()
    store: StoreSection = StoreSection()
    audit: AuditSection = AuditSection()
    telemetry: TelemetrySection = TelemetrySection()
    secrets: SecretsSection = SecretsSection()

    @model_validator(mode="after")
    def _runtimes_are_known(self) -> SwarmConfig:
        known = (*PROGRAM_RUNTIMES, COMMAND_RUNTIME)
        for name, section in self.runtimes.items():
            if name not in known:
                raise ValueError(f"there is no runtime {name!r} to configure, only {', '.join(known)}")
            wrong, right = ("program", "run") if name == COMMAND_RUNTIME else ("run", "program")
            if getattr(section, wrong) is not None:
                raise ValueError(f"runtimes.{name} takes {right}, not {wrong}")
        chosen = {"runtime": self.agents.runtime}
        chosen |= {f"runtimes.{name}": runtime for name, runtime in self.agents.runtimes.items()}
        for key, runtime in chosen.items():
            if runtime not in {BUILT_IN_RUNTIME, *known}:
                raise ValueError(f"agents.{key} is none of {BUILT_IN_RUNTIME}, {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _provider_is_there(self) -> SwarmConfig:
        for key, model in self.models.named():
            provider = model.partition(":")[0]
            if provider != REHEARSAL and provider not in self.providers:
                raise ValueError(f"{key} names the provider {provider!r}: add a table [providers.{provider}]")
        for gate in self.review.gates or ():
            if gate.model in TIERS and gate.model not in self.models.tiers:
                raise ValueError(f"review {gate.name!r} asks for the tier {gate.model}: add it to [models]")
            asked = REHEARSAL if gate.model in TIERS else (gate.model or REHEARSAL).partition(":")[0]
            if asked != REHEARSAL and asked not in self.providers:
                raise ValueError(f"review {gate.name!r} names the provider {asked!r}: add a table [providers.{asked}]")
        return self

    def role(self, name: str) -> RoleSection:
        """What agents of the role may read, write, run and reach."""
        return boundaries(name, self.roles)

    @field_validator("roles")
    @classmethod
    def _roles_are_whole(cls, roles: dict[str, RoleSection]) -> dict[str, RoleSection]:
        """Here, since a table that is passed on no longer tells what it did not say."""
        return completed(roles)

    @model_validator(mode="after")
    def _databases_are_there(self) -> SwarmConfig:
        for role, section in self.roles.items():
            for name in section.databases:
                if name not in self.databases:
                    raise ValueError(f"roles.{role} reads the database {name!r}: add a table [databases.{name}]")
        return self

    def task_limit(self) -> Limit:
        return Limit(nano_usd(self.budget.task_usd), self.budget.task_tokens, self.limits.task_calls)

    def agent_limit(self) -> Limit:
        return Limit(nano_usd(self.budget.agent_usd), self.budget.agent_tokens)

    def ceilings(self) -> dict[str, Limit]:
        """Every cap beside the swarm's own, by the name of its keys."""
        windows = self.budget.windows
        return {
            "budget.project_*": self.budget.project_limit,
            "budget.month_*": windows[Period.MONTH],
            "budget.day_*": windows[Period.DAY],
            "budget.task_*": self.task_limit(),
            "budget.agent_*": self.agent_limit(),
            "budget.session_*": Limit(self.budget.session_nano_usd, self.budget.session_tokens),
        }

    def session_limits(self) -> SessionLimits:
        return SessionLimits(
            wall_s=self.limits.session_wall_s,
            idle_s=self.limits.session_idle_s,
            tokens=self.budget.session_tokens,
            cost_nano_usd=self.budget.session_nano_usd,
            calls=self.limits.session_calls,
            output_tokens_per_call=self.limits.max_output_tokens,
        )

    def gate_definitions(self) -> tuple[GateDefinition, ...]:
        """The built-in gates, then the configured ones in the order they are written."""
        return (
            *built_in_gates(),
            plan_gate(),
            *(definition_of(name, gate) for name, gate in self.gates.commands.items()),
        )

    @property
    def gate_names(self) -> frozenset[str] | None:
        """The gates a task may name; None with `gates = "none"`: what it names is not asked for then."""
        return None if self.gates.explicitly_none else frozenset({*BUILT_IN_GATES, *self.gates.commands})

    def required_gates(self, kind: str) -> frozenset[str]:
        """The gates a task of `kind` must pass: its own list, else the list `default`, else every gate there is.
        `scope` is always one of them, and the only one for `gates = "none"`. A plan is judged as a plan: the project's own
        gates say nothing about it.
        """
        if kind == PLAN:
            return frozenset({*BUILT_IN_GATES, PLAN_GATE})
        if self.gates.explicitly_none:
            return frozenset({"scope"})
        listed = self.gates.required.get(kind, self.gates.required.get("default"))
        if listed is None:
            listed = (*BUILT_IN_GATES, *self.gates.commands)
        return frozenset({"scope", *listed})


def nano_usd(dollars: Decimal | None) -> int | None:
    """Dollars as integer nano-dollars: exact, since at most nine decimal places are accepted."""
    return None if dollars is None else int(dollars * NANO_USD)
