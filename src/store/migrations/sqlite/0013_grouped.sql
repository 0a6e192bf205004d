-- Nicks that belong to an account beside its name, by folded nick. `added` is in milliseconds since 1970.
CREATE TABLE grouped (
    folded TEXT PRIMARY KEY,
    nick TEXT NOT NULL,
    account INTEGER NOT NULL,
    added INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
