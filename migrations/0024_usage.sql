-- Charts of up to 13 months. Hours are too many to add up then: 60 keys make a
-- million rows a year. Each count of an hour goes into that of its day as well, by
-- triggers, in the statement that writes it: whoever counts, an older release too,
-- a day is the sum of its hours, whatever is killed when. A day outlives its hours.

-- +migrate Up
CREATE TABLE delivery_days (
    webhook_key_id uuid        NOT NULL REFERENCES webhook_keys ON DELETE CASCADE,
    day            timestamptz NOT NULL, -- its midnight, UTC
    outcome        text        NOT NULL,
    reason         text        NOT NULL,
    workspace_id   uuid        NOT NULL,
    requests       bigint      NOT NULL,
    not_kept       bigint      NOT NULL, -- of these, how many have no row in deliveries
    took_1 bigint NOT NULL, took_2 bigint NOT NULL, took_4 bigint NOT NULL, took_8 bigint NOT NULL,
    took_16 bigint NOT NULL, took_32 bigint NOT NULL, took_64 bigint NOT NULL, took_128 bigint NOT NULL,
    took_256 bigint NOT NULL, took_512 bigint NOT NULL, took_1024 bigint NOT NULL, took_more bigint NOT NULL,

    PRIMARY KEY (webhook_key_id, day, outcome, reason)
);
CREATE INDEX delivery_days_workspace ON delivery_days (workspace_id, day);

-- +migrate StatementBegin
CREATE FUNCTION count_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO delivery_days AS d (webhook_key_id, day, outcome, reason, workspace_id, requests, not_kept,
        took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
    SELECT webhook_key_id, date_trunc('day', hour, 'UTC'), outcome, reason, workspace_id, sum(requests), sum(not_kept),
        sum(took_1), sum(took_2), sum(took_4), sum(took_8), sum(took_16), sum(took_32),
        sum(took_64), sum(took_128), sum(took_256), sum(took_512), sum(took_1024), sum(took_more)
    FROM added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4
    ON CONFLICT (webhook_key_id, day, outcome, reason) DO UPDATE SET
        requests = d.requests + excluded.requests, not_kept = d.not_kept + excluded.not_kept,
        took_1 = d.took_1 + excluded.took_1, took_2 = d.took_2 + excluded.took_2, took_4 = d.took_4 + excluded.took_4,
        took_8 = d.took_8 + excluded.took_8, took_16 = d.took_16 + excluded.took_16, took_32 = d.took_32 + excluded.took_32,
        took_64 = d.took_64 + excluded.took_64, took_128 = d.took_128 + excluded.took_128, took_256 = d.took_256 + excluded.took_256,
        took_512 = d.took_512 + excluded.took_512, took_1024 = d.took_1024 + excluded.took_1024, took_more = d.took_more + excluded.took_more;
    IF TG_OP = 'UPDATE' THEN
        UPDATE delivery_days AS d SET requests = d.requests - g.requests, not_kept = d.not_kept - g.not_kept,
            took_1 = d.took_1 - g.took_1, took_2 = d.took_2 - g.took_2, took_4 = d.took_4 - g.took_4, took_8 = d.took_8 - g.took_8,
            took_16 = d.took_16 - g.took_16, took_32 = d.took_32 - g.took_32, took_64 = d.took_64 - g.took_64, took_128 = d.took_128 - g.took_128,
            took_256 = d.took_256 - g.took_256, took_512 = d.took_512 - g.took_512, took_1024 = d.took_1024 - g.took_1024, took_more = d.took_more - g.took_more
        FROM (
            SELECT webhook_key_id, date_trunc('day', hour, 'UTC') AS day, outcome, reason, sum(requests) AS requests, sum(not_kept) AS not_kept,
                sum(took_1) AS took_1, sum(took_2) AS took_2, sum(took_4) AS took_4, sum(took_8) AS took_8,
                sum(took_16) AS took_16, sum(took_32) AS took_32, sum(took_64) AS took_64, sum(took_128) AS took_128,
                sum(took_256) AS took_256, sum(took_512) AS took_512, sum(took_1024) AS took_1024, sum(took_more) AS took_more
            FROM gone GROUP BY 1, 2, 3, 4) AS g
        WHERE (d.webhook_key_id, d.day, d.outcome, d.reason) = (g.webhook_key_id, g.day, g.outcome, g.reason);
    END IF;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER delivery_counts_added AFTER INSERT ON delivery_counts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_days();
CREATE TRIGGER delivery_counts_raised AFTER UPDATE ON delivery_counts
    REFERENCING NEW TABLE AS added OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_days();

-- The triggers hold writers back until this is committed, so nothing is left out.
INSERT INTO delivery_days (webhook_key_id, day, outcome, reason, workspace_id, requests, not_kept,
        took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
    SELECT webhook_key_id, date_trunc('day', hour, 'UTC'), outcome, reason, workspace_id, sum(requests), sum(not_kept),
        sum(took_1), sum(took_2), sum(took_4), sum(took_8), sum(took_16), sum(took_32),
        sum(took_64), sum(took_128), sum(took_256), sum(took_512), sum(took_1024), sum(took_more)
    FROM delivery_counts GROUP BY 1, 2, 3, 4, 5;

-- What charts read: what is rolled up and what is not yet, exact together.
CREATE VIEW usage_by_hour AS
    SELECT webhook_key_id, workspace_id, hour AS at, outcome, reason, requests, not_kept,
        took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more
    FROM delivery_counts
    UNION ALL
    SELECT webhook_key_id, workspace_id, hour, outcome, reason, requests, not_kept,
        took[1], took[2], took[3], took[4], took[5], took[6], took[7], took[8], took[9], took[10], took[11], took[12]
    FROM delivery_tallies WHERE webhook_key_id IS NOT NULL;
CREATE VIEW usage_by_day AS
    SELECT webhook_key_id, workspace_id, day AS at, outcome, reason, requests, not_kept,
        took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more
    FROM delivery_days
    UNION ALL
    SELECT webhook_key_id, workspace_id, date_trunc('day', hour, 'UTC'), outcome, reason, requests, not_kept,
        took[1], took[2], took[3], took[4], took[5], took[6], took[7], took[8], took[9], took[10], took[11], took[12]
    FROM delivery_tallies WHERE webhook_key_id IS NOT NULL;

SELECT allow('keyhook_console', 'SELECT', 'delivery_days, usage_by_hour, usage_by_day');

-- +migrate Down
DROP VIEW usage_by_hour, usage_by_day;
DROP TRIGGER delivery_counts_added ON delivery_counts;
DROP TRIGGER delivery_counts_raised ON delivery_counts;
DROP FUNCTION count_days;
DROP TABLE delivery_days;
