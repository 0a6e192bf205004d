-- Text (PRIVMSG and NOTICE), redactions (kind 10) and all else apart: each reader walks over what it wants alone.
DROP INDEX message_place;
CREATE INDEX message_place ON message (conversation, ((kind > 1) + (kind = 10)), time);
