-- A key's credentials can be made by whoever they are for: a link is sent, and they
-- are made when it is used. Here is the hash of what the link holds, so that
-- neither this table nor a copy of it opens one. Which credentials came of it is
-- told by their generations, which never change.

-- +migrate Up
CREATE TABLE key_handovers (
    id                 uuid        PRIMARY KEY, -- stands in the link's address; no secret
    workspace_id       uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    webhook_key_id     uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    token_hash         bytea       NOT NULL CHECK (octet_length(token_hash) = 32), -- SHA-256
    form_nonce         text,                     -- of the form that made it; NULL: a command did
    recipient          text        NOT NULL,     -- whom it is for, as its maker wrote it
    note               text        NOT NULL DEFAULT '', -- to the recipient
    overlap_seconds    bigint      NOT NULL DEFAULT 0 CHECK (overlap_seconds >= 0), -- that the old credentials work on once it is used
    made_by_name       text        NOT NULL,     -- the name at the time
    created_at         timestamptz NOT NULL DEFAULT now(),
    expires_at         timestamptz NOT NULL,     -- unused it ends then
    withdrawn_at       timestamptz,
    used_at            timestamptz,
    used_from          text        NOT NULL DEFAULT '', -- address
    saved_at           timestamptz,              -- when the recipient said that the credentials are in a safe place
    api_key_generation integer,                  -- that it made
    secret_generation  integer,

    CONSTRAINT key_handovers_token_unique UNIQUE (token_hash),
    CONSTRAINT key_handovers_form_unique UNIQUE (workspace_id, form_nonce),
    CONSTRAINT key_handovers_used CHECK ((used_at IS NULL) = (api_key_generation IS NULL AND secret_generation IS NULL))
);
-- One link at a time leads to new credentials of a key.
CREATE UNIQUE INDEX key_handovers_open ON key_handovers (webhook_key_id) WHERE used_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX key_handovers_key ON key_handovers (webhook_key_id, created_at);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'key_handovers');

-- +migrate Down
DROP TABLE key_handovers;
