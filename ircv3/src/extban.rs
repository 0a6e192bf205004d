//! Extended bans: entries of list modes that fit by more than `nick!user@host`
//! (<https://ircv3.net/specs/extensions/account-extban>, and what InspIRCd and UnrealIRCd have).
//!
//! An entry is a mask, or `letter:value` or `name:value`. One that says what it forbids (`mute:`,
//! `nickchange:`) has an entry of the other kinds, or a mask, behind it: `mute:account:bob`.

use crate::mask;

/// What an entry is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `a`: the account; nobody who has none.
    Account,
    /// `j`: a channel that the user is in, with `@` or another prefix before it at least in that rank.
    Channel,
    /// `r`: the real name; `_` stands for a space too.
    Realname,
    /// `U`: the source, of those who are not logged in.
    Unregistered,
    /// `z`: the fingerprint of the client's certificate.
    Fingerprint,
}

/// What an entry is about, where it is not about everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `m`: speaking.
    Speak,
    /// `n`: changing the nick.
    ChangeNick,
}

/// One kind of extended ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extban {
    /// Its letter.
    pub letter: char,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// An example of its value.
    pub value: &'static str,
    /// Whom it fits, for people: as in [`ChannelMode::help`](crate::mode::ChannelMode::help).
    pub help: &'static str,
}

/// What an extended ban does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It fits by this.
    Fits(Subject),
    /// It is about this alone.
    About(Deed),
}

/// Every kind, in the order of their letters.
pub const EXTBANS: &[Extban] = &[
    Extban {
        letter: 'U',
        name: "unregistered",
        kind: Kind::Fits(Subject::Unregistered),
        value: "mask",
        help: "those whom the mask fits and who are not logged in; `U:` all of them",
    },
    Extban {
        letter: 'a',
        name: "account",
        kind: Kind::Fits(Subject::Account),
        value: "bob",
        help: "whoever is logged in to the account `bob`, under any nick; `a:*` all who are logged in",
    },
    Extban {
        letter: 'j',
        name: "channel",
        kind: Kind::Fits(Subject::Channel),
        value: "#garden",
        help: "whoever is in that channel; `j:@#garden` its operators and those above them. Secret channels do not count, nor what `u`, `D` and user mode `p` hide",
    },
    Extban {
        letter: 'm',
        name: "mute",
        kind: Kind::About(Deed::Speak),
        value: "entry",
        help: "about speaking alone: whoever the entry fits may join, but without voice not speak",
    },
    Extban {
        letter: 'n',
        name: "nickchange",
        kind: Kind::About(Deed::ChangeNick),
        value: "entry",
        help: "about changing the nick alone",
    },
    Extban {
        letter: 'r',
        name: "realname",
        kind: Kind::Fits(Subject::Realname),
        value: "mask",
        help: "a real name; `_` stands for a space too",
    },
    Extban {
        letter: 'z',
        name: "fingerprint",
        kind: Kind::Fits(Subject::Fingerprint),
        value: "ab12…",
        help: "the SHA-256 of a client certificate, with or without colons",
    },
];

/// The value of `EXTBAN`: no prefix, and the letters.
pub fn extban_token() -> String {
    let letters: String = EXTBANS.iter().map(|extban| extban.letter).collect();
    format!(",{letters}")
}

/// The value of `ACCOUNTEXTBAN`.
pub const ACCOUNT_TOKEN: &str = "a,account";

/// An entry of a list, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is about; `None` for everything.
    pub about: Option<Deed>,
    /// What `mask` is compared with; `None` for the source.
    pub subject: Option<Subject>,
    /// The mask.
    pub mask: &'a str,
}

impl<'a> Entry<'a> {
    /// Reads an entry as [`normalize`] made it.
    pub fn read(entry: &'a str) -> Entry<'a> {
        let (about, rest) = match split(entry) {
            Some((Kind::About(deed), rest)) => (Some(deed), rest),
            _ => (None, entry),
        };
        match split(rest) {
            Some((Kind::Fits(subject), mask)) => Entry { about, subject: Some(subject), mask },
            _ => Entry { about, subject: None, mask: rest },
        }
    }
}

/// The kind of an entry that begins with a letter, and the rest.
fn split(entry: &str) -> Option<(Kind, &str)> {
    let mut chars = entry.chars();
    let (letter, rest) = (chars.next()?, chars.as_str());
    let rest = rest.strip_prefix(':')?;
    let extban = EXTBANS.iter().find(|extban| extban.letter == letter)?;
    Some((extban.kind, rest))
}

/// An entry in the form in which it is kept: extended bans by their letter, masks as
/// [`mask::normalize`] has them. `~` before an extended ban, which other servers ask for, is
/// passed over. `None` where the entry is none: a mute of a mute, or nothing behind the colon.
pub fn normalize(text: &str) -> Option<String> {
    // A mask stands in the middle of a line.
    let text = text.trim_start_matches(' ').split(' ').next().unwrap_or_default();
    normalize_part(text, true)
}

fn normalize_part(text: &str, outer: bool) -> Option<String> {
    let Some((extban, value)) = named(text) else {
        // Without the colons before it, a nick may look like an extended ban; no nick is like that.
        return Some(mask::normalize(text)).filter(|mask| named(mask).is_none());
    };
    let value = match extban.kind {
        Kind::About(_) if !outer || value.is_empty() => return None,
        Kind::About(_) => normalize_part(value, false)?,
        // `U:` is everyone without an account.
        Kind::Fits(Subject::Unregistered) => mask::normalize(value),
        Kind::Fits(_) if value.is_empty() => return None,
        Kind::Fits(Subject::Fingerprint) => {
            let digits = value.replace(':', "").to_ascii_lowercase();
            if digits.is_empty() {
                return None;
            }
            digits
        }
        Kind::Fits(_) => value.to_owned(),
    };
    Some(format!("{}:{value}", extban.letter))
}

/// The extended ban that a client wrote, and its value.
fn named(text: &str) -> Option<(Extban, &str)> {
    let (name, value) = text.strip_prefix('~').unwrap_or(text).split_once(':')?;
    let is_it =
        |extban: &&Extban| name.eq_ignore_ascii_case(extban.name) || name.len() == 1 && name.starts_with(extban.letter);
    EXTBANS.iter().find(is_it).map(|extban| (*extban, value))
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNT_TOKEN, Deed, EXTBANS, Entry, Subject, extban_token, normalize};

    #[test]
    fn tokens_come_from_the_table() {
        assert_eq!(extban_token(), ",Uajmnrz");
        let account = EXTBANS.iter().find(|extban| extban.name == "account").map(|extban| extban.letter);
        assert_eq!(ACCOUNT_TOKEN, format!("{},account", account.unwrap_or_default()));
        assert!(EXTBANS.is_sorted_by_key(|extban| extban.letter));
    }

    #[test]
    fn what_people_write_has_one_form() {
        for (text, right) in [
            ("bob", Some("bob!*@*")),
            ("a:bob", Some("a:bob")),
            ("account:bob", Some("a:bob")),
            ("Account:bob", Some("a:bob")),
            ("~a:bob", Some("a:bob")),
            ("~account:b*", Some("a:b*")),
            ("mute:bob", Some("m:bob!*@*")),
            ("m:account:bob", Some("m:a:bob")),
            ("mute:~account:bob", Some("m:a:bob")),
            ("n:*@host", Some("n:*!*@host")),
            ("U:", Some("U:*!*@*")),
            ("unregistered:*@192.0.2.*", Some("U:*!*@192.0.2.*")),
            ("m:U:", Some("m:U:*!*@*")),
            ("r:Real_Name*", Some("r:Real_Name*")),
            ("channel:@#garden", Some("j:@#garden")),
            ("z:AB:CD:*", Some("z:abcd*")),
            ("a:bob rest", Some("a:bob")),
            ("m:m:bob", None),
            ("m:n:bob", None),
            ("mute:", None),
            ("a:", None),
            ("m:a:", None),
            ("::a:bob!*@*", None),
            (":~account:bob!*@*", None),
            ("m::a:bob!*@*", None),
            ("::1", Some("*!*@::1")),
            // Neither a letter nor a name: a host.
            ("2001:db8::*", Some("*!*@2001:db8::*")),
            ("A:bob", Some("*!*@A:bob")),
            ("nick!user@2001:db8::1", Some("nick!user@2001:db8::1")),
        ] {
            assert_eq!(normalize(text).as_deref(), right, "{text}");
            if let Some(right) = right {
                assert_eq!(normalize(right).as_deref(), Some(right), "what is normal stays so");
            }
        }
    }

    #[test]
    fn an_entry_says_what_it_is_about_and_what_it_is_compared_with() {
        let entry = |about, subject, mask| Entry { about, subject, mask };
        for (text, right) in [
            ("bob!*@*", entry(None, None, "bob!*@*")),
            ("a:bob", entry(None, Some(Subject::Account), "bob")),
            ("m:bob!*@*", entry(Some(Deed::Speak), None, "bob!*@*")),
            ("n:a:bob", entry(Some(Deed::ChangeNick), Some(Subject::Account), "bob")),
            ("*!*@2001:db8::1", entry(None, None, "*!*@2001:db8::1")),
            ("j:m:x", entry(None, Some(Subject::Channel), "m:x")),
        ] {
            assert_eq!(Entry::read(text), right, "{text}");
        }
    }
}
