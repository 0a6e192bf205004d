//! What of a file comes into a database, and what does not and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ircv3::extban::{self, Subject};
use ircv3::message::cut;
use ircv3::mode::{Kind, Rank, kind};
use ircv3::sasl::scram::Credential;
use ircv3::time::time_text;
use ircv3::{Casemapping, mask, name};

use crate::accounts;
use crate::import::entry::{self, Entry};
use crate::import::{Account, Channel, Found, Password, Purge};
use crate::limits;
use crate::server::command::services::chanserv::ranks_of;
use crate::server::command::verify::looks_like_email;
use crate::server::lookalike::{Holder, Lookalikes};
use crate::server::policy::is_reserved;
use crate::server::record::{
    AccessRow, AccountId, AccountRow, ChannelRow, ConversationRow, Credentials, CredentialsRow, GroupedRow, ListRow,
    PresenceRow, PurgeRow, Record, SEQ_COUNTER_BITS, Seq, SettingRow, Snapshot, SuspensionRow,
};

/// What the configuration says that an import goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When two names are the same.
    pub casemapping: Casemapping,
    /// Whether names that look like another's are named.
    pub confusables: bool,
    /// Entries of all lists of one channel.
    pub list_entries: usize,
    /// The cost of a new hash.
    pub bcrypt_cost: u32,
    /// How often SCRAM hashes a password.
    pub scram_iterations: u32,
}

/// How many of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// They came.
    pub taken: usize,
    /// They were there already, and were left alone.
    pub there: usize,
    /// They did not come; each is named.
    pub refused: usize,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Accounts.
    pub accounts: Tally,
    /// Nicks beside the names of accounts.
    pub nicks: Tally,
    /// Client certificates.
    pub certificates: Tally,
    /// Registered channels.
    pub channels: Tally,
    /// Accounts that are something in a channel.
    pub access: Tally,
    /// Bans, exceptions and the like.
    pub entries: Tally,
    /// Channels that are closed.
    pub purges: Tally,
    /// Accounts that came and have no password here.
    pub without_password: Vec<String>,
    /// What did not come or is otherwise than it was, a line each.
    pub lines: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = if self.dry_run { "would come" } else { "came" };
        for (what, tally) in [
            ("accounts", self.accounts),
            ("grouped nicks", self.nicks),
            ("certificates", self.certificates),
            ("channels", self.channels),
            ("access to channels", self.access),
            ("bans and exceptions", self.entries),
            ("closed channels", self.purges),
        ] {
            let Tally { taken: number, there, refused } = tally;
            writeln!(
                f,
                "{:<21}{number} {taken}, {there} were there already, {refused} did not come",
                format!("{what}:")
            )?;
        }
        for line in &self.lines {
            writeln!(f, "- {line}")?;
        }
        if !self.without_password.is_empty() {
            writeln!(
                f,
                "without a password, until NickServ SENDPASS mails a code or an operator says NickServ SAPASSWD: {}",
                self.without_password.join(" ")
            )?;
        }
        Ok(())
    }
}

/// What is to be written, and what is to be told. With `dry_run`, passwords are not hashed, so that it is quick.
pub fn plan(
    snapshot: &Snapshot,
    rules: &Rules,
    found: &Found,
    now_ms: u64,
    dry_run: bool,
) -> (Vec<(Seq, Record)>, Report) {
    let mut plan = Plan::new(snapshot, rules, now_ms, dry_run);
    plan.report.lines.extend(found.notes.iter().map(|note| shown(note)));
    for account in &found.accounts {
        plan.account(account);
    }
    // A nick that is one account's name and another's beside it is the former's.
    for account in &found.accounts {
        plan.nicks(account);
    }
    for purge in &found.purges {
        plan.purge(purge);
    }
    for channel in &found.channels {
        plan.channel(channel);
    }
    (plan.records, plan.report)
}

/// The key of a setting of an account that came without a time of registration: by it, the next import knows it again.
/// A server passes over it.
const UNDATED: &str = "imported-undated";

struct Plan<'a> {
    rules: &'a Rules,
    now_ms: u64,
    next: Seq,
    records: Vec<(Seq, Record)>,
    report: Report,
    /// Accounts that the database has, by folded name: number and time of registration.
    there: BTreeMap<Box<str>, (AccountId, u64)>,
    /// Those of them that came from a file that did not say when they were registered.
    undated: BTreeSet<AccountId>,
    /// Accounts of the file that are in the database from now on, by folded name.
    ours: BTreeMap<Box<str>, AccountId>,
    /// What the file calls its accounts and channels that are in the database from now on, by folded name.
    called: BTreeMap<Box<str>, String>,
    /// Their numbers.
    of_file: BTreeSet<AccountId>,
    /// Those of them that came by this import.
    new: BTreeSet<AccountId>,
    /// Nicks beside the names of accounts, by folded nick.
    nicks: BTreeMap<Box<str>, AccountId>,
    certificates: BTreeSet<Box<str>>,
    channels: BTreeSet<Box<str>>,
    /// Those that are kept without being anybody's.
    held: BTreeSet<Box<str>>,
    /// What was said in channels that kept strangers out, and when it was last spoken there.
    closed: BTreeMap<Box<str>, (ConversationRow, u64)>,
    purges: BTreeSet<Box<str>>,
    /// Who is always on here, and was in its channels before they were anybody's.
    presences: Vec<PresenceRow>,
    people: Lookalikes,
    places: Lookalikes,
}

impl<'a> Plan<'a> {
    fn new(snapshot: &Snapshot, rules: &'a Rules, now_ms: u64, dry_run: bool) -> Plan<'a> {
        let index = || if rules.confusables { Lookalikes::on() } else { Lookalikes::default() };
        let (mut people, mut places) = (index(), index());
        for row in &snapshot.accounts {
            people.add(&row.name, Holder::Account(row.id));
        }
        for row in &snapshot.grouped {
            people.add(&row.nick, Holder::Account(row.account));
        }
        for row in &snapshot.channels {
            places.add(&row.name, Holder::Channel(0));
        }
        let registered = snapshot.channels.iter().filter(|row| row.founder.is_some());
        let held = snapshot.channels.iter().filter(|row| row.founder.is_none());
        let closed = snapshot.conversations.iter().filter(|(row, ..)| row.closed);
        let certificates = snapshot.credentials.iter().flat_map(|row| &row.credentials.certificates);
        let undated = snapshot.settings.iter().filter(|row| &*row.key == UNDATED);
        Plan {
            rules,
            now_ms,
            next: u64::from(snapshot.boot) << SEQ_COUNTER_BITS,
            records: Vec::new(),
            report: Report { dry_run, ..Report::default() },
            there: snapshot.accounts.iter().map(|row| (row.folded.clone(), (row.id, row.registered))).collect(),
            undated: undated.filter_map(|row| row.owner.strip_prefix('$')?.parse().ok()).collect(),
            ours: BTreeMap::new(),
            called: BTreeMap::new(),
            of_file: BTreeSet::new(),
            new: BTreeSet::new(),
            nicks: snapshot.grouped.iter().map(|row| (row.folded.clone(), row.account)).collect(),
            certificates: certificates.cloned().collect(),
            channels: registered.map(|row| row.folded.clone()).collect(),
            held: held.map(|row| row.folded.clone()).collect(),
            closed: closed.map(|(row, last, _)| (row.key.clone(), (row.clone(), *last))).collect(),
            purges: snapshot.purges.iter().map(|row| row.channel.clone()).collect(),
            presences: snapshot.presences.clone(),
            people,
            places,
        }
    }

    fn fold(&self, name: &str) -> Box<str> {
        self.rules.casemapping.fold(name).as_str().into()
    }

    fn say(&mut self, line: String) {
        self.report.lines.push(shown(&line));
    }

    /// A time of a file, which is not in the future.
    fn past(&self, seconds: u64) -> u64 {
        seconds.min(self.now_ms / 1000)
    }

    /// When something was registered, in milliseconds; not known where that is in the future.
    fn registered(&mut self, what: &str, given: Option<u64>) -> Option<u64> {
        let (time, now) = (given?, self.now_ms);
        if time > now {
            let (time, now) = (time / 1000, time_text(now));
            self.say(format!(
                "{what}: it was registered {time} seconds after 1970, which is in the future: here it was registered when \
                 it was imported, at {now}"
            ));
            return None;
        }
        Some(time)
    }

    fn setting(&mut self, owner: &str, key: &str, value: &str) {
        let row = SettingRow { owner: owner.into(), key: key.into(), value: Some(value.into()) };
        self.keep(Record::Setting(Box::new(row)));
    }

    /// An import counts as use: what was used elsewhere until now does not lapse because nobody has used it here yet.
    fn begin_use(&mut self, owner: &str) {
        self.setting(owner, "used", &self.now_ms.to_string());
    }

    fn keep(&mut self, record: Record) {
        self.records.push((self.next, record));
    }

    fn account(&mut self, account: &Account) {
        let given = &account.name;
        let refuse = |plan: &mut Plan, why: &str| {
            plan.report.accounts.refused += 1;
            plan.say(format!("account {given:?} did not come: {why}"));
        };
        let casemapping = self.rules.casemapping;
        if !name::is_account_name(given, limits::NICK_LEN, casemapping) {
            let why = format!("a name is like a nick here: {}", name::nick_letters(casemapping));
            return refuse(self, &why);
        }
        if is_reserved(given, casemapping) {
            return refuse(self, "a service has that name");
        }
        let folded = self.fold(given);
        if let Some(other) = self.called.get(&folded) {
            let why = format!("{other:?} of the same file has that name, as names are compared here");
            return refuse(self, &why);
        }
        let registered = self.registered(&format!("account {given:?}"), account.registered);
        if let Some((id, since)) = self.there.get(&folded).copied() {
            // Whoever registered the name here is not given what belongs to its owner there.
            if registered.map_or(self.undated.contains(&id), |time| time == since) {
                self.called.insert(folded.clone(), given.clone());
                self.ours.insert(folded, id);
                self.of_file.insert(id);
                self.report.accounts.there += 1;
                self.say(format!("account {given:?} is there already, by an earlier import, and was left alone"));
            } else {
                refuse(
                    self,
                    "an account of that name is there already, and is another: it was registered at another time",
                );
            }
            return;
        }
        if self.nicks.contains_key(&folded) {
            return refuse(self, "that is a nick of an account that is there already");
        }
        if account.unverified {
            return refuse(self, "it was never verified");
        }

        self.next += 1;
        let id = self.next;
        self.alike(given, id);
        let email = account.email.as_deref().filter(|email| !email.is_empty());
        let (email, bad) = match email {
            Some(email) if looks_like_email(email) => (Some(email), None),
            other => (None, other),
        };
        if let Some(bad) = bad {
            self.say(format!("account {given:?}: its address {bad:?} is none, and did not come"));
        }
        let (password, mut scram) = self.password(account);
        scram.extend(account.scram.iter().filter(|_| !password.is_empty()).cloned());
        scram.dedup_by_key(|credential| credential.hash);
        self.keep(Record::Account(Box::new(AccountRow {
            id,
            name: given.as_str().into(),
            folded: folded.clone(),
            password,
            registered: registered.unwrap_or(self.now_ms),
            autoreplay_missed: true,
            always_on: account.always_on,
            multiclient: !account.one_client,
            email: email.map(Into::into),
            verified: true,
        })));
        let undated = (UNDATED, "on".to_owned());
        let settings = account.settings.iter().chain(registered.is_none().then_some(&undated));
        for (key, value) in settings {
            self.setting(&format!("${id}"), key, value);
        }
        self.begin_use(&format!("${id}"));
        let certificates = self.own_certificates(account);
        if !scram.is_empty() || !certificates.is_empty() {
            let credentials = Credentials { scram, certificates, ..Credentials::default() };
            self.keep(Record::Credentials(Box::new(CredentialsRow { account: id, credentials })));
        }
        let is_over = |at: u64| at <= self.now_ms / 1000;
        if account.suspended.as_ref().and_then(|suspended| suspended.expires).is_some_and(is_over) {
            self.say(format!("account {given:?} was suspended until a time that is past, and is so no longer"));
        } else if let Some(suspended) = &account.suspended {
            self.keep(Record::Suspension(Box::new(SuspensionRow {
                account: id,
                reason: clean(&suspended.reason, limits::REASON_LEN),
                setter: setter(&suspended.setter),
                set_at: self.past(suspended.set_at),
                expires: suspended.expires,
            })));
            let ends = if suspended.expires.is_some() { "for as long as it was" } else { "for good" };
            self.say(format!("account {given:?} is suspended, {ends}"));
        }
        if let Some(vhost) = &account.vhost {
            self.say(format!("account {given:?}: its host {vhost:?} did not come"));
        }
        self.called.insert(folded.clone(), given.clone());
        self.ours.insert(folded, id);
        self.of_file.insert(id);
        self.new.insert(id);
        self.report.accounts.taken += 1;
    }

    /// Names someone who has a name like another's; their accounts are theirs all the same.
    fn alike(&mut self, name: &str, id: AccountId) {
        if self.people.any(name, |holder| holder != Holder::Account(id)) {
            self.say(format!("{name:?} looks like another name; both are there now"));
        }
        self.people.add(name, Holder::Account(id));
    }

    /// What stands in the account's row, and what SCRAM has of it already.
    fn password(&mut self, account: &Account) -> (Box<str>, Vec<Credential>) {
        let given = &account.name;
        match &account.password {
            Password::Hash(hash) => (hash.to_string().into(), hash.scram().into_iter().collect()),
            Password::Plain(plain) if plain.len() > limits::PASSWORD_LEN => {
                self.say(format!("account {given:?}: its password has more than {} bytes", limits::PASSWORD_LEN));
                self.report.without_password.push(given.clone());
                Default::default()
            }
            Password::Plain(_) if self.report.dry_run => Default::default(),
            // What stands in the clear there is not kept so here.
            Password::Plain(plain) => match accounts::hash(plain, self.rules.bcrypt_cost) {
                Ok(hash) => (hash.into(), accounts::derive(plain, self.rules.scram_iterations)),
                Err(error) => {
                    self.say(format!("account {given:?}: its password cannot be hashed: {error}"));
                    self.report.without_password.push(given.clone());
                    Default::default()
                }
            },
            Password::Unknown(why) => {
                self.say(format!("account {given:?}: {why}"));
                self.report.without_password.push(given.clone());
                Default::default()
            }
            Password::None => {
                self.say(format!("account {given:?} has no password"));
                self.report.without_password.push(given.clone());
                Default::default()
            }
        }
    }

    fn own_certificates(&mut self, account: &Account) -> Vec<Box<str>> {
        let mut own: Vec<Box<str>> = Vec::new();
        for given in &account.certificates {
            let fingerprint: String = given.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
            let is_one = fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
            let why = if !is_one {
                "is not SHA-256 in 64 digits of hex"
            } else if own.contains(&fingerprint.as_str().into()) {
                continue;
            } else if self.certificates.contains(fingerprint.as_str()) {
                "is another account's"
            } else if own.len() >= limits::CERTIFICATES {
                "is one more than an account may have"
            } else {
                self.certificates.insert(fingerprint.as_str().into());
                own.push(fingerprint.into());
                self.report.certificates.taken += 1;
                continue;
            };
            self.report.certificates.refused += 1;
            self.say(format!("account {:?}: the certificate {given:?} {why}", account.name));
        }
        own.sort_unstable();
        own
    }

    fn nicks(&mut self, account: &Account) {
        let folded = self.fold(&account.name);
        let Some(id) = self.ours.get(&folded).copied().filter(|id| self.new.contains(id)) else { return };
        for nick in &account.nicks {
            let other = self.fold(nick);
            let owner = self.nicks.get(&other).copied();
            if other == folded || owner == Some(id) {
                continue;
            }
            let casemapping = self.rules.casemapping;
            let why = if !name::is_nick(nick, limits::NICK_LEN, casemapping) || is_reserved(nick, casemapping) {
                "is no nick here"
            } else if self.ours.contains_key(&other) || self.there.contains_key(&other) {
                "is the name of another account"
            } else if owner.is_some() {
                "is another account's"
            } else {
                self.alike(nick, id);
                let row = GroupedRow {
                    folded: other.clone(),
                    nick: nick.as_str().into(),
                    account: id,
                    added: account.registered.unwrap_or(self.now_ms).min(self.now_ms),
                };
                self.keep(Record::Grouped(Box::new(row)));
                self.nicks.insert(other, id);
                self.report.nicks.taken += 1;
                continue;
            };
            self.report.nicks.refused += 1;
            self.say(format!("account {:?}: the nick {nick:?} {why}", account.name));
        }
    }

    /// The account of the file that goes by a name or has a nick.
    fn person(&self, name: &str) -> Option<AccountId> {
        let folded = self.fold(name);
        let by_nick = || self.nicks.get(&folded).filter(|id| self.of_file.contains(id));
        self.ours.get(&folded).or_else(by_nick).copied()
    }

    fn purge(&mut self, purge: &Purge) {
        let Purge { name: given, reason, setter: by, set_at, expires } = purge;
        if expires.is_some_and(|expires| expires <= self.now_ms / 1000) {
            return;
        }
        let folded = self.fold(given);
        if self.purges.contains(&folded) {
            self.report.purges.there += 1;
            return;
        }
        let why = if !name::is_channel(given, limits::CHANNEL_LEN) {
            "no channel has such a name here"
        } else if self.channels.contains(&folded) {
            "a channel of that name is registered already"
        } else {
            let row = PurgeRow {
                channel: folded.clone(),
                reason: clean(reason, limits::REASON_LEN),
                setter: setter(by),
                set_at: self.past(*set_at),
            };
            self.keep(Record::Purge(Box::new(row)));
            self.clear(given, &folded);
            self.purges.insert(folded);
            self.report.purges.taken += 1;
            let until = if expires.is_some() { "; there it was for a time, here until ChanServ PURGE DEL" } else { "" };
            self.say(format!("channel {given:?} is closed, as it was{until}"));
            return;
        };
        self.report.purges.refused += 1;
        self.say(format!("channel {given:?} is not closed: {why}"));
    }

    /// Takes those who are always on out of a channel that is closed, as ChanServ PURGE does.
    fn clear(&mut self, given: &str, folded: &str) {
        for mut row in std::mem::take(&mut self.presences) {
            let is_in = |word: &str| *self.fold(word.rsplit_once(':').map_or(word, |(name, _)| name)) == *folded;
            let words = row.channels.split_ascii_whitespace();
            let left: Vec<&str> = words.clone().filter(|word| !is_in(word)).collect();
            if left.len() < words.count() {
                row.channels = left.join(" ").into();
                self.keep(Record::Presence(Box::new(row.clone())));
                self.say(format!(
                    "channel {given:?}: {:?}, who is always on, was in it here and is not any more",
                    row.nick
                ));
            }
            self.presences.push(row);
        }
    }

    fn channel(&mut self, channel: &Channel) {
        let given = &channel.name;
        let refuse = |plan: &mut Plan, why: &str| {
            plan.report.channels.refused += 1;
            plan.say(format!("channel {given:?} did not come: {why}"));
        };
        if !name::is_channel(given, limits::CHANNEL_LEN) {
            let why = format!("a channel's name is # and up to {} bytes behind it", limits::CHANNEL_LEN - 1);
            return refuse(self, &why);
        }
        let folded = self.fold(given);
        if let Some(other) = self.called.get(&folded) {
            let why = format!("{other:?} of the same file has that name, as names are compared here");
            return refuse(self, &why);
        }
        if self.channels.contains(&folded) {
            self.called.insert(folded, given.clone());
            self.report.channels.there += 1;
            self.say(format!("channel {given:?} is there already and was left alone"));
            return;
        }
        if self.purges.contains(&folded) {
            return refuse(self, "it is closed");
        }
        let founder = channel.founders.iter().find_map(|name| self.person(name));
        let Some(founder) = founder else {
            let why = match channel.founders.first() {
                Some(name) => format!("the account of its founder {name:?} did not come"),
                None => "it has no founder".to_owned(),
            };
            return refuse(self, &why);
        };
        if channel.founders.first().is_some_and(|first| self.person(first) != Some(founder)) {
            self.say(format!("channel {given:?}: its founder did not come, and the next in line has it"));
        }
        let successor = self.successor(channel, founder);
        if self.places.any(given, |_| true) {
            self.say(format!("channel {given:?} looks like another; both are there now"));
        }
        self.places.add(given, Holder::Channel(0));

        let mut modes = String::new();
        let mut unknown = String::new();
        for letter in channel.modes.chars().filter(|letter| !"rd".contains(*letter)) {
            let list = if kind(letter) == Some(Kind::Flag) { &mut modes } else { &mut unknown };
            if !list.contains(letter) {
                list.push(letter);
            }
        }
        if !unknown.is_empty() {
            self.say(format!("channel {given:?}: the modes {unknown:?} did not come"));
        }
        let good_key = |key: &&String| {
            !key.is_empty()
                && key.len() <= limits::KEY_LEN
                && !key.starts_with(':')
                && !key.contains(|c: char| c == ' ' || c == ',' || c.is_control())
        };
        let key = channel.key.as_ref().filter(good_key);
        if channel.key.as_ref().is_some_and(|key| !key.is_empty()) && key.is_none() {
            // Without its key the channel would be open.
            if !modes.contains('i') {
                modes.push('i');
            }
            self.say(format!(
                "channel {given:?}: its key is none here, so it is invite-only (+i) until its founder sets one"
            ));
        }
        let forward = channel.forward.as_ref().filter(|forward| name::is_channel(forward, limits::CHANNEL_LEN));
        if let (Some(bad), None) = (&channel.forward, forward) {
            self.say(format!("channel {given:?}: it forwards to {bad:?}, which is no channel here"));
        }
        let registered = self.registered(&format!("channel {given:?}"), channel.registered).unwrap_or(self.now_ms);
        let topic = channel.topic.as_ref().filter(|(text, ..)| !text.is_empty());
        if topic.is_some() && channel.settings.contains(&("keeptopic", "off".to_owned())) {
            self.say(format!(
                "channel {given:?} did not keep its topic (KEEPTOPIC), nor does it here: unless somebody who is always \
                 on is in it, that is gone once the server starts"
            ));
        }
        let topic = topic.map(|(text, by, at)| {
            if text.len() > limits::TOPIC_LEN {
                let most = limits::TOPIC_LEN;
                self.report.lines.push(shown(&format!("channel {given:?}: its topic was cut to {most} bytes")));
            }
            (clean(text, limits::TOPIC_LEN), setter(by), self.past(*at))
        });
        self.next += 1;
        if self.held.remove(&folded) {
            self.keep(Record::ChannelGone(folded.clone()));
        }
        if let Some((row, last)) = self.closed.remove(&folded) {
            // Whoever it lets in may be a stranger to those who spoke there.
            let since = row.since.max(last + 1);
            self.keep(Record::Conversation(ConversationRow { closed: false, since, ..row }));
        }
        self.keep(Record::Channel(Box::new(ChannelRow {
            folded: folded.clone(),
            name: given.as_str().into(),
            founder: Some(founder),
            registered,
            created: registered / 1000,
            topic,
            modes: modes.into(),
            key: key.map(|key| key.as_str().into()),
            limit: channel.limit.filter(|limit| *limit > 0),
            forward: forward.map(|forward| forward.as_str().into()),
            transfer: None,
        })));
        for (key, value) in &channel.settings {
            self.channel_setting(given, &folded, key, value);
        }
        if let Some(successor) = successor {
            self.setting(&folded, "successor", &successor.to_string());
        }
        self.begin_use(&folded);
        self.entries(channel, &folded);
        let ranks = self.access(channel, &folded, founder);
        self.presences(channel, &folded, &ranks);
        self.called.insert(folded.clone(), given.clone());
        self.channels.insert(folded);
        self.report.channels.taken += 1;
    }

    /// Who has the channel once its founder's account is no more: the next in line after the founder who came.
    fn successor(&mut self, channel: &Channel, founder: AccountId) -> Option<AccountId> {
        let place = channel.founders.iter().position(|name| self.person(name) == Some(founder))?;
        for name in &channel.founders[place..] {
            match self.person(name) {
                Some(id) if id == founder => {}
                Some(id) => return Some(id),
                None => {
                    self.say(format!("channel {:?}: its successor {name:?} has no account that came", channel.name));
                }
            }
        }
        None
    }

    fn channel_setting(&mut self, name: &str, folded: &str, key: &str, given: &str) {
        let value = clean(given, limits::CHANNEL_TEXT_LEN);
        let fits = match key {
            "email" => looks_like_email(&value),
            "url" => value.split_once("://").is_some_and(|(_, rest)| !rest.is_empty()) && !value.contains(' '),
            _ => true,
        };
        if !fits {
            let right = if key == "url" { "an address as https://example.org/" } else { "an address as a@example.org" };
            return self
                .say(format!("channel {name:?}: its {key} is {given:?}, and did not come: {right} would be right"));
        }
        if value.len() < given.len() {
            let most = limits::CHANNEL_TEXT_LEN;
            self.say(format!("channel {name:?}: its {key} was cut to {most} bytes"));
        }
        self.setting(folded, key, &value);
    }

    fn entries(&mut self, channel: &Channel, folded: &str) {
        let mut taken: Vec<(char, String)> = Vec::new();
        for (mode, given, by, set_at) in &channel.lists {
            let casemapping = self.rules.casemapping;
            let fits = given.len() <= limits::MASK_LEN
                && !given.is_empty()
                && !given.contains(|c: char| c == ' ' || c.is_control());
            let entry = entry::read(given, casemapping).and_then(|read| self.known(*mode, fits, read));
            let why = match entry {
                Err(why) => why,
                Ok(Entry { mask, .. })
                    if taken.iter().any(|(m, other)| m == mode && mask::same(other, &mask, casemapping)) =>
                {
                    continue;
                }
                Ok(_) if taken.len() >= self.rules.list_entries => {
                    "is one more than channels.list_entries allows".to_owned()
                }
                Ok(Entry { mask, forward }) => {
                    self.keep(Record::ListEntry(Box::new(ListRow {
                        channel: folded.into(),
                        mode: *mode,
                        mask: mask.as_str().into(),
                        setter: setter(by),
                        set_at: self.past(*set_at),
                    })));
                    taken.push((*mode, mask));
                    self.report.entries.taken += 1;
                    if let Some(forward) = forward {
                        let name = &channel.name;
                        self.say(format!(
                            "channel {name:?}: +{mode} {given:?} came without its forward to {forward:?}"
                        ));
                    }
                    continue;
                }
            };
            self.report.entries.refused += 1;
            self.say(format!("channel {:?}: +{mode} {given:?} {why}", channel.name));
        }
    }

    /// An entry, unless the list has none like it or it is about an account that somebody else may have here.
    fn known(&self, mode: char, fits: bool, read: Entry) -> Result<Entry, String> {
        let extban::Entry { about, subject, mask } = extban::Entry::read(&read.mask);
        if !fits || mode == 'I' && about.is_some() {
            return Err("is no entry here".to_owned());
        }
        let is_one = subject == Some(Subject::Account) && !mask.contains(['*', '?']);
        if is_one && !self.ours.contains_key(&self.fold(mask)) {
            return Err(format!("did not come: the account {mask:?} did not come"));
        }
        Ok(read)
    }

    /// Keeps who is what in a channel, and says it, the founder included.
    fn access(&mut self, channel: &Channel, folded: &str, founder: AccountId) -> BTreeMap<AccountId, Rank> {
        let mut ranks: BTreeMap<AccountId, Rank> = BTreeMap::new();
        for (who, rank) in &channel.access {
            // A channel has one founder; whoever else had all rights there has nearly all here.
            let rank = (*rank).min(Rank::Admin);
            let why = match self.person(who) {
                Some(id) if id == founder => continue,
                Some(id) if ranks.contains_key(&id) => {
                    let best = ranks.entry(id).or_insert(rank);
                    *best = rank.max(*best);
                    continue;
                }
                Some(_) if ranks.len() >= limits::CHANNEL_ACCESS => "is one more than a channel may have",
                Some(id) => {
                    ranks.insert(id, rank);
                    continue;
                }
                None => "has no account that came",
            };
            self.report.access.refused += 1;
            self.say(format!("channel {:?}: {who:?}, who had +{}, {why}", channel.name, rank.letter()));
        }
        self.report.access.taken += ranks.len();
        for (account, rank) in &ranks {
            let row = AccessRow { channel: folded.into(), account: *account, rank: *rank };
            self.keep(Record::Access(Box::new(row)));
        }
        ranks.insert(founder, Rank::Founder);
        ranks
    }

    /// Whoever is always on and was in a channel here while it was nobody's has the ranks there from now on that its founder
    /// gave, and no other.
    fn presences(&mut self, channel: &Channel, folded: &str, ranks: &BTreeMap<AccountId, Rank>) {
        for mut row in std::mem::take(&mut self.presences) {
            let theirs = ranks.get(&row.account).map(|rank| ranks_of(*rank)).unwrap_or_default();
            let letters: String = theirs.iter().map(Rank::letter).collect();
            let mut had = None;
            let word = |word: &str| {
                let (name, rest) = word.rsplit_once(':').unwrap_or((word, ""));
                let joined = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
                let before = &rest[..rest.len() - joined.len()];
                if *self.fold(name) != *folded || before == letters {
                    return word.to_owned();
                }
                had = Some(before.to_owned());
                format!("{name}:{letters}{joined}")
            };
            let words: Vec<String> = row.channels.split_ascii_whitespace().map(word).collect();
            if let Some(had) = had {
                row.channels = words.join(" ").into();
                self.keep(Record::Presence(Box::new(row.clone())));
                let given =
                    |letters: &str| if letters.is_empty() { "no rank".to_owned() } else { format!("+{letters}") };
                self.say(format!(
                    "channel {:?}: {:?}, who is always on, was in it here before and had {}; now that is {}, as its founder \
                     gave it",
                    channel.name,
                    row.nick,
                    given(&had),
                    given(&letters)
                ));
            }
            self.presences.push(row);
        }
    }
}

/// A text that has to fit into a line.
fn clean(text: &str, most: usize) -> Box<str> {
    let text: String = text.chars().map(|c| if matches!(c, '\r' | '\n' | '\0') { ' ' } else { c }).collect();
    cut(&text, most).into()
}

/// Who set something, as a word of a line.
fn setter(text: &str) -> Box<str> {
    let word = text.split(|c: char| c.is_whitespace() || c.is_control()).find(|word| !word.is_empty());
    let word = word.map_or("", |word| word.trim_start_matches(':'));
    if word.is_empty() { "*".into() } else { cut(word, 128).into() }
}

/// A line of the report: what a file says moves no terminal.
fn shown(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use ircv3::Casemapping;
    use ircv3::mode::Rank;

    use super::{Report, Rules, Tally, plan};
    use crate::accounts::{self, foreign::Foreign};
    use crate::import::{Account, Channel, Found, Password, Purge, Suspension};
    use crate::server::record::{AccountRow, ConversationRow, PresenceRow, Record, Seq, Snapshot};

    pub fn rules() -> Rules {
        Rules {
            casemapping: Casemapping::Rfc1459,
            confusables: true,
            list_entries: 3,
            bcrypt_cost: accounts::LOWEST_COST,
            scram_iterations: 4096,
        }
    }

    fn person(name: &str) -> Account {
        let password = Password::from(Foreign::anope("md5:5ebe2294ecd0e0f08eab7690d2a6ee69"));
        Account { name: name.to_owned(), registered: Some(1_600_000_000_000), password, ..Account::default() }
    }

    fn room(name: &str, founder: &str) -> Channel {
        Channel { name: name.to_owned(), founders: vec![founder.to_owned()], ..Channel::default() }
    }

    fn planned(snapshot: &Snapshot, found: &Found) -> (Vec<Record>, Report) {
        let (records, report) = plan(snapshot, &rules(), found, 1_700_000_000_000, false);
        (records.into_iter().map(|(_, record)| record).collect(), report)
    }

    #[track_caller]
    fn says(report: &Report, part: &str) {
        assert!(report.lines.iter().any(|line| line.contains(part)), "{part:?} is not in {:#?}", report.lines);
    }

    /// A snapshot that an import was written into.
    fn after(records: &[Record]) -> Snapshot {
        let mut snapshot = Snapshot { casemapping: Casemapping::Rfc1459, boot: 1, ..Snapshot::default() };
        for record in records.iter().cloned() {
            match record {
                Record::Account(row) => snapshot.accounts.push(*row),
                Record::Channel(row) => snapshot.channels.push(*row),
                Record::Grouped(row) => snapshot.grouped.push(*row),
                Record::Credentials(row) => snapshot.credentials.push(*row),
                Record::Setting(row) => snapshot.settings.push(*row),
                _ => {}
            }
        }
        snapshot
    }

    #[test]
    fn a_suspension_that_is_over_does_not_come() {
        let until = |expires| Suspension { reason: "spam".into(), expires, ..Suspension::default() };
        let people = [("past", Some(1_699_999_999)), ("future", Some(1_700_000_060)), ("ever", None)];
        let accounts =
            people.map(|(name, expires)| Account { suspended: Some(until(expires)), ..person(name) }).to_vec();
        let (records, report) = planned(&Snapshot::default(), &Found { accounts, ..Found::default() });
        let kept = records.iter().filter_map(|record| match record {
            Record::Suspension(row) => Some(row.expires),
            _ => None,
        });
        assert_eq!(kept.collect::<Vec<_>>(), [Some(1_700_000_060), None]);
        says(&report, "account \"past\" was suspended until a time that is past, and is so no longer");
        says(&report, "account \"future\" is suspended, for as long as it was");
        assert!(!report.to_string().contains("\"past\" is suspended"), "{report}");
    }

    #[test]
    fn names_that_are_none_or_clash_are_named_and_the_rest_comes() {
        let accounts = ["alice", "ALICE", "a.b", "", "NickServ", "bob[", "BOB{", "\u{430}lice"].map(person).to_vec();
        let mut found = Found { accounts, ..Found::default() };
        found.accounts[0].nicks = ["alice", "al", "BOB[", "bad nick", "al"].map(str::to_owned).to_vec();
        found.accounts.push(Account { unverified: true, ..person("new") });
        let (records, report) = planned(&Snapshot::default(), &found);
        let names: Vec<_> =
            records.iter().filter_map(|r| if let Record::Account(row) = r { Some(&*row.name) } else { None }).collect();
        assert_eq!(names, ["alice", "bob["]);
        assert_eq!((report.accounts.taken, report.accounts.refused), (2, 7));
        assert_eq!((report.nicks.taken, report.nicks.refused), (1, 2));
        for part in [
            "\"ALICE\" did not come: \"alice\" of the same file has that name, as names are compared here",
            "\"a.b\" did not come: a name is like a nick",
            "\"NickServ\" did not come: a service",
            "\"BOB{\" did not come: \"bob[\" of the same file",
            "\"new\" did not come: it was never verified",
            "the nick \"BOB[\" is the name of another account",
            "the nick \"bad nick\" is no nick here",
        ] {
            says(&report, part);
        }
    }

    #[test]
    fn names_that_look_alike_come_and_are_named() {
        let found = Found { accounts: ["evan", "\u{435}van"].map(person).to_vec(), ..Found::default() };
        let precis = Rules { casemapping: Casemapping::Precis, ..rules() };
        let (_, report) = plan(&Snapshot::default(), &precis, &found, 1, true);
        assert_eq!(report.accounts.taken, 2);
        says(&report, "looks like another name");
    }

    #[test]
    fn an_import_that_is_run_again_alters_nothing_and_a_stranger_is_given_nothing() {
        let found = Found {
            accounts: vec![person("alice"), person("bob")],
            channels: vec![Channel { access: vec![("bob".into(), Rank::Op)], ..room("#a", "alice") }],
            ..Found::default()
        };
        let (records, first) = planned(&Snapshot { boot: 1, ..Snapshot::default() }, &found);
        assert_eq!((first.accounts.taken, first.channels.taken, first.access.taken), (2, 1, 1));
        let (again, report) = planned(&after(&records), &found);
        assert!(again.is_empty(), "{again:?}");
        assert_eq!((report.accounts.there, report.channels.there), (2, 1));
        // A channel that is new in the file comes to who came before.
        let more = Found { channels: vec![room("#b", "alice")], ..found.clone() };
        assert_eq!(planned(&after(&records), &more).1.channels.taken, 1);

        // Somebody who registered the name here is another.
        let mut snapshot = after(&records);
        snapshot.channels.clear();
        snapshot.accounts[0] = AccountRow { registered: 5, ..snapshot.accounts[0].clone() };
        let (again, report) = planned(&snapshot, &found);
        assert!(again.is_empty(), "{again:?}");
        says(&report, "\"alice\" did not come: an account of that name is there already, and is another");
        says(&report, "\"#a\" did not come: the account of its founder \"alice\" did not come");
    }

    #[test]
    fn an_account_that_came_without_a_time_of_registration_is_the_same_the_next_time() {
        let undated = Account { registered: None, ..person("alice") };
        let found = Found { accounts: vec![undated], ..Found::default() };
        let (records, report) = planned(&Snapshot { boot: 1, ..Snapshot::default() }, &found);
        assert_eq!(report.accounts.taken, 1);
        let (again, report) = planned(&after(&records), &found);
        assert!(again.is_empty(), "{again:?}");
        assert_eq!((report.accounts.there, report.accounts.refused), (1, 0), "{:?}", report.lines);
        // Somebody who registered the name here is another.
        let stranger = Snapshot { settings: Vec::new(), ..after(&records) };
        assert_eq!(planned(&stranger, &found).1.accounts.refused, 1);
    }

    #[test]
    fn what_was_registered_in_the_future_was_registered_when_it_was_imported() {
        let late = Some(9_223_372_036_854);
        let account = Account { registered: late, nicks: vec!["al".to_owned()], ..person("alice") };
        let channel = Channel { registered: late, ..room("#a", "alice") };
        let found = Found { accounts: vec![account], channels: vec![channel], ..Found::default() };
        let (records, report) = planned(&Snapshot { boot: 1, ..Snapshot::default() }, &found);
        let times: Vec<u64> = records
            .iter()
            .filter_map(|record| match record {
                Record::Account(row) => Some(row.registered),
                Record::Grouped(row) => Some(row.added),
                Record::Channel(row) => Some(row.registered),
                _ => None,
            })
            .collect();
        assert_eq!(times, [1_700_000_000_000; 3]);
        for what in ["account \"alice\"", "channel \"#a\""] {
            says(&report, &format!("{what}: it was registered 9223372036 seconds after 1970, which is in the future"));
        }
        let (again, report) = planned(&after(&records), &found);
        assert!(again.is_empty() && report.accounts.there == 1, "{again:?}");
    }

    #[test]
    fn what_was_chosen_of_accounts_and_channels_comes_and_what_is_none_here_is_named() {
        let mut found =
            Found { accounts: vec![person("alice")], channels: vec![room("#a", "alice")], ..Found::default() };
        found.accounts[0].always_on = Some(true);
        found.accounts[0].one_client = true;
        found.accounts[0].settings = vec![("history", "off".to_owned())];
        let settings = [("url", "nowhere"), ("email", "nobody"), ("entrymsg", "hi\r\nQUIT"), ("cutoff", "join")];
        found.channels[0].settings = settings.map(|(key, value)| (key, value.to_owned())).to_vec();
        found.channels[0].settings.push(("description", "x".repeat(400)));
        let (records, report) = planned(&Snapshot::default(), &found);
        let row = records.iter().find_map(|r| if let Record::Account(row) = r { Some(row) } else { None }).unwrap();
        assert_eq!((row.always_on, row.multiclient), (Some(true), false));
        let settings = records.iter().filter_map(|r| if let Record::Setting(row) = r { Some(row) } else { None });
        let settings: Vec<_> =
            settings.map(|row| format!("{} {} {}", row.owner, row.key, row.value.as_deref().unwrap())).collect();
        let description = format!("#a description {}", "x".repeat(300));
        let used = ["$1", "#a"].map(|owner| format!("{owner} used 1700000000000"));
        let right = ["$1 history off", &used[0], "#a entrymsg hi  QUIT", "#a cutoff join", &description, &used[1]];
        assert_eq!(settings, right);
        for part in ["its url is \"nowhere\", and did not come", "its email is \"nobody\"", "its description was cut"] {
            says(&report, part);
        }
    }

    #[test]
    fn a_channel_whose_founder_is_missing_goes_to_the_next_in_line_or_does_not_come() {
        let mut heir = room("#heir", "ghost");
        heir.founders.push("alice".to_owned());
        let found = Found {
            accounts: vec![person("alice")],
            channels: vec![
                heir,
                room("#lost", "ghost"),
                Channel { name: "#nobody".to_owned(), ..Channel::default() },
                room("nohash", "alice"),
                room("#shut", "alice"),
                room("#Heir", "alice"),
            ],
            purges: vec![
                Purge { name: "#shut".to_owned(), reason: "spam\r\nQUIT".to_owned(), ..Purge::default() },
                Purge { name: "#over".to_owned(), expires: Some(5), ..Purge::default() },
            ],
            ..Found::default()
        };
        let (records, report) = planned(&Snapshot::default(), &found);
        assert_eq!((report.channels.taken, report.channels.there, report.channels.refused), (1, 0, 5));
        says(&report, "\"#Heir\" did not come: \"#heir\" of the same file has that name, as names are compared here");
        says(&report, "\"#heir\": its founder did not come, and the next in line has it");
        says(&report, "\"#lost\" did not come: the account of its founder \"ghost\"");
        says(&report, "\"#nobody\" did not come: it has no founder");
        says(&report, "\"#shut\" did not come: it is closed");
        assert_eq!(report.purges, Tally { taken: 1, ..Tally::default() });
        let purge = records.iter().find_map(|r| if let Record::Purge(row) = r { Some(row) } else { None }).unwrap();
        assert_eq!((&*purge.reason, &*purge.setter), ("spam  QUIT", "*"));
    }

    #[test]
    fn the_successor_of_a_channel_comes_with_it_or_is_named() {
        let line = |name: &str, founders: &[&str]| Channel {
            founders: founders.iter().map(|name| (*name).to_owned()).collect(),
            ..room(name, "")
        };
        let channels = vec![
            line("#a", &["alice", "bob"]),
            line("#b", &["alice", "ghost"]),
            line("#c", &["alice", "ALICE", "ghost", "bob", "phantom"]),
            line("#d", &["ghost", "bob"]),
        ];
        let accounts = ["alice", "bob"].map(person).to_vec();
        let (records, report) = planned(&Snapshot::default(), &Found { accounts, channels, ..Found::default() });
        let successors = records.iter().filter_map(|record| match record {
            Record::Setting(row) if &*row.key == "successor" => Some(format!("{} {:?}", row.owner, row.value)),
            _ => None,
        });
        assert_eq!(successors.collect::<Vec<_>>(), ["#a Some(\"2\")", "#c Some(\"2\")"]);
        for channel in ["#b", "#c"] {
            says(&report, &format!("channel {channel:?}: its successor \"ghost\" has no account that came"));
        }
        assert!(!report.to_string().contains("phantom"), "{report}");
    }

    #[test]
    fn what_a_channel_cannot_have_here_is_named_and_it_is_no_more_open_than_it_was() {
        let found = Found {
            accounts: ["alice", "bob", "carol"].map(person).to_vec(),
            channels: vec![Channel {
                modes: "ntrZ".to_owned(),
                key: Some("a b".to_owned()),
                forward: Some("nowhere".to_owned()),
                topic: Some(("x\r\ny".repeat(200), "a b".to_owned(), 7)),
                settings: vec![("keeptopic", "off".to_owned())],
                access: vec![
                    ("bob".into(), Rank::Voice),
                    ("bob".into(), Rank::Founder),
                    ("alice".into(), Rank::Op),
                    ("ghost".into(), Rank::Op),
                ],
                lists: ["*!*@a", "*!*@A", "bad mask", "m:m:x", "account:bob", "*!*@b", "*!*@c"]
                    .map(|mask| ('b', mask.to_owned(), String::new(), 1))
                    .to_vec(),
                ..room("#a", "alice")
            }],
            ..Found::default()
        };
        let (records, report) = planned(&Snapshot::default(), &found);
        let row = records.iter().find_map(|r| if let Record::Channel(row) = r { Some(row) } else { None }).unwrap();
        assert_eq!((&*row.modes, &row.key, &row.forward), ("nti", &None, &None));
        let (text, setter, set_at) = row.topic.clone().unwrap();
        assert!(text.len() <= 300 && !text.contains(['\r', '\n']) && &*setter == "a" && set_at == 7);
        let masks: Vec<_> = records
            .iter()
            .filter_map(|r| if let Record::ListEntry(row) = r { Some(&*row.mask) } else { None })
            .collect();
        assert_eq!(masks, ["*!*@a", "a:bob", "*!*@b"]);
        let access: Vec<_> =
            records.iter().filter_map(|r| if let Record::Access(row) = r { Some(row.rank) } else { None }).collect();
        assert_eq!(access, [Rank::Admin]);
        for part in [
            "the modes \"Z\"",
            "invite-only",
            "\"nowhere\"",
            "\"ghost\"",
            "\"bad mask\"",
            "list_entries",
            "(KEEPTOPIC)",
        ] {
            says(&report, part);
        }
    }

    #[test]
    fn entries_in_the_forms_of_other_servers_come_as_roosts_or_are_named() {
        let lists = [("R:alice", 'b'), ("m:r:*bot*", 'b'), ("j:#spam", 'e'), ("R:ghost", 'b'), ("~t:5:*!*@x", 'b')];
        let lists = lists.into_iter().chain([("m:*!*@x", 'I')]);
        let channel = Channel {
            lists: lists.map(|(mask, mode)| (mode, mask.to_owned(), String::new(), 1)).collect(),
            ..room("#a", "alice")
        };
        let found = Found { accounts: vec![person("alice")], channels: vec![channel], ..Found::default() };
        let (records, report) = planned(&Snapshot::default(), &found);
        let entry = |record: &Record| match record {
            Record::ListEntry(row) => Some(format!("+{} {}", row.mode, row.mask)),
            _ => None,
        };
        let entries: Vec<_> = records.iter().filter_map(entry).collect();
        assert_eq!(entries, ["+b a:alice", "+b m:r:*bot*", "+e j:#spam"]);
        assert_eq!((report.entries.taken, report.entries.refused), (3, 3));
        for part in [
            "channel \"#a\": +b \"R:ghost\" did not come: the account \"ghost\" did not come",
            "channel \"#a\": +b \"~t:5:*!*@x\" did not come: it ends after a time",
            "channel \"#a\": +I \"m:*!*@x\" is no entry here",
        ] {
            says(&report, part);
        }
    }

    #[test]
    fn passwords_come_as_they_are_kept_there_or_as_ours_or_are_named() {
        let mut accounts = ["hash", "plain", "none", "unknown"].map(person);
        accounts[1].password = Password::Plain("sesame".to_owned());
        accounts[2].password = Password::None;
        accounts[3].password = Foreign::anope("oldmd5:00").into();
        accounts[3].certificates = vec!["AB:".repeat(32), "ab".repeat(32), "cd".to_owned()];
        accounts[2].certificates = vec!["ab".repeat(32)];
        accounts[0].email = Some("nobody".to_owned());
        let found = Found { accounts: accounts.to_vec(), ..Found::default() };
        let (records, report) = planned(&Snapshot::default(), &found);
        let rows: BTreeMap<_, _> = records
            .iter()
            .filter_map(|r| if let Record::Account(row) = r { Some((&*row.name, &*row.password)) } else { None })
            .collect();
        assert_eq!(rows["hash"], "anope:md5:5ebe2294ecd0e0f08eab7690d2a6ee69");
        assert!(accounts::verify("sesame", Some(rows["plain"]), accounts::LOWEST_COST));
        assert_eq!((rows["none"], rows["unknown"]), ("", ""));
        assert_eq!(report.without_password, ["none", "unknown"]);
        assert_eq!((report.certificates.taken, report.certificates.refused), (1, 3));
        says(&report, "oldmd5");
        says(&report, "its address \"nobody\" is none");
        assert!(report.to_string().contains("SAPASSWD: none unknown\n"), "{report}");
        let ids: Vec<Seq> =
            records.iter().filter_map(|r| if let Record::Account(row) = r { Some(row.id) } else { None }).collect();
        assert_eq!(ids, [1, 2, 3, 4]);
    }

    #[test]
    fn whoever_is_always_on_and_held_a_channel_before_has_the_ranks_there_that_its_founder_gave() {
        let channel = Channel { access: vec![("bob".into(), Rank::Voice)], ..room("#A", "alice") };
        let accounts = ["alice", "bob"].map(person).to_vec();
        let there = after(&planned(&Snapshot::default(), &Found { accounts: accounts.clone(), ..Found::default() }).0);
        let [alice, bob] = there.accounts.as_slice() else { panic!("{:?}", there.accounts) };
        let kept = |account, nick: &str, channels: &str| PresenceRow {
            account,
            since: 1,
            nick: nick.into(),
            user: "~u".into(),
            hosts: "host host".into(),
            realname: "A Name".into(),
            modes: "".into(),
            away: None,
            channels: channels.into(),
            signon: 1,
            left: 1,
        };
        let presences = vec![
            kept(99, "mallory", "#b:qo5 #a:o1700000000000 #c:"),
            kept(98, "guest", "#a:7 #b:o8"),
            kept(alice.id, "alice", "#a:6"),
            kept(bob.id, "bob", "#a:o"),
        ];
        let snapshot = Snapshot { presences, ..there.clone() };
        let found = Found { accounts, channels: vec![channel], ..Found::default() };
        let (records, report) = planned(&snapshot, &found);
        let rows = records.iter().filter_map(|record| match record {
            Record::Presence(row) => Some(format!("{} {}", row.nick, row.channels)),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["mallory #b:qo5 #a:1700000000000 #c:", "alice #a:qo6", "bob #a:v"]);
        says(
            &report,
            "channel \"#A\": \"mallory\", who is always on, was in it here before and had +o; now that is no rank",
        );
        says(&report, "\"bob\", who is always on, was in it here before and had +o; now that is +v");
    }

    #[test]
    fn nobody_who_is_always_on_stays_in_a_channel_that_comes_closed() {
        let presences = ["#Shut:qo5 #a:6", "#a:7", "#shut:"].iter().zip(7..).map(|(channels, account)| PresenceRow {
            account,
            since: 1,
            nick: format!("nick{account}").into(),
            user: "~u".into(),
            hosts: "host host".into(),
            realname: "A Name".into(),
            modes: "".into(),
            away: None,
            channels: (*channels).into(),
            signon: 1,
            left: 1,
        });
        let snapshot = Snapshot { presences: presences.collect(), ..Snapshot::default() };
        let purges = vec![Purge { name: "#shut".to_owned(), reason: "spam".to_owned(), ..Purge::default() }];
        let (records, report) = planned(&snapshot, &Found { purges, ..Found::default() });
        let rows = records.iter().filter_map(|record| match record {
            Record::Presence(row) => Some(format!("{}: {}", row.nick, row.channels)),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["nick7: #a:6", "nick9: "]);
        says(&report, "channel \"#shut\": \"nick9\", who is always on, was in it here and is not any more");
    }

    #[test]
    fn a_file_moves_no_terminal() {
        let found = Found { accounts: vec![person("\u{1b}[2J")], notes: vec!["\u{7}".into()], ..Found::default() };
        let (_, report) = planned(&Snapshot::default(), &found);
        assert!(report.lines.iter().all(|line| !line.contains(char::is_control)), "{report}");
    }

    #[test]
    fn a_channel_that_is_only_held_gives_way_and_what_was_said_in_a_closed_one_is_sealed() {
        let found = Found { accounts: vec![person("alice")], channels: vec![room("#a", "alice")], ..Found::default() };
        let (records, _) = planned(&Snapshot { boot: 1, ..Snapshot::default() }, &found);
        let mut snapshot = after(&records);
        snapshot.channels[0].founder = None;
        let conversation = ConversationRow { id: 1, key: "#a".into(), closed: true, since: 0 };
        snapshot.conversations = vec![(conversation.clone(), 5, 5)];
        let (records, report) = planned(&snapshot, &found);
        assert_eq!((report.channels.taken, report.channels.there), (1, 0), "{:?}", report.lines);
        let gone = records.iter().position(|record| matches!(record, Record::ChannelGone(name) if **name == *"#a"));
        let came = records.iter().position(|record| matches!(record, Record::Channel(_)));
        assert!(gone.is_some() && gone < came, "{records:?}");
        let sealed = Record::Conversation(ConversationRow { closed: false, since: 6, ..conversation });
        assert!(records.contains(&sealed), "{records:?}");
    }
}
