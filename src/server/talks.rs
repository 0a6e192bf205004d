//! Private conversations of guests, which go by their nick. Whoever logs in, or takes another nick, is still the same: what
//! began while it was here goes on as a conversation of its account, or under its new nick. What was said under the nick
//! before it came was somebody else's, and stays where it is.

use crate::limits;
use crate::server::Server;
use crate::server::command::{markread, metadata};
use crate::server::network::{Identity, UserId};
use crate::server::record::{ConversationId, MarkerRow, Record, Seq};

impl Server {
    /// A conversation has another key, and what it is about is called `name`: what was said in it goes there, with what is to
    /// be pushed of it and how far people have read. Whether anything was ever said in it.
    pub(super) fn move_conversation(&mut self, seq: Seq, old: &str, new: &str, name: &str) -> bool {
        let moved = self.network.rename_conversation(old, new);
        let is_there = !moved.is_empty();
        for record in moved {
            self.keep(seq, record);
        }
        self.rename_pushed(old, new, name);
        for (account, time) in self.network.rename_markers(old, new) {
            self.keep(seq, Record::MarkerGone(account, old.into()));
            self.keep(seq, Record::Marker(MarkerRow { account, conversation: new.into(), time }));
        }
        is_there
    }

    /// Somebody, or a channel, is meant by another text from now on: what people have said of it for themselves goes there,
    /// and how far guests have read.
    pub(super) fn move_about(&mut self, seq: Seq, old: &str, new: &str, name: &str) {
        for (account, said) in self.network.rename_private_metadata(old, new) {
            metadata::move_private(self, seq, account, old, new, said);
        }
        markread::rename_for_guests(self, old, new, name);
    }

    /// Something was said for the first time in a private conversation.
    pub(super) fn note_begun(&mut self, key: &str, id: ConversationId) {
        for identity in key.split(' ').filter_map(Identity::parse) {
            let Identity::Guest(nick) = identity else { continue };
            let user = self.network.user_by_folded(&nick);
            let Some(user) = user.filter(|user| self.network.users[*user].account.is_none()) else { continue };
            let begun = &mut self.network.users[user].contacts.get_or_insert_default().begun;
            if begun.len() >= limits::GUEST_TALKS {
                begun.remove(0);
            }
            begun.push((key.into(), id));
        }
    }

    /// Whether all that was said in a private conversation was said while this guest was here.
    pub fn has_begun(&self, user: UserId, key: &str) -> bool {
        let begun = self.network.users[user].contacts.iter().flat_map(|contacts| &contacts.begun);
        begun.filter(|(begun, _)| **begun == *key).any(|begun| self.is_still_begun(begun))
    }

    /// Whether a key is still that of the conversation that began under it.
    fn is_still_begun(&self, (key, id): &(Box<str>, ConversationId)) -> bool {
        self.network.conversation(key).is_some_and(|conversation| conversation.id == *id)
    }

    /// A guest is somebody else from now on, with this nick: its conversations are that one's, but those with whom that one
    /// has talked itself.
    pub(super) fn take_talks_along(&mut self, seq: Seq, user: UserId, new: &Identity, nick: &str) {
        let old = Identity::Guest(self.network.users[user].folded.clone());
        if *new == old {
            return;
        }
        let Some(contacts) = self.network.users[user].contacts.as_mut().filter(|contacts| !contacts.begun.is_empty())
        else {
            return;
        };
        let mut begun = std::mem::take(&mut contacts.begun);
        begun.retain_mut(|one| {
            if !self.is_still_begun(one) {
                return false;
            }
            let key = &mut one.0;
            // What two guests say to each other is not kept.
            let Some(peer) = Identity::accounts_in(key).next().map(Identity::Account) else { return false };
            let renamed = new.key(&peer);
            if self.network.conversation(&renamed).is_some() {
                return false;
            }
            self.move_conversation(seq, key, &renamed, nick);
            *key = renamed;
            true
        });
        if !begun.is_empty() {
            self.move_about(seq, &old.text(), &new.text(), nick);
        }
        if let Some(contacts) = &mut self.network.users[user].contacts {
            contacts.begun = begun;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::command::chathistory;
    use crate::server::event::{ConnId, Event, Returned};

    /// What a client finds under a name: the number of the conversation, and after which change it reads.
    fn found(asked: &mut Asked, conn: ConnId, name: &str) -> (u64, u64) {
        let ctx = asked.server.ctx(conn, None);
        let found = chathistory::conversation(&asked.server, &ctx, name).map(|found| (found.id, found.floor));
        found.unwrap_or_default()
    }

    /// Bob, who has an account, and a guest, who has said something to him.
    fn talk() -> (Asked, ConnId, ConnId, u64) {
        let mut asked = Asked::new();
        let (bob, guest) = (asked.device("bob", 1, "", ""), asked.user("guest"));
        asked.ask(guest, "PRIVMSG bob :call me");
        let (id, _) = found(&mut asked, bob, "guest");
        assert_ne!(id, 0);
        (asked, bob, guest, id)
    }

    #[test]
    fn what_a_guest_has_said_goes_on_as_its_accounts_and_under_another_nick() {
        for line in ["NICK other", "account"] {
            let (mut asked, bob, guest, id) = talk();
            let name = if line == "account" { "guest" } else { "other" };
            if line == "account" {
                asked.log_in(guest, 2, "guest");
            } else {
                asked.ask(guest, line);
            }
            asked.ask(guest, "PRIVMSG bob :again");
            assert_eq!(found(&mut asked, bob, name), (id, 0), "{line}");
            assert_eq!(found(&mut asked, guest, "bob"), (id, 0), "{line}");
        }
    }

    #[test]
    fn what_was_said_under_a_guests_nick_before_it_came_is_nobody_elses_afterwards() {
        let (mut asked, bob, guest, id) = talk();
        asked.ask(guest, "QUIT");
        let another = asked.user("guest");
        let (_, floor) = found(&mut asked, another, "bob");
        assert!(floor > 0);
        asked.ask(another, "PRIVMSG bob :who is this");
        asked.log_in(another, 2, "guest");
        assert_eq!(found(&mut asked, another, "bob"), (0, 0));
        asked.ask(another, "PRIVMSG bob :me");
        assert_ne!(found(&mut asked, bob, "guest").0, id);
    }

    #[test]
    fn a_guest_reads_nothing_of_a_talk_that_has_come_to_the_name_under_which_its_own_began() {
        let (mut asked, bob, guest, id) = talk();
        // An account of the guest's nick, whose owner talks to bob under another, and which goes.
        let owner = asked.user("luna");
        asked.log_in(owner, 2, "guest");
        asked.ask(owner, "PRIVMSG bob :secret");
        let (secret, _) = found(&mut asked, bob, "luna");
        assert!(secret != 0 && secret != id);
        let code = asked.server.confirmation("UNREGISTER 2");
        asked.ask(owner, &format!("NS UNREGISTER guest {code}"));
        assert!(asked.server.network.account(2).is_none());
        let (now, floor) = found(&mut asked, guest, "bob");
        assert!(now != secret || floor > 0, "{now} {floor}");
        asked.log_in(guest, 3, "max");
        assert_ne!(found(&mut asked, guest, "bob").0, secret);
    }

    #[test]
    fn a_guest_who_logs_in_to_an_account_that_has_talked_itself_leaves_its_talk_where_it_was() {
        let (mut asked, bob, guest, id) = talk();
        let owner = asked.device("carol", 2, "", "");
        asked.ask(owner, "PRIVMSG bob :earlier");
        let (earlier, _) = found(&mut asked, bob, "carol");
        asked.log_in(guest, 2, "carol");
        assert_eq!(found(&mut asked, guest, "bob"), (earlier, 0));
        assert_ne!(earlier, id);
    }

    #[test]
    fn a_guest_who_logs_in_is_not_replayed_what_it_has_just_said_and_keeps_how_far_it_has_read() {
        let mut asked = Asked::new();
        let bob = asked.device("bob", 1, "", "");
        let old = asked.device("dave", 2, "", "server-time");
        asked.ask(old, "QUIT");
        let guest = asked.user_with("dave_", "server-time draft/read-marker");
        asked.ask(guest, "PRIVMSG bob :question");
        asked.ask(bob, "PRIVMSG dave_ :answer");
        asked.ask(guest, "MARKREAD bob timestamp=2023-11-14T22:00:00.000Z");
        asked.ask(guest, "NS IDENTIFY dave sesame");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        assert_eq!(asked.server.network.users[asked.id("dave_")].account, Some(2));
        assert!(asked.calls().is_empty(), "{:?}", asked.calls());
        assert!(!asked.server.has_begun(asked.id("dave_"), "$1 $2"), "another connection was not shown it");
        let told = asked.ask(guest, "MARKREAD bob").concat();
        assert!(told.contains("timestamp=2023-11-14T"), "{told}");
    }
}
