BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'first','2026-11-25 08:00:00',1,X'DE1702A5D8E409120B93229D340A62F4879FFD7D3D6D3085D5781ADFE3BD9120DDE48B09E1CBF57C2DEDBCF3880504B2',1000000);
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    password TEXT NOT NULL,
    registered INTEGER NOT NULL,
    autoreplay_missed INTEGER NOT NULL
) STRICT;
INSERT INTO "account" VALUES(1,'alice','alice','$2b$10$1L7h.Qfo78C7gef3uszfauJBCVCUa2tM99En8tFsyCtUzjLkoqCQa',1764000000000,1);
INSERT INTO "account" VALUES(2,'Bob','bob','$2b$10$1L7h.Qfo78C7gef3uszfauJBCVCUa2tM99En8tFsyCtUzjLkoqCQa',1764000000000,0);
CREATE TABLE channel (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    founder INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    created INTEGER NOT NULL,
    topic TEXT,
    topic_setter TEXT,
    topic_set_at INTEGER,
    modes TEXT NOT NULL,
    key TEXT,
    "limit" INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "channel" VALUES('#garden','#Garden',1,1764000000000,1764000000,'roses','alice!~a@127.0.0.1',1764000000,'imnt',NULL,50);
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL
) STRICT;
INSERT INTO "conversation" VALUES(1,'#garden');
INSERT INTO "conversation" VALUES(2,'#plot');
INSERT INTO "conversation" VALUES(3,'$1 $2');
CREATE TABLE list (
    channel TEXT NOT NULL,
    mode TEXT NOT NULL,
    mask TEXT NOT NULL,
    setter TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (channel, mode, mask)
) STRICT, WITHOUT ROWID;
INSERT INTO "list" VALUES('#garden','I','*!*@*','alice!~a@127.0.0.1',1764000000);
INSERT INTO "list" VALUES('#garden','b','mallory!*@*','alice!~a@127.0.0.1',1764000000);
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    time INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bot INTEGER NOT NULL,
    source TEXT NOT NULL,
    account TEXT,
    target TEXT NOT NULL,
    tags TEXT,
    argument TEXT,
    text TEXT NOT NULL
) STRICT;
INSERT INTO "message" VALUES(3298534883329,1,1764000000000,3,0,'alice!~a@127.0.0.1','alice','#garden',NULL,NULL,'Alice');
INSERT INTO "message" VALUES(3298534883330,1,1764000000001,0,0,'alice!~a@127.0.0.1','alice','#garden','+draft/reply=x',NULL,'It''s a rose; "really"');
INSERT INTO "message" VALUES(3298534883331,1,1764000000005,1,1,'parrot!~p@127.0.0.1',NULL,'#garden',NULL,NULL,'a notice of a bot');
INSERT INTO "message" VALUES(3298534883332,1,1764000000006,8,0,'alice!~a@127.0.0.1','alice','#garden',NULL,NULL,'roses');
INSERT INTO "message" VALUES(3298534883333,2,1764000000007,0,0,'bob!~b@127.0.0.1','bob','#plot',NULL,NULL,'somewhere else');
INSERT INTO "message" VALUES(3298534883334,3,1764000000008,0,0,'alice!~a@127.0.0.1','alice','bob',NULL,NULL,'between us');
INSERT INTO "message" VALUES(3298534883335,3,1764000000009,0,0,'bob!~b@127.0.0.1','bob','alice',NULL,NULL,'indeed');
INSERT INTO "message" VALUES(3298534883336,1,1764000000010,0,0,'bob!~b@127.0.0.1','bob','#garden',NULL,NULL,'ünïcode 🌹');
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch INTEGER NOT NULL,
    boot INTEGER NOT NULL
) STRICT;
INSERT INTO "meta" VALUES(1,19088743,3);
CREATE TABLE seen (
    account INTEGER NOT NULL,
    device TEXT NOT NULL,
    seq INTEGER,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
INSERT INTO "seen" VALUES(1,'',3298534883331);
INSERT INTO "seen" VALUES(2,'phone',NULL);
CREATE INDEX message_place ON message (conversation, (kind > 1), time);
COMMIT;
