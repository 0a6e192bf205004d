//! IRC over WebSocket (<https://ircv3.net/specs/extensions/websocket>): one line a message, without CR LF.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ircv3::Cidr;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tungstenite::{Utf8Bytes, WebSocket};

use crate::limits::BYTES_WITHOUT_NEWLINE;
use crate::net::link::Link;
use crate::net::queue::lock;

const BINARY: &str = "binary.ircv3.net";
const TEXT: &str = "text.ircv3.net";
/// Frames are put together up to here before they are written.
const WRITE_BYTES: usize = 32 * 1024;

/// The pages that may connect (`listen.websocket_origins`): empty for any. A client that is not a
/// browser sends no origin, and is not kept out by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl Origins {
    fn allow(&self, origin: Option<&HeaderValue>) -> bool {
        let Some(origin) = origin else { return true };
        self.0.is_empty() || self.0.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    }
}

/// What is made of a client's request.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The pages that may connect.
    pub origins: Arc<Origins>,
    /// The web servers whose word on whom they speak for is taken; `None` where the connection does not
    /// come from one.
    pub trusted: Option<Arc<[Cidr]>>,
}

/// Whom a web server speaks for (`X-Forwarded-For`, `X-Forwarded-Proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The address; an IPv4-mapped IPv6 address is IPv4.
    pub ip: IpAddr,
    /// Whether the web server took the connection over TLS; `None` where it does not say.
    pub tls: Option<bool>,
}

/// What the request came to.
#[derive(Debug)]
struct Agreed {
    text: bool,
    forwarded: Option<Forwarded>,
}

/// The answer to the client's request.
#[derive(Debug)]
struct Offer {
    pages: Pages,
    agreed: Arc<Mutex<Agreed>>,
}

impl Callback for Offer {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let mut agreed = lock(&self.agreed);
        if !self.pages.origins.allow(request.headers().get(header::ORIGIN)) {
            let mut refusal = ErrorResponse::new(Some("This page may not connect here.\n".into()));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Err(refusal);
        }
        let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let chosen = offered
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .find(|name| *name == BINARY || *name == TEXT);
        if let Some(chosen) = chosen {
            agreed.text = chosen == TEXT;
            if let Ok(value) = HeaderValue::from_str(chosen) {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
            }
        }
        agreed.forwarded = self.pages.trusted.as_ref().and_then(|trusted| forwarded(request.headers(), trusted));
        Ok(response)
    }
}

/// Whom the last server that is not trusted spoke from, or the first of all: each appends whom it heard.
fn forwarded(headers: &HeaderMap, trusted: &[Cidr]) -> Option<Forwarded> {
    let words = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = words("x-forwarded-for").flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut ip = None;
    for hop in hops.into_iter().rev() {
        // Whatever stands before something that is no address is nobody's word.
        let Some(address) = address_of(hop) else { break };
        ip = Some(address);
        if !trusted.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    let scheme = words("x-forwarded-proto").next_back();
    Some(Forwarded { ip: ip?, tls: scheme.map(|scheme| scheme.trim().eq_ignore_ascii_case("https")) })
}

/// The address of a hop, which may have a port, and brackets around IPv6.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let ip: Option<IpAddr> = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// A WebSocket handshake under way.
#[derive(Debug)]
pub struct Upgrade {
    middle: Option<MidHandshake<ServerHandshake<Link, Offer>>>,
    agreed: Arc<Mutex<Agreed>>,
}

impl Upgrade {
    /// A handshake over `link`, for `pages`.
    pub fn new(link: Link, pages: Pages) -> Upgrade {
        // Without a subprotocol: text, which every browser can show.
        let agreed = Arc::new(Mutex::new(Agreed { text: true, forwarded: None }));
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(BYTES_WITHOUT_NEWLINE))
            .max_frame_size(Some(BYTES_WITHOUT_NEWLINE));
        let offer = Offer { pages, agreed: agreed.clone() };
        Upgrade { middle: Some(ServerHandshake::start(link, offer, Some(config))), agreed }
    }

    /// Takes the handshake as far as it goes; `WouldBlock` until it is done. Then also whom a web
    /// server that is trusted speaks for.
    pub fn step(&mut self) -> io::Result<(LineSocket, Option<Forwarded>)> {
        let Some(middle) = self.middle.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        match middle.handshake() {
            Ok(socket) => {
                let agreed = lock(&self.agreed);
                Ok((LineSocket { socket, text: agreed.text, unsent: false }, agreed.forwarded))
            }
            Err(HandshakeError::Interrupted(middle)) => {
                self.middle = Some(middle);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(HandshakeError::Failure(error)) => Err(plain(error)),
        }
    }
}

/// Lines as messages.
#[derive(Debug)]
pub struct LineSocket {
    socket: WebSocket<Link>,
    text: bool,
    /// Whether frames may lie in the socket's own buffer.
    unsent: bool,
}

impl LineSocket {
    /// The link below.
    pub fn link(&self) -> &Link {
        self.socket.get_ref()
    }

    /// The next line, without what ends a line elsewhere; `UnexpectedEof` once the other side closed.
    pub fn read_line(&mut self) -> io::Result<Bytes> {
        loop {
            let mut line = match self.socket.read() {
                Ok(Message::Text(text)) => Bytes::from(text),
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Close(_)) => {
                    // The answer to it.
                    let _ = self.socket.flush();
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(error) => {
                    let code = match &error {
                        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::Size),
                        Error::Utf8(_) => Some(CloseCode::Invalid),
                        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
                        Error::Protocol(_) => Some(CloseCode::Protocol),
                        _ => None,
                    };
                    if let Some(code) = code {
                        let _ = self.socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
                    }
                    return Err(plain(error));
                }
            };
            for end in [b'\n', b'\r'] {
                if line.last() == Some(&end) {
                    line.truncate(line.len() - 1);
                }
            }
            return Ok(line);
        }
    }

    /// Takes whole lines off `bytes`, each as a message, until the socket is full.
    pub fn write_lines(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let mut line = bytes.split_to(end);
            while matches!(line.last(), Some(b'\r' | b'\n')) {
                line.truncate(line.len() - 1);
            }
            if line.is_empty() {
                continue;
            }
            let message = if self.text {
                // Text frames never carry anything else, whatever the line was made of.
                let text = Utf8Bytes::try_from(line.clone())
                    .unwrap_or_else(|_| String::from_utf8_lossy(&line).into_owned().into());
                Message::Text(text)
            } else {
                Message::Binary(line)
            };
            self.unsent = true;
            // Where the socket is full the frame lies in the buffer below: it is not lost.
            self.socket.write(message).map_err(plain)?;
        }
        Ok(())
    }

    /// Whether frames may still have to be written.
    pub fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// Writes what lies in the buffer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(plain)?;
        self.unsent = false;
        Ok(())
    }

    /// The bytes under the messages.
    pub fn link_mut(&mut self) -> &mut Link {
        self.socket.get_mut()
    }

    /// Says goodbye, then that nothing more will come.
    pub fn close_write(&mut self) -> io::Result<()> {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        match self.socket.close(Some(goodbye)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
            Err(error) => return Err(plain(error)),
        }
        self.socket.get_mut().close_write()
    }
}

fn plain(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => io::ErrorKind::UnexpectedEof.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tungstenite::http::HeaderMap;

    use super::{Forwarded, forwarded};

    fn said(headers: &[(&'static str, &str)]) -> Option<Forwarded> {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        forwarded(&map, &trusted)
    }

    #[test]
    fn the_address_is_the_last_one_that_someone_who_is_trusted_heard() {
        let from = |ip: &str, tls| Some(Forwarded { ip: ip.parse().unwrap(), tls });
        for (header, ip) in [
            ("1.1.1.1", "1.1.1.1"),
            // What comes before it is what the client itself says.
            ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1, 10.0.0.1 ,127.0.0.1", "1.1.1.1"),
            ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
            ("unknown, 10.0.0.1", "10.0.0.1"),
            ("1.1.1.1:443", "1.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:1.1.1.1", "1.1.1.1"),
        ] {
            assert_eq!(said(&[("x-forwarded-for", header)]), from(ip, None), "{header}");
        }
        let both = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")];
        assert_eq!(said(&both), from("1.1.1.1", Some(true)));
        let plain = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "http")];
        assert_eq!(said(&plain), from("1.1.1.1", Some(false)));
        for header in ["", "unknown", "1.1.1.1, secret"] {
            assert_eq!(said(&[("x-forwarded-for", header), ("x-forwarded-proto", "https")]), None, "{header}");
        }
    }
}
