-- name: InsertToken :execrows
INSERT INTO tokens (bucket, token_id, name, hash, scopes, created_at, expires_at,
    quota_rate, quota_topics, quota_topic_bytes, quota_producers, quota_consumers)
VALUES (
    sqlc.arg(bucket), sqlc.arg(token_id), sqlc.arg(name), sqlc.arg(hash), sqlc.arg(scopes), sqlc.arg(created_at),
    sqlc.arg(expires_at),
    sqlc.arg(quota_rate), sqlc.arg(quota_topics), sqlc.arg(quota_topic_bytes), sqlc.arg(quota_producers), sqlc.arg(quota_consumers)
);

-- name: ForgetTokens :execrows
-- Reads the whole table, which is small.
DELETE FROM tokens
WHERE (revoked_at > 0 AND revoked_at < sqlc.arg(before)) OR (expires_at > 0 AND expires_at < sqlc.arg(before));

-- name: ListTokens :many
SELECT token_id, name, hash, scopes, created_at, expires_at, revoked_at,
    quota_rate, quota_topics, quota_topic_bytes, quota_producers, quota_consumers
FROM tokens;

-- name: RevokeToken :execrows
-- The first time counts.
UPDATE tokens SET revoked_at = CASE WHEN revoked_at > 0 THEN revoked_at ELSE sqlc.arg(revoked_at) END
WHERE bucket = sqlc.arg(bucket) AND token_id = sqlc.arg(token_id);

-- name: CountTopicsOf :one
-- This and the two below are over all buckets, and read no more than the token may have and what Sweep has not
-- removed yet.
SELECT count(*) FROM topics WHERE token_id = sqlc.arg(token_id);

-- name: CountProducersOf :one
SELECT count(*)
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.token_id = sqlc.arg(token_id) AND (p.name IS NULL OR p.epoch > 0);

-- name: CountConsumersOf :one
SELECT count(*)
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.token_id = sqlc.arg(token_id);
