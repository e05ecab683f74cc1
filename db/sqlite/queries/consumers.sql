-- name: InsertConsumer :execrows
INSERT INTO consumers (bucket, consumer_id, topic_id, name, "offset", last_seen, token_id)
VALUES (
    sqlc.arg(bucket), sqlc.arg(consumer_id), sqlc.arg(topic_id), sqlc.narg(name),
    sqlc.arg(start_offset), sqlc.arg(last_seen), sqlc.narg(token_id)
)
ON CONFLICT (bucket, topic_id, name) DO NOTHING;

-- name: FindConsumer :one
SELECT c.bucket, c.consumer_id, c.topic_id, c.name, c."offset", c.seek_no, c.last_seen, c.token_id
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id) AND c.name = sqlc.arg(name);

-- name: FindConsumers :many
SELECT c.bucket, c.consumer_id, c.topic_id, c.name, c."offset", c.seek_no, c.last_seen, c.token_id
FROM json_each(CAST(sqlc.arg(consumer_ids) AS TEXT))
CROSS JOIN consumers AS c ON c.bucket = value & 255 AND c.consumer_id = value
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id;

-- name: SetPosition :execrows
UPDATE consumers
SET "offset" = sqlc.arg(to_offset), seek_no = sqlc.arg(seek_no), last_seen = sqlc.arg(last_seen)
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id);

-- name: CommitOffset :execrows
-- Forward only, and only while no seek has happened that the commit does not know of.
UPDATE consumers
SET "offset" = sqlc.arg(to_offset), last_seen = sqlc.arg(last_seen)
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id)
  AND seek_no = sqlc.arg(seek_no) AND "offset" < sqlc.arg(to_offset);

-- name: ListConsumers :many
SELECT c.bucket, c.consumer_id, c.topic_id, c.name, c."offset", c.seek_no, c.last_seen, c.token_id
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id) AND c.consumer_id > sqlc.arg(after)
ORDER BY c.consumer_id
LIMIT sqlc.arg(max_rows);

-- name: CountConsumers :one
SELECT count(*)
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id);

-- name: DeleteConsumer :execrows
DELETE FROM consumers
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id) AND topic_id = sqlc.arg(topic_id);

-- name: SweepConsumers :execrows
DELETE FROM consumers
WHERE consumers.bucket = sqlc.arg(bucket) AND consumers.consumer_id IN (
    SELECT c.consumer_id FROM consumers AS c
    WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id)
    LIMIT sqlc.arg(max_rows)
);
