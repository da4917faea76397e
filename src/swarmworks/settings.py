"""The only reader of the environment and of configuration files.

Everything above gets what it needs from the values made here; nothing below knows that files or variables exist.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarmworks.base.errors import NotFoundError, UsageError
from swarmworks.domain.anchor import KEY_BYTES
from swarmworks.domain.provider import AccountLimits
from swarmworks.git.locking import held
from swarmworks.policy.egress import Place, places_of
from swarmworks.policy.subscription import Subscription, Window
from swarmworks.store.key_file import GivenKeys, KeyFile
from swarmworks.telemetry.collector import Collector
from swarmworks.wire.config import ProviderKind, ProviderSection, SwarmConfig
from swarmworks.wire.config_file import load_config
from swarmworks.wire.config_models import AccountSection
from swarmworks.wire.database_address import MEND, is_address

CONFIG_NAME = "swarm.toml"
STATE_NAME = ".swarm"
RUN_NAME = "run.json"
TOKENS_NAME = "tokens.json"
LEAST_TOKEN = 20
OTHERS_READ = 0o044
SECRETS_VARIABLE = "SWARM_SECRETS_KEY"
SECRETS_FILE = Path("swarmworks", "secrets.key")  # below the user's folder of configuration
AUDIT_KEY_NAME = "audit.key"
RUN_LOCK_NAME = "run.lock"
PROFILE_VARIABLE = "SWARM_PROFILE"
PERSON_VARIABLE = "SWARM_PERSON"
WORKER_TOKEN_VARIABLE = "SWARM_WORKER_TOKEN"  # noqa: S105 - the variable's name, not a token
OPERATOR_TOKEN_VARIABLE = "SWARM_OPERATOR_TOKEN"  # noqa: S105 - the variable's name, not a token
REACH_VARIABLE = "SWARM_REACH_HOSTS"
STORE_VARIABLE = "SWARM_STORE_URL"
LISTEN_VARIABLE = "SWARM_STORE_LISTEN_URL"
COLLECTOR_HEADERS = tuple(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "TRACES_", "METRICS_", "LOGS_"))
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+: [ -~]+")
DEFAULT_BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}
DEFAULT_KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY"}


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """One account's key, and its limits of a minute. `name` is empty for a provider's only account. `key_secret`: the name of
    the secret of the store that holds the key, which is not read here. `key_fault`: why a key that is there is not used.
    """

    name: str
    key: str | None = field(repr=False)
    key_source: str
    limits: AccountLimits
    key_secret: str | None = None
    key_fault: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """A provider. `key`, `key_source` and so on are those of its first account whose key is there."""

    name: str
    kind: ProviderKind
    base_url: str
    key: str | None = field(repr=False)
    key_source: str
    keys: tuple[ProviderKey, ...] = ()
    key_secret: str | None = None
    key_fault: str | None = None
    subscription: Subscription | None = None

    def with_keys(self, keys: Sequence[ProviderKey]) -> ProviderAccount:
        there = (one for one in keys if one.key is not None or one.key_secret is not None)
        first = next(there, keys[0])
        return replace(
            self,
            key=first.key,
            key_source=first.key_source,
            key_secret=first.key_secret,
            key_fault=first.key_fault,
            keys=tuple(keys),
        )


@dataclass(frozen=True)
class Project:
    """A repository with its configuration. `state` holds everything the platform keeps about it."""

    root: Path
    config: SwarmConfig
    state: Path

    @property
    def name(self) -> str:
        return self.config.project.name


class RunningPlane(BaseModel):
    """How to reach one control plane that runs here."""

    model_config = ConfigDict(frozen=True)
    pid: int
    url: str
    token: str = Field(repr=False)


class RunFile(RunningPlane):
    """How to reach the control plane that was started last, and the `others` that share its state; only their owner can read
    the file.
    """

    others: tuple[RunningPlane, ...] = ()

    def urls(self, token: str) -> tuple[str, ...]:
        """Of all that know this token."""
        return tuple(one.url for one in (self, *self.others) if one.token == token)


def find_project(start: Path) -> Project:
    """The project `start` lies in: the nearest folder upwards with a swarm.toml."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return load_project(folder)
    raise NotFoundError(
        f"there is no {CONFIG_NAME} here or in any folder above",
        where=str(start),
        mend="go to your repository and run `swarm init`",
    )


def load_project(root: Path) -> Project:
    path = root / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8 text: {error.reason}", where=str(path), mend="save it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check its permissions") from error
    config = load_config(text, name=str(path), environment=os.environ, profile=os.environ.get(PROFILE_VARIABLE) or None)
    return Project(root=root, config=config, state=root / STATE_NAME)


def prepare_state(project: Project) -> Path:
    """The state folder, made on first use and invisible to git: it ignores itself."""
    state = project.state
    try:
        state.mkdir(mode=0o700, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        with tempfile.TemporaryFile(dir=state) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        raise UsageError(
            f"the state folder cannot be written: {error.strerror}",
            where=str(state),
            mend="check the folder's permissions and the free space of its disk",
        ) from error
    return state


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """`url` of the database, with its password if it needs one; `listen_url` of the server itself where `url` is a
    pooler's. `source` says where it was found.
    """

    url: str = field(repr=False)
    listen_url: str | None = field(repr=False)
    source: str


def store_address(config: SwarmConfig) -> StoreAddress | None:
    """The database server that holds the state: by SWARM_STORE_URL, else as configured. None: a file of our own does.
    Beside SWARM_STORE_URL the file's `listen_url` does not count: it is another database's, whose schema would be changed.
    """
    section = config.store
    listen = _if_set(LISTEN_VARIABLE)
    if (given := _if_set(STORE_VARIABLE)) is not None:
        return StoreAddress(given, listen, STORE_VARIABLE)
    if listen is None and section.listen_url_env is not None:
        listen = _of_variable(section.listen_url_env, "store.listen_url_env")
    listen = listen or section.listen_url
    if section.url is not None:
        return StoreAddress(section.url, listen, f"store.url in {CONFIG_NAME}")
    if section.url_env is not None:
        return StoreAddress(_of_variable(section.url_env, "store.url_env"), listen, section.url_env)
    return None


def given_address(url: str, option: str) -> StoreAddress:
    """A database server named on the command line."""
    return StoreAddress(_checked(url, option), None, option)


def _if_set(variable: str) -> str | None:
    value = os.environ.get(variable)
    return _checked(value, f"environment variable {variable}") if value else None


def _of_variable(name: str, key: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"the variable {name} is not set", where=f"{key} in {CONFIG_NAME}", mend=f"export {name}=...")
    return _checked(value, f"environment variable {name}")


def _checked(url: str, where: str) -> str:
    """It may hold a password, and is not repeated."""
    if not is_address(url):
        raise UsageError("not an address of a PostgreSQL database", where=where, mend=MEND)
    return url


def audit_keys(project: Project) -> list[bytes]:
    """The keys that sign anchors, one a line in hexadecimal: the last one signs, the others signed before. Empty when there
    is no file of keys yet.
    """
    path = _audit_key_file(project)
    try:
        keys = [bytes.fromhex(line) for line in path.read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UsageError(
            "the keys that sign anchors cannot be read", where=str(path), mend="one a line, 64 hexadecimal digits"
        ) from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise UsageError("not a file of keys", where=str(path), mend="one a line, 64 hexadecimal digits")
    return keys


def made_audit_key(project: Project) -> bytes:
    """The key that signs; made on first use, readable by its owner only. Of several processes that make one, one does."""
    path = _audit_key_file(project)
    try:
        with contextlib.suppress(FileExistsError), tempfile.NamedTemporaryFile("w", dir=path.parent) as new:
            new.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            new.flush()
            os.fsync(new.fileno())
            os.link(new.name, path)
    except OSError as error:
        raise UsageError(
            f"the key that signs anchors cannot be made: {error.strerror}",
            where=str(path),
            mend="see that its folder exists and is writable, or name another file in audit.key_file",
        ) from error
    return audit_keys(project)[-1]


def _audit_key_file(project: Project) -> Path:
    named = project.config.audit.key_file
    return project.state / AUDIT_KEY_NAME if named is None else project.root / Path(named).expanduser()


def secret_keys(project: Project) -> KeyFile | GivenKeys:
    """What seals the store's secrets: keys of the environment, else those of a file."""
    given = os.environ.get(SECRETS_VARIABLE)
    return GivenKeys(given, SECRETS_VARIABLE) if given else secret_key_file(project)


def secret_key_file(project: Project) -> KeyFile:
    """Never beside the database: a copy of the state would open what is sealed in it."""
    named = project.config.secrets.key_file
    if named is None:
        home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        path = Path(home).expanduser() / SECRETS_FILE
    else:
        path = project.root / Path(named).expanduser()
    if path.resolve().is_relative_to(project.state.resolve()):
        raise UsageError(
            "the keys that seal secrets may not lie beside the database", where=str(path), mend="name another folder"
        )
    return KeyFile(path)


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """`value` None: what `source` names is not there, or empty."""

    value: str | None = field(repr=False)
    source: str


def named_secret(variable: str | None, file: str | None) -> NamedSecret | None:
    """What a configuration names instead of holding it; None when it names nothing."""
    if variable is None and file is None:
        return None
    return NamedSecret(*_named(variable, file))


def providers(config: SwarmConfig) -> dict[str, ProviderAccount]:
    """The configured providers with their keys. A key that is not there is None here and refused where it is needed."""
    accounts: dict[str, ProviderAccount] = {}
    for name, section in config.providers.items():
        url = (section.base_url or DEFAULT_BASE_URLS[section.kind]).rstrip("/")
        windows = tuple(Window(one.window_s, one.requests, one.tokens) for one in section.throughput)
        subscription = Subscription(name, windows) if windows else None
        account = ProviderAccount(name, section.kind, url, None, "", subscription=subscription)
        accounts[name] = account.with_keys(_keys(section))
    return accounts


def _keys(section: ProviderSection) -> list[ProviderKey]:
    shared = AccountLimits(section.requests_per_minute, section.tokens_per_minute)
    if not section.accounts:
        return [_key("", section, section.kind, shared)]
    return [
        _key(name, account, section.kind, account.limits() if account.limits() != AccountLimits() else shared)
        for name, account in section.accounts.items()
    ]


def _key(name: str, section: ProviderSection | AccountSection, kind: str, limits: AccountLimits) -> ProviderKey:
    if section.key_secret is not None:
        return ProviderKey(name, None, f"secret {section.key_secret}", limits, key_secret=section.key_secret)
    fault = _open_to_others(section.key_file)
    if fault is not None:
        return ProviderKey(name, None, f"file {section.key_file}", limits, key_fault=fault)
    key, source = _named(section.key_env or DEFAULT_KEY_VARIABLES[kind], section.key_file)
    if key is not None and not (key.isascii() and key.isprintable()):
        return ProviderKey(name, None, source, limits, key_fault="it is no key but several lines, or a file")
    return ProviderKey(name, key, source, limits)


def _open_to_others(file: str | None) -> str | None:
    """Why the file is not fit to hold a key; None when it is, or is not there."""
    if file is None:
        return None
    try:
        mode = Path(file).expanduser().stat().st_mode
    except OSError:
        return None
    return f"others can read it (mode {mode & 0o777:03o}): chmod 600 {file}" if mode & OTHERS_READ else None


def _named(variable: str | None, file: str | None) -> tuple[str | None, str]:
    if file is not None:
        path = Path(file).expanduser()
        try:
            return path.read_text(encoding="utf-8").strip() or None, f"file {path}"
        except (OSError, UnicodeDecodeError):
            return None, f"file {path}"
    return os.environ.get(variable or "") or None, f"environment variable {variable}"


def collector(config: SwarmConfig) -> Collector | None:
    """Who is told of model calls; None: nobody. UsageError when what it wants to be shown is not there."""
    section = config.telemetry
    if section.otlp_endpoint is None:
        return None
    headers: dict[str, str] = {}
    if section.headers_env is not None:
        headers = _headers(os.environ.get(section.headers_env, ""), section.headers_env)
    return Collector(section.otlp_endpoint, headers, section.service_name, section.sample_ratio)


def telemetry_disabled() -> bool:
    """By OpenTelemetry's own variable, whatever is configured."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _headers(text: str, variable: str) -> dict[str, str]:
    """As OTEL_EXPORTER_OTLP_HEADERS has them: `name=value,name=value`, values percent-encoded. They may be secrets, and are
    not repeated.
    """
    rows = [row.partition("=") for row in text.split(",") if row.strip()]
    found = {name.strip(): unquote(value.strip()) for name, _equals, value in rows}
    if not found or not all(_HEADER.fullmatch(f"{name}: {value}") for name, value in found.items()):
        raise UsageError(
            f"the variable {variable} holds no headers",
            where=f"telemetry.headers_env in {CONFIG_NAME}",
            mend=f"export {variable}=name=value, with a comma between several",
        )
    return found


def setup_environment() -> Mapping[str, str]:
    """The caller's environment, of which the building of an environment picks what reaches registries."""
    return dict(os.environ)


def clean_environment(config: SwarmConfig) -> dict[str, str]:
    """The caller's environment without what may be a provider's key or another secret: by the usual names, and by those
    configured.
    """
    named = {section.key_env for section in config.providers.values()} | config.notify.secret_variables
    named |= {one.key_env for section in config.providers.values() for one in section.accounts.values()}
    named |= {
        STORE_VARIABLE,
        LISTEN_VARIABLE,
        config.store.url_env,
        config.store.listen_url_env,
        config.telemetry.headers_env,
        *COLLECTOR_HEADERS,
        "PGPASSWORD",
        OPERATOR_TOKEN_VARIABLE,
        WORKER_TOKEN_VARIABLE,
        SECRETS_VARIABLE,
    }
    named |= {database.url_env for database in config.databases.values()}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in named and not name.endswith(("_API_KEY", "_AUTH_TOKEN"))
    }


def worker_environment(config: SwarmConfig, token: str) -> dict[str, str]:
    """What a worker process started by the local engine gets: the caller's environment without provider keys, with the
    addresses of the databases that roles may read. UsageError when it says wrongly where hosts are.
    """
    reach_places()
    wanted = {database.url_env for database in config.databases.values()}
    databases = {name: os.environ[name] for name in wanted if name in os.environ}
    return {**clean_environment(config), **databases, WORKER_TOKEN_VARIABLE: token}


def database_address(variable: str) -> str:
    """Of a database that roles may read, as the worker's environment has it; "" when it has none."""
    return os.environ.get(variable, "")


def reach_places() -> Mapping[str, Place]:
    """Where hosts are that roles may reach, as the worker's environment says. UsageError when it says it wrongly."""
    try:
        return places_of(os.environ.get(REACH_VARIABLE, ""))
    except ValueError as error:
        mend = f"export {REACH_VARIABLE}=mirror.example=10.1.2.3:8080, with a comma between several"
        raise UsageError(str(error), where=f"environment variable {REACH_VARIABLE}", mend=mend) from None


def worker_token() -> str:
    token = os.environ.get(WORKER_TOKEN_VARIABLE, "")
    if not token:
        raise UsageError(
            f"{WORKER_TOKEN_VARIABLE} is not set", mend="the control plane's engine starts workers with it"
        )
    return token


@dataclass(frozen=True, slots=True)
class Tokens:
    """What opens the API: the operator's everything, the workers' leased work only."""

    operator: str = field(repr=False)
    worker: str = field(repr=False)


def control_plane_tokens(project: Project) -> Tokens:
    """Every replica of an installation has the same: of the environment, else of the state folder where replicas share one.
    A control plane that is the only one makes its own.
    """
    kept = _shared_tokens(project.state / TOKENS_NAME) if store_address(project.config) is not None else _new_tokens()
    operator, worker = _given_token(OPERATOR_TOKEN_VARIABLE), _given_token(WORKER_TOKEN_VARIABLE)
    return Tokens(operator or kept.operator, worker or kept.worker)


def _given_token(variable: str) -> str | None:
    token = os.environ.get(variable) or None
    if token is not None and len(token) < LEAST_TOKEN:
        raise UsageError(
            f"the token has fewer than {LEAST_TOKEN} characters", where=variable, mend="make one: openssl rand -hex 32"
        )
    return token


def _new_tokens() -> Tokens:
    return Tokens(secrets.token_urlsafe(32), secrets.token_urlsafe(32))


def _shared_tokens(path: Path) -> Tokens:
    """Those of the file. The first replica makes it, whole and at once: who starts at the same time finds it, or its own."""
    made = _new_tokens()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump({"operator": made.operator, "worker": made.worker}, stream)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    try:
        found = json.loads(path.read_text())
        return Tokens(str(found["operator"]), str(found["worker"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the tokens cannot be read: {error}",
            where=str(path),
            mend="remove the file, and start every replica again",
        ) from error


def person(root: Path) -> str:
    """Who sits here, for the record: SWARM_PERSON, else git's user.name in this repository, else the account's name."""
    if named := os.environ.get(PERSON_VARIABLE, "").strip():
        return named.encode("utf-8", "replace").decode()
    git = shutil.which("git")
    if git is not None:
        asked = subprocess.run([git, "-C", str(root), "config", "user.name"], capture_output=True, check=False)
        if name := asked.stdout.decode("utf-8", "replace").strip():
            return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry
        return f"uid {os.getuid()}"


def write_run_file(state: Path, run: RunFile) -> None:
    """Adds a control plane to those that run here."""
    with held(state / RUN_LOCK_NAME):
        others = [one for one in _running(state) if one.pid != run.pid]
        _write_running(state, [run, *others])


def read_run_file(state: Path) -> RunFile | None:
    """The control planes of this folder whose processes live; None when there is none."""
    living = _running(state)
    if not living:
        return None
    first, *others = living
    return RunFile(pid=first.pid, url=first.url, token=first.token, others=tuple(others))


def remove_run_file(state: Path, pid: int) -> None:
    """Only its own: others may run beside it, or have been started meanwhile."""
    with held(state / RUN_LOCK_NAME):
        _write_running(state, [one for one in _running(state) if one.pid != pid])


def _running(state: Path) -> list[RunningPlane]:
    try:
        run = RunFile.model_validate(json.loads((state / RUN_NAME).read_text()))
    except (OSError, ValueError, ValidationError):
        return []
    return [one for one in (run, *run.others) if _lives(one.pid)]


def _write_running(state: Path, planes: Sequence[RunningPlane]) -> None:
    path = state / RUN_NAME
    if not planes:
        path.unlink(missing_ok=True)
        return
    first, *others = planes
    run = RunFile(pid=first.pid, url=first.url, token=first.token, others=tuple(map(_alone, others)))
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(run.model_dump_json())
    path.with_suffix(".new").replace(path)


def _alone(plane: RunningPlane) -> RunningPlane:
    return RunningPlane(pid=plane.pid, url=plane.url, token=plane.token)


def _lives(pid: int) -> bool:
    """Whether there is such a process: the file of one that was killed stays, and its port may be somebody else's now."""
    return Path(f"/proc/{pid}").exists()
