"""Routes by which workers without the project's hub fetch commits and push what their sessions wrote."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.base.ids import WorkId
from swarmworks.domain.lease import WorkerLease
from swarmworks.wire.transport import FetchCommits, PushWork

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.post("/commits/fetch")
async def fetch(body: FetchCommits, plane: Services) -> Response:
    lease = WorkerLease(body.worker_id, body.worker_fence, 0.0)
    pack = await plane.transporting.fetch(lease, body.wants, body.haves)
    return Response(pack, media_type="application/x-git-pack")


@router.post("/work/{work_id}/push")
async def push(work_id: WorkId, body: PushWork, plane: Services) -> None:
    lease = WorkerLease(body.worker_id, body.worker_fence, 0.0)
    await plane.transporting.push(lease, work_id, body.fence, body.commit, body.pack)
