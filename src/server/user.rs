//! A person on the network, with 0 to n sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use ircv3::Folded;
use smallvec::SmallVec;

use crate::limits;
use crate::server::event::ConnId;
use crate::server::network::{ChannelId, UserId};
use crate::server::record::{AccountId, ConversationId, Seq};
use crate::server::right::Right;
use crate::server::settings::Oper;

/// Keys and values (METADATA).
pub type Metadata = BTreeMap<Box<str>, Box<str>>;

/// A set of letters, for modes without parameters: bit 0 is `A`, bit 32 is `a`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letters(u64);

impl Letters {
    fn bit(letter: char) -> u64 {
        match letter {
            'A'..='Z' => 1 << (letter as u32 - 'A' as u32),
            'a'..='z' => 1 << (32 + letter as u32 - 'a' as u32),
            _ => 0,
        }
    }

    /// The letters of a text; anything else is passed over.
    pub fn of(text: &str) -> Letters {
        Letters(text.chars().fold(0, |bits, letter| bits | Letters::bit(letter)))
    }

    /// Whether the letter is in the set.
    pub fn has(self, letter: char) -> bool {
        self.0 & Letters::bit(letter) != 0
    }

    /// Puts a letter in or takes it out; whether that changed anything.
    pub fn set(&mut self, letter: char, on: bool) -> bool {
        let was = self.0;
        if on {
            self.0 |= Letters::bit(letter);
        } else {
            self.0 &= !Letters::bit(letter);
        }
        self.0 != was
    }

    /// The letters in alphabetical order, capitals first.
    pub fn text(self) -> String {
        ('A'..='Z').chain('a'..='z').filter(|letter| self.has(*letter)).collect()
    }
}

/// Another user, whatever its nick is by now: the same person that is on, or the same account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its place while it is on.
    pub user: UserId,
    serial: u64,
    /// Its account.
    pub account: Option<AccountId>,
}

impl Contacts {
    /// As they are kept while their user is always on; `None` where there is nothing of the kind.
    pub fn kept(accepted: &[AccountId], silenced: &[Box<str>]) -> Option<Box<Contacts>> {
        let accepted = accepted.iter().map(|account| Contact::of_account(*account)).collect();
        let contacts = Contacts { accepted, silenced: silenced.to_vec(), ..Contacts::default() };
        (!contacts.accepted.is_empty() || !contacts.silenced.is_empty()).then(|| Box::new(contacts))
    }
}

impl Contact {
    /// The user of this place.
    pub fn of(id: UserId, user: &User) -> Contact {
        Contact { user: id, serial: user.serial, account: user.account }
    }

    /// An account, whoever is on by it.
    pub fn of_account(account: AccountId) -> Contact {
        Contact { user: UserId::MAX, serial: u64::MAX, account: Some(account) }
    }

    /// Whether it is this user.
    pub fn is(&self, user: &User) -> bool {
        self.serial == user.serial || self.account.is_some() && self.account == user.account
    }
}

/// Whom a user lets write to it, and whom not; where it was asked in, and where it asked.
#[derive(Debug, Default)]
pub struct Contacts {
    /// ACCEPT.
    pub accepted: Vec<Contact>,
    /// Those to whom it wrote: they may answer. The oldest first.
    pub addressed: Vec<Contact>,
    /// SILENCE.
    pub silenced: Vec<Box<str>>,
    /// Channels it was invited to, by their serial, each with the moment (on the monotonic clock) at
    /// which the invitation ends.
    pub invites: Vec<(u64, u64)>,
    /// Channels that it knocked at, by their serial, and when (on the monotonic clock).
    pub knocked: Vec<(u64, u64)>,
    /// When it was last told of someone who may not write to it, on the monotonic clock.
    pub told: Option<u64>,
    /// The private conversations that began while it was here, and not logged in, by key and number, for another may come to
    /// have the key: all that was said there it was told, or has said. The oldest first.
    pub begun: Vec<(Box<str>, ConversationId)>,
}

/// A person.
#[derive(Debug)]
pub struct User {
    /// Told apart from an earlier user in the same place; never used again within one start.
    pub serial: u64,
    /// The number of the change that brought it: older history than this is not a guest's.
    pub since: Seq,
    /// The nick.
    pub nick: Arc<str>,
    /// The nick as it is compared.
    pub folded: Folded,
    /// The nick that its last connection had, where it went on under its account's without one, until it takes another: who
    /// comes under that one is the same.
    pub former_nick: Option<Arc<str>>,
    /// The user name, with `~`.
    pub user: Box<str>,
    /// The host that others see.
    pub host: Arc<str>,
    /// What is shown where no other host was given to it: its cloak, or its address.
    pub plain_host: Arc<str>,
    /// Whether that is so. Of a user of whom an earlier version kept no more than what it was shown by, what is behind
    /// that is not known until it comes.
    pub plain_host_known: bool,
    /// What it was shown by before (mode `x`, HostServ, CHGHOST): bans of it hold whatever is shown instead.
    pub former_hosts: SmallVec<[Arc<str>; 1]>,
    /// What it would be shown by where its connections come from now, so far as that is not its plain host: bans of it hold
    /// as well.
    pub session_hosts: Box<[Arc<str>]>,
    /// The real name.
    pub realname: Box<str>,
    /// `nick!user@host`.
    pub source: Arc<str>,
    /// The account it is logged in to.
    pub account: Option<AccountId>,
    /// That account's name.
    pub account_name: Option<Arc<str>>,
    /// Why it is away.
    pub away: Option<Box<str>>,
    /// Keys and values of a guest; those of an account are the account's.
    pub metadata: Option<Box<Metadata>>,
    /// Its modes.
    pub modes: Letters,
    /// Where it is, in the order it came.
    pub channels: SmallVec<[ChannelId; 4]>,
    /// Its connections, the oldest first.
    pub sessions: SmallVec<[ConnId; 1]>,
    /// Whom it lets write to it, and who asked it in; `None` where there is nothing of the kind.
    pub contacts: Option<Box<Contacts>>,
    /// Fingerprints of its connections' certificates.
    pub certfps: Box<[Box<str>]>,
    /// When it came, in seconds since 1970.
    pub signon: u64,
    /// When it last said something, on the monotonic clock.
    pub spoke: u64,
    /// The last change by which something was said to it, or by it to somebody, that is kept.
    pub told: Seq,
    /// Whether every session came over TLS.
    pub secure: bool,
    /// What it may do as an operator.
    pub oper: Option<Arc<Oper>>,
    /// The notices that it hears (mode `s`).
    pub notices: Letters,
    /// When its last connection went, in milliseconds since 1970; 0 while it has one.
    pub left: u64,
    /// The store has it as one that is always on.
    pub presence_kept: bool,
}

impl User {
    /// The channels it was invited to, by their serial, and until when.
    pub fn invites(&self) -> &[(u64, u64)] {
        self.contacts.as_deref().map_or(&[], |contacts| &contacts.invites)
    }

    /// Takes the nick over into the source. The caller sees to the index and `folded`.
    pub fn set_nick(&mut self, nick: &str) {
        self.nick = nick.into();
        self.source = source(nick, &self.user, &self.host);
    }

    /// Every host that bans of it go by: the one that is shown, and those that were, or would be.
    pub fn shown_hosts(&self) -> impl Iterator<Item = &Arc<str>> {
        let others = [&self.plain_host].into_iter().chain(&self.former_hosts);
        [&self.host].into_iter().chain(others.filter(|host| **host != self.host))
    }

    /// Notes a host that it is not shown by any more, so that bans of it hold.
    pub fn was_shown_by(&mut self, host: Arc<str>) {
        if host == self.host || host == self.plain_host || self.former_hosts.contains(&host) {
            return;
        }
        if self.former_hosts.len() >= limits::FORMER_HOSTS {
            self.former_hosts.remove(0);
        }
        self.former_hosts.push(host);
    }

    /// Whether it is an operator.
    pub fn is_oper(&self) -> bool {
        self.modes.has('o')
    }

    /// Whether it is an operator who may do this.
    pub fn may(&self, right: Right) -> bool {
        self.is_oper() && self.oper.as_ref().is_some_and(|oper| oper.rights.has(right))
    }

    /// A line about it for server notices.
    pub fn described(&self, what: &str, more: &str) -> String {
        let account = self.account_name.as_deref().map(|name| format!(" as {name}")).unwrap_or_default();
        format!("{} ({}@{}){account} {what} [{more}]", self.nick, self.user, self.host)
    }

    /// Whether it hears what is said in channels.
    pub fn is_deaf(&self) -> bool {
        self.modes.has('D')
    }

    /// Whether it is a bot.
    pub fn is_bot(&self) -> bool {
        self.modes.has('B')
    }
}

/// `nick!user@host`.
pub fn source(nick: &str, user: &str, host: &str) -> Arc<str> {
    format!("{nick}!{user}@{host}").into()
}

/// Sets or removes a key; without any there is no map.
pub fn put_metadata(metadata: &mut Option<Box<Metadata>>, key: &str, value: Option<&str>) {
    match value {
        Some(value) => drop(metadata.get_or_insert_default().insert(key.into(), value.into())),
        None => {
            if let Some(map) = metadata {
                map.remove(key);
            }
            metadata.take_if(|map| map.is_empty());
        }
    }
}
