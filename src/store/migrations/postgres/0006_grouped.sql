-- Nicks that belong to an account beside its name, by folded nick. `added` is in milliseconds since 1970.
CREATE TABLE grouped (
    folded TEXT COLLATE "C" PRIMARY KEY,
    nick TEXT NOT NULL,
    account BIGINT NOT NULL,
    added BIGINT NOT NULL
);
