//! REDACT (<https://ircv3.net/specs/extensions/message-redaction>): takes back what was said, everywhere.

use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::{Cap, CapSet, Message};

use crate::limits;
use crate::server::command::amend::{self, Amendment, Deed, Place};
use crate::server::command::{need_more_params, negotiated, oper};
use crate::server::record::{Kind, MessageRow, Seq};
use crate::server::{Ctx, Server, policy};

/// REDACT
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !negotiated(ctx, line.command(), &[Cap::MessageRedaction]) {
        return;
    }
    let (Some(target), Some(msgid)) = (line.param(0), line.param(1)) else {
        need_more_params(ctx, "REDACT");
        return;
    };
    let deed = Deed::Redact { reason: cut(line.param(2).unwrap_or(""), limits::REASON_LEN).into() };
    amend::look_up(server, ctx, target, msgid, deed);
}

/// Removes a message, where the sender may, and tells who saw it.
pub fn apply(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    amendment: &Amendment,
    place: &Place,
    row: &MessageRow,
    reason: &str,
) {
    let user = ctx.me();
    let ranks = place.channel.and_then(|channel| server.network.channels[channel].ranks(user));
    let as_operator =
        ranks.is_some_and(|ranks| ranks.at_least(Rank::Op)) || place.channel.is_some() && oper::is(server, ctx);
    if !policy::is_author(&server.network, user, amendment.seq, row) && !as_operator {
        let text = "Only who said it, and the channel's operators, may take it back";
        amendment.fail(server, ctx, "REDACT_FORBIDDEN", text);
        return;
    }
    let msgid = server.msgid(amendment.seq).to_string();
    let source = server.network.users[user].source.clone();
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &source, "REDACT", &[&place.name, &msgid], (!reason.is_empty()).then_some(reason));
    let mut frame = server.frame_from(user, line);
    frame.forms[0].needs = CapSet::of(&[Cap::MessageRedaction]);
    amend::take_back(server, seq, (amendment.seq, row.conversation), &msgid);
    amend::tell(server, ctx, seq, place, frame, (Kind::Redact, &msgid, reason));
}
