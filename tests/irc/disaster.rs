//! What happens when things go wrong around the server: a full disk, a database that another program holds,
//! damaged and torn files, a clock that jumps. `README.md`, "When things go wrong", promises each outcome.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, Line, find, texts};
use crate::kill::PowerCut;
use crate::server::{PATIENCE, Server};

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message";

/// A small file system of its own, where mounting is allowed.
struct SmallDisk {
    home: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(options: &str) -> Option<SmallDisk> {
        let home = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "roost-test"]).arg(home.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("NOT TESTED: this needs to mount a small tmpfs, which only root may");
            return None;
        }
        Some(SmallDisk { home })
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Takes all the room that is left; gives the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test has left may still have it open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Another program that holds the database.
struct Holder {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Holder {
    fn hold(database: &Path, statement: &'static str) -> Holder {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(database).busy_timeout(PATIENCE);
            let mut connection = options.connect().await.unwrap();
            sqlx::query(statement).execute(&mut connection).await.unwrap();
            connection
        });
        Holder { runtime, connection }
    }

    fn release(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}

/// What SQLite itself says of a database: "ok".
fn integrity(database: &Path) -> String {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        let answer = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        answer
    })
}

/// Waits until the server has printed this.
#[track_caller]
pub fn until_said(server: &Server, text: &str) {
    until(server, &format!("it says {text:?}"), || server.output().contains(text));
}

/// Waits for what a file shows; its end cannot be awaited.
fn until(server: &Server, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}: {}", server.output());
        thread::sleep(Duration::from_millis(3));
    }
}

/// Alice, Bob and Carol have accounts; Carol has registered `#plot`.
fn people(server: &Server) -> [Client; 3] {
    let clients = ["alice", "bob", "carol"].map(|name| {
        server.account(name, "sesame");
        server.logged_in(name, name, "sesame", CAPS)
    });
    let [mut alice, mut bob, mut carol] = clients;
    alice.join("#room");
    bob.join("#room");
    carol.join("#plot,#other");
    carol.send("CS REGISTER #plot");
    carol.until("NOTICE").last().unwrap().must_fit("*is registered");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    [alice, bob, carol]
}

fn said(server: &Server, channel: &str) -> Vec<String> {
    let mut reader = server.user_with("reader", CAPS);
    reader.join(channel);
    let lines = reader.ask(&format!("CHATHISTORY LATEST {channel} * 1000"));
    reader.send("QUIT");
    reader.closed();
    texts(&lines).into_iter().map(str::to_owned).collect()
}

/// While the store cannot write: nothing that must be kept is done, and all else goes on.
fn refuses_what_it_cannot_keep(server: &Server, carol: &mut Client) {
    for (line, answer) in [
        ("PRIVMSG #other :hello", "*FAIL PRIVMSG MESSAGE_ERROR #other :*"),
        ("PRIVMSG alice :hello", "*FAIL PRIVMSG MESSAGE_ERROR alice :*"),
        ("TOPIC #plot :hello", "*FAIL TOPIC * #plot :*"),
        ("TOPIC #other :hello", "*FAIL TOPIC * #other :*"),
        ("MODE #plot +b mallory!*@*", "*FAIL MODE * #plot :*"),
        ("MODE #plot +i", "*FAIL MODE * #plot :*"),
        ("NS PASSWD other other", "*NOTICE carol :*cannot store*"),
        ("NS SET AUTOREPLAY-MISSED OFF", "*NOTICE carol :*cannot store*"),
        ("CS REGISTER #other", "*NOTICE carol :*cannot store*"),
        ("CS DROP #plot", "*NOTICE carol :*cannot store*"),
    ] {
        carol.one(line).must_fit(answer);
    }
    // Nothing of it has happened.
    assert_eq!(carol.one("TOPIC #plot").command(), "331");
    assert!(!find(&carol.ask("MODE #plot"), "324").params()[2].contains('i'));
    assert!(!carol.ask("MODE #plot b").iter().any(|line| line.command() == "367"));
    // History is read, others come and go.
    assert_eq!(carol.ask("CHATHISTORY LATEST #other * 10").last().unwrap().command(), "BATCH");
    let mut eve = server.user("eve");
    eve.join("#new");
    eve.one("REGISTER * * sesame").must_fit("*FAIL REGISTER TEMPORARILY_UNAVAILABLE eve :*");
    let mut again = server.logged_in("carol2", "carol", "sesame", CAPS);
    again.silent();
    eve.send("QUIT");
    eve.closed();
}

#[test]
fn on_a_full_disk_nothing_that_was_seen_is_lost_what_cannot_be_kept_is_refused_and_room_is_enough() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let mut server = Server::with(&[("ROOST__DATA", disk.path().join("data").to_str().unwrap())]);
    // What a start does makes room: it empties the log. Done later, it would do so in the middle of what is tried here.
    let log = disk.path().join("data/roost.db-wal");
    until(&server, "the log is empty", || fs::metadata(&log).is_ok_and(|log| log.len() == 0));
    let [mut alice, mut bob, mut carol] = people(&server);
    alice.one("PRIVMSG #room :before");
    // One line at a time: the one that finds the disk full has to wait, and with it whoever was to see it. It tries again, with
    // what room it makes by beginning anew, and that is filled, too.
    let ballast = disk.fill();
    let (mut count, mut from) = (0, None);
    loop {
        let output = server.output();
        let is_full =
            output.matches("the store cannot write").count() > output.matches("the store writes again").count();
        from = if is_full { from.or_else(|| Some(Instant::now())) } else { None };
        if from.is_some_and(|from| from.elapsed() > Duration::from_secs(1)) {
            break;
        }
        if !is_full {
            alice.send(&format!("PRIVMSG #room :{count} {}", "x".repeat(400)));
            bob.send("PING still");
            count += 1;
            assert!(count < 40_000, "the disk never filled");
        }
        carol.sync();
    }
    let recovered = server.output().matches("the store writes again").count();
    refuses_what_it_cannot_keep(&server, &mut carol);
    fs::remove_file(ballast).unwrap();
    until(&server, "the store writes again", || server.output().matches("the store writes again").count() > recovered);
    carol.one("PRIVMSG #other :hello").must_fit("*:carol!* PRIVMSG #other :hello");
    let echoes = alice.sync();
    let seen_by_bob = bob.sync();
    let shown: Vec<&str> = texts(&echoes);
    // What alice sent after the store had failed was refused: the others are numbers without a gap.
    let refused = echoes.iter().filter(|line| line.command() == "FAIL").count();
    assert_eq!(shown.len() + refused, count, "{refused} refused: {echoes:#?}");
    assert_eq!(["before"].into_iter().chain(shown.iter().copied()).collect::<Vec<_>>(), texts(&seen_by_bob));
    server.crash_and_restart();
    let kept = said(&server, "#room");
    assert_eq!(kept, ["before"].into_iter().chain(shown).collect::<Vec<_>>());
    assert_eq!(integrity(&disk.path().join("data/roost.db")), "ok");
}

#[test]
fn a_start_on_a_full_disk_says_why_not_and_harms_nothing() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let mut server = Server::with(&[("ROOST__DATA", disk.path().join("data").to_str().unwrap())]);
    let [mut alice, _bob, _carol] = people(&server);
    for n in 0..300 {
        alice.one(&format!("PRIVMSG #room :{n} {}", "x".repeat(300)));
    }
    server.crash();
    let ballast = disk.fill();
    let line = server.refuses_to_start();
    assert!(line.contains("roost.db") && line.contains("full"), "{line}");
    fs::remove_file(ballast).unwrap();
    server.start_again();
    assert_eq!(said(&server, "#room").len(), 300);
}

#[test]
fn a_short_lock_by_another_program_only_delays() {
    let server = Server::start();
    let [mut alice, mut bob, mut carol] = people(&server);
    let mut eve = server.user("eve");
    for statement in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let holder = Holder::hold(&server.data().join("roost.db"), statement);
        let from = Instant::now();
        alice.send(&format!("PRIVMSG #room :{statement}"));
        carol.send("TOPIC #plot :waits");
        // Three times as long as a statement waits by itself; that it is held so long is what is tried here.
        while from.elapsed() < Duration::from_millis(1600) {
            eve.silent();
        }
        holder.release();
        alice.expect("*:alice!* PRIVMSG #room :BEGIN*");
        bob.expect("*:alice!* PRIVMSG #room :BEGIN*");
        carol.expect("*:carol!* TOPIC #plot :waits");
    }
    assert!(!server.output().contains("cannot write"), "{}", server.output());
}

#[test]
fn a_long_lock_refuses_what_it_cannot_keep_and_is_over_when_it_is_over() {
    let mut server = Server::with(&[("ROOST__OPER__0__NAME", "root"), ("ROOST__OPER__0__PASSWORD", "toor")]);
    let [mut alice, mut bob, mut carol] = people(&server);
    let mut oper = server.user("oper");
    oper.ask("OPER root toor");
    let holder = Holder::hold(&server.data().join("roost.db"), "BEGIN IMMEDIATE");
    alice.send("PRIVMSG #room :waits");
    until_said(&server, "the store cannot write");
    oper.expect("*NOTICE oper :*store cannot write*database is locked*");
    refuses_what_it_cannot_keep(&server, &mut carol);
    holder.release();
    alice.expect("*:alice!* PRIVMSG #room :waits");
    bob.expect("*:alice!* PRIVMSG #room :waits");
    oper.expect("*NOTICE oper :*store writes again*");
    alice.one("PRIVMSG #room :after").must_fit("*PRIVMSG #room :after");
    server.crash_and_restart();
    assert_eq!(said(&server, "#room"), ["waits", "after"]);
}

#[test]
fn a_flood_against_a_store_that_cannot_write_is_bounded_and_holds_up_nobody_else() {
    // The flooder shall read its answers, which wait behind the lines that wait.
    let server = Server::with(&[("ROOST__CONNECTION__SENDQ", "67108864")]);
    let [alice, bob, mut carol] = people(&server);
    drop(bob);
    let holder = Holder::hold(&server.data().join("roost.db"), "BEGIN IMMEDIATE");
    let flood = thread::spawn(move || {
        let mut alice = alice;
        let lines: String = (0..1000).map(|n| format!("PRIVMSG #room :{n}\r\n")).collect();
        for _ in 0..100 {
            alice.send_bytes(lines.as_bytes());
        }
        alice
    });
    until_said(&server, "the store cannot write");
    let from = Instant::now();
    for _ in 0..20 {
        carol.silent();
    }
    let took = from.elapsed();
    holder.release();
    let mut alice = flood.join().unwrap();
    let lines = alice.sync();
    let count = |command: &str| lines.iter().filter(|line| line.command() == command).count();
    let (kept, refused) = (count("PRIVMSG"), count("FAIL"));
    println!("20 pings took {took:?}; {kept} lines kept, {refused} refused");
    assert_eq!(kept + refused, 100_000);
    // As many as may wait (65,536), and what came in while it was not known yet that it fails: 512 lines
    // four times a second, for as long as a lock may last.
    assert!(kept < 65_536 + 15 * 4 * 512 && refused > 0, "{kept} kept");
}

#[test]
fn where_the_database_stays_locked_the_end_comes_all_the_same_and_says_what_was_not_kept() {
    let mut server = Server::start();
    let [mut alice, mut bob, _carol] = people(&server);
    alice.one("PRIVMSG #room :kept");
    bob.sync();
    let holder = Holder::hold(&server.data().join("roost.db"), "BEGIN IMMEDIATE");
    alice.send("PRIVMSG #room :never seen");
    server.user("eve").silent();
    server.signal("TERM");
    assert_eq!(texts(&bob.closed()), [""; 0]);
    let status = server.wait_for(3 * PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", server.output());
    assert!(server.output().contains("not kept"), "{}", server.output());
    holder.release();
    server.start_again();
    assert_eq!(said(&server, "#room"), ["kept"]);
}

/// A server with 300 lines in `#room` that was killed, so that most of them are in the log.
fn killed_with_history() -> Server {
    let mut server = Server::start();
    let [mut alice, _bob, _carol] = people(&server);
    for n in 0..300 {
        alice.one(&format!("PRIVMSG #room :{n}"));
    }
    server.crash();
    server
}

#[test]
fn a_torn_log_costs_what_came_after_the_tear_and_nothing_else() {
    let mut server = killed_with_history();
    let log = server.data().join("roost.db-wal");
    let whole = fs::read(&log).unwrap();
    let database = fs::read(server.data().join("roost.db")).unwrap();
    let mut counts = Vec::new();
    for part in [97, 90, 75, 50] {
        let length = whole.len() * part / 100;
        fs::write(server.data().join("roost.db"), &database).unwrap();
        fs::write(&log, &whole[..length]).unwrap();
        let _ = fs::remove_file(server.data().join("roost.db-shm"));
        if part == 75 {
            // And where the end is not missing but rubbish.
            File::options().append(true).open(&log).unwrap().write_all(&vec![0xa5; whole.len() - length]).unwrap();
        }
        server.start_again();
        let kept = said(&server, "#room");
        assert_eq!(kept, (0..kept.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "{part}%");
        counts.push(kept.len());
        server.user("eve").join("#room");
        server.crash();
        assert_eq!(integrity(&server.data().join("roost.db")), "ok", "{part}%");
    }
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts[0] > counts[3], "{counts:?}");
    server.start_again();
}

#[test]
fn a_power_cut_with_sync_normal_costs_the_last_lines_and_not_the_database() {
    let cut = PowerCut::new();
    let mut settings = cut.settings();
    settings.push(("ROOST__STORE__SYNC", "normal"));
    let mut server = Server::with(&settings);
    let mut kept = 0;
    for round in 0..2 {
        let mut alice = server.user_with("alice", CAPS);
        alice.join("#room");
        alice.sync();
        for n in kept..kept + 6000 {
            alice.send(&format!("PRIVMSG #room :{n} {}", "x".repeat(300)));
            // Small commits fill the log sooner: it is synced once it is copied into the database.
            if n % 4 == 0 {
                alice.sync();
            }
        }
        alice.sync();
        server.crash();
        cut.strike(&server);
        server.start_again();
        let mut reader = server.user_with("reader", CAPS);
        reader.join("#room");
        let lines = reader.ask("CHATHISTORY LATEST #room * 1000");
        let number = |line: &&Line| line.params()[1].split(' ').next().unwrap().parse::<usize>().unwrap();
        let numbers: Vec<usize> =
            lines.iter().filter(|line| line.command() == "PRIVMSG").map(|line| number(&line)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "round {round}: a gap in {numbers:?}");
        kept = numbers.last().map_or(0, |last| last + 1);
        println!("round {round}: {kept} lines are there");
        drop((reader, alice));
    }
    assert!(kept > 0, "what is old enough is on disk");
    server.crash();
    assert_eq!(integrity(&server.data().join("roost.db")), "ok");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let mut server = Server::start();
    server.user("alice").silent();
    server.signal("TERM");
    assert!(server.wait().success());
    let database = server.data().join("roost.db");
    let letter = "Dear friend, this is a letter and no database. ".repeat(200);
    for content in [letter.as_bytes(), &letter.as_bytes()[..50]] {
        fs::write(&database, content).unwrap();
        let line = server.refuses_to_start();
        assert!(line.contains("roost.db") && line.contains("damaged") && line.contains("restore"), "{line}");
        assert!(fs::read(&database).unwrap() == content, "the file was written to");
    }
}

#[test]
fn a_damaged_page_is_an_error_and_never_a_crash() {
    let mut server = Server::start();
    let [mut alice, _bob, _carol] = people(&server);
    for n in 0..300 {
        alice.send(&format!("PRIVMSG #room :{n} {}", "x".repeat(200)));
    }
    alice.sync();
    server.signal("TERM");
    assert!(server.wait().success());
    let database = server.data().join("roost.db");
    let sound = fs::read(&database).unwrap();
    assert!(!server.data().join("roost.db-wal").exists());
    let pages = sound.len() / 4096;
    let (mut refused, mut ran) = (0, 0);
    for page in 1..pages {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&database, &damaged).unwrap();
        if let Some(line) = server.start_or_refuse() {
            assert!(line.contains("damaged"), "page {page}: {line}");
            assert!(fs::read(&database).unwrap() == damaged, "page {page}: the file was written to");
            refused += 1;
            continue;
        }
        // What can be read is read; what cannot is said so; the rest goes on.
        let mut eve = server.user_with("eve", CAPS);
        eve.join("#room");
        let lines = eve.ask("CHATHISTORY LATEST #room * 1000");
        let failed = lines.iter().any(|line| line.command() == "FAIL");
        assert!(failed || texts(&lines).len() == 300, "page {page}: {} lines", lines.len());
        eve.sync();
        ran += 1;
        server.crash();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(server.data().join(format!("roost.db{suffix}")));
        }
    }
    assert!(refused > 0 && ran > 0, "{refused} of {pages} refused, {ran} ran");
    fs::write(&database, &sound).unwrap();
    server.start_again();
    assert_eq!(said(&server, "#room").len(), 300);
}

#[test]
fn a_data_directory_that_is_read_only_is_named() {
    let home = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount("size=8m");
    let data = disk.as_ref().map_or_else(|| home.path().join("data"), |disk| disk.path().join("data"));
    let mut server = Server::with(&[("ROOST__DATA", data.to_str().unwrap())]);
    let [mut alice, _bob, _carol] = people(&server);
    alice.one("PRIVMSG #room :kept");
    server.signal("TERM");
    assert!(server.wait().success());
    let read_only = |on: bool| match &disk {
        Some(disk) => {
            let options = if on { "remount,ro" } else { "remount,rw" };
            let mount = Command::new("mount").args(["-o", options]).arg(disk.path()).status().unwrap();
            assert!(mount.success(), "mount -o {options}");
        }
        None => {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&data, fs::Permissions::from_mode(if on { 0o500 } else { 0o700 })).unwrap();
        }
    };
    read_only(true);
    let line = server.refuses_to_start();
    assert!(line.contains(data.to_str().unwrap()), "{line}");
    assert!(line.contains("Read-only") || line.contains("denied"), "{line}");
    read_only(false);
    server.start_again();
    assert_eq!(said(&server, "#room"), ["kept"]);
}

/// The files of the database, as a power cut at one moment leaves them; what is not on disk may be missing.
fn copy_of_the_moment(server: &Server, to: &Path, with_shm: bool) {
    server.signal("STOP");
    fs::create_dir_all(to).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("roost.db{suffix}");
        if suffix != "-shm" || with_shm {
            fs::copy(server.data().join(&name), to.join(&name)).unwrap();
        }
    }
    server.signal("CONT");
}

#[test]
fn a_copy_of_the_files_of_one_moment_has_whatever_was_seen_before_it() {
    let server = Server::with(&[("ROOST__STORE__SYNC", "full")]);
    let [mut alice, _bob, _carol] = people(&server);
    let mut seen = 0;
    let mut sent = 0;
    for round in 0..8 {
        let lines: String = (0..2000).map(|n| format!("PRIVMSG #room :{} {}\r\n", sent + n, "x".repeat(100))).collect();
        sent += 2000;
        alice.send_bytes(lines.as_bytes());
        // In the middle of it all, with a log that begins anew now and then.
        for _ in 0..900 {
            alice.line();
            seen += 1;
        }
        let place = tempfile::tempdir().unwrap();
        copy_of_the_moment(&server, &place.path().join("data"), round % 2 == 0);
        let copy = Server::with(&[("ROOST__DATA", place.path().join("data").to_str().unwrap())]);
        let mut reader = copy.user_with("reader", CAPS);
        reader.join("#room");
        let mut count = 0;
        let mut question = "CHATHISTORY LATEST #room * 1000".to_owned();
        let mut newest = None;
        loop {
            let lines = reader.ask(&question);
            let page: Vec<&Line> = lines.iter().filter(|line| line.command() == "PRIVMSG").collect();
            let Some(first) = page.first() else { break };
            question = format!("CHATHISTORY BEFORE #room msgid={} 1000", first.msgid());
            count += page.len();
            let number = |line: &Line| line.params()[1].split(' ').next().unwrap().parse::<usize>().unwrap();
            newest = newest.or(page.last().map(|line| number(line)));
        }
        assert!(count >= seen, "round {round}: {seen} lines were seen before the copy, which has {count}");
        assert_eq!(newest, Some(count - 1), "round {round}: without a gap");
        drop(copy);
        assert_eq!(integrity(&place.path().join("data/roost.db")), "ok");
        while seen < sent {
            alice.line();
            seen += 1;
        }
    }
}

/// The library that gives a program another clock.
fn faketime() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut found = libraries.chain([PathBuf::from("/usr/lib")]).map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("the Debian package faketime, which tests/run installs")
}

/// A server whose wall clock a file says.
struct Clockwork {
    server: Server,
    home: tempfile::TempDir,
}

impl Clockwork {
    fn start() -> Clockwork {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("offset");
        fs::write(&file, "+0").unwrap();
        let server = Server::with(&[
            ("LD_PRELOAD", faketime().to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            // A clock that is set moves no monotonic clock.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        Clockwork { server, home }
    }

    /// Seconds that its clock is ahead of ours.
    fn set(&self, offset: i64) {
        let file = self.home.path().join("next");
        fs::write(&file, format!("{offset:+}")).unwrap();
        fs::rename(file, self.home.path().join("offset")).unwrap();
    }
}

#[test]
fn c59_a_clock_that_jumps_breaks_no_order_no_paging_and_no_connection() {
    let mut clock = Clockwork::start();
    let [mut alice, mut bob, mut carol] = people(&clock.server);
    let hour = 3600;
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut say = |alice: &mut Client, text: &str| {
        let echo = alice.one(&format!("PRIVMSG #room :{text}"));
        seen.push((echo.msgid().to_owned(), echo.time().to_owned()));
    };
    for offset in [0, -hour, 72 * hour, 0, -hour, 0] {
        clock.set(offset);
        for n in 0..3 {
            say(&mut alice, &format!("{offset} {n}"));
        }
        // Whoever is there stays, whoever comes gets in, and what else has a time works.
        bob.sync();
        carol.ask("TOPIC #plot :at another time");
        clock.server.logged_in("carol", "carol", "sesame", CAPS).silent();
    }
    drop((alice, bob, carol));
    clock.server.restart();
    let mut alice = clock.server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#room");
    alice.sync();
    for n in 0..3 {
        say(&mut alice, &format!("after the restart {n}"));
    }
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "{seen:#?}");
    let ids: Vec<&str> = seen.iter().map(|(id, _)| id.as_str()).collect();
    let page = |alice: &mut Client, question: &str| -> Vec<(String, String)> {
        let lines = alice.ask(question);
        let said = lines.iter().filter(|line| line.command() == "PRIVMSG");
        said.map(|line| (line.msgid().to_owned(), line.time().to_owned())).collect()
    };
    assert_eq!(page(&mut alice, "CHATHISTORY LATEST #room * 100"), seen);
    // Page by page, forwards and backwards, by time and by id.
    for by_time in [false, true] {
        let border = |(id, time): &(String, String)| match by_time {
            true => format!("timestamp={time}"),
            false => format!("msgid={id}"),
        };
        let (mut forwards, mut backwards) = (vec![seen[0].clone()], vec![seen[seen.len() - 1].clone()]);
        loop {
            let next =
                page(&mut alice, &format!("CHATHISTORY AFTER #room {} 2", border(&forwards[forwards.len() - 1])));
            if next.is_empty() {
                break;
            }
            forwards.extend(next);
        }
        loop {
            let next =
                page(&mut alice, &format!("CHATHISTORY BEFORE #room {} 2", border(&backwards[backwards.len() - 1])));
            if next.is_empty() {
                break;
            }
            backwards.extend(next.into_iter().rev());
        }
        backwards.reverse();
        assert_eq!(forwards, seen, "by time: {by_time}");
        assert_eq!(backwards, seen, "by time: {by_time}");
    }
    assert_eq!(ids.len(), 21);
    // The conversation is found, with the time of its last message.
    let targets =
        alice.ask("CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2099-01-01T00:00:00.000Z 10");
    let last = &seen[seen.len() - 1].1;
    assert!(
        targets.iter().any(|line| line.raw.contains("TARGETS #room") && line.raw.ends_with(&**last)),
        "{targets:#?}"
    );
}

#[test]
fn another_program_may_empty_the_log_and_vacuum_meanwhile() {
    let server = Server::start();
    let [mut alice, _bob, _carol] = people(&server);
    for n in 0..50 {
        alice.one(&format!("PRIVMSG #room :{n}"));
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(server.data().join("roost.db")).busy_timeout(PATIENCE);
        let mut connection = options.connect().await.unwrap();
        for statement in ["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "ANALYZE"] {
            sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
    alice.one("PRIVMSG #room :50").must_fit("*PRIVMSG #room :50");
    assert_eq!(said(&server, "#room").len(), 51);
}
