//! Entries of list modes as other servers write them, and what says the same here.
//!
//! No file says which server it was of, but each has a form of its own: `$a:bob` is of Charybdis and Solanum, `~a:bob` and
//! `~account:bob` are of UnrealIRCd, `R:bob` and `account:bob` of InspIRCd, and Ergo has InspIRCd's `m:`. The same letter is
//! something else from one to the next, and none is taken for Roost's own. What no entry says here is refused: as a mask it
//! would fit nobody.

use ircv3::{Casemapping, extban, mask, name};

use crate::limits;

/// What an extended ban of another server says that Roost's say, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Account,
    Channel,
    Realname,
    Fingerprint,
    Unregistered,
    /// No more than a mask does.
    Mask,
    Mute,
    ChangeNick,
    /// A ban with a channel to go to.
    Forward,
}

/// What an entry begins with, which sets its form apart, its letter and its names.
const KNOWN: &[(&str, char, &[&str], Says)] = &[
    // InspIRCd 2 to 4, and what Roost calls them.
    ("", 'R', &["account"], Says::Account),
    ("", 'U', &["unauthed", "unregistered"], Says::Unregistered),
    ("", 'j', &["channel"], Says::Channel),
    ("", 'r', &["realname"], Says::Realname),
    ("", 'z', &["fingerprint", "sslfp"], Says::Fingerprint),
    ("", 'm', &["mute"], Says::Mute),
    ("", 'N', &["nonick", "nickchange"], Says::ChangeNick),
    // UnrealIRCd 3.2 to 6.
    ("~", 'a', &["account"], Says::Account),
    ("~", 'c', &["channel"], Says::Channel),
    ("~", 'r', &["realname"], Says::Realname),
    ("~", 'S', &["certfp"], Says::Fingerprint),
    ("~", 'q', &["quiet"], Says::Mute),
    ("~", 'n', &["nickchange"], Says::ChangeNick),
    ("~", 'f', &["forward"], Says::Forward),
    // Charybdis and Solanum.
    ("$", 'a', &[], Says::Account),
    ("$", 'c', &[], Says::Channel),
    ("$", 'g', &[], Says::Unregistered),
    ("$", 'm', &[], Says::Mask),
    ("$", 'r', &[], Says::Realname),
    ("$", 'z', &[], Says::Fingerprint),
];

/// An entry as it is kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As [`extban::normalize`] makes it.
    pub mask: String,
    /// Where it sent those whom it fits: no entry does that here.
    pub forward: Option<String>,
}

/// Reads an entry in any server's form.
///
/// # Errors
/// Why no entry here is like it, as the end of a sentence about it.
pub fn read(given: &str, casemapping: Casemapping) -> Result<Entry, String> {
    let mut reading = Reading { casemapping, forward: None };
    let text = reading.part(given, true)?;
    let mask = extban::normalize(&text).ok_or_else(|| "is no entry here".to_owned())?;
    Ok(Entry { mask, forward: reading.forward })
}

struct Reading {
    casemapping: Casemapping,
    forward: Option<String>,
}

impl Reading {
    /// The text of an entry, or of what stands behind `mute:`.
    fn part(&mut self, given: &str, outer: bool) -> Result<String, String> {
        // Charybdis' bans have their forward at their end.
        let text = match given.split_once("$#") {
            Some((text, forward)) if !text.is_empty() => {
                self.forward = Some(format!("#{forward}"));
                text
            }
            _ => given,
        };
        if let Some(text) = text.strip_prefix('$') {
            return self.charybdis(text);
        }
        let Some((before, value)) = text.split_once(':').filter(|_| !is_ipv6(text)) else { return self.mask(text) };
        let is_inverted = before.strip_prefix('!').is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphabetic()));
        if before.contains(['!', '@']) && !is_inverted {
            return self.mask(text);
        }
        let (sigil, name) = before.strip_prefix('~').map_or(("", before), |name| ("~", name));
        if sigil == "~" && matches!(name, "t" | "time") {
            return Err("did not come: it ends after a time, and no entry here does".to_owned());
        }
        let says = says(sigil, name).ok_or_else(|| nothing_like(&format!("{before}:")))?;
        match says {
            Says::Forward => {
                let (forward, entry) = value.split_once(':').ok_or_else(|| nothing_like(text))?;
                self.forward = Some(forward.to_owned());
                self.part(entry, outer)
            }
            Says::Mute | Says::ChangeNick if !outer => Err("did not come: an entry here is about one thing".to_owned()),
            Says::Mute => Ok(format!("m:{}", self.part(value, false)?)),
            Says::ChangeNick => Ok(format!("n:{}", self.part(value, false)?)),
            // What UnrealIRCd calls those who have none.
            Says::Account if sigil == "~" && value == "0" => Ok("U:*!*@*".to_owned()),
            _ => self.value(says, value),
        }
    }

    fn charybdis(&mut self, text: &str) -> Result<String, String> {
        let (before, value) = text.split_once(':').map_or((text, None), |(before, value)| (before, Some(value)));
        match (&*before.to_ascii_lowercase(), value) {
            ("a", None) => Ok("a:*".to_owned()),
            ("~a", None) => Ok("U:*!*@*".to_owned()),
            (letter, Some(value)) => {
                let says = says("$", letter).ok_or_else(|| nothing_like(&format!("${before}:")))?;
                self.value(says, value)
            }
            (_, None) => Err(nothing_like(&format!("${before}"))),
        }
    }

    fn value(&mut self, says: Says, value: &str) -> Result<String, String> {
        let no = |what: &str| Err(format!("did not come: {value:?} is {what}"));
        let is_none = || value.is_empty() || value.contains([' ', ',']);
        match says {
            Says::Account if self.is_nick(value) && !value.is_empty() => Ok(format!("a:{value}")),
            Says::Account => no("no account here"),
            Says::Channel => {
                let name = value.trim_start_matches(['~', '&', '@', '%', '+']);
                let fits = value.len() - name.len() < 2 && name::is_channel(name, limits::CHANNEL_LEN);
                if fits { Ok(format!("j:{value}")) } else { no("no channel here") }
            }
            Says::Realname if is_none() => no("no real name"),
            Says::Realname => Ok(format!("r:{value}")),
            Says::Fingerprint => {
                let digits = value.replace(':', "");
                let is_one = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                if is_one || value == "*" { Ok(format!("z:{digits}")) } else { no("not SHA-256 in 64 digits of hex") }
            }
            // All of them.
            Says::Unregistered if value.is_empty() => Ok("U:*!*@*".to_owned()),
            // With a real name behind it, it would fit more than it did.
            Says::Unregistered | Says::Mask if value.contains(['#', '$']) => no("more than a mask"),
            Says::Unregistered => Ok(format!("U:{}", self.mask(value)?)),
            Says::Mask | Says::Mute | Says::ChangeNick | Says::Forward => self.mask(value),
        }
    }

    fn mask(&mut self, given: &str) -> Result<String, String> {
        // InspIRCd's bans have their forward behind the host.
        let (text, forward) = match given.rsplit_once('@') {
            Some((source, host)) if given.contains('!') => match host.split_once('#') {
                Some((host, forward)) => (format!("{source}@{host}"), Some(format!("#{forward}"))),
                None => (given.to_owned(), None),
            },
            _ => (given.to_owned(), None),
        };
        let mask = mask::normalize(&text);
        let nick = mask.split('!').next().unwrap_or_default();
        if !self.is_nick(nick) {
            return Err(format!("did not come: it would fit nobody, for no nick here is like {nick:?}"));
        }
        self.forward = forward.or(self.forward.take());
        Ok(mask)
    }

    /// Whether the letters of a mask may be in a nick.
    fn is_nick(&self, mask: &str) -> bool {
        let ascii: String = mask.chars().filter(|c| c.is_ascii() && !matches!(c, '*' | '?')).collect();
        let may_be = mask.is_ascii() || self.casemapping == Casemapping::Precis;
        may_be && name::is_nick(&format!("a{ascii}"), usize::MAX, Casemapping::Ascii)
    }
}

fn says(sigil: &str, name: &str) -> Option<Says> {
    let is_it = |(_, letter, names, _): &&(&str, char, &[&str], Says)| {
        let mut letters = name.chars();
        letters.next() == Some(*letter) && letters.next().is_none()
            || names.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    KNOWN.iter().filter(|(other, ..)| *other == sigil).find(is_it).map(|(.., says)| *says)
}

/// Whether a text is an address of IPv6, or a mask of such.
fn is_ipv6(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '*' | '?' | '.' | '/');
    text.matches(':').count() > 1 && text.chars().all(is_part)
}

fn nothing_like(what: &str) -> String {
    format!("did not come: no entry says here what {what:?} says there")
}

#[cfg(test)]
mod tests {
    use ircv3::Casemapping;

    use super::read;

    const FINGERPRINT: &str = "ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12";

    #[test]
    fn entries_of_other_servers_say_here_what_they_said_there_or_do_not_come() {
        let some = |text: &str| Ok::<String, &str>(text.to_owned());
        let (z, right) = (format!("~S:{FINGERPRINT}"), format!("z:{FINGERPRINT}"));
        for (given, right) in [
            // Masks.
            ("*!*@x", some("*!*@x")),
            ("bob", some("bob!*@*")),
            ("x.example", some("*!*@x.example")),
            ("2001:db8::*", some("*!*@2001:db8::*")),
            ("a:b::1", some("*!*@a:b::1")),
            ("bob!u@2001:db8::1", some("bob!u@2001:db8::1")),
            ("!u@2001:db8::1", some("*!u@2001:db8::1")),
            ("*!*@10.0.0.0/8", some("*!*@10.0.0.0/8")),
            ("~bob!*@*", Err("no nick here is like \"~bob\"")),
            ("b\u{f6}b!*@*", Err("no nick here")),
            // InspIRCd.
            ("R:bob", some("a:bob")),
            ("account:b*", some("a:b*")),
            ("R:x!*@*", Err("\"x!*@*\" is no account here")),
            ("R:", Err("\"\" is no account here")),
            ("U:*!*@y", some("U:*!*@y")),
            ("unauthed:", some("U:*!*@*")),
            ("j:@#a", some("j:@#a")),
            ("channel:#a*", some("j:#a*")),
            ("j:a", Err("\"a\" is no channel here")),
            ("r:*bot?script*", some("r:*bot?script*")),
            ("Realname:A_Name", some("r:A_Name")),
            ("z:d41d8cd98f00b204e9800998ecf8427e", Err("is not SHA-256")),
            ("z:*", some("z:*")),
            ("m:R:bob", some("m:a:bob")),
            ("mute:*!*@y", some("m:*!*@y")),
            ("N:bob!*@*", some("n:bob!*@*")),
            ("nonick:account:bob", some("n:a:bob")),
            ("m:N:bob", Err("about one thing")),
            ("a:bob!*@*+A_Name", Err("no entry says here what \"a:\" says there")),
            ("n:class", Err("what \"n:\" says")),
            ("!R:bob", Err("what \"!R:\" says")),
            ("s:irc.example", Err("what \"s:\" says")),
            ("m:s:irc.example", Err("what \"s:\" says")),
            ("country:DE", Err("what \"country:\" says")),
            // UnrealIRCd.
            ("~a:bob", some("a:bob")),
            ("~account:0", some("U:*!*@*")),
            ("~account:*", some("a:*")),
            ("~c:+#a", some("j:+#a")),
            ("~r:*Stupid_bot*", some("r:*Stupid_bot*")),
            (&z, some(&right)),
            ("~q:~a:bob", some("m:a:bob")),
            ("~quiet:*!*@y", some("m:*!*@y")),
            ("~n:*!*@y", some("n:*!*@y")),
            ("~j:*!*@y", Err("what \"~j:\" says")),
            ("~q:~j:*!*@y", Err("what \"~j:\" says")),
            ("~m:moderated:*!*@y", Err("what \"~m:\" says")),
            ("~t:60:*!*@y", Err("it ends after a time")),
            ("~time:60:~quiet:*!*@y", Err("it ends after a time")),
            ("~R:bob", Err("what \"~R:\" says")),
            // Charybdis and Solanum.
            ("$a:bob", some("a:bob")),
            ("$A:bob", some("a:bob")),
            ("$a", some("a:*")),
            ("$~a", some("U:*!*@*")),
            ("$~a:bob", Err("what \"$~a:\" says")),
            ("$c:#a", some("j:#a")),
            ("$j:#a", Err("what \"$j:\" says")),
            ("$r:A?Name", some("r:A?Name")),
            ("$g:*!*@y", some("U:*!*@y")),
            ("$g:*!*@y#A?Name", Err("more than a mask")),
            ("$m:*!*@y", some("*!*@y")),
            ("$x:*!*@y#A?Name", Err("what \"$x:\" says")),
            ("$z", Err("what \"$z\" says")),
            ("$&:~a,m:*!*@y", Err("what \"$&:\" says")),
            ("mute:$a:bob", some("m:a:bob")),
        ] {
            let read = read(given, Casemapping::Rfc1459).map(|entry| entry.mask);
            match (&read, right) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{given}: {why}"),
                (Ok(mask), Ok(right)) => assert_eq!(*mask, right, "{given}"),
                (_, right) => panic!("{given} is {read:?}, and {right:?} would be right"),
            }
        }
    }

    #[test]
    fn a_ban_that_sends_elsewhere_stays_a_ban_and_says_where_it_sent() {
        for (given, right) in [
            ("*!*@y$#a", "*!*@y"),
            ("$a:bob$#a", "a:bob"),
            ("bob!*@y#a", "bob!*@y"),
            ("~f:#a:*!*@y", "*!*@y"),
            ("~forward:#a:~account:bob", "a:bob"),
        ] {
            let entry = read(given, Casemapping::Rfc1459);
            let entry = entry.map(|entry| (entry.mask, entry.forward));
            assert_eq!(entry, Ok((right.to_owned(), Some("#a".to_owned()))), "{given}");
        }
    }
}
