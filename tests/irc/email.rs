//! Accounts that are verified by e-mail: REGISTER, VERIFY, and what becomes of the letters.

use crate::client::{Client, all, commands, find, plain, texts};
use crate::server::Server;
use crate::smtp::{Manner, Smtp};

fn with(smtp: &Smtp, more: &[(&str, &str)]) -> Server {
    let own = smtp.settings("none");
    let mut settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    settings.extend(more);
    Server::with(&settings)
}

fn register(client: &mut Client, account: &str) {
    let line = client.one(&format!("REGISTER {account} {account}@example.org sesame"));
    line.must_fit(&format!(":roost.local REGISTER VERIFICATION_REQUIRED {account} :*{account}@example.org*"));
}

#[test]
fn an_account_is_used_once_its_code_has_come_back() {
    let smtp = Smtp::start(Manner::Plain);
    let server = with(&smtp, &[]);
    let mut alice = server.user("alice");
    let offered = alice.ask("CAP LS 302");
    assert!(offered.iter().any(|line| line.fits("*draft/account-registration=*email-required*")), "{offered:?}");
    register(&mut alice, "alice");
    let letter = smtp.letter();
    assert_eq!((&*letter.from, &*letter.to, letter.tls), ("noreply@example.org", "alice@example.org", false));
    assert!(letter.content.contains("Subject: Your code for alice on Roost\r\n"), "{letter:?}");
    let code = letter.code();
    assert!(letter.content.contains(&format!("/msg NickServ VERIFY alice {code}")), "{letter:?}");

    alice.one("VERIFY alice nonsense").must_fit(":roost.local FAIL VERIFY INVALID_CODE alice :*");
    alice.one(&format!("VERIFY bob {code}")).must_fit(":roost.local FAIL VERIFY INVALID_CODE bob :*");
    alice.one("REGISTER alice other@example.org again").must_fit(":roost.local FAIL REGISTER ACCOUNT_EXISTS alice :*");
    let lines = alice.ask(&format!("VERIFY alice {}", code.to_uppercase()));
    assert_eq!(commands(&lines), ["900", "VERIFY"], "{lines:#?}");
    lines[1].must_fit(":roost.local VERIFY SUCCESS alice :*");
    alice.one(&format!("VERIFY alice {code}")).must_fit(":roost.local FAIL VERIFY ALREADY_AUTHENTICATED alice :*");
    let mut bob = server.user("bob");
    bob.one(&format!("VERIFY alice {code}")).must_fit(":roost.local FAIL VERIFY INVALID_CODE alice :*");
    server.logged_in("alice2", "alice", "sesame", "");
    assert!(smtp.has_none());
}

#[test]
fn who_verifies_an_account_that_is_suspended_meanwhile_is_told_so_and_not_let_in() {
    let smtp = Smtp::start(Manner::Plain);
    let own = smtp.settings("none");
    let settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    let server = Server::with_files(&[("conf/roost.toml", crate::opers::CONFIG)], &settings);
    for (nick, by_nickserv) in [("alice", false), ("bob", true)] {
        let mut client = server.user(nick);
        register(&mut client, nick);
        let code = smtp.letter().code();
        let told = texts(&crate::opers::root(&server, "boss").ask(&format!("NS SUSPEND ADD {nick} spam"))).concat();
        assert!(told.contains("suspended"), "{told}");
        let verify = if by_nickserv { format!("NS VERIFY {nick} {code}") } else { format!("VERIFY {nick} {code}") };
        let lines = client.ask(&verify);
        assert!(lines.iter().any(|line| line.fits("*is verified*not logged in*spam*")), "{lines:#?}");
        assert!(all(&lines, "900").is_empty() && all(&client.ask(&format!("WHOIS {nick}")), "330").is_empty());
    }
}

#[test]
fn c19_no_door_opens_before_the_code_has_come_back() {
    let smtp = Smtp::start(Manner::Plain);
    let server = with(&smtp, &[]);
    let mut alice = server.user("alice");
    register(&mut alice, "alice");
    let code = smtp.letter().code();
    alice.send("QUIT");
    alice.closed();

    let mut guest = server.user_with("guest", "sasl");
    guest.authenticate("alice", "sesame");
    find(&guest.sync(), "904").must_fit(":roost.local 904 guest :*VERIFY alice <code>");
    // Only who knows the password is told that.
    guest.authenticate("alice", "wrong");
    find(&guest.sync(), "904").must_fit(":roost.local 904 guest :*password is wrong");
    let lines = guest.ask("NS IDENTIFY alice sesame");
    assert!(texts(&lines)[0].contains("VERIFY alice <code>") && all(&lines, "900").is_empty(), "{lines:#?}");
    let mut by_pass = server.connect();
    by_pass.send_all(&["PASS alice:sesame", "NICK other", "USER a 0 * :a"]);
    let lines = by_pass.until("001");
    assert!(lines[0].fits(":roost.local NOTICE other :*VERIFY alice <code>"), "{lines:#?}");
    // Its nick is kept for it.
    guest.one("NICK alice").must_fit(":roost.local NOTICE guest :alice: Nickname is reserved*");

    let lines = guest.ask(&format!("PRIVMSG NickServ :VERIFY alice {code}"));
    assert!(!all(&lines, "900").is_empty(), "{lines:#?}");
    guest.one("NICK alice").must_fit(":guest!* NICK alice");
}

#[test]
fn it_works_before_the_connection_is_registered_and_over_a_crash() {
    let smtp = Smtp::start(Manner::Plain);
    let mut server = with(&smtp, &[]);
    let mut alice = server.connect();
    alice.send_all(&["CAP LS 302", "NICK alice", "USER a 0 * :a"]);
    alice.sync();
    register(&mut alice, "alice");
    let code = smtp.letter().code();
    server.crash_and_restart();
    let mut alice = server.connect();
    alice.send_all(&["CAP LS 302", "NICK alice", "USER a 0 * :a"]);
    alice.sync();
    let lines = alice.ask(&format!("VERIFY alice {code}"));
    assert_eq!(commands(&lines), ["900", "VERIFY"], "{lines:#?}");
    server.crash_and_restart();
    server.logged_in("alice", "alice", "sesame", "");
    assert!(smtp.has_none(), "a letter was sent twice");
}

#[test]
fn addresses_that_will_not_do_are_refused_by_their_codes() {
    let smtp = Smtp::start(Manner::Plain);
    let server =
        with(&smtp, &[("ROOST__EMAIL__BLOCKED_DOMAINS", "example.net"), ("ROOST__EMAIL__LETTERS_PER_HOUR", "2")]);
    let mut alice = server.user("alice");
    for (email, code) in [
        ("*", "INVALID_EMAIL"),
        ("alice", "INVALID_EMAIL"),
        ("alice@localhost", "INVALID_EMAIL"),
        ("a@b@example.org", "INVALID_EMAIL"),
        ("a@[127.0.0.1]", "INVALID_EMAIL"),
        ("alice@example.net", "UNACCEPTABLE_EMAIL"),
        ("alice@mail.EXAMPLE.net", "UNACCEPTABLE_EMAIL"),
        ("refused@example.org", "UNACCEPTABLE_EMAIL"),
        ("later@example.org", "TEMPORARILY_UNAVAILABLE"),
    ] {
        let line = alice.one(&format!("REGISTER alice {email} sesame"));
        line.must_fit(&format!(":roost.local FAIL REGISTER {code} alice :*"));
    }
    // Nothing of that has taken the name. Another letter can be had, but not without end.
    register(&mut alice, "alice");
    let first = smtp.letter().code();
    let lines = alice.ask("NS RESEND alice");
    assert!(!texts(&lines)[0].contains("example.org"), "{lines:#?}");
    assert_eq!(smtp.letter().code(), first);
    assert_eq!(texts(&alice.ask("NS RESEND alice")), texts(&lines));
    find(&alice.ask(&format!("VERIFY alice {first}")), "VERIFY").must_fit("* VERIFY SUCCESS alice :*");
    assert!(smtp.has_none());
}

#[test]
fn wrong_codes_count_for_whoever_gives_them_and_the_right_one_goes_on_working() {
    let smtp = Smtp::start(Manner::Plain);
    let mut server = with(
        &smtp,
        &[
            ("ROOST__THROTTLE__ENABLED", "true"),
            ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
            ("ROOST__THROTTLE__LOGIN_FAILURES_PER_MINUTE", "10"),
        ],
    );
    let mut alice = server.user("alice");
    register(&mut alice, "alice");
    let code = smtp.letter().code();
    for _ in 0..10 {
        alice.one("VERIFY alice aaaabbbbccccdddd").must_fit(":roost.local FAIL VERIFY INVALID_CODE alice :*");
    }
    alice.one(&format!("VERIFY alice {code}")).must_fit(":roost.local FAIL VERIFY TEMPORARILY_UNAVAILABLE alice :*");
    // From elsewhere, and over a restart, in which nothing of the tries is kept.
    server.restart();
    let mut alice = server.user("other");
    find(&alice.ask(&format!("VERIFY alice {code}")), "VERIFY").must_fit("* VERIFY SUCCESS alice :*");
}

#[test]
fn an_address_that_the_mail_server_never_takes_is_not_put_off_till_later() {
    for (manner, answer) in [
        (Manner::Ascii, "FAIL REGISTER UNACCEPTABLE_EMAIL alice"),
        (Manner::Plain, "REGISTER VERIFICATION_REQUIRED alice"),
    ] {
        let smtp = Smtp::start(manner);
        let server = with(&smtp, &[]);
        let mut alice = server.user("alice");
        alice.one("REGISTER * a@bücher.example sesame").must_fit(&format!(":roost.local {answer} :*a@bücher.example*"));
    }
}

#[test]
fn a_dead_mail_server_stalls_nobody_and_is_told_of() {
    let smtp = Smtp::start(Manner::Mute);
    let server = with(&smtp, &[]);
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send("REGISTER * alice@example.org sesame");
    for _ in 0..20 {
        bob.silent();
    }
    find(&bob.ask("NS INFO alice"), "NOTICE").must_fit(":NickServ!* NOTICE bob :*");
    alice.expect(":roost.local FAIL REGISTER TEMPORARILY_UNAVAILABLE alice :*");
    let mut nobody = server.user("nobody");
    nobody.one("VERIFY alice x").must_fit(":roost.local FAIL VERIFY INVALID_CODE alice :*");
}

#[test]
fn a_letter_that_the_end_of_the_server_cut_off_is_sent_after_the_restart() {
    for crash in [true, false] {
        let mute = Smtp::start(Manner::Mute);
        let mut server = with(&mute, &[]);
        let mut alice = server.user("alice");
        alice.send("REGISTER * alice@example.org sesame");
        // Nothing is mailed before it is kept.
        mute.wait_for_a_guest();
        if crash {
            server.crash();
        } else {
            server.signal("TERM");
            assert!(server.wait().success(), "{}", server.output());
        }
        let smtp = Smtp::start(Manner::Plain);
        for (key, value) in smtp.settings("none") {
            server.set(key, &value);
        }
        server.start_again();
        let code = smtp.letter().code();
        let mut alice = server.user("other");
        find(&alice.ask(&format!("VERIFY alice {code}")), "VERIFY").must_fit("* VERIFY SUCCESS alice :*");
    }
}

#[test]
fn letters_go_by_tls_and_with_a_password_where_that_is_asked_for() {
    for (manner, protection) in [(Manner::Tls, "tls"), (Manner::StartTls, "starttls")] {
        let smtp = Smtp::start(manner);
        let own = smtp.settings(protection);
        let mut settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
        settings.extend([
            ("ROOST__EMAIL__USERNAME", "roost"),
            ("ROOST__EMAIL__PASSWORD", "$2 secret"),
            ("ROOST__EMAIL__AUTHORITY", "authority.pem"),
        ]);
        let server = Server::with_files(&[("authority.pem", &smtp.authority)], &settings);
        let mut alice = server.user("alice");
        register(&mut alice, "alice");
        let letter = smtp.letter();
        assert!(letter.tls && letter.password.as_deref() == Some("$2 secret"), "{letter:?}");
        // A mail server whose certificate nobody has signed gets nothing.
        settings.pop();
        let server = Server::with(&settings);
        let mut bob = server.user("bob");
        let line = bob.one("REGISTER * bob@example.org sesame");
        line.must_fit(":roost.local FAIL REGISTER TEMPORARILY_UNAVAILABLE bob :*");
        // What is logged with an answer is there before the next one.
        bob.sync();
        assert!(server.output().contains("could not be sent") && smtp.has_none());
    }
}

#[test]
fn an_address_may_be_left_out_where_none_is_required() {
    let smtp = Smtp::start(Manner::Plain);
    let server = with(&smtp, &[("ROOST__EMAIL__REQUIRED", "false")]);
    let mut alice = server.user("alice");
    find(&alice.ask("REGISTER * * sesame"), "REGISTER").must_fit("* REGISTER SUCCESS alice :*");
    let mut bob = server.user("bob");
    let lines = bob.ask("NS REGISTER sesame bob@example.org");
    assert!(texts(&lines)[0].contains("VERIFY bob <code>") && all(&lines, "900").is_empty(), "{lines:#?}");
    let code = smtp.letter().code();
    find(&bob.ask(&format!("NS VERIFY bob {code}")), "900");
    let mut mallory = server.user_with("mallory", "sasl");
    mallory.send("AUTHENTICATE PLAIN");
    mallory.expect("AUTHENTICATE +");
    find(&mallory.ask(&format!("AUTHENTICATE {}", plain("bob", "sesame"))), "903");
}

#[test]
fn the_letter_can_be_another() {
    let smtp = Smtp::start(Manner::Plain);
    let own = smtp.settings("none");
    let mut settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    settings.extend([("ROOST__EMAIL__BODY", "letter.txt"), ("ROOST__EMAIL__SUBJECT", "{network}: {account}")]);
    let text = "Hi {account}: The code is {code} for {hours} h.\n";
    let server = Server::with_files(&[("letter.txt", text)], &settings);
    let mut alice = server.user("alice");
    register(&mut alice, "alice");
    let letter = smtp.letter();
    assert!(letter.content.contains("Subject: Roost: alice\r\n"), "{letter:?}");
    assert!(letter.content.contains(&format!("Hi alice: The code is {} for 24 h.", letter.code())), "{letter:?}");
}
