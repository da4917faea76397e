"""A small swarm for the store's tests."""

from swarmworks.base.ids import AgentId, ChangeId, SessionId, SwarmId, TaskId, WorkerId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.admit import choose
from swarmworks.policy.order import rank
from swarmworks.store.protocol import NewChange, NewSwarm, SessionTerms

SWARM = SwarmId("swm_1")
ROOMY = Capacity(agents=1000, cpu_slots=8, memory_bytes=1 << 40)
PER_SESSION = Capacity(agents=1, cpu_slots=0, memory_bytes=1 << 20)
USD = 1_000_000_000


def planned(name, *needs, owns=None, kind="code", **more):
    return PlannedTask(
        id=TaskId(name),
        kind=kind,
        title=name.upper(),
        role="coder",
        instructions="do it",
        output="it",
        depends_on=tuple(TaskId(each) for each in needs),
        owns=(f"src/{name}.py",) if owns is None else tuple(owns),
        acceptance=(Acceptance("it works", "tests"),),
        not_required={"lint": "no"},
        estimate=Estimate(tokens=5, minutes=1.5),
        **more,
    )


def plan_of(*tasks):
    return Plan("pln", "sample", "d", Stack("python", "fastapi"), Source("text", "-", "0"), tasks, {"coverage": 80.0})


def swarm_of(*tasks, swarm_id=SWARM, limit=Limit(), task_limit=Limit(), project="shop"):  # noqa: B008
    plan = plan_of(*tasks)
    return NewSwarm(swarm_id, project, plan, rank(plan), "refs/i", "b" * 40, "{}", limit, task_limit)


def agents_of(count, kinds=("code",), prefix="ada"):
    return [
        Agent(AgentId(f"{prefix}-{number}"), f"{prefix}-{number}", "coder", frozenset(kinds)) for number in range(count)
    ]


def terms_of(*, least=Amount(), limit=Limit()):  # noqa: B008
    return SessionTerms("model-1", "b" * 40, PER_SESSION, least, limit)


def worker(tx, name="w1", capacity=ROOMY):
    return tx.register_worker(WorkerId(name), name, capacity, 3.0)


def claim(tx, lease, places=1, *, swarm_id=SWARM, terms=None, chooser=choose):
    return tx.claim_sessions(lease, swarm_id, terms or terms_of(), places, chooser)


def change_of(session, name="chg_1"):
    return NewChange(ChangeId(name), SessionId(session.id), "b" * 40, "h" * 40, "{}")
