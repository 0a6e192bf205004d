//! Messages of several lines (draft/multiline).

use crate::client::{Client, Line};
use crate::server::Server;

const CAPS: &str = "draft/multiline batch message-tags echo-message labeled-response server-time draft/chathistory";
const PLAIN: &str = "batch message-tags server-time draft/chathistory";

fn raw(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.body()).collect()
}

fn room(server: &Server) -> (Client, Client, Client) {
    let mut alice = server.user_with("alice", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let mut old = server.user_with("old", PLAIN);
    for client in [&mut alice, &mut bob, &mut old] {
        client.join("#room");
    }
    alice.sync();
    bob.sync();
    (alice, bob, old)
}

#[test]
fn a_poem_is_one_message_for_those_who_know_and_its_lines_for_the_others() {
    let server = Server::start();
    let (mut alice, mut bob, mut old) = room(&server);
    alice.send_all(&[
        "@label=x;+draft/reply=abc BATCH +1 draft/multiline #room",
        "@batch=1 PRIVMSG #room :first",
        "@batch=1 PRIVMSG #room :",
        "@batch=1 PRIVMSG #room :sec",
        "@batch=1;draft/multiline-concat privmsg #room :ond",
    ]);
    bob.silent();
    let echo = alice.ask("BATCH -1");
    let open = &echo[0];
    let name = open.params()[0].to_owned();
    assert_eq!(open.tag("label"), Some("x"));
    let msgid = open.msgid().to_owned();
    let expected = |name: &str| {
        let name = name.trim_start_matches('+');
        [
            format!(":{{alice}} BATCH +{name} draft/multiline #room"),
            ":{alice} PRIVMSG #room :first".to_owned(),
            ":{alice} PRIVMSG #room :".to_owned(),
            ":{alice} PRIVMSG #room :sec".to_owned(),
            ":{alice} PRIVMSG #room :ond".to_owned(),
            format!(":{{alice}} BATCH -{name}"),
        ]
    };
    let source = open.source().to_owned();
    let told = expected(&name).map(|line| line.replace("{alice}", &source));
    assert_eq!(raw(&echo), told);
    let seen = bob.sync();
    assert_eq!(raw(&seen), told);
    assert_eq!((seen[0].tag("label"), seen[0].msgid(), seen[0].tag("+draft/reply")), (None, &*msgid, Some("abc")));
    for line in &seen[1..5] {
        assert_eq!((line.tag("batch"), line.tag("msgid"), line.tag("time")), (Some(&name[1..]), None, None));
    }
    assert_eq!(seen[4].tag("draft/multiline-concat"), Some(""));
    let apart = old.sync();
    assert_eq!(apart.iter().map(|line| line.params()[1].to_owned()).collect::<Vec<_>>(), ["first", "sec", "ond"]);
    assert_eq!(apart.iter().map(|line| line.tag("msgid")).collect::<Vec<_>>(), [Some(&*msgid), None, None]);
    assert!(apart.iter().all(|line| line.tag("+draft/reply") == Some("abc") && line.tag("time").is_some()));

    // In history it is one message, too.
    let page = bob.ask("CHATHISTORY LATEST #room * 1");
    let inner: Vec<&str> = page.iter().filter_map(|line| line.tag("batch")).collect();
    assert_eq!(raw(&page)[1..7], told.iter().map(String::as_str).collect::<Vec<_>>());
    let outer = &page[0].params()[0][1..];
    assert_eq!((inner[0], inner[1], inner[5]), (outer, &name[1..], outer));
    assert_eq!(page[1].msgid(), msgid);
    let page = old.ask("CHATHISTORY LATEST #room * 1");
    assert_eq!(page.len(), 2 + 3);
    assert_eq!((page[1].tag("msgid"), page[2].tag("msgid")), (Some(&*msgid), None));
}

#[test]
fn what_is_no_message_is_refused_once_and_nothing_of_it_is_sent() {
    let server = Server::start();
    let (mut alice, mut bob, _old) = room(&server);
    let long = format!("@batch=1 PRIVMSG #room :{}", "x".repeat(480));
    let long = [&*long];
    let many = vec!["@batch=1 PRIVMSG #room :x"; 101];
    let big: Vec<String> = (0..25).map(|_| format!("@batch=1 PRIVMSG #room :{}", "x".repeat(400))).collect();
    let big: Vec<&str> = big.iter().map(String::as_str).collect();
    let cases: Vec<(&[&str], &str)> = vec![
        (&["@batch=2 PRIVMSG #room :x"], "MULTILINE_INVALID :*"),
        (&["@batch=1 PRIVMSG #room :x", "@batch=1 NOTICE #room :x"], "MULTILINE_INVALID :*"),
        (&["@batch=1 TOPIC #room :x"], "MULTILINE_INVALID :*"),
        (&["@batch=1 PRIVMSG bob :x"], "MULTILINE_INVALID_TARGET #room bob :*"),
        (&["@batch=1;draft/multiline-concat PRIVMSG #room :"], "MULTILINE_INVALID :*"),
        (&["@batch=1 PRIVMSG #room :", "BATCH -1"], "MULTILINE_INVALID :*"),
        (&["BATCH -1"], "MULTILINE_INVALID :*"),
        (&long, "MULTILINE_INVALID :*"),
        (&many, "MULTILINE_MAX_LINES 100 :*"),
        (&big, "MULTILINE_MAX_BYTES 8192 :*"),
        (&["BATCH +2 draft/multiline #room"], "MULTILINE_INVALID :*"),
    ];
    for (lines, refused) in cases {
        alice.send("@label=l BATCH +1 draft/multiline #room");
        alice.send_all(lines);
        alice.send("@batch=1 PRIVMSG #room :after the fault");
        let told = if lines.contains(&"BATCH -1") {
            // The line after the end is of no batch.
            let mut told = alice.sync();
            told.pop().unwrap().must_fit("*FAIL BATCH MULTILINE_INVALID :No batch*");
            told
        } else {
            alice.ask("BATCH -1")
        };
        assert_eq!(told.len(), 1, "{lines:?}: {told:?}");
        told[0].must_fit(&format!("*FAIL BATCH {refused}"));
        assert_eq!(told[0].tag("label"), Some("l"), "{lines:?}");
    }
    alice.one("BATCH +9 netsplit a b").must_fit("*FAIL BATCH UNKNOWN_TYPE 9 netsplit :*");
    alice.one("BATCH +_ draft/multiline #room").must_fit("*FAIL BATCH INVALID_REFTAG +_ :*");
    alice.one("BATCH +9 draft/multiline #room,bob").must_fit("*FAIL BATCH MULTILINE_INVALID_TARGET #room,bob * :*");
    bob.silent();
}

#[test]
fn the_label_of_a_batch_without_echo_is_answered_at_its_end() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "draft/multiline batch message-tags labeled-response");
    let mut bob = server.user_with("bob", "");
    alice.send_all(&["@label=y BATCH +a draft/multiline bob", "@batch=a NOTICE bob :one", "@batch=a NOTICE bob :two"]);
    alice.silent();
    let told = alice.ask("BATCH -a");
    assert_eq!((told.len(), told[0].command(), told[0].tag("label")), (1, "ACK", Some("y")));
    let seen = bob.sync();
    assert_eq!(raw(&seen).len(), 2);
    seen[1].must_fit("*NOTICE bob :two");
    // Other commands come in between, and a moderated room refuses the whole.
    let mut op = server.user_with("op", "");
    op.join("#m");
    op.ask("MODE #m +m");
    alice.join("#m");
    op.sync();
    alice.send_all(&["@label=z BATCH +b draft/multiline #m", "@batch=b PRIVMSG #m :one"]);
    assert_eq!(alice.one("PING between").command(), "PONG");
    let told = alice.ask("BATCH -b");
    assert_eq!((told.len(), told[0].command(), told[0].tag("label")), (1, "404", Some("z")));
    op.silent();
}
