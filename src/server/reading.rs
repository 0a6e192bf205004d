//! What a connection has read of what it is shown: behind that comes a PING, and once it is answered, all before it has been
//! read. Only such connections are asked whose device is replayed what it missed, for only of those it matters: whatever
//! was shown and not read counts as missed when the connection ends without a word, as that of a phone does which has
//! changed its network, and nothing else of it does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ahash::AHashMap;
use ircv3::{Cap, CapSet};

use crate::limits;
use crate::server::Server;
use crate::server::event::ConnId;
use crate::server::network::{ChannelId, Network, Stand, UserId};
use crate::server::owed::{self, EVERY_OTHER, NOW, OWN, Owed};
use crate::server::record::{AccountId, ConversationId, SeenRow, Seq};
use crate::server::session::{Input, Particulars, Session};

/// Who negotiates one of these asks for what it missed.
pub const ASKS: CapSet = CapSet::of(&[Cap::Chathistory, Cap::Playback]);
/// Looks in one tick at the most.
const LOOKS: usize = 5000;

/// By account and device, as [`Reading::own`].
pub type OwnSaid = AHashMap<(AccountId, Box<str>), Vec<(Seq, Seq)>>;

/// How far a connection has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it was shown up to this change it has read.
    pub read: Seq,
    /// The last change before it came.
    pub began: Seq,
    /// When that was, on the monotonic clock; or when it was given what another connection of its device owed.
    pub arrived: u64,
    /// Whether it has had the time to come into its channels, or another connection of the device sees to them.
    pub settled: bool,
    /// When it is looked at next, on the monotonic clock.
    pub due: u64,
    /// The PING that is not answered yet.
    pub asked: Option<Asked>,
    /// Whether it ever answered one: a client that says something else in its PONG counts as any other without a reading.
    pub answers: bool,
    /// When another connection of the account has come, neither having a device name, which is replayed what this one had not
    /// read: until it is heard again they are taken for the same client.
    pub taken: Option<u64>,
    /// Whether it is replayed nothing now, being a bot or able to ask itself: it is not asked then.
    pub off: bool,
    /// What there was up to this change in channels that it has not joined, it has among what it owes, or another connection
    /// has.
    pub named: Seq,
    /// What it has said without an echo since it was last known to have read all: behind the first of each pair of changes,
    /// up to the second. It has shown that itself, whatever it is replayed.
    pub own: Vec<(Seq, Seq)>,
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

impl Reading {
    /// Notes what it has said without an echo: behind the first of these changes, up to the second.
    pub fn note_own(&mut self, before: Seq, last: Seq) {
        match self.own.last_mut() {
            Some(there) if there.1 == before => there.1 = last,
            _ => {
                if self.own.len() >= limits::OWN_SAID {
                    self.own.remove(0);
                }
                self.own.push((before, last));
            }
        }
    }

    /// Whether it has had the time to come into its channels by `at`, on the monotonic clock. Whether it has come is known by
    /// when it was heard last: that it is dead is known minutes later.
    pub fn has_had_time(&self, at: u64) -> bool {
        self.settled || at >= self.arrived + limits::ARRIVAL_MS
    }
}

impl Particulars {
    /// The conversations that were replayed to its connection, and are confirmed.
    fn confirmed(&self) -> impl Iterator<Item = ConversationId> {
        // Of those that it has joined late it is owed what is still on its way.
        let is_open = |id: &ConversationId| {
            let owes = || self.owed.iter().any(|owed| owed.conversation == *id && !owed.is_nothing());
            self.more.contains(id) || self.unread.is_some() && (self.given.contains(id) || owes())
        };
        self.replayed.iter().copied().filter(move |id| self.confirmed && !is_open(id))
    }
}

impl Particulars {
    /// What was replayed to its connection is owed no more, but for what it has been given since and not been replayed.
    pub fn drop_replayed(&mut self) {
        let (replayed, more) = (&self.replayed, &self.more);
        self.owed.retain(|owed| !replayed.contains(&owed.conversation) || more.contains(&owed.conversation));
        self.given.clear();
    }
}

impl Session {
    /// How far its device had read when it came, where it is not known to have read any of what it missed since.
    pub fn arriving(&self) -> Option<Seq> {
        let is_replayed = || self.replays && self.particulars().reading.as_ref().is_some_and(|reading| !reading.off);
        let waits = self.registration.is_some() || !self.particulars().confirmed && is_replayed();
        self.mark.filter(|_| waits)
    }

    /// What it has read at most for what is being replayed to it.
    fn replaying(&self) -> Option<Seq> {
        [self.arriving(), self.unread_after()].into_iter().flatten().min()
    }

    /// What it has read at most for a replay that has begun.
    fn unread_after(&self) -> Option<Seq> {
        self.particulars().unread.as_ref()?.after
    }

    /// Whether another connection is in its place, as [`Reading::taken`] has it.
    pub fn is_superseded(&self) -> bool {
        self.particulars().reading.as_ref().and_then(|reading| reading.taken).is_some_and(|taken| self.heard < taken)
    }

    /// Whether there is nothing that it is asked about and has not answered.
    pub fn is_unasked(&self) -> bool {
        self.particulars().reading.as_ref().is_some_and(|reading| reading.asked.is_none())
    }

    /// Whether it is being replayed what it missed, and has not said that it has read that.
    fn is_being_replayed(&self) -> bool {
        self.particulars().unread.as_ref().is_some_and(|unread| !unread.failed && unread.after.is_some())
    }

    /// How far it has read, where it has let time pass since it was asked.
    fn late(&self) -> Option<Seq> {
        let reading = self.particulars().reading.as_ref().filter(|reading| !reading.off)?;
        reading.asked.as_ref().is_some_and(|asked| asked.late).then_some(reading.read)
    }

    /// What it has read of what it was shown, as far as is known.
    pub fn has_read(&self) -> Seq {
        let read = match &self.particulars().reading {
            Some(reading) if !reading.off => reading.read,
            _ => self.heard_seq,
        };
        // What it has said itself, where nobody else said anything before that, it need not be shown.
        let (before, own) = self.own;
        let read = if read >= before { read.max(own) } else { read };
        self.replaying().map_or(read, |most| most.min(read))
    }

    /// What it has read at most, by what it has left unanswered; `None` where there is nothing of the kind.
    pub fn is_behind(&self) -> Option<Seq> {
        [self.replaying(), self.late()].into_iter().flatten().min()
    }

    /// Whether it is known to have been there lately, with all that it missed: no PING behind what it was shown is unanswered.
    pub fn is_there(&self) -> bool {
        let has_come = |reading: &Reading| self.arriving().is_none() || reading.has_had_time(self.heard);
        let is_there = |reading: &Reading| reading.off || reading.asked.is_none() && has_come(reading);
        self.particulars().reading.as_ref().is_none_or(is_there)
    }

    /// What it has read when somebody else ends it, after change `last`: it may have been dead by then.
    pub fn read_when_ended(&self, last: Seq) -> Seq {
        match &self.particulars().reading {
            Some(reading) if !reading.off => self.has_read(),
            _ => self.replaying().map_or(last, |most| most.min(last)),
        }
    }
}

impl Server {
    /// Whether what a connection's device misses is replayed to it: not to clients that can ask (`draft/chathistory`) or
    /// cannot show when a line was said (no `server-time`), not to bots, and not where the account would not have it.
    pub(super) fn is_replayed(&self, session: &Session) -> bool {
        let is_bot = session.user.is_some_and(|user| self.network.users[user].is_bot());
        let wanted = self.settings.history && self.settings.autoreplay_limit > 0;
        wanted && !is_bot && session.replays && !session.caps.has_any(ASKS) && session.caps.has(Cap::ServerTime)
    }

    /// Whether a connection is of a client whose PONG says something else than it was asked, and always will; one that was asked
    /// just now may be about to answer.
    fn is_silent(&self, session: &Session) -> bool {
        let particulars = session.particulars();
        let replayed = particulars.unread.as_ref().filter(|unread| unread.token.is_some()).map(|unread| unread.at);
        particulars.reading.as_ref().filter(|reading| !reading.off).is_some_and(|reading| {
            let asked = replayed.into_iter().chain(reading.asked.as_ref().map(|asked| asked.at)).min();
            let is_long = asked.is_some_and(|at| self.now.mono_ms >= at + self.settings.confirm_ms);
            !reading.answers && reading.has_had_time(self.now.mono_ms) && is_long
        })
    }

    /// A connection ends, and counts as having read up to `seen`: where its client never says so, that is so of what it was
    /// replayed as well.
    pub(super) fn settle_silent(&mut self, conn: ConnId, seen: Seq) {
        let Some(session) = self.session(conn) else { return };
        // All of it has gone out once there was a PING behind it.
        let unread = session.particulars().unread.as_ref();
        let is_replayed = unread.is_some_and(|unread| !unread.failed && unread.token.is_some());
        if is_replayed && seen > session.has_read() && self.is_silent(session) {
            if let Some(session) = self.session_mut(conn) {
                session.particulars_mut().drop_replayed();
            }
            self.note_replay_read(conn);
        }
    }

    /// What a connection has read that ends in good order, having been shown what there was up to `shown`.
    pub(super) fn read_at_end(&self, session: &Session, shown: Seq) -> Seq {
        let particulars = session.particulars();
        let told = session.user.map_or(0, |user| self.network.users[user].told);
        let reading = particulars.reading.as_ref().filter(|reading| !reading.off);
        let answers = reading.is_some_and(|reading| reading.answers);
        // Whoever goes at once, before it has come into its channels, has not read what it missed there. It was there if it
        // was shown something in private.
        let most = if self.is_silent(session) {
            None
        } else if answers || reading.is_some_and(|reading| told > reading.began) {
            [session.unread_after(), session.late().filter(|_| answers)].into_iter().flatten().min()
        } else {
            session.replaying()
        };
        // Whatever was given to the system, it had read so far when it came, and has since, as it has said.
        let known = reading.map_or(0, |_| session.has_read()).max(session.mark.unwrap_or(0));
        most.map_or(shown, |most| most.min(shown)).max(known)
    }

    /// What the device of a connection is owed when that ends now, having read up to `seen`, and the device up to `until`.
    fn owed_by(&self, session: &Session, seen: Seq, until: Seq) -> Vec<Owed> {
        if session.is_superseded() {
            return Vec::new();
        }
        let particulars = session.particulars();
        let mut owed = particulars.owed.clone();
        let is_new = |reading: &Reading| !reading.off && !reading.has_had_time(session.heard);
        // It has come into its channels by now, or asks itself; where it was not there at all, all is still owed.
        let was_there = |reading: &Reading| {
            reading.off || session.arriving().is_none() || session.mark.is_some_and(|mark| seen > mark)
        };
        if particulars.reading.as_ref().is_some_and(|reading| !is_new(reading) && was_there(reading)) {
            owed::settle(&mut owed);
        }
        // The rest of its channels was still to come, each with what it missed there.
        let Some(mark) = session.mark.filter(|_| particulars.reading.as_ref().is_some_and(is_new) && session.replays)
        else {
            self.leave_out_confirmed(session, &mut owed);
            return owed;
        };
        let network = &self.network;
        let after = particulars.reading.as_ref().map_or(mark, |reading| reading.named.max(mark));
        let known: Vec<ConversationId> =
            owed.iter().filter(|owed| !owed.is_nothing()).map(|owed| owed.conversation).collect();
        if after < until {
            let every = Owed { conversation: EVERY_OTHER, after, until };
            let was_replayed = |id| particulars.replayed.contains(&id);
            owed::merge(&mut owed, &[every], |id| network.is_of_channel(id) && !was_replayed(id));
        }
        // Those that it has not confirmed it owes.
        if mark < seen && owed.iter().any(|owed| owed.conversation == EVERY_OTHER) {
            let here = session.user.map_or(&[][..], |user| &network.users[user].channels);
            // What another connection has joined meanwhile may wait for its turn.
            let waits = |id: &ChannelId| {
                session.parked.iter().any(|input| matches!(input, Input::Joined(joined) if joined.contains(id)))
            };
            let here = here.iter().filter(|id| !waits(id));
            let here = here.filter_map(|id| network.conversation(network.channels[*id].folded.as_str()));
            // It may have left others meanwhile.
            let left = particulars.replayed.iter().copied().filter(|id| network.is_of_channel(*id));
            let done = here.map(|conversation| conversation.id).chain(left).filter(|id| !known.contains(id));
            done.for_each(|id| Owed::nothing(id, seen).add_to(&mut owed));
        }
        self.leave_out_confirmed(session, &mut owed);
        owed
    }

    /// How far the device of a connection has read, by any of its connections that there are and were.
    fn device_read(&self, session: &Session) -> Seq {
        let Some(account) = session.account.filter(|_| !session.device.is_empty()) else { return 0 };
        let Some(connected) = self.network.connected(account, &session.device) else { return 0 };
        let read = connected.conns.iter().filter_map(|conn| self.session(*conn)).map(Session::has_read);
        read.max().unwrap_or(0).max(connected.read)
    }

    fn merge_owed(&self, all: &mut Vec<Owed>, more: &[Owed]) {
        owed::merge(all, more, |id| self.network.is_of_channel(id));
    }

    /// Channels that any connection of a device has joined are replayed to all that are on its user: what one has confirmed
    /// the others do not owe.
    fn leave_out_confirmed(&self, session: &Session, owed: &mut Vec<Owed>) {
        let Some(account) = session.account.filter(|_| !owed.is_empty()) else { return };
        let others = self.others_of(session.conn, account, &session.device).into_iter();
        for there in others.filter(|other| other.user == session.user) {
            let read = there.has_read();
            // One of a device that was never here before was replayed nothing, and has read all that it has read.
            let channels = there.user.filter(|_| there.mark.is_none()).map(|user| &self.network.users[user].channels);
            let channels = channels.into_iter().flatten().map(|id| self.network.channels[*id].folded.as_str());
            let channels = channels.filter_map(|key| self.network.conversation(key)).map(|said| said.id);
            for id in there.particulars().confirmed().chain(channels) {
                let of_it = owed.iter().filter(|owed| owed.conversation == id || owed.conversation == EVERY_OTHER);
                let until = of_it.filter(|owed| !owed.is_nothing()).map(|owed| owed.until.min(read)).max();
                until.into_iter().for_each(|until| Owed::nothing(id, until).add_to(owed));
            }
        }
    }

    /// What its device is owed when a connection ends now, having read up to `seen`, but for what only some of its
    /// connections were told.
    pub(super) fn owed_at_end(&self, session: &Session, seen: Seq) -> Vec<Owed> {
        self.owed_by(session, seen, self.device_read(session).max(seen))
    }

    /// A connection of a device ends, having read up to `seen`: what is owed another sees to, where there is one.
    pub(super) fn owe(&mut self, conn: ConnId, account: AccountId, device: &str, owed: &[Owed], seen: Seq) {
        self.end_told(conn, account, device, seen);
        let others: Vec<ConnId> = self.others_of(conn, account, device).iter().map(|other| other.conn).collect();
        let is_alone =
            self.network.connected(account, device).is_none_or(|there| there.conns.iter().all(|one| *one == conn));
        let Some(last) = others.last() else {
            // Of clients without a name others may be there.
            if !is_alone {
                return self.network.owe(account, device, owed);
            }
            let untold = self.unread_beside(account, device);
            self.network.owe(account, device, owed);
            return self.network.owe(account, device, &untold);
        };
        let Some((user, serial)) = self.session(conn).map(|gone| (gone.user, gone.serial)) else { return };
        // What it has confirmed is not known of it any more once it has gone.
        for other in &others {
            let (Some(gone), Some(other)) = (self.session(conn), self.session(*other)) else { continue };
            if other.user == user && user.is_some() {
                let (mut left, other) = (other.particulars().owed.clone(), other.conn);
                let channels = gone.particulars().confirmed().filter(|id| self.network.is_of_channel(*id));
                channels.for_each(|id| Owed::nothing(id, seen).add_to(&mut left));
                if let Some(other) = self.session_mut(other).filter(|other| other.particulars().owed != left) {
                    other.particulars_mut().owed = left;
                }
            }
        }
        let mut owed = owed.to_vec();
        let now = self.now.mono_ms;
        // It sees to the channels that the other had not come into.
        let gone = self.session(conn).and_then(|gone| gone.particulars().reading.as_ref());
        let was_new = gone.is_some_and(|reading| !reading.off && !reading.has_had_time(now));
        let Some(session) = self.session_mut(*last).filter(|_| was_new || !owed.is_empty()) else { return };
        // What the device had read when that came, it is owed no more but for what that was given.
        if let Some(mark) = session.mark.filter(|_| session.serial > serial) {
            owed.iter_mut().filter(|owed| !owed.is_nothing()).for_each(|owed| owed.after = owed.after.max(mark));
            owed.retain(|owed| owed.after <= owed.until);
        }
        let particulars = session.particulars_mut();
        if particulars.unread.is_none() {
            // What it is given now it has not been replayed.
            let given = owed.iter().filter(|owed| !owed.is_nothing()).map(|owed| owed.conversation);
            particulars.more.extend(given.filter(|id| particulars.replayed.contains(id)));
        }
        // What came after that it was shown itself, and is asked for.
        if session.user == user {
            let read = session.has_read();
            let confirmed: Vec<ConversationId> = session.particulars().confirmed().collect();
            let theirs = owed.iter_mut().filter(|owed| !owed.is_nothing() && confirmed.contains(&owed.conversation));
            theirs.for_each(|owed| *owed = owed.up_to(read));
            owed.retain(|owed| owed.after <= owed.until);
        }
        let confirmed: Vec<ConversationId> = session.particulars().confirmed().collect();
        let Some(session) = self.session(*last) else { return };
        let read = self.device_read(session).max(seen);
        let mut all = self.owed_by(session, session.has_read(), read);
        owed::merge(&mut all, &owed, |id| self.network.is_of_channel(id) && !confirmed.contains(&id));
        let Some(session) = self.session_mut(*last) else { return };
        let particulars = session.particulars_mut();
        particulars.owed = all;
        if let Some(reading) = &mut particulars.reading {
            (reading.settled, reading.arrived, reading.named) = (false, now, read);
        }
    }

    /// What a device with connections is owed should the server die now.
    fn owed_to(&self, account: AccountId, device: &str) -> Vec<Owed> {
        let mut all = self.network.owed(account, device).to_vec();
        let conns = self.network.connected(account, device).map_or(&[][..], |connected| &connected.conns);
        let read = conns.iter().filter_map(|conn| self.session(*conn)).filter(|session| !session.is_superseded());
        let until = read.map(|session| session.is_behind().unwrap_or(NOW)).max().unwrap_or(0);
        let until = self.network.connected(account, device).map_or(until, |connected| until.max(connected.read));
        for session in conns.iter().filter_map(|conn| self.session(*conn)) {
            let seen = session.is_behind().unwrap_or(NOW);
            self.merge_owed(&mut all, &self.owed_by(session, seen, until));
        }
        self.merge_owed(&mut all, &self.kept_beside(account, device));
        all
    }

    /// What the device of a connection has said itself, and shown, that may be among what it is replayed: as
    /// [`Reading::own`].
    pub(super) fn own_said(&self, conn: ConnId) -> Vec<(Seq, Seq)> {
        let Some(session) = self.session(conn) else { return Vec::new() };
        let Some(account) = session.account else { return Vec::new() };
        let mut own = self.own_said.get(&(account, session.device.clone())).cloned().unwrap_or_default();
        let others = self.others_of(conn, account, &session.device).into_iter().chain([session]);
        own.extend(others.filter_map(|other| other.particulars().reading.as_ref()).flat_map(|reading| &reading.own));
        own
    }

    /// A connection ends, having read up to `seen`: what its device has said behind that, or what it has said before while it
    /// is owed more, it has shown. Of clients without a name others have not.
    pub(super) fn note_own_said(&mut self, conn: ConnId, account: AccountId, device: &str, seen: Seq, owes: bool) {
        let Some(session) = self.session(conn) else { return };
        let is_read = |(_, last): &(Seq, Seq)| *last <= seen && !owes;
        let own = session.particulars().reading.iter().flat_map(|reading| reading.own.iter().copied());
        let connected = self.network.connected(account, device);
        let is_one =
            !device.is_empty() || connected.is_none_or(|there| self.sessions_but(conn, &there.conns).is_empty());
        let mut own: Vec<(Seq, Seq)> = own.filter(|_| is_one).filter(|own| !is_read(own)).collect();
        let key = (account, device.into());
        let mut all = self.own_said.remove(&key).unwrap_or_default();
        all.retain(|own| !is_read(own));
        all.append(&mut own);
        // Beyond so many, what one has said is replayed to it once.
        if !all.is_empty() && self.own_said.len() < limits::OWN_SAID_DEVICES {
            all.drain(..all.len().saturating_sub(limits::OWN_SAID));
            self.own_said.insert(key, all);
        }
    }

    /// What a device has said itself, and these connections of it, as it is kept beside what it is owed.
    pub(super) fn own_to_keep(&self, account: AccountId, device: &str, conns: &[ConnId]) -> Vec<Owed> {
        // Of clients without a name others have not shown it.
        let conns = if device.is_empty() && conns.len() > 1 { &[] } else { conns };
        let readings = conns.iter().filter_map(|conn| self.session(*conn)?.particulars().reading.as_ref());
        let mut own = self.own_said.get(&(account, device.into())).cloned().unwrap_or_default();
        own.extend(readings.flat_map(|reading| &reading.own));
        let own = own.iter().rev().take(limits::OWN_SAID).rev();
        own.map(|(after, until)| Owed { conversation: OWN, after: *after, until: *until }).collect()
    }

    /// A connection has said something, by change `said`: where it is kept what its device is owed, that is kept with it.
    pub(super) fn note_own_kept(&mut self, conn: ConnId, said: Seq) {
        let Some(session) = self.session(conn) else { return };
        // One that never answers is behind for as long as it is there, and talks as fast as any other.
        let never = |reading: &Reading| !reading.answers && reading.asked.as_ref().is_some_and(|asked| asked.late);
        let answers = session.particulars().reading.as_ref().is_some_and(|reading| !never(reading));
        let stand = session.account.map(|account| self.network.stand(account, &session.device));
        if !answers || stand.is_none_or(|stand| stand.seen.is_none() && stand.owed.is_empty()) {
            return;
        }
        self.note_behind(conn);
        // That is a change as well, and what it says next comes right behind it.
        let last = self.last_seq;
        let Some(session) = self.session_mut(conn) else { return };
        if session.own.1 == said {
            session.own.1 = last;
        }
        let reading = session.particulars_mut().reading.as_mut();
        if let Some(own) = reading.and_then(|reading| reading.own.last_mut()).filter(|own| own.1 == said) {
            own.1 = last;
        }
    }

    /// What devices had said themselves when the server ended, where it was kept what they are owed.
    pub(super) fn own_said_before(rows: &[SeenRow]) -> OwnSaid {
        let own = |row: &SeenRow| -> Vec<(Seq, Seq)> {
            let own = row.owed.iter().filter(|owed| owed.conversation == OWN);
            own.map(|owed| (owed.after, owed.until)).collect()
        };
        // Of most devices nothing is kept.
        let rows = rows.iter().filter(|row| row.owed.iter().any(|owed| owed.conversation == OWN));
        rows.take(limits::OWN_SAID_DEVICES).map(|row| ((row.account, row.device.clone()), own(row))).collect()
    }

    /// An account is no more.
    pub fn forget_own_said(&mut self, account: AccountId) {
        self.own_said.retain(|(of, _), _| *of != account);
    }

    /// The other connections of a device that has a name.
    fn others_of(&self, conn: ConnId, account: AccountId, device: &str) -> Vec<&Session> {
        let connected = self.network.connected(account, device).filter(|_| !device.is_empty());
        connected.map_or_else(Vec::new, |connected| self.sessions_but(conn, &connected.conns))
    }

    /// Another connection of a device sees to what the device is owed: all of that.
    pub(super) fn hand_over_owed(&mut self, conn: ConnId, account: AccountId, device: &str) -> Vec<Owed> {
        let others: Vec<ConnId> = self.others_of(conn, account, device).iter().map(|other| other.conn).collect();
        if device.is_empty() {
            self.take_place(conn, account);
        }
        let owed = |other: ConnId| {
            let session = self.session(other)?;
            let read = session.has_read();
            Some((other, self.owed_by(session, read, self.device_read(session))))
        };
        // What each owes is known by what the others do.
        let all: Vec<(ConnId, Vec<Owed>)> = others.into_iter().filter_map(owed).collect();
        all.iter().for_each(|(_, owed)| self.network.owe(account, device, owed));
        for (other, _) in all {
            let read = self.session(other).map_or(0, |session| self.device_read(session));
            if let Some(session) = self.session_mut(other) {
                let particulars = session.particulars_mut();
                if particulars.unread.is_some() {
                    let given = particulars.owed.iter().filter(|owed| !owed.is_nothing());
                    particulars.given.extend(given.map(|owed| owed.conversation));
                }
                particulars.owed.clear();
                if let Some(reading) = &mut particulars.reading {
                    (reading.settled, reading.named) = (true, read);
                }
            }
        }
        self.network.take_owed(account, device)
    }

    /// From now on it is known how far a connection has read, where that is to be known. Before, it has read up to `read`.
    pub(super) fn begin_reading(&mut self, conn: ConnId, read: Seq) {
        let (now, began, wait) = (self.now.mono_ms, self.last_seq, self.settings.confirm_ms);
        let Some(session) = self.session_mut(conn) else { return };
        if session.account.is_none() || session.particulars().reading.is_some() {
            return;
        }
        let reading = Reading {
            read,
            began,
            arrived: now,
            settled: false,
            due: now + wait,
            asked: None,
            answers: false,
            taken: None,
            off: false,
            named: 0,
            own: Vec::new(),
        };
        session.particulars_mut().reading = Some(reading);
        let serial = session.serial;
        self.readings.push(Reverse((now + wait, conn, serial)));
    }

    /// The same, of one that is replayed only from now on: having been a bot, it has had to see for itself before.
    pub(super) fn begin_late(&mut self, conn: ConnId) {
        let session = self.session(conn).filter(|session| session.particulars().reading.is_none());
        let Some(read) = session.filter(|session| self.is_replayed(session)).map(Session::has_read) else { return };
        if let Some(session) = self.session_mut(conn) {
            session.particulars_mut().confirmed = true;
            session.mark = session.mark.map(|mark| mark.max(read));
        }
        self.begin_reading(conn, read);
    }

    /// A connection says that it has read what came before the PING whose token this is, if there was one.
    pub(super) fn has_answered(&mut self, conn: ConnId, is: impl Fn(&str) -> bool) {
        let session = self.session_mut(conn).filter(|session| session.particulars().reading.is_some());
        let Some(particulars) = session.map(Session::particulars_mut) else { return };
        let Some(reading) = &mut particulars.reading else { return };
        if let Some(asked) = reading.asked.take_if(|asked| is(&asked.token)) {
            reading.read = reading.read.max(asked.seq);
            reading.answers = true;
            reading.own.retain(|(_, last)| *last > reading.read);
            particulars.confirmed = true;
            self.note_behind(conn);
        }
    }

    /// Whether a connection has come into channels, or has had the time to.
    fn has_come(&self, session: &Session) -> bool {
        let has_had_time = |reading: &Reading| reading.has_had_time(self.now.mono_ms);
        session.user.is_some_and(|user| !self.network.users[user].channels.is_empty())
            || session.particulars().reading.as_ref().is_some_and(has_had_time)
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

    /// The time between two looks is another: nobody waits for what it was before.
    pub(super) fn look_anew(&mut self) {
        let due = self.now.mono_ms + self.settings.confirm_ms;
        for Reverse((at, conn, serial)) in std::mem::take(&mut self.readings) {
            let session = self.session_mut(conn).filter(|session| session.serial == serial);
            let reading = session.and_then(|session| session.particulars_mut().reading.as_mut());
            if let Some(reading) = reading.filter(|reading| reading.due == at) {
                reading.due = reading.due.min(due);
                let at = reading.due;
                self.readings.push(Reverse((at, conn, serial)));
            }
        }
    }

    fn look_at_reading(&mut self, at: u64, conn: ConnId, serial: u64) {
        let (now, wait) = (self.now.mono_ms, self.settings.confirm_ms);
        let session = self.session(conn).filter(|session| session.serial == serial && !session.closing);
        let Some(session) = session else { return };
        // One that was begun anew meanwhile is looked at when that one is due.
        let Some(reading) = session.particulars().reading.as_ref().filter(|reading| reading.due == at) else { return };
        let off = !self.is_replayed(session);
        let told = session.user.map_or(0, |user| told(&self.network, user));
        let late = reading.asked.as_ref().is_some_and(|asked| !asked.late && now.saturating_sub(asked.at) >= wait);
        let (turned, heard) = (off != reading.off, session.heard_seq);
        let is_new = session.arriving().is_some() && self.has_come(session);
        // Once the server is to end, that has asked.
        let may = self.ending.is_none() && !turned && session.is_unasked() && self.can_be_asked(session);
        let asks = may && (told > reading.read || is_new);
        let settled = reading.has_had_time(session.heard);
        let settles = settled && !reading.settled;
        let is_there = session.arriving().is_none();
        self.readings.push(Reverse((now + wait, conn, serial)));
        let Some(session) = self.session_mut(conn) else { return };
        let particulars = session.particulars_mut();
        // It has been in all of its channels by now.
        if settled && is_there {
            owed::settle(&mut particulars.owed);
        }
        // What it missed while it was not replayed anything it has had to ask for.
        particulars.confirmed |= turned && off;
        if let Some(reading) = &mut particulars.reading {
            reading.due = now + wait;
            reading.settled = settled;
            if turned {
                // Whoever is not asked has read what there was when it was last heard.
                let (read, asked) = (reading.read.max(heard), None);
                (reading.read, reading.asked, reading.off) = (read, asked, off);
            }
            if let Some(asked) = &mut reading.asked {
                asked.late |= late;
            }
        }
        if turned || late || settles {
            self.note_behind(conn);
        }
        if asks {
            self.ask_what_is_read(conn);
        }
    }

    /// Asks a connection whether it has read what it was shown. One that has let time pass since it was asked before is
    /// still late.
    pub(super) fn ask_what_is_read(&mut self, conn: ConnId) {
        let (now, last) = (self.now.mono_ms, self.last_seq);
        let Some(session) = self.session_mut(conn) else { return };
        let token = Box::<str>::from(format!("read-{}", session.new_batch()));
        let Some(reading) = &mut session.particulars_mut().reading else { return };
        let (at, late) = reading.asked.take().map_or((now, false), |before| (before.at, before.late));
        reading.asked = Some(Asked { token: token.clone(), seq: last, at, late });
        let mut ctx = self.ctx(conn, None);
        ctx.reply.line_from("", "PING", &[], Some(&token));
        self.finish(ctx);
    }

    /// Whether what is behind what it was shown, and not in the middle of what is sent to it, can be asked for.
    pub(super) fn can_be_asked(&self, session: &Session) -> bool {
        let is_on = session.particulars().reading.as_ref().is_some_and(|reading| !reading.off);
        is_on && self.is_replayed(session) && !session.is_being_replayed() && !session.is_busy()
    }

    /// Whether it may not have read something that it was shown up to this change, or replayed.
    pub(super) fn owes_an_answer(&self, session: &Session, until: Seq) -> bool {
        let is_on = session.particulars().reading.as_ref().is_some_and(|reading| !reading.off);
        let told = session.user.map_or(0, |user| told(&self.network, user)).min(until);
        // Of channels that it has joined late it is owed what it has not confirmed, however far it has read otherwise.
        let replays = session.particulars().unread.as_ref().is_some_and(|unread| !unread.failed);
        is_on && !session.closing && (replays || told > session.has_read())
    }

    /// Whether a connection has read all that it was shown; `false` where it is not known.
    pub(super) fn has_read_all(&self, conn: ConnId) -> bool {
        let Some(session) = self.session(conn) else { return false };
        let (Some(reading), Some(user)) = (&session.particulars().reading, session.user) else { return false };
        reading.read >= self.last_seq || reading.read >= told(&self.network, user)
    }

    /// How far a device has read that comes now, by a connection of its other than `conn` where there is one: that may be
    /// dead without anybody knowing, or another client that says to be the same device. `None` for one that is new.
    pub(super) fn mark_of(&self, conn: ConnId, account: AccountId, device: &str) -> Option<Seq> {
        let connected = self.network.connected(account, device);
        let others = connected.map(|connected| (self.sessions_but(conn, &connected.conns), connected.read));
        match others.filter(|(others, _)| !others.is_empty()) {
            None => self.network.seen(account, device),
            // Of those without a name there may be several; one with a name is one.
            Some((others, read)) if device.is_empty() => {
                let others = others.iter().filter(|other| !other.is_superseded());
                others.map(|other| other.has_read()).min().or(Some(read))
            }
            Some((others, read)) => others.iter().map(|other| other.has_read()).chain([read]).max(),
        }
    }

    /// A connection without a device name has come: it takes the place of that of the account which has read least, from
    /// which on it is replayed, until that one is heard again. Both owe what that one owed.
    fn take_place(&mut self, conn: ConnId, account: AccountId) {
        let Some(connected) = self.network.connected(account, "") else { return };
        let others = self.sessions_but(conn, &connected.conns).into_iter().filter(|other| !other.is_superseded());
        let Some(least) = others.min_by_key(|other| other.has_read()) else { return };
        let (owed, least, now) = (self.owed_at_end(least, least.has_read()), least.conn, self.now.mono_ms);
        self.network.owe(account, "", &owed);
        let reading = self.session_mut(least).and_then(|session| session.particulars_mut().reading.as_mut());
        if let Some(reading) = reading {
            reading.taken = Some(now);
        }
    }

    fn sessions_but(&self, conn: ConnId, conns: &[ConnId]) -> Vec<&Session> {
        conns.iter().filter(|other| **other != conn).filter_map(|other| self.session(*other)).collect()
    }

    /// Keeps how far the device of a connection has read that is behind with it, or that it is so no longer.
    pub(super) fn note_behind(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        if let Some(account) = session.account {
            let device = session.device.clone();
            self.note_device(account, &device);
        }
    }

    /// The same, of a device. One that has a name is behind when all of its connections are, for it is one; of those
    /// without a name any may be a client of its own.
    pub(super) fn note_device(&mut self, account: AccountId, device: &str) {
        self.forget_what_is_read(account, device);
        let Some(connected) = self.network.connected(account, device) else { return };
        let sessions = connected.conns.iter().filter_map(|conn| self.session(*conn));
        let behind = sessions.filter(|session| !session.is_superseded()).map(Session::is_behind);
        let seen = if device.is_empty() {
            let mut behind = behind.peekable();
            // Others have come in place of all that are left, and have gone.
            let is_none_left = behind.peek().is_none() && !connected.conns.is_empty();
            behind.flatten().min().or(is_none_left.then_some(connected.read))
        } else {
            behind
                .collect::<Option<Vec<Seq>>>()
                .and_then(|behind| behind.into_iter().max())
                .map(|seen| seen.max(connected.read))
        };
        let mut owed = self.owed_to(account, device);
        if seen.is_some() || !owed.is_empty() {
            owed.extend(self.own_to_keep(account, device, &connected.conns));
        }
        self.keep_stand(account, device, Stand { seen, owed });
    }
}

/// The last change by which a user was told something that would be replayed to it.
fn told(network: &Network, user: UserId) -> Seq {
    let there = &network.users[user];
    there.channels.iter().map(|id| said_in(network, *id)).max().unwrap_or(0).max(there.told)
}

/// The last change by which something was said in a channel.
pub(super) fn said_in(network: &Network, channel: ChannelId) -> Seq {
    network.conversation(network.channels[channel].folded.as_str()).map_or(0, |said| said.last_said)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use crate::limits;
    use crate::server::Server;
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::{Asked, always_on};
    use crate::server::event::{CloseCause, ConnId, Event, Returned};
    use crate::server::login::{Door, Proof};
    use crate::server::owed::{self, EVERY_OTHER, OWN};
    use crate::server::record::{
        AccountRow, Border, ConversationRow, HistoryPage, Range, Record, SeenRow, Seq, Snapshot,
    };
    use crate::server::session::Session;
    use crate::server::settings::Settings;

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
        let after = asked.server.session(new).and_then(|session| session.mark);
        assert!(after.is_some_and(|after| after < lost), "{after:?}");
        // What it missed is read and replayed, and the PING behind it answered.
        while let Some((id, _)) = asked.calls().first() {
            let chunks = vec!["PRIVMSG #a :on its way\r\n".into()];
            let page = HistoryPage { chunks, messages: 1, last: lost, cut_at: None };
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

    /// How far alice's device has read, as the store would have it if the server were killed now.
    fn kept(asked: &Asked, device: &str) -> Option<Seq> {
        asked.server.network.seen(1, device)
    }

    /// The same of her phone, and what it is owed, as the store has it.
    fn stand(asked: &Asked) -> (Option<Seq>, String) {
        let stand = asked.server.network.stand(1, "phone");
        (stand.seen, owed::text(&stand.owed))
    }

    /// Answers what a connection asks the store with as many as `messages`; after which change it asked, and up to which.
    fn replay(asked: &mut Asked, conn: ConnId, messages: u32) -> Vec<(Seq, Range)> {
        let mut ranges = Vec::new();
        while let Some((id, Call::History(query))) = asked.calls().first() {
            let id = *id;
            ranges.push((query.floor, query.range));
            let chunks = (0..messages).map(|_| "PRIVMSG #a :text\r\n".into()).collect();
            let page = HistoryPage { chunks, messages, last: 0, cut_at: None };
            asked.handle(Event::Returned(id, Returned::History(page)));
            // What is next is asked for once that has gone out.
            if messages > 0 {
                asked.handle(Event::Drained(conn));
            }
        }
        ranges
    }

    /// Answers what any connections ask the store with, each with one message.
    fn replay_all(asked: &mut Asked) {
        let mut calls = asked.calls().to_vec();
        while let Some((id, _)) = calls.pop() {
            let page = HistoryPage { chunks: vec!["PRIVMSG #a :text\r\n".into()], messages: 1, last: 0, cut_at: None };
            asked.handle(Event::Returned(id, Returned::History(page)));
            calls.extend_from_slice(asked.calls());
            asked.handle(Event::Drained(id.conn));
            calls.extend_from_slice(asked.calls());
        }
    }

    /// Her phone is back, and there is nothing in private.
    fn back(asked: &mut Asked) -> ConnId {
        let conn = asked.device("alice", 1, "phone", "server-time");
        replay(asked, conn, 0);
        conn
    }

    /// Alice is always on, in `#a`, and her phone was there under her nick; and bob.
    fn always_home() -> (Asked, ConnId) {
        let mut asked = Asked::started_with(always_on("#a:"));
        let (home, bob) = (asked.device("alice", 1, "phone", "server-time"), asked.user("bob"));
        for line in ["NS SET AUTOREPLAY-MISSED ON", "QUIT"] {
            asked.ask(home, line);
        }
        (asked, bob)
    }

    /// Says that it has read what it was shown or replayed, by all that it could be asked with.
    fn confirm(asked: &mut Asked, conn: ConnId) {
        for number in 1..40 {
            for what in ["read", "replayed"] {
                asked.ask(conn, &format!("PONG :{what}-{number}"));
            }
        }
    }

    /// Alice's phone has been in `#a` and `#b`, and has gone; then bob has said something in both. How far it has read.
    fn away() -> (Asked, ConnId, Seq) {
        let (mut asked, alice, bob) = talk();
        asked.ask(alice, "JOIN #b");
        asked.ask(bob, "JOIN #b");
        asked.ask(bob, "PRIVMSG alice :private");
        let read = asked.server.last_seq();
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: Some(read) }));
        for line in ["PRIVMSG #a :one", "PRIVMSG #b :two"] {
            asked.ask(bob, line);
        }
        let read = kept(&asked, "phone").unwrap_or_default();
        (asked, bob, read)
    }

    #[test]
    fn of_a_device_with_a_dead_connection_and_a_living_one_the_living_one_tells_how_far_it_has_read() {
        let (mut asked, dead, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :lost");
        let new = asked.device("alice", 1, "phone", "server-time");
        replay(&mut asked, new, 1);
        confirm(&mut asked, new);
        for _ in 0..3 {
            asked.ask(bob, "PRIVMSG #a :more");
            asked.now.mono_ms += WAIT;
            asked.handle(Event::Tick);
            confirm(&mut asked, new);
        }
        assert_eq!(kept(&asked, "phone"), None, "it is behind by the dead connection alone");
        asked.handle(Event::Closed(dead, cut()));
        let read = asked.server.session(new).map(Session::has_read);
        // It is back a third time, and nobody knows yet that the second connection is dead, too.
        let third = asked.device("alice", 1, "phone", "server-time");
        assert_eq!(asked.server.session(third).and_then(|session| session.mark), read);
    }

    #[test]
    fn what_only_a_dead_connection_under_another_nick_was_told_is_replayed() {
        for end in ["the dead one first", "the living one first", "a third comes", "killed"] {
            let (mut asked, dead, bob) = talk();
            asked.ask(dead, "JOIN #b");
            let living = asked.device("alice_", 1, "phone", "server-time");
            replay(&mut asked, living, 0);
            replayed_on_join(&mut asked, living, "#b");
            asked.ask(bob, "JOIN #b");
            confirm(&mut asked, living);
            confirm(&mut asked, dead);
            let read = asked.server.session(dead).map(Session::has_read).unwrap_or_default();
            let before = said(&mut asked, bob, "PRIVMSG alice_ :shown");
            let first = said(&mut asked, bob, "PRIVMSG alice :lost");
            let in_channel = said(&mut asked, bob, "PRIVMSG #a :lost");
            asked.ask(bob, "PRIVMSG #b :shown");
            let between = said(&mut asked, bob, "PRIVMSG alice_ :shown");
            let last = said(&mut asked, bob, "PRIVMSG alice :lost");
            asked.ask(bob, "PRIVMSG alice_ :shown");
            for _ in 0..3 {
                later_and_confirmed(&mut asked, living);
            }
            let seen = asked.server.session(living).map(Session::has_read).unwrap_or_default();
            assert!(read < before && last < seen, "{read} {before} {last} {seen}");
            let owed = match end {
                "killed" => stand(&asked).1,
                "a third comes" => {
                    let third = asked.device("alice_", 1, "phone", "server-time");
                    let owed = asked.server.session(third).map(|session| session.particulars().owed.clone()).unwrap();
                    owed::text(&[owed, asked.server.unread_beside(1, "phone")].concat())
                }
                _ => {
                    let is_first = |conn: &ConnId| (*conn == dead) == end.starts_with("the dead");
                    let (first, second): (Vec<_>, Vec<_>) = [dead, living].into_iter().partition(is_first);
                    first.into_iter().chain(second).for_each(|conn| asked.handle(Event::Closed(conn, cut())));
                    stand(&asked).1
                }
            };
            // The living one has just come, and is owed the channels that it may be about to join.
            let parsed = owed::parse(&owed).unwrap_or_default();
            let (channel, private) = (id_of(&asked, "#a"), id_of(&asked, "$1 ~bob"));
            let is_owed = |id, seq| {
                parsed.iter().any(|one| one.conversation == id && (one.after..one.until).contains(&(seq - 1)))
            };
            assert!(is_owed(channel, in_channel), "{end}: {owed}");
            for (seq, lost) in [(before, false), (first, true), (between, false), (last, true)] {
                assert_eq!(is_owed(private, seq), lost, "{end}: {owed}");
            }
        }
    }

    #[test]
    fn when_the_living_connection_of_a_device_goes_before_a_dead_one_it_is_kept_how_far_that_had_read() {
        let (mut asked, _dead, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :lost");
        later(&mut asked, bob);
        later(&mut asked, bob);
        let new = asked.device("alice", 1, "phone", "server-time");
        replay(&mut asked, new, 1);
        confirm(&mut asked, new);
        assert_eq!(kept(&asked, "phone"), None);
        let read = asked.server.last_seq();
        asked.handle(Event::Closed(new, CloseCause::Eof { shown: Some(read) }));
        asked.ask(bob, "PRIVMSG #a :more");
        assert_eq!(kept(&asked, "phone"), Some(read));
    }

    #[test]
    fn of_clients_without_a_name_the_one_that_has_read_least_tells() {
        let (mut asked, _, bob) = talk();
        let first = asked.device("alice", 1, "", "server-time");
        let second = asked.device("alice", 1, "", "server-time");
        asked.ask(bob, "PRIVMSG #a :one");
        let read = asked.server.session(first).map(Session::has_read);
        later(&mut asked, first);
        asked.ask(second, "PONG :read-1");
        asked.ask(bob, "PRIVMSG #a :two");
        for _ in 0..3 {
            later(&mut asked, first);
        }
        assert_eq!(kept(&asked, ""), read);
        confirm(&mut asked, second);
        assert_eq!(kept(&asked, ""), read, "the first has not answered");
    }

    #[test]
    fn whoever_goes_before_it_was_replayed_anything_has_read_nothing_more() {
        for end in [cut(), CloseCause::Eof { shown: Some(Seq::MAX) }, CloseCause::Flood, CloseCause::Asked] {
            for registers in [false, true] {
                let (mut asked, bob, read) = away();
                let conn = if registers {
                    asked.device("alice", 1, "phone", "server-time")
                } else {
                    asked.device_at_the_door("alice", 1, "phone", "server-time")
                };
                replay(&mut asked, conn, 0);
                asked.ask(bob, "PRIVMSG #a :three");
                assert_eq!(kept(&asked, "phone"), Some(read), "killed now: {registers} {end:?}");
                asked.handle(Event::Closed(conn, end.clone()));
                assert_eq!(kept(&asked, "phone"), Some(read), "{registers} {end:?}");
            }
        }
    }

    #[test]
    fn whoever_has_talked_in_private_and_goes_in_good_order_has_read_that() {
        let (mut asked, bob, _) = away();
        let conn = back(&mut asked);
        let private = said(&mut asked, bob, "PRIVMSG alice :and this");
        asked.ask(conn, "QUIT");
        assert!(kept(&asked, "phone").is_some_and(|read| read >= private));
    }

    #[test]
    fn what_is_replayed_of_a_second_channel_and_not_read_comes_again_though_there_was_nothing_of_the_first() {
        let (mut asked, _, read) = away();
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        asked.ask(conn, "JOIN #b");
        replay(&mut asked, conn, 3);
        asked.handle(Event::Closed(conn, cut()));
        assert_eq!(kept(&asked, "phone"), Some(read));
    }

    #[test]
    fn there_is_nothing_of_its_channels_and_a_device_that_says_so_has_read_all() {
        let (mut asked, _, read) = away();
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        assert_eq!(kept(&asked, "phone"), Some(read));
        confirm(&mut asked, conn);
        assert_eq!(kept(&asked, "phone"), None);
    }

    #[test]
    fn a_channel_that_is_joined_late_is_owed_alone_when_its_replay_is_cut_off() {
        let (mut asked, bob, read) = away();
        let conn = back(&mut asked);
        asked.ask(conn, "JOIN #a");
        replay(&mut asked, conn, 1);
        confirm(&mut asked, conn);
        asked.ask(bob, "PRIVMSG #a :read");
        later_and_confirmed(&mut asked, conn);
        asked.ask(conn, "JOIN #b");
        replay(&mut asked, conn, 3);
        asked.handle(Event::Closed(conn, cut()));
        let until = kept(&asked, "phone").unwrap_or_default();
        assert!(until > read, "what was said in #a was read");
        let conn = back(&mut asked);
        let asks = |asked: &Asked| match asked.calls() {
            [(_, Call::History(query))] => Some((query.floor, query.range)),
            _ => None,
        };
        asked.ask(conn, "JOIN #a");
        assert_eq!(asks(&asked).map(|(floor, _)| floor), Some(until));
        replay(&mut asked, conn, 0);
        asked.ask(conn, "JOIN #b");
        // First what was being replayed of it, then what was said since.
        assert_eq!(asks(&asked), Some((read, Range::Before(Border::Seq(until + 1)))));
        assert_eq!(replay(&mut asked, conn, 1).len(), 2);
        confirm(&mut asked, conn);
        asked.handle(Event::Closed(conn, cut()));
        let owed = asked.server.network.take_owed(1, "phone");
        assert!(owed.iter().all(|owed| owed.conversation == EVERY_OTHER || owed.after == owed.until), "{owed:?}");
    }

    #[test]
    fn a_device_that_stands_at_the_door_and_tries_again_is_replayed_what_it_missed() {
        let (mut asked, _, read) = away();
        let stuck = asked.device_at_the_door("alice", 1, "phone", "server-time");
        let again = asked.device("alice", 1, "phone", "server-time");
        assert_eq!(asked.server.session(again).and_then(|session| session.mark), Some(read));
        asked.handle(Event::Closed(stuck, cut()));
        asked.handle(Event::Closed(again, cut()));
        assert_eq!(kept(&asked, "phone"), Some(read));
    }

    #[test]
    fn a_device_that_logs_in_twice_is_replayed_what_it_missed() {
        let (mut asked, _, read) = away();
        let conn = asked.device_at_the_door("alice", 1, "phone", "server-time");
        let mut ctx = asked.server.ctx(conn, None);
        asked.server.admit(&mut ctx, Door::Made, 1, "phone", Proof::Has);
        asked.server.finish(ctx);
        assert_eq!(asked.server.session(conn).and_then(|session| session.mark), Some(read));
        assert_eq!(asked.server.network.connected(1, "phone").map(|connected| connected.conns.len()), Some(1));
    }

    #[test]
    fn a_dead_connection_that_another_ends_has_read_what_it_had_read() {
        for line in ["NS GHOST alice", "NS CLIENTS LOGOUT 1", "KILL alice :gone", "stop"] {
            let (mut asked, dead, bob) = talk();
            asked.set_oper("bob");
            let one = said(&mut asked, bob, "PRIVMSG #a :one");
            later(&mut asked, dead);
            match line {
                "stop" => {
                    asked.handle(Event::Shutdown("bye".into()));
                    later(&mut asked, dead);
                    assert!(asked.has_ended());
                }
                _ if line.starts_with("NS") => {
                    let laptop = asked.device("laptop", 1, "laptop", "draft/chathistory");
                    asked.ask(laptop, line);
                }
                _ => drop(asked.ask(bob, line)),
            }
            let read = kept(&asked, "phone");
            assert!(read.is_some_and(|read| read < one), "{line}: {read:?}, {one}");
        }
    }

    #[test]
    fn a_bot_that_is_one_no_more_is_asked_from_then_on() {
        let (mut asked, alice, bob) = talk();
        asked.ask(alice, "MODE alice +B");
        later(&mut asked, alice);
        asked.ask(bob, "PRIVMSG #a :one");
        assert_eq!(later(&mut asked, alice), "");
        asked.ask(alice, "MODE alice -B");
        later(&mut asked, alice);
        let two = said(&mut asked, bob, "PRIVMSG #a :two");
        assert_eq!(later(&mut asked, alice), "PING :read-1");
        asked.handle(Event::Closed(alice, cut()));
        assert!(kept(&asked, "phone").is_some_and(|read| read < two));
    }

    #[test]
    fn one_that_came_to_a_bot_is_asked_once_that_is_one_no_more() {
        let (mut asked, alice, bob) = talk();
        asked.ask(alice, "MODE alice +B");
        let second = asked.device("alice", 1, "phone", "server-time");
        asked.ask(second, "MODE alice -B");
        asked.handle(Event::Closed(alice, cut()));
        let one = said(&mut asked, bob, "PRIVMSG #a :one");
        assert_eq!(later(&mut asked, second), "PING :read-1");
        asked.handle(Event::Closed(second, cut()));
        assert!(kept(&asked, "phone").is_some_and(|read| read < one));
    }

    #[test]
    fn a_time_between_two_questions_that_is_shorter_now_holds_at_once() {
        let (mut asked, alice, bob) = talk();
        let seconds = |asked: &mut Asked, confirm_ms| {
            let settings = Settings { confirm_ms, ..(*asked.server.settings).clone() };
            asked.handle(Event::Reload(Arc::new(settings)));
        };
        seconds(&mut asked, 600_000);
        later(&mut asked, alice);
        asked.ask(bob, "PRIVMSG #a :one");
        assert_eq!(later(&mut asked, alice), "");
        seconds(&mut asked, WAIT);
        assert_eq!(later(&mut asked, alice), "PING :read-1");
    }

    #[test]
    fn what_was_said_before_it_left_the_channel_is_not_read_for_it_has_left() {
        let (mut asked, alice, bob) = talk();
        asked.ask(alice, "JOIN #b");
        let one = said(&mut asked, bob, "PRIVMSG #a :one");
        asked.ask(alice, "PART #a");
        asked.ask(alice, "PRIVMSG #b :typed before it was shown that");
        asked.handle(Event::Closed(alice, cut()));
        assert!(kept(&asked, "phone").is_some_and(|read| read < one));
    }

    #[test]
    fn a_pong_may_say_it_in_either_place() {
        for pong in ["PONG read-1", "PONG read-1 irc.test", "PONG irc.test :read-1"] {
            let (mut asked, alice, bob) = talk();
            let one = said(&mut asked, bob, "PRIVMSG #a :one");
            later(&mut asked, alice);
            asked.ask(alice, pong);
            asked.handle(Event::Closed(alice, cut()));
            assert!(kept(&asked, "phone").is_some_and(|read| read >= one), "{pong}");
        }
    }

    #[test]
    fn a_client_that_never_says_it_has_read_at_its_end_what_was_given_to_the_system() {
        let (mut asked, alice, bob) = talk();
        let one = said(&mut asked, bob, "PRIVMSG #a :one");
        for _ in 0..3 {
            later(&mut asked, alice);
            asked.ask(alice, "PONG :irc.test");
        }
        assert!(kept(&asked, "phone").is_some_and(|read| read < one), "a server that is killed knows no better");
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: Some(one) }));
        assert_eq!(kept(&asked, "phone"), Some(one));
    }

    #[test]
    fn whoever_would_have_no_replay_is_not_asked() {
        let mut asked = Asked::new();
        let alice = asked.device("alice", 1, "phone", "server-time");
        asked.ask(alice, "NS SET AUTOREPLAY-MISSED OFF");
        let (alice, bob) = (asked.device("alice", 1, "tablet", "server-time"), asked.user("bob"));
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        asked.ask(bob, "PRIVMSG #a :one");
        assert_eq!(later(&mut asked, alice), "");
    }

    /// What it is replayed of a channel that it joins: after which change, and up to which.
    fn replayed_on_join(asked: &mut Asked, conn: ConnId, channel: &str) -> Vec<(Seq, Range)> {
        joined_with(asked, conn, channel, 0)
    }

    /// The same, where there are as many as `messages` at each time.
    fn joined_with(asked: &mut Asked, conn: ConnId, channel: &str, messages: u32) -> Vec<(Seq, Range)> {
        asked.ask(conn, &format!("JOIN {channel}"));
        replay(asked, conn, messages)
    }

    /// Her phone has been away, is back, and has said that it has read what was private; its channels come yet.
    fn back_in_private() -> (Asked, ConnId, ConnId, Seq) {
        let (mut asked, bob, read) = away();
        asked.ask(bob, "PRIVMSG alice :private");
        let conn = asked.device("alice", 1, "phone", "server-time");
        replay(&mut asked, conn, 1);
        confirm(&mut asked, conn);
        (asked, conn, bob, read)
    }

    /// Her phone is back under another nick, for its dead line has hers.
    fn second_nick(asked: &mut Asked, messages: u32) -> ConnId {
        let conn = asked.device("alice_", 1, "phone", "server-time");
        replay(asked, conn, messages);
        conn
    }

    /// Time for a question passes, and it answers all of them.
    fn later_and_confirmed(asked: &mut Asked, conn: ConnId) {
        later(asked, conn);
        confirm(asked, conn);
    }

    /// After which changes she is replayed of a channel, when her phone is back once more.
    fn next_time(asked: &mut Asked, channel: &str) -> Vec<Seq> {
        let conn = back(asked);
        replayed_on_join(asked, conn, channel).into_iter().map(|(after, _)| after).collect()
    }

    #[test]
    fn a_client_that_joins_after_a_while_is_asked_for_nothing_before_and_is_owed_its_channels_until_then() {
        let (mut asked, bob, read) = away();
        let conn = back(&mut asked);
        for _ in 0..3 {
            assert_eq!(later(&mut asked, conn), "", "it was shown nothing");
        }
        asked.ask(bob, "PRIVMSG alice :private");
        assert_eq!(later(&mut asked, conn), "PING :read-1");
        asked.ask(conn, "PONG :read-1");
        assert_eq!(stand(&asked), (None, format!("0 {read} *")), "its channels come yet");
        asked.handle(Event::Closed(conn, cut()));
        let seen = kept(&asked, "phone").unwrap_or_default();
        assert_eq!(stand(&asked), (Some(seen), format!("0 {read} {seen}")));
        assert!(seen > read);
        // Nobody waits for channels for ever.
        let conn = back(&mut asked);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        assert_eq!(later(&mut asked, conn), "PING :read-1");
        asked.ask(conn, "PONG :read-1");
        assert_eq!(stand(&asked), (None, String::new()));
    }

    #[test]
    fn whoever_goes_as_its_replay_ends_has_not_read_it_however_long_it_was_there() {
        let (mut asked, _, read) = away();
        let conn = back(&mut asked);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        asked.ask(conn, "JOIN #a");
        replay(&mut asked, conn, 3);
        asked.ask(conn, "QUIT");
        assert_eq!(kept(&asked, "phone"), Some(read));
    }

    #[test]
    fn who_is_cut_off_as_soon_as_it_has_come_back_is_owed_what_it_was_owed() {
        let (mut asked, conn, _, read) = back_in_private();
        asked.handle(Event::Closed(conn, cut()));
        let before = stand(&asked);
        assert!(before.1.starts_with(&format!("0 {read} ")), "{before:?}");
        // It is dead at once, and that is known minutes later.
        let conn = back(&mut asked);
        asked.now.mono_ms += 2 * limits::ARRIVAL_MS;
        for _ in 0..3 {
            later(&mut asked, conn);
        }
        asked.handle(Event::Closed(conn, cut()));
        assert_eq!(stand(&asked), before);
    }

    #[test]
    fn whoever_has_read_what_was_private_and_goes_before_its_channels_is_replayed_those_later() {
        for end in ["QUIT", "shutdown"] {
            let (mut asked, bob, read) = away();
            asked.ask(bob, "PRIVMSG alice :private");
            let conn = asked.device("alice", 1, "phone", "server-time");
            replay(&mut asked, conn, 1);
            confirm(&mut asked, conn);
            if end == "shutdown" {
                asked.handle(Event::Shutdown("bye".into()));
            } else {
                asked.ask(conn, end);
            }
            let seen = kept(&asked, "phone").unwrap_or_default();
            assert!(seen > read, "it has read what was private");
            assert_eq!(stand(&asked), (Some(seen), format!("0 {read} {seen}")));
            if end == "shutdown" {
                continue;
            }
            let conn = back(&mut asked);
            // It is cut off twice before it has read it, once when it has just come and once when it has been there for long.
            let mut conn = conn;
            for wait in [0, limits::ARRIVAL_MS] {
                let ranges = replayed_on_join(&mut asked, conn, "#a");
                let whole = [(read, Range::Before(Border::Seq(seen + 1))), (seen, ranges.last().unwrap().1)];
                assert_eq!(ranges, whole, "{wait}");
                asked.now.mono_ms += wait;
                later(&mut asked, conn);
                asked.handle(Event::Closed(conn, cut()));
                conn = back(&mut asked);
            }
            replayed_on_join(&mut asked, conn, "#a");
            confirm(&mut asked, conn);
            asked.handle(Event::Closed(conn, cut()));
            let conn = back(&mut asked);
            assert_eq!(replayed_on_join(&mut asked, conn, "#a").len(), 1, "that was read");
        }
    }

    #[test]
    fn a_channel_that_comes_after_the_first_ones_were_read_and_not_before_the_end_is_replayed_the_next_time() {
        let (mut asked, bob, read) = away();
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        confirm(&mut asked, conn);
        asked.ask(bob, "PRIVMSG #a :read");
        later_and_confirmed(&mut asked, conn);
        asked.handle(Event::Closed(conn, cut()));
        let seen = kept(&asked, "phone").unwrap_or_default();
        let conn = back(&mut asked);
        let first = |ranges: Vec<(Seq, Range)>| ranges.first().map(|(after, _)| *after);
        assert_eq!(first(replayed_on_join(&mut asked, conn, "#a")), Some(seen), "that was read");
        assert_eq!(first(replayed_on_join(&mut asked, conn, "#b")), Some(read));
        confirm(&mut asked, conn);
        // A channel that it has left it need not be replayed again.
        asked.ask(conn, "PART #b");
        assert_eq!(stand(&asked), (None, format!("1 * *,2 * *,0 {read} *")));
        // It has been there for long enough: what it has not joined by now is not waited for.
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later(&mut asked, conn);
        assert_ne!(stand(&asked), (None, String::new()), "it may be dead");
        asked.ask(conn, "PING x");
        later(&mut asked, conn);
        assert_eq!(stand(&asked), (None, String::new()));
        asked.handle(Event::Closed(conn, cut()));
        assert_eq!(asked.server.network.take_owed(1, "phone"), []);
    }

    #[test]
    fn what_is_owed_goes_over_to_the_connection_that_takes_the_place_of_a_dead_one() {
        let (mut asked, _, read) = away();
        let dead = back(&mut asked);
        replayed_on_join(&mut asked, dead, "#a");
        confirm(&mut asked, dead);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later(&mut asked, dead);
        asked.ask(dead, "JOIN #b");
        replay(&mut asked, dead, 3);
        let conn = asked.device("alice", 1, "phone", "server-time");
        let owed = asked.server.session(conn).map(|session| session.particulars().owed.clone()).unwrap_or_default();
        assert_eq!(owed.iter().map(|owed| owed.after).collect::<Vec<_>>(), [read]);
        asked.handle(Event::Closed(dead, cut()));
        assert_eq!(asked.server.network.take_owed(1, "phone"), []);
    }

    #[test]
    fn a_client_that_never_says_it_is_replayed_no_more_the_second_time_than_it_missed() {
        let (mut asked, bob, read) = away();
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        asked.ask(conn, "PONG :irc.test");
        asked.now.mono_ms += limits::ARRIVAL_MS;
        let shown = said(&mut asked, bob, "PRIVMSG #a :an hour later");
        assert_eq!(kept(&asked, "phone"), Some(read), "a server that is killed knows no better");
        asked.handle(Event::Closed(conn, CloseCause::Eof { shown: Some(shown) }));
        assert_eq!(kept(&asked, "phone"), Some(shown));
    }

    #[test]
    fn the_question_whether_all_was_read_is_no_part_of_the_answer_to_a_command() {
        let (mut asked, _, _) = away();
        let conn = asked.device("alice", 1, "phone", "server-time batch labeled-response");
        replay(&mut asked, conn, 0);
        replayed_on_join(&mut asked, conn, "#a");
        let lines = asked.ask(conn, "@label=1 JOIN #a").concat();
        let (answer, after) = lines.rsplit_once("BATCH -").unwrap_or_default();
        assert!(answer.contains("label=1") && !answer.contains("PING"), "{lines}");
        assert!(after.contains("PING :replayed-"), "{lines}");
    }

    fn owed_of(asked: &Asked, conn: ConnId) -> String {
        asked.server.session(conn).map(|s| owed::text(&s.particulars().owed)).unwrap_or_default()
    }

    fn id_of(asked: &Asked, key: &str) -> u64 {
        asked.server.network.conversation(key).map_or(0, |c| c.id)
    }

    fn taken_out(again: bool) {
        let (mut asked, bob, read) = away();
        let conn = back(&mut asked);
        asked.ask(conn, "JOIN #a,#b");
        let (id, conv) = match asked.calls() {
            [(id, Call::History(query))] => (*id, query.conversation),
            _ => panic!(),
        };
        assert_eq!(conv, id_of(&asked, "#a"));
        asked.set_oper("bob");
        asked.ask(bob, "SAPART alice #b");
        let b = asked.server.network.channel_by_folded("#b").unwrap();
        let alice = asked.id("alice");
        assert!(!asked.server.network.users[alice].channels.contains(&b));
        asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
        assert!(asked.calls().is_empty(), "#b is not replayed");
        confirm(&mut asked, conn);
        let ranges = if again { replayed_on_join(&mut asked, conn, "#b") } else { Vec::new() };
        asked.handle(Event::Closed(conn, cut()));
        let conn = back(&mut asked);
        let next = replayed_on_join(&mut asked, conn, "#b");
        assert!(
            ranges.iter().chain(&next).any(|(after, _)| *after == read),
            "lost: {ranges:?} {next:?}, read up to {read}"
        );
    }

    #[test]
    fn a_channel_that_it_is_taken_out_of_before_its_turn_is_replayed_when_it_is_back_in_it() {
        taken_out(true);
    }

    #[test]
    fn a_channel_that_it_is_taken_out_of_before_its_turn_is_replayed_the_next_time() {
        taken_out(false);
    }

    #[test]
    fn what_was_shown_between_two_gaps_does_not_come_again() {
        let (mut asked, bob, _) = away();
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        confirm(&mut asked, conn);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later(&mut asked, conn);
        asked.ask(conn, "JOIN #b");
        replay(&mut asked, conn, 3);
        let shown = said(&mut asked, bob, "PRIVMSG #b :live");
        asked.handle(Event::Closed(conn, CloseCause::Eof { shown: Some(shown) }));
        let seen = kept(&asked, "phone").unwrap();
        assert!(seen >= shown);
        asked.ask(bob, "PRIVMSG alice :private");
        let conn = asked.device("alice", 1, "phone", "server-time");
        replay(&mut asked, conn, 1);
        confirm(&mut asked, conn);
        joined_with(&mut asked, conn, "#b", 1);
        asked.handle(Event::Closed(conn, cut()));
        let conn = back(&mut asked);
        let second = joined_with(&mut asked, conn, "#b", 1);
        // Between `until` and `seen` it was shown all.
        let Range::Before(Border::Seq(end)) = second[0].1 else { panic!() };
        assert!(end - 1 < shown, "{shown} comes twice");
    }

    #[test]
    fn what_only_a_dead_one_was_told_in_a_channel_that_the_living_one_has_left_is_owed() {
        let (mut asked, dead, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :missed");
        let living = second_nick(&mut asked, 0);
        replayed_on_join(&mut asked, living, "#a");
        confirm(&mut asked, living);
        asked.ask(living, "PART #a");
        let lost = said(&mut asked, bob, "PRIVMSG #a :told to the dead one alone");
        asked.ask(bob, "PRIVMSG alice_ :shown");
        later_and_confirmed(&mut asked, living);
        asked.handle(Event::Closed(dead, cut()));
        asked.handle(Event::Closed(living, cut()));
        let (seen, owed) = stand(&asked);
        let debts = asked.server.network.owed(1, "phone").to_vec();
        assert!(
            debts.iter().any(|o| o.conversation == 1 && o.after < lost && lost <= o.until),
            "{lost} {seen:?} {owed}"
        );
    }

    #[test]
    fn what_a_third_connection_has_read_of_what_only_a_dead_one_was_told_is_owed_no_more() {
        let (mut asked, dead, bob) = talk();
        let second = second_nick(&mut asked, 0);
        confirm(&mut asked, second);
        let lost = said(&mut asked, bob, "PRIVMSG alice :lost");
        asked.ask(bob, "PRIVMSG alice_ :shown");
        later_and_confirmed(&mut asked, second);
        let third = second_nick(&mut asked, 1);
        confirm(&mut asked, third);
        assert!(!owed_of(&asked, third).contains(&format!(" {lost}")));
        asked.ask(third, "QUIT");
        let read = asked.server.network.connected(1, "phone").unwrap().read;
        assert!(read > lost);
        asked.handle(Event::Closed(dead, cut()));
        let owed: Vec<_> = asked.server.network.owed(1, "phone").to_vec();
        assert!(
            owed.iter().all(|o| o.conversation == EVERY_OTHER || !(o.after < lost && lost <= o.until)),
            "{lost} was read by the third: {owed:?}"
        );
    }

    fn unsettled(what: &str) {
        let (mut asked, conn, _, read) = back_in_private();
        asked.handle(Event::Closed(conn, cut()));
        let conn = back(&mut asked);
        let ranges = replayed_on_join(&mut asked, conn, "#a");
        assert_eq!(ranges[0].0, read);
        confirm(&mut asked, conn);
        match what {
            "bot" => {
                asked.ask(conn, "MODE alice +B");
                later(&mut asked, conn);
            }
            _ => asked.now.mono_ms += limits::ARRIVAL_MS,
        }
        asked.handle(Event::Closed(conn, cut()));
        assert_ne!(next_time(&mut asked, "#a")[0], read, "twice");
    }

    #[test]
    fn who_goes_just_after_the_time_for_its_channels_is_replayed_none_twice() {
        unsettled("time");
    }

    #[test]
    fn who_becomes_a_bot_and_goes_is_replayed_none_twice() {
        unsettled("bot");
    }

    #[test]
    fn what_only_a_dead_one_was_told_is_owed_though_the_living_one_had_read_nothing_then() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later_and_confirmed(&mut asked, living);
        let lost = said(&mut asked, bob, "PRIVMSG alice :lost");
        let lost2 = said(&mut asked, bob, "PRIVMSG #a :lost");
        asked.handle(Event::Closed(dead, cut()));
        asked.ask(bob, "PRIVMSG alice_ :shown");
        later_and_confirmed(&mut asked, living);
        asked.handle(Event::Closed(living, cut()));
        let (seen, owed) = stand(&asked);
        let seen = seen.unwrap();
        assert!(seen > lost2);
        assert!(
            owed.contains(&format!("{} {lost}", lost - 1)) || seen < lost,
            "{lost} is lost, seen {seen}, owed {owed:?}"
        );
    }

    #[test]
    fn a_dead_one_that_is_ghosted_before_the_living_one_joins_its_channels_leaves_nothing_to_come_twice() {
        let (mut asked, _, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :missed");
        asked.ask(bob, "PRIVMSG alice :missed");
        let living = second_nick(&mut asked, 1);
        confirm(&mut asked, living);
        asked.ask(living, "NS GHOST alice");
        let ranges = replayed_on_join(&mut asked, living, "#a");
        assert_eq!(ranges[0].0, asked.server.session(living).unwrap().mark.unwrap());
        asked.ask(bob, "PRIVMSG #a :live");
        later_and_confirmed(&mut asked, living);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later_and_confirmed(&mut asked, living);
        asked.handle(Event::Closed(living, cut()));
        let seen = kept(&asked, "phone").unwrap();
        assert_eq!(next_time(&mut asked, "#a"), [seen], "twice");
    }

    #[test]
    fn a_connection_that_only_came_to_the_door_leaves_nothing_to_come_twice() {
        let (mut asked, conn, _, read) = back_in_private();
        let door = asked.device_at_the_door("alice", 1, "phone", "server-time");
        asked.handle(Event::Closed(door, cut()));
        let ranges = replayed_on_join(&mut asked, conn, "#a");
        assert_eq!(ranges[0].0, read);
        confirm(&mut asked, conn);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later_and_confirmed(&mut asked, conn);
        asked.handle(Event::Closed(conn, cut()));
        let seen = kept(&asked, "phone").unwrap();
        assert_eq!(next_time(&mut asked, "#a"), [seen], "twice");
    }

    #[test]
    fn what_the_one_that_stays_reads_afterwards_does_not_come_twice() {
        let (mut asked, one, bob) = talk();
        asked.ask(one, "JOIN #b");
        let two = second_nick(&mut asked, 0);
        replayed_on_join(&mut asked, two, "#b");
        asked.ask(bob, "JOIN #b");
        confirm(&mut asked, two);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later_and_confirmed(&mut asked, two);
        confirm(&mut asked, one);
        let first = said(&mut asked, bob, "PRIVMSG #a :shown to one");
        let last = said(&mut asked, bob, "PRIVMSG #b :shown to both");
        // The second goes in good order a moment later.
        asked.handle(Event::Closed(two, CloseCause::Eof { shown: Some(last) }));
        for _ in 0..3 {
            later_and_confirmed(&mut asked, one);
        }
        asked.ask(bob, "PRIVMSG #a :more");
        later_and_confirmed(&mut asked, one);
        assert!(asked.server.session(one).unwrap().has_read() > last);
        let killed = stand(&asked);
        asked.handle(Event::Closed(one, cut()));
        let (seen, owed) = stand(&asked);
        assert!(owed.is_empty(), "twice: {owed} killed {killed:?} seen {seen:?}, {first} was read");
    }

    /// What her phone, back, has shown itself of what it is replayed.
    fn own_shown(asked: &mut Asked, caps: &str) -> Vec<Seq> {
        let conn = asked.device("alice", 1, "phone", caps);
        let mut own = Vec::new();
        for line in [None, Some("JOIN #a")] {
            line.map(|line| asked.ask(conn, line));
            while let Some((id, Call::History(query))) = asked.calls().first() {
                let count = query.reader.own.iter().map(|(before, last)| last - before).sum::<u64>();
                assert!(u64::from(query.limit) == u64::from(asked.server.settings.autoreplay_limit) + count);
                own.extend(query.reader.own.iter().flat_map(|(before, last)| before + 1..=*last));
                let id = *id;
                asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
            }
        }
        own.sort_unstable();
        own.dedup();
        own
    }

    #[test]
    fn what_a_device_has_said_itself_is_not_replayed_to_it_when_it_was_cut_off_before_it_had_read_more() {
        for (caps, echoes, dead) in
            [("server-time", false, false), ("server-time echo-message", true, false), ("server-time", false, true)]
        {
            let mut asked = Asked::new();
            let (alice, bob) = (asked.device("alice", 1, "phone", caps), asked.user("bob"));
            asked.ask(alice, "JOIN #a");
            asked.ask(bob, "JOIN #a");
            asked.ask(bob, "PRIVMSG #a :question?");
            let own = said(&mut asked, alice, "PRIVMSG #a :my answer");
            let other = said(&mut asked, bob, "PRIVMSG #a :thanks");
            if !dead {
                asked.handle(Event::Closed(alice, cut()));
            }
            let shown = own_shown(&mut asked, caps);
            assert_eq!(shown.contains(&own), !echoes, "{shown:?} of {own}");
            assert!(!shown.contains(&other), "{shown:?}");
        }
    }

    #[test]
    fn what_a_device_says_before_it_is_known_to_be_there_is_not_replayed_to_it() {
        for joins in [true, false] {
            let (mut asked, _, _) = away();
            let conn = back(&mut asked);
            if joins {
                replayed_on_join(&mut asked, conn, "#a");
            }
            let own = said(&mut asked, conn, "PRIVMSG bob :my answer");
            asked.handle(Event::Closed(conn, cut()));
            let shown = own_shown(&mut asked, "server-time");
            assert!(shown.contains(&own), "{joins}: {shown:?} of {own}");
        }
    }

    #[test]
    fn what_a_device_has_said_is_forgotten_once_it_has_read_all() {
        let (mut asked, alice, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :question?");
        asked.ask(alice, "PRIVMSG #a :my answer");
        asked.handle(Event::Closed(alice, cut()));
        let conn = asked.device("alice", 1, "phone", "server-time");
        replayed_on_join(&mut asked, conn, "#a");
        confirm(&mut asked, conn);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        later_and_confirmed(&mut asked, conn);
        let last = asked.server.last_seq();
        asked.handle(Event::Closed(conn, CloseCause::Eof { shown: Some(last) }));
        assert!(asked.server.own_said.is_empty(), "{:?}", asked.server.own_said);
    }

    #[test]
    fn what_a_device_has_confirmed_does_not_come_again_when_an_older_dead_line_of_it_ends() {
        for end in ["cut", "stop"] {
            let (mut asked, bob, _) = away();
            let dead = back(&mut asked);
            joined_with(&mut asked, dead, "#b", 1);
            confirm(&mut asked, dead);
            let live = back(&mut asked);
            asked.ask(live, "JOIN #a,#b");
            replay_all(&mut asked);
            confirm(&mut asked, live);
            let last = said(&mut asked, bob, "PRIVMSG #a :live");
            later_and_confirmed(&mut asked, live);
            if end == "cut" {
                asked.handle(Event::Closed(dead, cut()));
                asked.ask(live, "QUIT");
            } else {
                asked.handle(Event::Shutdown("bye".into()));
                confirm(&mut asked, live);
                asked.now.mono_ms += limits::LAST_ANSWERS_MS;
                asked.handle(Event::Tick);
                assert!(asked.has_ended());
            }
            let (seen, owed) = stand(&asked);
            assert!(seen.is_some_and(|seen| seen >= last), "{end}: {seen:?}, {last}");
            let owed = owed::parse(&owed).unwrap();
            let comes_again = |owed: &owed::Owed| owed.conversation != EVERY_OTHER && !owed.is_nothing();
            assert!(!owed.iter().any(comes_again), "{end}: {owed:?}");
        }
    }

    #[test]
    fn what_one_of_three_connections_of_a_device_has_confirmed_comes_neither_to_a_third_nor_after_a_kill() {
        let (mut asked, bob, _) = away();
        let live = back(&mut asked);
        joined_with(&mut asked, live, "#b", 1);
        confirm(&mut asked, live);
        let dead = asked.device("alice", 1, "phone", "server-time");
        replay_all(&mut asked);
        confirm(&mut asked, dead);
        asked.ask(live, "JOIN #a");
        replay_all(&mut asked);
        confirm(&mut asked, live);
        asked.ask(bob, "PRIVMSG #a :live");
        later_and_confirmed(&mut asked, live);
        let comes_again = |owed: &owed::Owed| owed.conversation == id_of(&asked, "#a") && !owed.is_nothing();
        let kept = owed::parse(&stand(&asked).1).unwrap();
        assert!(!kept.iter().any(comes_again), "{kept:?}");
        let read = asked.server.session(live).map(Session::has_read).unwrap_or_default();
        let third = asked.device("alice", 1, "phone", "server-time");
        let found = asked_for(&mut asked, third);
        assert!(!found.is_empty() && found.iter().all(|(_, floor)| *floor >= read), "{read}: {found:?}");
    }

    #[test]
    fn what_a_dead_line_under_another_nick_was_told_is_kept_at_a_stop_while_the_new_one_is_in_no_channel_yet() {
        for stop in [true, false] {
            let (mut asked, dead, bob) = talk();
            let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
            for _ in 0..3 {
                later(&mut asked, dead);
            }
            let living = second_nick(&mut asked, 0);
            for _ in 0..3 {
                later_and_confirmed(&mut asked, living);
            }
            if stop {
                asked.handle(Event::Shutdown("bye".into()));
                confirm(&mut asked, living);
                asked.now.mono_ms += limits::LAST_ANSWERS_MS;
                asked.handle(Event::Tick);
            } else {
                confirm(&mut asked, living);
                asked.handle(Event::Closed(dead, cut()));
                asked.handle(Event::Closed(living, cut()));
            }
            let (seen, owed) = stand(&asked);
            let is_lost = |owed: &owed::Owed| owed.conversation == id_of(&asked, "#a") && owed.after < lost;
            assert!(
                seen.is_some_and(|seen| seen < lost) || owed::parse(&owed).unwrap().iter().any(is_lost),
                "{stop}: {lost} {seen:?} {owed}"
            );
        }
    }

    /// Answers all that is asked of the store with nothing; what a connection asks for, of which conversation and after which
    /// change.
    fn asked_for(asked: &mut Asked, conn: ConnId) -> Vec<(u64, Seq)> {
        let (mut found, mut calls) = (Vec::new(), asked.calls().to_vec());
        while let Some((id, call)) = calls.pop() {
            if let Call::History(query) = call
                && id.conn == conn
            {
                found.push((query.conversation, query.floor));
            }
            let page = HistoryPage { chunks: Vec::new(), messages: 0, last: 0, cut_at: None };
            asked.handle(Event::Returned(id, Returned::History(page)));
            calls.extend_from_slice(asked.calls());
        }
        found
    }

    #[test]
    fn what_another_device_joins_while_two_lines_of_one_are_dead_that_one_is_still_owed() {
        for late in [false, true] {
            let (mut asked, bob, read) = away();
            let tab = asked.device("alice", 1, "tab", "server-time");
            replay_all(&mut asked);
            if !late {
                asked.ask(bob, "PRIVMSG alice :private");
            }
            let first = asked.device("alice", 1, "phone", "server-time");
            replay_all(&mut asked);
            confirm(&mut asked, first);
            let _second = asked.device("alice", 1, "phone", "server-time");
            replay_all(&mut asked);
            asked.ask(tab, "JOIN #a,#b");
            replay_all(&mut asked);
            confirm(&mut asked, tab);
            let third = asked.device("alice", 1, "phone", "server-time");
            let found = asked_for(&mut asked, third);
            for channel in ["#a", "#b"] {
                let id = id_of(&asked, channel);
                assert!(
                    found.iter().any(|(of, floor)| *of == id && *floor <= read),
                    "{channel} {id}: {found:?} {read}"
                );
            }
        }
    }

    #[test]
    fn what_the_older_of_two_has_confirmed_is_not_owed_by_the_newer_that_is_dead_once_it_has_gone() {
        let (mut asked, bob, _) = away();
        let living = back(&mut asked);
        replayed_on_join(&mut asked, living, "#b");
        confirm(&mut asked, living);
        let _dead = asked.device("alice", 1, "phone", "server-time");
        replay_all(&mut asked);
        asked.ask(bob, "PRIVMSG #a :before");
        later_and_confirmed(&mut asked, living);
        asked.ask(living, "JOIN #a");
        replay_all(&mut asked);
        confirm(&mut asked, living);
        later_and_confirmed(&mut asked, living);
        let read = asked.server.session(living).map(Session::has_read).unwrap_or_default();
        asked.handle(Event::Closed(living, cut()));
        let next = asked.device("alice", 1, "phone", "server-time");
        let (found, id) = (asked_for(&mut asked, next), id_of(&asked, "#a"));
        assert!(found.iter().all(|(of, floor)| *of != id || *floor >= read), "{id}: {found:?} {read}");
    }

    #[test]
    fn what_one_has_read_before_it_left_a_channel_does_not_come_again_when_a_dead_one_under_another_nick_ends() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        replayed_on_join(&mut asked, living, "#a");
        confirm(&mut asked, living);
        let shown = said(&mut asked, bob, "PRIVMSG #a :shown");
        later_and_confirmed(&mut asked, living);
        asked.ask(living, "PART #a");
        let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
        asked.handle(Event::Closed(dead, cut()));
        asked.ask(living, "JOIN #a");
        let (found, id) = (asked_for(&mut asked, living), id_of(&asked, "#a"));
        let floors: Vec<Seq> = found.iter().filter(|(of, _)| *of == id).map(|(_, floor)| *floor).collect();
        assert!(floors.iter().all(|floor| *floor >= shown) && floors.iter().any(|floor| *floor < lost), "{floors:?}");
    }

    #[test]
    fn what_only_a_dead_one_under_another_nick_was_told_while_the_living_one_had_left_is_owed_until_that_has_read_it() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        replayed_on_join(&mut asked, living, "#a");
        confirm(&mut asked, living);
        asked.ask(living, "PART #a");
        let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
        let id = id_of(&asked, "#a");
        let comes = |found: &[(u64, Seq)]| found.iter().any(|(of, floor)| *of == id && *floor < lost);
        // It is cut off before it says that it has read that.
        asked.ask(living, "JOIN #a");
        assert!(matches!(asked.calls(), [(_, Call::History(query))] if query.conversation == id && query.floor < lost));
        replay_all(&mut asked);
        asked.ask(bob, "PRIVMSG #a :shown");
        asked.handle(Event::Closed(living, cut()));
        asked.handle(Event::Closed(dead, cut()));
        let next = back(&mut asked);
        asked.ask(next, "JOIN #a");
        assert!(comes(&asked_for(&mut asked, next)));
        confirm(&mut asked, next);
        asked.ask(next, "QUIT");
        let last = back(&mut asked);
        asked.ask(last, "JOIN #a");
        assert!(!comes(&asked_for(&mut asked, last)), "once it has read that");
    }

    #[test]
    fn what_one_has_read_under_another_nick_does_not_come_again_when_the_next_one_there_dies() {
        let (mut asked, _, read) = away();
        let dead = back(&mut asked);
        asked.ask(dead, "JOIN #a");
        replay_all(&mut asked);
        for confirms in [true, false] {
            let conn = second_nick(&mut asked, 0);
            joined_with(&mut asked, conn, "#b", 1);
            if confirms {
                later_and_confirmed(&mut asked, conn);
                asked.ask(conn, "QUIT");
            } else {
                asked.handle(Event::Closed(conn, cut()));
            }
        }
        let next = back(&mut asked);
        asked.ask(next, "JOIN #b");
        let (found, id) = (asked_for(&mut asked, next), id_of(&asked, "#b"));
        assert!(found.iter().all(|(of, floor)| *of != id || *floor > read + 1), "{read}: {found:?}");
    }

    #[test]
    fn of_two_that_come_and_have_not_joined_yet_the_older_sees_to_the_channels_once_the_newer_has_gone() {
        for end in ["older goes", "kept"] {
            let (mut asked, bob, _) = away();
            let older = back(&mut asked);
            let newer = back(&mut asked);
            asked.ask(newer, "QUIT");
            let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
            for _ in 0..3 {
                later_and_confirmed(&mut asked, older);
            }
            if end != "kept" {
                asked.ask(older, "QUIT");
            }
            let (seen, owed) = stand(&asked);
            let is_owed = |owed: &owed::Owed| owed.conversation == EVERY_OTHER && owed.until >= lost;
            let all = owed::parse(&owed).unwrap();
            assert!(seen.is_some_and(|seen| seen < lost) || all.iter().any(is_owed), "{end}: {lost} {seen:?} {owed}");
        }
    }

    #[test]
    fn what_it_was_given_of_a_talk_stays_owed_when_it_confirms_a_channel() {
        let (mut asked, bob, _) = away();
        let dead = back(&mut asked);
        let living = second_nick(&mut asked, 1);
        confirm(&mut asked, living);
        let lost = said(&mut asked, bob, "PRIVMSG alice :lost");
        asked.handle(Event::Closed(dead, cut()));
        joined_with(&mut asked, living, "#b", 1);
        confirm(&mut asked, living);
        asked.ask(living, "QUIT");
        let next = asked.device("alice", 1, "phone", "server-time");
        let found = asked_for(&mut asked, next);
        assert!(found.iter().any(|(of, floor)| *of == 3 && *floor < lost), "{lost}: {found:?}");
    }

    #[test]
    fn who_never_says_that_it_has_read_is_replayed_what_another_nick_was_told_once() {
        let (mut asked, bob) = always_home();
        let away = asked.device("alice_", 1, "phone", "server-time");
        asked.ask(bob, "PRIVMSG alice :lost");
        let leave = |asked: &mut Asked, conn| {
            asked.now.mono_ms += limits::ARRIVAL_MS;
            for _ in 0..3 {
                later(asked, conn);
                asked.ask(conn, "PONG :irc.test");
            }
            asked.ask(conn, "QUIT");
        };
        leave(&mut asked, away);
        for times in [1, 0] {
            let back = asked.device("alice", 1, "phone", "server-time");
            let private = id_of(&asked, "$1 ~bob");
            let of_it = asked.calls().iter().filter(|(_, call)| matches!(call, Call::History(query) if query.conversation == private && query.range != Range::Before(Border::Seq(asked.server.last_seq() + 1))));
            let count = of_it.count();
            replay_all(&mut asked);
            assert_eq!(count, times);
            leave(&mut asked, back);
        }
    }

    #[test]
    fn where_a_device_is_often_under_another_nick_what_it_is_owed_of_a_channel_is_one() {
        let (mut asked, bob) = always_home();
        asked.ask(bob, "JOIN #a");
        let first = said(&mut asked, bob, "PRIVMSG #a :lost");
        // Of what was said before a start it is not known by which change.
        for _ in 0..5 {
            let away = asked.device("alice_", 1, "phone", "server-time");
            replay_all(&mut asked);
            confirm(&mut asked, away);
            asked.ask(bob, "PRIVMSG #a :lost");
            asked.now.mono_ms += limits::ARRIVAL_MS;
            for _ in 0..3 {
                later_and_confirmed(&mut asked, away);
            }
            asked.ask(away, "QUIT");
            asked.ask(bob, "PRIVMSG #a :lost");
        }
        let owed = owed::parse(&stand(&asked).1).unwrap();
        let of_it: Vec<_> = owed.iter().filter(|one| one.conversation == id_of(&asked, "#a")).collect();
        assert!(of_it.len() <= 2 && of_it.iter().any(|one| one.after < first), "{owed:?}");
    }

    #[test]
    fn what_it_has_read_of_a_channel_does_not_come_again_when_it_comes_often_under_another_nick_and_goes_at_once() {
        let (mut asked, bob) = always_home();
        asked.ask(bob, "JOIN #a,#b");
        let shown = said(&mut asked, bob, "PRIVMSG #a :shown");
        let home = asked.device("alice", 1, "phone", "server-time");
        replay_all(&mut asked);
        confirm(&mut asked, home);
        asked.ask(bob, "PRIVMSG #a :lost");
        asked.handle(Event::Closed(home, cut()));
        let id = id_of(&asked, "#a");
        for _ in 0..3 {
            let away = asked.device("alice_", 1, "phone", "server-time");
            asked.ask(away, "JOIN #b");
            replay_all(&mut asked);
            confirm(&mut asked, away);
            asked.ask(bob, "PRIVMSG #a :lost");
            asked.handle(Event::Closed(away, cut()));
        }
        let last = asked.device("alice_", 1, "phone", "server-time");
        asked.ask(last, "JOIN #a");
        let found = asked_for(&mut asked, last);
        let of_it: Vec<Seq> = found.iter().filter(|(of, _)| *of == id).map(|(_, floor)| *floor).collect();
        assert!(!of_it.is_empty() && of_it.iter().all(|floor| *floor >= shown), "{shown}: {found:?}");
    }

    #[test]
    fn what_was_said_before_a_start_in_a_channel_of_another_nick_is_owed() {
        let snapshot = always_on("#a:");
        let said = ConversationRow { id: 7, key: "#a".into(), closed: false, since: 0 };
        let seen = SeenRow { account: 1, device: "phone".into(), seq: Some(5), owed: Vec::new() };
        let account = AccountRow { autoreplay_missed: true, ..snapshot.accounts[0].clone() };
        let snapshot =
            Snapshot { conversations: vec![(said, 100, 100)], seen: vec![seen], accounts: vec![account], ..snapshot };
        let mut asked = Asked::started_with(snapshot);
        let away = asked.device("alice_", 1, "phone", "server-time");
        replay_all(&mut asked);
        confirm(&mut asked, away);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        for _ in 0..3 {
            later_and_confirmed(&mut asked, away);
        }
        asked.ask(away, "QUIT");
        let back = asked.device("alice", 1, "phone", "server-time");
        assert!(asked_for(&mut asked, back).contains(&(7, 5)));
    }

    #[test]
    fn what_a_device_has_said_itself_does_not_come_again_where_its_other_connection_confirms_in_the_middle_of_a_replay()
    {
        let (mut asked, living, bob) = talk();
        asked.ask(living, "JOIN #b");
        asked.ask(bob, "JOIN #b");
        asked.ask(bob, "PRIVMSG #a :one");
        asked.ask(living, "PRIVMSG #b :own");
        asked.ask(bob, "PRIVMSG #b :two");
        let own = asked.server.own_said(living);
        assert_eq!(own.len(), 1);
        later(&mut asked, living);
        asked.device("alice", 1, "phone", "server-time");
        // The first of what it missed is read while the other connection confirms.
        let [(id, Call::History(_))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        let id = *id;
        confirm(&mut asked, living);
        assert!(asked.server.own_said(living).is_empty());
        asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
        let [(_, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        assert_eq!(*query.reader.own, *own);
    }

    #[test]
    fn what_only_a_dead_line_under_another_nick_was_told_is_owed_while_any_other_says_that_it_has_read_something_else()
    {
        for ends in ["before", "while it confirms", "never"] {
            for dies in [false, true] {
                let (mut asked, bob, _) = away();
                let dead = back(&mut asked);
                let living = second_nick(&mut asked, 1);
                confirm(&mut asked, living);
                let lost = said(&mut asked, bob, "PRIVMSG alice :lost");
                let shown = said(&mut asked, bob, "PRIVMSG alice_ :shown");
                later_and_confirmed(&mut asked, living);
                assert!(asked.server.session(living).is_some_and(|living| living.has_read() >= shown));
                if ends == "before" {
                    asked.handle(Event::Closed(dead, cut()));
                }
                joined_with(&mut asked, living, "#b", 1);
                if ends == "while it confirms" {
                    asked.handle(Event::Closed(dead, cut()));
                }
                confirm(&mut asked, living);
                if dies {
                    let again = asked.device("alice_", 1, "phone", "server-time");
                    replay_all(&mut asked);
                    asked.handle(Event::Closed(again, cut()));
                }
                let next = asked.device("alice_", 1, "phone", "server-time");
                let of_it = |found: Vec<(u64, Seq)>| {
                    found.into_iter().filter(|(of, floor)| *of == 3 && *floor < lost).collect::<Vec<_>>()
                };
                assert_eq!(of_it(asked_for(&mut asked, next)).len(), 1, "{ends} {dies}");
                confirm(&mut asked, next);
                later_and_confirmed(&mut asked, next);
                let last = asked.device("alice_", 1, "phone", "server-time");
                assert_eq!(of_it(asked_for(&mut asked, last)), [], "{ends} {dies}");
            }
        }
    }

    #[test]
    fn what_was_said_to_a_nick_that_stays_while_its_device_was_on_under_another_is_replayed() {
        for (device, killed) in [("", false), ("phone", false), ("phone", true)] {
            let mut asked = Asked::started_with(always_on("#a:"));
            let (home, bob) = (asked.device("alice", 1, device, "server-time"), asked.user("bob"));
            for line in ["NS SET AUTOREPLAY-MISSED ON", "JOIN #b", "QUIT"] {
                asked.ask(home, line);
            }
            asked.ask(bob, "JOIN #a,#b");
            let missed = said(&mut asked, bob, "PRIVMSG #a :missed");
            let away = asked.device("alice_", 1, device, "server-time");
            replay_all(&mut asked);
            confirm(&mut asked, away);
            asked.ask(bob, "PRIVMSG alice :lost");
            asked.ask(bob, "PRIVMSG alice_ :shown");
            asked.ask(bob, "PRIVMSG alice :lost");
            asked.ask(bob, "PRIVMSG #a :lost");
            // It has had the time to come into channels, and has not.
            asked.now.mono_ms += limits::ARRIVAL_MS;
            for _ in 0..3 {
                later_and_confirmed(&mut asked, away);
            }
            let (channel, private) = (id_of(&asked, "#a"), id_of(&asked, "$1 ~bob"));
            if killed {
                let owed = owed::parse(&stand(&asked).1).unwrap_or_default();
                let is_owed = |id, seq| {
                    owed.iter().any(|one| one.conversation == id && (one.after..one.until).contains(&(seq - 1)))
                };
                assert!(is_owed(channel, missed), "{owed:?}");
                assert_eq!(owed.iter().filter(|one| one.conversation == private).count(), 2, "{owed:?}");
                continue;
            }
            asked.ask(away, "QUIT");
            let back = asked.device("alice", 1, device, "server-time");
            let found = asked_for(&mut asked, back);
            assert!(found.iter().any(|(of, floor)| *of == channel && *floor < missed), "{device}: {found:?} {missed}");
            let before = found.iter().filter(|(of, _)| *of == private).count();
            assert_eq!(before, 3, "each of the two, and what came since: {device}: {found:?}");
            confirm(&mut asked, back);
            asked.ask(back, "QUIT");
            let again = asked.device("alice", 1, device, "server-time");
            let found = asked_for(&mut asked, again);
            assert!(found.iter().all(|(_, floor)| *floor > missed), "{device}: {found:?}");
        }
    }

    #[test]
    fn what_one_has_read_is_owed_by_no_dead_line_of_its_nick_once_it_has_gone_though_one_has_another_nick() {
        for (line, cuts) in [("PRIVMSG alice :shown", false), ("PRIVMSG #a :shown", true)] {
            let (mut asked, bob, _) = away();
            let first = back(&mut asked);
            asked.ask(first, "JOIN #a");
            replay_all(&mut asked);
            confirm(&mut asked, first);
            second_nick(&mut asked, 0);
            let third = back(&mut asked);
            let shown = said(&mut asked, bob, line);
            later_and_confirmed(&mut asked, third);
            later_and_confirmed(&mut asked, third);
            if cuts {
                asked.handle(Event::Closed(third, cut()));
            } else {
                asked.ask(third, "QUIT");
            }
            let id = if cuts { id_of(&asked, "#a") } else { 3 };
            let next = asked.device("alice", 1, "phone", "server-time");
            let found = asked_for(&mut asked, next);
            assert!(found.iter().all(|(of, floor)| *of != id || *floor >= shown), "{line}: {shown} {found:?}");
        }
    }

    #[test]
    fn what_somebody_in_no_channel_says_with_an_echo_it_is_asked_for() {
        let mut asked = Asked::new();
        let caps = "server-time echo-message";
        let (old, bob) = (asked.device("alice", 1, "phone", caps), asked.user("bob"));
        let last = asked.server.last_seq();
        asked.handle(Event::Closed(old, CloseCause::Eof { shown: Some(last) }));
        asked.ask(bob, "JOIN #elsewhere");
        let conn = asked.device("alice", 1, "phone", caps);
        replay(&mut asked, conn, 0);
        let own = said(&mut asked, conn, "PRIVMSG bob :hi");
        assert!(later(&mut asked, conn).starts_with("PING "));
        confirm(&mut asked, conn);
        assert!(asked.server.session(conn).is_some_and(|session| session.has_read() >= own));
    }

    #[test]
    fn what_two_dead_lines_under_one_nick_were_told_stays_owed_when_the_one_under_another_goes() {
        let ends = ["quit", "cut", "stays"].into_iter();
        for (end, joins, confirms) in
            ends.flat_map(|end| [(end, false, false), (end, true, false), (end, false, true), (end, true, true)])
        {
            let (mut asked, bob, _) = away();
            let first = back(&mut asked);
            asked.ask(first, "JOIN #a,#b");
            replay_all(&mut asked);
            confirm(&mut asked, first);
            let second = back(&mut asked);
            if confirms {
                later_and_confirmed(&mut asked, second);
            }
            asked.ask(bob, "PRIVMSG alice :private");
            let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
            let third = second_nick(&mut asked, 0);
            if joins {
                asked.ask(third, "JOIN #b");
                replay_all(&mut asked);
                confirm(&mut asked, third);
            }
            match end {
                "quit" => drop(asked.ask(third, "QUIT")),
                "cut" => asked.handle(Event::Closed(third, cut())),
                _ => {}
            }
            let next = asked.device("alice", 1, "phone", "server-time");
            let (found, id) = (asked_for(&mut asked, next), id_of(&asked, "#a"));
            let is_it = |(of, floor): &(u64, Seq)| *of == id && *floor < lost;
            assert!(found.iter().any(is_it), "{joins} {confirms} {end}: {lost} {found:?}");
        }
    }

    #[test]
    fn of_two_that_come_and_have_not_joined_yet_the_one_that_goes_last_is_owed_the_channels() {
        for end in ["older first", "newer first", "kept"] {
            let (mut asked, bob, _) = away();
            let short = back(&mut asked);
            replayed_on_join(&mut asked, short, "#b");
            confirm(&mut asked, short);
            asked.ask(short, "QUIT");
            let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
            asked.ask(bob, "PRIVMSG elsewhere :x");
            let (older, newer) = (back(&mut asked), back(&mut asked));
            asked.ask(bob, "TOPIC #b :x");
            for conn in [older, newer] {
                later(&mut asked, conn);
                confirm(&mut asked, older);
                confirm(&mut asked, newer);
            }
            let (seen, owed) = match end {
                "kept" => stand(&asked),
                _ => {
                    let (first, last) = if end == "older first" { (older, newer) } else { (newer, older) };
                    asked.ask(first, "QUIT");
                    asked.ask(last, "QUIT");
                    stand(&asked)
                }
            };
            let id = id_of(&asked, "#a");
            let all = owed::parse(&owed).unwrap();
            let own = all.iter().filter(|owed| owed.conversation == id).map(|owed| owed.until).max().unwrap_or(0);
            let is_owed = |owed: &owed::Owed| {
                let after = if owed.conversation == EVERY_OTHER { owed.after.max(own) } else { owed.after };
                [EVERY_OTHER, id].contains(&owed.conversation) && after < lost && lost <= owed.until
            };
            assert!(seen.is_some_and(|seen| seen < lost) || all.iter().any(is_owed), "{end}: {lost} {seen:?} {owed}");
        }
    }

    #[test]
    fn who_dies_silently_before_it_is_in_its_channels_has_them_owed_however_late_that_is_known() {
        for joins in [false, true] {
            let (mut asked, bob, read) = away();
            asked.ask(bob, "PRIVMSG alice :private");
            let conn = asked.device("alice", 1, "phone", "server-time");
            replay(&mut asked, conn, 1);
            confirm(&mut asked, conn);
            if joins {
                joined_with(&mut asked, conn, "#a", 1);
                confirm(&mut asked, conn);
            }
            asked.now.mono_ms += 3 * limits::ARRIVAL_MS;
            for _ in 0..3 {
                later(&mut asked, conn);
            }
            asked.handle(Event::Closed(conn, cut()));
            let conn = back(&mut asked);
            let ranges = replayed_on_join(&mut asked, conn, "#b");
            assert_eq!(ranges.first().map(|(after, _)| *after), Some(read), "{joins}");
        }
    }

    #[test]
    fn a_client_without_a_device_name_takes_over_what_its_dead_line_owed_and_is_owed_it_after_a_kill() {
        let mut asked = Asked::new();
        let (one, bob) = (asked.device("alice", 1, "", "server-time"), asked.user("bob"));
        for channel in ["#a", "#b"] {
            asked.ask(one, &format!("JOIN {channel}"));
            asked.ask(bob, &format!("JOIN {channel}"));
        }
        let last = asked.server.last_seq();
        asked.handle(Event::Closed(one, CloseCause::Eof { shown: Some(last) }));
        let read = kept(&asked, "").unwrap();
        asked.ask(bob, "PRIVMSG #a :missed");
        // It is dead when it has said that it was there, and before its channels.
        let dead = asked.device("alice", 1, "", "server-time");
        replay_all(&mut asked);
        asked.ask(dead, "JOIN #b");
        replay_all(&mut asked);
        confirm(&mut asked, dead);
        asked.ask(bob, "PRIVMSG #b :on its way");
        asked.now.mono_ms += 1;
        let living = asked.device("alice", 1, "", "server-time");
        replay_all(&mut asked);
        let ranges = replayed_on_join(&mut asked, living, "#a");
        assert_eq!(ranges.first().map(|(after, _)| *after), Some(read));
        replay_all(&mut asked);
        confirm(&mut asked, living);
        asked.ask(living, "QUIT");
        // Only the dead one is left: what is said now nobody is shown, and the server may be killed.
        let after = said(&mut asked, bob, "PRIVMSG #a :later");
        for _ in 0..3 {
            later(&mut asked, dead);
        }
        assert!(kept(&asked, "").is_some_and(|seen| seen < after), "{:?}", kept(&asked, ""));
    }

    #[test]
    fn of_two_clients_without_a_device_name_each_has_read_what_it_has_read_once_the_other_has_gone() {
        let mut asked = Asked::new();
        let (old, bob) = (asked.device("alice", 1, "", "server-time"), asked.user("bob"));
        asked.ask(old, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        let last = asked.server.last_seq();
        asked.handle(Event::Closed(old, CloseCause::Eof { shown: Some(last) }));
        let clients = [(); 2].map(|()| {
            asked.now.mono_ms += 1;
            let conn = asked.device("alice", 1, "", "server-time");
            replay_all(&mut asked);
            asked.ask(conn, "JOIN #a");
            replay_all(&mut asked);
            confirm(&mut asked, conn);
            conn
        });
        asked.now.mono_ms += 1;
        asked.ask(clients[1], "QUIT");
        let own = said(&mut asked, clients[0], "PRIVMSG bob :bye");
        asked.ask(clients[0], "QUIT");
        let (seen, owed) = (kept(&asked, ""), asked.server.network.stand(1, "").owed.clone());
        let is_owed =
            |owed: &owed::Owed| owed.conversation != EVERY_OTHER && owed.conversation != OWN && !owed.is_nothing();
        assert!(seen.is_some_and(|seen| seen >= own) && !owed.iter().any(is_owed), "{own}: {seen:?} {owed:?}");
    }

    #[test]
    fn a_client_without_a_device_name_whose_lines_die_one_after_the_other_is_shown_everything_once() {
        let mut asked = Asked::new();
        let (one, bob) = (asked.device("alice", 1, "", "server-time"), asked.user("bob"));
        asked.ask(one, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        let mut conns = vec![one];
        let mut read = asked.server.session(one).map(Session::has_read).unwrap();
        for number in 0..4 {
            let last = said(&mut asked, bob, &format!("PRIVMSG #a :{number}"));
            asked.now.mono_ms += 1;
            let conn = asked.device("alice", 1, "", "server-time");
            assert_eq!(asked.server.session(conn).and_then(|session| session.mark), Some(read), "{number}");
            replay_all(&mut asked);
            asked.ask(conn, "JOIN #a");
            replay_all(&mut asked);
            confirm(&mut asked, conn);
            asked.now.mono_ms += limits::ARRIVAL_MS;
            later_and_confirmed(&mut asked, conn);
            read = asked.server.session(conn).map(Session::has_read).unwrap_or_default();
            assert!(read >= last);
            conns.push(conn);
        }
        // The one that lives goes, and then it is known that the others have gone long ago.
        let living = conns.pop().unwrap();
        asked.ask(living, "QUIT");
        conns.into_iter().for_each(|conn| asked.handle(Event::Closed(conn, cut())));
        assert!(asked.server.network.seen(1, "").is_some_and(|seen| seen >= read));
    }

    #[test]
    fn what_a_device_says_while_it_is_late_to_answer_is_kept_as_one() {
        let (mut asked, alice, bob) = talk();
        asked.ask(bob, "PRIVMSG #a :zero");
        later(&mut asked, alice);
        asked.ask(alice, "PONG :read-1");
        asked.ask(bob, "PRIVMSG #a :one");
        later(&mut asked, alice);
        later(&mut asked, alice);
        for number in 0..2 * limits::OWN_SAID {
            asked.ask(alice, &format!("PRIVMSG #a :own {number}"));
        }
        let (seen, owed) = stand(&asked);
        assert!(seen.is_some() && owed.starts_with(&format!("{OWN} ")) && !owed.contains(','), "{owed}");
        // And once it is back after the server was killed, and goes.
        let kept = SeenRow { account: 1, device: "phone".into(), seq: seen, owed: owed::parse(&owed).unwrap() };
        assert_eq!(Server::own_said_before(&[kept]).values().map(Vec::len).collect::<Vec<_>>(), [1]);
        asked.handle(Event::Closed(alice, cut()));
        assert_eq!(stand(&asked).1.matches(&format!("{OWN} ")).count(), 1, "{:?}", stand(&asked));
    }

    /// Her phone is back in `#a`, where it missed one line, and has read that.
    fn back_for_one_line(asked: &mut Asked, bob: ConnId) -> (ConnId, Vec<(Seq, Range)>) {
        asked.ask(bob, "PRIVMSG #a :missed");
        let conn = asked.device("alice", 1, "phone", "server-time");
        let ranges = replay(asked, conn, 1);
        confirm(asked, conn);
        (conn, ranges)
    }

    #[test]
    fn who_comes_back_again_and_again_while_an_old_connection_is_dead_is_replayed_none_twice() {
        let (mut asked, alice, bob) = talk();
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: Some(asked.server.last_seq()) }));
        let (dead, _) = back_for_one_line(&mut asked, bob);
        let (two, _) = back_for_one_line(&mut asked, bob);
        let live = said(&mut asked, bob, "PRIVMSG #a :live");
        later_and_confirmed(&mut asked, two);
        asked.handle(Event::Closed(two, CloseCause::Eof { shown: Some(live) }));
        for _ in 0..2 {
            let three = asked.device("alice", 1, "phone", "server-time");
            for (after, _) in replay(&mut asked, three, 0) {
                assert!(after >= live, "again from {after} on, and it has read {live}");
            }
            confirm(&mut asked, three);
            let last = asked.server.last_seq();
            asked.handle(Event::Closed(three, CloseCause::Eof { shown: Some(last) }));
        }
        asked.handle(Event::Closed(dead, cut()));
        let conn = asked.device("alice", 1, "phone", "server-time");
        assert!(replay(&mut asked, conn, 0).iter().all(|(after, _)| *after >= live), "{:?}", stand(&asked));
    }

    #[test]
    fn a_channel_that_another_connection_joins_while_it_is_busy_is_still_owed() {
        let (mut asked, bob, read) = away();
        asked.ask(bob, "JOIN #c");
        asked.ask(bob, "PRIVMSG #c :three");
        let conn = back(&mut asked);
        replayed_on_join(&mut asked, conn, "#a");
        confirm(&mut asked, conn);
        let laptop = asked.device("alice", 1, "laptop", "draft/chathistory");
        assert_eq!(asked.server.network.users[asked.id("alice")].sessions.len(), 2);
        asked.ask(bob, "PRIVMSG #a :live");
        later_and_confirmed(&mut asked, conn);
        asked.ask(conn, "JOIN #b");
        assert_eq!(asked.calls().len(), 1);
        asked.ask(laptop, "JOIN #c");
        asked.handle(Event::Closed(conn, cut()));
        asked.handle(Event::Closed(laptop, cut()));
        assert_eq!(next_time(&mut asked, "#c")[0], read, "lost");
    }

    #[test]
    fn a_channel_that_is_new_to_it_is_kept_as_done() {
        let (mut asked, conn, bob, _) = back_in_private();
        replayed_on_join(&mut asked, conn, "#new");
        asked.ask(bob, "JOIN #new");
        asked.ask(bob, "PRIVMSG #new :live");
        let id = id_of(&asked, "#new");
        let (seen, owed) = stand(&asked);
        assert!(owed.contains(&format!("{id} * *")), "{seen:?} {owed} new is {id}");
    }

    #[test]
    fn what_only_a_dead_one_hears_once_the_living_one_has_left_the_channel_is_kept() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        replayed_on_join(&mut asked, living, "#a");
        confirm(&mut asked, living);
        asked.now.mono_ms += limits::ARRIVAL_MS;
        asked.ask(bob, "PRIVMSG #a :shown");
        for _ in 0..3 {
            later_and_confirmed(&mut asked, living);
        }
        assert!(asked.server.session(dead).unwrap().is_behind().is_some());
        asked.ask(living, "PART #a");
        let lost = said(&mut asked, bob, "PRIVMSG #a :lost");
        for _ in 0..3 {
            later(&mut asked, living);
        }
        let mirror = stand(&asked);
        asked.server.note_device(1, "phone");
        assert_eq!(mirror, stand(&asked), "{lost}");
    }

    #[test]
    fn of_many_private_lines_that_only_a_dead_one_was_told_the_last_are_owed() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        confirm(&mut asked, living);
        for n in 0..limits::TOLD {
            let nick = format!("u{n}");
            let conn = asked.user(&nick);
            asked.ask(conn, "PRIVMSG alice :hi");
            asked.handle(Event::Closed(conn, cut()));
        }
        later_and_confirmed(&mut asked, dead);
        let read = asked.server.session(dead).unwrap().has_read();
        let lost = said(&mut asked, bob, "PRIVMSG alice :lost");
        assert!(read < lost && read >= lost - 3, "{read} {lost}");
        asked.ask(bob, "PRIVMSG alice_ :shown");
        later_and_confirmed(&mut asked, living);
        asked.handle(Event::Closed(dead, cut()));
        asked.handle(Event::Closed(living, cut()));
        let (seen, owed) = stand(&asked);
        assert!(owed.contains(&format!(" {lost}")), "{lost} lost, seen {seen:?} {owed}");
    }

    #[test]
    fn what_was_shown_between_two_lines_that_only_a_dead_one_was_told_does_not_come_again() {
        let (mut asked, dead, bob) = talk();
        let living = second_nick(&mut asked, 0);
        confirm(&mut asked, living);
        asked.ask(bob, "PRIVMSG alice :lost");
        let shown = said(&mut asked, bob, "PRIVMSG alice_ :shown");
        asked.ask(bob, "PRIVMSG alice :lost");
        asked.ask(bob, "PRIVMSG alice_ :shown");
        later_and_confirmed(&mut asked, living);
        asked.handle(Event::Closed(dead, cut()));
        let debts = asked.server.network.owed(1, "phone");
        assert!(debts.iter().all(|o| !(o.after < shown && shown <= o.until)), "twice {shown}: {debts:?}");
    }
}
