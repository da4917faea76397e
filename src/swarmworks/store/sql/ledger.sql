-- name: account
SELECT * FROM account WHERE id = :id;

-- name: account_of
SELECT * FROM account WHERE kind = :kind AND subject = :subject;

-- name: chain
WITH RECURSIVE up (id, depth) AS (
    SELECT :id, 0
    UNION ALL
    SELECT account.parent_id, up.depth + 1 FROM up JOIN account ON account.id = up.id WHERE account.parent_id IS NOT NULL
)
SELECT account.* FROM up JOIN account ON account.id = up.id ORDER BY up.depth;

-- name: subtree
WITH RECURSIVE down (id, depth) AS (
    SELECT :id, 0
    UNION ALL
    SELECT account.id, down.depth + 1
    FROM down JOIN account ON account.parent_id = down.id WHERE account.state <> 'closed'
)
SELECT account.* FROM down JOIN account ON account.id = down.id ORDER BY down.depth DESC, account.id;

-- name: totals
WITH RECURSIVE down (id) AS (
    SELECT :id
    UNION ALL
    SELECT account.id FROM down JOIN account ON account.parent_id = down.id WHERE account.state <> 'closed'
)
SELECT sum(spent_nano_usd) AS spent_nano_usd, sum(spent_tokens) AS spent_tokens,
       sum(held_nano_usd) AS held_nano_usd, sum(held_tokens) AS held_tokens, sum(calls) AS calls
FROM down JOIN account ON account.id = down.id;

-- name: open_children
SELECT count(*) AS children FROM account WHERE parent_id = :id AND state <> 'closed';

-- name: insert_account
INSERT INTO account (id, parent_id, kind, subject, state, limit_nano_usd, cap_nano_usd, limit_tokens, cap_tokens)
VALUES (:id, :parent_id, :kind, :subject, :state, :limit_nano_usd, :cap_nano_usd, :limit_tokens, :cap_tokens);

-- name: save_account
UPDATE account
SET state = :state, closing = :closing, calls = :calls,
    limit_nano_usd = :limit_nano_usd, cap_nano_usd = :cap_nano_usd, spent_nano_usd = :spent_nano_usd,
    held_nano_usd = :held_nano_usd, allocated_nano_usd = :allocated_nano_usd, overrun_nano_usd = :overrun_nano_usd,
    limit_tokens = :limit_tokens, cap_tokens = :cap_tokens, spent_tokens = :spent_tokens,
    held_tokens = :held_tokens, allocated_tokens = :allocated_tokens, overrun_tokens = :overrun_tokens
WHERE id = :id;

-- name: session
SELECT * FROM session WHERE id = :id;

-- name: reservation
SELECT * FROM reservation WHERE id = :id;

-- name: open_reservations
SELECT * FROM reservation WHERE state IN ('held', 'sent') ORDER BY number;

-- name: open_reservations_of
SELECT * FROM reservation WHERE swarm_id = :swarm_id AND state IN ('held', 'sent') ORDER BY number;

-- name: insert_reservation
INSERT INTO reservation
    (id, account_id, session_id, swarm_id, state, model, reserved_nano_usd, reserved_tokens, opened_at)
VALUES
    (:id, :account_id, :session_id, :swarm_id, :state, :model, :reserved_nano_usd, :reserved_tokens, :opened_at);

-- name: move_reservation
UPDATE reservation
SET state = :state, settled_nano_usd = :settled_nano_usd, settled_tokens = :settled_tokens,
    input_tokens = :input_tokens, output_tokens = :output_tokens, cache_read_tokens = :cache_read_tokens,
    cache_write_tokens = :cache_write_tokens, estimated = :estimated, ended_at = :ended_at,
    provider_request_id = :provider_request_id
WHERE id = :id AND state = :expected;

-- name: insert_entry
INSERT INTO ledger_entry (swarm_id, reservation_id, nano_usd, tokens)
VALUES (:swarm_id, :reservation_id, :nano_usd, :tokens);

-- name: peak
SELECT coalesce(max(nano_usd), 0) AS nano_usd, coalesce(max(tokens), 0) AS tokens
FROM (
    SELECT sum(nano_usd) OVER (ORDER BY number) AS nano_usd, sum(tokens) OVER (ORDER BY number) AS tokens
    FROM ledger_entry WHERE swarm_id = :swarm_id
) AS running;

-- name: settled
SELECT coalesce(sum(settled_nano_usd), 0) AS nano_usd, coalesce(sum(settled_tokens), 0) AS tokens,
       count(*) AS calls, coalesce(sum(CASE WHEN estimated THEN 1 ELSE 0 END), 0) AS estimated_calls
FROM reservation WHERE swarm_id = :swarm_id AND state = 'settled';

-- name: session_usage
SELECT session.id AS session_id, session.task_id, session.agent_id, session.model,
       count(reservation.id) AS calls,
       coalesce(sum(reservation.settled_nano_usd), 0) AS nano_usd,
       coalesce(sum(reservation.settled_tokens), 0) AS tokens,
       coalesce(sum(reservation.input_tokens), 0) AS input_tokens,
       coalesce(sum(reservation.output_tokens), 0) AS output_tokens
FROM session LEFT JOIN reservation ON reservation.session_id = session.id AND reservation.state = 'settled'
WHERE session.swarm_id = :swarm_id
GROUP BY session.id, session.task_id, session.agent_id, session.model, session.number
ORDER BY session.number;
