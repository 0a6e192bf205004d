//! SASL over TLS: client certificates, and SCRAM that is bound to the connection (RFC 5929, RFC 9266).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, SigningKey};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};

use crate::client::{Client, Line, all, commands, dial, find, texts};
use crate::sasl::{Kind, SECRET, Scram, offered, token, token_server};
use crate::server::Server;
use crate::smtp::{Manner, Smtp};
use crate::tls::{self, Connected, Identity, connected, connected_by};

pub fn connect_as(server: &Server, version: &'static SupportedProtocolVersion, own: Option<&Identity>) -> Connected {
    let own = own.map(|(chain, key)| (chain.clone(), key.clone_key()));
    connected(dial(server.tls), version, own)
}

/// A client's certificate and its fingerprint.
pub fn identity() -> (Identity, String) {
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let fingerprint = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    ((vec![certificate.der().clone()], key), fingerprint)
}

fn external(client: &mut Client, authzid: &str) -> Vec<String> {
    client.mechanism("EXTERNAL");
    client.respond(authzid.as_bytes());
    commands(&client.sync()).into_iter().map(str::to_owned).collect()
}

#[test]
fn c55_a_certificate_logs_in_where_its_fingerprint_was_added() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "poppy");
    let (own, fingerprint) = identity();
    let (other, other_fingerprint) = identity();

    let mut alice = connect_as(&server, &TLS13, Some(&own)).client;
    alice.log_in("alice", "alice", "sesame", "");
    assert_eq!(texts(&alice.ask("NS CERT LIST")), ["Your account has no certificate"]);
    assert_eq!(external(&mut alice, ""), ["904"]);
    assert!(texts(&alice.ask("NS CERT ADD"))[0].contains(&fingerprint));
    // As openssl prints it.
    let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &other_fingerprint[at..at + 2]).collect();
    let printed = pairs.join(":").to_uppercase();
    assert!(texts(&alice.ask(&format!("NS CERT ADD {printed}")))[0].contains(&other_fingerprint));
    assert!(texts(&alice.ask("NS CERT ADD abc"))[0].contains("64"));
    assert!(texts(&alice.ask("NS CERT ADD"))[0].contains("already"));
    let mut expected = vec![fingerprint.clone(), other_fingerprint.clone()];
    expected.sort();
    assert_eq!(texts(&alice.ask("NS CERT LIST")), expected);

    // 276 is for oneself and operators.
    find(&alice.ask("WHOIS alice"), "276").must_fit(&format!(":* 276 alice alice :*{fingerprint}"));
    let mut bob = server.logged_in("bob", "bob", "poppy", "");
    assert!(all(&bob.ask("WHOIS alice"), "276").is_empty());
    // What another account has cannot be had.
    assert!(texts(&bob.ask(&format!("NS CERT ADD {fingerprint}")))[0].contains("Another account"));
    assert!(texts(&bob.ask(&format!("NS CERT DEL {fingerprint}")))[0].contains("no certificate"));
    assert!(texts(&bob.ask("NS CERT ADD"))[0].contains("without a client certificate"));
    // Whoever has a certificate has it, though another gave its fingerprint before.
    let (third, third_fingerprint) = identity();
    assert!(texts(&bob.ask(&format!("NS CERT ADD {third_fingerprint}")))[0].contains("logs in to your account"));
    let mut holder = connect_as(&server, &TLS13, Some(&third)).client;
    holder.log_in("alice_", "alice", "sesame", "");
    assert!(texts(&holder.ask("NS CERT ADD"))[0].contains("logs in to your account"));
    bob.one_of(&["NOTICE"]).must_fit("*:Certificate * no longer logs in to your account: *");
    assert_eq!(texts(&bob.ask("NS CERT LIST")), ["Your account has no certificate"]);
    // What is taken away ends what has logged in by it, and no other.
    let mut stolen = connect_as(&server, &TLS13, Some(&third)).client;
    stolen.request("sasl");
    assert_eq!(external(&mut stolen, ""), ["900", "903"]);
    stolen.send_all(&["NICK stolen", "USER s 0 * :s", "CAP END"]);
    stolen.sync();
    alice.ask(&format!("NS CERT DEL {third_fingerprint}"));
    let lines = stolen.closed();
    assert!(lines.last().is_some_and(|line| line.raw.contains("was taken away")), "{lines:#?}");
    holder.send("QUIT");
    holder.closed();

    server.crash_and_restart();
    for (identity, version) in [(&own, &TLS12), (&other, &TLS13)] {
        let mut client = connect_as(&server, version, Some(identity)).client;
        client.request("sasl");
        client.send_all(&["NICK alice", "USER a 0 * :a"]);
        client.mechanism("EXTERNAL");
        client.send("AUTHENTICATE +");
        client.expect(":roost.local 900 alice alice!*@* alice :*");
        client.expect(":roost.local 903 alice :*");
        client.send("CAP END");
        client.welcome("alice");
        // Whom it wants to act as may be said, if it is itself.
        assert_eq!(external(&mut client, "ALICE@phone"), ["900", "903"]);
        assert_eq!(external(&mut client, "bob"), ["904"]);
        client.send("QUIT");
        client.closed();
    }

    let mut alice = connect_as(&server, &TLS13, Some(&own)).client;
    alice.log_in("alice", "alice", "sesame", "");
    assert!(texts(&alice.ask(&format!("NS CERT DEL {fingerprint}")))[0].contains("no longer"));
    assert_eq!(external(&mut alice, ""), ["904"]);
    assert_eq!(texts(&alice.ask("NS CERT LIST")), [other_fingerprint.as_str()]);
}

#[test]
fn c55_a_certificate_that_has_expired_logs_in_and_one_that_was_renewed_is_another() {
    let server = Server::start();
    server.account("alice", "sesame");
    let pair = KeyPair::generate().unwrap();
    // The same name and key, for one year and for another.
    let of_year = |year: i32| {
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(year, 1, 1), date_time_ymd(year + 1, 1, 1));
        let certificate = params.self_signed(&pair).unwrap();
        let fingerprint: String = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        ((vec![certificate.der().clone()], key), fingerprint)
    };
    let ((expired, first), (renewed, second)) = (of_year(2010), of_year(2011));
    let mut alice = connect_as(&server, &TLS13, Some(&expired)).client;
    alice.log_in("alice", "alice", "sesame", "");
    alice.ask("NS CERT ADD");
    assert_eq!(external(&mut alice, ""), ["900", "903"]);
    find(&alice.ask("WHOIS alice"), "276").must_fit(&format!("*{first}"));
    // Nobody knows this one yet: one 904, and nothing that looks like success.
    let mut other = connect_as(&server, &TLS13, Some(&renewed)).client;
    other.register_with("other", "sasl");
    assert_eq!(external(&mut other, ""), ["904"]);
    assert_eq!(external(&mut other, "alice"), ["904"]);
    // Both may log in, as long as the account has both.
    alice.ask(&format!("NS CERT ADD {second}"));
    assert_eq!(external(&mut other, ""), ["900", "903"]);
    alice.ask(&format!("NS CERT DEL {first}"));
    assert_eq!(external(&mut alice, ""), ["904"]);
    assert_eq!(external(&mut other, ""), ["900", "903"]);
}

#[test]
fn c55_a_session_that_is_resumed_has_its_certificate() {
    let server = Server::start();
    server.account("alice", "sesame");
    for version in [&TLS13, &TLS12] {
        let (own, fingerprint) = identity();
        let config = tls::config(version, Some(own));
        let mut alice = connected_by(dial(server.tls), config.clone());
        assert!(!alice.is_resumed);
        alice.client.log_in("alice", "alice", "sesame", "");
        alice.client.ask("NS CERT ADD");
        alice.client.send("QUIT");
        alice.client.closed();
        let Connected { mut client, is_resumed, .. } = connected_by(dial(server.tls), config);
        println!("{version:?}: resumed: {is_resumed}");
        client.register_with("guest", "sasl");
        assert_eq!(external(&mut client, ""), ["900", "903"]);
        find(&client.ask("WHOIS guest"), "276").must_fit(&format!("*{fingerprint}"));
        client.send("QUIT");
        client.closed();
    }
}

#[test]
fn c55_whoever_takes_away_the_last_that_logs_in_is_told() {
    let server = token_server(&[("ROOST__ACCOUNTS__TOKEN_AUTOCREATE", "true")]);
    let (own, fingerprint) = identity();
    let mut alice = connect_as(&server, &TLS13, Some(&own)).client;
    alice.register_with("alice", "sasl");
    alice.mechanism("IRCV3BEARER");
    alice.respond(format!("\0jwt\0{}", token("alice", SECRET, 600)).as_bytes());
    alice.until("903");
    alice.ask("NS CERT ADD");
    alice.told("NS APPPASS ADD phone");
    let deleted = format!("NS CERT DEL {fingerprint}");
    assert_eq!(texts(&alice.ask(&deleted)).len(), 1, "the app password is left");
    alice.ask("NS CERT ADD");
    assert_eq!(texts(&alice.ask("NS APPPASS DEL phone")).len(), 1, "the certificate is left");
    let told = alice.told(&deleted);
    assert!(told.contains("no longer logs in") && told.contains("PASSWD"), "{told}");
    // No account is made for who is not let in to it, for the nick's sake.
    alice.told("NS SET ALWAYS-ON ON");
    alice.mechanism("IRCV3BEARER");
    alice.respond(format!("\0jwt\0{}", token("newbie", SECRET, 600)).as_bytes());
    alice.until("904");
    assert!(alice.told("NS INFO newbie").contains("no account"));
    alice.told("NS SET ALWAYS-ON OFF");
    // With a password there is nothing to be told.
    alice.told("NS PASSWD sesame sesame");
    alice.ask("NS CERT ADD");
    assert_eq!(texts(&alice.ask(&deleted)).len(), 1);
}

#[test]
fn c19_a_suspended_account_is_refused_at_every_door_and_so_is_one_that_is_not_verified() {
    let smtp = Smtp::start(Manner::Plain);
    let own = smtp.settings("none");
    let mut settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    settings.extend([("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    let server = token_server(&settings);
    let (own, fingerprint) = identity();
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let public = STANDARD.encode(key.verifying_key().to_sec1_point(true).as_bytes());

    // What each door says in the end, and all that it said.
    let doors = |app: Option<&str>| -> Vec<(&'static str, Vec<Line>)> {
        let mut guest = connect_as(&server, &TLS13, Some(&own)).client;
        guest.register_with("guest", "sasl");
        let mut said = Vec::new();
        let passwords = [("PLAIN", Some("sesame")), ("an app password", app)];
        for (door, password) in passwords.into_iter().filter_map(|(door, password)| Some((door, password?))) {
            guest.authenticate("alice", password);
            said.push((door, guest.sync()));
            said.push(("IDENTIFY", guest.ask(&format!("NS IDENTIFY alice {password}"))));
            let mut other = server.connect();
            other.send_all(&[&format!("PASS alice:{password}"), "NICK other", "USER a 0 * :a"]);
            said.push(("PASS", other.until("001")));
        }
        for kind in [Kind::Sha256, Kind::Sha512] {
            let (_, end) = guest.scram(&Scram::new(kind, "alice", "sesame"));
            assert_eq!(end, "904");
        }
        let bearer = token("alice", SECRET, 600);
        guest.mechanism("IRCV3BEARER");
        guest.respond(format!("\0jwt\0{bearer}").as_bytes());
        said.push(("IRCV3BEARER", guest.sync()));
        guest.mechanism("OAUTHBEARER");
        guest.respond(format!("n,a=alice,\x01auth=Bearer {bearer}\x01\x01").as_bytes());
        said.push(("OAUTHBEARER", guest.sync()));
        guest.mechanism("EXTERNAL");
        guest.respond(b"");
        said.push(("EXTERNAL", guest.sync()));
        guest.mechanism("ECDSA-NIST256P-CHALLENGE");
        guest.respond(b"alice");
        let answer: Vec<Line> = match guest.challenge() {
            Ok(challenge) => {
                let signature: DerSignature = key.sign_prehash(&challenge).unwrap();
                guest.respond(signature.as_bytes());
                guest.sync()
            }
            Err(line) => vec![line],
        };
        said.push(("ECDSA-NIST256P-CHALLENGE", answer));
        assert!(all(&guest.ask("WHOIS guest"), "330").is_empty());
        said
    };
    let all_shut = |said: &[(&str, Vec<Line>)]| {
        for (door, lines) in said {
            assert!(all(lines, "900").is_empty() && all(lines, "903").is_empty(), "{door}: {lines:#?}");
            let by_sasl = !["IDENTIFY", "PASS"].contains(door);
            assert_eq!(all(lines, "904").len(), usize::from(by_sasl), "{door}: {lines:#?}");
        }
    };

    // Before its code has come back, who knows the password is told what is missing.
    let mut alice = server.user("alice");
    alice.ask("NS REGISTER sesame alice@example.org");
    let code = smtp.letter().code();
    let said = doors(None);
    all_shut(&said);
    for (door, lines) in said.iter().filter(|(door, _)| ["PLAIN", "IDENTIFY", "PASS"].contains(door)) {
        assert!(lines.iter().any(|line| line.raw.contains("VERIFY alice")), "{door}: {lines:#?}");
    }
    alice.ask(&format!("NS VERIFY alice {code}"));
    alice.ask(&format!("NS CERT ADD {fingerprint}"));
    alice.ask(&format!("NS SET PUBKEY {public}"));
    let app = alice.told("NS APPPASS ADD phone");
    let app = app.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();

    let mut boss = server.user("boss");
    boss.ask("OPER boss letmein");
    assert!(boss.told("NS SUSPEND ADD alice 1d spam").contains("suspended"));
    alice.closed();
    let said = doors(Some(&app));
    all_shut(&said);
    for (door, lines) in &said {
        assert!(lines.iter().any(|line| line.raw.contains("suspended")), "{door}: {lines:#?}");
    }
    // And all of them are doors.
    boss.told("NS SUSPEND DEL alice");
    let mut guest = connect_as(&server, &TLS13, Some(&own)).client;
    guest.register_with("guest", "sasl");
    for password in ["sesame", &app] {
        guest.authenticate("alice", password);
        find(&guest.sync(), "903");
    }
    assert_eq!(external(&mut guest, ""), ["900", "903"]);
}

#[test]
fn c55_without_a_certificate_external_fails_and_says_why() {
    let server = Server::start();
    let mut guest = connect_as(&server, &TLS13, None).client;
    guest.register_with("guest", "sasl");
    guest.mechanism("EXTERNAL");
    guest.one("AUTHENTICATE +").must_fit(":roost.local 904 guest :*without a client certificate*");
    let mut plain = server.user_with("plain", "sasl");
    assert_eq!(commands(&plain.ask("AUTHENTICATE EXTERNAL")), ["908", "904"]);
}

#[test]
fn over_tls_more_mechanisms_are_offered() {
    let server = Server::start();
    let Connected { mut client, .. } = connect_as(&server, &TLS13, None);
    client.register("guest");
    assert_eq!(
        offered(&mut client),
        "PLAIN,EXTERNAL,SCRAM-SHA-256,SCRAM-SHA-256-PLUS,SCRAM-SHA-512,SCRAM-SHA-512-PLUS,ECDSA-NIST256P-CHALLENGE,TOTP"
    );
}

#[test]
fn scram_plus_takes_the_binding_of_its_own_connection_only() {
    let server = Server::start();
    server.account("alice", "sesame");
    for (version, exporter_counts) in [(&TLS13, true), (&TLS12, false)] {
        let Connected { mut client, certificate, exporter, .. } = connect_as(&server, version, None);
        let elsewhere = connect_as(&server, version, None);
        client.register_with("guest", "sasl");
        let end_point = Sha256::digest(&certificate).to_vec();
        let mut log_in = |kind, binding: Option<(&str, &[u8])>, flag| {
            client.scram(&Scram { binding, flag, ..Scram::new(kind, "alice", "sesame") }).1
        };
        let success = |succeeds: bool| if succeeds { "903" } else { "904" };
        for kind in [Kind::Sha256, Kind::Sha512] {
            assert_eq!(log_in(kind, Some(("tls-server-end-point", &end_point)), "n"), "903");
            // Before TLS 1.3 it may be the same on two connections.
            assert_eq!(log_in(kind, Some(("tls-exporter", &exporter)), "n"), success(exporter_counts));
        }
        // What somebody in between would have: another connection's, another certificate's.
        assert_eq!(log_in(Kind::Sha256, Some(("tls-exporter", &elsewhere.exporter)), "n"), "904");
        assert_eq!(log_in(Kind::Sha256, Some(("tls-server-end-point", &[0; 32])), "n"), "904");
        assert_eq!(log_in(Kind::Sha256, Some(("tls-unique", &exporter)), "n"), "904");
        // A client that could bind itself and did not see -PLUS on the list was lied to.
        assert_eq!(log_in(Kind::Sha256, None, "y"), "904");
        assert_eq!(log_in(Kind::Sha256, None, "n"), "903");
    }
    let mut plain = server.user_with("plain", "sasl");
    assert_eq!(plain.scram(&Scram { flag: "y", ..Scram::new(Kind::Sha256, "alice", "sesame") }).1, "903");
    assert_eq!(commands(&plain.ask("AUTHENTICATE SCRAM-SHA-256-PLUS")), ["908", "904"]);
}
