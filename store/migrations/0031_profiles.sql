-- Profiles that operators wrote on the pages: each change is a version of its own, and none is deleted. What decides
-- from when a version is used is the log: logged_ms says when it was handed to it.
CREATE TABLE profiles (
    id        TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    text      TEXT   NOT NULL,
    by_name   TEXT   NOT NULL,
    why       TEXT   NOT NULL,
    at_ms     BIGINT NOT NULL,
    logged_ms BIGINT,
    PRIMARY KEY (id, version)
);
