-- name: InsertProducer :execrows
INSERT INTO producers (bucket, producer_id, topic_id, name, last_used, token_id)
VALUES (
    sqlc.arg(bucket), sqlc.arg(producer_id), sqlc.arg(topic_id), sqlc.narg(name), sqlc.arg(last_used), sqlc.narg(token_id)
)
ON CONFLICT (bucket, topic_id, name) DO NOTHING;

-- name: LockProducer :one
SELECT bucket, producer_id, topic_id, name, epoch, next_seq, last_offset, count, instance, fenced, last_used, token_id
FROM producers
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND topic_id = sqlc.arg(topic_id);

-- name: LockNamedProducer :one
SELECT bucket, producer_id, topic_id, name, epoch, next_seq, last_offset, count, instance, fenced, last_used, token_id
FROM producers
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND name = sqlc.arg(name);

-- name: LockProducers :many
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM json_each(CAST(sqlc.arg(producer_ids) AS TEXT))
CROSS JOIN producers AS p ON p.bucket = value & 255 AND p.producer_id = value;

-- name: LockNamedProducers :many
-- keys is an array of [topic_id, name].
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM json_each(CAST(sqlc.arg(keys) AS TEXT))
CROSS JOIN producers AS p ON p.bucket = (value ->> 0) & 255 AND p.topic_id = value ->> 0 AND p.name = value ->> 1;

-- name: SetSession :execrows
UPDATE producers
SET epoch = sqlc.arg(epoch), instance = sqlc.arg(instance), fenced = sqlc.arg(fenced), next_seq = next_seq
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id);

-- name: SetProducerToken :execrows
-- Of a name that only counted messages until now.
UPDATE producers SET token_id = sqlc.narg(token_id)
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND epoch = 0;

-- name: DeleteProducer :execrows
DELETE FROM producers WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id);

-- name: AdvanceProducer :execrows
UPDATE producers
SET next_seq = sqlc.arg(next_seq), last_offset = sqlc.arg(last_offset), count = count + sqlc.arg(added)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND name = sqlc.arg(name);

-- name: CountUnderName :execrows
-- The row of a name that messages are stored under for the first time.
INSERT INTO producers (bucket, producer_id, topic_id, name, count)
VALUES (sqlc.arg(bucket), sqlc.arg(producer_id), sqlc.arg(topic_id), sqlc.arg(name), sqlc.arg(added))
ON CONFLICT (bucket, topic_id, name) DO UPDATE SET count = producers.count + excluded.count;

-- name: ListProducers :many
-- Those that are registered: a row of epoch 0 with a name only counts messages.
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id) AND p.producer_id > sqlc.arg(after)
  AND (p.name IS NULL OR p.epoch > 0)
ORDER BY p.producer_id
LIMIT sqlc.arg(max_rows);

-- name: CountProducers :one
SELECT count(*)
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id) AND (p.name IS NULL OR p.epoch > 0);

-- name: CountProduced :one
-- Over all buckets.
SELECT CAST(coalesce(sum(p.count), 0) AS INTEGER) AS count
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.name = sqlc.arg(name);

-- name: CountProducedOn :one
-- No row: there is no such topic.
SELECT CAST(coalesce(p.count, 0) AS INTEGER) AS count
FROM topics AS t
LEFT JOIN producers AS p ON p.bucket = t.bucket AND p.topic_id = t.topic_id AND p.name = sqlc.arg(name)
WHERE t.bucket = sqlc.arg(bucket) AND t.name = sqlc.arg(topic);

-- name: SweepProducers :execrows
DELETE FROM producers
WHERE producers.bucket = sqlc.arg(bucket) AND producers.producer_id IN (
    SELECT p.producer_id FROM producers AS p
    WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id)
    LIMIT sqlc.arg(max_rows)
);
