-- Deleting a workspace in two steps: it is out of use at once, and its rows go
-- later, a portion to a transaction, so that neither ingestion nor readers, who
-- wait for the oldest open transaction, feel how large it was. To the previous
-- release it is a workspace whose keys are all deactivated.

-- +migrate Up
ALTER TABLE workspaces
    ADD COLUMN deleting_at      timestamptz,                       -- when that was confirmed; NULL: it is in use
    ADD COLUMN deleting_by      text   NOT NULL DEFAULT '',        -- the name at the time
    ADD COLUMN deleting_actor   text   NOT NULL DEFAULT '',        -- JSON, for the entry that ends it
    ADD COLUMN deleting_left    bigint,                            -- deliveries that are still there; NULL: not counted yet
    ADD COLUMN deleting_reached uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
CREATE INDEX workspaces_deleting ON workspaces (deleting_at) WHERE deleting_at IS NOT NULL;

-- The keys and tokens of a workspace that is being deleted work no more.
-- +migrate StatementBegin
CREATE FUNCTION stop_workspace() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM webhook_keys WHERE workspace_id = NEW.id ORDER BY id FOR NO KEY UPDATE; -- as others lock many
    UPDATE webhook_keys SET is_active = false WHERE workspace_id = NEW.id AND is_active;
    UPDATE tokens SET is_active = false WHERE workspace_id = NEW.id AND is_active;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER workspaces_stop AFTER UPDATE OF deleting_at ON workspaces
    FOR EACH ROW WHEN (OLD.deleting_at IS NULL AND NEW.deleting_at IS NOT NULL) EXECUTE FUNCTION stop_workspace();

-- And none is made or started again: the lock waits for a deletion that is being
-- confirmed, which holds the row alone.
-- +migrate StatementBegin
CREATE FUNCTION refuse_in_deleted_workspace() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    deleting timestamptz;
BEGIN
    SELECT w.deleting_at INTO deleting FROM workspaces AS w WHERE w.id = NEW.workspace_id FOR KEY SHARE;
    IF deleting IS NOT NULL THEN
        RAISE EXCEPTION 'the workspace is being deleted' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'workspace_in_use';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER webhook_keys_workspace_in_use BEFORE INSERT ON webhook_keys
    FOR EACH ROW WHEN (NEW.is_active) EXECUTE FUNCTION refuse_in_deleted_workspace();
CREATE TRIGGER webhook_keys_restart_in_use BEFORE UPDATE OF is_active ON webhook_keys
    FOR EACH ROW WHEN (NEW.is_active AND NOT OLD.is_active) EXECUTE FUNCTION refuse_in_deleted_workspace();
CREATE TRIGGER tokens_workspace_in_use BEFORE INSERT ON tokens
    FOR EACH ROW WHEN (NEW.is_active) EXECUTE FUNCTION refuse_in_deleted_workspace();
CREATE TRIGGER tokens_restart_in_use BEFORE UPDATE OF is_active ON tokens
    FOR EACH ROW WHEN (NEW.is_active AND NOT OLD.is_active) EXECUTE FUNCTION refuse_in_deleted_workspace();

-- Takes up to p_most rows of a workspace, of the first table that has some, in the
-- order in which nothing is left that refers to what is gone. erased is how many;
-- 0: nothing was found behind p_after but what goes with the workspace's own row.
-- reached is the last delivery that is gone. Rows that somebody holds are passed over.
-- +migrate StatementBegin
CREATE FUNCTION erase_workspace_rows(p_workspace uuid, p_after uuid, p_most integer, OUT erased bigint, OUT reached uuid, OUT log boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    ids uuid[];
BEGIN
    log := true;
    reached := p_after;
    SELECT array_agg(d.id ORDER BY d.id) INTO ids
        FROM (SELECT id FROM deliveries WHERE workspace_id = p_workspace AND id > p_after ORDER BY id LIMIT p_most FOR UPDATE SKIP LOCKED) AS d;
    IF ids IS NOT NULL THEN
        DELETE FROM first_bodies AS f USING deliveries AS d
            WHERE d.id = ANY (ids) AND f.delivery_id = d.id
                AND f.body_key = ('x' || encode(substr(sha256(uuid_send(d.webhook_key_id) || d.body_sha256), 1, 8), 'hex'))::bit(64)::bigint;
        DELETE FROM refused_requests WHERE delivery_id = ANY (ids);
        DELETE FROM signals WHERE id = ANY (ids);
        DELETE FROM deliveries WHERE id = ANY (ids);
        erased := cardinality(ids);
        reached := ids[cardinality(ids)];
        RETURN;
    END IF;
    log := false;
    DELETE FROM signals WHERE id IN (SELECT id FROM signals WHERE workspace_id = p_workspace LIMIT p_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS erased = ROW_COUNT;
    IF erased > 0 THEN RETURN; END IF;
    DELETE FROM delivery_counts AS c USING (
        SELECT webhook_key_id, hour, credential_generation, outcome, reason FROM delivery_counts WHERE workspace_id = p_workspace LIMIT p_most FOR UPDATE SKIP LOCKED) AS g
        WHERE (c.webhook_key_id, c.hour, c.credential_generation, c.outcome, c.reason) = (g.webhook_key_id, g.hour, g.credential_generation, g.outcome, g.reason);
    GET DIAGNOSTICS erased = ROW_COUNT;
    IF erased > 0 THEN RETURN; END IF;
    DELETE FROM delivery_days AS c USING (
        SELECT webhook_key_id, day, outcome, reason FROM delivery_days WHERE workspace_id = p_workspace LIMIT p_most FOR UPDATE SKIP LOCKED) AS g
        WHERE (c.webhook_key_id, c.day, c.outcome, c.reason) = (g.webhook_key_id, g.day, g.outcome, g.reason);
    GET DIAGNOSTICS erased = ROW_COUNT;
    IF erased > 0 THEN RETURN; END IF;
    DELETE FROM key_addresses AS a USING (
        SELECT k.webhook_key_id, k.address FROM key_addresses AS k JOIN webhook_keys AS w ON w.id = k.webhook_key_id
        WHERE w.workspace_id = p_workspace LIMIT p_most FOR UPDATE OF k SKIP LOCKED) AS g
        WHERE (a.webhook_key_id, a.address) = (g.webhook_key_id, g.address);
    GET DIAGNOSTICS erased = ROW_COUNT;
    IF erased > 0 THEN RETURN; END IF;
    DELETE FROM webhook_keys WHERE id IN (SELECT id FROM webhook_keys WHERE workspace_id = p_workspace LIMIT greatest(1, p_most / 50));
    GET DIAGNOSTICS erased = ROW_COUNT;
END
$$;
-- +migrate StatementEnd

REVOKE EXECUTE ON FUNCTION erase_workspace_rows FROM PUBLIC; -- it asks nobody whether the workspace is being deleted
SELECT allow('keyhook_console', 'EXECUTE', 'FUNCTION erase_workspace_rows(uuid, uuid, integer)');

-- +migrate Down
DROP FUNCTION erase_workspace_rows;
DROP TRIGGER webhook_keys_workspace_in_use ON webhook_keys;
DROP TRIGGER webhook_keys_restart_in_use ON webhook_keys;
DROP TRIGGER tokens_workspace_in_use ON tokens;
DROP TRIGGER tokens_restart_in_use ON tokens;
DROP FUNCTION refuse_in_deleted_workspace;
DROP TRIGGER workspaces_stop ON workspaces;
DROP FUNCTION stop_workspace;
DROP INDEX workspaces_deleting;
ALTER TABLE workspaces
    DROP COLUMN deleting_at, DROP COLUMN deleting_by, DROP COLUMN deleting_actor, DROP COLUMN deleting_left, DROP COLUMN deleting_reached;
