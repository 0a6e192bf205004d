//! Anope 2.0 and 2.1: `anope.db` of `db_flatfile`, objects of lines `OBJECT type`, `ID number`, `DATA key value` and
//! `END`.
//!
//! Of 2.0 are names that stand for accounts (`nc`, `founder`); 2.1 has their numbers (`ncid`, `founderid`). Times are
//! seconds since 1970.

use std::collections::BTreeMap;

use ircv3::mode::Rank;

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};

/// The names of modes in Anope, and their letters here.
const MODES: &[(&str, char)] = &[
    ("NOEXTERNAL", 'n'),
    ("TOPIC", 't'),
    ("INVITE", 'i'),
    ("MODERATED", 'm'),
    ("SECRET", 's'),
    // A private channel is what other servers call one that LIST does not show.
    ("PRIVATE", 's'),
    ("NOCTCP", 'C'),
    ("BLOCKCOLOR", 'c'),
    ("STRIPCOLOR", 'S'),
    ("REGISTEREDONLY", 'R'),
    ("REGMODERATED", 'M'),
    ("NONICK", 'N'),
    ("AUDITORIUM", 'u'),
    ("OPMODERATED", 'U'),
    ("DELAYEDJOIN", 'D'),
    ("SSL", 'z'),
];
/// Modes that a server sets by itself, or that Roost has no need of.
const OF_THE_SERVER: &[&str] = &["REGISTERED", "PERM", "OPERONLY"];
/// Privileges that are ranks, with the level that has them where a channel does not say.
const LEVELS: &[(&str, i64, Rank)] = &[
    ("AUTOOWNER", 9999, Rank::Admin),
    ("AUTOPROTECT", 10, Rank::Admin),
    ("AUTOOP", 5, Rank::Op),
    ("AUTOHALFOP", 4, Rank::Halfop),
    ("AUTOVOICE", 3, Rank::Voice),
];

/// The keys and values of an object.
type Object = BTreeMap<String, String>;

/// Reads the file.
///
/// # Errors
/// There is no object of it in there.
pub fn parse(bytes: &[u8]) -> Result<Found, String> {
    let mut found = Found::default();
    let objects = objects(bytes, &mut found.notes);
    if objects.is_empty() {
        return Err("there is no OBJECT in it; Anope's database of db_flatfile is data/anope.db".to_owned());
    }
    let of = |kind: &'static str| objects.iter().filter(move |(other, _)| *other == kind).map(|(_, object)| object);

    // Accounts by what they are called elsewhere: their names, whatever the case, and their numbers.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for object in of("NickCore") {
        let name = get(object, "display");
        let at = found.accounts.len();
        let password = match get(object, "pass") {
            "" => Password::None,
            pass => Foreign::anope(pass).into(),
        };
        found.accounts.push(Account {
            name: name.to_owned(),
            registered: time(object, "registered").or_else(|| time(object, "time_registered")),
            email: Some(get(object, "email").to_owned()).filter(|email| !email.is_empty()),
            password,
            certificates: get(object, "cert").split_whitespace().map(str::to_owned).collect(),
            unverified: get(object, "UNCONFIRMED") == "1",
            ..Account::default()
        });
        places.insert(name.to_lowercase(), at);
        if let Some(id) = object.get("uniqueid") {
            places.insert(number_key(id), at);
        }
    }
    let place = |object: &Object, by_id: &str, by_name: &str| {
        let id = object.get(by_id).map(|id| number_key(id));
        let name = object.get(by_name).map(|name| name.to_lowercase());
        id.into_iter().chain(name).find_map(|key| places.get(&key).copied())
    };
    // Whose a nick is, for what names nicks.
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    for object in of("NickAlias") {
        let nick = get(object, "nick");
        let Some(at) = place(object, "ncid", "nc") else {
            found.notes.push(format!("the nick {nick:?} is of no account"));
            continue;
        };
        owners.insert(nick.to_lowercase(), at);
        let account = &mut found.accounts[at];
        let vhost = get(object, "vhost_host");
        if !vhost.is_empty() && account.vhost.is_none() {
            account.vhost = Some(vhost.to_owned());
        }
        account.unverified |= get(object, "UNCONFIRMED") == "1";
        if nick.to_lowercase() != account.name.to_lowercase() {
            account.nicks.push(nick.to_owned());
        } else if account.registered.is_none() {
            account.registered = time(object, "registered").or_else(|| time(object, "time_registered"));
        }
    }
    for object in of("NSSuspendInfo") {
        let nick = get(object, "nick");
        match owners.get(&nick.to_lowercase()).or_else(|| places.get(&nick.to_lowercase())) {
            Some(at) => found.accounts[*at].suspended = Some(suspension(object)),
            None => found.notes.push(format!("{nick:?} is suspended, and no nick of the file")),
        }
    }
    channels(&objects, &mut found, &place);
    Ok(found)
}

/// A key for the number of an account, which no name is like.
fn number_key(id: &str) -> String {
    format!("# {id}")
}

fn objects(bytes: &[u8], notes: &mut Vec<String>) -> Vec<(String, Object)> {
    let mut all = Vec::new();
    let mut open: Option<(String, Object)> = None;
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match (word, &mut open) {
            ("OBJECT", _) => {
                if let Some((kind, _)) = open.take() {
                    notes.push(format!("line {}: the {kind} before it has no END, and did not come", at + 1));
                }
                open = Some((rest.to_owned(), Object::new()));
            }
            ("DATA", Some((_, object))) => {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                object.insert(key.to_owned(), value.to_owned());
            }
            ("ID", Some(_)) | ("", _) => {}
            ("END", Some(_)) => all.extend(open.take()),
            _ => notes.push(format!(
                "line {}: {:?} is nothing that is known here",
                at + 1,
                ircv3::message::cut(&line, 40)
            )),
        }
    }
    if let Some((kind, _)) = open {
        notes.push(format!("the file ends in the midst of a {kind}, which did not come"));
    }
    all
}

fn get<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).map_or("", String::as_str)
}

/// Seconds since 1970; 0 and what is no number are none.
fn seconds(object: &Object, key: &str) -> Option<u64> {
    get(object, key).trim().parse().ok().filter(|time| *time > 0 && *time < 1 << 40)
}

/// The same in milliseconds.
fn time(object: &Object, key: &str) -> Option<u64> {
    Some(seconds(object, key)? * 1000)
}

fn suspension(object: &Object) -> Suspension {
    Suspension {
        reason: get(object, "reason").to_owned(),
        setter: get(object, "by").to_owned(),
        set_at: seconds(object, "time").unwrap_or(0),
        expires: seconds(object, "expires"),
    }
}

fn channels(objects: &[(String, Object)], found: &mut Found, place: &dyn Fn(&Object, &str, &str) -> Option<usize>) {
    let of = |kind: &'static str| objects.iter().filter(move |(other, _)| *other == kind).map(|(_, object)| object);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut levels: Vec<BTreeMap<&str, i64>> = Vec::new();
    let mut keeps_modes: Vec<bool> = Vec::new();
    for object in of("ChannelInfo") {
        let name = get(object, "name");
        // A founder that has no account is named all the same.
        let person = |by_id: &str, by_name: &str| match place(object, by_id, by_name) {
            Some(at) => Some(found.accounts[at].name.clone()),
            None => object.get(by_name).or_else(|| object.get(by_id)).cloned(),
        };
        let founders = [person("founderid", "founder"), person("successorid", "successor")];
        let topic = Some(get(object, "last_topic")).filter(|topic| !topic.is_empty()).map(|topic| {
            let set_at = seconds(object, "last_topic_time").unwrap_or(0);
            (topic.to_owned(), get(object, "last_topic_setter").to_owned(), set_at)
        });
        let mut channel = Channel {
            name: name.to_owned(),
            founders: founders.into_iter().flatten().collect(),
            registered: time(object, "registered").or_else(|| time(object, "time_registered")),
            topic,
            ..Channel::default()
        };
        let last = get(object, "last_modes");
        for word in last.split_whitespace() {
            // 2.0 has `KEY,value`, 2.1 `+KEY,time,setter,value`.
            let (mode, value, by, at) = match word.strip_prefix('+') {
                Some(word) => {
                    let mut parts = word.splitn(4, ',');
                    let mode = parts.next().unwrap_or("");
                    let (at, by) = (parts.next().and_then(|at| at.parse().ok()), parts.next().unwrap_or(""));
                    (mode, parts.next().unwrap_or(""), by, at)
                }
                None => {
                    let (mode, value) = word.split_once(',').unwrap_or((word, ""));
                    (mode, value, "", None)
                }
            };
            set(&mut channel, &mut found.notes, mode, value, by, at.unwrap_or(0));
        }
        if last.is_empty() {
            channel.modes = "nt".to_owned();
        }
        // Pairs of a privilege and its level.
        let own: Vec<&str> = get(object, "levels").split_whitespace().collect();
        let own = own.as_chunks::<2>().0.iter().filter_map(|[name, level]| Some((*name, level.parse().ok()?)));
        levels.push(own.collect());
        keeps_modes.push(!last.is_empty());
        places.insert(name.to_lowercase(), found.channels.len());
        found.channels.push(channel);
    }
    let channel_of = |object: &Object| places.get(&get(object, "ci").to_lowercase()).copied();

    for object in of("ModeLock") {
        let Some(at) = channel_of(object).filter(|at| !keeps_modes[*at]) else { continue };
        let (mode, value) = (get(object, "name"), get(object, "param"));
        let channel = &mut found.channels[at];
        if get(object, "set") == "1" {
            let (by, at) = (get(object, "setter"), seconds(object, "created").unwrap_or(0));
            set(channel, &mut found.notes, mode, value, by, at);
        } else if let Some((_, letter)) = MODES.iter().find(|(name, _)| *name == mode) {
            channel.modes.retain(|other| other != *letter);
        }
    }
    for object in of("ChanAccess") {
        let (who, data) = (get(object, "mask"), get(object, "data"));
        let Some(at) = channel_of(object) else {
            found
                .notes
                .push(format!("{who:?} is something in {:?}, which is no channel of the file", get(object, "ci")));
            continue;
        };
        let rank = match get(object, "provider") {
            "access/flags" => flags(data),
            "access/xop" => xop(data),
            // Older files do not say.
            _ => data.trim().parse().map_or_else(|_| xop(data), |level| leveled(level, &levels[at])),
        };
        let channel = &mut found.channels[at];
        match rank {
            Some(rank) if !who.contains(['*', '?', '!', '@', '#']) => channel.access.push((who.to_owned(), rank)),
            Some(rank) => found.notes.push(format!(
                "channel {:?}: {who:?}, who had +{}, is no account, and did not come",
                channel.name,
                rank.letter()
            )),
            None => {
                found.notes.push(format!("channel {:?}: {who:?} has {data:?}, which is no rank here", channel.name))
            }
        }
    }
    for object in of("AutoKick") {
        let Some(at) = channel_of(object) else { continue };
        let mask = match place(object, "ncid", "nc") {
            Some(account) => format!("account:{}", found.accounts[account].name),
            None => get(object, "mask").to_owned(),
        };
        let set_at = seconds(object, "addtime").unwrap_or(0);
        found.channels[at].lists.push(('b', mask, get(object, "creator").to_owned(), set_at));
    }
    for object in of("CSSuspendInfo") {
        let Suspension { reason, setter, set_at, expires } = suspension(object);
        let name = object.get("chan").or_else(|| object.get("ci")).cloned().unwrap_or_default();
        found.purges.push(Purge { name, reason, setter, set_at, expires });
    }
}

fn set(channel: &mut Channel, notes: &mut Vec<String>, mode: &str, value: &str, by: &str, at: u64) {
    let list = match mode {
        "BAN" => Some('b'),
        "EXCEPT" => Some('e'),
        "INVITEOVERRIDE" => Some('I'),
        _ => None,
    };
    if let Some(list) = list {
        channel.lists.push((list, value.to_owned(), by.to_owned(), at));
        return;
    }
    let known = MODES.iter().find(|(name, _)| *name == mode);
    match (mode, known) {
        ("KEY", _) => channel.key = Some(value.to_owned()),
        ("LIMIT", _) => channel.limit = value.parse().ok(),
        ("REDIRECT", _) => channel.forward = Some(value.to_owned()),
        (_, Some((_, letter))) => channel.modes.push(*letter),
        _ if OF_THE_SERVER.contains(&mode) => {}
        _ => notes.push(format!("channel {:?}: the mode {mode:?} did not come", channel.name)),
    }
}

/// The rank of one of the lists of XOP.
fn xop(list: &str) -> Option<Rank> {
    Some(match list.trim() {
        "QOP" | "SOP" => Rank::Admin,
        "AOP" => Rank::Op,
        "HOP" => Rank::Halfop,
        "VOP" => Rank::Voice,
        _ => return None,
    })
}

/// The rank of a level in a channel.
fn leveled(level: i64, own: &BTreeMap<&str, i64>) -> Option<Rank> {
    let has = |(name, usual, rank): &(&str, i64, Rank)| {
        let needed = own.get(name).copied().unwrap_or(*usual);
        (needed > 0 && level >= needed).then_some(*rank)
    };
    LEVELS.iter().filter_map(has).max()
}

/// The rank of flags, as Anope's example configuration names them.
fn flags(flags: &str) -> Option<Rank> {
    let rank = |flag: char| {
        Some(match flag {
            'F' | 'q' | 'Q' | 'a' | 'A' => Rank::Admin,
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
    fn a_database_of_2_0_is_read() {
        let found = read(
            "OBJECT NickCore\nID 1\nDATA display Alice\nDATA pass md5:c8dae1c50e092f3d877192fc555b1dcf\nDATA email a@example.org\n\
             DATA cert ab cd\nEND\n\
             OBJECT NickCore\nDATA display bob\nDATA pass \nDATA UNCONFIRMED 1\nEND\n\
             OBJECT NickAlias\nDATA nick alice\nDATA time_registered 1600000000\nDATA nc Alice\nDATA vhost_host a.example\nEND\n\
             OBJECT NickAlias\nDATA nick al\nDATA time_registered 1600000001\nDATA nc Alice\nEND\n\
             OBJECT NickAlias\nDATA nick bob\nDATA time_registered 1600000002\nDATA nc bob\nEND\n\
             OBJECT NSSuspendInfo\nDATA nick al\nDATA by boss\nDATA reason spam and more\nDATA time 5\nDATA expires 0\nEND\n\
             OBJECT ChannelInfo\nDATA name #Room\nDATA founder Alice\nDATA successor bob\nDATA time_registered 1600000000\n\
             DATA last_topic hello there\nDATA last_topic_setter al\nDATA last_topic_time 1600000003\n\
             DATA last_modes NOEXTERNAL TOPIC KEY,a,b LIMIT,7 REDIRECT,#b REGISTERED FLOOD,3:4 BAN,*!*@x\nDATA levels AUTOOP 7 AUTOVOICE -1\nEND\n\
             OBJECT ChannelInfo\nDATA name #old\nDATA founder Alice\nEND\n\
             OBJECT ModeLock\nDATA ci #old\nDATA set 1\nDATA name SECRET\nDATA param \nEND\n\
             OBJECT ModeLock\nDATA ci #old\nDATA set 0\nDATA name TOPIC\nDATA param \nEND\n\
             OBJECT ModeLock\nDATA ci #Room\nDATA set 1\nDATA name SECRET\nDATA param \nEND\n\
             OBJECT ChanAccess\nDATA provider access/xop\nDATA ci #room\nDATA mask bob\nDATA data SOP\nEND\n\
             OBJECT ChanAccess\nDATA provider access/access\nDATA ci #room\nDATA mask carol\nDATA data 5\nEND\n\
             OBJECT ChanAccess\nDATA provider access/access\nDATA ci #room\nDATA mask dave\nDATA data 7\nEND\n\
             OBJECT ChanAccess\nDATA provider access/flags\nDATA ci #room\nDATA mask eve\nDATA data fVv\nEND\n\
             OBJECT ChanAccess\nDATA provider access/access\nDATA ci #room\nDATA mask *!*@x\nDATA data 9999\nEND\n\
             OBJECT ChanAccess\nDATA provider access/access\nDATA ci #room\nDATA mask frank\nDATA data 3\nEND\n\
             OBJECT AutoKick\nDATA ci #room\nDATA nc bob\nDATA creator al\nDATA addtime 9\nEND\n\
             OBJECT AutoKick\nDATA ci #room\nDATA mask *!*@y\nDATA creator al\nDATA addtime 9\nEND\n\
             OBJECT CSSuspendInfo\nDATA chan #shut\nDATA by boss\nDATA reason spam\nDATA time 5\nDATA expires 9\nEND\n",
        );
        let [alice, bob] = found.accounts.as_slice() else { panic!("{:?}", found.accounts) };
        assert_eq!(
            (&*alice.name, alice.registered, alice.nicks.join(" ")),
            ("Alice", Some(1_600_000_000_000), "al".into())
        );
        assert!(matches!(alice.password, Password::Hash(_)) && !alice.unverified);
        assert_eq!((alice.certificates.len(), alice.vhost.as_deref()), (2, Some("a.example")));
        let suspended = alice.suspended.as_ref().unwrap();
        assert_eq!((&*suspended.reason, suspended.set_at, suspended.expires), ("spam and more", 5, None));
        assert!(bob.unverified && bob.password == Password::None && bob.suspended.is_none());
        let [room, old] = found.channels.as_slice() else { panic!("{:?}", found.channels) };
        assert_eq!((room.founders.join(" "), &*room.modes), ("Alice bob".into(), "nt"));
        assert_eq!((room.key.as_deref(), room.limit, room.forward.as_deref()), (Some("a,b"), Some(7), Some("#b")));
        assert_eq!(room.topic, Some(("hello there".into(), "al".into(), 1_600_000_003)));
        assert_eq!(old.modes, "ns");
        let access: Vec<(&str, Rank)> = room.access.iter().map(|(who, rank)| (&**who, *rank)).collect();
        // The level of AUTOOP is 7 here.
        let expected = [("bob", Rank::Admin), ("carol", Rank::Halfop), ("dave", Rank::Op), ("eve", Rank::Voice)];
        assert_eq!(access, expected);
        let masks: Vec<&str> = room.lists.iter().map(|(_, mask, ..)| &**mask).collect();
        assert_eq!(masks, ["*!*@x", "account:bob", "*!*@y"]);
        assert_eq!((&*found.purges[0].name, found.purges[0].expires), ("#shut", Some(9)));
        for part in ["FLOOD", "*!*@x", "frank"] {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", found.notes);
        }
    }

    #[test]
    fn a_database_of_2_1_names_accounts_by_their_numbers() {
        let found = read(
            "OBJECT NickCore\nDATA display alice\nDATA uniqueid 77\nDATA pass bcrypt:x\nDATA registered 1600000000\nEND\n\
             OBJECT NickAlias\nDATA nick al\nDATA ncid 77\nEND\n\
             OBJECT NickAlias\nDATA nick stray\nDATA ncid 78\nEND\n\
             OBJECT ChannelInfo\nDATA name #a\nDATA founderid 77\nDATA registered 1600000000\n\
             DATA last_modes +NOEXTERNAL +KEY,5,al,sesame +BAN,6,al!a@b,*!*@x\nEND\n\
             OBJECT AutoKick\nDATA ci #a\nDATA ncid 77\nEND\n",
        );
        assert_eq!(
            (found.accounts[0].nicks.join(""), found.accounts[0].registered),
            ("al".into(), Some(1_600_000_000_000))
        );
        let room = &found.channels[0];
        assert_eq!((room.founders.join(""), room.key.as_deref(), &*room.modes), ("alice".into(), Some("sesame"), "n"));
        assert_eq!(room.lists[0], ('b', "*!*@x".to_owned(), "al!a@b".to_owned(), 6));
        assert_eq!(room.lists[1].1, "account:alice");
        assert!(found.notes[0].contains("stray"));
    }

    #[test]
    fn lines_that_are_none_are_named_and_the_rest_comes() {
        let found = read(
            "DATA lost 1\nOBJECT NickCore\nDATA display half\nOBJECT NickCore\r\nDATA display alice\r\nDATA\nWHAT\nEND\r\n\
             OBJECT ChannelInfo\nDATA name #cut\n",
        );
        assert_eq!(found.accounts.len(), 1);
        assert_eq!((&*found.accounts[0].name, found.channels.len()), ("alice", 0));
        for part in
            ["line 1: \"DATA lost 1\"", "line 4: the NickCore before it", "line 7: \"WHAT\"", "ends in the midst"]
        {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", found.notes);
        }
        assert!(parse(b"").is_err() && parse(b"END\n").is_err());
    }
}
