//! Filters (RFC 4515) and names (RFC 4514) of the configuration, with places for what a client typed.
//!
//! What was typed is put into a filter after that was parsed, so nothing of it can be syntax.

use ldap3_proto::LdapFilter;
use ldap3_proto::proto::{LdapMatchingRuleAssertion, LdapSubstringFilter};

use crate::limits::LDAP_FILTER_DEPTH;

/// Stands for the account's name.
pub const ACCOUNT: &str = "{account}";
/// Stands for the name of the account's entry.
pub const DN: &str = "{dn}";

/// Reads a filter, such as `(&(objectClass=person)(uid={account}))`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<LdapFilter, String> {
    let (filter, rest) = bracketed(text.trim(), LDAP_FILTER_DEPTH)?;
    if rest.is_empty() { Ok(filter) } else { Err(format!("there is {rest:?} behind its end")) }
}

/// One filter in brackets, and what is behind it.
fn bracketed(text: &str, depth: usize) -> Result<(LdapFilter, &str), String> {
    if depth == 0 {
        return Err("its brackets are too deep".to_owned());
    }
    let inner = text.strip_prefix('(').ok_or_else(|| format!("there is no ( before {text:?}"))?.trim_start();
    let (filter, rest) = match inner.as_bytes().first() {
        Some(b'&') => several(&inner[1..], depth).map(|(all, rest)| (LdapFilter::And(all), rest))?,
        Some(b'|') => several(&inner[1..], depth).map(|(any, rest)| (LdapFilter::Or(any), rest))?,
        Some(b'!') => bracketed(inner[1..].trim_start(), depth - 1)
            .map(|(filter, rest)| (LdapFilter::Not(Box::new(filter)), rest.trim_start()))?,
        _ => {
            let end = inner.find(['(', ')']).unwrap_or(inner.len());
            (item(&inner[..end])?, &inner[end..])
        }
    };
    let rest = rest.strip_prefix(')').ok_or_else(|| format!("there is no ) before {rest:?}"))?;
    Ok((filter, rest))
}

fn several(mut text: &str, depth: usize) -> Result<(Vec<LdapFilter>, &str), String> {
    let mut filters = Vec::new();
    loop {
        text = text.trim_start();
        if !text.starts_with('(') && !filters.is_empty() {
            return Ok((filters, text));
        }
        let (filter, rest) = bracketed(text, depth - 1)?;
        filters.push(filter);
        text = rest;
    }
}

/// What is in brackets that have none within.
fn item(text: &str) -> Result<LdapFilter, String> {
    let (left, value) = text.split_once('=').ok_or_else(|| format!("there is no = in {text:?}"))?;
    let named = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
        let name = name.trim();
        let good = !name.is_empty() && name.chars().all(fits);
        if good { Ok(name.to_owned()) } else { Err(format!("{name:?} is no attribute")) }
    };
    if let Some(left) = left.strip_suffix(':') {
        let mut parts = left.split(':');
        let attribute = parts.next().unwrap_or_default();
        let mut rule = parts.next();
        let dn_attributes = rule == Some("dn");
        if dn_attributes {
            rule = parts.next();
        }
        if parts.next().is_some() {
            return Err(format!("{left:?} is no matching rule"));
        }
        return Ok(LdapFilter::Extensible(LdapMatchingRuleAssertion {
            matching_rule: rule.map(named).transpose()?,
            type_: (!attribute.is_empty()).then(|| named(attribute)).transpose()?,
            match_value: unescape(value)?,
            dn_attributes,
        }));
    }
    if let Some(left) = left.strip_suffix('>') {
        return Ok(LdapFilter::GreaterOrEqual(named(left)?, unescape(value)?));
    }
    if let Some(left) = left.strip_suffix('<') {
        return Ok(LdapFilter::LessOrEqual(named(left)?, unescape(value)?));
    }
    if let Some(left) = left.strip_suffix('~') {
        return Ok(LdapFilter::Approx(named(left)?, unescape(value)?));
    }
    let attribute = named(left)?;
    if value == "*" {
        return Ok(LdapFilter::Present(attribute));
    }
    let parts = value.split('*').map(unescape).collect::<Result<Vec<String>, String>>()?;
    Ok(match parts.as_slice() {
        [whole] => LdapFilter::Equality(attribute, whole.clone()),
        [initial, any @ .., last] => {
            let some = |part: &String| (!part.is_empty()).then(|| part.clone());
            let any = any.iter().filter_map(some).collect();
            LdapFilter::Substring(attribute, LdapSubstringFilter { initial: some(initial), any, final_: some(last) })
        }
        [] => LdapFilter::Equality(attribute, String::new()),
    })
}

/// Bytes that are written as `\2a`.
fn unescape(text: &str) -> Result<String, String> {
    let mut pieces = text.split('\\');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("{text:?} has a \\ without two digits of hex behind it"))?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

/// Whether one of these stands in a value of it.
pub fn has(filter: &LdapFilter, places: &[&str]) -> bool {
    let has_one = |text: &str| places.iter().any(|place| text.contains(place));
    let mut found = false;
    let filled = fill(filter, &mut |text| {
        found |= has_one(text);
        text.to_owned()
    });
    drop(filled);
    found
}

/// The filter with these in the places for them.
pub fn with(filter: &LdapFilter, account: &str, dn: &str) -> LdapFilter {
    fill(filter, &mut |text| placed(text, account, dn))
}

fn fill(filter: &LdapFilter, change: &mut impl FnMut(&str) -> String) -> LdapFilter {
    match filter {
        LdapFilter::And(all) => LdapFilter::And(all.iter().map(|filter| fill(filter, change)).collect()),
        LdapFilter::Or(any) => LdapFilter::Or(any.iter().map(|filter| fill(filter, change)).collect()),
        LdapFilter::Not(filter) => LdapFilter::Not(Box::new(fill(filter, change))),
        LdapFilter::Equality(name, value) => LdapFilter::Equality(name.clone(), change(value)),
        LdapFilter::GreaterOrEqual(name, value) => LdapFilter::GreaterOrEqual(name.clone(), change(value)),
        LdapFilter::LessOrEqual(name, value) => LdapFilter::LessOrEqual(name.clone(), change(value)),
        LdapFilter::Approx(name, value) => LdapFilter::Approx(name.clone(), change(value)),
        LdapFilter::Present(name) => LdapFilter::Present(name.clone()),
        LdapFilter::Substring(name, parts) => {
            let parts = LdapSubstringFilter {
                initial: parts.initial.as_deref().map(&mut *change),
                any: parts.any.iter().map(|part| change(part)).collect(),
                final_: parts.final_.as_deref().map(&mut *change),
            };
            LdapFilter::Substring(name.clone(), parts)
        }
        LdapFilter::Extensible(rule) => {
            let match_value = change(&rule.match_value);
            LdapFilter::Extensible(LdapMatchingRuleAssertion { match_value, ..rule.clone() })
        }
    }
}

/// The text with these in the places for them; what is put in is not looked at for places again.
fn placed(text: &str, account: &str, dn: &str) -> String {
    let mut result = String::with_capacity(text.len() + account.len() + dn.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let (put, taken) = match rest {
            _ if rest.starts_with(ACCOUNT) => (account, ACCOUNT.len()),
            _ if rest.starts_with(DN) => (dn, DN.len()),
            _ => ("{", 1),
        };
        result.push_str(put);
        rest = &rest[taken..];
    }
    result.push_str(rest);
    result
}

/// A value as it stands in a name (RFC 4514, section 2.4), whatever is in it.
pub fn in_dn(value: &str) -> String {
    let mut result = String::with_capacity(value.len() + 8);
    for (at, c) in value.char_indices() {
        let first = at == 0;
        let last = at + c.len_utf8() == value.len();
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' | '\0' => result.push_str(&format!("\\{:02x}", c as u32)),
            ' ' if first || last => result.push_str("\\20"),
            '#' if first => result.push_str("\\23"),
            _ => result.push(c),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::BytesMut;
    use ldap3_proto::proto::{LdapDerefAliases, LdapOp, LdapSearchRequest};
    use ldap3_proto::{LdapCodec, LdapFilter, LdapMsg, LdapSearchScope};
    use tokio_util::codec::{Decoder as _, Encoder as _};

    use super::{has, in_dn, parse, placed, with};

    fn equal(name: &str, value: &str) -> LdapFilter {
        LdapFilter::Equality(name.to_owned(), value.to_owned())
    }

    /// What a directory reads of it.
    fn read_back(filter: LdapFilter) -> LdapFilter {
        let request = LdapSearchRequest {
            base: String::new(),
            scope: LdapSearchScope::Base,
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 0,
            typesonly: false,
            filter,
            attrs: Vec::new(),
        };
        let (mut codec, mut bytes) = (LdapCodec::default(), BytesMut::new());
        codec.encode(LdapMsg { msgid: 1, op: LdapOp::SearchRequest(request), ctrl: Vec::new() }, &mut bytes).unwrap();
        match codec.decode(&mut bytes).unwrap().unwrap().op {
            LdapOp::SearchRequest(request) => request.filter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_is_read_as_the_specification_writes_it() {
        let both = parse("(&(objectClass=person) (memberOf=cn=irc,ou=groups,dc=example,dc=org))").unwrap();
        let group = equal("memberOf", "cn=irc,ou=groups,dc=example,dc=org");
        assert_eq!(both, LdapFilter::And(vec![equal("objectClass", "person"), group]));
        assert_eq!(parse(r"(cn=a\2a\28\c3\a9)").unwrap(), equal("cn", "a*(é"));
        assert_eq!(parse("(mail=*)").unwrap(), LdapFilter::Present("mail".to_owned()));
        for text in [
            "(|(uid={account})(!(cn=x)))",
            "(cn=a*b*c)",
            "(cn=*c)",
            "(n>=1)",
            "(n<=1)",
            "(n~=1)",
            "(memberOf:1.2.840.113556.1.4.1941:=cn=irc,dc=example)",
            "(ou:dn:=people)",
        ] {
            let filter = parse(text).unwrap();
            assert_eq!(read_back(filter.clone()), filter, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_said_to_be_none() {
        let deep = format!("{}(a=b){}", "(!".repeat(30), ")".repeat(30));
        for text in
            ["", "uid=a", "(uid=a", "(uid)", "(&)", "(a=b))", "(a b=c)", r"(a=\2)", r"(a=\é)", r"(a=\ff)", &deep]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_that_a_client_types_is_syntax_of_a_filter() {
        let filter = parse("(&(objectClass=person)(uid={account}))").unwrap();
        for typed in ["*", ")(uid=*", "a)(|(uid=*", r"\2a", "a\0b", "é", "{dn}", "{account}", "", "cn=admin,dc=org"] {
            let filled = with(&filter, typed, "the dn");
            let expected = LdapFilter::And(vec![equal("objectClass", "person"), equal("uid", typed)]);
            assert_eq!(filled, expected);
            assert_eq!(read_back(filled), expected);
        }
        assert_eq!(placed("{{account}, {dn}, {other}", "a", "b"), "{a, b, {other}");
        assert!(has(&filter, &["{account}"]) && !has(&filter, &["{dn}"]));
    }

    #[test]
    fn nothing_that_a_client_types_is_syntax_of_a_name() {
        for (typed, written) in [
            ("alice", "alice"),
            ("a,ou=admins", r"a\2cou\3dadmins"),
            ("a+cn=b", r"a\2bcn\3db"),
            (r"a\", r"a\5c"),
            ("#a", r"\23a"),
            (" a b ", r"\20a b\20"),
            ("\"<>;\0", r"\22\3c\3e\3b\00"),
            ("élan*", "élan*"),
        ] {
            assert_eq!(in_dn(typed), written);
        }
    }
}
