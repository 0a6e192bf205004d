//! `soju.im/bouncer-networks`, as clients that know bouncers speak it.

use std::fs;

use crate::client::{Client, Line, all, commands, find, plain, texts};
use crate::server::Server;

const OFFERED: (&str, &str) = ("ROOST__ACCOUNTS__BOUNCER_NETWORKS", "true");

/// What Goguma asks for, one by one and before it knows what there is; `-notify` where it is not bound.
const GOGUMA: &str = "away-notify batch echo-message extended-monitor labeled-response message-tags multi-prefix sasl \
    server-time setname draft/chathistory draft/pre-away draft/read-marker soju.im/bouncer-networks \
    soju.im/no-implicit-names";

/// A server that may be taken for a bouncer, with an account that is always on and one that is not.
fn server() -> Server {
    let server = Server::with(&[OFFERED]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.told("PRIVMSG NickServ :SET ALWAYS-ON ON");
    server
}

/// Connects as Goguma does, all in one write, and returns what came until the end of the welcome and of all it caused.
fn goguma(server: &Server, nick: &str, netid: Option<&str>) -> (Client, Vec<Line>) {
    let mut client = server.connect();
    let mut lines = vec!["CAP LS 302".to_owned(), format!("NICK {nick}"), format!("USER {nick} 0 * :{nick}")];
    let notify = if netid.is_none() { " soju.im/bouncer-networks-notify" } else { "" };
    lines.extend(format!("{GOGUMA}{notify}").split_ascii_whitespace().map(|cap| format!("CAP REQ {cap}")));
    lines.push("AUTHENTICATE PLAIN".to_owned());
    lines.push(format!("AUTHENTICATE {}", plain(nick, "sesame")));
    lines.extend(netid.map(|netid| format!("BOUNCER BIND {netid}")));
    lines.extend(["AWAY *".to_owned(), "CAP END".to_owned()]);
    client.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = client.welcome(nick);
    (client, lines)
}

/// The networks of the batch among these lines: id and attributes.
#[track_caller]
fn networks(lines: &[Line]) -> Vec<(String, String)> {
    let start = lines.iter().find(|line| line.command() == "BATCH").unwrap_or_else(|| panic!("no batch in {lines:#?}"));
    start.must_fit("*:roost.local BATCH +* soju.im/bouncer-networks");
    let reference = &start.params()[0][1..];
    let inside = lines.iter().filter(|line| line.tag("batch") == Some(reference));
    inside
        .map(|line| {
            line.must_fit("*:roost.local BOUNCER NETWORK * *");
            (line.params()[1].to_owned(), line.params()[2].to_owned())
        })
        .collect()
}

#[test]
fn a_client_lists_the_network_and_is_on_it_once() {
    let server = server();
    let mut bob = server.user_with("bobby", "away-notify");
    bob.join("#room");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#room");
    alice.send("QUIT");
    alice.closed();
    bob.sync();

    let (mut control, lines) = goguma(&server, "alice", None);
    assert!(!lines.iter().any(|line| line.raw.contains("BOUNCER_NETID") || line.command() == "JOIN"), "{lines:#?}");
    find(&lines, "376");
    let [(netid, attributes)] = &networks(&lines)[..] else { panic!("{lines:#?}") };
    assert_eq!(attributes, "name=Roost;host=roost.local;state=connected");
    // Whoever only lists networks is not here.
    bob.silent();
    let (mut bound, lines) = goguma(&server, "alice", Some(netid));
    assert!(lines.iter().any(|line| line.raw.contains(&format!(" BOUNCER_NETID={netid} "))), "{lines:#?}");
    assert_eq!(all(&lines, "JOIN").len(), 1, "the network puts it into its channels: {lines:#?}");
    assert!(all(&lines, "BATCH").is_empty() && all(&lines, "FAIL").is_empty(), "{lines:#?}");
    // A client that came in the background is not back from being away.
    bob.silent();
    bound.ask("AWAY");
    bob.only().must_fit(":alice!*@* AWAY");

    // What is said comes once, and not to the list.
    bob.send("PRIVMSG #room :to all");
    bob.send("PRIVMSG alice :to you");
    bob.sync();
    assert_eq!(texts(&bound.sync()), ["to all", "to you"]);
    control.silent();
    let sent = bound.ask("PRIVMSG #room :answer");
    assert_eq!(sent.len(), 1, "{sent:#?}");
    assert_eq!(texts(&bob.sync()), ["answer"]);
    control.silent();
    let whois = bob.ask("WHOIS alice");
    assert_eq!(all(&whois, "311").len(), 1);
    // What such a client asks on its own is answered there as by a network without anyone.
    for (line, answer) in [
        (
            "@label=1 CHATHISTORY TARGETS timestamp=2030-01-01T00:00:00.000Z timestamp=2020-01-01T00:00:00.000Z 100",
            "@label=1* :roost.local BATCH +* draft/chathistory-targets",
        ),
        ("@label=2 WHO bobby %tcuhnf,1", "@label=2* 315 alice bobby :*"),
        ("@label=3 AWAY", "@label=3* 305 alice :*"),
        ("@label=4 MONITOR + bobby", "@label=4* ACK"),
        ("@label=5 MODE alice", "@label=5* 221 alice +"),
        ("@label=6 PRIVMSG bobby :hello", "@label=6* 451 alice :*BOUNCER BIND 1*"),
        ("@label=7 JOIN #room", "@label=7* 451 alice :*"),
        ("@label=8 METADATA * SUB avatar", "@label=8* 451 alice :*"),
        ("@label=9 NICK other", "@label=9* 451 alice :*"),
        ("@label=10 BOUNCER", "@label=10* 461 alice BOUNCER :*"),
        ("@label=11 NONSENSE", "@label=11* 421 alice NONSENSE :*"),
        ("@label=12 BOUNCER BIND 1", "@label=12* FAIL BOUNCER REGISTRATION_IS_COMPLETED BIND :*"),
    ] {
        let lines = control.ask(line);
        lines[0].must_fit(answer);
    }
    bob.silent();
    // One of them goes, and the other stays; and nobody has gone while the account is always on.
    control.send("QUIT");
    control.closed();
    assert_eq!(bound.ask("NAMES #room").iter().filter(|line| line.command() == "353").count(), 1);
    let (control, _) = goguma(&server, "alice", None);
    bound.send("QUIT");
    bound.closed();
    bob.only().must_fit(":alice!*@* AWAY :*");
    drop(control);
    bob.silent();
}

#[test]
fn the_commands_answer_by_the_letter() {
    let server = server();
    let mut client = server.logged_in(
        "alice",
        "alice",
        "sesame",
        "batch labeled-response standard-replies soju.im/bouncer-networks",
    );
    for (line, answer) in [
        ("BOUNCER NONSENSE", ":roost.local FAIL BOUNCER UNKNOWN_COMMAND NONSENSE :*"),
        ("bouncer bind 1", ":roost.local FAIL BOUNCER REGISTRATION_IS_COMPLETED BIND :*"),
        ("BOUNCER ADDNETWORK name=OFTC;host=irc.oftc.net", ":roost.local FAIL BOUNCER UNKNOWN_ERROR ADDNETWORK * :*"),
        ("BOUNCER ADDNETWORK name=OFTC", ":roost.local FAIL BOUNCER NEED_ATTRIBUTE ADDNETWORK host :*"),
        ("BOUNCER ADDNETWORK host=a;colour=red", ":roost.local FAIL BOUNCER UNKNOWN_ATTRIBUTE ADDNETWORK * colour :*"),
        (
            "BOUNCER ADDNETWORK host=a;state=connected",
            ":roost.local FAIL BOUNCER READ_ONLY_ATTRIBUTE ADDNETWORK * state :*",
        ),
        (
            "BOUNCER CHANGENETWORK 1 realname=Simon",
            ":roost.local FAIL BOUNCER READ_ONLY_ATTRIBUTE CHANGENETWORK 1 realname :*",
        ),
        ("BOUNCER CHANGENETWORK 1 colour=red", ":roost.local FAIL BOUNCER UNKNOWN_ATTRIBUTE CHANGENETWORK 1 colour :*"),
        ("BOUNCER CHANGENETWORK 1", ":roost.local 461 alice BOUNCER :*"),
        ("BOUNCER CHANGENETWORK 44 name=x", ":roost.local FAIL BOUNCER INVALID_NETID CHANGENETWORK 44 :*"),
        ("BOUNCER DELNETWORK 44", ":roost.local FAIL BOUNCER INVALID_NETID DELNETWORK 44 :*"),
        ("BOUNCER DELNETWORK 1", ":roost.local FAIL BOUNCER UNKNOWN_ERROR DELNETWORK 1 :*"),
        ("BOUNCER DELNETWORK", ":roost.local 461 alice BOUNCER :*"),
    ] {
        client.one(line).must_fit(answer);
    }
    let lines = client.ask("@label=x BOUNCER LISTNETWORKS");
    lines[0].must_fit("@label=x :roost.local BATCH +* soju.im/bouncer-networks");
    assert_eq!((commands(&lines).join(" "), networks(&lines).len()), ("BATCH BOUNCER BATCH".to_owned(), 1));
    let mut without = server.user("without");
    without.one("BOUNCER LISTNETWORKS").must_fit("*421 without BOUNCER :*soju.im/bouncer-networks*");

    // BIND before registration: who one is comes first.
    let mut early = server.connect();
    early.request("sasl standard-replies soju.im/bouncer-networks");
    early.send_all(&["NICK alice", "USER alice 0 * :Alice"]);
    early.one("BOUNCER BIND 1").must_fit(":roost.local FAIL BOUNCER ACCOUNT_REQUIRED BIND :*");
    early.authenticate("alice", "sesame");
    early.until("903");
    early.one("BOUNCER BIND 2").must_fit(":roost.local FAIL BOUNCER INVALID_NETID BIND 2 :*");
    assert!(early.ask("BOUNCER BIND 1").is_empty());
}

#[test]
fn who_is_not_always_on_is_as_on_any_server() {
    let server = server();
    // The capability is gone before the welcome, so that the client joins its channels itself.
    for netid in [None, Some("1")] {
        let (mut client, lines) = goguma(&server, "bob", netid);
        let gone = lines.iter().find(|line| line.command() == "CAP" && line.params()[1] == "DEL").unwrap();
        gone.must_fit("*CAP bob DEL :*soju.im/bouncer-networks*");
        let place = |command: &str| lines.iter().position(|line| line.command() == command).unwrap();
        assert!(lines.iter().position(|line| line == gone).unwrap() < place("001"));
        assert!(all(&lines, "BATCH").is_empty(), "{lines:#?}");
        client.join("#bobs");
        assert!(client.ask("BOUNCER LISTNETWORKS")[0].raw.contains(" 421 "));
        client.send("QUIT");
        client.closed();
    }
    let mut guest = server.connect();
    guest.register_with("guest", "soju.im/bouncer-networks soju.im/bouncer-networks-notify");
    guest.join("#guests");
    // By default nobody is offered it.
    let plain = Server::start();
    let mut client = plain.connect();
    assert!(!client.ask("CAP LS 302").iter().any(|line| line.raw.contains("bouncer")));
    client.one("CAP REQ soju.im/bouncer-networks").must_fit("*NAK :soju.im/bouncer-networks");
}

const CONFIG: &str = "[accounts]\nbouncer_networks = true\nalways_on = \"mandatory\"\n";

#[test]
fn a_list_hears_of_another_name_and_ends_with_its_account() {
    let server = Server::with_files(&[("conf/roost.toml", CONFIG)], &[]);
    server.account("alice", "sesame");
    let (mut control, lines) = goguma(&server, "alice", None);
    assert_eq!(networks(&lines).len(), 1);
    let other = format!("[server]\nnetwork = \"Elsewhere\"\n{CONFIG}");
    fs::write(server.home().join("conf/roost.toml"), other).unwrap();
    server.signal("HUP");
    let lines = control.until("BOUNCER");
    lines.last().unwrap().must_fit("*:roost.local BOUNCER NETWORK 1 name=Elsewhere");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let code = alice.told("PRIVMSG NickServ :UNREGISTER alice");
    let code = code.split_whitespace().last().unwrap().trim_end_matches('.').to_owned();
    alice.send(&format!("PRIVMSG NickServ :UNREGISTER alice {code}"));
    control.closed();
}
