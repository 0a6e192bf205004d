//! The end of the server: whoever is replayed what it misses is asked first what it has read of what it was shown, for once
//! the server is gone nobody is left who could say. Meanwhile everything goes on, but that nobody is let in.

use std::collections::BTreeSet;

use crate::limits;
use crate::server::Server;
use crate::server::event::ConnId;
use crate::server::record::Seq;
use crate::server::session::Session;

/// The server is to end.
#[derive(Debug)]
pub struct Ending {
    /// What its clients are told.
    reason: String,
    /// Whether it starts again.
    restart: bool,
    /// When it no longer waits for answers, on the monotonic clock.
    until: u64,
    /// The last change before it was to end: what is shown after that nobody waits for who has said to be there.
    last: Seq,
}

impl Server {
    /// Ends the server once those have answered who may not have read something, or their time is over. Of several who ask
    /// for that, one who does not want it to start again has its way.
    pub(super) fn begin_to_end(&mut self, reason: String, restart: bool) {
        if let Some(ending) = &mut self.ending {
            if ending.restart && !restart {
                (ending.reason, ending.restart) = (reason, false);
            }
            return;
        }
        let (until, last) = (self.now.mono_ms + limits::LAST_ANSWERS_MS, self.last_seq);
        self.ending = Some(Ending { reason, restart, until, last });
        for conn in self.connections() {
            // Also of one that has read all: it may be dead by now, and be told something before the end.
            if self.session(conn).is_some_and(|session| !session.closing && self.can_be_asked(session)) {
                self.ask_what_is_read(conn);
            }
        }
        self.end_when_answered();
    }

    /// Whoever asks again that the server stops does not want to wait for answers.
    pub(super) fn end_at_once(&mut self) {
        if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.restart) {
            ending.until = self.now.mono_ms;
            self.end_when_answered();
        }
    }

    /// Ends the server where it is to end and waits for nobody: it takes a look at every connection.
    pub(super) fn end_when_answered(&mut self) {
        let Some(Ending { until, last, .. }) = &self.ending else { return };
        let (now, until, last) = (self.now.mono_ms, *until, *last);
        let owing = self.all_sessions().filter(|session| self.owes_an_answer(session, last));
        let owing: BTreeSet<ConnId> = owing.map(|session| session.conn).collect();
        if !owing.is_empty() && now < until {
            for conn in owing.iter().copied() {
                // It was busy until now.
                let is_unasked = |session: &Session| session.is_unasked() && self.can_be_asked(session);
                if self.session(conn).is_some_and(is_unasked) {
                    self.ask_what_is_read(conn);
                }
            }
            return;
        }
        let Some(Ending { reason, restart, .. }) = &self.ending else { return };
        let (reason, restart) = (reason.clone(), *restart);
        for conn in self.connections() {
            // One that has answered is there, and gets what is on its way.
            let is_there = |session: &Session| session.is_there() && !owing.contains(&conn);
            let is_there = self.session(conn).is_some_and(is_there);
            if is_there { self.close_by_itself(conn, &reason, None) } else { self.close(conn, &reason) }
        }
        (self.out.restart, self.out.ended) = (restart, true);
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::LAST_ANSWERS_MS;
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{CloseCause, ConnId, Event, Returned};
    use crate::server::record::{HistoryPage, Seq};

    const CAPS: &str = "server-time";

    /// Alice's phone and bob, in a channel.
    fn talk() -> (Asked, ConnId, ConnId) {
        let mut asked = Asked::new();
        let (phone, bob) = (asked.device("alice", 1, "phone", CAPS), asked.user("bob"));
        asked.ask(phone, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        (asked, phone, bob)
    }

    /// The server is stopped; what a connection hears of that.
    fn stop(asked: &mut Asked, conn: ConnId) -> String {
        asked.handle(Event::Shutdown("bye".into()));
        asked.heard(conn).concat()
    }

    /// Some time goes by.
    fn tick(asked: &mut Asked, milliseconds: u64) {
        asked.now.mono_ms += milliseconds;
        asked.handle(Event::Tick);
    }

    fn read(asked: &Asked) -> Option<Seq> {
        asked.server.network.seen(1, "phone")
    }

    #[test]
    fn a_server_that_is_stopped_waits_until_its_devices_have_said_what_they_have_read() {
        let (mut asked, phone, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :one");
        let heard = stop(&mut asked, phone);
        assert!(heard.contains("PING :read-1") && !heard.contains("ERROR"), "{heard}");
        tick(&mut asked, 250);
        assert!(!asked.has_ended());
        let late = asked.open();
        assert!(asked.server.session(late).is_some_and(|session| session.closing));
        // Everything goes on.
        asked.ask(bob, "PRIVMSG #a :two");
        assert!(asked.heard(phone).concat().contains("two"));
        let two = asked.server.last_seq();
        asked.ask(phone, "PONG :read-1");
        assert!(!asked.has_ended(), "that is looked at once in a while");
        tick(&mut asked, 250);
        assert!(asked.has_ended());
        assert!(asked.last_words(phone).contains("bye"));
        assert!(read(&asked).is_some_and(|read| read >= two), "{:?}, {two}", read(&asked));
    }

    #[test]
    fn what_went_to_a_device_that_is_dead_when_the_server_is_stopped_it_has_missed() {
        for (before, meanwhile) in [(true, false), (false, true), (true, true)] {
            let (mut asked, phone, bob) = talk();
            // Another one is waited for in any case.
            let slow = asked.device("carol", 2, "slow", CAPS);
            asked.ask(slow, "JOIN #b");
            asked.ask(bob, "JOIN #b");
            asked.ask(bob, "PRIVMSG #b :one");
            let came = asked.server.last_seq();
            if before {
                asked.ask(bob, "PRIVMSG #a :one");
            }
            stop(&mut asked, phone);
            if meanwhile {
                asked.ask(bob, "PRIVMSG #a :two");
            }
            tick(&mut asked, LAST_ANSWERS_MS - 1);
            assert!(!asked.has_ended());
            tick(&mut asked, 1);
            assert!(asked.has_ended());
            assert!(read(&asked).is_some_and(|read| read <= came), "{:?}, {came}", read(&asked));
        }
    }

    #[test]
    fn a_server_to_which_nobody_owes_an_answer_ends_at_once() {
        let mut asked = Asked::new();
        let phone = asked.device("alice", 1, "phone", CAPS);
        let modern = asked.device("alice", 1, "modern", "server-time draft/chathistory batch");
        let bob = asked.user("bob");
        for conn in [phone, modern, bob] {
            asked.ask(conn, "JOIN #a");
        }
        asked.ask(bob, "PRIVMSG #a :one");
        let last = asked.server.last_seq();
        asked.now.mono_ms += 5000;
        asked.handle(Event::Tick);
        asked.ask(phone, "PONG :read-1");
        asked.handle(Event::Shutdown("bye".into()));
        assert!(asked.has_ended());
        assert!(read(&asked).is_some_and(|read| read >= last));
    }

    #[test]
    fn a_device_that_goes_while_the_server_waits_for_it_is_waited_for_no_more() {
        let (mut asked, phone, bob) = talk();
        let one = asked.server.last_seq() + 1;
        asked.ask(bob, "PRIVMSG #a :one");
        stop(&mut asked, phone);
        asked.handle(Event::Closed(phone, CloseCause::Error("reset".into())));
        tick(&mut asked, 250);
        assert!(asked.has_ended());
        assert!(read(&asked).is_some_and(|read| read < one));
    }

    #[test]
    fn a_device_that_is_being_replayed_what_it_missed_is_not_asked_in_the_middle_of_it_and_is_waited_for() {
        let (mut asked, phone, bob) = talk();
        asked.handle(Event::Closed(phone, CloseCause::Error("reset".into())));
        asked.ask(bob, "PRIVMSG #a :missed");
        let missed = asked.server.last_seq();
        let phone = asked.device("alice", 1, "phone", CAPS);
        asked.ask(phone, "JOIN #a");
        let Some((id, Call::History(_))) = asked.calls().first() else { panic!("it is replayed nothing") };
        let id = *id;
        let heard = stop(&mut asked, phone);
        assert_eq!(heard, "");
        tick(&mut asked, 250);
        assert!(!asked.has_ended());
        let chunks = vec!["PRIVMSG #a :missed\r\n".into()];
        let page = HistoryPage { chunks, messages: 1, last: 0, cut_at: None };
        asked.handle(Event::Returned(id, Returned::History(page)));
        asked.handle(Event::Drained(phone));
        assert!(asked.heard(phone).concat().contains("PING :replayed-"), "{:?}", asked.heard(phone));
        tick(&mut asked, 250);
        assert!(!asked.has_ended());
        for number in 1..4 {
            asked.ask(phone, &format!("PONG :replayed-{number}"));
        }
        tick(&mut asked, 250);
        assert!(asked.has_ended());
        assert!(read(&asked).is_some_and(|read| read >= missed), "{:?}, {missed}", read(&asked));
    }

    #[test]
    fn who_asks_twice_that_it_stops_waits_for_nobody_and_everything_is_told_and_kept() {
        let (mut asked, phone, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :one");
        let one = asked.server.last_seq();
        stop(&mut asked, phone);
        assert!(!asked.has_ended());
        asked.handle(Event::Shutdown("bye".into()));
        assert!(asked.has_ended());
        assert!(asked.last_words(phone).contains("bye") && asked.last_words(bob).contains("bye"));
        assert!(read(&asked).is_some_and(|read| read < one), "it has not said that it has read that");
    }

    #[test]
    fn of_a_restart_and_a_stop_the_stop_has_its_way() {
        for restart_first in [true, false] {
            let (mut asked, phone, bob) = talk();
            asked.set_oper("bob");
            asked.ask(phone, "PING x");
            asked.ask(bob, "PRIVMSG #a :one");
            for restart in [restart_first, !restart_first] {
                if restart {
                    asked.ask(bob, "RESTART");
                } else {
                    asked.handle(Event::Shutdown("stopped".into()));
                }
            }
            assert!(!asked.has_ended());
            tick(&mut asked, LAST_ANSWERS_MS);
            assert!(asked.has_ended() && !asked.starts_again(), "{restart_first}");
            assert!(asked.last_words(phone).contains("stopped"));
        }
    }
}
