//! What operators are and do: classes, notices, the audit log, and their commands.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::client::{Client, find};
use crate::server::{PATIENCE, Server};

pub const CONFIG: &str = "\
    [log]\n\
    audit = \"audit.log\"\n\
    [[oper_class]]\n\
    name = \"helper\"\n\
    rights = [\"kill\", \"notices\"]\n\
    [[oper]]\n\
    name = \"root\"\n\
    password = \"sesame\"\n\
    [[oper]]\n\
    name = \"helper\"\n\
    password = \"please\"\n\
    class = \"helper\"\n\
    snomasks = \"ko\"\n";

pub fn server() -> Server {
    Server::with_files(&[("conf/roost.toml", CONFIG)], &[])
}

/// A user who is the operator `root`.
pub fn root(server: &Server, nick: &str) -> Client {
    let mut client = server.user(nick);
    client.send("OPER root sesame");
    client.until("381");
    client.sync();
    client
}

#[test]
fn a_class_bounds_what_its_operators_may_do() {
    let server = server();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send("OPER helper please");
    let mut lines = alice.until("381");
    lines.extend(alice.sync());
    find(&lines, "008").must_fit(":roost.local 008 alice +ko :*");
    assert!(lines.iter().any(|line| line.fits(":alice!* MODE alice +os")), "{lines:#?}");
    alice.one("WALLOPS :hello").must_fit(":roost.local 723 alice wallops :*");
    bob.one("WALLOPS :hello").must_fit(":roost.local 481 bob :*");
    bob.one("OPER root").must_fit(":roost.local 461 bob OPER :*");
    bob.send("OPER root wrong");
    bob.until("464");
    let told = alice.only();
    told.must_fit(":roost.local NOTICE alice :* bob!* tried to become the operator \"root\" and failed");
    let lines = alice.ask("KILL bob :out");
    find(&lines, "NOTICE").must_fit(":roost.local NOTICE alice :* bob!* was killed by alice: out");
    bob.closed();
}

#[test]
fn what_operators_did_is_in_the_audit_log() {
    let mut server = server();
    let mut alice = root(&server, "alice");
    let mut bob = server.user("bob");
    bob.ask("KILL alice :no");
    alice.ask("KILL bob :out with you");
    server.signal("TERM");
    assert!(server.wait().success());
    let log = std::fs::read_to_string(server.home().join("audit.log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains(" alice!") && lines[0].ends_with(" as operator \"root\": OPER"), "{log}");
    assert!(lines[1].ends_with(" as operator \"root\": KILL bob out with you"), "{log}");
    assert!(!log.contains("sesame"));
    assert!(server.output().contains("audit"));
}

#[test]
fn bans_are_kept_over_restarts_and_judged_at_login() {
    let mut server = server();
    server.account("bob", "secret");
    let mut alice = root(&server, "alice");
    let mut bob = server.user("guest");
    alice.one("UBAN ADD account:bob 1h30m REQUIRE-SASL :never").must_fit("*Ban added for account:bob *");
    alice.one("UBAN ADD account:bob 1h30m :spam | seen in #a").must_fit("*Ban changed for account:bob *");
    alice
        .one("KLINE badnick!*@* :no such nicks")
        .must_fit("*Ban added for badnick!\\*@\\* *".replace('\\', "").as_str());
    bob.send("NS IDENTIFY bob secret");
    let lines = bob.closed();
    find(&lines, "900");
    find(&lines, "465").must_fit(":roost.local 465 guest :You are banned from this server (until *): spam");
    assert!(lines.last().unwrap().raw.ends_with("(Banned: spam)"));
    server.crash_and_restart();
    let mut client = server.connect();
    client.send_all(&["NICK badnick", "USER b 0 * :b"]);
    let lines = client.closed();
    find(&lines, "465").must_fit(":roost.local 465 badnick :You are banned from this server: no such nicks");
    assert!(lines.iter().all(|line| line.command() != "001"));
    let mut alice = root(&server, "alice");
    let lines = alice.ask("UBAN LIST");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].raw.contains(" account:bob (for 1 hour ") || lines[0].raw.contains(":account:bob"), "{lines:#?}");
    alice.one("UBAN DEL account:bob").must_fit("*Ban removed for account:bob");
    server.logged_in("guest", "bob", "secret", "");
}

#[test]
fn rehash_waits_until_the_configuration_was_read() {
    let server = server();
    let mut alice = root(&server, "alice");
    let mut bob = server.user("bob");
    bob.send("OPER helper please");
    bob.until("381");
    bob.sync();
    bob.one("REHASH").must_fit(":roost.local 723 bob rehash :*");
    let changed = CONFIG.replace("[log]", "[server]\nadmin = [\"Alice\"]\n[log]");
    std::fs::write(server.home().join("conf/roost.toml"), changed).unwrap();
    alice.send_all(&["REHASH", "ADMIN"]);
    alice.expect(":roost.local 382 alice roost.toml :Rehashing");
    alice.expect(":roost.local NOTICE alice :The configuration was read again");
    alice.expect(":roost.local 256 alice *");
    alice.sync();
    std::fs::write(server.home().join("conf/roost.toml"), "[server]\nname = 5\n").unwrap();
    alice.send("REHASH");
    alice.expect(":roost.local 382 alice *");
    let told = alice.line();
    told.must_fit(":roost.local NOTICE alice :The configuration stays as it was: conf/roost.toml:2: server.name: *");
}

/// Waits until the server answers again: the one that ends may still take connections, but says nothing.
fn wait_for_answer(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    let answers = || {
        let mut stream = TcpStream::connect(server.plain).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"PING x\r\n").ok()?;
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes).ok()?;
        String::from_utf8_lossy(&bytes[..count]).contains("PONG").then_some(())
    };
    while answers().is_none() {
        assert!(Instant::now() < deadline, "it did not come back: {}", server.output());
    }
}

#[test]
fn die_and_restart() {
    let mut server = server();
    let mut bob = server.user("bob");
    let mut alice = root(&server, "alice");
    alice.send("RESTART");
    let lines = bob.closed();
    assert!(lines.last().unwrap().raw.contains("The server was restarted by alice"), "{lines:#?}");
    alice.closed();
    wait_for_answer(&server);
    let mut alice = root(&server, "alice");
    alice.one("DIE elsewhere.example").must_fit(":roost.local 402 alice *");
    alice.send("DIE roost.local");
    alice.closed();
    assert!(server.wait().success());
}

#[test]
fn samode_and_its_kin_act_for_others() {
    let server = server();
    let (mut alice, mut bob) = (root(&server, "alice"), server.user("bob"));
    bob.join("#room");
    alice.one("SAMODE #room +m-o bob").must_fit(":alice!* MODE #room +m-o bob");
    bob.only().must_fit(":alice!* MODE #room +m-o bob");
    assert!(alice.ask("SANICK bob robert").is_empty());
    bob.only().must_fit(":bob!* NICK robert");
    assert!(alice.ask("SAJOIN robert #other").is_empty());
    let lines = bob.sync();
    find(&lines, "JOIN").must_fit(":robert!* JOIN #other");
    find(&lines, "366");
    assert!(alice.ask("SAPART robert #other :out").is_empty());
    bob.only().must_fit(":robert!* PART #other :out");
}

#[test]
fn a_changed_host_is_told_to_those_who_negotiated_chghost() {
    let server = server();
    let mut alice = root(&server, "alice");
    let (mut bob, mut carol) = (server.user_with("bob", "chghost"), server.user("carol"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    bob.sync();
    carol.sync();
    alice.sync();
    alice.one("SETHOST staff.example").must_fit(":roost.local 396 alice staff.example :is now your displayed host");
    bob.only().must_fit(":alice!*@* CHGHOST ~alice staff.example");
    carol.silent();
    alice.send("PRIVMSG #room :hi");
    carol.only().must_fit(":alice!~alice@staff.example PRIVMSG #room :hi");
}

#[test]
fn an_operator_makes_an_account_for_someone_else() {
    let server = server();
    let mut alice = root(&server, "alice");
    alice.send("NS SAREGISTER carol sesame");
    alice.until("NOTICE").pop().unwrap().must_fit("*:Account carol is registered");
    find(&alice.ask("NS SAREGISTER carol sesame"), "NOTICE").must_fit("*An account of that name exists");
    server.logged_in("carol", "carol", "sesame", "");
    let mut bob = server.user("bob");
    find(&bob.ask("NS SAREGISTER dave sesame"), "481");
}
