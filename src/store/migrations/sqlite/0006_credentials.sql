-- What salts of accounts that are not there are made of, and nonces.
ALTER TABLE meta ADD COLUMN seed BLOB;

-- What accounts log in with, beside the hash of the password: `kind` and `text` are of
-- `record::Credentials`.
CREATE TABLE credential (
    account INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (account, kind, text)
) STRICT, WITHOUT ROWID;
