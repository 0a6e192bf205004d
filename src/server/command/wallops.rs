//! WALLOPS (RFC 2812 4.7): from an operator to everyone with user mode `+w`.

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{MAX_BODY_BYTES, cut, write_line};

use crate::server::command::need_more_params;
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// WALLOPS
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let user = ctx.me();
    let text = line.param(0).unwrap_or("");
    if text.is_empty() {
        need_more_params(ctx, "WALLOPS");
        return;
    }
    let source = server.network.users[user].source.clone();
    let text = cut(text, MAX_BODY_BYTES - (source.len() + ": WALLOPS :\r\n".len()));
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &source, "WALLOPS", &[], Some(text));
    let frame = Arc::new(server.frame_from(user, line));
    let readers: Vec<UserId> =
        server.network.users.iter().filter(|(_, there)| there.modes.has('w')).map(|(id, _)| id).collect();
    server.frame_to_users(&readers, frame.clone(), Some(ctx.conn));
    // The sender sees that it went out, whatever its modes.
    ctx.reply.frame(&frame);
}
