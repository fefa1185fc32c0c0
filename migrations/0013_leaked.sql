-- Credentials that were reported as leaked: they are stopped for good, and their
-- secret is erased. The hash and the fingerprint stay, so that a use is recognised.

-- +migrate Up
ALTER TABLE webhook_key_credentials
    ADD COLUMN leaked_at timestamptz,
    ADD CONSTRAINT webhook_key_credentials_leaked CHECK (leaked_at IS NULL OR ended_at IS NOT NULL AND sealed IS NULL);
CREATE INDEX webhook_key_credentials_leaked ON webhook_key_credentials (webhook_key_id) WHERE leaked_at IS NOT NULL;

-- +migrate Down
ALTER TABLE webhook_key_credentials DROP COLUMN leaked_at;
