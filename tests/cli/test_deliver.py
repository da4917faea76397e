"""`swarm deliver` against a scripted control plane and a scripted repository."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import DeliveryId, ReviewId
from swarmworks.cli.context import LiveControlPlane
from swarmworks.git.user_branch import UserBranch
from swarmworks.wire.delivery import Arriving, DeliveryReview, DeliveryView
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher

TIP, HEAD, MERGED = "1" * 40, "2" * 40, "3" * 40
BRINGS = Arriving(commits=2, subjects=("One\x1b[31m", "Two"), files=3, added=40, removed=1)
ASKED = DeliveryReview(id=ReviewId("rev_1"), gate="delivery", question="May it go?", state="open", yours=True)


def view(state="ready", **more) -> DeliveryView:
    facts = {
        "id": DeliveryId("dlv_1"),
        "swarm_id": sample.SWARM,
        "branch": "main",
        "tip": TIP,
        "head": HEAD,
        "candidate": HEAD if state in {"ready", "delivered"} else None,
        "state": state,
        "actor": "person:Ann",
        "note": None,
        "created_at": sample.BORN,
        "ended_at": None,
        "approved": state == "ready",
        "arriving": BRINGS if state == "ready" else None,
    }
    return DeliveryView(**(facts | more))


class Client:
    """Answers requests with `views` in turn; `approve` and the end of building with `later`."""

    def __init__(self, views, later=(), summaries=()):
        self.views, self.later, self.said = list(views), list(later), []
        self.summaries = list(summaries) or [sample.summary("landed")]

    async def swarms(self):
        return self.summaries

    async def status(self, _swarm):
        return sample.status("landed", tests=12)

    async def request_delivery(self, swarm, asked):
        self.said.append(("request", swarm, asked.branch, asked.tip, asked.partial))
        return self.views.pop(0)

    async def delivery(self, _id, *, wait_s=0.0):
        del wait_s
        return self.later.pop(0)

    async def approve_delivery(self, _id, review_id, reason):
        self.said.append(("approve", review_id, reason))
        return self.later.pop(0)

    async def confirm_delivery(self, _id, commit):
        self.said.append(("confirm", commit))
        return view("delivered", candidate=commit)

    async def withdraw_delivery(self, _id, reason):
        self.said.append(("withdraw", reason))
        return view("void")


class Repository(FakeLauncher):
    """`tip` None: there is no such branch. `moves`: what each move answers."""

    client: Client
    tip: str | None = TIP
    dirty = False
    moves: tuple[bool, ...] = (True,)

    def user_branch(self, _project, name):
        return UserBranch(name, f"refs/heads/{name}", self.tip, Path("/git"), None)

    def refuse_uncommitted(self, _project, _branch, _candidate):
        if self.dirty:
            raise ConflictError("main is checked out with work that is not committed: a.txt", mend="git stash")

    def move_branch(self, _project, _branch, _candidate, _message):
        first, *rest = self.moves
        self.moves = tuple(rest)
        return first

    @asynccontextmanager
    async def _live(self):
        yield LiveControlPlane(self.client, "http://x", asyncio.get_running_loop().create_future())


@pytest.fixture
def repository(tmp_path):
    def make(*views, later=(), summaries=(), **more):
        made = Repository(tmp_path)
        made.client = Client(views, later, summaries)
        for name, value in more.items():
            setattr(made, name, value)
        return made

    return make


def test_what_needs_no_yes_goes_at_once_and_is_shown_without_control_codes(swarm: Swarm, repository):
    launcher = repository(view())
    ran = swarm(launcher, "deliver")
    assert (ran.code, ran.err) == (0, "")
    assert "2 commits, 3 files, 40 lines added, 1 removed" in ran.out
    assert "12 tests passed" in ran.out
    assert "\x1b" not in ran.out
    assert "delivered: main is at 2222222222, it was at 1111111111" in ran.out
    assert launcher.client.said == [("request", sample.SWARM, "main", TIP, False), ("confirm", HEAD)]


def test_without_a_terminal_an_open_question_stays_open(swarm: Swarm, repository):
    launcher = repository(view(approved=False, review=ASKED))
    ran = swarm(launcher, "deliver")
    assert ran.code == 1
    assert "May it go?" in ran.out
    assert "swarm approve rev_1" in ran.out
    assert f"swarm deliver {sample.SWARM} --to main" in ran.out
    assert [step for step, *_ in launcher.client.said] == ["request"]


def test_a_reason_answers_one_question_after_the_other(swarm: Swarm, repository):
    second = ASKED.model_copy(update={"id": "rev_2"})
    launcher = repository(
        view(approved=False, review=ASKED), later=[view(approved=False, review=second), view(approved=True)]
    )
    assert swarm(launcher, "deliver", "--approve", "seen").code == 0
    assert launcher.client.said[1:] == [("approve", "rev_1", "seen"), ("approve", "rev_2", "seen"), ("confirm", HEAD)]


@pytest.mark.parametrize("option", ["--approve", "--to", "--push"])
@pytest.mark.parametrize("value", ["", " ", "x" * 2_001])
def test_an_option_of_which_nothing_is_said_decides_nothing(swarm: Swarm, repository, option, value):
    launcher = repository(view(approved=False, review=ASKED))
    ran = swarm(launcher, "deliver", option, value)
    assert (ran.code, option in ran.err, launcher.client.said) == (2, True, [])


def test_a_no_is_shown_with_its_reason(swarm: Swarm, repository):
    no = ASKED.model_copy(update={"state": "rejected", "decided_by": "person:Bob", "reason": "too large"})
    ran = swarm(repository(view(approved=False, review=no)), "deliver", "--approve", "seen")
    assert (ran.code, "Bob said no: too large" in ran.out) == (1, True)


def test_a_branch_that_moves_under_it_is_looked_at_again_three_times_at_most(swarm: Swarm, repository):
    launcher = repository(view(), view(), moves=(False, True))
    assert swarm(launcher, "deliver").code == 0
    launcher = repository(view(), view(), view(), moves=(False, False, False))
    ran = swarm(launcher, "deliver")
    assert ran.code == 2
    assert "moved again each time" in ran.err


def test_uncommitted_work_is_refused_before_anything_is_built(swarm: Swarm, repository):
    launcher = repository(view("building"), dirty=True)
    ran = swarm(launcher, "deliver")
    assert (ran.code, "a.txt" in ran.err) == (2, True)
    assert launcher.client.said[-1][0] == "withdraw"
    assert [asked["work"] for asked in launcher.started] == [False]


def test_a_merge_takes_a_worker_and_a_failure_names_what_to_do(swarm: Swarm, repository):
    note = "on the tree merged with main: tests: 1 failed\ntests/test_a.py:3: assert 1 == 2"
    launcher = repository(view("building"), later=[view("failed", note=note)])
    ran = swarm(launcher, "deliver")
    assert ran.code == 1
    assert [asked["work"] for asked in launcher.started] == [False, True]
    assert "main is where it was" in ran.out
    assert "tests/test_a.py:3: assert 1 == 2" in ran.out
    assert f"git pull --no-rebase --no-ff .swarm/hub.git swarm/{sample.SWARM}" in ran.out


def test_a_worker_that_would_take_up_another_swarm_is_not_started(swarm: Swarm, repository):
    summaries = [sample.summary("landed"), sample.summary("running").model_copy(update={"id": "swm_other"})]
    launcher = repository(view("building"), summaries=summaries)
    ran = swarm(launcher, "deliver", sample.SWARM)
    assert (ran.code, "swarm resume swm_other" in ran.err) == (2, True)
    assert len(launcher.started) == 1


def test_a_default_branch_that_is_not_there_is_not_made(swarm: Swarm, repository):
    ran = swarm(repository(tip=None), "deliver")
    assert (ran.code, "--to" in ran.err) == (2, True)
    launcher = repository(view(branch="fresh", tip=None), tip=None)
    ran = swarm(launcher, "deliver", "--to", "fresh", "--partial")
    assert (ran.code, "a new branch" in ran.out) == (0, True)
    assert launcher.client.said[0][2:] == ("fresh", None, True)


def test_what_is_there_already_is_said(swarm: Swarm, repository):
    ran = swarm(repository(view("delivered")), "deliver")
    assert (ran.code, "already delivered: main" in ran.out) == (0, True)


def test_as_json_only_json_is_printed(swarm: Swarm, repository):
    ran = swarm(repository(view("building"), later=[view()]), "deliver", "--json")
    assert ran.code == 0
    assert DeliveryView.model_validate_json(ran.out).state == "delivered"
