-- What a device is to be replayed besides what came after `seq`: conversation, after which change and up to which, or `*`
-- for what `seq` will be, as `7 30 50,0 3 *`.
ALTER TABLE seen ADD COLUMN owed TEXT NOT NULL DEFAULT '';
