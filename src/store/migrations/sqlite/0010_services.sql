-- To which account the founder of a channel has offered it.
ALTER TABLE channel ADD COLUMN transfer INTEGER;

-- What accounts are in registered channels whenever they join: `rank` is the letter of the mode.
CREATE TABLE access (
    channel TEXT NOT NULL,
    account INTEGER NOT NULL,
    rank TEXT NOT NULL,
    PRIMARY KEY (channel, account)
) STRICT, WITHOUT ROWID;

-- Accounts that nobody may use. `expires` is in seconds since 1970, NULL where it holds until it is taken away.
CREATE TABLE suspension (
    account INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    expires INTEGER
) STRICT;

-- Channels that are closed for good.
CREATE TABLE purge (
    channel TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
