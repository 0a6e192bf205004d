//! PART (Modern IRC).

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::command::find_channel;
use crate::server::record::{Kind, Seq};
use crate::server::{Ctx, Server};

/// PART
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let reason = line.param(1).map(|reason| cut(reason, limits::REASON_LEN)).filter(|reason| !reason.is_empty());
    for channel in line.param(0).unwrap_or("").split(',') {
        server.submit(ctx, Change::Part { channel, reason });
    }
}

/// Takes the sender out of a channel.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, reason: Option<&str>) {
    let Some(channel) = find_channel(server, ctx, name) else { return };
    if !server.network.channels[channel].members.contains_key(&ctx.me()) {
        let name = server.network.channels[channel].name.clone();
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    }
    let user = ctx.me();
    let there = &server.network.users[user];
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &there.source, "PART", &[&server.network.channels[channel].name], reason);
    // What only some were shown is not in history.
    let kept = there.account.is_some() && !server.network.channels[channel].unshown.contains(&user);
    let mut frame = server.frame_from(user, line);
    if kept {
        server.keep_event(
            &mut frame,
            channel,
            user,
            seq,
            Happened { kind: Kind::Part, argument: None, text: reason.unwrap_or("") },
        );
    }
    frame.after = frame.after.max(server.presence_wait(user));
    let frame = Arc::new(frame);
    server.frame_about(channel, user, frame.clone(), Some(ctx.conn));
    ctx.reply.frame(&frame);
    server.remove_member(channel, user);
}
