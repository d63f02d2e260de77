-- Who may sign in to the pages. `reach` is JSON. A password is kept as an Argon2id string (PHC), a session by the
-- SHA-256 of its token: who reads this file can neither sign in nor take over a session.
CREATE TABLE people (
    id       TEXT   PRIMARY KEY NOT NULL,
    name     TEXT   NOT NULL,
    role     TEXT   NOT NULL CHECK (role IN ('inspector', 'manager', 'integrator', 'administrator')),
    reach    TEXT   NOT NULL,
    password TEXT,
    barred   BIGINT NOT NULL DEFAULT 0 CHECK (barred IN (0, 1)),
    -- Wrong passwords since the last right one, and until when no further one is looked at.
    failures BIGINT NOT NULL DEFAULT 0,
    locked_until_ms BIGINT
);

CREATE TABLE sessions (
    token_hash TEXT   PRIMARY KEY NOT NULL,
    person     TEXT   NOT NULL REFERENCES people (id),
    begun_ms   BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL
);

CREATE INDEX sessions_of_person ON sessions (person);
