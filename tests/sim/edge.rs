//! The simulated network workers: slots, send queues that hold bytes back until they are durable, and the
//! sockets behind them. Actions reach a worker late; a worker learns of the durable mark late.

use std::collections::VecDeque;

use bytes::Bytes;
use ircv3::CapSet;
use roost::limits::BULK_BYTES;
use roost::server::action::NetAction;
use roost::server::event::{BadLine, CloseCause, ConnId, Event};
use roost::server::frame::OwnTags;
use roost::server::record::Seq;

use crate::fault::{Fault, Planted};
use crate::violation::{Invariant, Outcome, broken};

/// What a client has written and the server has not read.
#[derive(Clone, Debug)]
pub enum Typed {
    /// A line, without CR LF.
    Line(String),
    /// Bytes that are no line.
    Bad(BadLine),
}

/// A TCP connection, from both ends.
#[derive(Debug, Default)]
pub struct Socket {
    /// From the server, not read by the client yet.
    pub wire: Vec<u8>,
    /// From the client, not read by the server yet.
    pub typed: VecDeque<Typed>,
    /// The server has closed: after `wire` comes the end.
    pub server_closed: bool,
    /// The client has closed.
    pub client_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    Open,
    /// `Close` came: when the queue is empty, the socket is closed.
    Ending,
    /// `Event::Closed` was sent; waits for `Release`.
    Closed,
}

#[derive(Debug)]
struct Slot {
    stage: Stage,
    socket: usize,
    caps: CapSet,
    paused: bool,
    want_drained: bool,
    queue: VecDeque<(Seq, Bytes)>,
}

/// One worker.
#[derive(Debug, Default)]
pub struct Worker {
    /// Each with the number of the last change before the event that it is of.
    pending: VecDeque<(Seq, NetAction)>,
    /// The last change of which there can be actions.
    told: Seq,
    slots: Vec<Slot>,
    durable: Seq,
    /// Lines taken from sockets since the worker last did its actions.
    lines: usize,
}

/// Bytes that the operating system takes for a reader who does not read.
const SOCKET_BYTES: usize = 4096;

/// All workers and sockets.
#[derive(Debug)]
pub struct Edge {
    /// The workers.
    pub workers: Vec<Worker>,
    /// All sockets there ever were.
    pub sockets: Vec<Socket>,
    /// Bytes after which a reader is given up.
    pub sendq: usize,
    /// What workers have to tell the server.
    pub events: VecDeque<Event>,
}

impl Edge {
    /// Workers without connections.
    pub fn new(workers: usize, sendq: usize) -> Edge {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Edge { workers, sockets: Vec::new(), sendq, events: VecDeque::new() }
    }

    /// A client connects; where, and its socket.
    pub fn connect(&mut self, worker: usize) -> (ConnId, usize) {
        let socket = self.sockets.len();
        self.sockets.push(Socket::default());
        let fresh = Slot {
            stage: Stage::Open,
            socket,
            caps: CapSet::EMPTY,
            paused: false,
            want_drained: false,
            queue: VecDeque::new(),
        };
        let slots = &mut self.workers[worker].slots;
        let slot = match slots.iter().position(|slot| slot.stage == Stage::Free) {
            Some(at) => {
                slots[at] = fresh;
                at
            }
            None => {
                slots.push(fresh);
                slots.len() - 1
            }
        };
        (ConnId { worker: worker as u16, slot: slot as u32 }, socket)
    }

    /// The socket of a connection that is open as far as its worker knows.
    pub fn socket_of(&self, conn: ConnId) -> Option<usize> {
        let slot = self.workers.get(usize::from(conn.worker))?.slots.get(conn.slot as usize)?;
        matches!(slot.stage, Stage::Open | Stage::Ending).then_some(slot.socket)
    }

    /// The socket of a connection that its worker has not forgotten.
    pub fn socket_at(&self, conn: ConnId) -> Option<usize> {
        let slot = self.workers.get(usize::from(conn.worker))?.slots.get(conn.slot as usize)?;
        (slot.stage != Stage::Free).then_some(slot.socket)
    }

    /// The connection of a socket, while it is open.
    pub fn conn_of(&self, socket: usize) -> Option<ConnId> {
        self.workers.iter().enumerate().find_map(|(worker, there)| {
            let slot = there
                .slots
                .iter()
                .position(|slot| slot.socket == socket && matches!(slot.stage, Stage::Open | Stage::Ending))?;
            Some(ConnId { worker: worker as u16, slot: slot as u32 })
        })
    }

    /// Actions reach a worker's queue; the last change was this one before the event that they are of, and this one
    /// after it.
    pub fn push(&mut self, worker: usize, actions: Vec<NetAction>, before: Seq, after: Seq) {
        let there = &mut self.workers[worker];
        there.pending.extend(actions.into_iter().map(|action| (before, action)));
        there.told = after;
    }

    /// A worker learns how much is durable.
    pub fn durable(&mut self, worker: usize, seq: Seq) {
        let durable = &mut self.workers[worker].durable;
        *durable = seq.max(*durable);
    }

    /// Whether any action is not done.
    pub fn is_behind(&self) -> bool {
        self.workers.iter().any(|worker| !worker.pending.is_empty())
    }

    /// Does at most `count` actions of a worker, then writes what may go out.
    pub fn work(&mut self, worker: usize, count: usize, planted: &mut Planted) -> Outcome {
        for _ in 0..count {
            let Some((_, action)) = self.workers[worker].pending.pop_front() else { break };
            self.apply(worker, action, planted)?;
        }
        if self.workers[worker].pending.is_empty() {
            self.workers[worker].lines = 0;
        }
        self.flush(worker, planted);
        Ok(())
    }

    fn apply(&mut self, worker: usize, action: NetAction, planted: &mut Planted) -> Outcome {
        let there = &mut self.workers[worker];
        let find = |slots: &mut Vec<Slot>, slot: u32, what: &str| -> Outcome<usize> {
            match slots.get(slot as usize) {
                Some(found) if found.stage != Stage::Free => Ok(slot as usize),
                _ => broken(Invariant::State, format!("{what} for slot {worker}/{slot}, which nobody has")),
            }
        };
        match action {
            NetAction::Send { slot, after, bytes } => {
                let at = find(&mut there.slots, slot, "Send")?;
                there.slots[at].push(after, bytes, planted);
            }
            NetAction::Fanout { frame, audience, except } => {
                for slot in audience.iter().copied().filter(|slot| *slot != except) {
                    let at = find(&mut there.slots, slot, "Fanout")?;
                    let mut caps = there.slots[at].caps;
                    if planted.hits(Fault::TagLeaked) {
                        caps.insert(ircv3::Cap::ServerTime);
                        caps.insert(ircv3::Cap::AccountTag);
                        caps.insert(ircv3::Cap::MessageTags);
                    }
                    if planted.hits(Fault::FormLeaked) {
                        caps = ircv3::Cap::ALL.iter().copied().collect();
                    }
                    let Some(variant) = frame.variant(caps) else { continue };
                    if frame.msgid.is_some() && planted.hits(Fault::DeliveryDropped) {
                        continue;
                    }
                    let mut bytes = Vec::new();
                    frame.render(variant, OwnTags::default(), &mut bytes);
                    let twice = has(&bytes, b" JOIN ") && planted.hits(Fault::DeliveryTwice);
                    for _ in 0..1 + usize::from(twice) {
                        there.slots[at].push(frame.after, Bytes::from(bytes.clone()), planted);
                    }
                }
            }
            NetAction::SetCaps { slot, caps } => {
                let at = find(&mut there.slots, slot, "SetCaps")?;
                there.slots[at].caps = caps;
            }
            NetAction::Registered { slot } => {
                find(&mut there.slots, slot, "Registered")?;
            }
            NetAction::Pause { slot } => {
                let at = find(&mut there.slots, slot, "Pause")?;
                there.slots[at].paused = true;
            }
            NetAction::Resume { slot } => {
                let at = find(&mut there.slots, slot, "Resume")?;
                if !planted.hits(Fault::ResumeLost) {
                    there.slots[at].paused = false;
                }
            }
            NetAction::WhenDrained { slot } => {
                let at = find(&mut there.slots, slot, "WhenDrained")?;
                there.slots[at].want_drained = true;
            }
            NetAction::Close { slot, after, bytes } => {
                let at = find(&mut there.slots, slot, "Close")?;
                let there = &mut there.slots[at];
                match there.stage {
                    Stage::Ending => return broken(Invariant::State, format!("slot {worker}/{slot} is closed twice")),
                    Stage::Open => {
                        there.push(after, bytes, planted);
                        there.stage = Stage::Ending;
                    }
                    _ => {}
                }
            }
            NetAction::Release { slot } => {
                let at = find(&mut there.slots, slot, "Release")?;
                if there.slots[at].stage != Stage::Closed {
                    return broken(Invariant::State, format!("slot {worker}/{slot} is released while it is open"));
                }
                there.slots[at].stage = Stage::Free;
            }
        }
        Ok(())
    }

    /// Writes to sockets what is durable, as far as their readers take it.
    fn flush(&mut self, worker: usize, planted: &mut Planted) {
        let there = &mut self.workers[worker];
        for (at, slot) in there.slots.iter_mut().enumerate() {
            if !matches!(slot.stage, Stage::Open | Stage::Ending) {
                continue;
            }
            let conn = ConnId { worker: worker as u16, slot: at as u32 };
            let socket = &mut self.sockets[slot.socket];
            let said = |at: usize| slot.queue.get(at).is_some_and(|(_, bytes)| has(bytes, b" PRIVMSG #"));
            if said(0) && said(1) && planted.hits(Fault::DeliveriesSwapped) {
                slot.queue.swap(0, 1);
            }
            while socket.wire.len() < SOCKET_BYTES {
                let Some((after, _)) = slot.queue.front() else { break };
                let mut from = 0;
                if *after > there.durable && !planted.hits(Fault::HeldReleased) {
                    // Later bytes wait behind those that wait.
                    let ready = slot.queue.iter().position(|(after, _)| *after <= there.durable);
                    match ready {
                        Some(later)
                            if slot.queue[later].1.starts_with(b"@label=") && planted.hits(Fault::HeldOvertaken) =>
                        {
                            from = later;
                        }
                        _ => break,
                    }
                }
                let Some((_, bytes)) = slot.queue.remove(from) else { break };
                socket.wire.extend_from_slice(&bytes);
            }
            let queued: usize = slot.queue.iter().map(|(_, bytes)| bytes.len()).sum();
            if slot.stage == Stage::Ending {
                if slot.queue.is_empty() {
                    slot.end(socket);
                    self.events.push_back(Event::Closed(conn, CloseCause::Asked));
                }
            } else if queued > self.sendq {
                slot.end(socket);
                self.events.push_back(Event::Closed(conn, CloseCause::SendQueue));
            }
            if slot.stage == Stage::Open && slot.want_drained && queued < BULK_BYTES / 4 {
                slot.want_drained = false;
                self.events.push_back(Event::Drained(conn));
            }
        }
    }

    /// Connections with something to read, and whose worker reads them.
    pub fn readable(&self) -> Vec<ConnId> {
        let mut found = Vec::new();
        for (worker, there) in self.workers.iter().enumerate() {
            for (at, slot) in there.slots.iter().enumerate() {
                let typed = slot.stage == Stage::Open && !slot.paused && !self.sockets[slot.socket].typed.is_empty();
                if typed && there.lines < LINES {
                    found.push(ConnId { worker: worker as u16, slot: at as u32 });
                }
            }
        }
        found
    }

    /// Reads one line of a connection.
    pub fn read(&mut self, conn: ConnId) -> Option<Typed> {
        let worker = &mut self.workers[usize::from(conn.worker)];
        worker.lines += 1;
        self.sockets[worker.slots[conn.slot as usize].socket].typed.pop_front()
    }

    /// Notices that a client has closed; what it typed before is read first, or is lost.
    pub fn notice_close(&mut self, conn: ConnId, cause: CloseCause, planted: &mut Planted) {
        let there = &mut self.workers[usize::from(conn.worker)];
        let given = there.pending.front().map_or(there.told, |(before, _)| *before);
        let slot = &mut there.slots[conn.slot as usize];
        if matches!(slot.stage, Stage::Open | Stage::Ending) {
            let cause = match cause {
                // As TCP has it where a program ends without having read all.
                CloseCause::Eof { .. } if !self.sockets[slot.socket].wire.is_empty() => {
                    CloseCause::Error("Connection reset by peer".into())
                }
                CloseCause::Eof { .. } => CloseCause::Eof {
                    shown: match slot.queue.front() {
                        Some(_) if planted.is(Fault::ReadTooFar) => Some(there.told),
                        Some((after, _)) if *after <= there.durable => None,
                        Some(_) => Some(given.min(there.durable)),
                        None => Some(given),
                    },
                },
                cause => cause,
            };
            slot.end(&mut self.sockets[slot.socket]);
            self.events.push_back(Event::Closed(conn, cause));
        }
    }

    /// The connections whose clients have closed, which the workers have not noticed.
    pub fn left(&self) -> Vec<ConnId> {
        let mut found = Vec::new();
        for (worker, there) in self.workers.iter().enumerate() {
            for (at, slot) in there.slots.iter().enumerate() {
                let open = matches!(slot.stage, Stage::Open | Stage::Ending);
                if open && self.sockets[slot.socket].client_closed {
                    found.push(ConnId { worker: worker as u16, slot: at as u32 });
                }
            }
        }
        found
    }

    /// Whether a connection has bytes that wait for the store.
    pub fn holds(&self) -> bool {
        self.workers.iter().flat_map(|worker| &worker.slots).any(|slot| !slot.queue.is_empty())
    }

    /// Every connection is gone at once, as at a crash; what is on the wire arrives.
    pub fn crash(&mut self) {
        for worker in &mut self.workers {
            for slot in &mut worker.slots {
                if slot.stage != Stage::Free {
                    slot.end(&mut self.sockets[slot.socket]);
                }
            }
            *worker = Worker::default();
        }
        self.events.clear();
    }

    /// What is left that should not be, once everyone has gone.
    pub fn check_empty(&self) -> Outcome {
        for (worker, there) in self.workers.iter().enumerate() {
            if let Some(at) = there.slots.iter().position(|slot| slot.stage != Stage::Free) {
                let stage = there.slots[at].stage;
                return broken(Invariant::State, format!("slot {worker}/{at} was never released ({stage:?})"));
            }
        }
        Ok(())
    }

    /// A connection that is paused, if there is one.
    pub fn paused(&self) -> Option<usize> {
        let slots = self.workers.iter().flat_map(|worker| &worker.slots);
        slots.filter(|slot| slot.stage == Stage::Open && slot.paused).map(|slot| slot.socket).next()
    }
}

/// Lines that a worker takes before it does its actions.
const LINES: usize = 8;

impl Slot {
    fn push(&mut self, after: Seq, bytes: Bytes, planted: &mut Planted) {
        if !matches!(self.stage, Stage::Open) || bytes.is_empty() {
            return;
        }
        let labelled = bytes.starts_with(b"@label=");
        if labelled && planted.hits(Fault::LabelDropped) {
            return;
        }
        if labelled && planted.hits(Fault::LabelTwice) {
            self.queue.push_back((after, bytes.clone()));
        }
        if planted.hits(Fault::LineBroken) {
            let line = [&bytes[..bytes.len() - 2], b"\n"].concat();
            self.queue.push_back((after, Bytes::from(line)));
            return;
        }
        self.queue.push_back((after, bytes));
    }

    fn end(&mut self, socket: &mut Socket) {
        self.stage = Stage::Closed;
        self.queue.clear();
        socket.server_closed = true;
        socket.typed.clear();
    }
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
