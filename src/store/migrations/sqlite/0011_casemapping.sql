-- The casemapping by which names are folded here. Until now there was but one.
ALTER TABLE meta ADD COLUMN casemapping TEXT NOT NULL DEFAULT 'ascii';
