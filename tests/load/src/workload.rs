//! The workloads: what the clients do with one server, and what is counted meanwhile. Each is bounded in clients,
//! lines and time.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::clients::{Clients, Dialect, Wanted, now, payload};
use crate::crowd::Crowd;
use crate::process::{cpu_seconds, resident_kib};

/// How long one workload may take, after its clients are there.
pub const LONGEST: Duration = Duration::from_secs(120);

/// Latencies that are kept at most.
pub const SAMPLES: u64 = 200_000;

/// What CHATHISTORY needs.
pub const HISTORY_CAPABILITIES: &str = "batch server-time message-tags draft/chathistory";

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Workload {
    /// Registers clients, which then idle
    Connect {
        #[arg(value_parser = clap::value_parser!(u32).range(1..=19_000))]
        clients: u32,
    },
    /// One channel, one member that sends, so many lines in flight
    Fanout {
        #[arg(value_parser = clap::value_parser!(u32).range(2..=10_000))]
        members: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        lines: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
        window: u32,
    },
    /// Channels, in each one member that sends, so many lines in flight in each
    Rooms {
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rooms: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(2..=19))]
        members: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        lines: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
        window: u32,
    },
    /// As fanout, but the members are in several processes and come from 127.0.0.1 and 127.0.0.2
    Crowd {
        #[arg(value_parser = clap::value_parser!(u32).range(3..=19_000))]
        members: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=16))]
        processes: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
        lines: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
        window: u32,
    },
    /// As fanout, but so many lines a second
    Paced {
        #[arg(value_parser = clap::value_parser!(u32).range(2..=10_000))]
        members: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        lines: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
        per_second: u32,
    },
    /// Fills a channel with lines, then asks for the latest 100 of them, one request after the other
    History {
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        lines: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        queries: u32,
    },
}

/// What was counted in one workload. What a workload does not have is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Microseconds of the server's processor time for each registration, delivery or query.
    pub cpu_us: f64,
    /// Growth of the server's resident memory for each client, KiB, while they idle.
    pub resident_kib: f64,
    /// Lines that the server took in, each second.
    pub lines_per_second: f64,
    /// Milliseconds from sending to receiving a line, or from request to end of answer: the median.
    pub p50_ms: f64,
    /// The same, of which 99 in 100 are shorter.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Runs it with the server of process `pid` that listens on `address`.
///
/// # Errors
/// The server refused something, closed a connection, or did not deliver everything in time.
pub fn run(workload: &Workload, address: SocketAddr, pid: u32, dialect: &Dialect) -> Result<Figures> {
    match *workload {
        Workload::Connect { clients } => connect(address, pid, dialect, clients as usize),
        Workload::Fanout { members, lines, window } => {
            let load =
                Channels { rooms: 1, members: members as usize, lines: lines.into(), pace: Pace::Window(window) };
            load.run(address, pid, dialect)
        }
        Workload::Rooms { rooms, members, lines, window } => {
            let (rooms, members) = (rooms as usize, members as usize);
            Channels { rooms, members, lines: lines.into(), pace: Pace::Window(window) }.run(address, pid, dialect)
        }
        Workload::Crowd { members, processes, lines, window } => {
            let (members, processes) = (members as usize, processes as usize);
            Crowd { members, processes, lines: lines.into(), window: window.into() }.run(address, pid, dialect)
        }
        Workload::Paced { members, lines, per_second } => {
            let pace = Pace::PerSecond(per_second);
            Channels { rooms: 1, members: members as usize, lines: lines.into(), pace }.run(address, pid, dialect)
        }
        Workload::History { lines, queries } => history(address, pid, dialect, lines.into(), queries.into()),
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { clients } => write!(f, "connect {clients}"),
            Self::Fanout { members, lines, window } => write!(f, "fanout {members} {lines} {window}"),
            Self::Rooms { rooms, members, lines, window } => write!(f, "rooms {rooms} {members} {lines} {window}"),
            Self::Crowd { members, processes, lines, window } => {
                write!(f, "crowd {members} {processes} {lines} {window}")
            }
            Self::Paced { members, lines, per_second } => write!(f, "paced {members} {lines} {per_second}"),
            Self::History { lines, queries } => write!(f, "history {lines} {queries}"),
        }
    }
}

/// How long connections idle before their memory is looked at.
const IDLE: Duration = Duration::from_secs(12);

fn connect(address: SocketAddr, pid: u32, dialect: &Dialect, number: usize) -> Result<Figures> {
    let mut clients = Clients::new(dialect)?;
    let (cpu, resident) = (cpu_seconds(pid)?, resident_kib(pid)?);
    let begun = Instant::now();
    clients.bring_up(address, dialect, vec![Wanted::default(); number])?;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(pid)? - cpu);
    // What a burst of new connections took for a moment, an allocator keeps for some seconds more.
    clients.settle(IDLE)?;
    Ok(Figures {
        cpu_us: cpu * 1e6 / number as f64,
        resident_kib: (resident_kib(pid)? - resident) / number as f64,
        lines_per_second: number as f64 / seconds,
        ..Figures::default()
    })
}

/// Channels with one member each that sends.
struct Channels {
    rooms: usize,
    members: usize,
    lines: u64,
    pace: Pace,
}

#[derive(Clone, Copy)]
enum Pace {
    /// So many lines that the last member of the room has not received.
    Window(u32),
    PerSecond(u32),
}

impl Channels {
    fn run(&self, address: SocketAddr, pid: u32, dialect: &Dialect) -> Result<Figures> {
        let mut clients = Clients::new(dialect)?;
        let resident = resident_kib(pid)?;
        let wanted = (0..self.rooms).flat_map(|room| {
            (0..self.members).map(move |member| Wanted { channel: Some(format!("#load{room}")), sends: member == 0 })
        });
        clients.bring_up(address, dialect, wanted.collect())?;
        clients.settle(Duration::from_secs(1))?;
        let resident = resident_kib(pid)? - resident;

        let cpu = cpu_seconds(pid)?;
        let expected = self.lines * (self.members as u64 - 1) * self.rooms as u64;
        clients.count_afresh(expected.div_ceil(SAMPLES));
        let mut sent = vec![0; self.rooms];
        let begun = Instant::now();
        let wait = match self.pace {
            Pace::Window(_) => Duration::from_millis(5),
            Pace::PerSecond(_) => Duration::ZERO,
        };
        while clients.counted().delivered < expected {
            for (room, sent) in sent.iter_mut().enumerate() {
                let sender = room * self.members;
                let allowed = match self.pace {
                    Pace::Window(window) => clients.received(sender + self.members - 1) + u64::from(window),
                    Pace::PerSecond(lines) => (begun.elapsed().as_secs_f64() * f64::from(lines)) as u64 + 1,
                };
                let mut lines = String::new();
                while *sent < allowed.min(self.lines) {
                    lines.push_str(&format!("PRIVMSG #load{room} :{}\r\n", payload(now())));
                    *sent += 1;
                }
                if !lines.is_empty() {
                    clients.send(sender, &lines)?;
                }
            }
            clients.turn(wait)?;
            let delivered = clients.counted().delivered;
            ensure!(
                begun.elapsed() < LONGEST,
                "only {delivered} of {expected} deliveries came in {} s",
                LONGEST.as_secs()
            );
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = cpu_seconds(pid)? - cpu;
        let mut latencies = clients.counted().latencies.clone();
        Ok(Figures {
            cpu_us: cpu * 1e6 / expected as f64,
            resident_kib: resident / clients.len() as f64,
            lines_per_second: (self.lines * self.rooms as u64) as f64 / seconds,
            p50_ms: percentile(&mut latencies, 0.50) / 1e6,
            p99_ms: percentile(&mut latencies, 0.99) / 1e6,
            max_ms: percentile(&mut latencies, 1.0) / 1e6,
        })
    }
}

fn history(address: SocketAddr, pid: u32, dialect: &Dialect, lines: u64, queries: u64) -> Result<Figures> {
    let dialect = Dialect { capabilities: vec![HISTORY_CAPABILITIES.to_owned()], ..dialect.clone() };
    let channel = "#load0";
    let mut clients = Clients::new(&dialect)?;
    let wanted = |sends| Wanted { channel: Some(channel.to_owned()), sends };
    clients.bring_up(address, &dialect, vec![wanted(true), wanted(false)])?;

    let begun = Instant::now();
    let mut sent = 0;
    while clients.received(1) < lines {
        let mut text = String::new();
        while sent < lines.min(clients.received(1) + 500) {
            text.push_str(&format!("PRIVMSG {channel} :{}\r\n", payload(now())));
            sent += 1;
        }
        if !text.is_empty() {
            clients.send(0, &text)?;
        }
        clients.turn(Duration::from_millis(5))?;
        let received = clients.received(1);
        ensure!(begun.elapsed() < LONGEST, "only {received} of {lines} lines came in {} s", LONGEST.as_secs());
    }
    let filling = begun.elapsed().as_secs_f64();

    let cpu = cpu_seconds(pid)?;
    clients.count_afresh(u64::MAX);
    let mut latencies = Vec::new();
    for query in 0..queries {
        let asked = Instant::now();
        clients.send(1, &format!("CHATHISTORY LATEST {channel} * 100\r\n"))?;
        while clients.counted().batches <= query {
            clients.turn(Duration::from_millis(5))?;
            ensure!(asked.elapsed() < Duration::from_secs(10), "query {query} was not answered in 10 s");
        }
        latencies.push(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let answered = clients.counted().delivered;
    let expected = queries * lines.min(100);
    ensure!(answered == expected, "history answered with {answered} lines instead of {expected}");
    Ok(Figures {
        cpu_us: (cpu_seconds(pid)? - cpu) * 1e6 / queries as f64,
        lines_per_second: lines as f64 / filling,
        p50_ms: percentile(&mut latencies, 0.50) / 1e6,
        p99_ms: percentile(&mut latencies, 0.99) / 1e6,
        max_ms: percentile(&mut latencies, 1.0) / 1e6,
        ..Figures::default()
    })
}

/// The value below which a share of the values is; 0 if there are none.
pub fn percentile(values: &mut [u64], share: f64) -> f64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share) as usize).map_or(0.0, |value| *value as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Workload, percentile, run};
    use crate::clients::Dialect;
    use crate::floor::serve;
    use crate::server::{accepts, free_port};

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<u64> = (0..=100).rev().collect();
        assert_eq!(percentile(&mut values, 0.5), 50.0);
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn workloads_are_complete_with_the_floor_and_refused_without_a_server() {
        let port = free_port().unwrap();
        let address = ([127, 0, 0, 1], port).into();
        let pid = std::process::id();
        let fanout = Workload::Fanout { members: 3, lines: 50, window: 5 };
        assert!(run(&fanout, address, pid, &Dialect::default()).is_err());
        // Serves until the test process ends.
        std::thread::spawn(move || serve(port));
        while !accepts(address) {
            std::thread::yield_now();
        }
        for workload in [fanout, Workload::Rooms { rooms: 3, members: 4, lines: 20, window: 5 }] {
            let figures = run(&workload, address, pid, &Dialect::default()).unwrap();
            assert!(figures.lines_per_second > 0.0 && figures.p99_ms >= figures.p50_ms && figures.p50_ms > 0.0);
        }
    }
}
