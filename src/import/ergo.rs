//! Ergo: its database `ircd.db`, and the JSON that `ergo importdb` takes and Ergo's converters for Anope and Atheme
//! write.
//!
//! The database is a log of buntdb: commands in the form of Redis' protocol, `SET key value` and `DEL key`, the last
//! of a key being what holds. Times in it are nanoseconds since 1970, or as in RFC 3339 in what is JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ircv3::mode::Rank;
use ircv3::time::parse_time;
use serde_json::Value;

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};

/// The versions of the schema whose channels are as they are read here.
const SCHEMAS: std::ops::RangeInclusive<u64> = 23..=24;
/// The key under which a database has its version.
const VERSION_KEY: &str = "0 AP9VDdQKv3n1mI5ZYY3bVw";

/// Reads either file.
///
/// # Errors
/// It is neither.
pub fn parse(bytes: &[u8]) -> Result<Found, String> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => json(bytes),
        Some(b'*') => Ok(database(&log(bytes)?)),
        _ => Err("this is neither Ergo's database (ircd.db) nor the JSON that `ergo importdb` takes".to_owned()),
    }
}

/// A value under a key, whose case does not count, as in Go.
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(key).or_else(|| object.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    get(value, key)?.as_str().filter(|text| !text.is_empty())
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    let all = get(value, key).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    get(value, key).and_then(Value::as_object).into_iter().flatten()
}

/// Milliseconds of nanoseconds; what is before 1970 is not known.
fn millis(nanos: i64) -> Option<u64> {
    u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(|nanos| nanos / 1_000_000)
}

fn nanos(value: &Value, key: &str) -> Option<u64> {
    millis(get(value, key)?.as_i64()?)
}

/// Milliseconds of a time as in RFC 3339, with `Z`; Go's zero time is none.
fn instant(value: &Value, key: &str) -> Option<u64> {
    parse_time(string(value, key)?).filter(|time| *time > 0)
}

fn json(bytes: &[u8]) -> Result<Found, String> {
    let all: Value = serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON: {error}"))?;
    let version = get(&all, "version").and_then(Value::as_u64);
    if version != Some(1) {
        let version = version.map_or("none".to_owned(), |version| version.to_string());
        return Err(format!("its \"version\" is {version}, and 1 is the one that there is"));
    }
    let hashes = match string(&all, "source") {
        Some("anope") => Foreign::anope,
        Some("atheme") => |text: &str| Foreign::atheme(text, true),
        Some("ergo" | "oragono") => Foreign::ergo,
        other => return Err(format!("its \"source\" is {:?}; anope, atheme and ergo are known", other.unwrap_or(""))),
    };
    let mut found = Found::default();
    for (key, user) in entries(&all, "users") {
        let name = string(user, "name").unwrap_or(key);
        found.accounts.push(Account {
            name: name.to_owned(),
            registered: nanos(user, "registeredAt"),
            email: string(user, "email").map(str::to_owned),
            password: string(user, "hash").map_or(Password::None, |hash| hashes(hash).into()),
            certificates: strings(user, "certfps"),
            nicks: strings(user, "additionalNicks"),
            vhost: string(user, "vhost").map(str::to_owned),
            ..Account::default()
        });
    }
    for (key, given) in entries(&all, "channels") {
        let name = string(given, "name").unwrap_or(key);
        let topic = string(given, "topic").map(|text| {
            let set_at = nanos(given, "topicSetAt").unwrap_or(0) / 1000;
            (text.to_owned(), string(given, "topicSetBy").unwrap_or("").to_owned(), set_at)
        });
        let mut channel = Channel {
            name: name.to_owned(),
            founders: string(given, "founder").map(str::to_owned).into_iter().collect(),
            registered: nanos(given, "registeredAt"),
            topic,
            modes: string(given, "modes").unwrap_or("").to_owned(),
            key: string(given, "key").map(str::to_owned),
            limit: limit(given, "limit"),
            forward: string(given, "forward").map(str::to_owned),
            ..Channel::default()
        };
        channel.founders.extend(string(given, "successor").map(str::to_owned));
        for (account, letter) in entries(given, "amode") {
            let letter = letter.as_str().and_then(|letter| letter.chars().next());
            access(&mut channel, &mut found.notes, account, letter);
        }
        found.channels.push(channel);
    }
    Ok(found)
}

fn limit(value: &Value, key: &str) -> Option<u32> {
    get(value, key)?.as_i64().and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0)
}

fn access(channel: &mut Channel, notes: &mut Vec<String>, account: &str, letter: Option<char>) {
    match letter.and_then(Rank::by_letter) {
        Some(rank) => channel.access.push((account.to_owned(), rank)),
        None => notes.push(format!("channel {:?}: {account:?} has a rank there that is none here", channel.name)),
    }
}

/// Keys and values of a log of buntdb.
fn log(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut rest = bytes;
    let mut all = BTreeMap::new();
    let broken = |rest: &[u8]| format!("byte {}: this is no command of buntdb's log", bytes.len() - rest.len());
    while !rest.is_empty() {
        let before = rest;
        let Some(parts) = command(&mut rest) else {
            // What a crash has cut off was never there.
            if is_cut(before) {
                break;
            }
            return Err(broken(before));
        };
        match parts.as_slice() {
            [verb, key, value, ..] if verb.eq_ignore_ascii_case(b"set") => {
                all.insert(text(key).into_owned(), value.to_vec());
            }
            [verb, key] if verb.eq_ignore_ascii_case(b"del") => drop(all.remove(&*text(key))),
            [verb] if verb.eq_ignore_ascii_case(b"flushdb") => all.clear(),
            _ => return Err(broken(before)),
        }
    }
    Ok(all)
}

/// The next command, `*2`, and for each part `$length` and the part, each with CR LF behind it.
fn command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let count = number(rest, b'*')?;
    if count == 0 || count > 8 {
        return None;
    }
    let mut parts = Vec::new();
    for _ in 0..count {
        let length = number(rest, b'$')?;
        let (part, after) = rest.split_at_checked(length)?;
        *rest = after.strip_prefix(b"\r\n")?;
        parts.push(part);
    }
    Some(parts)
}

fn number(rest: &mut &[u8], mark: u8) -> Option<usize> {
    let after = rest.strip_prefix(&[mark])?;
    let end = after.iter().take(16).position(|byte| *byte == b'\r')?;
    let (digits, after) = after.split_at(end);
    *rest = after.strip_prefix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether this may be the beginning of a command that has no end.
fn is_cut(rest: &[u8]) -> bool {
    let mut rest = rest;
    let Some(count) = number(&mut rest, b'*') else { return rest.len() < 16 && !rest[1..].contains(&b'\n') };
    for _ in 0..count.min(8) {
        let Some(length) = number(&mut rest, b'$') else {
            return rest.len() < 16 && (rest.is_empty() || rest[0] == b'$') && !rest.contains(&b'\n');
        };
        match rest.get(length..) {
            Some(after) if after.starts_with(b"\r\n") => rest = &after[2..],
            Some(after) => return after.is_empty() || after == b"\r",
            None => return true,
        }
    }
    false
}

fn database(all: &BTreeMap<String, Vec<u8>>) -> Found {
    let mut found = Found::default();
    let value = |key: String| all.get(&key).map(|value| text(value).into_owned());
    let version = all.get(VERSION_KEY).or_else(|| all.get("db.version")).map(|version| text(version));
    let known =
        version.as_ref().and_then(|version| version.parse().ok()).is_some_and(|version| SCHEMAS.contains(&version));
    if !known {
        found.notes.push(format!(
            "the database has schema {}, and {} to {} are known: where something is missing, start Ergo 2.12 or later \
             once, which renews it",
            version.as_deref().unwrap_or("of an unknown number"),
            SCHEMAS.start(),
            SCHEMAS.end()
        ));
    }
    for key in all.keys() {
        if let Some(folded) = key.strip_prefix("account.exists ") {
            let of = |what: &str| value(format!("account.{what} {folded}"));
            found.accounts.push(account(folded, of, &mut found.notes));
        } else if key.starts_with("1 ") {
            match serde_json::from_slice(&all[key]) {
                Ok(given) => channel(&given, &mut found),
                Err(error) => found.notes.push(format!("{key}: this is no channel: {error}")),
            }
        } else if key.starts_with("2 ") {
            let Ok(given) = serde_json::from_slice::<Value>(&all[key]) else {
                found.notes.push(format!("{key}: this is no closed channel"));
                continue;
            };
            found.purges.push(Purge {
                name: string(&given, "Name").unwrap_or("").to_owned(),
                reason: string(&given, "Reason").unwrap_or("").to_owned(),
                setter: string(&given, "Oper").unwrap_or("").to_owned(),
                set_at: instant(&given, "PurgedAt").unwrap_or(0) / 1000,
                expires: None,
            });
        }
    }
    found
}

fn account(folded: &str, of: impl Fn(&str) -> Option<String>, notes: &mut Vec<String>) -> Account {
    let name = of("name").unwrap_or_else(|| folded.to_owned());
    let mut object = |what: &str| {
        let given = of(what)?;
        let value = serde_json::from_str::<Value>(&given);
        value.map_err(|error| notes.push(format!("account {name:?}: its {what} cannot be read: {error}"))).ok()
    };
    let credentials = object("credentials").unwrap_or_default();
    let settings = object("settings").unwrap_or_default();
    let suspended = object("suspended").map(|given| {
        let set_at = instant(&given, "TimeCreated").unwrap_or(0) / 1000;
        let lasts = get(&given, "Duration").and_then(Value::as_u64).filter(|lasts| *lasts > 0);
        Suspension {
            reason: string(&given, "Reason").unwrap_or("").to_owned(),
            setter: string(&given, "OperName").unwrap_or("").to_owned(),
            set_at,
            expires: lasts.map(|lasts| set_at + lasts / 1_000_000_000),
        }
    });
    let vhost = object("vhost");
    let vhost = vhost.as_ref().and_then(|vhost| string(vhost, "ApprovedVHost")).map(str::to_owned);
    let hash = string(&credentials, "PassphraseHash").map(|hash| {
        let bytes = STANDARD.decode(hash).map_err(|_| "its password is not in base64".to_owned())?;
        let hash = text(&bytes);
        match get(&credentials, "Version").and_then(Value::as_i64) {
            Some(-1) => Foreign::atheme(&hash, true),
            Some(-2) => Foreign::anope(&hash),
            _ => Foreign::ergo(&hash),
        }
    });
    let scram = [("Salt", "salt"), ("StoredKey", "stored key"), ("ServerKey", "server key")];
    let scram: Option<Vec<&str>> = scram.iter().map(|(key, _)| string(&credentials, key)).collect();
    let rounds = get(&credentials, "Iters").and_then(Value::as_u64).unwrap_or(0);
    let scram =
        scram.and_then(|parts| format!("SCRAM-SHA-256${rounds}:{}${}:{}", parts[0], parts[1], parts[2]).parse().ok());
    Account {
        registered: of("registered.time").and_then(|time| millis(time.trim().parse().ok()?)),
        email: string(&settings, "Email").map(str::to_owned),
        password: hash.map_or(Password::None, Password::from),
        scram: scram.into_iter().collect(),
        certificates: strings(&credentials, "Certfps"),
        nicks: of("additionalnicks")
            .unwrap_or_default()
            .split(',')
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .collect(),
        unverified: of("verified").is_none(),
        suspended,
        vhost,
        name,
    }
}

fn channel(given: &Value, found: &mut Found) {
    let name = string(given, "Name").unwrap_or("").to_owned();
    let letter = |value: &Value| value.as_u64().and_then(|letter| char::from_u32(u32::try_from(letter).ok()?));
    let topic = string(given, "Topic").map(|text| {
        let set_at = instant(given, "TopicSetTime").unwrap_or(0) / 1000;
        (text.to_owned(), string(given, "TopicSetBy").unwrap_or("").to_owned(), set_at)
    });
    let mut channel = Channel {
        founders: string(given, "Founder").map(str::to_owned).into_iter().collect(),
        registered: instant(given, "RegisteredAt"),
        topic,
        modes: get(given, "Modes").and_then(Value::as_array).into_iter().flatten().filter_map(letter).collect(),
        key: string(given, "Key").map(str::to_owned),
        limit: limit(given, "UserLimit"),
        forward: string(given, "Forward").map(str::to_owned),
        name,
        ..Channel::default()
    };
    for (account, mode) in entries(given, "AccountToUMode") {
        access(&mut channel, &mut found.notes, account, letter(mode));
    }
    for (key, mode) in [("Bans", 'b'), ("Excepts", 'e'), ("Invites", 'I')] {
        for (mask, by) in entries(given, key) {
            let set_at = instant(by, "TimeCreated").unwrap_or(0) / 1000;
            let setter = string(by, "CreatorNickmask").unwrap_or("").to_owned();
            channel.lists.push((mode, mask.clone(), setter, set_at));
        }
    }
    found.channels.push(channel);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::mode::Rank;

    use super::parse;
    use crate::import::{Password, Suspension};

    /// A log of buntdb.
    fn log(commands: &[&[&str]]) -> Vec<u8> {
        let mut out = String::new();
        for parts in commands {
            out += &format!("*{}\r\n", parts.len());
            for part in *parts {
                out += &format!("${}\r\n{part}\r\n", part.len());
            }
        }
        out.into_bytes()
    }

    #[test]
    fn the_database_is_read_with_all_that_holds_at_its_end() {
        let hash = "JDJhJDA0JE1ERXlNelExTmpjNE9XRmlZMlJsWmU=";
        let bytes = log(&[
            &["set", "0 AP9VDdQKv3n1mI5ZYY3bVw", "24"],
            &["set", "account.exists alice", "1"],
            &["set", "account.name alice", "Alice"],
            &["set", "account.verified alice", "1"],
            &["set", "account.registered.time alice", "1600000000123456789"],
            &["set", "account.settings alice", r#"{"Email":"alice@example.org","AlwaysOn":2}"#],
            &[
                "set",
                "account.credentials alice",
                &format!(
                    r#"{{"Version":1,"PassphraseHash":"{hash}","Certfps":["ab"],"Salt":"MDEyMzQ1Njc4OWFiY2RlZg==","Iters":4096,"StoredKey":"eA==","ServerKey":"eQ=="}}"#
                ),
            ],
            &["set", "account.additionalnicks alice", "al,ali"],
            &["set", "account.vhost alice", r#"{"ApprovedVHost":"a.example","Enabled":true}"#],
            &["set", "account.exists bob", "1"],
            &[
                "set",
                "account.suspended bob",
                r#"{"TimeCreated":"2020-09-13T12:26:40Z","Duration":60000000000,"OperName":"boss","Reason":"spam"}"#,
            ],
            &["set", "account.exists gone", "1"],
            &["del", "account.exists gone"],
            &[
                "set",
                "1 AAAA",
                r##"{"Name":"#Room","RegisteredAt":"2020-09-13T12:26:40.5Z","Founder":"alice","Topic":"hi there",
               "TopicSetBy":"al!a@b","TopicSetTime":"2020-09-13T12:26:40Z","Modes":[110,116,115],"Key":"k","Forward":"#b",
               "UserLimit":9,"AccountToUMode":{"alice":113,"bob":111},"Bans":{"*!*@x":{"TimeCreated":"2020-09-13T12:26:40Z",
               "CreatorNickmask":"al!a@b"}},"Excepts":null,"Invites":{}}"##,
                "ex",
                "99",
            ],
            &["set", "2 BBBB", r##"{"Name":"#shut","Oper":"boss","PurgedAt":"2020-09-13T12:26:40Z","Reason":"spam"}"##],
        ]);
        let found = parse(&bytes).unwrap();
        assert!(found.notes.is_empty(), "{:?}", found.notes);
        let [alice, bob] = found.accounts.as_slice() else { panic!("{:?}", found.accounts) };
        assert_eq!((&*alice.name, alice.registered, alice.unverified), ("Alice", Some(1_600_000_000_123), false));
        assert_eq!(alice.email.as_deref(), Some("alice@example.org"));
        assert_eq!(
            (alice.nicks.join(" "), alice.scram.len(), alice.vhost.as_deref()),
            ("al ali".into(), 1, Some("a.example"))
        );
        assert!(matches!(&alice.password, Password::Unknown(why) if why.contains("bcrypt")), "{:?}", alice.password);
        assert!(bob.unverified && bob.password == Password::None);
        let suspended = Suspension {
            reason: "spam".into(),
            setter: "boss".into(),
            set_at: 1_600_000_000,
            expires: Some(1_600_000_060),
        };
        assert_eq!(bob.suspended.as_ref(), Some(&suspended));
        let [room] = found.channels.as_slice() else { panic!("{:?}", found.channels) };
        assert_eq!((&*room.name, room.registered, &*room.modes), ("#Room", Some(1_600_000_000_500), "nts"));
        assert_eq!(room.topic, Some(("hi there".into(), "al!a@b".into(), 1_600_000_000)));
        assert_eq!((room.key.as_deref(), room.limit, room.forward.as_deref()), (Some("k"), Some(9), Some("#b")));
        assert_eq!(room.access, [("alice".to_owned(), Rank::Founder), ("bob".to_owned(), Rank::Op)]);
        assert_eq!(room.lists, [('b', "*!*@x".to_owned(), "al!a@b".to_owned(), 1_600_000_000)]);
        assert_eq!((&*found.purges[0].name, found.purges[0].set_at), ("#shut", 1_600_000_000));
    }

    #[test]
    fn a_database_that_a_crash_has_cut_off_is_read_up_to_there_and_another_is_named() {
        let bytes = log(&[&["set", "account.exists alice", "1"], &["set", "account.name alice", "Alice"]]);
        let first = log(&[&["set", "account.exists alice", "1"]]).len();
        for end in first..bytes.len() {
            assert_eq!(parse(&bytes[..end]).unwrap().accounts.len(), 1, "{end}");
        }
        let mut broken = bytes.clone();
        broken[first] = b'x';
        assert!(parse(&broken).unwrap_err().starts_with(&format!("byte {first}: ")));
        assert!(parse(&log(&[&["set", "db.version", "19"]])).unwrap().notes[0].contains("schema 19"));
        assert!(parse(b"hello").is_err() && parse(b"").is_err());
    }

    #[test]
    fn the_json_of_converters_is_read_whatever_the_case_of_its_keys() {
        let json = r##"{"version":1,"source":"atheme","users":{"alice":{"name":"alice","hash":"$rawmd5$c8dae1c50e092f3d877192fc555b1dcf",
            "email":"a@example.org","registeredAt":1600000000000000000,"additionalnicks":["al"],"certfps":["ab"]}},
            "channels":{"#a":{"name":"#a","founder":"alice","registeredAt":1600000000000000000,"topic":"t","topicSetBy":"al",
            "topicSetAt":1600000000000000000,"amode":{"alice":"q","bob":"v","carol":"x"},"modes":"nt","key":"k","limit":7,"forward":"#b"}}}"##;
        let found = parse(json.as_bytes()).unwrap();
        assert!(matches!(found.accounts[0].password, Password::Hash(_)));
        assert_eq!(
            (found.accounts[0].nicks.join(""), found.accounts[0].registered),
            ("al".into(), Some(1_600_000_000_000))
        );
        let room = &found.channels[0];
        assert_eq!((room.limit, room.access.len(), room.topic.as_ref().unwrap().2), (Some(7), 2, 1_600_000_000));
        assert!(found.notes[0].contains("carol"));
        for (json, part) in [
            (r#"{"version":2}"#, "\"version\" is 2"),
            (r#"{"version":1,"source":"x"}"#, "\"x\"; anope, atheme"),
            ("{", "no JSON"),
        ] {
            assert!(parse(json.as_bytes()).unwrap_err().contains(part));
        }
    }
}
