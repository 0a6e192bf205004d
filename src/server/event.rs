//! Everything that can happen to the server: a closed set.

use std::net::IpAddr;
use std::sync::Arc;

use ircv3::Message;
use ircv3::sasl::scram::{ChannelBindings, Credential};

use crate::accounts::Secrets;
use crate::push::Outcome;
use crate::server::record::{ConversationId, HistoryPage, MessageRow, Seq};
use crate::server::settings::Settings;
use crate::witness::Verdict;

/// What time it is; handed in, never asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 in UTC. An operator may set it back or forth.
    pub unix_ms: u64,
    /// Milliseconds of a clock that never goes back; every deadline is in it.
    pub mono_ms: u64,
}

/// A connection: a worker's slot. A slot is used again only after [`Release`].
///
/// [`Release`]: crate::server::action::NetAction::Release
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Which network worker.
    pub worker: u16,
    /// Which of the worker's connections.
    pub slot: u32,
}

impl ConnId {
    /// No connection: what is sent to it goes nowhere.
    pub const NONE: ConnId = ConnId { worker: u16::MAX, slot: u32::MAX };
}

/// A call under way: whose it is, and its number, so that a late answer finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The connection whose lines wait.
    pub conn: ConnId,
    /// The number of the call.
    pub serial: u64,
}

/// Who is at the other end of a new connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address that limits, bans and the host name go by (IPv4-mapped IPv6 is IPv4 already).
    pub ip: IpAddr,
    /// The port at the other end.
    pub port: u16,
    /// Whether TLS protects the connection.
    pub tls: bool,
    /// Whether it came as a WebSocket.
    pub websocket: bool,
    /// SHA-256 of the client's certificate, in lower-case hex.
    pub certfp: Option<Box<str>>,
    /// What the TLS connection can be told by, where its other end is the client itself.
    pub bindings: ChannelBindings,
    /// The name that the client asked for when it began TLS (SNI).
    pub sni: Option<Box<str>>,
    /// What is shown and counted in place of the address, for everyone who comes by the same way
    /// (`host` of a listener, such as one for Tor).
    pub host: Option<Arc<str>>,
}

impl Peer {
    /// Whoever is at this address, over TCP without TLS or a proxy.
    pub fn new(ip: IpAddr, port: u16) -> Peer {
        Peer {
            ip,
            port,
            tls: false,
            websocket: false,
            certfp: None,
            bindings: ChannelBindings::default(),
            sni: None,
            host: None,
        }
    }

    /// The host that others see: the address, never beginning with a colon, or what stands for it.
    pub fn host(&self) -> Arc<str> {
        match &self.host {
            Some(host) => host.clone(),
            None => ircv3::name::host_of(self.ip).into(),
        }
    }
}

/// A line that is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// The line or its tags are over their budget: 417.
    TooLong {
        /// As for [`BadLine::NotUtf8`].
        tags: Box<str>,
    },
    /// Bytes that are not UTF-8.
    NotUtf8 {
        /// The line's command, in upper case; `*` where none is to be seen.
        command: Box<str>,
        /// The line's tags as they stood between `@` and the space; empty where they are over their
        /// budget, not UTF-8, or have a CR, LF or NUL themselves.
        tags: Box<str>,
    },
    /// A CR, LF or NUL inside.
    ForbiddenByte {
        /// As for [`BadLine::NotUtf8`].
        tags: Box<str>,
    },
}

impl BadLine {
    /// The line's tags: its answer wants the label.
    pub fn tags(&self) -> &str {
        let (BadLine::TooLong { tags } | BadLine::NotUtf8 { tags, .. } | BadLine::ForbiddenByte { tags }) = self;
        tags
    }
}

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The other side closed.
    Eof {
        /// The number of a change: whatever was sent to the connection up to that one has been given to the system.
        /// `None` where more waits, and it cannot be said from which on.
        shown: Option<Seq>,
    },
    /// The system reported this.
    Error(Box<str>),
    /// It did not read what it was sent.
    SendQueue,
    /// It sent more than any client would.
    Flood,
    /// The server asked for it and it is done.
    Asked,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A connection is open (and its TLS and WebSocket handshakes done).
    Opened(ConnId, Box<Peer>),
    /// A line came.
    Line(ConnId, Message),
    /// A line came that is not a message.
    BadLine(ConnId, BadLine),
    /// A connection is gone; nothing more comes from it. Answered with `Release`.
    Closed(ConnId, CloseCause),
    /// The answer to `NetAction::WhenDrained`: the reader has caught up.
    Drained(ConnId),
    /// Everything up to this number is on disk.
    Committed(Seq),
    /// The store cannot write, for this reason; it tries again.
    StoreFailed(Box<str>),
    /// The store writes again.
    StoreRecovered,
    /// The store has deleted what of a conversation was past its time.
    Expired {
        /// Of which.
        conversation: ConversationId,
        /// How many rows that were.
        rows: u64,
    },
    /// What is kept of an account was written into a file, with so many messages; or why not.
    Exported {
        /// Of which.
        account: Box<str>,
        /// The file, and how many messages are in it.
        outcome: Result<(String, u64), String>,
    },
    /// A call is done.
    Returned(CallId, Returned),
    /// Time has passed; comes about four times a second.
    Tick,
    /// The configuration was read again.
    Reload(Arc<Settings>),
    /// The server is to end; the reason goes to every client.
    Shutdown(Box<str>),
}

/// What a call came back with.
#[derive(Debug, Clone)]
pub enum Returned {
    /// What is kept of a new password.
    Hashed(Box<Secrets>),
    /// Whether the password fits the hash.
    Verified(bool),
    /// The configuration was read again; the keys that take another value only at the next start.
    Reloaded(Vec<&'static str>),
    /// The password fits the hash, and this is what SCRAM keeps of it.
    Derived(Vec<Credential>),
    /// What the operator's program or directory says of a login.
    Judged(Verdict),
    /// The account that a token names, or what is wrong with it.
    Token(Result<Box<str>, Box<str>>),
    /// The mail server has taken the letter, or refuses its address for good for this reason.
    Mailed(Result<(), Box<str>>),
    /// What came of a push.
    Pushed(Outcome),
    /// A page of history, rendered for whoever asked.
    History(HistoryPage),
    /// The message, where there is one of that number in that conversation.
    Found(Option<Box<MessageRow>>),
    /// It would have taken longer than anything of its kind may, and was given up.
    TookTooLong,
    /// It could not be done now; the reason is for the log, not for the client.
    Failed(Box<str>),
}
