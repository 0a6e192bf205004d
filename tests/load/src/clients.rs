//! Thousands of IRC clients in one thread, over plain TCP, TLS or WebSocket.
//!
//! They understand as little IRC as the workloads need: 001, 366, PING, PRIVMSG, the end of a batch, and what
//! says that something went wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use memchr::{memchr, memmem};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::websocket::{masked, message, request};

/// Clients whose registration or JOIN is under way at a time: a server's listen queue holds more.
const UNDER_WAY: usize = 400;

/// How long all clients together may take until they are registered and in their channels. Of one channel's members
/// each sees every later one come: 15,000 of them see 112 million JOINs.
const BRING_UP: Duration = Duration::from_secs(400);

/// How many [`Clients`] this process has had.
static SERIALS: AtomicU32 = AtomicU32::new(0);

/// How clients speak with the server.
#[derive(Clone, Debug, Default)]
pub struct Dialect {
    /// Capabilities they ask for, separated by spaces; clients take the sets in turn. No set: no capabilities.
    pub capabilities: Vec<String>,
    pub wire: Wire,
    /// The loopback address they come from; `None`: whichever the kernel takes.
    pub source: Option<Ipv4Addr>,
}

/// What is below the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Wire {
    #[default]
    Plain,
    /// With any certificate.
    Tls,
    /// Without TLS, in text messages.
    Websocket,
}

/// A client that is to be made.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The channel it joins.
    pub channel: Option<String>,
    /// What it receives is not a delivery: with `echo-message` that would be its own lines.
    pub sends: bool,
}

/// The clients of one workload.
pub struct Clients {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    tls: Option<Arc<ClientConfig>>,
    /// Which of this process's `Clients`: their nicks differ.
    serial: u32,
    /// Where sockets are read into.
    scratch: Vec<u8>,
    counted: Counted,
}

/// What all clients together received.
#[derive(Debug, Default)]
pub struct Counted {
    pub registered: usize,
    pub joined: usize,
    /// PRIVMSGs, except at clients that send.
    pub delivered: u64,
    /// Batches that ended.
    pub batches: u64,
    /// The ends of LIST and WHO.
    pub ends: u64,
    /// How long the deliveries took, in nanoseconds; of every so many one.
    pub latencies: Vec<u64>,
    /// Of how many deliveries one latency is taken; 0 counts as 1.
    pub sample_every: u64,
    /// What went wrong first.
    pub complaint: Option<String>,
}

struct Client {
    socket: Socket,
    output: Vec<u8>,
    /// The beginning of a line, message or HTTP answer whose end has not come.
    partial: Vec<u8>,
    framing: Framing,
    /// Lines have a label each.
    labels: bool,
    wanted: Wanted,
    joined: bool,
    received: u64,
}

/// How lines lie in the bytes.
enum Framing {
    Lines,
    /// The HTTP request for WebSocket was sent; then these lines are to go.
    Upgrading(String),
    Messages,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What a line from the server is to a client here.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Ping(&'a [u8]),
    Welcome,
    /// The end of NAMES: the client is in its channel.
    Joined,
    /// A PRIVMSG, and when it was sent, as [`now`] has it.
    Message(Option<u64>),
    BatchEnd,
    /// The end of LIST or WHO.
    End,
    /// The server refused something, or ends the connection.
    Refused,
    Other,
}

impl Clients {
    /// None yet.
    ///
    /// # Errors
    /// No epoll instance could be made.
    pub fn new(dialect: &Dialect) -> Result<Self> {
        let tls = if dialect.wire == Wire::Tls { Some(Arc::new(any_certificate()?)) } else { None };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            clients: Vec::new(),
            tls,
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            scratch: vec![0; 65536],
            counted: Counted::default(),
        })
    }

    /// Connects the clients, registers them, and has them join their channels.
    ///
    /// # Errors
    /// The server refused one of them, or was not done in time.
    pub fn bring_up(&mut self, address: SocketAddr, dialect: &Dialect, wanted: Vec<Wanted>) -> Result<()> {
        let begun = Instant::now();
        let total = wanted.len();
        let joining = wanted.iter().filter(|wanted| wanted.channel.is_some()).count();
        let mut wanted = wanted.into_iter();
        loop {
            while self.clients.len() - self.counted.registered < UNDER_WAY {
                let Some(next) = wanted.next() else { break };
                self.connect(address, dialect, next)?;
            }
            self.turn(Duration::from_millis(20))?;
            if self.counted.registered == total && self.counted.joined == joining {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < BRING_UP,
                "after {} s only {} of {total} clients were registered, and {} of {joining} in their channels",
                BRING_UP.as_secs(),
                self.counted.registered,
                self.counted.joined
            );
        }
    }

    /// Queues lines for the server, each with its end, and sends what the socket takes.
    ///
    /// # Errors
    /// The connection broke.
    pub fn send(&mut self, client: usize, lines: &str) -> Result<()> {
        self.clients[client].queue(lines);
        self.clients[client].flush().with_context(|| format!("client {client} could not send"))
    }

    /// Waits for the server's answers for at most so long, and takes in all that have come.
    ///
    /// # Errors
    /// A connection ended, or the server refused something.
    pub fn turn(&mut self, timeout: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in self.events.iter() {
            let Token(id) = event.token();
            let client = &mut self.clients[id];
            if event.is_writable() {
                client.flush().with_context(|| format!("client {id} could not send"))?;
            }
            if event.is_readable() {
                client.read(&mut self.scratch, &mut self.counted).with_context(|| format!("client {id}"))?;
            }
        }
        match &self.counted.complaint {
            Some(complaint) => bail!("the server said {complaint:?}"),
            None => Ok(()),
        }
    }

    /// Takes in what comes for so long: until the server has settled.
    ///
    /// # Errors
    /// As those of [`Clients::turn`].
    pub fn settle(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.turn(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Forgets what was counted so far, but not who is there.
    pub fn count_afresh(&mut self, sample_every: u64) {
        let Counted { registered, joined, .. } = self.counted;
        self.counted = Counted { registered, joined, sample_every, ..Counted::default() };
    }

    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The PRIVMSGs that one client has received.
    pub fn received(&self, client: usize) -> u64 {
        self.clients[client].received
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    fn connect(&mut self, address: SocketAddr, dialect: &Dialect, wanted: Wanted) -> Result<()> {
        let id = self.clients.len();
        let mut socket = connect(address, dialect.source).with_context(|| format!("client {id} could not connect"))?;
        socket.set_nodelay(true)?;
        socket.register(self.poll.registry(), Token(id), Interest::READABLE | Interest::WRITABLE)?;
        let socket = match &self.tls {
            None => Socket::Plain(socket),
            Some(config) => {
                let connection = ClientConnection::new(Arc::clone(config), ServerName::IpAddress(address.ip().into()))?;
                Socket::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        let capabilities = match dialect.capabilities.len() {
            0 => "",
            sets => dialect.capabilities[id % sets].trim(),
        };
        let nick = format!("l{:x}_{:x}_{id}", std::process::id(), self.serial);
        let hello = match capabilities {
            "" => format!("NICK {nick}\r\nUSER load 0 * :load\r\n"),
            some => format!("CAP REQ :{some}\r\nNICK {nick}\r\nUSER load 0 * :load\r\nCAP END\r\n"),
        };
        let (output, framing) = match dialect.wire {
            Wire::Websocket => (request(address), Framing::Upgrading(hello)),
            Wire::Plain | Wire::Tls => (hello, Framing::Lines),
        };
        self.clients.push(Client {
            socket,
            output: output.into_bytes(),
            partial: Vec::new(),
            framing,
            labels: capabilities.split(' ').any(|capability| capability == "labeled-response"),
            wanted,
            joined: false,
            received: 0,
        });
        Ok(())
    }
}

impl Client {
    /// Puts lines, each with its end, behind what is to be sent.
    fn queue(&mut self, lines: &str) {
        for line in lines.split_inclusive("\r\n") {
            let label = if self.labels && line.starts_with("PRIVMSG ") { "@label=load " } else { "" };
            match self.framing {
                Framing::Lines => self.output.extend([label.as_bytes(), line.as_bytes()].into_iter().flatten()),
                Framing::Upgrading(_) | Framing::Messages => {
                    masked(&mut self.output, format!("{label}{}", line.trim_end()).as_bytes());
                }
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut written = 0;
        while written < self.output.len() {
            match self.socket.write(&self.output[written..]) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.output.drain(..written);
        match self.socket.flush() {
            Err(error) if !waits(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&mut self, scratch: &mut [u8], counted: &mut Counted) -> Result<()> {
        loop {
            let length = match self.socket.read(scratch) {
                Ok(0) => bail!("was closed by the server"),
                Ok(length) => length,
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error).context("could not be read"),
            };
            if self.partial.is_empty() {
                let used = self.take_in(&scratch[..length], counted)?;
                self.partial.extend_from_slice(&scratch[used..length]);
            } else {
                let mut bytes = std::mem::take(&mut self.partial);
                bytes.extend_from_slice(&scratch[..length]);
                let used = self.take_in(&bytes, counted)?;
                bytes.drain(..used);
                self.partial = bytes;
            }
        }
        // Answers to PING and 001. Over TLS, also what the handshake has to send.
        if !self.output.is_empty() || matches!(self.socket, Socket::Tls(_)) {
            self.flush().context("could not send")?;
        }
        Ok(())
    }

    /// Takes in all whole lines; returns how many bytes those were.
    fn take_in(&mut self, bytes: &[u8], counted: &mut Counted) -> Result<usize> {
        let mut start = 0;
        if let Framing::Upgrading(hello) = &mut self.framing {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            ensure!(
                bytes.starts_with(b"HTTP/1.1 101 "),
                "got no WebSocket, but {:?}",
                String::from_utf8_lossy(&bytes[..end])
            );
            let hello = std::mem::take(hello);
            self.framing = Framing::Messages;
            self.queue(&hello);
            start = end + 4;
        }
        if matches!(self.framing, Framing::Messages) {
            while let Some((text, length)) = message(&bytes[start..])? {
                // Some servers keep the end of the line in it.
                self.line(text.trim_ascii_end(), counted);
                start += length;
            }
            return Ok(start);
        }
        while let Some(length) = memchr(b'\n', &bytes[start..]) {
            let line = &bytes[start..start + length];
            self.line(line.strip_suffix(b"\r").unwrap_or(line), counted);
            start += length + 1;
        }
        Ok(start)
    }

    fn line(&mut self, line: &[u8], counted: &mut Counted) {
        match parse(line) {
            Line::Ping(token) => self.queue(&format!("PONG {}\r\n", String::from_utf8_lossy(token))),
            Line::Welcome => {
                counted.registered += 1;
                if let Some(channel) = &self.wanted.channel {
                    self.queue(&format!("JOIN {channel}\r\n"));
                }
            }
            Line::Joined => {
                counted.joined += usize::from(!self.joined);
                self.joined = true;
            }
            Line::Message(_) if self.wanted.sends => {}
            Line::Message(sent) => {
                self.received += 1;
                counted.delivered += 1;
                if let Some(sent) = sent
                    && counted.delivered.is_multiple_of(counted.sample_every.max(1))
                {
                    counted.latencies.push(now().saturating_sub(sent));
                }
            }
            Line::BatchEnd => counted.batches += 1,
            Line::End => counted.ends += 1,
            Line::Refused => {
                counted.complaint.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
            }
            Line::Other => {}
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The text of a message that says when it was sent.
pub fn payload(now: u64) -> String {
    format!("t={now} the quick brown fox jumps over the lazy dog and then it sits down to read a while")
}

/// Nanoseconds since 1970, for [`payload`]: the processes of a crowd have no other clock in common.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn connect(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<TcpStream> {
    let Some(source) = source else { return Ok(TcpStream::connect(address)?) };
    ensure!(source.is_loopback(), "{source} is not a loopback address; this program loads nothing else");
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    match socket.connect(&address.into()) {
        // EINPROGRESS, which the standard library has no stable name for: it goes on, and the first write waits.
        Err(error) if error.raw_os_error() != Some(115) => Err(error.into()),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// The socket is not ready, or not connected yet.
fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn parse(line: &[u8]) -> Line<'_> {
    let mut rest = line;
    for prefix in [b'@', b':'] {
        if rest.first() == Some(&prefix) {
            let Some(space) = memchr(b' ', rest) else { return Line::Other };
            rest = &rest[space + 1..];
        }
    }
    let command = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    match command {
        b"PRIVMSG" => Line::Message(memmem::find(rest, b" :t=").map(|at| number(&rest[at + 4..]))),
        b"PING" => Line::Ping(rest[command.len()..].trim_ascii_start()),
        b"001" => Line::Welcome,
        b"366" => Line::Joined,
        b"315" | b"323" => Line::End,
        b"BATCH" if rest.starts_with(b"BATCH -") => Line::BatchEnd,
        b"CAP" if memmem::find(rest, b" NAK ").is_some() => Line::Refused,
        b"ERROR" | b"FAIL" | b"403" | b"404" | b"421" | b"432" | b"433" | b"437" | b"461" | b"464" | b"465"
        | b"471" => Line::Refused,
        _ => Line::Other,
    }
}

/// The number that the digits at the beginning are.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

/// TLS as clients speak it, except that any certificate will do: the server made it a moment ago.
fn any_certificate() -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth())
}

/// Takes any certificate, but not a handshake that was not signed with it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, parse, payload};

    #[test]
    fn lines_are_known_with_and_without_tags_and_source() {
        assert_eq!(parse(b":irc.example 001 l1_0 :Welcome"), Line::Welcome);
        assert_eq!(parse(b"@time=2026-01-01T00:00:00.000Z :irc.example 366 l1_0 #a :End"), Line::Joined);
        assert_eq!(parse(b"PING :token"), Line::Ping(b":token"));
        assert_eq!(parse(b":irc.example BATCH -1"), Line::BatchEnd);
        assert_eq!(parse(b":irc.example BATCH +1 chathistory #a"), Line::Other);
        assert_eq!(parse(b":only-a-source"), Line::Other);
        assert_eq!(parse(b""), Line::Other);
    }

    #[test]
    fn a_message_says_when_it_was_sent() {
        let line = format!("@msgid=t=5 :a!b@c PRIVMSG #load0 :{}", payload(1_234_567));
        assert_eq!(parse(line.as_bytes()), Line::Message(Some(1_234_567)));
        assert_eq!(parse(b":a!b@c PRIVMSG #load0 :hello"), Line::Message(None));
    }

    #[test]
    fn refusals_are_seen() {
        assert_eq!(parse(b"ERROR :Closing link"), Line::Refused);
        assert_eq!(parse(b":irc.example CAP * NAK :no-such"), Line::Refused);
        assert_eq!(parse(b":irc.example CAP l1_0 ACK :batch"), Line::Other);
        assert_eq!(parse(b":irc.example 433 * l1_0 :taken"), Line::Refused);
        assert_eq!(parse(b"FAIL PRIVMSG STORE_FAILED :disk full"), Line::Refused);
    }
}
