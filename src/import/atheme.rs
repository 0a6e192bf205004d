//! Atheme: `services.db` of `opensex`, a row a line, its cells with spaces between them.
//!
//! `DBV` comes first and says how accounts are written; `MU` is an account, `MN` a nick of one, `MCFP` a certificate,
//! `MC` a channel, `CA` who has which flags in it, and `MDU`, `MDC` more of an account or a channel by keys. Times are
//! seconds since 1970.

use std::collections::BTreeMap;

use ircv3::mode::Rank;

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};

/// The first versions that number accounts, and that write flags as letters.
const NUMBERED: u32 = 10;
const LETTERED: u32 = 8;
/// Modes that are locked, by their bits, whatever server it was for; other bits depend on that.
const BITS: &[(u32, char)] = &[(0x1, 'i'), (0x8, 'm'), (0x10, 'n'), (0x40, 's'), (0x80, 's'), (0x100, 't')];
/// Bits that say nothing of modes without parameters: key, limit, registered.
const OTHER_BITS: u32 = 0x2 | 0x4 | 0x200;

/// The cells of a row.
struct Cells<'a>(Option<&'a str>);

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

    /// Seconds since 1970; what is none is 0.
    fn time(&mut self) -> u64 {
        self.word().parse().ok().filter(|time| *time < 1 << 40).unwrap_or(0)
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
    suspended: BTreeMap<usize, Suspension>,
    closed: BTreeMap<usize, Purge>,
}

/// Reads the file.
///
/// # Errors
/// It does not say which version it is.
pub fn parse(bytes: &[u8]) -> Result<Found, String> {
    let mut reading = Reading::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        let mut cells = Cells(Some(&line));
        let kind = cells.word();
        if kind == "DBV" {
            let version = cells.word().parse().ok().filter(|version| (1..=12).contains(version));
            reading.version = version.ok_or("its version (DBV) is none of 1 to 12, which are known")?;
        } else if reading.version == 0 && kind.len() == 2 && kind != "CF" {
            return Err(format!("line {}: there is no row DBV before it; is this Atheme's services.db?", at + 1));
        } else if let Err(why) = reading.row(kind, &mut cells) {
            reading.found.notes.push(format!("line {}: {why}", at + 1));
        }
    }
    if reading.version == 0 {
        return Err("there is no row DBV in it; Atheme's database of opensex is services.db".to_owned());
    }
    Ok(reading.end())
}

impl Reading {
    fn row(&mut self, kind: &str, cells: &mut Cells) -> Result<(), String> {
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
                        self.suspended.entry(at).or_default().set_at = value.parse().unwrap_or(0);
                    }
                    _ => {}
                }
            }
            "MC" => self.channel(cells),
            "MDC" => {
                let (at, key, value) = (self.channel_named(cells.word())?, cells.word(), cells.rest());
                self.channel_key(at, key, value);
            }
            "GACL" => {
                let (group, user, flags) = (cells.word(), cells.word(), cells.word());
                if flags.contains('F') {
                    self.groups.entry(group.to_lowercase()).or_default().push(user.to_owned());
                }
            }
            "CA" => return self.access(cells),
            _ => {}
        }
        Ok(())
    }

    fn account(&mut self, cells: &mut Cells) -> Result<(), String> {
        if self.version >= NUMBERED {
            cells.word();
        }
        let (name, pass, email) = (cells.word(), cells.word(), cells.word());
        let (registered, _last_login, flags) = (cells.time(), cells.time(), cells.word());
        if name.is_empty() {
            return Err("an account without a name".to_owned());
        }
        if self.accounts.contains_key(&name.to_lowercase()) {
            return Err(format!("another account {name:?}"));
        }
        let flag = |letter: char, bit: u32| match self.version {
            LETTERED.. => flags.contains(letter),
            _ => flags.parse().is_ok_and(|flags: u32| flags & bit != 0),
        };
        let password = match pass {
            _ if flag('S', 0x80000) => Password::None,
            "" | "*" => Password::None,
            pass => Foreign::atheme(pass, flag('C', 0x100)).into(),
        };
        self.accounts.insert(name.to_lowercase(), self.found.accounts.len());
        self.found.accounts.push(Account {
            name: name.to_owned(),
            registered: Some(registered * 1000).filter(|time| *time > 0),
            email: Some(email.to_owned()).filter(|email| !matches!(email.as_str(), "" | "*" | "noemail")),
            password,
            unverified: flag('W', 0x8),
            ..Account::default()
        });
        Ok(())
    }

    fn account_named(&self, name: &str) -> Result<usize, String> {
        self.accounts.get(&name.to_lowercase()).copied().ok_or_else(|| format!("there is no account {name:?}"))
    }

    fn channel(&mut self, cells: &mut Cells) {
        let (name, registered) = (cells.word(), cells.time());
        let (_used, _flags) = (cells.word(), cells.word());
        let mut number = || cells.word().parse::<u32>().unwrap_or(0);
        let (on, off, limit) = (number(), number(), number());
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
        self.channels.insert(name.to_lowercase(), self.found.channels.len());
        self.found.channels.push(Channel {
            name: name.to_owned(),
            registered: Some(registered * 1000).filter(|time| *time > 0),
            modes,
            key: Some(key.to_owned()).filter(|key| !matches!(key.as_str(), "" | "*")),
            limit: Some(limit).filter(|limit| *limit > 0),
            ..Channel::default()
        });
    }

    fn channel_named(&self, name: &str) -> Result<usize, String> {
        self.channels.get(&name.to_lowercase()).copied().ok_or_else(|| format!("there is no channel {name:?}"))
    }

    fn channel_key(&mut self, at: usize, key: &str, value: &str) {
        let channel = &mut self.found.channels[at];
        let topic = &mut channel.topic;
        let closed = || Purge { name: channel.name.clone(), ..Purge::default() };
        match key {
            "private:topic:text" => topic.get_or_insert_default().0 = value.to_owned(),
            "private:topic:setter" => topic.get_or_insert_default().1 = value.to_owned(),
            "private:topic:ts" => topic.get_or_insert_default().2 = value.parse().unwrap_or(0),
            // Some servers call a forward `f`, some `L`; both letters have other meanings, but not with a channel.
            "private:mlockext" => {
                let forward = value.split(' ').filter_map(|word| word.strip_prefix(['f', 'L']));
                channel.forward = forward.filter(|name| name.starts_with('#')).map(str::to_owned).next();
            }
            "private:close:closer" => self.closed.entry(at).or_insert_with(closed).setter = value.to_owned(),
            "private:close:reason" => self.closed.entry(at).or_insert_with(closed).reason = value.to_owned(),
            "private:close:timestamp" => {
                self.closed.entry(at).or_insert_with(closed).set_at = value.parse().unwrap_or(0);
            }
            _ => {}
        }
    }

    fn access(&mut self, cells: &mut Cells) -> Result<(), String> {
        let (at, who, flags) = (self.channel_named(cells.word())?, cells.word(), cells.word());
        let (set_at, setter) = (cells.time(), cells.word());
        let name = self.found.channels[at].name.clone();
        let is_mask = who.contains(['*', '?', '!', '@', '$']) && !who.starts_with('!');
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
        match rank(flags) {
            Some(rank) if !is_mask && !who.starts_with('!') => {
                self.found.channels[at].access.push((who.to_owned(), rank));
                Ok(())
            }
            Some(rank) => {
                let letter = rank.letter();
                Err(format!("channel {name:?}: {who:?}, which had +{letter}, is no account, and did not come"))
            }
            None if flags.contains(['b', 'e']) => Ok(()),
            None => Err(format!("channel {name:?}: {who:?} has the flags {flags:?}, of which none is a rank here")),
        }
    }

    fn end(mut self) -> Found {
        for (at, mut founders) in self.founders {
            // The one who has been founder for longest has the channel.
            founders.sort_by_key(|(since, _)| *since);
            self.found.channels[at].founders = founders.into_iter().map(|(_, founder)| founder).collect();
        }
        for (at, suspended) in self.suspended {
            self.found.accounts[at].suspended = Some(suspended);
        }
        for channel in &mut self.found.channels {
            channel.topic = channel.topic.take().filter(|(text, ..)| !text.is_empty());
        }
        self.found.purges.extend(self.closed.into_values());
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
    fn older_databases_have_accounts_without_numbers_and_flags_in_figures() {
        let found =
            read("DBV 7\nMU alice $rawmd5$c8dae1c50e092f3d877192fc555b1dcf a@b.c 5 6 256 default\nMU bob x - 5 6 8\n");
        assert!(matches!(found.accounts[0].password, Password::Hash(_)) && !found.accounts[0].unverified);
        assert!(found.accounts[1].unverified && found.accounts[1].password == Password::Plain("x".into()));
    }

    #[test]
    fn rows_that_are_none_are_named_and_the_rest_comes() {
        let found =
            read("DBV 12\nMU\nMU A alice x y z z z\nMU B ALICE x\nMN\nMN ghost g\nCA\nMDC #x y\nMC\nMCFP alice\n\nX\n");
        assert_eq!((found.accounts.len(), found.accounts[0].registered), (1, None));
        for part in
            ["line 2: an account without a name", "line 4: another account", "line 6: there is no account \"ghost\""]
        {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", found.notes);
        }
        for (file, part) in [("", "no row DBV"), ("DBV 99\n", "none of 1 to 12"), ("MU alice\nDBV 12\n", "line 1: ")] {
            assert!(parse(file.as_bytes()).unwrap_err().contains(part), "{file:?}");
        }
    }
}
