//! REDACT (<https://ircv3.net/specs/extensions/message-redaction>): takes back what was said, everywhere.

use std::sync::Arc;

use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};

use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, chathistory, need_more_params, printable};
use crate::server::event::Returned;
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::policy;
use crate::server::record::{Kind, MessageRow, MsgId, Record, Seq};
use crate::server::{Ctx, Server};

/// A message that someone wants gone.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// The channel or nick, as given.
    pub target: Box<str>,
    /// The message's number.
    pub seq: Seq,
    /// Why; may be empty.
    pub reason: Box<str>,
}

/// REDACT
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !ctx.reply.caps.has(Cap::MessageRedaction) {
        let text = "Unknown command: negotiate draft/message-redaction first";
        ctx.reply.numeric(Numeric::ERR_UNKNOWNCOMMAND, &["REDACT"], Some(text));
        return;
    }
    let (Some(target), Some(msgid)) = (line.param(0), line.param(1)) else {
        need_more_params(ctx, "REDACT");
        return;
    };
    let reason = cut(line.param(2).unwrap_or(""), limits::REASON_LEN);
    let Some(found) = server.settings.history.then(|| chathistory::conversation(server, ctx, target)).flatten() else {
        invalid_target(ctx, target);
        return;
    };
    match MsgId::parse(msgid).filter(|id| id.epoch == server.epoch() && id.seq > found.floor) {
        Some(id) => {
            let redaction = Redaction { target: target.into(), seq: id.seq, reason: reason.into() };
            server.call(ctx, Call::Find { conversation: found.id, seq: id.seq }, Pending::Redact(Box::new(redaction)));
        }
        None => unknown(ctx, target, msgid),
    }
}

fn fail(ctx: &mut Ctx, code: &str, target: &str, msgid: &str, text: &str) {
    ctx.reply.fail("REDACT", code, &[printable(target), printable(msgid)], text);
}

fn invalid_target(ctx: &mut Ctx, target: &str) {
    ctx.reply.fail("REDACT", "INVALID_TARGET", &[printable(target)], "You have no conversation of that name");
}

/// The same whether there is no such message or it stands elsewhere.
fn unknown(ctx: &mut Ctx, target: &str, msgid: &str) {
    fail(ctx, "UNKNOWN_MSGID", target, msgid, "There is no such message in that conversation");
}

/// The message was looked up.
pub fn found(server: &mut Server, ctx: &mut Ctx, redaction: &Redaction, returned: Returned) {
    let msgid = server.msgid(redaction.seq).to_string();
    match returned {
        Returned::Found(Some(row)) if matches!(row.kind, Kind::Privmsg | Kind::Notice | Kind::Tagmsg) => {
            server.submit(ctx, Change::Redact(redaction, &row));
        }
        Returned::Found(_) => unknown(ctx, &redaction.target, &msgid),
        _ => fail(ctx, "UNKNOWN_MSGID", &redaction.target, &msgid, "The message could not be looked up; try again"),
    }
}

/// Removes a message that stands in the store as `row`, where the sender may, and tells who saw it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, redaction: &Redaction, row: &MessageRow) {
    let msgid = server.msgid(redaction.seq).to_string();
    let target = &*redaction.target;
    // While the message was looked up, the sender may have left.
    let found = chathistory::conversation(server, ctx, target).filter(|found| found.id == row.conversation);
    let Some(found) = found else {
        invalid_target(ctx, target);
        return;
    };
    let user = ctx.me();
    let channel = target.starts_with('#').then(|| server.network.channel_by_name(target)).flatten();
    let ranks = channel.and_then(|channel| server.network.channels[channel].ranks(user));
    let as_operator = ranks.is_some_and(|ranks| ranks.at_least(Rank::Op))
        || channel.is_some() && server.network.users[user].is_oper();
    if !policy::is_author(&server.network, user, redaction.seq, row) && !as_operator {
        let text = "Only who said it, and the channel's operators, may take it back";
        fail(ctx, "REDACT_FORBIDDEN", target, &msgid, text);
        return;
    }
    let peer = if channel.is_none() { server.network.user_by_nick(target) } else { None };
    let name: Arc<str> = match (channel, peer) {
        (Some(channel), _) => server.network.channels[channel].name.clone(),
        (None, Some(peer)) => server.network.users[peer].nick.clone(),
        (None, None) => target.into(),
    };
    let source = server.network.users[user].source.clone();
    let reason = &*redaction.reason;
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &source, "REDACT", &[&name, &msgid], (!reason.is_empty()).then_some(reason));
    let mut frame = server.frame_from(user, line);
    frame.forms[0].needs = CapSet::of(&[Cap::MessageRedaction]);
    frame.msgid = Some(server.msgid(seq));
    server.keep(seq, Record::Redacted(redaction.seq));
    let row = MessageRow {
        conversation: 0,
        time: 0,
        kind: Kind::Redact,
        source,
        account: frame.account.clone(),
        bot: frame.bot,
        target: (*name).into(),
        tags: None,
        argument: Some(msgid.into()),
        text: reason.into(),
    };
    (frame.time, frame.after) = server.keep_message(&found.key, seq, row);
    tell(server, ctx, channel, peer, frame);
}

fn tell(server: &mut Server, ctx: &mut Ctx, channel: Option<ChannelId>, peer: Option<UserId>, frame: Frame) {
    let user = ctx.me();
    match channel {
        Some(channel) => {
            ctx.reply.frame(&frame);
            server.frame_to_channel(channel, Arc::new(frame), Some(ctx.conn));
        }
        None => {
            server.frame_to_self(ctx, user, &frame);
            if let Some(peer) = peer.filter(|peer| *peer != user) {
                server.frame_to_user(peer, &frame, None);
            }
        }
    }
}
