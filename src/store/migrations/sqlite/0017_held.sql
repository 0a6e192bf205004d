-- A channel is kept without a founder, too: while somebody is in it who is always on, or it is permanent (mode P).
ALTER TABLE channel RENAME TO channel_before;

CREATE TABLE channel (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    founder INTEGER,
    registered INTEGER NOT NULL,
    created INTEGER NOT NULL,
    topic TEXT,
    topic_setter TEXT,
    topic_set_at INTEGER,
    modes TEXT NOT NULL,
    key TEXT,
    "limit" INTEGER,
    forward TEXT,
    transfer INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO channel SELECT folded, name, founder, registered, created, topic, topic_setter, topic_set_at, modes, key,
    "limit", forward, transfer FROM channel_before;

DROP TABLE channel_before;
