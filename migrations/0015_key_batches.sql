-- What somebody chose in the list of keys, to do one thing with all of it: exactly
-- those keys, whatever the filter that found them would find a minute later. Each
-- key's outcome is written with its change, so that a batch that was interrupted
-- can be told from one that is done, and goes on where it stopped.

-- +migrate Up
CREATE TABLE key_batches (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    action       text        NOT NULL CHECK (action IN ('deactivate', 'reactivate', 'owner')),
    owner_id     uuid        REFERENCES users ON DELETE SET NULL,        -- whom the keys go to
    undoes       uuid        REFERENCES key_batches ON DELETE CASCADE,   -- the batch that this one takes back
    made_at      timestamptz NOT NULL DEFAULT now(),
    began_at     timestamptz,                                            -- NULL: nobody has pressed the button

    CONSTRAINT key_batches_undone_once UNIQUE (undoes)
);
CREATE INDEX key_batches_workspace ON key_batches (workspace_id, made_at);
CREATE INDEX key_batches_owner ON key_batches (owner_id);

CREATE TABLE key_batch_keys (
    batch_id       uuid        NOT NULL REFERENCES key_batches ON DELETE CASCADE,
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    used_at        timestamptz,  -- its last use when it was chosen
    version        bigint,       -- the key's, once its outcome is done
    outcome        text CHECK (outcome IN ('done', 'unchanged', 'used', 'changed', 'not_own')), -- NULL: not yet

    PRIMARY KEY (batch_id, webhook_key_id)
);
CREATE INDEX key_batch_keys_key ON key_batch_keys (webhook_key_id);

-- Uses of what works no more are few among the counts.
CREATE INDEX delivery_counts_ghosts ON delivery_counts (workspace_id, hour)
    WHERE reason IN ('key_inactive', 'key_expired', 'credential_ended', 'credential_expired', 'credential_leaked', 'secret_erased');

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'key_batches, key_batch_keys');

-- +migrate Down
DROP INDEX delivery_counts_ghosts;
DROP TABLE key_batch_keys, key_batches;
