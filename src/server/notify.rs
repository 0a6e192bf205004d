//! What somebody wants to be told of by web push: rules of an account, for everything and for single channels and
//! people, which it keeps as private metadata; and whether a text mentions it.

use std::borrow::Cow;

use ircv3::formatting;

use crate::limits;
use crate::server::network::Network;
use crate::server::record::AccountId;
use crate::server::user::Metadata;

/// The key of a [`Level`].
pub const NOTIFY: &str = "roost/notify";
/// The key of words that mention, beside nick and account, with spaces between them.
pub const KEYWORDS: &str = "roost/keywords";
/// The key of [`Quiet`] hours, or `off` where those of everything do not hold.
pub const QUIET: &str = "roost/quiet";
/// The key that hides what was said: `1`, or `0` where it is shown though everything else is not.
pub const HIDE: &str = "roost/hide";
/// As [`Level::None`] (<https://codeberg.org/emersion/soju/src/branch/master/doc/ext/metadata.md>).
pub const MUTED: &str = "soju.im/muted";
/// Whoever it is about is not heard of at all.
pub const BLOCKED: &str = "soju.im/blocked";
/// A conversation that clients show first; no rule.
pub const PINNED: &str = "soju.im/pinned";

/// What everything is called in keys.
pub const EVERYTHING: &str = "*";

/// The keys that an account has of others for itself alone.
pub const PRIVATE_KEYS: [&str; 7] = [BLOCKED, MUTED, PINNED, NOTIFY, KEYWORDS, QUIET, HIDE];

/// Whether a key is an account's own, whoever it is about.
pub fn is_private(key: &str) -> bool {
    PRIVATE_KEYS.contains(&key)
}

/// What is wrong with a value of one of [`PRIVATE_KEYS`], and what would be right.
///
/// # Errors
/// The value will not do.
pub fn check(key: &str, value: &str) -> Result<(), String> {
    let right = match key {
        BLOCKED | MUTED | PINNED | HIDE => matches!(value, "0" | "1"),
        NOTIFY => Level::by_word(value).is_some(),
        QUIET => value == "off" || Quiet::parse(value).is_some(),
        KEYWORDS => {
            let words: Vec<&str> = value.split(' ').collect();
            words.len() <= limits::PUSH_KEYWORDS && words.iter().all(|word| is_keyword(word))
        }
        _ => return Ok(()),
    };
    if right {
        return Ok(());
    }
    Err(match key {
        NOTIFY => "The value is all, mentions or none".to_owned(),
        QUIET => "The value is off, or such as 22:00-07:00 or 22:00-07:00+02:00".to_owned(),
        KEYWORDS => {
            format!("The value is at most {} words of 2 to 32 characters with spaces between", limits::PUSH_KEYWORDS)
        }
        _ => "The value is 0 or 1".to_owned(),
    })
}

/// Whether a word can mention somebody: of a single letter every text is full.
pub fn is_keyword(word: &str) -> bool {
    let count = word.chars().count();
    (2..=32).contains(&count) && !word.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// How much somebody wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All that is said.
    All,
    /// What mentions it, and what is said to it alone.
    Mentions,
    /// Nothing.
    None,
}

impl Level {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Level::All => "all",
            Level::Mentions => "mentions",
            Level::None => "none",
        }
    }

    /// The level of this word.
    pub fn by_word(word: &str) -> Option<Level> {
        [Level::All, Level::Mentions, Level::None].into_iter().find(|level| level.word() == word)
    }
}

/// Hours in which nothing is pushed: minutes of the day from `from` up to `to`, `offset` minutes east of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: u32,
    to: u32,
    offset: i32,
}

impl Quiet {
    /// `22:00-07:00`, and where that is not UTC `22:00-07:00+02:00`.
    pub fn parse(text: &str) -> Option<Quiet> {
        let minutes = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let (from, rest) = text.split_once('-')?;
        let (to, offset) = match rest.find(['+', '-']) {
            Some(at) => {
                let east = minutes(&rest[at + 1..])? as i32;
                (&rest[..at], if rest.as_bytes()[at] == b'-' { -east } else { east })
            }
            None => (rest, 0),
        };
        let (from, to) = (minutes(from)?, minutes(to)?);
        (from != to).then_some(Quiet { from, to, offset })
    }

    /// Whether a moment (milliseconds since 1970) is in them.
    pub fn has(self, unix_ms: u64) -> bool {
        let minute = (unix_ms / 60_000) as i64 + i64::from(self.offset);
        let minute = minute.rem_euclid(24 * 60) as u32;
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// The rules of an account about something: its own where there are any, and those for everything.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    own: Option<&'a Metadata>,
    general: Option<&'a Metadata>,
}

impl<'a> Rules<'a> {
    /// Those of `account` about `about` (see [`Network::about`]).
    pub fn of(network: &'a Network, account: AccountId, about: &str) -> Rules<'a> {
        Rules { own: network.private_metadata(account, about), general: network.private_metadata(account, EVERYTHING) }
    }

    fn own(&self, key: &str) -> Option<&'a str> {
        self.own.and_then(|map| map.get(key)).map(|value| &**value)
    }

    fn general(&self, key: &str) -> Option<&'a str> {
        self.general.and_then(|map| map.get(key)).map(|value| &**value)
    }

    fn either(&self, key: &str) -> Option<&'a str> {
        self.own(key).or_else(|| self.general(key))
    }

    /// Whether the one it is about is blocked.
    pub fn is_blocked(&self) -> bool {
        self.own(BLOCKED) == Some("1")
    }

    /// How much is wanted.
    pub fn level(&self) -> Level {
        if self.own(MUTED) == Some("1") || self.is_blocked() || self.general(MUTED) == Some("1") {
            return Level::None;
        }
        self.either(NOTIFY).and_then(Level::by_word).unwrap_or(Level::Mentions)
    }

    /// Whether nothing is wanted at this moment (milliseconds since 1970).
    pub fn is_quiet(&self, unix_ms: u64) -> bool {
        self.either(QUIET).and_then(Quiet::parse).is_some_and(|quiet| quiet.has(unix_ms))
    }

    /// Whether what was said is not to be in the push.
    pub fn hides(&self) -> bool {
        self.either(HIDE) == Some("1")
    }

    /// The words that mention, beside nick and account.
    pub fn keywords(&self) -> impl Iterator<Item = &'a str> {
        [self.own(KEYWORDS), self.general(KEYWORDS)].into_iter().flatten().flat_map(|words| words.split(' '))
    }
}

/// A text that is looked through for words: without formatting, in small letters.
pub struct Looked(String);

impl Looked {
    /// A text as it was said, of one line.
    pub fn at(text: &str) -> Looked {
        Looked(formatting::strip(text).to_lowercase())
    }

    /// Whether a word stands in it by itself, whatever the case of its letters, and not in a URL.
    pub fn mentions(&self, word: &str) -> bool {
        let word: Cow<'_, str> = word.to_lowercase().into();
        !word.is_empty()
            && self.0.match_indices(&*word).any(|(at, _)| {
                let (before, after) = (&self.0[..at], &self.0[at + word.len()..]);
                !before.ends_with(is_part) && !after.starts_with(is_part) && !is_in_url(before)
            })
    }
}

/// Whether a character next to a word makes it part of another: as WeeChat, soju and Ergo have it.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '|')
}

/// Whether the end of a text is inside a URL, which begins with a scheme (RFC 3986, section 3).
fn is_in_url(before: &str) -> bool {
    let token = before.rsplit(char::is_whitespace).next().unwrap_or("");
    token
        .find("://")
        .is_some_and(|at| token[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{HIDE, KEYWORDS, Level, Looked, MUTED, NOTIFY, QUIET, Quiet, Rules, check};
    use crate::server::user::Metadata;

    #[test]
    fn a_word_mentions_by_itself_and_not_in_a_url() {
        for text in [
            "alice: hi",
            "hi alice",
            "hi, ALICE!",
            "(alice)",
            "@alice",
            "alice",
            "\u{2}alice\u{2} hi",
            "\u{3}04alice",
            "malice alice",
            "see http://x.example/ alice",
            "\u{1}ACTION waves at alice\u{1}",
            "«Alice»",
            "alice's",
            "http:// alice",
            "a://b alice",
        ] {
            assert!(Looked::at(text).mentions("Alice"), "{text:?}");
        }
        for text in [
            "malice",
            "alices",
            "alice_",
            "alice-away",
            "alice2",
            "éalice",
            "|alice|",
            "ali ce",
            "",
            "https://alice.example.org/",
            "see https://example.org/alice, please",
            "irc://x/alice",
            "git+ssh://alice@x",
        ] {
            assert!(!Looked::at(text).mentions("alice"), "{text:?}");
        }
        assert!(Looked::at("ÄPFEL für alle").mentions("äpfel"));
        assert!(!Looked::at("anything").mentions(""));
        // Letters that grow or shrink in another case.
        assert!(Looked::at("İSTANBUL İ").mentions("İ"));
    }

    #[test]
    fn quiet_hours_go_over_midnight_and_by_the_clock_of_their_place() {
        let at = |hour: u64, minute: u64| (20_000 * 24 * 60 + hour * 60 + minute) * 60_000;
        let night = Quiet::parse("22:00-07:00").unwrap();
        assert!(night.has(at(22, 0)) && night.has(at(23, 59)) && night.has(at(0, 0)) && night.has(at(6, 59)));
        assert!(!night.has(at(7, 0)) && !night.has(at(21, 59)) && !night.has(at(12, 0)));
        let noon = Quiet::parse("12:30-13:15").unwrap();
        assert!(noon.has(at(12, 30)) && !noon.has(at(13, 15)) && !noon.has(at(12, 29)));
        // 22:00 in Berlin in summer is 20:00.
        let east = Quiet::parse("22:00-07:00+02:00").unwrap();
        assert!(east.has(at(20, 0)) && east.has(at(4, 59)) && !east.has(at(5, 0)) && !east.has(at(19, 59)));
        let west = Quiet::parse("22:00-07:00-05:30").unwrap();
        assert!(west.has(at(3, 30)) && !west.has(at(3, 29)) && west.has(at(12, 29)) && !west.has(at(12, 30)));
        for bad in ["", "22-7", "22:00", "24:00-07:00", "22:60-07:00", "2:00-07:00", "07:00-07:00", "22:00-07:00+2"] {
            assert_eq!(Quiet::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_said_of_one_channel_comes_before_what_is_said_of_everything() {
        let map = |pairs: &[(&str, &str)]| -> Metadata {
            pairs.iter().map(|(key, value)| (Box::from(*key), Box::from(*value))).collect()
        };
        let general = map(&[(NOTIFY, "none"), (KEYWORDS, "tea"), (QUIET, "00:00-12:00"), (HIDE, "1")]);
        let own = map(&[(NOTIFY, "all"), (KEYWORDS, "cake jam"), (QUIET, "off"), (HIDE, "0")]);
        let rules = Rules { own: None, general: Some(&general) };
        assert_eq!((rules.level(), rules.is_quiet(0), rules.hides()), (Level::None, true, true));
        assert_eq!(rules.keywords().collect::<Vec<_>>(), ["tea"]);
        let rules = Rules { own: Some(&own), general: Some(&general) };
        assert_eq!((rules.level(), rules.is_quiet(0), rules.hides()), (Level::All, false, false));
        assert_eq!(rules.keywords().collect::<Vec<_>>(), ["cake", "jam", "tea"]);
        let muted = map(&[(NOTIFY, "all"), (MUTED, "1")]);
        assert_eq!(Rules { own: Some(&muted), general: None }.level(), Level::None);
        assert_eq!(Rules { own: None, general: None }.level(), Level::Mentions);
    }

    #[test]
    fn values_are_checked_and_what_would_be_right_is_said() {
        for (key, good, bad) in [
            (NOTIFY, "mentions", "some"),
            (QUIET, "22:00-07:00+02:00", "at night"),
            (KEYWORDS, "tea cake", "tea  cake"),
            (HIDE, "1", "yes"),
            (MUTED, "0", ""),
        ] {
            assert_eq!(check(key, good), Ok(()));
            assert!(check(key, bad).unwrap_err().starts_with("The value is "), "{key}");
        }
        assert!(check(KEYWORDS, &"tea ".repeat(100)).is_err() && check(KEYWORDS, "a").is_err());
    }
}
