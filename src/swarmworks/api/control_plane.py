"""What the API's routes call: the services of one control plane, put together by wiring."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request

from swarmworks.base.ids import IdSource
from swarmworks.service.accounting.report import Report
from swarmworks.service.accounting.status import Status
from swarmworks.service.accounting.why import Why
from swarmworks.service.auditing import Auditing
from swarmworks.service.conversing import Conversing
from swarmworks.service.delivering import Delivering
from swarmworks.service.gateway.price_desk import PriceDesk
from swarmworks.service.gating import Gating
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.inbox.detail import InboxView
from swarmworks.service.inbox.reverting import Reverting
from swarmworks.service.merging import Merging
from swarmworks.service.model_reviews import ModelReviews
from swarmworks.service.reading import Reading
from swarmworks.service.replicas import Replicas
from swarmworks.service.scheduling.finishing import Finishing
from swarmworks.service.scheduling.leasing import Leasing
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.service.secrets import SecretKeeping
from swarmworks.service.transporting import Transporting
from swarmworks.service.verifying import Verifying
from swarmworks.service.waking import Waking
from swarmworks.service.watching import Watching
from swarmworks.store.protocol import Store
from swarmworks.telemetry.counting import CallCounts


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
    reverting: Reverting
    delivering: Delivering
    model_reviews: ModelReviews
    inbox: InboxView
    deciding: Deciding
    watching: Watching
    auditing: Auditing
    conversing: Conversing
    status: Status
    report: Report
    why: Why
    reading: Reading
    verifying: Verifying
    prices: PriceDesk
    secrets: SecretKeeping
    transporting: Transporting
    waking: Waking
    replicas: Replicas
    counts: CallCounts
    hub: str
    gateway_port: int
    operator_token: str = field(repr=False)
    worker_token: str = field(repr=False)


async def services(request: Request) -> ControlPlaneServices:
    return request.app.state.services
