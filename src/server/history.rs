//! History for a reader, without I/O or clock: which rows a question means, and the lines that they were.
//!
//! [`render`] runs wherever rows are read. [`select`] is what every store must answer, told over rows
//! in memory: the simulation reads from it, and the stores are compared with it.

use bytes::Bytes;
use ircv3::message::{put, write_line};
use ircv3::{Cap, CapSet};
use smallvec::SmallVec;

use crate::server::frame::{Form, Frame, OwnTags};
use crate::server::record::{Border, HistoryPage, Kind, MessageRow, MsgId, Range, Reader, Seq};

/// Bytes after which a page goes on in the next piece.
const CHUNK_BYTES: usize = 16 * 1024;
/// The longest line that a piece is allotted room for beyond [`CHUNK_BYTES`]; a longer one grows it.
const LINE_BYTES: usize = 1024;

/// Renders rows, in ascending order, as the lines that they were when they were live, in the form
/// for the reader's capabilities (chathistory, server-time, message-tags, account-tag, extended-join).
///
/// With a batch reference the lines stand in a `chathistory` batch, there even when it is empty;
/// its first line has the label, and `draft/chathistory-end` where `reached_end`. Without one the
/// label is on the first line, and no line at all comes of no rows.
pub fn render(reader: &Reader, rows: &[(Seq, MessageRow)], reached_end: bool) -> HistoryPage {
    let mut page = HistoryPage::default();
    let mut out = Vec::with_capacity(CHUNK_BYTES + LINE_BYTES);
    let mut label = reader.label.as_deref();
    let reference = reader.batch.as_deref();

    if let Some(reference) = reference {
        put_batch_start(reader, label.take(), reference, reached_end, &mut out);
    }
    let mut tags = TagWriter::new(reader.caps);
    for (seq, row) in rows {
        page.last = *seq;
        if row.kind == Kind::Tagmsg && !reader.caps.has(Cap::MessageTags) {
            continue;
        }
        tags.put(
            MsgId { epoch: reader.epoch, seq: *seq },
            row,
            OwnTags { label: label.take(), batch: reference },
            &mut out,
        );
        put_row(reader.caps, row, &mut out);
        page.messages += 1;
        if out.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut out, Vec::with_capacity(CHUNK_BYTES + LINE_BYTES));
            page.chunks.push(Bytes::from(full));
        }
    }
    if let Some(reference) = reference {
        put_batch_name(reader, b'-', reference, &mut out);
        out.extend_from_slice(b"\r\n");
    }
    if !out.is_empty() {
        page.chunks.push(Bytes::from(out));
    }
    page
}

/// Which of a conversation's rows, given in ascending order, a question means; and whether there are
/// no more rows in its range than those, so that paging on in its direction finds nothing.
///
/// Without `events` only text is looked at; only rows after `floor` are. A border is a place in the
/// order, whether or not there is a row at it. `AROUND` takes half from each side, and more from one
/// where the other has too few.
pub fn select<'a>(
    rows: impl IntoIterator<Item = (Seq, &'a MessageRow)>,
    range: Range,
    limit: u32,
    events: bool,
    floor: Seq,
) -> (Vec<(Seq, MessageRow)>, bool) {
    let limit = limit as usize;
    let visible: Vec<(Seq, &MessageRow)> =
        rows.into_iter().filter(|(seq, row)| *seq > floor && (events || row.kind.is_text())).collect();
    let before = |border: Border| {
        visible.partition_point(|(seq, row)| match border {
            Border::Seq(border) => *seq < border,
            Border::Time(time) => row.time < time,
        })
    };
    let up_to = |border: Border| {
        visible.partition_point(|(seq, row)| match border {
            Border::Seq(border) => *seq <= border,
            Border::Time(time) => row.time <= time,
        })
    };
    let oldest = |from: usize, to: usize| {
        let from = from.min(to);
        (from..to.min(from.saturating_add(limit)), to - from <= limit)
    };
    let newest = |from: usize, to: usize| {
        let from = from.min(to);
        (from.max(to.saturating_sub(limit))..to, to - from <= limit)
    };
    let (chosen, reached_end) = match range {
        Range::Latest(None) => newest(0, visible.len()),
        Range::Latest(Some(border)) => newest(up_to(border), visible.len()),
        Range::Before(border) => newest(0, before(border)),
        Range::After(border) => oldest(up_to(border), visible.len()),
        Range::Around(border) => {
            let (lower, upper) = (before(border), up_to(border));
            let (take_before, take_after) = share(limit, lower, upper - lower, visible.len() - upper);
            let end = if limit == 0 { 0 } else { upper + take_after };
            ((lower - take_before).min(end)..end, visible.len() <= limit)
        }
        Range::Between(a, b) => {
            let (ascending, descending) = ((up_to(a), before(b)), (up_to(b), before(a)));
            if ascending.0 < ascending.1 {
                oldest(ascending.0, ascending.1)
            } else {
                newest(descending.0, descending.1)
            }
        }
    };
    (visible[chosen].iter().map(|(seq, row)| (*seq, (*row).clone())).collect(), reached_end)
}

/// How many rows `AROUND` takes from before and from after its border, where so many are there and
/// `at` stand at the border itself.
pub fn share(limit: usize, before: usize, at: usize, after: usize) -> (usize, usize) {
    let rest = limit.saturating_sub(at);
    let half = (rest / 2).min(before);
    let take_after = (rest - half).min(after);
    ((rest - take_after).min(before), take_after)
}

/// Writes tags by the rules of [`Frame`]: of a frame whose only line is empty, the tags are all.
struct TagWriter {
    frame: Frame,
    caps: CapSet,
}

impl TagWriter {
    fn new(caps: CapSet) -> TagWriter {
        let form = Form { needs: CapSet::EMPTY, lacks: CapSet::EMPTY, lines: SmallVec::from_elem(Bytes::new(), 1) };
        let forms = SmallVec::from_elem(form, 1);
        let frame = Frame { after: 0, time: 0, msgid: None, account: None, bot: false, client_tags: None, forms };
        TagWriter { frame, caps }
    }

    fn put(&mut self, msgid: MsgId, row: &MessageRow, own: OwnTags<'_>, out: &mut Vec<u8>) {
        self.frame.time = row.time;
        self.frame.msgid = Some(msgid);
        if self.frame.account != row.account {
            self.frame.account.clone_from(&row.account);
        }
        self.frame.bot = row.bot;
        if self.frame.client_tags != row.tags {
            self.frame.client_tags.clone_from(&row.tags);
        }
        if let Some(variant) = self.frame.variant(self.caps) {
            self.frame.render(variant, own, out);
        }
    }
}

fn put_row(caps: CapSet, row: &MessageRow, out: &mut Vec<u8>) {
    let (source, target, text) = (&*row.source, &*row.target, &*row.text);
    match row.kind {
        Kind::Privmsg => write_line(out, source, "PRIVMSG", &[target], Some(text)),
        Kind::Notice => write_line(out, source, "NOTICE", &[target], Some(text)),
        Kind::Tagmsg => write_line(out, source, "TAGMSG", &[target], None),
        Kind::Join if caps.has(Cap::ExtendedJoin) => {
            write_line(out, source, "JOIN", &[target, row.account.as_deref().unwrap_or("*")], Some(text));
        }
        Kind::Join => write_line(out, source, "JOIN", &[target], None),
        Kind::Part => write_line(out, source, "PART", &[target], (!text.is_empty()).then_some(text)),
        Kind::Quit => write_line(out, source, "QUIT", &[], Some(text)),
        Kind::Kick => write_line(out, source, "KICK", &[target, row.argument.as_deref().unwrap_or("*")], Some(text)),
        Kind::Mode => write_line(out, source, "MODE", &[target, row.argument.as_deref().unwrap_or("+")], None),
        Kind::Topic => write_line(out, source, "TOPIC", &[target], Some(text)),
        Kind::Nick => write_line(out, source, "NICK", &[text], None),
    }
}

fn put_batch_start(reader: &Reader, label: Option<&str>, reference: &str, reached_end: bool, out: &mut Vec<u8>) {
    let ended = reached_end && reader.caps.has(Cap::MessageTags);
    if let Some(label) = label {
        out.extend_from_slice(b"@label=");
        out.extend_from_slice(label.as_bytes());
    }
    if ended {
        out.extend_from_slice(if label.is_some() { b";" } else { b"@" });
        out.extend_from_slice(b"draft/chathistory-end");
    }
    if label.is_some() || ended {
        out.push(b' ');
    }
    put_batch_name(reader, b'+', reference, out);
    out.extend_from_slice(b" chathistory ");
    put(out, &reader.target);
    out.extend_from_slice(b"\r\n");
}

fn put_batch_name(reader: &Reader, sign: u8, reference: &str, out: &mut Vec<u8>) {
    out.push(b':');
    put(out, &reader.server);
    out.extend_from_slice(b" BATCH ");
    out.push(sign);
    put(out, reference);
}
