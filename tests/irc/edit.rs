//! Editing (draft/message-edit, <https://github.com/ircv3/ircv3-specifications/pull/425>).

use crate::client::{Client, Line, all, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/message-edit draft/message-redaction message-tags echo-message batch draft/chathistory \
    draft/event-playback draft/search server-time";

fn say(client: &mut Client, target: &str, text: &str) -> String {
    find(&client.ask(&format!("PRIVMSG {target} :{text}")), "PRIVMSG").msgid().to_owned()
}

fn alice(server: &Server) -> Client {
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#room");
    alice
}

/// The texts of a channel's history.
fn history(client: &mut Client) -> Vec<String> {
    let lines = client.ask("CHATHISTORY LATEST #room * 1000");
    all(&lines, "PRIVMSG").iter().map(|line| line.params()[1].to_owned()).collect()
}

/// An EDIT of this message to this text (escaped).
#[track_caller]
fn must_edit(line: &Line, target: &str, msgid: &str, text: &str) {
    line.must_fit(&format!("*:alice!* EDIT {target}"));
    assert_eq!((line.tag("draft/target-msgid"), line.tag("draft/edit-text")), (Some(msgid), Some(text)), "{line:?}");
    assert!(line.msgid() != msgid && line.tag("time").is_some(), "{line:?}");
}

#[test]
fn an_edited_message_reads_otherwise_everywhere_and_the_old_text_is_nowhere() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut author = alice(&server);
    let mut bob = server.user_with("bob", CAPS);
    bob.join("#room");
    let mut old = server.user("old");
    old.join("#room");
    author.sync();
    let msgid = say(&mut author, "#room", "anex ample");
    say(&mut author, "#room", "said after");
    for reader in [&mut bob, &mut old] {
        reader.sync();
    }
    let edit = format!(r"@draft/target-msgid={msgid};draft/edit-text=an\sexample\: EDIT #ROOM");
    must_edit(&author.one(&edit), "#room", &msgid, r"an\sexample\:");
    must_edit(&bob.only(), "#room", &msgid, r"an\sexample\:");
    old.silent();
    for _ in 0..2 {
        assert_eq!(history(&mut author), ["an example;", "said after"]);
        let lines = author.ask("SEARCH in=#room;text=example");
        assert_eq!(texts(&lines), ["an example;"]);
        assert!(texts(&author.ask("SEARCH in=#room;text=ample")).is_empty());
        // Who was away is told, though only once the message is there.
        let lines = author.ask("CHATHISTORY LATEST #room * 10");
        must_edit(find(&lines, "EDIT"), "#room", &msgid, r"an\sexample\:");
        server.crash_and_restart();
        author = alice(&server);
    }
    // As parameters, and again; both edits say what it says now.
    for (command, text) in [("EDIT", "second"), ("EDITMSG", "third text")] {
        author.one(&format!("{command} #room {msgid} :{text}"));
    }
    assert_eq!(history(&mut author), ["third text", "said after"]);
    let lines = author.ask("CHATHISTORY LATEST #room * 20");
    let edits = all(&lines, "EDIT");
    assert_eq!(edits.len(), 3);
    for line in edits {
        must_edit(line, "#room", &msgid, r"third\stext");
    }
    // Taken back, it is gone with what was said of it.
    author.one(&format!("REDACT #room {msgid}"));
    assert_eq!(history(&mut author), ["said after"]);
    let lines = author.ask("CHATHISTORY LATEST #room * 20");
    assert!(!lines.iter().any(|line| line.raw.contains("third") || line.command() == "EDIT"), "{lines:#?}");
    author.one(&format!("EDIT #room {msgid} :back")).must_fit("*FAIL EDIT EDIT_FORBIDDEN #room *");
    server.signal("TERM");
    server.wait();
    if let Ok(file) = std::fs::read(server.data().join("roost.db")) {
        for (word, there) in [("ample", false), ("third", false), ("said after", true)] {
            assert_eq!(file.windows(word.len()).any(|bytes| bytes == word.as_bytes()), there, "{word}");
        }
    }
}

#[test]
fn only_the_account_that_said_it_edits_and_only_for_a_while() {
    let server = Server::with(&[("ROOST__HISTORY__EDIT_WINDOW", "2")]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut author = alice(&server);
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    let mut guest = server.user_with("guest", CAPS);
    for client in [&mut bob, &mut guest] {
        client.join("#room");
    }
    author.sync();
    let first = say(&mut author, "#room", "hello");
    let of_guest = say(&mut guest, "#room", "hi");
    let code = |client: &mut Client, line: &str| {
        let lines = client.ask(line);
        let fail = find(&lines, "FAIL");
        (fail.params()[1].to_owned(), fail.raw.clone())
    };
    for (client, target, msgid) in
        [(&mut bob, "#room", &first), (&mut guest, "#room", &of_guest), (&mut author, "bob", &first)]
    {
        let (code, line) = code(client, &format!("EDIT {target} {msgid} :mine"));
        assert!(code == "EDIT_FORBIDDEN" && line.contains(&format!(" {target} {msgid} :")), "{line}");
    }
    assert_eq!(code(&mut bob, &format!("EDIT #nowhere {first} :text")).0, "EDIT_FORBIDDEN");
    assert_eq!(code(&mut author, "EDIT #room nonsense :text").0, "EDIT_FORBIDDEN");
    assert_eq!(code(&mut author, &format!("EDIT #room {first}")).0, "INVALID_EDIT");
    assert_eq!(code(&mut author, "EDIT #room").0, "INVALID_EDIT");
    let broken = format!(r"@draft/target-msgid={first};draft/edit-text=a\nb EDIT #room");
    assert_eq!(code(&mut author, &broken).0, "INVALID_EDIT");
    // Who may not speak any more may not edit.
    let of_bob = say(&mut bob, "#room", "before the ban");
    author.ask("MODE #room +b bob!*@*");
    assert_eq!(code(&mut bob, &format!("EDIT #room {of_bob} :after it")).0, "EDIT_FORBIDDEN");
    // Time passes by the server's own clock.
    let mut text = 0;
    let line = loop {
        text += 1;
        let lines = author.ask(&format!("EDIT #room {first} :{text}"));
        if let Some(fail) = all(&lines, "FAIL").first() {
            break (*fail).clone();
        }
    };
    line.must_fit(&format!("*FAIL EDIT EDIT_WINDOW_EXPIRED #room {first} 2 :*2 seconds*"));
    let last = (text - 1).to_string();
    assert!(text > 1 && texts(&author.ask(&format!("SEARCH in=#room;text={last}"))) == [last]);
    let mut none = server.user("none");
    none.one(&format!("EDIT #room {first} :x")).must_fit("*421 none EDIT :*");
    let server = Server::with(&[("ROOST__HISTORY__EDIT_WINDOW", "0")]);
    let mut without = server.connect();
    without.ask("CAP LS 302").iter().for_each(|line| assert!(!line.raw.contains("message-edit"), "{line:?}"));
}

#[test]
fn a_private_message_is_edited_on_both_sides() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut phone = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let said = say(&mut desk, "bob", "between us");
    phone.only();
    bob.only();
    bob.one(&format!("EDIT alice {said} :mine")).must_fit("*FAIL EDIT EDIT_FORBIDDEN alice *");
    must_edit(&desk.one(&format!("EDIT bob {said} :just us")), "bob", &said, r"just\sus");
    must_edit(&phone.only(), "bob", &said, r"just\sus");
    must_edit(&bob.only(), "bob", &said, r"just\sus");
    for (reader, peer) in [(&mut desk, "bob"), (&mut bob, "alice")] {
        let lines = reader.ask(&format!("CHATHISTORY LATEST {peer} * 10"));
        assert_eq!(all(&lines, "PRIVMSG").iter().map(|line| line.params()[1]).collect::<Vec<_>>(), ["just us"]);
    }
}
