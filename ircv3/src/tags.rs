//! Message tags: the grammar and escaping of <https://ircv3.net/specs/extensions/message-tags>.

use std::borrow::Cow;

/// The tags of one line, read from their raw text. Malformed keys are kept: a key is opaque.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    raw: &'a str,
}

impl<'a> Tags<'a> {
    /// Tags from the text between `@` and the space.
    pub fn new(raw: &'a str) -> Self {
        Tags { raw }
    }

    /// Every tag with a key, in order, as `(key, raw value)`; a missing value is `""`.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.raw
            .split(';')
            .map(|tag| tag.split_once('=').unwrap_or((tag, "")))
            .filter(|(key, _)| !matches!(*key, "" | "+"))
    }

    /// The unescaped value of `key`; where the key stands twice, the last counts.
    pub fn get(self, key: &str) -> Option<Cow<'a, str>> {
        self.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| unescape(value))
    }

    /// The client-only tags whose key (without its `+`) `allowed` lets pass, byte for byte as they
    /// came, `;` between them: what a server relays. Of tags with the same key only the last is
    /// kept. `None` where nothing is left.
    pub fn client_only(self, allowed: impl Fn(&str) -> bool) -> Option<Box<str>> {
        let mut relayed = String::new();
        let mut rest = self.raw;
        while !rest.is_empty() {
            let (tag, after) = rest.split_once(';').unwrap_or((rest, ""));
            rest = after;
            let key = key_of(tag);
            let Some(bare) = key.strip_prefix('+').filter(|bare| !bare.is_empty()) else { continue };
            if !allowed(bare) || Tags::new(rest).iter().any(|(later, _)| later == key) {
                continue;
            }
            if !relayed.is_empty() {
                relayed.push(';');
            }
            relayed.push_str(tag);
        }
        (!relayed.is_empty()).then(|| relayed.into_boxed_str())
    }

    /// Whether there is any client-only tag (a key that begins with `+`).
    pub fn has_client_only(self) -> bool {
        self.iter().any(|(key, _)| key.starts_with('+'))
    }
}

fn key_of(tag: &str) -> &str {
    tag.split_once('=').map_or(tag, |(key, _)| key)
}

/// The value of a tag as it was meant. An unknown escape drops its backslash, as does a lone final one.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => value.push(';'),
            Some('s') => value.push(' '),
            Some('r') => value.push('\r'),
            Some('n') => value.push('\n'),
            Some(other) => value.push(other),
            None => {}
        }
    }
    Cow::Owned(value)
}

/// The value of a tag as it goes on the wire.
pub fn escape(value: &str) -> Cow<'_, str> {
    if !value.contains([';', ' ', '\\', '\r', '\n']) {
        return Cow::Borrowed(value);
    }
    let mut raw = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            ';' => raw.push_str("\\:"),
            ' ' => raw.push_str("\\s"),
            '\\' => raw.push_str("\\\\"),
            '\r' => raw.push_str("\\r"),
            '\n' => raw.push_str("\\n"),
            other => raw.push(other),
        }
    }
    Cow::Owned(raw)
}

#[cfg(test)]
mod tests {
    use super::{Tags, escape, unescape};

    #[test]
    fn a_missing_value_is_an_empty_one_and_a_missing_key_is_no_tag() {
        let tags = Tags::new("a;b=;;=x;+;+=y;c=d=e");
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", ""), ("b", ""), ("c", "d=e")]);
        assert_eq!(tags.get("c").as_deref(), Some("d=e"));
        assert_eq!(tags.get("A"), None, "keys are case-sensitive");
        assert!(!tags.has_client_only() && Tags::new("a;+b").has_client_only());
        assert_eq!(Tags::new("").iter().count(), 0);
    }

    #[test]
    fn odd_keys_are_kept() {
        assert_eq!(Tags::new("é!*=1").get("é!*").as_deref(), Some("1"));
    }

    #[test]
    fn escapes_are_those_of_the_specification() {
        assert_eq!(escape("a; b\\\r\n"), "a\\:\\sb\\\\\\r\\n");
        assert_eq!(unescape("a\\:\\sb\\\\\\r\\n"), "a; b\\\r\n");
        assert_eq!(unescape("\\a\\é\\"), "aé");
    }
}
