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
WHERE r.bucket >= CAST(sqlc.arg(bucket) AS INTEGER)
  AND (r.bucket > CAST(sqlc.arg(bucket) AS INTEGER) OR r.topic_id > CAST(sqlc.arg(after) AS INTEGER))
ORDER BY r.bucket, r.topic_id
LIMIT sqlc.arg(max_rows);

-- name: FindExcess :one
-- The head in the same snapshot: what is to go was counted for one first offset, and means nothing for another.
SELECT CAST(coalesce(max(m."offset") + 1, CAST(sqlc.arg(from_offset) AS INTEGER)) AS INTEGER) AS until_offset
FROM (
    SELECT r."offset", sum(r.size) OVER (ORDER BY r."offset" ROWS UNBOUNDED PRECEDING) - r.size AS below
    FROM heads AS h
    CROSS JOIN messages AS r ON r.bucket = h.bucket AND r.topic_id = h.topic_id
    WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = sqlc.arg(topic_id)
      AND h.first_offset = CAST(sqlc.arg(from_offset) AS INTEGER)
      AND r."offset" >= CAST(sqlc.arg(from_offset) AS INTEGER) AND r."offset" < CAST(sqlc.arg(until_offset) AS INTEGER)
) AS m
WHERE m.below < CAST(sqlc.arg(bytes) AS INTEGER);

-- name: FindKeepers :many
SELECT CAST(c.name AS TEXT) AS name, c."offset"
FROM json_each(CAST(sqlc.arg(names) AS TEXT))
CROSS JOIN consumers AS c ON c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id) AND c.name = value;

-- name: TouchProducer :execrows
UPDATE producers SET last_used = max(last_used, CAST(sqlc.arg(at) AS INTEGER))
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND name IS NULL;

-- name: TouchConsumer :execrows
UPDATE consumers SET last_seen = max(last_seen, CAST(sqlc.arg(at) AS INTEGER))
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id);

-- name: ListUnusedProducers :many
SELECT bucket, producer_id FROM producers WHERE name IS NULL AND last_used < sqlc.arg(since)
LIMIT sqlc.arg(max_rows);

-- name: ListUnusedConsumers :many
SELECT bucket, consumer_id FROM consumers WHERE name IS NULL AND last_seen < sqlc.arg(since)
LIMIT sqlc.arg(max_rows);

-- name: ForgetProducer :execrows
-- Asks again: it may have been used since it was found.
DELETE FROM producers
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND name IS NULL AND last_used < sqlc.arg(since);

-- name: ForgetConsumer :execrows
DELETE FROM consumers
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id) AND name IS NULL AND last_seen < sqlc.arg(since);
