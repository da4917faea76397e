-- name: insert_mail
INSERT INTO mail (id, swarm_id, session_id, recipient, text, sent_at)
VALUES (:id, :swarm_id, :session_id, :recipient, :text, :sent_at);

-- name: mail
SELECT mail.*, session.agent_id AS sender, session.task_id AS task_id
FROM mail JOIN session ON session.id = mail.session_id
WHERE mail.id = :id;

-- name: unread
SELECT mail.*, session.agent_id AS sender, session.task_id AS task_id
FROM mail JOIN session ON session.id = mail.session_id
WHERE mail.swarm_id = :swarm_id AND mail.recipient = :recipient AND mail.read_at IS NULL
ORDER BY mail.number
LIMIT :most;

-- name: mark_read
UPDATE mail SET read_at = :read_at WHERE id IN :ids AND read_at IS NULL;

-- name: count_unread
SELECT count(*) AS unread FROM mail
WHERE swarm_id = :swarm_id AND recipient = :recipient AND read_at IS NULL;

-- name: count_sent
SELECT count(*) AS sent FROM mail WHERE session_id = :session_id;
