//! ChanServ: registered channels, and who is what in them.

pub mod amode;
pub mod clear;
pub mod deed;
pub mod howtoban;
pub mod info;
pub mod op;
pub mod purge;
pub mod register;
pub mod set;
pub mod transfer;

use std::sync::Arc;

use bytes::Bytes;
use ircv3::extban::{Entry, Subject};
use ircv3::message::write_line;
use ircv3::mode::{Rank, Ranks};

use crate::server::command::oper;
use crate::server::command::services::nickserv::erase;
use crate::server::command::services::{Elsewhere, Row, own_account, quoted, rows, say, tell_account};
use crate::server::command::{join, mode, services};
use crate::server::event::ConnId;
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, UserId};
use crate::server::notice::About;
use crate::server::policy;
use crate::server::record::{AccountId, ListRow, Record, Seq};
use crate::server::right::Right;
use crate::server::setting::ChannelSettings;
use crate::server::{Ctx, Server};

/// Its commands, by name.
pub const ROWS: &[Row] = rows! {
    "AMODE", 1 LoggedInOr(Ban) amode::run, "<#channel> [+|-letter account]",
        "lists or changes what accounts are in your channel whenever they join",
        "Letters: a (admin), o (operator), h (halfop), v (voice); give and take those below your own, and give up your own",
        "Operators with the right \"ban\" may list those of others' channels";
    "BAN", 2..3 LoggedIn deed::ban, "<#channel> <nick|mask> [reason]",
        "keeps someone out of your channel, and puts them out",
        "Of a nick it is the account, or else the host. For accounts that AMODE has given halfop, and those above them",
        "A mask puts out all whom it fits, but you, those of a higher rank, and those whom no ban keeps out: accounts that are \
         halfop or more by AMODE";
    "CLEAR", 2 LoggedIn clear::run, "<#channel> USERS|ACCESS|HISTORY [code]",
        "USERS removes everyone from your channel, ACCESS everything of AMODE and all lists, HISTORY what was said",
        "Without a code you are told the code to confirm ACCESS and HISTORY with; nothing brings them back";
    "DEHALFOP", 1 LoggedIn op::dehalfop, "<#channel> [nick]",
        "takes halfop from someone, or from you";
    "DEOP", 1 LoggedIn op::deop, "<#channel> [nick]",
        "takes operator from someone, or from you";
    "DEVOICE", 1 LoggedIn op::devoice, "<#channel> [nick]",
        "takes voice from someone, or from you";
    "DROP" | "UNREGISTER", 1 LoggedInOr(Ban) register::drop, "<#channel> [code]",
        "ends the registration of your channel",
        "Where more is lost by it than REGISTER gives back to you, you are told a code to confirm it with",
        "Operators with the right \"ban\" may end that of others' channels; the founder is told",
        "What not everybody in it could read (HISTORY-CUTOFF, HISTORY OFF) nobody reads after that";
    "GET", 1 Anyone set::get, "<#channel> [setting]",
        "shows the settings of a channel, or one of them";
    "GETKEY", 1 LoggedIn deed::get_key, "<#channel>",
        "tells you the key of your channel";
    "HALFOP", 1 LoggedIn op::halfop, "<#channel> [nick]",
        "makes you, or someone else, halfop of your channel";
    "HOWTOBAN", 2 LoggedIn howtoban::run, "<#channel> <nick>",
        "says which ban keeps someone out";
    "INFO", 1 Anyone info::info, "<#channel>",
        "tells about a channel";
    "INVITE", 1 LoggedIn deed::invite, "<#channel> [nick]",
        "lets you, or someone else, into your channel";
    "KICK", 2..3 LoggedIn deed::kick, "<#channel> <nick> [reason]",
        "puts someone out of your channel";
    "LIST", 0 Operator(Ban) info::list, "[mask]",
        "lists registered channels";
    "OP", 1 LoggedIn op::op, "<#channel> [nick]",
        "makes you, or someone else, operator of your channel",
        "For its founder, and for accounts that AMODE has given operator";
    "PURGE", 1..3 Operator(Ban) purge::run, "ADD <#channel> [reason] | DEL <#channel> | LIST",
        "closes a channel for good: nobody may join it or register it";
    "REGISTER", 1 Anyone register::register, "<#channel>",
        "registers a channel that you are operator of";
    "SET", 3..3 Anyone set::set, "<#channel> <setting> <value>",
        "changes a setting of your channel; HELP SET lists them",
        "For its founder, and for accounts that AMODE has given admin",
        "DESCRIPTION, URL, EMAIL text|OFF: what the channel is about, shown by INFO",
        "ENTRYMSG text|OFF: what whoever joins is told",
        "EXPIRE ON|OFF: whether it may lapse when nobody uses it (operators only)",
        "HISTORY ON|OFF: whether what is said is kept; while it is OFF, nobody reads what was kept before, either",
        "HISTORY-RETENTION 30d|1h|1000|30d,1000|DEFAULT: for how long, and how many messages; less than the server, never more",
        "HISTORY-CUTOFF NONE|REGISTRATION|JOIN: whether members read all of it, or from when their account was registered, or they joined; halfops and above of AMODE read all",
        "HISTORY-EVENTS ALL|NONE|join,part,quit,kick,mode,topic,nick: which events are kept beside what is said",
        "KEEPTOPIC ON|OFF: whether the topic outlives the last member",
        "SUCCESSOR account|OFF: whose it is once your account is no more, unless that one is suspended then";
    "STATUS", 1 LoggedIn deed::status, "<#channel> [nick]",
        "tells what you, or someone else, are in your channel";
    "TOPIC", 1..2 LoggedIn deed::topic, "<#channel> [text]",
        "sets the topic of your channel, or takes it away",
        "The text may have SET before it, as with other services";
    "TRANSFER", 2 LoggedInOr(Ban) transfer::run, "<#channel> <account> [code] | ACCEPT <#channel> | CANCEL <#channel>",
        "gives your channel to another account, which has to accept it",
        "Nobody keeps the rank of a founder but them, and your SUCCESSOR is none of theirs",
        "Without a code you are told the code to confirm it with",
        "Operators with the right \"ban\" may hand on the channel of a founder who is gone; that one is told";
    "UNBAN", 1 LoggedIn deed::unban, "<#channel> [nick|mask]",
        "takes the bans away that keep you, or someone else, out of your channel";
    "UP", 1 LoggedIn op::up, "<#channel>",
        "gives you all that your account is in your channel";
    "VOICE", 1 LoggedIn op::voice, "<#channel> [nick]",
        "gives you, or someone else, voice in your channel";
};

/// What ChanServ does elsewhere.
pub const ELSEWHERE: &[Elsewhere] = &[
    (
        &["ACCESS", "FLAGS", "LEVELS", "QOP", "SOP", "AOP", "HOP", "VOP", "XOP"],
        "AMODE <#channel> +o <account> makes an account operator whenever it joins, and -o not any more; a, h and v as well. \
         AMODE <#channel> lists them",
    ),
    (&["AKICK"], "BAN <#channel> <nick|mask> [reason] keeps someone out and puts them out; UNBAN takes it back"),
    (
        &["TOPIC LOCK", "TOPIC UNLOCK", "SET TOPICLOCK"],
        "There is no lock of topics: /mode <#channel> +t lets halfops and those above them alone change the topic, and \
         SET <#channel> KEEPTOPIC ON keeps it while nobody is there. /topic sets one that begins with that word",
    ),
    (
        &["TOPIC APPEND", "TOPIC PREPEND", "APPENDTOPIC", "TOPICAPPEND", "TOPICPREPEND", "TOPICSWAP"],
        "TOPIC <#channel> <text> sets all of a topic, and /topic <#channel> shows what it is now. /topic sets one that \
         begins with that word, too",
    ),
    (
        &["TOPIC CLEAR"],
        "TOPIC <#channel> with nothing behind it takes the topic away. /topic sets one that begins with that word",
    ),
    (
        &["MLOCK", "SET MLOCK"],
        "There is no lock of modes: a registered channel keeps those that it has, as /mode sets them",
    ),
    (&["MODE"], "/mode <#channel> changes modes; UP <#channel> makes you operator first, where you are one"),
    (
        &["OWNER", "PROTECT", "ADMIN", "SYNC"],
        "UP <#channel> gives you all that your account is; AMODE <#channel> +a <account> makes an admin",
    ),
    (
        &["SEEN"],
        "/whowas <nick> tells who had a nick lately, and NickServ INFO <account> since when there is an account",
    ),
    (&["DOWN"], "DEOP <#channel>, DEHALFOP and DEVOICE take away what you are; UP gives it back"),
    (&["ENTRYMSG"], "SET <#channel> ENTRYMSG <text> does that here, and OFF takes it away"),
    (
        &["SET PERSIST", "SET RESTRICTED", "SET SECURE", "SET PEACE", "SET AUTOOP"],
        "There is no such setting: a registered channel stays while it is empty, /mode <#channel> +i lets in whom you invite, \
         and what AMODE gives is given on joining",
    ),
    (&["SET DESC"], "SET <#channel> DESCRIPTION <text> does that here"),
    (&["WHY"], "STATUS <#channel> [nick] tells what somebody is there, and AMODE <#channel> whom it gives what"),
    (&["SET FOUNDER"], "TRANSFER <#channel> <account> gives your channel to another account"),
];

/// What it speaks as.
const SOURCE: &str = "ChanServ!ChanServ@services";

/// The channel that a command names, if the client may know of it.
fn channel_named(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let known = channel_known(server, ctx, name);
    if known.is_none() {
        say(ctx, "ChanServ", &format!("There is no channel {}", quoted(name)));
    }
    known
}

/// The channel of this name, if the client may know of it.
fn channel_known(server: &Server, ctx: &Ctx, name: &str) -> Option<ChannelId> {
    let seen = policy::channel_seen(&server.network, oper::viewer(server, ctx), name);
    // Whoever is something in a secret channel knows of it.
    let own = server.network.channel_by_name(name).filter(|id| {
        let account = own_account(server, ctx);
        server.network.channels[*id].standing(account).is_some()
    });
    seen.or(own)
}

/// The registered channel that a command names, if the client may know of it.
fn registered_channel(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let id = channel_named(server, ctx, name)?;
    let channel = &server.network.channels[id];
    if channel.founder.is_none() {
        say(ctx, "ChanServ", &format!("Channel {} is not registered; REGISTER does that", channel.name));
        return None;
    }
    Some(id)
}

/// The channel that a command names, if it is registered to the sender's account.
fn own_channel(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let id = channel_named(server, ctx, name)?;
    let channel = &server.network.channels[id];
    let account = server.network.users[ctx.me()].account;
    if channel.founder.is_none() || channel.founder != account {
        let text = format!("Channel {} is not registered to your account", channel.name);
        say(ctx, "ChanServ", &text);
        return None;
    }
    Some(id)
}

/// The channel that a command names, if it is the sender's to give away or to end: its founder's, or an operator's who
/// sees to it in their place.
fn channel_to_settle(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let others = server.network.channel_by_name(name).filter(|id| founder_acted_for(server, ctx, *id).is_some());
    others.or_else(|| own_channel(server, ctx, name))
}

/// Whose a channel is, where it is not the sender's, who is an operator that sees to it in their place.
fn founder_acted_for(server: &Server, ctx: &Ctx, id: ChannelId) -> Option<AccountId> {
    let own = server.network.users[ctx.me()].account;
    let founder = server.network.channels[id].founder.filter(|founder| Some(*founder) != own);
    founder.filter(|_| oper::has(server, ctx, Right::Ban))
}

/// Whether the code is there that says that a command is meant which deletes something of a channel.
fn is_meant(server: &Server, ctx: &mut Ctx, id: ChannelId, (verb, rest): (&str, &str), given: Option<&&str>) -> bool {
    let channel = &server.network.channels[id];
    let command = format!("{verb} {}{rest}", channel.name);
    // One that is registered after this has another.
    let what = format!("{verb} {}{rest} {}", channel.folded.as_str(), channel.registered);
    erase::is_meant(server, ctx, "ChanServ", &command, &what, given)
}

/// Tells whoever uses an account.
fn tell(server: &mut Server, account: AccountId, after: Seq, text: &str) {
    tell_account(server, "ChanServ", account, after, text);
}

/// The channel that a command names, if the sender's account is at least this in it.
fn channel_with(server: &Server, ctx: &mut Ctx, name: &str, least: Rank) -> Option<(ChannelId, Rank)> {
    let id = registered_channel(server, ctx, name)?;
    let channel = &server.network.channels[id];
    let standing = channel.standing(own_account(server, ctx)).filter(|rank| *rank >= least);
    if standing.is_none() {
        let text = format!("Your account has no such rights in {}; AMODE of its founder's gives them", channel.name);
        say(ctx, "ChanServ", &text);
    }
    Some((id, standing?))
}

/// The account of this name, if a channel or a rank can be given to it.
fn account_named(server: &Server, ctx: &mut Ctx, name: &str) -> Option<(AccountId, Arc<str>)> {
    let row = services::account_named(server, ctx, "ChanServ", name)?;
    if !row.verified {
        say(ctx, "ChanServ", &format!("The account {} waits for the code that was mailed to it", row.name));
        return None;
    }
    Some((row.id, row.name))
}

/// Whether somebody is more in a channel than an account of this rank: by their own account, or as they are there.
fn outranks(server: &Server, id: ChannelId, user: UserId, standing: Rank) -> bool {
    let channel = &server.network.channels[id];
    let by_account = channel.standing(server.network.users[user].account);
    let there = channel.ranks(user).and_then(Ranks::highest);
    by_account.max(there) > Some(standing)
}

/// Gives a member ranks or takes them, and shows it; whether that changed anything.
fn change_ranks(
    server: &mut Server,
    ctx: &mut Ctx,
    (id, user): (ChannelId, UserId),
    ranks: Ranks,
    give: bool,
    after: Seq,
) -> bool {
    let nick = server.network.users[user].nick.clone();
    let channel = &mut server.network.channels[id];
    let Some(own) = channel.members.get_mut(&user) else { return false };
    let mut changed = Ranks::default();
    for rank in ranks.iter().filter(|rank| own.has(*rank) != give).collect::<Vec<_>>() {
        if give {
            own.insert(rank);
        } else {
            own.remove(rank);
        }
        changed.insert(rank);
    }
    if changed.is_empty() {
        return false;
    }
    if give {
        join::distinguish(server, id, user);
    }
    let after = after.max(server.keep_presence(user));
    let line = mode::ranks_line(SOURCE, &server.network.channels[id].name, &nick, changed, give);
    announce(server, ctx, id, after, line);
    if give {
        mode::show_hidden(server, id, user);
    }
    true
}

/// The ranks that a member has who comes in with this standing.
pub fn ranks_of(standing: Rank) -> Ranks {
    let mut ranks = Ranks::of(standing);
    if standing > Rank::Op {
        ranks.insert(Rank::Op);
    }
    ranks
}

/// `+r` or `-r`.
fn announce_registered(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq, modes: &str) {
    let mut line = Vec::with_capacity(64);
    write_line(&mut line, SOURCE, "MODE", &[&server.network.channels[id].name, modes], None);
    announce(server, ctx, id, after, Bytes::from(line));
}

/// MODE to the channel and to the sender if it is in it.
fn announce(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq, line: Bytes) {
    let mut frame = Frame::plain(server.clock(), line);
    frame.after = after;
    let frame = Arc::new(frame);
    server.frame_to_channel(id, frame.clone(), Some(ctx.conn));
    if ctx.user.is_some_and(|user| server.network.channels[id].members.contains_key(&user)) {
        ctx.reply.frame(&frame);
    }
}

/// A NOTICE from ChanServ to everyone in a channel.
fn announce_text(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq, text: &str) {
    let mut line = Vec::with_capacity(256);
    write_line(&mut line, SOURCE, "NOTICE", &[&server.network.channels[id].name], Some(text));
    announce(server, ctx, id, after, Bytes::from(line));
}

/// Ends the registration of a channel, and shows it; whether nobody reads any more what was said until now.
fn release(server: &mut Server, ctx: &mut Ctx, seq: Seq, id: ChannelId) -> bool {
    // What is past its time by the channel's own settings is gone, whether the store has come to it or not.
    server.delete_overdue_of(id);
    let sealed = server.end_own_retention(id, seq);
    let channel = &mut server.network.channels[id];
    channel.founder = None;
    channel.registered = 0;
    channel.transfer = None;
    channel.access.clear();
    // What was cleared stays so for whoever is there.
    channel.settings = ChannelSettings { cleared: channel.settings.cleared, ..ChannelSettings::default() };
    let folded = channel.folded.clone();
    server.keep(seq, Record::ChannelGone(folded.as_str().into()));
    if server.network.channels[id].is_kept() {
        // Without what was its founder's to say.
        server.keep_whole_channel(id, seq);
    }
    let after = server.wait_for(seq);
    ctx.reply.after = ctx.reply.after.max(after);
    announce_registered(server, ctx, id, after, "-r");
    settle_founder(server, ctx, id, after);
    sealed
}

/// A channel has another founder, or none any more. Founder is nobody else, whoever was made it by the one before; where
/// there is none, whoever was more than an operator is that.
fn settle_founder(server: &mut Server, ctx: &mut Ctx, id: ChannelId, after: Seq) {
    let founder = server.network.channels[id].founder;
    let members: Vec<UserId> = server.network.channels[id].members.keys().copied().collect();
    for user in members {
        if founder.is_some() && server.network.users[user].account == founder {
            change_ranks(server, ctx, (id, user), ranks_of(Rank::Founder), true, after);
            continue;
        }
        let mut above = Ranks::of(Rank::Founder);
        if founder.is_none() {
            above.insert(Rank::Admin);
            if server.network.channels[id].ranks(user).is_some_and(|ranks| ranks.at_least(Rank::Admin)) {
                change_ranks(server, ctx, (id, user), Ranks::of(Rank::Op), true, after);
            }
        }
        change_ranks(server, ctx, (id, user), above, false, after);
    }
}

/// A channel is another account's now, which is founder of it and nothing beside that. What the founder before had settled
/// for the channel's future is over.
fn hand_on(server: &mut Server, seq: Seq, id: ChannelId, heir: AccountId) -> Seq {
    let channel = &mut server.network.channels[id];
    channel.founder = Some(heir);
    channel.transfer = None;
    if channel.access.remove(&heir).is_some() {
        let folded = channel.folded.as_str().into();
        server.keep(seq, Record::AccessGone(folded, heir));
    }
    if server.network.channels[id].settings.successor.is_some() {
        server.put_channel_setting(id, seq, "successor", None);
    }
    server.keep_channel(id, seq)
}

/// A channel goes to its founder's successor.
fn succeed(server: &mut Server, ctx: &mut Ctx, seq: Seq, id: ChannelId, heir: AccountId) {
    let after = hand_on(server, seq, id, heir);
    let name = server.network.channels[id].name.clone();
    let heir_name = server.network.account(heir).map(|row| row.name.clone()).unwrap_or_default();
    server.log(false, format!("channel {name} went to {heir_name}, its founder's successor"));
    server.notify(About::Channels, |_| format!("{name} is {heir_name}'s now, its founder's successor"));
    settle_founder(server, ctx, id, after);
}

/// Ends the registration of a channel that nobody uses.
pub fn lapse(server: &mut Server, ctx: &mut Ctx, seq: Seq, id: ChannelId) {
    release(server, ctx, seq, id);
    server.network.drop_channel_if_empty(id);
}

/// Takes the entries that let an account in off the lists of a channel: they would whoever takes the name next. Bans stay,
/// for that may be who was banned.
fn strike(server: &mut Server, ctx: &mut Ctx, seq: Seq, id: ChannelId, account: &str) {
    let casemapping = server.network.casemapping;
    let is_its = |mask: &str| {
        let entry = Entry::read(mask);
        entry.subject == Some(Subject::Account) && casemapping.same(entry.mask, account)
    };
    let channel = &server.network.channels[id];
    let (folded, is_kept): (Box<str>, bool) = (channel.folded.as_str().into(), channel.is_kept());
    let lists = [&channel.excepts, &channel.invexes];
    if !lists.into_iter().flatten().any(|entry| is_its(&entry.mask)) {
        return;
    }
    let gone = channel.list_rows().into_iter().filter(|row| row.mode != 'b' && is_its(&row.mask));
    let gone: Vec<ListRow> = gone.collect();
    for row in &gone {
        if let Some(list) = server.network.channels[id].list_mut(row.mode) {
            list.retain(|entry| entry.mask != row.mask);
        }
        if is_kept {
            server.keep(seq, Record::ListEntryGone(folded.clone(), row.mode, row.mask.clone()));
        }
    }
    let after = if is_kept { server.wait_for(seq) } else { 0 };
    for row in gone {
        let (name, mode) = (server.network.channels[id].name.clone(), format!("-{}", row.mode));
        let mut line = Vec::with_capacity(96);
        write_line(&mut line, SOURCE, "MODE", &[&name, &mode, &row.mask], None);
        announce(server, ctx, id, after, Bytes::from(line));
    }
}

/// An account is no more: nor are its channels registered, nor is it anything in others.
pub fn forget_account(server: &mut Server, seq: Seq, account: AccountId) {
    let mut nobody = server.ctx(ConnId::NONE, None);
    let name = server.network.account(account).map(|row| row.name.clone()).unwrap_or_default();
    let all: Vec<ChannelId> = server.network.channels.iter().map(|(id, _)| id).collect();
    for id in all {
        strike(server, &mut nobody, seq, id, &name);
        let channel = &mut server.network.channels[id];
        if channel.transfer == Some(account) {
            channel.transfer = None;
            server.keep_channel(id, seq);
        }
        let channel = &mut server.network.channels[id];
        if channel.settings.successor == Some(account) {
            server.put_channel_setting(id, seq, "successor", None);
        }
        let heir = server.network.heir(id);
        let channel = &mut server.network.channels[id];
        if let (true, Some(heir)) = (channel.founder == Some(account), heir) {
            succeed(server, &mut nobody, seq, id, heir);
        } else if channel.founder == Some(account) {
            release(server, &mut nobody, seq, id);
            server.network.drop_channel_if_empty(id);
        } else if channel.access.remove(&account).is_some() {
            let folded = channel.folded.as_str().into();
            server.keep(seq, Record::AccessGone(folded, account));
        }
    }
}
