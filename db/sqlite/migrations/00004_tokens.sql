-- +goose Up

-- Who may do what. Of a token only the hash is kept. A revoked token stays for a while, so that a broker
-- sees that there were tokens once; the table is small, and read as a whole. scopes is a JSON array, and
-- times are 0 for never.
CREATE TABLE tokens (
    bucket INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, token_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE tokens;
