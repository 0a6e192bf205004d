//! Formatting of text: colours, bold and the like (<https://modern.ircdocs.horse/formatting>).

use std::borrow::Cow;

const COLOUR: char = '\u{3}';
const HEX_COLOUR: char = '\u{4}';

/// Whether `c` begins formatting.
fn is_code(c: char) -> bool {
    // Bold, colour, hex colour, reset, monospace, reverse, italic, strikethrough, underline.
    matches!(c, '\u{2}' | COLOUR | HEX_COLOUR | '\u{f}' | '\u{11}' | '\u{16}' | '\u{1d}' | '\u{1e}' | '\u{1f}')
}

/// Whether a text has any formatting.
pub fn has_formatting(text: &str) -> bool {
    text.contains(is_code)
}

/// A text without its formatting, colours with their numbers.
pub fn strip(text: &str) -> Cow<'_, str> {
    if !has_formatting(text) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_code) {
        plain.push_str(&rest[..at]);
        let code = rest[at..].chars().next().unwrap_or_default();
        rest = &rest[at + code.len_utf8()..];
        rest = match code {
            COLOUR => after_colours(rest, |text| digits(text, 2, |byte| byte.is_ascii_digit())),
            HEX_COLOUR => after_colours(rest, |text| {
                let count = digits(text, 6, |byte| byte.is_ascii_hexdigit());
                if count == 6 { 6 } else { 0 }
            }),
            _ => rest,
        };
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// How many bytes at the beginning of a text, of at most `most`, are digits.
fn digits(text: &str, most: usize, is_digit: impl Fn(u8) -> bool) -> usize {
    text.bytes().take(most).take_while(|byte| is_digit(*byte)).count()
}

/// What stands behind the one or two colours at the beginning of a text.
fn after_colours(text: &str, colour: impl Fn(&str) -> usize) -> &str {
    let first = colour(text);
    if first == 0 {
        return text;
    }
    let rest = &text[first..];
    match rest.strip_prefix(',').map(|behind| (behind, colour(behind))) {
        Some((behind, second)) if second > 0 => &behind[second..],
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::{has_formatting, strip};

    #[test]
    fn codes_go_with_their_numbers_and_nothing_else_does() {
        for (text, plain) in [
            ("plain, 12", "plain, 12"),
            ("\u{2}bold\u{2} \u{1d}italic\u{f}", "bold italic"),
            ("\u{3}4red\u{3}", "red"),
            ("\u{3}04,12red", "red"),
            ("\u{3}4,red", ",red"),
            ("\u{3}123", "3"),
            ("\u{3},5", ",5"),
            ("\u{4}ff0000,00ff00x", "x"),
            ("\u{4}ff00", "ff00"),
            ("\u{11}\u{16}\u{1e}\u{1f}", ""),
            ("é\u{3}4é", "éé"),
            ("\u{1}ACTION \u{2}waves\u{1}", "\u{1}ACTION waves\u{1}"),
        ] {
            assert_eq!(strip(text), plain, "{text:?}");
            assert_eq!(has_formatting(text), text != plain, "{text:?}");
        }
    }
}
