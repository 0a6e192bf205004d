//! What a start finds otherwise than the store has it: in memory it is put right at once, in the store with the first event.
//! A server that ends before that finds the same again. And what a reload makes different for many: who is always on.

use std::collections::BTreeSet;

use crate::limits::{EXPIRED_AT_ONCE, SETTLED_AT_ONCE};
use crate::server::Server;
use crate::server::change::Change;
use crate::server::network::UserId;
use crate::server::record::{AccountId, Record, Seq};
use crate::server::settings::Settings;

/// What the store is still to be told.
#[derive(Debug, Default)]
pub struct Unsettled {
    /// Channels, folded, that are kept no longer: nobody holds them.
    pub gone: BTreeSet<Box<str>>,
    /// Channels, folded, of which nothing is kept yet, or something else.
    pub channels: BTreeSet<Box<str>>,
    /// Accounts whose users are not always on any more.
    pub presences: BTreeSet<AccountId>,
    /// Keys of conversations that are other than the store has them.
    pub conversations: BTreeSet<Box<str>>,
    /// Users of whom other settings may make, or make no more, such as are always on.
    pub users: BTreeSet<UserId>,
    /// Users who had a connection when the server ended: since when they have none is not kept yet.
    pub left: BTreeSet<UserId>,
    /// What whoever is shown that it is so waits for.
    pub after: Seq,
}

impl Unsettled {
    /// A channel with this folded name is kept anew; whether there is something left of an earlier one.
    pub fn take_channel(&mut self, folded: &str) -> bool {
        self.channels.remove(folded);
        self.gone.remove(folded)
    }

    fn is_empty(&self) -> bool {
        let found = [&self.gone, &self.channels, &self.conversations];
        found.iter().all(|keys| keys.is_empty())
            && self.presences.is_empty()
            && self.users.is_empty()
            && self.left.is_empty()
    }
}

impl Server {
    /// Tells the store some of it.
    pub(super) fn look_after_unsettled(&mut self) {
        if !self.unsettled.is_empty() && !self.store_refuses() {
            self.submit_alone(Change::Settled);
        }
    }

    /// The settings are others: who is always on by the server's default may be, too.
    pub(super) fn reconsider_presences(&mut self, old: &Settings) {
        if old.always_on != self.settings.always_on {
            self.unsettled.users = self.network.logged_in().iter().map(|(_, user)| *user).collect();
        }
    }

    /// Keeps, and forgets, some of what was found otherwise.
    pub(super) fn apply_settled(&mut self, seq: Seq) {
        let (begun, mut gone) = (self.out.store.len(), 0);
        while self.out.store.len() - begun < SETTLED_AT_ONCE && gone < EXPIRED_AT_ONCE {
            if let Some(user) = self.unsettled.users.pop_first() {
                // Meanwhile another may have its place: of that one it is right as well.
                if self.network.users.get(user).is_some_and(|there| there.presence_kept != self.is_to_be_kept(user)) {
                    let after = self.keep_presence(user);
                    gone += usize::from(self.leave_unless_kept(user, "Not always on any more", after));
                }
            } else if let Some(user) = self.unsettled.left.pop_first() {
                if self.network.users.get(user).is_some_and(|there| there.presence_kept && there.sessions.is_empty()) {
                    self.keep_presence(user);
                }
            } else if let Some(folded) = self.unsettled.gone.pop_first() {
                self.keep(seq, Record::ChannelGone(folded));
            } else if let Some(folded) = self.unsettled.channels.pop_first() {
                let channel = self.network.channel_by_folded(&folded);
                if let Some(id) = channel.filter(|id| self.network.channels[*id].is_kept()) {
                    self.keep_whole_channel(id, seq);
                }
            } else if let Some(account) = self.unsettled.presences.pop_first() {
                let is_kept = |user| self.network.users[user].presence_kept;
                if !self.network.users_of(account).any(is_kept) {
                    self.keep(seq, Record::PresenceGone(account));
                }
            } else if let Some(key) = self.unsettled.conversations.pop_first() {
                if let Some(record) = self.network.conversation_record(&key) {
                    self.keep(seq, record);
                }
            } else {
                break;
            }
        }
        self.unsettled.after = self.wait_for(seq);
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::{Asked, always_on};
    use crate::server::event::Event;
    use crate::server::record::{ChannelRow, Record, Snapshot};

    /// A database with `alice`, who was always on in `#held` and `#older`, of which an earlier version kept no row; a
    /// channel that nobody was in, and one that is permanent.
    fn snapshot(stays: bool) -> Snapshot {
        let channel = |name: &str, modes: &str| ChannelRow {
            folded: name.into(),
            name: name.into(),
            founder: None,
            registered: 0,
            created: 1,
            topic: None,
            modes: modes.into(),
            key: Some("key".into()),
            limit: None,
            forward: None,
            transfer: None,
        };
        let channels = vec![channel("#held", "int"), channel("#left", "i"), channel("#stays", "P")];
        let mut snapshot = Snapshot { channels, ..always_on("#held:o1 #older:2") };
        snapshot.accounts[0].always_on = Some(stays);
        snapshot
    }

    fn kept(asked: &Asked) -> Vec<String> {
        let word = |record: &Record| match record {
            Record::ChannelGone(name) => format!("-{name}"),
            Record::Channel(row) => format!("+{}", row.folded),
            Record::PresenceGone(account) => format!("-{account}"),
            _ => String::new(),
        };
        asked.kept().iter().map(|(_, record)| word(record)).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn a_start_brings_back_what_somebody_holds_and_ends_the_rest_once() {
        let mut asked = Asked::started_with(snapshot(true));
        let network = &asked.server.network;
        let id = network.channel_by_name("#held").unwrap_or_default();
        assert_eq!(network.channels[id].key.as_deref(), Some("key"));
        assert!(network.channel_by_name("#left").is_none() && network.channel_by_name("#stays").is_some());
        assert_eq!(asked.server.check(), Ok(()));
        asked.handle(Event::Tick);
        assert_eq!(kept(&asked), ["-#left", "+#older"]);
        asked.handle(Event::Tick);
        assert_eq!(kept(&asked), Vec::<String>::new());
    }

    #[test]
    fn who_does_not_come_back_holds_nothing_and_never_comes_back_into_what_is_anothers() {
        let mut asked = Asked::started_with(snapshot(false));
        assert!(asked.server.network.channel_by_name("#held").is_none());
        asked.handle(Event::Tick);
        assert_eq!(kept(&asked), ["-#held", "-#left", "-1"]);
        let bob = asked.user("bob");
        asked.ask(bob, "JOIN #held");
        assert_eq!(kept(&asked), Vec::<String>::new());
        assert_eq!(asked.server.check(), Ok(()));
    }
}
