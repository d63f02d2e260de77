-- What forwarding to another time-series server owes: lines that it refuses, and stretches of time that it was too
-- long away for. For SQLite and PostgreSQL alike.

INSERT INTO counters (name, value) VALUES ('letters', 0), ('letters_dropped', 0), ('gaps', 0);

-- A line in line protocol that the server refused. `again` says that somebody wants it sent once more.
CREATE TABLE forward_letters (
    id       BIGINT  PRIMARY KEY NOT NULL,
    facility TEXT    NOT NULL,
    line     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    at_ms    BIGINT  NOT NULL,
    again    BOOLEAN NOT NULL
);

-- Readings measured in this time were passed over, because the log could hold no more of them. They are in the
-- embedded store, and are sent from there.
CREATE TABLE forward_gaps (
    id       BIGINT PRIMARY KEY NOT NULL,
    from_ms  BIGINT NOT NULL,
    to_ms    BIGINT NOT NULL,
    readings BIGINT NOT NULL
);
