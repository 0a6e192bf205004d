//! Where a command puts its answers. It alone knows about labels, ACK and the batch that several
//! labelled lines need (labeled-response).

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, put, write_line};
use ircv3::numeric::Numeric;
use ircv3::time::put_time;
use ircv3::{Cap, CapSet};
use smallvec::SmallVec;

use crate::server::event::ConnId;
use crate::server::frame::{Frame, OwnTags};
use crate::server::record::Seq;

/// A batch that stays open over several replies: a long answer to a labelled command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// The whole answer is here.
    Whole,
    /// The first page: opens the batch of this reference.
    First(Box<str>),
    /// A page between.
    Middle(Box<str>),
    /// The last page: closes the batch.
    Last(Box<str>),
}

/// The answers to one command.
#[derive(Debug)]
pub struct Reply {
    /// To whom.
    pub conn: ConnId,
    /// Its capabilities.
    pub caps: CapSet,
    /// Its nick, or `*`.
    pub nick: Arc<str>,
    /// They may go out once everything up to here is durable.
    pub after: Seq,
    /// Whether the answer spans several replies.
    pub stream: Stream,
    server: Arc<str>,
    time: u64,
    label: Option<Box<str>>,
    lines: Vec<u8>,
    starts: Vec<usize>,
    /// Where the last line of a batch stands whose first is among `starts`.
    batch_ends: Vec<usize>,
    /// The batch that is open.
    inner: Option<Box<str>>,
    tail: Vec<u8>,
}

impl Reply {
    /// An empty reply. `label` is the escaped value of the command's `label` tag.
    pub fn new(
        conn: ConnId,
        caps: CapSet,
        nick: Arc<str>,
        server: Arc<str>,
        time: u64,
        label: Option<Box<str>>,
    ) -> Reply {
        Reply {
            conn,
            caps,
            nick,
            after: 0,
            stream: Stream::Whole,
            server,
            time,
            label,
            lines: Vec::new(),
            starts: Vec::new(),
            batch_ends: Vec::new(),
            inner: None,
            tail: Vec::new(),
        }
    }

    /// Takes the label away: whoever takes it answers for it.
    pub fn take_label(&mut self) -> Option<Box<str>> {
        self.label.take()
    }

    /// Answers for another command: one whose label was taken before.
    pub fn set_label(&mut self, label: Box<str>) {
        self.label = Some(label);
    }

    /// Whether there are answers to a label that was taken away since.
    pub fn has_lost_label(&self) -> bool {
        self.label.is_none() && !self.starts.is_empty()
    }

    /// Begins with what was answered before.
    pub fn go_on_from(&mut self, answered: Reply) {
        self.after = self.after.max(answered.after);
        self.lines = answered.lines;
        self.starts = answered.starts;
        self.batch_ends = answered.batch_ends;
        self.tail = answered.tail;
    }

    /// Whether the command has a label that nothing has answered yet.
    pub fn is_labelled(&self) -> bool {
        self.label.is_some()
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing has been answered so far.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.tail.is_empty()
    }

    /// Opens a batch of the answer's own: what comes until [`Reply::close_batch`] is in it. `words` are its
    /// type and parameters.
    pub fn open_batch(&mut self, reference: &str, words: &[&str]) {
        let name = format!("+{reference}");
        let mut middles: Vec<&str> = vec![&name];
        middles.extend_from_slice(words);
        self.line("BATCH", &middles, None);
        self.inner = Some(reference.into());
    }

    /// Ends the batch, if one is open.
    pub fn close_batch(&mut self) {
        let Some(reference) = self.inner.take() else { return };
        if self.tells_apart() {
            self.batch_ends.push(self.lines.len());
        }
        let labels = std::mem::take(&mut self.starts);
        self.line("BATCH", &[&format!("-{reference}")], None);
        self.starts = labels;
    }

    /// Whether lines are told apart, to be labelled at the end.
    fn tells_apart(&self) -> bool {
        self.label.is_some() || self.stream != Stream::Whole || !self.starts.is_empty()
    }

    fn start(&mut self) {
        if let Some(reference) = &self.inner {
            self.lines.extend_from_slice(b"@batch=");
            self.lines.extend_from_slice(reference.as_bytes());
            if self.caps.has(Cap::ServerTime) {
                self.lines.extend_from_slice(b";time=");
                put_time(&mut self.lines, self.time);
            }
            self.lines.push(b' ');
            return;
        }
        if self.tells_apart() {
            self.starts.push(self.lines.len());
        }
        if self.caps.has(Cap::ServerTime) {
            self.lines.extend_from_slice(b"@time=");
            put_time(&mut self.lines, self.time);
            self.lines.push(b' ');
        }
    }

    /// A numeric: `:server NNN nick middles :trailing`.
    pub fn numeric(&mut self, numeric: Numeric, middles: &[&str], trailing: Option<&str>) {
        let around = ": 000 \r\n".len() + self.server.len() + self.nick.len();
        let (middles, trailing) = fitting(around, middles, trailing);
        self.start();
        self.lines.push(b':');
        self.lines.extend_from_slice(self.server.as_bytes());
        self.lines.push(b' ');
        self.lines.extend_from_slice(numeric.as_str().as_bytes());
        self.lines.push(b' ');
        self.lines.extend_from_slice(self.nick.as_bytes());
        for middle in &middles {
            self.lines.push(b' ');
            put(&mut self.lines, middle);
        }
        if let Some(trailing) = trailing {
            self.lines.extend_from_slice(b" :");
            put(&mut self.lines, trailing);
        }
        self.lines.extend_from_slice(b"\r\n");
    }

    /// A line from the server: `:server COMMAND middles :trailing`.
    pub fn line(&mut self, command: &str, middles: &[&str], trailing: Option<&str>) {
        let server = self.server.clone();
        self.line_from(&server, command, middles, trailing);
    }

    /// A line from someone else.
    pub fn line_from(&mut self, source: &str, command: &str, middles: &[&str], trailing: Option<&str>) {
        let (middles, trailing) = fitting(source.len() + command.len() + ": \r\n".len(), middles, trailing);
        self.start();
        write_line(&mut self.lines, source, command, &middles, trailing);
    }

    /// A line without source or tags, as old clients want AUTHENTICATE.
    pub fn bare(&mut self, command: &str, param: &str) {
        if self.tells_apart() {
            self.starts.push(self.lines.len());
        }
        write_line(&mut self.lines, "", command, &[param], None);
    }

    /// `FAIL command code context :description` (standard-replies).
    pub fn fail(&mut self, command: &str, code: &str, context: &[&str], description: &str) {
        self.standard("FAIL", command, code, context, description);
    }

    /// `FAIL`, `WARN` or `NOTE`.
    pub fn standard(&mut self, kind: &str, command: &str, code: &str, context: &[&str], description: &str) {
        let mut middles = Vec::with_capacity(2 + context.len());
        middles.push(command);
        middles.push(code);
        middles.extend_from_slice(context);
        self.line(kind, &middles, Some(description));
    }

    /// A NOTICE from the server.
    pub fn notice(&mut self, text: &str) {
        let nick = self.nick.clone();
        self.line("NOTICE", &[&nick], Some(text));
    }

    /// A message that others get too, in the form that fits this connection; whether any fits.
    pub fn frame(&mut self, frame: &Frame) -> bool {
        let Some(variant) = frame.variant(self.caps) else { return false };
        self.after = self.after.max(frame.after);
        let start = self.lines.len();
        frame.render(variant, OwnTags::default(), &mut self.lines);
        if self.tells_apart() {
            self.starts.push(start);
            let lines = &self.lines[start..self.lines.len() - 1];
            let mut others = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| start + at + 1);
            if frame.is_batch(variant) {
                // Its end is in the outer batch, too, if there is one.
                self.batch_ends.push(others.next_back().unwrap_or(start));
            } else {
                self.starts.extend(others);
            }
        }
        true
    }

    /// A message that the connection gets as one of its recipients, not as an answer: never labelled.
    pub fn delivery(&mut self, frame: &Frame) {
        let Some(variant) = frame.variant(self.caps) else { return };
        self.after = self.after.max(frame.after);
        frame.render(variant, OwnTags::default(), &mut self.tail);
    }

    /// The bytes to send; `None` where there is nothing to say. `batch` is a reference for the case
    /// that one is needed.
    pub fn finish(self, batch: impl FnOnce() -> Box<str>) -> Option<Bytes> {
        let mut out = match (&self.stream, &self.label) {
            (Stream::Whole, None) => self.lines,
            (Stream::Whole, Some(label)) => match self.starts.len() {
                0 if self.caps.has(Cap::LabeledResponse) => self.acknowledge(label),
                1 => {
                    let mut out = Vec::with_capacity(self.lines.len() + label.len() + 16);
                    put_tagged(&mut out, "label", label, &self.lines);
                    out
                }
                _ => self.batched(&batch(), true, true),
            },
            (Stream::First(reference), _) => self.batched(reference, true, false),
            (Stream::Middle(reference), _) => self.batched(reference, false, false),
            (Stream::Last(reference), _) => self.batched(reference, false, true),
        };
        out.extend_from_slice(&self.tail);
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    fn acknowledge(&self, label: &str) -> Vec<u8> {
        let mut line = Vec::with_capacity(64);
        self.put_own(&mut line, "ACK", &[]);
        let mut out = Vec::with_capacity(96);
        put_tagged(&mut out, "label", label, &line);
        out
    }

    fn put_own(&self, out: &mut Vec<u8>, command: &str, middles: &[&str]) {
        if self.caps.has(Cap::ServerTime) {
            out.extend_from_slice(b"@time=");
            put_time(out, self.time);
            out.push(b' ');
        }
        write_line(out, &self.server, command, middles, None);
    }

    fn batched(&self, reference: &str, open: bool, close: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.lines.len() + self.starts.len() * 12 + 160);
        if open {
            let mut line = Vec::with_capacity(64);
            self.put_own(&mut line, "BATCH", &[&format!("+{reference}"), "labeled-response"]);
            match &self.label {
                Some(label) => put_tagged(&mut out, "label", label, &line),
                None => out.extend_from_slice(&line),
            }
        }
        for (at, start) in self.starts.iter().enumerate() {
            let end = self.starts.get(at + 1).copied().unwrap_or(self.lines.len());
            let ends = self.batch_ends.iter().copied().find(|last| *start < *last && *last < end).unwrap_or(end);
            put_tagged(&mut out, "batch", reference, &self.lines[*start..ends]);
            if ends < end {
                put_tagged(&mut out, "batch", reference, &self.lines[ends..end]);
            }
        }
        if close {
            self.put_own(&mut out, "BATCH", &[&format!("-{reference}")]);
        }
        out
    }
}

/// The parameters as they fit into a line with `around` other bytes: an answer may repeat a client's own
/// words, of which a JOIN has up to 4 KiB. The longest is cut, for that is what was repeated.
fn fitting<'a>(
    around: usize,
    middles: &[&'a str],
    trailing: Option<&'a str>,
) -> (SmallVec<[&'a str; 8]>, Option<&'a str>) {
    let (mut middles, mut trailing) = (SmallVec::from_slice(middles), trailing);
    let bytes: usize = around
        + middles.iter().map(|middle: &&str| 1 + middle.len()).sum::<usize>()
        + trailing.map_or(0, |text| " :".len() + text.len());
    let excess = bytes.saturating_sub(MAX_BODY_BYTES);
    if excess > 0 {
        let longest = middles.iter_mut().chain(trailing.as_mut()).max_by_key(|param| param.len());
        if let Some(param) = longest {
            *param = cut(param, param.len().saturating_sub(excess));
        }
    }
    (middles, trailing)
}

/// Appends one line with a tag in front of those it has.
fn put_tagged(out: &mut Vec<u8>, key: &str, value: &str, line: &[u8]) {
    out.push(b'@');
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
    match line.split_first() {
        Some((b'@', rest)) => {
            out.push(b';');
            out.extend_from_slice(rest);
        }
        _ => {
            out.push(b' ');
            out.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn c36_no_answer_is_longer_than_512_bytes_whatever_it_repeats() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a");
        let (long, accents, odd) = ("x".repeat(440), "\u{e9}".repeat(220), "\u{1}".repeat(440));
        let join = format!("JOIN #{},{}", "y".repeat(2000), "z".repeat(2000));
        // `ask` itself looks at the length of every line.
        let lines = asked.ask(alice, &join);
        assert!(lines[0].starts_with(":irc.test 476 alice #yyy") && lines[0].ends_with(" is possible"), "{lines:?}");
        assert!(lines[1].starts_with(":irc.test 403 alice zzz"), "{lines:?}");
        for word in [&long, &accents, &odd] {
            for line in [
                word.clone(),
                format!("NICK {word}"),
                format!("PING {word}"),
                format!("PRIVMSG {word} :text"),
                format!("TOPIC #{word}"),
                format!("MODE #{word}"),
                format!("MODE #a +v {word}"),
                format!("MODE #a +b {word}"),
                format!("MODE #a +l {word}"),
                format!("PART #{word}"),
                format!("KICK #{word} bob"),
                format!("INVITE {word} #a"),
                format!("MONITOR + {word}"),
                format!("MONITOR {word}"),
                format!("MARKREAD {word}"),
                format!("CAP {word}"),
                format!("CHATHISTORY LATEST {word} * 1"),
                format!("CHATHISTORY {word} #a * 1"),
                format!("REGISTER {word} * password"),
                format!("VERIFY {word} code"),
                format!("NS {word}"),
                format!("NS INFO {word}"),
                format!("CS INFO {word}"),
            ] {
                assert!(!asked.ask(alice, &line).is_empty(), "{line}");
            }
        }
    }
}
