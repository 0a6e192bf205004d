//! How long a PING takes while the server seals and sends a thousand web pushes a second.
//!
//! The push service is here: it takes what comes and reads none of it. Each message in a channel is for all the devices
//! of those who are in it, so that pushes come in waves, as they do.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clients::Wire;
use crate::process::{cpu_seconds, machine};
use crate::server::{Kind, Programs, Server};
use crate::workload::percentile;

/// Channels, each with people of its own; a message goes to one after the other.
const CHANNELS: usize = 10;
/// People in each.
const PEOPLE: usize = 10;
/// Devices of each.
const DEVICES: usize = 10;
/// From one message to the next: 100 devices every 100 ms are 1,000 pushes a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Messages in each channel: of more in one minute only the last would be pushed.
const MESSAGES: usize = 10;
/// From one PING to the next.
const PING_PAUSE: Duration = Duration::from_millis(5);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pushes a second that must be reached, and p99 of PING that must not be exceeded, ms.
const LEAST_A_SECOND: f64 = 950.0;
const MOST_MS: f64 = 20.0;

/// Keys of a device: those of RFC 8291, appendix A.
const KEYS: &str = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4;\
    auth=BTBZMqHH6r4Tts7J_aSIgg";

/// Measures; the page, in Markdown, and whether it is as fast as it must be.
///
/// # Errors
/// The server cannot be started, refuses something, or does not push in time.
pub fn measure() -> Result<(String, bool)> {
    let own = std::env::current_exe()?;
    // A debug build may be tried, and the page says so.
    let programs = Programs { roost: own.with_file_name("roost"), own };
    ensure!(programs.roost.exists(), "there is no {}; build it first", programs.roost.display());
    let server = Server::start(Kind::Roost { history: true, visible: true }, &programs)?;
    let result = drive(&server);
    result.with_context(|| format!("the server's last words: {}", server.last_words()))
}

fn drive(server: &Server) -> Result<(String, bool)> {
    let address = server.address(Wire::Plain)?;
    let (service, taken) = push_service()?;
    let mut people = Vec::new();
    for channel in 0..CHANNELS {
        for person in 0..PEOPLE {
            let nick = format!("p{channel}x{person}");
            let mut client = Client::connect(address, &nick)?;
            client.ask(&format!("REGISTER * * password-{nick}"))?;
            client.ask(&format!("JOIN #c{channel}"))?;
            for line in [format!("NS NOTIFY LEVEL #c{channel} ALL"), "AWAY :in a pocket".to_owned()] {
                client.ask(&line)?;
            }
            for device in 0..DEVICES {
                let answer = client.ask(&format!("WEBPUSH REGISTER http://{service}/{nick}/{device} {KEYS}"))?;
                ensure!(answer.contains(" WEBPUSH REGISTER "), "{answer}");
            }
            people.push(client);
        }
    }
    let devices = (CHANNELS * PEOPLE * DEVICES) as u64;
    // Each device was told once that push works.
    wait_for(&taken, devices)?;
    let mut speakers = Vec::new();
    for channel in 0..CHANNELS {
        let mut speaker = Client::connect(address, &format!("speaker{channel}"))?;
        speaker.ask(&format!("JOIN #c{channel}"))?;
        speakers.push(speaker);
    }
    let quiet = pings(address, Duration::from_secs(3))?;
    let whole = PAUSE * (CHANNELS * MESSAGES) as u32;
    let (cpu, started) = (cpu_seconds(server.pid())?, Instant::now());
    let asking = thread::spawn(move || pings(address, whole));
    for message in 0..MESSAGES * CHANNELS {
        // Messages come at their time, whatever became of those before.
        let due = started + PAUSE * message as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        speakers[message % CHANNELS]
            .send(&format!("PRIVMSG #c{} :message {message} for everybody", message % CHANNELS))?;
    }
    let expected = devices + devices * MESSAGES as u64;
    wait_for(&taken, expected)?;
    let seconds = started.elapsed().as_secs_f64();
    let busy = asking.join().map_err(|_| anyhow::anyhow!("the thread that sends PING has panicked"))??;
    let cpu = (cpu_seconds(server.pid())? - cpu) / (expected - devices) as f64 * 1e6;
    let rate = (expected - devices) as f64 / seconds;
    drop(people);
    page(rate, cpu, quiet, busy)
}

fn page(rate: f64, cpu: f64, mut quiet: Vec<u64>, mut busy: Vec<u64>) -> Result<(String, bool)> {
    let mut page = String::new();
    let build = if cfg!(debug_assertions) { "a debug build, which is no measurement" } else { "a release build" };
    writeln!(page, "# Web push\n")?;
    writeln!(page, "Roost in {build}, on {}. Other programs may have been running.\n", machine())?;
    writeln!(
        page,
        "{rate:.0} pushes a second sealed, signed and sent over HTTP to {CHANNELS} x {PEOPLE} x {DEVICES} devices of one"
    )?;
    writeln!(
        page,
        "push service on loopback, in waves of {} every {} ms; {cpu:.0} µs of processor time each.\n",
        PEOPLE * DEVICES,
        PAUSE.as_millis()
    )?;
    writeln!(page, "| PING to PONG, ms | p50 | p99 | max |\n| --- | --- | --- | --- |")?;
    let mut row = |name: &str, values: &mut Vec<u64>| -> Result<f64> {
        let of = |values: &mut Vec<u64>, share| percentile(values, share) / 1e6;
        let p99 = of(values, 0.99);
        writeln!(page, "| {name} | {:.2} | {p99:.2} | {:.2} |", of(values, 0.5), of(values, 1.0))?;
        Ok(p99)
    };
    row("without pushes", &mut quiet)?;
    let p99 = row("meanwhile", &mut busy)?;
    Ok((page, rate >= LEAST_A_SECOND && p99 <= MOST_MS))
}

/// Nanoseconds from each PING to its PONG.
fn pings(address: SocketAddr, lasts: Duration) -> Result<Vec<u64>> {
    let mut client = Client::connect(address, &format!("ping{}", lasts.as_millis()))?;
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < lasts {
        let sent = Instant::now();
        client.ask("")?;
        times.push(sent.elapsed().as_nanos() as u64);
        // Often enough to be in the way of every wave, and not so often as to be the load itself.
        thread::sleep(PING_PAUSE);
    }
    Ok(times)
}

fn wait_for(taken: &AtomicU64, count: u64) -> Result<()> {
    let started = Instant::now();
    while taken.load(Ordering::Relaxed) < count {
        if started.elapsed() > PATIENCE {
            bail!("{} of {count} pushes have come in {PATIENCE:?}", taken.load(Ordering::Relaxed));
        }
        // There is nothing to wait on but time: this program only counts.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A push service that takes everything, and counts; its threads end with this program.
fn push_service() -> Result<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let taken = Arc::new(AtomicU64::new(0));
    let counter = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counter = counter.clone();
            thread::spawn(move || serve(stream, &counter));
        }
    });
    Ok((address, taken))
}

/// Whoever goes away ends it.
fn serve(mut stream: TcpStream, taken: &AtomicU64) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.set_nodelay(true)?;
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")?;
        taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection, whose every line is waited for.
struct Client {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    asked: u64,
}

impl Client {
    fn connect(address: SocketAddr, nick: &str) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client { reader: BufReader::new(stream.try_clone()?), stream, asked: 0 };
        client.send("CAP REQ :soju.im/webpush standard-replies")?;
        client.send(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nCAP END"))?;
        let welcome = client.ask("")?;
        ensure!(welcome.contains(" 001 "), "{welcome}");
        Ok(client)
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(self.stream.write_all(format!("{line}\r\n").as_bytes())?)
    }

    /// Sends a line and PING; all that comes before the PONG.
    fn ask(&mut self, line: &str) -> Result<String> {
        self.asked += 1;
        let token = format!("t{}", self.asked);
        let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
        self.send(&format!("{line}PING {token}"))?;
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            ensure!(self.reader.read_line(&mut line)? > 0, "the server has closed a connection: {answer}");
            if line.contains(" PONG ") && line.trim_end().ends_with(&token) {
                return Ok(answer);
            }
            answer.push_str(&line);
        }
    }
}
