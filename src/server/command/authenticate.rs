//! AUTHENTICATE (<https://ircv3.net/specs/extensions/sasl-3.2>), mechanism PLAIN (RFC 4616).

use ircv3::numeric::Numeric;
use ircv3::sasl::{Assembler, CHUNK_BYTES, Outcome, parse_plain};
use ircv3::{Cap, Message};

use crate::limits;
use crate::server::action::Call;
use crate::server::command::Pending;
use crate::server::record::AccountId;
use crate::server::{Ctx, Server};

/// The mechanisms, as 908 and the capability's value list them.
pub const MECHANISMS: &str = "PLAIN";

/// AUTHENTICATE
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let param = line.param(0).unwrap_or("");
    // A client that pipelines may not have asked for `sasl` by name; that it speaks CAP says enough.
    let speaks_cap = server.session(ctx.conn).is_some_and(|session| session.negotiation.version() > 0);
    if !ctx.reply.caps.has(Cap::Sasl) && !speaks_cap {
        ctx.reply.numeric(
            Numeric::ERR_SASLFAIL,
            &[],
            Some("SASL authentication failed: request the sasl capability first"),
        );
        return;
    }
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let Some(assembler) = &mut session.sasl else {
        begin(server, ctx, param);
        return;
    };
    match assembler.push(param) {
        Outcome::More => {}
        Outcome::Done(response) => {
            session.sasl = None;
            plain(server, ctx, &response);
        }
        Outcome::Aborted => {
            session.sasl = None;
            ctx.reply.numeric(Numeric::ERR_SASLABORTED, &[], Some("SASL authentication aborted"));
        }
        Outcome::TooLong if param.len() <= CHUNK_BYTES => {
            session.sasl = None;
            fail(ctx, "the response is longer than any that could be right");
        }
        Outcome::TooLong => {
            session.sasl = None;
            ctx.reply.numeric(Numeric::ERR_SASLTOOLONG, &[], Some("SASL message too long"));
        }
        Outcome::BadBase64 => {
            session.sasl = None;
            fail(ctx, "the response is not base64");
        }
    }
}

fn begin(server: &mut Server, ctx: &mut Ctx, mechanism: &str) {
    if mechanism == "*" {
        ctx.reply.numeric(Numeric::ERR_SASLABORTED, &[], Some("SASL authentication aborted"));
        return;
    }
    if !mechanism.eq_ignore_ascii_case("PLAIN") {
        ctx.reply.numeric(Numeric::RPL_SASLMECHS, &[MECHANISMS], Some("are available SASL mechanisms"));
        fail(ctx, "no such mechanism");
        return;
    }
    let Some(session) = server.session_mut(ctx.conn) else { return };
    session.sasl = Some(Box::new(Assembler::new(limits::SASL_RESPONSE_BYTES)));
    // Without source and tags: old clients take it in no other form.
    ctx.reply.bare("AUTHENTICATE", "+");
}

fn plain(server: &mut Server, ctx: &mut Ctx, response: &[u8]) {
    let Some(plain) = parse_plain(response) else {
        fail(ctx, "PLAIN takes authzid NUL account NUL password, none of the last two empty");
        return;
    };
    if plain.password.len() > limits::PASSWORD_LEN {
        fail(ctx, "the password is too long");
        return;
    }
    let (name, device) = split_device(plain.authcid);
    let (authzid, _) = split_device(plain.authzid);
    if !authzid.is_empty() && server.network.fold(authzid) != server.network.fold(name) {
        fail(ctx, "you may not act for another account");
        return;
    }
    if !server.may_try_login(ctx.conn, name) {
        fail(ctx, "too many failed logins; wait a minute");
        return;
    }
    let row = server.network.account_by_name(name);
    let (account, hash) = (row.map(|row| row.id), row.map(|row| row.password.clone()));
    let pending = Pending::Sasl { account, name: name.into(), device: device.into() };
    server.call(ctx, Call::Verify { password: plain.password.into(), hash }, pending);
}

/// The password was compared.
pub fn verified(server: &mut Server, ctx: &mut Ctx, account: Option<AccountId>, name: &str, device: &str, busy: bool) {
    // The account may have gone while its password was compared.
    match account.filter(|id| server.network.account(*id).is_some()) {
        Some(id) => {
            server.login(ctx, id, device);
            ctx.reply.numeric(Numeric::RPL_SASLSUCCESS, &[], Some("SASL authentication successful"));
            if ctx.user.is_some() {
                crate::server::command::chathistory::replay(server, ctx, None);
            }
        }
        None if busy => fail(ctx, "the server has too many logins to check; try again"),
        None => {
            server.login_failed(ctx.conn, name);
            fail(ctx, "the account or the password is wrong");
        }
    }
}

fn fail(ctx: &mut Ctx, why: &str) {
    ctx.reply.numeric(Numeric::ERR_SASLFAIL, &[], Some(&format!("SASL authentication failed: {why}")));
}

/// The account and the device of `account@device` (as bouncers name them; `account/network` is the account).
pub fn split_device(name: &str) -> (&str, &str) {
    let (name, device) = name.split_once('@').unwrap_or((name, ""));
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    (name, ircv3::message::cut(device, 32))
}
