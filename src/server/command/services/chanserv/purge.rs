//! ChanServ PURGE: channels that are closed for good.

use ircv3::message::cut;
use ircv3::name;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::kick;
use crate::server::command::services::chanserv::release;
use crate::server::command::services::{say, usage_of};
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::record::{PurgeRow, Record, Seq};
use crate::server::{Ctx, Server};

/// PURGE
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    match (params[0].to_ascii_uppercase().as_str(), &params[1..]) {
        ("ADD", [channel, rest @ ..]) if name::is_channel(channel, limits::CHANNEL_LEN) => {
            let reason = rest.join(" ");
            let reason = match cut(&reason, limits::REASON_LEN) {
                "" => "No reason given",
                reason => reason,
            };
            server.submit(ctx, Change::Purge { channel, reason: Some(reason) });
        }
        ("ADD" | "DEL", [channel, ..]) if !name::is_channel(channel, limits::CHANNEL_LEN) => {
            say(ctx, "ChanServ", &format!("{:?} is no name of a channel", cut(channel, 64)));
        }
        ("DEL", [channel]) => server.submit(ctx, Change::Purge { channel, reason: None }),
        ("LIST", []) => list(server, ctx),
        _ => usage_of(ctx, "ChanServ", "PURGE"),
    }
}

fn list(server: &Server, ctx: &mut Ctx) {
    let mut count = 0;
    for row in server.network.purges() {
        let set_at = readable(row.set_at * 1000);
        say(ctx, "ChanServ", &format!("{} ({} at {set_at}): {}", row.channel, row.setter, row.reason));
        count += 1;
    }
    say(ctx, "ChanServ", &format!("End of the list of closed channels: {count}"));
}

/// Closes a channel, or opens it again.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: &str, reason: Option<&str>) {
    let setter = server.network.users[ctx.me()].source.clone();
    let folded: Box<str> = server.network.fold(channel).as_str().into();
    let Some(reason) = reason else {
        if !server.network.remove_purge(&folded) {
            say(ctx, "ChanServ", &format!("Channel {channel} is not closed; PURGE LIST shows those that are"));
            return;
        }
        server.keep(seq, Record::PurgeGone(folded));
        ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
        say(ctx, "ChanServ", &format!("Channel {channel} may be used again"));
        server.notify(About::Channels, |_| format!("{setter} opened {channel} again"));
        return;
    };
    let set_at = server.clock() / 1000;
    let row = PurgeRow { channel: folded, reason: reason.into(), setter: (*setter).into(), set_at };
    server.network.put_purge(row.clone());
    server.keep(seq, Record::Purge(Box::new(row)));
    let mut count = 0;
    if let Some(id) = server.network.channel_by_name(channel) {
        if server.network.channels[id].founder.is_some() {
            release(server, ctx, seq, id);
        }
        let was_kept = server.network.channels[id].is_kept();
        server.network.channels[id].modes.set('P', false);
        server.settle_channel(id, seq, was_kept);
        let members: Vec<UserId> = server.network.channels[id].members.keys().copied().collect();
        count = members.len();
        for user in members {
            kick::expel(server, ctx, seq, id, user, reason);
        }
        if server.network.channels.contains(id) {
            server.network.drop_channel_if_empty(id);
        }
    }
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    let removed = format!("people who were removed: {count}");
    say(ctx, "ChanServ", &format!("Channel {channel} is closed for good ({removed}): {reason}"));
    server.notify(About::Channels, |_| format!("{setter} closed {channel} for good: {reason}"));
}
