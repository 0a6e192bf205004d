-- Who stays on the network without a connection: NULL leaves it to the server.
ALTER TABLE account ADD COLUMN always_on INTEGER;
-- Whether several connections may share the account's nick.
ALTER TABLE account ADD COLUMN multiclient INTEGER NOT NULL DEFAULT 1;

-- Those who do, as they were last. `channels` is `#a:qo #b:`, with the letters of the ranks; `gone` is when the
-- last connection went, in milliseconds (0: it has one).
CREATE TABLE presence (
    account INTEGER PRIMARY KEY,
    since INTEGER NOT NULL,
    nick TEXT NOT NULL,
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    realname TEXT NOT NULL,
    modes TEXT NOT NULL,
    away TEXT,
    channels TEXT NOT NULL,
    signon INTEGER NOT NULL,
    gone INTEGER NOT NULL
) STRICT;
