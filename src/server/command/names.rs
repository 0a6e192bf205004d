//! NAMES (Modern IRC, "NAMES message"): who is in a channel.

use ircv3::message::cut;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Message, Rank};

use crate::server::command::bulk::{self, Answer, WordLines};
use crate::server::command::who::sees_member;
use crate::server::command::{oper, printable};
use crate::server::network::{ChannelId, UserId};
use crate::server::policy::sees_channel;
use crate::server::{Ctx, Server};

const END: &str = "End of /NAMES list";

/// `NAMES [channel[,channel...]]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(asked) = line.param(0).filter(|asked| !asked.is_empty()) else {
        ctx.reply.numeric(Numeric::RPL_ENDOFNAMES, &["*"], Some(END));
        return;
    };
    let mut channels: Vec<Box<str>> = Vec::new();
    for name in asked.split(',').filter(|name| !name.is_empty()) {
        if !channels.iter().any(|other| server.network.casemapping.same(other, name)) {
            channels.push(name.into());
        }
    }
    // A single channel is named as it is written itself; a list is repeated as it was asked.
    let end = match &channels[..] {
        [name] => match server.network.channel_by_name(name) {
            Some(id) if sees_channel(oper::viewer(server, ctx), &server.network.channels[id]) => {
                server.network.channels[id].name.as_ref().into()
            }
            _ => name.clone(),
        },
        _ => asked.into(),
    };
    bulk::start(server, ctx, Answer::Names(Names { channels: channels.into_iter(), end }));
}

/// 353 and 366 of one channel.
pub fn send(server: &Server, ctx: &mut Ctx, channel: ChannelId) {
    members(server, ctx, channel);
    ctx.reply.numeric(Numeric::RPL_ENDOFNAMES, &[&server.network.channels[channel].name], Some(END));
}

/// 353 and 366 to a user who may see more of a channel's members now than it was told of.
pub fn tell(server: &mut Server, channel: ChannelId, user: UserId) {
    for conn in server.network.users[user].sessions.clone() {
        let mut ctx = server.ctx(conn, None);
        send(server, &mut ctx, channel);
        server.finish(ctx);
    }
}

/// What is left of an answer to NAMES.
#[derive(Debug)]
pub struct Names {
    channels: std::vec::IntoIter<Box<str>>,
    end: Box<str>,
}

impl Names {
    /// Appends the next page; whether it is the last. A channel is not divided.
    pub fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        while !bulk::is_full(&ctx.reply) {
            let Some(name) = self.channels.next() else {
                let room = bulk::trailing_room(server, &ctx.reply, &[END]);
                let end = fitting(printable(&self.end), room);
                ctx.reply.numeric(Numeric::RPL_ENDOFNAMES, &[end], Some(END));
                return true;
            };
            if let Some(id) = server.network.channel_by_name(&name) {
                members(server, ctx, id);
            }
        }
        false
    }
}

/// As many whole names of a list as have room.
fn fitting(list: &str, room: usize) -> &str {
    let part = cut(list, room);
    if part.len() == list.len() {
        return list;
    }
    part.rsplit_once(',').map_or(part, |(names, _)| names)
}

/// 353 for those members that the asking user sees.
fn members(server: &Server, ctx: &mut Ctx, id: ChannelId) {
    let network = &server.network;
    let me = ctx.me();
    let viewer = oper::viewer(server, ctx);
    let channel = &network.channels[id];
    if !sees_channel(viewer, channel) {
        return;
    }
    ctx.reply.after = ctx.reply.after.max(channel.changed);
    let multi_prefix = ctx.reply.caps.has(Cap::MultiPrefix);
    let whole_source = ctx.reply.caps.has(Cap::UserhostInNames);
    let ranks = channel.ranks(me);
    // As a rule everyone inside sees everyone, and nobody need be looked at one by one.
    let sees_all = oper::is(server, ctx)
        || ranks
            .is_some_and(|ranks| ranks.at_least(Rank::Halfop) || channel.unshown.is_empty() && !channel.modes.has('u'));
    let symbol = if channel.is_secret() { "@" } else { "=" };
    let middles = [symbol, &*channel.name];
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_NAMREPLY, &middles);
    for (user, ranks) in &channel.members {
        // Clients know themselves from their JOIN: in an auditorium the list is the same for all of the audience.
        let audience = *user == me && channel.modes.has('u') && !channel.is_shown(me);
        if !sees_all && (audience || !sees_member(network, viewer, *user, channel)) {
            continue;
        }
        let user = &network.users[*user];
        let name = if whole_source { &user.source } else { &user.nick };
        words.push(&mut ctx.reply, &[ranks.prefixes(multi_prefix), name]);
    }
    words.finish(&mut ctx.reply);
}

#[cfg(test)]
mod tests {
    use super::fitting;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn c28_the_list_has_its_colon_even_for_one_nick() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #Room");
        let lines = asked.ask(alice, "NAMES #room");
        assert_eq!(lines, [":irc.test 353 alice = #Room :@alice", ":irc.test 366 alice #Room :End of /NAMES list"]);
    }

    #[test]
    fn a_list_of_channels_has_one_end() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a,#b");
        let lines = asked.ask(alice, "NAMES #a,#B,#a,#none");
        assert_eq!(
            lines,
            [
                ":irc.test 353 alice = #a :@alice",
                ":irc.test 353 alice = #b :@alice",
                ":irc.test 366 alice #a,#B,#a,#none :End of /NAMES list",
            ]
        );
        assert_eq!(asked.ask(alice, "NAMES"), [":irc.test 366 alice * :End of /NAMES list"]);
        assert_eq!(asked.ask(alice, "NAMES none"), [":irc.test 366 alice none :End of /NAMES list"]);
    }

    #[test]
    fn capabilities_add_prefixes_and_sources() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "multi-prefix userhost-in-names");
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "MODE #a +v alice");
        assert_eq!(asked.ask(alice, "NAMES #a")[0], ":irc.test 353 alice = #a :@+alice!~u@10.0.0.1");
    }

    #[test]
    fn strangers_see_neither_secret_channels_nor_invisible_members() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #open,#Hidden");
        asked.ask(alice, "MODE #Hidden +s");
        asked.ask(alice, "MODE alice +i");
        let end = |channel: &str| format!(":irc.test 366 bob {channel} :End of /NAMES list");
        assert_eq!(asked.ask(bob, "NAMES #hidden"), [end("#hidden")]);
        assert_eq!(asked.ask(bob, "NAMES #open"), [end("#open")]);
        assert_eq!(asked.ask(alice, "NAMES #hidden")[0], ":irc.test 353 alice @ #Hidden :@alice");
        asked.ask(bob, "JOIN #open");
        assert_eq!(asked.ask(bob, "NAMES #open")[0], ":irc.test 353 bob = #open :@alice bob");
        asked.set_oper("bob");
        assert_eq!(asked.ask(bob, "NAMES #hidden")[0], ":irc.test 353 bob @ #Hidden :@alice");
    }

    #[test]
    fn many_members_take_several_lines_and_none_is_lost() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a");
        for n in 0..200 {
            let conn = asked.user(&format!("a_rather_long_nick_{n}"));
            asked.ask(conn, "JOIN #a");
        }
        let lines = asked.ask(alice, "NAMES #a");
        let names: usize = lines[..lines.len() - 1]
            .iter()
            .map(|line| line.split_once("#a :").map_or(0, |(_, names)| names.split(' ').count()))
            .sum();
        assert_eq!(names, 201);
    }

    #[test]
    fn a_list_that_is_too_long_to_repeat_ends_at_a_comma() {
        assert_eq!(fitting("#a,#b,#c", 8), "#a,#b,#c");
        assert_eq!(fitting("#a,#b,#c", 7), "#a,#b");
        assert_eq!(fitting("#abcdefgh", 4), "#abc");
    }
}
