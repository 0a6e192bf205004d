//! SASL over TLS: client certificates, and SCRAM that is bound to the connection (RFC 5929, RFC 9266).

use rcgen::{CertificateParams, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};

use crate::client::{Client, all, commands, dial, find, texts};
use crate::sasl::{Kind, Scram, offered};
use crate::server::Server;
use crate::tls::{Connected, Identity, connected};

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
        let Connected { mut client, certificate, exporter } = connect_as(&server, version, None);
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
