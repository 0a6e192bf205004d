//! What lies between the threads: events on their way to the server, actions on their way to a
//! worker, and the durable mark.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use ircv3::Cidr;

use crate::limits::{RESERVED_FILES, WAITING_ACTION_BYTES, WAITING_EVENTS};
use crate::net::link::Stream;
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
    /// The durable mark that the server has not been told of.
    committed: Option<Seq>,
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

    /// Puts in the news that everything up to `seq` is on disk. Workers have it already, so the server
    /// is not woken for it: it comes with the next event.
    pub fn committed(&self, seq: Seq) {
        let mut waiting = lock(&self.waiting);
        waiting.committed = waiting.committed.max(Some(seq));
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
                break;
            }
            waiting = self.came.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut waiting.events, batch);
        batch.extend(waiting.committed.take().map(Event::Committed));
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
    /// The other end; by a unix socket it is this machine.
    pub peer: SocketAddr,
    /// What is spoken on it.
    pub wire: Wire,
    /// Its seat.
    pub seat: Seat,
}

/// A socket, and whose runtime watches it.
#[derive(Debug)]
pub enum AcceptedSocket {
    /// The worker's own.
    Here(Stream),
    /// None yet.
    Tcp(TcpStream),
    /// None yet.
    Unix(UnixStream),
}

impl AcceptedSocket {
    /// The socket, taken off the present runtime so that another can watch it.
    pub fn unwatch(stream: Stream) -> io::Result<AcceptedSocket> {
        Ok(match stream {
            Stream::Tcp(stream) => AcceptedSocket::Tcp(stream.into_std()?),
            Stream::Unix(stream) => AcceptedSocket::Unix(stream.into_std()?),
        })
    }

    /// The socket, watched by the present runtime.
    pub fn watch(self) -> io::Result<Stream> {
        Ok(match self {
            AcceptedSocket::Here(stream) => stream,
            AcceptedSocket::Tcp(stream) => Stream::Tcp(tokio::net::TcpStream::from_std(stream)?),
            AcceptedSocket::Unix(stream) => Stream::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

/// What is spoken on a listener's connections, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The TLS to offer; `None` for plain text.
    pub tls: Option<TlsSetup>,
    /// The pages that may connect; `None` where it is not WebSocket.
    pub websocket: Option<Arc<Origins>>,
    /// The only addresses that may connect; each begins with a PROXY header. `None` where no header
    /// is asked for.
    pub proxies: Option<Arc<[Cidr]>>,
    /// The addresses that may begin with a PROXY header.
    pub trusted: Arc<[Cidr]>,
    /// The host of everyone who comes this way, in place of an address.
    pub host: Option<Arc<str>>,
}

/// How many connections there may be, over all listeners and workers.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    most: usize,
}

impl Room {
    /// Room for what a process with so many files can have, and still do the rest of its work.
    pub fn new(files: u64) -> Arc<Room> {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        Arc::new(Room { taken: AtomicUsize::new(0), most: files.saturating_sub(RESERVED_FILES).max(files / 2) })
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A seat, whose owner gives it back by dropping it; `None` where all are taken.
    pub fn seat(self: &Arc<Room>) -> Option<Seat> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Seat(self.clone()))
    }
}

/// One connection's place in a [`Room`].
#[derive(Debug)]
pub struct Seat(Arc<Room>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one worker is given from outside: actions, new sockets, and the news that the durable mark moved.
#[derive(Debug)]
pub struct Inbox {
    inside: Mutex<Inside>,
    taken: Condvar,
    /// Whether the worker holds bytes back until the mark moves.
    holding: AtomicBool,
    durable: Arc<AtomicU64>,
    handed_over: Arc<AtomicU64>,
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

    /// What the server said of changes up to this number was delivered. To be read before [`Inbox::take`], which then
    /// takes all of that.
    pub fn handed_over(&self) -> Seq {
        self.handed_over.load(Ordering::SeqCst)
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
    handed_over: Arc<AtomicU64>,
    workers: Vec<Arc<Inbox>>,
}

impl Durable {
    /// A mark at `start` and the inboxes of so many workers.
    pub fn new(start: Seq, workers: usize) -> Durable {
        let mark = Arc::new(AtomicU64::new(start));
        let handed_over = Arc::new(AtomicU64::new(start));
        let inbox = |_| {
            Arc::new(Inbox {
                inside: Mutex::default(),
                taken: Condvar::new(),
                holding: AtomicBool::new(false),
                durable: mark.clone(),
                handed_over: handed_over.clone(),
            })
        };
        Durable { workers: (0..workers).map(inbox).collect(), mark, handed_over }
    }

    /// The workers' inboxes.
    pub fn workers(&self) -> &[Arc<Inbox>] {
        &self.workers
    }

    /// What is to be said of changes up to `seq` is in the inboxes.
    pub fn handed_over(&self, seq: Seq) {
        self.handed_over.fetch_max(seq, Ordering::SeqCst);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::time::{Duration, Instant};

    use super::{Durable, EventQueue};
    use crate::limits::WAITING_EVENTS;
    use crate::server::action::NetAction;
    use crate::server::event::Event;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn at_once() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_batch_that_does_not_fit_stays_and_its_worker_is_woken_when_it_does() {
        let (queue, durable) = (EventQueue::default(), Durable::new(0, 1));
        let (inbox, count) = (&durable.workers()[0], Arc::new(Count::default()));
        inbox.take(&mut Vec::new(), &mut Vec::new(), &Waker::from(count.clone()));
        let mut batch: Vec<Event> = (0..WAITING_EVENTS).map(|_| Event::Tick).collect();
        assert!(queue.push_batch(&mut batch, inbox) && batch.is_empty());
        batch.push(Event::Tick);
        assert!(!queue.push_batch(&mut batch, inbox) && batch.len() == 1);
        // What must not be held up is not.
        queue.push(Event::StoreRecovered);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        let mut taken = Vec::new();
        queue.take(&mut taken, at_once());
        assert_eq!(taken.len(), WAITING_EVENTS + 1);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(queue.push_batch(&mut batch, inbox));
    }

    #[test]
    fn a_commit_comes_with_the_next_event_and_only_the_last_counts() {
        let queue = EventQueue::default();
        queue.committed(4);
        queue.committed(9);
        queue.push(Event::Tick);
        let mut taken = Vec::new();
        queue.take(&mut taken, at_once() + Duration::from_secs(10));
        assert!(matches!(taken[..], [Event::Tick, Event::Committed(9)]));
        taken.clear();
        queue.take(&mut taken, at_once());
        assert!(taken.is_empty());
    }

    #[test]
    fn only_a_worker_that_holds_something_is_told_that_the_mark_moved_and_only_once() {
        let durable = Durable::new(0, 2);
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        for (inbox, count) in durable.workers().iter().zip(&counts) {
            inbox.take(&mut Vec::new(), &mut Vec::new(), &Waker::from(count.clone()));
        }
        durable.workers()[1].set_holding(true);
        for seq in 1..5 {
            durable.advance(seq);
        }
        // A late answer never takes the mark back.
        durable.advance(2);
        assert_eq!(counts.map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
        assert_eq!(durable.workers()[0].durable(), 4);
    }

    #[test]
    fn actions_keep_their_order_over_several_deliveries() {
        let durable = Durable::new(0, 1);
        let inbox = &durable.workers()[0];
        let mut actions = vec![NetAction::Pause { slot: 1 }, NetAction::Pause { slot: 2 }];
        inbox.deliver(&mut actions);
        assert!(actions.is_empty());
        inbox.deliver(&mut vec![NetAction::Pause { slot: 3 }]);
        let mut taken = Vec::new();
        inbox.take(&mut taken, &mut Vec::new(), Waker::noop());
        let slots: Vec<u32> =
            taken.iter().map(|action| if let NetAction::Pause { slot } = action { *slot } else { 0 }).collect();
        assert_eq!(slots, [1, 2, 3]);
    }
}
