//! The second factor: `2FA`, NickServ 2FA, and every door of login
//! (<https://github.com/ircv3/ircv3-specifications/pull/610>, RFC 6238).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, SigningKey};
use rustls::version::TLS13;
use sha1::Sha1;

use crate::client::{Client, all, commands, find, plain, texts};
use crate::sasl::{Kind, SECRET, Scram, token, token_server};
use crate::sasl_tls::{connect_as, identity};
use crate::server::Server;
use crate::smtp::{Manner, Smtp};

const CAPS: &str = "sasl draft/account-2fa";

/// What people carry: it shows a code for each 30 seconds. Three of them are right at a time, and each is once, so
/// that a test may use three.
pub struct Authenticator {
    secret: Vec<u8>,
    next: u64,
}

impl Authenticator {
    fn new(base32: &str) -> Authenticator {
        let secret = data_encoding::BASE32_NOPAD.decode(base32.as_bytes()).unwrap();
        assert_eq!(secret.len(), 20);
        Authenticator { secret, next: now() - 1 }
    }

    fn at(&self, step: u64) -> String {
        let digest = Hmac::<Sha1>::new_from_slice(&self.secret).unwrap().chain_update(step.to_be_bytes());
        let digest = digest.finalize().into_bytes();
        let at = usize::from(digest.last().unwrap() & 15);
        let number = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// A code that was not used.
    pub fn code(&mut self) -> String {
        let step = self.next.max(now() - 1);
        assert!(step <= now() + 1, "a test may use three codes");
        self.next = step + 1;
        self.at(step)
    }

    /// A code that is not right at any time near.
    fn wrong(&self) -> String {
        let right: Vec<String> = (now() - 3..now() + 10).map(|step| self.at(step)).collect();
        (0..).map(|number| format!("{number:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Turns it on by NickServ: the authenticator and the recovery codes.
pub fn enrol(client: &mut Client) -> (Authenticator, Vec<String>) {
    let told = client.told("NS 2FA ADD phone");
    let secret = told.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(told.contains(&format!("?secret={secret}&issuer=Roost")), "{told}");
    let mut phone = Authenticator::new(&secret);
    let told = client.told(&format!("NS 2FA CONFIRM {}", phone.code()));
    let is_code = |word: &&str| word.len() == 19 && word.split('-').all(|part| part.len() == 4);
    let codes: Vec<String> = told.split_whitespace().filter(is_code).map(str::to_owned).collect();
    assert_eq!(codes.len(), 10, "{told}");
    (phone, codes)
}

/// What a login by PLAIN comes to.
fn log_in(client: &mut Client, password: &str) -> String {
    client.authenticate("alice", password);
    let lines = client.sync();
    let end = lines.last().unwrap();
    end.params().last().map_or(String::new(), |text| format!("{} {text}", end.command()))
}

/// What PASS comes to: the first notice, if there is one before 001, and the account.
fn by_pass(server: &Server, password: &str) -> (String, bool) {
    let mut client = server.connect();
    client.send_all(&[&format!("PASS alice:{password}"), "NICK passer", "USER a 0 * :a"]);
    let lines = client.until("001");
    (texts(&lines).join(" "), lines.iter().any(|line| line.command() == "900"))
}

fn step_up(client: &mut Client, code: &str) -> Vec<String> {
    client.mechanism("TOTP");
    client.respond(code.as_bytes());
    commands(&client.sync()).into_iter().map(str::to_owned).collect()
}

#[test]
fn c19_every_door_that_takes_a_password_asks_for_the_second_factor() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "poppy");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let (mut phone, codes) = enrol(&mut alice);
    let app = alice.told("NS APPPASS ADD laptop").lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let mut used = vec![codes[0].clone()];
    alice.send("QUIT");
    alice.closed();

    for crash in [false, true] {
        if crash {
            server.crash_and_restart();
        }
        let mut guest = server.user_with("guest", "sasl");
        // The password alone, and with what was used or never right.
        assert!(log_in(&mut guest, "sesame").starts_with("904 "), "PLAIN");
        assert!(log_in(&mut guest, "sesame").contains("password:123456"));
        assert!(log_in(&mut guest, "millet:123456").contains("the password is wrong"));
        assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "904");
        assert!(guest.told("NS IDENTIFY alice sesame").contains("second factor"));
        let (told, came) = by_pass(&server, "sesame");
        assert!(told.contains("second factor") && !came, "{told}");
        if crash {
            for code in &used {
                assert!(log_in(&mut guest, &format!("sesame:{code}")).contains("was used"), "{code}");
            }
        }
        // A login on a connection that is logged in to another account is one, too.
        let mut bob = server.logged_in("bob", "bob", "poppy", "");
        assert!(log_in(&mut bob, "sesame").starts_with("904 "));
        find(&bob.ask("WHOIS bob"), "330").must_fit(":* 330 bob bob bob :*");

        // With a code each of them opens, once.
        let at = 1 + 3 * usize::from(crash);
        let code = if crash { codes[9].clone() } else { phone.code() };
        assert!(log_in(&mut guest, &format!("sesame:{code}")).starts_with("903 "));
        let mut other = server.user_with("other", "sasl");
        assert!(log_in(&mut other, &format!("sesame:{code}")).contains("was used"));
        assert!(other.told(&format!("NS IDENTIFY alice sesame {}", codes[at])).contains("logged in"));
        let (told, came) = by_pass(&server, &format!("sesame:{}", codes[at + 1]));
        assert!(came, "{told}");
        let (told, came) = by_pass(&server, &format!("sesame:{}", codes[at + 1]));
        assert!(!came && told.contains("was used"), "{told}");
        assert!(
            log_in(&mut bob, &format!("sesame:{}", codes[at + 2].replace('-', "").to_uppercase())).starts_with("903 ")
        );
        used = vec![code, codes[at].clone()];

        // What only its owner has is enough.
        let mut device = server.user_with("device", "sasl");
        assert!(log_in(&mut device, &app).starts_with("903 "));
        assert!(device.told("NS 2FA OFF 123456").contains("app password"));
        assert!(device.told("NS CERT LIST").contains("app password"));
        assert!(device.told("NS PASSWD other other").contains("app password"));
        device.request(CAPS);
        device.one("2FA ENABLE").must_fit(":* FAIL 2FA NOT_AUTHENTICATED :*");
    }
}

#[test]
fn keys_certificates_and_tokens_are_possession_already() {
    let server = token_server(&[]);
    server.account("alice", "sesame");
    let (own, _) = identity();
    let mut alice = connect_as(&server, &TLS13, Some(&own)).client;
    alice.log_in("alice", "alice", "sesame", "");
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let public = STANDARD.encode(key.verifying_key().to_sec1_point(true).as_bytes());
    alice.told(&format!("NS SET PUBKEY {public}"));
    alice.told("NS CERT ADD");
    enrol(&mut alice);

    let mut guest = server.user_with("guest", CAPS);
    guest.mechanism("ECDSA-NIST256P-CHALLENGE");
    guest.respond(b"alice");
    let challenge = guest.challenge().unwrap();
    let signature: DerSignature = key.sign_prehash(&challenge).unwrap();
    guest.respond(signature.as_bytes());
    assert_eq!(commands(&guest.sync()).last(), Some(&"903"));

    let mut guest = server.user_with("second", CAPS);
    guest.mechanism("IRCV3BEARER");
    guest.respond(format!("\0jwt\0{}", token("alice", SECRET, 600)).as_bytes());
    assert_eq!(commands(&guest.sync()).last(), Some(&"903"));

    let mut guest = connect_as(&server, &TLS13, Some(&own)).client;
    guest.register_with("third", CAPS);
    guest.mechanism("EXTERNAL");
    guest.send("AUTHENTICATE +");
    assert_eq!(commands(&guest.sync()).last(), Some(&"903"));
}

#[test]
fn clients_that_know_it_are_asked_for_the_second_factor() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let (mut phone, codes) = enrol(&mut alice);

    let mut client = server.connect();
    client.request(CAPS);
    client.send_all(&["NICK alice2", "USER a 0 * :a"]);
    assert!(client.ask("CAP LS 302").iter().any(|line| line.raw.contains("draft/account-2fa=totp,external")));
    // Nothing before the first factor, and nothing of the second for who does not know it.
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 alice2 :*log in with PLAIN or SCRAM first*");
    client.authenticate("alice", "millet");
    assert_eq!(commands(&client.sync()), ["AUTHENTICATE", "904"]);
    client.send("AUTHENTICATE PLAIN");
    client.expect("AUTHENTICATE +");
    client.one(&format!("AUTHENTICATE {}", plain("alice", "sesame"))).must_fit("AUTHENTICATE 2FA-REQUIRED");
    assert_eq!(step_up(&mut client, &phone.wrong()), ["904"]);
    assert_eq!(step_up(&mut client, "nonsense"), ["904"]);
    // The first factor still holds; this is the second.
    let code = phone.code();
    assert_eq!(step_up(&mut client, &code), ["900", "903"]);
    client.send("CAP END");
    client.welcome("alice2");
    assert_eq!(step_up_anew(&mut client, &code), ["904"], "a code logs in twice");
    assert_eq!(step_up(&mut client, &codes[0]), ["900", "903"]);
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 *");

    // SCRAM, which knows no code beside the password. The helper sees the step-up as the end.
    let mut client = server.user_with("scrammer", CAPS);
    scram_to_step_up(&mut client);
    // Another mechanism begins anew.
    client.authenticate("alice", "millet");
    client.sync();
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 *");
    scram_to_step_up(&mut client);
    assert_eq!(step_up(&mut client, &codes[1]), ["900", "903"]);

    // Who does not want to go on registers without the account.
    let mut client = server.connect();
    client.request(CAPS);
    client.send_all(&["NICK early", "USER a 0 * :a"]);
    client.authenticate("alice", "sesame");
    client.send("CAP END");
    let lines = client.welcome("early");
    assert_eq!((all(&lines, "900").len(), all(&lines, "906").len()), (0, 1), "{lines:#?}");
    assert!(all(&client.ask("WHOIS early"), "330").is_empty());
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 *");
    client.authenticate("alice", "sesame");
    client.sync();
    client.one("AUTHENTICATE *").must_fit(":* 906 *");
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 *");
    let mut late = server.connect();
    late.request(CAPS);
    late.send("CAP END");
    late.authenticate("alice", "sesame");
    assert_eq!(late.sync().last().unwrap().raw, "AUTHENTICATE 2FA-REQUIRED");
    late.send_all(&["NICK late", "USER a 0 * :a"]);
    let lines = late.welcome("late");
    assert_eq!(all(&lines, "906").len(), 1, "{lines:#?}");
    late.one("AUTHENTICATE TOTP").must_fit(":* 904 *");
    // Another password meanwhile, and the first factor is none any more.
    client.authenticate("alice", "sesame");
    client.sync();
    alice.told("NS PASSWD other other");
    client.one("AUTHENTICATE TOTP").must_fit(":* 904 *");
}

fn step_up_anew(client: &mut Client, code: &str) -> Vec<String> {
    client.authenticate("alice", "sesame");
    assert_eq!(client.sync().last().unwrap().raw, "AUTHENTICATE 2FA-REQUIRED");
    step_up(client, code)
}

/// SCRAM up to the second factor.
fn scram_to_step_up(client: &mut Client) {
    let login = Scram::new(Kind::Sha256, "alice", "sesame");
    let said = client.scram_until_step_up(&login);
    assert_eq!(said.raw, "AUTHENTICATE 2FA-REQUIRED");
}

#[test]
fn a_certificate_is_a_second_factor() {
    let server = Server::start();
    server.account("alice", "sesame");
    let (own, fingerprint) = identity();
    let mut alice = connect_as(&server, &TLS13, Some(&own)).client;
    alice.log_in("alice", "alice", "sesame", "draft/account-2fa");
    alice.one(&format!("2FA ADD external Laptop {fingerprint}")).must_fit(":* FAIL 2FA NO_CHALLENGE :*");
    let line = alice.one("2FA CHALLENGE external");
    line.must_fit(":* NOTE 2FA REGISTRATION_CHALLENGE external * :*");
    let data: serde_json::Value = serde_json::from_slice(&STANDARD.decode(line.params()[3]).unwrap()).unwrap();
    assert_eq!((&data["algorithm"], &data["fingerprint"]), (&"sha-256".into(), &fingerprint.as_str().into()));
    alice
        .one(&format!("2FA ADD external Laptop {}", "a".repeat(64)))
        .must_fit(":* FAIL 2FA INVALID_CREDENTIAL_DATA :*");
    alice.one(&format!("2FA ADD external Laptop {fingerprint}")).must_fit(":* 2FA ADD SUCCESS external * :*");
    find(&alice.ask("2FA ENABLE"), "2FA").must_fit(":* 2FA ENABLE SUCCESS :*");

    // Without the certificate there is nothing to give.
    let mut guest = server.user_with("guest", CAPS);
    guest.authenticate("alice", "sesame");
    assert_eq!(guest.sync().last().unwrap().raw, "AUTHENTICATE 2FA-REQUIRED");
    guest.mechanism("EXTERNAL");
    guest.one("AUTHENTICATE +").must_fit(":* 904 *");
    // With it, in two steps; and by itself for who knows nothing of that.
    let mut laptop = connect_as(&server, &TLS13, Some(&own)).client;
    laptop.register_with("laptop", CAPS);
    laptop.authenticate("alice", "sesame");
    assert_eq!(laptop.sync().last().unwrap().raw, "AUTHENTICATE 2FA-REQUIRED");
    laptop.mechanism("EXTERNAL");
    laptop.send("AUTHENTICATE +");
    assert_eq!(commands(&laptop.sync()), ["900", "903"]);
    let mut old = connect_as(&server, &TLS13, Some(&own)).client;
    old.register("old");
    assert!(old.told("NS IDENTIFY alice sesame").contains("logged in"));
    // It is no first factor.
    let mut only = connect_as(&server, &TLS13, Some(&own)).client;
    only.register_with("only", "sasl");
    only.mechanism("EXTERNAL");
    only.one("AUTHENTICATE +").must_fit(":* 904 *");

    laptop
        .one(&format!("2FA DISABLE external {}", "a".repeat(64)))
        .must_fit(":* FAIL 2FA INVALID_CHALLENGE_RESPONSE :*");
    laptop.one(&format!("2FA DISABLE external {fingerprint}")).must_fit(":* 2FA DISABLE SUCCESS :*");
    server.logged_in("free", "alice", "sesame", "");
}

#[test]
fn the_command_does_what_the_draft_says() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", CAPS);
    guest.one("2FA STATUS").must_fit(":* FAIL 2FA NOT_AUTHENTICATED :*");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/account-2fa");
    alice.one("2FA STATUS").must_fit(":* NOTE 2FA DISABLED :*");
    alice.one("2FA LIST").must_fit(":* NOTE 2FA NO_CREDENTIALS :*");
    alice.one("2FA ENABLE").must_fit(":* FAIL 2FA NO_CREDENTIALS :*");
    alice.one("2FA DISABLE totp 123456").must_fit(":* FAIL 2FA ALREADY_DISABLED :*");
    alice.one("2FA CHALLENGE webauthn").must_fit(":* FAIL 2FA INVALID_TYPE webauthn :*");
    alice.one("2FA ADD totp Phone 123456").must_fit(":* FAIL 2FA NO_CHALLENGE :*");
    alice.one("2FA ADD totp :two words 123456").must_fit(":* 461 alice 2FA :*");
    alice.one("2FA REMOVE nothing").must_fit(":* FAIL 2FA UNKNOWN_CREDENTIAL nothing :*");
    alice.one("2FA FROBNICATE").must_fit(":* FAIL 2FA INVALID_PARAMS FROBNICATE :*");
    let line = alice.one("2FA CHALLENGE totp");
    line.must_fit(":* NOTE 2FA REGISTRATION_CHALLENGE totp * :*");
    let data: serde_json::Value = serde_json::from_slice(&STANDARD.decode(line.params()[3]).unwrap()).unwrap();
    for (field, value) in [("type", "totp"), ("issuer", "Roost"), ("account", "alice"), ("algorithm", "SHA1")] {
        assert_eq!(data[field], value);
    }
    assert_eq!((data["digits"].as_u64(), data["period"].as_u64()), (Some(6), Some(30)));
    let secret = data["secret"].as_str().unwrap();
    assert_eq!(data["uri"], format!("otpauth://totp/alice?secret={secret}&issuer=Roost"));
    let mut phone = Authenticator::new(secret);
    alice.one(&format!("2FA ADD totp {} 123456", "x".repeat(65))).must_fit(":* FAIL 2FA INVALID_NAME *");
    alice.one(&format!("2FA ADD totp Phone {}", phone.wrong())).must_fit(":* FAIL 2FA INVALID_CREDENTIAL_DATA :*");
    let line = alice.one(&format!("2FA ADD totp Phone {}", phone.code()));
    line.must_fit(":* 2FA ADD SUCCESS totp * :*");
    let id = line.params()[3].to_owned();
    alice.one("2FA STATUS").must_fit(":* NOTE 2FA DISABLED :*");
    // Not asked for yet.
    server.logged_in("other", "alice", "sesame", "draft/account-2fa");
    find(&alice.ask("2FA ENABLE"), "2FA").must_fit(":* 2FA ENABLE SUCCESS :*");
    alice.one("2FA ENABLE").must_fit(":* FAIL 2FA ALREADY_ENABLED :*");
    server.crash_and_restart();
    let mut alice = server.user_with("alice2", CAPS);
    alice.authenticate("alice", "sesame");
    assert_eq!(alice.sync().last().unwrap().raw, "AUTHENTICATE 2FA-REQUIRED");
    assert_eq!(step_up(&mut alice, &phone.code()), ["900", "903"]);
    alice.one("2FA STATUS").must_fit(":* NOTE 2FA ENABLED :*");
    let lines = alice.ask("2FA LIST");
    assert_eq!(lines.len(), 1);
    lines[0].must_fit(&format!(":* NOTE 2FA CREDENTIAL {id} totp Phone 20*-*-*T*:*:*Z :*"));
    assert!(!lines[0].raw.contains(secret));
    alice.one(&format!("2FA REMOVE {id}")).must_fit(":* FAIL 2FA REMOVE_LAST_CREDENTIAL :*");
    alice.one(&format!("2FA DISABLE totp {}", phone.wrong())).must_fit(":* FAIL 2FA INVALID_CHALLENGE_RESPONSE :*");
    alice
        .one(&format!("2FA DISABLE external {}", "a".repeat(64)))
        .must_fit(":* FAIL 2FA INVALID_CHALLENGE_RESPONSE :*");
    alice.one(&format!("2FA DISABLE totp {}", phone.code())).must_fit(":* 2FA DISABLE SUCCESS :*");
    alice.one(&format!("2FA REMOVE {id}")).must_fit(&format!(":* 2FA REMOVE SUCCESS {id} :*"));
    server.restart();
    server.logged_in("alice", "alice", "sesame", "");
}

#[test]
fn wrong_codes_are_throttled_even_where_logins_are_not() {
    let server = Server::with(&[("ROOST__THROTTLE__ENABLED", "false")]);
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/account-2fa");
    let (phone, codes) = enrol(&mut alice);
    let mut guest = server.user_with("guest", "sasl");
    for _ in 0..5 {
        assert!(log_in(&mut guest, &format!("sesame:{}", phone.wrong())).contains("wrong, or was used"));
    }
    assert!(log_in(&mut guest, &format!("sesame:{}", codes[0])).contains("too many failed logins"));
    alice.one(&format!("2FA DISABLE totp {}", codes[0])).must_fit(":* FAIL 2FA RATE_LIMITED :*");
    assert!(alice.told(&format!("NS 2FA OFF {}", codes[0])).contains("Too many wrong codes"));
    guest.sync();
    let log = server.output();
    assert!(log.contains("a wrong code of the second factor of account alice from 127."), "{log}");
}

#[test]
fn nickserv_manages_it_and_an_operator_takes_it_off() {
    let smtp = Smtp::start(Manner::Plain);
    let own = smtp.settings("none");
    let mut settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, &**value)).collect();
    settings.extend([("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    let mut server = Server::with(&settings);
    let mut alice = server.user("alice");
    alice.ask("NS REGISTER sesame alice@example.org");
    let code = smtp.letter().code();
    alice.ask(&format!("NS VERIFY alice {code}"));
    assert!(alice.told("NS 2FA CONFIRM 123456").contains("Begin with 2FA ADD"));
    assert!(alice.told("NS 2FA LIST").contains("is off"));
    assert!(alice.told("NS 2FA CERT").contains("without a client certificate"));
    let (mut phone, codes) = enrol(&mut alice);
    assert!(alice.told("NS INFO").contains("Two-factor authentication is on; second factors: 1; recovery codes: 10"));
    assert!(!server.user("guest").told("NS INFO alice").contains("factor"));
    let told = alice.told("NS 2FA LIST");
    let id = told.lines().nth(1).unwrap().split(':').next().unwrap().to_owned();
    assert!(told.contains(&format!("{id}: phone (totp), added at ")), "{told}");

    // Other recovery codes are in place of these.
    assert!(alice.told(&format!("NS 2FA RECOVERY {}", phone.wrong())).contains("wrong"));
    let told = alice.told(&format!("NS 2FA RECOVERY {}", codes[0]));
    let fresh: Vec<&str> = told.split_whitespace().filter(|word| word.len() == 19 && word.contains('-')).collect();
    assert_eq!(fresh.len(), 10, "{told}");
    let mut guest = server.user_with("guest", "sasl");
    assert!(log_in(&mut guest, &format!("sesame:{}", codes[1])).contains("was used"));

    // A forgotten password is another matter.
    guest.told("NS SENDPASS alice");
    let reset = smtp.letter().code();
    assert!(guest.told(&format!("NS RESETPASS alice {reset} other")).contains("Password changed"));
    assert!(log_in(&mut guest, "other").contains("second factor"));
    assert!(log_in(&mut guest, &format!("other:{}", fresh[0])).starts_with("903 "));

    // Nor does anyone take it off who cannot give it.
    assert!(guest.told(&format!("NS 2FA REMOVE {id}")).contains("wrong"));
    assert!(guest.told(&format!("NS 2FA OFF {}", phone.code())).contains("is off"));
    server.logged_in("free", "alice", "other", "");
    assert!(guest.told("NS 2FA ON").contains("does not log in any more"));
    assert!(guest.told(&format!("NS 2FA REMOVE ALL {}", fresh[1])).contains("no second factor now"));
    server.logged_in("free", "alice", "other", "");

    // The database knows neither the secret nor the codes.
    enrol_and_look(&mut server);
    let mut boss = server.user("boss");
    find(&boss.ask("NS SA2FA OFF alice"), "481");
    boss.ask("OPER boss letmein");
    assert!(boss.told("NS SA2FA ON alice").contains("That takes"));
    assert!(boss.told("NS SA2FA OFF alice").contains("no second factor any more"));
    server.logged_in("free", "alice", "other", "");
    server.crash_and_restart();
    server.logged_in("free", "alice", "other", "");
    assert!(server.output().contains("NickServ SA2FA OFF alice"), "it is in the audit log");
}

fn enrol_and_look(server: &mut Server) {
    let mut alice = server.logged_in("alice", "alice", "other", "");
    let (phone, codes) = enrol(&mut alice);
    server.restart();
    let file = server.data().join("roost.db");
    if file.exists() {
        let bytes = std::fs::read(file).unwrap();
        let hex: String = phone.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [
            phone.secret.clone(),
            hex.into_bytes(),
            codes[0].clone().into_bytes(),
            codes[0].replace('-', "").into_bytes(),
        ] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "it is in the file");
        }
    }
    let mut guest = server.user_with("guest", "sasl");
    assert!(log_in(&mut guest, "other").contains("second factor"));
}

#[test]
fn it_goes_with_the_account() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    let (_, codes) = enrol(&mut alice);
    let confirm = alice.told("NS UNREGISTER alice").split_whitespace().last().unwrap().to_owned();
    alice.send(&format!("NS UNREGISTER alice {confirm}"));
    alice.closed();
    server.crash_and_restart();
    server.account("alice", "other");
    let mut alice = server.logged_in("alice", "alice", "other", "");
    assert!(alice.told("NS 2FA LIST").contains("is off; second factors: 0; recovery codes: 0"));
    assert!(alice.told(&format!("NS 2FA RECOVERY {}", codes[0])).contains("wrong"));
}
