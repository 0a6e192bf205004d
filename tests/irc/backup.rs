//! `roost backup` and `roost restore`, and databases of every earlier schema.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha384};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::client::{Client, Line, all, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message draft/read-marker draft/metadata-3";

/// Runs `roost` with these arguments on the data directory.
fn roost(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roost"));
    command.args(arguments).env("ROOST__DATA", data).stdin(Stdio::null());
    command.current_dir(data.parent().unwrap()).output().unwrap()
}

#[track_caller]
fn well(output: Output) -> String {
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && stderr.is_empty(), "{stdout}{stderr}");
    stdout
}

/// Its one line.
#[track_caller]
fn fault(output: Output) -> String {
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
    stderr
}

/// Everything that a restart must show: history, channels, markers, keys.
fn what_is_there(server: &Server, password: &str) -> Vec<String> {
    let mut alice = server.logged_in("alice", "alice", password, CAPS);
    let joined = alice.join("#garden");
    let mut lines: Vec<Line> = joined.into_iter().filter(|line| matches!(line.command(), "332" | "MARKREAD")).collect();
    for question in [
        "MODE #garden",
        "MODE #garden b",
        "MODE #garden I",
        "METADATA #garden LIST",
        "METADATA * LIST",
        "CS INFO #garden",
    ] {
        lines.extend(alice.ask(question).into_iter().filter(|line| line.command() != "BATCH"));
    }
    for target in ["#garden", "bob"] {
        let page = alice.ask(&format!("CHATHISTORY LATEST {target} * 1000"));
        lines.extend(page.into_iter().filter(|line| line.command() == "PRIVMSG"));
    }
    alice.send("QUIT");
    alice.closed();
    // Without what is of this connection: batches, and the time of answers.
    let text = |line: &Line| match line.command() {
        "PRIVMSG" => format!("{} {} {}", line.msgid(), line.time(), line.body()),
        _ => line.body().to_owned(),
    };
    lines.iter().map(text).collect()
}

fn inhabited() -> (Server, Client, Client) {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    alice.join("#garden");
    for line in [
        "CS REGISTER #garden",
        "TOPIC #garden :roses",
        "MODE #garden +b mallory!*@*",
        "MODE #garden +I carol!*@*",
        "MARKREAD #garden timestamp=2024-01-02T03:04:05.006Z",
        "METADATA #garden SET about :flowers",
        "METADATA * SET status :here",
        "PRIVMSG bob :between us",
    ] {
        alice.ask(line);
    }
    bob.join("#garden");
    for n in 0..100 {
        bob.one(&format!("PRIVMSG #garden :{n}"));
    }
    alice.sync();
    (server, alice, bob)
}

#[test]
fn a_backup_of_a_running_server_is_the_server_of_that_moment() {
    let (mut server, mut alice, bob) = inhabited();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("roost.backup");
    let name = file.to_str().unwrap();
    // While others write.
    for n in 0..5 {
        let lines: String = (0..500).map(|at| format!("PRIVMSG bob :load {n} {at}\r\n")).collect();
        alice.send_bytes(lines.as_bytes());
        let seen = alice.one_of(&["PRIVMSG"]);
        let copy = place.path().join(format!("{n}.backup"));
        let text = well(roost(&server.data(), &["backup", copy.to_str().unwrap()]));
        assert!(text.contains("backup of "), "{text}");
        alice.sync();
        let other = Server::with_files(&[], &[("ROOST__STORE__URL", &format!("sqlite://{}", copy.display()))]);
        let mut reader = other.logged_in("alice", "alice", "sesame", CAPS);
        let kept = reader.ask("CHATHISTORY LATEST bob * 1000");
        assert!(kept.iter().any(|line| line.body() == seen.body()), "{seen:?} was seen before the backup was begun");
        // One moment: no gap up to the newest.
        let newest: Vec<&str> =
            texts(&kept).into_iter().filter(|text| text.starts_with(&format!("load {n} "))).collect();
        let expected: Vec<String> = (0..newest.len()).map(|at| format!("load {n} {at}")).collect();
        assert_eq!(newest, expected);
    }
    drop((alice, bob));
    let before = what_is_there(&server, "sesame");
    assert_eq!(before.iter().filter(|line| line.contains("#garden :")).count(), 100 + 1 + 2, "{before:#?}");
    well(roost(&server.data(), &["backup", name]));
    assert_eq!(
        fs::read_dir(place.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "part"))
            .count(),
        0
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "passwords and private messages are in it: {mode:o}");
    // It replaces nothing.
    let line = fault(roost(&server.data(), &["backup", name]));
    assert!(line.contains("roost.backup is there already"), "{line}");

    // What is done afterwards is undone by putting it back, and stays beside it.
    let mut alice = server.logged_in("alice2", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.ask("TOPIC #garden :weeds");
    let after = alice.one("PRIVMSG #garden :after the backup");
    let line = fault(roost(&server.data(), &["restore", name]));
    assert!(line.contains("in use by another Roost"), "{line}");
    server.crash();
    let text = well(roost(&server.data(), &["restore", name]));
    assert!(text.contains("roost.db.before-1"), "{text}");
    server.start_again();
    assert_eq!(what_is_there(&server, "sesame"), before);
    // No id is given out that was given out before.
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.sync();
    let new = alice.one("PRIVMSG #garden :after the restore");
    assert!(new.msgid() > after.msgid(), "{new:?} {after:?}");
    server.crash();
    let old = server.data().join("roost.db.before-1");
    let text = well(roost(&server.data(), &["restore", old.to_str().unwrap()]));
    assert!(text.contains("roost.db.before-2"), "{text}");
    server.start_again();
    assert!(what_is_there(&server, "sesame").iter().any(|line| line.ends_with("after the backup")));
    // The same backup once more: no id comes again either.
    server.crash();
    well(roost(&server.data(), &["restore", name]));
    server.start_again();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    alice.sync();
    let again = alice.one("PRIVMSG #garden :after the second restore");
    assert!(again.msgid() > new.msgid(), "{again:?} {new:?}");
}

#[test]
fn what_is_no_backup_is_not_put_back_and_what_is_not_there_is_named() {
    let (mut server, ..) = inhabited();
    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("nowhere/data");
    fs::create_dir(place.path().join("nowhere")).unwrap();
    assert!(fault(roost(&nowhere, &["backup", "x.backup"])).contains("there is no database"));
    assert!(!place.path().join("nowhere/x.backup").exists());
    let good = place.path().join("good.backup");
    well(roost(&server.data(), &["backup", good.to_str().unwrap()]));
    let line = fault(roost(&server.data(), &["backup", place.path().join("no/such/place").to_str().unwrap()]));
    assert!(line.contains("no/such/place"), "{line}");
    server.crash();
    let bytes = fs::read(&good).unwrap();
    let mut torn = bytes.clone();
    torn.truncate(bytes.len() / 2);
    let mut damaged = bytes.clone();
    let middle = bytes.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    for content in [&torn, &damaged, &b"a letter".to_vec(), &Vec::new()] {
        let file = place.path().join("bad.backup");
        fs::write(&file, content).unwrap();
        let line = fault(roost(&server.data(), &["restore", file.to_str().unwrap()]));
        assert!(line.contains("bad.backup is no backup of Roost, or it is damaged"), "{line}");
    }
    assert!(fault(roost(&server.data(), &["restore", "none.backup"])).contains("none.backup"));
    server.start_again();
    assert_eq!(texts(&history(&server, "#garden")).len(), 100);
    // Into a directory that has none.
    let new = place.path().join("new/data");
    fs::create_dir(place.path().join("new")).unwrap();
    well(roost(&new, &["restore", good.to_str().unwrap()]));
    let other = Server::with(&[("ROOST__DATA", new.to_str().unwrap())]);
    assert_eq!(texts(&history(&other, "#garden")).len(), 100);
}

fn history(server: &Server, channel: &str) -> Vec<Line> {
    let mut reader = server.logged_in("bob", "bob", "sesame", CAPS);
    reader.join(channel);
    reader.sync();
    reader.ask(&format!("CHATHISTORY LATEST {channel} * 1000"))
}

/// A database as the first schema had it, with something in every table.
const FIRST_SCHEMA: &str = include_str!("schema_1.sql");
/// What later schemas have room for.
const LATER: &[(usize, &str)] = &[
    (
        1,
        "INSERT INTO message VALUES (3298534883340, 1, 1764000000020, 2, 0, 'bob!~b@127.0.0.1', 'bob', '#garden', \
         '+draft/react=nice;+draft/reply=00j6hb70000300000002', NULL, '')",
    ),
    (2, "INSERT INTO marker VALUES (1, '#garden', 1764000000005)"),
    (4, "INSERT INTO metadata VALUES ('$1', 'color', 'green'), ('#garden', 'about', 'flowers')"),
    (7, "UPDATE channel SET forward = '#plot'"),
    (8, "INSERT INTO ban VALUES ('*@192.0.2.7', 'spam', '', 'alice', 1764000000, NULL, 0)"),
];

/// The migrations, oldest first: number, name and text.
fn migrations() -> Vec<(usize, String, String)> {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations/sqlite")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let migration = |path: &PathBuf| {
        let (number, name) = path.file_stem().unwrap().to_str().unwrap().split_once('_').unwrap();
        (number.parse().unwrap(), name.to_owned(), fs::read_to_string(path).unwrap())
    };
    paths.iter().map(migration).collect()
}

/// The database of the first schema, brought up to this one as sqlx does it.
async fn database_of(schema: usize, path: &Path) {
    let mut connection = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(FIRST_SCHEMA).execute(&mut connection).await.unwrap();
    for (version, name, text) in migrations().into_iter().filter(|(version, ..)| *version <= schema) {
        if version > 1 {
            sqlx::raw_sql(AssertSqlSafe(text.clone())).execute(&mut connection).await.unwrap();
            sqlx::query("INSERT INTO _sqlx_migrations VALUES (?, ?, '2026-11-25 08:00:00', 1, ?, 1)")
                .bind(version as i64)
                .bind(name)
                .bind(Sha384::digest(&text).to_vec())
                .execute(&mut connection)
                .await
                .unwrap();
        }
        for (_, statement) in LATER.iter().filter(|(since, _)| *since == version) {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
    }
    connection.close().await.unwrap();
}

#[test]
fn a_database_of_every_earlier_schema_is_opened_with_all_that_is_in_it() {
    let known = migrations();
    for (schema, ..) in &known[..known.len() - 1] {
        let schema = *schema;
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir(&data).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(database_of(schema, &data.join("roost.db")));
        let oper = [("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")];
        let mut server = Server::with(&[("ROOST__DATA", data.to_str().unwrap()), oper[0], oper[1]]);
        for start in ["first", "second"] {
            let what = format!("schema {schema}, {start} start");
            let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
            let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
            let lines = alice.join("#garden");
            find(&lines, "332").must_fit(":roost.local 332 alice #Garden :roses");
            find(&lines, "353").must_fit(":roost.local 353 alice = #Garden :~alice");
            let marker = if schema >= 2 { "timestamp=2025-11-24T16:00:00.005Z" } else { "*" };
            assert!(find(&lines, "MARKREAD").raw.ends_with(marker), "{what}: {lines:#?}");
            let modes = alice.ask("MODE #garden")[0].must_fit("*324 alice #Garden +* 50*").clone();
            assert_eq!(modes.raw.contains(" #plot"), schema >= 7, "{what}: {modes:?}");
            alice.ask("OPER boss letmein");
            let bans = alice.ask("UBAN LIST");
            assert_eq!(bans.iter().any(|line| line.raw.contains("*@192.0.2.7")), schema >= 8, "{what}: {bans:#?}");
            alice.ask("MODE #garden b")[0].must_fit("*367 alice #Garden mallory!*@* alice!~a@127.0.0.1 1764000000");
            alice.ask("MODE #garden I")[0].must_fit("*346 alice #Garden *!*@* alice!~a@127.0.0.1 1764000000");
            let page = alice.ask("CHATHISTORY LATEST #garden * 100");
            assert_eq!(texts(&page), ["It's a rose; \"really\"", "a notice of a bot", "ünïcode 🌹"], "{what}");
            let rose = all(&page, "PRIVMSG")[0];
            assert_eq!((rose.time(), rose.tag("+draft/reply")), ("2025-11-24T16:00:00.001Z", Some("x")), "{what}");
            assert_eq!(texts(&alice.ask("CHATHISTORY LATEST bob * 100")), ["between us", "indeed"], "{what}");
            assert_eq!(texts(&bob.ask("CHATHISTORY LATEST alice * 100")), ["between us", "indeed"], "{what}");
            // Old words come into the index while the server runs.
            alice.request("draft/search");
            while texts(&alice.ask("SEARCH text=ROSE")).is_empty() {}
            assert_eq!(texts(&alice.ask("SEARCH text=unicode")), ["ünïcode 🌹"], "{what}");
            alice.request("draft/event-playback");
            let around = alice.ask(&format!("CHATHISTORY AROUND #garden msgid={} 1", rose.msgid()));
            let reaction = find(&around, "TAGMSG");
            assert_eq!(reaction.tag("draft/chathistory-context"), Some(""), "{what}: {around:#?}");
            if schema >= 4 {
                alice.ask("METADATA * GET color")[1].must_fit("*761 * color * :green");
                alice.ask("METADATA #garden GET about")[1].must_fit("*761 * about * :flowers");
            }
            alice.ask("METADATA * SET status :upgraded");
            server.crash_and_restart();
        }
        let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
        assert!(
            alice.ask("METADATA * GET status").iter().any(|line| line.raw.ends_with(":upgraded")),
            "schema {schema}"
        );
    }
}
