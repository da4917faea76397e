"""`swarm.toml`, version 1: one project's choices, read once and frozen.

`settings.py` reads the file and hands its text to `load_config`; nothing here touches a disk or the environment. No value
is a secret: keys are named (`key_env`, `key_file`), never held, so a configuration may be printed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from swarmworks.domain.gate import GateDefinition, GateStage
from swarmworks.domain.session import SessionLimits
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED

NANO_USD = 1_000_000_000
REHEARSAL = "rehearsal"
BUILT_IN_GATES = ("scope", "secrets")
RESERVED_GATES = (*BUILT_IN_GATES, "required")

ReaderName = Literal["exit", "junit", "coverage", "ruff", "mypy", "lines"]
SandboxProperty = Literal[
    "files", "protected", "network", "exec", "syscalls", "processes", "limits", "quota", "environment", "unprivileged"
]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Line = Annotated[str, Field(min_length=1, max_length=4_000)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ProjectSection(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$")]
    default_branch: Annotated[str, Field(min_length=1, max_length=200)] = "main"
    language: Annotated[str, Field(min_length=1, max_length=40)] = "python"
    framework: str = ""


class ModelsSection(Section):
    default: str = REHEARSAL

    @field_validator("default")
    @classmethod
    def _shape(cls, value: str) -> str:
        provider, colon, model = value.partition(":")
        if value != REHEARSAL and not (provider and colon and model):
            raise ValueError('must be "rehearsal" or "provider:model", such as "openai:gpt-5"')
        return value


class ProviderSection(Section):
    """Where a model provider answers, and the name of what holds its key (never the key)."""

    kind: Literal["openai", "anthropic"]
    base_url: Annotated[str, Field(pattern=r"^https?://", max_length=500)] | None = None
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    key_file: Line | None = None

    @model_validator(mode="after")
    def _one_key_and_none_in_the_address(self) -> ProviderSection:
        if self.key_env and self.key_file:
            raise ValueError("key_env and key_file exclude each other")
        if self.base_url and "@" in self.base_url.split("//", 1)[1].split("/", 1)[0]:
            raise ValueError("base_url holds a user or password; name the key with key_env or key_file")
        return self


class PriceSection(Section):
    """Dollars for a million tokens. A cache price left out is the input price."""

    input_usd_per_mtok: Dollars
    output_usd_per_mtok: Dollars
    cache_read_usd_per_mtok: Dollars | None = None
    cache_write_usd_per_mtok: Dollars | None = None


class BudgetSection(Section):
    """Caps in dollars and tokens; a cap left out does not bound that level, and the levels above it still do."""

    swarm_usd: Dollars | None = None
    task_usd: Dollars | None = None
    session_usd: Dollars | None = None
    session_tokens: Annotated[int, Field(gt=0)] | None = 2_000_000

    @property
    def swarm_nano_usd(self) -> int | None:
        return nano_usd(self.swarm_usd)

    @property
    def task_nano_usd(self) -> int | None:
        return nano_usd(self.task_usd)

    @property
    def session_nano_usd(self) -> int | None:
        return nano_usd(self.session_usd)


class LimitsSection(Section):
    session_wall_s: Seconds = 900.0
    session_idle_s: Seconds = 120.0
    session_calls: Annotated[int, Field(gt=0, le=10_000)] = 100
    attempts: Annotated[int, Field(gt=0, le=20)] = 3
    command_timeout_s: Seconds = 120.0
    max_output_tokens: Annotated[int, Field(gt=0, le=1_000_000)] = 8_192


class AgentsSection(Section):
    """`roles` are given out in turn, so a name may stand twice; empty: the roles the plan asks for."""

    count: Annotated[int, Field(gt=0, le=10_000)] = 12
    roles: tuple[Name, ...] = ()


class SandboxSection(Section):
    """`floor`: what must hold around every agent and gate; a machine that cannot give it is refused."""

    floor: frozenset[SandboxProperty] = frozenset(
        {"files", "protected", "network", "syscalls", "processes", "limits", "environment", "unprivileged"}
    )
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = 4_096
    processes: Annotated[int, Field(ge=8, le=65_536)] = 512


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


class GateSection(Section):
    """One gate: a command (`run`), or the reading of a report another gate left (`from`)."""

    run: Line | None = None
    source: Annotated[Name | None, Field(alias="from")] = None
    reads: ReaderName = "exit"
    stages: frozenset[Literal["change", "candidate"]] = frozenset({"candidate"})
    timeout_s: Seconds = 300.0
    floor: Annotated[float, Field(ge=0, le=100)] | None = None
    cache: bool = False
    nothing_exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> GateSection:
        if (self.run is None) == (self.source is None):
            raise ValueError("a gate has either run (a command) or from (the gate whose report it reads)")
        if self.source is not None and self.reads not in {"coverage", "junit"}:
            raise ValueError('a gate with from reads a report: reads = "coverage" or "junit"')
        if not self.stages:
            raise ValueError("a gate without a stage never runs")
        return self


class GatesSection(Section):
    """All gates of the project. `explicitly_none` is the written choice `gates = "none"`, never a default."""

    commands: dict[Name, GateSection] = Field(default_factory=dict[str, GateSection])
    required: dict[Name, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    explicitly_none: bool = False

    @model_validator(mode="after")
    def _references(self) -> GatesSection:
        known = {*self.commands, *BUILT_IN_GATES}
        for name, gate in self.commands.items():
            if name in RESERVED_GATES:
                raise ValueError(f"{name!r} is built in and cannot be configured")
            if gate.source is None:
                continue
            source = self.commands.get(gate.source)
            if source is None or source.run is None:
                raise ValueError(f"gate {name!r} reads from {gate.source!r}, which is no gate with a command")
            if not gate.stages <= source.stages:
                raise ValueError(f"gate {name!r} has a stage that {gate.source!r}, which it reads from, has not")
        for kind, names in self.required.items():
            for name in names:
                if name not in known:
                    raise ValueError(f"required for {kind!r}: there is no gate {name!r}")
        return self


class SwarmConfig(Section):
    project: ProjectSection
    gates: GatesSection
    models: ModelsSection = ModelsSection()
    providers: dict[Name, ProviderSection] = Field(default_factory=dict[str, ProviderSection])
    prices: dict[str, PriceSection] = Field(default_factory=dict[str, PriceSection])
    budget: BudgetSection = BudgetSection()
    limits: LimitsSection = LimitsSection()
    agents: AgentsSection = AgentsSection()
    sandbox: SandboxSection = SandboxSection()
    environment: EnvironmentSection = EnvironmentSection()
    files: FilesSection = FilesSection()

    @model_validator(mode="after")
    def _provider_is_there(self) -> SwarmConfig:
        provider = self.models.default.partition(":")[0]
        if provider != REHEARSAL and provider not in self.providers:
            raise ValueError(f"models.default names the provider {provider!r}: add a table [providers.{provider}]")
        return self

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
            *(_definition(name, gate) for name, gate in self.gates.commands.items()),
        )

    def required_gates(self, kind: str) -> frozenset[str]:
        """The gates a task of `kind` must pass: its own list, else the list `default`, else every gate there is.
        `scope` is always one of them, and the only one for `gates = "none"`.
        """
        if self.gates.explicitly_none:
            return frozenset({"scope"})
        listed = self.gates.required.get(kind, self.gates.required.get("default"))
        if listed is None:
            listed = (*BUILT_IN_GATES, *self.gates.commands)
        return frozenset({"scope", *listed})


def built_in_gates() -> tuple[GateDefinition, ...]:
    stages = frozenset({GateStage.CHANGE, GateStage.CANDIDATE})
    return tuple(GateDefinition(name=name, command=None, reader=name, stages=stages) for name in BUILT_IN_GATES)


def _definition(name: str, gate: GateSection) -> GateDefinition:
    """Every gate runs on the candidate, whatever other stage it is given: what lands is judged whole."""
    return GateDefinition(
        name=name,
        command=gate.run,
        reader=gate.reads,
        stages=frozenset({GateStage.CANDIDATE, *(GateStage(stage) for stage in gate.stages)}),
        timeout_s=gate.timeout_s,
        nothing_exit_codes=gate.nothing_exit_codes,
        floor=gate.floor,
        cache=gate.cache,
        source=gate.source,
    )


def nano_usd(dollars: Decimal | None) -> int | None:
    """Dollars as integer nano-dollars: exact, since at most nine decimal places are accepted."""
    return None if dollars is None else int(dollars * NANO_USD)
