//! WEBIRC (<https://ircv3.net/specs/extensions/webirc>): a gateway says whom a connection is for.

use ircv3::Message;
use ircv3::numeric::Numeric;
use ircv3::webirc::WebIrc;

use crate::limits;
use crate::server::action::Call;
use crate::server::command::Pending;
use crate::server::event::Peer;
use crate::server::session::Session;
use crate::server::{Ctx, Server};

/// A gateway whose password is being compared.
#[derive(Debug)]
pub struct Spoken {
    /// Whom it speaks for.
    peer: Box<Peer>,
    /// What it calls itself.
    gateway: Box<str>,
    password: Box<str>,
    /// Hashes of gateways that may come from its address, one of which it must fit; the last is next.
    hashes: Vec<Box<str>>,
}

/// `WEBIRC password gateway hostname address [:options]`
///
/// The host that others see is the address: a name that nobody here has checked is passed over.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(session) = server.session(ctx.conn) else { return };
    if session.registration.is_none() {
        ctx.reply.numeric(Numeric::ERR_ALREADYREGISTERED, &[], Some("You may not reregister"));
        return;
    }
    if !is_first(session) {
        refuse(server, ctx, "WEBIRC must come before everything else");
        return;
    }
    let webirc = match WebIrc::parse(line) {
        Ok(webirc) => webirc,
        Err(error) => {
            refuse(server, ctx, &format!("Invalid WEBIRC: {error}"));
            return;
        }
    };
    let ours = &session.peer;
    let fits = |certfp: &Option<Box<str>>| certfp.is_none() || *certfp == ours.certfp;
    let settings = server.settings.clone();
    let gateways = settings.gateways.iter().filter(|gateway| {
        ours.host.is_none() && gateway.from.iter().any(|network| network.contains(ours.ip)) && fits(&gateway.certfp)
    });
    // What a certificate alone is enough for needs no password; the first entry is compared first.
    let (mut hashes, mut known) = (Vec::new(), false);
    for gateway in gateways {
        match &gateway.password {
            Some(hash) => hashes.push(hash.clone()),
            None => known = true,
        }
    }
    hashes.reverse();
    if hashes.is_empty() && !known {
        refuse(server, ctx, "WEBIRC is for known gateways only");
        return;
    }
    let peer = Box::new(Peer {
        // The whole way is secure, or it is not.
        tls: webirc.secure && ours.tls,
        websocket: ours.websocket,
        certfp: webirc.certfp.filter(|_| ours.tls),
        // The connection that could be told by is the gateway's.
        ..Peer::new(webirc.ip, webirc.remote_port.unwrap_or(0))
    });
    let gateway = ircv3::message::cut(webirc.gateway, limits::HOST_LEN).into();
    let password = ircv3::message::cut(webirc.password, limits::PASSWORD_LEN).into();
    let spoken = Spoken { peer, gateway, password, hashes };
    if known { accept(server, ctx, spoken) } else { compare(server, ctx, spoken) }
}

/// A password was compared.
pub fn verified(server: &mut Server, ctx: &mut Ctx, spoken: Spoken, right: bool, busy: bool) {
    if right {
        accept(server, ctx, spoken);
    } else if busy {
        refuse(server, ctx, "The server has too many passwords to check; try again");
    } else {
        compare(server, ctx, spoken);
    }
}

fn compare(server: &mut Server, ctx: &mut Ctx, mut spoken: Spoken) {
    let Some(hash) = spoken.hashes.pop() else {
        refuse(server, ctx, "Invalid WEBIRC password");
        return;
    };
    let call = Call::Verify { password: spoken.password.clone(), hash: Some(hash), derive: None };
    server.call(ctx, call, Pending::WebIrc(Box::new(spoken)));
}

fn accept(server: &mut Server, ctx: &mut Ctx, spoken: Spoken) {
    let from = server.session(ctx.conn).map(|session| session.peer.host()).unwrap_or_default();
    server.log(false, format!("the gateway {:?} at {from} speaks for {}", spoken.gateway, spoken.peer.host()));
    server.comes_from(ctx.conn, spoken.peer);
}

fn refuse(server: &mut Server, ctx: &mut Ctx, why: &str) {
    let from = server.session(ctx.conn).map(|session| session.peer.host()).unwrap_or_default();
    server.log(true, format!("WEBIRC from {from} was refused: {why}"));
    server.close(ctx.conn, why);
}

/// Whether nothing was said that depends on who someone is.
fn is_first(session: &Session) -> bool {
    let said = session
        .registration
        .as_ref()
        .is_some_and(|registration| registration.nick.is_some() || registration.user.is_some());
    !said && session.negotiation.version() == 0 && session.sasl.is_none() && session.account.is_none()
}
