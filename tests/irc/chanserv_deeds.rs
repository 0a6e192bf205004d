//! What ChanServ does in a channel for an account that is something in it, whether it is there or not.

use crate::client::{Client, find, texts};
use crate::server::Server;

/// #garden is alice's, bob is halfop of it, carol has voice, dave is nothing; nobody is there but dave.
fn garden() -> (Server, Client, Client, Client, Client) {
    let server = Server::start();
    for name in ["alice", "bob", "carol"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let bob = server.logged_in("bob", "bob", "sesame", "");
    let carol = server.logged_in("carol", "carol", "sesame", "");
    let mut dave = server.user("dave");
    alice.join("#garden");
    alice.told("CS REGISTER #garden");
    alice.ask("CS AMODE #garden +h bob");
    alice.ask("CS AMODE #garden +v carol");
    dave.join("#garden");
    alice.ask("PART #garden");
    dave.sync();
    (server, alice, bob, carol, dave)
}

#[test]
fn someone_is_put_out_kept_out_and_let_in_again() {
    let (_server, mut alice, mut bob, mut carol, mut dave) = garden();
    assert!(carol.told("CS KICK #garden dave").contains("no such rights"));
    assert!(dave.told("CS KICK #garden dave").contains("Log in first"));
    assert!(bob.told("CS KICK #garden nobody").contains("is not in #garden"));
    bob.ask("CS KICK #garden dave off the grass");
    find(&dave.sync(), "KICK").must_fit(":bob!* KICK #garden dave :off the grass");
    dave.join("#garden");
    bob.ask("CS BAN #garden dave");
    let lines = dave.sync();
    find(&lines, "MODE").must_fit(":bob!* MODE #garden +b *");
    find(&lines, "KICK");
    find(&dave.ask("JOIN #garden"), "474");
    assert!(bob.told("CS UNBAN #garden nobody").contains("No ban of #garden holds"));
    assert!(bob.told("CS UNBAN #garden dave").contains("No longer banned"));
    dave.join("#garden");
    // Whoever is more is safe, whether they are there or not.
    assert!(bob.told("CS BAN #garden alice").contains("higher rank"));
    alice.join("#garden");
    assert!(bob.told("CS KICK #garden alice").contains("higher rank"));
    // An account is banned by its name, and a mask as it is.
    bob.ask("CS BAN #garden carol");
    assert!(
        alice
            .ask("MODE #garden b")
            .iter()
            .any(|line| line.body().contains("account:carol") || line.body().contains("a:carol"))
    );
    bob.ask("CS BAN #garden *!*@192.0.2.*");
    assert!(bob.told("CS BAN #garden nonsense").contains("nobody's nick and no mask"));
    assert!(bob.told("CS UNBAN #garden *!*@192.0.2.*").contains("No longer banned"));
}

#[test]
fn whoever_is_something_in_a_secret_channel_is_let_in_and_told_its_key() {
    let (_server, mut alice, mut bob, mut carol, mut dave) = garden();
    alice.join("#garden");
    alice.ask("MODE #garden +ski rose");
    assert!(dave.told("CS GETKEY #garden").contains("Log in first"));
    assert!(carol.told("CS GETKEY #garden").contains("no such rights"));
    assert!(bob.told("CS GETKEY #garden").contains("The key of #garden is rose"));
    let mut eve = bob;
    let lines = eve.ask("CS INVITE #garden carol");
    assert!(texts(&lines).concat().contains("carol is invited to #garden"));
    find(&carol.sync(), "INVITE").must_fit(":bob!* INVITE carol #garden");
    carol.join("#garden");
    assert!(eve.told("CS INVITE #garden carol").contains("in #garden already"));
    find(&eve.ask("CS INVITE #garden"), "INVITE");
    eve.join("#garden");
    eve.ask("CS TOPIC #garden roses and more");
    find(&alice.sync(), "TOPIC").must_fit(":bob!* TOPIC #garden :roses and more");
}

#[test]
fn ranks_are_told_given_and_taken() {
    let (_server, mut alice, mut bob, mut carol, _dave) = garden();
    assert!(bob.told("CS STATUS #garden").contains("bob is +h by account in #garden, and not there"));
    assert!(carol.told("CS STATUS #garden bob").contains("no such rights"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#garden");
    }
    assert!(bob.told("CS STATUS #garden carol").contains("carol is +v by account in #garden, and there with +v"));
    carol.ask("MODE #garden -v carol");
    bob.sync();
    find(&carol.ask("CS UP #garden"), "MODE").must_fit(":ChanServ!* MODE #garden +v carol");
    assert!(carol.told("CS HALFOP #garden").contains("no such rights"));
    alice.sync();
    find(&alice.ask("CS HALFOP #garden carol"), "MODE").must_fit(":ChanServ!* MODE #garden +h carol");
    assert!(bob.told("CS DEHALFOP #garden carol").contains("no such rights"));
    find(&alice.ask("CS DEHALFOP #garden carol"), "MODE").must_fit(":ChanServ!* MODE #garden -h carol");
}
