-- Whether the channel of a conversation keeps strangers out, or did when it was last there; and the moment before which
-- nobody reads what was said, in milliseconds since 1970.
ALTER TABLE conversation ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
