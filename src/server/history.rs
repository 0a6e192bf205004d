//! History for a reader, without I/O or clock: which rows a question means, and the lines that they were.
//!
//! [`render`] runs wherever rows are read. [`select`] is what every store must answer, told over rows
//! in memory: the simulation reads from it, and the stores are compared with it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, put, write_line};
use ircv3::multiline::{is_multiline, lines};
use ircv3::time::time_text;
use ircv3::{Cap, CapSet};
use smallvec::SmallVec;

use crate::limits::CONTEXT_A_PAGE;
use crate::server::command::edit;
use crate::server::command::message::forms;
use crate::server::frame::{Form, Frame, OwnTags, Tagged};
use crate::server::record::{
    Border, ContextRow, Expiry, HistoryPage, HistoryQuery, Kind, MessageRow, MsgId, Range, Reader, Seq, Wanted,
};

/// Bytes after which a page goes on in the next piece.
const CHUNK_BYTES: usize = 16 * 1024;
/// The longest line that a piece is allotted room for beyond [`CHUNK_BYTES`]; a longer one grows it.
const LINE_BYTES: usize = 1024;

/// [`render_page`] of rows without anything that is about them.
pub fn render(reader: &Reader, rows: &[(Seq, MessageRow)], reached_end: bool) -> HistoryPage {
    render_page(reader, rows, &[], reached_end)
}

/// The newest of a page, which is longer by what its reader has shown itself: without that, so many as it may have.
pub fn newest<'a>(reader: &Reader, rows: &'a [(Seq, MessageRow)]) -> &'a [(Seq, MessageRow)] {
    let shown = rows.iter().enumerate().rev().filter(|(_, (seq, row))| !reader.has_shown(*seq, row));
    match shown.map(|(at, _)| at).nth(reader.most as usize) {
        Some(last) => &rows[last + 1..],
        None => rows,
    }
}

/// Renders rows, in ascending order, as the lines that they were when they were live, in the form
/// for the reader's capabilities (chathistory, server-time, message-tags, account-tag, extended-join). A channel that was
/// renamed since has its present name in them: under the old one, another may be open in the client.
///
/// With a batch reference the lines stand in a batch, there even when it is empty; its first line has the
/// label, and `draft/chathistory-end` where `reached_end`. Without one the label is on the first line, and
/// no line at all comes of no rows. What is about a row, which comes sorted by that row's number, follows it and is
/// not counted.
pub fn render_page(
    reader: &Reader,
    rows: &[(Seq, MessageRow)],
    mut context: &[ContextRow],
    reached_end: bool,
) -> HistoryPage {
    let left = newest(reader, rows);
    let reached_end = reached_end && left.len() == rows.len();
    let rows = left;
    let cut_at = rows.first().filter(|_| !reached_end).map(|(_, row)| row.time);
    let mut page = HistoryPage { cut_at, ..HistoryPage::default() };
    let mut out = Vec::with_capacity(CHUNK_BYTES + LINE_BYTES);
    let mut label = reader.label.as_deref();
    let reference = reader.batch.as_deref();

    if let Some(reference) = reference {
        put_batch_start(reader, label.take(), reference, reached_end, &mut out);
    }
    let mut tags = TagWriter::new(reader.caps);
    for (seq, row) in rows {
        page.last = *seq;
        let knows = match row.kind {
            Kind::Tagmsg => reader.caps.has(Cap::MessageTags),
            Kind::Edit => reader.caps.has_all(edit::NEEDED) && row.tags.is_some(),
            _ => true,
        };
        if !knows || reader.has_shown(*seq, row) {
            continue;
        }
        if let Some(now) = reader.told {
            put_told(reader, now, row, &mut out);
            page.messages += 1;
            if out.len() >= CHUNK_BYTES {
                page.chunks.push(Bytes::from(std::mem::take(&mut out)));
            }
            continue;
        }
        let own = OwnTags { label: label.take(), batch: reference, context: false };
        if row.kind.is_text() && is_multiline(&row.text) {
            put_lines(reader, *seq, row, own, &mut out);
        } else {
            tags.put(MsgId { epoch: reader.epoch, seq: *seq }, row, own, &mut out);
            put_row(reader, row, &mut out);
        }
        page.messages += 1;
        while let Some((about, later)) = context.split_first()
            && about.parent <= *seq
        {
            context = later;
            if about.parent == *seq {
                let own = OwnTags { label: None, batch: reference, context: true };
                tags.put(MsgId { epoch: reader.epoch, seq: about.seq }, &about.row, own, &mut out);
                put_row(reader, &about.row, &mut out);
            }
        }
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
/// Only rows of the kinds that are wanted are looked at, and only those after `floor` and not before `since`. A border is a place in the
/// order, whether or not there is a row at it. `AROUND` takes half from each side, and more from one
/// where the other has too few.
pub fn select<'a>(
    rows: impl IntoIterator<Item = (Seq, &'a MessageRow)>,
    range: Range,
    limit: u32,
    wanted: Wanted,
    floor: Seq,
    since: u64,
) -> (Vec<(Seq, MessageRow)>, bool) {
    let limit = limit as usize;
    let visible: Vec<(Seq, &MessageRow)> =
        rows.into_iter().filter(|(seq, row)| *seq > floor && row.time >= since && wanted.has(row.kind)).collect();
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

/// The texts of a page, each with its place there: what reactions and edits may be about.
pub fn parents(page: &[(Seq, MessageRow)]) -> impl DoubleEndedIterator<Item = (Seq, &MessageRow)> {
    page.iter().filter(|(_, row)| row.kind.is_text()).map(|(seq, row)| (*seq, row))
}

/// Of the rows that are about each text of a page (its number first, then theirs), those that are sent after it: none that
/// is older than the text, for whoever wrote that guessed its id, and it may be older than what the reader may see; none
/// that is on the page by itself; and of the newest texts first where there are too many. In ascending order.
pub fn choose_context(page: &[(Seq, MessageRow)], mut about: Vec<(Seq, Seq)>) -> Vec<(Seq, Seq)> {
    about.retain(|(parent, seq)| seq > parent && page.binary_search_by_key(seq, |(seq, _)| *seq).is_err());
    about.sort_unstable();
    about.drain(..about.len().saturating_sub(CONTEXT_A_PAGE));
    about
}

/// Leaves out what is about the last message of a page that another one is to follow: it is of a later moment than what
/// follows first, and clients ask for what follows by the last line of a page. Who is shown events has it there by itself, and
/// the message says by itself what it was edited to.
pub fn leave_to_next(
    query: &HistoryQuery,
    page: &[(Seq, MessageRow)],
    reached_end: bool,
    context: &mut Vec<ContextRow>,
) {
    let is_forward = match query.range {
        Range::After(_) => true,
        Range::Between(Border::Seq(a), Border::Seq(b)) | Range::Between(Border::Time(a), Border::Time(b)) => a <= b,
        Range::Between(..) => true,
        _ => false,
    };
    if let Some((last, _)) = page.last().filter(|_| is_forward && !reached_end) {
        context.retain(|about| about.parent != *last);
    }
}

/// Gives edits their tags: of one that is about a text of the page, what that says now.
pub fn tag_context(page: &[(Seq, MessageRow)], epoch: u32, context: &mut [ContextRow]) {
    for about in context.iter_mut().filter(|about| about.row.kind == Kind::Edit) {
        let parent = page.binary_search_by_key(&about.parent, |(seq, _)| *seq).ok().map(|at| &page[at].1);
        let msgid = MsgId { epoch, seq: about.parent }.to_string();
        about.row.tags = parent.map(|parent| edit::tags(&msgid, &parent.text));
    }
}

/// What is about the texts of a page among a conversation's rows: what every store must answer.
pub fn context<'a>(
    rows: impl IntoIterator<Item = (Seq, &'a MessageRow)>,
    page: &[(Seq, MessageRow)],
    reader: &Reader,
) -> Vec<ContextRow> {
    let rows: Vec<(Seq, &MessageRow)> = rows.into_iter().collect();
    let mut about = Vec::new();
    for (parent, _) in parents(page) {
        for (kind, most) in reader.context() {
            let is_about = |row: &MessageRow| row.kind == kind && row.about() == Some(parent);
            let all = rows.iter().rev().filter(|(_, row)| is_about(row));
            about.extend(all.take(most).map(|(seq, _)| (parent, *seq)));
        }
    }
    let chosen = choose_context(page, about);
    let row_of = |seq: Seq| rows.iter().find(|(number, _)| *number == seq).map(|(_, row)| (*row).clone());
    let mut context: Vec<ContextRow> =
        chosen.into_iter().filter_map(|(parent, seq)| Some(ContextRow { parent, seq, row: row_of(seq)? })).collect();
    tag_context(page, reader.epoch, &mut context);
    context
}

/// Which of a conversation's rows, given in ascending order, are past their time: what a store deletes.
///
/// Where rows are counted, text, events and redactions are counted apart, and nothing stays that is older than the
/// oldest text that stays. What is about a message that goes, goes with it.
pub fn overdue<'a>(rows: impl IntoIterator<Item = (Seq, &'a MessageRow)>, expiry: &Expiry) -> Vec<Seq> {
    let rows: Vec<(Seq, &MessageRow)> = rows.into_iter().collect();
    let class = |row: &MessageRow| match row.kind {
        Kind::Privmsg | Kind::Notice => 0,
        Kind::Redact => 2,
        _ => 1,
    };
    let mut before = [expiry.before; 3];
    for (of, border) in before.iter_mut().enumerate() {
        let mut times = rows.iter().rev().filter(|(_, row)| class(row) == of).map(|(_, row)| row.time);
        if let Some(most) = expiry.most
            && let Some(oldest) = times.nth(most.saturating_sub(1) as usize)
        {
            *border = oldest.max(*border);
        }
    }
    before[1] = before[1].max(before[0]);
    before[2] = before[2].max(before[0]);
    let is_old = |row: &MessageRow| row.time < before[class(row)];
    let last = rows.iter().filter(|(_, row)| class(row) == 0 && is_old(row)).map(|(seq, _)| *seq).max();
    let goes = |row: &MessageRow| is_old(row) || row.about().is_some_and(|about| Some(about) <= last);
    rows.iter().filter(|(_, row)| goes(row)).map(|(seq, _)| *seq).collect()
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
        let form = Form {
            needs: CapSet::EMPTY,
            lacks: CapSet::EMPTY,
            lines: SmallVec::from_elem(Bytes::new(), 1),
            tagged: Tagged::Each,
        };
        let forms = SmallVec::from_elem(form, 1);
        let frame = Frame {
            after: 0,
            time: 0,
            msgid: None,
            account: None,
            bot: false,
            oper: false,
            relayed_by: None,
            client_tags: None,
            forms,
        };
        TagWriter { frame, caps }
    }

    fn put(&mut self, msgid: MsgId, row: &MessageRow, own: OwnTags<'_>, out: &mut Vec<u8>) {
        self.frame.time = row.time;
        self.frame.msgid = Some(msgid);
        if self.frame.account.as_ref() != row.shown_account() {
            self.frame.account = row.shown_account().cloned();
        }
        self.frame.bot = row.bot;
        // Of text, the argument is who said it for someone else.
        self.frame.relayed_by = row.argument.as_deref().filter(|_| row.kind.is_text()).map(Arc::from);
        if self.frame.client_tags != row.tags {
            self.frame.client_tags.clone_from(&row.tags);
        }
        if let Some(variant) = self.frame.variant(self.caps) {
            self.frame.render(variant, own, out);
        }
    }
}

/// A message as HistServ tells it: when, who, what. Of several lines, each.
fn put_told(reader: &Reader, now: u64, row: &MessageRow, out: &mut Vec<u8>) {
    let nick = row.argument.as_deref().or_else(|| row.source.split('!').next()).unwrap_or_default();
    let time = time_text(row.time);
    let when = time.get(..19).unwrap_or(&time).replace('T', " ");
    let action = row.text.strip_prefix("\u{1}ACTION ").map(|text| text.trim_end_matches('\u{1}'));
    let said = |text: &str| match (action, row.kind) {
        (Some(_), _) => format!("[{when}] * {nick} {text}"),
        (None, Kind::Notice) => format!("[{when}] -{nick}- {text}"),
        _ => format!("[{when}] <{nick}> {text}"),
    };
    let room = MAX_BODY_BYTES.saturating_sub(HISTSERV.len() + reader.nick.len() + ": NOTICE  :\r\n".len());
    let mut put_one = |text: &str| {
        let text = said(text);
        if reader.caps.has(Cap::ServerTime) {
            out.extend_from_slice(format!("@time={} ", time_text(now)).as_bytes());
        }
        write_line(out, HISTSERV, "NOTICE", &[&reader.nick], Some(cut(&text, room)));
    };
    match action {
        Some(text) => put_one(text),
        None if is_multiline(&row.text) => lines(&row.text).for_each(|(_, text)| put_one(text)),
        None => put_one(&row.text),
    }
}

/// What HistServ speaks as.
const HISTSERV: &str = "HistServ!HistServ@services";

/// A message of several lines: as a batch in the batch, or as single ones.
fn put_lines(reader: &Reader, seq: Seq, row: &MessageRow, own: OwnTags<'_>, out: &mut Vec<u8>) {
    let command = if row.kind == Kind::Notice { "NOTICE" } else { "PRIVMSG" };
    let target = reader.target_of(row);
    let frame = Frame {
        after: 0,
        time: row.time,
        msgid: Some(MsgId { epoch: reader.epoch, seq }),
        account: row.shown_account().cloned(),
        bot: row.bot,
        oper: false,
        relayed_by: None,
        client_tags: row.tags.clone(),
        forms: forms(&row.source, command, &target, &fitting_lines(row, command, &target), &format!("m{seq:x}")),
    };
    if let Some(variant) = frame.variant(reader.caps) {
        frame.render(variant, own, out);
    }
}

/// The lines of a text, each as long as it may be under a name that may be longer than the one it was said under.
fn fitting_lines<'a>(row: &'a MessageRow, command: &str, target: &str) -> Cow<'a, str> {
    let around = ":  ".len() + row.source.len() + command.len() + target.len() + " :\r\n".len();
    let room = MAX_BODY_BYTES.saturating_sub(around);
    if lines(&row.text).all(|(_, line)| line.len() <= room) {
        return Cow::Borrowed(&row.text);
    }
    let mut text = String::with_capacity(row.text.len());
    for (at, (concat, line)) in lines(&row.text).enumerate() {
        if at > 0 {
            text.push(if concat { '\r' } else { '\n' });
        }
        // What does not fit goes on in a line of its own, so that nothing is lost.
        let first = cut(line, room);
        text.push_str(first);
        if first.len() < line.len() {
            text.push('\r');
            text.push_str(&line[first.len()..]);
        }
    }
    text.into()
}

fn put_row(reader: &Reader, row: &MessageRow, out: &mut Vec<u8>) {
    let start = out.len();
    put_whole_row(reader, row, out);
    // Under a longer name than it was said under it may be too long.
    if out.len() - start > MAX_BODY_BYTES {
        let mut end = start + MAX_BODY_BYTES - "\r\n".len();
        while out[end] & 0b1100_0000 == 0b1000_0000 {
            end -= 1;
        }
        out.truncate(end);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_whole_row(reader: &Reader, row: &MessageRow, out: &mut Vec<u8>) {
    let (source, target, text) = (&*row.source, &*reader.target_of(row), &*row.text);
    match row.kind {
        Kind::Privmsg => write_line(out, source, "PRIVMSG", &[target], Some(text)),
        Kind::Notice => write_line(out, source, "NOTICE", &[target], Some(text)),
        Kind::Tagmsg => write_line(out, source, "TAGMSG", &[target], None),
        Kind::Join if reader.caps.has(Cap::ExtendedJoin) => {
            write_line(out, source, "JOIN", &[target, row.account.as_deref().unwrap_or("*")], Some(text));
        }
        Kind::Join => write_line(out, source, "JOIN", &[target], None),
        Kind::Part => write_line(out, source, "PART", &[target], (!text.is_empty()).then_some(text)),
        Kind::Quit => write_line(out, source, "QUIT", &[], Some(text)),
        Kind::Kick => write_line(out, source, "KICK", &[target, row.argument.as_deref().unwrap_or("*")], Some(text)),
        Kind::Mode => write_line(out, source, "MODE", &[target, row.argument.as_deref().unwrap_or("+")], None),
        Kind::Topic => write_line(out, source, "TOPIC", &[target], Some(text)),
        Kind::Nick => write_line(out, source, "NICK", &[text], None),
        Kind::Edit => write_line(out, source, "EDIT", &[target], None),
        Kind::Redact => {
            let middles = [target, row.argument.as_deref().unwrap_or("*")];
            write_line(out, source, "REDACT", &middles, (!text.is_empty()).then_some(text));
        }
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
    out.push(b' ');
    put(out, reader.batch_type);
    if !reader.target.is_empty() {
        out.push(b' ');
        put(out, &reader.target);
    }
    out.extend_from_slice(b"\r\n");
}

fn put_batch_name(reader: &Reader, sign: u8, reference: &str, out: &mut Vec<u8>) {
    out.push(b':');
    put(out, &reader.server);
    out.extend_from_slice(b" BATCH ");
    out.push(sign);
    put(out, reference);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::{Cap, CapSet};
    use smallvec::smallvec;

    use super::{CHUNK_BYTES, choose_context, render, render_page, select};
    use crate::server::record::{Border, HistoryPage, Kind, MessageRow, Range, Reader, Seq, Wanted};

    fn row(time: u64, kind: Kind, text: &str) -> MessageRow {
        MessageRow {
            conversation: 1,
            time,
            kind,
            source: "al!a@host".into(),
            account: None,
            bot: false,
            target: "#r".into(),
            tags: None,
            argument: None,
            text: text.into(),
        }
    }

    fn reader(caps: &[Cap]) -> Reader {
        Reader {
            caps: CapSet::of(caps),
            server: "roost.local".into(),
            label: None,
            batch: None,
            batch_type: "chathistory",
            told: None,
            own: Box::default(),
            most: u32::MAX,
            target: "#r".into(),
            channels: smallvec![(1, "#r".into())],
            epoch: 1,
            nick: "al".into(),
        }
    }

    fn text(page: &HistoryPage) -> String {
        page.chunks.iter().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect()
    }

    fn one_of_each() -> Vec<(Seq, MessageRow)> {
        let argued = |argument: &str, row| MessageRow { argument: Some(argument.into()), ..row };
        let known = |row| MessageRow { account: Some("Al".into()), bot: true, tags: Some("+a=b;+c".into()), ..row };
        let rows = [
            known(row(1, Kind::Privmsg, "hi: there")),
            row(2, Kind::Notice, ""),
            row(3, Kind::Tagmsg, ""),
            row(4, Kind::Join, "Al Real"),
            MessageRow { account: Some("Al".into()), ..row(5, Kind::Join, "Al Real") },
            row(6, Kind::Part, "bye"),
            row(7, Kind::Part, ""),
            row(8, Kind::Quit, "Quit: so"),
            argued("bob", row(9, Kind::Kick, "out")),
            argued("+ov al bob", row(10, Kind::Mode, "")),
            row(11, Kind::Topic, "on topic"),
            row(12, Kind::Nick, "new"),
        ];
        (1..).zip(rows).collect()
    }

    #[test]
    fn a_reader_without_capabilities_gets_plain_lines() {
        let page = render(&reader(&[]), &one_of_each(), true);
        let expected = ":al!a@host PRIVMSG #r :hi: there\r\n\
                        :al!a@host NOTICE #r :\r\n\
                        :al!a@host JOIN #r\r\n\
                        :al!a@host JOIN #r\r\n\
                        :al!a@host PART #r :bye\r\n\
                        :al!a@host PART #r\r\n\
                        :al!a@host QUIT :Quit: so\r\n\
                        :al!a@host KICK #r bob :out\r\n\
                        :al!a@host MODE #r +ov al bob\r\n\
                        :al!a@host TOPIC #r :on topic\r\n\
                        :al!a@host NICK new\r\n";
        assert_eq!(text(&page), expected);
        assert_eq!((page.messages, page.last), (11, 12));
    }

    #[test]
    fn a_reader_with_everything_gets_tags_forms_and_a_batch() {
        let caps = [Cap::MessageTags, Cap::ServerTime, Cap::AccountTag, Cap::Batch, Cap::ExtendedJoin];
        let all = Reader { label: Some("l1".into()), batch: Some("7".into()), ..reader(&caps) };
        let rows = one_of_each();
        let expected = "@label=l1;draft/chathistory-end :roost.local BATCH +7 chathistory #r\r\n\
             @batch=7;time=1970-01-01T00:00:00.001Z;msgid=00000010000000000001;account=Al;bot;+a=b;+c :al!a@host PRIVMSG #r :hi: there\r\n\
             @batch=7;time=1970-01-01T00:00:00.002Z;msgid=00000010000000000002 :al!a@host NOTICE #r :\r\n\
             @batch=7;time=1970-01-01T00:00:00.003Z;msgid=00000010000000000003 :al!a@host TAGMSG #r\r\n\
             @batch=7;time=1970-01-01T00:00:00.004Z;msgid=00000010000000000004 :al!a@host JOIN #r * :Al Real\r\n\
             @batch=7;time=1970-01-01T00:00:00.005Z;msgid=00000010000000000005;account=Al :al!a@host JOIN #r Al :Al Real\r\n\
             :roost.local BATCH -7\r\n";
        let page = render(&all, &rows[..5], true);
        assert_eq!(text(&page), expected);
        assert_eq!((page.messages, page.last), (5, 5));
        let unfinished = text(&render(&all, &rows[..5], false));
        assert!(unfinished.starts_with("@label=l1 :roost.local BATCH +7 chathistory #r\r\n"));
    }

    #[test]
    fn each_tag_comes_only_to_those_who_asked() {
        let rows = &one_of_each()[..1];
        let line =
            |caps: &[Cap]| text(&render(&reader(caps), rows, true)).replace(":al!a@host PRIVMSG #r :hi: there\r\n", "");
        assert_eq!(line(&[Cap::ServerTime]), "@time=1970-01-01T00:00:00.001Z ");
        assert_eq!(line(&[Cap::AccountTag]), "@account=Al ");
        assert_eq!(line(&[Cap::MessageTags]), "@msgid=00000010000000000001;bot;+a=b;+c ");
    }

    #[test]
    fn an_empty_page_is_an_empty_batch_or_nothing() {
        let batched = Reader { batch: Some("7".into()), ..reader(&[Cap::Batch]) };
        let empty = ":roost.local BATCH +7 chathistory #r\r\n:roost.local BATCH -7\r\n";
        assert_eq!(text(&render(&batched, &[], true)), empty);
        assert_eq!(render(&reader(&[Cap::Batch]), &[], true), HistoryPage::default());
    }

    #[test]
    fn context_is_newer_than_its_message_and_not_on_the_page_itself() {
        let page = [(10, row(1, Kind::Privmsg, "")), (20, row(2, Kind::Privmsg, "")), (30, row(3, Kind::Tagmsg, ""))];
        let about = vec![(20, 40), (10, 5), (10, 30), (20, 15), (10, 25)];
        assert_eq!(choose_context(&page, about), [(10, 25), (20, 40)]);
    }

    #[test]
    fn of_what_is_left_without_what_its_reader_has_said_itself_a_page_has_the_newest() {
        let rows: Vec<(Seq, MessageRow)> = (1..=6).map(|n| (n, row(n, Kind::Privmsg, &format!("text {n}")))).collect();
        let page = |own: &[(Seq, Seq)], most| {
            let reader = Reader { own: own.into(), most, ..reader(&[Cap::ServerTime]) };
            let page = render_page(&reader, &rows, &[], true);
            let text = String::from_utf8(page.chunks.concat()).unwrap();
            let shown: Vec<u64> = (1..=6).filter(|n| text.contains(&format!("text {n}"))).collect();
            (shown, page.cut_at.is_some())
        };
        assert_eq!(page(&[(1, 2), (4, 5)], 3), (vec![3, 4, 6], true));
        assert_eq!(page(&[(1, 2), (4, 5)], 4), (vec![1, 3, 4, 6], false));
        assert_eq!(page(&[(8, 9)], 2), (vec![5, 6], true));
    }

    #[test]
    fn what_was_said_in_a_channel_before_it_was_renamed_is_shown_under_its_present_name() {
        let caps = [Cap::ExtendedJoin, Cap::MessageEdit, Cap::MessageTags, Cap::Multiline, Cap::Batch];
        let reader = Reader { channels: smallvec![(1, "#now".into())], ..reader(&caps) };
        let (edit, redact) = (row(13, Kind::Edit, ""), row(14, Kind::Redact, ""));
        let edit = MessageRow { tags: Some("draft/edit-text=x".into()), ..edit };
        let lines = row(15, Kind::Privmsg, "one\ntwo");
        let to_ops = MessageRow { target: "@#r".into(), ..row(16, Kind::Privmsg, "ops") };
        let elsewhere = MessageRow { conversation: 2, ..row(17, Kind::Privmsg, "another") };
        let private = MessageRow { target: "al".into(), ..row(18, Kind::Privmsg, "private") };
        let mut rows = one_of_each();
        rows.extend((13..).zip([edit, redact, lines, to_ops, elsewhere, private]));
        let page = text(&render(&reader, &rows, true));
        assert!(page.contains(" PRIVMSG @#now :ops\r\n") && page.contains("PRIVMSG #r :another\r\n"), "{page}");
        assert!(page.contains(" draft/multiline #now\r\n") && page.contains("PRIVMSG al :private\r\n"), "{page}");
        let old: Vec<&str> = page.lines().filter(|line| line.contains("#r")).collect();
        assert!(old.len() == 1 && old[0].ends_with(" PRIVMSG #r :another"), "{old:?}");
    }

    #[test]
    fn under_a_longer_name_than_it_was_said_under_a_line_is_as_long_as_it_may_be() {
        let long: Box<str> = format!("#{}", "n".repeat(40)).into();
        let reader = |caps: &[Cap]| Reader { channels: smallvec![(1, long.clone())], ..reader(caps) };
        let whole = "ä".repeat(240);
        let rows = [(1, row(1, Kind::Privmsg, &whole)), (2, row(2, Kind::Privmsg, &format!("{whole}\nend")))];
        let page = text(&render(&reader(&[]), &rows, true));
        let lengths: Vec<usize> = page.split_inclusive("\r\n").map(str::len).collect();
        assert!(lengths.iter().all(|length| *length <= 512) && lengths[0] >= 511, "{lengths:?}");
        let said = page.lines().skip(1).filter_map(|line| line.split_once(" :")).map(|(_, text)| text);
        assert_eq!(said.collect::<String>(), format!("{whole}end"), "of several lines nothing is lost");
    }

    #[test]
    fn pieces_hold_whole_lines() {
        let rows: Vec<_> = (1..=1000).map(|n| (n, row(n, Kind::Privmsg, &"x".repeat(400)))).collect();
        let page = render(&reader(&[Cap::ServerTime]), &rows, true);
        assert!(page.chunks.len() > 20);
        for chunk in &page.chunks {
            assert!(chunk.ends_with(b"\r\n") && chunk.starts_with(b"@time=") && chunk.len() < CHUNK_BYTES + 512);
        }
        assert_eq!(text(&page).lines().count(), 1000);
    }

    #[test]
    fn ranges_mean_what_chathistory_says() {
        // Numbers 10, 20, ... 90 at the times 100, 200, ... 900; 50 is a join.
        let kind = |n| if n == 5 { Kind::Join } else { Kind::Privmsg };
        let rows: Vec<_> = (1..10).map(|n| (n * 10, row(n * 100, kind(n), ""))).collect();
        let answer = |range, limit, events, floor| {
            let wanted = Wanted { events, redactions: events, ..Wanted::ALL };
            let (rows, end) = select(rows.iter().map(|(n, row)| (*n, row)), range, limit, wanted, floor, 0);
            (rows.iter().map(|(n, _)| n / 10).collect::<Vec<_>>(), end)
        };
        let ask = |range, limit| answer(range, limit, true, 0);
        let (seq, time) = (Border::Seq, Border::Time);
        assert_eq!(ask(Range::Latest(None), 3), (vec![7, 8, 9], false));
        assert!(ask(Range::Latest(None), 9).1);
        assert_eq!(ask(Range::Latest(Some(seq(60))), 2), (vec![8, 9], false));
        assert_eq!(ask(Range::Latest(Some(time(700))), 5), (vec![8, 9], true));
        assert_eq!(ask(Range::Before(seq(40)), 2), (vec![2, 3], false));
        assert_eq!(ask(Range::Before(seq(41)), 2), (vec![3, 4], false));
        assert_eq!(ask(Range::Before(time(300)), 5), (vec![1, 2], true));
        assert_eq!(ask(Range::After(seq(70)), 1), (vec![8], false));
        assert_eq!(ask(Range::After(time(699)), 2), (vec![7, 8], false));
        assert_eq!(ask(Range::Between(seq(20), time(600)), 2), (vec![3, 4], false));
        assert_eq!(ask(Range::Between(time(600), seq(20)), 2), (vec![4, 5], false));
        assert_eq!(ask(Range::Between(time(600), seq(20)), 3), (vec![3, 4, 5], true));
        assert_eq!(ask(Range::Between(seq(20), seq(20)), 3), (vec![], true));
        assert_eq!(ask(Range::Around(seq(50)), 1), (vec![5], false));
        assert_eq!(ask(Range::Around(seq(50)), 3), (vec![4, 5, 6], false));
        assert_eq!(ask(Range::Around(time(500)), 3), (vec![4, 5, 6], false));
        assert_eq!(ask(Range::Around(seq(55)), 4), (vec![4, 5, 6, 7], false));
        // Short on one side: the other fills the page.
        assert_eq!(ask(Range::Around(seq(90)), 5), (vec![5, 6, 7, 8, 9], false));
        assert_eq!(ask(Range::Around(seq(10)), 4), (vec![1, 2, 3, 4], false));
        assert!(ask(Range::Around(seq(50)), 9).1);
        // Text only, and only after the floor, before anything is counted.
        assert_eq!(answer(Range::After(seq(30)), 2, false, 0), (vec![4, 6], false));
        assert_eq!(answer(Range::Latest(None), 9, true, 70), (vec![8, 9], true));
        assert_eq!(answer(Range::After(time(0)), 1, true, 70), (vec![8], false));
    }
}
