//! Measures Roost beside InspIRCd and beside the floor, and prints the comparison as a table.
//!
//! The floor is an epoll loop that knows no IRC and passes on the same bytes: a server's cost divided by the
//! floor's, both measured in the same minutes on the same machine, is its distance from what is possible.
//! Single times depend on the machine and on what else runs there; ratios hardly do.
//!
//! | module | what |
//! | --- | --- |
//! | [`table`] | which workloads, what Roost must reach, medians, ratios, the page |
//! | [`latency`] | how long a line takes while others ask for long answers |
//! | [`push`] | how long a PING takes while a thousand web pushes a second go out |
//! | [`comeback`] | how long a start takes, and a thousand devices that come back at once |
//! | [`growth`] | what becomes dearer as there is more of something |
//! | [`svg`] | plots |
//! | [`server`] | starts and ends the floor, InspIRCd and Roost, each on a free port of 127.0.0.1 |
//! | [`workload`] | drives one server and counts |
//! | [`crowd`] | a channel with more members than one process has files for |
//! | [`clients`] | thousands of IRC clients in one thread |
//! | [`websocket`] | as much of WebSocket as they need |
//! | [`floor`] | the floor |
//! | [`process`] | processor time and memory of a process, and what the machine is |

mod clients;
mod comeback;
mod crowd;
mod floor;
mod growth;
mod latency;
mod process;
mod push;
mod server;
mod svg;
mod table;
mod websocket;
mod workload;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::clients::{Dialect, Wire};
use crate::workload::Workload;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "Measures Roost beside InspIRCd and the least that any server needs")]
struct Arguments {
    /// Measures the `roost` beside this program as it is, instead of building it first
    #[arg(long, global = true)]
    no_build: bool,
    /// How many seconds to wait in all for other programs to leave the machine alone, before each measurement
    #[arg(long, global = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=36_000))]
    patience: u64,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts the servers in turn, runs every workload with each, and prints the table
    Table {
        /// How often everything is measured; the table has medians
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
        runs: u32,
        /// Fewer lines in every workload, and only one run: a look, not a measurement
        #[arg(long)]
        quick: bool,
        /// Writes the table to tests/load/RESULTS.md, too
        #[arg(long)]
        write: bool,
        /// Capabilities that Roost's clients ask for, separated by spaces; given several times, clients take the sets
        /// in turn
        #[arg(long, value_name = "CAPABILITIES")]
        caps: Vec<String>,
        /// Leaves out the channel with 15,000 members, which takes minutes; so does --quick
        #[arg(long)]
        no_crowd: bool,
        /// Only workloads whose name begins so
        #[arg(long, value_name = "WORKLOAD", default_value = "")]
        only: String,
    },
    /// Times lines from client to client, alone and while others ask for long answers
    Latency {
        /// How often every phase is gone through; the page has medians
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
        rounds: u32,
        /// How long a phase is
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
        /// Writes the page to tests/load/LATENCY.md, too
        #[arg(long)]
        write: bool,
    },
    /// Times PING while a thousand web pushes a second are sealed and sent
    Push {
        /// Writes the page to tests/load/PUSH.md, too
        #[arg(long)]
        write: bool,
    },
    /// Times a start with 100,000 people who are always there, and a thousand devices that log in at once
    Comeback {
        /// Writes the page to tests/load/COMEBACK.md, too
        #[arg(long)]
        write: bool,
    },
    /// Measures what becomes dearer with more members, users and rows of history, and plots it
    Growth {
        /// The most rows of history; ten million of them take minutes and 3 GB of disk, which is free again afterwards
        #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..=10_000_000))]
        rows: u64,
        /// Not with 10,000 members and 100,000 users
        #[arg(long)]
        quick: bool,
        /// Writes the page to tests/load/GROWTH.md, too, and the plots beside it
        #[arg(long)]
        write: bool,
    },
    /// Runs one workload with a server that is running already, and prints what was counted
    Run {
        /// Where it listens; loopback only
        address: SocketAddr,
        /// Its process id
        pid: u32,
        /// Capabilities that the clients ask for, as in `table`
        #[arg(long, value_name = "CAPABILITIES")]
        caps: Vec<String>,
        /// What is below the lines
        #[arg(long, value_enum, default_value_t)]
        wire: Wire,
        #[command(subcommand)]
        workload: Workload,
    },
    /// Is a part of the clients of `crowd`, which starts it
    #[command(hide = true)]
    Part {
        address: SocketAddr,
        members: u32,
        lines: u64,
        source: Ipv4Addr,
        #[arg(long)]
        caps: Vec<String>,
        #[arg(long, value_enum, default_value_t)]
        wire: Wire,
    },
    /// Is the floor, on a port of 127.0.0.1
    Floor {
        /// The port
        port: u16,
    },
}

fn main() -> Result<()> {
    let Arguments { no_build, patience, task } = Arguments::parse();
    let patience = Duration::from_secs(patience);
    // Every client is an open file, here and in the servers, which inherit the limit.
    rlimit::increase_nofile_limit(u64::MAX)?;
    if !no_build
        && matches!(
            task,
            Task::Table { .. } | Task::Latency { .. } | Task::Growth { .. } | Task::Push { .. } | Task::Comeback { .. }
        )
    {
        server::build()?;
    }
    match task {
        Task::Table { runs, quick, write, caps, no_crowd, only } => {
            let runs = if quick { 1 } else { runs };
            let page = table::measure(&table::Choice { runs, quick, caps, crowd: !no_crowd, only, patience })?;
            show(&page, write.then_some("RESULTS.md"))
        }
        Task::Latency { rounds, seconds, write } => {
            let (page, reached) = latency::measure(&latency::Choice { rounds, seconds, patience })?;
            show(&page, write.then_some("LATENCY.md"))?;
            ensure!(reached, "Roost is slower than it must be");
            Ok(())
        }
        Task::Push { write } => {
            let (page, reached) = push::measure()?;
            show(&page, write.then_some("PUSH.md"))?;
            ensure!(reached, "Roost pushes too little, or answers too slowly meanwhile");
            Ok(())
        }
        Task::Comeback { write } => {
            let (page, reached) = comeback::measure()?;
            show(&page, write.then_some("COMEBACK.md"))?;
            ensure!(reached, "Roost takes too long until all are back");
            Ok(())
        }
        Task::Growth { rows, quick, write } => {
            let pages = growth::measure(&growth::Choice { rows, quick })?;
            for (name, plot) in pages.plots.iter().filter(|_| write) {
                std::fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name), plot)?;
            }
            show(&pages.page, write.then_some("GROWTH.md"))
        }
        Task::Run { address, pid, caps, wire, workload } => {
            ensure!(address.ip().is_loopback(), "{address} is not a loopback address; this program loads nothing else");
            let dialect = Dialect { capabilities: caps, wire, source: None };
            let figures = workload::run(&workload, address, pid, &dialect)?;
            println!("{workload}: {figures:?}");
            Ok(())
        }
        Task::Part { address, members, lines, source, caps, wire } => {
            ensure!(address.ip().is_loopback(), "{address} is not a loopback address; this program loads nothing else");
            let dialect = Dialect { capabilities: caps, wire, source: Some(source) };
            crowd::be_part(address, &dialect, members as usize, lines)
        }
        Task::Floor { port } => floor::serve(port),
    }
}

/// Prints a page, and writes it beside this program's sources.
fn show(page: &str, file: Option<&str>) -> Result<()> {
    print!("{page}");
    if let Some(name) = file {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::write(&file, page)?;
        eprintln!("Written to {}", file.display());
    }
    Ok(())
}
