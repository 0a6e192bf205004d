//! Bans of the server: whom they are for, until when, and whether one fits someone. UBAN, KLINE and DLINE
//! make them; they are judged when a connection opens, when it registers, when a nick, host, account or real
//! name changes, and, when one is made, for everyone who is on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;

use ahash::AHashMap;
use ircv3::{Casemapping, Cidr, mask};

use crate::limits;
use crate::server::record::BanRow;

/// Whom a ban is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address or a network.
    Address(Cidr),
    /// A mask of `nick!user@host`, folded; the host may be the one shown or the address.
    Mask(Box<str>),
    /// An account, folded.
    Account(Box<str>),
    /// A mask of real names, folded.
    Realname(Box<str>),
}

/// What stands before an account in a target.
const ACCOUNT: &str = "account:";
/// What stands before a real name in a target.
const REALNAME: &str = "realname:";
/// The longest target: with the longest reasons it still fits into one line of LIST.
const TARGET_BYTES: usize = 150;

impl Target {
    /// The target that an operator means; what would be right where it is none.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn parse(text: &str, casemapping: Casemapping) -> Result<Target, String> {
        let fold = |mask: &str| mask::fold(mask, casemapping).into();
        if text.is_empty() || text.starts_with(':') || text.len() > TARGET_BYTES {
            return Err(format!("a target has 1 to {TARGET_BYTES} bytes and no colon at its beginning"));
        }
        let lower = text.to_ascii_lowercase();
        if let Some(name) = lower.strip_prefix(ACCOUNT).filter(|name| !name.is_empty()) {
            return Ok(Target::Account(casemapping.fold(name).as_str().into()));
        }
        if let Some(mask) = lower.strip_prefix(REALNAME).filter(|mask| !mask.is_empty()) {
            return Ok(Target::Realname(fold(mask)));
        }
        if text.contains(['!', '@']) {
            return Ok(Target::Mask(fold(&mask::normalize(text))));
        }
        match text.parse::<Cidr>() {
            Ok(network) => Ok(Target::Address(network)),
            Err(problem) if text.contains('/') => Err(format!("{text:?}: {problem}")),
            Err(_) => Err(format!(
                "{text:?} is no target; give an address, a network such as 192.0.2.0/24, nick!user@host, \
                 account:name or realname:mask (a ? for each space)"
            )),
        }
    }

    /// A target as the store has it; `None` where a newer version wrote it.
    pub fn stored(text: &str, casemapping: Casemapping) -> Option<Target> {
        Target::parse(text, casemapping).ok()
    }

    fn fits(&self, subject: &Subject, casemapping: Casemapping) -> bool {
        match self {
            Target::Address(network) => subject.address.is_some_and(|address| network.contains(address)),
            Target::Mask(mask) => subject.sources.iter().any(|source| mask::matches(mask, source, casemapping)),
            Target::Account(name) => subject.account.as_ref() == Some(name),
            Target::Realname(mask) => {
                subject.realname.as_ref().is_some_and(|name| mask::matches(mask, name, casemapping))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(network) => write!(f, "{network}"),
            Target::Mask(mask) => f.write_str(mask),
            Target::Account(name) => write!(f, "{ACCOUNT}{name}"),
            Target::Realname(mask) => write!(f, "{REALNAME}{mask}"),
        }
    }
}

/// Whom a ban may fit: what is known of a connection.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Its address; `None` where it comes by a way that hides it.
    pub address: Option<IpAddr>,
    /// `nick!user@host` with each host that it has.
    pub sources: Vec<String>,
    /// Its account, folded.
    pub account: Option<Box<str>>,
    /// Its real name.
    pub realname: Option<Box<str>>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom it is for.
    pub target: Target,
    /// Everything else, as it is kept.
    pub row: BanRow,
}

impl Ban {
    /// Whether it fits someone at this moment, in seconds since 1970.
    pub fn fits(&self, subject: &Subject, casemapping: Casemapping, now: u64) -> bool {
        let over = self.row.expires.is_some_and(|expires| expires <= now);
        let excused = self.row.unless_logged_in && subject.account.is_some();
        !over && !excused && self.target.fits(subject, casemapping)
    }

    /// Whether a login would excuse someone, so that it is judged only once that could have happened.
    pub fn waits_for_login(&self) -> bool {
        self.row.unless_logged_in
    }
}

/// All bans, in the order in which they were made.
///
/// Each new connection is judged by all of them, so most are found by what they name: an address by each length of
/// network that there is a ban for, an account, the host of a mask. Only masks with a wildcard in their host and
/// those of real names are compared one by one.
#[derive(Debug, Default)]
pub struct Bans {
    /// By their number, which grows with each that is made.
    list: BTreeMap<u64, Ban>,
    next: u64,
    numbers: AHashMap<Target, u64>,
    /// How many bans of addresses there are, by the bits of their network.
    lengths: BTreeMap<u8, usize>,
    /// The masks whose host is a plain name, by that host.
    by_host: AHashMap<Box<str>, BTreeSet<u64>>,
    /// Those that have to be compared.
    others: BTreeSet<u64>,
    expiries: BTreeSet<(u64, u64)>,
}

/// Where a ban is found.
enum Place<'a> {
    Network(u8),
    Account,
    Host(&'a str),
    Other,
}

impl Target {
    fn place(&self) -> Place<'_> {
        match self {
            Target::Address(network) => Place::Network(network.bits()),
            Target::Account(_) => Place::Account,
            Target::Mask(mask) => match mask.rsplit_once('@') {
                // A backslash makes the next character plain, and so is none itself.
                Some((_, host)) if !host.contains(['*', '?', '\\']) => Place::Host(host),
                _ => Place::Other,
            },
            Target::Realname(_) => Place::Other,
        }
    }
}

impl Bans {
    /// The bans that were kept.
    pub fn new(rows: Vec<BanRow>, casemapping: Casemapping) -> Bans {
        let mut bans = Bans::default();
        for row in rows {
            if let Some(target) = Target::stored(&row.target, casemapping) {
                bans.put(Ban { target, row });
            }
        }
        bans
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Ban> {
        self.list.values()
    }

    /// Those that were made after the one with this number, each with its own; all after 0.
    pub fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Ban)> {
        self.list.range((Bound::Excluded(number), Bound::Unbounded)).map(|(number, ban)| (*number, ban))
    }

    /// The ban of exactly this target.
    pub fn get(&self, target: &Target) -> Option<&Ban> {
        self.numbers.get(target).and_then(|number| self.list.get(number))
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.list.len() >= limits::BANS
    }

    /// Adds a ban, in place of one of the same target.
    pub fn put(&mut self, ban: Ban) {
        let number = match self.numbers.get(&ban.target) {
            Some(number) => *number,
            None => {
                self.next += 1;
                self.index(&ban.target, self.next);
                self.next
            }
        };
        if let Some(expires) = ban.row.expires {
            self.expiries.insert((expires, number));
        }
        if let Some(expires) = self.list.insert(number, ban).and_then(|before| before.row.expires)
            && self.list[&number].row.expires != Some(expires)
        {
            self.expiries.remove(&(expires, number));
        }
    }

    /// Takes a ban away.
    pub fn remove(&mut self, target: &Target) -> Option<Ban> {
        let number = self.numbers.remove(target)?;
        match target.place() {
            Place::Network(bits) => {
                if let Some(count) = self.lengths.get_mut(&bits) {
                    *count -= 1;
                }
                self.lengths.retain(|_, count| *count > 0);
            }
            Place::Host(host) => {
                if let Some(of_host) = self.by_host.get_mut(host) {
                    of_host.remove(&number);
                    if of_host.is_empty() {
                        self.by_host.remove(host);
                    }
                }
            }
            Place::Account => {}
            Place::Other => {
                self.others.remove(&number);
            }
        }
        let ban = self.list.remove(&number)?;
        if let Some(expires) = ban.row.expires {
            self.expiries.remove(&(expires, number));
        }
        Some(ban)
    }

    fn index(&mut self, target: &Target, number: u64) {
        self.numbers.insert(target.clone(), number);
        match target.place() {
            Place::Network(bits) => *self.lengths.entry(bits).or_default() += 1,
            Place::Host(host) => {
                self.by_host.entry(host.into()).or_default().insert(number);
            }
            Place::Account => {}
            Place::Other => {
                self.others.insert(number);
            }
        }
    }

    /// The targets of those that are over at this moment, in the order in which they ended.
    pub fn expired(&self, now: u64) -> Vec<Target> {
        self.expiries.range(..=(now, u64::MAX)).map(|(_, number)| self.list[number].target.clone()).collect()
    }

    /// The first ban that fits someone.
    pub fn judge(&self, subject: &Subject, casemapping: Casemapping, now: u64) -> Option<&Ban> {
        let fits = |number: &u64| self.list[number].fits(subject, casemapping, now);
        let networks = subject.address.into_iter().flat_map(|address| self.networks(address));
        let account = subject.account.clone().and_then(|name| self.numbers.get(&Target::Account(name)).copied());
        let hosts = subject.sources.iter().filter_map(|source| source.rsplit_once('@'));
        let hosts = hosts.filter_map(|(_, host)| self.by_host.get(&*mask::fold(host, casemapping)));
        let named = networks.chain(account).chain(hosts.flatten().copied()).filter(fits).min();
        // Those that were made later than one that fits do not matter.
        let before = named.unwrap_or(u64::MAX);
        let first = self.others.range(..before).copied().find(fits).or(named)?;
        self.list.get(&first)
    }

    /// The first ban of an address that holds whoever it is that comes from there.
    pub fn judge_address(&self, address: IpAddr, now: u64) -> Option<&Ban> {
        let subject = Subject { address: Some(address), ..Subject::default() };
        let holds = |number: &u64| {
            let ban = &self.list[number];
            !ban.waits_for_login() && ban.fits(&subject, Casemapping::Ascii, now)
        };
        self.networks(address).filter(holds).min().and_then(|number| self.list.get(&number))
    }

    /// The numbers of the bans of networks that an address is in.
    fn networks(&self, address: IpAddr) -> impl Iterator<Item = u64> {
        let of = move |bits: &u8| self.numbers.get(&Target::Address(Cidr::of(address, *bits))).copied();
        // A network of more bits than IPv4 has would be taken for the address itself once for each.
        let most = if address.to_canonical().is_ipv4() { 32 } else { 128 };
        self.lengths.keys().take_while(move |bits| **bits <= most).filter_map(of)
    }
}

/// A duration such as `1h30m`, in seconds: years, weeks, days, hours, minutes and seconds; `None` where it is none.
pub fn duration(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0u64, None::<u64>);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            'y' => 365 * 86_400,
            'w' => 7 * 86_400,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && total > 0 && total <= LONGEST).then_some(total)
}

/// The longest duration, in seconds: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400;

/// A duration in seconds as [`duration`] reads it: `1d12h`.
pub fn short(seconds: u64) -> String {
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= unit {
            text += &format!("{}{letter}", rest / unit);
            rest %= unit;
        }
    }
    text
}

/// A duration in seconds for people: `1 day 2 hours`.
pub fn spoken(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;

    use ircv3::{Casemapping, Cidr};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{Ban, Bans, Subject, Target, duration, short, spoken};
    use crate::server::record::BanRow;

    fn target(text: &str) -> Target {
        Target::parse(text, Casemapping::Ascii).unwrap()
    }

    fn ban(text: &str, expires: Option<u64>) -> Ban {
        let row = BanRow {
            target: target(text).to_string().into(),
            reason: "r".into(),
            oper_reason: "".into(),
            setter: "alice".into(),
            set_at: 1,
            expires,
            unless_logged_in: false,
        };
        Ban { target: target(text), row }
    }

    #[test]
    fn a_target_is_read_as_it_was_written() {
        for (given, kept) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("Bad!*@*", "bad!*@*"),
            ("user@Host.example", "*!user@host.example"),
            ("account:Bob", "account:bob"),
            ("REALNAME:free?money*", "realname:free?money*"),
        ] {
            assert_eq!(target(given).to_string(), kept);
            assert_eq!(target(kept), target(given));
        }
        for given in ["", "bob", "*", ":x!y@z", "192.0.2.1/24", "192.0.2.0/33", "account:", &"x@".repeat(100)] {
            assert!(Target::parse(given, Casemapping::Ascii).is_err(), "{given}");
        }
    }

    #[test]
    fn each_kind_fits_whom_it_is_for() {
        let subject = Subject {
            address: Some("192.0.2.7".parse().unwrap()),
            sources: vec!["Bob!~u@cloak".into(), "Bob!~u@192.0.2.7".into()],
            account: Some("bob".into()),
            realname: Some("Free Money Now".into()),
        };
        for (text, fits) in [
            ("192.0.2.0/24", true),
            ("192.0.3.0/24", false),
            ("bob!*@*", true),
            ("*@cloak", true),
            ("*@192.0.2.?", true),
            ("*@elsewhere", false),
            ("account:bob", true),
            ("account:bo", false),
            ("realname:free?money*", true),
            ("realname:free", false),
        ] {
            assert_eq!(ban(text, None).fits(&subject, Casemapping::Ascii, 10), fits, "{text}");
        }
        assert!(!ban("bob!*@*", Some(10)).fits(&subject, Casemapping::Ascii, 10), "it is over");
        assert!(ban("bob!*@*", Some(11)).fits(&subject, Casemapping::Ascii, 10));
        let mut excusing = ban("192.0.2.0/24", None);
        excusing.row.unless_logged_in = true;
        assert!(!excusing.fits(&subject, Casemapping::Ascii, 10));
        assert!(excusing.fits(&Subject { account: None, ..subject }, Casemapping::Ascii, 10));
    }

    #[test]
    fn one_target_has_one_ban_and_those_that_are_over_are_found() {
        let mut bans = Bans::default();
        bans.put(ban("a!*@*", Some(5)));
        bans.put(ban("b!*@*", Some(7)));
        bans.put(ban("A!*@*", Some(6)));
        assert_eq!(bans.iter().count(), 2);
        assert!(bans.expired(5).is_empty());
        assert_eq!(bans.expired(6), [target("a!*@*")]);
        bans.remove(&target("a!*@*")).unwrap();
        assert!(bans.expired(6).is_empty());
        assert!(bans.remove(&target("a!*@*")).is_none());
    }

    #[test]
    fn durations_are_read_and_spoken() {
        assert_eq!(duration("1h30m"), Some(5400));
        assert_eq!(duration("1Y2w3d4h5m6s"), Some(365 * 86_400 + 17 * 86_400 + 4 * 3600 + 5 * 60 + 6));
        for none in ["", "5", "h", "1h30", "1x", "-1h", "0s", "200y", "99999999999999999999s"] {
            assert_eq!(duration(none), None, "{none}");
        }
        assert_eq!(spoken(90_061), "1 day 1 hour 1 minute 1 second");
        assert_eq!(spoken(7200), "2 hours");
        for text in ["1d12h", "90d", "1m", "2h1s"] {
            assert_eq!(duration(text).map(short).as_deref(), Some(text));
        }
    }

    /// Targets, expiries and subjects that meet often.
    fn texts() -> impl Strategy<Value = String> {
        let network = (0u8..3, 30u8..=32).prop_map(|(last, bits)| Cidr::of([192, 0, 2, last].into(), bits).to_string());
        let network6 = (0u16..3, 126u8..=128)
            .prop_map(|(last, bits)| Cidr::of([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(), bits).to_string());
        let mask = ("[ab*]", "[ab?*]", "(A|b|a\\\\*|\\*|\\?|192\\.0\\.2\\.1|a@b)");
        let mask = mask.prop_map(|(nick, user, host)| format!("{nick}!{user}@{host}"));
        prop_oneof![network, network6, mask, "account:[ab]", "realname:[ab*]"]
    }

    proptest! {
        #[test]
        fn whoever_is_judged_meets_the_first_ban_that_fits(
            steps in vec((texts(), any::<bool>(), any::<bool>(), option::of(5u64..8)), 0..40),
            nick in "[ab]", host in "(a|B|a\\*|c@b)", last in 0u8..3, six in any::<bool>(), account in option::of("[ab]"),
            now in 4u64..9,
        ) {
            let (mut bans, mut plain) = (Bans::default(), Vec::<Ban>::new());
            for (text, gone, unless_logged_in, expires) in steps {
                let mut made = ban(&text, expires);
                made.row.unless_logged_in = unless_logged_in;
                let at = plain.iter().position(|other| other.target == made.target);
                match (gone, at) {
                    (true, at) => assert_eq!(bans.remove(&made.target), at.map(|at| plain.remove(at))),
                    (false, Some(at)) => {
                        plain[at] = made.clone();
                        bans.put(made);
                    }
                    (false, None) => {
                        plain.push(made.clone());
                        bans.put(made);
                    }
                }
            }
            assert!(bans.iter().eq(&plain));
            let mut over: Vec<&Ban> = plain.iter().filter(|ban| ban.row.expires.is_some_and(|at| at <= now)).collect();
            over.sort_by_key(|ban| ban.row.expires);
            assert!(bans.expired(now).iter().eq(over.iter().map(|ban| &ban.target)));
            let address: IpAddr =
                if six { [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into() } else { [192, 0, 2, last].into() };
            let subject = Subject {
                address: Some(address),
                sources: [&*host, &*address.to_string()].map(|host| format!("{nick}!a@{host}")).into(),
                account: account.map(Into::into),
                realname: Some(nick.as_str().into()),
            };
            let fits = |ban: &&Ban| ban.fits(&subject, Casemapping::Ascii, now);
            assert_eq!(bans.judge(&subject, Casemapping::Ascii, now), plain.iter().find(fits));
            let of_address =
                |ban: &&Ban| matches!(ban.target, Target::Address(_)) && !ban.waits_for_login() && ban.fits(&subject, Casemapping::Ascii, now);
            assert_eq!(bans.judge_address(address, now), plain.iter().find(of_address));
        }

        #[test]
        fn nothing_that_an_operator_writes_is_a_panic(text in any::<String>()) {
            let _ = duration(&text);
            if let Ok(target) = Target::parse(&text, Casemapping::Ascii) {
                let _ = target.to_string();
            }
        }
    }
}
