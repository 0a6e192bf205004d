//! Everything the server can ask for: a closed set, sorted by who carries it out.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::CapSet;

use crate::accounts::token::Tokens;
use crate::mail::{Letter, Smtp};
use crate::push::Push;
use crate::server::event::CallId;
use crate::server::frame::Frame;
use crate::server::record::{ConversationId, Expiry, HistoryQuery, Record, SearchQuery, Seq};
use crate::witness::{Question, Witness};

/// No connection: the `except` of a fan-out that leaves nobody out.
pub const NOBODY: u32 = u32::MAX;

/// What one worker is to do. Actions are done in order; one whose `after` is past the durable mark
/// waits, and so does every later one for the same connection.
#[derive(Debug, Clone)]
pub enum NetAction {
    /// Whole lines for one connection.
    Send {
        /// The connection.
        slot: u32,
        /// Goes out once everything up to here is durable; 0 never waits.
        after: Seq,
        /// The lines, each with its CR LF.
        bytes: Bytes,
    },
    /// One message for many connections of this worker, each in the form its capabilities ask for.
    Fanout {
        /// The message; its `after` says when it may go out.
        frame: Arc<Frame>,
        /// The connections. The same `Arc` as last time where the audience is the same.
        audience: Arc<[u32]>,
        /// One of them that does not get it, or [`NOBODY`].
        except: u32,
    },
    /// The connection's capabilities from here on.
    SetCaps {
        /// The connection.
        slot: u32,
        /// All that are on.
        caps: CapSet,
    },
    /// The connection has registered: the flood window and send queue of a user hold from now on.
    Registered {
        /// The connection.
        slot: u32,
    },
    /// Do not read from the connection: it has as many lines waiting as it may.
    Pause {
        /// The connection.
        slot: u32,
    },
    /// Read again.
    Resume {
        /// The connection.
        slot: u32,
    },
    /// Report `Event::Drained` once the connection's send queue holds less than a quarter of
    /// [`crate::limits::BULK_BYTES`]; at once if it does already. This is how the reader paces LIST and WHO.
    WhenDrained {
        /// The connection.
        slot: u32,
    },
    /// Send these last lines, then close; then comes `Event::Closed`.
    Close {
        /// The connection.
        slot: u32,
        /// As for `Send`.
        after: Seq,
        /// The last lines; may be empty.
        bytes: Bytes,
    },
    /// The server has forgotten a closed connection: its slot may be used again.
    Release {
        /// The slot.
        slot: u32,
    },
}

/// Slow work, done elsewhere; comes back as `Event::Returned`.
#[derive(Debug, Clone)]
pub enum Call {
    /// Hash a new password.
    Hash {
        /// The password, whole.
        password: Box<str>,
        /// How often SCRAM is to hash it.
        iterations: u32,
    },
    /// Compare a password with a hash; takes as long where there is no such account.
    Verify {
        /// The password, whole.
        password: Box<str>,
        /// The hash; `None` burns the same time and says no.
        hash: Option<Box<str>>,
        /// Where the password is right, what SCRAM keeps of it is wanted too, hashed so often.
        derive: Option<u32>,
    },
    /// Have the operator's program or directory judge a login.
    Judge {
        /// What it is asked.
        question: Box<Question>,
        /// Which it is.
        witness: Arc<Witness>,
    },
    /// Find out whose token this is.
    Token {
        /// The token.
        token: Box<str>,
        /// What it must be like.
        tokens: Arc<Tokens>,
    },
    /// Send a letter; nobody waits for one whose connection is [`ConnId::NONE`](crate::server::event::ConnId::NONE).
    Mail {
        /// What, and to whom.
        letter: Box<Letter>,
        /// Through which mail server.
        smtp: Arc<Smtp>,
    },
    /// Tell a device of a message; nobody waits for it.
    Push(Box<Push>),
    /// Read the configuration again; `Event::Reload` comes first, if it is well.
    Reload,
    /// Read history and render it.
    History(Box<HistoryQuery>),
    /// Look for words, and render what has them.
    Search(Box<SearchQuery>),
    /// Write all that is kept of the account of this name into a file; `Event::Exported` says what came of it.
    Export {
        /// The account.
        account: Box<str>,
    },
    /// Read one message.
    Find {
        /// The conversation that it must be of.
        conversation: ConversationId,
        /// Its number.
        seq: Seq,
    },
}

/// A line for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Whether someone should look at it.
    pub warning: bool,
    /// What happened.
    pub text: String,
}

/// What an operator did, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Who and what.
    pub text: String,
}

/// What came of one or more events.
#[derive(Debug, Default)]
pub struct Actions {
    /// By worker.
    pub net: Vec<Vec<NetAction>>,
    /// In the order of their numbers.
    pub store: Vec<(Seq, Record)>,
    /// What the store is to look at for what is past its time; it need not last, for it is asked for again.
    pub expire: Vec<Expiry>,
    /// For the pool.
    pub calls: Vec<(CallId, Call)>,
    /// For the log.
    pub log: Vec<LogLine>,
    /// For the audit log.
    pub audit: Vec<AuditLine>,
    /// The server has said its last word: once the queues are empty, end.
    pub ended: bool,
    /// It is to start again then.
    pub restart: bool,
}

impl Actions {
    /// Nothing to do, for so many workers.
    pub fn new(workers: usize) -> Actions {
        Actions { net: (0..workers).map(|_| Vec::new()).collect(), ..Actions::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.net.iter().all(Vec::is_empty)
            && self.store.is_empty()
            && self.expire.is_empty()
            && self.calls.is_empty()
            && self.log.is_empty()
            && self.audit.is_empty()
            && !self.ended
    }
}
