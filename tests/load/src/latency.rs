//! How long a line takes from client to client, alone and while others ask for long answers: lists of all channels and
//! users, and pages of history.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::clients::{Clients, Dialect, Wanted, Wire, now, payload};
use crate::process::{machine, machine_and_own_cpu_seconds, says, wait_for_quiet};
use crate::server::{Kind, Programs, Server, inspircd};
use crate::table::{median, number, share_of_others};
use crate::workload::{HISTORY_CAPABILITIES, percentile};

/// Members of the channel whose lines are timed, one of which sends.
const MEMBERS: usize = 501;
/// Lines a second; each is delivered to 500 members.
const PER_SECOND: u64 = 100;
/// What there is to ask for.
const CHANNELS: usize = 20_000;
const USERS: usize = 10_000;
const HISTORY: u64 = 1000;

/// p99 at the client, ms, that Roost must not exceed.
const MOST_MS: f64 = 10.0;
/// How many times longer p99 may become while others ask.
const MOST_TIMES: f64 = 2.0;

/// How long a question may take to be answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is measured, as the command line has it.
pub struct Choice {
    pub rounds: u32,
    /// For how long each phase lasts.
    pub seconds: u64,
    /// How long to wait in all for other programs to leave the machine alone.
    pub patience: Duration,
}

/// What others ask for meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    List,
    Who,
    History,
}

/// What goes on beside the lines that are timed.
struct Phase {
    name: &'static str,
    questions: &'static [Question],
    /// From an answer to the next question.
    pause: Duration,
    /// Whether Roost's factor must not exceed [`MOST_TIMES`].
    judged: bool,
}

const NOBODY: usize = 0;

const PHASES: [Phase; 6] = [
    Phase { name: "nobody", questions: &[], pause: Duration::ZERO, judged: true },
    Phase {
        name: "LIST of 20,000 channels, again and again",
        questions: &[Question::List],
        pause: Duration::ZERO,
        judged: true,
    },
    Phase {
        name: "WHO of 10,000 users, again and again",
        questions: &[Question::Who],
        pause: Duration::ZERO,
        judged: true,
    },
    Phase {
        name: "CHATHISTORY of 1,000 lines, again and again",
        questions: &[Question::History],
        pause: Duration::ZERO,
        judged: true,
    },
    Phase {
        name: "all three, each again a second after its answer",
        questions: &[Question::List, Question::Who, Question::History],
        pause: Duration::from_secs(1),
        judged: true,
    },
    Phase {
        name: "all three, again and again",
        questions: &[Question::List, Question::Who, Question::History],
        pause: Duration::ZERO,
        // Clients and server together then have more to do than two processors can.
        judged: false,
    },
];

/// One phase, once. Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Measured {
    phase: usize,
    p50: f64,
    p99: f64,
    max: f64,
    /// Answers a second.
    answers: f64,
}

/// Measures Roost, and InspIRCd and the floor as far as they can do it; returns the page, in Markdown, and whether
/// Roost is as fast as it must be.
///
/// # Errors
/// A server cannot be started, refuses something, or does not answer in time.
pub fn measure(choice: &Choice) -> Result<(String, bool)> {
    let programs = Programs::beside_this()?;
    let version = inspircd();
    let (machine_before, own_before) = machine_and_own_cpu_seconds()?;
    let floor = one(Kind::Floor, &programs, choice, |phase| phase.questions.is_empty())?;
    let beside = match &version {
        None => Vec::new(),
        Some(_) => one(Kind::Inspircd { wire: Wire::Plain, capabilities: false }, &programs, choice, |phase| {
            !phase.questions.contains(&Question::History)
        })?,
    };
    let roost = one(Kind::Roost { history: true, visible: true }, &programs, choice, |_| true)?;
    let (machine_after, own_after) = machine_and_own_cpu_seconds()?;
    let others = share_of_others(machine_after - machine_before, own_after - own_before);
    page(choice, [&floor, &beside, &roost], version.as_deref(), others)
}

/// One server, in all phases that it can do, in every round.
fn one(kind: Kind, programs: &Programs, choice: &Choice, can: impl Fn(&Phase) -> bool) -> Result<Vec<Measured>> {
    let server = Server::start(kind, programs)?;
    let address = server.address(Wire::Plain)?;
    let result = drive(address, choice, kind, can);
    result.with_context(|| format!("{kind:?}; the server's last words: {}", server.last_words()))
}

fn drive(address: SocketAddr, choice: &Choice, kind: Kind, can: impl Fn(&Phase) -> bool) -> Result<Vec<Measured>> {
    let dialect = Dialect::default();
    let mut crowd = Clients::new(&dialect)?;
    if kind != Kind::Floor {
        let each = CHANNELS / USERS;
        let channels = |user: usize| (0..each).map(|n| format!("#l{}", user * each + n)).collect::<Vec<_>>().join(",");
        let wanted = |user| Wanted { channel: Some(channels(user)), sends: false };
        crowd.bring_up(address, &dialect, (0..USERS).map(wanted).collect())?;
    }
    if matches!(kind, Kind::Roost { .. }) {
        fill(address)?;
    }
    let mut clients = Clients::new(&dialect)?;
    let wanted = |member| Wanted { channel: Some("#load0".to_owned()), sends: member == 0 };
    clients.bring_up(address, &dialect, (0..MEMBERS).map(wanted).collect())?;
    clients.settle(Duration::from_secs(1))?;

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // They do nothing but answer PING.
        let idle = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                crowd.turn(Duration::from_millis(200))?;
            }
            anyhow::Ok(())
        });
        let measured = rounds(address, &mut clients, choice, can);
        over.store(true, Ordering::Relaxed);
        idle.join().map_err(|_| anyhow!("a thread broke"))?.context("the idle clients")?;
        measured
    })
}

fn rounds(
    address: SocketAddr,
    clients: &mut Clients,
    choice: &Choice,
    can: impl Fn(&Phase) -> bool,
) -> Result<Vec<Measured>> {
    let (mut measured, mut patience) = (Vec::new(), choice.patience / 3);
    for round in 0..choice.rounds {
        for (number, phase) in PHASES.iter().enumerate().filter(|(_, phase)| can(phase)) {
            wait_for_quiet(&mut patience, |time| clients.settle(time))?;
            let one = phase_once(address, clients, number, phase, choice.seconds)?;
            eprintln!("{}/{}: {}: {one:?}", round + 1, choice.rounds, phase.name);
            measured.push(one);
        }
    }
    Ok(measured)
}

fn phase_once(
    address: SocketAddr,
    clients: &mut Clients,
    number: usize,
    phase: &Phase,
    seconds: u64,
) -> Result<Measured> {
    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let ask = |question| {
            scope.spawn({
                let (over, answers) = (&over, &answers);
                move || ask(address, question, phase.pause, over, answers)
            })
        };
        let asking: Vec<_> = phase.questions.iter().map(|question| ask(*question)).collect();
        // Whoever asks has come and joined by then.
        clients.settle(Duration::from_secs(1))?;
        let before = answers.load(Ordering::Relaxed);
        let mut latencies = paced(clients, seconds);
        let answered = answers.load(Ordering::Relaxed) - before;
        over.store(true, Ordering::Relaxed);
        for (thread, question) in asking.into_iter().zip(phase.questions) {
            thread.join().map_err(|_| anyhow!("a thread broke"))?.with_context(|| format!("who asks: {question:?}"))?;
        }
        let latencies = latencies.as_mut().map_err(|error| anyhow!("{error:#}"))?;
        ensure!(phase.questions.is_empty() || answered > 0, "no question was answered in {seconds} s");
        let mut place = |share| percentile(latencies, share) / 1e6;
        let (p50, p99, max) = (place(0.5), place(0.99), place(1.0));
        Ok(Measured { phase: number, p50, p99, max, answers: f64::from(answered) / seconds as f64 })
    })
}

/// Sends for so long, a line every 10 ms, and sleeps between. Returns what each delivery took, in nanoseconds.
fn paced(clients: &mut Clients, seconds: u64) -> Result<Vec<u64>> {
    clients.count_afresh(1);
    let lines = seconds * PER_SECOND;
    let expected = lines * (MEMBERS as u64 - 1);
    let interval = Duration::from_secs(1) / PER_SECOND as u32;
    let (begun, mut sent) = (Instant::now(), 0u32);
    while clients.counted().delivered < expected {
        let next = interval * sent;
        if begun.elapsed() >= next && u64::from(sent) < lines {
            clients.send(0, &format!("PRIVMSG #load0 :{}\r\n", payload(now())))?;
            sent += 1;
            continue;
        }
        clients.turn(next.saturating_sub(begun.elapsed()).max(Duration::from_micros(100)))?;
        let (delivered, longest) = (clients.counted().delivered, Duration::from_secs(seconds) + PATIENCE);
        ensure!(begun.elapsed() < longest, "only {delivered} of {expected} deliveries came in {longest:?}");
    }
    Ok(clients.counted().latencies.clone())
}

/// Asks one question again and again.
fn ask(address: SocketAddr, question: Question, pause: Duration, over: &AtomicBool, answers: &AtomicU32) -> Result<()> {
    let (capabilities, channel, line) = match question {
        Question::List => ("", None, "LIST\r\n"),
        Question::Who => ("", None, "WHO *\r\n"),
        Question::History => (HISTORY_CAPABILITIES, Some("#past".to_owned()), "CHATHISTORY LATEST #past * 1000\r\n"),
    };
    let dialect = Dialect { capabilities: vec![capabilities.to_owned()], ..Dialect::default() };
    let mut client = Clients::new(&dialect)?;
    client.bring_up(address, &dialect, vec![Wanted { channel, sends: false }])?;
    while !over.load(Ordering::Relaxed) {
        client.count_afresh(1_000_000);
        let asked = Instant::now();
        client.send(0, line)?;
        while client.counted().ends + client.counted().batches == 0 {
            client.turn(Duration::from_millis(100))?;
            ensure!(asked.elapsed() < PATIENCE, "{question:?} was not answered in {PATIENCE:?}");
        }
        if question == Question::History {
            let got = client.counted().delivered;
            ensure!(got == HISTORY, "history answered with {got} lines instead of {HISTORY}");
        }
        answers.fetch_add(1, Ordering::Relaxed);
        let answered = Instant::now();
        while answered.elapsed() < pause && !over.load(Ordering::Relaxed) {
            client.turn((pause - answered.elapsed().min(pause)).min(Duration::from_millis(100)))?;
        }
    }
    Ok(())
}

/// Gives `#past` its lines.
fn fill(address: SocketAddr) -> Result<()> {
    let dialect = Dialect::default();
    let mut clients = Clients::new(&dialect)?;
    let wanted = |sends| Wanted { channel: Some("#past".to_owned()), sends };
    clients.bring_up(address, &dialect, vec![wanted(true), wanted(false)])?;
    let begun = Instant::now();
    for _ in 0..HISTORY {
        clients.send(0, &format!("PRIVMSG #past :{}\r\n", payload(now())))?;
    }
    while clients.received(1) < HISTORY {
        clients.turn(Duration::from_millis(50))?;
        ensure!(begun.elapsed() < PATIENCE, "only {} of {HISTORY} lines came", clients.received(1));
    }
    Ok(())
}

fn page(choice: &Choice, measured: [&[Measured]; 3], inspircd: Option<&str>, others: f64) -> Result<(String, bool)> {
    let mut page = String::new();
    let date = says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(|| "at an unknown time".to_owned());
    writeln!(
        page,
        "# Latency\n\n\
         What `cargo run --release -p roost-load -- latency --rounds {} --seconds {}` printed on {date}\n({}).\n\n\
         One member of a channel says {PER_SECOND} lines a second, {} others receive them: 50,000 deliveries a second.\n\
         The time is from before the line is sent until a client has read it, in ms; clients and server share the\n\
         processors. {USERS} other users are there, in {CHANNELS} channels, and some ask meanwhile, each on a connection\n\
         of its own. Roost stores every line before anyone sees it; InspIRCd {} keeps none. Each number is the median\n\
         of {} rounds of {} s; the factor is to the same server's p99 while nobody asks, in the same round.\n",
        choice.rounds,
        choice.seconds,
        machine(),
        MEMBERS - 1,
        inspircd.map_or_else(|| "(not installed here)".to_owned(), |version| format!("({version})")),
        choice.rounds,
        choice.seconds,
    )?;
    writeln!(page, "| server | who asks meanwhile | answers a second | p50 | p99 | max | factor of p99 |")?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- |")?;
    let mut reached = true;
    for (name, measured) in ["floor", "InspIRCd", "Roost"].into_iter().zip(measured) {
        for (at, phase) in PHASES.iter().enumerate() {
            let of = |at: usize| measured.iter().filter(move |one| one.phase == at);
            let middle = |figure: fn(&Measured) -> f64| median(of(at).map(figure));
            let Some((p50, p99)) = middle(|one| one.p50).zip(middle(|one| one.p99)) else { continue };
            let factor = median(of(at).zip(of(NOBODY)).map(|(one, alone)| one.p99 / alone.p99)).unwrap_or(0.0);
            let (max, answers) = (middle(|one| one.max).unwrap_or(0.0), middle(|one| one.answers).unwrap_or(0.0));
            let (answers, shown) = match at {
                NOBODY => ("-".to_owned(), "-".to_owned()),
                _ => (number(answers), format!("{factor:.2} x")),
            };
            let cells = [p50, p99, max].map(number).join(" | ");
            writeln!(page, "| {name} | {} | {answers} | {cells} | {shown} |", phase.name)?;
            if name == "Roost" && phase.judged {
                reached &= if at == NOBODY { p99 <= MOST_MS } else { factor <= MOST_TIMES };
            }
        }
    }
    writeln!(
        page,
        "\nRoost must have a p99 of at most {MOST_MS} ms while nobody asks, and a factor of at most {MOST_TIMES}: {}. The last\n\
         row is shown, not judged: whoever asks, whoever answers and the clients that are timed then all want the same\n\
         processors at once.\n\
         Other programs on this machine took {:.0} % of the processor time that was used meanwhile{}.",
        if reached { "reached" } else { "not reached" },
        others * 100.0,
        if others > 0.05 { ", which is not quiet: times are longer than they would be" } else { "" }
    )?;
    Ok((page, reached))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::{Choice, Measured, NOBODY, page};

    #[test]
    fn the_factor_is_to_the_same_round_and_decides() {
        let one = |phase, p99| Measured { phase, p50: 1.0, p99, max: 20.0, answers: 3.0 };
        let choice = Choice { rounds: 3, seconds: 1, patience: Duration::ZERO };
        // The second round's machine was four times slower throughout.
        let measured = [one(NOBODY, 4.0), one(1, 6.0), one(NOBODY, 16.0), one(1, 24.0), one(NOBODY, 4.0), one(1, 6.0)];
        let (text, reached) = page(&choice, [&[], &[], &measured], None, 0.0).unwrap();
        assert!(text.contains("| 3.00 | 1.00 | 6.00 | 20.0 | 1.50 x |"), "{text}");
        assert!(reached && text.contains("at most 2: reached."), "{text}");

        let (text, reached) = page(&choice, [&[], &[], &[one(NOBODY, 4.0), one(1, 9.0)]], None, 0.0).unwrap();
        assert!(!reached && text.contains("not reached"), "{text}");
        let (_, reached) = page(&choice, [&[], &[], &[one(NOBODY, 10.5)]], None, 0.0).unwrap();
        assert!(!reached);
    }
}
