//! NICK (Modern IRC, "NICK message").

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::write_line;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Casemapping, name};

use crate::limits;
use crate::server::change::{Change, Happened};
use crate::server::command::{monitor, printable};
use crate::server::network::{Identity, UserId};
use crate::server::notice::About;
use crate::server::policy::{self, NickHeld};
use crate::server::record::{Kind, Seq};
use crate::server::{Ctx, Server};

/// Why a nick is refused that is not in use.
pub const LOOKS_LIKE_ANOTHER: &str = "Nickname looks like another that is in use or registered; choose another";

/// Why the nick of an account is refused to a connection that registers without it.
pub const IS_RESERVED: &str = "Nickname is reserved for its account; log in with SASL or PASS account:password";

/// Why nobody may have the nick of a service.
pub const IS_SERVICE: &str = "Nickname is that of a service; choose another";

/// NICK
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let nick = line.param(0).unwrap_or("");
    if nick.is_empty() {
        ctx.reply.numeric(Numeric::ERR_NONICKNAMEGIVEN, &[], Some("No nickname given"));
        return;
    }
    let casemapping = server.network.casemapping;
    if !name::is_nick(nick, limits::NICK_LEN, casemapping) && !policy::is_service(nick, casemapping) {
        let (most, letters) = (limits::NICK_LEN, name::nick_letters(casemapping));
        let text = match casemapping {
            Casemapping::Precis => format!("Erroneous nickname: at most {most} bytes of {letters}"),
            _ => format!("Erroneous nickname: at most {most} of {letters}"),
        };
        ctx.reply.numeric(Numeric::ERR_ERRONEUSNICKNAME, &[printable(nick)], Some(&text));
        return;
    }
    match ctx.user {
        Some(_) => {
            server.submit(ctx, Change::Nick { nick });
        }
        None => before_registration(server, ctx, nick),
    }
}

fn before_registration(server: &mut Server, ctx: &mut Ctx, nick: &str) {
    let Some(session) = server.session(ctx.conn) else { return };
    // Whoever has the nick may be this client's own account, which it is about to log in to: with
    // negotiation open, that is decided when registration completes.
    let negotiating = session.registration.as_ref().is_some_and(|registration| registration.negotiating);
    if let Some(owner) = server.network.user_by_nick(nick) {
        let mine = session.account.is_some() && server.network.users[owner].account == session.account;
        let may_become_mine = negotiating && server.network.users[owner].account.is_some();
        let by_password =
            session.registration.as_ref().and_then(|r| r.password.as_deref()).is_some_and(|p| p.contains(':'));
        if !mine && !may_become_mine && !by_password {
            let reserved = policy::nick_reserved(&server.network, nick, session.account);
            if let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
                registration.refused = true;
            }
            let text = if reserved { IS_RESERVED } else { "Nickname is already in use" };
            ctx.reply.numeric(Numeric::ERR_NICKNAMEINUSE, &[nick], Some(text));
            return;
        }
    }
    if let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
        registration.nick = Some(nick.into());
        ctx.reply.nick = nick.into();
    }
    server.try_register(ctx);
}

/// Gives the sender another nick, where it may have it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, nick: &str) {
    let user = ctx.me();
    let there = &server.network.users[user];
    if &*there.nick == nick {
        return;
    }
    // Whether its account is here or not: its owner may come back any time.
    let is_service = policy::is_reserved(nick, server.network.casemapping);
    if policy::nick_reserved(&server.network, nick, there.account) {
        let text = if is_service { IS_SERVICE } else { "Nickname is reserved for its account: log in to it first" };
        if ctx.reply.caps.has(Cap::StandardReplies) {
            ctx.reply.fail("NICK", "NICKNAME_RESERVED", &[nick], text);
        } else {
            // Not 433: that sends a client looking for another nick by itself.
            let how = if is_service { "" } else { " (/msg NickServ IDENTIFY account password)" };
            ctx.reply.notice(&format!("{nick}: {text}{how}"));
        }
        return;
    }
    if server.network.user_by_nick(nick).is_some_and(|owner| owner != user) {
        ctx.reply.numeric(Numeric::ERR_NICKNAMEINUSE, &[nick], Some("Nickname is already in use"));
        return;
    }
    if policy::nick_is_like_another(&server.network, nick, there.account, Some(user)) {
        ctx.reply.numeric(Numeric::ERR_NICKNAMEINUSE, &[nick], Some(LOOKS_LIKE_ANOTHER));
        return;
    }
    let another = server.network.fold(nick) != there.folded;
    match policy::nick_held(&server.network, user).filter(|_| another) {
        Some(NickHeld::Banned(channel)) => {
            let name = &server.network.channels[channel].name;
            let text = "Cannot change nickname while banned on channel; leave it first";
            ctx.reply.numeric(Numeric::ERR_BANONCHAN, &[nick, name], Some(text));
            return;
        }
        Some(NickHeld::NoChange(channel)) => {
            let name = &server.network.channels[channel].name;
            let text = format!("Cannot change nickname while on {name} (+N is set); leave it first");
            ctx.reply.numeric(Numeric::ERR_NONICKCHANGE, &[], Some(&text));
            return;
        }
        None => {}
    }
    rename(server, ctx, seq, user, nick);
}

/// Gives a user another nick and tells everyone whom it concerns. The nick is free, and that of its account where the user
/// has no connection: under another nobody stays without one.
pub fn rename(server: &mut Server, ctx: &mut Ctx, seq: Seq, user: UserId, nick: &str) {
    let there = &server.network.users[user];
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &there.source, "NICK", &[nick], None);
    let kept = there.account.is_some();
    let channels = there.channels.clone();
    let mut frame = server.frame_from(user, line);
    if kept {
        for channel in channels {
            // What only some were shown is not in history.
            if server.network.channels[channel].unshown.contains(&user) {
                continue;
            }
            server.keep_event(
                &mut frame,
                channel,
                user,
                seq,
                Happened { kind: Kind::Nick, argument: None, text: nick },
            );
        }
    }
    server.notify(About::Nicks, |server| {
        let there = &server.network.users[user];
        format!("{} ({}@{}) is now {nick}", there.nick, there.user, there.host)
    });
    let clock = server.clock();
    if !kept {
        let new = Identity::Guest(server.network.fold(nick));
        server.take_talks_along(seq, user, &new, nick);
    }
    let (old_folded, old_nick) = (server.network.users[user].folded.clone(), server.network.users[user].nick.clone());
    server.network.rename_user(user, nick, clock);
    if server.network.users[user].folded != old_folded {
        // What was said under the new nick before was said to, and by, someone else.
        server.network.users[user].since = seq;
        if !server.network.users[user].sessions.is_empty() {
            server.network.users[user].former_nick = None;
        }
    }
    frame.after = frame.after.max(server.keep_presence(user));
    let neighbours = server.network.neighbours(user);
    ctx.reply.frame(&frame);
    server.frame_to_users(&neighbours, Arc::new(frame), Some(ctx.conn));
    ctx.reply.nick = nick.into();
    let there = &server.network.users[user];
    let (folded, source) = (there.folded.clone(), there.source.clone());
    if folded != old_folded {
        monitor::changed(server, Some(ctx), &old_folded, &old_nick, None);
        monitor::changed(server, Some(ctx), &folded, nick, Some(&source));
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn who_takes_a_nick_that_it_watches_is_told_of_its_nick_first() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "MONITOR + bob,alice");
        let lines = asked.ask(alice, "NICK bob");
        let expected =
            [":alice!~u@10.0.0.1 NICK bob", ":irc.test 731 bob :alice", ":irc.test 730 bob :bob!~u@10.0.0.1"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn whoever_is_banned_and_inside_keeps_its_nick() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        asked.ask(alice, "MODE #a +b bob!*@*");
        let refused = ":irc.test 435 bob bobby #a :Cannot change nickname while banned on channel; leave it first";
        assert_eq!(asked.ask(bob, "NICK bobby"), [refused]);
        assert_eq!(asked.ask(bob, "NICK Bob"), [":bob!~u@10.0.0.1 NICK Bob"]);
        asked.ask(alice, "MODE #a +v bob");
        assert_eq!(asked.ask(bob, "NICK bobby"), [":Bob!~u@10.0.0.1 NICK bobby"]);
        asked.ask(alice, "MODE #a +b bobby!*@*");
        asked.ask(alice, "MODE #a -v bobby");
        asked.ask(bob, "PART #a");
        assert_eq!(asked.ask(bob, "NICK free"), [":bobby!~u@10.0.0.1 NICK free"]);
    }

    #[test]
    fn a_guest_that_takes_a_nick_does_not_come_into_what_was_said_under_it() {
        let mut asked = Asked::new();
        let mallory = asked.user("mallory");
        let before = asked.server.network.users[asked.id("mallory")].since;
        // Someone else had the nick meanwhile.
        let bob = asked.user("bob");
        let came = asked.server.network.users[asked.id("bob")].since;
        asked.ask(bob, "QUIT");
        asked.ask(mallory, "NICK bob");
        let floor = asked.server.network.users[asked.id("bob")].since;
        assert!(before < came && came < floor, "{before} {came} {floor}");
        // Another way to write one's own nick takes nothing away.
        asked.ask(mallory, "NICK BOB");
        assert_eq!(asked.server.network.users[asked.id("bob")].since, floor);
    }
}
