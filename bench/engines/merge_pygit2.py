"""Run in `.venv-bench`: merge the branches named on standard input one after the other with libgit2, and say how fast."""

from __future__ import annotations

import sys
import time

import pygit2


def main() -> None:
    repository = pygit2.Repository(sys.argv[1])
    tip, *heads = (pygit2.Oid(hex=line.strip()) for line in sys.stdin)
    who = pygit2.Signature("Bench", "bench@swarm.invalid", 1_700_000_000, 0)
    repository.references.create("refs/heads/bench", tip, force=True)
    started = time.perf_counter()
    tree = None
    for head in heads:
        index = repository.merge_commits(tip, head)
        if index.conflicts is not None:
            raise SystemExit(f"{head} conflicts")
        tree = index.write_tree(repository)
        tip = repository.create_commit("refs/heads/bench", who, who, "landed\n", tree, [tip])
    print(len(heads) / (time.perf_counter() - started), tree)


if __name__ == "__main__":
    main()
