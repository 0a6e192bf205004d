//! Message tags: budgets, escaping, and who gets which (<https://ircv3.net/specs/extensions/message-tags>).

use crate::client::{Client, commands};
use crate::server::Server;

fn pair(server: &Server) -> (Client, Client) {
    (server.user_with("alice", "message-tags"), server.user_with("bob", "message-tags"))
}

#[test]
fn c07_4094_bytes_of_tags_are_relayed_and_4095_are_417() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server);
    alice.send(&format!("@+x={} PRIVMSG bob :ok", "a".repeat(4091)));
    alice.silent();
    let line = bob.only();
    assert_eq!(line.tag("+x"), Some("a".repeat(4091).as_str()));
    line.must_fit(":alice!* PRIVMSG bob :ok");
    alice.one(&format!("@+x={} PRIVMSG bob :no", "a".repeat(4092))).must_fit(":roost.local 417 alice :*");
    bob.silent();
}

#[test]
fn c07_tags_do_not_eat_into_the_512_bytes_of_the_body() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server);
    // 14 bytes of command and target, then the text, CR and LF: the source still fits in front of 400.
    let text = "t".repeat(400);
    alice.send(&format!("@+x={} PRIVMSG bob :{text}", "a".repeat(4091)));
    alice.silent();
    assert_eq!(bob.only().params()[1], text);
    // 510 bytes and CR LF are accepted as input, whatever becomes of the text with a source in front.
    let body = format!("PRIVMSG bob :{}", "t".repeat(510 - 13));
    assert_eq!(body.len(), 510);
    alice.send(&format!("@+x={} {body}", "a".repeat(4091)));
    let answers = alice.sync();
    assert!(answers.is_empty() || commands(&answers) == ["417"], "{answers:#?}");
    bob.sync();
    // 511 are too many.
    alice.one(&format!("{body}t")).must_fit(":roost.local 417 alice :*");
    bob.silent();
}

#[test]
fn c07_the_budget_is_the_same_without_the_capability() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user_with("bob", "message-tags"));
    alice.one(&format!("@x={} PRIVMSG bob :no", "a".repeat(4093))).must_fit(":roost.local 417 alice :*");
    bob.silent();
}

#[test]
fn c08_escapes_duplicates_and_leaks() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "message-tags");
    let mut bob = server.user_with("bob", "message-tags");
    let mut carol = server.user("carol");
    let mut dave = server.user_with("dave", "server-time");
    for client in [&mut alice, &mut bob, &mut carol, &mut dave] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol, &mut dave] {
        client.sync();
    }
    alice.send(
        r"@+n=a\:b\s\\c\q;+e=z\;+d=first;+d=last;plain=1;time=2000-01-01T00:00:00.000Z;msgid=mine PRIVMSG #room :hi",
    );
    alice.silent();
    let line = bob.only();
    let meant = |key: &str| {
        // The last of several counts, as for any client.
        let raw = line.tags().into_iter().map(|tag| tag.split_once('=').unwrap_or((tag, ""))).rfind(|(k, _)| *k == key);
        raw.map(|(_, value)| ircv3::tags::unescape(value).into_owned())
    };
    assert_eq!(meant("+n").as_deref(), Some(r"a;b \cq"), "{line:?}");
    assert_eq!(meant("+e").as_deref(), Some("z"), "{line:?}");
    assert_eq!(meant("+d").as_deref(), Some("last"), "{line:?}");
    assert_eq!(line.tag("plain"), None);
    assert_eq!(line.tag("time"), None);
    assert_ne!(line.msgid(), "mine");
    carol.only().must_fit(":alice!* PRIVMSG #room :hi");
    let line = dave.only();
    line.time();
    assert_eq!(line.tags().len(), 1, "{line:?}");
    assert!(!line.raw.contains("2000-01-01"));
}

#[test]
fn server_tags_come_first_and_client_tags_after() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "message-tags");
    let mut bob = server.user_with("bob", "message-tags server-time");
    alice.send("@+b=2;+a=1 PRIVMSG bob :hi");
    alice.silent();
    let line = bob.only();
    let tags = line.tags();
    let first_client = tags.iter().position(|tag| tag.starts_with('+')).unwrap();
    assert!(tags[first_client..].iter().all(|tag| tag.starts_with('+')), "{line:?}");
    assert_eq!(tags.len(), 4, "{line:?}");
    line.time();
    line.msgid();
}

#[test]
fn client_tags_of_a_sender_without_message_tags_are_dropped() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user_with("bob", "message-tags"));
    alice.send("@+x=1 PRIVMSG bob :hi");
    alice.silent();
    assert_eq!(bob.only().tag("+x"), None);
}

#[test]
fn a_malformed_key_is_no_reason_to_reject_a_message() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server);
    alice.send("@+;=;+a/b/c=1;ü=2;;; PRIVMSG bob :hi");
    alice.silent();
    bob.only().must_fit(":alice!* PRIVMSG bob :hi");
}

#[test]
fn denied_tags_are_stripped_and_announced() {
    let server = Server::with(&[("ROOST__CLIENT_TAGS__DENY", "typing,draft/react")]);
    let mut alice = server.connect();
    alice.request("message-tags");
    alice.send_all(&["NICK alice", "USER a 0 * :a", "CAP END"]);
    let lines = alice.welcome("alice");
    assert!(lines.iter().any(|line| line.params().contains(&"CLIENTTAGDENY=typing,draft/react")), "{lines:#?}");
    let mut bob = server.user_with("bob", "message-tags");
    alice.send("@+typing=active;+kept=1 PRIVMSG bob :hi");
    alice.silent();
    let line = bob.only();
    assert_eq!((line.tag("+typing"), line.tag("+kept")), (None, Some("1")));
    alice.send("@+typing=active TAGMSG bob");
    alice.silent();
    bob.silent();
}

#[test]
fn c42_one_msgid_for_everyone_and_never_the_same_twice() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "message-tags echo-message");
    let (mut bob, mut carol) = (server.user_with("bob", "message-tags"), server.user_with("carol", "message-tags"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    for number in 0..1000 {
        alice.send(&format!("PRIVMSG #room :{number}"));
    }
    let ids = |client: &mut Client| -> Vec<String> {
        client.sync().iter().filter(|line| line.command() == "PRIVMSG").map(|line| line.msgid().to_owned()).collect()
    };
    let first = ids(&mut alice);
    assert_eq!(first.len(), 1000);
    assert_eq!(first, ids(&mut bob));
    assert_eq!(first, ids(&mut carol));
    let mut unique = first.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 1000);
}

/// `draft/oper-tag` (<https://ircv3.net/specs/extensions/oper-tag>).
#[test]
fn what_an_operator_sends_is_tagged_for_those_who_ask_for_it_while_it_is_one() {
    let oper = [("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")];
    let server = Server::with(&oper);
    let caps = "draft/oper-tag echo-message";
    let mut alice = server.user_with("alice", caps);
    let mut friend =
        server.user_with("friend", "draft/oper-tag setname away-notify message-tags draft/multiline batch");
    let mut old = server.user_with("old", "message-tags");
    for client in [&mut alice, &mut friend, &mut old] {
        client.join("#room");
    }
    let mut all_tell = |alice: &mut Client, line: &str, tagged: bool| {
        for other in [&mut friend, &mut old] {
            other.sync();
        }
        let echo = alice.ask(line);
        assert!(
            echo.iter()
                .filter(|line| line.source().starts_with("alice!"))
                .all(|line| line.tag("draft/oper").is_some() == tagged),
            "{echo:#?}"
        );
        let seen = friend.sync();
        assert!(!seen.is_empty(), "{line}");
        for seen in seen {
            assert_eq!(seen.tag("draft/oper"), tagged.then_some(""), "{line}: {seen:?}");
        }
        for seen in old.sync() {
            assert_eq!(seen.tag("draft/oper"), None, "{line}: {seen:?}");
        }
    };
    all_tell(&mut alice, "PRIVMSG #room :before", false);
    alice.ask("OPER boss letmein");
    for line in [
        "PRIVMSG #room :it's me",
        "NOTICE friend :you",
        "TOPIC #room :ours",
        "MODE #room +v friend",
        "SETNAME :Alice",
        "AWAY :out",
        "NICK alice2",
        "NICK alice",
        "PART #room :bye",
        "JOIN #room",
    ] {
        all_tell(&mut alice, line, true);
    }
    alice.ask("MODE alice -o");
    all_tell(&mut alice, "PRIVMSG #room :after", false);
}

/// `+draft/persist` (<https://github.com/ircv3/ircv3-specifications/pull/416>).
#[test]
fn a_tagmsg_whose_sender_wants_it_kept_is_in_history_after_a_crash_and_others_are_not() {
    let mut server = Server::start();
    let caps = "message-tags batch draft/chathistory draft/event-playback echo-message";
    let mut alice = server.user_with("alice", caps);
    alice.join("#room");
    let kept = alice.one("@+draft/persist;+example=1 TAGMSG #room").msgid().to_owned();
    alice.ask("@+example=2 TAGMSG #room");
    alice.ask("@+typing=active;+draft/unpersist TAGMSG #room");
    for _ in 0..2 {
        let lines = alice.ask("CHATHISTORY LATEST #room * 100");
        let tagmsgs: Vec<_> = lines.iter().filter(|line| line.command() == "TAGMSG").collect();
        assert_eq!(tagmsgs.len(), 1, "{lines:#?}");
        assert_eq!(
            (tagmsgs[0].msgid(), tagmsgs[0].tag("+draft/persist"), tagmsgs[0].tag("+example")),
            (&*kept, Some(""), Some("1"))
        );
        server.crash_and_restart();
        alice = server.user_with("alice", caps);
        alice.join("#room");
    }
}
