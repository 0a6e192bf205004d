//! Names that look like another's (UTS 39) are refused.

use crate::client::{commands, find};
use crate::server::Server;

const PRECIS: (&str, &str) = ("ROOST__SERVER__CASEMAPPING", "precis");
/// With U+0435 for e.
const EVAN: &str = "еvan";

#[test]
fn a_nick_that_looks_like_another_is_for_whoever_has_that() {
    let server = Server::with(&[PRECIS]);
    server.account("evan", "sesame");
    let mut mallory = server.connect();
    mallory.send_all(&[&format!("NICK {EVAN}"), "USER u 0 * :A Name"]);
    mallory.expect(&format!("*433 * {EVAN} :Nickname looks like another*"));
    mallory.send("NICK mallory");
    mallory.welcome("mallory");
    mallory.one(&format!("NICK {EVAN}")).must_fit(&format!("*433 mallory {EVAN} :Nickname looks like another*"));
    // Of services, and of those who are on without an account; in capitals, too.
    for nick in ["NіckServ", "СhanServ", "МАLLORY"] {
        let mut other = server.connect();
        other.send_all(&[&format!("NICK {nick}"), "USER u 0 * :A Name"]);
        other.expect(&format!("*433 * {nick} :*"));
    }
    // Who owns the account may; and then nobody else may have either.
    let mut evan = server.logged_in("evan", "evan", "sesame", "");
    evan.one(&format!("NICK {EVAN}")).must_fit(&format!(":evan!* NICK {EVAN}"));
    let mut direct = server.logged_in("еvаn", "evan", "sesame", "");
    direct.silent();
    mallory.one("NICK еvаn").must_fit("*433 *");
    // A nick that has gone is looked like no more.
    let mut bob = server.user("bob");
    mallory.one("NICK bоb").must_fit("*433 *");
    bob.ask("NICK robert");
    mallory.one("NICK bоb").must_fit("*NICK bоb");
    bob.one("NICK bob").must_fit("*433 robert bob :Nickname looks like*");
    // What is all ASCII is never taken for what is.
    mallory.one("NICK bob1").must_fit("*NICK bob1");
    bob.one("NICK bobl").must_fit("*NICK bobl");
}

#[test]
fn an_account_that_would_look_like_another_is_not_made() {
    let mut server = Server::with(&[PRECIS]);
    server.account("evan", "sesame");
    let mut guest = server.user_with("guest", "standard-replies draft/account-registration");
    let refused = guest.one(&format!("REGISTER {EVAN} * sesame"));
    refused.must_fit(&format!("*FAIL REGISTER BAD_ACCOUNT_NAME {EVAN} :The name looks like another*"));
    let _bob = server.user("bob");
    guest.one("REGISTER bоb * sesame").must_fit("*FAIL REGISTER BAD_ACCOUNT_NAME bоb :*");
    server.crash_and_restart();
    let mut guest = server.user_with("guest", "draft/account-registration");
    guest.one(&format!("REGISTER {EVAN} * sesame")).must_fit("*FAIL REGISTER BAD_ACCOUNT_NAME *");
}

#[test]
fn a_channel_that_would_look_like_a_registered_one_is_for_its_founder() {
    let mut server = Server::with(&[("ROOST__SERVER__CONFUSABLES", "on")]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut bob = server.user_with("bob", "draft/channel-rename");
    alice.join("#rust");
    // One that is not registered is anyone's.
    bob.join("#ruѕt");
    bob.ask("PART #ruѕt");
    alice.ask("CS REGISTER #rust");
    bob.one("JOIN #ruѕt").must_fit("*479 bob #ruѕt :*looks like*");
    bob.join("#other");
    bob.one("RENAME #other #ruѕt").must_fit("*FAIL RENAME CANNOT_RENAME #other #ruѕt :*looks like*");
    bob.join("#rvst");
    let mut names = alice.join("#ruѕt");
    assert!(!commands(&names).contains(&"479"));
    // Whoever was there before is not driven out, but cannot be registered beside it.
    names = bob.join("#ruѕt");
    find(&names, "353");
    alice.ask("PART #ruѕt");
    bob.ask("PART #ruѕt");
    server.crash_and_restart();
    let mut bob = server.user("bob");
    bob.one("JOIN #ruѕt").must_fit("*479 bob #ruѕt :*");
    alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#rust");
    alice.ask("CS DROP #rust");
    alice.ask("PART #rust");
    bob.join("#ruѕt");
}

#[test]
fn nothing_is_refused_where_that_is_turned_off() {
    let server = Server::with(&[PRECIS, ("ROOST__SERVER__CONFUSABLES", "off")]);
    server.account("evan", "sesame");
    server.user(EVAN).silent();
}
