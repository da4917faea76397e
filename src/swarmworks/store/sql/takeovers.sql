-- name: takeover
SELECT * FROM takeover WHERE session_id = :session_id;

-- name: insert_takeover
INSERT INTO takeover (session_id, before_id) VALUES (:session_id, :before_id);

-- name: try_takeover
UPDATE takeover SET tries = tries + 1, accepted_at = :accepted_at
WHERE session_id = :session_id AND accepted_at IS NULL
RETURNING tries;
