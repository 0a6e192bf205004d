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
