//! Accounts: REGISTER, NickServ, SASL PLAIN, and what a registered nick is worth.

use crate::client::{all, chunks, commands, find, plain, texts};
use crate::server::Server;

#[test]
fn register_makes_an_account_and_logs_in() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "account-notify");
    let lines = alice.ask("REGISTER * * sesame");
    find(&lines, "REGISTER").must_fit(":roost.local REGISTER SUCCESS alice :*");
    find(&lines, "900").must_fit(":roost.local 900 alice alice!*@* alice :*");
    find(&alice.ask("WHOIS alice"), "330").must_fit(":roost.local 330 alice alice alice :*");
    alice.one("REGISTER * * again").must_fit(":roost.local FAIL REGISTER ALREADY_AUTHENTICATED * :*");
}

#[test]
fn register_fails_in_the_words_of_its_specification() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut bob = server.user("bob");
    bob.one("REGISTER alice * sesame").must_fit(":roost.local FAIL REGISTER * alice :*");
    bob.one("REGISTER bob").must_fit(":roost.local 461 bob REGISTER :*");
    let line = bob.one("REGISTER * * :");
    assert!(line.fits(":roost.local FAIL REGISTER *_PASSWORD bob :*") || line.command() == "461", "{line:?}");
}

#[test]
fn an_account_may_have_another_name_than_the_nick() {
    let server = Server::start();
    let mut bob = server.user("bob");
    let offered = bob.ask("CAP LS 302");
    assert!(offered.iter().any(|line| line.fits("*draft/account-registration=*custom-account-name*")), "{offered:?}");
    let lines = bob.ask("REGISTER other * sesame");
    find(&lines, "REGISTER").must_fit(":roost.local REGISTER SUCCESS other :*");
    find(&lines, "900").must_fit(":roost.local 900 bob bob!*@* other :*");
}

#[test]
fn register_works_before_the_connection_is_registered() {
    let server = Server::start();
    let mut client = server.connect();
    let offered = client.ask("CAP LS 302");
    let value = "draft/account-registration=before-connect,";
    assert!(offered.iter().any(|line| line.raw.contains(value)), "{offered:?}");
    client.one("REGISTER * * sesame").must_fit(":roost.local FAIL REGISTER NEED_NICK *");
    client.send_all(&["NICK alice", "USER a 0 * :a"]);
    client.silent();
    let lines = client.ask("REGISTER * * sesame");
    find(&lines, "REGISTER").must_fit(":roost.local REGISTER SUCCESS alice :*");
    find(&lines, "900");
    client.send("CAP END");
    client.welcome("alice");
    find(&client.ask("WHOIS alice"), "330");
}

#[test]
fn registration_can_be_turned_off() {
    let server = Server::with(&[("ROOST__ACCOUNTS__REGISTRATION", "false")]);
    let mut alice = server.user("alice");
    alice.one("REGISTER * * sesame").must_fit(":roost.local FAIL REGISTER * *");
    let lines = alice.ask("PRIVMSG NickServ :REGISTER sesame");
    assert!(all(&lines, "900").is_empty(), "{lines:#?}");
}

#[test]
fn nickserv_registers_and_identifies() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let lines = alice.ask("PRIVMSG NickServ :REGISTER sesame");
    find(&lines, "900");
    assert!(!texts(&lines).is_empty());
    assert!(
        lines.iter().filter(|line| line.command() == "NOTICE").all(|line| line.fits(":NickServ!*@* NOTICE alice :*")),
        "{lines:#?}"
    );
    alice.send("QUIT");
    alice.closed();

    let mut guest = server.user("guest");
    let lines = guest.ask("PRIVMSG NickServ :IDENTIFY alice wrong");
    assert!(all(&lines, "900").is_empty(), "{lines:#?}");
    assert!(!texts(&lines).is_empty());
    let lines = guest.ask("NS IDENTIFY alice sesame");
    find(&lines, "900").must_fit(":roost.local 900 guest guest!*@* alice :*");
    find(&guest.ask("WHOIS guest"), "330").must_fit(":roost.local 330 guest guest alice :*");
    guest.one("NICK alice").must_fit(":guest!* NICK alice");
    // The form with one parameter takes the nick for the account.
    let mut bob = server.user("bob");
    bob.ask("NICKSERV REGISTER open");
    bob.send("QUIT");
    bob.closed();
}

#[test]
fn nickserv_explains_itself() {
    let server = Server::start();
    let mut alice = server.user("alice");
    assert!(!texts(&alice.ask("PRIVMSG NickServ :HELP")).is_empty());
    assert!(!texts(&alice.ask("PRIVMSG nickserv :nonsense")).is_empty());
    let mut bob = server.connect();
    bob.send_all(&["NICK NickServ", "USER b 0 * :b"]);
    let line = bob.line();
    assert!(matches!(line.command(), "432" | "433" | "FAIL"), "{line:?}");
}

#[test]
fn sasl_plain_logs_in_before_001() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    alice.request("sasl");
    alice.send_all(&["NICK alice", "USER a 0 * :a"]);
    alice.send("AUTHENTICATE PLAIN");
    assert_eq!(alice.line().raw, "AUTHENTICATE +");
    alice.send(&format!("AUTHENTICATE {}", plain("alice", "sesame")));
    alice.expect(":roost.local 900 alice alice!*@* alice :*");
    alice.expect(":roost.local 903 alice :*");
    alice.send("CAP END");
    alice.welcome("alice");
}

#[test]
fn sasl_works_before_nick() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    alice.request("sasl");
    alice.authenticate("alice", "sesame");
    let lines = alice.until("903");
    find(&lines, "900").must_fit(":roost.local 900 * * alice :*");
    alice.send_all(&["NICK alice", "USER a 0 * :a", "CAP END"]);
    alice.welcome("alice");
}

#[test]
fn sasl_works_after_registration() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    guest.authenticate("ALICE", "sesame");
    let lines = guest.sync();
    assert_eq!(commands(&lines), ["AUTHENTICATE", "900", "903"], "{lines:#?}");
    lines[1].must_fit(":roost.local 900 guest guest!*@* alice :*");
}

#[test]
fn c13_payloads_of_396_400_404_and_800_characters() {
    let server = Server::start();
    // Base64 has 4n characters for 3n bytes, which are NUL, account, NUL, password. What does not fit
    // into a line of REGISTER is made up by the name of a device.
    for (account, base64_length) in [("aa", 396), ("bb", 400), ("cc", 404), ("dd", 800)] {
        let bytes = base64_length / 4 * 3 - 2;
        let password = "p".repeat((bytes - account.len()).min(450));
        let device = bytes - account.len() - password.len();
        let name = if device == 0 { account.to_owned() } else { format!("{account}@{}", "d".repeat(device - 1)) };
        let payload = plain(&name, &password);
        assert_eq!(payload.len(), base64_length);
        server.account(account, &password);
        let mut client = server.user_with(&format!("guest-{account}"), "sasl");
        client.send("AUTHENTICATE PLAIN");
        client.expect("AUTHENTICATE +");
        let chunks = chunks(&payload);
        for chunk in &chunks[..chunks.len() - 1] {
            // A full chunk is not acted on before the next line.
            client.send(&format!("AUTHENTICATE {chunk}"));
            client.silent();
        }
        let lines = client.ask(&format!("AUTHENTICATE {}", chunks.last().unwrap()));
        assert_eq!(commands(&lines), ["900", "903"], "{base64_length}: {lines:#?}");
    }
}

#[test]
fn c13_a_chunk_of_401_characters_is_905_and_a_retry_works() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    guest.one(&format!("AUTHENTICATE {}", "A".repeat(401))).must_fit(":roost.local 905 guest :*");
    guest.authenticate("alice", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn c14_abort_is_one_906_and_no_904() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    guest.one("AUTHENTICATE *").must_fit(":roost.local 906 guest :*");
    // Without an exchange: one 906, or silence.
    let lines = guest.ask("AUTHENTICATE *");
    assert!(lines.is_empty() || commands(&lines) == ["906"], "{lines:#?}");
    guest.authenticate("alice", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn c15_malformed_payloads_are_904_and_the_first_retry_succeeds() {
    let server = Server::start();
    server.account("alice", "sesame");
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let mut guest = server.user_with("guest", "sasl");
    for payload in [
        encode(b"\0alice\0wrong"),
        "!!!".to_owned(),
        encode(b"\0alice\0"),
        encode(b"\0\0sesame"),
        encode(b"bob\0alice\0sesame"),
        encode(b"\0alice\0ses\0ame"),
        encode(b"alice"),
        encode(b"\0alice\0ses\xffame"),
        "+".to_owned(),
    ] {
        guest.send("AUTHENTICATE PLAIN");
        guest.expect("AUTHENTICATE +");
        let line = guest.one(&format!("AUTHENTICATE {payload}"));
        line.must_fit(":roost.local 904 guest :*");
    }
    guest.authenticate("alice", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn an_authorization_identity_of_oneself_is_accepted() {
    let server = Server::start();
    server.account("alice", "sesame");
    let payload = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, b"alice\0alice\0sesame");
    let mut guest = server.user_with("guest", "sasl");
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    assert_eq!(commands(&guest.ask(&format!("AUTHENTICATE {payload}"))), ["900", "903"]);
}

#[test]
fn c17_authenticate_without_the_capability_and_endless_chunks() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("CAP LS 302");
    client.ask("AUTHENTICATE PLAIN");
    client.send_all(&["NICK alice", "USER a 0 * :a", "CAP END"]);
    client.welcome("alice");

    let mut guest = server.user_with("guest", "sasl");
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    let chunk = format!("AUTHENTICATE {}\r\n", "A".repeat(400));
    guest.send_bytes(chunk.repeat(1_000).as_bytes());
    let lines = guest.sync();
    let first = lines.first().unwrap_or_else(|| panic!("400,000 characters of SASL were swallowed"));
    assert_eq!(first.command(), "904", "{lines:#?}");
    // What follows begins no exchange that has an end, and does no harm.
    server.account("bob", "sesame");
    guest.authenticate("bob", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn an_unknown_mechanism_is_908_and_904() {
    let server = Server::start();
    let mut guest = server.user_with("guest", "sasl");
    let lines = guest.ask("AUTHENTICATE FANCY-MECHANISM");
    assert_eq!(commands(&lines), ["908", "904"], "{lines:#?}");
    lines[0].must_fit(":roost.local 908 guest PLAIN,* :*");
    server.account("alice", "sesame");
    guest.send("AUTHENTICATE plain");
    guest.expect("AUTHENTICATE +");
}

#[test]
fn every_byte_of_a_long_password_counts() {
    let server = Server::start();
    let password = "x".repeat(300);
    server.account("alice", &password);
    let mut guest = server.user_with("guest", "sasl");
    let almost = format!("{}y", &password[1..]);
    guest.authenticate("alice", &almost);
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    guest.authenticate("alice", &password[..299]);
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    guest.authenticate("alice", &password);
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn accounts_survive_a_restart_and_a_crash() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    server.restart();
    server.logged_in("alice", "alice", "sesame", "");
    server.account("bob", "open");
    server.crash_and_restart();
    server.logged_in("alice", "alice", "sesame", "");
    server.logged_in("bob", "bob", "open", "");
}

#[test]
fn c23_a_registered_nick_is_protected() {
    let server = Server::start();
    server.account("alice", "sesame");
    // A registered connection keeps its nick, and is told why in words: 433 would send some clients
    // looking for another one by themselves.
    let mut mallory = server.user_with("mallory", "standard-replies");
    mallory.one("NICK Alice").must_fit(":roost.local FAIL NICK NICKNAME_RESERVED Alice :*");
    mallory.request("-standard-replies");
    mallory.one("NICK Alice").must_fit(":roost.local NOTICE mallory :*");
    // One that is registering has to find another.
    let mut eve = server.connect();
    eve.send_all(&["NICK alice", "USER e 0 * :e"]);
    let lines = eve.sync();
    assert_eq!(commands(&lines), ["433"], "{lines:#?}");
    eve.send("NICK eve");
    eve.welcome("eve");
    // Whoever logs in may have it.
    let mut alice = server.logged_in("alice2", "alice", "sesame", "");
    alice.one("NICK alice").must_fit(":alice2!* NICK alice");
}

#[test]
fn c23_the_nick_of_an_account_that_is_here_is_refused_in_words_and_not_by_433() {
    let server = Server::start();
    server.account("alice", "sesame");
    let _alice = server.logged_in("alice", "alice", "sesame", "");
    let mut mallory = server.user_with("mallory", "standard-replies");
    mallory.one("NICK Alice").must_fit(":roost.local FAIL NICK NICKNAME_RESERVED Alice :*");
    mallory.request("-standard-replies");
    mallory.one("NICK Alice").must_fit(":roost.local NOTICE mallory :*");
    assert!(mallory.mask().starts_with("mallory!"));
    // A guest's is in use, as ever.
    let _bob = server.user("bob");
    mallory.one("NICK bob").must_fit(":roost.local 433 mallory bob :*");
    // One that registers without SASL is told how to have it.
    server.connect().one("NICK alice").must_fit(":roost.local 433 * alice :*SASL*");
}

#[test]
fn c23_a_second_device_that_may_not_share_the_nick_is_told_why_and_closed() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut first = server.logged_in("alice", "alice", "sesame", "");
    first.told("NS SET MULTICLIENT OFF");
    let mut second = server.connect();
    second.request("sasl");
    second.send_all(&["NICK alice", "USER a 0 * :a"]);
    second.authenticate("alice", "sesame");
    second.send("CAP END");
    let lines = second.closed();
    // One 433 as ever, and no second: what names the next nick by itself does not get round to it.
    assert_eq!(commands(&lines)[2..], ["903", "433", "ERROR"], "{lines:#?}");
    lines.last().unwrap().must_fit("ERROR :*alice*MULTICLIENT*GHOST alice*");
    // So is one that logs in by PASS.
    let mut third = server.connect();
    third.send_all(&["PASS alice:sesame", "NICK alice", "USER a 0 * :a"]);
    third.closed().last().unwrap().must_fit("ERROR :*MULTICLIENT*");
    first.silent();
    // Whoever can RECOVER it does so.
    let mut phone = server.connect();
    phone.request("sasl draft/nick-recovery");
    phone.send_all(&["NICK alice", "USER a 0 * :a"]);
    phone.authenticate("alice", "sesame");
    phone.send("CAP END");
    phone.until("433");
    phone.send("RECOVER alice");
    phone.welcome("alice");
    first.closed();
    // And another nick is free to have.
    server.logged_in("alice_", "alice", "sesame", "").told("NS GHOST alice");
    phone.closed();
    server.logged_in("alice", "alice", "sesame", "");
}

#[test]
fn c23_nick_before_authenticate_gets_the_registered_nick() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    alice.send("CAP REQ :sasl");
    alice.send_all(&["NICK alice", "USER a 0 * :a"]);
    alice.authenticate("alice", "sesame");
    alice.send("CAP END");
    let lines = alice.welcome("alice");
    assert!(all(&lines, "433").is_empty(), "{lines:#?}");
}

#[test]
fn c23_nick_before_authenticate_joins_the_session_of_one_who_is_always_on() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.ask("NS SET ALWAYS-ON ON");
    alice.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    alice.sync();
    for has_another in [true, false] {
        if !has_another {
            alice.send("QUIT");
            alice.closed();
        }
        let mut second = server.connect();
        second.send("CAP REQ :sasl");
        second.send_all(&["NICK alice", "USER a 0 * :a"]);
        second.authenticate("alice", "sesame");
        second.send("CAP END");
        let lines = second.welcome("alice");
        assert!(all(&lines, "433").is_empty(), "{lines:#?}");
        find(&lines, "JOIN").must_fit(":alice!* JOIN #room");
        second.send("QUIT");
        second.closed();
        bob.silent();
    }
}

#[test]
fn guesses_are_throttled_by_address_and_account() {
    let server = Server::with(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
        ("ROOST__THROTTLE__LOGIN_FAILURES_PER_MINUTE", "3"),
    ]);
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    for _ in 0..3 {
        guest.authenticate("alice", "wrong");
        assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    }
    // Now even the right password does not help, and that without any hashing.
    guest.send("AUTHENTICATE PLAIN");
    guest.send(&format!("AUTHENTICATE {}", plain("alice", "sesame")));
    let lines = guest.sync();
    assert!(all(&lines, "900").is_empty() && !all(&lines, "904").is_empty(), "{lines:#?}");
    let lines = guest.ask("PRIVMSG NickServ :IDENTIFY alice sesame");
    assert!(all(&lines, "900").is_empty(), "{lines:#?}");
}

#[test]
fn registrations_are_throttled_by_address() {
    let server = Server::with(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
        ("ROOST__THROTTLE__REGISTRATIONS_PER_HOUR", "2"),
    ]);
    server.account("one", "sesame");
    server.account("two", "sesame");
    let line = server.user("three").one("REGISTER * * sesame");
    line.must_fit(":roost.local FAIL REGISTER * *");
}

#[test]
fn connections_are_limited_by_address() {
    let server = Server::with(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
        ("ROOST__THROTTLE__CONNECTIONS", "3"),
        ("ROOST__THROTTLE__CONNECTIONS_PER_MINUTE", "1000"),
    ]);
    let mut clients: Vec<_> = ["a", "b", "c"].iter().map(|nick| server.user(nick)).collect();
    let lines = server.connect().closed();
    assert_eq!(commands(&lines), ["ERROR"], "{lines:#?}");
    // Once someone has left there is room again.
    let mut last = clients.pop().unwrap();
    last.send("QUIT");
    last.closed();
    clients[0].sync();
    server.user("d");
}

#[test]
fn c23_a_second_device_joins_the_session_that_is_there_and_nobody_else_notices() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut first = server.logged_in("alice", "alice", "sesame", "echo-message");
    first.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    first.sync();
    let mut second = server.connect();
    let lines = second.log_in("alice", "alice", "sesame", "echo-message");
    assert!(all(&lines, "433").is_empty(), "{lines:#?}");
    find(&lines, "JOIN").must_fit(":alice!* JOIN #room");
    find(&lines, "366");
    bob.silent();
    // Both hear the others, and each sees what the other one says.
    bob.ask("PRIVMSG #room :to both");
    assert_eq!(texts(&first.sync()), ["to both"]);
    assert_eq!(texts(&second.sync()), ["to both"]);
    assert_eq!(texts(&first.ask("PRIVMSG #room :from the first")), ["from the first"]);
    assert_eq!(texts(&second.sync()), ["from the first"]);
    assert_eq!(texts(&bob.sync()), ["from the first"]);
    second.send("QUIT :one of two");
    second.closed();
    bob.silent();
    first.send("QUIT :the last");
    first.closed();
    bob.only().must_fit(":alice!* QUIT :*");
}
