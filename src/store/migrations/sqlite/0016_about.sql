-- Reactions (kind 2), redactions (10) and edits (11) by the message that they are about: reactions and edits come with
-- it (`draft/chathistory-context`), and all go when it goes. Other messages are not in it, and cost nothing. Ids of one
-- database stand in the order of their messages.
CREATE INDEX message_about ON message (conversation, argument, kind) WHERE kind IN (2, 10, 11);

-- Reactions that are there already: what `+reply`, or else `+draft/reply`, says.
UPDATE message SET argument = CASE
    WHEN instr(';' || tags, ';+reply=') > 0 THEN substr(tags, instr(';' || tags, ';+reply=') + 7, 20)
    ELSE substr(tags, instr(';' || tags, ';+draft/reply=') + 13, 20) END
WHERE kind = 2 AND (';' || tags LIKE '%;+draft/react=%' OR ';' || tags LIKE '%;+draft/unreact=%'
        OR ';' || tags LIKE '%;+react=%' OR ';' || tags LIKE '%;+unreact=%')
    AND (';' || tags LIKE '%;+reply=%' OR ';' || tags LIKE '%;+draft/reply=%');
