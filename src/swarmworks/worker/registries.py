"""How builds reach package registries: the host's own package manager settings, certificates and local indexes.

Only builds of environments get them, never a session or a gate. `settings.py` hands in the environment and the home folder.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from swarmworks.sandbox.protocol import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PIP_CONFIG_INSIDE = "/swarm/pip.conf"
_VARIABLES = re.compile(
    r"(PIP_.*|UV_(INDEX.*|DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|NATIVE_TLS|SYSTEM_CERTS)|SSL_CERT_FILE|SSL_CERT_DIR|"
    r"REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|CARGO_HTTP_CAINFO|GOPROXY|GOSUMDB|GONOSUMDB|GOFLAGS|"
    r"NPM_CONFIG_REGISTRY|npm_config_registry|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy)"
)
_NOT_PASSED = {
    "PIP_CONFIG_FILE",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_CACHE_DIR",
}
_PLACES = {"find-links", "extra-index-url", "index-url", "cert", "client-cert"}
_SHOWN_ANYWAY = ("/usr", "/bin", "/lib", "/lib64", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/pip.conf")
_MAX_MOUNTS = 32


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """`variables` may hold credentials of an index: they are shown to builds and left out of reprs."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    mounts: tuple[Mount, ...] = ()


def registry_access(environment: Mapping[str, str], home: Path, system: Path = Path("/etc/pip.conf")) -> RegistryAccess:
    """From the worker's `environment`, the pip configuration of the system and of `home`."""
    variables = {
        name: value for name, value in environment.items() if _VARIABLES.fullmatch(name) and name not in _NOT_PASSED
    }
    own = _own_pip_config(environment, home)
    named = [*_places_of_variables(variables), *_places_of_config(system)]
    mounts: list[Mount] = []
    if own is not None:
        mounts.append(Mount(own, PIP_CONFIG_INSIDE))
        variables["PIP_CONFIG_FILE"] = PIP_CONFIG_INSIDE
        named += _places_of_config(own)
    mounts += _existing(named)
    return RegistryAccess(variables, tuple(mounts))


def _own_pip_config(environment: Mapping[str, str], home: Path) -> Path | None:
    """The user's: pip reads the file of PIP_CONFIG_FILE in place of those in the home folder."""
    stated = environment.get("PIP_CONFIG_FILE")
    wanted = [Path(stated)] if stated else [home / ".config" / "pip" / "pip.conf", home / ".pip" / "pip.conf"]
    return next((path.resolve() for path in wanted if path.is_file()), None)


def _places_of_variables(variables: Mapping[str, str]) -> list[str]:
    return [word for value in variables.values() for word in value.replace(",", " ").split()]


def _places_of_config(path: Path) -> list[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return []
    return [
        word
        for section in parser.sections()
        for key, value in parser.items(section)
        if key.replace("_", "-") in _PLACES
        for word in value.split()
    ]


def _existing(words: Iterable[str]) -> list[Mount]:
    """Read-only mounts of the local files and folders that `words` name, by absolute path or file: address."""
    found: dict[str, Mount] = {}
    for word in words:
        text = unquote(urlsplit(word).path) if word.startswith("file:") else word
        path = Path(text)
        if path.name == "simple" and len(path.parts) > 2:
            path = path.parent  # the pages of a local index link to files beside them
        if not path.is_absolute() or len(path.parts) < 2 or not path.exists():
            continue
        if any(path.is_relative_to(shown) for shown in (*_SHOWN_ANYWAY, *found)):
            continue
        found[str(path)] = Mount(path.resolve(), str(path))
    return list(found.values())[:_MAX_MOUNTS]
