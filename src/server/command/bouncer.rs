//! BOUNCER (<https://codeberg.org/emersion/soju/src/branch/master/doc/ext/bouncer-networks.md>): this network, as the
//! one that a bouncer is connected to.
//!
//! Clients that know bouncers open a connection that lists networks, and one more for each that is listed (BIND).
//! The first is nobody on the network: it is in no channel and is told nothing, or all would be there twice. Such
//! clients leave it to the bouncer to stay in channels, so this is for accounts that are always on; for all others
//! the capability ends with their registration, and they are as on any server.

use std::sync::Arc;

use ircv3::numeric::Numeric;
use ircv3::tags::{Tags, escape};
use ircv3::{Cap, Message};

use crate::server::action::NetAction;
use crate::server::command::{Command, cap, info, need_more_params, negotiated, persistence, printable};
use crate::server::event::ConnId;
use crate::server::presence::is_chosen;
use crate::server::session::{Particulars, Session};
use crate::server::settings::Settings;
use crate::server::{Ctx, Server};

/// The id of the network.
pub const NETID: &str = "1";
/// The type of the batch of networks.
const BATCH: &str = "soju.im/bouncer-networks";
/// Attributes that this network has, and those that a bouncer would take: none can be set here.
const KNOWN: [&str; 10] = ["name", "state", "host", "port", "tls", "nickname", "username", "realname", "pass", "error"];

/// What BOUNCER BIND, and registration without it, has made of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// It has nothing to do with it.
    #[default]
    None,
    /// It asked for the network.
    Bound,
    /// It lists networks and is nobody here; its nick.
    Unbound(Arc<str>),
}

/// BOUNCER
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !negotiated(ctx, "BOUNCER", &[Cap::BouncerNetworks]) {
        return;
    }
    let subcommand = line.param(0).unwrap_or("").to_ascii_uppercase();
    match (&*subcommand, line.param(1)) {
        ("LISTNETWORKS", _) => list(server, ctx),
        ("BIND" | "CHANGENETWORK" | "DELNETWORK" | "ADDNETWORK", None | Some("")) => need_more_params(ctx, "BOUNCER"),
        ("BIND", Some(netid)) => bind(server, ctx, netid),
        ("ADDNETWORK", Some(attributes)) => add(ctx, attributes),
        ("CHANGENETWORK", Some(netid)) => match line.param(2) {
            _ if netid != NETID => invalid_netid(ctx, "CHANGENETWORK", netid),
            None | Some("") => need_more_params(ctx, "BOUNCER"),
            Some(attributes) => {
                refuse(ctx, "CHANGENETWORK", NETID, attributes, &KNOWN);
            }
        },
        ("DELNETWORK", Some(NETID)) => {
            let text = "This server is the network itself: to leave, close the connection, or delete your account";
            ctx.reply.fail("BOUNCER", "UNKNOWN_ERROR", &["DELNETWORK", NETID], text);
        }
        ("DELNETWORK", Some(netid)) => invalid_netid(ctx, "DELNETWORK", netid),
        _ => {
            let text = "Unknown subcommand: BIND and LISTNETWORKS are known";
            ctx.reply.fail("BOUNCER", "UNKNOWN_COMMAND", &[printable(&subcommand)], text);
        }
    }
}

fn invalid_netid(ctx: &mut Ctx, subcommand: &str, netid: &str) {
    ctx.reply.fail("BOUNCER", "INVALID_NETID", &[subcommand, printable(netid)], "Network not found");
}

fn bind(server: &mut Server, ctx: &mut Ctx, netid: &str) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    if session.registration.is_none() {
        let text = "Cannot bind to a network after registration";
        ctx.reply.fail("BOUNCER", "REGISTRATION_IS_COMPLETED", &["BIND"], text);
    } else if session.account.is_none() {
        ctx.reply.fail("BOUNCER", "ACCOUNT_REQUIRED", &["BIND"], "Authentication required");
    } else if netid != NETID {
        invalid_netid(ctx, "BIND", netid);
    } else {
        session.particulars_mut().binding = Binding::Bound;
    }
}

fn add(ctx: &mut Ctx, attributes: &str) {
    if refuse(ctx, "ADDNETWORK", "*", attributes, &["state", "error"]) {
        return;
    }
    if Tags::new(attributes).get("host").is_none_or(|host| host.is_empty()) {
        ctx.reply.fail("BOUNCER", "NEED_ATTRIBUTE", &["ADDNETWORK", "host"], "Missing required attribute");
        return;
    }
    let text = "This server is one network, and connects to no other: add it to your client instead";
    ctx.reply.fail("BOUNCER", "UNKNOWN_ERROR", &["ADDNETWORK", "*"], text);
}

/// FAIL for the first attribute that is not known, or cannot be set; whether there is one.
fn refuse(ctx: &mut Ctx, subcommand: &str, netid: &str, attributes: &str, read_only: &[&str]) -> bool {
    for (key, _) in Tags::new(attributes).iter() {
        let (code, text) = match key {
            _ if read_only.contains(&key) => ("READ_ONLY_ATTRIBUTE", "Read-only attribute"),
            _ if !KNOWN.contains(&key) => ("UNKNOWN_ATTRIBUTE", "Unknown attribute"),
            _ => continue,
        };
        ctx.reply.fail("BOUNCER", code, &[subcommand, netid, printable(key)], text);
        return true;
    }
    false
}

/// The batch with the network; without `batch`, the network alone.
fn list(server: &mut Server, ctx: &mut Ctx) {
    let batched = ctx.reply.caps.has(Cap::Batch);
    if batched && let Some(session) = server.session_mut(ctx.conn) {
        let reference = session.new_batch();
        ctx.reply.open_batch(&reference, &[BATCH]);
    }
    let attributes = format!("{};state=connected", attributes(&server.settings).join(";"));
    ctx.reply.line("BOUNCER", &["NETWORK", NETID, &attributes], None);
    ctx.reply.close_batch();
}

/// The attributes that come from the configuration.
fn attributes(settings: &Settings) -> [String; 2] {
    [format!("name={}", escape(&settings.network)), format!("host={}", escape(&settings.server_name))]
}

/// Whether a connection lists networks and is nobody on this one.
pub fn is_unbound(session: &Session) -> bool {
    matches!(session.particulars().binding, Binding::Unbound(_))
}

/// The nick by which such a connection is addressed.
pub fn nick(particulars: &Particulars) -> Option<&Arc<str>> {
    match &particulars.binding {
        Binding::Unbound(nick) => Some(nick),
        _ => None,
    }
}

/// Whether a connection that is about to register has come to list networks. Where that is not for its account,
/// the capability is taken from it first.
pub fn lists_networks(server: &mut Server, ctx: &mut Ctx) -> bool {
    if !ctx.reply.caps.has(Cap::BouncerNetworks) {
        return false;
    }
    let Some(session) = server.session(ctx.conn) else { return false };
    let chosen = session.account.and_then(|account| server.network.account(account));
    if !chosen.is_some_and(|account| is_chosen(&server.settings, account.always_on)) {
        cap::withdraw(server, ctx, &[Cap::BouncerNetworks, Cap::BouncerNetworksNotify]);
        return false;
    }
    session.particulars().binding == Binding::None
}

/// Registers a connection that lists networks: it is welcomed, and is nobody.
pub fn register_unbound(server: &mut Server, ctx: &mut Ctx, nick: &str) {
    let (now, ping, last) = (server.now().mono_ms, server.settings.ping_ms, server.last_seq());
    let Some(session) = server.session_mut(ctx.conn) else { return };
    session.registration = None;
    session.heard = now;
    let nick: Arc<str> = nick.into();
    session.particulars_mut().binding = Binding::Unbound(nick.clone());
    let (serial, account, device) = (session.serial, session.account, session.device.clone());
    let seen = session.mark.take().unwrap_or(last);
    let owed = std::mem::take(&mut session.particulars_mut().owed);
    server.no_longer_unregistered();
    server.timers.look(now + ping, ctx.conn, serial);
    server.act(ctx.conn, |slot| NetAction::Registered { slot });
    ctx.reply.nick = nick.clone();
    // Nothing is shown here that a device could have seen.
    if let Some(account) = account {
        server.owe(ctx.conn, account, &device, &owed, seen);
        server.device_left(ctx.conn, account, &device, seen);
    }
    server.greet(ctx, &nick);
    persistence::on_welcome(server, ctx);
    info::lusers(server, ctx);
    info::motd(server, ctx);
    on_welcome(server, ctx);
}

/// The networks, to a connection that wants to be told of them.
pub fn on_welcome(server: &mut Server, ctx: &mut Ctx) {
    if ctx.reply.caps.has(Cap::BouncerNetworksNotify) {
        list(server, ctx);
    }
}

/// The token of 005 that a bound connection has.
pub fn token(server: &Server, conn: ConnId) -> Option<String> {
    let bound = server.session(conn).is_some_and(|session| session.particulars().binding == Binding::Bound);
    bound.then(|| format!("BOUNCER_NETID={NETID}"))
}

/// Tells whoever wants to know of other attributes that other settings have made.
pub fn reloaded(server: &mut Server, old: &Settings) {
    let before = attributes(old);
    let changed: Vec<String> = attributes(&server.settings).into_iter().filter(|one| !before.contains(one)).collect();
    if changed.is_empty() {
        return;
    }
    for conn in server.connections() {
        let told = server
            .session(conn)
            .is_some_and(|session| session.registration.is_none() && session.caps.has(Cap::BouncerNetworksNotify));
        if told {
            let mut ctx = server.ctx(conn, None);
            ctx.reply.line("BOUNCER", &["NETWORK", NETID, &changed.join(";")], None);
            server.finish(ctx);
        }
    }
}

/// A command that only someone on the network can give, from a connection that lists networks: answered as by a
/// network without anyone, where clients give it by themselves, and refused otherwise.
pub fn run_unbound(server: &mut Server, ctx: &mut Ctx, command: &Command, line: &Message) {
    let first = printable(line.param(0).unwrap_or("*"));
    match command.name {
        "BOUNCER" | "CAP" | "ISUPPORT" | "PING" | "PONG" | "QUIT" => (command.run)(server, ctx, line),
        "AWAY" if line.param(0).is_none_or(str::is_empty) => {
            ctx.reply.numeric(Numeric::RPL_UNAWAY, &[], Some("You are no longer marked as being away"));
        }
        "AWAY" => ctx.reply.numeric(Numeric::RPL_NOWAWAY, &[], Some("You have been marked as being away")),
        "CHATHISTORY" if first.eq_ignore_ascii_case("TARGETS") => {
            if ctx.reply.caps.has(Cap::Batch)
                && let Some(session) = server.session_mut(ctx.conn)
            {
                let reference = session.new_batch();
                ctx.reply.open_batch(&reference, &["draft/chathistory-targets"]);
                ctx.reply.close_batch();
            }
        }
        "MODE" if first == &*ctx.reply.nick => ctx.reply.numeric(Numeric::RPL_UMODEIS, &["+"], None),
        "MONITOR" => {}
        "WHO" => ctx.reply.numeric(Numeric::RPL_ENDOFWHO, &[first], Some("End of WHO list")),
        _ => {
            let text = format!("This connection only lists networks: BOUNCER BIND {NETID} on one of its own");
            ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some(&text));
        }
    }
}
