//! INVITE (Modern IRC), invite-notify (<https://ircv3.net/specs/extensions/invite-notify>).

use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};

use crate::server::change::Change;
use crate::server::command::{find_channel, need_more_params, oper, printable};
use crate::server::network::{ChannelId, UserId};
use crate::server::policy;
use crate::server::{Ctx, Server};

/// How long an invitation opens the channel, in milliseconds.
const LASTS_MS: u64 = 24 * 3_600_000;
/// Invitations one user may hold.
const MOST: usize = 50;

/// INVITE
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    match (line.param(0), line.param(1)) {
        (None, _) => list(server, ctx, server.now().mono_ms),
        (Some(_), None) => need_more_params(ctx, "INVITE"),
        (Some(nick), Some(channel)) => {
            server.submit(ctx, Change::Invite { nick, channel });
        }
    }
}

/// Invites someone, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, nick: &str, name: &str) {
    let user = ctx.me();
    let Some(target) = server.network.addressee(nick) else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        return;
    };
    let nick = server.network.users[target].nick.clone();
    let Some(channel) = find_channel(server, ctx, name) else { return };
    let there = &server.network.channels[channel];
    let name = there.name.clone();
    let Some(ranks) = there.ranks(user) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    };
    if there.modes.has('i') && !ranks.at_least(Rank::Halfop) {
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&name], Some("You're not channel operator (+i is set)"));
        return;
    }
    // Of those who are hidden the sender learns nothing: they are invited as anyone is.
    if there.members.contains_key(&target) && there.shows(user, target) {
        ctx.reply.numeric(Numeric::ERR_USERONCHANNEL, &[&nick, &name], Some("is already on channel"));
        return;
    }
    // Whoever is silenced is not told so.
    let silenced = policy::is_silenced(&server.network, user, target);
    // Only those who may open the channel do so by inviting.
    if ranks.at_least(Rank::Halfop) && !silenced {
        open(server, channel, target);
    }
    ctx.reply.numeric(Numeric::RPL_INVITING, &[&nick, &name], None);
    if let Some(away) = server.away_told(oper::viewer(server, ctx), target) {
        ctx.reply.numeric(Numeric::RPL_AWAY, &[&nick], Some(&away));
    }
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &server.network.users[user].source, "INVITE", &[&nick, &name], None);
    let mut frame = server.frame_from(user, line);
    if !silenced {
        server.frame_to_user(target, &frame, None);
        server.push_invite(user, target, channel, &frame);
    }
    frame.forms[0].needs = CapSet::of(&[Cap::InviteNotify]);
    let there = &server.network.channels[channel];
    let members: Vec<usize> = there
        .members
        .iter()
        .filter(|(id, ranks)| **id != user && ranks.at_least(Rank::Halfop))
        .map(|(id, _)| *id)
        .collect();
    server.frame_to_users(&members, Arc::new(frame), None);
}

/// Lets someone into a channel for a day, whatever keeps others out.
pub fn open(server: &mut Server, channel: ChannelId, target: UserId) {
    let now = server.now().mono_ms;
    let serial = server.network.channels[channel].serial;
    let invites = &mut server.network.users[target].contacts.get_or_insert_default().invites;
    invites.retain(|(invited, until)| *invited != serial && *until > now);
    if invites.len() >= MOST {
        invites.remove(0);
    }
    invites.push((serial, now + LASTS_MS));
}

/// 336 for each invitation that holds, then 337.
fn list(server: &Server, ctx: &mut Ctx, now: u64) {
    let serials: Vec<u64> = server.network.users[ctx.me()]
        .invites()
        .iter()
        .filter(|(_, until)| *until > now)
        .map(|(serial, _)| *serial)
        .collect();
    for (_, channel) in &server.network.channels {
        if serials.contains(&channel.serial) {
            ctx.reply.numeric(Numeric::RPL_INVITELIST, &[&channel.name], None);
        }
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFINVITELIST, &[], Some("End of /INVITE list"));
}
