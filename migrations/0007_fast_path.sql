-- Ingestion's fast path: one call writes a batch of requests, and the same call
-- checks that their keys may still send. What a program remembers of a key is
-- told apart by the key's version, so memory spares look-ups and is never believed.
--
-- A signal now has the id of the request that made it, which spares an id, two
-- columns and an index. Equal bodies are found by a narrow table of first ones
-- rather than by an index over every delivery of every week.

-- +migrate Up
ALTER TABLE webhook_keys ADD COLUMN version bigint NOT NULL DEFAULT 1; -- raised by every change but that of the last uses

-- +migrate StatementBegin
CREATE FUNCTION raise_key_version() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    unused webhook_keys := NEW;
BEGIN
    unused.last_used_at := OLD.last_used_at;
    unused.last_refused_at := OLD.last_refused_at;
    IF unused IS DISTINCT FROM OLD THEN
        NEW.version := OLD.version + 1;
        PERFORM pg_notify('keyhook_keys', NEW.id::text);
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_keys_version BEFORE UPDATE ON webhook_keys
    FOR EACH ROW EXECUTE FUNCTION raise_key_version();

-- +migrate StatementBegin
CREATE FUNCTION raise_version_of_key() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_keys SET version = version + 1 WHERE id = coalesce(NEW.webhook_key_id, OLD.webhook_key_id);
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_key_credentials_version AFTER INSERT OR UPDATE OR DELETE ON webhook_key_credentials
    FOR EACH ROW EXECUTE FUNCTION raise_version_of_key();

-- +migrate StatementBegin
CREATE FUNCTION tell_key_is_gone() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keyhook_keys', OLD.id::text);
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_keys_gone AFTER DELETE ON webhook_keys
    FOR EACH ROW EXECUTE FUNCTION tell_key_is_gone();

-- A signal is named by its request. The table is made anew, because a column that
-- was dropped would still cost eight bytes a row; fixed widths come first.
UPDATE deliveries AS d SET signal_id = s.delivery_id FROM signals AS s WHERE d.signal_id = s.id;
CREATE TEMPORARY TABLE former_signals ON COMMIT DROP AS SELECT * FROM signals;
DROP TABLE signals;
CREATE TABLE signals (
    id             uuid        NOT NULL, -- its delivery's
    workspace_id   uuid        NOT NULL,
    webhook_key_id uuid,
    received_at    timestamptz NOT NULL,
    commit_xid     xid8        NOT NULL DEFAULT pg_current_xact_id(), -- with epoch and id, a place in an order that readers follow
    epoch          integer     NOT NULL,
    source         text        NOT NULL CHECK (octet_length(source) <= 255),
    source_ref     text        CHECK (octet_length(source_ref) <= 255), -- NULL: the sender gave none, each request is new

    CONSTRAINT signals_pkey PRIMARY KEY (id),
    CONSTRAINT signals_event_unique UNIQUE (workspace_id, source, source_ref)
);
-- Without the id many events share one entry: those of a batch have one commit_xid.
CREATE INDEX signals_cursor ON signals (workspace_id, epoch, commit_xid);
INSERT INTO signals (id, workspace_id, webhook_key_id, received_at, commit_xid, epoch, source, source_ref)
    SELECT delivery_id, workspace_id, webhook_key_id, received_at, commit_xid, epoch, source, source_ref FROM former_signals;
SELECT allow('keyhook_console', 'SELECT', 'signals');
SELECT allow('keyhook_ingest', 'SELECT, INSERT', 'signals');

DROP INDEX deliveries_same_body;
ALTER TABLE deliveries DROP COLUMN body_key;
-- The first delivery with a body, for keys whose refs are not signed.
CREATE TABLE first_bodies (
    body_key    bigint PRIMARY KEY, -- the first 8 bytes of SHA-256 over the key's id and the body's SHA-256
    delivery_id uuid   NOT NULL
);

-- Counts by time of answer, so that percentiles outlive the rows; the bounds are
-- in milliseconds, each bucket begins where the one before ends.
ALTER TABLE delivery_counts
    ADD COLUMN took_1 bigint NOT NULL DEFAULT 0, ADD COLUMN took_2 bigint NOT NULL DEFAULT 0, ADD COLUMN took_4 bigint NOT NULL DEFAULT 0,
    ADD COLUMN took_8 bigint NOT NULL DEFAULT 0, ADD COLUMN took_16 bigint NOT NULL DEFAULT 0, ADD COLUMN took_32 bigint NOT NULL DEFAULT 0,
    ADD COLUMN took_64 bigint NOT NULL DEFAULT 0, ADD COLUMN took_128 bigint NOT NULL DEFAULT 0, ADD COLUMN took_256 bigint NOT NULL DEFAULT 0,
    ADD COLUMN took_512 bigint NOT NULL DEFAULT 0, ADD COLUMN took_1024 bigint NOT NULL DEFAULT 0, ADD COLUMN took_more bigint NOT NULL DEFAULT 0;

-- Writers add tallies, and one instance at a time rolls them up into the counts,
-- so that a count has one row.
WITH gone AS (DELETE FROM delivery_counts RETURNING *)
INSERT INTO delivery_counts (webhook_key_id, hour, writer, credential_generation, outcome, reason, workspace_id, requests, not_kept, bodies_not_kept, last_at)
    SELECT webhook_key_id, hour, 0, credential_generation, outcome, reason, workspace_id, sum(requests), sum(not_kept), sum(bodies_not_kept), max(last_at)
    FROM gone GROUP BY webhook_key_id, hour, credential_generation, outcome, reason, workspace_id;
ALTER TABLE delivery_counts DROP COLUMN writer;
ALTER TABLE delivery_counts ADD PRIMARY KEY (webhook_key_id, hour, credential_generation, outcome, reason);

-- Requests that name no key, by hour and reason.
CREATE TABLE stray_counts (
    hour     timestamptz NOT NULL,
    reason   text        NOT NULL,
    requests bigint      NOT NULL,
    not_kept bigint      NOT NULL,

    PRIMARY KEY (hour, reason)
);

-- Who sent with a key: at most 1,000 addresses a key, the rest as 'other'.
CREATE TABLE key_addresses (
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    address        text        NOT NULL,
    accepted       bigint      NOT NULL, -- duplicates too
    refused        bigint      NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,

    PRIMARY KEY (webhook_key_id, address)
);

-- What each batch adds to the counts, until it is rolled up a second later. No
-- index, no conflict, nothing that two writers could wait for each other for. Its
-- keys are there: whoever deletes one deletes its tallies behind the same lock.
CREATE TABLE delivery_tallies (
    webhook_key_id        uuid,                 -- NULL: none could be told
    workspace_id          uuid,
    hour                  timestamptz NOT NULL,
    credential_generation integer     NOT NULL,
    outcome               text        NOT NULL,
    reason                text        NOT NULL,
    address               text        NOT NULL,
    requests              bigint      NOT NULL,
    not_kept              bigint      NOT NULL,
    bodies_not_kept       bigint      NOT NULL,
    first_at              timestamptz NOT NULL,
    last_at               timestamptz NOT NULL,
    took                  integer[]   NOT NULL  -- by bucket, as in delivery_counts
);

-- What to read: counts and what is not rolled up yet are exact together, at every moment.
CREATE VIEW delivery_totals AS
    SELECT webhook_key_id, workspace_id, hour, credential_generation, outcome, reason, requests, not_kept, bodies_not_kept, last_at,
        ARRAY[took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more] AS took
    FROM delivery_counts
    UNION ALL
    SELECT webhook_key_id, workspace_id, hour, credential_generation, outcome, reason, requests, not_kept, bodies_not_kept, last_at, took::bigint[]
    FROM delivery_tallies WHERE webhook_key_id IS NOT NULL;

-- The rows that append_requests takes; a type of a column's change is a new type
-- and a new function beside these, because the previous release goes on calling them.
CREATE TYPE key_use AS (webhook_key_id uuid, version bigint, until timestamptz);
CREATE TYPE arriving_request AS (
    place integer, id uuid, workspace_id uuid, webhook_key_id uuid, credential_generation integer, auth_method text, reason text, status smallint, scheme text,
    endpoint text, address text, user_agent text, content_type text, headers jsonb, event_type text, source text, source_ref text,
    body_size bigint, body_sha256 bytea, body_key bigint, received_at timestamptz, took_us bigint
);
CREATE TYPE request_tally AS (
    webhook_key_id uuid, workspace_id uuid, hour timestamptz, credential_generation integer, outcome text, reason text, address text,
    requests bigint, not_kept bigint, bodies_not_kept bigint, first_at timestamptz, last_at timestamptz, took integer[]
);
CREATE TYPE request_verdict AS (signal_id uuid, conflict text, same_body_as uuid);

-- The lock of a workspace that appends share and whoever deletes the workspace, or
-- one of its keys, has alone.
CREATE FUNCTION workspace_lock(workspace uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT hashtextextended(workspace::text, 7040871) $$;

-- Writes a batch of requests: signals of those that are not refused (p_signals
-- many), deliveries, the bodies that are watched (p_watched many), and tallies.
-- It returns NULL if all went as asked, else a JSON array of what did not:
--   {"kind": "workspace", "place": n}  the workspace at n is gone, or is being deleted;
--   {"kind": "key", "place": n}        the use at n is not valid any more, or changed;
--   {"kind": "vanished"}               a repeated signal was removed meanwhile: undo, and try again;
--   {"kind": "duplicate", "place": n, "signal": id, "at": time}  the request at n repeats that signal.
-- In the first two cases nothing was written. With duplicates all was written but
-- the tallies: which outcome they count is known only now.
--
-- p_lone are the workspaces without a use. A use without a version asks only
-- whether the key is there. Rows come in the order of workspace, source and ref, so
-- that two writers can't wait for each other. VOLATILE: each statement sees what was
-- committed before it.
-- +migrate StatementBegin
CREATE FUNCTION append_requests(
    p_workspaces uuid[], p_lone uuid[], p_uses key_use[], p_rows arriving_request[], p_bodies bytea[], p_signals integer, p_watched integer,
    p_tallies request_tally[]
) RETURNS text
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan -- a plan for each call costs a sixth
SET enable_seqscan = off                 -- nor one that was made while the tables were empty
SET work_mem = '32MB'                    -- the bodies of a batch
AS $$
#variable_conflict use_column
DECLARE
    there boolean[] := '{}';
    one uuid;
    good integer := 0;
    present_epoch integer;
    n integer;
    dup_places integer[] := '{}';
    dup_signals uuid[];
    dup_times timestamptz[];
    dup_conflicts text[];
    same_places integer[] := '{}';
    same_ids uuid[];
    verdicts request_verdict[];
    report text;
BEGIN
    -- A workspace that is being deleted is not waited for: others' requests are in this batch.
    FOREACH one IN ARRAY p_workspaces LOOP
        there := there || pg_try_advisory_xact_lock_shared(workspace_lock(one));
    END LOOP;
    IF cardinality(p_lone) > 0 OR false = ANY (there) THEN
        report := (
            SELECT json_agg(json_build_object('kind', 'workspace', 'place', u.place))
            FROM unnest(p_workspaces, there) WITH ORDINALITY AS u (id, there, place)
            WHERE NOT u.there OR u.id = ANY (p_lone) AND NOT EXISTS (SELECT FROM workspaces AS w WHERE w.id = u.id));
        IF report IS NOT NULL THEN
            RETURN report;
        END IF;
    END IF;
    IF cardinality(p_uses) > 0 THEN
        SELECT count(*), max(i.epoch) INTO good, present_epoch
            FROM instance AS i CROSS JOIN unnest(p_uses) AS u JOIN webhook_keys AS k ON k.id = u.webhook_key_id
            WHERE u.version IS NULL OR k.version = u.version AND k.is_active
                AND (k.expires_at > statement_timestamp()) IS NOT FALSE AND (u.until > statement_timestamp()) IS NOT FALSE;
        IF good < cardinality(p_uses) THEN
            RETURN (
                SELECT json_agg(json_build_object('kind', 'key', 'place', u.place))
                FROM unnest(p_uses) WITH ORDINALITY AS u (id, version, until, place) LEFT JOIN webhook_keys AS k ON k.id = u.id
                WHERE k.id IS NULL OR u.version IS NOT NULL AND NOT (k.version = u.version AND k.is_active
                    AND (k.expires_at > statement_timestamp()) IS NOT FALSE AND (u.until > statement_timestamp()) IS NOT FALSE));
        END IF;
    END IF;

    IF p_signals > 0 THEN
        INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
            SELECT r.id, r.workspace_id, r.webhook_key_id, r.source, r.source_ref, r.received_at, present_epoch
            FROM unnest(p_rows) AS r WHERE r.reason = ''
            ON CONFLICT (workspace_id, source, source_ref) DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < p_signals THEN
            -- A new snapshot: what a racing writer committed meanwhile is seen.
            SELECT array_agg(r.place ORDER BY r.place), array_agg(s.id ORDER BY r.place), array_agg(s.received_at ORDER BY r.place),
                array_agg(CASE WHEN coalesce(d.body_sha256, own.body_sha256) <> r.body_sha256 THEN 'body'
                    WHEN s.webhook_key_id <> r.webhook_key_id THEN 'key' ELSE '' END ORDER BY r.place)
                INTO dup_places, dup_signals, dup_times, dup_conflicts
                FROM unnest(p_rows) AS r
                JOIN signals AS s ON s.workspace_id = r.workspace_id AND s.source = r.source AND s.source_ref = r.source_ref
                LEFT JOIN deliveries AS d ON d.id = s.id
                LEFT JOIN unnest(p_rows) AS own ON own.id = s.id
                WHERE r.reason = '' AND s.id <> r.id;
            IF cardinality(dup_places) IS DISTINCT FROM p_signals - n THEN
                RETURN '[{"kind": "vanished"}]';
            END IF;
        END IF;
    END IF;

    IF p_watched > 0 THEN
        INSERT INTO first_bodies (body_key, delivery_id)
            SELECT r.body_key, r.id FROM unnest(p_rows) AS r
            WHERE r.body_key IS NOT NULL AND r.place <> ALL (dup_places) ORDER BY r.body_key
            ON CONFLICT (body_key) DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < p_watched THEN
            SELECT coalesce(array_agg(r.place), '{}'), array_agg(f.delivery_id) INTO same_places, same_ids
                FROM unnest(p_rows) AS r
                JOIN first_bodies AS f ON f.body_key = r.body_key
                LEFT JOIN deliveries AS d ON d.id = f.delivery_id
                WHERE f.delivery_id <> r.id AND r.place <> ALL (dup_places) AND coalesce(d.body_sha256, r.body_sha256) = r.body_sha256;
        END IF;
    END IF;

    IF cardinality(dup_places) + cardinality(same_places) > 0 THEN
        verdicts := ARRAY(
            SELECT ROW (d.signal_id, d.conflict, s.id)::request_verdict FROM generate_series(1, cardinality(p_rows)) AS place
            LEFT JOIN unnest(dup_places, dup_signals, dup_conflicts) AS d (place, signal_id, conflict) USING (place)
            LEFT JOIN unnest(same_places, same_ids) AS s (place, id) USING (place) ORDER BY place);
    END IF;
    INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status, scheme, endpoint,
            address, user_agent, content_type, headers, event_type, source, source_ref, signal_id, same_body_as, conflict, body, body_size,
            body_sha256, received_at, took_us)
        SELECT r.id, r.workspace_id, r.webhook_key_id, r.credential_generation, r.auth_method,
            CASE WHEN r.reason <> '' THEN 'refused' WHEN r.repeats IS NULL THEN 'accepted' ELSE 'duplicate' END,
            r.reason, r.status, r.scheme, r.endpoint, r.address, r.user_agent, r.content_type, coalesce(r.headers, '{}'), r.event_type, r.source, r.source_ref,
            CASE WHEN r.reason = '' THEN coalesce(r.repeats, r.id) END, r.same_body_as, coalesce(r.conflict, ''),
            r.body, r.body_size, r.body_sha256, r.received_at, r.took_us
        FROM ROWS FROM (unnest(p_rows), unnest(p_bodies), unnest(verdicts)) AS r (place, id, workspace_id, webhook_key_id, credential_generation,
            auth_method, reason, status, scheme, endpoint, address, user_agent, content_type, headers, event_type, source, source_ref, body_size, body_sha256, body_key,
            received_at, took_us, body, repeats, conflict, same_body_as);

    IF cardinality(dup_places) > 0 THEN
        RETURN (SELECT json_agg(json_build_object('kind', 'duplicate', 'place', d.place, 'signal', d.signal_id, 'at', d.at))
            FROM unnest(dup_places, dup_signals, dup_times) AS d (place, signal_id, at));
    END IF;
    INSERT INTO delivery_tallies SELECT * FROM unnest(p_tallies);
    RETURN NULL;
END
$$;
-- +migrate StatementEnd

-- The row lock that DELETE takes before its triggers run keeps the row, and the
-- workspace's lock waits for the appends that share it; each statement then sees
-- what they wrote, and later appends find the lock taken.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION forget_workspace_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(workspace_lock(OLD.id));
    DELETE FROM refused_requests WHERE workspace_id = OLD.id;
    DELETE FROM delivery_tallies WHERE workspace_id = OLD.id;
    DELETE FROM first_bodies AS f USING deliveries AS d WHERE d.workspace_id = OLD.id AND d.id = f.delivery_id;
    DELETE FROM signals WHERE workspace_id = OLD.id;
    DELETE FROM deliveries WHERE workspace_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION detach_key_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(workspace_lock(OLD.workspace_id));
    DELETE FROM refused_requests WHERE webhook_key_id = OLD.id;
    DELETE FROM delivery_tallies WHERE webhook_key_id = OLD.id;
    UPDATE signals SET webhook_key_id = NULL WHERE workspace_id = OLD.workspace_id AND webhook_key_id = OLD.id;
    UPDATE deliveries SET webhook_key_id = NULL WHERE webhook_key_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd

-- One instance at a time makes partitions: two would make the same.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION ensure_delivery_weeks(first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    week timestamp := date_trunc('week', first AT TIME ZONE 'UTC');
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('keyhook weeks ' || current_schema(), 0));
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

SELECT allow('keyhook_console', 'SELECT', 'first_bodies, stray_counts, key_addresses, delivery_tallies, delivery_totals');
SELECT allow('keyhook_ingest', 'SELECT, INSERT', 'first_bodies');
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE', 'stray_counts, key_addresses');
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE, DELETE', 'delivery_tallies'); -- UPDATE: row locks
SELECT allow('keyhook_ingest', 'SELECT', 'delivery_totals');

-- +migrate Down
-- What was not rolled up yet goes.
DROP FUNCTION append_requests;
DROP TYPE key_use, arriving_request, request_tally, request_verdict;
DROP VIEW delivery_totals;
DROP TABLE delivery_tallies, key_addresses, stray_counts, first_bodies;
ALTER TABLE delivery_counts DROP CONSTRAINT delivery_counts_pkey;
ALTER TABLE delivery_counts
    ADD COLUMN writer smallint NOT NULL DEFAULT 0,
    DROP COLUMN took_1, DROP COLUMN took_2, DROP COLUMN took_4, DROP COLUMN took_8, DROP COLUMN took_16, DROP COLUMN took_32, DROP COLUMN took_64,
    DROP COLUMN took_128, DROP COLUMN took_256, DROP COLUMN took_512, DROP COLUMN took_1024, DROP COLUMN took_more;
ALTER TABLE delivery_counts ADD PRIMARY KEY (webhook_key_id, hour, writer, credential_generation, outcome, reason);
ALTER TABLE deliveries ADD COLUMN body_key bigint;
CREATE INDEX deliveries_same_body ON deliveries (webhook_key_id, body_key, id);
ALTER TABLE signals ADD COLUMN delivery_id uuid;
UPDATE signals SET delivery_id = id;
ALTER TABLE signals ALTER COLUMN delivery_id SET NOT NULL;
CREATE INDEX signals_key ON signals (webhook_key_id);
DROP INDEX signals_cursor;
CREATE INDEX signals_cursor ON signals (workspace_id, epoch, commit_xid, id);
DROP TRIGGER webhook_keys_gone ON webhook_keys;
DROP TRIGGER webhook_key_credentials_version ON webhook_key_credentials;
DROP TRIGGER webhook_keys_version ON webhook_keys;
DROP FUNCTION tell_key_is_gone, raise_version_of_key, raise_key_version;
ALTER TABLE webhook_keys DROP COLUMN version;
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION forget_workspace_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM refused_requests WHERE workspace_id = OLD.id;
    DELETE FROM signals WHERE workspace_id = OLD.id;
    DELETE FROM deliveries WHERE workspace_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION detach_key_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM refused_requests WHERE webhook_key_id = OLD.id;
    UPDATE signals SET webhook_key_id = NULL WHERE webhook_key_id = OLD.id;
    UPDATE deliveries SET webhook_key_id = NULL WHERE webhook_key_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd
DROP FUNCTION workspace_lock;
