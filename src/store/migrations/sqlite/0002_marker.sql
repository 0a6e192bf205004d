-- How far each account has read, by the conversation's key; `time` is in milliseconds.
CREATE TABLE marker (
    account INTEGER NOT NULL,
    conversation TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (account, conversation)
) STRICT, WITHOUT ROWID;
