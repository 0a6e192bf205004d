//! TOKEN: who somebody is, told to other services (<https://github.com/ircv3/ircv3-specifications/pull/602>).

use std::time::Instant;

use crate::client::{Client, Line, all, commands, find};
use crate::sasl_tls::{connect_as, identity};
use crate::server::{PATIENCE, Server};
use rustls::version::TLS13;

const CAPS: &str = "batch draft/authtoken";
const URL: &str = "https://upload.example.org";

fn start(more: &[(&str, &str)]) -> Server {
    let mut settings = vec![
        ("ROOST__AUTHTOKEN__0__NAME", "FILEHOST"),
        ("ROOST__AUTHTOKEN__0__URL", URL),
        ("ROOST__AUTHTOKEN__0__DESCRIPTION", "Uploads of files"),
        ("ROOST__AUTHTOKEN__1__NAME", "example.org/forum"),
        ("ROOST__AUTHTOKEN__1__URL", "https://forum.example.org"),
    ];
    settings.extend(more);
    Server::with(&settings)
}

/// A token, and the line that it came with.
#[track_caller]
fn token(client: &mut Client, asked: &str) -> String {
    let line = client.one(&format!("TOKEN GENERATE {asked}"));
    line.must_fit(&format!(":* TOKEN GENERATE FILEHOST {URL} :*"));
    line.params()[3].to_owned()
}

/// What a token says, on a connection of its own that never registers.
#[track_caller]
fn claims(server: &Server, token: &str) -> Result<Vec<(String, String)>, Line> {
    let mut service = server.connect();
    service.request("batch");
    claims_on(&mut service, &format!("TOKEN VALIDATE filehost {URL} :{token}"))
}

#[track_caller]
fn claims_on(service: &mut Client, line: &str) -> Result<Vec<(String, String)>, Line> {
    let lines = service.ask(line);
    if lines.len() == 1 {
        return Err(lines[0].clone());
    }
    lines[0].must_fit(&format!(":* BATCH +* draft/authtoken FILEHOST {URL}"));
    let reference = lines[0].params()[0][1..].to_owned();
    lines.last().unwrap().must_fit(&format!(":* BATCH -{reference}"));
    let inside = &lines[1..lines.len() - 1];
    let claim = |line: &Line| {
        assert_eq!((line.tag("batch"), line.command(), line.params()[0]), (Some(&*reference), "TOKEN", "CLAIM"));
        (line.params()[1].to_owned(), line.params()[2].to_owned())
    };
    Ok(inside.iter().map(claim).collect())
}

fn pairs(claims: &[(String, String)]) -> Vec<(&str, &str)> {
    claims.iter().map(|(key, value)| (&**key, &**value)).collect()
}

#[test]
fn a_token_tells_a_service_once_who_somebody_is() {
    let mut server = start(&[]);
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "batch");
    guest.one("TOKEN GENERATE FILEHOST").must_fit(":* FAIL TOKEN ACCOUNT_REQUIRED :*");
    let mut alice = server.logged_in("alice2", "alice", "sesame", CAPS);
    alice.one("TOKEN GENERATE nothing").must_fit(":* FAIL TOKEN UNKNOWN_SERVICE nothing :*");
    let first = token(&mut alice, "filehost");
    let second = token(&mut alice, "FILEHOST *");
    assert!(first != second && first.len() == 32);
    assert_eq!(pairs(&claims(&server, &first).unwrap()), [("account", "alice"), ("name", "alice2")]);
    // Once.
    claims(&server, &first).unwrap_err().must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
    claims(&server, "nonsense").unwrap_err().must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
    // What is so when it is validated.
    alice.ask("NICK alice3");
    assert_eq!(pairs(&claims(&server, &second).unwrap())[1], ("name", "alice3"));
    let third = token(&mut alice, "FILEHOST alice3");
    alice.send("QUIT");
    alice.closed();
    assert_eq!(pairs(&claims(&server, &third).unwrap()), [("account", "alice"), ("scope", "alice3")]);
    // A start forgets all.
    let mut alice = server.logged_in("alice2", "alice", "sesame", CAPS);
    let fourth = token(&mut alice, "FILEHOST");
    server.crash_and_restart();
    claims(&server, &fourth).unwrap_err().must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
}

#[test]
fn a_token_for_a_channel_holds_for_its_members() {
    let server = start(&[]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    alice.join("#Garden");
    alice.one("TOKEN GENERATE FILEHOST #nowhere").must_fit(":* FAIL TOKEN INVALID_SCOPE #nowhere :*");
    alice.one("TOKEN GENERATE FILEHOST bob").must_fit(":* FAIL TOKEN INVALID_SCOPE bob :*");
    bob.one("TOKEN GENERATE FILEHOST #garden").must_fit(":* FAIL TOKEN NO_PERMISSIONS #garden :*");
    alice.ask("MODE #garden +s");
    bob.one("TOKEN GENERATE FILEHOST #garden").must_fit(":* FAIL TOKEN INVALID_SCOPE #garden :*");
    bob.join("#garden");
    alice.sync();
    let (of_alice, of_bob) = (token(&mut alice, "FILEHOST #garden"), token(&mut bob, "FILEHOST #garden"));
    let expected = [
        ("account", "alice"),
        ("member_of", "#Garden"),
        ("name", "alice"),
        ("operator_of", "#Garden"),
        ("scope", "#Garden"),
    ];
    assert_eq!(pairs(&claims(&server, &of_alice).unwrap()), expected);
    let expected = [("account", "bob"), ("member_of", "#Garden"), ("name", "bob"), ("scope", "#Garden")];
    assert_eq!(pairs(&claims(&server, &of_bob).unwrap()), expected);
    // Whoever has left has no say there any more.
    let late = token(&mut bob, "FILEHOST #garden");
    bob.ask("PART #garden");
    claims(&server, &late).unwrap_err().must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
}

#[test]
fn a_token_is_good_for_one_service_at_one_place_and_for_a_time() {
    let server = start(&[
        ("ROOST__AUTHTOKEN__0__SECONDS", "10"),
        ("ROOST__OPER__0__NAME", "boss"),
        ("ROOST__OPER__0__PASSWORD", "letmein"),
    ]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut service = server.connect();
    service.request("batch");
    for elsewhere in [
        "example.org/forum https://forum.example.org",
        "example.org/forum https://upload.example.org",
        "FILEHOST https://forum.example.org",
    ] {
        let text = token(&mut alice, "FILEHOST");
        service.one(&format!("TOKEN VALIDATE {elsewhere} :{text}")).must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
        // It was shown, so it is spent.
        claims_on(&mut service, &format!("TOKEN VALIDATE FILEHOST {URL} :{text}")).unwrap_err();
    }
    // Many of one account: the oldest goes.
    let tokens: Vec<String> = (0..21).map(|_| token(&mut alice, "FILEHOST")).collect();
    claims(&server, &tokens[0]).unwrap_err();
    claims(&server, &tokens[1]).unwrap();
    // An account that may not be used is nobody, and neither is one that is no more.
    let mut boss = server.user("boss");
    boss.ask("OPER boss letmein");
    boss.told("NS SUSPEND ADD alice");
    alice.closed();
    claims(&server, &tokens[3]).unwrap_err();
    boss.told("NS SUSPEND DEL alice");
    claims(&server, &tokens[4]).unwrap();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut confirm = alice.told("NS UNREGISTER alice");
    confirm = confirm.split_whitespace().last().unwrap().to_owned();
    alice.send(&format!("NS UNREGISTER alice {confirm}"));
    alice.closed();
    claims(&server, &tokens[2]).unwrap_err();
}

#[test]
fn only_who_may_validates() {
    let (own, fingerprint) = identity();
    let server =
        start(&[("ROOST__AUTHTOKEN__0__CERTIFICATE", &fingerprint), ("ROOST__AUTHTOKEN__1__FROM", "192.0.2.7")]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let text = token(&mut alice, "FILEHOST");
    let ask = format!("TOKEN VALIDATE FILEHOST {URL} :{text}");
    let mut anyone = server.connect();
    anyone.one(&ask).must_fit(":* FAIL TOKEN NEED_CAPABILITY batch :*");
    anyone.request("batch");
    anyone.one(&ask).must_fit(":* FAIL TOKEN NO_PERMISSIONS FILEHOST :*");
    anyone
        .one("TOKEN VALIDATE example.org/forum https://forum.example.org x")
        .must_fit(":* FAIL TOKEN NO_PERMISSIONS example.org/forum :*");
    anyone
        .one("TOKEN VALIDATE unknown https://forum.example.org x")
        .must_fit(":* FAIL TOKEN NO_PERMISSIONS unknown :*");
    anyone.one("TOKEN GENERATE FILEHOST").must_fit(":* FAIL TOKEN ACCOUNT_REQUIRED :*");
    let mut service = connect_as(&server, &TLS13, Some(&own)).client;
    service.request("batch");
    claims_on(&mut service, &ask).unwrap();
}

#[test]
fn services_are_listed_on_coming_and_on_asking() {
    let server = start(&[]);
    let mut alice = server.connect();
    alice.request(CAPS);
    alice.send_all(&["NICK alice", "USER a 0 * :a", "CAP END"]);
    let lines = alice.welcome("alice");
    let order = commands(&lines);
    let at = |command: &str| order.iter().position(|other| *other == command).unwrap();
    assert!(
        order.iter().rposition(|other| *other == "005").unwrap() < at("BATCH") && at("BATCH") < at("251"),
        "{order:?}"
    );
    assert!(all(&lines, "005").iter().any(|line| line.params().contains(&"draft/AUTHTOKEN")));
    let listed = alice.ask("TOKEN SERVICELIST");
    for lines in [&lines[at("BATCH")..at("BATCH") + 4], &listed] {
        lines[0].must_fit(":* BATCH +* draft/authtoken * *");
        lines[1].must_fit(&format!(":* TOKEN SERVICE FILEHOST {URL} :Uploads of files"));
        lines[2].must_fit(":* TOKEN SERVICE example.org/forum https://forum.example.org :");
        lines[3].must_fit(":* BATCH -*");
    }
    alice.one("TOKEN FROBNICATE").must_fit(":* FAIL TOKEN UNKNOWN_COMMAND FROBNICATE :*");
    alice.one("TOKEN GENERATE").must_fit(":* 461 alice TOKEN :*");
    let mut plain = server.user("plain");
    plain.one("TOKEN SERVICELIST").must_fit(":* FAIL TOKEN NEED_CAPABILITY batch :*");
    let server = Server::start();
    let mut bob = server.user_with("bob", CAPS);
    bob.one("TOKEN SERVICELIST").must_fit(":* NOTE TOKEN NO_SERVICES :*");
}

#[test]
fn a_token_may_come_in_several_lines_before_registration() {
    let server = start(&[]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let text = token(&mut alice, "FILEHOST");
    let mut service = server.connect();
    service.request("batch");
    let open = format!("BATCH +a draft/authtoken FILEHOST {URL}");
    service.one(&open).must_fit(":* FAIL TOKEN NEED_CAPABILITY draft/authtoken :*");
    service.request("draft/authtoken labeled-response");
    service.send(&format!("@label=x {open}"));
    service.silent();
    for part in [&text[..10], &text[10..]] {
        service.send(&format!("@batch=a TOKEN VALIDATE :{part}"));
    }
    service.silent();
    let lines = service.ask("BATCH -a");
    lines[0].must_fit(&format!("@label=x :* BATCH +* draft/authtoken FILEHOST {URL}"));
    find(&lines, "TOKEN").must_fit(":* TOKEN CLAIM account :alice");
    // Nothing but parts of a token, and no more of them than one could have.
    service.silent_send(&open);
    service.one("@batch=a NICK mallory").must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
    service.silent_send(&open);
    for _ in 0..5 {
        service.silent_send(&format!("@batch=a TOKEN VALIDATE :{}", "x".repeat(400)));
    }
    service.one(&format!("@batch=a TOKEN VALIDATE :{}", "x".repeat(400))).must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
    service.one("BATCH -a").must_fit(":* 451 * :*");
    service.one("BATCH +a draft/multiline #a").must_fit(":* 451 * :*");
    service.one("BATCH +a draft/authtoken nothing https://x").must_fit(":* FAIL TOKEN NO_PERMISSIONS nothing :*");
}

impl Client {
    /// Sends a line that has no answer.
    #[track_caller]
    fn silent_send(&mut self, line: &str) {
        self.send(line);
        self.silent();
    }
}

#[test]
fn other_services_after_a_reload_are_told_of() {
    let first = "[[authtoken]]\nname = \"a\"\nurl = \"https://a\"\n[[authtoken]]\nname = \"b\"\nurl = \"https://b\"\n";
    let server = Server::with_files(&[("conf/roost.toml", first)], &[]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut plain = server.user_with("plain", "batch");
    let line = alice.one("TOKEN GENERATE a");
    let old = line.params()[3].to_owned();
    let second =
        "[[authtoken]]\nname = \"A\"\nurl = \"https://other\"\n[[authtoken]]\nname = \"c\"\nurl = \"https://c\"\n";
    std::fs::write(server.home().join("conf/roost.toml"), second).unwrap();
    server.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while told.len() < 3 && Instant::now() < deadline {
        told.extend(alice.sync());
    }
    let told: Vec<&str> = told.iter().map(|line| line.body().split_once(' ').unwrap().1).collect();
    assert_eq!(told, ["TOKEN DEL b", "TOKEN NEW A https://other", "TOKEN NEW c https://c"]);
    assert!(all(&plain.sync(), "TOKEN").is_empty());
    // What was for another place is for none.
    for url in ["https://a", "https://other"] {
        plain.one(&format!("TOKEN VALIDATE a {url} :{old}")).must_fit(":* FAIL TOKEN INVALID_TOKEN :*");
    }
}
