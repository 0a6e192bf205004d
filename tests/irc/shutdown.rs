//! How the server ends, and reads its configuration again.

use crate::client::{commands, texts};
use crate::server::Server;

#[test]
fn sigterm_and_sigint_tell_every_client_and_exit_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut clients = [server.user("alice"), server.user("bob"), server.connect()];
        clients[2].sync();
        server.signal(signal);
        for client in &mut clients {
            let lines = client.closed();
            assert_eq!(commands(&lines).last(), Some(&"ERROR"), "{signal}: {lines:#?}");
        }
        assert_eq!(server.wait().code(), Some(0), "{signal}: {}", server.output());
    }
}

#[test]
fn what_was_sent_before_sigterm_is_delivered_and_kept() {
    let mut server = Server::start();
    let caps = "draft/chathistory batch server-time message-tags";
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    for number in 0..100 {
        alice.send(&format!("PRIVMSG #room :{number}"));
    }
    alice.sync();
    server.signal("TERM");
    let lines = bob.closed();
    assert_eq!(texts(&lines).len(), 100);
    assert!(server.wait().success());
    server.start_again();
    let mut alice = server.user_with("alice", caps);
    alice.join("#room");
    assert_eq!(texts(&alice.ask("CHATHISTORY LATEST #room * 1000")).len(), 100);
}

#[test]
fn sighup_reads_the_configuration_again_and_loses_nobody() {
    let config = |motd: &str| format!("[server]\nmotd = \"{motd}\"\n");
    let server = Server::with_files(
        &[("conf/roost.toml", &config("first.txt")), ("first.txt", "the first\n"), ("second.txt", "the second\n")],
        &[],
    );
    let mut alice = server.user("alice");
    assert!(alice.ask("MOTD").iter().any(|line| line.raw.ends_with("the first")));
    std::fs::write(server.home().join("conf/roost.toml"), config("second.txt")).unwrap();
    server.signal("HUP");
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    // A signal has no answer: ask until the answer is the new one.
    while !alice.ask("MOTD").iter().any(|line| line.raw.ends_with("the second")) {
        assert!(std::time::Instant::now() < deadline, "the new configuration never came");
    }
    // A configuration that is wrong changes nothing.
    std::fs::write(server.home().join("conf/roost.toml"), "[server]\nmotd = 7\n").unwrap();
    server.signal("HUP");
    alice.ask("MOTD");
    assert!(alice.ask("MOTD").iter().any(|line| line.raw.ends_with("the second")));
}
