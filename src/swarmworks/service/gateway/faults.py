"""One table from the error tree to what a client is told, and whether the session has a future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import (
    BudgetExceededError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    SwarmworksError,
    UnauthenticatedError,
    UnpricedError,
)
from swarmworks.provider.format import Fault
from swarmworks.service.gateway.bodies import CrowdedError
from swarmworks.service.gateway.ledger import AccountClosedError
from swarmworks.service.gateway.queue import BusyError
from swarmworks.service.gateway.sessions import StoppedError, TooManyCallsError
from swarmworks.service.gateway.turns import CredentialsRefusedError, NoTurnError, RateLimitedError
from swarmworks.service.gateway.wire import BodyTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` for the record; `stop`: no later call of the session can succeed."""

    fault: Fault
    reason: str
    stop: bool = False


_TABLE: tuple[tuple[type[SwarmworksError], Verdict], ...] = (
    (UnauthenticatedError, Verdict(Fault.UNAUTHENTICATED, "unauthenticated")),
    (ForbiddenError, Verdict(Fault.FORBIDDEN, "forbidden")),
    (NotFoundError, Verdict(Fault.NOT_FOUND, "not_found")),
    (BodyTooLargeError, Verdict(Fault.TOO_LARGE, "rejected")),
    (BusyError, Verdict(Fault.BUSY, "busy")),
    (CrowdedError, Verdict(Fault.BUSY, "busy")),
    (RateLimitedError, Verdict(Fault.BUSY, "busy")),
    (CredentialsRefusedError, Verdict(Fault.FORBIDDEN, "provider_403", stop=True)),
    (BudgetExceededError, Verdict(Fault.REJECTED, "budget", stop=True)),
    (UnpricedError, Verdict(Fault.REJECTED, "unpriced", stop=True)),
    (StoppedError, Verdict(Fault.REJECTED, "stopped", stop=True)),
    (TooManyCallsError, Verdict(Fault.REJECTED, "calls", stop=True)),
    (AccountClosedError, Verdict(Fault.REJECTED, "closed", stop=True)),
    (RejectedError, Verdict(Fault.REJECTED, "rejected")),
    (SwarmworksError, Verdict(Fault.UNAVAILABLE, "unavailable")),
)


def verdict(error: SwarmworksError) -> Verdict:
    return next(found for kind, found in _TABLE if isinstance(error, kind))


def headers(fault: Fault, error: SwarmworksError, retry_after_s: int) -> Mapping[str, str]:
    """A refusal for good must not be tried again by a client library; one for now says when."""
    if fault in (Fault.BUSY, Fault.UNAVAILABLE):
        known = error.retry_after_s if isinstance(error, NoTurnError | BusyError) else None
        return {"content-type": "application/json", "retry-after": str(known or retry_after_s)}
    return {"content-type": "application/json", "x-should-retry": "false"}
