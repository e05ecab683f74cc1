-- name: TakeIDs :one
INSERT INTO counters (bucket, last_id) VALUES (sqlc.arg(bucket), sqlc.arg(count))
ON CONFLICT (bucket) DO UPDATE SET last_id = counters.last_id + excluded.last_id
RETURNING last_id;

-- name: InsertTopic :execrows
INSERT INTO topics (bucket, topic_id, name, created_at, token_id)
VALUES (sqlc.arg(bucket), sqlc.arg(topic_id), sqlc.arg(name), sqlc.arg(created_at), sqlc.narg(token_id))
ON CONFLICT (bucket, name) DO NOTHING;

-- name: InsertHead :exec
-- The identity of a file is its id (P13).
INSERT INTO heads (bucket, topic_id, incarnation, identity)
SELECT CAST(sqlc.arg(bucket) AS INTEGER), CAST(sqlc.arg(topic_id) AS INTEGER), CAST(sqlc.arg(incarnation) AS TEXT), file_id
FROM store_meta WHERE one = 1;

-- name: FindHead :one
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, s.file_id
FROM topics AS t
JOIN heads AS h ON h.bucket = t.bucket AND h.topic_id = t.topic_id
JOIN store_meta AS s ON s.one = 1
WHERE t.bucket = sqlc.arg(bucket) AND t.name = sqlc.arg(name);

-- name: FindHeads :many
-- keys is an array of [bucket, name].
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, s.file_id
FROM json_each(CAST(sqlc.arg(keys) AS TEXT))
CROSS JOIN topics AS t ON t.bucket = value ->> 0 AND t.name = value ->> 1
JOIN heads AS h ON h.bucket = t.bucket AND h.topic_id = t.topic_id
JOIN store_meta AS s ON s.one = 1;

-- name: GetHead :one
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, s.file_id
FROM heads AS h
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
JOIN store_meta AS s ON s.one = 1
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = sqlc.arg(topic_id);

-- name: GetHeads :many
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, s.file_id
FROM json_each(CAST(sqlc.arg(topic_ids) AS TEXT))
CROSS JOIN heads AS h ON h.bucket = value & 255 AND h.topic_id = value
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
JOIN store_meta AS s ON s.one = 1;

-- name: AdvanceHead :execrows
-- from_offset is where the head was read: had anybody moved it since, the plan would be void.
UPDATE heads
SET next_offset = sqlc.arg(next_offset), bytes = sqlc.arg(bytes), last_append = sqlc.arg(last_append),
    identity = (SELECT file_id FROM store_meta WHERE one = 1)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND next_offset = sqlc.arg(from_offset);

-- name: TrimHead :execrows
UPDATE heads SET first_offset = sqlc.arg(first_offset), bytes = sqlc.arg(bytes)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: SetQuota :execrows
UPDATE heads
SET quota_rate = sqlc.arg(quota_rate), quota_bytes = sqlc.arg(quota_bytes),
    quota_producers = sqlc.arg(quota_producers), quota_consumers = sqlc.arg(quota_consumers)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: SetIncarnation :execrows
UPDATE heads SET incarnation = sqlc.arg(incarnation), identity = (SELECT file_id FROM store_meta WHERE one = 1)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: ListTopics :many
-- The prefix is a range of names, so that the index serves it.
SELECT name FROM topics
WHERE name >= sqlc.arg(prefix) AND name < sqlc.arg(beyond) AND name > sqlc.arg(after)
ORDER BY name
LIMIT sqlc.arg(max_rows);

-- name: DeleteHead :execrows
DELETE FROM heads WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: DeleteTopic :execrows
DELETE FROM topics WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: InsertDeletedTopic :exec
INSERT INTO deleted_topics (bucket, topic_id, deleted_at)
VALUES (sqlc.arg(bucket), sqlc.arg(topic_id), sqlc.arg(deleted_at));

-- name: FindDeletedTopic :one
SELECT bucket, topic_id FROM deleted_topics ORDER BY bucket, topic_id LIMIT 1;

-- name: DeleteDeletedTopic :execrows
DELETE FROM deleted_topics WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: FindTrimmedHead :one
-- Reads the whole table, which is narrow: an index on columns that change would cost every append.
-- The largest part first: a topic that is trimmed all the time must not keep the others waiting for ever.
SELECT bucket, topic_id, first_offset, swept_offset FROM heads WHERE swept_offset < first_offset
ORDER BY first_offset - swept_offset DESC LIMIT 1;

-- name: SetSwept :execrows
UPDATE heads SET swept_offset = max(swept_offset, CAST(sqlc.arg(swept_offset) AS INTEGER))
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- There is one writer, and its transactions begin with the lock on all there is: no query locks rows,
-- and what Postgres needs a second query for (LockHeads beside GetHeads) is one here. Several keys
-- are one parameter, a JSON array; an id in it carries its bucket in the low 8 bits.
