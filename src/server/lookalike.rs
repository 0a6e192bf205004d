//! Who has a name that another could be taken for: an index by what names look like
//! ([`ircv3::confusable`]), kept as names come and go.

use ahash::AHashMap;
use ircv3::confusable::skeletons;
use smallvec::SmallVec;

use crate::server::network::{ChannelId, UserId};
use crate::server::record::AccountId;

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An account.
    Account(AccountId),
    /// Someone who is on.
    User(UserId),
    /// A channel, registered or not.
    Channel(ChannelId),
    /// A service.
    Service,
}

/// A name's holder, and whether the name is all ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    by: Holder,
    ascii: bool,
}

/// Every name that is held, by its skeletons. One that is off costs nothing and knows of nobody.
#[derive(Debug, Default)]
pub struct Lookalikes {
    on: bool,
    names: usize,
    by_skeleton: AHashMap<Box<str>, SmallVec<[Held; 2]>>,
}

impl Lookalikes {
    /// One that is on.
    pub fn on() -> Lookalikes {
        Lookalikes { on: true, ..Lookalikes::default() }
    }

    /// Someone has a name now.
    pub fn add(&mut self, name: &str, by: Holder) {
        if !self.on {
            return;
        }
        self.names += 1;
        let held = Held { by, ascii: name.is_ascii() };
        for skeleton in skeletons(name) {
            self.by_skeleton.entry(skeleton).or_default().push(held);
        }
    }

    /// Someone has a name no more.
    pub fn remove(&mut self, name: &str, by: Holder) {
        if !self.on {
            return;
        }
        let gone = Held { by, ascii: name.is_ascii() };
        let mut found = false;
        for skeleton in skeletons(name) {
            let Some(holders) = self.by_skeleton.get_mut(&skeleton) else { continue };
            if let Some(at) = holders.iter().position(|held| *held == gone) {
                holders.swap_remove(at);
                found = true;
            }
            if holders.is_empty() {
                self.by_skeleton.remove(&skeleton);
            }
        }
        self.names -= usize::from(found);
    }

    /// Whether anyone who counts has a name that this one can be taken for, as [`ircv3::confusable::alike`]
    /// has it.
    pub fn any(&self, name: &str, counts: impl Fn(Holder) -> bool) -> bool {
        let ascii = name.is_ascii();
        self.on
            && skeletons(name).iter().any(|skeleton| {
                let holders = self.by_skeleton.get(skeleton).map_or(&[][..], SmallVec::as_slice);
                holders.iter().any(|held| !(ascii && held.ascii) && counts(held.by))
            })
    }

    /// How many names are held; `None` where it is off. For tests.
    pub fn names(&self) -> Option<usize> {
        self.on.then_some(self.names)
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by_skeleton.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Holder, Lookalikes};

    #[test]
    fn names_are_found_by_what_they_look_like_until_they_go() {
        let mut names = Lookalikes::on();
        names.add("evan", Holder::Account(1));
        names.add("EVAN", Holder::User(2));
        assert_eq!(names.names(), Some(2));
        assert!(names.any("еvan", |_| true) && !names.any("evan", |_| true) && !names.any("ivan", |_| true));
        assert!(names.any("еvan", |holder| holder == Holder::User(2)));
        assert!(!names.any("еvan", |holder| holder == Holder::User(3)));
        names.remove("evan", Holder::Account(1));
        assert!(names.any("еvan", |_| true));
        names.remove("EVAN", Holder::User(2));
        assert!(!names.any("еvan", |_| true) && names.is_empty());
        // Of two names that are not ASCII, too.
        names.add("bоb", Holder::User(1));
        assert!(names.any("bоb", |_| true) && names.any("bob", |_| true));
        names.remove("bоb", Holder::User(1));
        assert!(names.is_empty());
    }

    #[test]
    fn one_that_is_off_knows_of_nobody() {
        let mut names = Lookalikes::default();
        names.add("evan", Holder::Service);
        assert!(!names.any("еvan", |_| true) && names.is_empty());
    }
}
