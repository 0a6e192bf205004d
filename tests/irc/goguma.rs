//! A phone that was away: a client that speaks as Goguma does, all at once and without waiting, gets all that it
//! missed, once, and is never slowed down.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::client::{Client, Line, all, commands, is_time, plain};
use crate::server::Server;

/// What it asks for, each by a line of its own, before it knows what there is. The last is offered to nobody here.
const CAPS: &str = "account-notify away-notify batch chghost echo-message extended-monitor invite-notify \
    labeled-response message-tags multi-prefix sasl server-time setname draft/chathistory draft/pre-away \
    draft/read-marker draft/account-registration soju.im/no-implicit-names soju.im/search example.org/unknown";

const CHANNELS: usize = 60;
const PEOPLE: usize = 20;
/// Messages in each channel, and in each conversation.
const SAID: [usize; 2] = [25, 6];

fn channel(number: usize) -> String {
    format!("#a-channel-with-a-long-name-{number:02}")
}

fn person(number: usize) -> String {
    format!("person{number:02}")
}

/// Connects, and is away for no stated reason, for it comes in the background: one write, no waiting.
fn connect(server: &Server) -> (Client, Vec<Line>) {
    let mut phone = server.connect();
    let mut lines = vec!["CAP LS 302".to_owned(), "NICK gail".to_owned(), "USER gail 0 * :Gail".to_owned()];
    lines.extend(CAPS.split_ascii_whitespace().map(|cap| format!("CAP REQ {cap}")));
    lines.push("AUTHENTICATE PLAIN".to_owned());
    lines.push(format!("AUTHENTICATE {}", plain("gail", "sesame")));
    lines.extend(["AWAY *".to_owned(), "CAP END".to_owned()]);
    phone.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = phone.welcome("gail");
    (phone, lines)
}

/// The channels that it knows, in one line of whatever length, and whom it talks to.
fn come_back(phone: &mut Client, label: &mut usize) -> Vec<Line> {
    let names: Vec<String> = (0..CHANNELS).map(channel).collect();
    let mut lines = vec![labelled(label, &format!("JOIN {}", names.join(",")))];
    assert!(lines[0].len() > 1024, "it is longer than any other client's");
    let people: Vec<String> = (0..PEOPLE).map(person).collect();
    lines.push(labelled(label, &format!("MONITOR + {}", people.join(","))));
    lines.extend(people.iter().map(|nick| labelled(label, &format!("WHO {nick} %tcuhnf,1"))));
    phone.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    phone.sync()
}

fn labelled(label: &mut usize, line: &str) -> String {
    *label += 1;
    format!("@label={label} {line}")
}

/// What was said to each target by the batches among these lines: times and texts.
fn history(lines: &[Line]) -> BTreeMap<String, Vec<(String, String)>> {
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    let mut said: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in lines {
        let params = line.params();
        match line.command() {
            "BATCH" if params[0].starts_with('+') && params[1] == "chathistory" => {
                assert!(open.insert(&params[0][1..], params[2]).is_none(), "{line:?}");
                said.entry(params[2].to_owned()).or_default();
            }
            "BATCH" if params[0].starts_with('-') => drop(open.remove(&params[0][1..])),
            "PRIVMSG" => {
                let target = open[line.tag("batch").expect("history comes in batches")];
                let told = said.get_mut(target).unwrap();
                told.push((line.time().to_owned(), params[1].to_owned()));
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "each batch ends: {open:?}");
    said
}

#[test]
fn a_phone_that_was_away_gets_all_that_it_missed_at_once_and_once() {
    let mut server = Server::start();
    server.account("gail", "sesame");
    let mut label = 0;
    let (mut phone, _) = connect(&server);
    phone.told("PRIVMSG NickServ :SET ALWAYS-ON ON");
    let lines = come_back(&mut phone, &mut label);
    assert_eq!(all(&lines, "JOIN").len(), CHANNELS);
    // It knows when it was last told something.
    let last = phone.one("PING now").time().to_owned();
    assert!(is_time(&last));
    drop(phone);

    // Everybody talks.
    let mut people: Vec<Client> = (0..PEOPLE).map(|number| server.user(&person(number))).collect();
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut say = |speaker: &mut Client, target: &str, key: String, count: usize| {
        for number in 0..count {
            let text = format!("{key} {number}");
            speaker.send(&format!("PRIVMSG {target} :{text}"));
            expected.entry(key.clone()).or_default().push(text);
        }
        speaker.sync();
    };
    for number in 0..CHANNELS {
        let speaker = &mut people[number % PEOPLE];
        let name = channel(number);
        speaker.join(&name);
        say(speaker, &name, name.clone(), SAID[0]);
    }
    for (number, speaker) in people.iter_mut().enumerate() {
        say(speaker, "gail", person(number), SAID[1]);
    }

    // The server is started again meanwhile, with flood control as operators have it.
    drop(people);
    server.set("ROOST__FLOOD__ENABLED", "true");
    server.restart();
    let mut others: Vec<Client> = (0..PEOPLE).map(|number| server.user(&person(number))).collect();

    let begun = Instant::now();
    let (mut phone, lines) = connect(&server);
    // What is not known is refused by itself, and the rest is granted.
    let refused: Vec<&Line> =
        lines.iter().filter(|line| line.command() == "CAP" && line.params()[1] == "NAK").collect();
    assert!(matches!(&refused[..], [one] if one.params()[2].trim() == "example.org/unknown"), "{refused:#?}");
    let lines = come_back(&mut phone, &mut label);
    let joined: Vec<&str> = lines.iter().filter(|line| line.command() == "JOIN").map(|line| line.params()[0]).collect();
    assert!((0..CHANNELS).all(|number| joined.contains(&&*channel(number))), "{joined:?}");
    // Where it has read to comes with each channel, and nothing that it would take for a failure.
    assert_eq!(all(&lines, "MARKREAD").len(), CHANNELS);
    let failures = ["403", "405", "471", "473", "474", "475", "476", "FAIL", "ERROR"];
    assert!(!commands(&lines).iter().any(|command| failures.contains(command)), "{lines:#?}");
    assert!(all(&lines, "353").is_empty() && all(&lines, "366").is_empty(), "{lines:#?}");
    assert_eq!(all(&lines, "354").len(), PEOPLE);
    assert_eq!(all(&lines, "315").len(), PEOPLE);

    let until = "2100-01-01T00:00:00.000Z";
    let asked = labelled(&mut label, &format!("CHATHISTORY TARGETS timestamp={last} timestamp={until} 100"));
    let targets: Vec<String> = phone
        .ask(&asked)
        .iter()
        .filter(|line| line.command() == "CHATHISTORY")
        .map(|line| {
            assert!(is_time(line.params()[2]), "{line:?}");
            line.params()[1].to_owned()
        })
        .collect();
    assert_eq!(targets.len(), CHANNELS + PEOPLE, "{targets:?}");
    // One question for each of them, all at once, and where it has read to in conversations.
    let mut questions: Vec<String> = Vec::new();
    for target in &targets {
        let question = format!("CHATHISTORY BETWEEN {target} timestamp={last} timestamp={until} 1000");
        questions.push(labelled(&mut label, &question));
        if !target.starts_with('#') {
            questions.push(labelled(&mut label, &format!("MARKREAD {target}")));
        }
    }
    phone.send_all(&questions.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = phone.sync();
    let took = begun.elapsed();

    let told = history(&lines);
    assert_eq!(told.len(), expected.len());
    for (target, texts) in &expected {
        let said = &told[target];
        assert!(said.iter().map(|(_, text)| text).eq(texts), "{target}: {said:#?}");
        // Times rise by a millisecond at least, so that paging by them neither skips nor repeats.
        assert!(said.is_sorted_by(|(one, _), (other, _)| one < other), "{target}: {said:#?}");
    }
    // Each question has one answer: no label is left out, none comes twice.
    let mut labels: Vec<usize> = lines.iter().filter_map(|line| line.tag("label")?.parse().ok()).collect();
    labels.sort_unstable();
    assert!(labels.iter().copied().eq(label + 1 - questions.len()..=label), "{labels:?}");
    eprintln!(
        "{CHANNELS} channels and {PEOPLE} conversations, {} messages: in step after {} ms",
        told.values().map(Vec::len).sum::<usize>(),
        took.as_millis()
    );
    // Whoever came in the background is not back; once it says so, it is.
    let whois = others[0].ask("WHOIS gail");
    assert!(!all(&whois, "301").is_empty(), "{whois:#?}");
    phone.ask("AWAY");
    assert!(all(&others[0].ask("WHOIS gail"), "301").is_empty());
}
