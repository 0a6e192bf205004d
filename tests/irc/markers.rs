//! Read markers (draft/read-marker).

use crate::client::{Client, all, commands, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/read-marker";

#[test]
fn c49_a_marker_only_moves_forward_and_survives_sigkill() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.one("MARKREAD #room").must_fit(":roost.local MARKREAD #room *");
    alice
        .one("MARKREAD #room timestamp=2024-01-02T03:04:05.006Z")
        .must_fit("*#room timestamp=2024-01-02T03:04:05.006Z");
    alice
        .one("MARKREAD #ROOM timestamp=2024-01-01T00:00:00.000Z")
        .must_fit("*#ROOM timestamp=2024-01-02T03:04:05.006Z");
    alice.one("MARKREAD bob timestamp=2024-01-03T00:00:00.000Z").must_fit("*bob timestamp=2024-01-03T00:00:00.000Z");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.one("MARKREAD bob").must_fit("*bob timestamp=2024-01-03T00:00:00.000Z");
    let lines = alice.ask("JOIN #room");
    assert_eq!(commands(&lines), ["JOIN", "MARKREAD", "353", "366"], "before 366");
    find(&lines, "MARKREAD").must_fit("*#room timestamp=2024-01-02T03:04:05.006Z");
}

#[test]
fn c49_a_marker_is_pushed_to_ones_own_devices_and_to_nobody_else() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut phone = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut old = server.logged_in("alice", "alice", "sesame", "");
    let mut bob = server.user_with("bob", CAPS);
    desk.ask("MARKREAD bob timestamp=2024-01-03T00:00:00.000Z");
    phone.only().must_fit("*MARKREAD bob timestamp=2024-01-03T00:00:00.000Z");
    old.silent();
    bob.silent();
    desk.ask("MARKREAD bob timestamp=2024-01-02T00:00:00.000Z");
    phone.silent();
}

#[test]
fn a_marker_is_pushed_to_the_accounts_other_nicks_and_follows_who_logs_in() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut tablet = server.logged_in("ali", "alice", "sesame", CAPS);
    let mut guest = server.user_with("al", CAPS);
    desk.ask("MARKREAD #room timestamp=2024-01-02T00:00:00.000Z");
    tablet.only().must_fit(":roost.local MARKREAD #room timestamp=2024-01-02T00:00:00.000Z");
    guest.silent();
    guest.ask("NICKSERV IDENTIFY alice sesame");
    tablet.ask("MARKREAD #room timestamp=2024-01-03T00:00:00.000Z");
    for device in [&mut desk, &mut guest] {
        device.only().must_fit(":roost.local MARKREAD #room timestamp=2024-01-03T00:00:00.000Z");
    }
    tablet.send("QUIT");
    tablet.closed();
    guest.ask("MARKREAD #room timestamp=2024-01-04T00:00:00.000Z");
    desk.only().must_fit(":roost.local MARKREAD #room timestamp=2024-01-04T00:00:00.000Z");
}

/// The time of the 2nd of January 2024 and so on, as MARKREAD has it.
fn day(day: u32) -> String {
    format!("timestamp=2024-01-{day:02}T00:00:00.000Z")
}

#[test]
fn c49_a_marker_goes_with_somebody_who_has_an_account_to_another_nick_and_with_a_guest_it_does_not() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    let mut carol = server.user("carol");
    for nick in ["bob", "carol"] {
        alice.one(&format!("MARKREAD {nick} {}", day(2)));
    }
    bob.ask("NICK bobby");
    carol.ask("NICK carly");
    for nick in ["bobby", "bob", "carol"] {
        alice.one(&format!("MARKREAD {nick}")).must_fit(&format!("*MARKREAD {nick} {}", day(2)));
    }
    alice.one("MARKREAD carly").must_fit("*MARKREAD carly *");
    // Whoever moves it may have another nick, too.
    alice.ask("NICK alicia");
    alice.one("MARKREAD bobby").must_fit(&format!("*MARKREAD bobby {}", day(2)));
}

#[test]
fn c49_a_guests_markers_stay_when_it_takes_another_nick_and_are_its_accounts_once_it_has_one() {
    let mut server = Server::start();
    let _bob = server.user("bob");
    let mut guest = server.user_with("al", CAPS);
    let markers = [("#room", day(2)), ("bob", day(3)), ("alice", day(4))];
    for (target, time) in &markers {
        guest.one(&format!("MARKREAD {target} {time}"));
    }
    let kept = |client: &mut Client| {
        for (target, time) in &markers {
            client.one(&format!("MARKREAD {target}")).must_fit(&format!("*MARKREAD {target} {time}"));
        }
    };
    guest.ask("NICK ally");
    kept(&mut guest);
    guest.join("#room");
    guest.ask("RENAME #room #hall");
    guest.one("MARKREAD #hall").must_fit(&format!("*MARKREAD #hall {}", day(2)));
    guest.ask("RENAME #hall #room");
    guest.told("NS REGISTER sesame");
    kept(&mut guest);
    server.crash_and_restart();
    let _bob = server.user("bob");
    kept(&mut server.logged_in("ally", "ally", "sesame", CAPS));
}

#[test]
fn c49_a_guest_that_logs_in_takes_nothing_back_that_its_account_has_and_reads_nothing_unseen() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :not read yet");
    desk.sync();
    for (channel, time) in [("#room", day(5)), ("#garden", day(2))] {
        desk.one(&format!("MARKREAD {channel} {time}"));
    }
    let mut guest = server.user_with("al", CAPS);
    for target in ["#room", "#garden", "bob", "carol"] {
        guest.one(&format!("MARKREAD {target} {}", day(4)));
    }
    desk.silent();
    guest.ask("NS IDENTIFY alice sesame");
    let lines = desk.sync();
    let told: Vec<Vec<&str>> = all(&lines, "MARKREAD").iter().map(|line| line.params()).collect();
    assert_eq!(told, [["#garden", &*day(4)], ["carol", &*day(4)]]);
    for client in [&mut desk, &mut guest] {
        client.one("MARKREAD #room").must_fit(&format!("*MARKREAD #room {}", day(5)));
        client.one("MARKREAD bob").must_fit("*MARKREAD bob *");
    }
}

#[test]
fn c49_what_is_no_time_is_refused_and_the_future_is_now() {
    let server = Server::start();
    let mut guest = server.user_with("guest", CAPS);
    guest.one("MARKREAD").must_fit("*FAIL MARKREAD NEED_MORE_PARAMS :*");
    guest.one("MARKREAD #room timestamp=*").must_fit("*FAIL MARKREAD INVALID_PARAMS #room :*");
    guest.one("MARKREAD #room soon").must_fit("*FAIL MARKREAD INVALID_PARAMS #room :*");
    guest.one("MARKREAD !! timestamp=2024-01-03T00:00:00.000Z").must_fit("*FAIL MARKREAD INVALID_PARAMS !! :*");
    let line = guest.one("MARKREAD #room timestamp=2999-01-01T00:00:00.000Z");
    assert!(line.raw.contains(" #room timestamp=2") && !line.raw.contains("2999"), "{line:?}");
}

#[test]
fn c49_a_thousand_conversations_are_in_step_at_once() {
    const CONVERSATIONS: usize = 1000;
    // One line that had to wait would wait longer than this client does.
    let server = Server::with(&[("ROOST__FLOOD__ENABLED", "true"), ("ROOST__FLOOD__PER_SECOND", "0.1")]);
    server.account("alice", "sesame");
    let mut phone = server.logged_in("alice", "alice", "sesame", "draft/read-marker draft/chathistory batch");
    let people: Vec<String> = (0..CONVERSATIONS).map(|number| format!("person{number:03}")).collect();
    let mut questions: Vec<String> =
        people.iter().map(|nick| format!("MARKREAD {nick} timestamp=2024-01-02T03:04:05.006Z")).collect();
    questions.extend(people.iter().map(|nick| format!("CHATHISTORY LATEST {nick} * 50")));
    // What is said next is said at once, too.
    questions.extend((0..10).map(|number| format!("PRIVMSG alice :{number}")));
    phone.send_all(&questions.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = phone.sync();
    let moved: Vec<&str> = all(&lines, "MARKREAD").iter().map(|line| line.params()[0]).collect();
    assert_eq!(moved, people);
    assert_eq!(all(&lines, "BATCH").len(), 2 * CONVERSATIONS);
    let said: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(texts(&lines), said);
}
