-- A contact may be somebody who signs in; browsers that asked to be notified; passwords that must be replaced at the first
-- sign-in. For SQLite and PostgreSQL alike. Contacts of an earlier version stay without a person.
ALTER TABLE contacts ADD COLUMN person TEXT REFERENCES people (id);
CREATE INDEX contacts_of_person ON contacts (person);

ALTER TABLE people ADD COLUMN once BIGINT NOT NULL DEFAULT 0 CHECK (once IN (0, 1));

INSERT INTO counters (name, value) VALUES ('subscriptions', 0);

-- What a browser gives a site that may notify it: an address at its maker's push service, and the keys by which nobody
-- but the browser reads what is sent there. All in Base64 for addresses, but for the endpoint.
CREATE TABLE push_subscriptions (
    id       BIGINT  PRIMARY KEY NOT NULL,
    person   TEXT    NOT NULL REFERENCES people (id),
    endpoint TEXT    NOT NULL UNIQUE,
    p256dh   TEXT    NOT NULL,
    auth     TEXT    NOT NULL,
    label    TEXT    NOT NULL,
    made_ms  BIGINT  NOT NULL,
    tried_ms BIGINT,
    worked   BOOLEAN,
    said     TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX push_subscriptions_of_person ON push_subscriptions (person);
