-- Where every chain of the audit trail stood, signed. A chain alone does not show
-- that its end is missing or that its owner wrote all of it anew; a checkpoint that
-- is kept elsewhere does. What the signature covers is text, bytea or bigint.

-- +migrate Up
CREATE TABLE audit_checkpoints (
    number     bigint PRIMARY KEY,
    at         text   NOT NULL COLLATE "C", -- RFC 3339, UTC, microseconds: its order is that of time
    key_id     text   NOT NULL,
    public_key bytea  NOT NULL CHECK (octet_length(public_key) = 32),
    heads      text   NOT NULL, -- JSON: chain, seq and hash of each
    signature  bytea  NOT NULL CHECK (octet_length(signature) = 64)
);

-- +migrate StatementBegin
CREATE FUNCTION refuse_checkpoint_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_checkpoints is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_checkpoint_change();

SELECT allow('keyhook_console', 'SELECT, INSERT', 'audit_checkpoints');

-- +migrate Down
DROP TABLE audit_checkpoints;
DROP FUNCTION refuse_checkpoint_change;
