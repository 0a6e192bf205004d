//! RPL_ISUPPORT (005): tokens, their escaping, and their lines (Modern IRC, "RPL_ISUPPORT").

use std::borrow::Cow;

use crate::message::MAX_BODY_BYTES;

/// The most tokens on a line: fifteen parameters, less the client and the text.
pub const TOKENS_A_LINE: usize = 13;
/// The text at the end of each line.
pub const TEXT: &str = "are supported by this server";

/// A value as it stands in a token: `\`, `=`, space and control characters become `\xHH`.
pub fn escape(value: &str) -> Cow<'_, str> {
    let needs = |c: char| matches!(c, '\\' | '=' | ' ') || c.is_ascii_control();
    if !value.contains(needs) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 9);
    for c in value.chars() {
        if needs(c) {
            escaped.push_str(&format!("\\x{:02X}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// `NAME=value` with the value escaped.
pub fn token(name: &str, value: &str) -> String {
    format!("{name}={}", escape(value))
}

/// The tokens of each 005 line, in order, joined by spaces: at most [`TOKENS_A_LINE`] on one, and
/// short enough for `server` to send the line to any nick of at most `longest_nick` bytes.
/// A token that is longer than a line is left out.
pub fn lines<T: AsRef<str>>(tokens: &[T], server: &str, longest_nick: usize) -> Vec<String> {
    let around =
        ":".len() + server.len() + " 005 ".len() + longest_nick.max(1) + " ".len() + " :\r\n".len() + TEXT.len();
    let room = MAX_BODY_BYTES.saturating_sub(around);
    let mut lines: Vec<String> = Vec::new();
    let mut on_line = 0;
    for token in tokens.iter().map(AsRef::as_ref).filter(|token| !token.is_empty() && token.len() <= room) {
        match lines.last_mut() {
            Some(line) if on_line < TOKENS_A_LINE && line.len() + 1 + token.len() <= room => {
                line.push(' ');
                line.push_str(token);
                on_line += 1;
            }
            _ => {
                lines.push(token.to_owned());
                on_line = 1;
            }
        }
    }
    lines
}

/// The tokens that tell a client who knows `old` of `new`: what is new or has another value, and `-NAME` for
/// what is gone.
pub fn changes(old: &[String], new: &[String]) -> Vec<String> {
    let name = |token: &String| token.split('=').next().unwrap_or_default().to_owned();
    let gone = old.iter().map(name).filter(|was| !new.iter().any(|token| name(token) == *was));
    let other = new.iter().filter(|token| !old.contains(token)).cloned();
    other.chain(gone.map(|name| format!("-{name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::{TEXT, TOKENS_A_LINE, changes, escape, lines, token};

    #[test]
    fn changes_lead_from_the_old_tokens_to_the_new() {
        let tokens = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (tokens("A=1 B=2 WHOX C"), tokens("A=1 B=3 WHOX D=4"));
        assert_eq!(changes(&old, &new), ["B=3", "D=4", "-C"]);
        assert!(changes(&new, &new).is_empty());
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(escape("plain"), "plain");
        assert_eq!(escape("a b=c\\d"), "a\\x20b\\x3Dc\\x5Cd");
        assert_eq!(token("NETWORK", "My Net"), "NETWORK=My\\x20Net");
    }

    #[test]
    fn no_line_has_more_than_thirteen_tokens_or_512_bytes() {
        let server = "irc.a-rather-long-name.example.org";
        for length in [3, 36, 40, 100] {
            let tokens: Vec<String> = (0..40).map(|n| format!("T{n:02}={}", "v".repeat(length))).collect();
            let lines = lines(&tokens, server, 32);
            for line in &lines {
                assert!(line.split(' ').count() <= TOKENS_A_LINE);
                let whole = format!(":{server} 005 {} {line} :{TEXT}\r\n", "n".repeat(32));
                assert!(whole.len() <= 512, "{}", whole.len());
            }
            assert_eq!(lines.join(" "), tokens.join(" "));
        }
    }

    #[test]
    fn a_full_line_has_no_room_to_spare() {
        // 512, less `:s 005 n  :are supported by this server` CR LF.
        let most = 512 - format!(":s 005 n  :{TEXT}\r\n").len();
        assert_eq!(lines(&["a".repeat(most)], "s", 1).len(), 1);
        assert_eq!(lines(&["a".repeat(most + 1)], "s", 1).len(), 0);
        assert_eq!(lines(&["a".repeat(most - 2), "b".to_owned()], "s", 1).len(), 1);
        assert_eq!(lines(&["a".repeat(most - 1), "b".to_owned()], "s", 1).len(), 2);
        assert!(lines::<&str>(&[], "s", 1).is_empty());
    }
}
