//! Modes by their names (draft/named-modes, <https://github.com/ircv3/ircv3-specifications/pull/484>).

use crate::client::{all, commands};
use crate::server::Server;

#[test]
fn the_names_are_told_on_connecting_and_only_to_those_who_asked() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.request("draft/named-modes");
    alice.send_all(&["NICK alice", "USER alice 0 * :Alice", "CAP END"]);
    let lines = alice.welcome("alice");
    for (numeric, some) in [("964", ["5:op=o", "1:ban=b"]), ("965", ["4:invisible=i", "3:snomask=s"])] {
        let listed = all(&lines, numeric);
        let (last, more) = listed.split_last().unwrap();
        assert_eq!(last.params().len(), 2, "{last:?}");
        assert!(more.iter().all(|line| line.params()[1] == "*"), "{more:#?}");
        let names: Vec<&str> =
            listed.iter().flat_map(|line| line.params().pop().unwrap().split(' ').collect::<Vec<_>>()).collect();
        assert!(some.iter().all(|name| names.contains(name)), "{names:?}");
    }
    let mut bob = server.connect();
    bob.send_all(&["NICK bob", "USER bob 0 * :Bob"]);
    let lines = bob.welcome("bob");
    assert!(all(&lines, "964").is_empty());
    assert!(lines.iter().any(|line| line.command() == "005" && line.raw.contains(" MAXMODES=")));
}

#[test]
fn a_change_is_prop_for_those_who_asked_and_mode_for_the_others() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user_with("alice", "draft/named-modes"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    assert_eq!(
        alice
            .one("PROP #room +key=pyramids -topiclock +ban=*!*@example.com :+ban=example!*@*")
            .body()
            .split_once(' ')
            .unwrap()
            .1,
        "PROP #room +key=pyramids -topiclock +ban=*!*@example.com +ban=example!*@*"
    );
    bob.only().must_fit(":alice!* MODE #room +k-t+bb pyramids *!*@example.com example!*@*");
    // A client that knows both may use both.
    alice.one("MODE #room +m-k pyramids").must_fit(":alice!* PROP #room +moderated -key=*");
    bob.only().must_fit(":alice!* MODE #room +m-k *");
    alice.one("PROP #room +voice=bob").must_fit(":alice!* PROP #room +voice=bob");
    bob.only().must_fit(":alice!* MODE #room +v bob");
    // What is superfluous is left out.
    alice.one("PROP #room +noctcp=yes").must_fit(":alice!* PROP #room +noctcp");
    bob.only().must_fit(":alice!* MODE #room +C");
    // One's own modes.
    alice.one("PROP alice +bot").must_fit(":alice!* PROP alice +bot");
    bob.one("PROP bob +bot").must_fit(":bob!* MODE bob +B");
}

#[test]
fn modes_and_lists_are_shown_by_name() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.join("#room");
    alice.ask("PROP #room +limit=5 +ban=mallory");
    let lines = alice.ask("PROP #room");
    assert_eq!(commands(&lines), ["961", "960"]);
    assert_eq!(lines[0].params(), ["alice", "#room", "noextmsg topiclock limit=5"]);
    let lines = alice.ask("PROP #room ban");
    assert_eq!(commands(&lines), ["963", "962"]);
    lines[0].must_fit(":roost.local 963 alice #room ban mallory!*@* alice!* *");
    lines[1].must_fit(":roost.local 962 alice #room ban :End of list");
    let mut bob = server.user("bob");
    bob.join("#room");
    assert_eq!(commands(&bob.ask("PROP #room banex")), ["482"], "the lists of exceptions are for operators");
    assert_eq!(commands(&bob.ask("PROP #room +moderated")), ["482"]);
    alice.sync();
    assert_eq!(commands(&alice.ask("PROP alice")), ["961", "960"]);
}

#[test]
fn what_is_no_mode_is_named_and_the_rest_is_done() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.join("#room");
    let lines = alice.ask("PROP #room +nosuch +moderated secret +ban");
    assert_eq!(commands(&lines), ["472", "472", "696", "MODE"]);
    lines[0].must_fit(":roost.local 472 alice nosuch :*");
    lines[1].must_fit(":roost.local 472 alice secret :\"secret\" changes nothing without + or - *");
    assert_eq!(commands(&alice.ask("PROP #nowhere")), ["403"]);
    assert_eq!(commands(&alice.ask("PROP nobody +bot")), ["401"]);
    assert_eq!(commands(&alice.ask("PROP alice +nosuch bot")), ["472", "472"]);
    assert_eq!(commands(&alice.ask("PROP")), ["461"]);
}

#[test]
fn a_long_change_is_one_answer_to_its_label() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "draft/named-modes batch labeled-response");
    alice.join("#room");
    let lines = alice.ask("@label=x MODE #room +imsCcDNRSUuzME-nt");
    assert_eq!(lines[0].tag("label"), Some("x"));
    assert_eq!(commands(&lines), ["BATCH", "PROP", "PROP", "BATCH"]);
    assert!(lines[1..3].iter().all(|line| line.tag("batch").is_some()), "{lines:#?}");
}
