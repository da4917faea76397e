"""Bodies that are short to send and long to read: refused by the number of their values, before anything is made of them."""

import json

import pytest

from swarmworks.base.errors import RejectedError
from swarmworks.provider import jsonbody
from swarmworks.provider.jsonbody import MOST_VALUES

MANY = MOST_VALUES + 10
HOSTILE = {
    "messages": b'{"messages": [' + b"{}," * MANY + b"{}]}",
    "numbers": b'{"messages": [{"input": [' + b"1," * MANY + b"1]}]}",
    "nested": b'{"messages": ' + b"[" * MANY,
    "members": b"{" + b",".join(b'"%d":1' % n for n in range(MANY)) + b"}",
    "texts": b'{"messages": [' + b'"",' * (3 * MANY) + b'""]}',
    "texts in lists": b'{"messages": [' + b'[""],' * (MANY // 2) + b'[""]]}',
    "behind a quote": b'{"a": "\\\\", "messages": [' + b"{}," * MANY + b"{}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_more_values_than_any_conversation_has_are_refused_unread(name, monkeypatch):
    monkeypatch.setattr(jsonbody, "_parse", None)
    with pytest.raises(RejectedError, match="more than 300,000 JSON values") as refused:
        jsonbody.parse(HOSTILE[name])
    assert "shorter conversation" in refused.value.mend


@pytest.mark.parametrize("value", [1, "x", {}, [], [1], {"a": "b"}])
def test_values_are_counted_once(value, monkeypatch):
    monkeypatch.setattr(jsonbody, "MOST_VALUES", 1_000)
    inside = 2 if value in ([1], {"a": "b"}) else 1
    body = {"messages": [value] * (998 // inside)}
    assert jsonbody.parse(json.dumps(body).encode()).values == body
    with pytest.raises(RejectedError):
        jsonbody.parse(json.dumps({"messages": [value] * (1_002 // inside)}).encode())


@pytest.mark.parametrize("text", ["1,2,[3],{4}" * MOST_VALUES, 'a "quoted", \\" \\\\ {[' * MOST_VALUES])
def test_what_stands_inside_of_text_is_no_value(text):
    assert (
        jsonbody.parse(json.dumps({"messages": [{"content": text}]}).encode()).values["messages"][0]["content"] == text
    )


def test_as_many_values_as_may_be_are_read():
    values = MOST_VALUES - 10
    assert len(jsonbody.parse(json.dumps({"messages": [1] * values}).encode()).values["messages"]) == values
