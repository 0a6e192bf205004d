//! What a client without chathistory gets back when it logs in again.

use crate::client::{Client, Line, all, commands, texts};
use crate::opers;
use crate::server::Server;

const CAPS: &str = "server-time batch message-tags";

/// Carol has an account, has been in `#room` and has gone; then alice says one to three.
fn missed(server: &Server) -> Client {
    server.account("carol", "sesame");
    // With her echo of a line alice knows that it is kept.
    let mut alice = server.user_with("alice", "server-time echo-message");
    alice.join("#room");
    let mut carol = server.logged_in("carol", "carol", "sesame", CAPS);
    carol.ask("PRIVMSG NickServ :SET autoreplay-missed on");
    carol.join("#room");
    alice.ask("PRIVMSG #room :seen already");
    assert_eq!(texts(&carol.sync()), ["seen already"]);
    carol.send("QUIT");
    carol.closed();
    for text in ["one", "two", "three"] {
        alice.ask(&format!("PRIVMSG #room :{text}"));
    }
    alice.sync();
    alice
}

/// Everything from the log-in to the end of the JOIN.
fn back(server: &Server, caps: &str) -> Vec<Line> {
    let mut carol = server.connect();
    let mut lines = carol.log_in("carol", "carol", "sesame", caps);
    lines.extend(carol.join("#room"));
    lines
}

fn said(lines: &[Line]) -> Vec<&str> {
    lines.iter().filter(|line| line.command() == "PRIVMSG").map(|line| *line.params().last().unwrap()).collect()
}

#[test]
fn c47_a_client_with_server_time_gets_exactly_what_it_missed() {
    let server = Server::start();
    let _alice = missed(&server);
    let lines = back(&server, CAPS);
    assert_eq!(said(&lines), ["one", "two", "three"], "{lines:#?}");
    let messages = all(&lines, "PRIVMSG");
    for line in &messages {
        line.time();
        line.must_fit(":alice!* PRIVMSG #room :*");
        assert!(line.tag("batch").is_some(), "{line:?}");
    }
    assert!(messages.windows(2).all(|pair| pair[0].time() < pair[1].time()));
    let start = all(&lines, "BATCH").into_iter().find(|line| line.params()[0].starts_with('+')).unwrap();
    assert_eq!(start.params()[1..], ["chathistory", "#room"]);
}

#[test]
fn c47_nothing_is_shown_twice() {
    let server = Server::start();
    let mut alice = missed(&server);
    assert_eq!(said(&back(&server, CAPS)), ["one", "two", "three"]);
    assert!(said(&back_after_quit(&server)).is_empty());
    alice.ask("PRIVMSG #room :four");
    assert_eq!(said(&back(&server, CAPS)), ["four"]);
}

/// As [`back`], for a session that ends well.
fn back_after_quit(server: &Server) -> Vec<Line> {
    // The session of the call before was dropped: its end has been seen once its nick is free.
    back(server, CAPS)
}

#[test]
fn a_replay_that_nobody_has_confirmed_comes_again() {
    let server = Server::start();
    let _alice = missed(&server);
    // The line breaks while what was missed is on its way.
    let mut carol = server.connect();
    carol.confirms = false;
    carol.log_in("carol", "carol", "sesame", CAPS);
    let lines = carol.join("#room");
    assert_eq!(said(&lines), ["one", "two", "three"]);
    let ping = all(&lines, "PING")[0].params()[0].to_owned();
    assert!(ping.starts_with("replayed-"), "{ping}");
    drop(carol);
    assert_eq!(said(&back(&server, CAPS)), ["one", "two", "three"]);
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn who_logs_in_after_it_has_joined_is_replayed_what_came_before_that_and_no_line_twice() {
    let server = Server::start();
    let mut alice = missed(&server);
    let mut carol = server.user_with("car", CAPS);
    carol.join("#room");
    alice.ask("PRIVMSG #room :live");
    assert_eq!(texts(&carol.sync()), ["live"]);
    assert_eq!(said(&carol.ask("NS IDENTIFY carol sesame")), ["one", "two", "three"]);
    carol.ask("PART #room");
    assert!(said(&carol.join("#room")).is_empty());
    carol.send("QUIT");
    carol.closed();
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn a_phone_that_comes_back_before_its_old_line_is_given_up_is_replayed_what_that_did_not_confirm() {
    let server = Server::start();
    let mut alice = missed(&server);
    let mut old = server.connect();
    old.confirms = false;
    old.log_in("carol", "carol", "sesame", CAPS);
    assert_eq!(said(&old.join("#room")), ["one", "two", "three"]);
    // The network goes; nobody has told the server yet. The phone comes back by another.
    alice.ask("PRIVMSG #room :four");
    let mut new = server.connect();
    let mut lines = new.log_in("carol", "carol", "sesame", CAPS);
    lines.extend(new.sync());
    assert_eq!(said(&lines), ["one", "two", "three", "four"]);
    drop(old);
    alice.ask("PRIVMSG #room :five");
    assert_eq!(texts(&new.sync()), ["five"]);
    new.send("QUIT");
    new.closed();
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn who_ends_a_dead_line_of_its_own_is_replayed_what_that_did_not_get() {
    let server = Server::start();
    let mut alice = missed(&server);
    let mut old = server.connect();
    old.log_in("carol", "carol", "sesame", CAPS);
    assert_eq!(said(&old.join("#room")), ["one", "two", "three"]);
    old.sync();
    // Its line is dead: nothing of this is read there.
    alice.ask("PRIVMSG #room :four");
    let mut new = server.user_with("car", CAPS);
    let mut lines = new.ask("NS IDENTIFY carol sesame");
    lines.extend(new.ask("NS GHOST carol"));
    lines.extend(new.ask("NICK carol"));
    lines.extend(new.join("#room"));
    assert_eq!(said(&lines), ["four"]);
}

/// Alice, and carol, who is back and has read what she missed of `#room`, and not come into `#late` yet.
fn back_in_one_of_two(server: &Server) -> (Client, Client) {
    let mut alice = missed(server);
    alice.join("#late");
    alice.ask("PRIVMSG #late :late");
    let mut carol = server.connect();
    carol.log_in("carol", "carol", "sesame", CAPS);
    assert_eq!(said(&carol.join("#room")), ["one", "two", "three"]);
    carol.sync();
    (alice, carol)
}

#[test]
fn what_was_confirmed_does_not_come_again_for_the_sake_of_a_channel_that_is_joined_later() {
    let server = Server::start();
    let (mut alice, mut carol) = back_in_one_of_two(&server);
    alice.ask("PRIVMSG #room :live");
    assert_eq!(texts(&carol.sync()), ["live"]);
    carol.confirms = false;
    assert_eq!(said(&carol.join("#late")), ["late"]);
    drop(carol);
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn a_channel_that_a_device_had_not_read_when_the_server_died_is_replayed_and_no_other() {
    // It had not come into the channel, or the replay of it was on its way.
    for comes in [false, true] {
        let mut server = Server::start();
        let (mut alice, mut carol) = back_in_one_of_two(&server);
        carol.confirms = false;
        if comes {
            assert_eq!(said(&carol.join("#late")), ["late"]);
        }
        // With her echo, all before is on disk.
        alice.ask("PRIVMSG #room :live");
        assert_eq!(texts(&carol.sync()), ["live"]);
        server.crash_and_restart();
        for late in [&["late"][..], &[]] {
            let mut carol = server.connect();
            carol.log_in("carol", "carol", "sesame", CAPS);
            assert_eq!(said(&carol.join("#room")), [""; 0], "{comes}");
            assert_eq!(said(&carol.join("#late")), late, "{comes}");
            carol.sync();
        }
    }
}

#[test]
fn who_logs_in_to_another_account_in_the_middle_of_a_replay_has_not_read_it() {
    let server = Server::start();
    let _alice = missed(&server);
    server.account("dave", "sesame");
    let mut carol = server.connect();
    carol.confirms = false;
    carol.log_in("car", "carol", "sesame", CAPS);
    assert_eq!(said(&carol.join("#room")), ["one", "two", "three"]);
    carol.authenticate("dave", "sesame");
    carol.sync();
    assert_eq!(said(&back(&server, CAPS)), ["one", "two", "three"]);
}

#[test]
fn a_replay_that_the_end_of_the_server_has_cut_off_comes_again() {
    let mut server = Server::start();
    let alice = missed(&server);
    let mut carol = server.connect();
    carol.confirms = false;
    carol.log_in("carol", "carol", "sesame", CAPS);
    assert_eq!(said(&carol.join("#room")), ["one", "two", "three"]);
    drop(alice);
    server.crash_and_restart();
    assert_eq!(said(&back(&server, CAPS)), ["one", "two", "three"]);
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn a_phone_that_is_cut_off_is_replayed_what_it_had_not_read_and_nothing_else() {
    let server = Server::with(&[("history.confirm_seconds", "1")]);
    let mut alice = missed(&server);
    let mut carol = server.connect();
    carol.log_in("carol", "carol@phone", "sesame", CAPS);
    carol.join("#room");
    alice.ask("PRIVMSG #room :four");
    carol.expect(":alice!* PRIVMSG #room :four");
    // It has read that, and says so as every client does, by itself.
    carol.confirms = false;
    let ping = carol.expect("PING :read-*");
    carol.ask(&format!("PONG :{}", ping.params()[0]));
    // These come while it has no network any more; that it is gone, the server hears by a reset.
    alice.ask("PRIVMSG #room :five");
    alice.ask("PRIVMSG carol :six");
    drop(carol);
    let mut carol = server.connect();
    let mut lines = carol.log_in("carol", "carol@phone", "sesame", CAPS);
    lines.extend(carol.join("#room"));
    lines.extend(carol.sync());
    let mut said = said(&lines);
    said.sort_unstable();
    assert_eq!(said, ["five", "six"], "{lines:#?}");
}

#[test]
fn a_phone_that_is_back_under_another_nick_is_replayed_later_what_only_the_first_was_told() {
    let server = Server::with(&[("history.confirm_seconds", "1")]);
    let mut alice = missed(&server);
    let mut dead = server.logged_in("carol", "carol@phone", "sesame", CAPS);
    dead.ask("NS SET MULTICLIENT OFF");
    dead.join("#room");
    dead.confirms = false;
    let mut phone = server.connect();
    phone.log_in("carol_", "carol@phone", "sesame", CAPS);
    phone.join("#room");
    phone.confirms = false;
    for line in ["PRIVMSG carol :lost", "PRIVMSG #room :shown", "PRIVMSG carol_ :shown, too"] {
        alice.ask(line);
    }
    phone.expect(":alice!* PRIVMSG #room :shown");
    phone.expect(":alice!* PRIVMSG carol_ :shown, too");
    let ping = phone.expect("PING :read-*");
    phone.ask(&format!("PONG :{}", ping.params()[0]));
    drop(dead);
    alice.expect(":carol!* QUIT *");
    phone.send("QUIT");
    phone.closed();
    let mut phone = server.connect();
    let mut lines = phone.log_in("carol", "carol@phone", "sesame", CAPS);
    lines.extend(phone.join("#room"));
    lines.extend(phone.sync());
    assert_eq!(said(&lines), ["lost"], "{lines:#?}");
}

#[test]
fn who_is_made_to_join_is_replayed_what_it_missed_there() {
    let server = opers::server();
    let _alice = missed(&server);
    let mut root = opers::root(&server, "root");
    let mut carol = server.logged_in("carol", "carol", "sesame", CAPS);
    root.ask("SAJOIN carol #room");
    assert_eq!(said(&carol.sync()), ["one", "two", "three"]);
}

#[test]
fn c47_a_bot_is_replayed_nothing() {
    let server = Server::start();
    let mut alice = missed(&server);
    alice.ask("PRIVMSG carol :to a nick that is not here");
    let mut carol = server.connect();
    carol.log_in("carol", "carol", "sesame", CAPS);
    carol.ask("MODE carol +B");
    let lines = carol.join("#room");
    assert!(said(&lines).is_empty() && all(&lines, "BATCH").is_empty(), "{lines:#?}");
    // Nor is one that stays, and is a bot already when it comes back.
    carol.ask("NS SET ALWAYS-ON ON");
    carol.send("QUIT");
    carol.closed();
    alice.ask("PRIVMSG #room :four");
    alice.ask("PRIVMSG carol :five");
    let mut carol = server.connect();
    let mut lines = carol.log_in("carol", "carol", "sesame", CAPS);
    lines.extend(carol.ask("JOIN #room"));
    assert!(!all(&lines, "JOIN").is_empty(), "it has stayed: {lines:#?}");
    assert!(said(&lines).is_empty() && all(&lines, "BATCH").is_empty(), "{lines:#?}");
    // What is said while it is here reaches it as it does anyone.
    alice.ask("PRIVMSG #room :six");
    assert_eq!(said(&carol.sync()), ["six"]);
}

#[test]
fn c47_a_reconnect_within_a_second_shows_nothing_twice() {
    let server = Server::start();
    let mut alice = missed(&server);
    let mut seen: Vec<String> = Vec::new();
    for round in 0..5 {
        let mut carol = server.connect();
        let mut lines = carol.log_in("carol", "carol@phone", "sesame", CAPS);
        lines.extend(carol.join("#room"));
        // Half of the times it comes again to a channel that it is in.
        if round % 2 == 0 {
            lines.extend(carol.ask("JOIN #room"));
        }
        alice.ask(&format!("PRIVMSG #room :live {round}"));
        lines.extend(carol.sync());
        seen.extend(said(&lines).into_iter().map(str::to_owned));
        // It goes without a word, and what it asks first when it is back comes while the other is still there, or not.
        drop(carol);
        alice.ask(&format!("PRIVMSG #room :between {round}"));
    }
    let mut expected = Vec::new();
    for round in 0..5 {
        expected.push(format!("live {round}"));
        expected.push(format!("between {round}"));
    }
    // What was said between two connections may have been on its way to the one that was gone.
    let mut last: Vec<String> = back_as(&server, "carol@phone");
    seen.append(&mut last);
    assert_eq!(seen, expected, "once, and in order");
}

/// What a device is shown when it is back.
fn back_as(server: &Server, account: &str) -> Vec<String> {
    let mut carol = server.connect();
    let mut lines = carol.log_in("carol", account, "sesame", CAPS);
    lines.extend(carol.join("#room"));
    said(&lines).into_iter().map(str::to_owned).collect()
}

#[test]
fn c47_no_replay_with_chathistory_or_without_server_time() {
    for caps in ["draft/chathistory server-time batch message-tags", "", "batch"] {
        let server = Server::start();
        let _alice = missed(&server);
        let lines = back(&server, caps);
        assert!(said(&lines).is_empty(), "{caps}: {lines:#?}");
        assert!(all(&lines, "BATCH").is_empty(), "{caps}: {lines:#?}");
    }
}

#[test]
fn without_batch_the_replay_is_plain_lines_with_their_times() {
    let server = Server::start();
    let _alice = missed(&server);
    let lines = back(&server, "server-time");
    assert_eq!(said(&lines), ["one", "two", "three"]);
    assert!(!commands(&lines).contains(&"BATCH"));
    for line in all(&lines, "PRIVMSG") {
        line.time();
    }
}

#[test]
fn what_was_missed_survives_sigkill() {
    let mut server = Server::start();
    let alice = missed(&server);
    drop(alice);
    server.crash_and_restart();
    assert_eq!(said(&back(&server, CAPS)), ["one", "two", "three"]);
}

#[test]
fn what_a_device_has_said_before_it_was_cut_off_does_not_come_again_after_sigkill() {
    let mut server = opers::server();
    let mut alice = missed(&server);
    let mut boss = opers::root(&server, "boss");
    let mut carol = server.connect();
    carol.log_in("carol", "carol@phone", "sesame", CAPS);
    carol.join("#room");
    carol.confirms = false;
    alice.ask("PRIVMSG #room :question?");
    carol.expect(":alice!* PRIVMSG #room :question?");
    carol.ask("PRIVMSG #room :my answer");
    alice.ask("PRIVMSG #room :thanks");
    // Whoever is ended by somebody else may have been dead by then.
    boss.ask("KILL carol :gone");
    alice.expect(":carol!* QUIT *");
    // With her echo, all before is on disk.
    alice.ask("PRIVMSG #room :gone");
    server.crash_and_restart();
    let mut carol = server.connect();
    carol.log_in("carol", "carol@phone", "sesame", CAPS);
    assert_eq!(said(&carol.join("#room")), ["question?", "thanks", "gone"]);
}

#[test]
fn what_went_to_a_dead_line_before_the_server_was_stopped_is_replayed_and_to_a_living_one_is_not() {
    let mut server = Server::start();
    let mut alice = missed(&server);
    let devices = ["dead", "alive"].map(|device| {
        let mut carol = server.connect();
        carol.log_in("carol", &format!("carol@{device}"), "sesame", CAPS);
        carol.join("#room");
        carol
    });
    let [mut dead, mut alive] = devices;
    dead.confirms = false;
    alice.ask("PRIVMSG #room :live");
    server.signal("TERM");
    // It answers as long as there is somebody.
    assert!(said(&alive.closed()).contains(&"live"));
    assert!(server.wait().success());
    drop((alice, dead));
    server.start_again();
    for (device, missed) in [("dead", &["live"][..]), ("alive", &[])] {
        let mut carol = server.connect();
        carol.log_in("carol", &format!("carol@{device}"), "sesame", CAPS);
        assert_eq!(said(&carol.join("#room")), missed, "{device}");
    }
}

#[test]
fn private_messages_that_were_missed_are_replayed() {
    let server = Server::start();
    server.account("carol", "sesame");
    let mut carol = server.logged_in("carol", "carol", "sesame", CAPS);
    carol.ask("PRIVMSG NickServ :SET autoreplay-missed on");
    let mut alice = server.user("alice");
    alice.ask("PRIVMSG carol :first");
    assert_eq!(texts(&carol.sync()), ["first"]);
    // The connection dies while carol is talked to: what was sent after the last sign of her is not lost.
    server.account("dave", "sesame");
    let mut dave = server.logged_in("dave", "dave", "sesame", "");
    dave.ask("PRIVMSG carol :from an account");
    assert_eq!(texts(&carol.sync()), ["from an account"]);
    carol.send("QUIT");
    carol.closed();
    let lines = dave.ask("PRIVMSG carol :are you there");
    // To a nick that is not there a message is refused, and so not kept; if it is kept, it is replayed.
    let refused = lines.iter().any(|line| line.command() == "401");
    let mut carol = server.connect();
    let lines = carol.log_in("carol", "carol", "sesame", CAPS);
    let private: Vec<&str> = said(&lines);
    assert_eq!(private, if refused { vec![] } else { vec!["are you there"] });
}

#[test]
fn autoreplay_can_be_turned_off() {
    let server = Server::start();
    let mut alice = missed(&server);
    let mut carol = server.connect();
    carol.log_in("carol", "carol", "sesame", CAPS);
    carol.ask("PRIVMSG NickServ :SET autoreplay-missed off");
    carol.join("#room");
    carol.send("QUIT");
    carol.closed();
    alice.ask("PRIVMSG #room :four");
    assert!(said(&back(&server, CAPS)).is_empty());
}

#[test]
fn whoever_missed_more_than_is_replayed_is_told_how_to_read_the_rest() {
    let server = Server::with(&[("ROOST__HISTORY__AUTOREPLAY_LIMIT", "2")]);
    let mut alice = missed(&server);
    let mut carol = server.connect();
    let mut lines = carol.log_in("carol", "carol", "sesame", CAPS);
    lines.extend(carol.join("#room"));
    assert_eq!(said(&lines), ["two", "three"]);
    let told: Vec<&Line> =
        all(&lines, "NOTICE").into_iter().filter(|line| line.source().starts_with("HistServ")).collect();
    let [told] = told[..] else { panic!("{lines:#?}") };
    told.must_fit("*NOTICE carol :You missed more in #room than the 2 messages that are replayed: *");
    let (_, command) = told.body().split_once("/msg *playback ").unwrap();
    let older = carol.ask(&format!("PRIVMSG *playback :{command}"));
    // What is of the same moment as the first that was replayed comes as well, and so that does.
    assert_eq!(said(&older), ["seen already", "one", "two"]);
    carol.send("QUIT");
    carol.closed();
    // All that was missed is replayed: there is nothing to tell.
    alice.ask("PRIVMSG #room :four");
    alice.ask("PRIVMSG #room :five");
    let lines = back(&server, CAPS);
    assert_eq!(said(&lines), ["four", "five"]);
    assert!(!lines.iter().any(|line| line.source().starts_with("HistServ")), "{lines:#?}");
}

#[test]
fn who_has_something_played_is_replayed_what_it_missed_of_the_channels_that_it_joins_later() {
    let server = Server::start();
    let _alice = missed(&server);
    let mut carol = server.connect();
    carol.log_in("carol", "carol", "sesame", CAPS);
    carol.ask("PRIVMSG *playback :PLAY #elsewhere 0 1");
    assert_eq!(said(&carol.join("#room")), ["one", "two", "three"]);
}
