//! CAP: LS, LIST, REQ, ACK, NAK, END (<https://ircv3.net/specs/extensions/capability-negotiation>).

use std::collections::HashMap;

use crate::client::{Client, all};
use crate::server::Server;

/// What this server must offer.
const OFFERED: &[&str] = &[
    "message-tags",
    "server-time",
    "batch",
    "echo-message",
    "labeled-response",
    "cap-notify",
    "multi-prefix",
    "userhost-in-names",
    "extended-join",
    "account-notify",
    "account-tag",
    "away-notify",
    "chghost",
    "invite-notify",
    "setname",
    "standard-replies",
    "sasl",
    "draft/chathistory",
    "draft/event-playback",
];

/// The capabilities of one LS or LIST, with their values.
fn offered(client: &mut Client, request: &str) -> HashMap<String, Option<String>> {
    let lines = client.ask(request);
    let lines = all(&lines, "CAP");
    let mut offered = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        let params = line.params();
        assert_eq!(params.len(), if at + 1 == lines.len() { 3 } else { 4 }, "{line:?}");
        for word in params.last().unwrap().split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some((name, value)) => offered.insert(name.to_owned(), Some(value.to_owned())),
                None => offered.insert(word.to_owned(), None),
            };
        }
    }
    offered
}

#[test]
fn ls_302_offers_everything_with_values() {
    let server = Server::start();
    let offered = offered(&mut server.connect(), "CAP LS 302");
    for cap in OFFERED {
        assert!(offered.contains_key(*cap), "{cap} is not offered: {offered:?}");
    }
    assert_eq!(offered["sasl"], Some("PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,ECDSA-NIST256P-CHALLENGE,TOTP".to_owned()));
}

#[test]
fn c11_without_302_there_is_one_line_without_values() {
    let server = Server::start();
    for request in ["CAP LS", "CAP LS 301", "CAP LS abc"] {
        let mut client = server.connect();
        let lines = client.ask(request);
        assert_eq!(lines.len(), 1, "{request}: {lines:#?}");
        lines[0].must_fit(":roost.local CAP * LS :*");
        assert!(!lines[0].params()[2].contains('='), "{lines:#?}");
        assert!(lines[0].params()[2].split(' ').any(|cap| cap == "sasl"), "{lines:#?}");
    }
}

#[test]
fn c11_a_higher_version_is_302_and_the_answer_follows_the_request() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(
        offered(&mut client, "CAP LS 307")["sasl"],
        Some("PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,ECDSA-NIST256P-CHALLENGE,TOTP".to_owned())
    );
    assert_eq!(offered(&mut client, "CAP LS")["sasl"], None);
}

#[test]
fn cap_works_after_registration() {
    let server = Server::start();
    let mut alice = server.user("alice");
    assert!(offered(&mut alice, "CAP LS 302").contains_key("server-time"));
    alice.one("CAP REQ :server-time").must_fit(":roost.local CAP alice ACK :server-time");
    alice.one("CAP LIST").must_fit(":roost.local CAP alice LIST :server-time");
}

#[test]
fn c01_an_empty_list_has_an_empty_trailing_parameter() {
    let server = Server::start();
    assert_eq!(server.user("alice").one("CAP LIST").raw, ":roost.local CAP alice LIST :");
    assert_eq!(server.connect().one("CAP LIST").raw, ":roost.local CAP * LIST :");
}

#[test]
fn c09_odd_spaces_in_req_do_not_matter() {
    let server = Server::start();
    let mut client = server.connect();
    let line = client.one("CAP REQ : multi-prefix  server-time ");
    let body = line.body();
    assert!(!body.ends_with(' '), "{line:?}");
    assert_eq!(
        body.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(),
        [":roost.local", "CAP", "*", "ACK", ":multi-prefix", "server-time"]
    );
    let listed = offered(&mut client, "CAP LIST");
    assert_eq!(listed.len(), 2, "{listed:?}");
}

#[test]
fn c09_an_empty_req_is_no_nak_and_cap_end_may_have_a_colon() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("CAP REQ :");
    for line in client.sync() {
        assert_eq!(line.params()[1], "ACK", "{line:?}");
    }
    client.send_all(&["NICK alice", "USER a 0 * :a", "CAP :END"]);
    client.welcome("alice");
}

#[test]
fn req_is_all_or_nothing_and_nak_repeats_it() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .one("CAP REQ :multi-prefix no-such-one echo-message")
        .must_fit(":roost.local CAP * NAK :multi-prefix no-such-one echo-message");
    client.one("CAP LIST").must_fit(":roost.local CAP * LIST :");
    client.one("CAP REQ :multi-prefix echo-message").must_fit(":roost.local CAP * ACK :multi-prefix echo-message");
    client.one("CAP REQ :-multi-prefix nope").must_fit(":roost.local CAP * NAK :-multi-prefix nope");
    assert_eq!(offered(&mut client, "CAP LIST").len(), 2);
    client.one("CAP REQ :-multi-prefix").must_fit(":roost.local CAP * ACK :-multi-prefix");
    client.one("CAP LIST").must_fit(":roost.local CAP * LIST :echo-message");
}

#[test]
fn names_of_capabilities_are_case_sensitive() {
    let server = Server::start();
    server.connect().one("CAP REQ :Server-Time").must_fit(":roost.local CAP * NAK :Server-Time");
}

#[test]
fn asking_twice_is_acknowledged_twice() {
    let server = Server::start();
    let mut client = server.connect();
    client.one("CAP REQ :multi-prefix").must_fit(":roost.local CAP * ACK :multi-prefix");
    client.one("CAP REQ :multi-prefix").must_fit(":roost.local CAP * ACK :multi-prefix");
    client.one("CAP REQ :-echo-message").must_fit(":roost.local CAP * ACK :-echo-message");
}

#[test]
fn cap_notify_cannot_be_turned_off_by_a_302_client() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("CAP LS 302");
    client.one("CAP REQ :cap-notify").must_fit(":roost.local CAP * ACK :cap-notify");
    client.one("CAP REQ :-cap-notify").must_fit(":roost.local CAP * NAK :-cap-notify");
}

#[test]
fn an_unknown_subcommand_is_410() {
    let server = Server::start();
    server.connect().one("CAP FROB").must_fit(":roost.local 410 * FROB :*");
    server.user("alice").one("CAP CLEAR").must_fit(":roost.local 410 alice CLEAR :*");
}

#[test]
fn server_time_begins_with_the_acknowledgement_and_ends_with_its_removal() {
    let server = Server::start();
    let mut alice = server.user("alice");
    assert!(alice.one("VERSION 0x").tags().is_empty());
    alice.request("server-time");
    for line in alice.ask("LUSERS") {
        line.time();
        assert_eq!(line.tags().len(), 1, "{line:?}");
    }
    alice.request("-server-time");
    for line in alice.ask("LUSERS") {
        assert!(line.tags().is_empty(), "{line:?}");
    }
}

#[test]
fn other_settings_are_announced_to_whoever_wants_to_know() {
    let start = "[accounts]\nregistration = true\n[history]\nenabled = true\n";
    let server = Server::with_files(&[("conf/roost.toml", start)], &[]);
    let mut notified = server.user_with("notified", "cap-notify draft/chathistory draft/account-registration");
    let mut modern = server.connect();
    modern.ask("CAP LS 302");
    let mut old = server.user_with("old", "sasl");
    let reload = |text: &str| {
        std::fs::write(server.home().join("conf/roost.toml"), text).unwrap();
        server.signal("HUP");
    };
    reload("[accounts]\nregistration = false\nmechanisms = [\"SCRAM-SHA-256\"]\n[history]\nenabled = false\n");
    let gone = notified.line();
    assert_eq!(gone.params()[..2], ["notified", "DEL"], "{gone:?}");
    let mut names: Vec<&str> = gone.params()[2].split(' ').collect();
    names.sort_unstable();
    let expected = [
        "draft/account-registration",
        "draft/chathistory",
        "draft/event-playback",
        "draft/message-edit",
        "draft/search",
        "soju.im/search",
        "znc.in/playback",
    ];
    assert_eq!(names, expected);
    notified.expect(":roost.local CAP notified NEW :sasl=SCRAM-SHA-256");
    assert_eq!(offered(&mut notified, "CAP LIST").into_keys().collect::<Vec<_>>(), ["cap-notify"]);
    modern.expect(":roost.local CAP * DEL *");
    modern.expect(":roost.local CAP * NEW :sasl=SCRAM-SHA-256");
    assert!(all(&old.sync(), "CAP").is_empty());
    // Without any mechanism there is no sasl.
    reload("[accounts]\nmechanisms = [\"EXTERNAL\"]\n");
    notified.expect(":roost.local CAP notified DEL :sasl draft/sasl-ir draft/account-2fa");
    notified.expect(":roost.local CAP notified NEW *draft/chathistory*");
    // A change of the history changes 005, too.
    all(&notified.ask("CAP REQ sasl"), "CAP")[0].must_fit(":roost.local CAP notified NAK *sasl*");
    reload("[accounts]\nmechanisms = [\"PLAIN\"]\n");
    notified.expect(":roost.local CAP notified NEW :sasl=PLAIN draft/sasl-ir draft/account-2fa=totp,external");
    // Nothing changes, so nothing is said.
    reload("[accounts]\nmechanisms = [\"PLAIN\"]\n[channels]\nper_user = 3\n");
    loop {
        let lines = notified.ask("VERSION");
        assert!(lines.iter().all(|line| line.command() != "CAP"), "{lines:#?}");
        if lines.iter().any(|line| line.params().contains(&"CHANLIMIT=#:3")) {
            break;
        }
    }
    reload("[accounts]\nmechanisms = [\"PLAIN\", \"SCRAM-SHA-256\"]\n");
    notified.expect(":roost.local CAP notified NEW :sasl=PLAIN,SCRAM-SHA-256");
}
