-- How long the log of a workspace is kept, and how much of what a key receives. The
-- log shares its rows with the signals: whatever a rule says, the row and the body
-- of a signal that somebody may still want stay until it is read, or gone.

-- +migrate Up
ALTER TABLE workspaces
    ADD COLUMN keep_deliveries_days integer NOT NULL DEFAULT 90, -- to the end of the week
    ADD COLUMN keep_payloads_days   integer NOT NULL DEFAULT 30; -- bodies and headers
-- Until now bodies went with their signals, so nothing may go sooner than it was said.
UPDATE workspaces SET keep_payloads_days = keep_signals_days, keep_deliveries_days = greatest(90, keep_signals_days);
ALTER TABLE workspaces
    ADD CONSTRAINT workspaces_log_retention CHECK (keep_payloads_days BETWEEN 1 AND 3650 AND keep_deliveries_days BETWEEN keep_payloads_days AND 3650);

ALTER TABLE webhook_keys ADD COLUMN log text NOT NULL DEFAULT 'full' CHECK (log IN ('full', 'headers', 'nothing'));

-- How far the upkeep has come: everything in front of these places is as it should be.
ALTER TABLE signal_floors
    DROP COLUMN bodies_before,
    ADD COLUMN limited_epoch  integer NOT NULL DEFAULT 0, -- signals that all have read, of keys with a limit
    ADD COLUMN limited_xid    xid8    NOT NULL DEFAULT '0',
    ADD COLUMN limited_id     uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN payloads_until uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN rows_until     uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

-- Keys whose limit was set, and whose earlier deliveries were not all gone through.
CREATE TABLE log_sweeps (
    webhook_key_id uuid PRIMARY KEY REFERENCES webhook_keys ON DELETE CASCADE,
    workspace_id   uuid NOT NULL,
    swept_until    uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
CREATE INDEX log_sweeps_workspace ON log_sweeps (workspace_id);

-- When the upkeep last began, so that people can be told when it comes again.
CREATE TABLE retention_runs (
    only_one boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    began_at timestamptz NOT NULL
);

-- The floor's row lock makes a change and the upkeep take turns: what it noted
-- under the rule before is taken back.
-- +migrate StatementBegin
CREATE FUNCTION sweep_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.log = 'full' THEN
        -- What was kept for a reader alone is the log's now.
        UPDATE signal_floors SET payloads_until = '00000000-0000-0000-0000-000000000000' WHERE workspace_id = NEW.workspace_id;
        DELETE FROM log_sweeps WHERE webhook_key_id = NEW.id;
        RETURN NULL;
    END IF;
    UPDATE signal_floors SET limited_epoch = 0, limited_xid = '0', limited_id = '00000000-0000-0000-0000-000000000000'
        WHERE workspace_id = NEW.workspace_id;
    INSERT INTO log_sweeps (webhook_key_id, workspace_id) VALUES (NEW.id, NEW.workspace_id)
        ON CONFLICT (webhook_key_id) DO UPDATE SET swept_until = excluded.swept_until;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_keys_sweep_log AFTER UPDATE OF log ON webhook_keys
    FOR EACH ROW WHEN (NEW.log IS DISTINCT FROM OLD.log) EXECUTE FUNCTION sweep_log();

-- Where more is kept than before, what the upkeep passed over comes under the rule again.
-- +migrate StatementBegin
CREATE FUNCTION raise_log_retention() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE signal_floors SET payloads_until = '00000000-0000-0000-0000-000000000000', rows_until = '00000000-0000-0000-0000-000000000000'
        WHERE workspace_id = NEW.id;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER workspaces_raise_log_retention AFTER UPDATE OF keep_deliveries_days, keep_payloads_days ON workspaces
    FOR EACH ROW WHEN (NEW.keep_deliveries_days > OLD.keep_deliveries_days OR NEW.keep_payloads_days > OLD.keep_payloads_days)
    EXECUTE FUNCTION raise_log_retention();

-- Ingestion may change no delivery; this takes the payload of requests that no
-- signal needs, in the transaction that stored them.
-- +migrate StatementBegin
CREATE FUNCTION limit_deliveries(ids uuid[], bare boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE deliveries SET body = NULL, headers = CASE WHEN bare THEN '{}' ELSE headers END,
        body_sha256 = CASE WHEN bare THEN NULL ELSE body_sha256 END
    WHERE id = ANY (ids) AND signal_id IS DISTINCT FROM id
$$;
-- +migrate StatementEnd
REVOKE ALL ON FUNCTION limit_deliveries FROM PUBLIC;

SELECT allow('keyhook_ingest', 'EXECUTE', 'FUNCTION limit_deliveries');
SELECT allow('keyhook_console', 'SELECT', 'retention_runs');

-- +migrate Down
DROP FUNCTION limit_deliveries;
DROP TRIGGER workspaces_raise_log_retention ON workspaces;
DROP TRIGGER webhook_keys_sweep_log ON webhook_keys;
DROP FUNCTION raise_log_retention, sweep_log;
DROP TABLE retention_runs, log_sweeps;
ALTER TABLE signal_floors
    DROP COLUMN limited_epoch, DROP COLUMN limited_xid, DROP COLUMN limited_id, DROP COLUMN payloads_until, DROP COLUMN rows_until,
    ADD COLUMN bodies_before timestamptz NOT NULL DEFAULT 'epoch';
ALTER TABLE webhook_keys DROP COLUMN log;
ALTER TABLE workspaces DROP COLUMN keep_deliveries_days, DROP COLUMN keep_payloads_days;
