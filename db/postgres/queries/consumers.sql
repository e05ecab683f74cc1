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
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id) AND c.name = sqlc.arg(name)::text;

-- name: FindConsumers :many
SELECT c.bucket, c.consumer_id, c.topic_id, c.name, c."offset", c.seek_no, c.last_seen, c.token_id
FROM ROWS FROM (
    unnest(sqlc.arg(buckets)::int[]), unnest(sqlc.arg(consumer_ids)::bigint[])
) AS k (bucket, consumer_id)
JOIN consumers AS c ON c.bucket = k.bucket AND c.consumer_id = k.consumer_id
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id;

-- name: LockConsumers :many
SELECT bucket, consumer_id, topic_id, name, "offset", seek_no, last_seen, token_id
FROM consumers
WHERE bucket = sqlc.arg(bucket) AND consumer_id = ANY (sqlc.arg(consumer_ids)::bigint[])
ORDER BY bucket, consumer_id
FOR NO KEY UPDATE;

-- name: GetConsumerHead :one
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM consumers AS c
JOIN heads AS h ON h.bucket = c.bucket AND h.topic_id = c.topic_id
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.consumer_id = sqlc.arg(consumer_id);

-- name: GetConsumersHeads :many
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM heads AS h
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id IN (
    SELECT c.topic_id FROM consumers AS c
    WHERE c.bucket = sqlc.arg(bucket) AND c.consumer_id = ANY (sqlc.arg(consumer_ids)::bigint[])
);

-- name: SetPositions :execrows
UPDATE consumers AS c
SET "offset" = k.to_offset, seek_no = k.seek_no, last_seen = k.last_seen
FROM ROWS FROM (
    unnest(sqlc.arg(consumer_ids)::bigint[]), unnest(sqlc.arg(offsets)::bigint[]),
    unnest(sqlc.arg(seek_nos)::bigint[]), unnest(sqlc.arg(last_seen)::timestamptz[])
) AS k (consumer_id, to_offset, seek_no, last_seen)
WHERE c.bucket = sqlc.arg(bucket) AND c.consumer_id = k.consumer_id;

-- name: SetPositionsAsKnown :execrows
-- Of consumers that are as the caller has decided on. The + 0 keeps the planner from reading all consumers of the topics.
UPDATE consumers AS c
SET "offset" = k.to_offset, last_seen = k.last_seen
FROM (
    SELECT * FROM ROWS FROM (
        unnest(sqlc.arg(consumer_ids)::bigint[]), unnest(sqlc.arg(offsets)::bigint[]),
        unnest(sqlc.arg(last_seen)::timestamptz[]), unnest(sqlc.arg(known_topics)::bigint[]),
        unnest(sqlc.arg(known_offsets)::bigint[]), unnest(sqlc.arg(known_seek_nos)::bigint[])
    ) AS u (consumer_id, to_offset, last_seen, topic_id, known_offset, seek_no)
    LIMIT sqlc.arg(max_rows)::bigint
) AS k
WHERE c.bucket = (k.consumer_id & 255)::int AND c.consumer_id = k.consumer_id
  AND c.topic_id + 0 = k.topic_id AND c."offset" = k.known_offset AND c.seek_no = k.seek_no;

-- name: CommitOffsets :execrows
-- The name too must be there: while a dump is put back a table at a time, the heads that are there already
-- cannot be compared yet.
UPDATE consumers AS c
SET "offset" = greatest(c."offset", k.to_offset), last_seen = sqlc.arg(last_seen)
FROM ROWS FROM (
    unnest(sqlc.arg(consumer_ids)::bigint[]), unnest(sqlc.arg(offsets)::bigint[]),
    unnest(sqlc.arg(seek_nos)::bigint[]), unnest(sqlc.arg(incarnations)::text[])
) AS k (consumer_id, to_offset, seek_no, incarnation)
WHERE c.bucket = sqlc.arg(bucket) AND c.consumer_id = k.consumer_id
  AND c.seek_no = k.seek_no AND c."offset" < k.to_offset
  AND EXISTS (
      SELECT FROM heads AS h
      JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
      WHERE h.bucket = c.bucket AND h.topic_id = c.topic_id AND k.incarnation IN ('', h.incarnation)
  );

-- name: ListConsumers :many
SELECT c.bucket, c.consumer_id, c.topic_id, c.name, c."offset", c.seek_no, c.last_seen, c.token_id
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id) AND c.consumer_id > sqlc.arg(after)
ORDER BY c.consumer_id
LIMIT sqlc.arg(max_rows)::bigint;

-- name: CountConsumers :one
SELECT count(*)
FROM consumers AS c
JOIN topics AS t ON t.bucket = c.bucket AND t.topic_id = c.topic_id
WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id);

-- name: DeleteConsumer :execrows
DELETE FROM consumers
WHERE bucket = sqlc.arg(bucket) AND consumer_id = sqlc.arg(consumer_id) AND topic_id = sqlc.arg(topic_id);

-- name: SweepConsumers :execrows
DELETE FROM consumers AS d
WHERE d.bucket = sqlc.arg(bucket) AND d.consumer_id IN (
    SELECT c.consumer_id FROM consumers AS c
    WHERE c.bucket = sqlc.arg(bucket) AND c.topic_id = sqlc.arg(topic_id)
    LIMIT sqlc.arg(max_rows)::bigint
);
