//! The comparison: which workloads, what Roost must reach in each, and the page that says what it reached.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clients::{Dialect, Wire};
use crate::process::{machine, machine_and_own_cpu_seconds, says, wait_for_quiet};
use crate::server::{Kind, Programs, Server, inspircd};
use crate::workload::{Figures, HISTORY_CAPABILITIES, Workload, run};

/// Clients that are registered where registrations are measured.
const CONNECTING: u32 = 5000;

/// What is measured, as the command line has it.
pub struct Choice {
    pub runs: u32,
    /// A quarter of the lines.
    pub quick: bool,
    /// Asked for by Roost's clients.
    pub caps: Vec<String>,
    /// Whether also with 15,000 clients.
    pub crowd: bool,
    /// How long to wait in all for other programs to leave the machine alone.
    pub patience: Duration,
    /// Leaves out the workloads whose name does not begin so.
    pub only: String,
}

/// A row of the table.
struct Row {
    workload: Workload,
    figure: Figure,
    way: Way,
    /// Whether the floor and InspIRCd can do it, too.
    beside: bool,
    target: Target,
}

/// Which figure of the workload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Cpu,
    Resident,
    Lines,
    Median,
    NinetyNine,
}

/// How the server runs, and how its clients speak with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Plain lines; what Roost says is durable.
    Plain,
    WithoutHistory,
    Tls,
    Websocket,
    /// A third of the clients with every capability of [`MIXED`].
    Mixed,
}

/// The share of others in the processor time that was used, above which times and rates say nothing.
const LOUD: f64 = 0.25;

/// The capabilities of mixed clients, which take these sets in turn.
const MIXED: [&str; 3] = [
    "account-notify account-tag away-notify batch echo-message extended-join labeled-response message-tags server-time",
    "message-tags server-time",
    "",
];

/// What Roost must reach.
#[derive(Clone, Copy)]
enum Target {
    /// Nobody has said.
    None,
    /// At most so many times what the floor takes.
    TimesFloor(f64),
    AtMost(f64),
    AtLeast(f64),
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Floor,
    Inspircd(Way),
    Roost(Way),
}

/// One workload with one contender, once.
struct Measured {
    workload: Workload,
    contender: Contender,
    turn: u32,
    figures: Result<Figures, String>,
}

/// Runs everything and returns the page, in Markdown.
///
/// # Errors
/// Roost is not there, or this is not a release build. What goes wrong in a single workload is in the page.
pub fn measure(choice: &Choice) -> Result<String> {
    let programs = Programs::beside_this()?;
    let mut rows = rows(choice.quick, !choice.quick && choice.crowd);
    rows.retain(|row| row.workload.to_string().starts_with(&choice.only));
    ensure!(!rows.is_empty(), "no workload begins with {:?}", choice.only);
    let inspircd = inspircd();
    let plan = plan(&rows, inspircd.is_some());
    let (machine_before, own_before) = machine_and_own_cpu_seconds()?;
    let (mut measured, mut patience) = (Vec::new(), choice.patience);
    for turn in 0..choice.runs {
        for (workload, contender) in &plan {
            // Of a crowd only the coming takes minutes.
            if turn > 0 && matches!(workload, Workload::Crowd { .. }) {
                continue;
            }
            wait_for_quiet(&mut patience, |time| {
                std::thread::sleep(time);
                Ok(())
            })?;
            let figures = once(workload, *contender, &programs, &choice.caps).map_err(|error| format!("{error:#}"));
            match &figures {
                Ok(figures) => eprintln!("{}/{}: {workload}, {contender}: {figures:?}", turn + 1, choice.runs),
                Err(error) => eprintln!("{}/{}: {workload}, {contender}: failed: {error}", turn + 1, choice.runs),
            }
            measured.push(Measured { workload: workload.clone(), contender: *contender, turn, figures });
        }
    }
    let (machine_after, own_after) = machine_and_own_cpu_seconds()?;
    let others = share_of_others(machine_after - machine_before, own_after - own_before);
    page(choice, &rows, &measured, inspircd.as_deref(), others)
}

fn rows(quick: bool, crowded: bool) -> Vec<Row> {
    let fewer = |lines: u32| if quick { lines / 4 } else { lines };
    let fanout = |lines, window| Workload::Fanout { members: 1000, lines: fewer(lines), window };
    let rooms = Workload::Rooms { rooms: 100, members: 10, lines: fewer(1000), window: 5 };
    let connect = Workload::Connect { clients: CONNECTING };
    let paced = Workload::Paced { members: 500, lines: fewer(500), per_second: 100 };
    let history = Workload::History { lines: fewer(20_000), queries: fewer(500) };
    let row = |workload: &Workload, figure, way, target| {
        let beside = !matches!(workload, Workload::History { .. });
        Row { workload: workload.clone(), figure, way, beside, target }
    };
    let crowd = Workload::Crowd { members: 15_000, processes: 3, lines: fewer(200), window: 20 };
    let mut rows = vec![
        row(&fanout(300, 1), Figure::Cpu, Way::Plain, Target::TimesFloor(1.25)),
        row(&fanout(2000, 20), Figure::Cpu, Way::Plain, Target::TimesFloor(1.8)),
        row(&fanout(2000, 20), Figure::Cpu, Way::Mixed, Target::None),
        row(&fanout(2000, 20), Figure::Cpu, Way::Tls, Target::None),
        row(&fanout(2000, 20), Figure::Cpu, Way::Websocket, Target::None),
        row(&fanout(4000, 200), Figure::Cpu, Way::Plain, Target::TimesFloor(3.0)),
        row(&rooms, Figure::Cpu, Way::Plain, Target::TimesFloor(3.5)),
        row(&rooms, Figure::Cpu, Way::WithoutHistory, Target::TimesFloor(1.3)),
        row(&rooms, Figure::Lines, Way::Plain, Target::AtLeast(40_000.0)),
        row(&connect, Figure::Cpu, Way::Plain, Target::AtMost(40.0)),
        row(&connect, Figure::Cpu, Way::Tls, Target::None),
        row(&connect, Figure::Cpu, Way::Websocket, Target::None),
        row(&connect, Figure::Resident, Way::Plain, Target::AtMost(2.0)),
        row(&connect, Figure::Resident, Way::Tls, Target::AtMost(12.0)),
        row(&connect, Figure::Resident, Way::Websocket, Target::None),
        row(&paced, Figure::NinetyNine, Way::Plain, Target::TimesFloor(1.42)),
        row(&paced, Figure::NinetyNine, Way::WithoutHistory, Target::None),
        row(&paced, Figure::NinetyNine, Way::Mixed, Target::None),
        row(&paced, Figure::NinetyNine, Way::Tls, Target::None),
        row(&paced, Figure::NinetyNine, Way::Websocket, Target::None),
        row(&history, Figure::Median, Way::Plain, Target::AtMost(0.5)),
    ];
    if crowded {
        rows.push(row(&crowd, Figure::Cpu, Way::Plain, Target::None));
        rows.push(row(&crowd, Figure::NinetyNine, Way::Plain, Target::None));
    }
    rows
}

/// What is run in one turn, in order: all contenders of a workload one after the other, each once.
fn plan(rows: &[Row], inspircd: bool) -> Vec<(Workload, Contender)> {
    let mut workloads: Vec<&Workload> = rows.iter().map(|row| &row.workload).collect();
    workloads.dedup();
    let mut plan: Vec<(Workload, Contender)> = Vec::new();
    for workload in workloads {
        let mut add = |contender| {
            let step = (workload.clone(), contender);
            if !plan.contains(&step) {
                plan.push(step);
            }
        };
        let rows: Vec<&Row> = rows.iter().filter(|row| row.workload == *workload).collect();
        if rows.iter().any(|row| row.beside) {
            add(Contender::Floor);
        }
        for row in rows {
            if row.beside && inspircd {
                add(row.way.inspircd());
            }
            add(Contender::Roost(row.way));
        }
    }
    plan
}

fn once(workload: &Workload, contender: Contender, programs: &Programs, caps: &[String]) -> Result<Figures> {
    let (kind, way) = match contender {
        Contender::Floor => (Kind::Floor, Way::Plain),
        Contender::Inspircd(way) => {
            (Kind::Inspircd { wire: way.wire(), capabilities: way == Way::Mixed || !caps.is_empty() }, way)
        }
        Contender::Roost(way) => (Kind::Roost { history: way != Way::WithoutHistory, visible: false }, way),
    };
    let capabilities = match (contender, way) {
        (Contender::Floor, _) => Vec::new(),
        (_, Way::Mixed) => MIXED.map(str::to_owned).into(),
        _ => caps.to_vec(),
    };
    let server = Server::start(kind, programs)?;
    let dialect = Dialect { capabilities, wire: way.wire(), source: None };
    run(workload, server.address(way.wire())?, server.pid(), &dialect).with_context(|| match server.last_words() {
        words if words.is_empty() => "the server said nothing".to_owned(),
        words => format!("the server's last words: {words}"),
    })
}

fn page(choice: &Choice, rows: &[Row], measured: &[Measured], inspircd: Option<&str>, others: f64) -> Result<String> {
    let mut page = String::new();
    let date = says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(|| "at an unknown time".to_owned());
    let commit = says("git", &["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short=10", "HEAD"]);
    let commit = commit.map_or_else(String::new, |commit| format!(", commit {commit}"));
    let command = match (choice.quick, choice.crowd) {
        (true, _) => " --quick",
        (false, false) => " --no-crowd",
        (false, true) => "",
    };
    let command = match choice.only.as_str() {
        "" => command.to_owned(),
        only => format!("{command} --only {only:?}"),
    };
    let caps: String = choice.caps.iter().map(|set| format!(" --caps {set:?}")).collect();
    writeln!(
        page,
        "# Speed\n\n\
         What `cargo run --release -p roost-load -- table --runs {}{command}{caps}` printed on {date}\n\
         ({}{commit}).\n",
        choice.runs,
        machine()
    )?;
    writeln!(
        page,
        "The floor is an epoll loop that knows no IRC and passes on the same bytes. InspIRCd {} keeps no\n\
         history; Roost stores every line before anyone sees it, fsync included, where the table does not say otherwise.\n\
         All clients are on loopback and share the processors with the server. Each number is the median of {}; a\n\
         ratio (x) is the median of the ratios to the floor in the same turn. \"Single turns\" has the least and the most\n\
         of what Roost is judged by. `crowd` is run once: its members, in three processes, come from 127.0.0.1 and\n\
         127.0.0.2. The floor has plain lines only: beside it, a ratio over TLS has the cost of TLS in it. Of mixed\n\
         clients, a third each asks for `{}` (and labels its lines), `{}`, and nothing.\n",
        inspircd.map_or_else(|| "(not installed here)".to_owned(), |version| format!("({version})")),
        if choice.runs == 1 { "1 run".to_owned() } else { format!("{} runs", choice.runs) },
        MIXED[0],
        MIXED[1],
    )?;
    writeln!(page, "| workload | figure | floor | InspIRCd | Roost | single turns | Roost must reach | reached |")?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for row in rows {
        writeln!(page, "{}", cells(row, measured, inspircd.is_some(), others))?;
    }
    writeln!(
        page,
        "\nHow far to trust it: other programs on this machine took {:.0} % of the processor time that was used\n\
         meanwhile{}. What the host of a virtual machine does beside it is not seen from inside; it shows in how far\n\
         single turns differ. Latencies are seen by clients that share the processors with the server, so they include\n\
         the clients' own work, in the floor's column too. Processor time counts in steps of 10 ms, which is {} µs of a\n\
         registration in `connect`. Memory is what is resident 12 s after the last client came, with what the allocator\n\
         keeps then. `paced` may take 1.42 times as long as the floor: that was InspIRCd's time, 4.4 ms beside a floor\n\
         of 3.1. Where a ratio is below 1, it is because Roost, which waits for the disk, passes on more lines at a\n\
         time than the floor. The words of what was said go into the index for SEARCH when nothing else waits for the\n\
         disk, some 10 µs a message: where a workload ends before, that is not in its figures. Times and rates without\n\
         a ratio depend on the machine. `history` asks for `{HISTORY_CAPABILITIES}`,\n\
         the others for {}.",
        others * 100.0,
        if others > 0.05 {
            ", which is not quiet: latencies are longer and rates lower than they would be"
        } else {
            ""
        },
        number(10_000.0 / f64::from(CONNECTING)),
        if choice.caps.is_empty() { "no capabilities" } else { "what `--caps` says, where they are Roost's" }
    )?;
    if choice.quick {
        writeln!(
            page,
            "\nThis was a quick look: a quarter of the lines, one run. It says little about small differences."
        )?;
    }
    let failures: Vec<&Measured> = measured.iter().filter(|measured| measured.figures.is_err()).collect();
    if !failures.is_empty() {
        writeln!(page, "\nWhat failed, and is in no median:\n")?;
        for Measured { workload, contender, turn, figures } in failures {
            let error = figures.as_ref().err().map_or("", String::as_str);
            writeln!(page, "- turn {}, `{workload}`, {contender}: {error}", turn + 1)?;
        }
    }
    Ok(page)
}

/// A row as a line of the table.
fn cells(row: &Row, measured: &[Measured], inspircd: bool, others: f64) -> String {
    let roost = Contender::Roost(row.way);
    let values = |contender| values(row, measured, contender);
    // Ratios say how much more work is done; a line rate is not work.
    let ratio = |contender| match row.figure {
        Figure::Lines => None,
        _ if !row.beside => None,
        _ => ratio(&values(contender), &values(Contender::Floor)),
    };
    let cell = |contender| match (median(values(contender).into_iter().flatten()), ratio(contender)) {
        (None, _) => "failed".to_owned(),
        (Some(value), Some(ratio)) if contender != Contender::Floor => format!("{} ({ratio:.2} x)", number(value)),
        (Some(value), _) => number(value),
    };
    let beside = |contender| if row.beside { cell(contender) } else { "-".to_owned() };
    let inspircd = match inspircd {
        true => beside(row.way.inspircd()),
        false => "not installed".to_owned(),
    };
    let reached = match row.target {
        Target::None => None,
        Target::TimesFloor(most) => ratio(roost).map(|ratio| ratio <= most),
        Target::AtMost(most) => median(values(roost).into_iter().flatten()).map(|value| value <= most),
        Target::AtLeast(least) => median(values(roost).into_iter().flatten()).map(|value| value >= least),
    };
    let reached = match reached {
        Some(_) if others > LOUD && row.figure.is_time() => "too much else ran",
        Some(true) => "yes",
        Some(false) => "no",
        None if matches!(row.target, Target::None) => "-",
        None => "not measured",
    };
    // What the target is about, in the turn where it was least and where it was most.
    let turns = match row.target {
        Target::TimesFloor(_) => spread(ratios(&values(roost), &values(Contender::Floor)), " x"),
        Target::None if ratio(roost).is_some() => spread(ratios(&values(roost), &values(Contender::Floor)), " x"),
        Target::None | Target::AtMost(_) | Target::AtLeast(_) => spread(values(roost).into_iter().flatten(), ""),
    };
    let how = row.way.name();
    format!(
        "| `{}`{how} | {} | {} | {inspircd} | {} | {turns} | {} | {reached} |",
        row.workload,
        row.figure.name(&row.workload),
        beside(Contender::Floor),
        cell(roost),
        row.target.name()
    )
}

/// The figure of a row, in every turn; `None` where it failed.
fn values(row: &Row, measured: &[Measured], contender: Contender) -> Vec<Option<f64>> {
    let ours = measured.iter().filter(|one| one.workload == row.workload && one.contender == contender);
    ours.map(|one| one.figures.as_ref().ok().map(|figures| row.figure.of(figures))).collect()
}

/// The median of the ratios of what was measured in the same turn. Without any: `None`.
fn ratio(values: &[Option<f64>], floor: &[Option<f64>]) -> Option<f64> {
    median(ratios(values, floor))
}

fn ratios(values: &[Option<f64>], floor: &[Option<f64>]) -> impl Iterator<Item = f64> {
    let pairs = values.iter().zip(floor).filter_map(|(value, floor)| (*value).zip(*floor));
    pairs.filter(|(_, floor)| *floor > 0.0).map(|(value, floor)| value / floor)
}

/// The least and the most.
fn spread(values: impl Iterator<Item = f64>, unit: &str) -> String {
    let values: Vec<f64> = values.collect();
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    match least.zip(most) {
        Some((least, most)) if values.len() > 1 => format!("{} to {}{unit}", number(least), number(most)),
        _ => "-".to_owned(),
    }
}

/// The one in the middle, or the mean of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[values.len() / 2 - 1] + upper) / 2.0) }
}

/// What part of the machine's busy time was not this program's and its children's. Both round: never below 0.
pub fn share_of_others(machine: f64, own: f64) -> f64 {
    if machine <= 0.0 { 0.0 } else { ((machine - own) / machine).max(0.0) }
}

/// As many digits as a measurement has.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{},{:03}", value as i64 / 1000, (value as i64 % 1000).abs()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Figure {
    fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Cpu => figures.cpu_us,
            Self::Resident => figures.resident_kib,
            Self::Lines => figures.lines_per_second,
            Self::Median => figures.p50_ms,
            Self::NinetyNine => figures.p99_ms,
        }
    }

    /// Whether it says what the clients see, which depends on what else the machine does.
    fn is_time(self) -> bool {
        matches!(self, Self::Lines | Self::Median | Self::NinetyNine)
    }

    fn name(self, workload: &Workload) -> &'static str {
        match (self, workload) {
            (Self::Cpu, Workload::Connect { .. }) => "server's processor time for a registration, µs",
            (Self::Cpu, Workload::History { .. }) => "server's processor time for a request, µs",
            (Self::Cpu, _) => "server's processor time for a delivered line, µs",
            (Self::Resident, _) => "resident memory for an idle client, KiB",
            (Self::Lines, _) => "lines taken in, a second",
            (Self::Median, _) => "time until the latest 100 lines are there, ms, median",
            (Self::NinetyNine, _) => "time from client to client, ms, 99 of 100 are shorter",
        }
    }
}

impl Way {
    fn wire(self) -> Wire {
        match self {
            Self::Plain | Self::WithoutHistory | Self::Mixed => Wire::Plain,
            Self::Tls => Wire::Tls,
            Self::Websocket => Wire::Websocket,
        }
    }

    /// InspIRCd in the same way. It never has history.
    fn inspircd(self) -> Contender {
        Contender::Inspircd(if self == Self::WithoutHistory { Self::Plain } else { self })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::WithoutHistory => ", without history",
            Self::Tls => ", over TLS",
            Self::Websocket => ", over WebSocket",
            Self::Mixed => ", mixed capabilities",
        }
    }
}

impl Target {
    fn name(self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::TimesFloor(most) => format!("at most {most} x"),
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {}", number(least)),
        }
    }
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Floor => f.write_str("floor"),
            Self::Inspircd(way) => write!(f, "InspIRCd{}", way.name()),
            Self::Roost(way) => write!(f, "Roost{}", way.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Contender, Figure, Figures, Measured, Row, Target, Way, Workload, cells, median, number, plan, ratio, rows,
        share_of_others, spread,
    };

    const CONNECT: Workload = Workload::Connect { clients: 5 };

    fn measured(contender: Contender, cpu_us: Option<f64>) -> Measured {
        let figures = cpu_us.map(|cpu_us| Figures { cpu_us, ..Figures::default() }).ok_or_else(|| "broken".to_owned());
        Measured { workload: CONNECT, contender, turn: 0, figures }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn ratios_are_of_the_same_turn() {
        // The machine was ten times slower in the second turn: that is not Roost's.
        assert_eq!(ratio(&[Some(2.0), Some(20.0), Some(3.0)], &[Some(1.0), Some(10.0), Some(1.0)]), Some(2.0));
        assert_eq!(ratio(&[Some(2.0), None, Some(9.0)], &[None, Some(1.0), Some(3.0)]), Some(3.0));
        assert_eq!(ratio(&[Some(2.0)], &[Some(0.0)]), None);
    }

    #[test]
    fn a_row_has_values_ratios_and_whether_the_target_is_reached() {
        let row = |most| Row {
            workload: CONNECT,
            figure: Figure::Cpu,
            way: Way::Plain,
            beside: true,
            target: Target::TimesFloor(most),
        };
        let roost = Contender::Roost(Way::Plain);
        let mut results = vec![measured(Contender::Floor, Some(2.0)), measured(roost, Some(5.0))];
        let what = "| `connect 5` | server's processor time for a registration, µs | 2.00";
        assert_eq!(
            cells(&row(2.5), &results, false, 0.9),
            format!("{what} | not installed | 5.00 (2.50 x) | - | at most 2.5 x | yes |")
        );
        results.push(measured(Contender::Inspircd(Way::Plain), Some(3.0)));
        assert_eq!(
            cells(&row(2.4), &results, true, 0.9),
            format!("{what} | 3.00 (1.50 x) | 5.00 (2.50 x) | - | at most 2.4 x | no |")
        );
        results[1] = measured(roost, None);
        assert_eq!(
            cells(&row(2.4), &results, true, 0.9),
            format!("{what} | 3.00 (1.50 x) | failed | - | at most 2.4 x | not measured |")
        );
    }

    #[test]
    fn what_clients_see_is_not_judged_where_others_use_the_machine() {
        let row = Row {
            workload: CONNECT,
            figure: Figure::NinetyNine,
            way: Way::Plain,
            beside: false,
            target: Target::AtMost(1.0),
        };
        let results = [measured(Contender::Roost(Way::Plain), Some(2.0))];
        assert!(cells(&row, &results, true, 0.1).ends_with("| yes |"));
        assert!(cells(&row, &results, true, 0.9).ends_with("| too much else ran |"));
    }

    #[test]
    fn every_row_is_measured_beside_its_floor_and_nothing_twice() {
        let rows = rows(false, true);
        let plan = plan(&rows, true);
        for row in &rows {
            let times = |contender| plan.iter().filter(|step| **step == (row.workload.clone(), contender)).count();
            assert_eq!(times(Contender::Roost(row.way)), 1);
            assert!(!row.beside || (times(Contender::Floor) == 1 && times(row.way.inspircd()) == 1));
        }
    }

    #[test]
    fn a_spread_takes_two_turns() {
        assert_eq!(spread([1.5, 1.0, 2.0].into_iter(), " x"), "1.00 to 2.00 x");
        assert_eq!(spread([1.5].into_iter(), " x"), "-");
        assert_eq!(spread([].into_iter(), ""), "-");
    }

    #[test]
    fn others_are_what_is_not_ours() {
        assert_eq!(share_of_others(10.0, 7.5), 0.25);
        assert_eq!(share_of_others(10.0, 11.0), 0.0);
        assert_eq!(share_of_others(0.0, 0.0), 0.0);
    }

    #[test]
    fn numbers_have_the_digits_of_a_measurement() {
        assert_eq!([0.0884, 1.4249, 16.04, 184.4, 40_007.6].map(number), ["0.088", "1.42", "16.0", "184", "40,007"]);
    }
}
