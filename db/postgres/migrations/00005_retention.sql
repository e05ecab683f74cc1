-- +goose Up

-- What is kept of a topic, a row for each that lets go of anything. 0 is no limit. keep_for has the names of
-- consumers that must have read a message first.
CREATE TABLE retention (
    bucket int NOT NULL,
    topic_id bigint NOT NULL,
    max_age_seconds bigint NOT NULL DEFAULT 0,
    max_bytes bigint NOT NULL DEFAULT 0,
    max_messages bigint NOT NULL DEFAULT 0,
    keep_for text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (bucket, topic_id)
);

-- When an anonymous producer was used last, about: it is written now and then, not with each produce. For
-- those that are there already the time counts from now. The default stays, for brokers of an older version may
-- still be running. There is no index on it, for one on what changes would make each update a new row in
-- every index.
ALTER TABLE producers ADD COLUMN last_used timestamptz NOT NULL DEFAULT now();

-- Until now last_seen of a consumer changed only with its position.
UPDATE consumers SET last_seen = now() WHERE name IS NULL;

-- Rows go as fast as they come now. Vacuum must begin when a fiftieth of them is dead, not a fifth, and get
-- through before as many again have died: with the limit of cost that is the default it falls behind at some
-- ten thousand messages a second. Payloads above 2 kB are in the toast table, which has settings of its own.
ALTER TABLE messages SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_limit = 2000,
    toast.autovacuum_vacuum_scale_factor = 0.02,
    toast.autovacuum_vacuum_cost_limit = 2000
);

-- +goose Down
ALTER TABLE messages RESET (
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_cost_limit,
    toast.autovacuum_vacuum_scale_factor,
    toast.autovacuum_vacuum_cost_limit
);
ALTER TABLE producers DROP COLUMN last_used;
DROP TABLE retention;
