//! RENAME (draft/channel-rename).

use crate::client::{commands, find};
use crate::server::Server;

const CAPS: &str = "draft/channel-rename draft/chathistory batch draft/read-marker";

#[test]
fn a_renamed_channel_keeps_all_it_has_over_a_restart() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user_with("bob", "");
    alice.join("#old");
    bob.join("#old");
    alice.ask("CS REGISTER #old");
    alice.ask("MODE #old +b mallory!*@*");
    alice.ask("TOPIC #old :what it is about");
    alice.ask("PRIVMSG #old :said before");
    alice.ask("MARKREAD #old timestamp=2024-01-02T03:04:05.006Z");
    bob.sync();
    bob.one("RENAME #old #mine").must_fit("*482 bob #old :*");
    let lines = alice.ask("RENAME #OLD #new :a better name");
    find(&lines, "RENAME").must_fit(":alice!* RENAME #old #new :a better name");
    find(&lines, "MARKREAD").must_fit("*#new timestamp=2024-01-02T03:04:05.006Z");
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["PART", "JOIN", "332", "333", "353", "366"]);
    lines[0].must_fit(":bob!* PART #old :Channel renamed: a better name");
    lines[1].must_fit(":bob!* JOIN #new");
    alice.ask("PRIVMSG #new :said after");
    bob.only().must_fit("*PRIVMSG #new :said after");
    alice.one("RENAME #new nonsense").must_fit("*FAIL RENAME CANNOT_RENAME #new nonsense :*");
    bob.join("#taken");
    alice.one("RENAME #new #taken").must_fit("*FAIL RENAME CHANNEL_NAME_IN_USE #new #taken :*");
    alice.one("RENAME #nowhere #x").must_fit("*403 alice #nowhere :*");
    // Another way to write it is no other channel.
    find(&alice.ask("RENAME #new #New"), "RENAME").must_fit("*RENAME #new #New :");
    bob.silent();
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let lines = alice.join("#new");
    find(&lines, "JOIN").must_fit(":alice!* JOIN #New");
    find(&lines, "332").must_fit("*#New :what it is about");
    find(&lines, "MARKREAD").must_fit("*#New timestamp=2024-01-02T03:04:05.006Z");
    find(&alice.ask("MODE #new b"), "367").must_fit("*#New mallory!*");
    let page = alice.ask("CHATHISTORY LATEST #new * 10");
    assert_eq!(page.iter().filter(|line| line.command() == "PRIVMSG").count(), 2);
    // The old name is free, and knows nothing.
    let mut carol = server.user_with("carol", CAPS);
    carol.join("#old");
    assert_eq!(alice.one("MARKREAD #old").params(), ["#old", "*"]);
    assert_eq!(carol.ask("CHATHISTORY LATEST #old * 10").len(), 2);
}

#[test]
fn a_channel_that_nothing_is_kept_of_is_renamed_at_once() {
    let server = Server::with(&[("ROOST__HISTORY__ENABLED", "false")]);
    let mut alice = server.user_with("alice", "draft/channel-rename");
    alice.join("#a");
    alice.one("RENAME #a #b :why not").must_fit("*RENAME #a #b :why not");
    alice.one("RENAME #b #B").must_fit("*RENAME #b #B :");
}
