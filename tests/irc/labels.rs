//! labeled-response: exactly one labelled message or batch for each command
//! (<https://ircv3.net/specs/extensions/labeled-response>).

use crate::client::{Line, all, commands};
use crate::server::Server;

const CAPS: &str = "labeled-response batch message-tags";

/// Checks that exactly one line has the label, and returns the lines of its batch, or that line.
#[track_caller]
fn answer<'a>(lines: &'a [Line], label: &str) -> Vec<&'a Line> {
    let labelled: Vec<&Line> = lines.iter().filter(|line| line.tag("label") == Some(label)).collect();
    assert_eq!(labelled.len(), 1, "label {label}: {lines:#?}");
    let first = labelled[0];
    if first.command() != "BATCH" {
        return vec![first];
    }
    let reference = first.params()[0].strip_prefix('+').unwrap();
    assert!(reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{first:?}");
    let at = lines.iter().position(|line| line == first).unwrap();
    let end = lines.iter().position(|line| line.command() == "BATCH" && line.params()[0] == format!("-{reference}"));
    let end = end.unwrap_or_else(|| panic!("batch {reference} never ends: {lines:#?}"));
    assert!(at < end && lines[end].tag("label").is_none());
    lines[at + 1..end].iter().filter(|line| line.tag("batch") == Some(reference)).collect()
}

#[test]
fn c40_nothing_to_say_is_ack() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let _bob = server.user("bob");
    alice.one("@label=c PONG z").must_fit("@label=c :roost.local ACK");
    alice.one("@label=d PRIVMSG bob :no echo").must_fit("@label=d :roost.local ACK");
    alice.one("@label=e NOTICE nobody :psst").must_fit("@label=e :roost.local ACK");
}

#[test]
fn c40_one_line_has_the_label_and_no_batch() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.one("@label=f FOO").must_fit("@label=f :roost.local 421 alice FOO :*");
    alice.one("@label=g PRIVMSG nobody :hi").must_fit("@label=g :roost.local 401 alice nobody :*");
    alice.one("@label=h PING tok").must_fit("@label=h :roost.local PONG roost.local *tok");
    let mask = alice.mask();
    assert_eq!(
        alice.one("@label=i NICK alicia").raw,
        format!("@label=i :{mask} NICK alicia"),
        "the old nick is the source"
    );
}

#[test]
fn c40_several_lines_are_one_batch() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let lines = alice.ask("@label=w WHOIS alice");
    lines[0].must_fit("@label=w :roost.local BATCH +* labeled-response");
    let inner = answer(&lines, "w");
    assert_eq!(inner.len(), lines.len() - 2, "{lines:#?}");
    assert_eq!(inner.last().unwrap().command(), "318");
    let lines = alice.ask("@label=j JOIN #a,#b");
    let inner: Vec<&str> = answer(&lines, "j").iter().map(|line| line.command()).collect();
    assert_eq!(inner, ["JOIN", "353", "366", "JOIN", "353", "366"], "{lines:#?}");
    let lines = alice.ask("@label=m MOTD");
    answer(&lines, "m");
}

#[test]
fn c40_the_echo_has_the_label_and_the_delivered_copy_has_not() {
    let server = Server::start();
    let mut alice = server.user_with("alice", &format!("{CAPS} echo-message"));
    let mut bob = server.user_with("bob", &format!("{CAPS} echo-message"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    let line = alice.one("@label=a;+x=1 PRIVMSG #room :x");
    assert_eq!(line.tag("label"), Some("a"));
    line.must_fit(":alice!* PRIVMSG #room :x");
    let copy = bob.only();
    assert_eq!(copy.tag("label"), None);
    assert_eq!(copy.msgid(), line.msgid());
    let lines = alice.ask("@label=b PRIVMSG alice :self");
    let labelled: Vec<bool> = lines.iter().map(|line| line.tag("label") == Some("b")).collect();
    assert_eq!(labelled, [true, false], "{lines:#?}");
    assert_eq!(lines[0].msgid(), lines[1].msgid());
    assert_eq!(commands(&lines), ["PRIVMSG", "PRIVMSG"]);
}

#[test]
fn an_away_notice_and_the_echo_are_one_batch() {
    let server = Server::start();
    let mut alice = server.user_with("alice", &format!("{CAPS} echo-message"));
    let mut bob = server.user("bob");
    bob.ask("AWAY :out");
    let lines = alice.ask("@label=a PRIVMSG bob :there?");
    let mut inner: Vec<&str> = answer(&lines, "a").iter().map(|line| line.command()).collect();
    inner.sort_unstable();
    assert_eq!(inner, ["301", "PRIVMSG"]);
}

#[test]
fn a_label_of_64_bytes_is_used_and_one_of_65_is_ignored() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let label = "l".repeat(64);
    assert_eq!(alice.one(&format!("@label={label} PING x")).tag("label"), Some(label.as_str()));
    assert_eq!(alice.one(&format!("@label={label}l PING x")).tag("label"), None);
}

#[test]
fn without_the_capabilities_a_label_is_ignored() {
    let server = Server::start();
    for caps in ["labeled-response", "batch message-tags", ""] {
        let mut client = server.user_with("alice", caps);
        client.send("@label=x PONG z");
        client.silent();
        assert_eq!(client.one("@label=x PING y").tag("label"), None);
        client.send("QUIT");
        client.closed();
    }
}

#[test]
fn a_label_comes_back_escaped_as_it_was() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    assert_eq!(alice.one(r"@label=a\:b\sc PING x").tag("label"), Some(r"a\:b\sc"));
}

#[test]
fn labels_are_answered_once_each_and_in_order_even_around_slow_calls() {
    let server = Server::start();
    server.account("bob", "sesame");
    let mut alice = server.user_with("alice", &format!("{CAPS} draft/chathistory sasl"));
    alice.join("#room");
    alice.send_all(&[
        "@label=1 PRIVMSG #room :one",
        "@label=2 CHATHISTORY LATEST #room * 10",
        "@label=3 PRIVMSG NickServ :IDENTIFY bob wrong",
        "@label=4 WHOIS alice",
        "@label=5 CHATHISTORY LATEST #room * 0x",
        "@label=6 PONG x",
        "@label=7 FROB",
    ]);
    let lines = alice.sync();
    let labels: Vec<&str> = lines.iter().filter_map(|line| line.tag("label")).collect();
    assert_eq!(labels, ["1", "2", "3", "4", "5", "6", "7"], "{lines:#?}");
    for label in labels {
        answer(&lines, label);
    }
    assert!(!all(&lines, "318").is_empty());
}

#[test]
fn a_labelled_history_is_its_own_batch_with_the_label() {
    let server = Server::start();
    let mut alice = server.user_with("alice", &format!("{CAPS} draft/chathistory"));
    alice.join("#room");
    alice.ask("PRIVMSG #room :one");
    let lines = alice.ask("@label=h CHATHISTORY LATEST #room * 10");
    let first = &lines[0];
    assert_eq!(first.tag("label"), Some("h"));
    first.must_fit(":roost.local BATCH +* chathistory #room");
    assert_eq!(answer(&lines, "h").len(), 1);
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn a_labelled_quit_labels_the_error() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.send("@label=q QUIT :bye");
    let lines = alice.closed();
    assert_eq!(lines.last().unwrap().command(), "ERROR");
    assert_eq!(lines.last().unwrap().tag("label"), Some("q"), "{lines:#?}");
}

#[test]
fn a_labelled_tagmsg_without_echo_is_ack() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let _bob = server.user("bob");
    alice.one("@label=t;+typing=active TAGMSG bob").must_fit("@label=t :roost.local ACK");
}

#[test]
fn a_line_that_is_no_message_is_answered_with_its_label() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let long = format!("@label=a PRIVMSG #a :{}", "x".repeat(600));
    alice.one(&long).must_fit("@label=a :roost.local 417 alice :*");
    alice.one("@label=b PRIVMSG #a :a\0b").must_fit("@label=b :roost.local FAIL * INVALID_BYTES :*");
}
