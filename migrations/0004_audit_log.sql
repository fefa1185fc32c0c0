-- Who did what. No foreign keys: entries name people, keys and workspaces by id
-- and by their name at the time, and outlive all of them. A SET NULL into an
-- append-only table would make deleting a user fail. What the hash covers is
-- text, bytea or bigint, types that give back exactly what was put in.

-- +migrate Up
CREATE TABLE audit_heads (
    chain text   PRIMARY KEY, -- a workspace's id, or 'instance'
    seq   bigint NOT NULL,
    hash  bytea  NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE TABLE audit_log (
    chain        text   NOT NULL,
    seq          bigint NOT NULL,
    at           text   NOT NULL, -- RFC 3339, UTC, microseconds
    actor_kind   text   NOT NULL CHECK (actor_kind IN ('user', 'system', 'cli', 'token', 'link')),
    actor_id     text   NOT NULL,
    actor_label  text   NOT NULL,
    action       text   NOT NULL,
    target_kind  text   NOT NULL,
    target_id    text   NOT NULL,
    target_label text   NOT NULL,
    address      text   NOT NULL,
    request_id   text   NOT NULL,
    before       text   NOT NULL, -- JSON object, '' for none
    after        text   NOT NULL,
    prev_hash    bytea  NOT NULL CHECK (octet_length(prev_hash) = 32),
    hash         bytea  NOT NULL CHECK (octet_length(hash) = 32),

    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_log_target ON audit_log (chain, target_id, seq);

-- Privileges keep the roles from changing an entry; this keeps the owner from it.
-- +migrate StatementBegin
CREATE FUNCTION refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

SELECT allow('keyhook_console', 'SELECT, INSERT', 'audit_log');
SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE', 'audit_heads');

-- +migrate Down
DROP TABLE audit_log, audit_heads;
DROP FUNCTION refuse_audit_change;
