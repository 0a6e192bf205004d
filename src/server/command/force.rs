//! SAJOIN, SAPART, SANICK and SAMODE: what an operator does for others, whatever bans, modes and ranks say.

use ircv3::mode::{ModeChange, parse_channel_modes};
use ircv3::numeric::Numeric;
use ircv3::{Message, name};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{join, mode, nick, part, printable};
use crate::server::event::ConnId;
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::policy;
use crate::server::record::Seq;
use crate::server::{Ctx, Server};

/// What is done for someone.
#[derive(Clone, Debug)]
pub enum Force<'a> {
    /// SAJOIN
    Join {
        /// Who.
        nick: &'a str,
        /// A name that a channel may have.
        channel: &'a str,
    },
    /// SAPART
    Part {
        /// Who.
        nick: &'a str,
        /// From where.
        channel: &'a str,
        /// Why.
        reason: Option<&'a str>,
    },
    /// SANICK
    Nick {
        /// Who.
        nick: &'a str,
        /// A nick that is possible.
        new: &'a str,
    },
    /// SAMODE
    Modes {
        /// The channel.
        channel: &'a str,
        /// The changes.
        changes: &'a [ModeChange<'a>],
    },
}

/// `SAJOIN [nick] channel[,channel...]`
pub fn sajoin(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let own = server.network.users[ctx.me()].nick.clone();
    let (nick, channels) = match (line.param(0), line.param(1)) {
        (Some(nick), Some(channels)) => (nick, channels),
        (channels, _) => (&*own, channels.unwrap_or("")),
    };
    for channel in channels.split(',') {
        if name::is_channel(channel, limits::CHANNEL_LEN) {
            server.submit(ctx, Change::Force(Force::Join { nick, channel }));
        } else {
            ctx.reply.numeric(Numeric::ERR_NOSUCHCHANNEL, &[printable(channel)], Some("No such channel"));
        }
    }
}

/// `SAPART nick channel[,channel...] [reason]`
pub fn sapart(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (nick, reason) = (line.param(0).unwrap_or(""), line.param(2).filter(|reason| !reason.is_empty()));
    for channel in line.param(1).unwrap_or("").split(',') {
        server.submit(ctx, Change::Force(Force::Part { nick, channel, reason }));
    }
}

/// `SANICK nick newnick`
pub fn sanick(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (nick, new) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
    let casemapping = server.network.casemapping;
    if !name::is_nick(new, limits::NICK_LEN, casemapping) || policy::is_reserved(new, casemapping) {
        ctx.reply.numeric(Numeric::ERR_ERRONEUSNICKNAME, &[printable(new)], Some("Erroneous nickname"));
        return;
    }
    server.submit(ctx, Change::Force(Force::Nick { nick, new }));
}

/// `SAMODE channel modes [parameters]`
pub fn samode(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (channel, modes) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
    let changes: Vec<ModeChange<'_>> = parse_channel_modes(modes, line.params().skip(2)).collect();
    server.submit(ctx, Change::Force(Force::Modes { channel, changes: &changes }));
}

/// Does it, and tells the operators who want to hear of it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, force: &Force<'_>) {
    let by = server.network.users[ctx.me()].source.clone();
    match *force {
        Force::Join { nick, channel } => {
            let Some(user) = find(server, ctx, nick) else { return };
            if let Some(purge) = server.network.purge(channel) {
                let text =
                    format!("{channel} is closed for good ({}): ChanServ PURGE DEL opens it again", purge.reason);
                ctx.reply.notice(&text);
                return;
            }
            if let Some(id) = server.network.channel_by_name(channel)
                && server.network.channels[id].members.contains_key(&user)
            {
                let nick = server.network.users[user].nick.clone();
                ctx.reply.numeric(Numeric::ERR_USERONCHANNEL, &[&nick, channel], Some("is already on channel"));
                return;
            }
            on_behalf(server, ctx, user, |server, ctx| join::enter(server, ctx, seq, channel));
            // The connection that stood for the user; the others have been told.
            let first = server.network.users[user].sessions.first().copied();
            let own = if ctx.user == Some(user) { Some(ctx.conn) } else { first };
            if let (Some(conn), Some(id)) = (own, server.network.channel_by_name(channel)) {
                server.joined_elsewhere(conn, id);
            }
            server.notify(About::Forced, |_| format!("{by} made {nick} join {channel}"));
        }
        Force::Part { nick, channel, reason } => {
            let Some(user) = find(server, ctx, nick) else { return };
            let inside = server
                .network
                .channel_by_name(channel)
                .is_some_and(|id| server.network.channels[id].members.contains_key(&user));
            if !inside {
                let nick = server.network.users[user].nick.clone();
                let text = "They aren't on that channel";
                ctx.reply.numeric(Numeric::ERR_USERNOTINCHANNEL, &[&nick, printable(channel)], Some(text));
                return;
            }
            on_behalf(server, ctx, user, |server, ctx| part::apply(server, ctx, seq, channel, reason));
            server.notify(About::Forced, |_| format!("{by} made {nick} leave {channel}"));
        }
        Force::Nick { nick, new } => {
            let Some(user) = find(server, ctx, nick) else { return };
            if server.network.user_by_nick(new).is_some_and(|owner| owner != user) {
                ctx.reply.numeric(Numeric::ERR_NICKNAMEINUSE, &[new], Some("Nickname is already in use"));
                return;
            }
            if &*server.network.users[user].nick == new {
                return;
            }
            let there = &server.network.users[user];
            if there.sessions.is_empty() && server.network.fold(new) != there.folded {
                let text = format!(
                    "{} is always on and not connected: it goes by the name of its account until it is back, and then \
                     SANICK gives it another nick; KILL takes it off the network",
                    there.nick
                );
                ctx.reply.notice(&text);
                return;
            }
            on_behalf(server, ctx, user, |server, ctx| nick::rename(server, ctx, seq, user, new));
            server.notify(About::Forced, |_| format!("{by} made {nick} change its nick to {new}"));
        }
        Force::Modes { channel, changes } => {
            mode::apply_forced(server, ctx, seq, channel, changes);
            let text = ircv3::mode::encode(changes);
            server.notify(About::Forced, |_| format!("{by} changed modes of {channel}: {text}"));
        }
    }
}

/// Who has this nick; 401 where nobody has.
fn find(server: &Server, ctx: &mut Ctx, nick: &str) -> Option<UserId> {
    let found = server.network.user_by_nick(nick);
    if found.is_none() {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
    }
    found
}

/// Does something as if `user` had sent it.
fn on_behalf(server: &mut Server, ctx: &mut Ctx, user: UserId, act: impl FnOnce(&mut Server, &mut Ctx)) {
    if ctx.user == Some(user) {
        act(server, ctx);
        return;
    }
    let conn = server.network.users[user].sessions.first().copied().unwrap_or(ConnId::NONE);
    let mut theirs = server.ctx(conn, None);
    theirs.user = Some(user);
    act(server, &mut theirs);
    server.finish(theirs);
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::{Asked, always_on};

    #[test]
    fn whoever_is_always_on_without_a_connection_keeps_its_nick_and_its_channels() {
        let mut asked = Asked::started_with(always_on("#a:o #b:"));
        let boss = asked.user("boss");
        asked.set_oper("boss");
        let lines = asked.ask(boss, "SANICK alice zoe");
        assert!(
            lines.len() == 1 && lines[0].contains(" NOTICE boss :alice is always on and not connected"),
            "{lines:?}"
        );
        let id = asked.id("alice");
        assert_eq!(asked.server.network.users[id].channels.len(), 2);
        // Another way to write it is no other nick.
        assert_eq!(asked.ask(boss, "SANICK alice Alice"), Vec::<String>::new());
        assert_eq!(&*asked.server.network.users[id].nick, "Alice");
        asked.ask(boss, "KILL alice :enough");
        assert!(asked.server.network.user_by_nick("alice").is_none());
    }

    #[test]
    fn an_operator_does_for_others_what_they_may_not_do_themselves() {
        let mut asked = Asked::new();
        let (alice, bob, carol) = (asked.user("alice"), asked.user("bob"), asked.user("carol"));
        asked.ask(carol, "JOIN #a");
        asked.ask(carol, "MODE #a +ik key");
        assert!(asked.ask(bob, "SAJOIN bob #a")[0].contains(" 481 bob "));
        asked.set_oper("alice");
        assert_eq!(asked.ask(alice, "SAJOIN bob #a"), Vec::<String>::new());
        assert_eq!(asked.heard(carol), [":bob!~u@10.0.0.1 JOIN #a"]);
        assert!(
            asked.heard(bob)[0].ends_with(" JOIN #a") && asked.heard(bob).iter().any(|line| line.contains(" 366 "))
        );
        assert!(asked.ask(alice, "SAJOIN bob #a")[0].contains(" 443 alice bob #a "));
        // Ranks do not count, and the operator need not be inside.
        assert_eq!(asked.ask(alice, "SAMODE #a +o-o bob carol"), [":alice!~u@10.0.0.1 MODE #a +o-o bob carol"]);
        assert_eq!(asked.heard(carol), [":alice!~u@10.0.0.1 MODE #a +o-o bob carol"]);
        asked.ask(alice, "SANICK bob robert");
        assert_eq!(asked.heard(bob), [":bob!~u@10.0.0.1 NICK robert"]);
        assert_eq!(asked.heard(carol), [":bob!~u@10.0.0.1 NICK robert"]);
        assert!(asked.ask(alice, "SANICK robert carol")[0].contains(" 433 alice carol "));
        asked.ask(alice, "SAPART robert #a :enough");
        assert_eq!(asked.heard(bob), [":robert!~u@10.0.0.1 PART #a :enough"]);
        assert!(asked.ask(alice, "SAPART robert #a")[0].contains(" 441 alice robert #a "));
        assert!(asked.ask(alice, "SAPART nobody #a")[0].contains(" 401 alice nobody "));
        assert!(asked.ask(alice, "SAJOIN bob a")[0].contains(" 403 alice a "));
        asked.server.check().unwrap_or_else(|fault| panic!("{fault}"));
    }
}
