-- Senders' own schemes: a request may be proved with a token, and a provider's
-- handshake is accepted without being an event.

-- +migrate Up
-- NOT VALID: what is there obeys the narrower rule before, so nothing need be read.
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_auth_method_check,
    ADD CONSTRAINT deliveries_auth_method_check
        CHECK (auth_method IN ('none', 'api_key', 'bearer', 'url', 'signature', 'token', 'basic')) NOT VALID;

-- Takes away the signals that this very transaction made, so that ingestion needs
-- no right to delete any other.
-- +migrate StatementBegin
CREATE FUNCTION forget_handshakes(p_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    gone uuid[];
BEGIN
    WITH forgotten AS (
        DELETE FROM signals WHERE id = ANY (p_ids) AND commit_xid = pg_current_xact_id() RETURNING id
    ) SELECT array_agg(id) INTO gone FROM forgotten;
    UPDATE deliveries SET signal_id = NULL WHERE id = ANY (gone) AND signal_id = id;
END
$$;
-- +migrate StatementEnd
REVOKE ALL ON FUNCTION forget_handshakes FROM PUBLIC;
SELECT allow('keyhook_ingest', 'EXECUTE', 'FUNCTION forget_handshakes(uuid[])');

-- +migrate Down
DROP FUNCTION forget_handshakes;
UPDATE deliveries SET auth_method = 'api_key' WHERE auth_method = 'token';
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_auth_method_check,
    ADD CONSTRAINT deliveries_auth_method_check
        CHECK (auth_method IN ('none', 'api_key', 'bearer', 'url', 'signature', 'basic')) NOT VALID;
