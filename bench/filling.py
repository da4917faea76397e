"""Finished work by the million, written straight into the tables: what a plant that has run for a year looks like.

The statements are portable; they follow the swarm, the agents and the worker that are there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.store.connection import Connection

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST(:last AS BIGINT)) "
TASKS = (
    """INSERT INTO task (swarm_id, id, position, planned, kind, role, owns, state, rank, attempts, fence, waiting_on, landed_commit)
       {numbers}SELECT one.swarm_id, 'f' || i, 1000000 + i, one.planned, one.kind, one.role, '[]', 'landed', i, 1, 1, 0, 'c'
       FROM n, (SELECT * FROM task WHERE swarm_id = :swarm_id ORDER BY position LIMIT 1) AS one""",
    """INSERT INTO account (id, parent_id, kind, subject, state)
       {numbers}SELECT 'acc_f' || i, swarm.account_id, 'task', swarm.id || '/f' || i, 'closed'
       FROM n, swarm WHERE swarm.id = :swarm_id""",
    """INSERT INTO session (id, swarm_id, task_id, fence, attempt, agent_id, worker_id, account_id, model, state, base_commit,
                            claimed_at, outcome, token_sha256)
       {numbers}SELECT 'ses_f' || i, :swarm_id, 'f' || i, 1, 1, one.id, :worker_id, 'acc_f' || i, 'm', 'ended', 'b', '2026-01-01',
                       'submitted', 'token' || i
       FROM n, (SELECT id FROM agent ORDER BY name LIMIT 1) AS one""",
    """INSERT INTO work (id, kind, swarm_id, task_id, subject, state, fence, need, payload, worker_id, leased_at, result)
       {numbers}SELECT 'wrk_f' || i, 'session', :swarm_id, 'f' || i, 'ses_f' || i, 'done', 1, '{{}}', '{{}}', :worker_id, '2026-01-01', '{{}}'
       FROM n""",
)
CHANGES = (
    """INSERT INTO change (id, swarm_id, task_id, session_id, agent_id, state, base, head, handoff, submitted_at, landed)
       {numbers}SELECT 'chg_f' || i, :swarm_id, 'f' || i, 'ses_f' || i, one.id, 'landed', 'b', 'h', '{{}}', '2026-01-01', 'c'
       FROM n, (SELECT id FROM agent ORDER BY name LIMIT 1) AS one""",
    """INSERT INTO intent (swarm_id, change_id, ref, old, new, state)
       {numbers}SELECT :swarm_id, 'chg_f' || i, 'refs/i', 'o', 'n', 'done' FROM n""",
    """INSERT INTO reservation (id, account_id, session_id, swarm_id, state, model, reserved_nano_usd, reserved_tokens,
                                settled_nano_usd, settled_tokens, opened_at)
       {numbers}SELECT 'res_f' || i, 'acc_f' || i, 'ses_f' || i, :swarm_id, 'settled', 'm', 1, 1, 1, 1, '2026-01-01' FROM n""",
    """INSERT INTO ledger_entry (swarm_id, reservation_id, nano_usd, tokens)
       {numbers}SELECT :swarm_id, 'res_f' || i, 1, 1 FROM n""",
    """INSERT INTO event (swarm_id, seq, at, kind, actor, session_id, data, previous_hash, hash)
       {numbers}SELECT :swarm_id, one.seq + i, '2026-01-01', 'a.b', 'x', 'ses_f' || i, '{{}}', '', 'h' || i
       FROM n, (SELECT coalesce(max(seq), 0) AS seq FROM event WHERE swarm_id = :swarm_id) AS one""",
)
SWARMS = (
    """INSERT INTO swarm (id, project, state, account_id, integration_ref, base, options, task_limit, created_at)
       {numbers}SELECT 'swm_f' || i, project, 'landed', account_id, 'refs/i', base, options, task_limit, created_at
       FROM n, swarm WHERE swarm.id = :swarm_id""",
    """INSERT INTO plan (swarm_id, document)
       {numbers}SELECT 'swm_f' || i, plan.document FROM n, plan WHERE plan.swarm_id = :swarm_id""",
)
LEASED = """INSERT INTO work (id, kind, swarm_id, task_id, subject, state, fence, need, payload, worker_id, leased_at)
    {numbers}SELECT 'wrk_' || i, 'session', :swarm_id, 't0', 'ses_' || i, 'leased', 1, :need,
                    '{{}}', 'w' || (i % CAST(:workers AS BIGINT)), '2026-01-01' FROM n"""
NEED = '{"agents":1,"cpu_slots":0,"memory_bytes":1}'
COUNTED = "UPDATE task_count SET tasks = tasks + :more WHERE swarm_id = :swarm_id AND task_state = 'landed'"


def finished(db: Connection, swarm_id: str, worker_id: str, first: int, last: int, *, whole: bool) -> None:
    """Tasks number `first` to `last` of the swarm, landed, with their accounts, sessions and work; with `whole` also their
    changes, calls and events, and a landed swarm for every ten of them.
    """
    for sql in (*TASKS, *(CHANGES if whole else ())):
        text = sql.format(numbers=NUMBERS)
        values = {"first": first, "last": last, "swarm_id": swarm_id, "worker_id": worker_id}
        db.change(text, **{name: value for name, value in values.items() if f":{name}" in text})
    db.change(COUNTED, more=last - first + 1, swarm_id=swarm_id)
    for sql in SWARMS if whole else ():
        db.change(sql.format(numbers=NUMBERS), first=first // 10, last=last // 10 - 1, swarm_id=swarm_id)


def leased(db: Connection, swarm_id: str, workers: int, count: int) -> None:
    """So many sessions' work, each leased to one of the workers `w0`, `w1` and so on in turn."""
    db.change(LEASED.format(numbers=NUMBERS), first=0, last=count - 1, swarm_id=swarm_id, workers=workers, need=NEED)
