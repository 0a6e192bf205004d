//! Counters by address and account: how many are here, and how often something was tried of late.
//! An IPv6 address counts as its /64.

use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;
use ircv3::Cidr;

use crate::server::event::Peer;
use crate::server::record::AccountId;

/// Where connections come from, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An IPv4 address, or an IPv6 /64.
    Network(Cidr),
    /// All who come by a way without addresses.
    Host(Arc<str>),
}

/// The bits of an IPv6 address that one customer of a provider has in common.
const CUSTOMER_BITS: u8 = 64;

impl Origin {
    /// How a connection is counted.
    pub fn of(peer: &Peer) -> Origin {
        match (&peer.host, peer.ip) {
            (Some(host), _) => Origin::Host(host.clone()),
            (None, IpAddr::V4(_)) => Origin::Network(Cidr::of(peer.ip, u8::MAX)),
            (None, IpAddr::V6(_)) => Origin::Network(Cidr::of(peer.ip, CUSTOMER_BITS)),
        }
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tried {
    /// A connection.
    Connection(Origin),
    /// A login that failed, by address.
    LoginFrom(Origin),
    /// A login that failed, by account (folded).
    LoginTo(Box<str>),
    /// A wrong code of the second factor, by account.
    SecondFactor(AccountId),
    /// An account registered.
    Registration(Origin),
    /// All that an account said deleted, by its number.
    Erasure(AccountId),
    /// Having devices told that push works, for an account.
    PushTest(AccountId),
    /// New devices for web push, for an account.
    Subscription(AccountId),
    /// Asking the operators for a host, for an account.
    HostRequest(AccountId),
    /// A letter to an e-mail address.
    LetterTo(Box<str>),
    /// A letter to an e-mail address that one address asked for.
    LetterFrom(Origin, Box<str>),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: u64,
    count: u32,
}

/// All counters.
#[derive(Default)]
pub struct Throttles {
    here: AHashMap<Origin, u32>,
    tried: AHashMap<Tried, Window>,
    forget_at: u64,
}

/// How often windows that are over are swept out, in milliseconds.
const SWEEP_MS: u64 = 60_000;

impl Throttles {
    /// A connection came; how many of this origin there are now.
    pub fn came(&mut self, origin: Origin) -> u32 {
        let here = self.here.entry(origin).or_insert(0);
        *here += 1;
        *here
    }

    /// A connection went.
    pub fn went(&mut self, origin: &Origin) {
        if let Some(here) = self.here.get_mut(origin) {
            *here -= 1;
            if *here == 0 {
                self.here.remove(origin);
            }
        }
    }

    /// How many origins have a connection; for tests.
    pub fn origins(&self) -> usize {
        self.here.len()
    }

    /// Counts a try in a window of `window_ms`; whether it is within `most`.
    pub fn allow(&mut self, tried: Tried, most: u32, window_ms: u64, now: u64) -> bool {
        let window = self.tried.entry(tried).or_insert(Window { until: now + window_ms, count: 0 });
        if window.until <= now {
            *window = Window { until: now + window_ms, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count <= most
    }

    /// Whether a further try would be within `most`.
    pub fn would_allow(&self, tried: &Tried, most: u32, now: u64) -> bool {
        self.tried.get(tried).is_none_or(|window| window.until <= now || window.count < most)
    }

    /// Sweeps out windows that are over, now and then.
    pub fn forget(&mut self, now: u64) {
        if now >= self.forget_at {
            self.forget_at = now + SWEEP_MS;
            self.tried.retain(|_, window| window.until > now);
        }
    }
}
