//! ChanServ TRANSFER: a channel goes to another account, which accepts it.

use ircv3::mode::{Rank, Ranks};

use crate::server::change::Change;
use crate::server::command::services::chanserv::{
    account_named, change_ranks, channel_named, channel_to_settle, founder_acted_for, ranks_of, tell,
};
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
            let Some(id) = channel_to_settle(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let channel = server.network.channels[id].name.clone();
            let code = server.confirmation(&format!("transfer {channel} {account}"));
            let text = format!(
                "{channel} will be {name}'s once they accept it; until then TRANSFER CANCEL {channel} takes it back, and \
                 nothing does later. To go on: /msg ChanServ TRANSFER {channel} {name} {code}"
            );
            say(ctx, "ChanServ", &text);
        }
        (_, [channel, name, code]) => {
            let Some(id) = channel_to_settle(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let channel = server.network.channels[id].name.clone();
            if server.confirmation(&format!("transfer {channel} {account}")) == *code {
                if founder_acted_for(server, ctx, id).is_some() {
                    server.audit(ctx.me(), &format!("ChanServ TRANSFER {channel} {name}"));
                }
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
            let Some(id) = channel_to_settle(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            let there = &mut server.network.channels[id];
            let title = there.name.clone();
            if there.founder == Some(account) {
                let whose =
                    if own_account(server, ctx) == Some(account) { "yours".to_owned() } else { format!("{name}'s") };
                say(ctx, "ChanServ", &format!("{title} is {whose} already"));
                return;
            }
            let other = founder_acted_for(server, ctx, id);
            let there = &mut server.network.channels[id];
            there.transfer = Some(account);
            let after = server.keep_channel(id, seq);
            ctx.reply.after = ctx.reply.after.max(after);
            say(ctx, "ChanServ", &format!("{title} is {name}'s once they say /msg ChanServ TRANSFER ACCEPT {title}"));
            let text = format!("You are offered {title}; to take it: /msg ChanServ TRANSFER ACCEPT {title}");
            tell(server, account, after, &text);
            if let Some(founder) = other {
                let text = format!(
                    "An operator of this server offers your channel {title} to {name}; to keep it: /msg ChanServ TRANSFER \
                     CANCEL {title}"
                );
                tell(server, founder, after, &text);
            }
        }
        Step::Cancel => {
            let Some(id) = channel_to_settle(server, ctx, channel) else { return };
            let whose = founder_acted_for(server, ctx, id).and_then(|founder| server.network.account(founder));
            let whose = whose.map_or("yours".to_owned(), |row| format!("{}'s", row.name));
            let there = &mut server.network.channels[id];
            let title = there.name.clone();
            if there.transfer.take().is_none() {
                say(ctx, "ChanServ", &format!("{title} is offered to nobody"));
                return;
            }
            let after = server.keep_channel(id, seq);
            ctx.reply.after = ctx.reply.after.max(after);
            say(ctx, "ChanServ", &format!("{title} stays {whose}"));
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
    if let Some(founder) = was {
        tell(server, founder, after, &format!("{title} is {by}'s now, who was offered it"));
    }
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
