"""Candidates by processes that are kept: the same answers as git's own commands give, whatever becomes of those processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import pytest

from swarmworks.base.errors import GitError, RejectedError
from swarmworks.git import objects
from swarmworks.git.command import Git
from swarmworks.git.hub import BareHub
from swarmworks.git.persistent import Persistent, Talk
from swarmworks.git.protocol import Candidate, Conflicted, Identity, Merged, Piece
from tests.git.conftest import AGENT, AT, COMMITTER, git

ODD = ["Ada", " .,Ada\\;:'\"", "<Ada>", "", "A\ud7ffda\n", "\tAda\x7f", "漢 字"]


def brought(repository, hub, files, *, on):
    commit = repository.commit(files, on=on)
    hub.import_commit(repository.root, commit)
    return commit


def piece(head, message="landed\n"):
    return Piece(head, message, AGENT, COMMITTER, AT)


def loose(hub):
    return {path.parent.name + path.name for path in (hub.path / "objects").glob("??/*")}


def children():
    """Those that live: one that was killed is waited for when somebody asks it."""
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if "git" in " ".join(one.cmdline())]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("message", ["plain\n", "", "no end", "ünï\n\n\nx: y\n"])
def test_a_commit_is_the_one_that_git_would_write(hub, base, name, message):
    who = Identity(name, name)
    ours = hub.commit_tree(hub.tree_of(base), [base, base], message, who, COMMITTER, AT)
    plain = objects.signature(who).partition(" <")
    environment = {
        "GIT_AUTHOR_NAME": plain[0],
        "GIT_AUTHOR_EMAIL": plain[2][:-1],
        "GIT_AUTHOR_DATE": f"@{int(AT.timestamp())} +0000",
    }
    environment |= {"GIT_COMMITTER_NAME": COMMITTER.name, "GIT_COMMITTER_EMAIL": COMMITTER.email}
    environment |= {"GIT_COMMITTER_DATE": environment["GIT_AUTHOR_DATE"]}
    arguments = ["commit-tree", "-p", base, hub.tree_of(base)]
    theirs = (
        Git().run(hub.path, arguments, given=message.encode() or b"\n", environment=environment).out.decode().strip()
    )
    assert ours == theirs
    git(hub.path, "fsck", "--strict")


def test_names_that_are_no_objects_are_refused_in_words(hub, base):
    with pytest.raises(GitError):
        hub.commit_tree("f" * 40, [base], "m", AGENT, COMMITTER, AT)
    with pytest.raises(GitError):
        hub.commit_tree(hub.tree_of(base), [hub.tree_of(base)], "m", AGENT, COMMITTER, AT)
    with pytest.raises(RejectedError):
        hub.commit_tree(hub.tree_of(base), ["-x"], "m", AGENT, COMMITTER, AT)
    with pytest.raises(GitError):
        hub.merge(base, "e" * 40)


def test_a_stack_is_what_merging_one_after_the_other_gives(repository, hub, base):
    heads = [
        brought(repository, hub, {f"new{n}.txt": f"{n}\n", "src/b.py": f"x = 1\n{'#' * n}\n"}, on=base) for n in (1, 2)
    ]
    heads.append(brought(repository, hub, {"a.txt": "one\ntwo\nthree\nfour\n"}, on=base))
    first, clash, second = hub.stack(base, [piece(head) for head in heads])
    assert isinstance(first, Candidate)
    assert isinstance(clash, Conflicted)
    assert isinstance(second, Candidate)
    assert clash.paths == ("src/b.py",)
    assert "src/b.py" in clash.detail
    assert (first.target, second.target) == (base, first.commit)
    merged = hub.merge(first.commit, heads[2])
    assert merged == Merged(second.tree)
    assert hub.commit_tree(second.tree, [first.commit], "landed\n", AGENT, COMMITTER, AT) == second.commit
    assert hub.conflicts(first.commit, heads[1]) == ("src/b.py",)
    assert hub.conflicts(first.commit, heads[2]) == ()
    git(hub.path, "fsck", "--strict")


@pytest.mark.parametrize("rounds", [1, 3])
def test_killed_processes_are_missed_by_nobody(repository, hub, base, rounds):
    theirs = brought(repository, hub, {"n.txt": "n\n"}, on=base)
    expected = hub.merge(base, theirs)
    for _ in range(rounds):
        found = children()
        assert found
        for one in found:
            os.kill(one.pid, signal.SIGKILL)
        assert hub.merge(base, theirs) == expected
        assert hub.tree_of(theirs) == git(repository.root, "rev-parse", f"{theirs}^{{tree}}")
        assert hub.kept_lines(base, theirs, hub.tree_of(base)) == ("n.txt",)
        assert hub.update_ref("refs/heads/x", theirs, None)
        assert not hub.update_ref("refs/heads/x", base, None)
        hub.delete_ref("refs/heads/x")


class Instead:
    """A git whose kept processes are something else."""

    def __init__(self, *program, timeout_s=20.0):
        self.timeout_s = timeout_s
        self._program = program

    def start(self, _hub, _arguments, **_how):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(self._program, start_new_session=True, bufsize=0, **pipes)


def test_one_that_answers_before_it_has_heard_all_is_read_meanwhile(tmp_path):
    cat = Instead("cat")
    talk = Talk(cat.start(tmp_path, ()), cat.timeout_s)
    question = b"x" * (1 << 20) + b"end"
    talk.say(question)
    assert talk.until(lambda left: len(left) if left.endswith(b"end") else -1, 2 << 20) == question
    talk.end()


def test_one_that_does_not_read_is_given_up_in_time(tmp_path):
    deaf = Persistent(Instead("sleep", "600", timeout_s=0.2), tmp_path)
    with pytest.raises(GitError, match=r"longer than 0\.2 s"):
        deaf.set([(f"refs/heads/{number}", "e" * 40) for number in range(10_000)])


def test_what_git_cannot_compare_is_not_the_same_as_nothing_changed(hub, base):
    tree = hub.tree_of(base)
    assert hub.persistent.differences(tree, tree) == b""
    for old, new in ((tree, "e" * 40), ("e" * 40, tree)):
        assert hub.persistent.differences(old, new) is None
        assert hub.persistent.patch(old, new) is None


def test_without_stdbuf_every_merge_is_the_same(repository, hub, base, tmp_path):
    poor = tmp_path / "bin"
    poor.mkdir()
    (poor / "git").symlink_to(
        subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    )
    theirs = brought(repository, hub, {"n.txt": "n\n"}, on=base)
    other = brought(repository, hub, {"n.txt": "m\n"}, on=base)
    plain = BareHub.open_or_create(hub.path, replace(hub.git, search_path=str(poor)))
    assert plain.merge(base, theirs) == hub.merge(base, theirs)
    assert plain.merge(other, theirs) == hub.merge(other, theirs)
    assert plain.conflicts(other, theirs) == ("n.txt",)


def test_kept_processes_end_with_their_parent(hub, base):
    program = (
        "import sys\nfrom pathlib import Path\nimport psutil\nfrom swarmworks.git.hub import BareHub\n"
        "hub = BareHub.open_or_create(Path(sys.argv[1]))\nhub.merge(sys.argv[2], sys.argv[2])\n"
        "print(*[one.pid for one in psutil.Process().children()], flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", program, str(hub.path), base]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        kept = [psutil.Process(pid) for pid in pids]
        parent.kill()
    assert kept
    assert not psutil.wait_procs(kept, timeout=20)[1]


def test_references_are_set_in_one_go(hub, base):
    other = hub.commit_tree(hub.tree_of(base), [base], "m", AGENT, COMMITTER, datetime(2026, 1, 2, tzinfo=UTC))
    names = [f"refs/swarm/candidate/chg_{n}" for n in range(200)]
    hub.update_refs(dict.fromkeys(names, base))
    hub.update_refs({names[0]: other})
    hub.update_refs({})
    assert [hub.resolve(name) for name in (names[0], names[199])] == [other, base]
    with pytest.raises(RejectedError):
        hub.update_refs({"HEAD": base})
    with pytest.raises(GitError):
        hub.update_refs({names[1]: "e" * 40})
    assert hub.resolve(names[1]) == base


def test_what_a_power_cut_tore_is_built_again(repository, hub, base):
    head = brought(repository, hub, {"src/n.txt": "n\n"}, on=base)
    before = loose(hub)
    line = brought(repository, hub, {"src/m.txt": "m\n"}, on=base)
    made = hub.stack(base, [piece(head), piece(line)])
    for name in loose(hub) - before:
        place = hub.path / "objects" / name[:2] / name[2:]
        place.chmod(0o644)
        place.write_bytes(b"")
    other = BareHub.open_or_create(hub.path)
    assert other.mend() > 0
    hub.import_commit(repository.root, line)
    assert other.stack(base, [piece(head), piece(line)]) == made
    git(hub.path, "fsck")
