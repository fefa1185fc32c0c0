-- What somebody is about to import waits here between the preview and the button,
-- for a quarter of an hour. API keys are hashes already; the whole is sealed,
-- because of signing secrets. One that was used keeps what came of it, so that a
-- second press is told the same and imports nothing.

-- +migrate Up
CREATE TABLE import_drafts (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    sealed       bytea,                                     -- under the master key; NULL once used
    imported     integer     NOT NULL DEFAULT 0,            -- keys that were made
    unchanged    integer     NOT NULL DEFAULT 0,            -- that were here already
    expires_at   timestamptz NOT NULL
);
CREATE INDEX import_drafts_user ON import_drafts (user_id);
CREATE INDEX import_drafts_workspace ON import_drafts (workspace_id);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'import_drafts');

-- +migrate Down
DROP TABLE import_drafts;
