//! What each device of an account has read and has missed: what is replayed to it is what it missed, and no more.

use std::collections::{BTreeMap, BTreeSet};

use roost::server::Server;
use roost::server::event::{CloseCause, ConnId, Event};
use roost::server::network::{Identity, Network};
use roost::server::reading::Reading;
use roost::server::record::{AccountId, ConversationId, MessageRow, Seq};

use crate::edge::Edge;
use crate::view::Promise;
use crate::violation::{Invariant, Outcome, broken};

/// An account's device.
pub type Name = (AccountId, Box<str>);

#[derive(Debug, Default)]
struct Device {
    /// What it has read.
    read: BTreeSet<Seq>,
    /// What was said where it could have read it, while it was not there, or did not reach it any more.
    missed: BTreeSet<Seq>,
    /// It went in good order: what it had read by then is known to the server.
    orderly: bool,
    /// What it was shown up to here it is known to have read, since the last start.
    known: Seq,
    /// What it has said itself need not be shown to it.
    own: BTreeSet<Seq>,
}

/// A connection of a device, before an event.
#[derive(Debug)]
struct There {
    conn: ConnId,
    socket: Option<usize>,
    /// How far it is known to have read.
    read: Seq,
    /// Whether it is asked for that.
    asked: bool,
    /// It has not answered whether it has read what it was shown, or replayed, or is busy and cannot be asked.
    unanswered: bool,
    /// What it was replayed is not known to have been read, or it was asked whether it has read what it was shown and has
    /// let time pass since.
    behind: bool,
    /// What it was replayed when it came is not known to have been read.
    arriving: bool,
    /// It may not have come into all of its channels.
    coming: bool,
    /// Channels that it has joined later are being replayed to it.
    unread: bool,
    /// The conversations that were replayed to it.
    replayed: BTreeSet<ConversationId>,
}

impl There {
    fn is_late(&self) -> bool {
        self.asked && self.behind
    }

    /// Whether its device is still to be replayed what was said in a channel before it came.
    fn owes(&self, channel: ConversationId) -> bool {
        self.arriving || if self.replayed.contains(&channel) { self.unread } else { self.coming }
    }
}

/// All devices that there ever were.
#[derive(Debug, Default)]
pub struct Devices {
    devices: BTreeMap<Name, Device>,
    /// By socket: whose it is, as long as anything is read from it; and since when it is asked what it has read. What it
    /// was shown before, as a guest that has logged in since, is not asked for.
    who: BTreeMap<usize, (Name, Option<Seq>)>,
    /// What was said in channels, and in which.
    channels: BTreeMap<Seq, ConversationId>,
    /// What is shown and never replayed: TAGMSG.
    unkept: BTreeSet<Seq>,
    /// Sockets by which something was said or read that were no device's then.
    guests: BTreeSet<usize>,
    /// By socket: what was said by it and read from it.
    shown: BTreeMap<usize, Vec<Seq>>,
    /// By socket: what the client has closed without having read it.
    unread: BTreeMap<usize, Vec<Seq>>,
}

/// Who is there before an event.
#[derive(Debug, Default)]
pub struct Roll(BTreeMap<Name, Vec<There>>);

impl Device {
    /// It was to be shown these, and has not read them.
    fn miss(&mut self, seqs: impl IntoIterator<Item = Seq>) {
        let (read, own) = (&self.read, &self.own);
        self.missed.extend(seqs.into_iter().filter(|seq| !read.contains(seq) && !own.contains(seq)));
    }

    /// Its connections end. Of what was said before they came only that is still to be replayed which it was not known to have
    /// read, and what was said in channels that it had not come into.
    fn settle(&mut self, there: &[There], channels: &BTreeMap<Seq, ConversationId>) {
        self.missed.retain(|seq| match channels.get(seq) {
            Some(channel) => there.iter().all(|there| there.owes(*channel)),
            None => there.iter().any(|there| there.behind),
        });
    }
}

impl Devices {
    /// Who is there.
    pub fn roll(server: &Server, edge: &Edge) -> Roll {
        let mut roll = Roll::default();
        for session in server.all_sessions().filter(|session| !session.closing) {
            let Some(account) = session.account else { continue };
            let particulars = session.particulars();
            let is_new = |reading: &Reading| !reading.off && !reading.has_had_time(session.heard);
            let there = There {
                conn: session.conn,
                socket: edge.socket_at(session.conn),
                read: session.has_read(),
                asked: session.particulars().reading.as_ref().is_some_and(|reading| !reading.off),
                unanswered: session.is_busy()
                    || particulars.unread.is_some()
                    || particulars.reading.as_ref().is_some_and(|reading| reading.asked.is_some()),
                behind: session.is_behind().is_some(),
                arriving: session.arriving().or(particulars.unread.as_ref().and_then(|unread| unread.after)).is_some(),
                coming: session.replays && session.mark.is_some() && particulars.reading.as_ref().is_some_and(is_new),
                unread: particulars.unread.is_some(),
                replayed: particulars.replayed.iter().copied().collect(),
            };
            roll.0.entry((account, session.device.clone())).or_default().push(there);
        }
        roll
    }

    /// An event has happened: who has come, and who has gone and how. What it came to of what is to be reached.
    pub fn note(
        &mut self,
        before: &Roll,
        now: &Roll,
        event: Option<(Option<ConnId>, CloseCause)>,
        left: impl Fn(usize) -> Vec<Seq>,
    ) -> Outcome<Vec<&'static str>> {
        let mut reached = Vec::new();
        for (name, there) in &now.0 {
            let device = self.devices.entry(name.clone()).or_default();
            // Two clients that say that they are one device: neither shows what the other has read.
            device.orderly &= there.len() == 1;
            // What it is owed the one that comes sees to from now on.
            match before.0.get(name) {
                Some(others) if others.len() < there.len() => {
                    let (unnamed, channels) = (name.1.is_empty(), &self.channels);
                    device.missed.retain(|seq| match channels.get(seq) {
                        Some(channel) => !unnamed && others.iter().any(|other| other.owes(*channel)),
                        None if unnamed => others.iter().any(|other| other.behind),
                        None => others.iter().all(|other| other.behind),
                    });
                }
                _ => {}
            }
            for (there, socket) in there.iter().filter_map(|there| Some((there, there.socket?))) {
                let who = self.who.entry(socket).or_insert_with(|| (name.clone(), None));
                let is_new = who.0 != *name || self.guests.remove(&socket);
                if who.0 != *name {
                    *who = (name.clone(), None);
                }
                // Who has logged in meanwhile, or to another account, has been shown this, or is.
                if is_new {
                    let seqs = self.shown.get(&socket).into_iter().flatten().copied();
                    device.own.extend(seqs.clone());
                    for seq in seqs.chain(left(socket)) {
                        device.missed.remove(&seq);
                    }
                }
                who.1 = who.1.filter(|_| there.asked).or(there.asked.then_some(there.read));
            }
        }
        for (name, there) in before.0.iter().filter(|(name, _)| !now.0.contains_key(*name)) {
            let Some(device) = self.devices.get_mut(name) else { continue };
            let behind = there.iter().any(|there| there.behind);
            let known = there.iter().map(|there| if there.asked { there.read } else { 0 }).min();
            device.known = known.unwrap_or_default().max(device.known);
            // Whoever is not replayed anything has to ask for what it missed.
            device.settle(there, &self.channels);
            device.orderly = !behind;
            reached.extend(there.iter().any(There::is_late).then_some("a device gone that is late to answer"));
            let Some((conn, cause)) = &event else { continue };
            let Some(last) = there.iter().rfind(|there| conn.is_none_or(|conn| there.conn == conn)) else { continue };
            let lost =
                last.socket.map(|socket| [left(socket), self.unread.remove(&socket).unwrap_or_default()].concat());
            let lost = lost.unwrap_or_default();
            match cause {
                CloseCause::Eof { shown: Some(shown) } => {
                    device.orderly &= lost.is_empty();
                    // What it has said itself waits for all that the same command says, and need not be shown to it.
                    if let Some(seq) = lost.iter().find(|seq| *seq <= shown && !behind && !device.own.contains(seq)) {
                        let text = format!("{name:?} has not been given {seq:x}, and is taken to have read it");
                        return broken(Invariant::Replay, text);
                    }
                    device.miss(lost);
                }
                CloseCause::Eof { shown: None } | CloseCause::Error(_) | CloseCause::SendQueue => {
                    reached.push("a device cut off");
                    self.cut_off(name, last, lost)?;
                }
                // What was on its way still comes, though nobody says so any more.
                CloseCause::Flood => device.orderly = false,
                // Those that have answered are there, and get what is on its way.
                CloseCause::Asked if there.iter().all(|there| there.unanswered) => {
                    reached.push("a device that has not answered when the server ends");
                    self.cut_off(name, last, lost)?;
                }
                CloseCause::Asked => {}
            }
        }
        // Of clients without a name, one that is replayed nothing is taken for all.
        for (name, there) in before.0.iter().filter(|(name, _)| name.1.is_empty()) {
            let Some(left) = now.0.get(name) else { continue };
            let has_gone = |there: &&There| !left.iter().any(|other| other.conn == there.conn);
            if let Some(device) = self.devices.get_mut(name)
                && there.iter().filter(has_gone).any(|there| !there.behind)
            {
                device.missed.clear();
            }
        }
        // Of one that has, what any of its connections does not owe it when it goes is not kept for it, whoever is left.
        for (name, there) in before.0.iter().filter(|(name, _)| !name.1.is_empty()) {
            let Some((left, device)) = now.0.get(name).zip(self.devices.get_mut(name)) else { continue };
            let gone = there.iter().filter(|there| !left.iter().any(|other| other.conn == there.conn));
            let channels = &self.channels;
            let owes = |there: &There, seq: &Seq| channels.get(seq).is_none_or(|channel| there.owes(*channel));
            device.missed.retain(|seq| gone.clone().all(|there| owes(there, seq)));
        }
        let Some((Some(conn), CloseCause::Eof { shown: None } | CloseCause::Error(_) | CloseCause::SendQueue)) = event
        else {
            return Ok(reached);
        };
        // One of several connections of a device that has a name, and so is one: the others show it what this one did not.
        for (name, there) in before.0.iter().filter(|(name, _)| !name.1.is_empty() && now.0.contains_key(*name)) {
            if let Some(there) = there.iter().find(|there| there.conn == conn) {
                reached.push("one of several connections of a device cut off");
                let lost =
                    there.socket.map(|socket| [left(socket), self.unread.remove(&socket).unwrap_or_default()].concat());
                self.cut_off(name, there, lost.unwrap_or_default())?;
            }
        }
        Ok(reached)
    }

    /// A connection ends without a word, and without having read these.
    fn cut_off(&mut self, name: &Name, there: &There, lost: Vec<Seq>) -> Outcome {
        let Some(device) = self.devices.get_mut(name) else { return Ok(()) };
        device.orderly = false;
        let lost: Vec<Seq> = lost.into_iter().filter(|seq| !self.unkept.contains(seq)).collect();
        let since = there.socket.and_then(|socket| self.who.get(&socket)?.1).unwrap_or_default();
        let knows = |seq: &Seq| *seq <= since || device.read.contains(seq) || device.own.contains(seq);
        if let Some(seq) = lost.iter().find(|seq| there.asked && **seq <= there.read && !knows(seq)) {
            let text = format!("{name:?} has not read {seq:x}, and is known to have read {:x}", there.read);
            return broken(Invariant::Replay, text);
        }
        device.miss(lost.into_iter().filter(|seq| *seq > if there.asked { since } else { there.read }));
        Ok(())
    }

    /// Something was shown that is replayed to nobody.
    pub fn shown(&mut self, seq: Seq) {
        self.unkept.insert(seq);
    }

    /// Something was said by a socket.
    pub fn spoke(&mut self, seq: Seq, socket: usize) {
        self.shown.entry(socket).or_default().push(seq);
        match self.who.get(&socket).and_then(|(name, _)| self.devices.get_mut(name)) {
            Some(device) => {
                device.own.insert(seq);
            }
            None => {
                self.guests.insert(socket);
            }
        }
    }

    /// Something was said: devices that were not there miss it. One that went by the same event may have said it.
    pub fn said(&mut self, seq: Seq, key: &str, network: &Network, there: [&Roll; 2]) {
        let in_private: BTreeSet<AccountId> = Identity::accounts_in(key).collect();
        let channel = network.conversation(key).filter(|_| key.starts_with('#'));
        if let Some(channel) = channel {
            self.channels.insert(seq, channel.id);
        }
        for (name, device) in &mut self.devices {
            // It may join the channel when it is back.
            let concerned = channel.is_some() || in_private.contains(&name.0);
            if concerned && !there.iter().any(|roll| roll.0.contains_key(name)) {
                device.missed.insert(seq);
            }
        }
    }

    /// A client has closed its socket without having read these.
    pub fn closed(&mut self, socket: usize, promised: &[Promise]) {
        let certain = promised.iter().filter(|promise| promise.live && !promise.optional);
        self.unread.entry(socket).or_default().extend(certain.map(|promise| promise.seq));
    }

    /// Something is on its way to a socket that its client has closed.
    pub fn in_vain(&mut self, socket: usize, seq: Seq) {
        self.unread.entry(socket).or_default().push(seq);
    }

    /// A client has read these, and, where that is `unclear`, more.
    pub fn read(&mut self, socket: usize, seqs: Vec<Seq>, unclear: bool) {
        self.shown.entry(socket).or_default().extend(&seqs);
        let Some(device) = self.who.get(&socket).and_then(|(name, _)| self.devices.get_mut(name)) else {
            self.guests.insert(socket);
            return;
        };
        if unclear {
            device.missed.clear();
        }
        for seq in seqs {
            device.missed.remove(&seq);
            device.read.insert(seq);
        }
    }

    /// Whether the device of a socket has said something itself.
    pub fn has_said(&self, socket: usize, seq: Seq) -> bool {
        let device = self.who.get(&socket).and_then(|(name, _)| self.devices.get(name));
        device.is_some_and(|device| device.own.contains(&seq))
    }

    /// These are replayed to a device: it has not read them.
    /// What it is owed may come again where it has not said that it has read it.
    pub fn replayed(&self, name: &Name, rows: &[Seq], is_owed: impl Fn(&Seq) -> bool) -> Outcome {
        let Some(device) = self.devices.get(name) else { return Ok(()) };
        let is_known = |seq: &Seq| *seq <= device.known || device.orderly && device.read.contains(seq);
        let is_known = |seq: &Seq| is_known(seq) && !is_owed(seq);
        match rows.iter().find(|seq| is_known(seq)) {
            Some(seq) => broken(Invariant::Replay, format!("{name:?} is replayed {seq:x}, which it has read")),
            None => Ok(()),
        }
    }

    /// Everything is lost that was not on disk, and with it how far these have read.
    pub fn crash(&mut self, before: &Roll, uncertain: &BTreeSet<Name>, left: impl Fn(usize) -> Vec<Seq>) {
        for (name, device) in &mut self.devices {
            (device.orderly, device.known) = (false, 0);
            let there = before.0.get(name).map(Vec::as_slice);
            let is_one = there.is_some_and(|there| there.len() == 1 || !name.1.is_empty());
            match there {
                _ if uncertain.contains(name) => device.missed.clear(),
                // It is on disk how far one device has read that is behind by all of its connections.
                Some(there) if is_one && there.iter().all(|there| there.behind) => {
                    device.settle(there, &self.channels);
                    for socket in there.iter().filter_map(|there| there.socket) {
                        let unread = self.unread.remove(&socket).unwrap_or_default();
                        device.miss(left(socket).into_iter().chain(unread));
                    }
                }
                Some(there) => device.settle(there, &self.channels),
                None => {}
            }
        }
        self.unread.clear();
    }

    /// At rest: of the conversations that were replayed to a device nothing is missing that it could read.
    pub fn check_rest(
        &self,
        server: &Server,
        row: impl Fn(Seq) -> Option<MessageRow>,
        key: impl Fn(&MessageRow) -> String,
    ) -> Outcome {
        for session in server.all_sessions().filter(|session| !session.closing) {
            let (Some(account), Some(user)) = (session.account, session.user) else { continue };
            let particulars = session.particulars();
            let name = (account, session.device.clone());
            let Some(device) = self.devices.get(&name).filter(|_| particulars.unread.is_none()) else { continue };
            let mut missing: BTreeMap<u64, Vec<(Seq, String)>> = BTreeMap::new();
            for seq in &device.missed {
                let Some(row) =
                    row(*seq).filter(|row| row.kind.is_text() && particulars.replayed.contains(&row.conversation))
                else {
                    continue;
                };
                let key = key(&row);
                let since = match server.network.channel_by_folded(&key) {
                    Some(id) if server.network.channels[id].members.contains_key(&user) => {
                        server.readable_since(id, user)
                    }
                    Some(_) => continue,
                    None => server.kept_since(&key),
                };
                if row.time >= since {
                    missing.entry(row.conversation).or_default().push((*seq, key));
                }
            }
            if let Some(rows) = missing.values().next() {
                return broken(Invariant::Replay, format!("{name:?} was replayed what it missed, but not {rows:x?}"));
            }
        }
        Ok(())
    }
}

/// How connections end by an event, and which, where it is one alone.
pub fn end_of(event: &Event) -> Option<(Option<ConnId>, CloseCause)> {
    match event {
        Event::Closed(conn, cause) => Some((Some(*conn), cause.clone())),
        // By a ping timeout.
        Event::Tick => Some((None, CloseCause::Error("silent".into()))),
        _ => None,
    }
}
