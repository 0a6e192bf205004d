//! One line of IRC, parsed once and owned (RFC 1459 2.3.1, Modern IRC, IRCv3 message-tags).
//!
//! A [`Message`] keeps the text of its line and remembers where the parts are, so that it can
//! cross threads with one allocation and hand out `&str` without copying.

use smallvec::SmallVec;
use thiserror::Error;

use crate::tags::{Tags, escape};

/// The most parameters a line may have; what follows the fourteenth is one parameter.
pub const MAX_PARAMS: usize = 15;
/// The most bytes of tags a client may send, between the `@` and the space.
pub const MAX_CLIENT_TAG_BYTES: usize = 4094;
/// The most bytes of tags the server may add, between the `@` (or `;`) and the next delimiter.
pub const MAX_SERVER_TAG_BYTES: usize = 4094;
/// The most bytes of a line after its tags, with CR and LF.
pub const MAX_BODY_BYTES: usize = 512;
/// The most bytes of a JOIN after its tags: phones rejoin all their channels in one unsplit line.
pub const MAX_JOIN_BYTES: usize = 8192;
/// The most bytes of the tag section of a line that the server sends: `@`, two budgets, `;`, space.
pub const MAX_TAG_SECTION_BYTES: usize = 8191;

/// Where a part of the line is: start and end in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Span(u16, u16);

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    text: Box<str>,
    tags: Span,
    source: Span,
    command: Span,
    params: SmallVec<[Span; 6]>,
}

/// Why a line is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing but spaces, or tags or a source with nothing after them.
    #[error("the line has no command")]
    Empty,
    /// A CR, LF or NUL inside the line (RFC 2812 2.3.1).
    #[error("the line has a CR, LF or NUL inside")]
    ForbiddenByte,
    /// More than [`MAX_CLIENT_TAG_BYTES`] of tags.
    #[error("the tags are longer than {MAX_CLIENT_TAG_BYTES} bytes")]
    TagsTooLong,
    /// More than [`MAX_BODY_BYTES`] after the tags; only from [`Message::parse_client`].
    #[error("the line is longer than {MAX_BODY_BYTES} bytes")]
    BodyTooLong,
    /// Longer than any line of any protocol that this crate speaks (65,535 bytes).
    #[error("the line is longer than 65535 bytes")]
    LineTooLong,
}

impl Message {
    /// Parses a line without its CR LF. Runs of spaces separate; the trailing parameter keeps its
    /// bytes; leading spaces are skipped.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Message, ParseError> {
        let text: Box<str> = text.into();
        let bytes = text.as_bytes();
        if bytes.len() > usize::from(u16::MAX) {
            return Err(ParseError::LineTooLong);
        }
        if memchr::memchr3(b'\r', b'\n', 0, bytes).is_some() {
            return Err(ParseError::ForbiddenByte);
        }
        let span = |from: usize, to: usize| Span(from as u16, to as u16);
        let word_end = |from: usize| memchr::memchr(b' ', &bytes[from..]).map_or(bytes.len(), |n| from + n);
        let skip = |mut at: usize| {
            while bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            at
        };

        let mut at = skip(0);
        let mut tags = Span::default();
        if bytes.get(at) == Some(&b'@') {
            let end = word_end(at);
            tags = span(at + 1, end);
            at = skip(end);
        }
        let mut source = Span::default();
        if bytes.get(at) == Some(&b':') {
            let end = word_end(at);
            source = span(at + 1, end);
            at = skip(end);
        }
        let end = word_end(at);
        if end == at {
            return Err(ParseError::Empty);
        }
        let command = span(at, end);
        let mut params = SmallVec::new();
        at = skip(end);
        while at < bytes.len() {
            if bytes[at] == b':' {
                params.push(span(at + 1, bytes.len()));
                break;
            }
            if params.len() == MAX_PARAMS - 1 {
                params.push(span(at, bytes.len()));
                break;
            }
            let end = word_end(at);
            params.push(span(at, end));
            at = skip(end);
        }
        Ok(Message { text, tags, source, command, params })
    }

    /// Parses a line that a client sent: as [`Message::parse`], with the budgets of message-tags
    /// and the 512 bytes of RFC 1459 held. A JOIN may be [`MAX_JOIN_BYTES`] long.
    pub fn parse_client(text: impl Into<Box<str>>) -> Result<Message, ParseError> {
        let message = Message::parse(text)?;
        if message.tags_raw().len() > MAX_CLIENT_TAG_BYTES {
            return Err(ParseError::TagsTooLong);
        }
        let body_start = if message.tags == Span::default() { 0 } else { usize::from(message.tags.1) + 1 };
        let body = message.text.len() - body_start + 2;
        let most = if message.command().eq_ignore_ascii_case("JOIN") { MAX_JOIN_BYTES } else { MAX_BODY_BYTES };
        if body > most {
            return Err(ParseError::BodyTooLong);
        }
        Ok(message)
    }

    fn at(&self, span: Span) -> &str {
        &self.text[usize::from(span.0)..usize::from(span.1)]
    }

    /// The whole line as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tags as they stood between `@` and the space; empty without tags.
    pub fn tags_raw(&self) -> &str {
        self.at(self.tags)
    }

    /// The tags, one by one.
    pub fn tags(&self) -> Tags<'_> {
        Tags::new(self.tags_raw())
    }

    /// The source without its `:`.
    pub fn source(&self) -> Option<&str> {
        (self.source != Span::default()).then(|| self.at(self.source))
    }

    /// The command as it was written, in whatever case.
    pub fn command(&self) -> &str {
        self.at(self.command)
    }

    /// Parameter `index`, counted from 0.
    pub fn param(&self, index: usize) -> Option<&str> {
        self.params.get(index).map(|span| self.at(*span))
    }

    /// All parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.params.iter().map(|span| self.at(*span))
    }

    /// All parameters as they stood, with the spaces between them, and without the colon before the last.
    pub fn params_text(&self) -> String {
        let (Some(first), Some(last)) = (self.params.first(), self.params.last()) else { return String::new() };
        let before = self.at(Span(first.0, last.0));
        [before.strip_suffix(':').unwrap_or(before), self.at(*last)].concat()
    }

    /// How many parameters there are.
    pub fn param_count(&self) -> usize {
        self.params.len()
    }

    /// Appends the message to `out` in its canonical form: one space between the parts, a colon
    /// before the last parameter only where it needs one, tags as they came, CR LF.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.tags != Span::default() {
            out.push(b'@');
            put(out, self.tags_raw());
            out.push(b' ');
        }
        write_parts(out, self.source(), self.command(), self.params());
    }
}

/// Appends one line with tags to `out`, the values escaped, with a colon before the last parameter
/// only where it needs one. A tag whose key cannot stand on the wire is left out, and a parameter
/// before the last is made a [`middle`], so that nothing moves.
pub fn write_message<'a>(
    out: &mut Vec<u8>,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    source: Option<&str>,
    command: &str,
    params: &[&str],
) {
    let mut before = b'@';
    for (key, value) in tags {
        if key.is_empty() || key.contains([' ', ';', '=', '\r', '\n', '\0']) {
            continue;
        }
        out.push(before);
        before = b';';
        put(out, key);
        if !value.is_empty() {
            out.push(b'=');
            put(out, &escape(value));
        }
    }
    if before == b';' {
        out.push(b' ');
    }
    write_parts(out, source, command, params.iter().copied());
}

fn write_parts<'a>(
    out: &mut Vec<u8>,
    source: Option<&str>,
    command: &str,
    params: impl ExactSizeIterator<Item = &'a str>,
) {
    if let Some(source) = source {
        out.push(b':');
        put(out, source);
        out.push(b' ');
    }
    put(out, command);
    let count = params.len();
    for (at, param) in params.enumerate() {
        out.push(b' ');
        if at + 1 < count {
            put(out, middle(param));
            continue;
        }
        if param.is_empty() || param.starts_with(':') || param.contains(' ') {
            out.push(b':');
        }
        put(out, param);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one line to `out`: `:source COMMAND middles :trailing` CR LF.
///
/// The trailing parameter always gets its colon. A CR, LF or NUL in any part is left out, so that
/// no caller can put a second line on the wire.
pub fn write_line(out: &mut Vec<u8>, source: &str, command: &str, middles: &[&str], trailing: Option<&str>) {
    if !source.is_empty() {
        out.push(b':');
        put(out, source);
        out.push(b' ');
    }
    put(out, command);
    for middle in middles {
        out.push(b' ');
        put(out, middle);
    }
    if let Some(trailing) = trailing {
        out.extend_from_slice(b" :");
        put(out, trailing);
    }
    out.extend_from_slice(b"\r\n");
}

/// `text` as it may stand in the middle of a line, where a client's own words are repeated to it:
/// up to its first space, CR, LF or NUL; `*` where it is empty or begins with a colon.
pub fn middle(text: &str) -> &str {
    let word = text.split([' ', '\r', '\n', '\0']).next().unwrap_or_default();
    if word.is_empty() || word.starts_with(':') { "*" } else { word }
}

/// Appends `part` without any CR, LF or NUL.
pub fn put(out: &mut Vec<u8>, part: &str) {
    let bytes = part.as_bytes();
    if memchr::memchr3(b'\r', b'\n', 0, bytes).is_none() {
        out.extend_from_slice(bytes);
    } else {
        out.extend(bytes.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    }
}

/// The longest prefix of `text` of at most `bytes` bytes that does not cut a character.
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::{MAX_PARAMS, Message, ParseError, cut, middle, write_line, write_message};

    fn parsed(line: &str) -> Message {
        Message::parse(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    #[test]
    fn parameters_are_given_as_they_stood() {
        for (line, text) in [
            ("CS", ""),
            ("CS :", ""),
            ("CS a  b", "a  b"),
            ("@x=y :src CS  TOPIC #c :a  b ", "TOPIC #c a  b "),
            ("CS :a :b", "a :b"),
            ("CS a:b ::c", "a:b :c"),
        ] {
            assert_eq!(Message::parse(line).map(|message| message.params_text()).as_deref(), Ok(text), "{line}");
        }
    }

    #[test]
    fn the_fifteenth_parameter_takes_the_rest() {
        let line = format!("CMD {}", (1..=17).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        let message = parsed(&line);
        assert_eq!(message.param_count(), MAX_PARAMS);
        assert_eq!((message.param(13), message.param(14), message.param(15)), (Some("14"), Some("15 16 17"), None));
        let line = format!("CMD {} :15 16", (1..=14).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        assert_eq!(parsed(&line).param(14), Some("15 16"));
    }

    #[test]
    fn a_line_without_a_command_is_none() {
        for line in ["", "   ", "@a=b", "@a=b  ", ":src", ":src ", "@a :src", "@", ":"] {
            assert_eq!(Message::parse(line), Err(ParseError::Empty), "{line:?}");
        }
    }

    #[test]
    fn empty_tags_and_an_empty_source_are_read_as_such() {
        let message = parsed("@ : CMD");
        assert_eq!((message.tags_raw(), message.source(), message.command()), ("", Some(""), "CMD"));
        assert_eq!(parsed("CMD").source(), None);
        let mut out = Vec::new();
        parsed("@ @").write(&mut out);
        assert_eq!(out, b"@ @\r\n");
    }

    #[test]
    fn no_line_is_too_long_to_be_refused() {
        let longest = "a".repeat(usize::from(u16::MAX));
        assert_eq!(parsed(&longest).command().len(), 65_535);
        let trailing = format!("{} :", "a".repeat(65_533));
        assert_eq!(parsed(&trailing).param(0), Some(""));
        assert_eq!(Message::parse(longest + "a"), Err(ParseError::LineTooLong));
    }

    #[test]
    fn lines_are_written_with_colons_where_they_are_needed() {
        let mut out = Vec::new();
        write_line(&mut out, "", "PING", &[], Some("tok"));
        write_line(&mut out, "a!b@c", "MODE", &["#c", "+o bob"], None);
        write_message(&mut out, [("b ad", ""), ("k", "")], None, "X", &["", "a b", ":c", "d"]);
        write_message(&mut out, [], Some("s"), "JOIN", &["#c"]);
        let right = "PING :tok\r\n:a!b@c MODE #c +o bob\r\n@k X * a * d\r\n:s JOIN #c\r\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(right));
    }

    #[test]
    fn middles_are_words() {
        assert_eq!((middle("a"), middle("a b"), middle(""), middle(":a"), middle(" a")), ("a", "a", "*", "*", "*"));
    }

    #[test]
    fn cut_never_halves_a_character() {
        assert_eq!((cut("aé", 3), cut("aé", 2), cut("aé", 1), cut("é", 1), cut("", 0)), ("aé", "a", "a", "", ""));
    }
}
