-- name: review
SELECT * FROM review WHERE id = :id;

-- name: reviews
SELECT * FROM review WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: reviews_of_subject
SELECT * FROM review WHERE swarm_id = :swarm_id AND subject_id = :subject_id AND state IN :states ORDER BY number;

-- name: insert_review
INSERT INTO review (id, swarm_id, gate, subject, subject_id, question, state, asked_at, task_id, deciders, advice)
VALUES (:id, :swarm_id, :gate, :subject, :subject_id, :question, :state, :asked_at, :task_id, :deciders, :advice);

-- name: advise_review
UPDATE review SET advice = :advice WHERE id = :id AND state = :expected;

-- name: move_review
UPDATE review SET state = :state, decided_by = :decided_by, reason = :reason, decided_at = :decided_at
WHERE id = :id AND state = :expected;

-- name: question
SELECT * FROM question WHERE id = :id;

-- name: questions
SELECT * FROM question WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: asking_session
SELECT swarm_id, task_id, state FROM session WHERE id = :id;

-- name: insert_question
INSERT INTO question (id, swarm_id, task_id, session_id, text, state, asked_at, paths)
VALUES (:id, :swarm_id, :task_id, :session_id, :text, :state, :asked_at, :paths);

-- name: move_question
UPDATE question SET state = :state, answer = :answer, answered_by = :answered_by, answered_at = :answered_at
WHERE id = :id AND state = :expected;

-- name: message
SELECT * FROM message WHERE id = :id;

-- name: messages
SELECT * FROM message WHERE session_id = :session_id ORDER BY number;

-- name: insert_message
INSERT INTO message (id, swarm_id, session_id, sender, text, sent_at)
VALUES (:id, :swarm_id, :session_id, :sender, :text, :sent_at);

-- name: undelivered
SELECT * FROM message WHERE delivered_at IS NULL AND session_id IN :session_ids ORDER BY number;

-- name: mark_delivered
UPDATE message SET delivered_at = :delivered_at
WHERE id IN :ids AND session_id IN :session_ids AND delivered_at IS NULL
RETURNING *;

-- name: delivery
SELECT * FROM delivery WHERE id = :id;

-- name: deliveries
SELECT * FROM delivery WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: insert_delivery
INSERT INTO delivery (id, swarm_id, branch, tip, head, state, actor, created_at, candidate)
VALUES (:id, :swarm_id, :branch, :tip, :head, :state, :actor, :created_at, :candidate);

-- name: move_delivery
UPDATE delivery
SET state = :state, candidate = coalesce(:candidate, candidate), note = coalesce(:note, note), ended_at = :ended_at
WHERE id = :id AND state = :expected;
