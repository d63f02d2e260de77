-- The record store: what people enter, and what they must be able to prove.
--
-- The queries in `store/src/records/` are the same text for SQLite and PostgreSQL. This schema is too,
-- but for one word: BLOB is BYTEA there. Moments are milliseconds since 1970 in UTC. Numbers are drawn
-- from `counters`, because the two databases have no common word for an identity column.

CREATE TABLE counters (
    name  TEXT   PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);

-- `directory` changes with every change of facilities, points and identities. `cases` is the last
-- case number given. `ping` is written by the readiness check.
INSERT INTO counters (name, value) VALUES ('directory', 0), ('cases', 0), ('ping', 0);

CREATE TABLE regions (
    id      TEXT PRIMARY KEY NOT NULL,
    parent  TEXT REFERENCES regions (id),
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL
);

CREATE TABLE facilities (
    id            TEXT   PRIMARY KEY NOT NULL,
    region        TEXT   NOT NULL REFERENCES regions (id),
    name_zh       TEXT   NOT NULL,
    name_en       TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    size_class    TEXT   NOT NULL,
    beds          BIGINT NOT NULL,
    people_served BIGINT NOT NULL,
    address       TEXT   NOT NULL
);

CREATE TABLE points (
    facility          TEXT   NOT NULL REFERENCES facilities (id),
    device            TEXT   NOT NULL,
    metric            TEXT   NOT NULL,
    unit              TEXT   NOT NULL,
    point_type        TEXT   NOT NULL,
    place_zh          TEXT   NOT NULL,
    place_en          TEXT   NOT NULL,
    report_interval_s BIGINT NOT NULL,
    PRIMARY KEY (facility, device, metric)
);

-- A device has a facility, a device and a profile; a service has filters (JSON arrays of MQTT filters).
CREATE TABLE identities (
    name          TEXT   PRIMARY KEY NOT NULL,
    kind          TEXT   NOT NULL CHECK (kind IN ('device', 'service')),
    facility      TEXT   REFERENCES facilities (id),
    device        TEXT,
    profile       TEXT,
    publish       TEXT,
    subscribe     TEXT,
    secret        TEXT   NOT NULL,
    expires_at_ms BIGINT,
    revoked_at_ms BIGINT,
    CHECK ((kind = 'device') = (facility IS NOT NULL AND device IS NOT NULL AND profile IS NOT NULL)),
    CHECK ((kind = 'service') = (publish IS NOT NULL AND subscribe IS NOT NULL))
);

CREATE INDEX identities_of_facility ON identities (facility, device);

-- The same condition never opens a second case, however often the log is replayed.
CREATE TABLE cases (
    id                   BIGINT           PRIMARY KEY NOT NULL,
    rule                 TEXT             NOT NULL,
    rule_version         TEXT             NOT NULL,
    facility             TEXT             NOT NULL REFERENCES facilities (id),
    device               TEXT             NOT NULL,
    metric               TEXT             NOT NULL,
    severity             TEXT             NOT NULL,
    state                TEXT             NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
    since_ms             BIGINT           NOT NULL,
    raised_at_ms         BIGINT           NOT NULL,
    value                DOUBLE PRECISION,
    limit_value          DOUBLE PRECISION,
    cleared_at_ms        BIGINT,
    acknowledged_by      TEXT,
    acknowledged_at_ms   BIGINT,
    acknowledged_comment TEXT,
    closed_by            TEXT,
    closed_at_ms         BIGINT,
    closed_comment       TEXT,
    version              BIGINT           NOT NULL,
    UNIQUE (rule, facility, device, metric, since_ms)
);

CREATE INDEX cases_of_facility ON cases (facility, id);
CREATE INDEX cases_in_state ON cases (state, id);

-- One row: where judgement stands in the log, and its state there.
CREATE TABLE engine_snapshot (
    id       BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    position BIGINT NOT NULL,
    state    BLOB   NOT NULL
);

-- Every line carries the hash of the line before it and its own.
CREATE TABLE audit (
    id        BIGINT PRIMARY KEY NOT NULL,
    at_ms     BIGINT NOT NULL,
    actor     TEXT   NOT NULL,
    action    TEXT   NOT NULL,
    object    TEXT   NOT NULL,
    detail    TEXT   NOT NULL,
    prev_hash TEXT   NOT NULL,
    hash      TEXT   NOT NULL
);

-- One row: the newest line of the trail, so that lines missing from its end are noticed.
CREATE TABLE audit_head (
    id       BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    last_id  BIGINT NOT NULL,
    hash     TEXT   NOT NULL
);

INSERT INTO audit_head (id, last_id, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
