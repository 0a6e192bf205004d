//! One connection: its capabilities, registration step, the lines it has not run and what it waits for.

use std::collections::VecDeque;
use std::sync::Arc;

use ircv3::negotiation::Negotiation;
use ircv3::{CapSet, Message};

use crate::server::command::Pending;
use crate::server::command::authenticate::Exchange;
use crate::server::command::batch::Open;
use crate::server::command::bouncer::Binding;
use crate::server::command::bulk::Bulk;
use crate::server::command::monitor::Target;
use crate::server::command::playback::Wish;
use crate::server::command::token::Shown;
use crate::server::event::{BadLine, ConnId, Peer};
use crate::server::network::{ChannelId, UserId};
use crate::server::owed::Owed;
use crate::server::reading::Reading;
use crate::server::record::{AccountId, ConversationId, Seq};
use crate::server::reply::Reply;
use crate::server::second::{Enrolment, First};

/// Something a connection sent, or that is done for it in its turn.
#[derive(Debug)]
pub enum Input {
    /// A message.
    Line(Message),
    /// A line that is none.
    Bad(BadLine),
    /// Another connection of its user has come into these channels: what this one missed there is replayed.
    Joined(Vec<ChannelId>),
}

/// A call under way for a session.
#[derive(Debug)]
pub struct Waiting {
    /// The call's number.
    pub serial: u64,
    /// What to go on with.
    pub pending: Pending,
    /// The label of the command.
    pub label: Option<Box<str>>,
    /// What was answered under the label before the call.
    pub answered: Option<Box<Reply>>,
}

/// What a connection has said before it is a user.
#[derive(Debug, Default)]
pub struct Registration {
    /// NICK.
    pub nick: Option<Box<str>>,
    /// The last NICK was refused, for another has that nick.
    pub refused: bool,
    /// USER: the user name as given, and the real name.
    pub user: Option<(Box<str>, Box<str>)>,
    /// PASS.
    pub password: Option<Box<str>>,
    /// The server's password was given and is right.
    pub password_right: bool,
    /// `PASS account:password` was tried.
    pub password_login_tried: bool,
    /// Capability negotiation holds registration back.
    pub negotiating: bool,
    /// It waits for a code that was mailed, and has more time for that.
    pub awaits_code: bool,
    /// Its keys and values, until it is a user.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// Lines so far.
    pub lines: u32,
}

/// What a connection's device missed, on its way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What comes after this change is being replayed; `None` for a channel that it has joined late, after it had
    /// confirmed what it was replayed first: of such the device is owed the conversations themselves.
    pub after: Option<Seq>,
    /// Whether there was anything after it so far.
    pub any: bool,
    /// Whether a part of it could not be had, and is not replayed before the device comes again.
    pub failed: bool,
    /// What the PING behind it says; `None` before that was sent.
    pub token: Option<Box<str>>,
    /// The last change before that PING.
    pub asked: Seq,
    /// When it was sent, on the monotonic clock.
    pub at: u64,
}

/// How far a connection that is not logged in has read in one conversation.
#[derive(Debug)]
pub struct GuestMarker {
    /// The channel, or the other of the two: who it is itself, it may say otherwise any time.
    pub about: Box<str>,
    /// The same as it was called.
    pub target: Box<str>,
    /// When that was said, in milliseconds since 1970.
    pub time: u64,
}

/// What a connection has logged in by that its account may log in with no more one day, but for a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginBy {
    /// The certificate with this fingerprint.
    Certificate(Box<str>),
    /// The account's public key.
    Key,
}

impl LoginBy {
    /// As the store has it: empty for none.
    pub fn text(by: Option<&LoginBy>) -> &str {
        match by {
            None => "",
            Some(LoginBy::Certificate(fingerprint)) => fingerprint,
            Some(LoginBy::Key) => "key",
        }
    }

    /// What [`LoginBy::text`] has made.
    pub fn parse(text: &str) -> Option<LoginBy> {
        match text {
            "" => None,
            "key" => Some(LoginBy::Key),
            fingerprint => Some(LoginBy::Certificate(fingerprint.into())),
        }
    }
}

/// What a connection was told of a channel that it joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted {
    /// The channel's serial.
    pub channel: u64,
    /// Its message for those who join.
    pub entry: Option<Box<str>>,
    /// What becomes of what is said there.
    pub kept: Box<str>,
}

/// What most connections never have, so that they do not pay for its place.
#[derive(Debug, Default)]
pub struct Particulars {
    /// Read markers of a connection that is not logged in, the latest last.
    pub guest_markers: Vec<GuestMarker>,
    /// The keys that it wants to be told of (METADATA SUB); `None` before it ever said.
    pub subscriptions: Option<Vec<Box<str>>>,
    /// The nicks it asked about with MONITOR.
    pub monitored: Vec<Target>,
    /// The conversations that were replayed to it: none is twice.
    pub replayed: Vec<ConversationId>,
    /// Those of them of which it has been given more to see to since: that it is replayed once it joins them again.
    pub more: Vec<ConversationId>,
    /// What is being replayed to it, until it is known to have read that.
    pub unread: Option<Unread>,
    /// It has said that it has read what it was replayed, or shown, at first. Before, its device has read no more than
    /// when it logged in.
    pub confirmed: bool,
    /// What its device is to be replayed besides.
    pub owed: Vec<Owed>,
    /// Conversations of which another connection sees to what it owed when that came: it may not have read that yet.
    pub given: Vec<ConversationId>,
    /// How far it has read what it is shown, where that is to be known.
    pub reading: Option<Reading>,
    /// The app password that it logged in with, by name.
    pub app: Option<Box<str>>,
    /// What else it logged in by that can be taken away.
    pub by: Option<LoginBy>,
    /// Its account has got another password since it logged in: it has to log in again before it changes what that logs in
    /// with.
    pub has_old_password: bool,
    /// It has given OPER itself.
    pub is_oper: bool,
    /// What it asked `*playback` for.
    pub playback: Option<Wish>,
    /// Where it takes web push (WEBPUSH REGISTER).
    pub endpoint: Option<Box<str>>,
    /// Whether it is one of those of a client that takes the server for a bouncer.
    pub binding: Binding,
    /// It has given the first factor of a login, and the second is due.
    pub first: Option<First>,
    /// The second factor that it is about to add.
    pub enrolment: Option<Enrolment>,
    /// A token that it is showing in several lines.
    pub shown: Option<Shown>,
    /// What it was told of channels that it joined, the latest last.
    pub greeted: Vec<Greeted>,
}

/// Those of a connection that has none.
static NO_PARTICULARS: Particulars = Particulars {
    guest_markers: Vec::new(),
    subscriptions: None,
    monitored: Vec::new(),
    replayed: Vec::new(),
    more: Vec::new(),
    unread: None,
    confirmed: false,
    owed: Vec::new(),
    given: Vec::new(),
    reading: None,
    app: None,
    by: None,
    has_old_password: false,
    is_oper: false,
    playback: None,
    endpoint: None,
    binding: Binding::None,
    first: None,
    enrolment: None,
    shown: None,
    greeted: Vec::new(),
};

/// One connection.
#[derive(Debug)]
pub struct Session {
    /// Which.
    pub conn: ConnId,
    /// Told apart from an earlier one in the same slot.
    pub serial: u64,
    /// The other end.
    pub peer: Box<Peer>,
    /// Whose it is, once registered.
    pub user: Option<UserId>,
    /// The account it is logged in to, before and after registration.
    pub account: Option<AccountId>,
    /// That account's name.
    pub account_name: Option<Arc<str>>,
    /// The device, from `account@device`; empty without.
    pub device: Box<str>,
    /// What it negotiated.
    pub caps: CapSet,
    /// How it negotiates.
    pub negotiation: Box<Negotiation>,
    /// Before registration.
    pub registration: Option<Box<Registration>>,
    /// A SASL exchange under way.
    pub sasl: Option<Box<Exchange>>,
    /// A message of several lines that it is sending.
    pub composing: Option<Box<Open>>,
    /// Lines that wait.
    pub parked: VecDeque<Input>,
    /// Whether its socket is paused.
    pub paused: bool,
    /// The call it waits for.
    pub waiting: Option<Box<Waiting>>,
    /// The long answer it is being sent.
    pub bulk: Option<Box<Bulk>>,
    /// How far its device had read when it logged in; `None` where the device was never here before.
    pub mark: Option<Seq>,
    /// Whether what the device missed since is replayed, as the account would have it.
    pub replays: bool,
    /// Away on this connection, and why; `*` gives no reason.
    pub away: Option<Box<str>>,
    /// The number of the last change when it said so, or came with it.
    pub away_seq: Seq,
    /// What few connections have.
    particulars: Option<Box<Particulars>>,
    /// When it was opened, on the monotonic clock.
    pub opened: u64,
    /// When it was last heard, on the monotonic clock.
    pub heard: u64,
    /// The number of the last change when it was last heard.
    pub heard_seq: Seq,
    /// Its own last changes, between which nobody else made one: the number before them, and that of the last.
    pub own: (Seq, Seq),
    /// Whether a PING is unanswered.
    pub pinged: bool,
    /// It sent QUIT, and is shown its own QUIT before ERROR.
    pub sees_quit: bool,
    /// Close was asked for; nothing more is read or sent.
    pub closing: bool,
    /// References of batches so far.
    pub batches: u32,
}

impl Session {
    /// A connection that has said nothing yet, opened at `now` on the monotonic clock, after change `seq`.
    pub fn new(conn: ConnId, serial: u64, peer: Box<Peer>, now: u64, seq: Seq) -> Session {
        Session {
            conn,
            serial,
            peer,
            user: None,
            account: None,
            account_name: None,
            device: "".into(),
            caps: CapSet::EMPTY,
            negotiation: Box::default(),
            registration: Some(Box::default()),
            sasl: None,
            composing: None,
            parked: VecDeque::new(),
            paused: false,
            waiting: None,
            bulk: None,
            mark: None,
            replays: false,
            away: None,
            away_seq: 0,
            particulars: None,
            opened: now,
            heard: now,
            heard_seq: seq,
            own: (seq, seq),
            pinged: false,
            sees_quit: false,
            closing: false,
            batches: 0,
        }
    }

    /// What it has that most have not.
    pub fn particulars(&self) -> &Particulars {
        self.particulars.as_deref().unwrap_or(&NO_PARTICULARS)
    }

    /// The same, to be altered.
    pub fn particulars_mut(&mut self) -> &mut Particulars {
        self.particulars.get_or_insert_default()
    }

    /// Whether later lines must wait.
    pub fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.bulk.is_some()
    }

    /// Whether it wants to be told of this key.
    pub fn is_subscribed(&self, key: &str) -> bool {
        self.particulars().subscriptions.as_deref().is_some_and(|keys| keys.iter().any(|other| **other == *key))
    }

    /// A reference for a batch, unique on this connection.
    pub fn new_batch(&mut self) -> Box<str> {
        self.batches = self.batches.wrapping_add(1);
        format!("{:x}", self.batches).into_boxed_str()
    }
}
