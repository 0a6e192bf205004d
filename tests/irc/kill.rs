//! Nothing is lost: the server is killed at random moments under load, started again, and what its clients
//! saw is compared with what history holds. `ROOST_KILLS=200` for the long run; `ROOST_KILL_SEED` for another.

use std::collections::HashMap;
use std::env;

use crate::client::{Client, Line};
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message";
const CHANNEL: &str = "#room";
/// Lines that each of the two talkers sends in a round, most of which the kill cuts off.
const LINES: usize = 400;

/// A message as it was seen: id, time, and the rest of the line.
type Seen = (String, String, String);

#[test]
fn whatever_anyone_saw_before_a_kill_is_there_once_in_order_and_what_was_promised_holds() {
    kills(&[]);
}

/// The whole program, on a server with these settings.
pub fn kills(settings: &[(&str, &str)]) {
    let rounds = env::var("ROOST_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8);
    let seed: u64 = env::var("ROOST_KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut server = Server::with(settings);
    for name in ["alice", "bob"] {
        server.account(name, "secret0");
    }
    let mut alice = server.logged_in("alice", "alice", "secret0", CAPS);
    alice.join(CHANNEL);
    alice.send(&format!("CS REGISTER {CHANNEL}"));
    alice.expect("*is registered");
    alice.sync();
    drop(alice);

    // What each of the two saw, over all rounds.
    let mut seen: [Vec<Seen>; 2] = [Vec::new(), Vec::new()];
    let mut password = 0;
    for round in 0..rounds {
        let mut alice = log_in(&server, "alice", password, &mut seen[0]);
        let mut bob = log_in(&server, "bob", 0, &mut seen[1]);
        alice.send(&format!("TOPIC {CHANNEL} :topic {round}"));
        alice.send(&format!("NS PASSWD secret{0} secret{0}", password + 1));
        let lines = alice.until("NOTICE");
        assert!(lines.last().is_some_and(|line| line.raw.contains("Password changed")), "round {round}: {lines:#?}");
        password += 1;
        note(&lines, &mut seen[0]);
        for client in [&mut alice, &mut bob] {
            let text: String = (0..LINES).map(|n| format!("PRIVMSG {CHANNEL} :round {round} line {n}\r\n")).collect();
            client.send_bytes(text.as_bytes());
        }
        // The moment: after so many lines have reached alice, whoever said them.
        let moment = 1 + chance.below(2 * LINES as u64 - 100);
        let mut last = Vec::new();
        while last.len() < moment as usize {
            last.push(alice.line());
        }
        server.crash();
        last.extend(alice.closed());
        note(&last, &mut seen[0]);
        note(&bob.closed(), &mut seen[1]);
        server.start_again();
        compare(&server, round, password, &seen);
    }
}

/// Logs in and joins, and notes what is shown meanwhile.
fn log_in(server: &Server, name: &str, password: usize, seen: &mut Vec<Seen>) -> Client {
    let mut client = server.logged_in(name, name, &format!("secret{password}"), CAPS);
    note(&client.join(CHANNEL), seen);
    client
}

fn note(lines: &[Line], seen: &mut Vec<Seen>) {
    let said = lines.iter().filter(|line| line.command() == "PRIVMSG");
    seen.extend(said.map(|line| (line.msgid().to_owned(), line.time().to_owned(), line.body().to_owned())));
}

fn compare(server: &Server, round: usize, password: usize, seen: &[Vec<Seen>; 2]) {
    // The new password is the only one: `logged_in` fails where it is not.
    let mut alice = server.logged_in("alice", "alice", &format!("secret{password}"), CAPS);
    let lines = alice.join(CHANNEL);
    let topic = format!(":topic {round}");
    assert!(
        lines.iter().any(|line| line.command() == "332" && line.raw.ends_with(&topic)),
        "round {round}: {lines:#?}"
    );
    let kept = everything(&mut alice);
    let places: HashMap<&str, usize> = kept.iter().enumerate().map(|(at, (id, _, _))| (id.as_str(), at)).collect();
    assert_eq!(places.len(), kept.len(), "round {round}: an id is in history twice");
    for (who, seen) in ["alice", "bob"].iter().zip(seen) {
        let mut last = None;
        for message in seen {
            let place = places.get(message.0.as_str()).copied();
            let place = place.unwrap_or_else(|| panic!("round {round}: {who} saw {message:?}, which is lost"));
            assert_eq!(&kept[place], message, "round {round}: {who} saw it otherwise");
            assert!(last.is_none_or(|last| last < place), "round {round}: {who} saw {message:?} in another order");
            last = Some(place);
        }
    }
}

/// All of the channel's history, page by page from the end.
fn everything(client: &mut Client) -> Vec<Seen> {
    let mut pages: Vec<Vec<Seen>> = Vec::new();
    let mut question = format!("CHATHISTORY LATEST {CHANNEL} * 1000");
    loop {
        let mut page = Vec::new();
        note(&client.ask(&question), &mut page);
        let Some((oldest, _, _)) = page.first() else { break };
        question = format!("CHATHISTORY BEFORE {CHANNEL} msgid={oldest} 1000");
        pages.push(page);
    }
    pages.into_iter().rev().flatten().collect()
}

/// Random numbers that a seed repeats (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
