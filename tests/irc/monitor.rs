//! MONITOR, extended-monitor, and JOIN without names.

use crate::client::commands;
use crate::server::Server;

#[test]
fn monitor_tells_who_comes_goes_and_changes_nick() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let mut bob = server.user("bob");
    let lines = alice.ask("MONITOR + bob,carol,b*b");
    assert_eq!(commands(&lines), ["432", "730", "731"]);
    lines[1].must_fit(":roost.local 730 alice :bob!~*@*");
    lines[2].must_fit(":roost.local 731 alice :carol");
    bob.ask("NICK Carol");
    let lines = alice.sync();
    assert_eq!(commands(&lines), ["731", "730"]);
    lines[0].must_fit(":roost.local 731 alice :bob");
    lines[1].must_fit(":roost.local 730 alice :Carol!~*@*");
    bob.ask("NICK CAROL");
    alice.silent();
    bob.send("QUIT");
    bob.closed();
    alice.only().must_fit(":roost.local 731 alice :CAROL");
    alice.ask("MONITOR L")[0].must_fit(":roost.local 732 alice :bob,carol");
    assert_eq!(commands(&alice.ask("MONITOR S")), ["731"]);
    assert!(alice.ask("MONITOR - BOB").is_empty());
    server.user("bob").sync();
    alice.silent();
    assert!(alice.ask("MONITOR C").is_empty());
    assert_eq!(commands(&alice.ask("MONITOR L")), ["733"]);
}

#[test]
fn a_full_monitor_list_names_what_was_not_added() {
    let server = Server::start();
    let mut alice = server.user("alice");
    for tens in 0..10 {
        let nicks: Vec<String> = (0..10).map(|ones| format!("n{tens}{ones}")).collect();
        alice.ask(&format!("MONITOR + {}", nicks.join(",")));
    }
    let lines = alice.ask("MONITOR + n00,extra,more");
    assert_eq!(commands(&lines), ["734", "731"]);
    lines[0].must_fit(":roost.local 734 alice 100 extra,more :*");
}

#[test]
fn extended_monitor_tells_of_away_and_setname_once() {
    let server = Server::start();
    let mut near = server.user_with("near", "extended-monitor away-notify setname");
    let mut far = server.user_with("far", "draft/extended-monitor away-notify setname");
    let mut plain = server.user_with("plain", "away-notify setname");
    let mut bob = server.user("bob");
    for client in [&mut near, &mut bob] {
        client.join("#room");
    }
    for client in [&mut near, &mut far, &mut plain] {
        client.ask("MONITOR + bob");
        client.sync();
    }
    bob.ask("AWAY :lunch");
    bob.ask("SETNAME :Bob B");
    for client in [&mut near, &mut far] {
        let lines = client.sync();
        assert_eq!(commands(&lines), ["AWAY", "SETNAME"], "once each: {lines:#?}");
    }
    plain.silent();
}

#[test]
fn whoever_wants_no_names_on_join_gets_none_under_each_of_the_three_names() {
    let server = Server::start();
    for (nick, cap) in
        [("a", "no-implicit-names"), ("b", "draft/no-implicit-names"), ("c", "soju.im/no-implicit-names")]
    {
        let mut client = server.user_with(nick, cap);
        assert_eq!(commands(&client.ask("JOIN #room")), ["JOIN"]);
        assert_eq!(commands(&client.ask("NAMES #room")), ["353", "366"]);
    }
}
