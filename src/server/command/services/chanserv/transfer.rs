//! ChanServ TRANSFER: a channel goes to another account, which accepts it.

use crate::server::change::Change;
use crate::server::command::services::chanserv::{
    account_named, channel_named, channel_to_settle, founder_acted_for, hand_on, settle_founder, tell,
};
use crate::server::command::services::{own_account, say, usage_of};
use crate::server::network::ChannelId;
use crate::server::notice::About;
use crate::server::record::{AccountId, Seq};
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
            if is_theirs(server, ctx, id, account, &name) {
                return;
            }
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

/// Whether a channel is that account's already; the sender is told so.
fn is_theirs(server: &Server, ctx: &mut Ctx, id: ChannelId, account: AccountId, name: &str) -> bool {
    let there = &server.network.channels[id];
    let is_theirs = there.founder == Some(account);
    if is_theirs {
        let whose = if own_account(server, ctx) == Some(account) { "yours".to_owned() } else { format!("{name}'s") };
        say(ctx, "ChanServ", &format!("{} is {whose} already", there.name));
    }
    is_theirs
}

/// Makes a step.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: &str, step: Step<'_>) {
    match step {
        Step::Offer(name) => {
            let Some(id) = channel_to_settle(server, ctx, channel) else { return };
            let Some((account, name)) = account_named(server, ctx, name) else { return };
            if is_theirs(server, ctx, id, account, &name) {
                return;
            }
            let title = server.network.channels[id].name.clone();
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
    let Some(heir) = account else { return };
    let (title, was) = (server.network.channels[id].name.clone(), server.network.channels[id].founder);
    let after = hand_on(server, seq, id, heir);
    ctx.reply.after = ctx.reply.after.max(after);
    say(ctx, "ChanServ", &format!("{title} is yours now"));
    let by = ctx.reply.nick.clone();
    if let Some(founder) = was {
        tell(server, founder, after, &format!("{title} is {by}'s now, who was offered it"));
    }
    server.notify(About::Channels, |_| format!("{title} is {by}'s now"));
    settle_founder(server, ctx, id, after);
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::ConnId;
    use crate::server::record::SuspensionRow;

    /// A server with #f, which is alice's, where carol is, whom she made a founder, and two others with accounts outside.
    fn garden() -> (Asked, [ConnId; 4]) {
        let mut asked = Asked::new();
        let conns = [("alice", 1), ("bob", 2), ("carol", 3), ("dave", 4)].map(|(nick, account)| {
            let conn = asked.user(nick);
            asked.account(nick, account);
            conn
        });
        for line in ["JOIN #f", "CS REGISTER #f"] {
            asked.ask(conns[0], line);
        }
        asked.ask(conns[2], "JOIN #f");
        asked.ask(conns[0], "MODE #f +q carol");
        (asked, conns)
    }

    #[test]
    fn whom_the_founder_before_made_founders_are_none_once_a_channel_is_somebody_elses() {
        let (mut asked, [alice, _, carol, dave]) = garden();
        asked.confirmed(alice, "CS TRANSFER #f dave");
        assert_eq!(asked.ranks("#f"), ["alice ~@", "carol ~"], "it is hers until then");
        asked.ask(dave, "CS TRANSFER ACCEPT #f");
        assert_eq!(asked.ranks("#f"), ["alice @", "carol "]);
        asked.ask(dave, "JOIN #f");
        asked.ask(carol, "KICK #f dave");
        asked.ask(alice, "KICK #f dave");
        assert_eq!(asked.ranks("#f"), ["alice @", "carol ", "dave ~@"]);
        // By succession as well.
        asked.ask(dave, "MODE #f +q carol");
        asked.ask(dave, "CS SET #f SUCCESSOR bob");
        asked.confirmed(dave, "NS UNREGISTER dave");
        assert_eq!(asked.ranks("#f"), ["alice @", "carol "]);
        assert_eq!(asked.founder("#f"), Some(2));
    }

    #[test]
    fn an_offer_ends_with_the_founder_who_made_it() {
        let (mut asked, [alice, bob, _, dave]) = garden();
        asked.ask(alice, "CS SET #f SUCCESSOR bob");
        asked.confirmed(alice, "CS TRANSFER #f dave");
        asked.confirmed(alice, "NS UNREGISTER alice");
        assert!(asked.ask(dave, "CS TRANSFER ACCEPT #f").concat().contains("not offered to your account"));
        assert_eq!(asked.founder("#f"), Some(2));
        assert!(asked.ask(bob, "CS TRANSFER CANCEL #f").concat().contains("offered to nobody"));
    }

    #[test]
    fn whoever_accepts_a_channel_chooses_who_succeeds_them_and_has_no_rank_of_amode_in_it() {
        let (mut asked, [alice, bob, carol, _]) = garden();
        asked.ask(alice, "CS AMODE #f +o bob");
        asked.ask(alice, "CS AMODE #f +v carol");
        asked.ask(alice, "CS SET #f SUCCESSOR dave");
        asked.confirmed(alice, "CS TRANSFER #f bob");
        asked.ask(bob, "CS TRANSFER ACCEPT #f");
        assert!(asked.ask(bob, "CS GET #f SUCCESSOR").concat().contains("SUCCESSOR of #f is OFF"));
        let list = asked.ask(bob, "CS AMODE #f").concat();
        assert!(list.contains(": 1") && list.contains("carol +v") && !list.contains("bob +"), "{list}");
        asked.confirmed(bob, "CS TRANSFER #f carol");
        asked.ask(carol, "CS TRANSFER ACCEPT #f");
        asked.ask(bob, "JOIN #f");
        assert_eq!(asked.ranks("#f"), ["alice @", "carol ~@+", "bob "]);
    }

    #[test]
    fn nobody_inherits_a_channel_whose_account_is_suspended() {
        let (mut asked, [alice, ..]) = garden();
        asked.ask(alice, "CS SET #f SUCCESSOR dave");
        asked.server.network.put_suspension(SuspensionRow {
            account: 4,
            reason: "spam".into(),
            setter: "boss".into(),
            set_at: 0,
            expires: None,
        });
        asked.confirmed(alice, "NS UNREGISTER alice");
        assert_eq!(asked.founder("#f"), None);
    }
}
