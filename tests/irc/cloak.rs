//! Cloaks (case C60): an address is for its user and operators alone.

use crate::client::{Client, Line, find};
use crate::server::{Server, free_ports, own_address};

const ON: (&str, &str) = ("ROOST__CLOAK__ENABLED", "true");
const OPTIONAL: (&str, &str) = ("ROOST__CLOAK__OPTIONAL", "true");
const CAPS: &str = "draft/chathistory batch chghost message-tags extended-join";
/// Where all of these clients come from.
const ADDRESS: &str = "127.0.0.1";

fn host_of(client: &mut Client) -> String {
    client.mask().split_once('@').unwrap().1.to_owned()
}

fn opers() -> [(&'static str, &'static str); 2] {
    [("ROOST__OPER__0__NAME", "root"), ("ROOST__OPER__0__PASSWORD", "secret")]
}

#[test]
fn c60_nobody_but_operators_and_the_user_sees_an_address() {
    let [name, password] = opers();
    let mut server = Server::with(&[ON, name, password]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let cloak = host_of(&mut alice);
    assert!(cloak.ends_with(".cloak") && cloak.len() == 22, "{cloak}");
    assert_eq!(host_of(&mut bob), cloak, "it is the address's");
    find(&alice.ask("MODE alice"), "221").must_fit("*x*");
    alice.join("#room");
    bob.join("#room");
    let mut seen = Vec::new();
    alice.ask("PRIVMSG #room :hello");
    alice.ask("NICK alicia");
    alice.ask("TOPIC #room :about");
    alice.ask("MODE #room +b mallory");
    seen.extend(bob.sync());
    for line in [
        "WHOIS alicia",
        "WHO alicia",
        "WHO #room",
        "WHO #room %tcuihsnfdlaor,1",
        "USERHOST alicia",
        "USERIP alicia",
        "NAMES #room",
        "TOPIC #room",
        "MODE #room b",
        "CHATHISTORY LATEST #room * 50",
        "MONITOR + alicia",
        "WHO 127.*",
        "WHO *@127.0.0.1",
        "LIST",
        "STATS p",
    ] {
        seen.extend(bob.ask(line));
    }
    alice.send("QUIT :gone");
    alice.closed();
    seen.extend(bob.sync());
    seen.extend(bob.ask("WHOWAS alicia"));
    assert!(seen.len() > 30);
    // The server listens on an address of its own, which is not theirs.
    let told = seen.iter().filter(|line| line.body().contains(ADDRESS)).collect::<Vec<_>>();
    // WHO repeats what was asked, and shows bob his own.
    let own = |line: &&&Line| line.command() == "315" || line.command() == "354" && line.params().contains(&"~bob");
    assert!(told.iter().all(|line| own(&line)), "{told:?}");

    // Its user, and operators.
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    find(&alice.ask("WHOIS alice"), "338").must_fit(&format!("*{ADDRESS}*"));
    assert!(!bob.ask("WHOIS alice").iter().any(|line| ["338", "378"].contains(&line.command())));
    bob.ask("OPER root secret");
    let shown = bob.ask("WHOIS alice");
    find(&shown, "338").must_fit(&format!("*{ADDRESS}*"));
    find(&shown, "311").must_fit(&format!("*{cloak}*"));
    // It is the same after a restart.
    server.crash_and_restart();
    assert_eq!(host_of(&mut server.user("carol")), cloak);
}

#[test]
fn c60_bans_of_a_channel_go_by_the_cloak_and_find_no_address() {
    let [name, password] = opers();
    let server = Server::with(&[ON, name, password]);
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    let cloak = host_of(&mut bob);
    alice.join("#room");
    for ban in ["*!*@127.0.0.1", "*!*@127.*", "*!*@127.0.0.?", "*!*@127.0.0.0/8", "bob!*@*1", "*!*@*.1"] {
        alice.ask(&format!("MODE #room +b {ban}"));
        bob.join("#room");
        bob.ask("PART #room");
        alice.ask(&format!("MODE #room -b {ban}"));
    }
    alice.sync();
    alice.ask("SILENCE +*!*@127.*");
    bob.ask("PRIVMSG alice :heard");
    alice.only().must_fit("*PRIVMSG alice :heard");
    for ban in [format!("*!*@{cloak}"), "*!*@*.cloak".to_owned()] {
        alice.ask(&format!("MODE #room +b {ban}"));
        bob.one("JOIN #room").must_fit("*474 bob #room :*");
        // A host that an operator gives it takes it out of no ban, and covers the cloak.
        bob.ask("OPER root secret");
        bob.ask("SETHOST staff.example");
        assert_eq!(host_of(&mut bob), "staff.example");
        bob.one("JOIN #room").must_fit("*474 bob #room :*");
        bob.ask(&format!("SETHOST {cloak}"));
        alice.ask(&format!("MODE #room -b {ban}"));
    }
    // Bans of the server see the address.
    let mut carol = server.user("carol");
    let told = bob.ask("UBAN INFO 127.0.0.1");
    assert!(told.iter().any(|line| line.body().contains("carol")), "{told:?}");
    bob.ask("KLINE carol!*@127.0.0.1 :out");
    carol.closed();
}

#[test]
fn a_cloak_is_taken_off_only_where_that_is_allowed() {
    let server = Server::with(&[ON]);
    let mut alice = server.user("alice");
    alice.one("MODE alice -x").must_fit("*NOTICE alice :Mode x was not taken off: *");
    assert!(host_of(&mut alice).ends_with(".cloak"));

    let [name, password] = opers();
    let server = Server::with(&[ON, OPTIONAL, name, password]);
    let (mut alice, mut bob) = (server.user_with("alice", CAPS), server.user_with("bob", CAPS));
    let cloak = host_of(&mut alice);
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    let lines = alice.ask("MODE alice -x");
    find(&lines, "396").must_fit(&format!("*396 alice {ADDRESS} :*"));
    find(&lines, "MODE").must_fit(&format!(":alice!*@{ADDRESS} MODE alice -x"));
    bob.only().must_fit(&format!(":alice!*@{cloak} CHGHOST * {ADDRESS}"));
    // Bans of the cloak still hold; and later those of the address, if they name it.
    alice.ask("PART #room");
    bob.ask("PART #room");
    bob.join("#own");
    bob.ask(&format!("MODE #own +b *!*@{cloak}"));
    alice.one("JOIN #own").must_fit("*474 *");
    find(&alice.ask("MODE alice +x"), "MODE").must_fit(&format!(":alice!*@{cloak} MODE alice +x"));
    bob.ask(&format!("MODE #own -b+b *!*@{cloak} *!*@{ADDRESS}"));
    alice.one("JOIN #own").must_fit("*474 *");
    bob.ask(&format!("MODE #own -b+b *!*@{ADDRESS} *!*@127.*"));
    alice.join("#own");
    // What an operator gave stays whatever the mode is.
    alice.ask("OPER root secret");
    alice.ask("SETHOST staff.example");
    alice.one("MODE alice -x").must_fit(":alice!*@staff.example MODE alice -x");
    assert_eq!(host_of(&mut alice), "staff.example");
}

#[test]
fn who_is_always_on_has_a_cloak_from_the_start_that_brings_them() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.ask("NS SET ALWAYS-ON ON");
    alice.join("#room");
    assert_eq!(host_of(&mut alice), ADDRESS);
    let mut bob = server.user("bob");
    bob.join("#own");
    drop(alice);
    server.set(ON.0, ON.1);
    server.restart();
    let mut bob = server.user("bob");
    let row = find(&bob.ask("WHOIS alice"), "311").clone();
    assert!(row.params()[3].ends_with(".cloak"), "{row:?}");
    bob.join("#own");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    // They were shown by their address: a ban that names it holds, one that guesses does not.
    bob.ask("MODE #own +b *!*@127.0.0.*");
    alice.join("#own");
    alice.ask("PART #own");
    bob.ask(&format!("MODE #own +b *!*@{ADDRESS}"));
    alice.one("JOIN #own").must_fit("*474 *");
}

#[test]
fn a_key_of_ones_own_makes_other_cloaks_and_a_weak_one_is_refused() {
    let key = ("ROOST__CLOAK__KEY", "nobody can guess this text");
    let cloak = |settings: &[(&str, &str)]| host_of(&mut Server::with(settings).user("alice"));
    let one = cloak(&[ON, key]);
    assert_eq!(cloak(&[ON, key]), one);
    assert_ne!(cloak(&[ON]), one);
    assert!(cloak(&[ON, key, ("ROOST__CLOAK__SUFFIX", "example")]).ends_with(".example"));
    let mut server = Server::start();
    server.signal("TERM");
    server.wait();
    server.set("ROOST__CLOAK__KEY", "hunter2");
    let refused = server.refuses_to_start();
    assert!(refused.contains("cloak.key") && !refused.contains("hunter2"), "{refused}");
}

#[test]
fn where_a_second_device_comes_from_is_found_by_no_ban_though_the_first_came_over_tor() {
    let [tor] = free_ports::<1>(own_address());
    let on = format!("[{{ address = \"{tor}\", host = \"tor.onion\" }}]");
    let server = Server::with(&[ON, ("ROOST__LISTEN__ON", &on)]);
    server.account("vic", "sesame");
    let mut first = Client::plain(tor);
    first.log_in("vic", "vic", "sesame", "");
    assert_eq!(host_of(&mut first), "tor.onion");
    server.logged_in("vic", "vic@two", "sesame", "");
    let mut second = server.logged_in("vic", "vic@three", "sesame", "");
    let mut bob = server.user("bob");
    let cloak = host_of(&mut bob);
    bob.join("#own");
    bob.ask("MODE #own +b *!*@127.*");
    bob.ask(&format!("MODE #own +b *!*@{ADDRESS}"));
    second.join("#own");
    second.ask("PART #own");
    bob.ask(&format!("MODE #own +b *!*@{cloak}"));
    second.one("JOIN #own").must_fit("*474 *");
}
