-- What was chosen of accounts (`$` and the number), of registered channels (the folded name) and of the server (`*`).
CREATE TABLE setting (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

-- The number of the message that an edit, a redaction or a reaction is about: it goes when that one has gone.
ALTER TABLE message ADD COLUMN about INTEGER;
CREATE INDEX message_about ON message (conversation, about) WHERE about IS NOT NULL;
