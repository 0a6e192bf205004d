//! Lines on the wire: spaces, forbidden bytes, UTF-8, lengths.

use crate::client::{commands, find, texts};
use crate::server::Server;

#[test]
fn c02_runs_of_spaces_separate_and_the_text_is_kept() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    alice.send("PRIVMSG    #room     :two  spaces   here ");
    alice.silent();
    assert_eq!(texts(&bob.sync()), ["two  spaces   here "]);
    alice.send("   PING   tok");
    assert_eq!(alice.line().params().last(), Some(&"tok"));
    alice.send("PRIVMSG #room  text");
    alice.silent();
    assert_eq!(texts(&bob.sync()), ["text"]);
}

#[test]
fn c03_cr_and_nul_inside_a_line_never_reach_anyone() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    // The client refuses any line with a CR or NUL inside, so reading is the check.
    alice.send_bytes(b"PRIVMSG bob :hi\r:mallory!m@evil PRIVMSG bob :forged\r\n");
    alice.sync();
    assert!(bob.sync().iter().all(|line| !line.source().contains("mallory")));
    alice.send_bytes(b"PRIVMSG bob :ab\x00cd\r\nPRIVMSG bob :next\r\n");
    alice.sync();
    assert_eq!(texts(&bob.sync()), ["next"], "the line with NUL is refused whole");
    for line in [
        &b"TOPIC #room :a\rb\r\n"[..],
        b"TOPIC #room :a\x00b\r\n",
        b"AWAY :a\rb\r\n",
        b"AWAY :a\x00b\r\n",
        b"KICK #room bob :a\x00b\r\n",
        b"SETNAME :a\x00b\r\n",
        b"PART #room :a\rb\r\n",
    ] {
        alice.send_bytes(line);
        alice.sync();
        bob.sync();
        bob.ask("WHOIS alice");
    }
    // Such a QUIT is refused whole as well.
    alice.send_bytes(b"QUIT :a\x00b\r\nQUIT :a\rb\r\n");
    assert_eq!(commands(&alice.sync()), ["FAIL", "FAIL"]);
    bob.silent();
}

#[test]
fn c06_invalid_utf8_is_refused_in_words_and_nothing_is_relayed() {
    let server = Server::start();
    let (mut alice, mut bob) =
        (server.user_with("alice", "message-tags standard-replies"), server.user_with("bob", "message-tags"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    for (line, command) in [
        (&b"PRIVMSG #room :caf\xE9\r\n"[..], "PRIVMSG"),
        (b"NOTICE #room :caf\xE9\r\n", "NOTICE"),
        (b"TOPIC #room :\xFF\r\n", "TOPIC"),
        (b"AWAY :\xFF\r\n", "AWAY"),
        (b"@+n=\xC3 TAGMSG #room\r\n", "TAGMSG"),
        (b"PART #room :\xFF\r\n", "PART"),
    ] {
        alice.send_bytes(line);
        let lines = alice.sync();
        assert_eq!(commands(&lines), ["FAIL"], "{command}: {lines:#?}");
        lines[0].must_fit(&format!(":roost.local FAIL {command} INVALID_UTF8 *"));
    }
    bob.silent();
    alice.ask("PRIVMSG #room :café");
    assert_eq!(texts(&bob.sync()), ["café"]);
    alice.send_bytes(b"QUIT :\xFF\r\n");
    assert_eq!(commands(&alice.closed()).last(), Some(&"ERROR"));
    bob.only().must_fit(":alice!* QUIT :*");
}

#[test]
fn c40_the_refusal_of_invalid_utf8_has_the_label() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "labeled-response batch standard-replies");
    alice.send_bytes(b"@label=x PRIVMSG #room :caf\xE9\r\n");
    alice.only().must_fit("@label=x :roost.local FAIL PRIVMSG INVALID_UTF8 :*");
    // Tags that are not UTF-8 themselves have no label that could be sent back.
    alice.send_bytes(b"@label=\xE9 PRIVMSG #room :hi\r\n");
    alice.only().must_fit(":roost.local FAIL PRIVMSG INVALID_UTF8 :*");
}

#[test]
fn c06_invalid_utf8_in_user_is_refused_before_registration() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send("NICK alice");
    alice.send_bytes(b"USER a 0 * :Ren\xE9\r\n");
    let lines = alice.sync();
    find(&lines, "FAIL").must_fit(":roost.local FAIL USER INVALID_UTF8 *");
    alice.send("USER a 0 * :René");
    alice.welcome("alice");
}

#[test]
fn a_line_too_long_is_417_and_the_next_one_is_read() {
    let server = Server::start();
    let mut alice = server.user("alice");
    for length in [511, 600, 4000, 12_000] {
        let line = alice.one(&format!("PRIVMSG bob :{}", "x".repeat(length - 13)));
        line.must_fit(":roost.local 417 alice :*");
    }
    alice.silent();
}

#[test]
fn an_endless_line_closes_the_connection_or_costs_nothing() {
    let server = Server::start();
    let mut alice = server.user("alice");
    // A megabyte without a newline: the server may close, and must not keep it.
    for _ in 0..64 {
        if alice.try_send_bytes(&[b'x'; 16_384]).is_err() {
            break;
        }
    }
    drop(alice);
    server.user("bob").silent();
}

#[test]
fn commands_are_read_in_any_case() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send("pRiVmSg bob :hi");
    alice.silent();
    bob.only().must_fit(":alice!* PRIVMSG bob :hi");
}

#[test]
fn half_a_line_at_the_end_is_dropped() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send_bytes(b"PRIVMSG bob :whole\r\nPRIVMSG bob :ha");
    drop(alice);
    bob.expect(":alice!* PRIVMSG bob :whole");
    bob.silent();
}
