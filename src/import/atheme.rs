//! Atheme: `services.db` of `opensex`, a row a line, its cells with spaces between them.
//!
//! `DBV` comes first and says how accounts are written; `MU` is an account, `MN` a nick of one, `MCFP` a certificate,
//! `MC` a channel, `CA` who has which flags in it, and `MDU`, `MDC` more of an account or a channel by keys. Times are
//! seconds since 1970.

use std::collections::{BTreeMap, BTreeSet};

use ircv3::message::cut;
use ircv3::mode::Rank;

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};
use crate::limits;

/// The first versions that number accounts, and that write flags as letters.
const NUMBERED: u32 = 10;
const LETTERED: u32 = 8;
/// Modes that are locked, by their bits, whatever server it was for; other bits depend on that.
const BITS: &[(u32, char)] = &[(0x1, 'i'), (0x8, 'm'), (0x10, 'n'), (0x40, 's'), (0x80, 's'), (0x100, 't')];
/// Bits that say nothing of modes without parameters: key, limit, registered.
const OTHER_BITS: u32 = 0x2 | 0x4 | 0x200;

/// Flags of accounts: letter, bit in older files, and name; without a name where it is taken, or is so here for everybody
/// (nobody is shown addresses, and nicks are their owners').
const ACCOUNT_FLAGS: &[(char, u32, &str)] = &[
    ('h', 0x1, ""),
    ('n', 0x2, "NEVEROP"),
    ('o', 0x4, "NOOP"),
    ('W', 0x8, ""),
    ('s', 0x10, ""),
    ('m', 0x40, "NOMEMO"),
    ('e', 0x80, "EMAILMEMOS"),
    ('C', 0x100, ""),
    ('b', 0x400, "NOBURSTLOGIN"),
    ('E', 0x800, ""),
    ('P', 0x1000, "PRIVMSG"),
    ('p', 0x2000, "PRIVATE"),
    ('Q', 0x4000, "QUIETCHG"),
    ('g', 0x8000, "NOGREET"),
    ('r', 0x10000, "REGNOLIMIT"),
    ('N', 0x20000, "NEVERGROUP"),
    ('S', 0x80000, ""),
    ('l', 0x100000, "LOGINNOLIMIT"),
];
/// Those of channels.
const CHANNEL_FLAGS: &[(char, u32, &str)] = &[
    ('h', 0x1, ""),
    ('o', 0x2, ""),
    ('l', 0x4, "LIMITFLAGS"),
    ('z', 0x8, "SECURE"),
    ('v', 0x10, "VERBOSE"),
    ('r', 0x20, ""),
    ('k', 0x40, ""),
    ('e', 0x80, "VERBOSE_OPS"),
    ('t', 0x100, "TOPICLOCK"),
    ('g', 0x200, "GUARD"),
    ('p', 0x400, "PRIVATE"),
    ('n', 0x800, "NOSYNC"),
    ('f', 0x1000, "ANTIFLOOD"),
    ('a', 0x2000, "PUBACL"),
];

/// Rows that are about the file itself.
const OF_THE_FILE: &[&str] = &["", "GRVER", "DBV", "CF", "TS", "LUID"];
/// Keys by which Atheme notes something for itself.
const NOTED: &[&str] =
    &["private:host:", "private:login", "private:channelts", "private:lastlogin", "private:doenforce"];

/// The cells of a row, and what was wrong with them.
struct Cells<'a>(Option<&'a str>, Vec<String>);

impl<'a> Cells<'a> {
    /// The next; empty where there is none.
    fn word(&mut self) -> &'a str {
        let Some(rest) = self.0 else { return "" };
        let (word, rest) = rest.split_once(' ').map_or((rest, None), |(word, rest)| (word, Some(rest)));
        self.0 = rest;
        word
    }

    /// All that is left.
    fn rest(&mut self) -> &'a str {
        self.0.take().unwrap_or("")
    }

    fn wrong(&mut self, what: &str, given: &str, right: &str) {
        let given = cut(given, limits::IMPORT_SHOWN);
        self.1.push(format!("{what} is {given:?}, and did not come: {right} would be right"));
    }

    /// Seconds since 1970; what is none is 0.
    fn time(&mut self, what: &str) -> u64 {
        let given = self.word();
        self.time_of(what, given)
    }

    fn time_of(&mut self, what: &str, given: &str) -> u64 {
        let time = given.parse().ok().filter(|time| *time < 1 << 40);
        if time.is_none() && !given.is_empty() {
            self.wrong(what, given, "a number of seconds since 1970");
        }
        time.unwrap_or(0)
    }

    /// A number; what is none is 0.
    fn number(&mut self, what: &str) -> u32 {
        let given = self.word();
        let number = given.parse();
        if number.is_err() && !given.is_empty() {
            self.wrong(what, given, "a number");
        }
        number.unwrap_or(0)
    }
}

#[derive(Default)]
struct Reading {
    version: u32,
    found: Found,
    /// Where accounts and channels are, by name, whatever the case.
    accounts: BTreeMap<String, usize>,
    channels: BTreeMap<String, usize>,
    /// Founders of groups.
    groups: BTreeMap<String, Vec<String>>,
    /// Since when each founder of a channel is one, by the channel's place.
    founders: BTreeMap<usize, Vec<(u64, String)>>,
    /// Who comes after them, by the flag `S`.
    successors: BTreeMap<usize, Vec<String>>,
    suspended: BTreeMap<usize, Suspension>,
    closed: BTreeMap<usize, Purge>,
    /// Channels that only those come into who are something there.
    restricted: BTreeSet<usize>,
    /// Those who are less than halfop in a channel, or are no accounts: mask, since when, and who said so.
    guests: BTreeMap<usize, Vec<(String, u64, String)>>,
    /// Flags that did not come: of what, and how many have them.
    flags: BTreeMap<String, usize>,
    /// Rows of which nothing comes, by kind: the first line, and how many.
    others: BTreeMap<String, (usize, usize)>,
}

/// Reads the file.
///
/// # Errors
/// It does not say which version it is.
pub fn parse(bytes: &[u8]) -> Result<Found, String> {
    let mut reading = Reading::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        let mut cells = Cells(Some(&line), Vec::new());
        let kind = cells.word();
        if kind == "DBV" {
            let version = cells.word().parse().ok().filter(|version| (1..=12).contains(version));
            reading.version = version.ok_or("its version (DBV) is none of 1 to 12, which are known")?;
        } else if reading.version == 0 && kind.len() == 2 && kind != "CF" {
            return Err(format!("line {}: there is no row DBV before it; is this Atheme's services.db?", at + 1));
        } else {
            let mut wrong = reading.row(kind, &mut cells, at + 1).err().into_iter().collect::<Vec<_>>();
            wrong.append(&mut cells.1);
            reading.found.notes.extend(wrong.into_iter().map(|why| format!("line {}: {why}", at + 1)));
        }
    }
    if reading.version == 0 {
        return Err("there is no row DBV in it; Atheme's database of opensex is services.db".to_owned());
    }
    Ok(reading.end())
}

impl Reading {
    fn row(&mut self, kind: &str, cells: &mut Cells, line: usize) -> Result<(), String> {
        match kind {
            "MU" => return self.account(cells),
            "MN" => {
                let (at, nick) = (self.account_named(cells.word())?, cells.word());
                if nick.to_lowercase() != self.found.accounts[at].name.to_lowercase() {
                    self.found.accounts[at].nicks.push(nick.to_owned());
                }
            }
            "MCFP" => {
                let (at, fingerprint) = (self.account_named(cells.word())?, cells.word());
                self.found.accounts[at].certificates.push(fingerprint.to_owned());
            }
            "MDU" => {
                let (at, key, value) = (self.account_named(cells.word())?, cells.word(), cells.rest());
                match key {
                    "private:usercloak" => self.found.accounts[at].vhost = Some(value.to_owned()),
                    "private:freeze:freezer" => self.suspended.entry(at).or_default().setter = value.to_owned(),
                    "private:freeze:reason" => self.suspended.entry(at).or_default().reason = value.to_owned(),
                    "private:freeze:timestamp" => {
                        self.suspended.entry(at).or_default().set_at = cells.time_of(key, value);
                    }
                    _ => {
                        let of = format!("account {:?}", self.found.accounts[at].name);
                        return self.other(&of, key, value, line);
                    }
                }
            }
            "MC" => return self.channel(cells),
            "MDC" => {
                let (at, key, value) = (self.channel_named(cells.word())?, cells.word(), cells.rest());
                return self.channel_key(at, key, value, cells, line);
            }
            "GACL" => {
                let (group, user, flags) = (cells.word(), cells.word(), cells.word());
                if flags.contains('F') {
                    self.groups.entry(group.to_lowercase()).or_default().push(user.to_owned());
                } else {
                    self.count(kind, line);
                }
            }
            "CA" => return self.access(cells),
            kind if OF_THE_FILE.contains(&kind) => {}
            kind => self.count(kind, line),
        }
        Ok(())
    }

    fn count(&mut self, kind: &str, line: usize) {
        let kind = cut(kind, limits::IMPORT_SHOWN).to_owned();
        self.others.entry(kind).or_insert((line, 0)).1 += 1;
    }

    /// Names more of an account or a channel that does not come, or counts what nobody has written.
    fn other(&mut self, of: &str, key: &str, value: &str, line: usize) -> Result<(), String> {
        if let Some(noted) = NOTED.iter().find(|noted| key.starts_with(*noted)) {
            self.count(noted, line);
            return Ok(());
        }
        Err(format!("{of}: its {key} is {:?}, and did not come", cut(value, limits::IMPORT_SHOWN)))
    }

    /// Which flags something has, by the letters of the table; those that do not come are counted.
    fn flags(&mut self, given: &str, table: &[(char, u32, &str)], what: &str) -> String {
        let letters: String = match (self.version, given.parse::<u32>()) {
            (..LETTERED, Ok(bits)) => table.iter().filter(|(_, bit, _)| bits & bit != 0).map(|row| row.0).collect(),
            _ => given.chars().filter(|letter| *letter != '+').collect(),
        };
        for letter in letters.chars() {
            let name = match table.iter().find(|row| row.0 == letter) {
                Some((.., "")) => continue,
                Some((.., name)) => (*name).to_owned(),
                None => format!("{letter:?}"),
            };
            *self.flags.entry(format!("the flag {name} of {what}")).or_default() += 1;
        }
        letters
    }

    fn account(&mut self, cells: &mut Cells) -> Result<(), String> {
        if self.version >= NUMBERED {
            cells.word();
        }
        let (name, pass, email) = (cells.word(), cells.word(), cells.word());
        let registered = cells.time("its time of registration");
        let (_last_login, flags) = (cells.word(), cells.word());
        if name.is_empty() {
            return Err("an account without a name".to_owned());
        }
        if self.accounts.contains_key(&name.to_lowercase()) {
            return Err(format!("another account {name:?}"));
        }
        let flags = self.flags(flags, ACCOUNT_FLAGS, "accounts");
        let password = match pass {
            _ if flags.contains('S') => Password::None,
            "" | "*" => Password::None,
            pass => Foreign::atheme(pass, flags.contains('C')).into(),
        };
        let holds = flags.contains('h').then(|| ("noexpire", "on".to_owned()));
        self.accounts.insert(name.to_lowercase(), self.found.accounts.len());
        self.found.accounts.push(Account {
            name: name.to_owned(),
            registered: Some(registered * 1000).filter(|time| *time > 0),
            email: Some(email.to_owned()).filter(|email| !matches!(email.as_str(), "" | "*" | "noemail")),
            password,
            unverified: flags.contains('W'),
            settings: holds.into_iter().collect(),
            ..Account::default()
        });
        Ok(())
    }

    fn account_named(&self, name: &str) -> Result<usize, String> {
        self.accounts.get(&name.to_lowercase()).copied().ok_or_else(|| format!("there is no account {name:?}"))
    }

    fn channel(&mut self, cells: &mut Cells) -> Result<(), String> {
        let (name, registered) = (cells.word(), cells.time("its time of registration"));
        if self.channels.contains_key(&name.to_lowercase()) {
            return Err(format!("another channel {name:?}"));
        }
        let (_used, flags) = (cells.word(), cells.word());
        let flags = self.flags(flags, CHANNEL_FLAGS, "channels");
        let (on, off) = (cells.number("the figure of its modes"), cells.number("the figure of modes that it has not"));
        let limit = cells.number("its limit");
        let key = cells.word();
        let mut modes = "nt".to_owned();
        let mut known = OTHER_BITS;
        for (bit, letter) in BITS {
            known |= bit;
            if on & bit != 0 {
                modes.push(*letter);
            } else if off & bit != 0 {
                modes.retain(|other| other != *letter);
            }
        }
        if on & !known != 0 {
            let bits = on & !known;
            self.found
                .notes
                .push(format!("channel {name:?}: modes that depend on the server ({bits:#x}) did not come"));
        }
        let holds = flags.contains('h').then(|| ("noexpire", "on".to_owned()));
        let drops_topic = (!flags.contains('k')).then(|| ("keeptopic", "off".to_owned()));
        if flags.contains('o') {
            let text = "its flag NOOP did not come: who has a rank in it is given that on joining";
            self.found.notes.push(format!("channel {name:?}: {text}"));
        }
        if flags.contains('r') {
            modes.push('i');
            self.restricted.insert(self.found.channels.len());
            let text = "it was RESTRICTED to those who are something in it, so it is invite-only (+i), with them as exceptions \
                        (+I)";
            self.found.notes.push(format!("channel {name:?}: {text}"));
        }
        self.channels.insert(name.to_lowercase(), self.found.channels.len());
        self.found.channels.push(Channel {
            name: name.to_owned(),
            registered: Some(registered * 1000).filter(|time| *time > 0),
            modes,
            key: Some(key.to_owned()).filter(|key| !matches!(key.as_str(), "" | "*")),
            limit: Some(limit).filter(|limit| *limit > 0),
            settings: holds.into_iter().chain(drops_topic).collect(),
            ..Channel::default()
        });
        Ok(())
    }

    fn channel_named(&self, name: &str) -> Result<usize, String> {
        self.channels.get(&name.to_lowercase()).copied().ok_or_else(|| format!("there is no channel {name:?}"))
    }

    fn channel_key(&mut self, at: usize, key: &str, value: &str, cells: &mut Cells, line: usize) -> Result<(), String> {
        let channel = &mut self.found.channels[at];
        let topic = &mut channel.topic;
        let closed = || Purge { name: channel.name.clone(), ..Purge::default() };
        match key {
            "private:topic:text" => topic.get_or_insert_default().0 = value.to_owned(),
            "private:topic:setter" => topic.get_or_insert_default().1 = value.to_owned(),
            "private:topic:ts" => topic.get_or_insert_default().2 = cells.time_of(key, value),
            // Some servers call a forward `f`, some `L`; both letters have other meanings, but not with a channel.
            "private:mlockext" => {
                let forward = value.split(' ').filter_map(|word| word.strip_prefix(['f', 'L']));
                channel.forward = forward.filter(|name| name.starts_with('#')).map(str::to_owned).next();
                let is_forward = |word: &str| word.strip_prefix(['f', 'L']).is_some_and(|name| name.starts_with('#'));
                let left = value.split(' ').filter(|word| !word.is_empty() && !is_forward(word));
                let left = left.collect::<Vec<_>>().join(" ");
                if !left.is_empty() {
                    return Err(format!("channel {:?}: the modes {left:?} did not come", channel.name));
                }
            }
            "private:close:closer" => self.closed.entry(at).or_insert_with(closed).setter = value.to_owned(),
            "private:close:reason" => self.closed.entry(at).or_insert_with(closed).reason = value.to_owned(),
            "private:close:timestamp" => {
                self.closed.entry(at).or_insert_with(closed).set_at = cells.time_of(key, value);
            }
            "url" | "email" => channel.settings.push((if key == "url" { "url" } else { "email" }, value.to_owned())),
            "description" => channel.settings.push(("description", value.to_owned())),
            "private:entrymsg" => channel.settings.push(("entrymsg", value.to_owned())),
            _ => {
                let of = format!("channel {:?}", channel.name);
                return self.other(&of, key, value, line);
            }
        }
        Ok(())
    }

    fn access(&mut self, cells: &mut Cells) -> Result<(), String> {
        let (at, who, flags) = (self.channel_named(cells.word())?, cells.word(), cells.word());
        let (set_at, setter) = (cells.time("since when"), cells.word());
        let name = self.found.channels[at].name.clone();
        // What has a colon is an extended ban; what begins with `!` is a group.
        let is_mask = who.contains(':') || who.contains(['*', '?', '!', '@', '$']) && !who.starts_with('!');
        if flags.contains('b') {
            let mask = if is_mask { who.to_owned() } else { format!("account:{who}") };
            self.found.channels[at].lists.push(('b', mask, setter.to_owned(), set_at));
        }
        if flags.contains('e') && is_mask {
            self.found.channels[at].lists.push(('e', who.to_owned(), setter.to_owned(), set_at));
        }
        if flags.contains('F') && !is_mask {
            let founders = match who.starts_with('!') {
                true => self.groups.get(&who.to_lowercase()).cloned().unwrap_or_default(),
                false => vec![who.to_owned()],
            };
            if founders.is_empty() {
                return Err(format!("channel {name:?}: the group {who:?} has no founder"));
            }
            let channel = &mut self.found.channels[at];
            channel.access.extend(founders.iter().map(|founder| (founder.clone(), Rank::Founder)));
            self.founders.entry(at).or_default().extend(founders.into_iter().map(|founder| (set_at, founder)));
            return Ok(());
        }
        // Halfops come in by their rank.
        if !flags.contains('b') && (is_mask || rank(flags) < Some(Rank::Halfop)) && !who.starts_with('!') {
            let mask = if is_mask { who.to_owned() } else { format!("account:{who}") };
            self.guests.entry(at).or_default().push((mask, set_at, setter.to_owned()));
        }
        let succeeds = flags.contains('S') && !is_mask && !who.starts_with('!');
        if succeeds {
            self.successors.entry(at).or_default().push(who.to_owned());
        }
        match rank(flags) {
            Some(rank) if !is_mask && !who.starts_with('!') => {
                self.found.channels[at].access.push((who.to_owned(), rank));
                Ok(())
            }
            Some(rank) => {
                let letter = rank.letter();
                Err(format!("channel {name:?}: {who:?}, which had +{letter}, is no account, and did not come"))
            }
            None if succeeds || flags.contains(['b', 'e']) => Ok(()),
            None => Err(format!("channel {name:?}: {who:?} has the flags {flags:?}, of which none is a rank here")),
        }
    }

    fn end(mut self) -> Found {
        for (at, mut founders) in self.founders {
            // The one who has been founder for longest has the channel.
            founders.sort_by_key(|(since, _)| *since);
            self.found.channels[at].founders = founders.into_iter().map(|(_, founder)| founder).collect();
        }
        for (at, successors) in self.successors {
            self.found.channels[at].founders.extend(successors);
        }
        for (at, suspended) in self.suspended {
            self.found.accounts[at].suspended = Some(suspended);
        }
        for at in self.restricted {
            let guests = self.guests.remove(&at).unwrap_or_default().into_iter();
            self.found.channels[at].lists.extend(guests.map(|(mask, set_at, setter)| ('I', mask, setter, set_at)));
        }
        for channel in &mut self.found.channels {
            channel.topic = channel.topic.take().filter(|(text, ..)| !text.is_empty());
        }
        self.found.purges.extend(self.closed.into_values());
        let others = self.others.into_iter();
        let told = others
            .map(|(kind, (first, count))| format!("{kind}: {count} rows did not come, the first in line {first}"));
        self.found.notes.extend(told);
        let flags = self.flags.iter();
        self.found.notes.extend(flags.map(|(flag, count)| format!("{flag}: {count} did not come")));
        self.found
    }
}

/// What flags come to here: who may alter the channel is admin.
fn rank(flags: &str) -> Option<Rank> {
    let flags = flags.strip_prefix('+').unwrap_or(flags);
    let rank = |flag: char| {
        Some(match flag {
            'q' | 'a' | 's' => Rank::Admin,
            'o' | 'O' => Rank::Op,
            'h' | 'H' => Rank::Halfop,
            'v' | 'V' => Rank::Voice,
            _ => return None,
        })
    };
    flags.chars().filter_map(rank).max()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::mode::Rank;

    use super::parse;
    use crate::import::{Found, Password};

    #[track_caller]
    fn read(file: &str) -> Found {
        parse(file.as_bytes()).unwrap()
    }

    #[test]
    fn successors_are_next_in_line_after_all_founders() {
        let found = read(
            "DBV 12\nMC #a 1600000000 0 + 0 0 0 \nCA #a carol +S 5 al\nCA #a bob +F 7 al\nCA #a alice +F 6 al\n\
             CA #a !team +S 5 al\n",
        );
        assert_eq!(found.channels[0].founders, ["alice", "bob", "carol"]);
        assert!(found.notes.len() == 1 && found.notes[0].contains("!team"), "{:?}", found.notes);
    }

    #[test]
    fn what_is_banned_by_an_extended_ban_is_no_account() {
        let found = read(
            "DBV 12\nMU AAAAAAAAB bob sesame noemail 1600000002 0 + default\nMC #a 1600000000 0 + 0 0 0 \n\
             CA #a R:bob +b 5 al\nCA #a $a:bob +b 5 al\nCA #a bob +b 5 al\nCA #a ~a:bob +o 5 al\n",
        );
        let masks: Vec<_> = found.channels[0].lists.iter().map(|(_, mask, ..)| &**mask).collect();
        assert_eq!(masks, ["R:bob", "$a:bob", "account:bob"]);
        assert!(found.notes.iter().any(|note| note.contains("\"~a:bob\", which had +o, is no account")));
    }

    #[test]
    fn a_database_is_read() {
        let found = read(
            "GRVER 1\nDBV 12\nCF +vVoOtsriRfhHAFqabe\nTS 1600000000\n\
             MU AAAAAAAAB Alice $rawmd5$c8dae1c50e092f3d877192fc555b1dcf a@example.org 1600000000 1600000001 +sC default\n\
             MDU Alice private:usercloak a.example\nMDU alice private:freeze:freezer boss\n\
             MDU alice private:freeze:reason spam and more\nMDU alice private:freeze:timestamp 1600000009\n\
             MN Alice alice 1600000000 0\nMN Alice al 1600000001 0\nMCFP Alice ab\n\
             MU AAAAAAAAC bob sesame noemail 1600000002 0 +sW default\n\
             MU AAAAAAAAD carol $1$x$y * 1600000002 0 +C default\n\
             MU AAAAAAAAE dave * * 1600000002 0 +S default\n\
             GACL !team carol +F\n\
             MC #Room 1600000000 1600000001 +v 137 256 7 key\n\
             CA #room bob +AORafhioqrstv 1600000005 Alice\nCA #room alice +AFR 1600000006 Alice\n\
             CA #room !team +F 1600000004 Alice\nCA #room carol +V 1600000005 Alice\nCA #room *!*@x +b 1600000007 Alice\n\
             CA #room bob +b 1600000007 Alice\nCA #room *!*@y +o 1600000007 Alice\nCA #room dave +A 1600000007 Alice\n\
             CA #room *!*@z +e 1600000007 *\nCA #none bob +o 1 Alice\n\
             MDC #Room private:topic:setter al\nMDC #Room private:topic:text hello there\nMDC #Room private:topic:ts 1600000008\n\
             MDC #Room private:mlockext j3:4 f#b\n\
             MC #shut 1600000000 0 + 272 0 0 \nMDC #shut private:close:closer boss\nMDC #shut private:close:reason spam\n\
             NAM old\nKL 1 * * 0 0 x y\n",
        );
        let [alice, bob, carol, dave] = found.accounts.as_slice() else { panic!("{:?}", found.accounts) };
        assert_eq!(
            (&*alice.name, alice.registered, alice.nicks.join(" ")),
            ("Alice", Some(1_600_000_000_000), "al".into())
        );
        assert!(matches!(alice.password, Password::Hash(_)));
        assert_eq!((alice.certificates.join(""), alice.vhost.as_deref()), ("ab".into(), Some("a.example")));
        let suspended = alice.suspended.as_ref().unwrap();
        assert_eq!(
            (&*suspended.reason, &*suspended.setter, suspended.set_at),
            ("spam and more", "boss", 1_600_000_009)
        );
        assert!(bob.unverified && bob.password == Password::Plain("sesame".into()) && bob.email.is_none());
        assert!(matches!(&carol.password, Password::Unknown(why) if why.contains("\"1\"")));
        assert_eq!(dave.password, Password::None);
        let [room, shut] = found.channels.as_slice() else { panic!("{:?}", found.channels) };
        // Whoever has been founder for longest comes first, here the founder of the group.
        assert_eq!(room.founders, ["carol", "alice"]);
        assert_eq!((&*room.modes, room.limit, room.key.as_deref()), ("nims", Some(7), Some("key")));
        assert_eq!(room.topic, Some(("hello there".into(), "al".into(), 1_600_000_008)));
        assert_eq!(room.forward.as_deref(), Some("#b"));
        let access: Vec<(&str, Rank)> = room.access.iter().map(|(who, rank)| (&**who, *rank)).collect();
        let founder = Rank::Founder;
        assert_eq!(access, [("bob", Rank::Admin), ("alice", founder), ("carol", founder), ("carol", Rank::Voice)]);
        let lists: Vec<(char, &str)> = room.lists.iter().map(|(mode, mask, ..)| (*mode, &**mask)).collect();
        assert_eq!(lists, [('b', "*!*@x"), ('b', "account:bob"), ('e', "*!*@z")]);
        assert_eq!((&*shut.modes, shut.key.as_deref(), &*found.purges[0].reason), ("ntnt", None, "spam"));
        for part in ["*!*@y", "dave", "#none"] {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", found.notes);
        }
    }

    #[test]
    fn a_channel_without_the_flag_that_keeps_its_topic_keeps_none_here() {
        for [version, keeps, other] in [["12", "+kv", "+v"], ["7", "80", "16"]] {
            let found = read(&format!("DBV {version}\nMC #on 1 1 {keeps} 0 0 0 \nMC #off 1 1 {other} 0 0 0 \n"));
            let [on, off] = &found.channels[..] else { panic!("{:?}", found.channels) };
            let none = ("keeptopic", "off".to_owned());
            assert_eq!((&on.settings[..], &off.settings[..]), (&[][..], &[none][..]));
        }
    }

    #[test]
    fn flags_of_accounts_and_channels_come_or_are_named_and_a_restricted_channel_is_not_open() {
        for [head, channel] in [["12", "+hrvpo", "+hnsE"], ["7", "1075", "2067"]].map(|[version, channel, account]| {
            let uid = if version == "12" { "AAAAAAAAB " } else { "" };
            [
                format!("DBV {version}\nMU {uid}dave sesame * 1600000000 0 {account} default\n"),
                format!("MC #dave 1600000000 1600000001 {channel} 0 0 0 \n"),
            ]
        }) {
            let found = read(&format!(
                "{head}{channel}CA #dave dave +AF 1 dave\nCA #dave bob +V 2 dave\nCA #dave hal +Hh 3 dave\n\
                 CA #dave al +A 4 dave\nCA #dave eve +b 5 dave\nCA #dave *!*@x +v 6 dave\n"
            ));
            let on = ("noexpire", "on".to_owned());
            assert_eq!(
                (found.accounts[0].settings.first(), found.channels[0].settings.first()),
                (Some(&on), Some(&on))
            );
            let room = &found.channels[0];
            assert!(room.modes.contains('i'), "{room:?}");
            let invited: Vec<_> =
                room.lists.iter().filter(|(mode, ..)| *mode == 'I').map(|(_, mask, ..)| &**mask).collect();
            assert_eq!(invited, ["account:bob", "account:al", "*!*@x"]);
            for part in [
                "channel \"#dave\": it was RESTRICTED",
                "channel \"#dave\": its flag NOOP",
                "the flag VERBOSE of channels: 1 did not come",
                "the flag PRIVATE of channels: 1 did not come",
                "the flag NEVEROP of accounts: 1 did not come",
            ] {
                assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:#?}", found.notes);
            }
        }
        let found = read("DBV 12\nMC #a 1 1 +x 0 0 0 \nCA #a bob +V 2 dave\n");
        assert!(found.channels[0].lists.is_empty() && !found.channels[0].modes.contains('i'));
        assert_eq!(found.notes, ["the flag 'x' of channels: 1 did not come"]);
    }

    #[test]
    fn older_databases_have_accounts_without_numbers_and_flags_in_figures() {
        let found =
            read("DBV 7\nMU alice $rawmd5$c8dae1c50e092f3d877192fc555b1dcf a@b.c 5 6 256 default\nMU bob x - 5 6 8\n");
        assert!(matches!(found.accounts[0].password, Password::Hash(_)) && !found.accounts[0].unverified);
        assert!(found.accounts[1].unverified && found.accounts[1].password == Password::Plain("x".into()));
    }

    #[test]
    fn rows_that_are_none_are_named_and_the_rest_comes() {
        let found = read(
            "DBV 12\nMU\nMU A alice x y z z z\nMU B ALICE x\nMN\nMN ghost g\nCA\nMDC #x y\nMC\nMCFP alice\n\nMC #a 1 1 +\nMC #A 1 1 +\nX\n",
        );
        assert_eq!((found.accounts.len(), found.accounts[0].registered), (1, None));
        for part in [
            "line 2: an account without a name",
            "line 4: another account",
            "line 6: there is no account \"ghost\"",
            "line 13: another channel \"#A\"",
        ] {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", found.notes);
        }
        for (file, part) in [("", "no row DBV"), ("DBV 99\n", "none of 1 to 12"), ("MU alice\nDBV 12\n", "line 1: ")] {
            assert!(parse(file.as_bytes()).unwrap_err().contains(part), "{file:?}");
        }
    }

    #[test]
    fn cells_that_are_none_and_rows_of_which_nothing_comes_are_named() {
        let found = read(
            "DBV 12\nMU A alice x y notatime 0 +C default\nMDU alice private:freeze:timestamp never\nMDU alice website x.example\n\
             MDU alice private:host:vhost a.example\nMC #a 1600000000 0 + banana 0 minus key\n\
             MDC #a url https://a.example/\nMDC #a private:entrymsg welcome all\nMDC #a private:topic:ts banana\n\
             MDC #a private:mlockext j3:4\nMDC #a private:antiflood on\nCA #a alice +F notatime alice\nWAT is this\nWAT else\n",
        );
        let settings: Vec<_> = found.channels[0].settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(settings, ["keeptopic=off", "url=https://a.example/", "entrymsg=welcome all"]);
        for part in [
            "line 2: its time of registration is \"notatime\", and did not come: a number of seconds since 1970",
            "line 3: private:freeze:timestamp is \"never\"",
            "line 4: account \"alice\": its website is \"x.example\", and did not come",
            "private:host:: 1 rows did not come, the first in line 5",
            "line 6: the figure of its modes is \"banana\", and did not come: a number would be right",
            "line 6: its limit is \"minus\"",
            "line 9: private:topic:ts is \"banana\"",
            "line 10: channel \"#a\": the modes \"j3:4\" did not come",
            "line 11: channel \"#a\": its private:antiflood is \"on\", and did not come",
            "line 12: since when is \"notatime\"",
            "WAT: 2 rows did not come, the first in line 13",
        ] {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:#?}", found.notes);
        }
    }
}
