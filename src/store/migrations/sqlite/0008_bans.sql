-- Bans of the server. `expires` is in seconds since 1970, NULL where it holds until it is taken away.
CREATE TABLE ban (
    target TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    oper_reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    expires INTEGER,
    unless_logged_in INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
