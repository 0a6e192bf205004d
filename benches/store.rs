//! How many messages a second the store takes, and how long a question or a search takes among a million of them.
//!
//! `cargo bench --bench store`; size by ROWS, CONVERSATIONS and QUERIES,
//! directory by TMPDIR; ONLY_QUESTIONS leaves the appends out. POSTGRES=postgres://... measures that instead,
//! in schemas that it makes and drops.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ircv3::{Cap, CapSet, Casemapping};
use roost::limits::INDEX_LAG;
use roost::server::event::{CallId, ConnId, Event, Returned};
use roost::server::history::{render, select};
use roost::server::record::{
    Border, ConversationId, ConversationRow, HistoryQuery, Kind, MessageRow, Range, Reader, Record, SearchQuery, Seq,
    Wanted,
};
use roost::server::search::words;
use roost::store::{Options, Store, Sync, open};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

const WORDS: &[&str] = &[
    "the",
    "server",
    "keeps",
    "everything",
    "that",
    "anyone",
    "said",
    "yesterday",
    "evening",
    "we",
    "looked",
    "at",
    "https://example.org/a/long/link",
    "and",
    "it",
    "was",
    "fine",
    "über",
    "日本語",
    "so",
    "I",
    "think",
    "that's",
    "ok",
];

fn main() {
    let rows: u64 = number("ROWS", 1_000_000);
    let queries: usize = number("QUERIES", 5000) as usize;
    let only_questions = std::env::var_os("ONLY_QUESTIONS").is_some();
    let syncs: &[_] = if only_questions { &[] } else { &[(Sync::Normal, "normal"), (Sync::Full, "full")] };
    for &(sync, name) in syncs {
        for batch in [1, 10, 100, 1000, 10_000] {
            let database = Database::new();
            let (store, events) = database.start(sync);
            let count = (batch * 2000).min(100_000);
            let (seconds, cpu) = fill(&store, &events, 1, count, batch);
            let rate = count as f64 / seconds;
            let cpu = cpu * 1e6 / count as f64;
            println!("append, sync={name}, {batch:>5} at a time: {rate:>8.0} rows/s, {cpu:>5.1} µs CPU a row");
        }
    }

    for &(sync, name) in syncs {
        let database = Database::new();
        let (store, events) = database.start(sync);
        let mut times = Vec::with_capacity(queries);
        for n in 1..=queries as u64 * 2 {
            let began = Instant::now();
            store.append(vec![(n, Record::Message(Box::new(message(n))))]);
            wait(&events);
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let place = |of_a_thousand: usize| times[times.len() * of_a_thousand / 1000];
        println!(
            "one message to its mark, sync={name}: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
            place(500),
            place(990),
            place(999)
        );
    }

    let database = Database::new();
    let (store, events) = database.start(Sync::Normal);
    let (seconds, cpu) = fill(&store, &events, 1, rows, 1000);
    println!(
        "fill {rows} rows over {} conversations: {:.0} rows/s, {:.1} µs CPU a row",
        conversations(),
        rows as f64 / seconds,
        cpu * 1e6 / rows as f64
    );
    store.close().expect("closed");
    let size = database.size();
    println!("database: {:.0} MiB, {:.0} bytes a row", size as f64 / 1048576.0, size as f64 / rows as f64);

    let began = Instant::now();
    let (store, events) = database.start(Sync::Full);
    println!("start with {rows} rows: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let middle = rows / 2 - rows / 2 % conversations();
    let seq = |n| 1 << 40 | (middle + n);
    ask(&store, &events, queries, "LATEST * 100", 100, true, |_| Range::Latest(None));
    ask(&store, &events, queries, "LATEST * 100, text only", 100, false, |_| Range::Latest(None));
    ask(&store, &events, queries, "LATEST * 1000", 1000, true, |_| Range::Latest(None));
    ask(&store, &events, queries, "BEFORE msgid 100", 100, true, |n| Range::Before(Border::Seq(seq(n))));
    ask(&store, &events, queries, "AFTER a msgid elsewhere 100", 100, true, |n| Range::After(Border::Seq(seq(n + 1))));
    let all: Vec<ConversationId> = (0..conversations()).collect();
    let some = |n: u64, count: u64| (0..count).map(|at| (n * 7919 + at * 31) % conversations()).collect::<Vec<_>>();
    let rare = |n: u64| format!("w{} v{}", n * 31 % 5003, n * 31 % 97);
    search(&store, &events, queries, "two common words, one conversation", |n| (some(n, 1), "server said".into()));
    search(&store, &events, queries, "two rarer words, one conversation", |n| (some(n, 1), rare(n)));
    search(&store, &events, queries, "two common words, 100 conversations", |n| (some(n, 100), "server said".into()));
    search(&store, &events, queries, "two rarer words, 100 conversations", |n| (some(n, 100), rare(n)));
    search(&store, &events, queries / 10, "two common words, all conversations", |_| {
        (all.clone(), "server said".into())
    });
    search(&store, &events, queries / 10, "two rarer words, all conversations", |n| (all.clone(), rare(n)));
    search(&store, &events, queries / 10, "words of which one is nowhere, all conversations", |_| {
        (all.clone(), "server nowhere".into())
    });
    store.close().expect("closed");

    let page: Vec<_> = (0..1000).map(|n| (n, message(n))).collect();
    let began = Instant::now();
    for _ in 0..200 {
        std::hint::black_box(render(&reader(), &page, true));
    }
    println!("render 1000 rows: {:.0} µs", began.elapsed().as_secs_f64() * 1e6 / 200.0);
    let model = select(page.iter().map(|(seq, row)| (*seq, row)), Range::Latest(None), 10, Wanted::ALL, 0, 0);
    assert_eq!(model.0.len(), 10);
}

fn conversations() -> u64 {
    static COUNT: LazyLock<u64> = LazyLock::new(|| number("CONVERSATIONS", 1000));
    *COUNT
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A database of one's own: a file, or a schema of a PostgreSQL.
enum Database {
    File(tempfile::TempDir),
    Schema(String, String),
}

impl Database {
    fn new() -> Database {
        match std::env::var("POSTGRES") {
            Err(_) => Database::File(tempfile::tempdir().expect("a directory")),
            Ok(server) => {
                let name = format!("bench_{:016x}", rand::random::<u64>());
                sql(&server, &format!("CREATE SCHEMA {name}"));
                Database::Schema(server, name)
            }
        }
    }

    fn start(&self, sync: Sync) -> (Store, Receiver<Event>) {
        let url = match self {
            Database::File(dir) => format!("sqlite:{}", dir.path().join("roost.db").display()),
            Database::Schema(server, name) => format!("{server}?options=-c%20search_path%3D{name}"),
        };
        let (sender, events) = channel();
        let deliver = Arc::new(move |event| drop(sender.send(event)));
        (
            open(Options { url, sync, casemapping: Casemapping::Ascii, index_lag: INDEX_LAG }, deliver)
                .expect("the store opens")
                .0,
            events,
        )
    }

    /// Bytes of all messages, with their indexes.
    fn size(&self) -> i64 {
        match self {
            Database::File(dir) => std::fs::metadata(dir.path().join("roost.db")).map_or(0, |file| file.len() as i64),
            Database::Schema(server, name) => sql(server, &format!("SELECT pg_total_relation_size('{name}.message')")),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Database::Schema(server, name) = self {
            sql(server, &format!("DROP SCHEMA {name} CASCADE"));
        }
    }
}

/// Runs a statement; the number that it answers, if it does.
fn sql(server: &str, sql: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options: PgConnectOptions = server.parse().expect("the URL of a PostgreSQL");
        let mut connection = options.connect().await.expect("a connection");
        let answer = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&mut connection);
        answer.await.expect("the statement").unwrap_or_default()
    })
}

/// Appends so many rows, with at most two batches under way; gives seconds passed and CPU seconds used.
fn fill(store: &Store, events: &Receiver<Event>, from: u64, count: u64, batch: u64) -> (f64, f64) {
    let keys = (0..conversations()).map(|id| ConversationRow {
        id,
        key: format!("#channel{id}").into(),
        ..ConversationRow::default()
    });
    store.append(keys.map(|row| (1, Record::Conversation(row))).collect());
    while store.waiting() > 0 {
        wait(events);
    }
    let batches: Vec<Vec<(Seq, Record)>> = (from..from + count)
        .step_by(batch as usize)
        .map(|first| (first..first + batch).map(|n| (1 << 40 | n, Record::Message(Box::new(message(n))))).collect())
        .collect();
    let (began, cpu) = (Instant::now(), cpu());
    for records in batches {
        while store.waiting() > 2 * batch as usize {
            wait(events);
        }
        store.append(records);
    }
    while store.waiting() > 0 {
        wait(events);
    }
    (began.elapsed().as_secs_f64(), self::cpu() - cpu)
}

fn wait(events: &Receiver<Event>) {
    match events.recv_timeout(Duration::from_secs(60)).expect("the store goes on") {
        Event::Committed(_) => {}
        other => panic!("{other:?}"),
    }
}

fn ask(
    store: &Store,
    events: &Receiver<Event>,
    queries: usize,
    name: &str,
    limit: u32,
    events_too: bool,
    range: impl Fn(u64) -> Range,
) {
    measure(events, queries, name, |n| {
        let conversation = n * 7919 % conversations();
        let query = HistoryQuery {
            conversation,
            range: range(conversation),
            limit,
            wanted: Wanted { events: events_too, redactions: events_too, ..Wanted::ALL },
            floor: 0,
            since: 0,
            reader: reader(),
        };
        store.history(CALL, query);
    });
}

/// Looks for words in conversations: the newest 100 messages.
fn search(
    store: &Store,
    events: &Receiver<Event>,
    queries: usize,
    name: &str,
    what: impl Fn(u64) -> (Vec<ConversationId>, String),
) {
    measure(events, queries, name, |n| {
        let (places, text) = what(n);
        let query = SearchQuery {
            places: places.into_iter().map(|place| (place, 0)).collect(),
            floor: 0,
            words: words(&text),
            from: None,
            after: None,
            before: None,
            limit: 100,
            reader: reader(),
        };
        store.search(CALL, query);
    });
}

const CALL: CallId = CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 0 };

fn answer(events: &Receiver<Event>) -> Returned {
    match events.recv_timeout(Duration::from_secs(60)).expect("the store answers") {
        Event::Returned(_, returned) => returned,
        other => panic!("{other:?}"),
    }
}

fn measure(events: &Receiver<Event>, queries: usize, name: &str, question: impl Fn(u64)) {
    let mut times = Vec::with_capacity(queries);
    let (mut messages, mut given_up, cpu) = (0, 0, cpu());
    for n in 0..queries as u64 {
        let began = Instant::now();
        question(n);
        match answer(events) {
            Returned::History(page) => messages += page.messages as usize,
            Returned::TookTooLong => given_up += 1,
            other => panic!("{other:?}"),
        }
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let given_up = if given_up > 0 { format!(", {given_up} GIVEN UP") } else { String::new() };
    println!(
        "{name}: p50 {:.0} µs, p99 {:.0} µs, {:.0} µs CPU, {} messages each{given_up}",
        times[queries / 2],
        times[queries * 99 / 100],
        (self::cpu() - cpu) * 1e6 / queries as f64,
        messages / queries
    );
}

fn reader() -> Reader {
    Reader {
        caps: CapSet::of(&[Cap::MessageTags, Cap::ServerTime, Cap::AccountTag, Cap::Batch]),
        server: "roost.example".into(),
        label: Some("label".into()),
        batch: Some("1".into()),
        batch_type: "chathistory",
        told: None,
        own: Box::default(),
        most: u32::MAX,
        target: "#channel".into(),
        channels: Default::default(),
        epoch: 7,
        nick: "someone".into(),
    }
}

/// Message `n`, of 20 to 300 bytes, from one of a few hundred people.
fn message(n: u64) -> MessageRow {
    let who = n * 31 % 700;
    let words = 4 + n * n % 50;
    let mut text: Vec<_> = (0..words).map(|w| WORDS[(n * 7 + w * w + n / 13) as usize % WORDS.len()]).collect();
    let rarer = [format!("w{}", n % 5003), format!("v{}", n % 97)];
    text.extend(rarer.iter().map(String::as_str));
    MessageRow {
        conversation: n % conversations(),
        time: 1_760_000_000_000 + n,
        kind: if n.is_multiple_of(9) { Kind::Join } else { Kind::Privmsg },
        source: format!("person{who}!user{who}@host-{who}.example.org").into(),
        account: who.is_multiple_of(2).then(|| format!("person{who}").into()),
        bot: false,
        target: format!("#channel{}", n % conversations()).into(),
        tags: n.is_multiple_of(20).then(|| "+draft/reply=0000001000000000001".into()),
        argument: None,
        text: text.join(" ").into(),
    }
}

/// CPU seconds that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
