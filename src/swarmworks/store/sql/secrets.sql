-- name: secrets
SELECT * FROM secret ORDER BY name;

-- name: secret
SELECT * FROM secret WHERE name = :name;

-- name: put
INSERT INTO secret (name, key_id, envelope, set_by, set_at) VALUES (:name, :key_id, :envelope, :set_by, :set_at)
ON CONFLICT (name) DO UPDATE
SET key_id = excluded.key_id, envelope = excluded.envelope, set_by = excluded.set_by, set_at = excluded.set_at;

-- name: rewrap
UPDATE secret SET key_id = :key_id, envelope = :envelope WHERE name = :name AND envelope = :expected;

-- name: remove
DELETE FROM secret WHERE name = :name;
