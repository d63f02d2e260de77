-- How people deal with cases, who is told of them, and what is still to be delivered. For SQLite and PostgreSQL alike,
-- but for BLOB, which is BYTEA there.
--
-- `stage` says where a case stands. `state` keeps its three words, because its CHECK cannot be changed without copying
-- the table: open and closed mean the same in both, whatever lies between is `acknowledged`.

INSERT INTO counters (name, value) VALUES ('contacts', 0), ('outbox', 0);

ALTER TABLE cases ADD COLUMN stage TEXT NOT NULL DEFAULT 'open';
ALTER TABLE cases ADD COLUMN trouble TEXT NOT NULL DEFAULT 'own';
ALTER TABLE cases ADD COLUMN entered_ms BIGINT;
ALTER TABLE cases ADD COLUMN due_ms BIGINT;
ALTER TABLE cases ADD COLUMN next_ms BIGINT;
ALTER TABLE cases ADD COLUMN level BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cases ADD COLUMN reminders BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cases ADD COLUMN card TEXT NOT NULL DEFAULT 'none';
ALTER TABLE cases ADD COLUMN round BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cases ADD COLUMN measure TEXT NOT NULL DEFAULT '';
ALTER TABLE cases ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
ALTER TABLE cases ADD COLUMN begun_by TEXT;
ALTER TABLE cases ADD COLUMN submitted_by TEXT;
ALTER TABLE cases ADD COLUMN disputed_by TEXT;
ALTER TABLE cases ADD COLUMN before_picture TEXT;
ALTER TABLE cases ADD COLUMN after_picture TEXT;
ALTER TABLE cases ADD COLUMN recurs BIGINT;
ALTER TABLE cases ADD COLUMN folded_into BIGINT;
ALTER TABLE cases ADD COLUMN folded BIGINT NOT NULL DEFAULT 0;
-- Its condition cleared and would have closed it, but a part of it has not.
ALTER TABLE cases ADD COLUMN closes BOOLEAN NOT NULL DEFAULT FALSE;

-- Cases of an earlier version have no deadline: an upgrade alarms nobody.
UPDATE cases SET stage = state;

CREATE INDEX cases_at_stage ON cases (stage, id);
CREATE INDEX cases_by_timer ON cases (next_ms);
CREATE INDEX cases_by_trouble ON cases (facility, trouble, state);
CREATE INDEX cases_by_whole ON cases (folded_into);

-- What people did to a case, in order. `seq` is the version that it led to. `once` is the form's own name, so that a form
-- that is sent twice acts once.
CREATE TABLE case_acts (
    case_id        BIGINT NOT NULL REFERENCES cases (id),
    seq            BIGINT NOT NULL,
    act            TEXT   NOT NULL,
    actor          TEXT   NOT NULL,
    at_ms          BIGINT NOT NULL,
    comment        TEXT   NOT NULL,
    stage          TEXT   NOT NULL,
    round          BIGINT NOT NULL,
    measure        TEXT   NOT NULL,
    responsible    TEXT   NOT NULL,
    due_ms         BIGINT,
    picture        TEXT,
    once           TEXT,
    PRIMARY KEY (case_id, seq),
    UNIQUE (case_id, once)
);

-- Named by the SHA-256 of the bytes.
CREATE TABLE case_pictures (
    case_id BIGINT NOT NULL REFERENCES cases (id),
    picture TEXT   NOT NULL,
    at_ms   BIGINT NOT NULL,
    jpeg    BLOB   NOT NULL,
    PRIMARY KEY (case_id, picture)
);

-- `settings` is JSON without secrets; `sealed` is what the vault sealed for this channel.
CREATE TABLE channels (
    name      TEXT    PRIMARY KEY NOT NULL,
    kind      TEXT    NOT NULL,
    settings  TEXT    NOT NULL,
    sealed    BLOB,
    enabled   BOOLEAN NOT NULL,
    tried_ms  BIGINT,
    worked    BOOLEAN,
    said      TEXT    NOT NULL DEFAULT '',
    version   BIGINT  NOT NULL
);

-- `settings` is the contact as JSON.
CREATE TABLE contacts (
    id       BIGINT  PRIMARY KEY NOT NULL,
    channel  TEXT    NOT NULL REFERENCES channels (name),
    enabled  BOOLEAN NOT NULL,
    settings TEXT    NOT NULL,
    version  BIGINT  NOT NULL
);

-- One row for each message to one contact. `name` is its idempotency key. `contact` is NULL where nobody was there to hear.
-- `said` is the notice as JSON, as it was true when it was written.
CREATE TABLE outbox (
    id         BIGINT PRIMARY KEY NOT NULL,
    name       TEXT   NOT NULL UNIQUE,
    case_id    BIGINT NOT NULL,
    facility   TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    contact    BIGINT,
    channel    TEXT,
    state      TEXT   NOT NULL CHECK (state IN ('waiting', 'sent', 'dead', 'dropped', 'unheard')),
    digest     BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    due_ms     BIGINT NOT NULL,
    attempts   BIGINT NOT NULL,
    settled_ms BIGINT,
    error      TEXT   NOT NULL,
    said       TEXT   NOT NULL
);

CREATE INDEX outbox_due ON outbox (state, due_ms);
CREATE INDEX outbox_of_channel ON outbox (channel, state, due_ms);
CREATE INDEX outbox_of_case ON outbox (case_id, state);
CREATE INDEX outbox_of_facility ON outbox (facility, id);
