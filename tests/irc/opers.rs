//! What operators are and do: classes, notices, the audit log, and their commands.

use crate::client::{Client, find};
use crate::server::Server;

const CONFIG: &str = "\
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
