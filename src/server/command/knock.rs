//! KNOCK (hybrid, Solanum, InspIRCd; numerics 710 to 714): asks the operators of a channel that one
//! cannot join for an invitation.

use std::sync::Arc;

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::mode::Rank;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::find_channel;
use crate::server::network::UserId;
use crate::server::policy;
use crate::server::registration::server_frame;
use crate::server::{Ctx, Server};

/// `KNOCK channel [reason]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let reason = cut(line.param(1).unwrap_or(""), limits::KICK_LEN);
    server.submit(ctx, Change::Knock { channel: line.param(0).unwrap_or(""), reason });
}

/// Tells halfops and those above them that the sender would like to come in.
pub fn apply(server: &mut Server, ctx: &mut Ctx, name: &str, reason: &str) {
    let me = ctx.me();
    let now = server.now().mono_ms;
    let Some(id) = find_channel(server, ctx, name) else { return };
    let channel = &server.network.channels[id];
    let name = channel.name.clone();
    if channel.members.contains_key(&me) {
        ctx.reply.numeric(Numeric::ERR_KNOCKONCHAN, &[&name], Some("You are already on that channel"));
        return;
    }
    if policy::may_join(&server.network, me, id, None, now).is_ok() {
        ctx.reply.numeric(Numeric::ERR_CHANOPEN, &[&name], Some("Channel is open: join it"));
        return;
    }
    // A ban means that nobody wants to hear of it.
    if policy::is_banned(&server.network, me, channel, None) {
        let text = "Cannot knock on channel (+b: you are banned)";
        ctx.reply.numeric(Numeric::ERR_CANNOTSENDTOCHAN, &[&name], Some(text));
        return;
    }
    let serial = channel.serial;
    let knocked = server.network.users[me].contacts.as_deref().map_or(&[][..], |contacts| &contacts.knocked);
    let lately = |(at, when): &(u64, u64)| *at == serial && now < when + limits::KNOCK_MS;
    if knocked.iter().any(lately) {
        let text = format!("Too many KNOCKs (user): once in {} minutes", limits::KNOCK_MS / 60_000);
        ctx.reply.numeric(Numeric::ERR_TOOMANYKNOCK, &[&name], Some(&text));
        return;
    }
    if channel.knocked.is_some_and(|when| now < when + limits::KNOCK_CHANNEL_MS) {
        let text = "Too many KNOCKs (channel): try again in a moment";
        ctx.reply.numeric(Numeric::ERR_TOOMANYKNOCK, &[&name], Some(text));
        return;
    }
    let operators: Vec<UserId> =
        channel.members.iter().filter(|(_, ranks)| ranks.at_least(Rank::Halfop)).map(|(id, _)| *id).collect();
    server.network.channels[id].knocked = Some(now);
    let knocked = &mut server.network.users[me].contacts.get_or_insert_default().knocked;
    knocked.retain(|(_, when)| now < when + limits::KNOCK_MS);
    knocked.push((serial, now));
    let text = match reason {
        "" => "has asked for an invite".to_owned(),
        reason => format!("has asked for an invite ({reason})"),
    };
    let mut line = Vec::with_capacity(160);
    // Clients look for the channel where other numerics have the nick.
    let middles = [&*name, &*name, &*server.network.users[me].source];
    let room = ircv3::message::MAX_BODY_BYTES
        - (": 710    :\r\n".len() + server.settings.server_name.len() + 2 * name.len() + middles[2].len());
    let (server_name, numeric) = (&server.settings.server_name, Numeric::RPL_KNOCK.as_str());
    write_line(&mut line, server_name, numeric, &middles, Some(cut(&text, room)));
    let frame = server_frame(server, line);
    server.frame_to_users(&operators, Arc::new(frame), None);
    ctx.reply.numeric(Numeric::RPL_KNOCKDLVR, &[&name], Some("Your KNOCK has been delivered"));
}

#[cfg(test)]
mod tests {
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn c35_a_knock_reaches_the_operators_and_too_many_do_not() {
        let mut asked = Asked::new();
        let (alice, bob, carol) = (asked.user("alice"), asked.user("bob"), asked.user("carol"));
        asked.ask(alice, "JOIN #Room");
        asked.ask(carol, "JOIN #room");
        assert!(asked.ask(bob, "KNOCK #room")[0].contains(" 713 bob #Room :"), "it is open");
        asked.ask(alice, "MODE #room +i");
        assert!(asked.ask(carol, "KNOCK #room")[0].contains(" 714 carol #Room :"));
        assert!(asked.ask(bob, "KNOCK #nosuch")[0].contains(" 403 bob #nosuch :"));
        assert_eq!(asked.ask(bob, "KNOCK #room :please"), [":irc.test 711 bob #Room :Your KNOCK has been delivered"]);
        let told = asked.pages(bob, "KNOCK #room");
        assert!(told[0][0].contains(" 712 bob #Room :Too many KNOCKs (user)"), "{told:?}");
        let dave = asked.user("dave");
        assert!(asked.ask(dave, "KNOCK #room")[0].contains(" 712 dave #Room :Too many KNOCKs (channel)"));
        asked.now.mono_ms += limits::KNOCK_CHANNEL_MS;
        assert!(asked.ask(dave, "KNOCK #room")[0].contains(" 711 "));
        asked.now.mono_ms += limits::KNOCK_MS;
        assert!(asked.ask(bob, "KNOCK #room")[0].contains(" 711 "));
        // Not past a ban, and not at a channel that nobody is to know of.
        asked.now.mono_ms += limits::KNOCK_MS;
        asked.ask(alice, "MODE #room +b bob");
        assert!(asked.ask(bob, "KNOCK #room")[0].contains(" 404 bob #Room :"));
        asked.ask(alice, "MODE #room +s-b bob");
        assert!(asked.ask(bob, "KNOCK #room")[0].contains(" 403 bob #room :"));
        // Whoever is invited need not ask.
        asked.ask(alice, "MODE #room -s");
        asked.ask(alice, "INVITE bob #room");
        assert!(asked.ask(bob, "KNOCK #room")[0].contains(" 713 "));
    }

    #[test]
    fn the_longest_reason_and_names_fit_into_a_line() {
        let mut asked = Asked::new();
        let nick = "n".repeat(limits::NICK_LEN);
        let (alice, bob) = (asked.user_with("alice", "message-tags"), asked.user(&nick));
        let channel = format!("#{}", "c".repeat(limits::CHANNEL_LEN - 1));
        asked.ask(alice, &format!("JOIN {channel}"));
        asked.ask(alice, &format!("MODE {channel} +i"));
        assert!(asked.ask(bob, &format!("KNOCK {channel} :{}", "é".repeat(150)))[0].contains(" 711 "));
    }
}
