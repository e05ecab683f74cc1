-- +goose Up

-- Quotas of a topic, 0 is none. They are columns of the row that each append reads anyway.
ALTER TABLE heads ADD COLUMN quota_rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE heads ADD COLUMN quota_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE heads ADD COLUMN quota_producers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE heads ADD COLUMN quota_consumers INTEGER NOT NULL DEFAULT 0;

-- Quotas of a token, 0 is none.
ALTER TABLE tokens ADD COLUMN quota_rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN quota_topics INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN quota_topic_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN quota_producers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN quota_consumers INTEGER NOT NULL DEFAULT 0;

-- The token that something is counted for, NULL for most.
ALTER TABLE topics ADD COLUMN token_id TEXT;
ALTER TABLE producers ADD COLUMN token_id TEXT;
ALTER TABLE consumers ADD COLUMN token_id TEXT;
CREATE INDEX topics_by_token ON topics (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX producers_by_token ON producers (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX consumers_by_token ON consumers (token_id) WHERE token_id IS NOT NULL;

-- +goose Down
DROP INDEX consumers_by_token;
DROP INDEX producers_by_token;
DROP INDEX topics_by_token;
ALTER TABLE consumers DROP COLUMN token_id;
ALTER TABLE producers DROP COLUMN token_id;
ALTER TABLE topics DROP COLUMN token_id;
ALTER TABLE tokens DROP COLUMN quota_consumers;
ALTER TABLE tokens DROP COLUMN quota_producers;
ALTER TABLE tokens DROP COLUMN quota_topic_bytes;
ALTER TABLE tokens DROP COLUMN quota_topics;
ALTER TABLE tokens DROP COLUMN quota_rate;
ALTER TABLE heads DROP COLUMN quota_consumers;
ALTER TABLE heads DROP COLUMN quota_producers;
ALTER TABLE heads DROP COLUMN quota_bytes;
ALTER TABLE heads DROP COLUMN quota_rate;
