"""The only reader of the environment and of configuration files.

Everything above gets what it needs from the values made here; nothing below knows that files or variables exist.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from swarmworks.base.errors import NotFoundError, UsageError
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_file import load_config

CONFIG_NAME = "swarm.toml"
STATE_NAME = ".swarm"
RUN_NAME = "run.json"
PROFILE_VARIABLE = "SWARM_PROFILE"
WORKER_TOKEN_VARIABLE = "SWARM_WORKER_TOKEN"  # noqa: S105 - the variable's name, not a token
DEFAULT_BASE_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
DEFAULT_KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    name: str
    kind: str
    base_url: str
    key: str | None = field(repr=False)
    key_source: str


@dataclass(frozen=True)
class Project:
    """A repository with its configuration. `state` holds everything the platform keeps about it."""

    root: Path
    config: SwarmConfig
    state: Path

    @property
    def name(self) -> str:
        return self.config.project.name


class RunFile(BaseModel):
    """How to reach the control plane that is running now; only its owner can read the file."""

    model_config = ConfigDict(frozen=True)
    pid: int
    url: str
    token: str


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


def providers(config: SwarmConfig) -> dict[str, ProviderAccount]:
    """The configured providers with their keys. A key that is not there is None here and refused where it is needed."""
    accounts: dict[str, ProviderAccount] = {}
    for name, section in config.providers.items():
        key, source = _key(section.kind, section.key_env, section.key_file)
        url = (section.base_url or DEFAULT_BASE_URLS[section.kind]).rstrip("/")
        accounts[name] = ProviderAccount(name, section.kind, url, key, source)
    return accounts


def _key(kind: str, variable: str | None, file: str | None) -> tuple[str | None, str]:
    if file is not None:
        path = Path(file).expanduser()
        try:
            return path.read_text(encoding="utf-8").strip() or None, f"file {path}"
        except OSError:
            return None, f"file {path}"
    name = variable or DEFAULT_KEY_VARIABLES[kind]
    return os.environ.get(name) or None, f"environment variable {name}"


def setup_environment() -> Mapping[str, str]:
    """The caller's environment, of which the building of an environment picks what reaches registries."""
    return dict(os.environ)


def clean_environment(config: SwarmConfig) -> dict[str, str]:
    """The caller's environment without what may be a provider's key: by the usual names, and by those configured."""
    named = {section.key_env for section in config.providers.values()}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in named and not name.endswith(("_API_KEY", "_AUTH_TOKEN"))
    }


def worker_environment(config: SwarmConfig, token: str) -> dict[str, str]:
    """What a worker process started by the local engine gets: the caller's environment without provider keys."""
    return {**clean_environment(config), WORKER_TOKEN_VARIABLE: token}


def worker_token() -> str:
    token = os.environ.get(WORKER_TOKEN_VARIABLE, "")
    if not token:
        raise UsageError(
            f"{WORKER_TOKEN_VARIABLE} is not set", mend="the control plane's engine starts workers with it"
        )
    return token


def write_run_file(state: Path, run: RunFile) -> None:
    path = state / RUN_NAME
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(run.model_dump_json())
    path.with_suffix(".new").replace(path)


def read_run_file(state: Path) -> RunFile | None:
    try:
        return RunFile.model_validate(json.loads((state / RUN_NAME).read_text()))
    except (OSError, ValueError, ValidationError):
        return None


def remove_run_file(state: Path, pid: int) -> None:
    """Only its own: a control plane that started meanwhile has written another."""
    run = read_run_file(state)
    if run is not None and run.pid == pid:
        (state / RUN_NAME).unlink(missing_ok=True)
