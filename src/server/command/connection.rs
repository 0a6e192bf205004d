//! PASS, USER, PING, PONG and QUIT (Modern IRC, "Connection Messages").

use ircv3::Message;
use ircv3::message::cut;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::command::{chathistory, need_more_params};
use crate::server::{Ctx, Server};

/// PASS
pub fn pass(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let password = line.param(0).unwrap_or("");
    let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) else {
        already_registered(ctx);
        return;
    };
    if password.is_empty() {
        need_more_params(ctx, "PASS");
        return;
    }
    registration.password = Some(cut(password, limits::PASSWORD_LEN).into());
}

/// USER
pub fn user(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (name, realname) = (line.param(0).unwrap_or(""), line.param(3).unwrap_or(""));
    let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) else {
        already_registered(ctx);
        return;
    };
    if registration.user.is_some() {
        already_registered(ctx);
        return;
    }
    if name.is_empty() || realname.is_empty() {
        need_more_params(ctx, "USER");
        return;
    }
    registration.user = Some((name.into(), realname.into()));
    server.try_register(ctx);
}

fn already_registered(ctx: &mut Ctx) {
    ctx.reply.numeric(Numeric::ERR_ALREADYREGISTERED, &[], Some("You may not reregister"));
}

/// PING
pub fn ping(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    match line.param(0) {
        None => need_more_params(ctx, "PING"),
        Some("") => ctx.reply.numeric(Numeric::ERR_NOORIGIN, &[], Some("No origin specified")),
        Some(token) => {
            let name = server.settings.server_name.clone();
            ctx.reply.line("PONG", &[&name], Some(token));
        }
    }
}

/// PONG: that it came is all there is to it, but behind what was shown or replayed, where it says that this was read.
pub fn pong(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    // Some say it before the server's name, some behind it.
    let is = |token: &str| line.params().any(|said| said == token);
    let Some(session) = server.session(ctx.conn) else { return };
    if session.particulars().unread.as_ref().and_then(|unread| unread.token.as_deref()).is_some_and(is) {
        chathistory::confirm(server, ctx);
    } else {
        server.has_answered(ctx.conn, is);
    }
}

/// QUIT
pub fn quit(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let reason = cut(line.param(0).unwrap_or(""), limits::REASON_LEN);
    let quit = if reason.is_empty() { "Quit".to_owned() } else { format!("Quit: {reason}") };
    let label = ctx.reply.take_label();
    if let Some(session) = server.session_mut(ctx.conn) {
        session.sees_quit = true;
    }
    server.close_by_itself(ctx.conn, &quit, label);
}
