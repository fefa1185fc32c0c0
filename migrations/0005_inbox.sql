-- What arrived. A delivery is one request with its outcome; a signal is an
-- accepted event, stored once. A UNIQUE constraint on a partitioned table must
-- hold the partition key, so the events are decided in the narrow, unpartitioned
-- signals, and deliveries, which hold the bodies, are cut into weeks by their
-- UUIDv7 id: a week goes by detaching it, and the primary key still prunes.
--
-- Neither has foreign keys: checking them doubles the database's work on each
-- row. The same rules (workspace: cascade, key: set null, no orphan) are kept by
-- triggers on the parents and by the row locks that each append takes on them.

-- +migrate Up
CREATE TABLE signals (
    id             uuid        PRIMARY KEY,
    workspace_id   uuid        NOT NULL,
    webhook_key_id uuid,
    delivery_id    uuid        NOT NULL,
    source         text        NOT NULL CHECK (octet_length(source) <= 255),
    source_ref     text        CHECK (octet_length(source_ref) <= 255), -- NULL: the sender gave none, each request is new
    received_at    timestamptz NOT NULL,
    epoch          integer     NOT NULL,
    commit_xid     xid8        NOT NULL DEFAULT pg_current_xact_id(), -- with epoch and id, a place in an order that readers follow

    CONSTRAINT signals_event_unique UNIQUE (workspace_id, source, source_ref)
);
CREATE INDEX signals_cursor ON signals (workspace_id, epoch, commit_xid, id);
CREATE INDEX signals_key ON signals (webhook_key_id);

CREATE TABLE deliveries (
    id                    uuid        NOT NULL, -- the request id
    workspace_id          uuid,                 -- NULL: no workspace could be told
    webhook_key_id        uuid,                 -- NULL: no key could be told, or it is gone
    credential_generation integer,
    auth_method           text        NOT NULL CHECK (auth_method IN ('none', 'api_key', 'bearer', 'url', 'signature', 'basic')),
    outcome               text        NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'refused')),
    reason                text        NOT NULL DEFAULT '', -- why it was refused
    status                smallint    NOT NULL,
    scheme                text        NOT NULL DEFAULT '',
    endpoint              text        NOT NULL, -- the route's pattern, never the path: a path may hold a key
    address               text        NOT NULL,
    user_agent            text        NOT NULL DEFAULT '',
    content_type          text        NOT NULL DEFAULT '',
    headers               jsonb       NOT NULL DEFAULT '{}', -- allow-listed names only
    event_type            text        NOT NULL DEFAULT '',
    source                text        NOT NULL DEFAULT '',
    source_ref            text,
    signal_id             uuid,                 -- the signal it made, or the one it repeats
    same_body_as          uuid,                 -- an earlier delivery with the same body under another ref
    conflict              text        NOT NULL DEFAULT '' CHECK (conflict IN ('', 'body', 'key')), -- a duplicate that differs from its original
    body                  bytea,                -- of accepted and duplicate requests; refused ones: see refused_requests
    body_size             bigint      NOT NULL DEFAULT 0,
    body_sha256           bytea,
    body_key              bigint,               -- the first 8 bytes of body_sha256, to find equal bodies by
    received_at           timestamptz NOT NULL,
    took_us               bigint      NOT NULL DEFAULT 0, -- from the first byte to the write, microseconds

    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_workspace ON deliveries (workspace_id, id);
CREATE INDEX deliveries_key ON deliveries (webhook_key_id, id);
CREATE INDEX deliveries_same_body ON deliveries (webhook_key_id, body_key, id); -- the id: to find the first of thousands at once

-- The smallest UUIDv7 of a moment.
-- +migrate StatementBegin
CREATE FUNCTION uuid_floor(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;
-- +migrate StatementEnd

-- Makes the weekly partitions from one moment to another that are not there yet.
-- Each is made apart and then attached, so that writers are not held up.
-- +migrate StatementBegin
CREATE FUNCTION ensure_delivery_weeks(first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    week timestamp := date_trunc('week', first AT TIME ZONE 'UTC');
    part text;
    made integer := 0;
BEGIN
    WHILE week <= last AT TIME ZONE 'UTC' LOOP
        part := 'deliveries_' || to_char(week, 'YYYYMMDD');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE deliveries INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
            EXECUTE format('ALTER TABLE deliveries ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                uuid_floor(week AT TIME ZONE 'UTC'), uuid_floor((week + interval '7 days') AT TIME ZONE 'UTC'));
            made := made + 1;
        END IF;
        week := week + interval '7 days';
    END LOOP;
    RETURN made;
END
$$;
-- +migrate StatementEnd
SELECT ensure_delivery_weeks(now() - interval '7 days', now() + interval '28 days');

-- The body and presented signature of refused requests whose key could be told,
-- sealed, for 7 days: enough to find out why, too little to fill a disk with.
CREATE TABLE refused_requests (
    delivery_id    uuid        PRIMARY KEY,
    workspace_id   uuid        NOT NULL,
    webhook_key_id uuid        NOT NULL,
    kept_at        timestamptz NOT NULL,
    body           bytea       NOT NULL, -- sealed; at most the first 64 KiB
    signature      bytea       NOT NULL  -- sealed
);
CREATE INDEX refused_requests_kept ON refused_requests (kept_at);
CREATE INDEX refused_requests_workspace ON refused_requests (workspace_id);
CREATE INDEX refused_requests_key ON refused_requests (webhook_key_id);

-- How many of those were kept in a minute, by key, by workspace and in all.
CREATE TABLE refused_request_quotas (
    scope  text        NOT NULL,
    minute timestamptz NOT NULL,
    kept   integer     NOT NULL,

    PRIMARY KEY (scope, minute)
);

-- Hourly counts, exact and longer-lived than the rows they count. One row for
-- each writer, so that writers don't wait for each other; read as a sum.
CREATE TABLE delivery_counts (
    webhook_key_id        uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    hour                  timestamptz NOT NULL,
    writer                smallint    NOT NULL,
    credential_generation integer     NOT NULL, -- 0: none could be told
    outcome               text        NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'refused')),
    reason                text        NOT NULL,
    workspace_id          uuid        NOT NULL,
    requests              bigint      NOT NULL,
    not_kept              bigint      NOT NULL DEFAULT 0, -- of these, how many have no row in deliveries
    bodies_not_kept       bigint      NOT NULL DEFAULT 0, -- of the refused ones, how many have none in refused_requests
    last_at               timestamptz NOT NULL,

    PRIMARY KEY (webhook_key_id, hour, writer, credential_generation, outcome, reason)
);
CREATE INDEX delivery_counts_workspace ON delivery_counts (workspace_id, hour);

-- The row lock that DELETE takes before its triggers run waits for the appends
-- that hold the row; each statement here then sees what they wrote.
-- +migrate StatementBegin
CREATE FUNCTION forget_workspace_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM refused_requests WHERE workspace_id = OLD.id;
    DELETE FROM signals WHERE workspace_id = OLD.id;
    DELETE FROM deliveries WHERE workspace_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER workspaces_forget_inbox BEFORE DELETE ON workspaces
    FOR EACH ROW EXECUTE FUNCTION forget_workspace_inbox();

-- +migrate StatementBegin
CREATE FUNCTION detach_key_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM refused_requests WHERE webhook_key_id = OLD.id;
    UPDATE signals SET webhook_key_id = NULL WHERE webhook_key_id = OLD.id;
    UPDATE deliveries SET webhook_key_id = NULL WHERE webhook_key_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_keys_detach_inbox BEFORE DELETE ON webhook_keys
    FOR EACH ROW EXECUTE FUNCTION detach_key_inbox();

SELECT allow('keyhook_console', 'SELECT', 'signals, deliveries, refused_requests, refused_request_quotas, delivery_counts');
SELECT allow('keyhook_ingest', 'SELECT, INSERT', 'signals, deliveries, refused_requests');
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE', 'refused_request_quotas, delivery_counts');

-- +migrate Down
DROP TRIGGER workspaces_forget_inbox ON workspaces;
DROP TRIGGER webhook_keys_detach_inbox ON webhook_keys;
DROP FUNCTION forget_workspace_inbox, detach_key_inbox, ensure_delivery_weeks;
DROP TABLE delivery_counts, refused_request_quotas, refused_requests, deliveries, signals;
DROP FUNCTION uuid_floor;
