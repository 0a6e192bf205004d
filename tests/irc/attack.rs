//! The server under attack: what it holds stays bounded, others are answered, and everything is released.
//!
//! `ROOST_ATTACK=full` is the full size; without it each attack is as large as a busy machine does in
//! seconds. Each prints how long others waited for the answer to PING meanwhile (`--nocapture`).

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rlimit::Resource;
use roost::limits;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::client::{Client, commands, dial, texts};
use crate::server::{PATIENCE, Server, bare_command, free_ports, own_address};

/// Three workers, so that connections of one attack are everywhere.
const WORKERS: (&str, &str) = ("ROOST__SERVER__WORKERS", "3");
const MIB: u64 = 1024 * 1024;
/// Files that the store opens when it is first asked much.
const STORE_FILES: usize = 16;
/// Memory that stays: the caches of the store (32 MiB of its writer, 8 MiB of each reader).
const CACHES: u64 = (32 + 2 * 8) * MIB;

/// `full` where the full size is asked for, or `scaled`.
fn size(full: usize, scaled: usize) -> usize {
    if std::env::var("ROOST_ATTACK").is_ok_and(|size| size == "full") { full } else { scaled }
}

/// Resident memory of the server, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Open files of the server.
fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Hundredths of a second of CPU that the server has used.
fn cpu(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Someone who has nothing to do with the attack, and what the server was like before it.
struct Bystander {
    pid: u32,
    memory: u64,
    files: usize,
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<(Client, Vec<Duration>)>,
}

impl Bystander {
    /// Asks for PONG again and again until the attack is over.
    fn of(server: &Server) -> Bystander {
        let mut client = server.user("bystander");
        let pid = server.pid();
        let (memory_before, files_before) = (memory(pid), files(pid));
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (highest, ended) = (most.clone(), over.clone());
        let thread = thread::spawn(move || {
            let mut waits = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client.silent();
                waits.push(asked.elapsed());
                highest.fetch_max(memory(pid), Ordering::Relaxed);
            }
            (client, waits)
        });
        Bystander { pid, memory: memory_before, files: files_before, most, over, thread }
    }

    /// The attack is over, and all of it should be released: memory stayed within `bound` bytes above
    /// what it was, and returns to near that.
    #[track_caller]
    fn after(self, attack: &str, bound: u64) {
        let high = self.most.load(Ordering::Relaxed).max(memory(self.pid));
        self.over.store(true, Ordering::Relaxed);
        let (mut client, mut waits) = self.thread.join().unwrap();
        waits.sort_unstable();
        let released = Instant::now();
        // Memory goes back to the system bit by bit, as the server goes on working.
        let slack = CACHES + bound / 8;
        while files(self.pid) > self.files + STORE_FILES || memory(self.pid) > self.memory + slack {
            client.silent();
            assert!(
                released.elapsed() < 3 * PATIENCE,
                "{attack}: {} files and {} MiB are left of the attack",
                files(self.pid) as i64 - self.files as i64,
                (memory(self.pid) as i64 - self.memory as i64) / MIB as i64,
            );
        }
        eprintln!(
            "{attack}: memory {} MiB, at most +{} MiB (bound {}), then +{} MiB after {} ms; {} PINGs, the longest {:.1} ms, p99 {:.1} ms",
            self.memory / MIB,
            high.saturating_sub(self.memory) / MIB,
            bound / MIB,
            memory(self.pid).saturating_sub(self.memory) / MIB,
            released.elapsed().as_millis(),
            waits.len(),
            waits.last().unwrap().as_secs_f64() * 1000.0,
            waits[(waits.len() - 1) * 99 / 100].as_secs_f64() * 1000.0,
        );
        assert!(high <= self.memory + bound, "{attack}: {} MiB more than before", (high - self.memory) / MIB);
    }
}

/// Connections that say nothing.
fn connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    (0..count).map(|_| dial(to)).collect()
}

/// Reads all until the server closes; what it said.
fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server did not close: {error}"),
    }
    said
}

/// Writes until the server stops reading or closes; how many bytes it took.
fn stuff(stream: &mut TcpStream, bytes: &[u8], most: u64) -> (u64, io::Result<()>) {
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    while sent < most {
        match stream.write(bytes) {
            Ok(count) => sent += count as u64,
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, Ok(()))
}

#[test]
fn c57_silent_connections_cost_little_and_end_with_their_time() {
    let count = size(10_000, 1_000);
    let server = Server::with(&[WORKERS, ("ROOST__CONNECTION__REGISTRATION_TIMEOUT", "8")]);
    let bystander = Bystander::of(&server);
    let streams = connections(server.plain, count);
    for stream in streams {
        let said = until_closed(stream);
        assert!(said.starts_with(b"ERROR :Closing Link: 127.0.0.1 ("), "{}", said.escape_ascii());
    }
    bystander.after(&format!("{count} silent connections"), count as u64 * limits::CONNECTION_BYTES as u64 + 8 * MIB);
}

#[test]
fn c57_half_open_tls_handshakes_end_after_ten_seconds() {
    let count = size(1_000, 200);
    let server = Server::with(&[WORKERS]);
    let bystander = Bystander::of(&server);
    let hello = client_hello();
    let mut streams = connections(server.tls, count);
    for (at, stream) in streams.iter_mut().enumerate() {
        // Nothing, a part, or all of what a client begins with.
        stream.write_all(&hello[..hello.len() * (at % 3) / 2]).unwrap();
    }
    for stream in streams {
        until_closed(stream);
    }
    bystander
        .after(&format!("{count} half-open TLS handshakes"), count as u64 * limits::HANDSHAKE_BYTES as u64 + 8 * MIB);
}

/// What a TLS client begins with.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "roost.local".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello).unwrap();
    }
    hello
}

#[test]
fn who_does_not_read_its_long_answers_is_not_sent_them() {
    let (readers, channels, messages) = (size(200, 20), size(4_000, 1_000), size(1_000, 500));
    let server = Server::with(&[WORKERS]);
    let makers: Vec<Client> = (0..channels / 100)
        .map(|maker| {
            let mut client = server.user(&format!("maker{maker}"));
            let names: Vec<String> = (0..100).map(|at| format!("#{maker}-{at}-{}", "x".repeat(40))).collect();
            for names in names.chunks(5) {
                client.send(&format!("JOIN {}", names.join(",")));
            }
            client.sync();
            client
        })
        .collect();
    let mut author = server.user_with("author", "message-tags");
    author.join("#room");
    for number in 0..messages {
        let tag = "t".repeat(2000);
        author.send(&format!("@+draft/reply={tag} PRIVMSG #room :{number} {}", "x".repeat(300)));
        if number % 50 == 0 {
            author.sync();
        }
    }
    author.sync();
    // What one of them has of the history, with what the server puts before each message.
    let page = messages * (2000 + 300 + 200);
    assert!(page <= limits::SLOW_READER_BYTES);
    let bystander = Bystander::of(&server);
    let slow: Vec<Client> = (0..readers)
        .map(|reader| {
            let mut client =
                server.user_with(&format!("slow{reader}"), "draft/chathistory batch message-tags server-time");
            client.join("#room");
            for _ in 0..20 {
                client.send_all(&[
                    "LIST",
                    "CHATHISTORY LATEST #room * 1000",
                    "CHATHISTORY LATEST #room * 1000",
                    "WHO *",
                    "NAMES #room",
                ]);
            }
            client
        })
        .collect();
    // The server has got round to all of them when a further one is answered.
    let mut last = server.user("last");
    last.join("#room");
    for _ in 0..200 {
        last.ask("LIST #room");
    }
    // Nobody is closed for it, and each gets its answers once it reads.
    let mut slow = slow.into_iter();
    let mut patient = slow.next().unwrap();
    let lines = patient.sync();
    let count = |command: &str| lines.iter().filter(|line| line.command() == command).count();
    assert_eq!((count("323"), count("315"), count("366")), (20, 20, 20));
    assert_eq!(texts(&lines).len(), 40 * messages);
    drop((slow, patient, last));
    bystander
        .after(&format!("{readers} readers that do not read LIST and CHATHISTORY"), (readers * page) as u64 + 64 * MIB);
    drop((makers, author));
}

#[test]
fn a_sender_at_full_speed_is_read_at_its_own_pace() {
    let seconds = size(20, 3) as u64;
    let server = Server::with(&[WORKERS, ("ROOST__FLOOD__ENABLED", "true")]);
    let mut listener = server.user("listener");
    listener.join("#room");
    let bystander = Bystander::of(&server);
    let line = format!("PRIVMSG #room :{}\r\n", "x".repeat(400)).repeat(100);
    let senders: Vec<JoinHandle<u64>> = (0..4)
        .map(|number| {
            let mut stream = dial(server.plain);
            let line = line.clone();
            thread::spawn(move || {
                write!(stream, "NICK s{number}\r\nUSER s 0 * :s\r\nJOIN #room\r\n").unwrap();
                let begun = Instant::now();
                let mut sent = 0;
                while begun.elapsed() < Duration::from_secs(seconds) {
                    match stuff(&mut stream, line.as_bytes(), MIB) {
                        (count, Err(error)) if error.kind() == ErrorKind::WouldBlock => sent += count,
                        (count, Ok(())) => sent += count,
                        (_, Err(error)) => panic!("only abuse is closed: {error}"),
                    }
                }
                sent
            })
        })
        .collect();
    let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    // What the system's buffers hold, and what two lines a second make.
    assert!(sent < 4 * 16 * MIB, "{sent} bytes were taken");
    let heard = texts(&listener.sync()).len();
    let most = 4 * (20 + 2 * (seconds as usize + 4) + 2);
    assert!(heard > 4 * 15 && heard <= most, "{heard} lines were passed on, {most} at most");
    bystander.after("4 senders at full speed, slowed down", 16 * MIB);
}

#[test]
fn a_sender_at_full_speed_that_nothing_slows_down_fills_no_memory() {
    let lines = size(1_000_000, 40_000);
    let server = Server::with(&[WORKERS, ("ROOST__CONNECTION__SENDQ", "1048576")]);
    let mut deaf: Vec<Client> = (0..20).map(|number| server.user(&format!("deaf{number}"))).collect();
    for client in &mut deaf {
        client.join("#room");
    }
    let bystander = Bystander::of(&server);
    let mut sender = server.user("sender");
    sender.join("#room");
    let text = "x".repeat(400);
    for number in 0..lines {
        sender.send(&format!("PRIVMSG #room :{number} {text}"));
        if number % 1000 == 0 {
            sender.sync();
        }
    }
    sender.sync();
    for client in deaf {
        // What it was sent may end inside a line: it was closed with more waiting.
        drop(client);
    }
    drop(sender);
    // The send queues, and what waits for the store with its frames.
    bystander.after(&format!("{lines} lines to 20 members that do not read"), 20 * MIB + 48 * MIB + 64 * MIB);
}

#[test]
fn a_line_without_an_end_is_closed_and_none_is_kept_whole() {
    let count = size(10_000, 500);
    let server = Server::with(&[WORKERS]);
    let bystander = Bystander::of(&server);
    let mut streams = connections(server.plain, count);
    for stream in &mut streams {
        // One byte less than what closes it.
        stream.write_all(&vec![b'x'; limits::BYTES_WITHOUT_NEWLINE]).unwrap();
    }
    let mut endless = dial(server.plain);
    let (sent, end) = stuff(&mut endless, &[b'y'; 4096], 64 * MIB);
    let error = end.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert!(sent < 16 * MIB, "{sent} bytes were taken");
    for stream in &mut streams {
        // A byte more closes it.
        stream.write_all(b"x").unwrap();
    }
    for stream in streams {
        until_closed(stream);
    }
    bystander.after(&format!("{count} lines without an end"), count as u64 * limits::CONNECTION_BYTES as u64 + 8 * MIB);
}

#[test]
fn malformed_lines_are_answered_or_passed_over() {
    let lines = size(1_000_000, 60_000);
    let server = Server::with(&[WORKERS]);
    let bystander = Bystander::of(&server);
    let senders: Vec<JoinHandle<()>> = (0..4u64)
        .map(|number| {
            let client = server.user_with(&format!("mad{number}"), "message-tags labeled-response batch");
            let mut stream = dial(server.plain);
            drop(client);
            thread::spawn(move || {
                write!(stream, "CAP REQ :message-tags labeled-response batch\r\nCAP END\r\n").unwrap();
                write!(stream, "NICK bad{number}\r\nUSER u 0 * :u\r\nJOIN #room\r\n").unwrap();
                let mut answers = stream.try_clone().unwrap();
                answers.set_read_timeout(None).unwrap();
                let reader = thread::spawn(move || io::copy(&mut answers, &mut io::sink()).unwrap_or(0));
                let mut random = Random(number + 1);
                let mut bytes = Vec::new();
                for _ in 0..lines / 4 {
                    malformed(&mut random, &mut bytes);
                    if bytes.len() > 32_000 {
                        stream.write_all(&bytes).unwrap();
                        bytes.clear();
                    }
                }
                stream.write_all(&bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert!(reader.join().unwrap() > 1000);
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    bystander.after(&format!("{lines} malformed lines"), 48 * MIB);
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Appends a line that is nearly a command, or no line at all.
fn malformed(random: &mut Random, bytes: &mut Vec<u8>) {
    const WORDS: [&str; 22] = [
        "PRIVMSG",
        "MODE",
        "#room",
        "JOIN",
        ":",
        "@label=1",
        "@+a=",
        "CAP",
        "LS",
        "*",
        "WHO",
        "%tcuhsnfdlaor,1",
        "+bbb",
        "MONITOR",
        "CHATHISTORY",
        "BETWEEN",
        "timestamp=0000",
        "AUTHENTICATE",
        "-oooo+I",
        "TAGMSG",
        "BATCH",
        "KICK",
    ];
    for _ in 0..random.below(8) {
        match random.below(8) {
            0 => bytes.extend((0..random.below(40)).map(|_| match random.below(256) as u8 {
                // Whatever it is, it is one line.
                b'\n' => b' ',
                other => other,
            })),
            1 => bytes.extend(vec![b'z'; random.below(700) as usize]),
            _ => bytes.extend_from_slice(WORDS[random.below(WORDS.len() as u64) as usize].as_bytes()),
        }
        bytes.push(b' ');
    }
    bytes.extend_from_slice(b"\r\n");
}

#[test]
fn a_million_targets_of_chathistory_leave_nothing_behind() {
    let count = size(1_000_000, 20_000);
    let server = Server::with(&[WORKERS]);
    let mut client = server.user_with("asker", "draft/chathistory batch");
    client.join("#room");
    let bystander = Bystander::of(&server);
    let mut text = String::new();
    for number in 0..count {
        let target = if number % 2 == 0 { format!("#c{number}") } else { format!("n{number}") };
        write!(text, "CHATHISTORY LATEST {target} * 10\r\n").unwrap();
        if number % 500 == 499 {
            client.send_bytes(text.as_bytes());
            text.clear();
            let answers = client.sync();
            assert!(answers.len() >= 500, "{} answers", answers.len());
        }
    }
    bystander.after(&format!("{count} targets of CHATHISTORY"), 48 * MIB);
}

/// Comes into `#crowd`, and takes in whatever it is sent until it is dropped.
async fn member(to: SocketAddr, number: usize, there: Arc<AtomicU64>) -> io::Result<()> {
    let mut stream = tokio::net::TcpStream::connect(to).await?;
    stream.write_all(format!("NICK c{number}\r\nUSER c 0 * :c\r\nJOIN #crowd\r\n").as_bytes()).await?;
    let mut lines = tokio::io::BufReader::new(&mut stream).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains(" 366 ") {
            there.fetch_add(1, Ordering::Relaxed);
        }
    }
    panic!("member {number} was closed by the server")
}

#[test]
fn a_crowd_that_vanishes_at_once_holds_nobody_up() {
    let count = size(5000, 250);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let server = Server::with(&[WORKERS]);
    let mut stays = server.user("stays");
    stays.join("#crowd");
    let (there, to) = (Arc::new(AtomicU64::new(0)), server.plain);
    let (vanish, vanishes) = tokio::sync::oneshot::channel::<()>();
    let came = there.clone();
    let crowd = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let members = async {
            // Not all at the same time: it is their going that this is about.
            for number in 0..count {
                tokio::spawn(member(to, number, came.clone()));
                while came.load(Ordering::Relaxed) + 50 < number as u64 {
                    tokio::task::yield_now().await;
                }
            }
            vanishes.await
        };
        runtime.block_on(members).unwrap();
    });
    let begun = Instant::now();
    while there.load(Ordering::Relaxed) < count as u64 {
        stays.sync();
        assert!(begun.elapsed() < 20 * PATIENCE, "only {} came in", there.load(Ordering::Relaxed));
    }
    stays.sync();
    let bystander = Bystander::of(&server);
    vanish.send(()).unwrap();
    crowd.join().unwrap();
    let mut gone = 0;
    let begun = Instant::now();
    while gone < count {
        assert!(begun.elapsed() < 20 * PATIENCE, "only {gone} went");
        gone += commands(&stays.sync()).iter().filter(|command| **command == "QUIT").count();
    }
    assert_eq!(gone, count);
    stays.silent();
    bystander.after(&format!("{count} members of a channel who vanish at once"), 128 * MIB);
    let names = stays.ask("NAMES #crowd");
    assert_eq!(names[0].params().last(), Some(&"@stays"));
}

/// Whether the server welcomes whoever registers over `stream`, within a second.
fn is_let_in(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = [0; 4096];
    match stream.read(&mut bytes) {
        Ok(count) => bytes[..count].windows(5).any(|window| window == b" 001 "),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Connections that ask to be let in, under different nicks.
fn knock(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = connections(to, count);
    for (number, stream) in streams.iter_mut().enumerate() {
        write!(stream, "NICK k{number}\r\nUSER k 0 * :k\r\n").unwrap();
    }
    streams
}

#[test]
fn without_a_free_file_new_connections_wait_and_nothing_spins() {
    let server = Server::start();
    let mut client = server.user("alice");
    let (mut soft, mut hard) = (0, 0);
    rlimit::prlimit(server.pid() as i32, Resource::NOFILE, None, Some((&mut soft, &mut hard))).unwrap();
    let numbers: Vec<u64> = fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let free = (0..).find(|number| !numbers.contains(number)).unwrap();
    rlimit::prlimit(server.pid() as i32, Resource::NOFILE, Some((free, hard)), None).unwrap();
    let mut streams = knock(server.plain, 50);
    let mut last = streams.pop().unwrap();
    let before = cpu(server.pid());
    assert!(!is_let_in(&mut last), "there is a file for it");
    let used = cpu(server.pid()) - before;
    assert!(used < 40, "{used} hundredths of a second of CPU in a second of waiting");
    client.silent();
    assert_eq!(server.output().matches("new connections have to wait").count(), 1, "{}", server.output());
    rlimit::prlimit(server.pid() as i32, Resource::NOFILE, Some((soft, hard)), None).unwrap();
    assert!(is_let_in(&mut last));
    client.silent();
}

#[test]
fn connections_leave_the_rest_of_the_server_the_files_that_it_needs() {
    let home = tempfile::tempdir().unwrap();
    let [plain] = free_ports(own_address());
    let bare = bare_command(home.path());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 400; exec \"$0\""]).arg(bare.get_program()).current_dir(home.path());
    for (key, value) in bare.get_envs() {
        command.env(key, value.unwrap());
    }
    command.env("ROOST__LISTEN__PLAIN", plain.to_string()).env("ROOST__LISTEN__TLS", "[]");
    command.env("ROOST__LISTEN__WEBSOCKET", "[]");
    let output = home.path().join("stderr");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&output).unwrap());
    let mut child = Ended(command.spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(plain).is_err() {
        assert!(begun.elapsed() < PATIENCE && child.0.try_wait().unwrap().is_none());
        thread::yield_now();
    }
    let mut client = Client::plain(plain);
    client.register_with("alice", "draft/chathistory batch");
    client.join("#room");
    let mut streams = knock(plain, 300);
    let mut last = streams.pop().unwrap();
    assert!(!is_let_in(&mut last));
    // The store is written and read, and the configuration is read again.
    client.ask("PRIVMSG #room :still here");
    assert!(client.ask("CHATHISTORY LATEST #room * 10").iter().any(|line| line.raw.ends_with(":still here")));
    let files = files(child.0.id());
    let room = 400 - limits::RESERVED_FILES;
    assert!((room..room + limits::RESERVED_FILES / 4).contains(&files), "{files} files");
    assert!(Command::new("kill").args(["-s", "HUP", &child.0.id().to_string()]).status().unwrap().success());
    let said = |text: &str| fs::read_to_string(&output).unwrap().contains(text);
    while !said("the configuration was read again") {
        client.silent();
        assert!(begun.elapsed() < 3 * PATIENCE, "{}", fs::read_to_string(&output).unwrap());
    }
    assert!(
        said(&format!("new connections have to wait: there are {room}")),
        "{}",
        fs::read_to_string(&output).unwrap()
    );
    streams.truncate(20);
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(is_let_in(&mut last) || is_let_in(&mut last));
}

/// A process that is ended with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn three_workers_show_everyone_everything_in_one_order() {
    let (clients, lines) = (size(120, 45), 40);
    let server = Server::with(&[WORKERS]);
    let mut members: Vec<Client> = (0..clients).map(|number| server.user(&format!("m{number}"))).collect();
    for member in &mut members {
        member.join("#room");
    }
    for member in &mut members {
        member.sync();
    }
    let threads: Vec<JoinHandle<(Client, Vec<String>)>> = members
        .into_iter()
        .enumerate()
        .map(|(number, mut member)| {
            thread::spawn(move || {
                for line in 0..lines {
                    member.send(&format!("PRIVMSG #room :{number} {line}"));
                }
                let heard = texts(&member.sync()).into_iter().map(str::to_owned).collect();
                (member, heard)
            })
        })
        .collect();
    // Once everyone has been answered, everyone has said everything.
    let heard: Vec<(Client, Vec<String>)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut orders = Vec::new();
    for (number, (mut member, mut lines_heard)) in heard.into_iter().enumerate() {
        lines_heard.extend(texts(&member.sync()).into_iter().map(str::to_owned));
        assert_eq!(lines_heard.len(), (clients - 1) * lines, "member {number}");
        orders.push((number, lines_heard));
    }
    // What two have both heard they have heard in the same order.
    let own = |number: usize, line: &str| line.split(' ').next() == Some(&number.to_string());
    for pair in orders.windows(2) {
        let [(a, first), (b, second)] = pair else { continue };
        let first: Vec<&String> = first.iter().filter(|line| !own(*b, line)).collect();
        let second: Vec<&String> = second.iter().filter(|line| !own(*a, line)).collect();
        assert!(first == second, "{a} and {b} have heard different orders");
    }
}
