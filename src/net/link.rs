//! A connection's bytes, plain or through TLS, as [`Read`] and [`Write`] that never block.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ircv3::sasl::scram::ChannelBindings;
use rustls::{ProtocolVersion, ServerConnection};
use sha2::{Digest, Sha256};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::net::proxy::hex;
use crate::net::tls::TlsServer;

/// A stream that the present runtime watches.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

/// A socket. [`io::ErrorKind::WouldBlock`] means that its waker will be woken once it is worth
/// trying again.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    waker: Waker,
    /// Bytes that were read and are to be read again; `None` nearly always.
    #[allow(clippy::box_collection, reason = "every connection has one: 8 bytes, not 24")]
    unread: Option<Box<Vec<u8>>>,
}

macro_rules! poll {
    ($socket:expr, $method:ident $(, $argument:expr)*) => {{
        let mut cx = Context::from_waker(&$socket.waker);
        match &mut $socket.stream {
            Stream::Tcp(stream) => ready(Pin::new(stream).$method(&mut cx, $($argument),*)),
            Stream::Unix(stream) => ready(Pin::new(stream).$method(&mut cx, $($argument),*)),
        }
    }};
}

impl Socket {
    /// The socket `stream`, of which `waker` wants to hear.
    pub fn new(stream: Stream, waker: Waker) -> Socket {
        Socket { stream, waker, unread: None }
    }

    /// From now on it is `waker` that wants to hear of it, from the next time that there is nothing to do.
    pub fn set_waker(&mut self, waker: Waker) {
        self.waker = waker;
    }

    /// Puts `bytes` back: they are what is read next.
    pub fn unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.unread = Some(Box::new(bytes.to_vec()));
        }
    }

    /// Sends several pieces with one call.
    fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll!(self, poll_write_vectored, slices)
    }

    fn close_write(&mut self) -> io::Result<()> {
        poll!(self, poll_shutdown)
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(unread) = &mut self.unread {
            let count = unread.len().min(buf.len());
            buf[..count].copy_from_slice(&unread[..count]);
            unread.drain(..count);
            if unread.is_empty() {
                self.unread = None;
            }
            return Ok(count);
        }
        let mut buf = ReadBuf::new(buf);
        poll!(self, poll_read, &mut buf)?;
        Ok(buf.filled().len())
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Straight to the system: what the runtime believes about the socket lies in memory that a
        // delivery would touch for nothing else. Only a full socket has to be watched.
        let sent = match &self.stream {
            Stream::Tcp(stream) => SockRef::from(stream).send(buf),
            Stream::Unix(stream) => SockRef::from(stream).send(buf),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        poll!(self, poll_write, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// TLS over a socket, driven by hand so that no task and no buffer belongs to an idle connection.
#[derive(Debug)]
pub struct TlsSocket {
    tls: ServerConnection,
    end_point: Option<Arc<[u8]>>,
    socket: Socket,
}

impl TlsSocket {
    /// Takes the handshake as far as it goes; `WouldBlock` until it is done.
    fn handshake(&mut self) -> io::Result<()> {
        loop {
            self.write_records()?;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            self.read_records()?;
        }
    }

    fn read_records(&mut self) -> io::Result<()> {
        if self.tls.read_tls(&mut self.socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that says why, if the socket takes it.
            let _ = self.write_records();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(())
    }

    fn write_records(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

impl Read for TlsSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // No close_notify: IRC lines say where they end, so nothing can be cut unseen.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            match self.read_records() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => other?,
            }
            // Tickets and key updates; if the socket is full they go out with the next write.
            match self.write_records() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => other?,
            }
        }
    }
}

impl Write for TlsSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // What was encrypted goes first, so that at most one piece lies encrypted and unsent.
        self.write_records()?;
        let taken = self.tls.writer().write(buf)?;
        match self.write_records() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => other?,
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_records()
    }
}

/// Either of the two.
#[derive(Debug)]
pub enum Link {
    /// Bytes as they are.
    Plain(Socket),
    /// Bytes through TLS.
    Tls(Box<TlsSocket>),
}

impl Link {
    /// A link over `socket`, through `tls` if there is one.
    pub fn new(socket: Socket, tls: Option<TlsServer>) -> Link {
        match tls {
            Some(TlsServer { tls, end_point }) => Link::Tls(Box::new(TlsSocket { tls, end_point, socket })),
            None => Link::Plain(socket),
        }
    }

    /// Takes the TLS handshake, if there is one, as far as it goes; `WouldBlock` until it is done.
    pub fn handshake(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(_) => Ok(()),
            Link::Tls(tls) => tls.handshake(),
        }
    }

    /// SHA-256 of the certificate that the client showed, in lower-case hex.
    pub fn certfp(&self) -> Option<Box<str>> {
        let Link::Tls(tls) = self else { return None };
        let certificate = tls.tls.peer_certificates()?.first()?;
        Some(hex(&Sha256::digest(certificate)))
    }

    /// The name that the client asked for.
    pub fn sni(&self) -> Option<Box<str>> {
        let Link::Tls(tls) = self else { return None };
        tls.tls.server_name().map(Box::from)
    }

    /// What the TLS connection can be told by, once its handshake is done.
    pub fn bindings(&self) -> ChannelBindings {
        let Link::Tls(tls) = self else { return ChannelBindings::default() };
        // Before TLS 1.3 keying material may be the same on two connections (RFC 9266, section 4.2).
        let unique = tls.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter = unique
            .then(|| tls.tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok())
            .flatten();
        ChannelBindings {
            exporter: exporter.map(|material| material.into()),
            end_point: tls.end_point.as_deref().map(Box::from),
        }
    }

    /// As [`Socket::set_waker`].
    pub fn set_waker(&mut self, waker: Waker) {
        match self {
            Link::Plain(socket) => socket.set_waker(waker),
            Link::Tls(tls) => tls.socket.set_waker(waker),
        }
    }

    /// Whether each piece that is written costs more than copying it would.
    pub fn is_tls(&self) -> bool {
        matches!(self, Link::Tls(_))
    }

    /// Whether something lies here, encrypted, for which the socket had no room.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Link::Tls(tls) if tls.tls.wants_write())
    }

    /// Sends several pieces at once; over TLS only the first.
    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write_slices(slices),
            Link::Tls(tls) => tls.write(slices.first().map_or(&[][..], |slice| slice)),
        }
    }

    /// Reads bytes as they come by the socket, for someone who only wants to be rid of them.
    pub fn read_raw(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(buf),
            Link::Tls(tls) => tls.socket.read(buf),
        }
    }

    /// Says that nothing more will come; `WouldBlock` until it is said.
    pub fn close_write(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(socket) => socket.close_write(),
            Link::Tls(tls) => {
                tls.tls.send_close_notify();
                tls.write_records()?;
                tls.socket.close_write()
            }
        }
    }
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(buf),
            Link::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write(buf),
            Link::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(_) => Ok(()),
            Link::Tls(tls) => tls.flush(),
        }
    }
}
