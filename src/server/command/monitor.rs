//! MONITOR (<https://ircv3.net/specs/extensions/monitor>) and extended-monitor
//! (<https://ircv3.net/specs/extensions/extended-monitor>): who is online of those one asked about.

use std::sync::Arc;

use ircv3::message::MAX_BODY_BYTES;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Folded, Message, name};

use crate::limits;
use crate::server::command::services::{self, Service, service};
use crate::server::command::{need_more_params, printable};
use crate::server::event::ConnId;
use crate::server::frame::Frame;
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// A nick that a connection asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it is compared.
    pub folded: Folded,
    /// As it was asked.
    pub nick: Box<str>,
}

/// MONITOR
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let nicks = line.param(1).unwrap_or("");
    match line.param(0).unwrap_or("").to_ascii_uppercase().as_str() {
        "+" | "-" if nicks.is_empty() => need_more_params(ctx, "MONITOR"),
        "+" => add(server, ctx, nicks),
        "-" => {
            for nick in nicks.split(',') {
                let folded = server.network.fold(nick);
                remove(server, ctx.conn, &folded);
            }
        }
        "C" => forget(server, ctx.conn),
        "L" => {
            let asked: Vec<Box<str>> = targets(server, ctx.conn).into_iter().map(|target| target.nick).collect();
            list(server, ctx, Numeric::RPL_MONLIST, &asked);
            ctx.reply.numeric(Numeric::RPL_ENDOFMONLIST, &[], Some("End of MONITOR list"));
        }
        "S" => {
            let asked = targets(server, ctx.conn);
            status(server, ctx, &asked);
        }
        other => {
            let text = format!("MONITOR knows +, -, C, L and S, not {other:?}");
            ctx.reply.numeric(Numeric::ERR_UNKNOWNERROR, &["MONITOR"], Some(&text));
        }
    }
}

fn targets(server: &Server, conn: ConnId) -> Vec<Target> {
    server.session(conn).map_or_else(Vec::new, |session| session.particulars().monitored.clone())
}

fn add(server: &mut Server, ctx: &mut Ctx, nicks: &str) {
    let mut added = Vec::new();
    let mut all = nicks.split(',').peekable();
    while let Some(nick) = all.next() {
        if !name::is_nick(nick, limits::NICK_LEN, server.network.casemapping) {
            ctx.reply.numeric(
                Numeric::ERR_ERRONEUSNICKNAME,
                &[printable(nick)],
                Some("Erroneous nickname: MONITOR takes nicks, not masks"),
            );
            continue;
        }
        let folded = server.network.fold(nick);
        let Some(session) = server.session_mut(ctx.conn) else { return };
        let target = Target { folded, nick: nick.into() };
        let monitored = &mut session.particulars_mut().monitored;
        if monitored.iter().any(|other| other.folded == target.folded) {
            added.push(target);
            continue;
        }
        if monitored.len() >= limits::MONITORED {
            let left: Vec<&str> = std::iter::once(nick).chain(all).collect();
            ctx.reply.numeric(
                Numeric::ERR_MONLISTFULL,
                &[&limits::MONITORED.to_string(), &left.join(",")],
                Some("Monitor list is full"),
            );
            break;
        }
        monitored.push(target.clone());
        server.network.watch(&target.folded, ctx.conn);
        added.push(target);
    }
    status(server, ctx, &added);
}

fn remove(server: &mut Server, conn: ConnId, folded: &Folded) {
    let Some(session) = server.session_mut(conn) else { return };
    session.particulars_mut().monitored.retain(|target| target.folded != *folded);
    server.network.unwatch(folded, conn);
}

/// Forgets what a connection asked about, as when it goes.
pub fn forget(server: &mut Server, conn: ConnId) {
    if targets(server, conn).is_empty() {
        return;
    }
    let Some(session) = server.session_mut(conn) else { return };
    for target in std::mem::take(&mut session.particulars_mut().monitored) {
        server.network.unwatch(&target.folded, conn);
    }
}

/// 730 for those who are online, then 731 for those who are not.
fn status(server: &Server, ctx: &mut Ctx, asked: &[Target]) {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    for target in asked {
        match server.network.user_by_nick(target.folded.as_str()) {
            Some(user) => online.push(Box::from(&*server.network.users[user].source)),
            None => match service(target.folded.as_str(), server.network.casemapping) {
                Some(Service { name, .. }) => online.push(services::source(name).into()),
                None => offline.push(target.nick.clone()),
            },
        }
    }
    list(server, ctx, Numeric::RPL_MONONLINE, &online);
    list(server, ctx, Numeric::RPL_MONOFFLINE, &offline);
}

/// As many lines as the words take, joined by commas.
fn list(server: &Server, ctx: &mut Ctx, numeric: Numeric, words: &[Box<str>]) {
    let room = MAX_BODY_BYTES - (server.settings.server_name.len() + limits::NICK_LEN + 16);
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && line.len() + 1 + word.len() > room {
            ctx.reply.numeric(numeric, &[], Some(&line));
            line.clear();
        }
        if !line.is_empty() {
            line.push(',');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        ctx.reply.numeric(numeric, &[], Some(&line));
    }
}

/// Tells whoever asked about a nick that someone has it now (`online`: the source), or nobody has.
pub fn changed(server: &mut Server, mut sender: Option<&mut Ctx>, folded: &Folded, nick: &str, online: Option<&str>) {
    let (numeric, word) = match online {
        Some(source) => (Numeric::RPL_MONONLINE, source),
        None => (Numeric::RPL_MONOFFLINE, nick),
    };
    for conn in server.network.watchers(folded).to_vec() {
        // Whoever has changed is told behind what it is answered.
        if let Some(sender) = sender.as_mut().filter(|sender| sender.conn == conn) {
            sender.reply.numeric(numeric, &[], Some(word));
            continue;
        }
        let mut ctx = server.ctx(conn, None);
        ctx.reply.numeric(numeric, &[], Some(word));
        server.finish(ctx);
    }
}

/// Sends AWAY, ACCOUNT or SETNAME of a user to those who asked about it with `extended-monitor` and do
/// not get it as one of `told` already.
pub fn extend(server: &mut Server, user: UserId, frame: &Arc<Frame>, told: &[UserId]) {
    let folded = server.network.users[user].folded.clone();
    for conn in server.network.watchers(&folded).to_vec() {
        let Some(session) = server.session(conn) else { continue };
        let extended = session.caps.has(Cap::ExtendedMonitor);
        if extended && session.user.is_some_and(|watcher| watcher != user && !told.contains(&watcher)) {
            server.frame_to(conn, frame);
        }
    }
}
