-- Rotation: for a while a key has two API keys, two secrets or both. Its counts
-- must tell requests with an old one from all others, also where only one kind was
-- rotated, so each rotation gives what it makes, and what it leaves, a number of
-- their own to be counted under.

-- +migrate Up
ALTER TABLE webhook_key_credentials
    ADD COLUMN counted_as    integer,     -- the credential_generation of requests that it proves; NULL: its generation
    ADD COLUMN superseded_at timestamptz, -- when a newer one came
    ADD COLUMN used_before   bigint;      -- requests of that hour under the same number, before
ALTER TABLE form_nonces
    ADD COLUMN rotated text NOT NULL DEFAULT '' CHECK (rotated IN ('', 'api_key', 'secret', 'both')); -- what the form rotated; '': it made the key

-- +migrate Down
ALTER TABLE form_nonces DROP COLUMN rotated;
ALTER TABLE webhook_key_credentials DROP COLUMN used_before, DROP COLUMN superseded_at, DROP COLUMN counted_as;
