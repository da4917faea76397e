"""A delivery to a branch of a remote: the remote itself compares what is there with what was expected."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import GitError, UsageError
from swarmworks.git.delivering import deliver_commit
from swarmworks.git.remote_branch import find_remote_branch
from tests.git.conftest import AGENT, AT, Repository, git


@pytest.fixture
def far(tmp_path):
    """The bare repository that the user's `origin` is."""
    place = tmp_path / "far.git"
    place.mkdir()
    git(place, "init", "-q", "--bare", "-b", "main")
    return place


@pytest.fixture
def site(repository, far, hub):
    first = repository.commit({"a.txt": "one\n"})
    git(repository.root, "remote", "add", "origin", str(far))
    git(repository.root, "push", "-q", "origin", "main")
    hub.import_commit(repository.root, first)
    return repository


@pytest.fixture
def deliver(site, hub):
    def do(branch, candidate):
        return deliver_commit(site.root, branch, hub.path, candidate, "swarm deliver: x", "Ann")

    return do


def landed(hub, base, message="landed"):
    return hub.commit_tree(hub.tree_of(base), [base], message, AGENT, AGENT, AT)


def head(place, ref="refs/heads/main"):
    return git(place, "for-each-ref", "--format=%(objectname)", ref)


def colleague(far, tmp_path):
    """Somebody else pushes to main."""
    git(tmp_path, "clone", "-q", str(far), "elsewhere")
    other = Repository.__new__(Repository)
    other.root = tmp_path / "elsewhere"
    pushed = other.commit({"theirs.txt": "theirs\n"})
    git(other.root, "push", "-q", "origin", "HEAD:main")
    return pushed


def test_the_remotes_branch_moves_and_nothing_here_does(site, far, hub, deliver):
    branch = find_remote_branch(site.root, "origin", "main")
    before = git(site.root, "for-each-ref")
    candidate = landed(hub, branch.tip)
    assert (branch.name, branch.tip) == ("origin/main", head(site.root))
    assert deliver(branch, candidate) is True
    assert head(far) == candidate
    after = git(site.root, "for-each-ref", "refs/heads", "refs/tags")
    assert after in before
    assert git(site.root, "status", "--porcelain") == ""


def test_a_push_takes_neither_tags_nor_submodules_with_it_whatever_git_is_told(site, far, hub, deliver):
    git(site.root, "tag", "-a", "v1", "-m", "not for the remote")
    git(site.root, "config", "push.followTags", "true")
    git(site.root, "config", "push.recurseSubmodules", "only")
    branch = find_remote_branch(site.root, "origin", "main")
    candidate = landed(hub, branch.tip)
    assert deliver(branch, candidate) is True
    assert git(far, "for-each-ref", "--format=%(refname) %(objectname)") == f"refs/heads/main {candidate}"


def test_a_remote_that_moved_meanwhile_is_not_overwritten(site, far, hub, deliver, tmp_path):
    branch = find_remote_branch(site.root, "origin", "main")
    candidate = landed(hub, branch.tip)
    theirs = colleague(far, tmp_path)
    assert deliver(branch, candidate) is False
    assert head(far) == theirs
    again = find_remote_branch(site.root, "origin", "main")
    assert again.tip == theirs
    hub.import_commit(site.root, theirs)
    assert deliver(again, landed(hub, theirs)) is True


def test_a_branch_that_is_not_there_is_made_only_while_it_still_is_not(site, far, hub, deliver):
    first, second = (find_remote_branch(site.root, "origin", "new/one") for _ in range(2))
    assert first.tip is None
    base = head(site.root)
    made = landed(hub, base, "first")
    assert deliver(first, made) is True
    assert deliver(second, landed(hub, base, "second")) is False
    assert head(far, "refs/heads/new/one") == made


def test_no_hook_runs_and_a_remotes_own_no_is_told(site, far, hub, deliver, canary):
    hooks = site.root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-push").write_bytes(canary.script.read_bytes())
    (hooks / "pre-push").chmod(0o755)
    (far / "hooks").mkdir(exist_ok=True)
    (far / "hooks/pre-receive").write_text("#!/bin/sh\necho no pushes on Sundays >&2\nexit 1\n")
    (far / "hooks/pre-receive").chmod(0o755)
    branch = find_remote_branch(site.root, "origin", "main")
    with pytest.raises(GitError, match="the remote did not do it"):
        deliver(branch, landed(hub, branch.tip))
    assert head(far) == branch.tip
    assert not canary.sang


def test_what_is_no_remote_and_what_cannot_be_reached_are_said(site, far):
    for name in ("upstream", "--upload-pack=x", ""):
        with pytest.raises(UsageError, match="there is no remote"):
            find_remote_branch(site.root, name, "main")
    with pytest.raises(UsageError, match="not the name of a branch"):
        find_remote_branch(site.root, "origin", "a..b")
    far.rename(far.with_name("gone.git"))
    with pytest.raises(GitError, match="the remote did not do it"):
        find_remote_branch(site.root, "origin", "main")
