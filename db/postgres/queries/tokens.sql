-- name: InsertToken :execrows
INSERT INTO tokens (bucket, token_id, name, hash, scopes, created_at, expires_at)
VALUES (
    sqlc.arg(bucket), sqlc.arg(token_id), sqlc.arg(name), sqlc.arg(hash), sqlc.arg(scopes), sqlc.arg(created_at),
    sqlc.narg(expires_at)
);

-- name: ForgetTokens :execrows
-- Reads the whole table, which is small.
DELETE FROM tokens WHERE least(revoked_at, expires_at) < sqlc.arg(before)::timestamptz;

-- name: ListTokens :many
SELECT token_id, name, hash, scopes, created_at, expires_at, revoked_at FROM tokens ORDER BY token_id;

-- name: RevokeToken :execrows
-- The first time counts.
UPDATE tokens SET revoked_at = coalesce(revoked_at, sqlc.arg(revoked_at)::timestamptz)
WHERE bucket = sqlc.arg(bucket) AND token_id = sqlc.arg(token_id);
