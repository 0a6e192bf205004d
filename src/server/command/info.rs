//! What the server says about itself (Modern IRC, "Server Queries and Commands"): ADMIN, INFO, LUSERS,
//! MOTD, TIME, VERSION, and 005.

use ircv3::mask;
use ircv3::message::cut;
use ircv3::numeric::Numeric;
use ircv3::time::time_text;
use ircv3::{Cap, CapSet, Message, isupport as tokens};

use crate::limits;
use crate::server::command::bulk::trailing_room;
use crate::server::command::who::ECHO_BYTES;
use crate::server::command::{bouncer, printable};
use crate::server::registration::VERSION;
use crate::server::{Ctx, Server};

/// `ADMIN [server]`
pub fn admin(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    let name = &*server.settings.server_name;
    let lines = &server.settings.admin;
    if lines.is_empty() {
        ctx.reply.numeric(Numeric::ERR_NOADMININFO, &[name], Some("No administrative info available"));
        return;
    }
    ctx.reply.numeric(Numeric::RPL_ADMINME, &[name], Some("Administrative info"));
    for (at, line) in lines.iter().enumerate() {
        let numeric = match at {
            0 => Numeric::RPL_ADMINLOC1,
            _ if at >= 2 && at + 1 == lines.len() => Numeric::RPL_ADMINEMAIL,
            _ => Numeric::RPL_ADMINLOC2,
        };
        fitted(server, ctx, numeric, line);
    }
}

/// `INFO [server]`
pub fn info(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    fitted(server, ctx, Numeric::RPL_INFO, &format!("{VERSION}: Roost, an IRC server you can come back to"));
    fitted(server, ctx, Numeric::RPL_INFO, &format!("Network: {}", server.settings.network));
    fitted(server, ctx, Numeric::RPL_INFO, &format!("Running since {}", readable(server.started())));
    let about = server.settings.description.clone();
    fitted(server, ctx, Numeric::RPL_INFO, &format!("This server: {about}"));
    let licence = concat!("Free software, ", env!("CARGO_PKG_LICENSE"), "; HELP lists what it knows");
    fitted(server, ctx, Numeric::RPL_INFO, licence);
    for line in &server.settings.admin {
        fitted(server, ctx, Numeric::RPL_INFO, line);
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFINFO, &[], Some("End of INFO list"));
}

/// `LUSERS [mask [server]]`
pub fn lusers_command(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !is_elsewhere(server, ctx, line.param(1)) {
        lusers(server, ctx);
    }
}

/// 251 to 255, 265 and 266. Those whose count may be left out where it is 0 are left out then.
pub fn lusers(server: &Server, ctx: &mut Ctx) {
    let network = &server.network;
    let users = network.users.len();
    let (invisible, most) = (network.invisible, network.most_users);
    let (_, unregistered) = server.session_counts();
    let visible = users.saturating_sub(invisible);
    ctx.reply.numeric(
        Numeric::RPL_LUSERCLIENT,
        &[],
        Some(&format!("There are {visible} users and {invisible} invisible on 1 servers")),
    );
    for (numeric, count, what) in [
        (Numeric::RPL_LUSEROP, network.opers, "operator(s) online"),
        (Numeric::RPL_LUSERUNKNOWN, unregistered, "unknown connection(s)"),
        (Numeric::RPL_LUSERCHANNELS, network.channels.len(), "channels formed"),
    ] {
        ctx.reply.numeric(numeric, &[&count.to_string()], Some(what));
    }
    ctx.reply.numeric(Numeric::RPL_LUSERME, &[], Some(&format!("I have {users} clients and 0 servers")));
    let (now, most) = (users.to_string(), most.to_string());
    for (numeric, what) in [(Numeric::RPL_LOCALUSERS, "local"), (Numeric::RPL_GLOBALUSERS, "global")] {
        ctx.reply.numeric(numeric, &[&now, &most], Some(&format!("Current {what} users {now}, max {most}")));
    }
}

/// `MOTD [server]`
pub fn motd_command(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !is_elsewhere(server, ctx, line.param(0)) {
        motd(server, ctx);
    }
}

/// 375, 372 and 376, or 422.
pub fn motd(server: &Server, ctx: &mut Ctx) {
    let Some(lines) = &server.settings.motd else {
        ctx.reply.numeric(Numeric::ERR_NOMOTD, &[], Some("MOTD File is missing"));
        return;
    };
    let head = format!("- {} Message of the day - ", server.settings.server_name);
    fitted(server, ctx, Numeric::RPL_MOTDSTART, &head);
    for line in lines {
        fitted(server, ctx, Numeric::RPL_MOTD, &format!("- {line}"));
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFMOTD, &[], Some("End of /MOTD command."));
}

/// `TIME [server]`
pub fn time(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    let now = readable(server.clock());
    ctx.reply.numeric(Numeric::RPL_TIME, &[&server.settings.server_name], Some(&now));
}

/// `VERSION [server]`
pub fn version(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    let name = &*server.settings.server_name;
    ctx.reply.numeric(Numeric::RPL_VERSION, &[VERSION, name], Some("An IRC server you can come back to"));
    isupport(server, ctx);
}

/// 005 with every token.
pub fn isupport(server: &mut Server, ctx: &mut Ctx) {
    let mut tokens: Vec<String> = server.isupport().to_vec();
    tokens.extend(bouncer::token(server, ctx.conn));
    tokens.extend(vapid(server, ctx.reply.caps));
    put_isupport(server, ctx, &tokens);
}

/// The token that is for those with web push alone.
fn vapid(server: &Server, caps: CapSet) -> Option<String> {
    let key = server.pushes.current().filter(|_| caps.has(Cap::Webpush))?;
    Some(format!("VAPID={}", key.public()))
}

/// A connection negotiated something: 005 with the tokens that it did not get before, if it has had the others.
pub fn caps_changed(server: &mut Server, ctx: &mut Ctx, had: CapSet) {
    let caps = server.session(ctx.conn).map_or(CapSet::EMPTY, |session| session.caps);
    if ctx.user.is_some()
        && !had.has(Cap::Webpush)
        && let Some(token) = vapid(server, caps)
    {
        put_isupport(server, ctx, &[token]);
    }
}

/// `ISUPPORT` (<https://ircv3.net/specs/extensions/extended-isupport>): before registration, too, for whoever
/// negotiated it.
pub fn isupport_command(server: &mut Server, ctx: &mut Ctx, _line: &Message) {
    let registered = server.session(ctx.conn).is_some_and(|session| session.registration.is_none());
    if !registered && !ctx.reply.caps.has(Cap::ExtendedIsupport) {
        ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some("You have not registered"));
        return;
    }
    isupport(server, ctx);
}

/// 005 with these tokens, in a batch for those who want it so.
fn put_isupport(server: &mut Server, ctx: &mut Ctx, tokens: &[String]) {
    let batched = ctx.reply.caps.has_all(CapSet::of(&[Cap::Batch, Cap::ExtendedIsupport]));
    if batched && let Some(session) = server.session_mut(ctx.conn) {
        let reference = session.new_batch();
        ctx.reply.open_batch(&reference, &["draft/isupport"]);
    }
    for line in tokens::lines(tokens, &server.settings.server_name, limits::NICK_LEN) {
        ctx.reply.numeric(Numeric::RPL_ISUPPORT, &[&line], Some(tokens::TEXT));
    }
    ctx.reply.close_batch();
}

/// Tells everyone which tokens other settings change: 005 with those that are new or have another value, and
/// with `-NAME` for those that are gone.
pub fn reloaded(server: &mut Server, old: &[String]) {
    let changed = tokens::changes(old, &server.isupport());
    if changed.is_empty() {
        return;
    }
    for conn in server.connections() {
        let Some(session) = server.session(conn) else { continue };
        let knows = session.registration.is_none() || session.caps.has(Cap::ExtendedIsupport);
        if session.closing || !knows {
            continue;
        }
        let mut ctx = server.ctx(conn, None);
        put_isupport(server, &mut ctx, &changed);
        server.finish(ctx);
    }
}

/// Whether a command asks for another server, and 402 if it does. A mask that fits this server means it, and so
/// does the nick of anyone here.
pub fn is_elsewhere(server: &Server, ctx: &mut Ctx, target: Option<&str>) -> bool {
    let Some(target) = target.filter(|target| !target.is_empty()) else { return false };
    let here = mask::matches(target, &server.settings.server_name, server.network.casemapping)
        || server.network.user_by_nick(target).is_some();
    if !here {
        let target = cut(printable(target), ECHO_BYTES);
        ctx.reply.numeric(Numeric::ERR_NOSUCHSERVER, &[target], Some("No such server"));
    }
    !here
}

/// A moment in milliseconds since 1970, for people: `2026-01-31 23:59:59 UTC`.
pub fn readable(unix_ms: u64) -> String {
    let text = time_text(unix_ms);
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.split('.').next().unwrap_or_default())
}

/// A numeric with one line of the operator's, cut where it would be too long.
fn fitted(server: &Server, ctx: &mut Ctx, numeric: Numeric, text: &str) {
    let text = cut(text, trailing_room(server, &ctx.reply, &[]));
    ctx.reply.numeric(numeric, &[], Some(text));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::readable;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::Event;
    use crate::server::settings::Settings;

    #[test]
    fn lusers_counts_users_operators_and_channels() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert_eq!(
            asked.ask(alice, "LUSERS"),
            [
                ":irc.test 251 alice :There are 1 users and 0 invisible on 1 servers",
                ":irc.test 252 alice 0 :operator(s) online",
                ":irc.test 253 alice 0 :unknown connection(s)",
                ":irc.test 254 alice 0 :channels formed",
                ":irc.test 255 alice :I have 1 clients and 0 servers",
                ":irc.test 265 alice 1 1 :Current local users 1, max 1",
                ":irc.test 266 alice 1 1 :Current global users 1, max 1",
            ]
        );
        let bob = asked.user("bob");
        asked.ask(bob, "MODE bob +i");
        asked.ask(bob, "JOIN #room");
        asked.set_oper("bob");
        asked.open();
        assert_eq!(
            asked.ask(alice, "LUSERS")[..5],
            [
                ":irc.test 251 alice :There are 1 users and 1 invisible on 1 servers",
                ":irc.test 252 alice 1 :operator(s) online",
                ":irc.test 253 alice 1 :unknown connection(s)",
                ":irc.test 254 alice 1 :channels formed",
                ":irc.test 255 alice :I have 2 clients and 0 servers",
            ]
        );
        asked.ask(bob, "QUIT");
        assert_eq!(
            asked.ask(alice, "LUSERS").pop().as_deref(),
            Some(":irc.test 266 alice 1 2 :Current global users 1, max 2")
        );
    }

    #[test]
    fn questions_to_this_server_are_answered_and_to_others_refused() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        for command in ["ADMIN", "INFO", "MOTD", "TIME", "VERSION"] {
            let plain = asked.ask(alice, command);
            for target in ["irc.test", "*.TEST", "alice"] {
                assert_eq!(asked.ask(alice, &format!("{command} {target}")), plain, "{command} {target}");
            }
            assert_eq!(
                asked.ask(alice, &format!("{command} elsewhere.test")),
                [":irc.test 402 alice elsewhere.test :No such server"]
            );
        }
    }

    #[test]
    fn the_operators_texts_are_shown_and_never_too_long() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert_eq!(asked.ask(alice, "MOTD"), [":irc.test 422 alice :MOTD File is missing"]);
        assert_eq!(asked.ask(alice, "ADMIN"), [":irc.test 423 alice irc.test :No administrative info available"]);
        let settings = Settings {
            server_name: "irc.test".into(),
            motd: Some(vec!["hello".into(), "é".repeat(400)]),
            admin: vec!["where".into(), "who".into(), "mail@irc.test".into()],
            ..Settings::default()
        };
        asked.handle(Event::Reload(Arc::new(settings)));
        let lines = asked.ask(alice, "MOTD");
        assert_eq!(lines[0], ":irc.test 375 alice :- irc.test Message of the day - ");
        assert_eq!(lines[1], ":irc.test 372 alice :- hello");
        assert_eq!(lines.len(), 4);
        assert_eq!(
            asked.ask(alice, "ADMIN")[1..],
            [":irc.test 257 alice :where", ":irc.test 258 alice :who", ":irc.test 259 alice :mail@irc.test"]
        );
    }

    #[test]
    fn time_and_version_are_for_people_and_clients() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert_eq!(asked.ask(alice, "TIME"), [":irc.test 391 alice irc.test :2023-11-14 22:13:20 UTC"]);
        let lines = asked.ask(alice, "VERSION");
        assert!(lines[0].starts_with(":irc.test 351 alice roost-"), "{lines:?}");
        assert!(lines[1..].iter().all(|line| line.contains(" 005 alice ")) && lines.len() > 1, "{lines:?}");
        assert_eq!(readable(0), "1970-01-01 00:00:00 UTC");
    }
}
