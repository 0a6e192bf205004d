//! ChanServ: who is what in a registered channel, and what its founder does with it.

use crate::client::{Client, all, find, texts};
use crate::server::Server;

/// A server with accounts, and #garden, which is alice's.
fn garden() -> (Server, Client) {
    let server = Server::with(&[("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    for name in ["alice", "bob", "carol"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    alice.told("CS REGISTER #garden");
    (server, alice)
}

#[test]
fn what_amode_gives_is_there_at_each_join_over_a_crash() {
    let (mut server, mut alice) = garden();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    let lines = alice.ask("CS AMODE #garden +o bob");
    find(&lines, "MODE").must_fit(":ChanServ!* MODE #garden +o bob");
    find(&bob.sync(), "MODE").must_fit(":ChanServ!* MODE #garden +o bob");
    assert!(alice.told("CS AMODE #garden +o nobody").contains("no account"));
    assert!(alice.told("CS AMODE #garden +q bob").contains("TRANSFER"));
    assert!(bob.told("CS AMODE #garden +o carol").contains("below your own"));
    assert!(bob.told("CS AMODE #garden -o alice").contains("below your own"));
    assert!(bob.told("CS AMODE #garden +v carol").contains("carol has +v"));
    assert_eq!(bob.told("CS AMODE #garden").lines().skip(1).collect::<Vec<_>>(), ["bob +o", "carol +v"]);
    alice.ask("MODE #garden +i");
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    find(&bob.join("#garden"), "353").must_fit("* 353 bob = #garden :@bob");
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    assert!(carol.told("CS AMODE #garden +v bob").contains("no such rights"));
    find(&carol.ask("JOIN #garden"), "473");
    bob.ask("INVITE carol #garden");
    find(&carol.join("#garden"), "353").must_fit("* 353 carol = #garden :@bob +carol");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    bob.sync();
    let lines = alice.ask("CS AMODE #garden -o bob");
    find(&lines, "MODE").must_fit(":ChanServ!* MODE #garden -o bob");
    // Another name of the channel takes it along.
    carol.sync();
    assert!(alice.told("CS AMODE #garden +h bob").contains("+h"));
    alice.ask("RENAME #garden #park");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(alice.told("CS AMODE #park").lines().skip(1).collect::<Vec<_>>(), ["bob +h", "carol +v"]);
    // An account that is gone is nothing any more.
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    let confirm = bob.told("NS UNREGISTER bob").split_whitespace().last().unwrap().to_owned();
    bob.send(&format!("NS UNREGISTER bob {confirm}"));
    bob.closed();
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(alice.told("CS AMODE #park").lines().skip(1).collect::<Vec<_>>(), ["carol +v"]);
}

#[test]
fn ranks_are_given_and_taken_by_what_the_account_is() {
    let (server, mut alice) = garden();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    alice.sync();
    assert!(bob.told("CS OP #garden").contains("no such rights"));
    find(&alice.ask("CS VOICE #garden bob"), "MODE").must_fit(":ChanServ!* MODE #garden +v bob");
    assert!(alice.told("CS VOICE #garden bob").contains("already"));
    find(&alice.ask("CS DEVOICE #garden bob"), "MODE").must_fit(":ChanServ!* MODE #garden -v bob");
    find(&alice.ask("CS OP #garden bob"), "MODE").must_fit(":ChanServ!* MODE #garden +o bob");
    find(&alice.ask("CS DEOP #garden bob"), "MODE").must_fit(":ChanServ!* MODE #garden -o bob");
    assert!(alice.told("CS OP #garden carol").contains("not in #garden"));
    alice.ask("MODE #garden -qo alice alice");
    find(&alice.ask("CS OP #garden"), "MODE").must_fit(":ChanServ!* MODE #garden +qo alice alice");
}

#[test]
fn a_channel_goes_to_who_accepts_it() {
    let (mut server, mut alice) = garden();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    alice.sync();
    assert!(bob.told("CS TRANSFER #garden bob").contains("not registered to your account"));
    let confirm = alice.told("CS TRANSFER #garden bob").split_whitespace().last().unwrap().to_owned();
    assert!(alice.told("CS TRANSFER #garden bob wrong").contains("not the code"));
    assert!(bob.told("CS TRANSFER ACCEPT #garden").contains("not offered"));
    alice.told(&format!("CS TRANSFER #garden bob {confirm}"));
    assert!(texts(&bob.sync()).concat().contains("TRANSFER ACCEPT #garden"));
    alice.told("CS TRANSFER CANCEL #garden");
    assert!(bob.told("CS TRANSFER ACCEPT #garden").contains("not offered"));
    alice.told(&format!("CS TRANSFER #garden bob {confirm}"));
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    assert!(carol.told("CS TRANSFER ACCEPT #garden").contains("not offered"));
    let lines = bob.ask("CS TRANSFER ACCEPT #garden");
    find(&lines, "MODE").must_fit(":ChanServ!* MODE #garden +qo bob bob");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(alice.told("CS INFO #garden").contains("registered to bob"));
    find(&alice.join("#garden"), "353").must_fit("* 353 alice = #garden :alice");
}

#[test]
fn whoever_was_founder_is_none_any_more_over_a_crash() {
    let (mut server, mut alice) = garden();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    for client in [&mut alice, &mut bob] {
        client.told("NS SET ALWAYS-ON ON");
    }
    bob.join("#garden");
    alice.ask("MODE #garden +oq bob bob");
    let lines = alice.ask("CS DROP #garden");
    let modes: Vec<String> = all(&lines, "MODE").iter().map(|line| line.params()[1..].join(" ")).collect();
    assert_eq!(modes, ["-r", "-q alice", "-q bob"]);
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    find(&bob.ask("NAMES #garden"), "353").must_fit("* 353 bob = #garden :@* @*");
    bob.ask("CS REGISTER #garden");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    find(&alice.ask("MODE #garden -qo bob bob"), "482");
    find(&alice.ask("KICK #garden bob"), "482");
    // What an account gave goes with the login.
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    carol.join("#garden");
    bob.ask("CS AMODE #garden +o carol");
    server.account("dave", "sesame");
    for line in ["CAP REQ sasl", "AUTHENTICATE PLAIN"] {
        carol.ask(line);
    }
    find(&carol.ask("AUTHENTICATE AGRhdmUAc2VzYW1l"), "900");
    find(&carol.ask("NAMES #garden"), "353").must_fit("* 353 carol = #garden :*carol*");
    assert!(!find(&carol.ask("NAMES #garden"), "353").params()[3].contains("@carol"));
}

#[test]
fn a_channel_is_cleared_of_people_and_of_access() {
    let (server, mut alice) = garden();
    let (mut bob, mut carol) = (server.logged_in("bob", "bob", "sesame", ""), server.user("guest"));
    for client in [&mut bob, &mut carol] {
        client.join("#garden");
    }
    alice.sync();
    alice.ask("CS AMODE #garden +v bob");
    alice.ask("MODE #garden +b x!*@*");
    find(&alice.confirmed("CS CLEAR #garden ACCESS"), "MODE").must_fit(":ChanServ!* MODE #garden -v bob");
    assert!(alice.told("CS AMODE #garden").ends_with(": 0"));
    assert!(all(&alice.ask("MODE #garden b"), "367").is_empty());
    bob.sync();
    let lines = alice.ask("CS CLEAR #garden USERS");
    assert_eq!(all(&lines, "KICK").len(), 2, "{lines:#?}");
    find(&bob.sync(), "KICK").must_fit(":alice!* KICK #garden bob :The channel was cleared by its founder");
    find(&alice.ask("NAMES #garden"), "353").must_fit("* 353 alice = #garden :~alice");
    assert!(bob.told("CS CLEAR #garden USERS").contains("not registered to your account"));
}

#[test]
fn it_says_which_ban_keeps_someone_out() {
    let (server, mut alice) = garden();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    let text = alice.told("CS HOWTOBAN #garden bob");
    let ban = text.lines().find(|line| line.contains("account:bob")).unwrap();
    alice.ask(ban.trim_start_matches('/'));
    find(&bob.ask("JOIN #garden"), "474");
    server.user("guest");
    assert!(bob.told("CS HOWTOBAN #garden alice").contains("Only halfops"));
    assert!(alice.told("CS HOWTOBAN #garden nobody").contains("nobody with the nick"));
}

#[test]
fn operators_list_channels_and_close_one_for_good() {
    let (mut server, mut alice) = garden();
    let mut boss = server.user("boss");
    find(&boss.ask("OPER boss letmein"), "381");
    find(&alice.ask("CS LIST"), "481");
    assert!(boss.told("CS LIST").starts_with("#garden: alice, since "));
    assert!(boss.told("CS LIST #x*").ends_with(": 0"));
    boss.told("CS PURGE ADD #Garden spam and worse");
    find(&alice.sync(), "KICK").must_fit(":boss!* KICK #garden alice :spam and worse");
    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
            alice = server.logged_in("alice", "alice", "sesame", "");
        }
        alice.join("#way-round");
        find(&alice.ask("RENAME #way-round #garden"), "FAIL").must_fit("* FAIL RENAME CANNOT_RENAME *");
        find(&alice.ask("JOIN #garden"), "474").must_fit("* 474 alice #garden :*spam and worse*");
        assert!(alice.told("CS INFO #garden").contains("closed for good: spam and worse"));
    }
    let mut boss = server.user("boss");
    boss.ask("OPER boss letmein");
    assert!(boss.told("CS PURGE LIST").starts_with("#garden (boss!"));
    assert!(boss.told("CS PURGE ADD nonsense").contains("no name of a channel"));
    boss.told("CS PURGE DEL #garden");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    find(&alice.join("#garden"), "353").must_fit("* 353 alice = #garden :@alice");
}

#[test]
fn an_operator_without_an_account_hands_on_and_ends_the_channel_of_a_founder_who_is_gone() {
    let (mut server, mut alice) = garden();
    let mut boss = server.user("boss");
    assert!(boss.told("CS TRANSFER #garden bob").contains("Log in first"));
    find(&boss.ask("OPER boss letmein"), "381");
    alice.ask("MODE #garden +s");
    let confirm = boss.told("CS TRANSFER #garden bob").split_whitespace().last().unwrap().to_owned();
    assert!(boss.told(&format!("CS TRANSFER #garden bob {confirm}")).contains("bob's once they say"));
    assert!(texts(&alice.sync()).concat().contains("offers your channel #garden to bob"));
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(bob.told("CS TRANSFER ACCEPT #garden").contains("is yours now"));
    assert!(texts(&alice.sync()).concat().contains("#garden is bob's now"));
    assert!(alice.told("CS DROP #garden").contains("not registered to your account"));
    assert!(texts(&boss.confirmed("CS DROP #garden")).concat().contains("no longer registered"));
    assert!(texts(&bob.sync()).concat().contains("no longer registered to you"));
    server.crash_and_restart();
    assert!(server.output().contains("ChanServ TRANSFER #garden bob"), "it is in the audit log");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(bob.told("CS INFO #garden").contains("no channel"));
}
