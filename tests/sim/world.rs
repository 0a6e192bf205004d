//! One run: the real server, simulated workers, store, hashing and time, and random clients, all from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use ircv3::sasl::scram::ChannelBindings;
use ircv3::{Cap, CapSet, Casemapping, Message, Rank};
use roost::accounts::Secrets;
use roost::limits;
use roost::push;
use roost::server::Server;
use roost::server::action::{Actions, Call, NetAction};
use roost::server::channel::Channel;
use roost::server::command::{self, Pending};
use roost::server::event::{BadLine, CallId, CloseCause, ConnId, Event, Now, Peer, Returned};
use roost::server::frame::Frame;
use roost::server::history;
use roost::server::network::{Conversation, Network, UserId};
use roost::server::owed::{EVERY_OTHER, NOW, Owed};
use roost::server::push::WebPush;
use roost::server::record::{
    Expiry, HistoryQuery, Kind, MessageRow, MsgId, PresenceRow, Reader, Record, Seq, Snapshot,
};
use roost::server::retention::Keep;
use roost::server::right::Rights;
use roost::server::settings::{AlwaysOn, Limits, Oper, Settings, Throttle};
use roost::server::user::User;

use crate::client::{Client, Counters, DIM, Persona};
use crate::devices::{self, Devices};
use crate::doors::Doors;
use crate::edge::{Edge, Typed};
use crate::fault::{Fault, Planted};
use crate::random::Random;
use crate::store::Store;
use crate::view::{Facts, Promise, fold, fold_by};
use crate::violation::{Invariant, Outcome, broken};

/// The last things that happened, for people.
#[derive(Debug, Default)]
pub struct Trace(VecDeque<String>);

impl Trace {
    /// Notes something.
    pub fn note(&mut self, text: String) {
        if self.0.len() == 60 {
            self.0.pop_front();
        }
        self.0.push_back(text);
    }

    /// All of it, a line each.
    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("    {line}\n")).collect()
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// A hash of every action and record, and of everything that clients read.
    pub digest: u64,
    /// Events that the server was given.
    pub events: u64,
    /// Messages that are stored.
    pub messages: usize,
    /// Lines of live messages and history that clients saw and compared.
    pub seen: usize,
    /// How often the run came to what [`REACHED`] lists.
    pub reached: [u64; REACHED.len()],
    /// The commands that were given.
    pub given: BTreeSet<&'static str>,
}

/// What runs must come to, or they prove little.
pub const REACHED: [&str; 29] = [
    "a user with several connections",
    "a page of history with messages",
    "a page of history with what is about a message",
    "a replay at login",
    "a long answer in pages",
    "a paused connection",
    "a reader given up",
    "a user killed",
    "an operator",
    "a crash",
    "a store that fails",
    "a hash that fails",
    "a channel registered",
    "an account registered",
    "a call that returns to nobody",
    "a ping timeout",
    "a shutdown",
    "a device told of a message",
    "a closed channel made anew",
    "messages past their time",
    "a device cut off",
    "one of several connections of a device cut off",
    "a device that says what it has read",
    "a device gone that is late to answer",
    "a read marker set",
    "a crash with somebody kept under another nick",
    "somebody back under the nick that it had",
    "a stop that waits for answers",
    "a device that has not answered when the server ends",
];

const WORKERS: usize = 2;
/// Lines that may wait in a session: the pause comes at half of [`limits::PARKED_LINES`], and a worker
/// takes a few more before it does.
const PARKED: usize = limits::PARKED_LINES;
const EPOCH: u32 = 7;
/// Of so many events one is followed by a look at all that is kept.
const CHECK_KEPT: u64 = 1;

struct World<'a> {
    random: Random,
    now: Now,
    settings: Arc<Settings>,
    server: Server,
    edge: Edge,
    store: Store,
    calls: Vec<(CallId, Call)>,
    durable: Seq,
    clients: Vec<Client>,
    of_socket: Vec<usize>,
    counters: Counters,
    seen: BTreeSet<Seq>,
    strict: bool,
    password: bool,
    /// Calls and questions take long.
    slow: bool,
    phones: bool,
    /// The server was stopped, and has said its last word.
    ended: bool,
    planted: Planted,
    doors: Doors,
    devices: Devices,
    stale: Vec<Option<Arc<[u32]>>>,
    digest: u64,
    events: u64,
    given: BTreeSet<&'static str>,
    reached: [u64; REACHED.len()],
    trace: &'a mut Trace,
}

/// Runs a seed for so many steps.
pub fn run(seed: u64, steps: usize, fault: Option<Fault>, trace: &mut Trace) -> Outcome<Summary> {
    let mut world = World::new(seed, fault, trace);
    for _ in 0..steps {
        world.step()?;
    }
    world.rest()?;
    world.end()?;
    Ok(Summary {
        digest: world.digest,
        events: world.events,
        messages: world.store.disk.messages.len(),
        seen: world.seen.len(),
        reached: world.reached,
        given: world.given,
    })
}

/// Whether a channel is there after a start: one that is kept for somebody who has gone is so no longer than those stay who
/// are left in it.
fn is_found(network: &Network, channel: &Channel) -> bool {
    let stays = |user: &UserId| network.users[*user].presence_kept;
    channel.founder.is_some() || channel.modes.has('P') || channel.members.keys().any(stays)
}

fn someone(random: &mut Random, at: usize, phones: bool) -> Persona {
    if phones && random.percent(80) { Persona::with_device(random, at) } else { Persona::any(random, at) }
}

/// What a client is to be shown yet on a socket.
fn promised_to(clients: &[Client], socket: usize) -> Vec<Seq> {
    let view = clients.iter().find(|client| client.socket == Some(socket)).map(|client| &client.view);
    let promised = view.into_iter().flat_map(|view| &view.promised);
    promised.filter(|promise| promise.live && !promise.optional).map(|promise| promise.seq).collect()
}

fn settings(random: &mut Random, password: bool) -> Settings {
    Settings {
        motd: random.percent(50).then(|| vec!["Hello".to_owned(), "ü".repeat(40)]),
        admin: vec!["one".to_owned(), "two".to_owned()],
        password: password.then(|| "h:server".into()),
        history: random.percent(92),
        keep: Keep { seconds: [0, 0, 0, 90][random.below(4)], messages: [0, 0, 0, 6][random.below(4)] },
        chathistory_limit: [3, 50, 1000][random.below(3)],
        autoreplay_limit: [2, 500][random.below(2)],
        confirm_ms: [100, 1000, 5000][random.below(3)],
        wait_for_store: random.percent(90),
        relay_when_store_fails: random.percent(10),
        list_entries: 20,
        channels_per_user: 4,
        throttle: Some(Throttle {
            limits: Limits { connections: 8, registrations_per_hour: 4, ..Throttle::default().limits },
            ..Throttle::default()
        }),
        opers: vec![Arc::new(Oper {
            name: "admin".into(),
            password: Some("h:right".into()),
            rights: Rights::ALL,
            ..Oper::default()
        })],
        webpush: Some(WebPush {
            delay_ms: [0, 0, 5000][random.below(3)],
            present_ms: [0, 0, 60_000][random.below(3)],
            devices: 2,
            ..WebPush::default()
        }),
        client_tag_deny: if random.percent(30) { vec!["*".into(), "-draft/react".into()] } else { Vec::new() },
        always_on_expiry_days: [0, 1][random.below(2)],
        always_on: [AlwaysOn::Off, AlwaysOn::OptIn, AlwaysOn::OptOut, AlwaysOn::Mandatory][random.below(4)],
        default_user_modes: (*random.pick(&["i", "", "iB"])).to_owned(),
        ..Settings::default()
    }
}

impl<'a> World<'a> {
    fn new(seed: u64, fault: Option<Fault>, trace: &'a mut Trace) -> World<'a> {
        let mut random = Random::new(seed);
        let password = random.percent(5);
        let mut settings = settings(&mut random, password);
        settings.casemapping = Casemapping::ALL[seed as usize % Casemapping::ALL.len()];
        fold_by(settings.casemapping);
        settings.confusables = settings.casemapping == Casemapping::Precis;
        let settings = Arc::new(settings);
        let now = Now { unix_ms: 1_700_000_000_000 + random.next() % 1_000_000, mono_ms: 1000 };
        let mut store = Store::new(EPOCH, settings.casemapping);
        // In some worlds most have a device that is replayed what it missed.
        let phones = seed.is_multiple_of(3);
        if phones || random.percent(50) {
            store.settle_accounts();
        }
        if random.percent(10) {
            store.settle_channels();
        }
        let snapshot = store.restart();
        let clients = (0..5 + random.below(8)).map(|at| Client::new(someone(&mut random, at, phones))).collect();
        let sendq = [4000, 20_000, 1 << 20, 1 << 20, 1 << 20, 1 << 20][random.below(6)];
        World {
            server: new_server(&settings, snapshot, now),
            now,
            edge: Edge::new(WORKERS, sendq),
            store,
            calls: Vec::new(),
            durable: 0,
            clients,
            of_socket: Vec::new(),
            counters: Counters::default(),
            seen: BTreeSet::new(),
            strict: settings.wait_for_store && !settings.relay_when_store_fails,
            settings,
            password,
            slow: random.percent(30),
            phones,
            ended: false,
            planted: Planted::new(fault, seed),
            devices: Devices::default(),
            doors: Doors::default(),
            stale: vec![None; WORKERS],
            digest: 0,
            events: 0,
            random,
            reached: [0; REACHED.len()],
            given: BTreeSet::new(),
            trace,
        }
    }

    // Steps.

    fn step(&mut self) -> Outcome {
        self.now.mono_ms += self.random.next() % 20;
        self.now.unix_ms += self.random.next() % 20;
        match self.random.below(100) {
            0..24 => self.type_lines(),
            24..50 => self.read_line()?,
            50..64 => {
                let (worker, count) = (self.random.below(WORKERS), 1 + self.random.below(12));
                self.edge.work(worker, count, &mut self.planted)?;
                self.deliver(3)?;
            }
            64..78 => {
                let client = self.random.below(self.clients.len());
                let bytes = self.clients[client].persona.reads;
                self.client_reads(client, bytes)?;
            }
            78..84 => self.store_step()?,
            84..89 if self.slow && self.random.percent(85) => {}
            84..89 => self.call_returns()?,
            89..91 => self.tell_workers(),
            91..95 => self.connect()?,
            95 => self.leave()?,
            96..98 => self.handle(Event::Tick, &[])?,
            98 => self.time_passes()?,
            _ if self.random.percent(7) => self.crash(),
            _ if self.random.percent(5) => self.stop()?,
            _ => self.reload()?,
        }
        Ok(())
    }

    fn type_lines(&mut self) {
        let at = self.random.below(self.clients.len());
        let client = &mut self.clients[at];
        let Some(socket) = client.socket else { return };
        if self.edge.sockets[socket].server_closed || self.edge.sockets[socket].client_closed {
            return;
        }
        // Who waits to be let in says little meanwhile.
        if !client.view.registered && self.random.percent(85) {
            return;
        }
        let lines = if self.random.percent(3) { 40 } else { 1 + self.random.below(3) };
        for _ in 0..lines {
            let line = client.say(&mut self.random, &mut self.counters);
            self.edge.sockets[socket].typed.push_back(line);
        }
    }

    fn read_line(&mut self) -> Outcome {
        let readable = self.edge.readable();
        if readable.is_empty() {
            return Ok(());
        }
        let conn = readable[self.random.below(readable.len())];
        for _ in 0..1 + self.random.below(4) {
            if !self.edge.readable().contains(&conn) {
                break;
            }
            self.read_from(conn)?;
        }
        Ok(())
    }

    fn read_from(&mut self, conn: ConnId) -> Outcome {
        match self.edge.read(conn) {
            Some(Typed::Bad(bad)) => self.handle(Event::BadLine(conn, bad), &[]),
            Some(Typed::Line(line)) => match Message::parse_client(line) {
                Ok(message) => self.handle(Event::Line(conn, message), &[]),
                Err(ircv3::message::ParseError::Empty) => Ok(()),
                Err(ircv3::message::ParseError::ForbiddenByte) => {
                    self.handle(Event::BadLine(conn, BadLine::ForbiddenByte { tags: "".into() }), &[])
                }
                Err(_) => self.handle(Event::BadLine(conn, BadLine::TooLong { tags: "".into() }), &[]),
            },
            None => Ok(()),
        }
    }

    /// Gives the server what the workers have to say.
    fn deliver(&mut self, most: usize) -> Outcome {
        for _ in 0..most {
            let Some(event) = self.edge.events.pop_front() else { break };
            if matches!(event, Event::Closed(..)) && self.planted.hits(Fault::CloseUnreported) {
                continue;
            }
            self.handle(event, &[])?;
        }
        Ok(())
    }

    fn client_reads(&mut self, at: usize, most: usize) -> Outcome {
        let client = &mut self.clients[at];
        let Some(socket) = client.socket else { return Ok(()) };
        let there = &mut self.edge.sockets[socket];
        let count = most.min(there.wire.len());
        let bytes: Vec<u8> = there.wire.drain(..count).collect();
        let mut facts = Facts {
            store: &self.store,
            epoch: EPOCH,
            strict: self.strict,
            history: self.settings.history,
            kept_since: &|id| self.store.key(id).map_or(0, |key| self.server.kept_since(key)),
            own: &|seq| self.devices.has_said(socket, seq),
            seen: &mut self.seen,
        };
        client.view.take(&bytes, &mut facts).map_err(|mut violation| {
            violation.text = format!("client {at} (socket {socket}): {}", violation.text);
            violation
        })?;
        digest(&mut self.digest, &bytes);
        let unclear = std::mem::take(&mut client.view.unclear);
        self.devices.read(socket, std::mem::take(&mut client.view.took), unclear);
        if !there.server_closed && !there.client_closed {
            for line in client.reactions(&mut self.counters) {
                there.typed.push_back(line);
            }
        }
        if there.server_closed && there.wire.is_empty() {
            there.client_closed = true;
            client.socket = None;
            self.devices.closed(socket, client.view.promised.make_contiguous());
        }
        Ok(())
    }

    fn store_step(&mut self) -> Outcome {
        match self.random.below(10) {
            0 if !self.store.failing && self.random.percent(30) => {
                self.store.failing = true;
                self.handle(Event::StoreFailed("disk full".into()), &[])
            }
            0..3 if self.store.failing => {
                self.store.failing = false;
                self.handle(Event::StoreRecovered, &[])
            }
            3 if self.store.failing || self.random.percent(10) => match self.store.fail_question() {
                Some(id) => self.handle(Event::Returned(id, Returned::Failed("no".into())), &[]),
                None => Ok(()),
            },
            3..6 if self.random.percent(15) => self.expire(),
            3..6 if self.slow && self.random.percent(85) => Ok(()),
            3..6 => self.answer(),
            _ => {
                let count = 1 + self.random.below(12);
                self.commit(count)
            }
        }
    }

    fn commit(&mut self, count: usize) -> Outcome {
        if self.store.failing {
            return Ok(());
        }
        if let (true, Some(seq)) = (self.planted.hits(Fault::CommitEarly), self.store.next_waiting()) {
            self.durable = seq;
            self.tell_workers();
            return Ok(());
        }
        let Some(seq) = self.store.commit(count) else { return Ok(()) };
        self.durable = self.durable.max(seq);
        self.trace.note(format!("committed up to {seq:x}"));
        self.handle(Event::Committed(seq), &[])
    }

    /// The store deletes what is past its time.
    fn expire(&mut self) -> Outcome {
        let Some((conversation, rows)) = self.store.expire_one() else { return Ok(()) };
        if rows > 0 {
            self.count("messages past their time");
        }
        self.handle(Event::Expired { conversation, rows }, &[])
    }

    fn tell_workers(&mut self) {
        for worker in 0..WORKERS {
            self.edge.durable(worker, self.durable);
        }
    }

    fn answer(&mut self) -> Outcome {
        let lose = self.planted.hits(Fault::HistoryGap);
        let Some((id, rows, returned)) = self.store.answer(lose) else { return Ok(()) };
        if self.planted.hits(Fault::CallLost) {
            return Ok(());
        }
        self.handle(Event::Returned(id, returned), &rows)
    }

    fn call_returns(&mut self) -> Outcome {
        if self.calls.is_empty() {
            return Ok(());
        }
        let (id, call) = self.calls.swap_remove(self.random.below(self.calls.len()));
        if self.planted.hits(Fault::CallLost) {
            return Ok(());
        }
        let returned = match call {
            _ if self.random.percent(5) => Returned::Failed("busy".into()),
            Call::Hash { password, .. } => {
                Returned::Hashed(Box::new(Secrets { hash: format!("h:{password}").into(), scram: Vec::new() }))
            }
            Call::Verify { password, hash, .. } => {
                Returned::Verified(hash.is_some_and(|hash| *hash == *format!("h:{password}")))
            }
            Call::Reload => Returned::Reloaded(Vec::new()),
            Call::Mail { .. } => Returned::Mailed(Ok(())),
            Call::Push(_) => Returned::Pushed(match self.random.below(12) {
                0 => push::Outcome::Gone,
                1 => push::Outcome::TooLarge,
                2 => push::Outcome::Later { seconds: Some(2), reason: "busy".into() },
                3 => push::Outcome::Unreached("no route".into()),
                4 => push::Outcome::Refused("it answers 403 Forbidden".into()),
                _ => push::Outcome::Delivered,
            }),
            Call::Judge { .. } => Returned::Judged(Err("no".into())),
            Call::Token { .. } => Returned::Token(Err("no".into())),
            Call::Search(query) => Returned::History(history::render(&query.reader, &[], false)),
            // Of what is there, the model must not lose anything.
            Call::Find { .. } => Returned::Found(None),
            Call::History(_) | Call::Export { .. } => return Ok(()),
        };
        self.handle(Event::Returned(id, returned), &[])
    }

    fn connect(&mut self) -> Outcome {
        let at = self.random.below(self.clients.len());
        if self.clients[at].socket.is_some() {
            return Ok(());
        }
        if self.random.percent(20) {
            self.clients[at].persona = someone(&mut self.random, at, self.phones);
        }
        let (conn, socket) = self.edge.connect(self.random.below(WORKERS));
        self.of_socket.push(at);
        let client = &mut self.clients[at];
        let lines = client.connected(socket, &mut self.random, self.password);
        self.edge.sockets[socket].typed.extend(lines);
        let peer = Peer {
            tls: self.random.percent(50),
            websocket: self.random.percent(20),
            certfp: self.random.percent(10).then(|| "abcd".into()),
            bindings: ChannelBindings { exporter: self.random.percent(20).then(|| [7; 32].into()), end_point: None },
            ..Peer::new(std::net::IpAddr::from(client.persona.ip), 40_000 + socket as u16)
        };
        self.handle(Event::Opened(conn, Box::new(peer)), &[])?;
        if self.random.percent(8) {
            // Gone before it is in; what it typed is read, or not.
            self.client_closes(at);
        }
        Ok(())
    }

    /// A client closes, or a worker notices that one has.
    fn leave(&mut self) -> Outcome {
        let left = self.edge.left();
        if !left.is_empty() {
            let conn = left[self.random.below(left.len())];
            let cause = match self.random.below(3) {
                0 => CloseCause::Error("Connection reset by peer".into()),
                1 => CloseCause::Flood,
                _ => CloseCause::Eof { shown: None },
            };
            self.edge.notice_close(conn, cause, &mut self.planted);
            return self.deliver(1);
        }
        let at = self.random.below(self.clients.len());
        self.client_closes(at);
        Ok(())
    }

    fn client_closes(&mut self, at: usize) {
        if let Some(socket) = self.clients[at].socket.take() {
            self.trace.note(format!("client {at} closes socket {socket}"));
            self.devices.closed(socket, self.clients[at].view.promised.make_contiguous());
            self.edge.sockets[socket].client_closed = true;
        }
    }

    fn time_passes(&mut self) -> Outcome {
        let round = if self.settings.keep == Keep::default() { 10_000 } else { 700_000 };
        let ms = [1000, 1000, 3000, 5000, 5000, 10_000, 30_000, 61_000, round][self.random.below(9)];
        // Now and then more than a day, after which nobody is there any more. Where messages grow old that is believed late,
        // and a start may believe less.
        let day = self.random.percent(4) && self.settings.keep == Keep::default();
        let ms = if day { 90_000_000 } else { ms };
        self.now.mono_ms += ms;
        self.now.unix_ms = match self.random.below(10) {
            0 => self.now.unix_ms - 10_000,
            1 => self.now.unix_ms + 3_600_000,
            _ => self.now.unix_ms + ms,
        };
        self.handle(Event::Tick, &[])
    }

    fn reload(&mut self) -> Outcome {
        let mut next = (*self.settings).clone();
        next.chathistory_limit = [3, 50, 1000][self.random.below(3)];
        next.motd = self.random.percent(50).then(|| vec!["New".to_owned()]);
        self.settings = Arc::new(next);
        self.handle(Event::Reload(self.settings.clone()), &[])
    }

    /// The machine dies and starts again; some of what was being written is on disk.
    fn crash(&mut self) {
        let count = self.random.below(self.store.waiting() + 1);
        if !self.store.failing && count > 0 {
            self.store.commit(count);
        }
        self.trace.note("CRASH and restart".to_owned());
        self.count("a crash");
        let network = &self.server.network;
        let mut users = network.users.iter();
        if users.any(|(id, user)| user.presence_kept && (!self.server.stays(id) || user.former_nick.is_some())) {
            self.count("a crash with somebody kept under another nick");
        }
        if self.planted.hits(Fault::CrashLosesRow)
            && let Some(seq) = self.seen.last()
        {
            self.store.disk.messages.remove(seq);
        }
        let roll = Devices::roll(&self.server, &self.edge);
        let left = |socket: usize| promised_to(&self.clients, socket);
        self.devices.crash(&roll, &self.store.unkept_devices(), left);
        self.start_again();
    }

    /// The server is stopped in good order, while everything goes on, and started again.
    fn stop(&mut self) -> Outcome {
        // Some lines are dead by then, and the server does not know.
        for at in 0..self.clients.len() {
            if self.random.percent(20) {
                self.client_closes(at);
            }
        }
        self.handle(Event::Shutdown("The server is ending".into()), &[])?;
        if !self.ended {
            self.count("a stop that waits for answers");
        }
        for _ in 0..self.random.below(200) {
            if self.ended {
                break;
            }
            self.now.mono_ms += self.random.next() % 20;
            match self.random.below(100) {
                0..10 => self.type_lines(),
                10..40 => self.read_line()?,
                40..60 => {
                    let worker = self.random.below(WORKERS);
                    self.edge.work(worker, 12, &mut self.planted)?;
                    self.deliver(3)?;
                }
                60..80 => {
                    let client = self.random.below(self.clients.len());
                    self.client_reads(client, self.clients[client].persona.reads)?;
                }
                80..90 => self.store_step()?,
                90..95 => self.tell_workers(),
                _ => self.handle(Event::Tick, &[])?,
            }
        }
        if !self.ended {
            self.now.mono_ms += limits::LAST_ANSWERS_MS;
            self.handle(Event::Tick, &[])?;
        }
        if !self.ended {
            return broken(Invariant::State, "the server does not end");
        }
        // What it has said goes out, and what it has given to the store is kept.
        self.settle()?;
        self.trace.note("STOP and restart".to_owned());
        self.start_again();
        Ok(())
    }

    fn start_again(&mut self) {
        self.ended = false;
        self.edge.crash();
        self.calls.clear();
        self.stale = vec![None; WORKERS];
        self.now.mono_ms += 500;
        self.now.unix_ms += 500;
        let snapshot = self.store.restart();
        self.durable = 0;
        let conversations = snapshot.conversations.clone();
        self.server = new_server(&self.settings, snapshot, self.now);
        self.doors = Doors::after_a_start(&conversations, &self.server.network);
    }

    // Events, and what is checked at each.

    fn handle(&mut self, event: Event, page: &[Seq]) -> Outcome {
        self.events += 1;
        self.trace.note(describe(&event));
        let conn = match &event {
            Event::Line(conn, _) | Event::BadLine(conn, _) | Event::Drained(conn) => Some(*conn),
            Event::Returned(id, _) => Some(id.conn),
            _ => None,
        };
        let parked = conn.and_then(|conn| self.server.session(conn)).is_some_and(|there| !there.parked.is_empty());
        let several = parked && !matches!(event, Event::Line(..));
        let before = several.then(|| Scene::of(&self.server));
        if let Event::Returned(id, Returned::History(_)) = &event {
            self.promise_page(*id, page);
            self.check_replay(*id, page)?;
        }
        let roll = Devices::roll(&self.server, &self.edge);
        let end = devices::end_of(&event);

        self.count_event(&event);
        let absent = |(id, user): (UserId, &User)| Some((id, user.serial, user.former_nick.clone()?));
        let absent: Vec<_> = self.server.network.users.iter().filter_map(absent).collect();
        let before_seq = self.server.last_seq();
        let mut actions = Actions::new(WORKERS);
        self.server.handle(self.now, event, &mut actions);
        self.spoil(&mut actions);
        self.ended |= actions.ended;
        let end = if actions.ended { Some((None, CloseCause::Asked)) } else { end };

        let is_back = |(id, serial, nick): &(UserId, u64, Arc<str>)| {
            let user = self.server.network.users.get(*id).filter(|user| user.serial == *serial);
            user.is_some_and(|user| user.nick == *nick && !user.sessions.is_empty())
        };
        if absent.iter().any(is_back) {
            self.count("somebody back under the nick that it had");
        }
        let there = Devices::roll(&self.server, &self.edge);
        for what in self.devices.note(&roll, &there, end, |socket| promised_to(&self.clients, socket))? {
            self.count(what);
        }
        for _ in 0..self.doors.look(&self.server.network, several) {
            self.count("a closed channel made anew");
        }
        self.check_state(conn)?;
        self.check_waits(&actions, several)?;
        self.check_acknowledged(&actions, several)?;
        self.hash(&actions);
        self.count_actions(&actions);
        let scene = actions.store.iter().any(|(_, record)| is_said(record)).then(|| Scene::of(&self.server));
        let mut stored = 0;
        for (seq, record) in actions.store {
            if let (Record::Message(row), Some(scene)) = (&record, &scene)
                && is_said(&record)
            {
                let key = self.store.key(row.conversation).map(str::to_owned);
                if let Some(key) = key {
                    self.promise(seq, row, &key, conn, scene, before.as_ref());
                    if let Some(socket) = conn.and_then(|conn| self.edge.socket_at(conn)) {
                        self.devices.spoke(seq, socket);
                    }
                    if row.kind.is_text() {
                        self.devices.said(seq, &key, &self.server.network, [&roll, &there]);
                    } else {
                        self.devices.shown(seq);
                    }
                }
            }
            if matches!(record, Record::Marker(_)) {
                self.count("a read marker set");
            }
            self.store.append(seq, record)?;
            stored += 1;
        }
        if stored > 0 && self.events.is_multiple_of(CHECK_KEPT) {
            self.check_kept()?;
        }
        for expiry in actions.expire {
            self.check_expiry(&expiry)?;
            self.store.expire(expiry);
        }
        for (id, call) in actions.calls {
            match call {
                Call::History(mut query) => {
                    if self.planted.hits(Fault::HistoryForeign) {
                        query.conversation = 1 + query.conversation % 3;
                    }
                    let pending = self.server.session(id.conn).and_then(|session| session.waiting.as_ref());
                    if pending.is_some_and(|waiting| matches!(waiting.pending, Pending::Replay(_)))
                        && self.planted.is(Fault::ReplayTwice)
                    {
                        query.floor = 0;
                    }
                    self.check_access(id, &query, several)?;
                    self.store.ask(id, *query);
                }
                call => {
                    if let Call::Push(push) = &call {
                        self.check_push(&push.line)?;
                    }
                    self.calls.push((id, call));
                }
            }
        }
        for (worker, net) in actions.net.into_iter().enumerate() {
            self.edge.push(worker, net, before_seq, self.server.last_seq());
        }
        Ok(())
    }

    /// The messages of a page for a client that gets it without a batch, among the live ones.
    fn promise_page(&mut self, id: CallId, rows: &[Seq]) {
        let Some(session) = self.server.session(id.conn) else { return };
        // What HistServ tells is told as its own.
        let is_told = |pending: &Pending| matches!(pending, Pending::Told { .. });
        let waits =
            session.waiting.as_ref().is_some_and(|waiting| waiting.serial == id.serial && !is_told(&waiting.pending));
        if session.closing || !waits || session.caps.has(Cap::Batch) {
            return;
        }
        let tags = session.caps.has(Cap::MessageTags);
        let Some(socket) = self.edge.socket_of(id.conn) else { return };
        let client = self.of_socket[socket];
        if self.clients[client].socket != Some(socket) {
            return;
        }
        for seq in rows {
            let Some(row) = self.store.disk.messages.get(seq) else { continue };
            if row.kind.is_text() || row.kind == Kind::Tagmsg && tags {
                self.clients[client].view.promised.push_back(Promise { seq: *seq, optional: false, live: false });
            }
        }
    }

    /// Who is to see a message.
    fn promise(&mut self, seq: Seq, row: &MessageRow, key: &str, by: Option<ConnId>, now: &Scene, was: Option<&Scene>) {
        let there = now.audience(row, key, by);
        let earlier = was.map(|was| was.audience(row, key, by));
        let mut all: Vec<ConnId> = there.keys().copied().collect();
        all.extend(earlier.iter().flat_map(|earlier| earlier.keys().copied()));
        all.extend(by.filter(|_| earlier.is_some()));
        all.sort();
        all.dedup();
        for conn in all {
            let Some(socket) = self.edge.socket_of(conn) else { continue };
            let client = &mut self.clients[self.of_socket[socket]];
            let now = there.get(&conn).copied();
            if client.socket != Some(socket) {
                if earlier.is_none() && now.is_some_and(|copies| copies != Copies::Second) {
                    self.devices.in_vain(socket, seq);
                }
                continue;
            }
            let was = earlier.as_ref().map_or(now, |earlier| earlier.get(&conn).copied());
            // Of several commands, one may have turned echo-message on, or taken a nick, and the next undone it.
            let unsure = earlier.is_some() && Some(conn) == by;
            let to_itself = row.source.split('!').next().is_some_and(|nick| fold(nick) == fold(&row.target));
            if unsure && to_itself || [now, was].iter().flatten().any(|copies| *copies != Copies::First) {
                *client.view.copies.entry(seq).or_insert(0) += 1;
            }
            if unsure || [now, was].iter().flatten().any(|copies| *copies != Copies::Second) {
                client.view.promised.push_back(Promise { seq, optional: unsure || now != was, live: true });
            }
        }
    }

    /// 10: what is deleted is past its time by what is chosen of its conversation.
    fn check_expiry(&self, expiry: &Expiry) -> Outcome {
        let Some(key) = self.store.key(expiry.conversation) else {
            return broken(Invariant::Kept, format!("{expiry:?} is of no conversation"));
        };
        let (since, keep) = (self.server.kept_since(key), self.server.keep_of(key));
        if expiry.before > since || expiry.most.is_some_and(|most| most != keep.messages || most == 0) {
            return broken(Invariant::Kept, format!("{expiry:?} of {key}, of which is kept {keep:?}, since {since}"));
        }
        Ok(())
    }

    /// 11: what a device is replayed it has not read.
    fn check_replay(&mut self, id: CallId, rows: &[Seq]) -> Outcome {
        let Some(session) = self.server.session(id.conn) else { return Ok(()) };
        let waiting = session.waiting.as_ref().filter(|waiting| waiting.serial == id.serial);
        let replays = waiting.is_some_and(|waiting| matches!(waiting.pending, Pending::Replay(_)));
        let Some(account) = session.account.filter(|_| replays && !session.closing) else { return Ok(()) };
        // With another connection of the device it is that which sees to what is owed.
        let connected = self.server.network.connected(account, &session.device);
        if connected.is_some_and(|connected| connected.conns.len() > 1) {
            return Ok(());
        }
        let is_owed = |seq: &Seq| {
            let conversation = self.store.disk.messages.get(seq).map(|row| row.conversation);
            let of = |id| session.particulars().owed.iter().filter(move |owed| Some(owed.conversation) == id);
            let is_in = |after: Seq, until: Seq| after < *seq && *seq <= until;
            let done = of(conversation).map(|own| own.until).max().unwrap_or_default();
            of(conversation).any(|own| is_in(own.after, own.until))
                || of(Some(EVERY_OTHER)).any(|rest| is_in(rest.after.max(done), rest.until))
        };
        self.devices.replayed(&(account, session.device.clone()), rows, is_owed)
    }

    /// 9: whoever asks may read the conversation.
    fn check_access(&self, id: CallId, query: &HistoryQuery, several: bool) -> Outcome {
        let (conversation, floor, caps) = (query.conversation, query.floor, query.reader.caps);
        let Some(session) = self.server.session(id.conn) else { return Ok(()) };
        let kept_since = self.store.key(conversation).map_or(0, |key| self.server.kept_since(key));
        if query.since < kept_since {
            return broken(Invariant::History, format!("{query:?} is not bounded by {kept_since}"));
        }
        if !session.caps.has_all(caps) {
            return broken(Invariant::Caps, "history is rendered for capabilities that are not on");
        }
        if conversation == 0 {
            return Ok(());
        }
        let Some(key) = self.store.key(conversation) else {
            return broken(Invariant::History, format!("history of conversation {conversation}, which is none"));
        };
        let Some(user) = session.user else {
            return broken(Invariant::History, "history for someone who is no user");
        };
        let there = &self.server.network.users[user];
        if key.starts_with('#') {
            let channel = self.server.network.channel_by_name(key).map(|id| &self.server.network.channels[id]);
            // Of several commands a later one may have been PART, by another connection.
            if !several && !channel.is_some_and(|channel| channel.members.contains_key(&user)) {
                return broken(Invariant::History, format!("{} reads {key} and is not in it", there.nick));
            }
            if self.doors.is_sealed(key, query.since) {
                let text = format!("{} reads what was said in an earlier {key}, which was closed", there.nick);
                return broken(Invariant::History, text);
            }
            return Ok(());
        }
        let own = match there.account {
            Some(account) => format!("${account}"),
            None => format!("~{}", there.folded.as_str()),
        };
        if !key.split(' ').any(|part| part == own) {
            return broken(Invariant::History, format!("{} ({own}) reads {key:?}", there.nick));
        }
        let replay = session.waiting.as_ref().is_some_and(|waiting| matches!(waiting.pending, Pending::Replay(_)));
        let began = self.server.has_begun(user, key);
        if there.account.is_none() && floor < there.since && !replay && !began {
            return broken(Invariant::History, format!("guest {} reads what was said before it came", there.nick));
        }
        Ok(())
    }

    /// 7: ids lead where they should, queues are bounded, cached audiences are right.
    fn check_state(&self, conn: Option<ConnId>) -> Outcome {
        if let Err(fault) = self.server.check() {
            return broken(Invariant::State, fault);
        }
        if let Some(session) = conn.and_then(|conn| self.server.session(conn))
            && session.parked.len() > PARKED
        {
            return broken(Invariant::State, format!("{} lines wait in a session", session.parked.len()));
        }
        let network = &self.server.network;
        for (_, channel) in &network.channels {
            if channel.audience.is_empty() {
                continue;
            }
            let mut real: Vec<Vec<u32>> = vec![Vec::new(); WORKERS];
            for conn in channel.members.keys().flat_map(|user| &network.users[*user].sessions) {
                real[usize::from(conn.worker)].push(conn.slot);
            }
            for (real, cached) in real.iter_mut().zip(&channel.audience) {
                let mut cached = cached.to_vec();
                real.sort_unstable();
                cached.sort_unstable();
                if *real != cached {
                    return broken(Invariant::State, format!("the audience of {} is out of date", channel.name));
                }
            }
        }
        Ok(())
    }

    /// 2: what shows a kept row says that it waits for it.
    fn check_waits(&self, actions: &Actions, several: bool) -> Outcome {
        if !self.strict {
            return Ok(());
        }
        let mut waits: BTreeMap<Vec<u8>, Seq> = BTreeMap::new();
        for (seq, record) in &actions.store {
            let Record::Message(row) = record else { continue };
            for caps in [CapSet::EMPTY, CapSet::of(&[Cap::ExtendedJoin])] {
                let mut bare = (**row).clone();
                bare.tags = None;
                let page = history::render(&plain_reader(caps), &[(*seq, bare)], true);
                for chunk in page.chunks {
                    // A QUIT or NICK stands in several conversations, and is one line: it waits for the last.
                    // The same text said twice is two lines: of the second more is known by its msgid.
                    let waits = waits.entry(chunk.to_vec()).or_insert(*seq);
                    let everywhere = matches!(row.kind, Kind::Quit | Kind::Nick) && !several;
                    *waits = if everywhere { *seq } else { *waits };
                }
            }
        }
        if waits.is_empty() {
            return Ok(());
        }
        let held = |line: &[u8], after: Seq| match waits.get(line) {
            Some(seq) if after < *seq => broken(
                Invariant::Durable,
                format!("{:?} shows {seq:x} and waits only for {after:x}", String::from_utf8_lossy(line)),
            ),
            _ => Ok(()),
        };
        for action in actions.net.iter().flatten() {
            match action {
                NetAction::Fanout { frame, .. } => {
                    for line in frame.forms.iter().flat_map(|form| &form.lines) {
                        held(line, frame.after)?;
                    }
                }
                // Of several commands, one may show what another has just changed, as state.
                NetAction::Send { bytes, after, .. } if !several => {
                    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                        let tags =
                            if line.starts_with(b"@") { line.iter().position(|byte| *byte == b' ') } else { None };
                        held(&line[tags.map_or(0, |at| at + 1)..], *after)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// 2: what tells of a presence or a read marker that is kept waits for that.
    fn check_acknowledged(&self, actions: &Actions, several: bool) -> Outcome {
        if !self.strict || several {
            return Ok(());
        }
        let (mut marker, mut chosen): (Seq, Seq) = (0, 0);
        let mut present: Vec<(Seq, &PresenceRow, Option<&PresenceRow>)> = Vec::new();
        for (seq, record) in &actions.store {
            match record {
                Record::Marker(_) => marker = *seq,
                Record::Presence(row) => {
                    let earlier = present.iter().rev().find(|(_, earlier, _)| earlier.account == row.account);
                    let before = earlier.map(|(_, earlier, _)| *earlier).or(self.store.presence(row.account));
                    // One that came later is another, though of the same name.
                    present.push((*seq, row, before.filter(|before| before.since == row.since)));
                }
                Record::Account(row)
                    if self.store.account(row.id).is_some_and(|before| before.always_on != row.always_on) =>
                {
                    chosen = *seq;
                }
                _ => {}
            }
        }
        if marker == 0 && chosen == 0 && present.is_empty() {
            return Ok(());
        }
        let held = |line: &[u8], after: Seq| {
            let text = String::from_utf8_lossy(line);
            let Ok(message) = Message::parse(text.trim_end()) else { return Ok(()) };
            let needs = match message.command() {
                "MARKREAD" => marker,
                "PERSISTENCE" => chosen,
                _ => 0,
            };
            if after < needs {
                return broken(Invariant::Durable, format!("{text:?} waits for {after:x} only, not for {needs:x}"));
            }
            for (seq, row, before) in &present {
                if after < *seq && tells_of(&message, row, *before) {
                    return broken(Invariant::Durable, format!("{text:?} waits for {after:x} only, not for {seq:x}"));
                }
            }
            Ok(())
        };
        for action in actions.net.iter().flatten() {
            match action {
                NetAction::Fanout { frame, .. } => {
                    for line in frame.forms.iter().flat_map(|form| &form.lines) {
                        held(line, frame.after)?;
                    }
                }
                NetAction::Send { bytes, after, .. } => {
                    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                        held(line, *after)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is pushed to a device is durable, as what is sent to a client.
    fn check_push(&mut self, line: &str) -> Outcome {
        let tags = line.strip_prefix('@').and_then(|rest| rest.split_once(' ')).map_or("", |(tags, _)| tags);
        let msgid = tags.split(';').find_map(|tag| tag.strip_prefix("msgid=")).and_then(MsgId::parse);
        let Some(MsgId { seq, .. }) = msgid else { return Ok(()) };
        self.count("a device told of a message");
        let kept = self.store.appended_rows.contains_key(&seq) && seq > self.durable;
        if kept && self.settings.wait_for_store && !self.settings.relay_when_store_fails {
            return broken(Invariant::Durable, format!("{line:?} is pushed and not durable"));
        }
        Ok(())
    }

    /// Counts what the run comes to, for [`REACHED`].
    fn count(&mut self, what: &str) {
        if let Some(at) = REACHED.iter().position(|name| *name == what) {
            self.reached[at] += 1;
        }
    }

    fn count_event(&mut self, event: &Event) {
        if let Event::Line(_, line) = event {
            self.given.extend(command::find(line.command()).map(|command| command.name));
        }
        match event {
            Event::Line(_, line) if line.command() == "PONG" && line.params().any(|text| text.starts_with("read-")) => {
                self.count("a device that says what it has read");
            }
            Event::Closed(_, CloseCause::SendQueue) => self.count("a reader given up"),
            Event::StoreFailed(_) => self.count("a store that fails"),
            Event::Shutdown(_) => self.count("a shutdown"),
            Event::Returned(id, returned) => {
                let waiting = self.server.session(id.conn).and_then(|session| session.waiting.as_ref());
                match waiting.filter(|waiting| waiting.serial == id.serial) {
                    None => self.count("a call that returns to nobody"),
                    Some(waiting) => match (&waiting.pending, returned) {
                        (Pending::Replay(_), Returned::History(page)) if page.messages > 0 => {
                            self.count("a replay at login");
                        }
                        (Pending::History { .. }, Returned::History(page)) if page.messages > 0 => {
                            self.count("a page of history with messages");
                            let context = b"draft/chathistory-context";
                            let has = |chunk: &Bytes| chunk.windows(context.len()).any(|bytes| bytes == context);
                            if page.chunks.iter().any(has) {
                                self.count("a page of history with what is about a message");
                            }
                        }
                        (Pending::Register { .. }, Returned::Failed(_)) => self.count("a hash that fails"),
                        (Pending::Register { .. }, Returned::Hashed(_)) => self.count("an account registered"),
                        (Pending::Oper { .. }, Returned::Verified(true)) => self.count("an operator"),
                        _ => {}
                    },
                }
            }
            _ => {}
        }
    }

    fn count_actions(&mut self, actions: &Actions) {
        for action in actions.net.iter().flatten() {
            match action {
                NetAction::WhenDrained { .. } => self.count("a long answer in pages"),
                NetAction::Pause { .. } => self.count("a paused connection"),
                NetAction::Close { bytes, .. } => {
                    let text = String::from_utf8_lossy(bytes);
                    if text.contains("(Killed") {
                        self.count("a user killed");
                    } else if text.contains("(Ping timeout") {
                        self.count("a ping timeout");
                    }
                }
                _ => {}
            }
        }
        if actions.store.iter().any(|(_, record)| matches!(record, Record::Channel(_))) {
            self.count("a channel registered");
        }
        if self.server.network.users.iter().any(|(_, user)| user.sessions.len() > 1) {
            self.count("a user with several connections");
        }
    }

    fn hash(&mut self, actions: &Actions) {
        for (worker, action) in actions.net.iter().enumerate().flat_map(|(at, net)| net.iter().map(move |a| (at, a))) {
            let mut say = |kind: u8, slot: u32, after: Seq, bytes: &[u8]| {
                digest(&mut self.digest, &[kind, worker as u8]);
                digest(&mut self.digest, &slot.to_le_bytes());
                digest(&mut self.digest, &after.to_le_bytes());
                digest(&mut self.digest, bytes);
            };
            match action {
                NetAction::Send { slot, after, bytes } => say(0, *slot, *after, bytes),
                NetAction::Fanout { frame, audience, except } => {
                    for slot in audience.iter() {
                        say(1, *slot, frame.after, &[]);
                    }
                    for line in frame.forms.iter().flat_map(|form| &form.lines) {
                        say(2, *except, frame.time, line);
                    }
                }
                NetAction::SetCaps { slot, caps } => say(3, *slot, caps.iter().count() as u64, &[]),
                NetAction::Registered { slot } => say(4, *slot, 0, &[]),
                NetAction::Pause { slot } => say(5, *slot, 0, &[]),
                NetAction::Resume { slot } => say(6, *slot, 0, &[]),
                NetAction::WhenDrained { slot } => say(7, *slot, 0, &[]),
                NetAction::Close { slot, after, bytes } => say(8, *slot, *after, bytes),
                NetAction::Release { slot } => say(9, *slot, 0, &[]),
            }
        }
        for (seq, record) in &actions.store {
            digest(&mut self.digest, format!("{seq} {record:?}").as_bytes());
        }
        for (id, call) in &actions.calls {
            digest(&mut self.digest, format!("{id:?} {call:?}").as_bytes());
        }
        for line in &actions.log {
            digest(&mut self.digest, line.text.as_bytes());
        }
    }

    /// Plants faults that lie in what the server says.
    fn spoil(&mut self, actions: &mut Actions) {
        let planted = &mut self.planted;
        if let Some(at) = actions.store.iter().position(|(_, record)| is_said(record)) {
            if planted.hits(Fault::RecordDropped) {
                actions.store.remove(at);
            } else if planted.hits(Fault::RecordAltered)
                && let (_, Record::Message(row)) = &mut actions.store[at]
            {
                row.text = format!("{} and more", row.text).into();
            }
        }
        if planted.is(Fault::ChannelUnkept) {
            actions.store.retain(|(_, record)| !matches!(record, Record::Channel(_)));
        }
        for (fault, unkept) in [
            (Fault::PresenceUnkept, (|record| matches!(record, Record::Presence(_))) as fn(&Record) -> bool),
            (Fault::PresenceOutlives, |record| matches!(record, Record::PresenceGone(_))),
            (Fault::MarkerUnkept, |record| matches!(record, Record::Marker(_))),
        ] {
            if planted.is(fault) {
                actions.store.retain(|(_, record)| !unkept(record) || !planted.hits(fault));
            }
        }
        for expiry in &mut actions.expire {
            if planted.hits(Fault::ExpiryTooMuch) {
                expiry.before += 60_000;
            }
        }
        if actions.store.len() > 1 && actions.store[0].0 != actions.store[1].0 && planted.hits(Fault::RecordsSwapped) {
            actions.store.swap(0, 1);
        }
        for (worker, net) in actions.net.iter_mut().enumerate() {
            let line = |action: &NetAction| match action {
                NetAction::Fanout { frame, .. } => frame.forms[0].lines[0].to_vec(),
                NetAction::Send { bytes, .. } => bytes.to_vec(),
                _ => Vec::new(),
            };
            let has = |action: &NetAction, word: &str| {
                line(action).windows(word.len()).any(|window| window == word.as_bytes())
            };
            let shows = |frame: &Frame, word: &str| {
                frame.forms[0].lines[0].windows(word.len()).any(|window| window == word.as_bytes())
            };
            net.retain(|action| {
                !(matches!(action, NetAction::Fanout { .. }) && has(action, " QUIT :") && planted.hits(Fault::QuitLost))
            });
            for action in net.iter_mut() {
                match action {
                    NetAction::Fanout { frame, .. }
                        if frame.after > 0
                            && ![" PRIVMSG ", " NOTICE ", " TAGMSG "].iter().any(|word| shows(frame, word))
                            && planted.hits(Fault::EventUnheld) =>
                    {
                        let mut other: Frame = (**frame).clone();
                        other.after = 0;
                        *frame = Arc::new(other);
                    }
                    NetAction::Fanout { frame, audience, .. } if frame.msgid.is_some() => {
                        let other = self.stale[worker].replace(audience.clone());
                        if let Some(other) = other.filter(|other| *other != *audience)
                            && planted.hits(Fault::AudienceStale)
                        {
                            *audience = other;
                        }
                    }
                    NetAction::Send { bytes, .. } => {
                        let text = String::from_utf8_lossy(bytes).into_owned();
                        if let Some(at) = text.find(" BATCH -").and_then(|at| text[..at].rfind('\n'))
                            && planted.hits(Fault::BatchOpen)
                        {
                            *bytes = text[..=at].to_owned().into();
                        } else if text.contains(" 366 ") && planted.hits(Fault::NumericMisaddressed) {
                            *bytes = text.replace(" 366 ", " 366 zz").into();
                        }
                    }
                    _ => {}
                }
            }
            let open = net.iter().find_map(|action| match action {
                NetAction::Send { slot, .. } => Some(*slot),
                _ => None,
            });
            if let Some(slot) = open
                && planted.hits(Fault::ReleasedEarly)
            {
                net.push(NetAction::Release { slot });
            }
            if let [.., NetAction::Send { slot: a, .. }, NetAction::Send { slot: b, .. }] = &net[..]
                && a != b
                && planted.hits(Fault::OrderByChance)
                && RandomState::new().hash_one(0).is_multiple_of(2)
            {
                let last = net.len() - 1;
                net.swap(last - 1, last);
            }
        }
    }

    // The end.

    /// Everything that is under way comes to rest; nobody begins anything new.
    fn settle(&mut self) -> Outcome {
        for _ in 0..2000 {
            let events = self.events;
            let mut busy = self.edge.is_behind();
            if self.store.failing {
                self.store.failing = false;
                self.handle(Event::StoreRecovered, &[])?;
            }
            while self.store.waiting() > 0 {
                self.commit(1000)?;
            }
            self.tell_workers();
            for _ in 0..self.calls.len() {
                self.call_returns()?;
            }
            for _ in 0..self.store.questions() {
                self.answer()?;
            }
            self.expire()?;
            for worker in 0..WORKERS {
                self.edge.work(worker, usize::MAX, &mut self.planted)?;
            }
            self.deliver(usize::MAX)?;
            for conn in self.edge.left() {
                self.edge.notice_close(conn, CloseCause::Eof { shown: None }, &mut self.planted);
            }
            for conn in self.edge.readable() {
                self.read_from(conn)?;
            }
            for at in 0..self.clients.len() {
                let socket = self.clients[at].socket;
                busy |= socket.is_some_and(|socket| !self.edge.sockets[socket].wire.is_empty());
                self.client_reads(at, usize::MAX)?;
            }
            if !busy && events == self.events && !self.edge.is_behind() && !self.edge.holds() {
                return Ok(());
            }
        }
        broken(Invariant::State, "the run does not come to rest")
    }

    fn rest(&mut self) -> Outcome {
        self.trace.note("at rest".to_owned());
        self.settle()?;
        for at in 0..self.clients.len() {
            let Some(socket) = self.clients[at].socket else { continue };
            if self.clients[at].view.registered && self.edge.conn_of(socket).is_some() {
                let rooms: Vec<String> = self.clients[at].view.rooms.keys().cloned().collect();
                let names = rooms.iter().map(|room| Typed::Line(format!("NAMES {room}")));
                self.edge.sockets[socket].typed.extend(names);
            }
        }
        self.settle()?;
        if let Some(socket) = self.edge.paused() {
            return broken(Invariant::State, format!("socket {socket} is still paused"));
        }
        for at in 0..self.clients.len() {
            self.check_client(at)?;
        }
        self.check_rebuilt()?;
        // Of more than a replay has, only the newest are replayed.
        if self.strict && self.settings.history && self.settings.autoreplay_limit > 100 {
            let row = |seq: Seq| self.store.disk.messages.get(&seq).cloned();
            let key = |row: &MessageRow| self.store.key(row.conversation).unwrap_or("").to_owned();
            self.devices.check_rest(&self.server, row, key)?;
        }
        for seq in &self.seen {
            if self.store.kept(*seq).is_none() {
                return broken(Invariant::Durable, format!("{seq:x} was seen and is not stored any more"));
            }
        }
        Ok(())
    }

    fn check_client(&mut self, at: usize) -> Outcome {
        let client = &self.clients[at];
        let Some(socket) = client.socket else { return Ok(()) };
        let Some(conn) = self.edge.conn_of(socket) else { return Ok(()) };
        let view = &client.view;
        let Some(session) = self.server.session(conn) else {
            return broken(Invariant::State, format!("client {at} is connected and the server does not know it"));
        };
        if session.is_busy() || !session.parked.is_empty() {
            return broken(Invariant::State, format!("client {at} waits for ever: {:?}", session.waiting));
        }
        if view.registered != session.user.is_some() {
            return broken(Invariant::State, format!("client {at} does not know whether it is registered"));
        }
        view.check_rest()?;
        let mut caps = session.caps;
        caps.remove(Cap::CapNotify);
        let mut known = view.caps;
        known.remove(Cap::CapNotify);
        if caps != known {
            return broken(Invariant::Caps, format!("client {at} has other capabilities than it knows"));
        }
        let Some(user) = session.user else { return Ok(()) };
        let network = &self.server.network;
        let there = &network.users[user];
        if *there.nick != *view.nick {
            return broken(Invariant::Members, format!("client {at} is {} and thinks {}", there.nick, view.nick));
        }
        let mut real: Vec<String> = Vec::new();
        for channel in there.channels.iter().map(|id| &network.channels[*id]) {
            let name = channel.folded.as_str().to_owned();
            let dim = name == DIM;
            // Of an auditorium's audience, not even oneself is listed.
            let listed = |other: UserId| {
                let shown = if channel.modes.has('u') && other == user {
                    channel.is_shown(user) || channel.ranks(user).is_some_and(|ranks| ranks.at_least(Rank::Halfop))
                } else {
                    channel.shows(user, other)
                };
                !dim || shown || there.is_oper()
            };
            let members: BTreeSet<String> = channel
                .members
                .keys()
                .filter(|other| listed(**other))
                .map(|other| network.users[*other].folded.as_str().to_owned())
                .collect();
            let known = view.rooms.get(&name).and_then(|room| if dim { &room.listed } else { &room.members }.as_ref());
            match known {
                Some(known) if *known == members => {}
                known => {
                    let text = format!("client {at} sees {known:?} in {name}, there are {members:?}");
                    return broken(Invariant::Members, text);
                }
            }
            real.push(name);
        }
        real.sort();
        let known: Vec<String> = view.rooms.keys().cloned().collect();
        if real != known {
            return broken(Invariant::Members, format!("client {at} is in {real:?} and thinks {known:?}"));
        }
        Ok(())
    }

    /// 2: a restart would find what the server has now.
    fn check_rebuilt(&self) -> Outcome {
        let snapshot = self.store.snapshot();
        let network = &self.server.network;
        for row in &snapshot.accounts {
            if network.account(row.id) != Some(row) {
                return broken(Invariant::Durable, format!("account {} is stored as {row:?}", row.name));
            }
        }
        for (row, last_time, last_text) in &snapshot.conversations {
            // How many came since they were counted, and what was said last since the start, is not kept.
            let (fresh, last_said) =
                network.conversation(&row.key).map_or((0, 0), |there| (there.fresh, there.last_said));
            let (id, closed, since, last_time, last_text) = (row.id, row.closed, row.since, *last_time, *last_text);
            let stored = Conversation { id, last_time, last_text, last_said, closed, since, fresh };
            // A start knows nothing of what is not there any more.
            if self.store.has_expired(row.id) {
                continue;
            }
            if network.conversation(&row.key) != Some(stored) {
                let there = network.conversation(&row.key);
                return broken(Invariant::Durable, format!("{} is stored as {stored:?} and is {there:?}", row.key));
            }
        }
        for row in &snapshot.seen {
            let there = network.stand(row.account, &row.device);
            let bounded =
                |all: &[Owed]| -> Vec<Owed> { all.iter().map(|owed| owed.up_to(row.seq.unwrap_or(NOW))).collect() };
            if (there.seen, bounded(&there.owed)) != (row.seq, bounded(&row.owed)) {
                return broken(Invariant::Durable, format!("{row:?} is stored, there is {there:?}"));
            }
        }
        let sorted = |network: &Network| {
            let mut channels: Vec<_> = network
                .channels
                .iter()
                .filter(|(_, channel)| is_found(network, channel))
                .filter_map(|(_, channel)| {
                    let mut lists: Vec<(char, String)> = ['b', 'e', 'I']
                        .into_iter()
                        .flat_map(|mode| channel.list(mode).into_iter().flatten().map(move |entry| (mode, entry)))
                        .map(|(mode, entry)| (mode, format!("{entry:?}")))
                        .collect();
                    lists.sort();
                    Some((channel.row()?, lists, channel.metadata_rows()))
                })
                .collect();
            channels.sort_by(|(a, ..), (b, ..)| a.folded.cmp(&b.folded));
            channels
        };
        let (here, stored) = (sorted(network), sorted(&new_server(&self.settings, snapshot, self.now).network));
        if let Some((here, stored)) = here.iter().zip(&stored).find(|(here, stored)| here != stored) {
            return broken(Invariant::Durable, format!("stored is {stored:?}\n    there is {here:?}"));
        }
        if here.len() != stored.len() {
            let (here, stored) = (here.len(), stored.len());
            return broken(Invariant::Durable, format!("{here} channels are kept, {stored} are stored"));
        }
        Ok(())
    }

    /// 10: what is given to the store is what there is, at every moment. As records are committed in their order, a
    /// crash then finds what there was at some moment, and at none before what anyone was shown.
    fn check_kept(&self) -> Outcome {
        let stored = Server::new(self.settings.clone(), self.store.snapshot_of_all(), WORKERS, self.now);
        let (here, there) = (&self.server.network, &stored.network);
        let mut accounts = BTreeSet::new();
        for (id, user) in here.users.iter().filter(|(id, _)| self.server.is_to_be_kept(*id)) {
            // Whoever is there without being away is away with its last connection.
            let gone = user.sessions.is_empty();
            let account = user.account.and_then(|id| here.account(id));
            let Some(account) = account.filter(|account| accounts.insert(account.id)) else {
                return broken(Invariant::Kept, format!("{} is kept, and another of its account", user.nick));
            };
            // It comes back under its account's nick.
            let nick = if self.server.stays(id) { user.nick.clone() } else { (&*account.name).into() };
            let kept = there.user_by_nick(&nick).map(|id| {
                let kept = &there.users[id];
                presence(there, id, gone, (&kept.nick, kept.former_nick.as_deref()))
            });
            let former = if self.server.stays(id) { user.former_nick.as_deref() } else { Some(&*user.nick) };
            let now = presence(here, id, gone, (&nick, former));
            if kept.as_ref() != Some(&now) {
                return broken(Invariant::Kept, format!("{} is kept as {kept:?}\n    and is {now:?}", user.nick));
            }
        }
        for (_, user) in &there.users {
            if !user.account.is_some_and(|account| accounts.contains(&account)) {
                return broken(Invariant::Kept, format!("{} would come back from the dead", user.nick));
            }
        }
        for id in here.account_ids().into_iter().chain(there.account_ids()) {
            let row = here.account(id);
            if row != there.account(id) {
                return broken(Invariant::Kept, format!("account {id} is {row:?}, kept is {:?}", there.account(id)));
            }
            let (now, kept) = (here.account_settings(id), there.account_settings(id));
            if now != kept {
                return broken(Invariant::Kept, format!("account {id} has {now:?}, kept is {kept:?}"));
            }
            let (now, kept) = (here.markers_of(id), there.markers_of(id));
            if now != kept {
                return broken(Invariant::Kept, format!("account {id} has read {now:?}, kept is {kept:?}"));
            }
            let told = |network: &Network| {
                let mut devices: Vec<String> = network.subscriptions(id).iter().map(|row| format!("{row:?}")).collect();
                devices.sort();
                devices
            };
            if told(here) != told(there) {
                let (now, kept) = (told(here), told(there));
                return broken(Invariant::Kept, format!("account {id} has devices {now:?}, kept are {kept:?}"));
            }
        }
        let sealed = |channel: &Channel| {
            let list = |mode| channel.list(mode).into_iter().flatten().map(|entry| format!("{entry:?}"));
            let lists: BTreeSet<String> = ['b', 'e', 'I'].into_iter().flat_map(list).collect();
            let chosen = (channel.settings.clone(), channel.access.clone(), channel.metadata.clone());
            (channel.row(), lists, chosen)
        };
        for (_, channel) in here.channels.iter().filter(|(_, channel)| is_found(here, channel)) {
            let kept = there.channel_by_name(&channel.name).map(|id| sealed(&there.channels[id]));
            let now = sealed(channel);
            if kept.as_ref() != Some(&now) {
                return broken(Invariant::Kept, format!("{} is kept as {kept:?}\n    and is {now:?}", channel.name));
            }
        }
        for (_, channel) in &there.channels {
            if !here.channel_by_name(&channel.name).is_some_and(|id| is_found(here, &here.channels[id])) {
                return broken(Invariant::Kept, format!("{} would come back", channel.name));
            }
        }
        Ok(())
    }

    /// Everyone goes; nothing is left.
    fn end(&mut self) -> Outcome {
        if self.random.percent(30) {
            self.handle(Event::Shutdown("The server is ending".into()), &[])?;
        } else {
            for at in 0..self.clients.len() {
                self.client_closes(at);
            }
        }
        self.settle()?;
        self.settle()?;
        self.now.mono_ms += 1_000_000;
        self.handle(Event::Tick, &[])?;
        self.settle()?;
        if self.server.session_counts() != (0, 0) {
            return broken(Invariant::State, format!("sessions are left: {:?}", self.server.session_counts()));
        }
        let network = &self.server.network;
        let left: Vec<&str> = network
            .users
            .iter()
            .filter(|(id, user)| !self.server.stays(*id) || !user.sessions.is_empty())
            .map(|(_, user)| &*user.nick)
            .collect();
        if !left.is_empty() || network.opers != 0 {
            return broken(Invariant::State, format!("{left:?} are left, and {} operators", network.opers));
        }
        let stays =
            |channel: &Channel| channel.founder.is_some() || channel.modes.has('P') || !channel.members.is_empty();
        if let Some((_, channel)) = network.channels.iter().find(|(_, channel)| !stays(channel)) {
            return broken(Invariant::State, format!("channel {} is left", channel.name));
        }
        self.edge.check_empty()
    }
}

/// Whether a line shows what of someone's presence is another now.
fn tells_of(message: &Message, now: &PresenceRow, before: Option<&PresenceRow>) -> bool {
    let nick = message.source().unwrap_or("").split('!').next().unwrap_or("");
    let param = |at: usize| message.param(at).unwrap_or("");
    let is_in = |row: &PresenceRow, channel: &str| {
        let mut names = row.channels.split(' ').map(|word| word.rsplit_once(':').map_or(word, |(name, _)| name));
        names.any(|name| fold(name) == fold(channel))
    };
    let was_in = |channel: &str| before.is_some_and(|before| is_in(before, channel));
    let own = fold(nick) == fold(&now.nick);
    let modes = |row: &PresenceRow| row.modes.replace(['o', 's', 'Z'], "");
    match message.command() {
        "JOIN" => own && !was_in(param(0)) && is_in(now, param(0)),
        "PART" => own && was_in(param(0)) && !is_in(now, param(0)),
        "KICK" => fold(param(1)) == fold(&now.nick) && was_in(param(0)) && !is_in(now, param(0)),
        "SETNAME" => own && before.is_some_and(|before| before.realname != now.realname),
        "AWAY" => own && before.is_some_and(|before| before.away != now.away),
        "305" | "306" => fold(param(0)) == fold(&now.nick) && before.is_some_and(|before| before.away != now.away),
        "MODE" => fold(param(0)) == fold(&now.nick) && before.is_some_and(|before| modes(before) != modes(now)),
        _ => false,
    }
}

/// What of an always-on user outlives a restart.
fn presence(
    network: &Network,
    id: UserId,
    gone: bool,
    nicks: (&str, Option<&str>),
) -> impl PartialEq + std::fmt::Debug + use<> {
    let user = &network.users[id];
    let mut channels: Vec<(String, String, Option<u64>)> = Vec::new();
    for channel in user.channels.iter().map(|channel| &network.channels[*channel]) {
        let ranks = channel.ranks(id).unwrap_or_default().iter().map(Rank::letter).collect();
        channels.push((channel.folded.as_str().to_owned(), ranks, channel.joined.get(&id).copied()));
    }
    channels.sort();
    let mut modes = user.modes;
    // They are the connections'.
    for mode in ['o', 's', 'Z'] {
        modes.set(mode, false);
    }
    let away = user.away.clone().filter(|_| gone);
    let who = (format!("{nicks:?}"), user.account, user.user.clone(), user.realname.clone());
    let hosts = (user.host.clone(), user.plain_host.clone(), user.plain_host_known, user.former_hosts.clone());
    (who, hosts, modes.text(), channels, away, user.signon, user.since)
}

fn new_server(settings: &Arc<Settings>, snapshot: Snapshot, now: Now) -> Server {
    Server::new(settings.clone(), snapshot, WORKERS, now)
}

fn plain_reader(caps: CapSet) -> Reader {
    Reader {
        caps,
        server: "roost.local".into(),
        label: None,
        batch: None,
        batch_type: "chathistory",
        told: None,
        own: Box::default(),
        most: u32::MAX,
        target: "".into(),
        channels: Default::default(),
        epoch: EPOCH,
        nick: "".into(),
    }
}

fn is_said(record: &Record) -> bool {
    matches!(record, Record::Message(row) if row.kind.is_text() || row.kind == Kind::Tagmsg)
}

/// FNV-1a.
fn digest(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    *hash = hash.rotate_left(5) ^ bytes.len() as u64;
}

/// Who was where at one moment.
struct Scene {
    channels: BTreeMap<String, Vec<UserId>>,
    sessions: BTreeMap<UserId, Vec<(ConnId, CapSet)>>,
    nicks: BTreeMap<String, UserId>,
    deaf: BTreeSet<UserId>,
}

/// How many copies of a message a connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    /// One, in its turn.
    First,
    /// One, behind the other answers: what is said to oneself.
    Second,
    /// Both.
    Both,
}

impl Scene {
    fn of(server: &Server) -> Scene {
        let network = &server.network;
        let caps = |conn: &ConnId| server.session(*conn).map_or(CapSet::EMPTY, |session| session.caps);
        Scene {
            channels: network
                .channels
                .iter()
                .map(|(_, channel)| (channel.folded.as_str().to_owned(), channel.members.keys().copied().collect()))
                .collect(),
            sessions: network
                .users
                .iter()
                .map(|(id, user)| (id, user.sessions.iter().map(|conn| (*conn, caps(conn))).collect()))
                .collect(),
            nicks: network.users.iter().map(|(id, user)| (user.folded.as_str().to_owned(), id)).collect(),
            deaf: network.users.iter().filter(|(_, user)| user.is_deaf()).map(|(id, _)| id).collect(),
        }
    }

    fn audience(&self, row: &MessageRow, key: &str, by: Option<ConnId>) -> BTreeMap<ConnId, Copies> {
        let mut all = BTreeMap::new();
        let nick = fold(row.source.split('!').next().unwrap_or(""));
        // Of several commands, one may have taken a nick, and the next given it up.
        let of_by = || {
            let by = by.filter(|_| !row.source.ends_with("@relayed.invalid"))?;
            self.sessions
                .iter()
                .find(|(_, sessions)| sessions.iter().any(|(conn, _)| *conn == by))
                .map(|(user, _)| *user)
        };
        let sender = self.nicks.get(&nick).copied().or_else(of_by);
        let sessions = |user: UserId| self.sessions.get(&user).into_iter().flatten().copied();
        let takes = |caps: CapSet| row.kind != Kind::Tagmsg || caps.has(Cap::MessageTags);
        let mut add = |user: UserId, own_too: bool| {
            for (conn, caps) in sessions(user).filter(|(_, caps)| takes(*caps)) {
                let echo = caps.has(Cap::EchoMessage);
                if Some(conn) == by {
                    if echo {
                        all.insert(conn, Copies::First);
                    }
                } else if own_too || echo || caps.has_any(CapSet::of(&[Cap::SelfMessage, Cap::MessageTags])) {
                    all.insert(conn, Copies::First);
                }
            }
        };
        if key.starts_with('#') {
            for user in self.channels.get(key).into_iter().flatten().filter(|user| !self.deaf.contains(user)) {
                add(*user, true);
            }
            if let Some(sender) = sender {
                add(sender, true);
            }
            // Of what it has said under another name, too, whoever is deaf has the echo that it wants.
            let own_caps = self.sessions.values().flatten().find(|(conn, _)| Some(*conn) == by).map(|(_, caps)| *caps);
            if row.source.ends_with("@relayed.invalid") && own_caps.is_some_and(|caps| caps.has(Cap::EchoMessage)) {
                all.extend(by.map(|by| (by, Copies::First)));
            }
            return all;
        }
        let target = self.nicks.get(&fold(&row.target)).copied();
        if let Some(target) = target {
            add(target, true);
        }
        if let Some(sender) = sender.filter(|sender| Some(*sender) != target) {
            add(sender, false);
        }
        if let (Some(by), true) = (by, sender.is_some() && sender == target)
            && let Some((_, caps)) = sender.into_iter().flat_map(sessions).find(|(conn, _)| *conn == by)
            && takes(caps)
        {
            all.insert(by, if caps.has(Cap::EchoMessage) { Copies::Both } else { Copies::Second });
        }
        all
    }
}

fn describe(event: &Event) -> String {
    let at = |conn: &ConnId| format!("{}/{}", conn.worker, conn.slot);
    match event {
        Event::Opened(conn, peer) => format!("{} opened from {}", at(conn), peer.ip),
        Event::Line(conn, line) => format!("{} > {}", at(conn), line.as_str()),
        Event::BadLine(conn, bad) => format!("{} > {bad:?}", at(conn)),
        Event::Returned(id, Returned::History(page)) => {
            format!("{} history: {} messages", at(&id.conn), page.messages)
        }
        Event::Returned(id, returned) => format!("{} {returned:?}", at(&id.conn)),
        Event::Reload(_) => "reload".to_owned(),
        other => format!("{other:?}"),
    }
}
