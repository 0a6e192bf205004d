//! JOIN (Modern IRC), extended-join (<https://ircv3.net/specs/extensions/extended-join>).

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::write_line;
use ircv3::mode::{Rank, Ranks};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message, name};
use smallvec::{SmallVec, smallvec};

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::command::chathistory::Occasion;
use crate::server::command::services::chanserv::{ranks_of, set};
use crate::server::command::{away, chathistory, markread, metadata, mode, names, printable, topic};
use crate::server::frame::{Form, Frame, Tagged};
use crate::server::network::{ChannelId, UserId};
use crate::server::notice::About;
use crate::server::policy::{self, JoinRefused};
use crate::server::record::{Kind, Seq};
use crate::server::{Ctx, Server};

/// JOIN
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let list = line.param(0).unwrap_or("");
    if list == "0" {
        for channel in server.network.users[ctx.me()].channels.clone() {
            let name = server.network.channels[channel].name.clone();
            server.submit(ctx, Change::Part { channel: &name, reason: None });
        }
        return;
    }
    let mut keys = line.param(1).unwrap_or("").split(',');
    let mut joined = Vec::new();
    for channel in list.split(',') {
        let key = keys.next().filter(|key| !key.is_empty());
        if !is_name(ctx, channel) {
            continue;
        }
        let before = server.network.users[ctx.me()].channels.len();
        server.submit(ctx, Change::Join { channel, key });
        // The channel itself, or the one that it sent the user on to.
        joined.extend(server.network.users[ctx.me()].channels.iter().skip(before));
    }
    chathistory::replay(server, ctx, Occasion::Joined(&joined));
}

fn is_name(ctx: &mut Ctx, given: &str) -> bool {
    if name::is_channel(given, limits::CHANNEL_LEN) {
        return true;
    }
    let (numeric, text) = if given.starts_with('#') {
        (Numeric::ERR_BADCHANMASK, "Bad Channel Mask: no such name is possible")
    } else {
        (Numeric::ERR_NOSUCHCHANNEL, "No such channel: a channel's name begins with #")
    };
    ctx.reply.numeric(numeric, &[printable(given)], Some(text));
    false
}

/// Puts the sender into a channel, where it may, or else where the channel sends it on to (`+f`).
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, given: &str, key: Option<&str>) {
    let user = ctx.me();
    let mut given = given;
    let forwarded: Arc<str>;
    if let Some(purge) = server.network.purge(given) {
        let text = format!("Cannot join channel (it is closed for good: {})", purge.reason);
        ctx.reply.numeric(Numeric::ERR_BANNEDFROMCHAN, &[given], Some(&text));
        return;
    }
    if let Some(id) = server.network.channel_by_name(given) {
        if server.network.channels[id].members.contains_key(&user) {
            again(server, ctx, id);
            return;
        }
        let now = server.now().mono_ms;
        if let Err(refused) = policy::may_join(&server.network, user, id, key, now) {
            let Some(target) = policy::forward(&server.network, id) else {
                refuse(server, ctx, id, refused);
                return;
            };
            let (from, to) = (server.network.channels[id].name.clone(), server.network.channels[target].name.clone());
            ctx.reply.numeric(Numeric::ERR_LINKCHANNEL, &[&from, &to], Some("Forwarding to another channel"));
            // A client that joins all its channels again waits for an answer to each.
            if server.network.channels[target].members.contains_key(&user) {
                again(server, ctx, target);
                return;
            }
            // Once and no further, or two channels could send it round and round.
            if let Err(refused) = policy::may_join(&server.network, user, target, None, now) {
                refuse(server, ctx, target, refused);
                return;
            }
            forwarded = to;
            given = &forwarded;
        }
    }
    let account = server.network.users[user].account;
    if server.network.channel_by_name(given).is_none()
        && policy::channel_is_like_another(&server.network, given, account)
    {
        let text = "Illegal channel name: it looks like that of a registered channel; choose another";
        ctx.reply.numeric(Numeric::ERR_BADCHANNAME, &[given], Some(text));
        return;
    }
    if server.network.users[user].channels.len() >= server.settings.channels_per_user {
        ctx.reply.numeric(Numeric::ERR_TOOMANYCHANNELS, &[given], Some("You have joined too many channels"));
        return;
    }
    enter(server, ctx, seq, given);
}

/// Puts the sender into a channel that it is not in, and makes the channel where there is none.
pub fn enter(server: &mut Server, ctx: &mut Ctx, seq: Seq, given: &str) {
    let user = ctx.me();
    let (id, empty) = server.channel_or_new(given, seq);
    let channel = &server.network.channels[id];
    let account = server.network.users[user].account;
    let ranks = match channel.standing(account) {
        Some(standing) => ranks_of(standing),
        // Whoever comes into a permanent channel finds it as it was left.
        None if channel.founder.is_none() && empty && !channel.modes.has('P') => Ranks::of(Rank::Op),
        None => Ranks::default(),
    };
    let kept = server.add_member(id, user, ranks);
    server.note_channel_used(id, seq);
    if empty && server.network.channels[id].founder.is_none() {
        server.notify(About::Channels, |server| {
            let (channel, there) = (&server.network.channels[id], &server.network.users[user]);
            format!("{} was made by {}", channel.name, there.source)
        });
    }
    let mut frame = frame(server, user, id);
    frame.after = frame.after.max(kept);
    if server.network.channels[id].unshown.contains(&user) {
        // What only some are shown is not in history; they get an id for it all the same.
        frame.msgid = Some(server.msgid(seq));
    } else if account.is_some() {
        let realname = server.network.users[user].realname.clone();
        server.keep_event(&mut frame, id, user, seq, Happened { kind: Kind::Join, argument: None, text: &realname });
    }
    let frame = Arc::new(frame);
    server.frame_about(id, user, frame.clone(), Some(ctx.conn));
    ctx.reply.frame(&frame);
    if !ranks.is_empty() && server.network.channels[id].members.len() > 1 {
        announce_ranks(server, id, user, ranks);
    }
    let others = server.network.channels[id].beholders(user);
    present(server, user, &others);
    burst(server, ctx, id);
    // The user's other devices are in it, too, and want all that comes with it.
    for conn in server.network.users[user].sessions.clone() {
        if conn != ctx.conn {
            let mut told = server.ctx(conn, None);
            burst(server, &mut told, id);
            server.finish(told);
            server.joined_elsewhere(conn, id);
        }
    }
}

/// What others are told of a newcomer after its JOIN.
fn present(server: &mut Server, user: UserId, others: &[UserId]) {
    if server.network.users[user].away.is_some() {
        let away = away::frame(server, user);
        server.frame_to_users(others, Arc::new(away), None);
    }
    metadata::introduce(server, user, others);
}

/// Shows the JOIN of a member that does something to those who were not shown it when it came (`D`). In an
/// auditorium (`u`) people speak without being shown among the members.
pub fn reveal(server: &mut Server, channel: ChannelId, user: UserId) {
    let there = &mut server.network.channels[channel];
    if there.modes.has('u') || !there.unshown.swap_remove(&user) {
        return;
    }
    let untold = |(id, ranks): (&UserId, &Ranks)| (*id != user && !ranks.at_least(Rank::Halfop)).then_some(*id);
    let others: Vec<UserId> = there.members.iter().filter_map(untold).collect();
    let frame = frame(server, user, channel);
    server.frame_to_users(&others, Arc::new(frame), None);
    present(server, user, &others);
    mode::settle_delayed(server, channel);
}

/// A member has been given a rank: it is shown to all from now on, in an auditorium by the MODE alone.
pub fn distinguish(server: &mut Server, channel: ChannelId, user: UserId) {
    reveal(server, channel, user);
    server.network.channels[channel].unshown.swap_remove(&user);
}

/// MODE from the server for the ranks that someone came with.
fn announce_ranks(server: &mut Server, channel: ChannelId, user: usize, ranks: Ranks) {
    let nick = server.network.users[user].nick.clone();
    let there = &server.network.channels[channel];
    let line = mode::ranks_line(&server.settings.server_name, &there.name, &nick, ranks, true);
    let frame = Frame::plain(server.clock(), line);
    let members: Vec<_> = there.members.keys().copied().filter(|other| *other != user).collect();
    server.frame_to_users(&members, Arc::new(frame), None);
}

/// JOIN as others see it: with account and real name for those who asked.
pub fn frame(server: &Server, user: usize, channel: ChannelId) -> Frame {
    let there = &server.network.users[user];
    let name = &server.network.channels[channel].name;
    let (mut plain, mut extended) = (Vec::with_capacity(96), Vec::with_capacity(160));
    write_line(&mut plain, &there.source, "JOIN", &[name], None);
    let account = there.account_name.as_deref().unwrap_or("*");
    write_line(&mut extended, &there.source, "JOIN", &[name, account], Some(&there.realname));
    let with = CapSet::of(&[Cap::ExtendedJoin]);
    let mut frame = server.frame_from(user, Vec::new());
    let form = |needs, line: Vec<u8>| Form {
        needs,
        lacks: CapSet::EMPTY,
        lines: smallvec![Bytes::from(line)],
        tagged: Tagged::Each,
    };
    let forms: SmallVec<[Form; 1]> = smallvec![form(with, extended), form(CapSet::EMPTY, plain)];
    frame.forms = forms;
    frame
}

/// What a connection is told of a channel that its user is in: JOIN, topic and names.
pub fn show(server: &mut Server, ctx: &mut Ctx, channel: ChannelId) {
    let Some(user) = ctx.user else { return };
    let frame = frame(server, user, channel);
    ctx.reply.frame(&frame);
    burst(server, ctx, channel);
}

/// Answers the JOIN of a channel that the user is in.
fn again(server: &mut Server, ctx: &mut Ctx, channel: ChannelId) {
    let caps = ctx.reply.caps;
    let is_alone = server.network.users[ctx.me()].sessions.len() == 1;
    // A phone that comes back to its session joins again and waits for its JOIN.
    if caps.has_any(CapSet::of(&[Cap::LabeledResponse, Cap::Chathistory])) || !is_alone && !caps.has(Cap::SelfMessage) {
        show(server, ctx, channel);
    } else {
        // One that is alone has it open, and ZNC, whose clients ask for its messages of other sessions (irssi), never shows them
        // a second JOIN: irssi would close its window, with what it was replayed in it, and open another.
        burst(server, ctx, channel);
    }
}

fn burst(server: &mut Server, ctx: &mut Ctx, channel: ChannelId) {
    if server.network.channels[channel].topic.is_some() {
        topic::show(server, ctx, channel);
    }
    markread::on_join(server, ctx, channel);
    if !ctx.reply.caps.has(Cap::NoImplicitNames) {
        names::send(server, ctx, channel);
    }
    metadata::on_join(server, ctx, channel);
    set::greet(server, ctx, channel);
    ctx.reply.after = ctx.reply.after.max(server.network.channels[channel].changed);
}

fn refuse(server: &Server, ctx: &mut Ctx, channel: ChannelId, refused: JoinRefused) {
    let name = &*server.network.channels[channel].name;
    let (numeric, text) = match refused {
        JoinRefused::InviteOnly => (Numeric::ERR_INVITEONLYCHAN, "Cannot join channel (+i: by invitation only)"),
        JoinRefused::BadKey => (Numeric::ERR_BADCHANNELKEY, "Cannot join channel (+k: the key is wrong or missing)"),
        JoinRefused::Full => (Numeric::ERR_CHANNELISFULL, "Cannot join channel (+l: it is full)"),
        JoinRefused::NotLoggedIn => {
            (Numeric::ERR_NEEDREGGEDNICK, "Cannot join channel (+R: only those who are logged in may)")
        }
        JoinRefused::NotSecure => (Numeric::ERR_SECUREONLYCHAN, "Cannot join channel (+z: only by TLS)"),
        JoinRefused::Banned => (Numeric::ERR_BANNEDFROMCHAN, "Cannot join channel (+b: you are banned)"),
    };
    ctx.reply.numeric(numeric, &[name], Some(text));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::Pending;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::session::{Input, Waiting};

    #[test]
    fn whoever_is_sent_on_to_a_channel_that_it_is_in_already_is_told_so_and_shown_that() {
        let mut asked = Asked::new();
        let boss = asked.user("boss");
        asked.ask(boss, "JOIN #target");
        asked.ask(boss, "JOIN #fw");
        asked.ask(boss, "MODE #fw +if #target");
        let alice = asked.user_with("alice", "labeled-response batch");
        let commands = |lines: Vec<String>| -> Vec<String> {
            let words = lines.iter().map(|line| line.split(' ').filter(|word| !word.starts_with('@')));
            words.filter_map(|mut words| words.nth(1).map(str::to_owned)).filter(|word| word != "BATCH").collect()
        };
        let first = asked.ask(alice, "JOIN #fw");
        assert!(first[0].ends_with(" 470 alice #fw #target :Forwarding to another channel"), "{first:?}");
        let again = asked.ask(alice, "JOIN #fw");
        assert_eq!(again[0], first[0]);
        assert_eq!(commands(again), ["470", "JOIN", "353", "366"]);
        let members = &asked.server.network.channels[asked.server.network.channel_by_name("#target").unwrap()].members;
        assert_eq!(members.len(), 2);
        // So is a client that asks for what it missed, for it may wait for that.
        let carol = asked.user_with("carol", "draft/chathistory batch");
        asked.ask(carol, "JOIN #target");
        assert_eq!(commands(asked.ask(carol, "JOIN #target")), ["JOIN", "353", "366"]);
        // One who has one connection, and neither, has it open: it is shown who is there.
        let bob = asked.user("bob");
        asked.ask(bob, "JOIN #target");
        assert_eq!(commands(asked.ask(bob, "JOIN #fw")), ["470", "353", "366"]);
    }

    #[test]
    fn what_a_device_that_is_busy_is_to_be_shown_does_not_grow_with_each_join_of_another() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let (id, other) = (asked.id("alice"), asked.open());
        asked.server.network.users[id].sessions.push(other);
        let session = asked.server.session_mut(other).unwrap();
        (session.user, session.registration) = (Some(id), None);
        session.waiting =
            Some(Box::new(Waiting { serial: u64::MAX, pending: Pending::Search, label: None, answered: None }));
        for _ in 0..100 {
            asked.ask(alice, "JOIN #a,#b");
            asked.ask(alice, "PART #a,#b");
        }
        let parked = &asked.server.session(other).unwrap().parked;
        let [Input::Joined(channels)] = parked.iter().collect::<Vec<_>>()[..] else { panic!("{parked:?}") };
        assert!(channels.len() <= 2, "{channels:?}");
    }
}
