//! TOPIC (Modern IRC).

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::Happened;
use crate::server::channel::Topic;
use crate::server::command::printable;
use crate::server::network::ChannelId;
use crate::server::policy;
use crate::server::record::Kind;
use crate::server::{Ctx, Server};

/// TOPIC
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let name = line.param(0).unwrap_or("");
    let user = ctx.me();
    let found = server.network.channel_by_name(name);
    let Some(channel) = found.filter(|id| policy::sees_channel(&server.network, user, &server.network.channels[*id]))
    else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHCHANNEL, &[printable(name)], Some("No such channel"));
        return;
    };
    let there = &server.network.channels[channel];
    let name = there.name.clone();
    let Some(text) = line.param(1) else {
        show(server, ctx, channel);
        return;
    };
    let Some(ranks) = there.ranks(user) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    };
    if there.modes.has('t') && !ranks.at_least(Rank::Halfop) {
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&name], Some("You're not channel operator (+t is set)"));
        return;
    }
    set(server, ctx, channel, cut(text, limits::TOPIC_LEN));
}

fn set(server: &mut Server, ctx: &mut Ctx, channel: ChannelId, text: &str) {
    let user = ctx.me();
    let seq = server.number();
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
