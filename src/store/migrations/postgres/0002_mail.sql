-- The address of an account, and whether it may be used: one that waits for its code may not.
ALTER TABLE account ADD COLUMN email TEXT;
ALTER TABLE account ADD COLUMN verified BOOLEAN NOT NULL DEFAULT true;

-- Codes that are mailed, one for each account and purpose ("register", "email", "password"). `expires` is in seconds
-- since 1970, `wrong` how often another was given, `mailed` whether it has gone out.
CREATE TABLE code (
    account BIGINT NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    code TEXT NOT NULL,
    email TEXT NOT NULL,
    expires BIGINT NOT NULL,
    wrong BIGINT NOT NULL,
    mailed BOOLEAN NOT NULL,
    PRIMARY KEY (account, purpose)
);
