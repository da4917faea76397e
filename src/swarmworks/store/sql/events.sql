-- name: swarm
SELECT id FROM swarm WHERE id = :swarm_id;

-- name: last
SELECT seq, hash FROM event WHERE swarm_id = :swarm_id ORDER BY seq DESC LIMIT 1;

-- name: append
INSERT INTO event (swarm_id, seq, at, kind, actor, task_id, session_id, data, previous_hash, hash)
VALUES (:swarm_id, :seq, :at, :kind, :actor, :task_id, :session_id, :data, :previous_hash, :hash);

-- name: events
SELECT * FROM event WHERE swarm_id = :swarm_id AND seq > :after ORDER BY seq LIMIT :most;

-- name: events_of_session
SELECT * FROM event
WHERE session_id = :session_id AND (swarm_id = :swarm_id) IS TRUE AND seq > :after
ORDER BY seq LIMIT :most;

-- name: last_of_session
SELECT at FROM event WHERE session_id = :session_id ORDER BY seq DESC LIMIT 1;

-- name: blob
SELECT data FROM blob WHERE key = :key;

-- name: put_blob
INSERT INTO blob (key, data) VALUES (:key, :data) ON CONFLICT (key) DO UPDATE SET data = excluded.data;

-- name: archived_last
SELECT last_seq AS seq, last_hash AS hash FROM archive
WHERE swarm_id = :swarm_id ORDER BY last_seq DESC LIMIT 1;

-- name: archived_next
SELECT * FROM archive WHERE swarm_id = :swarm_id AND last_seq > :after ORDER BY last_seq LIMIT 1;

-- name: archived
SELECT * FROM archive WHERE swarm_id = :swarm_id ORDER BY last_seq;

-- name: hash_at
SELECT hash FROM event WHERE swarm_id = :swarm_id AND seq = :seq;

-- name: insert_archived
INSERT INTO archive (swarm_id, first_seq, last_seq, last_hash, file, sha256, archived_at)
VALUES (:swarm_id, :first_seq, :last_seq, :last_hash, :file, :sha256, :archived_at);

-- name: delete_archived
DELETE FROM event WHERE swarm_id = :swarm_id AND seq <= :last_seq;

-- name: logged_swarms
SELECT id FROM swarm ORDER BY number;

-- name: logs
WITH RECURSIVE logged (swarm_id) AS (
    SELECT min(swarm_id) FROM event
    UNION ALL
    SELECT (SELECT min(event.swarm_id) FROM event WHERE event.swarm_id > logged.swarm_id)
    FROM logged WHERE logged.swarm_id IS NOT NULL
)
SELECT swarm.id AS swarm_id, swarm.ended_at,
       (SELECT min(seq) FROM event WHERE event.swarm_id = swarm.id) AS first_seq,
       (SELECT max(seq) FROM event WHERE event.swarm_id = swarm.id) AS last_seq,
       coalesce((SELECT anchored.seq FROM anchored WHERE anchored.swarm_id = swarm.id), 0) AS anchored_seq
FROM logged JOIN swarm ON swarm.id = logged.swarm_id
ORDER BY swarm.id;

-- name: unanchored
WITH RECURSIVE logged (swarm_id) AS (
    SELECT min(swarm_id) FROM event
    UNION ALL
    SELECT (SELECT min(event.swarm_id) FROM event WHERE event.swarm_id > logged.swarm_id)
    FROM logged WHERE logged.swarm_id IS NOT NULL
), ends (swarm_id, seq) AS (
    SELECT swarm_id, (SELECT max(seq) FROM event WHERE event.swarm_id = logged.swarm_id)
    FROM logged WHERE swarm_id IS NOT NULL
)
SELECT event.swarm_id, event.seq, event.hash
FROM ends
JOIN event ON event.swarm_id = ends.swarm_id AND event.seq = ends.seq
LEFT JOIN anchored ON anchored.swarm_id = ends.swarm_id
WHERE coalesce(anchored.seq, 0) < ends.seq
ORDER BY event.swarm_id LIMIT :most;

-- name: anchors
SELECT * FROM anchor WHERE number > :after ORDER BY number LIMIT :most;

-- name: last_anchor
SELECT * FROM anchor ORDER BY number DESC LIMIT 1;

-- name: insert_anchor
INSERT INTO anchor (number, statement, signature) VALUES (:number, :statement, :signature);

-- name: put_anchored
INSERT INTO anchored (swarm_id, seq) VALUES (:swarm_id, :seq)
ON CONFLICT (swarm_id) DO UPDATE SET seq = excluded.seq WHERE anchored.seq < excluded.seq;
