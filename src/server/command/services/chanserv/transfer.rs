//! ChanServ TRANSFER: a channel goes to another account, which accepts it.

use ircv3::mode::{Rank, Ranks};

use crate::server::change::Change;
use crate::server::command::services::chanserv::{account_named, change_ranks, channel_named, own_channel, ranks_of};
use crate::server::command::services::{own_account, say, usage_of};
use crate::server::notice::About;
use crate::server::record::Seq;
use crate::server::{Ctx, Server};

/// A step of it.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The founder offers it to the account of this name.
    Offer(&'a str),
    /// The founder does not any more.
    Cancel,
    /// The account takes it.
    Accept,
}

/// TRANSFER
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    match (params[0].to_ascii_uppercase().as_str(), params) {
        ("ACCEPT", [_, channel]) => server.submit(ctx, Change::Transfer { channel, step: Step::Accept }),
        ("CANCEL", [_, channel]) => server.submit(ctx, Change::Transfer { channel, step: Step::Cancel }),
        (_, [channel, name]) => {
            let Some(id) = own_channel(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let channel = server.network.channels[id].name.clone();
            let code = server.confirmation(&format!("transfer {channel} {account}"));
            let text = format!(
                "{channel} will be {name}'s, and you cannot take it back. To go on: /msg ChanServ TRANSFER {channel} \
                 {name} {code}"
            );
            say(ctx, "ChanServ", &text);
        }
        (_, [channel, name, code]) => {
            let Some(id) = own_channel(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let channel = server.network.channels[id].name.clone();
            if server.confirmation(&format!("transfer {channel} {account}")) == *code {
                server.submit(ctx, Change::Transfer { channel: &channel, step: Step::Offer(&name) });
            } else {
                let text = format!("That is not the code; TRANSFER {channel} {name} tells it");
                say(ctx, "ChanServ", &text);
            }
        }
        _ => usage_of(ctx, "ChanServ", "TRANSFER"),
    }
}

/// Makes a step.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: &str, step: Step<'_>) {
    match step {
        Step::Offer(name) => {
            let Some(id) = own_channel(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let there = &mut server.network.channels[id];
            let title = there.name.clone();
            if there.founder == Some(account) {
                say(ctx, "ChanServ", &format!("{title} is yours already"));
                return;
            }
            there.transfer = Some(account);
            let after = server.keep_channel(id, seq);
            ctx.reply.after = ctx.reply.after.max(after);
            say(ctx, "ChanServ", &format!("{title} is {name}'s once they say /msg ChanServ TRANSFER ACCEPT {title}"));
            let theirs = server.network.users_of(account);
            let theirs: Vec<_> = theirs.flat_map(|user| server.network.users[user].sessions.clone()).collect();
            for conn in theirs {
                let mut told = server.ctx(conn, None);
                told.reply.after = after;
                let text = format!("You are offered {title}; to take it: /msg ChanServ TRANSFER ACCEPT {title}");
                say(&mut told, "ChanServ", &text);
                server.finish(told);
            }
        }
        Step::Cancel => {
            let Some(id) = own_channel(server, ctx, channel) else { return };
            let there = &mut server.network.channels[id];
            let title = there.name.clone();
            if there.transfer.take().is_none() {
                say(ctx, "ChanServ", &format!("{title} is offered to nobody"));
                return;
            }
            let after = server.keep_channel(id, seq);
            ctx.reply.after = ctx.reply.after.max(after);
            say(ctx, "ChanServ", &format!("{title} stays yours"));
        }
        Step::Accept => accept(server, ctx, seq, channel),
    }
}

fn accept(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: &str) {
    let account = own_account(server, ctx);
    let offered = server.network.channel_by_name(channel);
    let offered = offered.filter(|id| account.is_some() && server.network.channels[*id].transfer == account);
    let Some(id) = offered else {
        if channel_named(server, ctx, channel).is_some() {
            say(ctx, "ChanServ", "That channel is not offered to your account");
        }
        return;
    };
    let there = &mut server.network.channels[id];
    let title = there.name.clone();
    there.transfer = None;
    let was = std::mem::replace(&mut there.founder, account);
    if there.settings.successor == account {
        server.put_channel_setting(id, seq, "successor", None);
    }
    let after = server.keep_channel(id, seq);
    ctx.reply.after = ctx.reply.after.max(after);
    say(ctx, "ChanServ", &format!("{title} is yours now"));
    let by = ctx.reply.nick.clone();
    server.notify(About::Channels, |_| format!("{title} is {by}'s now"));
    let members: Vec<_> = server.network.channels[id].members.keys().copied().collect();
    for user in members {
        let own = server.network.users[user].account;
        if own.is_some() && own == was {
            change_ranks(server, ctx, (id, user), Ranks::of(Rank::Founder), false, after);
        }
        if own == account {
            change_ranks(server, ctx, (id, user), ranks_of(Rank::Founder), true, after);
        }
    }
}
