-- Access reviews: signed files that tell how a workspace's keys and people stood at
-- a date. The file is kept as it was signed, in parts: written anew later it would
-- need a second signature, and counts or the program may have changed since. Each
-- key's line is a row, so that thousands can be paged through and answered.

-- +migrate Up
CREATE TABLE access_reviews (
    id           uuid        PRIMARY KEY,
    workspace_id uuid        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    covers       text        NOT NULL, -- a date or a quarter
    until_at     timestamptz NOT NULL, -- how things stood then
    whole        boolean     NOT NULL, -- what it covers was over
    made_at      timestamptz NOT NULL,
    made_by      text        NOT NULL, -- the name at the time
    head         text        NOT NULL, -- the file's lines before those of keys
    seal         text        NOT NULL  -- its last line, with the signature
);
CREATE INDEX access_reviews_workspace ON access_reviews (workspace_id, made_at);

-- No reference to keys or people: a line says how it was, whatever became of them.
CREATE TABLE access_review_lines (
    review_id      uuid    NOT NULL REFERENCES access_reviews ON DELETE CASCADE,
    place          integer NOT NULL,
    webhook_key_id uuid    NOT NULL,
    active         boolean NOT NULL, -- so it asks for an answer
    line           text    NOT NULL, -- as it was signed
    answer         text    NOT NULL DEFAULT '' CHECK (answer IN ('', 'keep', 'deactivate')),
    note           text    NOT NULL DEFAULT '',
    answered_at    timestamptz,
    answered_by    text    NOT NULL DEFAULT '', -- the name at the time

    PRIMARY KEY (review_id, place),
    CONSTRAINT access_review_lines_key UNIQUE (review_id, webhook_key_id)
);

SELECT allow('keyhook_console', 'SELECT, INSERT', 'access_reviews');
SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE', 'access_review_lines');

-- +migrate Down
DROP TABLE access_review_lines, access_reviews;
