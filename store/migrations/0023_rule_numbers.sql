-- The further numbers that a facility has in place of a pack's, by name, as a JSON object.
ALTER TABLE rule_overrides ADD COLUMN numbers TEXT NOT NULL DEFAULT '{}';
