//! Long answers (LIST, WHO, NAMES of several channels, bans of the server), sent a page at a time as their reader takes them
//! (`SAFELIST`), and the splitting of words over lines.

use std::ops::Range;

use bytes::Bytes;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::action::NetAction;
use crate::server::command::chathistory::{self, Replay};
use crate::server::command::list::List;
use crate::server::command::names::Names;
use crate::server::command::uban::BanList;
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
    /// Bans of the server.
    Bans(BanList),
    /// History, which is written already, and what is to be replayed after it.
    History(std::vec::IntoIter<Bytes>, Option<Replay>),
}

impl Answer {
    /// Appends the next page; whether it is the last.
    fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        match self {
            Answer::List(list) => list.page(server, ctx),
            Answer::Names(names) => names.page(server, ctx),
            Answer::Who(who) => who.page(server, ctx),
            Answer::Bans(bans) => bans.page(server, ctx),
            // Never a page of lines: see `history`.
            Answer::History(..) => true,
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

/// Sends history, so much of it as its reader takes, and goes on with what is to be replayed after it.
pub fn history(server: &mut Server, conn: ConnId, mut chunks: std::vec::IntoIter<Bytes>, replay: Option<Replay>) {
    let mut sent = 0;
    while sent < PAGE_BYTES
        && let Some(bytes) = chunks.next()
    {
        sent += bytes.len();
        server.act(conn, |slot| NetAction::Send { slot, after: 0, bytes });
    }
    if chunks.len() > 0 || (replay.is_some() && sent > 0) {
        if let Some(session) = server.session_mut(conn) {
            session.bulk = Some(Box::new(Bulk { answer: Answer::History(chunks, replay), batch: None }));
        }
        server.act(conn, |slot| NetAction::WhenDrained { slot });
    } else if let Some(replay) = replay {
        let mut ctx = server.ctx(conn, None);
        chathistory::replay_next(server, &mut ctx, replay);
        server.finish(ctx);
    }
}

/// Sends the next page: the reader has taken the one before.
pub fn next_page(server: &mut Server, conn: ConnId) {
    let Some(mut bulk) = server.session_mut(conn).and_then(|session| session.bulk.take()) else { return };
    if let Answer::History(chunks, replay) = bulk.answer {
        return history(server, conn, chunks, replay);
    }
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

/// A server without a network, for the tests of the commands that ask.
#[cfg(test)]
pub(in crate::server) mod testing {
    #![allow(clippy::unwrap_used)]

    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use ircv3::Message;

    use crate::server::Server;
    use crate::server::action::{Actions, Call, NetAction};
    use crate::server::event::{CallId, ConnId, Event, Now, Peer};
    use crate::server::frame::{Frame, OwnTags};
    use crate::server::login::{Door, Proof};
    use crate::server::network::UserId;
    use crate::server::record::{AccountId, AccountRow, Expiry, PresenceRow, Record, Seq, Snapshot};
    use crate::server::right::Rights;
    use crate::server::settings::{Oper, Settings};

    /// An account without a password.
    pub fn account_row(id: AccountId, name: &str) -> AccountRow {
        AccountRow {
            id,
            name: name.into(),
            folded: name.into(),
            password: "".into(),
            registered: 0,
            autoreplay_missed: false,
            always_on: None,
            multiclient: true,
            email: None,
            verified: true,
        }
    }

    /// What a store has of `alice`, who is account 1 and always on in these channels.
    pub fn always_on(channels: &str) -> Snapshot {
        let presence = PresenceRow {
            account: 1,
            since: 1,
            nick: "alice".into(),
            user: "~u".into(),
            hosts: "10.0.0.1 10.0.0.1".into(),
            realname: "A".into(),
            modes: "".into(),
            away: None,
            channels: channels.into(),
            signon: 1,
            left: 1,
        };
        let account = AccountRow { always_on: Some(true), ..account_row(1, "alice") };
        Snapshot { accounts: vec![account], presences: vec![presence], ..Snapshot::default() }
    }

    pub struct Asked {
        pub server: Server,
        pub now: Now,
        actions: Actions,
        slots: u32,
    }

    impl Asked {
        pub fn new() -> Asked {
            Asked::started_with(Snapshot::default())
        }

        /// A server that finds this in its store.
        pub fn started_with(snapshot: Snapshot) -> Asked {
            let settings = Settings {
                throttle: None,
                cloak: None,
                default_user_modes: String::new(),
                server_name: "irc.test".into(),
                ..Settings::default()
            };
            let now = Now { unix_ms: 1_700_000_000_000, mono_ms: 5_000 };
            let snapshot = Snapshot { boot: 1, epoch: 1, ..snapshot };
            let server = Server::new(Arc::new(settings), snapshot, 1, now);
            Asked { server, now, actions: Actions::new(1), slots: 0 }
        }

        /// Connects a user; `caps` as in CAP REQ, none where it is empty.
        pub fn user_with(&mut self, nick: &str, caps: &str) -> ConnId {
            let conn = self.open();
            if !caps.is_empty() {
                self.ask(conn, &format!("CAP REQ :{caps}"));
            }
            self.ask(conn, &format!("NICK {nick}"));
            self.ask(conn, "USER u 0 * :A Name");
            self.ask(conn, "CAP END");
            assert!(self.server.network.user_by_nick(nick).is_some(), "{nick} did not register");
            conn
        }

        pub fn user(&mut self, nick: &str) -> ConnId {
            self.user_with(nick, "")
        }

        pub fn open(&mut self) -> ConnId {
            self.open_from([10, 0, 0, 1])
        }

        /// Opens a connection from this address.
        pub fn open_from(&mut self, address: [u8; 4]) -> ConnId {
            let conn = ConnId { worker: 0, slot: self.slots };
            self.slots += 1;
            let peer = Peer::new(IpAddr::V4(Ipv4Addr::from(address)), 1);
            self.handle(Event::Opened(conn, Box::new(peer)));
            conn
        }

        pub fn handle(&mut self, event: Event) {
            self.actions = Actions::new(1);
            self.server.handle(self.now, event, &mut self.actions);
        }

        /// Whether the server has ended by the last event.
        pub fn has_ended(&self) -> bool {
            self.actions.ended
        }

        /// Whether it starts again once it has ended.
        pub fn starts_again(&self) -> bool {
            self.actions.restart
        }

        /// The calls that the last event asked for.
        pub fn calls(&self) -> &[(CallId, Call)] {
            &self.actions.calls
        }

        /// Takes calls of an earlier event for those of the last.
        pub fn set_calls(&mut self, calls: Vec<(CallId, Call)>) {
            self.actions.calls = calls;
        }

        /// What the last event asked the store to delete.
        pub fn expiries(&self) -> &[Expiry] {
            &self.actions.expire
        }

        /// What the last event gave to the store.
        pub fn kept(&self) -> &[(Seq, Record)] {
            &self.actions.store
        }

        pub fn id(&self, nick: &str) -> UserId {
            self.server.network.user_by_nick(nick).unwrap()
        }

        /// Makes an account of a user's nick, which that is logged in to.
        pub fn account(&mut self, nick: &str, account: AccountId) {
            self.server.network.put_account(account_row(account, nick));
            let id = self.id(nick);
            self.server.network.set_login(id, Some((account, nick.into())));
            for conn in self.server.network.users[id].sessions.clone() {
                self.server.session_mut(conn).unwrap().account = Some(account);
            }
        }

        /// Has a connected user log in to an account, which is made where it is not there yet.
        pub fn log_in(&mut self, conn: ConnId, account: AccountId, name: &str) {
            if self.server.network.account(account).is_none() {
                self.server.network.put_account(account_row(account, name));
            }
            let mut ctx = self.server.ctx(conn, None);
            self.server.admit(&mut ctx, Door::Made, account, "", Proof::Has);
            self.server.finish(ctx);
        }

        /// Connects a device of an account, by the account's nick, which is made where it is not there yet.
        pub fn device(&mut self, name: &str, account: AccountId, device: &str, caps: &str) -> ConnId {
            let conn = self.device_at_the_door(name, account, device, caps);
            self.ask(conn, &format!("NICK {name}"));
            self.ask(conn, "USER u 0 * :A Name");
            self.ask(conn, "CAP END");
            conn
        }

        /// The same, as far as it has logged in and not registered.
        pub fn device_at_the_door(&mut self, name: &str, account: AccountId, device: &str, caps: &str) -> ConnId {
            let conn = self.open();
            self.ask(conn, &format!("CAP REQ :{caps}"));
            if self.server.network.account(account).is_none() {
                self.server.network.put_account(AccountRow { autoreplay_missed: true, ..account_row(account, name) });
            }
            let mut ctx = self.server.ctx(conn, None);
            self.server.admit(&mut ctx, Door::Made, account, device, Proof::Has);
            self.server.finish(ctx);
            conn
        }

        /// Who is in a channel, each with its ranks.
        pub fn ranks(&self, channel: &str) -> Vec<String> {
            let there = &self.server.network.channels[self.server.network.channel_by_name(channel).unwrap()];
            let members = there.members.iter();
            members
                .map(|(id, ranks)| format!("{} {}", self.server.network.users[*id].nick, ranks.prefixes(true)))
                .collect()
        }

        /// Whose a channel is.
        pub fn founder(&self, channel: &str) -> Option<AccountId> {
            self.server.network.channels[self.server.network.channel_by_name(channel)?].founder
        }

        pub fn set_oper(&mut self, nick: &str) {
            let id = self.id(nick);
            let all = Oper { name: nick.into(), rights: Rights::ALL, ..Oper::default() };
            self.server.network.users[id].oper = Some(Arc::new(all));
            self.server.network.users[id].modes.set('o', true);
            self.server.network.opers += 1;
            let conn = self.server.network.users[id].sessions[0];
            self.server.session_mut(conn).unwrap().particulars_mut().is_oper = true;
        }

        /// Sends a line; each page of the answer, as its reader takes one after the other.
        pub fn pages(&mut self, conn: ConnId, line: &str) -> Vec<Vec<String>> {
            let mut pages = Vec::new();
            let mut event = Event::Line(conn, Message::parse_client(line).unwrap());
            loop {
                self.handle(event);
                let page = self.sent(conn);
                let own = |action: &&NetAction| match action {
                    NetAction::Send { slot, .. } | NetAction::WhenDrained { slot } => *slot == conn.slot,
                    _ => false,
                };
                let last = self.actions.net[0].iter().rfind(own);
                let more = matches!(last, Some(NetAction::WhenDrained { .. }));
                for line in &page {
                    let body = if line.starts_with('@') { line.split_once(' ').unwrap().1 } else { line };
                    assert!(body.len() + 2 <= 512, "{} bytes: {line}", body.len() + 2);
                }
                pages.push(page);
                if !more {
                    return pages;
                }
                event = Event::Drained(conn);
            }
        }

        /// What the last event sent to many.
        pub fn fanned_out(&self) -> impl Iterator<Item = &Frame> {
            self.actions.net[0].iter().filter_map(|action| match action {
                NetAction::Fanout { frame, .. } => Some(&**frame),
                _ => None,
            })
        }

        /// What the last event sent to a connection.
        pub fn sent(&self, conn: ConnId) -> Vec<String> {
            let mut lines = Vec::new();
            for action in &self.actions.net[0] {
                if let NetAction::Send { slot, bytes, .. } = action
                    && *slot == conn.slot
                {
                    let text = std::str::from_utf8(bytes).unwrap();
                    lines.extend(text.split_terminator("\r\n").map(str::to_owned));
                }
            }
            lines
        }

        /// What the last event's answer to a connection waits for.
        pub fn answer_waits(&self, conn: ConnId) -> Seq {
            let after = |action: &NetAction| match action {
                NetAction::Send { slot, after, .. } if *slot == conn.slot => Some(*after),
                _ => None,
            };
            self.actions.net[0].iter().filter_map(after).max().unwrap_or_default()
        }

        /// What the last event sent to a connection, with what went to many.
        pub fn heard(&self, conn: ConnId) -> Vec<String> {
            let caps = self.server.session(conn).unwrap().caps;
            let mut bytes = Vec::new();
            for action in &self.actions.net[0] {
                match action {
                    NetAction::Send { slot, bytes: sent, .. } if *slot == conn.slot => bytes.extend_from_slice(sent),
                    NetAction::Fanout { frame, audience, except }
                        if audience.contains(&conn.slot) && *except != conn.slot =>
                    {
                        if let Some(variant) = frame.variant(caps) {
                            frame.render(variant, OwnTags::default(), &mut bytes);
                        }
                    }
                    _ => {}
                }
            }
            String::from_utf8(bytes).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
        }

        /// What the last event closed a connection with.
        pub fn last_words(&self, conn: ConnId) -> String {
            let close = |action: &NetAction| match action {
                NetAction::Close { slot, bytes, .. } if *slot == conn.slot => Some(bytes.clone()),
                _ => None,
            };
            let bytes = self.actions.net[0].iter().find_map(close).unwrap();
            std::str::from_utf8(&bytes).unwrap().to_owned()
        }

        /// Sends a line, and once more with the code that it is to be confirmed with; all lines of the second answer.
        pub fn confirmed(&mut self, conn: ConnId, line: &str) -> Vec<String> {
            let told = self.ask(conn, line).concat();
            let code = told.split_whitespace().last().unwrap();
            self.ask(conn, &format!("{line} {code}"))
        }

        /// Sends a line; all lines of the answer.
        pub fn ask(&mut self, conn: ConnId, line: &str) -> Vec<String> {
            self.pages(conn, line).concat()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::Message;

    use super::testing::Asked;
    use super::{PAGE_BYTES, PAGE_ENTRIES};
    use crate::server::event::Event;

    fn crowd(users: usize) -> Asked {
        let mut asked = Asked::new();
        for n in 0..users {
            asked.user(&format!("user{n}"));
        }
        asked
    }

    #[test]
    fn c33_a_long_answer_comes_in_pages_and_is_whole() {
        let mut asked = crowd(2500);
        let alice = asked.user("alice");
        let pages = asked.pages(alice, "WHO user*");
        assert!(pages.len() >= 5, "{} pages", pages.len());
        for page in &pages {
            let bytes: usize = page.iter().map(|line| line.len() + 2).sum();
            assert!(bytes < PAGE_BYTES + 600, "{bytes} bytes in a page");
        }
        let lines = pages.concat();
        assert_eq!(lines.len(), 2501);
        assert!(lines[..2500].iter().all(|line| line.contains(" 352 alice ")));
        assert!(lines[2500].contains(" 315 alice user* :"), "{}", lines[2500]);
        assert!(asked.server.session(alice).unwrap().bulk.is_none());
    }

    #[test]
    fn a_mask_that_fits_nobody_looks_at_a_bounded_number_of_users_at_once() {
        let mut asked = crowd(2 * PAGE_ENTRIES + 10);
        let alice = asked.user("alice");
        let pages = asked.pages(alice, "WHO nosuch*");
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1]);
    }

    #[test]
    fn a_labelled_long_answer_is_one_batch_over_all_its_pages() {
        let mut asked = crowd(1200);
        let alice = asked.user_with("alice", "labeled-response batch");
        let pages = asked.pages(alice, "@label=x WHO user*");
        assert!(pages.len() > 2, "{} pages", pages.len());
        let lines = pages.concat();
        let open = lines[0].strip_prefix("@label=x :irc.test BATCH +").unwrap();
        let reference = open.strip_suffix(" labeled-response").unwrap().to_owned();
        let (last, inner) = lines[1..].split_last().unwrap();
        assert!(last.ends_with(&format!("BATCH -{reference}")), "{last}");
        assert_eq!(inner.len(), 1201);
        assert!(inner.iter().all(|line| line.starts_with(&format!("@batch={reference} :"))));
        // Empty pages between, and an empty last one but for 315, keep to the batch as well.
        let lines = asked.ask(alice, "@label=y WHO nosuch*");
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("label=y") && lines[1].contains(" 315 ") && lines[2].contains("BATCH -"));
        // What fits into one page needs no batch of several pages, and one line none at all.
        assert_eq!(asked.ask(alice, "@label=z WHO #nosuch").len(), 1);
    }

    #[test]
    fn c33_a_second_long_answer_waits_for_the_first() {
        let mut asked = crowd(1200);
        let alice = asked.user("alice");
        asked.handle(Event::Line(alice, Message::parse_client("WHO user*").unwrap()));
        asked.handle(Event::Line(alice, Message::parse_client("LIST").unwrap()));
        let mut seen = Vec::new();
        while asked.server.session(alice).unwrap().is_busy() {
            asked.handle(Event::Drained(alice));
            seen.extend(asked.sent(alice));
        }
        let end = seen.iter().position(|line| line.contains(" 315 ")).unwrap();
        assert!(seen[end + 1].contains(" 321 "), "{:?}", &seen[end..]);
        assert!(seen.last().unwrap().contains(" 323 "));
    }

    #[test]
    fn users_who_go_between_two_pages_are_passed_over() {
        let mut asked = crowd(1200);
        let alice = asked.user("alice");
        let bob = asked.server.network.users[asked.id("user1150")].sessions[0];
        asked.handle(Event::Line(alice, Message::parse_client("WHO user*").unwrap()));
        asked.handle(Event::Line(bob, Message::parse_client("QUIT").unwrap()));
        let mut seen = Vec::new();
        while asked.server.session(alice).unwrap().is_busy() {
            asked.handle(Event::Drained(alice));
            seen.extend(asked.sent(alice));
        }
        assert!(seen.iter().any(|line| line.contains(" user1149 ")));
        assert!(!seen.iter().any(|line| line.contains(" user1150 ")));
    }
}
