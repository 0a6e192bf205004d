//! The state machine: everything that can happen comes in as an [`Event`], everything that is to be
//! done goes out as [`Actions`]. No clock, randomness, lock, I/O or await in here.

pub mod action;
pub mod authtoken;
pub mod ban;
mod beside;
pub mod change;
pub mod channel;
pub mod cloak;
pub mod command;
pub mod ending;
pub mod event;
pub mod frame;
pub mod history;
pub mod login;
pub mod lookalike;
pub mod mail;
pub mod network;
pub mod notice;
pub mod notify;
pub mod owed;
pub mod policy;
pub mod presence;
pub mod push;
pub mod reading;
pub mod record;
pub mod registration;
pub mod reply;
pub mod retention;
pub mod right;
pub mod search;
pub mod second;
pub mod session;
pub mod setting;
pub mod settings;
pub mod talks;
pub mod throttle;
pub mod timer;
pub mod unsettled;
pub mod unused;
pub mod user;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ircv3::tags::Tags;
use ircv3::{Cap, CapSet, Message};

use self::action::{Actions, AuditLine, Call, LogLine, NOBODY, NetAction};
use self::command::Pending;
use self::command::bulk;
use self::ending::Ending;
use self::event::{BadLine, CallId, CloseCause, ConnId, Event, Now, Returned};
use self::frame::{Frame, OwnTags};
use self::lookalike::Lookalikes;
use self::mail::Mails;
use self::network::{ChannelId, Network, UserId};
use self::push::Pushes;
use self::reading::{Looks, OwnSaid};
use self::record::{AccountId, MsgId, Record, SEQ_COUNTER_BITS, Seq, Snapshot};
use self::reply::Reply;
use self::retention::Retention;
use self::session::{Input, Session, Waiting};
use self::settings::Settings;
use self::throttle::Throttles;
use self::timer::Timers;
use self::unsettled::Unsettled;
use self::unused::Unused;
use crate::limits;

/// The server: all shared state and every session, owned by one thread.
pub struct Server {
    /// What the operator chose.
    pub settings: Arc<Settings>,
    /// The shared state.
    pub network: Network,
    sessions: Vec<Vec<Option<Box<Session>>>>,
    session_count: usize,
    unregistered: usize,
    next_serial: u64,
    timers: Timers,
    readings: Looks,
    throttles: Throttles,
    mails: Mails,
    /// What is pushed to devices.
    pub pushes: Pushes,
    retention: Retention,
    unused: Unused,
    unsettled: Unsettled,
    /// The account of which all that is kept is being written.
    pub(in crate::server) exporting: Option<Arc<str>>,
    now: Now,
    /// Wall time that never goes back.
    clock: u64,
    epoch: u32,
    /// The database's secret, and how often it was started: see [`Server::nonce`].
    secret: [u8; 32],
    second_key: [u8; 32],
    boot: u32,
    last_seq: Seq,
    durable: Seq,
    store_failing: Option<Box<str>>,
    started_unix_ms: u64,
    isupport: Arc<Vec<String>>,
    ending: Option<Ending>,
    /// How often each command was used, by its place in the table.
    usage: Vec<u64>,
    /// The server is to end after this event: the reason, and whether it starts again.
    end_asked: Option<(String, bool)>,
    /// Users of whom something has changed that bans go by: they are judged once all is answered.
    to_judge: Vec<UserId>,
    /// Accounts that are several users, of whose devices it is noted what not all their connections are told.
    beside: BTreeSet<AccountId>,
    /// Devices by which connections have come to be users, and how far they had read.
    beside_came: Vec<(AccountId, Box<str>, Option<Seq>)>,
    /// Devices of which it is to be kept what they are owed.
    beside_due: BTreeSet<(AccountId, Box<str>)>,
    /// How many of them that was kept of since the last tick.
    beside_kept: usize,
    /// When to look for those who have been away too long, on the monotonic clock.
    next_expiry: u64,
    /// What devices have said themselves, and shown, that may be among what they are replayed.
    own_said: OwnSaid,
    out: Actions,
}

/// What a command works with: who sent it, and where its answers go.
pub struct Ctx {
    /// The connection.
    pub conn: ConnId,
    /// Its user, once registered.
    pub user: Option<UserId>,
    /// The answers.
    pub reply: Reply,
}

impl Ctx {
    /// The sending user. Commands that are for users only are never run without one.
    pub fn me(&self) -> UserId {
        self.user.unwrap_or(usize::MAX)
    }
}

impl Server {
    /// A server with the state of `snapshot`, for `workers` network workers.
    pub fn new(settings: Arc<Settings>, snapshot: Snapshot, workers: usize, now: Now) -> Server {
        let first_seq = u64::from(snapshot.boot) << SEQ_COUNTER_BITS;
        let last_time = snapshot.conversations.iter().map(|(_, last, _)| *last).max().unwrap_or(0);
        let (epoch, secret, boot) = (snapshot.epoch, snapshot.secret, snapshot.boot);
        let second_key = snapshot.second_key;
        let isupport = Arc::new(registration::isupport(&settings, settings.casemapping));
        let mut snapshot = snapshot;
        let lookalikes = if settings.confusables { Lookalikes::on() } else { Lookalikes::default() };
        let retention = Retention::new(&snapshot, last_time, now, settings.keep);
        let unused = Unused::new(&snapshot);
        let presences = std::mem::take(&mut snapshot.presences);
        let own_said = Server::own_said_before(&snapshot.seen);
        let mut pushes = Pushes::new(&snapshot.vapid, settings.vapid_key);
        let pushed = std::mem::take(&mut snapshot.pushed);
        let mut network = Network::with(settings.casemapping, lookalikes, snapshot);
        pushes.remember(pushed, &network);
        // A clock that was ahead yesterday must not hide today's messages: only so far that no
        // row of the past is passed by, and never by more than a day.
        let clock = now.unix_ms.max(last_time.min(now.unix_ms + 86_400_000));
        let unsettled = presence::restore(&settings, &secret, &mut network, presences, clock);
        Server {
            mails: Mails::new(&network, now.mono_ms),
            pushes,
            retention,
            unused,
            unsettled,
            exporting: None,
            network,
            sessions: (0..workers).map(|_| Vec::new()).collect(),
            session_count: 0,
            unregistered: 0,
            next_serial: 1,
            timers: Timers::default(),
            readings: Looks::default(),
            throttles: Throttles::default(),
            now,
            clock,
            epoch,
            secret,
            second_key,
            boot,
            last_seq: first_seq,
            durable: first_seq,
            store_failing: None,
            started_unix_ms: now.unix_ms,
            isupport,
            ending: None,
            usage: vec![0; command::COMMANDS.len()],
            end_asked: None,
            to_judge: Vec::new(),
            beside: BTreeSet::new(),
            beside_came: Vec::new(),
            beside_due: BTreeSet::new(),
            beside_kept: 0,
            next_expiry: 0,
            own_said,
            out: Actions::new(workers),
            settings,
        }
    }

    /// Takes one event and appends what is to be done to `actions`.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Actions) {
        std::mem::swap(&mut self.out, actions);
        self.now = now;
        self.clock = self.clock.max(now.unix_ms);
        self.advance_aging();
        self.look_after_unsettled();
        match event {
            Event::Opened(conn, peer) => self.opened(conn, peer),
            Event::Line(conn, line) => self.input(conn, Input::Line(line)),
            Event::BadLine(conn, bad) => self.input(conn, Input::Bad(bad)),
            Event::Closed(conn, cause) => self.closed(conn, cause),
            Event::Drained(conn) => self.drained(conn),
            Event::Committed(seq) => {
                self.durable = self.durable.max(seq);
                self.post_held();
                self.release();
            }
            Event::StoreFailed(reason) => self.store_failed(reason),
            Event::StoreRecovered => self.store_recovered(),
            Event::Expired { conversation, rows } => self.expired(conversation, rows),
            Event::Exported { account, outcome } => self.exported(&account, outcome),
            Event::Returned(id, returned) => self.returned(id, returned),
            Event::Tick => self.tick(),
            Event::Reload(settings) => self.reload(settings),
            Event::Shutdown(reason) => {
                self.end_at_once();
                self.end_soon(reason.into(), false);
            }
        }
        for user in std::mem::take(&mut self.to_judge) {
            self.judge_user(user);
        }
        self.look_beside();
        if let Some((reason, restart)) = self.end_asked.take() {
            self.begin_to_end(reason, restart);
        }
        std::mem::swap(&mut self.out, actions);
    }

    // Sessions.

    /// The session of a connection.
    pub fn session(&self, conn: ConnId) -> Option<&Session> {
        self.sessions.get(usize::from(conn.worker))?.get(conn.slot as usize)?.as_deref()
    }

    /// The session of a connection.
    pub fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(conn.worker))?.get_mut(conn.slot as usize)?.as_deref_mut()
    }

    fn put_session(&mut self, session: Session) {
        let conn = session.conn;
        let Some(slots) = self.sessions.get_mut(usize::from(conn.worker)) else { return };
        if slots.len() <= conn.slot as usize {
            slots.resize_with(conn.slot as usize + 1, || None);
        }
        slots[conn.slot as usize] = Some(Box::new(session));
        self.session_count += 1;
    }

    fn take_session(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let session = self.sessions.get_mut(usize::from(conn.worker))?.get_mut(conn.slot as usize)?.take();
        self.session_count -= usize::from(session.is_some());
        session
    }

    /// Every session, by worker and slot.
    pub fn all_sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().flatten().flatten().map(|session| &**session)
    }

    /// All connections that are not closing.
    pub fn connections(&self) -> Vec<ConnId> {
        self.all_sessions().filter(|session| !session.closing).map(|session| session.conn).collect()
    }

    /// How many connections there are, and how many of them have not registered.
    pub fn session_counts(&self) -> (usize, usize) {
        (self.session_count, self.unregistered)
    }

    fn input(&mut self, conn: ConnId, input: Input) {
        let (mono, seq) = (self.now.mono_ms, self.last_seq);
        let Some(session) = self.session_mut(conn) else { return };
        if session.closing {
            return;
        }
        session.heard = mono;
        session.heard_seq = seq;
        session.pinged = false;
        if session.is_busy() || !session.parked.is_empty() {
            session.parked.push_back(input);
            if session.parked.len() >= limits::PARKED_LINES / 2 && !session.paused {
                session.paused = true;
                self.act(conn, |slot| NetAction::Pause { slot });
            }
            return;
        }
        self.run(conn, input);
    }

    /// A connection's user has come into a channel by another of its connections.
    pub fn joined_elsewhere(&mut self, conn: ConnId, channel: ChannelId) {
        let Some(session) = self.session_mut(conn) else { return };
        let waits = session.is_busy() || !session.parked.is_empty();
        match session.parked.back_mut() {
            Some(Input::Joined(channels)) if channels.contains(&channel) => {}
            Some(Input::Joined(channels)) => channels.push(channel),
            _ if waits => session.parked.push_back(Input::Joined(vec![channel])),
            _ => self.run(conn, Input::Joined(vec![channel])),
        }
    }

    /// Runs lines that had to wait, until one has to wait again.
    fn run_parked(&mut self, conn: ConnId) {
        loop {
            let Some(session) = self.session_mut(conn) else { return };
            if session.closing || session.is_busy() {
                return;
            }
            let Some(input) = session.parked.pop_front() else { break };
            self.run(conn, input);
        }
        let Some(session) = self.session_mut(conn) else { return };
        session.parked = std::collections::VecDeque::new();
        if session.paused {
            session.paused = false;
            self.act(conn, |slot| NetAction::Resume { slot });
        }
    }

    fn run(&mut self, conn: ConnId, input: Input) {
        let Some(session) = self.session_mut(conn) else { return };
        if let Some(registration) = &mut session.registration {
            registration.lines += 1;
            if registration.lines > limits::LINES_BEFORE_REGISTRATION {
                self.close(conn, "Too many lines before registration");
                return;
            }
        }
        match input {
            Input::Line(line) => {
                let before = self.last_seq;
                let says = matches!(line.command(), "PRIVMSG" | "NOTICE");
                let has_read_all = says && self.has_read_all(conn);
                // What is of several lines is said as the batch ends.
                let says = says || line.command() == "BATCH";
                let label = self.label_of(conn, &line);
                let mut ctx = self.ctx(conn, label);
                command::run(self, &mut ctx, &line);
                self.finish(ctx);
                // What it has said itself it need not be shown.
                let now = self.last_seq;
                if now > before
                    && let Some(session) = self.session_mut(conn)
                {
                    session.own = (if session.own.1 == before { session.own.0 } else { before }, now);
                    if session.heard_seq == before {
                        session.heard_seq = now;
                    }
                    let echoes = session.caps.has(Cap::EchoMessage);
                    // While it is not known to have read what it missed, what came later counts as unread with that.
                    let misses = session.is_behind().is_some();
                    if session.particulars().reading.is_some()
                        && let Some(reading) = &mut session.particulars_mut().reading
                    {
                        // What comes back to it it is asked for.
                        if has_read_all && !(echoes && misses) {
                            reading.read = now;
                        }
                        if says && !echoes && (misses || !has_read_all) {
                            reading.note_own(before, now);
                            self.note_own_kept(conn, now);
                        }
                    }
                }
            }
            Input::Joined(channels) => {
                let mut ctx = self.ctx(conn, None);
                command::chathistory::replay(self, &mut ctx, command::chathistory::Occasion::Joined(&channels));
                self.finish(ctx);
            }
            Input::Bad(bad) => {
                let label = self.label_in(conn, Tags::new(bad.tags()));
                let mut ctx = self.ctx(conn, label);
                match bad {
                    BadLine::TooLong { .. } => {
                        ctx.reply.numeric(
                            ircv3::numeric::Numeric::ERR_INPUTTOOLONG,
                            &[],
                            Some("Input line was too long"),
                        );
                    }
                    BadLine::NotUtf8 { command, .. } if &*command == "QUIT" => {
                        let label = ctx.reply.take_label();
                        self.close_by_itself(conn, "Quit", label);
                        return;
                    }
                    BadLine::NotUtf8 { command, .. } => {
                        ctx.reply.fail(
                            &command,
                            "INVALID_UTF8",
                            &[],
                            "Message rejected: its bytes are not UTF-8, and this server takes UTF-8 only",
                        );
                    }
                    BadLine::ForbiddenByte { .. } => {
                        ctx.reply.fail(
                            "*",
                            "INVALID_BYTES",
                            &[],
                            "Message rejected: it has a CR or NUL inside, which no line may have",
                        );
                    }
                }
                self.finish(ctx);
            }
        }
    }

    fn label_of(&self, conn: ConnId, line: &Message) -> Option<Box<str>> {
        if line.tags_raw().is_empty() { None } else { self.label_in(conn, line.tags()) }
    }

    fn label_in(&self, conn: ConnId, tags: Tags<'_>) -> Option<Box<str>> {
        let caps = self.session(conn)?.caps;
        if !caps.has_all(CapSet::of(&[Cap::LabeledResponse, Cap::Batch])) {
            return None;
        }
        let label = tags.get("label")?;
        if label.is_empty() || label.len() > limits::LABEL_LEN {
            return None;
        }
        Some(ircv3::tags::escape(&label).into())
    }

    /// A context for a connection's next answers.
    pub fn ctx(&self, conn: ConnId, label: Option<Box<str>>) -> Ctx {
        let session = self.session(conn);
        let user = session.and_then(|session| session.user);
        let nick = match user {
            Some(user) => self.network.users[user].nick.clone(),
            None => session
                .and_then(|session| match &session.registration {
                    Some(registration) => registration.nick.as_deref().map(Arc::from),
                    None => command::bouncer::nick(session.particulars()).cloned(),
                })
                .unwrap_or_else(|| Arc::from("*")),
        };
        let caps = session.map_or(CapSet::EMPTY, |session| session.caps);
        Ctx { conn, user, reply: Reply::new(conn, caps, nick, self.settings.server_name.clone(), self.clock, label) }
    }

    /// Sends what a command answered.
    pub fn finish(&mut self, ctx: Ctx) {
        let conn = ctx.conn;
        let after = ctx.reply.after;
        let Some(session) = self.session_mut(conn) else { return };
        if session.closing {
            return;
        }
        // What was answered before a call took the label along comes with the rest of the answer.
        if let Some(waiting) = session.waiting.as_mut().filter(|waiting| waiting.label.is_some())
            && ctx.reply.has_lost_label()
        {
            waiting.answered = Some(Box::new(ctx.reply));
            return;
        }
        if let Some(bytes) = ctx.reply.finish(|| session.new_batch()) {
            self.act(conn, |slot| NetAction::Send { slot, after, bytes });
        }
    }

    /// Sends what was answered so far and goes on with an empty reply, its label taken along.
    pub fn act(&mut self, conn: ConnId, action: impl FnOnce(u32) -> NetAction) {
        if let Some(actions) = self.out.net.get_mut(usize::from(conn.worker)) {
            actions.push(action(conn.slot));
        }
    }

    /// Ends a connection with `ERROR`, and its user's stay if it was the last.
    pub fn close(&mut self, conn: ConnId, reason: &str) {
        self.close_labelled(conn, reason, reason, None);
    }

    /// As [`Server::close`]; `quit` is what others see, `label` is that of the command that asked.
    pub fn close_labelled(&mut self, conn: ConnId, reason: &str, quit: &str, label: Option<Box<str>>) {
        let read = self.session(conn).map_or(0, |session| session.read_when_ended(self.last_seq));
        self.close_seen(conn, reason, quit, label, read);
    }

    /// As [`Server::close`], for a client that asked for it: it is there, and has read what it was shown.
    pub fn close_by_itself(&mut self, conn: ConnId, reason: &str, label: Option<Box<str>>) {
        let read = self.session(conn).map_or(0, |session| self.read_at_end(session, self.last_seq));
        self.close_seen(conn, reason, reason, label, read);
    }

    fn close_seen(&mut self, conn: ConnId, reason: &str, quit: &str, label: Option<Box<str>>, seen: Seq) {
        let Some(session) = self.session_mut(conn) else { return };
        if session.closing {
            return;
        }
        session.closing = true;
        session.parked.clear();
        session.waiting = None;
        session.bulk = None;
        let host = session.peer.host();
        let mut ctx = self.ctx(conn, label);
        ctx.reply.line_from("", "ERROR", &[], Some(&format!("Closing Link: {host} ({reason})")));
        let batch = || Box::from("0");
        let bytes = ctx.reply.finish(batch).unwrap_or_default();
        self.leave(conn, quit, seen);
        self.act(conn, |slot| NetAction::Close { slot, after: 0, bytes });
    }

    fn closed(&mut self, conn: ConnId, cause: CloseCause) {
        let Some(session) = self.session(conn) else { return };
        if !session.closing {
            let (reason, seen) = match &cause {
                CloseCause::Eof { shown } => {
                    let (before, own) = session.own;
                    let shown = shown.map_or(session.has_read(), |shown| shown.min(self.last_seq));
                    // It may have closed before there was an answer to what it said last.
                    let shown = if shown >= before { shown.max(own) } else { shown };
                    ("Remote host closed the connection", self.read_at_end(session, shown))
                }
                CloseCause::Error(error) => (&**error, session.has_read()),
                CloseCause::SendQueue => ("SendQ exceeded", session.has_read()),
                CloseCause::Flood => ("Excess flood", session.has_read()),
                CloseCause::Asked => ("Closed", self.read_at_end(session, self.last_seq)),
            };
            let reason = reason.to_owned();
            self.leave(conn, &reason, seen);
        }
        self.take_session(conn);
        self.act(conn, |slot| NetAction::Release { slot });
    }

    // Calls.

    /// Asks for slow work on behalf of a command; the connection's later lines wait for it.
    pub fn call(&mut self, ctx: &mut Ctx, call: Call, pending: Pending) {
        let label = ctx.reply.take_label();
        self.call_for(ctx.conn, call, pending, label);
    }

    /// As [`Server::call`], with the label given.
    pub fn call_for(&mut self, conn: ConnId, call: Call, pending: Pending, label: Option<Box<str>>) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let Some(session) = self.session_mut(conn) else { return };
        session.waiting = Some(Box::new(Waiting { serial, pending, label, answered: None }));
        self.out.calls.push((CallId { conn, serial }, call));
    }

    fn returned(&mut self, id: CallId, returned: Returned) {
        self.posted(id.serial, &returned);
        self.pushed(id.serial, &returned);
        let Some(session) = self.session_mut(id.conn) else { return };
        if session.waiting.as_ref().is_none_or(|waiting| waiting.serial != id.serial) {
            return;
        }
        let Some(waiting) = session.waiting.take() else { return };
        let mut ctx = self.ctx(id.conn, waiting.label);
        if let Some(answered) = waiting.answered {
            ctx.reply.go_on_from(*answered);
        }
        command::resume(self, &mut ctx, waiting.pending, returned);
        self.finish(ctx);
        self.run_parked(id.conn);
    }

    /// Has all that is kept of an account written; nobody's lines wait for it.
    pub fn export(&mut self, account: &str) {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.out.calls.push((CallId { conn: ConnId::NONE, serial }, Call::Export { account: account.into() }));
    }

    fn drained(&mut self, conn: ConnId) {
        bulk::next_page(self, conn);
        self.run_parked(conn);
    }

    // Numbers and times.

    /// The number of the next change.
    pub fn number(&mut self) -> Seq {
        self.last_seq += 1;
        self.last_seq
    }

    /// The number of the last change.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// The id of the message with this number.
    pub fn msgid(&self, seq: Seq) -> MsgId {
        MsgId { epoch: self.epoch, seq }
    }

    /// The database's epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Wall time that never goes back, in milliseconds since 1970.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The time of this event.
    pub fn now(&self) -> Now {
        self.now
    }

    /// When this server started, in milliseconds since 1970.
    pub fn started(&self) -> u64 {
        self.started_unix_ms
    }

    // The store.

    /// Gives a record to the store. Nothing that shows it may go out before it is durable.
    pub fn keep(&mut self, seq: Seq, record: Record) {
        self.out.store.push((seq, record));
    }

    /// What output waits for that shows the change `seq`: nothing, where it has kept nothing so far.
    pub fn wait_for(&self, seq: Seq) -> Seq {
        // A number without a record is never reported durable.
        let mut latest = self.out.store.iter().rev().take_while(|(kept, _)| *kept >= seq);
        if self.waits_for_store() && latest.any(|(kept, _)| *kept == seq) { seq } else { 0 }
    }

    /// Whether output that shows what is kept waits for that.
    fn waits_for_store(&self) -> bool {
        self.settings.wait_for_store && !(self.store_failing.is_some() && self.settings.relay_when_store_fails)
    }

    /// Whether what must be kept has to be refused now; the reason.
    pub fn store_refuses(&self) -> bool {
        self.store_failing.is_some() && !self.settings.relay_when_store_fails
    }

    fn store_failed(&mut self, reason: Box<str>) {
        self.log(true, format!("the store cannot write: {reason}"));
        self.tell_opers(&format!("The history store cannot write: {reason}. It tries again by itself."));
        self.store_failing = Some(reason);
    }

    fn store_recovered(&mut self) {
        self.log(false, "the store writes again".into());
        self.tell_opers("The history store writes again.");
        self.store_failing = None;
    }

    pub(in crate::server) fn tell_opers(&mut self, text: &str) {
        let opers: Vec<UserId> =
            self.network.users.iter().filter(|(_, user)| user.is_oper()).map(|(id, _)| id).collect();
        for id in opers {
            // What it tells of may be that the store fails: it waits for nothing.
            self.notice_to_oper(id, &format!("*** {text}"), 0);
        }
    }

    /// A line for the operator's log.
    pub fn log(&mut self, warning: bool, text: String) {
        self.out.log.push(LogLine { warning, text });
    }

    /// A line for the audit log: what an operator did.
    pub fn audit(&mut self, user: UserId, what: &str) {
        let there = &self.network.users[user];
        let name = there.oper.as_ref().map_or("?", |oper| &oper.name);
        let text = format!("{} as operator {name:?}: {what}", there.source);
        let time = self.clock;
        self.out.audit.push(AuditLine { time, text });
    }

    // Sending.

    /// A frame with a line from a user, and its account and bot tags.
    pub fn frame_from(&self, user: UserId, line: Vec<u8>) -> Frame {
        let user = &self.network.users[user];
        let mut frame = Frame::plain(self.clock, Bytes::from(line));
        frame.account = user.account_name.clone();
        frame.bot = user.is_bot();
        frame.oper = user.is_oper();
        frame
    }

    /// Sends a frame to one connection.
    pub fn frame_to(&mut self, conn: ConnId, frame: &Frame) {
        let Some(session) = self.session(conn) else { return };
        let Some(variant) = frame.variant(session.caps) else { return };
        let mut bytes = Vec::with_capacity(256);
        frame.render(variant, OwnTags::default(), &mut bytes);
        let (bytes, after) = (Bytes::from(bytes), frame.after);
        self.act(conn, |slot| NetAction::Send { slot, after, bytes });
    }

    /// Sends a frame to every connection of a user but one.
    pub fn frame_to_user(&mut self, user: UserId, frame: &Frame, except: Option<ConnId>) {
        let sessions = self.network.users[user].sessions.clone();
        for conn in sessions {
            if Some(conn) != except {
                self.frame_to(conn, frame);
            }
        }
    }

    /// Tells a user of something that it did itself: the sender's connection among its answers, and all others.
    pub fn frame_to_self(&mut self, ctx: &mut Ctx, user: UserId, frame: &Frame) {
        ctx.reply.frame(frame);
        self.frame_to_user(user, frame, Some(ctx.conn));
    }

    /// Sends a frame to every connection of a channel's members but one.
    pub fn frame_to_channel(&mut self, channel: ChannelId, frame: Arc<Frame>, except: Option<ConnId>) {
        self.refresh_audience(channel);
        fan_out(&mut self.out, &self.network.channels[channel].audience, &frame, except);
    }

    /// As [`Server::frame_to_channel`], but not to those who are deaf (user mode `D`).
    pub fn frame_to_hearers(&mut self, channel: ChannelId, frame: Arc<Frame>, except: Option<ConnId>) {
        self.refresh_audience(channel);
        fan_out(&mut self.out, &self.network.channels[channel].hearers, &frame, except);
    }

    /// Sends a frame about a member to every connection of those who know that it is there, but one.
    pub fn frame_about(&mut self, channel: ChannelId, member: UserId, frame: Arc<Frame>, except: Option<ConnId>) {
        let there = &self.network.channels[channel];
        if there.unshown.contains(&member) {
            let watchers: Vec<UserId> = there.watchers(member).collect();
            self.frame_to_users(&watchers, frame, except);
        } else {
            self.frame_to_channel(channel, frame, except);
        }
    }

    /// Sends a frame to every connection of these users but one.
    pub fn frame_to_users(&mut self, users: &[UserId], frame: Arc<Frame>, except: Option<ConnId>) {
        let mut slots: Vec<Vec<u32>> = vec![Vec::new(); self.out.net.len()];
        for user in users {
            for conn in &self.network.users[*user].sessions {
                if Some(*conn) != except {
                    slots[usize::from(conn.worker)].push(conn.slot);
                }
            }
        }
        for (worker, slots) in slots.into_iter().enumerate() {
            if !slots.is_empty() {
                self.out.net[worker].push(NetAction::Fanout {
                    frame: frame.clone(),
                    audience: slots.into(),
                    except: NOBODY,
                });
            }
        }
    }

    fn refresh_audience(&mut self, channel: ChannelId) {
        let workers = self.out.net.len();
        let channel = &mut self.network.channels[channel];
        if !channel.audience.is_empty() {
            return;
        }
        let users = &self.network.users;
        let slots_of = |hears: &dyn Fn(UserId) -> bool| -> Vec<Arc<[u32]>> {
            let mut slots: Vec<Vec<u32>> = vec![Vec::new(); workers];
            for conn in channel.members.keys().filter(|user| hears(**user)).flat_map(|user| &users[*user].sessions) {
                slots[usize::from(conn.worker)].push(conn.slot);
            }
            slots.into_iter().map(Arc::from).collect()
        };
        let audience = slots_of(&|_| true);
        let deaf = channel.members.keys().any(|user| users[*user].is_deaf());
        channel.hearers = if deaf { slots_of(&|user| !users[user].is_deaf()) } else { audience.clone() };
        channel.audience = audience;
    }

    /// Forgets what depends on a user's sessions and modes: they have changed.
    pub fn sessions_changed(&mut self, user: UserId) {
        let sessions = self.network.users[user].sessions.clone();
        let certfps = sessions.iter().filter_map(|conn| self.session(*conn)?.peer.certfp.clone()).collect();
        let plain = self.network.users[user].plain_host.clone();
        let hosts = sessions.iter().filter_map(|conn| self.plain_host_of(user, *conn).filter(|host| *host != plain));
        let mut hosts: Vec<_> = hosts.collect();
        hosts.dedup();
        let there = &mut self.network.users[user];
        (there.certfps, there.session_hosts) = (certfps, hosts.into());
        for channel in &there.channels {
            self.network.channels[*channel].forget_audience();
        }
    }

    // Time and the operator.

    fn tick(&mut self) {
        timer::tick(self);
        self.look_after_readings();
        self.look_after_beside();
        if !self.store_refuses() {
            self.expire_bans();
        }
        self.expire_presences();
        self.look_after_accounts();
        self.look_after_pushes();
        self.look_after_retention();
        self.look_after_unused();
        self.throttles.forget(self.now.mono_ms);
        self.end_when_answered();
    }

    fn reload(&mut self, settings: Arc<Settings>) {
        let old = std::mem::replace(&mut self.settings, settings);
        command::oper::reloaded(self);
        self.reconsider_presences(&old);
        if self.settings.confirm_ms < old.confirm_ms {
            self.look_anew();
        }
        for (_, channel) in &mut self.network.channels {
            channel.listeners = None;
        }
        self.reload_retention(old.keep);
        let tokens = Arc::new(registration::isupport(&self.settings, self.network.casemapping));
        let known = std::mem::replace(&mut self.isupport, tokens);
        command::cap::reloaded(self, &old);
        command::info::reloaded(self, &known);
        command::bouncer::reloaded(self, &old);
        command::token::reloaded(self, &old);
        self.log(false, "the configuration was read again".into());
    }

    /// The tokens of 005.
    pub fn isupport(&self) -> Arc<Vec<String>> {
        self.isupport.clone()
    }

    /// Ends the server once this event is done with, to start again or not.
    pub fn end_soon(&mut self, reason: String, restart: bool) {
        self.end_asked = Some((reason, restart));
    }

    /// Checks that ids lead where they should; a fault is described. For tests.
    pub fn check(&self) -> Result<(), String> {
        for (id, user) in &self.network.users {
            if self.network.user_by_nick(&user.nick) != Some(id) {
                return Err(format!("{} is not found by its nick", user.nick));
            }
            for conn in &user.sessions {
                if self.session(*conn).and_then(|session| session.user) != Some(id) {
                    return Err(format!("{} has a session {conn:?} that is not its own", user.nick));
                }
            }
            for channel in &user.channels {
                let there = self.network.channels.get(*channel);
                if !there.is_some_and(|channel| channel.members.contains_key(&id)) {
                    return Err(format!("{} is in a channel that does not know it", user.nick));
                }
            }
            if user.sessions.is_empty() && !user.presence_kept {
                return Err(format!("{} was left behind without a session", user.nick));
            }
        }
        let logged_in = self.network.users.iter().filter_map(|(id, user)| user.account.map(|account| (account, id)));
        if logged_in.collect::<BTreeSet<_>>() != *self.network.logged_in() {
            return Err(format!("these are said to be logged in: {:?}", self.network.logged_in()));
        }
        for (id, channel) in &self.network.channels {
            if channel.members.is_empty() && !channel.is_kept() {
                return Err(format!("{} was left behind empty", channel.name));
            }
            if !channel.held && channel.members.keys().any(|user| self.network.users[*user].presence_kept) {
                return Err(format!("{} is not held, and someone is in it who is always on", channel.name));
            }
            if channel.held && channel.members.is_empty() {
                return Err(format!("{} is held by nobody", channel.name));
            }
            let said = self.network.conversation(channel.folded.as_str());
            if said.is_some_and(|said| said.closed != policy::is_closed(channel)) {
                return Err(format!("{} is noted to be what it is not: {said:?}", channel.name));
            }
            if channel.joined.len() != channel.members.len() {
                return Err(format!("{} does not know when each member joined", channel.name));
            }
            if let Some(gone) = channel.unshown.iter().find(|user| !channel.members.contains_key(*user)) {
                return Err(format!("{} hides user {gone}, who is not in it", channel.name));
            }
            for member in channel.members.keys() {
                if !self.network.users.get(*member).is_some_and(|user| user.channels.contains(&id)) {
                    return Err(format!("{} has a member that does not know it", channel.name));
                }
            }
        }
        if let Some(names) = self.network.lookalikes().names()
            && names != self.network.name_count()
        {
            return Err(format!("{names} names are looked at, and there are {}", self.network.name_count()));
        }
        for session in self.sessions.iter().flatten().flatten() {
            if let Some(user) = session.user
                && !self.network.users.get(user).is_some_and(|user| user.sessions.contains(&session.conn))
            {
                return Err(format!("{:?} has a user that does not know it", session.conn));
            }
        }
        Ok(())
    }
}

/// Sends a frame to the connections of an audience but one.
fn fan_out(out: &mut Actions, audience: &[Arc<[u32]>], frame: &Arc<Frame>, except: Option<ConnId>) {
    for (worker, slots) in audience.iter().enumerate() {
        if slots.is_empty() {
            continue;
        }
        let except = except.filter(|conn| usize::from(conn.worker) == worker).map_or(NOBODY, |conn| conn.slot);
        out.net[worker].push(NetAction::Fanout { frame: frame.clone(), audience: slots.clone(), except });
    }
}
