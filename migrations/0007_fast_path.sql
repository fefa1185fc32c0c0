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

-- A signal is named by its request.
UPDATE deliveries AS d SET signal_id = s.delivery_id FROM signals AS s WHERE d.signal_id = s.id;
UPDATE signals SET id = delivery_id;
DROP INDEX signals_key;
ALTER TABLE signals DROP COLUMN delivery_id;

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

-- Requests that name no key, by hour and reason.
CREATE TABLE stray_counts (
    hour     timestamptz NOT NULL,
    writer   smallint    NOT NULL,
    reason   text        NOT NULL,
    requests bigint      NOT NULL,
    not_kept bigint      NOT NULL,

    PRIMARY KEY (hour, writer, reason)
);

-- Who sent with a key: at most 1,000 addresses a key, the rest as 'other'.
CREATE TABLE key_addresses (
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    address        text        NOT NULL,
    writer         smallint    NOT NULL,
    accepted       bigint      NOT NULL, -- duplicates too
    refused        bigint      NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,

    PRIMARY KEY (webhook_key_id, address, writer)
);

-- Writes a batch of requests: signals of those that are not refused, and
-- deliveries. It returns what did not go as asked:
--   'workspace', n: the workspace at n is gone, or is being deleted;
--   'key', n:       the use at n is not valid any more, or changed; in both cases nothing was written;
--   'duplicate', n: the request at n repeats the signal with that id, received at that time;
--   'vanished':     a repeated signal was removed meanwhile: undo, and try again.
-- A key's use without a version asks only whether the key is there. Rows come in
-- the order of workspace, source and ref, so that two writers can't wait for
-- each other. VOLATILE: each statement sees what was committed before it.
-- +migrate StatementBegin
CREATE FUNCTION append_requests(
    p_workspaces uuid[], p_use_keys uuid[], p_use_versions bigint[], p_use_untils timestamptz[],
    p_ids uuid[], p_workspace_ids uuid[], p_key_ids uuid[], p_generations integer[], p_methods text[], p_reasons text[],
    p_statuses smallint[], p_schemes text[], p_endpoints text[], p_addresses text[], p_user_agents text[], p_content_types text[],
    p_headers text[], p_event_types text[], p_sources text[], p_refs text[], p_bodies bytea[], p_body_sizes bigint[],
    p_sums bytea[], p_body_keys bigint[], p_times timestamptz[], p_tooks bigint[]
) RETURNS TABLE (kind text, place integer, signal_id uuid, received_at timestamptz)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan -- a plan for each call costs a sixth
SET enable_seqscan = off                 -- nor one that was made while the tables were empty
AS $$
#variable_conflict use_column
DECLARE
    there uuid[];
    missing integer[];
    wanted integer := cardinality(p_ids) - cardinality(array_remove(p_reasons, ''));
    n integer;
    dup_places integer[] := '{}';
    dup_signals uuid[];
    dup_times timestamptz[];
    dup_conflicts text[];
    same_places integer[] := '{}';
    same_ids uuid[];
BEGIN
    -- A workspace that is being deleted is not waited for: others' requests are in this batch.
    there := ARRAY(SELECT w.id FROM workspaces AS w WHERE w.id = ANY (p_workspaces) FOR KEY SHARE SKIP LOCKED);
    IF cardinality(there) < cardinality(p_workspaces) THEN
        RETURN QUERY SELECT 'workspace', u.place::integer, NULL::uuid, NULL::timestamptz
            FROM unnest(p_workspaces) WITH ORDINALITY AS u (id, place) WHERE u.id <> ALL (there);
        RETURN;
    END IF;
    missing := ARRAY(
        SELECT u.place::integer FROM unnest(p_use_keys, p_use_versions, p_use_untils) WITH ORDINALITY AS u (id, version, until, place)
        LEFT JOIN webhook_keys AS k ON k.id = u.id
        WHERE (k.id IS NOT NULL AND k.workspace_id = ANY (there) AND (u.version IS NULL OR k.version = u.version AND k.is_active
            AND coalesce(k.expires_at > statement_timestamp(), true) AND coalesce(u.until > statement_timestamp(), true))) IS NOT TRUE);
    IF cardinality(missing) > 0 THEN
        RETURN QUERY SELECT 'key', m, NULL::uuid, NULL::timestamptz FROM unnest(missing) AS m;
        RETURN;
    END IF;

    INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
        SELECT r.id, r.workspace_id, r.key_id, r.source, r.ref, r.received_at, (SELECT epoch FROM instance)
        FROM unnest(p_ids, p_workspace_ids, p_key_ids, p_sources, p_refs, p_times, p_reasons) AS r (id, workspace_id, key_id, source, ref, received_at, reason)
        WHERE r.reason = ''
        ON CONFLICT (workspace_id, source, source_ref) DO NOTHING;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n < wanted THEN
        -- A new snapshot: what a racing writer committed meanwhile is seen.
        SELECT array_agg(r.place::integer), array_agg(s.id), array_agg(s.received_at), array_agg(CASE
                WHEN coalesce(d.body_sha256, own.sum) <> r.sum THEN 'body'
                WHEN s.webhook_key_id <> r.key_id THEN 'key' ELSE '' END)
            INTO dup_places, dup_signals, dup_times, dup_conflicts
            FROM unnest(p_ids, p_workspace_ids, p_key_ids, p_sources, p_refs, p_sums, p_reasons)
                WITH ORDINALITY AS r (id, workspace_id, key_id, source, ref, sum, reason, place)
            JOIN signals AS s ON s.workspace_id = r.workspace_id AND s.source = r.source AND s.source_ref = r.ref
            LEFT JOIN deliveries AS d ON d.id = s.id
            LEFT JOIN unnest(p_ids, p_sums) AS own (id, sum) ON own.id = s.id
            WHERE r.reason = '' AND s.id <> r.id;
        IF cardinality(dup_places) IS DISTINCT FROM wanted - n THEN
            RETURN QUERY SELECT 'vanished', 0, NULL::uuid, NULL::timestamptz;
            RETURN;
        END IF;
    END IF;

    INSERT INTO first_bodies (body_key, delivery_id)
        SELECT r.body_key, r.id FROM unnest(p_body_keys, p_ids) WITH ORDINALITY AS r (body_key, id, place)
        WHERE r.body_key IS NOT NULL AND r.place <> ALL (dup_places) ORDER BY r.body_key
        ON CONFLICT (body_key) DO NOTHING;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n < cardinality(array_remove(p_body_keys, NULL)) THEN
        SELECT coalesce(array_agg(r.place::integer), '{}'), array_agg(f.delivery_id) INTO same_places, same_ids
            FROM unnest(p_body_keys, p_ids, p_key_ids, p_sums) WITH ORDINALITY AS r (body_key, id, key_id, sum, place)
            JOIN first_bodies AS f ON f.body_key = r.body_key
            LEFT JOIN deliveries AS d ON d.id = f.delivery_id
            WHERE f.delivery_id <> r.id AND r.place <> ALL (dup_places) AND coalesce(d.body_sha256, r.sum) = r.sum;
    END IF;

    INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status, scheme, endpoint,
            address, user_agent, content_type, headers, event_type, source, source_ref, signal_id, same_body_as, conflict, body, body_size,
            body_sha256, received_at, took_us)
        SELECT r.id, r.workspace_id, r.key_id, r.generation, r.method,
            CASE WHEN r.reason <> '' THEN 'refused' WHEN dup.place IS NULL THEN 'accepted' ELSE 'duplicate' END,
            r.reason, r.status, r.scheme, r.endpoint, r.address, r.user_agent, r.content_type, r.headers::jsonb, r.event_type, r.source, r.ref,
            CASE WHEN r.reason = '' THEN coalesce(dup.signal_id, r.id) END, same.id, coalesce(dup.conflict, ''),
            r.body, r.body_size, r.sum, r.received_at, r.took
        FROM unnest(p_ids, p_workspace_ids, p_key_ids, p_generations, p_methods, p_reasons, p_statuses, p_schemes, p_endpoints, p_addresses,
                p_user_agents, p_content_types, p_headers, p_event_types, p_sources, p_refs, p_bodies, p_body_sizes, p_sums, p_times, p_tooks)
            WITH ORDINALITY AS r (id, workspace_id, key_id, generation, method, reason, status, scheme, endpoint, address,
                user_agent, content_type, headers, event_type, source, ref, body, body_size, sum, received_at, took, place)
        LEFT JOIN unnest(dup_places, dup_signals, dup_conflicts) AS dup (place, signal_id, conflict) ON dup.place = r.place
        LEFT JOIN unnest(same_places, same_ids) AS same (place, id) ON same.place = r.place;

    RETURN QUERY SELECT 'duplicate', d.place, d.signal_id, d.at FROM unnest(dup_places, dup_signals, dup_times) AS d (place, signal_id, at);
END
$$;
-- +migrate StatementEnd

-- Adds a batch to the hourly counts and to the keys' addresses. Each writer has
-- rows of its own, so that writers don't wait for each other. p_tooks has 12
-- counts for each tally.
-- +migrate StatementBegin
CREATE FUNCTION count_requests(
    p_writer integer,
    p_keys uuid[], p_hours timestamptz[], p_generations integer[], p_outcomes text[], p_reasons text[], p_workspaces uuid[],
    p_requests bigint[], p_not_kept bigint[], p_bodies_not_kept bigint[], p_lasts timestamptz[], p_tooks bigint[],
    p_address_keys uuid[], p_addresses text[], p_accepted bigint[], p_refused bigint[], p_firsts timestamptz[], p_address_lasts timestamptz[]
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    n integer;
BEGIN
    INSERT INTO delivery_counts AS c (webhook_key_id, hour, writer, credential_generation, outcome, reason, workspace_id, requests, not_kept,
            bodies_not_kept, last_at, took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
        SELECT r.key_id, r.hour, p_writer, r.generation, r.outcome, r.reason, r.workspace_id, r.requests, r.not_kept, r.bodies_not_kept, r.last_at,
            p_tooks[12 * r.place - 11], p_tooks[12 * r.place - 10], p_tooks[12 * r.place - 9], p_tooks[12 * r.place - 8],
            p_tooks[12 * r.place - 7], p_tooks[12 * r.place - 6], p_tooks[12 * r.place - 5], p_tooks[12 * r.place - 4],
            p_tooks[12 * r.place - 3], p_tooks[12 * r.place - 2], p_tooks[12 * r.place - 1], p_tooks[12 * r.place]
        FROM unnest(p_keys, p_hours, p_generations, p_outcomes, p_reasons, p_workspaces, p_requests, p_not_kept, p_bodies_not_kept, p_lasts)
            WITH ORDINALITY AS r (key_id, hour, generation, outcome, reason, workspace_id, requests, not_kept, bodies_not_kept, last_at, place)
        ON CONFLICT (webhook_key_id, hour, writer, credential_generation, outcome, reason) DO UPDATE SET
            requests = c.requests + excluded.requests, not_kept = c.not_kept + excluded.not_kept,
            bodies_not_kept = c.bodies_not_kept + excluded.bodies_not_kept, last_at = greatest(c.last_at, excluded.last_at),
            took_1 = c.took_1 + excluded.took_1, took_2 = c.took_2 + excluded.took_2, took_4 = c.took_4 + excluded.took_4,
            took_8 = c.took_8 + excluded.took_8, took_16 = c.took_16 + excluded.took_16, took_32 = c.took_32 + excluded.took_32,
            took_64 = c.took_64 + excluded.took_64, took_128 = c.took_128 + excluded.took_128, took_256 = c.took_256 + excluded.took_256,
            took_512 = c.took_512 + excluded.took_512, took_1024 = c.took_1024 + excluded.took_1024, took_more = c.took_more + excluded.took_more;

    UPDATE key_addresses AS a SET accepted = a.accepted + r.accepted, refused = a.refused + r.refused,
            first_at = least(a.first_at, r.first_at), last_at = greatest(a.last_at, r.last_at)
        FROM unnest(p_address_keys, p_addresses, p_accepted, p_refused, p_firsts, p_address_lasts) AS r (key_id, address, accepted, refused, first_at, last_at)
        WHERE a.webhook_key_id = r.key_id AND a.address = r.address AND a.writer = p_writer;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n = cardinality(p_addresses) THEN
        RETURN;
    END IF;
    INSERT INTO key_addresses AS a (webhook_key_id, address, writer, accepted, refused, first_at, last_at)
        SELECT r.key_id, r.address, p_writer, sum(r.accepted), sum(r.refused), min(r.first_at), max(r.last_at)
        FROM (
            SELECT u.key_id, u.accepted, u.refused, u.first_at, u.last_at, CASE
                WHEN EXISTS (SELECT FROM key_addresses AS k WHERE k.webhook_key_id = u.key_id AND k.address = u.address) THEN u.address
                WHEN known.n + row_number() OVER (PARTITION BY u.key_id ORDER BY u.address) > 1000 THEN 'other'
                ELSE u.address END AS address
            FROM unnest(p_address_keys, p_addresses, p_accepted, p_refused, p_firsts, p_address_lasts) AS u (key_id, address, accepted, refused, first_at, last_at)
            CROSS JOIN LATERAL (SELECT count(DISTINCT k.address) AS n FROM key_addresses AS k WHERE k.webhook_key_id = u.key_id) AS known
            WHERE NOT EXISTS (SELECT FROM key_addresses AS k WHERE k.webhook_key_id = u.key_id AND k.address = u.address AND k.writer = p_writer)
        ) AS r
        GROUP BY r.key_id, r.address ORDER BY r.key_id, r.address
        ON CONFLICT (webhook_key_id, address, writer) DO UPDATE SET accepted = a.accepted + excluded.accepted, refused = a.refused + excluded.refused,
            first_at = least(a.first_at, excluded.first_at), last_at = greatest(a.last_at, excluded.last_at);
END
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION forget_workspace_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM refused_requests WHERE workspace_id = OLD.id;
    DELETE FROM first_bodies AS f USING deliveries AS d WHERE d.workspace_id = OLD.id AND d.id = f.delivery_id;
    DELETE FROM signals WHERE workspace_id = OLD.id;
    DELETE FROM deliveries WHERE workspace_id = OLD.id;
    RETURN OLD;
END
$$;
-- +migrate StatementEnd

-- An append holds the workspace alone. Whoever deletes one key waits for it too.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION detach_key_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM workspaces WHERE id = OLD.workspace_id FOR UPDATE;
    DELETE FROM refused_requests WHERE webhook_key_id = OLD.id;
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

SELECT allow('keyhook_console', 'SELECT', 'first_bodies, stray_counts, key_addresses');
SELECT allow('keyhook_ingest', 'SELECT, INSERT', 'first_bodies');
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE', 'stray_counts, key_addresses');

-- +migrate Down
DROP FUNCTION append_requests, count_requests;
DROP TABLE key_addresses, stray_counts, first_bodies;
ALTER TABLE delivery_counts
    DROP COLUMN took_1, DROP COLUMN took_2, DROP COLUMN took_4, DROP COLUMN took_8, DROP COLUMN took_16, DROP COLUMN took_32, DROP COLUMN took_64,
    DROP COLUMN took_128, DROP COLUMN took_256, DROP COLUMN took_512, DROP COLUMN took_1024, DROP COLUMN took_more;
ALTER TABLE deliveries ADD COLUMN body_key bigint;
CREATE INDEX deliveries_same_body ON deliveries (webhook_key_id, body_key, id);
ALTER TABLE signals ADD COLUMN delivery_id uuid;
UPDATE signals SET delivery_id = id;
ALTER TABLE signals ALTER COLUMN delivery_id SET NOT NULL;
CREATE INDEX signals_key ON signals (webhook_key_id);
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
