"""The API's door: who may come in, and how much they may bring."""

from __future__ import annotations

import httpx
import pytest

from swarmworks.api.guard import MOST_BODY_BYTES, Guard


class Inside:
    """Says what reached it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.calls = 0

    async def __call__(self, _scope, receive, send) -> None:
        self.calls += 1
        more = True
        while more:
            message = await receive()
            self.bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


@pytest.fixture
async def door():
    inside = Inside()
    transport = httpx.ASGITransport(app=Guard(inside, ("operator", "worker")))
    async with httpx.AsyncClient(transport=transport, base_url="http://plane") as client:
        yield client, inside


@pytest.mark.parametrize(
    "header", [b"", b"Bearer wrong", b"Basic operator", "Bearer \xe9".encode("latin-1"), b"Bearer "]
)
async def test_a_body_is_not_read_for_somebody_without_a_token(door, header):
    client, inside = door
    answer = await client.post("/api/v1/swarms", content=b"x" * 100, headers={b"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert inside.calls == 0


@pytest.mark.parametrize("token", ["operator", "worker"])
async def test_a_valid_token_comes_in(door, token):
    client, inside = door
    answer = await client.post("/x", content=b"hello", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, inside.bytes) == (200, 5)


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(door):
    client, inside = door
    headers = {"authorization": "Bearer worker", "content-length": str(MOST_BODY_BYTES + 1)}
    answer = await client.post("/x", content=b"", headers=headers)
    assert answer.json()["code"] == "limit_reached"
    assert inside.calls == 0


async def test_health_is_open(door):
    client, _inside = door
    assert (await client.get("/health")).status_code == 200
