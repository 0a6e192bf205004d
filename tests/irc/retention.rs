//! How long what was said is kept, and for whom: the server's settings, a channel's, a person's.

use std::time::Instant;

use crate::client::{Client, find, texts};
use crate::server::{PATIENCE, Server};

const CAPS: &str = "draft/chathistory batch message-tags server-time draft/event-playback";

fn garden(settings: &[(&str, &str)]) -> (Server, Client) {
    let mut all = vec![("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")];
    all.extend_from_slice(settings);
    let server = Server::with(&all);
    for name in ["alice", "bob", "carol"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.told("CS REGISTER #garden");
    (server, alice)
}

/// What the history of a target says to a client.
fn history(client: &mut Client, target: &str) -> Vec<String> {
    let lines = client.ask(&format!("CHATHISTORY LATEST {target} * 100"));
    let kept = lines.iter().filter(|line| line.command() == "PRIVMSG" && line.tag("batch").is_some());
    kept.map(|line| line.params().pop().unwrap().to_owned()).collect()
}

/// Asks for the history of a target until it is as expected.
fn comes_to(client: &mut Client, target: &str, expected: &[String]) {
    let began = Instant::now();
    loop {
        let said = history(client, target);
        if said == expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{said:?} and not {expected:?}");
    }
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|n| format!("m{n}")).collect()
}

#[test]
fn a_channel_that_keeps_less_has_the_rest_deleted_and_those_who_join_are_told() {
    let (mut server, mut alice) = garden(&[]);
    for text in numbered(1..=40) {
        alice.send(&format!("PRIVMSG #garden :{text}"));
    }
    assert_eq!(history(&mut alice, "#garden").len(), 40);
    for wrong in ["0", "30x", "-1", "30d,40d", "1,2", ""] {
        assert!(alice.told(&format!("CS SET #garden HISTORY-RETENTION {wrong}")).contains(' '), "{wrong}");
        assert!(alice.told("CS GET #garden HISTORY-RETENTION").contains("is DEFAULT"), "{wrong}");
    }
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(texts(&bob.join("#garden")).iter().all(|text| !text.contains("kept")));
    assert!(bob.told("CS SET #garden HISTORY-RETENTION 10").contains("no such rights"));
    let lines = alice.ask("CS SET #garden HISTORY-RETENTION 10");
    assert!(texts(&lines).concat().contains("HISTORY-RETENTION of #garden is 10 now"), "{lines:?}");
    let told = texts(&bob.sync()).concat();
    assert!(told.contains("alice changed") && told.contains("the newest 10"), "{told}");
    comes_to(&mut alice, "#garden", &numbered(31..=40));
    // Over a crash, the rest is nowhere, and the setting is there.
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    assert_eq!(history(&mut alice, "#garden"), numbered(31..=40));
    assert!(alice.told("CS GET #garden").contains("HISTORY-RETENTION of #garden is 10"));
    assert!(alice.told("CS INFO #garden").contains("the newest 10"));
    // Who joins is told, once for each connection; bots are not.
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    let notice = "[#garden] What is said here is kept only while among the newest 10 messages.";
    let joined = carol.join("#garden");
    assert_eq!(texts(&joined).iter().filter(|text| **text == notice).count(), 1, "{joined:?}");
    carol.ask("PART #garden");
    assert!(!texts(&carol.join("#garden")).contains(&notice));
    let mut bot = server.user("bot");
    bot.ask("MODE bot +B");
    assert!(!texts(&bot.join("#garden")).contains(&notice));
    // Another name of the channel takes the setting along.
    find(&alice.ask("RENAME #garden #park"), "PART");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    assert!(alice.told("CS GET #park HISTORY-RETENTION").contains("is 10"));
}

#[test]
fn no_channel_and_no_person_keeps_more_than_the_server() {
    let (_server, mut alice) = garden(&[("ROOST__HISTORY__KEEP_FOR", "30d"), ("ROOST__HISTORY__KEEP_MESSAGES", "100")]);
    assert!(alice.told("CS SET #garden HISTORY-RETENTION 31d").contains("longer than 30 days"));
    assert!(alice.told("NS SET HISTORY-RETENTION 101").contains("newest 100 messages at most"));
    assert!(alice.told("NS SET HISTORY-RETENTION 7d,50").contains("for 7 days, and only while among the newest 50"));
    assert!(alice.told("NS GET HISTORY-RETENTION").contains("7d,50"));
    assert!(texts(&alice.ask("CS SET #garden HISTORY-RETENTION 30d")).concat().contains("30d now"));
    let told = texts(&alice.ask("CS SET #garden HISTORY-RETENTION 90m")).concat();
    assert!(told.contains("1h30m now") && told.contains("for 1 hour 30 minutes"), "{told}");
    assert!(alice.told("CS SET #garden HISTORY-RETENTION 59s").contains("a minute or more"));
}

#[test]
fn of_a_private_conversation_the_less_of_the_two_is_kept_and_either_turns_it_off() {
    let (mut server, mut alice) = garden(&[]);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    for text in numbered(1..=20) {
        alice.send(&format!("PRIVMSG bob :{text}"));
    }
    alice.sync();
    bob.told("NS SET HISTORY-RETENTION 5");
    alice.told("NS SET HISTORY-RETENTION 15");
    comes_to(&mut alice, "bob", &numbered(16..=20));
    comes_to(&mut bob, "alice", &numbered(16..=20));
    assert!(bob.told("NS SET HISTORY OFF").contains("nothing of your private conversations is kept"));
    alice.ask("PRIVMSG bob :off the record");
    assert_eq!(texts(&bob.sync()).last(), Some(&"off the record"));
    assert_eq!(history(&mut alice, "bob"), numbered(16..=20));
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    assert!(bob.told("NS GET HISTORY").contains("OFF"));
    assert_eq!(history(&mut bob, "alice"), numbered(16..=20));
}

#[test]
fn in_a_channel_without_history_nothing_is_kept_or_shown_and_what_was_kept_comes_back() {
    let (mut server, mut alice) = garden(&[]);
    alice.ask("PRIVMSG #garden :before");
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    bob.join("#garden");
    assert!(texts(&alice.ask("CS SET #garden HISTORY OFF")).concat().contains("Nothing that is said here is kept"));
    bob.sync();
    alice.ask("PRIVMSG #garden :meanwhile");
    assert_eq!(texts(&bob.sync()), ["meanwhile"]);
    assert_eq!(history(&mut bob, "#garden"), Vec::<String>::new());
    let targets = "CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2099-01-01T00:00:00.000Z 50";
    assert!(!bob.ask(targets).iter().any(|line| line.body().contains("#garden")));
    assert!(bob.told("CS INFO #garden").contains("Nothing that is said here is kept"));
    server.crash_and_restart();
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    assert!(texts(&carol.join("#garden")).contains(&"[#garden] Nothing that is said here is kept."));
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.ask("CS SET #garden HISTORY ON");
    assert_eq!(history(&mut alice, "#garden"), ["before"]);
    // All of it goes when its founder says so.
    assert!(texts(&alice.confirmed("CS CLEAR #garden HISTORY")).concat().contains("history of #garden"));
    assert_eq!(history(&mut alice, "#garden"), Vec::<String>::new());
    alice.ask("PRIVMSG #garden :after");
    assert_eq!(history(&mut alice, "#garden"), ["after"]);
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    assert_eq!(history(&mut alice, "#garden"), ["after"]);
}

#[test]
fn who_joins_reads_from_when_the_channel_says() {
    let (mut server, mut alice) = garden(&[]);
    alice.ask("PRIVMSG #garden :one");
    alice.ask("CS SET #garden HISTORY-CUTOFF JOIN");
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    bob.told("NS SET ALWAYS-ON ON");
    assert!(texts(&bob.join("#garden")).iter().any(|text| text.contains("reads it from then on")));
    assert_eq!(history(&mut bob, "#garden"), Vec::<String>::new());
    alice.ask("PRIVMSG #garden :two");
    assert_eq!(history(&mut bob, "#garden"), ["two"]);
    assert_eq!(history(&mut alice, "#garden"), ["one", "two"]);
    // Who is always on has not left: over a crash it reads as much as before.
    drop(bob);
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    assert_eq!(history(&mut bob, "#garden"), ["two"]);
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.ask("CS SET #garden HISTORY-CUTOFF REGISTRATION");
    assert_eq!(history(&mut bob, "#garden"), ["one", "two"]);
    server.account("dora", "sesame");
    let mut dora = server.logged_in("dora", "dora", "sesame", CAPS);
    dora.join("#garden");
    assert_eq!(history(&mut dora, "#garden"), Vec::<String>::new());
    alice.ask("CS AMODE #garden +h dora");
    assert_eq!(history(&mut dora, "#garden"), ["one", "two"]);
}

#[test]
fn events_that_a_channel_does_not_keep_are_in_no_history() {
    let (server, mut alice) = garden(&[]);
    assert!(alice.told("CS SET #garden HISTORY-EVENTS join,sing").contains("is no value"));
    alice.ask("CS SET #garden HISTORY-EVENTS topic");
    alice.ask("TOPIC #garden :roses");
    alice.ask("MODE #garden +m");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    bob.ask("PART #garden");
    let lines = alice.ask("CHATHISTORY LATEST #garden * 100");
    let batch: Vec<_> = lines.iter().filter(|line| line.tag("batch").is_some()).map(|line| line.command()).collect();
    assert!(batch.contains(&"TOPIC") && !batch.contains(&"PART"), "{batch:?}");
    assert_eq!(batch.iter().filter(|command| **command == "MODE").count(), 0, "{batch:?}");
}
