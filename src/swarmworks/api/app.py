"""The control plane's REST API. Thin: authenticate, parse, call a service, answer.

Two tokens exist: the operator's (everything) and the workers' (leased work only). Neither is ever inside a sandbox: agents
reach the gateway, which listens elsewhere.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from swarmworks.api.audit import router as audit_router
from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.api.conversing import router as conversing_router
from swarmworks.api.deliveries import router as deliveries_router
from swarmworks.api.guard import Guard, same
from swarmworks.api.inbox import router as inbox_router
from swarmworks.api.metrics import router as metrics_router
from swarmworks.api.prices import router as prices_router
from swarmworks.api.replicas import router as replicas_router
from swarmworks.api.secrets import router as secrets_router
from swarmworks.api.swarms import router as swarms_router
from swarmworks.api.transport import router as transport_router
from swarmworks.api.workers import router as workers_router
from swarmworks.base.errors import ForbiddenError, InvalidDocumentError, SwarmworksError, UnauthenticatedError
from swarmworks.wire.api import ErrorBody


def build_app(services: ControlPlaneServices) -> FastAPI:
    app = FastAPI(title="Swarmworks", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.services = services
    app.add_middleware(Guard, tokens=(services.operator_token, services.worker_token))
    app.add_exception_handler(SwarmworksError, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.include_router(workers_router, prefix="/api/v1", dependencies=[Depends(worker_only)])
    app.include_router(transport_router, prefix="/api/v1", dependencies=[Depends(worker_only)])
    app.include_router(replicas_router, prefix="/api/v1", dependencies=[Depends(worker_only)])
    app.include_router(swarms_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(conversing_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(inbox_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(audit_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(prices_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(secrets_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(deliveries_router, prefix="/api/v1", dependencies=[Depends(operator_only)])
    app.include_router(metrics_router, dependencies=[Depends(operator_only)])

    @app.get("/health")
    async def health() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "ok"}

    return app


async def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("no bearer token", mend="send Authorization: Bearer <token>")
    return token


async def operator_only(request: Request, token: Annotated[str, Depends(_bearer)]) -> None:
    services: ControlPlaneServices = request.app.state.services
    if same(token, services.operator_token):
        return
    if same(token, services.worker_token):
        raise ForbiddenError("a worker's token does not allow this")
    raise UnauthenticatedError("this token is not valid")


async def worker_only(request: Request, token: Annotated[str, Depends(_bearer)]) -> None:
    services: ControlPlaneServices = request.app.state.services
    if same(token, services.worker_token) or same(token, services.operator_token):
        return
    raise UnauthenticatedError("this token is not valid")


async def _known(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SwarmworksError)
    what = str(error) if isinstance(error, InvalidDocumentError) else error.what
    body = ErrorBody(code=error.code, what=what, where=error.where, mend=error.mend)
    return JSONResponse(body.model_dump(), status_code=error.http_status)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    rows = [f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in error.errors()[:10]]
    body = ErrorBody(code="rejected", what="; ".join(rows))
    return JSONResponse(body.model_dump(), status_code=422)
