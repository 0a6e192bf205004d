//! WHOIS and WHOWAS (Modern IRC, "WHOIS message", "WHOWAS message"): about one user, present or past.

use ircv3::message::cut;
use ircv3::name::host_of;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Folded, Message};

use crate::server::command::bulk::WordLines;
use crate::server::command::info;
use crate::server::command::printable;
use crate::server::command::who::{ECHO_BYTES, idle_seconds, sees_member};
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// Services, and what they do.
const SERVICES: &[(&str, &str)] =
    &[("NickServ", "Registers accounts and logs in to them"), ("ChanServ", "Registers channels")];

/// A service's nick as it is written, and what it does.
pub fn service(nick: &str) -> Option<(&'static str, &'static str)> {
    SERVICES.iter().copied().find(|(name, _)| name.eq_ignore_ascii_case(nick))
}

/// `WHOIS [server] nick`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (target, nick) = match (line.param(0), line.param(1)) {
        (Some(target), Some(nick)) => (Some(target), nick),
        (nick, _) => (None, nick.unwrap_or_default()),
    };
    // TARGMAX says one.
    let Some(nick) = nick.split(',').find(|nick| !nick.is_empty()) else {
        ctx.reply.numeric(Numeric::ERR_NONICKNAMEGIVEN, &[], Some("No nickname given"));
        return;
    };
    if info::is_elsewhere(server, ctx, target) {
        return;
    }
    if let Some(user) = server.network.user_by_nick(nick) {
        about(server, ctx, user);
        end(ctx, &server.network.users[user].nick);
    } else if let Some((name, purpose)) = service(nick) {
        let settings = &server.settings;
        ctx.reply.numeric(Numeric::RPL_WHOISUSER, &[name, name, "services", "*"], Some(purpose));
        ctx.reply.numeric(Numeric::RPL_WHOISSERVER, &[name, &settings.server_name], Some(&settings.network));
        end(ctx, name);
    } else {
        let nick = cut(printable(nick), ECHO_BYTES);
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[nick], Some("No such nick"));
        end(ctx, nick);
    }
}

/// 318
fn end(ctx: &mut Ctx, nick: &str) {
    ctx.reply.numeric(Numeric::RPL_ENDOFWHOIS, &[nick], Some("End of /WHOIS list"));
}

/// Everything between the question and 318.
fn about(server: &Server, ctx: &mut Ctx, id: UserId) {
    let network = &server.network;
    let me = ctx.me();
    let user = &network.users[id];
    let nick = &*user.nick;
    ctx.reply.numeric(Numeric::RPL_WHOISUSER, &[nick, &user.user, &user.host, "*"], Some(&user.realname));

    let multi_prefix = ctx.reply.caps.has(Cap::MultiPrefix);
    let middles = [nick];
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_WHOISCHANNELS, &middles);
    for channel in user.channels.iter().map(|channel| &network.channels[*channel]) {
        if sees_member(network, me, id, channel) {
            let ranks = channel.ranks(id).unwrap_or_default();
            words.push(&mut ctx.reply, &[ranks.prefixes(multi_prefix), &channel.name]);
        }
    }
    words.finish(&mut ctx.reply);

    let settings = &server.settings;
    ctx.reply.numeric(Numeric::RPL_WHOISSERVER, &[nick, &settings.server_name], Some(&settings.network));
    if let Some(away) = &user.away {
        ctx.reply.numeric(Numeric::RPL_AWAY, &[nick], Some(away));
    }
    if user.is_oper() {
        ctx.reply.numeric(Numeric::RPL_WHOISOPERATOR, &[nick], Some("is an IRC operator"));
    }
    if let Some(account) = &user.account_name {
        ctx.reply.numeric(Numeric::RPL_WHOISACCOUNT, &[nick, account], Some("is logged in as"));
    }
    if user.is_bot() {
        ctx.reply.numeric(Numeric::RPL_WHOISBOT, &[nick], Some("is a bot"));
    }
    if user.secure {
        ctx.reply.numeric(Numeric::RPL_WHOISSECURE, &[nick], Some("is using a secure connection"));
    }
    if me == id || network.users[me].is_oper() {
        private(server, ctx, id);
    }
    let idle = idle_seconds(server, user).to_string();
    let signon = user.signon.to_string();
    ctx.reply.numeric(Numeric::RPL_WHOISIDLE, &[nick, &idle, &signon], Some("seconds idle, signon time"));
}

/// What only the user itself and operators see: modes, and for each connection its address and certificate.
fn private(server: &Server, ctx: &mut Ctx, id: UserId) {
    let user = &server.network.users[id];
    let nick = &*user.nick;
    let modes = format!("is using modes +{}", user.modes.text());
    ctx.reply.numeric(Numeric::RPL_WHOISMODES, &[nick], Some(&modes));
    for session in user.sessions.iter().filter_map(|conn| server.session(*conn)) {
        let address = host_of(session.peer.ip);
        let text = format!("is connecting from {}@{address} {address}", user.user);
        ctx.reply.numeric(Numeric::RPL_WHOISHOST, &[nick], Some(&text));
        if let Some(certfp) = &session.peer.certfp {
            let text = format!("has client certificate fingerprint {certfp}");
            ctx.reply.numeric(Numeric::RPL_WHOISCERTFP, &[nick], Some(&text));
        }
    }
}

/// `WHOWAS nick[,nick...] [count]`
pub fn whowas(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    // What is not a positive number asks for all.
    let count = line.param(1).and_then(|count| count.parse().ok()).filter(|count| *count > 0).unwrap_or(usize::MAX);
    let mut asked: Vec<(&str, Folded)> = Vec::new();
    for nick in line.param(0).unwrap_or_default().split(',').filter(|nick| !nick.is_empty()) {
        let folded = server.network.fold(nick);
        if !asked.iter().any(|(_, other)| *other == folded) {
            asked.push((nick, folded));
        }
    }
    if asked.is_empty() {
        ctx.reply.numeric(Numeric::ERR_NONICKNAMEGIVEN, &[], Some("No nickname given"));
        return;
    }
    for (nick, folded) in asked {
        let mut found = 0;
        for was in server.network.whowas.iter().filter(|was| was.folded == folded).take(count) {
            found += 1;
            let nick = &*was.nick;
            ctx.reply.numeric(Numeric::RPL_WHOWASUSER, &[nick, &was.user, &was.host, "*"], Some(&was.realname));
            let left = info::readable(was.left);
            ctx.reply.numeric(Numeric::RPL_WHOISSERVER, &[nick, &server.settings.server_name], Some(&left));
            if let Some(account) = &was.account {
                ctx.reply.numeric(Numeric::RPL_WHOISACCOUNT, &[nick, account], Some("was logged in as"));
            }
        }
        let nick = cut(printable(nick), ECHO_BYTES);
        if found == 0 {
            ctx.reply.numeric(Numeric::ERR_WASNOSUCHNICK, &[nick], Some("There was no such nickname"));
        }
        ctx.reply.numeric(Numeric::RPL_ENDOFWHOWAS, &[nick], Some("End of WHOWAS"));
    }
}
