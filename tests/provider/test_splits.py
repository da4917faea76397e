"""Streams cut at any byte, and in every shape the standard of server-sent events allows: the events and the bill stay."""

import json
from collections import deque

import pytest

from swarmworks.base.errors import ProviderUnavailableError
from swarmworks.provider.sse import EventSplitter, data_of
from swarmworks.service.gateway.routes import CHAT, GEMINI_STREAM, MESSAGES, RESPONSES
from tests.service.gateway.upstream import Answer, chat_events, event, generate_events, message_events, response_events

FORMATS = {
    "openai": (CHAT, chat_events),
    "responses": (RESPONSES, response_events),
    "anthropic": (MESSAGES, message_events),
    "google": (GEMINI_STREAM, generate_events),
}
ANSWERS = {
    "text": Answer(texts=("hé", "漢\r\n\n😀", "x\n\n")),
    "tool": Answer(tool=True),
    "repeated": Answer(repeat_usage=True),
    "uncounted": Answer(omit_usage=True),
}
LIMIT = 100_000


def recorded(kind, answer):
    return b"".join(FORMATS[kind][1]({"stream_options": {"include_usage": True}}, answer))


SHAPES = {
    "lf": lambda stream: stream,
    "crlf": lambda stream: stream.replace(b"\n", b"\r\n"),
    "cr": lambda stream: stream.replace(b"\n", b"\r"),
    "comments": lambda stream: (
        b": hello\n\n" + stream.replace(b"data: ", b": ping\ndata: ").replace(b"\n\n", b"\n:\n\n")
    ),
    "no space": lambda stream: stream.replace(b"data: ", b"data:"),
    "other fields": lambda stream: stream.replace(b"data: ", b"id: 7\nretry: 5\nunknown\ndata: "),
    "several lines": lambda stream: b"".join(
        b"\n".join(_lines(each)) + b"\n\n" for each in stream.split(b"\n\n") if each
    ),
    "bom": lambda stream: b"\xef\xbb\xbf" + stream,
}
"""The same events in every shape that the standard allows."""


def shaped(stream, shape):
    return SHAPES[shape](stream)


def _lines(event):
    """An event's JSON, over several lines of data."""
    head, _, data = event.rpartition(b"data: ")
    lines = [data] if data == b"[DONE]" else json.dumps(json.loads(data), indent=1).encode().split(b"\n")
    return [*filter(None, head.split(b"\n")), *(b"data: " + line for line in lines)]


def metered(kind, chunks):
    """What comes out, and what it costs."""
    splitter, meter = EventSplitter(LIMIT), FORMATS[kind][0].meter()
    events = []
    for chunk in chunks:
        for each in splitter.feed(chunk):
            meter.feed(each)
            events.append(each)
    meter.feed(splitter.rest())
    return events, splitter.rest(), meter.billed()


def told(events):
    found = filter(None, map(data_of, events))
    return [data if data == b"[DONE]" else json.loads(data) for data in found]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_in_any_shape_says_and_costs_the_same(kind, name, shape):
    plain = recorded(kind, ANSWERS[name])
    events, _rest, billed = metered(kind, [plain])
    assert (billed is None) == (name == "uncounted")
    stream = shaped(plain, shape)
    others, rest, same = metered(kind, [stream])
    assert (told(others), b"".join(others) + rest, same) == (told(events), stream, billed)


@pytest.mark.parametrize(
    ("name", "shape"), [*(("text", shape) for shape in SHAPES), ("tool", "lf"), ("repeated", "crlf")]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_cut_in_two_at_any_byte_is_what_it_was(kind, name, shape):
    stream = shaped(recorded(kind, ANSWERS[name]), shape)
    whole = metered(kind, [stream])
    for at in range(1, len(stream)):
        events, rest, billed = metered(kind, [stream[:at], stream[at:]])
        assert same_events(events, rest, whole), at
        assert billed == whole[2], at


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_that_comes_in_small_pieces_is_what_it_was(kind, name, shape):
    stream = shaped(recorded(kind, ANSWERS[name]), shape)
    whole = metered(kind, [stream])
    for size in (1, 2, 3, 7):
        events, rest, billed = metered(kind, [stream[at : at + size] for at in range(0, len(stream), size)])
        assert same_events(events, rest, whole)
        assert billed == whole[2]


def same_events(events, rest, whole):
    """A line that ends in two bytes may be cut between them: then the second one opens the next event."""
    strip = b"\r\n"
    return b"".join(events) + rest == b"".join(whole[0]) + whole[1] and [
        each.strip(strip) for each in (*events, rest) if each.strip(strip)
    ] == [each.strip(strip) for each in (*whole[0], whole[1]) if each.strip(strip)]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_that_ends_at_any_byte_costs_the_exact_price_or_is_not_known(kind):
    stream = recorded(kind, ANSWERS["text"])
    _events, _rest, billed = metered(kind, [stream])
    assert billed is not None
    for at in range(len(stream)):
        assert metered(kind, [stream[:at]])[2] in (None, billed), at


@pytest.mark.parametrize("size", [1, 1_000])
def test_an_event_larger_than_the_limit_is_given_up_however_it_comes(size):
    stream, splitter = event({"x": "y" * 2 * LIMIT}), EventSplitter(LIMIT)
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    with pytest.raises(ProviderUnavailableError, match=str(LIMIT)):
        deque(map(splitter.feed, pieces), maxlen=0)
