//! HostServ: hosts that people are shown by.

use crate::client::{Client, find, texts};
use crate::server::Server;

fn server() -> Server {
    let server = Server::with(&[
        ("ROOST__OPER__0__NAME", "boss"),
        ("ROOST__OPER__0__PASSWORD", "letmein"),
        ("ROOST__CLOAK__ENABLED", "true"),
        ("ROOST__VHOSTS__OFFERED", "$account.users.example.org,reader.example.org"),
    ]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    server
}

fn boss(server: &Server) -> Client {
    let mut boss = server.user("boss");
    find(&boss.ask("OPER boss letmein"), "381");
    boss
}

/// The host that somebody is shown by.
fn host(client: &mut Client, nick: &str) -> String {
    find(&client.ask(&format!("WHOIS {nick}")), "311").params()[3].to_owned()
}

#[test]
fn a_host_is_asked_for_approved_seen_by_others_and_there_at_the_next_login() {
    let mut server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut watcher = server.user_with("watcher", "chghost");
    alice.join("#garden");
    watcher.join("#garden");
    alice.sync();
    let cloak = host(&mut watcher, "alice");
    assert!(alice.told("HS ON").contains("You have no host"));
    assert!(alice.told("HS REQUEST a!b").contains("is no host"));
    assert!(alice.told("HS REQUEST roses.example.org").contains("an operator decides"));
    assert!(alice.told("HS REQUEST other.example.org").contains("a moment ago"));
    find(&alice.ask("HS APPROVE alice roses.example.org"), "481");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut watcher = server.user_with("watcher", "chghost");
    alice.join("#garden");
    watcher.join("#garden");
    alice.sync();
    let mut boss = boss(&server);
    assert!(boss.told("HS WAITING").contains("alice asked for roses.example.org"));
    assert!(boss.told("HS APPROVE bob roses.example.org").contains("asked for no host"));
    assert!(boss.told("HS APPROVE alice roses.example.org").contains("alice is shown as roses.example.org now"));
    find(&watcher.sync(), "CHGHOST").must_fit(&format!(":alice!*@{cloak} CHGHOST * roses.example.org"));
    let lines = alice.sync();
    find(&lines, "396");
    assert!(texts(&lines).concat().contains("You have the host roses.example.org now"));
    assert!(boss.told("HS LIST").contains("alice has roses.example.org"));
    assert!(boss.told("HS WAITING").contains("asked for: 0"));
    // It is there from the first line on, by SASL, and after IDENTIFY.
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut watcher = server.user("watcher");
    assert_eq!(host(&mut watcher, "alice"), "roses.example.org");
    let mut late = server.user("late");
    late.ask("NS IDENTIFY alice sesame");
    assert_eq!(host(&mut watcher, "late"), "roses.example.org");
    // Off and on, over all that are logged in to the account.
    assert!(alice.told("HS OFF").contains("not shown by your host"));
    assert_eq!((host(&mut watcher, "alice"), host(&mut watcher, "late")), (cloak.clone(), cloak.clone()));
    assert!(alice.told("HS STATUS").contains("is not shown by it"));
    alice.ask("HS ON");
    assert_eq!(host(&mut watcher, "alice"), "roses.example.org");
    alice.ask("HS DROP");
    assert_eq!(host(&mut watcher, "alice"), cloak);
}

#[test]
fn a_host_that_is_taken_away_after_a_restart_is_not_shown_once_its_owner_is_back() {
    let mut server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let cloak = host(&mut alice, "alice");
    alice.told("NS SET ALWAYS-ON ON");
    let mut boss = boss(&server);
    boss.told("HS SET alice roses.example.org");
    assert_eq!(host(&mut alice, "alice"), "roses.example.org");
    drop(alice);
    server.crash_and_restart();
    let mut boss = self::boss(&server);
    assert_eq!(host(&mut boss, "alice"), "roses.example.org");
    boss.told("HS DEL alice");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(host(&mut boss, "alice"), cloak);
    // One that it was given meanwhile is shown, and bans of what is behind it hold.
    boss.told("HS SET alice roses.example.org");
    alice.sync();
    drop(alice);
    server.crash_and_restart();
    let mut boss = self::boss(&server);
    boss.told("HS SET alice tulips.example.org");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(host(&mut boss, "alice"), "tulips.example.org");
    boss.join("#garden");
    boss.ask(&format!("MODE #garden +b *!*@{cloak}"));
    find(&alice.ask("JOIN #garden"), "474");
}

#[test]
fn a_host_that_is_taken_away_while_its_owner_is_away_after_a_restart_is_gone_for_good() {
    let mut server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let cloak = host(&mut alice, "alice");
    for taken in ["HS DEL alice", "HS DROP", "HS OFF"] {
        alice.told("NS SET ALWAYS-ON ON");
        alice.told("HS TAKE 2");
        assert_eq!(host(&mut alice, "alice"), "reader.example.org");
        drop(alice);
        server.crash_and_restart();
        let mut boss = boss(&server);
        let mut other = server.user("other");
        assert_eq!(host(&mut boss, "alice"), "reader.example.org");
        if taken != "HS DEL alice" {
            other.ask("NS IDENTIFY alice sesame");
            other.told(taken);
        } else {
            boss.told(taken);
        }
        assert_eq!(host(&mut boss, "alice"), cloak, "{taken}");
        server.crash_and_restart();
        let mut boss = self::boss(&server);
        assert_eq!(host(&mut boss, "alice"), cloak, "{taken}");
        alice = server.logged_in("alice", "alice", "sesame", "");
        assert_eq!(host(&mut boss, "alice"), cloak, "{taken}");
        boss.join("#garden");
        for ban in [&*cloak, "reader.example.org"] {
            boss.ask(&format!("MODE #garden +b *!*@{ban}"));
            find(&alice.ask("JOIN #garden"), "474");
            boss.ask(&format!("MODE #garden -b *!*@{ban}"));
        }
        boss.ask("PART #garden");
    }
}

#[test]
fn a_ban_of_a_cloak_holds_over_a_restart_whatever_host_an_operator_gave() {
    let mut server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let cloak = host(&mut alice, "alice");
    alice.told("NS SET ALWAYS-ON ON");
    let mut boss = boss(&server);
    boss.ask("CHGHOST alice staff.example.org");
    drop(alice);
    server.crash_and_restart();
    let mut boss = self::boss(&server);
    boss.join("#garden");
    boss.ask(&format!("MODE #garden +b *!*@{cloak}"));
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(host(&mut boss, "alice"), "staff.example.org");
    find(&alice.ask("JOIN #garden"), "474");
}

#[test]
fn what_is_offered_is_taken_without_asking_and_what_is_refused_is_not_given() {
    let server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut boss = boss(&server);
    let offers = alice.told("HS OFFERLIST");
    assert!(offers.contains("1: alice.users.example.org") && offers.contains("2: reader.example.org"), "{offers}");
    for wrong in ["0", "3", "boss.example.org"] {
        assert!(alice.told(&format!("HS TAKE {wrong}")).contains("is not offered"), "{wrong}");
    }
    alice.ask("HS TAKE 1");
    assert_eq!(host(&mut boss, "alice"), "alice.users.example.org");
    alice.ask("HS TAKE reader.example.org");
    assert_eq!(host(&mut boss, "alice"), "reader.example.org");
    alice.ask("HS REQUEST staff.example.org");
    assert!(boss.told("HS REJECT alice not for you").contains("does not get staff.example.org"));
    assert!(texts(&alice.sync()).concat().contains("You do not get the host staff.example.org: not for you"));
    assert_eq!(host(&mut boss, "alice"), "reader.example.org");
    assert!(boss.told("HS SET alice x.example.org").contains("alice is shown as x.example.org"));
    assert!(boss.told("HS DEL alice").contains("has no host any more"));
    assert!(host(&mut boss, "alice").ends_with(".cloak"));
    assert!(boss.told("HS SET alice a!b").contains("is no host"));
}

#[test]
fn c60_a_ban_of_a_cloak_holds_whatever_host_somebody_is_shown_by() {
    let mut server = server();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.ask("NS SET ALWAYS-ON ON");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    alice.ask("CS REGISTER #garden");
    let cloak = host(&mut alice, "bob");
    alice.ask(&format!("MODE #garden +b *!*@{cloak}"));
    bob.ask("HS TAKE 2");
    assert_eq!(host(&mut alice, "bob"), "reader.example.org");
    find(&bob.ask("JOIN #garden"), "474");
    // So it is where the server put bob back, who has not left.
    drop(bob);
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert_eq!(host(&mut bob, "bob"), "reader.example.org");
    find(&bob.ask("JOIN #garden"), "474");
    bob.ask("HS OFF");
    assert_eq!(host(&mut bob, "bob"), cloak);
    find(&bob.ask("JOIN #garden"), "474");
}
