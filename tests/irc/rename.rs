//! RENAME (draft/channel-rename).

use crate::client::{Client, Line, all, commands, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/channel-rename draft/chathistory batch draft/read-marker";

#[test]
fn a_renamed_channel_keeps_all_it_has_over_a_restart() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user_with("bob", "");
    alice.join("#old");
    bob.join("#old");
    alice.ask("CS REGISTER #old");
    alice.ask("MODE #old +b mallory!*@*");
    alice.ask("TOPIC #old :what it is about");
    alice.ask("PRIVMSG #old :said before");
    alice.ask("MARKREAD #old timestamp=2024-01-02T03:04:05.006Z");
    bob.sync();
    bob.one("RENAME #old #mine").must_fit("*482 bob #old :*");
    let lines = alice.ask("RENAME #OLD #new :a better name");
    find(&lines, "RENAME").must_fit(":alice!* RENAME #old #new :a better name");
    find(&lines, "MARKREAD").must_fit("*#new timestamp=2024-01-02T03:04:05.006Z");
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["PART", "JOIN", "332", "333", "353", "366"]);
    lines[0].must_fit(":bob!* PART #old :Channel renamed: a better name");
    lines[1].must_fit(":bob!* JOIN #new");
    alice.ask("PRIVMSG #new :said after");
    bob.only().must_fit("*PRIVMSG #new :said after");
    alice.one("RENAME #new nonsense").must_fit("*FAIL RENAME CANNOT_RENAME #new nonsense :*");
    bob.join("#taken");
    alice.one("RENAME #new #taken").must_fit("*FAIL RENAME CHANNEL_NAME_IN_USE #new #taken :*");
    alice.one("RENAME #nowhere #x").must_fit("*403 alice #nowhere :*");
    // Another way to write it is no other channel.
    find(&alice.ask("RENAME #new #New"), "RENAME").must_fit("*RENAME #new #New :");
    bob.silent();
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let lines = alice.join("#new");
    find(&lines, "JOIN").must_fit(":alice!* JOIN #New");
    find(&lines, "332").must_fit("*#New :what it is about");
    find(&lines, "MARKREAD").must_fit("*#New timestamp=2024-01-02T03:04:05.006Z");
    find(&alice.ask("MODE #new b"), "367").must_fit("*#New mallory!*");
    let page = alice.ask("CHATHISTORY LATEST #new * 10");
    assert_eq!(page.iter().filter(|line| line.command() == "PRIVMSG").count(), 2);
    // The old name is free, and knows nothing.
    let mut carol = server.user_with("carol", CAPS);
    carol.join("#old");
    assert_eq!(alice.one("MARKREAD #old").params(), ["#old", "*"]);
    assert_eq!(carol.ask("CHATHISTORY LATEST #old * 10").len(), 2);
}

#[test]
fn a_channel_that_nothing_is_kept_of_is_renamed_at_once() {
    let server = Server::with(&[("ROOST__HISTORY__ENABLED", "false")]);
    let mut alice = server.user_with("alice", "draft/channel-rename");
    alice.join("#a");
    alice.one("RENAME #a #b :why not").must_fit("*RENAME #a #b :why not");
    alice.one("RENAME #b #B").must_fit("*RENAME #b #B :");
}

/// What was said in `#team` before it was renamed, and who else has a channel of that name now.
fn renamed(server: &Server) -> (Client, Client) {
    server.account("alice", "sesame");
    server.account("carol", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/channel-rename echo-message message-tags");
    let mut carol = server.logged_in("carol", "carol", "sesame", "server-time batch message-tags");
    carol.told("NS SET AUTOREPLAY-MISSED ON");
    alice.join("#team");
    carol.join("#team");
    carol.send("QUIT");
    carol.closed();
    let said = alice.ask("PRIVMSG #team :secret");
    let msgid = find(&said, "PRIVMSG").msgid().to_owned();
    alice.ask(&format!("@+draft/react=x;+draft/reply={msgid} TAGMSG #team"));
    alice.ask("TOPIC #team :hidden");
    alice.ask("RENAME #team #team-private");
    let mut mallory = server.user("mallory");
    mallory.join("#team");
    (alice, mallory)
}

/// Whether a line names the channel by its old name.
fn names_the_old(line: &Line) -> bool {
    line.body().split(' ').any(|word| word == "#team")
}

/// Everything that a device of carol's is told in this way, and which of it is text.
fn told(server: &Server, caps: &str, lines: &[&str]) -> (Vec<Line>, Vec<String>) {
    let mut carol = server.connect();
    let mut told = carol.log_in("carol", "carol", "sesame", caps);
    told.extend(carol.join("#team-private"));
    for line in lines {
        told.extend(carol.ask(line));
    }
    assert!(!told.iter().any(names_the_old), "{told:#?}");
    let said = all(&told, "PRIVMSG").iter().map(|line| line.params().join(" ")).collect();
    (told, said)
}

#[test]
fn what_was_said_before_a_channel_was_renamed_is_shown_in_it_by_every_door() {
    let server = Server::start();
    let (mut alice, _mallory) = renamed(&server);
    // The replay to a client that cannot ask.
    let (_, said) = told(&server, "server-time batch message-tags", &[]);
    assert_eq!(said, ["#team-private secret"]);
    // CHATHISTORY, with events and what is about a message.
    let caps = "draft/chathistory draft/event-playback batch message-tags server-time";
    let (lines, said) = told(&server, caps, &["CHATHISTORY LATEST #team-private * 50"]);
    assert_eq!(said, ["#team-private secret"]);
    for command in ["JOIN", "TOPIC", "TAGMSG", "QUIT"] {
        assert!(all(&lines, command).iter().any(|line| line.tag("batch").is_some()), "{command}: {lines:#?}");
    }
    // What clients of ZNC ask for.
    let caps = "znc.in/playback server-time batch";
    let (_, said) = told(&server, caps, &["PRIVMSG *playback :PLAY * 0"]);
    assert_eq!(said, ["#team-private secret"]);
    // SEARCH, in it and in everything.
    let search = ["SEARCH in=#team-private;text=secret", "SEARCH text=secret"];
    let (_, said) = told(&server, "draft/search draft/chathistory batch", &search);
    assert_eq!(said, ["#team-private secret", "#team-private secret"]);
    // An edit, live and in the history, and what is taken back.
    let caps = "draft/message-edit draft/message-redaction draft/chathistory batch message-tags server-time";
    let mut carol = server.logged_in("carol", "carol", "sesame", caps);
    carol.join("#team-private");
    alice.request("draft/message-edit draft/message-redaction draft/chathistory batch");
    let page = alice.ask("CHATHISTORY LATEST #team-private * 50");
    let msgid = find(&page, "PRIVMSG").msgid().to_owned();
    alice.ask(&format!("EDIT #team-private {msgid} :edited"));
    let live = carol.sync();
    find(&live, "EDIT").must_fit("*:alice!* EDIT #team-private");
    let page = carol.ask("CHATHISTORY LATEST #team-private * 50");
    assert_eq!(texts(&page), ["edited"]);
    find(&page, "EDIT").must_fit("*:alice!* EDIT #team-private");
    alice.ask("RENAME #team-private #team-closed");
    let page = carol.ask("CHATHISTORY LATEST #team-closed * 50");
    find(&page, "EDIT").must_fit("*:alice!* EDIT #team-closed");
    alice.ask(&format!("REDACT #team-closed {msgid}"));
    let live = carol.sync();
    find(&live, "REDACT").must_fit("*:alice!* REDACT #team-closed *");
    alice.ask("RENAME #team-closed #team-gone");
    let page = carol.ask("CHATHISTORY LATEST #team-gone * 50");
    find(&page, "REDACT").must_fit("*:alice!* REDACT #team-gone *");
}
