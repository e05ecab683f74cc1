-- name: InsertToken :execrows
INSERT INTO tokens (bucket, token_id, name, hash, scopes, created_at, expires_at,
    quota_rate, quota_topics, quota_topic_bytes, quota_producers, quota_consumers)
VALUES (
    sqlc.arg(bucket), sqlc.arg(token_id), sqlc.arg(name), sqlc.arg(hash), sqlc.arg(scopes), sqlc.arg(created_at),
    sqlc.narg(expires_at),
    sqlc.arg(quota_rate), sqlc.arg(quota_topics), sqlc.arg(quota_topic_bytes), sqlc.arg(quota_producers), sqlc.arg(quota_consumers)
);

-- name: ForgetTokens :execrows
-- Reads the whole table, which is small.
DELETE FROM tokens WHERE least(revoked_at, expires_at) < sqlc.arg(before)::timestamptz;

-- name: ListTokens :many
SELECT token_id, name, hash, scopes, created_at, expires_at, revoked_at,
    quota_rate, quota_topics, quota_topic_bytes, quota_producers, quota_consumers
FROM tokens ORDER BY token_id;

-- name: RevokeToken :execrows
-- The first time counts.
UPDATE tokens SET revoked_at = coalesce(revoked_at, sqlc.arg(revoked_at)::timestamptz)
WHERE bucket = sqlc.arg(bucket) AND token_id = sqlc.arg(token_id);

-- name: LockToken :many
-- Whoever makes what is counted for a token holds this lock, so that no two count at a time. It comes before those
-- on heads. No row: the token is gone, and makes nothing more.
SELECT token_id FROM tokens
WHERE bucket = sqlc.arg(bucket) AND token_id = sqlc.arg(token_id)
FOR NO KEY UPDATE;

-- name: CountTopicsOf :one
-- This and the two below are over all buckets, and read no more than the token may have and what Sweep has not
-- removed yet.
SELECT count(*) FROM topics WHERE token_id = sqlc.arg(token_id)::text;

-- name: CountProducersOf :one
SELECT count(*)
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.token_id = sqlc.arg(token_id)::text AND (p.name IS NULL OR p.epoch > 0);

-- name: CountConsumersOf :one
SELECT count(*)
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.token_id = sqlc.arg(token_id)::text;
