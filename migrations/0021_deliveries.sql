-- The log of deliveries is searched. Accepted requests are most of what arrives, so
-- the indexes of the others leave them out: they cost ingestion nothing.

-- +migrate Up
CREATE INDEX deliveries_outcome ON deliveries (workspace_id, outcome, id) WHERE outcome <> 'accepted';
CREATE INDEX deliveries_reason ON deliveries (workspace_id, reason, id) WHERE reason <> '';
CREATE INDEX deliveries_repeats ON deliveries (signal_id, id) WHERE outcome = 'duplicate'; -- the duplicates of one request
CREATE INDEX deliveries_same ON deliveries (same_body_as, id) WHERE same_body_as IS NOT NULL;
CREATE INDEX deliveries_ref ON deliveries (workspace_id, source_ref, id) WHERE source_ref IS NOT NULL;

-- +migrate Down
DROP INDEX deliveries_ref, deliveries_same, deliveries_repeats, deliveries_reason, deliveries_outcome;
