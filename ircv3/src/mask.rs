//! Masks of sources (`nick!user@host`) with `*` and `?` (Modern IRC, "Wildcard Expressions").

use crate::casemapping::Casemapping;

/// A mask in the form in which it is kept: `nick!user@host`, each part `*` where it was left out,
/// runs of `*` made one. What has no `!` or `@` is a host if it has a `.` or `:`, else a nick.
/// The text ends at its first space, for a mask stands in the middle of a line.
pub fn normalize(text: &str) -> String {
    let text = text.trim_start_matches(' ').split(' ').next().unwrap_or_default();
    let (nick, user, host) = match (text.split_once('!'), text.split_once('@')) {
        (Some((nick, rest)), _) => {
            let (user, host) = rest.split_once('@').unwrap_or((rest, ""));
            (nick, user, host)
        }
        (None, Some((user, host))) => ("", user, host),
        (None, None) if text.contains(['.', ':']) => ("", "", text),
        (None, None) => (text, "", ""),
    };
    let mut mask = String::with_capacity(text.len() + 4);
    // A mask that began with a colon would be the trailing parameter of its line.
    push_part(&mut mask, nick.trim_start_matches(':'));
    mask.push('!');
    push_part(&mut mask, user);
    mask.push('@');
    push_part(&mut mask, host);
    mask
}

/// Whether `mask` matches all of `text`. `*` is any characters or none, `?` is one character, and
/// `\` before `*`, `?` or `\` takes their meaning away; before anything else it is itself, for
/// nicks have backslashes. At worst the time is the product of the lengths, never exponential.
pub fn matches(mask: &str, text: &str, casemapping: Casemapping) -> bool {
    let (mask, text) = (mask.as_bytes(), text.as_bytes());
    let (mut m, mut t) = (0, 0);
    // Where to go on from when a literal does not fit: after the last `*`, one character later.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match token(mask, m) {
            Token::Any => {
                m += 1;
                retry = Some((m, t));
                continue;
            }
            Token::End if t == text.len() => return true,
            Token::One if t < text.len() => Some((m + 1, char_end(text, t))),
            Token::Literal(byte, next) if t < text.len() => {
                (casemapping.fold_byte(byte) == casemapping.fold_byte(text[t])).then_some((next, t + 1))
            }
            _ => None,
        };
        (m, t) = match (fits, retry) {
            (Some(next), _) => next,
            (None, Some((after_star, from))) if from < text.len() => {
                let from = char_end(text, from);
                retry = Some((after_star, from));
                (after_star, from)
            }
            (None, _) => return false,
        };
    }
}

/// Whether `text` has a `*` or `?` that is not escaped.
pub fn has_wildcard(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match token(bytes, at) {
            Token::Any | Token::One => return true,
            Token::Literal(_, next) => at = next,
            Token::End => return false,
        }
    }
}

enum Token {
    Any,
    One,
    /// A byte, and where the next token begins.
    Literal(u8, usize),
    End,
}

fn token(mask: &[u8], at: usize) -> Token {
    match (mask.get(at), mask.get(at + 1)) {
        (None, _) => Token::End,
        (Some(b'*'), _) => Token::Any,
        (Some(b'?'), _) => Token::One,
        (Some(b'\\'), Some(&escaped @ (b'*' | b'?' | b'\\'))) => Token::Literal(escaped, at + 2),
        (Some(&byte), _) => Token::Literal(byte, at + 1),
    }
}

/// Where the character that begins at `at` ends.
fn char_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end += 1;
    }
    end
}

/// Appends one part of a mask, without a `*` that follows a `*`.
fn push_part(mask: &mut String, part: &str) {
    if part.is_empty() {
        mask.push('*');
        return;
    }
    let mut escaped = false;
    let mut star = false;
    for c in part.chars() {
        let is_star = c == '*' && !escaped;
        if !(is_star && star) {
            mask.push(c);
        }
        star = is_star;
        escaped = c == '\\' && !escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::{has_wildcard, matches, normalize};
    use crate::casemapping::Casemapping::{Ascii, Rfc1459};

    #[test]
    fn what_is_left_out_of_a_mask_is_a_star() {
        for (text, mask) in [
            ("bob", "bob!*@*"),
            ("b*b", "b*b!*@*"),
            ("user@host", "*!user@host"),
            ("nick!user", "nick!user@*"),
            ("nick!user@host", "nick!user@host"),
            ("192.0.2.*", "*!*@192.0.2.*"),
            ("::1", "*!*@::1"),
            ("@host", "*!*@host"),
            ("nick!", "nick!*@*"),
            ("!@", "*!*@*"),
            ("", "*!*@*"),
            ("***!**@a**b", "*!*@a*b"),
            ("a\\**", "a\\**!*@*"),
            ("bob!a b@c", "bob!a@*"),
            (":bob!a@b", "bob!a@b"),
        ] {
            assert_eq!(normalize(text), mask, "{text}");
        }
    }

    #[test]
    fn case_is_the_casemappings() {
        assert!(matches("BOB!*@*", "bob!u@h", Ascii));
        assert!(matches("a[1]!*@*", "A{1}!u@h", Rfc1459));
        assert!(!matches("a[1]!*@*", "A{1}!u@h", Ascii));
    }

    #[test]
    fn a_backslash_takes_away_the_meaning_of_wildcards_only() {
        assert!(matches("a\\*", "a*", Ascii));
        assert!(!matches("a\\*", "ab", Ascii));
        assert!(matches("a\\?", "a?", Ascii));
        assert!(matches("a\\b", "a\\b", Ascii));
        assert!(matches("a\\\\b", "a\\b", Ascii));
        assert!(has_wildcard("a?") && has_wildcard("*") && !has_wildcard("a\\*\\?"));
    }

    #[test]
    fn a_question_mark_is_one_character_not_one_byte() {
        assert!(matches("?", "é", Ascii));
        assert!(!matches("??", "é", Ascii));
        assert!(!matches("*??", "é", Ascii));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        // Backtracking into every star would take longer than the age of the universe.
        let mask = "*a".repeat(100) + "*b";
        assert!(!matches(&mask, &"a".repeat(500), Ascii));
        assert!(matches(&mask, &("a".repeat(500) + "b"), Ascii));
    }
}
