//! JOIN, PART, TOPIC, KICK, INVITE and NAMES.

use irc_proto::{Command, Response};

use crate::client::{all, commands, find, texts};
use crate::codec::CodecClient;
use crate::server::Server;

#[test]
fn joining_a_new_channel_makes_one_an_operator() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let mask = alice.mask();
    let lines = alice.ask("JOIN #room");
    assert_eq!(commands(&lines), ["JOIN", "353", "366"], "{lines:#?}");
    assert_eq!(lines[0].raw, format!(":{mask} JOIN #room"));
    assert_eq!(lines[1].raw, ":roost.local 353 alice = #room :@alice");
    lines[2].must_fit(":roost.local 366 alice #room :*");
}

#[test]
fn joining_tells_the_members_and_the_topic_comes_before_the_names() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("TOPIC #room :what we talk about");
    let lines = bob.ask("JOIN #ROOM");
    assert_eq!(commands(&lines), ["JOIN", "332", "333", "353", "366"], "{lines:#?}");
    lines[0].must_fit(":bob!* JOIN #room");
    assert_eq!(lines[1].raw, ":roost.local 332 bob #room :what we talk about");
    lines[2].must_fit(":roost.local 333 bob #room alice* *");
    assert_eq!(lines[2].params().len(), 4);
    assert!(lines[2].params()[3].parse::<u64>().unwrap() > 1_600_000_000, "{lines:#?}");
    let mut names: Vec<&str> = lines[3].params()[3].split(' ').collect();
    names.sort_unstable();
    assert_eq!(names, ["@alice", "bob"]);
    let mask = bob.mask();
    assert_eq!(alice.only().raw, format!(":{mask} JOIN #room"));
}

#[test]
fn through_another_implementation_joining_reads_the_same() {
    let server = Server::start();
    let mut alice = CodecClient::register(server.plain, "alice");
    alice.send(Command::JOIN("#room".to_owned(), None, None));
    let messages = alice.sync();
    assert!(matches!(&messages[0].command, Command::JOIN(channel, _, _) if channel == "#room"), "{messages:#?}");
    let Command::Response(Response::RPL_NAMREPLY, params) = &messages[1].command else { panic!("{messages:#?}") };
    assert_eq!(params[..], ["alice", "=", "#room", "@alice"]);
    assert!(matches!(&messages[2].command, Command::Response(Response::RPL_ENDOFNAMES, _)), "{messages:#?}");
}

#[test]
fn several_channels_and_keys_in_one_join() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#a,#b,#c");
    alice.ask("MODE #a +k one");
    alice.ask("MODE #b +k two");
    let lines = bob.ask("JOIN #a,#b,#c one,wrong");
    let joined: Vec<&str> = all(&lines, "JOIN").iter().map(|line| line.params()[0]).collect();
    assert_eq!(joined, ["#a", "#c"]);
    find(&lines, "475").must_fit(":roost.local 475 bob #b :*");
}

#[test]
fn clients_1c_3_a_long_join_line_and_a_channel_joined_already() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let channels: Vec<String> =
        (0..60).map(|number| format!("#a-channel-with-quite-a-long-name-for-the-test-{number}")).collect();
    let line = format!("JOIN {}", channels.join(","));
    assert!(line.len() > 2500);
    let lines = alice.ask(&line);
    let joined: Vec<&str> = all(&lines, "JOIN").iter().map(|line| line.params()[0]).collect();
    assert_eq!(joined, channels);
    assert_eq!(all(&lines, "366").len(), 60);
    // Nothing is said to others about a channel that one is in already.
    let mut bob = server.user("bob");
    bob.join(&channels[0]);
    alice.sync();
    alice.ask(&format!("JOIN {}", channels[0]));
    bob.silent();
}

#[test]
fn a_bad_name_of_a_channel_is_an_error() {
    let server = Server::start();
    let mut alice = server.user("alice");
    for name in ["room", "#", "#a b", "#\u{7}bell", "&"] {
        let name = name.split(' ').next().unwrap();
        if name == "#a" {
            continue;
        }
        let line = alice.one(&format!("JOIN {name}"));
        assert!(matches!(line.command(), "403" | "476" | "479"), "JOIN {name:?}: {line:?}");
    }
    let line = alice.one(&format!("JOIN #{}", "x".repeat(64)));
    assert!(matches!(line.command(), "403" | "476" | "479"), "{line:?}");
    alice.join(&format!("#{}", "x".repeat(63)));
}

#[test]
fn too_many_channels_are_405() {
    let server = Server::with(&[("ROOST__CHANNELS__PER_USER", "3")]);
    let mut alice = server.user("alice");
    let lines = alice.ask("JOIN #a,#b,#c,#d");
    assert_eq!(all(&lines, "JOIN").len(), 3);
    find(&lines, "405").must_fit(":roost.local 405 alice #d :*");
    alice.ask("PART #a");
    alice.join("#d");
}

#[test]
fn join_0_leaves_everything() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.join("#a,#b");
    let lines = alice.ask("JOIN 0");
    assert_eq!(commands(&lines), ["PART", "PART"], "{lines:#?}");
}

#[test]
fn part_tells_everyone_with_its_reason() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room,#other");
    bob.join("#room");
    alice.sync();
    let mask = alice.mask();
    let lines = alice.ask("PART #room,#other :see you");
    assert_eq!(lines[0].raw, format!(":{mask} PART #room :see you"));
    assert_eq!(lines[1].raw, format!(":{mask} PART #other :see you"));
    assert_eq!(bob.only().raw, format!(":{mask} PART #room :see you"));
    alice.one("PART #room").must_fit(":roost.local 442 alice #room :*");
    alice.one("PART #never").must_fit(":roost.local 403 alice #never :*");
    // An empty channel is gone: whoever comes next is its operator.
    let lines = alice.join("#other");
    find(&lines, "353").must_fit(":roost.local 353 alice = #other :@alice");
}

#[test]
fn quit_reaches_every_peer_once() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#a,#b");
    bob.join("#a,#b");
    alice.sync();
    let mask = alice.mask();
    alice.send("QUIT :gone fishing");
    alice.closed();
    let line = bob.only();
    assert!(line.raw.starts_with(&format!(":{mask} QUIT :")) && line.raw.ends_with("gone fishing"), "{line:?}");
}

#[test]
fn a_dropped_connection_is_a_quit() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#a");
    bob.join("#a");
    drop(alice);
    bob.until("QUIT").last().unwrap().must_fit(":alice!* QUIT :*");
}

#[test]
fn topic_is_asked_set_cleared_and_guarded() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    alice.one("TOPIC #room").must_fit(":roost.local 331 alice #room :*");
    let mask = alice.mask();
    assert_eq!(alice.one("TOPIC #room :first  topic ").raw, format!(":{mask} TOPIC #room :first  topic "));
    assert_eq!(bob.only().raw, format!(":{mask} TOPIC #room :first  topic "));
    let lines = bob.ask("TOPIC #room");
    assert_eq!(commands(&lines), ["332", "333"]);
    assert_eq!(lines[0].raw, ":roost.local 332 bob #room :first  topic ");
    // +t is on by default.
    bob.one("TOPIC #room :mine").must_fit(":roost.local 482 bob #room :*");
    alice.ask("MODE #room -t");
    bob.sync();
    bob.one("TOPIC #room :mine").must_fit(":bob!* TOPIC #room :mine");
    alice.sync();
    assert_eq!(alice.one("TOPIC #room :").raw, format!(":{mask} TOPIC #room :"));
    alice.one("TOPIC #room").must_fit(":roost.local 331 alice #room :*");
    let mut carol = server.user("carol");
    carol.one("TOPIC #room :no").must_fit(":roost.local 442 carol #room :*");
    carol.one("TOPIC #nowhere").must_fit(":roost.local 403 carol #nowhere :*");
}

#[test]
fn c36_a_topic_is_cut_at_a_character() {
    let server = Server::start();
    let mut alice = server.user("alice");
    alice.join("#room");
    let long = format!("x{}", "é".repeat(160));
    let line = alice.one(&format!("TOPIC #room :{long}"));
    let topic = line.params()[1].to_owned();
    assert_eq!(topic, format!("x{}", "é".repeat(149)), "TOPICLEN is 300 bytes");
    assert_eq!(alice.ask("TOPIC #room")[0].params()[2], topic);
}

#[test]
fn kick_with_reasons_lists_and_errors() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    bob.one("KICK #room carol").must_fit(":roost.local 482 bob #room :*");
    alice.one("KICK #room nobody").must_fit(":roost.local 401 alice nobody :*");
    alice.one("KICK #nowhere bob").must_fit(":roost.local 403 alice #nowhere :*");
    let lines = alice.ask("KICK #room bob,carol :out you go");
    assert_eq!(commands(&lines), ["KICK", "KICK"]);
    lines[0].must_fit(":alice!*@* KICK #room bob :out you go");
    bob.sync().first().unwrap().must_fit(":alice!* KICK #room bob :out you go");
    assert_eq!(all(&carol.sync(), "KICK").len(), 2);
    bob.one("PRIVMSG #room :still here?").must_fit(":roost.local 404 bob #room :*");
    alice.one("KICK #room bob").must_fit(":roost.local 441 alice bob #room :*");
    bob.one("KICK #room alice").must_fit(":roost.local 442 bob #room :*");
}

#[test]
fn a_kick_without_a_reason_has_some_text() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    let line = alice.one("KICK #room bob");
    line.must_fit(":alice!* KICK #room bob :*");
    assert!(!line.params()[2].is_empty());
}

#[test]
fn invite_opens_an_invite_only_channel_once() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#room");
    alice.ask("MODE #room +i");
    bob.one("JOIN #room").must_fit(":roost.local 473 bob #room :*");
    assert_eq!(alice.one("INVITE bob #room").raw, ":roost.local 341 alice bob #room");
    let mask = alice.mask();
    let line = bob.only();
    assert_eq!(line.source(), mask);
    assert_eq!((line.command(), line.params()), ("INVITE", vec!["bob", "#room"]));
    bob.join("#room");
    alice.sync();
    alice.one("INVITE bob #room").must_fit(":roost.local 443 alice bob #room :*");
    bob.ask("PART #room");
    bob.one("JOIN #room").must_fit(":roost.local 473 bob #room :*");
    carol.one("INVITE bob #room").must_fit(":roost.local 442 carol #room :*");
    carol.one("INVITE nobody #room").must_fit(":roost.local 4* carol *");
    alice.sync();
    alice.one("INVITE nobody #room").must_fit(":roost.local 401 alice nobody :*");
}

#[test]
fn only_an_operator_invites_to_an_invite_only_channel() {
    let server = Server::start();
    let (mut alice, mut bob, _carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#room");
    bob.join("#room");
    bob.one("INVITE carol #room").must_fit(":roost.local 341 bob carol #room");
    alice.ask("MODE #room +i");
    bob.sync();
    bob.one("INVITE carol #room").must_fit(":roost.local 482 bob #room :*");
}

#[test]
fn c35_an_invitation_goes_past_key_limit_and_ban() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +iklb secret 1 bob!*@*");
    bob.sync();
    alice.ask("INVITE bob #room");
    bob.sync();
    bob.join("#room");
}

#[test]
fn an_exception_of_invitations_lets_in() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +iI bob!*@*");
    bob.join("#room");
}

#[test]
fn bans_keep_out_and_exceptions_let_in() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +b BOB!*@*");
    bob.one("JOIN #room").must_fit(":roost.local 474 bob #room :*");
    alice.ask("MODE #room +e b?b!*@*");
    bob.join("#room");
}

#[test]
fn key_and_limit_keep_out() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +k secret");
    bob.one("JOIN #room").must_fit(":roost.local 475 bob #room :*");
    bob.one("JOIN #room wrong").must_fit(":roost.local 475 bob #room :*");
    bob.join("#room secret");
    bob.ask("PART #room");
    alice.ask("MODE #room -k *");
    alice.ask("MODE #room +l 1");
    bob.one("JOIN #room").must_fit(":roost.local 471 bob #room :*");
    alice.ask("MODE #room -l");
    bob.join("#room");
}

#[test]
fn clients_1c_4_a_member_has_353_before_every_366() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room,#other");
    let lines = alice.ask("NAMES #room,#other");
    assert_eq!(commands(&lines), ["353", "353", "366"]);
    assert_eq!(lines[0].raw, ":roost.local 353 alice = #room :@alice");
    assert_eq!(lines[2].params()[1], "#room,#other");
    let lines = bob.ask("NAMES #nowhere");
    assert_eq!(commands(&lines).last(), Some(&"366"));
}

#[test]
fn names_shows_strangers_only_who_is_not_invisible() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#room");
    carol.join("#room");
    alice.ask("MODE alice -i");
    let lines = bob.ask("NAMES #room");
    assert_eq!(commands(&lines), ["353", "366"]);
    assert_eq!(lines[0].raw, ":roost.local 353 bob = #room :@alice");
}

#[test]
fn names_of_a_secret_channel_are_for_its_members() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    alice.ask("MODE #room +s");
    assert_eq!(alice.ask("NAMES #room")[0].raw, ":roost.local 353 alice @ #room :@alice");
    let lines = bob.ask("NAMES #room");
    assert!(lines.iter().all(|line| !line.raw.contains("alice")), "{lines:#?}");
    assert_eq!(commands(&lines).last(), Some(&"366"));
}

#[test]
fn long_names_are_split_over_lines_and_lose_nobody() {
    let server = Server::start();
    let mut clients: Vec<_> =
        (0..40).map(|number| server.user(&format!("someone-with-a-long-nick-{number}"))).collect();
    for client in &mut clients {
        client.send("JOIN #room");
    }
    for client in &mut clients {
        client.sync();
    }
    let lines = clients[0].ask("NAMES #room");
    let names: Vec<&str> =
        all(&lines, "353").iter().flat_map(|line| line.params()[3].split(' ').collect::<Vec<_>>()).collect();
    assert_eq!(names.len(), 40);
    assert!(all(&lines, "353").len() > 1);
}

#[test]
fn multi_prefix_shows_every_prefix_and_others_the_highest() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user_with("bob", "multi-prefix userhost-in-names"));
    alice.join("#room");
    alice.ask("MODE alice -i");
    alice.ask("MODE #room +v alice");
    assert_eq!(alice.ask("NAMES #room")[0].raw, ":roost.local 353 alice = #room :@alice");
    let mask = alice.mask();
    assert_eq!(bob.ask("NAMES #room")[0].raw, format!(":roost.local 353 bob = #room :@+{mask}"));
}

#[test]
fn a_nick_change_keeps_status_and_is_told_once() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#a,#b");
    bob.join("#a,#b");
    alice.sync();
    let mask = alice.mask();
    assert_eq!(alice.one("NICK alicia").raw, format!(":{mask} NICK alicia"));
    assert_eq!(bob.only().raw, format!(":{mask} NICK alicia"));
    let lines = bob.ask("NAMES #a");
    assert!(lines[0].raw.contains("@alicia"), "{lines:#?}");
    bob.ask("PRIVMSG alicia :hi");
    assert_eq!(texts(&alice.sync()), ["hi"]);
}
