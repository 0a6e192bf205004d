//! MARKREAD (<https://ircv3.net/specs/extensions/read-marker>): how far one has read, in step on all
//! devices, kept for accounts and for as long as they stay for guests, whose account has it once they log in.

use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::time::{parse_time, time_text};
use ircv3::{Cap, Message, name};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::network::{Identity, UserId};
use crate::server::record::{AccountId, MarkerRow, Record, Seq};
use crate::server::registration::server_frame;
use crate::server::session::GuestMarker;
use crate::server::{Ctx, Server};

/// MARKREAD
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(target) = line.param(0).filter(|target| !target.is_empty()) else {
        ctx.reply.fail("MARKREAD", "NEED_MORE_PARAMS", &[], "MARKREAD takes a channel or nick, and a timestamp to set");
        return;
    };
    let Some(about) = about(server, target) else {
        let text = "That is neither a channel nor a nick";
        ctx.reply.fail("MARKREAD", "INVALID_PARAMS", &[printable(target)], text);
        return;
    };
    let Some(given) = line.param(1) else {
        show(server, ctx, target, &about);
        return;
    };
    let Some(time) = given.strip_prefix("timestamp=").and_then(parse_time) else {
        let text = "The marker is set by timestamp=YYYY-MM-DDThh:mm:ss.sssZ";
        ctx.reply.fail("MARKREAD", "INVALID_PARAMS", &[printable(target)], text);
        return;
    };
    server.submit(ctx, Change::Marker { target, time });
}

/// The channel or the person that a target means, as text that no other has.
fn about(server: &Server, target: &str) -> Option<Box<str>> {
    if name::is_channel(target, limits::CHANNEL_LEN) {
        return Some(server.network.fold(target).as_str().into());
    }
    let possible = name::is_nick(target, limits::NICK_LEN, server.network.casemapping);
    possible.then(|| server.network.identity_by_name(target).text().into())
}

/// The key of an account's conversation in a channel, or with a person.
fn key_of(account: AccountId, about: &str) -> Box<str> {
    match Identity::parse(about) {
        Some(other) => Identity::Account(account).key(&other),
        None => about.into(),
    }
}

fn marker(server: &Server, ctx: &Ctx, about: &str) -> Option<u64> {
    match server.network.users[ctx.me()].account {
        Some(account) => server.network.marker(account, &key_of(account, about)),
        None => {
            let session = server.session(ctx.conn)?;
            let markers = &session.particulars().guest_markers;
            markers.iter().find(|marker| *marker.about == *about).map(|marker| marker.time)
        }
    }
}

fn text_of(marker: Option<u64>) -> String {
    marker.map_or_else(|| "*".to_owned(), |time| format!("timestamp={}", time_text(time)))
}

fn show(server: &Server, ctx: &mut Ctx, target: &str, about: &str) {
    let text = text_of(marker(server, ctx, about));
    ctx.reply.line("MARKREAD", &[target, &text], None);
}

/// The marker of a channel that was just joined, for clients with `draft/read-marker`.
pub fn on_join(server: &Server, ctx: &mut Ctx, channel: usize) {
    if ctx.reply.caps.has(Cap::ReadMarker) {
        let channel = &server.network.channels[channel];
        show(server, ctx, &channel.name, channel.folded.as_str());
    }
}

/// Moves the sender's marker of a conversation, in milliseconds since 1970; it never goes back.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, target: &str, time: u64) {
    let Some(about) = about(server, target) else { return };
    // Nobody has read what is not said yet.
    let time = time.min(server.clock());
    if marker(server, ctx, &about).is_some_and(|stored| stored >= time) {
        show(server, ctx, target, &about);
        return;
    }
    match server.network.users[ctx.me()].account {
        Some(account) => {
            if !keep(server, ctx, seq, account, &key_of(account, &about), target, time) {
                let text = "The marker could not be kept";
                ctx.reply.fail("MARKREAD", "INTERNAL_ERROR", &[printable(target)], text);
                return;
            }
        }
        None => {
            let Some(session) = server.session_mut(ctx.conn) else { return };
            let markers = &mut session.particulars_mut().guest_markers;
            markers.retain(|marker| *marker.about != *about);
            if markers.len() >= limits::GUEST_MARKERS {
                markers.remove(0);
            }
            markers.push(GuestMarker { about: about.clone(), target: target.into(), time });
        }
    }
    show(server, ctx, target, &about);
}

/// Moves an account's marker, and tells its other connections; whether there was room for it.
fn keep(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, key: &str, target: &str, time: u64) -> bool {
    if !server.network.set_marker(account, key, time) {
        return false;
    }
    server.keep(seq, Record::Marker(MarkerRow { account, conversation: key.into(), time }));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    tell_others(server, ctx, account, target, time);
    server.push_read(ctx.conn, account, key, target, time, ctx.reply.after);
    true
}

/// A guest has logged in: how far it had read is how far its account has, in channels, and with those whom nothing
/// was ever said to under the account. Where something was, that is another conversation, and may be unread.
pub fn hand_over(server: &mut Server, ctx: &mut Ctx, seq: Seq, user: UserId, account: AccountId) {
    for conn in server.network.users[user].sessions.clone() {
        if server.session(conn).is_none_or(|session| session.particulars().guest_markers.is_empty()) {
            continue;
        }
        let Some(session) = server.session_mut(conn) else { continue };
        for GuestMarker { about, target, time } in std::mem::take(&mut session.particulars_mut().guest_markers) {
            let key = key_of(account, &about);
            let is_the_same = *key == *about || server.network.conversation(&key).is_none();
            let is_later = server.network.marker(account, &key).is_none_or(|stored| stored < time);
            if is_the_same && is_later {
                // Where there is no room for it, nothing is lost that the account had.
                keep(server, ctx, seq, account, &key, &target, time);
            }
        }
    }
}

/// A channel has another name, and guests have read as far in it as they had. Folded, both.
pub fn rename_for_guests(server: &mut Server, old: &str, new: &str, name: &str) {
    for session in server.sessions.iter_mut().flatten().flatten() {
        if !session.particulars().guest_markers.iter().any(|marker| *marker.about == *old) {
            continue;
        }
        let markers = &mut session.particulars_mut().guest_markers;
        markers.retain(|marker| *marker.about != *new);
        for marker in markers.iter_mut().filter(|marker| *marker.about == *old) {
            (marker.about, marker.target) = (new.into(), name.into());
        }
    }
}

/// The account's other connections hear of it, whoever's nick they are on.
fn tell_others(server: &mut Server, ctx: &Ctx, account: AccountId, target: &str, time: u64) {
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &server.settings.server_name, "MARKREAD", &[target, &text_of(Some(time))], None);
    let mut frame = server_frame(server, line);
    frame.after = ctx.reply.after;
    frame.forms[0].needs = ircv3::CapSet::of(&[Cap::ReadMarker]);
    let users: Vec<UserId> = server.network.users_of(account).collect();
    server.frame_to_users(&users, Arc::new(frame), Some(ctx.conn));
}
