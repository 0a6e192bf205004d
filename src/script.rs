//! Logins that a program of the operator judges (`accounts.script`), off the server thread: one process for each.
//!
//! The contract is in `conf/AUTH-SCRIPT.md`. One thread with a runtime of its own runs a few at a time; each has one
//! deadline, from when it was asked for to its answer, after which it is killed. No shell reads what a client typed: it
//! goes in as JSON on standard input, and nothing of it is an argument or in the environment.

use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::limits::{SCRIPT_ANSWER_BYTES, SCRIPT_COMPLAINT_BYTES, SCRIPTS_AT_ONCE, SCRIPTS_WAITING};
use crate::server::event::{CallId, Event, Returned};

/// The program, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its path.
    pub program: Box<str>,
    /// What it is called with.
    pub arguments: Vec<Box<str>>,
    /// Seconds until its answer.
    pub seconds: u64,
}

/// What the program is asked. The names of the fields are the contract.
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

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "accountName")]
    account: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Where an answer goes: to the server thread.
pub type Deliver = Arc<dyn Fn(Event) + Send + Sync>;

/// The thread that runs the program. Every question that is submitted is answered once, with `Event::Returned`, unless
/// the server ends before.
pub struct Asker {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    deliver: Deliver,
}

struct Job {
    id: CallId,
    question: Question,
    script: Arc<Script>,
    deadline: Instant,
}

impl Asker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(deliver: Deliver) -> std::io::Result<Asker> {
        let (queue, jobs) = mpsc::channel(SCRIPTS_WAITING);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let answers = deliver.clone();
        let thread = std::thread::Builder::new().name("script".into());
        // Programs that still run when it ends are killed.
        let thread = thread.spawn(move || {
            runtime.block_on(answer(jobs, answers));
            runtime.shutdown_background();
        })?;
        Ok(Asker { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), deliver })
    }

    /// Has a question asked, or fails it at once where too many wait. Never waits.
    pub fn submit(&self, id: CallId, question: Question, script: Arc<Script>) {
        let deadline = Instant::now() + Duration::from_secs(script.seconds);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Job { id, question, script, deadline };
        if queue.as_ref().is_none_or(|queue| queue.try_send(job).is_err()) {
            (self.deliver)(Event::Returned(id, Returned::Failed("too many logins wait for accounts.script".into())));
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
    let room = Arc::new(Semaphore::new(SCRIPTS_AT_ONCE));
    while let Some(job) = jobs.recv().await {
        let (room, deliver) = (room.clone(), deliver.clone());
        tokio::spawn(async move {
            let Job { id, question, script, deadline } = job;
            let asked = timeout_at(deadline, async {
                let _permit = room.acquire().await;
                script.ask(&question).await
            });
            let returned = match asked.await {
                Ok(Ok(Answer { success: true, account, .. })) => {
                    Returned::Judged(Ok(account.unwrap_or_default().into()))
                }
                Ok(Ok(Answer { error, .. })) => Returned::Judged(Err(error.unwrap_or_default().into())),
                Ok(Err(reason)) => Returned::Failed(reason.into()),
                Err(_) => Returned::Failed(format!("it took longer than {} seconds", script.seconds).into()),
            };
            if let Returned::Failed(reason) = &returned {
                tracing::warn!("accounts.script: {}: {reason}", script.program);
            }
            deliver(Event::Returned(id, returned));
        });
    }
}

impl Script {
    /// Runs the program; it is killed where this is dropped before it has ended.
    async fn ask(&self, question: &Question) -> Result<Answer, String> {
        let mut command = Command::new(&*self.program);
        command.args(self.arguments.iter().map(|argument| &**argument));
        // Roost's own settings may be there, with passwords.
        command.env_clear().envs(
            std::env::vars_os()
                .filter(|(name, _)| ["PATH", "HOME", "LANG", "LC_ALL", "TZ"].iter().any(|kept| name == kept)),
        );
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no standard input or output".to_owned());
        };
        let mut line = serde_json::to_vec(question).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let program = self.program.clone();
        // A program of a program may hold them open for longer.
        let end = Instant::now() + Duration::from_secs(self.seconds);
        tokio::spawn(timeout_at(end, complain(program, stderr)));
        let mut stdout = BufReader::new(stdout);
        let (_, said) = tokio::join!(tell(stdin, &line), first_line(&mut stdout));
        let said = said?;
        // Whoever says more than is asked for must not fail by that.
        tokio::spawn(timeout_at(end, async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await }));
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("it ended with {status}"));
        }
        serde_json::from_slice(&said).map_err(|error| format!("its answer is none: {error}"))
    }
}

/// What does not read the question may answer all the same.
async fn tell(mut stdin: ChildStdin, line: &[u8]) {
    let _ = stdin.write_all(line).await;
    let _ = stdin.shutdown().await;
}

async fn first_line(stdout: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    stdout.take(SCRIPT_ANSWER_BYTES).read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
    if line.len() as u64 == SCRIPT_ANSWER_BYTES && !line.ends_with(b"\n") {
        return Err(format!("its answer has more than {SCRIPT_ANSWER_BYTES} bytes"));
    }
    Ok(line)
}

/// Whatever it says on standard error is in the log.
async fn complain(program: Box<str>, stderr: impl AsyncRead + Unpin) {
    let mut stderr = BufReader::new(stderr);
    let mut left = SCRIPT_COMPLAINT_BYTES;
    while left > 0 {
        let mut line = Vec::new();
        match (&mut stderr).take(left).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => left -= bytes as u64,
        }
        let text = String::from_utf8_lossy(&line);
        tracing::warn!("accounts.script: {program}: {}", text.trim_end().escape_debug());
    }
    let mut more = 0;
    let mut rest = [0; 4096];
    while let Ok(bytes @ 1..) = stderr.read(&mut rest).await {
        more += bytes;
    }
    if more > 0 {
        tracing::warn!("accounts.script: {program}: and {more} bytes more");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use super::{Asker, Question, Script};
    use crate::server::event::{CallId, ConnId, Event, Returned};

    fn asker() -> (Asker, Receiver<Returned>) {
        let (sender, answers) = channel();
        let deliver = move |event| match event {
            Event::Returned(_, returned) => sender.send(returned).unwrap(),
            other => panic!("{other:?}"),
        };
        (Asker::new(Arc::new(deliver)).unwrap(), answers)
    }

    fn ask(asker: &Asker, shell: &str, seconds: u64) {
        let arguments = vec!["-c".into(), shell.into()];
        let script = Script { program: "/bin/sh".into(), arguments, seconds };
        let question =
            Question { account: "alice\"; $(x)".into(), passphrase: "ses\name".into(), certfp: None, ip: "::1".into() };
        asker.submit(CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 1 }, question, Arc::new(script));
    }

    #[track_caller]
    fn failed(answers: &Receiver<Returned>) -> String {
        match answers.recv().unwrap() {
            Returned::Failed(reason) => reason.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_program_reads_one_line_of_json_and_answers_with_one() {
        let (asker, answers) = asker();
        // Its answer is what it read, as the name of the account.
        let echo =
            r#"read -r line; printf '%s\n' "$line" | sed 's/["\\]/\\&/g; s/.*/{"success":true,"accountName":"&"}/'"#;
        ask(&asker, echo, 30);
        let Returned::Judged(Ok(said)) = answers.recv().unwrap() else { panic!("not judged") };
        assert_eq!(&*said, r#"{"accountName":"alice\"; $(x)","passphrase":"ses\name","ip":"::1"}"#);
        ask(&asker, r#"echo '{"success":false,"error":"wrong"}'"#, 30);
        assert!(matches!(answers.recv().unwrap(), Returned::Judged(Err(why)) if &*why == "wrong"));
        // What comes after the line is passed over, however much it is.
        ask(&asker, r#"echo '{"success":true,"accountName":null}'; head -c 1000000 /dev/zero"#, 30);
        let returned = answers.recv().unwrap();
        assert!(matches!(&returned, Returned::Judged(Ok(name)) if name.is_empty()), "{returned:?}");
    }

    #[test]
    fn what_is_no_answer_lets_nobody_in() {
        let (asker, answers) = asker();
        for (shell, part) in [
            ("exit 0", "its answer is none"),
            ("echo yes", "its answer is none"),
            ("echo '{}'", "success"),
            (r#"echo '{"success":true}'; exit 3"#, "exit status: 3"),
            (r#"echo '{"success":true}'; kill -9 $$"#, "signal: 9"),
            ("head -c 100000 /dev/zero", "more than"),
        ] {
            ask(&asker, shell, 30);
            let reason = failed(&answers);
            assert!(reason.contains(part), "{shell}: {reason}");
        }
        let script = Script { program: "/nowhere/at/all".into(), arguments: Vec::new(), seconds: 30 };
        let question = Question { account: "a".into(), passphrase: "b".into(), certfp: None, ip: "::1".into() };
        asker.submit(CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 1 }, question, Arc::new(script));
        assert!(failed(&answers).contains("cannot be started"));
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let (asker, answers) = asker();
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pid");
        let start = Instant::now();
        ask(&asker, &format!("echo $$ > {}; exec sleep 600", file.display()), 1);
        assert!(failed(&answers).contains("longer than 1 seconds"));
        assert!(start.elapsed() < Duration::from_secs(60));
        let pid = std::fs::read_to_string(file).unwrap();
        // Once it is reaped there is no such process; a zombie has no command line.
        let gone = || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).map_or(true, |line| line.is_empty());
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(60), "it still runs");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_question_shows_no_password() {
        let question = Question { account: "a".into(), passphrase: "sesame".into(), certfp: None, ip: "::1".into() };
        assert!(!format!("{question:?}").contains("sesame"));
    }
}
