"""Run in `.venv-bench`: merge the branches named on standard input one after the other with dulwich, and say how fast."""

from __future__ import annotations

import sys
import time

from dulwich.graph import find_merge_base
from dulwich.merge import three_way_merge
from dulwich.objects import Commit
from dulwich.repo import Repo


def main() -> None:
    with Repo(sys.argv[1]) as repository:
        tip, *heads = (line.strip().encode() for line in sys.stdin)
        store = repository.object_store
        repository.refs[b"refs/heads/bench"] = tip
        started = time.perf_counter()
        for head in heads:
            (base,) = find_merge_base(repository, [tip, head])
            tree, conflicts = three_way_merge(store, repository[base], repository[tip], repository[head])
            if conflicts:
                raise SystemExit(f"{head.decode()} conflicts")
            store.add_object(tree)
            commit = Commit()
            commit.tree, commit.parents, commit.message = tree.id, [tip], b"landed\n"
            commit.author = commit.committer = b"Bench <bench@swarm.invalid>"
            commit.author_time = commit.commit_time = 1_700_000_000
            commit.author_timezone = commit.commit_timezone = 0
            store.add_object(commit)
            if not repository.refs.set_if_equals(b"refs/heads/bench", tip, commit.id):
                raise SystemExit("the reference moved")
            tip = commit.id
        print(len(heads) / (time.perf_counter() - started), tree.id.decode())


if __name__ == "__main__":
    main()
