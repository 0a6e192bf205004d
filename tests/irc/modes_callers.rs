//! Who may write to a user: `R` and `g` with ACCEPT, and SILENCE; and KNOCK.

use crate::client::{all, commands, find, texts};
use crate::server::Server;

#[test]
fn accept_lets_a_guest_write_under_r_until_it_is_taken_back() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.ask("MODE alice +R");
    bob.one("PRIVMSG alice :hi").must_fit(":roost.local 477 bob alice :*");
    assert!(alice.ask("ACCEPT bob").is_empty());
    assert!(bob.ask("PRIVMSG alice :hi").is_empty());
    alice.only().must_fit(":bob!* PRIVMSG alice :hi");
    let lines = alice.ask("ACCEPT *");
    assert_eq!(commands(&lines), ["281", "282"]);
    lines[0].must_fit(":roost.local 281 alice bob");
    alice.ask("ACCEPT -bob");
    bob.one("PRIVMSG alice :hi").must_fit(":roost.local 477 bob alice :*");
    // To write to someone is to let it answer.
    alice.ask("PRIVMSG bob :well?");
    bob.sync();
    assert!(bob.ask("PRIVMSG alice :yes").is_empty());
    alice.only();
    alice.one("ACCEPT").must_fit(":roost.local 461 alice ACCEPT :*");
}

#[test]
fn an_account_that_was_accepted_may_write_under_any_nick() {
    let server = Server::start();
    server.account("bob", "sesame");
    let mut alice = server.user("alice");
    alice.ask("MODE alice +g");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert_eq!(commands(&bob.ask("PRIVMSG alice :hi")), ["716", "717"]);
    alice.only().must_fit(":roost.local 718 alice bob *@* :*");
    alice.ask("ACCEPT bob");
    bob.send("QUIT");
    bob.closed();
    find(&alice.ask("ACCEPT *"), "281").must_fit("* 281 alice bob");
    let mut again = server.logged_in("robert", "bob", "sesame", "");
    assert!(again.ask("PRIVMSG alice :hi").is_empty());
    alice.only().must_fit(":robert!* PRIVMSG alice :hi");
}

#[test]
fn silence_keeps_people_out_of_private_talk_and_history() {
    let server = Server::start();
    server.account("alice", "sesame");
    let caps = "message-tags server-time batch draft/chathistory";
    let mut alice = server.logged_in("alice", "alice", "sesame", caps);
    let mut bob = server.user_with("bob", "message-tags echo-message labeled-response batch");
    alice.one("SILENCE +bob").must_fit("*:alice!* SILENCE +bob!*@*");
    find(&alice.ask("SILENCE"), "271").must_fit("* 271 alice bob!*@*");
    for line in ["PRIVMSG alice :hi", "NOTICE alice :hi", "@+typing=active TAGMSG alice"] {
        assert_eq!(bob.ask(line).len(), 1, "{line} is echoed as ever");
        alice.silent();
    }
    bob.join("#room");
    bob.ask("INVITE alice #room");
    alice.silent();
    assert_eq!(commands(&alice.ask("CHATHISTORY LATEST bob * 10")), ["BATCH", "BATCH"]);
    alice.ask("SILENCE -bob");
    bob.ask("PRIVMSG alice :hi");
    alice.only().must_fit("*:bob!* PRIVMSG alice :hi");
    assert_eq!(commands(&alice.ask("CHATHISTORY LATEST bob * 10")).len(), 3);
}

#[test]
fn c35_a_knock_is_heard_once() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.one("KNOCK #room").must_fit(":roost.local 713 bob #room :*");
    alice.ask("MODE #room +i");
    bob.one("KNOCK #room :let me in").must_fit(":roost.local 711 bob #room :*");
    alice.only().must_fit(":roost.local 710 #room #room bob!* :has asked for an invite (let me in)");
    bob.one("KNOCK #room").must_fit(":roost.local 712 bob #room :*");
    alice.silent();
    alice.one("KNOCK #room").must_fit(":roost.local 714 alice #room :*");
    bob.one("KNOCK").must_fit(":roost.local 461 bob KNOCK :*");
}

#[test]
fn whom_one_lets_write_and_whom_not_is_so_after_a_kill_for_who_is_always_on() {
    let mut server = Server::start();
    for (name, password) in [("alice", "sesame"), ("bob", "poppy"), ("carol", "thistle")] {
        server.account(name, password);
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut bob = server.logged_in("bob", "bob", "poppy", "");
    for line in ["MODE alice +g", "ACCEPT bob", "SILENCE +evil!*@*", "SILENCE +a:carol", "SILENCE -evil!*@*"] {
        alice.ask(line);
    }
    // What is set before she stays is kept from when she does.
    alice.ask("NS SET ALWAYS-ON ON");
    alice.ask("SILENCE +mallory!*@*");
    bob.ask("PING x");
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "poppy", "");
    let mut carol = server.logged_in("carol", "carol", "thistle", "");
    let lines = bob.ask("PRIVMSG alice :from a friend");
    assert!(all(&lines, "716").is_empty() && all(&lines, "301").len() == 1, "{lines:#?}");
    assert_eq!(all(&carol.ask("PRIVMSG alice :from another"), "716").len(), 1);
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/chathistory batch");
    let silenced: Vec<_> = all(&alice.ask("SILENCE"), "271").iter().map(|line| line.params()[1].to_owned()).collect();
    assert_eq!(silenced, ["a:carol", "mallory!*@*"]);
    assert_eq!(all(&alice.ask("ACCEPT *"), "281").len(), 1);
    assert_eq!(texts(&alice.ask("CHATHISTORY LATEST bob * 10")), ["from a friend"]);
    // With her stay they end.
    alice.ask("NS SET ALWAYS-ON OFF");
    alice.send("QUIT");
    alice.closed();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(all(&alice.ask("SILENCE"), "271").is_empty());
}
