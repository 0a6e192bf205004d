//! PERSISTENCE (<https://github.com/ircv3/ircv3-specifications/pull/503>): whether one stays on the network
//! without a connection.

use ircv3::{Cap, Message};

use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::presence;
use crate::server::{Ctx, Server};

/// PERSISTENCE
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(account) = server.session(ctx.conn).and_then(|session| session.account) else {
        ctx.reply.fail("PERSISTENCE", "ACCOUNT_REQUIRED", &[], "Log in first");
        return;
    };
    let subcommand = line.param(0).unwrap_or("").to_ascii_uppercase();
    let value = line.param(1).map(str::to_ascii_uppercase);
    match (subcommand.as_str(), value.as_deref()) {
        ("GET", None) => presence::status(server, ctx, account),
        ("SET", Some("ON")) => server.submit(ctx, Change::AlwaysOn { account, chosen: Some(true), by_nickserv: false }),
        ("SET", Some("OFF")) => {
            server.submit(ctx, Change::AlwaysOn { account, chosen: Some(false), by_nickserv: false });
        }
        ("SET", Some("DEFAULT")) => {
            server.submit(ctx, Change::AlwaysOn { account, chosen: None, by_nickserv: false });
        }
        _ => {
            let text = "PERSISTENCE takes GET, or SET with ON, OFF or DEFAULT";
            ctx.reply.fail("PERSISTENCE", "INVALID_PARAMS", &[printable(&subcommand)], text);
        }
    }
}

/// The status, in the welcome of a connection that is logged in and knows PERSISTENCE.
pub fn on_welcome(server: &Server, ctx: &mut Ctx) {
    let account = server.session(ctx.conn).and_then(|session| session.account);
    if let (true, Some(account)) = (ctx.reply.caps.has(Cap::Persistence), account) {
        presence::status(server, ctx, account);
    }
}
