//! WEBIRC (<https://ircv3.net/specs/extensions/webirc>): a gateway speaks for someone else.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::client::{Client, dial, find};
use crate::server::Server;
use crate::tls::{self, Identity};

/// A hash of "sesame" with the lowest cost.
fn hash() -> String {
    roost::accounts::hash("sesame", 4).unwrap()
}

fn with_password(more: &[(&str, &str)]) -> Server {
    let gateways = format!(r#"[{{from = ["localhost"], password = "{}"}}]"#, hash());
    Server::with(&[&[("ROOST__WEBIRC", &*gateways)], more].concat())
}

/// A certificate, and its fingerprint.
fn certificate() -> (Identity, String) {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = roost::net::ensure_certificate(directory.path(), "gateway.example").unwrap();
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let fingerprint = Sha256::digest(&chain[0]).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    ((chain, PrivateKeyDer::from_pem_file(key).unwrap()), fingerprint)
}

fn over_tls(server: &Server, identity: Option<Identity>) -> Client {
    tls::over(dial(server.tls), &rustls::version::TLS13, identity).0
}

#[track_caller]
fn is_secure(client: &mut Client) -> bool {
    let nick = client.nick.clone();
    client.ask(&format!("WHOIS {nick}")).iter().any(|line| line.command() == "671")
}

#[test]
fn c54_the_address_that_a_gateway_gives_is_the_clients() {
    let server = with_password(&[]);
    for (at, (given, shown)) in [
        ("198.51.100.3", "198.51.100.3"),
        ("0::7", "0::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("0::ffff:1.2.3.4", "1.2.3.4"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = server.connect();
        client.send(&format!("WEBIRC sesame Kiwi host.example {given} :remote-port=77 x=y"));
        client.register(&format!("user{at}"));
        assert!(client.mask().ends_with(&format!("@{shown}")), "{}", client.mask());
        let nick = client.nick.clone();
        assert_eq!(find(&client.ask(&format!("WHOIS {nick}")), "338").params()[3], shown);
    }
    assert!(server.output().contains("\"Kiwi\" at 127.0.0.1 speaks for 198.51.100.3"), "{}", server.output());
}

#[test]
fn c54_whoever_is_no_gateway_is_closed_with_an_error() {
    let server = with_password(&[]);
    for (line, why) in [
        ("WEBIRC open Kiwi h 198.51.100.3", "Invalid WEBIRC password"),
        ("WEBIRC sesame Kiwi h 198.51.100", "Invalid WEBIRC: \"198.51.100\" is not an IP address"),
    ] {
        let mut client = server.connect();
        client.send(line);
        client.closed().pop().unwrap().must_fit(&format!("ERROR :Closing Link: 127.0.0.1 ({why})"));
    }
    for first in ["NICK alice", "CAP LS 302", "USER a 0 * :a"] {
        let mut client = server.connect();
        client.send_all(&[first, "WEBIRC sesame Kiwi h 198.51.100.3"]);
        client.closed().pop().unwrap().must_fit("ERROR :*(WEBIRC must come before everything else)");
    }
    let mut client = server.user("alice");
    client.one("WEBIRC sesame Kiwi h 198.51.100.3").must_fit(":* 462 alice :*");
    client.one("WEBIRC sesame Kiwi h").must_fit(":* 461 alice WEBIRC :*");
    let output = server.output();
    assert!(output.contains("WEBIRC from 127.0.0.1 was refused") && !output.contains("sesame"), "{output}");

    let server = Server::with(&[("ROOST__WEBIRC", r#"[{from = ["192.0.2.7"], password = "sesame"}]"#)]);
    let mut client = server.connect();
    client.send("WEBIRC sesame Kiwi h 198.51.100.3");
    client.closed().pop().unwrap().must_fit("ERROR :*(WEBIRC is for known gateways only)");
}

#[test]
fn c54_a_client_is_secure_only_where_the_whole_way_is() {
    let server = with_password(&[]);
    let mut count = 0;
    for (tls, options, secure) in [
        (true, " :secure", true),
        (true, " :local-port=6697 secure=whatever", true),
        (true, "", false),
        (true, " :insecure", false),
        (false, " :secure", false),
    ] {
        count += 1;
        let mut client = if tls { over_tls(&server, None) } else { server.connect() };
        client.send(&format!("WEBIRC sesame Kiwi h 198.51.100.3{options}"));
        client.register(&format!("user{count}"));
        assert_eq!(is_secure(&mut client), secure, "TLS {tls}, {options:?}");
    }
}

#[test]
fn c54_the_certificate_is_the_clients_and_not_the_gateways() {
    let (identity, _) = certificate();
    let server = with_password(&[]);
    let own = "0f".repeat(32);
    for (nick, tls, option, shown) in [
        ("alice", true, format!("certfp-sha-256={}", own.to_uppercase()), Some(&own)),
        ("bob", true, "certfp-sha-256=00".to_owned(), None),
        ("carol", true, String::new(), None),
        // By a way that anyone could have changed it on.
        ("dave", false, format!("certfp-sha-256={own}"), None),
    ] {
        let mut client =
            if tls { over_tls(&server, Some((identity.0.clone(), identity.1.clone_key()))) } else { server.connect() };
        client.send(&format!("WEBIRC sesame Kiwi h 198.51.100.3 :secure {option}"));
        client.register(nick);
        let lines = client.ask(&format!("WHOIS {nick}"));
        let certfp = lines.iter().find(|line| line.command() == "276").map(|line| line.raw.clone());
        assert_eq!(certfp.is_some(), shown.is_some(), "{nick}: {certfp:?}");
        if let (Some(line), Some(own)) = (certfp, shown) {
            assert!(line.ends_with(own.as_str()), "{line}");
        }
    }
}

#[test]
fn a_gateway_may_be_known_by_its_certificate() {
    let (identity, fingerprint) = certificate();
    let clone = || (identity.0.clone(), identity.1.clone_key());
    let gateways = format!(
        r#"[{{from = ["localhost"], certificate = "{fingerprint}"}}, {{from = ["192.0.2.7"], password = "sesame"}}]"#
    );
    let server = Server::with(&[("ROOST__WEBIRC", &gateways)]);
    let mut client = over_tls(&server, Some(clone()));
    client.send("WEBIRC * Kiwi h 198.51.100.3");
    client.register("alice");
    assert!(client.mask().ends_with("@198.51.100.3"));
    let (other, _) = certificate();
    for identity in [None, Some(other)] {
        let mut client = over_tls(&server, identity);
        client.send("WEBIRC sesame Kiwi h 198.51.100.3");
        client.closed().pop().unwrap().must_fit("ERROR :*(WEBIRC is for known gateways only)");
    }
    // Where an entry has both, both must be right.
    let gateways = format!(r#"[{{from = ["localhost"], certificate = "{fingerprint}", password = "{}"}}]"#, hash());
    let server = Server::with(&[("ROOST__WEBIRC", &gateways)]);
    let mut client = over_tls(&server, Some(clone()));
    client.send("WEBIRC open Kiwi h 198.51.100.3");
    client.closed().pop().unwrap().must_fit("ERROR :*(Invalid WEBIRC password)");
    let mut client = server.connect();
    client.send("WEBIRC sesame Kiwi h 198.51.100.3");
    client.closed().pop().unwrap().must_fit("ERROR :*(WEBIRC is for known gateways only)");
    let mut client = over_tls(&server, Some(clone()));
    client.send("WEBIRC sesame Kiwi h 198.51.100.3");
    client.register("alice");
}

#[test]
fn c57_limits_go_by_the_address_that_a_gateway_gives_and_are_released() {
    let server = with_password(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
        ("ROOST__THROTTLE__CONNECTIONS", "2"),
    ]);
    let connect = |ip: &str, nick: &str| {
        let mut client = server.connect();
        client.send(&format!("WEBIRC sesame Kiwi h {ip}"));
        client.register(nick);
        client
    };
    // The gateway has more connections than one address may have.
    let _clients = [connect("10.0.0.1", "a"), connect("10.0.0.2", "b"), connect("10.0.0.3", "c")];
    let mut second = connect("10.0.0.1", "d");
    let mut third = server.connect();
    third.send("WEBIRC sesame Kiwi h 10.0.0.1");
    third.closed().pop().unwrap().must_fit("ERROR :*(Too many connections*");
    second.send("QUIT");
    second.closed();
    connect("10.0.0.1", "e").silent();
}
