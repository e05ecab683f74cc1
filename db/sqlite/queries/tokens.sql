-- name: InsertToken :execrows
INSERT INTO tokens (bucket, token_id, name, hash, scopes, created_at, expires_at)
VALUES (
    sqlc.arg(bucket), sqlc.arg(token_id), sqlc.arg(name), sqlc.arg(hash), sqlc.arg(scopes), sqlc.arg(created_at),
    sqlc.arg(expires_at)
);

-- name: ForgetTokens :execrows
-- Reads the whole table, which is small.
DELETE FROM tokens
WHERE (revoked_at > 0 AND revoked_at < sqlc.arg(before)) OR (expires_at > 0 AND expires_at < sqlc.arg(before));

-- name: ListTokens :many
SELECT token_id, name, hash, scopes, created_at, expires_at, revoked_at FROM tokens;

-- name: RevokeToken :execrows
-- The first time counts.
UPDATE tokens SET revoked_at = CASE WHEN revoked_at > 0 THEN revoked_at ELSE sqlc.arg(revoked_at) END
WHERE bucket = sqlc.arg(bucket) AND token_id = sqlc.arg(token_id);
