-- What was chosen of accounts (`$` and the number), of registered channels (the folded name) and of the server (`*`).
CREATE TABLE setting (
    owner TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);

-- The number of the message that an edit, a redaction or a reaction is about: it goes when that one has gone.
ALTER TABLE message ADD COLUMN about BIGINT;
CREATE INDEX message_about ON message (conversation, about) WHERE about IS NOT NULL;
