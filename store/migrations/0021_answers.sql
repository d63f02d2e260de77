-- How long an emergency call waited until somebody answered it, in milliseconds. NULL for any other case.
ALTER TABLE cases ADD COLUMN answered_ms BIGINT;
