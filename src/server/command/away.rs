//! AWAY (Modern IRC), away-notify (<https://ircv3.net/specs/extensions/away-notify>), pre-away
//! (<https://ircv3.net/specs/extensions/pre-away>).

use ircv3::message::{cut, write_line};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};

use crate::limits;
use crate::server::change::Change;
use crate::server::{Ctx, Server};

/// AWAY
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = cut(line.param(0).unwrap_or(""), limits::AWAY_LEN);
    if ctx.user.is_some() {
        server.submit(ctx, Change::Away { text });
    } else if ctx.reply.caps.has(Cap::PreAway) {
        note(server, ctx, text);
    } else {
        ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some("You have not registered"));
    }
}

/// Marks the connection, whoever it will be, and answers.
fn note(server: &mut Server, ctx: &mut Ctx, text: &str) {
    if text.is_empty() {
        ctx.reply.numeric(Numeric::RPL_UNAWAY, &[], Some("You are no longer marked as being away"));
    } else {
        ctx.reply.numeric(Numeric::RPL_NOWAWAY, &[], Some("You have been marked as being away"));
    }
    let seq = server.last_seq();
    if let Some(session) = server.session_mut(ctx.conn) {
        session.away = (!text.is_empty()).then(|| text.into());
        session.away_seq = seq;
    }
}

/// Marks the sender's connection as away, or with an empty text as back. A user is away when all its
/// connections are.
pub fn apply(server: &mut Server, ctx: &mut Ctx, text: &str) {
    let user = ctx.me();
    note(server, ctx, text);
    let after = server.apply_away(user, Some(ctx.conn));
    ctx.reply.after = ctx.reply.after.max(after);
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
