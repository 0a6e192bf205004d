//! USERHOST and ISON (RFC 2812, 4.8 and 4.9): short questions about several nicks at once.

use ircv3::Message;
use ircv3::numeric::Numeric;

use crate::server::command::bulk::WordLines;
use crate::server::command::whois;
use crate::server::{Ctx, Server};

/// Nicks in one USERHOST (RFC 2812).
const USERHOST_NICKS: usize = 5;

/// `USERHOST nick{ nick}`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_USERHOST, &[]);
    for nick in nicks(line).take(USERHOST_NICKS) {
        let Some(id) = server.network.user_by_nick(nick) else { continue };
        let user = &server.network.users[id];
        let oper = if user.is_oper() { "*" } else { "" };
        let here = if user.away.is_some() { "-" } else { "+" };
        words.push(&mut ctx.reply, &[&user.nick, oper, "=", here, &user.user, "@", &user.host]);
    }
    if words.finish(&mut ctx.reply) == 0 {
        ctx.reply.numeric(Numeric::RPL_USERHOST, &[], Some(""));
    }
}

/// `ISON nick{ nick}`
pub fn ison(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_ISON, &[]);
    for nick in nicks(line) {
        if let Some(id) = server.network.user_by_nick(nick) {
            words.push(&mut ctx.reply, &[&server.network.users[id].nick]);
        } else if let Some((service, _)) = whois::service(nick) {
            words.push(&mut ctx.reply, &[service]);
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
