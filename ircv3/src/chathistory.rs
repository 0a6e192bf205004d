//! CHATHISTORY's parameters (<https://ircv3.net/specs/extensions/chathistory>).

use thiserror::Error;

use crate::time::parse_time;

/// A point in a history. Both kinds are exclusive bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector<'a> {
    /// `timestamp=`: milliseconds since 1970.
    Timestamp(u64),
    /// `msgid=`: as it came, never empty.
    Msgid(&'a str),
}

/// Which part of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<'a> {
    /// The newest messages, of those after the selector where there is one.
    Latest(Option<Selector<'a>>),
    /// The newest messages before.
    Before(Selector<'a>),
    /// The oldest messages after.
    After(Selector<'a>),
    /// Messages on both sides, and the selected one itself.
    Around(Selector<'a>),
    /// Messages between two points, counted from the first of them.
    Between(Selector<'a>, Selector<'a>),
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Messages of one conversation.
    Messages {
        /// The subcommand as it was written.
        subcommand: &'a str,
        /// A channel or a nick, unchecked.
        target: &'a str,
        /// Which messages.
        range: Range<'a>,
        /// How many at most; at least 1, not clamped.
        limit: u32,
    },
    /// The conversations whose latest message lies between two times (exclusive, milliseconds
    /// since 1970), counted from the first.
    Targets {
        /// Where counting starts.
        from: u64,
        /// Where it ends.
        to: u64,
        /// How many at most; at least 1, not clamped.
        limit: u32,
    },
}

/// What is wrong with the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Too few or too many parameters, a limit that is no number above 0, a bad timestamp or msgid.
    #[error("Invalid parameters")]
    InvalidParams,
    /// A selector of a kind that is not known, or not allowed here.
    #[error("Unknown or unsuitable message reference type")]
    InvalidMsgreftype,
    /// No such subcommand.
    #[error("Unknown subcommand")]
    UnknownSubcommand,
}

impl Fault {
    /// The code in `FAIL CHATHISTORY <code> <subcommand> <target>`. The specification has one code
    /// for everything but the reference type.
    pub const fn code(self) -> &'static str {
        match self {
            Fault::InvalidParams | Fault::UnknownSubcommand => "INVALID_PARAMS",
            Fault::InvalidMsgreftype => "INVALID_MSGREFTYPE",
        }
    }
}

/// A fault, with what the FAIL names; clients find the request that failed by these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct RequestError<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// The subcommand as it was written, `*` where there is none.
    pub subcommand: &'a str,
    /// The target as it was written, `*` where there is none.
    pub target: &'a str,
}

/// Reads the parameters of a CHATHISTORY. Subcommands are known in any case.
/// `BEFORE <target> *` is `LATEST <target> *`, for Kiwi asks so.
pub fn parse<'a>(params: impl IntoIterator<Item = &'a str>) -> Result<Request<'a>, RequestError<'a>> {
    let params: Vec<&'a str> = params.into_iter().take(6).collect();
    let named = |at: usize| params.get(at).copied().filter(|param| !param.is_empty()).unwrap_or("*");
    let subcommand = named(0);
    let is = |name: &str| subcommand.eq_ignore_ascii_case(name);
    let target = if is("TARGETS") { "*" } else { named(1) };
    parse_fields(&params).map_err(|fault| RequestError { fault, subcommand, target })
}

fn parse_fields<'a>(params: &[&'a str]) -> Result<Request<'a>, Fault> {
    let subcommand = *params.first().ok_or(Fault::InvalidParams)?;
    match (subcommand.to_ascii_uppercase().as_str(), &params[1..]) {
        ("TARGETS", [from, to, limit]) => {
            Ok(Request::Targets { from: timestamp(from)?, to: timestamp(to)?, limit: parse_limit(limit)? })
        }
        ("BETWEEN", [target, first, second, limit]) => {
            messages(subcommand, target, Range::Between(selector(first)?, selector(second)?), limit)
        }
        ("LATEST" | "BEFORE", [target, "*", limit]) => messages(subcommand, target, Range::Latest(None), limit),
        ("LATEST", [target, after, limit]) => {
            messages(subcommand, target, Range::Latest(Some(selector(after)?)), limit)
        }
        ("BEFORE", [target, at, limit]) => messages(subcommand, target, Range::Before(selector(at)?), limit),
        ("AFTER", [target, at, limit]) => messages(subcommand, target, Range::After(selector(at)?), limit),
        ("AROUND", [target, at, limit]) => messages(subcommand, target, Range::Around(selector(at)?), limit),
        ("TARGETS" | "BETWEEN" | "LATEST" | "BEFORE" | "AFTER" | "AROUND", _) => Err(Fault::InvalidParams),
        _ => Err(Fault::UnknownSubcommand),
    }
}

fn messages<'a>(subcommand: &'a str, target: &'a str, range: Range<'a>, limit: &str) -> Result<Request<'a>, Fault> {
    if target.is_empty() {
        return Err(Fault::InvalidParams);
    }
    Ok(Request::Messages { subcommand, target, range, limit: parse_limit(limit)? })
}

fn selector(text: &str) -> Result<Selector<'_>, Fault> {
    match text.split_once('=') {
        Some(("timestamp", time)) => parse_time(time).map(Selector::Timestamp).ok_or(Fault::InvalidParams),
        Some(("msgid", "")) | None => Err(Fault::InvalidParams),
        Some(("msgid", id)) => Ok(Selector::Msgid(id)),
        Some(_) => Err(Fault::InvalidMsgreftype),
    }
}

fn timestamp(text: &str) -> Result<u64, Fault> {
    match selector(text)? {
        Selector::Timestamp(time) => Ok(time),
        Selector::Msgid(_) => Err(Fault::InvalidMsgreftype),
    }
}

/// A number above 0; one that is too large for `u32` is the largest.
fn parse_limit(text: &str) -> Result<u32, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::InvalidParams);
    }
    match text.parse::<u32>().unwrap_or(u32::MAX) {
        0 => Err(Fault::InvalidParams),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Range, Request, RequestError, Selector, parse};

    fn ask(line: &str) -> Result<Request<'_>, RequestError<'_>> {
        parse(line.split(' ').filter(|word| !word.is_empty()))
    }

    fn range(line: &str) -> Range<'_> {
        match ask(line) {
            Ok(Request::Messages { range, .. }) => range,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn fault(line: &str) -> (Fault, &str, &str) {
        match ask(line) {
            Err(RequestError { fault, subcommand, target }) => (fault, subcommand, target),
            Ok(request) => panic!("{line}: {request:?}"),
        }
    }

    const T: Selector<'_> = Selector::Timestamp(1_704_164_645_006);

    #[test]
    fn each_subcommand_has_its_range() {
        assert_eq!(range("LATEST #c * 10"), Range::Latest(None));
        assert_eq!(range("LATEST #c msgid=a=b 10"), Range::Latest(Some(Selector::Msgid("a=b"))));
        assert_eq!(range("BEFORE #c timestamp=2024-01-02T03:04:05.006Z 10"), Range::Before(T));
        assert_eq!(range("AFTER #c timestamp=2024-01-02T03:04:05.006Z 10"), Range::After(T));
        assert_eq!(range("AROUND #c msgid=x 10"), Range::Around(Selector::Msgid("x")));
        assert_eq!(
            range("BETWEEN #c msgid=x timestamp=2024-01-02T03:04:05.006Z 10"),
            Range::Between(Selector::Msgid("x"), T)
        );
        assert_eq!(range("BEFORE #c * 10"), Range::Latest(None), "as Kiwi asks");
        assert_eq!(
            ask("latest bob * 10"),
            Ok(Request::Messages { subcommand: "latest", target: "bob", range: Range::Latest(None), limit: 10 })
        );
        assert_eq!(
            ask("TARGETS timestamp=1970-01-01T00:00:00.001Z timestamp=2024-01-02T03:04:05.006Z 100"),
            Ok(Request::Targets { from: 1, to: 1_704_164_645_006, limit: 100 })
        );
    }

    #[test]
    fn a_limit_is_a_number_above_zero() {
        for bad in ["0", "-1", "+1", "abc", "1.5", "1x", "00"] {
            let line = format!("LATEST #c * {bad}");
            assert_eq!(fault(&line), (Fault::InvalidParams, "LATEST", "#c"), "{bad}");
        }
        let large = ask("LATEST #c * 99999999999999999999");
        assert!(matches!(large, Ok(Request::Messages { limit: u32::MAX, .. })), "{large:?}");
    }

    #[test]
    fn a_fault_names_the_subcommand_and_the_target() {
        for line in [
            "LATEST #c",
            "LATEST #c *",
            "LATEST #c * 1 2",
            "BETWEEN #c msgid=a 10",
            "BETWEEN #c msgid=a msgid=b 10 11",
            "AFTER #c * 10",
            "AROUND #c * 10",
            "BEFORE #c msgid= 10",
            "BEFORE #c nonsense 10",
            "BEFORE #c timestamp=yesterday 10",
        ] {
            let (what, subcommand, target) = fault(line);
            assert_eq!((what, target), (Fault::InvalidParams, "#c"), "{line}");
            assert!(line.starts_with(subcommand), "{line}");
        }
        assert_eq!(fault("BEFORE #c uuid=1 10"), (Fault::InvalidMsgreftype, "BEFORE", "#c"));
        assert_eq!(fault("NONSENSE #c * 10"), (Fault::UnknownSubcommand, "NONSENSE", "#c"));
        assert_eq!(fault(""), (Fault::InvalidParams, "*", "*"));
        assert_eq!(fault("LATEST"), (Fault::InvalidParams, "LATEST", "*"));
        assert_eq!(fault("TARGETS msgid=a msgid=b 10"), (Fault::InvalidMsgreftype, "TARGETS", "*"));
        assert_eq!(fault("TARGETS timestamp=2024-01-02T03:04:05.006Z * 10"), (Fault::InvalidParams, "TARGETS", "*"));
        assert_eq!(Fault::UnknownSubcommand.code(), "INVALID_PARAMS");
        assert_eq!(parse(["LATEST", "", "*", "1"]).map_err(|error| error.target), Err("*"));
    }
}
