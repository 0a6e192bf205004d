//! Presence that survives a disconnect: who is always on, what is kept of them, and away as the sum over
//! a user's connections.

use std::net::IpAddr;
use std::sync::Arc;

use ircv3::mode::{Rank, Ranks};
use smallvec::SmallVec;

use crate::limits;
use crate::server::change::Change;
use crate::server::channel::Channel;
use crate::server::command::{away, message, monitor, nick};
use crate::server::event::ConnId;
use crate::server::network::{ChannelId, Network, UserId};
use crate::server::policy::{self, Viewer};
use crate::server::record::{AccountId, AccountRow, PresenceRow, Record, Seq};
use crate::server::session::Session;
use crate::server::setting;
use crate::server::settings::{AlwaysOn, Settings};
use crate::server::unsettled::Unsettled;
use crate::server::user::{Contacts, Letters, User, source};
use crate::server::{Ctx, Server};

/// What others are told of someone who has no connection and did not say why.
const DISCONNECTED: &str = "Not connected";
/// Stands for a host that is not known; no host has that letter.
const UNKNOWN: &str = "?";
/// Milliseconds between two looks for those who have been away too long.
const EXPIRY_LOOK_MS: u64 = 60_000;

/// Whether an account stays on the network without a connection: by its own choice where there is one.
pub fn is_chosen(settings: &Settings, chosen: Option<bool>) -> bool {
    match settings.always_on {
        AlwaysOn::Off => false,
        AlwaysOn::OptIn => chosen == Some(true),
        AlwaysOn::OptOut => chosen != Some(false),
        AlwaysOn::Mandatory => true,
    }
}

/// The account that keeps a user, if it wants so: that of its nick; or another that keeps nobody else. One account keeps
/// one user.
fn keeper(settings: &Settings, network: &Network, user: UserId) -> Option<AccountId> {
    let account = network.account(network.users[user].account?)?;
    let is_free = || kept_beside(network, user, account.id).is_none();
    (is_chosen(settings, account.always_on) && (has_own_nick(network, user) || is_free())).then_some(account.id)
}

/// Whether a user has the nick of its account.
fn has_own_nick(network: &Network, user: UserId) -> bool {
    let there = &network.users[user];
    let account = there.account.and_then(|account| network.account(account));
    account.is_some_and(|account| *account.folded == *there.folded.as_str())
}

/// Whom else an account keeps.
fn kept_beside(network: &Network, user: UserId, account: AccountId) -> Option<UserId> {
    network.users_of(account).find(|other| *other != user && network.users[*other].presence_kept)
}

/// The hosts of somebody who is always on, as they are kept.
pub struct Hosts {
    /// The one that others see.
    pub shown: Arc<str>,
    /// The one behind it, where that is known.
    pub behind: Option<Arc<str>>,
    /// Those that it was shown by before.
    pub former: SmallVec<[Arc<str>; 1]>,
}

impl Hosts {
    fn of(user: &User) -> Hosts {
        let behind = user.plain_host_known.then(|| user.plain_host.clone());
        Hosts { shown: user.host.clone(), behind, former: user.former_hosts.clone() }
    }

    /// An earlier version kept nothing but the first.
    pub fn read(text: &str) -> Hosts {
        let mut words = text.split_ascii_whitespace().map(Arc::from);
        let shown = words.next().unwrap_or_else(|| text.into());
        let behind = words.next().filter(|host: &Arc<str>| **host != *UNKNOWN);
        Hosts { shown, behind, former: words.take(limits::FORMER_HOSTS).collect() }
    }

    fn text(&self) -> Box<str> {
        let mut text = format!("{} {}", self.shown, self.behind.as_deref().unwrap_or(UNKNOWN));
        for host in &self.former {
            text.push(' ');
            text.push_str(host);
        }
        text.into()
    }

    /// Puts cloaks in the place of addresses, which were shown before there were cloaks; whether there were any.
    fn hide(&mut self, cloak: impl Fn(IpAddr) -> Arc<str>) -> bool {
        let mut hidden = None;
        for host in [&mut self.shown].into_iter().chain(&mut self.behind) {
            if let Ok(ip) = host.parse() {
                hidden = Some(std::mem::replace(host, cloak(ip)));
            }
        }
        let Some(address) = hidden else { return false };
        if !self.former.contains(&address) {
            self.former.push(address);
        }
        true
    }
}

/// The users that were always on when the server ended, put back without connections, and under the nicks of their accounts.
///
/// Channels that were kept for the sake of someone who does not come back are no more; what the store has to be told of
/// all that is said in the answer.
/// Whoever had a connection when the server ended has been without one since now, `clock` (milliseconds since 1970).
pub fn restore(
    settings: &Settings,
    secret: &[u8; 32],
    network: &mut Network,
    rows: Vec<PresenceRow>,
    clock: u64,
) -> Unsettled {
    let mut unsettled = Unsettled::default();
    for row in rows {
        let Some(account) = network.account(row.account) else { continue };
        let name = account.name.clone();
        let barred = network.suspension(row.account).is_some();
        let (nick, former_nick) = match network.fold(&row.nick).as_str() == &*account.folded {
            // As it wrote it.
            true => (row.nick, None),
            false => (name.clone(), Some(row.nick)),
        };
        if barred || !is_chosen(settings, account.always_on) || network.user_by_nick(&nick).is_some() {
            // It would come back one day into channels that are somebody else's by then.
            unsettled.presences.insert(row.account);
            continue;
        }
        let mut modes = Letters::of(&row.modes);
        modes.set('o', false);
        modes.set('s', false);
        modes.set('Z', false);
        let mut hosts = Hosts::read(&row.hosts);
        if let Some(cloak) = &settings.cloak
            && hosts.hide(|ip| cloak.of(secret, ip).into())
        {
            modes.set('x', true);
        }
        let Hosts { shown: host, behind, former: former_hosts } = hosts;
        network.invisible += usize::from(modes.has('i'));
        let chosen = network.account_settings(row.account);
        let contacts = Contacts::kept(&chosen.accepted, &chosen.silenced);
        let id = network.insert_user(User {
            serial: 0,
            since: row.since,
            folded: network.fold(&nick),
            source: source(&nick, &row.user, &host),
            nick,
            former_nick,
            user: row.user,
            plain_host_known: behind.is_some(),
            plain_host: behind.unwrap_or_else(|| host.clone()),
            host,
            former_hosts,
            session_hosts: Box::default(),
            realname: row.realname,
            account: Some(row.account),
            account_name: Some(name),
            away: Some(row.away.unwrap_or_else(|| DISCONNECTED.into())),
            metadata: None,
            modes,
            channels: SmallVec::new(),
            sessions: SmallVec::new(),
            contacts,
            certfps: Box::default(),
            signon: row.signon,
            spoke: 0,
            told: 0,
            secure: false,
            oper: None,
            notices: Letters::default(),
            left: if row.left == 0 { clock } else { row.left },
            presence_kept: true,
        });
        if row.left == 0 {
            unsettled.left.insert(id);
        }
        for word in row.channels.split_ascii_whitespace() {
            let (name, letters) = word.rsplit_once(':').unwrap_or((word, ""));
            let channel = match network.channel_by_name(name) {
                Some(channel) => channel,
                None => {
                    // An earlier version kept no row of it.
                    let channel = Channel::new(name, network.casemapping, row.signon);
                    let folded: Box<str> = channel.folded.as_str().into();
                    let id = network.insert_channel(channel);
                    if network.begin_anew(id).is_some() {
                        unsettled.conversations.insert(folded.clone());
                    }
                    unsettled.channels.insert(folded);
                    id
                }
            };
            let mut ranks = Ranks::default();
            letters.chars().filter_map(Rank::by_letter).for_each(|rank| ranks.insert(rank));
            // An earlier version did not note when someone joined.
            let joined = letters.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse();
            let there = &mut network.channels[channel];
            if there.members.insert(id, ranks).is_some() {
                continue;
            }
            there.held = true;
            there.joined.insert(id, joined.unwrap_or(row.signon * 1000));
            if ranks.is_empty() && there.modes.has('u') {
                there.unshown.insert(id);
            }
            network.users[id].channels.push(channel);
        }
    }
    let all: Vec<ChannelId> = network.channels.iter().map(|(id, _)| id).collect();
    for id in all {
        let folded = network.channels[id].folded.clone();
        if network.drop_channel_if_empty(id) {
            unsettled.gone.insert(folded.as_str().into());
            continue;
        }
        let there = &mut network.channels[id];
        if there.members.is_empty() && !there.settings.keep_topic && there.topic.take().is_some() {
            // The last who were there have gone with the server.
            unsettled.channels.insert(folded.as_str().into());
        }
        if network.note_closed(id).is_some() {
            // An earlier version did not note it.
            unsettled.conversations.insert(folded.as_str().into());
        }
    }
    unsettled
}

impl Server {
    /// Keeps a user as it is now where it is always on, and forgets what was kept where it is not; what
    /// output that shows the change waits for.
    pub fn keep_presence(&mut self, user: UserId) -> Seq {
        match keeper(&self.settings, &self.network, user) {
            Some(account) => {
                let row = self.presence_row(user, account);
                if !std::mem::replace(&mut self.network.users[user].presence_kept, true) {
                    // Its row is this one's now.
                    if let Some(other) = kept_beside(&self.network, user, account) {
                        self.network.users[other].presence_kept = false;
                    }
                    for channel in self.network.users[user].channels.clone() {
                        self.hold_channel(channel);
                    }
                }
                // The change that it belongs to may have taken further numbers for its rows.
                let seq = self.last_seq();
                self.keep(seq, Record::Presence(Box::new(row)));
                self.keep_contacts(seq, account, Some(user));
                self.wait_for(seq)
            }
            None => self.forget_presence(user),
        }
    }

    /// Keeps whom a user who is always on lets write to it, and whom not; or nobody.
    fn keep_contacts(&mut self, seq: Seq, account: AccountId, user: Option<UserId>) {
        let contacts = user.and_then(|user| self.network.users[user].contacts.as_deref());
        let accepted: Vec<AccountId> =
            contacts.iter().flat_map(|contacts| &contacts.accepted).filter_map(|contact| contact.account).collect();
        let silenced = contacts.map_or(&[][..], |contacts| &contacts.silenced);
        let kept = self.network.account_settings(account);
        let accepted = (kept.accepted != accepted).then(|| setting::joined(&accepted));
        let silenced = (*kept.silenced != *silenced).then(|| silenced.join(" "));
        for (key, value) in [("accepted", accepted), ("silenced", silenced)] {
            if let Some(value) = value {
                self.put_account_setting(account, seq, key, Some(&*value).filter(|value| !value.is_empty()));
            }
        }
    }

    /// Forgets what was kept of a user's presence; what output that shows so waits for. Another user of its account is kept
    /// from now on, where there is one.
    pub fn forget_presence(&mut self, user: UserId) -> Seq {
        let there = &mut self.network.users[user];
        if std::mem::take(&mut there.presence_kept)
            && let Some(account) = there.account
        {
            let seq = self.last_seq();
            self.keep(seq, Record::PresenceGone(account));
            self.keep_contacts(seq, account, None);
            let next = self.network.users_of(account).find(|other| *other != user);
            if let Some(next) = next {
                self.keep_presence(next);
            }
            return self.wait_for(seq);
        }
        0
    }

    /// What output waits for that shows what [`Server::keep_presence`] or [`Server::forget_presence`] is about to keep
    /// under the number of the last change.
    pub fn presence_wait(&self, user: UserId) -> Seq {
        let kept = self.network.users[user].presence_kept || self.is_to_be_kept(user);
        if kept && self.waits_for_store() { self.last_seq() } else { 0 }
    }

    /// A member of a channel is kept: so is the channel until nobody is in it any more.
    pub(super) fn hold_channel(&mut self, channel: ChannelId) {
        let there = &mut self.network.channels[channel];
        let was_kept = there.is_kept();
        there.held = true;
        self.settle_channel(channel, self.last_seq(), was_kept);
    }

    /// Nobody is in a channel any more: nothing of it is kept, unless more than its members kept it.
    pub(super) fn release_channel(&mut self, channel: ChannelId) {
        let there = &mut self.network.channels[channel];
        let was_kept = there.is_kept();
        there.held = false;
        self.settle_channel(channel, self.last_seq(), was_kept);
    }

    fn presence_row(&self, user: UserId, account: AccountId) -> PresenceRow {
        let there = &self.network.users[user];
        let mut channels = String::new();
        for id in &there.channels {
            let channel = &self.network.channels[*id];
            if !channels.is_empty() {
                channels.push(' ');
            }
            channels.push_str(&channel.name);
            channels.push(':');
            channels.extend(channel.ranks(user).unwrap_or_default().iter().map(Rank::letter));
            if let Some(joined) = channel.joined.get(&user) {
                channels.push_str(&joined.to_string());
            }
        }
        PresenceRow {
            account,
            since: there.since,
            nick: there.former_nick.as_ref().unwrap_or(&there.nick).clone(),
            user: there.user.clone(),
            hosts: Hosts::of(there).text(),
            realname: there.realname.clone(),
            modes: there.modes.text().into(),
            away: there.away.clone().filter(|away| **away != *DISCONNECTED),
            channels: channels.into(),
            signon: there.signon,
            left: there.left,
        }
    }

    /// Whom its account keeps beside a user, without a connection: it would have been that one under another nick.
    pub(super) fn absent_beside(&self, user: UserId) -> Option<UserId> {
        let kept = kept_beside(&self.network, user, self.network.users[user].account?)?;
        self.network.users[kept].sessions.is_empty().then_some(kept)
    }

    /// Whether a user's account keeps it: a start puts it back.
    pub fn is_to_be_kept(&self, user: UserId) -> bool {
        keeper(&self.settings, &self.network, user).is_some()
    }

    /// Whether a user stays under the nick that it has when its last connection goes.
    pub fn stays(&self, user: UserId) -> bool {
        has_own_nick(&self.network, user) && self.is_to_be_kept(user)
    }

    /// Whether a user is of this account and stays without a connection: nobody ends that for its nick.
    pub fn is_presence_of(&self, user: UserId, account: AccountId) -> bool {
        self.network.users[user].account == Some(account) && self.will_stay(user)
    }

    /// Who of an account is meant by a nick that nobody has: who had it when its last connection went, and who is kept,
    /// whatever its nick, by that of the account.
    pub(super) fn known_by(&self, account: &AccountRow, nick: &str) -> Option<UserId> {
        let same = |name: &str| self.network.casemapping.same(name, nick);
        let is_meant = |user: &UserId| {
            let there = &self.network.users[*user];
            there.presence_kept && (same(&account.name) || there.former_nick.as_deref().is_some_and(same))
        };
        self.network.users_of(account.id).find(is_meant)
    }

    /// The account that keeps a user, where its nick is free.
    fn would_keep(&self, user: UserId) -> Option<AccountId> {
        let account = self.network.account(keeper(&self.settings, &self.network, user)?)?;
        self.network.user_by_nick(&account.name).is_none().then_some(account.id)
    }

    /// Whether a user stays when its last connection goes, under its account's nick if not under its own.
    pub fn will_stay(&self, user: UserId) -> bool {
        self.stays(user) || self.would_keep(user).is_some()
    }

    /// The last connection of a user has gone: one whose account is always on goes on under the account's nick, unless
    /// somebody has that.
    pub(super) fn go_on_as_account(&mut self, user: UserId) {
        let there = &self.network.users[user];
        if !self.stays(user) && self.would_keep(user).is_some() && (there.presence_kept || !self.store_refuses()) {
            self.submit_alone(Change::OwnNick { user });
        }
    }

    /// Gives a user without a connection the nick of its account.
    pub(super) fn take_own_nick(&mut self, seq: Seq, user: UserId) {
        let Some(account) = self.would_keep(user).and_then(|account| self.network.account(account)) else { return };
        let name = account.name.clone();
        let there = &mut self.network.users[user];
        there.former_nick = Some(there.nick.clone());
        let mut ctx = self.ctx(ConnId::NONE, None);
        ctx.user = Some(user);
        nick::rename(self, &mut ctx, seq, user, &name);
    }

    /// Takes a user off the network that has no connection, and does not stay without one any more; whether it did. Who is
    /// told waits for `after`.
    pub fn leave_unless_kept(&mut self, user: UserId, reason: &str, after: Seq) -> bool {
        let leaves = self.network.users[user].sessions.is_empty() && !self.stays(user);
        if leaves {
            self.submit_alone(Change::Quit { user, reason, shown: None, after });
        }
        leaves
    }

    /// The connections of a user have changed, where one `came` by that: whether it is away may have, too.
    pub fn sum_away(&mut self, user: UserId, came: Option<ConnId>) {
        let there = &self.network.users[user];
        // Of whoever goes with its last connection that is kept, too, whatever it has said before.
        if self.away_of(user, came) != there.away || there.presence_kept || there.sessions.is_empty() {
            self.submit_alone(Change::AwaySum { user, came });
        }
    }

    /// Takes over whether a user is away from its connections, of which one may have `spoken`, and tells whom it concerns;
    /// what output that shows it waits for.
    pub(super) fn apply_away(&mut self, user: UserId, spoken: Option<ConnId>) -> Seq {
        let away = self.away_of(user, spoken);
        let there = &mut self.network.users[user];
        there.left = match there.sessions.is_empty() {
            true if there.left == 0 => self.clock,
            true => there.left,
            false => 0,
        };
        let changed = there.away != away;
        there.away = away;
        let there = &self.network.users[user];
        let kept = there.presence_kept || there.sessions.is_empty();
        let after = if kept { self.keep_presence(user) } else { 0 };
        if !changed {
            return after;
        }
        let mut frame = away::frame(self, user);
        frame.after = after;
        let mut others = self.network.neighbours(user);
        others.retain(|other| *other != user);
        let frame = Arc::new(frame);
        self.frame_to_users(&others, frame.clone(), None);
        monitor::extend(self, user, &frame, &others);
        after
    }

    /// Away is the sum over the connections: who is there with one is there. Of the reasons the one counts that was given
    /// last, as long as nobody is there, whether its connection is or not; `spoken` may have given one now. `*` (pre-away)
    /// is away without a reason, and never takes the place of one.
    fn away_of(&self, user: UserId, spoken: Option<ConnId>) -> Option<Box<str>> {
        let there = &self.network.users[user];
        let sessions = there.sessions.iter().filter_map(|conn| self.session(*conn));
        if sessions.clone().any(|session| session.away.is_none()) {
            return None;
        }
        let gives_one = |session: &&Session| session.away.as_deref() != Some("*");
        let newest = sessions.filter(gives_one).max_by_key(|session| session.away_seq);
        // Whoever was away before has the last reason that was given until then.
        let given = newest.filter(|session| there.away.is_none() || spoken == Some(session.conn));
        let reason = given.and_then(|session| session.away.as_ref()).or(there.away.as_ref());
        Some(reason.cloned().unwrap_or_else(|| DISCONNECTED.into()))
    }

    /// Why somebody is away, for one who writes to them: that they read it later is said where that is so, and nothing of it
    /// where it would be refused. To whom they silence it is said as to all.
    pub fn away_told(&self, from: Viewer, target: UserId) -> Option<Box<str>> {
        let there = &self.network.users[target];
        let away = there.away.as_ref()?;
        if **away != *DISCONNECTED || !there.sessions.is_empty() {
            return Some(away.clone());
        }
        if policy::may_address(&self.network, from, target, "").is_err() {
            return Some(DISCONNECTED.into());
        }
        let kept = if message::is_talk_kept(self, from.user, target) { "is kept" } else { "is not kept" };
        Some(format!("{DISCONNECTED}; what you write {kept}").into())
    }

    /// Takes those off the network that have been without a connection for longer than is kept.
    pub(super) fn expire_presences(&mut self) {
        let days = u64::from(self.settings.always_on_expiry_days);
        if days == 0 || self.now.mono_ms < self.next_expiry {
            return;
        }
        self.next_expiry = self.now.mono_ms + EXPIRY_LOOK_MS;
        // A clock that leaps ahead makes nobody go.
        let before = self.aging_clock().saturating_sub(days * 86_400_000);
        let gone: Vec<UserId> = self
            .network
            .users
            .iter()
            .filter(|(_, user)| user.sessions.is_empty() && user.left < before)
            .map(|(id, _)| id)
            .take(limits::EXPIRED_AT_ONCE)
            .collect();
        for user in gone {
            self.submit_alone(Change::Quit { user, reason: "Not seen for a long time", shown: None, after: 0 });
        }
    }
}

/// PERSISTENCE STATUS to a connection: what its account chose, and what holds.
pub fn status(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let chosen = server.network.account(account).and_then(|account| account.always_on);
    let word = |on| if on { "ON" } else { "OFF" };
    let effective = word(is_chosen(&server.settings, chosen));
    ctx.reply.line("PERSISTENCE", &["STATUS", chosen.map_or("DEFAULT", word), effective], None);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::server::cloak::Cloak;
    use crate::server::command::bulk::testing::{Asked, account_row, always_on};
    use crate::server::event::{CloseCause, ConnId, Event};
    use crate::server::record::{AccountRow, PresenceRow, Record, Snapshot};
    use crate::server::settings::{AlwaysOn, Settings};

    /// What of channels and who is in them a line has kept.
    fn kept(asked: &mut Asked, conn: ConnId, line: &str) -> Vec<String> {
        asked.ask(conn, line);
        assert_eq!(asked.server.check(), Ok(()), "{line}");
        let word = |record: &Record| match record {
            Record::ChannelGone(name) => format!("-{name}"),
            Record::Channel(row) => format!("{} +{} {}", row.name, row.modes, row.key.as_deref().unwrap_or("*")),
            Record::ListEntry(row) => format!("{} +{} {}", row.channel, row.mode, row.mask),
            Record::ListEntryGone(channel, mode, mask) => format!("{channel} -{mode} {mask}"),
            Record::Metadata(row) if row.owner.starts_with('#') => format!("{} {}", row.owner, row.key),
            _ => String::new(),
        };
        asked.kept().iter().map(|(_, record)| word(record)).filter(|word| !word.is_empty()).collect()
    }

    const NONE: [&str; 0] = [];

    const DAY_MS: u64 = 86_400_000;

    /// Alice, who is always on and has been in `#a`, after a start: she had a connection when the server died, or had left
    /// at `left`.
    fn restarted(left: u64) -> (Asked, Option<u64>) {
        let row = PresenceRow {
            account: 1,
            since: 1,
            nick: "alice".into(),
            user: "~a".into(),
            hosts: "host host".into(),
            realname: "Alice".into(),
            modes: "i".into(),
            away: None,
            channels: "#a:o".into(),
            signon: 1,
            left,
        };
        let account = AccountRow { always_on: Some(true), ..account_row(1, "alice") };
        let snapshot = Snapshot { accounts: vec![account], presences: vec![row], ..Snapshot::default() };
        let mut asked = Asked::started_with(snapshot);
        let settings = Settings { always_on_expiry_days: 30, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        let kept = asked.kept().iter().find_map(|(_, record)| match record {
            Record::Presence(row) => Some(row.left),
            _ => None,
        });
        (asked, kept)
    }

    #[test]
    fn bans_of_every_host_that_somebody_was_shown_by_hold_after_a_start() {
        for (hosts, shown) in [
            ("a.vhost 10.0.0.9 b.vhost", "a.vhost"),
            // An earlier version kept no more: what is behind it is known once she is there, and is what she is shown by.
            ("a.vhost", "10.0.0.1"),
            ("a.vhost ?", "10.0.0.1"),
            ("a.vhost ? b.vhost 10.0.0.9", "10.0.0.1"),
        ] {
            let mut snapshot = always_on("#a:");
            snapshot.presences[0].hosts = hosts.into();
            let mut asked = Asked::started_with(snapshot);
            let id = asked.id("alice");
            assert_eq!(&*asked.server.network.users[id].host, "a.vhost");
            let alice = asked.device("alice", 1, "", "");
            assert_eq!(&*asked.server.network.users[id].host, shown, "{hosts}");
            let bob = asked.user("bob");
            asked.ask(bob, "JOIN #b");
            for host in hosts.split(' ').chain([shown]).filter(|host| *host != "?") {
                asked.ask(bob, &format!("MODE #b +b *!*@{host}"));
                assert!(asked.ask(alice, "JOIN #b").concat().contains(" 474 "), "{hosts}: {host}");
                asked.ask(bob, &format!("MODE #b -b *!*@{host}"));
            }
            assert!(asked.ask(alice, "JOIN #b").concat().contains(" JOIN #b"), "{hosts}");
            let text = &*super::Hosts::of(&asked.server.network.users[id]).text();
            assert_eq!(text.split(' ').next(), Some(shown));
            assert_eq!(&*super::Hosts::read(text).text(), text);
        }
    }

    #[test]
    fn bans_of_where_somebody_is_connected_from_hold_wherever_they_were_shown_first() {
        for (cloaked, hosts, shown) in [
            (true, "a.vhost x.cloak", "a.vhost"),
            (true, "x.cloak x.cloak", "x.cloak"),
            (false, "10.0.0.9 10.0.0.9", "10.0.0.9"),
        ] {
            let mut snapshot = always_on("#a:");
            snapshot.presences[0].hosts = hosts.into();
            snapshot.presences[0].modes = if cloaked { "x" } else { "" }.into();
            let mut asked = Asked::started_with(snapshot);
            let mut settings = Settings::clone(&asked.server.settings);
            settings.cloak = cloaked.then(Cloak::default);
            asked.server.settings = Arc::new(settings);
            let (bob, other) = (asked.user("bob"), asked.user("other"));
            let there = asked.server.network.users[asked.id("other")].host.to_string();
            assert_eq!(there.parse::<std::net::IpAddr>().is_err(), cloaked, "{there}");
            asked.set_oper("bob");
            let alice = asked.device("alice", 1, "", "");
            assert_eq!(&*asked.server.network.users[asked.id("alice")].host, shown);
            asked.ask(bob, "JOIN #b");
            for host in hosts.split(' ').chain([&*there]) {
                asked.ask(bob, &format!("MODE #b +b *!*@{host}"));
                assert!(asked.ask(alice, "JOIN #b").concat().contains(" 474 "), "{hosts}: {host}");
                asked.ask(bob, &format!("MODE #b -b *!*@{host}"));
            }
            assert!(asked.ask(alice, "JOIN #b").concat().contains(" JOIN #b"), "{hosts}");
            let told = asked.ask(bob, &format!("KLINE *!*@{there} MYSELF out")).concat();
            for conn in [alice, other] {
                assert!(asked.server.session(conn).is_none_or(|session| session.closing), "{hosts}: {told}");
            }
        }
    }

    #[test]
    fn that_what_one_writes_is_kept_is_not_said_where_it_is_refused() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.device("alice", 1, "", ""), asked.device("bob", 2, "", ""));
        for line in ["NS SET ALWAYS-ON ON", "SILENCE +bob!*@*", "ACCEPT bob"] {
            asked.ask(alice, line);
        }
        let (carol, guest) = (asked.device("carol", 3, "", ""), asked.user("guest"));
        asked.ask(alice, "QUIT");
        let mut told = |modes: &str, conn| {
            let alice = asked.id("alice");
            asked.server.network.users[alice].modes.set('g', modes.contains('g'));
            asked.server.network.users[alice].modes.set('R', modes.contains('R'));
            let lines = asked.ask(conn, "WHOIS alice");
            let away = lines.iter().find_map(|line| line.split_once(" 301 "));
            away.and_then(|(_, rest)| rest.split_once(" :")).map(|(_, text)| text.to_owned())
        };
        let kept = "Not connected; what you write is kept";
        for (modes, conn, text) in [
            ("", carol, kept),
            ("", guest, kept),
            ("g", carol, "Not connected"),
            ("R", carol, kept),
            ("R", guest, "Not connected"),
            // Silenced, which is nobody's to know, and accepted.
            ("g", bob, kept),
        ] {
            assert_eq!(told(modes, conn).as_deref(), Some(text), "{modes}");
        }
    }

    #[test]
    fn that_what_one_writes_is_kept_is_said_once_it_is() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.device("alice", 1, "", ""), asked.device("bob", 2, "", ""));
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        asked.ask(alice, "QUIT");
        let told = asked.ask(bob, "PRIVMSG alice :hi").concat();
        assert!(told.contains(" 301 ") && told.contains("is kept"), "{told}");
        assert_eq!(asked.answer_waits(bob), asked.server.last_seq());
        assert!(asked.kept().iter().any(|(seq, _)| *seq == asked.server.last_seq()));
    }

    #[test]
    fn addresses_from_before_there_were_cloaks_are_behind_them_and_named_in_bans_alone() {
        let mut hosts = super::Hosts::read("10.0.0.1 10.0.0.1");
        assert!(hosts.hide(|_| "x.cloak".into()));
        assert_eq!(&*hosts.text(), "x.cloak x.cloak 10.0.0.1");
        let mut hosts = super::Hosts::read("a.vhost 10.0.0.1 b.vhost");
        assert!(hosts.hide(|_| "x.cloak".into()));
        assert_eq!(&*hosts.text(), "a.vhost x.cloak b.vhost 10.0.0.1");
        assert!(!hosts.hide(|_| "x.cloak".into()));
    }

    #[test]
    fn a_topic_that_goes_with_the_last_member_goes_when_the_server_is_killed() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        let mut row = None;
        let mut setting = None;
        for line in ["JOIN #k", "CS REGISTER #k", "CS SET #k KEEPTOPIC OFF", "TOPIC #k :text"] {
            asked.ask(alice, line);
            for (_, record) in asked.kept() {
                match record {
                    Record::Channel(new) => row = Some((**new).clone()),
                    Record::Setting(new) if &*new.key == "keeptopic" => setting = Some((**new).clone()),
                    _ => {}
                }
            }
        }
        let (Some(row), Some(setting)) = (row, setting) else { panic!("nothing was kept") };
        assert!(row.topic.is_some());
        for (keeps, settings) in [(false, vec![setting]), (true, Vec::new())] {
            let channels = vec![row.clone()];
            let snapshot =
                Snapshot { accounts: vec![account_row(1, "alice")], channels, settings, ..Snapshot::default() };
            let mut asked = Asked::started_with(snapshot);
            asked.handle(Event::Tick);
            let is_told = |(_, record): &(_, Record)| matches!(record, Record::Channel(row) if row.topic.is_none());
            assert_eq!(asked.kept().iter().any(is_told), !keeps);
            let bob = asked.user("bob");
            assert_eq!(asked.ask(bob, "JOIN #k").concat().contains(" 332 "), keeps);
        }
    }

    fn is_there(asked: &mut Asked, days: u64) -> bool {
        // A clock that leaps is not believed at once.
        for _ in 0..days {
            asked.now.unix_ms += DAY_MS;
            asked.now.mono_ms += DAY_MS;
            asked.handle(Event::Tick);
        }
        asked.server.network.user_by_nick("alice").is_some()
    }

    #[test]
    fn who_was_connected_when_the_server_was_killed_has_been_away_since_the_start_and_no_longer() {
        let (mut asked, kept) = restarted(0);
        assert_eq!(kept, Some(asked.now.unix_ms), "the next start counts from there, too");
        assert!(is_there(&mut asked, 29));
        assert!(!is_there(&mut asked, 3));
        let (mut asked, _) = restarted(1);
        assert!(!is_there(&mut asked, 1), "she was not there for longer than that");
    }

    #[test]
    fn a_clock_that_leaps_ahead_makes_nobody_go_who_is_always_on() {
        let (mut asked, _) = restarted(0);
        assert!(is_there(&mut asked, 1));
        asked.now.unix_ms += 400 * DAY_MS;
        asked.now.mono_ms += 120_000;
        asked.handle(Event::Tick);
        assert!(asked.server.network.user_by_nick("alice").is_some());
    }

    /// Alice, who is always on, as lunch in a channel with bob.
    fn under_another_nick() -> (Asked, ConnId, ConnId) {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        for (conn, line) in
            [(alice, "NS SET ALWAYS-ON ON"), (alice, "JOIN #a"), (bob, "JOIN #a"), (alice, "NICK lunch")]
        {
            asked.ask(conn, line);
        }
        (asked, alice, bob)
    }

    #[test]
    fn whoever_is_always_on_and_goes_under_another_nick_stays_under_that_of_its_account() {
        let (mut asked, alice, bob) = under_another_nick();
        asked.ask(alice, "QUIT");
        let heard = asked.heard(bob).concat();
        assert!(heard.contains(":lunch!~u@10.0.0.1 NICK alice") && !heard.contains("QUIT"), "{heard}");
        let user = asked.id("alice");
        assert!(asked.server.network.users[user].presence_kept);
        assert_eq!(asked.server.check(), Ok(()));
        // Her nick is another's of hers: she goes.
        let (mut asked, alice, bob) = under_another_nick();
        let phone = asked.device("phone", 1, "phone", "");
        asked.ask(phone, "NICK alice");
        asked.ask(alice, "QUIT");
        assert!(asked.heard(bob).concat().contains(":lunch!~u@10.0.0.1 QUIT "));
    }

    /// Who a start would put back, and where.
    fn put_back(asked: &mut Asked) -> String {
        assert_eq!(asked.server.check(), Ok(()));
        let users = asked.server.network.users.iter().filter(|(_, user)| user.presence_kept);
        let users = users.map(|(id, user)| (user.nick.clone(), asked.server.presence_row(id, 1).channels));
        users.map(|(nick, channels)| format!("{nick} {}", channels.split(':').next().unwrap_or_default())).collect()
    }

    #[test]
    fn an_account_keeps_one_user_at_any_time_and_the_one_that_has_its_nick_where_there_is_one() {
        let (mut asked, alice, bob) = under_another_nick();
        assert_eq!(put_back(&mut asked), "lunch #a");
        let phone = asked.device("phone", 1, "phone", "");
        asked.ask(phone, "JOIN #b");
        assert_eq!(put_back(&mut asked), "lunch #a", "there is one");
        asked.ask(phone, "NICK alice");
        assert_eq!(put_back(&mut asked), "alice #b");
        asked.ask(phone, "NICK other");
        assert_eq!(put_back(&mut asked), "other #b");
        // It goes on as alice, and so the other does not.
        asked.ask(phone, "QUIT");
        assert_eq!(put_back(&mut asked), "alice #b");
        asked.ask(alice, "NS SET ALWAYS-ON OFF");
        assert_eq!(put_back(&mut asked), "");
        assert_eq!(asked.kept().iter().filter(|(_, record)| matches!(record, Record::PresenceGone(1))).count(), 1);
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        assert_eq!(put_back(&mut asked), "lunch #a");
        // Whoever is kept goes for good: the other is.
        let phone = asked.device("phone", 1, "phone", "");
        asked.ask(phone, "NICK alice");
        assert_eq!(put_back(&mut asked), "alice ");
        asked.ask(phone, "JOIN #c");
        asked.set_oper("bob");
        asked.ask(bob, "KILL alice :gone");
        assert_eq!(put_back(&mut asked), "lunch #a");
        let kept: Vec<bool> = asked
            .kept()
            .iter()
            .filter_map(|(_, record)| match record {
                Record::PresenceGone(1) => Some(false),
                Record::Presence(_) => Some(true),
                _ => None,
            })
            .collect();
        assert_eq!(kept.last(), Some(&true), "what was forgotten of the one does not take the other's");
    }

    #[test]
    fn a_channel_is_kept_from_when_the_first_comes_who_is_always_on_until_nobody_is_there() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        assert_eq!(kept(&mut asked, bob, "JOIN #a"), NONE);
        assert_eq!(kept(&mut asked, bob, "MODE #a +ikb key x!*@*"), NONE);
        asked.ask(bob, "INVITE alice #a");
        assert_eq!(kept(&mut asked, alice, "JOIN #a key"), NONE, "she is not always on");
        // She is now.
        let whole = ["#a +int key", "#a +b x!*@*"];
        assert_eq!(kept(&mut asked, alice, "NS SET ALWAYS-ON ON"), whole);
        assert_eq!(kept(&mut asked, bob, "MODE #a +s-b x!*@*"), ["#a -b x!*@*", "#a +inst key"]);
        assert_eq!(kept(&mut asked, bob, "TOPIC #a :text"), ["#a +inst key"]);
        assert_eq!(kept(&mut asked, bob, "RENAME #a #b"), ["-#a", "#b +inst key"]);
        assert_eq!(kept(&mut asked, bob, "KICK #b alice"), NONE, "somebody is there");
        assert_eq!(kept(&mut asked, bob, "PART #b"), ["-#b"]);
        assert_eq!(kept(&mut asked, alice, "JOIN #c"), ["#c +nt *"]);
        assert_eq!(kept(&mut asked, alice, "PART #c"), ["-#c"]);
        // Registered meanwhile, it stays after she has gone; dropped, as long as she is there.
        assert_eq!(kept(&mut asked, alice, "JOIN #d"), ["#d +nt *"]);
        assert_eq!(kept(&mut asked, alice, "CS REGISTER #d"), ["#d +nt *"]);
        assert_eq!(kept(&mut asked, alice, "MODE #d +b y!*@*"), ["#d +b y!*@*", "#d +nt *"]);
        assert_eq!(kept(&mut asked, alice, "CS DROP #d"), ["-#d", "#d +nt *", "#d +b y!*@*"]);
        assert_eq!(kept(&mut asked, alice, "QUIT"), NONE, "she stays");
    }

    #[test]
    fn whoever_stops_being_always_on_and_starts_again_has_no_channel_written_anew() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        assert_eq!(kept(&mut asked, alice, "JOIN #a"), ["#a +nt *"]);
        for line in ["NICK other", "NICK alice", "NS SET ALWAYS-ON OFF", "NS SET ALWAYS-ON ON", "NS SET ALWAYS-ON OFF"]
        {
            assert_eq!(kept(&mut asked, alice, line), NONE, "{line}");
        }
        assert_eq!(kept(&mut asked, alice, "QUIT"), ["-#a"]);
    }

    #[test]
    fn a_permanent_channel_is_kept_while_it_is_one() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.set_oper("alice");
        assert_eq!(kept(&mut asked, alice, "JOIN #a"), NONE);
        assert_eq!(kept(&mut asked, alice, "MODE #a +bP x!*@*"), ["#a +Pnt *", "#a +b x!*@*"]);
        assert_eq!(kept(&mut asked, alice, "PART #a"), NONE);
        assert_eq!(kept(&mut asked, alice, "SAMODE #a -P"), ["-#a"]);
        assert!(asked.server.network.channel_by_name("#a").is_none());
    }

    #[test]
    fn the_quit_of_a_deleted_account_waits_until_it_is_kept() {
        let mut asked = Asked::new();
        let (alice, bob, oper) = (asked.user("alice"), asked.user("bob"), asked.user("oper"));
        asked.account("alice", 1);
        asked.account("oper", 2);
        asked.set_oper("oper");
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        asked.ask(alice, "QUIT");
        asked.handle(Event::Closed(alice, CloseCause::Asked));
        let code = asked.server.confirmation("UNREGISTER 1");
        asked.ask(oper, &format!("NS UNREGISTER alice {code}"));
        let gone = asked.kept().iter().filter(|(_, record)| matches!(record, Record::PresenceGone(1)));
        let gone = gone.map(|(seq, _)| *seq).max();
        assert!(asked.heard(bob).iter().any(|line| line.contains(" QUIT ")));
        let waits = asked.fanned_out().map(|frame| frame.after).next();
        assert!(gone.is_some() && waits >= gone, "QUIT waits for {waits:?}, and what it shows is {gone:?}");
    }

    #[test]
    fn c39_the_answer_to_away_waits_until_it_is_kept_where_it_is() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        asked.ask(alice, "AWAY :lunch");
        assert_eq!(asked.answer_waits(alice), 0, "she is not always on");
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        // The second time it tells nobody anything new.
        for line in ["AWAY :dinner", "AWAY :dinner", "AWAY", "AWAY"] {
            asked.ask(alice, line);
            let kept = asked.kept().iter().filter(|(_, record)| matches!(record, Record::Presence(_)));
            let kept = kept.map(|(seq, _)| *seq).max();
            let waits = asked.answer_waits(alice);
            assert!(kept.is_some_and(|kept| waits >= kept), "{line} waits for {waits}, and is kept under {kept:?}");
        }
    }

    #[test]
    fn who_is_made_always_on_by_a_reload_and_goes_while_away_is_kept() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        asked.ask(alice, "AWAY :brb");
        let settings = Settings { always_on: AlwaysOn::Mandatory, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: None }));
        assert!(asked.kept().iter().any(|(_, record)| matches!(record, Record::Presence(_))));
        assert_eq!(asked.server.check(), Ok(()));
    }

    #[test]
    fn a_reload_holds_for_those_who_are_there_and_for_those_who_stay_without_a_connection() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        let reloaded = |asked: &mut Asked, always_on| {
            let settings = Settings { always_on, ..(*asked.server.settings).clone() };
            asked.handle(Event::Reload(Arc::new(settings)));
            asked.handle(Event::Tick);
            assert_eq!(asked.server.check(), Ok(()));
            let word = |record: &Record| match record {
                Record::Presence(row) => format!("+{}", row.channels.split(':').next().unwrap_or_default()),
                Record::PresenceGone(_) => "-".to_owned(),
                Record::Channel(row) => format!("+{}", row.name),
                Record::ChannelGone(name) => format!("-{name}"),
                _ => String::new(),
            };
            asked.kept().iter().map(|(_, record)| word(record)).filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(reloaded(&mut asked, AlwaysOn::Mandatory), ["+#a", "+#a"], "at once, not with what she does next");
        assert_eq!(reloaded(&mut asked, AlwaysOn::OptIn), ["-"]);
        assert_eq!(reloaded(&mut asked, AlwaysOn::Mandatory), ["+#a"]);
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: None }));
        assert!(asked.server.network.user_by_nick("alice").is_some());
        reloaded(&mut asked, AlwaysOn::Off);
        assert!(asked.server.network.user_by_nick("alice").is_none(), "nobody stays who has no connection");
        assert!(asked.heard(bob).iter().any(|line| line.contains(" QUIT :Not always on any more")));
    }

    #[test]
    fn whoever_comes_beside_its_presence_is_told_how_to_be_that() {
        let (mut asked, alice, _) = under_another_nick();
        asked.ask(alice, "NICK alice");
        let told = |asked: &mut Asked, nick: &str| {
            let conn = asked.device(nick, 1, "", "");
            asked.heard(conn).concat().matches("alice is you: always on, with no connection now").count()
        };
        assert_eq!(told(&mut asked, "one"), 0, "she is there");
        asked.ask(alice, "QUIT");
        assert_eq!((told(&mut asked, "two"), told(&mut asked, "alice"), told(&mut asked, "three")), (1, 0, 0));
    }

    /// The same, where bob is an operator and lunch is not.
    fn without_a_rank() -> (Asked, ConnId, ConnId) {
        let (mut asked, alice, bob) = under_another_nick();
        asked.ask(alice, "MODE #a +o bob");
        asked.ask(bob, "MODE #a -o lunch");
        (asked, alice, bob)
    }

    fn gone(asked: &mut Asked, conn: ConnId) {
        asked.handle(Event::Closed(conn, CloseCause::Eof { shown: None }));
        assert_eq!(asked.server.check(), Ok(()));
    }

    /// The users of account 1: nick, `*` where it is kept, how many connections, channels.
    fn who(asked: &Asked) -> Vec<String> {
        let network = &asked.server.network;
        let theirs = network.users_of(1).map(|id| &network.users[id]);
        let mut all: Vec<String> = theirs
            .map(|there| {
                let channels: Vec<&str> = there.channels.iter().map(|id| &*network.channels[*id].name).collect();
                let kept = if there.presence_kept { "*" } else { "" };
                format!("{}{kept}({}) {}", there.nick, there.sessions.len(), channels.join(","))
            })
            .collect();
        all.sort();
        all
    }

    fn is_in(asked: &Asked) -> bool {
        who(asked).iter().any(|line| line.ends_with(" #a"))
    }

    #[test]
    fn ghost_of_somebody_kept_under_another_nick_while_the_disk_is_full_ends_no_server() {
        let (mut asked, _alice, _bob) = under_another_nick();
        let phone = asked.device("phone", 1, "phone", "");
        asked.handle(Event::StoreFailed("full".into()));
        asked.ask(phone, "NS GHOST lunch");
        assert_eq!(asked.server.check(), Ok(()));
    }

    #[test]
    fn ghost_of_another_user_of_the_account_leaves_the_presence_of_who_says_it() {
        let (mut asked, alice, _bob) = under_another_nick();
        asked.device("stale", 1, "stale", "");
        asked.ask(alice, "NS GHOST stale");
        assert_eq!(who(&asked), ["lunch*(1) #a"]);
        gone(&mut asked, alice);
        assert!(is_in(&asked), "{:?}", who(&asked));
    }

    #[test]
    fn regain_and_recover_take_a_grouped_nick_from_who_is_not_kept() {
        for command in ["NS REGAIN lunch", "RECOVER lunch"] {
            let (mut asked, alice, _bob) = under_another_nick();
            asked.ask(alice, "NS GROUP");
            asked.ask(alice, "NICK other");
            asked.device("lunch", 1, "stale", "");
            asked.ask(alice, "CAP REQ draft/nick-recovery");
            let told = asked.ask(alice, command);
            assert_eq!(who(&asked), ["lunch*(1) #a"], "{told:?}");
        }
    }

    #[test]
    fn who_is_not_kept_takes_nothing_from_who_is_by_going_first() {
        let (mut asked, alice, _bob) = under_another_nick();
        let kiosk = asked.device("kiosk", 1, "kiosk", "");
        assert_eq!(who(&asked), ["kiosk(1) ", "lunch*(1) #a"]);
        gone(&mut asked, kiosk);
        gone(&mut asked, alice);
        assert!(is_in(&asked), "{:?}", who(&asked));
    }

    #[test]
    fn a_clean_stop_keeps_whom_a_crash_would_have_kept() {
        let mut asked = Asked::new();
        asked.server.network.put_account(account_row(1, "alice"));
        asked.device("kiosk", 1, "kiosk", "");
        let alice = asked.device("alice", 1, "desk", "");
        for line in ["NS SET ALWAYS-ON ON", "JOIN #a", "NICK lunch"] {
            asked.ask(alice, line);
        }
        assert_eq!(who(&asked), ["kiosk(1) ", "lunch*(1) #a"]);
        asked.handle(Event::Shutdown("bye".into()));
        assert_eq!(who(&asked), ["alice*(0) #a"]);
    }

    #[test]
    fn two_devices_of_one_user_come_back_to_it_under_either_of_its_nicks() {
        let (mut asked, alice, bob) = under_another_nick();
        let phone = asked.device("lunch", 1, "phone", "");
        gone(&mut asked, alice);
        gone(&mut asked, phone);
        assert_eq!(who(&asked), ["alice*(0) #a"]);
        let phone = asked.device("lunch", 1, "phone", "");
        asked.device("alice", 1, "desktop", "");
        gone(&mut asked, phone);
        assert!(is_in(&asked), "{:?} {:?}", who(&asked), asked.heard(bob));
    }

    #[test]
    fn who_may_not_have_its_nick_back_yet_is_known_by_it_when_it_comes_again() {
        let (mut asked, alice, bob) = without_a_rank();
        gone(&mut asked, alice);
        asked.ask(bob, "MODE #a +N");
        let back = asked.device("lunch", 1, "", "");
        assert_eq!(who(&asked), ["alice*(1) #a"]);
        gone(&mut asked, back);
        asked.device("lunch", 1, "", "");
        assert_eq!(who(&asked), ["alice*(1) #a"]);
    }

    #[test]
    fn a_second_device_of_who_may_not_have_its_nick_back_yet_comes_to_the_same_user() {
        let (mut asked, alice, bob) = without_a_rank();
        gone(&mut asked, alice);
        asked.ask(bob, "MODE #a +N");
        asked.device("lunch", 1, "one", "");
        asked.device("lunch", 1, "two", "");
        assert_eq!(who(&asked), ["alice*(2) #a"]);
    }

    #[test]
    fn who_comes_back_while_the_disk_is_full_has_its_nick_once_it_is_not() {
        let (mut asked, alice, _bob) = under_another_nick();
        gone(&mut asked, alice);
        asked.handle(Event::StoreFailed("full".into()));
        let back = asked.device("lunch", 1, "", "");
        gone(&mut asked, back);
        asked.handle(Event::StoreRecovered);
        asked.device("lunch", 1, "", "");
        assert_eq!(who(&asked), ["lunch*(1) #a"]);
    }

    #[test]
    fn who_goes_under_another_nick_while_the_disk_is_full_stays() {
        let (mut asked, alice, _bob) = under_another_nick();
        asked.handle(Event::StoreFailed("full".into()));
        gone(&mut asked, alice);
        assert!(!asked.kept().iter().any(|(_, record)| matches!(record, Record::PresenceGone(1))));
        assert_eq!(who(&asked), ["alice*(0) #a"]);
    }

    #[test]
    fn a_kill_ends_whoever_is_always_on_under_another_nick() {
        let (mut asked, _alice, bob) = under_another_nick();
        asked.set_oper("bob");
        asked.ask(bob, "KILL lunch :spam");
        assert!(who(&asked).is_empty(), "{:?}", who(&asked));
    }

    #[test]
    fn ghost_of_somebody_not_kept_yet_while_the_disk_is_full_ends_no_server() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "NICK lunch");
        let phone = asked.device("phone", 1, "phone", "");
        asked.handle(Event::StoreFailed("full".into()));
        let settings = Settings { always_on: AlwaysOn::Mandatory, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        asked.ask(phone, "NS GHOST lunch");
        assert_eq!(asked.server.check(), Ok(()));
    }
}
