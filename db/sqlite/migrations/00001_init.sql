-- +goose Up

-- Every key begins with the bucket, as on Postgres, where it is the shard. Times are microseconds
-- since 1970 UTC. No table refers to topics: ids are never reused, and what a deleted topic leaves
-- behind goes later, in small batches.

CREATE TABLE counters (
    bucket INTEGER NOT NULL PRIMARY KEY,
    last_id INTEGER NOT NULL
) STRICT;

CREATE TABLE topics (
    bucket INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, topic_id),
    UNIQUE (bucket, name)
) STRICT, WITHOUT ROWID;

-- Names are listed in byte order over all buckets.
CREATE INDEX topics_by_name ON topics (name);

-- The row each append changes, and nothing else. swept_offset is the offset below which Sweep has
-- removed what Trim made invisible; identity is that of the database under which the topic was
-- last appended to (P13).
CREATE TABLE heads (
    bucket INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    last_append INTEGER NOT NULL DEFAULT 0,
    swept_offset INTEGER NOT NULL DEFAULT 0,
    identity TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (bucket, topic_id)
) STRICT, WITHOUT ROWID;

-- fenced is a JSON array of the tokens of earlier sessions, oldest first.
CREATE TABLE producers (
    bucket INTEGER NOT NULL,
    producer_id INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    name TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    next_seq INTEGER NOT NULL DEFAULT 0,
    last_offset INTEGER NOT NULL DEFAULT -1,
    count INTEGER NOT NULL DEFAULT 0,
    instance TEXT NOT NULL DEFAULT '',
    fenced TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (bucket, producer_id),
    UNIQUE (bucket, topic_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX producers_by_topic ON producers (bucket, topic_id, producer_id);
CREATE INDEX producers_by_name ON producers (name) WHERE name IS NOT NULL;

CREATE TABLE consumers (
    bucket INTEGER NOT NULL,
    consumer_id INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    name TEXT,
    "offset" INTEGER NOT NULL,
    seek_no INTEGER NOT NULL DEFAULT 0,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (bucket, consumer_id),
    UNIQUE (bucket, topic_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX consumers_by_topic ON consumers (bucket, topic_id, consumer_id);

-- size counts the payload and the names and values of the headers: a trimmed part is counted without
-- a look at the payloads.
--
-- A table with rowids, unlike the others: WITHOUT ROWID keeps whole rows in a tree of keys, where
-- a page must hold four of them and the rest of each row goes to overflow pages of its own. With
-- payloads of 1,000 bytes that took 4.7 kB a message instead of 1.4, and a third of the rate; with
-- 100 bytes there was no difference.
CREATE TABLE messages (
    bucket INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    prod_name TEXT,
    seq INTEGER,
    is_binary INTEGER NOT NULL,
    size INTEGER NOT NULL,
    payload BLOB NOT NULL,
    headers BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, topic_id, "offset")
) STRICT;

-- P5: a duplicate is impossible even if the code is wrong.
CREATE UNIQUE INDEX messages_by_seq ON messages (bucket, topic_id, prod_name, seq) WHERE seq IS NOT NULL;

-- What Sweep has still to remove.
CREATE TABLE deleted_topics (
    bucket INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, topic_id)
) STRICT, WITHOUT ROWID;

-- One row: which file this is, how often a broker has started on it (P13), and how often one that
-- had met a full disk tried whether there is room again.
CREATE TABLE store_meta (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    file_id TEXT NOT NULL,
    starts INTEGER NOT NULL,
    probes INTEGER NOT NULL DEFAULT 0
) STRICT;

-- +goose Down
DROP TABLE store_meta;
DROP TABLE deleted_topics;
DROP TABLE messages;
DROP TABLE consumers;
DROP TABLE producers;
DROP TABLE heads;
DROP TABLE topics;
DROP TABLE counters;
