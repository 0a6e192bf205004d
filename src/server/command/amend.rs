//! What REDACT and EDIT have in common: a message that was said is looked up, is changed for everyone, and who
//! sees its conversation is told, now or on coming back.

use std::sync::Arc;

use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, chathistory, edit, printable, redact};
use crate::server::event::Returned;
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::record::{ConversationId, Kind, MessageRow, MsgId, Record, Seq};
use crate::server::{Ctx, Server};

/// What someone wants to be done about a message.
#[derive(Clone, Debug)]
pub struct Amendment {
    /// The channel or nick, as given.
    pub target: Box<str>,
    /// The message's number.
    pub seq: Seq,
    /// What.
    pub deed: Deed,
}

/// What is done about it.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It is taken back.
    Redact {
        /// Why; may be empty.
        reason: Box<str>,
    },
    /// It reads otherwise from now on.
    Edit {
        /// How.
        text: Box<str>,
    },
}

impl Deed {
    /// The command that asks for it.
    pub const fn command(&self) -> &'static str {
        match self {
            Deed::Redact { .. } => "REDACT",
            Deed::Edit { .. } => "EDIT",
        }
    }

    /// The code of FAIL where there is no such conversation for the sender, and where there is no such message.
    pub const fn codes(&self) -> (&'static str, &'static str) {
        match self {
            Deed::Redact { .. } => ("INVALID_TARGET", "UNKNOWN_MSGID"),
            Deed::Edit { .. } => ("EDIT_FORBIDDEN", "EDIT_FORBIDDEN"),
        }
    }

    /// Whether it can be done about a message of this kind.
    const fn suits(&self, kind: Kind) -> bool {
        match self {
            Deed::Redact { .. } => matches!(kind, Kind::Privmsg | Kind::Notice | Kind::Tagmsg),
            Deed::Edit { .. } => matches!(kind, Kind::Privmsg | Kind::Notice),
        }
    }
}

impl Amendment {
    /// FAIL, with the conversation and the message.
    pub fn fail(&self, server: &Server, ctx: &mut Ctx, code: &str, text: &str) {
        fail(ctx, &self.deed, code, &[printable(&self.target), &server.msgid(self.seq).to_string()], text);
    }
}

fn fail(ctx: &mut Ctx, deed: &Deed, code: &str, context: &[&str], text: &str) {
    ctx.reply.fail(deed.command(), code, context, text);
}

fn no_conversation(ctx: &mut Ctx, deed: &Deed, target: &str) {
    fail(ctx, deed, deed.codes().0, &[printable(target)], "You have no conversation of that name");
}

/// The same whether there is no such message or it stands elsewhere.
const UNKNOWN: &str = "There is no such message in that conversation";

/// Looks a message up for what is to be done about it.
pub fn look_up(server: &mut Server, ctx: &mut Ctx, target: &str, msgid: &str, deed: Deed) {
    let Some(found) = server.settings.history.then(|| chathistory::conversation(server, ctx, target)).flatten() else {
        no_conversation(ctx, &deed, target);
        return;
    };
    match MsgId::parse(msgid).filter(|id| id.epoch == server.epoch() && id.seq > found.floor) {
        Some(id) => {
            let amendment = Amendment { target: target.into(), seq: id.seq, deed };
            let call = Call::Find { conversation: found.id, seq: id.seq };
            server.call(ctx, call, Pending::Amend(Box::new(amendment)));
        }
        None => fail(ctx, &deed, deed.codes().1, &[printable(target), printable(msgid)], UNKNOWN),
    }
}

/// The message was looked up.
pub fn found(server: &mut Server, ctx: &mut Ctx, amendment: &Amendment, returned: Returned) {
    let code = amendment.deed.codes().1;
    match returned {
        Returned::Found(Some(row)) if amendment.deed.suits(row.kind) => {
            server.submit(ctx, Change::Amend(amendment, &row));
        }
        Returned::Found(_) => amendment.fail(server, ctx, code, UNKNOWN),
        _ => amendment.fail(server, ctx, code, "The message could not be looked up; try again"),
    }
}

/// Where a message stands.
pub struct Place {
    /// The conversation's key.
    key: Box<str>,
    /// What it is called now.
    pub name: Arc<str>,
    /// The channel.
    pub channel: Option<ChannelId>,
    /// Whom the sender talks to in private, where they are here.
    pub peer: Option<UserId>,
}

impl Place {
    /// The conversation of a channel.
    pub fn channel(server: &Server, id: ChannelId) -> Place {
        let channel = &server.network.channels[id];
        Place { key: channel.folded.as_str().into(), name: channel.name.clone(), channel: Some(id), peer: None }
    }
}

/// Does it about a message that stands in the store as `row`, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, amendment: &Amendment, row: &MessageRow) {
    let target = &*amendment.target;
    // While the message was looked up, the sender may have left.
    let found = chathistory::conversation(server, ctx, target).filter(|found| found.id == row.conversation);
    let Some(found) = found else {
        no_conversation(ctx, &amendment.deed, target);
        return;
    };
    if row.time < found.since {
        amendment.fail(server, ctx, amendment.deed.codes().1, UNKNOWN);
        return;
    }
    let channel = target.starts_with('#').then(|| server.network.channel_by_name(target)).flatten();
    let peer = if channel.is_none() { server.network.addressee(target) } else { None };
    let name: Arc<str> = match (channel, peer) {
        (Some(channel), _) => server.network.channels[channel].name.clone(),
        (None, Some(peer)) => server.network.users[peer].nick.clone(),
        (None, None) => target.into(),
    };
    let place = Place { key: found.key, name, channel, peer };
    match &amendment.deed {
        Deed::Redact { reason } => redact::apply(server, ctx, seq, amendment, &place, row, reason),
        Deed::Edit { text } => edit::apply(server, ctx, seq, amendment, &place, row, text),
    }
}

/// A message of a conversation is no more, nor what is about it, and nobody is pushed it.
pub fn take_back(server: &mut Server, seq: Seq, (message, conversation): (Seq, ConversationId), msgid: &str) {
    server.keep(seq, Record::Redacted(message));
    server.keep(seq, Record::AboutGone(conversation, msgid.into()));
    server.push_redacted(message);
}

/// Keeps what was done as an event of the conversation, and tells who sees it: `frame` is what they are told.
pub fn tell(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    place: &Place,
    mut frame: Frame,
    (kind, argument, text): (Kind, &str, &str),
) {
    let user = ctx.me();
    frame.msgid = Some(server.msgid(seq));
    let row = MessageRow {
        conversation: 0,
        time: 0,
        kind,
        source: server.network.users[user].source.clone(),
        account: frame.account.clone(),
        bot: frame.bot,
        target: (*place.name).into(),
        tags: None,
        argument: Some(argument.into()),
        text: text.into(),
    };
    (frame.time, frame.after) = server.keep_message(&place.key, seq, row);
    match place.channel {
        Some(channel) => {
            ctx.reply.frame(&frame);
            server.frame_to_channel(channel, Arc::new(frame), Some(ctx.conn));
        }
        None => {
            server.frame_to_self(ctx, user, &frame);
            if let Some(peer) = place.peer.filter(|peer| *peer != user) {
                server.frame_to_user(peer, &frame, None);
            }
        }
    }
}
