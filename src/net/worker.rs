//! One network thread: its connections, and the loop that reads, applies and writes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ircv3::Cidr;
use tokio::time::Sleep;
use tokio_util::codec::Decoder;

use crate::limits::{
    BULK_BYTES, HANDSHAKE_MS, LINES_A_TURN, LINGER_MS, PROXY_HEADER_MS, SENDQ_BEFORE_REGISTRATION, SHUTDOWN_MS,
};
use crate::net::Options;
use crate::net::connection::{Connection, Phase, Transport};
use crate::net::fanout::Run;
use crate::net::flood::Bucket;
use crate::net::line::{Line, parse_line};
use crate::net::link::{Link, Socket};
use crate::net::proxy::Introduction;
use crate::net::queue::{Accepted, EventQueue, Inbox, lock};
use crate::net::websocket::Pages;
use crate::server::action::{NOBODY, NetAction};
use crate::server::event::{CloseCause, ConnId, Event, Peer};
use crate::server::record::Seq;

/// Bytes of one read; shared by all connections of a worker.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection in one turn.
const READS_A_TURN: usize = 4;
/// Events that a worker gathers from connections that have more to say before it hands them over.
const GATHERED_EVENTS: usize = 512;
/// Connections that get their turn in one round because their sockets have something to say: where
/// thousands do at once, the others' lines go out in between.
const TURNS_A_ROUND: usize = 1024;
/// Turns that such a connection gets before new input of others is looked at.
const ROUNDS_OF_TURNS: usize = 8;
/// Milliseconds without a word from any side, once everything is said and the server ends, after which those that have
/// not closed are left: a way round the world, for what was under way.
const LAST_LINGER_MS: u64 = 200;
/// What those are told whom the server does not know yet when it ends.
const ENDING: &[u8] = b"ERROR :Closing Link: (The server is shutting down)\r\n";

/// A worker: a future that never ends before [`Inbox::end`], to be spawned on a runtime of its own thread.
///
/// What holds:
/// - Lines of a connection reach the server in order, with at most [`LINES_A_TURN`] before the next
///   connection's turn.
/// - Actions are done in order for each connection. What must not be seen yet waits in one queue for
///   the whole worker, and what comes later for the same connections waits behind it; everyone
///   else's passes.
/// - All actions that have come are applied before anything is written, and then each connection is
///   written once.
/// - A slot that the server knows is used again only after [`NetAction::Release`] was applied.
/// - Whoever is disconnected by the server has the time to read why: nothing is closed with input unread, within
///   bounds of time and bytes.
pub struct Worker {
    index: u16,
    options: Options,
    server: Arc<EventQueue>,
    inbox: Arc<Inbox>,
    ready: Arc<Ready>,
    connections: Vec<Option<Box<Connection>>>,
    /// By slot: up to which number something is held back for it.
    held_until: Vec<Seq>,
    /// By slot: whether it belongs to a connection, or to one that the server has not forgotten yet.
    taken: Vec<bool>,
    free: Vec<u32>,
    open: usize,
    serial: u32,
    durable: Seq,
    /// What the server said of changes up to this number has been taken from the inbox.
    handed_over: Seq,
    held: VecDeque<(Seq, NetAction)>,
    run: Run,
    dirty: Vec<u32>,
    /// Connections whose queue has grown past its bound in this round.
    full: Vec<u32>,
    hungry: Vec<u32>,
    events: Vec<Event>,
    /// Whether the server has no room for `events`.
    stalled: bool,
    timers: BinaryHeap<Reverse<(u64, u32, u32)>>,
    sleep: Option<(u64, Pin<Box<Sleep>>)>,
    started: Instant,
    now_ms: u64,
    /// When the worker was told to end.
    ending: Option<u64>,
    /// When the worker last had something to say, or was told something, by a connection that is being closed.
    stirred: u64,
    /// For when it was last asked to be woken while it ends.
    last_alarm: u64,
    actions: Vec<NetAction>,
    sockets: Vec<Accepted>,
    tokens: VecDeque<u32>,
    scratch: Box<[u8]>,
    input: BytesMut,
    output: Vec<u8>,
}

impl Worker {
    /// Worker number `index`, which takes from `inbox` and tells `server`.
    pub fn new(index: u16, options: Options, server: Arc<EventQueue>, inbox: Arc<Inbox>) -> Worker {
        Worker {
            index,
            options,
            server,
            durable: inbox.durable(),
            handed_over: inbox.handed_over(),
            inbox,
            ready: Arc::default(),
            connections: Vec::new(),
            held_until: Vec::new(),
            taken: Vec::new(),
            free: Vec::new(),
            open: 0,
            serial: 0,
            held: VecDeque::new(),
            run: Run::default(),
            dirty: Vec::new(),
            full: Vec::new(),
            hungry: Vec::new(),
            events: Vec::new(),
            stalled: false,
            timers: BinaryHeap::new(),
            sleep: None,
            started: Instant::now(),
            now_ms: 0,
            ending: None,
            stirred: 0,
            last_alarm: 0,
            actions: Vec::new(),
            sockets: Vec::new(),
            tokens: VecDeque::new(),
            scratch: vec![0; READ_BYTES].into(),
            input: BytesMut::new(),
            output: Vec::new(),
        }
    }

    fn id(&self, slot: u32) -> ConnId {
        ConnId { worker: self.index, slot }
    }

    /// One round; `true` once the worker has ended.
    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        self.now_ms = self.started.elapsed().as_millis() as u64;
        self.ready.attend(&mut self.tokens, cx.waker());
        let handed_over = self.inbox.handed_over();
        if self.inbox.take(&mut self.actions, &mut self.sockets, cx.waker()) {
            self.ending.get_or_insert(self.now_ms);
            // Nobody has spoken with them yet.
            self.sockets.clear();
        }
        if self.actions.is_empty() {
            // What there was has been written: nothing of it is to come.
            self.handed_over = handed_over;
        }
        if self.stalled {
            self.hand_over();
        }

        // What came in goes to the server first: it works while this thread writes.
        let mut sockets = std::mem::take(&mut self.sockets);
        for accepted in sockets.drain(..) {
            self.admit(accepted);
        }
        self.sockets = sockets;
        for _ in 0..TURNS_A_ROUND {
            let Some(slot) = self.tokens.pop_front() else { break };
            self.turn(slot);
        }
        if !self.tokens.is_empty() {
            cx.waker().wake_by_ref();
        }
        for _ in 0..ROUNDS_OF_TURNS {
            if self.stalled || self.hungry.is_empty() || self.events.len() >= GATHERED_EVENTS {
                break;
            }
            for slot in std::mem::take(&mut self.hungry) {
                if let Some(connection) = self.connection(slot) {
                    connection.hungry = false;
                    self.turn(slot);
                }
            }
        }
        self.hand_over();

        // What the server said: applied first, all of it, and then written.
        self.release();
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.arrive(action);
        }
        self.actions = actions;
        self.handed_over = handed_over;
        self.finish_run();
        self.hold();
        self.write();

        self.run_timers(cx);
        self.write();
        self.hand_over();
        if !self.stalled && !self.hungry.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.ending.is_some_and(|since| self.is_done(since, cx))
    }

    /// Gives the server what has gathered; where it has no room, sockets are not read until it has. A server that has
    /// ended takes nothing any more, and what still comes is read away.
    fn hand_over(&mut self) {
        if self.ending.is_some() {
            self.events.clear();
        }
        self.stalled = !self.server.push_batch(&mut self.events, &self.inbox);
    }

    fn connection(&mut self, slot: u32) -> Option<&mut Connection> {
        self.connections.get_mut(slot as usize)?.as_deref_mut()
    }

    // Sockets to events.

    fn free_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.held_until.push(0);
            self.taken.push(false);
            (self.connections.len() - 1) as u32
        })
    }

    fn waker(&self, slot: u32) -> Waker {
        Waker::from(Arc::new(ConnectionWaker { ready: self.ready.clone(), slot }))
    }

    fn admit(&mut self, accepted: Accepted) {
        let slot = self.free_slot();
        let waker = self.waker(slot);
        let wire = accepted.wire;
        let peer = Peer {
            tls: wire.tls.is_some(),
            websocket: wire.websocket.is_some(),
            host: wire.host.clone(),
            ..Peer::new(accepted.peer.ip().to_canonical(), accepted.peer.port())
        };
        let in_any = |networks: &[Cidr]| networks.iter().any(|network| network.contains(peer.ip));
        let introduces = match &wire.proxies {
            Some(proxies) if !in_any(proxies) => {
                tracing::debug!("{} is none of the proxies of its listener", peer.ip);
                self.free.push(slot);
                return;
            }
            Some(_) => Some(true),
            None if in_any(&wire.trusted) => Some(false),
            None => None,
        };
        let shakes_hands = peer.tls || peer.websocket;
        let transport = accepted.socket.watch().and_then(|stream| {
            let socket = Socket::new(stream, waker);
            Ok(match introduces {
                Some(required) => Transport::Introducing(Box::new((Introduction::new(socket, required), wire))),
                None => {
                    let tls = wire.tls.map(|setup| setup.accept()).transpose().map_err(io::Error::other)?;
                    let pages = wire.websocket.map(|origins| Pages { origins, trusted: None });
                    Transport::Greeting(Link::new(socket, tls), pages)
                }
            })
        });
        let transport = match transport {
            Ok(transport) => transport,
            Err(error) => {
                tracing::warn!("a new connection from {} cannot be used: {error}", peer.ip);
                self.free.push(slot);
                return;
            }
        };
        let flood = self.options.flood.map(|flood| Box::new(Bucket::new(flood, self.now_ms)));
        self.serial = self.serial.wrapping_add(1);
        let mut connection = Connection::new(transport, self.serial, flood, Some(Box::new(peer)));
        connection.seat = Some(accepted.seat);
        self.connections[slot as usize] = Some(Box::new(connection));
        self.taken[slot as usize] = true;
        self.open += 1;
        if introduces.is_some() {
            self.timers.push(Reverse((self.now_ms + PROXY_HEADER_MS, slot, self.serial)));
        } else if shakes_hands {
            self.timers.push(Reverse((self.now_ms + HANDSHAKE_MS, slot, self.serial)));
        }
        self.turn(slot);
    }

    /// A connection's turn: its socket woke it, or its time has come.
    fn turn(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else { return };
        if connection.phase == Phase::Handshake && !self.greet(slot) {
            return;
        }
        let Some(connection) = self.connection(slot) else { return };
        if connection.has_output() || connection.phase == Phase::Closing {
            self.flush(slot);
        }
        let stalled = self.stalled;
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        match connection.phase {
            Phase::Closing | Phase::Lingering => self.drain(slot),
            _ if connection.paused || connection.delayed => {}
            _ if stalled => self.feed_later(slot),
            _ => self.read(slot),
        }
    }

    /// Reads away what a connection says after the server's last word, up to a bound: closing a socket in which
    /// something lies unread would take from the other side what it has not read yet.
    fn drain(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        let lingers = connection.phase == Phase::Lingering;
        for _ in 0..READS_A_TURN {
            if connection.patience == 0 && lingers {
                return self.finish(slot, CloseCause::Asked);
            }
            if connection.patience == 0 {
                // Its last lines are still on their way: it has until its deadline to read them.
                return;
            }
            match connection.transport.drain(&mut self.scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Whoever says nothing more may still read.
                Ok(0) if !lingers => return,
                Ok(0) | Err(_) => return self.finish(slot, CloseCause::Asked),
                Ok(count) => {
                    connection.patience = connection.patience.saturating_sub(count as u32);
                    self.stirred = self.now_ms;
                }
            }
        }
        self.feed_later(slot);
    }

    /// Goes on with the handshakes; `true` once the server knows of the connection.
    fn greet(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connection(slot) else { return false };
        let introducing = matches!(connection.transport, Transport::Introducing(_));
        match connection.transport.handshake(connection.peer.as_deref_mut()) {
            Ok(()) => {
                connection.phase = Phase::Open;
                if let Some(mut peer) = connection.peer.take() {
                    if let Some(link) = connection.transport.link() {
                        peer.certfp = link.certfp().or(peer.certfp);
                        peer.bindings = link.bindings();
                        peer.sni = link.sni();
                    }
                    let id = self.id(slot);
                    self.events.push(Event::Opened(id, peer));
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if introducing && !matches!(connection.transport, Transport::Introducing(_)) {
                    self.await_handshake(slot);
                }
                false
            }
            Err(error) => {
                if let (Transport::Introducing(_), Some(peer)) = (&connection.transport, &connection.peer)
                    && error.kind() == io::ErrorKind::InvalidData
                {
                    tracing::debug!("the proxy at {} said nothing that can be used: {error}", peer.ip);
                }
                self.forget(slot);
                false
            }
        }
    }

    /// A proxy has said what it had to say: the handshakes have their own time.
    fn await_handshake(&mut self, slot: u32) {
        self.serial = self.serial.wrapping_add(1);
        let (serial, deadline) = (self.serial, self.now_ms + HANDSHAKE_MS);
        if let Some(connection) = self.connection(slot) {
            // The timer that ran for the proxy does not find it any more.
            connection.serial = serial;
            self.timers.push(Reverse((deadline, slot, serial)));
        }
    }

    /// Drops a connection that the server never knew.
    fn forget(&mut self, slot: u32) {
        if self.connections[slot as usize].take().is_some() {
            self.open -= 1;
            self.taken[slot as usize] = false;
            self.free.push(slot);
        }
    }

    fn feed_later(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else { return };
        if !connection.hungry {
            connection.hungry = true;
            self.hungry.push(slot);
        }
    }

    fn read(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        let mut reading = Reading {
            id: ConnId { worker: self.index, slot },
            options: self.options,
            now_ms: self.now_ms,
            events: &mut self.events,
            lines: 0,
        };
        let stop = match connection.transport {
            Transport::WebSocket(_) => reading.messages(connection),
            _ => {
                self.input.clear();
                self.input.extend_from_slice(&connection.input);
                if !connection.input.is_empty() {
                    connection.input = Vec::new();
                }
                let stop = reading.lines(connection, &mut self.input, &mut self.scratch);
                if !self.input.is_empty() {
                    connection.input = self.input.to_vec();
                }
                stop
            }
        };
        match stop {
            Stop::Dry => {}
            Stop::More => self.feed_later(slot),
            Stop::Delay(ms) => {
                connection.delayed = true;
                self.timers.push(Reverse((self.now_ms + ms, slot, connection.serial)));
            }
            Stop::Closed(CloseCause::Flood) => {
                self.turn_out(slot, CloseCause::Flood, b"ERROR :Closing Link: (Excess Flood)\r\n");
            }
            // Whoever speaks WebSocket or TLS has a way of its own to say what was wrong, and has said it.
            Stop::Refused(cause) => self.turn_out(slot, cause, b""),
            Stop::Closed(cause) => self.finish(slot, cause),
        }
    }

    /// The connection is gone: the socket is closed, and the server is told.
    fn finish(&mut self, slot: u32, cause: CloseCause) {
        if self.connection(slot).is_some_and(|connection| connection.disowned) {
            return self.forget(slot);
        }
        if let Some(connection) = self.connections[slot as usize].take() {
            self.open -= 1;
            let id = self.id(slot);
            let cause = match cause {
                CloseCause::Eof { .. } => CloseCause::Eof { shown: self.shown_to(&connection, slot) },
                cause => cause,
            };
            self.events.push(Event::Closed(id, cause));
        }
    }

    /// Up to which change all that was for a connection has been given to the system.
    fn shown_to(&self, connection: &Connection, slot: u32) -> Option<Seq> {
        // What is held back is of changes behind the mark.
        let most = if self.is_held(slot) { self.durable } else { Seq::MAX };
        (!connection.has_output()).then(|| most.min(self.handed_over))
    }

    /// Ends a connection without being asked: the server is told at once that it is gone, and the other side has
    /// `line`, and as much time to read it as after any other end. Meanwhile it has a slot that the server does not
    /// know.
    fn turn_out(&mut self, slot: u32, cause: CloseCause, line: &'static [u8]) {
        let Some(mut connection) = self.connections[slot as usize].take() else { return };
        let id = self.id(slot);
        self.events.push(Event::Closed(id, cause));
        let slot = self.free_slot();
        if let Some(link) = connection.transport.link_mut() {
            link.set_waker(self.waker(slot));
        }
        connection.give_up(line);
        connection.disowned = true;
        connection.drain_asked = false;
        // The lists have it by its old slot.
        (connection.dirty, connection.hungry) = (false, false);
        self.connections[slot as usize] = Some(connection);
        self.taken[slot as usize] = true;
        self.close(slot);
    }

    // Actions to queues.

    /// Applies what was held back and may be seen now.
    fn release(&mut self) {
        self.durable = self.inbox.durable();
        while self.held.front().is_some_and(|(release, _)| *release <= self.durable) {
            if let Some((_, action)) = self.held.pop_front() {
                self.apply(action);
            }
        }
    }

    /// If something is held back, asks to be told when the mark moves.
    fn hold(&mut self) {
        while !self.held.is_empty() {
            self.inbox.set_holding(true);
            if self.inbox.durable() == self.durable {
                return;
            }
            self.release();
            self.finish_run();
        }
    }

    fn is_held(&self, slot: u32) -> bool {
        self.held_until.get(slot as usize).is_some_and(|until| *until > self.durable)
    }

    /// Applies an action, or holds it back: because of what it shows, or because something else is
    /// held back for the same connection.
    fn arrive(&mut self, action: NetAction) {
        match &action {
            NetAction::Send { slot, after, .. } | NetAction::Close { slot, after, .. } => {
                let (slot, after) = (*slot, *after);
                if after > self.durable || self.is_held(slot) {
                    return self.hold_back(after, &[slot], NOBODY, action);
                }
            }
            NetAction::SetCaps { slot, .. } | NetAction::WhenDrained { slot } | NetAction::Release { slot } => {
                let slot = *slot;
                if self.is_held(slot) {
                    return self.hold_back(0, &[slot], NOBODY, action);
                }
            }
            NetAction::Fanout { frame, audience, except } => {
                let (after, audience, except) = (frame.after, audience.clone(), *except);
                if after > self.durable {
                    return self.hold_back(after, &audience, except, action);
                }
                if !self.held.is_empty() {
                    return self.fan_out_around(action, &audience, except);
                }
            }
            NetAction::Registered { .. } | NetAction::Pause { .. } | NetAction::Resume { .. } => {}
        }
        self.apply(action);
    }

    fn hold_back(&mut self, after: Seq, slots: &[u32], except: u32, action: NetAction) {
        let release = self.held.back().map_or(after, |(last, _)| after.max(*last));
        for slot in slots {
            if *slot == except {
                continue;
            }
            if let Some(until) = self.held_until.get_mut(*slot as usize) {
                *until = release;
            }
        }
        self.held.push_back((release, action));
    }

    /// A fan-out that may be seen at once, while something is held back for part of its audience.
    fn fan_out_around(&mut self, action: NetAction, audience: &[u32], except: u32) {
        let (later, now): (Vec<u32>, Vec<u32>) =
            audience.iter().filter(|slot| **slot != except).partition(|slot| self.is_held(**slot));
        if later.is_empty() {
            self.apply(action);
        } else if now.is_empty() {
            self.hold_back(0, audience, except, action);
        } else if let NetAction::Fanout { frame, .. } = action {
            let part =
                |slots: &[u32]| NetAction::Fanout { frame: frame.clone(), audience: slots.into(), except: NOBODY };
            self.apply(part(&now));
            self.hold_back(0, &later, NOBODY, part(&later));
        }
    }

    fn apply(&mut self, action: NetAction) {
        match action {
            NetAction::Fanout { frame, audience, except } => {
                if !self.run.joins(&audience) {
                    self.finish_run();
                }
                self.run.push(frame, audience, except);
            }
            NetAction::Send { slot, bytes, .. } => {
                self.let_pass(slot);
                self.send(slot, bytes);
            }
            NetAction::SetCaps { slot, caps } => {
                self.let_pass(slot);
                if let Some(connection) = self.connection(slot) {
                    connection.caps = caps;
                }
            }
            NetAction::WhenDrained { slot } => {
                self.let_pass(slot);
                if let Some(connection) = self.connection(slot) {
                    connection.drain_asked = true;
                    self.soil(slot);
                }
            }
            NetAction::Close { slot, bytes, .. } => {
                self.let_pass(slot);
                self.send(slot, bytes);
                self.close(slot);
            }
            NetAction::Release { slot } => {
                self.let_pass(slot);
                // A slot that is in use, or released twice, would be the server's mistake: it must not
                // show one person what was meant for another.
                let gone = self.connections.get(slot as usize).is_some_and(Option::is_none);
                if gone && std::mem::take(&mut self.taken[slot as usize]) {
                    self.free.push(slot);
                }
            }
            NetAction::Registered { slot } => {
                if let Some(connection) = self.connection(slot) {
                    connection.registered = true;
                    if let Some(flood) = &mut connection.flood {
                        flood.registered();
                    }
                }
            }
            NetAction::Pause { slot } => {
                if let Some(connection) = self.connection(slot) {
                    connection.paused = true;
                }
            }
            NetAction::Resume { slot } => {
                if let Some(connection) = self.connection(slot) {
                    connection.paused = false;
                    self.feed_later(slot);
                }
            }
        }
    }

    /// Ends the run of fan-outs if `slot` might be part of it.
    fn let_pass(&mut self, slot: u32) {
        if !self.run.passes(slot) {
            self.finish_run();
        }
    }

    fn finish_run(&mut self) {
        let (dirty, full, options) = (&mut self.dirty, &mut self.full, self.options);
        self.run.deliver(&mut self.connections, |slot, connection| {
            if !connection.dirty {
                connection.dirty = true;
                dirty.push(slot);
            }
            if connection.out.len() > sendq(connection, options) {
                full.push(slot);
            }
        });
        while let Some(slot) = self.full.pop() {
            self.relieve(slot);
        }
    }

    fn send(&mut self, slot: u32, bytes: Bytes) {
        let options = self.options;
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        if !connection.takes_lines() {
            return;
        }
        connection.out.push(bytes);
        let full = connection.out.len() > sendq(connection, options);
        self.soil(slot);
        if full {
            self.relieve(slot);
        }
    }

    /// Puts a connection on the list of those that are to be written.
    fn soil(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// A queue past its bound: what the socket takes goes out now, and where that is not enough the
    /// connection is closed.
    fn relieve(&mut self, slot: u32) {
        self.flush(slot);
        let options = self.options;
        let Some(connection) = self.connection(slot) else { return };
        if connection.out.len() > sendq(connection, options) {
            self.turn_out(slot, CloseCause::SendQueue, b"ERROR :Closing Link: (SendQ exceeded)\r\n");
        }
    }

    fn close(&mut self, slot: u32) {
        let deadline = self.now_ms + LINGER_MS;
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.phase = Phase::Closing;
        connection.input = Vec::new();
        self.timers.push(Reverse((deadline, slot, connection.serial)));
        self.soil(slot);
    }

    // Queues to sockets.

    fn write(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            if let Some(connection) = self.connection(slot) {
                connection.dirty = false;
                self.flush(slot);
            }
        }
        self.dirty = dirty;
    }

    fn flush(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        match connection.flush(&mut self.output) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let asked = connection.phase != Phase::Open;
                return self.finish(slot, if asked { CloseCause::Asked } else { cause_of(&error) });
            }
        }
        if connection.drain_asked && connection.out.len() < BULK_BYTES / 4 {
            connection.drain_asked = false;
            self.events.push(Event::Drained(ConnId { worker: self.index, slot }));
        }
        if connection.phase == Phase::Closing && !connection.has_output() {
            match connection.transport.close_write() {
                Ok(()) => {
                    connection.phase = Phase::Lingering;
                    // The other side may have closed already.
                    self.feed_later(slot);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.finish(slot, CloseCause::Asked),
            }
        }
    }

    // Time.

    fn run_timers(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Some(Reverse((at, slot, serial))) = self.timers.peek().copied() {
                if at > self.now_ms {
                    break;
                }
                self.timers.pop();
                self.expire(slot, serial);
            }
            let Some(Reverse((at, _, _))) = self.timers.peek().copied() else {
                self.sleep = None;
                return;
            };
            let deadline = tokio::time::Instant::from_std(self.started + Duration::from_millis(at));
            let sleep = match &mut self.sleep {
                Some((set, sleep)) => {
                    if *set != at {
                        *set = at;
                        sleep.as_mut().reset(deadline);
                    }
                    sleep
                }
                none => &mut none.insert((at, Box::pin(tokio::time::sleep_until(deadline)))).1,
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.now_ms = self.now_ms.max(at);
        }
    }

    fn expire(&mut self, slot: u32, serial: u32) {
        let (options, now_ms) = (self.options, self.now_ms);
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        if connection.serial != serial {
            return;
        }
        match connection.phase {
            Phase::Handshake if matches!(connection.transport, Transport::Introducing(_)) => {
                if connection.transport.introduce_silent() {
                    self.await_handshake(slot);
                    self.turn(slot);
                } else {
                    self.forget(slot);
                }
            }
            Phase::Handshake => self.forget(slot),
            Phase::Closing | Phase::Lingering => self.finish(slot, CloseCause::Asked),
            Phase::Open if connection.delayed => {
                let wait = match (&mut connection.flood, options.flood) {
                    (Some(bucket), Some(flood)) => bucket.wait(flood, now_ms),
                    _ => 0,
                };
                if wait > 0 {
                    self.timers.push(Reverse((now_ms + wait, slot, serial)));
                } else {
                    connection.delayed = false;
                    self.feed_later(slot);
                }
            }
            Phase::Open => {}
        }
    }

    /// Whether a worker that was told to end `since` then has said everything and the other sides have had the time to
    /// read it, or its time is up.
    fn is_done(&mut self, since: u64, cx: &mut Context<'_>) -> bool {
        if self.held.is_empty() {
            // All that the server said is under way. Whoever is open still came too late for it.
            for slot in 0..self.connections.len() as u32 {
                match self.connection(slot).map(|connection| connection.phase) {
                    Some(Phase::Handshake) => self.forget(slot),
                    Some(Phase::Open) => {
                        self.send(slot, Bytes::from_static(ENDING));
                        self.close(slot);
                    }
                    _ => {}
                }
            }
            self.write();
        }
        if !self.held.is_empty() || self.connections.iter().flatten().any(|connection| connection.has_output()) {
            self.stirred = self.now_ms;
        }
        let last = (self.stirred.max(since) + LAST_LINGER_MS).min(since + SHUTDOWN_MS);
        if self.open == 0 || self.now_ms >= last {
            return true;
        }
        if self.last_alarm < last {
            self.last_alarm = last;
            // A timer for a connection that does not exist: it only wakes the worker.
            self.timers.push(Reverse((last, NOBODY, 0)));
            self.run_timers(cx);
        }
        // What was made ready only now.
        if !self.hungry.is_empty() {
            cx.waker().wake_by_ref();
        }
        false
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.get_mut().round(cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn sendq(connection: &Connection, options: Options) -> usize {
    if connection.registered { options.sendq } else { options.sendq.min(SENDQ_BEFORE_REGISTRATION) }
}

fn cause_of(error: &io::Error) -> CloseCause {
    match error.kind() {
        // What was shown is known to the worker alone.
        io::ErrorKind::UnexpectedEof => CloseCause::Eof { shown: None },
        _ => CloseCause::Error(in_words(&error.to_string()).into()),
    }
}

/// What an error says, without the number that the system has for it: others read it as the reason of a QUIT.
fn in_words(error: &str) -> &str {
    error.split_once(" (os error ").map_or(error, |(words, _)| words)
}

/// Why a turn ended.
enum Stop {
    /// Nothing more has come; the socket will say when there is something.
    Dry,
    /// There may be more, but it is others' turn.
    More,
    /// Flood control: so many milliseconds.
    Delay(u64),
    /// The connection is over.
    Closed(CloseCause),
    /// What came is none of the protocol: the connection is to end.
    Refused(CloseCause),
}

impl Stop {
    fn of(error: &io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::WouldBlock => Stop::Dry,
            io::ErrorKind::InvalidData => Stop::Refused(cause_of(error)),
            _ => Stop::Closed(cause_of(error)),
        }
    }
}

/// One connection's turn at reading.
struct Reading<'a> {
    id: ConnId,
    options: Options,
    now_ms: u64,
    events: &'a mut Vec<Event>,
    lines: usize,
}

impl Reading<'_> {
    fn lines(&mut self, connection: &mut Connection, input: &mut BytesMut, scratch: &mut [u8]) -> Stop {
        for _ in 0..READS_A_TURN {
            loop {
                match connection.codec.decode(input) {
                    Ok(Some(line)) => {
                        if let Some(stop) = self.line(connection, line) {
                            return stop;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return Stop::Closed(CloseCause::Flood),
                }
            }
            let Transport::Lines(link) = &mut connection.transport else { return Stop::Dry };
            match link.read(scratch) {
                Ok(0) => return Stop::Closed(CloseCause::Eof { shown: None }),
                Ok(n) => input.extend_from_slice(&scratch[..n]),
                Err(error) => return Stop::of(&error),
            }
        }
        Stop::More
    }

    fn messages(&mut self, connection: &mut Connection) -> Stop {
        loop {
            let Transport::WebSocket(socket) = &mut connection.transport else { return Stop::Dry };
            let message = match socket.read_line() {
                Ok(message) => message,
                Err(error) => return Stop::of(&error),
            };
            let Some(line) = parse_line(&message) else {
                // A message with nothing in it costs a turn like any other.
                self.lines += 1;
                if self.lines >= LINES_A_TURN {
                    return Stop::More;
                }
                continue;
            };
            if let Some(stop) = self.line(connection, line) {
                return stop;
            }
        }
    }

    fn line(&mut self, connection: &mut Connection, line: Line) -> Option<Stop> {
        let delay = match (&mut connection.flood, self.options.flood) {
            (Some(bucket), Some(options)) => {
                let (command, in_batch) = match &line {
                    Line::Message(message) => (message.command(), message.tags().get("batch").is_some()),
                    Line::Bad(_) => ("", false),
                };
                bucket.take(options, command, in_batch, self.now_ms)
            }
            _ => 0,
        };
        self.events.push(match line {
            Line::Message(message) => Event::Line(self.id, message),
            Line::Bad(bad) => Event::BadLine(self.id, bad),
        });
        self.lines += 1;
        match delay {
            0 if self.lines >= LINES_A_TURN => Some(Stop::More),
            0 => None,
            ms => Some(Stop::Delay(ms)),
        }
    }
}

/// The connections of a worker whose sockets have something to say.
#[derive(Debug, Default)]
struct Ready {
    inside: Mutex<(Vec<u32>, Option<Waker>)>,
}

impl Ready {
    fn push(&self, slot: u32) {
        let mut inside = lock(&self.inside);
        inside.0.push(slot);
        let waker = if inside.0.len() == 1 { inside.1.clone() } else { None };
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves the slots to the end of `slots`; `waker` is woken by the next one.
    fn attend(&self, slots: &mut VecDeque<u32>, waker: &Waker) {
        let mut inside = lock(&self.inside);
        slots.extend(inside.0.drain(..));
        if !inside.1.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inside.1 = Some(waker.clone());
        }
    }
}

/// A connection's waker: it names the connection, so that no task has to belong to it.
struct ConnectionWaker {
    ready: Arc<Ready>,
    slot: u32,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use ircv3::{Cap, CapSet};
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::aws_lc_rs;
    use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use sha2::{Digest, Sha256};
    use socket2::SockRef;
    use tungstenite::client::IntoClientRequest;
    use tungstenite::{Message as WebSocketMessage, client};

    use super::Worker;
    use crate::limits::{LINGER_BYTES, WAITING_EVENTS};
    use crate::net::{
        Durable, EventQueue, FloodOptions, Listener, Options, Origins, Room, TlsSetup, Wire, ensure_certificate,
    };
    use crate::server::action::{NOBODY, NetAction};
    use crate::server::event::{BadLine, CloseCause, Event, Peer};
    use crate::server::frame::Frame;
    use crate::server::record::Seq;

    /// A worker on a thread of its own. The test is the server thread.
    struct Rig {
        events: Arc<EventQueue>,
        durable: Arc<Durable>,
        address: SocketAddr,
        waiting: std::collections::VecDeque<Event>,
        thread: Option<JoinHandle<()>>,
    }

    const OPTIONS: Options = Options { flood: None, sendq: 1 << 20 };

    impl Rig {
        fn new(options: Options, wire: Wire) -> Rig {
            let events = Arc::new(EventQueue::default());
            let durable = Arc::new(Durable::new(0, 1));
            let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), wire).unwrap();
            let address = listener.local_addr().unwrap();
            let inboxes: Arc<[_]> = durable.workers().into();
            let worker = Worker::new(0, options, events.clone(), inboxes[0].clone());
            let thread = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    tokio::spawn(listener.accept(inboxes, Room::new(4096)));
                    tokio::spawn(tokio::task::unconstrained(worker)).await.unwrap();
                });
            });
            Rig { events, durable, address, waiting: Default::default(), thread: Some(thread) }
        }

        fn plain() -> Rig {
            Rig::new(OPTIONS, Wire::default())
        }

        /// The next event; a test that waits in vain fails.
        fn event(&mut self) -> Event {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                if let Some(event) = self.waiting.pop_front() {
                    return event;
                }
                assert!(Instant::now() < deadline, "no event");
                let mut batch = Vec::new();
                self.events.take(&mut batch, deadline);
                self.waiting.extend(batch);
            }
        }

        fn opened(&mut self) -> (u32, Box<Peer>) {
            match self.event() {
                Event::Opened(id, peer) => (id.slot, peer),
                other => panic!("{other:?}"),
            }
        }

        fn line(&mut self) -> (u32, String) {
            match self.event() {
                Event::Line(id, message) => (id.slot, message.as_str().to_owned()),
                other => panic!("{other:?}"),
            }
        }

        fn closed(&mut self) -> (u32, CloseCause) {
            match self.event() {
                Event::Closed(id, cause) => (id.slot, cause),
                other => panic!("{other:?}"),
            }
        }

        fn connect(&mut self) -> (u32, Client) {
            let client = Client::new(TcpStream::connect(self.address).unwrap());
            (self.opened().0, client)
        }

        fn act(&self, mut actions: Vec<NetAction>) {
            self.durable.workers()[0].deliver(&mut actions);
        }
    }

    impl Rig {
        /// Ends the worker, and waits until it has.
        fn end(&mut self) {
            self.durable.workers()[0].end();
            let ended = self.thread.take().map(JoinHandle::join);
            assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            if self.thread.is_some() {
                self.end();
            }
        }
    }

    /// The other end, blocking; it waits for ten seconds at most.
    struct Client {
        read: BufReader<TcpStream>,
    }

    impl Client {
        fn new(stream: TcpStream) -> Client {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Client { read: BufReader::new(stream) }
        }

        fn say(&mut self, text: &str) {
            self.read.get_mut().write_all(text.as_bytes()).unwrap();
        }

        fn hear(&mut self) -> String {
            let mut line = String::new();
            self.read.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }

        fn hear_all(&mut self) -> String {
            let mut text = String::new();
            self.read.read_to_string(&mut text).unwrap();
            text
        }
    }

    fn send(slot: u32, after: Seq, text: &str) -> NetAction {
        NetAction::Send { slot, after, bytes: Bytes::from(format!("{text}\r\n")) }
    }

    fn fan_out(audience: &Arc<[u32]>, except: u32, after: Seq, text: &str) -> NetAction {
        let mut frame = Frame::plain(1_700_000_000_000, Bytes::from(format!("{text}\r\n")));
        frame.after = after;
        NetAction::Fanout { frame: Arc::new(frame), audience: audience.clone(), except }
    }

    #[test]
    fn lines_come_in_order_and_answers_go_back() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        client.say("NICK ann\r\nUSER ann 0 * :Ann\nPI");
        assert_eq!(rig.line(), (slot, "NICK ann".into()));
        assert_eq!(rig.line(), (slot, "USER ann 0 * :Ann".into()));
        client.say("NG x\r\nNOTICE \0\r\n");
        assert_eq!(rig.line(), (slot, "PING x".into()));
        assert!(matches!(rig.event(), Event::BadLine(_, BadLine::ForbiddenByte { .. })));
        rig.act(vec![send(slot, 0, "one"), send(slot, 0, "two")]);
        assert_eq!((client.hear(), client.hear()), ("one".into(), "two".into()));
        drop(client);
        assert_eq!(rig.closed(), (slot, CloseCause::Eof { shown: Some(0) }));
    }

    #[test]
    fn whoever_closes_is_known_to_have_been_given_what_the_system_has() {
        let mut rig = Rig::plain();
        let ((a, mut ann), (b, mut ben)) = (rig.connect(), rig.connect());
        rig.durable.advance(5);
        rig.act(vec![send(a, 4, "to ann"), send(b, 5, "to ben"), send(b, 7, "not on disk")]);
        rig.durable.handed_over(9);
        assert_eq!((ann.hear(), ben.hear()), ("to ann".into(), "to ben".into()));
        // A round that began after that.
        ann.say("PING x\r\n");
        assert_eq!(rig.line(), (a, "PING x".into()));
        rig.act(vec![send(a, 0, "PONG x")]);
        assert_eq!(ann.hear(), "PONG x");
        for (slot, client, shown) in [(b, ben, 5), (a, ann, 9)] {
            drop(client);
            assert_eq!(rig.closed(), (slot, CloseCause::Eof { shown: Some(shown) }));
        }
    }

    #[test]
    fn what_was_written_last_is_known_to_have_been_given_when_all_is_quiet() {
        let mut rig = Rig::plain();
        let ((a, mut ann), (b, mut ben)) = (rig.connect(), rig.connect());
        // The worker may be quicker than the server thread: it has written when that says what it was of.
        rig.act(vec![send(a, 0, "one")]);
        assert_eq!(ann.hear(), "one");
        rig.durable.handed_over(7);
        // A round in which nothing is said.
        ben.say("PING x\r\n");
        assert_eq!(rig.line(), (b, "PING x".into()));
        drop(ann);
        assert_eq!(rig.closed(), (a, CloseCause::Eof { shown: Some(7) }));
    }

    #[test]
    fn what_is_not_durable_waits_and_what_follows_it_waits_behind() {
        let mut rig = Rig::plain();
        let ((a, mut ann), (b, mut ben), (c, mut cat)) = (rig.connect(), rig.connect(), rig.connect());
        let audience: Arc<[u32]> = Arc::from([a, b]);
        rig.act(vec![
            fan_out(&audience, a, 7, "held for ben"),
            send(b, 0, "behind it"),
            NetAction::SetCaps { slot: b, caps: CapSet::of(&[Cap::ServerTime]) },
            fan_out(&Arc::from([a, b, c]), NOBODY, 0, "at once for ann and cat"),
            send(a, 0, "PONG for ann"),
        ]);
        // Those for whom nothing is held never wait for the disk.
        assert_eq!(ann.hear(), "at once for ann and cat");
        assert_eq!(ann.hear(), "PONG for ann");
        assert_eq!(cat.hear(), "at once for ann and cat");
        // A mark that is not far enough releases nothing.
        rig.durable.advance(6);
        rig.act(vec![send(b, 5, "durable, but behind"), send(c, 5, "durable")]);
        assert_eq!(cat.hear(), "durable");
        ben.read.get_ref().set_nonblocking(true).unwrap();
        assert!(ben.read.fill_buf().is_err(), "ben has got something that is not on disk");
        ben.read.get_ref().set_nonblocking(false).unwrap();
        rig.durable.advance(7);
        assert_eq!(ben.hear(), "held for ben");
        assert_eq!(ben.hear(), "behind it");
        assert_eq!(ben.hear(), "@time=2023-11-14T22:13:20.000Z at once for ann and cat");
        assert_eq!(ben.hear(), "durable, but behind");
    }

    #[test]
    fn held_messages_leave_in_order_with_the_answers_between_them() {
        let mut rig = Rig::plain();
        let ((a, mut ann), (b, mut ben)) = (rig.connect(), rig.connect());
        let audience: Arc<[u32]> = Arc::from([a, b]);
        let (mut actions, mut of_ann, mut of_ben) = (Vec::new(), Vec::new(), Vec::new());
        for n in 1..=50u64 {
            let (sender, own, others) =
                if n % 3 == 0 { (b, &mut of_ben, &mut of_ann) } else { (a, &mut of_ann, &mut of_ben) };
            actions.push(fan_out(&audience, sender, n, &format!("message {n}")));
            actions.push(send(sender, n, &format!("echo {n}")));
            own.push(format!("echo {n}"));
            others.push(format!("message {n}"));
        }
        rig.act(actions);
        for mark in [3, 4, 30, 50] {
            rig.durable.advance(mark);
        }
        for line in of_ann {
            assert_eq!(ann.hear(), line);
        }
        for line in of_ben {
            assert_eq!(ben.hear(), line);
        }
    }

    #[test]
    fn nothing_held_for_one_who_left_reaches_the_next_in_its_slot() {
        let mut rig = Rig::plain();
        let (slot, client) = rig.connect();
        rig.act(vec![send(slot, 9, "secret")]);
        drop(client);
        assert!(matches!(rig.closed(), (closed, CloseCause::Eof { .. }) if closed == slot));
        rig.act(vec![NetAction::Release { slot }]);
        let (other, _other_client) = rig.connect();
        assert_ne!(other, slot, "the slot was given away while something was held for it");
        rig.durable.advance(9);
        rig.act(vec![send(other, 0, "x")]);
        let (again, mut next) = rig.connect();
        rig.act(vec![send(again, 0, "first")]);
        assert_eq!(next.hear(), "first");
    }

    #[test]
    fn a_slot_that_is_released_twice_is_given_away_once() {
        let mut rig = Rig::plain();
        let (slot, client) = rig.connect();
        rig.act(vec![NetAction::Release { slot }]);
        drop(client);
        rig.closed();
        rig.act(vec![NetAction::Release { slot }, NetAction::Release { slot }]);
        let ((a, _ann), (b, _ben)) = (rig.connect(), rig.connect());
        assert_ne!(a, b);
    }

    #[test]
    fn one_who_does_not_read_is_closed_and_told_why() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Registered { slot }]);
        let line = format!("{}\r\n", "x".repeat(60_000));
        for _ in 0..400 {
            rig.act(vec![NetAction::Send { slot, after: 0, bytes: line.clone().into() }]);
        }
        assert_eq!(rig.closed(), (slot, CloseCause::SendQueue));
        // What the system had taken is whole up to where it was cut.
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n) = client.read.read(&mut buffer) {
            if n == 0 {
                break;
            }
            taken += n;
        }
        assert!(taken > 0 && taken < 400 * line.len());
    }

    #[test]
    fn a_queue_may_be_asked_about_and_answers_once_it_is_drained() {
        let mut rig = Rig::new(Options { sendq: 64 << 20, ..OPTIONS }, Wire::default());
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Registered { slot }, NetAction::WhenDrained { slot }]);
        assert!(matches!(rig.event(), Event::Drained(id) if id.slot == slot));
        let line = format!("{}\r\n", "x".repeat(60_000));
        let mut actions: Vec<_> =
            (0..400).map(|_| NetAction::Send { slot, after: 0, bytes: line.clone().into() }).collect();
        actions.push(NetAction::WhenDrained { slot });
        rig.act(actions);
        // The worker goes on meanwhile; that it has not been drained shows in the order of events.
        let (other, mut another) = rig.connect();
        another.say("PING x\r\n");
        assert_eq!(rig.line(), (other, "PING x".into()));
        let mut rest = vec![0; 400 * line.len()];
        client.read.read_exact(&mut rest).unwrap();
        assert!(matches!(rig.event(), Event::Drained(id) if id.slot == slot));
    }

    #[test]
    fn a_connection_that_is_reset_ends_in_words_without_the_number_of_the_error() {
        let mut rig = Rig::plain();
        let (slot, client) = rig.connect();
        SockRef::from(client.read.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(rig.closed(), (slot, CloseCause::Error("Connection reset by peer".into())));
    }

    #[test]
    fn the_last_lines_are_read_before_the_end() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        // Input that nobody has read must not turn the end into a reset.
        client.say(&"PRIVMSG x :y\r\n".repeat(50));
        rig.line();
        rig.act(vec![
            send(slot, 0, "one"),
            NetAction::Close { slot, after: 4, bytes: "ERROR :bye\r\n".into() },
            send(slot, 0, "never"),
        ]);
        client.say("QUIT\r\n");
        rig.durable.advance(4);
        assert_eq!(client.hear_all(), "one\r\nERROR :bye\r\n");
        // It stays until the other side has read that, or the socket would be reset under it.
        let other = TcpStream::connect(rig.address).unwrap();
        while !matches!(rig.event(), Event::Opened(..)) {}
        drop(client);
        loop {
            match rig.event() {
                Event::Line(..) => {}
                Event::Closed(id, cause) => break assert_eq!((id.slot, cause), (slot, CloseCause::Asked)),
                other => panic!("{other:?}"),
            }
        }
        drop(other);
    }

    #[test]
    fn one_who_says_much_does_not_keep_others_waiting() {
        let mut rig = Rig::plain();
        let ((a, mut ann), (b, mut ben)) = (rig.connect(), rig.connect());
        // Nothing is taken before both have spoken.
        rig.act(vec![NetAction::Pause { slot: a }, NetAction::Pause { slot: b }, send(a, 0, "go"), send(b, 0, "go")]);
        assert_eq!((ann.hear(), ben.hear()), ("go".into(), "go".into()));
        const SAID: usize = 20_000;
        ann.say(&"PING a\r\n".repeat(SAID));
        ben.say(&"PING b\r\n".repeat(SAID));
        rig.act(vec![NetAction::Resume { slot: a }, NetAction::Resume { slot: b }]);
        let order: Vec<u32> = (0..2 * SAID).map(|_| rig.line().0).collect();
        // The system may tell of one of them first; then its lines are gathered before it is asked again, and tokio asks
        // it after some sixty turns at the latest.
        let first = order.iter().take_while(|slot| **slot == order[0]).count();
        assert!(first <= SAID / 2, "the second had to wait for {first} lines of the first");
        assert_eq!(order.iter().filter(|slot| **slot == a).count(), SAID);
    }

    #[test]
    fn flood_control_delays_and_loses_nothing() {
        let flood = Some(FloodOptions { burst: 5, per_second: 100.0 });
        let mut rig = Rig::new(Options { flood, ..OPTIONS }, Wire::default());
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Registered { slot }, send(slot, 0, "go")]);
        assert_eq!(client.hear(), "go");
        let started = Instant::now();
        client.say(&"PRIVMSG #a :b\r\n".repeat(35));
        for _ in 0..35 {
            rig.line();
        }
        assert!(started.elapsed() >= Duration::from_millis(280), "{:?}", started.elapsed());
    }

    #[test]
    fn an_endless_line_closes() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        client.say(&"x".repeat(14_000));
        assert!(matches!(rig.event(), Event::BadLine(id, BadLine::TooLong { .. }) if id.slot == slot));
        // The other side may have closed before all is said.
        let _ = client.read.get_mut().write_all(&vec![b'x'; 200_000]);
        assert_eq!(rig.closed(), (slot, CloseCause::Flood));
    }

    #[test]
    fn a_worker_waits_for_the_server_without_losing_a_line() {
        let mut rig = Rig::plain();
        let (_, mut client) = rig.connect();
        let writer = std::thread::spawn(move || {
            for n in 0..30_000 {
                client.say(&format!("PING {n}\r\n"));
            }
            client.read.get_ref().shutdown(Shutdown::Write).unwrap();
            client
        });
        // Nobody takes events until the writer stands still or has ended.
        for n in 0..30_000 {
            assert_eq!(rig.line().1, format!("PING {n}"));
        }
        assert!(matches!(rig.closed().1, CloseCause::Eof { .. }));
        drop(writer.join().unwrap());
    }

    #[test]
    fn the_end_leaves_nothing_unsaid() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Close { slot, after: 3, bytes: "ERROR :down\r\n".into() }]);
        rig.durable.workers()[0].end();
        rig.durable.advance(3);
        assert_eq!(client.hear_all(), "ERROR :down\r\n");
    }

    #[test]
    fn a_server_that_takes_nothing_any_more_still_has_its_last_line_read() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        client.say(&"PRIVMSG x :y\r\n".repeat(60_000));
        rig.line();
        // The server has no room any more, while the socket has most of that still.
        for _ in 0..WAITING_EVENTS {
            rig.events.push(Event::Tick);
        }
        // More than the client's socket holds unread; the rest waits on the server's side of the system.
        let mut actions: Vec<NetAction> = (0..1_200).map(|_| send(slot, 0, &"z".repeat(400))).collect();
        actions.push(NetAction::Close { slot, after: 0, bytes: "ERROR :down\r\n".into() });
        rig.act(actions);
        rig.end();
        let said = client.hear_all();
        assert_eq!((said.lines().count(), said.lines().last()), (1_201, Some("ERROR :down")));
    }

    #[test]
    fn whom_the_server_did_not_know_when_it_ended_is_told_too() {
        let mut rig = Rig::plain();
        let mut client = Client::new(TcpStream::connect(rig.address).unwrap());
        client.say("NICK ann\r\n");
        rig.opened();
        rig.end();
        assert_eq!(client.hear_all(), "ERROR :Closing Link: (The server is shutting down)\r\n");
    }

    #[test]
    fn whoever_is_turned_out_with_something_unread_reads_why() {
        let mut rig = Rig::plain();
        let ((slot, mut client), (aside, mut witness)) = (rig.connect(), rig.connect());
        rig.act(vec![NetAction::Pause { slot }, send(slot, 0, "go")]);
        assert_eq!(client.hear(), "go");
        client.say(&"x".repeat(400_000));
        rig.act(vec![NetAction::Resume { slot }]);
        assert_eq!(client.hear_all(), "ERROR :Closing Link: (Excess Flood)\r\n");
        // The server does not wait for that.
        assert_eq!(rig.closed(), (slot, CloseCause::Flood));
        // And what it says of a slot that it has back is for someone else.
        rig.act(vec![NetAction::Release { slot }, send(aside, 0, "released")]);
        assert_eq!(witness.hear(), "released");
        let (next, mut other) = rig.connect();
        assert_eq!(next, slot);
        rig.act(vec![send(next, 0, "hello")]);
        assert_eq!(other.hear(), "hello");
    }

    #[test]
    fn whoever_reads_too_slowly_reads_why_it_ends() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Registered { slot }, NetAction::Pause { slot }, send(slot, 0, "go")]);
        assert_eq!(client.hear(), "go");
        client.say(&"PRIVMSG x :y\r\n".repeat(5_000));
        let line = "z".repeat(400);
        // More than two sockets and its queue hold.
        rig.act((0..40_000).map(|_| send(slot, 0, &line)).collect());
        assert_eq!(rig.closed(), (slot, CloseCause::SendQueue));
        let said = client.hear_all();
        assert!(said.ends_with("\r\nERROR :Closing Link: (SendQ exceeded)\r\n"), "{:?}", said.get(said.len() - 80..));
    }

    #[test]
    fn whoever_never_stops_talking_is_cut_off() {
        let mut rig = Rig::plain();
        let (slot, mut client) = rig.connect();
        rig.act(vec![NetAction::Close { slot, after: 0, bytes: "ERROR :bye\r\n".into() }]);
        assert_eq!(client.hear(), "ERROR :bye");
        let piece = vec![b'x'; 64 * 1024];
        let mut said = 0;
        while client.read.get_mut().write_all(&piece).is_ok() {
            said += piece.len();
        }
        // What it may say, and what two sockets hold besides. Its time alone would let it say hundreds of megabytes.
        assert!(said < LINGER_BYTES as usize + 16 * 1024 * 1024, "{said} bytes");
        assert_eq!(rig.closed(), (slot, CloseCause::Asked));
    }

    /// Takes any server.
    #[derive(Debug)]
    struct Trusting;

    impl ServerCertVerifier for Trusting {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    struct Certificates {
        setup: TlsSetup,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    }

    fn certificates() -> Certificates {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = ensure_certificate(dir.path(), "irc.example.org").unwrap();
        Certificates {
            setup: TlsSetup::load(&certificate, &key).unwrap(),
            chain: CertificateDer::pem_file_iter(&certificate).unwrap().map(Result::unwrap).collect(),
            key: PrivateKeyDer::from_pem_file(&key).unwrap(),
        }
    }

    fn tls_client(
        rig: &Rig,
        version: &'static rustls::SupportedProtocolVersion,
        identity: Option<Certificates>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting));
        let config = match identity {
            Some(own) => config.with_client_auth_cert(own.chain, own.key).unwrap(),
            None => config.with_no_client_auth(),
        };
        let tls = ClientConnection::new(Arc::new(config), "irc.example.org".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(rig.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        StreamOwned::new(tls, socket)
    }

    #[test]
    fn lines_pass_through_tls_and_the_clients_certificate_is_known() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let own = certificates();
            let fingerprint: String = Sha256::digest(&own.chain[0]).iter().map(|byte| format!("{byte:02x}")).collect();
            let mut rig = Rig::new(OPTIONS, Wire { tls: Some(certificates().setup), ..Wire::default() });
            for (identity, expected) in [(None, None), (Some(own), Some(fingerprint))] {
                let mut client = BufReader::new(tls_client(&rig, version, identity));
                client.get_mut().write_all(b"NICK ann\r\n").unwrap();
                let (slot, peer) = rig.opened();
                assert!(peer.tls && !peer.websocket);
                assert_eq!(peer.certfp.as_deref(), expected.as_deref());
                let tls = &client.get_ref().conn;
                let exporter = (version.version == rustls::ProtocolVersion::TLSv1_3)
                    .then(|| tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap());
                assert_eq!(peer.bindings.exporter.as_deref(), exporter.as_ref().map(|material| &material[..]));
                let shown = Sha256::digest(&tls.peer_certificates().unwrap()[0]);
                assert_eq!(peer.bindings.end_point.as_deref(), Some(&shown[..]));
                assert_eq!(rig.line(), (slot, "NICK ann".into()));
                // More than one record, and more than the socket takes at once.
                let long = "x".repeat(3_000_000);
                rig.act(vec![NetAction::Registered { slot }]);
                for piece in long.as_bytes().chunks(100_000) {
                    rig.act(vec![NetAction::Send { slot, after: 0, bytes: Bytes::copy_from_slice(piece) }]);
                    let mut part = vec![0; piece.len()];
                    client.read_exact(&mut part).unwrap();
                    assert_eq!(part, piece);
                }
                rig.act(vec![NetAction::Close { slot, after: 0, bytes: "ERROR :bye\r\n".into() }]);
                let mut rest = String::new();
                // A close_notify, or this would be an error.
                client.read_to_string(&mut rest).unwrap();
                assert_eq!(rest, "ERROR :bye\r\n");
                drop(client);
                assert_eq!(rig.closed(), (slot, CloseCause::Asked));
                rig.act(vec![NetAction::Release { slot }]);
            }
        }
    }

    #[test]
    fn a_handshake_that_is_none_is_never_heard_of() {
        let mut rig = Rig::new(OPTIONS, Wire { tls: Some(certificates().setup), ..Wire::default() });
        let mut plain = Client::new(TcpStream::connect(rig.address).unwrap());
        plain.say("NICK ann\r\nUSER ann 0 * :Ann\r\n");
        let mut alert = Vec::new();
        let _ = plain.read.read_to_end(&mut alert);
        let _silent = TcpStream::connect(rig.address).unwrap();
        let mut client = tls_client(&rig, &rustls::version::TLS13, None);
        client.write_all(b"NICK ben\r\n").unwrap();
        rig.opened();
        assert_eq!(rig.line().1, "NICK ben");
    }

    fn websocket_request(rig: &Rig, protocols: &str, origin: Option<&str>) -> tungstenite::http::Request<()> {
        let mut request = format!("ws://{}/", rig.address).into_client_request().unwrap();
        if !protocols.is_empty() {
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        request
    }

    #[test]
    fn websocket_has_one_line_a_message_in_the_form_that_was_agreed() {
        let websocket = Some(Arc::new(Origins(vec!["https://chat.example".into()])));
        let wire = Wire { websocket, ..Wire::default() };
        let mut rig = Rig::new(OPTIONS, wire);
        let cases = [
            ("text.ircv3.net, binary.ircv3.net", "text.ircv3.net"),
            ("mqtt, binary.ircv3.net, text.ircv3.net", "binary.ircv3.net"),
            ("", ""),
        ];
        for (offered, chosen) in cases {
            let socket = TcpStream::connect(rig.address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let request = websocket_request(&rig, offered, Some("https://chat.example"));
            let (mut client, response) = client(request, socket).unwrap();
            let agreed = response.headers().get("Sec-WebSocket-Protocol").map_or("", |name| name.to_str().unwrap());
            assert_eq!(agreed, chosen);
            let (slot, peer) = rig.opened();
            assert!(peer.websocket);
            client.send(WebSocketMessage::text("NICK ann")).unwrap();
            client.send(WebSocketMessage::binary(b"USER ann 0 * :Ann\r\n".to_vec())).unwrap();
            client.send(WebSocketMessage::binary(b"PRIVMSG a :\xff".to_vec())).unwrap();
            client.send(WebSocketMessage::Ping(Bytes::from_static(b"hello"))).unwrap();
            assert_eq!(rig.line(), (slot, "NICK ann".into()));
            assert_eq!(rig.line(), (slot, "USER ann 0 * :Ann".into()));
            assert!(
                matches!(rig.event(), Event::BadLine(_, BadLine::NotUtf8 { command, .. }) if &*command == "PRIVMSG")
            );
            assert_eq!(client.read().unwrap(), WebSocketMessage::Pong(Bytes::from_static(b"hello")));
            rig.act(vec![NetAction::Send { slot, after: 0, bytes: "one\r\ntwo \u{e9}\r\n".into() }]);
            for line in ["one", "two \u{e9}"] {
                let expected = if chosen == "binary.ircv3.net" {
                    WebSocketMessage::binary(line.as_bytes().to_vec())
                } else {
                    WebSocketMessage::text(line)
                };
                assert_eq!(client.read().unwrap(), expected);
            }
            // Bytes that are no text are mended where the frame must be text.
            rig.act(vec![NetAction::Send { slot, after: 0, bytes: Bytes::from_static(b"\xff\r\n") }]);
            match client.read().unwrap() {
                WebSocketMessage::Text(text) => assert_eq!(text.as_str(), "\u{fffd}"),
                other => assert_eq!(other, WebSocketMessage::binary(b"\xff".to_vec())),
            }
            rig.act(vec![NetAction::Close { slot, after: 0, bytes: "ERROR :bye\r\n".into() }]);
            assert!(client.read().unwrap().into_data().starts_with(b"ERROR"));
            assert!(matches!(client.read().unwrap(), WebSocketMessage::Close(Some(_))));
            while client.read().is_ok() {}
            drop(client);
            assert_eq!(rig.closed(), (slot, CloseCause::Asked));
            rig.act(vec![NetAction::Release { slot }]);
        }
    }

    #[test]
    fn a_page_that_may_not_connect_is_refused() {
        let websocket = Some(Arc::new(Origins(vec!["https://chat.example".into()])));
        let wire = Wire { websocket, ..Wire::default() };
        let rig = Rig::new(OPTIONS, wire);
        let request = websocket_request(&rig, "text.ircv3.net", Some("https://evil.example"));
        let error = client(request, TcpStream::connect(rig.address).unwrap()).unwrap_err();
        assert!(error.to_string().contains("403"), "{error}");
    }

    #[test]
    fn websocket_runs_through_tls_and_the_client_may_leave() {
        let wire = Wire { tls: Some(certificates().setup), websocket: Some(Arc::default()), ..Wire::default() };
        let mut rig = Rig::new(OPTIONS, wire);
        let stream = tls_client(&rig, &rustls::version::TLS13, None);
        let (mut client, _) = client(websocket_request(&rig, "binary.ircv3.net", None), stream).unwrap();
        let (slot, peer) = rig.opened();
        assert!(peer.tls && peer.websocket);
        client.send(WebSocketMessage::binary(b"NICK ann".to_vec())).unwrap();
        assert_eq!(rig.line(), (slot, "NICK ann".into()));
        client.close(None).unwrap();
        client.flush().unwrap();
        assert!(matches!(rig.closed(), (closed, CloseCause::Eof { .. }) if closed == slot));
    }

    #[test]
    fn what_lies_encrypted_goes_out_once_there_is_room() {
        let wire = Wire { tls: Some(certificates().setup), ..Wire::default() };
        let mut rig = Rig::new(Options { flood: None, sendq: 1 << 24 }, wire);
        let (mut mark, mut other) = (0, tls_client(&rig, &rustls::version::TLS13, None));
        other.write_all(b"NICK ben\r\n").unwrap();
        let (ben, _) = rig.opened();
        rig.line();
        let line = Bytes::from("z".repeat(1022) + "\r\n");
        // Some of these end where the socket is full, with the last record in no queue any more.
        for total in (130..190).map(|n| n * 24 * 1024) {
            let mut client = tls_client(&rig, &rustls::version::TLS13, None);
            client.sock.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            client.write_all(b"NICK ann\r\n").unwrap();
            let (slot, _) = rig.opened();
            rig.line();
            rig.act(vec![NetAction::Registered { slot }]);
            rig.act((0..total / 1024).map(|_| NetAction::Send { slot, after: 0, bytes: line.clone() }).collect());
            // Two rounds, so that all has been written for which there was room.
            for _ in 0..2 {
                mark += 1;
                rig.act(vec![send(ben, 0, &format!("{mark:04}"))]);
                let mut heard = [0; 6];
                other.read_exact(&mut heard).unwrap();
            }
            let (mut got, mut buf) = (0, vec![0; 65536]);
            while got < total {
                let count =
                    client.read(&mut buf).unwrap_or_else(|error| panic!("{got} of {total} bytes came: {error}"));
                assert_ne!(count, 0, "{got} of {total} bytes came");
                got += count;
            }
            drop(client);
            rig.closed();
            rig.act(vec![NetAction::Release { slot }]);
        }
    }
}
