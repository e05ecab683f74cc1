-- +goose Up

-- What is kept of a topic, a row for each that lets go of anything. 0 is no limit. keep_for is a JSON array
-- of the names of consumers that must have read a message first.
CREATE TABLE retention (
    bucket INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    max_age_seconds INTEGER NOT NULL DEFAULT 0,
    max_bytes INTEGER NOT NULL DEFAULT 0,
    max_messages INTEGER NOT NULL DEFAULT 0,
    keep_for TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (bucket, topic_id)
) STRICT, WITHOUT ROWID;

-- When an anonymous producer was used last, about: it is written now and then, not with each produce. For
-- those that are there already the time counts from now.
ALTER TABLE producers ADD COLUMN last_used INTEGER NOT NULL DEFAULT 0;
UPDATE producers SET last_used = CAST(strftime('%s', 'now') AS INTEGER) * 1000000;

-- Until now last_seen of a consumer changed only with its position.
UPDATE consumers SET last_seen = CAST(strftime('%s', 'now') AS INTEGER) * 1000000 WHERE name IS NULL;

-- +goose Down
ALTER TABLE producers DROP COLUMN last_used;
DROP TABLE retention;
