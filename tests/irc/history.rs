//! CHATHISTORY (<https://ircv3.net/specs/extensions/chathistory>).

use crate::client::{Client, Line, all, commands, find, is_time, texts};
use crate::opers;
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message";

/// A conversation of `count` messages, numbered from 1, and their echoes.
fn talk(client: &mut Client, target: &str, count: usize) -> Vec<Line> {
    for number in 1..=count {
        client.send(&format!("PRIVMSG {target} :{number}"));
    }
    let lines = client.sync();
    let lines: Vec<Line> = lines.into_iter().filter(|line| line.command() == "PRIVMSG").collect();
    assert_eq!(lines.len(), count);
    lines
}

/// Asks, checks the batch, and returns what is in it.
#[track_caller]
fn page(client: &mut Client, question: &str) -> Vec<Line> {
    let lines = client.ask(&format!("CHATHISTORY {question}"));
    let (subcommand, target) = question.split_once(' ').unwrap();
    let first = lines.first().unwrap_or_else(|| panic!("no answer to CHATHISTORY {question}"));
    if subcommand == "TARGETS" {
        first.must_fit(":roost.local BATCH +* draft/chathistory-targets");
    } else {
        first.must_fit(":roost.local BATCH +* chathistory *");
        assert!(first.params()[2].eq_ignore_ascii_case(target.split(' ').next().unwrap()), "{first:?}");
    }
    let reference = &first.params()[0][1..];
    let last = lines.last().unwrap();
    assert_eq!(last.body(), format!(":roost.local BATCH -{reference}"));
    let inner = lines[1..lines.len() - 1].to_vec();
    for line in &inner {
        assert_eq!(line.tag("batch"), Some(reference), "{line:?}");
    }
    inner
}

/// The numbers that were said.
fn numbers(lines: &[Line]) -> Vec<usize> {
    texts(lines).iter().map(|text| text.parse().unwrap()).collect()
}

fn range(from: usize, to: usize) -> Vec<usize> {
    (from..=to).collect()
}

/// Alice in `#room`, where she has said the numbers from 1 to `count`.
fn room(server: &Server, count: usize) -> (Client, Vec<Line>) {
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let lines = talk(&mut alice, "#room", count);
    (alice, lines)
}

#[test]
fn latest_gives_the_newest_in_order_with_ids_and_times_of_the_originals() {
    let server = Server::start();
    let (mut alice, echoes) = room(&server, 10);
    let lines = page(&mut alice, "LATEST #room * 4");
    assert_eq!(numbers(&lines), range(7, 10));
    for (line, echo) in lines.iter().zip(&echoes[6..]) {
        assert_eq!(line.msgid(), echo.msgid());
        assert_eq!(line.time(), echo.time());
        assert_eq!(line.body(), echo.body());
    }
    assert_eq!(numbers(&page(&mut alice, "LATEST #room * 100")), range(1, 10));
    let after_eight = format!("LATEST #room msgid={} 100", echoes[7].msgid());
    assert_eq!(numbers(&page(&mut alice, &after_eight)), [9, 10]);
    let after_two = format!("LATEST #room timestamp={} 3", echoes[1].time());
    assert_eq!(numbers(&page(&mut alice, &after_two)), [8, 9, 10], "LATEST is anchored at the end");
}

#[test]
fn before_and_after_exclude_the_selector() {
    let server = Server::start();
    let (mut alice, echoes) = room(&server, 10);
    for selector in [format!("msgid={}", echoes[4].msgid()), format!("timestamp={}", echoes[4].time())] {
        assert_eq!(numbers(&page(&mut alice, &format!("BEFORE #room {selector} 100"))), range(1, 4));
        assert_eq!(numbers(&page(&mut alice, &format!("BEFORE #room {selector} 2"))), [3, 4]);
        assert_eq!(numbers(&page(&mut alice, &format!("AFTER #room {selector} 100"))), range(6, 10));
        assert_eq!(numbers(&page(&mut alice, &format!("AFTER #room {selector} 2"))), [6, 7]);
    }
}

#[test]
fn around_is_centred_on_its_message() {
    let server = Server::start();
    let (mut alice, echoes) = room(&server, 11);
    let lines = page(&mut alice, &format!("AROUND #room msgid={} 3", echoes[5].msgid()));
    assert_eq!(numbers(&lines), [5, 6, 7]);
    let lines = page(&mut alice, &format!("AROUND #room timestamp={} 3", echoes[5].time()));
    assert_eq!(numbers(&lines), [5, 6, 7]);
    let lines = page(&mut alice, &format!("AROUND #room msgid={} 1", echoes[5].msgid()));
    assert_eq!(numbers(&lines), [6]);
}

#[test]
fn between_counts_from_its_first_selector_in_both_directions() {
    let server = Server::start();
    let (mut alice, echoes) = room(&server, 10);
    let by_id = |number: usize| format!("msgid={}", echoes[number - 1].msgid());
    let by_time = |number: usize| format!("timestamp={}", echoes[number - 1].time());
    for (from, to) in [(by_id(2), by_id(9)), (by_time(2), by_time(9)), (by_id(2), by_time(9)), (by_time(2), by_id(9))] {
        assert_eq!(numbers(&page(&mut alice, &format!("BETWEEN #room {from} {to} 100"))), range(3, 8));
        assert_eq!(numbers(&page(&mut alice, &format!("BETWEEN #room {from} {to} 2"))), [3, 4]);
        assert_eq!(numbers(&page(&mut alice, &format!("BETWEEN #room {to} {from} 100"))), range(3, 8));
        assert_eq!(numbers(&page(&mut alice, &format!("BETWEEN #room {to} {from} 2"))), [7, 8]);
    }
    assert!(page(&mut alice, &format!("BETWEEN #room {} {} 10", by_id(4), by_id(5))).is_empty());
}

#[test]
fn paging_by_time_and_by_id_meets_every_message_once() {
    let server = Server::start();
    let (mut alice, _) = room(&server, 300);
    for by in ["msgid", "time"] {
        let kind = if by == "time" { "timestamp" } else { by };
        let mut seen = Vec::new();
        let mut selector = "*".to_owned();
        loop {
            let question =
                if selector == "*" { "LATEST #room * 37".to_owned() } else { format!("BEFORE #room {selector} 37") };
            let lines = page(&mut alice, &question);
            let Some(first) = lines.first() else { break };
            selector = format!("{kind}={}", first.tag(by).unwrap());
            let mut numbers = numbers(&lines);
            numbers.extend(seen);
            seen = numbers;
        }
        assert_eq!(seen, range(1, 300), "BEFORE by {by}");
        let mut seen = Vec::new();
        let mut selector = "timestamp=2000-01-01T00:00:00.000Z".to_owned();
        loop {
            let lines = page(&mut alice, &format!("AFTER #room {selector} 41"));
            let Some(last) = lines.last() else { break };
            selector = format!("{kind}={}", last.tag(by).unwrap());
            seen.extend(numbers(&lines));
        }
        assert_eq!(seen, range(1, 300), "AFTER by {by}");
    }
}

#[test]
fn times_rise_within_a_conversation() {
    let server = Server::start();
    let (_alice, echoes) = room(&server, 500);
    for pair in echoes.windows(2) {
        assert!(pair[0].time() < pair[1].time(), "{pair:?}");
    }
}

#[test]
fn clients_1c_6_a_thousand_at_once_and_a_larger_limit_is_clamped() {
    let server = Server::start();
    let (mut alice, _) = room(&server, 1100);
    assert_eq!(numbers(&page(&mut alice, "LATEST #room * 1000")), range(101, 1100));
    assert_eq!(numbers(&page(&mut alice, "LATEST #room * 5000")), range(101, 1100));
    let lines =
        page(&mut alice, "BETWEEN #room timestamp=2000-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z 1000");
    assert_eq!(numbers(&lines), range(1, 1000));
}

#[test]
fn private_conversations_are_kept_for_both_sides_and_nobody_else() {
    let server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    let mut eve = server.user_with("eve", CAPS);
    alice.ask("PRIVMSG bob :1");
    bob.ask("PRIVMSG alice :2");
    alice.ask("NOTICE bob :3");
    alice.sync();
    assert_eq!(numbers(&page(&mut alice, "LATEST bob * 10")), [1, 2, 3]);
    bob.sync();
    assert_eq!(numbers(&page(&mut bob, "LATEST alice * 10")), [1, 2, 3]);
    for target in ["alice", "bob"] {
        let lines = eve.ask(&format!("CHATHISTORY LATEST {target} * 10"));
        assert!(texts(&lines).is_empty(), "{lines:#?}");
    }
    // The batch names the conversation as it was asked for.
    let lines = bob.ask("CHATHISTORY LATEST ALICE * 10");
    lines[0].must_fit(":roost.local BATCH +* chathistory ALICE");
    assert_eq!(numbers(&lines), [1, 2, 3]);
    // A new owner of a nick does not read the old one's words.
    let mut guest = server.user_with("guest", CAPS);
    guest.ask("PRIVMSG alice :secret of the first guest");
    guest.send("QUIT");
    guest.closed();
    let mut guest = server.user_with("guest2", CAPS);
    guest.ask("NICK guest");
    let lines = guest.ask("CHATHISTORY LATEST bob * 10");
    assert!(texts(&lines).is_empty(), "{lines:#?}");
}

#[test]
fn messages_to_oneself_are_kept_once() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.ask("PRIVMSG alice :1");
    alice.ask("PRIVMSG alice :2");
    assert_eq!(numbers(&page(&mut alice, "LATEST alice * 10")), [1, 2]);
}

#[test]
fn targets_lists_conversations_by_their_latest_message() {
    let server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    alice.join("#one,#two,#empty");
    // TARGETS has nothing finer than a millisecond: each conversation's last message is in one of its own.
    let one = alice.one("PRIVMSG #one :1");
    let mut later = |target: &str, than: &Line| loop {
        let line = alice.one(&format!("PRIVMSG {target} :later"));
        if line.time() > than.time() {
            return line;
        }
    };
    let dm = later("bob", &one);
    let two = later("#two", &dm);
    bob.sync();
    let all_time = "TARGETS timestamp=2000-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z";
    let names = |lines: &[Line]| -> Vec<String> {
        lines
            .iter()
            .map(|line| {
                let params = line.params();
                assert_eq!((line.command(), params[0]), ("CHATHISTORY", "TARGETS"));
                assert!(is_time(params[2]), "{line:?}");
                params[1].to_owned()
            })
            .collect()
    };
    let lines = page(&mut alice, &format!("{all_time} 10"));
    assert_eq!(names(&lines), ["#one", "bob", "#two"]);
    assert_eq!(lines[1].params()[2], dm.time());
    assert_eq!(names(&page(&mut alice, &format!("{all_time} 2"))), ["#one", "bob"]);
    let backwards = "TARGETS timestamp=2100-01-01T00:00:00.000Z timestamp=2000-01-01T00:00:00.000Z 2";
    assert_eq!(names(&page(&mut alice, backwards)), ["bob", "#two"]);
    let open = format!("TARGETS timestamp={} timestamp={} 10", one.time(), two.time());
    assert_eq!(names(&page(&mut alice, &open)), ["bob"], "both ends are exclusive");
    assert_eq!(
        names(&page(&mut bob, &format!("{all_time} 10"))),
        ["alice"],
        "channels that one is not in are not shown"
    );
    let line = alice.one(&format!("CHATHISTORY TARGETS msgid={} msgid={} 10", one.msgid(), two.msgid()));
    assert_eq!(line.command(), "FAIL");
}

#[test]
fn who_is_not_a_member_gets_the_same_answer_as_for_a_channel_that_is_not() {
    let server = Server::start();
    let (mut alice, echoes) = room(&server, 3);
    let mut bob = server.user_with("bob", CAPS);
    for question in [
        "LATEST #room * 10".to_owned(),
        format!("BEFORE #room msgid={} 10", echoes[2].msgid()),
        format!("AROUND #room timestamp={} 10", echoes[2].time()),
    ] {
        let subcommand = question.split(' ').next().unwrap();
        let existing = bob.one(&format!("CHATHISTORY {question}"));
        existing.must_fit(&format!(":roost.local FAIL CHATHISTORY INVALID_TARGET {subcommand} #room :*"));
        let missing = bob.one(&format!("CHATHISTORY {}", question.replace("#room", "#nope")));
        assert_eq!(missing.body().replace("#nope", "#room"), existing.body());
    }
    bob.join("#room");
    assert_eq!(numbers(&page(&mut bob, "LATEST #room * 10")), [1, 2, 3]);
    bob.ask("PART #room");
    assert_eq!(bob.one("CHATHISTORY LATEST #room * 10").command(), "FAIL");
    alice.sync();
}

#[test]
fn wrong_questions_fail_in_the_words_of_the_specification() {
    let server = Server::start();
    let (mut alice, _) = room(&server, 1);
    let mut fail = |question: &str, pattern: &str| {
        alice.one(&format!("CHATHISTORY{question}")).must_fit(&format!(":roost.local FAIL CHATHISTORY {pattern}"));
    };
    fail(" LATEST #room * ten", "INVALID_PARAMS LATEST *:*");
    fail(" LATEST #room", "INVALID_PARAMS LATEST *:*");
    fail(" LATEST #room foo=bar 10", "INVALID_MSGREFTYPE LATEST #room *:*");
    fail(" BEFORE #room timestamp=yesterday 10", "INVALID_PARAMS BEFORE *:*");
    fail(" BETWEEN #room * 10", "INVALID_PARAMS BETWEEN *:*");
    fail(" FROB #room * 10", "* FROB*:*");
    let line = alice.one("CHATHISTORY");
    assert!(line.command() == "461" || line.fits(":roost.local FAIL CHATHISTORY *"), "{line:?}");
}

#[test]
fn clients_1c_7_nothing_found_is_an_empty_batch() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    assert!(page(&mut alice, "LATEST #room * 10").is_empty());
    assert!(page(&mut alice, "AFTER #room timestamp=2100-01-01T00:00:00.000Z 10").is_empty());
    assert!(page(&mut alice, "BEFORE #room timestamp=2000-01-01T00:00:00.000Z 10").is_empty());
}

#[test]
fn without_batch_the_lines_come_plain() {
    let server = Server::start();
    let (mut alice, _) = room(&server, 3);
    alice.request("-batch");
    let lines = alice.ask("CHATHISTORY LATEST #room * 10");
    assert_eq!(numbers(&lines), [1, 2, 3]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn c44_a_page_counts_only_what_it_shows() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let mut bob = server.user("bob");
    for number in 1..=50 {
        alice.ask(&format!("PRIVMSG #room :{number}"));
        alice.ask("@+draft/react=x TAGMSG #room");
        alice.ask(&format!("TOPIC #room :topic {number}"));
        bob.ask("JOIN #room");
        bob.ask("PART #room");
    }
    alice.sync();
    let mut seen = Vec::new();
    let mut selector = String::new();
    loop {
        let question =
            if selector.is_empty() { "LATEST #room * 20".to_owned() } else { format!("BEFORE #room {selector} 20") };
        let lines = page(&mut alice, &question);
        let Some(first) = lines.first() else { break };
        assert!(lines.iter().all(|line| line.command() == "PRIVMSG"), "{lines:#?}");
        assert!(lines.len() == 20 || seen.len() == 40, "a short page in the middle: {}", lines.len());
        selector = format!("msgid={}", first.msgid());
        let mut numbers = numbers(&lines);
        numbers.extend(seen);
        seen = numbers;
    }
    assert_eq!(seen, range(1, 50));
}

#[test]
fn c44_fifty_visible_among_two_hundred_rows_are_one_page_and_then_there_is_an_end() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let caps = format!("{CAPS} draft/message-redaction");
    let mut alice = server.logged_in("alice", "alice", "sesame", &caps);
    alice.join("#room");
    let hidden = |alice: &mut Client, number: usize| match number % 4 {
        0 => {
            alice.ask("@+draft/react=x TAGMSG #room");
        }
        1 => {
            let echo = alice.one("PRIVMSG #room :taken back");
            alice.ask(&format!("REDACT #room {}", echo.msgid()));
        }
        2 => {
            let mut bob = server.logged_in("bob", "bob", "sesame", "");
            bob.join("#room");
            bob.send("QUIT");
            bob.closed();
        }
        _ => {
            alice.ask(&format!("TOPIC #room :{number}"));
        }
    };
    for number in 1..=50 {
        alice.ask(&format!("PRIVMSG #room :{number}"));
        for part in 0..2 {
            hidden(&mut alice, 2 * number + part);
        }
    }
    // The newest rows are all such.
    for number in 0..50 {
        hidden(&mut alice, number);
    }
    alice.sync();
    // Whoever reads it knows nothing of all that.
    let mut carol = server.user_with("carol", CAPS);
    carol.join("#room");
    let lines = page(&mut carol, "LATEST #room * 50");
    assert_eq!(numbers(&lines), range(1, 50));
    let (first, last) = (lines[0].msgid(), lines[49].msgid());
    assert!(page(&mut carol, &format!("BEFORE #room msgid={first} 50")).is_empty());
    assert!(page(&mut carol, &format!("AFTER #room msgid={last} 50")).is_empty());
    // The other way round, and in pages that do not come out even.
    let mut seen = Vec::new();
    let mut selector = "timestamp=2000-01-01T00:00:00.000Z".to_owned();
    loop {
        let lines = page(&mut carol, &format!("AFTER #room {selector} 17"));
        let Some(last) = lines.last() else { break };
        selector = format!("msgid={}", last.msgid());
        assert!(lines.len() == 17 || seen.len() == 34, "a short page in the middle: {}", lines.len());
        seen.extend(numbers(&lines));
    }
    assert_eq!(seen, range(1, 50));
}

#[test]
fn event_playback_shows_what_people_with_accounts_did_as_it_was_live() {
    let server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "sesame");
    let mut alice =
        server.logged_in("alice", "alice", "sesame", &format!("{CAPS} draft/event-playback extended-join account-tag"));
    let mut live = alice.ask("JOIN #room");
    live.truncate(1);
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    live.extend(alice.ask("PRIVMSG #room :hello"));
    live.extend(alice.ask("@+draft/react=x;+reply=y TAGMSG #room"));
    live.extend(alice.ask("TOPIC #room :the topic"));
    bob.ask("JOIN #room");
    live.extend(alice.ask("MODE #room +v bob"));
    bob.ask("NICK robert");
    live.extend(alice.ask("KICK #room robert :out"));
    bob.ask("JOIN #room");
    bob.ask("PART #room :bye");
    bob.ask("JOIN #room");
    bob.send("QUIT :gone");
    bob.closed();
    live.extend(alice.sync());
    let lines = page(&mut alice, "LATEST #room * 100");
    let expected =
        ["JOIN", "PRIVMSG", "TAGMSG", "TOPIC", "JOIN", "MODE", "NICK", "KICK", "JOIN", "PART", "JOIN", "QUIT"];
    assert_eq!(commands(&live), expected, "{live:#?}");
    assert_eq!(commands(&lines), expected, "{lines:#?}");
    for (line, live) in lines.iter().zip(&live) {
        line.msgid();
        assert_eq!(line.body(), live.body());
        assert_eq!(line.time(), live.time(), "{line:?} was {live:?}");
        assert_eq!(line.tag("account"), live.tag("account"), "{line:?} was {live:?}");
    }
    let tagmsg = lines.iter().find(|line| line.command() == "TAGMSG").unwrap();
    assert_eq!((tagmsg.tag("+draft/react"), tagmsg.tag("+reply")), (Some("x"), Some("y")));
}

#[test]
fn typing_is_not_kept() {
    let server = Server::start();
    let mut alice = server.user_with("alice", &format!("{CAPS} draft/event-playback"));
    alice.join("#room");
    alice.ask("@+typing=active TAGMSG #room");
    alice.ask("PRIVMSG #room :hello");
    let lines = page(&mut alice, "LATEST #room * 100");
    assert!(all(&lines, "TAGMSG").is_empty(), "{lines:#?}");
}

#[test]
fn client_tags_and_account_come_back() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", &format!("{CAPS} account-tag"));
    alice.join("#room");
    let echo = alice.one(r"@+reply=abc;+x=a\:b PRIVMSG #room :hello");
    let lines = page(&mut alice, "LATEST #room * 10");
    let mut expected: Vec<&str> = echo.tags();
    let mut got: Vec<&str> = lines[0].tags().into_iter().filter(|tag| !tag.starts_with("batch=")).collect();
    expected.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, expected);
}

#[test]
fn c42_history_and_ids_survive_a_restart_and_sigkill() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#room");
    let mut echoes = talk(&mut alice, "#room", 20);
    for crash in [true, false, true] {
        // Whatever was echoed is kept, however the server ends.
        if crash {
            server.crash_and_restart();
        } else {
            server.restart();
        }
        alice = server.logged_in("alice", "alice", "sesame", CAPS);
        alice.join("#room");
        echoes.push(alice.one(&format!("PRIVMSG #room :{}", echoes.len() + 1)));
        let lines = page(&mut alice, "LATEST #room * 100");
        let ids = |lines: &[Line]| -> Vec<(String, String, String)> {
            lines.iter().map(|line| (line.msgid().to_owned(), line.time().to_owned(), line.body().to_owned())).collect()
        };
        assert_eq!(ids(&lines), ids(&echoes));
        let mut unique: Vec<&str> = echoes.iter().map(Line::msgid).collect();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), echoes.len());
        let before = page(&mut alice, &format!("BEFORE #room msgid={} 100", echoes[10].msgid()));
        assert_eq!(numbers(&before), range(1, 10));
    }
}

#[test]
fn seen_means_stored_for_everyone_who_saw_it() {
    let mut server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let mut bob = server.user("bob");
    alice.join("#room");
    bob.join("#room");
    for number in 1..=200 {
        alice.send(&format!("PRIVMSG #room :{number}"));
    }
    // Bob has seen the hundredth: kill the server in the middle of the rest.
    while bob.line().params().last() != Some(&"100") {}
    server.crash_and_restart();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let lines = page(&mut alice, "LATEST #room * 1000");
    let kept = numbers(&lines);
    assert!(kept.len() >= 100, "{kept:?}");
    assert_eq!(kept, range(1, kept.len()));
}

#[test]
fn history_that_is_turned_off_is_not_announced() {
    let server = Server::with(&[("ROOST__HISTORY__ENABLED", "false")]);
    let mut client = server.connect();
    let lines = client.ask("CAP LS 302");
    assert!(lines.iter().all(|line| !line.raw.contains("chathistory")), "{lines:#?}");
}

const CONTEXT: &str = "draft/chathistory batch message-tags server-time echo-message draft/event-playback \
    draft/message-edit draft/message-redaction";

/// The commands of a page, those that are context in brackets.
fn shape(lines: &[Line]) -> String {
    let word = |line: &Line| match line.tag("draft/chathistory-context") {
        Some(_) => format!("[{}]", line.command()),
        None => line.command().to_owned(),
    };
    lines.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_about_a_message_follows_it_tagged_and_uncounted() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CONTEXT);
    let mut bob = server.user_with("bob", CONTEXT);
    for client in [&mut alice, &mut bob] {
        client.join("#room");
    }
    alice.sync();
    let said = talk(&mut alice, "#room", 4);
    let (second, third) = (said[1].msgid(), said[2].msgid());
    bob.sync();
    let react = |client: &mut Client, what: &str, msgid: &str| {
        client.one(&format!("@+draft/{what};+reply={msgid} TAGMSG #room"))
    };
    let first_reaction = react(&mut bob, "react=yes", second);
    react(&mut bob, "unreact=yes", second);
    alice.sync();
    react(&mut alice, "react=no", second);
    // One who takes a reaction back takes it out of here, too.
    let undone = react(&mut alice, "react=oops", second);
    alice.one(&format!("REDACT #room {}", undone.msgid()));
    for text in ["two", "TWO"] {
        alice.one(&format!("EDIT #room {second} :{text}"));
    }
    // What is about something else, or says so of a message elsewhere, is not about it.
    alice.ask("JOIN #other");
    alice.ask(&format!("@+draft/react=x;+reply={second} TAGMSG #other"));
    alice.ask(&format!("@+draft/persist;+reply={second} TAGMSG #room"));
    alice.ask(&format!("@+draft/react=x;+reply={} TAGMSG #room", "z".repeat(20)));

    let around = format!("AROUND #room msgid={second} 1");
    let lines = page(&mut alice, &around);
    assert_eq!(shape(&lines), "PRIVMSG [TAGMSG] [TAGMSG] [TAGMSG] [EDIT]", "{lines:#?}");
    assert_eq!(lines[1].msgid(), first_reaction.msgid());
    assert_eq!(lines[1].time(), first_reaction.time());
    assert_eq!((lines[1].tag("+draft/react"), lines[1].tag("+reply")), (Some("yes"), Some(second)));
    assert_eq!(lines[2].tag("+draft/unreact"), Some("yes"));
    assert_eq!(lines[3].tag("+draft/react"), Some("no"));
    assert_eq!((lines[4].tag("draft/target-msgid"), lines[4].tag("draft/edit-text")), (Some(second), Some("TWO")));
    // The limit is one of messages alone, and what is about a message is beside it whatever comes next.
    let lines = page(&mut alice, &format!("BETWEEN #room msgid={} msgid={} 2", said[0].msgid(), said[3].msgid()));
    assert_eq!(shape(&lines), "PRIVMSG [TAGMSG] [TAGMSG] [TAGMSG] [EDIT] PRIVMSG", "{lines:#?}");
    // Nothing stands twice in a page: what is there by itself is not there as context.
    let all_of_it = page(&mut alice, "LATEST #room * 100");
    assert!(!shape(&all_of_it).contains('['), "{all_of_it:#?}");
    let tail = page(&mut alice, &format!("AFTER #room msgid={} 5", said[0].msgid()));
    assert_eq!(shape(&tail), "PRIVMSG [TAGMSG] [EDIT] PRIVMSG PRIVMSG TAGMSG TAGMSG", "{tail:#?}");
    let mut ids: Vec<&str> = tail.iter().map(Line::msgid).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), tail.len());
    // Paging by what is no context neither loses nor repeats a message.
    let next = page(&mut alice, &format!("AFTER #room msgid={third} 100"));
    assert_eq!(next.len(), all_of_it.len() - all_of_it.iter().position(|line| line.msgid() == third).unwrap() - 1);

    // Who may not get a TAGMSG in history gets none as context, and an edit only who knows edits.
    for (nick, caps, expected) in [
        ("plain", CAPS.to_owned(), "PRIVMSG"),
        ("edits", format!("{CAPS} draft/message-edit"), "PRIVMSG [EDIT]"),
        ("events", format!("{CAPS} draft/event-playback"), "PRIVMSG [TAGMSG] [TAGMSG] [TAGMSG]"),
        ("untagged", "draft/chathistory batch draft/event-playback draft/message-edit".to_owned(), "PRIVMSG"),
        ("batchless", CONTEXT.replace("batch ", ""), "PRIVMSG"),
    ] {
        let mut reader = server.user_with(nick, &caps);
        reader.join("#room");
        reader.sync();
        let lines: Vec<Line> = reader.ask(&format!("CHATHISTORY {around}"));
        let lines: Vec<Line> = lines.into_iter().filter(|line| line.command() != "BATCH").collect();
        assert_eq!(shape(&lines), expected, "{nick}: {lines:#?}");
    }
    // SEARCH answers with PRIVMSG and NOTICE alone.
    alice.request("draft/search");
    let found = alice.ask("SEARCH in=#room;text=TWO");
    assert_eq!(shape(&found), "BATCH PRIVMSG BATCH", "{found:#?}");

    // Of a message that was taken back nothing is left to be about.
    alice.one(&format!("REDACT #room {second}"));
    let lines = page(&mut alice, &format!("BETWEEN #room msgid={} msgid={} 9", said[0].msgid(), said[3].msgid()));
    assert_eq!(shape(&lines), "PRIVMSG", "{lines:#?}");
}

#[test]
fn what_a_reader_is_not_shown_takes_no_place_on_its_page() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CONTEXT);
    alice.join("#room");
    let mut readers = [
        server.user_with("tagged", &format!("{CAPS} draft/event-playback")),
        server.user_with("untagged", "draft/chathistory batch draft/event-playback"),
    ];
    for reader in &mut readers {
        reader.join("#room");
    }
    alice.sync();
    let said = talk(&mut alice, "#room", 4);
    let first = said[0].msgid();
    for number in 0..6 {
        alice.one(&format!("EDIT #room {first} :edit {number}"));
    }
    for reader in &mut readers {
        reader.sync();
        let lines = page(reader, "LATEST #room * 4");
        assert_eq!(shape(&lines), ["PRIVMSG"; 4].join(" "), "{lines:#?}");
    }
    alice.one(&format!("@+draft/react=yes;+reply={first} TAGMSG #room"));
    for (reader, expected) in
        readers.iter_mut().zip(["PRIVMSG PRIVMSG PRIVMSG TAGMSG", "PRIVMSG PRIVMSG PRIVMSG PRIVMSG"])
    {
        reader.sync();
        let lines = page(reader, "LATEST #room * 4");
        assert_eq!(shape(&lines), expected, "{lines:#?}");
    }
}

#[test]
fn what_is_about_the_last_message_of_a_page_that_goes_on_comes_on_the_next() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CONTEXT);
    alice.join("#room");
    let said = talk(&mut alice, "#room", 4);
    let reaction = alice.one(&format!("@+draft/react=yes;+reply={} TAGMSG #room", said[2].msgid()));
    let after = |alice: &mut Client, line: &Line, limit: u32| {
        page(alice, &format!("AFTER #room timestamp={} {limit}", line.time()))
    };
    // A client asks for what follows by the moment of the last line, whatever that is.
    let first = after(&mut alice, &said[0], 2);
    assert_eq!(shape(&first), "PRIVMSG PRIVMSG", "{first:#?}");
    let rest = after(&mut alice, &first[1], 9);
    assert_eq!(shape(&rest), "PRIVMSG TAGMSG", "{rest:#?}");
    assert_eq!(rest[1].msgid(), reaction.msgid());
    // So it is for who is shown no events, and edits only beside what they are about.
    alice.one(&format!("EDIT #room {} :edited", said[1].msgid()));
    let mut reader = server.user_with("edits", &CONTEXT.replace("draft/event-playback", ""));
    reader.join("#room");
    reader.sync();
    let mut pages = vec![page(&mut reader, "AFTER #room timestamp=2020-01-01T00:00:00.000Z 2")];
    while let Some(last) = pages.last().and_then(|page| page.last()) {
        let next = format!("AFTER #room msgid={} 2", last.msgid());
        pages.push(page(&mut reader, &next));
    }
    let texts: Vec<&str> = pages.iter().flat_map(|page| texts(page)).collect();
    let mut expected: Vec<&str> = said.iter().map(|line| line.params()[1]).collect();
    expected[1] = "edited";
    assert_eq!(texts, expected);
    // Who is shown no events by themselves has it there.
    let mut reader = server.user_with("reader", &CONTEXT.replace("draft/message-edit", "draft/message-redaction"));
    reader.join("#room");
    reader.sync();
    let around = page(&mut reader, &format!("AROUND #room msgid={} 1", said[2].msgid()));
    assert_eq!(shape(&around), "PRIVMSG [TAGMSG]", "{around:#?}");
}

#[test]
fn a_message_of_several_lines_and_a_private_one_have_their_reactions_too_after_a_crash() {
    let mut server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let caps = format!("{CONTEXT} draft/multiline");
    let mut alice = server.logged_in("alice", "alice", "sesame", &caps);
    let mut bob = server.logged_in("bob", "bob", "sesame", &caps);
    let batch = ["BATCH +1 draft/multiline bob", "@batch=1 PRIVMSG bob :one", "@batch=1 PRIVMSG bob :two", "BATCH -1"];
    alice.send_all(&batch);
    let lines = alice.sync();
    let parent = find(&lines, "BATCH").msgid().to_owned();
    bob.sync();
    alice.one("PRIVMSG bob :more");
    bob.sync();
    bob.one(&format!("@+draft/react=ok;+draft/reply={parent} TAGMSG alice"));
    server.crash_and_restart();
    for (nick, peer) in [("alice", "bob"), ("bob", "alice")] {
        let mut reader = server.logged_in(nick, nick, "sesame", &caps);
        let lines = page_of(&mut reader, &format!("CHATHISTORY AROUND {peer} msgid={parent} 1"));
        assert_eq!(shape(&lines), "BATCH PRIVMSG PRIVMSG BATCH [TAGMSG]", "{lines:#?}");
        lines[4].must_fit("*:bob!* TAGMSG alice");
        assert_eq!(lines[4].tag("batch"), lines[0].tag("batch"), "after the inner batch, in the outer one");
    }
    // Somebody else's conversation with one of them is another one.
    let mut carol = server.user_with("carol", &caps);
    carol.ask(&format!("@+draft/react=no;+reply={parent} TAGMSG alice"));
    let mut alice = server.logged_in("alice", "alice", "sesame", &caps);
    let lines = page_of(&mut alice, &format!("CHATHISTORY AROUND bob msgid={parent} 1"));
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

/// What is in the batch that answers a question.
fn page_of(client: &mut Client, question: &str) -> Vec<Line> {
    let mut lines = client.ask(question);
    lines.pop();
    lines.remove(0);
    lines
}

#[test]
fn a_guest_who_has_the_name_of_an_account_that_is_deleted_reads_none_of_its_talks() {
    let server = opers::server();
    server.account("bob", "sesame");
    let mut guest = server.user_with("carol", CAPS);
    let mut boss = opers::root(&server, "boss");
    boss.told("NS SAREGISTER carol sesame");
    let mut bob = server.logged_in("bob", "bob", "sesame", "echo-message");
    let mut carol = server.logged_in("carol_", "carol", "sesame", "echo-message");
    carol.ask("PRIVMSG bob :my secret");
    bob.ask("PRIVMSG carol_ :your secret");
    let ask = |client: &mut Client| texts(&client.ask("CHATHISTORY LATEST bob * 10")).join(" ");
    assert_eq!(ask(&mut guest), "");
    let code = boss.told("NS SADROP carol").split_whitespace().last().unwrap().to_owned();
    assert!(boss.told(&format!("NS SADROP carol {code}")).contains("deleted"));
    assert_eq!(ask(&mut guest), "");
    // What is said to the guest from now on is theirs.
    bob.ask("PRIVMSG carol :hello");
    assert_eq!(texts(&guest.sync()), ["hello"]);
    assert_eq!(ask(&mut guest), "hello");
}

#[test]
fn what_a_guest_said_in_private_is_there_under_its_name_once_it_has_registered_also_after_a_crash() {
    let mut server = Server::start();
    server.account("bob", "sesame");
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    let mut guest = server.user_with("gast", CAPS);
    guest.ask("PRIVMSG bob :call me");
    guest.ask("NS REGISTER sesame");
    guest.ask("PRIVMSG bob :again");
    bob.sync();
    let read = |client: &mut Client, peer: &str| {
        let lines = client.ask(&format!("CHATHISTORY LATEST {peer} * 10"));
        texts(&lines).join(" ")
    };
    for crashed in [false, true] {
        if crashed {
            server.crash_and_restart();
            bob = server.logged_in("bob", "bob", "sesame", CAPS);
            guest = server.logged_in("gast", "gast", "sesame", CAPS);
        }
        assert_eq!((&*read(&mut bob, "gast"), &*read(&mut guest, "bob")), ("call me again", "call me again"));
        let times = "timestamp=1970-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z";
        assert_eq!(all(&bob.ask(&format!("CHATHISTORY TARGETS {times} 10")), "CHATHISTORY").len(), 1);
    }
}
