"""Images and PDFs inside a request, in base64. Their payload is no text: it is bounded for each item, not by its bytes.

So nothing passes as an image that a provider would read as text: the type that is declared and the first bytes of the
payload must both say that it is one. What the provider would fetch (by URL or file id) is refused: an agent reaches the
gateway and nothing else. Sound and video are refused: they are billed at rates that the price table does not hold.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from swarmworks.policy.bound import MediaKind
from swarmworks.provider.format import mapping, one_of, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.base.errors import RejectedError

MEND = "send text, or a PNG, JPEG, GIF or WebP image or a PDF in base64"
_HEAD = 48  # characters of base64 that are decoded to see what it is
_IMAGE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|....ftyp(heic|heix|mif1|msf1)", re.DOTALL)
_DECLARED = {
    MediaKind.IMAGE: frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/heic", "image/heif"}),
    MediaKind.DOCUMENT: frozenset({"application/pdf"}),
}
_DATA_URL = re.compile(r"data:([a-z0-9.+/-]{1,60});base64,")
_SENSES = ("audio", "video")


@dataclass(frozen=True, slots=True)
class Media:
    """One image or PDF. `place` in the request, `item` of the conversation, `payload_bytes` of base64."""

    kind: MediaKind
    payload_bytes: int
    place: str
    item: int


def in_base64(data: object, declared: object, *, place: str, item: int) -> Media:
    """RejectedError for what is not in base64, or not what it is declared to be."""
    kind = next((kind for kind, types in _DECLARED.items() if one_of(declared, types)), None)
    if kind is None:
        raise _refused(place, f"media of type {str(declared)[:60]!r} has no bound", str(declared))
    if not isinstance(data, str) or not data.isascii():
        raise refuse(place, "the payload is not in base64", MEND)
    if not _looks_like(kind, data):
        raise refuse(place, f"the payload is not what its type {declared} says", MEND)
    return Media(kind, len(data), place, item)


def in_data_url(url: object, *, place: str, item: int) -> Media:
    """Of a `data:` URL. RejectedError for any other: the provider would fetch it."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None:
        raise refuse(place, "what the provider would fetch has no bound, and reaches beyond the gateway", MEND)
    return in_base64(cast("str", url)[found.end() :], found.group(1), place=place, item=item)


def anthropic_block(block: Mapping[str, Any], *, place: str, item: int) -> Media:
    """An image or document block whose source is in base64."""
    source = mapping(block.get("source"))
    if source.get("type") != "base64":
        raise refuse(
            place, f"a block of type {str(block.get('type'))[:40]!r} that the provider fetches has no bound", MEND
        )
    return in_base64(source.get("data"), source.get("media_type"), place=place, item=item)


def unbounded(kind: object, place: str) -> RejectedError:
    """For a part or block of a type that is not known."""
    return _refused(place, f"a part of type {str(kind)[:40]!r} has no bound", str(kind))


def _refused(place: str, why: str, kind: str) -> RejectedError:
    if any(sense in kind for sense in _SENSES):
        return refuse(place, f"{why}: sound and video are billed at rates the price table does not hold", "send text")
    return refuse(place, why, MEND)


def _looks_like(kind: MediaKind, data: str) -> bool:
    try:
        head = base64.b64decode(data[:_HEAD] + "=" * (-len(data[:_HEAD]) % 4), validate=True)
    except binascii.Error:
        return False
    return head.startswith(b"%PDF-") if kind is MediaKind.DOCUMENT else _IMAGE.match(head) is not None
