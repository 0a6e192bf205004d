//! LIST (Modern IRC, "LIST message"; `ELIST=CMNTU`): the channels there are.

use ircv3::Message;
use ircv3::mask;
use ircv3::numeric::Numeric;

use crate::server::channel::Channel;
use crate::server::command::bulk::{self, Answer, Cursor};
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
        let me = ctx.me();
        let network = &server.network;
        let now = server.clock() / 1000;
        let List { filter, cursor } = self;
        let done = cursor.fill(ctx, |ctx, id| {
            let Some(channel) = network.channels.get(id) else { return };
            if !sees_channel(network, me, channel) || !filter.passes(server, channel, now) {
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
