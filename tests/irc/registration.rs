//! From the first byte to 001, and what may go wrong on the way.

use std::time::{Duration, Instant};

use crate::client::{all, chunks, commands, find, plain};
use crate::server::Server;

#[test]
fn nick_and_user_give_001_to_005_and_the_rest_of_the_welcome() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
    let lines = alice.welcome("alice");
    let numerics = commands(&lines);
    assert_eq!(numerics[..4], ["001", "002", "003", "004"], "{lines:#?}");
    assert_eq!(numerics[4], "005");
    for numeric in ["251", "255", "265", "266"] {
        find(&lines, numeric);
    }
    assert!(numerics.contains(&"422") || numerics.contains(&"376"), "no end of MOTD: {lines:#?}");
    lines[0].must_fit(":roost.local 001 alice :Welcome to the Roost Network, alice*");
    for line in all(&lines, "005") {
        assert!(line.params().len() <= 15, "more than 13 tokens: {line:?}");
        line.must_fit(":roost.local 005 alice * :are supported by this server");
    }
    let tokens: Vec<&str> = all(&lines, "005")
        .iter()
        .flat_map(|line| {
            let params = line.params();
            params[1..params.len() - 1].to_vec()
        })
        .collect();
    for token in [
        "CASEMAPPING=ascii",
        "UTF8ONLY",
        "NETWORK=Roost",
        "NICKLEN=32",
        "CHANNELLEN=64",
        "TOPICLEN=300",
        "KICKLEN=255",
        "AWAYLEN=200",
        "NAMELEN=150",
        "USERLEN=10",
        "MODES=12",
        "CHATHISTORY=1000",
        "MSGREFTYPES=msgid,timestamp",
    ] {
        assert!(tokens.contains(&token), "{token} is not in {tokens:?}");
    }
}

#[test]
fn user_before_nick_works_as_well() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send_all(&["USER alice 0 * :Alice", "NICK alice"]);
    alice.welcome("alice");
}

#[test]
fn one_byte_at_a_time_is_the_same_as_all_at_once() {
    let server = Server::start();
    let mut alice = server.connect();
    for byte in b"NICK alice\r\nUSER alice 0 * :Alice\r\n" {
        alice.send_bytes(&[*byte]);
    }
    alice.welcome("alice");
}

#[test]
fn bare_newlines_and_empty_lines_are_accepted() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send_bytes(b"\n\r\nNICK alice\n\r\n\r\nUSER alice 0 * :Alice\n");
    alice.welcome("alice");
}

#[test]
fn ping_is_answered_before_registration() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PING :hello there");
    client.expect(":roost.local PONG roost.local :hello there");
}

#[test]
fn c59_a_bad_ping_is_409_or_461_and_a_good_token_comes_back_exactly() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let line = alice.one("PING");
    assert!(matches!(line.command(), "409" | "461"), "{line:?}");
    let line = alice.one("PING :");
    assert!(matches!(line.command(), "409" | "461"), "{line:?}");
    assert_eq!(alice.one("PING :a b  c:").params().last(), Some(&"a b  c:"));
    alice.send("PONG nobody-asked");
    alice.silent();
}

#[test]
fn quit_before_registration_is_answered_with_error_and_the_end() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("QUIT :never mind");
    let lines = client.closed();
    assert_eq!(commands(&lines), ["ERROR"]);
}

#[test]
fn quit_after_registration_is_answered_with_quit_error_and_the_end() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.send("QUIT :bye");
    let lines = alice.closed();
    assert_eq!(commands(&lines), ["QUIT", "ERROR"]);
    server.user("alice");
}

#[test]
fn commands_before_registration_are_451() {
    let server = Server::start();
    let mut client = server.connect();
    for line in ["JOIN #room", "PRIVMSG alice :hi", "WHOIS alice", "MODE #room", "LIST", "TOPIC #room"] {
        client.one(line).must_fit(":roost.local 451 * *");
    }
}

#[test]
fn an_unknown_command_is_421_after_registration() {
    let server = Server::start();
    server.user("alice").one("FROBNICATE now").must_fit(":roost.local 421 alice FROBNICATE :*");
}

#[test]
fn too_few_parameters_are_461() {
    let server = Server::start();
    let mut client = server.connect();
    client.one("USER alice").must_fit(":roost.local 461 * USER :*");
    let mut alice = server.user("alice");
    for command in ["JOIN", "PART", "KICK #room", "INVITE bob", "MODE", "TOPIC"] {
        let word = command.split(' ').next().unwrap();
        alice.one(command).must_fit(&format!(":roost.local 461 alice {word} :*"));
    }
}

#[test]
fn registering_again_is_462() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.one("USER alice 0 * :again").must_fit(":roost.local 462 alice :*");
    alice.one("PASS again").must_fit(":roost.local 462 alice :*");
}

#[test]
fn c12_cap_ls_and_cap_req_hold_registration_until_cap_end() {
    let server = Server::start();
    for first in ["CAP LS 302", "CAP LS", "CAP REQ :server-time"] {
        let mut client = server.connect();
        client.send_all(&[first, "NICK alice", "USER alice 0 * :Alice"]);
        let lines = client.sync();
        assert!(lines.iter().all(|line| line.command() == "CAP"), "{first}: {lines:#?}");
        client.send("CAP END");
        client.welcome("alice");
        client.send("QUIT");
        client.closed();
    }
}

#[test]
fn c12_cap_list_does_not_hold_registration_and_a_stray_end_is_ignored() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send_all(&["CAP END", "CAP LIST", "NICK alice", "USER alice 0 * :Alice"]);
    alice.welcome("alice");
    alice.send("CAP END");
    alice.silent();
}

#[test]
fn c12_nick_alone_never_completes_and_the_deadline_closes_in_words() {
    let server = Server::with(&[("ROOST__CONNECTION__REGISTRATION_TIMEOUT", "1")]);
    let begin = Instant::now();
    let mut client = server.connect();
    client.send("NICK alice");
    // A PING does not buy more time.
    client.send("PING :still here");
    client.expect(":roost.local PONG roost.local *");
    let lines = client.closed();
    assert_eq!(commands(&lines), ["ERROR"], "{lines:#?}");
    assert!(begin.elapsed() >= Duration::from_millis(900), "closed too early: {:?}", begin.elapsed());
    // The nick is free again.
    server.user("alice").silent();
}

#[test]
fn c12_a_connection_that_says_nothing_meets_the_deadline_as_well() {
    let server = Server::with(&[("ROOST__CONNECTION__REGISTRATION_TIMEOUT", "1")]);
    let lines = server.connect().closed();
    assert_eq!(commands(&lines), ["ERROR"], "{lines:#?}");
}

#[test]
fn clients_1c_1_blind_pipelining_in_one_write_logs_in_before_001() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    let payload = format!("AUTHENTICATE {}", plain("alice", "sesame"));
    alice.send_all(&[
        "CAP LS 302",
        "NICK alice",
        "USER alice 0 * :Alice",
        "CAP REQ :server-time",
        "CAP REQ :no-such-capability",
        "CAP REQ :message-tags",
        "CAP REQ :batch",
        "CAP REQ :another/unknown-one",
        "CAP REQ :sasl",
        "AUTHENTICATE PLAIN",
        &payload,
        "CAP END",
        "JOIN #room",
        "PING :after",
    ]);
    let lines = alice.until("PONG");
    let caps: Vec<(String, String)> = all(&lines, "CAP")
        .iter()
        .filter(|line| line.params()[1] != "LS")
        .map(|line| (line.params()[1].to_owned(), line.params()[2].to_owned()))
        .collect();
    let expected = [
        ("ACK", "server-time"),
        ("NAK", "no-such-capability"),
        ("ACK", "message-tags"),
        ("ACK", "batch"),
        ("NAK", "another/unknown-one"),
        ("ACK", "sasl"),
    ]
    .map(|(verb, cap)| (verb.to_owned(), cap.to_owned()));
    assert_eq!(caps, expected, "{lines:#?}");
    let order: Vec<&str> = commands(&lines)
        .into_iter()
        .filter(|c| ["AUTHENTICATE", "900", "903", "001", "JOIN", "366", "PONG"].contains(c))
        .collect();
    assert_eq!(order, ["AUTHENTICATE", "900", "903", "001", "JOIN", "366", "PONG"], "{lines:#?}");
}

#[test]
fn clients_1c_1_a_wrong_password_in_the_pipeline_is_904_and_then_001() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    let payload = format!("AUTHENTICATE {}", plain("alice", "wrong"));
    alice.send_all(&["CAP REQ :sasl", "NICK guest", "USER g 0 * :g", "AUTHENTICATE PLAIN", &payload, "CAP END"]);
    let lines = alice.until("001");
    let order: Vec<&str> =
        commands(&lines).into_iter().filter(|c| ["900", "903", "904", "906", "001"].contains(c)).collect();
    assert_eq!(order, ["904", "001"], "{lines:#?}");
}

#[test]
fn clients_1c_1_chunked_sasl_in_the_pipeline_waits_for_its_last_chunk() {
    let server = Server::start();
    let password = "p".repeat(400);
    server.account("alice", &password);
    let mut alice = server.connect();
    let chunks: Vec<String> =
        chunks(&plain("alice", &password)).into_iter().map(|chunk| format!("AUTHENTICATE {chunk}")).collect();
    assert!(chunks.len() > 1);
    let mut lines = vec!["CAP REQ :sasl", "NICK alice", "USER a 0 * :a", "AUTHENTICATE PLAIN"];
    lines.extend(chunks.iter().map(String::as_str));
    lines.push("CAP END");
    alice.send_all(&lines);
    let lines = alice.until("001");
    find(&lines, "903");
}

#[test]
fn a_password_is_needed_where_one_is_set() {
    let server = Server::with(&[("ROOST__CONNECTION__PASSWORD", "open sesame")]);
    let mut client = server.connect();
    client.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
    let lines = client.closed();
    find(&lines, "464");
    assert_eq!(lines.last().unwrap().command(), "ERROR", "{lines:#?}");

    let mut client = server.connect();
    client.send_all(&["PASS wrong", "NICK alice", "USER alice 0 * :Alice"]);
    let lines = client.closed();
    find(&lines, "464");

    let mut client = server.connect();
    client.send_all(&["PASS :open sesame", "NICK alice", "USER alice 0 * :Alice"]);
    client.welcome("alice");
}

#[test]
fn a_nick_in_use_is_433_and_another_one_goes_on() {
    let server = Server::start();
    let _alice = server.user("alice");
    let mut client = server.connect();
    client.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
    client.expect(":roost.local 433 * alice :*");
    client.send("NICK alice_");
    client.welcome("alice_");
    client.one("NICK ALICE").must_fit(":roost.local 433 alice_ ALICE :*");
}

#[test]
fn c20_odd_nicks() {
    let server = Server::start();
    let mut bob = server.user("bob");
    bob.one("NICK").must_fit(":roost.local 431 bob :*");
    bob.one("NICK :").must_fit(":roost.local 431 bob :*");
    for nick in ["*", "0", "#room", "a!b", "a@b", "1two", "a,b", ":x", "$x", "a*b", "a?b", "a.b"] {
        let line = bob.one(&format!("NICK :{nick}"));
        assert_eq!(line.command(), "432", "NICK {nick}: {line:?}");
    }
    let line = bob.one(&format!("NICK {}", "n".repeat(33)));
    assert_eq!(line.command(), "432");
    bob.send("NICK bob");
    bob.silent();
    let mask = bob.mask();
    assert_eq!(bob.one("NICK :Bob").body(), format!(":{mask} NICK Bob"));
}

#[test]
fn c20_a_failed_nick_change_keeps_the_old_nick_and_a_left_one_is_free_at_once() {
    let server = Server::start();
    let _alice = server.user("alice");
    let mut bob = server.user("bob");
    bob.one("NICK alice").must_fit(":roost.local 433 bob alice :*");
    bob.one("NICK robert").must_fit(":bob!* NICK robert");
    let mut other = server.user("bob");
    other.send("QUIT");
    other.closed();
    server.user("bob").silent();
}

#[test]
fn c21_brackets_and_braces_are_different_people_under_ascii() {
    let server = Server::start();
    let mut one = server.user("a[1]");
    let mut two = server.user("a{1}");
    one.ask("PRIVMSG A{1} :for two");
    two.only().must_fit(":a[1]!* PRIVMSG * :for two");
    one.silent();
}

#[test]
fn c17_a_flood_before_registration_ends_in_error() {
    let server = Server::start();
    let mut client = server.connect();
    let lines = "CAP LS 302\r\n".repeat(10_000);
    // The server may close while this is still being written; it reads away what it is sent then, so that its last line
    // is not lost.
    let _ = client.try_send_bytes(lines.as_bytes());
    let lines = client.closed();
    assert_eq!(lines.iter().position(|line| line.command() == "ERROR"), Some(lines.len() - 1));
    // So it is with the chunks of a login.
    let mut client = server.connect();
    client.request("sasl");
    client.send("AUTHENTICATE PLAIN");
    client.expect("AUTHENTICATE +");
    let chunks = format!("AUTHENTICATE {}\r\n", "A".repeat(400)).repeat(1_000);
    let _ = client.try_send_bytes(chunks.as_bytes());
    let lines = client.closed();
    assert_eq!(lines[0].command(), "904", "{lines:#?}");
    assert_eq!(lines.last().unwrap().command(), "ERROR", "{lines:#?}");
    server.user("alice").silent();
}
