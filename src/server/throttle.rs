//! Counters by address and account: how many are here, and how often something was tried of late.
//! An IPv6 address counts as its /64.

use std::net::IpAddr;

use ahash::AHashMap;

/// An address as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// How an address is counted.
    pub fn of(ip: IpAddr) -> Origin {
        match ip {
            IpAddr::V4(_) => Origin(ip),
            IpAddr::V6(v6) => {
                let segments = v6.segments();
                Origin(IpAddr::V6([segments[0], segments[1], segments[2], segments[3], 0, 0, 0, 0].into()))
            }
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
    /// An account registered.
    Registration(Origin),
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
    pub fn went(&mut self, origin: Origin) {
        if let Some(here) = self.here.get_mut(&origin) {
            *here -= 1;
            if *here == 0 {
                self.here.remove(&origin);
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
