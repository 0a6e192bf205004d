//! What was said in channels that kept strangers out and are no more: nobody who makes one of the name reads it.

use std::collections::{BTreeMap, BTreeSet};

use roost::server::network::Network;
use roost::server::policy::is_closed;
use roost::server::record::ConversationRow;

/// The channels that are closed, and those that were.
#[derive(Default)]
pub struct Doors {
    /// Which channel of the name it is, and the time of the last that was said in it.
    closed: BTreeMap<String, (u64, u64)>,
    /// Until when what was said under the name is sealed.
    sealed: BTreeMap<String, u64>,
    /// Names of these that have not been taken since.
    free: BTreeSet<String>,
}

impl Doors {
    /// What a start finds: channels that were closed and did not come back.
    pub fn after_a_start(conversations: &[(ConversationRow, u64, u64)], network: &Network) -> Doors {
        let mut doors = Doors::default();
        for (row, last, _) in conversations.iter().filter(|(row, ..)| row.closed) {
            if network.channel_by_folded(&row.key).is_none() {
                doors.seal(row.key.to_string(), *last);
            }
        }
        doors.look(network, false);
        doors
    }

    fn seal(&mut self, key: String, last: u64) {
        self.free.insert(key.clone());
        self.sealed.insert(key, last);
    }

    /// Looks at what an event has made of them; how many names of closed channels were taken. After `several` commands
    /// it is not known what was before the last of them.
    pub fn look(&mut self, network: &Network, several: bool) -> usize {
        for (key, (serial, last)) in std::mem::take(&mut self.closed) {
            let there = network.channel_by_folded(&key).map(|id| network.channels[id].serial);
            if there != Some(serial) && !several {
                self.seal(key, last);
            }
        }
        let before = self.free.len();
        for (_, channel) in &network.channels {
            let key = channel.folded.as_str();
            self.free.remove(key);
            if is_closed(channel) {
                let last = network.conversation(key).map_or(0, |there| there.last_time);
                self.closed.insert(key.to_owned(), (channel.serial, last));
            }
        }
        before - self.free.len()
    }

    /// Whether something that is for nobody was said in a channel at this moment or later.
    pub fn is_sealed(&self, key: &str, since: u64) -> bool {
        self.sealed.get(key).is_some_and(|last| *last > 0 && since <= *last)
    }
}
