-- name: StartStore :one
-- Like all of this file, about SQLite's file itself: Postgres has no such query.
INSERT INTO store_meta (one, file_id, starts) VALUES (1, sqlc.arg(file_id), 1)
ON CONFLICT (one) DO UPDATE SET starts = store_meta.starts + 1
RETURNING file_id, starts;

-- name: GetStore :one
SELECT file_id, starts
FROM store_meta
WHERE one = 1;

-- name: ProbeStore :execrows
-- Changes a row, so that the commit has to write.
UPDATE store_meta
SET probes = probes + 1
WHERE one = 1;
