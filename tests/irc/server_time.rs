//! server-time: one moment for one message, wherever it is seen (<https://ircv3.net/specs/extensions/server-time>).

use crate::client::{all, find, is_time};
use crate::server::Server;

const CAPS: &str = "server-time message-tags echo-message batch draft/chathistory";

#[test]
fn c41_one_time_in_echo_live_and_history_whatever_the_zone_of_the_machine() {
    let server = Server::with(&[("TZ", "Asia/Kolkata")]);
    let (mut alice, mut bob) = (server.user_with("alice", CAPS), server.user_with("bob", CAPS));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    // A client's own time is not the message's.
    let echo = alice.one("@time=2001-01-01T00:00:00.000Z PRIVMSG #room :now");
    let live = bob.only();
    assert!(is_time(echo.time()) && !echo.time().starts_with("2001"), "{echo:?}");
    assert_eq!(echo.time(), live.time());
    let zone = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let apart = zone.abs_diff(ircv3::time::parse_time(echo.time()).unwrap());
    assert!(apart < 3_600_000, "{} is not UTC", echo.time());
    let page = bob.ask("CHATHISTORY LATEST #room * 1");
    assert_eq!(find(&page, "PRIVMSG").time(), echo.time());
    assert!(all(&page, "BATCH").iter().all(|line| line.tags().iter().all(|tag| !tag.starts_with("time=2001"))));
}

#[test]
fn c41_no_time_before_it_was_granted_and_one_on_ones_own_quit() {
    let server = Server::start();
    let mut alice = server.connect();
    let before = alice.ask("CAP LS 302");
    assert!(before.iter().all(|line| line.tag("time").is_none()), "{before:#?}");
    alice.send("CAP REQ :server-time");
    let granted = alice.line();
    assert!(granted.body().contains(" ACK "), "{granted:?}");
    alice.send_all(&["NICK alice", "USER alice 0 * :Alice", "CAP END"]);
    let welcome = alice.welcome("alice");
    assert!(welcome.iter().all(|line| line.tag("time").is_some()), "{welcome:#?}");
    alice.join("#room");
    alice.send("QUIT :bye");
    let lines = alice.closed();
    assert!(find(&lines, "QUIT").tag("time").is_some(), "{lines:#?}");
}
