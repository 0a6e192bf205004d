//! Anope 2.0 and 2.1: `anope.db` of `db_flatfile`, objects of lines `OBJECT type`, `ID number`, `DATA key value` and
//! `END`.
//!
//! Of 2.0 are names that stand for accounts (`nc`, `founder`); 2.1 has their numbers (`ncid`, `founderid`). Times are
//! seconds since 1970.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use ircv3::message::cut;
use ircv3::mode::Rank;

use crate::accounts::foreign::Foreign;
use crate::import::{Account, Channel, Found, Password, Purge, Suspension, text};
use crate::limits;

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
/// Lists, their letters here, and what their entries begin with: Anope has a list of its own for each extended ban that it
/// knows of the server.
const LISTS: &[(&str, char, &str)] = &[
    ("BAN", 'b', ""),
    ("EXCEPT", 'e', ""),
    ("INVITEOVERRIDE", 'I', ""),
    // Of Charybdis' list of those who may not speak, too.
    ("QUIET", 'b', "mute:"),
    ("NONICKBAN", 'b', "nickchange:"),
    // As UnrealIRCd has it, where 0 is whoever has none.
    ("ACCOUNTBAN", 'b', "~account:"),
    ("CHANNELBAN", 'b', "channel:"),
    ("REALNAMEBAN", 'b', "realname:"),
    ("SSLBAN", 'b', "fingerprint:"),
    ("TIMEDBAN", 'b', "~time:"),
    ("UNREGISTEREDBAN", 'b', "unregistered:"),
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

/// Objects that come, or what of them does not is named; of others there is only the number.
const KINDS: &[&str] = &[
    "NickCore",
    "NickAlias",
    "NSSuspendInfo",
    "NSMiscData",
    "ChannelInfo",
    "ModeLock",
    "ChanAccess",
    "AutoKick",
    "CSSuspendInfo",
    "CSMiscData",
    "EntryMsg",
];
/// Keys that say yes or no: what is no is as without.
const YES_OR_NO: &[&str] = &[
    "AUTOOP",
    "BS_FANTASY",
    "BS_GREET",
    "CS_KEEP_MODES",
    "CS_PRIVATE",
    "CS_STATS",
    "HIDE_EMAIL",
    "HIDE_MASK",
    "HIDE_QUIT",
    "HIDE_STATUS",
    "MEMO_HARDMAX",
    "MEMO_MAIL",
    "MEMO_RECEIVE",
    "MEMO_SIGNON",
    "MSG",
    "NEVEROP",
    "NS_KEEP_MODES",
    "NS_PRIVATE",
    "NS_STATS",
    "PEACE",
    "PERSIST",
    "PROTECT",
    "SECUREFOUNDER",
    "SECUREOPS",
    "SIGNKICK",
    "SIGNKICK_LEVEL",
    "TOPICLOCK",
];
/// Keys of them that somebody wrote: each value that did not come is shown. Of other keys there is only the number.
const WRITTEN: &[&str] = &["greet", "description", "reason", "data", "message", "url"];

/// An object: what of it is not taken, or is not what it has to be, is named.
struct Object {
    kind: String,
    values: BTreeMap<String, String>,
    taken: RefCell<BTreeSet<String>>,
    notes: RefCell<Vec<String>>,
}

impl Object {
    fn new(kind: &str) -> Object {
        let (values, taken, notes) = Default::default();
        Object { kind: kind.to_owned(), values, taken, notes }
    }

    fn value(&self, key: &str) -> Option<&String> {
        self.taken.borrow_mut().insert(key.to_owned());
        self.values.get(key)
    }

    /// What it is called in the report.
    fn title(&self) -> String {
        let value = |keys: &[&str]| keys.iter().find_map(|key| self.values.get(*key)).map_or("", String::as_str);
        match &*self.kind {
            "NickCore" => format!("account {:?}", value(&["display"])),
            "NickAlias" => format!("the nick {:?}", value(&["nick"])),
            "ChannelInfo" => format!("channel {:?}", value(&["name"])),
            kind => format!("{kind} of {:?}", value(&["ci", "chan", "nc", "nick"])),
        }
    }

    fn wrong(&self, key: &str, value: &str, right: &str) {
        let value = cut(value, limits::IMPORT_SHOWN);
        let of = self.title();
        self.notes.borrow_mut().push(format!("{of}: its {key} is {value:?}, and did not come: {right} would be right"));
    }

    /// Names what was wrong, and what was not asked for; that of which there is only the number is counted.
    fn end(self, notes: &mut Vec<String>, counts: &mut BTreeMap<String, usize>) {
        let of = self.title();
        notes.append(&mut self.notes.into_inner());
        if !KINDS.contains(&&*self.kind) {
            *counts.entry(self.kind).or_default() += 1;
            return;
        }
        let taken = self.taken.into_inner();
        let is_none = |key: &str, value: &str| value.is_empty() || value == "0" && YES_OR_NO.contains(&key);
        for (key, value) in self.values.iter().filter(|(key, value)| !taken.contains(*key) && !is_none(key, value)) {
            if WRITTEN.contains(&&**key) {
                notes.push(format!("{of}: its {key}, {:?}, did not come", cut(value, limits::IMPORT_SHOWN)));
            } else {
                *counts.entry(format!("{} of {}", key, self.kind)).or_default() += 1;
            }
        }
    }
}

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
    let of = |kind: &'static str| objects.iter().filter(move |object| object.kind == kind);

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
            registered: registered(object),
            email: Some(get(object, "email").to_owned()).filter(|email| !email.is_empty()),
            password,
            certificates: get(object, "cert").split_whitespace().map(str::to_owned).collect(),
            unverified: is_on(object, "UNCONFIRMED"),
            ..Account::default()
        });
        places.insert(name.to_lowercase(), at);
        if let Some(id) = object.value("uniqueid") {
            places.insert(number_key(id), at);
        }
    }
    let place = |object: &Object, by_id: &str, by_name: &str| {
        let id = object.value(by_id).map(|id| number_key(id));
        let name = object.value(by_name).map(|name| name.to_lowercase());
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
        account.unverified |= is_on(object, "UNCONFIRMED");
        // An account stays for as long as one of its nicks does.
        if is_on(object, "NS_NO_EXPIRE") && account.settings.is_empty() {
            account.settings.push(("noexpire", "on".to_owned()));
        }
        let since = registered(object);
        if nick.to_lowercase() != account.name.to_lowercase() {
            account.nicks.push(nick.to_owned());
        } else if account.registered.is_none() {
            account.registered = since;
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
    let mut counts = BTreeMap::new();
    for object in objects {
        object.end(&mut found.notes, &mut counts);
    }
    found.notes.extend(counts.iter().map(|(what, count)| format!("{what}: {count} did not come")));
    Ok(found)
}

/// A key for the number of an account, which no name is like.
fn number_key(id: &str) -> String {
    format!("# {id}")
}

fn objects(bytes: &[u8], notes: &mut Vec<String>) -> Vec<Object> {
    let mut all = Vec::new();
    let mut open: Option<Object> = None;
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match (word, &mut open) {
            ("OBJECT", _) => {
                if let Some(Object { kind, .. }) = open.take() {
                    notes.push(format!("line {}: the {kind} before it has no END, and did not come", at + 1));
                }
                open = Some(Object::new(rest));
            }
            ("DATA", Some(object)) => {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                object.values.insert(key.to_owned(), value.to_owned());
            }
            ("ID", Some(_)) | ("", _) => {}
            ("END", Some(_)) => all.extend(open.take()),
            _ => notes.push(format!("line {}: {:?} is nothing that is known here", at + 1, cut(&line, 40))),
        }
    }
    if let Some(Object { kind, .. }) = open {
        notes.push(format!("the file ends in the midst of a {kind}, which did not come"));
    }
    all
}

fn get<'a>(object: &'a Object, key: &str) -> &'a str {
    object.value(key).map_or("", String::as_str)
}

/// Whether a key says yes.
fn is_on(object: &Object, key: &str) -> bool {
    get(object, key) == "1"
}

/// Seconds since 1970; 0 and nothing are none.
fn seconds(object: &Object, key: &str) -> Option<u64> {
    let given = get(object, key).trim();
    let time = given.parse().ok().filter(|time| *time < 1 << 40);
    if time.is_none() && !given.is_empty() {
        object.wrong(key, given, "a number of seconds since 1970");
    }
    time.filter(|time| *time > 0)
}

/// When it was registered, as either version says it, in milliseconds.
fn registered(object: &Object) -> Option<u64> {
    let [newer, older] = ["registered", "time_registered"].map(|key| time(object, key));
    newer.or(older)
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

fn channels<'a>(objects: &'a [Object], found: &mut Found, place: &dyn Fn(&Object, &str, &str) -> Option<usize>) {
    let of = |kind: &'static str| objects.iter().filter(move |object| object.kind == kind);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut levels: Vec<BTreeMap<&str, i64>> = Vec::new();
    let mut keeps_modes: Vec<bool> = Vec::new();
    let mut restricted: Vec<bool> = Vec::new();
    for object in of("ChannelInfo") {
        let name = get(object, "name");
        if places.contains_key(&name.to_lowercase()) {
            found.notes.push(format!("another channel {name:?}, which did not come"));
            continue;
        }
        // A founder that has no account is named all the same.
        let person = |by_id: &str, by_name: &str| match place(object, by_id, by_name) {
            Some(at) => Some(found.accounts[at].name.clone()),
            None => object.value(by_name).or_else(|| object.value(by_id)).filter(|name| !name.is_empty()).cloned(),
        };
        let founders = [person("founderid", "founder"), person("successorid", "successor")];
        let (set_at, by) = (seconds(object, "last_topic_time").unwrap_or(0), get(object, "last_topic_setter"));
        let topic = Some(get(object, "last_topic")).filter(|topic| !topic.is_empty());
        let about = Some(get(object, "description")).filter(|about| !about.is_empty());
        let mut channel = Channel {
            name: name.to_owned(),
            founders: founders.into_iter().flatten().collect(),
            registered: registered(object),
            topic: topic.map(|topic| (topic.to_owned(), by.to_owned(), set_at)),
            settings: about.map(|about| ("description", about.to_owned())).into_iter().collect(),
            ..Channel::default()
        };
        let last = get(object, "last_modes");
        for word in last.split_whitespace() {
            // 2.0 has `KEY,value`, 2.1 `+KEY,time,setter,value`.
            let (mode, value, by, at) = match word.strip_prefix('+') {
                Some(word) => {
                    let mut parts = word.splitn(4, ',');
                    let mode = parts.next().unwrap_or("");
                    let (at, by) = (parts.next().unwrap_or("0"), parts.next().unwrap_or(""));
                    if at.parse::<u64>().is_err() {
                        object.wrong(&format!("last_modes {mode}"), at, "a number of seconds since 1970");
                    }
                    (mode, parts.next().unwrap_or(""), by, at.parse().ok())
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
        if is_on(object, "CS_NO_EXPIRE") {
            channel.settings.push(("noexpire", "on".to_owned()));
        }
        // What is on is written, and nothing of what is off.
        if !is_on(object, "KEEPTOPIC") {
            channel.settings.push(("keeptopic", "off".to_owned()));
        }
        if is_on(object, "NOAUTOOP") {
            let text = "its NOAUTOOP did not come: who has a rank in it is given that on joining";
            found.notes.push(format!("channel {name:?}: {text}"));
        }
        restricted.push(is_on(object, "RESTRICTED"));
        if restricted.last() == Some(&true) {
            channel.modes.push('i');
            let text = "it was RESTRICTED to those who are something in it, so it is invite-only (+i), with them as exceptions \
                        (+I)";
            found.notes.push(format!("channel {name:?}: {text}"));
        }
        // Pairs of a privilege and its level.
        let own: Vec<&str> = get(object, "levels").split_whitespace().collect();
        let (pairs, left) = own.as_chunks::<2>();
        let level = |[name, level]: &[&'a str; 2]| {
            let number = level.parse().ok();
            if number.is_none() {
                object.wrong(&format!("level {name}"), level, "a number");
            }
            Some((*name, number?))
        };
        levels.push(pairs.iter().filter_map(level).collect());
        if let [name] = left {
            object.wrong(&format!("level {name}"), "", "a number");
        }
        keeps_modes.push(!last.is_empty());
        places.insert(name.to_lowercase(), found.channels.len());
        found.channels.push(channel);
    }
    let channel_of = |object: &Object| places.get(&get(object, "ci").to_lowercase()).copied();

    for object in of("ModeLock") {
        let (mode, value, is_set) = (get(object, "name"), get(object, "param"), get(object, "set") == "1");
        let (by, created) = (get(object, "setter"), seconds(object, "created").unwrap_or(0));
        // What the channel has now has the modes that are locked.
        let Some(at) = channel_of(object).filter(|at| !keeps_modes[*at]) else { continue };
        let channel = &mut found.channels[at];
        if is_set {
            set(channel, &mut found.notes, mode, value, by, created);
        } else if let Some((_, letter)) = MODES.iter().find(|(name, _)| *name == mode)
            // That keeps strangers out.
            && !(restricted[at] && *letter == 'i')
        {
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
        let is_account = !who.contains(['*', '?', '!', '@', '#']);
        // Halfops come in by their rank, and a level below 0 keeps out.
        let is_below = data.trim().parse::<i64>().is_ok_and(|level| level < 0);
        let comes_by_rank = is_account && rank >= Some(Rank::Halfop);
        if restricted[at] && !is_below && !who.contains('#') && !comes_by_rank {
            let mask = if is_account { format!("account:{who}") } else { who.to_owned() };
            channel.lists.push(('I', mask, get(object, "creator").to_owned(), seconds(object, "created").unwrap_or(0)));
        }
        match rank {
            Some(rank) if is_account => channel.access.push((who.to_owned(), rank)),
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
        let reason = get(object, "reason");
        let Some(at) = channel_of(object) else {
            object.wrong("ci", get(object, "ci"), "a channel of the file");
            continue;
        };
        let mask = match place(object, "ncid", "nc") {
            Some(account) => format!("account:{}", found.accounts[account].name),
            None => get(object, "mask").to_owned(),
        };
        if !reason.is_empty() {
            let (reason, name) = (cut(reason, limits::IMPORT_SHOWN), &found.channels[at].name);
            let note = format!("channel {name:?}: why {mask:?} is banned, {reason:?}, did not come");
            found.notes.push(note);
        }
        let set_at = seconds(object, "addtime").unwrap_or(0);
        found.channels[at].lists.push(('b', mask, get(object, "creator").to_owned(), set_at));
    }
    for object in of("CSSuspendInfo") {
        let Suspension { reason, setter, set_at, expires } = suspension(object);
        let name = object.value("chan").or_else(|| object.value("ci")).cloned().unwrap_or_default();
        found.purges.push(Purge { name, reason, setter, set_at, expires });
    }
    for object in of("CSMiscData") {
        let (name, data) = (get(object, "name"), get(object, "data"));
        let key = match name.rsplit_once(':').map_or(name, |(_, name)| name) {
            name if name.eq_ignore_ascii_case("URL") => Some("url"),
            name if name.eq_ignore_ascii_case("EMAIL") => Some("email"),
            name if name.eq_ignore_ascii_case("DESCRIPTION") => Some("description"),
            _ => None,
        };
        match (channel_of(object), key) {
            (Some(at), Some(key)) => found.channels[at].settings.push((key, data.to_owned())),
            _ => object.wrong(name, data, "URL, EMAIL or DESCRIPTION of a channel of the file"),
        }
    }
    for object in of("EntryMsg") {
        let message = get(object, "message");
        let greeted = |at: usize| found.channels[at].settings.iter().any(|(key, _)| *key == "entrymsg");
        match channel_of(object) {
            Some(at) if !greeted(at) => found.channels[at].settings.push(("entrymsg", message.to_owned())),
            _ => object.wrong("message", message, "the only one of a channel of the file"),
        }
    }
}

fn set(channel: &mut Channel, notes: &mut Vec<String>, mode: &str, value: &str, by: &str, at: u64) {
    if let Some((_, list, before)) = LISTS.iter().find(|(name, ..)| *name == mode) {
        channel.lists.push((*list, format!("{before}{value}"), by.to_owned(), at));
        return;
    }
    let known = MODES.iter().find(|(name, _)| *name == mode);
    match (mode, known) {
        ("KEY", _) if value.is_empty() => {
            // Without its key the channel would be open.
            channel.modes.push('i');
            notes.push(format!(
                "channel {:?}: the mode \"KEY\" has no key, so it is invite-only (+i) until its founder sets one",
                channel.name
            ));
        }
        ("KEY", _) => channel.key = Some(value.to_owned()),
        ("LIMIT", _) => match value.parse() {
            Ok(limit) => channel.limit = Some(limit),
            Err(_) => notes.push(format!(
                "channel {:?}: the mode \"LIMIT\" is {value:?}, and did not come: a number of people would be right",
                channel.name
            )),
        },
        ("REDIRECT", _) => channel.forward = Some(value.to_owned()),
        (_, Some((_, letter))) => channel.modes.push(*letter),
        _ if OF_THE_SERVER.contains(&mode) => {}
        _ if value.is_empty() => notes.push(format!("channel {:?}: the mode {mode:?} did not come", channel.name)),
        _ => notes.push(format!(
            "channel {:?}: the mode {mode:?}, {:?}, did not come",
            channel.name,
            cut(value, limits::IMPORT_SHOWN)
        )),
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
    fn extended_bans_that_anope_keeps_as_modes_of_their_own_are_bans_and_others_are_named_with_their_masks() {
        let found = read(
            "OBJECT ChannelInfo\nDATA name #a\nDATA last_modes QUIET,*!*@x ACCOUNTBAN,bob SERVERBAN,irc.example\nEND\n\
             OBJECT ChannelInfo\nDATA name #b\nDATA last_modes +QUIET,5,al,$a:bob +TIMEDBAN,5,al,60:*!*@x\nEND\n",
        );
        let masks =
            found.channels.iter().flat_map(|room| &room.lists).map(|(mode, mask, ..)| format!("+{mode} {mask}"));
        let right = ["+b mute:*!*@x", "+b ~account:bob", "+b mute:$a:bob", "+b ~time:60:*!*@x"];
        assert_eq!(masks.collect::<Vec<_>>(), right);
        let note = "channel \"#a\": the mode \"SERVERBAN\", \"irc.example\", did not come";
        assert!(found.notes.iter().any(|other| other == note), "{:?}", found.notes);
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
    fn a_channel_that_keeps_no_topic_keeps_none_here_though_nothing_is_written_of_it() {
        let found = read(
            "OBJECT ChannelInfo\nDATA name #off\nEND\nOBJECT ChannelInfo\nDATA name #no\nDATA KEEPTOPIC 0\nEND\n\
             OBJECT ChannelInfo\nDATA name #on\nDATA KEEPTOPIC 1\nEND\n",
        );
        let off = ("keeptopic", "off".to_owned());
        let keep_none: Vec<_> = found.channels.iter().map(|channel| channel.settings.contains(&off)).collect();
        assert_eq!(keep_none, [true, true, false]);
    }

    #[test]
    fn what_never_expires_and_a_restricted_channel_are_so_here_and_channels_are_named() {
        let found = read(
            "OBJECT NickCore\nDATA display alice\nDATA HIDE_EMAIL 0\nDATA NS_PRIVATE 1\nEND\n\
             OBJECT NickAlias\nDATA nick alice\nDATA nc alice\nEND\n\
             OBJECT NickAlias\nDATA nick al\nDATA nc alice\nDATA NS_NO_EXPIRE 1\nEND\n\
             OBJECT ChannelInfo\nDATA name #a\nDATA founder alice\nDATA RESTRICTED 1\nDATA NOAUTOOP 1\nDATA CS_NO_EXPIRE 1\n\
             DATA PEACE 0\nDATA SECUREFOUNDER 1\nEND\n\
             OBJECT ChannelInfo\nDATA name #b\nDATA founder alice\nDATA RESTRICTED 0\nDATA KEEPTOPIC 1\nDATA CS_NO_EXPIRE 0\nEND\n\
             OBJECT ModeLock\nDATA ci #a\nDATA set 0\nDATA name INVITE\nDATA param \nEND\n\
             OBJECT ChanAccess\nDATA provider access/xop\nDATA ci #a\nDATA mask bob\nDATA data VOP\nDATA creator alice\nEND\n\
             OBJECT ChanAccess\nDATA provider access/xop\nDATA ci #a\nDATA mask hal\nDATA data HOP\nDATA creator alice\nEND\n\
             OBJECT ChanAccess\nDATA provider access/xop\nDATA ci #a\nDATA mask *!*@x\nDATA data AOP\nDATA creator alice\nEND\n\
             OBJECT ChanAccess\nDATA provider access/access\nDATA ci #a\nDATA mask troll\nDATA data -2\nDATA creator alice\nEND\n",
        );
        let on = ("noexpire", "on".to_owned());
        assert_eq!(found.accounts[0].settings.first(), Some(&on));
        let [a, b] = &found.channels[..] else { panic!("{:?}", found.channels) };
        assert_eq!((&*a.modes, &a.settings[..]), ("nti", &[on, ("keeptopic", "off".to_owned())][..]));
        assert_eq!((&*b.modes, &b.settings[..]), ("nt", &[][..]));
        let invited: Vec<_> = a.lists.iter().map(|(mode, mask, ..)| (*mode, &**mask)).collect();
        assert_eq!(invited, [('I', "account:bob"), ('I', "*!*@x")]);
        for part in
            ["channel \"#a\": it was RESTRICTED", "channel \"#a\": its NOAUTOOP", "SECUREFOUNDER of ", "NS_PRIVATE"]
        {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:#?}", found.notes);
        }
        for part in ["RESTRICTED of", "HIDE_EMAIL", "PEACE", "EXPIRE", "KEEPTOPIC"] {
            assert!(!found.notes.iter().any(|note| note.contains(part)), "{part}: {:#?}", found.notes);
        }
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

    #[test]
    fn values_that_are_none_and_what_somebody_wrote_and_did_not_come_are_named() {
        let found = read(
            "OBJECT NickCore\nDATA display alice\nDATA greet hello all\nDATA language de\nEND\n\
             OBJECT NickAlias\nDATA nick alice\nDATA nc alice\nDATA time_registered banana\nDATA last_seen 5\nEND\n\
             OBJECT NSSuspendInfo\nDATA nick alice\nDATA expires garbage\nEND\n\
             OBJECT ChannelInfo\nDATA name #a\nDATA founder alice\nDATA description of roses\nDATA time_registered x\n\
             DATA last_topic t\nDATA last_topic_time x\nDATA last_modes LIMIT,abc KEY\nDATA levels AUTOOP banana AUTOVOICE\nEND\n\
             OBJECT CSMiscData\nDATA ci #a\nDATA name URL\nDATA data https://a.example/\nEND\n\
             OBJECT CSMiscData\nDATA ci #a\nDATA name ICQ\nDATA data 12345\nEND\n\
             OBJECT EntryMsg\nDATA ci #a\nDATA message welcome\nEND\n\
             OBJECT AutoKick\nDATA ci #a\nDATA mask *!*@x\nDATA reason flooding\nEND\n\
             OBJECT ChannelInfo\nDATA name #A\nDATA founder alice\nEND\n\
             OBJECT BotInfo\nDATA nick bot\nEND\nOBJECT BotInfo\nDATA nick bat\nEND\n",
        );
        let room = &found.channels[0];
        let settings: Vec<_> = room.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(settings, ["description=of roses", "keeptopic=off", "url=https://a.example/", "entrymsg=welcome"]);
        // It had a key, and is not open now.
        assert_eq!((&room.key, &*room.modes, room.limit), (&None, "i", None));
        for part in [
            "account \"alice\": its greet, \"hello all\", did not come",
            "language of NickCore: 1 did not come",
            "the nick \"alice\": its time_registered is \"banana\", and did not come: a number of seconds since 1970",
            "last_seen of NickAlias: 1 did not come",
            "NSSuspendInfo of \"alice\": its expires is \"garbage\"",
            "channel \"#a\": its time_registered is \"x\"",
            "channel \"#a\": its last_topic_time is \"x\"",
            "channel \"#a\": the mode \"LIMIT\" is \"abc\"",
            "channel \"#a\": the mode \"KEY\" has no key",
            "channel \"#a\": its level AUTOOP is \"banana\", and did not come: a number would be right",
            "channel \"#a\": its level AUTOVOICE is \"\"",
            "CSMiscData of \"#a\": its ICQ is \"12345\"",
            "channel \"#a\": why \"*!*@x\" is banned, \"flooding\", did not come",
            "BotInfo: 2 did not come",
            "another channel \"#A\", which did not come",
        ] {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {:#?}", found.notes);
        }
    }
}
