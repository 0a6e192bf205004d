//! What a device is to be replayed besides what was said after it had read all: it went before that was shown to it, or
//! before it had said that it has read it.

use std::fmt;
use std::str::FromStr;

use crate::limits;
use crate::server::record::{ConversationId, Seq};

/// Stands for every channel that has nothing of its own among what a device is owed.
pub const EVERY_OTHER: ConversationId = 0;
/// Stands for what a device has said itself, where it is kept what that is owed: it has shown it, whatever it is replayed.
pub const OWN: ConversationId = i64::MAX as ConversationId;
/// Stands for the change up to which a device has read, where that is still to come: it is connected.
pub const NOW: Seq = i64::MAX as Seq;

/// What a device is to be replayed of a conversation, besides what came after what it has read; nothing where both changes
/// are one, which is for a channel of which [`EVERY_OTHER`] says no more up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Which; or [`EVERY_OTHER`], or [`OWN`].
    pub conversation: ConversationId,
    /// After this change.
    pub after: Seq,
    /// Up to this one.
    pub until: Seq,
}

impl Owed {
    /// Nothing of a conversation up to this change.
    pub fn nothing(conversation: ConversationId, until: Seq) -> Owed {
        Owed { conversation, after: until, until }
    }

    /// Whether it is nothing.
    pub fn is_nothing(self) -> bool {
        self.after >= self.until
    }

    /// Is owed besides, as far as that is bounded; nothing takes the place of all that was owed of its conversation up to
    /// there.
    pub fn add_to(self, all: &mut Vec<Owed>) {
        let is_same = |other: &Owed| other.conversation == self.conversation;
        if self.is_nothing() {
            // What is no more owed up to a later change is not owed again because it is not up to an earlier one.
            let until = all.iter().filter(|other| is_same(other) && other.is_nothing()).map(|other| other.until).max();
            let until = self.until.max(until.unwrap_or(0));
            all.retain(|other| !is_same(other) || other.until > until);
            all.iter_mut().filter(|other| is_same(other)).for_each(|rest| rest.after = rest.after.max(until));
            let is_known = all.iter().any(|other| is_same(other) && other.until > until);
            if !is_known && all.len() < limits::OWED {
                all.push(Owed::nothing(self.conversation, until));
            }
            return;
        }
        all.retain(|other| !is_same(other) || !other.is_nothing() || other.until > self.until);
        let is_debt = |other: &Owed| is_same(other) && !other.is_nothing();
        let touches = |other: &Owed| is_debt(other) && self.after <= other.until && other.after <= self.until;
        let is_full = all.len() >= limits::OWED;
        let at = all.iter().position(touches).or_else(|| all.iter().position(is_debt).filter(|_| is_full));
        match at {
            Some(at) => {
                let there = all.remove(at);
                let (after, until) = (there.after.min(self.after), there.until.max(self.until));
                // It may touch another now.
                Owed { after, until, ..self }.add_to(all);
            }
            None if !is_full => all.push(self),
            None => {}
        }
    }

    /// The same, where the device has read up to `seen`.
    pub fn up_to(self, seen: Seq) -> Owed {
        Owed { after: self.after.min(seen), until: self.until.min(seen), ..self }
    }
}

/// As the store has it: `7 30 50`, or `7 30 *` up to [`NOW`].
impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conversation)?;
        for seq in [self.after, self.until] {
            if seq == NOW { f.write_str(" *")? } else { write!(f, " {seq}")? }
        }
        Ok(())
    }
}

impl FromStr for Owed {
    type Err = ();

    fn from_str(text: &str) -> Result<Owed, ()> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(());
        let seq = |word: &str| if word == "*" { Ok(NOW) } else { word.parse().map_err(drop) };
        let owed = Owed { conversation: word()?.parse().map_err(drop)?, after: seq(word()?)?, until: seq(word()?)? };
        if words.next().is_some() { Err(()) } else { Ok(owed) }
    }
}

/// Puts together what two have in hand of what a device is owed: what either has of every other channel is owed of each of
/// which the other has something of its own, but for what is no more owed of that.
pub fn merge(all: &mut Vec<Owed>, more: &[Owed], is_channel: impl Fn(ConversationId) -> bool) {
    let rest_of = |of: &[Owed], by: &[Owed]| -> Vec<Owed> {
        let every: Vec<Owed> =
            of.iter().filter(|owed| owed.conversation == EVERY_OTHER && !owed.is_nothing()).copied().collect();
        if every.is_empty() {
            return every;
        }
        let is_one = |owed: &&Owed| ![EVERY_OTHER, OWN].contains(&owed.conversation) && !owed.is_nothing();
        let named = by.iter().filter(is_one).map(|owed| owed.conversation).filter(|id| is_channel(*id));
        let rest = named.flat_map(|conversation| {
            let own = of.iter().filter(|owed| owed.conversation == conversation);
            let done = own.map(|owed| owed.until).max().unwrap_or(0);
            every.iter().map(move |every| Owed { conversation, after: every.after.max(done), until: every.until })
        });
        rest.filter(|rest| !rest.is_nothing()).collect()
    };
    let rest = [rest_of(all, more), rest_of(more, all)].concat();
    let (nothing, debts): (Vec<&Owed>, Vec<&Owed>) = more.iter().partition(|one| one.is_nothing());
    rest.iter().chain(nothing).chain(debts).for_each(|one| one.add_to(all));
}

/// What a device is still owed once it has come into its channels: of others nothing.
pub fn settle(all: &mut Vec<Owed>) {
    all.retain(|owed| owed.conversation != EVERY_OTHER && !owed.is_nothing());
}

/// All that a device is owed, as the store has it; empty for nothing.
pub fn text(all: &[Owed]) -> String {
    all.iter().map(Owed::to_string).collect::<Vec<_>>().join(",")
}

/// What [`text`] has written; `None` where it is no such text.
pub fn parse(text: &str) -> Option<Vec<Owed>> {
    text.split_terminator(',').map(|one| one.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_owed_is_read_as_it_was_written() {
        let one = Owed { conversation: 7, after: 30, until: 50 };
        let lists = [vec![], vec![one], vec![Owed { conversation: EVERY_OTHER, after: 3, until: NOW }, one]];
        for list in lists {
            assert_eq!(parse(&text(&list)), Some(list));
        }
        for wrong in ["7", "7 30", "7 30 50 60", "7 x 50", "* 1 2", "7 30 50,,"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_one_owes_of_a_channel_hides_nothing_of_what_another_owes_of_every_other() {
        let owed = |conversation, after, until| Owed { conversation, after, until };
        let (every, channel, private) = (owed(EVERY_OTHER, 10, 20), owed(1, 30, 40), owed(2, 30, 40));
        for turned in [false, true] {
            let (mut all, mut more) = (vec![every], vec![channel, private, Owed::nothing(3, 20)]);
            if turned {
                std::mem::swap(&mut all, &mut more);
            }
            merge(&mut all, &more, |id| id != 2);
            let mut all: Vec<String> = all.iter().map(Owed::to_string).collect();
            all.sort_unstable();
            assert_eq!(all, ["0 10 20", "1 10 20", "1 30 40", "2 30 40", "3 20 20"]);
        }
        let mut all = vec![every, Owed::nothing(1, 20)];
        merge(&mut all, &[channel], |_| true);
        assert_eq!(text(&all), "0 10 20,1 30 40", "that of the channel was done");
        let mut all = vec![owed(EVERY_OTHER, 10, 50), Owed::nothing(1, 20)];
        merge(&mut all, &[channel], |_| true);
        assert_eq!(text(&all), "0 10 50,1 20 50", "and was not so any more");
    }

    #[test]
    fn what_is_owed_of_one_conversation_is_in_ranges_that_do_not_touch_and_all_is_bounded() {
        let mut all = Vec::new();
        let all_of_one = [(1, 10, 20), (1, 30, 40), (1, 5, 15), (1, 15, 30), (1, 50, 60)];
        for owed in all_of_one.into_iter().chain([(2, 30, 40), (2, 40, 40), (3, 50, 50), (3, 45, 60)]) {
            let (conversation, after, until) = owed;
            Owed { conversation, after, until }.add_to(&mut all);
        }
        assert_eq!(text(&all), "1 5 40,1 50 60,2 40 40,3 45 60");
        Owed::nothing(1, 30).add_to(&mut all);
        Owed::nothing(2, 30).add_to(&mut all);
        Owed::nothing(2, 45).add_to(&mut all);
        assert_eq!(text(&all), "1 30 40,1 50 60,3 45 60,2 45 45", "nothing up to then, and never less");
        (0..2 * limits::OWED as u64).for_each(|id| Owed::nothing(10 + id, 1).add_to(&mut all));
        assert_eq!(all.len(), limits::OWED);
        assert_eq!(Owed { conversation: 1, after: 5, until: NOW }.up_to(9).to_string(), "1 5 9");
    }
}
