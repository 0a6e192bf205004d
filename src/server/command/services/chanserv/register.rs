//! ChanServ REGISTER and DROP.

use ircv3::mode::Rank;
use ircv3::name;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::services::chanserv::{
    announce_registered, channel_known, channel_to_settle, founder_acted_for, is_meant, release, settle_founder, tell,
};
use crate::server::command::services::{quoted, say};
use crate::server::network::ChannelId;
use crate::server::notice::About;
use crate::server::policy;
use crate::server::record::Seq;
use crate::server::setting::ChannelSettings;
use crate::server::{Ctx, Server};

/// REGISTER
pub fn register(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    server.submit(ctx, Change::RegisterChannel { channel: params[0] });
}

/// DROP
pub fn drop(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(id) = channel_to_settle(server, ctx, params[0]) else { return };
    // While nothing can be stored, that is what is said.
    let is_asked = loses_more_than_registering_gives(server, ctx, id) && !server.store_refuses();
    if is_asked && !is_meant(server, ctx, id, ("DROP", ""), params.get(1)) {
        return;
    }
    if founder_acted_for(server, ctx, id).is_some() {
        server.audit(ctx.me(), &format!("ChanServ DROP {}", params[0]));
    }
    server.submit(ctx, Change::DropChannel { channel: params[0] });
}

/// Whether a channel that was dropped would not be as it was once the sender registers it again.
fn loses_more_than_registering_gives(server: &Server, ctx: &Ctx, id: ChannelId) -> bool {
    let channel = &server.network.channels[id];
    let may_register = channel.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Op));
    // What was cleared stays so, and when it was used was not chosen.
    let ChannelSettings { cleared, used, .. } = channel.settings;
    let is_plain = channel.settings == ChannelSettings { cleared, used, ..ChannelSettings::default() };
    let is_plain = is_plain && channel.access.is_empty();
    founder_acted_for(server, ctx, id).is_some() || !may_register || !is_plain
}

/// Registers a channel to the sender's account, where it may.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str) {
    let Some(id) = channel_known(server, ctx, name) else {
        let can_be = name::is_channel(name, limits::CHANNEL_LEN);
        let how = if can_be { "; /join it first, and then register it" } else { "" };
        say(ctx, "ChanServ", &format!("There is no channel {}{how}", quoted(name)));
        return;
    };
    if !server.is_open_to_registrations() {
        say(ctx, "ChanServ", "Channels cannot be registered now; try again later");
        return;
    }
    let Some(account) = server.network.users[ctx.me()].account else {
        say(ctx, "ChanServ", "Log in first: a channel belongs to an account");
        return;
    };
    let channel = &server.network.channels[id];
    let name = channel.name.clone();
    if !server.settings.channel_registration {
        say(ctx, "ChanServ", "Channels cannot be registered on this server");
        return;
    }
    if channel.founder.is_some() {
        say(ctx, "ChanServ", &format!("Channel {name} is registered already"));
        return;
    }
    if server.network.purge(&name).is_some() {
        say(ctx, "ChanServ", &format!("Channel {name} is closed for good, and cannot be registered"));
        return;
    }
    if !channel.ranks(ctx.me()).is_some_and(|ranks| ranks.at_least(Rank::Op)) {
        say(ctx, "ChanServ", &format!("Only an operator of {name} can register it"));
        return;
    }
    if policy::channel_is_like_another(&server.network, &name, Some(account)) {
        say(ctx, "ChanServ", &format!("{name} looks like another channel that is registered; choose another name"));
        return;
    }
    let registered = server.clock();
    let channel = &mut server.network.channels[id];
    channel.founder = Some(account);
    channel.registered = registered;
    let after = server.keep_whole_channel(id, seq);
    let by = server.network.users[ctx.me()].source.clone();
    server.notify(About::Channels, |_| format!("{name} was registered by {by}"));
    ctx.reply.after = ctx.reply.after.max(after);
    say(ctx, "ChanServ", &format!("Channel {name} is registered"));
    announce_registered(server, ctx, id, after, "+r");
    settle_founder(server, ctx, id, after);
}

/// Ends the registration of the sender's channel, or of another's for an operator.
pub fn apply_drop(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str) {
    let Some(id) = channel_to_settle(server, ctx, name) else { return };
    let other = founder_acted_for(server, ctx, id);
    let name = server.network.channels[id].name.clone();
    let sealed = release(server, ctx, seq, id);
    server.notify(About::Channels, |_| format!("{name} is no longer registered"));
    let history = if sealed { ", and nobody reads any more what was said in it until now" } else { "" };
    say(ctx, "ChanServ", &format!("Channel {name} is no longer registered{history}"));
    if let Some(founder) = other {
        let text = format!("{name} is no longer registered to you: an operator of this server ended it");
        let after = server.wait_for(seq);
        tell(server, founder, after, &text);
    }
    server.network.drop_channel_if_empty(id);
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::record::PurgeRow;

    #[test]
    fn whoever_was_founder_of_a_channel_that_is_dropped_is_operator_and_nothing_above_its_next_founder() {
        for dropped_by in ["alice", "boss"] {
            let mut asked = Asked::new();
            let [alice, bob, carol, dave, boss] = [("alice", 1), ("bob", 2), ("carol", 3), ("dave", 4), ("boss", 5)]
                .map(|(nick, account)| {
                    let conn = asked.user(nick);
                    asked.account(nick, account);
                    conn
                });
            asked.set_oper("boss");
            asked.ask(alice, "JOIN #d");
            asked.ask(alice, "CS REGISTER #d");
            for conn in [bob, carol, dave] {
                asked.ask(conn, "JOIN #d");
            }
            asked.ask(alice, "MODE #d +oqv bob carol dave");
            asked.ask(alice, "CS AMODE #d +a dave");
            let by = if dropped_by == "alice" { alice } else { boss };
            assert!(asked.confirmed(by, "CS DROP #d").concat().contains("no longer registered"));
            assert_eq!(asked.ranks("#d"), ["alice @", "bob @", "carol @", "dave @+"], "{dropped_by}");
            asked.ask(bob, "CS REGISTER #d");
            asked.ask(alice, "MODE #d -qo bob bob");
            asked.ask(alice, "KICK #d bob");
            assert_eq!(asked.ranks("#d"), ["alice @", "bob ~@", "carol @", "dave @+"], "{dropped_by}");
        }
    }

    #[test]
    fn whoever_registers_a_channel_is_its_only_founder() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.set_oper("bob");
        asked.ask(alice, "JOIN #d");
        asked.ask(bob, "JOIN #d");
        asked.ask(bob, "SAMODE #d +q bob");
        asked.ask(alice, "CS REGISTER #d");
        assert_eq!(asked.ranks("#d"), ["alice ~@", "bob "]);
    }

    #[test]
    fn a_channel_that_is_closed_for_good_is_neither_joined_by_sajoin_nor_registered() {
        let mut asked = Asked::new();
        let (boss, bob) = (asked.user("boss"), asked.user("bob"));
        asked.account("bob", 1);
        asked.set_oper("boss");
        asked.ask(boss, "CS PURGE ADD #p bad");
        let told = asked.ask(boss, "SAJOIN bob #P").concat();
        assert!(told.contains("#P is closed for good (bad)"), "{told}");
        assert!(asked.server.network.channel_by_name("#p").is_none());
        // An earlier version let people in.
        asked.ask(boss, "CS PURGE DEL #p");
        asked.ask(bob, "JOIN #p");
        let row = PurgeRow { channel: "#p".into(), reason: "bad".into(), setter: "boss".into(), set_at: 0 };
        asked.server.network.put_purge(row);
        let told = asked.ask(bob, "CS REGISTER #p").concat();
        assert!(told.contains("closed for good"), "{told}");
    }
}
