//! What irssi and WeeChat show of each other.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use sha2::{Digest as _, Sha256};

use crate::client::{Client, texts};
use crate::irssi::Irssi;
use crate::program::wait_until;
use crate::server::Server;
use crate::weechat::WeeChat;

const ROOM: &str = "irc.roost.#roost";

/// A server with the accounts `iris` and `wanda`, where a third client has set a topic.
fn server() -> Server {
    let server = Server::start();
    server.account("iris", "sesame");
    server.account("wanda", "sesame");
    server
}

#[test]
fn irssi_and_weechat_see_each_others_lines_topic_and_modes() {
    let server = server();
    let home = tempfile::tempdir().unwrap();
    let irssi = Irssi::start(server.tls, "iris", "sesame", "#roost");
    irssi.shows(&["iris", "#roost"]);
    irssi.shows(&["@iris"]);
    let weechat = WeeChat::start(home.path(), server.tls, "wanda", "sesame", "#roost");
    weechat.shows(ROOM, &["wanda", "joined"]);
    irssi.shows(&["wanda", "joined"]);
    // Both are logged in.
    let mut raw = server.user("raw");
    for nick in ["iris", "wanda"] {
        let lines = raw.ask(&format!("WHOIS {nick}"));
        assert!(lines.iter().any(|line| line.command() == "330" && line.params()[2] == nick), "{lines:#?}");
        assert!(lines.iter().any(|line| line.command() == "671"), "{lines:#?}");
    }
    irssi.type_line("good evening from irssi: ü");
    weechat.shows(ROOM, &["iris", "good evening from irssi: ü"]);
    weechat.run(ROOM, "good evening from weechat: é");
    irssi.shows(&["wanda", "good evening from weechat: é"]);
    weechat.shows(ROOM, &["wanda", "good evening from weechat: é"]);
    irssi.type_line("/topic an evening on the roost");
    weechat.shows(ROOM, &["iris", "an evening on the roost"]);
    irssi.shows(&["an evening on the roost"]);
    irssi.type_line("/op wanda");
    weechat.shows(ROOM, &["+o", "wanda", "iris"]);
    irssi.shows(&["+o wanda"]);
    irssi.type_line("/names");
    irssi.shows(&["@iris", "@wanda"]);
    // The names that WeeChat was given when it came.
    weechat.shows(ROOM, &["Nicks #roost", "@iris", "wanda"]);
    weechat.run(ROOM, "/mode +v iris");
    irssi.shows(&["+v iris", "wanda"]);
}

#[test]
fn weechat_comes_back_after_sigkill_and_shows_what_it_missed_with_the_times_of_then() {
    let mut server = server();
    let home = tempfile::tempdir().unwrap();
    let irssi = Irssi::start(server.tls, "iris", "sesame", "#roost");
    irssi.shows(&["@iris"]);
    let weechat = WeeChat::start(home.path(), server.tls, "wanda", "sesame", "#roost");
    weechat.shows(ROOM, &["wanda", "joined"]);
    weechat.run("irc.server.roost", "/msg NickServ SET autoreplay-missed on");
    irssi.type_line("seen by both");
    weechat.shows(ROOM, &["iris", "seen by both"]);
    weechat.quit();
    irssi.shows(&["wanda", "quit"]);

    // Irssi's own screen shows a line at once; that the server has it is seen by a third client.
    let mut witness = server.user_with("witness", "server-time");
    witness.join("#roost");
    let mut times = Vec::new();
    for line in ["missed one", "missed two", "missed three"] {
        irssi.type_line(line);
        let seen = witness.until("PRIVMSG").pop().unwrap();
        assert_eq!(seen.params()[1], line);
        times.push(seen.time().to_owned());
    }
    drop(witness);
    server.crash_and_restart();
    // The lines must show the time when they were said, not now: let the clock go on by a second, at least.
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let then = second();
    wait_until("the next second but one", || (second() > then + 1).then_some(()), String::new);

    let before = WeeChat::start_log_length(home.path(), ROOM);
    let weechat = WeeChat::start(home.path(), server.tls, "wanda", "sesame", "#roost");
    weechat.shows(ROOM, &["iris", "missed three"]);
    // Whatever comes after the replay has come once a line of now is there.
    weechat.run(ROOM, "back again");
    weechat.shows(ROOM, &["wanda", "back again"]);
    let log = weechat.log(ROOM);
    let shown: Vec<&String> =
        log[before..].iter().filter(|line| line.split('\t').nth(1).is_some_and(|who| who.contains("iris"))).collect();
    assert_eq!(shown.len(), 3, "{log:#?}");
    for ((line, text), time) in shown.iter().zip(["missed one", "missed two", "missed three"]).zip(&times) {
        let parts: Vec<&str> = line.split('\t').collect();
        assert_eq!(parts[2], text);
        assert_eq!(parts[0], time[..19].replace('T', " "), "{line}");
    }
}

#[test]
fn two_irssi_and_a_weechat_on_one_account_show_each_line_once_whoever_is_killed() {
    let mut server = server();
    let homes: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let irssi =
        |at: usize, login: &str| Irssi::start_at(homes[at].path(), server.tls, "iris", login, "sesame", "#roost");
    let (desk, couch) = (irssi(0, "iris@desk"), irssi(1, "iris@couch"));
    let phone = [
        "/set irc.server.roost.sasl_username iris@phone".to_owned(),
        "/set irc.server.roost.autoreconnect_delay 1".to_owned(),
    ];
    let weechat = WeeChat::start_with(homes[2].path(), server.tls, "iris", "sesame", "#roost", &phone);
    weechat.shows(ROOM, &["Nicks #roost"]);
    let mut speaker = server.user("speaker");
    speaker.join("#roost");
    // They are one to others.
    assert_eq!(speaker.ask("NAMES #roost")[0].params().last(), Some(&"@iris speaker"));

    let logs = |irssi: &Irssi| [irssi.log("#roost"), irssi.log("speaker")].concat();
    let weechat_logs = || [weechat.log(ROOM), weechat.log("irc.roost.speaker")].concat().join("\n");
    let say = |speaker: &mut Client, text: &str| {
        speaker.ask(&format!("PRIVMSG #roost :{text} to all"));
        speaker.ask(&format!("PRIVMSG iris :{text} to you"));
    };
    let shows = |logs: &dyn Fn() -> String, text: &str| {
        let both = || ["to all", "to you"].iter().all(|to| logs().contains(&format!("{text} {to}"))).then_some(());
        wait_until(&format!("{text:?} being shown"), both, logs);
    };
    say(&mut speaker, "first");
    shows(&|| logs(&desk), "first");
    shows(&|| logs(&couch), "first");
    shows(&weechat_logs, "first");
    couch.kill();
    say(&mut speaker, "second");
    shows(&|| logs(&desk), "second");
    shows(&weechat_logs, "second");
    server.crash_and_restart();
    let mut speaker = server.user("speaker");
    speaker.join("#roost");
    // Whoever is back first keeps the nick; the others find out what was said meanwhile.
    wait_until("iris being back", || speaker.ask("ISON iris")[0].raw.ends_with("iris").then_some(()), weechat_logs);
    say(&mut speaker, "third");
    let couch = Irssi::start_at(homes[1].path(), server.tls, "iris", "iris@couch", "sesame", "#roost");
    for text in ["second", "third"] {
        shows(&|| logs(&desk), text);
        shows(&|| logs(&couch), text);
        shows(&weechat_logs, text);
    }
    // It joins by itself what its user is in already, and is answered: that leaves what it was replayed on the screen.
    let twice = || (couch.screen().matches("[Users #roost]").count() == 2).then_some(());
    wait_until("the second answer to JOIN", twice, || couch.screen());
    for text in ["second to all", "third to all"] {
        assert_eq!(couch.screen().matches(text).count(), 1, "{text}:\n{}", couch.screen());
    }
    // Whatever comes twice has come once a line of now is there.
    say(&mut speaker, "last");
    let all: [&dyn Fn() -> String; 3] = [&|| logs(&desk), &|| logs(&couch), &weechat_logs];
    for shown in all {
        shows(shown, "last");
        for text in ["first", "second", "third", "last"] {
            for to in ["to all", "to you"] {
                assert_eq!(shown().matches(&format!("{text} {to}")).count(), 1, "{text} {to}:\n{}", shown());
            }
        }
    }
}

#[test]
fn weechat_logs_in_by_every_mechanism_that_it_knows() {
    // Without PLAIN, which WeeChat would take for a mechanism that it does not know.
    let mechanisms = "SCRAM-SHA-256,SCRAM-SHA-512,ECDSA-NIST256P-CHALLENGE,EXTERNAL";
    let server = Server::with(&[("ROOST__ACCOUNTS__MECHANISMS", mechanisms)]);
    server.account("wanda", "sesame");
    let keys = tempfile::tempdir().unwrap();
    let mut wanda = server.user("guest");
    wanda.ask("NS IDENTIFY wanda sesame");

    // A key for ECDSA-NIST256P-CHALLENGE, as `openssl ecparam -genkey` makes it.
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let ecdsa = keys.path().join("ecdsa.pem");
    std::fs::write(&ecdsa, key.to_sec1_pem(Default::default()).unwrap()).unwrap();
    let public = STANDARD.encode(key.public_key().to_sec1_point(true).as_bytes());
    assert!(texts(&wanda.ask(&format!("NS SET PUBKEY {public}")))[0].contains(&public));

    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["wanda".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let pem = keys.path().join("client.pem");
    std::fs::write(&pem, format!("{}{}", pair.serialize_pem(), certificate.pem())).unwrap();
    let fingerprint: String = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(texts(&wanda.ask(&format!("NS CERT ADD {fingerprint}")))[0].contains(&fingerprint));

    for mechanism in ["scram-sha-256", "scram-sha-512", "ecdsa-nist256p-challenge", "external"] {
        let home = tempfile::tempdir().unwrap();
        let more = [
            format!("/set irc.server.roost.sasl_mechanism {mechanism}"),
            format!("/set irc.server.roost.sasl_key \"{}\"", ecdsa.display()),
            format!("/set irc.server.roost.ssl_cert \"{}\"", pem.display()),
            format!("/set irc.server.roost.tls_cert \"{}\"", pem.display()),
        ];
        let weechat = WeeChat::start_with(home.path(), server.tls, "wanda", "sesame", "#roost", &more);
        weechat.shows("irc.server.roost", &["SASL authentication successful"]);
        weechat.shows(ROOM, &["wanda", "joined"]);
        weechat.quit();
    }
}
