"""What of a request's body is its conversation: items that only grow, and the setting that stays.

The delta bound (`policy/delta.py`) rests on it: whatever can change how items are counted belongs to the setting or to an
item, so that a change of it changes the hash. Left out is only what is known to change nothing: caps and samplers of the
output, names for the bill, and marks of where a cache may cut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from swarmworks.policy.bound import json_bytes
from swarmworks.policy.delta import Item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swarmworks.provider.media import Media

CACHE_MARK = "cache_control"


@dataclass(frozen=True, slots=True)
class Conversation:
    """`items` as the body has them but for cache marks; `setting`: everything else that counts; `headers` that do."""

    setting: Mapping[str, Any]
    items: Sequence[object]
    media: Sequence[Media]
    headers: tuple[str, ...] = ()

    def encoded_setting(self) -> Iterator[bytes]:
        yield json.dumps(self.setting).encode()
        for header in self.headers:
            yield header.encode("utf-8", "surrogatepass")

    def encoded_items(self) -> list[bytes]:
        return [json.dumps(item).encode() for item in self.items]

    def added(self, encoded: Sequence[bytes], start: int) -> list[Item]:
        """What the items from `start` on can cost. `encoded` as from `encoded_items`."""
        carried: dict[int, list[Media]] = {}
        for each in self.media:
            carried.setdefault(each.item, []).append(each)
        found: list[Item] = []
        for at in range(start, len(encoded)):
            media = carried.get(at, [])
            longest = json_bytes(self.items[at]) if b"\\u" in encoded[at] else len(encoded[at])
            text = longest - sum(each.payload_bytes for each in media)
            found.append(Item(text, tuple(each.kind for each in media)))
        return found


def setting_of(values: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """The members of a body in the order of their names: their order changes nothing."""
    return {key: values[key] for key in sorted(values) if key not in left_out}


def unmarked(blocks: object) -> object:
    """Blocks without their cache marks, and those of blocks inside a tool's result. A mark inside a tool's arguments is the
    user's own data, and stays.
    """
    if not isinstance(blocks, list):
        return blocks
    return [_unmarked_block(block) for block in cast("list[object]", blocks)]


def _unmarked_block(block: object) -> object:
    if not isinstance(block, dict):
        return block
    found = cast("dict[str, Any]", block)
    if found.get("type") == "tool_result" and isinstance(found.get("content"), list):
        found = {**found, "content": unmarked(found["content"])}
    if CACHE_MARK in found:
        found = {key: value for key, value in found.items() if key != CACHE_MARK}
    return found
