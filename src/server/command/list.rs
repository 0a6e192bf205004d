//! LIST (Modern IRC, "LIST message"; `ELIST=CMNTU`): the channels there are.

use ircv3::Message;
use ircv3::mask;
use ircv3::numeric::Numeric;

use crate::server::channel::Channel;
use crate::server::command::bulk::{self, Answer, Cursor};
use crate::server::command::oper;
use crate::server::policy::sees_channel;
use crate::server::{Ctx, Server};

/// `LIST [name|mask|!mask|>n|<n|C>n|C<n|T>n|T<n[,...]]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut filter = Filter::default();
    for item in line.param(0).unwrap_or_default().split(',').filter(|item| !item.is_empty()) {
        filter.add(item);
    }
    let network = &server.network;
    let cursor = if filter.names.is_empty() || filter.names.iter().any(|name| mask::has_wildcard(name)) {
        Cursor::all(&network.channels)
    } else {
        let mut ids: Vec<usize> = filter.names.iter().filter_map(|name| network.channel_by_name(name)).collect();
        ids.sort_unstable();
        ids.dedup();
        Cursor::these(ids)
    };
    ctx.reply.numeric(Numeric::RPL_LISTSTART, &["Channel"], Some("Users  Name"));
    bulk::start(server, ctx, Answer::List(List { filter, cursor }));
}

/// What is left of an answer to LIST.
#[derive(Debug)]
pub struct List {
    filter: Filter,
    cursor: Cursor,
}

impl List {
    /// Appends the next page; whether it is the last.
    pub fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        let viewer = oper::viewer(server, ctx);
        let network = &server.network;
        let now = server.clock() / 1000;
        let List { filter, cursor } = self;
        let done = cursor.fill(ctx, |ctx, id| {
            let Some(channel) = network.channels.get(id) else { return };
            if !sees_channel(viewer, channel) || !filter.passes(server, channel, now) {
                return;
            }
            ctx.reply.after = ctx.reply.after.max(channel.changed);
            let count = channel.members.len().to_string();
            let topic = channel.topic.as_ref().map_or("", |topic| &topic.text);
            ctx.reply.numeric(Numeric::RPL_LIST, &[&channel.name, &count], Some(topic));
        });
        if done {
            ctx.reply.numeric(Numeric::RPL_LISTEND, &[], Some("End of /LIST"));
        }
        done
    }
}

/// Which channels are asked for: those that have one of the names, and pass every condition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    names: Vec<Box<str>>,
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// `!mask`
    NotNamed(Box<str>),
    /// `>n`, `<n`: members.
    Members(Compared, u64),
    /// `C>n`, `C<n`: made more or less than so many minutes ago.
    Created(Compared, u64),
    /// `T>n`, `T<n`: topic set more or less than so many minutes ago.
    TopicSet(Compared, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    More,
    Less,
}

impl Compared {
    fn holds(self, value: u64, than: u64) -> bool {
        match self {
            Compared::More => value > than,
            Compared::Less => value < than,
        }
    }
}

impl Filter {
    /// Takes one item; what is no condition is a name.
    fn add(&mut self, item: &str) {
        match Condition::parse(item) {
            Some(condition) => self.conditions.push(condition),
            None => self.names.push(item.into()),
        }
    }

    fn passes(&self, server: &Server, channel: &Channel, now: u64) -> bool {
        let casemapping = server.network.casemapping;
        let named = |pattern: &str| {
            casemapping.same(pattern, &channel.name)
                || mask::has_wildcard(pattern) && mask::matches(pattern, &channel.name, casemapping)
        };
        (self.names.is_empty() || self.names.iter().any(|name| named(name)))
            && self.conditions.iter().all(|condition| match condition {
                Condition::NotNamed(pattern) => !named(pattern),
                Condition::Members(compared, n) => compared.holds(channel.members.len() as u64, *n),
                Condition::Created(compared, minutes) => {
                    compared.holds(now.saturating_sub(channel.created), minutes.saturating_mul(60))
                }
                Condition::TopicSet(compared, minutes) => channel
                    .topic
                    .as_ref()
                    .is_some_and(|topic| compared.holds(now.saturating_sub(topic.set_at), minutes.saturating_mul(60))),
            })
    }
}

impl Condition {
    fn parse(item: &str) -> Option<Condition> {
        if let Some(pattern) = item.strip_prefix('!') {
            return Some(Condition::NotNamed(pattern.into()));
        }
        let compared = |text: &str| -> Option<(Compared, u64)> {
            let compared = match text.as_bytes().first()? {
                b'>' => Compared::More,
                b'<' => Compared::Less,
                _ => return None,
            };
            Some((compared, text[1..].parse().ok()?))
        };
        if let Some((compared, n)) = compared(item) {
            return Some(Condition::Members(compared, n));
        }
        if let Some((compared, minutes)) = item.strip_prefix(['C', 'c']).and_then(compared) {
            return Some(Condition::Created(compared, minutes));
        }
        let (compared, minutes) = item.strip_prefix(['T', 't']).and_then(compared)?;
        Some(Condition::TopicSet(compared, minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::{Compared, Condition, Filter};
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::ConnId;

    fn channels(asked: &mut Asked, conn: ConnId, line: &str) -> Vec<String> {
        let lines = asked.ask(conn, line);
        assert!(lines[0].contains(" 321 ") && lines[lines.len() - 1].contains(" 323 "), "{lines:?}");
        let channel = |line: &String| line.split(' ').nth(3).unwrap_or_default().to_owned();
        lines[1..lines.len() - 1].iter().map(channel).collect()
    }

    fn two_channels() -> (Asked, ConnId) {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #one");
        asked.ask(alice, "JOIN #Two");
        asked.ask(bob, "JOIN #Two");
        (asked, alice)
    }

    #[test]
    fn a_line_has_the_channel_its_members_and_its_topic() {
        let (mut asked, alice) = two_channels();
        asked.ask(alice, "TOPIC #two :what it says");
        let lines = asked.ask(alice, "LIST #two");
        assert_eq!(
            lines,
            [
                ":irc.test 321 alice Channel :Users  Name",
                ":irc.test 322 alice #Two 2 :what it says",
                ":irc.test 323 alice :End of /LIST",
            ]
        );
    }

    #[test]
    fn c33_masks_and_strict_comparisons() {
        let (mut asked, alice) = two_channels();
        for (line, right) in [
            ("LIST", &["#one", "#Two"][..]),
            ("LIST *tw*", &["#Two"]),
            ("LIST !*TW*", &["#one"]),
            ("LIST #one,#nosuch", &["#one"]),
            ("LIST #one,#tw?", &["#one", "#Two"]),
            ("LIST #nosuch", &[]),
            ("LIST one", &[]),
            ("LIST >1", &["#Two"]),
            ("LIST >2", &[]),
            ("LIST <2", &["#one"]),
            ("LIST <1", &[]),
            ("LIST >0,<2", &["#one"]),
            ("LIST #*,>1", &["#Two"]),
            ("LIST >x", &[]),
        ] {
            assert_eq!(channels(&mut asked, alice, line), right, "{line}");
        }
    }

    #[test]
    fn times_are_minutes_ago() {
        let (mut asked, alice) = two_channels();
        asked.ask(alice, "TOPIC #one :first");
        asked.now.unix_ms += 3 * 60_000;
        asked.ask(alice, "JOIN #three");
        asked.ask(alice, "TOPIC #two :second");
        asked.now.unix_ms += 60_000;
        for (line, right) in [
            ("LIST C>2", &["#one", "#Two"][..]),
            ("LIST C<2", &["#three"]),
            ("LIST C<0", &[]),
            ("LIST C>0", &["#one", "#Two", "#three"]),
            ("LIST T>2", &["#one"]),
            ("LIST t<2", &["#Two"]),
            ("LIST T<10", &["#one", "#Two"]),
            ("LIST C>2,T<2", &["#Two"]),
        ] {
            assert_eq!(channels(&mut asked, alice, line), right, "{line}");
        }
    }

    #[test]
    fn secret_channels_are_for_members_and_operators() {
        let (mut asked, alice) = two_channels();
        asked.ask(alice, "MODE #one +s");
        let carol = asked.user("carol");
        assert_eq!(channels(&mut asked, carol, "LIST"), ["#Two"]);
        assert_eq!(channels(&mut asked, carol, "LIST #one"), [""; 0]);
        assert_eq!(channels(&mut asked, alice, "LIST #one"), ["#one"]);
        asked.set_oper("carol");
        assert_eq!(channels(&mut asked, carol, "LIST"), ["#one", "#Two"]);
    }

    #[test]
    fn what_is_no_condition_is_a_name() {
        let mut filter = Filter::default();
        for item in [">5", "<6", "C>7", "t<8", "!*a*", "*b*", "#>5", "Cats", ">"] {
            filter.add(item);
        }
        assert_eq!(
            filter.conditions,
            [
                Condition::Members(Compared::More, 5),
                Condition::Members(Compared::Less, 6),
                Condition::Created(Compared::More, 7),
                Condition::TopicSet(Compared::Less, 8),
                Condition::NotNamed("*a*".into()),
            ]
        );
        assert_eq!(filter.names, ["*b*", "#>5", "Cats", ">"].map(Box::from));
    }
}
