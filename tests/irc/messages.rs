//! PRIVMSG, NOTICE and TAGMSG: who gets what.

use irc_proto::{Command, Prefix};

use crate::client::{commands, find, texts};
use crate::codec::CodecClient;
use crate::server::Server;

#[test]
fn a_channel_message_reaches_every_other_member_and_nobody_else() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    alice.send("PRIVMSG #room :hello, world");
    alice.silent();
    let mask = alice.mask();
    assert_eq!(bob.only().raw, format!(":{mask} PRIVMSG #room :hello, world"));
    carol.silent();
}

#[test]
fn through_another_implementation_a_conversation_reads_the_same() {
    let server = Server::start();
    let mut alice = CodecClient::register(server.plain, "alice");
    let mut bob = CodecClient::register(server.plain, "bob");
    alice.send(Command::JOIN("#room".to_owned(), None, None));
    alice.sync();
    bob.send(Command::JOIN("#room".to_owned(), None, None));
    bob.sync();
    alice.sync();
    alice.send(Command::PRIVMSG("#room".to_owned(), "two  spaces and a : colon".to_owned()));
    alice.send(Command::NOTICE("bob".to_owned(), ":)".to_owned()));
    alice.send(Command::TOPIC("#room".to_owned(), Some("what we talk about".to_owned())));
    alice.sync();
    let messages = bob.sync();
    assert_eq!(messages.len(), 3, "{messages:#?}");
    for message in &messages {
        assert!(matches!(&message.prefix, Some(Prefix::Nickname(nick, _, _)) if nick == "alice"), "{message:?}");
    }
    assert_eq!(messages[0].command, Command::PRIVMSG("#room".to_owned(), "two  spaces and a : colon".to_owned()));
    assert_eq!(messages[1].command, Command::NOTICE("bob".to_owned(), ":)".to_owned()));
    assert_eq!(messages[2].command, Command::TOPIC("#room".to_owned(), Some("what we talk about".to_owned())));
}

#[test]
fn order_is_the_same_for_everyone() {
    let server = Server::start();
    let mut talkers: Vec<_> =
        ["alice", "bob", "carol"].iter().map(|nick| server.user_with(nick, "echo-message")).collect();
    for client in &mut talkers {
        client.join("#room");
    }
    for client in &mut talkers {
        client.sync();
    }
    for number in 0..50 {
        for client in &mut talkers {
            let nick = client.nick.clone();
            client.send(&format!("PRIVMSG #room :{nick} {number}"));
        }
    }
    let mut seen: Vec<Vec<String>> = Vec::new();
    for client in &mut talkers {
        let mut lines = Vec::new();
        while texts(&lines).len() < 150 {
            lines.push(client.line());
        }
        seen.push(texts(&lines).into_iter().map(str::to_owned).collect());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[test]
fn a_private_message_reaches_its_nick_in_any_case() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send("PRIVMSG BOB :hi");
    alice.silent();
    bob.only().must_fit(":alice!*@* PRIVMSG bob :hi");
}

#[test]
fn errors_of_privmsg() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.one("PRIVMSG").must_fit(":roost.local 411 alice :*");
    alice.one("PRIVMSG bob").must_fit(":roost.local 412 alice :*");
    alice.one("PRIVMSG alice :").must_fit(":roost.local 412 alice :*");
    alice.one("PRIVMSG nobody :hi").must_fit(":roost.local 401 alice nobody :*");
    alice.one("PRIVMSG #nowhere :hi").must_fit(":roost.local 403 alice #nowhere :*");
    server.user("bob").join("#elsewhere");
}

#[test]
fn a_notice_never_causes_an_answer() {
    let server = Server::start();
    let mut alice = server.user("alice");
    for line in ["NOTICE", "NOTICE bob", "NOTICE nobody :hi", "NOTICE #nowhere :hi"] {
        alice.send(line);
    }
    alice.silent();
}

#[test]
fn no_outside_messages_with_n_and_404_without_voice_in_m() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +n");
    bob.one("PRIVMSG #room :from outside").must_fit(":roost.local 404 bob #room :*");
    alice.silent();
    alice.ask("MODE #room -n");
    bob.ask("PRIVMSG #room :from outside");
    alice.only().must_fit(":bob!* PRIVMSG #room :from outside");
    bob.join("#room");
    alice.ask("MODE #room +m");
    bob.sync();
    bob.one("PRIVMSG #room :quiet").must_fit(":roost.local 404 bob #room :*");
    alice.send("MODE #room +v bob");
    alice.sync();
    bob.sync();
    bob.send("PRIVMSG #room :loud");
    bob.silent();
    alice.only().must_fit(":bob!* PRIVMSG #room :loud");
}

#[test]
fn a_banned_member_cannot_speak_and_an_exception_lets_them() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.ask("MODE #room +b bob!*@*");
    bob.sync();
    bob.one("PRIVMSG #room :hm").must_fit(":roost.local 404 bob #room :*");
    alice.ask("MODE #room +e bob!*@*");
    bob.sync();
    bob.send("PRIVMSG #room :ha");
    bob.silent();
    assert_eq!(texts(&alice.sync()), ["ha"]);
}

#[test]
fn several_targets_each_get_one_copy() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    alice.one("PRIVMSG #room,carol,nobody :to all").must_fit(":roost.local 401 alice nobody :*");
    bob.only().must_fit(":alice!* PRIVMSG #room :to all");
    carol.only().must_fit(":alice!* PRIVMSG carol :to all");
}

#[test]
fn a_status_message_reaches_only_those_with_the_status() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    alice.ask("MODE #room +v bob");
    for client in [&mut bob, &mut carol] {
        client.sync();
    }
    bob.send("PRIVMSG @#room :ops only");
    bob.silent();
    alice.only().must_fit(":bob!* PRIVMSG @#room :ops only");
    carol.silent();
    alice.send("PRIVMSG +#room :voiced and up");
    alice.silent();
    bob.only().must_fit(":alice!* PRIVMSG +#room :voiced and up");
    carol.silent();
}

#[test]
fn a_message_to_oneself_comes_once_without_echo_and_twice_with_it() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.one("PRIVMSG alice :note to self").must_fit(":alice!* PRIVMSG alice :note to self");
    let mut bob = server.user_with("bob", "echo-message");
    let lines = bob.ask("PRIVMSG bob :note to self");
    assert_eq!(commands(&lines), ["PRIVMSG", "PRIVMSG"]);
}

#[test]
fn tagmsg_reaches_only_those_with_message_tags() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "message-tags");
    let (mut bob, mut carol) = (server.user_with("bob", "message-tags"), server.user("carol"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    alice.send("@+typing=active TAGMSG #room");
    alice.silent();
    let line = bob.only();
    assert_eq!(line.tag("+typing"), Some("active"));
    line.must_fit(":alice!* TAGMSG #room");
    carol.silent();
    alice.send("@+typing=done TAGMSG bob,carol");
    alice.silent();
    bob.only().must_fit(":alice!* TAGMSG bob");
    carol.silent();
}

#[test]
fn a_source_that_a_client_sends_is_ignored() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.send(":mallory!m@evil PRIVMSG bob :who am I");
    alice.silent();
    bob.only().must_fit(":alice!* PRIVMSG bob :who am I");
}

#[test]
fn what_fits_in_comes_out_whole_or_is_refused_with_417() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    let text = "é".repeat(230);
    alice.send(&format!("PRIVMSG bob :{text}"));
    let answers = alice.sync();
    let lines = bob.sync();
    if answers.is_empty() {
        // With the source in front it may not fit any more: cut, but never inside a character.
        let got = texts(&lines)[0];
        assert!(text.starts_with(got) && !got.is_empty(), "{got:?}");
    } else {
        assert_eq!(commands(&answers), ["417"]);
        assert!(lines.is_empty());
    }
}

#[test]
fn what_is_said_to_a_grouped_nick_reaches_whoever_is_always_on_without_a_connection() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alicia", "alice", "sesame", "");
    alice.told("NS GROUP");
    alice.told("NS SET ALWAYS-ON ON");
    let mut bob = server.user_with("bob", "echo-message message-tags");
    bob.join("#b");
    alice.send("QUIT");
    alice.closed();
    let lines = bob.ask("PRIVMSG alicia :hello");
    find(&lines, "PRIVMSG").must_fit("*:bob!* PRIVMSG alice :hello");
    find(&lines, "301").must_fit("*301 bob alice :*");
    bob.one("NOTICE ALICIA :and this").must_fit("*:bob!* NOTICE alice :and this");
    find(&bob.ask("INVITE alicia #b"), "341").must_fit("*341 bob alice #b");
    // Nobody has that nick all the same, and a nick that is not grouped is nobody's.
    find(&bob.ask("WHOIS alicia"), "401").must_fit("*401 bob alicia :*");
    bob.one("PRIVMSG alicia_ :hello").must_fit("*401 bob alicia_ :*");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/chathistory batch");
    assert_eq!(texts(&alice.ask("CHATHISTORY LATEST bob * 10")), ["hello", "and this"]);
    // Who is connected is under the nick that it has.
    bob.one("PRIVMSG alicia :hello").must_fit("*401 bob alicia :*");
}
