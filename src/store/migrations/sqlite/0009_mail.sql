-- The address of an account, and whether it may be used: one that waits for its code may not.
ALTER TABLE account ADD COLUMN email TEXT;
ALTER TABLE account ADD COLUMN verified INTEGER NOT NULL DEFAULT 1;

-- Codes that are mailed, one for each account and purpose ("register", "email", "password"). `expires` is in seconds
-- since 1970, `wrong` how often another was given, `mailed` whether it has gone out.
CREATE TABLE code (
    account INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    code TEXT NOT NULL,
    email TEXT NOT NULL,
    expires INTEGER NOT NULL,
    wrong INTEGER NOT NULL,
    mailed INTEGER NOT NULL,
    PRIMARY KEY (account, purpose)
) STRICT, WITHOUT ROWID;
