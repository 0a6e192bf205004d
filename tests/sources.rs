//! Reads `src/server` and refuses what would end its determinism: clocks, randomness, I/O, threads, locks, and
//! iteration over hash maps.
//!
//! The scanner knows Rust only by its words: comments and texts in quotes are taken out first, and what stands
//! below `#[cfg(test)]` is not looked at. A hash map is known by its declared type: by a binding or field that has
//! it in the same file, and by a field in any other.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    file: String,
    line: usize,
    rule: &'static str,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.text.trim())
    }
}

const CLOCK: &str = "no clock: time is handed in as `Now`";
const RANDOM: &str = "no randomness: what must be random is handed in";
const INPUT: &str = "no I/O: ask for it with an `Action`, and it comes back as an `Event`";
const THREAD: &str = "no threads or waiting: one thread owns the state";
const LOCK: &str = "no locks or atomics: one thread owns the state";
const PRINT: &str = "no output: say it with `Server::log`";
const CHANGE: &str = "only a `Change` gets a number, where it is applied: see `Server::submit`";
const ORDER: &str = "no iteration over a hash map: its order would reach clients";

/// Words that must not stand in the state machine.
const FORBIDDEN: &[(&str, &str)] = &[
    ("Instant", CLOCK),
    ("SystemTime", CLOCK),
    ("UNIX_EPOCH", CLOCK),
    ("std::time", CLOCK),
    ("chrono::", CLOCK),
    ("rand::", RANDOM),
    ("getrandom", RANDOM),
    ("thread_rng", RANDOM),
    ("RandomState::new", RANDOM),
    ("RandomState::default", RANDOM),
    ("DefaultHasher", RANDOM),
    ("uuid::", RANDOM),
    ("std::fs", INPUT),
    ("std::io", INPUT),
    ("std::env", INPUT),
    ("std::process", INPUT),
    ("std::os", INPUT),
    ("TcpStream", INPUT),
    ("TcpListener", INPUT),
    ("UdpSocket", INPUT),
    ("UnixStream", INPUT),
    ("UnixListener", INPUT),
    ("ToSocketAddrs", INPUT),
    ("tokio", INPUT),
    ("sqlx", INPUT),
    ("rustls", INPUT),
    ("socket2", INPUT),
    ("tungstenite", INPUT),
    ("std::thread", THREAD),
    ("thread::", THREAD),
    ("thread_local!", THREAD),
    ("mpsc", THREAD),
    ("async", THREAD),
    (".await", THREAD),
    ("Mutex", LOCK),
    ("RwLock", LOCK),
    ("Condvar", LOCK),
    ("Atomic", LOCK),
    ("std::sync::atomic", LOCK),
    ("OnceLock", LOCK),
    ("LazyLock", LOCK),
    ("OnceCell", LOCK),
    ("static mut", LOCK),
    ("println!", PRINT),
    ("eprintln!", PRINT),
    ("print!", PRINT),
    ("eprint!", PRINT),
    ("dbg!", PRINT),
    ("tracing::", PRINT),
];

/// Types whose order depends on a random seed.
const HASHED: &[&str] = &["HashMap", "HashSet", "AHashMap", "AHashSet"];
/// What walks over a whole map. `retain` does too, but says nothing of its order.
const WALKS: &[&str] = &[
    "iter",
    "iter_mut",
    "keys",
    "values",
    "values_mut",
    "drain",
    "into_iter",
    "into_keys",
    "into_values",
    "extract_if",
];

/// Before a name that a hash map has too, this is another thing, of a fixed order: rows of a database.
const LISTS: &str = "snapshot.";

/// Faults of the given files.
fn scan(files: &[(String, String)]) -> Vec<Fault> {
    let code: Vec<(&str, Vec<String>)> = files.iter().map(|(file, text)| (&**file, code_of(text))).collect();
    let hashed: BTreeSet<String> =
        code.iter().flat_map(|(_, lines)| lines).flat_map(|line| hashed_names(line)).collect();
    let mut faults = Vec::new();
    for (file, lines) in &code {
        // A call may stand on the line below what it is called on.
        let joined = chains(lines);
        let own: BTreeSet<String> = lines.iter().flat_map(|line| hashed_names(line)).collect();
        for (at, line) in lines.iter().enumerate() {
            let mut fault = |rule, text: &str| {
                faults.push(Fault { file: (*file).to_owned(), line: at + 1, rule, text: text.to_owned() });
            };
            for (word, rule) in FORBIDDEN {
                // `UNIX_EPOCH` and the like are words; `Atomic` is the beginning of one.
                if has_word(line, word) {
                    fault(rule, line);
                }
            }
            if has_word(line, ".number()") && !file.ends_with("change.rs") {
                fault(CHANGE, line);
            }
            if let Some(chain) = &joined[at]
                && (walks_over(chain, &hashed, true) || walks_over(chain, &own, false))
            {
                fault(ORDER, chain);
            }
        }
    }
    faults
}

/// The lines of a file without comments and quoted texts, up to its tests.
fn code_of(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    let mut comment = false;
    let mut block = 0;
    while let Some(c) = chars.next() {
        if c == '\n' {
            comment = false;
            let whole = std::mem::take(&mut line);
            if whole.trim() == "#[cfg(test)]" {
                return lines;
            }
            lines.push(whole);
            continue;
        }
        let next = chars.peek().copied();
        match c {
            _ if comment => {}
            '*' if block > 0 && next == Some('/') => {
                block -= 1;
                chars.next();
            }
            _ if block > 0 => {}
            '\\' if quoted => {
                // An escaped end of line is still an end of line.
                if chars.next() == Some('\n') {
                    lines.push(std::mem::take(&mut line));
                }
            }
            '"' => {
                quoted = !quoted;
                line.push('"');
            }
            _ if quoted => {}
            '\'' if next == Some('"') => {
                chars.next();
                line.push_str("' '");
                chars.next();
            }
            '/' if next == Some('/') => comment = true,
            '/' if next == Some('*') => {
                block += 1;
                chars.next();
            }
            c => line.push(c),
        }
    }
    lines.push(line);
    lines
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in a line and is not the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let begins = word.starts_with(is_name);
    let ends = word.ends_with(is_name) && word != "Atomic";
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !(begins && before.is_some_and(is_name) || ends && after.is_some_and(is_name))
    })
}

/// Names of fields and bindings that a line gives a hashed type: `name: Map<..>` or `let name = Map::..`.
fn hashed_names(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for kind in HASHED {
        for (at, _) in line.match_indices(kind).filter(|(at, _)| !line[..*at].ends_with(is_name)) {
            let mut head = line[..at].trim_end_matches(|c: char| is_name(c) || c == ':');
            // `name: Option<Arc<Map<..>>>`, `name: &mut Map<..>`, `name: &'a Map<..>`
            while let Some(outer) = head.trim_end().strip_suffix(['<', '&', '(', '\'']) {
                head = outer.trim_end_matches(|c: char| is_name(c) || c == ':' || c == '\'');
            }
            let head = head.trim_end().trim_end_matches("mut").trim_end().trim_end_matches('&').trim_end();
            // Where the path begins behind a space, the colon or equals sign is still there.
            let declared = head.strip_suffix([':', '=']).unwrap_or("").trim_end();
            let name: Vec<char> = declared.chars().rev().take_while(|c| is_name(*c)).collect();
            if !name.is_empty() {
                names.push(name.into_iter().rev().collect());
            }
        }
    }
    names
}

/// For each line, itself with the calls that go on below it; `None` where it goes on from above.
fn chains(lines: &[String]) -> Vec<Option<String>> {
    let goes_on = |line: &str| line.trim_start().starts_with('.');
    let mut chains = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if goes_on(line) {
            chains.push(None);
            continue;
        }
        let mut chain = line.clone();
        for below in lines[at + 1..].iter().take_while(|below| goes_on(below)) {
            chain.push_str(below.trim());
        }
        chains.push(Some(chain));
    }
    chains
}

/// Whether code walks over anything with one of these names; `fields`: over a field of something.
fn walks_over(code: &str, hashed: &BTreeSet<String>, fields: bool) -> bool {
    hashed.iter().any(|name| {
        code.match_indices(&**name).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let after = &code[at + name.len()..];
            if before.is_some_and(is_name) || after.starts_with(is_name) {
                return false;
            }
            if code[..at].ends_with(LISTS) || fields && before != Some('.') {
                return false;
            }
            let walked = after.strip_prefix('.').is_some_and(|call| {
                let call: String = call.chars().take_while(|c| is_name(*c)).collect();
                WALKS.contains(&&*call)
            });
            walked || looped(&code[..at], after)
        })
    })
}

/// Whether what stands between is the whole of what a `for` goes through: `for x in &self.name {`.
fn looped(before: &str, after: &str) -> bool {
    let Some((head, path)) = before.rsplit_once(" in ") else { return false };
    has_word(head, "for")
        && path.chars().all(|c| is_name(c) || matches!(c, '&' | '.' | ' '))
        && (after.trim_start().starts_with('{') || after.trim().is_empty())
}

fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path);
            into.push((name.display().to_string(), text));
        }
    }
}

#[test]
fn a_number_that_is_taken_outside_the_order_of_changes_is_found() {
    let faults = |file: &str| scan(&[(file.to_owned(), "fn a() { let seq = server.number(); }".to_owned())]);
    assert_eq!(faults("command/topic.rs").iter().map(|fault| fault.rule).collect::<Vec<_>>(), [CHANGE]);
    assert_eq!(faults("change.rs"), []);
}

#[test]
fn the_state_machine_has_no_clock_chance_io_thread_or_lock_and_walks_over_no_hash_map() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server"), &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let faults = scan(&files);
    let text: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    assert!(faults.is_empty(), "\n{text}");
}

#[test]
fn the_maps_of_the_network_are_known_by_name() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server"), &mut files);
    let names: BTreeSet<String> =
        files.iter().flat_map(|(_, text)| code_of(text)).flat_map(|line| hashed_names(&line)).collect();
    for name in ["nicks", "channel_names", "conversations", "peers", "devices", "here", "tried", "by_host"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
}

fn rules(text: &str) -> Vec<(usize, &'static str)> {
    let mut found: Vec<(usize, &'static str)> =
        scan(&[("planted.rs".to_owned(), text.to_owned())]).iter().map(|fault| (fault.line, fault.rule)).collect();
    found.dedup();
    found
}

#[test]
fn a_fault_is_named_with_its_rule_file_and_line() {
    let faults = scan(&[("src/server/x.rs".to_owned(), "fn f() {\n    let t = Instant::now();\n}\n".to_owned())]);
    let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(texts, ["src/server/x.rs:2: no clock: time is handed in as `Now`: let t = Instant::now();"]);
}

#[test]
fn planted_clocks_chance_io_threads_and_locks_are_found() {
    for (line, rule) in [
        ("let now = std::time::Instant::now();", CLOCK),
        ("let now = SystemTime::now();", CLOCK),
        ("use std::time::Duration;", CLOCK),
        ("let x: u32 = rand::random();", RANDOM),
        ("let r = thread_rng();", RANDOM),
        ("let map = IndexMap::with_hasher(RandomState::new());", RANDOM),
        ("let text = std::fs::read_to_string(path);", INPUT),
        ("use std::io::Write;", INPUT),
        ("use std::net::TcpStream;", INPUT),
        ("tokio::spawn(task);", INPUT),
        ("std::thread::sleep(wait);", THREAD),
        ("async fn f() {}", THREAD),
        ("use std::sync::Mutex;", LOCK),
        ("let lock = parking_lot::RwLock::new(0);", LOCK),
        ("static COUNT: AtomicU64 = AtomicU64::new(0);", LOCK),
        ("println!(\"x\");", PRINT),
        ("eprintln!(\"x\");", PRINT),
    ] {
        assert_eq!(rules(line), [(1, rule)], "{line}");
    }
}

#[test]
fn planted_walks_over_hash_maps_are_found() {
    let fields = "struct S {\n    nicks: AHashMap<Folded, UserId>,\n    met: std::collections::HashSet<u32>,\n}\n";
    for walk in [
        "for (nick, id) in &self.nicks {",
        "for (nick, id) in &mut self.nicks {",
        "for id in self.nicks.values() {",
        "for id in met {",
        "let all: Vec<_> = self.nicks.keys().cloned().collect();",
        "network.nicks.iter().next();",
        "let gone = self.nicks.drain();",
        "self.met.iter().max();",
        "self\n        .nicks\n        .into_iter();",
        "self.nicks\n        .iter_mut();",
    ] {
        let found = rules(&format!("{fields}{walk}\n"));
        assert_eq!(found, [(5, ORDER)], "{walk}");
    }
    let other = "fn f(s: &S) {\n    s.nicks.iter();\n    nicks.iter();\n}\n";
    let files = [("a.rs".to_owned(), fields.to_owned()), ("b.rs".to_owned(), other.to_owned())];
    let found: Vec<(String, usize)> = scan(&files).into_iter().map(|fault| (fault.file, fault.line)).collect();
    assert_eq!(found, [("b.rs".to_owned(), 2)]);
    let local = "fn f() {\n    let mut met = ahash::AHashSet::with_capacity(16);\n    for id in &met {\n    }\n}\n";
    assert_eq!(rules(local), [(3, ORDER)]);
    let inner = "struct S {\n    all: Option<Vec<HashMap<u32, u32>>>,\n}\nself.all.into_iter();\n";
    assert_eq!(rules(inner), [(4, ORDER)]);
    let param = "fn f(by_id: &mut HashMap<u32, u32>) {\n    by_id.iter();\n}\n";
    assert_eq!(rules(param), [(2, ORDER)]);
}

#[test]
fn what_is_allowed_is_not_refused() {
    let allowed = [
        "//! No clock: Instant::now, SystemTime.\n",
        "struct S {\n    nicks: AHashMap<Folded, UserId>,\n    members: IndexMap<UserId, Ranks, ahash::RandomState>,\n}\n",
        "fn f(s: &mut S) {\n    s.nicks.get(\"a\"); // .iter()\n    s.nicks.retain(|_, id| *id > 0);\n    s.nicks.len();\n",
        "    for member in s.members.keys() {}\n    for nick in names(&s.nicks) {}\n    let now: Now = s.now;\n",
        "    let text = \"std::fs and println! and tokio\";\n    /* Mutex */\n    let instantly = 1;\n    let c = '\"';\n}\n",
        "use std::net::IpAddr;\nuse std::sync::Arc;\n",
        "#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}\n",
    ];
    assert_eq!(rules(&allowed.concat()), []);
}
