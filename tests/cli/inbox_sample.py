"""An inbox with one of each, and a client that remembers what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from swarmworks.base.errors import ConflictError, ForbiddenError
from swarmworks.base.ids import ChangeId, SessionId, TaskId
from swarmworks.wire.inbox import ChangedFile, Decided, Inbox, InboxAttempt, InboxDetail, InboxFinding, InboxItem
from tests.cli.sample import BORN, NANO, SWARM

DIFF = """\
diff --git a/app/models/user.py b/app/models/user.py
index 1111111..2222222 100644
--- a/app/models/user.py
+++ b/app/models/user.py
@@ -10,3 +10,4 @@ class User:
     name: str
-    email: str | None
+    email: str
+    # FIXME validate
"""


def item(kind: str, **changed: Any) -> InboxItem:
    facts: dict[str, Any] = {
        "id": "rev_0123456789abk3f9",
        "short": "k3f9",
        "kind": kind,
        "swarm_id": SWARM,
        "swarm_state": "blocked",
        "plan_name": "Task Management",
        "task_id": TaskId("schema-user"),
        "title": "The schema of user",
        "what": "Is it safe?",
        "since": BORN,
        "age_s": 780.0,
        "waiting": 3,
    }
    return InboxItem(**(facts | changed))


REVIEW = item(
    "review", gate="security", subject="change", subject_id="chg_1", deciders=("Ana",), advice="no objection: fine"
)
QUESTION = item(
    "question",
    id="qst_0123456789ab77zz",
    short="77zz",
    task_id=TaskId("endpoint-task-list"),
    title="List tasks",
    what="Should archived tasks be listed when no filter is given?",
    waiting=0,
    age_s=40.0,
)
BLOCKED = item(
    "blocked",
    id="tests-user",
    short="tests-user",
    task_id=TaskId("tests-user"),
    title="Tests of user",
    what="rejected 3 times; last: tests: 2 failed",
    waiting=12,
    age_s=7_300.0,
)


def detail(of: InboxItem) -> InboxDetail:
    finding = InboxFinding(gate="tests", file="tests/test_user.py", line=31, message="assert 422 == 201")
    attempt = InboxAttempt(
        session_id=SessionId("ses_1"),
        attempt=1,
        agent="database-1",
        model="openai:gpt-5",
        started_at=BORN,
        ended_at=BORN + timedelta(seconds=90),
        outcome="submitted",
        reason="",
        did="Added the user model with a required e-mail address.",
        cost_nano_usd=NANO // 8,
        tokens=41_200,
        change_id=ChangeId("chg_1"),
        change_state="submitted" if of.kind == "review" else "rejected",
        passed=("scope", "secrets"),
        failed=() if of.kind == "review" else ("tests failed: 2 failed, 40 passed",),
        findings=() if of.kind == "review" else (finding,),
    )
    return InboxDetail(
        item=of,
        instructions="Write the model of user with its migration.",
        acceptance=("an e-mail address is required",),
        rejection="" if of.kind == "review" else "tests: 2 failed",
        findings=() if of.kind == "review" else (finding,),
        attempts=(attempt,),
        dependents=(TaskId("endpoint-user-create"), TaskId("tests-user"), TaskId("docs")),
        changed=(ChangedFile(path="app/models/user.py", status="M", added=2, removed=1),),
        diff=DIFF,
    )


@dataclass
class FakeInbox:
    """Stands for `client.inbox`."""

    items_now: list[InboxItem] = field(default_factory=lambda: [BLOCKED, REVIEW, QUESTION])
    did: list[tuple[str, str, Any]] = field(default_factory=list)
    forbids: bool = False
    goes_on: bool = True

    async def items(self, swarm_id: Any = None) -> Inbox:
        del swarm_id
        return Inbox(items=tuple(self.items_now))

    async def detail(self, wanted: str) -> InboxDetail:
        found = [one for one in self.items_now if one.id in wanted or one.short in wanted]
        if not found:
            raise ConflictError("it is gone")
        return detail(found[0])

    async def approve(self, wanted: str, request: Any) -> Decided:
        return self._decided("approve", wanted, request)

    async def reject(self, wanted: str, request: Any) -> Decided:
        return self._decided("reject", wanted, request)

    async def answer(self, wanted: str, request: Any) -> Decided:
        return self._decided("answer", wanted, request)

    async def retry(self, wanted: str, request: Any) -> Decided:
        return self._decided("retry", wanted, request)

    async def cancel(self, wanted: str, request: Any) -> Decided:
        return self._decided("cancel", wanted, request)

    async def revert(self, wanted: str, request: Any) -> Decided:
        return self._decided("revert", wanted, request)

    def _decided(self, what: str, wanted: str, request: Any) -> Decided:
        if self.forbids:
            raise ForbiddenError("Bob may not decide the gate security", where=wanted, mend="ask Ana")
        self.did.append((what, wanted, request))
        self.items_now = [one for one in self.items_now if one.id not in wanted]
        return Decided(
            id=wanted,
            swarm_id=SWARM,
            task_id=None,
            said=f"{what} is done",
            swarm_state="running" if self.goes_on else "blocked",
            goes_on=self.goes_on,
        )
