-- Whoever follows the signals' order begins behind a place, (epoch, commit_xid, id) >
-- (…). PostgreSQL estimates such a comparison by its first column alone, and nearly
-- all signals have one epoch, so it expected one row and then sorted all that there
-- were. Without statistics of the epoch it expects a third of the table, and reads
-- the few rows that it was asked for in the order of the index.

-- +migrate Up
ALTER TABLE signals ALTER COLUMN epoch TYPE integer; -- nothing is rewritten; what was known of its values is forgotten
ALTER TABLE signals ALTER COLUMN epoch SET STATISTICS 0;

-- +migrate Down
ALTER TABLE signals ALTER COLUMN epoch SET STATISTICS -1;
