-- What people do to what arrived: signals of a range are marked suspect, and one
-- subject's payloads are erased. A mark is a rule over key and time, one row
-- however many signals it covers. Readers that are past a signal already learn of
-- both from signal_changes, which is numbered under a lock of the workspace, so
-- that the numbers become visible in their own order and a reader misses none.

-- +migrate Up
CREATE TABLE suspect_ranges (
    id                    uuid        PRIMARY KEY,
    workspace_id          uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    webhook_key_id        uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    address               text        NOT NULL DEFAULT '', -- '': from any
    credential_generation integer,                         -- NULL: with any
    from_at               timestamptz NOT NULL,
    until_at              timestamptz NOT NULL,             -- not in it
    reason                text        NOT NULL,
    marked_at             timestamptz NOT NULL DEFAULT now(),
    marked_by             text        NOT NULL,             -- the name at the time
    ended_at              timestamptz,                      -- when the mark was taken back
    ended_by              text        NOT NULL DEFAULT '',

    CONSTRAINT suspect_ranges_range CHECK (from_at < until_at)
);
CREATE INDEX suspect_ranges_live ON suspect_ranges (workspace_id, webhook_key_id) WHERE ended_at IS NULL;
CREATE INDEX suspect_ranges_key ON suspect_ranges (webhook_key_id);

CREATE TABLE erasures (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    source       text        NOT NULL DEFAULT '', -- '': any
    source_ref   text        NOT NULL,
    reason       text        NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    asked_by     text        NOT NULL,            -- the name at the time
    asked_xid    xid8        NOT NULL DEFAULT pg_current_xact_id(), -- it is over once all that ran then has ended
    actor        jsonb       NOT NULL,            -- who asked, for the audit trail
    reached      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- the last delivery of this pass
    deliveries   bigint      NOT NULL DEFAULT 0,  -- of these so far
    signals      bigint      NOT NULL DEFAULT 0,
    refused      bigint      NOT NULL DEFAULT 0,  -- sealed requests
    finished_at  timestamptz
);
CREATE INDEX erasures_workspace ON erasures (workspace_id, asked_at);
CREATE INDEX erasures_open ON erasures (asked_at) WHERE finished_at IS NULL;

ALTER TABLE deliveries ADD COLUMN erasure_id uuid; -- what took its body and headers; NULL: nothing did

CREATE TABLE signal_changes (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    seq          bigint      NOT NULL,
    change       text        NOT NULL CHECK (change IN ('marked', 'unmarked', 'erased')),
    range_id     uuid        REFERENCES suspect_ranges ON DELETE CASCADE,
    erasure_id   uuid        REFERENCES erasures ON DELETE CASCADE,
    changed_at   timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT signal_changes_seq_unique UNIQUE (workspace_id, seq),
    CONSTRAINT signal_changes_about CHECK (num_nonnulls(range_id, erasure_id) = 1)
);
CREATE INDEX signal_changes_range ON signal_changes (range_id);
CREATE INDEX signal_changes_erasure ON signal_changes (erasure_id);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE', 'suspect_ranges');
SELECT allow('keyhook_console', 'SELECT, INSERT', 'erasures, signal_changes');

-- +migrate Down
DROP TABLE signal_changes;
ALTER TABLE deliveries DROP COLUMN erasure_id;
DROP TABLE erasures, suspect_ranges;
