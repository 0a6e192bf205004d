//! One file of lines for each specification, in `spec/`: its examples, as dialogues with a real server.
//!
//! ```text
//! # https://ircv3.net/specs/extensions/setname     the specification; `#` begins every remark
//! set history.enabled false                        a setting, before all else
//! account alice sesame                             an account
//! user alice setname                               a connection by its nick, with these capabilities
//! login bob bob sesame setname                     the same, logged in: nick, account, password
//! login phone=bob bob sesame                       the same under a name of its own, for a nick with several
//! open carol                                       a connection that has said nothing yet
//! alice > SETNAME :Alice!                          it sends a line
//! alice < :alice!*@* SETNAME :Alice!               the next line that comes to it
//! alice until :roost.local 376 alice :*            passes over lines up to the first that fits
//! alice skip                                       whatever has come to it by now
//! alice silent                                     nothing has
//! alice closed                                     nothing more comes, and the connection ends
//! ```
//!
//! In a line that comes, `*` stands for anything, and `{word}` for something without spaces and `;`, which is kept by
//! that word: where the word stands again, in lines that go or come, it must be the same. Tags may come in any order,
//! but must be those that are given, and none else. `\\xHH` is the byte of that number. At the end of the file, nothing may be left to any connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::client::{Client, Line};
use crate::server::Server;

macro_rules! specifications {
    ($($name:ident $file:literal)+) => {
        $(#[test]
        fn $name() {
            run($file, include_str!(concat!("spec/", $file, ".txt")));
        })+

        /// The files that have a test.
        const FILES: &[&str] = &[$($file),+];
    };
}

specifications! {
    account_notify "account-notify"
    account_registration "account-registration"
    away_notify "away-notify"
    bot_mode "bot-mode"
    bouncer_networks "bouncer-networks"
    capability_negotiation "capability-negotiation"
    channel_rename "channel-rename"
    chathistory "chathistory"
    chghost "chghost"
    echo_message "echo-message"
    extended_isupport "extended-isupport"
    extended_join "extended-join"
    extended_monitor "extended-monitor"
    invite_notify "invite-notify"
    labeled_response "labeled-response"
    message_redaction "message-redaction"
    message_tags "message-tags"
    metadata_2 "metadata-2"
    metadata_3 "metadata-3"
    monitor "monitor"
    multi_prefix "multi-prefix"
    multiline "multiline"
    no_implicit_names "no-implicit-names"
    oper_tag "oper-tag"
    pre_away "pre-away"
    read_marker "read-marker"
    sasl "sasl"
    setname "setname"
    standard_replies "standard-replies"
    utf8only "utf8only"
    whox "whox"
}

#[test]
fn every_file_is_run_and_begins_with_its_specification() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/irc/spec");
    let there: BTreeSet<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let run: BTreeSet<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(there, run, "the list in tests/irc/spec.rs must name every file in tests/irc/spec/");
    for name in FILES {
        let text = fs::read_to_string(directory.join(format!("{name}.txt"))).unwrap();
        assert!(text.starts_with("# https://"), "{name}.txt must begin with the address of its specification");
        assert!(text.lines().any(|line| line.contains(" < ")), "{name}.txt expects nothing");
    }
}

/// A file under way.
struct Dialogue {
    file: String,
    server: Option<Server>,
    settings: Vec<(String, String)>,
    clients: BTreeMap<String, Client>,
    /// Who has sent the last line: it is done before anyone else sends one.
    sender: String,
    /// What has come to whom, and was not looked at yet.
    waiting: BTreeMap<String, VecDeque<Line>>,
    words: BTreeMap<String, String>,
}

fn run(name: &str, text: &str) {
    let mut dialogue = Dialogue {
        file: name.to_owned(),
        server: None,
        settings: Vec::new(),
        clients: BTreeMap::new(),
        sender: String::new(),
        waiting: BTreeMap::new(),
        words: BTreeMap::new(),
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if !line.is_empty() && !line.starts_with('#') {
            dialogue.step(number + 1, line);
        }
    }
    dialogue.settle();
    for (name, left) in &dialogue.waiting {
        assert!(left.is_empty(), "{}: nobody has read what came to {name}: {left:#?}", dialogue.file);
    }
}

impl Dialogue {
    fn step(&mut self, number: usize, line: &str) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (first, &*words) {
            ("set", [key, ..]) => {
                assert!(self.server.is_none(), "{}:{number}: settings come first", self.file);
                let value = rest[key.len()..].trim_start();
                self.settings.push((format!("ROOST__{}", key.replace('.', "__").to_uppercase()), value.to_owned()));
            }
            ("account", [name, password]) => self.server().account(name, password),
            ("user", [nick, caps @ ..]) => {
                let client = self.server().user_with(nick, &caps.join(" "));
                self.clients.insert((*nick).to_owned(), client);
            }
            ("login", [nick, account, password, caps @ ..]) => {
                let (name, nick) = nick.split_once('=').unwrap_or((nick, nick));
                let client = self.server().logged_in(nick, account, password, &caps.join(" "));
                self.clients.insert(name.to_owned(), client);
            }
            ("open", [name]) => {
                let client = self.server().connect();
                self.clients.insert((*name).to_owned(), client);
            }
            _ => self.line(number, first, rest),
        }
    }

    fn server(&mut self) -> &Server {
        let settings = &self.settings;
        self.server.get_or_insert_with(|| {
            let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
            Server::with(&settings)
        })
    }

    /// Waits until all that was sent has been done, and what came of it is here.
    fn settle(&mut self) {
        // Once until all is done, and once more until all that came of it is here.
        for _ in 0..2 {
            for name in self.clients.keys().cloned().collect::<Vec<_>>() {
                self.hear(&name);
            }
        }
    }

    /// Takes what has come to one connection by the time that all it sent has been done.
    fn hear(&mut self, name: &str) {
        if let Some(client) = self.clients.get_mut(name) {
            self.waiting.entry(name.to_owned()).or_default().extend(client.sync());
        }
    }

    fn next(&mut self, name: &str) -> Line {
        let waiting = self.waiting.get_mut(name).and_then(VecDeque::pop_front);
        waiting.unwrap_or_else(|| self.clients.get_mut(name).unwrap().line())
    }

    /// What one connection sends, or is sent.
    fn line(&mut self, number: usize, name: &str, rest: &str) {
        let place = format!("{}:{number}", self.file);
        assert!(self.clients.contains_key(name), "{place}: there is no connection {name:?}");
        match rest.split_once(' ').unwrap_or((rest, "")) {
            (">", line) => {
                if self.sender != name {
                    self.hear(&self.sender.clone());
                    name.clone_into(&mut self.sender);
                }
                let mut line = line.to_owned();
                for (word, value) in &self.words {
                    line = line.replace(&format!("{{{word}}}"), value);
                }
                let mut bytes = unescape(&line);
                bytes.extend_from_slice(b"\r\n");
                self.clients.get_mut(name).unwrap().send_bytes(&bytes);
            }
            ("<", pattern) => {
                let line = self.next(name);
                if let Err(why) = fit(pattern, &line, &mut self.words) {
                    let why = format!("{place}: {why}\n  expected {pattern}\n  got      {}", line.raw);
                    self.clients[name].fail(&why);
                }
            }
            ("until", pattern) => while fit(pattern, &self.next(name), &mut self.words).is_err() {},
            ("skip", "") => {
                self.settle();
                self.waiting.remove(name);
            }
            ("silent", "") => {
                self.settle();
                let lines = self.waiting.remove(name).unwrap_or_default();
                assert!(lines.is_empty(), "{place}: {lines:#?}");
            }
            ("closed", "") => {
                let mut lines: Vec<Line> = self.waiting.remove(name).unwrap_or_default().into();
                lines.extend(self.clients.remove(name).unwrap().closed());
                assert!(lines.is_empty(), "{place}: {lines:#?}");
            }
            _ => panic!("{place}: {rest:?} is none of > < until skip silent closed"),
        }
    }
}

/// The bytes of a line in which some are written as `\xHH`.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut parts = line.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or("").as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Whether a line is as the pattern says; the words that stand for something are kept then.
fn fit(pattern: &str, line: &Line, words: &mut BTreeMap<String, String>) -> Result<(), String> {
    let split = |text: &str| match text.strip_prefix('@') {
        Some(tagged) => tagged.split_once(' ').map(|(tags, body)| (tags.to_owned(), body.to_owned())),
        None => Some((String::new(), text.to_owned())),
    };
    let pattern = String::from_utf8(unescape(pattern)).map_err(|error| error.to_string())?;
    let (tags, body) = split(&pattern).ok_or("a pattern has tags alone")?;
    let (their_tags, their_body) = split(&line.raw).ok_or("tags alone")?;
    let mut found = words.clone();
    let all = |tags: &str| tags.split(';').filter(|tag| !tag.is_empty()).map(str::to_owned).collect::<Vec<String>>();
    let mut theirs = all(&their_tags);
    for tag in all(&tags) {
        let at = theirs.iter().position(|their| fits(&tag, their, &mut found)).ok_or(format!("no tag {tag}"))?;
        theirs.remove(at);
    }
    if !theirs.is_empty() {
        return Err(format!("there is {} as well", theirs.join(" and ")));
    }
    if !fits(&body, &their_body, &mut found) {
        return Err("it is another line".to_owned());
    }
    *words = found;
    Ok(())
}

/// Whether all of `text` is as `pattern` says. Words are kept only where it is.
fn fits(pattern: &str, text: &str, words: &mut BTreeMap<String, String>) -> bool {
    if let Some(rest) = pattern.strip_prefix('*') {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        return ends.rev().any(|at| fits(rest, &text[at..], words));
    }
    if let Some((word, rest)) = pattern.strip_prefix('{').and_then(|pattern| pattern.split_once('}')) {
        if let Some(value) = words.get(word).cloned() {
            return text.strip_prefix(&*value).is_some_and(|text| fits(rest, text, words));
        }
        let most = text.find([' ', ';']).unwrap_or(text.len());
        for end in (1..=most).rev().filter(|end| text.is_char_boundary(*end)) {
            words.insert(word.to_owned(), text[..end].to_owned());
            if fits(rest, &text[end..], words) {
                return true;
            }
            words.remove(word);
        }
        return false;
    }
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => fits(&pattern[a.len_utf8()..], &text[b.len_utf8()..], words),
        _ => false,
    }
}

#[test]
fn a_pattern_fits_what_it_says_and_nothing_else() {
    let mut words = BTreeMap::new();
    assert!(fits("a *c", "a bbc", &mut words) && !fits("a *c", "a bbd", &mut words));
    assert!(fits("+{x} b", "+12 b", &mut words) && words["x"] == "12");
    assert!(fits("-{x}", "-12", &mut words) && !fits("-{x}", "-13", &mut words));
    assert!(!fits("{y}", "a b", &mut words) && !fits("{y}", "", &mut words) && !words.contains_key("y"));
    assert!(!fits("a", "ab", &mut words) && !fits("ab", "a", &mut words));
}
