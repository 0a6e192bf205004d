//! CASEMAPPING: what 005 says is what is done, everywhere.

use crate::client::{Client, commands, find, texts};
use crate::server::Server;

const CAPS: &str = "draft/chathistory batch draft/read-marker draft/metadata-3 message-tags echo-message";
const KEY: &str = "ROOST__SERVER__CASEMAPPING";

/// Whether two names are one, as a nick.
fn one_nick(server: &Server, a: &str, b: &str) -> bool {
    let mut first = server.user(a);
    let mut second = server.connect();
    second.send_all(&[&format!("NICK {b}"), "USER u 0 * :A Name"]);
    let answer = second.one_of(&["001", "433", "432"]);
    first.send("QUIT");
    first.closed();
    assert_ne!(answer.command(), "432", "{b}");
    answer.command() == "433"
}

/// Goes through everything that has a name in it; `a` and `b` are one name, or two.
fn everywhere(server: &Server, a: &str, b: &str, same: bool) {
    assert_eq!(one_nick(server, a, b), same, "{a} {b}");
    server.account(a, "sesame");
    let mut alice = server.logged_in(a, a, "sesame", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let (room, other) = (format!("#{a}"), format!("#{b}"));

    // Channels, and what is said in them.
    alice.join(&room);
    alice.ask(&format!("CS REGISTER {room}"));
    alice.ask(&format!("METADATA {room} SET k :v"));
    bob.join(&other);
    let names = find(&bob.ask(&format!("NAMES {other}")), "353").clone();
    assert_eq!(names.params().last().unwrap().split(' ').count(), if same { 2 } else { 1 });
    bob.ask(&format!("PRIVMSG {other} :in the room"));
    assert_eq!(alice.sync().len(), if same { 2 } else { 0 }, "JOIN and PRIVMSG");
    let page = alice.ask(&format!("CHATHISTORY LATEST {room} * 10"));
    assert_eq!(texts(&page).contains(&"in the room"), same);
    // LIST and WHO masks, MONITOR, read markers, keys.
    let listed = bob.ask(&format!("LIST {}*", other.chars().take(3).collect::<String>()));
    assert!(commands(&listed).contains(&"322"));
    let rows = bob.ask(&format!("LIST {other}"));
    let shown = if same { &room } else { &other };
    find(&rows, "322").must_fit(&format!("*322 bob {shown} *"));
    let seen = bob.ask(&format!("WHO ?{}", b.chars().skip(1).collect::<String>()));
    assert_eq!(commands(&seen).contains(&"352"), same);
    let online = bob.ask(&format!("MONITOR + {b}"));
    assert_eq!(commands(&online), [if same { "730" } else { "731" }]);
    alice.ask(&format!("MARKREAD {room} timestamp=2024-01-02T03:04:05.006Z"));
    let marker = alice.one(&format!("MARKREAD {other}"));
    assert_eq!(marker.fits("*timestamp=2024-01-02T03:04:05.006Z"), same);
    let value = bob.ask(&format!("METADATA {room} GET k"));
    assert!(commands(&value).contains(&"761"));
    let value = bob.ask(&format!("METADATA {other} GET k"));
    assert_eq!(commands(&value).contains(&"761"), same);
    // Private messages and their history, ACCEPT, SILENCE.
    let sent = bob.ask(&format!("PRIVMSG {b} :to you"));
    assert_eq!(commands(&sent), [if same { "PRIVMSG" } else { "401" }]);
    assert_eq!(alice.sync().len(), usize::from(same));
    let page = bob.ask(&format!("CHATHISTORY LATEST {b} * 10"));
    assert_eq!(texts(&page).contains(&"to you"), same);
    bob.ask(&format!("ACCEPT {a}"));
    assert_eq!(bob.one(&format!("ACCEPT {b}")).command(), if same { "457" } else { "401" });
    bob.ask("ACCEPT *");
    bob.ask(&format!("SILENCE +{b}!*@*"));
    alice.ask("PRIVMSG bob :hear me");
    assert_eq!(commands(&bob.sync()).contains(&"PRIVMSG"), !same);
    bob.ask(&format!("SILENCE -{b}!*@*"));
    // Bans: of nicks, of accounts, of channels; and the list of them.
    bob.ask("JOIN #bans");
    for ban in [format!("{b}!*@*"), format!("a:{b}"), format!("j:{other}")] {
        bob.ask(&format!("MODE #bans +b {ban}"));
        let refused = commands(&alice.ask("JOIN #bans")).contains(&"474");
        if !ban.starts_with("j:") {
            assert_eq!(refused, same, "{ban}");
        }
        alice.ask("PART #bans");
        // It is on the list already, and comes off by the other spelling where they are one.
        let mirror = ban.replace(b, a);
        let off = bob.ask(&format!("MODE #bans -b {mirror}"));
        assert_eq!(commands(&off).contains(&"MODE"), same, "{ban}");
        bob.ask(&format!("MODE #bans -b {ban}"));
    }
    bob.send("QUIT");
    bob.closed();
    alice.send("QUIT");
    alice.closed();
    // Accounts: logging in, and asking for it again.
    let mut again = server.connect();
    again.request("sasl");
    again.send_all(&["NICK guest", "USER u 0 * :A Name", "AUTHENTICATE PLAIN"]);
    again.until("AUTHENTICATE");
    again.send(&format!("AUTHENTICATE {}", crate::client::plain(b, "sesame")));
    assert_eq!(again.one_of(&["903", "904"]).command(), if same { "903" } else { "904" });
    again.send("CAP END");
    again.welcome("guest");
}

fn token(client: &mut Client) -> String {
    let lines = client.ask("VERSION");
    let words = lines.iter().filter(|line| line.command() == "005");
    let token = words.flat_map(|line| line.params()).find(|word| word.starts_with("CASEMAPPING=")).unwrap();
    token.to_owned()
}

#[test]
fn c21_under_ascii_brackets_are_no_letters() {
    let server = Server::start();
    assert_eq!(token(&mut server.user("v")), "CASEMAPPING=ascii");
    everywhere(&server, "a[1]x^", "A{1}X^", false);
    everywhere(&server, "b[1]", "B[1]", true);
    let mut guest = server.connect();
    guest.send("NICK Işıl");
    guest.expect("*432 * Işıl :*A-Z*");
}

#[test]
fn c21_under_rfc1459_brackets_are_letters() {
    let server = Server::with(&[(KEY, "rfc1459")]);
    assert_eq!(token(&mut server.user("v")), "CASEMAPPING=rfc1459");
    everywhere(&server, "a[1]^\\", "A{1}^|", true);
    // A nick has no `~`, a channel may.
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#x^");
    assert_eq!(find(&bob.join("#X~"), "353").params().last().unwrap().split(' ').count(), 2);
    // What a backslash takes the meaning of stays without it.
    alice.ask("MODE #x^ +b a\\*b!*@*");
    let list = alice.ask("MODE #x^ b");
    find(&list, "367").must_fit("*#x^ a\\*b!*@* alice!*");
}

#[test]
fn c21_under_precis_letters_of_every_script_are_letters() {
    let server = Server::with(&[(KEY, "precis")]);
    assert_eq!(token(&mut server.user("v")), "CASEMAPPING=precis");
    everywhere(&server, "Élise", "éLISE", true);
    everywhere(&server, "ölaf[", "ÖLAF{", false);
    let mut ann = server.user("Işıl");
    let mut bob = server.user("日本");
    assert!(find(&bob.ask("WHOIS işıl"), "311").fits("* 日本 Işıl *"));
    ann.ask("NICK Зоя");
    assert!(find(&bob.ask("WHOIS зОЯ"), "311").fits("* 日本 Зоя *"));
    for nick in ["é\u{200b}", "☃", "ＮickServ", "é!x", "１a"] {
        let refused = ann.ask(&format!("NICK {nick}"));
        assert!(refused.iter().all(|line| line.command() != "NICK"), "{nick} {refused:?}");
        assert_eq!(refused.len(), 1, "{nick}");
    }
    // Bytes are counted: NICKLEN is 32.
    assert_eq!(ann.one(&format!("NICK {}", "é".repeat(17))).command(), "432");
    assert_eq!(ann.one(&format!("NICK {}", "é".repeat(16))).command(), "NICK");
}

#[test]
fn another_casemapping_at_a_start_loses_nothing_or_refuses() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#Room[1]");
    for line in [
        "CS REGISTER #Room[1]",
        "TOPIC #room[1] :what it is about",
        "MODE #room[1] +b mallory!*@*",
        "PRIVMSG #room[1] :said before",
        "MARKREAD #room[1] timestamp=2024-01-02T03:04:05.006Z",
        "METADATA #room[1] SET k :v",
    ] {
        alice.ask(line);
    }
    let stop = |server: &mut Server, mapping: &str| {
        server.signal("TERM");
        assert!(server.wait().success());
        server.set(KEY, mapping);
    };
    for (mapping, name) in
        [("rfc1459", "#room{1}"), ("precis", "#ROOM[1]"), ("ascii", "#room[1]"), ("rfc1459", "#room{1]")]
    {
        stop(&mut server, mapping);
        server.start_again();
        let mut alice = server.logged_in("alice", "ALICE", "sesame", CAPS);
        let lines = alice.join(name);
        find(&lines, "332").must_fit("*#Room[1] :what it is about");
        find(&lines, "MARKREAD").must_fit("*timestamp=2024-01-02T03:04:05.006Z");
        find(&alice.ask(&format!("MODE {name} b")), "367").must_fit("*mallory!*");
        find(&alice.ask(&format!("METADATA {name} GET k")), "761").must_fit("* k * :v");
        let page = alice.ask(&format!("CHATHISTORY LATEST {name} * 10"));
        assert_eq!(texts(&page), ["said before"], "{mapping}");
        if mapping == "precis" {
            // What would be one under the others.
            server.account("x[", "sesame");
            server.account("x^", "sesame");
        }
    }
    stop(&mut server, "ascii");
    server.start_again();
    server.account("x{", "sesame");
    stop(&mut server, "rfc1459");
    let refused = server.refuses_to_start();
    assert!(refused.contains("x[ and x{") && refused.contains("server.casemapping = \"ascii\""), "{refused}");
    server.set(KEY, "ascii");
    server.start_again();
    assert!(server.logged_in("x{", "x{", "sesame", "").mask().starts_with("x{!"));
}

#[test]
fn a_reload_says_that_the_casemapping_takes_a_start() {
    let oper = "[[oper]]\nname = \"root\"\npassword = \"secret\"\n";
    let config = |mapping: &str| format!("[server]\ncasemapping = \"{mapping}\"\n{oper}");
    let server = Server::with_files(&[("conf/roost.toml", &config("ascii"))], &[]);
    let mut alice = server.user("alice");
    std::fs::write(server.home().join("conf/roost.toml"), config("rfc1459")).unwrap();
    server.signal("HUP");
    while !server.output().contains("the configuration was read again") {
        alice.sync();
    }
    assert!(server.output().contains("server.casemapping has changed; that takes effect at the next start"));
    assert_eq!(token(&mut alice), "CASEMAPPING=ascii");
    alice.ask("OPER root secret");
    std::fs::write(server.home().join("conf/roost.toml"), config("precis")).unwrap();
    alice.send("REHASH");
    alice.until("NOTICE").last().unwrap().must_fit("*:*at the next start it is new for server.casemapping");
    assert!(!one_nick(&server, "a[", "a{"));
}
