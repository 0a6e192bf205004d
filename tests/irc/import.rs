//! `roost import`: the files of Ergo, Anope and Atheme, into SQLite and PostgreSQL, and who logs in afterwards.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use sha3::Sha3_512;

use crate::client::{Client, commands, find, plain};
use crate::sasl::{Kind, Scram};
use crate::server::Server;
use crate::server::schema::Schema;

/// A server on every kind of database.
fn servers() -> Vec<(Server, Option<Schema>)> {
    let mut all = vec![(Server::start(), None)];
    if let Some(schema) = Schema::new() {
        all.push((Server::with(&[("ROOST__STORE__URL", &schema.url())]), Some(schema)));
    }
    all
}

fn stop(server: &mut Server) {
    // It listens a little earlier than it ends by a signal.
    server.user("early").silent();
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.output());
}

/// What an import prints, where it succeeds.
#[track_caller]
fn import(server: &Server, from: &str, file: &[u8], more: &[&str]) -> String {
    let path = server.home().join("theirs.db");
    fs::write(&path, file).unwrap();
    let output = server.roost(&[&["import", "--from", from, path.to_str().unwrap()], more].concat());
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && stderr.is_empty(), "{stdout}{stderr}");
    stdout
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

/// Somebody with `sasl` and a nick that nobody has had: the last one may not have been seen to leave.
fn guest(server: &Server) -> Client {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    server.user_with(&format!("guest{}", COUNT.fetch_add(1, Ordering::Relaxed)), "sasl")
}

/// Whether SASL PLAIN lets somebody in.
fn logs_in(server: &Server, account: &str, password: &str) -> bool {
    let mut guest = guest(server);
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    let lines = guest.ask(&format!("AUTHENTICATE {}", plain(account, password)));
    commands(&lines).contains(&"903")
}

fn scram(server: &Server, account: &str, kind: Kind) -> String {
    guest(server).scram(&Scram::new(kind, account, "sesame")).1
}

/// Alice with all that she had there: the old password by every door, her nick `al`, her channel `#garden` with its
/// topic, key and ban, where bob is an operator.
fn alice_is_at_home(server: &mut Server, scram_at_once: bool) {
    assert_eq!(scram(server, "alice", Kind::Sha256), if scram_at_once { "903" } else { "904" });
    assert!(!logs_in(server, "alice", "Sesame"));
    // Nobody else has her other nick.
    let mut guest = server.connect();
    guest.send_all(&["NICK al", "USER al 0 * :x"]);
    guest.until("433");
    drop(guest);

    let mut alice = server.user("alice_");
    assert!(alice.told("NS IDENTIFY alice sesame").contains("logged in"));
    alice.ask("NICK al").iter().find(|line| line.command() == "NICK").expect("the nick al");
    let lines = alice.ask("JOIN #garden sesame");
    assert_eq!(find(&lines, "332").params()[2], "roses and more");
    assert!(find(&lines, "353").params()[3].contains("~al"), "{lines:#?}");
    let lines = alice.ask("MODE #garden");
    let modes = find(&lines, "324");
    assert!(modes.params()[2].contains('n') && modes.params()[2].contains('k'), "{modes:?}");
    assert_eq!(find(&alice.ask("MODE #garden b"), "367").params()[2], "*!*@spam.example");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(find(&bob.ask("JOIN #garden sesame"), "353").params()[3].contains("@bob"));
    drop((alice, bob));

    // From the first login on the hash is ours, and SCRAM has it, over a kill.
    server.crash_and_restart();
    for kind in [Kind::Sha256, Kind::Sha512] {
        assert_eq!(scram(server, "alice", kind), "903");
    }
    assert!(logs_in(server, "alice", "sesame") && !logs_in(server, "alice", "millet"));
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(alice.told("NS PASSWD millet millet").contains("Password changed"));
    assert!(logs_in(server, "alice", "millet") && !logs_in(server, "alice", "sesame"));
}

const ANOPE: &str = "\
OBJECT NickCore
ID 1
DATA display alice
DATA pass md5:c8dae1c50e092f3d877192fc555b1dcf
DATA email alice@example.org
END
OBJECT NickCore
DATA display bob
DATA pass hmac-sha256:1101c1a53dd1d022656a1c3e29e2da9e71752c9dd51d6ec7a0501f1cdbce4479:01026b6579
END
OBJECT NickCore
DATA display carol
DATA pass oldmd5:0011
END
OBJECT NickCore
DATA display mallory
DATA pass md5:c8dae1c50e092f3d877192fc555b1dcf
END
OBJECT NickAlias
DATA nick alice
DATA nc alice
DATA time_registered 1600000000
END
OBJECT NickAlias
DATA nick al
DATA nc alice
DATA time_registered 1600000000
END
OBJECT NickAlias
DATA nick mallory
DATA nc mallory
END
OBJECT NSSuspendInfo
DATA nick mallory
DATA by boss
DATA reason spam
DATA time 1600000000
DATA expires 0
END
OBJECT ChannelInfo
DATA name #garden
DATA founder alice
DATA time_registered 1600000000
DATA last_topic roses and more
DATA last_topic_setter al
DATA last_topic_time 1600000000
DATA KEEPTOPIC 1
DATA last_modes NOEXTERNAL KEY,sesame BAN,*!*@spam.example
END
OBJECT ChanAccess
DATA provider access/xop
DATA ci #garden
DATA mask bob
DATA data AOP
END
OBJECT ChannelInfo
DATA name #lost
DATA founder ghost
END
";

#[test]
fn the_people_of_anope_log_in_as_they_did_there() {
    for (mut server, _schema) in servers() {
        let text = server.roost(&["import", "--from", "anope", "conf/none.db"]);
        assert!(!text.status.success());
        let text = String::from_utf8(text.stderr).unwrap();
        assert!(text.starts_with("roost: conf/none.db: ") && text.lines().count() == 1, "{text}");
        // While a server runs, nothing is imported.
        let path = server.home().join("theirs.db");
        fs::write(&path, ANOPE).unwrap();
        let output = server.roost(&["import", "--from", "anope", path.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains("in use by another Roost"), "{text}");
        stop(&mut server);

        let dry = import(&server, "anope", ANOPE.as_bytes(), &["--dry-run"]);
        has(&dry, &["accounts:            4 would come,", "nothing was written"]);
        let text = import(&server, "anope", ANOPE.as_bytes(), &[]);
        has(
            &text,
            &[
                "accounts:            4 came, 0 were there already, 0 did not come",
                "grouped nicks:       1 came,",
                "channels:            1 came, 0 were there already, 1 did not come",
                "\"#lost\" did not come: the account of its founder \"ghost\" did not come",
                "\"oldmd5\", which is not known here",
                "account \"mallory\" is suspended, for good",
                "SAPASSWD: carol\n",
                "all of it is written",
            ],
        );
        let again = import(&server, "anope", ANOPE.as_bytes(), &[]);
        has(&again, &["channels:            0 came, 1 were there already", "\"alice\" is there already"]);
        server.start_again();
        assert!(!logs_in(&server, "mallory", "sesame") && !logs_in(&server, "carol", "sesame"));
        alice_is_at_home(&mut server, false);
    }
}

#[test]
fn the_people_of_atheme_log_in_as_they_did_there() {
    let file = "\
DBV 12
CF +vVoOtsriRfhHAFqabe
MU AAAAAAAAB alice $z$65$4096$MDEyMzQ1Njc4OWFiY2RlZg==$VN7TGXR2mKZKoVdTp1SdRWBKnlXaYulCWS/O1xCfZeI=$hn4FUIkYt7Fy4b6A2QilBRpntUViQLMX9F3hmowbDlg= alice@example.org 1600000000 1600000001 +sC default
MN alice alice 1600000000 0
MN alice al 1600000000 0
MU AAAAAAAAC bob $6$abcdefgh$Bk2D4uYVcw0FbFPsWa0iJZ1DNfy8v6OjKcRcuBfMkWD1KdADPVnmQf5cr0O8HfAYpq1XrrjdgIRINkwgSKJ8/1 * 1600000000 0 +C default
MU AAAAAAAAD dave sesame * 1600000000 0 + default
MC #garden 1600000000 1600000001 +kv 0 0 0 sesame
CA #garden alice +AFRfiorstv 1600000000 alice
CA #garden bob +Oo 1600000000 alice
CA #garden *!*@spam.example +b 1600000000 alice
MDC #garden private:topic:setter al
MDC #garden private:topic:text roses and more
MDC #garden private:topic:ts 1600000000
";
    for (mut server, _schema) in servers() {
        stop(&mut server);
        let text = import(&server, "atheme", file.as_bytes(), &[]);
        has(&text, &["accounts:            3 came, 0", "channels:            1 came, 0"]);
        server.start_again();
        // A password that stood there in the clear is hashed before anyone logs in.
        assert_eq!(scram(&server, "dave", Kind::Sha512), "903");
        alice_is_at_home(&mut server, true);
    }
}

#[test]
fn the_people_of_ergo_log_in_as_they_did_there() {
    let hash = bcrypt::hash(Sha3_512::digest("sesame"), 4).unwrap();
    let credentials = format!(r#"{{"Version":1,"PassphraseHash":"{}","Certfps":null}}"#, STANDARD.encode(hash));
    let room = r##"{"Name":"#garden","RegisteredAt":"2020-09-13T12:26:40Z","Founder":"alice","Topic":"roses and more",
        "TopicSetBy":"al","TopicSetTime":"2020-09-13T12:26:40Z","Modes":[110,116],"Key":"sesame","Forward":"","UserLimit":0,
        "AccountToUMode":{"alice":113,"bob":111},"Bans":{"*!*@spam.example":{"TimeCreated":"2020-09-13T12:26:40Z"}}}"##;
    let mut file = String::new();
    let mut set = |key: &str, value: &str| {
        file += &format!("*3\r\n$3\r\nset\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
    };
    set("0 AP9VDdQKv3n1mI5ZYY3bVw", "24");
    for name in ["alice", "bob"] {
        set(&format!("account.exists {name}"), "1");
        set(&format!("account.name {name}"), name);
        set(&format!("account.verified {name}"), "1");
        set(&format!("account.registered.time {name}"), "1600000000000000000");
        set(&format!("account.credentials {name}"), &credentials);
    }
    set("account.additionalnicks alice", "al");
    set("1 AAAAAAAAAAAAAAAAAAAAAA", room);
    for (mut server, _schema) in servers() {
        stop(&mut server);
        has(&import(&server, "ergo", file.as_bytes(), &[]), &["accounts:            2 came, 0"]);
        server.start_again();
        alice_is_at_home(&mut server, false);
    }
}

#[test]
fn whoever_registered_a_name_here_is_given_nothing_of_its_owner_there_and_keeps_their_own() {
    for (mut server, _schema) in servers() {
        server.account("alice", "millet");
        stop(&mut server);
        let text = import(&server, "anope", ANOPE.as_bytes(), &[]);
        has(
            &text,
            &[
                "account \"alice\" did not come: an account of that name is there already, and is another",
                "\"#garden\" did not come: the account of its founder \"alice\" did not come",
            ],
        );
        server.start_again();
        assert!(logs_in(&server, "alice", "millet") && !logs_in(&server, "alice", "sesame"));
        let mut guest = server.user("al");
        guest.join("#garden");
    }
}

#[test]
fn whoever_is_always_on_and_held_a_channel_before_it_was_imported_does_not_run_it_afterwards() {
    for (mut server, _schema) in servers() {
        server.account("bear", "millet");
        let mut bear = server.logged_in("bear", "bear", "millet", "");
        bear.ask("NS SET ALWAYS-ON ON");
        assert!(find(&bear.ask("JOIN #garden"), "353").params()[3].contains("@bear"));
        drop(bear);
        stop(&mut server);
        let text = import(&server, "anope", ANOPE.as_bytes(), &[]);
        has(
            &text,
            &["channel \"#garden\": \"bear\", who is always on, was in it here before and had +o; now that is no rank"],
        );
        server.start_again();
        let mut alice = server.user("alice_");
        assert!(alice.told("NS IDENTIFY alice sesame").contains("logged in"));
        let names = find(&alice.ask("JOIN #garden sesame"), "353").params()[3].to_owned();
        let mut names: Vec<&str> = names.split(' ').collect();
        names.sort_unstable();
        assert_eq!(names, ["bear", "~alice_"]);
    }
}

#[test]
fn an_operator_gives_a_password_to_whoever_came_without_one() {
    let config = "[[oper]]\nname = \"boss\"\npassword = \"letmein\"\n";
    let mut server = Server::with_files(&[("conf/roost.toml", config)], &[]);
    stop(&mut server);
    import(&server, "anope", ANOPE.as_bytes(), &[]);
    server.start_again();
    let mut boss = server.user("boss");
    find(&boss.ask("NS SAPASSWD carol millet"), "481");
    boss.ask("OPER boss letmein");
    assert!(boss.told("NS SAPASSWD nobody millet").contains("no account \"nobody\""));
    assert!(boss.told("NS SAPASSWD carol millet").contains("password of the account carol is changed"));
    assert!(logs_in(&server, "carol", "millet"));
    let output = server.output();
    assert!(output.contains("NickServ SAPASSWD carol") && !output.contains("millet"), "it is in the audit log");
}
