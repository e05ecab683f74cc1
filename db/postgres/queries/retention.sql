-- name: GetRetention :one
SELECT max_age_seconds, max_bytes, max_messages, keep_for FROM retention
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: SetRetention :exec
INSERT INTO retention (bucket, topic_id, max_age_seconds, max_bytes, max_messages, keep_for)
VALUES (
    sqlc.arg(bucket), sqlc.arg(topic_id), sqlc.arg(max_age_seconds), sqlc.arg(max_bytes),
    sqlc.arg(max_messages), sqlc.arg(keep_for)
)
ON CONFLICT (bucket, topic_id) DO UPDATE SET
    max_age_seconds = excluded.max_age_seconds, max_bytes = excluded.max_bytes,
    max_messages = excluded.max_messages, keep_for = excluded.keep_for;

-- name: DeleteRetention :execrows
DELETE FROM retention WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: ListRetained :many
SELECT t.topic_id, t.name, r.max_age_seconds, r.max_bytes, r.max_messages, r.keep_for
FROM retention AS r
JOIN topics AS t ON t.bucket = r.bucket AND t.topic_id = r.topic_id
WHERE (r.bucket, r.topic_id) > (sqlc.arg(bucket)::int, sqlc.arg(after)::bigint)
ORDER BY r.bucket, r.topic_id
LIMIT sqlc.arg(max_rows)::bigint;

-- name: FindExcess :one
-- The head in the same snapshot: what is to go was counted for one first offset, and means nothing for another.
SELECT coalesce(max(m."offset") + 1, sqlc.arg(from_offset)::bigint)::bigint AS until_offset
FROM (
    SELECT r."offset", sum(r.size) OVER (ORDER BY r."offset" ROWS UNBOUNDED PRECEDING) - r.size AS below
    FROM messages AS r
    JOIN heads AS h ON h.bucket = r.bucket AND h.topic_id = r.topic_id
    WHERE r.bucket = sqlc.arg(bucket) AND r.topic_id = sqlc.arg(topic_id)
      AND r."offset" >= sqlc.arg(from_offset)::bigint AND r."offset" < sqlc.arg(until_offset)::bigint
      AND h.first_offset = sqlc.arg(from_offset)::bigint
) AS m
WHERE m.below < sqlc.arg(bytes)::bigint;

-- name: FindSweepEnd :one
-- The end of the rows, from the first that is there, that one sweep may remove: at most max_rows, and the
-- bytes that are given or one row.
SELECT coalesce(max(m."offset") + 1, 0)::bigint AS until_offset
FROM (
    SELECT r."offset", sum(r.size) OVER (ORDER BY r."offset" ROWS UNBOUNDED PRECEDING) - r.size AS below
    FROM (
        SELECT s."offset", s.size FROM messages AS s
        WHERE s.bucket = sqlc.arg(bucket) AND s.topic_id = sqlc.arg(topic_id)
          AND s."offset" >= sqlc.arg(from_offset)::bigint AND s."offset" < sqlc.arg(until_offset)::bigint
        ORDER BY s."offset"
        LIMIT sqlc.arg(max_rows)::bigint
    ) AS r
) AS m
WHERE m.below < sqlc.arg(bytes)::bigint;

-- name: LockKeepers :many
-- Keeps the consumers from going back until the transaction ends. A move of one waits for it.
SELECT name::text AS name, "offset" FROM consumers
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND name = ANY (sqlc.arg(names)::text[])
ORDER BY bucket, consumer_id
FOR SHARE;

-- name: FindKeepers :many
SELECT name::text AS name, "offset" FROM consumers
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND name = ANY (sqlc.arg(names)::text[]);

-- name: TouchProducers :execrows
UPDATE producers SET last_used = sqlc.arg(at)
WHERE bucket = sqlc.arg(bucket) AND producer_id = ANY (sqlc.arg(producer_ids)::bigint[])
  AND name IS NULL AND last_used < sqlc.arg(at);

-- name: TouchConsumers :execrows
UPDATE consumers SET last_seen = sqlc.arg(at)
WHERE bucket = sqlc.arg(bucket) AND consumer_id = ANY (sqlc.arg(consumer_ids)::bigint[])
  AND last_seen < sqlc.arg(at);

-- name: ListUnusedProducers :many
SELECT bucket, producer_id FROM producers WHERE name IS NULL AND last_used < sqlc.arg(since)
LIMIT sqlc.arg(max_rows)::bigint;

-- name: ListUnusedConsumers :many
SELECT bucket, consumer_id FROM consumers WHERE name IS NULL AND last_seen < sqlc.arg(since)
LIMIT sqlc.arg(max_rows)::bigint;

-- name: ForgetProducers :execrows
-- Asks again: one of them may have been used since it was found.
DELETE FROM producers
WHERE bucket = sqlc.arg(bucket) AND producer_id = ANY (sqlc.arg(producer_ids)::bigint[])
  AND name IS NULL AND last_used < sqlc.arg(since);

-- name: ForgetConsumers :execrows
DELETE FROM consumers
WHERE bucket = sqlc.arg(bucket) AND consumer_id = ANY (sqlc.arg(consumer_ids)::bigint[])
  AND name IS NULL AND last_seen < sqlc.arg(since);
