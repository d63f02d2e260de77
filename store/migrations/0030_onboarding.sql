-- What a maker's firmware speaks below instead of the device's own root: nobody else has it.
ALTER TABLE identities ADD COLUMN vendor_root TEXT;

CREATE UNIQUE INDEX identities_vendor_root ON identities (vendor_root);

-- How far a sensor is off. One row per series: the calibration that holds now; the audit trail has those before.
CREATE TABLE calibrations (
    facility     TEXT             NOT NULL REFERENCES facilities (id),
    device       TEXT             NOT NULL,
    metric       TEXT             NOT NULL,
    scale        DOUBLE PRECISION NOT NULL,
    offset_value DOUBLE PRECISION NOT NULL,
    due_ms       BIGINT,
    since_ms     BIGINT           NOT NULL,
    by_name      TEXT             NOT NULL,
    PRIMARY KEY (facility, device, metric)
);

-- A code that is exchanged once for a device's secret. Only its hash is here.
CREATE TABLE claims (
    code_hash     TEXT   PRIMARY KEY NOT NULL,
    identity      TEXT   NOT NULL REFERENCES identities (name),
    created_ms    BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    used_at_ms    BIGINT
);

CREATE INDEX claims_of_identity ON claims (identity);
