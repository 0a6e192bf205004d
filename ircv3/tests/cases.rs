//! Faults that people reported about other servers, at the level of the protocol. The names are
//! those of the cases; what needs a server is tested there.

use irc_proto::CapSubCommand;
use ircv3::message::{MAX_BODY_BYTES, MAX_CLIENT_TAG_BYTES, MAX_JOIN_BYTES, ParseError, write_line};
use ircv3::mode::parse_channel_modes;
use ircv3::negotiation::{Answer, CapLine, room};
use ircv3::{Cap, CapSet, Message, Negotiation};

fn parsed(line: &str) -> Message {
    Message::parse_client(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn params(message: &Message) -> Vec<&str> {
    message.params().collect()
}

fn everything() -> CapSet {
    Cap::ALL.iter().copied().collect()
}

fn no_value(_: Cap) -> Option<String> {
    None
}

#[test]
fn c01_an_empty_trailing_parameter_is_a_parameter() {
    let message = parsed("MODE #room +k :");
    assert_eq!(params(&message), ["#room", "+k", ""]);
    let change = parse_channel_modes("+k", message.params().skip(2)).next().expect("one change");
    assert_eq!((change.letter, change.param), ('k', Some("")));
}

#[test]
fn c01_an_empty_list_is_an_empty_last_parameter() {
    let lines = Negotiation::new().list(room("irc.test", "alice", CapSubCommand::LIST));
    assert_eq!(lines, [CapLine { more: false, list: String::new() }]);
    let mut out = Vec::new();
    write_line(&mut out, "irc.test", "CAP", &["alice", "LIST"], Some(&lines[0].list));
    assert_eq!(out, b":irc.test CAP alice LIST :\r\n");
}

#[test]
fn c02_runs_of_spaces_separate_and_the_trailing_keeps_its_own() {
    let message = parsed("PRIVMSG    #room     :two  spaces   here ");
    assert_eq!((message.command(), params(&message)), ("PRIVMSG", vec!["#room", "two  spaces   here "]));
    let message = parsed("   PING   tok");
    assert_eq!((message.command(), params(&message)), ("PING", vec!["tok"]));
    let message = parsed("  @a=b   :src   PING   tok   ");
    assert_eq!((message.tags_raw(), message.source(), message.command()), ("a=b", Some("src"), "PING"));
    assert_eq!(params(&message), ["tok"]);
}

#[test]
fn c03_cr_lf_and_nul_inside_a_line_are_refused_and_never_written() {
    for line in ["PRIVMSG bob :hi\r:mallory!m@evil PRIVMSG bob :forged", "PRIVMSG bob :ab\0cd", "PRIVMSG bob :a\nb"] {
        assert_eq!(Message::parse_client(line), Err(ParseError::ForbiddenByte), "{line:?}");
    }
    let mut out = Vec::new();
    write_line(&mut out, "a!b@c", "PRIVMSG", &["bob"], Some("hi\r\n:mallory!m@evil PRIVMSG bob :forged\0"));
    assert_eq!(out, b":a!b@c PRIVMSG bob :hi:mallory!m@evil PRIVMSG bob :forged\r\n");
}

#[test]
fn c07_tags_have_their_own_budget_and_are_never_cut() {
    let line = |tag_bytes: usize, body: &str| format!("@+x={} {body}", "a".repeat(tag_bytes - "+x=".len()));
    let legal = line(MAX_CLIENT_TAG_BYTES, "PRIVMSG #room :ok");
    assert_eq!(parsed(&legal).tags().get("+x").map(|value| value.len()), Some(4091));
    assert_eq!(
        Message::parse_client(line(MAX_CLIENT_TAG_BYTES + 1, "PRIVMSG #room :no")),
        Err(ParseError::TagsTooLong)
    );

    let body = |bytes: usize| format!("PRIVMSG #room :{}", "b".repeat(bytes - "PRIVMSG #room :".len()));
    let longest = body(MAX_BODY_BYTES - 2);
    assert_eq!(parsed(&longest).as_str(), longest);
    assert_eq!(parsed(&line(MAX_CLIENT_TAG_BYTES, &longest)).param(1).map(str::len), Some(495));
    assert_eq!(Message::parse_client(body(MAX_BODY_BYTES - 1)), Err(ParseError::BodyTooLong));
    assert_eq!(
        Message::parse_client(line(MAX_CLIENT_TAG_BYTES, &body(MAX_BODY_BYTES - 1))),
        Err(ParseError::BodyTooLong)
    );
}

#[test]
fn c07_a_join_may_be_longer_for_phones_send_all_their_channels_at_once() {
    let join = |bytes: usize| format!("join {}", "#".repeat(bytes - "join ".len()));
    assert!(Message::parse_client(join(MAX_JOIN_BYTES - 2)).is_ok());
    assert_eq!(Message::parse_client(join(MAX_JOIN_BYTES - 1)), Err(ParseError::BodyTooLong));
}

#[test]
fn c08_tags_unescape_the_last_of_a_key_counts_and_only_client_tags_are_relayed() {
    let message = parsed("@+n=a\\:b\\s\\\\c\\q;+e=z\\;+d=first;+d=last;plain=1 PRIVMSG bob :hi");
    let tags = message.tags();
    assert_eq!(tags.get("+n").as_deref(), Some("a;b \\cq"));
    assert_eq!(tags.get("+e").as_deref(), Some("z"));
    assert_eq!(tags.get("+d").as_deref(), Some("last"));
    assert_eq!(tags.client_only(|_| true).as_deref(), Some("+n=a\\:b\\s\\\\c\\q;+e=z\\;+d=last"));
    assert_eq!(tags.client_only(|key| key == "e").as_deref(), Some("+e=z\\"));
    assert_eq!(parsed("@plain=1;x PRIVMSG bob :hi").tags().client_only(|_| true), None);
}

#[test]
fn c09_odd_spaces_in_a_request_change_nothing() {
    let mut negotiation = Negotiation::new();
    let room = room("irc.test", "*", CapSubCommand::ACK);
    let message = parsed("CAP REQ : multi-prefix  server-time ");
    let list = message.param(1).expect("the list");
    assert_eq!(negotiation.request(list, everything(), room), Answer::Ack(vec!["multi-prefix server-time".to_owned()]));
    assert_eq!(negotiation.caps(), CapSet::of(&[Cap::MultiPrefix, Cap::ServerTime]));
    assert_eq!(negotiation.request("", everything(), room), Answer::Ack(vec![String::new()]));
    assert_eq!(negotiation.caps(), CapSet::of(&[Cap::MultiPrefix, Cap::ServerTime]));
    assert_eq!(parsed("CAP :END").param(0), parsed("CAP END").param(0));
}

#[test]
fn c11_values_and_continuation_are_for_302_only() {
    let sasl = |cap: Cap| (cap == Cap::Sasl).then(|| "PLAIN,EXTERNAL".to_owned());
    let narrow = 60;
    for version in ["302", "307", "99999999999"] {
        let mut negotiation = Negotiation::new();
        let lines = negotiation.ls(Some(version), everything(), sasl, narrow);
        assert!(lines.len() > 1, "{version}");
        assert!(lines[0].list.split(' ').any(|word| word == "sasl=PLAIN,EXTERNAL"), "{version}");
        let (last, others) = lines.split_last().expect("at least one line");
        assert!(!last.more && others.iter().all(|line| line.more), "{version}");
        assert!(lines.iter().all(|line| line.list.len() <= narrow), "{version}");
        let named = lines.iter().flat_map(|line| line.list.split(' ')).count();
        assert_eq!(named, Cap::ALL.iter().map(|cap| cap.names().len()).sum::<usize>(), "{version}");
        assert!(negotiation.caps().has(Cap::CapNotify), "{version}");
    }
    for version in [None, Some("301"), Some("abc"), Some(""), Some("-302"), Some("+302")] {
        let mut negotiation = Negotiation::new();
        let lines = negotiation.ls(version, everything(), sasl, narrow);
        assert_eq!(lines.len(), 1, "{version:?}");
        assert!(!lines[0].more && lines[0].list.len() <= narrow && !lines[0].list.contains('='), "{version:?}");
        assert!(lines[0].list.starts_with("sasl message-tags server-time batch "), "{version:?}");
        assert!(negotiation.caps().is_empty(), "{version:?}");
    }
}

#[test]
fn c11_the_version_never_goes_down() {
    let mut negotiation = Negotiation::new();
    let room = room("irc.test", "*", CapSubCommand::LS);
    negotiation.ls(Some("302"), everything(), no_value, room);
    let again = negotiation.ls(None, everything(), |_| Some("value".to_owned()), room);
    assert_eq!((again.len(), again[0].list.contains('=')), (1, false));
    assert_eq!(negotiation.version(), 302);
    assert!(negotiation.notifies());
    assert_eq!(negotiation.request("-cap-notify", everything(), room), Answer::Nak(vec!["-cap-notify".to_owned()]));
}

#[test]
fn c12_ls_and_req_hold_registration_until_end_and_list_does_not() {
    let mut negotiation = Negotiation::new();
    negotiation.list(400);
    negotiation.end();
    assert!(!negotiation.is_held());
    negotiation.request("nonsense", everything(), 400);
    assert!(negotiation.is_held());
    negotiation.end();
    assert!(!negotiation.is_held());
    negotiation.ls(None, everything(), no_value, 400);
    assert!(negotiation.is_held());
}
