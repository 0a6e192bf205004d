//! NickServ: what becomes of accounts, and what one does with one's own.

use std::time::Instant;

use crate::client::{Client, all, find, texts};
use crate::server::{PATIENCE, Server};
use crate::smtp::{Manner, Smtp};

const OPER: &[(&str, &str)] = &[("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")];

fn operator(server: &Server) -> Client {
    let mut boss = server.user("boss");
    find(&boss.ask("OPER boss letmein"), "381");
    boss
}

/// The last word of what is said.
fn code(said: &str) -> String {
    said.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn a_forgotten_password_is_replaced_by_mail() {
    let smtp = Smtp::start(Manner::Plain);
    let own = smtp.settings("none");
    let settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    let mut server = Server::with(&settings);
    let mut alice = server.user("alice");
    alice.ask("NS REGISTER sesame alice@example.org");
    let first = smtp.letter().code();
    // Before it is verified, nothing else of it is to be had.
    alice.told("NS SENDPASS alice");
    find(&alice.ask(&format!("NS VERIFY alice {first}")), "900");
    assert!(smtp.has_none());

    let mut guest = server.user("guest");
    let known = guest.told("NS SENDPASS alice");
    assert_eq!(guest.told("NS SENDPASS nobody"), known.replace("alice", "nobody"));
    let letter = smtp.letter();
    assert!(letter.to == "alice@example.org" && letter.content.contains("RESETPASS alice"), "{letter:?}");
    let reset = letter.code();
    assert!(guest.told("NS RESETPASS alice nonsense other").contains("wrong"));
    server.crash_and_restart();
    let mut guest = server.user("guest");
    assert!(guest.told(&format!("NS RESETPASS alice {reset} other")).contains("Password changed"));
    assert!(guest.told(&format!("NS RESETPASS alice {reset} third")).contains("wrong"));
    server.logged_in("a", "alice", "other", "");
    assert!(guest.told("NS IDENTIFY alice sesame").contains("wrong"));

    // Another address is one that somebody reads.
    let mut alice = server.logged_in("alice", "alice", "other", "");
    alice.told("NS SET EMAIL alice@example.net");
    assert!(alice.told("NS GET EMAIL").contains("alice@example.org"));
    let letter = smtp.letter();
    assert_eq!(letter.to, "alice@example.net");
    assert!(alice.told("NS VERIFYEMAIL wrong").contains("wrong"));
    assert!(alice.told(&format!("NS VERIFYEMAIL {}", letter.code())).contains("alice@example.net"));
    assert!(alice.told("NS SET EMAIL OFF").contains("have an address"));
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "other", "");
    assert!(alice.told("NS GET EMAIL").contains("alice@example.net"));
    assert!(alice.told("NS INFO").contains("alice@example.net"));
    let mut guest = server.user("guest");
    assert!(!guest.told("NS INFO alice").contains("example"), "an address is shown to others");
}

#[test]
fn who_has_the_old_password_does_not_keep_the_account_after_a_forgotten_one_is_replaced() {
    let smtp = Smtp::start(Manner::Plain);
    let mut own = smtp.settings("none");
    own.push(("ROOST__EMAIL__REQUIRED", "false".into()));
    let settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    let server = Server::with(&settings);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.told("NS SET EMAIL alice@example.org");
    alice.told(&format!("NS VERIFYEMAIL {}", smtp.letter().code()));
    let mut thief = server.logged_in("thief", "alice", "sesame", "");
    thief.told("NS SET EMAIL thief@evil.example");
    let evil = smtp.letter().code();
    let mut guest = server.user("guest");
    guest.told("NS SENDPASS alice");
    let told = guest.told(&format!("NS RESETPASS alice {} mine", smtp.letter().code()));
    assert!(told.contains("Password changed") && told.contains("2 other connections"), "{told}");
    for client in [&mut thief, &mut alice] {
        client.closed().last().unwrap().must_fit("ERROR :*The password of the account was changed*");
    }
    let mut alice = server.logged_in("alice", "alice", "mine", "");
    assert!(alice.told(&format!("NS VERIFYEMAIL {evil}")).contains("wrong or over"));
    assert!(alice.told("NS GET EMAIL").contains("alice@example.org"));
}

#[test]
fn c19_a_suspended_account_ends_and_stays_out_by_every_door_over_restarts() {
    let mut server = Server::with(OPER);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.ask("NS SET ALWAYS-ON ON");
    let app = code(alice.told("NS APPPASS ADD phone").lines().next().unwrap());
    let mut boss = operator(&server);
    find(&alice.ask("NS SUSPEND ADD boss"), "481");
    let text = boss.told("NS SUSPEND ADD alice 1d5h spam and more");
    assert!(text.contains("suspended for 1 day 5 hours: spam and more"), "{text}");
    let last = alice.closed();
    last.last().unwrap().must_fit("ERROR :*Account suspended: spam and more*");
    find(&boss.ask("WHOIS alice"), "401");
    assert!(boss.told("NS SUSPEND LIST").starts_with("alice ("));
    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
        }
        let mut guest = server.user_with("guest", "sasl");
        for password in ["sesame", &app] {
            guest.authenticate("alice", password);
            find(&guest.sync(), "904").must_fit(":* 904 guest :*suspended until *: spam and more");
            assert!(guest.told(&format!("NS IDENTIFY alice {password}")).contains("suspended"));
        }
        let mut by_pass = server.connect();
        by_pass.send_all(&[&format!("PASS alice:{app}"), "NICK other", "USER a 0 * :a"]);
        assert!(texts(&by_pass.until("001"))[0].contains("suspended"));
        find(&guest.ask("WHOIS alice"), "401");
    }
    let mut boss = operator(&server);
    assert!(boss.told("NS SUSPEND DEL alice").contains("may be used again"));
    assert!(boss.told("NS SUSPEND DEL alice").contains("not suspended"));
    server.crash_and_restart();
    server.logged_in("alice", "alice", "sesame", "");
    assert!(server.output().contains("NickServ SUSPEND ADD alice 1d5h spam and more"), "it is in the audit log");
}

#[test]
fn an_account_is_deleted_with_its_code_and_its_name_is_free() {
    let mut server = Server::with(OPER);
    for name in ["alice", "bob", "carol"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut second = server.logged_in("alice", "alice", "sesame", "");
    let mut bob =
        server.logged_in("bob", "bob", "sesame", "batch draft/chathistory message-tags draft/message-redaction");
    alice.join("#garden");
    alice.ask("CS REGISTER #garden");
    bob.join("#garden");
    alice.ask("PRIVMSG #garden :of alice");
    let id = bob.until("PRIVMSG").last().unwrap().msgid().to_owned();
    alice.ask("CS REGISTER #garden");
    assert!(bob.told("NS UNREGISTER alice").contains("not your account"));
    let confirm = code(&alice.told("NS UNREGISTER alice"));
    assert!(alice.told("NS UNREGISTER alice wrong").contains(&confirm));
    alice.send(&format!("NS UNREGISTER alice {confirm}"));
    let last = alice.closed();
    assert!(texts(&last).contains(&"Account alice is deleted, but not what it said"), "{last:#?}");
    last.last().unwrap().must_fit("ERROR :*Account alice was deleted*");
    second.closed();
    server.crash_and_restart();
    let mut guest = server.user_with("guest", "sasl");
    guest.authenticate("alice", "sesame");
    find(&guest.sync(), "904");
    assert!(guest.told("NS INFO alice").contains("no account"));
    // Whoever takes the name is someone else: what the other said is not theirs to take back.
    server.account("alice", "other");
    let mut alice = server.logged_in("alice", "alice", "other", "batch message-tags draft/message-redaction");
    let lines = alice.join("#garden");
    find(&lines, "353").must_fit("* 353 alice = #garden :@alice");
    alice.ask("MODE #garden -o alice");
    find(&alice.ask(&format!("REDACT #garden {id}")), "FAIL");

    // An operator does it for others, and erases what they said.
    let mut bob = server.logged_in("bob", "bob", "sesame", "batch draft/chathistory message-tags");
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    for client in [&mut bob, &mut carol] {
        client.join("#garden");
    }
    carol.ask("PRIVMSG #garden :of carol");
    carol.ask("PRIVMSG bob :of carol to bob");
    bob.ask("PRIVMSG #garden :of bob");
    let mut boss = operator(&server);
    let confirm = code(&boss.told("NS ERASE carol"));
    assert!(boss.told(&format!("NS ERASE carol {confirm}")).contains("deleted"));
    carol.closed();
    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
            bob = server.logged_in("bob", "bob", "sesame", "batch draft/chathistory message-tags");
            bob.join("#garden");
        }
        let lines = bob.ask("CHATHISTORY LATEST #garden * 50");
        let said: Vec<&str> = all(&lines, "PRIVMSG").iter().map(|line| *line.params().last().unwrap()).collect();
        assert_eq!(said, ["of alice", "of bob"]);
        assert!(all(&bob.ask("CHATHISTORY LATEST carol * 50"), "PRIVMSG").is_empty());
    }
}

#[test]
fn whoever_deletes_their_account_is_told_that_what_they_said_stays_and_may_have_it_deleted_in_the_same_step() {
    let server = Server::start();
    for name in ["alice", "bob", "carol"] {
        server.account(name, "sesame");
    }
    let caps = "batch draft/chathistory message-tags";
    let mut bob = server.logged_in("bob", "bob", "sesame", caps);
    bob.join("#garden");
    for (name, last, stays) in [("alice", "", true), ("carol", " messages", false)] {
        let mut leaving = server.logged_in(name, name, "sesame", "");
        leaving.join("#garden");
        leaving.ask(&format!("PRIVMSG #garden :of {name}"));
        let told = leaving.told(&format!("NS UNREGISTER {name}"));
        assert!(told.contains("What you said stays") && told.contains("put MESSAGES behind the code"), "{told}");
        let confirm = code(&told);
        let told = leaving.told(&format!("NS UNREGISTER {name} {confirm} everything"));
        assert!(told.contains("MESSAGES or nothing"), "{told}");
        leaving.send(&format!("NS UNREGISTER {name} {confirm}{last}"));
        leaving.closed();
        bob.sync();
        let lines = bob.ask("CHATHISTORY LATEST #garden * 50");
        let said = all(&lines, "PRIVMSG").iter().any(|line| line.params().last() == Some(&&*format!("of {name}")));
        assert_eq!(said, stays, "{name}: {lines:?}");
    }
}

/// Whether a text is in the database's file or its log, where there are such.
fn in_a_file(server: &Server, text: &str) -> bool {
    ["roost.db", "roost.db-wal"]
        .iter()
        .filter_map(|name| std::fs::read(server.data().join(name)).ok())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn all_that_one_said_is_erased_on_request_and_is_nowhere_in_the_file() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "sesame");
    let caps = "batch draft/chathistory message-tags";
    let mut alice = server.logged_in("alice", "alice", "sesame", caps);
    let mut bob = server.logged_in("bob", "bob", "sesame", caps);
    for client in [&mut alice, &mut bob] {
        client.join("#garden");
    }
    for n in 0..50 {
        alice.ask(&format!("PRIVMSG #garden :secret-{n} {}", "x".repeat(300)));
    }
    bob.ask("PRIVMSG #garden :mine");
    let confirm = code(&alice.told("NS ERASEMESSAGES"));
    assert!(alice.told(&format!("NS ERASEMESSAGES {confirm}")).contains("is deleted"));
    // It is soon in no file either, while the server runs: not in the log, where it was written first.
    let began = Instant::now();
    while in_a_file(&server, "secret-") {
        bob.sync();
        assert!(began.elapsed() < PATIENCE, "what was erased is still in a file");
    }
    alice.ask("PRIVMSG #garden :later");
    bob.sync();
    alice.told(&format!("NS ERASEMESSAGES {confirm}"));
    alice.ask("PRIVMSG #garden :last");
    bob.sync();
    assert!(alice.told(&format!("NS ERASEMESSAGES {confirm}")).contains("in an hour"));
    let lines = bob.ask("CHATHISTORY LATEST #garden * 100");
    let said: Vec<&str> = all(&lines, "PRIVMSG").iter().map(|line| *line.params().last().unwrap()).collect();
    assert_eq!(said, ["mine", "last"]);
    server.restart();
    assert!(!in_a_file(&server, "secret-"), "it is still in the file");
}

#[test]
fn the_nick_of_ones_account_is_taken_back() {
    let server = Server::with(OPER);
    server.account("alice", "sesame");
    let mut other = server.user("other");
    let mut boss = operator(&server);
    boss.ask("SANICK other alice");
    find(&other.sync(), "NICK").must_fit(":other!* NICK alice");
    let mut alice = server.logged_in("guest", "alice", "sesame", "");
    assert!(alice.told("NS GHOST boss").contains("not the nick of your account"));
    assert!(alice.told("NS GHOST nobody").contains("Nobody uses"));
    assert!(alice.told("NS GHOST guest").contains("That is you"));
    find(&alice.ask("NS REGAIN alice"), "NICK").must_fit(":guest!* NICK alice");
    other.closed().last().unwrap().must_fit("ERROR :*GHOST command used by guest*");
    // And from another device of one's own.
    let mut phone = server.logged_in("phone", "alice", "sesame", "");
    find(&phone.ask("NS RECOVER alice"), "NICK").must_fit(":phone!* NICK alice");
    alice.closed();
}

#[test]
fn one_sees_ones_connections_and_ends_one_or_all_others() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let app = alice.told("NS APPPASS ADD phone");
    let app = code(app.lines().next().unwrap());
    let mut phone = server.logged_in("alice", "alice", &app, "");
    let mut laptop = server.logged_in("alice", "alice@laptop", "sesame", "");
    let text = alice.told("NS CLIENTS LIST");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].contains("(this one)") && lines[1].contains("no device, as alice from 127."), "{text}");
    assert!(lines[2].contains(": phone, ") && lines[2].ends_with(", by the password \"phone\""), "{text}");
    assert!(lines[3].contains(": laptop, "), "{text}");
    let number = lines[3].split(':').next().unwrap();
    assert!(alice.told("NS SESSIONS LOGOUT 999999").contains("CLIENTS LIST"));
    alice.told(&format!("NS SESSIONS LOGOUT {number}"));
    laptop.closed();
    phone.silent();
    // Taking the password away ends what came by it, and nothing comes by it any more.
    assert!(alice.told("NS APPPASS LIST").contains("phone: made at"));
    assert!(alice.told("NS APPPASS ADD Phone").contains("already"));
    assert!(alice.told("NS APPPASS DEL phone").contains("no longer logs in"));
    phone.closed();
    // A name is cut to what is kept of it, wherever it is given.
    let long = "a-phone-that-was-bought-in-the-summer-of-2024";
    alice.told(&format!("NS APPPASS ADD {long}"));
    assert!(alice.told(&format!("NS APPPASS DEL {long}")).contains("no longer logs in"));
    let mut guest = server.user("guest");
    guest.one("REGISTER OperServ * sesame").must_fit("*FAIL REGISTER BAD_ACCOUNT_NAME OperServ :*name of a service*");
    assert!(guest.told(&format!("NS IDENTIFY alice {app}")).contains("wrong"));
    let mut third = server.logged_in("alice", "alice", "sesame", "");
    alice.told("NS CLIENTS LOGOUT ALL");
    third.closed();
    alice.silent();
}

#[test]
fn an_app_password_survives_a_crash_and_works_by_sasl_pass_and_identify() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let app = code(alice.told("NS APPPASS ADD bot").lines().next().unwrap());
    server.crash_and_restart();
    server.logged_in("alice", "alice", &app, "");
    let mut by_pass = server.connect();
    by_pass.send_all(&[&format!("PASS alice:{app}"), "NICK second", "USER a 0 * :a"]);
    find(&by_pass.until("001"), "900");
    let mut guest = server.user("guest");
    find(&guest.ask(&format!("NS IDENTIFY alice {app}")), "900");
    // Nobody else's.
    server.account("bob", "sesame");
    let mut mallory = server.user("mallory");
    assert!(all(&mallory.ask(&format!("NS IDENTIFY bob {app}")), "900").is_empty());
}

/// Deletes one's own account.
fn delete(client: &mut Client, name: &str) {
    let confirm = code(&client.told(&format!("NS UNREGISTER {name}")));
    client.send(&format!("NS UNREGISTER {name} {confirm}"));
    client.closed();
}

#[test]
fn what_was_said_in_private_with_an_account_that_is_deleted_stays_with_the_other_side() {
    let mut server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut bob = server.logged_in("bob", "bob", "sesame", "draft/chathistory batch echo-message draft/read-marker");
    let mut alice = server.logged_in("alice", "alice", "sesame", "echo-message");
    bob.one("PRIVMSG alice :one").must_fit("*PRIVMSG alice :one");
    alice.until("PRIVMSG");
    alice.one("PRIVMSG bob :two").must_fit("*PRIVMSG bob :two");
    bob.until("PRIVMSG");
    let marked = bob.one("MARKREAD alice timestamp=2999-01-01T00:00:00.000Z");
    delete(&mut alice, "alice");
    let same = |bob: &mut Client| {
        assert_eq!(texts(&bob.ask("CHATHISTORY LATEST alice * 10")), ["one", "two"]);
        let targets =
            bob.ask("CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2999-01-01T00:00:00.000Z 9");
        find(&targets, "CHATHISTORY").must_fit("*CHATHISTORY TARGETS alice *");
        assert_eq!(bob.one("MARKREAD alice").params(), marked.params());
    };
    same(&mut bob);
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "draft/chathistory batch echo-message draft/read-marker");
    same(&mut bob);
    // Whoever has her nick now reads nothing of it, and goes on behind it.
    let mut guest = server.user_with("alice", "draft/chathistory batch echo-message");
    assert!(texts(&guest.ask("CHATHISTORY LATEST bob * 10")).is_empty());
    guest.one("PRIVMSG bob :three").must_fit("*PRIVMSG bob :three");
    assert_eq!(texts(&guest.ask("CHATHISTORY LATEST bob * 10")), ["three"]);
    bob.until("PRIVMSG");
    assert_eq!(texts(&bob.ask("CHATHISTORY LATEST alice * 10")), ["one", "two", "three"]);
}

#[test]
fn what_lists_of_channels_say_of_a_deleted_account_is_not_said_of_the_next_of_its_name() {
    let mut server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#kept");
    bob.ask("CS REGISTER #kept");
    bob.join("#open");
    for channel in ["#kept", "#open"] {
        bob.ask(&format!("MODE {channel} +iIeb account:alice account:ALICE m:a:alice"));
        bob.ask(&format!("MODE {channel} +I a:alice*"));
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#kept");
    bob.sync();
    delete(&mut alice, "alice");
    let left = |bob: &mut Client, channel: &str| {
        let mut lists = Vec::new();
        for (mode, numeric) in [("I", "346"), ("e", "348"), ("b", "367")] {
            let lines = bob.ask(&format!("MODE {channel} {mode}"));
            lists.extend(all(&lines, numeric).iter().map(|line| line.params()[2].to_owned()));
        }
        lists
    };
    let told = bob.until("QUIT");
    let gone: Vec<String> = all(&told, "MODE").iter().map(|line| line.params()[1..].join(" ")).collect();
    for entry in ["-I a:alice", "-e a:ALICE"] {
        assert_eq!(gone.iter().filter(|line| *line == entry).count(), 2, "{gone:?}");
    }
    // A ban stays: it may be the banned who takes the name again.
    assert_eq!(left(&mut bob, "#open"), ["a:alice*", "m:a:alice"]);
    assert_eq!(left(&mut bob, "#kept"), ["a:alice*", "m:a:alice"]);
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#kept");
    assert_eq!(left(&mut bob, "#kept"), ["a:alice*", "m:a:alice"]);
}

#[test]
fn whoever_ends_itself_by_what_it_says_to_a_service_says_nothing_to_whom_it_names_after() {
    let server = Server::start();
    let mut bob = server.user("bob");
    for name in ["alice", "carol"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let number = alice.ask("NS CLIENTS LIST").iter().find_map(|line| {
        let text =
            line.params().last()?.split_whitespace().next()?.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        text.parse::<u64>().ok().map(|number| number.to_string())
    });
    alice.send(&format!("PRIVMSG NickServ,nobody,bob :CLIENTS LOGOUT {}", number.unwrap()));
    alice.closed();
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    let confirm = code(&carol.told("NS UNREGISTER carol"));
    carol.send(&format!("PRIVMSG NickServ,nobody,bob :UNREGISTER carol {confirm}"));
    carol.closed();
    bob.silent();
}
