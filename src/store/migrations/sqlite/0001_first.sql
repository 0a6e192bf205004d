-- One row: what msgids begin with, and how often this database was started.
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch INTEGER NOT NULL,
    boot INTEGER NOT NULL
) STRICT;

-- Channels, and pairs of people.
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL
) STRICT;

-- Every message, at the end of the table when it comes. `kind` is a number of `record::Kind`, `time`
-- is in milliseconds and rises with `seq` within a conversation.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    time INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bot INTEGER NOT NULL,
    source TEXT NOT NULL,
    account TEXT,
    target TEXT NOT NULL,
    tags TEXT,
    argument TEXT,
    text TEXT NOT NULL
) STRICT;

-- Text (PRIVMSG and NOTICE) and all else apart, so that a reader of text never walks over a million joins.
CREATE INDEX message_place ON message (conversation, (kind > 1), time);

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    password TEXT NOT NULL,
    registered INTEGER NOT NULL,
    autoreplay_missed INTEGER NOT NULL
) STRICT;

-- How far each device of an account has read; NULL while it is connected.
CREATE TABLE seen (
    account INTEGER NOT NULL,
    device TEXT NOT NULL,
    seq INTEGER,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

-- Registered channels; "limit" is mode l.
CREATE TABLE channel (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    founder INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    created INTEGER NOT NULL,
    topic TEXT,
    topic_setter TEXT,
    topic_set_at INTEGER,
    modes TEXT NOT NULL,
    key TEXT,
    "limit" INTEGER
) STRICT, WITHOUT ROWID;

-- Their bans, exceptions and invitations.
CREATE TABLE list (
    channel TEXT NOT NULL,
    mode TEXT NOT NULL,
    mask TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (channel, mode, mask)
) STRICT, WITHOUT ROWID;
