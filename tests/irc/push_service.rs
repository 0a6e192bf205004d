//! A small push service (RFC 8030), for the server under test to post to. It checks who signs and for how long, opens
//! what was sealed by an implementation that is not ours, and answers as it is told to.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use web_push_native::p256::SecretKey;
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint as _;
use web_push_native::{Auth, decrypt};

use crate::server::PATIENCE;

/// What came for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The line of IRC.
    pub line: String,
    pub ttl: u32,
    pub urgency: String,
    pub topic: Option<String>,
    /// Bytes of the body.
    pub size: usize,
    /// The server's public key.
    pub key: String,
    /// Whom to write to.
    pub contact: String,
}

impl Pushed {
    /// The line without its tags.
    pub fn body(&self) -> &str {
        if self.line.starts_with('@') { self.line.split_once(' ').unwrap().1 } else { &self.line }
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let tags = self.line.strip_prefix('@')?.split_once(' ')?.0;
        tags.split(';').find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }
}

/// How one push is answered; 201 where nothing is said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status, and these lines of the head.
    Status(u16, String),
    /// Not at all: the connection stays open.
    Never,
}

/// Requests that are not answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hanging {
    /// So many wait yet.
    pub open: usize,
    /// So many were given up by the other end.
    pub given_up: usize,
}

/// A device that subscribed.
pub struct Device {
    pub endpoint: String,
    /// As WEBPUSH REGISTER has them.
    pub keys: String,
    path: String,
    pushed: Receiver<Pushed>,
    answers: Answers,
}

type Answers = Arc<Mutex<HashMap<String, VecDeque<Answer>>>>;

struct Subscribed {
    private: SecretKey,
    auth: [u8; 16],
    pushed: Sender<Pushed>,
}

/// The service; its threads end with the tests.
pub struct PushService {
    pub address: SocketAddr,
    devices: Arc<Mutex<HashMap<String, Subscribed>>>,
    answers: Answers,
    hanging: Arc<(Mutex<Hanging>, Condvar)>,
    guests: Receiver<()>,
}

impl PushService {
    pub fn start() -> PushService {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (guest, guests) = channel();
        let (devices, answers, hanging) = (Arc::default(), Arc::default(), Arc::default());
        let service = PushService { address, devices, answers, hanging, guests };
        let (devices, answers, hanging) = (service.devices.clone(), service.answers.clone(), service.hanging.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (devices, answers, hanging) = (devices.clone(), answers.clone(), hanging.clone());
                let _ = guest.send(());
                thread::spawn(move || serve(stream.unwrap(), address, &devices, &answers, &hanging));
            }
        });
        service
    }

    /// The setting of a server that may push here.
    pub fn setting(&self) -> (&'static str, &'static str) {
        ("ROOST__WEBPUSH__ALLOW_PRIVATE_ENDPOINTS", "127.0.0.0/8")
    }

    /// A device with keys of its own.
    pub fn device(&self, name: &str) -> Device {
        let mut devices = self.devices.lock().unwrap();
        let number = devices.len() as u8 + 1;
        let private = SecretKey::from_slice(&[number; 32]).unwrap();
        let auth = [number; 16];
        let public = private.public_key().to_encoded_point(false);
        let (public, secret) = (URL_SAFE_NO_PAD.encode(public.as_bytes()), URL_SAFE_NO_PAD.encode(auth));
        let path = format!("/push/{name}?token=a:b");
        let (sender, pushed) = channel();
        devices.insert(path.clone(), Subscribed { private, auth, pushed: sender });
        Device {
            endpoint: format!("http://{}{path}", self.address),
            keys: format!("p256dh={public};auth={secret}"),
            path,
            pushed,
            answers: self.answers.clone(),
        }
    }

    /// The requests that are not answered, once so many are open.
    pub fn hanging(&self, open: usize) -> Hanging {
        let (hanging, changed) = &*self.hanging;
        let fewer = |hanging: &mut Hanging| hanging.open < open;
        let (hanging, waited) = changed.wait_timeout_while(hanging.lock().unwrap(), PATIENCE, fewer).unwrap();
        assert!(!waited.timed_out(), "never {open} open: {hanging:?}");
        *hanging
    }

    /// How often somebody has connected, since the last time it was asked.
    pub fn guests(&self) -> usize {
        self.guests.try_iter().count()
    }
}

impl Device {
    /// How the next pushes are answered.
    pub fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().entry(self.path.clone()).or_default().extend(answers.iter().cloned());
    }

    /// As [`Device::answer`], with a status alone.
    pub fn answer_with(&self, status: u16) {
        self.answer(&[Answer::Status(status, String::new())]);
    }

    /// The next push.
    #[track_caller]
    pub fn next(&self) -> Pushed {
        self.pushed.recv_timeout(PATIENCE).expect("a push that is well")
    }

    /// The next push, whose line must fit the pattern.
    #[track_caller]
    pub fn expect(&self, pattern: &str) -> Pushed {
        let pushed = self.next();
        let line = if pattern.starts_with('@') { &pushed.line } else { pushed.body() };
        assert!(crate::client::fits(pattern, line), "expected {pattern:?}, got {pushed:?}");
        pushed
    }

    /// Nothing has come that was not taken.
    #[track_caller]
    pub fn has_none(&self) {
        let more: Vec<Pushed> = self.pushed.try_iter().collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

fn serve(
    stream: TcpStream,
    address: SocketAddr,
    devices: &Mutex<HashMap<String, Subscribed>>,
    answers: &Answers,
    (hanging, changed): &(Mutex<Hanging>, Condvar),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |name: &str| {
            head.iter().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let length: usize = header("content-length").expect("a length").parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut words = head[0].split(' ');
        assert_eq!(words.next(), Some("POST"), "{head:?}");
        let path = words.next().unwrap().to_owned();
        assert_eq!(header("host"), Some(address.to_string()), "{head:?}");
        assert_eq!(header("content-encoding").as_deref(), Some("aes128gcm"), "{head:?}");
        let (key, contact) = signed(&header("authorization").expect("a token"), &format!("http://{address}"));
        // Goguma takes no other.
        assert_eq!(u32::from_be_bytes(body[16..20].try_into().unwrap()) as usize, body.len());
        let devices = devices.lock().unwrap();
        let device = devices.get(&path).unwrap_or_else(|| panic!("nobody subscribed with {path}"));
        let line = decrypt(body, &device.private, &Auth::from(device.auth)).expect("what the device can open");
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let pushed = Pushed {
            line,
            ttl: header("ttl").expect("a TTL").parse().unwrap(),
            urgency: header("urgency").unwrap_or_default(),
            topic: header("topic"),
            size: length,
            key,
            contact,
        };
        let answer = answers.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
        let (status, more) = match answer {
            None => (201, String::new()),
            Some(Answer::Status(status, more)) => (status, more),
            Some(Answer::Never) => {
                let _ = device.pushed.send(pushed);
                drop(devices);
                hanging.lock().unwrap().open += 1;
                changed.notify_all();
                // Until the other end gives up.
                let _ = reader.read(&mut [0]);
                let mut hanging = hanging.lock().unwrap();
                hanging.open -= 1;
                hanging.given_up += 1;
                return;
            }
        };
        let _ = device.pushed.send(pushed);
        drop(devices);
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n{more}\r\nno");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The key that signed a token, and the contact in it, after all else in it was looked at (RFC 8292).
fn signed(authorization: &str, origin: &str) -> (String, String) {
    let rest = authorization.strip_prefix("vapid t=").unwrap_or_else(|| panic!("{authorization}"));
    let (token, key) = rest.split_once(", k=").unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (header, claims) = (json(parts[0]), json(parts[1]));
    assert_eq!(header["alg"], "ES256");
    assert_eq!(claims["aud"], origin);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiry = claims["exp"].as_u64().unwrap();
    assert!(expiry > now && expiry <= now + 12 * 3600, "{expiry} at {now}");
    let public = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
    public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).expect("a signature by that key");
    (key.to_owned(), claims["sub"].as_str().unwrap().to_owned())
}
