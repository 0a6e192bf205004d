//! WHOIS and WHOWAS (Modern IRC, "WHOIS message", "WHOWAS message"): about one user, present or past.

use ircv3::message::cut;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Folded, Message};

use crate::server::command::bulk::WordLines;
use crate::server::command::printable;
use crate::server::command::services::{Service, service};
use crate::server::command::who::{ECHO_BYTES, idle_seconds, sees_member};
use crate::server::command::{info, metadata, oper};
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

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
    } else if let Some(Service { name, purpose, .. }) = service(nick, server.network.casemapping) {
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
    let viewer = oper::viewer(server, ctx);
    let user = &network.users[id];
    let nick = &*user.nick;
    ctx.reply.numeric(Numeric::RPL_WHOISUSER, &[nick, &user.user, &user.host, "*"], Some(&user.realname));

    let multi_prefix = ctx.reply.caps.has(Cap::MultiPrefix);
    let middles = [nick];
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_WHOISCHANNELS, &middles);
    for channel in user.channels.iter().map(|channel| &network.channels[*channel]) {
        if sees_member(network, viewer, id, channel) {
            let ranks = channel.ranks(id).unwrap_or_default();
            words.push(&mut ctx.reply, &[ranks.prefixes(multi_prefix), &channel.name]);
        }
    }
    words.finish(&mut ctx.reply);

    let settings = &server.settings;
    ctx.reply.numeric(Numeric::RPL_WHOISSERVER, &[nick, &settings.server_name], Some(&settings.network));
    if let Some(away) = server.away_told(viewer, id) {
        ctx.reply.numeric(Numeric::RPL_AWAY, &[nick], Some(&away));
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
    if me == id || oper::is(server, ctx) {
        private(server, ctx, id);
    }
    metadata::whois(server, ctx, id);
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
        let address = session.peer.host();
        let actual = format!("{}@{address}", user.user);
        ctx.reply.numeric(Numeric::RPL_WHOISACTUALLY, &[nick, &actual, &address], Some("Actual user@host, Actual IP"));
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

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    fn numerics(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect()
    }

    #[test]
    fn a_user_is_told_about_in_full_and_always_to_the_end() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(bob, "JOIN #a,#b");
        asked.now.mono_ms += 9_000;
        assert_eq!(
            asked.ask(alice, "WHOIS BOB"),
            [
                ":irc.test 311 alice bob ~u 10.0.0.1 * :A Name",
                ":irc.test 319 alice bob :@#a @#b",
                ":irc.test 312 alice bob irc.test :Roost",
                ":irc.test 317 alice bob 9 1700000000 :seconds idle, signon time",
                ":irc.test 318 alice bob :End of /WHOIS list",
            ]
        );
        asked.ask(bob, "AWAY :gone");
        asked.ask(bob, "MODE bob +B");
        asked.set_oper("bob");
        let lines = asked.ask(alice, "WHOIS irc.test bob,alice");
        assert_eq!(numerics(&lines), ["311", "319", "312", "301", "313", "335", "317", "318"]);
        let lines = asked.ask(bob, "WHOIS alice alice");
        assert_eq!(numerics(&lines), ["311", "312", "379", "338", "378", "317", "318"], "an operator sees more");
        let lines = asked.ask(alice, "WHOIS alice");
        assert_eq!(numerics(&lines), ["311", "312", "379", "338", "378", "317", "318"], "so does the user itself");
    }

    #[test]
    fn c32_nobody_and_services_are_answered_to_the_end() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert_eq!(
            asked.ask(alice, "WHOIS nobody"),
            [":irc.test 401 alice nobody :No such nick", ":irc.test 318 alice nobody :End of /WHOIS list"]
        );
        assert_eq!(numerics(&asked.ask(alice, "WHOIS nickserv")), ["311", "312", "318"]);
        assert_eq!(numerics(&asked.ask(alice, "WHOIS")), ["431"]);
        assert_eq!(numerics(&asked.ask(alice, "WHOIS elsewhere.test alice")), ["402"]);
    }

    #[test]
    fn c32_channels_are_split_over_lines_and_secret_ones_are_for_those_inside() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        for n in 0..80 {
            asked.ask(bob, &format!("JOIN #a-channel-with-a-long-name-{n}"));
        }
        asked.ask(bob, "MODE #a-channel-with-a-long-name-7 +s");
        let lines = asked.ask(alice, "WHOIS bob");
        let channels: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.split_once(" 319 alice bob :"))
            .flat_map(|(_, channels)| channels.split(' '))
            .collect();
        assert_eq!(channels.len(), 79);
        assert!(!channels.contains(&"@#a-channel-with-a-long-name-7"));
        assert!(numerics(&lines).iter().filter(|numeric| **numeric == "319").count() > 5);
    }

    #[test]
    fn channels_of_an_invisible_user_are_hidden_from_strangers() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(bob, "JOIN #xyz");
        asked.ask(bob, "MODE bob +i");
        assert!(!numerics(&asked.ask(alice, "WHOIS bob")).contains(&"319"));
        asked.ask(alice, "JOIN #xyz");
        assert!(numerics(&asked.ask(alice, "WHOIS bob")).contains(&"319"));
    }

    #[test]
    fn whowas_tells_the_latest_first_and_as_many_as_asked() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        for _ in 0..2 {
            let bob = asked.user("bob");
            asked.ask(bob, "QUIT");
            asked.now.unix_ms += 61_000;
        }
        let lines = asked.ask(alice, "WHOWAS BOB");
        assert_eq!(
            lines,
            [
                ":irc.test 314 alice bob ~u 10.0.0.1 * :A Name",
                ":irc.test 312 alice bob irc.test :2023-11-14 22:14:21 UTC",
                ":irc.test 314 alice bob ~u 10.0.0.1 * :A Name",
                ":irc.test 312 alice bob irc.test :2023-11-14 22:13:20 UTC",
                ":irc.test 369 alice BOB :End of WHOWAS",
            ]
        );
        for (count, found) in [("1", 1), ("2", 2), ("0", 2), ("-1", 2), ("many", 2)] {
            let lines = asked.ask(alice, &format!("WHOWAS bob {count}"));
            assert_eq!(lines.len(), 2 * found + 1, "{count}: {lines:?}");
        }
        assert_eq!(
            numerics(&asked.ask(alice, "WHOWAS nobody,bob,BOB 1")),
            ["406", "369", "314", "312", "369"],
            "each nick once"
        );
        assert_eq!(numerics(&asked.ask(alice, "WHOWAS")), ["431"]);
    }
}
