//! METADATA (<https://ircv3.net/specs/extensions/metadata>), and its rewrite that is under review
//! (<https://github.com/ircv3/ircv3-specifications/pull/613>): keys and values of people and channels.
//!
//! One engine, two dialects: `draft/metadata-2` tells changes by the verb METADATA, `draft/metadata-3` by
//! the numerics that answer GET; some codes of FAIL differ. Who negotiated both speaks the newer one.

use ircv3::mode::Rank;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Message};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{need_more_params, negotiated, oper, printable};
use crate::server::event::ConnId;
use crate::server::network::{ChannelId, UserId};
use crate::server::notify;
use crate::server::policy;
use crate::server::record::{AccountId, MetadataRow, Record, Seq};
use crate::server::user::Metadata;
use crate::server::{Ctx, Server};

/// The tokens of the capability.
pub fn value(newer: bool) -> String {
    let keys = if newer { format!(",max-key-bytes={}", limits::METADATA_KEY_BYTES) } else { String::new() };
    format!(
        "before-connect,max-subs={},max-keys={}{keys},max-value-bytes={}",
        limits::METADATA_SUBSCRIPTIONS,
        limits::METADATA_KEYS,
        limits::METADATA_VALUE_BYTES
    )
}

/// Whose keys they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A connection that is no user yet.
    Newcomer,
    User(UserId),
    Channel(ChannelId),
}

/// METADATA
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (name, subcommand) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or("").to_ascii_uppercase());
    if !negotiated(ctx, line.command(), &[Cap::Metadata2, Cap::Metadata3]) {
        return;
    }
    if ctx.user.is_none() && name != "*" {
        fail(ctx, "INVALID_TARGET", &[name], "Before the connection is registered there is no target but *");
        return;
    }
    let keys: Vec<&str> = line.params().skip(2).collect();
    match subcommand.as_str() {
        "SUB" | "UNSUB" | "GET" | "SET" if keys.is_empty() => need_more_params(ctx, "METADATA"),
        "SUB" => subscribe(server, ctx, &keys),
        "UNSUB" => unsubscribe(server, ctx, &keys),
        "SUBS" => subscriptions(server, ctx),
        "GET" => get(server, ctx, name, &keys),
        "LIST" => list(server, ctx, name),
        "SYNC" => sync(server, ctx, name),
        "SET" if ctx.user.is_none() => set_early(server, ctx, keys[0], keys.get(1).copied()),
        "SET" => server.submit(ctx, Change::Metadata { target: name, key: keys[0], value: keys.get(1).copied() }),
        "CLEAR" if ctx.user.is_none() => fail(ctx, "KEY_NO_PERMISSION", &["*", "*"], "Register the connection first"),
        "CLEAR" => server.submit(ctx, Change::MetadataClear { target: name }),
        other => {
            let text = "METADATA knows GET, LIST, SET, CLEAR, SUB, UNSUB, SUBS and SYNC";
            let code = if is_newer(ctx) { "INVALID_PARAMS" } else { "SUBCOMMAND_INVALID" };
            fail(ctx, code, &[other], text);
        }
    }
}

fn is_spoken(ctx: &Ctx) -> bool {
    ctx.reply.caps.has(Cap::Metadata2) || ctx.reply.caps.has(Cap::Metadata3)
}

fn is_newer(ctx: &Ctx) -> bool {
    ctx.reply.caps.has(Cap::Metadata3)
}

fn fail(ctx: &mut Ctx, code: &str, context: &[&str], text: &str) {
    let context: Vec<&str> = context.iter().map(|word| printable(word)).collect();
    ctx.reply.fail("METADATA", code, &context, text);
}

fn invalid_key(ctx: &mut Ctx, key: &str) {
    let code = if is_newer(ctx) { "INVALID_KEY" } else { "KEY_INVALID" };
    let text = format!("A key has 1 to {} of a-z, 0-9 and _ . / -", limits::METADATA_KEY_BYTES);
    fail(ctx, code, &[key], &text);
}

fn is_key(key: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_./-".contains(&byte);
    !key.is_empty() && key.len() <= limits::METADATA_KEY_BYTES && key.bytes().all(good)
}

fn no_permission(ctx: &mut Ctx, target: &str, key: &str) {
    fail(ctx, "KEY_NO_PERMISSION", &[target, key], "You may not do that with these keys");
}

/// What a name means, and how it is written; FAIL where it means nothing.
fn resolve(server: &Server, ctx: &mut Ctx, name: &str) -> Option<(Target, Box<str>)> {
    let network = &server.network;
    let Some(user) = ctx.user else { return Some((Target::Newcomer, "*".into())) };
    let found = if name == "*" {
        Some((Target::User(user), Box::from(&*network.users[user].nick)))
    } else if name.starts_with('#') {
        policy::channel_seen(network, oper::viewer(server, ctx), name)
            .map(|id| (Target::Channel(id), (*network.channels[id].name).into()))
    } else {
        network.user_by_nick(name).map(|id| (Target::User(id), (*network.users[id].nick).into()))
    };
    if found.is_none() {
        fail(ctx, "INVALID_TARGET", &[name], "There is no such user or channel");
    }
    found
}

/// Whether the keys of a target are for this client: those of a channel that is not open to everyone are
/// for its members.
fn is_readable(server: &Server, ctx: &Ctx, target: Target) -> bool {
    let Target::Channel(id) = target else { return true };
    let channel = &server.network.channels[id];
    let closed = ['s', 'i', 'R', 'z'].into_iter().any(|mode| channel.modes.has(mode)) || channel.key.is_some();
    !closed || channel.members.contains_key(&ctx.me())
}

/// A readable target; FAIL where there is none.
fn readable(server: &Server, ctx: &mut Ctx, name: &str) -> Option<(Target, Box<str>)> {
    let (target, name) = resolve(server, ctx, name)?;
    if !is_readable(server, ctx, target) {
        no_permission(ctx, &name, "*");
        return None;
    }
    Some((target, name))
}

fn pairs(server: &Server, ctx: &Ctx, target: Target) -> Vec<(Box<str>, Box<str>)> {
    let map = match target {
        Target::Newcomer => {
            let registration = server.session(ctx.conn).and_then(|session| session.registration.as_ref());
            return registration.map_or_else(Vec::new, |registration| registration.metadata.clone());
        }
        Target::User(user) => server.network.user_metadata(user),
        Target::Channel(channel) => server.network.channels[channel].metadata.as_deref(),
    };
    map.map_or_else(Vec::new, |map| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// As [`pairs`], with what the client's account says of the target for itself alone.
fn shown_pairs(server: &Server, ctx: &Ctx, target: Target) -> Vec<(Box<str>, Box<str>)> {
    let mut all = pairs(server, ctx, target);
    let Some(user) = ctx.user else { return all };
    let Some(account) = server.network.users[user].account else { return all };
    let about: Box<str> = match target {
        Target::Newcomer => return all,
        Target::User(other) if other == user => notify::EVERYTHING.into(),
        Target::User(other) => server.network.identity(other).text().into(),
        Target::Channel(id) => server.network.channels[id].folded.as_str().into(),
    };
    let own = server.network.private_metadata(account, &about).into_iter().flatten();
    all.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    all
}

fn batch(server: &mut Server, ctx: &mut Ctx, target: &str) {
    if let Some(session) = server.session_mut(ctx.conn)
        && session.caps.has(Cap::Batch)
    {
        let reference = session.new_batch();
        ctx.reply.open_batch(&reference, &["metadata", target]);
    }
}

fn key_value(ctx: &mut Ctx, target: &str, key: &str, value: &str) {
    ctx.reply.numeric(Numeric::RPL_KEYVALUE, &[target, key, visibility(key)], Some(value));
}

/// Who sees a key: everyone, or only the account that set it.
fn visibility(key: &str) -> &'static str {
    if notify::is_private(key) { "private" } else { "*" }
}

fn key_not_set(ctx: &mut Ctx, target: &str, key: &str) {
    ctx.reply.numeric(Numeric::RPL_KEYNOTSET, &[target, printable(key)], Some("no matching key"));
}

fn get(server: &mut Server, ctx: &mut Ctx, name: &str, keys: &[&str]) {
    if keys.iter().all(|key| notify::is_private(key)) {
        get_private(server, ctx, name, keys);
        return;
    }
    let Some((target, name)) = readable(server, ctx, name) else { return };
    let pairs = shown_pairs(server, ctx, target);
    batch(server, ctx, &name);
    for key in keys {
        match pairs.iter().find(|(other, _)| **other == **key) {
            Some((key, value)) => key_value(ctx, &name, key, value),
            None if is_key(key) => key_not_set(ctx, &name, key),
            None => invalid_key(ctx, key),
        }
    }
    ctx.reply.close_batch();
    wait(server, ctx, target);
}

fn list(server: &mut Server, ctx: &mut Ctx, name: &str) {
    let Some((target, name)) = readable(server, ctx, name) else { return };
    let pairs = shown_pairs(server, ctx, target);
    batch(server, ctx, &name);
    for (key, value) in &pairs {
        key_value(ctx, &name, key, value);
    }
    ctx.reply.close_batch();
    wait(server, ctx, target);
}

/// Who is shown a value waits until it is kept.
fn wait(server: &Server, ctx: &mut Ctx, target: Target) {
    let changed = match target {
        Target::Newcomer => 0,
        Target::User(_) => server.network.metadata_changed,
        Target::Channel(channel) => server.network.channels[channel].changed.max(server.network.metadata_changed),
    };
    ctx.reply.after = ctx.reply.after.max(changed);
}

/// Checks a key and a value, for SET.
fn check(ctx: &mut Ctx, key: &str, value: Option<&str>) -> bool {
    if !is_key(key) {
        invalid_key(ctx, key);
        return false;
    }
    if value.is_some_and(|value| value.len() > limits::METADATA_VALUE_BYTES) {
        let text = format!("A value has at most {} bytes", limits::METADATA_VALUE_BYTES);
        if is_newer(ctx) {
            fail(ctx, "INVALID_VALUE", &[key], &text);
        } else {
            fail(ctx, "VALUE_INVALID", &[], &text);
        }
        return false;
    }
    true
}

fn limit_reached(ctx: &mut Ctx, target: &str) {
    let text = format!("There are {} keys already; remove one first", limits::METADATA_KEYS);
    fail(ctx, "LIMIT_REACHED", &[target], &text);
}

/// SET before the connection is registered: it is kept until then.
fn set_early(server: &mut Server, ctx: &mut Ctx, key: &str, value: Option<&str>) {
    if !check(ctx, key, value) {
        return;
    }
    if notify::is_private(key) {
        fail(ctx, "KEY_NO_PERMISSION", &["*", key], "Log in to an account and register the connection first");
        return;
    }
    let registration = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut());
    let Some(registration) = registration else { return };
    registration.metadata.retain(|(other, _)| **other != *key);
    match value {
        Some(_) if registration.metadata.len() >= limits::METADATA_KEYS => limit_reached(ctx, "*"),
        Some(value) => {
            registration.metadata.push((key.into(), value.into()));
            key_value(ctx, "*", key, value);
        }
        None => key_not_set(ctx, "*", key),
    }
}

/// Sets or removes a key, where the sender may, and tells those who want to know.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, key: &str, value: Option<&str>) {
    if notify::is_private(key) {
        apply_private(server, ctx, seq, name, key, value);
        return;
    }
    let Some((target, name)) = resolve(server, ctx, name) else { return };
    if !may_set(server, ctx, target) {
        no_permission(ctx, &name, key);
        return;
    }
    if !check(ctx, key, value) {
        return;
    }
    let before = pairs(server, ctx, target);
    let was = before.iter().find(|(other, _)| **other == *key).map(|(_, value)| value);
    match (was, value) {
        (None, None) if !is_newer(ctx) => {
            fail(ctx, "KEY_NOT_SET", &[&name, key], "That key is not set");
            return;
        }
        (None, Some(_)) if before.len() >= limits::METADATA_KEYS => {
            limit_reached(ctx, &name);
            return;
        }
        _ => {}
    }
    if was.is_some() || value.is_some() {
        put(server, seq, target, key, value);
    }
    match value {
        Some(value) => key_value(ctx, &name, key, value),
        None if is_newer(ctx) => key_not_set(ctx, &name, key),
        None => ctx.reply.numeric(Numeric::RPL_KEYVALUE, &[&name, key, "*"], None),
    }
    wait(server, ctx, target);
    if was.map(|was| &**was) != value {
        tell(server, ctx, target, &name, key, value);
    }
}

// What an account says of others for itself alone.

/// What a name is called in it, and how it is written; `None` where it can be nobody's.
fn private_target(server: &Server, ctx: &Ctx, name: &str) -> Option<(Box<str>, Box<str>)> {
    let network = &server.network;
    let me = ctx.me();
    if name == "*" || network.casemapping.same(name, &network.users[me].nick) {
        return Some((notify::EVERYTHING.into(), Box::from(&*network.users[me].nick)));
    }
    let channel = ircv3::name::is_channel(name, limits::CHANNEL_LEN);
    let possible = channel || ircv3::name::is_nick(name, limits::NICK_LEN, network.casemapping);
    let written = match channel {
        true => policy::channel_seen(network, oper::viewer(server, ctx), name).map(|id| &*network.channels[id].name),
        false => network.user_by_nick(name).map(|id| &*network.users[id].nick),
    };
    possible.then(|| (network.about(name), written.unwrap_or(name).into()))
}

fn get_private(server: &mut Server, ctx: &mut Ctx, name: &str, keys: &[&str]) {
    let target = ctx.user.and_then(|_| private_target(server, ctx, name));
    let Some((about, name)) = target else {
        fail(ctx, "INVALID_TARGET", &[name], "There is no such user or channel");
        return;
    };
    let account = server.network.users[ctx.me()].account;
    let own = account.and_then(|account| server.network.private_metadata(account, &about)).cloned();
    batch(server, ctx, &name);
    for key in keys {
        match own.as_ref().and_then(|own| own.get(*key)) {
            Some(value) => key_value(ctx, &name, key, value),
            None => key_not_set(ctx, &name, key),
        }
    }
    ctx.reply.close_batch();
    ctx.reply.after = ctx.reply.after.max(server.network.metadata_changed);
}

fn apply_private(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, key: &str, value: Option<&str>) {
    let Some((about, name)) = private_target(server, ctx, name) else {
        fail(ctx, "INVALID_TARGET", &[name], "That is neither a channel nor a nick");
        return;
    };
    let user = ctx.me();
    let Some(account) = server.network.users[user].account else {
        fail(ctx, "KEY_NO_PERMISSION", &[&name, key], "Log in to an account first: the key is kept with it");
        return;
    };
    if !check(ctx, key, value) {
        return;
    }
    if let Some(Err(text)) = value.map(|value| notify::check(key, value)) {
        if is_newer(ctx) {
            fail(ctx, "INVALID_VALUE", &[key], &text);
        } else {
            fail(ctx, "VALUE_INVALID", &[], &text);
        }
        return;
    }
    let was = server.network.private_metadata(account, &about).and_then(|map| map.get(key)).cloned();
    if was.is_none() && value.is_none() && !is_newer(ctx) {
        fail(ctx, "KEY_NOT_SET", &[&name, key], "That key is not set");
        return;
    }
    if !put_private(server, seq, account, &about, key, value) {
        let text = format!("You say something of {} channels and people already", limits::PRIVATE_TARGETS);
        fail(ctx, "LIMIT_REACHED", &[&name], &text);
        return;
    }
    match value {
        Some(value) => key_value(ctx, &name, key, value),
        None if is_newer(ctx) => key_not_set(ctx, &name, key),
        None => ctx.reply.numeric(Numeric::RPL_KEYVALUE, &[&name, key, visibility(key)], None),
    }
    ctx.reply.after = ctx.reply.after.max(server.network.metadata_changed);
    if was.as_deref() != value {
        tell_own(server, ctx, user, &name, key, value);
    }
}

/// The user's other connections hear of it, and nobody else.
pub fn tell_own(server: &mut Server, ctx: &Ctx, user: UserId, name: &str, key: &str, value: Option<&str>) {
    let there = &server.network.users[user];
    let (source, sessions) = (there.source.clone(), there.sessions.clone());
    for conn in sessions {
        if conn != ctx.conn && server.session(conn).is_some_and(|session| session.is_subscribed(key)) {
            let mut told = server.ctx(conn, None);
            notify(&mut told, &source, name, key, value);
            told.reply.after = server.network.metadata_changed;
            server.finish(told);
        }
    }
}

/// Sets or removes a key of what an account says of others, and keeps it; `false` where it says something of as many
/// as it may.
pub fn put_private(
    server: &mut Server,
    seq: Seq,
    account: AccountId,
    about: &str,
    key: &str,
    value: Option<&str>,
) -> bool {
    let is_new = server.network.private_metadata(account, about).is_none();
    let full = server.network.all_private_metadata(account).nth(limits::PRIVATE_TARGETS - 1).is_some();
    if value.is_some() && is_new && full {
        return false;
    }
    server.network.put_private_metadata(account, about, key, value);
    let owner = format!("${account} {about}").into();
    let row = MetadataRow { owner, key: key.into(), value: value.map(Into::into) };
    server.keep(seq, Record::Metadata(Box::new(row)));
    server.network.metadata_changed = server.wait_for(seq);
    true
}

/// Keeps what an account says of a channel under its new name.
pub fn move_private(server: &mut Server, seq: Seq, account: AccountId, old: &str, new: &str, said: Metadata) {
    for (key, value) in said {
        for (about, value) in [(old, None), (new, Some(value))] {
            let owner = format!("${account} {about}").into();
            server.keep(seq, Record::Metadata(Box::new(MetadataRow { owner, key: key.clone(), value })));
        }
    }
}

/// Removes all keys of a target, where the sender may.
pub fn apply_clear(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str) {
    let Some((target, name)) = resolve(server, ctx, name) else { return };
    if !may_set(server, ctx, target) {
        no_permission(ctx, &name, "*");
        return;
    }
    let pairs = pairs(server, ctx, target);
    batch(server, ctx, &name);
    for (key, _) in &pairs {
        put(server, seq, target, key, None);
        if is_newer(ctx) {
            key_not_set(ctx, &name, key);
        } else {
            ctx.reply.numeric(Numeric::RPL_KEYVALUE, &[&name, key, "*"], None);
        }
    }
    ctx.reply.close_batch();
    wait(server, ctx, target);
    for (key, _) in &pairs {
        tell(server, ctx, target, &name, key, None);
    }
}

fn may_set(server: &Server, ctx: &Ctx, target: Target) -> bool {
    match target {
        Target::Newcomer => false,
        Target::User(user) => user == ctx.me(),
        Target::Channel(id) => {
            server.network.channels[id].ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Op))
        }
    }
}

/// Changes the state, and keeps what belongs to an account or a channel that is kept.
fn put(server: &mut Server, seq: Seq, target: Target, key: &str, value: Option<&str>) {
    let owner = match target {
        Target::Newcomer => None,
        Target::User(user) => {
            server.network.set_user_metadata(user, key, value);
            server.network.users[user].account.map(|account| format!("${account}").into_boxed_str())
        }
        Target::Channel(id) => {
            let channel = &mut server.network.channels[id];
            channel.set_metadata(key, value);
            channel.is_kept().then(|| Box::from(channel.folded.as_str()))
        }
    };
    if let Some(owner) = owner {
        let row = MetadataRow { owner, key: key.into(), value: value.map(Into::into) };
        server.keep(seq, Record::Metadata(Box::new(row)));
        server.network.metadata_changed = server.wait_for(seq);
    }
}

/// What a connection set before it was registered becomes its user's.
pub fn adopt(server: &mut Server, user: UserId, seq: Seq, pairs: Vec<(Box<str>, Box<str>)>) {
    for (key, value) in pairs {
        let there = server.network.user_metadata(user);
        let full = there.is_some_and(|map| map.len() >= limits::METADATA_KEYS && !map.contains_key(&key));
        if !full {
            put(server, seq, Target::User(user), &key, Some(&value));
        }
    }
}

/// Tells of a change whoever has subscribed to the key and is concerned, but not the connection that made it.
fn tell(server: &mut Server, ctx: &Ctx, target: Target, name: &str, key: &str, value: Option<&str>) {
    let source = server.network.users[ctx.me()].source.clone();
    let mut conns: Vec<ConnId> = Vec::new();
    let mut add = |server: &Server, user: UserId| conns.extend_from_slice(&server.network.users[user].sessions);
    match target {
        Target::Newcomer => {}
        Target::User(user) => {
            for neighbour in server.network.neighbours(user) {
                add(server, neighbour);
            }
            add(server, user);
            conns.extend_from_slice(server.network.watchers(&server.network.users[user].folded));
        }
        Target::Channel(id) => {
            for member in server.network.channels[id].members.keys() {
                add(server, *member);
            }
        }
    }
    conns.sort_unstable();
    conns.dedup();
    for conn in conns {
        if conn != ctx.conn && server.session(conn).is_some_and(|session| session.is_subscribed(key)) {
            let mut told = server.ctx(conn, None);
            notify(&mut told, &source, name, key, value);
            told.reply.after = ctx.reply.after;
            server.finish(told);
        }
    }
}

/// One change or value, in the dialect of whoever is told.
fn notify(ctx: &mut Ctx, source: &str, target: &str, key: &str, value: Option<&str>) {
    match (is_newer(ctx), value) {
        (true, Some(value)) => key_value(ctx, target, key, value),
        (true, None) => key_not_set(ctx, target, key),
        (false, value) => ctx.reply.line_from(source, "METADATA", &[target, key, visibility(key)], value),
    }
}

// Subscriptions.

fn subscribe(server: &mut Server, ctx: &mut Ctx, keys: &[&str]) {
    let mut subscribed: Vec<&str> = Vec::new();
    for key in keys {
        if !is_key(key) {
            invalid_key(ctx, key);
            continue;
        }
        let Some(session) = server.session_mut(ctx.conn) else { return };
        let there = session.particulars_mut().subscriptions.get_or_insert_default();
        let already = there.iter().any(|other| **other == **key);
        if there.len() >= limits::METADATA_SUBSCRIPTIONS && !already {
            let most = limits::METADATA_SUBSCRIPTIONS.to_string();
            let text = format!("You may subscribe to {most} keys at most");
            if is_newer(ctx) {
                fail(ctx, "LIMIT_REACHED", &[key, &most], &text);
            } else {
                fail(ctx, "TOO_MANY_SUBS", &[key], &text);
            }
            break;
        }
        if !already {
            there.push((*key).into());
        }
        if !subscribed.contains(key) {
            subscribed.push(key);
        }
    }
    key_lines(ctx, Numeric::RPL_METADATASUBOK, &subscribed);
    if subscribed.is_empty() || ctx.user.is_none() {
        return;
    }
    if is_newer(ctx) {
        ctx.reply.numeric(Numeric::RPL_METADATASYNCLATER, &["*ALL", "0"], None);
    } else {
        everything(server, ctx, Some(&subscribed));
    }
}

fn unsubscribe(server: &mut Server, ctx: &mut Ctx, keys: &[&str]) {
    let mut gone: Vec<&str> = Vec::new();
    for key in keys {
        if !is_key(key) {
            invalid_key(ctx, key);
            continue;
        }
        if let Some(there) =
            server.session_mut(ctx.conn).and_then(|session| session.particulars_mut().subscriptions.as_mut())
        {
            there.retain(|other| **other != **key);
        }
        if !gone.contains(key) {
            gone.push(key);
        }
    }
    key_lines(ctx, Numeric::RPL_METADATAUNSUBOK, &gone);
}

fn subscriptions(server: &mut Server, ctx: &mut Ctx) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let keys: Vec<Box<str>> = session.particulars().subscriptions.clone().unwrap_or_default();
    if session.caps.has(Cap::Batch) {
        let reference = session.new_batch();
        ctx.reply.open_batch(&reference, &["metadata-subs"]);
    }
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    key_lines(ctx, Numeric::RPL_METADATASUBS, &keys);
    ctx.reply.close_batch();
}

/// The keys in a numeric, as many lines as they take.
fn key_lines(ctx: &mut Ctx, numeric: Numeric, keys: &[&str]) {
    // A line has 15 parameters, the nick is one; and the longest keys fit into 512 bytes by sixes.
    for some in keys.chunks(6) {
        ctx.reply.numeric(numeric, some, None);
    }
}

// Synchronization.

fn sync(server: &mut Server, ctx: &mut Ctx, name: &str) {
    if name.eq_ignore_ascii_case("*ALL") && is_newer(ctx) {
        everything(server, ctx, None);
        return;
    }
    let Some((target, name)) = readable(server, ctx, name) else { return };
    values(server, ctx, target, &name, None);
}

/// The values of the subscribed keys (or of these) of all that the client is told of.
fn everything(server: &mut Server, ctx: &mut Ctx, keys: Option<&[&str]>) {
    let Some(user) = ctx.user else { return };
    let nick = server.network.users[user].nick.clone();
    values(server, ctx, Target::User(user), &nick, keys);
    for channel in server.network.users[user].channels.clone() {
        let name = server.network.channels[channel].name.clone();
        values(server, ctx, Target::Channel(channel), &name, keys);
    }
    let watched = server.session(ctx.conn).map_or_else(Vec::new, |session| session.particulars().monitored.clone());
    for target in watched {
        if let Some(user) = server.network.user_by_nick(target.folded.as_str()) {
            let nick = server.network.users[user].nick.clone();
            values(server, ctx, Target::User(user), &nick, keys);
        }
    }
    others(server, ctx, keys);
}

/// What the client's account says for itself alone of those that it is not told of otherwise.
fn others(server: &mut Server, ctx: &mut Ctx, keys: Option<&[&str]>) {
    let Some(account) = ctx.user.and_then(|user| server.network.users[user].account) else { return };
    let Some(subscribed) = server.session(ctx.conn).map(|session| session.particulars().subscriptions.clone()) else {
        return;
    };
    let is_wanted = |key: &str| match keys {
        Some(keys) => keys.contains(&key),
        None => subscribed.iter().flatten().any(|other| **other == *key),
    };
    let network = &server.network;
    let name = |about: &str| -> Option<Box<str>> {
        if about.starts_with('#') {
            let is_told =
                network.channel_by_name(about).is_some_and(|id| network.users[ctx.me()].channels.contains(&id));
            return (!is_told).then(|| about.into());
        }
        match about.strip_prefix('$') {
            Some(number) => Some(Box::from(&*network.account(number.parse().ok()?)?.name)),
            None => about.strip_prefix('~').map(Box::from),
        }
    };
    let mut told = Vec::new();
    for (about, map) in network.all_private_metadata(account) {
        let pairs: Vec<_> = map.iter().filter(|(key, _)| is_wanted(key)).collect();
        if let Some(name) = name(about).filter(|_| !pairs.is_empty()) {
            told.push((name, pairs.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()));
        }
    }
    let source = server.settings.server_name.clone();
    for (name, pairs) in told {
        batch(server, ctx, &name);
        for (key, value) in pairs {
            notify(ctx, &source, &name, &key, Some(&value));
        }
        ctx.reply.close_batch();
    }
    ctx.reply.after = ctx.reply.after.max(server.network.metadata_changed);
}

/// A batch of what is set of the subscribed keys (or of these) of a target; with a channel, of its members too.
fn values(server: &mut Server, ctx: &mut Ctx, target: Target, name: &str, keys: Option<&[&str]>) {
    let subscribed: Vec<Box<str>> = match (keys, server.session(ctx.conn)) {
        (Some(keys), _) => keys.iter().map(|key| Box::from(*key)).collect(),
        (None, Some(session)) => session.particulars().subscriptions.clone().unwrap_or_default(),
        (None, None) => return,
    };
    batch(server, ctx, name);
    put_values(server, ctx, target, name, &subscribed);
    if let Target::Channel(id) = target
        && server.network.channels[id].members.contains_key(&ctx.me())
    {
        let there = &server.network.channels[id];
        let members: Vec<UserId> = there.members.keys().copied().filter(|it| there.shows(ctx.me(), *it)).collect();
        for member in members {
            if server.network.user_metadata(member).is_some() {
                let nick = server.network.users[member].nick.clone();
                put_values(server, ctx, Target::User(member), &nick, &subscribed);
            }
        }
    }
    ctx.reply.close_batch();
    wait(server, ctx, target);
}

fn put_values(server: &Server, ctx: &mut Ctx, target: Target, name: &str, keys: &[Box<str>]) {
    let source = match target {
        Target::User(user) => server.network.users[user].source.clone(),
        _ => server.settings.server_name.clone(),
    };
    for (key, value) in shown_pairs(server, ctx, target) {
        if keys.contains(&key) {
            notify(ctx, &source, name, &key, Some(&value));
        }
    }
}

/// One's own keys, on connecting; there even when it is empty.
pub fn on_welcome(server: &mut Server, ctx: &mut Ctx, user: UserId) {
    if !is_spoken(ctx) || !ctx.reply.caps.has(Cap::Batch) {
        return;
    }
    let nick = server.network.users[user].nick.clone();
    batch(server, ctx, &nick);
    let source = server.network.users[user].source.clone();
    for (key, value) in pairs(server, ctx, Target::User(user)) {
        notify(ctx, &source, &nick, &key, Some(&value));
    }
    ctx.reply.close_batch();
    wait(server, ctx, Target::User(user));
}

/// The values of a channel that was just joined and of its members, for those who have subscribed; of a
/// large one the client is to ask later.
pub fn on_join(server: &mut Server, ctx: &mut Ctx, channel: ChannelId) {
    let subscribed = server.session(ctx.conn).is_some_and(|session| session.particulars().subscriptions.is_some());
    if !is_spoken(ctx) || !subscribed {
        return;
    }
    let name = server.network.channels[channel].name.clone();
    if server.network.channels[channel].members.len() > limits::METADATA_AT_ONCE {
        ctx.reply.numeric(Numeric::RPL_METADATASYNCLATER, &[&name, "1"], None);
        return;
    }
    values(server, ctx, Target::Channel(channel), &name, None);
}

/// A newcomer's values, for those of these members who have subscribed to them.
pub fn introduce(server: &mut Server, user: UserId, members: &[UserId]) {
    if server.network.user_metadata(user).is_none() {
        return;
    }
    let there = &server.network.users[user];
    let (nick, source) = (there.nick.clone(), there.source.clone());
    for member in members {
        for conn in server.network.users[*member].sessions.clone() {
            let subscriptions = server.session(conn).and_then(|session| session.particulars().subscriptions.clone());
            let Some(keys) = subscriptions else { continue };
            let mut ctx = server.ctx(conn, None);
            ctx.reply.after = server.network.metadata_changed;
            let told = pairs(server, &ctx, Target::User(user));
            for (key, value) in told.iter().filter(|(key, _)| keys.contains(key)) {
                notify(&mut ctx, &source, &nick, key, Some(value));
            }
            server.finish(ctx);
        }
    }
}

/// 760 for each key, in WHOIS.
pub fn whois(server: &Server, ctx: &mut Ctx, user: UserId) {
    if !is_spoken(ctx) {
        return;
    }
    let nick = server.network.users[user].nick.clone();
    for (key, value) in pairs(server, ctx, Target::User(user)) {
        ctx.reply.numeric(Numeric::RPL_WHOISKEYVALUE, &[&nick, &key, "*"], Some(&value));
    }
    wait(server, ctx, Target::User(user));
}
