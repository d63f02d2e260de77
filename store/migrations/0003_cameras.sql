-- Cameras, what was found in their pictures and what people said of it, and what teachable checks are
-- taught with. For SQLite and PostgreSQL alike, but for BLOB, which is BYTEA there.

INSERT INTO counters (name, value) VALUES ('findings', 0), ('crops', 0);

-- `camera` is the whole description as JSON; the columns beside it are those that a query asks for.
CREATE TABLE cameras (
    facility TEXT    NOT NULL REFERENCES facilities (id),
    camera   TEXT    NOT NULL,
    room     TEXT    NOT NULL,
    enabled  BOOLEAN NOT NULL,
    live     BOOLEAN NOT NULL,
    settings TEXT    NOT NULL,
    version  BIGINT  NOT NULL,
    PRIMARY KEY (facility, camera)
);

-- Sealed by the vault for this camera and no other.
CREATE TABLE camera_secrets (
    facility TEXT NOT NULL,
    camera   TEXT NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (facility, camera),
    FOREIGN KEY (facility, camera) REFERENCES cameras (facility, camera)
);

-- The same finding is never entered twice, however often the log is replayed. `zone` is empty for the
-- whole picture: two NULLs would not be the same zone. A camera may be gone while its findings stay.
CREATE TABLE findings (
    id             BIGINT PRIMARY KEY NOT NULL,
    facility       TEXT   NOT NULL REFERENCES facilities (id),
    camera         TEXT   NOT NULL,
    check_code     TEXT   NOT NULL,
    zone           TEXT   NOT NULL,
    since_ms       BIGINT NOT NULL,
    began_at_ms    BIGINT NOT NULL,
    ended_at_ms    BIGINT,
    received_ms    BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    said           TEXT   NOT NULL,
    review         TEXT   NOT NULL CHECK (review IN ('waiting', 'confirmed', 'rejected')),
    review_by      TEXT,
    review_at_ms   BIGINT,
    review_comment TEXT,
    version        BIGINT NOT NULL,
    UNIQUE (facility, camera, check_code, zone, since_ms),
    CHECK ((review = 'waiting') = (review_by IS NULL))
);

CREATE INDEX findings_of_camera ON findings (facility, camera, id);
CREATE INDEX findings_in_review ON findings (review, id);
CREATE INDEX findings_of_case ON findings (facility, camera, check_code, began_at_ms);

-- The evidence itself is in files; here is only which belongs to which finding.
CREATE TABLE finding_evidence (
    finding  BIGINT NOT NULL REFERENCES findings (id),
    place    BIGINT NOT NULL,
    evidence TEXT   NOT NULL,
    PRIMARY KEY (finding, evidence)
);

-- Parts of pictures that people mark, to teach a check. `label` is NULL until somebody has.
CREATE TABLE crops (
    id              BIGINT PRIMARY KEY NOT NULL,
    facility        TEXT   NOT NULL,
    camera          TEXT   NOT NULL,
    check_code      TEXT   NOT NULL,
    zone            TEXT   NOT NULL,
    at_ms           BIGINT NOT NULL,
    jpeg            BLOB   NOT NULL,
    embedding       BLOB   NOT NULL,
    embedder_sha256 TEXT   NOT NULL,
    label           BOOLEAN,
    labelled_by     TEXT,
    FOREIGN KEY (facility, camera) REFERENCES cameras (facility, camera)
);

CREATE INDEX crops_of_check ON crops (facility, camera, check_code, id);

-- What was learnt from them: JSON that inference understands.
CREATE TABLE taught_heads (
    facility   TEXT   NOT NULL,
    camera     TEXT   NOT NULL,
    check_code TEXT   NOT NULL,
    zone       TEXT   NOT NULL,
    head       TEXT   NOT NULL,
    made_by    TEXT   NOT NULL,
    made_at_ms BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (facility, camera, check_code, zone),
    FOREIGN KEY (facility, camera) REFERENCES cameras (facility, camera)
);
