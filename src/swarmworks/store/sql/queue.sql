-- name: open_runs
SELECT * FROM queue_run WHERE swarm_id = :swarm_id AND NOT closed
ORDER BY CASE WHEN ended IS NULL THEN 1 ELSE 0 END, ended, number;

-- name: open_run
SELECT * FROM queue_run WHERE id = :id AND NOT closed;

-- name: times
SELECT started_at, ended_at FROM queue_run WHERE swarm_id = :swarm_id AND ended_at IS NOT NULL
ORDER BY number DESC LIMIT :most;

-- name: insert_run
INSERT INTO queue_run (id, swarm_id, base, changes, commits, below, lane, sure, started_at, closed)
VALUES (:id, :swarm_id, :base, :changes, :commits, :below, :lane, :sure, :started_at, :closed);

-- name: end_run
UPDATE queue_run SET verdict = :verdict, sure = :sure, ended_at = :ended_at,
    ended = (SELECT COALESCE(MAX(other.ended), 0) + 1 FROM queue_run other WHERE other.swarm_id = queue_run.swarm_id)
WHERE id = :id AND verdict IS NULL AND NOT closed;

-- name: close_runs
UPDATE queue_run SET closed = :closed WHERE id IN :ids;

-- name: branch
SELECT * FROM queue_branch WHERE swarm_id = :swarm_id;

-- name: set_branch
INSERT INTO queue_branch (swarm_id, head, pushed, frozen) VALUES (:swarm_id, :head, :pushed, :frozen)
ON CONFLICT (swarm_id) DO UPDATE SET head = excluded.head, pushed = excluded.pushed, frozen = excluded.frozen;
