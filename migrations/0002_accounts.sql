-- People and the workspaces they belong to. The workspace comes from the path of
-- a request, never from the session, so that two tabs can't mix two workspaces.
-- Globally unique columns tell strangers what exists: only e-mail addresses,
-- slugs and hashes may be.

-- +migrate Up
CREATE TABLE instance (
    only_row          boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    created_at        timestamptz NOT NULL DEFAULT now(),
    canary            bytea,                        -- sealed under the master key; NULL until one is made
    epoch             integer     NOT NULL DEFAULT 1, -- raised by every restore; part of a signal's cursor
    system_identifier text
);
INSERT INTO instance DEFAULT VALUES;

CREATE TABLE users (
    id                  uuid        PRIMARY KEY,
    email               text        NOT NULL,
    name                text        NOT NULL,
    password_hash       text,                       -- PHC string; NULL until the person chose one
    password_changed_at timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    disabled_at         timestamptz,
    last_seen_at        timestamptz
);
CREATE UNIQUE INDEX users_email_unique ON users (lower(email));

CREATE TABLE workspaces (
    id                    uuid        PRIMARY KEY,
    name                  text        NOT NULL,
    slug                  text        NOT NULL,
    auditors_see_payloads boolean     NOT NULL DEFAULT false,
    created_at            timestamptz NOT NULL DEFAULT now(),
    created_by            uuid        REFERENCES users ON DELETE SET NULL,

    CONSTRAINT workspaces_slug_unique UNIQUE (slug)
);
CREATE INDEX workspaces_created_by ON workspaces (created_by);

CREATE TABLE memberships (
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    role         text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT memberships_role_known CHECK (role IN ('owner', 'admin', 'member', 'auditor'))
);
CREATE INDEX memberships_user ON memberships (user_id);

-- The cookie holds a random token, the row its SHA-256.
CREATE TABLE sessions (
    token_hash       bytea       PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id          uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at       timestamptz NOT NULL DEFAULT now(),
    last_seen_at     timestamptz NOT NULL DEFAULT now(), -- moved at most once a minute
    authenticated_at timestamptz NOT NULL DEFAULT now(), -- the last fresh proof of who it is
    methods          text        NOT NULL DEFAULT 'password',
    address          text        NOT NULL DEFAULT '',
    user_agent       text        NOT NULL DEFAULT '',
    expires_at       timestamptz NOT NULL               -- the absolute limit
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE one_time_links (
    token_hash bytea       PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    purpose    text        NOT NULL CHECK (purpose IN ('setup', 'password')),
    user_id    uuid        REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX one_time_links_user ON one_time_links (user_id);

-- Refused sign-ins, shared by all instances: one row an account and address pair,
-- and one an address. An account alone is never a row, so that nobody can lock
-- its owner out from elsewhere.
CREATE TABLE sign_in_failures (
    subject       text        PRIMARY KEY, -- a keyed hash, never an e-mail address
    failures      integer     NOT NULL,
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);

SELECT allow('keyhook_console', 'SELECT, UPDATE', 'instance');
SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE',
    'users, workspaces, memberships, sessions, one_time_links, sign_in_failures');
SELECT allow('keyhook_ingest', 'SELECT', 'instance');
SELECT allow('keyhook_ingest', 'SELECT, UPDATE', 'workspaces'); -- UPDATE: row locks need it

-- +migrate Down
DROP TABLE sign_in_failures, one_time_links, sessions, memberships, workspaces, users, instance;
