//! What only some connections of a device were told, where those are of several users: each is told things of which the
//! others know nothing, so that what one has read says nothing of what another was told. Such lines are kept with the device,
//! each with who was told it, until one of those has read it or it was replayed to another that says so. As long as all of
//! its connections are of one user, nothing is kept here: what one of them has read, the device has.

use crate::limits;
use crate::server::Server;
use crate::server::event::ConnId;
use crate::server::network::{Network, UserId};
use crate::server::owed::Owed;
use crate::server::record::{AccountId, ConversationId, Seq};
use crate::server::session::Session;

/// Lines of a conversation that only some connections of a device were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which lines.
    pub lines: Owed,
    /// Who was told them, as far as they are still there.
    pub conns: Vec<ConnId>,
    /// To whom they are being replayed, until it is known that they have read that.
    pub shown: Vec<ConnId>,
}

/// Adds a line to those of a device. `before` is the change by which the line before was said in that conversation.
fn add(all: &mut Vec<Told>, line: Owed, before: Seq, conns: Vec<ConnId>) {
    let last = all.iter_mut().rfind(|told| told.lines.conversation == line.conversation);
    match last.filter(|last| last.lines.until == before && last.conns == conns && last.shown.is_empty()) {
        Some(last) => last.lines.until = line.until,
        None => {
            if all.len() >= limits::TOLD {
                make_room(all);
            }
            all.push(Told { lines: line, conns, shown: Vec::new() });
        }
    }
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
        }
        None => drop(all.remove(0)),
    }
}

impl Server {
    /// Notes whether the connections of a device are of several users now. Where one of another user has come, it may never come
    /// into the channels in which the others were told what they have not read.
    pub(super) fn count_users(&mut self, account: AccountId, device: &str) {
        let at = self.beside.iter().position(|(of, other)| *of == account && **other == *device);
        let are_several = {
            let mut users = self.connections_of(account, device).filter_map(|session| session.user);
            users.next().is_some_and(|first| users.any(|user| user != first))
        };
        match at {
            Some(at) if !are_several => {
                self.beside.swap_remove(at);
                let last = self.last_seq;
                if let Some(connected) = self.network.connected_mut(account, device) {
                    connected.told_until = last;
                }
            }
            None if are_several && self.beside.len() < limits::BESIDE => {
                self.beside.push((account, device.into()));
                let unread = self.unread_in_channels(account, device);
                if let Some(there) = self.network.connected_mut(account, device) {
                    unread.into_iter().for_each(|(lines, conns)| add(&mut there.told, lines, 0, conns));
                }
            }
            _ => {}
        }
    }

    /// What was said in the channels of a device while its connections were of one user, and none has read, and who was told
    /// that.
    fn unread_in_channels(&self, account: AccountId, device: &str) -> Vec<(Owed, Vec<ConnId>)> {
        let connected = self.network.connected(account, device);
        let known = connected.map_or(0, |connected| connected.told_until.max(connected.read));
        let mut users: Vec<UserId> = self.connections_of(account, device).filter_map(|session| session.user).collect();
        users.sort_unstable();
        users.dedup();
        let of_user = |user: UserId| {
            let theirs = || self.connections_of(account, device).filter(move |session| session.user == Some(user));
            let read = theirs().map(Session::has_read).max().unwrap_or(0).max(known);
            let conns: Vec<ConnId> = theirs().map(|session| session.conn).collect();
            let channels = self.network.users[user].channels.iter();
            let said = channels.filter_map(|id| self.network.conversation(self.network.channels[*id].folded.as_str()));
            let unread = said.map(move |said| Owed { conversation: said.id, after: read, until: said.last_said });
            unread.filter(|unread| !unread.is_nothing()).map(move |unread| (unread, conns.clone()))
        };
        users.into_iter().flat_map(of_user).collect()
    }

    /// The connections of a device that has a name.
    fn connections_of(&self, account: AccountId, device: &str) -> impl Iterator<Item = &Session> {
        let connected = self.network.connected(account, device).filter(|_| !device.is_empty());
        connected.into_iter().flat_map(|connected| &connected.conns).filter_map(|conn| self.session(*conn))
    }

    /// A line was said in the conversation of this key by change `seq`, and the one before by change `before`.
    pub(super) fn note_told(&mut self, key: &str, before: Seq, seq: Seq, is_told: impl Fn(&Network, UserId) -> bool) {
        if self.beside.is_empty() {
            return;
        }
        let Some(conversation) = self.network.conversation(key).map(|there| there.id) else { return };
        let line = Owed { conversation, after: seq - 1, until: seq };
        for at in 0..self.beside.len() {
            let (account, device) = self.beside[at].clone();
            let users = self.connections_of(account, &device).filter_map(|session| Some((session, session.user?)));
            let (told, others): (Vec<_>, Vec<_>) = users.partition(|(_, user)| is_told(&self.network, *user));
            // What all were told is read once one of them has read it.
            if told.is_empty() || others.is_empty() {
                continue;
            }
            let is_behind = told.iter().any(|(session, _)| session.is_behind().is_some());
            let conns = told.iter().map(|(session, _)| session.conn).collect();
            if self.network.told(account, &device).len() >= limits::TOLD {
                self.forget_what_is_read(account, &device);
            }
            if let Some(there) = self.network.connected_mut(account, &device) {
                add(&mut there.told, line, before, conns);
            }
            if is_behind && !self.beside_due.iter().any(|(of, other)| *of == account && *other == device) {
                self.beside_due.push((account, device));
            }
        }
    }

    /// Keeps what is owed to devices of which that has changed.
    pub(super) fn keep_beside(&mut self) {
        for (account, device) in std::mem::take(&mut self.beside_due) {
            self.note_device(account, &device);
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

    /// Lines that only some connections of a device were told, and nobody has read.
    pub(super) fn unread_beside(&self, account: AccountId, device: &str) -> Vec<Owed> {
        self.network.told(account, device).iter().filter_map(|told| self.unread_of(told)).collect()
    }

    /// The same, as far as this connection was not told them and is not being replayed them.
    pub(super) fn untold(&self, session: &Session) -> Vec<Owed> {
        let all = session.account.map_or(&[][..], |account| self.network.told(account, &session.device));
        let knows = |told: &&Told| told.conns.contains(&session.conn) || told.shown.contains(&session.conn);
        all.iter().filter(|told| !knows(told)).filter_map(|told| self.unread_of(told)).collect()
    }

    /// All of these conversations that a connection was not told is being replayed to it.
    pub(super) fn note_shown(&mut self, conn: ConnId, conversations: impl Fn(ConversationId) -> bool) {
        for told in self.told_of(conn) {
            let is_new = !told.conns.contains(&conn) && !told.shown.contains(&conn);
            if is_new && conversations(told.lines.conversation) {
                told.shown.push(conn);
            }
        }
    }

    /// What was to be replayed to a connection of these conversations is not.
    pub(super) fn note_not_shown(&mut self, conn: ConnId, conversations: &[ConversationId]) {
        let theirs = self.told_of(conn).iter_mut().filter(|told| conversations.contains(&told.lines.conversation));
        theirs.for_each(|told| told.shown.retain(|other| *other != conn));
    }

    /// A connection has read what was being replayed to it.
    pub(super) fn note_replay_read(&mut self, conn: ConnId) {
        if let Some(session) = self.session(conn)
            && let (Some(account), device) = (session.account, session.device.clone())
            && let Some(there) = self.network.connected_mut(account, &device)
        {
            there.told.retain(|told| !told.shown.contains(&conn));
        }
    }

    fn told_of(&mut self, conn: ConnId) -> &mut [Told] {
        let of = self.session(conn).and_then(|session| Some((session.account?, session.device.clone())));
        let there = of.and_then(|(account, device)| self.network.connected_mut(account, &device));
        there.map_or(&mut [], |there| there.told.as_mut_slice())
    }

    /// A connection of a device ends, having read up to `seen`.
    pub(super) fn end_told(&mut self, conn: ConnId, account: AccountId, device: &str, seen: Seq) {
        let Some(there) = self.network.connected_mut(account, device) else { return };
        there.told.retain_mut(|told| {
            told.shown.retain(|other| *other != conn);
            if told.conns.contains(&conn) {
                told.lines.after = told.lines.after.max(seen);
                told.conns.retain(|other| *other != conn);
            }
            !told.lines.is_nothing()
        });
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
        let lines: Vec<(Seq, Seq)> = all.iter().map(|told| (told.lines.after, told.lines.until)).collect();
        assert_eq!(lines, [(4, 8), (8, 9), (11, 12)]);
    }

    #[test]
    fn where_there_is_no_room_nothing_is_lost() {
        let mut all = Vec::new();
        for seq in 0..2 * limits::TOLD as Seq {
            add(&mut all, line(seq % 3, 10 + 2 * seq), 0, vec![conn(1)]);
        }
        assert_eq!(all.len(), limits::TOLD);
        for seq in 0..2 * limits::TOLD as Seq {
            let is_in = |told: &Told| told.lines.after < 10 + 2 * seq && 10 + 2 * seq <= told.lines.until;
            assert!(all.iter().any(|told| told.lines.conversation == seq % 3 && is_in(told)), "{seq}");
        }
    }
}
