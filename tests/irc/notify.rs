//! What members learn about each other: account-notify, account-tag, extended-join, invite-notify, setname.

use crate::client::{all, commands, find};
use crate::opers;
use crate::server::Server;

#[test]
fn account_notify_reaches_peers_that_asked_and_oneself() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "account-notify sasl");
    let (mut bob, mut carol) = (server.user_with("bob", "account-notify"), server.user("carol"));
    let mut stranger = server.user_with("stranger", "account-notify");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#a,#b");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let mask = alice.mask();
    let lines = alice.ask("REGISTER * * sesame");
    assert_eq!(find(&lines, "ACCOUNT").raw, format!(":{mask} ACCOUNT alice"));
    assert_eq!(bob.only().raw, format!(":{mask} ACCOUNT alice"));
    carol.silent();
    stranger.silent();
}

#[test]
fn extended_join_carries_account_and_realname() {
    let server = Server::start();
    server.account("bob", "sesame");
    let (mut alice, mut carol) = (server.user_with("alice", "extended-join"), server.user("carol"));
    alice.join("#room");
    carol.join("#room");
    assert_eq!(alice.only().raw, format!(":{} JOIN #room * :carol of the tests", carol.mask()));
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#room");
    let mask = bob.mask();
    assert_eq!(alice.only().raw, format!(":{mask} JOIN #room bob :bob of the tests"));
    assert_eq!(carol.only().raw, format!(":{mask} JOIN #room"));
    let lines = alice.ask("JOIN #other");
    assert_eq!(lines[0].raw, format!(":{} JOIN #other * :alice of the tests", alice.mask()));
}

#[test]
fn account_tag_is_on_everything_that_a_logged_in_user_does() {
    let server = Server::start();
    server.account("bob", "sesame");
    let (mut alice, mut carol) = (server.user_with("alice", "account-tag"), server.user_with("carol", "server-time"));
    alice.join("#room");
    carol.join("#room");
    assert_eq!(alice.only().tag("account"), None);
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#room");
    bob.ask("PRIVMSG #room :hi");
    bob.ask("NOTICE alice :psst");
    bob.ask("NICK robert");
    bob.ask("PART #room :bye");
    let lines = alice.sync();
    assert_eq!(commands(&lines), ["JOIN", "PRIVMSG", "NOTICE", "NICK", "PART"]);
    for line in &lines {
        assert_eq!(line.tags(), ["account=bob"], "{line:?}");
    }
    for line in carol.sync() {
        assert_eq!(line.tag("account"), None, "{line:?}");
        line.time();
    }
    // A guest has no such tag.
    carol.ask("PRIVMSG #room :me too");
    assert!(alice.only().tags().is_empty());
}

#[test]
fn invite_notify_tells_operators_or_members_that_asked() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let (mut bob, mut carol, mut dave) =
        (server.user_with("bob", "invite-notify"), server.user("carol"), server.user("dave"));
    alice.join("#room");
    bob.join("#room");
    carol.join("#room");
    alice.ask("MODE #room +o bob");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let mask = alice.mask();
    alice.ask("INVITE dave #room");
    let line = bob.only();
    assert_eq!((line.source(), line.command(), line.params()), (mask.as_str(), "INVITE", vec!["dave", "#room"]));
    carol.silent();
    assert_eq!(commands(&dave.sync()), ["INVITE"]);
}

#[test]
fn setname_changes_the_realname_and_tells_those_that_asked() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "setname");
    let (mut bob, mut carol) = (server.user_with("bob", "setname"), server.user("carol"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let mask = alice.mask();
    assert_eq!(alice.one("SETNAME :Alice in Chains").raw, format!(":{mask} SETNAME :Alice in Chains"));
    assert_eq!(bob.only().raw, format!(":{mask} SETNAME :Alice in Chains"));
    carol.silent();
    find(&carol.ask("WHOIS alice"), "311").must_fit("* :Alice in Chains");
    alice.one(&format!("SETNAME :{}", "x".repeat(151))).must_fit(":roost.local FAIL SETNAME INVALID_REALNAME :*");
    let line = alice.one("SETNAME :");
    assert!(line.fits(":roost.local FAIL SETNAME INVALID_REALNAME :*") || line.command() == "461", "{line:?}");
    // Without the capability it works in silence.
    carol.send("SETNAME :Carol C");
    carol.silent();
    bob.only().must_fit(":carol!* SETNAME :Carol C");
}

#[test]
fn whoami_tells_ones_own_source_in_the_welcome_and_when_it_changes() {
    let server = opers::server();
    let mut alice = server.connect();
    alice.request("chghost draft/whoami");
    alice.send_all(&["NICK alice", "USER u 0 * :Alice of old", "CAP END"]);
    let lines = alice.welcome("alice");
    let commands = commands(&lines);
    let at = |command: &str| commands.iter().position(|it| *it == command);
    assert!(at("SETNAME") > commands.iter().rposition(|it| *it == "005") && at("SETNAME") < at("251"), "{commands:?}");
    let mask = alice.mask();
    assert_eq!(find(&lines, "SETNAME").raw, format!(":{mask} SETNAME :Alice of old"));
    let mut root = opers::root(&server, "root");
    root.ask("CHGHOST alice a.vhost");
    alice.expect(&format!(":{mask} CHGHOST ~u a.vhost"));
    // Without chghost nothing could follow, so nothing is begun.
    let mut bob = server.connect();
    bob.request("draft/whoami");
    bob.send_all(&["NICK bob", "USER bob 0 * :Bob", "CAP END"]);
    assert!(all(&bob.welcome("bob"), "SETNAME").is_empty());
}
