//! NickServ CLIENTS: one's connections.

use crate::server::command::info::readable;
use crate::server::command::services::{own_account, say, usage_of};
use crate::server::event::ConnId;
use crate::server::{Ctx, Server};

/// CLIENTS
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let verb = params.first().map_or("LIST".to_owned(), |verb| verb.to_ascii_uppercase());
    match (verb.as_str(), params.get(1)) {
        ("LIST", None) => list(server, ctx),
        ("LOGOUT", Some(which)) => logout(server, ctx, which),
        _ => usage_of(ctx, "NickServ", "CLIENTS"),
    }
}

/// The connections that are logged in to the sender's account, by their numbers.
fn own(server: &Server, ctx: &Ctx) -> Vec<(u64, ConnId)> {
    let account = own_account(server, ctx);
    let own = server.all_sessions().filter(|session| session.account == account && !session.closing);
    let mut own: Vec<_> = own.map(|session| (session.serial, session.conn)).collect();
    own.sort_unstable_by_key(|(serial, _)| *serial);
    own
}

fn list(server: &mut Server, ctx: &mut Ctx) {
    let now = server.now().mono_ms;
    let clock = server.clock();
    let own = own(server, ctx);
    say(ctx, "NickServ", &format!("Connections of your account: {}", own.len()));
    for (serial, conn) in own {
        let Some(session) = server.session(conn) else { continue };
        let device = if session.device.is_empty() { "no device" } else { &session.device };
        let nick = session.user.map_or("(not registered)", |user| &server.network.users[user].nick);
        let by = session.particulars().app.as_ref().map(|app| format!(", by the password {app:?}")).unwrap_or_default();
        let protected = if session.peer.tls { ", TLS" } else { "" };
        let this = if conn == ctx.conn { " (this one)" } else { "" };
        let text = format!(
            "{serial}{this}: {device}, as {nick} from {}{protected}, since {}, idle for {} s{by}",
            session.peer.host(),
            readable(clock.saturating_sub(now.saturating_sub(session.opened))),
            now.saturating_sub(session.heard) / 1000,
        );
        say(ctx, "NickServ", &text);
    }
}

fn logout(server: &mut Server, ctx: &mut Ctx, which: &str) {
    let all = which.eq_ignore_ascii_case("ALL");
    let number = which.parse::<u64>().ok();
    let wanted = |(serial, conn): &(u64, ConnId)| if all { *conn != ctx.conn } else { Some(*serial) == number };
    let ended: Vec<ConnId> = own(server, ctx).into_iter().filter(wanted).map(|(_, conn)| conn).collect();
    if ended.is_empty() && !all {
        say(ctx, "NickServ", &format!("No connection of yours has the number {which:?}; CLIENTS LIST shows them"));
        return;
    }
    say(ctx, "NickServ", &format!("Ended {} of your connections", ended.len()));
    let reason = match *ended {
        [conn] if conn == ctx.conn => "Logged out",
        _ => "Logged out by another of your connections",
    };
    server.end_connections(ctx, &ended, reason);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn whoever_is_logged_out_is_told_whether_another_connection_did_it() {
        let mut asked = Asked::new();
        let [desk, phone] = ["desk", "phone"].map(|device| asked.device("alice", 1, device, "batch"));
        for (ended, reason) in [(phone, "(Logged out by another of your connections)"), (desk, "(Logged out)")] {
            let number = asked.server.session(ended).unwrap().serial;
            asked.ask(desk, &format!("NS CLIENTS LOGOUT {number}"));
            let words = asked.last_words(ended);
            assert!(words.trim_end().ends_with(reason), "{words}");
        }
    }
}
