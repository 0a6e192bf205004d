//! Unix sockets, and listeners whose clients have no address.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::client::{Client, find};
use crate::server::{PATIENCE, Server, free_ports, own_address};

fn connect(path: &Path) -> Client {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Client::over(Box::new(stream))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_unix_socket_carries_a_conversation_with_everyone_else() {
    let mut server = Server::with(&[("ROOST__LISTEN__ON", r#"[{address = "unix:roost.sock", mode = "600"}]"#)]);
    let path = server.home().join("roost.sock");
    assert_eq!(mode(&path), 0o600);
    let (mut alice, mut bob) = (connect(&path), server.user("bob"));
    alice.register("alice");
    assert!(alice.mask().ends_with("@127.0.0.1"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    // More than a socket takes at once.
    for number in 0..400 {
        bob.send(&format!("PRIVMSG #room :{number} {}", "x".repeat(400)));
    }
    bob.silent();
    let lines = alice.sync();
    assert_eq!(lines.len(), 400);
    alice.send("QUIT");
    alice.closed();
    bob.until("QUIT");
    // A new start takes over what the old one left, however it ended.
    server.crash_and_restart();
    connect(&path).register("alice");
    server.restart();
    connect(&path).register("alice");
    server.signal("TERM");
    server.wait();
    assert!(!path.exists());
    server.start_again();
}

#[test]
fn a_proxy_may_come_by_a_unix_socket() {
    let server = Server::with(&[("ROOST__LISTEN__ON", r#"[{address = "unix:p.sock", proxy = ["localhost"]}]"#)]);
    let path = server.home().join("p.sock");
    assert_eq!(mode(&path), 0o660);
    let mut client = connect(&path);
    client.send("PROXY TCP4 1.1.1.1 127.0.0.1 1 2");
    client.register("alice");
    assert!(client.mask().ends_with("@1.1.1.1"));
    let mut bare = connect(&path);
    bare.send("NICK bob");
    assert!(bare.closed().is_empty());
}

#[test]
fn c57_who_comes_by_tor_has_no_address_and_shares_limits_with_the_others() {
    let [tor] = free_ports(own_address());
    let on = format!(r#"[{{address = "{tor}", host = "tor-network.onion"}}]"#);
    let server = Server::with(&[
        ("ROOST__LISTEN__ON", &*on),
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__CONNECTIONS", "1"),
        ("ROOST__THROTTLE__NETWORK", r#"[{from = ["tor-network.onion"], connections = 2}]"#),
    ]);
    let mut alice = Client::plain(tor);
    alice.register("alice");
    let mut bob = Client::plain(tor);
    bob.register("bob");
    assert_eq!(alice.mask(), "alice!~alice@tor-network.onion");
    let lines = alice.ask("WHOIS alice");
    assert!(lines.iter().all(|line| !line.raw.contains("127.0.0.1")), "{lines:#?}");
    assert_eq!(find(&lines, "338").params()[3], "tor-network.onion");
    let lines = alice.ask("WHO alice %i");
    assert!(lines.iter().all(|line| !line.raw.contains("127.0.0.1")), "{lines:#?}");
    // They are not this machine, which is exempt, though their connections come from here.
    let mut carol = Client::plain(tor);
    carol.closed().pop().unwrap().must_fit("ERROR :Closing Link: tor-network.onion (Too many connections*");
    let _local = [server.user("dave"), server.user("erin")];
    bob.send("QUIT");
    bob.closed();
    Client::plain(tor).register("carol");
}
