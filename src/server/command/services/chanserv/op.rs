//! ChanServ OP, HALFOP, VOICE, what takes them, and UP: ranks of those who are there, by what the sender's account is.

use ircv3::message::cut;
use ircv3::mode::{Rank, Ranks};

use crate::server::change::Change;
use crate::server::command::services::chanserv::{change_ranks, channel_with, ranks_of};
use crate::server::command::services::say;
use crate::server::network::UserId;
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

/// Gives a user that has just logged in what UP would in each of its channels: many clients join before they log in.
pub fn up_everywhere(server: &mut Server, ctx: &mut Ctx, user: UserId) {
    let there = &server.network.users[user];
    let (account, channels) = (there.account, there.channels.clone());
    for id in channels {
        if let Some(standing) = server.network.channels[id].standing(account) {
            change_ranks(server, ctx, (id, user), ranks_of(standing), true, 0);
        }
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
    if !given.give
        && Some(user) != ctx.user
        && server.network.channels[id].ranks(user).and_then(Ranks::highest) > Some(standing)
    {
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
