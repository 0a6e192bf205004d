//! ChanServ HOWTOBAN: which ban keeps someone out, and why that one.

use ircv3::message::cut;
use ircv3::mode::Rank;

use crate::server::command::services::chanserv::channel_named;
use crate::server::command::services::{own_account, say};
use crate::server::{Ctx, Server};

/// HOWTOBAN
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(id) = channel_named(server, ctx, params[0]) else { return };
    let channel = &server.network.channels[id];
    let title = channel.name.clone();
    let standing = channel.standing(own_account(server, ctx));
    let rank = channel.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Halfop));
    if !rank && standing.is_none_or(|rank| rank < Rank::Halfop) {
        say(ctx, "ChanServ", &format!("Only halfops of {title} and those above them may ban"));
        return;
    }
    let Some(user) = server.network.user_by_nick(params[1]).map(|user| &server.network.users[user]) else {
        say(ctx, "ChanServ", &format!("There is nobody with the nick {:?}", cut(params[1], 64)));
        return;
    };
    let nick = user.nick.clone();
    let host = user.host.clone();
    if let Some(account) = user.account_name.clone() {
        let text = format!("{nick} is logged in; this holds whatever nick and address they have:");
        say(ctx, "ChanServ", &text);
        say(ctx, "ChanServ", &format!("/mode {title} +b account:{account}"));
        let text = format!("They may come without the account: /mode {title} +R lets in those alone who are logged in");
        say(ctx, "ChanServ", &text);
    }
    let same = server.network.users.iter().filter(|(_, other)| other.host == host && other.nick != nick).count();
    let text = match same {
        0 => "By address:".to_owned(),
        1 => "By address, which one other shares who is on now:".to_owned(),
        n => format!("By address, which {n} others share who are on now:"),
    };
    say(ctx, "ChanServ", &text);
    say(ctx, "ChanServ", &format!("/mode {title} +b *!*@{host}"));
    say(ctx, "ChanServ", &format!("And then: /kick {title} {nick}"));
}
