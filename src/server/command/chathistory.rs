//! CHATHISTORY (<https://ircv3.net/specs/extensions/chathistory>), and the replay of what was missed to
//! clients that cannot ask for it.

use std::collections::VecDeque;

use ircv3::chathistory::{self as request, Range as Asked, Request, Selector};
use ircv3::{Cap, CapSet, Message};

use crate::server::action::{Call, NetAction};
use crate::server::command::edit;
use crate::server::command::services::say;
use crate::server::command::{Pending, bulk, printable};
use crate::server::event::Returned;
use crate::server::network::{ChannelId, Identity, Network, UserId};
use crate::server::owed::{EVERY_OTHER, Owed};
use crate::server::record::{Border, ConversationId, HistoryPage, HistoryQuery, MsgId, Range, Reader, Seq, Wanted};
use crate::server::session::Unread;
use crate::server::{Ctx, Server};

/// CHATHISTORY
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !server.settings.history {
        ctx.reply.fail("CHATHISTORY", "MESSAGE_ERROR", &["*", "*"], "No history is kept on this server");
        return;
    }
    match request::parse(line.params()) {
        Ok(Request::Messages { subcommand, target, range, limit }) => {
            messages(server, ctx, subcommand, target, range, limit);
        }
        Ok(Request::Targets { from, to, limit }) => targets(server, ctx, from, to, limit),
        Err(error) => {
            let context = [printable(error.subcommand), printable(error.target)];
            ctx.reply.fail("CHATHISTORY", error.fault.code(), &context, &error.to_string());
        }
    }
}

fn messages(server: &mut Server, ctx: &mut Ctx, subcommand: &str, target: &str, range: Asked<'_>, limit: u32) {
    let Some(found) = conversation(server, ctx, target) else {
        let context = [printable(subcommand), printable(target)];
        let text = "No such channel or person, or its messages are not yours to read";
        ctx.reply.fail("CHATHISTORY", "INVALID_TARGET", &context, text);
        return;
    };
    let Some(range) = range_of(server, range) else {
        let context = [printable(subcommand), printable(target)];
        ctx.reply.fail("CHATHISTORY", "INVALID_PARAMS", &context, "That msgid was never given out by this server");
        return;
    };
    let limit = limit.min(server.settings.chathistory_limit);
    let label = ctx.reply.take_label();
    let reader = reader(server, ctx, "chathistory", &found.name, &[&found], label.clone());
    let query = HistoryQuery {
        conversation: found.id,
        range,
        limit,
        // Without a batch round them, old JOINs and QUITs would be taken for new ones.
        wanted: Wanted {
            events: ctx.reply.caps.has_all(CapSet::of(&[Cap::EventPlayback, Cap::Batch])),
            redactions: ctx.reply.caps.has_all(CapSet::of(&[Cap::MessageRedaction, Cap::Batch])),
            edits: ctx.reply.caps.has_all(edit::NEEDED),
            tagmsgs: ctx.reply.caps.has(Cap::MessageTags),
        },
        floor: found.floor,
        since: found.since,
        reader,
    };
    let pending = Pending::History { subcommand: printable(subcommand).into(), target: printable(target).into() };
    server.call_for(ctx.conn, Call::History(Box::new(query)), pending, label);
}

/// The page was read.
pub fn returned(server: &mut Server, ctx: &mut Ctx, subcommand: &str, target: &str, returned: Returned) {
    match returned {
        Returned::History(page) => send(server, ctx, page),
        _ => ctx.reply.fail(
            "CHATHISTORY",
            "MESSAGE_ERROR",
            &[subcommand, target],
            "The messages could not be read; try again later",
        ),
    }
}

/// Sends a page that was read.
pub fn send(server: &mut Server, ctx: &mut Ctx, page: HistoryPage) {
    // The batch carries the label.
    let label = ctx.reply.take_label();
    if page.chunks.is_empty() && label.is_some() {
        let mut empty = server.ctx(ctx.conn, label);
        std::mem::swap(&mut empty.reply, &mut ctx.reply);
        return;
    }
    bulk::history(server, ctx.conn, page.chunks.into_iter(), None);
}

/// A conversation that a client may read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub id: ConversationId,
    /// Its key.
    pub key: Box<str>,
    /// What the client calls it now: a channel, or a nick.
    pub name: Box<str>,
    /// Only what is after this.
    pub floor: Seq,
    /// Only what is of this moment or later, in milliseconds since 1970.
    pub since: u64,
}

/// A conversation that nothing was ever said in.
const NO_CONVERSATION: ConversationId = 0;

/// The conversation that `target` names for this client, if it may read it.
pub fn conversation(server: &Server, ctx: &Ctx, target: &str) -> Option<Found> {
    let user = ctx.me();
    let network = &server.network;
    if target.starts_with('#') {
        let at = network.channel_by_name(target)?;
        let channel = &network.channels[at];
        channel.ranks(user)?;
        let found = network.conversation(channel.folded.as_str()).filter(|_| channel.settings.history);
        let id = found.map_or(NO_CONVERSATION, |found| found.id);
        let (key, since) = (channel.folded.as_str().into(), server.readable_since(at, user));
        return Some(Found { id, key, name: (*channel.name).into(), floor: 0, since });
    }
    if !ircv3::name::is_nick(target, crate::limits::NICK_LEN, network.casemapping) {
        return None;
    }
    let own = network.identity(user);
    let peer = network.identity_by_name(target);
    let key = own.key(&peer);
    let found = network.conversation(&key);
    // A guest reads what was said since it came: whoever had its nick before was someone else.
    let floor = match own {
        Identity::Account(_) => 0,
        Identity::Guest(_) if server.has_begun(user, &key) => 0,
        Identity::Guest(_) => network.users[user].since,
    };
    let since = server.kept_since(&key);
    Some(Found { id: found.map_or(NO_CONVERSATION, |found| found.id), key, name: target.into(), floor, since })
}

fn range_of(server: &Server, range: Asked<'_>) -> Option<Range> {
    let border = |selector: Selector<'_>| match selector {
        Selector::Timestamp(time) => Some(Border::Time(time)),
        Selector::Msgid(text) => {
            MsgId::parse(text).filter(|id| id.epoch == server.epoch()).map(|id| Border::Seq(id.seq))
        }
    };
    Some(match range {
        Asked::Latest(None) => Range::Latest(None),
        Asked::Latest(Some(after)) => Range::Latest(Some(border(after)?)),
        Asked::Before(at) => Range::Before(border(at)?),
        Asked::After(at) => Range::After(border(at)?),
        Asked::Around(at) => Range::Around(border(at)?),
        Asked::Between(a, b) => Range::Between(border(a)?, border(b)?),
    })
}

/// For whom an answer is rendered: as what batch, what that is named after, and of which conversations it can be.
pub fn reader(
    server: &mut Server,
    ctx: &Ctx,
    batch_type: &'static str,
    target: &str,
    of: &[&Found],
    label: Option<Box<str>>,
) -> Reader {
    let (name, epoch) = (server.settings.server_name.clone(), server.epoch());
    let batch = match server.session_mut(ctx.conn) {
        Some(session) if session.caps.has(Cap::Batch) => Some(session.new_batch()),
        _ => None,
    };
    let channels = of.iter().filter(|found| found.name.starts_with('#'));
    Reader {
        caps: ctx.reply.caps,
        server: name,
        label,
        batch,
        batch_type,
        told: None,
        own: Box::default(),
        most: u32::MAX,
        target: target.into(),
        channels: channels.map(|found| (found.id, found.name.clone())).collect(),
        epoch,
        nick: (*ctx.reply.nick).into(),
    }
}

/// CHATHISTORY TARGETS: answered from the state.
fn targets(server: &mut Server, ctx: &mut Ctx, from: u64, to: u64, limit: u32) {
    let limit = limit.min(server.settings.chathistory_limit) as usize;
    let (low, high) = (from.min(to), from.max(to));
    let own = server.network.identity(ctx.me());
    // Of somebody who was here as a guest, and is known under an account by now, the name means that.
    let is_named = |found: &Found| {
        found.name.starts_with('#') || *own.key(&server.network.identity_by_name(&found.name)) == *found.key
    };
    let readable = readable(server, ctx).into_iter().filter(|(found, _)| is_named(found));
    let mut found: Vec<(u64, Box<str>)> = readable.map(|(found, last)| (last, found.name)).collect();
    found.retain(|(time, _)| *time > low && *time < high);
    found.sort();
    if found.len() > limit {
        if from <= to {
            found.truncate(limit);
        } else {
            found.drain(..found.len() - limit);
        }
    }
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let batch = session.caps.has(Cap::Batch).then(|| session.new_batch());
    send_targets(server, ctx, &found, batch);
}

/// The conversations of a client in which something was said: its channels, and with an account its private
/// ones; each with the moment of the last text, in milliseconds since 1970. What nothing is left of is not among them.
pub fn readable(server: &Server, ctx: &Ctx) -> Vec<(Found, u64)> {
    let network = &server.network;
    let user = &network.users[ctx.me()];
    let channels = user.channels.iter();
    let mut all: Vec<(Found, u64)> = channels.filter_map(|id| in_channel(server, *id, ctx.me())).collect();
    if let Some(account) = user.account {
        let own = network.identity(ctx.me());
        for (peer, conversation) in network.private_conversations(account) {
            if let Some(name) = name_of(server, &peer) {
                let key = own.key(&peer);
                let since = server.kept_since(&key);
                let found = Found { id: conversation.id, key, name, floor: 0, since };
                all.push((found, conversation.last_text));
            }
        }
    }
    all.retain(|(found, last)| *last >= found.since);
    all
}

fn in_channel(server: &Server, id: ChannelId, user: UserId) -> Option<(Found, u64)> {
    let channel = server.network.channels.get(id).filter(|channel| channel.settings.history)?;
    let key = channel.folded.as_str();
    let conversation = server.network.conversation(key)?;
    let since = server.readable_since(id, user);
    let found = Found { id: conversation.id, key: key.into(), name: (*channel.name).into(), floor: 0, since };
    Some((found, conversation.last_text))
}

fn send_targets(server: &mut Server, ctx: &mut Ctx, found: &[(u64, Box<str>)], batch: Option<Box<str>>) {
    use ircv3::message::write_line;
    let name = server.settings.server_name.clone();
    let label = ctx.reply.take_label();
    let mut out = Vec::with_capacity(64 + found.len() * 96);
    if let Some(batch) = &batch {
        if let Some(label) = &label {
            out.extend_from_slice(format!("@label={label} ").as_bytes());
        }
        write_line(&mut out, &name, "BATCH", &[&format!("+{batch}"), "draft/chathistory-targets"], None);
    }
    for (time, target) in found {
        if let Some(batch) = &batch {
            out.extend_from_slice(format!("@batch={batch} ").as_bytes());
        }
        write_line(&mut out, &name, "CHATHISTORY", &["TARGETS", target, &ircv3::time::time_text(*time)], None);
    }
    if let Some(batch) = &batch {
        write_line(&mut out, &name, "BATCH", &[&format!("-{batch}")], None);
    }
    let bytes = bytes::Bytes::from(out);
    server.act(ctx.conn, |slot| NetAction::Send { slot, after: 0, bytes });
}

/// What someone is called now: a nick that is logged in to the account, else the account's name.
fn name_of(server: &Server, identity: &Identity) -> Option<Box<str>> {
    match identity {
        Identity::Guest(nick) => Some(match server.network.user_by_nick(nick.as_str()) {
            Some(user) => (*server.network.users[user].nick).into(),
            None => nick.as_str().into(),
        }),
        Identity::Account(id) => {
            let account = server.network.account(*id)?;
            let by_nick = server.network.user_by_nick(&account.name);
            let own = by_nick.filter(|user| server.network.users[*user].account == Some(*id));
            Some(own.map_or_else(|| (*account.name).into(), |user| (*server.network.users[user].nick).into()))
        }
    }
}

/// Conversations that are still to be replayed to a session.
#[derive(Debug)]
pub struct Replay {
    limit: u32,
    left: VecDeque<(Found, Range)>,
    /// What the one is called that is being read.
    reading: Box<str>,
    /// Whether it comes by itself, and the client is to be told where there was more.
    is_unasked: bool,
    /// What the device had said itself as it began, as [`Server::own_said`] has it: what another connection of it confirms
    /// meanwhile, that has shown it still.
    own: Vec<(Seq, Seq)>,
}

/// When a connection's device is replayed what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// The connection has registered, or come to a user who is there: in the channels that it is in, and in private.
    Arrived,
    /// It has logged in later: the same, but for what was said since it joined them.
    LoggedIn,
    /// Its user has joined these channels, by this connection or another.
    Joined(&'a [ChannelId]),
}

/// Replays what the connection's device missed, up to where it is shown what is said. Nothing for clients that can ask
/// (`draft/chathistory`), that cannot show when a line was said (no `server-time`), and for bots. Who has `znc.in/playback` gets
/// what it asked for.
pub fn replay(server: &mut Server, ctx: &mut Ctx, occasion: Occasion<'_>) {
    let Some(user) = ctx.user else { return };
    let Some(session) = server.session(ctx.conn) else { return };
    if let (Some(wish), Occasion::Joined(joined)) = (session.particulars().playback.clone(), occasion) {
        let mut wanted: Vec<Found> = joined.iter().filter_map(|id| Some(in_channel(server, *id, user)?.0)).collect();
        let replayed = &session.particulars().replayed;
        let is_new = |found: &Found| !replayed.contains(&found.id);
        wanted.retain(|found| wish.fits(&found.name, server.network.casemapping) && is_new(found));
        if let Some(session) = server.session_mut(ctx.conn) {
            session.particulars_mut().replayed.extend(wanted.iter().map(|found| found.id));
        }
        play(server, ctx, wish.range(), wanted);
        return;
    }
    if !server.is_replayed(session) {
        return;
    }
    let last = server.last_seq();
    // One that is replayed only from now on, having been a bot, has had to see for itself before.
    let is_late = matches!(occasion, Occasion::Joined(_)) && session.particulars().reading.is_none();
    if is_late {
        server.begin_late(ctx.conn);
    }
    server.begin_reading(ctx.conn, last);
    let Some(after) = server.session(ctx.conn).and_then(|session| session.mark) else { return };
    let found: Vec<Found> = match occasion {
        // By now another channel may have the place of one that is gone.
        Occasion::Joined(joined) => {
            let here = joined.iter().filter(|id| server.network.users[user].channels.contains(id));
            here.filter_map(|id| Some(in_channel(server, *id, user)?.0)).collect()
        }
        Occasion::Arrived => readable(server, ctx).into_iter().map(|(found, _)| found).collect(),
        // What it has said, and was told, as a guest it was shown.
        Occasion::LoggedIn => {
            let all = readable(server, ctx).into_iter().map(|(found, _)| found);
            all.filter(|found| !server.has_begun(user, &found.key)).collect()
        }
    };
    // What is said from there on is shown live.
    let now = Border::Seq(last + 1);
    let shown_from = |found: &Found| {
        let channel = server.network.channel_by_folded(&found.key).filter(|_| occasion != Occasion::Arrived);
        let joined = channel.and_then(|id| server.network.channels[id].joined.get(&user));
        joined.map_or(now, |joined| Border::Time(*joined))
    };
    let Some(session) = server.session(ctx.conn) else { return };
    let untold = server.untold(session);
    let (replayed, more) = (&session.particulars().replayed, &session.particulars().more);
    let first = (!session.particulars().confirmed).then_some(after);
    let mut left: VecDeque<(Found, Range)> = VecDeque::with_capacity(found.len());
    // What is owed is so until it is known to have been read.
    let mut begun = Vec::new();
    for found in found {
        let until = shown_from(&found);
        // Of one that was replayed to it there is only what it has been given since, and what others were told alone.
        let is_again = replayed.contains(&found.id);
        let is_given = more.contains(&found.id);
        // What comes after that is replayed whole.
        let most = if is_again { Seq::MAX } else { after };
        let owed = session.particulars().owed.iter().filter(|_| !is_again || is_given);
        let mut own: Vec<Owed> = owed.clone().filter(|owed| owed.conversation == found.id).copied().collect();
        let done = own.iter().map(|owed| owed.until).max().unwrap_or(0);
        let rest = owed.filter(|owed| owed.conversation == EVERY_OTHER && found.name.starts_with('#') && !is_again);
        own.extend(rest.map(|rest| Owed { conversation: found.id, after: rest.after.max(done), ..*rest }));
        let untold = untold.iter().filter(|untold| untold.conversation == found.id);
        let mut parts: Vec<Owed> = Vec::new();
        for (one, is_own) in own.iter().map(|own| (own, true)).chain(untold.map(|untold| (untold, false))) {
            let one = one.up_to(most);
            if !one.is_nothing() {
                one.add_to(&mut parts);
                begun.extend(is_own.then_some(one));
            }
        }
        parts.sort_unstable_by_key(|part| part.after);
        let part =
            |part: Owed| (Found { floor: part.after, ..found.clone() }, Range::Before(Border::Seq(part.until + 1)));
        left.extend(parts.into_iter().map(part));
        if !is_again {
            // What it has confirmed does not come again for the sake of a channel that it joins later, but that does.
            if first.is_none() {
                let until = match until {
                    Border::Seq(end) => end - 1,
                    Border::Time(_) => last,
                };
                begun.extend((after < until).then_some(Owed { conversation: found.id, after, until }));
            }
            left.push_back((Found { floor: after, ..found }, Range::Before(until)));
        }
    }
    let is_somewhere = !is_nowhere(server, ctx);
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let particulars = session.particulars_mut();
    let (replayed, more) = (&mut particulars.replayed, &mut particulars.more);
    more.retain(|id| !left.iter().any(|(found, _)| found.id == *id));
    for (found, _) in &left {
        if !replayed.contains(&found.id) {
            replayed.push(found.id);
        }
    }
    // Where nothing comes, it is asked as well, once it is in its channels: that it has all that it missed is known then.
    if !left.is_empty() || !particulars.confirmed && is_somewhere {
        let empty = Unread { after: None, any: false, failed: false, token: None, asked: 0, at: 0 };
        let unread = particulars.unread.get_or_insert(empty);
        (unread.token, unread.after) = (None, unread.after.or(first));
        begun.into_iter().for_each(|one| one.add_to(&mut particulars.owed));
        server.note_shown(ctx.conn, |id| left.iter().any(|(found, _)| found.id == id));
        server.note_behind(ctx.conn);
    }
    let limit = server.settings.autoreplay_limit;
    let own = server.own_said(ctx.conn);
    replay_next(server, ctx, Replay { limit, left, reading: "".into(), is_unasked: true, own });
}

/// Shows a client what it asked for by `*playback`.
pub fn play(server: &mut Server, ctx: &mut Ctx, range: Range, wanted: Vec<Found>) {
    if !server.settings.history {
        return;
    }
    let limit = server.settings.playback_limit;
    let left = wanted.into_iter().map(|found| (found, range)).collect();
    replay_next(server, ctx, Replay { limit, left, reading: "".into(), is_unasked: false, own: Vec::new() });
}

/// Reads the next conversation that is to be replayed.
pub fn replay_next(server: &mut Server, ctx: &mut Ctx, mut replay: Replay) {
    // Meanwhile the user may have left a channel, by another connection or a KICK, or the channel may have another name.
    // That it has not come to then is replayed when it is back in it.
    let mut left = Vec::new();
    let own = server.network.identity(ctx.me()).text();
    let next = std::iter::from_fn(|| replay.left.pop_front()).find_map(|(found, range)| {
        let id = found.id;
        let now = if found.name.starts_with('#') {
            channel_now(&server.network, ctx.me(), found)
        } else {
            // Another connection may have logged it in to another account.
            found.key.split(' ').any(|one| *one == own).then_some(found)
        };
        left.extend(now.is_none().then_some(id));
        Some((now?, range))
    });
    if let Some(session) = server.session_mut(ctx.conn).filter(|_| !left.is_empty()) {
        session.particulars_mut().replayed.retain(|id| !left.contains(id));
        server.note_not_shown(ctx.conn, &left);
        server.note_behind(ctx.conn);
    }
    let Some((found, range)) = next else { return ask_whether_read(server, ctx) };
    let mut reader = reader(server, ctx, "chathistory", &found.name, &[&found], None);
    reader.caps = reader.caps & CapSet::of(&[Cap::ServerTime, Cap::MessageTags, Cap::AccountTag, Cap::Batch]);
    // Who asks is sent all.
    if replay.is_unasked && server.session(ctx.conn).is_some_and(|session| server.is_replayed(session)) {
        let since = server.own_said(ctx.conn).into_iter().filter(|own| !replay.own.contains(own));
        reader.own = replay.own.iter().copied().chain(since).collect();
        reader.most = replay.limit;
    }
    // What it has shown itself takes no place of what it missed.
    let own = reader.own.iter().map(|(before, last)| last - before).sum::<u64>();
    let own = u32::try_from(own).unwrap_or(u32::MAX).min(server.settings.chathistory_limit);
    let query = HistoryQuery {
        conversation: found.id,
        range,
        limit: replay.limit + own,
        wanted: Wanted::default(),
        floor: found.floor,
        // Those before it may have taken their time.
        since: found.since.max(server.kept_since(&found.key)),
        reader,
    };
    answered_so_far(server, ctx);
    replay.reading = found.name;
    server.call(ctx, Call::History(Box::new(query)), Pending::Replay(replay));
}

/// A channel's conversation by the name that the channel has now, for a user who is in it.
fn channel_now(network: &Network, user: UserId, found: Found) -> Option<Found> {
    let channels = &network.users[user].channels;
    let is = |at: &ChannelId| {
        let conversation = network.conversation(network.channels[*at].folded.as_str());
        conversation.is_some_and(|conversation| conversation.id == found.id)
    };
    let same = network.channel_by_folded(&found.key).filter(|at| channels.contains(at) && is(at));
    let channel = &network.channels[same.or_else(|| channels.iter().copied().find(is))?];
    Some(Found { key: channel.folded.as_str().into(), name: (*channel.name).into(), ..found })
}

/// Behind what was replayed comes a PING: once it is answered, all of that has been read. A connection that ends before
/// has its device replayed the same again.
fn ask_whether_read(server: &mut Server, ctx: &mut Ctx) {
    let (last, now, is_nowhere) = (server.last_seq(), server.now().mono_ms, is_nowhere(server, ctx));
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let Some(unread) = &session.particulars().unread else { return };
    if unread.failed {
        return;
    }
    if !unread.any {
        // Of a channel that it has joined late there was nothing.
        if unread.after.is_none() {
            return confirm(server, ctx);
        }
        // In private there was nothing, and it is in no channel yet.
        if is_nowhere {
            session.particulars_mut().unread = None;
            return;
        }
    }
    let token: Box<str> = format!("replayed-{}", session.new_batch()).into();
    if let Some(unread) = &mut session.particulars_mut().unread {
        (unread.token, unread.asked, unread.at) = (Some(token.clone()), last, now);
    }
    answered_so_far(server, ctx);
    ctx.reply.line_from("", "PING", &[], Some(&token));
}

/// Sends what the command has answered, under its own label; what follows has none.
fn answered_so_far(server: &mut Server, ctx: &mut Ctx) {
    let fresh = server.ctx(ctx.conn, None);
    let answered = std::mem::replace(&mut ctx.reply, fresh.reply);
    server.finish(Ctx { conn: ctx.conn, user: ctx.user, reply: answered });
}

/// All that was replayed to a connection has been read, or there was nothing.
pub fn confirm(server: &mut Server, ctx: &Ctx) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let particulars = session.particulars_mut();
    if let (Some(unread), Some(reading)) = (particulars.unread.take(), &mut particulars.reading) {
        reading.read = reading.read.max(unread.asked);
        reading.answers |= unread.token.is_some();
    }
    particulars.drop_replayed();
    // Its channels may come yet, and it is owed those.
    particulars.confirmed = true;
    server.note_replay_read(ctx.conn);
    server.note_behind(ctx.conn);
}

fn is_nowhere(server: &Server, ctx: &Ctx) -> bool {
    ctx.user.is_none_or(|user| server.network.users[user].channels.is_empty())
}

/// One conversation was read.
pub fn replayed(server: &mut Server, ctx: &mut Ctx, replay: Replay, returned: Returned) {
    let session = server.session_mut(ctx.conn);
    if let Some(unread) = session.and_then(|session| session.particulars_mut().unread.as_mut()) {
        match &returned {
            Returned::History(page) => unread.any |= page.messages > 0,
            _ => unread.failed = true,
        }
    }
    match returned {
        Returned::History(page) if page.messages > 0 => {
            // A client of ZNC's asks for what it wants itself.
            let asks = ctx.reply.caps.has(Cap::Playback);
            if let Some(time) = page.cut_at.filter(|_| replay.is_unasked || !asks) {
                // Others of the same moment are asked for as well.
                let (name, until) = (&replay.reading, time + 1);
                let head = if replay.is_unasked { "You missed more" } else { "There is more" };
                let text = format!(
                    "{head} in {name} than the {} messages that are replayed: for what is older, say \
                     /msg *playback PLAY {name} 0 {}.{:03}",
                    page.messages,
                    until / 1000,
                    until % 1000
                );
                say(ctx, "HistServ", &text);
                answered_so_far(server, ctx);
            }
            bulk::history(server, ctx.conn, page.chunks.into_iter(), Some(replay));
        }
        _ => replay_next(server, ctx, replay),
    }
}

#[cfg(test)]
mod tests {
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{Event, Returned};
    use crate::server::record::{ConversationId, HistoryPage};

    /// The conversations that a device is replayed which is back, in order, where this happens while the first is read.
    fn replayed(line: &str) -> (Vec<ConversationId>, Asked) {
        let mut asked = Asked::new();
        let (old, bob) = (asked.device("alice", 1, "phone", "server-time"), asked.user("bob"));
        for channel in ["#a", "#b", "#c"] {
            asked.ask(old, &format!("JOIN {channel}"));
            asked.ask(bob, &format!("JOIN {channel}"));
            asked.ask(bob, &format!("PRIVMSG {channel} :text"));
        }
        asked.device("alice", 1, "phone", "server-time");
        let mut read = Vec::new();
        while let Some((id, Call::History(query))) = asked.calls().first() {
            let id = *id;
            read.push(query.conversation);
            if read.len() == 1 {
                asked.ask(old, line);
            }
            asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
        }
        (read, asked)
    }

    #[test]
    fn a_channel_that_gets_another_name_in_the_middle_of_a_replay_is_replayed() {
        for line in ["TIME", "RENAME #c #d"] {
            let (read, asked) = replayed(line);
            let id = |name| asked.server.network.conversation(name).map_or(0, |conversation| conversation.id);
            assert_eq!(read, [id("#a"), id("#b"), id("#c") + id("#d")], "{line}");
        }
    }

    #[test]
    fn a_channel_that_is_left_in_the_middle_of_a_replay_is_not_replayed() {
        let (read, asked) = replayed("PART #c");
        let id = |name| asked.server.network.conversation(name).map_or(0, |conversation| conversation.id);
        assert_eq!(read, [id("#a"), id("#b")]);
    }
}
