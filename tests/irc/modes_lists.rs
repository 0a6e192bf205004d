//! Extended bans in `b`, `e` and `I`, and that what they refuse reaches nobody and is not kept.

use crate::client::{Client, commands, find};
use crate::server::Server;

const ALL: &str = "message-tags server-time batch echo-message draft/chathistory draft/event-playback";

/// What PRIVMSG, NOTICE and TAGMSG with this text are answered with; nobody may see any of them.
fn refused(from: &mut Client, seen_by: &mut Client, target: &str) {
    for line in [format!("PRIVMSG {target} :hi"), format!("@+draft/react=x TAGMSG {target}")] {
        let answers = from.ask(&line);
        assert_eq!(commands(&answers), ["404"], "{line}: {answers:#?}");
    }
    assert!(from.ask(&format!("NOTICE {target} :hi")).is_empty(), "a NOTICE is never answered");
    seen_by.silent();
}

/// Messages and reactions in the history of a channel.
fn kept(client: &mut Client, channel: &str) -> usize {
    let lines = client.ask(&format!("CHATHISTORY LATEST {channel} * 100"));
    lines.iter().filter(|line| matches!(line.command(), "PRIVMSG" | "NOTICE" | "TAGMSG")).count()
}

#[test]
fn what_extended_bans_there_are_stands_in_005() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let tokens: Vec<String> = alice
        .ask("VERSION")
        .iter()
        .filter(|line| line.command() == "005")
        .flat_map(|line| line.params().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for token in ["EXTBAN=,Uajmnrz", "ACCOUNTEXTBAN=a,account", "FORWARD=f", "CALLERID=g", "KNOCK"] {
        assert!(tokens.iter().any(|other| other == token), "{token} in {tokens:?}");
    }
    for limit in ["ACCEPT=", "SILENCE="] {
        assert!(tokens.iter().any(|other| other.starts_with(limit)), "{limit} in {tokens:?}");
    }
}

#[test]
fn a_ban_of_an_account_follows_it_through_nicks_login_and_logout() {
    let server = Server::start();
    server.account("bob", "sesame");
    let mut alice = server.user("alice");
    alice.join("#room");
    assert_eq!(alice.one("MODE #room +b account:BOB").params(), ["#room", "+b", "a:BOB"]);
    alice.send("MODE #room +b a:bob");
    alice.silent();
    // Not the nick, but the account.
    let mut guest = server.user("rob");
    guest.join("#room");
    alice.sync();
    assert!(guest.ask("PRIVMSG #room :hi").is_empty());
    alice.only();
    // Logging in while inside is judged at once.
    guest.ask("NS IDENTIFY bob sesame");
    alice.sync();
    guest.one("PRIVMSG #room :hi").must_fit(":roost.local 404 rob #room :*");
    guest.one("NICK robert").must_fit(":roost.local 435 rob robert #room :*");
    alice.silent();
    let mut phone = server.logged_in("elsewhere", "bob", "sesame", "");
    phone.one("JOIN #room").must_fit(":roost.local 474 elsewhere #room :*");
    assert_eq!(alice.one("MODE #room -b account:bob").params(), ["#room", "-b", "a:BOB"]);
    phone.join("#room");
}

#[test]
fn an_exception_and_an_invitation_may_be_for_an_account() {
    let server = Server::start();
    server.account("bob", "sesame");
    let mut alice = server.user("alice");
    alice.join("#room");
    alice.ask("MODE #room +bi *!*@*");
    alice.ask("MODE #room +eI a:bob a:bob");
    let mut mallory = server.user("mallory");
    mallory.one("JOIN #room").must_fit(":roost.local 473 mallory #room :*");
    alice.ask("MODE #room -i");
    mallory.one("JOIN #room").must_fit(":roost.local 474 mallory #room :*");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#room");
    assert!(bob.ask("PRIVMSG #room :hi").is_empty());
    // What is about speaking alone invites nobody.
    alice.sync();
    for entry in ["m:a:bob", "mute:x!*@*", "n:bob", "a:", "m:m:bob"] {
        let list = if entry == "a:" || entry.starts_with("m:m") { 'b' } else { 'I' };
        alice
            .one(&format!("MODE #room +{list} {entry}"))
            .must_fit(&format!(":roost.local 696 alice #room {list} * :*"));
    }
}

#[test]
fn whoever_is_muted_joins_and_is_not_heard_and_nothing_of_it_is_kept() {
    let server = Server::start();
    server.account("bob", "sesame");
    let mut alice = server.user_with("alice", ALL);
    let mut carol = server.user("carol");
    alice.join("#room");
    carol.join("#room");
    alice.ask("MODE #room +bb mute:account:bob m:U:dave!*@*");
    carol.sync();
    let mut bob = server.logged_in("bob", "bob", "sesame", ALL);
    let mut dave = server.user_with("dave", ALL);
    for client in [&mut bob, &mut dave] {
        client.join("#room");
        carol.sync();
        refused(client, &mut carol, "#room");
        client.ask("NICK other");
        client.ask(&format!("NICK {}", client.nick.clone()));
        carol.sync();
    }
    // Of a mute only the talk is about, and of a ban everything.
    alice.sync();
    assert_eq!(kept(&mut alice, "#room"), 0);
    alice.ask("MODE #room +e m:*!*@*");
    carol.sync();
    bob.sync();
    assert_eq!(commands(&bob.ask("PRIVMSG #room :hi")), ["PRIVMSG"]);
    carol.only();
    alice.ask("MODE #room -e+v m:*!*@* dave");
    carol.sync();
    assert_eq!(commands(&dave.ask("PRIVMSG #room :hi")).last(), Some(&"PRIVMSG"));
    alice.sync();
    assert_eq!(kept(&mut alice, "#room"), 2);
}

#[test]
fn a_ban_of_a_real_name_is_judged_on_setname() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.ask("MODE #room +b r:*Spam_Bot*");
    bob.sync();
    assert!(bob.ask("PRIVMSG #room :hi").is_empty());
    bob.ask("SETNAME :A spam bot");
    bob.one("PRIVMSG #room :hi").must_fit(":roost.local 404 bob #room :*");
    bob.ask("SETNAME :Bob");
    assert!(bob.ask("PRIVMSG #room :hi").is_empty());
}

#[test]
fn a_nick_may_be_forbidden_to_change_alone() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.ask("MODE #room +b nickchange:bob");
    bob.sync();
    assert!(bob.ask("PRIVMSG #room :hi").is_empty());
    bob.one("NICK rob").must_fit(":roost.local 435 bob rob #room :*");
    alice.ask("MODE #room -b+N n:bob");
    bob.sync();
    find(&bob.ask("NICK rob"), "447").must_fit(":roost.local 447 bob :*#room*+N*");
    bob.one("NICK BOB").must_fit(":bob!* NICK BOB");
    alice.sync();
    alice.one("NICK alicia").must_fit(":alice!* NICK alicia");
}
