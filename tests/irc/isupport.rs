//! ISUPPORT before registration and in a batch, and 005 when the settings change
//! (<https://ircv3.net/specs/extensions/extended-isupport>).

use std::fs;

use crate::client::{Client, Line, all, commands};
use crate::server::Server;

/// The tokens of a `draft/isupport` batch, which must hold nothing but 005.
#[track_caller]
fn batched(lines: &[Line]) -> Vec<String> {
    assert!(lines.len() >= 3, "{lines:#?}");
    let (start, rest) = lines.split_first().unwrap();
    let (end, inner) = rest.split_last().unwrap();
    let reference = start.params()[0].strip_prefix('+').unwrap().to_owned();
    assert_eq!(start.params()[1..], ["draft/isupport"]);
    assert_eq!((end.command(), end.params()[0]), ("BATCH", &*format!("-{reference}")));
    assert!(inner.iter().all(|line| line.command() == "005" && line.tag("batch") == Some(&reference)), "{inner:#?}");
    tokens(inner)
}

fn tokens(lines: &[Line]) -> Vec<String> {
    lines
        .iter()
        .flat_map(|line| {
            let params = line.params();
            params[1..params.len() - 1].iter().map(|token| (*token).to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_tokens_are_there_before_registration_for_whoever_negotiated_it() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(commands(&client.ask("ISUPPORT")), ["451"]);
    client.request("batch draft/extended-isupport");
    client.send("ISUPPORT");
    let mut lines = client.until("BATCH");
    lines.extend(client.until("BATCH"));
    let early = batched(&lines);
    assert!(early.iter().any(|token| token == "CASEMAPPING=ascii"), "{early:?}");
    assert!(all(&lines, "005").iter().all(|line| line.params()[0] == "*"), "there is no nick yet");
    client.send_all(&["NICK alice", "USER alice 0 * :Alice", "CAP END"]);
    let welcome = client.welcome("alice");
    assert!(all(&welcome, "005").iter().all(|line| line.tag("batch").is_some()), "{welcome:#?}");
}

#[test]
fn registered_clients_ask_again_and_get_plain_lines_or_a_batch_and_their_label() {
    let server = Server::start();
    let mut old = server.user("old");
    let lines = old.ask("ISUPPORT");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.command() == "005"), "{lines:#?}");
    let mut modern = server.user_with("modern", "batch draft/extended-isupport labeled-response message-tags");
    let labelled = modern.ask("@label=x ISUPPORT");
    assert_eq!(labelled[0].tag("label"), Some("x"));
    assert_eq!(batched(&labelled), tokens(&lines));
    // Without batch it is plain.
    let mut plain = server.user_with("plain", "draft/extended-isupport");
    assert_eq!(tokens(&plain.ask("ISUPPORT")), tokens(&lines));
}

#[test]
fn what_a_reload_changes_is_told_and_nothing_else() {
    let server = Server::with_files(&[("conf/roost.toml", "[channels]\nper_user = 20\n")], &[]);
    let mut old = server.user("old");
    let mut modern = server.user_with("modern", "batch draft/extended-isupport");
    let mut early = server.connect();
    early.request("draft/extended-isupport");
    let mut silent = server.connect();
    let reload = |text: &str| {
        fs::write(server.home().join("conf/roost.toml"), text).unwrap();
        server.signal("HUP");
    };
    reload("[channels]\nper_user = 30\n[history]\nenabled = false\n");
    let changed = |client: &mut Client| tokens(&[client.until("005").pop().unwrap()]);
    assert_eq!(changed(&mut old), ["CHANLIMIT=#:30", "-CHATHISTORY"]);
    assert_eq!(changed(&mut early), ["CHANLIMIT=#:30", "-CHATHISTORY"]);
    let mut lines = modern.until("005");
    lines.extend(modern.until("BATCH"));
    let start = lines.iter().position(|line| line.command() == "BATCH").unwrap();
    assert_eq!(batched(&lines[start..]), ["CHANLIMIT=#:30", "-CHATHISTORY"]);
    assert!(all(&silent.sync(), "005").is_empty(), "who has not registered does not know of 005 yet");
    reload("[channels]\nper_user = 30\n[history]\nenabled = true\n");
    assert!(changed(&mut old)[0].starts_with("CHATHISTORY="));
}
