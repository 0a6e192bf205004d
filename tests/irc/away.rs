//! AWAY and away-notify.

use crate::client::{commands, find};
use crate::server::Server;

#[test]
fn c39_away_and_back() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.one("AWAY :at lunch").must_fit(":roost.local 306 alice :*");
    bob.one("PRIVMSG alice :there?").must_fit(":roost.local 301 bob alice :at lunch");
    alice.sync();
    // A NOTICE gets no such answer.
    bob.send("NOTICE alice :psst");
    bob.silent();
    alice.sync();
    alice.one("AWAY :").must_fit(":roost.local 305 alice :*");
    bob.send("PRIVMSG alice :there?");
    bob.silent();
    alice.sync();
    alice.one("AWAY").must_fit(":roost.local 305 alice :*");
}

#[test]
fn c39_away_notify_reaches_channel_peers_that_asked_and_not_oneself() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "away-notify");
    let (mut bob, mut carol) = (server.user_with("bob", "away-notify"), server.user("carol"));
    let mut stranger = server.user_with("stranger", "away-notify");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#a,#b");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let mask = alice.mask();
    assert_eq!(commands(&alice.ask("AWAY :lunch")), ["306"]);
    assert_eq!(bob.only().raw, format!(":{mask} AWAY :lunch"));
    carol.silent();
    stranger.silent();
    alice.ask("AWAY :dinner");
    assert_eq!(bob.only().raw, format!(":{mask} AWAY :dinner"));
    alice.ask("AWAY");
    assert_eq!(bob.only().raw, format!(":{mask} AWAY"));
    alice.ask("AWAY");
    bob.silent();
    // Whoever comes into the channel while away says so.
    stranger.ask("AWAY :out");
    stranger.join("#a");
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["JOIN", "AWAY"]);
    lines[1].must_fit(":stranger!* AWAY :out");
    assert_eq!(commands(&carol.sync()), ["JOIN"]);
}

#[test]
fn c36_an_away_message_is_cut_at_a_character() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.ask(&format!("AWAY :x{}", "é".repeat(120)));
    assert_eq!(find(&bob.ask("WHOIS alice"), "301").params()[2], format!("x{}", "é".repeat(99)));
}

#[test]
fn pre_away_a_connection_that_nobody_asked_for_makes_nobody_present() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut bob = server.user_with("bob", "away-notify");
    bob.join("#room");
    let mut desk = server.logged_in("alice", "alice", "sesame", "");
    desk.join("#room");
    bob.sync();
    desk.ask("AWAY :at lunch");
    bob.only().must_fit(":alice!* AWAY :at lunch");
    // A phone that fetches what was missed, on its own: it takes nobody's word, and is nobody's return.
    let connect = |away: &str| {
        let mut phone = server.connect();
        phone.request("sasl draft/pre-away");
        phone.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
        phone.authenticate("alice", "sesame");
        phone.until("903");
        let answer = phone.one(away);
        answer.must_fit(if away == "AWAY" { "* 305 alice :*" } else { "* 306 alice :*" });
        phone.send("CAP END");
        phone.welcome("alice");
        phone
    };
    let mut phone = connect("AWAY *");
    bob.silent();
    find(&bob.ask("WHOIS alice"), "301").must_fit("*301 bob alice :at lunch");
    phone.send("QUIT");
    phone.closed();
    bob.silent();
    // With a reason, it is one; without AWAY, somebody is there.
    let mut phone = connect("AWAY :on the train");
    bob.only().must_fit(":alice!* AWAY :on the train");
    desk.send("QUIT");
    desk.closed();
    bob.silent();
    drop(connect("AWAY"));
    bob.one_of(&["AWAY"]).must_fit(":alice!* AWAY");
    phone.send("QUIT");
    // A new nick comes as ever, and is away from the start.
    let mut new = server.connect();
    new.request("draft/pre-away");
    new.send("AWAY *");
    new.until("306");
    new.send_all(&["NICK carol", "USER carol 0 * :Carol", "CAP END"]);
    new.welcome("carol");
    let lines = bob.ask("PRIVMSG carol :there?");
    assert_eq!(commands(&lines).last(), Some(&"301"), "{lines:#?}");
    // Without the capability it is too early.
    let mut early = server.connect();
    early.one("AWAY *").must_fit("*451 * :*");
}
