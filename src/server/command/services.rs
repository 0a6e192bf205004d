//! NickServ and ChanServ: accounts and channels for clients without the commands of IRCv3.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::write_line;
use ircv3::mode::{Rank, Ranks};
use ircv3::numeric::Numeric;
use ircv3::{Cap, Message};

use crate::server::change::Change;
use crate::server::command::register::{self, By};
use crate::server::command::{credentials, join, metadata, mode, oper};
use crate::server::frame::Frame;
use crate::server::login::Door;
use crate::server::network::ChannelId;
use crate::server::notice::About;
use crate::server::policy;
use crate::server::presence;
use crate::server::record::{AccountId, AccountRow, Record, Seq};
use crate::server::right::Right;
use crate::server::session::Session;
use crate::server::{Ctx, Server};

/// NICKSERV, NS
pub fn nickserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = words(line);
    message(server, ctx, "NickServ", &text);
}

/// CHANSERV, CS
pub fn chanserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = words(line);
    message(server, ctx, "ChanServ", &text);
}

fn words(line: &Message) -> String {
    line.params().collect::<Vec<_>>().join(" ")
}

/// A PRIVMSG to a service.
pub fn message(server: &mut Server, ctx: &mut Ctx, service: &str, text: &str) {
    // A target before this one in the same PRIVMSG has the line's label and waits for its answer.
    if server.session(ctx.conn).is_some_and(Session::is_busy) {
        return;
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let verb = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    if service.eq_ignore_ascii_case("NickServ") {
        match verb.as_str() {
            "REGISTER" => nick_register(server, ctx, rest),
            "SAREGISTER" => nick_saregister(server, ctx, rest),
            "IDENTIFY" | "ID" | "LOGIN" => identify(server, ctx, rest),
            "PASSWD" => credentials::passwd(server, ctx, rest),
            "CERT" => credentials::cert(server, ctx, rest),
            "SET" => nick_set(server, ctx, rest),
            "INFO" => nick_info(server, ctx, rest),
            "HELP" | "" => help(ctx, "NickServ", NICKSERV_HELP),
            _ => unknown(ctx, "NickServ", &verb),
        }
    } else if service.eq_ignore_ascii_case("ChanServ") {
        match verb.as_str() {
            "REGISTER" => {
                let channel = rest.first().copied();
                submit_named(server, ctx, channel, "REGISTER <#channel>", |channel| Change::RegisterChannel {
                    channel,
                });
            }
            "DROP" | "UNREGISTER" => {
                let channel = rest.first().copied();
                submit_named(server, ctx, channel, "DROP <#channel>", |channel| Change::DropChannel { channel });
            }
            "INFO" => chan_info(server, ctx, rest),
            "OP" => {
                let channel = rest.first().copied();
                submit_named(server, ctx, channel, "OP <#channel>", |channel| Change::OpFounder { channel });
            }
            "HELP" | "" => help(ctx, "ChanServ", CHANSERV_HELP),
            _ => unknown(ctx, "ChanServ", &verb),
        }
    } else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[service], Some("No such service on this server"));
    }
}

const NICKSERV_HELP: &[&str] = &[
    "REGISTER <password>: makes an account of your nick",
    "IDENTIFY [account] <password>: logs in to an account",
    "PASSWD <new password> <new password>: changes your password",
    "CERT ADD [fingerprint]|DEL <fingerprint>|LIST: client certificates that log in to your account",
    "SET PUBKEY <key>|OFF: your key for ECDSA-NIST256P-CHALLENGE",
    "SET ALWAYS-ON ON|OFF|DEFAULT: whether you stay on the network when you disconnect",
    "SET AUTOREPLAY-MISSED ON|OFF: whether what you missed is replayed at login",
    "SET MULTICLIENT ON|OFF: whether several of your devices share one nick",
    "SAREGISTER <account> <password>: makes an account for someone else (operators)",
    "INFO [account]: tells about an account",
];

const SETTINGS: &str =
    "SET ALWAYS-ON ON|OFF|DEFAULT, SET AUTOREPLAY-MISSED ON|OFF, SET MULTICLIENT ON|OFF or SET PUBKEY <key>|OFF";

const CHANSERV_HELP: &[&str] = &[
    "REGISTER <#channel>: registers a channel that you are operator of",
    "DROP <#channel>: ends the registration of your channel",
    "INFO <#channel>: tells about a registered channel",
    "OP <#channel>: makes you operator of your channel",
];

/// What ChanServ speaks as.
const CHANSERV: &str = "ChanServ!ChanServ@services";

/// A NOTICE from a service to the client.
pub fn say(ctx: &mut Ctx, service: &str, text: &str) {
    let nick = ctx.reply.nick.clone();
    ctx.reply.line_from(&format!("{service}!{service}@services"), "NOTICE", &[&nick], Some(text));
}

fn help(ctx: &mut Ctx, service: &str, lines: &[&str]) {
    say(ctx, service, &format!("{service} knows these commands:"));
    for line in lines {
        say(ctx, service, line);
    }
}

fn unknown(ctx: &mut Ctx, service: &str, verb: &str) {
    say(ctx, service, &format!("{verb:?} is no command of {service}; HELP lists them"));
}

/// What a command takes.
pub fn usage(ctx: &mut Ctx, service: &str, usage: &str) {
    say(ctx, service, &format!("That takes: {usage}"));
}

fn nick_register(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let Some(password) = rest.first() else {
        usage(ctx, "NickServ", "REGISTER <password>");
        return;
    };
    let account = ctx.reply.nick.clone();
    register::begin(server, ctx, &account, password, By::NickServ);
}

/// An account for someone else.
fn nick_saregister(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    if !oper::may(server, ctx, Right::Force) {
        return;
    }
    match rest {
        [account, password] => register::begin(server, ctx, account, password, By::Operator),
        _ => usage(ctx, "NickServ", "SAREGISTER <account> <password>"),
    }
}

fn identify(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let (name, password) = match rest {
        [password] => (ctx.reply.nick.to_string(), *password),
        [name, password, ..] => ((*name).to_owned(), *password),
        [] => {
            usage(ctx, "NickServ", "IDENTIFY [account] <password>");
            return;
        }
    };
    if server.session(ctx.conn).is_some_and(|session| session.account.is_some()) {
        say(ctx, "NickServ", "You are logged in to an account already");
        return;
    }
    server.try_password(ctx, Door::NickServ, &name, "", password);
}

/// Changes an account and keeps it; whether there is such an account.
pub fn keep_account(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    change: impl FnOnce(&mut AccountRow),
) -> bool {
    let Some(mut row) = server.network.account(account).cloned() else { return false };
    change(&mut row);
    server.network.put_account(row.clone());
    server.keep(seq, Record::Account(Box::new(row)));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    true
}

fn nick_set(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let Some(account) = server.session(ctx.conn).and_then(|session| session.account) else {
        say(ctx, "NickServ", "Log in first");
        return;
    };
    let [name, value] = rest else {
        usage(ctx, "NickServ", SETTINGS);
        return;
    };
    if name.eq_ignore_ascii_case("PUBKEY") {
        credentials::set_key(server, ctx, value);
        return;
    }
    let value = match value.to_ascii_uppercase().as_str() {
        "ON" | "TRUE" | "YES" => Some(true),
        "OFF" | "FALSE" | "NO" => Some(false),
        "DEFAULT" => None,
        _ => {
            usage(ctx, "NickServ", SETTINGS);
            return;
        }
    };
    let change = match (name.to_ascii_uppercase().as_str(), value) {
        ("AUTOREPLAY-MISSED", Some(on)) => Change::AutoreplayMissed { account, on },
        ("ALWAYS-ON", chosen) => Change::AlwaysOn { account, chosen, by_nickserv: true },
        ("MULTICLIENT", Some(on)) => Change::Multiclient { account, on },
        _ => {
            usage(ctx, "NickServ", SETTINGS);
            return;
        }
    };
    server.submit(ctx, change);
}

/// Sets whether an account stays on the network without a connection.
pub fn apply_always_on(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    chosen: Option<bool>,
    by_nickserv: bool,
) {
    if !keep_account(server, ctx, seq, account, |row| row.always_on = chosen) {
        return;
    }
    let name = server.network.account(account).map(|row| row.folded.clone()).unwrap_or_default();
    if let Some(user) = server.network.user_by_nick(&name)
        && server.network.users[user].account == Some(account)
    {
        server.keep_presence(user);
        for conn in server.network.users[user].sessions.clone() {
            if conn != ctx.conn && server.session(conn).is_some_and(|session| session.caps.has(Cap::Persistence)) {
                let mut told = server.ctx(conn, None);
                presence::status(server, &mut told, account);
                told.reply.after = ctx.reply.after;
                server.finish(told);
            }
        }
    }
    if by_nickserv {
        let on = presence::is_chosen(&server.settings, chosen);
        let text = if on { "you stay on the network when you disconnect" } else { "you leave when you disconnect" };
        let chosen = chosen.map_or("left to the server", |on| if on { "on" } else { "off" });
        say(ctx, "NickServ", &format!("ALWAYS-ON is {chosen}: {text}"));
    } else {
        presence::status(server, ctx, account);
    }
}

/// Sets whether a second connection may share the account's nick.
pub fn apply_multiclient(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, on: bool) {
    if keep_account(server, ctx, seq, account, |row| row.multiclient = on) {
        say(ctx, "NickServ", if on { "MULTICLIENT is on" } else { "MULTICLIENT is off" });
    }
}

/// Sets whether what was missed is replayed to an account's clients.
pub fn apply_autoreplay(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, on: bool) {
    if keep_account(server, ctx, seq, account, |row| row.autoreplay_missed = on) {
        say(ctx, "NickServ", if on { "AUTOREPLAY-MISSED is on" } else { "AUTOREPLAY-MISSED is off" });
    }
}

fn nick_info(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let name = rest.first().map_or_else(|| ctx.reply.nick.to_string(), |name| (*name).to_owned());
    match server.network.account_by_name(&name) {
        Some(row) => {
            let text = format!("Account {} was registered at {}", row.name, ircv3::time::time_text(row.registered));
            say(ctx, "NickServ", &text);
        }
        None => say(ctx, "NickServ", &format!("There is no account {name:?}")),
    }
}

fn submit_named<'a>(
    server: &mut Server,
    ctx: &mut Ctx,
    channel: Option<&'a str>,
    syntax: &str,
    change: impl FnOnce(&'a str) -> Change<'a>,
) {
    match channel {
        Some(channel) => {
            server.submit(ctx, change(channel));
        }
        None => usage(ctx, "ChanServ", syntax),
    }
}

/// The channel that a ChanServ command names, if the client may know of it.
fn channel_named(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let seen = policy::channel_seen(&server.network, ctx.me(), name);
    if seen.is_none() {
        say(ctx, "ChanServ", &format!("There is no channel {name:?}"));
    }
    seen
}

/// Registers a channel to the sender's account, where it may.
pub fn apply_register(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str) {
    let Some(id) = channel_named(server, ctx, name) else { return };
    if !server.is_open_to_registrations() {
        say(ctx, "ChanServ", "Channels cannot be registered now; try again later");
        return;
    }
    let Some(account) = server.network.users[ctx.me()].account else {
        say(ctx, "ChanServ", "Log in first: a channel belongs to an account");
        return;
    };
    let channel = &server.network.channels[id];
    let name = channel.name.clone();
    if !server.settings.channel_registration {
        say(ctx, "ChanServ", "Channels cannot be registered on this server");
        return;
    }
    if channel.founder.is_some() {
        say(ctx, "ChanServ", &format!("Channel {name} is registered already"));
        return;
    }
    if !channel.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Op)) {
        say(ctx, "ChanServ", &format!("Only an operator of {name} can register it"));
        return;
    }
    if policy::channel_is_like_another(&server.network, &name, Some(account)) {
        say(ctx, "ChanServ", &format!("{name} looks like another channel that is registered; choose another name"));
        return;
    }
    let registered = server.clock();
    let channel = &mut server.network.channels[id];
    channel.founder = Some(account);
    channel.registered = registered;
    let lists = channel.list_rows();
    let after = server.keep_channel(id, seq);
    let by = server.network.users[ctx.me()].source.clone();
    server.notify(About::Channels, |_| format!("{name} was registered by {by}"));
    metadata::keep_channel(server, seq, id);
    for row in lists {
        server.keep(seq, Record::ListEntry(Box::new(row)));
    }
    ctx.reply.after = ctx.reply.after.max(after);
    say(ctx, "ChanServ", &format!("Channel {name} is registered"));
    announce_registered(server, ctx, id, after, "+r");
    give_founder(server, ctx, id, after);
}

/// `+q` and `+o` for the sender, announced.
fn give_founder(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq) {
    let user = ctx.me();
    let nick = server.network.users[user].nick.clone();
    let channel = &mut server.network.channels[id];
    let Some(ranks) = channel.members.get_mut(&user) else { return };
    let mut given = Ranks::default();
    for rank in [Rank::Founder, Rank::Op] {
        if !ranks.has(rank) {
            ranks.insert(rank);
            given.insert(rank);
        }
    }
    if given.is_empty() {
        return;
    }
    join::distinguish(server, id, user);
    let after = after.max(server.keep_presence(user));
    let line = mode::ranks_line(CHANSERV, &server.network.channels[id].name, &nick, given);
    announce(server, ctx, id, after, line);
    mode::show_hidden(server, id, user);
}

/// `+r` or `-r` from ChanServ.
fn announce_registered(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq, modes: &str) {
    let mut line = Vec::with_capacity(64);
    write_line(&mut line, CHANSERV, "MODE", &[&server.network.channels[id].name, modes], None);
    announce(server, ctx, id, after, Bytes::from(line));
}

/// MODE from ChanServ, to the channel and to the sender if it is in it.
fn announce(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq, line: Bytes) {
    let mut frame = Frame::plain(server.clock(), line);
    frame.after = after;
    let frame = Arc::new(frame);
    server.frame_to_channel(id, frame.clone(), Some(ctx.conn));
    if server.network.channels[id].members.contains_key(&ctx.me()) {
        ctx.reply.frame(&frame);
    }
}

fn own_channel(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let id = channel_named(server, ctx, name)?;
    let channel = &server.network.channels[id];
    let account = server.network.users[ctx.me()].account;
    if channel.founder.is_none() || channel.founder != account {
        let text = format!("Channel {} is not registered to your account", channel.name);
        say(ctx, "ChanServ", &text);
        return None;
    }
    Some(id)
}

/// Ends the registration of the sender's channel.
pub fn apply_drop(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str) {
    let Some(id) = own_channel(server, ctx, name) else { return };
    let channel = &mut server.network.channels[id];
    channel.founder = None;
    let (name, folded) = (channel.name.clone(), channel.folded.clone());
    server.keep(seq, Record::ChannelGone(folded.as_str().into()));
    let after = server.wait_for(seq);
    ctx.reply.after = ctx.reply.after.max(after);
    server.notify(About::Channels, |_| format!("{name} is no longer registered"));
    say(ctx, "ChanServ", &format!("Channel {name} is no longer registered"));
    announce_registered(server, ctx, id, after, "-r");
    server.network.drop_channel_if_empty(id);
}

/// Makes the founder operator of its channel.
pub fn apply_op(server: &mut Server, ctx: &mut Ctx, name: &str) {
    let Some(id) = own_channel(server, ctx, name) else { return };
    give_founder(server, ctx, id, 0);
}

fn chan_info(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let Some(name) = rest.first() else {
        usage(ctx, "ChanServ", "INFO <#channel>");
        return;
    };
    let Some(id) = channel_named(server, ctx, name) else { return };
    let channel = &server.network.channels[id];
    let text = match channel.founder.and_then(|founder| server.network.account(founder)) {
        Some(founder) => format!(
            "Channel {} is registered to {} since {}",
            channel.name,
            founder.name,
            ircv3::time::time_text(channel.registered)
        ),
        None => format!("Channel {} is not registered", channel.name),
    };
    say(ctx, "ChanServ", &text);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn c40_a_service_named_twice_in_one_line_is_asked_once_and_the_label_stays_with_it() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "batch labeled-response");
        asked.ask(alice, "@label=x PRIVMSG NickServ,NickServ :IDENTIFY alice password");
        let waiting = asked.server.session(alice).unwrap().waiting.as_ref().unwrap();
        assert_eq!(waiting.label.as_deref(), Some("x"));
    }
}
