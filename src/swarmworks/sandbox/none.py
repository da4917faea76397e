"""The back end for machines without bubblewrap or user namespaces: no isolation, only order.

A clean environment, limits, bounded output and a tree that is hunted down to the last process. The program sees the host's
files and network as the user who started the worker. Nothing here is a boundary; the properties say so.
"""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox import launch
from swarmworks.sandbox.bubblewrap import PATH
from swarmworks.sandbox.floor import held, require
from swarmworks.sandbox.limits import resource_limits, tasks_of_user
from swarmworks.sandbox.process import LaunchedProcess
from swarmworks.sandbox.protocol import Network, Probe, SandboxSpec
from swarmworks.sandbox.view import translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.sandbox.inside import Restrictions
    from swarmworks.sandbox.launcher import Order
    from swarmworks.sandbox.protocol import Mount

_BACKEND: Final = "none"
_NO_ISOLATION: Final = "the back end none isolates nothing; mend: apt-get install bubblewrap"
_ROOT: Final = "the worker runs as root, and so do its programs, whose number the kernel then does not limit; mend: start the worker as an ordinary user"


class NoSandbox:
    """Implements Sandbox. `why` tells, for each property, what keeps the machine from a better back end."""

    def __init__(self, state_dir: Path, *, why: Mapping[Property, str] | None = None) -> None:
        self._state_dir = state_dir.absolute()
        self._why = why or {}

    def probe(self) -> Probe:
        if platform.system() != "Linux":
            reason = "the launcher needs Linux; mend: run the worker on Linux or in a Linux virtual machine"
            return Probe(_BACKEND, frozenset(), dict.fromkeys(Property, reason))
        held = {Property.ENVIRONMENT}
        if os.geteuid() != 0:
            held |= {Property.LIMITS, Property.UNPRIVILEGED}
        missing = {name: self._why.get(name, _NO_ISOLATION) for name in Property if name not in held}
        for name in (Property.LIMITS, Property.UNPRIVILEGED):
            if name in missing:
                missing[name] = _ROOT
        return Probe(_BACKEND, frozenset(held), missing)

    async def start(self, spec: SandboxSpec) -> LaunchedProcess:
        """Where a mount's target is not its source, words of `argv`, variables and the workdir that name something below the
        target name the source instead: there is no mount namespace to make it appear. `protected` and read-only mounts are
        not enforced. The listener is a port of the host: choose a free one for each session.
        """
        probe = self.probe()
        require(spec, probe)
        channels, started = await launch.start(self._order(spec), [], spec.limits)
        return await LaunchedProcess.adopt(channels, started, spec, held(spec, probe))

    def _order(self, spec: SandboxSpec) -> Order:
        home = self._state_dir / "home"
        home.mkdir(parents=True, exist_ok=True)
        workdir = Path(translate(spec.workdir, spec.mounts))
        if not workdir.is_dir():
            raise SandboxUnavailableError(f"the workdir {workdir} does not exist")
        return {
            "identity": None,
            "bubblewrap": [],
            "sources": [],
            "own_network": False,
            "listener_port": spec.listener_port if spec.network is Network.LISTENER else None,
            "restrictions": unrestricted(spec),
            "argv": [translate(word, spec.mounts) for word in spec.argv],
            "environment": {"PATH": PATH, "HOME": str(home), **translated_variables(spec)},
            "workdir": str(workdir),
        }

    def own(self, path: Path) -> None:
        """Programs run as the caller: nothing to hand over."""

    def seen(self, path: str, mounts: tuple[Mount, ...]) -> str:
        return translate(path, mounts)

    def listener_port(self) -> int:
        return free_port()


def free_port() -> int:
    """One of the host's, for the listener of one session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unrestricted(spec: SandboxSpec) -> Restrictions:
    """Nothing but the limits."""
    return {
        "limits": resource_limits(spec.limits, beside=tasks_of_user()),
        "seccomp": b"",
        "landlock": None,
        "covers": [],
        "masks": [],
        "noexec": [],
    }


def translated_variables(spec: SandboxSpec) -> dict[str, str]:
    return {
        name: ":".join(translate(part, spec.mounts) for part in value.split(":"))
        for name, value in spec.environment.items()
    }
