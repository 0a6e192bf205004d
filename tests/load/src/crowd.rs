//! A channel with more members than one process has files for: other processes of this program are the members, and
//! this one has the member that sends.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clients::{Clients, Dialect, Wanted, now, payload};
use crate::process::{cpu_seconds, resident_kib};
use crate::workload::{Figures, LONGEST, SAMPLES, percentile};

/// Where the processes come from, in turn: one address has 28,000 ports towards one server.
const SOURCES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];

const CHANNEL: &str = "#load0";

/// A channel with members in several processes, one of which sends.
pub struct Crowd {
    pub members: usize,
    pub processes: usize,
    pub lines: u64,
    /// Lines that one of the members has not received.
    pub window: u64,
}

/// What a process of the crowd says once it has received everything.
struct Report {
    delivered: u64,
    latencies: Vec<u64>,
}

/// A process with some of the members. It ends with this value.
struct Part {
    child: Child,
    /// Open for as long as the process is to stay.
    _input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Brings the members up, sends the lines, and waits until every member has them all.
    ///
    /// # Errors
    /// A process cannot be started; or as for every workload.
    pub fn run(&self, address: SocketAddr, pid: u32, dialect: &Dialect) -> Result<Figures> {
        let resident = resident_kib(pid)?;
        // In this process: the member that sends, and one that sets the pace.
        let mut clients = Clients::new(dialect)?;
        let wanted = |sends| Wanted { channel: Some(CHANNEL.to_owned()), sends };
        clients.bring_up(address, dialect, vec![wanted(true), wanted(false)])?;
        let others = self.members - 2;
        let sizes =
            (0..self.processes).map(|part| others / self.processes + usize::from(part < others % self.processes));
        let mut parts = Vec::new();
        for (size, source) in sizes.zip(SOURCES.into_iter().cycle()) {
            parts.push(Part::start(address, size, self.lines, source, dialect)?);
        }
        // They read what the others' coming brings them; so does this process.
        let ready: Result<()> = std::thread::scope(|scope| {
            let waiting: Vec<_> = parts.iter_mut().map(|part| scope.spawn(|| part.expect("ready"))).collect();
            while waiting.iter().any(|thread| !thread.is_finished()) {
                clients.turn(Duration::from_millis(20))?;
            }
            waiting.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread broke"))?)
        });
        ready?;
        clients.settle(Duration::from_secs(2))?;
        let resident = resident_kib(pid)? - resident;

        let cpu = cpu_seconds(pid)?;
        clients.count_afresh(1);
        let begun = Instant::now();
        let mut sent = 0;
        while clients.counted().delivered < self.lines {
            let mut lines = String::new();
            while sent < self.lines.min(clients.counted().delivered + self.window) {
                lines.push_str(&format!("PRIVMSG {CHANNEL} :{}\r\n", payload(now())));
                sent += 1;
            }
            if !lines.is_empty() {
                clients.send(0, &lines)?;
            }
            clients.turn(Duration::from_millis(5))?;
            let delivered = clients.counted().delivered;
            ensure!(begun.elapsed() < LONGEST, "only {delivered} of {} lines came in {LONGEST:?}", self.lines);
        }
        let mut latencies = clients.counted().latencies.clone();
        let mut delivered = clients.counted().delivered;
        for part in &mut parts {
            let report = part.report()?;
            delivered += report.delivered;
            latencies.extend(report.latencies);
        }
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(pid)? - cpu);
        let expected = self.lines * (self.members as u64 - 1);
        ensure!(delivered == expected, "{delivered} lines were delivered instead of {expected}");
        Ok(Figures {
            cpu_us: cpu * 1e6 / expected as f64,
            resident_kib: resident / self.members as f64,
            lines_per_second: self.lines as f64 / seconds,
            p50_ms: percentile(&mut latencies, 0.50) / 1e6,
            p99_ms: percentile(&mut latencies, 0.99) / 1e6,
            max_ms: percentile(&mut latencies, 1.0) / 1e6,
        })
    }
}

/// Is a part of a crowd: says `ready` once its members are in the channel, takes in so many lines at each, and says
/// what it counted.
///
/// # Errors
/// As for every workload.
pub fn be_part(address: SocketAddr, dialect: &Dialect, members: usize, lines: u64) -> Result<()> {
    let mut clients = Clients::new(dialect)?;
    let wanted = Wanted { channel: Some(CHANNEL.to_owned()), sends: false };
    clients.bring_up(address, dialect, vec![wanted; members])?;
    let expected = lines * members as u64;
    clients.count_afresh(expected.div_ceil(SAMPLES / 10));
    println!("ready");
    let begun = Instant::now();
    // The first line may be long in coming: others are still on their way into the channel.
    let longest = LONGEST + Duration::from_secs(400);
    while clients.counted().delivered < expected {
        clients.turn(Duration::from_millis(100))?;
        let delivered = clients.counted().delivered;
        ensure!(begun.elapsed() < longest, "only {delivered} of {expected} deliveries came in {longest:?}");
    }
    let latencies: Vec<String> = clients.counted().latencies.iter().map(u64::to_string).collect();
    println!("{} {}", clients.counted().delivered, latencies.join(" "));
    // The members stay until everyone has been served, so that no QUIT is counted: until this process is ended, or its
    // input is.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

impl Part {
    fn start(address: SocketAddr, members: usize, lines: u64, source: Ipv4Addr, dialect: &Dialect) -> Result<Self> {
        // As the servers: it does not outlive this process.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe()?).arg("part");
        command.arg(address.to_string()).arg(members.to_string()).arg(lines.to_string()).arg(source.to_string());
        if let Some(wire) = clap::ValueEnum::to_possible_value(&dialect.wire) {
            command.arg("--wire").arg(wire.get_name());
        }
        for set in &dialect.capabilities {
            command.arg(format!("--caps={set}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run setpriv, which is in util-linux")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("a process has no pipes");
        };
        Ok(Self { child, _input: input, output: BufReader::new(output) })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "a process of the crowd ended; it has said why above");
        Ok(line.trim_end().to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == word, "a process of the crowd said {line:?} instead of {word:?}");
        Ok(())
    }

    fn report(&mut self) -> Result<Report> {
        let line = self.line()?;
        let mut numbers = line.split(' ').map(str::parse);
        let delivered = numbers.next().context("an empty report")??;
        Ok(Report { delivered, latencies: numbers.collect::<Result<_, _>>()? })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
