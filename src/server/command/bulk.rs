//! Long answers (LIST, WHO, NAMES of several channels), sent a page at a time as their reader takes them
//! (`SAFELIST`), and the splitting of words over lines.

use std::ops::Range;

use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::action::NetAction;
use crate::server::command::list::List;
use crate::server::command::names::Names;
use crate::server::command::who::Who;
use crate::server::event::ConnId;
use crate::server::reply::{Reply, Stream};
use crate::server::{Ctx, Server};

/// Bytes after which a page is sent: with what WhenDrained lets lie, a queue stays below
/// [`limits::BULK_BYTES`].
const PAGE_BYTES: usize = limits::BULK_BYTES / 2;
/// Users or channels that are looked at for one page, so that a mask that fits nobody does not hold up
/// everyone.
const PAGE_ENTRIES: usize = 1000;
/// The bytes of a line without its tags, CR LF included (RFC 1459).
const LINE_BYTES: usize = ircv3::message::MAX_BODY_BYTES;

/// A long answer that a session is being sent, and where it stands.
#[derive(Debug)]
pub struct Bulk {
    answer: Answer,
    /// The batch that is open, where the command had a label.
    batch: Option<Box<str>>,
}

/// Which answer.
#[derive(Debug)]
pub enum Answer {
    /// LIST.
    List(List),
    /// NAMES.
    Names(Names),
    /// WHO.
    Who(Who),
}

impl Answer {
    /// Appends the next page; whether it is the last.
    fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        match self {
            Answer::List(list) => list.page(server, ctx),
            Answer::Names(names) => names.page(server, ctx),
            Answer::Who(who) => who.page(server, ctx),
        }
    }
}

/// Begins an answer behind what `ctx` says already. What does not fit into the first page waits in the
/// session until the reader has taken it.
pub fn start(server: &mut Server, ctx: &mut Ctx, mut answer: Answer) {
    if answer.page(server, ctx) {
        return;
    }
    let conn = ctx.conn;
    let labelled = ctx.reply.is_labelled();
    let Some(session) = server.session_mut(conn) else { return };
    let batch = labelled.then(|| session.new_batch());
    session.bulk = Some(Box::new(Bulk { answer, batch: batch.clone() }));
    if let Some(reference) = batch {
        ctx.reply.stream = Stream::First(reference);
    }
    // The page must be queued before WhenDrained is, so it cannot wait for the command to return.
    let empty = server.ctx(conn, None);
    let page = std::mem::replace(ctx, empty);
    server.finish(page);
    server.act(conn, |slot| NetAction::WhenDrained { slot });
}

/// Sends the next page: the reader has taken the one before.
pub fn next_page(server: &mut Server, conn: ConnId) {
    let Some(mut bulk) = server.session_mut(conn).and_then(|session| session.bulk.take()) else { return };
    let mut ctx = server.ctx(conn, None);
    if let Some(reference) = &bulk.batch {
        ctx.reply.stream = Stream::Middle(reference.clone());
    }
    let last = bulk.answer.page(server, &mut ctx);
    if last {
        if let Some(reference) = bulk.batch {
            ctx.reply.stream = Stream::Last(reference);
        }
        server.finish(ctx);
        return;
    }
    if let Some(session) = server.session_mut(conn) {
        session.bulk = Some(bulk);
    }
    server.finish(ctx);
    server.act(conn, |slot| NetAction::WhenDrained { slot });
}

/// The ids that an answer has still to look at. Between two pages one may have gone, or have come to
/// stand for another: whoever takes an id looks again whether it is to be shown.
#[derive(Debug)]
pub enum Cursor {
    /// Every place of a slab.
    All(Range<usize>),
    /// These, in order.
    These(std::vec::IntoIter<usize>),
}

impl Cursor {
    /// Every place of a slab that is in use now.
    pub fn all<T>(slab: &slab::Slab<T>) -> Cursor {
        Cursor::All(0..slab.iter().next_back().map_or(0, |(id, _)| id + 1))
    }

    /// These ids.
    pub fn these(ids: Vec<usize>) -> Cursor {
        Cursor::These(ids.into_iter())
    }

    /// Calls `entry` for one id after the other until the page is full; whether none is left.
    pub fn fill(&mut self, ctx: &mut Ctx, mut entry: impl FnMut(&mut Ctx, usize)) -> bool {
        for _ in 0..PAGE_ENTRIES {
            if is_full(&ctx.reply) {
                return false;
            }
            let Some(id) = self.next() else { return true };
            entry(ctx, id);
        }
        false
    }
}

impl Iterator for Cursor {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Cursor::All(range) => range.next(),
            Cursor::These(ids) => ids.next(),
        }
    }
}

/// Whether a page is to be sent as it is.
pub fn is_full(reply: &Reply) -> bool {
    reply.len() >= PAGE_BYTES
}

/// The bytes that are left for the trailing parameter of a numeric with these middle parameters.
pub fn trailing_room(server: &Server, reply: &Reply, middles: &[&str]) -> usize {
    let middles: usize = middles.iter().map(|middle| 1 + middle.len()).sum();
    let around = ":".len() + server.settings.server_name.len() + " 000 ".len() + reply.nick.len() + " :\r\n".len();
    LINE_BYTES.saturating_sub(around + middles)
}

/// Numerics whose trailing parameter is a list of words, as many of them as the words need.
pub struct WordLines<'a> {
    numeric: Numeric,
    middles: &'a [&'a str],
    room: usize,
    line: String,
    lines: usize,
}

impl<'a> WordLines<'a> {
    /// No words yet.
    pub fn new(server: &Server, reply: &Reply, numeric: Numeric, middles: &'a [&'a str]) -> WordLines<'a> {
        let room = trailing_room(server, reply, middles);
        WordLines { numeric, middles, room, line: String::with_capacity(LINE_BYTES), lines: 0 }
    }

    /// Adds a word, given in parts.
    pub fn push(&mut self, reply: &mut Reply, parts: &[&str]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if !self.line.is_empty() {
            if self.line.len() + 1 + len > self.room {
                self.flush(reply);
            } else {
                self.line.push(' ');
            }
        }
        for part in parts {
            self.line.push_str(part);
        }
    }

    /// Writes the last line; how many there are.
    pub fn finish(mut self, reply: &mut Reply) -> usize {
        if !self.line.is_empty() {
            self.flush(reply);
        }
        self.lines
    }

    fn flush(&mut self, reply: &mut Reply) {
        reply.numeric(self.numeric, self.middles, Some(&self.line));
        self.line.clear();
        self.lines += 1;
    }
}
