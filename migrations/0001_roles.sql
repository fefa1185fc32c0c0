-- Two NOLOGIN roles, taken by SET LOCAL ROLE at the start of each transaction,
-- so that the console and ingestion hold no more rights than they use and
-- row-level security can be added without touching a table. Roles belong to
-- the cluster, not to the database: another database's migration may make them
-- at the same moment. Without the right to make roles Keyhook runs as its login
-- role and says so at start.

-- +migrate Up
-- +migrate StatementBegin
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['keyhook_console', 'keyhook_ingest'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role % was not made: the login role may not make roles', wanted;
        END;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        EXCEPTION
            WHEN undefined_object OR insufficient_privilege OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;
-- +migrate StatementEnd

-- allow grants rights on tables or functions to one of the roles, if there is such a role.
-- +migrate StatementBegin
CREATE FUNCTION allow(wanted text, privileges text, object text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('GRANT %s ON %s TO %I', privileges, object, wanted);
    END IF;
END
$$;
-- +migrate StatementEnd

-- +migrate Down
-- The roles stay: another database of the cluster may use them.
DROP FUNCTION allow;
