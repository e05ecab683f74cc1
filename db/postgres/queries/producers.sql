-- name: InsertProducer :execrows
INSERT INTO producers (bucket, producer_id, topic_id, name, last_used, token_id)
VALUES (
    sqlc.arg(bucket), sqlc.arg(producer_id), sqlc.arg(topic_id), sqlc.narg(name), sqlc.arg(last_used), sqlc.narg(token_id)
)
ON CONFLICT (bucket, topic_id, name) DO NOTHING;

-- name: LockProducer :one
SELECT bucket, producer_id, topic_id, name, epoch, next_seq, last_offset, count, instance, fenced, last_used, token_id
FROM producers
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND topic_id = sqlc.arg(topic_id)
FOR NO KEY UPDATE;

-- name: LockNamedProducer :one
SELECT bucket, producer_id, topic_id, name, epoch, next_seq, last_offset, count, instance, fenced, last_used, token_id
FROM producers
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id) AND name = sqlc.arg(name)::text
FOR NO KEY UPDATE;

-- name: LockProducers :many
-- Only rows of the topics whose heads are locked, and so not of a topic that is gone: two groups that
-- lock rows of other topics could wait for each other. The + 0 keeps the planner from reading all
-- producers of those topics instead.
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM producers AS p
WHERE p.bucket = sqlc.arg(bucket) AND p.producer_id = ANY (sqlc.arg(producer_ids)::bigint[])
  AND p.topic_id + 0 = ANY (sqlc.arg(topic_ids)::bigint[])
  AND EXISTS (SELECT FROM heads AS h WHERE h.bucket = p.bucket AND h.topic_id = p.topic_id)
ORDER BY p.bucket, p.producer_id
FOR NO KEY UPDATE;

-- name: LockNamedProducers :many
-- Also finds a name on another topic of the group, which does no harm: its head is locked too. A join
-- with the pairs would be read in the wrong order while the planner knows nothing of the table.
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM producers AS p
WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = ANY (sqlc.arg(topic_ids)::bigint[])
  AND p.name = ANY (sqlc.arg(names)::text[])
  AND EXISTS (SELECT FROM heads AS h WHERE h.bucket = p.bucket AND h.topic_id = p.topic_id)
ORDER BY p.bucket, p.producer_id
FOR NO KEY UPDATE;

-- name: SetSession :execrows
-- Writes next_seq too: the answer to a register is as durable as a produce (P2).
UPDATE producers
SET epoch = sqlc.arg(epoch), instance = sqlc.arg(instance), fenced = sqlc.arg(fenced), next_seq = next_seq
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id);

-- name: SetProducerToken :execrows
-- Of a name that only counted messages until now.
UPDATE producers SET token_id = sqlc.narg(token_id)
WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id) AND epoch = 0;

-- name: DeleteProducer :execrows
DELETE FROM producers WHERE bucket = sqlc.arg(bucket) AND producer_id = sqlc.arg(producer_id);

-- name: AdvanceProducers :execrows
UPDATE producers AS p
SET next_seq = k.next_seq, last_offset = k.last_offset, count = p.count + k.added
FROM ROWS FROM (
    unnest(sqlc.arg(producer_ids)::bigint[]), unnest(sqlc.arg(next_seqs)::bigint[]),
    unnest(sqlc.arg(last_offsets)::bigint[]), unnest(sqlc.arg(added)::bigint[])
) AS k (producer_id, next_seq, last_offset, added)
WHERE p.bucket = sqlc.arg(bucket) AND p.producer_id = k.producer_id;

-- name: AdvanceProducersAsKnown :execrows
-- Of rows that are as the caller has decided on: a session that was opened meanwhile has another epoch.
UPDATE producers AS p
SET next_seq = k.next_seq, last_offset = k.last_offset, count = p.count + k.added
FROM (
    SELECT * FROM ROWS FROM (
        unnest(sqlc.arg(producer_ids)::bigint[]), unnest(sqlc.arg(next_seqs)::bigint[]),
        unnest(sqlc.arg(last_offsets)::bigint[]), unnest(sqlc.arg(added)::bigint[]),
        unnest(sqlc.arg(known_epochs)::bigint[]), unnest(sqlc.arg(known_seqs)::bigint[]),
        unnest(sqlc.arg(known_offsets)::bigint[])
    ) AS u (producer_id, next_seq, last_offset, added, epoch, known_seq, known_offset)
    LIMIT sqlc.arg(max_rows)::bigint
) AS k
WHERE p.bucket = (k.producer_id & 255)::int AND p.producer_id = k.producer_id
  AND p.epoch = k.epoch AND p.next_seq = k.known_seq AND p.last_offset = k.known_offset;

-- name: CountUnderNames :execrows
-- A register may have inserted the row since the group looked for it: then the count is added to it.
INSERT INTO producers (bucket, producer_id, topic_id, name, count)
SELECT sqlc.arg(bucket)::int, k.producer_id, k.topic_id, k.name, k.added
FROM ROWS FROM (
    unnest(sqlc.arg(producer_ids)::bigint[]), unnest(sqlc.arg(topic_ids)::bigint[]),
    unnest(sqlc.arg(names)::text[]), unnest(sqlc.arg(added)::bigint[])
) AS k (producer_id, topic_id, name, added)
ON CONFLICT (bucket, topic_id, name) DO UPDATE SET count = producers.count + excluded.count;

-- name: ListProducers :many
-- Those that are registered: a row of epoch 0 with a name only counts messages.
SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count, p.instance, p.fenced, p.last_used, p.token_id
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id) AND p.producer_id > sqlc.arg(after)
  AND (p.name IS NULL OR p.epoch > 0)
ORDER BY p.producer_id
LIMIT sqlc.arg(max_rows)::bigint;

-- name: CountProducers :one
SELECT count(*)
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id) AND (p.name IS NULL OR p.epoch > 0);

-- name: CountProduced :one
-- Over all buckets.
SELECT coalesce(sum(p.count), 0)::bigint AS count
FROM producers AS p
JOIN topics AS t ON t.bucket = p.bucket AND t.topic_id = p.topic_id
WHERE p.name = sqlc.arg(name)::text;

-- name: CountProducedOn :one
-- No row: there is no such topic.
SELECT coalesce(p.count, 0)::bigint AS count
FROM topics AS t
LEFT JOIN producers AS p ON p.bucket = t.bucket AND p.topic_id = t.topic_id AND p.name = sqlc.arg(name)::text
WHERE t.bucket = sqlc.arg(bucket) AND t.name = sqlc.arg(topic);

-- name: SweepProducers :execrows
DELETE FROM producers AS d
WHERE d.bucket = sqlc.arg(bucket) AND d.producer_id IN (
    SELECT p.producer_id FROM producers AS p
    WHERE p.bucket = sqlc.arg(bucket) AND p.topic_id = sqlc.arg(topic_id)
    LIMIT sqlc.arg(max_rows)::bigint
);
