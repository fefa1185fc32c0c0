-- The log stays quick with millions of rows: requests of an address are found by an
-- index, and a chart of a whole workspace adds up a few rows an hour.

-- +migrate Up
-- Where a request stands among those of its address: the address's hash, and behind
-- it the seconds of the id, 65 at a time. An index of these numbers takes a third of
-- the room that one of workspace, address and id would, and where an address sends
-- often, many requests share an entry of it.
-- +migrate StatementBegin
CREATE FUNCTION address_place(workspace uuid, address text, id uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashtextextended(address, uuid_hash_extended(workspace, 0)) << 32) + (get_byte(uuid_send(id), 0)::bigint << 24)
        + (get_byte(uuid_send(id), 1) << 16) + (get_byte(uuid_send(id), 2) << 8) + get_byte(uuid_send(id), 3)
$$;
-- +migrate StatementEnd
CREATE INDEX deliveries_address ON deliveries (address_place(workspace_id, address, id));
CREATE INDEX key_addresses_address ON key_addresses (address);

-- What was not accepted, of an address and of a key. Accepted requests cost nothing here.
CREATE INDEX deliveries_address_outcome ON deliveries (address_place(workspace_id, address, id)) WHERE outcome <> 'accepted';
CREATE INDEX deliveries_key_outcome ON deliveries (webhook_key_id, outcome, id) WHERE outcome <> 'accepted';
CREATE INDEX deliveries_key_reason ON deliveries (webhook_key_id, reason, id) WHERE reason <> '';

-- A workspace's requests by hour, outcome and reason: always the sum of delivery_counts over
-- its keys, whoever writes those, and whichever of them goes.
CREATE TABLE outcome_counts (
    workspace_id uuid        NOT NULL,
    hour         timestamptz NOT NULL,
    outcome      text        NOT NULL,
    reason       text        NOT NULL,
    requests     bigint      NOT NULL,

    PRIMARY KEY (workspace_id, hour, outcome, reason)
);

-- +migrate StatementBegin
CREATE FUNCTION count_outcomes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO outcome_counts AS o (workspace_id, hour, outcome, reason, requests)
            SELECT workspace_id, hour, outcome, reason, sum(requests) FROM added GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
            ON CONFLICT (workspace_id, hour, outcome, reason) DO UPDATE SET requests = o.requests + excluded.requests;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE outcome_counts AS o SET requests = o.requests + c.requests
            FROM (SELECT workspace_id, hour, outcome, reason, sum(requests) AS requests
                FROM (SELECT workspace_id, hour, outcome, reason, requests FROM added
                    UNION ALL SELECT workspace_id, hour, outcome, reason, -requests FROM gone) AS changed
                GROUP BY 1, 2, 3, 4 HAVING sum(requests) <> 0) AS c
            WHERE (o.workspace_id, o.hour, o.outcome, o.reason) = (c.workspace_id, c.hour, c.outcome, c.reason);
    ELSE
        UPDATE outcome_counts AS o SET requests = o.requests - c.requests
            FROM (SELECT workspace_id, hour, outcome, reason, sum(requests) AS requests FROM gone GROUP BY 1, 2, 3, 4) AS c
            WHERE (o.workspace_id, o.hour, o.outcome, o.reason) = (c.workspace_id, c.hour, c.outcome, c.reason);
    END IF;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER delivery_counts_outcomes_added AFTER INSERT ON delivery_counts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_outcomes();
CREATE TRIGGER delivery_counts_outcomes_changed AFTER UPDATE ON delivery_counts
    REFERENCING NEW TABLE AS added OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_outcomes();
CREATE TRIGGER delivery_counts_outcomes_gone AFTER DELETE ON delivery_counts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_outcomes();

-- The triggers hold writers back until this is committed, so nothing is left out.
INSERT INTO outcome_counts (workspace_id, hour, outcome, reason, requests)
    SELECT workspace_id, hour, outcome, reason, sum(requests) FROM delivery_counts GROUP BY 1, 2, 3, 4;

-- Counts and what is not rolled up yet are exact together.
CREATE VIEW outcome_totals AS
    SELECT workspace_id, hour, outcome, reason, requests FROM outcome_counts
    UNION ALL
    SELECT workspace_id, hour, outcome, reason, requests FROM delivery_tallies WHERE webhook_key_id IS NOT NULL;

-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION forget_workspace_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM outcome_counts WHERE workspace_id = OLD.id;
    DELETE FROM workspace_counts WHERE workspace_id = OLD.id;
    DELETE FROM untrusted_forwards WHERE workspace_id = OLD.id;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd

SELECT allow('keyhook_console', 'SELECT', 'outcome_counts, outcome_totals');

-- +migrate Down
DROP VIEW outcome_totals;
DROP TRIGGER delivery_counts_outcomes_added ON delivery_counts;
DROP TRIGGER delivery_counts_outcomes_changed ON delivery_counts;
DROP TRIGGER delivery_counts_outcomes_gone ON delivery_counts;
DROP FUNCTION count_outcomes;
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION forget_workspace_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM workspace_counts WHERE workspace_id = OLD.id;
    DELETE FROM untrusted_forwards WHERE workspace_id = OLD.id;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
DROP TABLE outcome_counts;
DROP INDEX deliveries_key_reason, deliveries_key_outcome, deliveries_address_outcome, key_addresses_address, deliveries_address;
DROP FUNCTION address_place;
