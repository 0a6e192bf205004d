//! What not all connections of a device were told, where their account is several users: each is told things of which the
//! others know nothing, so that what one has read says nothing of what another was told. Such lines are kept with the device,
//! each with who was told it, until one of those has read it or it was replayed to another that says so. Lines that only other
//! devices of the account were told, or only a user of it that stays without a connection, are of that kind, too. As long as an
//! account is one user, nothing is kept here: what one connection of a device has read, the device has.

use std::sync::Arc;

use crate::limits;
use crate::server::Server;
use crate::server::event::ConnId;
use crate::server::network::{ChannelId, Conversation, Network, UserId};
use crate::server::owed::{NOW, Owed};
use crate::server::record::{AccountId, ConversationId, Seq};
use crate::server::session::Session;

/// Lines of a conversation that not all connections of a device were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which lines.
    pub lines: Owed,
    /// Who was told them, as far as they are still there.
    pub conns: Vec<ConnId>,
    /// To whom they are being replayed, until it is known that they have read that.
    pub shown: Vec<ConnId>,
    /// Whether none of its connections was told any line of that conversation since: it is kept as all that comes, so that it
    /// need not be kept anew with each line.
    pub is_open: bool,
}

/// Adds a line to those of a device; whether something else is to be kept of it. `before` is the change by which the line
/// before was said in that conversation.
fn add(all: &mut Vec<Told>, line: Owed, before: Seq, conns: Vec<ConnId>) -> bool {
    let last = all.iter_mut().rfind(|told| told.lines.conversation == line.conversation);
    if let Some(last) = last {
        if last.lines.until >= before && last.conns == conns && last.shown.is_empty() {
            (last.lines.after, last.lines.until) = (last.lines.after.min(line.after), last.lines.until.max(line.until));
            return !last.is_open;
        }
        last.is_open = false;
    }
    if all.len() >= limits::TOLD {
        make_room(all);
    }
    let is_open = conns.is_empty();
    all.push(Told { lines: line, conns, shown: Vec::new(), is_open });
    true
}

/// Makes one of the oldest two of one conversation, with what was said between them: that may come twice, and is not lost.
fn make_room(all: &mut Vec<Told>) {
    let same = |at: usize| {
        let is_same = |other: &Told| other.lines.conversation == all[at].lines.conversation;
        all.iter().skip(at + 1).position(is_same).map(|next| (at, at + 1 + next))
    };
    match (0..all.len()).find_map(same) {
        Some((at, next)) => {
            let next = all.remove(next);
            let there = &mut all[at];
            there.lines.until = there.lines.until.max(next.lines.until);
            there.conns.retain(|conn| next.conns.contains(conn));
            there.shown.retain(|conn| next.shown.contains(conn));
            there.is_open = next.is_open;
        }
        None => drop(all.remove(0)),
    }
}

impl Server {
    /// A connection has come to be a user of this account, by this device, which had read so far.
    pub(super) fn note_came(&mut self, account: AccountId, device: &str, read: Option<Seq>) {
        self.beside_came.push((account, device.into(), read));
    }

    /// Sees which accounts are several users now, and keeps what is owed to devices of which that has changed.
    pub(super) fn look_beside(&mut self) {
        let came = std::mem::take(&mut self.beside_came);
        let mut moved = self.network.take_moved();
        moved.extend(came.iter().map(|(account, ..)| *account));
        moved.sort_unstable();
        moved.dedup();
        for account in moved {
            let users = self.network.users_of(account).take(limits::BESIDE_USERS + 1).count();
            if !(2..=limits::BESIDE_USERS).contains(&users) {
                if self.beside.remove(&account) {
                    for (device, _) in self.devices_of(account) {
                        self.end_beside(account, &device);
                    }
                }
            } else if self.beside.contains(&account) || self.beside.len() < limits::BESIDE {
                self.beside.insert(account);
                self.begin_beside(account, &came);
            }
        }
        self.keep_beside();
    }

    /// Keeps what is owed to the devices of which that has changed: at once, but no more often than so many times between two
    /// ticks, however many lines there are.
    fn keep_beside(&mut self) {
        while self.beside_kept < limits::BESIDE_KEPT
            && let Some((account, device)) = self.beside_due.pop_first()
        {
            self.beside_kept += 1;
            self.note_device(account, &device);
        }
    }

    /// Time has passed, and what was too much before is kept now.
    pub(super) fn look_after_beside(&mut self) {
        self.beside_kept = 0;
        for (account, device) in std::mem::take(&mut self.beside_due) {
            self.note_device(account, &device);
        }
    }

    /// From now on it is noted what not all connections of the account's devices are told. What they missed before is what
    /// others of them were told and have not read, and what was said since they were here last in channels where only other
    /// users are.
    fn begin_beside(&mut self, account: AccountId, came: &[(AccountId, Box<str>, Option<Seq>)]) {
        for user in self.network.users_of(account).collect::<Vec<_>>() {
            for channel in self.network.users[user].channels.clone() {
                self.network.channels[channel].shared = None;
            }
        }
        for (device, conns) in self.devices_of(account) {
            let last = self.last_seq;
            let Some(connected) = self.network.connected_mut(account, &device) else { continue };
            if std::mem::replace(&mut connected.is_beside, true) {
                continue;
            }
            let came = came.iter().find(|(of, other, _)| *of == account && *other == device);
            let read = came.and_then(|(.., read)| *read).unwrap_or(last);
            let mut missed = self.missed_beside(account, &device, &conns, read);
            // What it was owed of those before is one with that: it was not there since.
            for (lines, _) in missed.iter_mut().filter(|(_, told)| told.is_empty()) {
                for conn in &conns {
                    let Some(session) =
                        self.session_mut(*conn).filter(|session| !session.particulars().owed.is_empty())
                    else {
                        continue;
                    };
                    let all = &mut session.particulars_mut().owed;
                    let own = all.iter().filter(|owed| owed.conversation == lines.conversation && !owed.is_nothing());
                    let (after, until) =
                        own.fold((Seq::MAX, 0), |(after, until), owed| (after.min(owed.after), until.max(owed.until)));
                    lines.after = lines.after.min(after);
                    // What is owed of every other channel is not for that owed of this one.
                    if until > 0 {
                        Owed::nothing(lines.conversation, until).add_to(all);
                    }
                }
            }
            if let Some(connected) = self.network.connected_mut(account, &device).filter(|_| !missed.is_empty()) {
                missed.into_iter().for_each(|(lines, conns)| _ = add(&mut connected.told, lines, 0, conns));
                self.beside_due.insert((account, device));
            }
        }
    }

    /// See [`Server::begin_beside`]; where no connection of the device is of a user, the device had read up to `read`.
    fn missed_beside(&self, account: AccountId, device: &str, conns: &[ConnId], read: Seq) -> Vec<(Owed, Vec<ConnId>)> {
        let connected = self.network.connected(account, device);
        let known = connected.map_or(0, |connected| connected.told_until.max(connected.read));
        let is_of = |conn: &&ConnId, user| self.session(**conn).is_some_and(|session| session.user == Some(user));
        let users: Vec<UserId> = self.network.users_of(account).collect();
        let mut missed = Vec::new();
        let is_replayed = conns.iter().filter_map(|conn| self.session(*conn)).any(|session| self.is_replayed(session));
        for user in users.iter().copied() {
            let theirs: Vec<ConnId> = conns.iter().filter(|conn| is_of(conn, user)).copied().collect();
            if theirs.len() == conns.len() || theirs.is_empty() && !is_replayed {
                continue;
            }
            let own = theirs.iter().filter_map(|conn| self.session(*conn)).map(Session::has_read).max();
            let after = own.map_or(read, |own| own.max(known));
            // Those in which another connection is come to that anyway.
            let others = users.iter().filter(|other| **other != user && conns.iter().any(|conn| is_of(&conn, **other)));
            let others: Vec<UserId> = others.copied().collect();
            let is_there =
                |id: &ChannelId| others.iter().any(|other| self.network.channels[*id].members.contains_key(other));
            let channels = self.network.users[user].channels.iter().filter(|id| !is_there(id));
            let said = channels.filter_map(|id| self.network.conversation(self.network.channels[*id].folded.as_str()));
            // Of what was said before the start it is not known by which change.
            let last = |said: &Conversation| match said.last_said {
                0 if said.last_text > 0 && theirs.is_empty() => self.last_seq,
                last => last,
            };
            let lines = said.map(|said| Owed { conversation: said.id, after, until: last(&said) });
            missed.extend(lines.filter(|lines| !lines.is_nothing()).map(|lines| (lines, theirs.clone())));
        }
        missed
    }

    /// All that a device is told, each of its connections is told from now on.
    fn end_beside(&mut self, account: AccountId, device: &str) {
        let last = self.last_seq;
        if let Some(connected) = self.network.connected_mut(account, device).filter(|connected| connected.is_beside) {
            (connected.is_beside, connected.told_until) = (false, last);
            connected.told.iter_mut().for_each(|told| told.is_open = false);
            self.beside_due.insert((account, device.into()));
        }
    }

    /// The devices of an account's users, each with its connections.
    fn devices_of(&self, account: AccountId) -> Vec<(Box<str>, Vec<ConnId>)> {
        let mut devices: Vec<(Box<str>, Vec<ConnId>)> = Vec::new();
        let conns = self.network.users_of(account).flat_map(|user| &self.network.users[user].sessions);
        let sessions = conns.filter_map(|conn| self.session(*conn)).filter(|session| session.account == Some(account));
        for session in sessions {
            match devices.iter_mut().find(|(device, _)| *device == session.device) {
                Some((_, conns)) => conns.push(session.conn),
                None => devices.push((session.device.clone(), vec![session.conn])),
            }
        }
        devices
    }

    /// The accounts of several users, of which one is in this channel.
    fn accounts_in(&mut self, channel: ChannelId) -> Arc<[AccountId]> {
        if let Some(shared) = &self.network.channels[channel].shared {
            return shared.clone();
        }
        let members = self.network.channels[channel].members.keys();
        let accounts = members.filter_map(|user| self.network.users[*user].account);
        let mut accounts: Vec<AccountId> = accounts.filter(|account| self.beside.contains(account)).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let accounts: Arc<[AccountId]> = accounts.into();
        self.network.channels[channel].shared = Some(accounts.clone());
        accounts
    }

    /// A line was said in a channel by change `seq`, and the one before by change `before`.
    pub(super) fn note_told_in(&mut self, channel: ChannelId, before: Seq, seq: Seq) {
        if self.beside.is_empty() {
            return;
        }
        let key = self.network.channels[channel].folded.clone();
        for account in self.accounts_in(channel).iter() {
            let is_told = |network: &Network, user| network.channels[channel].members.contains_key(&user);
            self.note_told(*account, key.as_str(), (before, seq), is_told);
        }
    }

    /// The same, of a line between two in private.
    pub(super) fn note_told_to(&mut self, users: [UserId; 2], key: &str, before: Seq, seq: Seq) {
        if self.beside.is_empty() {
            return;
        }
        let [one, other] = users.map(|user| self.network.users[user].account);
        for account in one.into_iter().chain(other.filter(|other| Some(*other) != one)) {
            self.note_told(account, key, (before, seq), |_, user| users.contains(&user));
        }
    }

    fn note_told(
        &mut self,
        account: AccountId,
        key: &str,
        (before, seq): (Seq, Seq),
        is_told: impl Fn(&Network, UserId) -> bool,
    ) {
        if !self.beside.contains(&account) {
            return;
        }
        let Some(conversation) = self.network.conversation(key).map(|there| there.id) else { return };
        let told = self.network.users_of(account).filter(|user| is_told(&self.network, *user));
        let told: Vec<UserId> = told.collect();
        if told.is_empty() {
            return;
        }
        // What is said to somebody's bot is not theirs.
        let is_bots = told.iter().all(|user| self.network.users[*user].is_bot());
        let line = Owed { conversation, after: seq - 1, until: seq };
        for (device, conns) in self.devices_of(account) {
            let sessions = conns.iter().filter_map(|conn| self.session(*conn));
            let users = sessions.filter_map(|session| Some((session, session.user?)));
            let (told, others): (Vec<_>, Vec<_>) = users.partition(|(_, user)| is_told(&self.network, *user));
            if told.is_empty() && (is_bots || !others.iter().any(|(session, _)| self.is_replayed(session))) {
                continue;
            }
            let (is_all, is_none) = (others.is_empty(), told.is_empty());
            let is_behind = told.iter().any(|(session, _)| session.is_behind().is_some());
            let conns: Vec<ConnId> = told.iter().map(|(session, _)| session.conn).collect();
            if self.network.told(account, &device).len() >= limits::TOLD {
                self.forget_what_is_read(account, &device);
            }
            let Some(there) = self.network.connected_mut(account, &device).filter(|there| there.is_beside) else {
                continue;
            };
            let changes = if is_all {
                // What all were told is read once one of them has read it.
                let open = there.told.iter_mut().rfind(|told| told.lines.conversation == conversation && told.is_open);
                open.map(|open| open.is_open = false).is_some()
            } else {
                let last = there.told.iter().rfind(|told| told.lines.conversation == conversation);
                let was_open = last.is_some_and(|last| last.is_open);
                add(&mut there.told, line, before, conns) && (is_none || was_open || is_behind)
            };
            if changes {
                self.beside_due.insert((account, device));
            }
        }
    }

    /// What of such lines nobody has read who was told them.
    fn unread_of(&self, told: &Told) -> Option<Owed> {
        let read = told.conns.iter().filter_map(|conn| self.session(*conn)).map(Session::has_read).max();
        let lines = Owed { after: told.lines.after.max(read.unwrap_or(0)), ..told.lines };
        (!lines.is_nothing()).then_some(lines)
    }

    /// Forgets those lines of a device that it has read.
    pub(super) fn forget_what_is_read(&mut self, account: AccountId, device: &str) {
        if self.network.told(account, device).is_empty() {
            return;
        }
        let there = self.network.connected_mut(account, device);
        let mut all = there.map(|there| std::mem::take(&mut there.told)).unwrap_or_default();
        all.retain_mut(|told| match self.unread_of(told) {
            Some(lines) => {
                told.lines = lines;
                true
            }
            None => false,
        });
        if let Some(there) = self.network.connected_mut(account, device) {
            there.told = all;
        }
    }

    /// Lines that not all connections of a device were told, and none has read.
    pub(super) fn unread_beside(&self, account: AccountId, device: &str) -> Vec<Owed> {
        self.network.told(account, device).iter().filter_map(|told| self.unread_of(told)).collect()
    }

    /// The same, as it is kept: as [`Told::is_open`] says.
    pub(super) fn kept_beside(&self, account: AccountId, device: &str) -> Vec<Owed> {
        let kept = |told: &Told| {
            let unread = self.unread_of(told)?;
            Some(Owed { until: if told.is_open { NOW } else { unread.until }, ..unread })
        };
        self.network.told(account, device).iter().filter_map(kept).collect()
    }

    /// The same, as far as this connection was not told them and is not being replayed them.
    pub(super) fn untold(&self, session: &Session) -> Vec<Owed> {
        let all = session.account.map_or(&[][..], |account| self.network.told(account, &session.device));
        let knows = |told: &&Told| told.conns.contains(&session.conn) || told.shown.contains(&session.conn);
        all.iter().filter(|told| !knows(told)).filter_map(|told| self.unread_of(told)).collect()
    }

    /// All of these conversations that a connection was not told is being replayed to it.
    pub(super) fn note_shown(&mut self, conn: ConnId, conversations: impl Fn(ConversationId) -> bool) {
        for told in self.told_of(conn).into_iter().flatten() {
            let is_new = !told.conns.contains(&conn) && !told.shown.contains(&conn);
            if is_new && conversations(told.lines.conversation) {
                told.shown.push(conn);
            }
        }
    }

    /// What was to be replayed to a connection of these conversations is not.
    pub(super) fn note_not_shown(&mut self, conn: ConnId, conversations: &[ConversationId]) {
        let all = self.told_of(conn).into_iter().flatten();
        let theirs = all.filter(|told| conversations.contains(&told.lines.conversation));
        theirs.for_each(|told| told.shown.retain(|other| *other != conn));
    }

    /// A connection has read what was being replayed to it.
    pub(super) fn note_replay_read(&mut self, conn: ConnId) {
        if let Some(all) = self.told_of(conn) {
            all.retain(|told| !told.shown.contains(&conn));
        }
    }

    /// Those of the device of a connection.
    fn told_of(&mut self, conn: ConnId) -> Option<&mut Vec<Told>> {
        let session = self.session(conn)?;
        let (account, device) = (session.account?, session.device.clone());
        self.network.connected_mut(account, &device).map(|there| &mut there.told)
    }

    /// A connection of a device ends, having read up to `seen`.
    pub(super) fn end_told(&mut self, conn: ConnId, account: AccountId, device: &str, seen: Seq) {
        let conns = self.network.connected(account, device).map_or(&[][..], |there| &there.conns);
        let mut others = conns.iter().filter(|other| **other != conn).filter_map(|other| self.session(*other));
        let is_last = others.all(|other| other.user.is_none());
        let Some(there) = self.network.connected_mut(account, device) else { return };
        there.told.retain_mut(|told| {
            told.shown.retain(|other| *other != conn);
            if told.conns.contains(&conn) {
                told.lines.after = told.lines.after.max(seen);
                told.conns.retain(|other| *other != conn);
            }
            !told.lines.is_nothing()
        });
        if is_last {
            self.end_beside(account, device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(conversation: ConversationId, seq: Seq) -> Owed {
        Owed { conversation, after: seq - 1, until: seq }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { worker: 0, slot }
    }

    #[test]
    fn lines_that_the_same_were_told_are_one_where_none_is_between() {
        let mut all = Vec::new();
        add(&mut all, line(1, 5), 0, vec![conn(1)]);
        add(&mut all, line(1, 8), 5, vec![conn(1)]);
        add(&mut all, line(1, 9), 8, vec![conn(2)]);
        add(&mut all, line(1, 12), 11, vec![conn(2)]);
        let lines =
            |all: &[Told]| -> Vec<(Seq, Seq)> { all.iter().map(|told| (told.lines.after, told.lines.until)).collect() };
        assert_eq!(lines(&all), [(4, 8), (8, 9), (11, 12)]);
        // What it was owed of those before is in it as well.
        add(&mut all, Owed { conversation: 1, after: 2, until: 14 }, 0, vec![conn(2)]);
        assert_eq!(lines(&all), [(4, 8), (8, 9), (2, 14)]);
    }

    #[test]
    fn where_there_is_no_room_nothing_is_lost() {
        let mut all = Vec::new();
        for seq in 0..2 * limits::TOLD as Seq {
            add(&mut all, line(seq % 3, 10 + 2 * seq), 9 + 2 * seq, vec![conn(1)]);
        }
        assert_eq!(all.len(), limits::TOLD);
        for seq in 0..2 * limits::TOLD as Seq {
            let is_in = |told: &Told| told.lines.after < 10 + 2 * seq && 10 + 2 * seq <= told.lines.until;
            assert!(all.iter().any(|told| told.lines.conversation == seq % 3 && is_in(told)), "{seq}");
        }
    }
}
