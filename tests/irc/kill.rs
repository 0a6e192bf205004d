//! Nothing is lost: the server is killed at random moments under load, started again, and what its clients
//! saw, and what they were promised, is compared with what it then has.
//!
//! `ROOST_KILLS=200` for the long run; `ROOST_KILL_SEED` for the same choices once more (how the threads of
//! the server run is no choice of ours). What a later feature keeps joins in [`Expected::line`],
//! [`Expected::acknowledge`] and [`after_the_kill`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::client::{Client, Line};
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message draft/read-marker draft/metadata-3 \
                    draft/message-redaction draft/message-edit draft/multiline";
/// Lines that each client sends in a round, many of which the kill cuts off.
const LINES: usize = 300;
const NAMES: [&str; PEOPLE] = ["alice", "bob", "carol", "dave", "erin"];
const PEOPLE: usize = 5;
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;
/// Is always on.
const ERIN: usize = 4;
/// Masks that are banned and allowed again, in a channel and on the server.
const MASKS: usize = 6;
/// Channels that she who is always on joins and leaves.
const ROOMS: usize = 4;
/// What others are told of her where she has given no reason.
const NOT_AWAY: &str = "Not connected; what you write is kept";
/// 2024-01-01, in seconds since 1970: read markers begin here.
const MARKERS_FROM: u64 = 1_704_067_200;

#[test]
fn whatever_anyone_saw_before_a_kill_is_there_once_in_order_and_what_was_promised_holds() {
    kills(&[("ROOST__STORE__SYNC", "normal")]);
}

#[test]
fn and_so_it_is_where_every_commit_waits_for_the_disk() {
    kills(&[("ROOST__STORE__SYNC", "full")]);
}

/// The program itself: where nothing waits for the store, it says what is lost.
#[test]
fn a_server_that_shows_what_is_not_stored_is_found_out() {
    let lost = std::panic::catch_unwind(|| {
        for _ in 0..10 {
            kills(&[("ROOST__HISTORY__ACK", "relayed")]);
        }
    });
    assert!(lost.is_err());
}

/// A power cut: of the files of the database only that is left which had been synced.
#[test]
fn and_so_it_is_after_power_cuts() {
    power_cuts("full");
}

/// Without `store.sync = "full"` a power cut may cost the last lines: so it is one that the test makes.
#[test]
fn power_cuts_are_power_cuts() {
    let lost = std::panic::catch_unwind(|| {
        for _ in 0..10 {
            power_cuts("normal");
        }
    });
    assert!(lost.is_err());
}

fn power_cuts(sync: &str) {
    let cut = PowerCut::new();
    let mut settings = cut.settings();
    settings.push(("ROOST__STORE__SYNC", sync));
    kills_and(&settings, |server| cut.strike(server));
}

/// Keeps what a server has synced, so that its files can be made what a power cut would leave of them.
pub struct PowerCut {
    library: PathBuf,
    disk: PathBuf,
    _place: TempDir,
}

impl PowerCut {
    pub fn new() -> PowerCut {
        let place = tempfile::tempdir().unwrap();
        let (library, disk) = (place.path().join("powercut.so"), place.path().join("disk"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        compiler.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/irc/powercut.c")).arg("-ldl");
        assert!(compiler.status().unwrap().success(), "cc, of the Debian package build-essential");
        fs::create_dir(&disk).unwrap();
        PowerCut { library, disk, _place: place }
    }

    /// Settings of the server that it is for.
    pub fn settings(&self) -> Vec<(&str, &str)> {
        vec![("LD_PRELOAD", self.library.to_str().unwrap()), ("POWERCUT_DISK", self.disk.to_str().unwrap())]
    }

    /// Takes away what was not synced, after the server was killed.
    pub fn strike(&self, server: &Server) {
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("roost.db{suffix}");
            let _ = fs::remove_file(server.data().join(&name));
            if self.disk.join(&name).exists() {
                fs::copy(self.disk.join(&name), server.data().join(&name)).unwrap();
            }
        }
    }
}

/// The whole program, on a server with these settings.
pub fn kills(settings: &[(&str, &str)]) {
    kills_and(settings, |_| {});
}

/// As [`kills`], with something that happens after each kill.
fn kills_and(settings: &[(&str, &str)], afterwards: impl Fn(&Server)) {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let rounds = number("ROOST_KILLS").unwrap_or(6);
    let seed = number("ROOST_KILL_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed") >> 32);
    println!("ROOST_KILL_SEED={seed}, {rounds} kills, {settings:?}");
    let mut told = Told { seed, round: 0, settings: format!("{settings:?}"), aim: None };
    let mut chance = Chance::new(seed);
    let mut settings = settings.to_vec();
    settings.extend([("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    let mut server = Server::with(&settings);
    let mut expected = Expected::new();
    let mut clients = set_up(&server);
    let mut messages = 0;
    for round in 0..rounds {
        told.round = round;
        let mut scripts = Vec::new();
        for who in ALICE..=ERIN {
            let lines: Vec<String> = (0..LINES).map(|n| expected.line(&mut chance, who, round, n)).collect();
            scripts.push(lines);
        }
        let aim = Aim::choose(&mut chance);
        told.aim = Some(format!("{aim:?}"));
        for (client, lines) in clients.iter_mut().zip(&scripts) {
            client.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let mut read: [Vec<Line>; PEOPLE] = Default::default();
        read[aim.who] = aim.wait(&mut clients[aim.who]);
        server.crash();
        for (who, client) in clients.iter_mut().enumerate() {
            read[who].extend(client.cut_off());
            expected.note(who, &read[who]);
        }
        if chance.below(4) == 0 {
            afterwards(&server);
            server.start_and_crash(chance.below(40));
        }
        afterwards(&server);
        server.start_again();
        clients = after_the_kill(&server, &mut expected, round);
        messages = expected.conversations.values().map(|conversation| conversation.kept.len()).sum();
    }
    whole_history(&mut clients, &expected);
    println!("{rounds} kills, {messages} messages in {} conversations: all there", expected.conversations.len());
}

/// Says with which seed a run failed, whatever failed.
struct Told {
    seed: u64,
    round: u64,
    settings: String,
    aim: Option<String>,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the kill program failed in round {} with ROOST_KILL_SEED={} and {}; the kill was at {:?}",
                self.round, self.seed, self.settings, self.aim
            );
        }
    }
}

/// When the server is killed: right after a client has read so many lines of a kind.
#[derive(Debug)]
struct Aim {
    who: usize,
    kind: Sort,
    count: u64,
}

/// What a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Anything.
    Any,
    /// The echo of what it said.
    Echo,
    /// That something else is done.
    Promise,
}

impl Aim {
    fn choose(chance: &mut Chance) -> Aim {
        let who = chance.below(PEOPLE as u64) as usize;
        let kind = [Sort::Any, Sort::Echo, Sort::Promise, Sort::Promise][chance.below(4) as usize];
        // There are at least as many of each, as the script goes.
        let most = match kind {
            Sort::Any => LINES as u64 - 20,
            Sort::Echo => 60,
            Sort::Promise => 20,
        };
        Aim { who, kind, count: chance.below(most) }
    }

    fn wait(&self, client: &mut Client) -> Vec<Line> {
        let own = format!("{}!", NAMES[self.who]);
        let mut lines = Vec::new();
        let mut count = 0;
        while count < self.count {
            let line = client.line();
            let echo = line.command() == "PRIVMSG" && line.source().starts_with(&own);
            count += u64::from(match self.kind {
                Sort::Any => true,
                Sort::Echo => echo,
                Sort::Promise => line.command() != "PRIVMSG",
            });
            lines.push(line);
        }
        lines
    }
}

/// A message as it was seen: id, time, and the rest of the line.
type Seen = (String, String, String);

/// A conversation, as everyone must find it.
#[derive(Default)]
struct Conversation {
    kept: Vec<Seen>,
    ids: HashSet<String>,
    /// What each client saw of it in this round.
    seen: [Vec<Seen>; PEOPLE],
}

/// A value that changes: those that were asked for, and up to where they were acknowledged.
pub struct Promise<T> {
    asked: Vec<T>,
    done: usize,
}

impl<T: PartialEq + Clone + std::fmt::Debug> Promise<T> {
    pub fn new(now: T) -> Promise<T> {
        Promise { asked: vec![now], done: 0 }
    }

    /// What was asked for last.
    pub fn last(&self) -> &T {
        &self.asked[self.asked.len() - 1]
    }

    /// `value` is asked for.
    pub fn ask(&mut self, value: T) {
        self.asked.push(value);
    }

    /// `value` was acknowledged. One that is not among those that are open was so before.
    pub fn acknowledge(&mut self, value: &T) {
        let open = &self.asked[self.done + 1..];
        self.done += open.iter().position(|asked| asked == value).map_or(0, |at| at + 1);
    }

    /// What it is after the restart: the last that was acknowledged, or one that was asked for later.
    #[track_caller]
    pub fn settle(&mut self, what: &str, found: T) {
        let possible = &self.asked[self.done..];
        assert!(
            possible.contains(&found),
            "{what} is {found:?}, and not one of {possible:?}, of which the first holds"
        );
        *self = Promise::new(found);
    }
}

/// What must be there after a restart.
struct Expected {
    conversations: BTreeMap<String, Conversation>,
    topics: BTreeMap<&'static str, Promise<String>>,
    limit: Promise<u64>,
    bans: Vec<Promise<bool>>,
    server_bans: Vec<Promise<bool>>,
    rooms: Vec<Promise<bool>>,
    away: Promise<String>,
    registered: Promise<bool>,
    password: Promise<u64>,
    autoreplay: Promise<bool>,
    markers: BTreeMap<&'static str, Promise<u64>>,
    status: Promise<String>,
    about: Promise<String>,
    /// Whether mallory has voice in #garden by AMODE, and is suspended; whether #bad is closed; whether dave has
    /// an app password.
    voiced: Promise<bool>,
    suspended: Promise<bool>,
    closed: Promise<bool>,
    app: Promise<bool>,
    /// Ids that were to be taken back in this round, and whether that was acknowledged.
    redactions: BTreeMap<String, bool>,
    /// Ids that were to read otherwise, the text, and whether that was acknowledged.
    edits: BTreeMap<String, (String, bool)>,
    /// Ids that may be gone.
    gone: HashSet<String>,
    serial: u64,
}

impl Expected {
    fn new() -> Expected {
        let topics = ["#room", "#garden"].map(|channel| (channel, Promise::new("first".to_owned())));
        let keys = ["#room", "#garden", "#tmp", "alice bob", "alice carol"];
        Expected {
            conversations: keys.map(|key| (key.to_owned(), Conversation::default())).into(),
            topics: topics.into(),
            limit: Promise::new(100),
            bans: (0..MASKS).map(|_| Promise::new(false)).collect(),
            server_bans: (0..MASKS).map(|_| Promise::new(false)).collect(),
            rooms: (0..ROOMS).map(|_| Promise::new(false)).collect(),
            away: Promise::new(NOT_AWAY.to_owned()),
            registered: Promise::new(false),
            password: Promise::new(0),
            autoreplay: Promise::new(true),
            markers: ["#room", "alice"].map(|target| (target, Promise::new(0))).into(),
            status: Promise::new("first".to_owned()),
            about: Promise::new("first".to_owned()),
            voiced: Promise::new(false),
            suspended: Promise::new(false),
            closed: Promise::new(false),
            app: Promise::new(false),
            redactions: BTreeMap::new(),
            edits: BTreeMap::new(),
            gone: HashSet::new(),
            serial: 1000,
        }
    }

    /// What a client says next, and what that asks for.
    fn line(&mut self, chance: &mut Chance, who: usize, round: u64, n: usize) -> String {
        self.serial += 1;
        let serial = self.serial;
        let text = format!("round {round} line {n} of {}", NAMES[who]);
        let say = |target: &str| format!("PRIVMSG {target} :{text}");
        match (who, chance.below(20)) {
            (ALICE, 0) => self.topic("#room", format!("topic {serial}")),
            (ALICE, 1) => {
                let next = self.password.last() + 1;
                self.password.ask(next);
                format!("NS PASSWD secret{next} secret{next}")
            }
            (ALICE, 2 | 3) => {
                let at = chance.below(MASKS as u64) as usize;
                let set = !*self.bans[at].last();
                self.bans[at].ask(set);
                format!("MODE #room {}b banned{at}!*@*", if set { '+' } else { '-' })
            }
            (ALICE, 4) => self.marker("#room"),
            (ALICE, 5) => {
                let Some(id) = self.own_message(chance) else { return say("#room") };
                self.gone.insert(id.clone());
                self.redactions.insert(id.clone(), false);
                format!("REDACT #room {id} :taken back")
            }
            (ALICE, 6) => {
                let Some(id) = self.own_message(chance).filter(|id| !self.edits.contains_key(id)) else {
                    return say("#room");
                };
                self.edits.insert(id.clone(), (format!("edited {serial}"), false));
                format!("EDITMSG #room {id} :edited {serial}")
            }
            (BOB, 0 | 1) => {
                let registered = !*self.registered.last();
                self.registered.ask(registered);
                format!("CS {} #plot", if registered { "REGISTER" } else { "DROP" })
            }
            (BOB, 2 | 3) => {
                self.status.ask(format!("status {serial}"));
                format!("METADATA * SET status :status {serial}")
            }
            (CAROL, 0) => self.topic("#garden", format!("topic {serial}")),
            (CAROL, 1) => {
                self.limit.ask(serial);
                format!("MODE #garden +l {serial}")
            }
            (CAROL, 2) => self.marker("alice"),
            (CAROL, 3) => {
                self.about.ask(format!("about {serial}"));
                format!("METADATA #garden SET about :about {serial}")
            }
            (CAROL, 4 | 5) => {
                let at = chance.below(MASKS as u64) as usize;
                let set = !*self.server_bans[at].last();
                self.server_bans[at].ask(set);
                format!("UBAN {} banned{at}!*@*{}", if set { "ADD" } else { "DEL" }, if set { " spam" } else { "" })
            }
            (CAROL, 15) => {
                let line = |on: bool| format!("CS AMODE #garden {}v mallory", if on { '+' } else { '-' });
                toggle(&mut self.voiced, line)
            }
            (CAROL, 16) => {
                let line = |on: bool| format!("NS SUSPEND {} mallory", if on { "ADD" } else { "DEL" });
                toggle(&mut self.suspended, line)
            }
            (CAROL, 17) => {
                let line = |on: bool| format!("CS PURGE {} #bad", if on { "ADD" } else { "DEL" });
                toggle(&mut self.closed, line)
            }
            (DAVE, 15 | 16) => {
                let line = |on: bool| format!("NS APPPASS {} phone", if on { "ADD" } else { "DEL" });
                toggle(&mut self.app, line)
            }
            (ERIN, 0..=5) => {
                let at = chance.below(ROOMS as u64) as usize;
                let there = !*self.rooms[at].last();
                self.rooms[at].ask(there);
                format!("{} #erin{at}", if there { "JOIN" } else { "PART" })
            }
            (ERIN, 6 | 7) => {
                self.away.ask(format!("away {serial}"));
                format!("AWAY :away {serial}")
            }
            (DAVE, 0..=3) => {
                let on = !*self.autoreplay.last();
                self.autoreplay.ask(on);
                format!("NS SET AUTOREPLAY-MISSED {}", if on { "ON" } else { "OFF" })
            }
            (ALICE, 7..=8) => say("bob"),
            (BOB | CAROL, 6..=8) => say("alice"),
            (BOB, 9) => {
                let open = format!("BATCH +{serial} draft/multiline #tmp");
                let lines = ["one", "two", "three"].map(|part| format!("@batch={serial} PRIVMSG #tmp :{text} {part}"));
                format!("{open}\r\n{}\r\nBATCH -{serial}", lines.join("\r\n"))
            }
            (BOB | CAROL, 9..=11) => say("#tmp"),
            (CAROL | DAVE | ERIN, 12..=14) => say("#garden"),
            _ => say("#room"),
        }
    }

    /// One of alice's messages of an earlier round, of one line, that is not taken back.
    fn own_message(&self, chance: &mut Chance) -> Option<String> {
        let own = |message: &&Seen| {
            let (id, _, body) = message;
            body.starts_with(":alice!") && !body.contains('\n') && !self.gone.contains(id)
        };
        let kept = &self.conversations["#room"].kept;
        let from = kept.len().saturating_sub(1 + chance.below(200) as usize);
        kept[from..].iter().find(own).map(|(id, ..)| id.clone())
    }

    fn topic(&mut self, channel: &'static str, topic: String) -> String {
        let line = format!("TOPIC {channel} :{topic}");
        self.topics.get_mut(channel).unwrap().ask(topic);
        line
    }

    fn marker(&mut self, target: &'static str) -> String {
        let marker = self.markers.get_mut(target).unwrap();
        marker.ask(self.serial);
        format!("MARKREAD {target} timestamp={}", time_of(self.serial))
    }

    /// A client has read these lines.
    fn note(&mut self, who: usize, lines: &[Line]) {
        for line in lines {
            assert_ne!(line.command(), "FAIL", "{line:?}");
            if line.command() != "PRIVMSG" {
                self.acknowledge(who, line);
            }
        }
        for (key, message) in messages(lines) {
            self.conversations.get_mut(&key).unwrap_or_else(|| panic!("{message:?}")).seen[who].push(message);
        }
    }

    fn acknowledge(&mut self, who: usize, line: &Line) {
        let params = line.params();
        let last = *params.last().unwrap();
        match (line.command(), who) {
            ("TOPIC", _) => self.topics.get_mut(params[0]).unwrap().acknowledge(&last.to_owned()),
            ("MODE", _) if params[1] == "+l" => self.limit.acknowledge(&last.parse().unwrap()),
            ("MODE", ALICE) if params[1].ends_with('b') => {
                self.bans[number_in(last)].acknowledge(&(params[1] == "+b"));
            }
            ("MARKREAD", ALICE | CAROL) if last != "*" => {
                if let Some(marker) = self.markers.get_mut(params[0]) {
                    marker.acknowledge(&serial_of(last));
                }
            }
            ("REDACT", _) => {
                self.redactions.insert(params[1].to_owned(), true);
            }
            ("EDIT", _) => {
                let id = line.tag("draft/target-msgid").unwrap();
                self.edits.get_mut(id).unwrap_or_else(|| panic!("nobody edits {id}: {line:?}")).1 = true;
            }
            ("761", BOB) => self.status.acknowledge(&last.to_owned()),
            ("761", CAROL) => self.about.acknowledge(&last.to_owned()),
            ("NOTICE", ALICE) if last == "Password changed" => {
                let next = self.password.asked[self.password.done + 1];
                self.password.acknowledge(&next);
            }
            ("306", ERIN) => {
                let next = self.away.asked[self.away.done + 1].clone();
                self.away.acknowledge(&next);
            }
            ("NOTICE", BOB) if last.contains("registered") => {
                self.registered.acknowledge(&last.ends_with("is registered"));
            }
            ("NOTICE", DAVE) if last.starts_with("AUTOREPLAY") => self.autoreplay.acknowledge(&last.ends_with("on")),
            ("NOTICE", CAROL) if last.starts_with("Ban ") => {
                let at = number_in(last.split('!').next().unwrap());
                self.server_bans[at].acknowledge(&!last.starts_with("Ban removed"));
            }
            ("NOTICE", CAROL) if last.starts_with("mallory has ") => {
                self.voiced.acknowledge(&last.starts_with("mallory has +v"));
            }
            ("NOTICE", CAROL) if last.starts_with("Account mallory ") => {
                self.suspended.acknowledge(&last.contains(" is suspended "));
            }
            ("NOTICE", CAROL) if last.starts_with("Channel #bad ") => {
                self.closed.acknowledge(&last.contains(" is closed "));
            }
            ("NOTICE", DAVE) if last.starts_with("The password of phone ") => self.app.acknowledge(&true),
            ("NOTICE", DAVE) if last.starts_with("It is shown this once") => {}
            ("NOTICE", DAVE) if last.starts_with("App password phone ") => self.app.acknowledge(&false),
            ("JOIN" | "PART", ERIN) if params[0].starts_with("#erin") && line.source().starts_with("erin!") => {
                self.rooms[number_in(params[0])].acknowledge(&(line.command() == "JOIN"));
            }
            ("NOTICE", _) if !last.starts_with("***") => panic!("{line:?}"),
            _ => {}
        }
    }
}

/// Asks for the other of two.
fn toggle(promise: &mut Promise<bool>, line: impl Fn(bool) -> String) -> String {
    let on = !*promise.last();
    promise.ask(on);
    line(on)
}

/// Accounts and registered channels, and the clients in their channels.
fn set_up(server: &Server) -> Vec<Client> {
    for name in NAMES.into_iter().chain(["mallory"]) {
        server.account(name, "secret0");
    }
    let mut clients: Vec<Client> = NAMES.iter().map(|name| server.logged_in(name, name, "secret0", CAPS)).collect();
    for (who, channel) in [(ALICE, "#room"), (CAROL, "#garden")] {
        let client = &mut clients[who];
        client.join(channel);
        client.ask(&format!("CS REGISTER {channel}"));
        client.ask(&format!("TOPIC {channel} :first"));
    }
    clients[CAROL].ask("MODE #garden +l 100");
    clients[CAROL].ask("METADATA #garden SET about :first");
    clients[BOB].ask("METADATA * SET status :first");
    clients[DAVE].ask("NS SET AUTOREPLAY-MISSED ON");
    clients[CAROL].ask("OPER boss letmein");
    clients[ERIN].ask("NS SET ALWAYS-ON ON");
    clients[BOB].join("#plot");
    for client in &mut clients {
        client.join("#room,#garden,#tmp");
    }
    for client in &mut clients {
        client.sync();
    }
    clients
}

/// Compares what the server has with what must be there; gives clients for the next round.
fn after_the_kill(server: &Server, expected: &mut Expected, round: u64) -> Vec<Client> {
    let mut alice = None;
    // The newest first: one of them is the password, and only one.
    let possible: Vec<u64> = expected.password.asked[expected.password.done..].iter().rev().copied().collect();
    for password in &possible {
        let mut client = server.connect();
        client.request(&format!("sasl {CAPS}"));
        client.send_all(&["NICK alice", "USER alice 0 * :alice"]);
        client.authenticate("alice", &format!("secret{password}"));
        let answer = client.one_of(&["903", "904"]);
        if answer.command() == "904" {
            continue;
        }
        assert!(alice.is_none(), "two passwords are right");
        client.send("CAP END");
        client.welcome("alice");
        expected.password.settle("the password", *password);
        alice = Some(client);
    }
    let mut alice = alice.unwrap_or_else(|| panic!("none of {possible:?} is the password"));
    let mut bob = server.logged_in("bob", "bob", "secret0", CAPS);
    let mut carol = server.logged_in("carol", "carol", "secret0", CAPS);

    let info = bob.told("CS INFO #plot");
    expected.registered.settle("whether #plot is registered", info.contains("is registered to bob"));
    bob.join("#plot");
    for client in [&mut alice, &mut bob, &mut carol] {
        let lines = client.join("#room,#garden,#tmp");
        for (channel, topic) in &mut expected.topics {
            let found = lines.iter().find(|line| line.command() == "332" && line.params()[1] == *channel);
            topic.settle(channel, found.map_or("", |line| line.params()[2]).to_owned());
        }
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let modes = alice.ask("MODE #garden");
    expected.limit.settle("the limit of #garden", modes[0].params()[3].parse().unwrap());
    let bans = alice.ask("MODE #room b");
    for (at, ban) in expected.bans.iter_mut().enumerate() {
        let mask = format!("banned{at}!*@*");
        ban.settle(&mask, bans.iter().any(|line| line.command() == "367" && line.params()[2] == mask));
    }
    carol.ask("OPER boss letmein");
    let bans = carol.ask("UBAN LIST");
    for (at, ban) in expected.server_bans.iter_mut().enumerate() {
        let mask = format!("banned{at}!*@*");
        ban.settle(&format!("{mask} on the server"), bans.iter().any(|line| line.raw.contains(&mask)));
    }
    for (question, listed, promise) in [
        ("CS AMODE #garden", "mallory +v", &mut expected.voiced),
        ("NS SUSPEND LIST", "mallory (", &mut expected.suspended),
        ("CS PURGE LIST", "#bad (", &mut expected.closed),
    ] {
        let found = carol.ask(question).iter().any(|line| line.params().last().unwrap().starts_with(listed));
        promise.settle(question, found);
    }
    for (client, target) in [(&mut alice, "#room"), (&mut carol, "alice")] {
        let found = client.one(&format!("MARKREAD {target}"));
        let marker = expected.markers.get_mut(target).unwrap();
        marker.settle("a marker", serial_of(found.params()[1]));
    }
    for (client, question, promise) in [
        (&mut bob, "METADATA * GET status", &mut expected.status),
        (&mut carol, "METADATA #garden GET about", &mut expected.about),
    ] {
        let found = client.ask(question);
        let found = found.iter().find(|line| line.command() == "761").map_or("", |line| *line.params().last().unwrap());
        promise.settle(question, found.to_owned());
    }

    for (key, target, reader) in places() {
        let client = [&mut alice, &mut bob, &mut carol].into_iter().nth(reader).unwrap();
        compare(client, key, target, expected);
    }
    for (id, (text, acknowledged)) in std::mem::take(&mut expected.edits) {
        let around = alice.ask(&format!("CHATHISTORY AROUND #room msgid={id} 1"));
        let found = messages(&around).into_iter().map(|(_, message)| message).find(|message| message.0 == id);
        let kept = &mut expected.conversations.get_mut("#room").unwrap().kept;
        let (Some(found), Some(kept)) = (found, kept.iter_mut().find(|message| message.0 == id)) else { continue };
        let edited = found.2.ends_with(&format!(":{text}"));
        assert!(edited || !acknowledged, "{id} was edited to {text:?}, and reads {found:?}");
        assert!(edited || *kept == found, "{id} reads {found:?}, and neither {kept:?} nor {text:?}");
        *kept = found;
    }
    for (id, acknowledged) in std::mem::take(&mut expected.redactions) {
        let around = alice.ask(&format!("CHATHISTORY AROUND #room msgid={id} 1"));
        let there = around.iter().any(|line| line.tag("msgid") == Some(&id));
        assert!(!(there && acknowledged), "{id} was taken back, and is there: {around:?}");
        if there {
            expected.gone.remove(&id);
        }
    }

    // Whether dave gets what he missed says how his setting stands.
    let text = format!("round {round}: for dave");
    let echo = alice.one(&format!("PRIVMSG #room :{text}"));
    expected.note(ALICE, &[echo]);
    let mut dave = server.connect();
    let mut lines = dave.log_in("dave", "dave", "secret0", "server-time message-tags batch");
    lines.extend(dave.join("#room"));
    expected.autoreplay.settle("dave's AUTOREPLAY-MISSED", lines.iter().any(|line| line.raw.ends_with(&text)));
    dave.send("QUIT");
    dave.closed();
    let mut dave = server.logged_in("dave", "dave", "secret0", CAPS);
    dave.join("#room,#garden,#tmp");
    let apps = dave.ask("NS APPPASS LIST");
    expected.app.settle("dave's app password", apps.iter().any(|line| line.raw.contains(":phone: made at ")));

    // She has been there all the time, without a connection.
    let whois = dave.ask("WHOIS erin");
    let away = whois.iter().find(|line| line.command() == "301").map_or("", |line| line.params()[2]);
    expected.away.settle("why erin is away", away.to_owned());
    let mut erin = server.connect();
    let mut lines = erin.log_in("erin", "erin", "secret0", CAPS);
    lines.extend(erin.sync());
    let there = |channel: &str| lines.iter().any(|line| line.command() == "JOIN" && line.params()[0] == channel);
    for channel in ["#room", "#garden", "#tmp"] {
        assert!(there(channel), "erin is not in {channel}: {lines:#?}");
    }
    erin.one("AWAY").must_fit("*305 erin :*");
    expected.away = Promise::new(NOT_AWAY.to_owned());
    for (at, room) in expected.rooms.iter_mut().enumerate() {
        let name = format!("#erin{at}");
        room.settle(&format!("whether erin is in {name}"), there(&name));
    }
    let mut clients = vec![alice, bob, carol, dave, erin];
    for (who, client) in clients.iter_mut().enumerate() {
        let lines = client.sync();
        expected.note(who, &lines);
    }
    clients
}

/// Conversations: their keys, and who asks for them by which name.
fn places() -> [(&'static str, &'static str, usize); 5] {
    [
        ("#room", "#room", ALICE),
        ("#garden", "#garden", CAROL),
        ("#tmp", "#tmp", BOB),
        ("alice bob", "bob", ALICE),
        ("alice carol", "alice", CAROL),
    ]
}

/// Whatever anyone saw in this round is what history has since the last one, in that order.
fn compare(client: &mut Client, key: &str, target: &str, expected: &mut Expected) {
    let conversation = expected.conversations.get_mut(key).unwrap();
    let new = since(client, target, conversation.kept.last());
    let first = conversation.kept.len();
    for message in new {
        assert!(conversation.ids.insert(message.0.clone()), "{key}: {message:?} is in history twice");
        let before = conversation.kept.last();
        assert!(before.is_none_or(|before| before.1 < message.1), "{key}: after {before:?} comes {message:?}");
        conversation.kept.push(message);
    }
    let places: HashMap<&str, usize> =
        (first..).zip(&conversation.kept[first..]).map(|(at, message)| (message.0.as_str(), at)).collect();
    for (who, seen) in NAMES.iter().zip(&mut conversation.seen) {
        let mut last = None;
        for message in seen.drain(..) {
            let place = places.get(message.0.as_str()).copied();
            let place = place.unwrap_or_else(|| panic!("{key}: {who} saw {message:?}, which is lost"));
            let kept = &conversation.kept[place];
            assert!(same(kept, &message), "{key}: {who} saw {message:?}, and kept is {kept:?}");
            assert!(last.is_none_or(|last| last < place), "{key}: {who} saw {message:?} in another order");
            last = Some(place);
        }
    }
}

/// History after a message, page by page; all of it where there is none.
fn since(client: &mut Client, target: &str, last: Option<&Seen>) -> Vec<Seen> {
    let Some((last, ..)) = last else { return everything(client, target) };
    let mut new = Vec::new();
    let mut last = last.clone();
    loop {
        let lines = client.ask(&format!("CHATHISTORY AFTER {target} msgid={last} 1000"));
        let Some(end) = lines.iter().rfind(|line| line.tag("msgid").is_some()) else { return new };
        last = end.msgid().to_owned();
        new.extend(messages(&lines).into_iter().map(|(_, message)| message));
    }
}

/// All of a conversation's history, page by page from the end.
fn everything(client: &mut Client, target: &str) -> Vec<Seen> {
    let mut pages: Vec<Vec<Seen>> = Vec::new();
    let mut question = format!("CHATHISTORY LATEST {target} * 1000");
    loop {
        let lines = client.ask(&question);
        let Some(oldest) = lines.iter().find(|line| line.tag("msgid").is_some()) else { break };
        question = format!("CHATHISTORY BEFORE {target} msgid={} 1000", oldest.msgid());
        pages.push(messages(&lines).into_iter().map(|(_, message)| message).collect());
    }
    pages.into_iter().rev().flatten().collect()
}

/// At the end, history is what it was after each round, less what was taken back.
fn whole_history(clients: &mut [Client], expected: &Expected) {
    for (key, target, reader) in places() {
        let found = everything(&mut clients[reader], target);
        let found: Vec<&Seen> = found.iter().filter(|message| !expected.gone.contains(&message.0)).collect();
        let kept = &expected.conversations[key].kept;
        let kept: Vec<&Seen> = kept.iter().filter(|message| !expected.gone.contains(&message.0)).collect();
        let said_last = found.len().min(kept.len());
        assert!(found.len() >= kept.len(), "{key}: {} messages, and there were {}", found.len(), kept.len());
        assert_eq!(found[..said_last], kept[..], "{key}");
    }
}

/// The messages in these lines, with the key of their conversation. One of several lines has them all; where the
/// connection ended before its end, those that came and [`CUT_OFF`].
fn messages(lines: &[Line]) -> Vec<(String, Seen)> {
    let mut messages: Vec<(String, Seen)> = Vec::new();
    // Where the message of an open batch is.
    let mut open: HashMap<String, usize> = HashMap::new();
    for line in lines {
        let seen = |body: String| (line.msgid().to_owned(), line.time().to_owned(), body);
        let batch = line.tag("batch").and_then(|batch| open.get(batch));
        match (line.command(), line.params().first().copied().unwrap_or_default()) {
            ("PRIVMSG", _) => match batch {
                Some(at) => messages[*at].1.2 += &format!("\n{}", line.body()),
                None => messages.push((key_of(line), seen(line.body().to_owned()))),
            },
            ("BATCH", name) if name.starts_with('+') && line.params()[1] == "draft/multiline" => {
                open.insert(name[1..].to_owned(), messages.len());
                messages.push((line.params()[2].to_owned(), seen(String::new())));
            }
            ("BATCH", name) => {
                open.remove(name.trim_start_matches('-'));
            }
            _ => {}
        }
    }
    for at in open.into_values() {
        messages[at].1.2 += CUT_OFF;
    }
    messages
}

/// At the end of a message whose end did not come.
const CUT_OFF: &str = "\u{2026}";

/// Whether a message was kept as it was seen.
fn same(kept: &Seen, seen: &Seen) -> bool {
    let text = match seen.2.strip_suffix(CUT_OFF) {
        Some(part) => kept.2.starts_with(part),
        None => kept.2 == seen.2,
    };
    text && (&kept.0, &kept.1) == (&seen.0, &seen.1)
}

/// The number at the end of a name.
fn number_in(name: &str) -> usize {
    name.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// The conversation that a line belongs to: a channel, or two nicks.
fn key_of(line: &Line) -> String {
    let target = line.params()[0];
    if target.starts_with('#') {
        return target.to_owned();
    }
    let source = line.source().split('!').next().unwrap_or("");
    let mut pair = [source, target];
    pair.sort_unstable();
    pair.join(" ")
}

/// The moment that stands for a number.
fn time_of(serial: u64) -> String {
    ircv3::time::time_text((MARKERS_FROM + serial) * 1000)
}

/// The number of a moment; 0 for none.
fn serial_of(text: &str) -> u64 {
    let time = text.strip_prefix("timestamp=").and_then(ircv3::time::parse_time);
    time.map_or(0, |time| time / 1000 - MARKERS_FROM)
}

/// Random numbers that a seed repeats (xorshift).
pub struct Chance(u64);

impl Chance {
    /// Those of a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of the numbers below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
