-- Programs read signals with a token and a cursor. A cursor is a place in one
-- order: epoch, transaction, id. Transactions commit in another order than they
-- begin in, so a reader stops before the oldest one that still runs: nothing can
-- then appear in front of a place that was handed out. A restore may begin to count
-- transactions anew; it raises the epoch. How that is known: the cluster is another
-- one, or has gone back to an earlier moment (a new timeline), or rows are ahead of it.
--
-- Signals go from the front of that order alone, and the place up to which they
-- went is kept: a cursor in front of it has missed something, and is told so.

-- +migrate Up
ALTER TABLE instance ADD COLUMN timeline text; -- of the cluster, as it was when the epoch was last looked at

ALTER TABLE workspaces
    ADD COLUMN keep_signals_days integer NOT NULL DEFAULT 30, -- once every reader has read them
    ADD COLUMN keep_unread_days  integer NOT NULL DEFAULT 90, -- whether read or not
    ADD CONSTRAINT workspaces_retention CHECK (keep_signals_days BETWEEN 1 AND 3650 AND keep_unread_days BETWEEN keep_signals_days AND 3650);

-- What a program presents is a hash here, as an API key is.
CREATE TABLE tokens (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name         text        NOT NULL,
    scopes       text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    hint         text        NOT NULL,
    is_active    boolean     NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   uuid        REFERENCES users ON DELETE SET NULL,
    expires_at   timestamptz,
    last_used_at timestamptz, -- moved at most once a second

    CONSTRAINT tokens_name_unique UNIQUE (workspace_id, name),
    CONSTRAINT tokens_hash_unique UNIQUE (hash)
);
CREATE INDEX tokens_created_by ON tokens (created_by);

-- A form makes one token, as form_nonces has it for keys.
CREATE TABLE token_form_nonces (
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    nonce        text        NOT NULL,
    token_id     uuid        NOT NULL REFERENCES tokens ON DELETE CASCADE,
    shown_to     text        NOT NULL, -- the name at the time
    shown_to_id  uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    saved_at     timestamptz, -- when they said that it is in a safe place

    PRIMARY KEY (workspace_id, nonce)
);
CREATE INDEX token_form_nonces_token ON token_form_nonces (token_id);

-- How far each token has read: the last cursor that it came back with, or, on a
-- stream, the last signal that was taken off our hands.
CREATE TABLE signal_readers (
    token_id     uuid        PRIMARY KEY REFERENCES tokens ON DELETE CASCADE,
    workspace_id uuid        NOT NULL,
    epoch        integer     NOT NULL,
    commit_xid   xid8        NOT NULL,
    signal_id    uuid        NOT NULL,
    read_at      timestamptz NOT NULL
);
CREATE INDEX signal_readers_workspace ON signal_readers (workspace_id);

-- The last signal that retention took of each workspace, and up to which moment
-- the bodies of its repetitions are gone.
CREATE TABLE signal_floors (
    workspace_id  uuid        PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    epoch         integer     NOT NULL DEFAULT 0,
    commit_xid    xid8        NOT NULL DEFAULT '0',
    signal_id     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    bodies_before timestamptz NOT NULL DEFAULT 'epoch'
);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'tokens, token_form_nonces, signal_readers');
SELECT allow('keyhook_console', 'SELECT', 'signal_floors');

-- +migrate Down
DROP TABLE signal_floors, signal_readers, token_form_nonces, tokens;
ALTER TABLE workspaces DROP COLUMN keep_unread_days, DROP COLUMN keep_signals_days;
ALTER TABLE instance DROP COLUMN timeline;
