//! Clients on the libraries that bots and web clients are made with, for real: `irc` and `pydle` of PyPI, and
//! `irc-framework` of npm, as `tests/clients/install` puts them into the target directory.
//!
//! Each is a program in `libraries/` that logs in by SASL PLAIN and joins a channel. It says what happens as JSON, a
//! line each, and does what it is told: `say TEXT` in the channel, `raw LINE`. Where the libraries are not installed,
//! these tests do not run, and say so; where `ROOST_TEST_ALL` is set, they fail instead.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::client::texts;
use crate::program::DEADLINE;
use crate::server::Server;

/// Where `tests/clients/install` puts the libraries.
fn libraries() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../clients")
}

/// A program under way.
struct Program {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<Vec<String>>,
    heard: Vec<Vec<String>>,
}

impl Program {
    /// Starts a program of `libraries/` for an account whose nick is its name; `None` where its library is missing.
    fn start(name: &str, server: SocketAddr, nick: &str, password: &str, room: &str) -> Option<Program> {
        let (interpreter, library) = match name.rsplit_once('.') {
            Some((_, "py")) => (libraries().join("python/bin/python"), libraries().join("python/bin/python")),
            _ => (PathBuf::from("node"), libraries().join("node/node_modules/irc-framework")),
        };
        if !library.exists() {
            let required = env::var_os("ROOST_TEST_ALL").is_some();
            assert!(
                !required,
                "ROOST_TEST_ALL is set, but there is no {}: run tests/clients/install",
                library.display()
            );
            let said = format!("\n*** SKIPPED: {name}; `tests/clients/install`, or `tests/run`, installs it. ***\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return None;
        }
        let mut child = Command::new(interpreter)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/libraries").join(name))
            .args([&server.ip().to_string(), &server.port().to_string(), nick, password, room])
            .env("NODE_PATH", libraries().join("node/node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let (sender, said) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let words = serde_json::from_str(&line).unwrap_or_else(|_| vec![line]);
                if sender.send(words).is_err() {
                    return;
                }
            }
        });
        Some(Program { child, stdin, said, heard: Vec::new() })
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Waits until it says something that begins so, and returns all of it.
    #[track_caller]
    fn says(&mut self, words: &[&str]) -> Vec<String> {
        loop {
            let Ok(said) = self.said.recv_timeout(DEADLINE) else {
                panic!("it never said {words:?}, but {:#?}", self.heard);
            };
            self.heard.push(said.clone());
            if said.len() >= words.len() && said.iter().zip(words).all(|(said, word)| said == word) {
                return said;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs in, joins, talks and reads the history.
fn talks_and_reads_history(name: &str) {
    let server = Server::start();
    server.account("robin", "sesame");
    let mut host = server.user("host");
    host.join("#roost");
    for text in ["said before", "and this: é"] {
        host.ask(&format!("PRIVMSG #roost :{text}"));
    }
    let Some(mut robin) = Program::start(name, server.plain, "robin", "sesame", "#roost") else { return };
    robin.says(&["registered", "robin"]);
    robin.says(&["joined", "robin", "#roost"]);
    host.until("JOIN").last().unwrap().must_fit(":robin!* JOIN #roost");
    let whois = host.ask("WHOIS robin");
    assert!(whois.iter().any(|line| line.command() == "330" && line.params()[2] == "robin"), "{whois:#?}");

    host.send("PRIVMSG #roost :good evening: ü");
    robin.says(&["heard", "host", "good evening: ü"]);
    robin.tell("say good evening to you: ö");
    assert_eq!(texts(&host.until("PRIVMSG")), ["good evening to you: ö"]);

    robin.tell("raw CHATHISTORY LATEST #roost * 10");
    let start = robin.says(&["batch"]);
    assert!(start[1].starts_with('+') && start[2] == "chathistory" && start[3] == "#roost", "{start:?}");
    for (nick, text) in [
        ("host", "said before"),
        ("host", "and this: é"),
        ("host", "good evening: ü"),
        ("robin", "good evening to you: ö"),
    ] {
        robin.says(&["history", nick, text]);
    }
    let end = robin.says(&["batch"]);
    assert_eq!(end[1][1..], start[1][1..], "{end:?}");
    robin.tell("raw QUIT :done");
    host.until("QUIT").last().unwrap().must_fit(":robin!* QUIT :*done");
    robin.says(&["closed"]);
}

#[test]
fn irc_of_pypi_talks_and_reads_history() {
    talks_and_reads_history("with_irc.py");
}

#[test]
fn pydle_of_pypi_talks_and_reads_history() {
    talks_and_reads_history("with_pydle.py");
}

#[test]
fn irc_framework_of_npm_talks_and_reads_history() {
    talks_and_reads_history("with_framework.js");
}
