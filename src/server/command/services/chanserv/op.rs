//! ChanServ OP, HALFOP, VOICE, what takes them, and UP: ranks of those who are there, by what the sender's account is.

use ircv3::message::cut;
use ircv3::mode::{Rank, Ranks};

use crate::server::change::Change;
use crate::server::command::services::chanserv::{change_ranks, channel_with, outranks, ranks_of};
use crate::server::command::services::say;
use crate::server::network::UserId;
use crate::server::record::AccountId;
use crate::server::{Ctx, Server};

/// A rank that ChanServ is to give to a member, or to take.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Whose; `None`: the sender's.
    pub nick: Option<&'a str>,
    /// Operator or voice.
    pub rank: Rank,
    /// Whether it is given.
    pub give: bool,
}

/// OP
pub fn op(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Op, true);
}

/// DEOP
pub fn deop(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Op, false);
}

/// HALFOP
pub fn halfop(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Halfop, true);
}

/// DEHALFOP
pub fn dehalfop(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Halfop, false);
}

/// UP
pub fn up(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some((_, standing)) = channel_with(server, ctx, params[0], Rank::Voice) else { return };
    let rank = if standing > Rank::Op { Rank::Op } else { standing };
    submit(server, ctx, &params[..1], rank, true);
}

/// Gives a user that has just logged in what UP would in each of its channels: many clients join before they log in. What
/// it was there by the account that it was logged in to before, it is no more.
pub fn up_everywhere(server: &mut Server, ctx: &mut Ctx, user: UserId, before: Option<AccountId>) {
    let there = &server.network.users[user];
    let (account, channels) = (there.account, there.channels.clone());
    for id in channels {
        let channel = &server.network.channels[id];
        let of = |account| channel.standing(account).map(ranks_of).unwrap_or_default();
        let (was, now) = (of(before), of(account));
        let mut gone = Ranks::default();
        was.iter().filter(|rank| !now.has(*rank)).for_each(|rank| gone.insert(rank));
        change_ranks(server, ctx, (id, user), gone, false, 0);
        change_ranks(server, ctx, (id, user), now, true, 0);
    }
}

/// VOICE
pub fn voice(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Voice, true);
}

/// DEVOICE
pub fn devoice(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params, Rank::Voice, false);
}

fn submit(server: &mut Server, ctx: &mut Ctx, params: &[&str], rank: Rank, give: bool) {
    let given = Given { channel: params[0], nick: params.get(1).copied(), rank, give };
    server.submit(ctx, Change::ServiceRank(&given));
}

/// Gives a rank to a member or takes it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, given: &Given<'_>) {
    let is_own = given.nick.is_none_or(|nick| server.network.user_by_nick(nick) == ctx.user);
    let least = match given.rank {
        // One's own rank by account is given by nobody else.
        rank if is_own => rank,
        Rank::Voice => Rank::Halfop,
        Rank::Halfop => Rank::Op,
        rank => rank,
    };
    let Some((id, standing)) = channel_with(server, ctx, given.channel, least) else { return };
    let name = server.network.channels[id].name.clone();
    let user = match given.nick {
        Some(nick) => server.network.user_by_nick(nick),
        None => ctx.user,
    };
    let member = user.filter(|user| server.network.channels[id].members.contains_key(user));
    let Some(user) = member else {
        let who = given.nick.map_or("You are".to_owned(), |nick| format!("{:?} is", cut(nick, 64)));
        say(ctx, "ChanServ", &format!("{who} not in {name}"));
        return;
    };
    let ranks = match given.rank {
        Rank::Op if Some(user) == ctx.user && given.give => ranks_of(standing),
        rank => Ranks::of(rank),
    };
    if !given.give && Some(user) != ctx.user && outranks(server, id, user, standing) {
        say(ctx, "ChanServ", &format!("They have a higher rank in {name} than your account"));
        return;
    }
    if !change_ranks(server, ctx, (id, user), ranks, given.give, 0) {
        let nick = server.network.users[user].nick.clone();
        let text = if given.give { "has that rank already" } else { "has no such rank" };
        say(ctx, "ChanServ", &format!("{nick} {text} in {name}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{Event, Returned};

    #[test]
    fn what_someone_is_by_their_account_goes_when_they_log_in_to_another() {
        let mut asked = Asked::new();
        let (alice, ben) = (asked.user("alice"), asked.user("ben"));
        asked.account("alice", 1);
        asked.account("ben", 2);
        asked.ask(ben, "QUIT");
        let carol = asked.user("carol");
        asked.account("carol", 3);
        for channel in ["#a", "#b"] {
            asked.ask(alice, &format!("JOIN {channel}"));
            asked.ask(alice, &format!("CS REGISTER {channel}"));
            asked.ask(carol, &format!("JOIN {channel}"));
            asked.ask(alice, &format!("CS AMODE {channel} +o carol"));
        }
        asked.ask(alice, "CS AMODE #a +o ben");
        asked.ask(alice, "CS AMODE #b +h ben");
        // What she is by MODE is hers.
        asked.ask(alice, "MODE #a +v carol");
        let log_in = |asked: &mut Asked, conn| {
            for line in ["CAP REQ sasl", "AUTHENTICATE PLAIN", "AUTHENTICATE AGJlbgBzZXNhbWU="] {
                asked.ask(conn, line);
            }
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(true)));
        };
        log_in(&mut asked, carol);
        assert_eq!(
            (asked.ranks("#a"), asked.ranks("#b")),
            (vec!["alice ~@".into(), "carol @+".into()], vec!["alice ~@".into(), "carol %".into()])
        );
        log_in(&mut asked, alice);
        assert_eq!(asked.ranks("#a"), ["alice @", "carol @+"]);
        assert_eq!(asked.ranks("#b"), ["alice %", "carol %"]);
        assert_eq!(asked.founder("#a"), Some(1));
    }

    #[test]
    fn nobody_takes_a_rank_from_a_higher_account() {
        let mut asked = Asked::new();
        let (alice, bob, carol) = (asked.user("alice"), asked.user("bob"), asked.user("carol"));
        for (nick, account) in [("alice", 1), ("bob", 2), ("carol", 3)] {
            asked.account(nick, account);
        }
        for line in ["JOIN #a", "CS REGISTER #a", "CS AMODE #a +a carol", "CS AMODE #a +o bob"] {
            asked.ask(alice, line);
        }
        asked.ask(carol, "JOIN #a");
        asked.ask(carol, "MODE #a -a carol");
        for line in ["CS DEOP #a carol", "CS KICK #a carol"] {
            let told = asked.ask(bob, line).concat();
            assert!(told.contains("They have a higher rank in #a than your account"), "{line}: {told}");
        }
        assert_eq!(asked.ranks("#a"), ["alice ~@", "carol @"]);
        // Of their own everybody gives up what they like.
        asked.ask(carol, "CS DEOP #a carol");
        assert_eq!(asked.ranks("#a"), ["alice ~@", "carol "]);
    }

    #[test]
    fn whoever_logs_in_after_joining_gets_what_up_would_give() {
        let mut asked = Asked::new();
        let (boss, ben) = (asked.user("boss"), asked.user("ben"));
        asked.account("boss", 1);
        asked.account("ben", 2);
        for channel in ["#a", "#b", "#c"] {
            asked.ask(boss, &format!("JOIN {channel}"));
            asked.ask(boss, &format!("CS REGISTER {channel}"));
        }
        asked.ask(boss, "CS AMODE #a +a ben");
        asked.ask(boss, "CS AMODE #b +v ben");
        asked.ask(ben, "QUIT");
        let guest = asked.user("guest");
        asked.ask(guest, "JOIN #a,#b,#c");
        asked.ask(guest, "NS IDENTIFY ben sesame");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        let modes =
            |lines: Vec<String>| -> Vec<String> { lines.into_iter().filter(|line| line.contains(" MODE ")).collect() };
        let shown =
            [":ChanServ!ChanServ@services MODE #a +ao guest guest", ":ChanServ!ChanServ@services MODE #b +v guest"];
        assert_eq!(modes(asked.heard(boss)), shown);
        assert_eq!(modes(asked.sent(guest)), shown);
        let told = asked.ask(guest, "CS UP #a").concat();
        assert!(told.contains("has that rank already"), "{told}");
    }
}
