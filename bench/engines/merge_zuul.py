"""Run in `.venv-zuul`: merge the branches named on standard input one after the other with the merger of Zuul, and say how fast.

Its `Repo` fetches what it merges from its remote, which is the repository here, and merges in a working copy, as it does in
production.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from zuul.merger.merger import Repo


def main() -> None:
    logging.disable(logging.CRITICAL)
    remote = sys.argv[1]
    subprocess.run(
        ["git", f"--git-dir={remote}", "config", "uploadpack.allowAnySHA1InWant", "true"],
        check=True,
        capture_output=True,
    )
    tip, *heads = (line.strip() for line in sys.stdin)
    with tempfile.TemporaryDirectory(prefix="bench-zuul-") as temporary:
        local = str(Path(temporary) / "repository")
        repository = Repo(f"file://{remote}", local, "bench@swarm.invalid", "Bench", "1000", "30")
        repository.fetch(tip)
        repository.checkout(tip, sparse_paths=None)
        started = time.perf_counter()
        for head in heads:
            repository.merge(head)
        rate = len(heads) / (time.perf_counter() - started)
        tree = repository.revParse("HEAD^{tree}")
    print(rate, tree)


if __name__ == "__main__":
    main()
