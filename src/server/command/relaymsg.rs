//! RELAYMSG (<https://github.com/ircv3/ircv3-specifications/pull/417>): a bridge speaks for someone on
//! another network; and NPC, NPCA and SCENE, with which players speak for their characters.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Message};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{find_channel, message, need_more_params, oper, printable};
use crate::server::frame::Frame;
use crate::server::policy;
use crate::server::push::Spoken;
use crate::server::record::{Kind, MessageRow, Seq};
use crate::server::{Ctx, Server};

/// What a relayed nick has and no other may: the value of the capability.
pub const SEPARATORS: &str = "/";

/// Something that is said in a channel under another name.
#[derive(Clone, Copy, Debug)]
pub struct Relayed<'a> {
    /// The command that asked.
    pub command: &'static str,
    /// The channel, as given.
    pub channel: &'a str,
    /// Under which nick.
    pub nick: &'a str,
    /// What.
    pub text: &'a str,
    /// The client-only tags that are passed on.
    pub tags: Option<&'a str>,
}

/// RELAYMSG
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (channel, nick) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
    let text = line.param(2).unwrap_or("");
    if text.is_empty() {
        fail(ctx, "BLANK_MSG", "There is nothing to say");
        return;
    }
    let bare = nick.replace(|c: char| SEPARATORS.contains(c), "");
    let separated = nick.contains(|c: char| SEPARATORS.contains(c)) && !nick.starts_with('/') && !nick.ends_with('/');
    if !separated
        || nick.len() > limits::NICK_LEN
        || !ircv3::name::is_nick(&bare, limits::NICK_LEN, server.network.casemapping)
    {
        let text = format!("A relayed nick is a nick with {SEPARATORS} inside, such as alice/matrix; not {nick:?}");
        fail(ctx, "INVALID_NICK", &text);
        return;
    }
    let tags = message::client_tags(server, ctx, line);
    let relayed = Relayed { command: "RELAYMSG", channel, nick, text, tags: tags.as_deref() };
    server.submit(ctx, Change::Relayed(&relayed));
}

fn fail(ctx: &mut Ctx, code: &str, text: &str) {
    ctx.reply.fail("RELAYMSG", code, &[], text);
}

/// NPC: `*nick*` says it.
pub fn npc(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    play(server, ctx, line, "NPC", false);
}

/// NPCA: `*nick*` does it.
pub fn npca(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    play(server, ctx, line, "NPCA", true);
}

fn play(server: &mut Server, ctx: &mut Ctx, line: &Message, command: &'static str, action: bool) {
    let words: Vec<&str> = line.params().collect();
    let (channel, name) = (words[0], words[1]);
    let text = words[2..].join(" ");
    if text.is_empty() {
        need_more_params(ctx, command);
        return;
    }
    if !ircv3::name::is_nick(name, limits::NICK_LEN - 2, server.network.casemapping) {
        cannot_play(ctx, channel, "A character's name is like a nick, and two bytes shorter");
        return;
    }
    let text = if action { format!("\u{1}ACTION {text}\u{1}") } else { text };
    let relayed = Relayed { command, channel, nick: &format!("*{name}*"), text: &text, tags: None };
    server.submit(ctx, Change::Relayed(&relayed));
}

/// SCENE: what the players see.
pub fn scene(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let words: Vec<&str> = line.params().collect();
    let text = words[1..].join(" ");
    let relayed = Relayed { command: "SCENE", channel: words[0], nick: "=Scene=", text: &text, tags: None };
    server.submit(ctx, Change::Relayed(&relayed));
}

fn cannot_play(ctx: &mut Ctx, channel: &str, text: &str) {
    ctx.reply.numeric(Numeric::ERR_CANNOTSENDRP, &[printable(channel)], Some(text));
}

/// Says it in the channel, where the sender may speak for others.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, relayed: &Relayed<'_>) {
    let user = ctx.me();
    let is_relay = relayed.command == "RELAYMSG";
    let Some(channel) = find_channel(server, ctx, relayed.channel) else { return };
    let there = &server.network.channels[channel];
    let name = there.name.clone();
    let Some(ranks) = there.ranks(user) else {
        ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"));
        return;
    };
    if is_relay && !ranks.at_least(Rank::Op) && !oper::is(server, ctx) {
        fail(ctx, "PRIVS_NEEDED", "Only operators of the channel may speak for others");
        return;
    }
    if !is_relay && !there.modes.has('E') {
        cannot_play(ctx, &name, "Nobody may speak for characters here (the channel has no mode E)");
        return;
    }
    if let Err(refused) = policy::may_speak(&server.network, user, there, relayed.text) {
        ctx.reply.numeric(Numeric::ERR_CANNOTSENDTOCHAN, &[&name], Some(refused.text()));
        return;
    }
    if policy::is_moderated_by_ops(there, user) {
        let text = "Cannot send to channel (+U: what those without voice say is for operators alone)";
        ctx.reply.numeric(Numeric::ERR_CANNOTSENDTOCHAN, &[&name], Some(text));
        return;
    }
    let plain = policy::heard(there, relayed.text);
    let kept = server.keeps_history(channel);
    let key = there.folded.clone();
    let by = server.network.users[user].nick.clone();
    // The user name says who is behind it; the host is no one's.
    let source: Arc<str> = format!("{}!{by}@relayed.invalid", relayed.nick).into();
    let around = ": PRIVMSG  :\r\n".len() + source.len() + name.len();
    let text = cut(&plain, MAX_BODY_BYTES.saturating_sub(around));
    let mut line = Vec::with_capacity(around + text.len());
    write_line(&mut line, &source, "PRIVMSG", &[&name], Some(text));
    let mut frame = Frame::plain(server.clock(), Bytes::from(line));
    frame.msgid = Some(server.msgid(seq));
    frame.client_tags = relayed.tags.map(Into::into);
    frame.relayed_by = is_relay.then(|| by.clone());
    if kept {
        let row = MessageRow {
            conversation: 0,
            time: 0,
            kind: Kind::Privmsg,
            source: source.clone(),
            // What a bridge relays is somebody else's; what a character says is the player's.
            account: server.network.users[user].account_name.clone().filter(|_| !is_relay),
            bot: false,
            target: (*name).into(),
            tags: frame.client_tags.clone(),
            argument: is_relay.then(|| Box::from(&*by)),
            text: text.into(),
        };
        (frame.time, frame.after) = server.keep_message(key.as_str(), seq, row);
    }
    let frame = Arc::new(frame);
    server.frame_to_hearers(channel, frame.clone(), Some(ctx.conn));
    // A bridge speaks for others, who may mention the one that runs it.
    let by = (!is_relay).then_some(user);
    let spoken = Spoken { by, command: "PRIVMSG", source: &source, target: &name, text, seq, frame: &frame };
    server.push_channel(&spoken, channel, None);
    // A player sees its character speak; a bridge has said it elsewhere, unless it wants an echo.
    if !is_relay || ctx.reply.caps.has(Cap::EchoMessage) {
        ctx.reply.frame(&frame);
    }
}
