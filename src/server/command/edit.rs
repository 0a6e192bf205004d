//! EDIT (<https://github.com/ircv3/ircv3-specifications/pull/425>): says otherwise what was said, everywhere.
//!
//! The draft has the message and its new text in tags. They may be parameters instead, as was proposed there
//! (and as EDITMSG); others are told in the draft's form. Those without the capability are told nothing: they
//! see it when they read the history.

use ircv3::message::write_line;
use ircv3::tags::{Tags, escape};
use ircv3::{Cap, CapSet, Message};

use crate::server::command::amend::{self, Amendment, Deed, Place};
use crate::server::command::message::{Said, fitting};
use crate::server::command::{negotiated, oper, printable};
use crate::server::record::{Kind, MessageRow, Record, Seq};
use crate::server::{Ctx, Server, policy};

/// The tag with the msgid of the message.
const TARGET_MSGID: &str = "draft/target-msgid";
/// The tag with its new text.
const EDIT_TEXT: &str = "draft/edit-text";

/// EDIT, EDITMSG
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !negotiated(ctx, line.command(), &[Cap::MessageEdit]) {
        return;
    }
    let target = line.param(0).unwrap_or("");
    let tags: Tags<'_> = line.tags();
    let tagged = (tags.get(TARGET_MSGID), tags.get(EDIT_TEXT));
    let msgid = tagged.0.as_deref().or(line.param(1)).filter(|msgid| !msgid.is_empty());
    let text = tagged.1.as_deref().or(line.param(2)).unwrap_or("");
    let Some(msgid) = msgid else {
        let problem = format!("Say which message: give its msgid in the tag {TARGET_MSGID}");
        ctx.reply.fail("EDIT", "INVALID_EDIT", &[printable(target)], &problem);
        return;
    };
    if text.is_empty() || text.contains(['\r', '\n', '\0']) {
        let problem = if text.is_empty() {
            "A message cannot be edited to nothing: take it back with REDACT"
        } else {
            "A message is edited to one line: the new text has a line break or NUL"
        };
        ctx.reply.fail("EDIT", "INVALID_EDIT", &[printable(target), printable(msgid)], problem);
        return;
    }
    let deed = Deed::Edit { text: text.into() };
    amend::look_up(server, ctx, target, msgid, deed);
}

/// Puts another text in the place of a message's, where the sender may, and tells who sees it.
pub fn apply(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    amendment: &Amendment,
    place: &Place,
    row: &MessageRow,
    text: &str,
) {
    let user = ctx.me();
    let network = &server.network;
    // An account is known to be the same person's; the argument is of those who speak for others. Who says that it reads
    // otherwise now would not be who said it.
    if row.shown_account().is_none() || row.argument.is_some() || !policy::is_author(network, user, amendment.seq, row)
    {
        let text = "Only the account that said it may edit it";
        amendment.fail(server, ctx, "EDIT_FORBIDDEN", text);
        return;
    }
    let window = server.settings.edit_window;
    if server.clock().saturating_sub(row.time) > u64::from(window) * 1000 {
        let context = [printable(&amendment.target), &server.msgid(amendment.seq).to_string(), &window.to_string()];
        let text = format!("A message can be edited for {window} seconds after it was said");
        ctx.reply.fail("EDIT", "EDIT_WINDOW_EXPIRED", &context, &text);
        return;
    }
    // Who may not say it now may not say it so.
    let refused = match (place.channel, place.peer) {
        (Some(channel), _) => {
            policy::may_speak(network, user, &network.channels[channel], text).err().map(|refused| refused.text())
        }
        (None, Some(peer)) => {
            policy::may_address(network, oper::viewer(server, ctx), peer, text).err().map(|refused| refused.text())
        }
        (None, None) => None,
    };
    if let Some(refused) = refused {
        amendment.fail(server, ctx, "EDIT_FORBIDDEN", refused);
        return;
    }
    let text = match place.channel {
        Some(channel) => policy::heard(&network.channels[channel], text).into_owned(),
        None => text.to_owned(),
    };
    let source = network.users[user].source.clone();
    // A channel may have another name than when it was said there.
    let target = if place.channel.is_some() { &place.name } else { &*row.target };
    let said = Said { kind: row.kind, target, text: &text, tags: None };
    let text = fitting(&said, &source, target);
    let msgid = server.msgid(amendment.seq).to_string();
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &source, "EDIT", &[&place.name], None);
    let mut frame = server.frame_from(user, line);
    frame.forms[0].needs = NEEDED;
    frame.client_tags = Some(tags(&msgid, text));
    server.push_edited(amendment.seq, text);
    server.keep(seq, Record::Edited(amendment.seq, Box::new(MessageRow { text: text.into(), ..row.clone() })));
    amend::tell(server, ctx, seq, place, frame, (Kind::Edit, &msgid, ""));
}

/// Capabilities without which nobody is told of an edit.
pub const NEEDED: CapSet = CapSet::of(&[Cap::MessageEdit, Cap::MessageTags]);

/// The tags of an EDIT that is sent.
pub fn tags(msgid: &str, text: &str) -> Box<str> {
    format!("{TARGET_MSGID}={msgid};{EDIT_TEXT}={}", escape(text)).into()
}
