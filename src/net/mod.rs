//! The sockets: workers with their connections, framing, TLS, WebSocket and send queues.
//!
//! - [`worker`] is the loop of one network thread and owns its connections.
//! - [`queue`] is what lies between a worker and the server thread.
//! - [`connection`], [`link`], [`tls`] and [`websocket`] are one connection, from lines down to bytes.
//! - [`proxy`] is what a proxy says first.
//! - [`line`] splits what comes in; [`flood`] delays who sends too much.
//! - [`sendq`] is what one connection has not read yet; [`fanout`] puts one message into many of them.
//! - [`listener`] accepts.
//!
//! Nothing here blocks: a read or a write that cannot go on leaves a waker behind that names the
//! connection. No lock is held while a socket is used, and a worker never waits for the server.

pub mod connection;
pub mod fanout;
pub mod flood;
pub mod line;
pub mod link;
pub mod listener;
pub mod proxy;
pub mod queue;
pub mod sendq;
pub mod tls;
pub mod websocket;
pub mod worker;

pub use flood::FloodOptions;
pub use listener::{Address, BindError, Listener};
pub use queue::{Durable, EventQueue, Inbox, Room, Seat, Wire};
pub use tls::{TlsError, TlsSetup, ensure_certificate};
pub use websocket::Origins;
pub use worker::Worker;

/// What the operator chose about connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Flood control; `None` where it is off.
    pub flood: Option<FloodOptions>,
    /// Bytes that one connection may leave unread (`connection.sendq`).
    pub sendq: usize,
}
