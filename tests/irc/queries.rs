//! LIST, WHO, WHOIS, WHOWAS, LUSERS, MOTD, VERSION, TIME, INFO, HELP, OPER and KILL.

use crate::client::{all, commands, find};
use crate::server::Server;

/// `correct horse` after SHA-512, base64 and bcrypt at cost 4 is made by the binary itself.
fn hash(password: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut child = crate::server::bare_command(home.path())
        .arg("passwd")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{password}\n{password}\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .find(|word| word.starts_with("$2"))
        .unwrap_or_else(|| panic!("no hash in {text:?}"))
        .to_owned()
}

#[test]
fn list_shows_channels_with_counts_and_topics() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room,#other,#secret");
    alice.ask("TOPIC #room :the topic");
    alice.ask("MODE #secret +s");
    bob.join("#room");
    let listed = |lines: &[crate::client::Line]| {
        let mut listed: Vec<String> = all(lines, "322").iter().map(|line| line.params()[1..].join("|")).collect();
        listed.sort();
        assert_eq!(lines.last().unwrap().command(), "323");
        listed
    };
    assert_eq!(listed(&bob.ask("LIST")), ["#other|1|", "#room|2|the topic"]);
    alice.sync();
    assert_eq!(listed(&alice.ask("LIST")), ["#other|1|", "#room|2|the topic", "#secret|1|"]);
    assert_eq!(listed(&bob.ask("LIST #room")), ["#room|2|the topic"]);
    assert!(listed(&bob.ask("LIST #secret")).is_empty());
    assert!(listed(&bob.ask("LIST #nosuch")).is_empty());
    assert_eq!(commands(&bob.ask("LIST #nosuch")), ["321", "323"]);
}

#[test]
fn c33_elist_letters_that_are_announced_work() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.send_all(&["NICK alice", "USER a 0 * :a"]);
    let welcome = alice.welcome("alice");
    let elist = welcome
        .iter()
        .flat_map(|line| line.params().iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
        .find_map(|token| token.strip_prefix("ELIST=").map(str::to_owned))
        .unwrap_or_default();
    alice.join("#one,#two,#three");
    let mut bob = server.user("bob");
    bob.join("#two,#three");
    let mut carol = server.user("carol");
    carol.join("#three");
    let names = |lines: Vec<crate::client::Line>| {
        let mut names: Vec<String> = all(&lines, "322").iter().map(|line| line.params()[1].to_owned()).collect();
        names.sort();
        names
    };
    if elist.contains('U') {
        assert_eq!(names(carol.ask("LIST >2")), ["#three"]);
        assert_eq!(names(carol.ask("LIST <2")), ["#one"]);
        assert_eq!(names(carol.ask("LIST >1,<3")), ["#two"]);
    }
    if elist.contains('M') {
        assert_eq!(names(carol.ask("LIST *t*")), ["#three", "#two"]);
    }
    if elist.contains('N') {
        assert_eq!(names(carol.ask("LIST !*t*")), ["#one"]);
    }
    if elist.contains('C') {
        assert_eq!(names(carol.ask("LIST C>60")).len(), 0);
        assert_eq!(names(carol.ask("LIST C<60")).len(), 3);
    }
    if elist.contains('T') {
        carol.ask("TOPIC #three :new");
        assert_eq!(names(carol.ask("LIST T>60")).len(), 0);
    }
}

#[test]
fn who_of_a_channel_and_of_a_nick() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    let mask = alice.mask();
    let (user, host) = mask.split_once('!').unwrap().1.split_once('@').unwrap();
    let lines = bob.ask("WHO #room");
    assert_eq!(commands(&lines), ["352", "352", "315"]);
    let line = lines.iter().find(|line| line.params()[5] == "alice").unwrap();
    assert_eq!(
        line.raw,
        format!(":roost.local 352 bob #room {user} {host} roost.local alice H@ :0 alice of the tests")
    );
    lines[2].must_fit(":roost.local 315 bob #room :*");
    alice.ask("AWAY :lunch");
    let lines = bob.ask("WHO alice");
    assert_eq!(commands(&lines), ["352", "315"]);
    assert!(lines[0].params()[6].starts_with('G'), "{lines:#?}");
    assert_eq!(commands(&bob.ask("WHO nobody")), ["315"]);
    assert_eq!(commands(&bob.ask("WHO #nowhere")), ["315"]);
}

#[test]
fn c32_whois_finishes_and_does_not_leak() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    let lines = alice.ask("WHOIS nobody");
    assert_eq!(commands(&lines), ["401", "318"]);
    lines[0].must_fit(":roost.local 401 alice nobody :*");
    lines[1].must_fit(":roost.local 318 alice nobody :*");
    let channels: Vec<String> = (0..80).map(|number| format!("#channel-of-bob-{number}")).collect();
    bob.join(&channels.join(","));
    bob.join("#hidden");
    bob.ask("MODE #hidden +s");
    bob.ask("AWAY :at lunch");
    alice.join(&channels[0]);
    let lines = alice.ask("WHOIS bob");
    find(&lines, "311").must_fit(":roost.local 311 alice bob * * * :bob of the tests");
    find(&lines, "312").must_fit(":roost.local 312 alice bob roost.local :*");
    assert_eq!(find(&lines, "301").raw, ":roost.local 301 alice bob :at lunch");
    find(&lines, "317").must_fit(":roost.local 317 alice bob * * :*");
    assert_eq!(lines.last().unwrap().command(), "318");
    let shown: Vec<String> = all(&lines, "319")
        .iter()
        .flat_map(|line| line.params()[2].split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(shown.len(), 80, "{shown:?}");
    assert!(all(&lines, "319").len() > 1);
    assert!(shown.iter().all(|name| name.starts_with("@#channel-of-bob-")), "{shown:?}");
    // Bob himself sees it.
    assert!(bob.ask("WHOIS bob").iter().any(|line| line.raw.contains("@#hidden")));
    // Nor do WHO, LIST and NAMES tell.
    for query in ["WHO bob", "LIST", "NAMES #hidden", "WHO #hidden", "WHO *"] {
        let lines = alice.ask(query);
        for line in lines.iter().filter(|line| matches!(line.command(), "352" | "322" | "353")) {
            assert!(!line.raw.contains("#hidden"), "{query}: {line:?}");
        }
    }
    assert_eq!(alice.one("TOPIC #hidden").params()[1], "#hidden");
}

#[test]
fn c32_invisible_users_are_not_shown_to_strangers() {
    let server = Server::start();
    let (mut alice, _bob) = (server.user("alice"), server.user("bob"));
    let lines = alice.ask("WHO *");
    assert!(lines.iter().all(|line| line.command() != "352" || !line.raw.contains(" bob ")), "{lines:#?}");
    assert_eq!(lines.last().unwrap().command(), "315");
}

#[test]
fn whois_with_a_server_and_without_a_nick() {
    let server = Server::start();
    let mut alice = server.user("alice");
    find(&alice.ask("WHOIS roost.local alice"), "311");
    find(&alice.ask("WHOIS alice alice"), "311");
    alice.one("WHOIS").must_fit(":roost.local 431 alice :*");
}

#[test]
fn whois_names_the_account() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    find(&alice.ask("WHOIS alice"), "330").must_fit(":roost.local 330 alice alice alice :*");
}

#[test]
fn whowas_remembers_who_left() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let lines = alice.ask("WHOWAS bob");
    assert_eq!(commands(&lines), ["406", "369"]);
    let mut bob = server.user("bob");
    bob.send("QUIT");
    bob.closed();
    let lines = alice.ask("WHOWAS BOB");
    find(&lines, "314").must_fit(":roost.local 314 alice bob * * * :bob of the tests");
    assert_eq!(lines.last().unwrap().command(), "369");
    alice.one("WHOWAS").must_fit(":roost.local 431 alice :*");
}

#[test]
fn lusers_counts() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let mut bob = server.user("bob");
    bob.ask("MODE bob -i");
    bob.join("#room");
    let _unknown = server.connect().ask("CAP LS");
    let lines = alice.ask("LUSERS");
    find(&lines, "251").must_fit(":roost.local 251 alice :There are 1 users and 1 invisible on 1 servers");
    find(&lines, "254").must_fit(":roost.local 254 alice 1 :*");
    find(&lines, "255").must_fit(":roost.local 255 alice :I have 2 clients and *");
    find(&lines, "265").must_fit(":roost.local 265 alice 2 2 :*");
    find(&lines, "266").must_fit(":roost.local 266 alice 2 2 :*");
}

#[test]
fn motd_from_a_file_and_built_in() {
    let server =
        Server::with_files(&[("motd.txt", "first line\n\nthird line\n")], &[("ROOST__SERVER__MOTD", "motd.txt")]);
    let lines = server.user("alice").ask("MOTD");
    assert_eq!(commands(&lines), ["375", "372", "372", "372", "376"]);
    lines[1].must_fit(":roost.local 372 alice :*first line");
    lines[3].must_fit(":roost.local 372 alice :*third line");
    let lines = Server::start().user("alice").ask("MOTD");
    assert!(commands(&lines) == ["422"] || commands(&lines).last() == Some(&"376"), "{lines:#?}");
}

#[test]
fn version_time_info_and_help() {
    let server = Server::start();
    let mut alice = server.user("alice");
    let lines = alice.ask("VERSION");
    find(&lines, "351").must_fit(":roost.local 351 alice *oost* roost.local*");
    let line = alice.one("TIME");
    assert_eq!(line.command(), "391");
    assert_eq!(line.params()[1], "roost.local");
    let lines = alice.ask("INFO");
    assert_eq!(lines.last().unwrap().command(), "374");
    find(&lines, "371");
    for question in ["HELP", "HELP privmsg", "HELPOP JOIN"] {
        let lines = alice.ask(question);
        assert_eq!(lines[0].command(), "704", "{question}: {lines:#?}");
        assert_eq!(lines.last().unwrap().command(), "706");
    }
    alice.one("HELP nosuchthing").must_fit(":roost.local 524 alice nosuchthing :*");
}

#[test]
fn oper_and_kill() {
    let config = format!("[[oper]]\nname = \"root\"\npassword = \"{}\"\n", hash("correct horse"));
    let server = Server::with_files(&[("conf/roost.toml", &config)], &[]);
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    let line = alice.one("KILL bob :out");
    assert!(matches!(line.command(), "481" | "723"), "{line:?}");
    assert!(matches!(alice.one("OPER root wrong").command(), "464" | "491"));
    assert!(matches!(alice.one("OPER nobody wrong").command(), "464" | "491"));
    let lines = alice.ask("OPER root :correct horse");
    find(&lines, "381");
    assert!(alice.one("MODE alice").params()[1].contains('o'));
    find(&bob.ask("WHOIS alice"), "313");
    alice.one("KILL nobody :out").must_fit(":roost.local 401 alice nobody :*");
    let lines = alice.ask("KILL bob :out");
    find(&lines, "QUIT").must_fit(":bob!* QUIT :*out*");
    let lines = bob.closed();
    assert_eq!(lines.last().unwrap().command(), "ERROR");
    assert!(lines.last().unwrap().raw.contains("out"));
}

#[test]
fn wallops_goes_from_operators_to_whoever_wants_it() {
    let config = format!("[[oper]]\nname = \"alice\"\npassword = \"{}\"\n", "sesame");
    let server = Server::with_files(&[("conf/roost.toml", &config)], &[]);
    let mut alice = server.user("alice");
    let (mut bob, mut carol) = (server.user("bob"), server.user("carol"));
    bob.ask("MODE bob +w");
    bob.one("WALLOPS :hello").must_fit(":roost.local 481 bob :*");
    alice.send("OPER alice sesame");
    alice.until("381");
    alice.sync();
    alice.one("WALLOPS :the server moves").must_fit(":alice!* WALLOPS :the server moves");
    bob.only().must_fit(":alice!* WALLOPS :the server moves");
    carol.silent();
}
