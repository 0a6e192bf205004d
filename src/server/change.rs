//! Changes that more than one command makes: members, kept events, kept rows. Everything that alters
//! the shared state takes a number first, and what is kept goes to the store under that number.

use ircv3::mode::Ranks;

use crate::server::Server;
use crate::server::channel::Channel;
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::record::{Kind, MessageRow, Record, Seq};

/// What happened in a channel, for history; see [`Kind`].
#[derive(Clone, Copy, Debug)]
pub struct Happened<'a> {
    /// What kind of event.
    pub kind: Kind,
    /// Its argument, where the kind has one.
    pub argument: Option<&'a str>,
    /// Its text.
    pub text: &'a str,
}

impl Server {
    /// Puts a user into a channel.
    pub fn add_member(&mut self, channel: ChannelId, user: UserId, ranks: Ranks) {
        let there = &mut self.network.channels[channel];
        there.members.insert(user, ranks);
        there.audience = Vec::new();
        let serial = there.serial;
        self.network.users[user].channels.push(channel);
        self.network.users[user].invites.retain(|(invited, _)| *invited != serial);
    }

    /// Takes a user out of a channel; an empty channel that is not registered is no more.
    pub fn remove_member(&mut self, channel: ChannelId, user: UserId) {
        let there = &mut self.network.channels[channel];
        there.members.shift_remove(&user);
        there.audience = Vec::new();
        self.network.users[user].channels.retain(|other| *other != channel);
        self.network.drop_channel_if_empty(channel);
    }

    /// Keeps a message of a conversation under `seq`; its time, which rises within the conversation,
    /// and what output that shows it waits for.
    pub fn keep_message(&mut self, key: &str, seq: Seq, mut row: MessageRow) -> (u64, Seq) {
        let clock = self.clock();
        let (conversation, record) = self.network.conversation_or_new(key);
        let time = clock.max(conversation.last_time + 1);
        conversation.last_time = time;
        if row.kind.is_text() {
            conversation.last_text = time;
        }
        row.conversation = conversation.id;
        row.time = time;
        if let Some(record) = record {
            self.keep(seq, record);
        }
        self.keep(seq, Record::Message(Box::new(row)));
        (time, self.wait_for(seq))
    }

    /// Keeps an event of a channel, where history is on, and gives `frame` the time and the id that
    /// history will show, and what it waits for.
    ///
    /// Several rows of one change (a QUIT, a NICK) stand in several conversations under numbers of
    /// their own, so that each has its id; the frame has that of the first.
    pub fn keep_event(&mut self, frame: &mut Frame, channel: ChannelId, user: UserId, seq: Seq, event: Happened<'_>) {
        if !self.settings.history {
            return;
        }
        let there = &self.network.channels[channel];
        let (name, key) = (there.name.clone(), there.folded.clone());
        let user = &self.network.users[user];
        let row = MessageRow {
            conversation: 0,
            time: 0,
            kind: event.kind,
            source: user.source.clone(),
            account: user.account_name.clone(),
            bot: user.is_bot(),
            target: (*name).into(),
            tags: None,
            argument: event.argument.map(Into::into),
            text: event.text.into(),
        };
        let seq = if self.last_kept_is(seq) { self.number() } else { seq };
        let (time, after) = self.keep_message(key.as_str(), seq, row);
        frame.time = frame.time.max(time);
        frame.after = frame.after.max(after);
        frame.msgid.get_or_insert(self.msgid(seq));
    }

    fn last_kept_is(&self, seq: Seq) -> bool {
        matches!(self.out.store.last(), Some((last, Record::Message(_))) if *last >= seq)
    }

    /// Keeps a registered channel as it is now; what output that shows the change waits for.
    pub fn keep_channel(&mut self, channel: ChannelId, seq: Seq) -> Seq {
        let Some(row) = self.network.channels[channel].row() else { return 0 };
        self.keep(seq, Record::Channel(Box::new(row)));
        let after = self.wait_for(seq);
        self.network.channels[channel].changed = after;
        after
    }

    /// A channel by name, made where there is none; whether it is new or has no members.
    pub fn channel_or_new(&mut self, name: &str) -> (ChannelId, bool) {
        match self.network.channel_by_name(name) {
            Some(id) => (id, self.network.channels[id].members.is_empty()),
            None => {
                let channel = Channel::new(name, self.network.casemapping, self.clock() / 1000);
                (self.network.insert_channel(channel), true)
            }
        }
    }
}
