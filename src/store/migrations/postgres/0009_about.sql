-- Reactions (kind 2) and edits (kind 11) by the message that they are about, for `draft/chathistory-context`. Other
-- messages are not in it, and cost nothing.
CREATE INDEX message_context ON message (conversation, argument, kind, seq) WHERE kind IN (2, 11);

-- Reactions that are there already: what `+reply`, or else `+draft/reply`, says.
UPDATE message SET argument = left(coalesce(substring(tags FROM '(?:^|;)\+reply=([^;]*)'),
    substring(tags FROM '(?:^|;)\+draft/reply=([^;]*)')), 20)
WHERE kind = 2 AND tags ~ '(^|;)\+(draft/)?(un)?react(=|;|$)' AND tags ~ '(^|;)\+(draft/)?reply=';
