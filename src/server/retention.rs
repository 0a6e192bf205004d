//! How long what was said is kept: what a conversation keeps, which moment that makes, and the rounds over all
//! conversations in which the store is asked to delete what is past its time.
//!
//! What is past its age is shown to nobody from that moment on, whenever it is deleted. Whatever is asked of the store
//! here need not last: the next round asks again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{
    CLOCK_NOTE_MS, COUNT_FLOOR, EXPIRIES_AT_ONCE, EXPIRY_LOOKS, EXPIRY_ROUND_MS, LEAP_BELIEVED_MS, LEAP_MS,
};
use crate::server::Server;
use crate::server::ban::{duration, spoken};
use crate::server::change::Change;
use crate::server::event::Now;
use crate::server::network::{ChannelId, Identity, UserId};
use crate::server::record::{ConversationId, Expiry, Record, Seq, Snapshot};
use crate::server::setting::{Cutoff, SEES_ALL};

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// How much of a conversation is kept, at most. 0 is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// For so many seconds.
    pub seconds: u32,
    /// The newest so many messages. A tenth more, or [`COUNT_FLOOR`], may be there until the next look.
    pub messages: u32,
}

impl Keep {
    /// What both allow.
    pub fn and(self, other: Keep) -> Keep {
        let less = |a: u32, b: u32| match (a, b) {
            (0, n) | (n, 0) => n,
            (a, b) => a.min(b),
        };
        Keep { seconds: less(self.seconds, other.seconds), messages: less(self.messages, other.messages) }
    }

    /// In words, after "kept".
    pub fn spoken(self) -> String {
        let time = format!("for {}", spoken(self.seconds.into()));
        let messages = format!("only while among the newest {} messages", self.messages);
        match (self.seconds, self.messages) {
            (0, 0) => "for good".to_owned(),
            (_, 0) => time,
            (0, _) => messages,
            _ => format!("{time}, and {messages}"),
        }
    }
}

/// For how many seconds `30d` or `1h30m` is, where that is a minute or more.
pub fn kept_for(text: &str) -> Option<u32> {
    duration(text).and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds >= 60)
}

/// The time by which messages grow old: the wall clock's, but for a leap of it, which is believed only after a day. So
/// a clock that is years ahead by mistake deletes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionClock {
    /// What time it is, in milliseconds since 1970; never goes back.
    believed: u64,
    /// When the wall clock leapt, by its own time.
    doubted: Option<u64>,
    last: Now,
}

impl RetentionClock {
    /// As it was noted, or where nothing was noted, from when something was last kept.
    fn new(noted: Option<&str>, last_time: u64, now: Now) -> RetentionClock {
        let mut words = noted.unwrap_or("").split(' ').map(str::parse::<u64>);
        let believed = match words.next() {
            Some(Ok(noted)) => noted,
            _ if last_time == 0 => now.unix_ms,
            _ => last_time.min(now.unix_ms),
        };
        let doubted = words.next().and_then(Result::ok);
        let mut clock = RetentionClock { believed, doubted, last: now };
        clock.advance(now);
        clock
    }

    /// Takes the time of an event; whether the clock has leapt just now.
    fn advance(&mut self, now: Now) -> bool {
        let elapsed = now.mono_ms.saturating_sub(self.last.mono_ms);
        let leapt = now.unix_ms > self.last.unix_ms + elapsed + LEAP_MS;
        self.last = now;
        if now.unix_ms <= self.believed + elapsed + LEAP_MS {
            self.believed = self.believed.max(now.unix_ms);
            self.doubted = None;
            return false;
        }
        self.believed += elapsed;
        match self.doubted {
            Some(since) if !leapt && since <= now.unix_ms => {
                if now.unix_ms - since >= LEAP_BELIEVED_MS {
                    self.believed = now.unix_ms;
                    self.doubted = None;
                }
                false
            }
            _ => {
                self.doubted = Some(now.unix_ms);
                true
            }
        }
    }

    fn note(&self) -> Box<str> {
        match self.doubted {
            Some(since) => format!("{} {since}", self.believed).into(),
            None => self.believed.to_string().into(),
        }
    }
}

/// Where the rounds are.
#[derive(Debug)]
pub struct Retention {
    clock: RetentionClock,
    /// Whether it is to be told that the clock was ahead at the start.
    leapt_before: bool,
    /// The moment before which nothing is shown of any conversation: it was past its age by what the configuration said then,
    /// which keeps more now.
    floor: u64,
    /// That moment, and for how many seconds the configuration keeps things, as is noted.
    noted: (u64, u32),
    /// When it is to be noted what time it is, on the monotonic clock.
    next_note: u64,
    /// The conversation that was looked at last.
    cursor: ConversationId,
    /// When the next round begins, on the monotonic clock.
    next_round: u64,
    /// Whether the next one begins as soon as this one ends.
    again: bool,
    /// Conversations that the store is looking at.
    asked: Vec<ConversationId>,
    /// Conversations with so many messages more that they are looked at before their turn, the one that was so first in
    /// front.
    due: VecDeque<Arc<str>>,
    /// Rows that went in this round.
    gone: u64,
    /// Rows that went since the start.
    gone_in_all: u64,
}

impl Retention {
    /// What is known at the start.
    pub fn new(snapshot: &Snapshot, last_time: u64, now: Now, keep: Keep) -> Retention {
        let noted = |key| {
            let row = snapshot.settings.iter().find(|row| &*row.owner == SERVER && &*row.key == key);
            row.and_then(|row| row.value.as_deref())
        };
        let clock = RetentionClock::new(noted(CLOCK), last_time, now);
        let kept = noted(KEPT).and_then(|kept| kept.split_once(' '));
        let (floor, seconds) = kept.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))).unwrap_or_default();
        let mut retention = Retention {
            leapt_before: clock.doubted.is_some(),
            clock,
            floor,
            noted: (floor, seconds),
            next_note: now.mono_ms + if clock.doubted.is_some() { 0 } else { CLOCK_NOTE_MS },
            cursor: 0,
            next_round: now.mono_ms,
            again: false,
            asked: Vec::new(),
            due: VecDeque::new(),
            gone: 0,
            gone_in_all: 0,
        };
        retention.keep_gone(seconds, keep.seconds);
        retention
    }

    /// The configuration keeps things for another time: what was past its age before stays gone.
    fn keep_gone(&mut self, before: u32, now: u32) {
        if before > 0 && (now == 0 || now > before) {
            self.floor = self.floor.max(self.clock.believed.saturating_sub(u64::from(before) * 1000));
        }
    }
}

/// The key of a channel's or an account's setting for how many seconds things are kept.
pub const AGE: &str = "keep-seconds";
/// The owner of settings that is the server itself.
pub const SERVER: &str = "*";
/// The key of what time it is.
const CLOCK: &str = "clock";
/// The key of what [`Retention::noted`] is.
const KEPT: &str = "kept";

impl Server {
    /// The time by which things grow old, in milliseconds since 1970.
    pub fn aging_clock(&self) -> u64 {
        self.retention.clock.believed
    }

    /// What is kept of the conversation with this key.
    pub fn keep_of(&self, key: &str) -> Keep {
        let keep = self.settings.keep;
        if key.starts_with('#') {
            let channel = self.network.channel_by_folded(key);
            return channel.map_or(keep, |id| keep.and(self.network.channels[id].settings.keep));
        }
        Identity::accounts_in(key).fold(keep, |keep, account| keep.and(self.network.account_settings(account).keep))
    }

    /// The moment before which nothing of a conversation is shown, in milliseconds since 1970: what is deleted, and what
    /// nobody who could read it is left to read.
    pub fn kept_since(&self, key: &str) -> u64 {
        self.deleted_before(key).max(self.network.conversation(key).map_or(0, |there| there.since))
    }

    /// The moment before which everything of a conversation is deleted.
    fn deleted_before(&self, key: &str) -> u64 {
        let keep = self.keep_of(key);
        let aged = match keep.seconds {
            0 => 0,
            seconds => self.aging_clock().saturating_sub(u64::from(seconds) * 1000),
        };
        let channel = self.network.channel_by_folded(key);
        let own = match channel {
            Some(id) => self.network.channels[id].settings.cleared,
            // What nobody of two is shown any more nobody ever is.
            None if !key.starts_with('#') => self.network.conversation(key).map_or(0, |there| there.since),
            None => 0,
        };
        aged.max(own).max(self.retention.floor)
    }

    /// The moment before which a user is shown nothing of a channel that it is in.
    pub fn readable_since(&self, id: ChannelId, user: UserId) -> u64 {
        let channel = &self.network.channels[id];
        let since = self.kept_since(channel.folded.as_str());
        let account = self.network.users.get(user).and_then(|user| user.account);
        if channel.standing(account).is_some_and(|rank| rank >= SEES_ALL) {
            return since;
        }
        let joined = || channel.joined.get(&user).copied().unwrap_or(u64::MAX);
        since.max(match channel.settings.cutoff {
            Cutoff::None => 0,
            Cutoff::Join => joined(),
            Cutoff::Registration => {
                account.and_then(|id| self.network.account(id)).map_or_else(joined, |row| row.registered)
            }
        })
    }

    /// Keeps what has become of what was said in a channel; what output that shows the change waits for.
    pub fn keep_conversation(&mut self, channel: ChannelId, seq: Seq, record: Option<Record>) -> Seq {
        let Some(record) = record else { return 0 };
        self.keep(seq, record);
        let after = self.wait_for(seq);
        let there = &mut self.network.channels[channel];
        there.changed = there.changed.max(after);
        after
    }

    /// A channel is registered no longer, so that its own choice of who reads how much of it ends: whoever could not read
    /// what was said until now shall not begin to. Whether nobody at all reads it any more.
    pub fn end_own_retention(&mut self, channel: ChannelId, seq: Seq) -> bool {
        let there = &self.network.channels[channel];
        let key = there.folded.clone();
        let is_cut = there.settings.cutoff != Cutoff::None || !there.settings.history;
        let has_own = there.settings.keep != Keep::default() || there.settings.cleared > 0;
        let last = self.network.conversation(key.as_str()).map_or(0, |there| there.last_time);
        let since = match (is_cut, has_own) {
            (true, _) => last + 1,
            (_, true) => self.kept_since(key.as_str()).min(last + 1),
            _ => 0,
        };
        let record = self.network.read_from(key.as_str(), since);
        self.keep_conversation(channel, seq, record);
        is_cut && last > 0
    }

    /// Time has come to an event: see [`RetentionClock`].
    pub(super) fn advance_aging(&mut self) {
        let leapt_before = std::mem::take(&mut self.retention.leapt_before);
        if self.retention.clock.advance(self.now) || leapt_before {
            let ahead = self.now.unix_ms.saturating_sub(self.retention.clock.believed) / 1000;
            let how =
                if leapt_before { "since Roost was last running the clock went on" } else { "the clock went ahead" };
            let text = format!(
                "{how} by {}: what that makes old is not deleted for a day, in which it can be set right",
                spoken(ahead)
            );
            self.tell_opers(&text);
            self.log(true, text);
            self.retention.next_note = self.now.mono_ms;
        }
    }

    /// Asks the store to look at some conversations for what is past its time.
    pub(super) fn look_after_retention(&mut self) {
        let now = self.now.mono_ms;
        if now >= self.retention.next_note && !self.store_refuses() {
            self.retention.next_note = now + CLOCK_NOTE_MS;
            let note = self.retention.clock.note();
            self.submit_alone(Change::Noted { key: CLOCK, value: &note });
        }
        let kept = (self.retention.floor, self.settings.keep.seconds);
        if kept != self.retention.noted && !self.store_refuses() {
            self.retention.noted = kept;
            self.submit_alone(Change::Noted { key: KEPT, value: &format!("{} {}", kept.0, kept.1) });
        }
        if now < self.retention.next_round {
            return;
        }
        for _ in 0..EXPIRY_LOOKS {
            if self.retention.asked.len() >= EXPIRIES_AT_ONCE {
                return;
            }
            let Some((conversation, key)) = self.network.conversation_after(self.retention.cursor) else {
                self.retention.cursor = 0;
                let again = std::mem::take(&mut self.retention.again);
                self.retention.next_round = if again { now } else { now + EXPIRY_ROUND_MS };
                if self.retention.gone > 0 {
                    let text =
                        format!("{} messages and events that were past their time are deleted", self.retention.gone);
                    self.log(false, text);
                    self.retention.gone = 0;
                }
                return;
            };
            self.retention.cursor = conversation;
            self.look_at(conversation, &key);
        }
    }

    fn look_at(&mut self, conversation: ConversationId, key: &Arc<str>) {
        let keep = self.keep_of(key);
        let before = self.deleted_before(key);
        // A walk over all that is kept is worth it once there is a tenth more.
        let is_due = |fresh: u32| keep.messages > 0 && fresh >= (keep.messages / 10).max(1);
        let most = self.network.take_fresh(key, is_due).then_some(keep.messages);
        if before == 0 && most.is_none() {
            return;
        }
        self.retention.asked.push(conversation);
        let epoch = self.epoch();
        self.out.expire.push(Expiry { conversation, before, most, epoch });
    }

    /// Asks the store at once to look at a channel's conversation for what is past its time.
    pub fn delete_overdue_of(&mut self, channel: ChannelId) {
        let key: Arc<str> = self.network.channels[channel].folded.as_str().into();
        self.delete_overdue(&key);
    }

    /// The same, of any conversation.
    pub fn delete_overdue(&mut self, key: &Arc<str>) {
        if let Some(conversation) = self.network.conversation(key) {
            self.look_at(conversation.id, key);
        }
    }

    /// How many rows were deleted since the start for being past their time.
    pub fn deleted_since_start(&self) -> u64 {
        self.retention.gone_in_all
    }

    /// The store has deleted what of a conversation was past its time.
    pub(super) fn expired(&mut self, conversation: ConversationId, rows: u64) {
        if let Some(place) = self.retention.asked.iter().position(|asked| *asked == conversation) {
            self.retention.asked.remove(place);
        }
        self.retention.gone += rows;
        self.retention.gone_in_all += rows;
        self.look_at_due();
    }

    /// One more message was kept, which is so many since they were counted.
    pub(super) fn note_fresh(&mut self, key: &str, fresh: u32) {
        // It is a tenth more at one of these, each time once.
        if !fresh.is_multiple_of(COUNT_FLOOR) {
            return;
        }
        let most = self.keep_of(key).messages;
        if most > 0 && fresh == (most / 10).next_multiple_of(COUNT_FLOOR).max(COUNT_FLOOR) {
            self.retention.due.push_back(key.into());
            self.look_at_due();
        }
    }

    /// Asks the store to look at those that are not to wait for their turn, as far as it has looked at what it was asked.
    fn look_at_due(&mut self) {
        while self.retention.asked.len() < EXPIRIES_AT_ONCE {
            let Retention { due, asked, .. } = &self.retention;
            let is_free =
                |key: &Arc<str>| self.network.conversation(key).is_none_or(|there| !asked.contains(&there.id));
            let Some(key) = due.iter().position(is_free).and_then(|place| self.retention.due.remove(place)) else {
                return;
            };
            self.delete_overdue(&key);
        }
    }

    /// The moment before which everything of a conversation is past its age, by what holds until now: it is gone, whatever is
    /// kept from now on, and whether the store has come to it or not. `None` where nothing is.
    pub fn gone_before(&self, key: &str) -> Option<u64> {
        let last = self.network.conversation(key).map_or(0, |there| there.last_time);
        (self.keep_of(key).seconds > 0).then(|| self.deleted_before(key).min(last + 1))
    }

    /// The configuration was read again, and what it kept before was this.
    pub(super) fn reload_retention(&mut self, before: Keep) {
        if before != self.settings.keep {
            self.retention.keep_gone(before.seconds, self.settings.keep.seconds);
            self.network.forget_counts();
            self.renew_retention();
        }
    }

    /// Looks at all conversations anew, for what is kept of one has changed. A round that is under way is ended first:
    /// however often something changes, each conversation has its turn.
    pub fn renew_retention(&mut self) {
        self.retention.again = self.retention.cursor > 0;
        self.retention.next_round = self.now.mono_ms;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{DAY_MS, KEPT, Keep, RetentionClock, SERVER, kept_for};
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::{Asked, always_on};
    use crate::server::event::{ConnId, Event, Now, Returned};
    use crate::server::record::{ConversationRow, HistoryPage, Record, SettingRow, Snapshot};
    use crate::server::settings::Settings;

    #[test]
    fn the_less_of_two_is_kept() {
        let keep = |days, messages| Keep { seconds: days * DAY, messages };
        assert_eq!(keep(0, 5).and(keep(3, 0)), keep(3, 5));
        assert_eq!(keep(7, 5).and(keep(3, 9)), keep(3, 5));
        assert_eq!(keep(0, 0).and(keep(0, 0)), keep(0, 0));
        assert_eq!(Keep { seconds: 5400, messages: 0 }.spoken(), "for 1 hour 30 minutes");
        for (text, seconds) in
            [("90d", Some(90 * DAY)), ("1h30m", Some(5400)), ("1m", Some(60)), ("59s", None), ("90", None)]
        {
            assert_eq!(kept_for(text), seconds, "{text}");
        }
        assert_eq!(keep(0, 0).spoken(), "for good");
        assert_eq!(keep(1, 10).spoken(), "for 1 day, and only while among the newest 10 messages");
    }

    const START: u64 = 1_700_000_000_000;
    /// Seconds of a day.
    const DAY: u32 = 86_400;

    fn at(wall: u64, mono: u64) -> Now {
        Now { unix_ms: wall, mono_ms: mono }
    }

    #[test]
    fn a_clock_that_leaps_is_believed_after_a_day_and_one_that_is_set_right_deletes_nothing() {
        let mut clock = RetentionClock::new(None, 0, at(START, 0));
        assert_eq!(clock.believed, START);
        assert!(!clock.advance(at(START + 1000, 1000)));
        assert_eq!(clock.believed, START + 1000);
        // Ten years ahead: it goes on from where it was.
        let far = START + 3650 * DAY_MS;
        assert!(clock.advance(at(far, 2000)));
        assert_eq!(clock.believed, START + 2000);
        assert!(!clock.advance(at(far + 5000, 7000)), "it is said once");
        assert_eq!(clock.believed, START + 7000);
        // A start in between does not make it right.
        let mut again = RetentionClock::new(Some(&clock.note()), far, at(far + 9000, 50));
        assert_eq!(again.believed, START + 7000);
        assert!(!again.advance(at(far + DAY_MS / 2, DAY_MS / 2)));
        // Set right: nothing was lost.
        let mut right = again;
        assert!(!right.advance(at(START + DAY_MS / 2 + 8000, DAY_MS / 2 + 1)));
        assert_eq!((right.believed, right.doubted), (START + DAY_MS / 2 + 8000, None));
        // Left as it is: after a day it is believed.
        assert!(!again.advance(at(far + DAY_MS + 10, DAY_MS)));
        assert_eq!((again.believed, again.doubted), (far + DAY_MS + 10, None));
        // It leaps once more meanwhile: another day.
        let mut twice = RetentionClock::new(None, 0, at(START, 0));
        assert!(twice.advance(at(far, 10)));
        assert!(twice.advance(at(2 * far, 20)));
        assert_eq!(twice.believed, START + 20);
        // Going back, it stands still.
        let mut back = RetentionClock::new(None, 0, at(START, 0));
        assert!(!back.advance(at(START - DAY_MS, 1000)));
        assert_eq!(back.believed, START);
    }

    #[test]
    fn what_is_past_its_age_is_shown_to_nobody_and_the_store_is_asked_to_delete_it() {
        let mut asked = Asked::new();
        let settings = Settings {
            keep: Keep { seconds: 2 * DAY, messages: 0 },
            ping_ms: 1 << 40,
            ..(*asked.server.settings).clone()
        };
        asked.handle(Event::Reload(Arc::new(settings)));
        let alice = asked.user_with("alice", "draft/chathistory batch");
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "PRIVMSG #a :text");
        let first = asked.now.unix_ms;
        let since = |asked: &mut Asked| {
            asked.ask(alice, "CHATHISTORY LATEST #a * 10");
            let [(id, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
            let (id, since) = (*id, query.since);
            asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
            since
        };
        assert_eq!(since(&mut asked), first - 2 * DAY_MS);
        // Ten years ahead by mistake: nothing is older than before.
        asked.now.mono_ms += 1000;
        asked.now.unix_ms += 3650 * DAY_MS;
        asked.handle(Event::Tick);
        assert_eq!(
            asked.expiries().iter().map(|expiry| expiry.before).collect::<Vec<_>>(),
            [first + 1000 - 2 * DAY_MS]
        );
        assert_eq!(since(&mut asked), first + 1000 - 2 * DAY_MS);
        asked.handle(Event::Expired { conversation: 1, rows: 0 });
        asked.now.unix_ms -= 3650 * DAY_MS;
        // Three days go by.
        for _ in 0..72 {
            asked.now.mono_ms += 3_600_000;
            asked.now.unix_ms += 3_600_000;
            asked.handle(Event::Tick);
            asked.handle(Event::Expired { conversation: 1, rows: 1 });
        }
        assert!(since(&mut asked) > first + DAY_MS / 2);
        let targets = "CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2099-01-01T00:00:00.000Z 9";
        assert!(!asked.ask(alice, targets).concat().contains("#a"));
        asked.now.mono_ms += 3_600_000;
        asked.now.unix_ms += 3_600_000;
        asked.handle(Event::Tick);
        assert_eq!(asked.expiries().len(), 1);
        // A private conversation whose one side keeps less.
        assert_eq!(asked.server.keep_of("$1 $2"), Keep { seconds: 2 * DAY, messages: 0 });
        asked.server.network.account_settings_mut(2).keep = Keep { seconds: DAY, messages: 7 };
        assert_eq!(asked.server.keep_of("$1 $2"), Keep { seconds: DAY, messages: 7 });
        assert_eq!(asked.server.keep_of("$1 ~bob"), Keep { seconds: 2 * DAY, messages: 0 });
    }

    #[test]
    fn what_is_past_its_age_stays_gone_when_more_is_kept_from_then_on() {
        for by in ["channel", "account", "server", "restart"] {
            let mut asked = Asked::new();
            let (alice, bob) = (asked.user_with("alice", CAPS), asked.user_with("bob", CAPS));
            asked.account("alice", 1);
            let reload = |asked: &mut Asked, seconds| {
                let keep = Keep { seconds, messages: 0 };
                let settings = Settings { keep, ping_ms: 1 << 40, ..(*asked.server.settings).clone() };
                asked.handle(Event::Reload(Arc::new(settings)));
            };
            reload(&mut asked, 0);
            asked.ask(alice, "JOIN #a");
            asked.ask(alice, "CS REGISTER #a");
            asked.ask(alice, "PRIVMSG #a :text");
            asked.ask(bob, "PRIVMSG alice :text");
            match by {
                "channel" => drop(asked.ask(alice, "CS SET #a HISTORY-RETENTION 1m")),
                "account" => drop(asked.ask(alice, "NS SET HISTORY-RETENTION 1m")),
                _ => reload(&mut asked, 60),
            }
            let key = if by == "account" { "$1 ~bob" } else { "#a" };
            asked.now.mono_ms += 3_600_000;
            asked.now.unix_ms += 3_600_000;
            asked.handle(Event::Tick);
            let before = asked.server.kept_since(key);
            assert!(before >= asked.now.unix_ms - 60_000, "{by}");
            match by {
                "channel" => drop(asked.ask(alice, "CS SET #a HISTORY-RETENTION DEFAULT")),
                "account" => drop(asked.ask(alice, "NS SET HISTORY-RETENTION DEFAULT")),
                "server" => reload(&mut asked, 0),
                _ => {
                    let (snapshot, clock) = (Snapshot::default(), asked.server.retention.clock);
                    let row = SettingRow {
                        owner: SERVER.into(),
                        key: KEPT.into(),
                        value: Some(format!("{} 60", before - 1).into()),
                    };
                    let snapshot = Snapshot { settings: vec![row], ..snapshot };
                    let keep = Keep { seconds: DAY, messages: 0 };
                    let retention = super::Retention::new(&snapshot, clock.believed, asked.now, keep);
                    assert_eq!(retention.floor, clock.believed - 60_000);
                    continue;
                }
            }
            // All that there was is from before.
            let last = asked.server.network.conversation(key).map_or(u64::MAX, |there| there.last_time);
            assert!(asked.server.kept_since(key) > last, "{by}: {} {last}", asked.server.kept_since(key));
            // Nor does it stay in the database, whatever becomes of what the store was asked before.
            asked.server.renew_retention();
            asked.handle(Event::Tick);
            assert!(asked.expiries().iter().any(|expiry| expiry.before > last), "{by}: {:?}", asked.expiries());
            if by == "server" {
                let noted = |record: &Record| matches!(record, Record::Setting(row) if &*row.key == KEPT);
                assert!(asked.kept().iter().any(|(_, record)| noted(record)), "it is known after a restart");
            }
        }
    }

    #[test]
    fn messages_are_counted_once_there_are_a_tenth_more() {
        let mut asked = Asked::new();
        let settings =
            Settings { keep: Keep { seconds: 0, messages: 20 }, ping_ms: 1 << 40, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a");
        let mut counted = Vec::new();
        for round in 0..6 {
            asked.ask(alice, "PRIVMSG #a :text");
            asked.now.mono_ms += 700_000;
            asked.now.unix_ms += 700_000;
            asked.handle(Event::Tick);
            if let [expiry] = asked.expiries() {
                assert_eq!((expiry.before, expiry.most), (0, Some(20)));
                counted.push(round);
                asked.handle(Event::Expired { conversation: 1, rows: 0 });
            }
            // The end of the round.
            asked.handle(Event::Tick);
        }
        assert_eq!(counted, [1, 3, 5], "every second message");
    }

    #[test]
    fn many_messages_at_once_are_counted_before_their_turn_and_one_conversation_once_at_a_time() {
        let mut asked = Asked::new();
        let settings =
            Settings { keep: Keep { seconds: 0, messages: 10 }, ping_ms: 1 << 40, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "JOIN #b");
        asked.ask(alice, "PRIVMSG #a :text");
        asked.ask(alice, "PRIVMSG #b :text");
        asked.handle(Event::Tick);
        for conversation in asked.expiries().iter().map(|expiry| expiry.conversation).collect::<Vec<_>>() {
            asked.handle(Event::Expired { conversation, rows: 0 });
        }
        let mut counted = Vec::new();
        for round in 1..=100 {
            asked.ask(alice, "PRIVMSG #a :text");
            counted.extend(asked.expiries().iter().map(|expiry| (round, expiry.conversation, expiry.most)));
        }
        assert_eq!(counted, [(16, 1, Some(10))], "the store is still at it");
        for _ in 0..16 {
            asked.ask(alice, "PRIVMSG #b :text");
        }
        assert_eq!(asked.expiries().iter().map(|expiry| expiry.conversation).collect::<Vec<_>>(), [2]);
        asked.handle(Event::Expired { conversation: 1, rows: 0 });
        assert_eq!(asked.expiries().iter().map(|expiry| expiry.conversation).collect::<Vec<_>>(), [1]);
        asked.handle(Event::Expired { conversation: 1, rows: 0 });
        assert!(asked.expiries().is_empty());
    }

    #[test]
    fn what_was_cleared_stays_gone_when_the_channel_is_dropped_at_once() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "draft/chathistory batch");
        asked.account("alice", 1);
        asked.ask(alice, "JOIN #a");
        let lines = asked.ask(alice, "CS REGISTER #a").concat();
        assert!(lines.contains("is registered"), "{lines}");
        asked.ask(alice, "PRIVMSG #a :text");
        let said = asked.now.unix_ms;
        let lines = asked.confirmed(alice, "CS CLEAR #a HISTORY").concat();
        assert!(lines.contains("is gone"), "{lines}");
        let lines = asked.ask(alice, "CS DROP #a").concat();
        assert!(lines.contains("no longer registered"), "{lines}");
        assert!(
            asked.expiries().iter().any(|expiry| expiry.before > said),
            "nobody looks for it once the channel is no more"
        );
        asked.ask(alice, "CHATHISTORY LATEST #a * 10");
        let [(id, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        let (id, since) = (*id, query.since);
        assert!(since > said, "it is shown again");
        asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
        // Registered anew, it is so over a restart, too.
        asked.ask(alice, "CS REGISTER #a");
        let cleared = |record: &Record| matches!(record, Record::Setting(row) if &*row.key == "cleared");
        assert!(asked.kept().iter().any(|(_, record)| cleared(record)));
    }

    /// From when on somebody reads a channel.
    fn since(asked: &mut Asked, conn: ConnId, channel: &str) -> u64 {
        asked.ask(conn, &format!("CHATHISTORY LATEST {channel} * 10"));
        let [(id, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        let (id, since) = (*id, query.since);
        asked.handle(Event::Returned(id, Returned::History(HistoryPage::default())));
        assert_eq!(asked.server.check(), Ok(()));
        since
    }

    fn last_time(asked: &Asked, channel: &str) -> u64 {
        asked.server.network.conversation(channel).map_or(0, |there| there.last_time)
    }

    /// What of conversations the last event has kept: key, whether it is closed, and from when on it is read.
    fn kept(asked: &Asked) -> Vec<(&str, bool, u64)> {
        let rows = asked.kept().iter().filter_map(|(_, record)| match record {
            Record::Conversation(row) => Some((&*row.key, row.closed, row.since)),
            _ => None,
        });
        rows.collect()
    }

    const CAPS: &str = "draft/chathistory batch";

    #[test]
    fn what_was_said_in_a_channel_that_kept_strangers_out_is_not_read_in_another_of_the_name() {
        for (modes, closed) in [
            ("+k key", true),
            ("+i", true),
            ("+R", true),
            ("+z", true),
            ("+b *!*@*", true),
            ("+b U:", true),
            ("+b ?*!*@*", true),
            ("+b *!~*@*", true),
            ("+b r:*", true),
            ("+b-b *!*@* *!*@*", false),
            ("+i-i", false),
            ("+b m:*!*@*", false),
            ("+b x!*@*", false),
            ("+l 1", false),
            ("+s", false),
        ] {
            let mut asked = Asked::new();
            let (alice, mallory) = (asked.user_with("alice", CAPS), asked.user_with("mallory", CAPS));
            asked.ask(alice, "JOIN #a");
            asked.ask(alice, &format!("MODE #a {modes}"));
            asked.ask(alice, "PRIVMSG #a :secret");
            let last = last_time(&asked, "#a");
            assert!(since(&mut asked, alice, "#a") <= last, "{modes}");
            asked.ask(alice, "PART #a");
            asked.ask(mallory, "JOIN #a");
            let read = since(&mut asked, mallory, "#a");
            assert_eq!(read, if closed { last + 1 } else { 0 }, "{modes}");
            // What is said now is read by whoever comes.
            asked.ask(mallory, "PRIVMSG #a :text");
            assert!(last_time(&asked, "#a") >= read, "{modes}");
            asked.ask(alice, "JOIN #a");
            assert_eq!(since(&mut asked, alice, "#a"), read, "{modes}");
            // It is not deleted for that.
            asked.server.renew_retention();
            asked.handle(Event::Tick);
            assert!(asked.expiries().is_empty(), "{modes}");
        }
    }

    #[test]
    fn whether_a_channel_keeps_strangers_out_is_kept_when_it_changes_and_before_anybody_sees_it() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "MODE #a +i");
        assert_eq!(kept(&asked), [("#a", true, 0)], "with the first that is kept");
        asked.ask(alice, "MODE #a +k key");
        assert_eq!(kept(&asked), []);
        asked.ask(alice, "MODE #a -ik *");
        assert_eq!(kept(&asked), [("#a", false, 0)]);
        asked.ask(alice, "MODE #a +i");
        let kept_as = asked.kept().iter().map(|(seq, _)| *seq).max();
        let channel = asked.server.network.channel_by_name("#a").unwrap_or_default();
        assert_eq!(Some(asked.server.network.channels[channel].changed), kept_as);
        // The channel is made anew: that is kept before anything that is said in it.
        asked.ask(alice, "PART #a");
        asked.ask(alice, "JOIN #a");
        let last = last_time(&asked, "#a");
        assert_eq!(kept(&asked), [("#a", false, last + 1)]);
        asked.ask(alice, "PRIVMSG #a :text");
        assert_eq!(kept(&asked), []);
    }

    #[test]
    fn another_name_takes_along_from_when_on_a_channel_is_read_and_finds_nothing_of_an_earlier_closed_one() {
        let mut asked = Asked::new();
        let (alice, mallory) = (asked.user_with("alice", CAPS), asked.user_with("mallory", CAPS));
        for line in ["JOIN #a", "MODE #a +k key", "PRIVMSG #a :secret", "PART #a"] {
            asked.ask(alice, line);
        }
        let last = last_time(&asked, "#a");
        // Nothing was ever said in the channel that takes the name.
        asked.ask(mallory, "JOIN #b");
        assert_eq!(asked.server.network.conversation("#b"), None);
        asked.ask(mallory, "RENAME #b #a");
        assert_eq!(kept(&asked), [("#a", false, last + 1)]);
        assert_eq!(since(&mut asked, mallory, "#a"), last + 1);
        asked.ask(mallory, "PRIVMSG #a :text");
        asked.ask(mallory, "MODE #a +i");
        asked.ask(mallory, "RENAME #a #c");
        assert_eq!(kept(&asked), [("#c", true, last + 1)]);
        assert_eq!(since(&mut asked, mallory, "#c"), last + 1);
        // One that is put aside keeps its own.
        asked.ask(alice, "JOIN #d");
        asked.ask(alice, "PRIVMSG #d :text");
        asked.ask(mallory, "PART #c");
        asked.ask(alice, "RENAME #d #c");
        let rows: Vec<_> = kept(&asked);
        assert!(rows.len() == 2 && rows[0].0.starts_with("#c ") && rows[0].1 && rows[0].2 == last + 1, "{rows:?}");
        assert_eq!(rows[1], ("#c", false, 0));
    }

    #[test]
    fn who_could_not_read_a_channel_does_not_begin_to_when_it_is_dropped() {
        for (setting, sealed) in [
            ("HISTORY-CUTOFF JOIN", true),
            ("HISTORY-CUTOFF REGISTRATION", true),
            ("HISTORY OFF", true),
            ("HISTORY-CUTOFF NONE", false),
        ] {
            let mut asked = Asked::new();
            let (alice, bob) = (asked.user_with("alice", CAPS), asked.user_with("bob", CAPS));
            asked.account("alice", 1);
            for line in ["JOIN #a", "PRIVMSG #a :text", "CS REGISTER #a"] {
                asked.ask(alice, line);
            }
            asked.ask(alice, &format!("CS SET #a {setting}"));
            asked.ask(bob, "JOIN #a");
            let last = last_time(&asked, "#a");
            let said = if sealed { asked.confirmed(alice, "CS DROP #a") } else { asked.ask(alice, "CS DROP #a") };
            let said = said.concat();
            assert_eq!(said.contains("nobody reads any more"), sealed, "{setting}: {said}");
            assert_eq!(since(&mut asked, bob, "#a"), if sealed { last + 1 } else { 0 }, "{setting}");
        }
    }

    #[test]
    fn a_channel_that_a_start_brings_back_without_its_modes_is_a_new_one() {
        let conversation = |id, key: &str, closed| (ConversationRow { id, key: key.into(), closed, since: 0 }, 5, 5);
        let snapshot = Snapshot {
            conversations: vec![conversation(1, "#closed", true), conversation(2, "#open", false)],
            ..always_on("#closed:o1 #open:2")
        };
        let mut asked = Asked::started_with(snapshot);
        let bob = asked.user_with("bob", CAPS);
        for (channel, read) in [("#closed", 6), ("#open", 0)] {
            asked.ask(bob, &format!("JOIN {channel}"));
            assert_eq!(since(&mut asked, bob, channel), read, "{channel}");
        }
    }

    #[test]
    fn whoever_changes_a_setting_again_and_again_keeps_no_other_conversation_from_its_turn() {
        let mut asked = Asked::new();
        let settings = Settings { keep: Keep { seconds: 2 * DAY, messages: 0 }, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        for number in 1..=100 {
            let (conversation, _) = asked.server.network.conversation_or_new(&format!("#{number}"));
            assert_eq!(conversation.id, number);
        }
        let mut met = 0;
        for _ in 0..100 {
            asked.server.renew_retention();
            asked.handle(Event::Tick);
            for expiry in asked.expiries().to_vec() {
                met = met.max(expiry.conversation);
                asked.handle(Event::Expired { conversation: expiry.conversation, rows: 0 });
            }
        }
        assert_eq!(met, 100);
    }

    #[test]
    fn a_start_after_a_long_time_is_a_leap_and_one_after_a_short_time_is_none() {
        let note = (START).to_string();
        let soon = RetentionClock::new(Some(&note), 0, at(START + 60_000, 5));
        assert_eq!((soon.believed, soon.doubted), (START + 60_000, None));
        let late = RetentionClock::new(Some(&note), 0, at(START + 30 * DAY_MS, 5));
        assert_eq!((late.believed, late.doubted), (START, Some(START + 30 * DAY_MS)));
        // A database of an earlier version: what was kept last says what time it was.
        let earlier = RetentionClock::new(None, START, at(START + 30 * DAY_MS, 5));
        assert_eq!(earlier.believed, START);
        assert_eq!(RetentionClock::new(None, START + DAY_MS, at(START, 5)).believed, START);
    }
}
