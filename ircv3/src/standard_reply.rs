//! FAIL, WARN and NOTE (<https://ircv3.net/specs/extensions/standard-replies>).

use crate::message::{middle, write_line};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command was not carried out.
    Fail,
    /// The command was carried out, but something is wrong.
    Warn,
    /// Something to know.
    Note,
}

impl Kind {
    /// The command of the line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Fail => "FAIL",
            Kind::Warn => "WARN",
            Kind::Note => "NOTE",
        }
    }
}

/// Appends `:source FAIL <command> <code> [<context>…] :<description>` CR LF. An empty command is
/// `*`, as is a context that cannot stand in the middle of a line.
pub fn write(
    out: &mut Vec<u8>,
    source: &str,
    kind: Kind,
    command: &str,
    code: &str,
    context: &[&str],
    description: &str,
) {
    let mut middles = Vec::with_capacity(context.len() + 2);
    middles.push(middle(command));
    middles.push(middle(code));
    middles.extend(context.iter().map(|part| middle(part)));
    write_line(out, source, kind.as_str(), &middles, Some(description));
}

/// The codes of FAIL that are registered or specified, for each command; `*` is any command.
pub const FAIL_CODES: &[(&str, &[&str])] = &[
    ("*", &["ACCOUNT_REQUIRED", "INVALID_UTF8"]),
    (
        "BATCH",
        &[
            "MULTILINE_MAX_BYTES",
            "MULTILINE_MAX_LINES",
            "MULTILINE_INVALID_TARGET",
            "MULTILINE_INVALID",
            "INVALID_REFTAG",
            "TIMEOUT",
            "UNKNOWN_TYPE",
        ],
    ),
    (
        "CHATHISTORY",
        &[
            "INVALID_PARAMS",
            "INVALID_TARGET",
            "INVALID_MSGREFTYPE",
            "MESSAGE_ERROR",
            "NEED_MORE_PARAMS",
            "UNKNOWN_COMMAND",
        ],
    ),
    ("JOIN", &["CHANNEL_RENAMED"]),
    ("NICK", &["NICKNAME_RESERVED"]),
    ("REDACT", &["INVALID_TARGET", "REDACT_FORBIDDEN", "REDACT_WINDOW_EXPIRED", "UNKNOWN_MSGID"]),
    (
        "REGISTER",
        &[
            "ACCOUNT_EXISTS",
            "ACCOUNT_NAME_MUST_BE_NICK",
            "ALREADY_AUTHENTICATED",
            "BAD_ACCOUNT_NAME",
            "COMPLETE_CONNECTION_REQUIRED",
            "INVALID_EMAIL",
            "NEED_NICK",
            "TEMPORARILY_UNAVAILABLE",
            "UNACCEPTABLE_EMAIL",
            "UNACCEPTABLE_PASSWORD",
            "WEAK_PASSWORD",
        ],
    ),
    ("RENAME", &["CHANNEL_NAME_IN_USE", "CANNOT_RENAME"]),
    ("SETNAME", &["CANNOT_CHANGE_REALNAME", "INVALID_REALNAME"]),
    ("VERIFY", &["ALREADY_AUTHENTICATED", "INVALID_CODE", "COMPLETE_CONNECTION_REQUIRED", "TEMPORARILY_UNAVAILABLE"]),
];

/// The codes of WARN that are registered.
pub const WARN_CODES: &[(&str, &[&str])] = &[("*", &["INVALID_UTF8"])];

/// Whether `code` may stand after `FAIL command`.
pub fn is_fail_code(command: &str, code: &str) -> bool {
    FAIL_CODES.iter().any(|(of, codes)| (*of == "*" || of.eq_ignore_ascii_case(command)) && codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_fail_code, write};

    fn line(kind: Kind, command: &str, context: &[&str]) -> String {
        let mut out = Vec::new();
        write(&mut out, "irc.test", kind, command, "CODE", context, "What was wrong");
        String::from_utf8(out).expect("only text was written")
    }

    #[test]
    fn the_description_comes_last_with_a_colon() {
        assert_eq!(line(Kind::Fail, "REGISTER", &["bob"]), ":irc.test FAIL REGISTER CODE bob :What was wrong\r\n");
        assert_eq!(line(Kind::Warn, "", &[]), ":irc.test WARN * CODE :What was wrong\r\n");
        assert_eq!(line(Kind::Note, "*", &["a", "b"]), ":irc.test NOTE * CODE a b :What was wrong\r\n");
    }

    #[test]
    fn no_context_moves_the_others() {
        assert_eq!(line(Kind::Fail, "X", &["", "a b", ":c", "d"]), ":irc.test FAIL X CODE * a * d :What was wrong\r\n");
    }

    #[test]
    fn codes_belong_to_commands() {
        assert!(is_fail_code("CHATHISTORY", "INVALID_TARGET") && is_fail_code("chathistory", "INVALID_UTF8"));
        assert!(!is_fail_code("CHATHISTORY", "WEAK_PASSWORD") && !is_fail_code("PRIVMSG", "NONSENSE"));
        for fault in [crate::chathistory::Fault::InvalidParams, crate::chathistory::Fault::InvalidMsgreftype] {
            assert!(is_fail_code("CHATHISTORY", fault.code()));
        }
    }
}
