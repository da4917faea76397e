-- name: account
SELECT * FROM account WHERE id = :id;

-- name: account_of
SELECT * FROM account WHERE kind = :kind AND subject = :subject;

-- name: accounts_of
SELECT id, subject FROM account WHERE kind = :kind AND subject IN :subjects;

-- name: bounds
SELECT id, limit_nano_usd, limit_tokens, limit_calls FROM account WHERE id IN :ids;

-- name: accounts_by_id
SELECT * FROM account WHERE id IN :ids ORDER BY id;

-- name: chain
WITH RECURSIVE up AS (
    SELECT account.*, 0 AS depth FROM account WHERE account.id = :id
    UNION ALL
    SELECT account.*, up.depth + 1 FROM up JOIN account ON account.id = up.parent_id
)
SELECT * FROM up ORDER BY depth;

-- name: subtree
WITH RECURSIVE down AS (
    SELECT account.*, 0 AS depth FROM account WHERE account.id = :id
    UNION ALL
    SELECT account.*, down.depth + 1 FROM down JOIN account ON account.parent_id = down.id WHERE account.state <> 'closed'
)
SELECT * FROM down ORDER BY depth DESC, id;

-- name: totals
WITH RECURSIVE down AS (
    SELECT id, spent_nano_usd, spent_tokens, spent_calls, held_nano_usd, held_tokens, held_calls FROM account WHERE account.id = :id
    UNION ALL
    SELECT account.id, account.spent_nano_usd, account.spent_tokens, account.spent_calls,
           account.held_nano_usd, account.held_tokens, account.held_calls
    FROM down JOIN account ON account.parent_id = down.id WHERE account.state <> 'closed'
)
SELECT CAST(sum(spent_nano_usd) AS BIGINT) AS spent_nano_usd, CAST(sum(spent_tokens) AS BIGINT) AS spent_tokens,
       CAST(sum(held_nano_usd) AS BIGINT) AS held_nano_usd, CAST(sum(held_tokens) AS BIGINT) AS held_tokens,
       CAST(sum(spent_calls) AS BIGINT) AS spent_calls, CAST(sum(held_calls) AS BIGINT) AS held_calls
FROM down;

-- name: open_children
SELECT count(*) AS children FROM account WHERE parent_id = :id AND state <> 'closed';

-- name: insert_account
INSERT INTO account
    (id, parent_id, kind, subject, state, limit_nano_usd, cap_nano_usd, limit_tokens, cap_tokens, limit_calls, cap_calls)
VALUES
    (:id, :parent_id, :kind, :subject, :state, :limit_nano_usd, :cap_nano_usd, :limit_tokens, :cap_tokens,
     :limit_calls, :cap_calls);

-- name: put_project_account
INSERT INTO account (id, kind, subject, state) VALUES (:id, 'project', :project, 'open') ON CONFLICT (kind, subject) DO NOTHING;

-- name: save_account
UPDATE account
SET version = version + 1, state = :state, closing = :closing,
    limit_nano_usd = :limit_nano_usd, cap_nano_usd = :cap_nano_usd, spent_nano_usd = :spent_nano_usd,
    held_nano_usd = :held_nano_usd, allocated_nano_usd = :allocated_nano_usd, overrun_nano_usd = :overrun_nano_usd,
    limit_tokens = :limit_tokens, cap_tokens = :cap_tokens, spent_tokens = :spent_tokens,
    held_tokens = :held_tokens, allocated_tokens = :allocated_tokens, overrun_tokens = :overrun_tokens,
    limit_calls = :limit_calls, cap_calls = :cap_calls, spent_calls = :spent_calls,
    held_calls = :held_calls, allocated_calls = :allocated_calls, overrun_calls = :overrun_calls
WHERE id = :id AND version = :version;

-- name: hold_beside
UPDATE account
SET version = version + 1, held_nano_usd = held_nano_usd + :nano_usd, held_tokens = held_tokens + :tokens,
    held_calls = held_calls + :calls
WHERE id IN (:day_account, :month_account, :agent_account) AND state = 'open'
  AND (cap_nano_usd IS NULL OR spent_nano_usd + held_nano_usd + :nano_usd <= cap_nano_usd)
  AND (cap_tokens IS NULL OR spent_tokens + held_tokens + :tokens <= cap_tokens)
  AND (cap_calls IS NULL OR spent_calls + held_calls + :calls <= cap_calls);

-- name: end_beside
UPDATE account
SET version = version + 1, held_nano_usd = held_nano_usd - :held_nano_usd, held_tokens = held_tokens - :held_tokens,
    held_calls = held_calls - :held_calls, spent_nano_usd = spent_nano_usd + :spent_nano_usd,
    spent_tokens = spent_tokens + :spent_tokens, spent_calls = spent_calls + :spent_calls
WHERE id IN (:day_account, :month_account, :agent_account);

-- name: windows
SELECT * FROM budget_window WHERE project = :project ORDER BY period;

-- name: window
SELECT * FROM budget_window WHERE project = :project AND period = :period /* lock */;

-- name: put_window
INSERT INTO budget_window (project, period, zone) VALUES (:project, :period, :zone) ON CONFLICT (project, period) DO NOTHING;

-- name: save_window
UPDATE budget_window
SET zone = :zone, limit_nano_usd = :limit_nano_usd, limit_tokens = :limit_tokens, limit_calls = :limit_calls,
    newest = :newest, account_id = :account_id
WHERE project = :project AND period = :period;

-- name: swarms_since
SELECT id FROM swarm WHERE project = :project AND (ended_at IS NULL OR ended_at >= :since) ORDER BY number;

-- name: attach_to_day
UPDATE reservation SET day_account = :account_id
WHERE swarm_id IN :swarms AND day_account IS NULL AND opened_at >= :since AND state <> 'freed'
RETURNING reserved_nano_usd, reserved_tokens, settled_nano_usd, settled_tokens, settled_calls;

-- name: attach_to_month
UPDATE reservation SET month_account = :account_id
WHERE swarm_id IN :swarms AND month_account IS NULL AND opened_at >= :since AND state <> 'freed'
RETURNING reserved_nano_usd, reserved_tokens, settled_nano_usd, settled_tokens, settled_calls;

-- name: drawing
SELECT session.account_id, session.swarm_id, session.agent_id, swarm.project, swarm.agent_limit,
       agent.id AS agent_account, day.zone AS day_zone, day.newest AS day_newest, day.account_id AS day_account,
       month.zone AS month_zone, month.newest AS month_newest, month.account_id AS month_account
FROM session
JOIN swarm ON swarm.id = session.swarm_id
LEFT JOIN account AS agent
    ON swarm.agent_limit IS NOT NULL AND agent.kind = 'agent' AND agent.subject = session.swarm_id || '/' || session.agent_id
LEFT JOIN budget_window AS day ON day.project = swarm.project AND day.period = 'day'
    AND (day.limit_nano_usd IS NOT NULL OR day.limit_tokens IS NOT NULL OR day.limit_calls IS NOT NULL)
LEFT JOIN budget_window AS month ON month.project = swarm.project AND month.period = 'month'
    AND (month.limit_nano_usd IS NOT NULL OR month.limit_tokens IS NOT NULL OR month.limit_calls IS NOT NULL)
WHERE session.id = :id;

-- name: reservation
SELECT * FROM reservation WHERE id = :id;

-- name: open_reservations
SELECT * FROM reservation WHERE state IN ('held', 'sent') ORDER BY number;

-- name: open_reservations_of
SELECT * FROM reservation WHERE swarm_id = :swarm_id AND state IN ('held', 'sent') ORDER BY number;

-- name: reservations_by
SELECT * FROM reservation WHERE replica_id = :by AND state IN ('held', 'sent') ORDER BY swarm_id, number;

-- name: orphaned_reservations
SELECT * FROM reservation
WHERE state IN ('held', 'sent') AND NOT EXISTS (SELECT 1 FROM replica WHERE replica.id = reservation.replica_id)
ORDER BY swarm_id, number;

-- name: insert_reservation
INSERT INTO reservation
    (id, account_id, session_id, swarm_id, state, model, reserved_nano_usd, reserved_tokens, opened_at, replica_id,
     price, subscription, day_account, month_account, agent_account)
VALUES
    (:id, :account_id, :session_id, :swarm_id, :state, :model, :reserved_nano_usd, :reserved_tokens, :opened_at,
     :replica_id, :price, :subscription, :day_account, :month_account, :agent_account)
RETURNING *;

-- name: move_reservation
UPDATE reservation
SET state = :state, settled_nano_usd = :settled_nano_usd, settled_tokens = :settled_tokens, settled_calls = :settled_calls,
    input_tokens = :input_tokens, output_tokens = :output_tokens, cache_read_tokens = :cache_read_tokens,
    cache_write_tokens = :cache_write_tokens, estimated = :estimated, ended_at = :ended_at,
    provider_request_id = :provider_request_id
WHERE id = :id AND state = :expected
RETURNING *;

-- name: insert_entry
INSERT INTO ledger_entry (swarm_id, reservation_id, nano_usd, tokens)
VALUES (:swarm_id, :reservation_id, :nano_usd, :tokens);

-- name: peak
SELECT CAST(coalesce(max(nano_usd), 0) AS BIGINT) AS nano_usd, CAST(coalesce(max(tokens), 0) AS BIGINT) AS tokens
FROM (
    SELECT sum(nano_usd) OVER (ORDER BY number) AS nano_usd, sum(tokens) OVER (ORDER BY number) AS tokens
    FROM ledger_entry WHERE swarm_id = :swarm_id
) AS running;

-- name: settled
SELECT CAST(coalesce(sum(settled_nano_usd), 0) AS BIGINT) AS nano_usd, CAST(coalesce(sum(settled_tokens), 0) AS BIGINT) AS tokens,
       CAST(coalesce(sum(settled_calls), 0) AS BIGINT) AS calls,
       CAST(coalesce(sum(CASE WHEN estimated THEN 1 ELSE 0 END), 0) AS BIGINT) AS estimated_calls
FROM reservation WHERE swarm_id = :swarm_id AND state = 'settled';

-- name: model_usage
SELECT session_id, model, count(*) AS calls, CAST(sum(settled_nano_usd) AS BIGINT) AS nano_usd,
       CAST(sum(settled_tokens) AS BIGINT) AS tokens
FROM reservation
WHERE swarm_id = :swarm_id AND state = 'settled' AND (settled_tokens > 0 OR settled_nano_usd > 0)
GROUP BY session_id, model ORDER BY session_id, model;

-- name: answered_calls
SELECT count(*) AS calls FROM reservation
WHERE session_id = :session_id AND state = 'settled' AND (settled_tokens > 0 OR settled_nano_usd > 0);

-- name: session_usage
SELECT session.id AS session_id, session.task_id, session.agent_id, session.model,
       CAST(coalesce(sum(reservation.settled_calls), 0) AS BIGINT) AS calls,
       CAST(coalesce(sum(reservation.settled_nano_usd), 0) AS BIGINT) AS nano_usd,
       CAST(coalesce(sum(reservation.settled_tokens), 0) AS BIGINT) AS tokens,
       CAST(coalesce(sum(reservation.input_tokens), 0) AS BIGINT) AS input_tokens,
       CAST(coalesce(sum(reservation.output_tokens), 0) AS BIGINT) AS output_tokens
FROM session LEFT JOIN reservation ON reservation.session_id = session.id AND reservation.state = 'settled'
WHERE session.swarm_id = :swarm_id
GROUP BY session.id, session.task_id, session.agent_id, session.model, session.number
ORDER BY session.number;

-- name: stops
SELECT session_id, reason FROM session_stop WHERE session_id IN :ids;

-- name: stop_session
INSERT INTO session_stop (session_id, reason, at) VALUES (:session_id, :reason, :at) ON CONFLICT (session_id) DO NOTHING;

-- name: near_limits
WITH active AS (
    SELECT session.account_id, account.parent_id, session.swarm_id || '/' || session.agent_id AS agent
    FROM session JOIN account ON account.id = session.account_id
    WHERE session.swarm_id = :swarm_id AND session.state IN ('claimed', 'running')
), used AS (
    SELECT account.id, account.kind, account.subject, account.cap_nano_usd, account.cap_tokens, account.cap_calls,
           account.spent_nano_usd + coalesce((SELECT sum(below.spent_nano_usd) FROM account AS below
               WHERE below.parent_id = account.id AND below.state <> 'closed'), 0) AS spent_nano_usd,
           account.spent_tokens + coalesce((SELECT sum(below.spent_tokens) FROM account AS below
               WHERE below.parent_id = account.id AND below.state <> 'closed'), 0) AS spent_tokens,
           account.spent_calls + coalesce((SELECT sum(below.spent_calls) FROM account AS below
               WHERE below.parent_id = account.id AND below.state <> 'closed'), 0) AS spent_calls
    FROM account
    WHERE account.id IN (SELECT account_id FROM active UNION SELECT parent_id FROM active)
       OR (account.kind = 'agent' AND account.subject IN (SELECT agent FROM active))
)
SELECT * FROM used
WHERE (cap_nano_usd IS NOT NULL AND spent_nano_usd * 100 >= cap_nano_usd * :percent)
   OR (cap_tokens IS NOT NULL AND spent_tokens * 100 >= cap_tokens * :percent)
   OR (cap_calls IS NOT NULL AND spent_calls * 100 >= cap_calls * :percent)
ORDER BY kind, subject;

-- name: swarm_account
SELECT account_id, project FROM swarm WHERE id = :swarm_id;
