//! `accounts.script`: logins that a program of the operator judges.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::client::{Client, commands, find, plain};
use crate::sasl::{Kind, Scram};
use crate::second::enrol;
use crate::server::Server;

/// Lets in whoever says `open`, and `renamed` as `alice`; writes down what it was asked.
const PROGRAM: &str = r#"#!/bin/sh
read -r line
printf '%s %s\n' "$*" "$line" >> asked
echo "a word about ${ROOST__DATA:-nothing}" >&2
case $line in
    *'"accountName":"slow"'*) exec sleep 600 ;;
    *'"accountName":"odd"'*) echo nonsense ;;
    *'"accountName":"renamed"'*'"passphrase":"open"'*) echo '{"success":true,"accountName":"alice"}' ;;
    *'"passphrase":"open"'* | *'"passphrase":"ajar:234567"'*) echo '{"success":true}' ;;
    *) echo '{"success":false,"error":"no such person"}' ;;
esac
"#;

struct Place {
    _dir: TempDir,
    program: String,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("judge");
        fs::write(&path, PROGRAM).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let program = path.to_str().unwrap().to_owned();
        Place { _dir: dir, program }
    }

    fn server(&self, more: &[(&str, &str)]) -> Server {
        let program = format!("{},--for,us", self.program);
        Server::with(
            &[&[("ROOST__ACCOUNTS__SCRIPT", &*program), ("ROOST__ACCOUNTS__SCRIPT_TIMEOUT", "2")], more].concat(),
        )
    }
}

const AUTOCREATE: (&str, &str) = ("ROOST__ACCOUNTS__SCRIPT_AUTOCREATE", "true");
const FIRST: (&str, &str) = ("ROOST__ACCOUNTS__SCRIPT_FIRST", "true");

/// What the program was asked so far.
fn asked(server: &Server) -> String {
    fs::read_to_string(server.home().join("asked")).unwrap_or_default()
}

/// SASL PLAIN; the numerics, and the account of 900.
#[track_caller]
pub fn sasl(server: &Server, account: &str, password: &str) -> (bool, String) {
    let mut guest = server.connect();
    guest.request("sasl");
    guest.send("AUTHENTICATE PLAIN");
    guest.expect("AUTHENTICATE +");
    guest.send(&format!("AUTHENTICATE {}", plain(account, password)));
    let line = guest.one_of(&["900", "904"]);
    (line.command() == "900", line.params()[2.min(line.params().len() - 1)].to_owned())
}

/// A new app password of whoever this is.
pub fn app_password(client: &mut Client) -> String {
    client.told("NS APPPASS ADD irssi").lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn whoever_the_program_lets_in_gets_an_account_by_every_door_and_an_app_password_of_it() {
    let place = Place::new();
    let mut server = place.server(&[AUTOCREATE]);
    assert_eq!(sasl(&server, "alice@phone", "open"), (true, "alice".into()));
    let question = r#"--for us {"accountName":"alice","passphrase":"open","ip":"127.0.0.1"}"#;
    assert_eq!(asked(&server), format!("{question}\n"));
    assert!(!sasl(&server, "alice", "shut").0 && !sasl(&server, "alice", "").0);
    assert_eq!(asked(&server).lines().count(), 2, "an empty password was asked about");

    let mut bob = server.user("bob");
    let told = bob.told("NS IDENTIFY bob open");
    assert!(told.contains("You are now logged in"), "{told}");
    let mut carol = server.connect();
    carol.send_all(&["PASS carol:open", "NICK carol", "USER carol 0 * :x"]);
    find(&carol.welcome("carol"), "900");
    // Names that no account can have are not asked about.
    let before = asked(&server);
    assert!(!sasl(&server, "a.b", "open").0);
    assert_eq!(asked(&server), before);

    // There is no password here, so SCRAM lets nobody in; an app password does, and asks nobody.
    let mut guest = server.user_with("guest", "sasl");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "bob", "open")).1, "904");
    let app = app_password(&mut bob);
    let before = asked(&server);
    assert_eq!(sasl(&server, "bob", &app), (true, "bob".into()));
    assert_eq!(asked(&server), before);
    // It is an account as any, over a kill.
    server.crash_and_restart();
    assert!(sasl(&server, "bob", &app).0 && sasl(&server, "bob", "open").0);
    // What the program writes on standard error, and why it says no, is in the log; Roost's settings are not told it.
    let output = server.output();
    for part in ["a word about nothing", "no such person"] {
        assert!(output.contains(part), "{part} is not in {output}");
    }
    assert!(!output.contains("\"open\""), "a password is in the log");
}

#[test]
fn whoever_has_the_nick_as_a_guest_keeps_nobody_from_the_account() {
    let place = Place::new();
    let server = place.server(&[AUTOCREATE]);
    let mut guest = server.user("dora");
    assert_eq!(sasl(&server, "dora", "open"), (true, "dora".into()));
    let mut dora = server.logged_in("dora_", "dora", "open", "");
    assert!(dora.ask("NS REGAIN dora").iter().any(|line| line.fits(":dora_!* NICK dora")));
    guest.closed();
}

#[test]
fn no_account_is_made_for_who_is_not_let_in_to_it_for_the_nicks_sake() {
    let place = Place::new();
    let server = place.server(&[AUTOCREATE]);
    let _phone = server.logged_in("alice", "alice", "open", "");
    let mut laptop = server.logged_in("alice", "alice", "open", "");
    laptop.request("sasl");
    laptop.authenticate("erin", "open");
    laptop.expect("AUTHENTICATE +");
    let refused = laptop.one_of(&["900", "904"]);
    refused.must_fit(":* 904 * :*you are here as alice*");
    let told = laptop.told("NS INFO erin");
    assert!(told.contains("no account"), "{told}");
}

#[test]
fn an_account_that_has_a_password_here_is_not_the_programs_unless_it_is_asked_first() {
    let place = Place::new();
    let mut server = place.server(&[AUTOCREATE]);
    server.account("alice", "sesame");
    assert!(!sasl(&server, "alice", "open").0 && sasl(&server, "alice", "sesame").0);
    assert_eq!(asked(&server), "");
    // Nor by another name.
    let (logged_in, why) = sasl(&server, "renamed", "open");
    assert!(!logged_in && why.contains("the account has a password here"), "{why}");
    // Whoever sets a password here is no longer asked about.
    let mut bob = server.user("bob");
    bob.told("NS IDENTIFY bob open");
    assert!(bob.told("NS PASSWD millet millet").contains("Password changed"));
    assert!(sasl(&server, "bob", "millet").0 && !sasl(&server, "bob", "open").0);

    server.set(FIRST.0, FIRST.1);
    server.restart();
    for password in ["open", "sesame"] {
        assert_eq!(sasl(&server, "alice", password), (true, "alice".into()), "{password}");
    }
    assert_eq!(sasl(&server, "renamed", "open"), (true, "alice".into()));
    assert!(!sasl(&server, "alice", "shut").0);
}

#[test]
fn an_account_has_to_be_there_where_none_is_made() {
    let place = Place::new();
    let server = place.server(&[]);
    let (logged_in, why) = sasl(&server, "alice", "open");
    assert!(!logged_in && why.contains("no account of that name here"), "{why}");
}

#[test]
fn a_program_that_answers_nonsense_or_nothing_holds_up_nobody_else() {
    let place = Place::new();
    let server = place.server(&[AUTOCREATE]);
    let mut slow = server.user_with("slowly", "sasl");
    slow.send("AUTHENTICATE PLAIN");
    slow.expect("AUTHENTICATE +");
    slow.send(&format!("AUTHENTICATE {}", plain("slow", "open")));
    assert!(!sasl(&server, "odd", "open").0);
    assert!(sasl(&server, "alice", "open").0);
    let lines = slow.until("904");
    assert!(lines.last().unwrap().raw.contains("cannot be checked now"), "{lines:#?}");
    let output = server.output();
    assert!(output.contains("longer than 2 seconds") && output.contains("its answer is none"), "{output}");
}

/// Alice is let in, until the operator `boss` suspends her.
#[track_caller]
pub fn suspended(server: &Server) -> Client {
    assert!(sasl(server, "alice", "open").0);
    let mut boss = server.user("boss");
    boss.ask("OPER boss letmein");
    boss.told("NS SUSPEND ADD alice");
    let (logged_in, why) = sasl(server, "alice", "open");
    assert!(!logged_in && why.contains("suspended"), "{why}");
    boss
}

#[test]
fn suspension_and_the_second_factor_are_judged_as_ever() {
    let place = Place::new();
    let config = format!(
        "[accounts]\nscript = [{:?}]\nscript_autocreate = true\n[[oper]]\nname = \"boss\"\npassword = \"letmein\"\n",
        place.program
    );
    let server = Server::with_files(&[("conf/roost.toml", &config)], &[]);
    suspended(&server);
    // An account whose second factor is asked for by password.
    let mut bob = server.user("bob");
    bob.told("NS IDENTIFY bob open");
    let (mut phone, _) = enrol(&mut bob);
    assert!(!sasl(&server, "bob", "open").0);
    assert!(sasl(&server, "bob", &format!("open:{}", phone.code())).0);
    assert!(asked(&server).lines().filter(|line| line.contains("bob")).all(|line| line.contains(r#""open""#)));
}

#[test]
fn a_password_of_the_programs_that_ends_like_a_code_is_one() {
    let place = Place::new();
    let server = place.server(&[AUTOCREATE]);
    let mut bob = server.user("bob");
    bob.told("NS IDENTIFY bob ajar:234567");
    enrol(&mut bob);
    let mut client = server.connect();
    client.request("sasl draft/account-2fa");
    for (password, is_right) in [("wrong:234567", false), ("ajar:234567", true)] {
        client.authenticate("bob", password);
        client.expect("AUTHENTICATE +");
        let line = client.one_of(&["904", "AUTHENTICATE"]);
        assert_eq!(line.command() != "904", is_right, "{line:?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_found_before_the_start() {
    let server = Server::start();
    for (program, part) in
        [("judge", "is no absolute path"), ("/nowhere/judge", "cannot be found"), ("/etc", "no program")]
    {
        let config = format!("[accounts]\nscript = [{program:?}]\n");
        fs::write(server.home().join("other.toml"), config).unwrap();
        let output = server.roost(&["--config", "other.toml", "check"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains("accounts.script") && text.contains(part), "{text}");
    }
    assert!(commands(&server.user("alice").sync()).is_empty());
}
