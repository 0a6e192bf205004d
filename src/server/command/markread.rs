//! MARKREAD (<https://ircv3.net/specs/extensions/read-marker>): how far one has read, in step on all
//! devices, kept for accounts and for as long as they stay for guests.

use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::time::{parse_time, time_text};
use ircv3::{Cap, Message, name};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::network::UserId;
use crate::server::record::{AccountId, MarkerRow, Record, Seq};
use crate::server::registration::server_frame;
use crate::server::{Ctx, Server};

/// MARKREAD
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(target) = line.param(0).filter(|target| !target.is_empty()) else {
        ctx.reply.fail("MARKREAD", "NEED_MORE_PARAMS", &[], "MARKREAD takes a channel or nick, and a timestamp to set");
        return;
    };
    let Some(key) = key_of(server, ctx, target) else {
        let text = "That is neither a channel nor a nick";
        ctx.reply.fail("MARKREAD", "INVALID_PARAMS", &[printable(target)], text);
        return;
    };
    let Some(given) = line.param(1) else {
        show(server, ctx, target, &key);
        return;
    };
    let Some(time) = given.strip_prefix("timestamp=").and_then(parse_time) else {
        let text = "The marker is set by timestamp=YYYY-MM-DDThh:mm:ss.sssZ";
        ctx.reply.fail("MARKREAD", "INVALID_PARAMS", &[printable(target)], text);
        return;
    };
    server.submit(ctx, Change::Marker { target, time });
}

/// The key of the conversation that a target means to this client.
fn key_of(server: &Server, ctx: &Ctx, target: &str) -> Option<Box<str>> {
    if name::is_channel(target, limits::CHANNEL_LEN) {
        return Some(server.network.fold(target).as_str().into());
    }
    let own = server.network.identity(ctx.me());
    let possible = name::is_nick(target, limits::NICK_LEN, server.network.casemapping);
    possible.then(|| own.key(&server.network.identity_by_name(target)))
}

fn marker(server: &Server, ctx: &Ctx, key: &str) -> Option<u64> {
    match server.network.users[ctx.me()].account {
        Some(account) => server.network.marker(account, key),
        None => {
            let session = server.session(ctx.conn)?;
            session.particulars().guest_markers.iter().find(|(other, _)| **other == *key).map(|(_, time)| *time)
        }
    }
}

fn text_of(marker: Option<u64>) -> String {
    marker.map_or_else(|| "*".to_owned(), |time| format!("timestamp={}", time_text(time)))
}

fn show(server: &Server, ctx: &mut Ctx, target: &str, key: &str) {
    let text = text_of(marker(server, ctx, key));
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
    let Some(key) = key_of(server, ctx, target) else { return };
    let key = &*key;
    // Nobody has read what is not said yet.
    let time = time.min(server.clock());
    if marker(server, ctx, key).is_some_and(|stored| stored >= time) {
        show(server, ctx, target, key);
        return;
    }
    match server.network.users[ctx.me()].account {
        Some(account) => {
            if !server.network.set_marker(account, key, time) {
                let text = "The marker could not be kept";
                ctx.reply.fail("MARKREAD", "INTERNAL_ERROR", &[printable(target)], text);
                return;
            }
            server.keep(seq, Record::Marker(MarkerRow { account, conversation: key.into(), time }));
            ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
            tell_others(server, ctx, account, target, time);
            server.push_read(ctx.conn, account, key, target, time, ctx.reply.after);
        }
        None => {
            let Some(session) = server.session_mut(ctx.conn) else { return };
            let markers = &mut session.particulars_mut().guest_markers;
            markers.retain(|(other, _)| **other != *key);
            if markers.len() >= limits::GUEST_MARKERS {
                markers.remove(0);
            }
            markers.push((key.into(), time));
        }
    }
    show(server, ctx, target, key);
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
