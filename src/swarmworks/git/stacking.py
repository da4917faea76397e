"""Candidates: changes merged one on top of the other, as many in one go as are asked for.

Each becomes a commit with one parent, the candidate before it, as it will land. One that conflicts is left out, and the next
is built without it. A batch is durable when it is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.git.objects import commit_text, made_by_merges, sync, write_loose
from swarmworks.git.protocol import Candidate, Conflicted, Piece
from swarmworks.git.uniting import united

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.hub import BareHub


def stack(hub: BareHub, target: str, pieces: Sequence[Piece]) -> list[Candidate | Conflicted]:
    """An answer for each of `pieces`, in order. `target` is a full commit id."""
    answers: list[Candidate | Conflicted] = []
    merges: list[tuple[str, tuple[str, str]]] = []
    commits: list[str] = []
    tip_tree, *trees = hub.trees_of([target, *(piece.head for piece in pieces)])
    tip = target
    for piece, tree in zip(pieces, trees, strict=True):
        merged, added_to = hub.merge(tip, piece.head, durable=False), tuple[str, ...]()
        if isinstance(merged, Conflicted):
            answer = united(hub, tip, piece.head, merged.paths, piece.union)
            if answer is None:
                answers.append(merged)
                continue
            merged, added_to = answer, merged.paths
        message = piece.message.encode("utf-8", "backslashreplace") or b"\n"
        text = commit_text(merged.tree, [tip], message, piece.author, piece.committer, piece.at)
        write_loose(hub.path, text)
        merges.append((merged.tree, (tip_tree, tree)))
        commits.append(text.name)
        answers.append(Candidate(text.name, merged.tree, tip, added_to))
        tip, tip_tree = text.name, merged.tree
    sync(hub.path, [*made_by_merges(hub.persistent, merges), *commits])
    return answers
