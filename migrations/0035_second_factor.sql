-- The second step of signing in, and what a person may see and end of their own
-- sessions. A password that was right opens no session while a code is still to
-- come: such a step is a row of its own, which a release that knows no second
-- factor can't take for a session.

-- +migrate Up
CREATE TABLE second_factors (
    user_id      uuid        PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    sealed       bytea       NOT NULL,           -- the shared secret, under the master key
    created_at   timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,                    -- by a first code; until then it asks for nothing
    last_step    bigint      NOT NULL DEFAULT 0  -- of the newest code that was used: none is good twice
);

-- 120 random bits each, so that a plain hash tells nothing.
CREATE TABLE recovery_codes (
    code_hash  bytea       PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    user_id    uuid        NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz
);
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);

CREATE TABLE sign_in_steps (
    token_hash  bytea       PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    password_of timestamptz,                     -- when the password that was right had been chosen
    expires_at  timestamptz NOT NULL
);
CREATE INDEX sign_in_steps_user ON sign_in_steps (user_id);

ALTER TABLE workspaces ADD COLUMN require_second_factor boolean NOT NULL DEFAULT false;

-- A name for a session that opens nothing, so that it can stand on a page.
ALTER TABLE sessions ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX sessions_id ON sessions (id);

SELECT allow('keyhook_console', 'SELECT, INSERT, UPDATE, DELETE', 'second_factors, recovery_codes, sign_in_steps');

-- +migrate Down
ALTER TABLE sessions DROP COLUMN id;
ALTER TABLE workspaces DROP COLUMN require_second_factor;
DROP TABLE sign_in_steps, recovery_codes, second_factors;
