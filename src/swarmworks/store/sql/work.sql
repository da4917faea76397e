-- name: worker
SELECT * FROM worker WHERE id = :id;

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
UPDATE work SET unnamed_renewals = 0 WHERE worker_id = :worker_id AND state = 'leased' AND unnamed_renewals > 0 AND id IN :ids;

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

-- name: queued
SELECT work.* FROM work JOIN swarm ON swarm.id = work.swarm_id
WHERE work.state = 'queued' AND work.kind IN :kinds AND swarm.state IN ('running', 'stopping')
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
WHERE id = :id AND state = :expected AND fence = :fence;

-- name: finish_work
UPDATE work SET state = :state, result = :result
WHERE id = :id AND state = :expected AND fence = :fence AND worker_id = :worker_id;

-- name: expire_work
UPDATE work SET state = :state, worker_id = NULL, leased_at = NULL, unnamed_renewals = 0
WHERE id = :id AND state = :expected AND fence = :fence;

-- name: cancel_work
UPDATE work SET state = :state WHERE id = :id AND state = :expected AND fence = :fence;

-- name: ready
SELECT id, kind, role, owns, rank, fence, attempts
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
WHERE id = :id AND state = :expected;

-- name: end_session
UPDATE session SET state = :state, outcome = :outcome, reason = :reason, ended_at = :ended_at
WHERE id = :id AND state = :expected;
