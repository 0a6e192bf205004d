//! CHGHOST and SETHOST, commands of operators, and what others are told of a changed host
//! (<https://ircv3.net/specs/extensions/chghost>).

use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::write_line;
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};
use smallvec::smallvec;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::{join, mode, monitor, printable};
use crate::server::frame::{Form, Frame, Tagged};
use crate::server::network::{ChannelId, UserId};
use crate::server::notice::About;
use crate::server::registration::form_for;
use crate::server::user::source;
use crate::server::{Ctx, Server};

/// `CHGHOST nick host`
pub fn chghost(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    ask(server, ctx, line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
}

/// `SETHOST host`
pub fn sethost(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let own = server.network.users[ctx.me()].nick.clone();
    ask(server, ctx, &own, line.param(0).unwrap_or(""));
}

fn ask(server: &mut Server, ctx: &mut Ctx, nick: &str, host: &str) {
    if is_shown_host(host) {
        server.submit(ctx, Change::Host { nick, host });
    } else {
        let text = format!(
            "{host:?} is no host: give 1 to {} letters, digits, and . - _ : /, not beginning with a colon",
            limits::HOST_LEN
        );
        ctx.reply.notice(&text);
    }
}

/// Whether people may be shown by it.
pub fn is_shown_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/".contains(&byte);
    !host.is_empty() && host.len() <= limits::HOST_LEN && !host.starts_with(':') && host.bytes().all(fits)
}

/// Changes the host that others see of a user.
pub fn apply(server: &mut Server, ctx: &mut Ctx, nick: &str, host: &str) {
    let Some(user) = server.network.user_by_nick(nick) else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        return;
    };
    let by = server.network.users[ctx.me()].source.clone();
    server.to_judge.push(user);
    set(server, ctx, user, host);
    let nick = server.network.users[user].nick.clone();
    if ctx.user != Some(user) {
        ctx.reply.notice(&format!("{nick} is shown as {host} now"));
    }
    server.notify(About::Vhosts, |_| format!("{by} changed the host of {nick} to {host}"));
}

/// Gives a user another host and tells whom it concerns: CHGHOST to those who negotiated it, QUIT and JOIN to
/// the others where the configuration asks for it, and 396 to the user itself.
pub fn set(server: &mut Server, ctx: &mut Ctx, user: UserId, host: &str) {
    let there = &mut server.network.users[user];
    if &*there.host == host {
        return;
    }
    let before = there.source.clone();
    let former = std::mem::replace(&mut there.host, host.into());
    there.was_shown_by(former);
    there.former_hosts.retain(|former| **former != *host);
    there.source = source(&there.nick, &there.user, host);
    let mut line = Vec::with_capacity(96);
    write_line(&mut line, &before, "CHGHOST", &[&there.user, host], None);
    let mut frame = server.frame_from(user, Vec::new());
    // A host that is kept is shown to nobody before it is.
    ctx.reply.after = ctx.reply.after.max(server.keep_presence(user));
    frame.after = ctx.reply.after;
    frame.forms = smallvec![form_for(Cap::Chghost, line)];
    let own = frame.clone();
    let rejoin = server.settings.rejoin_on_host_change;
    if rejoin {
        let mut line = Vec::with_capacity(96);
        write_line(&mut line, &before, "QUIT", &[], Some("Changing host"));
        frame.forms.push(without_chghost(CapSet::EMPTY, vec![line]));
    }
    let mut others = server.network.neighbours(user);
    others.retain(|other| *other != user);
    let frame = Arc::new(frame);
    server.frame_to_users(&others, frame, None);
    let own = Arc::new(own);
    monitor::extend(server, user, &own, &others);
    if rejoin {
        for channel in server.network.users[user].channels.clone() {
            come_back(server, channel, user);
        }
    }
    // 396 is a numeric of the connection's own; the sender's goes where its other answers are.
    for conn in server.network.users[user].sessions.clone() {
        if conn == ctx.conn {
            ctx.reply.frame(&own);
            ctx.reply.numeric(Numeric::RPL_HOSTHIDDEN, &[host], Some("is now your displayed host"));
        } else {
            server.frame_to(conn, &own);
            let mut theirs = server.ctx(conn, None);
            theirs.reply.after = ctx.reply.after;
            theirs.reply.numeric(Numeric::RPL_HOSTHIDDEN, &[host], Some("is now your displayed host"));
            server.finish(theirs);
        }
    }
}

/// MODE x: shows the sender by its cloak, or by its address where that is left to it; whether anything
/// changed. A host that an operator gave it stays.
pub fn set_cloaked(server: &mut Server, ctx: &mut Ctx, on: bool) -> bool {
    let user = ctx.me();
    if server.network.users[user].modes.has('x') == on {
        return false;
    }
    let host = if on { server.cloak(ctx.conn) } else { server.session(ctx.conn).map(|session| session.peer.host()) };
    let Some(host) = host else {
        ctx.reply.notice("Mode x was not set: this server has no cloaks, or none for where you come from");
        return false;
    };
    if !on && !server.settings.cloak.as_ref().is_none_or(|cloak| cloak.optional) {
        ctx.reply.notice("Mode x was not taken off: on this server everybody's address is hidden");
        return false;
    }
    let there = &mut server.network.users[user];
    there.modes.set('x', on);
    let before = std::mem::replace(&mut there.plain_host, host.clone());
    there.was_shown_by(before.clone());
    there.former_hosts.retain(|former| *former != host);
    if there.host == before {
        set(server, ctx, user, &host);
    }
    server.sessions_changed(user);
    true
}

/// JOIN and MODE of a member for those who saw it quit.
fn come_back(server: &mut Server, channel: ChannelId, user: UserId) {
    let there = &server.network.channels[channel];
    let others = there.beholders(user);
    let ranks = there.ranks(user).unwrap_or_default();
    let nick = &server.network.users[user].nick;
    let source = &server.settings.server_name;
    let modes = (!ranks.is_empty()).then(|| mode::ranks_line(source, &there.name, nick, ranks, true));
    let mut frame: Frame = join::frame(server, user, channel);
    for form in &mut frame.forms {
        form.lacks = CapSet::of(&[Cap::Chghost]);
        form.lines.extend(modes.clone());
    }
    server.frame_to_users(&others, Arc::new(frame), None);
}

fn without_chghost(needs: CapSet, lines: Vec<Vec<u8>>) -> Form {
    let lines = lines.into_iter().map(Bytes::from).collect();
    Form { needs, lacks: CapSet::of(&[Cap::Chghost]), lines, tagged: Tagged::Each }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::Event;
    use crate::server::settings::Settings;

    #[test]
    fn those_who_negotiated_it_get_chghost_and_the_user_is_told() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let (bob, carol, dave) = (asked.user("bob"), asked.user_with("carol", "chghost"), asked.user("dave"));
        for conn in [bob, carol, dave] {
            asked.ask(conn, "JOIN #a");
        }
        asked.set_oper("alice");
        assert_eq!(asked.ask(alice, "CHGHOST bob a.vhost"), [":irc.test NOTICE alice :bob is shown as a.vhost now"]);
        assert_eq!(asked.heard(bob), [":irc.test 396 bob a.vhost :is now your displayed host"]);
        assert_eq!(asked.heard(carol), [":bob!~u@10.0.0.1 CHGHOST ~u a.vhost"]);
        assert!(asked.heard(dave).is_empty());
        assert!(asked.ask(dave, "WHOIS bob")[0].contains(" bob ~u a.vhost * "));
        for host in [":x", "a b", "é", &"x".repeat(64)] {
            assert!(asked.ask(alice, &format!("CHGHOST bob :{host}"))[0].contains("is no host"), "{host}");
        }
        assert!(asked.ask(bob, "SETHOST x")[0].contains(" 481 "));
        // A ban of what it was before still holds.
        asked.ask(bob, "PART #a");
        asked.ask(carol, "JOIN #b");
        asked.ask(carol, "MODE #b +b *!*@10.0.0.1");
        assert!(asked.ask(bob, "JOIN #b")[0].contains(" 474 bob #b "));
    }

    #[test]
    fn the_others_see_quit_and_join_where_that_is_configured() {
        let mut asked = Asked::new();
        let settings = Settings { rejoin_on_host_change: true, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        let alice = asked.user_with("alice", "chghost");
        let (bob, carol) = (asked.user("bob"), asked.user_with("carol", "extended-join"));
        for conn in [alice, bob, carol] {
            asked.ask(conn, "JOIN #a");
        }
        asked.set_oper("alice");
        assert_eq!(
            asked.ask(alice, "SETHOST staff.vhost"),
            [
                ":alice!~u@10.0.0.1 CHGHOST ~u staff.vhost",
                ":irc.test 396 alice staff.vhost :is now your displayed host"
            ]
        );
        let again =
            [":alice!~u@10.0.0.1 QUIT :Changing host", ":alice!~u@staff.vhost JOIN #a", ":irc.test MODE #a +o alice"];
        let sent = |asked: &Asked, conn| asked.heard(conn);
        assert_eq!(sent(&asked, bob), again);
        assert_eq!(sent(&asked, carol)[1], ":alice!~u@staff.vhost JOIN #a * :A Name");
    }
}
