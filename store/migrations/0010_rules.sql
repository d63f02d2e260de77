-- What people set aside, when work goes on, and what a facility has in place of a pack's numbers. Nothing is ever
-- deleted: what is over has an end, so that a replay and a report see what held at each moment. All moments are log
-- time.

INSERT INTO counters (name, value) VALUES ('shelves', 0), ('windows', 0), ('rule_overrides', 0);

CREATE TABLE shelves (
    id         BIGINT PRIMARY KEY NOT NULL,
    facility   TEXT   NOT NULL REFERENCES facilities (id),
    device     TEXT,
    metric     TEXT,
    rule       TEXT,
    from_ms    BIGINT NOT NULL,
    until_ms   BIGINT NOT NULL,
    who        TEXT   NOT NULL,
    why        TEXT   NOT NULL,
    ended_by   TEXT
);

CREATE INDEX shelves_by_end ON shelves (until_ms);

-- Once (once_from_ms, once_until_ms), or recurring by local time (days, from_min, minutes).
CREATE TABLE rule_windows (
    id            BIGINT PRIMARY KEY NOT NULL,
    kind          TEXT   NOT NULL,
    facility      TEXT   NOT NULL REFERENCES facilities (id),
    device        TEXT,
    metric        TEXT,
    rule          TEXT,
    once_from_ms  BIGINT,
    once_until_ms BIGINT,
    days          BIGINT,
    from_min      BIGINT,
    minutes       BIGINT,
    since_ms      BIGINT NOT NULL,
    ended_ms      BIGINT,
    who           TEXT   NOT NULL,
    why           TEXT   NOT NULL,
    CHECK ((once_from_ms IS NOT NULL AND once_until_ms IS NOT NULL)
        OR (days IS NOT NULL AND from_min IS NOT NULL AND minutes IS NOT NULL))
);

CREATE TABLE rule_overrides (
    id          BIGINT PRIMARY KEY NOT NULL,
    facility    TEXT   NOT NULL REFERENCES facilities (id),
    rule        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    limit_value DOUBLE PRECISION,
    hold_ms     BIGINT,
    reason      TEXT   NOT NULL,
    who         TEXT   NOT NULL,
    approver    TEXT,
    from_ms     BIGINT NOT NULL,
    until_ms    BIGINT,
    UNIQUE (facility, rule, version)
);
