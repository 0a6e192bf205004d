//! MODE of channels and users.

use crate::client::{Client, all, commands, find};
use crate::server::Server;

/// Alice is operator of `#room`, bob a member; nothing is under way.
fn room(server: &Server) -> (Client, Client) {
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    (alice, bob)
}

#[test]
fn the_modes_of_a_channel_are_324_and_329() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    let lines = alice.ask("MODE #room");
    assert_eq!(commands(&lines), ["324", "329"]);
    lines[0].must_fit(":roost.local 324 alice #room +*");
    let letters = lines[0].params()[2];
    assert!(letters.contains('n') && letters.contains('t'), "+nt is the default: {letters}");
    assert!(lines[1].params()[2].parse::<u64>().unwrap() > 1_600_000_000);
    alice.ask("MODE #room +kl secret 5");
    let lines = alice.ask("MODE #room");
    assert!(lines[0].raw.contains("secret") && lines[0].raw.contains('5'), "{lines:#?}");
    bob.sync();
    server.user("carol").ask("MODE #room").iter().for_each(|line| assert!(!line.raw.contains("secret"), "{line:?}"));
    alice.one("MODE #nowhere").must_fit(":roost.local 403 alice #nowhere :*");
}

#[test]
fn c28_no_colon_before_the_last_parameter_of_mode_and_join() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    let mask = alice.mask();
    assert_eq!(alice.one("MODE #room +o :bob").raw, format!(":{mask} MODE #room +o bob"));
    assert_eq!(bob.only().raw, format!(":{mask} MODE #room +o bob"));
    let mask = bob.mask();
    assert_eq!(bob.ask("JOIN :#mine")[0].raw, format!(":{mask} JOIN #mine"));
    assert_eq!(find(&bob.ask("NAMES #mine"), "353").raw, ":roost.local 353 bob = #mine :@bob");
}

#[test]
fn only_operators_change_modes() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    bob.one("MODE #room +m").must_fit(":roost.local 482 bob #room :*");
    bob.one("MODE #room +o bob").must_fit(":roost.local 482 bob #room :*");
    let mut carol = server.user("carol");
    let line = carol.one("MODE #room +m");
    assert!(matches!(line.command(), "442" | "482"), "{line:?}");
    alice.silent();
}

#[test]
fn simple_modes_are_set_taken_and_told_once() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    alice.one("MODE #room +im").must_fit(":alice!* MODE #room +im");
    bob.only().must_fit(":alice!* MODE #room +im");
    alice.send("MODE #room +i");
    alice.silent();
    alice.one("MODE #room -i+s-m").must_fit(":alice!* MODE #room *");
    let modes = alice.ask("MODE #room")[0].params()[2].to_owned();
    assert!(modes.contains('s') && !modes.contains('i') && !modes.contains('m'), "{modes}");
}

#[test]
fn status_modes_name_people() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    alice.one("MODE #room +v BOB").must_fit(":alice!* MODE #room +v bob");
    alice.one("MODE #room +o nobody").must_fit(":roost.local 401 alice nobody :*");
    let _carol = server.user("carol");
    alice.one("MODE #room +o carol").must_fit(":roost.local 441 alice carol #room :*");
    alice.one("MODE #room -v+o bob bob").must_fit(":alice!* MODE #room -v+o bob bob");
    bob.sync();
    bob.one("MODE #room -o alice").must_fit(":bob!* MODE #room -o alice");
    alice.sync();
    alice.one("MODE #room +o alice").must_fit(":roost.local 482 alice #room :*");
}

#[test]
fn c01_an_empty_key_is_696() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    alice.one("MODE #room +k :").must_fit(":roost.local 696 alice #room k * :*");
    bob.silent();
}

#[test]
fn c24_bad_key_and_limit_are_696() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    let before = alice.ask("MODE #room")[0].raw.clone();
    for change in [":two words", ":", ",x", &"k".repeat(200)] {
        let line = alice.one(&format!("MODE #room +k {change}"));
        line.must_fit(":roost.local 696 alice #room k * :*");
        assert_eq!(line.params().len(), 5, "{line:?}");
    }
    for change in ["0", "-3", "abc", "99999999999"] {
        let line = alice.one(&format!("MODE #room +l {change}"));
        line.must_fit(":roost.local 696 alice #room l * :*");
        assert_eq!(line.params().len(), 5, "{line:?}");
    }
    bob.silent();
    assert_eq!(alice.ask("MODE #room")[0].raw, before);
}

#[test]
fn c24_the_good_part_of_a_line_with_a_bad_key_holds() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    let lines = alice.ask("MODE #room +vk bob :bad key");
    find(&lines, "696").must_fit(":roost.local 696 alice #room k * :*");
    find(&lines, "MODE").must_fit(":alice!* MODE #room +v bob");
    bob.only().must_fit(":alice!* MODE #room +v bob");
}

#[test]
fn c26_no_more_modes_with_parameters_than_modes_says() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    // Thirteen are what a line of 15 parameters can hold; of sixteen the last one has spaces inside.
    for count in [13, 16] {
        let masks: Vec<String> = (0..count).map(|number| format!("m{number}!*@{count}")).collect();
        let lines = alice.ask(&format!("MODE #room +{} {}", "b".repeat(count), masks.join(" ")));
        let told = |lines: &[crate::client::Line]| -> Vec<String> {
            let masks = lines.iter().flat_map(|line| line.params()[2..].to_vec());
            masks.map(str::to_owned).collect()
        };
        assert_eq!(commands(&lines), ["MODE"], "{lines:#?}");
        assert_eq!(told(&lines), masks[..12], "MODES=12 of {count}: {lines:#?}");
        assert_eq!(told(&bob.sync()), masks[..12]);
    }
    assert_eq!(all(&alice.ask("MODE #room b"), "367").len(), 24);
}

#[test]
fn c26_mixed_signs_keep_every_parameter_with_its_mode() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    alice.ask("MODE #room +v bob");
    bob.sync();
    alice
        .one("MODE #room +o-v+b bob bob *!*@x")
        .must_fit(":alice!* MODE #room +o-v+b bob bob *!\\*@x".replace("\\*", "*").as_str());
    assert_eq!(bob.only().params(), ["#room", "+o-v+b", "bob", "bob", "*!*@x"]);
}

#[test]
fn c26_a_full_list_is_478_and_the_rest_of_the_line_holds() {
    let server = Server::with(&[("ROOST__CHANNELS__LIST_ENTRIES", "3")]);
    let (mut alice, mut bob) = room(&server);
    let lines = alice.ask("MODE #room +bbbbv a!*@* b!*@* c!*@* d!*@* bob");
    let line = find(&lines, "478");
    assert_eq!(line.params()[1], "#room");
    let mode = bob.only();
    assert_eq!(mode.params(), ["#room", "+bbbv", "a!*@*", "b!*@*", "c!*@*", "bob"]);
}

#[test]
fn c27_lists_are_for_everyone_and_unknown_letters_are_472() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    let mask = alice.mask();
    alice.ask("MODE #room +b troll!*@*");
    bob.sync();
    for query in ["MODE #room b", "MODE #room +b", "MODE #room -b"] {
        let lines = bob.ask(query);
        assert_eq!(commands(&lines), ["367", "368"], "{query}: {lines:#?}");
        let params = lines[0].params();
        assert_eq!(params[..3], ["bob", "#room", "troll!*@*"]);
        assert!(params[3] == "alice" || params[3] == mask, "{params:?}");
        assert!(params[4].parse::<u64>().unwrap() > 1_600_000_000, "{params:?}");
        lines[1].must_fit(":roost.local 368 bob #room :*");
    }
    let lines = bob.ask("MODE #room +be");
    find(&lines, "368");
    assert!(lines.iter().any(|line| matches!(line.command(), "349" | "482")), "{lines:#?}");
    bob.one("MODE #nowhere +b").must_fit(":roost.local 403 bob #nowhere :*");
    bob.one("MODE #room +Z").must_fit(":roost.local 472 bob Z :*");
    // Unknown letters do not stop the others.
    let lines = alice.ask("MODE #room +Zm");
    find(&lines, "472").must_fit(":roost.local 472 alice Z :*");
    find(&lines, "MODE").must_fit(":alice!* MODE #room +m");
    bob.sync();
    alice.send("MODE #room +b TROLL!*@*");
    alice.silent();
    bob.silent();
}

#[test]
fn masks_are_completed() {
    let server = Server::start();
    let (mut alice, _bob) = room(&server);
    assert_eq!(alice.one("MODE #room +b troll").params()[2], "troll!*@*");
    assert_eq!(alice.one("MODE #room +b user@host").params()[2], "*!user@host");
    assert_eq!(alice.one("MODE #room +e a!b").params()[2], "a!b@*");
    assert_eq!(alice.one("MODE #room -b troll").params()[1..], ["-b", "troll!*@*"]);
}

#[test]
fn user_modes_are_221_501_and_502() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let _bob = server.user("bob");
    alice.one("MODE alice").must_fit(":roost.local 221 alice +i");
    alice.one("MODE alice -i").must_fit(":alice* MODE alice *-i");
    alice.one("MODE alice").must_fit(":roost.local 221 alice +");
    let lines = alice.ask("MODE alice +iY");
    find(&lines, "501").must_fit(":roost.local 501 alice *:*");
    find(&lines, "MODE").must_fit(":alice* MODE alice *+i");
    alice.one("MODE bob +i").must_fit(":roost.local 502 alice :*");
    alice.one("MODE bob").must_fit(":roost.local 502 alice :*");
    // Nobody becomes an operator by asking.
    alice.ask("MODE alice +o");
    assert!(!alice.one("MODE alice").params()[1].contains('o'));
}

#[test]
fn user_mode_r_refuses_guests_and_t_refuses_ctcp() {
    let server = Server::start();
    let (mut alice, mut bob) = room(&server);
    alice.one("MODE alice +RT").must_fit(":alice!* MODE alice +RT");
    bob.one("PRIVMSG alice :hello").must_fit(":roost.local 477 bob alice :*");
    assert!(bob.ask("NOTICE alice :hello").is_empty(), "a NOTICE is never answered");
    alice.ask("MODE alice -R");
    bob.one("PRIVMSG alice :\u{1}VERSION\u{1}").must_fit(":roost.local 531 bob alice :*");
    assert!(bob.ask("PRIVMSG alice :\u{1}ACTION waves\u{1}").is_empty());
    alice.only().must_fit(":bob!* PRIVMSG alice :*ACTION waves*");
}

#[test]
fn channel_modes_c_m_r_and_z_refuse_what_they_say() {
    let server = Server::start();
    server.account("carol", "sesame");
    let (mut alice, mut bob) = room(&server);
    alice.one("MODE #room +CM").must_fit(":alice!* MODE #room +CM");
    bob.sync();
    bob.one("PRIVMSG #room :hello").must_fit(":roost.local 404 bob #room :*+M*");
    alice.ask("MODE #room +v bob");
    bob.sync();
    assert!(bob.ask("PRIVMSG #room :hello").is_empty(), "voice is enough");
    bob.one("PRIVMSG #room :\u{1}VERSION\u{1}").must_fit(":roost.local 404 bob #room :*+C*");
    assert!(bob.ask("PRIVMSG #room :\u{1}ACTION waves\u{1}").is_empty());
    alice.ask("MODE #room +R");
    server.user("dave").one("JOIN #room").must_fit(":roost.local 477 dave #room :*");
    let mut carol = server.logged_in("carol", "carol", "sesame", "");
    carol.join("#room");
    assert!(carol.ask("PRIVMSG #room :logged in").is_empty());
    alice.ask("MODE #room -R+z");
    server.user("erin").one("JOIN #room").must_fit(":roost.local 489 erin #room :*");
}

#[test]
fn whoever_may_not_join_is_sent_on_once() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    for channel in ["#room", "#hall", "#far"] {
        alice.join(channel);
    }
    bob.join("#bobs");
    alice.one("MODE #room +f #nosuch").must_fit(":roost.local 696 alice #room f #nosuch :*");
    alice.one("MODE #room +f #room").must_fit(":roost.local 696 alice #room f #room :*");
    alice.one("MODE #room +f nochannel").must_fit(":roost.local 696 alice #room f nochannel :*");
    alice.one("MODE #room +f #bobs").must_fit(":roost.local 482 alice #bobs :*");
    assert_eq!(alice.one("MODE #room +f #HALL").params(), ["#room", "+f", "#hall"]);
    alice.ask("MODE #hall +f #far");
    assert_eq!(alice.ask("MODE #room")[0].params()[2..], ["+ntf", "#hall"]);
    bob.join("#room");
    bob.ask("PART #room");
    for (set, unset) in [("+i", "-i"), ("+k key", "-k"), ("+l 1", "-l"), ("+b *!*@*", "-b *!*@*"), ("+R", "-R")] {
        alice.ask(&format!("MODE #room {set}"));
        let lines = bob.ask("JOIN #room");
        lines[0].must_fit(":roost.local 470 bob #room #hall :*");
        lines[1].must_fit(":bob!* JOIN #hall");
        // Whoever is there already is told where that is.
        let lines = bob.ask("JOIN #room");
        lines[0].must_fit(":roost.local 470 bob #room #hall :*");
        assert_eq!(commands(&lines), ["470", "353", "366"]);
        bob.ask("PART #hall");
        alice.ask(&format!("MODE #room {unset}"));
    }
    // No further than that: two channels could send someone round for ever.
    alice.ask("MODE #room +i");
    alice.ask("MODE #hall +i");
    let lines = bob.ask("JOIN #room");
    assert_eq!(commands(&lines), ["470", "473"]);
    assert_eq!(lines[1].params()[1], "#hall");
    alice.one("MODE #room -f").must_fit(":alice!* MODE #room -f");
    bob.one("JOIN #room").must_fit(":roost.local 473 bob #room :*");
}

#[test]
fn formatting_is_refused_or_taken_off() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "message-tags server-time batch draft/chathistory");
    let mut bob = server.user_with("bob", "echo-message");
    alice.join("#room");
    bob.join("#room");
    alice.ask("MODE #room +c");
    bob.sync();
    for text in ["\u{3}4red", "\u{2}bold", "\u{1}ACTION \u{1d}waves\u{1}"] {
        bob.one(&format!("PRIVMSG #room :{text}")).must_fit(":roost.local 404 bob #room :*+c*");
    }
    alice.silent();
    alice.ask("MODE #room -c+S");
    bob.sync();
    bob.one("PRIVMSG #room :\u{3}04,12red\u{f} and \u{2}bold\u{2}").must_fit("*PRIVMSG #room :red and bold");
    find(&alice.sync(), "PRIVMSG").must_fit("*:bob!* PRIVMSG #room :red and bold");
    bob.one("PRIVMSG #room :\u{3}4\u{2}").must_fit(":roost.local 404 bob #room :*+S*");
    alice.silent();
    let lines = alice.ask("CHATHISTORY LATEST #room * 10");
    assert_eq!(all(&lines, "PRIVMSG").len(), 1, "{lines:#?}");
    find(&lines, "PRIVMSG").must_fit("*:bob!* PRIVMSG #room :red and bold");
}

#[test]
fn a_registered_channel_has_r_and_keeps_its_forward() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#hall");
    alice.join("#room");
    alice.ask("MODE #room +if #hall");
    let lines = alice.ask("CS REGISTER #room");
    find(&lines, "MODE").must_fit(":ChanServ!* MODE #room +r");
    assert_eq!(all(&lines, "MODE")[1].params(), ["#room", "+q", "alice"]);
    alice.ask("CS REGISTER #hall");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#room");
    assert_eq!(alice.ask("MODE #room")[0].params()[2..], ["+inrtf", "#hall"]);
    assert_eq!(commands(&server.user("bob").ask("JOIN #room"))[..2], ["470", "JOIN"]);
    find(&alice.ask("CS DROP #room"), "MODE").must_fit(":ChanServ!* MODE #room -r");
    assert!(!alice.ask("MODE #room")[0].params()[2].contains('r'));
}
