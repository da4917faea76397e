-- name: swarm
SELECT id FROM swarm WHERE id = :id;

-- name: last
SELECT seq, hash FROM event WHERE swarm_id = :swarm_id ORDER BY seq DESC LIMIT 1;

-- name: append
INSERT INTO event (swarm_id, seq, at, kind, actor, task_id, session_id, data, previous_hash, hash)
VALUES (:swarm_id, :seq, :at, :kind, :actor, :task_id, :session_id, :data, :previous_hash, :hash);

-- name: events
SELECT * FROM event WHERE swarm_id = :swarm_id AND seq > :after ORDER BY seq LIMIT :most;

-- name: last_of_session
SELECT at FROM event WHERE session_id = :session_id ORDER BY seq DESC LIMIT 1;

-- name: blob
SELECT data FROM blob WHERE key = :key;

-- name: put_blob
INSERT INTO blob (key, data) VALUES (:key, :data) ON CONFLICT (key) DO UPDATE SET data = excluded.data;
