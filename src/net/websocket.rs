//! IRC over WebSocket (<https://ircv3.net/specs/extensions/websocket>): one line a message, without CR LF.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::{HeaderValue, StatusCode, header};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tungstenite::{Utf8Bytes, WebSocket};

use crate::limits::BYTES_WITHOUT_NEWLINE;
use crate::net::link::Link;

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

/// The answer to the client's request.
#[derive(Debug)]
struct Offer {
    origins: Arc<Origins>,
    text: Arc<AtomicBool>,
}

impl Callback for Offer {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if !self.origins.allow(request.headers().get(header::ORIGIN)) {
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
            self.text.store(chosen == TEXT, Ordering::Relaxed);
            if let Ok(value) = HeaderValue::from_str(chosen) {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
            }
        }
        Ok(response)
    }
}

/// A WebSocket handshake under way.
#[derive(Debug)]
pub struct Upgrade {
    middle: Option<MidHandshake<ServerHandshake<Link, Offer>>>,
    text: Arc<AtomicBool>,
}

impl Upgrade {
    /// A handshake over `link`, for pages of `origins`.
    pub fn new(link: Link, origins: Arc<Origins>) -> Upgrade {
        // Without a subprotocol: text, which every browser can show.
        let text = Arc::new(AtomicBool::new(true));
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(BYTES_WITHOUT_NEWLINE))
            .max_frame_size(Some(BYTES_WITHOUT_NEWLINE));
        let offer = Offer { origins, text: text.clone() };
        Upgrade { middle: Some(ServerHandshake::start(link, offer, Some(config))), text }
    }

    /// Takes the handshake as far as it goes; `WouldBlock` until it is done.
    pub fn step(&mut self) -> io::Result<LineSocket> {
        let Some(middle) = self.middle.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        match middle.handshake() {
            Ok(socket) => Ok(LineSocket { socket, text: self.text.load(Ordering::Relaxed), unsent: false }),
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
