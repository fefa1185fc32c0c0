-- The second wall between workspaces. A transaction that is about one workspace
-- takes a role of its own and names the workspace; the database then shows and takes
-- that workspace's rows alone, whatever a statement forgets to ask. Without a name
-- there are no rows. keyhook_console stays for what is about many workspaces (signing
-- in, upkeep, commands), and for the previous release; keyhook_ingest as it is, for a
-- batch is of many workspaces. The owner of the tables is held by nothing: FORCE would
-- make later migrations miss rows and pg_dump fail.
--
-- A new table with a workspace_id needs: SELECT wall('its name');

-- +migrate Up
-- +migrate StatementBegin
DO $$
BEGIN
    BEGIN
        CREATE ROLE keyhook_scoped NOLOGIN;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE WARNING 'role keyhook_scoped was not made: the login role may not make roles';
    END;
    BEGIN
        EXECUTE 'GRANT keyhook_scoped TO CURRENT_USER';
    EXCEPTION
        WHEN undefined_object OR insufficient_privilege OR unique_violation THEN NULL;
    END;
END
$$;
-- +migrate StatementEnd

-- What the console is allowed, it is allowed in one workspace too.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION allow(wanted text, privileges text, object text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT rolname FROM pg_roles WHERE rolname = wanted OR wanted = 'keyhook_console' AND rolname = 'keyhook_scoped' LOOP
        EXECUTE format('GRANT %s ON %s TO %I', privileges, object, one);
    END LOOP;
END
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT c.oid::regclass AS object, a.privilege_type AS privilege
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE r.rolname = 'keyhook_console' AND c.relnamespace = current_schema()::regnamespace
    LOOP
        PERFORM allow('keyhook_scoped', granted.privilege, granted.object::text);
    END LOOP;
END
$$;
-- +migrate StatementEnd

-- wall lets a transaction in one workspace at the rows that meet a condition alone.
-- The workspace is a subquery so that it is worked out once for each statement.
-- +migrate StatementBegin
CREATE FUNCTION wall(target text, condition text DEFAULT 'workspace_id = $workspace') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    workspace CONSTANT text := $x$(SELECT nullif(current_setting('keyhook.workspace', true), '')::uuid)$x$;
    others text;
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', target);
    SELECT string_agg(quote_ident(rolname), ', ') INTO others FROM pg_roles WHERE rolname IN ('keyhook_console', 'keyhook_ingest');
    IF others IS NOT NULL THEN
        EXECUTE format('CREATE POLICY everywhere ON %I TO %s USING (true)', target, others);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyhook_scoped') THEN
        EXECUTE format('CREATE POLICY in_workspace ON %I TO keyhook_scoped USING (%s)', target, replace(condition, '$workspace', workspace));
    END IF;
END
$$;
-- +migrate StatementEnd

SELECT wall(c.relname) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname;
SELECT wall('workspaces', 'id = $workspace');
SELECT wall('audit_log', 'chain = $workspace::text'), wall('audit_heads', 'chain = $workspace::text');
-- What belongs to a key goes with the key, which has its own wall.
SELECT wall(name, 'EXISTS (SELECT FROM webhook_keys AS k WHERE k.id = webhook_key_id)')
FROM unnest('{webhook_key_credentials,key_allowances,key_addresses,key_batch_keys}'::text[]) AS name;
-- A review's lines go with the review.
SELECT wall('access_review_lines', 'review_id IN (SELECT r.id FROM access_reviews AS r)');
-- Nobody in a workspace asks for these.
SELECT wall('first_bodies', 'false'), wall('refused_request_quotas', 'false');

-- Views ask with the rights of who asks them.
ALTER VIEW delivery_totals SET (security_invoker = true);
ALTER VIEW outcome_totals SET (security_invoker = true);
ALTER VIEW workspace_totals SET (security_invoker = true);
ALTER VIEW usage_by_hour SET (security_invoker = true);
ALTER VIEW usage_by_day SET (security_invoker = true);

-- +migrate Down
ALTER VIEW usage_by_day RESET (security_invoker);
ALTER VIEW usage_by_hour RESET (security_invoker);
ALTER VIEW outcome_totals RESET (security_invoker);
ALTER VIEW workspace_totals RESET (security_invoker);
ALTER VIEW delivery_totals RESET (security_invoker);
DROP FUNCTION wall;
-- +migrate StatementBegin
DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN SELECT polrelid::regclass AS target, polname FROM pg_policy LOOP
        EXECUTE format('DROP POLICY %I ON %s', policy.polname, policy.target);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', policy.target);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyhook_scoped') THEN
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM keyhook_scoped', current_schema());
    END IF;
END
$$;
-- +migrate StatementEnd
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION allow(wanted text, privileges text, object text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('GRANT %s ON %s TO %I', privileges, object, wanted);
    END IF;
END
$$;
-- +migrate StatementEnd
