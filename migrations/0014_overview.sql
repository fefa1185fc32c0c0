-- What the overview asks of the counts, which may be millions of rows: a
-- workspace's requests by hour, and the uses of credentials that were stopped. And
-- which proxies forward addresses that nobody told us to believe.

-- +migrate Up
-- A workspace's requests by hour. Only who rolls up writes it, one instance at a
-- time, so no row is fought over. No foreign key, as with deliveries: it would
-- make the roll-up wait for whoever deletes a workspace, who waits for the roll-up.
CREATE TABLE workspace_counts (
    workspace_id uuid        NOT NULL,
    hour         timestamptz NOT NULL,
    requests     bigint      NOT NULL,
    refused      bigint      NOT NULL, -- of those

    PRIMARY KEY (workspace_id, hour)
);
INSERT INTO workspace_counts (workspace_id, hour, requests, refused)
    SELECT workspace_id, hour, sum(requests), coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)
    FROM delivery_counts GROUP BY workspace_id, hour;

-- By trigger, so that what the previous release rolls up is counted too.
-- +migrate StatementBegin
CREATE FUNCTION count_for_workspaces() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO workspace_counts AS w (workspace_id, hour, requests, refused)
            SELECT workspace_id, hour, sum(requests), coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)
            FROM added GROUP BY workspace_id, hour
            ON CONFLICT (workspace_id, hour) DO UPDATE SET requests = w.requests + excluded.requests, refused = w.refused + excluded.refused;
    ELSE
        UPDATE workspace_counts AS w SET requests = w.requests + c.requests, refused = w.refused + c.refused
            FROM (SELECT workspace_id, hour, sum(requests) AS requests, coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0) AS refused
                FROM (SELECT workspace_id, hour, outcome, requests FROM added
                    UNION ALL SELECT workspace_id, hour, outcome, -requests FROM replaced) AS changed
                GROUP BY workspace_id, hour) AS c
            WHERE w.workspace_id = c.workspace_id AND w.hour = c.hour;
    END IF;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER delivery_counts_inserted AFTER INSERT ON delivery_counts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_for_workspaces();
CREATE TRIGGER delivery_counts_updated AFTER UPDATE ON delivery_counts
    REFERENCING OLD TABLE AS replaced NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_for_workspaces();

-- Counts and what is not rolled up yet are exact together.
CREATE VIEW workspace_totals AS
    SELECT workspace_id, hour, requests, refused FROM workspace_counts
    UNION ALL
    SELECT workspace_id, hour, requests, CASE WHEN outcome = 'refused' THEN requests ELSE 0 END
    FROM delivery_tallies WHERE webhook_key_id IS NOT NULL;

-- Neither column changes when a count goes up, so those updates stay cheap.
CREATE INDEX delivery_counts_refused ON delivery_counts (reason, hour, workspace_id) WHERE outcome = 'refused';

CREATE INDEX webhook_key_credentials_overlapping ON webhook_key_credentials (expires_at) WHERE expires_at IS NOT NULL AND ended_at IS NULL;

-- Requests with X-Forwarded-For from peers that are no trusted proxy, by hour: at
-- most 20 peers of a workspace are told apart, the rest are 'other'. Instances add
-- to it once a minute.
CREATE TABLE untrusted_forwards (
    workspace_id uuid        NOT NULL,
    hour         timestamptz NOT NULL,
    proxy        text        NOT NULL,
    requests     bigint      NOT NULL,
    last_at      timestamptz NOT NULL,

    PRIMARY KEY (workspace_id, hour, proxy)
);

-- After the workspace: nothing is rolled up for it any more, and who notes proxies
-- shares the lock that its deletion has had alone.
-- +migrate StatementBegin
CREATE FUNCTION forget_workspace_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM workspace_counts WHERE workspace_id = OLD.id;
    DELETE FROM untrusted_forwards WHERE workspace_id = OLD.id;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER workspaces_forget_counts AFTER DELETE ON workspaces
    FOR EACH ROW EXECUTE FUNCTION forget_workspace_counts();

SELECT allow('keyhook_console', 'SELECT', 'workspace_counts, workspace_totals, untrusted_forwards');
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE', 'untrusted_forwards');

-- +migrate Down
DROP TRIGGER workspaces_forget_counts ON workspaces;
DROP TRIGGER delivery_counts_inserted ON delivery_counts;
DROP TRIGGER delivery_counts_updated ON delivery_counts;
DROP FUNCTION forget_workspace_counts, count_for_workspaces;
DROP INDEX webhook_key_credentials_overlapping, delivery_counts_refused;
DROP TABLE untrusted_forwards;
DROP VIEW workspace_totals;
DROP TABLE workspace_counts;
