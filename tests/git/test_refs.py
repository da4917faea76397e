from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarmworks.base.errors import GitError, RejectedError
from swarmworks.git.hub import BareHub
from tests.git.conftest import AGENT, AT, COMMITTER, git

REF = "refs/heads/swarm/s1"

RACER = """
import sys
from pathlib import Path
from swarmworks.git.hub import BareHub
path, old, *news = sys.argv[1:]
hub = BareHub.open_or_create(Path(path))
print("ready", flush=True)
sys.stdin.readline()
print(sum(hub.update_ref("refs/heads/swarm/s1", new, old) for new in news))
"""


@pytest.fixture
def commits(hub, base):
    tree = hub.tree_of(base)
    return [hub.commit_tree(tree, [base], f"{number}", AGENT, COMMITTER, AT) for number in range(24)]


def racer(hub, old, news):
    return subprocess.Popen(
        [sys.executable, "-c", RACER, str(hub.path), old, *news],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_compare_and_swap(hub, commits, base):
    assert hub.update_ref(REF, commits[0], None)
    assert not hub.update_ref(REF, commits[1], None)
    assert not hub.update_ref(REF, commits[1], commits[2])
    assert hub.resolve(REF) == commits[0]
    assert hub.update_ref(REF, commits[1], commits[0])
    assert hub.resolve(REF) == commits[1]
    hub.delete_ref(REF)
    hub.delete_ref(REF)
    assert hub.resolve(REF) is None
    assert not hub.update_ref(REF, commits[1], commits[0])
    assert hub.update_ref(REF, commits[1], None)


def test_packed_refs_count_as_well(hub, commits):
    hub.update_ref(REF, commits[0], None)
    git(hub.path, "pack-refs", "--all")
    assert not hub.update_ref(REF, commits[1], None)
    assert hub.update_ref(REF, commits[1], commits[0])
    git(hub.path, "pack-refs", "--all")
    hub.delete_ref(REF)
    assert hub.resolve(REF) is None


def test_only_full_names_and_existing_commits(hub, commits):
    for name in ("HEAD", "main", "refs/heads", "refs/heads/../x", "-d", "refs/heads/a b", "refs/heads/x.lock"):
        with pytest.raises(RejectedError):
            hub.update_ref(name, commits[0], None)
    with pytest.raises(GitError):
        hub.update_ref(REF, "f" * 40, None)
    hub.update_ref(REF, commits[0], None)
    with pytest.raises(GitError):
        hub.update_ref(f"{REF}/below", commits[0], None)


def test_of_two_processes_exactly_one_wins(hub, commits, base):
    hub.update_ref(REF, base, None)
    processes = [racer(hub, base, [commit]) for commit in commits[:2]]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(answers) == [0, 1]
    assert hub.resolve(REF) == commits[answers.index(1)]


def test_of_many_threads_exactly_one_wins(hub, commits, base):
    hub.update_ref(REF, base, None)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda new: BareHub.open_or_create(hub.path).update_ref(REF, new, base), commits[:12]))
    assert answers.count(True) == 1
    assert hub.resolve(REF) == commits[answers.index(True)]


@pytest.mark.chaos
def test_killed_in_the_middle_it_is_the_old_or_the_new_and_goes_on(hub, commits, base):
    """A process swaps back and forth as fast as it can and is killed, and its git with it, wherever they happen to be."""
    swapper = RACER.replace("print(sum", "while True: (sum").replace(
        'hub.update_ref("refs/heads/swarm/s1", new, old) for new in news',
        'hub.update_ref("refs/heads/swarm/s1", a, b) for a, b in ((news[0], old), (old, news[0]))',
    )
    git(hub.path, "config", "core.filesRefLockTimeout", "20")
    for number in range(4):
        hub.delete_ref(REF)
        assert hub.update_ref(REF, base, None)
        process = subprocess.Popen(
            [sys.executable, "-c", swapper, str(hub.path), base, commits[0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        for _ in range(number + 1):
            while hub.resolve(REF) != commits[0]:
                pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        process.send_signal(signal.SIGSTOP)
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        value = hub.resolve(REF)
        assert value in {base, commits[0]}
        assert hub.update_ref(REF, commits[1], value)
    git(hub.path, "fsck", "--connectivity-only")


def test_a_lock_left_by_a_kill_is_taken_over(hub, commits, base):
    hub.update_ref(REF, base, None)
    git(hub.path, "config", "core.filesRefLockTimeout", "20")
    lock = hub.path / f"{REF}.lock"
    lock.write_text(commits[0][:10])
    assert not hub.update_ref(REF, commits[1], commits[0])
    lock.write_text("")
    assert hub.update_ref(REF, commits[1], base)
    assert not lock.exists()
    lock.write_text("")
    hub.delete_ref(REF)
    assert hub.resolve(REF) is None


def test_objects_and_refs_are_synced(hub, base, commits, tmp_path):
    """Git says in its own trace what it synced; the count must grow with each object and with the ref."""
    trace = tmp_path / "trace"
    environment = {"GIT_TRACE2_EVENT": str(trace)}
    hub.git.run(hub.path, ["hash-object", "-w", "--stdin"], given=b"new", environment=environment)
    hub.git.run(hub.path, ["update-ref", REF, base], environment=environment)
    counts = [line for line in trace.read_text().splitlines() if "hardware-flush" in line]
    assert len(counts) == 2
