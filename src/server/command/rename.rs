//! RENAME (<https://ircv3.net/specs/extensions/channel-rename>): another name for a channel with all that
//! belongs to it: members, modes, lists, history, markers, metadata.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message, name};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{find_channel, join, markread, printable};
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::policy;
use crate::server::record::{Record, Seq};
use crate::server::{Ctx, Server};

/// RENAME
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (old, new) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
    let reason = cut(line.param(2).unwrap_or(""), limits::REASON_LEN);
    if !name::is_channel(new, limits::CHANNEL_LEN) {
        let text = format!("A channel's name begins with #, and has at most {} bytes", limits::CHANNEL_LEN);
        fail(ctx, "CANNOT_RENAME", old, new, &text);
        return;
    }
    server.submit(ctx, Change::Rename { old, new, reason });
}

fn fail(ctx: &mut Ctx, code: &str, old: &str, new: &str, text: &str) {
    ctx.reply.fail("RENAME", code, &[printable(old), printable(new)], text);
}

/// Gives a channel another name, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, old: &str, new: &str, reason: &str) {
    let user = ctx.me();
    let Some(id) = find_channel(server, ctx, old) else { return };
    let channel = &server.network.channels[id];
    let was = channel.name.clone();
    let Some(ranks) = channel.ranks(user) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&was], Some("You're not on that channel"));
        return;
    };
    let owner = channel.founder.is_none() || channel.founder == server.network.users[user].account;
    if !ranks.at_least(Rank::Op) || !owner {
        let text = "You're not channel operator (of a registered channel, only its founder renames it)";
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&was], Some(text));
        return;
    }
    if *was == *new {
        fail(ctx, "CANNOT_RENAME", old, new, "That is its name already");
        return;
    }
    if server.network.channel_by_name(new).is_some_and(|other| other != id) {
        fail(ctx, "CHANNEL_NAME_IN_USE", old, new, "Another channel has that name");
        return;
    }
    if server.network.purge(new).is_some() {
        fail(ctx, "CANNOT_RENAME", old, new, "A channel of that name was closed for good by an operator");
        return;
    }
    let account = server.network.users[user].account;
    if policy::channel_is_like_another(&server.network, new, account) {
        fail(ctx, "CANNOT_RENAME", old, new, "The name looks like that of a registered channel; choose another");
        return;
    }
    let other_name = channel.folded != server.network.fold(new);
    move_rows(server, seq, id, new);
    let mut after = server.wait_for(seq);
    for member in server.network.channels[id].members.keys().copied().collect::<Vec<_>>() {
        after = after.max(server.keep_presence(member));
    }
    announce(server, ctx, id, &was, reason, other_name, after);
}

/// Everything that is found by the channel's name is found by the new one.
fn move_rows(server: &mut Server, seq: Seq, id: ChannelId, new: &str) {
    let old = server.network.channels[id].folded.clone();
    server.network.rename_channel(id, new);
    let channel = &server.network.channels[id];
    let folded: Box<str> = channel.folded.as_str().into();
    let casemapping = server.network.casemapping;
    let mut leading: Vec<ChannelId> = Vec::new();
    for (other, channel) in &mut server.network.channels {
        if channel.forward.as_deref().is_some_and(|forward| casemapping.same(forward, old.as_str())) {
            channel.forward = Some(new.into());
            leading.push(other);
        }
    }
    for other in leading {
        server.keep_channel(other, seq);
    }
    if *folded == *old.as_str() {
        server.keep_channel(id, seq);
        return;
    }
    let channel = &server.network.channels[id];
    if channel.is_kept() {
        server.keep(seq, Record::ChannelGone(old.as_str().into()));
        server.keep_whole_channel(id, seq);
    }
    if !server.move_conversation(seq, old.as_str(), &folded, new) {
        let record = server.network.begin_anew(id);
        server.keep_conversation(id, seq, record);
    }
    server.move_about(seq, old.as_str(), &folded, new);
}

/// RENAME for those who know it; for the others the channel is left and joined, if its name is another one.
fn announce(server: &mut Server, ctx: &mut Ctx, id: ChannelId, was: &str, reason: &str, other_name: bool, after: Seq) {
    let user = ctx.me();
    let name = server.network.channels[id].name.clone();
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &server.network.users[user].source, "RENAME", &[was, &name], Some(reason));
    let mut frame = server.frame_from(user, line);
    frame.after = after;
    frame.forms[0].needs = CapSet::of(&[Cap::ChannelRename]);
    ctx.reply.frame(&frame);
    server.frame_to_channel(id, Arc::new(frame), Some(ctx.conn));
    let members: Vec<UserId> = server.network.channels[id].members.keys().copied().collect();
    for member in members {
        for conn in server.network.users[member].sessions.clone() {
            let knows = server.session(conn).is_some_and(|session| session.caps.has(Cap::ChannelRename));
            if knows && conn == ctx.conn {
                // Behind what tells it of the name.
                markread::on_join(server, ctx, id);
            } else if knows {
                let mut told = server.ctx(conn, None);
                markread::on_join(server, &mut told, id);
                server.finish(told);
            } else if other_name {
                let mut told =
                    if conn == ctx.conn { server.ctx(conn, ctx.reply.take_label()) } else { server.ctx(conn, None) };
                told.reply.after = after;
                part(server, &mut told, member, was, reason);
                join::show(server, &mut told, id);
                server.finish(told);
            }
        }
    }
}

fn part(server: &Server, told: &mut Ctx, member: UserId, was: &str, reason: &str) {
    let mut line = Vec::with_capacity(128);
    let text = if reason.is_empty() { "Channel renamed".to_owned() } else { format!("Channel renamed: {reason}") };
    write_line(&mut line, &server.network.users[member].source, "PART", &[was], Some(&text));
    told.reply.frame(&Frame::plain(server.clock(), Bytes::from(line)));
}
