"""`/metrics`: the counts of calls, for the operator alone."""

from __future__ import annotations

import dataclasses
from unittest.mock import sentinel

import httpx
import pytest

from swarmworks.api.app import build_app
from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.telemetry.counting import CallCounts
from tests.telemetry.collector import call


@pytest.fixture
async def ask():
    counts = CallCounts()
    counts.add(call())
    given = {field.name: sentinel.unused for field in dataclasses.fields(ControlPlaneServices)}
    services = ControlPlaneServices(
        **(given | {"counts": counts, "operator_token": "operator", "worker_token": "worker"})
    )
    transport = httpx.ASGITransport(app=build_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://plane") as client:
        yield lambda token: client.get("/metrics", headers={"authorization": f"Bearer {token}"} if token else {})


async def test_the_operator_reads_the_counts_as_prometheus_does(ask):
    answer = await ask("operator")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (
        'llm_cost_dollars{provider="local",model="real-model",operation="chat",estimated="false"} 0.000105001'
        in answer.text
    )


@pytest.mark.parametrize(("token", "status"), [("", 401), ("wrong", 401), ("worker", 403)])
async def test_nobody_else_learns_what_calls_cost(ask, token, status):
    answer = await ask(token)
    assert answer.status_code == status
    assert "llm_" not in answer.text
