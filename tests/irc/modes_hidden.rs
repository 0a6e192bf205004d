//! Channel modes that show less than everything to everyone: auditorium (`u`), delayed join (`D`),
//! op-moderated (`U`); and the user modes `p` and `D`.

use crate::client::{Client, all, commands, find};
use crate::server::Server;

/// The words of NAMES.
fn names(client: &mut Client, channel: &str) -> Vec<String> {
    let lines = client.ask(&format!("NAMES {channel}"));
    let mut names: Vec<String> = all(&lines, "353")
        .iter()
        .flat_map(|line| line.params()[3].split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    names.sort();
    names
}

/// The nicks of `WHO channel`.
fn who(client: &mut Client, channel: &str) -> Vec<String> {
    let lines = client.ask(&format!("WHO {channel}"));
    let mut nicks: Vec<String> = all(&lines, "352").iter().map(|line| line.params()[5].to_owned()).collect();
    nicks.sort();
    nicks
}

fn modes(client: &mut Client, channel: &str) -> String {
    client.ask(&format!("MODE {channel}"))[0].params()[2].to_owned()
}

#[test]
fn the_audience_of_an_auditorium_is_seen_by_operators_alone() {
    let server = Server::start();
    let (mut alice, mut bob, mut carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.join("#hall");
    alice.ask("MODE #hall +u");
    bob.join("#hall");
    alice.only().must_fit(":bob!* JOIN #hall");
    carol.join("#hall");
    bob.silent();
    alice.sync();
    assert_eq!(names(&mut alice, "#hall"), ["@alice", "bob", "carol"]);
    assert_eq!(names(&mut bob, "#hall"), ["@alice"]);
    assert_eq!(who(&mut alice, "#hall"), ["alice", "bob", "carol"]);
    assert_eq!(who(&mut bob, "#hall"), ["alice", "bob"]);
    assert!(all(&bob.ask("WHOIS carol"), "319").is_empty());
    find(&alice.ask("WHOIS carol"), "319").must_fit("*:#hall");
    assert!(all(&bob.ask("WHO ca*"), "352").is_empty(), "nor is a channel shared that is not seen to be");
    // People speak without being shown, and nothing else of them is told.
    carol.send("PRIVMSG #hall :a question");
    carol.silent();
    bob.only().must_fit(":carol!* PRIVMSG #hall :a question");
    carol.ask("NICK carola");
    bob.silent();
    assert_eq!(commands(&alice.sync()), ["PRIVMSG", "NICK"]);
    carol.ask("AWAY :gone");
    carol.ask("PART #hall :bye");
    alice.only().must_fit(":carola!* PART #hall :bye");
    bob.silent();
    // A voice is seen, and so is its leaving.
    carol.join("#hall");
    alice.ask("MODE #hall +v carola");
    bob.only().must_fit(":alice!* MODE #hall +v carola");
    assert_eq!(names(&mut bob, "#hall"), ["+carola", "@alice"]);
    carol.sync();
    carol.send("QUIT :home");
    carol.closed();
    bob.only().must_fit(":carola!* QUIT :*home");
    alice.sync();
    // Whoever becomes an operator is told who is there, and an operator who kicks does so unseen.
    let mut dave = server.user("dave");
    dave.join("#hall");
    alice.sync();
    alice.ask("MODE #hall +h bob");
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["MODE", "353", "366"]);
    assert!(lines[1].params()[3].contains("dave"), "{lines:#?}");
    let mut erin = server.user("erin");
    erin.join("#hall");
    dave.sync();
    bob.ask("KICK #hall erin :out");
    dave.silent();
    erin.only().must_fit(":bob!* KICK #hall erin :out");
}

#[test]
fn joins_are_delayed_until_someone_says_something() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user_with("bob", "extended-join away-notify"));
    let (mut carol, mut dave) = (server.user("carol"), server.user("dave"));
    alice.join("#room");
    bob.join("#room");
    alice.ask("MODE #room +D");
    bob.sync();
    carol.ask("AWAY :asleep");
    carol.join("#room");
    dave.join("#room");
    bob.silent();
    assert_eq!(commands(&alice.sync()), ["JOIN", "JOIN"]);
    assert_eq!(names(&mut bob, "#room"), ["@alice", "bob"]);
    assert_eq!(names(&mut carol, "#room"), ["@alice", "bob", "carol"]);
    assert_eq!(names(&mut alice, "#room"), ["@alice", "bob", "carol", "dave"]);
    // An invitation does not tell who is there.
    bob.one("INVITE dave #room").must_fit(":roost.local 341 bob dave #room");
    dave.only().must_fit(":bob!* INVITE dave #room");
    alice.one("INVITE dave #room").must_fit(":roost.local 443 alice dave #room :*");
    // The JOIN stands before what is said, with all that comes of a JOIN.
    assert!(carol.ask("PRIVMSG #room :hello").is_empty());
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["JOIN", "AWAY", "PRIVMSG"]);
    lines[0].must_fit(":carol!* JOIN #room * :carol of the tests");
    assert_eq!(commands(&alice.sync()), ["PRIVMSG"]);
    assert!(carol.ask("PRIVMSG #room :again").is_empty());
    assert_eq!(commands(&bob.sync()), ["PRIVMSG"]);
    alice.sync();
    // Whoever leaves unseen was never there.
    dave.ask("PART #room");
    bob.silent();
    carol.silent();
    alice.only().must_fit(":dave!* PART #room");
    dave.join("#room");
    alice.sync();
    // `d` says that there are some whom not all have been shown.
    assert!(!modes(&mut bob, "#room").contains('d'));
    alice.ask("MODE #room -D");
    let lines = bob.sync();
    assert_eq!(lines.iter().map(|line| line.params()[1]).collect::<Vec<_>>(), ["-D", "+d"]);
    assert!(modes(&mut bob, "#room").contains('d'));
    alice.sync();
    alice.ask("MODE #room +v dave");
    let lines = bob.sync();
    assert_eq!(commands(&lines), ["JOIN", "MODE", "MODE"], "{lines:#?}");
    lines[0].must_fit(":dave!* JOIN #room *");
    assert!(lines[1..].iter().any(|line| line.params() == ["#room", "-d"]), "{lines:#?}");
    assert!(!modes(&mut bob, "#room").contains('d'));
    alice.one("MODE #room +d").must_fit(":roost.local 468 alice #room :*");
    alice.one("MODE #room -r").must_fit(":roost.local 468 alice #room :*");
}

#[test]
fn what_not_all_were_shown_is_not_in_history() {
    let server = Server::start();
    server.account("carol", "sesame");
    let mut alice = server.user_with("alice", "message-tags server-time batch draft/chathistory draft/event-playback");
    alice.join("#room");
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    for mode in ["D", "u"] {
        alice.ask(&format!("MODE #room +{mode}"));
        carol.join("#room");
        carol.ask("NICK other");
        carol.ask("NICK carol");
        carol.ask("PART #room :bye");
        alice.ask(&format!("MODE #room -{mode}"));
    }
    alice.ask("MODE #room +U");
    carol.join("#room");
    carol.ask("PRIVMSG #room :to the operators");
    find(&alice.sync(), "PRIVMSG").must_fit("*:carol!* PRIVMSG #room :to the operators");
    let lines = alice.ask("CHATHISTORY LATEST #room * 100");
    let told: Vec<&str> = lines.iter().map(|line| line.command()).filter(|command| *command != "BATCH").collect();
    assert_eq!(told, ["MODE", "MODE", "MODE", "MODE", "MODE", "JOIN"], "{lines:#?}");
}

#[test]
fn only_operators_get_what_those_without_voice_say_in_an_op_moderated_channel() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user_with("bob", "echo-message message-tags"));
    let mut carol = server.user_with("carol", "message-tags");
    alice.join("#room");
    bob.join("#room");
    carol.join("#room");
    alice.ask("MODE #room +U");
    bob.sync();
    carol.sync();
    bob.one("PRIVMSG #room :hello").must_fit("*:bob!* PRIVMSG #room :hello");
    find(&alice.sync(), "PRIVMSG").must_fit(":bob!* PRIVMSG #room :hello");
    bob.ask("@+typing=active TAGMSG #room");
    bob.ask("NOTICE #room :hello");
    carol.silent();
    alice.ask("MODE #room +v bob");
    carol.sync();
    bob.ask("PRIVMSG #room :hello");
    carol.only().must_fit("*:bob!* PRIVMSG #room :hello");
}

#[test]
fn a_user_hides_its_channels_from_those_who_are_not_in_them() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.ask("MODE alice -i+p");
    alice.join("#one");
    alice.join("#two");
    bob.join("#two");
    find(&bob.ask("WHOIS alice"), "319").must_fit("*:@#two");
    find(&alice.ask("WHOIS alice"), "319").must_fit("*:@#one @#two");
    assert!(names(&mut bob, "#one").is_empty());
    assert!(who(&mut bob, "#one").is_empty());
    find(&bob.ask("WHO alice"), "352").must_fit("* 352 bob #two *");
    bob.ask("PART #two");
    assert!(all(&bob.ask("WHOIS alice"), "319").is_empty());
    assert_eq!(find(&bob.ask("WHO alice"), "352").params()[1], "*");
    alice.ask("MODE alice -p");
    find(&bob.ask("WHOIS alice"), "319").must_fit("*:@#one @#two");
}

#[test]
fn whoever_is_deaf_is_told_of_people_and_not_of_what_they_say() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user_with("alice", "echo-message"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    alice.one("MODE alice +D").must_fit(":alice!* MODE alice +D");
    bob.ask("PRIVMSG #room :hello");
    bob.ask("NOTICE #room :hello");
    bob.ask("PRIVMSG @#room :hello");
    alice.silent();
    bob.ask("TOPIC #room :new");
    alice.sync();
    bob.ask("PRIVMSG alice :in private");
    alice.only().must_fit(":bob!* PRIVMSG alice :in private");
    alice.one("PRIVMSG #room :I do speak").must_fit(":alice!* PRIVMSG #room :I do speak");
    bob.sync();
    alice.ask("MODE alice -D");
    bob.ask("PRIVMSG #room :hello");
    alice.only();
}
