//! What was chosen of accounts and registered channels, beside what their own rows have: each is kept as a key and a
//! value ([`SettingRow`]).

use ircv3::mode::Rank;

use crate::server::record::{AccountId, Kind, SettingRow};
use crate::server::retention::Keep;

/// Who of a channel's members reads its history, and from when on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutoff {
    /// All of it.
    #[default]
    None,
    /// From when its account was registered on; without an account, from when it joined on.
    Registration,
    /// From when it joined on.
    Join,
}

impl Cutoff {
    /// All of them.
    pub const ALL: [Cutoff; 3] = [Cutoff::None, Cutoff::Registration, Cutoff::Join];

    /// Its word, in the database and for people.
    pub fn word(self) -> &'static str {
        match self {
            Cutoff::None => "none",
            Cutoff::Registration => "registration",
            Cutoff::Join => "join",
        }
    }

    /// The one with this word, in any case.
    pub fn by_word(word: &str) -> Option<Cutoff> {
        Cutoff::ALL.into_iter().find(|cutoff| cutoff.word().eq_ignore_ascii_case(word))
    }
}

/// Who in a channel is exempt from its cut-off: whoever looks after it has to see what was said.
pub const SEES_ALL: Rank = Rank::Halfop;

/// Which events of a channel are kept beside what is said. Reactions, edits and redactions belong to what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// The events by word.
    const WORDS: [(&'static str, Kind); 7] = [
        ("join", Kind::Join),
        ("part", Kind::Part),
        ("quit", Kind::Quit),
        ("kick", Kind::Kick),
        ("mode", Kind::Mode),
        ("topic", Kind::Topic),
        ("nick", Kind::Nick),
    ];
    /// All events.
    pub const ALL: Events = Events(0x7f);
    /// None.
    pub const NONE: Events = Events(0);

    /// Whether rows of this kind are kept.
    pub fn has(self, kind: Kind) -> bool {
        let place = Events::WORDS.iter().position(|(_, other)| *other == kind);
        place.is_none_or(|place| self.0 & 1 << place != 0)
    }

    /// `all`, `none`, or words with commas between them.
    pub fn parse(text: &str) -> Option<Events> {
        if text.eq_ignore_ascii_case("all") {
            return Some(Events::ALL);
        }
        if text.eq_ignore_ascii_case("none") {
            return Some(Events::NONE);
        }
        text.split(',').try_fold(Events::NONE, |events, word| {
            let place = Events::WORDS.iter().position(|(other, _)| other.eq_ignore_ascii_case(word))?;
            Some(Events(events.0 | 1 << place))
        })
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Events::ALL => f.write_str("all"),
            Events::NONE => f.write_str("none"),
            events => {
                let words = Events::WORDS.iter().filter(|(_, kind)| events.has(*kind)).map(|(word, _)| *word);
                f.write_str(&words.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// What was chosen of a registered channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Whether what is said in it is kept.
    pub history: bool,
    /// How much of it, at most.
    pub keep: Keep,
    /// Who reads it, and from when on.
    pub cutoff: Cutoff,
    /// What is older than this moment is gone for good, in milliseconds since 1970.
    pub cleared: u64,
    /// Which events are kept.
    pub events: Events,
    /// Whether its topic outlives its members.
    pub keep_topic: bool,
    /// What it is about.
    pub description: Option<Box<str>>,
    /// Where there is more about it.
    pub url: Option<Box<str>>,
    /// Whom to write to about it.
    pub email: Option<Box<str>>,
    /// What whoever joins is told.
    pub entry_message: Option<Box<str>>,
    /// Whose it is once its founder's account is no more.
    pub successor: Option<AccountId>,
    /// Whether it stays registered however long nobody uses it.
    pub no_expire: bool,
    /// When it was last used, in milliseconds since 1970, to a day; 0 where that was not noted.
    pub used: u64,
}

impl Default for ChannelSettings {
    fn default() -> ChannelSettings {
        ChannelSettings {
            history: true,
            keep: Keep::default(),
            cutoff: Cutoff::None,
            cleared: 0,
            events: Events::ALL,
            keep_topic: true,
            description: None,
            url: None,
            email: None,
            entry_message: None,
            successor: None,
            no_expire: false,
            used: 0,
        }
    }
}

/// A word for yes and no.
fn flag(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// The number of a value; none is 0.
fn number<T: std::str::FromStr + Default>(value: Option<&str>) -> T {
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

impl ChannelSettings {
    /// The keys, as they are in the database: never change one.
    pub const KEYS: [&'static str; 14] = [
        "cleared",
        "cutoff",
        "description",
        "email",
        "entrymsg",
        "events",
        "history",
        "keep-seconds",
        "keep-messages",
        "keeptopic",
        "noexpire",
        "successor",
        "url",
        "used",
    ];

    /// Takes a value; `None`, and what this version does not understand, is as without.
    pub fn put(&mut self, key: &str, value: Option<&str>) {
        let text = || value.map(Into::into);
        match key {
            "cleared" => self.cleared = number(value),
            "cutoff" => self.cutoff = value.and_then(Cutoff::by_word).unwrap_or_default(),
            "description" => self.description = text(),
            "email" => self.email = text(),
            "entrymsg" => self.entry_message = text(),
            "events" => self.events = value.and_then(Events::parse).unwrap_or(Events::ALL),
            "history" => self.history = value != Some("off"),
            "keep-seconds" => self.keep.seconds = number(value),
            "keep-messages" => self.keep.messages = number(value),
            "keeptopic" => self.keep_topic = value != Some("off"),
            "noexpire" => self.no_expire = value == Some("on"),
            "successor" => self.successor = value.and_then(|value| value.parse().ok()),
            "url" => self.url = text(),
            "used" => self.used = number(value),
            _ => {}
        }
    }

    /// The value of a key; `None` where it is as without.
    pub fn value(&self, key: &str) -> Option<Box<str>> {
        let plain = ChannelSettings::default();
        let differs = |differs: bool, text: String| differs.then(|| text.into_boxed_str());
        match key {
            "cleared" => differs(self.cleared != 0, self.cleared.to_string()),
            "cutoff" => differs(self.cutoff != plain.cutoff, self.cutoff.word().to_owned()),
            "description" => self.description.clone(),
            "email" => self.email.clone(),
            "entrymsg" => self.entry_message.clone(),
            "events" => differs(self.events != plain.events, self.events.to_string()),
            "history" => differs(!self.history, flag(self.history)),
            "keep-seconds" => differs(self.keep.seconds != 0, self.keep.seconds.to_string()),
            "keep-messages" => differs(self.keep.messages != 0, self.keep.messages.to_string()),
            "keeptopic" => differs(!self.keep_topic, flag(self.keep_topic)),
            "noexpire" => differs(self.no_expire, flag(self.no_expire)),
            "successor" => self.successor.map(|account| account.to_string().into()),
            "url" => self.url.clone(),
            "used" => differs(self.used != 0, self.used.to_string()),
            _ => None,
        }
    }

    /// All that is otherwise than without, as it is kept.
    pub fn rows(&self, owner: &str) -> Vec<SettingRow> {
        let row = |key: &str| Some(SettingRow { owner: owner.into(), key: key.into(), value: Some(self.value(key)?) });
        ChannelSettings::KEYS.into_iter().filter_map(row).collect()
    }
}

/// What stands in a value of several words; none of them has a space.
fn words(value: Option<&str>) -> impl Iterator<Item = &str> {
    value.unwrap_or("").split_ascii_whitespace()
}

/// Accounts, as such a value has them.
pub fn joined(accounts: &[AccountId]) -> String {
    accounts.iter().map(AccountId::to_string).collect::<Vec<_>>().join(" ")
}

/// A host that somebody asked to be shown by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAsked {
    /// The host.
    pub host: Box<str>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// What was chosen of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// Whether its private conversations are kept.
    pub history: bool,
    /// How much of them, at most.
    pub keep: Keep,
    /// Whether it stays however long nobody uses it.
    pub no_expire: bool,
    /// When it was last used, in milliseconds since 1970, to a day; 0 where that was not noted.
    pub used: u64,
    /// The host that it was given.
    pub vhost: Option<Box<str>>,
    /// Whether it is shown by that.
    pub vhost_on: bool,
    /// The host that it asked for.
    pub vhost_asked: Option<HostAsked>,
    /// When it asked for all that is kept of it, in milliseconds since 1970; 0 where it did not.
    pub export_asked: u64,
    /// Whom it lets write to it (ACCEPT), while it is always on.
    pub accepted: Vec<AccountId>,
    /// Masks of those whom it does not (SILENCE), while it is always on.
    pub silenced: Vec<Box<str>>,
}

/// What is chosen where nothing was.
pub static PLAIN_ACCOUNT: AccountSettings = AccountSettings {
    history: true,
    keep: Keep { seconds: 0, messages: 0 },
    no_expire: false,
    used: 0,
    vhost: None,
    vhost_on: true,
    vhost_asked: None,
    export_asked: 0,
    accepted: Vec::new(),
    silenced: Vec::new(),
};

impl Default for AccountSettings {
    fn default() -> AccountSettings {
        PLAIN_ACCOUNT.clone()
    }
}

impl AccountSettings {
    /// The keys, as they are in the database: never change one.
    pub const KEYS: [&'static str; 11] = [
        "accepted",
        "export-asked",
        "history",
        "keep-seconds",
        "keep-messages",
        "noexpire",
        "silenced",
        "used",
        "vhost",
        "vhost-asked",
        "vhost-off",
    ];

    /// Takes a value; `None`, and what this version does not understand, is as without.
    pub fn put(&mut self, key: &str, value: Option<&str>) {
        match key {
            "history" => self.history = value != Some("off"),
            "keep-seconds" => self.keep.seconds = number(value),
            "keep-messages" => self.keep.messages = number(value),
            "noexpire" => self.no_expire = value == Some("on"),
            "used" => self.used = number(value),
            "vhost" => self.vhost = value.map(Into::into),
            "vhost-asked" => {
                let parts = value.and_then(|value| value.split_once(' '));
                self.vhost_asked = parts.map(|(at, host)| HostAsked { host: host.into(), at: number(Some(at)) });
            }
            "export-asked" => self.export_asked = number(value),
            "accepted" => self.accepted = words(value).filter_map(|word| word.parse().ok()).collect(),
            "silenced" => self.silenced = words(value).map(Box::from).collect(),
            "vhost-off" => self.vhost_on = value != Some("on"),
            _ => {}
        }
    }

    /// The value of a key; `None` where it is as without.
    pub fn value(&self, key: &str) -> Option<Box<str>> {
        let differs = |differs: bool, text: String| differs.then(|| text.into_boxed_str());
        match key {
            "history" => differs(!self.history, flag(self.history)),
            "keep-seconds" => differs(self.keep.seconds != 0, self.keep.seconds.to_string()),
            "keep-messages" => differs(self.keep.messages != 0, self.keep.messages.to_string()),
            "noexpire" => differs(self.no_expire, flag(self.no_expire)),
            "used" => differs(self.used != 0, self.used.to_string()),
            "vhost" => self.vhost.clone(),
            "vhost-asked" => self.vhost_asked.as_ref().map(|asked| format!("{} {}", asked.at, asked.host).into()),
            "export-asked" => differs(self.export_asked != 0, self.export_asked.to_string()),
            "vhost-off" => differs(!self.vhost_on, flag(true)),
            "accepted" => differs(!self.accepted.is_empty(), joined(&self.accepted)),
            "silenced" => differs(!self.silenced.is_empty(), self.silenced.join(" ")),
            _ => None,
        }
    }

    /// All that is otherwise than without, as it is kept.
    pub fn rows(&self, owner: &str) -> Vec<SettingRow> {
        let row = |key: &str| Some(SettingRow { owner: owner.into(), key: key.into(), value: Some(self.value(key)?) });
        AccountSettings::KEYS.into_iter().filter_map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountSettings, ChannelSettings, Cutoff, Events, HostAsked};
    use crate::server::record::Kind;
    use crate::server::retention::Keep;

    #[test]
    fn settings_come_back_from_their_rows_and_what_is_plain_has_none() {
        let full = ChannelSettings {
            history: false,
            keep: Keep { seconds: 3, messages: 400 },
            cutoff: Cutoff::Join,
            cleared: 5,
            events: Events::parse("kick,topic").unwrap_or(Events::ALL),
            keep_topic: false,
            description: Some("a b".into()),
            url: Some("https://example.org".into()),
            email: Some("a@example.org".into()),
            entry_message: Some("hello".into()),
            successor: Some(7),
            no_expire: true,
            used: 9,
        };
        let rows = full.rows("#a");
        assert_eq!(rows.len(), ChannelSettings::KEYS.len());
        let mut again = ChannelSettings::default();
        rows.iter().for_each(|row| again.put(&row.key, row.value.as_deref()));
        assert_eq!(again, full);
        assert!(ChannelSettings::default().rows("#a").is_empty());
        for key in ChannelSettings::KEYS {
            again.put(key, None);
        }
        assert_eq!(again, ChannelSettings::default());

        let full = AccountSettings {
            history: false,
            keep: Keep { seconds: 3, messages: 400 },
            no_expire: true,
            used: 9,
            vhost: Some("a.b".into()),
            vhost_on: false,
            vhost_asked: Some(HostAsked { host: "c.d".into(), at: 8 }),
            export_asked: 4,
            accepted: vec![3, 5],
            silenced: vec!["a!*@*".into(), "a:b".into()],
        };
        let rows = full.rows("$1");
        assert_eq!(rows.len(), AccountSettings::KEYS.len());
        let mut again = AccountSettings::default();
        rows.iter().for_each(|row| again.put(&row.key, row.value.as_deref()));
        assert_eq!(again, full);
        for key in AccountSettings::KEYS {
            again.put(key, None);
        }
        assert!(again == AccountSettings::default() && again.rows("$1").is_empty());
    }

    #[test]
    fn events_are_words_and_what_belongs_to_a_message_is_none_of_them() {
        for (text, expected) in [("ALL", "all"), ("none", "none"), ("Topic,join", "join,topic")] {
            assert_eq!(Events::parse(text).map(|events| events.to_string()).as_deref(), Some(expected));
        }
        assert!(Events::parse("join,say").is_none() && Events::parse("").is_none());
        assert!(Events::NONE.has(Kind::Edit) && Events::NONE.has(Kind::Tagmsg) && !Events::NONE.has(Kind::Quit));
    }
}
