//! What a connection has read of what it is shown: behind that comes a PING, and once it is answered, all before it has been
//! read. Only such connections are asked whose device is replayed what it missed, for only of those it matters: whatever
//! was shown and not read counts as missed when the connection ends without a word, as that of a phone does which has
//! changed its network, and nothing else of it does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ircv3::{Cap, CapSet};

use crate::server::Server;
use crate::server::change::Change;
use crate::server::event::ConnId;
use crate::server::network::{Network, UserId};
use crate::server::record::Seq;
use crate::server::session::Session;

/// Who negotiates one of these asks for what it missed.
pub const ASKS: CapSet = CapSet::of(&[Cap::Chathistory, Cap::Playback]);
/// Looks in one tick at the most.
const LOOKS: usize = 5000;

/// How far a connection has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it was shown up to this change it has read.
    pub read: Seq,
    /// When it is looked at next, on the monotonic clock.
    pub due: u64,
    /// The PING that is not answered yet.
    pub asked: Option<Asked>,
}

/// A PING behind what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it says.
    pub token: Box<str>,
    /// The last change before it.
    pub seq: Seq,
    /// When it was sent, on the monotonic clock.
    pub at: u64,
    /// It waits for so long that the store knows how far its device has read, for a server that is killed has nobody
    /// left who could say.
    pub late: bool,
}

/// When to look at which connection (and which of those that had its slot).
pub type Looks = BinaryHeap<Reverse<(u64, ConnId, u64)>>;

impl Session {
    /// What it has read of what it was shown, as far as is known.
    pub fn has_read(&self) -> Seq {
        let read = match &self.particulars().reading {
            Some(reading) => reading.read,
            None => self.heard_seq,
        };
        // What it has said itself, where nobody else said anything before that, it need not be shown.
        let (before, own) = self.own;
        let read = if read >= before { read.max(own) } else { read };
        self.particulars().unread.as_ref().map_or(read, |unread| unread.after.min(read))
    }

    /// What it has read at most, by what it has left unanswered; `None` where there is nothing of the kind.
    pub fn is_behind(&self) -> Option<Seq> {
        let particulars = self.particulars();
        let unread = particulars.unread.as_ref().map(|unread| unread.after);
        let late =
            particulars.reading.as_ref().filter(|reading| reading.asked.as_ref().is_some_and(|asked| asked.late));
        [unread, late.map(|reading| reading.read)].into_iter().flatten().min()
    }
}

impl Server {
    /// Whether what a connection's device misses is replayed to it: not to clients that can ask (`draft/chathistory`) or
    /// cannot show when a line was said (no `server-time`), and not to bots.
    pub(super) fn is_replayed(&self, session: &Session) -> bool {
        let is_bot = session.user.is_some_and(|user| self.network.users[user].is_bot());
        self.settings.history && !is_bot && !session.caps.has_any(ASKS) && session.caps.has(Cap::ServerTime)
    }

    /// From now on it is known how far a connection has read, where that is to be known.
    pub(super) fn begin_reading(&mut self, conn: ConnId) {
        let (now, last, wait) = (self.now.mono_ms, self.last_seq, self.settings.confirm_ms);
        let Some(session) = self.session_mut(conn) else { return };
        if wait == 0 || session.account.is_none() || session.particulars().reading.is_some() {
            return;
        }
        session.particulars_mut().reading = Some(Reading { read: last, due: now + wait, asked: None });
        let serial = session.serial;
        self.readings.push(Reverse((now + wait, conn, serial)));
    }

    /// A connection says that it has read what came before the PING with this token; whether there was one.
    pub(super) fn has_answered(&mut self, conn: ConnId, token: &str) -> bool {
        let asks = |reading: &Reading| reading.asked.as_ref().is_some_and(|asked| *asked.token == *token);
        let session = self.session_mut(conn).filter(|session| session.particulars().reading.as_ref().is_some_and(asks));
        let reading = session.and_then(|session| session.particulars_mut().reading.as_mut());
        let Some((reading, asked)) = reading.and_then(|reading| reading.asked.take().map(|asked| (reading, asked)))
        else {
            return false;
        };
        reading.read = reading.read.max(asked.seq);
        if asked.late {
            self.note_behind(conn);
        }
        true
    }

    /// Asks those who were shown something since they were last asked.
    pub(super) fn look_after_readings(&mut self) {
        for _ in 0..LOOKS {
            match self.readings.peek() {
                Some(Reverse((at, ..))) if *at <= self.now.mono_ms => {}
                _ => return,
            }
            if let Some(Reverse((at, conn, serial))) = self.readings.pop() {
                self.look_at_reading(at, conn, serial);
            }
        }
    }

    fn look_at_reading(&mut self, at: u64, conn: ConnId, serial: u64) {
        let (now, last, wait) = (self.now.mono_ms, self.last_seq, self.settings.confirm_ms);
        let session = self.session(conn).filter(|session| session.serial == serial && !session.closing);
        let Some(session) = session else { return };
        // One that was begun anew meanwhile is looked at when that one is due.
        let Some(reading) = session.particulars().reading.as_ref().filter(|reading| reading.due == at) else { return };
        let told = session.user.map_or(0, |user| told(&self.network, user));
        let asks = match &reading.asked {
            _ if wait == 0 || !self.is_replayed(session) => {
                if let Some(session) = self.session_mut(conn) {
                    session.particulars_mut().reading = None;
                }
                self.note_behind(conn);
                return;
            }
            Some(asked) => {
                let is_late = !asked.late && now.saturating_sub(asked.at) >= wait;
                if is_late {
                    let reading = self.session_mut(conn).and_then(|session| session.particulars_mut().reading.as_mut());
                    if let Some(asked) = reading.and_then(|reading| reading.asked.as_mut()) {
                        asked.late = true;
                    }
                    self.note_behind(conn);
                }
                false
            }
            None => told > reading.read && !session.is_busy(),
        };
        self.readings.push(Reverse((now + wait, conn, serial)));
        let Some(session) = self.session_mut(conn) else { return };
        let token = asks.then(|| Box::from(format!("read-{}", session.new_batch())));
        if let Some(reading) = &mut session.particulars_mut().reading {
            reading.due = now + wait;
            let asked = token.clone().map(|token| Asked { token, seq: last, at: now, late: false });
            reading.asked = asked.or_else(|| reading.asked.take());
        }
        if let Some(token) = token {
            let mut ctx = self.ctx(conn, None);
            ctx.reply.line_from("", "PING", &[], Some(&token));
            self.finish(ctx);
        }
    }

    /// Whether a connection has read all that it was shown; `false` where it is not known.
    pub(super) fn has_read_all(&self, conn: ConnId) -> bool {
        let Some(session) = self.session(conn) else { return false };
        let (Some(reading), Some(user)) = (&session.particulars().reading, session.user) else { return false };
        reading.read >= self.last_seq || reading.read >= told(&self.network, user)
    }

    /// Keeps how far the device of a connection has read that is behind with it, or that it is so no longer.
    pub(super) fn note_behind(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        let (seen, device) = (session.is_behind(), session.device.clone());
        if let Some(account) = session.account.filter(|account| self.network.seen(*account, &device) != seen) {
            self.submit_alone(Change::Seen { account, device: &device, seen });
        }
    }
}

/// The last change by which a user was told something that would be replayed to it.
fn told(network: &Network, user: UserId) -> Seq {
    let there = &network.users[user];
    let said = |id| network.conversation(network.channels[id].folded.as_str()).map_or(0, |said| said.last_said);
    there.channels.iter().map(|id| said(*id)).max().unwrap_or(0).max(there.told)
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{CloseCause, ConnId, Event, Returned};
    use crate::server::record::{HistoryPage, Record, Seq};

    const WAIT: u64 = 5000;

    /// Alice with a device that is replayed what it missed, and bob, in a channel.
    fn talk() -> (Asked, ConnId, ConnId) {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.device("alice", 1, "phone", "server-time"), asked.user("bob"));
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        (asked, alice, bob)
    }

    /// What she is asked once the time for that has come; empty where nothing is.
    fn later(asked: &mut Asked, conn: ConnId) -> String {
        asked.now.mono_ms += WAIT;
        asked.handle(Event::Tick);
        asked.heard(conn).concat().split_once(' ').map(|(_, line)| line.to_owned()).unwrap_or_default()
    }

    fn said(asked: &mut Asked, conn: ConnId, line: &str) -> Seq {
        asked.ask(conn, line);
        asked.server.last_seq()
    }

    /// What the store was last told by an event of how far a device has read.
    fn seen(asked: &Asked) -> Option<Option<Seq>> {
        let row = |record: &Record| if let Record::Seen(row) = record { Some(row.seq) } else { None };
        asked.kept().iter().filter_map(|(_, record)| row(record)).next_back()
    }

    fn cut() -> CloseCause {
        CloseCause::Error("reset".into())
    }

    #[test]
    fn whoever_was_shown_something_is_asked_once_and_has_read_it_when_it_answers() {
        let (mut asked, alice, bob) = talk();
        assert_eq!(later(&mut asked, alice), "", "nobody has said anything");
        let one = said(&mut asked, bob, "PRIVMSG #a :one");
        assert_eq!(later(&mut asked, alice), "PING :read-1");
        let two = said(&mut asked, bob, "PRIVMSG alice :two");
        assert_eq!(later(&mut asked, alice), "", "it has not answered yet");
        asked.ask(alice, "PONG :read-2");
        asked.ask(alice, "PONG irc.test :read-1");
        assert_eq!(later(&mut asked, alice), "PING :read-2");
        asked.handle(Event::Closed(alice, cut()));
        let read = seen(&asked).flatten().unwrap_or_default();
        assert!((one..two).contains(&read), "it has read up to {read}, not {one}..{two}");
    }

    #[test]
    fn what_it_says_itself_it_has_read_unless_it_was_shown_more_before() {
        for (before, answered) in [(None, true), (Some("PRIVMSG #a :one"), false)] {
            let (mut asked, alice, bob) = talk();
            if let Some(line) = before {
                asked.ask(bob, line);
            }
            let own = said(&mut asked, alice, "PRIVMSG #a :own");
            asked.ask(bob, "PRIVMSG #a :two");
            asked.handle(Event::Closed(alice, cut()));
            assert_eq!(seen(&asked).flatten().is_some_and(|read| read >= own), answered, "{before:?}");
        }
    }

    #[test]
    fn one_that_does_not_answer_is_kept_as_behind_until_it_does() {
        let (mut asked, alice, bob) = talk();
        let one = said(&mut asked, bob, "PRIVMSG #a :one");
        later(&mut asked, alice);
        assert_eq!(seen(&asked), None);
        later(&mut asked, alice);
        assert!(seen(&asked).flatten().is_some_and(|read| read < one), "{:?}", seen(&asked));
        later(&mut asked, alice);
        assert_eq!(seen(&asked), None, "it is known");
        asked.ask(alice, "PONG :read-1");
        assert_eq!(seen(&asked), Some(None));
        // What is given to the system is not read by a client that does not answer.
        asked.ask(bob, "PRIVMSG #a :two");
        later(&mut asked, alice);
        later(&mut asked, alice);
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: Some(Seq::MAX) }));
        assert_eq!(asked.server.network.seen(1, "phone"), Some(one));
    }

    #[test]
    fn who_can_ask_itself_and_a_bot_are_not_asked() {
        for (caps, line) in
            [("server-time draft/chathistory batch", "TIME"), ("batch", "TIME"), ("server-time", "MODE alice +B")]
        {
            let mut asked = Asked::new();
            let (alice, bob) = (asked.device("alice", 1, "phone", caps), asked.user("bob"));
            asked.ask(alice, line);
            asked.ask(alice, "JOIN #a");
            asked.ask(bob, "JOIN #a");
            asked.ask(bob, "PRIVMSG #a :one");
            assert_eq!(later(&mut asked, alice), "", "{caps} {line}");
        }
    }

    #[test]
    fn a_device_that_was_back_while_its_old_connection_was_dead_is_not_put_back_by_the_end_of_that() {
        let (mut asked, old, bob) = talk();
        let lost = said(&mut asked, bob, "PRIVMSG #a :on its way when the phone changes its network");
        let new = asked.device("alice", 1, "phone", "server-time");
        let after = asked.server.session(new).and_then(|session| session.replay_after);
        assert!(after.is_some_and(|after| after < lost), "{after:?}");
        // What it missed is read and replayed, and the PING behind it answered.
        while let Some((id, _)) = asked.calls().first() {
            let page = HistoryPage { chunks: vec!["PRIVMSG #a :on its way\r\n".into()], messages: 1, last: lost };
            asked.handle(Event::Returned(*id, Returned::History(page)));
            asked.handle(Event::Drained(new));
        }
        asked.ask(new, "PONG :replayed-1");
        asked.ask(bob, "PRIVMSG #a :one");
        let read = asked.server.last_seq();
        asked.handle(Event::Closed(new, CloseCause::Eof { shown: Some(read) }));
        asked.ask(bob, "PRIVMSG #a :two");
        asked.handle(Event::Closed(old, cut()));
        assert_eq!(asked.server.network.seen(1, "phone"), Some(read));
    }
}
