//! NickServ GHOST and REGAIN: the nick of one's account, which another connection has.

use ircv3::message::cut;
use ircv3::name::is_nick;

use crate::limits::NICK_LEN;
use crate::server::change::Change;
use crate::server::command::services::{own_account, say};
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// GHOST
pub fn ghost(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if release(server, ctx, params[0]) {
        say(ctx, "NickServ", &format!("{} is free now", params[0]));
    }
}

/// REGAIN
pub fn regain(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let nick = params[0];
    if server.network.user_by_nick(nick) == ctx.user {
        say(ctx, "NickServ", "You have that nick already");
        return;
    }
    let (held, account) = (server.network.user_by_nick(nick), own_account(server, ctx));
    if let Some(user) = held.filter(|user| account.is_some_and(|account| server.is_presence_of(*user, account))) {
        say_how_to_be(server, ctx, user);
        return;
    }
    if held.is_none() || release(server, ctx, nick) {
        if !is_nick(nick, NICK_LEN, server.network.casemapping) {
            say(ctx, "NickServ", &format!("{:?} is no nick", cut(nick, 64)));
            return;
        }
        server.submit(ctx, Change::Nick { nick });
    }
}

/// Ends whoever has a nick that is the sender's; whether it did.
fn release(server: &mut Server, ctx: &mut Ctx, nick: &str) -> bool {
    let Some(user) = server.network.user_by_nick(nick) else {
        say(ctx, "NickServ", &format!("Nobody uses the nick {:?}", cut(nick, 64)));
        return false;
    };
    if Some(user) == ctx.user {
        say(ctx, "NickServ", "That is you; CLIENTS LOGOUT ends your other connections");
        return false;
    }
    let Some(account) = own_account(server, ctx) else { return false };
    let is_own = server.network.nick_owner(nick).is_some_and(|row| row.id == account);
    if !is_own && server.network.users[user].account != Some(account) {
        say(ctx, "NickServ", &format!("{nick} is not the nick of your account, nor logged in to it"));
        return false;
    }
    let by = ctx.reply.nick.clone();
    let (was, serial) = (server.is_presence_of(user, account), server.network.users[user].serial);
    server.end_holder(ctx, user, account, &format!("GHOST command used by {by}"));
    let stays = was && server.network.users.get(user).is_some_and(|there| there.serial == serial);
    if stays {
        say_how_to_be(server, ctx, user);
    }
    !stays
}

fn say_how_to_be(server: &Server, ctx: &mut Ctx, user: UserId) {
    let there = &server.network.users[user];
    let (nick, connections) = (there.nick.clone(), there.sessions.len());
    let account = there.account_name.as_deref().unwrap_or(&nick);
    let text = match connections {
        0 => format!("{nick} is you: always on, with no connection now, and stays in its channels"),
        1 => format!("{nick} is you: always on, with 1 connection"),
        _ => format!("{nick} is you: always on, with {connections} connections"),
    };
    let how = format!(
        "To be {nick} on this connection, connect again and log in at once: by SASL, or with the server password \
         {account}:<password>"
    );
    say(ctx, "NickServ", &text);
    say(ctx, "NickServ", &how);
}
