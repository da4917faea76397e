"""Images and PDFs in the four formats: bounded for each item, never by their bytes, and refused where they are something else."""

import base64
import json

import pytest

from swarmworks.base.errors import RejectedError
from swarmworks.policy.bound import MediaKind
from swarmworks.provider.anthropic import Messages
from swarmworks.provider.gemini import GenerateContent
from swarmworks.provider.limits import LimitTable
from swarmworks.provider.openai import ChatCompletions
from swarmworks.provider.responses import Responses

FORMATS = {"anthropic": Messages(), "chat": ChatCompletions(), "responses": Responses(), "google": GenerateContent()}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_000)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(3_000)).decode()
WEBP = base64.b64encode(b"RIFF\x00\x10\x00\x00WEBPVP8 " + bytes(3_000)).decode()
GIF = base64.b64encode(b"GIF89a" + bytes(3_000)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(3_000)).decode()
TEXT = base64.b64encode(b"these are words, a great many of them " * 50).decode()


def carried(kind, media_type, data):
    """A request with one image or file in it, as each format carries it."""
    if kind == "anthropic":
        block = "document" if media_type == "application/pdf" else "image"
        source = {"type": "base64", "media_type": media_type, "data": data}
        return {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": block, "source": source}]}]}
    url = f"data:{media_type};base64,{data}"
    if kind == "chat":
        part = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
        if media_type == "application/pdf":
            part = {"type": "file", "file": {"filename": "a.pdf", "file_data": url}}
        return {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}
    if kind == "responses":
        part = {"type": "input_image", "image_url": url}
        if media_type == "application/pdf":
            part = {"type": "input_file", "filename": "a.pdf", "file_data": url}
        return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "look"}, part]}]}
    return {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": media_type, "data": data}}]}]}


def read(kind, body):
    return FORMATS[kind].read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("media_type", "data", "found"),
    [
        ("image/png", PNG, MediaKind.IMAGE),
        ("image/jpeg", JPEG, MediaKind.IMAGE),
        ("image/webp", WEBP, MediaKind.IMAGE),
        ("image/gif", GIF, MediaKind.IMAGE),
        ("application/pdf", PDF, MediaKind.DOCUMENT),
    ],
)
def test_an_image_or_pdf_is_an_item_and_its_payload_no_text(kind, media_type, data, found):
    body = carried(kind, media_type, data)
    demand = read(kind, body)
    assert demand.shape.media == (found,)
    assert demand.shape.text_bytes == len(json.dumps(body)) - len(data)
    [media] = demand.media
    assert (media.payload_bytes, media.item) == (len(data), 0)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", TEXT),  # words that a provider would read as words
        ("image/png", PDF),
        ("application/pdf", PNG),
        ("application/pdf", TEXT),
        ("text/plain", TEXT),
        ("image/svg+xml", TEXT),
        ("image/png", ""),
        ("image/png", "\u00e9" * 40),
        ("image/png", "no base64 at all!"),
        ("audio/wav", TEXT),
        ("video/mp4", TEXT),
    ],
)
def test_what_is_not_the_image_or_pdf_it_says_is_refused(kind, media_type, data):
    with pytest.raises(RejectedError) as refused:
        read(kind, carried(kind, media_type, data))
    assert refused.value.where
    assert refused.value.mend


def test_sound_is_refused_with_its_reason():
    with pytest.raises(RejectedError, match="rates the price table does not hold"):
        read("google", carried("google", "audio/wav", TEXT))
    with pytest.raises(RejectedError, match="rates the price table does not hold"):
        read("chat", {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]})


@pytest.mark.parametrize(
    ("kind", "body", "where"),
    [
        (
            "anthropic",
            {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}]}]},
            "messages[0].content[0]",
        ),
        (
            "anthropic",
            {"messages": [{"content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
            "messages[0].content[0]",
        ),
        ("anthropic", {"system": [{"type": "image", "source": {"type": "base64"}}], "messages": []}, "system[0]"),
        (
            "chat",
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}]},
            "messages[0].content",
        ),
        (
            "chat",
            {
                "messages": [
                    {
                        "content": [
                            {
                                "type": "file",
                                "file": {"file_id": "f", "file_data": f"data:application/pdf;base64,{PDF}"},
                            }
                        ]
                    }
                ]
            },
            "messages[0].content",
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content",
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x/a.pdf"}]}]},
            "input[0].content",
        ),
        (
            "google",
            {"contents": [{"parts": [{"fileData": {"fileUri": "https://x"}}]}]},
            "contents[0].parts[0].fileData",
        ),
        (
            "google",
            {"systemInstruction": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}},
            "systemInstruction.parts[0].inlineData",
        ),
        (
            "google",
            {
                "contents": [
                    {
                        "parts": [
                            {
                                "inlineData": {"mimeType": "image/png", "data": PNG},
                                "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH", "numTokens": 90_000},
                            }
                        ]
                    }
                ]
            },
            "contents[0].parts[0].mediaResolution",
        ),
    ],
)
def test_what_the_provider_would_fetch_or_is_told_to_see_larger_is_refused(kind, body, where):
    with pytest.raises(RejectedError) as refused:
        read(kind, body)
    assert refused.value.where == where


def test_images_in_what_a_tool_returned_are_items_of_their_message():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    demand = read("anthropic", {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": [result]}]})
    assert [(media.kind, media.item) for media in demand.media] == [(MediaKind.IMAGE, 1)]
    output = [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]
    body = {
        "input": [{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "c", "output": output}]
    }
    assert [(media.kind, media.item) for media in read("responses", body).media] == [(MediaKind.IMAGE, 1)]


@pytest.mark.parametrize(
    ("kind", "model", "host", "tokens"),
    [
        ("anthropic", "claude-opus-5", "api.anthropic.com", 4_784),
        ("openai", "gpt-5", "api.openai.com", 70 + 8 * 140),
        ("openai", "gpt-4o-2024-11-20", "api.openai.com", 85 + 8 * 170),
        ("openai", "gpt-4o-mini", "api.openai.com", 2_833 + 8 * 5_667),
        ("openai", "o4-mini", "api.openai.com", 2_642),
        ("openai", "gpt-5-nano", "api.openai.com", 3_779),
        ("openai", "gpt-5.4", "api.openai.com", 24_600),
        ("openai", "gpt-5.4-mini", "api.openai.com", None),  # billed as text, it was seen
        ("openai", "gpt-5.6-sol", "api.openai.com", None),  # keeps any size
        ("openai", "gpt-6-astra", "api.openai.com", None),
        ("google", "gemini-3.5-flash", "generativelanguage.googleapis.com", 2_240),
        ("google", "gemini-2.5-flash", "generativelanguage.googleapis.com", None),
        ("google", "gemini-4-argon", "generativelanguage.googleapis.com", None),
        ("openai", "gpt-5", "proxy.example", None),
        ("openai", "claude-opus-5", "api.anthropic.com", None),  # the vendor's other wire format
    ],
)
def test_the_maximum_of_an_image_is_the_vendors_own_at_its_own_address(kind, model, host, tokens):
    found = LimitTable.load().find(kind, model, f"https://{host}/v1")
    assert found.per_item.get(MediaKind.IMAGE) == tokens
    assert MediaKind.DOCUMENT not in found.per_item
    assert found.whole_input == (host != "proxy.example" and (kind, host) != ("openai", "api.anthropic.com"))
    assert not (kind == "openai" and found.counts)
