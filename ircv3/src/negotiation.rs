//! CAP, as one connection sees it
//! (<https://ircv3.net/specs/extensions/capability-negotiation>).
//!
//! A [`Negotiation`] remembers the names that a client asked for, not the features: a feature that
//! has two names stays on until neither is asked for.

use irc_proto::CapSubCommand;

use crate::capability::{Cap, CapSet};
use crate::message::{MAX_BODY_BYTES, cut};

/// The version from which capabilities have values and lists may take several lines.
pub const VERSION_302: u32 = 302;

/// One line of an answer: `:server CAP <client> <subcommand> [*] :<list>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapLine {
    /// Whether a `*` stands before the list, for more lines follow.
    pub more: bool,
    /// The list; it may be empty, and is then still a parameter.
    pub list: String,
}

/// The answer to a REQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it was done; the lists of the ACK lines.
    Ack(Vec<String>),
    /// Nothing of it was done; the list of the NAK, in the client's own words.
    Nak(Vec<String>),
}

/// What one connection has negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    newest: u32,
    names: Names,
    held: bool,
}

/// A set of names of capabilities, by their place in [`all_names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Names(u128);

impl Negotiation {
    /// A connection that has said nothing yet.
    pub fn new() -> Negotiation {
        Negotiation::default()
    }

    /// The highest version that the client ever named; 301 where it named none but used LS, 0
    /// before that.
    pub fn version(&self) -> u32 {
        self.newest
    }

    /// Whether registration waits for CAP END. Means nothing once it is over.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// The features that are on: those with any of their names asked for, and cap-notify from
    /// version 302 on.
    pub fn caps(&self) -> CapSet {
        let mut caps: CapSet =
            all_names().enumerate().filter(|(at, _)| self.names.has(*at)).map(|(_, (cap, _))| cap).collect();
        if self.newest >= VERSION_302 {
            caps.insert(Cap::CapNotify);
        }
        caps
    }

    /// Whether this very name was asked for, where it matters which of a feature's names is meant.
    pub fn has_name(&self, name: &str) -> bool {
        place_of(name).is_some_and(|(at, _)| self.names.has(at))
    }

    /// Whether the client is told of capabilities that come and go (CAP NEW, CAP DEL).
    pub fn notifies(&self) -> bool {
        self.caps().has(Cap::CapNotify)
    }

    /// CAP LS: holds registration and lists what is offered. `value` gives the value of a
    /// capability, `room` is what [`room`] says. Without a version of 302 or more in *this* LS the
    /// answer has no values and is one line, cut where a capability ends.
    pub fn ls(
        &mut self,
        version: Option<&str>,
        offered: CapSet,
        value: impl Fn(Cap) -> Option<String>,
        room: usize,
    ) -> Vec<CapLine> {
        self.held = true;
        let current = version.and_then(parse_version).unwrap_or(301);
        self.newest = self.newest.max(current);
        let modern = current >= VERSION_302;
        let names = preferred_first().filter(|(cap, _)| offered.has(*cap) && (modern || !cap.only_informs()));
        let words = names.map(|(cap, name)| match value(cap).filter(|value| modern && !value.is_empty()) {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        });
        continued(fill(words, room), modern)
    }

    /// CAP LIST: the names that are on. Does not hold registration.
    pub fn list(&self, room: usize) -> Vec<CapLine> {
        let on = all_names().enumerate().filter(|(at, _)| self.names.has(*at)).map(|(_, (_, name))| name.to_owned());
        continued(fill(on, room), self.newest >= VERSION_302)
    }

    /// CAP REQ: holds registration, then does all that `list` asks for, or nothing. `room` is what
    /// [`room`] says for ACK.
    pub fn request(&mut self, list: &str, offered: CapSet, room: usize) -> Answer {
        self.held = true;
        let mut names = self.names;
        for (add, name) in parse_request(list) {
            let Some((at, cap)) = place_of(name) else { return Answer::Nak(refused(list, room)) };
            // From 302 on cap-notify cannot be switched off.
            let stuck = cap == Cap::CapNotify && self.newest >= VERSION_302;
            if (add && !offered.has(cap)) || (!add && stuck) || cap.only_informs() {
                return Answer::Nak(refused(list, room));
            }
            names.set(at, add);
        }
        self.names = names;
        Answer::Ack(fill(list.split_ascii_whitespace().map(str::to_owned), room))
    }

    /// CAP END: registration goes on.
    pub fn end(&mut self) {
        self.held = false;
    }

    /// Switches a feature off under all its names, as after CAP DEL.
    pub fn withdraw(&mut self, cap: Cap) {
        for (at, (of, _)) in all_names().enumerate() {
            if of == cap {
                self.names.set(at, false);
            }
        }
    }
}

/// The lists of the CAP NEW lines that announce `caps`; with no values, of the CAP DEL lines.
pub fn announce(caps: CapSet, value: impl Fn(Cap) -> Option<String>, room: usize) -> Vec<String> {
    let words = all_names().filter(|(cap, _)| caps.has(*cap)).map(|(cap, name)| {
        value(cap).filter(|value| !value.is_empty()).map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))
    });
    let mut lists = fill(words, room);
    lists.retain(|list| !list.is_empty());
    lists
}

/// How many bytes of list one line has room for, with a `*` before it.
pub fn room(server: &str, client: &str, subcommand: CapSubCommand) -> usize {
    let around = ":".len() + server.len() + " CAP ".len() + client.len() + 1 + subcommand.to_str().len();
    MAX_BODY_BYTES.saturating_sub(around + " * :\r\n".len())
}

/// What a list asks for, in order: `(true, name)` to switch on, `(false, name)` to switch off.
pub fn parse_request(list: &str) -> impl Iterator<Item = (bool, &str)> {
    list.split_ascii_whitespace().map(|word| match word.strip_prefix('-') {
        Some(name) => (false, name),
        None => (true, word),
    })
}

fn parse_version(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// Every name with its feature; a name's place in this order is its bit.
fn all_names() -> impl Iterator<Item = (Cap, &'static str)> {
    Cap::ALL.iter().flat_map(|cap| cap.names().iter().map(|name| (*cap, *name)))
}

/// Every name: the preferred ones of all features, then the others, which an old client that gets
/// one line can do without.
fn preferred_first() -> impl Iterator<Item = (Cap, &'static str)> {
    let preferred = Cap::ALL.iter().filter_map(|cap| cap.names().first().map(|name| (*cap, *name)));
    let others = Cap::ALL.iter().flat_map(|cap| cap.names().iter().skip(1).map(|name| (*cap, *name)));
    preferred.chain(others)
}

fn place_of(name: &str) -> Option<(usize, Cap)> {
    all_names().enumerate().find(|(_, (_, other))| *other == name).map(|(at, (cap, _))| (at, cap))
}

/// The client's list in as many lines as it takes; in one, it is exactly what the client wrote.
fn refused(list: &str, room: usize) -> Vec<String> {
    if list.len() <= room {
        return vec![list.to_owned()];
    }
    fill(list.split_ascii_whitespace().map(|word| cut(word, room).to_owned()), room)
}

/// Joins words with spaces into lines of at most `room` bytes; one empty line where there are none.
fn fill(words: impl Iterator<Item = String>, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) if line.len() + 1 + word.len() <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// The lists as lines: all of them, or for an old client the first.
fn continued(mut lists: Vec<String>, modern: bool) -> Vec<CapLine> {
    if !modern {
        lists.truncate(1);
    }
    let last = lists.len().saturating_sub(1);
    lists.into_iter().enumerate().map(|(at, list)| CapLine { more: at < last, list }).collect()
}

impl Names {
    const fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }

    const fn set(&mut self, at: usize, on: bool) {
        if on {
            self.0 |= 1 << at;
        } else {
            self.0 &= !(1 << at);
        }
    }
}

#[cfg(test)]
mod tests {
    use irc_proto::CapSubCommand;

    use super::{Answer, CapLine, Negotiation, all_names, announce, parse_request, room};
    use crate::capability::{Cap, CapSet};

    fn everything() -> CapSet {
        Cap::ALL.iter().copied().collect()
    }

    fn ack(list: &str) -> Answer {
        Answer::Ack(vec![list.to_owned()])
    }

    fn nak(list: &str) -> Answer {
        Answer::Nak(vec![list.to_owned()])
    }

    #[test]
    fn every_name_has_a_bit() {
        assert!(all_names().count() <= 128);
        assert!(Cap::ALL.len() <= 64);
    }

    #[test]
    fn a_request_is_done_whole_or_not_at_all() {
        let mut negotiation = Negotiation::new();
        assert_eq!(negotiation.request("server-time batch", everything(), 400), ack("server-time batch"));
        let on = CapSet::of(&[Cap::ServerTime, Cap::Batch]);
        assert_eq!(negotiation.caps(), on);
        for list in ["-batch nonsense", " away-notify  nonsense ", "Batch", "sts", "-sts", "sasl=PLAIN", "--batch", "-"]
        {
            assert_eq!(negotiation.request(list, everything(), 400), nak(list), "{list}");
            assert_eq!(negotiation.caps(), on, "{list}");
        }
        // On already, off already, and twice: the last counts.
        assert_eq!(negotiation.request("batch -setname", everything(), 400), ack("batch -setname"));
        assert_eq!(negotiation.caps(), on);
        assert_eq!(
            negotiation.request("setname -setname -batch batch", everything(), 400),
            ack("setname -setname -batch batch")
        );
        assert_eq!(negotiation.caps(), on);
        assert_eq!(negotiation.list(400), [CapLine { more: false, list: "server-time batch".to_owned() }]);
    }

    #[test]
    fn what_is_not_offered_can_only_be_switched_off() {
        let mut negotiation = Negotiation::new();
        assert_eq!(negotiation.request("sasl", everything(), 400), ack("sasl"));
        let mut without = everything();
        without.remove(Cap::Sasl);
        assert_eq!(negotiation.request("sasl", without, 400), nak("sasl"));
        assert_eq!(negotiation.request("-sasl", without, 400), ack("-sasl"));
        assert!(negotiation.caps().is_empty());
        negotiation.request("sasl", everything(), 400);
        negotiation.withdraw(Cap::Sasl);
        assert!(negotiation.caps().is_empty());
    }

    #[test]
    fn a_dependency_may_come_later() {
        let mut negotiation = Negotiation::new();
        assert_eq!(negotiation.request("labeled-response", everything(), 400), ack("labeled-response"));
    }

    #[test]
    fn cap_notify_is_for_302_and_for_who_asks() {
        let mut old = Negotiation::new();
        assert!(!old.notifies());
        old.request("cap-notify", everything(), 400);
        assert!(old.notifies());
        assert_eq!(old.request("-cap-notify", everything(), 400), ack("-cap-notify"));
        assert!(!old.notifies());

        let mut new = Negotiation::new();
        new.ls(Some("302"), everything(), |_| None, 400);
        assert!(new.notifies());
        assert_eq!(new.request("cap-notify", everything(), 400), ack("cap-notify"));
        assert_eq!(new.request("-cap-notify", everything(), 400), nak("-cap-notify"));
        assert!(new.notifies());
    }

    #[test]
    fn an_answer_that_is_longer_than_a_line_is_several() {
        let mut negotiation = Negotiation::new();
        let list = "server-time batch away-notify";
        let Answer::Ack(lists) = negotiation.request(list, everything(), 17) else { panic!("it is all offered") };
        assert_eq!(lists, ["server-time batch", "away-notify"]);
        let long = format!("{} nonsense", "x".repeat(30));
        let Answer::Nak(lists) = negotiation.request(&long, everything(), 17) else { panic!("it is unknown") };
        assert_eq!(lists, ["x".repeat(17), "nonsense".to_owned()]);
    }

    #[test]
    fn the_room_is_what_is_left_of_512_bytes() {
        let room = room("irc.test", "alice", CapSubCommand::LS);
        let line = format!(":irc.test CAP alice LS * :{}\r\n", "x".repeat(room));
        assert_eq!(line.len(), 512);
        let mut negotiation = Negotiation::new();
        for line in negotiation.ls(Some("302"), everything(), |_| Some("v".repeat(20)), room) {
            assert!(line.list.len() <= room);
        }
    }

    #[test]
    fn news_have_values_and_every_name() {
        let caps = CapSet::of(&[Cap::Sasl, Cap::Setname]);
        let sasl = |cap: Cap| (cap == Cap::Sasl).then(|| "PLAIN".to_owned());
        assert_eq!(announce(caps, sasl, 400), ["sasl=PLAIN setname"]);
        assert_eq!(announce(caps, |_| None, 400), ["sasl setname"]);
        assert_eq!(announce(caps, sasl, 10), ["sasl=PLAIN", "setname"]);
        assert!(announce(CapSet::EMPTY, |_| None, 400).is_empty());
    }

    #[test]
    fn a_list_is_read_word_by_word() {
        assert_eq!(
            parse_request("  a -b  --c - ").collect::<Vec<_>>(),
            [(true, "a"), (false, "b"), (false, "-c"), (false, "")]
        );
    }
}
