-- A query that locks, and every query of a write, is for one bucket, given as a value: that is what a
-- distributed Postgres can send to the one node that has it. It locks rows in the order of their keys.
-- Where a query joins the rows it locks with others, those others never change while they exist.
--
-- The exceptions are InsertMessages, which locks nothing, and those that go on from what is known (called AsKnown), which no
-- store sends to a distributed one: they take the bucket of a row from its id, whose low 8 bits it is.
--
-- What those update they find by a join, in the order of the ids that they are given, which is that of the keys. The planner
-- takes a LIMIT that it does not know for one row, and so looks each row up, also where a table is so small that to read its
-- whole index would cost less: the plan is kept while the table grows. Only where there is no more than one row it may choose
-- otherwise, until the table is analyzed again.
--
-- Which database this is (P13): each session keeps in topiq.database what it cannot change while it lasts,
-- and in topiq.known the same with a star for what is not compared. The table's oid is looked up with
-- each query instead: a dump may be put back under open connections. It is not h.tableoid, for where a
-- table is spread over shards that is the shard's.

-- name: TakeIDs :one
-- Takes count ids and answers the last of them. A count of 0 writes the row all the same.
INSERT INTO counters (bucket, last_id) VALUES (sqlc.arg(bucket), sqlc.arg(count))
ON CONFLICT (bucket) DO UPDATE SET last_id = counters.last_id + excluded.last_id
RETURNING last_id;

-- name: InsertTopic :execrows
INSERT INTO topics (bucket, topic_id, name, created_at, token_id)
VALUES (sqlc.arg(bucket), sqlc.arg(topic_id), sqlc.arg(name), sqlc.arg(created_at), sqlc.narg(token_id))
ON CONFLICT (bucket, name) DO NOTHING;

-- name: InsertHead :exec
INSERT INTO heads (bucket, topic_id, incarnation, identity)
VALUES (
    sqlc.arg(bucket), sqlc.arg(topic_id), sqlc.arg(incarnation),
    current_setting('topiq.database') || '.' || 'heads'::regclass::oid
);

-- name: FindHead :one
-- Keeps the topic from being deleted until the transaction ends; appends go on.
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM topics AS t
JOIN heads AS h ON h.bucket = t.bucket AND h.topic_id = t.topic_id
WHERE t.bucket = sqlc.arg(bucket) AND t.name = sqlc.arg(name)
FOR KEY SHARE OF h;

-- name: FindHeads :many
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM ROWS FROM (unnest(sqlc.arg(buckets)::int[]), unnest(sqlc.arg(names)::text[])) AS k (bucket, name)
JOIN topics AS t ON t.bucket = k.bucket AND t.name = k.name
JOIN heads AS h ON h.bucket = t.bucket AND h.topic_id = t.topic_id;

-- name: FindChanged :many
-- Answers places in the arrays, from 1 on. The known identity may have a star for the timeline.
SELECT k.place::bigint
FROM ROWS FROM (
    unnest(sqlc.arg(buckets)::int[]), unnest(sqlc.arg(topic_ids)::bigint[]), unnest(sqlc.arg(incarnations)::text[]),
    unnest(sqlc.arg(next_offsets)::bigint[])
) WITH ORDINALITY AS k (bucket, topic_id, incarnation, next_offset, place)
LEFT JOIN heads AS h ON h.bucket = k.bucket AND h.topic_id = k.topic_id
WHERE h.next_offset IS DISTINCT FROM k.next_offset OR h.incarnation IS DISTINCT FROM k.incarnation
    OR h.identity NOT LIKE (SELECT replace(current_setting('topiq.known'), '*', '%') || '.' || 'heads'::regclass::oid);

-- name: GetHead :one
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM heads AS h
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = sqlc.arg(topic_id);

-- name: GetHeads :many
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM heads AS h
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = ANY (sqlc.arg(topic_ids)::bigint[]);

-- name: GetHeadsAsKnown :many
SELECT found.topic_id, found.name, found.created_at, found.incarnation, found.first_offset, found.next_offset, found.bytes,
    found.last_append, found.quota_rate, found.quota_bytes, found.quota_producers, found.quota_consumers, found.identity,
    (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM unnest(sqlc.arg(topic_ids)::bigint[]) AS k (topic_id)
CROSS JOIN LATERAL (
    SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
        h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity
    FROM heads AS h
    JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
    WHERE h.bucket = (k.topic_id & 255)::int AND h.topic_id = k.topic_id
    OFFSET 0
) AS found;

-- name: LockHeads :many
SELECT t.topic_id, t.name, t.created_at, h.incarnation, h.first_offset, h.next_offset, h.bytes, h.last_append,
    h.quota_rate, h.quota_bytes, h.quota_producers, h.quota_consumers, h.identity, (current_setting('topiq.known') || '.' || 'heads'::regclass::oid)::text AS known
FROM heads AS h
JOIN topics AS t ON t.bucket = h.bucket AND t.topic_id = h.topic_id
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = ANY (sqlc.arg(topic_ids)::bigint[])
ORDER BY h.bucket, h.topic_id
FOR NO KEY UPDATE OF h;

-- name: AdvanceHeads :execrows
UPDATE heads AS h
SET next_offset = k.next_offset, bytes = k.bytes, last_append = k.last_append,
    identity = current_setting('topiq.database') || '.' || 'heads'::regclass::oid
FROM ROWS FROM (
    unnest(sqlc.arg(topic_ids)::bigint[]), unnest(sqlc.arg(next_offsets)::bigint[]),
    unnest(sqlc.arg(bytes)::bigint[]), unnest(sqlc.arg(last_appends)::timestamptz[])
) AS k (topic_id, next_offset, bytes, last_append)
WHERE h.bucket = sqlc.arg(bucket) AND h.topic_id = k.topic_id;

-- name: AdvanceHeadsAsKnown :execrows
-- Of heads that are as the caller has decided on, and of this database.
UPDATE heads AS h
SET next_offset = k.next_offset, bytes = k.bytes, last_append = k.last_append
FROM (
    SELECT * FROM ROWS FROM (
        unnest(sqlc.arg(topic_ids)::bigint[]), unnest(sqlc.arg(next_offsets)::bigint[]),
        unnest(sqlc.arg(bytes)::bigint[]), unnest(sqlc.arg(last_appends)::timestamptz[]),
        unnest(sqlc.arg(known_incarnations)::text[]), unnest(sqlc.arg(known_firsts)::bigint[]),
        unnest(sqlc.arg(known_nexts)::bigint[]), unnest(sqlc.arg(known_bytes)::bigint[]),
        unnest(sqlc.arg(known_appends)::timestamptz[]),
        unnest(sqlc.arg(known_rates)::bigint[]), unnest(sqlc.arg(known_quotas)::bigint[]),
        unnest(sqlc.arg(known_producers)::bigint[]), unnest(sqlc.arg(known_consumers)::bigint[])
    ) AS u (topic_id, next_offset, bytes, last_append, incarnation, first_offset, known_next, known_bytes, known_append,
        quota_rate, quota_bytes, quota_producers, quota_consumers)
    LIMIT sqlc.arg(max_rows)::bigint
) AS k
WHERE h.bucket = (k.topic_id & 255)::int AND h.topic_id = k.topic_id
  AND h.incarnation = k.incarnation AND h.first_offset = k.first_offset AND h.next_offset = k.known_next
  AND h.bytes = k.known_bytes AND h.last_append = k.known_append
  AND h.quota_rate = k.quota_rate AND h.quota_bytes = k.quota_bytes
  AND h.quota_producers = k.quota_producers AND h.quota_consumers = k.quota_consumers
  AND h.identity = current_setting('topiq.database') || '.' || 'heads'::regclass::oid;

-- name: TrimHead :execrows
UPDATE heads SET first_offset = sqlc.arg(first_offset), bytes = sqlc.arg(bytes)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: SetQuota :execrows
UPDATE heads
SET quota_rate = sqlc.arg(quota_rate), quota_bytes = sqlc.arg(quota_bytes),
    quota_producers = sqlc.arg(quota_producers), quota_consumers = sqlc.arg(quota_consumers)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: SetIncarnation :execrows
UPDATE heads
SET incarnation = sqlc.arg(incarnation), identity = current_setting('topiq.database') || '.' || 'heads'::regclass::oid
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: ListTopics :many
-- The prefix is a range of names, so that the index serves it.
SELECT name FROM topics
WHERE name >= sqlc.arg(prefix) AND name < sqlc.arg(beyond) AND name > sqlc.arg(after)
ORDER BY name
LIMIT sqlc.arg(max_rows)::bigint;

-- name: LockHeadToDelete :one
SELECT h.topic_id
FROM topics AS t
JOIN heads AS h ON h.bucket = t.bucket AND h.topic_id = t.topic_id
WHERE t.bucket = sqlc.arg(bucket) AND t.name = sqlc.arg(name)
FOR UPDATE OF h;

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
-- Only with nothing left: a sweep that waited for the rows of another found none, though more follow.
DELETE FROM deleted_topics AS d
WHERE d.bucket = sqlc.arg(bucket) AND d.topic_id = sqlc.arg(topic_id)
  AND NOT EXISTS (SELECT FROM messages AS m WHERE m.bucket = d.bucket AND m.topic_id = d.topic_id)
  AND NOT EXISTS (SELECT FROM producers AS p WHERE p.bucket = d.bucket AND p.topic_id = d.topic_id)
  AND NOT EXISTS (SELECT FROM consumers AS c WHERE c.bucket = d.bucket AND c.topic_id = d.topic_id);

-- name: FindTrimmedHead :one
-- Reads the whole table, which is narrow: an index on columns that change would cost every append.
-- The largest part first: a topic that is trimmed all the time must not keep the others waiting for ever.
SELECT bucket, topic_id, first_offset, swept_offset FROM heads WHERE swept_offset < first_offset
ORDER BY first_offset - swept_offset DESC LIMIT 1;

-- name: SetSwept :execrows
UPDATE heads SET swept_offset = greatest(swept_offset, sqlc.arg(swept_offset)::bigint)
WHERE bucket = sqlc.arg(bucket) AND topic_id = sqlc.arg(topic_id);

-- name: GetStandbyNames :one
SELECT current_setting('synchronous_standby_names')::text AS names;
