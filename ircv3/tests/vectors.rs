//! The vectors of <https://github.com/ircdocs/parser-tests> (CC0, see `parser-tests/LICENSE.CC0`).

use std::collections::BTreeMap;

use ircv3::mask::matches;
use ircv3::message::write_message;
use ircv3::name::{is_hostname, split_source};
use ircv3::{Casemapping, Message};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct File<T> {
    tests: Vec<T>,
}

#[derive(Deserialize)]
struct Atoms {
    #[serde(default)]
    tags: BTreeMap<String, String>,
    source: Option<String>,
    verb: String,
    #[serde(default)]
    params: Vec<String>,
}

fn read<T: DeserializeOwned>(text: &str, at_least: usize) -> Vec<T> {
    let file: File<T> = serde_yaml_ng::from_str(text).expect("the vectors are YAML of this shape");
    assert!(file.tests.len() >= at_least, "only {} vectors were read", file.tests.len());
    file.tests
}

#[test]
fn lines_split_into_their_parts() {
    #[derive(Deserialize)]
    struct Split {
        input: String,
        atoms: Atoms,
    }
    for Split { input, atoms } in read(include_str!("parser-tests/msg-split.yaml"), 35) {
        let message = Message::parse(input.as_str()).unwrap_or_else(|error| panic!("{input:?}: {error}"));
        assert_eq!(message.source(), atoms.source.as_deref(), "{input:?}");
        assert_eq!(message.command(), atoms.verb, "{input:?}");
        assert_eq!(message.params().collect::<Vec<_>>(), atoms.params, "{input:?}");
        let tags: BTreeMap<String, String> = message
            .tags()
            .iter()
            .map(|(key, _)| (key.to_owned(), message.tags().get(key).expect("the key stands there").into_owned()))
            .collect();
        assert_eq!(tags, atoms.tags, "{input:?}");
    }
}

#[test]
fn parts_join_into_lines() {
    #[derive(Deserialize)]
    struct Join {
        atoms: Atoms,
        matches: Vec<String>,
    }
    for Join { atoms, matches } in read(include_str!("parser-tests/msg-join.yaml"), 18) {
        let mut out = Vec::new();
        let tags = atoms.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let params: Vec<&str> = atoms.params.iter().map(String::as_str).collect();
        write_message(&mut out, tags, atoms.source.as_deref(), &atoms.verb, &params);
        let line = String::from_utf8(out).expect("it was text");
        let line = line.strip_suffix("\r\n").expect("a line ends in CR LF");
        assert!(matches.iter().any(|right| right == line), "{line:?} is none of {matches:?}");
    }
}

#[test]
fn sources_split_into_nick_user_and_host() {
    #[derive(Deserialize)]
    struct Userhost {
        source: String,
        atoms: BTreeMap<String, String>,
    }
    for Userhost { source, atoms } in read(include_str!("parser-tests/userhost-split.yaml"), 7) {
        let parts = split_source(&source);
        let right = |key: &str| atoms.get(key).map_or("", String::as_str);
        assert_eq!((parts.nick, parts.user, parts.host), (right("nick"), right("user"), right("host")), "{source:?}");
    }
}

#[test]
fn masks_match_what_they_should() {
    #[derive(Deserialize)]
    struct Mask {
        mask: String,
        matches: Vec<String>,
        fails: Vec<String>,
    }
    for case in read::<Mask>(include_str!("parser-tests/mask-match.yaml"), 6) {
        for text in &case.matches {
            assert!(matches(&case.mask, text, Casemapping::Ascii), "{} does not match {text}", case.mask);
        }
        for text in &case.fails {
            assert!(!matches(&case.mask, text, Casemapping::Ascii), "{} matches {text}", case.mask);
        }
    }
}

#[test]
fn host_names_are_told_from_others() {
    #[derive(Deserialize)]
    struct Host {
        host: String,
        valid: bool,
    }
    for Host { host, valid } in read(include_str!("parser-tests/validate-hostname.yaml"), 19) {
        assert_eq!(is_hostname(&host), valid, "{host:?}");
    }
}
