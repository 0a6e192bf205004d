//! Threads, signals, shutdown: what stands between the parts, and nothing of what they do.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ircv3::Cidr;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::accounts::{Pool, totp};
use crate::audit::Audit;
use crate::config::{self, Config, ConfigError};
use crate::limits::{HASHES_WAITING, INDEX_LAG};
use crate::mail::Poster;
use crate::net::{self, Durable, EventQueue, FloodOptions, Listener, Origins, Room, TlsError, TlsSetup, Wire, Worker};
use crate::push::Pusher;
use crate::push::vapid::VapidKey;
use crate::server::Server;
use crate::server::action::{Actions, Call};
use crate::server::event::{CallId, Event, Now, Returned};
use crate::server::record::{Record, SEQ_COUNTER_BITS, Seq, Snapshot, VapidRow};
use crate::store::{self, Store, StoreError};
use crate::witness::Asker;

/// How often the state machine is told that time has passed.
const TICK: Duration = Duration::from_millis(250);
/// Events that are handled before what came of them is carried out, so that the workers and the
/// store have something to do meanwhile.
const EVENTS_AT_ONCE: usize = 512;
/// Connections that are gone that the server is told of at once: with 5,000 members to tell of each that is 2 ms.
const CLOSED_AT_ONCE: usize = 32;

/// Reads the configuration again (SIGHUP).
pub type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;

/// Why the server did not start, or did not end well.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration asks for what cannot be had: a port that is taken, a file that is not there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate that Roost makes itself.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads and signals.
    #[error("the system refuses what every server needs: {0}")]
    System(#[from] io::Error),
    /// A thread of the server has panicked; it has said so on standard error.
    #[error("the server has stopped by a fault of its own; please report what it said above")]
    Panicked,
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is to stay down.
    Stopped,
    /// An operator asked for RESTART.
    StartAgain,
}

/// Starts the server, and returns when it has ended: SIGTERM and SIGINT end it, SIGHUP reads the
/// configuration again.
///
/// # Errors
/// Nothing is left half started: listeners are bound before anything else, and nothing is accepted
/// before everything stands.
pub fn run(config: Config, reload: Reload) -> Result<Ended, RunError> {
    // A limit that cannot be raised shows as "new connections have to wait" later on.
    let files = rlimit::increase_nofile_limit(u64::MAX).or_else(|_| rlimit::Resource::NOFILE.get_soft())?;
    // Fails only where a provider is there already, which is then the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    let settings = Arc::new(config.settings()?);
    store::make_private(config.data_dir()).map_err(|error| {
        let problem =
            format!("\"{}\" cannot be made: {error}; give a directory to write in", config.data_dir().display());
        config.fault("data", &problem)
    })?;
    let tls = tls_setup(&config)?;
    let listeners = listen(&config, tls.as_ref())?;

    let audit = Audit::open(&config.log.audit).map_err(|error| {
        let problem = format!("\"{}\" cannot be written: {error}; give the path of a file, or \"\"", config.log.audit);
        config.fault("log.audit", &problem)
    })?;

    let workers = config.workers();
    let events = Arc::new(EventQueue::default());
    // The mark stands at the last start's end until the store has told where this one begins.
    let durable = Arc::new(Durable::new(0, workers));
    let (store, mut snapshot) = store::open(store_options(&config), deliver(&events, &durable))?;
    snapshot.second_key = totp::ensure_key(config.data_dir())?;
    durable.advance(u64::from(snapshot.boot) << SEQ_COUNTER_BITS);
    let hashers = thread::available_parallelism().map_or(1, usize::from);
    let pool = Pool::new(hashers, HASHES_WAITING, config.accounts.bcrypt_cost, deliver(&events, &durable))?;

    let poster = Poster::new(deliver(&events, &durable))?;
    let room = Room::new(files);
    let pusher = Pusher::new(room.clone(), deliver(&events, &durable));
    let asker = Asker::new(deliver(&events, &durable))?;
    make_vapid(settings.vapid_key, &store, &mut snapshot)?;

    let (reloads, asked_again) = mpsc::unbounded_channel();
    let clock = Clock::start();
    let server = Server::new(settings, snapshot, workers, clock.now());
    let threads = start_workers(net_options(&config), &events, &durable, listeners, room)?;
    let carrier = Carrier {
        events: events.clone(),
        durable: durable.clone(),
        store: Some(store),
        pool: Some(pool),
        poster: Some(poster),
        pusher: Some(pusher),
        asker: Some(asker),
        audit,
        reloads,
        exports: (config.store_url(), config.data_dir().join("exports")),
        restart: false,
    };
    let (ended, end) = oneshot::channel();
    let ends = Ends { end, asked: asked_again };
    let server_thread = thread::Builder::new().name("server".into()).spawn(move || {
        let carrier = serve(server, clock, carrier);
        let _ = ended.send(());
        carrier
    })?;
    // Whoever cannot be told how to connect is let in all the same.
    let _ = writeln!(io::stdout(), "{}", config::greeting(&config).trim_end());

    watch_signals(&events, ends, config, reload, tls)?;
    let mut carrier = server_thread.join().map_err(|_| RunError::Panicked)?;
    // Last lines may wait for the store, which tells the workers itself.
    for inbox in durable.workers() {
        inbox.end();
    }
    let mut whole = true;
    for thread in threads {
        whole &= thread.join().is_ok();
    }
    drop(carrier.pool.take());
    drop(carrier.poster.take());
    drop(carrier.pusher.take());
    drop(carrier.asker.take());
    if let Some(store) = carrier.store.take() {
        store.close()?;
    }
    let ended = if carrier.restart { Ended::StartAgain } else { Ended::Stopped };
    if whole { Ok(ended) } else { Err(RunError::Panicked) }
}

/// Where the store and the pool say what happened. The durable mark goes straight to the workers.
fn deliver(events: &Arc<EventQueue>, durable: &Arc<Durable>) -> Arc<dyn Fn(Event) + Send + Sync> {
    let (events, durable) = (events.clone(), durable.clone());
    Arc::new(move |event| {
        if let Event::Committed(seq) = event {
            durable.advance(seq);
            events.committed(seq);
        } else {
            events.push(event);
        }
    })
}

/// Makes the key that push services are to know the server by, where it is not there. Whatever depends on it comes
/// after it in the store.
fn make_vapid(id: u32, store: &Store, snapshot: &mut Snapshot) -> io::Result<()> {
    if snapshot.vapid.iter().any(|row| row.id == id) {
        return Ok(());
    }
    let private = VapidKey::generate().map_err(|_| io::Error::other("there is no randomness"))?;
    let row = VapidRow { id, private: private.into() };
    store.append(vec![(u64::from(snapshot.boot) << SEQ_COUNTER_BITS, Record::Vapid(Box::new(row.clone())))]);
    snapshot.vapid.push(row);
    Ok(())
}

/// How the configuration has its store opened.
pub fn store_options(config: &Config) -> store::Options {
    store::Options {
        url: config.store_url(),
        sync: match config.store.sync {
            config::Sync::Full => store::Sync::Full,
            config::Sync::Normal => store::Sync::Normal,
        },
        casemapping: config.casemapping(),
        index_lag: INDEX_LAG,
    }
}

fn net_options(config: &Config) -> net::Options {
    let flood = &config.flood;
    net::Options {
        flood: flood.enabled.then_some(FloodOptions { burst: flood.burst.max(1), per_second: flood.per_second as f32 }),
        sendq: config.connection.sendq,
    }
}

/// The certificate, where any listener needs one.
fn tls_setup(config: &Config) -> Result<Option<TlsSetup>, RunError> {
    if !config.listeners().iter().any(|listener| listener.tls) {
        return Ok(None);
    }
    let files = config.tls_files();
    if files.self_made {
        let dir = files.certificate.parent().map(PathBuf::from).unwrap_or_default();
        net::ensure_certificate(&dir, &config.server.name)?;
        return Ok(Some(TlsSetup::load(&files.certificate, &files.key)?));
    }
    let setup = TlsSetup::load(&files.certificate, &files.key);
    Ok(Some(setup.map_err(|error| config.fault("tls.certificate", &error.to_string()))?))
}

fn listen(config: &Config, tls: Option<&TlsSetup>) -> Result<Vec<Listener>, ConfigError> {
    let origins = Arc::new(Origins(config.listen.websocket_origins.clone()));
    let trusted: Arc<[Cidr]> = config.proxy_from().into();
    let bind = |listener: config::Listener| {
        let wire = Wire {
            tls: tls.filter(|_| listener.tls).cloned(),
            websocket: listener.websocket.then(|| origins.clone()),
            proxies: (!listener.proxies.is_empty()).then(|| listener.proxies.into()),
            trusted: trusted.clone(),
            host: listener.host,
        };
        Listener::bind(&listener.address, wire).map_err(|error| config.fault(&listener.key, &error.to_string()))
    };
    // Sockets in the file system first: whoever waits for a port to answer finds them there, too.
    let mut listeners = config.listeners();
    listeners.sort_by_key(|listener| !matches!(listener.address, net::Address::Unix { .. }));
    listeners.into_iter().map(bind).collect()
}

/// Starts a thread for each inbox; the first of them also accepts.
fn start_workers(
    options: net::Options,
    events: &Arc<EventQueue>,
    durable: &Arc<Durable>,
    listeners: Vec<Listener>,
    room: Arc<Room>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut listeners = Some(listeners);
    let mut threads = Vec::new();
    for (index, inbox) in durable.workers().iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker::new(index as u16, options, events.clone(), inbox.clone());
        let inboxes: Arc<[_]> = durable.workers().into();
        let listeners = listeners.take().unwrap_or_default();
        let room = room.clone();
        threads.push(thread::Builder::new().name(format!("net {index}")).spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(listener.accept(inboxes.clone(), room.clone()));
                }
                // A task of its own: woken from its own thread it costs no system call. Its rounds
                // are bounded by themselves.
                let round = tokio::spawn(tokio::task::unconstrained(worker));
                if round.await.is_err() {
                    std::process::abort();
                }
            });
        })?);
    }
    Ok(threads)
}

/// Both clocks. The one that never goes back starts with the process.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { unix_ms: unix.as_millis() as u64, mono_ms: self.started.elapsed().as_millis() as u64 }
    }
}

/// The name of a file for what is kept of an account: whatever is in the account's name, it stays in its directory.
fn export_name(account: &str, now_ms: u64) -> String {
    let plain: String =
        account.chars().map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '+' }).collect();
    format!("{plain}-{}.json", now_ms / 1000)
}

/// What carries out the server's actions.
struct Carrier {
    events: Arc<EventQueue>,
    durable: Arc<Durable>,
    store: Option<Store>,
    pool: Option<Pool>,
    poster: Option<Poster>,
    pusher: Option<Pusher>,
    asker: Option<Asker>,
    audit: Audit,
    /// Whoever asked for the configuration to be read again.
    reloads: mpsc::UnboundedSender<CallId>,
    /// The store's URL, and where what is kept of single accounts is written.
    exports: (String, PathBuf),
    restart: bool,
}

impl Carrier {
    fn append(&self, records: Vec<(Seq, Record)>) {
        if let (Some(store), false) = (&self.store, records.is_empty()) {
            store.append(records);
        }
    }

    /// Has what is kept of an account written, by a thread that ends with it.
    fn export(&self, account: Box<str>) {
        let (events, (url, directory)) = (self.events.clone(), self.exports.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let name = account.clone();
        let write = move || {
            let file = directory.join(export_name(&account, now));
            let outcome = store::export_to(&url, &account, now, &file);
            let outcome = outcome.map(|count| (file.display().to_string(), count)).map_err(|error| error.to_string());
            events.push(Event::Exported { account, outcome });
        };
        if let Err(error) = thread::Builder::new().name("export".into()).spawn(write) {
            let outcome = Err(format!("no thread for it: {error}"));
            self.events.push(Event::Exported { account: name, outcome });
        }
    }

    fn call(&self, id: CallId, call: Call) {
        match (call, &self.store, &self.pool) {
            (Call::Reload, _, _) => {
                // Whoever watches for it ends after this thread.
                let _ = self.reloads.send(id);
            }
            (Call::Mail { letter, smtp }, _, _) => {
                if let Some(poster) = &self.poster {
                    poster.submit(id, *letter, smtp);
                }
            }
            (Call::Judge { question, witness }, _, _) => {
                if let Some(asker) = &self.asker {
                    asker.submit(id, *question, witness);
                }
            }
            (Call::Push(push), _, _) => {
                if let Some(pusher) = &self.pusher {
                    pusher.submit(id, *push);
                }
            }
            (Call::Export { account }, _, _) => self.export(account),
            (Call::History(query), Some(store), _) => store.history(id, *query),
            (Call::Search(query), Some(store), _) => store.search(id, *query),
            (Call::Find { conversation, seq }, Some(store), _) => store.find(id, conversation, seq),
            (call, _, Some(pool)) => pool.submit(id, call),
            _ => {}
        }
    }

    /// Carries out `actions` and empties them: the store first, for others wait for it. `last` is the number of the
    /// last change that they are of.
    fn carry_out(&self, actions: &mut Actions, last: Seq) {
        self.append(std::mem::take(&mut actions.store));
        for (actions, inbox) in actions.net.iter_mut().zip(self.durable.workers()) {
            inbox.deliver(actions);
        }
        self.durable.handed_over(last);
        for what in actions.expire.drain(..) {
            if let Some(store) = &self.store {
                store.expire(what);
            }
        }
        for (id, call) in actions.calls.drain(..) {
            self.call(id, call);
        }
        for line in actions.audit.drain(..) {
            self.audit.write(line);
        }
        for line in actions.log.drain(..) {
            if line.warning {
                tracing::warn!("{}", line.text);
            } else {
                tracing::info!("{}", line.text);
            }
        }
    }

    /// While more records wait than memory is meant for, nothing new is taken; but time goes on, for
    /// a store that fails has to be heard. What is refused then adds no records.
    fn wait_for_store(&self, refusing: bool) {
        if refusing {
            return;
        }
        let Some(store) = &self.store else { return };
        let started = Instant::now();
        while store.is_full() && started.elapsed() < TICK {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The server thread: takes events, and has carried out what comes of them, until the server has
/// said its last word.
fn serve(mut server: Server, clock: Clock, mut carrier: Carrier) -> Carrier {
    let mut batch = Vec::new();
    let mut departed = Departed::default();
    let mut actions = Actions::new(carrier.durable.workers().len());
    let mut next_tick = Instant::now() + TICK;
    loop {
        let deadline = if departed.0.is_empty() { next_tick } else { Instant::now() };
        carrier.events.take(&mut batch, deadline);
        departed.sort_out(&mut batch);
        let mut events = batch.drain(..);
        loop {
            let now = clock.now();
            let mut left = EVENTS_AT_ONCE;
            for event in events.by_ref().take(EVENTS_AT_ONCE) {
                server.handle(now, event, &mut actions);
                left -= 1;
            }
            if Instant::now() >= next_tick {
                server.handle(clock.now(), Event::Tick, &mut actions);
                next_tick = Instant::now() + TICK;
            }
            carrier.carry_out(&mut actions, server.last_seq());
            if actions.ended {
                drop(events);
                carrier.restart = actions.restart;
                return carrier;
            }
            carrier.wait_for_store(server.store_refuses());
            if left > 0 {
                break;
            }
        }
    }
}

/// Connections that are gone and that the server has not been told of: at most as many as there are. When thousands
/// vanish at once, each of them is news for all who are left; who is still there is served in between. Among events of
/// different connections none comes before the other, and of one that is gone nothing more comes.
#[derive(Default)]
struct Departed(VecDeque<Event>);

impl Departed {
    /// Leaves at most [`CLOSED_AT_ONCE`] of those that are gone in a batch, the first to go first.
    fn sort_out(&mut self, batch: &mut Vec<Event>) {
        let waiting = self.0.len().min(CLOSED_AT_ONCE);
        let mut left = CLOSED_AT_ONCE - waiting;
        let late = batch.extract_if(.., |event| {
            matches!(event, Event::Closed(..)) && {
                let stays = left > 0;
                left = left.saturating_sub(1);
                !stays
            }
        });
        self.0.extend(late);
        batch.splice(..0, self.0.drain(..waiting));
    }
}

/// What the main thread waits for beside signals.
struct Ends {
    /// The server has ended.
    end: oneshot::Receiver<()>,
    /// An operator asks for the configuration to be read again.
    asked: mpsc::UnboundedReceiver<CallId>,
}

/// Turns signals into events until the server has ended.
fn watch_signals(
    events: &EventQueue,
    mut ends: Ends,
    mut config: Config,
    reload: Reload,
    tls: Option<TlsSetup>,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut asked = 0;
        loop {
            tokio::select! {
                // An error means that the thread is gone: joining it says how.
                _ = &mut ends.end => return Ok(()),
                Some(id) = ends.asked.recv() => {
                    let returned = match read_again(events, &mut config, &reload, tls.as_ref()) {
                        Ok(later) => Returned::Reloaded(later),
                        Err(problem) => Returned::Failed(problem.into()),
                    };
                    events.push(Event::Returned(id, returned));
                    continue;
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    // It has said in the log what is wrong.
                    let _ = read_again(events, &mut config, &reload, tls.as_ref());
                    continue;
                }
            }
            asked += 1;
            match asked {
                1 => tracing::info!("ending"),
                // Whoever asks twice does not want to wait for clients.
                2 => tracing::info!("ending at once"),
                // Nor for the store.
                _ => std::process::exit(1),
            }
            events.push(Event::Shutdown("The server is shutting down".into()));
        }
    })
}

/// SIGHUP and REHASH. Whatever is wrong with the new configuration, the old one stays; what is wrong is in
/// the log, too. The keys that take effect at the next start only.
fn read_again(
    events: &EventQueue,
    config: &mut Config,
    reload: &Reload,
    tls: Option<&TlsSetup>,
) -> Result<Vec<&'static str>, String> {
    if let Some(Err(error)) = tls.map(TlsSetup::reload) {
        tracing::warn!("the certificate stays as it was: {error}");
    }
    let read = reload().and_then(|next| next.settings().map(|settings| (next, settings)));
    let (next, settings) = read.map_err(|error| {
        tracing::warn!("the configuration stays as it was: {error}");
        error.to_string()
    })?;
    let later = config.needs_restart(&next);
    for key in &later {
        tracing::warn!("{key} has changed; that takes effect at the next start");
    }
    for warning in next.warnings() {
        tracing::warn!("{warning}");
    }
    *config = next;
    // The server says so in the log once it goes by the new settings.
    events.push(Event::Reload(Arc::new(settings)));
    Ok(later)
}

#[cfg(test)]
mod tests {
    use super::{CLOSED_AT_ONCE, Departed};
    use crate::server::event::{CloseCause, ConnId, Event};

    fn closed(slot: u32) -> Event {
        Event::Closed(ConnId { worker: 0, slot }, CloseCause::Eof { shown: None })
    }

    /// The slots of those that are gone, and a dot for each other event.
    fn told(batch: &[Event]) -> Vec<Option<u32>> {
        let slot = |event: &Event| if let Event::Closed(conn, _) = event { Some(conn.slot) } else { None };
        batch.iter().map(slot).collect()
    }

    #[test]
    fn those_who_vanish_at_once_are_told_of_a_few_at_a_time_and_in_order() {
        let mut departed = Departed::default();
        let few = CLOSED_AT_ONCE as u32;
        let mut batch: Vec<Event> = (0..3 * few).flat_map(|slot| [Event::Tick, closed(slot)]).collect();
        departed.sort_out(&mut batch);
        let first = told(&batch);
        assert_eq!(first.iter().filter(|slot| slot.is_none()).count(), 3 * few as usize, "others go on");
        assert_eq!(first[..4], [None, Some(0), None, Some(1)], "a few stay where they were");
        assert!(first.iter().flatten().copied().eq(0..few));
        batch = vec![Event::Tick, closed(1000)];
        departed.sort_out(&mut batch);
        let second = told(&batch);
        assert!(second.iter().flatten().copied().eq(few..2 * few));
        assert_eq!(second.last(), Some(&None));
        batch.clear();
        departed.sort_out(&mut batch);
        assert!(told(&batch).iter().flatten().copied().eq(2 * few..3 * few));
        batch = vec![closed(1001)];
        departed.sort_out(&mut batch);
        assert_eq!(told(&batch), [Some(1000), Some(1001)]);
        assert!(departed.0.is_empty());
    }
}
