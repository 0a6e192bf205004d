//! Ergo: its database `ircd.db`, and the JSON that `ergo importdb` takes and Ergo's converters for Anope and Atheme
//! write.
//!
//! The database is a log of buntdb: commands in the form of Redis' protocol, `SET key value` and `DEL key`, the last
//! of a key being what holds. Times in it are nanoseconds since 1970, or as in RFC 3339 in what is JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ircv3::message::cut;
use ircv3::mode::Rank;
use ircv3::time::parse_time;
use serde_json::{Map, Value};

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};
use crate::limits;
use crate::server::setting::Cutoff;

/// The versions of the schema whose channels are as they are read here.
const SCHEMAS: std::ops::RangeInclusive<u64> = 23..=24;
/// The key under which a database has its version.
const VERSION_KEY: &str = "0 AP9VDdQKv3n1mI5ZYY3bVw";
/// Keys of an account that are read with it, or that say nothing once it is here.
const OF_ACCOUNTS: &[&str] = &[
    "account.additionalnicks",
    "account.callback",
    "account.channels",
    "account.credentials",
    "account.emailchange",
    "account.lastseen",
    "account.name",
    "account.pwreset",
    "account.registered.time",
    "account.settings",
    "account.suspended",
    "account.verificationcode",
    "account.verified",
    "account.vhost",
];

/// Reads either file.
///
/// # Errors
/// It is neither.
pub fn parse(bytes: &[u8]) -> Result<Found, String> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => json(bytes),
        Some(b'*') => {
            let (all, cut) = log(bytes)?;
            let mut found = database(&all);
            found.notes.extend(cut);
            Ok(found)
        }
        _ => Err("this is neither Ergo's database (ircd.db) nor the JSON that `ergo importdb` takes".to_owned()),
    }
}

/// An object of Go's JSON: whatever of it is not taken, or is not what it has to be, is named.
struct Fields<'a, 'n> {
    /// Whose they are.
    of: String,
    object: &'a Map<String, Value>,
    taken: BTreeSet<&'a str>,
    notes: &'n mut Vec<String>,
}

impl<'a, 'n> Fields<'a, 'n> {
    /// Those of a value, where it is an object.
    fn of(of: String, value: &'a Value, notes: &'n mut Vec<String>) -> Option<Fields<'a, 'n>> {
        let Some(object) = value.as_object() else {
            notes.push(format!("{of}: {} did not come: an object would be right", shown(value)));
            return None;
        };
        Some(Fields { of, object, taken: BTreeSet::new(), notes })
    }

    /// The value under a key, whose case does not count, as in Go.
    fn get(&mut self, key: &str) -> Option<&'a Value> {
        let alike = || self.object.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
        let (key, value) = self.object.get_key_value(key).or_else(alike)?;
        self.taken.insert(key);
        Some(value).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, key: &str, value: &Value, right: &str) {
        self.notes.push(format!(
            "{}: its {key} is {}, and did not come: {right} would be right",
            self.of,
            shown(value)
        ));
    }

    fn read<T>(&mut self, key: &str, right: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.get(key)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(key, value, right);
        }
        read
    }

    fn string(&mut self, key: &str) -> Option<&'a str> {
        self.read(key, "a text", Value::as_str).filter(|text| !text.is_empty())
    }

    fn owned(&mut self, key: &str) -> Option<String> {
        self.string(key).map(str::to_owned)
    }

    fn strings(&mut self, key: &str) -> Vec<String> {
        let all = self.read(key, "a list of texts", Value::as_array).into_iter().flatten();
        let mut texts = Vec::new();
        for value in all {
            match value.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong(key, value, "a list of texts"),
            }
        }
        texts
    }

    fn entries(&mut self, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.read(key, "an object", Value::as_object).into_iter().flatten()
    }

    /// A number that is more than 0.
    fn number(&mut self, key: &str, right: &str) -> Option<u64> {
        self.read(key, right, Value::as_u64).filter(|number| *number > 0)
    }

    /// Milliseconds of nanoseconds; what is before 1970 is not known.
    fn nanos(&mut self, key: &str) -> Option<u64> {
        millis(self.read(key, "a number of nanoseconds since 1970", Value::as_i64)?)
    }

    /// Milliseconds of a time as in RFC 3339, with `Z`; Go's zero time is none.
    fn instant(&mut self, key: &str) -> Option<u64> {
        let right = "a time as 2020-09-13T12:26:40Z";
        let time = |value: &Value| match value.as_str()? {
            "" | "0001-01-01T00:00:00Z" => Some(0),
            text => parse_time(text),
        };
        self.read(key, right, time).filter(|time| *time > 0)
    }

    fn limit(&mut self, key: &str) -> Option<u32> {
        let limit = |value: &Value| value.as_u64().and_then(|limit| u32::try_from(limit).ok());
        self.read(key, "a number of people", limit).filter(|limit| *limit > 0)
    }

    /// Whether history is kept, as Ergo says it: `off` where it is not.
    fn history(&mut self, key: &str, settings: &mut Vec<(&'static str, String)>) {
        let known = |value: &Value| value.as_u64().filter(|number| *number <= 3);
        match self.read(key, "0 (as the server), 1 (disabled), 2 (ephemeral) or 3 (persistent)", known) {
            Some(1) => settings.push(("history", "off".to_owned())),
            Some(2) => self.notes.push(format!(
                "{}: its history was in memory only ({key} 2); here what is said is kept on disk, until HISTORY is OFF",
                self.of
            )),
            _ => {}
        }
    }

    /// Names what was not asked for.
    fn end(self) {
        let left = self.object.iter().filter(|(key, value)| !self.taken.contains(&***key) && !is_nothing(value));
        let named = left.map(|(key, value)| format!("{}: its {key}, {}, did not come", self.of, shown(value)));
        self.notes.extend(named);
    }
}

/// What stands for nothing in Go.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

/// A value in a line of the report.
fn shown(value: &Value) -> String {
    cut(&value.to_string(), limits::IMPORT_SHOWN).to_owned()
}

/// Milliseconds of nanoseconds; what is before 1970 is not known.
fn millis(nanos: i64) -> Option<u64> {
    u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(|nanos| nanos / 1_000_000)
}

fn json(bytes: &[u8]) -> Result<Found, String> {
    let all: Value = serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON: {error}"))?;
    let mut notes = Vec::new();
    let mut top = Fields::of("the file".to_owned(), &all, &mut notes).ok_or("this is no object of JSON")?;
    let version = top.get("version").and_then(Value::as_u64);
    if version != Some(1) {
        let version = version.map_or("none".to_owned(), |version| version.to_string());
        return Err(format!("its \"version\" is {version}, and 1 is the one that there is"));
    }
    let hashes = match top.get("source").and_then(Value::as_str) {
        Some("anope") => Foreign::anope,
        Some("atheme") => |text: &str| Foreign::atheme(text, true),
        Some("ergo" | "oragono") => Foreign::ergo,
        other => return Err(format!("its \"source\" is {:?}; anope, atheme and ergo are known", other.unwrap_or(""))),
    };
    let [users, channels] = ["users", "channels"].map(|key| match top.get(key) {
        Some(value) => value.as_object().ok_or_else(|| {
            format!("its {key:?} are {}, and an object would be right, as {{\"name\": {{...}}}}", shown(value))
        }),
        None => Ok(&*NONE),
    });
    let (users, channels) = (users?, channels?);
    top.end();

    let mut found = Found { notes, ..Found::default() };
    for (key, user) in users {
        let Some(mut user) = Fields::of(format!("account {key:?}"), user, &mut found.notes) else { continue };
        found.accounts.push(Account {
            name: user.string("name").unwrap_or(key).to_owned(),
            registered: user.nanos("registeredAt"),
            email: user.owned("email"),
            password: user.string("hash").map_or(Password::None, |hash| hashes(hash).into()),
            certificates: user.strings("certfps"),
            nicks: user.strings("additionalNicks"),
            vhost: user.owned("vhost"),
            ..Account::default()
        });
        user.end();
    }
    for (key, given) in channels {
        let Some(mut given) = Fields::of(format!("channel {key:?}"), given, &mut found.notes) else { continue };
        let set_at = given.nanos("topicSetAt").unwrap_or(0) / 1000;
        let by = given.owned("topicSetBy").unwrap_or_default();
        let mut channel = Channel {
            name: given.string("name").unwrap_or(key).to_owned(),
            founders: given.owned("founder").into_iter().collect(),
            registered: given.nanos("registeredAt"),
            topic: given.owned("topic").map(|text| (text, by, set_at)),
            modes: given.owned("modes").unwrap_or_default(),
            key: given.owned("key"),
            limit: given.limit("limit"),
            forward: given.owned("forward"),
            ..Channel::default()
        };
        channel.founders.extend(given.owned("successor"));
        for (account, letter) in given.entries("amode") {
            let rank = letter.as_str().and_then(|letter| letter.chars().next());
            access(&mut channel, given.notes, account, letter, rank);
        }
        given.end();
        found.channels.push(channel);
    }
    Ok(found)
}

/// Where a file has none.
static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

fn access(channel: &mut Channel, notes: &mut Vec<String>, account: &str, given: &Value, letter: Option<char>) {
    match letter.and_then(Rank::by_letter) {
        Some(rank) => channel.access.push((account.to_owned(), rank)),
        None => notes.push(format!(
            "channel {:?}: {account:?} has the rank {} there, which is none here",
            channel.name,
            shown(given)
        )),
    }
}

/// Keys and values of a log of buntdb.
type Pairs = BTreeMap<String, Vec<u8>>;

/// What is in such a log, and what is to be said where it has no end.
fn log(bytes: &[u8]) -> Result<(Pairs, Option<String>), String> {
    let mut rest = bytes;
    let mut all = BTreeMap::new();
    let mut cut = None;
    let broken = |rest: &[u8]| format!("byte {}: this is no command of buntdb's log", bytes.len() - rest.len());
    while !rest.is_empty() {
        let before = rest;
        let Some(parts) = command(&mut rest) else {
            // What a crash has cut off was never there; and a file may have been copied by half.
            if is_cut(before) {
                let (at, left) = (bytes.len() - before.len(), before.len());
                cut = Some(format!(
                    "byte {at}: the file ends in the midst of a command, and its last {left} bytes did not come"
                ));
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
    Ok((all, cut))
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
    let after = after.strip_prefix(b"\r\n")?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    *rest = after;
    Some(number)
}

/// Whether this may be the beginning of a command that has no end.
fn is_cut(rest: &[u8]) -> bool {
    let mut rest = rest;
    let Some(count) = number(&mut rest, b'*') else {
        return rest.len() < 16 && rest.starts_with(b"*") && !rest.contains(&b'\n');
    };
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
    // How many of what else there is, by the first word of their keys.
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let mut replay_off = 0;
    for (key, given) in all {
        let given = text(given);
        let (kind, rest) = key.split_once(' ').unwrap_or((key, ""));
        match kind {
            "account.exists" => {
                let of = |what: &str| value(format!("account.{what} {rest}"));
                found.accounts.push(account(rest, of, &mut found.notes, &mut replay_off));
            }
            "1" => channel(key, &given, &mut found),
            "2" => purge(key, &given, &mut found),
            "0" | "db.version" => {}
            "account.unregistered" => *others.entry("names that nobody may register again").or_default() += 1,
            _ if kind.starts_with("account.") => {
                let of_account = all.contains_key(&format!("account.exists {rest}"));
                if !OF_ACCOUNTS.contains(&kind) && of_account && !is_nothing_there(&given) {
                    let value = cut(&given, limits::IMPORT_SHOWN);
                    found.notes.push(format!("account {rest:?}: its {kind}, {value:?}, did not come"));
                } else if !of_account && kind != "account.creds.certfp" {
                    *others.entry(kind).or_default() += 1;
                }
            }
            _ => *others.entry(kind).or_default() += 1,
        }
    }
    if replay_off > 0 {
        found.notes.push(format!(
            "{replay_off} accounts do not have AutoreplayMissed, which is off in Ergo until somebody chooses it; here it \
             is on until they say NickServ SET AUTOREPLAY-MISSED OFF"
        ));
    }
    found.notes.extend(others.iter().map(|(kind, count)| format!("{kind}: {count} did not come")));
    found
}

/// Whether there is nothing in a value of the database that may be JSON.
fn is_nothing_there(given: &str) -> bool {
    given.is_empty() || serde_json::from_str(given).is_ok_and(|value| is_nothing(&value))
}

fn purge(key: &str, given: &str, found: &mut Found) {
    let Some(given) = read_json(key, given, &mut found.notes) else { return };
    let Some(mut given) = Fields::of(format!("closed channel {key:?}"), &given, &mut found.notes) else { return };
    found.purges.push(Purge {
        name: given.owned("Name").unwrap_or_default(),
        reason: given.owned("Reason").unwrap_or_default(),
        setter: given.owned("Oper").unwrap_or_default(),
        set_at: given.instant("PurgedAt").unwrap_or(0) / 1000,
        expires: None,
    });
    // The same as its key.
    given.get("NameCasefolded");
    given.end();
}

fn read_json(what: &str, given: &str, notes: &mut Vec<String>) -> Option<Value> {
    let value = serde_json::from_str(given);
    let why = |error| {
        let given = cut(given, limits::IMPORT_SHOWN);
        notes.push(format!("{what}: {given:?} did not come: it is no JSON: {error}"));
    };
    value.map_err(why).ok()
}

fn account(
    folded: &str,
    of: impl Fn(&str) -> Option<String>,
    notes: &mut Vec<String>,
    replay_off: &mut usize,
) -> Account {
    let name = of("name").unwrap_or_else(|| folded.to_owned());
    let what = format!("account {name:?}");
    let objects = ["credentials", "settings", "suspended", "vhost"];
    let [credentials, settings, suspended, vhost] =
        objects.map(|key| read_json(&format!("{what}: its {key}"), &of(key)?, notes));
    let registered = of("registered.time").and_then(|given| {
        let time = given.trim().parse();
        if time.is_err() {
            let given = cut(&given, limits::IMPORT_SHOWN);
            notes.push(format!(
                "{what}: its registered.time is {given:?}, and did not come: a number of nanoseconds since 1970 would be \
                 right"
            ));
        }
        millis(time.ok()?)
    });
    let nicks = of("additionalnicks").unwrap_or_default();
    let mut account = Account {
        registered,
        nicks: nicks.split(',').filter(|nick| !nick.is_empty()).map(str::to_owned).collect(),
        unverified: of("verified").is_none(),
        name,
        ..Account::default()
    };
    let fields = |part: &str| format!("{what}: {part}");
    if let Some(given) = &credentials
        && let Some(mut given) = Fields::of(fields("credentials"), given, notes)
    {
        let version = given.read("Version", "a number", Value::as_i64);
        account.password = given.string("PassphraseHash").map_or(Password::None, |hash| {
            let bytes = STANDARD.decode(hash).map_err(|_| "its password is not in base64".to_owned());
            Password::from(bytes.and_then(|bytes| match version {
                Some(-1) => Foreign::atheme(&text(&bytes), true),
                Some(-2) => Foreign::anope(&text(&bytes)),
                _ => Foreign::ergo(&text(&bytes)),
            }))
        });
        account.certificates = given.strings("Certfps");
        let parts = ["Salt", "StoredKey", "ServerKey"].map(|key| given.string(key));
        let rounds = given.number("Iters", "a number of rounds");
        if let ([Some(salt), Some(stored), Some(server)], Some(rounds)) = (parts, rounds) {
            match format!("SCRAM-SHA-256${rounds}:{salt}${stored}:{server}").parse() {
                Ok(scram) => account.scram.push(scram),
                Err(_) => given.notes.push(format!(
                    "{}: what SCRAM needs is in no form that is known here; it comes with the first login by password",
                    given.of
                )),
            }
        }
        given.end();
    }
    if let Some(given) = &settings
        && let Some(mut given) = Fields::of(fields("settings"), given, notes)
    {
        account.email = given.owned("Email");
        let right = "0 or 2 or 3 (as the server), 1 (disabled), 4 (mandatory), true or false";
        let chosen = |value: &Value| match (value.as_u64(), value.as_bool()) {
            (Some(0 | 2 | 3), _) => Some(None),
            (Some(1), _) | (_, Some(false)) => Some(Some(false)),
            (Some(4), _) | (_, Some(true)) => Some(Some(true)),
            _ => None,
        };
        account.always_on = given.read("AlwaysOn", right, chosen).flatten();
        if given.read("AutoreplayMissed", "true or false", Value::as_bool) == Some(false) {
            *replay_off += 1;
        }
        let allowed = |value: &Value| value.as_u64().filter(|number| *number <= 2);
        let several = given.read("AllowBouncer", "0 (as the server), 1 (disallowed) or 2 (allowed)", allowed);
        account.one_client = several == Some(1);
        given.history("DMHistory", &mut account.settings);
        given.end();
    }
    if let Some(given) = &suspended
        && let Some(mut given) = Fields::of(fields("suspension"), given, notes)
    {
        let since = given.instant("TimeCreated").map(|time| time / 1000);
        let lasts = given.number("Duration", "a number of nanoseconds");
        let expires = since.zip(lasts).map(|(since, lasts)| since + lasts / 1_000_000_000);
        account.suspended = Some(Suspension {
            reason: given.owned("Reason").unwrap_or_default(),
            setter: given.owned("OperName").unwrap_or_default(),
            set_at: since.unwrap_or(0),
            expires,
        });
        // The same as its key.
        given.get("AccountName");
        given.end();
    }
    if let Some(given) = &vhost
        && let Some(mut given) = Fields::of(fields("vhost"), given, notes)
    {
        account.vhost = given.owned("ApprovedVHost");
        given.get("Enabled");
        given.end();
    }
    account
}

fn channel(key: &str, given: &str, found: &mut Found) {
    let Some(given) = read_json(key, given, &mut found.notes) else { return };
    let name = given.get("Name").and_then(Value::as_str).map_or_else(|| key.to_owned(), str::to_owned);
    let Some(mut given) = Fields::of(format!("channel {name:?}"), &given, &mut found.notes) else { return };
    let letter = |value: &Value| value.as_u64().and_then(|letter| char::from_u32(u32::try_from(letter).ok()?));
    let set_at = given.instant("TopicSetTime").unwrap_or(0) / 1000;
    let by = given.owned("TopicSetBy").unwrap_or_default();
    let mut channel = Channel {
        name: given.owned("Name").unwrap_or_default(),
        founders: given.owned("Founder").into_iter().collect(),
        registered: given.instant("RegisteredAt"),
        topic: given.owned("Topic").map(|text| (text, by, set_at)),
        key: given.owned("Key"),
        limit: given.limit("UserLimit"),
        forward: given.owned("Forward"),
        ..Channel::default()
    };
    let modes = "a list of the codes of letters";
    for mode in given.read("Modes", modes, Value::as_array).into_iter().flatten() {
        match letter(mode) {
            Some(letter) => channel.modes.push(letter),
            None => given.wrong("Modes", mode, modes),
        }
    }
    for (account, mode) in given.entries("AccountToUMode") {
        access(&mut channel, given.notes, account, mode, letter(mode));
    }
    for (key, mode) in [("Bans", 'b'), ("Excepts", 'e'), ("Invites", 'I')] {
        for (mask, by) in given.entries(key) {
            let of = format!("{}: {key} {mask:?}", given.of);
            let Some(mut by) = Fields::of(of, by, given.notes) else { continue };
            let set_at = by.instant("TimeCreated").unwrap_or(0) / 1000;
            channel.lists.push((mode, mask.clone(), by.owned("CreatorNickmask").unwrap_or_default(), set_at));
            by.get("CreatorAccount");
            by.end();
        }
    }
    if let Some(settings) = given.get("Settings")
        && let Some(mut settings) = Fields::of(format!("{}: settings", given.of), settings, given.notes)
    {
        settings.history("History", &mut channel.settings);
        let known = |value: &Value| value.as_u64().filter(|number| *number <= 3);
        let right = "0 (as the server), 1 (none), 2 (registration) or 3 (join)";
        match settings.read("QueryCutoff", right, known) {
            Some(2) => channel.settings.push(("cutoff", Cutoff::Registration.word().to_owned())),
            Some(3) => channel.settings.push(("cutoff", Cutoff::Join.word().to_owned())),
            _ => {}
        }
        settings.end();
    }
    given.get("NameCasefolded");
    given.end();
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
            let found = parse(&bytes[..end]).unwrap();
            assert_eq!(found.accounts.len(), 1, "{end}");
            let told =
                format!("byte {first}: the file ends in the midst of a command, and its last {} bytes", end - first);
            assert_eq!(found.notes.iter().any(|note| note.contains(&told)), end > first, "{end}: {:?}", found.notes);
        }
        for end in ["*-1\r\n", "*x\r\n", "*\r\n", "*99999999999999999999\r\n", "*2\r\n$-1\r\n", "*2\r\n$x\r\n"] {
            let whole = [&*bytes, end.as_bytes()].concat();
            assert!(parse(&whole).unwrap_err().starts_with(&format!("byte {}: ", bytes.len())), "{end:?}");
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

    #[track_caller]
    fn says(notes: &[String], parts: &[&str]) {
        for part in parts {
            assert!(notes.iter().any(|note| note.contains(part)), "{part:?} is not in {notes:#?}");
        }
    }

    #[test]
    fn what_was_chosen_comes_where_roost_has_the_like_and_the_rest_is_named() {
        let bytes = log(&[
            &["set", "db.version", "24"],
            &["set", "account.exists alice", "1"],
            &["set", "account.joinedto alice", "#a,#b"],
            &["set", "account.lastseen alice", "{}"],
            &[
                "set",
                "account.settings alice",
                r#"{"AlwaysOn":4,"AutoreplayMissed":true,"AllowBouncer":1,"DMHistory":1,"AutoreplayLines":25,"ReplayJoins":0}"#,
            ],
            &["set", "account.exists bob", "1"],
            &["set", "account.settings bob", r#"{"AlwaysOn":false,"AutoreplayMissed":false,"DMHistory":2}"#],
            &["set", "1 A", r##"{"Name":"#a","Settings":{"History":1,"QueryCutoff":3},"TransferPendingTo":"bob"}"##],
            &["set", "1 B", r##"{"Name":"#b","Settings":{"History":7,"QueryCutoff":2}}"##],
            &["set", "bans.klinev2 *!*@x", "{}"],
        ]);
        let found = parse(&bytes).unwrap();
        let [alice, bob] = found.accounts.as_slice() else { panic!("{:?}", found.accounts) };
        assert_eq!(
            (alice.always_on, alice.one_client, &alice.settings[..]),
            (Some(true), true, &[("history", "off".into())][..])
        );
        assert_eq!((bob.always_on, bob.one_client, bob.settings.len()), (Some(false), false, 0));
        let settings = |at: usize| found.channels[at].settings.iter().map(|(key, value)| format!("{key}={value}"));
        assert_eq!(settings(0).collect::<Vec<_>>(), ["history=off", "cutoff=join"]);
        assert_eq!(settings(1).collect::<Vec<_>>(), ["cutoff=registration"]);
        says(
            &found.notes,
            &[
                "account \"alice\": its account.joinedto, \"#a,#b\", did not come",
                "settings: its AutoreplayLines, 25, did not come",
                "1 accounts do not have AutoreplayMissed",
                "its history was in memory only",
                "channel \"#a\": its TransferPendingTo, \"bob\", did not come",
                "channel \"#b\": settings: its History is 7, and did not come: 0 (as the server)",
                "bans.klinev2: 1 did not come",
            ],
        );
        assert!(!found.notes.iter().any(|note| note.contains("lastseen")), "{:?}", found.notes);
    }

    #[test]
    fn values_of_the_database_that_are_none_are_named() {
        let bytes = log(&[
            &["set", "db.version", "24"],
            &["set", "account.exists alice", "1"],
            &["set", "account.registered.time alice", "banana"],
            &["set", "account.suspended alice", r#"{"TimeCreated":"bad","Duration":"x","Reason":"spam"}"#],
            &["set", "1 A", r##"{"Name":"#a","RegisteredAt":"garbage","Modes":["n"],"Bans":{"*!*@x":5}}"##],
            &["set", "2 B", "[]"],
        ]);
        let found = parse(&bytes).unwrap();
        let suspended = found.accounts[0].suspended.as_ref().unwrap();
        assert_eq!((&*suspended.reason, suspended.expires), ("spam", None));
        says(
            &found.notes,
            &[
                "its registered.time is \"banana\", and did not come: a number of nanoseconds since 1970",
                "suspension: its TimeCreated is \"bad\", and did not come: a time as 2020",
                "suspension: its Duration is \"x\", and did not come: a number of nanoseconds",
                "channel \"#a\": its RegisteredAt is \"garbage\"",
                "channel \"#a\": its Modes is \"n\"",
                "channel \"#a\": Bans \"*!*@x\": 5 did not come: an object would be right",
                "closed channel \"2 B\": [] did not come",
            ],
        );
    }

    #[test]
    fn values_of_the_json_that_are_none_are_named_and_what_is_built_otherwise_is_refused() {
        let json = r##"{"version":1,"source":"ergo","more":"x","users":{
            "alice":{"name":"alice","registeredAt":"yesterday","email":7,"additionalNicks":"x","memo":"hi"},"ok":7},
            "channels":{"#a":{"limit":"seven","modes":7,"topic":4,"amode":{"alice":5}}}}"##;
        let found = parse(json.as_bytes()).unwrap();
        assert_eq!((found.accounts.len(), found.channels.len()), (1, 1));
        says(
            &found.notes,
            &[
                "the file: its more, \"x\", did not come",
                "account \"alice\": its registeredAt is \"yesterday\", and did not come: a number of nanoseconds since 1970",
                "account \"alice\": its email is 7, and did not come: a text would be right",
                "account \"alice\": its additionalNicks is \"x\", and did not come: a list of texts would be right",
                "account \"alice\": its memo, \"hi\", did not come",
                "account \"ok\": 7 did not come: an object would be right",
                "channel \"#a\": its limit is \"seven\", and did not come: a number of people would be right",
                "channel \"#a\": its modes is 7",
                "channel \"#a\": its topic is 4",
                "channel \"#a\": \"alice\" has the rank 5 there",
            ],
        );
        for (json, part) in [
            (r#"{"version":1,"source":"ergo","users":[]}"#, "its \"users\" are []"),
            (r#"{"version":1,"source":"ergo","users":{},"channels":[1,2]}"#, "its \"channels\" are [1,2]"),
        ] {
            assert!(parse(json.as_bytes()).unwrap_err().contains(part), "{json}");
        }
    }
}
