//! What the server tells of itself over the wire: STATS, LINKS, MAP, TRACE, USERIP, HELP.

use crate::client::{all, commands, find};
use crate::opers::{root, server};

#[test]
fn stats_are_answered_to_the_end_and_some_are_for_operators() {
    let server = server();
    let (mut alice, mut bob) = (root(&server, "alice"), server.user("bob"));
    assert_eq!(commands(&bob.ask("STATS u")), ["242", "250", "219"]);
    let lines = bob.ask("STATS p");
    assert!(lines[0].fits(":roost.local 249 bob :alice (~alice@*) Idle: *"), "{lines:#?}");
    bob.one("STATS o").must_fit(":roost.local 481 bob :*");
    let lines = alice.ask("STATS o");
    assert_eq!(all(&lines, "243").len(), 2);
    find(&lines, "219").must_fit(":roost.local 219 alice o :End of /STATS report");
    assert!(!lines.iter().any(|line| line.raw.contains("sesame")));
    let lines = alice.ask("STATS m");
    assert!(lines.iter().any(|line| line.fits(":roost.local 212 alice STATS 5")), "{lines:#?}");
    bob.one("STATS Z").must_fit(":roost.local 219 bob Z :*");
}

#[test]
fn one_server_is_a_small_network() {
    let server = server();
    let mut alice = server.user("alice");
    let lines = alice.ask("LINKS");
    lines[0].must_fit(":roost.local 364 alice roost.local roost.local :0 *");
    lines[1].must_fit(":roost.local 365 alice * :End of /LINKS list");
    assert_eq!(commands(&alice.ask("MAP")), ["006", "007"]);
    alice.one("USERIP alice").must_fit(":roost.local 340 alice :alice=+~alice@127.0.0.1");
    assert_eq!(commands(&alice.ask("TRACE")), ["205", "262"]);
    assert_eq!(commands(&alice.ask("HELP SNOMASK k")), ["704", "705", "706"]);
}
