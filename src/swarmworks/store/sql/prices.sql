-- name: insert_list
INSERT INTO price_list (id, source, imported_by, imported_at) VALUES (:id, :source, :imported_by, :imported_at);

-- name: insert_price
INSERT INTO price (list_id, position, label, provider, hosts, match, valid_from, document)
VALUES (:list_id, :position, :label, :provider, :hosts, :match, :valid_from, :document);

-- name: insert_decision
INSERT INTO price_decision (list_id, verdict, decided_by, reason, decided_at)
VALUES (:list_id, :verdict, :decided_by, :reason, :decided_at);

-- name: lists
SELECT price_list.*, price_decision.verdict, price_decision.decided_by, price_decision.reason, price_decision.decided_at,
       (SELECT count(*) FROM price WHERE price.list_id = price_list.id) AS entries
FROM price_list LEFT JOIN price_decision ON price_decision.list_id = price_list.id
ORDER BY price_list.number;

-- name: list
SELECT price_list.*, price_decision.verdict, price_decision.decided_by, price_decision.reason, price_decision.decided_at,
       (SELECT count(*) FROM price WHERE price.list_id = price_list.id) AS entries
FROM price_list LEFT JOIN price_decision ON price_decision.list_id = price_list.id
WHERE price_list.id = :id;

-- name: entries
SELECT * FROM price WHERE list_id = :list_id ORDER BY position;

-- name: approved
SELECT price.*, price_decision.number AS number
FROM price_decision JOIN price ON price.list_id = price_decision.list_id
WHERE price_decision.verdict = 'approved'
ORDER BY price_decision.number, price.position;

-- name: version
SELECT count(*) AS version FROM price_decision;

-- name: record
INSERT INTO price_used (digest, document) VALUES (:digest, :document) ON CONFLICT (digest) DO NOTHING;

-- name: used
SELECT reservation.model, price_used.document, reservation.subscription,
       count(*) AS calls,
       CAST(sum(CASE WHEN reservation.estimated THEN 1 ELSE 0 END) AS BIGINT) AS estimated_calls,
       CAST(coalesce(sum(reservation.settled_nano_usd), 0) AS BIGINT) AS nano_usd,
       CAST(coalesce(sum(reservation.settled_tokens), 0) AS BIGINT) AS tokens,
       CAST(coalesce(sum(reservation.input_tokens), 0) AS BIGINT) AS input_tokens,
       CAST(coalesce(sum(reservation.output_tokens), 0) AS BIGINT) AS output_tokens,
       CAST(coalesce(sum(reservation.cache_read_tokens), 0) AS BIGINT) AS cache_read_tokens,
       CAST(coalesce(sum(reservation.cache_write_tokens), 0) AS BIGINT) AS cache_write_tokens,
       min(reservation.number) AS first
FROM reservation LEFT JOIN price_used ON price_used.digest = reservation.price
WHERE reservation.swarm_id = :swarm_id AND reservation.state = 'settled'
GROUP BY reservation.model, price_used.document, reservation.subscription
ORDER BY first;

-- name: put_subscription
INSERT INTO subscription (provider) VALUES (:provider) ON CONFLICT (provider) DO NOTHING;

-- name: hold_subscription
SELECT provider FROM subscription WHERE provider = :provider /* lock */;

-- name: drawn
SELECT count(*) AS requests, CAST(coalesce(sum(coalesce(settled_tokens, reserved_tokens)), 0) AS BIGINT) AS tokens
FROM reservation
WHERE subscription = :provider AND (ended_at > :since OR ended_at IS NULL) AND state <> 'freed'
  AND coalesce(settled_calls, 1) > 0;

-- name: oldest
SELECT ended_at, coalesce(settled_tokens, reserved_tokens) AS tokens
FROM reservation
WHERE subscription = :provider AND ended_at > :since AND state <> 'freed' AND coalesce(settled_calls, 1) > 0
ORDER BY ended_at LIMIT :most;
