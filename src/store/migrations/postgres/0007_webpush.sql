-- Devices that take web push. `keys` is p256dh=...;auth=..., `vapid` the server's key that the device knows, `caps` the
-- names of the capabilities that it had. `made`, `renewed` and `reached` are in seconds since 1970; `reached`, when a push
-- last came to the push service, is 0 before the first and kept about once an hour.
CREATE TABLE subscription (
    account BIGINT NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    keys TEXT NOT NULL,
    vapid BIGINT NOT NULL,
    device TEXT NOT NULL,
    app TEXT NOT NULL,
    caps TEXT NOT NULL,
    made BIGINT NOT NULL,
    renewed BIGINT NOT NULL,
    reached BIGINT NOT NULL,
    PRIMARY KEY (account, endpoint)
);

-- Conversations that were pushed to an account's devices and not read since: the key of the conversation, and `first`, the
-- time of the first message that was pushed (milliseconds since 1970).
CREATE TABLE pushed (
    account BIGINT NOT NULL,
    conversation TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    PRIMARY KEY (account, conversation)
);

-- The keys by which push services know the server: PKCS #8 in base64. One is made at the first start, and never changed.
CREATE TABLE vapid (
    id BIGINT PRIMARY KEY,
    private TEXT NOT NULL
);
