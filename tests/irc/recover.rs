//! RECOVER, and nicks that belong to an account beside its name (draft/nick-recovery, NickServ GROUP).

use crate::client::{Client, all, commands, find, plain};
use crate::server::Server;

/// A connection that has logged in and not registered.
fn waiting(server: &Server, account: &str, nick: &str) -> Client {
    let mut client = server.connect();
    client.request("sasl draft/nick-recovery");
    client.send_all(&["USER u 0 * :u", "AUTHENTICATE PLAIN"]);
    client.until("AUTHENTICATE");
    client.send(&format!("AUTHENTICATE {}", plain(account, "sesame")));
    client.until("903");
    if !nick.is_empty() {
        client.send(&format!("NICK {nick}"));
    }
    client
}

#[test]
fn recover_takes_a_nick_from_whoever_has_it_before_registration() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut broken = server.logged_in("alice", "alice", "sesame", "");
    broken.told("NS SET MULTICLIENT OFF");
    let mut client = server.connect();
    client.one("RECOVER alice").must_fit(":* FAIL RECOVER NOT_AUTHENTICATED alice :*");
    let mut client = waiting(&server, "alice", "spare");
    client.one("RECOVER bob").must_fit(":* FAIL RECOVER NOT_AUTHORISED bob :*");
    client.one("RECOVER nobody").must_fit(":* FAIL RECOVER NOT_REGISTERED nobody :*");
    client.one("RECOVER :no nick").must_fit(":* FAIL RECOVER NOT_REGISTERED * :*");
    client.one("RECOVER").must_fit(":* 461 spare RECOVER :*");
    let lines = client.ask("RECOVER Alice");
    assert_eq!(commands(&lines), ["RECOVER", "NICK"], "{lines:#?}");
    lines[0].must_fit(":* RECOVER SUCCESS Alice :*");
    lines[1].must_fit(":spare NICK Alice");
    broken.closed().last().unwrap().must_fit("ERROR :*RECOVER command used by spare*");
    client.send("CAP END");
    client.welcome("Alice");

    // A nick that nobody has is taken as well, and registration goes on by itself.
    client.send("QUIT");
    client.closed();
    let mut client = waiting(&server, "alice", "");
    client.send_all(&["CAP END", "RECOVER alice"]);
    let lines = client.welcome("alice");
    assert_eq!(commands(&lines)[..3], ["RECOVER", "NICK", "001"], "{lines:#?}");
}

#[test]
fn a_connection_that_may_share_the_nick_does_not_end_the_other() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut first = server.logged_in("alice", "alice", "sesame", "");
    first.join("#garden");
    let mut second = waiting(&server, "alice", "spare");
    second.ask("RECOVER alice");
    second.send("CAP END");
    let lines = second.welcome("alice");
    find(&lines, "JOIN").must_fit(":alice!* JOIN #garden");
    first.sync();
    // NOCHANGE ends it, and leaves the nick as it is.
    let mut third = waiting(&server, "alice", "spare");
    let lines = third.ask("RECOVER alice nochange");
    assert_eq!(commands(&lines), ["RECOVER"], "{lines:#?}");
    first.closed();
    second.closed();
    third.send("CAP END");
    third.welcome("spare");
    assert!(third.ask("ISON alice").last().unwrap().params()[1].is_empty());
}

#[test]
fn recover_works_on_the_network_too() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut old = server.logged_in("alice", "alice", "sesame", "");
    let mut new = server.logged_in("alice_", "alice", "sesame", "labeled-response batch");
    assert!(new.ask("CAP LS 302").iter().any(|line| line.raw.contains("draft/nick-recovery")));
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.one("RECOVER alice").must_fit(":* FAIL RECOVER NOT_AUTHORISED alice :*");
    // Where it could not have the nick, nobody loses it.
    bob.join("#still");
    new.join("#still");
    bob.ask("MODE #still +N");
    new.sync();
    new.one("RECOVER alice").must_fit(":* FAIL RECOVER TEMPORARILY_UNAVAILABLE alice :*");
    old.silent();
    bob.ask("MODE #still -N");
    new.sync();
    let lines = new.ask("RECOVER alice");
    assert_eq!(commands(&lines), ["RECOVER", "NICK"], "{lines:#?}");
    lines[1].must_fit(":alice_!* NICK alice");
    old.closed();
    let lines = new.ask("RECOVER alice");
    assert_eq!(commands(&lines), ["RECOVER", "NICK"], "{lines:#?}");
    // As NickServ has it for others.
    let mut newer = server.logged_in("alice__", "alice", "sesame", "");
    let lines = newer.ask("NS RECOVER alice");
    find(&lines, "NICK").must_fit(":alice__!* NICK alice");
    new.closed();
}

#[test]
fn grouped_nicks_are_the_accounts_alone_over_restarts_until_it_gives_them_up() {
    let mut server = Server::with(&[("ROOST__ACCOUNTS__GROUPED_NICKS", "2")]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(alice.told("NS GROUP").contains("name of your account"));
    for nick in ["Moon", "sun"] {
        alice.ask(&format!("NICK {nick}"));
        assert!(alice.told("NS GROUP").contains("from now on"), "{nick}");
    }
    assert!(alice.told("NS GROUP").contains("already"));
    let mut by_pass = server.connect();
    by_pass.send_all(&["PASS moon:sesame", "NICK moonlight", "USER m 0 * :m"]);
    assert!(by_pass.until("376").iter().any(|line| line.fits(":* 900 * * alice :*")), "PASS takes a grouped nick");
    alice.ask("NICK star");
    assert!(alice.told("NS GROUP").contains("has 2 nicks beside its name, and may have 2"));
    assert!(alice.told("NS INFO alice").contains("Its other nicks are Moon sun"));
    alice.ask("NICK alice");

    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
        }
        let mut bob = server.logged_in("bob", "bob", "sesame", "standard-replies");
        bob.one("NICK MOON").must_fit(":* FAIL NICK NICKNAME_RESERVED MOON :*");
        bob.one("RECOVER moon").must_fit(":* FAIL RECOVER NOT_AUTHORISED moon :*");
        assert!(bob.told("NS INFO moon").starts_with("Account alice was registered"));
        assert!(!bob.told("NS INFO moon").contains("nicks"), "others are not told");
        assert!(bob.told("NS UNGROUP moon").contains("no nick of your account"));
        let mut guest = server.connect();
        guest.send_all(&["NICK moon", "USER u 0 * :u"]);
        guest.until("433");
        guest.send("NICK guest");
        guest.welcome("guest");
        guest.one("REGISTER Sun * sesame").must_fit(":* FAIL REGISTER ACCOUNT_EXISTS Sun :*");
    }

    // It is taken back from whoever has it, and logs in without the account's name.
    let mut moon = server.logged_in("moon", "alice", "sesame", "");
    let mut other = server.logged_in("alice", "alice", "sesame", "");
    find(&other.ask("RECOVER moon"), "NICK").must_fit(":alice!* NICK moon");
    moon.closed();
    assert!(other.told("NS GHOST sun").contains("Nobody uses"));
    assert!(other.told("NS UNGROUP").contains("no nick of your account any more"));
    assert!(other.told("NS UNGROUP moon").contains("no nick of your account;"));
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    find(&bob.ask("NICK moon"), "NICK");
    assert!(bob.told("NS GROUP").contains("from now on"));
    assert!(all(&bob.ask("NICK sun"), "NICK").is_empty());

    // They go with the account.
    let mut alice = server.logged_in("sun", "alice", "sesame", "");
    let confirm = alice.told("NS UNREGISTER alice").split_whitespace().last().unwrap().to_owned();
    alice.send(&format!("NS UNREGISTER alice {confirm}"));
    alice.closed();
    find(&bob.ask("NICK sun"), "NICK");
    server.crash_and_restart();
    let mut guest = server.user("sun");
    guest.one("NICK moon").must_fit(":* NOTICE sun :moon: Nickname is reserved*");
}

#[test]
fn whoever_uses_a_grouped_nick_identifies_without_the_name_of_the_account() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.ask("NICK moon");
    alice.told("NS GROUP");
    let mut guest = server.user("guest");
    assert!(guest.told("NS IDENTIFY sesame").contains("IDENTIFY <account> <password>"));
    assert!(guest.told("NS IDENTIFY alice sesame").contains("logged in"));
    guest.ask("NS RECOVER moon");
    alice.closed();
    assert!(guest.ask("WHOIS moon").iter().any(|line| line.command() == "330"));
}

#[test]
fn grouped_nicks_follow_casemapping_and_looks() {
    let server = Server::with(&[("ROOST__SERVER__CASEMAPPING", "precis")]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.ask("NICK März");
    assert!(alice.told("NS GROUP").contains("from now on"));
    alice.ask("NICK evan");
    assert!(alice.told("NS GROUP").contains("from now on"));
    alice.ask("NICK alice");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.one("NICK märz").must_fit(":* NOTICE bob :märz: Nickname is reserved*");
    // A Cyrillic letter in place of the first.
    bob.one("NICK еvan").must_fit(":* 433 bob еvan :*looks like another*");
    alice.told("NS UNGROUP evan");
    find(&bob.ask("NICK еvan"), "NICK");
}
