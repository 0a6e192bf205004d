//! PRIVMSG, NOTICE and TAGMSG (Modern IRC; message-tags, echo-message, STATUSMSG).

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, put, write_line};
use ircv3::mode::{Rank, Ranks};
use ircv3::numeric::Numeric;
use ircv3::tags::Tags;
use ircv3::{Cap, CapSet, Message, multiline};
use smallvec::{SmallVec, smallvec};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{accept, batch, join, oper, playback, printable, services};
use crate::server::frame::{Form, Frame, Tagged};
use crate::server::network::{ChannelId, UserId};
use crate::server::policy::{self, AddressRefused};
use crate::server::push::Spoken;
use crate::server::record::{Kind, MessageRow, MsgId, Seq};
use crate::server::session::Session;
use crate::server::{Ctx, Server};

/// PRIVMSG
pub fn privmsg(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    run(server, ctx, line, Kind::Privmsg);
}

/// NOTICE: never answered with an error, so that two bots cannot answer each other for ever.
pub fn notice(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    run(server, ctx, line, Kind::Notice);
}

/// TAGMSG
pub fn tagmsg(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    run(server, ctx, line, Kind::Tagmsg);
}

/// The command that says it.
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Notice => "NOTICE",
        Kind::Tagmsg => "TAGMSG",
        _ => "PRIVMSG",
    }
}

fn run(server: &mut Server, ctx: &mut Ctx, line: &Message, kind: Kind) {
    let targets = line.param(0).unwrap_or("");
    if targets.is_empty() {
        if kind != Kind::Notice {
            let text = format!("No recipient given ({})", name_of(kind));
            ctx.reply.numeric(Numeric::ERR_NORECIPIENT, &[], Some(&text));
        }
        return;
    }
    let text = line.param(1).unwrap_or("");
    if text.is_empty() && kind != Kind::Tagmsg {
        if kind != Kind::Notice {
            ctx.reply.numeric(Numeric::ERR_NOTEXTTOSEND, &[], Some("No text to send"));
        }
        return;
    }
    let tags = client_tags(server, ctx, line);
    if kind == Kind::Tagmsg && (!ctx.reply.caps.has(Cap::MessageTags) || (tags.is_none() && denied_all(line))) {
        return;
    }
    let user = ctx.me();
    server.network.users[user].spoke = server.now().mono_ms;
    for (at, target) in targets.split(',').enumerate() {
        // A service may have ended the sender for what was said to it before.
        if server.session(ctx.conn).is_none_or(|session| session.closing) {
            return;
        }
        if at == limits::MESSAGE_TARGETS {
            if kind != Kind::Notice {
                let text = format!("Too many targets: at most {}", limits::MESSAGE_TARGETS);
                ctx.reply.numeric(Numeric::ERR_TOOMANYTARGETS, &[printable(target)], Some(&text));
            }
            return;
        }
        say(server, ctx, kind, target, text, tags.as_deref());
    }
}

/// Whether somebody must be there who says this. Clients answer CTCP by themselves, and scripts and bots send
/// notices; of typing alone a client may tell long after its user has gone. (What is asked of `*playback` clients ask by
/// themselves, too.)
fn is_act(kind: Kind, tags: Option<&str>) -> bool {
    match kind {
        Kind::Notice => false,
        Kind::Tagmsg => tags.is_some_and(|tags| Tags::new(tags).iter().any(|(key, _)| !TYPING.contains(&key))),
        _ => true,
    }
}

/// Says something to one target; a text of several lines is as [`ircv3::multiline`] has it.
pub fn say(server: &mut Server, ctx: &mut Ctx, kind: Kind, target: &str, text: &str, tags: Option<&str>) {
    if playback::is_meant(target) {
        echo_own(server, ctx, &Said { kind, target: playback::NICK, text, tags });
        if kind == Kind::Privmsg && !server.session(ctx.conn).is_some_and(Session::is_busy) {
            playback::message(server, ctx, text);
        }
        return;
    }
    if is_act(kind, tags) {
        server.note_act(ctx.me());
    }
    // As `/msg NickServ@services.example.org` with other services, where it keeps passwords from whoever has taken the
    // nick. Nobody can here, so that whatever host stands there, the service is meant; and what may be a password goes
    // to nobody else.
    let nick = target.split_once('@').map_or(target, |(nick, _)| nick);
    match policy::service(nick, server.network.casemapping) {
        None => server.submit(ctx, Change::Message(&Said { kind, target, text, tags })),
        Some(service) => {
            echo_own(server, ctx, &Said { kind, target: service, text, tags });
            // What CTCP asks for, such as VERSION, is no command, and a service has nothing to say of it.
            if kind == Kind::Privmsg && !text.starts_with('\u{1}') {
                services::message(server, ctx, service, text);
            }
        }
    }
}

/// Has what is said to the server itself echoed, where the sender wants that.
fn echo_own(server: &mut Server, ctx: &mut Ctx, said: &Said<'_>) {
    // What comes behind a line that has to wait is not taken.
    if ctx.reply.caps.has(Cap::EchoMessage) && !server.session(ctx.conn).is_some_and(Session::is_busy) {
        server.submit(ctx, Change::Message(said));
    }
}

/// The client-only tags that are passed on, as they came.
pub fn client_tags(server: &Server, ctx: &Ctx, line: &Message) -> Option<Box<str>> {
    let raw = line.tags_raw();
    if raw.is_empty() || !ctx.reply.caps.has(Cap::MessageTags) {
        return None;
    }
    let denied = &server.settings.client_tag_deny;
    let passes = |key: &str| key.strip_prefix('+').is_some_and(|name| !is_denied(denied, name));
    let all: Vec<(&str, &str)> = line.tags().iter().collect();
    let mut kept = String::with_capacity(raw.len());
    for (at, (key, value)) in all.iter().enumerate() {
        // Of a tag that stands twice the last counts, so the earlier ones go.
        if !passes(key) || all[at + 1..].iter().any(|(later, _)| later == key) {
            continue;
        }
        if !kept.is_empty() {
            kept.push(';');
        }
        kept.push_str(key);
        if !value.is_empty() {
            kept.push('=');
            kept.push_str(value);
        }
    }
    (!kept.is_empty()).then(|| kept.into_boxed_str())
}

fn is_denied(denied: &[String], name: &str) -> bool {
    if denied.iter().any(|entry| entry.strip_prefix('-') == Some(name)) {
        return false;
    }
    denied.iter().any(|entry| entry == "*" || entry == name)
}

/// Whether the line had client-only tags, all of which were taken off.
fn denied_all(line: &Message) -> bool {
    line.tags().has_client_only()
}

/// What someone says to one target.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// PRIVMSG, NOTICE or TAGMSG.
    pub kind: Kind,
    /// To whom, as it was given, with a STATUSMSG prefix.
    pub target: &'a str,
    /// The text; empty for TAGMSG.
    pub text: &'a str,
    /// The client-only tags that are passed on.
    pub tags: Option<&'a str>,
}

/// Says it, where the sender may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, said: &Said<'_>) {
    // STATUSMSG: `@#channel` is for those of at least that rank.
    let (rank, name) = match said.target.chars().next().and_then(Rank::by_prefix) {
        Some(rank) if said.target[1..].starts_with('#') => (Some(rank), &said.target[1..]),
        _ => (None, said.target),
    };
    if name.starts_with('#') {
        match server.network.channel_by_name(name) {
            Some(channel) => to_channel(server, ctx, seq, said, channel, rank),
            None => no_such(ctx, said, Numeric::ERR_NOSUCHCHANNEL, "No such channel"),
        }
    } else if playback::is_meant(name) || policy::is_service(name, server.network.casemapping) {
        to_server(server, ctx, seq, said);
    } else {
        match server.network.addressee(name) {
            Some(target) => to_user(server, ctx, seq, said, target),
            None => no_such(ctx, said, Numeric::ERR_NOSUCHNICK, "No such nick/channel"),
        }
    }
}

fn no_such(ctx: &mut Ctx, said: &Said<'_>, numeric: Numeric, text: &str) {
    if said.kind != Kind::Notice {
        ctx.reply.numeric(numeric, &[printable(said.target)], Some(text));
    }
}

/// The text as everybody gets it: with this source and target it fits into one line.
pub fn fitting<'a>(said: &Said<'a>, source: &str, target: &str) -> &'a str {
    if multiline::is_multiline(said.text) {
        return said.text;
    }
    let around = ":".len() + source.len() + 1 + name_of(said.kind).len() + 1 + target.len() + " :\r\n".len();
    cut(said.text, MAX_BODY_BYTES.saturating_sub(around))
}

fn line_of(said: &Said<'_>, source: &str, target: &str, text: &str) -> Bytes {
    let mut line = Vec::with_capacity(source.len() + target.len() + text.len() + 16);
    line.push(b':');
    line.extend_from_slice(source.as_bytes());
    line.push(b' ');
    line.extend_from_slice(name_of(said.kind).as_bytes());
    line.push(b' ');
    line.extend_from_slice(target.as_bytes());
    if said.kind != Kind::Tagmsg {
        line.extend_from_slice(b" :");
        put(&mut line, text);
    }
    line.extend_from_slice(b"\r\n");
    Bytes::from(line)
}

/// Clients with one of these know a message of their own when it comes from the server; to others it would
/// be one of a stranger with their nick.
const KNOWS_ITS_OWN: CapSet = CapSet::of(&[Cap::EchoMessage, Cap::SelfMessage, Cap::MessageTags]);

/// Whether the store must take it before anyone sees it.
pub fn is_kept(server: &Server, user: UserId, said: &Said<'_>) -> bool {
    if !server.settings.history || !is_worth_keeping(said) {
        return false;
    }
    if said.target.starts_with('#') {
        return server.network.channel_by_name(said.target).is_some_and(|id| server.keeps_history(id));
    }
    server.network.addressee(said.target).is_some_and(|target| is_private_kept(server, user, target))
}

/// Whether what one says to another in private is kept.
pub fn is_talk_kept(server: &Server, user: UserId, target: UserId) -> bool {
    server.settings.history && is_private_kept(server, user, target)
}

/// Two guests could never read it back; and neither may have asked that nothing be kept.
fn is_private_kept(server: &Server, user: UserId, target: UserId) -> bool {
    let accounts = [user, target].map(|id| server.network.users[id].account);
    let mut known = accounts.into_iter().flatten().peekable();
    known.peek().is_some() && known.all(|account| server.network.account_settings(account).history)
}

/// Whether a TAGMSG is worth keeping: reactions are, and what its sender wants kept; typing is not.
fn is_worth_keeping(said: &Said<'_>) -> bool {
    if said.kind != Kind::Tagmsg {
        return true;
    }
    let kept = |key: &str| key == PERSIST || REACTIONS.contains(&key);
    said.tags.is_some_and(|tags| Tags::new(tags).iter().any(|(key, _)| kept(key)))
}

/// The msgid of the message that a TAGMSG is a reaction to (`+draft/react`, `+draft/unreact` with `+reply`).
fn reaction_to(server: &Server, said: &Said<'_>) -> Option<Box<str>> {
    let tags = Tags::new(said.tags.filter(|_| said.kind == Kind::Tagmsg)?);
    if !REACTIONS.iter().any(|key| tags.get(key).is_some()) {
        return None;
    }
    let msgid = REPLIES.iter().find_map(|key| tags.get(key))?;
    let msgid = MsgId::parse(&msgid).filter(|id| id.epoch == server.epoch())?;
    Some(msgid.to_string().into())
}

/// Tags by which clients tell that somebody is typing.
const TYPING: [&str; 2] = ["+typing", "+draft/typing"];
/// Tags that make a TAGMSG a reaction, or the end of one.
const REACTIONS: [&str; 4] = ["+draft/react", "+draft/unreact", "+react", "+unreact"];
/// Tags that say to what.
const REPLIES: [&str; 2] = ["+reply", "+draft/reply"];
/// The tag by which the sender of a TAGMSG wants it kept.
const PERSIST: &str = "+draft/persist";

/// A message of several lines: as a batch, and as single messages for those who know no such batch.
pub fn forms(source: &str, command: &str, target: &str, text: &str, reference: &str) -> SmallVec<[Form; 1]> {
    let mut batched: SmallVec<[Bytes; 1]> = SmallVec::new();
    let mut apart: SmallVec<[Bytes; 1]> = SmallVec::new();
    let mut opening = Vec::with_capacity(96);
    write_line(&mut opening, source, "BATCH", &[&format!("+{reference}"), multiline::BATCH, target], None);
    batched.push(Bytes::from(opening));
    for (concat, text) in multiline::lines(text) {
        let mut line = Vec::with_capacity(64 + source.len() + target.len() + text.len());
        line.extend_from_slice(b"@batch=");
        line.extend_from_slice(reference.as_bytes());
        if concat {
            line.push(b';');
            line.extend_from_slice(multiline::CONCAT.as_bytes());
        }
        line.push(b' ');
        let tags = line.len();
        write_line(&mut line, source, command, &[target], Some(text));
        let line = Bytes::from(line);
        if !text.is_empty() {
            apart.push(line.slice(tags..));
        }
        batched.push(line);
    }
    let mut closing = Vec::with_capacity(64);
    write_line(&mut closing, source, "BATCH", &[&format!("-{reference}")], None);
    batched.push(Bytes::from(closing));
    smallvec![
        Form { needs: batch::NEEDED, lacks: CapSet::EMPTY, lines: batched, tagged: Tagged::Batch },
        Form { needs: CapSet::EMPTY, lacks: CapSet::EMPTY, lines: apart, tagged: Tagged::Parts },
    ]
}

/// The frame of a message, kept under its number where `key` names its conversation.
fn frame(server: &mut Server, seq: Seq, user: UserId, said: &Said<'_>, target: &str, key: Option<&str>) -> Frame {
    let there = &server.network.users[user];
    let source = there.source.clone();
    let text = fitting(said, &source, target);
    let mut frame = match multiline::is_multiline(text) {
        false => Frame::plain(server.clock(), line_of(said, &source, target, text)),
        true => {
            let mut frame = Frame::plain(server.clock(), Bytes::new());
            frame.forms = forms(&source, name_of(said.kind), target, text, &format!("m{seq:x}"));
            frame
        }
    };
    frame.account = there.account_name.clone();
    frame.bot = there.is_bot();
    frame.oper = there.is_oper();
    frame.msgid = Some(server.msgid(seq));
    frame.client_tags = said.tags.map(Into::into);
    if said.kind == Kind::Tagmsg {
        frame.forms[0].needs = CapSet::of(&[Cap::MessageTags]);
    }
    if let Some(key) = key {
        let row = MessageRow {
            conversation: 0,
            time: 0,
            kind: said.kind,
            source,
            account: frame.account.clone(),
            bot: frame.bot,
            target: target.into(),
            tags: frame.client_tags.clone(),
            argument: reaction_to(server, said),
            text: text.into(),
        };
        let (time, after): (u64, Seq) = server.keep_message(key, seq, row);
        frame.time = time;
        frame.after = after;
    }
    frame
}

fn to_channel(server: &mut Server, ctx: &mut Ctx, seq: Seq, said: &Said<'_>, channel: ChannelId, rank: Option<Rank>) {
    let user = ctx.me();
    let there = &server.network.channels[channel];
    if let Err(refused) = policy::may_speak(&server.network, user, there, said.text) {
        if !policy::sees_channel(oper::viewer(server, ctx), there) {
            no_such(ctx, said, Numeric::ERR_NOSUCHCHANNEL, "No such channel");
        } else if said.kind != Kind::Notice {
            ctx.reply.numeric(Numeric::ERR_CANNOTSENDTOCHAN, &[&there.name], Some(refused.text()));
        }
        return;
    }
    let plain = policy::heard(there, said.text);
    let said = &Said { text: &plain, ..*said };
    let target = match rank {
        Some(rank) => format!("{}{}", rank.prefix(), there.name),
        None => there.name.to_string(),
    };
    // Under `U` operators get what those without voice say, as if to all.
    let moderated = policy::is_moderated_by_ops(there, user);
    let rank = if moderated { rank.max(Some(Rank::Halfop)) } else { rank };
    // What only some members may read is not in the channel's history.
    let kept = server.keeps_history(channel) && rank.is_none() && is_worth_keeping(said);
    let key = kept.then(|| there.folded.clone());
    if rank.is_none_or(|rank| rank == Rank::Voice) {
        join::reveal(server, channel, user);
    }
    let frame = Arc::new(frame(server, seq, user, said, &target, key.as_ref().map(|key| key.as_str())));
    ctx.reply.after = ctx.reply.after.max(frame.after);
    let echo = ctx.reply.caps.has(Cap::EchoMessage);
    match rank {
        None => {
            server.frame_to_hearers(channel, frame.clone(), Some(ctx.conn));
            echo_elsewhere(server, ctx, channel, &frame);
            push(server, user, said, &target, seq, &frame, |server, spoken| server.push_channel(spoken, channel, None));
        }
        Some(rank) => {
            let network = &server.network;
            let hears = |id: UserId, ranks: Ranks| id != user && ranks.at_least(rank) && !network.users[id].is_deaf();
            let members = network.channels[channel].members.iter();
            let members: Vec<UserId> = members.filter(|(id, ranks)| hears(**id, **ranks)).map(|(id, _)| *id).collect();
            server.frame_to_users(&members, frame.clone(), None);
            server.frame_to_user(user, &frame, Some(ctx.conn));
            push(server, user, said, &target, seq, &frame, |server, spoken| {
                server.push_channel(spoken, channel, Some(&members));
            });
        }
    }
    if echo {
        ctx.reply.frame(&frame);
    }
}

/// Has the devices of those told who are not connected, where it is text.
fn push(
    server: &mut Server,
    user: UserId,
    said: &Said<'_>,
    target: &str,
    seq: Seq,
    frame: &Frame,
    tell: impl FnOnce(&mut Server, &Spoken<'_>),
) {
    if said.kind == Kind::Tagmsg || server.settings.webpush.is_none() {
        return;
    }
    let source = server.network.users[user].source.clone();
    let text = fitting(said, &source, target);
    let command = name_of(said.kind);
    tell(server, &Spoken { by: Some(user), command, source: &source, target, text, seq, frame });
}

/// The sender's other connections are in the audience when it is a member that hears; when not, they are told here.
fn echo_elsewhere(server: &mut Server, ctx: &Ctx, channel: ChannelId, frame: &Frame) {
    let user = ctx.me();
    let there = &server.network.users[user];
    if there.sessions.len() > 1 && (there.is_deaf() || !there.channels.contains(&channel)) {
        server.frame_to_user(user, frame, Some(ctx.conn));
    }
}

/// What is said to the server itself comes back to the connection that says it and to none of its user's others, for it may
/// be a password; nor is it kept.
fn to_server(server: &mut Server, ctx: &mut Ctx, seq: Seq, said: &Said<'_>) {
    let frame = frame(server, seq, ctx.me(), said, said.target, None);
    ctx.reply.frame(&frame);
}

fn to_user(server: &mut Server, ctx: &mut Ctx, seq: Seq, said: &Said<'_>, target: UserId) {
    let user = ctx.me();
    let nick = server.network.users[target].nick.clone();
    if let Err(refused) = policy::may_address(&server.network, oper::viewer(server, ctx), target, said.text) {
        if said.kind != Kind::Notice {
            ctx.reply.numeric(refused.numeric(), &[&nick], Some(refused.text()));
        }
        if refused == AddressRefused::NotAccepted && said.kind != Kind::Tagmsg {
            accept::tell_of_caller(server, ctx, said.kind, target);
        }
        return;
    }
    if said.kind != Kind::Tagmsg {
        accept::may_answer(server, user, target);
    }
    // Whoever is silenced is not told so, and what it says is nowhere.
    let silenced = policy::is_silenced(&server.network, user, target);
    let (own, other) = (server.network.identity(user), server.network.identity(target));
    let kept = !silenced && server.settings.history && is_worth_keeping(said) && is_private_kept(server, user, target);
    let key = kept.then(|| own.key(&other));
    // Few accounts are several users: most lines need not be looked at for that.
    let followed = key.as_deref().filter(|_| !server.beside.is_empty());
    let before = followed.and_then(|key| server.network.conversation(key)).map_or(0, |there| there.last_said);
    let frame = frame(server, seq, user, said, &nick, key.as_deref());
    if said.kind.is_text()
        && let Some(key) = &key
    {
        for one in [user, target] {
            server.network.users[one].told = seq;
        }
        server.note_told_to([user, target], key, before, seq);
    }
    // That it is kept, as 301 may say and an ACK does, is so by then.
    ctx.reply.after = ctx.reply.after.max(frame.after);
    if ctx.reply.caps.has(Cap::EchoMessage) {
        ctx.reply.frame(&frame);
    }
    if target == user {
        ctx.reply.delivery(&frame);
        server.frame_to_user(user, &frame, Some(ctx.conn));
    } else {
        if !silenced {
            server.frame_to_user(target, &frame, None);
            let key = own.key(&other);
            push(server, user, said, &nick, seq, &frame, |server, spoken| server.push_private(spoken, target, &key));
        }
        // The sender's other devices show what was said, if they can tell that it is their own.
        for conn in server.network.users[user].sessions.clone() {
            let able = server.session(conn).is_some_and(|session| session.caps.has_any(KNOWS_ITS_OWN));
            if conn != ctx.conn && able {
                server.frame_to(conn, &frame);
            }
        }
    }
    if said.kind == Kind::Privmsg
        && let Some(away) = server.away_told(oper::viewer(server, ctx), target)
    {
        ctx.reply.numeric(Numeric::RPL_AWAY, &[&nick], Some(&away));
    }
}
