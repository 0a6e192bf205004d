//! KICK (Modern IRC).

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::command::{find_channel, printable};
use crate::server::network::{ChannelId, UserId};
use crate::server::policy;
use crate::server::record::{Kind, Seq};
use crate::server::{Ctx, Server};

/// KICK: one channel and several nicks, or as many of one as of the other.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let channels: Vec<&str> = line.param(0).unwrap_or("").split(',').collect();
    let nicks: Vec<&str> = line.param(1).unwrap_or("").split(',').collect();
    let reason = cut(line.param(2).unwrap_or(""), limits::KICK_LEN);
    if channels.len() != 1 && channels.len() != nicks.len() {
        ctx.reply.numeric(
            Numeric::ERR_NEEDMOREPARAMS,
            &["KICK"],
            Some("One channel and one or more nicks, or as many channels as nicks"),
        );
        return;
    }
    for (at, nick) in nicks.iter().enumerate() {
        let name = if channels.len() == 1 { channels[0] } else { channels[at] };
        server.submit(ctx, Change::Kick { channel: name, nick, reason });
    }
}

/// Takes someone out of a channel, where the sender may; without a reason it is the sender's nick.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, nick: &str, reason: &str) {
    let Some(channel) = find_channel(server, ctx, name) else { return };
    let there = &server.network.channels[channel];
    let name = there.name.clone();
    let Some(own) = there.ranks(ctx.me()) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    };
    if !own.at_least(Rank::Halfop) {
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&name], Some("You're not channel operator"));
        return;
    }
    let Some(target) = server.network.user_by_nick(nick) else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        return;
    };
    let nick = server.network.users[target].nick.clone();
    let Some(ranks) = there.ranks(target) else {
        ctx.reply.numeric(Numeric::ERR_USERNOTINCHANNEL, &[&nick, &name], Some("They aren't on that channel"));
        return;
    };
    if !policy::may_kick(own, ranks) {
        ctx.reply.numeric(
            Numeric::ERR_CHANOPRIVSNEEDED,
            &[&name],
            Some(&format!("{nick} has a higher rank in the channel than you")),
        );
        return;
    }
    let reason = if reason.is_empty() { &*server.network.users[ctx.me()].nick.clone() } else { reason };
    expel(server, ctx, seq, channel, target, reason);
}

/// Takes someone out of a channel.
pub fn expel(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: ChannelId, target: UserId, reason: &str) {
    let user = ctx.me();
    let nick = server.network.users[target].nick.clone();
    let mut line = Vec::with_capacity(128);
    let (source, name) = (&server.network.users[user].source, &server.network.channels[channel].name);
    write_line(&mut line, source, "KICK", &[name, &nick], Some(reason));
    let mut frame = server.frame_from(user, line);
    // What only some were shown is not in history.
    if !server.network.channels[channel].unshown.contains(&target) {
        let event = Happened { kind: Kind::Kick, argument: Some(&nick), text: reason };
        server.keep_event(&mut frame, channel, user, seq, event);
    }
    frame.after = frame.after.max(server.presence_wait(target));
    let frame = Arc::new(frame);
    server.frame_about(channel, target, frame.clone(), Some(ctx.conn));
    ctx.reply.frame(&frame);
    server.remove_member(channel, target);
}
