-- name: FindStored :many
-- A run of seqs of one producer. Of a payload at most one byte more than the longest that was sent
-- under its seq: enough to see that it differs, and short requests cannot make the broker read long
-- messages.
SELECT "offset", prod_name, seq, is_binary,
    substring(payload FROM 1 FOR (sqlc.arg(longest)::int[])[(seq - sqlc.arg(first_seq)::bigint + 1)::int] + 1)::bytea AS payload,
    headers, created_at
FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND prod_name = sqlc.arg(name)::text
  AND seq >= sqlc.arg(first_seq)::bigint AND seq <= sqlc.arg(last_seq)::bigint;

-- name: InsertMessages :execrows
-- sqlc gives arrays no NULLs: a message without a name has the empty one, one without a seq −1. The bucket is the
-- low 8 bits of the id.
INSERT INTO messages (bucket, topic_id, "offset", prod_name, seq, is_binary, size, payload, headers, created_at, checksum)
SELECT (k.topic_id & 255)::int, k.topic_id, k.at_offset, nullif(k.prod_name, ''), nullif(k.seq, -1),
    k.is_binary, k.size, k.payload, k.headers, k.created_at, k.checksum
FROM ROWS FROM (
    unnest(sqlc.arg(topic_ids)::bigint[]), unnest(sqlc.arg(offsets)::bigint[]),
    unnest(sqlc.arg(prod_names)::text[]), unnest(sqlc.arg(seqs)::bigint[]),
    unnest(sqlc.arg(is_binary)::boolean[]), unnest(sqlc.arg(sizes)::bigint[]),
    unnest(sqlc.arg(payloads)::bytea[]), unnest(sqlc.arg(headers)::bytea[]),
    unnest(sqlc.arg(created_at)::timestamptz[]), unnest(sqlc.arg(checksums)::bigint[])
) AS k (topic_id, at_offset, prod_name, seq, is_binary, size, payload, headers, created_at, checksum);

-- name: ReadMessages :many
-- The head in the same snapshot: what is below its first offset is trimmed, even while its row is
-- there, and everything from there on is there without a hole. Not a join, which looks it up for each message.
-- Where all of them together are no more than max_bytes, as most are, one sum says so; else the first message whose
-- running sum is more ends the run. A running sum beside the messages themselves would copy every one of them.
SELECT m."offset", m.prod_name, m.seq, m.is_binary, m.payload, m.headers, m.created_at, m.checksum
FROM messages AS m
WHERE m.bucket = sqlc.arg(bucket) AND m.topic_id = sqlc.arg(topic_id) AND m."offset" >= sqlc.arg(from_offset)
  AND m."offset" < CASE
    WHEN (
        SELECT sum(s.size::int) FROM messages AS s
        WHERE s.bucket = sqlc.arg(bucket) AND s.topic_id = sqlc.arg(topic_id)
          AND s."offset" >= sqlc.arg(from_offset) AND s."offset" < sqlc.arg(until_offset)
    ) <= sqlc.arg(max_bytes)::bigint THEN sqlc.arg(until_offset)
    ELSE coalesce((
        SELECT min(t."offset")
        FROM (
            SELECT r."offset", sum(r.size::int) OVER (ORDER BY r."offset" ROWS UNBOUNDED PRECEDING) AS total
            FROM messages AS r
            WHERE r.bucket = sqlc.arg(bucket) AND r.topic_id = sqlc.arg(topic_id)
              AND r."offset" >= sqlc.arg(from_offset) AND r."offset" < sqlc.arg(until_offset)
        ) AS t
        WHERE t.total > sqlc.arg(max_bytes)::bigint AND t."offset" > sqlc.arg(from_offset)
    ), sqlc.arg(until_offset)) END
  AND (SELECT h.first_offset FROM heads AS h WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = sqlc.arg(topic_id))
      <= sqlc.arg(from_offset)
ORDER BY m."offset";

-- name: GetCreatedAt :one
SELECT created_at FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND "offset" = sqlc.arg(at_offset);

-- name: SumSizes :one
SELECT coalesce(sum(size), 0)::bigint AS bytes FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id)
  AND "offset" >= sqlc.arg(from_offset) AND "offset" < sqlc.arg(until_offset);

-- name: SweepMessages :execrows
DELETE FROM messages
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id)
  AND "offset" >= sqlc.arg(from_offset) AND "offset" < sqlc.arg(until_offset);
