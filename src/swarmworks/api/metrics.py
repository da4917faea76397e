"""The counts of this control plane, for whoever scrapes them. What calls cost is the operator's to know: no other token
opens it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.telemetry import prometheus

router = APIRouter()

Services = Annotated[ControlPlaneServices, Depends(services)]


@router.get("/metrics", include_in_schema=False)
async def metrics(plane: Services) -> PlainTextResponse:
    return PlainTextResponse(prometheus.text(plane.counts.snapshot()), media_type=prometheus.CONTENT_TYPE)
