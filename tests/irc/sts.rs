//! Strict transport security (<https://ircv3.net/specs/extensions/sts>).

use std::fs;

use crate::client::{Client, all};
use crate::server::Server;
use crate::tls;

const ON: &str = "[tls]\nsts = true\nsts_port = 7000\nsts_days = 2\nsts_preload = true\n";

/// The value of `sts` in the answer to LS, `None` without it.
fn told(client: &mut Client, ls: &str) -> Option<String> {
    let lines = client.ask(ls);
    let words: Vec<String> = all(&lines, "CAP")
        .iter()
        .flat_map(|line| line.params().pop().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    words.iter().find_map(|word| word.strip_prefix("sts").map(|value| value.trim_start_matches('=').to_owned()))
}

#[test]
fn plain_connections_are_told_the_port_and_secure_ones_how_long() {
    let server = Server::with_files(&[("conf/roost.toml", ON)], &[]);
    let mut plain = server.connect();
    assert_eq!(told(&mut plain, "CAP LS 302").as_deref(), Some("port=7000"));
    let (mut secure, _) = tls::connect(&server, &rustls::version::TLS13);
    assert_eq!(told(&mut secure, "CAP LS 302").as_deref(), Some("duration=172800,preload"));
    // Without a value it would say nothing, and nobody asks for it.
    let mut old = server.connect();
    assert_eq!(told(&mut old, "CAP LS"), None);
    plain.one("CAP REQ :sts").must_fit(":roost.local CAP * NAK *sts*");
    plain.one("CAP REQ :batch sts").must_fit(":roost.local CAP * NAK *sts*");
    let off = Server::start();
    assert_eq!(told(&mut off.connect(), "CAP LS 302"), None);
}

#[test]
fn whoever_came_by_another_name_is_not_told_how_long() {
    let other = format!("{ON}sts_hosts = [\"irc.example.org\"]\n");
    let server = Server::with_files(&[("conf/roost.toml", &other)], &[]);
    // The tests come as roost.local.
    let (mut secure, _) = tls::connect(&server, &rustls::version::TLS13);
    assert_eq!(told(&mut secure, "CAP LS 302"), None);
    let same = format!("{ON}sts_hosts = [\"ROOST.local\"]\n");
    let server = Server::with_files(&[("conf/roost.toml", &same)], &[]);
    let (mut secure, _) = tls::connect(&server, &rustls::version::TLS13);
    assert_eq!(told(&mut secure, "CAP LS 302").as_deref(), Some("duration=172800,preload"));
}

#[test]
fn a_policy_that_ends_is_taken_back_and_never_deleted() {
    let server = Server::with_files(&[("conf/roost.toml", ON)], &[]);
    let (mut secure, _) = tls::connect(&server, &rustls::version::TLS13);
    secure.ask("CAP LS 302");
    let mut plain = server.connect();
    plain.ask("CAP LS 302");
    let reload = |text: &str| {
        fs::write(server.home().join("conf/roost.toml"), text).unwrap();
        server.signal("HUP");
    };
    reload("[tls]\nsts = true\nsts_port = 7001\nsts_days = 1\n");
    secure.expect(":roost.local CAP * NEW :sts=duration=86400");
    plain.expect(":roost.local CAP * NEW :sts=port=7001");
    reload("[tls]\nsts = false\n");
    secure.expect(":roost.local CAP * NEW :sts=duration=0");
    assert!(all(&plain.sync(), "CAP").is_empty());
}
