-- name: worker
SELECT * FROM worker WHERE id = :id;

-- name: worker_to_fill
SELECT * FROM worker WHERE id = :id /* lock */;

-- name: workers
SELECT * FROM worker ORDER BY fence;

-- name: next_fence
UPDATE counter SET value = value + 1 WHERE name = 'worker_fence' RETURNING value;

-- name: register_worker
INSERT INTO worker (id, name, fence, ttl_s, renewals, capacity) VALUES (:id, :name, :fence, :ttl_s, 0, :capacity)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, fence = excluded.fence, ttl_s = excluded.ttl_s, renewals = worker.renewals + 1,
    capacity = excluded.capacity;

-- name: renew_worker
UPDATE worker SET renewals = renewals + 1 WHERE id = :id AND fence = :fence;

-- name: remove_worker
DELETE FROM worker WHERE id = :id AND fence = :fence;

-- name: expire_worker
DELETE FROM worker WHERE id = :id AND renewals = :renewals;

-- name: leased_to
SELECT * FROM work WHERE worker_id = :worker_id AND state = 'leased' ORDER BY number;

-- name: named
UPDATE work SET unnamed_renewals = 0 WHERE worker_id = :worker_id AND state = 'leased' AND id IN :ids;

-- name: unnamed
UPDATE work SET unnamed_renewals = unnamed_renewals + 1
WHERE worker_id = :worker_id AND state = 'leased' AND id IN :ids;

-- name: work
SELECT * FROM work WHERE id = :id;

-- name: works
SELECT * FROM work WHERE state IN :states ORDER BY number;

-- name: works_of_swarm
SELECT * FROM work WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: works_of_worker
SELECT * FROM work WHERE worker_id = :worker_id AND state IN :states ORDER BY number;

-- name: held
SELECT need, count(*) AS pieces FROM work WHERE worker_id = :worker_id AND state = 'leased' GROUP BY need;

-- name: held_pieces
SELECT id, swarm_id, unnamed_renewals FROM work WHERE worker_id = :worker_id AND state = 'leased' ORDER BY number;

-- name: has_queued
SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM work WHERE state = 'queued' AND kind IN :kinds);

-- name: queued
SELECT work.id, work.swarm_id, work.need FROM work JOIN swarm ON swarm.id = work.swarm_id
WHERE work.state = 'queued' AND work.kind IN :kinds
  AND (swarm.state IN ('running', 'paused') OR (swarm.state = 'stopping' AND work.kind <> 'review')
       OR work.kind = 'delivery')
ORDER BY work.priority DESC, work.number LIMIT :most;

-- name: session_result
SELECT result FROM work WHERE subject = :session_id AND kind = 'session' AND result IS NOT NULL;

-- name: insert_work
INSERT INTO work
    (id, kind, swarm_id, task_id, subject, state, fence, need, payload, priority, worker_id, leased_at)
VALUES
    (:id, :kind, :swarm_id, :task_id, :subject, :state, :fence, :need, :payload, :priority, :worker_id, :leased_at);

-- name: lease_work
UPDATE work
SET state = :state, fence = fence + 1, worker_id = :worker_id, leased_at = :leased_at, unnamed_renewals = 0
WHERE id IN :ids AND state = :expected
RETURNING *;

-- name: swarm_of_work
SELECT swarm_id FROM work WHERE id = :id;

-- name: finish_work
UPDATE work SET state = :state, result = :result
WHERE id = :id AND swarm_id = :swarm_id AND state = :expected AND fence = :fence AND worker_id = :worker_id
  AND EXISTS (SELECT 1 FROM worker WHERE worker.id = :worker_id AND worker.fence = :worker_fence);

-- name: expire_work
UPDATE work SET state = :state, worker_id = NULL, leased_at = NULL, unnamed_renewals = 0
WHERE id = :id AND state = :expected AND fence = :fence;

-- name: cancel_work
UPDATE work SET state = :state WHERE id = :id AND state = :expected AND fence = :fence;

-- name: ready
SELECT id, kind, role, owns, rank, fence, attempts, guidance,
    CASE WHEN rejection LIKE :conflict THEN (
        SELECT change.agent_id FROM change JOIN session ON session.id = change.session_id
        WHERE change.swarm_id = task.swarm_id AND change.task_id = task.id AND session.model <> 'none'
        ORDER BY change.number DESC LIMIT 1
    ) END AS author,
    CASE WHEN rejection LIKE :conflict AND rejection LIKE :anew THEN 1 ELSE 0 END AS anew
FROM task WHERE swarm_id = :swarm_id AND state = 'ready' ORDER BY rank DESC, position LIMIT :most;

-- name: claim_task
UPDATE task SET state = :state, fence = fence + 1
WHERE swarm_id = :swarm_id AND id = :id AND state = :expected AND fence = :fence;

-- name: session
SELECT * FROM session WHERE id = :id;

-- name: sessions
SELECT * FROM session WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: sessions_of_task
SELECT * FROM session WHERE swarm_id = :swarm_id AND task_id = :task_id AND state IN :states ORDER BY number;

-- name: token_session
SELECT id FROM session WHERE token_sha256 = :token_sha256 AND state <> 'ended';

-- name: insert_session
INSERT INTO session
    (id, swarm_id, task_id, fence, attempt, agent_id, worker_id, account_id, model, state, base_commit, claimed_at)
VALUES
    (:id, :swarm_id, :task_id, :fence, :attempt, :agent_id, :worker_id, :account_id, :model, :state, :base_commit,
     :claimed_at);

-- name: start_session
UPDATE session SET state = :state, token_sha256 = :token_sha256, started_at = :started_at
WHERE id = :id AND swarm_id = :swarm_id AND state = :expected;

-- name: end_session
UPDATE session SET state = :state, outcome = :outcome, reason = :reason, ended_at = :ended_at
WHERE id = :id AND swarm_id = :swarm_id AND state = :expected;
