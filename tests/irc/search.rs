//! SEARCH (<https://github.com/ircv3/ircv3-specifications/pull/496>): words among all that one may read.

use crate::client::{Client, Line, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/search batch message-tags server-time echo-message labeled-response draft/message-redaction";

/// Asks, checks the batch, and returns the texts in it.
#[track_caller]
fn search(client: &mut Client, attributes: &str) -> Vec<String> {
    let lines = client.ask(&format!("SEARCH {attributes}"));
    let first = lines.first().unwrap_or_else(|| panic!("no answer to SEARCH {attributes}"));
    first.must_fit(":roost.local BATCH +* search");
    let reference = &first.params()[0][1..];
    let last = lines.last().unwrap();
    assert_eq!(last.body(), format!(":roost.local BATCH -{reference}"));
    let inner = &lines[1..lines.len() - 1];
    assert!(inner.iter().all(|line| line.tag("batch") == Some(reference)), "{lines:#?}");
    texts(inner).into_iter().map(str::to_owned).collect()
}

fn say(client: &mut Client, target: &str, text: &str) -> Line {
    find(&client.ask(&format!("PRIVMSG {target} :{text}")), "PRIVMSG").clone()
}

#[test]
fn words_are_found_whatever_their_case_accents_and_order() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    for client in [&mut alice, &mut bob] {
        client.join("#room");
    }
    say(&mut alice, "#room", "The Café opens at nine");
    say(&mut bob, "#room", "nine cafes, no coffee");
    bob.ask("NOTICE #room :cafe: NINE o'clock");
    bob.ask("JOIN #other");
    say(&mut bob, "#other", "the cafe at nine, elsewhere");
    alice.sync();
    assert_eq!(search(&mut alice, r"in=#ROOM;text=CAFE\snine"), ["The Café opens at nine", "cafe: NINE o'clock"]);
    assert_eq!(search(&mut alice, r"in=#room;text=nine\scafe;from=BOB"), ["cafe: NINE o'clock"]);
    assert_eq!(search(&mut alice, "from=alice"), ["The Café opens at nine"]);
    assert_eq!(search(&mut alice, ":text=opens the"), ["The Café opens at nine"]);
    // Half a word is none, and what a database would take for syntax is words.
    assert!(search(&mut alice, r"in=#room;text=caf").is_empty());
    assert!(search(&mut alice, r"in=#room;text=cafe*\sOR\snine").is_empty());
    assert!(search(&mut alice, "in=#room;text=\"cafe").len() == 2);
    // Without a channel: all that one may read, and nothing else.
    assert_eq!(search(&mut alice, "text=cafe").len(), 2);
    assert_eq!(search(&mut bob, "text=cafe").len(), 3);
}

#[test]
fn lines_are_as_they_were_and_the_newest_unless_a_beginning_is_given() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let said: Vec<Line> = (1..=5).map(|n| say(&mut alice, "#room", &format!("word {n}"))).collect();
    let lines = alice.ask("SEARCH in=#room;text=word;limit=2");
    for (line, echo) in lines[1..3].iter().zip(&said[3..]) {
        assert_eq!((line.msgid(), line.time(), line.body()), (echo.msgid(), echo.time(), echo.body()));
    }
    let time = |n: usize| said[n - 1].time();
    assert_eq!(search(&mut alice, &format!("text=word;limit=2;after={}", time(2))), ["word 2", "word 3"]);
    assert_eq!(search(&mut alice, &format!("text=word;limit=2;before={}", time(4))), ["word 3", "word 4"]);
    assert_eq!(
        search(&mut alice, &format!("in=#room;after={};before={}", time(2), time(4))),
        ["word 2", "word 3", "word 4"]
    );
    assert!(search(&mut alice, "text=word;before=2001-01-01T00:00:00.000Z").is_empty());
    assert!(search(&mut alice, "text=word;after=2100-01-01T00:00:00.000Z").is_empty());
}

#[test]
fn nobody_finds_what_chathistory_would_not_let_them_read() {
    let server = Server::start();
    for name in ["alice", "bob", "eve"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    let mut eve = server.logged_in("eve", "eve", "sesame", CAPS);
    alice.join("#room");
    say(&mut alice, "#room", "secret plans");
    say(&mut alice, "bob", "secret between us");
    bob.sync();
    assert_eq!(search(&mut alice, "text=secret"), ["secret plans", "secret between us"]);
    assert_eq!(search(&mut bob, "text=secret"), ["secret between us"]);
    assert_eq!(search(&mut bob, "in=alice;text=secret"), ["secret between us"]);
    assert!(search(&mut eve, "text=secret").is_empty());
    assert!(search(&mut eve, "in=alice;text=secret").is_empty());
    for target in ["#room", "#nowhere"] {
        eve.one(&format!("SEARCH in={target};text=secret")).must_fit("*FAIL SEARCH INVALID_PARAMS in :*");
    }
    // Who has left reads no more; who comes does.
    alice.ask("PART #room");
    assert_eq!(search(&mut alice, "text=secret"), ["secret between us"]);
    // A guest has the channels that it is in.
    let mut guest = server.user_with("guest", CAPS);
    assert!(search(&mut guest, "text=secret").is_empty());
    say(&mut guest, "bob", "a guest's secret");
    assert_eq!(search(&mut guest, "in=bob;text=secret"), ["a guest's secret"]);
    guest.send("QUIT");
    guest.closed();
    let mut second = server.user_with("guest", CAPS);
    assert!(search(&mut second, "in=bob;text=secret").is_empty(), "said by an earlier guest of that nick");
}

#[test]
fn what_was_taken_back_is_not_found() {
    let mut server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let said = say(&mut alice, "#room", "password hunter2");
    say(&mut alice, "#room", "password policy");
    alice.ask(&format!("REDACT #room {}", said.msgid()));
    assert_eq!(search(&mut alice, "in=#room;text=password"), ["password policy"]);
    assert!(search(&mut alice, "in=#room;text=hunter2").is_empty());
    server.crash_and_restart();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    assert_eq!(search(&mut alice, "in=#room;text=password"), ["password policy"]);
}

#[test]
fn what_the_index_has_and_what_it_lacks_yet_are_found_alike() {
    let mut server = Server::with(&[("ROOST__FLOOD__ENABLED", "false")]);
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    let lines: Vec<String> = (1..=1500).map(|n| format!("PRIVMSG #room :every n{n} third{}", n % 3)).collect();
    for lines in lines.chunks(100) {
        alice.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        alice.sync();
    }
    for _ in 0..2 {
        for n in [1, 511, 512, 513, 1023, 1024, 1025, 1500] {
            assert_eq!(search(&mut alice, &format!("text=n{n}")), [format!("every n{n} third{}", n % 3)]);
        }
        let third = search(&mut alice, r"in=#room;text=third0\severy;limit=1000");
        assert_eq!(third.len(), 500);
        assert_eq!(third.first().map(String::as_str), Some("every n3 third0"));
        assert_eq!(search(&mut alice, "in=#room;text=every").len(), 100, "where no limit is given");
        server.crash_and_restart();
        alice = server.user_with("alice", CAPS);
        alice.join("#room");
    }
}

#[test]
fn labels_batches_and_names_of_the_capability() {
    let server = Server::start();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    say(&mut alice, "#room", "needle");
    let lines = alice.ask("@label=s SEARCH text=needle");
    lines[0].must_fit("@label=s :roost.local BATCH +* search");
    assert_eq!((lines.len(), lines[1].tag("label"), lines[2].tag("label")), (3, None, None));
    alice.one("@label=f SEARCH limit=x").must_fit("@label=f;* :roost.local FAIL SEARCH INVALID_PARAMS limit :*\"x\"*");
    let mut soju = server.user_with("soju", "soju.im/search batch message-tags");
    soju.join("#room");
    let lines = soju.ask("SEARCH text=needle");
    lines[0].must_fit(":roost.local BATCH +* soju.im/search");
    assert_eq!(texts(&lines), ["needle"]);
    // Without batches there are the lines alone.
    let mut plain = server.user_with("plain", "draft/search");
    plain.join("#room");
    plain.one("SEARCH text=needle").must_fit(":alice!* PRIVMSG #room *needle");
    let mut none = server.user("none");
    none.one("SEARCH text=needle").must_fit("*421 none SEARCH :*");
}

#[test]
fn what_cannot_be_looked_for_is_said() {
    let server = Server::start();
    let mut alice = server.user_with("alice", &format!("{CAPS} standard-replies"));
    for (attributes, attribute, quoted) in [
        ("text=!?", "text", "\"!?\""),
        ("limit=0;text=a", "limit", "\"0\""),
        ("after=now", "after", "\"now\""),
        ("colour=red", "colour", "not known"),
        (r"text=a\sb\sc\sd\se\sf\sg\sh\si\sj\sk\sl\sm\sn\so\sp\sq", "text", "17 words"),
    ] {
        let line = alice.one(&format!("SEARCH {attributes}"));
        line.must_fit(&format!(":roost.local FAIL SEARCH INVALID_PARAMS {attribute} :*{quoted}*"));
    }
    alice.one("SEARCH").must_fit("*461 alice SEARCH :*");
    let server = Server::with(&[("ROOST__HISTORY__ENABLED", "false")]);
    let mut bob = server.connect();
    bob.ask("CAP LS 302").iter().for_each(|line| assert!(!line.raw.contains("search"), "{line:?}"));
}
