"""The refusal of a sandbox that cannot give what a session needs: one rule for every back end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import SandboxUnavailableError, UsageError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.protocol import Network

if TYPE_CHECKING:
    from swarmworks.sandbox.protocol import Probe, SandboxSpec


def require(spec: SandboxSpec, probe: Probe) -> None:
    """Raises SandboxUnavailableError naming the first property of the floor that does not hold, and its mend; UsageError for
    a spec no kernel could run.
    """
    if not spec.argv:
        raise UsageError("a sandbox was asked to run an empty command")
    if any("\0" in word for word in (*spec.argv, *spec.environment, *spec.environment.values())):
        raise UsageError(
            "a command's words and variables cannot hold NUL bytes", where=spec.argv[0].replace("\0", "\\0")
        )
    if Property.NETWORK in spec.floor and spec.network is Network.HOST:
        raise SandboxUnavailableError(
            "the floor asks for `network`, but the host's network was asked for as well",
            mend="only the building of environments uses the host's network, with a floor that leaves `network` out",
        )
    for name, asked, key in (
        (Property.EXEC, spec.programs is not None, "programs"),
        (Property.NOEXEC, spec.noexec, "noexec"),
    ):
        if name in spec.floor and not asked:
            raise SandboxUnavailableError(
                f"the floor asks for `{name}`, but nothing says that it is wanted here: `{key}` is not set",
                mend=f"take `{name}` out of the floor of what may run anything",
            )
    for name in sorted(spec.floor - probe.properties):
        reason, _, mend = probe.missing.get(name, "").partition("; mend: ")
        raise SandboxUnavailableError(
            f"the back end {probe.backend} lacks `{name}`, which the floor asks for"
            + (f": {reason}" if reason else ""),
            mend=mend or f"take `{name}` out of the floor, or use a machine that has it",
        )
    if not probe.properties:
        reason, _, mend = next(iter(probe.missing.values()), "nothing holds").partition("; mend: ")
        raise SandboxUnavailableError(f"the back end {probe.backend} does not work here: {reason}", mend=mend)


def held(spec: SandboxSpec, probe: Probe) -> frozenset[Property]:
    """Of what the back end gives, what holds around a process started by `spec`."""
    unasked = {
        Property.NETWORK: spec.network is Network.HOST,
        Property.EXEC: spec.programs is None,
        Property.NOEXEC: not spec.noexec,
    }
    return frozenset(name for name in probe.properties if not unasked.get(name, False))
