//! Accounts and registered channels that nobody has used for a long time: what counts as use, and their end
//! (`accounts.expire_days`, `channels.expire_days`).
//!
//! An account is used while a connection is logged in to it, and a channel while somebody with a connection is in it.
//! That is noted once a day, and grows old by the clock of [`retention`](crate::server::retention), which does not
//! believe a leap at once.

use crate::limits::{EXPIRED_AT_ONCE, UNUSED_LOOKS, UNUSED_ROUND_MS};
use crate::server::Server;
use crate::server::change::Change;
use crate::server::channel::Channel;
use crate::server::command::services::chanserv;
use crate::server::network::ChannelId;
use crate::server::notice::About;
use crate::server::record::{AccountId, Seq, Snapshot};
use crate::server::retention::{DAY_MS, SERVER};

/// Where the rounds are.
#[derive(Debug, Default)]
pub struct Unused {
    /// Since when use is noted, in milliseconds since 1970; 0 where that is not yet so.
    since: u64,
    /// When the next round begins, on the monotonic clock.
    next_round: u64,
    /// What this round has not looked at yet: users who may be using an account,
    users: Vec<usize>,
    /// channels,
    channels: Vec<ChannelId>,
    /// and accounts.
    accounts: Vec<AccountId>,
}

/// The key of since when use is noted.
const SINCE: &str = "use-noted-since";

impl Unused {
    /// What is known at the start.
    pub fn new(snapshot: &Snapshot) -> Unused {
        let noted = snapshot.settings.iter().find(|row| &*row.owner == SERVER && &*row.key == SINCE);
        let since = noted.and_then(|row| row.value.as_deref()).and_then(|value| value.parse().ok());
        Unused { since: since.unwrap_or(0), ..Unused::default() }
    }
}

impl Server {
    /// An account is being used.
    pub(super) fn note_account_used(&mut self, account: AccountId, seq: Seq) {
        let now = self.aging_clock();
        if !self.store_refuses()
            && self.network.account(account).is_some()
            && now >= self.network.account_settings(account).used + DAY_MS
        {
            self.put_account_setting(account, seq, "used", Some(&now.to_string()));
        }
    }

    /// A channel is being used.
    pub(super) fn note_channel_used(&mut self, id: ChannelId, seq: Seq) {
        let now = self.aging_clock();
        let channel = &self.network.channels[id];
        if !self.store_refuses() && channel.founder.is_some() && now >= channel.settings.used + DAY_MS {
            self.put_channel_setting(id, seq, "used", Some(&now.to_string()));
        }
    }

    fn is_account_used(&self, account: AccountId) -> bool {
        self.all_sessions().any(|session| session.account == Some(account) && !session.closing)
    }

    fn is_channel_used(&self, id: ChannelId) -> bool {
        let mut members = self.network.channels[id].members.keys();
        members.any(|user| !self.network.users[*user].sessions.is_empty())
    }

    /// Notes what is being used, and ends what nobody has used for as long as the configuration says: some of it in
    /// each look.
    pub(super) fn look_after_unused(&mut self) {
        if self.store_refuses() {
            return;
        }
        if self.unused.users.is_empty() && self.unused.channels.is_empty() && self.unused.accounts.is_empty() {
            if self.now.mono_ms < self.unused.next_round {
                return;
            }
            self.begin_round();
        }
        for _ in 0..UNUSED_LOOKS {
            let Some(user) = self.unused.users.pop() else { break };
            if let Some(there) = self.network.users.get(user)
                && let Some(account) = there.account.filter(|_| !there.sessions.is_empty())
                && self.aging_clock() >= self.network.account_settings(account).used + DAY_MS
            {
                self.submit_alone(Change::Used { account: Some(account), channel: None });
            }
        }
        for _ in 0..UNUSED_LOOKS {
            let Some(channel) = self.unused.channels.pop() else { break };
            self.look_at_channel(channel);
        }
        // Each that ends, or stays for its channel, costs a look at all channels.
        let mut ended = 0;
        for _ in 0..UNUSED_LOOKS {
            if ended == EXPIRED_AT_ONCE / 10 {
                break;
            }
            let Some(account) = self.unused.accounts.pop() else { break };
            ended += usize::from(self.look_at_account(account));
        }
    }

    fn begin_round(&mut self) {
        self.unused.next_round = self.now.mono_ms + UNUSED_ROUND_MS;
        if self.unused.since == 0 {
            self.unused.since = self.aging_clock();
            let since = self.unused.since.to_string();
            self.submit_alone(Change::Noted { key: SINCE, value: &since });
        }
        self.unused.users = self.network.users.iter().map(|(id, _)| id).collect();
        self.unused.channels = self.network.channels.iter().map(|(id, _)| id).collect();
        if self.settings.account_expire_days > 0 {
            self.unused.accounts = self.network.account_ids();
        }
    }

    /// Whether something was last used longer ago than so many days; 0 is never.
    fn is_past(&self, used: u64, made: u64, days: u32) -> bool {
        // What was there before use was noted may have been used until then.
        let used = used.max(made).max(self.unused.since);
        // It may have been used until a day after that was noted.
        days > 0 && self.aging_clock() > used + (u64::from(days) + 1) * DAY_MS
    }

    fn look_at_channel(&mut self, id: ChannelId) {
        let Some(channel) = self.network.channels.get(id).filter(|channel| channel.founder.is_some()) else { return };
        let (used, made, stays) = (channel.settings.used, channel.registered, channel.settings.no_expire);
        if self.is_channel_used(id) {
            if self.aging_clock() >= used + DAY_MS {
                self.submit_alone(Change::Used { account: None, channel: Some(id) });
            }
        } else if !stays && self.is_past(used, made, self.settings.channel_expire_days) {
            self.submit_alone(Change::ChannelLapsed { channel: id });
        }
    }

    /// The channel of an account that does not lapse, and would be nobody's without it.
    pub fn kept_for(&self, account: AccountId) -> Option<ChannelId> {
        let mut channels = self.network.channels.iter();
        let is_its = |channel: &Channel| channel.founder == Some(account) && channel.settings.no_expire;
        channels.find(|(id, channel)| is_its(channel) && self.network.heir(*id).is_none()).map(|(id, _)| id)
    }

    /// Ends an account that nobody uses, unless a channel would end with it that is to stay; whether it looked at all
    /// channels for that.
    fn look_at_account(&mut self, account: AccountId) -> bool {
        let Some(row) = self.network.account(account) else { return false };
        let (name, made) = (row.name.clone(), row.registered);
        let settings = self.network.account_settings(account);
        let stays = settings.no_expire || !self.is_past(settings.used, made, self.settings.account_expire_days);
        // One that is suspended stays, or whoever it was would only have to wait.
        if stays || self.network.suspension(account).is_some() || self.is_account_used(account) {
            return false;
        }
        if self.kept_for(account).is_some() {
            return true;
        }
        let days = self.settings.account_expire_days;
        self.log(false, format!("account {name} lapses: nobody has used it for {days} days"));
        self.notify(About::Accounts, |_| format!("the account {name} lapses: nobody has used it for {days} days"));
        self.submit_alone(Change::DropAccount { account, messages: false });
        true
    }

    /// Notes that something is being used.
    pub(super) fn apply_used(&mut self, seq: Seq, account: Option<AccountId>, channel: Option<ChannelId>) {
        if let Some(account) = account {
            self.note_account_used(account, seq);
        }
        if let Some(channel) = channel {
            self.note_channel_used(channel, seq);
        }
    }

    /// Ends the registration of a channel that nobody uses.
    pub(super) fn apply_lapsed(&mut self, seq: Seq, id: ChannelId) {
        let mut nobody = self.ctx(crate::server::event::ConnId::NONE, None);
        let (name, days) = (self.network.channels[id].name.clone(), self.settings.channel_expire_days);
        chanserv::lapse(self, &mut nobody, seq, id);
        self.log(false, format!("channel {name} is no longer registered: nobody has used it for {days} days"));
        self.notify(About::Channels, |_| format!("{name} is no longer registered: nobody has used it for {days} days"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use ircv3::Casemapping;

    use super::SINCE;
    use crate::import::{self, Account, Channel, Found, Rules};
    use crate::server::command::bulk::testing::{Asked, account_row};
    use crate::server::event::{ConnId, Event};
    use crate::server::record::{AccountRow, Record, SettingRow, Snapshot};
    use crate::server::retention::{DAY_MS, SERVER};
    use crate::server::settings::Settings;

    /// A server that finds this in its store, and on which accounts and channels lapse after 30 days.
    fn lapsing_with(snapshot: Snapshot) -> Asked {
        let mut asked = Asked::started_with(snapshot);
        let settings = Settings {
            account_expire_days: 30,
            channel_expire_days: 30,
            ping_ms: 1 << 40,
            ..(*asked.server.settings).clone()
        };
        asked.handle(Event::Reload(Arc::new(settings)));
        asked
    }

    /// Such a server with two accounts.
    fn lapsing() -> Asked {
        let mut asked = lapsing_with(Snapshot::default());
        for (id, name) in [(1, "alice"), (2, "bob")] {
            asked.server.network.put_account(AccountRow {
                registered: 1_600_000_000_000,
                autoreplay_missed: true,
                ..account_row(id, name)
            });
        }
        asked
    }

    fn log_in(asked: &mut Asked, conn: ConnId, account: u64, name: &str) {
        let id = asked.id(name);
        asked.server.network.set_login(id, Some((account, name.into())));
        asked.server.session_mut(conn).unwrap().account = Some(account);
    }

    /// So many days go by, each of 24 hours.
    fn days(asked: &mut Asked, days: u64) -> Vec<Record> {
        let mut kept = Vec::new();
        for _ in 0..days * 24 {
            asked.now.unix_ms += DAY_MS / 24;
            asked.now.mono_ms += DAY_MS / 24;
            for _ in 0..3 {
                asked.handle(Event::Tick);
                kept.extend(asked.kept().iter().map(|(_, record)| record.clone()));
            }
        }
        kept
    }

    #[test]
    fn what_nobody_uses_lapses_and_what_somebody_uses_does_not() {
        let mut asked = lapsing();
        let alice = asked.user("al");
        log_in(&mut asked, alice, 1, "al");
        asked.ask(alice, "JOIN #mine,#empty");
        asked.ask(alice, "CS REGISTER #mine");
        asked.ask(alice, "CS REGISTER #empty");
        asked.ask(alice, "PART #empty");
        // What was there before is as if it were used when the notes began.
        let kept = days(&mut asked, 29);
        assert!(!kept.iter().any(|record| matches!(record, Record::AccountGone(_) | Record::ChannelGone(_))));
        let kept = days(&mut asked, 3);
        assert!(kept.contains(&Record::AccountGone(2)) && kept.contains(&Record::ChannelGone("#empty".into())));
        assert!(asked.server.network.account(1).is_some() && asked.server.network.channel_by_name("#mine").is_some());
        asked.handle(Event::Line(alice, ircv3::Message::parse_client("QUIT").unwrap()));
        days(&mut asked, 29);
        assert!(asked.server.network.account(1).is_some() && asked.server.network.channel_by_name("#mine").is_some());
        let kept = days(&mut asked, 3);
        assert!(kept.contains(&Record::AccountGone(1)) && kept.contains(&Record::ChannelGone("#mine".into())));
        assert!(asked.server.check().is_ok());
    }

    #[test]
    fn what_an_operator_exempts_stays_and_a_clock_that_leaps_ends_nothing() {
        let mut asked = lapsing();
        let alice = asked.user("al");
        log_in(&mut asked, alice, 1, "al");
        asked.ask(alice, "JOIN #mine");
        asked.ask(alice, "CS REGISTER #mine");
        assert!(asked.ask(alice, "CS SET #mine EXPIRE OFF")[0].contains("Only operators"));
        asked.set_oper("al");
        assert!(asked.ask(alice, "CS SET #mine EXPIRE OFF")[0].contains("EXPIRE of #mine is OFF now"));
        assert!(asked.ask(alice, "NS SASET bob EXPIRE OFF")[0].contains("bob"));
        days(&mut asked, 1);
        asked.now.unix_ms += 3650 * DAY_MS;
        asked.handle(Event::Tick);
        asked.handle(Event::Tick);
        assert!(asked.server.network.account(1).is_some());
        asked.now.unix_ms -= 3650 * DAY_MS;
        asked.handle(Event::Line(alice, ircv3::Message::parse_client("QUIT").unwrap()));
        days(&mut asked, 40);
        assert!(asked.server.network.account(2).is_some());
    }

    #[test]
    fn what_was_used_until_a_day_after_that_was_noted_lapses_no_sooner() {
        let asked = lapsing_with(Snapshot::default());
        let used = asked.server.aging_clock() - 3 * DAY_MS;
        for (days, is_past) in [(1, true), (2, false), (3, false), (0, false)] {
            assert_eq!(asked.server.is_past(used + DAY_MS / 10, 0, days), is_past, "{days}");
        }
    }

    #[test]
    fn what_was_imported_lapses_as_if_it_were_used_last_when_it_was_imported() {
        // Use has been noted here for long.
        let row = SettingRow { owner: SERVER.into(), key: SINCE.into(), value: Some("1500000000000".into()) };
        let mut snapshot = Snapshot { settings: vec![row], boot: 1, ..Snapshot::default() };
        let (name, registered) = ("alice".to_owned(), Some(1_400_000_000_000));
        let channel =
            Channel { name: "#garden".to_owned(), founders: vec![name.clone()], registered, ..Channel::default() };
        let account = Account { name, registered, ..Account::default() };
        let found = Found { accounts: vec![account], channels: vec![channel], ..Found::default() };
        let rules = Rules {
            casemapping: Casemapping::Rfc1459,
            confusables: false,
            list_entries: 3,
            bcrypt_cost: 4,
            scram_iterations: 4096,
        };
        for (_, record) in import::plan(&snapshot, &rules, &found, 1_700_000_000_000, false).0 {
            match record {
                Record::Account(row) => snapshot.accounts.push(*row),
                Record::Channel(row) => snapshot.channels.push(*row),
                Record::Setting(row) => snapshot.settings.push(*row),
                _ => {}
            }
        }
        let mut asked = lapsing_with(snapshot);
        let account = asked.server.network.account_ids()[0];
        let kept = days(&mut asked, 29);
        assert!(!kept.iter().any(|record| matches!(record, Record::AccountGone(_) | Record::ChannelGone(_))));
        let kept = days(&mut asked, 3);
        assert!(kept.contains(&Record::AccountGone(account)) && kept.contains(&Record::ChannelGone("#garden".into())));
    }

    #[test]
    fn a_channel_that_an_operator_exempts_stays_when_nobody_uses_its_founders_account() {
        let mut asked = lapsing();
        let alice = asked.user("al");
        log_in(&mut asked, alice, 1, "al");
        asked.set_oper("al");
        for line in ["JOIN #mine", "CS REGISTER #mine", "CS SET #mine EXPIRE OFF"] {
            asked.ask(alice, line);
        }
        let text = asked.ask(alice, "NS INFO alice").concat();
        assert!(text.contains("It does not lapse while #mine is its, which does not either"), "{text}");
        asked.handle(Event::Line(alice, ircv3::Message::parse_client("QUIT").unwrap()));
        days(&mut asked, 40);
        assert!(asked.server.network.account(1).is_some() && asked.server.network.account(2).is_none());
        let channel = asked.server.network.channel_by_name("#mine").unwrap();
        assert_eq!(asked.server.network.channels[channel].founder, Some(1));
        // With a successor it stays without her.
        asked.server.network.put_account(AccountRow { registered: asked.now.unix_ms, ..account_row(3, "carol") });
        asked.server.network.channels[channel].settings.successor = Some(3);
        days(&mut asked, 2);
        assert!(asked.server.network.account(1).is_none());
        assert_eq!(asked.server.network.channels[channel].founder, Some(3));
        days(&mut asked, 40);
        assert!(asked.server.network.account(3).is_some() && asked.server.check().is_ok());
    }
}
