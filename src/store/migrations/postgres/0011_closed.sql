-- Whether the channel of a conversation keeps strangers out, or did when it was last there; and the moment before which
-- nobody reads what was said, in milliseconds since 1970.
ALTER TABLE conversation ADD COLUMN closed BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE conversation ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
