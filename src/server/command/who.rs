//! WHO (Modern IRC, "WHO message") and WHOX (<https://ircv3.net/specs/extensions/whox>): users of a
//! channel, or whom a mask fits.

use std::net::IpAddr;

use ircv3::mask;
use ircv3::message::cut;
use ircv3::name::host_of;
use ircv3::numeric::Numeric;
use ircv3::{Cap, Message};

use crate::server::channel::Channel;
use crate::server::command::bulk::{self, Answer, Cursor};
use crate::server::command::{oper, printable};
use crate::server::network::{ChannelId, Network, UserId};
use crate::server::policy::{Viewer, sees_channel};
use crate::server::user::User;
use crate::server::{Ctx, Server};

/// The most of a client's own words that a numeric repeats, in bytes, so that its line stays in bounds.
pub const ECHO_BYTES: usize = 256;
/// The address that WHOX shows where the real one is hidden.
const HIDDEN_ADDRESS: &str = "255.255.255.255";

/// `WHO [channel|nick|mask] [o][%fields[,token]]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let asked = line.param(0).unwrap_or("*");
    let (flags, fields) = line.param(1).map_or(("", None), |options| match options.split_once('%') {
        Some((flags, fields)) => (flags, Fields::parse(fields)),
        None => (options, None),
    });
    let network = &server.network;
    let (scope, cursor) = if let Some(id) = network.channel_by_name(asked) {
        let channel = &network.channels[id];
        let members = channel.members.keys().copied().collect();
        (Scope::Channel(id, channel.serial), Cursor::these(members))
    } else if let Some(user) = network.user_by_nick(asked) {
        (Scope::Nick, Cursor::these(vec![user]))
    } else if asked.starts_with('#') {
        (Scope::Mask(asked.into()), Cursor::these(Vec::new()))
    } else {
        let pattern = if asked == "0" || asked.is_empty() { "*" } else { asked };
        (Scope::Mask(pattern.into()), Cursor::all(&network.users))
    };
    let who = Who { asked: asked.into(), scope, cursor, fields, opers_only: flags.contains('o') };
    bulk::start(server, ctx, Answer::Who(who));
}

/// What is left of an answer to WHO.
#[derive(Debug)]
pub struct Who {
    asked: Box<str>,
    scope: Scope,
    cursor: Cursor,
    fields: Option<Fields>,
    opers_only: bool,
}

/// Which users were asked for.
#[derive(Debug)]
enum Scope {
    /// Members of the channel with this serial.
    Channel(ChannelId, u64),
    /// One, by the nick: also when it is invisible.
    Nick,
    /// Those whom the mask fits, as far as they can be seen.
    Mask(Box<str>),
}

impl Who {
    /// Appends the next page; whether it is the last.
    pub fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        let Who { asked, scope, cursor, fields, opers_only } = self;
        let network = &server.network;
        let viewer = oper::viewer(server, ctx);
        let done = cursor.fill(ctx, |ctx, id| {
            let Some(user) = network.users.get(id) else { return };
            if *opers_only && !user.is_oper() {
                return;
            }
            let channel = match scope {
                Scope::Channel(channel, serial) => {
                    let there = network.channels.get(*channel).filter(|channel| channel.serial == *serial);
                    match there {
                        Some(channel) if sees_member(network, viewer, id, channel) => Some(channel),
                        _ => return,
                    }
                }
                Scope::Nick => shown_channel(network, viewer, id),
                Scope::Mask(pattern) => {
                    if !fits(network, pattern, user) || !sees_user(network, viewer, id) {
                        return;
                    }
                    shown_channel(network, viewer, id)
                }
            };
            match fields {
                Some(fields) => whox_reply(server, ctx, id, channel, fields),
                None => who_reply(server, ctx, id, channel),
            }
        });
        if done {
            let asked = cut(printable(asked), ECHO_BYTES);
            ctx.reply.numeric(Numeric::RPL_ENDOFWHO, &[asked], Some("End of /WHO list"));
        }
        done
    }
}

/// Whether a user may find another by more than its exact nick: `+i` hides from those who share no channel.
pub fn sees_user(network: &Network, viewer: Viewer, user: UserId) -> bool {
    let there = &network.users[user];
    viewer.user == user
        || !there.modes.has('i')
        || viewer.is_oper
        || there
            .channels
            .iter()
            .map(|channel| &network.channels[*channel])
            .any(|channel| channel.members.contains_key(&viewer.user) && channel.shows(viewer.user, user))
}

/// Whether a user is a member of a channel and another may see that it is: members see each other but for
/// those whom `D` and `u` hide, and strangers those who hide neither themselves (`i`) nor their channels (`p`).
pub fn sees_member(network: &Network, viewer: Viewer, user: UserId, channel: &Channel) -> bool {
    channel.members.contains_key(&user)
        && (viewer.user == user
            || viewer.is_oper
            || channel.shows(viewer.user, user)
                && (channel.members.contains_key(&viewer.user)
                    || sees_channel(viewer, channel)
                        && !network.users[user].modes.has('p')
                        && sees_user(network, viewer, user)))
}

/// The channel that stands for all of a user's where only one fits: one that both are in, or else the
/// first that the viewer may see.
fn shown_channel(network: &Network, viewer: Viewer, user: UserId) -> Option<&Channel> {
    let channels = || network.users[user].channels.iter().map(|id| &network.channels[*id]);
    channels()
        .find(|channel| channel.members.contains_key(&viewer.user) && sees_member(network, viewer, user, channel))
        .or_else(|| channels().find(|channel| sees_member(network, viewer, user, channel)))
}

/// Whether a mask fits a user's nick, user name, host or real name; with `!` or `@`, all of its source.
fn fits(network: &Network, pattern: &str, user: &User) -> bool {
    let fits = |text: &str| mask::matches(pattern, text, network.casemapping);
    fits(&user.nick)
        || fits(&user.user)
        || fits(&user.host)
        || fits(&user.realname)
        || pattern.contains(['!', '@']) && fits(&user.source)
}

/// `H` or `G`, `*` for an operator, the prefixes in the channel, `B` for a bot.
fn flags(ctx: &Ctx, user: &User, id: UserId, channel: Option<&Channel>) -> String {
    let ranks = channel.and_then(|channel| channel.ranks(id)).unwrap_or_default();
    format!(
        "{}{}{}{}",
        if user.away.is_some() { 'G' } else { 'H' },
        if user.is_oper() { "*" } else { "" },
        ranks.prefixes(ctx.reply.caps.has(Cap::MultiPrefix)),
        if user.is_bot() { "B" } else { "" },
    )
}

/// 352
fn who_reply(server: &Server, ctx: &mut Ctx, id: UserId, channel: Option<&Channel>) {
    let user = &server.network.users[id];
    let flags = flags(ctx, user, id, channel);
    let middles = [
        channel.map_or("*", |channel| &channel.name),
        &user.user,
        &user.host,
        &server.settings.server_name,
        &user.nick,
        &flags,
    ];
    let text = format!("0 {}", user.realname);
    let text = cut(&text, bulk::trailing_room(server, &ctx.reply, &middles));
    ctx.reply.numeric(Numeric::RPL_WHOREPLY, &middles, Some(text));
}

/// The fields that a WHOX asked for.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    letters: Box<str>,
    token: Box<str>,
}

impl Fields {
    /// Reads what stands after `%`; `None` where no field is asked for, which is a plain WHO. A token that
    /// is not one to three digits is answered as `0`, so that every field stays in its place.
    fn parse(text: &str) -> Option<Fields> {
        let (letters, token) = text.split_once(',').unwrap_or((text, ""));
        let letters: String = letters.chars().filter(|letter| ORDER.contains(*letter)).collect();
        let right = (1..=3).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
        let token = if right { token } else { "0" };
        (!letters.is_empty()).then(|| Fields { letters: letters.into(), token: token.into() })
    }
}

/// The fields in the order in which they are answered, whatever order was asked for.
const ORDER: &str = "tcuihsnfdlaor";

/// 354
fn whox_reply(server: &Server, ctx: &mut Ctx, id: UserId, channel: Option<&Channel>, fields: &Fields) {
    let user = &server.network.users[id];
    let address = shown_address(server, ctx, id);
    let flags = flags(ctx, user, id, channel);
    let idle = idle_seconds(server, user).to_string();
    let mut middles: Vec<&str> = Vec::with_capacity(ORDER.len());
    for letter in ORDER.chars().filter(|letter| fields.letters.contains(*letter)) {
        middles.push(match letter {
            't' => &fields.token,
            'c' => channel.map_or("*", |channel| &channel.name),
            'u' => &user.user,
            'i' => &address,
            'h' => &user.host,
            's' => &server.settings.server_name,
            'n' => &user.nick,
            'f' => &flags,
            'd' => "0",
            'l' => &idle,
            'a' => user.account_name.as_deref().unwrap_or("0"),
            'o' => "n/a",
            _ => continue,
        });
    }
    let realname =
        fields.letters.contains('r').then(|| cut(&user.realname, bulk::trailing_room(server, &ctx.reply, &middles)));
    ctx.reply.numeric(Numeric::RPL_WHOSPCRPL, &middles, realname);
}

/// The address of a user, for itself and operators; for others only where its host shows it anyway.
fn shown_address(server: &Server, ctx: &Ctx, id: UserId) -> String {
    let user = &server.network.users[id];
    if ctx.me() == id || oper::is(server, ctx) {
        let session = user.sessions.first().and_then(|conn| server.session(*conn));
        if let Some(session) = session {
            return session.peer.host().to_string();
        }
    }
    match user.host.parse::<IpAddr>() {
        Ok(ip) => host_of(ip),
        Err(_) => HIDDEN_ADDRESS.to_owned(),
    }
}

/// Seconds since a user last said something.
pub fn idle_seconds(server: &Server, user: &User) -> u64 {
    server.now().mono_ms.saturating_sub(user.spoke) / 1000
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn a_reply_has_the_shared_channel_and_the_flags() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(bob, "JOIN #first,#room");
        asked.ask(alice, "JOIN #Room");
        asked.ask(bob, "AWAY :gone");
        asked.set_oper("bob");
        asked.ask(bob, "MODE bob +B");
        let reply = ":irc.test 352 alice #room ~u 10.0.0.1 irc.test bob G*@B :0 A Name";
        let end = |mask: &str| format!(":irc.test 315 alice {mask} :End of /WHO list");
        assert_eq!(asked.ask(alice, "WHO BOB"), [reply.to_owned(), end("BOB")]);
        assert_eq!(asked.ask(alice, "WHO bo*"), [reply.to_owned(), end("bo*")]);
        assert_eq!(asked.ask(alice, "WHO #ROOM").len(), 3);
        assert_eq!(asked.ask(alice, "WHO #room o"), [reply.to_owned(), end("#room")]);
        assert_eq!(asked.ask(alice, "WHO nosuch"), [end("nosuch")]);
        assert_eq!(asked.ask(alice, "WHO #nosuch"), [end("#nosuch")]);
        assert_eq!(asked.ask(alice, "WHO :*a name"), {
            let mut both = asked.ask(alice, "WHO");
            assert_eq!(both.len(), 3);
            both[2] = end("*");
            both
        });
    }

    #[test]
    fn c32_masks_do_not_find_invisible_strangers_and_secret_channels_do_not_show() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(bob, "MODE bob +i");
        asked.ask(bob, "JOIN #secret,#open");
        asked.ask(bob, "MODE #secret +s");
        assert_eq!(asked.ask(alice, "WHO bo*").len(), 1);
        assert_eq!(asked.ask(alice, "WHO *").len(), 2, "only herself");
        assert_eq!(asked.ask(alice, "WHO #secret").len(), 1);
        assert_eq!(asked.ask(alice, "WHO #open").len(), 1);
        let lines = asked.ask(alice, "WHO bob");
        assert!(lines[0].contains(" 352 alice * "), "{lines:?}");
        asked.ask(bob, "MODE bob -i");
        let lines = asked.ask(alice, "WHO bob");
        assert!(lines[0].contains(" 352 alice #open "), "{lines:?}");
        assert_eq!(asked.ask(alice, "WHO #secret").len(), 1);
        asked.set_oper("alice");
        assert_eq!(asked.ask(alice, "WHO #secret").len(), 2);
    }

    #[test]
    fn c30_fields_come_in_the_fixed_order() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "JOIN #room");
        asked.now.mono_ms += 7_000;
        let full = ":irc.test 354 alice 152 #room ~u 10.0.0.1 10.0.0.1 irc.test alice H@ 0 7 0 n/a :A Name";
        assert_eq!(asked.ask(alice, "WHO #room %tcuihsnfdlaor,152")[0], full);
        assert_eq!(asked.ask(alice, "WHO #room %roaldfnshiuct,152")[0], full);
        assert_eq!(asked.ask(alice, "WHO alice %afn")[0], ":irc.test 354 alice alice H@ 0");
        assert_eq!(asked.ask(alice, "WHO alice %tn,1234")[0], ":irc.test 354 alice 0 alice");
        assert_eq!(asked.ask(alice, "WHO alice o%n").len(), 1);
        let lines = asked.ask(alice, "WHO alice %");
        assert!(lines[0].contains(" 352 ") && lines.len() == 2, "{lines:?}");
    }

    #[test]
    fn an_address_behind_a_host_is_hidden_from_others() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        let id = asked.id("bob");
        asked.server.network.users[id].host = "cloak.example".into();
        assert_eq!(asked.ask(alice, "WHO bob %ih")[0], ":irc.test 354 alice 255.255.255.255 cloak.example");
        assert_eq!(asked.ask(bob, "WHO bob %ih")[0], ":irc.test 354 bob 10.0.0.1 cloak.example");
    }

    #[test]
    fn a_token_is_one_to_three_digits() {
        for (text, letters, token) in
            [("tn,12", "tn", "12"), ("tn,1234", "tn", "0"), ("tn,x", "tn", "0"), ("tn", "tn", "0"), ("n!?", "n", "0")]
        {
            let right = Fields { letters: letters.into(), token: token.into() };
            assert_eq!(Fields::parse(text), Some(right), "{text}");
        }
        assert_eq!(Fields::parse(""), None);
        assert_eq!(Fields::parse("?!,5"), None);
    }
}
