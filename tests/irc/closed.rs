//! Channels that keep strangers out: what was said in one is not read by who comes after it was no more.

use crate::client::{Client, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message draft/message-redaction draft/search";

/// Alice, who has an account, and mallory, who has one and was there before anything was said.
fn server() -> Server {
    let server = Server::start();
    for name in ["alice", "mallory"] {
        server.account(name, "sesame");
    }
    let mut mallory = server.logged_in("mallory", "mallory", "sesame", "server-time");
    mallory.send("QUIT");
    mallory.closed();
    server
}

/// Alice says something in a channel with these modes; its msgid.
fn said(server: &Server, modes: &str) -> (Client, String) {
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#cellar");
    if !modes.is_empty() {
        find(&alice.ask(&format!("MODE #cellar {modes}")), "MODE");
    }
    let lines = alice.ask("PRIVMSG #cellar :the secret");
    let msgid = find(&lines, "PRIVMSG").tag("msgid").expect("a msgid").to_owned();
    (alice, msgid)
}

/// Whether mallory, who is given no key and invited by nobody, comes to read it by any of the ways that there are.
#[track_caller]
fn is_read(server: &Server, msgid: &str) -> bool {
    let mut asking = server.logged_in("mallory", "mallory", "sesame", CAPS);
    asking.join("#cellar");
    let all = "timestamp=2020-01-01T00:00:00.000Z timestamp=2099-01-01T00:00:00.000Z 50";
    let mut found = Vec::new();
    for question in [
        "CHATHISTORY LATEST #cellar * 50".to_owned(),
        format!("CHATHISTORY AROUND #cellar msgid={msgid} 50"),
        "CHATHISTORY BEFORE #cellar timestamp=2099-01-01T00:00:00.000Z 50".to_owned(),
        "CHATHISTORY AFTER #cellar timestamp=2020-01-01T00:00:00.000Z 50".to_owned(),
        format!("CHATHISTORY BETWEEN #cellar {all}"),
        "SEARCH in=#cellar;text=secret".to_owned(),
        "SEARCH text=secret".to_owned(),
        "HISTSERV PLAY #cellar 50".to_owned(),
    ] {
        let lines = asking.ask(&question);
        assert!(!lines.is_empty(), "{question}");
        found.push(lines.iter().any(|line| line.raw.contains("the secret")));
    }
    let targets = asking.ask(&format!("CHATHISTORY TARGETS {all}"));
    found.push(targets.iter().any(|line| line.body().contains("TARGETS #cellar")));
    // Whoever is operator of the new channel takes nothing back of the old one, and so learns nothing of it either.
    let redacted = asking.ask(&format!("REDACT #cellar {msgid}"));
    found.push(!redacted.iter().any(|line| line.body().contains("FAIL REDACT UNKNOWN_MSGID")));
    asking.send("QUIT");
    asking.closed();
    // One way is as the other; the last comes last, for it takes the message away.
    assert!(found.iter().all(|is| *is == found[0]), "{found:?}");
    found[0]
}

/// As [`is_read`], for what comes to a client by itself as it joins.
#[track_caller]
fn is_replayed(server: &Server, caps: &str, asking: &str) -> bool {
    let mut client = server.logged_in("mallory", "mallory", "sesame", caps);
    let mut lines = client.join("#cellar");
    if !asking.is_empty() {
        lines.extend(client.ask(asking));
    }
    client.send("QUIT");
    client.closed();
    lines.iter().any(|line| line.raw.contains("the secret"))
}

const ZNC: (&str, &str) = ("server-time batch znc.in/playback", "PRIVMSG *playback :PLAY #cellar 0");

#[test]
fn what_was_said_behind_a_key_is_not_read_by_who_takes_the_empty_name() {
    for modes in ["+k key", "+i", "+R"] {
        let server = server();
        let (mut alice, msgid) = said(&server, modes);
        alice.ask("PART #cellar");
        assert!(!is_replayed(&server, "server-time", ""), "{modes}");
        assert!(!is_replayed(&server, ZNC.0, ZNC.1), "{modes}");
        assert!(!is_read(&server, &msgid), "{modes}");
        // Whoever could read it does not either.
        let lines = alice.join("#cellar");
        assert!(!lines.iter().any(|line| line.raw.contains("the secret")));
        let page = alice.ask("CHATHISTORY LATEST #cellar * 50");
        assert!(!page.iter().any(|line| line.raw.contains("the secret")), "{page:?}");
        // It was not deleted: in an export of hers it is.
        let export = server.roost(&["export", "--account", "alice"]);
        assert!(String::from_utf8_lossy(&export.stdout).contains("the secret"), "{export:?}");
    }
}

#[test]
fn what_was_said_behind_a_key_is_not_read_after_a_kill_and_what_comes_after_it_is() {
    for orderly in [false, true] {
        let mut server = server();
        let (_alice, msgid) = said(&server, "+k key");
        if orderly {
            server.restart();
        } else {
            server.crash_and_restart();
        }
        assert!(!is_replayed(&server, "server-time", ""));
        assert!(!is_read(&server, &msgid));
        let mut mallory = server.logged_in("mallory", "mallory", "sesame", CAPS);
        mallory.join("#cellar");
        mallory.ask("PRIVMSG #cellar :anything");
        // That it was made anew is kept, too.
        server.crash_and_restart();
        let mut bob = server.user_with("bob", CAPS);
        bob.join("#cellar");
        let page = bob.ask("CHATHISTORY LATEST #cellar * 50");
        let texts: Vec<&str> =
            page.iter().filter(|line| line.command() == "PRIVMSG").map(|line| line.params()[1]).collect();
        assert_eq!(texts, ["anything"]);
    }
}

#[test]
fn what_was_said_in_an_open_channel_is_read_by_whoever_comes_later() {
    for modes in ["", "+s", "+k-k key *"] {
        let mut server = server();
        let (mut alice, msgid) = said(&server, modes);
        assert!(is_replayed(&server, "server-time", ""), "{modes}");
        assert!(is_replayed(&server, ZNC.0, ZNC.1), "{modes}");
        alice.ask("PART #cellar");
        server.crash_and_restart();
        // Of an open channel the new operator takes back what was said.
        assert!(is_read(&server, &msgid), "{modes}");
    }
}

#[test]
fn a_closed_channel_that_is_held_keeps_its_history_over_a_start_for_who_is_in_it() {
    let mut server = server();
    let (mut alice, msgid) = said(&server, "+k key");
    alice.told("NS SET ALWAYS-ON ON");
    server.crash_and_restart();
    server.user("eve").one("JOIN #cellar").must_fit("*475 eve #cellar :*");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let page = alice.ask("CHATHISTORY LATEST #cellar * 50");
    assert!(page.iter().any(|line| line.raw.contains("the secret")), "{page:?}");
    alice.ask("PART #cellar");
    alice.sync();
    assert!(!is_read(&server, &msgid));
}

#[test]
fn a_dropped_channel_shows_nobody_what_they_could_not_read_before() {
    for (setting, sealed) in [("HISTORY-CUTOFF JOIN", true), ("HISTORY-CUTOFF NONE", false)] {
        let mut server = server();
        let (mut alice, msgid) = said(&server, "");
        alice.told("CS REGISTER #cellar");
        alice.ask(&format!("CS SET #cellar {setting}"));
        let mut bob = server.user("bob");
        bob.join("#cellar");
        let dropped = if sealed { alice.confirmed("CS DROP #cellar") } else { alice.ask("CS DROP #cellar") };
        let dropped = texts(&dropped).concat();
        assert_eq!(dropped.contains("nobody reads any more what was said"), sealed, "{dropped}");
        server.crash_and_restart();
        assert_eq!(!is_read(&server, &msgid), sealed, "{setting}");
    }
}
