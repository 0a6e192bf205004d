//! What each device of an account has read and has missed: what is replayed to it is what it missed, and no more.

use std::collections::{BTreeMap, BTreeSet};

use roost::server::Server;
use roost::server::event::{CloseCause, ConnId, Event};
use roost::server::network::{Identity, Network};
use roost::server::record::{AccountId, MessageRow, Seq};

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
}

/// A connection of a device, before an event.
#[derive(Debug)]
struct There {
    conn: ConnId,
    socket: Option<usize>,
    heard: Seq,
    /// What it was replayed is not known to have been read.
    unread: bool,
}

/// All devices that there ever were.
#[derive(Debug, Default)]
pub struct Devices {
    devices: BTreeMap<Name, Device>,
    /// By socket: whose it is, as long as anything is read from it.
    who: BTreeMap<usize, Name>,
    /// By socket: what the client has closed without having read it.
    unread: BTreeMap<usize, Vec<Seq>>,
}

/// Who is there before an event.
#[derive(Debug, Default)]
pub struct Roll(BTreeMap<Name, Vec<There>>);

impl Devices {
    /// Who is there now.
    pub fn roll(server: &Server, edge: &Edge) -> Roll {
        let mut roll = Roll::default();
        for session in server.all_sessions().filter(|session| !session.closing) {
            let Some(account) = session.account else { continue };
            let particulars = session.particulars();
            let there = There {
                conn: session.conn,
                socket: edge.socket_at(session.conn),
                heard: session.heard_seq,
                unread: particulars.unread.is_some(),
            };
            roll.0.entry((account, session.device.clone())).or_default().push(there);
        }
        roll
    }

    /// An event has happened: who has come, and who has gone and how.
    pub fn note(
        &mut self,
        before: &Roll,
        now: &Roll,
        event: Option<(Option<ConnId>, CloseCause)>,
        left: impl Fn(usize) -> Vec<Seq>,
    ) -> Outcome {
        for (name, there) in &now.0 {
            let device = self.devices.entry(name.clone()).or_default();
            // Two clients that say that they are one device: neither shows what the other has read.
            device.orderly &= there.len() == 1;
            for socket in there.iter().filter_map(|there| there.socket) {
                self.who.insert(socket, name.clone());
            }
        }
        for (name, there) in before.0.iter().filter(|(name, _)| !now.0.contains_key(*name)) {
            let Some(device) = self.devices.get_mut(name) else { continue };
            let unread = there.iter().any(|there| there.unread);
            // Whoever is not replayed anything has to ask for what it missed.
            if !unread {
                device.missed.clear();
            }
            device.orderly = !unread;
            let Some((conn, cause)) = &event else { continue };
            let Some(last) = there.iter().rfind(|there| conn.is_none_or(|conn| there.conn == conn)) else { continue };
            let lost =
                last.socket.map(|socket| [left(socket), self.unread.remove(&socket).unwrap_or_default()].concat());
            let lost = lost.unwrap_or_default();
            match cause {
                CloseCause::Eof { shown: Some(shown) } => {
                    device.orderly &= lost.is_empty();
                    if let Some(seq) = lost.iter().find(|seq| *seq <= shown && !unread) {
                        let text = format!("{name:?} has not been given {seq:x}, and is taken to have read it");
                        return broken(Invariant::Replay, text);
                    }
                    device.missed.extend(lost);
                }
                CloseCause::Eof { shown: None } | CloseCause::Error(_) | CloseCause::SendQueue => {
                    device.orderly = false;
                    device.missed.extend(lost.into_iter().filter(|seq| *seq > last.heard));
                }
                // What was on its way still comes.
                CloseCause::Flood | CloseCause::Asked => {}
            }
        }
        Ok(())
    }

    /// Something was said: devices that were not there miss it. One that went by the same event may have said it.
    pub fn said(&mut self, seq: Seq, key: &str, network: &Network, there: [&Roll; 2]) {
        let concerned: BTreeSet<AccountId> = if key.starts_with('#') {
            let Some(id) = network.channel_by_folded(key) else { return };
            let members = network.channels[id].members.keys().map(|user| &network.users[*user]);
            members.filter_map(|user| user.account).collect()
        } else {
            Identity::accounts_in(key).collect()
        };
        for (name, device) in &mut self.devices {
            if concerned.contains(&name.0) && !there.iter().any(|roll| roll.0.contains_key(name)) {
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
        let Some(device) = self.who.get(&socket).and_then(|name| self.devices.get_mut(name)) else { return };
        if unclear {
            device.missed.clear();
        }
        for seq in seqs {
            device.missed.remove(&seq);
            device.read.insert(seq);
        }
    }

    /// These are replayed to a device: it has not read them.
    pub fn replayed(&self, name: &Name, rows: &[Seq]) -> Outcome {
        let Some(device) = self.devices.get(name).filter(|device| device.orderly) else { return Ok(()) };
        match rows.iter().find(|seq| device.read.contains(seq)) {
            Some(seq) => broken(Invariant::Replay, format!("{name:?} is replayed {seq:x}, which it has read")),
            None => Ok(()),
        }
    }

    /// Everything is lost that was not on disk, and with it how far these have read.
    pub fn crash(&mut self, before: &Roll, uncertain: &BTreeSet<Name>) {
        for (name, device) in &mut self.devices {
            device.orderly = false;
            if before.0.contains_key(name) || uncertain.contains(name) {
                device.missed.clear();
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
                let Some(row) = row(*seq).filter(|row| particulars.replayed.contains(&row.conversation)) else {
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
