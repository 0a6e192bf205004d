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
    if casemapping == Casemapping::Precis && !(mask.is_ascii() && text.is_ascii()) {
        // Letters past ASCII are compared in their folded form, which may have another length.
        return matches_bytes(&fold(mask, casemapping), casemapping.fold(text).as_str(), casemapping);
    }
    matches_bytes(mask, text, casemapping)
}

/// Whether two masks are the same but for the case of their letters.
pub fn same(a: &str, b: &str, casemapping: Casemapping) -> bool {
    match casemapping {
        Casemapping::Ascii => a.eq_ignore_ascii_case(b),
        // A `\` may be a letter there, or stand before a wildcard.
        Casemapping::Rfc1459 | Casemapping::Precis => fold(a, casemapping) == fold(b, casemapping),
    }
}

/// The folded form of a mask: what it matches is the same. Wildcards stay what they are, and nothing
/// becomes one.
pub fn fold(mask: &str, casemapping: Casemapping) -> String {
    let mut folded = String::with_capacity(mask.len());
    let mut literal = String::new();
    let put = |literal: &mut String, folded: &mut String| {
        for c in casemapping.fold(literal).as_str().chars() {
            if matches!(c, '*' | '?') || c == '\\' {
                folded.push('\\');
            }
            folded.push(c);
        }
        literal.clear();
    };
    let bytes = mask.as_bytes();
    let mut at = 0;
    loop {
        match token(bytes, at) {
            Token::End => break,
            Token::Any | Token::One => {
                put(&mut literal, &mut folded);
                folded.push(char::from(bytes[at]));
                at += 1;
            }
            Token::Literal(byte, next) if byte.is_ascii() => {
                literal.push(char::from(byte));
                at = next;
            }
            Token::Literal(..) => {
                let end = char_end(bytes, at);
                literal.push_str(&mask[at..end]);
                at = end;
            }
        }
    }
    put(&mut literal, &mut folded);
    folded
}

fn matches_bytes(mask: &str, text: &str, casemapping: Casemapping) -> bool {
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
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{fold, has_wildcard, matches, normalize};
    use crate::casemapping::Casemapping::{self, Ascii, Precis, Rfc1459};

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
        assert!(matches("É?l*!*@*", "e\u{301}ｘL!u@h", Precis));
        assert!(!matches("É*!*@*", "élise!u@h", Ascii));
    }

    #[test]
    fn a_folded_mask_keeps_its_wildcards_and_gets_no_others() {
        for (casemapping, mask, folded) in [
            (Ascii, "A\\*B*C?", "a\\*b*c?"),
            (Rfc1459, "A\\*[~*", "a\\*{^*"),
            (Rfc1459, "a\\b\\\\", "a|b|"),
            (Precis, "É＊ｘ？＼*", "é\\*x\\?\\\\*"),
        ] {
            assert_eq!(fold(mask, casemapping), folded, "{mask}");
        }
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

    proptest! {
        #[test]
        fn a_mask_and_its_folded_form_match_the_same(mask in "[aA\\[\\\\~éÉ＊*?]{0,6}", text in "[aA\\[\\{\\\\|~éÉ＊*]{0,6}") {
            for casemapping in Casemapping::ALL {
                let folded = fold(&mask, casemapping);
                prop_assert_eq!(matches(&mask, &text, casemapping), matches(&folded, &text, casemapping));
                prop_assert_eq!(fold(&folded, casemapping), folded);
            }
        }
    }
}
