-- Words of text (PRIVMSG and NOTICE), for SEARCH; by the message's number, and without the text itself. `terms`
-- are what `server::search` makes, spaces between them, and are words to FTS5 as they stand. Not `detail = none`: with
-- it SQLite 3.51 does not take out all of a row that is taken out and put in again in one transaction.
CREATE VIRTUAL TABLE word USING fts5 (
    terms, content = '', columnsize = 0, detail = column, tokenize = "ascii tokenchars '#@_'"
);

-- What is taken out is in no page any more.
INSERT INTO word (word, rank) VALUES ('secure-delete', 1);

-- One row: which version made the terms, and between which numbers (with these) the messages have them.
CREATE TABLE indexed (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL
) STRICT;

INSERT INTO indexed (only, version, low, high) VALUES (1, 0, 0, 0);
