//! Registered channels: what outlives the last member and the server.

use crate::client::{find, texts};
use crate::server::Server;

#[test]
fn a_registered_channel_survives_its_members_a_restart_and_sigkill() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    alice.ask("MODE #garden +b mallory!*@*");
    alice.send("CS REGISTER #garden");
    alice.expect("*NOTICE alice :Channel #garden is registered");
    alice.ask("TOPIC #garden :roses");
    alice.ask("MODE #garden +imlk 5 secret");
    alice.ask("MODE #garden +I carol!*@*");
    alice.ask("MODE #garden +b eve!*@*");
    alice.ask("MODE #garden -b mallory!*@*");
    alice.ask("PART #garden");
    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
        } else {
            server.restart();
        }
        let mut bob = server.user("bob");
        bob.one("JOIN #garden").must_fit(":roost.local 473 bob #garden :*");
        let mut alice = server.logged_in("alice", "alice", "sesame", "");
        let lines = alice.join("#garden");
        find(&lines, "332").must_fit(":roost.local 332 alice #garden :roses");
        find(&lines, "333").must_fit(":roost.local 333 alice #garden alice!* *");
        find(&lines, "353").must_fit(":roost.local 353 alice = #garden :~alice");
        let modes = alice.ask("MODE #garden");
        let params: Vec<String> = modes[0].params().iter().map(|param| (*param).to_owned()).collect();
        let mut letters: Vec<char> = params[2].trim_start_matches('+').chars().collect();
        letters.sort_unstable();
        assert_eq!(letters.into_iter().collect::<String>(), "iklmnrt", "{modes:#?}");
        assert!(params.contains(&"secret".to_owned()) && params.contains(&"5".to_owned()), "{modes:#?}");
        let bans = alice.ask("MODE #garden b");
        assert_eq!(bans.len(), 2, "the ban that was taken off stays off: {bans:#?}");
        bans[0].must_fit(":roost.local 367 alice #garden eve!*@* alice!* *");
        alice.ask("MODE #garden I")[0].must_fit(":roost.local 346 alice #garden carol!*@* alice!* *");
    }
    let mut alice = server.logged_in("alice2", "alice", "sesame", "");
    // She is not in it, and could not register it again.
    assert!(texts(&alice.confirmed("CS DROP #garden")).concat().contains("no longer registered"));
    server.crash_and_restart();
    let mut bob = server.user("bob");
    let lines = bob.join("#garden");
    find(&lines, "353").must_fit(":roost.local 353 bob = #garden :@bob");
}

#[test]
fn only_an_operator_with_an_account_registers_a_channel_and_only_its_founder_drops_it() {
    let server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "sesame");
    let mut guest = server.user("guest");
    guest.join("#garden");
    guest.one("CS REGISTER #garden").must_fit("*NOTICE guest :Log in first*");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    bob.one("CS REGISTER #garden").must_fit("*NOTICE bob :Only an operator of #garden*");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#plot");
    alice.send("CS REGISTER #plot");
    alice.expect("*Channel #plot is registered");
    bob.one("CS DROP #plot").must_fit("*NOTICE bob :Channel #plot is not registered to your account");
    alice.ask("MODE #plot +s");
    bob.one("CS INFO #plot").must_fit("*There is no channel*");
}
