//! Starts the real binary on ports and a data directory of its own, and ends it.

#[path = "schema.rs"]
pub mod schema;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::schema::Schema;
use crate::client::Client;

/// How long anything in these tests may take before it counts as "never".
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Dropping it kills the process and removes its data.
pub struct Server {
    child: Child,
    /// Where it listens for plain connections.
    pub plain: SocketAddr,
    /// Where it listens for TLS.
    pub tls: SocketAddr,
    /// Where it listens for WebSockets.
    pub websocket: SocketAddr,
    settings: Vec<(String, String)>,
    home: TempDir,
    /// Where its store is, if that is PostgreSQL for all.
    _schema: Option<Schema>,
}

impl Server {
    /// A server with the defaults of the tests: no flood control, no throttle, cheap hashes.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// As [`Server::start`], with `ROOST__…` settings on top.
    pub fn with(settings: &[(&str, &str)]) -> Server {
        Server::with_files(&[], settings)
    }

    /// As [`Server::with`], with files (name and content) in the directory the server runs in.
    pub fn with_files(files: &[(&str, &str)], settings: &[(&str, &str)]) -> Server {
        let home = tempfile::Builder::new().prefix("roost-test-").tempdir().unwrap();
        for (name, content) in files {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let [plain, tls, websocket] = free_ports(own_address());
        let settings: Vec<(String, String)> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut settings = settings;
        let schema = if settings.iter().any(|(key, _)| key == "ROOST__STORE__URL") { None } else { Schema::for_all() };
        settings.extend(schema.as_ref().map(|schema| ("ROOST__STORE__URL".to_owned(), schema.url())));
        let child = command(home.path(), plain, tls, websocket, &settings).spawn().unwrap();
        let mut server = Server { child, plain, tls, websocket, settings, home, _schema: schema };
        server.wait_until_ready(0);
        server
    }

    /// A connection that has sent nothing yet.
    pub fn connect(&self) -> Client {
        Client::plain(self.plain)
    }

    /// A registered user without capabilities.
    pub fn user(&self, nick: &str) -> Client {
        self.user_with(nick, "")
    }

    /// A registered user with these capabilities.
    pub fn user_with(&self, nick: &str, caps: &str) -> Client {
        let mut client = self.connect();
        client.register_with(nick, caps);
        client
    }

    /// Makes an account, from a connection that is gone again afterwards.
    pub fn account(&self, name: &str, password: &str) {
        let mut client = self.user(name);
        client.send(&format!("REGISTER * * {password}"));
        client.until("REGISTER").last().unwrap().must_fit(&format!(":* REGISTER SUCCESS {name} *"));
        client.send("QUIT");
        client.closed();
    }

    /// A registered user that is logged in by SASL, with these capabilities besides `sasl`.
    pub fn logged_in(&self, nick: &str, account: &str, password: &str, caps: &str) -> Client {
        let mut client = self.connect();
        client.log_in(nick, account, password, caps);
        client
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory that it runs in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Everything that it printed so far.
    pub fn output(&self) -> String {
        ["stdout", "stderr"].map(|name| self.printed(name)).concat()
    }

    /// Sends the process a signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success(), "kill -s {name} {pid}");
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }

    /// As [`Server::wait`], where it may take longer.
    pub fn wait_for(&mut self, patience: Duration) -> ExitStatus {
        wait_until(&mut self.child, patience)
    }

    /// A new process on the same data after the last one ended, which must refuse with one line and status 1;
    /// the line.
    #[track_caller]
    pub fn refuses_to_start(&mut self) -> String {
        self.start_or_refuse().expect("the server started")
    }

    /// A new process on the same data after the last one ended; where it refuses, its one line.
    pub fn start_or_refuse(&mut self) -> Option<String> {
        let before = ["stdout", "stderr"].map(|name| self.printed(name).len());
        self.child = command(self.home.path(), self.plain, self.tls, self.websocket, &self.settings).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        // It listens before it opens the database, and greets when all is well: neither can be awaited.
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.printed("stdout")[before[0]..].contains("Operator:") {
                return None;
            }
            assert!(Instant::now() < deadline, "it neither started nor ended: {}", self.output());
            thread::sleep(Duration::from_millis(3));
        };
        let said = self.printed("stderr").split_off(before[1]);
        assert_eq!((status.code(), said.trim_end().lines().count()), (Some(1), 1), "{said}");
        Some(said)
    }

    /// Runs another command of the binary with the server's settings, on its data.
    pub fn roost(&self, arguments: &[&str]) -> Output {
        let mut command = command(self.home.path(), self.plain, self.tls, self.websocket, &self.settings);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    }

    /// SIGKILL, then a new process on the same data and ports.
    pub fn crash_and_restart(&mut self) {
        self.crash();
        self.start_again();
    }

    /// SIGKILL.
    pub fn crash(&mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// A new process on the same data that is killed while it starts, `ms` milliseconds later.
    pub fn start_and_crash(&mut self, ms: u64) {
        self.child = command(self.home.path(), self.plain, self.tls, self.websocket, &self.settings).spawn().unwrap();
        // Any moment will do, and there is none to wait for.
        thread::sleep(Duration::from_millis(ms));
        self.crash();
    }

    /// SIGTERM, then a new process on the same data and ports.
    pub fn restart(&mut self) {
        self.signal("TERM");
        assert!(self.wait().success(), "the server did not end well: {}", self.output());
        self.start_again();
    }

    /// Another setting for the next process.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Has a command run with the server's own settings.
    pub fn environment(&self, command: &mut Command) {
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
    }

    /// A new process on the same data and ports, after the last one ended.
    pub fn start_again(&mut self) {
        let printed = self.printed("stdout").len();
        self.child = command(self.home.path(), self.plain, self.tls, self.websocket, &self.settings).spawn().unwrap();
        self.wait_until_ready(printed);
    }

    fn printed(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }

    /// Waits until the server greets, which it does once everything stands: it listens before it opens its store, and
    /// opens one listener after the other. `before` bytes of what it printed are of earlier processes.
    fn wait_until_ready(&mut self, before: usize) {
        let deadline = Instant::now() + PATIENCE;
        while !self.printed("stdout")[before..].contains("Operator:") {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status} before it greeted: {}", self.output());
            }
            assert!(Instant::now() < deadline, "the server never greeted: {}", self.output());
            // A greeting cannot be awaited, only looked for.
            thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(8).collect();
            eprintln!("the server said last (newest first):\n{}", tail.join("\n"));
        }
    }
}

/// The command that starts a server in `home`.
fn command(
    home: &Path,
    plain: SocketAddr,
    tls: SocketAddr,
    websocket: SocketAddr,
    settings: &[(String, String)],
) -> Command {
    let mut command = bare_command(home);
    command
        .env("ROOST__LISTEN__PLAIN", plain.to_string())
        .env("ROOST__LISTEN__TLS", tls.to_string())
        .env("ROOST__LISTEN__WEBSOCKET", websocket.to_string())
        .envs(settings.iter().map(|(key, value)| (key, value)));
    command
}

/// The binary in `home`, with the settings that all tests share and its output in files there.
pub fn bare_command(home: &Path) -> Command {
    let output = |name: &str| {
        let file = File::options().create(true).append(true).open(home.join(name)).unwrap();
        Stdio::from(file)
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_roost"));
    command
        .current_dir(home)
        .env("ROOST__DATA", home.join("data"))
        .env("ROOST__FLOOD__ENABLED", "false")
        .env("ROOST__THROTTLE__ENABLED", "false")
        // What a host is, is said by the tests of cloaks.
        .env("ROOST__CLOAK__ENABLED", "false")
        .env("ROOST__ACCOUNTS__BCRYPT_COST", "4")
        .env("ROOST__ACCOUNTS__SCRAM_ITERATIONS", "4096")
        // What the tests are about is what a client sees, not how hard the disk works for it.
        .env("ROOST__STORE__SYNC", "normal")
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"));
    command
}

/// Waits for `child` to end by itself; kills it where it does not.
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    wait_until(child, PATIENCE)
}

fn wait_until(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not end within {patience:?}");
        }
        // std has no wait with a deadline.
        thread::sleep(Duration::from_millis(3));
    }
}

/// A loopback address that no other server of these tests uses, so that its ports stay free between
/// asking for them and the server's bind, and over a restart: clients come from 127.0.0.1.
pub fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 1 + (pid >> 8) as u8 % 250, pid as u8, 1 + (count % 250) as u8)
}

/// Ports that the system says are free on `address`, no two alike.
pub fn free_ports<const N: usize>(address: Ipv4Addr) -> [SocketAddr; N] {
    // All are held until all are known, or the system might give the same one twice.
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind((address, 0)).unwrap());
    std::array::from_fn(|at| held[at].local_addr().unwrap())
}
