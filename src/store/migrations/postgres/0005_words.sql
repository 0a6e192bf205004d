-- Words of text (PRIVMSG and NOTICE), for SEARCH; by the message's number, and without the text itself. `terms`
-- are what `server::search` makes, taken as they stand.
CREATE TABLE word (
    seq BIGINT PRIMARY KEY,
    time BIGINT NOT NULL,
    terms TSVECTOR NOT NULL
);

-- Rows come some hundreds at once: nothing is put off until somebody looks.
CREATE INDEX word_terms ON word USING gin (terms) WITH (fastupdate = off);

-- One row: which version made the terms, and between which numbers (with these) the messages have them.
CREATE TABLE indexed (
    one BOOLEAN PRIMARY KEY CHECK (one),
    version INTEGER NOT NULL,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL
);

INSERT INTO indexed (one, version, low, high) VALUES (true, 0, 0, 0);
