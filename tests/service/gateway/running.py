"""A swarm in a real store with sessions that run, and the token of each."""

import atexit
import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import SequentialIds, SwarmId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import AccountKind, Amount, Limit
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.admit import choose
from swarmworks.policy.order import rank
from swarmworks.store.protocol import NewSwarm, SessionTerms
from swarmworks.store.sqlite import open_store

SWARM = SwarmId("swm_1")
NEED = Capacity(agents=1, cpu_slots=0, memory_bytes=1)


def _task(number):
    return PlannedTask(
        id=f"task-{number}",
        kind="code",
        title="a task",
        role="coder",
        instructions="do it",
        output="it",
        depends_on=(),
        owns=(f"src/{number}.py",),
        acceptance=(Acceptance("it works", "tests"),),
        not_required={},
        estimate=Estimate(tokens=5, minutes=1.0),
    )


_template = Path(tempfile.mkdtemp(prefix="gateway-template-")) / "empty.db"
atexit.register(shutil.rmtree, _template.parent, ignore_errors=True)


async def open_copy(path):
    """Bringing a new file to the schema takes longer than most of these tests: one is made and copied."""
    if not _template.exists():
        await (await open_store(_template, SystemClock(), SequentialIds())).close()
    shutil.copy(_template, path)
    return await open_store(path, SystemClock(), SequentialIds())


async def open_running(path, *, limit, sessions, model, session_limit=None):
    """The store, the sessions' ids in the order of their tasks, and their tokens."""
    store = await open_copy(path)
    return store, *await begin_running(store, limit=limit, models=[model] * sessions, session_limit=session_limit)


async def begin_running(store, *, limit, models, session_limit=None, agent_limit=None):
    """A swarm with a running session for each of the models: their ids in that order, and their tokens."""
    sessions = len(models)
    plan = Plan(
        "pln",
        "sample",
        "d",
        Stack("python", "fastapi"),
        Source("text", "-", "0"),
        tuple(map(_task, range(sessions))),
        {},
    )
    new = NewSwarm(SWARM, "shop", plan, rank(plan), "refs/i", "b" * 40, "{}", Limit(nano_usd=limit), Limit())
    new = replace(new, agent_limit=agent_limit or Limit())
    tokens = [f"swk_{number}" for number in range(sessions)]

    def start(tx):
        tx.insert_swarm(new)
        tx.set_agents("shop", [Agent(f"ada-{n}", f"ada-{n}", "coder", frozenset({"code"})) for n in range(sessions)])
        lease = tx.register_worker("wrk", "w", Capacity(agents=1_000, cpu_slots=8, memory_bytes=1 << 40), 3.0)
        claimed = []
        for model in models:
            terms = SessionTerms(model, "b" * 40, NEED, Amount(), session_limit or Limit())
            claimed += [session for session, _work in tx.claim_sessions(lease, SWARM, terms, 1, choose)]
        for session, token in zip(claimed, tokens, strict=True):
            tx.start_session(session.id, hashlib.sha256(token.encode()).hexdigest())
        return [session.id for session in claimed]

    return await store.transact(start), tokens


def recovered(tx):
    """What a control plane does that finds itself alone on a database: those before it are dead, their calls charged."""
    return [lost for dead in tx.replicas() for lost in tx.remove_replica(dead.id)] + tx.recover_reservations()


def swarm_totals(reader):
    return reader.totals(reader.account_of(AccountKind.SWARM, SWARM).id)
