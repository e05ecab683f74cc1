-- name: FindStored :many
-- keys is an array of [topic_id, name, seq, longest]. Of a payload at most one byte more than the
-- longest that was sent under its seq: enough to see that it differs, and short requests cannot make
-- the broker hold long messages.
SELECT m.topic_id, m."offset", m.prod_name, m.seq, m.is_binary,
    CAST(substr(m.payload, 1, (value ->> 3) + 1) AS BLOB) AS payload, m.headers, m.created_at
FROM json_each(CAST(sqlc.arg(keys) AS TEXT))
CROSS JOIN messages AS m ON m.bucket = (value ->> 0) & 255 AND m.topic_id = value ->> 0
    AND m.prod_name = value ->> 1 AND m.seq = value ->> 2
WHERE m.seq IS NOT NULL;

-- name: GetCreatedAt :one
SELECT created_at FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND "offset" = sqlc.arg(at_offset);

-- name: SumSizes :one
SELECT CAST(coalesce(sum(size), 0) AS INTEGER) AS bytes FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id)
  AND "offset" >= sqlc.arg(from_offset) AND "offset" < sqlc.arg(until_offset);

-- name: ListSizes :many
SELECT "offset", size FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id)
  AND "offset" >= sqlc.arg(from_offset) AND "offset" < sqlc.arg(until_offset)
ORDER BY "offset"
LIMIT sqlc.arg(max_rows);

-- name: SweepMessages :execrows
DELETE FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id)
  AND "offset" >= sqlc.arg(from_offset) AND "offset" < sqlc.arg(until_offset);

-- Two statements are not here, for sqlc cannot express them: messages are inserted several rows at a
-- time (insertMessages in insert.go), and read row by row until there are bytes enough
-- (readMessages in read.go).
