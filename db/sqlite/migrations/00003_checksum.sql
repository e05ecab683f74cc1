-- +goose Up

-- CRC-32C over all that is stored of a message. NULL for messages from before, which pass unchecked.
ALTER TABLE messages ADD COLUMN checksum INTEGER;

-- +goose Down
ALTER TABLE messages DROP COLUMN checksum;
