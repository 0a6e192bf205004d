//! SETNAME (<https://ircv3.net/specs/extensions/setname>).

use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::{Cap, CapSet, Message};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::monitor;
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// SETNAME
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let realname = line.param(0).unwrap_or("");
    if realname.is_empty() || realname.len() > limits::REALNAME_LEN {
        let text = format!("A real name has 1 to {} bytes; yours has {}", limits::REALNAME_LEN, realname.len());
        ctx.reply.fail("SETNAME", "INVALID_REALNAME", &[], &text);
        return;
    }
    server.submit(ctx, Change::Setname { realname });
}

/// The real name and the source of a new connection's own, for those who want to know
/// (<https://github.com/ircv3/ircv3-specifications/pull/603>); that others follow, CHGHOST sees to.
pub fn on_welcome(server: &Server, ctx: &mut Ctx, user: UserId) {
    if ctx.reply.caps.has_all(CapSet::of(&[Cap::Whoami, Cap::Chghost])) {
        let there = &server.network.users[user];
        ctx.reply.line_from(&there.source, "SETNAME", &[], Some(&there.realname));
    }
}

/// Gives the sender another real name.
pub fn apply(server: &mut Server, ctx: &mut Ctx, realname: &str) {
    let user = ctx.me();
    let there = &mut server.network.users[user];
    there.realname = realname.into();
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &there.source, "SETNAME", &[], Some(realname));
    let mut frame = server.frame_from(user, line);
    frame.after = server.keep_presence(user);
    frame.forms[0].needs = CapSet::of(&[Cap::Setname]);
    ctx.reply.frame(&frame);
    let neighbours = server.network.neighbours(user);
    let frame = Arc::new(frame);
    server.frame_to_users(&neighbours, frame.clone(), Some(ctx.conn));
    monitor::extend(server, user, &frame, &neighbours);
}
