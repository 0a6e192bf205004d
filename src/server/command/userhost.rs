//! USERHOST and ISON (RFC 2812, 4.8 and 4.9): short questions about several nicks at once.

use ircv3::Message;
use ircv3::name::host_of;
use ircv3::numeric::Numeric;

use crate::server::command::bulk::WordLines;
use crate::server::command::oper;
use crate::server::command::services::{HOST, Service, service};
use crate::server::{Ctx, Server};

/// Nicks in one USERHOST (RFC 2812).
const USERHOST_NICKS: usize = 5;

/// `USERHOST nick{ nick}`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_USERHOST, &[]);
    for nick in nicks(line).take(USERHOST_NICKS) {
        let Some(id) = server.network.user_by_nick(nick) else {
            if let Some(Service { name, .. }) = service(nick, server.network.casemapping) {
                words.push(&mut ctx.reply, &[name, "=+", name, "@", HOST]);
            }
            continue;
        };
        let user = &server.network.users[id];
        let oper = if user.is_oper() { "*" } else { "" };
        let here = if user.away.is_some() { "-" } else { "+" };
        words.push(&mut ctx.reply, &[&user.nick, oper, "=", here, &user.user, "@", &user.host]);
    }
    if words.finish(&mut ctx.reply) == 0 {
        ctx.reply.numeric(Numeric::RPL_USERHOST, &[], Some(""));
    }
}

/// `USERIP nick{ nick}`: as USERHOST, with the address, where one may see it.
pub fn userip(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let me = ctx.me();
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_USERIP, &[]);
    for nick in nicks(line).take(USERHOST_NICKS) {
        let Some(id) = server.network.user_by_nick(nick) else { continue };
        let user = &server.network.users[id];
        let oper = if user.is_oper() { "*" } else { "" };
        let here = if user.away.is_some() { "-" } else { "+" };
        let peer = user.sessions.first().and_then(|conn| server.session(*conn)).map(|session| &session.peer);
        let address = peer.map_or_else(|| "0.0.0.0".to_owned(), |peer| host_of(peer.ip));
        // A host that hides the address hides it here, too.
        let shown = id == me || oper::is(server, ctx) || *user.host == *address;
        let address = if shown { &address } else { "0.0.0.0" };
        words.push(&mut ctx.reply, &[&user.nick, oper, "=", here, &user.user, "@", address]);
    }
    if words.finish(&mut ctx.reply) == 0 {
        ctx.reply.numeric(Numeric::RPL_USERIP, &[], Some(""));
    }
}

/// `ISON nick{ nick}`
pub fn ison(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_ISON, &[]);
    for nick in nicks(line) {
        if let Some(id) = server.network.user_by_nick(nick) {
            words.push(&mut ctx.reply, &[&server.network.users[id].nick]);
        } else if let Some(Service { name, .. }) = service(nick, server.network.casemapping) {
            words.push(&mut ctx.reply, &[name]);
        }
    }
    if words.finish(&mut ctx.reply) == 0 {
        ctx.reply.numeric(Numeric::RPL_ISON, &[], Some(""));
    }
}

/// The nicks of a line, whether they are parameters of their own or words of the last.
fn nicks(line: &Message) -> impl Iterator<Item = &str> {
    line.params().flat_map(|param| param.split(' ')).filter(|nick| !nick.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn userhost_shows_operators_and_who_is_away() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("Bob"));
        assert_eq!(asked.ask(alice, "USERHOST bob nosuch"), [":irc.test 302 alice :Bob=+~u@10.0.0.1"]);
        assert_eq!(asked.ask(alice, "USERHOST nickserv"), [":irc.test 302 alice :NickServ=+NickServ@services"]);
        asked.ask(bob, "AWAY :gone");
        asked.set_oper("bob");
        assert_eq!(
            asked.ask(alice, "USERHOST :alice bob"),
            [":irc.test 302 alice :alice=+~u@10.0.0.1 Bob*=-~u@10.0.0.1"]
        );
        assert_eq!(asked.ask(alice, "USERHOST nosuch"), [":irc.test 302 alice :"]);
        assert_eq!(asked.ask(alice, "USERHOST 1 2 3 4 5 bob"), [":irc.test 302 alice :"], "only five");
    }

    #[test]
    fn userip_shows_an_address_that_a_host_hides_to_operators_and_its_user_alone() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        assert_eq!(asked.ask(bob, "USERIP alice nosuch"), [":irc.test 340 bob :alice=+~u@10.0.0.1"]);
        asked.set_oper("alice");
        asked.ask(alice, "SETHOST hidden");
        assert_eq!(asked.ask(bob, "USERIP alice"), [":irc.test 340 bob :alice*=+~u@0.0.0.0"]);
        assert_eq!(asked.ask(alice, "USERIP alice"), [":irc.test 340 alice :alice*=+~u@10.0.0.1"]);
        assert_eq!(asked.ask(bob, "USERIP nosuch"), [":irc.test 340 bob :"]);
    }

    #[test]
    fn ison_names_those_who_are_here_as_they_write_themselves() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.user("Bob");
        assert_eq!(asked.ask(alice, "ISON bob nosuch :ALICE nickserv"), [":irc.test 303 alice :Bob alice NickServ"]);
        assert_eq!(asked.ask(alice, "ISON nosuch"), [":irc.test 303 alice :"]);
    }
}
