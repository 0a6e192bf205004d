//! Line framing (RFC 1459 2.3, IRCv3 message-tags) as a bounded [`Decoder`].

use std::io;

use bytes::{Buf, BytesMut};
use ircv3::Message;
use ircv3::message::{MAX_CLIENT_TAG_BYTES, MAX_JOIN_BYTES, ParseError};
use tokio_util::codec::Decoder;

use crate::limits::BYTES_WITHOUT_NEWLINE;
use crate::server::event::BadLine;

/// The longest line that may turn out to be a message, without its newline: `@`, tags, a space and
/// the longest body.
const MAX_LINE_BYTES: usize = 1 + MAX_CLIENT_TAG_BYTES + 1 + MAX_JOIN_BYTES;

/// What a line was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A message.
    Message(Message),
    /// A line that is none.
    Bad(BadLine),
}

/// Splits a stream at LF (with or without a CR before it). It never asks for more than
/// [`MAX_LINE_BYTES`] to be kept: a longer line is reported at once and discarded to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineCodec {
    /// Bytes of the present line that were discarded; 0 where the line is still being kept.
    discarded: u32,
}

impl Decoder for LineCodec {
    type Item = Line;
    /// Only [`io::ErrorKind::InvalidData`]: more than [`BYTES_WITHOUT_NEWLINE`] without a newline.
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Line>> {
        loop {
            let end = memchr::memchr(b'\n', src);
            if self.discarded > 0 {
                let gone = end.map_or(src.len(), |end| end + 1);
                src.advance(gone);
                self.discarded = self.discarded.saturating_add(gone as u32);
                bounded(self.discarded as usize)?;
                if end.is_none() {
                    return Ok(None);
                }
                self.discarded = 0;
                continue;
            }
            let Some(end) = end else {
                if src.len() <= MAX_LINE_BYTES {
                    return Ok(None);
                }
                bounded(src.len())?;
                self.discarded = src.len() as u32;
                let bad = BadLine::TooLong { tags: tags_of(src) };
                src.clear();
                return Ok(Some(Line::Bad(bad)));
            };
            bounded(end)?;
            let line = parse_line(src[..end].strip_suffix(b"\r").unwrap_or(&src[..end]));
            src.advance(end + 1);
            if line.is_some() {
                return Ok(line);
            }
        }
    }
}

fn bounded(bytes: usize) -> io::Result<()> {
    if bytes > BYTES_WITHOUT_NEWLINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no end of line"));
    }
    Ok(())
}

/// What a line without its newline is; `None` for a line with nothing in it.
pub fn parse_line(line: &[u8]) -> Option<Line> {
    if line.is_empty() {
        return None;
    }
    if line.len() > MAX_LINE_BYTES {
        return Some(Line::Bad(BadLine::TooLong { tags: tags_of(line) }));
    }
    if memchr::memchr3(b'\r', b'\n', 0, line).is_some() {
        return Some(Line::Bad(BadLine::ForbiddenByte { tags: tags_of(line) }));
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return Some(Line::Bad(BadLine::NotUtf8 { command: command_of(line), tags: tags_of(line) }));
    };
    match Message::parse_client(text) {
        Ok(message) => Some(Line::Message(message)),
        Err(ParseError::Empty) => None,
        Err(ParseError::ForbiddenByte) => Some(Line::Bad(BadLine::ForbiddenByte { tags: tags_of(line) })),
        Err(ParseError::TagsTooLong | ParseError::BodyTooLong | ParseError::LineTooLong) => {
            Some(Line::Bad(BadLine::TooLong { tags: tags_of(line) }))
        }
    }
}

/// The command of a line that is not UTF-8, in upper case; `*` where it has none.
fn command_of(line: &[u8]) -> Box<str> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut word = words.next();
    if word.is_some_and(|word| word.starts_with(b"@")) {
        word = words.next();
    }
    if word.is_some_and(|word| word.starts_with(b":")) {
        word = words.next();
    }
    match word {
        Some(word) if word.len() <= 32 && word.iter().all(u8::is_ascii_alphanumeric) => {
            String::from_utf8_lossy(word).to_ascii_uppercase().into()
        }
        _ => "*".into(),
    }
}

/// The tags of a line that is no message, where they are UTF-8, whole and within their budget, and have
/// no CR, LF or NUL: its answer wants the label.
fn tags_of(line: &[u8]) -> Box<str> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let tags = words.next().and_then(|word| word.strip_prefix(b"@")).unwrap_or_default();
    let good = tags.len() <= MAX_CLIENT_TAG_BYTES && memchr::memchr3(b'\r', b'\n', 0, tags).is_none();
    std::str::from_utf8(if good { tags } else { &[] }).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::BytesMut;
    use tokio_util::codec::Decoder;

    use super::{BYTES_WITHOUT_NEWLINE, Line, LineCodec, MAX_LINE_BYTES, parse_line};
    use crate::server::event::BadLine;

    /// Feeds `pieces` one after the other and writes down what comes out.
    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let (mut codec, mut src, mut out) = (LineCodec::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            src.extend_from_slice(piece);
            loop {
                match codec.decode(&mut src) {
                    Ok(Some(Line::Message(message))) => out.push(message.as_str().to_owned()),
                    Ok(Some(Line::Bad(BadLine::TooLong { .. }))) => out.push("TooLong".to_owned()),
                    Ok(Some(Line::Bad(BadLine::ForbiddenByte { .. }))) => out.push("ForbiddenByte".to_owned()),
                    Ok(Some(Line::Bad(bad))) => out.push(format!("{bad:?}")),
                    Ok(None) => break,
                    Err(_) => {
                        out.push("closed".to_owned());
                        return out;
                    }
                }
            }
            assert!(src.len() <= MAX_LINE_BYTES, "kept {} bytes", src.len());
        }
        out
    }

    #[test]
    fn a_line_ends_with_cr_lf_or_lf_wherever_the_reads_cut_it() {
        assert_eq!(decode(&[b"PING a\r\nPING b\nPI", b"NG c\r", b"\n"]), ["PING a", "PING b", "PING c"]);
    }

    #[test]
    fn empty_lines_are_nothing() {
        assert_eq!(decode(&[b"\r\n\n   \r\n@a=b\r\n:src\r\nPING a\r\n"]), ["PING a"]);
    }

    #[test]
    fn a_body_has_512_bytes_and_tags_4094() {
        let fits = format!("@{} PING {}\r\n", "a".repeat(4094), "b".repeat(512 - 7));
        assert_eq!(decode(&[fits.as_bytes()]).len(), 1);
        assert_ne!(decode(&[fits.as_bytes()]), ["TooLong"]);
        let body = format!("PING {}\r\nPING x\r\n", "b".repeat(512 - 6));
        assert_eq!(decode(&[body.as_bytes()]), ["TooLong", "PING x"]);
        let tags = format!("@{} PING b\r\nPING x\r\n", "a".repeat(4095));
        assert_eq!(decode(&[tags.as_bytes()]), ["TooLong", "PING x"]);
    }

    #[test]
    fn an_endless_line_is_reported_once_discarded_and_closes_past_16_kib() {
        let piece = vec![b'x'; 7_000];
        assert_eq!(decode(&[&piece, &piece, b"\r\nPING x\r\n"]), ["TooLong", "PING x"]);
        assert_eq!(decode(&[&piece, &piece, &piece]), ["TooLong", "closed"]);
        let whole = format!("{}\r\nPING x\r\n", "x".repeat(BYTES_WITHOUT_NEWLINE + 1));
        assert_eq!(decode(&[whole.as_bytes()]), ["closed"]);
    }

    #[test]
    fn nul_and_cr_inside_are_forbidden() {
        assert_eq!(
            decode(&[b"PING a\0b\r\nPING a\rb\r\nPING a\r\r\nPING x\n"]),
            ["ForbiddenByte", "ForbiddenByte", "ForbiddenByte", "PING x"]
        );
    }

    #[test]
    fn a_line_that_is_no_message_has_its_tags_where_they_are_good() {
        let long = "x".repeat(600);
        for (line, tags) in [
            (format!("@label=a PRIVMSG #a :{long}"), "label=a"),
            ("@label=a PRIVMSG #a :a\0b".to_owned(), "label=a"),
            ("@label=a\0b PRIVMSG #a :b".to_owned(), ""),
            (format!("@label=a;+b={} PING c", "x".repeat(4094)), ""),
            (long, ""),
        ] {
            let Some(Line::Bad(bad)) = parse_line(line.as_bytes()) else { panic!("{line} is a message") };
            assert_eq!(bad.tags(), tags, "{line}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_name_their_command() {
        assert_eq!(
            decode(&[b"@a=b :me privmsg #a :\xe9t\xe9\r\n\xff\xff x\r\n"]),
            [("PRIVMSG", "a=b"), ("*", "")].map(|(command, tags)| {
                format!("{:?}", BadLine::NotUtf8 { command: command.into(), tags: tags.into() })
            })
        );
    }
}
