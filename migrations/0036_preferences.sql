-- How somebody wants the console to look, wherever they sign in. The theme is the
-- browser's and stays in its cookie: it counts before anybody has signed in.

-- +migrate Up
ALTER TABLE users
    ADD COLUMN time_zone     text    NOT NULL DEFAULT '', -- an IANA name; '' is UTC
    ADD COLUMN shortcuts_off boolean NOT NULL DEFAULT false;

-- +migrate Down
ALTER TABLE users DROP COLUMN time_zone, DROP COLUMN shortcuts_off;
