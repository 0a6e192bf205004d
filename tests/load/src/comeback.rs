//! How long it takes until all are back: a server starts with people who are always there and have no connection, and
//! then a thousand devices log in at once, each to someone who is in twenty channels.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ircv3::Casemapping;
use roost::limits::INDEX_LAG;
use roost::server::record::{AccountRow, AppPassword, Credentials, CredentialsRow, PresenceRow, Record, Seq};
use roost::store::{Options, Sync, open};
use sha2::{Digest as _, Sha256};

use crate::clients::Wire;
use crate::process::{cpu_seconds, machine};
use crate::server::{Kind, Programs, Server};
use crate::workload::percentile;

/// Accounts that are always there, and the channels that they are in.
const PEOPLE: u64 = 100_000;
const CHANNELS: u64 = 5_000;
/// Channels of each.
const CHANNELS_OF_ONE: u64 = 5;
/// Devices that come at once, and the channels of whom they belong to.
const DEVICES: u64 = 1_000;
const CHANNELS_OF_DEVICE: u64 = 20;
/// Records that wait for the store at once.
const WAITING: usize = 20_000;
/// Seconds that each of the two may take.
const MOST: f64 = 5.0;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures; the page, in Markdown, and whether it is as fast as it must be.
///
/// # Errors
/// The server cannot be started, or does not answer in time.
pub fn measure() -> Result<(String, bool)> {
    let own = std::env::current_exe()?;
    // A debug build may be tried, and the page says so.
    let programs = Programs { roost: own.with_file_name("roost"), own };
    ensure!(programs.roost.exists(), "there is no {}; build it first", programs.roost.display());
    let mut started = Instant::now();
    let server = Server::start_on(Kind::Roost { history: true, visible: true }, &programs, |data| {
        fill(data)?;
        started = Instant::now();
        Ok(())
    })?;
    let result = drive(&server, started);
    result.with_context(|| format!("the server's last words: {}", server.last_words()))
}

fn drive(server: &Server, started: Instant) -> Result<(String, bool)> {
    let address = server.address(Wire::Plain)?;
    // Whoever comes is welcomed: the ports alone would not say that the state is there.
    Device::connect(address, "CAP END\r\nNICK early\r\nUSER early 0 * :early\r\n", 0)?.until_there()?;
    let start = started.elapsed().as_secs_f64();
    let startup_cpu = cpu_seconds(server.pid())?;

    let ready = Arc::new(Barrier::new(DEVICES as usize + 1));
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| {
            let ready = ready.clone();
            let hello = hello(number);
            thread::Builder::new().stack_size(256 * 1024).spawn(move || -> Result<u64> {
                ready.wait();
                let came = Instant::now();
                Device::connect(address, &hello, CHANNELS_OF_DEVICE)?.until_there()?;
                Ok(came.elapsed().as_nanos() as u64)
            })
        })
        .collect::<std::io::Result<_>>()?;
    ready.wait();
    let came = Instant::now();
    let mut times = Vec::new();
    for device in devices {
        times.push(device.join().map_err(|_| anyhow::anyhow!("a device's thread has panicked"))??);
    }
    let all = came.elapsed().as_secs_f64();
    let cpu = cpu_seconds(server.pid())? - startup_cpu;

    let mut page = String::new();
    let build = if cfg!(debug_assertions) { "a debug build, which is no measurement" } else { "a release build" };
    writeln!(page, "# Coming back\n")?;
    writeln!(page, "Roost in {build}, on {}. Other programs may have been running.\n", machine())?;
    writeln!(page, "| what | seconds | at most |\n| --- | --- | --- |")?;
    writeln!(
        page,
        "| a start with {PEOPLE} people who are always there, in {CHANNELS} channels, until somebody is welcomed | \
         {start:.2} | {MOST} |"
    )?;
    writeln!(
        page,
        "| {DEVICES} devices that log in at once to people in {CHANNELS_OF_DEVICE} channels each, until the last has \
         all names | {all:.2} | {MOST} |\n"
    )?;
    writeln!(
        page,
        "Of the devices one took {:.2} s in the median; the server took {:.2} s of processor time for all. The devices \
         are threads of the program that measures, on the same machine, and log in with passwords of apps.",
        percentile(&mut times, 0.5) / 1e9,
        cpu,
    )?;
    Ok((page, start <= MOST && all <= MOST))
}

/// All that a device says, in one write.
fn hello(number: u64) -> String {
    let (nick, password) = (name(number), password(number));
    let plain = STANDARD.encode(format!("\0{nick}\0{password}"));
    format!(
        "CAP LS 302\r\nCAP REQ :sasl server-time batch message-tags draft/chathistory draft/read-marker\r\n\
         AUTHENTICATE PLAIN\r\nAUTHENTICATE {plain}\r\nNICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nCAP END\r\n"
    )
}

fn name(number: u64) -> String {
    format!("person{number}")
}

fn password(number: u64) -> String {
    format!("roost-measured-{number:016}")
}

/// Writes the database of a server that all of them were on.
fn fill(directory: &Path) -> Result<()> {
    let data = directory.join("data");
    let url = format!("sqlite:{}", data.join("roost.db").display());
    let options = Options { url, sync: Sync::Normal, casemapping: Casemapping::Ascii, index_lag: INDEX_LAG };
    let (store, _) = open(options, Arc::new(|_| {}))?;
    for number in 0..PEOPLE {
        let seq: Seq = 1 << 40 | (1 + number);
        store.append(records(number).map(|record| (seq, record)).collect());
        while store.waiting() > WAITING {
            // The store says nothing when it has room: this program only fills it.
            thread::sleep(Duration::from_millis(1));
        }
    }
    store.close()?;
    Ok(())
}

fn records(number: u64) -> impl Iterator<Item = Record> {
    let (id, name) = (number + 1, name(number));
    let account = AccountRow {
        id,
        name: name.as_str().into(),
        folded: name.as_str().into(),
        password: "".into(),
        registered: 1_700_000_000_000,
        autoreplay_missed: true,
        always_on: Some(true),
        multiclient: true,
        email: None,
        verified: true,
    };
    let own = if number < DEVICES { CHANNELS_OF_DEVICE } else { CHANNELS_OF_ONE };
    // Every channel has as many members as any other.
    let channels = (0..own).fold(String::new(), |mut channels, at| {
        let _ = write!(channels, "#c{}:1700000000000 ", (number * CHANNELS_OF_ONE + at * 997) % CHANNELS);
        channels
    });
    let presence = PresenceRow {
        account: id,
        since: 1 << 40 | (1 + number),
        nick: name.as_str().into(),
        user: "~measured".into(),
        hosts: "192.0.2.7 192.0.2.7".into(),
        realname: "Somebody".into(),
        modes: "".into(),
        away: None,
        channels: channels.trim_end().into(),
        signon: 1_700_000_000,
        left: 1_700_000_000_000,
    };
    let app = AppPassword {
        name: "measured".into(),
        made: 1_700_000_000_000,
        hash: Sha256::digest(password(number).as_bytes()).into(),
    };
    let credentials = (number < DEVICES).then(|| {
        let credentials = Credentials { apps: vec![app], ..Credentials::default() };
        Record::Credentials(Box::new(CredentialsRow { account: id, credentials }))
    });
    [Record::Account(Box::new(account)), Record::Presence(Box::new(presence))].into_iter().chain(credentials)
}

/// A connection that reads until it has been welcomed and has the names of its channels.
struct Device {
    reader: BufReader<TcpStream>,
    channels: u64,
}

impl Device {
    fn connect(address: SocketAddr, hello: &str, channels: u64) -> Result<Device> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(hello.as_bytes())?;
        Ok(Device { reader: BufReader::new(stream), channels })
    }

    fn until_there(mut self) -> Result<()> {
        let (mut line, mut welcome, mut names) = (String::new(), false, 0);
        while !welcome || names < self.channels {
            line.clear();
            ensure!(self.reader.read_line(&mut line)? > 0, "the server closed the connection");
            let rest = if line.starts_with('@') { line.split_once(' ').map_or("", |(_, rest)| rest) } else { &line };
            match rest.split(' ').nth(1) {
                Some("904" | "ERROR") => anyhow::bail!("{line}"),
                Some("376" | "422") => welcome = true,
                Some("366") => names += 1,
                _ => {}
            }
        }
        Ok(())
    }
}
