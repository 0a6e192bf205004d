-- Mode f of registered channels: where those go who may not join.
ALTER TABLE channel ADD COLUMN forward TEXT;
