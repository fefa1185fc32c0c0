-- Who was shown a key's credentials may say, once, that they are in a safe place.
-- A name is not enough to tell who that is. There is no reference to users: it
-- gives nobody anything once they are gone. Rows from before have no id, and
-- nothing more is confirmed of them.

-- +migrate Up
ALTER TABLE form_nonces
    ADD COLUMN shown_to_id uuid,
    ADD COLUMN saved_at    timestamptz; -- when they said so

-- +migrate Down
ALTER TABLE form_nonces
    DROP COLUMN saved_at,
    DROP COLUMN shown_to_id;
