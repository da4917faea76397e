"""The platform's tools as an agent's MCP client sees them: over HTTP, with the session's token."""

from __future__ import annotations

import asyncio

import pytest

from swarmworks.base.ids import QuestionId
from swarmworks.domain.question import QuestionState
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import Guidance
from tests.api.agents import JSON, sites


@pytest.fixture
async def site(tmp_path, request):
    async with sites(tmp_path, agents={"answer_wait_s": getattr(request, "param", 0.0)}) as (found,):
        yield found


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_a_client_of_either_version_gets_its_tools(site, version):
    hello = await site.rpc("initialize", protocolVersion=version, capabilities={}, clientInfo={"name": "x"})
    assert hello["result"]["protocolVersion"] == version
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = await site.send(note, **{"mcp-protocol-version": version})
    assert (answer.status_code, answer.content) == (202, b"")
    assert (await site.rpc("ping"))["result"] == {}
    tools = (await site.rpc("tools/list"))["result"]["tools"]
    assert {tool["name"] for tool in tools} == {
        "hand_in",
        "ask_person",
        "progress",
        "task",
        "rejections",
        "request_scope",
    }
    assert all(tool["inputSchema"]["type"] == "object" for tool in tools)


async def test_what_is_no_call_is_refused_without_a_word_of_what_is_inside(site):
    auth = {"authorization": f"Bearer {site.work.token}"}
    assert (await site.client.get("/mcp", headers=auth)).status_code == 405
    assert (await site.client.delete("/mcp", headers=auth)).status_code == 200
    assert (await site.client.post("/mcp", content=b"{}", headers=JSON)).status_code == 401
    assert (await site.send(b"{}", authorization="Bearer swk_other")).status_code == 401
    assert (await site.send(b"[[[")).json()["error"]["code"] == -32700
    assert (await site.send(b"[" * 100_000)).status_code == 400
    assert (await site.send([1])).json()["error"]["code"] == -32600
    assert (await site.send(b" " * (2 << 20))).status_code >= 400
    assert (await site.send({}, **{"mcp-protocol-version": "1999-01-01"})).status_code == 400
    assert (await site.rpc("resources/list"))["error"]["code"] == -32601
    assert (await site.rpc("tools/call", name="rm", arguments={}))["error"]["code"] == -32602


HEAD = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff\xfe", b"null", b'"x"', b"0", b"{}", b"[]", b'{"jsonrpc":"2.0","id":1,"method":7}'),
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"ping"}',
        b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"\\ud800\\u0000"}',
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":["2025-06-18"]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        HEAD + b'{"name":["hand_in"],"arguments":1}}',
        HEAD + b'{"name":"hand_in","arguments":[]}}',
        HEAD + b'{"name":"hand_in","arguments":{"outcome":NaN,"done":1e999}}}',
        HEAD + b'{"name":"hand_in","arguments":{"\\ud800":"\\ud800"}}}',
        HEAD + b'{"name":"hand_in","arguments":' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}}",
        HEAD + b'{"name":"hand_in","arguments":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}",
        HEAD + b'{"name":"take_over","arguments":{"task":"\\ud800","owns":["\\ud800"],"left":"\\u0000"}}}',
        HEAD + b'{"name":"request_scope","arguments":{"paths":["\\ud800","a\\u0000b"],"reason":"\\u0000"}}}',
        HEAD
        + b'{"name":"request_scope","arguments":{"paths":'
        + b'["a/../../b"'
        + b',"x"' * 50_000
        + b'],"reason":"r"}}}',
        HEAD + b'{"name":"send_message","arguments":{"to":"\\ud800","text":"\\u202e"}}}',
        HEAD + b'{"name":"progress","arguments":{"text":"' + b"x" * 1_000_000 + b'"}}}',
    ],
    ids=range(26),
)
async def test_whatever_an_agent_sends_is_answered_and_harms_nothing(site, body):
    answer = await site.send(body)
    assert answer.status_code in {200, 202, 400}, answer.text
    assert len(answer.content) < 10_000
    assert answer.status_code == 202 or "jsonrpc" in answer.json()
    assert site.handed_in == []
    assert (await site.rpc("ping"))["result"] == {}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8181", 200),
        ("http://localhost", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
async def test_a_page_of_a_browser_is_not_served(site, origin, status):
    assert (await site.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, origin=origin)).status_code == status


async def test_a_handoff_that_does_not_fit_is_answered_with_what_is_wrong(site):
    text, wrong = await site.tool("hand_in", outcome="done", done="x" * 3000, changed=[{"path": "a"}])
    assert wrong
    assert all(word in text for word in ("not handed in", "outcome", "done", "changed.0.what"))
    text, wrong = await site.tool("hand_in", outcome="needs_answer", done="stuck")
    assert (wrong, "question" in text) == (True, True)
    assert site.handed_in == []
    assert await site.tool("hand_in", outcome="submitted", done="did it") == ("Handed in. The session ends now.", False)
    assert site.handed_in == [site.work.session_id]


async def test_progress_is_on_record_and_bounded(site):
    assert await site.tool("progress", text="half way") == ("noted", False)
    text, wrong = await site.tool("progress", text="and on")
    assert (text.startswith("not noted"), wrong) == (True, False)
    (row,) = await site.events("session.progress")
    assert (row.data, row.task_id) == ({"text": "half way"}, "t0")


@pytest.mark.parametrize("site", [60.0], indirect=True)
async def test_an_answer_comes_back_while_the_agent_waits(site):
    asking = asyncio.create_task(site.tool("ask_person", question="Blue or red?"))
    asked = []
    while not asked:
        ticket = site.waking.ticket()
        asked = await site.events("question.asked")
        if not asked:
            await ticket
    question_id = QuestionId(asked[0].data["question"])
    await site.plane.store.transact(lambda tx: tx.answer_question(question_id, "blue", "person:Ada"))
    assert await asyncio.wait_for(asking, 10) == ("A person answers: blue", False)


async def test_without_an_answer_the_agent_hears_how_to_go_on_and_the_question_stays_open_once(site):
    for _ in range(2):
        text, wrong = await site.tool("ask_person", question="Blue or red?")
        assert (wrong, "needs_answer" in text) == (False, True)
    assert len(await site.questions()) == 1
    for number in range(9):
        await site.tool("ask_person", question=f"And {number}?")
    text, wrong = await site.tool("ask_person", question="And one more?")
    assert (wrong, "10 questions" in text) == (True, True)


ASKS = {"outcome": "needs_answer", "done": "half", "question": "Blue or red?"}


async def test_a_session_that_needs_an_answer_blocks_its_task_and_costs_no_attempt(site):
    await site.tool("ask_person", question="Blue or red?")
    await site.end(SessionOutcome.ASKED, ASKS)
    found = await site.task()
    assert (str(found.state), found.attempts, found.note) == ("blocked", 0, "asks: Blue or red?")
    (question,) = await site.questions()
    assert question.state is QuestionState.OPEN
    (row,) = await site.events("task.asked")
    assert row.data["question"] == question.id


async def test_an_answer_that_crosses_the_handoff_is_not_lost(site):
    await site.tool("ask_person", question="Blue or red?")
    (question,) = await site.questions()
    await site.plane.store.transact(lambda tx: tx.answer_question(question.id, "blue", "person:Ada"))
    await site.end(SessionOutcome.ASKED, ASKS)
    found = await site.task()
    assert str(found.state) == "ready"
    assert isinstance(found.guidance, Guidance)
    assert "Blue or red?" in found.guidance.note
    assert "blue" in found.guidance.note
    (again,) = await site.worker.take()
    assert again.last_head is not None
    assert [note.text for note in again.notes] == ["half"]


async def test_a_question_nobody_waits_for_any_more_is_withdrawn(site):
    await site.tool("ask_person", question="Blue or red?")
    await site.end(SessionOutcome.SUBMITTED, {"outcome": "submitted", "done": "guessed red"})
    (question,) = await site.questions()
    assert question.state is QuestionState.WITHDRAWN
    assert (await site.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})).status_code == 401
