-- What else than a password the connection of a device had logged in by: the fingerprint of a certificate, or `key`.
ALTER TABLE subscription ADD COLUMN login TEXT NOT NULL DEFAULT '';
