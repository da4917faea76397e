"""Candidates: changes merged one on top of the other, as many in one go as are asked for.

Each becomes a commit with one parent, the candidate before it, as it will land. One that conflicts is left out, and the next
is built without it. A batch is durable when it is returned; until then nobody else sees anything of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.git.objects import commit_text
from swarmworks.git.protocol import Candidate, Conflicted, Merged, Piece
from swarmworks.git.uniting import united

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.hub import BareHub
    from swarmworks.git.merging import Merging


def stack(hub: BareHub, target: str, pieces: Sequence[Piece]) -> list[Candidate | Conflicted]:
    """An answer for each of `pieces`, in order. `target` is a full commit id."""
    answers: list[Candidate | Conflicted] = []
    tip = target
    with hub.merging() as merging:
        for piece in pieces:
            merged, added_to = _merged(hub, merging, tip, piece.head), tuple[str, ...]()
            if isinstance(merged, Conflicted):
                answer = _united(hub, merging, tip, piece, merged.paths)
                if answer is None:
                    answers.append(merged)
                    continue
                merged, added_to = answer, merged.paths
            message = piece.message.encode("utf-8", "backslashreplace") or b"\n"
            text = commit_text(merged.tree, [tip], message, piece.author, piece.committer, piece.at)
            merging.write(text)
            answers.append(Candidate(text.name, merged.tree, tip, added_to))
            tip = text.name
        merging.keep()
    return answers


def _merged(hub: BareHub, merging: Merging, tip: str, head: str) -> Merged | Conflicted:
    answer = merging.merge(tip, head)
    if answer is None:
        merging.keep()  # the git that is asked now is to see what it stands on
        return hub.merge_alone(tip, head)
    if answer[1]:
        found = hub.merge_alone(tip, head, merging.environment)  # says more
        merging.bound()
        return found
    return Merged(answer[0])


def _united(hub: BareHub, merging: Merging, tip: str, piece: Piece, paths: Sequence[str]) -> Merged | None:
    if not piece.union:
        return None
    merging.keep()
    return united(hub, tip, piece.head, paths, piece.union)
