-- Text that is compared is compared by its bytes (COLLATE "C"), as SQLite does it.

-- One row: what msgids begin with, how often this database was started, and what salts of accounts that
-- are not there are made of, and nonces.
CREATE TABLE meta (
    one BOOLEAN PRIMARY KEY CHECK (one),
    epoch BIGINT NOT NULL,
    boot BIGINT NOT NULL,
    seed BYTEA NOT NULL
);

-- Channels, and pairs of people.
CREATE TABLE conversation (
    id BIGINT PRIMARY KEY,
    key TEXT NOT NULL
);

-- Every message. `kind` is a number of `record::Kind`, `time` is in milliseconds and rises with `seq`
-- within a conversation.
CREATE TABLE message (
    seq BIGINT PRIMARY KEY,
    conversation BIGINT NOT NULL,
    time BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    bot BOOLEAN NOT NULL,
    source TEXT NOT NULL,
    account TEXT,
    target TEXT NOT NULL,
    tags TEXT,
    argument TEXT,
    text TEXT NOT NULL
);

-- Text (PRIVMSG and NOTICE), redactions (kind 10) and all else apart: each reader walks over what it wants alone.
CREATE INDEX message_place ON message (conversation, ((kind > 1)::int + (kind = 10)::int), time);

-- `always_on` is who stays on the network without a connection: NULL leaves it to the server.
CREATE TABLE account (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    password TEXT NOT NULL,
    registered BIGINT NOT NULL,
    autoreplay_missed BOOLEAN NOT NULL,
    always_on BOOLEAN,
    multiclient BOOLEAN NOT NULL
);

-- What accounts log in with, beside the hash of the password: `kind` and `text` are of
-- `record::Credentials`.
CREATE TABLE credential (
    account BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, kind, text)
);

-- How far each device of an account has read; NULL while it is connected.
CREATE TABLE seen (
    account BIGINT NOT NULL,
    device TEXT COLLATE "C" NOT NULL,
    seq BIGINT,
    PRIMARY KEY (account, device)
);

-- Registered channels; "limit" is mode l, and `forward` mode f.
CREATE TABLE channel (
    folded TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    founder BIGINT NOT NULL,
    registered BIGINT NOT NULL,
    created BIGINT NOT NULL,
    topic TEXT,
    topic_setter TEXT,
    topic_set_at BIGINT,
    modes TEXT NOT NULL,
    key TEXT,
    "limit" BIGINT,
    forward TEXT
);

-- Their bans, exceptions and invitations.
CREATE TABLE list (
    channel TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    mask TEXT COLLATE "C" NOT NULL,
    setter TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (channel, mode, mask)
);

-- How far each account has read, by the conversation's key; `time` is in milliseconds.
CREATE TABLE marker (
    account BIGINT NOT NULL,
    conversation TEXT COLLATE "C" NOT NULL,
    time BIGINT NOT NULL,
    PRIMARY KEY (account, conversation)
);

-- Keys and values of accounts (`$` and the number) and of registered channels (the folded name).
CREATE TABLE metadata (
    owner TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);

-- Who stays on the network without a connection, as they were last. `channels` is `#a:qo #b:`, with the letters
-- of the ranks; `gone` is when the last connection went, in milliseconds (0: it has one).
CREATE TABLE presence (
    account BIGINT PRIMARY KEY,
    since BIGINT NOT NULL,
    nick TEXT NOT NULL,
    "user" TEXT NOT NULL,
    host TEXT NOT NULL,
    realname TEXT NOT NULL,
    modes TEXT NOT NULL,
    away TEXT,
    channels TEXT NOT NULL,
    signon BIGINT NOT NULL,
    gone BIGINT NOT NULL
);

-- Bans of the server. `expires` is in seconds since 1970, NULL where it holds until it is taken away.
CREATE TABLE ban (
    target TEXT COLLATE "C" PRIMARY KEY,
    reason TEXT NOT NULL,
    oper_reason TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    expires BIGINT,
    unless_logged_in BOOLEAN NOT NULL
);
