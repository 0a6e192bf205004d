//! One connection: its transport, what it has not said whole yet, and what it has not read yet.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::Bytes;
use ircv3::CapSet;

use crate::limits::LINGER_BYTES;
use crate::net::flood::Bucket;
use crate::net::line::LineCodec;
use crate::net::link::Link;
use crate::net::proxy::Introduction;
use crate::net::queue::{Seat, Wire};
use crate::net::sendq::SendQueue;
use crate::net::websocket::{LineSocket, Pages, Upgrade};
use crate::server::event::Peer;

/// Below this, pieces are copied together and written with one plain call: for many short lines
/// that is cheaper than a vector of them.
const COPY_BYTES: usize = 32 * 1024;
/// Pieces in one vectored write.
const SLICES: usize = 64;

/// What carries a connection's lines.
#[derive(Debug)]
pub enum Transport {
    /// A proxy has not said yet whom it speaks for; what is spoken after that.
    Introducing(Box<(Introduction, Wire)>),
    /// The TLS handshake is not done; what comes after it, if that is WebSocket.
    Greeting(Link, Option<Pages>),
    /// The WebSocket handshake is not done.
    Upgrading(Box<Upgrade>),
    /// Lines that end with CR LF.
    Lines(Link),
    /// Lines as WebSocket messages.
    WebSocket(Box<LineSocket>),
    /// Nothing any more.
    None,
}

impl Transport {
    /// Takes the handshakes as far as they go; `WouldBlock` until they are done. What a proxy says
    /// of `peer` is put down there.
    pub fn handshake(&mut self, mut peer: Option<&mut Peer>) -> io::Result<()> {
        if let Transport::Introducing(introducing) = self {
            let announced = introducing.0.step()?;
            if announced.is_some() {
                // What comes after it is not the proxy's word any more.
                introducing.1.trusted = Arc::default();
            }
            if let (Some(announced), Some(peer)) = (announced, peer.as_deref_mut()) {
                (peer.ip, peer.port) = (announced.ip, announced.port);
                peer.tls |= announced.tls;
                peer.certfp = announced.certfp;
            }
            self.introduced()?;
        }
        loop {
            match self {
                Transport::Introducing(_) => return Err(io::ErrorKind::WouldBlock.into()),
                Transport::Greeting(link, _) => {
                    link.handshake()?;
                    *self = match std::mem::replace(self, Transport::None) {
                        Transport::Greeting(link, Some(pages)) => {
                            Transport::Upgrading(Box::new(Upgrade::new(link, pages)))
                        }
                        Transport::Greeting(link, None) => Transport::Lines(link),
                        other => other,
                    };
                }
                Transport::Upgrading(upgrade) => {
                    let (socket, forwarded) = upgrade.step()?;
                    if let (Some(forwarded), Some(peer)) = (forwarded, peer.as_deref_mut()) {
                        (peer.ip, peer.port) = (forwarded.ip, 0);
                        peer.tls = forwarded.tls.unwrap_or(peer.tls);
                    }
                    *self = Transport::WebSocket(Box::new(socket));
                }
                Transport::Lines(_) | Transport::WebSocket(_) => return Ok(()),
                Transport::None => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Nothing has come from someone who might have been a proxy: then it is none. Whether that was so.
    pub fn introduce_silent(&mut self) -> bool {
        matches!(self, Transport::Introducing(introducing) if introducing.0.may_be_silent())
            && self.introduced().is_ok()
    }

    fn introduced(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Transport::None) {
            Transport::Introducing(introducing) => {
                let (introduction, wire) = *introducing;
                let tls = wire.tls.map(|setup| setup.accept()).transpose().map_err(io::Error::other)?;
                let trusted = (!introduction.is_required() && !wire.trusted.is_empty()).then_some(wire.trusted);
                let pages = wire.websocket.map(|origins| Pages { origins, trusted });
                Transport::Greeting(Link::new(introduction.into_socket(), tls), pages)
            }
            other => other,
        };
        Ok(())
    }

    /// What carries lines or messages, once the handshakes are done.
    pub fn link(&self) -> Option<&Link> {
        match self {
            Transport::Lines(link) => Some(link),
            Transport::WebSocket(socket) => Some(socket.link()),
            _ => None,
        }
    }

    /// What carries lines or messages, once the handshakes are done.
    pub fn link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Transport::Lines(link) => Some(link),
            Transport::WebSocket(socket) => Some(socket.link_mut()),
            _ => None,
        }
    }

    /// Reads once and forgets what it was, which is not looked at: how many bytes, none once the other side has closed.
    pub fn drain(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.link_mut().map_or(Ok(0), |link| link.read_raw(scratch))
    }

    /// Says that nothing more will come; `WouldBlock` until it is said.
    pub fn close_write(&mut self) -> io::Result<()> {
        match self {
            Transport::Lines(link) => link.close_write(),
            Transport::WebSocket(socket) => socket.close_write(),
            _ => Ok(()),
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Shaking hands; the server does not know it.
    Handshake,
    /// Open.
    Open,
    /// The server asked for its end: the last lines are on their way.
    Closing,
    /// All is said; the other side may still be reading.
    Lingering,
}

/// One connection. An idle one holds no buffer.
#[derive(Debug)]
pub struct Connection {
    /// What carries it.
    pub transport: Transport,
    /// Its capabilities.
    pub caps: CapSet,
    /// What waits to be written.
    pub out: SendQueue,
    /// What came and was not taken yet: part of a line, or lines whose turn has not come.
    pub input: Vec<u8>,
    /// Framing.
    pub codec: LineCodec,
    /// Flood control; `None` where the operator turned it off.
    pub flood: Option<Box<Bucket>>,
    /// Who it is, until the server is told.
    pub peer: Option<Box<Peer>>,
    /// Its place among all connections; `None` in tests.
    pub seat: Option<Seat>,
    /// Tells this connection from others that had its slot.
    pub serial: u32,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes that are still read away after the server asked for its end.
    pub patience: u32,
    /// The server has been told that it is gone: it is the worker that tells the other side why.
    pub disowned: bool,
    /// Whether it has registered.
    pub registered: bool,
    /// The server does not want to hear of it for now.
    pub paused: bool,
    /// Flood control does not want to hear of it before a timer has run.
    pub delayed: bool,
    /// The server asked to be told when it has read nearly all.
    pub drain_asked: bool,
    /// It has lines whose turn comes without its socket saying so.
    pub hungry: bool,
    /// It is on the list of those that are to be written.
    pub dirty: bool,
}

impl Connection {
    /// A connection over `transport`.
    pub fn new(transport: Transport, serial: u32, flood: Option<Box<Bucket>>, peer: Option<Box<Peer>>) -> Connection {
        Connection {
            transport,
            caps: CapSet::EMPTY,
            out: SendQueue::default(),
            input: Vec::new(),
            codec: LineCodec::default(),
            flood,
            peer,
            seat: None,
            serial,
            phase: Phase::Handshake,
            patience: LINGER_BYTES,
            disowned: false,
            registered: false,
            paused: false,
            delayed: false,
            drain_asked: false,
            hungry: false,
            dirty: false,
        }
    }

    /// Whether lines for it go into its queue.
    pub fn takes_lines(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        let unsent = match &self.transport {
            Transport::WebSocket(socket) => socket.is_unsent(),
            Transport::Lines(link) => link.is_unsent(),
            _ => false,
        };
        unsent || !self.out.is_empty()
    }

    /// Writes what waits, in as few calls as it takes. `WouldBlock` leaves the rest in the queue;
    /// the connection's waker is woken when there is room.
    pub fn flush(&mut self, scratch: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.transport {
            Transport::Lines(link) => {
                while !self.out.is_empty() {
                    let written = if self.out.is_single() {
                        link.write(self.out.first())?
                    } else if self.out.len() <= COPY_BYTES || link.is_tls() {
                        scratch.clear();
                        self.out.copy_to(scratch, COPY_BYTES);
                        link.write(scratch)?
                    } else {
                        let mut slices = [IoSlice::new(&[]); SLICES];
                        let count = self.out.slices(&mut slices);
                        link.write_slices(&slices[..count])?
                    };
                    if written == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    self.out.advance(written);
                }
                link.flush()
            }
            Transport::WebSocket(socket) => {
                while let Some(mut piece) = self.out.pop() {
                    let result = socket.write_lines(&mut piece);
                    self.out.unpop(piece);
                    result?;
                }
                socket.flush()
            }
            _ => {
                self.out.clear();
                Ok(())
            }
        }
    }

    /// Forgets what waits: instead, the other side is to read `line`, why the connection ends, unless that is empty.
    pub fn give_up(&mut self, line: &'static [u8]) {
        let cut = !self.out.is_empty();
        self.out.clear();
        // What was written may end inside a line.
        if cut && matches!(self.transport, Transport::Lines(_)) {
            self.out.push(Bytes::from_static(b"\r\n"));
        }
        if !line.is_empty() {
            self.out.push(Bytes::from_static(line));
        }
    }
}
