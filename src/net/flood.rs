//! Flood control of one connection: a token bucket that delays reading and never closes.

use std::num::NonZeroU16;

use crate::limits::LINES_BEFORE_REGISTRATION;

/// What the operator chose (`[flood]`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloodOptions {
    /// Lines that may come at once.
    pub burst: u32,
    /// Lines a second, on and on.
    pub per_second: f32,
}

/// Commands that a client sends in a burst when it has just connected, and how many of them pass free of charge until it
/// has been quiet: a phone asks for the history and the marker of every conversation it has, and a person who has
/// been here for years has a thousand; for the members of its channels, and about the people it knows. Each connection's
/// questions are answered one after the other, so that is no flood.
const FREE: [(&[&str], u16); 3] = [(&["CHATHISTORY", "MARKREAD"], 2000), (&["WHO", "MONITOR"], 200), (&["JOIN"], 100)];
/// Milliseconds between lines before registration, once there were more than any client sends.
const EARLY_DELAY_MS: u64 = 50;
/// Commands that are free of charge until the worker knows that a connection has registered. Others
/// that come so early may be those of a client that does not wait for the welcome.
const REGISTRATION: [&str; 11] =
    ["CAP", "AUTHENTICATE", "NICK", "USER", "PASS", "WEBIRC", "REGISTER", "VERIFY", "PING", "PONG", "QUIT"];
/// What a command costs that asks for next to nothing.
const CHEAP: f32 = 0.1;

/// The state of one connection: 16 bytes, which is what the allocator has a place for. One more would take twice as much,
/// so commands that come together are counted together.
#[derive(Debug)]
pub struct Bucket {
    tokens: f32,
    /// When `tokens` was right, in milliseconds of the worker's clock; it may wrap.
    at_ms: u32,
    /// What is left of [`FREE`].
    free: [u16; FREE.len()],
    /// One more than the lines so far, before registration; `None` after it.
    early_lines: Option<NonZeroU16>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(options: FloodOptions, now_ms: u64) -> Bucket {
        Bucket {
            tokens: options.burst as f32,
            at_ms: now_ms as u32,
            free: FREE.map(|(_, times)| times),
            early_lines: Some(NonZeroU16::MIN),
        }
    }

    /// The connection has registered: from now on its lines cost.
    pub fn registered(&mut self) {
        self.early_lines = None;
    }

    /// Takes the cost of a line, which may be one of a batch. `0`: read on; `n`: read on in `n` milliseconds.
    pub fn take(&mut self, options: FloodOptions, command: &str, in_batch: bool, now_ms: u64) -> u64 {
        if let Some(lines) = &mut self.early_lines
            && REGISTRATION.iter().any(|early| command.eq_ignore_ascii_case(early))
        {
            let before = u32::from(lines.get()) - 1;
            *lines = lines.saturating_add(1);
            // The server ends a connection that goes on like that; or it is busy, and has registered it
            // without having said so yet.
            return if before >= LINES_BEFORE_REGISTRATION { EARLY_DELAY_MS } else { 0 };
        }
        self.refill(options, now_ms);
        // A text of many lines is pasted at once; what opens its batch costs as any line.
        self.tokens -= if in_batch { CHEAP } else { self.cost(command) };
        self.wait_ms(options)
    }

    /// Milliseconds from `now_ms` until lines may be taken.
    pub fn wait(&mut self, options: FloodOptions, now_ms: u64) -> u64 {
        self.refill(options, now_ms);
        self.wait_ms(options)
    }

    fn wait_ms(&self, options: FloodOptions) -> u64 {
        if self.tokens > 0.0 { 0 } else { (-self.tokens / options.per_second.max(0.01) * 1000.0) as u64 + 1 }
    }

    fn refill(&mut self, options: FloodOptions, now_ms: u64) {
        let passed = (now_ms as u32).wrapping_sub(self.at_ms);
        self.at_ms = now_ms as u32;
        let full = options.burst as f32;
        let gained = passed as f32 * options.per_second / 1000.0;
        self.tokens = full.min(self.tokens + gained);
        // Quiet for as long as an empty bucket takes to fill: what is free leaves a full one full.
        if gained >= full {
            self.free = FREE.map(|(_, times)| times);
        }
    }

    fn cost(&mut self, command: &str) -> f32 {
        if ["CAP", "AUTHENTICATE", "PING", "PONG"].iter().any(|cheap| command.eq_ignore_ascii_case(cheap)) {
            return CHEAP;
        }
        let place = FREE.iter().position(|(names, _)| names.iter().any(|name| command.eq_ignore_ascii_case(name)));
        match place.map(|place| &mut self.free[place]) {
            Some(left) if *left > 0 => {
                *left -= 1;
                0.0
            }
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Bucket, EARLY_DELAY_MS, FloodOptions};
    use crate::limits::LINES_BEFORE_REGISTRATION;

    const OPTIONS: FloodOptions = FloodOptions { burst: 5, per_second: 2.0 };

    fn registered() -> Bucket {
        let mut bucket = Bucket::new(OPTIONS, 0);
        bucket.registered();
        bucket
    }

    #[test]
    fn the_state_is_16_bytes() {
        assert!(size_of::<Bucket>() <= 16);
    }

    #[test]
    fn a_burst_passes_and_what_follows_is_delayed_to_the_rate() {
        let mut bucket = registered();
        for _ in 0..4 {
            assert_eq!(bucket.take(OPTIONS, "PRIVMSG", false, 0), 0);
        }
        assert_eq!(bucket.take(OPTIONS, "PRIVMSG", false, 0), 1);
        assert_eq!(bucket.take(OPTIONS, "PRIVMSG", false, 1), 500);
        assert_eq!(bucket.wait(OPTIONS, 502), 0);
    }

    #[test]
    fn a_fresh_client_may_ask_for_what_it_missed() {
        let mut bucket = registered();
        // 60 channels, 20 conversations, all in the same moment.
        for _ in 0..80 {
            for command in ["CHATHISTORY", "markread", "WHO", "JOIN"] {
                assert_eq!(bucket.take(OPTIONS, command, false, 0), 0, "{command}");
            }
        }
        for _ in 0..20 {
            assert_eq!(bucket.take(OPTIONS, "PING", false, 0), 0);
        }
        assert_eq!(bucket.take(OPTIONS, "CHATHISTORY", false, 0), 0);
    }

    #[test]
    fn c49_a_thousand_conversations_are_asked_about_at_once_and_what_is_said_then_costs() {
        let mut bucket = registered();
        for _ in 0..1000 {
            for command in ["CHATHISTORY", "MARKREAD"] {
                assert_eq!(bucket.take(OPTIONS, command, false, 0), 0, "{command}");
            }
        }
        for _ in 0..4 {
            assert_eq!(bucket.take(OPTIONS, "MARKREAD", false, 0), 0, "it costs now");
        }
        assert_ne!(bucket.take(OPTIONS, "CHATHISTORY", false, 0), 0, "there is an end to it");
        // A pause is not enough, unless it is as long as the bucket takes to fill.
        assert_eq!(bucket.wait(OPTIONS, 2400), 0);
        assert_eq!(bucket.wait(OPTIONS, 4800), 0);
        for _ in 0..4 {
            assert_eq!(bucket.take(OPTIONS, "MARKREAD", false, 4800), 0);
        }
        assert_ne!(bucket.take(OPTIONS, "MARKREAD", false, 4800), 0);
        for _ in 0..2000 {
            assert_eq!(bucket.take(OPTIONS, "MARKREAD", false, 10_000), 0);
        }
    }

    #[test]
    fn before_registration_only_what_no_client_sends_is_delayed() {
        let mut bucket = Bucket::new(OPTIONS, 0);
        for _ in 0..LINES_BEFORE_REGISTRATION {
            assert_eq!(bucket.take(OPTIONS, "CAP", false, 0), 0);
        }
        assert_eq!(bucket.take(OPTIONS, "CAP", false, 0), EARLY_DELAY_MS);
        bucket.registered();
        assert_eq!(bucket.take(OPTIONS, "PRIVMSG", false, 0), 0);
    }

    #[test]
    fn what_is_said_before_the_welcome_costs_what_it_costs_after_it() {
        let mut bucket = Bucket::new(OPTIONS, 0);
        for command in ["NICK", "USER", "PRIVMSG", "PRIVMSG", "CAP", "PRIVMSG", "PRIVMSG"] {
            assert_eq!(bucket.take(OPTIONS, command, false, 0), 0, "{command}");
        }
        assert_ne!(bucket.take(OPTIONS, "PRIVMSG", false, 0), 0);
    }
}
