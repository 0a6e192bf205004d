//! CAP (<https://ircv3.net/specs/extensions/capability-negotiation>).

use irc_proto::CapSubCommand;
use ircv3::negotiation::{Answer, CapLine, announce, room};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};

use crate::server::action::NetAction;
use crate::server::command::{authenticate, info, need_more_params, printable};
use crate::server::event::Peer;
use crate::server::settings::{AlwaysOn, Settings};
use crate::server::{Ctx, Server};

/// The capabilities that are offered now.
pub fn offered(settings: &Settings, peer: &Peer) -> CapSet {
    let mut caps: CapSet = Cap::ALL.iter().copied().collect();
    if authenticate::offered(settings, peer).is_empty() {
        caps.remove(Cap::Sasl);
        caps.remove(Cap::SaslIr);
        caps.remove(Cap::AccountTwofa);
    }
    if !settings.history {
        caps.remove(Cap::Chathistory);
        caps.remove(Cap::EventPlayback);
        caps.remove(Cap::Search);
        caps.remove(Cap::Playback);
    }
    if !settings.history || settings.edit_window == 0 {
        caps.remove(Cap::MessageEdit);
    }
    // By an overlay network, a push service would learn who is behind it.
    if settings.webpush.is_none() || peer.host.is_some() {
        caps.remove(Cap::Webpush);
    }
    if !settings.bouncer_networks || settings.always_on == AlwaysOn::Off {
        caps.remove(Cap::BouncerNetworks);
        caps.remove(Cap::BouncerNetworksNotify);
    }
    if sts(settings, peer).is_none() {
        caps.remove(Cap::Sts);
    }
    if !settings.registration {
        caps.remove(Cap::AccountRegistration);
    }
    caps
}

/// The value of a capability in LS and NEW.
pub fn value(settings: &Settings, peer: &Peer, cap: Cap) -> Option<String> {
    match cap {
        Cap::Sasl => Some(ircv3::sasl::list(authenticate::offered(settings, peer))),
        Cap::Sts => sts(settings, peer),
        Cap::AccountTwofa => Some("totp,external".into()),
        // No command is answered without its label
        // (<https://github.com/ircv3/ircv3-specifications/pull/422>).
        Cap::LabeledResponse => Some("all".into()),
        Cap::Relaymsg => Some(super::relaymsg::SEPARATORS.into()),
        Cap::Metadata2 => Some(super::metadata::value(false)),
        Cap::Metadata3 => Some(super::metadata::value(true)),
        Cap::Multiline => {
            Some(format!("max-bytes={},max-lines={}", settings.multiline_bytes, settings.multiline_lines))
        }
        Cap::AccountRegistration => {
            let before = if settings.register_before_connect { "before-connect," } else { "" };
            let email = if settings.mail.as_ref().is_some_and(|mail| mail.required) { "email-required," } else { "" };
            Some(format!("{before}{email}custom-account-name"))
        }
        _ => None,
    }
}

/// The value of `sts` (<https://ircv3.net/specs/extensions/sts>): where TLS is for those without it, and how long
/// those with it are to come by TLS only, if it is about the name by which they came.
fn sts(settings: &Settings, peer: &Peer) -> Option<String> {
    let sts = settings.sts.as_ref()?;
    // By an overlay network or a proxy's page the client could not follow.
    if peer.host.is_some() || peer.websocket {
        return None;
    }
    if !peer.tls {
        return Some(format!("port={}", sts.port));
    }
    let meant = sts.hosts.is_empty() || peer.sni.as_deref().is_some_and(|name| sts.is_about(name));
    meant.then(|| format!("duration={}{}", sts.seconds, if sts.preload { ",preload" } else { "" }))
}

/// CAP
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(subcommand) = line.param(0) else {
        need_more_params(ctx, "CAP");
        return;
    };
    let settings = server.settings.clone();
    let name = settings.server_name.clone();
    let client = ctx.reply.nick.clone();
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let hold = |session: &mut crate::server::session::Session| {
        if let Some(registration) = &mut session.registration {
            registration.negotiating = true;
        }
    };
    match subcommand.to_ascii_uppercase().as_str() {
        "LS" => {
            let space = room(&name, &client, CapSubCommand::LS);
            let lines = session.negotiation.ls(
                line.param(1),
                offered(&settings, &session.peer),
                |cap| value(&settings, &session.peer, cap),
                space,
            );
            hold(session);
            set_caps(server, ctx);
            send(ctx, "LS", &lines);
        }
        "LIST" => {
            let lines = session.negotiation.list(room(&name, &client, CapSubCommand::LIST));
            send(ctx, "LIST", &lines);
        }
        "REQ" => {
            hold(session);
            let list = line.param(1).unwrap_or("");
            if list.trim().is_empty() {
                return;
            }
            let space = room(&name, &client, CapSubCommand::ACK);
            match session.negotiation.request(list, offered(&settings, &session.peer), space) {
                Answer::Ack(lists) => {
                    let had = session.caps;
                    for list in &lists {
                        ctx.reply.line("CAP", &[&client, "ACK"], Some(list));
                    }
                    set_caps(server, ctx);
                    info::caps_changed(server, ctx, had);
                }
                Answer::Nak(lists) => {
                    for list in &lists {
                        ctx.reply.line("CAP", &[&client, "NAK"], Some(list));
                    }
                }
            }
        }
        "END" => {
            session.negotiation.end();
            let Some(registration) = &mut session.registration else { return };
            registration.negotiating = false;
            // A client that ends negotiation in the middle of a login has given the login up.
            let was_midway = session.sasl.take().is_some();
            if server.forget_first_factor(ctx.conn) || was_midway {
                authenticate::aborted(ctx);
            }
            server.try_register(ctx);
        }
        _ => ctx.reply.numeric(
            Numeric::ERR_INVALIDCAPCMD,
            &[printable(subcommand)],
            Some("Invalid CAP command: LS, LIST, REQ and END are known"),
        ),
    }
}

/// Tells whoever wants to know what other settings change about the capabilities: CAP DEL of those that
/// are gone, which are off from then on, and CAP NEW of those that came or have another value.
pub fn reloaded(server: &mut Server, old: &Settings) {
    let new = server.settings.clone();
    for conn in server.connections() {
        let Some(session) = server.session_mut(conn) else { continue };
        if session.closing || !session.negotiation.notifies() {
            continue;
        }
        let peer = &session.peer;
        let (before, after) = (offered(old, peer), offered(&new, peer));
        let all = || Cap::ALL.iter().copied();
        let mut gone: CapSet = all().filter(|cap| before.has(*cap) && !after.has(*cap)).collect();
        // A policy does not go with its capability: it ends where its duration is 0.
        let ended = gone.has(Cap::Sts) && peer.tls;
        gone.remove(Cap::Sts);
        let is_other = |cap: &Cap| !before.has(*cap) || value(old, peer, *cap) != value(&new, peer, *cap);
        let other: CapSet = all().filter(|cap| after.has(*cap) && is_other(cap)).collect();
        let mut ctx = server.ctx(conn, None);
        let client = ctx.reply.nick.clone();
        let Some(session) = server.session_mut(conn) else { continue };
        let space = room(&new.server_name, &client, CapSubCommand::NEW);
        let peer = &session.peer;
        let dels = announce(gone, |_| None, space);
        let mut news = announce(other, |cap| value(&new, peer, cap), space);
        if ended {
            news.push("sts=duration=0".into());
        }
        for (subcommand, lists) in [("DEL", dels), ("NEW", news)] {
            for list in &lists {
                ctx.reply.line("CAP", &[&client, subcommand], Some(list));
            }
        }
        for cap in all().filter(|cap| gone.has(*cap)) {
            session.negotiation.withdraw(cap);
        }
        set_caps(server, &ctx);
        server.finish(ctx);
    }
}

/// Takes capabilities from one connection, and tells it where it wants to know.
pub fn withdraw(server: &mut Server, ctx: &mut Ctx, caps: &[Cap]) {
    let (name, client) = (server.settings.server_name.clone(), ctx.reply.nick.clone());
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let gone: CapSet = caps.iter().copied().collect();
    if session.negotiation.notifies() {
        for list in announce(gone, |_| None, room(&name, &client, CapSubCommand::NEW)) {
            ctx.reply.line("CAP", &[&client, "DEL"], Some(&list));
        }
    }
    for cap in caps {
        session.negotiation.withdraw(*cap);
    }
    ctx.reply.caps = session.negotiation.caps();
    set_caps(server, ctx);
}

fn set_caps(server: &mut Server, ctx: &Ctx) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let caps = session.negotiation.caps();
    if session.caps != caps {
        session.caps = caps;
        server.act(ctx.conn, |slot| NetAction::SetCaps { slot, caps });
    }
}

fn send(ctx: &mut Ctx, subcommand: &str, lines: &[CapLine]) {
    let client = ctx.reply.nick.clone();
    for line in lines {
        if line.more {
            ctx.reply.line("CAP", &[&client, subcommand, "*"], Some(&line.list));
        } else {
            ctx.reply.line("CAP", &[&client, subcommand], Some(&line.list));
        }
    }
}
