-- One-time links by which people come into a workspace. A link is bound to an
-- e-mail address and a role, and is worth no more than who made it: that is asked
-- again when it is used.

-- +migrate Up
CREATE TABLE invitations (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    email        text        NOT NULL,
    role         text        NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'auditor')),
    token_hash   bytea       NOT NULL CHECK (octet_length(token_hash) = 32), -- of the latest link
    invited_by   uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    withdrawn_at timestamptz,

    CONSTRAINT invitations_token_unique UNIQUE (token_hash)
);
CREATE UNIQUE INDEX invitations_open_unique ON invitations (workspace_id, lower(email)) WHERE used_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX invitations_by ON invitations (invited_by);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'invitations');

-- +migrate Down
DROP TABLE invitations;
