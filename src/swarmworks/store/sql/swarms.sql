-- name: swarm
SELECT swarm.*, plan.document AS plan FROM swarm JOIN plan ON plan.swarm_id = swarm.id WHERE swarm.id = :swarm_id;

-- name: swarms
SELECT swarm.*, plan.document AS plan FROM swarm JOIN plan ON plan.swarm_id = swarm.id ORDER BY swarm.number DESC;

-- name: swarms_in
SELECT swarm.*, plan.document AS plan FROM swarm JOIN plan ON plan.swarm_id = swarm.id
WHERE swarm.state IN :states ORDER BY swarm.number DESC;

-- name: swarms_of_project
SELECT swarm.*, plan.document AS plan FROM swarm JOIN plan ON plan.swarm_id = swarm.id
WHERE swarm.project = :project ORDER BY swarm.number DESC;

-- name: swarms_of_project_in
SELECT swarm.*, plan.document AS plan FROM swarm JOIN plan ON plan.swarm_id = swarm.id
WHERE swarm.project = :project AND swarm.state IN :states ORDER BY swarm.number DESC;

-- name: swarm_without_plan
SELECT * FROM swarm WHERE id = :swarm_id;

-- name: insert_swarm
INSERT INTO swarm (id, project, state, account_id, integration_ref, base, options, task_limit, agent_limit, created_at)
VALUES (:id, :project, :state, :account_id, :integration_ref, :base, :options, :task_limit, :agent_limit, :created_at);

-- name: hold_project
SELECT id FROM account WHERE kind = 'project' AND subject = :project /* lock */;

-- name: insert_plan
INSERT INTO plan (swarm_id, document) VALUES (:swarm_id, :document);

-- name: move_swarm
UPDATE swarm SET state = :state, reason = :reason, ended_at = :ended_at WHERE id = :swarm_id AND state = :expected;

-- name: task
SELECT * FROM task WHERE swarm_id = :swarm_id AND id = :id;

-- name: tasks
SELECT * FROM task WHERE swarm_id = :swarm_id ORDER BY position;

-- name: tasks_in
SELECT * FROM task WHERE swarm_id = :swarm_id AND state IN :states;

-- name: task_counts
SELECT task_state, tasks FROM task_count WHERE swarm_id = :swarm_id;

-- name: insert_task_count
INSERT INTO task_count (swarm_id, task_state) VALUES (:swarm_id, :task_state);

-- name: count_tasks
UPDATE task_count SET tasks = tasks + CASE task_state WHEN :state THEN :grown ELSE :other_grown END
WHERE swarm_id = :swarm_id AND (task_state = :state OR task_state = :other);

-- name: last_position
SELECT coalesce(max(position), -1) AS position FROM task WHERE swarm_id = :swarm_id;

-- name: insert_task
INSERT INTO task (swarm_id, id, position, planned, kind, role, owns, state, rank, waiting_on, rejection)
VALUES (:swarm_id, :id, :position, :planned, :kind, :role, :owns, :state, :rank, :waiting_on, :rejection);

-- name: insert_edge
INSERT INTO task_edge (swarm_id, task_id, needs) VALUES (:swarm_id, :task_id, :needs);

-- name: satisfied
SELECT id FROM task WHERE swarm_id = :swarm_id AND id IN :ids AND state IN :states;

-- name: move_task
UPDATE task
SET state = :state, rejection = :rejection, note = :note, landed_commit = :landed_commit, attempts = :attempts
WHERE swarm_id = :swarm_id AND id = :id AND state = :expected;

-- name: guide_task
UPDATE task SET guidance = :guidance WHERE swarm_id = :swarm_id AND id = :id;

-- name: widen_task
UPDATE task SET planned = :planned, owns = :owns WHERE swarm_id = :swarm_id AND id = :id;

-- name: unblock_dependents
UPDATE task
SET waiting_on = waiting_on - 1,
    state = CASE WHEN state = :waiting AND waiting_on = 1 THEN :ready ELSE state END
WHERE swarm_id = :swarm_id AND id IN (SELECT task_id FROM task_edge WHERE swarm_id = :swarm_id AND needs = :id)
RETURNING state;

-- name: file_claims
SELECT path, task_id FROM file_claim WHERE swarm_id = :swarm_id;

-- name: owned
SELECT owns FROM task WHERE swarm_id = :swarm_id AND state IN :states;

-- name: claim_file
INSERT INTO file_claim (swarm_id, path, task_id) VALUES (:swarm_id, :path, :task_id);

-- name: release_files
DELETE FROM file_claim WHERE swarm_id = :swarm_id AND task_id = :task_id;

-- name: agents
SELECT * FROM agent WHERE project = :project ORDER BY name;

-- name: active_agents
SELECT * FROM agent WHERE project = :project AND active ORDER BY name;

-- name: agent
SELECT * FROM agent WHERE id = :id;

-- name: idle_agents
SELECT * FROM agent
WHERE project = :project AND active
  AND NOT EXISTS (SELECT 1 FROM session WHERE session.agent_id = agent.id AND session.state <> 'ended')
ORDER BY name;

-- name: taken_agent
SELECT id FROM agent WHERE id = :agent_id AND active
UNION ALL
SELECT id FROM session WHERE agent_id = :agent_id AND state <> 'ended';

-- name: retire_agents
UPDATE agent SET active = :active WHERE project = :project;

-- name: put_agent
INSERT INTO agent (id, project, name, role, kinds, active) VALUES (:id, :project, :name, :role, :kinds, :active)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, role = excluded.role, kinds = excluded.kinds, active = excluded.active
WHERE agent.project = excluded.project;
