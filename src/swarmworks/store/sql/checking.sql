-- name: accounts
SELECT count(*) AS rows FROM account;

-- name: held
SELECT account.kind || ' ' || account.subject AS subject
FROM account
LEFT JOIN (
    SELECT account_id, reserved_nano_usd, reserved_tokens FROM reservation WHERE state IN ('held', 'sent')
    UNION ALL
    SELECT day_account, reserved_nano_usd, reserved_tokens FROM reservation WHERE state IN ('held', 'sent')
    UNION ALL
    SELECT month_account, reserved_nano_usd, reserved_tokens FROM reservation WHERE state IN ('held', 'sent')
    UNION ALL
    SELECT agent_account, reserved_nano_usd, reserved_tokens FROM reservation WHERE state IN ('held', 'sent')
) AS open_one ON open_one.account_id = account.id
GROUP BY account.id, account.kind, account.subject, account.held_nano_usd, account.held_tokens, account.held_calls
HAVING account.held_nano_usd <> coalesce(sum(open_one.reserved_nano_usd), 0)
    OR account.held_tokens <> coalesce(sum(open_one.reserved_tokens), 0)
    OR account.held_calls <> count(open_one.account_id)
ORDER BY subject;

-- name: spent
SELECT account.kind || ' ' || account.subject AS subject
FROM account
LEFT JOIN (
    SELECT account_id, sum(nano_usd) AS nano_usd, sum(tokens) AS tokens, sum(calls) AS calls
    FROM (
        SELECT account_id, settled_nano_usd AS nano_usd, settled_tokens AS tokens, settled_calls AS calls
        FROM reservation WHERE state = 'settled'
        UNION ALL
        SELECT day_account, settled_nano_usd, settled_tokens, settled_calls
        FROM reservation WHERE state = 'settled' AND day_account IS NOT NULL
        UNION ALL
        SELECT month_account, settled_nano_usd, settled_tokens, settled_calls
        FROM reservation WHERE state = 'settled' AND month_account IS NOT NULL
        UNION ALL
        SELECT agent_account, settled_nano_usd, settled_tokens, settled_calls
        FROM reservation WHERE state = 'settled' AND agent_account IS NOT NULL
    ) AS settled GROUP BY account_id
) AS own ON own.account_id = account.id
LEFT JOIN (
    SELECT parent_id, sum(spent_nano_usd) AS nano_usd, sum(spent_tokens) AS tokens, sum(spent_calls) AS calls
    FROM account WHERE state = 'closed' GROUP BY parent_id
) AS folded ON folded.parent_id = account.id
WHERE account.spent_nano_usd <> coalesce(own.nano_usd, 0) + coalesce(folded.nano_usd, 0)
   OR account.spent_tokens <> coalesce(own.tokens, 0) + coalesce(folded.tokens, 0)
   OR account.spent_calls <> coalesce(own.calls, 0) + coalesce(folded.calls, 0)
ORDER BY subject;

-- name: allocated
SELECT account.kind || ' ' || account.subject AS subject
FROM account
LEFT JOIN (
    SELECT parent_id, sum(coalesce(limit_nano_usd, 0) + overrun_nano_usd) AS nano_usd,
           sum(coalesce(limit_tokens, 0) + overrun_tokens) AS tokens,
           sum(coalesce(limit_calls, 0) + overrun_calls) AS calls
    FROM account WHERE state <> 'closed' GROUP BY parent_id
) AS below ON below.parent_id = account.id
WHERE account.allocated_nano_usd <> coalesce(below.nano_usd, 0) OR account.allocated_tokens <> coalesce(below.tokens, 0)
   OR account.allocated_calls <> coalesce(below.calls, 0)
ORDER BY subject;

-- name: entries
SELECT swarm.id AS subject
FROM swarm
LEFT JOIN (
    SELECT swarm_id, sum(nano_usd) AS nano_usd, sum(tokens) AS tokens FROM ledger_entry GROUP BY swarm_id
) AS entered ON entered.swarm_id = swarm.id
LEFT JOIN (
    SELECT swarm_id,
           sum(CASE state WHEN 'settled' THEN settled_nano_usd WHEN 'freed' THEN 0 ELSE reserved_nano_usd END) AS nano_usd,
           sum(CASE state WHEN 'settled' THEN settled_tokens WHEN 'freed' THEN 0 ELSE reserved_tokens END) AS tokens
    FROM reservation GROUP BY swarm_id
) AS reserved ON reserved.swarm_id = swarm.id
WHERE coalesce(entered.nano_usd, 0) <> coalesce(reserved.nano_usd, 0)
   OR coalesce(entered.tokens, 0) <> coalesce(reserved.tokens, 0)
ORDER BY swarm.id;

-- name: work_of_nobody
SELECT work.id AS subject FROM work LEFT JOIN worker ON worker.id = work.worker_id
WHERE work.state = 'leased' AND worker.id IS NULL ORDER BY work.number;

-- name: sessions_of_nobody
SELECT session.id AS subject FROM session LEFT JOIN worker ON worker.id = session.worker_id
WHERE session.state <> 'ended' AND worker.id IS NULL ORDER BY session.number;

-- name: calls_of_nobody
SELECT reservation.id AS subject FROM reservation LEFT JOIN replica ON replica.id = reservation.replica_id
WHERE reservation.state IN ('held', 'sent') AND reservation.replica_id IS NOT NULL AND replica.id IS NULL
ORDER BY reservation.number;

-- name: running_without_session
SELECT task.swarm_id || '/' || task.id AS subject
FROM task LEFT JOIN session ON session.swarm_id = task.swarm_id AND session.task_id = task.id AND session.state <> 'ended'
WHERE task.state = 'running' AND session.id IS NULL ORDER BY subject;

-- name: waiting_wrongly
SELECT task.swarm_id || '/' || task.id AS subject
FROM task
LEFT JOIN task_edge ON task_edge.swarm_id = task.swarm_id AND task_edge.task_id = task.id
LEFT JOIN task AS needed ON needed.swarm_id = task_edge.swarm_id AND needed.id = task_edge.needs
    AND needed.state NOT IN ('landed', 'nothing_to_do', 'superseded')
GROUP BY task.swarm_id, task.id, task.waiting_on
HAVING task.waiting_on <> count(needed.id) ORDER BY subject;

-- name: files_held_for_nothing
SELECT file_claim.path AS subject
FROM file_claim JOIN task ON task.swarm_id = file_claim.swarm_id AND task.id = file_claim.task_id
WHERE task.state NOT IN ('running', 'review', 'queued') ORDER BY subject;

-- name: miscounted
SELECT swarm.id AS subject
FROM swarm
LEFT JOIN task_count ON task_count.swarm_id = swarm.id
LEFT JOIN (SELECT swarm_id, state, count(*) AS tasks FROM task GROUP BY swarm_id, state) AS counted
    ON counted.swarm_id = swarm.id AND counted.state = task_count.task_state
GROUP BY swarm.id
HAVING sum(CASE WHEN coalesce(task_count.tasks, -1) = coalesce(counted.tasks, 0) THEN 0 ELSE 1 END) > 0
    OR sum(coalesce(task_count.tasks, 0)) <> (SELECT count(*) FROM task WHERE task.swarm_id = swarm.id)
ORDER BY subject;
