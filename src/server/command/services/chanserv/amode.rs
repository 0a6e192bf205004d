//! ChanServ AMODE: what accounts are in a channel whenever they join it.

use ircv3::mode::Rank;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::oper;
use crate::server::command::services::chanserv::{
    account_named, change_ranks, channel_with, ranks_of, registered_channel,
};
use crate::server::command::services::{LOG_IN_FIRST, own_account, say, usage_of};
use crate::server::network::UserId;
use crate::server::record::{AccessRow, Record, Seq};
use crate::server::right::Right;
use crate::server::{Ctx, Server};

/// A change of who is what.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The account's name.
    pub account: &'a str,
    /// Which rank.
    pub rank: Rank,
    /// Whether it is given.
    pub give: bool,
}

/// AMODE
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let [channel, mode, account] = params else {
        if params.len() == 1 {
            list(server, ctx, params[0])
        } else {
            usage_of(ctx, "ChanServ", "AMODE")
        }
        return;
    };
    if own_account(server, ctx).is_none() {
        say(ctx, "ChanServ", LOG_IN_FIRST);
        return;
    }
    let mut letters = mode.chars();
    let give = match letters.next() {
        Some('+') => true,
        Some('-') => false,
        _ => return usage_of(ctx, "ChanServ", "AMODE"),
    };
    let rank = letters.next().and_then(Rank::by_letter).filter(|rank| *rank != Rank::Founder);
    match (rank, letters.next()) {
        (Some(rank), None) => {
            server.submit(ctx, Change::Access(&Given { channel, account, rank, give }));
        }
        _ => say(ctx, "ChanServ", "One letter of a, o, h and v after + or -; TRANSFER gives the channel away"),
    }
}

fn list(server: &mut Server, ctx: &mut Ctx, name: &str) {
    let Some(id) = registered_channel(server, ctx, name) else { return };
    let channel = &server.network.channels[id];
    let may = channel.standing(own_account(server, ctx)).is_some() || oper::has(server, ctx, Right::Ban);
    if !may {
        let text = format!("Only accounts that are something in {} see that", channel.name);
        say(ctx, "ChanServ", &text);
        return;
    }
    let head = format!("Accounts that are something in {} whenever they join: {}", channel.name, channel.access.len());
    let lines = channel
        .access
        .iter()
        .filter_map(|(account, rank)| Some(format!("{} +{}", server.network.account(*account)?.name, rank.letter())));
    let lines: Vec<String> = lines.collect();
    say(ctx, "ChanServ", &head);
    for line in lines {
        say(ctx, "ChanServ", &line);
    }
}

/// Changes what an account is in a channel; who is there already has it at once.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, given: &Given<'_>) {
    // Everybody may give up their own.
    let named = server.network.nick_owner(given.account).map(|row| row.id);
    let gives_up = !given.give && named.is_some() && named == own_account(server, ctx);
    let least = if gives_up { Rank::Voice } else { Rank::Halfop };
    let Some((id, standing)) = channel_with(server, ctx, given.channel, least) else { return };
    let Some((account, name)) = account_named(server, ctx, given.account) else { return };
    let channel = &mut server.network.channels[id];
    let title = channel.name.clone();
    let was = channel.access.get(&account).copied();
    let is_above = given.rank >= standing || was.is_some_and(|was| was >= standing);
    if is_above && !gives_up || channel.founder == Some(account) {
        let text = format!("You may change only what is below your own account in {title}");
        say(ctx, "ChanServ", &text);
        return;
    }
    let folded: Box<str> = channel.folded.as_str().into();
    if given.give {
        if was == Some(given.rank) {
            say(ctx, "ChanServ", &format!("{name} has +{} in {title} already", given.rank.letter()));
            return;
        }
        if was.is_none() && channel.access.len() >= limits::CHANNEL_ACCESS {
            let text = format!("{title} has {} accounts in its list, and that is all it may", limits::CHANNEL_ACCESS);
            say(ctx, "ChanServ", &text);
            return;
        }
        channel.access.insert(account, given.rank);
        let row = AccessRow { channel: folded, account, rank: given.rank };
        server.keep(seq, Record::Access(Box::new(row)));
    } else {
        if was != Some(given.rank) {
            say(ctx, "ChanServ", &format!("{name} has no +{} in {title}", given.rank.letter()));
            return;
        }
        channel.access.remove(&account);
        server.keep(seq, Record::AccessGone(folded, account));
    }
    let after = server.wait_for(seq);
    ctx.reply.after = ctx.reply.after.max(after);
    let letter = given.rank.letter();
    let text = if given.give {
        format!("{name} has +{letter} in {title} whenever they join")
    } else {
        format!("{name} has no +{letter} in {title} any more")
    };
    say(ctx, "ChanServ", &text);
    let members = server.network.channels[id].members.keys();
    let theirs: Vec<UserId> =
        members.copied().filter(|user| server.network.users[*user].account == Some(account)).collect();
    for user in theirs {
        if let Some(was) = was {
            change_ranks(server, ctx, (id, user), ranks_of(was), false, after);
        }
        if given.give {
            change_ranks(server, ctx, (id, user), ranks_of(given.rank), true, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn everybody_may_give_up_what_their_own_account_is_and_only_that() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.account("bob", 2);
        for line in ["JOIN #a", "CS REGISTER #a"] {
            asked.ask(alice, line);
        }
        asked.ask(bob, "JOIN #a");
        for letter in ["a", "o", "h", "v"] {
            asked.ask(alice, &format!("CS AMODE #a +{letter} bob"));
            let told = asked.ask(bob, &format!("CS AMODE #a -{letter} bob")).concat();
            assert!(told.contains(&format!("bob has no +{letter} in #a any more")), "{told}");
            assert_eq!(asked.ranks("#a"), ["alice ~@", "bob "]);
        }
        asked.ask(alice, "CS AMODE #a +o bob");
        assert!(asked.ask(bob, "CS AMODE #a +a bob").concat().contains("only what is below"));
        assert!(asked.ask(bob, "CS AMODE #a -q alice").concat().contains("TRANSFER"));
        assert!(asked.ask(alice, "CS AMODE #a -o alice").concat().contains("only what is below"));
    }
}
