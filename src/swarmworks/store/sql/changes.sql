-- name: change
SELECT * FROM change WHERE id = :id;

-- name: changes
SELECT * FROM change WHERE swarm_id = :swarm_id AND state IN :states ORDER BY number;

-- name: changes_of_task
SELECT * FROM change WHERE swarm_id = :swarm_id AND task_id = :task_id AND state IN :states ORDER BY number;

-- name: session
SELECT * FROM session WHERE id = :id;

-- name: insert_change
INSERT INTO change (id, swarm_id, task_id, session_id, agent_id, state, base, head, handoff, submitted_at)
VALUES (:id, :swarm_id, :task_id, :session_id, :agent_id, :state, :base, :head, :handoff, :submitted_at);

-- name: move_change
UPDATE change SET state = :state, candidate = coalesce(:candidate, candidate), landed = coalesce(:landed, landed)
WHERE id = :id AND state = :expected;

-- name: gate_runs
SELECT * FROM gate_run WHERE change_id = :change_id ORDER BY number;

-- name: insert_gate_run
INSERT INTO gate_run (change_id, stage, tree, results, at) VALUES (:change_id, :stage, :tree, :results, :at);

-- name: cached_gate
SELECT result FROM gate_cache WHERE key = :key;

-- name: cache_gate
INSERT INTO gate_cache (key, result, at) VALUES (:key, :result, :at)
ON CONFLICT (key) DO UPDATE SET result = excluded.result, at = excluded.at;

-- name: intent
SELECT * FROM intent WHERE id = :id;

-- name: open_intents
SELECT * FROM intent WHERE state = 'open' ORDER BY id;

-- name: insert_intent
INSERT INTO intent (swarm_id, change_id, ref, old, new, state)
VALUES (:swarm_id, :change_id, :ref, :old, :new, :state) RETURNING id;

-- name: close_intent
UPDATE intent SET state = :state WHERE id = :id AND state = :expected;
