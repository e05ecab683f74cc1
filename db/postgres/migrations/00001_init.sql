-- +goose Up

-- Every key begins with the bucket, which a distributed Postgres can spread the tables by. No table
-- refers to topics: ids are never reused, and what a deleted topic leaves behind goes later, in
-- small batches. Offsets and ids come from rows, never from sequences: a sequence counts at the
-- insert and shows at the commit, so that a reader would skip what commits late.

CREATE TABLE counters (
    bucket int NOT NULL PRIMARY KEY,
    last_id bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE topics (
    bucket int NOT NULL,
    topic_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, topic_id),
    UNIQUE (bucket, name)
);

-- Names are listed in byte order over all buckets.
CREATE INDEX topics_by_name ON topics (name);

-- The row each append changes, and nothing else: narrow, half of each page left free and no index on
-- what changes, so that every update stays in its page (HOT). swept_offset is the offset below which
-- Sweep has removed what Trim made invisible; identity is that of the database under which the topic
-- was last appended to (P13). last_append is the year 1 while nothing was appended.
CREATE TABLE heads (
    bucket int NOT NULL,
    topic_id bigint NOT NULL,
    incarnation text NOT NULL,
    first_offset bigint NOT NULL DEFAULT 0,
    next_offset bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    last_append timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
    swept_offset bigint NOT NULL DEFAULT 0,
    identity text NOT NULL DEFAULT '',
    PRIMARY KEY (bucket, topic_id)
) WITH (fillfactor = 50);

-- fenced has the tokens of earlier sessions, oldest first. There is no index on topic_id and producer_id:
-- beside the one on the name it would only lead the planner to find a name by reading all producers of
-- a topic.
CREATE TABLE producers (
    bucket int NOT NULL,
    producer_id bigint NOT NULL,
    topic_id bigint NOT NULL,
    name text COLLATE "C",
    epoch bigint NOT NULL DEFAULT 0,
    next_seq bigint NOT NULL DEFAULT 0,
    last_offset bigint NOT NULL DEFAULT -1,
    count bigint NOT NULL DEFAULT 0,
    instance text NOT NULL DEFAULT '',
    fenced text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (bucket, producer_id),
    UNIQUE (bucket, topic_id, name)
) WITH (fillfactor = 50);

CREATE INDEX producers_by_name ON producers (name) WHERE name IS NOT NULL;

CREATE TABLE consumers (
    bucket int NOT NULL,
    consumer_id bigint NOT NULL,
    topic_id bigint NOT NULL,
    name text COLLATE "C",
    "offset" bigint NOT NULL,
    seek_no bigint NOT NULL DEFAULT 0,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (bucket, consumer_id),
    UNIQUE (bucket, topic_id, name)
) WITH (fillfactor = 50);

CREATE INDEX consumers_by_topic ON consumers (bucket, topic_id, consumer_id);

-- size counts the payload and the names and values of the headers: a read is cut, and a trimmed part
-- counted, without a look at the payloads. The table is only ever inserted into, so it is the inserts
-- that must call the vacuum that keeps reads off the dead rows of Sweep and spreads the freezing.
CREATE TABLE messages (
    bucket int NOT NULL,
    topic_id bigint NOT NULL,
    "offset" bigint NOT NULL,
    prod_name text COLLATE "C",
    seq bigint,
    is_binary boolean NOT NULL,
    size bigint NOT NULL,
    payload bytea NOT NULL,
    headers bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, topic_id, "offset")
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- P5: a duplicate is impossible even if the code is wrong.
CREATE UNIQUE INDEX messages_by_seq ON messages (bucket, topic_id, prod_name, seq) WHERE seq IS NOT NULL;

-- What Sweep has still to remove.
CREATE TABLE deleted_topics (
    bucket int NOT NULL,
    topic_id bigint NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, topic_id)
);

-- +goose Down
DROP TABLE deleted_topics;
DROP TABLE messages;
DROP TABLE consumers;
DROP TABLE producers;
DROP TABLE heads;
DROP TABLE topics;
DROP TABLE counters;
