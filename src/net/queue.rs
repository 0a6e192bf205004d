//! What lies between the threads: events on their way to the server, actions on their way to a
//! worker, and the durable mark.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::limits::{WAITING_ACTION_BYTES, WAITING_EVENTS};
use crate::net::tls::TlsSetup;
use crate::net::websocket::Origins;
use crate::server::action::NetAction;
use crate::server::event::Event;
use crate::server::record::Seq;

/// Events that wait for the server thread. Whole batches go in, and everything comes out at once.
#[derive(Debug, Default)]
pub struct EventQueue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Event>,
    /// Workers that stopped reading because their batch did not fit.
    stalled: Vec<Arc<Inbox>>,
}

impl EventQueue {
    /// Puts in one event that nothing may hold up: from the store, the pool, a signal.
    pub fn push(&self, event: Event) {
        let mut waiting = lock(&self.waiting);
        waiting.events.push(event);
        if waiting.events.len() == 1 {
            self.came.notify_one();
        }
    }

    /// Puts in a worker's batch and empties it; or, where too many events wait already, leaves it
    /// as it is, says `false`, and wakes the worker once there is room.
    pub fn push_batch(&self, batch: &mut Vec<Event>, worker: &Arc<Inbox>) -> bool {
        if batch.is_empty() {
            return true;
        }
        let mut waiting = lock(&self.waiting);
        if !waiting.events.is_empty() && waiting.events.len() + batch.len() > WAITING_EVENTS {
            if !waiting.stalled.iter().any(|other| Arc::ptr_eq(other, worker)) {
                waiting.stalled.push(worker.clone());
            }
            return false;
        }
        let first = waiting.events.is_empty();
        waiting.events.append(batch);
        if first {
            self.came.notify_one();
        }
        true
    }

    /// Swaps everything that waits into `batch`, which must be empty. Waits until there is
    /// something or `deadline` has come.
    pub fn take(&self, batch: &mut Vec<Event>, deadline: Instant) {
        let mut waiting = lock(&self.waiting);
        while waiting.events.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.came.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut waiting.events, batch);
        let stalled = std::mem::take(&mut waiting.stalled);
        drop(waiting);
        for worker in stalled {
            worker.wake();
        }
    }
}

/// A socket that a listener accepted for a worker.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, not blocking.
    pub socket: AcceptedSocket,
    /// The other end.
    pub peer: SocketAddr,
    /// What is spoken on it.
    pub wire: Wire,
}

/// A socket, and whose runtime watches it.
#[derive(Debug)]
pub enum AcceptedSocket {
    /// The worker's own.
    Here(tokio::net::TcpStream),
    /// None yet.
    Elsewhere(TcpStream),
}

impl AcceptedSocket {
    /// The socket, watched by the present runtime.
    pub fn watch(self) -> io::Result<tokio::net::TcpStream> {
        match self {
            AcceptedSocket::Here(stream) => Ok(stream),
            AcceptedSocket::Elsewhere(stream) => tokio::net::TcpStream::from_std(stream),
        }
    }
}

/// What is spoken on a listener's connections.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The TLS to offer; `None` for plain text.
    pub tls: Option<TlsSetup>,
    /// The pages that may connect; `None` where it is not WebSocket.
    pub websocket: Option<Arc<Origins>>,
}

/// What one worker is given from outside: actions, new sockets, and the news that the durable mark moved.
#[derive(Debug)]
pub struct Inbox {
    inside: Mutex<Inside>,
    taken: Condvar,
    /// Whether the worker holds bytes back until the mark moves.
    holding: AtomicBool,
    durable: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Inside {
    actions: Vec<NetAction>,
    sockets: Vec<Accepted>,
    bytes: usize,
    ending: bool,
    /// Whether the worker was woken since it last looked.
    woken: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// Gives the worker `actions` and empties them. Waits where the worker has more to do than
    /// memory is meant for; it never waits for us, so it will get round to it.
    pub fn deliver(&self, actions: &mut Vec<NetAction>) {
        if actions.is_empty() {
            return;
        }
        let bytes: usize = actions.iter().map(weight).sum();
        let mut inside = lock(&self.inside);
        while inside.bytes > WAITING_ACTION_BYTES && !inside.ending {
            inside = self.taken.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        inside.bytes += bytes;
        if inside.actions.is_empty() {
            std::mem::swap(&mut inside.actions, actions);
        } else {
            inside.actions.append(actions);
        }
        wake(inside);
    }

    /// Gives the worker a new connection.
    pub fn accept(&self, accepted: Accepted) {
        let mut inside = lock(&self.inside);
        inside.sockets.push(accepted);
        wake(inside);
    }

    /// Tells the worker to write what it has and to end.
    pub fn end(&self) {
        let mut inside = lock(&self.inside);
        inside.ending = true;
        wake(inside);
    }

    /// Makes the worker look round.
    pub fn wake(&self) {
        wake(lock(&self.inside));
    }

    /// Takes everything: swaps the actions into `actions` and the sockets into `sockets` (both
    /// must be empty), and says whether the worker is to end. `waker` is woken by the next thing.
    pub fn take(&self, actions: &mut Vec<NetAction>, sockets: &mut Vec<Accepted>, waker: &Waker) -> bool {
        let mut inside = lock(&self.inside);
        inside.woken = false;
        if !inside.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inside.waker = Some(waker.clone());
        }
        std::mem::swap(&mut inside.actions, actions);
        std::mem::swap(&mut inside.sockets, sockets);
        if inside.bytes > WAITING_ACTION_BYTES {
            self.taken.notify_all();
        }
        inside.bytes = 0;
        inside.ending
    }

    /// Everything up to this number is on disk.
    pub fn durable(&self) -> Seq {
        self.durable.load(Ordering::SeqCst)
    }

    /// The worker holds something back, or no longer does. The mark must be read again after
    /// `true`: it may have moved before anyone knew.
    pub fn set_holding(&self, holding: bool) {
        self.holding.store(holding, Ordering::SeqCst);
    }
}

fn wake(mut inside: MutexGuard<'_, Inside>) {
    if inside.woken {
        return;
    }
    inside.woken = true;
    let waker = inside.waker.clone();
    drop(inside);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// About how much memory an action holds.
fn weight(action: &NetAction) -> usize {
    match action {
        NetAction::Send { bytes, .. } | NetAction::Close { bytes, .. } => 64 + bytes.len(),
        NetAction::Fanout { .. } => 512,
        _ => 64,
    }
}

/// The durable mark, and whom it concerns.
#[derive(Debug)]
pub struct Durable {
    mark: Arc<AtomicU64>,
    workers: Vec<Arc<Inbox>>,
}

impl Durable {
    /// A mark at `start` and the inboxes of so many workers.
    pub fn new(start: Seq, workers: usize) -> Durable {
        let mark = Arc::new(AtomicU64::new(start));
        let inbox = |_| {
            Arc::new(Inbox {
                inside: Mutex::default(),
                taken: Condvar::new(),
                holding: AtomicBool::new(false),
                durable: mark.clone(),
            })
        };
        Durable { workers: (0..workers).map(inbox).collect(), mark }
    }

    /// The workers' inboxes.
    pub fn workers(&self) -> &[Arc<Inbox>] {
        &self.workers
    }

    /// Everything up to `seq` is on disk: workers that hold bytes back are told once.
    pub fn advance(&self, seq: Seq) {
        self.mark.fetch_max(seq, Ordering::SeqCst);
        for worker in &self.workers {
            if worker.holding.swap(false, Ordering::SeqCst) {
                worker.wake();
            }
        }
    }
}

/// A thread that panicked aborts the process, so what it left behind is never half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
