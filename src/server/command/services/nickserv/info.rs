//! NickServ INFO.

use crate::server::command::info::readable;
use crate::server::command::oper;
use crate::server::command::services::nickserv::{group, second};
use crate::server::command::services::{account_named, own_account, say, say_words};
use crate::server::right::Right;
use crate::server::{Ctx, Server};

/// INFO
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let nick = ctx.reply.nick.clone();
    let own = own_account(server, ctx).filter(|_| params.is_empty());
    let name = params.first().copied().unwrap_or(&nick);
    // A nick that is of no account is whose it is now.
    let user = server.network.user_by_nick(name).and_then(|user| server.network.users[user].account);
    let owner = own.and_then(|account| server.network.account(account)).or_else(|| server.network.nick_owner(name));
    let owner = owner.or_else(|| server.network.account(user?)).map(|row| row.name.clone());
    let Some(row) = account_named(server, ctx, "NickServ", owner.as_deref().unwrap_or(name)) else { return };
    say(ctx, "NickServ", &format!("Account {} was registered at {}", row.name, readable(row.registered)));
    let is_own = own_account(server, ctx) == Some(row.id);
    let is_oper = oper::has(server, ctx, Right::Ban);
    if !row.verified {
        say(ctx, "NickServ", "It is not verified: it waits for the code that was mailed");
    }
    if !is_own && !is_oper {
        return;
    }
    let settings = server.network.account_settings(row.id).clone();
    if server.sessions_of(row.id).is_empty() {
        let used = if settings.used > 0 { readable(settings.used) } else { "before that was noted".to_owned() };
        say(ctx, "NickServ", &format!("It was last used about {used}"));
    } else {
        say(ctx, "NickServ", "It is being used now");
    }
    if settings.no_expire {
        say(ctx, "NickServ", "It does not lapse, however long nobody uses it");
    } else if let Some(channel) = server.kept_for(row.id) {
        let name = &server.network.channels[channel].name;
        say(ctx, "NickServ", &format!("It does not lapse while {name} is its, which does not either"));
    }
    say(ctx, "NickServ", &format!("Its address is {}", row.email.as_deref().unwrap_or("not given")));
    if let Some(text) = second::info(server, row.id) {
        say(ctx, "NickServ", &text);
    }
    let nicks = group::list(server, row.id);
    if !nicks.is_empty() {
        say_words(ctx, "NickServ", "Its other nicks are", nicks);
    }
    let channels = server.network.channels.iter().filter(|(_, channel)| channel.founder == Some(row.id));
    let mut names: Vec<&str> = channels.map(|(_, channel)| &*channel.name).collect();
    names.sort_unstable();
    if !names.is_empty() {
        say_words(ctx, "NickServ", "Its channels are", names);
    }
    if let Some(suspension) = server.network.suspension(row.id) {
        let text = format!("It is suspended by {}: {}", suspension.setter, suspension.reason);
        say(ctx, "NickServ", &text);
    }
}
