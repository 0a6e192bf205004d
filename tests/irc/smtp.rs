//! A small mail server (RFC 5321), for the server under test to hand its letters to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

use crate::server::PATIENCE;

/// A letter that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// From whom (MAIL FROM).
    pub from: String,
    /// To whom (RCPT TO).
    pub to: String,
    /// Header and text, whose lines are as they came.
    pub content: String,
    /// Whether TLS protected it.
    pub tls: bool,
    /// The password that came with it.
    pub password: Option<String>,
}

impl Letter {
    /// The code in it.
    pub fn code(&self) -> String {
        let (_, rest) = self.content.split_once("The code is ").unwrap_or_else(|| panic!("no code in {self:?}"));
        rest[..16].to_owned()
    }
}

/// How it treats those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes letters; addresses that begin with `refused` are refused for good, with `later` for now.
    Plain,
    /// The same after STARTTLS.
    StartTls,
    /// The same over TLS.
    Tls,
    /// As the first, but for addresses of other letters than ASCII (RFC 6531).
    Ascii,
    /// Says nothing.
    Mute,
}

/// A running mail server; its thread ends with the tests.
pub struct Smtp {
    address: SocketAddr,
    letters: Receiver<Letter>,
    guests: Receiver<()>,
    /// The certificate of its authority, PEM.
    pub authority: String,
}

impl Smtp {
    pub fn start(manner: Manner) -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, letters) = channel();
        let (guest, guests) = channel();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let config = Arc::new(config);
        thread::spawn(move || {
            let mut mute = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let _ = guest.send(());
                if manner == Manner::Mute {
                    mute.push(stream);
                    continue;
                }
                let (sender, config) = (sender.clone(), config.clone());
                // Whoever goes away in the middle is no fault of the mail server's.
                thread::spawn(move || drop(serve(stream, manner, &config, &sender)));
            }
        });
        Smtp { address, letters, guests, authority: cert.pem() }
    }

    /// Settings of a server that sends its letters here.
    pub fn settings(&self, protection: &str) -> Vec<(&'static str, String)> {
        vec![
            ("ROOST__EMAIL__SERVER", "localhost".to_owned()),
            ("ROOST__EMAIL__PORT", self.address.port().to_string()),
            ("ROOST__EMAIL__PROTECTION", protection.to_owned()),
            ("ROOST__EMAIL__SENDER", "Roost <noreply@example.org>".to_owned()),
        ]
    }

    /// Waits until somebody has connected.
    pub fn wait_for_a_guest(&self) {
        self.guests.recv_timeout(PATIENCE).expect("a connection");
    }

    /// The next letter.
    pub fn letter(&self) -> Letter {
        self.letters.recv_timeout(PATIENCE).expect("a letter")
    }

    /// Nothing has come.
    pub fn has_none(&self) -> bool {
        matches!(self.letters.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout))
    }
}

fn serve(
    stream: TcpStream,
    manner: Manner,
    config: &Arc<ServerConfig>,
    letters: &Sender<Letter>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let over_tls = |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
    if manner == Manner::Tls {
        return talk(over_tls(stream), manner, true, letters).map(drop);
    }
    let stream = talk(stream, manner, false, letters)?;
    match stream {
        Some(stream) => talk(over_tls(stream), manner, true, letters).map(drop),
        None => Ok(()),
    }
}

/// Talks to whoever connected; gives the stream back where it is to go on with TLS.
fn talk<S: Read + Write>(stream: S, manner: Manner, tls: bool, letters: &Sender<Letter>) -> std::io::Result<Option<S>> {
    let mut stream = BufReader::new(stream);
    let (mut from, mut to, mut password) = (String::new(), String::new(), None);
    let mut greet = !tls || manner == Manner::Tls;
    loop {
        if std::mem::take(&mut greet) {
            stream.get_mut().write_all(b"220 mail.example.org ESMTP\r\n")?;
        }
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        let inside = |text: &str| text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0.to_owned();
        let answer = match verb.as_str() {
            "EHLO" if manner == Manner::StartTls && !tls => "250-mail.example.org\r\n250 STARTTLS",
            "EHLO" if manner == Manner::Ascii => "250-mail.example.org\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "EHLO" => "250-mail.example.org\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN",
            "STARTTLS" => {
                stream.get_mut().write_all(b"220 go on\r\n")?;
                return Ok(Some(stream.into_inner()));
            }
            _ if manner == Manner::StartTls && !tls => "530 STARTTLS first",
            "AUTH" => {
                let given = STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
                password = Some(String::from_utf8(given).unwrap().rsplit('\0').next().unwrap().to_owned());
                "235 in"
            }
            "MAIL" => {
                from = inside(line);
                "250 ok"
            }
            "RCPT" => {
                to = inside(line);
                if to.starts_with("refused") {
                    "550 no such mailbox"
                } else if to.starts_with("later") {
                    "450 busy"
                } else {
                    "250 ok"
                }
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n")?;
                let mut content = String::new();
                while !content.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut content)? == 0 {
                        return Ok(None);
                    }
                }
                let (from, to, password) = (from.clone(), to.clone(), password.clone());
                let _ = letters.send(Letter { from, to, content, tls, password });
                "250 taken"
            }
            "QUIT" => {
                stream.get_mut().write_all(b"221 bye\r\n")?;
                return Ok(None);
            }
            _ => "250 ok",
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
    }
}
