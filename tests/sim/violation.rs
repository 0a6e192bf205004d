//! What must be true, and how a run says that it was not.

use std::fmt;

/// The invariants, as README.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// 1: everyone who is to see a message sees it once, and all in the store's order.
    Order,
    /// 2: nothing that is kept is seen before it is durable, and what is seen is what is stored.
    Durable,
    /// 3: every label is answered once and in order, and batches are whole.
    Labels,
    /// 4: no tag or message that was not asked for.
    Caps,
    /// 5: every line is well-formed.
    Lines,
    /// 6: what a client can know of its channels agrees with the server.
    Members,
    /// 7: the state is consistent, nothing is left behind, nobody waits for ever.
    State,
    /// 8: the same seed gives the same bytes.
    Seed,
    /// 9: history pages are what the store holds, and only for those who may read them.
    History,
    /// 10: presences, markers, settings and devices are kept as they are, and nothing outlives its owner.
    Kept,
    /// 11: a device is replayed what it missed, and nothing that it has read.
    Replay,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({:?}): {}", self.invariant as u8 + 1, self.invariant, self.text)
    }
}

/// A step of a run.
pub type Outcome<T = ()> = Result<T, Violation>;

/// A violation.
pub fn broken<T>(invariant: Invariant, text: impl Into<String>) -> Outcome<T> {
    Err(Violation { invariant, text: text.into() })
}
