//! SEARCH's parameter (<https://github.com/ircv3/ircv3-specifications/pull/496>): attributes, written as
//! message tags are.

use std::borrow::Cow;

use thiserror::Error;

use crate::tags::{Tags, unescape};
use crate::time::parse_time;

/// What a client looks for: the messages that everything here is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// `in`: a channel or a nick, unchecked.
    pub target: Option<Cow<'a, str>>,
    /// `from`: a nick, unchecked.
    pub from: Option<Cow<'a, str>>,
    /// `text`
    pub text: Option<Cow<'a, str>>,
    /// `after`: at this time or later, in milliseconds since 1970. With it, the oldest are meant where there
    /// are too many, and without it the newest.
    pub after: Option<u64>,
    /// `before`: at this time or earlier.
    pub before: Option<u64>,
    /// `limit`: how many at most; at least 1, not clamped.
    pub limit: Option<u32>,
}

/// An attribute that cannot be understood, for `FAIL SEARCH INVALID_PARAMS <attribute>`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{attribute} {problem}")]
pub struct RequestError<'a> {
    /// Its name, as it came.
    pub attribute: &'a str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// Reads the parameter of a SEARCH. Of an attribute that stands twice the last counts, and one without a
/// value is as one that is not there.
pub fn parse(attributes: &str) -> Result<Request<'_>, RequestError<'_>> {
    let mut request = Request::default();
    for (attribute, raw) in Tags::new(attributes).iter() {
        let value = unescape(raw);
        let fault = |problem: String| Err(RequestError { attribute, problem });
        let text = (!value.is_empty()).then(|| value.clone());
        let time = || match parse_time(&value) {
            _ if value.is_empty() => Ok(None),
            Some(time) => Ok(Some(time)),
            None => Err(RequestError {
                attribute,
                problem: format!("is {value:?}, which is no time such as 2026-01-31T12:00:00.000Z"),
            }),
        };
        match attribute {
            "in" => request.target = text,
            "from" => request.from = text,
            "text" => request.text = text,
            "after" => request.after = time()?,
            "before" => request.before = time()?,
            "limit" if value.is_empty() => request.limit = None,
            "limit" => match limit(&value) {
                Some(limit) => request.limit = Some(limit),
                None => return fault(format!("is {value:?}, which is no number from 1")),
            },
            _ => return fault("is not known: in, from, text, after, before and limit are".into()),
        }
    }
    Ok(request)
}

/// A number above 0; one that is too large for `u32` is the largest.
fn limit(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX)).filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::{Request, parse};

    #[test]
    fn every_attribute_is_read_and_its_escapes_undone() {
        let asked = parse(
            r"in=#rust;from=Alice;text=two\swords\:\\;after=1970-01-01T00:00:01.000Z;before=1970-01-01T00:00:02.5Z;limit=3",
        );
        let expected = Request {
            target: Some("#rust".into()),
            from: Some("Alice".into()),
            text: Some(r"two words;\".into()),
            after: Some(1000),
            before: Some(2500),
            limit: Some(3),
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(parse(""), Ok(Request::default()));
        assert_eq!(parse(";;in=;after=;limit="), Ok(Request::default()));
        assert_eq!(
            parse("limit=99999999999;in=a;in=b"),
            Ok(Request { target: Some("b".into()), limit: Some(u32::MAX), ..Request::default() })
        );
    }

    #[test]
    fn what_is_not_understood_is_named_and_quoted() {
        let problem =
            |attributes: &str| parse(attributes).err().map(|error| (error.attribute.to_owned(), error.to_string()));
        for (attributes, attribute, quoted) in [
            ("in=#a;limit=0", "limit", "\"0\""),
            ("limit=-1", "limit", "\"-1\""),
            ("limit=ten", "limit", "\"ten\""),
            ("after=yesterday", "after", "\"yesterday\""),
            ("before=2026-13-01T00:00:00.000Z", "before", "\"2026-13-01T00:00:00.000Z\""),
            ("colour=red", "colour", "not known"),
            ("In=#a", "In", "not known"),
        ] {
            let (name, text) = problem(attributes).unwrap_or_default();
            assert!(name == attribute && text.contains(quoted), "{attributes}: {name}: {text}");
        }
    }
}
