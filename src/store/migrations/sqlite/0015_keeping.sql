-- What was chosen of accounts (`$` and the number), of registered channels (the folded name) and of the server (`*`).
CREATE TABLE setting (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
