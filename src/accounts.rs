//! Passwords: hashed and compared with bcrypt, off the server thread; and what SCRAM keeps of them, and
//! bearer tokens.
//!
//! bcrypt reads 72 bytes and stops at NUL, so what it is given is the base64 of the password's
//! SHA-512: every byte of a long password counts.

pub mod foreign;
pub mod token;
pub mod totp;

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ircv3::sasl::scram::{self, Credential, Hash, SALT_BYTES};
use sha2::{Digest as _, Sha512};

use crate::accounts::foreign::Foreign;
use crate::server::action::Call;
use crate::server::event::{CallId, Event, Returned};

/// The cost of a new hash where nothing else is said: about 50 ms of one core.
pub const DEFAULT_COST: u32 = 10;
/// How often SCRAM hashes a new password where nothing else is said: a few milliseconds, which the
/// client takes at each login.
pub const DEFAULT_ITERATIONS: u32 = 10_000;
/// The lowest cost that bcrypt has.
pub const LOWEST_COST: u32 = 4;

/// What bcrypt is given in place of `password`: the base64 of its SHA-512, 88 characters. Of these
/// bcrypt takes 72, which are 432 bits. Passwords that look alike are alike (SASLprep).
pub fn prehash(password: &str) -> String {
    STANDARD.encode(Sha512::digest(scram::prepare(password).as_bytes()))
}

/// What is kept of a new password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// bcrypt of the prehashed password.
    pub hash: Box<str>,
    /// For SCRAM, one for each of its hashes.
    pub scram: Vec<Credential>,
}

/// What SCRAM keeps of `password`, with salts of its own.
pub fn derive(password: &str, iterations: u32) -> Vec<Credential> {
    Hash::ALL.map(|hash| Credential::derive(hash, password, &rand::random::<[u8; SALT_BYTES]>(), iterations)).to_vec()
}

/// The bcrypt hash of `password`, with a salt of its own. A step of `cost` doubles the time.
///
/// # Errors
/// A cost outside 4..=31, or no randomness to be had.
pub fn hash(password: &str, cost: u32) -> Result<String, bcrypt::BcryptError> {
    bcrypt::hash(prehash(password), cost)
}

/// Whether `password` fits `hash`. Without a hash (no such account), or with one that is none, the
/// answer is no, after the time that a hash of `cost` takes.
pub fn verify(password: &str, hash: Option<&str>, cost: u32) -> bool {
    match hash {
        Some(hash) if is_hash(hash) => bcrypt::verify(prehash(password), hash).unwrap_or(false),
        _ => {
            // Hashing costs what comparing costs; the optimiser may not see that nobody looks.
            let _ = std::hint::black_box(self::hash(password, cost));
            false
        }
    }
}

/// Whether `text` is a bcrypt hash, as [`hash`] makes one.
pub fn is_hash(text: &str) -> bool {
    text.len() == 60 && bcrypt::HashParts::from_str(text).is_ok()
}

/// Where an answer goes: to the server thread.
pub type Deliver = Arc<dyn Fn(Event) + Send + Sync>;

/// Threads that hash and compare passwords. Every call that is submitted is answered once, with
/// `Event::Returned`.
pub struct Pool {
    queue: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closed: Arc<AtomicBool>,
    deliver: Deliver,
}

type Job = (CallId, Call);

impl Pool {
    /// Starts `threads` threads that hash with `cost`; at most `queue_bound` calls wait for them.
    /// Of either there is at least one.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(threads: usize, queue_bound: usize, cost: u32, deliver: Deliver) -> std::io::Result<Pool> {
        let (queue, jobs) = sync_channel(queue_bound.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        let closed = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for number in 0..threads.max(1) {
            let (jobs, closed, deliver) = (jobs.clone(), closed.clone(), deliver.clone());
            let thread = std::thread::Builder::new().name(format!("passwords {number}"));
            running.push(thread.spawn(move || work(&jobs, &closed, cost, &deliver))?);
        }
        Ok(Pool { queue: Mutex::new(Some(queue)), threads: Mutex::new(running), closed, deliver })
    }

    /// Has `call` done, or fails it at once where too many wait, where it has nothing to do with
    /// passwords, or after [`Pool::close`]. Never waits.
    pub fn submit(&self, id: CallId, call: Call) {
        let refused = match (&call, &*lock(&self.queue)) {
            (
                Call::History(_)
                | Call::Search(_)
                | Call::Find { .. }
                | Call::Export { .. }
                | Call::Reload
                | Call::Mail { .. }
                | Call::Judge { .. }
                | Call::Push(_),
                _,
            ) => Some(NOT_OURS),
            (_, None) => Some("closed"),
            (Call::Hash { .. } | Call::Verify { .. } | Call::Token { .. }, Some(queue)) => {
                match queue.try_send((id, call)) {
                    Ok(()) => None,
                    Err(TrySendError::Full(_)) => Some("busy"),
                    Err(TrySendError::Disconnected(_)) => Some("closed"),
                }
            }
        };
        if let Some(reason) = refused {
            (self.deliver)(Event::Returned(id, Returned::Failed(reason.into())));
        }
    }

    /// Fails what still waits, lets what is under way finish, and ends the threads.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(lock(&self.queue).take());
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A thread that panicked has said so on standard error; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why a call is refused that is for somebody else.
const NOT_OURS: &str = "not a call for the password threads";

fn work(jobs: &Mutex<Receiver<Job>>, closed: &AtomicBool, cost: u32, deliver: &Deliver) {
    loop {
        let next = lock(jobs).recv();
        let Ok((id, call)) = next else { return };
        let returned = if closed.load(Ordering::Acquire) { Returned::Failed("closed".into()) } else { run(call, cost) };
        deliver(Event::Returned(id, returned));
    }
}

fn run(call: Call, cost: u32) -> Returned {
    match call {
        Call::Hash { password, iterations } => match hash(&password, cost) {
            Ok(hash) => {
                let scram = derive(&password, iterations);
                Returned::Hashed(Box::new(Secrets { hash: hash.into(), scram }))
            }
            Err(error) => Returned::Failed(error.to_string().into()),
        },
        Call::Verify { password, hash, derive } => {
            if let Some(foreign) = hash.as_deref().and_then(Foreign::parse) {
                return compare_foreign(&foreign, &password, derive, cost);
            }
            match (verify(&password, hash.as_deref(), cost), derive) {
                (true, Some(iterations)) => Returned::Derived(self::derive(&password, iterations)),
                (right, _) => Returned::Verified(right),
            }
        }
        Call::Token { token, tokens } => Returned::Token(tokens.account(&token).map(Into::into).map_err(Into::into)),
        // What `submit` refuses.
        _ => Returned::Failed(NOT_OURS.into()),
    }
}

/// Compares with a hash that was imported; where it fits, our own comes back in its place.
fn compare_foreign(foreign: &Foreign, password: &str, derive: Option<u32>, cost: u32) -> Returned {
    let fits = foreign.fits(password);
    // Some methods are quick. Hashing takes its time either way, so that nobody can tell by that which account there is.
    match (hash(password, cost), derive) {
        (Ok(hash), Some(iterations)) if fits => {
            let scram = self::derive(password, iterations);
            Returned::Hashed(Box::new(Secrets { hash: hash.into(), scram }))
        }
        _ => Returned::Verified(fits),
    }
}

/// A lock whose owner panicked still guards whole data here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use ircv3::sasl::scram::{Credential, Hash};

    use super::{LOWEST_COST, Pool, hash, is_hash, prehash, verify};
    use crate::server::action::Call;
    use crate::server::event::{CallId, ConnId, Event, Returned};

    fn id(serial: u64) -> CallId {
        CallId { conn: ConnId { worker: 0, slot: 7 }, serial }
    }

    fn pool(threads: usize, bound: usize) -> (Pool, Receiver<(u64, Returned)>) {
        let (sender, answers) = channel();
        let deliver = move |event| match event {
            Event::Returned(id, returned) => sender.send((id.serial, returned)).unwrap(),
            other => panic!("{other:?}"),
        };
        (Pool::new(threads, bound, LOWEST_COST, Arc::new(deliver)).unwrap(), answers)
    }

    fn verify_call(password: &str, hash: &str) -> Call {
        Call::Verify { password: password.into(), hash: Some(hash.into()), derive: None }
    }

    #[test]
    fn the_prehash_is_base64_of_sha_512() {
        // FIPS 180-2, appendix C.1, in base64.
        let abc = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        assert_eq!(prehash("abc"), abc);
    }

    #[test]
    fn every_byte_of_a_long_password_counts() {
        let long = "x".repeat(599);
        let kept = hash(&format!("{long}a"), LOWEST_COST).unwrap();
        assert!(is_hash(&kept));
        assert!(verify(&format!("{long}a"), Some(&kept), LOWEST_COST));
        assert!(!verify(&format!("{long}b"), Some(&kept), LOWEST_COST));
        assert!(!verify(&long, Some(&kept), LOWEST_COST));
    }

    #[test]
    fn nothing_fits_no_hash_or_a_broken_one() {
        assert!(!verify("secret", None, LOWEST_COST));
        assert!(!verify("secret", Some("secret"), LOWEST_COST));
        assert!(!verify("", Some(""), LOWEST_COST));
        assert!(!is_hash("$2b$04$tooshort"));
        assert!(!is_hash(&"x".repeat(60)));
    }

    #[test]
    fn a_missing_account_takes_as_long_as_a_wrong_password() {
        let cost = 8;
        let kept = hash("secret", cost).unwrap();
        // Processor time of this thread, in nanoseconds: what else runs on the machine is not in it.
        let spent = || -> u64 {
            let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            spent.split(' ').next().unwrap().parse().unwrap()
        };
        let time = |hash: Option<&str>| {
            let start = spent();
            assert!(!verify("wrong", hash, cost));
            spent() - start
        };
        let turns: Vec<_> = (0..8).map(|_| (time(Some(&kept)), time(None))).collect();
        let known = turns.iter().map(|(known, _)| *known).min().unwrap();
        let unknown = turns.iter().map(|(_, unknown)| *unknown).min().unwrap();
        assert!(unknown * 2 > known && known * 2 > unknown, "{known} and {unknown} ns");
    }

    #[test]
    fn the_pool_hashes_and_compares() {
        let (pool, answers) = pool(2, 8);
        pool.submit(id(1), Call::Hash { password: "secret".into(), iterations: 4096 });
        let (serial, Returned::Hashed(secrets)) = answers.recv().unwrap() else { panic!("no hash") };
        assert_eq!(serial, 1);
        let hash = secrets.hash;
        for (credential, kind) in secrets.scram.iter().zip(Hash::ALL) {
            assert_eq!(*credential, Credential::derive(kind, "secret", &credential.salt, 4096));
        }
        pool.submit(id(2), verify_call("secret", &hash));
        assert!(matches!(answers.recv().unwrap(), (2, Returned::Verified(true))));
        pool.submit(id(3), verify_call("Secret", &hash));
        assert!(matches!(answers.recv().unwrap(), (3, Returned::Verified(false))));
        let derive =
            |password: &str| Call::Verify { password: password.into(), hash: Some(hash.clone()), derive: Some(5000) };
        pool.submit(id(4), derive("secret"));
        let (4, Returned::Derived(derived)) = answers.recv().unwrap() else { panic!("nothing derived") };
        assert!(derived.len() == 2 && derived.iter().all(|credential| credential.iterations == 5000));
        assert_ne!(derived[0].salt, secrets.scram[0].salt);
        pool.submit(id(5), derive("Secret"));
        assert!(matches!(answers.recv().unwrap(), (5, Returned::Verified(false))));
    }

    #[test]
    fn a_hash_that_was_imported_comes_back_as_our_own_where_the_password_fits() {
        let (pool, answers) = pool(1, 8);
        // MD5 of "secret".
        let verify = |password: &str, derive| Call::Verify {
            password: password.into(),
            hash: Some("anope:md5:5ebe2294ecd0e0f08eab7690d2a6ee69".into()),
            derive,
        };
        pool.submit(id(1), verify("secret", Some(4096)));
        let (1, Returned::Hashed(secrets)) = answers.recv().unwrap() else { panic!("no hash") };
        assert!(super::verify("secret", Some(&secrets.hash), LOWEST_COST) && secrets.scram.len() == 2);
        pool.submit(id(2), verify("Secret", Some(4096)));
        assert!(matches!(answers.recv().unwrap(), (2, Returned::Verified(false))));
        pool.submit(id(3), verify("secret", None));
        assert!(matches!(answers.recv().unwrap(), (3, Returned::Verified(true))));
    }

    #[test]
    fn passwords_that_look_alike_are_alike() {
        let kept = hash("caf\u{e9}", LOWEST_COST).unwrap();
        assert!(verify("cafe\u{301}", Some(&kept), LOWEST_COST));
        assert!(!verify("cafe", Some(&kept), LOWEST_COST));
    }

    #[test]
    fn a_full_queue_says_busy_at_once_and_every_call_is_answered_once() {
        let (entered_sender, entered) = channel();
        let (release, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let (sender, answers) = channel();
        let deliver = move |event| {
            let Event::Returned(id, returned) = event else { panic!("{event:?}") };
            if id.serial == 1 {
                // The only thread stays here until the test lets it go.
                entered_sender.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            }
            sender.send((id.serial, returned)).unwrap();
        };
        let pool = Pool::new(1, 1, LOWEST_COST, Arc::new(deliver)).unwrap();
        pool.submit(id(1), verify_call("a", "b"));
        entered.recv().unwrap();
        pool.submit(id(2), verify_call("a", "b"));
        pool.submit(id(3), verify_call("a", "b"));
        let (3, Returned::Failed(reason)) = answers.recv().unwrap() else { panic!("3 was not refused first") };
        assert_eq!(&*reason, "busy");
        release.send(()).unwrap();
        assert!(matches!(answers.recv().unwrap(), (1, Returned::Verified(false))));
        assert!(matches!(answers.recv().unwrap(), (2, Returned::Verified(false))));
        drop(pool);
        assert!(answers.recv().is_err(), "an answer too many");
    }

    #[test]
    fn after_close_calls_fail() {
        let (pool, answers) = pool(1, 1);
        pool.close();
        pool.submit(id(1), Call::Hash { password: "secret".into(), iterations: 4096 });
        assert!(matches!(answers.recv().unwrap(), (1, Returned::Failed(reason)) if &*reason == "closed"));
    }
}
