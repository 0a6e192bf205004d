//! ChanServ SET and GET: the settings of a registered channel; and what those who join are told of them.

use ircv3::message::cut;
use ircv3::mode::Rank;

use crate::limits;
use crate::server::ban::{short, spoken};
use crate::server::change::Change;
use crate::server::command::oper;
use crate::server::command::services::chanserv::{
    account_named, announce_text, channel_named, channel_with, registered_channel,
};
use crate::server::command::services::{LOG_IN_FIRST, own_account, say, usage_of};
use crate::server::network::ChannelId;
use crate::server::record::{AccountId, Record, Seq, SettingRow};
use crate::server::retention::{AGE, Keep, kept_for};
use crate::server::right::Right;
use crate::server::session::Greeted;
use crate::server::setting::{ChannelSettings, Cutoff, Events};
use crate::server::{Ctx, Server};

/// A setting as people know it.
pub struct Setting {
    /// Its name, in capitals.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// The keys that it is kept under.
    keys: &'static [&'static str],
    /// Who may change it.
    who: Changer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changer {
    Admin,
    Founder,
    Operator,
}

/// The settings, by name.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "DESCRIPTION", takes: "text, or OFF", keys: &["description"], who: Changer::Admin },
    Setting { name: "EMAIL", takes: "an address, or OFF", keys: &["email"], who: Changer::Admin },
    Setting { name: "ENTRYMSG", takes: "text, or OFF", keys: &["entrymsg"], who: Changer::Admin },
    Setting { name: "EXPIRE", takes: "ON or OFF", keys: &["noexpire"], who: Changer::Operator },
    Setting { name: "HISTORY", takes: "ON or OFF", keys: &["history"], who: Changer::Admin },
    Setting { name: "HISTORY-CUTOFF", takes: "NONE, REGISTRATION or JOIN", keys: &["cutoff"], who: Changer::Admin },
    Setting {
        name: "HISTORY-EVENTS",
        takes: "ALL, NONE, or some of join,part,quit,kick,mode,topic,nick",
        keys: &["events"],
        who: Changer::Admin,
    },
    Setting {
        name: "HISTORY-RETENTION",
        takes: "a time as 30d or 1h30m, a number of messages as 1000, both as 30d,1000, or DEFAULT",
        keys: &["keep-seconds", "keep-messages"],
        who: Changer::Admin,
    },
    Setting { name: "KEEPTOPIC", takes: "ON or OFF", keys: &["keeptopic"], who: Changer::Admin },
    Setting { name: "SUCCESSOR", takes: "an account, or OFF", keys: &["successor"], who: Changer::Founder },
    Setting { name: "URL", takes: "an address of the web, or OFF", keys: &["url"], who: Changer::Admin },
];

/// A setting that is to change.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The name of the setting.
    pub name: &'a str,
    /// As given.
    pub value: &'a str,
}

/// SET
pub fn set(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let value = params[2..].join(" ");
    server.submit(ctx, Change::ChannelSetting(&Wanted { channel: params[0], name: params[1], value: &value }));
}

/// GET
pub fn get(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(id) = channel_named(server, ctx, params[0]) else { return };
    if params.len() > 1 && !SETTINGS.iter().any(|setting| setting.name.eq_ignore_ascii_case(params[1])) {
        unknown(ctx, params[1]);
        return;
    }
    let channel = &server.network.channels[id];
    if channel.founder.is_none() {
        let text = format!("Channel {} is not registered, so nothing is set", channel.name);
        say(ctx, "ChanServ", &text);
        return;
    }
    let name = channel.name.clone();
    for setting in SETTINGS {
        if params.get(1).is_none_or(|wanted| setting.name.eq_ignore_ascii_case(wanted)) {
            let text = format!("{} of {name} is {}", setting.name, shown(server, id, setting));
            say(ctx, "ChanServ", &text);
        }
    }
}

/// The value of a setting, for people.
pub fn shown(server: &Server, id: ChannelId, setting: &Setting) -> String {
    let settings = &server.network.channels[id].settings;
    match setting.name {
        "EXPIRE" => if settings.no_expire { "OFF" } else { "ON" }.to_owned(),
        "HISTORY" => if settings.history { "ON" } else { "OFF" }.to_owned(),
        "HISTORY-CUTOFF" => settings.cutoff.word().to_ascii_uppercase(),
        "HISTORY-EVENTS" => settings.events.to_string(),
        "HISTORY-RETENTION" => retention_text(settings.keep),
        "KEEPTOPIC" => if settings.keep_topic { "ON" } else { "OFF" }.to_owned(),
        "SUCCESSOR" => {
            let row = settings.successor.and_then(|account| server.network.account(account));
            row.map_or("OFF".to_owned(), |row| row.name.to_string())
        }
        _ => settings.value(setting.keys[0]).map_or("OFF".to_owned(), String::from),
    }
}

/// How much is kept, as it is asked for.
pub fn retention_text(keep: Keep) -> String {
    match (keep.seconds, keep.messages) {
        (0, 0) => "DEFAULT".to_owned(),
        (seconds, 0) => short(seconds.into()),
        (0, messages) => messages.to_string(),
        (seconds, messages) => format!("{},{messages}", short(seconds.into())),
    }
}

/// How much is to be kept: `30d`, `1000`, `30d,1000`, `DEFAULT`; or what is wrong with it.
pub fn parse_retention(server: &Server, value: &str) -> Result<Keep, String> {
    let mut keep = Keep::default();
    if value.eq_ignore_ascii_case("DEFAULT") {
        return Ok(keep);
    }
    for part in value.split([',', ' ']).filter(|part| !part.is_empty()) {
        let seconds = kept_for(part);
        let messages = part.parse().ok().filter(|number| (1..=limits::RETENTION_MOST).contains(number));
        match (seconds, messages) {
            (Some(seconds), _) if keep.seconds == 0 => keep.seconds = seconds,
            (_, Some(messages)) if keep.messages == 0 => keep.messages = messages,
            _ => {
                return Err(format!(
                    "{:?} says not how much to keep: give a time of a minute or more as 30d or 1h30m, a number of \
                     messages as 1000, both as 30d,1000, or DEFAULT",
                    cut(value, 64)
                ));
            }
        }
    }
    let most = server.settings.keep;
    let is_more = |own: u32, most: u32| most != 0 && own > most;
    if is_more(keep.seconds, most.seconds) {
        return Err(format!("This server keeps nothing for longer than {}", spoken(most.seconds.into())));
    }
    if is_more(keep.messages, most.messages) {
        return Err(format!("This server keeps the newest {} messages at most", most.messages));
    }
    if keep == Keep::default() {
        Err("Say how much to keep: 30d, 1000, 30d,1000, or DEFAULT".to_owned())
    } else {
        Ok(keep)
    }
}

fn unknown(ctx: &mut Ctx, name: &str) {
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    say(ctx, "ChanServ", &format!("{:?} is no setting; there are {}", cut(name, 32), names.join(", ")));
}

/// ON and OFF.
pub fn parse_flag(value: &str) -> Option<bool> {
    match value.to_ascii_uppercase().as_str() {
        "ON" | "TRUE" | "YES" => Some(true),
        "OFF" | "FALSE" | "NO" => Some(false),
        _ => None,
    }
}

/// The values of a setting's keys, or what is wrong with what was given.
fn parse(server: &Server, ctx: &mut Ctx, setting: &Setting, value: &str) -> Option<ChannelSettings> {
    let mut parsed = ChannelSettings::default();
    let understood = match setting.name {
        "EXPIRE" => parse_flag(value).map(|on| parsed.no_expire = !on),
        "HISTORY" => parse_flag(value).map(|on| parsed.history = on),
        "KEEPTOPIC" => parse_flag(value).map(|on| parsed.keep_topic = on),
        "HISTORY-CUTOFF" => Cutoff::by_word(value).map(|cutoff| parsed.cutoff = cutoff),
        "HISTORY-EVENTS" => Events::parse(&value.replace(' ', ",")).map(|events| parsed.events = events),
        "HISTORY-RETENTION" => match parse_retention(server, value) {
            Ok(keep) => {
                parsed.keep = keep;
                Some(())
            }
            Err(text) => {
                say(ctx, "ChanServ", &text);
                return None;
            }
        },
        "SUCCESSOR" if value.eq_ignore_ascii_case("OFF") => Some(()),
        "SUCCESSOR" => {
            let (account, _) = account_named(server, ctx, value)?;
            parsed.successor = Some(account);
            Some(())
        }
        _ => {
            let long = value.len() > limits::CHANNEL_TEXT_LEN;
            let fits = match setting.name {
                "EMAIL" => value.contains('@') && !value.contains(' '),
                "URL" => value.split_once("://").is_some_and(|(_, rest)| !rest.is_empty()) && !value.contains(' '),
                _ => true,
            };
            if long {
                let text = format!("{} has {} bytes, and {} fit", setting.name, value.len(), limits::CHANNEL_TEXT_LEN);
                say(ctx, "ChanServ", &text);
                return None;
            }
            let off = value.eq_ignore_ascii_case("OFF");
            if !off && fits {
                parsed.put(setting.keys[0], Some(value));
            }
            (off || fits).then_some(())
        }
    };
    if understood.is_none() {
        let text = format!("{:?} is no value of {}, which takes {}", cut(value, 64), setting.name, setting.takes);
        say(ctx, "ChanServ", &text);
    }
    understood.map(|()| parsed)
}

/// Changes a setting, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, wanted: &Wanted<'_>) {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(wanted.name)) else {
        unknown(ctx, wanted.name);
        return;
    };
    let Some(id) = changeable(server, ctx, wanted.channel, setting) else { return };
    if wanted.value.is_empty() {
        usage_of(ctx, "ChanServ", "SET");
        return;
    }
    let Some(parsed) = parse(server, ctx, setting, wanted.value) else { return };
    if parsed.successor.is_some() && parsed.successor == server.network.channels[id].founder {
        say(ctx, "ChanServ", "The founder cannot be its own successor");
        return;
    }
    let before = server.network.channels[id].settings.clone();
    let gone = server.gone_before(server.network.channels[id].folded.as_str());
    if let Some(gone) = gone.filter(|_| setting.keys.contains(&AGE)) {
        server.put_channel_setting(id, seq, "cleared", Some(&gone.to_string()));
    }
    for key in setting.keys {
        server.put_channel_setting(id, seq, key, parsed.value(key).as_deref());
    }
    let after = server.wait_for(seq);
    ctx.reply.after = ctx.reply.after.max(after);
    let there = &server.network.channels[id];
    let (name, now) = (there.name.clone(), there.settings.clone());
    say(ctx, "ChanServ", &format!("{} of {name} is {} now", setting.name, shown(server, id, setting)));
    if now.keep != before.keep {
        server.network.forget_count(name.as_ref());
        server.renew_retention();
    }
    // What becomes of what they say concerns everyone who is there.
    if (now.history, now.keep, now.cutoff) != (before.history, before.keep, before.cutoff) {
        let by = ctx.reply.nick.clone();
        let text = format!("{by} changed what becomes of what is said here. {}", history_text(server, id));
        announce_text(server, ctx, id, after, &text);
    }
}

/// The channel, if the sender may change the setting in it.
fn changeable(server: &mut Server, ctx: &mut Ctx, name: &str, setting: &Setting) -> Option<ChannelId> {
    let id = registered_channel(server, ctx, name)?;
    let may_force = oper::has(server, ctx, Right::Force);
    let own = server.network.channels[id].standing(own_account(server, ctx));
    let least = if setting.who == Changer::Founder { Rank::Founder } else { Rank::Admin };
    let is_own = setting.who != Changer::Operator && own.is_some_and(|rank| rank >= least);
    if is_own {
        return Some(id);
    }
    if may_force {
        server.audit(ctx.me(), &format!("ChanServ SET {name} {}", setting.name));
        return Some(id);
    }
    if own_account(server, ctx).is_none() {
        say(ctx, "ChanServ", LOG_IN_FIRST);
        return None;
    }
    match setting.who {
        Changer::Operator => say(ctx, "ChanServ", "Only operators of the server change EXPIRE"),
        Changer::Founder => say(ctx, "ChanServ", &format!("Only its founder changes {}", setting.name)),
        Changer::Admin => {
            let _ = channel_with(server, ctx, name, Rank::Admin);
        }
    }
    None
}

impl Server {
    /// Changes one setting of a registered channel, and keeps it.
    pub fn put_channel_setting(&mut self, id: ChannelId, seq: Seq, key: &str, value: Option<&str>) {
        let channel = &mut self.network.channels[id];
        channel.settings.put(key, value);
        let row = SettingRow { owner: channel.folded.as_str().into(), key: key.into(), value: value.map(Into::into) };
        self.keep(seq, Record::Setting(Box::new(row)));
    }

    /// Changes one setting of an account, and keeps it.
    pub fn put_account_setting(&mut self, account: AccountId, seq: Seq, key: &str, value: Option<&str>) {
        self.network.account_settings_mut(account).put(key, value);
        let row = SettingRow { owner: format!("${account}").into(), key: key.into(), value: value.map(Into::into) };
        self.keep(seq, Record::Setting(Box::new(row)));
    }
}

/// What becomes of what is said in a channel, in a sentence.
pub fn history_text(server: &Server, id: ChannelId) -> String {
    let channel = &server.network.channels[id];
    if !server.keeps_history(id) {
        return "Nothing that is said here is kept.".to_owned();
    }
    let keep = server.keep_of(channel.folded.as_str());
    let cutoff = match channel.settings.cutoff {
        Cutoff::None => "",
        Cutoff::Registration => " Who joins reads it from when their account was registered on.",
        Cutoff::Join => " Who joins reads it from then on.",
    };
    format!("What is said here is kept {}.{cutoff}", keep.spoken())
}

/// Whether not all that is said in a channel is kept for good and for everybody, by its own choice or the server's.
fn keeps_less_than_all(server: &Server, id: ChannelId) -> bool {
    let channel = &server.network.channels[id];
    server.settings.history
        && (!channel.settings.history
            || channel.settings.cutoff != Cutoff::None
            || server.keep_of(channel.folded.as_str()) != Keep::default())
}

/// Tells a connection that comes into a channel its message for those who do, and what becomes of what is said there
/// where that is not all and for good: once for each connection and channel, and again once it is otherwise. Bots are told
/// nothing.
pub fn greet(server: &mut Server, ctx: &mut Ctx, id: ChannelId) {
    let Some(user) = ctx.user else { return };
    let channel = &server.network.channels[id];
    if server.network.users[user].is_bot() {
        return;
    }
    let entry = channel.settings.entry_message.clone();
    let is_less = keeps_less_than_all(server, id);
    let (name, serial) = (channel.name.clone(), channel.serial);
    let Some(session) = server.session(ctx.conn) else { return };
    let before = session.particulars().greeted.iter().find(|greeted| greeted.channel == serial).cloned();
    if entry.is_none() && !is_less && before.is_none() {
        return;
    }
    let kept = history_text(server, id);
    let now = Greeted { channel: serial, entry: entry.clone(), kept: kept.as_str().into() };
    if before.as_ref() == Some(&now) {
        return;
    }
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let greeted = &mut session.particulars_mut().greeted;
    greeted.retain(|greeted| greeted.channel != serial);
    if greeted.len() >= limits::GREETED {
        greeted.remove(0);
    }
    greeted.push(now);
    let (is_new, is_other) = match &before {
        Some(before) => (before.entry != entry, *before.kept != *kept),
        None => (true, is_less),
    };
    if let Some(text) = entry.filter(|_| is_new) {
        say(ctx, "ChanServ", &format!("[{name}] {text}"));
    }
    if is_other {
        say(ctx, "ChanServ", &format!("[{name}] {kept}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::server::command::bulk::testing::Asked;
    use crate::server::retention::Keep;
    use crate::server::settings::Settings;

    #[test]
    fn whoever_joins_again_is_told_what_is_otherwise_by_then() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("bob", 1);
        for line in ["JOIN #a", "CS REGISTER #a"] {
            asked.ask(bob, line);
        }
        for (change, told) in [
            ("CS GET #a HISTORY-RETENTION", vec![]),
            ("CS SET #a HISTORY-RETENTION 30d", vec!["[#a] What is said here is kept for 30 days."]),
            ("CS SET #a ENTRYMSG hello", vec!["[#a] hello"]),
            ("CS SET #a HISTORY OFF", vec!["[#a] Nothing that is said here is kept."]),
            ("CS GET #a HISTORY", vec![]),
            ("CS SET #a ENTRYMSG OFF", vec![]),
            ("CS SET #a HISTORY ON", vec!["[#a] What is said here is kept for 30 days."]),
            ("CS SET #a HISTORY-RETENTION DEFAULT", vec!["[#a] What is said here is kept for good."]),
            ("CS GET #a HISTORY", vec![]),
        ] {
            asked.ask(bob, change);
            let lines = asked.ask(alice, "JOIN #a");
            let notices: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(":ChanServ!")?.split_once(" NOTICE alice :"))
                .map(|(_, text)| text.trim_end())
                .collect();
            assert_eq!(notices, told, "{change}");
            asked.ask(alice, "PART #a");
        }
    }

    #[test]
    fn whoever_joins_is_told_once_what_is_kept_where_the_server_deletes_anything() {
        for (keep, told) in [
            (Keep::default(), None),
            (Keep { seconds: 86_400, messages: 0 }, Some("[#a] What is said here is kept for 1 day.")),
            (
                Keep { seconds: 0, messages: 10 },
                Some("[#a] What is said here is kept only while among the newest 10 messages."),
            ),
        ] {
            let mut asked = Asked::new();
            asked.server.settings = Arc::new(Settings { keep, ..(*asked.server.settings).clone() });
            let (alice, bob) = (asked.user("alice"), asked.user("bob"));
            asked.ask(bob, "JOIN #a");
            let lines = asked.ask(alice, "JOIN #a");
            let notices: Vec<&String> = lines.iter().filter(|line| line.contains(":ChanServ!")).collect();
            assert_eq!(notices.len(), usize::from(told.is_some()), "{lines:?}");
            assert!(told.is_none_or(|text| notices[0].ends_with(text)), "{lines:?}");
            asked.ask(alice, "PART #a");
            assert!(!asked.ask(alice, "JOIN #a").concat().contains(":ChanServ!"), "{keep:?}");
        }
    }
}
