//! Who is always on joins and leaves hundreds of channels while the server is killed again and again: what it was told
//! holds. (What everybody says, and all else that is kept, is in `kill.rs`.)
//!
//! `ROOST_KILL_SEED` makes the same choices once more.

use std::env;
use std::hash::{BuildHasher, RandomState};

use crate::client::{Client, Line};
use crate::kill::{Chance, Promise};
use crate::server::Server;

const CHANNELS: usize = 200;
const KILLS: u64 = 5;
/// Lines in a round, of which the kill cuts off some.
const LINES: usize = 300;
/// 2024-01-01, in seconds since 1970: read markers begin here.
const MARKERS_FROM: u64 = 1_704_067_200;

/// A channel that nobody else is in.
struct Room {
    joined: Promise<bool>,
    /// Is empty where she is not in it, for then it is not there.
    topic: Promise<String>,
    /// In seconds after [`MARKERS_FROM`]; 0 for none. Stays when she leaves.
    marker: Promise<u64>,
}

fn name(at: usize) -> String {
    format!("#c{at}")
}

fn place(name: &str) -> usize {
    name.strip_prefix("#c").unwrap().parse().unwrap()
}

fn marker(line: &Line) -> u64 {
    let time = line.params()[1].strip_prefix("timestamp=").and_then(ircv3::time::parse_time);
    time.map_or(0, |time| time / 1000 - MARKERS_FROM)
}

/// What to send next: in the end, all rooms are joined and left some times.
fn line(chance: &mut Chance, rooms: &mut [Room], number: u64) -> String {
    let at = chance.below(CHANNELS as u64) as usize;
    let (room, name) = (&mut rooms[at], name(at));
    let inside = *room.joined.last();
    match chance.below(6) {
        0 => {
            room.marker.ask(number);
            format!("MARKREAD {name} timestamp={}", ircv3::time::time_text((MARKERS_FROM + number) * 1000))
        }
        1 if inside => {
            room.topic.ask(number.to_string());
            format!("TOPIC {name} :{number}")
        }
        _ if inside => {
            room.joined.ask(false);
            room.topic.ask(String::new());
            format!("PART {name}")
        }
        _ => {
            room.joined.ask(true);
            format!("JOIN {name}")
        }
    }
}

/// What she was told.
fn note(rooms: &mut [Room], lines: &[Line]) {
    for line in lines.iter().filter(|line| line.params().first().is_some_and(|target| target.starts_with("#c"))) {
        let room = &mut rooms[place(line.params()[0])];
        match line.command() {
            "JOIN" => room.joined.acknowledge(&true),
            "PART" => {
                room.joined.acknowledge(&false);
                room.topic.acknowledge(&String::new());
            }
            "TOPIC" => room.topic.acknowledge(&line.params()[1].to_owned()),
            "MARKREAD" => room.marker.acknowledge(&marker(line)),
            other => panic!("{other}: {line:?}"),
        }
    }
}

/// She is where she was, with what was there.
fn compare(server: &Server, rooms: &mut [Room]) -> Client {
    let mut alice = server.connect();
    let mut lines = alice.log_in("alice", "alice", "sesame", "draft/read-marker");
    lines.extend(alice.sync());
    for (at, room) in rooms.iter_mut().enumerate() {
        let name = name(at);
        let there = |command: &str, position: usize| {
            lines.iter().find(|line| line.command() == command && line.params()[position] == name)
        };
        let joined = there("JOIN", 0).is_some();
        room.joined.settle(&format!("whether she is in {name}"), joined);
        let topic = there("332", 1).map_or("", |line| line.params()[2]);
        room.topic.settle(&format!("the topic of {name}"), topic.to_owned());
        if joined {
            there("353", 2).unwrap().must_fit(&format!("* 353 alice = {name} :@alice"));
        }
        let found = alice.one(&format!("MARKREAD {name}"));
        room.marker.settle(&format!("the marker of {name}"), marker(&found));
    }
    alice
}

#[test]
fn c52_what_she_was_told_of_her_channels_holds_over_kills_at_random_points() {
    let seed = env::var("ROOST_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one("seed") >> 32);
    println!("ROOST_KILL_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut server = Server::with(&[("ROOST__CHANNELS__PER_USER", "1000")]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/read-marker");
    alice.told("NS SET ALWAYS-ON ON");
    let room = || Room { joined: Promise::new(false), topic: Promise::new(String::new()), marker: Promise::new(0) };
    let mut rooms: Vec<Room> = (0..CHANNELS).map(|_| room()).collect();
    let mut number = 0;
    for round in 0..KILLS {
        let script: Vec<String> = (0..LINES)
            .map(|_| {
                number += 1;
                line(&mut chance, &mut rooms, number)
            })
            .collect();
        alice.send_all(&script.iter().map(String::as_str).collect::<Vec<_>>());
        // Each line has one answer at least.
        let mut lines: Vec<Line> = (0..chance.below(LINES as u64)).map(|_| alice.line()).collect();
        server.crash();
        lines.extend(alice.cut_off());
        note(&mut rooms, &lines);
        if chance.below(2) == 0 {
            server.start_and_crash(chance.below(40));
        }
        server.start_again();
        println!("round {round}");
        alice = compare(&server, &mut rooms);
    }
    let joined = rooms.iter().filter(|room| *room.joined.last()).count();
    assert!((1..CHANNELS).contains(&joined), "{joined} of {CHANNELS} channels: that tries too little");
}
