//! NickServ IDENTIFY.

use crate::server::command::services::{own_account, say};
use crate::server::login::{Door, split_device};
use crate::server::{Ctx, Server};

/// IDENTIFY
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let nick = ctx.reply.nick.clone();
    let (name, password) = if params.len() == 1 { (&*nick, params[0]) } else { (params[0], params[1]) };
    let code = params.get(2).copied();
    if own_account(server, ctx).is_some() {
        say(ctx, "NickServ", "You are logged in to an account already");
        return;
    }
    // Whom the operator's program or directory knows need not have an account here yet.
    let is_known = server.network.nick_owner(name).is_some() || server.settings.witness.is_some();
    if params.len() == 1 && !is_known {
        let text =
            format!("Your nick {nick} is of no account; name yours: /msg NickServ IDENTIFY <account> <password>");
        say(ctx, "NickServ", &text);
        return;
    }
    server.try_password(ctx, Door::NickServ, split_device(name), password, code);
}
