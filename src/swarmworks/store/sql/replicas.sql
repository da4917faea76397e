-- name: replicas
SELECT * FROM replica ORDER BY id;

-- name: chores
SELECT subject, replica_id FROM chore ORDER BY subject;

-- name: chore
SELECT replica_id FROM chore WHERE subject = :subject;

-- name: register_replica
INSERT INTO replica (id, name, ttl_s, beats, api_url, gateway_url)
VALUES (:id, :name, :ttl_s, :beats, :api_url, :gateway_url);

-- name: beat_replica
UPDATE replica SET beats = beats + 1 WHERE id = :id;

-- name: remove_replica
DELETE FROM replica WHERE id = :id;

-- name: expire_replica
DELETE FROM replica WHERE id = :id AND beats = :beats;

-- name: release_chores
DELETE FROM chore WHERE replica_id = :id;

-- name: take_chore
INSERT INTO chore (subject, replica_id) VALUES (:subject, :replica_id)
ON CONFLICT (subject) DO UPDATE SET replica_id = excluded.replica_id
WHERE NOT EXISTS (SELECT 1 FROM replica WHERE replica.id = chore.replica_id);
