//! The server on PostgreSQL: `store.url = "postgres://..."`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Client, Line};
use crate::kill::kills;
use crate::server::schema::{Schema, run};
use crate::server::{Server, bare_command, free_ports, own_address, wait_for_exit};

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message";

/// A PostgreSQL of one's own, to be ended and started.
struct Cluster {
    dir: PathBuf,
    url: String,
    _place: TempDir,
}

impl Cluster {
    /// Starts it; none, and a word about it, where none is installed.
    fn start() -> Option<Cluster> {
        Schema::new()?;
        // The user that PostgreSQL runs as has to get through.
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let dir = place.path().join("postgres");
        let url = tests_postgres("start", &dir);
        Some(Cluster { dir, url, _place: place })
    }

    /// Ends it as a fault of its own would.
    fn crash(&self) {
        tests_postgres("crash", &self.dir);
    }

    fn start_again(&self) {
        tests_postgres("again", &self.dir);
    }

    /// Ends every connection, as an administrator does.
    fn end_connections(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE usename = current_user AND pid <> pg_backend_pid()";
        run(&self.url, sql);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
        let _ = Command::new(script).arg("stop").arg(&self.dir).output();
    }
}

fn tests_postgres(what: &str, dir: &PathBuf) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
    let output = Command::new(script).arg(what).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn nothing_that_anyone_saw_is_lost_when_the_server_is_killed() {
    let Some(schema) = Schema::new() else { return };
    kills(&[("ROOST__STORE__URL", &schema.url())]);
}

/// Id and text.
fn said(lines: &[Line]) -> Vec<(String, String)> {
    let said = lines.iter().filter(|line| line.command() == "PRIVMSG");
    said.map(|line| (line.msgid().to_owned(), line.params()[1].to_owned())).collect()
}

/// Everything that was said in `#room`, page by page from the end.
fn history(client: &mut Client) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut question = "CHATHISTORY LATEST #room * 1000".to_owned();
    loop {
        let lines = client.ask(&question);
        assert!(!lines.iter().any(|line| line.command() == "FAIL"), "{lines:#?}");
        let page = said(&lines);
        let Some((oldest, _)) = page.first() else { break };
        question = format!("CHATHISTORY BEFORE #room msgid={oldest} 1000");
        pages.push(page);
    }
    pages.into_iter().rev().flatten().collect()
}

/// What was seen is in history, once and in the order in which it was seen.
fn compare(history: &[(String, String)], seen: &[(String, String)]) {
    let places: HashMap<&str, usize> = history.iter().enumerate().map(|(at, (id, _))| (id.as_str(), at)).collect();
    assert_eq!(places.len(), history.len(), "an id is in history twice");
    let texts: HashSet<&str> = history.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), history.len(), "a text is in history twice");
    let mut last = None;
    for message in seen {
        let place = places.get(message.0.as_str()).copied();
        let place = place.unwrap_or_else(|| panic!("{message:?} was seen, and is lost"));
        assert_eq!(&history[place], message);
        assert!(last < Some(place), "{message:?} was seen in another order");
        last = Some(place);
    }
}

/// Two people who talk in `#room`, and what each has seen there.
struct Talk {
    clients: [Client; 2],
    seen: [Vec<(String, String)>; 2],
    said: usize,
}

impl Talk {
    fn in_room(server: &Server) -> Talk {
        let mut clients = ["alice", "bob"].map(|name| server.user_with(name, CAPS));
        for client in &mut clients {
            client.join("#room");
        }
        clients[0].sync();
        Talk { clients, seen: [Vec::new(), Vec::new()], said: 0 }
    }

    /// Each says so many lines, without a look at what comes.
    fn say(&mut self, lines: usize) {
        for _ in 0..lines {
            self.said += 1;
            for client in &mut self.clients {
                client.send(&format!("PRIVMSG #room :{} {}", client.nick, self.said));
            }
        }
    }

    /// Looks at all that came; how many lines of each were refused.
    fn look(&mut self) -> [usize; 2] {
        let mut refused = [0, 0];
        // What the second says may come to the first after its answer: so the first is looked at again.
        for _ in 0..2 {
            for ((client, seen), refused) in self.clients.iter_mut().zip(&mut self.seen).zip(&mut refused) {
                let lines = client.sync();
                for fail in lines.iter().filter(|line| line.command() == "FAIL") {
                    fail.must_fit(":roost.local FAIL PRIVMSG MESSAGE_ERROR #room :*");
                    *refused += 1;
                }
                seen.extend(said(&lines));
            }
        }
        refused
    }
}

#[test]
fn a_postgresql_that_fails_while_people_talk_loses_nothing_and_is_used_again_by_itself() {
    let Some(cluster) = Cluster::start() else { return };
    let config = "[[oper]]\nname = \"boss\"\npassword = \"letmein\"\n";
    let mut server = Server::with_files(
        &[("conf/roost.toml", config)],
        &[("ROOST__STORE__URL", &cluster.url), ("ROOST__STORE__SYNC", "full")],
    );
    let mut boss = server.user("boss");
    boss.ask("OPER boss letmein");
    let mut carol = server.user("carol");
    carol.join("#quiet");
    let mut talk = Talk::in_room(&server);

    // An administrator ends the connections: nobody notices.
    for _ in 0..5 {
        talk.say(50);
        cluster.end_connections();
        talk.say(50);
        assert_eq!(talk.look(), [0, 0]);
    }
    boss.silent();
    let all = history(&mut talk.clients[0]);
    assert_eq!(all.len(), 2 * talk.said);

    // PostgreSQL is gone for a while: what was taken waits, and what comes later is refused.
    let mut refused = [0, 0];
    for _ in 0..3 {
        talk.say(50);
        cluster.crash();
        talk.say(50);
        boss.until("NOTICE").last().unwrap().must_fit("*history store cannot write*");
        // Whoever waits for nothing hears it at once.
        carol.one("PRIVMSG #quiet :hello").must_fit(":roost.local FAIL PRIVMSG MESSAGE_ERROR #quiet :*");
        talk.say(50);
        cluster.start_again();
        boss.until("NOTICE").last().unwrap().must_fit("*history store writes again*");
        for (all, more) in refused.iter_mut().zip(talk.look()) {
            assert!(more >= 50, "{more} lines were refused of 50 that had to be");
            *all += more;
        }
        talk.say(10);
        assert_eq!(talk.look(), [0, 0]);
    }
    // Everyone saw all that was not refused, and so it is kept; before the next start and after it.
    let kept = 2 * talk.said - refused[0] - refused[1];
    for seen in &talk.seen {
        assert_eq!(seen.len(), kept);
    }
    let before = history(&mut talk.clients[0]);
    assert_eq!(before.len(), kept);
    for seen in &talk.seen {
        compare(&before, seen);
    }
    drop(talk);
    server.crash_and_restart();
    let mut alice = server.user_with("alice", CAPS);
    alice.join("#room");
    assert_eq!(history(&mut alice), before);
}

/// Runs a server on a database that it cannot have, and returns its one line.
#[track_caller]
fn refused(url: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = bare_command(home.path());
    for (listener, port) in ["PLAIN", "TLS", "WEBSOCKET"].iter().zip(free_ports::<3>(own_address())) {
        command.env(format!("ROOST__LISTEN__{listener}"), port.to_string());
    }
    let mut child = command.env("ROOST__STORE__URL", url).spawn().unwrap();
    let status = wait_for_exit(&mut child);
    let stderr = fs::read_to_string(home.path().join("stderr")).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "one line, not {stderr:?}");
    stderr
}

#[test]
fn a_second_roost_on_the_same_database_refuses() {
    let Some(schema) = Schema::new() else { return };
    let mut server = Server::with(&[("ROOST__STORE__URL", &schema.url())]);
    let line = refused(&schema.url());
    assert!(line.contains("in use by another Roost") && line.contains("postgres://"), "{line}");
    // The first one is none the worse for it, and a killed one leaves no lock behind.
    server.user("alice").silent();
    server.crash_and_restart();
    server.user("alice").silent();
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let line = refused("postgres://roost:geheim@127.0.0.1:1/irc");
    assert!(line.contains("postgres://roost@127.0.0.1:1/irc") && !line.contains("geheim"), "{line}");
    let line = refused("postgres://roost:geheim@127.0.0.1/irc?sslmode=perhaps");
    assert!(line.contains("store.url") && line.contains("perhaps") && !line.contains("geheim"), "{line}");
}

#[test]
fn the_greeting_names_the_database_without_its_password() {
    let Some(schema) = Schema::new() else { return };
    let url = schema.url().replace("roost@", "roost:geheim@");
    let server = Server::with(&[("ROOST__STORE__URL", &url)]);
    server.user("alice").silent();
    let output = server.output();
    assert!(output.contains("postgres://roost@") && !output.contains("geheim"), "{output}");
}
