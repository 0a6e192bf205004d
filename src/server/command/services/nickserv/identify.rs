//! NickServ IDENTIFY.

use crate::server::command::services::{own_account, say};
use crate::server::login::{Door, split_device};
use crate::server::{Ctx, Server};

/// IDENTIFY
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let nick = ctx.reply.nick.clone();
    let of_nick = server.network.nick_owner(&nick).map_or(nick.clone(), |row| row.name.clone());
    let (name, password) = if params.len() == 1 { (&*of_nick, params[0]) } else { (params[0], params[1]) };
    let code = params.get(2).copied();
    if own_account(server, ctx).is_some() {
        say(ctx, "NickServ", "You are logged in to an account already");
        return;
    }
    server.try_password(ctx, Door::NickServ, split_device(name), password, code);
}
