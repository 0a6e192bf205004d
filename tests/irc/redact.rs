//! Redaction (draft/message-redaction).

use crate::client::{Line, find};
use crate::server::Server;

const CAPS: &str = "draft/message-redaction message-tags echo-message batch draft/chathistory server-time";

fn msgid(line: &Line) -> String {
    line.tag("msgid").expect("a msgid").to_owned()
}

#[test]
fn what_was_taken_back_is_gone_for_everyone_and_stays_gone() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.ask("JOIN #room");
    let mut bob = server.user_with("bob", CAPS);
    bob.ask("JOIN #room");
    let mut old = server.user("old");
    old.ask("JOIN #room");
    alice.sync();
    let secret = msgid(&alice.one("PRIVMSG #room :a secret"));
    alice.one("PRIVMSG #room :said after");
    for reader in [&mut bob, &mut old] {
        reader.sync();
    }
    alice
        .one(&format!("REDACT #ROOM {secret} :wrong window"))
        .must_fit(&format!("*:alice!* REDACT #room {secret} :wrong window"));
    bob.only().must_fit(&format!("*:alice!* REDACT #room {secret} :wrong window"));
    old.silent();
    let page = |reader: &mut crate::client::Client| -> Vec<String> {
        reader.ask("CHATHISTORY LATEST #room * 10").into_iter().map(|line| line.raw).collect()
    };
    for _ in 0..2 {
        let lines = page(&mut alice);
        assert!(!lines.iter().any(|line| line.contains("a secret")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("said after")), "{lines:?}");
        let redaction = lines.iter().find(|line| line.contains(" REDACT ")).expect("REDACT is in history");
        assert!(redaction.contains("time=") && redaction.contains("msgid="), "{redaction}");
        alice.one(&format!("REDACT #room {secret}")).must_fit(&format!("*FAIL REDACT UNKNOWN_MSGID #room {secret} :*"));
        server.crash_and_restart();
        alice = server.logged_in("alice", "alice", "sesame", CAPS);
        alice.ask("JOIN #room");
    }
    let mut plain = server.user_with("plain", "batch draft/chathistory");
    plain.ask("JOIN #room");
    assert!(!page(&mut plain).iter().any(|line| line.contains("REDACT")));
}

#[test]
fn a_reaction_to_what_was_taken_back_is_in_no_history() {
    let server = Server::start();
    let caps = format!("{CAPS} draft/event-playback");
    let mut alice = server.user_with("alice", &caps);
    alice.join("#room");
    let ids = ["one", "two"].map(|text| msgid(&alice.one(&format!("PRIVMSG #room :{text}"))));
    for id in &ids {
        alice.ask(&format!("@+draft/react=x;+draft/reply={id} TAGMSG #room"));
    }
    alice.ask(&format!("REDACT #room {}", ids[0]));
    let lines = alice.ask("CHATHISTORY LATEST #room * 10");
    let reactions: Vec<_> = lines.iter().filter(|line| line.command() == "TAGMSG").collect();
    assert!(reactions.len() == 1 && reactions[0].tag("+draft/reply") == Some(&*ids[1]), "{lines:#?}");
}

#[test]
fn only_authors_and_operators_of_that_channel_take_back() {
    let server = Server::start();
    let mut op = server.user_with("op", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    for room in ["#room", "#other"] {
        op.ask(&format!("JOIN {room}"));
        bob.ask(&format!("JOIN {room}"));
    }
    op.sync();
    let of_op = msgid(&op.one("PRIVMSG #room :by the operator"));
    let of_bob = msgid(find(&bob.ask("PRIVMSG #room :by bob"), "PRIVMSG"));
    op.sync();
    bob.one(&format!("REDACT #room {of_op}")).must_fit(&format!("*FAIL REDACT REDACT_FORBIDDEN #room {of_op} :*"));
    // The advisory GHSA-8cmp: a msgid of another conversation is as one that there is not.
    op.one(&format!("REDACT #other {of_bob}")).must_fit(&format!("*FAIL REDACT UNKNOWN_MSGID #other {of_bob} :*"));
    op.one("REDACT #room nonsense").must_fit("*FAIL REDACT UNKNOWN_MSGID #room nonsense :*");
    op.one("REDACT #nowhere nonsense").must_fit("*FAIL REDACT INVALID_TARGET #nowhere :*");
    op.one(&format!("REDACT #room {of_bob}")).must_fit(&format!("*:op!* REDACT #room {of_bob}"));
    let mut without = server.user("without");
    without.one(&format!("REDACT #room {of_bob}")).must_fit("*421 without REDACT :*");
}

#[test]
fn a_private_message_is_taken_back_on_both_sides_by_its_author_alone() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut phone = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let said = msgid(&desk.one("PRIVMSG bob :between us"));
    phone.only();
    bob.only();
    bob.one(&format!("REDACT alice {said}")).must_fit(&format!("*FAIL REDACT REDACT_FORBIDDEN alice {said} :*"));
    desk.one(&format!("REDACT bob {said}")).must_fit(&format!("*:alice!* REDACT bob {said}"));
    phone.only().must_fit(&format!("*:alice!* REDACT bob {said}"));
    bob.only().must_fit(&format!("*:alice!* REDACT bob {said}"));
    let lines = bob.ask("CHATHISTORY LATEST alice * 10");
    assert!(!lines.iter().any(|line| line.raw.contains("between us")), "{lines:?}");
}

#[test]
fn a_guest_takes_back_its_own_but_nothing_of_an_earlier_guest_of_that_nick() {
    let server = Server::start();
    let mut op = server.user_with("op", CAPS);
    op.ask("JOIN #room");
    let mut first = server.user_with("guest", CAPS);
    first.ask("JOIN #room");
    let said = msgid(&first.one("PRIVMSG #room :by the first"));
    first.send("QUIT");
    first.closed();
    let mut second = server.user_with("guest", CAPS);
    second.ask("JOIN #room");
    second.one(&format!("REDACT #room {said}")).must_fit(&format!("*FAIL REDACT REDACT_FORBIDDEN #room {said} :*"));
    let own = msgid(&second.one("PRIVMSG #room :by the second"));
    second.one(&format!("REDACT #room {own}")).must_fit(&format!("*REDACT #room {own}"));
}
