//! Logins that somebody outside judges, off the server thread: a program of the operator, or a directory.
//!
//! One thread with a runtime of its own asks a few at a time. Each question has one deadline, from when it was handed
//! in to its answer; whatever is under way for it then is dropped.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::ldap::Directory;
use crate::limits::{JUDGED_AT_ONCE, JUDGED_WAITING};
use crate::script::Script;
use crate::server::event::{CallId, Event, Returned};

/// Who judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The operator's program.
    Script(Script),
    /// The operator's directory.
    Ldap(Box<Directory>),
}

/// The account that is let in, empty where it is that which was asked about; or why nobody is, for the log.
pub type Verdict = Result<Box<str>, Box<str>>;

impl Witness {
    /// The key of the configuration that it stands under, which is what the log calls it.
    pub fn key(&self) -> &'static str {
        match self {
            Witness::Script(_) => "accounts.script",
            Witness::Ldap(_) => "ldap",
        }
    }

    /// Seconds that it has for an answer.
    fn seconds(&self) -> u64 {
        match self {
            Witness::Script(script) => script.seconds,
            Witness::Ldap(directory) => directory.seconds,
        }
    }

    async fn ask(&self, question: &Question) -> Result<Verdict, String> {
        match self {
            Witness::Script(script) => script.ask(question).await,
            Witness::Ldap(directory) => directory.ask(question).await,
        }
    }
}

/// Which program, or which servers.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Witness::Script(script) => f.write_str(&script.program),
            Witness::Ldap(directory) => write!(f, "{directory}"),
        }
    }
}

/// What is asked. The names of the fields are the contract with programs (`conf/AUTH-SCRIPT.md`).
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The account that somebody wants to log in to.
    #[serde(rename = "accountName")]
    pub account: Box<str>,
    /// The password that they gave.
    pub passphrase: Box<str>,
    /// SHA-256 of their client certificate, in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certfp: Option<Box<str>>,
    /// Their address.
    pub ip: Box<str>,
}

/// The password is in no log.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({:?})", self.account)
    }
}

/// Where an answer goes: to the server thread.
pub type Deliver = Arc<dyn Fn(Event) + Send + Sync>;

/// The thread that asks. Every question that is submitted is answered once, with `Event::Returned`, unless
/// the server ends before.
pub struct Asker {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    deliver: Deliver,
}

struct Job {
    id: CallId,
    question: Question,
    witness: Arc<Witness>,
    deadline: Instant,
}

impl Asker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(deliver: Deliver) -> std::io::Result<Asker> {
        let (queue, jobs) = mpsc::channel(JUDGED_WAITING);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let answers = deliver.clone();
        let thread = std::thread::Builder::new().name("witness".into());
        // Programs that still run when it ends are killed.
        let thread = thread.spawn(move || {
            runtime.block_on(answer(jobs, answers));
            runtime.shutdown_background();
        })?;
        Ok(Asker { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), deliver })
    }

    /// Has a question asked, or fails it at once where too many wait. Never waits.
    pub fn submit(&self, id: CallId, question: Question, witness: Arc<Witness>) {
        let deadline = Instant::now() + Duration::from_secs(witness.seconds());
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let full = format!("too many logins wait for {}", witness.key());
        let job = Job { id, question, witness, deadline };
        if queue.as_ref().is_none_or(|queue| queue.try_send(job).is_err()) {
            (self.deliver)(Event::Returned(id, Returned::Failed(full.into())));
        }
    }

    /// Ends the thread.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.close();
    }
}

async fn answer(mut jobs: mpsc::Receiver<Job>, deliver: Deliver) {
    let room = Arc::new(Semaphore::new(JUDGED_AT_ONCE));
    while let Some(job) = jobs.recv().await {
        let (room, deliver) = (room.clone(), deliver.clone());
        tokio::spawn(async move {
            let Job { id, question, witness, deadline } = job;
            let asked = timeout_at(deadline, async {
                let _permit = room.acquire().await;
                witness.ask(&question).await
            });
            let returned = match asked.await {
                Ok(Ok(verdict)) => Returned::Judged(verdict),
                Ok(Err(reason)) => Returned::Failed(reason.into()),
                Err(_) => Returned::Failed(format!("it took longer than {} seconds", witness.seconds()).into()),
            };
            if let Returned::Failed(reason) = &returned {
                tracing::warn!("{}: {witness}: {reason}", witness.key());
            }
            deliver(Event::Returned(id, returned));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Question;

    #[test]
    fn the_question_shows_no_password() {
        let question = Question { account: "a".into(), passphrase: "sesame".into(), certfp: None, ip: "::1".into() };
        assert!(!format!("{question:?}").contains("sesame"));
    }
}
