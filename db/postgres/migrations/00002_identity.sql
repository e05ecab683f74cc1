-- +goose Up

-- What was written before heads had an identity is taken to belong to this database: nothing tells
-- whether it was put back from a copy. The text is that of databaseIdentity in connect.go.
UPDATE heads
SET identity = (SELECT system_identifier FROM pg_control_system()) || '.' ||
    left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' ||
    (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' || 'heads'::regclass::oid
WHERE identity = '';

-- +goose Down
SELECT 1;
