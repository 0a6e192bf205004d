//! HistServ: what was said is told, deleted and handed out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::client::{Client, find, texts};
use crate::server::{PATIENCE, Server, bare_command};

fn server() -> Server {
    let server = Server::with(&[("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    server.account("alice", "sesame");
    server
}

fn boss(server: &Server) -> Client {
    let mut boss = server.user("boss");
    find(&boss.ask("OPER boss letmein"), "381");
    boss
}

#[test]
fn a_client_that_knows_nothing_is_told_what_was_said() {
    let server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    for n in 1..=9 {
        alice.send(&format!("PRIVMSG #garden :text {n}"));
    }
    alice.send("PRIVMSG #garden :\u{1}ACTION waves\u{1}");
    alice.send(&format!("NOTICE #garden :{}", "é".repeat(220)));
    let mut bob = server.user("bob");
    assert!(bob.told("HISTSERV PLAY #garden").contains("no channel that you are in"));
    bob.join("#garden");
    let lines = bob.ask("HISTSERV PLAY #garden 4");
    let told = texts(&lines);
    assert_eq!(told[0], "The newest of what was said in #garden: 4 messages");
    assert!(told[1].starts_with("[20") && told[1].ends_with("] <alice> text 8"), "{told:?}");
    assert!(told[3].ends_with("] * alice waves"), "{told:?}");
    assert!(told[4].contains("] -alice- é"), "{told:?}");
    assert!(lines.iter().all(|line| line.command() == "NOTICE" && line.source().starts_with("HistServ!")));
    assert!(lines.iter().all(|line| line.raw.len() <= 510), "a line is too long");
    assert_eq!(texts(&bob.ask("HISTSERV PLAY #garden 1h")).len(), 12);
    // Whoever negotiated it is told when it was told.
    let mut carol = server.user_with("carol", "server-time");
    carol.join("#garden");
    let lines = carol.ask("HISTSERV PLAY #garden 4");
    assert!(lines.len() == 5 && lines.iter().all(|line| line.tag("time").is_some()), "{lines:?}");
    for wrong in ["0", "-1", "soon"] {
        assert!(bob.told(&format!("HISTSERV PLAY #garden {wrong}")).contains("give 50, or 1h30m"), "{wrong}");
    }
    assert!(bob.told("HISTSERV STATUS").contains("kept for good"));
    assert!(bob.told("HISTSERV STATUS #garden").contains("kept for good"));
}

#[test]
fn operators_delete_a_message_of_a_channel_that_they_are_not_in_and_it_is_audited() {
    let mut server = server();
    let mut alice = server.logged_in("alice", "alice", "sesame", "echo-message message-tags draft/message-redaction");
    alice.join("#garden");
    let said = alice.one("PRIVMSG #garden :in haste");
    let msgid = said.msgid().to_owned();
    find(&alice.ask(&format!("HISTSERV DELETE #garden {msgid}")), "481");
    let mut boss = boss(&server);
    assert!(boss.told("HISTSERV DELETE #garden nonsense").contains("is no msgid"));
    assert!(boss.told(&format!("HISTSERV DELETE #other {msgid}")).contains("Nothing is kept of a channel"));
    assert!(boss.told(&format!("HISTSERV DELETE #garden {msgid}")).contains("is deleted"));
    find(&alice.sync(), "REDACT").must_fit(&format!("*:boss!* REDACT #garden {msgid}"));
    assert!(boss.told(&format!("HISTSERV DELETE #garden {msgid}")).contains("no such message"));
    assert!(server.output().contains("HistServ DELETE #garden"), "it is not audited");
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    assert!(alice.told("HISTSERV PLAY #garden").contains("Nothing that you may read"));
    alice.ask("PRIVMSG #garden :more");
    let mut boss = self::boss(&server);
    let confirm = boss.told("HISTSERV FORGET alice").split_whitespace().last().unwrap().to_owned();
    boss.told(&format!("HISTSERV FORGET alice {confirm}"));
    assert!(alice.told("HISTSERV PLAY #garden").contains("Nothing that you may read"));
}

/// An account with something of everything.
fn fill(server: &Server) {
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/metadata-2");
    alice.join("#garden");
    alice.ask("CS REGISTER #garden");
    alice.ask("METADATA * SET avatar https://example.org/a.png");
    alice.ask("NS SET HISTORY-RETENTION 90d");
    alice.ask("NS APPPASS ADD phone");
    alice.ask("NS SET ALWAYS-ON ON");
    alice.ask("METADATA #garden SET soju.im/muted 1");
    alice.ask("NS NOTIFY LEVEL * ALL");
    alice.ask("NICK alicia");
    alice.ask("NS GROUP");
    alice.ask("NICK alice");
    for n in 0..50 {
        alice.send(&format!("PRIVMSG #garden :text \"{n}\" \\ ü"));
    }
    let mut bob = server.user("bob");
    bob.join("#garden");
    bob.ask("PRIVMSG #garden :what others say");
    alice.sync();
}

fn check(text: &str) {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((all["format"].as_str(), all["version"].as_u64()), (Some("roost-export"), Some(1)));
    assert_eq!(all["account"]["name"], "alice");
    assert_eq!(all["settings"]["keep-seconds"], (90 * 86_400).to_string());
    assert_eq!(all["metadata"]["avatar"], "https://example.org/a.png");
    assert_eq!(all["app_passwords"][0]["name"], "phone");
    assert_eq!(all["nicks"], serde_json::json!(["alice", "alicia"]));
    let private = all["private_metadata"].as_array().unwrap();
    for (about, key) in [("#garden", "soju.im/muted"), ("*", "roost/notify")] {
        let found = private.iter().any(|entry| entry["about"] == about && entry["key"] == key);
        assert!(found, "{about} {key}: {private:#?}");
    }
    assert_eq!(all["channels_founded"][0]["name"], "#garden");
    let presence = &all["presence"];
    assert_eq!((presence["nick"].as_str(), presence["realname"].as_str()), (Some("alice"), Some("alice of the tests")));
    assert_eq!(
        (&presence["channels"][0]["channel"], &presence["channels"][0]["ranks"]),
        (&"#garden".into(), &"qo".into())
    );
    assert!(presence["channels"][0]["joined"].as_str().unwrap().ends_with('Z'), "{presence}");
    let messages = all["messages"].as_array().unwrap();
    assert_eq!(all["message_count"].as_u64(), Some(messages.len() as u64));
    let said: Vec<&Value> = messages.iter().filter(|message| message["kind"] == "privmsg").collect();
    assert_eq!(said.len(), 50);
    assert_eq!((said[7]["text"].as_str(), said[7]["target"].as_str()), (Some("text \"7\" \\ ü"), Some("#garden")));
    assert!(said[0]["msgid"].as_str().unwrap().len() == 20 && said[0]["time"].as_str().unwrap().ends_with('Z'));
    assert!(!text.contains("what others say") && !text.contains("$2b$"), "{text}");
}

#[test]
fn the_export_has_channels_that_somebody_is_to_get_and_all_of_how_they_are_there() {
    let server = server();
    server.account("bob", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.told("NS SET ALWAYS-ON ON");
    alice.ask("MODE alice +w");
    let mut boss = boss(&server);
    let plain = find(&boss.ask("WHOIS alice"), "311").params()[3].to_owned();
    for host in ["one.host", "two.host"] {
        find(&boss.ask(&format!("CHGHOST alice {host}")), "NOTICE");
    }
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    for channel in ["#given", "#left", "#own"] {
        bob.join(channel);
        bob.told(&format!("CS REGISTER {channel}"));
    }
    bob.told("CS SET #left SUCCESSOR alice");
    let code = bob.told("CS TRANSFER #given alice").split_whitespace().last().unwrap().to_owned();
    bob.told(&format!("CS TRANSFER #given alice {code}"));
    let exported = server.roost(&["export", "--account", "alice"]);
    let all: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(all["channels_offered"], serde_json::json!(["#given"]), "{all:#}");
    assert_eq!(all["successor_in"], serde_json::json!(["#left"]));
    assert_eq!(all["channels_founded"], serde_json::json!([]));
    assert_eq!(all["presence"]["user"], "~alice");
    // She is shown by a third host by now.
    let hosts = ["host", "plain_host", "former_hosts"].map(|key| &all["presence"][key]);
    assert_eq!(hosts, [&Value::from("two.host"), &Value::from(plain), &serde_json::json!(["one.host"])], "{all:#}");
    assert!(all["presence"]["modes"].as_str().unwrap().contains('w'), "{all:#}");
}

#[test]
fn whoever_asks_is_handed_all_that_is_kept_of_them() {
    let mut server = server();
    fill(&server);
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let mut boss = boss(&server);
    assert!(alice.told("HISTSERV EXPORT").contains("an operator will hand you"));
    assert!(texts(&boss.sync()).concat().contains("/msg HistServ EXPORT alice"));
    assert!(alice.told("HISTSERV EXPORT").contains("asked already"));
    assert!(alice.told("HISTSERV EXPORT boss").contains("only operators name an account"));
    server.crash_and_restart();
    let mut boss = self::boss(&server);
    assert!(boss.told("HISTSERV STATUS").contains("alice asked at"));
    // Operators name an account once they are logged in to one.
    boss.told("NS REGISTER letmein");
    assert!(boss.told("HISTSERV EXPORT nobody").contains("no account"));
    assert!(boss.told("HISTSERV EXPORT alice").contains("is being written"));
    let began = Instant::now();
    let told = loop {
        let told = texts(&boss.sync()).concat();
        if told.contains("is in ") {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
    };
    let file = told.split("is in ").nth(1).unwrap().split(", with").next().unwrap().to_owned();
    let path = server.home().join(&file);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    check(&fs::read_to_string(&path).unwrap());
    assert!(!boss.told("HISTSERV STATUS").contains("alice asked at"));
    assert!(server.output().contains("HistServ EXPORT alice"), "it is not audited");
}

#[test]
fn the_command_line_exports_while_the_server_runs_and_while_it_does_not() {
    let mut server = server();
    fill(&server);
    let export = |server: &Server, account: &str| {
        let mut command = bare_command(server.home());
        command.args(["export", "--account", account]).stdout(Stdio::piped()).stderr(Stdio::piped());
        server.environment(&mut command);
        command.output().unwrap()
    };
    let running = export(&server, "Alice");
    assert!(running.status.success(), "{running:?}");
    check(std::str::from_utf8(&running.stdout).unwrap());
    let nobody = export(&server, "nobody");
    assert!(!nobody.status.success() && nobody.stdout.is_empty());
    assert_eq!(String::from_utf8_lossy(&nobody.stderr).trim(), "roost: there is no account \"nobody\"");
    server.signal("TERM");
    server.wait();
    let stopped = export(&server, "alice");
    assert!(stopped.status.success(), "{stopped:?}");
    check(std::str::from_utf8(&stopped.stdout).unwrap());
}
