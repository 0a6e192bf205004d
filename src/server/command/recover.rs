//! RECOVER (<https://github.com/progval/ircv3-specifications/blob/nick-recovery/extensions/nick-recovery.md>): the
//! nick of one's account, from whoever has it, also before registration.

use ircv3::Message;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::policy;
use crate::server::{Ctx, Server};

/// `RECOVER nick [NOCHANGE]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let nick = line.param(0).unwrap_or("");
    let stays = line.param(1).is_some_and(|flag| flag.eq_ignore_ascii_case("NOCHANGE"));
    let shown = printable(nick);
    let Some(account) = server.session(ctx.conn).and_then(|session| session.account) else {
        ctx.reply.fail("RECOVER", "NOT_AUTHENTICATED", &[shown], "Log in to the account of that nick first");
        return;
    };
    match server.network.nick_owner(nick).map(|row| row.id) {
        Some(owner) if owner == account => {}
        Some(_) => {
            ctx.reply.fail("RECOVER", "NOT_AUTHORISED", &[shown], "That is a nick of another account");
            return;
        }
        None => {
            ctx.reply.fail("RECOVER", "NOT_REGISTERED", &[shown], "That nick is of no account");
            return;
        }
    }
    // It may not be one under the casemapping that there is now.
    if !ircv3::name::is_nick(nick, limits::NICK_LEN, server.network.casemapping) {
        ctx.reply.fail("RECOVER", "TEMPORARILY_UNAVAILABLE", &[shown], "That cannot be used as a nick here");
        return;
    }
    let holder = server.network.user_by_nick(nick).filter(|holder| Some(*holder) != ctx.user);
    if let Some(user) = ctx.user
        && !stays
        && server.network.fold(nick) != server.network.users[user].folded
        && policy::nick_held(&server.network, user).is_some()
    {
        let text = "You are in a channel that lets nobody change their nick; leave it first";
        ctx.reply.fail("RECOVER", "TEMPORARILY_UNAVAILABLE", &[shown], text);
        return;
    }
    if !stays && policy::nick_is_like_another(&server.network, nick, Some(account), holder.or(ctx.user)) {
        let text = "Somebody has a nick that looks like it; ask them, or an operator";
        ctx.reply.fail("RECOVER", "TEMPORARILY_UNAVAILABLE", &[shown], text);
        return;
    }
    // Whoever registers becomes one more connection of its own user, with all that it has, where accounts may.
    let joins = ctx.user.is_none()
        && !stays
        && holder.is_some_and(|holder| server.network.users[holder].account == Some(account))
        && server.network.account(account).is_some_and(|row| row.multiclient);
    if ctx.user.is_some() && holder.is_some_and(|holder| server.is_presence_of(holder, account)) {
        let text = "That is you, always on: connect again and log in by SASL, and you are one of its connections";
        ctx.reply.fail("RECOVER", "TEMPORARILY_UNAVAILABLE", &[shown], text);
        return;
    }
    if let Some(holder) = holder.filter(|_| !joins) {
        let reason = format!("RECOVER command used by {}", ctx.reply.nick);
        server.end_holder(ctx, holder, account, &reason);
    }
    ctx.reply.line("RECOVER", &["SUCCESS", nick], Some("The nick is yours"));
    if stays {
        return;
    }
    match ctx.user {
        Some(user) if *server.network.users[user].nick == *nick => {
            let source = server.network.users[user].source.clone();
            ctx.reply.line_from(&source, "NICK", &[nick], None);
        }
        Some(_) => server.submit(ctx, Change::Nick { nick }),
        None => {
            let was = ctx.reply.nick.clone();
            ctx.reply.line_from(&was, "NICK", &[nick], None);
            if let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
                registration.nick = Some(nick.into());
                registration.refused = false;
                ctx.reply.nick = nick.into();
            }
            server.try_register(ctx);
        }
    }
}
