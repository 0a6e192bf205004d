-- What was chosen of accounts (`$` and the number), of registered channels (the folded name) and of the server (`*`).
CREATE TABLE setting (
    owner TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);
