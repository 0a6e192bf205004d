//! TOPIC (Modern IRC).

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::channel::Topic;
use crate::server::command::{find_channel, join};
use crate::server::network::ChannelId;
use crate::server::record::{Kind, Seq};
use crate::server::{Ctx, Server};

/// TOPIC
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let name = line.param(0).unwrap_or("");
    if let Some(text) = line.param(1) {
        server.submit(ctx, Change::Topic { channel: name, text: cut(text, limits::TOPIC_LEN) });
    } else if let Some(channel) = find_channel(server, ctx, name) {
        show(server, ctx, channel);
    }
}

/// Sets a topic, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, text: &str) {
    let user = ctx.me();
    let Some(channel) = find_channel(server, ctx, name) else { return };
    let there = &server.network.channels[channel];
    let name = there.name.clone();
    let Some(ranks) = there.ranks(user) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    };
    if there.modes.has('t') && !ranks.at_least(Rank::Halfop) {
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&name], Some("You're not channel operator (+t is set)"));
        return;
    }
    set(server, ctx, seq, channel, text);
}

/// Sets a topic.
pub fn set(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: ChannelId, text: &str) {
    let user = ctx.me();
    join::reveal(server, channel, user);
    let setter = server.network.users[user].source.clone();
    let topic = (!text.is_empty()).then(|| Topic {
        text: text.into(),
        setter: (*setter).into(),
        set_at: server.clock() / 1000,
    });
    server.network.channels[channel].topic = topic;
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &setter, "TOPIC", &[&server.network.channels[channel].name], Some(text));
    let mut frame = server.frame_from(user, line);
    let kept = server.keep_channel(channel, seq);
    frame.after = kept;
    server.keep_event(&mut frame, channel, user, seq, Happened { kind: Kind::Topic, argument: None, text });
    server.network.channels[channel].changed = frame.after;
    let frame = Arc::new(frame);
    server.frame_to_channel(channel, frame.clone(), Some(ctx.conn));
    ctx.reply.frame(&frame);
}

/// 332 and 333, or 331.
pub fn show(server: &Server, ctx: &mut Ctx, channel: ChannelId) {
    let there = &server.network.channels[channel];
    match &there.topic {
        Some(topic) => {
            ctx.reply.numeric(Numeric::RPL_TOPIC, &[&there.name], Some(&topic.text));
            ctx.reply.numeric(
                Numeric::RPL_TOPICWHOTIME,
                &[&there.name, &topic.setter, &topic.set_at.to_string()],
                None,
            );
        }
        None => ctx.reply.numeric(Numeric::RPL_NOTOPIC, &[&there.name], Some("No topic is set")),
    }
    ctx.reply.after = ctx.reply.after.max(there.changed);
}
