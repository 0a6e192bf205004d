//! What must hold for every line, with random lines that shrink to the smallest that fails.

use std::str::FromStr;

use ircv3::message::{MAX_PARAMS, ParseError, cut, middle, write_line, write_message};
use ircv3::mode::{ModeChange, encode, kind, parse_channel_modes};
use ircv3::tags::{Tags, escape, unescape};
use ircv3::time::{parse_time, time_text};
use ircv3::{Casemapping, Message, mask, sasl};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};

/// Text with more of what the grammar is about than chance would give.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,6}",
        2 => prop_oneof![Just(" "), Just(":"), Just("@"), Just(";"), Just("="), Just("\\"), Just("+"), Just("*")]
            .prop_map(String::from),
        1 => prop_oneof![Just("\r"), Just("\n"), Just("\0"), Just("\t")].prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// What can stand in the middle of a line.
fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9#*+@é\\\\=;,-][a-zA-Z0-9#*:@é\\\\=;,-]{0,9}"
}

/// What can stand at its end.
fn trailing() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n', '\0'], ""))
}

fn key() -> impl Strategy<Value = String> {
    "\\+?([a-z]{1,5}\\.[a-z]{1,3}/)?[a-z][a-z0-9-]{0,8}"
}

#[derive(Clone, Debug)]
struct Parts {
    tags: Vec<(String, String)>,
    source: Option<String>,
    command: String,
    params: Vec<String>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let params = (vec(word(), 0..MAX_PARAMS - 1), option::of(trailing()))
        .prop_map(|(middles, last)| middles.into_iter().chain(last).collect());
    let source = option::of("[a-z]{1,9}(![a-z~]{1,9}@[a-z0-9.:]{1,9})?");
    (vec((key(), text()), 0..4), source, "[A-Z]{1,9}|[0-9]{3}", params)
        .prop_map(|(tags, source, command, params)| Parts { tags, source, command, params })
}

fn line_of(parts: &Parts) -> String {
    let mut out = Vec::new();
    let tags = parts.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let params: Vec<&str> = parts.params.iter().map(String::as_str).collect();
    write_message(&mut out, tags, parts.source.as_deref(), &parts.command, &params);
    String::from_utf8(out).expect("only text was written")
}

fn without_crlf(line: &str) -> &str {
    line.strip_suffix("\r\n").expect("a line ends in CR LF")
}

fn assert_one_line(out: &[u8]) -> Result<(), TestCaseError> {
    let body = out.strip_suffix(b"\r\n").expect("a line ends in CR LF");
    prop_assert!(!body.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(parts in parts()) {
        let line = line_of(&parts);
        let message = Message::parse(without_crlf(&line)).expect("a line that was written is a message");
        prop_assert_eq!(message.source(), parts.source.as_deref());
        prop_assert_eq!(message.command(), &parts.command);
        prop_assert_eq!(message.params().collect::<Vec<_>>(), parts.params.iter().map(String::as_str).collect::<Vec<_>>());
        let tags: Vec<(String, String)> =
            message.tags().iter().map(|(key, raw)| (key.to_owned(), unescape(raw).into_owned())).collect();
        // A tag value cannot have a NUL.
        let right: Vec<(String, String)> =
            parts.tags.iter().map(|(key, value)| (key.clone(), value.replace('\0', ""))).collect();
        prop_assert_eq!(tags, right);
    }

    #[test]
    fn a_canonical_line_is_written_as_it_was_read(parts in parts()) {
        let line = line_of(&parts);
        let message = Message::parse(without_crlf(&line)).expect("a line that was written is a message");
        let mut again = Vec::new();
        message.write(&mut again);
        prop_assert_eq!(String::from_utf8(again).expect("only text was written"), line);
    }

    #[test]
    fn any_line_means_the_same_once_rewritten(line in text()) {
        let Ok(message) = Message::parse(line.as_str()) else { return Ok(()) };
        let mut out = Vec::new();
        message.write(&mut out);
        assert_one_line(&out)?;
        let out = String::from_utf8(out).expect("only text was written");
        let again = Message::parse(without_crlf(&out)).expect("a message stays a message");
        prop_assert_eq!(again.command(), message.command());
        prop_assert_eq!(again.source(), message.source());
        prop_assert_eq!(again.tags_raw(), message.tags_raw());
        prop_assert_eq!(again.params().collect::<Vec<_>>(), message.params().collect::<Vec<_>>());
    }

    #[test]
    fn no_text_makes_a_second_line(a in text(), b in text(), c in text(), d in text()) {
        let mut out = Vec::new();
        write_line(&mut out, &a, &b, &[c.as_str()], Some(&d));
        assert_one_line(&out)?;
        out.clear();
        write_message(&mut out, [(a.as_str(), b.as_str())], Some(&c), &d, &[&a, &b, &c]);
        assert_one_line(&out)?;
        out.clear();
        ircv3::standard_reply::write(&mut out, &a, ircv3::standard_reply::Kind::Fail, &b, &c, &[&d, &a], &b);
        assert_one_line(&out)?;
    }

    #[test]
    fn a_line_with_a_forbidden_byte_is_no_message(before in "[a-z ]{0,9}", byte in "[\r\n\0]", after in text()) {
        prop_assert_eq!(Message::parse(format!("{before}{byte}{after}")), Err(ParseError::ForbiddenByte));
    }

    #[test]
    fn a_value_survives_escaping(value in text()) {
        let raw = escape(&value);
        prop_assert!(!raw.contains([';', ' ', '\r', '\n']));
        prop_assert_eq!(unescape(&raw).into_owned(), value.clone());
    }

    #[test]
    fn cut_keeps_characters_whole_and_as_many_as_fit(value in text(), bytes in 0usize..40) {
        let kept = cut(&value, bytes);
        prop_assert!(value.starts_with(kept) && kept.len() <= bytes);
        let next = value[kept.len()..].chars().next();
        prop_assert!(next.is_none_or(|c| kept.len() + c.len_utf8() > bytes));
    }

    #[test]
    fn a_middle_is_one_word(value in text()) {
        let word = middle(&value);
        prop_assert!(!word.is_empty() && !word.starts_with(':') && !word.contains([' ', '\r', '\n', '\0']));
    }

    #[test]
    fn relayed_tags_are_client_only_and_unchanged(raw in "[+a-z=;\\\\:]{0,30}") {
        let tags = Tags::new(&raw);
        let relayed = tags.client_only(|_| true).unwrap_or_default();
        let relayed = Tags::new(&relayed);
        for (key, value) in relayed.iter() {
            prop_assert!(key.starts_with('+'));
            prop_assert_eq!(relayed.iter().filter(|(other, _)| *other == key).count(), 1);
            prop_assert_eq!(tags.iter().filter(|(other, _)| *other == key).last(), Some((key, value)));
        }
        prop_assert_eq!(relayed.iter().count() > 0, tags.has_client_only());
    }

    #[test]
    fn a_mask_matches_as_the_slow_definition_says(mask in "[ab*?\\\\é]{0,8}", text in "[abAé*\\\\]{0,8}") {
        prop_assert_eq!(mask::matches(&mask, &text, Casemapping::Ascii), slow(&mask, &text), "{} on {}", mask, text);
    }

    #[test]
    fn a_normal_mask_is_normal(mask in "[a*?!@.:\\\\é ]{0,12}") {
        let normal = mask::normalize(&mask);
        prop_assert_eq!(mask::normalize(&normal), normal.clone());
        prop_assert_eq!(middle(&normal), normal.as_str());
    }

    #[test]
    fn modes_that_are_written_are_read(changes in vec((any::<bool>(), "[beIkovhlimnst]", word()), 0..12)) {
        let changes: Vec<ModeChange<'_>> = changes
            .iter()
            .map(|(add, letter, param)| {
                let letter = letter.chars().next().unwrap_or('b');
                let takes = match kind(letter) {
                    Some(ircv3::mode::Kind::Flag) | None => false,
                    Some(ircv3::mode::Kind::SettingToSet) => *add,
                    _ => true,
                };
                ModeChange { add: *add, letter, param: takes.then_some(param.as_str()) }
            })
            .collect();
        let line = encode(&changes);
        let mut words = line.split(' ');
        let modes = words.next().unwrap_or_default();
        prop_assert_eq!(parse_channel_modes(modes, words).collect::<Vec<_>>(), changes);
    }

    #[test]
    fn a_time_survives_the_wire(ms in 0u64..253_402_300_800_000) {
        prop_assert_eq!(parse_time(&time_text(ms)), Some(ms));
    }

    #[test]
    fn no_text_is_a_time_by_accident(text in "[0-9TZ:.-]{0,26}") {
        if let Some(ms) = parse_time(&text) {
            prop_assert!(ms < 253_402_300_801_000);
        }
    }

    #[test]
    fn sasl_chunks_go_together_again(data in vec(any::<u8>(), 0..1300)) {
        let chunks = sasl::chunks(&data);
        let mut assembler = sasl::Assembler::new(8192);
        for (at, chunk) in chunks.iter().enumerate() {
            prop_assert!(chunk.len() <= sasl::CHUNK_BYTES && !chunk.is_empty());
            let outcome = assembler.push(chunk);
            if at + 1 < chunks.len() {
                prop_assert_eq!(outcome, sasl::Outcome::More);
            } else {
                prop_assert_eq!(outcome, sasl::Outcome::Done(data.clone()));
            }
        }
    }

    /// What a client sends in a login may be anything; its parts are never more than what it sent.
    #[test]
    fn no_response_of_any_mechanism_is_too_odd(
        response in vec(prop_oneof![
            4 => any::<u8>().prop_map(|byte| vec![byte]),
            1 => prop_oneof![
                Just("n,,"), Just("y,,"), Just("p=tls-exporter,,"), Just("n="), Just(",r="), Just("c="), Just(",p="),
                Just("=2C"), Just("a="), Just("\x01auth=Bearer "), Just("\x01\x01"), Just("\0jwt\0"),
            ].prop_map(|text| text.as_bytes().to_vec()),
        ], 0..12),
        plus in any::<bool>(),
    ) {
        let response = response.concat();
        if let Some(plain) = sasl::parse_plain(&response) {
            prop_assert!(plain.authcid.len() + plain.password.len() < response.len());
        }
        if let Some((account, authzid)) = sasl::ecdsa::parse_account(&response) {
            prop_assert!(account.len() + authzid.len() <= response.len());
        }
        if let Some(bearer) = sasl::bearer::parse_oauth(&response) {
            prop_assert!(bearer.token.len() < response.len());
        }
        if let Some(bearer) = sasl::bearer::parse_ircv3(&response) {
            prop_assert!(bearer.token.len() < response.len());
        }
        let credential = sasl::scram::Credential::fake(sasl::scram::Hash::Sha256, b"secret", "user", 4096);
        let none = sasl::scram::ChannelBindings::default();
        let first = sasl::scram::ClientFirst::parse(&response);
        let first = first.unwrap_or(sasl::scram::ClientFirst::parse(b"n,,n=user,r=abc").expect("a first message"));
        if let Ok((exchange, _)) = sasl::scram::Exchange::new(&first, plus, &none, credential, "def") {
            prop_assert!(exchange.finish(&response).is_err());
        }
    }

    /// irc-proto as a second opinion, where it is right: `IRC_PROTO_DIFFERS` says where it is not.
    #[test]
    fn irc_proto_reads_the_same(parts in parts(), verb in option::of(0..LOSSLESS.len())) {
        let mut parts = parts;
        if let Some(at) = verb {
            LOSSLESS[at].clone_into(&mut parts.command);
        }
        if IRC_PROTO_DIFFERS.contains(&parts.command.as_str()) {
            return Ok(());
        }
        // It splits into fourteen words at most, drops a colon at the start of a last parameter of
        // some typed commands, and its writer keeps NULs; none of that is compared.
        parts.params.truncate(12);
        let line = line_of(&parts);
        let ours = Message::parse(without_crlf(&line)).expect("a line that was written is a message");
        let theirs = irc_proto::Message::from_str(&line).expect("irc-proto takes any line with a command");
        let their_tags: Vec<(String, String)> = theirs
            .tags
            .iter()
            .flatten()
            .map(|tag| (tag.0.clone(), tag.1.clone().unwrap_or_default()))
            .collect();
        let our_tags: Vec<(String, String)> =
            ours.tags().iter().map(|(key, raw)| (key.to_owned(), unescape(raw).into_owned())).collect();
        prop_assert_eq!(our_tags, their_tags);
        prop_assert_eq!(ours.source().map(str::to_owned), theirs.prefix.as_ref().map(ToString::to_string));
        let rewritten = String::from(&theirs.command);
        let theirs = Message::parse(rewritten.as_str()).expect("what irc-proto writes is a message");
        prop_assert_eq!(ours.command(), theirs.command());
        prop_assert_eq!(ours.params().collect::<Vec<_>>(), theirs.params().collect::<Vec<_>>());
    }
}

/// Typed commands that irc-proto writes as it read them, and ones that it has no type for.
const LOSSLESS: &[&str] = &[
    "PASS",
    "NICK",
    "OPER",
    "QUIT",
    "JOIN",
    "PART",
    "TOPIC",
    "NAMES",
    "LIST",
    "INVITE",
    "KICK",
    "PRIVMSG",
    "NOTICE",
    "WHOIS",
    "KILL",
    "PING",
    "PONG",
    "ERROR",
    "AWAY",
    "WALLOPS",
    "CAP",
    "AUTHENTICATE",
    "ACCOUNT",
    "MONITOR",
    "TAGMSG",
    "CHATHISTORY",
    "FAIL",
    "SETNAME",
    "001",
    "353",
    "366",
    "433",
];

/// Commands that irc-proto changes on the way through.
const IRC_PROTO_DIFFERS: &[&str] =
    &["ISON", "NICKSERV", "NS", "MODE", "WHO", "WHOWAS", "LINKS", "USER", "METADATA", "BATCH", "SAMODE"];

/// Glob matching by its definition, exponential and obvious.
fn slow(mask: &str, text: &str) -> bool {
    let mut mask_chars = mask.chars();
    let Some(first) = mask_chars.next() else { return text.is_empty() };
    let mut rest = mask_chars.as_str();
    let mut text_chars = text.chars();
    let literal = match first {
        '*' => return slow(rest, text) || (text_chars.next().is_some() && slow(mask, text_chars.as_str())),
        '?' => return text_chars.next().is_some() && slow(rest, text_chars.as_str()),
        '\\' => match mask_chars.next() {
            Some(escaped @ ('*' | '?' | '\\')) => {
                rest = mask_chars.as_str();
                escaped
            }
            _ => '\\',
        },
        other => other,
    };
    text_chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&literal)) && slow(rest, text_chars.as_str())
}
