//! `znc.in/playback`: a client asks for what it missed as it would ask ZNC (<https://wiki.znc.in/Playback>).

use std::hint::spin_loop;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::{Client, Line, all, texts};
use crate::server::Server;

const CAPS: &str = "server-time batch message-tags znc.in/playback";

/// Carol is in `#room` and `#other`, and has talked with alice.
fn talk(server: &Server) -> (Client, Client, Vec<f64>) {
    server.account("carol", "sesame");
    let mut alice = server.user_with("alice", "server-time echo-message");
    alice.join("#room");
    alice.join("#other");
    let mut carol = server.logged_in("carol", "carol", "sesame", CAPS);
    carol.join("#room");
    carol.join("#other");
    alice.sync();
    let mut times = Vec::new();
    for (target, text) in
        [("#room", "one"), ("#room", "two"), ("#other", "three"), ("carol", "four"), ("#room", "five")]
    {
        let said = seconds(alice.one(&format!("PRIVMSG {target} :{text}")).time());
        times.push(said);
        // What is said in another place may be of the same moment, and a moment is asked for as a bound.
        while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() <= said + 0.001 {
            spin_loop();
        }
    }
    carol.sync();
    (alice, carol, times)
}

/// The seconds since 1970 of a `time` tag of today's shape.
fn seconds(time: &str) -> f64 {
    let stamp = ircv3::time::parse_time(time).unwrap();
    stamp as f64 / 1000.0
}

/// Everything that comes until a PONG after the last page.
fn played(client: &mut Client, request: &str) -> Vec<Line> {
    client.ask(&format!("PRIVMSG *playback :{request}"))
}

#[test]
fn c48_everything_or_one_buffer_from_and_to_a_moment() {
    let server = Server::start();
    let (_alice, mut carol, times) = talk(&server);
    let lines = played(&mut carol, "PLAY * 0");
    let messages = all_privmsg(&lines);
    let mut all_texts = texts(&messages);
    all_texts.sort_unstable();
    assert_eq!(all_texts, ["five", "four", "one", "three", "two"]);
    assert!(all(&lines, "PRIVMSG").iter().all(|line| line.tag("time").is_some()));
    assert_eq!(texts(&all_privmsg(&played(&mut carol, "play #ROOM"))), ["one", "two", "five"]);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, &format!("play #room {}", times[0])))), ["two", "five"]);
    let between = format!("play #room {} {}", times[0], times[4]);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, &between))), ["two"]);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, "play alice"))), ["four"]);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, "play #o*,alice 0"))), ["three", "four"]);
}

#[test]
fn the_lounge_says_znc_where_others_write_to_playback() {
    let server = Server::start();
    let (_alice, mut carol, times) = talk(&server);
    assert_eq!(texts(&all_privmsg(&carol.ask("ZNC *playback PLAY #room 0"))), ["one", "two", "five"]);
    assert_eq!(texts(&all_privmsg(&carol.ask(&format!("znc *Playback :play #room {}", times[0])))), ["two", "five"]);
    carol.one("ZNC *status help").must_fit(":roost.local 401 carol *status :*no ZNC*");
    carol.one("ZNC").must_fit(":roost.local 461 carol ZNC :*");
}

fn all_privmsg(lines: &[Line]) -> Vec<Line> {
    all(lines, "PRIVMSG").into_iter().cloned().collect()
}

#[test]
fn c48_a_client_that_asks_is_replayed_nothing_by_itself_and_channels_joined_later_too() {
    let server = Server::start();
    let (mut alice, mut carol, times) = talk(&server);
    carol.ask("PRIVMSG NickServ :SET autoreplay-missed on");
    carol.send("QUIT");
    carol.closed();
    alice.ask("PRIVMSG #room :six");
    let mut carol = server.connect();
    let welcome = carol.log_in("carol", "carol", "sesame", CAPS);
    assert!(all(&welcome, "PRIVMSG").is_empty(), "{welcome:#?}");
    // As The Lounge and others do it: asked before its channels are joined.
    let lines = played(&mut carol, &format!("PLAY * {}", times[4]));
    assert!(all(&lines, "PRIVMSG").is_empty(), "{lines:#?}");
    carol.send("JOIN #room");
    let mut lines = carol.until("366");
    lines.extend(carol.sync());
    assert_eq!(texts(&all_privmsg(&lines)), ["six"]);
}

#[test]
fn the_newest_are_played_up_to_the_limit() {
    let server = Server::with(&[("ROOST__HISTORY__PLAYBACK_LIMIT", "2")]);
    let (_alice, mut carol, _) = talk(&server);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, "PLAY #room 0"))), ["two", "five"]);
}

#[test]
fn c48_buffers_are_listed_and_mistakes_are_explained() {
    let server = Server::start();
    let (_alice, mut carol, times) = talk(&server);
    let lines = played(&mut carol, "LIST");
    let listed = texts(&lines);
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(listed.contains(&&*format!("#room 0 {:.3}", times[4])), "{listed:?}");
    assert!(lines.iter().all(|line| line.source() == "*playback!znc@znc.in"), "{lines:#?}");
    for (request, part) in [
        ("PLAY", "PLAY <buffers>"),
        ("PLAY #room yesterday", "\"yesterday\" is no time"),
        ("DANCE", "PLAY <buffers>"),
        ("CLEAR #room", "Nothing is cleared"),
    ] {
        let lines = played(&mut carol, request);
        assert!(texts(&lines)[0].contains(part), "{request}: {lines:#?}");
        assert_eq!(lines[0].command(), "NOTICE", "what a person is to read is no answer for the client");
    }
}

#[test]
fn c48_without_history_it_says_so_and_nobody_is_disconnected() {
    let server = Server::with(&[("ROOST__HISTORY__ENABLED", "false")]);
    let mut carol = server.user_with("carol", "server-time");
    carol.join("#room");
    for request in ["PLAY * 0", "LIST", "CLEAR *"] {
        let lines = played(&mut carol, request);
        assert_eq!(texts(&lines), ["No history is kept on this server"], "{request}");
    }
}

#[test]
fn c48_what_is_said_to_it_is_no_conversation() {
    let server = Server::start();
    let (_alice, mut carol, _) = talk(&server);
    played(&mut carol, "PLAY * 0");
    assert!(texts(&played(&mut carol, "LIST")).iter().all(|buffer| !buffer.contains('*')));
    let mut dave = server.logged_in("dave", "carol", "sesame", "server-time batch draft/chathistory");
    let targets =
        dave.ask("CHATHISTORY TARGETS timestamp=1970-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z 50");
    assert!(targets.iter().all(|line| !line.raw.contains("playback")), "{targets:#?}");
}

#[test]
fn nobody_plays_what_is_not_theirs() {
    let server = Server::start();
    let (_alice, _carol, _) = talk(&server);
    let mut mallory = server.user_with("mallory", CAPS);
    for request in ["PLAY * 0", "PLAY #room", "PLAY carol", "PLAY alice,#other 0"] {
        assert!(all(&played(&mut mallory, request), "PRIVMSG").is_empty(), "{request}");
    }
}

#[test]
fn who_asks_is_played_what_it_has_said_itself() {
    let server = Server::start();
    server.account("dave", "sesame");
    let (mut alice, _carol, _) = talk(&server);
    let mut dave = server.logged_in("dave", "dave", "sesame", "server-time batch");
    dave.join("#room");
    alice.ask("PRIVMSG #room :question");
    dave.ask("PRIVMSG #room :my answer");
    let lines = played(&mut dave, "PLAY #room 0");
    assert_eq!(texts(&all_privmsg(&lines))[3..], ["question", "my answer"], "{lines:#?}");
}

#[test]
fn a_channel_that_is_joined_again_is_not_played_again() {
    let server = Server::start();
    let (mut alice, carol, times) = talk(&server);
    drop(carol);
    let mut carol = server.connect();
    carol.log_in("carol", "carol", "sesame", CAPS);
    played(&mut carol, &format!("PLAY * {}", times[0]));
    assert_eq!(texts(&all_privmsg(&carol.join("#room"))), ["two", "five"]);
    alice.ask("PRIVMSG #room :live");
    assert_eq!(texts(&carol.sync()), ["live"]);
    for out in ["PART #room", "PART #room"] {
        carol.ask(out);
        assert_eq!(texts(&all_privmsg(&carol.join("#room"))), [""; 0]);
    }
    // Of another it has been shown nothing yet, and it may ask anew.
    assert_eq!(texts(&all_privmsg(&carol.join("#other"))), ["three"]);
    assert_eq!(texts(&all_privmsg(&played(&mut carol, &format!("PLAY #room {}", times[0])))), ["two", "five", "live"]);
}
