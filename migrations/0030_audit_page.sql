-- The audit page: its filters, each of which is to find the newest entries without
-- reading the rest, and the verifications that were asked for on it. A verification
-- is a row before it runs, so that it outlives the page, and the process; its result
-- is in the trail as well, where it stays when its workspace goes.

-- +migrate Up
CREATE INDEX audit_log_kind ON audit_log (chain, actor_kind, seq);
CREATE INDEX audit_log_actor ON audit_log (chain, actor_kind, actor_id, seq);
CREATE INDEX audit_log_action ON audit_log (chain, action, seq);
CREATE INDEX audit_log_address ON audit_log (chain, address, seq);
CREATE INDEX audit_log_request ON audit_log (chain, request_id, seq) WHERE request_id <> '';
CREATE INDEX audit_log_at ON audit_log (chain, at COLLATE "C", seq);

CREATE TABLE audit_verifications (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    outside      boolean     NOT NULL DEFAULT false, -- somebody says that they did it elsewhere
    asked_by     text        NOT NULL, -- the name at the time
    asked_at     timestamptz NOT NULL DEFAULT now(),
    actor        jsonb       NOT NULL, -- in whose name the result is recorded
    attempts     integer     NOT NULL DEFAULT 0, -- whoever runs it holds this number
    seen_at      timestamptz, -- when whoever runs it was last heard of; NULL: nobody does
    checked      bigint      NOT NULL DEFAULT 0,
    total        bigint      NOT NULL DEFAULT 0,
    ended_at     timestamptz,
    outcome      text        NOT NULL DEFAULT '' CHECK (outcome IN ('', 'ok', 'broken', 'impossible', 'given_up')),
    kind         text        NOT NULL DEFAULT '', -- of what is broken
    broken_at    bigint      NOT NULL DEFAULT 0,
    until        bigint      NOT NULL DEFAULT 0,
    head_seq     bigint      NOT NULL DEFAULT 0, -- the last entry that was verified
    head_hash    bytea,
    checkpoints  integer     NOT NULL DEFAULT 0, -- that it was held against
    key_ids      text        NOT NULL DEFAULT '', -- that signed them
    trouble      text        NOT NULL DEFAULT '', -- why it is impossible

    CHECK ((outcome = '') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX audit_verifications_one ON audit_verifications (workspace_id) WHERE ended_at IS NULL;
CREATE INDEX audit_verifications_waiting ON audit_verifications (asked_at) WHERE ended_at IS NULL;
CREATE INDEX audit_verifications_latest ON audit_verifications (workspace_id, outside, asked_at DESC);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE', 'audit_verifications');

-- +migrate Down
DROP TABLE audit_verifications;
DROP INDEX audit_log_kind, audit_log_actor, audit_log_action, audit_log_address, audit_log_request, audit_log_at;
