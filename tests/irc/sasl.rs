//! SASL's mechanisms on a plain connection, each by a client that is written out here
//! (<https://ircv3.net/specs/extensions/sasl-3.2>, RFC 5802, RFC 7628).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, SigningKey};
use sha2::{Digest as _, Sha256, Sha512};

use crate::client::{Client, Line, all, chunks, commands, find, plain, texts};
use crate::server::Server;

/// Which hash a SCRAM client uses.
#[derive(Clone, Copy)]
pub enum Kind {
    Sha256,
    Sha512,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Sha256 => "SCRAM-SHA-256",
            Kind::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Kind::Sha256 => Sha256::digest(data).to_vec(),
            Kind::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Kind::Sha256 => {
                Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
            }
            Kind::Sha512 => {
                Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
            }
        }
    }

    fn stretch(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Kind::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations).to_vec(),
            Kind::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password.as_bytes(), salt, iterations).to_vec(),
        }
    }
}

/// A SCRAM login as a client makes it.
pub struct Scram<'a> {
    pub kind: Kind,
    pub user: &'a str,
    pub password: &'a str,
    /// The channel binding's name and data; `None` for the mechanism without it.
    pub binding: Option<(&'a str, &'a [u8])>,
    /// `n` or `y`, where there is no binding.
    pub flag: &'a str,
    pub nonce: &'a str,
}

impl<'a> Scram<'a> {
    pub fn new(kind: Kind, user: &'a str, password: &'a str) -> Scram<'a> {
        Scram { kind, user, password, binding: None, flag: "n", nonce: "fyko+d2lbbFgONRv9qkxdawL" }
    }
}

/// What the server said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFirst {
    pub salt: String,
    pub iterations: u32,
}

impl Client {
    /// Sends a response in chunks.
    pub fn respond(&mut self, response: &[u8]) {
        for chunk in chunks(&STANDARD.encode(response)) {
            self.send(&format!("AUTHENTICATE {chunk}"));
        }
    }

    /// The server's next challenge, put together from its chunks, or the line that came instead.
    pub fn challenge(&mut self) -> Result<Vec<u8>, Line> {
        let mut whole = String::new();
        loop {
            let line = self.line();
            if line.command() != "AUTHENTICATE" {
                return Err(line);
            }
            // Old clients do not take it with a source.
            assert_eq!(line.source(), "", "{line:?}");
            let chunk = line.params()[0].to_owned();
            assert!(chunk.len() <= 400, "{line:?}");
            whole.push_str(chunk.strip_prefix('+').filter(|rest| rest.is_empty()).unwrap_or(&chunk));
            if chunk.len() < 400 {
                return Ok(STANDARD.decode(whole).unwrap());
            }
        }
    }

    /// Begins an exchange.
    #[track_caller]
    pub fn mechanism(&mut self, name: &str) {
        self.send(&format!("AUTHENTICATE {name}"));
        assert_eq!(self.line().raw, "AUTHENTICATE +");
    }

    /// Goes through SCRAM up to the server's verdict, checks the server's proof, and gives what the server
    /// said first and the numeric that the exchange ended with.
    #[track_caller]
    pub fn scram(&mut self, login: &Scram<'_>) -> (Option<ServerFirst>, String) {
        let said = match self.scram_proved(login) {
            Ok(said) => said,
            Err(ended) => return ended,
        };
        self.send("AUTHENTICATE +");
        let lines = self.sync();
        let ends: Vec<_> = lines.iter().filter(|line| matches!(line.command(), "903" | "904")).collect();
        assert_eq!(ends.len(), 1, "{lines:#?}");
        if ends[0].command() == "903" {
            find(&lines, "900");
        }
        (Some(said), ends[0].command().to_owned())
    }

    /// Goes through SCRAM with a right password, to an account that asks for more; the last line.
    #[track_caller]
    pub fn scram_until_step_up(&mut self, login: &Scram<'_>) -> Line {
        assert!(self.scram_proved(login).is_ok());
        self.one("AUTHENTICATE +")
    }

    /// SCRAM up to the server's proof, or what it ended with before.
    #[track_caller]
    fn scram_proved(&mut self, login: &Scram<'_>) -> Result<ServerFirst, (Option<ServerFirst>, String)> {
        let Scram { kind, user, password, binding, flag, nonce } = *login;
        let (header, data, plus) = match binding {
            Some((name, data)) => (format!("p={name},,"), data, "-PLUS"),
            None => (format!("{flag},,"), &b""[..], ""),
        };
        self.mechanism(&format!("{}{plus}", kind.name()));
        let bare = format!("n={user},r={nonce}");
        self.respond(format!("{header}{bare}").as_bytes());
        let first = match self.challenge() {
            Ok(first) => String::from_utf8(first).unwrap(),
            Err(line) => return Err((None, line.command().to_owned())),
        };
        let mut parts = first.split(',');
        let mut part = |prefix: &str| parts.next().unwrap().strip_prefix(prefix).unwrap().to_owned();
        let (whole_nonce, salt, iterations) = (part("r="), part("s="), part("i=").parse().unwrap());
        assert!(whole_nonce.starts_with(nonce) && whole_nonce.len() >= nonce.len() + 18, "{first}");
        let said = ServerFirst { salt: salt.clone(), iterations };

        let salted = kind.stretch(password, &STANDARD.decode(salt).unwrap(), iterations);
        let client_key = kind.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={whole_nonce}", STANDARD.encode([header.as_bytes(), data].concat()));
        let signed = format!("{bare},{first},{without_proof}");
        let signature = kind.hmac(&kind.hash(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        self.respond(format!("{without_proof},p={}", STANDARD.encode(proof)).as_bytes());
        match self.challenge() {
            Ok(last) => {
                let expected = kind.hmac(&kind.hmac(&salted, b"Server Key"), signed.as_bytes());
                assert_eq!(String::from_utf8(last).unwrap(), format!("v={}", STANDARD.encode(expected)));
            }
            Err(line) => return Err((Some(said), line.command().to_owned())),
        }
        Ok(said)
    }
}

/// The account that WHOIS tells of.
#[track_caller]
fn account_of(client: &mut Client, nick: &str) -> Option<String> {
    let lines = client.ask(&format!("WHOIS {nick}"));
    lines.iter().find(|line| line.command() == "330").map(|line| line.params()[2].to_owned())
}

#[test]
fn scram_logs_in_and_the_server_proves_itself() {
    let server = Server::start();
    server.account("alice", "sesame");
    for kind in [Kind::Sha256, Kind::Sha512] {
        let mut guest = server.user_with("guest", "sasl");
        let (said, end) = guest.scram(&Scram::new(kind, "alice", "sesame"));
        assert_eq!(end, "903");
        assert_eq!(said.unwrap().iterations, 4096);
        assert_eq!(account_of(&mut guest, "guest").as_deref(), Some("alice"));
        guest.send("QUIT");
        guest.closed();
    }
}

#[test]
fn scram_works_before_registration_and_names_a_device() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.connect();
    alice.request("sasl");
    alice.mechanism("SCRAM-SHA-256");
    alice.send("AUTHENTICATE *");
    alice.expect(":roost.local 906 * :*");
    alice.send_all(&["NICK alice", "USER a 0 * :a"]);
    alice.mechanism("SCRAM-SHA-256");
    alice.respond(b"n,a=alice,n=alice@phone,r=abc");
    let first = String::from_utf8(alice.challenge().unwrap()).unwrap();
    let mut parts = first.split(',').map(|part| &part[2..]);
    let (nonce, salt) = (parts.next().unwrap(), parts.next().unwrap());
    let salted = Kind::Sha256.stretch("sesame", &STANDARD.decode(salt).unwrap(), 4096);
    let key = Kind::Sha256.hmac(&salted, b"Client Key");
    let last = format!("c={},r={nonce}", STANDARD.encode("n,a=alice,"));
    let signed = format!("n=alice@phone,r=abc,{first},{last}");
    let signature = Kind::Sha256.hmac(&Kind::Sha256.hash(&key), signed.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    alice.respond(format!("{last},p={}", STANDARD.encode(proof)).as_bytes());
    assert!(alice.challenge().unwrap().starts_with(b"v="));
    // Only after the client has heard the proof is it logged in.
    alice.send("AUTHENTICATE +");
    alice.expect(":roost.local 900 alice alice!*@* alice :*");
    alice.expect(":roost.local 903 alice :*");
    alice.send("CAP END");
    alice.welcome("alice");
}

#[test]
fn the_first_response_may_come_with_the_mechanism() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut client = server.connect();
    client.request("sasl draft/sasl-ir");
    client.send(&format!("AUTHENTICATE PLAIN {}", plain("alice", "sesame")));
    let lines = client.until("903");
    assert_eq!(commands(&lines), ["900", "903"], "no challenge in between");
    // One that is longer goes on in lines of its own; EXTERNAL's may be empty.
    let mut long = server.connect();
    long.request("sasl");
    let response = chunks(&plain("alice", &"x".repeat(350)));
    assert!(response.len() > 1);
    long.send(&format!("AUTHENTICATE PLAIN {}", response[0]));
    long.send(&format!("AUTHENTICATE {}", response[1]));
    assert_eq!(commands(&long.until("904")), ["904"]);
    long.send("AUTHENTICATE PLAIN +");
    assert_eq!(commands(&long.until("904")), ["904"]);
    long.send("AUTHENTICATE PLAIN *");
    assert_eq!(commands(&long.until("906")), ["906"]);
    long.send("AUTHENTICATE FOO AAAA");
    assert_eq!(commands(&long.until("904")), ["908", "904"]);
}

#[test]
fn a_wrong_password_is_904_and_a_retry_succeeds() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "millet")).1, "904");
    assert_eq!(account_of(&mut guest, "guest"), None);
    for bad in ["", "n,,n=alice", "p=tls-exporter,,n=alice,r=abc", "n,a=bob,n=alice,r=abc", "n,,m=x,n=alice,r=abc"] {
        guest.mechanism("SCRAM-SHA-256");
        guest.respond(bad.as_bytes());
        guest.expect(":roost.local 904 guest :*");
    }
    guest.mechanism("SCRAM-SHA-256");
    guest.respond(b"n,,n=alice,r=abc");
    guest.challenge().unwrap();
    guest.respond(b"c=biws,r=abc,p=AAAA");
    guest.expect(":roost.local 904 guest :*");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "903");
    guest.silent();
}

#[test]
fn an_account_that_is_not_there_looks_like_one_that_is() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let ask = |server: &Server, user: &str| {
        let mut client = server.user_with("guest", "sasl");
        let (said, end) = client.scram(&Scram::new(Kind::Sha256, user, "millet"));
        assert_eq!(end, "904");
        client.send("QUIT");
        client.closed();
        said.unwrap()
    };
    let (real, faked) = (ask(&server, "alice"), ask(&server, "nobody"));
    assert_eq!((real.iterations, real.salt.len()), (faked.iterations, faked.salt.len()));
    assert_eq!(ask(&server, "nobody"), faked, "another salt at another try");
    assert_eq!(ask(&server, "NoBody"), faked, "another salt for another spelling");
    assert_eq!(ask(&server, "alice"), real);
    assert_ne!(ask(&server, "nobody2").salt, faked.salt);
    assert_ne!(real.salt, faked.salt);
    server.restart();
    assert_eq!(ask(&server, "nobody"), faked, "another salt after a restart");
    assert_eq!(ask(&server, "alice"), real);
}

#[test]
fn c13_a_long_challenge_comes_in_chunks() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    let nonce = "n".repeat(250);
    assert_eq!(guest.scram(&Scram { nonce: &nonce, ..Scram::new(Kind::Sha512, "alice", "sesame") }).1, "903");
}

#[test]
fn a_new_password_holds_for_scram_too() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert_eq!(texts(&alice.ask("NS PASSWD poppy poppy")), ["Password changed"]);
    let mut guest = server.user_with("guest", "sasl");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "904");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "poppy")).1, "903");
}

#[test]
fn an_account_from_before_scram_gets_it_at_its_next_login_by_password() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    server.signal("TERM");
    assert!(server.wait().success());
    let path = server.data().join("roost.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deleted = runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        let deleted = sqlx::query("DELETE FROM credential").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        deleted.rows_affected()
    });
    assert_eq!(deleted, 2, "one for each hash");
    server.start_again();
    let mut guest = server.user_with("guest", "sasl");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "904");
    guest.authenticate("alice", "millet");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "millet")).1, "904");
    guest.authenticate("alice", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
    server.crash_and_restart();
    for kind in [Kind::Sha256, Kind::Sha512] {
        let mut guest = server.user_with("guest", "sasl");
        assert_eq!(guest.scram(&Scram::new(kind, "alice", "sesame")).1, "903");
        guest.send("QUIT");
        guest.closed();
    }
}

#[test]
fn passwords_that_look_alike_are_alike() {
    let server = Server::start();
    server.account("alice", "cafe\u{301}");
    let mut guest = server.user_with("guest", "sasl");
    // SCRAM clients send the composed form (SASLprep); PLAIN clients what was typed.
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "caf\u{e9}")).1, "903");
    guest.authenticate("alice", "caf\u{e9}");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "900", "903"]);
}

#[test]
fn reauthentication_changes_the_account_and_whoever_may_know_is_told() {
    let server = Server::start();
    server.account("alice", "sesame");
    server.account("bob", "poppy");
    let mut guest = server.user_with("guest", "sasl account-notify");
    let mut watcher = server.user_with("watcher", "account-notify");
    guest.join("#room");
    watcher.join("#room");
    guest.sync();
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "903");
    watcher.only().must_fit(":guest!* ACCOUNT alice");
    // Whoever fails stays who they are.
    guest.authenticate("bob", "millet");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    assert_eq!(account_of(&mut guest, "guest").as_deref(), Some("alice"));
    watcher.silent();
    guest.authenticate("bob", "poppy");
    let lines = guest.sync();
    assert_eq!(commands(&lines), ["AUTHENTICATE", "900", "ACCOUNT", "903"], "{lines:#?}");
    find(&lines, "900").must_fit(":roost.local 900 guest guest!* bob :*");
    watcher.only().must_fit(":guest!* ACCOUNT bob");
    assert_eq!(account_of(&mut guest, "guest").as_deref(), Some("bob"));
    // To the same account again: nothing changes, so nobody else hears of it.
    guest.authenticate("bob", "poppy");
    assert!(commands(&guest.sync()).contains(&"903"));
    watcher.silent();
}

#[test]
fn cap_end_in_the_middle_of_a_login_gives_it_up_with_one_906() {
    let server = Server::start();
    server.account("alice", "sesame");
    let mut client = server.connect();
    client.request("sasl");
    client.send_all(&["NICK guest", "USER g 0 * :g"]);
    client.mechanism("SCRAM-SHA-256");
    client.send("CAP END");
    let lines = client.welcome("guest");
    assert_eq!((all(&lines, "906").len(), all(&lines, "904").len()), (1, 0), "{lines:#?}");
    assert_eq!(client.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "903");
}

#[test]
fn ecdsa_logs_in_with_the_accounts_key() {
    let mut server = Server::start();
    server.account("alice", "sesame");
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let public = STANDARD.encode(key.verifying_key().to_sec1_point(true).as_bytes());
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(texts(&alice.ask("NS SET PUBKEY nonsense"))[0].contains("no public key"));
    assert!(texts(&alice.ask(&format!("NS SET PUBKEY {public}")))[0].contains(&public));
    let attempt = |client: &mut Client, account: &[u8], key: &SigningKey| {
        client.mechanism("ECDSA-NIST256P-CHALLENGE");
        client.respond(account);
        let challenge = client.challenge().unwrap();
        assert_eq!(challenge.len(), 32);
        let signature: DerSignature = key.sign_prehash(&challenge).unwrap();
        client.respond(signature.as_bytes());
        let lines = client.sync();
        (challenge, lines.last().unwrap().command().to_owned())
    };
    let mut guest = server.user_with("guest", "sasl");
    let other = SigningKey::from_slice(&[6; 32]).unwrap();
    let (first, end) = attempt(&mut guest, b"alice", &other);
    assert_eq!(end, "904");
    // One that has no key, or is not there, is challenged as well.
    assert_eq!(attempt(&mut guest, b"nobody", &key).1, "904");
    let (second, end) = attempt(&mut guest, b"alice\0alice\0", &key);
    assert_eq!(end, "903");
    assert_ne!(first, second, "a challenge that comes twice can be answered by whoever heard it");
    server.restart();
    let mut guest = server.user_with("guest", "sasl");
    assert_eq!(attempt(&mut guest, b"alice", &key).1, "903");
    assert!(texts(&guest.ask("NS SET PUBKEY OFF"))[0].contains("no public key"));
    assert_eq!(attempt(&mut guest, b"alice", &key).1, "904");
}

pub const SECRET: &str = "a secret that only the provider and roost have";

/// A server that takes tokens.
pub fn token_server(more: &[(&str, &str)]) -> Server {
    let key = format!("[\"HS256 {SECRET}\"]");
    let mut settings = vec![
        ("ROOST__ACCOUNTS__TOKEN_KEYS", key.as_str()),
        ("ROOST__ACCOUNTS__TOKEN_ISSUER", "https://id.example"),
        ("ROOST__ACCOUNTS__TOKEN_AUDIENCE", "roost"),
    ];
    settings.extend(more);
    Server::with(&settings)
}

pub fn token(name: &str, secret: &str, seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = serde_json::json!({
        "iss": "https://id.example", "aud": "roost", "exp": now + seconds, "preferred_username": name,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

#[test]
fn oauthbearer_logs_in_and_tells_of_an_error_by_a_challenge() {
    let server = token_server(&[]);
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    let refused = |guest: &mut Client, response: &str, status: &str| {
        guest.mechanism("OAUTHBEARER");
        guest.respond(response.as_bytes());
        let challenge = guest.challenge().unwrap();
        let error: serde_json::Value = serde_json::from_slice(&challenge).unwrap();
        assert_eq!(error["status"], status, "{error}");
        guest.silent();
        // The byte 1 (RFC 7628, section 3.2.3).
        guest.one("AUTHENTICATE AQ==").must_fit(":roost.local 904 guest :*");
    };
    let with = |token: &str| format!("n,,\x01auth=Bearer {token}\x01\x01");
    refused(&mut guest, &with(&token("alice", "another secret of more than 32 bytes", 600)), "invalid_token");
    refused(&mut guest, &with(&token("alice", SECRET, -600)), "invalid_token");
    refused(&mut guest, &with(&token("nobody", SECRET, 600)), "invalid_token");
    refused(&mut guest, &format!("n,a=bob,\x01auth=Bearer {}\x01\x01", token("alice", SECRET, 600)), "invalid_token");
    refused(&mut guest, "n,,\x01\x01", "invalid_request");
    refused(&mut guest, "nonsense", "invalid_request");
    assert_eq!(account_of(&mut guest, "guest"), None);
    guest.mechanism("OAUTHBEARER");
    guest.respond(
        format!("n,a=alice,\x01host=irc.example\x01auth=Bearer {}\x01\x01", token("alice", SECRET, 600)).as_bytes(),
    );
    assert_eq!(commands(&guest.sync()), ["900", "903"]);
    assert_eq!(account_of(&mut guest, "guest").as_deref(), Some("alice"));
}

#[test]
fn ircv3bearer_logs_in_before_001() {
    let server = token_server(&[]);
    server.account("alice", "sesame");
    let mut alice = server.connect();
    alice.request("sasl");
    alice.send_all(&["NICK alice", "USER a 0 * :a"]);
    for bad in ["\0saml\0x".to_owned(), "nonsense".to_owned(), format!("bob\0jwt\0{}", token("alice", SECRET, 600))] {
        alice.mechanism("IRCV3BEARER");
        alice.respond(bad.as_bytes());
        alice.expect(":roost.local 904 alice :*");
    }
    alice.mechanism("IRCV3BEARER");
    alice.respond(format!("\0jwt\0{}", token("alice", SECRET, 600)).as_bytes());
    // As goguma does it: the rest does not wait for the answer.
    alice.send("CAP END");
    let lines = alice.welcome("alice");
    assert_eq!(commands(&lines)[..3], ["900", "903", "001"], "{lines:#?}");
}

#[test]
fn a_token_makes_its_account_where_the_operator_lets_it() {
    let mut server = token_server(&[("ROOST__ACCOUNTS__TOKEN_AUTOCREATE", "true")]);
    let log_in = |server: &Server, name: &str| {
        let mut client = server.user_with("guest", "sasl");
        client.mechanism("IRCV3BEARER");
        client.respond(format!("\0oauth2\0{}", token(name, SECRET, 600)).as_bytes());
        let lines = client.sync();
        (client, lines)
    };
    for impossible in ["not a name", "NickServ"] {
        let (_, lines) = log_in(&server, impossible);
        assert_eq!(commands(&lines), ["904"], "{impossible}: {lines:#?}");
    }
    // Whoever has the nick as a guest does not matter.
    let _alice = server.user("alice");
    let (mut guest, lines) = log_in(&server, "alice");
    assert_eq!(commands(&lines), ["900", "903"]);
    // It has no password, so that none fits.
    guest.authenticate("alice", "x");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "x")).1, "904");
    server.crash_and_restart();
    let (_guest, lines) = log_in(&server, "alice");
    assert_eq!(commands(&lines), ["900", "903"]);
}

/// The mechanisms that CAP LS and 908 list.
#[track_caller]
pub fn offered(client: &mut Client) -> String {
    let lines = client.ask("CAP LS 302");
    let caps: Vec<&str> = lines.iter().flat_map(|line| line.params().last().unwrap().split(' ')).collect();
    let value = caps.iter().find_map(|cap| cap.strip_prefix("sasl=")).unwrap_or("");
    if !value.is_empty() {
        let lines = client.ask("AUTHENTICATE NO-SUCH-MECHANISM");
        // A name of more than 20 characters is none by RFC 4422, so 908 has it not.
        let proper: Vec<&str> = value.split(',').filter(|name| name.len() <= 20).collect();
        assert_eq!(find(&lines, "908").params()[1], proper.join(","));
        assert_eq!(all(&lines, "904").len(), 1);
    }
    value.to_owned()
}

#[test]
fn the_list_of_mechanisms_is_what_the_settings_and_the_connection_allow() {
    let server = Server::start();
    let plain = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,ECDSA-NIST256P-CHALLENGE";
    assert_eq!(offered(&mut server.user("a")), format!("{plain},TOTP"));
    let server = token_server(&[]);
    assert_eq!(offered(&mut server.user("a")), format!("{plain},OAUTHBEARER,IRCV3BEARER,TOTP"));
    let server = Server::with(&[("ROOST__ACCOUNTS__MECHANISMS", "SCRAM-SHA-256,EXTERNAL")]);
    let mut client = server.user("a");
    assert_eq!(offered(&mut client), "SCRAM-SHA-256");
    assert_eq!(commands(&client.ask("AUTHENTICATE PLAIN")), ["908", "904"]);
    // Without any, there is nothing to ask for.
    let server = Server::with(&[("ROOST__ACCOUNTS__MECHANISMS", "EXTERNAL")]);
    let mut client = server.user("a");
    assert_eq!(offered(&mut client), "");
    find(&client.ask("AUTHENTICATE PLAIN"), "904");
    client.one("CAP REQ sasl").must_fit(":roost.local CAP a NAK :*sasl*");
}

#[test]
fn c15_every_mechanism_is_throttled_by_account_and_by_address() {
    let server = Server::with(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__LOGIN_FAILURES_PER_MINUTE", "3"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "true"),
    ]);
    server.account("alice", "sesame");
    server.account("bob", "poppy");
    let mut owner = server.logged_in("alice", "alice", "sesame", "");
    let told = texts(&owner.ask("NS APPPASS ADD phone"))[0].to_owned();
    let app = told.rsplit(' ').next().unwrap();
    let mut guest = server.user_with("guest", "sasl");
    for _ in 0..3 {
        assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "millet")).1, "904");
    }
    // Even the right password is not looked at, whatever it is given with.
    guest.mechanism("SCRAM-SHA-512");
    guest.respond(b"n,,n=Alice,r=abc");
    guest.expect(":roost.local 904 guest :*too many*");
    guest.mechanism("ECDSA-NIST256P-CHALLENGE");
    guest.respond(b"alice");
    guest.expect(":roost.local 904 guest :*too many*");
    guest.authenticate("alice", "sesame");
    assert_eq!(commands(&guest.sync()), ["AUTHENTICATE", "904"]);
    // What nobody can guess lets in.
    guest.authenticate("alice", app);
    assert_eq!(commands(&guest.sync()).last(), Some(&"903"));
    // Another account is not held up, for this machine is exempt.
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "bob", "poppy")).1, "903");

    let server = token_server(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__LOGIN_FAILURES_PER_MINUTE", "3"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
    ]);
    server.account("alice", "sesame");
    let mut guest = server.user_with("guest", "sasl");
    for _ in 0..3 {
        guest.mechanism("IRCV3BEARER");
        guest.respond(b"\0jwt\0nonsense");
        guest.expect(":roost.local 904 guest :*");
    }
    guest.mechanism("IRCV3BEARER");
    guest.respond(format!("\0jwt\0{}", token("alice", SECRET, 600)).as_bytes());
    guest.expect(":roost.local 904 guest :*too many*");
    assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "alice", "sesame")).1, "904");
}
