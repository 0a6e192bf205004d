//! AWAY (Modern IRC), away-notify (<https://ircv3.net/specs/extensions/away-notify>).

use std::sync::Arc;

use ircv3::message::{cut, write_line};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::monitor;
use crate::server::{Ctx, Server};

/// AWAY
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = cut(line.param(0).unwrap_or(""), limits::AWAY_LEN);
    server.submit(ctx, Change::Away { text });
}

/// Marks the sender as away, or with an empty text as back.
pub fn apply(server: &mut Server, ctx: &mut Ctx, text: &str) {
    let user = ctx.me();
    let away: Option<Box<str>> = (!text.is_empty()).then(|| text.into());
    if away.is_some() {
        ctx.reply.numeric(Numeric::RPL_NOWAWAY, &[], Some("You have been marked as being away"));
    } else {
        ctx.reply.numeric(Numeric::RPL_UNAWAY, &[], Some("You are no longer marked as being away"));
    }
    if server.network.users[user].away == away {
        return;
    }
    server.network.users[user].away = away;
    let frame = frame(server, user);
    let mut others = server.network.neighbours(user);
    others.retain(|other| *other != user);
    let frame = Arc::new(frame);
    server.frame_to_users(&others, frame.clone(), None);
    monitor::extend(server, user, &frame, &others);
}

/// AWAY as others are told of it.
pub fn frame(server: &Server, user: usize) -> crate::server::frame::Frame {
    let there = &server.network.users[user];
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &there.source, "AWAY", &[], there.away.as_deref());
    let mut frame = server.frame_from(user, line);
    frame.forms[0].needs = CapSet::of(&[Cap::AwayNotify]);
    frame
}
