//! MODE for channels and users (Modern IRC).

use std::sync::Arc;

use bytes::Bytes;
use ircv3::extban::{self, Entry};
use ircv3::message::write_line;
use ircv3::mode::{self, Kind as ModeKind, ModeChange, Rank, Ranks};
use ircv3::numeric::Numeric;
use ircv3::{Message, mask, name};

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::channel::{Channel, ListEntry};
use crate::server::command::{find_channel, join, names, oper, printable, prop, vhost};
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::notice;
use crate::server::policy;
use crate::server::record::{Kind, ListRow, Record, Seq};
use crate::server::user::Letters;
use crate::server::{Ctx, Server};

/// MODE
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let target = line.param(0).unwrap_or("");
    if target.starts_with('#') {
        channel_mode(server, ctx, line, target);
    } else {
        user_mode(server, ctx, line, target);
    }
}

fn channel_mode(server: &mut Server, ctx: &mut Ctx, line: &Message, target: &str) {
    let Some(channel) = find_channel(server, ctx, target) else { return };
    let Some(modes) = line.param(1) else {
        show(server, ctx, channel);
        return;
    };
    let changes: Vec<ModeChange<'_>> = mode::parse_channel_modes(modes, line.params().skip(2)).collect();
    if changes.iter().all(is_question) {
        let mut listed = Listed::default();
        changes.iter().for_each(|change| listed.answer(server, ctx, channel, change.letter));
        return;
    }
    server.submit(ctx, Change::ChannelModes { channel: target, changes: &changes });
}

/// Whether it asks for a list.
fn is_question(change: &ModeChange<'_>) -> bool {
    mode::kind(change.letter) == Some(ModeKind::List) && change.param.is_none_or(str::is_empty)
}

/// The lists that were asked for: each is answered once in a line.
#[derive(Default)]
struct Listed(Letters);

impl Listed {
    fn answer(&mut self, server: &Server, ctx: &mut Ctx, channel: ChannelId, letter: char) {
        if self.0.set(letter, true) {
            list(server, ctx, channel, letter);
        }
    }
}

/// 324 and 329.
fn show(server: &Server, ctx: &mut Ctx, channel: ChannelId) {
    let there = &server.network.channels[channel];
    let (letters, params) = there.modes_text(there.members.contains_key(&ctx.me()));
    let mut middles: Vec<&str> = vec![&there.name, &letters];
    middles.extend(params.iter().map(String::as_str));
    ctx.reply.numeric(Numeric::RPL_CHANNELMODEIS, &middles, None);
    ctx.reply.numeric(Numeric::RPL_CREATIONTIME, &[&there.name, &there.created.to_string()], None);
    ctx.reply.after = ctx.reply.after.max(there.changed);
}

/// One change that was made, owned: parameters as they are announced.
struct Done {
    add: bool,
    letter: char,
    param: Option<String>,
}

/// Makes the changes that may be made, announces them in one MODE, and answers the others.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, changes: &[ModeChange<'_>]) {
    make(server, ctx, seq, name, changes, false);
}

/// As [`apply`], as a founder may, for an operator who need not be in the channel (SAMODE).
pub fn apply_forced(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, changes: &[ModeChange<'_>]) {
    make(server, ctx, seq, name, changes, true);
}

/// As [`apply`], for someone whose account may, and who need not be in the channel (ChanServ).
pub fn apply_by_service(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: ChannelId, changes: &[ModeChange<'_>]) {
    make_in(server, ctx, seq, channel, changes, true);
}

fn make(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, changes: &[ModeChange<'_>], forced: bool) {
    if let Some(channel) = find_channel(server, ctx, name) {
        make_in(server, ctx, seq, channel, changes, forced);
        // Whoever takes `P` off need not be inside.
        server.network.drop_channel_if_empty(channel);
    }
}

fn make_in(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: ChannelId, changes: &[ModeChange<'_>], forced: bool) {
    let mut done: Vec<Done> = Vec::new();
    let mut records: Vec<Record> = Vec::new();
    let mut with_param = 0;
    let mut refused = false;
    let mut promoted: Vec<UserId> = Vec::new();
    let mut listed = Listed::default();
    let was_kept = server.network.channels[channel].is_kept();
    for change in changes {
        let Some(kind) = mode::kind(change.letter) else {
            let letter = change.letter.to_string();
            ctx.reply.numeric(Numeric::ERR_UNKNOWNMODE, &[printable(&letter)], Some("is unknown mode char to me"));
            continue;
        };
        if is_question(change) {
            listed.answer(server, ctx, channel, change.letter);
            continue;
        }
        let own =
            if forced { Some(Ranks::of(Rank::Founder)) } else { server.network.channels[channel].ranks(ctx.me()) };
        if !own.is_some_and(|ranks| ranks.at_least(policy::rank_for_mode(change.letter))) {
            // Taking one's own rank away needs nobody's leave.
            let own_rank = kind == ModeKind::Prefix
                && !change.add
                && change.param.and_then(|nick| server.network.user_by_nick(nick)) == ctx.user
                && own.is_some();
            if !own_rank {
                if !std::mem::replace(&mut refused, true) {
                    let name = server.network.channels[channel].name.clone();
                    match own {
                        Some(_) => ctx.reply.numeric(
                            Numeric::ERR_CHANOPRIVSNEEDED,
                            &[&name],
                            Some("You're not channel operator"),
                        ),
                        None => {
                            ctx.reply.numeric(Numeric::ERR_NOTONCHANNEL, &[&name], Some("You're not on that channel"))
                        }
                    }
                }
                continue;
            }
        }
        if change.param.is_some() {
            with_param += 1;
            if with_param > limits::MODES {
                break;
            }
        }
        let change = match kind {
            ModeKind::Flag => flag(server, ctx, channel, change),
            ModeKind::Prefix => rank(server, ctx, channel, change, own.unwrap_or_default(), &mut promoted),
            ModeKind::List => entry(server, ctx, channel, change, &mut records),
            ModeKind::Setting => key(server, ctx, channel, change),
            ModeKind::SettingToSet if change.letter == 'f' => forward(server, ctx, channel, change),
            ModeKind::SettingToSet => limit(server, ctx, channel, change),
        };
        done.extend(change);
    }
    if !done.is_empty() {
        announce(server, ctx, seq, channel, &done, records, was_kept);
    }
    settle_delayed(server, channel);
    for user in promoted {
        show_hidden(server, channel, user);
    }
}

/// Tells someone who became a halfop, or more, of the members that only those see (`D`, `u`).
pub fn show_hidden(server: &mut Server, channel: ChannelId, user: UserId) {
    let there = &server.network.channels[channel];
    if !there.unshown.is_empty() || there.modes.has('u') {
        names::tell(server, channel, user);
    }
}

/// Sets `d` while there are members who have not been shown and nothing else says so, and takes it off
/// again.
pub fn settle_delayed(server: &mut Server, channel: ChannelId) {
    let there = &mut server.network.channels[channel];
    let delayed = !there.unshown.is_empty() && !there.modes.has('D') && !there.modes.has('u');
    if !there.modes.set('d', delayed) || there.members.is_empty() {
        return;
    }
    let mut line = Vec::with_capacity(64);
    let modes = if delayed { "+d" } else { "-d" };
    write_line(&mut line, &server.settings.server_name, "MODE", &[&there.name, modes], None);
    let frame = Frame::plain(server.clock(), Bytes::from(line));
    server.frame_to_channel(channel, Arc::new(frame), None);
}

fn flag(server: &mut Server, ctx: &mut Ctx, channel: ChannelId, change: &ModeChange<'_>) -> Option<Done> {
    let name = server.network.channels[channel].name.clone();
    match change.letter {
        'd' | 'r' => {
            let text = format!("Only the server sets and takes off mode {}", change.letter);
            ctx.reply.numeric(Numeric::ERR_ONLYSERVERSCANCHANGE, &[&name], Some(&text));
            return None;
        }
        'P' if !oper::is(server, ctx) => {
            let text = "Permission Denied- Only IRC operators make a channel permanent";
            ctx.reply.numeric(Numeric::ERR_NOPRIVILEGES, &[], Some(text));
            return None;
        }
        _ => {}
    }
    let there = &mut server.network.channels[channel];
    there.modes.set(change.letter, change.add).then_some(Done { add: change.add, letter: change.letter, param: None })
}

fn rank(
    server: &mut Server,
    ctx: &mut Ctx,
    channel: ChannelId,
    change: &ModeChange<'_>,
    own: Ranks,
    promoted: &mut Vec<UserId>,
) -> Option<Done> {
    let name = server.network.channels[channel].name.clone();
    let Some(nick) = change.param.filter(|nick| !nick.is_empty()) else {
        invalid(ctx, &name, change.letter, "*", "This mode takes a nick");
        return None;
    };
    let Some(target) = server.network.user_by_nick(nick) else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        return None;
    };
    let nick = server.network.users[target].nick.to_string();
    let rank = Rank::by_letter(change.letter)?;
    let there = &mut server.network.channels[channel];
    let Some(ranks) = there.members.get_mut(&target) else {
        ctx.reply.numeric(Numeric::ERR_USERNOTINCHANNEL, &[&nick, &name], Some("They aren't on that channel"));
        return None;
    };
    if !change.add && own.highest() < ranks.highest() && rank > Rank::Voice {
        let text = format!("{nick} has a higher rank in the channel than you");
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&name], Some(&text));
        return None;
    }
    if ranks.has(rank) == change.add {
        return None;
    }
    if change.add {
        if rank >= Rank::Halfop && !ranks.at_least(Rank::Halfop) {
            promoted.push(target);
        }
        ranks.insert(rank);
        join::distinguish(server, channel, target);
    } else {
        ranks.remove(rank);
    }
    Some(Done { add: change.add, letter: change.letter, param: Some(nick) })
}

fn entry(
    server: &mut Server,
    ctx: &mut Ctx,
    channel: ChannelId,
    change: &ModeChange<'_>,
    records: &mut Vec<Record>,
) -> Option<Done> {
    let given = change.param?;
    let letter = change.letter;
    let name = server.network.channels[channel].name.clone();
    let fits = !given.contains(' ') && given.len() <= limits::MASK_LEN;
    // What is about speaking alone cannot invite.
    let normal = extban::normalize(given).filter(|mask| fits && (letter != 'I' || Entry::read(mask).about.is_none()));
    let Some(mask) = normal else {
        let text = format!(
            "An entry is nick!user@host, or one of the extended bans that conf/MODES.md lists, such as account:bob; \
             without spaces, at most {} bytes",
            limits::MASK_LEN
        );
        invalid(ctx, &name, letter, printable(given), &text);
        return None;
    };
    let most = server.settings.list_entries;
    let casemapping = server.network.casemapping;
    let setter: Box<str> = (*server.network.users[ctx.me()].source).into();
    let set_at = server.clock() / 1000;
    let there = &mut server.network.channels[channel];
    let folded = there.folded.clone();
    let all = there.bans.len() + there.excepts.len() + there.invexes.len();
    let list = there.list_mut(letter)?;
    let at = list.iter().position(|entry| mask::same(&entry.mask, &mask, casemapping));
    if change.add {
        if at.is_some() {
            return None;
        }
        if all >= most {
            ctx.reply.numeric(
                Numeric::ERR_BANLISTFULL,
                &[&name, &mask],
                Some(&format!("Channel list is full: at most {most} entries")),
            );
            return None;
        }
        list.push(ListEntry { mask: mask.as_str().into(), setter: setter.clone(), set_at });
        let row = ListRow { channel: folded.as_str().into(), mode: letter, mask: mask.as_str().into(), setter, set_at };
        records.push(Record::ListEntry(Box::new(row)));
        Some(Done { add: true, letter, param: Some(mask) })
    } else {
        let entry = list.remove(at?);
        records.push(Record::ListEntryGone(folded.as_str().into(), letter, entry.mask.clone()));
        Some(Done { add: false, letter, param: Some(entry.mask.into()) })
    }
}

fn key(server: &mut Server, ctx: &mut Ctx, channel: ChannelId, change: &ModeChange<'_>) -> Option<Done> {
    let name = server.network.channels[channel].name.clone();
    if !change.add {
        server.network.channels[channel].key.take()?;
        return Some(Done { add: false, letter: 'k', param: Some("*".into()) });
    }
    let key = change.param.unwrap_or("");
    let good = !key.is_empty()
        && key.len() <= limits::KEY_LEN
        && !key.starts_with(':')
        && !key.contains(|c: char| c == ' ' || c == ',' || c.is_control());
    if !good {
        let text = format!("A key has 1 to {} bytes, without spaces and commas", limits::KEY_LEN);
        // A value that is too long may not fit into the answer.
        let shown = if key.len() > limits::KEY_LEN { "*" } else { printable(key) };
        invalid(ctx, &name, 'k', shown, &text);
        return None;
    }
    let there = &mut server.network.channels[channel];
    if there.key.as_deref() == Some(key) {
        return None;
    }
    there.key = Some(key.into());
    Some(Done { add: true, letter: 'k', param: Some(key.into()) })
}

fn limit(server: &mut Server, ctx: &mut Ctx, channel: ChannelId, change: &ModeChange<'_>) -> Option<Done> {
    let name = server.network.channels[channel].name.clone();
    if !change.add {
        server.network.channels[channel].limit.take()?;
        return Some(Done { add: false, letter: 'l', param: None });
    }
    let given = change.param.unwrap_or("");
    let number = given.parse::<u32>().ok().filter(|n| *n > 0 && given.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number else {
        invalid(ctx, &name, 'l', printable(given), "A limit is a whole number above 0");
        return None;
    };
    let there = &mut server.network.channels[channel];
    if there.limit == Some(number) {
        return None;
    }
    there.limit = Some(number);
    Some(Done { add: true, letter: 'l', param: Some(number.to_string()) })
}

fn forward(server: &mut Server, ctx: &mut Ctx, channel: ChannelId, change: &ModeChange<'_>) -> Option<Done> {
    let name = server.network.channels[channel].name.clone();
    if !change.add {
        server.network.channels[channel].forward.take()?;
        return Some(Done { add: false, letter: 'f', param: None });
    }
    let given = change.param.unwrap_or("");
    let possible = name::is_channel(given, limits::CHANNEL_LEN);
    let known = policy::channel_seen(&server.network, oper::viewer(server, ctx), given);
    let Some(target) = known.filter(|_| possible).filter(|target| *target != channel) else {
        invalid(ctx, &name, 'f', printable(given), "A forward is another channel that there is");
        return None;
    };
    let there = &server.network.channels[target];
    let target = there.name.clone();
    // Or people could be sent into a channel that nobody there asked for.
    if !there.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Op)) {
        let text = "You must be operator in the channel that is forwarded to, too";
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&target], Some(text));
        return None;
    }
    let there = &mut server.network.channels[channel];
    if there.forward.as_deref() == Some(&*target) {
        return None;
    }
    there.forward = Some((*target).into());
    Some(Done { add: true, letter: 'f', param: Some(target.to_string()) })
}

/// 696
fn invalid(ctx: &mut Ctx, target: &str, letter: char, value: &str, text: &str) {
    ctx.reply.numeric(Numeric::ERR_INVALIDMODEPARAM, &[target, &letter.to_string(), value], Some(text));
}

fn announce(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    channel: ChannelId,
    done: &[Done],
    records: Vec<Record>,
    was_kept: bool,
) {
    let user = ctx.me();
    let changes: Vec<ModeChange<'_>> = done
        .iter()
        .map(|done| ModeChange { add: done.add, letter: done.letter, param: done.param.as_deref() })
        .collect();
    let source = server.network.users[user].source.clone();
    let name = server.network.channels[channel].name.clone();
    let mut kept = 0;
    for change in done.iter().filter(|done| Rank::by_letter(done.letter).is_some()) {
        if let Some(member) = change.param.as_deref().and_then(|nick| server.network.user_by_nick(nick)) {
            kept = kept.max(server.keep_presence(member));
        }
    }
    let held = match server.settle_channel(channel, seq, was_kept) {
        Some(kept) => kept,
        None if was_kept => {
            for record in records {
                server.keep(seq, record);
            }
            server.keep_channel(channel, seq)
        }
        None => 0,
    };
    let record = server.network.note_closed(channel);
    let kept = kept.max(held).max(server.keep_conversation(channel, seq, record));
    let room = ircv3::message::MAX_BODY_BYTES - (source.len() + name.len() + " MODE ".len() + 6);
    for changes in mode::line_changes(&changes, room, limits::MODES) {
        let text = mode::encode(changes);
        let mut line = Vec::with_capacity(128);
        write_line(&mut line, &source, "MODE", &[&name, &text], None);
        let mut frame = server.frame_from(user, line);
        let items: Vec<String> = changes.iter().map(mode::prop_item).collect();
        prop::add_form(&mut frame, &source, &name, &items);
        // The key stays out of history: whoever may read that may not know it.
        let shown = hide_key(changes, &text);
        frame.after = kept;
        server.keep_event(
            &mut frame,
            channel,
            user,
            seq,
            Happened { kind: Kind::Mode, argument: Some(&shown), text: "" },
        );
        server.network.channels[channel].changed = frame.after;
        let frame = Arc::new(frame);
        server.frame_to_channel(channel, frame.clone(), Some(ctx.conn));
        ctx.reply.frame(&frame);
    }
}

fn hide_key(changes: &[ModeChange<'_>], text: &str) -> String {
    let is_key = |word: &str| changes.iter().any(|change| change.letter == 'k' && change.param == Some(word));
    let words: Vec<&str> = text.split(' ').map(|word| if is_key(word) { "*" } else { word }).collect();
    words.join(" ")
}

fn list(server: &Server, ctx: &mut Ctx, channel: ChannelId, letter: char) {
    let there = &server.network.channels[channel];
    let (entry, end, text) = match letter {
        'b' => (Numeric::RPL_BANLIST, Numeric::RPL_ENDOFBANLIST, "End of channel ban list"),
        'e' => (Numeric::RPL_EXCEPTLIST, Numeric::RPL_ENDOFEXCEPTLIST, "End of channel exception list"),
        _ => (Numeric::RPL_INVEXLIST, Numeric::RPL_ENDOFINVEXLIST, "End of Channel Invite Exception List"),
    };
    if !may_see_list(server, ctx, channel, letter) {
        return;
    }
    for item in list_of(there, letter) {
        ctx.reply.numeric(entry, &[&there.name, &item.mask, &item.setter, &item.set_at.to_string()], None);
    }
    ctx.reply.numeric(end, &[&there.name], Some(text));
    ctx.reply.after = ctx.reply.after.max(there.changed);
}

/// Whether the sender may see this list; 482 otherwise.
pub fn may_see_list(server: &Server, ctx: &mut Ctx, channel: ChannelId, letter: char) -> bool {
    let there = &server.network.channels[channel];
    let may = letter == 'b' || there.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Halfop));
    if !may {
        let text = "You're not channel operator: the lists of exceptions are for operators";
        ctx.reply.numeric(Numeric::ERR_CHANOPRIVSNEEDED, &[&there.name], Some(text));
    }
    may
}

/// The entries of a list mode.
pub fn list_of(channel: &Channel, letter: char) -> impl Iterator<Item = &ListEntry> {
    channel.list(letter).into_iter().flatten()
}

fn user_mode(server: &mut Server, ctx: &mut Ctx, line: &Message, target: &str) {
    let user = ctx.me();
    match server.network.user_by_nick(target) {
        None => {
            ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(target)], Some("No such nick"));
            return;
        }
        Some(other) if other != user => {
            ctx.reply.numeric(Numeric::ERR_USERSDONTMATCH, &[], Some("Cant change mode for other users"));
            return;
        }
        Some(_) => {}
    }
    let Some(modes) = line.param(1) else {
        let text = format!("+{}", server.network.users[user].modes.text());
        ctx.reply.numeric(Numeric::RPL_UMODEIS, &[&text], None);
        if server.network.users[user].modes.has('s') {
            notice::show(server, ctx);
        }
        return;
    };
    server.submit(ctx, Change::UserModes { modes, mask: line.param(2) });
}

/// Changes the sender's user modes, those that it may.
pub fn apply_to_user(server: &mut Server, ctx: &mut Ctx, modes: &str, mask: Option<&str>) {
    let user = ctx.me();
    let mut done: Vec<ModeChange<'_>> = Vec::new();
    let mut unknown = false;
    for change in mode::parse_user_modes(modes) {
        match mode::user_mode(change.letter) {
            None => unknown = true,
            Some(row) => {
                let may = if change.add { row.settable } else { row.unsettable };
                let changed = may
                    && match change.letter {
                        's' => notice::set_mode(server, ctx, change.add, mask),
                        'x' => vhost::set_cloaked(server, ctx, change.add),
                        letter => set_user_mode(server, user, letter, change.add),
                    };
                if changed {
                    done.push(change);
                    if change.letter == 'o' && oper::step_down(server, user) {
                        done.push(ModeChange { add: false, letter: 's', param: None });
                    }
                    if change.letter == 'D' {
                        server.sessions_changed(user);
                    }
                }
            }
        }
    }
    if unknown {
        ctx.reply.numeric(Numeric::ERR_UMODEUNKNOWNFLAG, &[], Some("Unknown MODE flag"));
    }
    if !done.is_empty() {
        announce_user_modes(server, ctx, user, &mode::encode_user_modes(&done));
    }
}

/// Sets or takes off a user mode and keeps the counts; whether anything changed.
pub fn set_user_mode(server: &mut Server, user: UserId, letter: char, on: bool) -> bool {
    if !server.network.users[user].modes.set(letter, on) {
        return false;
    }
    if letter == 'B' && !on {
        for conn in server.network.users[user].sessions.clone() {
            server.begin_late(conn);
        }
    }
    let count = match letter {
        'i' => &mut server.network.invisible,
        'o' => &mut server.network.opers,
        _ => return true,
    };
    if on {
        *count += 1;
    } else {
        *count -= 1;
    }
    true
}

/// MODE from the server or a service that gives a member ranks, or takes them.
pub fn ranks_line(source: &str, channel: &str, nick: &str, ranks: Ranks, give: bool) -> Bytes {
    let letters: String = ranks.iter().map(Rank::letter).collect();
    let modes = format!("{}{letters}", if give { '+' } else { '-' });
    let mut params: Vec<&str> = vec![channel, &modes];
    params.extend(letters.chars().map(|_| nick));
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, source, "MODE", &params, None);
    Bytes::from(line)
}

/// MODE to all connections of a user.
pub fn announce_user_modes(server: &mut Server, ctx: &mut Ctx, user: UserId, modes: &str) {
    let there = &server.network.users[user];
    let mut line = Vec::with_capacity(64);
    write_line(&mut line, &there.source, "MODE", &[&there.nick, modes], None);
    let (source, nick) = (there.source.clone(), there.nick.clone());
    let mut frame = server.frame_from(user, line);
    frame.after = server.keep_presence(user);
    let items: Vec<String> = mode::parse_user_modes(modes).filter_map(|change| mode::user_prop_item(&change)).collect();
    prop::add_form(&mut frame, &source, &nick, &items);
    server.frame_to_self(ctx, user, &frame);
}

#[cfg(test)]
mod tests {
    use ircv3::mode::ModeChange;

    use super::hide_key;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn a_permanent_channel_outlives_its_members_and_is_made_by_operators() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #room");
        assert!(asked.ask(alice, "MODE #room +P")[0].starts_with(":irc.test 481 alice :"));
        asked.set_oper("alice");
        assert_eq!(asked.ask(alice, "MODE #room +P"), [":alice!~u@10.0.0.1 MODE #room +P"]);
        asked.ask(alice, "MODE #room +b mallory");
        asked.ask(alice, "PART #room");
        let lines = asked.ask(bob, "JOIN #room");
        assert_eq!(lines[1], ":irc.test 353 bob = #room :bob", "whoever comes finds it as it was left");
        assert_eq!(asked.ask(bob, "MODE #room b").len(), 2);
        asked.server.check().unwrap_or_else(|fault| panic!("{fault}"));
    }

    #[test]
    fn no_key_of_a_line_is_in_history() {
        let change = |add, param| ModeChange { add, letter: 'k', param: Some(param) };
        let changes = [change(true, "one"), change(false, "*"), change(true, "two")];
        assert_eq!(hide_key(&changes, "+k-k+k one * two"), "+k-k+k * * *");
        assert_eq!(hide_key(&[], "+o alice"), "+o alice");
    }
}
