"""How a worker comes by commits, and how the work of its sessions reaches the project's hub.

Beside the control plane it opens that hub itself, and nothing has to be brought. Elsewhere it has a hub of its own: what a piece
of work names is fetched before it begins, and what a session wrote is pushed each time it is saved.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from swarmworks.base.errors import LimitReachedError, UnavailableError
from swarmworks.git.packs import make_pack, take_pack
from swarmworks.wire.transport import MOST_PUSHED_BYTES, FetchCommits, PushWork

if TYPE_CHECKING:
    from swarmworks.client.control_plane import ControlPlaneClient
    from swarmworks.git.hub import BareHub
    from swarmworks.wire.api import RegisteredWorker
    from swarmworks.wire.work import AnyWork, SessionWork

NAMES = ("base", "head", "start_base", "start", "last_head", "since", "target", "candidate")
"""The fields of leased work that name commits."""

FETCHED = "refs/swarm/fetched/"
MOST_HAVES = 200
TRIES = 40
PAUSE_S = 0.5


class Transport(Protocol):
    async def bring(self, work: AnyWork, me: RegisteredWorker) -> None:
        """See to it that every commit that `work` names is in the hub this worker opens."""
        ...

    async def push(self, work: SessionWork, commit: str) -> None:
        """See to it that the session's work so far is in the project's hub, on the session's own reference."""
        ...


class SameHub:
    """Implements Transport: the worker opens the project's own hub."""

    async def bring(self, work: AnyWork, me: RegisteredWorker) -> None:
        del work, me

    async def push(self, work: SessionWork, commit: str) -> None:
        del work, commit


class OwnHub:
    """Implements Transport over the API."""

    def __init__(self, client: ControlPlaneClient, hub: BareHub) -> None:
        self._client = client
        self._hub = hub
        self._me: RegisteredWorker | None = None
        self._pushed: dict[str, str] = {}
        self._fetching = asyncio.Lock()

    async def bring(self, work: AnyWork, me: RegisteredWorker) -> None:
        self._me = me
        async with self._fetching:
            missing = await asyncio.to_thread(self._missing, _named(work))
            if missing:
                haves = await asyncio.to_thread(self._haves)
                body = FetchCommits(
                    worker_id=me.worker_id, worker_fence=me.fence, wants=tuple(missing), haves=tuple(haves)
                )
                pack = await self._client.fetch_commits(body)
                await asyncio.to_thread(self._take, pack, missing)

    async def push(self, work: SessionWork, commit: str) -> None:
        """Said until it is heard, as a result is. LimitReachedError for more than a request may hold."""
        assert self._me is not None
        if self._pushed.get(work.work_id) == commit:
            return
        pack = await asyncio.to_thread(self._pack, work, commit)
        body = PushWork(
            worker_id=self._me.worker_id,
            worker_fence=self._me.fence,
            fence=work.fence,
            commit=commit,
            pack=b64encode(pack),
        )
        for attempt in range(TRIES):
            try:
                await self._client.push_work(work.work_id, body)
            except UnavailableError:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                self._pushed[work.work_id] = commit
                return

    def _missing(self, commits: Iterable[str]) -> list[str]:
        return [commit for commit in dict.fromkeys(commits) if self._hub.resolve(FETCHED + commit) != commit]

    def _haves(self) -> list[str]:
        return list(self._hub.refs(FETCHED).values())[-MOST_HAVES:]

    def _take(self, pack: bytes, commits: list[str]) -> None:
        take_pack(self._hub, pack, commits, trusted=True)  # the project's own history
        self._hub.update_refs({FETCHED + commit: commit for commit in commits})

    def _pack(self, work: SessionWork, commit: str) -> bytes:
        known = [work.base, *filter(None, (work.start, self._pushed.get(work.work_id)))]
        pack = make_pack(self._hub, [commit], known)
        if len(pack) > MOST_PUSHED_BYTES:
            raise LimitReachedError(
                f"the session wrote {len(pack) >> 20} MiB, over the {MOST_PUSHED_BYTES >> 20} MiB that can be pushed",
                where=work.task.id,
                mend="name what is generated in .gitignore",
            )
        return pack


def _named(work: AnyWork) -> list[str]:
    return [commit for name in NAMES if (commit := getattr(work, name, None))]
