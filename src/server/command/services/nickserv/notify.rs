//! NickServ NOTIFY: what somebody's devices are told of by web push, and which devices these are.

use ircv3::message::cut;

use crate::limits;
use crate::push::endpoint::Endpoint;
use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::metadata;
use crate::server::command::services::{own_account, say, usage_of};
use crate::server::notify::{self, EVERYTHING, HIDE, KEYWORDS, MUTED, NOTIFY, QUIET};
use crate::server::record::{AccountId, Seq};
use crate::server::{Ctx, Server};

/// NOTIFY
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_account(server, ctx) else { return };
    let verb = params.first().map(|verb| verb.to_ascii_uppercase()).unwrap_or_default();
    let rest = &params[params.len().min(1)..];
    match (&*verb, rest) {
        ("" | "LIST", []) => list(server, ctx, account),
        ("DEVICES", []) => devices(server, ctx, account),
        ("FORGET", [number]) => forget(server, ctx, account, number),
        ("TEST", []) => test(server, ctx, account),
        ("LEVEL", [target, level]) => set(server, ctx, account, target, NOTIFY, level, "DEFAULT"),
        ("QUIET", [target, hours]) => set(server, ctx, account, target, QUIET, hours, "DEFAULT"),
        ("HIDE", [target, on]) => {
            let value = match on.to_ascii_uppercase().as_str() {
                "ON" => "1",
                "OFF" => "0",
                "DEFAULT" => "default",
                _ => {
                    let text = format!("{:?} is no value of HIDE, which takes ON, OFF or DEFAULT", cut(on, 32));
                    say(ctx, "NickServ", &text);
                    return;
                }
            };
            set(server, ctx, account, target, HIDE, value, "DEFAULT");
        }
        ("KEYWORD", [target, verb, word]) => keyword(server, ctx, account, target, verb, word),
        _ => usage_of(ctx, "NickServ", "NOTIFY"),
    }
}

/// Whether a target can be one; NickServ says so where it cannot.
fn is_target(server: &Server, ctx: &mut Ctx, target: &str) -> bool {
    let possible = target == EVERYTHING
        || ircv3::name::is_channel(target, limits::CHANNEL_LEN)
        || ircv3::name::is_nick(target, limits::NICK_LEN, server.network.casemapping);
    if !possible {
        let text = format!("{:?} is neither a channel nor a nick; * is everything", cut(target, 64));
        say(ctx, "NickServ", &text);
    }
    possible
}

fn set(server: &mut Server, ctx: &mut Ctx, account: AccountId, target: &str, key: &str, value: &str, none: &str) {
    if !is_target(server, ctx, target) {
        return;
    }
    let value = value.to_ascii_lowercase();
    let value = (!value.eq_ignore_ascii_case(none)).then_some(&*value);
    if let Some(Err(text)) = value.map(|value| notify::check(key, value)) {
        say(ctx, "NickServ", &format!("{text}, or DEFAULT"));
        return;
    }
    server.submit(ctx, Change::Notify { account, target, key, value });
}

fn keyword(server: &mut Server, ctx: &mut Ctx, account: AccountId, target: &str, verb: &str, word: &str) {
    if !is_target(server, ctx, target) {
        return;
    }
    let about = server.network.about(target);
    let there = server.network.private_metadata(account, &about).and_then(|map| map.get(KEYWORDS)).cloned();
    let mut words: Vec<&str> = there.iter().flat_map(|words| words.split(' ')).collect();
    let is_it = |other: &str| other.to_lowercase() == word.to_lowercase();
    match verb.to_ascii_uppercase().as_str() {
        "ADD" if words.iter().any(|other| is_it(other)) => {
            say(ctx, "NickServ", &format!("{:?} is a keyword already", cut(word, 64)));
            return;
        }
        "ADD" => words.push(word),
        "DEL" if !words.iter().any(|other| is_it(other)) => {
            say(ctx, "NickServ", &format!("{:?} is no keyword there", cut(word, 64)));
            return;
        }
        "DEL" => words.retain(|other| !is_it(other)),
        _ => {
            usage_of(ctx, "NickServ", "NOTIFY");
            return;
        }
    }
    let value = words.join(" ");
    let value = (!value.is_empty()).then_some(&*value);
    if let Some(Err(text)) = value.map(|value| notify::check(KEYWORDS, value)) {
        say(ctx, "NickServ", &text);
        return;
    }
    if value.is_some_and(|value| value.len() > limits::METADATA_VALUE_BYTES) {
        let text = format!("The keywords have at most {} bytes in all", limits::METADATA_VALUE_BYTES);
        say(ctx, "NickServ", &text);
        return;
    }
    server.submit(ctx, Change::Notify { account, target, key: KEYWORDS, value });
}

/// Keeps a rule, and tells of all there are about its target.
pub fn apply(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    target: &str,
    key: &str,
    value: Option<&str>,
) {
    let about = server.network.about(target);
    if !metadata::put_private(server, seq, account, &about, key, value) {
        let text =
            format!("You have rules for {} channels and people, and that is all you may", limits::PRIVATE_TARGETS);
        say(ctx, "NickServ", &text);
        return;
    }
    // A level takes the place of what a client has muted.
    let muted = server.network.private_metadata(account, &about).is_some_and(|map| map.contains_key(MUTED));
    if key == NOTIFY && muted {
        metadata::put_private(server, seq, account, &about, MUTED, None);
    }
    ctx.reply.after = ctx.reply.after.max(server.network.metadata_changed);
    let user = ctx.me();
    let nick = server.network.users[user].nick.clone();
    let (shown, name) = if target == EVERYTHING { (&*nick, "everything") } else { (target, target) };
    metadata::tell_own(server, ctx, user, shown, key, value);
    let rules = rules(server, account, &about).unwrap_or_else(|| "as for everything".to_owned());
    say(ctx, "NickServ", &format!("{name}: {rules}"));
}

/// The rules about something, in words; `None` without any.
fn rules(server: &Server, account: AccountId, about: &str) -> Option<String> {
    let map = server.network.private_metadata(account, about)?;
    let words: Vec<String> = map
        .iter()
        .filter_map(|(key, value)| {
            Some(match (&**key, &**value) {
                (NOTIFY, level) => format!("level {level}"),
                (KEYWORDS, words) => format!("keywords {words}"),
                (QUIET, hours) => format!("quiet {hours}"),
                (HIDE, "1") => "text hidden".to_owned(),
                (HIDE, _) => "text shown".to_owned(),
                (MUTED, "1") => "muted".to_owned(),
                (notify::BLOCKED, "1") => "blocked".to_owned(),
                _ => return None,
            })
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn list(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let count = server.network.subscriptions(account).len();
    let push = if server.settings.webpush.is_some() { "" } else { "; this server does not push" };
    say(ctx, "NickServ", &format!("Your devices that get push: {count}{push}"));
    let general = rules(server, account, EVERYTHING);
    say(ctx, "NickServ", &format!("everything: {}", general.as_deref().unwrap_or("level mentions")));
    let abouts: Vec<&str> = server.network.all_private_metadata(account).map(|(about, _)| about).collect();
    for about in abouts.into_iter().filter(|about| *about != EVERYTHING) {
        let Some(rules) = rules(server, account, about) else { continue };
        let name = match about.strip_prefix('$').and_then(|number| number.parse().ok()) {
            Some(other) => server.network.account(other).map(|row| row.name.to_string()),
            None => Some(about.trim_start_matches('~').to_owned()),
        };
        if let Some(name) = name {
            say(ctx, "NickServ", &format!("{name}: {rules}"));
        }
    }
}

fn devices(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let rows = server.network.subscriptions(account);
    say(ctx, "NickServ", &format!("Your devices that get push: {}", rows.len()));
    for (at, row) in rows.iter().enumerate() {
        let origin = Endpoint::stored(&row.endpoint).map(|endpoint| endpoint.origin().to_owned()).unwrap_or_default();
        let device = if row.device.is_empty() { String::new() } else { format!("{}, ", row.device) };
        let reached = match row.reached {
            0 => "not reached yet".to_owned(),
            at => format!("last reached at about {}", readable(at * 1000)),
        };
        let since = readable(row.made * 1000);
        say(ctx, "NickServ", &format!("{}: {device}by {origin}, since {since}, {reached}", at + 1));
    }
}

fn forget(server: &mut Server, ctx: &mut Ctx, account: AccountId, number: &str) {
    let rows = server.network.subscriptions(account);
    let all = number.eq_ignore_ascii_case("ALL");
    let named = number.parse::<usize>().ok().and_then(|number| rows.get(number.checked_sub(1)?));
    let endpoints: Vec<Box<str>> = match named {
        _ if all => rows.iter().map(|row| row.endpoint.clone()).collect(),
        Some(row) => vec![row.endpoint.clone()],
        None => {
            let text = format!("You have no device {:?}; NOTIFY DEVICES has their numbers", cut(number, 32));
            say(ctx, "NickServ", &text);
            return;
        }
    };
    let count = endpoints.len();
    for endpoint in endpoints {
        let reason = "its owner took it away";
        server.submit(ctx, Change::DeviceOver { account, endpoint: &endpoint, reason });
    }
    ctx.reply.after = ctx.reply.after.max(server.wait_for(server.last_seq()));
    say(ctx, "NickServ", &format!("Devices that get no push any more: {count}"));
}

fn test(server: &mut Server, ctx: &mut Ctx, account: AccountId) {
    let endpoints: Vec<Box<str>> =
        server.network.subscriptions(account).iter().map(|row| row.endpoint.clone()).collect();
    if !server.may_test_push(account) {
        say(ctx, "NickServ", "That was done a moment ago; try again in a minute");
        return;
    }
    for endpoint in &endpoints {
        server.push_test(account, endpoint, 0);
    }
    say(ctx, "NickServ", &format!("Devices that are told that push works: {}", endpoints.len()));
}
