-- name: insert_failure
INSERT INTO test_failure (change_id, test, swarm_id, task_id) VALUES (:change_id, :test, :swarm_id, :task_id)
ON CONFLICT (change_id, test) DO NOTHING;

-- name: failing
SELECT DISTINCT task_id FROM test_failure WHERE swarm_id = :swarm_id AND test = :test ORDER BY task_id;

-- name: failures
SELECT change_id, test FROM test_failure WHERE swarm_id = :swarm_id AND change_id IN :ids ORDER BY change_id, test;

-- name: insert_health
INSERT INTO health_task (swarm_id, test, task_id) VALUES (:swarm_id, :test, :task_id);

-- name: health
SELECT test, task_id FROM health_task WHERE swarm_id = :swarm_id ORDER BY test;
