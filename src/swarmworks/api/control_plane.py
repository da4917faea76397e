"""What the API's routes call: the services of one control plane, put together by wiring."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request

from swarmworks.base.ids import IdSource
from swarmworks.service.accounting.report import Report
from swarmworks.service.accounting.status import Status
from swarmworks.service.auditing import Auditing
from swarmworks.service.gating import Gating
from swarmworks.service.merging import Merging
from swarmworks.service.scheduling.finishing import Finishing
from swarmworks.service.scheduling.leasing import Leasing
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.service.waking import Waking
from swarmworks.service.watching import Watching
from swarmworks.store.protocol import Store


@dataclass(frozen=True)
class ControlPlaneServices:
    """`hub` is the path of the project's bare repository, `gateway_port` where sandboxes are relayed to."""

    store: Store
    ids: IdSource
    swarms: Swarms
    leasing: Leasing
    finishing: Finishing
    gating: Gating
    merging: Merging
    watching: Watching
    auditing: Auditing
    status: Status
    report: Report
    waking: Waking
    hub: str
    gateway_port: int
    operator_token: str = field(repr=False)
    worker_token: str = field(repr=False)


def services(request: Request) -> ControlPlaneServices:
    return request.app.state.services
