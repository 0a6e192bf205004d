//! Logins that a program of the operator judges (`accounts.script`): one process for each.
//!
//! The contract is in `conf/AUTH-SCRIPT.md`. [`witness`](crate::witness) has it run. No shell reads what a client typed:
//! it goes in as JSON on standard input, and nothing of it is an argument or in the environment.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, timeout_at};

use crate::limits::{SCRIPT_ANSWER_BYTES, SCRIPT_COMPLAINT_BYTES};
use crate::witness::{Question, Verdict};

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

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "accountName")]
    account: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl Script {
    /// Runs the program; it is killed where this is dropped before it has ended.
    ///
    /// # Errors
    /// It has not judged, for this reason.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Verdict, String> {
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
        let answer: Answer = serde_json::from_slice(&said).map_err(|error| format!("its answer is none: {error}"))?;
        Ok(if answer.success {
            Ok(answer.account.unwrap_or_default().into())
        } else {
            Err(answer.error.unwrap_or_default().into())
        })
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

    use super::Script;
    use crate::server::event::{CallId, ConnId, Event, Returned};
    use crate::witness::{Asker, Question, Witness};

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
        asker.submit(
            CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 1 },
            question,
            Arc::new(Witness::Script(script)),
        );
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
        asker.submit(
            CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 1 },
            question,
            Arc::new(Witness::Script(script)),
        );
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
}
