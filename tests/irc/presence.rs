//! Presence that survives a disconnect (always-on, draft/persistence), and away as the sum over devices.

use crate::client::{Client, Line, all, commands, find, texts};
use crate::opers;
use crate::server::Server;

const CAPS: &str = "draft/persistence away-notify";

fn always_on(server: &Server) -> Client {
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.one("PERSISTENCE SET ON").must_fit(":roost.local PERSISTENCE STATUS ON ON");
    alice
}

fn gone(mut client: Client) {
    client.send("QUIT :closing the lid");
    client.closed();
}

fn names(lines: &[Line]) -> String {
    all(lines, "353").iter().map(|line| line.params()[3].to_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn that_what_one_writes_is_kept_is_said_only_where_it_is() {
    for (settings, chosen, kept) in [
        (&[][..], "", true),
        (&[], "alice HISTORY", false),
        (&[], "bob HISTORY", false),
        (&[("ROOST__HISTORY__ENABLED", "false")], "", false),
    ] {
        let server = Server::with(settings);
        let mut alice = always_on(&server);
        alice.join("#room");
        server.account("bob", "sesame");
        let mut bob = server.logged_in("bob", "bob", "sesame", "away-notify");
        bob.join("#room");
        match chosen.split_once(' ') {
            Some(("alice", setting)) => alice.told(&format!("NS SET {setting} OFF")),
            Some((_, setting)) => bob.told(&format!("NS SET {setting} OFF")),
            None => String::new(),
        };
        alice.sync();
        bob.sync();
        gone(alice);
        bob.only().must_fit(":alice!* AWAY :Not connected");
        let text = format!("*:Not connected; what you write is {}", if kept { "kept" } else { "not kept" });
        bob.one("PRIVMSG alice :are you there?").must_fit(&text);
        find(&bob.ask("WHOIS alice"), "301").must_fit(&text);
    }
}

#[test]
fn who_is_always_on_stays_with_rank_and_modes_and_finds_everything_again() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#room");
    alice.join("#other");
    alice.ask("MODE alice +w");
    alice.ask("SETNAME :Alice at home");
    let mut bob = server.user_with("bob", "away-notify");
    bob.join("#room");
    gone(alice);
    bob.only().must_fit(":alice!* AWAY :Not connected*");
    bob.one("PRIVMSG alice :are you there?").must_fit("*301 bob alice :Not connected*");
    assert_eq!(names(&bob.ask("NAMES #room")), "@alice bob");
    server.crash_and_restart();
    let mut bob = server.user_with("bob", "away-notify");
    assert_eq!(names(&bob.join("#room")), "@alice bob");
    find(&bob.ask("WHOIS alice"), "311").must_fit("*311 bob alice ~alice 127.0.0.1 * :Alice at home");
    find(&bob.ask("WHOIS alice"), "330").must_fit("*330 bob alice alice :*");
    let mut alice = server.connect();
    let lines = alice.log_in("alice", "alice", "sesame", CAPS);
    find(&lines, "PERSISTENCE").must_fit(":roost.local PERSISTENCE STATUS ON ON");
    let burst = alice.sync();
    let joined: Vec<String> = lines
        .iter()
        .chain(&burst)
        .filter(|line| line.command() == "JOIN")
        .map(|line| line.params()[0].to_owned())
        .collect();
    assert_eq!(joined, ["#room", "#other"]);
    alice.one("MODE alice").must_fit("*221 alice +iw");
    bob.only().must_fit(":alice!* AWAY");
    // A part and a kick are kept as well.
    alice.ask("PART #other");
    alice.sync();
    server.crash_and_restart();
    let mut bob = server.user_with("bob", "");
    assert_eq!(names(&bob.join("#room")), "@alice bob");
    assert_eq!(names(&bob.join("#other")), "@bob");
}

#[test]
fn who_turned_it_off_leaves_and_a_guest_cannot_turn_it_on() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    alice.sync();
    bob.one("PERSISTENCE GET").must_fit("*FAIL PERSISTENCE ACCOUNT_REQUIRED :*");
    alice.one("PERSISTENCE SET SOMETIMES").must_fit("*FAIL PERSISTENCE INVALID_PARAMS SET :*");
    find(&alice.ask("NS SET ALWAYS-ON DEFAULT"), "NOTICE").must_fit("*left to the server: you leave*");
    alice.one("PERSISTENCE GET").must_fit("*PERSISTENCE STATUS DEFAULT OFF");
    alice.sync();
    gone(alice);
    bob.only().must_fit(":alice!* QUIT :Quit: closing the lid");
    server.crash_and_restart();
    assert!(server.user("carol").ask("WHOIS alice").iter().any(|line| line.command() == "401"));
}

#[test]
fn an_operator_s_kill_ends_a_presence_and_another_nick_does_not() {
    let config = "[[oper]]\nname = \"boss\"\npassword = \"letmein\"\n";
    let server = Server::with_files(&[("conf/roost.toml", config)], &[]);
    let mut alice = always_on(&server);
    alice.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    alice.sync();
    alice.ask("NICK alice_away");
    bob.sync();
    gone(alice);
    bob.only().must_fit(":alice_away!* NICK alice");
    let mut oper = server.user("boss");
    oper.ask("OPER boss letmein");
    oper.ask("KILL alice :spam");
    bob.only().must_fit(":alice!* QUIT :Killed (boss (spam))");
}

#[test]
fn whoever_is_always_on_is_kept_under_any_nick_and_comes_back_under_it() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#room");
    alice.ask("NICK lunch");
    alice.ask("JOIN #other");
    alice.ask("PART #room");
    alice.ask("JOIN #room");
    server.crash_and_restart();
    let mut bob = server.user("bob");
    assert_eq!(names(&bob.join("#room")), "@alice bob");
    assert_eq!(names(&bob.join("#other")), "@alice bob");
    bob.ask("CAP REQ echo-message");
    // Its echo says that it is kept.
    bob.one("PRIVMSG #room :one").must_fit(":bob!* PRIVMSG #room :one");
    // Killed once more before she is back.
    server.crash_and_restart();
    for (nick, said) in [("lunch", "one"), ("lunch", "two"), ("alice", "three")] {
        let mut bob = server.user_with("bob", "echo-message");
        bob.ask("JOIN #room,#other");
        let mut alice = server.connect();
        let mut lines = alice.log_in(nick, "alice", "sesame", "server-time");
        lines.extend(alice.sync());
        assert_eq!(texts(&lines), [said]);
        let joined: Vec<&str> = all(&lines, "JOIN").iter().map(|line| line.params()[0]).collect();
        assert_eq!(joined, ["#other", "#room"], "{lines:#?}");
        assert!(all(&lines, "NICK").is_empty(), "she is welcomed under that one: {lines:#?}");
        let told = bob.sync();
        if nick == "lunch" {
            find(&told, "NICK").must_fit(":alice!* NICK lunch");
        } else {
            assert!(told.is_empty(), "{told:#?}");
        }
        gone(alice);
        let told = bob.sync();
        assert_eq!(commands(&told), if nick == "lunch" { vec!["NICK"] } else { vec![] }, "{told:#?}");
        let next = if said == "one" { "two" } else { "three" };
        bob.one(&format!("PRIVMSG #room :{next}")).must_fit("*PRIVMSG #room :*");
    }
}

#[test]
fn nobody_ends_its_own_presence_for_the_nick() {
    let server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    let mut other = server.logged_in("alice_", "alice", "sesame", "draft/nick-recovery");
    bob.sync();
    for line in ["NS REGAIN alice", "RECOVER alice", "NS GHOST alice", "NS GHOST alice", "NS RECOVER alice"] {
        let lines = other.ask(line);
        assert!(
            lines.iter().any(
                |line| line.body().contains("is you, always on") || line.body().contains("alice is you: always on")
            ),
            "{line}: {lines:#?}"
        );
        // GHOST ends the connection: whoever is always on is away then.
        let told = bob.sync();
        assert!(told.iter().all(|told| told.command() != "QUIT" && told.command() != "NICK"), "{line}: {told:#?}");
    }
    alice.closed();
    let mut alice = server.connect();
    let lines = alice.log_in("alice", "alice", "sesame", CAPS);
    assert!(lines.iter().any(|line| line.fits(":alice!* JOIN #room*")), "{lines:#?}");
}

#[test]
fn what_is_said_to_someone_who_is_away_is_there_when_they_come_back() {
    let server = Server::start();
    let alice = always_on(&server);
    gone(alice);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :first");
    bob.ask("PRIVMSG alice :second");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/chathistory batch");
    let page = alice.ask("CHATHISTORY LATEST bob * 10");
    assert_eq!(page.iter().filter(|line| line.command() == "PRIVMSG").count(), 2);
    // And what was missed is replayed to a client that cannot ask.
    gone(alice);
    bob.ask("PRIVMSG alice :third");
    let mut alice = server.connect();
    let mut lines = alice.log_in("alice", "alice", "sesame", "server-time");
    lines.extend(alice.sync());
    let texts: Vec<String> =
        lines.iter().filter(|line| line.command() == "PRIVMSG").map(|line| line.params()[1].to_owned()).collect();
    assert_eq!(texts, ["third"]);
}

#[test]
fn c39_away_is_the_sum_over_the_devices() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", "");
    let mut phone = server.logged_in("alice", "alice", "sesame", "");
    let mut bob = server.user_with("bob", "away-notify");
    for client in [&mut desk, &mut phone, &mut bob] {
        client.join("#room");
    }
    for client in [&mut desk, &mut phone, &mut bob] {
        client.sync();
    }
    phone.one("AWAY :in the pocket").must_fit("*306 alice :*");
    bob.silent();
    // What was said last counts, whichever connection said it, and whichever came first.
    desk.one("AWAY :lunch").must_fit("*306 alice :*");
    bob.only().must_fit(":alice!* AWAY :lunch");
    phone.one("AWAY :in the bag").must_fit("*306 alice :*");
    bob.only().must_fit(":alice!* AWAY :in the bag");
    desk.one("AWAY :dinner").must_fit("*306 alice :*");
    bob.only().must_fit(":alice!* AWAY :dinner");
    // A reason is worth more than none.
    phone.one("AWAY *").must_fit("*306 alice :*");
    desk.one("AWAY *").must_fit("*306 alice :*");
    bob.silent();
    bob.one("PRIVMSG alice :hello").must_fit("*301 bob alice :dinner");
    desk.sync();
    desk.one("AWAY").must_fit("*305 alice :*");
    bob.only().must_fit(":alice!* AWAY");
    // What was said while somebody was there counts once nobody is, and what was said before that does not.
    phone.sync();
    phone.one("AWAY :in the pocket").must_fit("*306 alice :*");
    bob.silent();
    // The one that was there goes: what is left is away.
    gone(desk);
    bob.only().must_fit(":alice!* AWAY :in the pocket");
}

/// A device of alice's that comes by itself, to fetch what it missed.
fn in_the_background(server: &Server) -> Client {
    let mut phone = server.connect();
    phone.request("sasl draft/pre-away");
    phone.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
    phone.authenticate("alice", "sesame");
    phone.until("903");
    phone.one("AWAY *").must_fit("* 306 alice :*");
    phone.send("CAP END");
    phone.welcome("alice");
    phone
}

#[test]
fn c39_a_device_that_comes_by_itself_takes_no_reason_away() {
    let server = Server::start();
    let mut desk = always_on(&server);
    desk.join("#room");
    let mut bob = server.user_with("bob", "away-notify");
    bob.join("#room");
    desk.ask("AWAY :set");
    bob.only().must_fit(":alice!* AWAY :set");
    gone(desk);
    // She has no connection, has one that is nobody's, and none again.
    let phone = in_the_background(&server);
    bob.silent();
    bob.one("PRIVMSG alice :hello").must_fit("*301 bob alice :set");
    gone(phone);
    bob.silent();
    bob.one("PRIVMSG alice :hello").must_fit("*301 bob alice :set");
    // The connection that gave the reason goes while the phone is there.
    let mut desk = server.logged_in("alice", "alice", "sesame", CAPS);
    bob.only().must_fit(":alice!* AWAY");
    desk.ask("AWAY :dinner");
    bob.only().must_fit(":alice!* AWAY :dinner");
    let phone = in_the_background(&server);
    gone(desk);
    bob.silent();
    bob.one("PRIVMSG alice :hello").must_fit("*301 bob alice :dinner");
    // Whoever was there since gave none.
    drop(server.logged_in("alice", "alice", "sesame", CAPS));
    let back = bob.one_of(&["AWAY"]);
    back.must_fit(":alice!* AWAY");
    bob.one_of(&["AWAY"]).must_fit(":alice!* AWAY :Not connected*");
    gone(phone);
}

#[test]
fn c39_that_somebody_is_away_is_answered_once_it_outlives_a_crash() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    for round in 0..10 {
        let reason = format!("round {round}");
        alice.one(&format!("AWAY :{reason}")).must_fit("*306 alice :*");
        server.crash_and_restart();
        let mut bob = server.user("bob");
        bob.one("PRIVMSG alice :hello").must_fit(&format!("*301 bob alice :{reason}"));
        alice = server.logged_in("alice", "alice", "sesame", CAPS);
    }
}

#[test]
fn a_device_is_shown_all_of_a_channel_that_another_joins_and_what_it_missed_there() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut bob = server.user("bob");
    for channel in ["#one", "#two"] {
        bob.join(channel);
        bob.ask(&format!("TOPIC {channel} :about {channel}"));
    }
    let mut couch = server.logged_in("alice", "alice@couch", "sesame", "server-time");
    couch.join("#one");
    couch.join("#two");
    gone(couch);
    for channel in ["#one", "#two"] {
        bob.ask(&format!("PRIVMSG {channel} :missed in {channel}"));
    }
    bob.ask("PRIVMSG alice :nobody is there");
    // The desk is there first, and in no channel yet; the couch finds it like that.
    let mut desk = server.logged_in("alice", "alice@desk", "sesame", "");
    let mut couch = server.logged_in("alice", "alice@couch", "sesame", "server-time draft/read-marker");
    couch.silent();
    let own = desk.ask("JOIN #one,#two");
    let shown = couch.sync();
    let heads: Vec<&str> = commands(&own);
    assert_eq!(heads, ["JOIN", "332", "333", "353", "366", "JOIN", "332", "333", "353", "366"], "{own:#?}");
    let bursts: Vec<&str> = commands(&shown).into_iter().filter(|command| *command != "PRIVMSG").collect();
    let each = ["JOIN", "332", "333", "MARKREAD", "353", "366"];
    assert_eq!(bursts, [each, each].concat(), "{shown:#?}");
    assert_eq!(texts(&shown), ["missed in #one", "missed in #two"]);
    // Once, whoever joins again.
    assert!(texts(&couch.ask("JOIN #one,#two")).is_empty());
    desk.ask("PART #one");
    desk.ask("JOIN #one");
    assert!(texts(&couch.sync()).is_empty());
}

#[test]
fn with_multiclient_off_a_second_device_does_not_share_the_nick() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut desk = server.logged_in("alice", "alice", "sesame", "");
    find(&desk.ask("NS SET MULTICLIENT OFF"), "NOTICE").must_fit("*MULTICLIENT is off");
    let mut second = server.connect();
    second.request("sasl");
    second.authenticate("alice", "sesame");
    second.until("903");
    second.send_all(&["NICK alice", "USER a 0 * :a", "CAP END"]);
    second.expect("*433 * alice :*");
}

#[test]
fn a_rank_that_a_service_gave_survives_sigkill() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#mine");
    let lines = alice.ask("CS REGISTER #mine");
    assert!(lines.iter().any(|line| line.fits("*MODE #mine +q alice")), "{lines:#?}");
    server.crash_and_restart();
    let mut bob = server.user("bob");
    assert_eq!(names(&bob.join("#mine")), "~alice bob");
}

#[test]
fn who_turns_it_off_from_another_nick_leaves_no_ghost() {
    let server = Server::start();
    gone(always_on(&server));
    let mut ali = server.logged_in("ali", "alice", "sesame", CAPS);
    assert!(!ali.one("USERHOST alice").params()[1].is_empty());
    ali.one("PERSISTENCE SET OFF").must_fit(":roost.local PERSISTENCE STATUS OFF OFF");
    ali.one("USERHOST alice").must_fit("*302 ali :");
}

#[test]
fn who_is_away_keeps_its_nick_and_its_channels_when_an_operator_would_give_it_another_nick() {
    let mut server = opers::server();
    let mut alice = always_on(&server);
    let mut boss = opers::root(&server, "boss");
    alice.join("#room");
    boss.join("#room");
    gone(alice);
    boss.sync();
    boss.one("SANICK alice zoe").must_fit("* NOTICE boss :alice is always on and not connected: *");
    for _ in 0..2 {
        let mut bob = server.user("bob");
        bob.join("#room");
        find(&bob.ask("WHOIS alice"), "319").must_fit("*319 bob alice :*#room*");
        bob.one("USERHOST zoe").must_fit("*302 bob :");
        server.crash_and_restart();
    }
}

#[test]
fn a_closed_channel_that_an_always_on_member_holds_is_closed_after_a_restart() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#cellar");
    alice.ask("MODE #cellar +ikb key eve!*@*");
    alice.ask("TOPIC #cellar :under the stairs");
    alice.ask("PRIVMSG #cellar :the secret");
    gone(alice);
    for crash in [true, false] {
        if crash {
            server.crash_and_restart();
        } else {
            server.restart();
        }
        server.user("mallory").one("JOIN #cellar").must_fit("*473 mallory #cellar :*");
        let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
        find(&alice.ask("TOPIC #cellar"), "332").must_fit("*332 alice #cellar :under the stairs");
        find(&alice.ask("MODE #cellar"), "324").must_fit("*324 alice #cellar +*i*k* key");
        find(&alice.ask("MODE #cellar b"), "367").must_fit("*367 alice #cellar eve!*@* alice!* *");
        gone(alice);
    }
    // She leaves: it is anybody's.
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.ask("PART #cellar");
    alice.sync();
    server.crash_and_restart();
    assert_eq!(names(&server.user("mallory").join("#cellar")), "@mallory");
}

#[test]
fn a_channel_whose_holder_does_not_come_back_is_no_more_and_does_not_come_back_with_it() {
    let mut server = Server::start();
    let mut alice = always_on(&server);
    alice.join("#cellar");
    alice.ask("MODE #cellar +k key");
    gone(alice);
    server.set("ROOST__ACCOUNTS__ALWAYS_ON", "off");
    server.crash_and_restart();
    assert_eq!(names(&server.user("mallory").join("#cellar")), "@mallory");
    server.crash_and_restart();
    server.set("ROOST__ACCOUNTS__ALWAYS_ON", "opt-in");
    server.crash_and_restart();
    assert_eq!(names(&server.user("mallory").join("#cellar")), "@mallory");
}
