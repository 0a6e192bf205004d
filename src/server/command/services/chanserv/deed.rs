//! ChanServ KICK, BAN, UNBAN, INVITE, GETKEY, TOPIC and STATUS: what those do in a channel whose account is something in
//! it, whether they are there or not. Others see who did it.

use ircv3::extban::{self, Entry, Subject};
use ircv3::mask;
use ircv3::message::{cut, write_line};
use ircv3::mode::{ModeChange, Rank};

use crate::limits;
use crate::server::change::Change;
use crate::server::channel::ListEntry;
use crate::server::command::services::chanserv::{channel_named, channel_with, outranks};
use crate::server::command::services::{own_account, say, say_words, usage_of};
use crate::server::command::{invite, kick, mode, topic};
use crate::server::network::{ChannelId, UserId};
use crate::server::policy;
use crate::server::record::{AccountRow, Seq};
use crate::server::{Ctx, Server};

/// What is to be done, and where.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The channel.
    pub channel: &'a str,
    /// What.
    pub deed: Deed<'a>,
}

/// Something that is done in a channel.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    /// Someone is put out.
    Kick {
        /// Who.
        nick: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// Someone is kept out, and put out.
    Ban {
        /// A nick, or a mask.
        whom: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// Someone is not kept out any more.
    Unban {
        /// A nick, or a mask; `None`: the sender.
        whom: Option<&'a str>,
    },
    /// Someone is asked in.
    Invite {
        /// Who; `None`: the sender.
        nick: Option<&'a str>,
    },
    /// A topic is set; empty takes it away.
    Topic {
        /// What it says.
        text: &'a str,
    },
}

fn submit(server: &mut Server, ctx: &mut Ctx, channel: &str, deed: Deed<'_>) {
    server.submit(ctx, Change::ServiceDeed(&Asked { channel, deed }));
}

/// KICK
pub fn kick(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let reason = params[2..].join(" ");
    submit(server, ctx, params[0], Deed::Kick { nick: params[1], reason: cut(&reason, limits::KICK_LEN) });
}

/// BAN
pub fn ban(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let reason = params[2..].join(" ");
    submit(server, ctx, params[0], Deed::Ban { whom: params[1], reason: cut(&reason, limits::KICK_LEN) });
}

/// UNBAN
pub fn unban(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params[0], Deed::Unban { whom: params.get(1).copied() });
}

/// INVITE
pub fn invite(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    submit(server, ctx, params[0], Deed::Invite { nick: params.get(1).copied() });
}

/// TOPIC
pub fn topic(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let text = params.get(1).copied().unwrap_or_default();
    // As other services have it: TOPIC <#channel> SET <text>.
    let (word, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    let text = match (word.eq_ignore_ascii_case("SET"), rest.trim_ascii_start()) {
        (true, "") => return usage_of(ctx, "ChanServ", "TOPIC"),
        (true, text) => text,
        (false, _) => text,
    };
    submit(server, ctx, params[0], Deed::Topic { text: cut(text, limits::TOPIC_LEN) });
}

/// GETKEY
pub fn get_key(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some((id, _)) = channel_with(server, ctx, params[0], Rank::Halfop) else { return };
    let channel = &server.network.channels[id];
    let text = match &channel.key {
        Some(key) => format!("The key of {} is {key}", channel.name),
        None => format!("{} has no key", channel.name),
    };
    ctx.reply.after = ctx.reply.after.max(channel.changed);
    say(ctx, "ChanServ", &text);
}

/// STATUS
pub fn status(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(id) = channel_named(server, ctx, params[0]) else { return };
    let own = ctx.reply.nick.clone();
    let nick = params.get(1).copied().unwrap_or(&own);
    let channel = &server.network.channels[id];
    let user = server.network.user_by_nick(nick);
    let account = match user {
        Some(user) => server.network.users[user].account,
        None => server.network.nick_owner(nick).map(|row| row.id),
    };
    if user != ctx.user && channel.standing(own_account(server, ctx)).is_none_or(|rank| rank < Rank::Halfop) {
        let _ = channel_with(server, ctx, params[0], Rank::Halfop);
        return;
    }
    let name = channel.name.clone();
    let standing = channel
        .standing(account)
        .map_or("nothing by account".to_owned(), |rank| format!("+{} by account", rank.letter()));
    let there = user.and_then(|user| channel.ranks(user)).map_or("not there".to_owned(), |ranks| {
        let letters: String = ranks.iter().map(Rank::letter).collect();
        if letters.is_empty() { "there without a rank".to_owned() } else { format!("there with +{letters}") }
    });
    say(ctx, "ChanServ", &format!("{} is {standing} in {name}, and {there}", cut(nick, 64)));
}

/// Does it, where the sender's account may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, asked: &Asked<'_>) {
    let Some((id, standing)) = channel_with(server, ctx, asked.channel, Rank::Halfop) else { return };
    let name = server.network.channels[id].name.clone();
    match asked.deed {
        Deed::Kick { nick, reason } => {
            let Some(user) = server.network.user_by_nick(nick).filter(|user| is_there(server, id, *user)) else {
                say(ctx, "ChanServ", &format!("{:?} is not in {name}", cut(nick, 64)));
                return;
            };
            put_out(server, ctx, seq, (id, user), standing, reason);
        }
        Deed::Ban { whom, reason } => {
            let user = server.network.user_by_nick(whom);
            if user.is_some_and(|user| outranks(server, id, user, standing)) {
                say(ctx, "ChanServ", &format!("They have a higher rank in {name} than your account"));
                return;
            }
            if let Some(row) = account_meant(server, user, whom)
                && !can_be_kept_out(server, ctx, (id, standing), &row)
            {
                return;
            }
            let mask = match user.map(|user| &server.network.users[user]) {
                Some(user) => user
                    .account_name
                    .as_ref()
                    .map_or_else(|| format!("*!*@{}", user.host), |account| format!("account:{account}")),
                None if whom.contains(['!', '@', '*', '?', ':', '.']) => whom.to_owned(),
                None => {
                    let text = format!("{:?} is nobody's nick and no mask", cut(whom, 64));
                    say(ctx, "ChanServ", &text);
                    return;
                }
            };
            change(server, ctx, seq, id, true, &[&mask]);
            match user {
                Some(user) if is_there(server, id, user) => put_out(server, ctx, seq, (id, user), standing, reason),
                Some(_) => {}
                None => put_out_all(server, ctx, seq, (id, standing), &mask, reason),
            }
        }
        Deed::Unban { whom } => {
            let masks = bans_of(server, ctx, id, whom);
            if masks.is_empty() {
                let who = whom.map_or("you".to_owned(), |whom| format!("{:?}", cut(whom, 64)));
                say(ctx, "ChanServ", &format!("No ban of {name} holds {who}"));
                return;
            }
            let masks: Vec<&str> = masks.iter().map(|mask| &**mask).collect();
            for some in masks.chunks(limits::MODES) {
                change(server, ctx, seq, id, false, some);
            }
            say_words(ctx, "ChanServ", &format!("No longer banned from {name}:"), masks);
        }
        Deed::Invite { nick } => {
            let target = nick.map_or(ctx.user, |nick| server.network.user_by_nick(nick));
            let Some(target) = target else {
                say(ctx, "ChanServ", &format!("There is nobody with the nick {:?}", cut(nick.unwrap_or(""), 64)));
                return;
            };
            if is_there(server, id, target) {
                let nick = server.network.users[target].nick.clone();
                say(ctx, "ChanServ", &format!("{nick} is in {name} already"));
                return;
            }
            ask_in(server, ctx, id, target);
        }
        Deed::Topic { text } => {
            topic::set(server, ctx, seq, id, text);
            if !is_there(server, id, ctx.me()) {
                say(ctx, "ChanServ", &format!("The topic of {name} is set"));
            }
        }
    }
}

fn is_there(server: &Server, id: ChannelId, user: UserId) -> bool {
    server.network.channels[id].members.contains_key(&user)
}

/// The account that a ban of a nick, or of `account:bob`, would be of.
fn account_meant(server: &Server, user: Option<UserId>, whom: &str) -> Option<AccountRow> {
    if let Some(user) = user {
        return server.network.account(server.network.users[user].account?).cloned();
    }
    let mask = extban::normalize(whom)?;
    let entry = Entry::read(&mask);
    let is_account = entry.about.is_none() && entry.subject == Some(Subject::Account);
    server.network.account_by_name(entry.mask).filter(|_| is_account).cloned()
}

/// Whether a ban would keep an account out; where not, it is said why, and what would.
fn can_be_kept_out(server: &Server, ctx: &mut Ctx, (id, standing): (ChannelId, Rank), row: &AccountRow) -> bool {
    let channel = &server.network.channels[id];
    let (name, account) = (&channel.name, &row.name);
    match channel.standing(Some(row.id)) {
        Some(rank) if rank > standing => {
            say(ctx, "ChanServ", &format!("They have a higher rank in {name} than your account"));
        }
        Some(rank) if policy::comes_in_always(channel, Some(row.id)) => {
            let letter = rank.letter();
            let what = if rank < standing {
                format!("AMODE {name} -{letter} {account} takes that away first")
            } else {
                "KICK puts them out until they join again".to_owned()
            };
            let text = format!("No ban keeps the account {account} out of {name}, where it is +{letter}: {what}");
            say(ctx, "ChanServ", &text);
        }
        _ => return true,
    }
    false
}

/// Puts out whom a ban keeps out that was just set, but the sender and those of a higher rank.
fn put_out_all(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    (id, standing): (ChannelId, Rank),
    mask: &str,
    reason: &str,
) {
    let channel = &server.network.channels[id];
    let normal = extban::normalize(mask).unwrap_or_default();
    let is_it = |entry: &&ListEntry| mask::same(&entry.mask, &normal, server.network.casemapping);
    // There may have been no room for it.
    let Some(entry) = channel.bans.iter().find(is_it) else { return };
    let fits = |user: UserId| {
        policy::listed(&server.network, user, std::slice::from_ref(entry), None)
            && !policy::listed(&server.network, user, &channel.excepts, None)
    };
    let found = channel.members.keys().copied().filter(|user| Some(*user) != ctx.user && fits(*user));
    let (stay, go): (Vec<UserId>, Vec<UserId>) = found.partition(|user| {
        outranks(server, id, *user, standing) || policy::comes_in_always(channel, server.network.users[*user].account)
    });
    for user in go {
        put_out(server, ctx, seq, (id, user), standing, reason);
    }
    if !stay.is_empty() {
        let nicks: Vec<_> = stay.into_iter().map(|user| server.network.users[user].nick.clone()).collect();
        let head = format!("Not put out of {}, for their rank:", server.network.channels[id].name);
        say_words(ctx, "ChanServ", &head, nicks.iter().map(|nick| &**nick));
    }
}

/// The bans that keep somebody out: the sender, who has a nick, or whose it is while nobody has it; or those that a mask
/// is, however it is written.
fn bans_of(server: &Server, ctx: &Ctx, id: ChannelId, whom: Option<&str>) -> Vec<Box<str>> {
    let network = &server.network;
    let casemapping = network.casemapping;
    let user = whom.map_or(ctx.user, |whom| network.user_by_nick(whom));
    let mask = whom.and_then(extban::normalize);
    let account = whom.filter(|_| user.is_none()).and_then(|nick| network.nick_owner(nick));
    let is_meant = |entry: &&ListEntry| {
        let read = Entry::read(&entry.mask);
        let is_account = read.about.is_none() && read.subject == Some(Subject::Account);
        user.is_some_and(|user| policy::listed(network, user, std::slice::from_ref(*entry), None))
            || mask.as_ref().is_some_and(|mask| mask::same(&entry.mask, mask, casemapping))
            || is_account && account.is_some_and(|row| mask::matches(read.mask, &row.name, casemapping))
    };
    network.channels[id].bans.iter().filter(is_meant).map(|entry| entry.mask.clone()).collect()
}

fn put_out(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    (id, user): (ChannelId, UserId),
    standing: Rank,
    reason: &str,
) {
    let name = server.network.channels[id].name.clone();
    if outranks(server, id, user, standing) {
        say(ctx, "ChanServ", &format!("They have a higher rank in {name} than your account"));
        return;
    }
    let own = ctx.reply.nick.clone();
    let reason = if reason.is_empty() { &*own } else { reason };
    kick::expel(server, ctx, seq, id, user, reason);
}

/// Puts masks on the list of bans, or takes them off.
fn change(server: &mut Server, ctx: &mut Ctx, seq: Seq, id: ChannelId, add: bool, masks: &[&str]) {
    let changes: Vec<ModeChange<'_>> =
        masks.iter().map(|mask| ModeChange { add, letter: 'b', param: Some(mask) }).collect();
    mode::apply_by_service(server, ctx, seq, id, &changes);
}

/// INVITE from whoever asked, which opens the channel.
fn ask_in(server: &mut Server, ctx: &mut Ctx, id: ChannelId, target: UserId) {
    let user = ctx.me();
    let (name, nick) = (server.network.channels[id].name.clone(), server.network.users[target].nick.clone());
    // Whoever is silenced is not told so.
    if !policy::is_silenced(&server.network, user, target) {
        invite::open(server, id, target);
        let mut line = Vec::with_capacity(96);
        write_line(&mut line, &server.network.users[user].source, "INVITE", &[&nick, &name], None);
        let frame = server.frame_from(user, line);
        if user == target {
            server.frame_to_self(ctx, user, &frame);
        } else {
            server.frame_to_user(target, &frame, None);
        }
    }
    say(ctx, "ChanServ", &format!("{nick} is invited to {name}"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use ircv3::Casemapping;

    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::ConnId;
    use crate::server::settings::Settings;

    /// #g is alice's, hal and hugo are halfops of it by AMODE; each has an account and is in it, as is a guest.
    fn garden() -> (Asked, ConnId) {
        let mut asked = Asked::new();
        let alice = fill(&mut asked);
        (asked, alice)
    }

    fn fill(asked: &mut Asked) -> ConnId {
        let alice = asked.user("alice");
        asked.account("alice", 1);
        asked.ask(alice, "JOIN #g");
        asked.ask(alice, "CS REGISTER #g");
        for (account, nick) in [(2, "hal"), (3, "hugo"), (4, "dave")] {
            let conn = asked.user(nick);
            asked.account(nick, account);
            if account < 4 {
                asked.ask(alice, &format!("CS AMODE #g +h {nick}"));
            }
            asked.ask(conn, "JOIN #g");
        }
        let guest = asked.user("guest");
        asked.ask(guest, "JOIN #g");
        alice
    }

    fn conn(asked: &Asked, nick: &str) -> ConnId {
        asked.server.network.users[asked.id(nick)].sessions[0]
    }

    fn bans(asked: &Asked) -> Vec<String> {
        let id = asked.server.network.channel_by_name("#g").unwrap();
        asked.server.network.channels[id].bans.iter().map(|entry| entry.mask.to_string()).collect()
    }

    fn there(asked: &Asked) -> Vec<String> {
        let id = asked.server.network.channel_by_name("#g").unwrap();
        let members = asked.server.network.channels[id].members.keys();
        members.map(|user| asked.server.network.users[*user].nick.to_string()).collect()
    }

    #[test]
    fn unban_finds_what_ban_set_however_it_is_written() {
        let (mut asked, alice) = garden();
        for (ban, unban) in [
            ("nob*", "nob*"),
            ("nob*", "NOB*!*@*"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "*!*@192.0.2.1"),
            ("user@host", "user@host"),
            ("account:erin", "account:erin"),
            ("account:erin", "~a:Erin"),
            ("mute:nob", "m:nob"),
            ("nob!*@*", "nob"),
        ] {
            asked.ask(alice, &format!("CS BAN #g {ban}"));
            assert_eq!(bans(&asked).len(), 1, "{ban}");
            let told = asked.ask(alice, &format!("CS UNBAN #g {unban}")).concat();
            assert!(told.contains("No longer banned from #g: ") && bans(&asked).is_empty(), "{unban}: {told}");
        }
        // Whoever had the account's nick when it was banned has gone since.
        let dave = conn(&asked, "dave");
        asked.ask(alice, "CS BAN #g dave");
        asked.ask(dave, "QUIT");
        assert_eq!(bans(&asked), ["a:dave"]);
        assert!(asked.ask(alice, "CS UNBAN #g erin").concat().contains("No ban of #g holds \"erin\""));
        asked.ask(alice, "CS UNBAN #g dave");
        assert!(bans(&asked).is_empty());
    }

    #[test]
    fn unban_knows_letters_as_nicks_do() {
        let mut asked = Asked::new();
        asked.server.settings =
            Arc::new(Settings { casemapping: Casemapping::Precis, ..(*asked.server.settings).clone() });
        asked.server.network.casemapping = Casemapping::Precis;
        let alice = fill(&mut asked);
        asked.ask(alice, "CS BAN #g \u{dc}*!*@*");
        asked.ask(alice, "CS UNBAN #g \u{fc}*!*@*");
        assert!(bans(&asked).is_empty());
    }

    #[test]
    fn unban_takes_all_bans_that_hold_someone() {
        let (mut asked, alice) = garden();
        for n in 1..=30 {
            asked.ask(alice, &format!("MODE #g +b guest!*@*{}", "?".repeat(n % 7) + &"*?".repeat(n / 7)));
        }
        asked.ask(alice, "MODE #g +b guest");
        let count = bans(&asked).len();
        assert!(count > 24, "{count}");
        let lines = asked.ask(alice, "CS UNBAN #g guest");
        let named = |line: &&String| line.contains("No longer banned from #g: ");
        let told: usize = lines.iter().filter(named).map(|line| line.matches("guest!*@*").count()).sum();
        assert!(told > 12, "{lines:?}");
        assert!(!bans(&asked).iter().any(|mask| mask.ends_with("@*")), "{:?}", bans(&asked));
        let guest = conn(&asked, "guest");
        asked.ask(guest, "PART #g");
        assert!(asked.ask(guest, "JOIN #g")[0].contains(" JOIN "));
        assert!(asked.ask(alice, "CS UNBAN #g guest").concat().contains("No ban of #g holds"));
    }

    #[test]
    fn ban_of_a_mask_puts_out_whom_it_keeps_out_and_nobody_else() {
        let (mut asked, alice) = garden();
        let (hal, guest) = (conn(&asked, "hal"), conn(&asked, "guest"));
        let saved = asked.user("saved");
        asked.ask(saved, "JOIN #g");
        asked.ask(alice, "MODE #g +e saved");
        let lines = asked.ask(hal, "CS BAN #g *!*@10.0.0.* go away");
        assert!(lines.concat().contains("Not put out of #g, for their rank: alice hugo"), "{lines:?}");
        assert_eq!(there(&asked), ["alice", "hal", "hugo", "saved"]);
        assert!(asked.ask(guest, "JOIN #g")[0].contains(" 474 "));
        // Speaking alone is no being there.
        asked.ask(hal, "CS UNBAN #g *!*@10.0.0.*");
        asked.ask(guest, "JOIN #g");
        asked.ask(hal, "CS BAN #g mute:guest");
        assert!(there(&asked).contains(&"guest".to_owned()));
    }

    #[test]
    fn ban_of_an_account_that_no_ban_keeps_out_says_so() {
        let (mut asked, alice) = garden();
        let hal = conn(&asked, "hal");
        for (asks, whom, answer) in [
            (hal, "hugo", "No ban keeps the account hugo out of #g, where it is +h: KICK puts them out"),
            (hal, "account:hugo", "No ban keeps the account hugo out of #g"),
            (alice, "hugo", "where it is +h: AMODE #g -h hugo takes that away first"),
            (hal, "account:alice", "They have a higher rank in #g"),
        ] {
            let told = asked.ask(asks, &format!("CS BAN #g {whom}")).concat();
            assert!(told.contains(answer), "{whom}: {told}");
        }
        assert!(bans(&asked).is_empty() && there(&asked).len() == 5);
        asked.ask(alice, "CS AMODE #g -h hugo");
        asked.ask(alice, "CS BAN #g hugo");
        assert_eq!(bans(&asked), ["a:hugo"]);
        assert!(!there(&asked).contains(&"hugo".to_owned()));
    }

    #[test]
    fn status_knows_ones_own_nick_in_any_case() {
        let (mut asked, _) = garden();
        let dave = conn(&asked, "dave");
        let told = asked.ask(dave, "CS STATUS #g DAVE").concat();
        assert!(told.contains("is nothing by account in #g, and there without a rank"), "{told}");
        assert!(asked.ask(dave, "CS STATUS #g hal").concat().contains("no such rights"));
    }

    #[test]
    fn topic_knows_the_words_of_other_services() {
        let (mut asked, alice) = garden();
        let topic = |asked: &Asked| {
            let id = asked.server.network.channel_by_name("#g").unwrap();
            asked.server.network.channels[id].topic.as_ref().map(|topic| topic.text.to_string())
        };
        asked.ask(alice, "CS TOPIC #g roses");
        for (line, answer) in [
            ("CS TOPIC #g LOCK", "There is no lock of topics"),
            ("CS TOPIC #g unlock", "There is no lock of topics"),
            ("CS SET #g TOPICLOCK ON", "There is no lock of topics"),
            ("CS TOPIC #g APPEND more", "sets all of a topic"),
            ("CS TOPIC #g CLEAR", "takes the topic away"),
            ("CS TOPIC #g SET", "That takes: TOPIC"),
        ] {
            let told = asked.ask(alice, line).concat();
            assert!(told.contains(answer), "{line}: {told}");
            assert_eq!(topic(&asked).as_deref(), Some("roses"), "{line}");
        }
        for (line, text) in [("CS TOPIC #g set hello world", Some("hello world")), ("CS TOPIC #g", None)] {
            asked.ask(alice, line);
            assert_eq!(topic(&asked).as_deref(), text, "{line}");
        }
    }

    #[test]
    fn texts_keep_their_spaces() {
        let (mut asked, alice) = garden();
        for line in ["CS TOPIC #g :a  b   c ", "CS TOPIC #g a  b   c", "PRIVMSG ChanServ :TOPIC  #g  SET   a  b   c"] {
            let lines = asked.ask(alice, line);
            assert!(lines[0].ends_with("TOPIC #g :a  b   c"), "{line}: {lines:?}");
        }
        asked.ask(alice, "CS SET #g ENTRYMSG mind  the   gap");
        assert!(asked.ask(alice, "CS GET #g ENTRYMSG").concat().ends_with(" is mind  the   gap"));
        let lines = asked.ask(alice, "CS KICK #g guest go  away");
        assert!(lines[0].ends_with("KICK #g guest :go  away"), "{lines:?}");
    }
}
