-- +goose Up

-- Who may do what. Of a token only the hash is kept. A revoked token stays for a while, so that a broker
-- sees that there were tokens once; the table is small, and read as a whole.
CREATE TABLE tokens (
    bucket int NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (bucket, token_id)
);

-- +goose Down
DROP TABLE tokens;
