"""The delta bound: a request that goes on with a conversation costs what the provider counted for it so far, and what was
added.

    input bound = input + output counted for the prefix + bytes of the added items + 64 for each + media + frame

Why each term is there, for a prefix whose every item, and everything beside the items that can change how they are counted,
hashes to what it was:

- *Input counted*: the same items make the same tokens. It is the provider's own exact total, cached or not.
- *Output counted*: the answer comes back among the added items, and may bring in more than its bytes: reasoning that the
  provider hides behind an id or a signature was part of that output.
- *Bytes of the added items*: one token per byte of the longest reading, as in `policy/bound.py`. The answer among them is
  bounded by its bytes once more: text is not always cut into the tokens it was generated in.
- *64 for each added item*: what a provider may put around an item: roles, separators, how much of the window is left.
- *Media*: the published maximum for each added item; none published, no delta.
- *Frame*: what a provider wraps around a request may have changed since, and where the prefix ends a token may be cut
  differently.

What may drop a part of the prefix and take it in again later (edits of the context, truncation) has no delta; see
`Demand.conversation`. Nor has anything whose usage is not known to count what was read from a cache.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.policy.bound import frame_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swarmworks.domain.budget import Usage
    from swarmworks.policy.bound import MediaKind, Shape

ITEM_TOKENS = 64
MOST_HELD = 20_000  # conversations of one process, some 5 MB; what falls out is bounded by its bytes again
KEPT_S = 3_600.0  # a name may stand for another model by then
PLAUSIBLE_BYTES = 32  # per token: a count below that is not believed


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a conversation that was added."""

    text_bytes: int
    media: tuple[MediaKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """The longest prefix of a conversation that was counted: `length` items."""

    length: int
    counted: Usage


def chain(setting: Iterable[bytes], encoded: Iterable[bytes]) -> list[bytes]:
    """The digest of each prefix, the whole conversation's last. Every byte is hashed once. `setting`: all that changes how
    items are counted.
    """
    running = hashlib.sha256()
    for part in setting:
        running.update(len(part).to_bytes(8))
        running.update(part)
    digests: list[bytes] = []
    for item in encoded:
        running.update(len(item).to_bytes(8))
        running.update(item)
        digests.append(running.copy().digest())
    return digests


def delta_bound(shape: Shape, counted: Usage, added: Iterable[Item], per_item: Mapping[MediaKind, int]) -> int | None:
    """Tokens, at most; None when an added item has none."""
    bound = counted.input_tokens + counted.output_tokens + frame_tokens(shape)
    for item in added:
        if any(kind not in per_item for kind in item.media):
            return None
        bound += item.text_bytes + ITEM_TOKENS + sum(per_item[kind] for kind in item.media)
    return bound


def believable(usage: Usage, shape: Shape, match: Match | None) -> bool:
    """A conversation that grew and was counted shorter, or one counted in a fraction of the tokens any tokenizer makes of
    it, is no base to build a bound on.
    """
    if usage.input_tokens * PLAUSIBLE_BYTES < shape.text_bytes:
        return False
    return match is None or usage.input_tokens >= match.counted.input_tokens


class Counts:
    """What providers counted, by the digest of the conversation, in memory alone: the least recently used goes first. Large bodies are
    looked up by a thread of their own.
    """

    def __init__(self, most: int = MOST_HELD, kept_s: float = KEPT_S) -> None:
        self._most = most
        self._kept_s = kept_s
        self._held: OrderedDict[bytes, tuple[float, Usage]] = OrderedDict()
        self._order = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, digest: bytes, usage: Usage, now: float) -> None:
        """`now` in seconds of a clock that never goes back."""
        with self._order:
            self._held[digest] = (now + self._kept_s, usage)
            self._held.move_to_end(digest)
            if len(self._held) > self._most:
                self._held.popitem(last=False)

    def longest(self, digests: Sequence[bytes], now: float) -> Match | None:
        """By the digests of all prefixes, shortest first."""
        for length in range(len(digests), 0, -1):
            found = self._held.get(digests[length - 1])
            if found is not None and found[0] > now:
                self._used(digests[length - 1])
                return Match(length, found[1])
        return None

    def _used(self, digest: bytes) -> None:
        with self._order:
            if digest in self._held:  # not pushed out in this moment
                self._held.move_to_end(digest)
