-- Reactions (kind 2) and edits (kind 11) by the message that they are about, for `draft/chathistory-context`. Other
-- messages are not in it, and cost nothing.
CREATE INDEX message_context ON message (conversation, argument, kind) WHERE kind IN (2, 11);

-- Reactions that are there already: what `+reply`, or else `+draft/reply`, says.
UPDATE message SET argument = CASE
    WHEN instr(';' || tags, ';+reply=') > 0 THEN substr(tags, instr(';' || tags, ';+reply=') + 7, 20)
    ELSE substr(tags, instr(';' || tags, ';+draft/reply=') + 13, 20) END
WHERE kind = 2 AND (';' || tags LIKE '%;+draft/react=%' OR ';' || tags LIKE '%;+draft/unreact=%'
        OR ';' || tags LIKE '%;+react=%' OR ';' || tags LIKE '%;+unreact=%')
    AND (';' || tags LIKE '%;+reply=%' OR ';' || tags LIKE '%;+draft/reply=%');
