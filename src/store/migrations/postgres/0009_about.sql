-- Reactions (kind 2), redactions (10) and edits (11) by the message that they are about: reactions and edits come with
-- it (`draft/chathistory-context`), and all go when it goes. Other messages are not in it, and cost nothing. Ids of one
-- database stand in the order of their messages.
CREATE INDEX message_about ON message (conversation, argument COLLATE "C", kind, seq) WHERE kind IN (2, 10, 11);

-- Reactions that are there already: what `+reply`, or else `+draft/reply`, says.
UPDATE message SET argument = left(coalesce(substring(tags FROM '(?:^|;)\+reply=([^;]*)'),
    substring(tags FROM '(?:^|;)\+draft/reply=([^;]*)')), 20)
WHERE kind = 2 AND tags ~ '(^|;)\+(draft/)?(un)?react(=|;|$)' AND tags ~ '(^|;)\+(draft/)?reply=';
