-- name: StartStore :exec
-- Like all of this file, about SQLite's file itself: Postgres has no such query.
INSERT INTO store_meta (one, file_id, starts) VALUES (1, sqlc.arg(file_id), sqlc.arg(starts))
ON CONFLICT (one) DO UPDATE SET file_id = excluded.file_id, starts = excluded.starts;

-- name: AdoptHeads :execrows
-- Heads written before they had an identity.
UPDATE heads SET identity = sqlc.arg(file_id) WHERE identity = '';

-- name: GetStore :one
SELECT file_id, starts
FROM store_meta
WHERE one = 1;

-- name: ProbeStore :execrows
-- Changes a row, so that the commit has to write.
UPDATE store_meta
SET probes = probes + 1
WHERE one = 1;
