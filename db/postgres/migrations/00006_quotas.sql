-- +goose Up

-- Quotas of a topic, 0 is none. They are columns of the row that each append reads under its lock anyway: so they
-- count at once and everywhere, and cost no query. They change when an operator says so, no index has them, and
-- rows that are there already are not rewritten.
ALTER TABLE heads
    ADD COLUMN quota_rate bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_producers bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_consumers bigint NOT NULL DEFAULT 0;

-- Quotas of a token, 0 is none.
ALTER TABLE tokens
    ADD COLUMN quota_rate bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_topics bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_topic_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_producers bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_consumers bigint NOT NULL DEFAULT 0;

-- The token that something is counted for, NULL for most. It never changes once it is set, so updates stay in
-- their page.
ALTER TABLE topics ADD COLUMN token_id text COLLATE "C";
ALTER TABLE producers ADD COLUMN token_id text COLLATE "C";
ALTER TABLE consumers ADD COLUMN token_id text COLLATE "C";
CREATE INDEX topics_by_token ON topics (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX producers_by_token ON producers (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX consumers_by_token ON consumers (token_id) WHERE token_id IS NOT NULL;

-- +goose Down
ALTER TABLE consumers DROP COLUMN token_id;
ALTER TABLE producers DROP COLUMN token_id;
ALTER TABLE topics DROP COLUMN token_id;
ALTER TABLE tokens
    DROP COLUMN quota_rate,
    DROP COLUMN quota_topics,
    DROP COLUMN quota_topic_bytes,
    DROP COLUMN quota_producers,
    DROP COLUMN quota_consumers;
ALTER TABLE heads
    DROP COLUMN quota_rate,
    DROP COLUMN quota_bytes,
    DROP COLUMN quota_producers,
    DROP COLUMN quota_consumers;
