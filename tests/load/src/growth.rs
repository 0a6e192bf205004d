//! What becomes dearer as there is more of something: members of a channel, users, rows of history. Writes a page with
//! a plot of each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ircv3::{Cap, CapSet, Casemapping, Message};
use roost::limits::INDEX_LAG;
use roost::server::Server;
use roost::server::action::{Actions, NetAction};
use roost::server::event::{CallId, CloseCause, ConnId, Event, Now, Peer, Returned};
use roost::server::record::{
    Border, ConversationRow, HistoryQuery, Kind, MessageRow, Range, Reader, Record, Snapshot, Wanted,
};
use roost::server::settings::Settings;
use roost::store::{Options, Store, Sync, open};

use crate::clients::{Dialect, Wire};
use crate::process::{machine, own_threads_cpu_seconds, says};
use crate::server::{self, Programs, inspircd};
use crate::svg::{Line, Plot};
use crate::table::{median, number};
use crate::workload::{Workload, percentile, run};

/// Members of a channel.
const MEMBERS: [u32; 4] = [10, 100, 1000, 10_000];
/// Users of the state machine.
const USERS: [u32; 3] = [1000, 10_000, 100_000];
/// Members of each of their channels: what a command does for a channel must not hide what it does for all users.
const CHANNEL_MEMBERS: u32 = 20;
/// Rows of history.
const ROWS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Every second row is in one conversation, the others are spread over so many.
const SMALL_CONVERSATIONS: u64 = 100;
/// Rows of one batch: what the store takes in one transaction at most.
const BATCH: u64 = 10_000;
/// How long filling may take in all.
const FILLING: Duration = Duration::from_secs(1200);
/// How often each question is asked; the median counts.
const QUESTIONS: u64 = 300;
/// For how long each command is repeated.
const COMMAND_TIME: Duration = Duration::from_millis(300);

/// What is measured, as the command line has it.
pub struct Choice {
    /// The most rows of history.
    pub rows: u64,
    /// Members up to 1,000, users up to 10,000: a look, not a measurement.
    pub quick: bool,
}

/// The page, in Markdown, and the plots beside it.
pub struct Pages {
    pub page: String,
    /// File name and content.
    pub plots: Vec<(&'static str, String)>,
}

/// What the store was like with so many rows.
struct Filled {
    rows: u64,
    /// Seconds that it took to add those since the last.
    seconds: f64,
    added: u64,
    bytes: u64,
    open_ms: f64,
}

/// Measures all three.
///
/// # Errors
/// A server or the store cannot be started, or does not do what it should.
pub fn measure(choice: &Choice) -> Result<Pages> {
    let (members, failures) = deliveries(choice)?;
    let users = commands(choice)?;
    let (rows, waits, filled) = queries(choice)?;
    let plots = vec![
        (
            "growth-members.svg",
            Plot {
                title: "Processor time of the server for one delivery",
                x: "members of the channel",
                y: "µs for a delivered line",
                lines: &members,
            }
            .svg(),
        ),
        (
            "growth-users.svg",
            Plot {
                title: "Processor time of a command in the state machine",
                x: "users, in channels of 20",
                y: "µs for a command",
                lines: &users,
            }
            .svg(),
        ),
        (
            "growth-rows.svg",
            Plot {
                title: "Processor time of a question for 100 lines of history",
                x: "rows of history",
                y: "ms for a question",
                lines: &rows,
            }
            .svg(),
        ),
    ];
    Ok(Pages { page: page(choice, (&members, &failures), &users, [&rows, &waits], &filled)?, plots })
}

/// Cost per delivery, by members; and what failed.
fn deliveries(choice: &Choice) -> Result<(Vec<Line>, Vec<String>)> {
    let programs = Programs::beside_this()?;
    let roost = server::Kind::Roost { history: true, visible: false };
    let beside = server::Kind::Inspircd { wire: Wire::Plain, capabilities: false };
    let mut series = vec![
        ("floor, 1 in flight", server::Kind::Floor, 1),
        ("Roost, 1 in flight", roost, 1),
        ("floor, 20 in flight", server::Kind::Floor, 20),
        ("Roost, 20 in flight", roost, 20),
    ];
    if inspircd().is_some() {
        series.push(("InspIRCd, 20 in flight", beside, 20));
    }
    let mut lines: Vec<Line> =
        series.iter().map(|(name, ..)| Line { name: (*name).to_owned(), points: Vec::new() }).collect();
    let mut failures = Vec::new();
    for members in MEMBERS.into_iter().filter(|members| !choice.quick || *members <= 1000) {
        for ((name, kind, window), line) in series.iter().zip(&mut lines) {
            // There, only the coming of its members would take many minutes.
            if *kind == beside && members > 1000 {
                continue;
            }
            // Enough that the processor time, which counts in 10 ms, is some hundred of them, but not more lines than
            // the disk takes one after the other in some seconds.
            let deliveries = if *window == 1 { 300_000 } else { 2_000_000 };
            let most = if *window == 1 { 10_000 } else { 100_000 };
            let number = (deliveries / members).clamp(20, most);
            let workload = Workload::Fanout { members, lines: number, window: *window };
            let server = server::Server::start(*kind, &programs)?;
            match run(&workload, server.address(Wire::Plain)?, server.pid(), &Dialect::default()) {
                Ok(figures) => {
                    eprintln!("{name}: {workload}: {:.3} µs for a delivery", figures.cpu_us);
                    line.points.push((f64::from(members), figures.cpu_us));
                }
                Err(error) => {
                    let failure = format!("{name}, `{workload}`: {error:#}");
                    eprintln!("failed: {failure}");
                    failures.push(failure);
                }
            }
        }
    }
    Ok((lines, failures))
}

/// A state machine with users, who are all in channels of [`CHANNEL_MEMBERS`].
struct Crowd {
    server: Server,
    actions: Actions,
    now: Now,
    users: u32,
    /// The next slot that no connection has.
    free: u32,
}

impl Crowd {
    fn new(users: u32) -> Result<Self> {
        let settings = Settings { throttle: None, ..Settings::default() };
        let now = Now { unix_ms: 1_700_000_000_000, mono_ms: 1 };
        let snapshot = Snapshot { boot: 1, epoch: 7, ..Snapshot::default() };
        let server = Server::new(Arc::new(settings), snapshot, 1, now);
        let mut crowd = Self { server, actions: Actions::new(1), now, users, free: users };
        for slot in 0..users {
            crowd.come(slot)?;
            crowd.say(slot, &format!("JOIN #c{}", slot % crowd.channels()))?;
            // So that LIST and WHO find what a stranger finds.
            crowd.say(slot, &format!("MODE u{slot} -i"))?;
        }
        Ok(crowd)
    }

    fn channels(&self) -> u32 {
        self.users / CHANNEL_MEMBERS
    }

    fn come(&mut self, slot: u32) -> Result<()> {
        let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + slot));
        let peer = Peer::new(ip, 1);
        self.happen(Event::Opened(conn(slot), Box::new(peer)));
        self.say(slot, &format!("NICK u{slot}"))?;
        self.say(slot, "USER u 0 * :u")
    }

    fn say(&mut self, slot: u32, line: &str) -> Result<()> {
        let message = Message::parse_client(line).map_err(|error| anyhow!("{line}: {error}"))?;
        self.happen(Event::Line(conn(slot), message));
        Ok(())
    }

    /// Has an event handled, and those that follow from what the server asks for: long answers are read at once.
    fn happen(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.server.handle(self.now, event, &mut self.actions);
            for action in self.actions.net.iter_mut().flat_map(|actions| actions.drain(..)) {
                if let NetAction::WhenDrained { slot } = action {
                    next = Some(Event::Drained(conn(slot)));
                }
            }
            self.actions.store.clear();
            self.actions.calls.clear();
            self.actions.log.clear();
        }
    }

    /// Processor time of one command of a user, µs: the median of ten, each repeated for a tenth of the time.
    fn time(&mut self, command: &Command) -> Result<f64> {
        let mut times = Vec::new();
        let mut n = 0u32;
        for _ in 0..10 {
            let (begun, cpu, mut done) = (Instant::now(), own_threads_cpu_seconds()?, 0u32);
            while done == 0 || begun.elapsed() < COMMAND_TIME / 10 {
                // Users that are far from each other, so that their memory is not at hand.
                let slot = n.wrapping_mul(7919) % self.users;
                (command.run)(self, slot, n)?;
                (n, done) = (n + 1, done + 1);
            }
            times.push((own_threads_cpu_seconds()? - cpu) * 1e6 / f64::from(done));
        }
        median(times.into_iter()).context("no times")
    }
}

/// Something that a user does.
struct Command {
    name: &'static str,
    run: fn(&mut Crowd, u32, u32) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "PRIVMSG to a channel",
        run: |crowd, slot, _| {
            let channel = slot % crowd.channels();
            crowd.say(slot, &format!("PRIVMSG #c{channel} :the quick brown fox jumps over the lazy dog"))
        },
    },
    Command {
        name: "PRIVMSG to a user",
        run: |crowd, slot, n| {
            // The user's hundred friends: each pair has a conversation that the server keeps.
            let friend = (slot + n % 100) % crowd.users;
            crowd.say(slot, &format!("PRIVMSG u{friend} :the quick brown fox jumps over the lazy dog"))
        },
    },
    Command {
        name: "PART and JOIN",
        run: |crowd, slot, _| {
            let channel = slot % crowd.channels();
            crowd.say(slot, &format!("PART #c{channel}"))?;
            crowd.say(slot, &format!("JOIN #c{channel}"))
        },
    },
    Command {
        name: "NICK, there and back",
        run: |crowd, slot, _| {
            crowd.say(slot, &format!("NICK v{slot}"))?;
            crowd.say(slot, &format!("NICK u{slot}"))
        },
    },
    Command {
        name: "coming and going",
        run: |crowd, _, _| {
            let slot = crowd.free;
            crowd.come(slot)?;
            crowd.say(slot, "QUIT :bye")?;
            crowd.happen(Event::Closed(conn(slot), CloseCause::Eof { shown: None }));
            Ok(())
        },
    },
    Command { name: "WHOIS", run: |crowd, slot, _| crowd.say(slot, &format!("WHOIS u{}", slot / 2)) },
    Command {
        name: "WHO of a channel",
        run: |crowd, slot, _| {
            let channel = slot % crowd.channels();
            crowd.say(slot, &format!("WHO #c{channel}"))
        },
    },
    Command { name: "LUSERS", run: |crowd, slot, _| crowd.say(slot, "LUSERS") },
    Command { name: "PING", run: |crowd, slot, _| crowd.say(slot, "PING :x") },
    Command { name: "LIST, to its end", run: |crowd, slot, _| crowd.say(slot, "LIST") },
    Command { name: "WHO *, to its end", run: |crowd, slot, _| crowd.say(slot, "WHO *") },
];

/// Cost per command, by users.
fn commands(choice: &Choice) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> =
        COMMANDS.iter().map(|command| Line { name: command.name.to_owned(), points: Vec::new() }).collect();
    for users in USERS.into_iter().filter(|users| !choice.quick || *users <= 10_000) {
        let mut crowd = Crowd::new(users)?;
        for (command, line) in COMMANDS.iter().zip(&mut lines) {
            let microseconds = crowd.time(command)?;
            eprintln!("{users} users: {}: {microseconds:.2} µs", command.name);
            line.points.push((f64::from(users), microseconds));
        }
    }
    Ok(lines)
}

/// The store, and what it says.
struct Rows {
    store: Store,
    events: Receiver<Event>,
    /// How many there are.
    rows: u64,
}

impl Rows {
    fn open(directory: &Path, sync: Sync, rows: u64) -> Result<Self> {
        let (sender, events) = channel();
        let url = format!("sqlite:{}", directory.join("roost.db").display());
        // Whoever listens no more does not want to know.
        let deliver = Arc::new(move |event| drop(sender.send(event)));
        let (store, _) = open(Options { url, sync, casemapping: Casemapping::Ascii, index_lag: INDEX_LAG }, deliver)?;
        Ok(Self { store, events, rows })
    }

    /// Adds rows until there are so many.
    fn fill(&mut self, rows: u64, deadline: Instant) -> Result<()> {
        if self.rows == 0 {
            let keys = (0..=SMALL_CONVERSATIONS).map(|id| ConversationRow {
                id,
                key: format!("#c{id}").into(),
                ..ConversationRow::default()
            });
            self.store.append(keys.map(|row| (1, Record::Conversation(row))).collect());
        }
        while self.rows < rows {
            let until = (self.rows + BATCH).min(rows);
            let batch = (self.rows..until).map(|n| (seq(n), Record::Message(Box::new(message(n))))).collect();
            self.store.append(batch);
            self.rows = until;
            while self.store.waiting() > 2 * BATCH as usize {
                self.wait()?;
            }
            ensure!(Instant::now() < deadline, "only {until} of {rows} rows were written in {FILLING:?}");
        }
        while self.store.waiting() > 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        match self.events.recv_timeout(Duration::from_secs(60)).context("the store does not go on")? {
            Event::Committed(_) => Ok(()),
            other => bail!("the store said {other:?}"),
        }
    }

    /// Processor time of a question and median time until its answer, ms; `None` where the conversation is too short.
    fn ask(&self, question: &Question) -> Result<Option<(f64, f64)>> {
        let id = CallId { conn: conn(0), serial: 0 };
        let (mut times, cpu) = (Vec::new(), own_threads_cpu_seconds()?);
        for n in 0..QUESTIONS {
            let (conversation, range) = (question.ask)(self.rows, n);
            if conversation != 0 && self.rows < 500 * SMALL_CONVERSATIONS {
                return Ok(None);
            }
            let query =
                HistoryQuery { conversation, range, limit: 100, wanted: TEXT, floor: 0, since: 0, reader: reader() };
            let begun = Instant::now();
            self.store.history(id, query);
            match self.events.recv_timeout(Duration::from_secs(60)).context("the store does not answer")? {
                Event::Returned(_, Returned::History(page)) => {
                    ensure!(page.messages == 100, "{}: only {} messages", question.name, page.messages);
                }
                other => bail!("the store said {other:?}"),
            }
            times.push(u64::try_from(begun.elapsed().as_nanos())?);
        }
        let cpu = (own_threads_cpu_seconds()? - cpu) * 1e3 / QUESTIONS as f64;
        Ok(Some((cpu, percentile(&mut times, 0.5) / 1e6)))
    }
}

/// Which rows are asked for: those that every client can read.
const TEXT: Wanted = Wanted { events: false, redactions: false, edits: false, tagmsgs: false };

/// What is asked for.
struct Question {
    name: &'static str,
    /// By the number of rows and of the question: conversation and range.
    ask: fn(u64, u64) -> (u64, Range),
}

const QUESTIONS_ASKED: &[Question] = &[
    Question { name: "LATEST, a conversation with half of all", ask: |_, _| (0, Range::Latest(None)) },
    Question {
        name: "BEFORE a msgid, the same",
        ask: |rows, n| (0, Range::Before(Border::Seq(seq(somewhere(rows, n))))),
    },
    Question {
        name: "AFTER a msgid, the same",
        ask: |rows, n| (0, Range::After(Border::Seq(seq(somewhere(rows, n))))),
    },
    Question {
        name: "BEFORE a time, the same",
        ask: |rows, n| (0, Range::Before(Border::Time(time(somewhere(rows, n))))),
    },
    Question {
        name: "AROUND a time, the same",
        ask: |rows, n| (0, Range::Around(Border::Time(time(somewhere(rows, n))))),
    },
    Question {
        name: "LATEST, one of 100 others",
        ask: |_, n| (1 + n * 7919 % SMALL_CONVERSATIONS, Range::Latest(None)),
    },
    Question {
        name: "BEFORE a time, one of 100 others",
        ask: |rows, n| {
            (1 + n * 7919 % SMALL_CONVERSATIONS, Range::Before(Border::Time(time(rows / 2 + somewhere(rows, n) / 2))))
        },
    },
];

/// Cost of questions and times until their answers, by rows.
fn queries(choice: &Choice) -> Result<(Vec<Line>, Vec<Line>, Vec<Filled>)> {
    let own = std::env::current_exe()?;
    let near = own.parent().context("this program is in no directory")?;
    let directory = tempfile::Builder::new().prefix("roost-growth-").tempdir_in(near)?;
    let mut lines: Vec<Line> =
        QUESTIONS_ASKED.iter().map(|question| Line { name: question.name.to_owned(), points: Vec::new() }).collect();
    let mut waits = lines.clone();
    let (mut filled, mut rows) = (Vec::new(), 0);
    let deadline = Instant::now() + FILLING;
    for wanted in ROWS.into_iter().filter(|wanted| *wanted <= choice.rows) {
        let mut store = Rows::open(directory.path(), Sync::Normal, rows)?;
        let begun = Instant::now();
        store.fill(wanted, deadline)?;
        let (seconds, added) = (begun.elapsed().as_secs_f64(), wanted - rows);
        store.store.close()?;
        rows = wanted;
        let bytes = std::fs::metadata(directory.path().join("roost.db"))?.len();
        let begun = Instant::now();
        let store = Rows::open(directory.path(), Sync::Full, rows)?;
        let open_ms = begun.elapsed().as_secs_f64() * 1e3;
        eprintln!("{rows} rows: {added} in {seconds:.1} s, {bytes} bytes, open in {open_ms:.1} ms");
        for ((question, line), waits) in QUESTIONS_ASKED.iter().zip(&mut lines).zip(&mut waits) {
            let Some((cpu, wall)) = store.ask(question)? else { continue };
            eprintln!("{rows} rows: {}: {cpu:.3} ms of processor time, median {wall:.3} ms", question.name);
            line.points.push((rows as f64, cpu));
            waits.points.push((rows as f64, wall));
        }
        store.store.close()?;
        filled.push(Filled { rows, seconds, added, bytes, open_ms });
    }
    Ok((lines, waits, filled))
}

fn conn(slot: u32) -> ConnId {
    ConnId { worker: 0, slot }
}

/// A row of the conversation with half of all rows, but none of its first 400.
fn somewhere(rows: u64, n: u64) -> u64 {
    (400 + n * 104_729 % (rows - 800)) & !1
}

fn seq(n: u64) -> u64 {
    1 << 40 | (n + 1)
}

fn time(n: u64) -> u64 {
    1_700_000_000_000 + n * 250
}

fn reader() -> Reader {
    Reader {
        caps: CapSet::of(&[Cap::MessageTags, Cap::ServerTime, Cap::AccountTag, Cap::Batch]),
        server: "irc.load".into(),
        label: None,
        batch: Some("1".into()),
        batch_type: "chathistory",
        told: None,
        own: Box::default(),
        most: u32::MAX,
        target: "#c".into(),
        channels: Default::default(),
        epoch: 7,
        nick: "someone".into(),
    }
}

/// Row `n`: 60 to 160 bytes of text from one of 700 people; one in ten is a JOIN.
fn message(n: u64) -> MessageRow {
    let conversation = if n.is_multiple_of(2) { 0 } else { 1 + n / 2 % SMALL_CONVERSATIONS };
    let who = n * 31 % 700;
    let words =
        "the quick brown fox jumps over the lazy dog and then it sits down to read a while, for it is raining; ";
    let text = format!("{n} {}{}", words, &words[..n as usize * 7 % words.len()]);
    MessageRow {
        conversation,
        time: time(n),
        // In every conversation, not only in each tenth.
        kind: if (n / 2 + n / 2 / SMALL_CONVERSATIONS).is_multiple_of(10) { Kind::Join } else { Kind::Privmsg },
        source: format!("person{who}!user{who}@host-{who}.example.org").into(),
        account: who.is_multiple_of(2).then(|| format!("person{who}").into()),
        bot: false,
        target: format!("#c{conversation}").into(),
        tags: None,
        argument: None,
        text: text.into(),
    }
}

fn page(
    choice: &Choice,
    (members, failures): (&[Line], &[String]),
    users: &[Line],
    [rows, waits]: [&[Line]; 2],
    filled: &[Filled],
) -> Result<String> {
    let mut page = String::new();
    let date = says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(|| "at an unknown time".to_owned());
    let quick = if choice.quick { " --quick" } else { "" };
    writeln!(
        page,
        "# Growth\n\n\
         What `cargo run --release -p roost-load -- growth --rows {}{quick}` measured on {date}\n({}).\n\
         \"Times\" is the last number divided by the first.\n",
        choice.rows,
        machine()
    )?;
    writeln!(page, "## Members of a channel\n\n![Processor time for one delivery](growth-members.svg)\n")?;
    writeln!(
        page,
        "µs of the server's processor time for one delivery, all threads and the kernel's work for it included. What a\n\
         line costs once (reading, storing, fsync) is shared by all its deliveries, so a delivery becomes cheaper with\n\
         the members until that share is gone; what is then left is mostly the kernel's system call for each socket,\n\
         which the floor needs too, and which with more lines in flight is made once for several lines. From 1,000 to\n\
         10,000 members, state of sockets and connections no longer fits the processor's caches.\n"
    )?;
    table(&mut page, "members", members)?;
    for failure in failures {
        writeln!(page, "\nFailed, and has no point: {failure}")?;
    }
    writeln!(page, "\n## Users\n\n![Processor time of a command in the state machine](growth-users.svg)\n")?;
    writeln!(
        page,
        "µs of processor time in the state machine, without sockets and disk. Every command that is about one user or one\n\
         channel finds it by hash: what it costs grows only by cache misses, which with 100,000 users in memory nearly\n\
         every look-up is. `LIST` and `WHO *` have an answer that grows with the network, and their whole answer is what\n\
         is timed here; it is made in pages of at most 1,000 entries, between which everyone else is served. `WHO *`\n\
         grows faster than the users: for each it looks at their channels, which are in no cache either.\n"
    )?;
    table(&mut page, "users", users)?;
    writeln!(page, "\n## Rows of history\n\n![Processor time of a question for 100 lines](growth-rows.svg)\n")?;
    writeln!(
        page,
        "ms of processor time from the question to the rendered answer of 100 lines, mean of {QUESTIONS}, with SQLite's file\n\
         in the kernel's cache. Whatever is asked for, an index leads to where the answer begins, and the answer's own\n\
         rows are read: with a thousand times the rows, the index is one or two pages deeper, and that is all that grows.\n\
         A conversation whose rows lie far from each other among all others' takes about twice as long, with any number\n\
         of rows: each row of its answer is on a page of its own. With 10,000 rows, none of these has 100 lines.\n"
    )?;
    table(&mut page, "rows", rows)?;
    writeln!(page, "\nThe same, ms until the answer is there, median; it depends on what else the machine does.\n")?;
    table(&mut page, "rows", waits)?;
    writeln!(page, "\n| rows | added | in, s | rows a second | file, MiB | bytes a row | start, ms |")?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for Filled { rows, seconds, added, bytes, open_ms } in filled {
        let (rate, mib, each) = (*added as f64 / seconds, *bytes as f64 / 1_048_576.0, *bytes as f64 / *rows as f64);
        let cells = [*seconds, rate, mib, each, *open_ms].map(number).join(" | ");
        writeln!(page, "| {} | {} | {cells} |", whole(*rows as f64), whole(*added as f64))?;
    }
    Ok(page)
}

/// A row for each line of a plot, and how far its last point is above its first.
fn table(page: &mut String, what: &str, lines: &[Line]) -> Result<()> {
    let mut columns: BTreeMap<u64, ()> = BTreeMap::new();
    columns.extend(lines.iter().flat_map(|line| &line.points).map(|point| (point.0 as u64, ())));
    let heads: Vec<String> = columns.keys().map(|column| whole(*column as f64)).collect();
    writeln!(page, "| {what} | {} | times |", heads.join(" | "))?;
    writeln!(page, "| --- |{} --- |", " --- |".repeat(heads.len()))?;
    for line in lines {
        let cell = |column: &u64| line.points.iter().find(|point| point.0 as u64 == *column);
        let cells: Vec<String> =
            columns.keys().map(|column| cell(column).map_or("-".to_owned(), |point| number(point.1))).collect();
        let times = line.points.first().zip(line.points.last()).map_or(0.0, |(first, last)| last.1 / first.1);
        writeln!(page, "| {} | {} | {} |", line.name, cells.join(" | "), number(times))?;
    }
    Ok(())
}

/// A whole number, its digits in threes.
fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{COMMANDS, Crowd, Line, QUESTIONS_ASKED, Rows, Sync, conn, table, whole};
    use std::time::{Duration, Instant};

    #[test]
    fn whole_numbers_have_their_digits_in_threes() {
        assert_eq!([1.0, 999.0, 1000.0, 10_000_000.0].map(whole), ["1", "999", "1,000", "10,000,000"]);
    }

    #[test]
    fn a_table_says_how_much_more_the_last_is() {
        let mut page = String::new();
        let line = |name: &str, points: &[(f64, f64)]| Line { name: name.to_owned(), points: points.to_vec() };
        table(&mut page, "x", &[line("a", &[(10.0, 2.0), (1000.0, 8.0)]), line("b", &[(10.0, 1.0)])]).unwrap();
        assert!(page.contains("| x | 10 | 1,000 | times |"), "{page}");
        assert!(page.contains("| a | 2.00 | 8.00 | 4.00 |") && page.contains("| b | 1.00 | - | 1.00 |"), "{page}");
    }

    #[test]
    fn every_command_leaves_the_crowd_as_it_was() {
        let mut crowd = Crowd::new(100).unwrap();
        for _ in 0..3 {
            for (n, command) in (0..).zip(COMMANDS) {
                (command.run)(&mut crowd, n * 7, n).unwrap();
            }
        }
        // Whoever came has gone: its slot is free, and its nick, and it can come again.
        assert_eq!(crowd.free, 100);
        crowd.come(100).unwrap();
        assert_eq!(conn(100).slot, 100);
    }

    #[test]
    fn every_question_has_its_answer() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Rows::open(directory.path(), Sync::Normal, 0).unwrap();
        store.fill(4000, Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(store.ask(&QUESTIONS_ASKED[5]).unwrap(), None, "too short");
        store.fill(50_000, Instant::now() + Duration::from_secs(60)).unwrap();
        for question in QUESTIONS_ASKED {
            let (cpu, wall) = store.ask(question).unwrap().unwrap();
            assert!(cpu > 0.0 && wall > 0.0);
        }
        store.store.close().unwrap();
    }
}
