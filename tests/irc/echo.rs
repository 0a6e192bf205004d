//! echo-message: the sender gets what the others got (<https://ircv3.net/specs/extensions/echo-message>).

use crate::client::commands;
use crate::server::Server;

#[test]
fn the_echo_is_the_message_with_its_own_source_and_the_same_id_and_time() {
    let server = Server::start();
    let caps = "echo-message message-tags server-time";
    let (mut alice, mut bob) = (server.user_with("alice", caps), server.user_with("bob", caps));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    for line in
        ["@+x=1 PRIVMSG #room :hi  there ", "NOTICE #room :psst", "@+typing=active TAGMSG #room", "PRIVMSG @#room :ops"]
    {
        let echo = alice.one(line);
        echo.msgid();
        echo.time();
        assert!(echo.source().starts_with("alice!"));
        if !line.contains("@#room") {
            assert_eq!(echo.raw, bob.only().raw);
        } else {
            echo.must_fit(":alice!* PRIVMSG @#room :ops");
            bob.silent();
        }
    }
    let echo = alice.one("PRIVMSG bob :just you");
    assert_eq!(echo.raw, bob.only().raw);
}

#[test]
fn no_echo_of_what_was_refused() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "echo-message");
    let mut bob = server.user("bob");
    bob.join("#room");
    assert_eq!(commands(&alice.ask("PRIVMSG nobody :hi")), ["401"]);
    assert_eq!(commands(&alice.ask("PRIVMSG #room :hi")), ["404"]);
    bob.silent();
}

#[test]
fn a_tagmsg_is_echoed_only_with_message_tags() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "echo-message");
    let _bob = server.user("bob");
    alice.send("@+typing=active TAGMSG bob");
    for line in alice.sync() {
        assert_ne!(line.command(), "TAGMSG");
    }
}

#[test]
fn the_echo_comes_in_the_order_that_everyone_sees() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user_with("alice", "echo-message"), server.user_with("bob", "echo-message"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    for number in 0..100 {
        alice.send(&format!("PRIVMSG #room :a{number}"));
        bob.send(&format!("PRIVMSG #room :b{number}"));
    }
    let read = |client: &mut crate::client::Client| -> Vec<String> { (0..200).map(|_| client.line().raw).collect() };
    assert_eq!(read(&mut alice), read(&mut bob));
}
