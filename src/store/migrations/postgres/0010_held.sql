-- A channel is kept without a founder, too: while somebody is in it who is always on, or it is permanent (mode P).
ALTER TABLE channel ALTER COLUMN founder DROP NOT NULL;
