-- To which account the founder of a channel has offered it.
ALTER TABLE channel ADD COLUMN transfer BIGINT;

-- What accounts are in registered channels whenever they join: `rank` is the letter of the mode.
CREATE TABLE access (
    channel TEXT COLLATE "C" NOT NULL,
    account BIGINT NOT NULL,
    rank TEXT NOT NULL,
    PRIMARY KEY (channel, account)
);

-- Accounts that nobody may use. `expires` is in seconds since 1970, NULL where it holds until it is taken away.
CREATE TABLE suspension (
    account BIGINT PRIMARY KEY,
    reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    expires BIGINT
);

-- Channels that are closed for good.
CREATE TABLE purge (
    channel TEXT COLLATE "C" PRIMARY KEY,
    reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at BIGINT NOT NULL
);
