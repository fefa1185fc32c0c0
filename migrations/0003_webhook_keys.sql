-- A key outlives the person who made it and is deactivated, never deleted alone,
-- so that whatever names it can still be read. Its credentials are rows of their
-- own, one for each API key or secret and generation, so that two generations can
-- be valid at once while a sender changes over.

-- +migrate Up
CREATE TABLE webhook_keys (
    id                uuid        PRIMARY KEY,
    workspace_id      uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name              text        NOT NULL,
    scheme            text        NOT NULL,
    source            text        NOT NULL,            -- what its events are counted under; see signals
    note              text        NOT NULL DEFAULT '',
    labels            text[]      NOT NULL DEFAULT '{}',
    is_active         boolean     NOT NULL DEFAULT true,
    last_used_at      timestamptz,                     -- accepted and duplicate requests; see delivery_counts
    last_refused_at   timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    created_by        uuid        REFERENCES users ON DELETE SET NULL,
    owner_id          uuid        REFERENCES users ON DELETE SET NULL, -- who answers for it
    expires_at        timestamptz,
    require_signature boolean     NOT NULL DEFAULT false,
    allow_in_url      boolean     NOT NULL DEFAULT false,
    allowed_cidrs     text[]      NOT NULL DEFAULT '{}', -- empty: any address
    other_sources     text[]      NOT NULL DEFAULT '{}', -- sources that a payload may name beside its own
    rate_limit        integer     CHECK (rate_limit > 0), -- NULL: none
    rate_seconds      integer     NOT NULL DEFAULT 60 CHECK (rate_seconds IN (1, 60, 3600)),
    daily_quota       integer     CHECK (daily_quota > 0),
    ref_pointer       text        NOT NULL DEFAULT '', -- RFC 6901, into the body
    identical_bodies  text        NOT NULL DEFAULT 'flag' CHECK (identical_bodies IN ('flag', 'duplicate')),

    CONSTRAINT webhook_keys_name_unique UNIQUE (workspace_id, name)
);
-- 'webhook' is the origin's source and may be shared by imported keys.
CREATE UNIQUE INDEX webhook_keys_source_unique ON webhook_keys (workspace_id, source) WHERE source <> 'webhook';
CREATE INDEX webhook_keys_created_by ON webhook_keys (created_by);
CREATE INDEX webhook_keys_owner ON webhook_keys (owner_id);

CREATE TABLE webhook_key_credentials (
    id             uuid        PRIMARY KEY,
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    kind           text        NOT NULL CHECK (kind IN ('api_key', 'secret')),
    generation     integer     NOT NULL CHECK (generation > 0),
    hash           bytea       CHECK (octet_length(hash) = 32), -- SHA-256 of an API key's text
    hint           text        NOT NULL DEFAULT '',
    sealed         bytea,                                       -- a secret, under the master key; NULL once erased
    fingerprint    bytea       CHECK (octet_length(fingerprint) = 32), -- keyed, of a secret
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,                                 -- the end of an overlap
    ended_at       timestamptz,                                 -- stopped for good

    CONSTRAINT webhook_key_credentials_generation_unique UNIQUE (webhook_key_id, kind, generation),
    CONSTRAINT webhook_key_credentials_hash_unique UNIQUE (hash),
    CONSTRAINT webhook_key_credentials_shape CHECK (
        (kind = 'api_key' AND hash IS NOT NULL AND sealed IS NULL AND fingerprint IS NULL) OR
        (kind = 'secret' AND hash IS NULL AND fingerprint IS NOT NULL AND (sealed IS NOT NULL OR ended_at IS NOT NULL)))
);
CREATE INDEX webhook_key_credentials_fingerprint ON webhook_key_credentials (fingerprint) WHERE fingerprint IS NOT NULL;

-- A form may make one key: a reload or a double click finds its nonce here.
CREATE TABLE form_nonces (
    workspace_id   uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    nonce          text        NOT NULL,
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    shown_to       text        NOT NULL, -- the name at the time
    created_at     timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (workspace_id, nonce)
);
CREATE INDEX form_nonces_key ON form_nonces (webhook_key_id);

-- What a key with a limit has used of it: one row for its current window and one
-- for its current day. Keys without a limit have none.
CREATE TABLE key_allowances (
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    span           text        NOT NULL CHECK (span IN ('rate', 'day')),
    started_at     timestamptz NOT NULL,
    used           integer     NOT NULL,

    PRIMARY KEY (webhook_key_id, span)
);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE',
    'webhook_keys, webhook_key_credentials, form_nonces, key_allowances');
SELECT allow('keyhook_ingest', 'SELECT, UPDATE', 'webhook_keys, webhook_key_credentials'); -- UPDATE: row locks, last_used_at
SELECT allow('keyhook_ingest', 'SELECT, INSERT, UPDATE', 'key_allowances');

-- +migrate Down
DROP TABLE key_allowances, form_nonces, webhook_key_credentials, webhook_keys;
