//! Web push: who is told of what, when, and what becomes of it. What is sealed and sent, and how, is
//! [`crate::push`]'s.
//!
//! A push goes through two queues. In the first, of everything, it waits for its time (so that another device may read
//! it first) and until the message is on disk; whatever makes it pointless meanwhile takes it out: a read marker, a
//! redaction, somebody who is there, a channel that was left. Then each device of the account has it in a queue of its
//! own, of which one push at a time is under way; a push service has only so many under way, too. So nobody waits for
//! the device, or for the push service, of somebody else. All queues are bounded; what finds no room is counted.
//!
//! What waits is not kept: after a crash or a restart, what was said in the seconds before it is pushed no more, nor is
//! what waited for a push service to answer again. It is in history, and unread. Which
//! conversations were pushed is kept, so that a notification goes once the message is read elsewhere, whenever that is.

mod delivery;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, write_line};
use ircv3::time::time_text;
use ircv3::{CapSet, Cidr, multiline};

use self::delivery::{Line, Origin, Pending};
use crate::limits;
use crate::push::endpoint::Endpoint;
use crate::push::vapid::VapidKey;
use crate::server::Server;
use crate::server::change::Change;
use crate::server::event::ConnId;
use crate::server::frame::{Frame, OwnTags};
use crate::server::network::{ChannelId, Identity, Network, UserId};
use crate::server::notify::{Level, Looked, Rules};
use crate::server::policy;
use crate::server::record::{AccountId, MsgId, PushedRow, Record, Seq, SubscriptionRow, VapidRow};

/// How web push is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPush {
    /// Whom the operators of push services may write to, as a URL; empty: nobody.
    pub contact: Arc<str>,
    /// Milliseconds that a push waits for another device to read the message.
    pub delay_ms: u64,
    /// Milliseconds after somebody did something for which they are there.
    pub present_ms: u64,
    /// Seconds without REGISTER after which a device is forgotten.
    pub expiry: u64,
    /// Devices of one account.
    pub devices: usize,
    /// Networks that may be sent to although they are not public, and without TLS.
    pub allowed: Arc<[Cidr]>,
}

impl Default for WebPush {
    fn default() -> WebPush {
        WebPush {
            contact: "https://roost.local".into(),
            delay_ms: 5_000,
            present_ms: 60_000,
            expiry: 30 * 86_400,
            devices: 10,
            allowed: Arc::new([]),
        }
    }
}

/// A device: whose, and its endpoint.
type Device = (AccountId, Box<str>);

/// A message that is pushed, without what depends on who gets it.
#[derive(Clone, Debug)]
struct Content {
    source: Arc<str>,
    command: &'static str,
    params: Vec<Box<str>>,
    text: Option<Box<str>>,
    /// In milliseconds since 1970.
    time: u64,
    msgid: Option<MsgId>,
    account: Option<Arc<str>>,
    /// The account that said it, where that is not shown, too.
    author: Option<Arc<str>>,
    bot: bool,
}

impl Content {
    /// The line for a device with these capabilities, without CR LF, and so short that `room` is enough for it.
    fn line(&self, caps: CapSet, hidden: bool, room: usize) -> Box<str> {
        let text = self.text.as_deref().map(|text| if hidden { HIDDEN } else { text });
        let around = self.rendered(caps, text.map(|_| "")).len();
        let untagged = self.body(text.map(|_| "")).len();
        let room = room.saturating_sub(around).min(MAX_BODY_BYTES.saturating_sub(untagged));
        self.rendered(caps, text.map(|text| cut(text, room)))
    }

    fn body(&self, text: Option<&str>) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        let params: Vec<&str> = self.params.iter().map(|param| &**param).collect();
        write_line(&mut line, &self.source, self.command, &params, text);
        line
    }

    fn rendered(&self, caps: CapSet, text: Option<&str>) -> Box<str> {
        let mut frame = Frame::plain(self.time, Bytes::from(self.body(text)));
        frame.msgid = self.msgid;
        frame.account = self.account.clone();
        frame.bot = self.bot;
        let mut line = Vec::with_capacity(512);
        if let Some(variant) = frame.variant(caps) {
            frame.render(variant, OwnTags::default(), &mut line);
        }
        String::from_utf8_lossy(&line).trim_end_matches("\r\n").into()
    }
}

/// What stands in place of what was said where that is hidden.
const HIDDEN: &str = "(hidden)";

/// Whom a push is for, and what can make it pointless.
#[derive(Clone, Debug)]
struct Held {
    account: AccountId,
    /// The conversation that the read marker is of.
    key: Arc<str>,
    /// In a channel: its serial, of which the user must still be a member.
    channel: Option<u64>,
    /// Who on the network it was said to, told apart from a later one in its place.
    user: Option<(UserId, u64)>,
    /// The message's number.
    seq: Seq,
    /// The number of the last change when it was said: who did something later has seen it.
    said: Seq,
    /// It goes out once everything up to here is durable.
    after: Seq,
    content: Arc<Content>,
    hidden: bool,
    kind: Kind,
}

/// What a push is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Something to read.
    Message,
    /// Something was read, on another device than this one.
    Read(Option<Box<str>>),
    /// Push works: to this device alone.
    Test(Box<str>),
}

/// Someone with devices.
#[derive(Debug, Default)]
struct Person {
    /// When it last did something, on the monotonic clock, and the number of that; `None`: not since the start.
    acted: Option<(u64, Seq)>,
    waiting: usize,
    talks: Vec<Talk>,
}

/// A conversation that was pushed and not read since.
#[derive(Debug)]
struct Talk {
    key: Arc<str>,
    /// `time` of the first message that was pushed since the last that was read, and of the last.
    first: u64,
    newest: u64,
    /// The minute in which pushes are counted, on the monotonic clock.
    since: u64,
    count: u32,
    /// What waits for the minute to be over.
    last: Option<(u64, u64)>,
}

/// Counts, for STATS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pushes that push services took.
    pub delivered: u64,
    /// Pushes that they did not take, at last.
    pub failed: u64,
    /// Pushes for which there was no room.
    pub dropped: u64,
    /// Pushes that were pointless before they went out.
    pub cancelled: u64,
}

/// All pushes.
#[derive(Debug, Default)]
pub struct Pushes {
    keys: Vec<Arc<VapidKey>>,
    current: Option<Arc<VapidKey>>,
    /// By when they are due (on the monotonic clock) and a number.
    waiting: BTreeMap<(u64, u64), Held>,
    number: u64,
    people: BTreeMap<AccountId, Person>,
    lines: BTreeMap<Device, Line>,
    /// Devices that wait for a moment, on the monotonic clock.
    later: BTreeSet<(u64, Device)>,
    origins: BTreeMap<Box<str>, Origin>,
    underway: BTreeMap<u64, (Device, Arc<Endpoint>, Pending)>,
    /// What happened to pushes.
    pub counts: Counts,
    warned: u64,
    warned_at: Option<u64>,
    next_look: u64,
}

impl Pushes {
    /// With these keys, of which `current` is given out.
    pub fn new(rows: &[VapidRow], current: u32) -> Pushes {
        let keys: Vec<Arc<VapidKey>> =
            rows.iter().filter_map(|row| VapidKey::read(row.id, &row.private)).map(Arc::new).collect();
        let current = keys.iter().find(|key| key.id == current).cloned();
        Pushes { keys, current, ..Pushes::default() }
    }

    /// The key that is given out.
    pub fn current(&self) -> Option<&Arc<VapidKey>> {
        self.current.as_ref()
    }

    /// Conversations that were pushed before the start, in a network that has them.
    pub fn remember(&mut self, rows: Vec<PushedRow>, network: &Network) {
        for PushedRow { account, conversation, first } in rows {
            let Some(there) = network.conversation(&conversation) else { continue };
            let talks = &mut self.people.entry(account).or_default().talks;
            if talks.len() < limits::PUSHED_TALKS && !network.subscriptions(account).is_empty() {
                // What was pushed last is not kept; nothing was after what was said last.
                let newest = first.max(there.last_text);
                talks.push(Talk { key: (*conversation).into(), first, newest, since: 0, count: 0, last: None });
            }
        }
        self.people.retain(|_, person| !person.talks.is_empty());
    }

    /// How many wait for their time, for their device, and for their push service.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.waiting.len(), self.lines.values().map(|line| line.queue.len()).sum(), self.underway.len())
    }

    fn take(&mut self, place: (u64, u64)) -> Option<Held> {
        let held = self.waiting.remove(&place)?;
        if let Some(person) = self.people.get_mut(&held.account) {
            person.waiting = person.waiting.saturating_sub(1);
            for talk in person.talks.iter_mut().filter(|talk| talk.last == Some(place)) {
                talk.last = None;
            }
        }
        Some(held)
    }

    /// Takes out what became pointless.
    fn cancel(&mut self, is_pointless: impl Fn(&Held) -> bool) {
        let gone: Vec<(u64, u64)> =
            self.waiting.iter().filter(|(_, held)| is_pointless(held)).map(|(place, _)| *place).collect();
        self.counts.cancelled += gone.len() as u64;
        for place in gone {
            self.take(place);
        }
        for line in self.lines.values_mut() {
            let before = line.queue.len();
            line.queue.retain(|pending| !is_pointless(&pending.held));
            self.counts.cancelled += (before - line.queue.len()) as u64;
        }
        for (_, _, pending) in self.underway.values_mut() {
            pending.over |= is_pointless(&pending.held);
        }
    }

    /// Puts a push where it waits for its time; where that is, if it found room.
    fn hold(&mut self, due: u64, held: Held) -> Option<(u64, u64)> {
        let account = held.account;
        let person = self.people.entry(account).or_default();
        if person.waiting >= limits::PUSHES_WAITING_OF_ONE {
            // What is new is worth more than what is old.
            let oldest = self.waiting.iter().find(|(_, held)| held.account == account).map(|(place, _)| *place);
            self.counts.dropped += 1;
            oldest.and_then(|place| self.take(place));
        }
        if self.waiting.len() >= limits::PUSHES_WAITING {
            self.counts.dropped += 1;
            return None;
        }
        self.people.entry(account).or_default().waiting += 1;
        self.number += 1;
        let place = (due, self.number);
        self.waiting.insert(place, held);
        Some(place)
    }

    /// Forgets a device and what waits for it.
    fn forget(&mut self, account: AccountId, endpoint: &str, is_last: bool) {
        // Where it is in a queue of devices, it is found there to be no more.
        self.lines.remove(&(account, Box::from(endpoint)));
        if is_last {
            self.people.remove(&account);
            self.waiting.retain(|_, held| held.account != account);
        }
    }
}

/// Something that was said, as it is pushed.
pub struct Spoken<'a> {
    /// Who said it; `None`: nobody who is on the network.
    pub by: Option<UserId>,
    /// `PRIVMSG` or `NOTICE`.
    pub command: &'static str,
    /// `nick!user@host`.
    pub source: &'a Arc<str>,
    /// To whom, as it is written.
    pub target: &'a str,
    /// What; a text of several lines is as [`ircv3::multiline`] has it.
    pub text: &'a str,
    /// Its number.
    pub seq: Seq,
    /// How others are told.
    pub frame: &'a Frame,
}

impl Spoken<'_> {
    fn content(&self, network: &Network, text: &str) -> Content {
        Content {
            source: self.source.clone(),
            command: self.command,
            params: vec![self.target.into()],
            text: Some(text.into()),
            time: self.frame.time,
            msgid: self.frame.msgid,
            account: self.frame.account.clone(),
            author: self.by.and_then(|by| network.users[by].account_name.clone()),
            bot: self.frame.bot,
        }
    }
}

/// A text as one line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for (joined, part) in multiline::lines(text) {
        if !joined && !line.is_empty() && !part.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    line
}

/// Whether somebody wants to be told of a text in a channel, by these rules.
fn is_wanted(network: &Network, user: UserId, rules: Rules<'_>, looked: &Looked) -> bool {
    match rules.level() {
        Level::None => false,
        Level::All => true,
        Level::Mentions => is_mentioned(network, user, rules, looked),
    }
}

/// Whether a text has a name of somebody, or a keyword of theirs: the nick, and that under which others knew whoever has no
/// connection any more; the account, and its other nicks.
fn is_mentioned(network: &Network, user: UserId, rules: Rules<'_>, looked: &Looked) -> bool {
    let there = &network.users[user];
    let former = there.former_nick.as_ref().filter(|_| there.sessions.is_empty());
    let names = [Some(&there.nick), former, there.account_name.as_ref()];
    let mut grouped = there.account.into_iter().flat_map(|account| network.grouped(account));
    names.into_iter().flatten().any(|name| looked.mentions(name))
        || grouped.any(|row| looked.mentions(&row.nick))
        || rules.keywords().any(|word| looked.mentions(word))
}

impl Server {
    /// Something was said to somebody in private, and has arrived. `key` is that of their conversation.
    pub fn push_private(&mut self, spoken: &Spoken<'_>, target: UserId, key: &str) {
        let Some(account) = self.pushable(target) else { return };
        if spoken.by.is_some_and(|by| self.is_own(by, target)) || policy::is_ctcp(spoken.text) {
            return;
        }
        let about = spoken.by.map(|by| self.network.identity(by).text()).unwrap_or_default();
        let rules = Rules::of(&self.network, account, &about);
        if rules.level() == Level::None || rules.is_quiet(self.clock()) {
            return;
        }
        let hidden = rules.hides();
        let content = Arc::new(spoken.content(&self.network, &one_line(spoken.text)));
        let held = self.held(account, Some(target), key, spoken.frame.after, content);
        self.hold_push(target, Held { seq: spoken.seq, hidden, ..held });
        self.release();
    }

    /// Something was said in a channel, and is heard by its members, or by these of them.
    pub fn push_channel(&mut self, spoken: &Spoken<'_>, channel: ChannelId, heard_by: Option<&[UserId]>) {
        let Some(listeners) = self.push_listeners(channel).filter(|_| !policy::is_ctcp(spoken.text)) else { return };
        let there = &self.network.channels[channel];
        let (key, serial): (Arc<str>, u64) = (there.folded.as_str().into(), there.serial);
        let text = one_line(spoken.text);
        let looked = Looked::at(&text);
        let mut content = None;
        // One who is there twice is told once.
        let mut told: Vec<AccountId> = Vec::new();
        let by = spoken.by.map(|by| self.network.identity(by).text());
        for listener in listeners.iter().copied() {
            let Some(account) = self.pushable(listener) else { continue };
            let heard = heard_by.is_none_or(|heard| heard.contains(&listener));
            if !heard
                || told.contains(&account)
                || self.network.users[listener].is_deaf()
                || spoken.by.is_some_and(|by| self.is_own(by, listener))
            {
                continue;
            }
            let network = &self.network;
            let rules = Rules::of(network, account, &key);
            let blocked = by.as_ref().is_some_and(|by| Rules::of(network, account, by).is_blocked());
            let wanted = is_wanted(network, listener, rules, &looked);
            if !wanted || blocked || rules.is_quiet(self.clock()) {
                continue;
            }
            let hidden = rules.hides();
            told.push(account);
            let content = content.get_or_insert_with(|| Arc::new(spoken.content(&self.network, &text))).clone();
            let held = self.held(account, Some(listener), &key, spoken.frame.after, content);
            self.hold_push(listener, Held { channel: Some(serial), seq: spoken.seq, hidden, ..held });
        }
        if !told.is_empty() {
            self.release();
        }
    }

    /// Somebody was invited, and was told so.
    pub fn push_invite(&mut self, by: UserId, target: UserId, channel: ChannelId, frame: &Frame) {
        let Some(account) = self.pushable(target).filter(|_| !self.is_own(by, target)) else { return };
        let there = &self.network.channels[channel];
        let rules = Rules::of(&self.network, account, there.folded.as_str());
        let of_source = Rules::of(&self.network, account, &self.network.identity(by).text());
        let unwanted = rules.level() == Level::None || of_source.level() == Level::None;
        if unwanted || rules.is_quiet(self.clock()) {
            return;
        }
        let source = self.network.users[by].source.clone();
        let content = Content {
            source,
            command: "INVITE",
            params: vec![Box::from(&*self.network.users[target].nick), Box::from(&*there.name)],
            text: None,
            time: self.clock(),
            msgid: frame.msgid,
            account: frame.account.clone(),
            author: frame.account.clone(),
            bot: frame.bot,
        };
        let held = self.held(account, Some(target), there.folded.as_str(), frame.after, Arc::new(content));
        self.hold_push(target, held);
        self.release();
    }

    /// A push for an account of what was said to one of its users.
    fn held(&self, account: AccountId, user: Option<UserId>, key: &str, after: Seq, content: Arc<Content>) -> Held {
        Held {
            account,
            key: key.into(),
            channel: None,
            user: user.map(|user| (user, self.network.users[user].serial)),
            seq: 0,
            said: self.last_seq,
            after,
            content,
            hidden: false,
            kind: Kind::Message,
        }
    }

    fn hold_push(&mut self, user: UserId, held: Held) {
        let Some(settings) = &self.settings.webpush else { return };
        // With no connection there is no other device that could read it first.
        let delay = if self.network.users[user].sessions.is_empty() { 0 } else { settings.delay_ms };
        self.pushes.hold(self.now.mono_ms + delay, held);
    }

    /// The account of a user that has devices.
    fn pushable(&self, user: UserId) -> Option<AccountId> {
        self.settings.webpush.as_ref()?;
        let account = self.network.users[user].account?;
        (!self.network.subscriptions(account).is_empty()).then_some(account)
    }

    /// Whether two users are one person.
    fn is_own(&self, by: UserId, user: UserId) -> bool {
        let account = self.network.users[by].account;
        by == user || account.is_some() && account == self.network.users[user].account
    }

    /// The members of a channel whose accounts have devices.
    fn push_listeners(&mut self, channel: ChannelId) -> Option<Arc<[UserId]>> {
        if !self.network.has_subscriptions() {
            return None;
        }
        if let Some(listeners) = &self.network.channels[channel].listeners {
            return Some(listeners.clone()).filter(|listeners| !listeners.is_empty());
        }
        let members = self.network.channels[channel].members.keys().copied();
        let listeners: Arc<[UserId]> = members.filter(|user| self.pushable(*user).is_some()).collect();
        self.network.channels[channel].listeners = Some(listeners.clone());
        Some(listeners).filter(|listeners| !listeners.is_empty())
    }

    /// The devices of an account, its channels or their members have changed: who listens is found anew.
    pub fn listeners_changed(&mut self, account: AccountId) {
        let users: Vec<UserId> = self.network.users_of(account).collect();
        for user in users {
            for channel in &self.network.users[user].channels {
                self.network.channels[*channel].listeners = None;
            }
        }
    }

    /// An account's devices are told that push works, or this one.
    pub fn push_test(&mut self, account: AccountId, endpoint: &str, after: Seq) {
        let content = Content {
            source: self.settings.server_name.clone(),
            command: "NOTE",
            params: vec!["WEBPUSH".into(), "REGISTERED".into()],
            text: Some("Push notifications work".into()),
            time: self.clock(),
            msgid: None,
            account: None,
            author: None,
            bot: false,
        };
        let held = self.held(account, None, "", after, Arc::new(content));
        let held = Held { kind: Kind::Test(endpoint.into()), ..held };
        self.pushes.hold(self.now.mono_ms, held);
        self.release();
    }

    /// Somebody who is logged in did something that a client does not do by itself: what was said to it is seen.
    pub fn note_act(&mut self, user: UserId) {
        let Some(account) = self.pushable(user) else { return };
        self.pushes.people.entry(account).or_default().acted = Some((self.now.mono_ms, self.last_seq + 1));
    }

    /// A read marker of an account was moved by one of its connections: what it covers is pushed no more, and where it
    /// was, the other devices are told to take it back. `target` is how the client calls the conversation.
    pub fn push_read(&mut self, conn: ConnId, account: AccountId, key: &str, target: &str, time: u64, after: Seq) {
        if self.settings.webpush.is_none() || self.network.subscriptions(account).is_empty() {
            return;
        }
        let is_read = |held: &Held| {
            let covered = held.content.time <= time && held.kind == Kind::Message;
            held.account == account && *held.key == *key && covered
        };
        self.pushes.cancel(is_read);
        let session = self.session(conn);
        let own: Option<Box<str>> = session.and_then(|session| session.particulars().endpoint.clone()).or_else(|| {
            let device = session.map(|session| &session.device).filter(|device| !device.is_empty())?;
            let rows = self.network.subscriptions(account);
            rows.iter().find(|row| row.device == *device).map(|row| row.endpoint.clone())
        });
        let person = self.pushes.people.entry(account).or_default();
        person.acted = Some((self.now.mono_ms, self.last_seq));
        let Some(at) = person.talks.iter().position(|talk| *talk.key == *key && talk.first <= time) else { return };
        let rest = (person.talks[at].newest > time).then_some(time + 1);
        match rest {
            Some(first) => person.talks[at].first = first,
            None => drop(person.talks.remove(at)),
        }
        self.keep_talk(account, key, rest);
        let content = Content {
            source: self.settings.server_name.clone(),
            command: "MARKREAD",
            params: vec![target.into(), format!("timestamp={}", time_text(time)).into()],
            text: None,
            time: self.clock(),
            msgid: None,
            account: None,
            author: None,
            bot: false,
        };
        let held = self.held(account, None, key, after, Arc::new(content));
        let held = Held { kind: Kind::Read(own), ..held };
        self.pushes.hold(self.now.mono_ms, held);
        self.release();
    }

    /// Keeps from when on a conversation was pushed and not read; `None`: from no time on.
    fn keep_talk(&mut self, account: AccountId, key: &str, first: Option<u64>) {
        if self.store_refuses() {
            return;
        }
        let (seq, conversation) = (self.last_seq, key.into());
        self.keep(
            seq,
            match first {
                Some(first) => Record::Pushed(PushedRow { account, conversation, first }),
                None => Record::PushedGone(account, conversation),
            },
        );
    }

    /// A channel has another name: what was pushed of it, or waits to be, is of the new one.
    /// `name` is how the new one is written.
    pub fn rename_pushed(&mut self, old: &str, new: &str, name: &str) {
        let mut moved = Vec::new();
        // In a talk of two nobody else has a part.
        let both: Vec<AccountId> = Identity::accounts_in(old).collect();
        let people = &mut self.pushes.people;
        let mut rename = |account: AccountId, person: &mut Person| {
            for talk in person.talks.iter_mut().filter(|talk| *talk.key == *old) {
                talk.key = new.into();
                moved.push((account, talk.first));
            }
        };
        if both.is_empty() {
            people.iter_mut().for_each(|(account, person)| rename(*account, person));
        }
        for account in both {
            people.get_mut(&account).into_iter().for_each(|person| rename(account, person));
        }
        for (account, first) in moved {
            self.keep_talk(account, old, None);
            self.keep_talk(account, new, Some(first));
        }
        let queued = self.pushes.lines.values_mut().flat_map(|line| line.queue.iter_mut());
        let queued = queued.chain(self.pushes.underway.values_mut().map(|(_, _, pending)| pending));
        let all = self.pushes.waiting.values_mut().chain(queued.map(|pending| &mut pending.held));
        let casemapping = self.network.casemapping;
        for held in all.filter(|held| *held.key == *old) {
            held.key = new.into();
            // It is shown in the conversation that it names.
            for param in &mut Arc::make_mut(&mut held.content).params {
                let prefix = param.find('#').filter(|at| *at < 2 && casemapping.same(&param[*at..], old));
                if let Some(at) = prefix {
                    *param = format!("{}{name}", &param[..at]).into();
                }
            }
        }
    }

    /// A conversation was pushed that had nothing unread in it.
    pub(super) fn apply_pushed(&mut self, account: AccountId, key: &str, first: u64) {
        self.keep_talk(account, key, Some(first));
    }

    /// Somebody leaves a channel, or has to: what was said there and still waits is not theirs to see any more.
    pub fn push_left(&mut self, channel: ChannelId, user: UserId) {
        if self.pushable(user).is_some() {
            let serial = self.network.channels[channel].serial;
            let is_there = |(id, _): (UserId, u64)| id == user;
            self.pushes.cancel(|held| held.channel == Some(serial) && held.user.is_some_and(is_there));
        }
    }

    /// A message is no more: where it still waits, it is not pushed.
    pub fn push_redacted(&mut self, seq: Seq) {
        self.pushes.cancel(|held| held.seq == seq);
    }

    /// What was said in a conversation up to a moment is no more: where it still waits, it is not pushed.
    pub fn push_cleared(&mut self, key: &str, until: u64) {
        // An invitation has no number, and stays.
        let is_said = |held: &Held| held.kind == Kind::Message && held.seq > 0;
        let is_gone = |held: &Held| *held.key == *key && is_said(held) && held.content.time <= until;
        self.pushes.cancel(is_gone);
    }

    /// A message reads otherwise now: where it still waits for somebody who would not have been told of that, it is not
    /// pushed.
    pub fn push_edited(&mut self, seq: Seq, text: &str) {
        let text = one_line(text);
        let looked = Looked::at(&text);
        let network = &self.network;
        let is_wanted = |held: &Held| {
            let rules = Rules::of(network, held.account, &held.key);
            match (held.channel, held.user.filter(|(user, serial)| network.is_still(*user, *serial))) {
                (Some(_), Some((listener, _))) => is_wanted(network, listener, rules, &looked),
                _ => true,
            }
        };
        let is_ctcp = policy::is_ctcp(&text);
        self.pushes.cancel(|held| held.seq == seq && seq > 0 && (is_ctcp || !is_wanted(held)));
        let waiting = self.pushes.waiting.values_mut();
        let queued = self.pushes.lines.values_mut().flat_map(|line| line.queue.iter_mut());
        let queued = queued.chain(self.pushes.underway.values_mut().map(|(_, _, pending)| pending));
        for held in waiting.chain(queued.map(|pending| &mut pending.held)).filter(|held| held.seq == seq && seq > 0) {
            Arc::make_mut(&mut held.content).text = Some(text.as_str().into());
        }
    }

    /// An account said all that it ever did, or part of it, and that is no more.
    pub fn push_erased(&mut self, account: &str) {
        self.pushes.cancel(|held| held.content.author.as_deref() == Some(account));
    }

    /// Takes away the devices of an account that are to go.
    pub fn drop_devices(&mut self, seq: Seq, account: AccountId, goes: impl Fn(&SubscriptionRow) -> bool) -> usize {
        let rows = self.network.subscriptions(account).iter().filter(|row| goes(row));
        let endpoints: Vec<Box<str>> = rows.map(|row| row.endpoint.clone()).collect();
        for endpoint in &endpoints {
            self.network.remove_subscription(account, endpoint);
            self.keep(seq, Record::SubscriptionGone(account, endpoint.clone()));
            self.forget_device(account, endpoint);
        }
        endpoints.len()
    }

    /// A device has said once more that it is there: what was refused was its earlier self.
    pub fn device_renewed(&mut self, account: AccountId, endpoint: &str) {
        if let Some(line) = self.pushes.lines.get_mut(&(account, Box::from(endpoint))) {
            line.refused = 0;
        }
    }

    /// A device is no more.
    fn forget_device(&mut self, account: AccountId, endpoint: &str) {
        let is_last = self.network.subscriptions(account).is_empty();
        let talks = self.pushes.people.get(&account).filter(|_| is_last).map(|person| &person.talks);
        let talks: Vec<Arc<str>> = talks.into_iter().flatten().map(|talk| talk.key.clone()).collect();
        for key in talks {
            self.keep_talk(account, &key, None);
        }
        self.pushes.forget(account, endpoint, is_last);
        if is_last {
            self.listeners_changed(account);
        }
    }

    /// Hands to the devices what is due and durable.
    pub(super) fn release(&mut self) {
        let now = self.now.mono_ms;
        if self.pushes.waiting.first_key_value().is_none_or(|((due, _), _)| *due > now) {
            return;
        }
        let durable = self.durable;
        let due = self.pushes.waiting.range(..=(now, u64::MAX)).filter(|(_, held)| held.after <= durable);
        let due: Vec<(u64, u64)> = due.map(|(place, _)| *place).collect();
        for place in due {
            let Some(held) = self.pushes.take(place) else { continue };
            if self.is_pointless(&held) {
                self.pushes.counts.cancelled += 1;
            } else if let Some(later) = self.present_until(&held) {
                self.pushes.hold(later, held);
            } else if held.kind != Kind::Message || self.count_talk(&held) {
                self.give(&held);
            } else {
                self.hold_back(held);
            }
        }
    }

    /// Whether a push whose time has come would tell nobody anything, or what it must not.
    fn is_pointless(&self, held: &Held) -> bool {
        if held.kind != Kind::Message {
            return false;
        }
        let account = held.account;
        // What is past its age is shown to nobody; an invitation is no part of what is kept.
        if self.network.suspension(account).is_some()
            || held.seq > 0 && held.content.time < self.kept_since(&held.key)
            || self.network.marker(account, &held.key).is_some_and(|marker| marker >= held.content.time)
        {
            return true;
        }
        let Some((id, serial)) = held.user else { return false };
        let user = self.network.users.get(id).filter(|user| user.serial == serial && user.account == Some(account));
        match user {
            Some(user) => {
                let channels = user.channels.iter().map(|channel| self.network.channels[*channel].serial);
                let left = held.channel.is_some_and(|channel| !channels.into_iter().any(|serial| serial == channel));
                left || self.acted_here(id).is_some_and(|(_, acted)| acted > held.said)
            }
            // Whoever has left the network has left its channels; what was said in private was said to the account.
            None => held.channel.is_some(),
        }
    }

    /// When somebody last did something who has a connection that is not away, on the monotonic clock, and its number.
    fn acted_here(&self, user: UserId) -> Option<(u64, Seq)> {
        let there = &self.network.users[user];
        let acted = self.pushes.people.get(&there.account?)?.acted?;
        let here = |conn: &ConnId| self.session(*conn).is_some_and(|session| session.away.is_none());
        there.sessions.iter().any(here).then_some(acted)
    }

    /// Until when a push waits, on the monotonic clock, because somebody was there a moment ago who may see the message
    /// yet: if so, they do something.
    fn present_until(&self, held: &Held) -> Option<u64> {
        let (user, serial) = held.user.filter(|_| held.kind == Kind::Message)?;
        self.network.users.get(user).filter(|there| there.serial == serial)?;
        let until = self.acted_here(user)?.0 + self.settings.webpush.as_ref()?.present_ms;
        (until > self.now.mono_ms).then_some(until)
    }

    /// Notes that a conversation is pushed; `false` where it was too often in this minute.
    fn count_talk(&mut self, held: &Held) -> bool {
        let now = self.now.mono_ms;
        let (account, time) = (held.account, held.content.time);
        let talks = &mut self.pushes.people.entry(account).or_default().talks;
        let (mut is_new, mut forgotten) = (false, None);
        if !talks.iter().any(|talk| talk.key == held.key) {
            if talks.len() >= limits::PUSHED_TALKS {
                forgotten = Some(talks.remove(0).key);
            }
            let key = held.key.clone();
            talks.push(Talk { key, first: time, newest: time, since: now, count: 0, last: None });
            is_new = true;
        }
        let Some(talk) = talks.iter_mut().find(|talk| talk.key == held.key) else { return true };
        if now >= talk.since + 60_000 {
            (talk.since, talk.count) = (now, 0);
        }
        let within = talk.count < limits::PUSHES_A_MINUTE;
        if within {
            talk.count += 1;
            talk.newest = talk.newest.max(time);
        }
        if let Some(key) = forgotten {
            self.keep_talk(account, &key, None);
        }
        if is_new {
            self.submit_alone(Change::Pushed { account, conversation: &held.key, first: time });
        }
        within
    }

    /// A conversation was pushed often in this minute: the last of what comes then is pushed when that is over.
    fn hold_back(&mut self, held: Held) {
        let (account, key) = (held.account, held.key.clone());
        let talk = |pushes: &Pushes| {
            let talk = pushes.people.get(&account)?.talks.iter().find(|talk| talk.key == key)?;
            Some((talk.since + 60_000, talk.last))
        };
        let Some((due, earlier)) = talk(&self.pushes) else { return };
        if let Some(earlier) = earlier {
            self.pushes.counts.cancelled += 1;
            self.pushes.take(earlier);
        }
        let place = self.pushes.hold(due, held);
        let talks = self.pushes.people.get_mut(&account).map(|person| &mut person.talks);
        if let Some(talk) = talks.and_then(|talks| talks.iter_mut().find(|talk| talk.key == key)) {
            talk.last = place;
        }
    }

    /// Time has passed.
    pub(super) fn look_after_pushes(&mut self) {
        let now = self.now.mono_ms;
        self.release();
        while let Some((due, _)) = self.pushes.later.first()
            && *due <= now
        {
            let Some((_, device)) = self.pushes.later.pop_first() else { break };
            if let Some(line) = self.pushes.lines.get_mut(&device) {
                line.queued = false;
            }
            self.line_up(device);
        }
        let waiting = self.pushes.origins.iter().filter(|(_, origin)| origin.is_wanted());
        let waiting: Vec<Box<str>> = waiting.map(|(origin, _)| origin.clone()).collect();
        for origin in waiting {
            self.dispatch(&origin);
        }
        let dropped = self.pushes.counts.dropped;
        let long_ago = self.pushes.warned_at.is_none_or(|at| now >= at + limits::PUSH_WARNING_MS);
        if dropped > self.pushes.warned && long_ago {
            let since = dropped - self.pushes.warned;
            (self.pushes.warned, self.pushes.warned_at) = (dropped, Some(now));
            self.log(true, format!("{since} pushes were dropped: too many wait (STATS w)"));
        }
        self.forget_old_devices();
    }

    /// Forgets devices that were not renewed for too long.
    fn forget_old_devices(&mut self) {
        let now = self.now.mono_ms;
        let Some(expiry) = self.settings.webpush.as_ref().map(|settings| settings.expiry) else { return };
        if now < self.pushes.next_look || self.store_refuses() {
            return;
        }
        self.pushes.next_look = now + limits::PUSH_LOOK_MS;
        let clock = self.clock() / 1000;
        let old = self.network.all_subscriptions().filter(|row| row.renewed + expiry <= clock);
        let old: Vec<Device> =
            old.map(|row| (row.account, row.endpoint.clone())).take(limits::EXPIRED_AT_ONCE).collect();
        for device in old {
            self.over(&device, "it was not renewed for too long");
        }
        self.pushes.origins.retain(|_, origin| !origin.is_over(now));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ops::Range;
    use std::sync::Arc;

    use super::{Pushes, WebPush};
    use crate::limits;
    use crate::push::vapid::VapidKey;
    use crate::push::{Outcome, Push};
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{CallId, CloseCause, ConnId, Event, Returned};
    use crate::server::record::{AccountRow, GroupedRow, Record, SubscriptionRow, VapidRow};
    use crate::server::retention::Keep;
    use crate::server::settings::Settings;

    /// Those of RFC 8291, appendix A.
    pub const KEYS: &str = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4;\
        auth=BTBZMqHH6r4Tts7J_aSIgg";

    struct Bed {
        asked: Asked,
        bob: ConnId,
        alice: ConnId,
        /// What was handed over since it was last taken.
        sent: Vec<(CallId, Push)>,
    }

    impl Bed {
        /// Alice, who is away from her one connection and has a device, and Bob, who writes to her.
        fn new() -> Bed {
            let mut asked = Asked::new();
            let webpush = WebPush { delay_ms: 0, present_ms: 0, ..WebPush::default() };
            // Nobody is closed for saying nothing while time leaps.
            let settings = Settings { webpush: Some(webpush), ping_ms: 1 << 40, ..(*asked.server.settings).clone() };
            asked.server.settings = Arc::new(settings);
            let private = VapidKey::generate().unwrap().into();
            asked.server.pushes = Pushes::new(&[VapidRow { id: 1, private }], 1);
            let (alice, bob) = (asked.user("alice"), asked.user("bob"));
            let mut bed = Bed { asked, bob, alice, sent: Vec::new() };
            bed.log_in("alice", 7);
            bed.device(7, "https://one.example.org/alice");
            bed
        }

        fn log_in(&mut self, nick: &str, account: u64) {
            self.asked.account(nick, account);
            let network = &mut self.asked.server.network;
            let row = network.account(account).unwrap().clone();
            network.put_account(AccountRow { always_on: Some(true), ..row });
        }

        fn device(&mut self, account: u64, endpoint: &str) {
            let now = self.asked.now.unix_ms / 1000;
            self.asked.server.network.put_subscription(SubscriptionRow {
                account,
                endpoint: endpoint.into(),
                keys: KEYS.parse().unwrap(),
                vapid: 1,
                device: "".into(),
                app: "".into(),
                by: None,
                caps: "message-tags".into(),
                made: now,
                renewed: now,
                reached: 0,
            });
            self.asked.server.listeners_changed(account);
        }

        /// People with a device each, of a push service that they share: `user<account>`.
        fn people(&mut self, accounts: Range<u64>) {
            for account in accounts {
                let nick = format!("user{account}");
                self.asked.user(&nick);
                self.log_in(&nick, account);
                self.device(account, &format!("https://shared.example.org/{account}"));
            }
        }

        /// From now on a push waits so many milliseconds.
        fn wait_before_pushing(&mut self, delay_ms: u64) {
            let webpush = WebPush { delay_ms, present_ms: 0, ..WebPush::default() };
            let settings = (*self.asked.server.settings).clone();
            self.asked.server.settings = Arc::new(Settings { webpush: Some(webpush), ..settings });
        }

        fn say_to_people(&mut self, accounts: Range<u64>) {
            for account in accounts {
                self.say(&format!("PRIVMSG user{account} :hello"));
            }
        }

        /// Where the pushes of the shared push service are that are under way, of accounts of which this is true.
        fn shared(&self, of: impl Fn(u64) -> bool) -> Vec<usize> {
            let account =
                |push: &Push| push.endpoint.as_str().strip_prefix("https://shared.example.org/")?.parse().ok();
            let there = |push: &Push| account(push).is_some_and(&of);
            self.sent.iter().enumerate().filter(|(_, (_, push))| there(push)).map(|(at, _)| at).collect()
        }

        fn handle(&mut self, event: Event) {
            self.asked.handle(event);
            self.take();
        }

        fn take(&mut self) {
            let pushes = self.asked.calls().iter().filter_map(|(id, call)| match call {
                Call::Push(push) => Some((*id, (**push).clone())),
                _ => None,
            });
            self.sent.extend(pushes);
        }

        /// Bob says something; it is durable at once.
        fn say(&mut self, line: &str) {
            self.asked.ask(self.bob, line);
            self.take();
            self.commit();
        }

        fn commit(&mut self) {
            let last = self.asked.server.last_seq();
            self.handle(Event::Committed(last));
        }

        fn later(&mut self, ms: u64) {
            self.asked.now.mono_ms += ms;
            self.asked.now.unix_ms += ms;
            self.handle(Event::Tick);
        }

        /// What was handed over: endpoint and text.
        fn texts(&mut self) -> Vec<String> {
            self.sent.iter().map(|(_, push)| push.line.rsplit_once(':').unwrap().1.to_owned()).collect()
        }

        fn answer(&mut self, at: usize, outcome: Outcome) {
            let (id, _) = self.sent.remove(at);
            self.handle(Event::Returned(id, Returned::Pushed(outcome)));
        }
    }

    #[test]
    fn a_device_that_registers_again_and_again_is_sent_no_test_each_time() {
        let mut bed = Bed::new();
        let throttle = Some(crate::server::settings::Throttle::default());
        bed.asked.server.settings = Arc::new(Settings { throttle, ..(*bed.asked.server.settings).clone() });
        bed.asked.ask(bed.alice, "CAP REQ soju.im/webpush");
        let most = limits::SUBSCRIPTIONS_PER_HOUR as usize;
        for _ in 0..most + 20 {
            let told = bed.asked.ask(bed.alice, &format!("WEBPUSH REGISTER https://one.example.org/alice {KEYS}"));
            assert!(!told.concat().contains("FAIL"), "{told:?}");
            bed.take();
            bed.commit();
        }
        let (waiting, queued, underway) = bed.asked.server.pushes.sizes();
        let counts = bed.asked.server.pushes.counts;
        let all = (waiting + queued + underway) as u64 + counts.dropped;
        assert!(all > 0 && all <= most as u64, "{waiting} {queued} {underway} {counts:?}");
    }

    fn unreached() -> Outcome {
        Outcome::Unreached("no route".into())
    }

    #[test]
    fn nothing_is_pushed_before_it_is_durable() {
        let mut bed = Bed::new();
        bed.asked.ask(bed.bob, "PRIVMSG alice :hello");
        bed.take();
        assert!(bed.sent.is_empty() && !bed.asked.kept().is_empty());
        bed.later(60_000);
        assert!(bed.sent.is_empty(), "time alone makes nothing durable");
        bed.commit();
        assert_eq!(bed.texts(), ["hello"]);
    }

    #[test]
    fn one_push_of_a_device_is_under_way_at_a_time_and_they_keep_their_order() {
        let mut bed = Bed::new();
        for text in ["one", "two", "three"] {
            bed.say(&format!("PRIVMSG alice :{text}"));
        }
        assert_eq!(bed.texts(), ["one"]);
        bed.answer(0, Outcome::Delivered);
        assert_eq!(bed.texts(), ["two"]);
        // Smaller at once, later later, and nothing comes before it.
        bed.answer(0, Outcome::TooLarge);
        assert!(bed.sent[0].1.short);
        assert_eq!(bed.texts(), ["two"]);
        bed.answer(0, Outcome::Later { seconds: Some(120), reason: "busy".into() });
        bed.later(119_999);
        assert!(bed.sent.is_empty());
        bed.later(1);
        assert_eq!(bed.texts(), ["two"]);
        bed.answer(0, Outcome::Delivered);
        assert_eq!(bed.texts(), ["three"]);
        bed.answer(0, Outcome::Delivered);
        assert!(bed.sent.is_empty());
        assert_eq!(bed.asked.server.pushes.counts.delivered, 3);
        assert_eq!(bed.asked.server.pushes.sizes(), (0, 0, 0));
    }

    #[test]
    fn what_is_past_its_age_is_not_pushed_and_no_push_service_is_asked_to_keep_it_for_longer() {
        let mut bed = Bed::new();
        bed.say("PRIVMSG alice :for good");
        assert_eq!(bed.sent[0].1.manner.ttl, limits::PUSH_TTL);
        bed.answer(0, Outcome::Delivered);
        let keep = Keep { seconds: 60, messages: 0 };
        bed.asked.server.settings = Arc::new(Settings { keep, ..(*bed.asked.server.settings).clone() });
        bed.say("PRIVMSG alice :for a minute");
        assert!((1..=60).contains(&bed.sent[0].1.manner.ttl), "{}", bed.sent[0].1.manner.ttl);
        bed.answer(0, Outcome::Later { seconds: Some(30), reason: "busy".into() });
        bed.later(30_000);
        assert!((1..=30).contains(&bed.sent[0].1.manner.ttl), "{}", bed.sent[0].1.manner.ttl);
        bed.answer(0, Outcome::Later { seconds: Some(45), reason: "busy".into() });
        bed.later(45_000);
        assert!(bed.sent.is_empty(), "{:?}", bed.texts());
        assert_eq!(bed.asked.server.pushes.sizes(), (0, 0, 0));
    }

    #[test]
    fn a_push_service_has_so_many_under_way_and_another_does_not_wait_for_it() {
        let mut bed = Bed::new();
        bed.people(100..120);
        bed.device(7, "https://other.example.org/alice");
        bed.say_to_people(100..120);
        bed.say("PRIVMSG alice :hello");
        let shared = bed.shared(|_| true);
        assert_eq!(shared.len(), limits::PUSHES_PER_ORIGIN);
        assert_eq!(bed.sent.len(), limits::PUSHES_PER_ORIGIN + 2);
        bed.answer(shared[0], Outcome::Delivered);
        assert_eq!(bed.shared(|_| true).len(), limits::PUSHES_PER_ORIGIN);
        while !bed.sent.is_empty() {
            bed.answer(0, Outcome::Delivered);
        }
        assert_eq!(bed.asked.server.pushes.counts.delivered, 22);
        assert!(bed.asked.server.pushes.origins.is_empty());
    }

    #[test]
    fn a_push_service_that_is_not_reached_is_left_alone_ever_longer_and_a_push_is_given_up_at_last() {
        let mut bed = Bed::new();
        bed.device(7, "https://one.example.org/other");
        bed.say("PRIVMSG alice :hello");
        assert_eq!(bed.sent.len(), 2);
        let mut rounds = 0;
        while !bed.sent.is_empty() {
            rounds += 1;
            bed.answer(0, unreached());
            bed.answer(0, unreached());
            assert!(bed.sent.is_empty(), "at once");
            bed.later(limits::PUSH_AGAIN_MS / 2);
            assert!(bed.sent.is_empty(), "too soon");
            for _ in 0..8000 {
                bed.later(250);
                if bed.sent.len() == 2 {
                    break;
                }
            }
        }
        assert_eq!(rounds, limits::PUSH_TRIES);
        let counts = bed.asked.server.pushes.counts;
        assert_eq!((counts.failed, counts.delivered), (2, 0));
        assert_eq!(bed.asked.server.pushes.sizes(), (0, 0, 0));
        // It is back: what is said now goes out.
        bed.say("PRIVMSG alice :again");
        assert!(bed.sent.len() <= 2);
        bed.later(limits::PUSH_UNREACHED_PAUSE_MS);
        assert_eq!(bed.texts(), ["again", "again"]);
    }

    #[test]
    fn the_devices_of_one_account_hang_and_those_of_another_at_their_push_service_wait_for_none_of_them() {
        let mut bed = Bed::new();
        bed.people(100..101);
        for number in 0..10 {
            bed.device(7, &format!("https://shared.example.org/{number}"));
        }
        let alices = |bed: &Bed| bed.shared(|number| number < 10);
        let others = |bed: &Bed| bed.shared(|number| number == 100);
        bed.say("PRIVMSG alice :hello");
        let mut tried = 0;
        // Each hangs, and is tried again after a while; no time passes before the other has its push.
        for round in 0..15 {
            for _ in 0..2 {
                assert!(alices(&bed).len() <= limits::PUSHES_PER_ORIGIN_OF_ONE);
                bed.say_to_people(100..101);
                assert_eq!(others(&bed).len(), 1, "in round {round}");
                bed.answer(others(&bed)[0], Outcome::Delivered);
                if let Some(at) = alices(&bed).first() {
                    tried += 1;
                    bed.answer(*at, unreached());
                }
            }
            while let Some(at) = alices(&bed).first() {
                tried += 1;
                bed.answer(*at, unreached());
            }
            bed.later(61_000);
        }
        assert_eq!(tried, 10 * limits::PUSH_TRIES);
    }

    #[test]
    fn devices_of_many_accounts_hang_and_whoever_is_reached_has_a_place_beside_them() {
        let mut bed = Bed::new();
        bed.people(100..120);
        bed.people(200..201);
        bed.say_to_people(100..120);
        let hanging = |bed: &Bed| bed.shared(|number| number < 200);
        let others = |bed: &Bed| bed.shared(|number| number == 200);
        for _ in 0..20 {
            bed.answer(hanging(&bed)[0], unreached());
        }
        assert!(hanging(&bed).is_empty(), "each was tried once");
        bed.say_to_people(200..201);
        // It may be down altogether: of those that were not reached one is tried, and of the others one.
        bed.later(limits::PUSH_UNREACHED_PAUSE_MS);
        assert_eq!((hanging(&bed).len(), others(&bed).len()), (1, 1));
        // It is not.
        bed.answer(others(&bed)[0], Outcome::Delivered);
        assert_eq!(hanging(&bed).len(), limits::PUSHES_UNSURE);
        bed.say_to_people(200..201);
        assert_eq!(others(&bed).len(), 1);
    }

    #[test]
    fn a_push_service_that_is_down_is_tried_now_and_then_and_all_is_pushed_when_it_is_back() {
        let mut bed = Bed::new();
        bed.people(100..150);
        bed.say_to_people(100..150);
        let fail = |bed: &mut Bed| {
            let mut tried = 0;
            while !bed.sent.is_empty() {
                tried += 1;
                bed.answer(0, unreached());
            }
            tried
        };
        assert_eq!(fail(&mut bed), 50, "each is tried once");
        for _ in 0..10 {
            bed.later(limits::PUSH_UNREACHED_PAUSE_MS);
            assert_eq!(fail(&mut bed), 1, "and now one of them");
        }
        bed.later(limits::PUSH_UNREACHED_PAUSE_MS);
        while !bed.sent.is_empty() {
            assert!(bed.sent.len() <= limits::PUSHES_UNSURE);
            bed.answer(0, Outcome::Delivered);
        }
        assert_eq!(bed.asked.server.pushes.counts.delivered, 50);
        assert!(bed.asked.server.pushes.origins.is_empty());
    }

    #[test]
    fn every_queue_is_bounded_and_what_is_dropped_is_counted_and_told() {
        let mut bed = Bed::new();
        // One is under way for ever, the others of the first minutes wait for the device.
        for number in 0..limits::PUSHES_OF_DEVICE + 3 {
            bed.say(&format!("PRIVMSG alice :{number}"));
            bed.later(60_000 / 5);
        }
        assert_eq!(bed.asked.server.pushes.sizes(), (0, limits::PUSHES_OF_DEVICE, 1));
        assert_eq!(bed.asked.server.pushes.counts.dropped, 2);
        bed.answer(0, Outcome::Delivered);
        assert_eq!(bed.texts(), ["3"], "the oldest went");
        // What waits for its time: of one account so many.
        let webpush = WebPush { delay_ms: 300_000, ..WebPush::default() };
        bed.asked.server.settings =
            Arc::new(Settings { webpush: Some(webpush), ..(*bed.asked.server.settings).clone() });
        for number in 0..limits::PUSHES_WAITING_OF_ONE + 5 {
            bed.say(&format!("PRIVMSG alice :late {number}"));
        }
        assert_eq!(bed.asked.server.pushes.sizes().0, limits::PUSHES_WAITING_OF_ONE);
        assert_eq!(bed.asked.server.pushes.counts.dropped, 2 + 5);
        bed.later(limits::PUSH_WARNING_MS);
        assert_eq!(bed.asked.server.pushes.warned, 7);
    }

    #[test]
    fn of_a_talk_that_goes_on_and_on_the_last_word_of_the_minute_is_pushed() {
        let mut bed = Bed::new();
        for number in 0..30 {
            bed.say(&format!("PRIVMSG alice :{number}"));
            while !bed.sent.is_empty() {
                bed.answer(0, Outcome::Delivered);
            }
        }
        let delivered = |bed: &Bed| bed.asked.server.pushes.counts.delivered;
        assert_eq!(delivered(&bed), u64::from(limits::PUSHES_A_MINUTE));
        assert_eq!(bed.asked.server.pushes.sizes().0, 1);
        bed.later(60_000);
        assert_eq!(bed.texts(), ["29"]);
        // Read meanwhile, there is nothing to say.
        bed.answer(0, Outcome::Delivered);
        for number in 30..60 {
            bed.say(&format!("PRIVMSG alice :{number}"));
            while !bed.sent.is_empty() {
                bed.answer(0, Outcome::Delivered);
            }
        }
        bed.asked.ask(bed.alice, "MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
        bed.commit();
        bed.later(60_000);
        assert!(bed.sent.len() == 1 && bed.sent[0].1.line.contains("MARKREAD"), "{:?}", bed.texts());
    }

    #[test]
    fn a_device_whose_push_service_refuses_everything_is_forgotten() {
        let mut bed = Bed::new();
        for number in 0..limits::PUSH_REFUSALS {
            assert_eq!(bed.asked.server.network.subscriptions(7).len(), 1, "after {number}");
            bed.say(&format!("PRIVMSG alice :{number}"));
            bed.answer(0, Outcome::Refused("it answers 403 Forbidden".into()));
        }
        assert!(bed.asked.server.network.subscriptions(7).is_empty());
        let kept = bed.asked.kept();
        assert!(matches!(kept, [(_, Record::SubscriptionGone(7, _)), (_, Record::PushedGone(7, _))]), "{kept:?}");
        bed.say("PRIVMSG alice :to nobody");
        assert!(bed.sent.is_empty());
    }

    #[test]
    fn who_was_reached_not_long_ago_is_not_forgotten_for_refusals_that_may_be_this_sides_fault() {
        let mut bed = Bed::new();
        bed.say("PRIVMSG alice :hello");
        bed.answer(0, Outcome::Delivered);
        for number in 0..2 * limits::PUSH_REFUSALS {
            bed.later(60_000);
            bed.say(&format!("PRIVMSG alice :{number}"));
            bed.answer(0, Outcome::Refused("it answers 401 Unauthorized".into()));
        }
        assert_eq!(bed.asked.server.network.subscriptions(7).len(), 1);
        bed.later(limits::PUSH_TRUST_SECONDS * 1000);
        bed.say("PRIVMSG alice :still");
        bed.answer(0, Outcome::Refused("it answers 401 Unauthorized".into()));
        assert!(bed.asked.server.network.subscriptions(7).is_empty());
    }

    #[test]
    fn a_second_marker_takes_nothing_back_that_the_first_has_to_say() {
        let mut bed = Bed::new();
        bed.say("PRIVMSG alice :hello");
        bed.answer(0, Outcome::Delivered);
        bed.later(1000);
        bed.asked.ask(bed.alice, "MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
        bed.commit();
        bed.answer(0, Outcome::Later { seconds: None, reason: "busy".into() });
        bed.later(1000);
        bed.asked.ask(bed.alice, "MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
        bed.commit();
        bed.later(limits::PUSH_AGAIN_MS);
        assert!(bed.sent.len() == 1 && bed.sent[0].1.line.contains("MARKREAD bob"), "{:?}", bed.texts());
    }

    #[test]
    fn turned_off_nothing_is_pushed_and_no_device_is_forgotten() {
        let mut bed = Bed::new();
        bed.say("PRIVMSG alice :one");
        bed.say("PRIVMSG alice :two");
        let settings = Settings { webpush: None, ..(*bed.asked.server.settings).clone() };
        bed.handle(Event::Reload(Arc::new(settings)));
        bed.answer(0, Outcome::Delivered);
        bed.say("PRIVMSG alice :three");
        bed.later(60_000);
        assert!(bed.sent.is_empty());
        assert_eq!(bed.asked.server.pushes.sizes(), (0, 0, 0));
        assert_eq!(bed.asked.server.network.subscriptions(7).len(), 1);
    }

    #[test]
    fn a_nick_that_is_grouped_or_was_left_with_the_last_connection_mentions_as_well() {
        let mut bed = Bed::new();
        let row = GroupedRow { folded: "alicia".into(), nick: "Alicia".into(), account: 7, added: 1 };
        bed.asked.server.network.put_grouped(row);
        bed.asked.ask(bed.bob, "JOIN #a");
        bed.asked.ask(bed.alice, "JOIN #a");
        bed.asked.ask(bed.alice, "NICK zoe");
        bed.asked.handle(Event::Closed(bed.alice, CloseCause::Eof { shown: None }));
        bed.take();
        bed.commit();
        assert_eq!(bed.asked.id("alice"), bed.asked.server.network.users_of(7).next().unwrap());
        for (text, is_told) in [("alicia: hi", true), ("zoe?", true), ("alice", true), ("alma", false)] {
            bed.say(&format!("PRIVMSG #a :{text}"));
            assert_eq!(!bed.sent.is_empty(), is_told, "{text}");
            if is_told {
                bed.answer(0, Outcome::Delivered);
            }
        }
    }

    #[test]
    fn who_is_in_a_channel_twice_is_told_once() {
        let mut bed = Bed::new();
        let second = bed.asked.user("queen");
        let id = bed.asked.id("queen");
        let user = &mut bed.asked.server.network.users[id];
        (user.account, user.account_name) = (Some(7), Some("alice".into()));
        for conn in [bed.bob, bed.alice, second] {
            bed.asked.ask(conn, "JOIN #a");
        }
        bed.say("PRIVMSG #a :alice, you are the queen");
        bed.answer(0, Outcome::Delivered);
        assert!(bed.sent.is_empty(), "{:?}", bed.texts());
        // What she says on either is her own.
        bed.asked.ask(second, "PRIVMSG #a :alice here");
        bed.take();
        bed.commit();
        assert!(bed.sent.is_empty());
    }

    #[test]
    fn a_device_that_is_not_renewed_is_forgotten_and_that_it_was_reached_is_kept_now_and_then() {
        let mut bed = Bed::new();
        bed.later(3_700_000);
        for expected in [1, 0] {
            bed.say("PRIVMSG alice :hello");
            bed.answer(0, Outcome::Delivered);
            let kept = bed.asked.kept().iter().filter(|(_, record)| matches!(record, Record::Subscription(_)));
            assert_eq!(kept.count(), expected);
        }
        bed.later(30 * 86_400_000 - 3_700_000 - 120_000);
        assert_eq!(bed.asked.server.network.subscriptions(7).len(), 1);
        bed.later(180_000);
        assert!(bed.asked.server.network.subscriptions(7).is_empty());
        let kept = bed.asked.kept();
        assert!(matches!(kept, [(_, Record::SubscriptionGone(7, _)), (_, Record::PushedGone(7, _))]), "{kept:?}");
    }

    #[test]
    fn what_a_client_sends_by_itself_is_no_sign_of_its_user_and_takes_no_push_away() {
        for (line, is_act) in [
            ("NOTICE bob :\u{1}VERSION a client\u{1}", false),
            ("NOTICE bob :a script's answer", false),
            ("@+typing=active TAGMSG bob", false),
            ("PRIVMSG *playback :PLAY * 0", false),
            ("@+typing=done;+draft/typing=done TAGMSG bob", false),
            ("@+draft/react=x;+reply=y TAGMSG bob", true),
            ("PRIVMSG bob :\u{1}VERSION\u{1}", true),
            ("PRIVMSG bob :\u{1}ACTION waves\u{1}", true),
            ("PRIVMSG bob :here I am", true),
        ] {
            let mut bed = Bed::new();
            bed.asked.ask(bed.alice, "CAP REQ message-tags");
            bed.wait_before_pushing(60_000);
            bed.say("PRIVMSG alice :hello");
            bed.later(1000);
            bed.asked.ask(bed.alice, line);
            bed.take();
            bed.commit();
            bed.later(60_000);
            assert_eq!(bed.sent.is_empty(), is_act, "{line:?}");
        }
    }

    #[test]
    fn what_somebody_says_in_several_lines_takes_a_push_away_that_waits() {
        let mut bed = Bed::new();
        bed.asked.ask(bed.alice, "CAP REQ :batch message-tags draft/multiline");
        bed.wait_before_pushing(60_000);
        bed.say("PRIVMSG alice :hello");
        for line in
            ["BATCH +1 draft/multiline bob", "@batch=1 PRIVMSG bob :one", "@batch=1 PRIVMSG bob :two", "BATCH -1"]
        {
            bed.asked.ask(bed.alice, line);
            bed.take();
        }
        bed.commit();
        bed.later(60_000);
        assert!(bed.sent.is_empty(), "{:?}", bed.texts());
    }

    #[test]
    fn what_waits_to_be_pushed_is_of_the_name_that_its_channel_has_then() {
        let mut bed = Bed::new();
        bed.asked.ask(bed.bob, "JOIN #team");
        bed.asked.ask(bed.alice, "JOIN #team");
        bed.wait_before_pushing(60_000);
        bed.say("PRIVMSG #team :alice, secret");
        bed.asked.ask(bed.bob, "RENAME #team #Private");
        bed.commit();
        bed.later(60_000);
        assert!(bed.sent[0].1.line.ends_with("PRIVMSG #Private :alice, secret"), "{:?}", bed.sent[0].1.line);
    }

    #[test]
    fn what_does_not_mention_somebody_any_more_once_it_is_edited_is_not_pushed_to_them() {
        for (text, is_pushed) in [("carol, look", false), ("alice, look", true)] {
            let mut bed = Bed::new();
            bed.asked.account("bob", 9);
            bed.asked.ask(bed.bob, "CAP REQ :draft/message-edit message-tags batch");
            bed.asked.ask(bed.bob, "JOIN #a");
            bed.asked.ask(bed.alice, "JOIN #a");
            bed.wait_before_pushing(60_000);
            for target in ["#a", "alice"] {
                bed.asked.ask(bed.bob, &format!("PRIVMSG {target} :alice, in haste"));
                let message = bed.asked.kept().iter().find_map(|(seq, record)| match record {
                    Record::Message(row) => Some((*seq, row.clone())),
                    _ => None,
                });
                bed.commit();
                let (seq, row) = message.unwrap();
                let msgid = bed.asked.server.msgid(seq);
                bed.asked.ask(bed.bob, &format!("EDIT {target} {msgid} :{text}"));
                let id = bed.asked.calls()[0].0;
                bed.handle(Event::Returned(id, Returned::Found(Some(row))));
                bed.commit();
            }
            bed.later(60_000);
            while !bed.sent.is_empty() && bed.asked.server.pushes.sizes().1 > 0 {
                bed.answer(0, Outcome::Delivered);
            }
            // What was said to her alone is hers whatever it says.
            let lines: Vec<&str> = bed.sent.iter().map(|(_, push)| &*push.line).collect();
            assert!(lines.len() == 1 && lines[0].ends_with(&format!("PRIVMSG alice :{text}")), "{lines:?}");
            let delivered = bed.asked.server.pushes.counts.delivered;
            assert_eq!(delivered, u64::from(is_pushed), "{text}");
        }
    }

    #[test]
    fn what_is_deleted_or_cleared_before_it_was_pushed_is_not_pushed() {
        let mut bed = Bed::new();
        bed.asked.account("bob", 9);
        bed.asked.ask(bed.bob, "JOIN #a");
        bed.asked.ask(bed.alice, "JOIN #a");
        bed.asked.ask(bed.bob, "CS REGISTER #a");
        bed.asked.set_oper("bob");
        bed.commit();
        bed.asked.ask(bed.bob, "PRIVMSG #a :alice, in haste");
        let message = bed.asked.kept().iter().find_map(|(seq, record)| match record {
            Record::Message(row) => Some((*seq, row.clone())),
            _ => None,
        });
        let (seq, row) = message.unwrap();
        let msgid = bed.asked.server.msgid(seq);
        bed.asked.ask(bed.bob, &format!("HISTSERV DELETE #a {msgid}"));
        let id = bed.asked.calls()[0].0;
        bed.handle(Event::Returned(id, Returned::Found(Some(row))));
        bed.commit();
        assert!(bed.sent.is_empty(), "{:?}", bed.texts());
        bed.asked.ask(bed.bob, "PRIVMSG #a :alice, again");
        bed.asked.confirmed(bed.bob, "CS CLEAR #a HISTORY");
        bed.commit();
        assert!(bed.sent.is_empty(), "{:?}", bed.texts());
        bed.say("PRIVMSG #a :alice, once more");
        assert_eq!(bed.texts(), ["alice, once more"]);
        // An invitation is nothing that was said there.
        bed.answer(0, Outcome::Delivered);
        bed.asked.ask(bed.alice, "PART #a");
        let webpush = WebPush { delay_ms: 60_000, present_ms: 0, ..WebPush::default() };
        bed.asked.server.settings =
            Arc::new(Settings { webpush: Some(webpush), ..(*bed.asked.server.settings).clone() });
        bed.asked.ask(bed.bob, "INVITE alice #a");
        bed.asked.ask(bed.bob, "PRIVMSG #a :nobody");
        bed.asked.confirmed(bed.bob, "CS CLEAR #a HISTORY");
        bed.commit();
        bed.later(60_000);
        assert!(bed.sent.len() == 1 && bed.sent[0].1.line.contains("INVITE alice"), "{:?}", bed.texts());
    }

    #[test]
    fn while_it_is_under_way_a_push_may_become_pointless_and_is_not_tried_again() {
        let mut bed = Bed::new();
        bed.say("PRIVMSG alice :hello");
        let (id, _) = bed.sent.remove(0);
        bed.asked.ask(bed.alice, "MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
        bed.commit();
        // The device has it, or will: it is told that it was read.
        assert!(bed.sent.is_empty(), "behind the one that is under way");
        bed.handle(Event::Returned(id, Returned::Pushed(unreached())));
        bed.later(limits::PUSH_AGAIN_MS * 2);
        assert_eq!(bed.sent.len(), 1);
        assert!(bed.sent[0].1.line.contains("MARKREAD bob"), "{:?}", bed.sent[0].1.line);
    }
}
