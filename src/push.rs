//! Web push (RFC 8030): messages are sealed, signed and posted to push services, off the server thread.
//!
//! One thread with a runtime of its own, from the first push on. The server thread decides who gets what, and hands over
//! so few at once, in all and for one push service, that none waits here: a service that is slow or dead holds up nobody
//! else. Each push has one deadline. The address is looked at when it is dialled, after its name was looked up; nothing
//! is redirected.

pub mod endpoint;
pub mod seal;
pub mod vapid;

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ircv3::Cidr;
use ircv3::webpush::Keys;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use self::endpoint::{Endpoint, Place, may_dial};
use self::vapid::VapidKey;
use crate::limits::{
    PUSH_ANSWER_BYTES, PUSH_CONNECT_MS, PUSH_CONNECTIONS, PUSH_IDLE_MS, PUSH_LOOKUPS, PUSH_MS, PUSH_ORIGINS,
    PUSH_REST_MS, PUSHES_AT_ONCE, PUSHES_PER_ORIGIN, VAPID_TOKEN_SECONDS,
};
use crate::net::{Room, Seat};
use crate::server::event::{CallId, Event, Returned};

/// How soon a push is to reach its device (RFC 8030, section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// When it is on, whatever it does.
    Normal,
    /// At once, even if its battery is low.
    High,
}

/// What a push is about: said by HTTP headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Seconds that the push service keeps it for a device that is off.
    pub ttl: u32,
    /// How soon it is to be there.
    pub urgency: Urgency,
    /// A later push with the same topic takes its place while it waits (RFC 8030, section 5.4); base64url, at most 32
    /// characters.
    pub topic: Option<Box<str>>,
}

/// One push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// For which device.
    pub keys: Keys,
    /// Under which key of the server's the device has subscribed.
    pub vapid: Arc<VapidKey>,
    /// Whom the operator of the push service may write to.
    pub contact: Arc<str>,
    /// A line of IRC without CR LF.
    pub line: Box<str>,
    /// Whether it is to be small, for a push service that takes no other.
    pub short: bool,
    /// How.
    pub manner: Manner,
    /// Networks that may be sent to although they are not public.
    pub allowed: Arc<[Cidr]>,
}

impl Push {
    /// Whether it may go to this address; without TLS to those of the operator's choice alone.
    fn may_dial(&self, address: IpAddr) -> bool {
        match self.endpoint.is_secure() {
            true => may_dial(address, &self.allowed),
            false => self.allowed.iter().any(|network| network.contains(address)),
        }
    }
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The push service has it.
    Delivered,
    /// There is no such device any more: 404, 410.
    Gone,
    /// It is too large for the push service: 413.
    TooLarge,
    /// The push service does not take it now: 429, 5xx.
    Later {
        /// In so many seconds it may, if it said so (`Retry-After`).
        seconds: Option<u64>,
        /// Why, for the log.
        reason: Box<str>,
    },
    /// The push service was not reached.
    Unreached(Box<str>),
    /// The push service does not take it at all, or nothing may be sent there.
    Refused(Box<str>),
}

/// Where an answer goes: to the server thread.
pub type Deliver = Arc<dyn Fn(Event) + Send + Sync>;

/// The thread that pushes, which is there from the first push on. Every push that is submitted is answered once, with
/// `Event::Returned`, unless the server ends before.
pub struct Pusher {
    running: Mutex<Option<Running>>,
    room: Arc<Room>,
    deliver: Deliver,
}

struct Running {
    queue: mpsc::Sender<(CallId, Push)>,
    thread: JoinHandle<()>,
}

impl Pusher {
    /// Starts nothing yet. Each connection will take a seat in `room`, as those of clients do: files are left for the
    /// store.
    pub fn new(room: Arc<Room>, deliver: Deliver) -> Pusher {
        Pusher { running: Mutex::default(), room, deliver }
    }

    /// Has a push done, or fails it at once where too many are under way. Never waits.
    pub fn submit(&self, id: CallId, push: Push) {
        let mut running = lock(&self.running);
        if running.is_none() {
            *running = self.start().ok();
        }
        let sent = running.as_ref().map(|running| running.queue.try_send((id, push)).is_ok());
        drop(running);
        let problem = match sent {
            Some(true) => return,
            Some(false) => "too many pushes are under way",
            None => "the system has no more threads or files",
        };
        (self.deliver)(Event::Returned(id, Returned::Failed(problem.into())));
    }

    fn start(&self) -> std::io::Result<Running> {
        let (queue, pushes) = mpsc::channel(PUSHES_AT_ONCE);
        // Names are looked up on threads of their own, which a slow name server may hold.
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(PUSH_LOOKUPS).build()?;
        let (answers, room) = (self.deliver.clone(), self.room.clone());
        let thread = std::thread::Builder::new().name("push".into()).spawn(move || {
            runtime.block_on(run(pushes, room, answers));
            // A look-up of a name may take long yet.
            runtime.shutdown_background();
        })?;
        Ok(Running { queue, thread })
    }

    /// Ends the thread, and what is under way.
    pub fn close(&self) {
        if let Some(Running { queue, thread }) = lock(&self.running).take() {
            drop(queue);
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.close();
    }
}

/// A lock whose owner panicked still guards whole data here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(mut pushes: mpsc::Receiver<(CallId, Push)>, room: Arc<Room>, deliver: Deliver) {
    let sender = Arc::new(Sender::new(room));
    let mut sweep = tokio::time::interval(Duration::from_millis(PUSH_IDLE_MS));
    loop {
        let next = tokio::select! {
            next = pushes.recv() => next,
            _ = sweep.tick() => {
                lock(&sender.kept).sweep();
                continue;
            }
        };
        let Some((id, push)) = next else { return };
        let deadline = Instant::now() + Duration::from_millis(PUSH_MS);
        let (sender, deliver) = (sender.clone(), deliver.clone());
        tokio::spawn(async move {
            let outcome = match timeout_at(deadline, sender.send(&push)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Unreached("the push service takes too long".into()),
            };
            deliver(Event::Returned(id, Returned::Pushed(outcome)));
        });
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// What several pushes have in common.
struct Sender {
    room: Arc<Room>,
    tls: TlsConnector,
    kept: Mutex<Kept>,
}

/// The number of the key, the push service, and the contact.
type TokenFor = (u32, Box<str>, Arc<str>);

/// A connection to a push service.
struct Open {
    connection: Connection,
    /// The address that it goes to.
    address: IpAddr,
}

/// What is kept of each push service.
#[derive(Default)]
struct Kept {
    /// Open connections that nobody uses, and since when.
    connections: HashMap<Box<str>, Vec<(Open, Instant)>>,
    /// By key, push service and contact: the value of `Authorization`, and when it is made anew (seconds since 1970).
    tokens: HashMap<TokenFor, (Box<str>, u64)>,
}

impl Kept {
    /// One that this push may take: what may be sent to can be other than when it was opened.
    fn take(&mut self, push: &Push) -> Option<Open> {
        let kept = self.connections.get_mut(push.endpoint.origin())?;
        while let Some((open, since)) = kept.pop() {
            let is_fresh = since.elapsed() < Duration::from_millis(PUSH_IDLE_MS);
            if open.connection.is_ready() && is_fresh && push.may_dial(open.address) {
                return Some(open);
            }
        }
        None
    }

    fn put(&mut self, origin: &str, connection: Open) {
        let all: usize = self.connections.values().map(Vec::len).sum();
        let open = self.connections.entry(origin.into()).or_default();
        if all < PUSH_CONNECTIONS && open.len() < PUSHES_PER_ORIGIN {
            open.push((connection, Instant::now()));
        }
    }

    /// Closes what nobody uses any more.
    fn sweep(&mut self) {
        for open in self.connections.values_mut() {
            open.retain(|(open, since)| {
                !open.connection.is_closed() && since.elapsed() < Duration::from_millis(PUSH_IDLE_MS)
            });
        }
        self.connections.retain(|_, open| !open.is_empty());
    }

    fn authorization(&mut self, push: &Push, now: u64) -> Result<Box<str>, String> {
        let key = (push.vapid.id, Box::from(push.endpoint.origin()), push.contact.clone());
        if let Some((token, renewed)) = self.tokens.get(&key)
            && now < *renewed
        {
            return Ok(token.clone());
        }
        // A new one is made long before the old one is over; a clock that was set back is no reason to trust one.
        if self.tokens.len() >= PUSH_ORIGINS {
            self.tokens.clear();
        }
        let token: Box<str> = push.vapid.authorization(push.endpoint.origin(), &push.contact, now)?.into();
        self.tokens.insert(key, (token.clone(), now + VAPID_TOKEN_SECONDS / 2));
        Ok(token)
    }
}

/// Whether a connection was closed, or reset, before it had an answer.
fn is_closed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_gone =
        |kind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe);
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || cause.is_some_and(is_gone)
}

impl Sender {
    fn new(room: Arc<Room>) -> Sender {
        Sender::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, room)
    }

    fn trusting(roots: RootCertStore, room: Arc<Room>) -> Sender {
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Sender { room, tls: Arc::new(config).into(), kept: Mutex::default() }
    }

    async fn send(&self, push: &Push) -> Outcome {
        let request = match self.request(push) {
            Ok(request) => request,
            Err(reason) => return Outcome::Refused(reason.into()),
        };
        let origin = push.endpoint.origin();
        let kept = lock(&self.kept).take(push);
        if let Some(mut open) = kept {
            match open.connection.send_request(request.clone()).await {
                Ok(response) => return self.outcome(origin, open, response).await,
                // The other end has closed it meanwhile: once more, over a new one.
                Err(error) if is_closed(&error) => {}
                Err(error) => return Outcome::Unreached(error.to_string().into()),
            }
        }
        let mut open = match self.connect(push).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        match open.connection.send_request(request).await {
            Ok(response) => self.outcome(origin, open, response).await,
            Err(error) => Outcome::Unreached(error.to_string().into()),
        }
    }

    fn request(&self, push: &Push) -> Result<Request<Full<Bytes>>, String> {
        let (_, _, path) = push.endpoint.parts().ok_or("the endpoint is no URL")?;
        let size = if push.short { seal::SHORT_SIZE } else { seal::SIZE };
        let body = seal::seal(&push.keys, &push.line, size).map_err(|_| "the device's key will not do")?;
        let authorization = lock(&self.kept).authorization(push, unix_seconds())?;
        let host = push.endpoint.origin().split_once("://").map_or("", |(_, host)| host);
        let urgency = match push.manner.urgency {
            Urgency::Normal => "normal",
            Urgency::High => "high",
        };
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(AUTHORIZATION, &*authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(HeaderName::from_static("ttl"), push.manner.ttl)
            .header(HeaderName::from_static("urgency"), urgency);
        if let Some(topic) = &push.manner.topic {
            request = request.header(HeaderName::from_static("topic"), &**topic);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
    }

    /// A new connection to a push service, at an address that may be dialled.
    async fn connect(&self, push: &Push) -> Result<Open, Outcome> {
        let unreached = |error: &dyn std::fmt::Display| Outcome::Unreached(error.to_string().into());
        let refused = |reason: &str| Outcome::Refused(reason.into());
        let (place, port, _) = push.endpoint.parts().ok_or_else(|| refused("the endpoint is no URL"))?;
        let (found, name): (Vec<IpAddr>, _) = match &place {
            Place::Address(address) => (vec![*address], ServerName::from(*address)),
            Place::Name(name) => {
                let found = lookup_host((&**name, port)).await.map_err(|error| unreached(&error))?;
                let server = ServerName::try_from(name.clone()).map_err(|error| refused(&error.to_string()))?;
                (found.map(|address| address.ip()).collect(), server)
            }
        };
        let secure = push.endpoint.is_secure();
        let Some(seat) = self.room.seat() else {
            return Err(Outcome::Later { seconds: None, reason: "clients have all the files".into() });
        };
        let mut problem = None;
        for address in found.into_iter().filter(|address| push.may_dial(*address)) {
            let patience = Duration::from_millis(PUSH_CONNECT_MS);
            let connecting = timeout(patience, TcpStream::connect(SocketAddr::new(address, port)));
            match connecting.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let connection = if secure {
                        let stream = self.tls.connect(name, stream).await.map_err(|error| unreached(&error))?;
                        speak(stream, seat).await
                    } else {
                        speak(stream, seat).await
                    };
                    let connection = connection.map_err(|error| unreached(&error))?;
                    return Ok(Open { connection, address });
                }
                Err(error) => problem = Some(unreached(&error)),
            }
        }
        Err(problem.unwrap_or_else(|| refused("its address is none that this server sends to")))
    }

    /// What an answer means; the connection is kept for the next push where the answer was short.
    async fn outcome(&self, origin: &str, mut open: Open, response: Response<Incoming>) -> Outcome {
        let (head, body) = response.into_parts();
        let rest = async {
            Limited::new(body, PUSH_ANSWER_BYTES).collect().await.is_ok() && open.connection.ready().await.is_ok()
        };
        // What it says beside the status changes nothing.
        if timeout(Duration::from_millis(PUSH_REST_MS), rest).await == Ok(true) {
            lock(&self.kept).put(origin, open);
        }
        meaning(head.status, &head.headers, unix_seconds())
    }
}

async fn speak<S>(stream: S, seat: Seat) -> Result<Connection, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) =
        http1::Builder::new().max_buf_size(PUSH_ANSWER_BYTES).handshake(TokioIo::new(stream)).await?;
    // It ends when its user drops it.
    tokio::spawn(async move {
        let _ = driver.await;
        drop(seat);
    });
    Ok(connection)
}

/// What a push service says (RFC 8030, RFC 8292; 410 is what those in use say for 404).
fn meaning(status: StatusCode, headers: &HeaderMap, now: u64) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        404 | 410 => Outcome::Gone,
        413 => Outcome::TooLarge,
        408 | 425 | 429 | 500..=599 => Outcome::Later {
            seconds: headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now)),
            reason: format!("it answers {status}").into(),
        },
        _ => Outcome::Refused(format!("it answers {status}").into()),
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3), in seconds from `now`.
fn retry_after(value: &str, now: u64) -> Option<u64> {
    match value.trim().parse() {
        Ok(seconds) => Some(seconds),
        Err(_) => Some(http_date(value.trim())?.saturating_sub(now)),
    }
}

/// A moment as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since 1970; other forms are obsolete.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_once(", ")?.1.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let time = ircv3::time::parse_time(&format!("{year}-{month:02}-{day}T{time}.000Z"))?;
    Some(time / 1000)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use hyper::StatusCode;
    use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use socket2::SockRef;
    use tokio::runtime::Builder;

    use super::endpoint::Endpoint;
    use super::vapid::VapidKey;
    use super::{Manner, Outcome, Push, Room, Sender, Urgency, http_date, meaning, retry_after, seal};

    /// A push service over TLS on loopback, with a certificate for `localhost`: its port, that certificate, and the
    /// first line of each request with the number of its connection.
    fn service() -> (u16, CertificateDer<'static>, mpsc::Receiver<(usize, String)>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (config, sender) = (config.clone(), sender.clone());
                std::thread::spawn(move || {
                    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream.unwrap());
                    let mut bytes = [0; 4096];
                    let mut request = Vec::new();
                    // Whoever goes away ends it.
                    while let Ok(count @ 1..) = tls.read(&mut bytes) {
                        request.extend_from_slice(&bytes[..count]);
                        let Some(head) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
                        if request.len() < head + 4 + seal::SIZE {
                            continue;
                        }
                        let line = String::from_utf8_lossy(&request).lines().next().unwrap().to_owned();
                        let _ = sender.send((number, line));
                        request.clear();
                        let _ = tls.write_all(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
                    }
                });
            }
        });
        (port, cert.der().clone(), requests)
    }

    fn push(url: &str, allowed: &[&str]) -> Push {
        let keys = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4;\
                    auth=BTBZMqHH6r4Tts7J_aSIgg";
        Push {
            endpoint: Arc::new(Endpoint::stored(url).unwrap()),
            keys: keys.parse().unwrap(),
            vapid: Arc::new(VapidKey::read(1, &VapidKey::generate().unwrap()).unwrap()),
            contact: "mailto:alice@example.org".into(),
            line: "PING x".into(),
            short: false,
            manner: Manner { ttl: 1, urgency: Urgency::High, topic: None },
            allowed: allowed.iter().map(|network| network.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_push_goes_over_tls_to_whom_the_certificate_names_and_the_connection_is_used_again() {
        let (port, certificate, requests) = service();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("https://localhost:{port}/push/x?y=z");
            let own = ["127.0.0.0/8"];
            let sender = Sender::trusting(roots, Room::new(100));
            for _ in 0..3 {
                assert_eq!(sender.send(&push(&url, &own)).await, Outcome::Delivered);
                assert_eq!(requests.recv().unwrap(), (0, "POST /push/x?y=z HTTP/1.1".to_owned()));
            }
            // Another name than the certificate's, and an authority that nobody knows.
            let by_address = format!("https://127.0.0.1:{port}/");
            assert!(matches!(sender.send(&push(&by_address, &own)).await, Outcome::Unreached(_)));
            assert!(matches!(Sender::new(Room::new(100)).send(&push(&url, &own)).await, Outcome::Unreached(_)));
            // A name of the house, though it was let in: the address that it has now is what counts.
            let sender = Sender::new(Room::new(100));
            for allowed in [&[][..], &["10.0.0.0/8"]] {
                let outcome = sender.send(&push(&url, allowed)).await;
                assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
            }
            // With no file to spare it waits, and an open connection takes one for as long as it is open.
            let room = Room::new(2);
            let seat = room.seat();
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let sender = Sender::trusting(roots, room.clone());
            assert!(matches!(sender.send(&push(&url, &own)).await, Outcome::Later { .. }));
            drop(seat);
            assert_eq!(sender.send(&push(&url, &own)).await, Outcome::Delivered);
            assert_eq!((requests.recv().unwrap().1.len() > 9, room.taken()), (true, 1));
            // Nothing listens there.
            let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let sender = Sender::new(Room::new(100));
            let outcome = sender.send(&push(&format!("https://127.0.0.1:{closed}/"), &own)).await;
            assert!(matches!(outcome, Outcome::Unreached(_)), "{outcome:?}");
        });
        assert!(requests.try_recv().is_err(), "something was posted");
    }

    #[test]
    fn what_may_not_be_sent_to_any_more_is_not_sent_to_over_a_connection_that_is_open_still() {
        let (port, certificate, requests) = service();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("https://localhost:{port}/push/x");
            let sender = Sender::trusting(roots, Room::new(100));
            assert_eq!(sender.send(&push(&url, &["127.0.0.0/8"])).await, Outcome::Delivered);
            requests.recv().unwrap();
            for allowed in [&[][..], &["10.0.0.0/8"]] {
                let outcome = sender.send(&push(&url, allowed)).await;
                assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
            }
        });
        assert!(requests.try_recv().is_err(), "something was posted");
    }

    #[test]
    fn a_kept_connection_that_was_reset_meanwhile_is_made_anew_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, answered) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut bytes, mut request) = ([0; 4096], Vec::new());
                while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") || request.len() < seal::SIZE {
                    let count = stream.read(&mut bytes).unwrap();
                    request.extend_from_slice(&bytes[..count]);
                }
                stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                // Only once the answer is there it is reset.
                sender.send(stream).unwrap();
            }
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let sender = Sender::new(Room::new(100));
        let push = push(&format!("http://127.0.0.1:{port}/"), &["127.0.0.0/8"]);
        for _ in 0..3 {
            // Nothing looks at the connection in between.
            assert_eq!(runtime.block_on(sender.send(&push)), Outcome::Delivered);
            drop(answered.recv().unwrap());
        }
    }

    #[test]
    fn every_answer_means_something() {
        let none = HeaderMap::new();
        let of = |status: u16| meaning(StatusCode::from_u16(status).unwrap(), &none, 0);
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status), Outcome::Delivered);
        }
        assert_eq!((of(404), of(410), of(413)), (Outcome::Gone, Outcome::Gone, Outcome::TooLarge));
        for status in [408, 429, 500, 502, 503, 599] {
            assert!(matches!(of(status), Outcome::Later { seconds: None, .. }), "{status}");
        }
        // Redirections are followed nowhere.
        for status in [301, 302, 307, 308, 400, 401, 403, 405] {
            assert!(matches!(of(status), Outcome::Refused(_)), "{status}");
        }
        let waits = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("120"))]);
        let later = meaning(StatusCode::TOO_MANY_REQUESTS, &waits, 0);
        assert!(matches!(later, Outcome::Later { seconds: Some(120), .. }));
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_700), Some(77));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_800), Some(0));
        assert_eq!(retry_after(" 7 ", 0), Some(7));
        for bad in ["", "soon", "-1", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }
}
