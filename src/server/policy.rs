//! Who may do what: pure questions about the state.

use std::borrow::Cow;

use ircv3::extban::{Deed, Entry, Subject};
use ircv3::mode::{Rank, Ranks};
use ircv3::numeric::Numeric;
use ircv3::{Casemapping, formatting, mask};

use crate::server::channel::{Channel, ListEntry};
use crate::server::lookalike::Holder;
use crate::server::network::{ChannelId, Network, UserId};
use crate::server::record::{AccountId, MessageRow, Seq};
use crate::server::user::{Contact, User, source};

/// Who asks: a user, by one of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    /// The user.
    pub user: UserId,
    /// Whether it is an operator, and the connection has shown as much.
    pub is_oper: bool,
}

/// Whether a nick belongs to an account other than this one.
pub fn nick_reserved(network: &Network, nick: &str, account: Option<AccountId>) -> bool {
    let owner = network.nick_owner(nick);
    is_service(nick, network.casemapping)
        || owner.map_or_else(|| is_reserved(nick, network.casemapping), |owner| Some(owner.id) != account)
}

/// Whether a nick, or the name of an account, can be taken for that of someone else: of an account, of
/// someone who is on, or of a service.
pub fn nick_is_like_another(network: &Network, nick: &str, account: Option<AccountId>, user: Option<UserId>) -> bool {
    network.lookalikes().any(nick, |holder| match holder {
        Holder::Account(other) => Some(other) != account,
        Holder::User(other) => Some(other) != user && (account.is_none() || network.users[other].account != account),
        Holder::Channel(_) => false,
        Holder::Service => true,
    })
}

/// Whether the name of a channel can be taken for that of a registered channel of someone else.
pub fn channel_is_like_another(network: &Network, name: &str, account: Option<AccountId>) -> bool {
    network.lookalikes().any(name, |holder| match holder {
        Holder::Channel(other) => {
            let founder = network.channels[other].founder;
            founder.is_some() && founder != account
        }
        Holder::Account(_) | Holder::User(_) | Holder::Service => false,
    })
}

/// Whether a nick is that of a service.
pub fn is_service(nick: &str, casemapping: Casemapping) -> bool {
    service(nick, casemapping).is_some()
}

/// The service of this nick.
pub fn service(nick: &str, casemapping: Casemapping) -> Option<&'static str> {
    SERVICES.into_iter().find(|name| casemapping.same(name, nick))
}

/// The nicks of services, which nobody else may have.
pub const SERVICES: [&str; 4] = ["NickServ", "ChanServ", "HistServ", "HostServ"];

/// Nicks of services that other networks have, and this server has not: people write passwords and letters to them.
const SERVICES_ELSEWHERE: [&str; 4] = ["BotServ", "MemoServ", "OperServ", "SaslServ"];

/// Whether a nick is a service's, here or elsewhere: nobody may have it.
pub fn is_reserved(nick: &str, casemapping: Casemapping) -> bool {
    is_service(nick, casemapping) || SERVICES_ELSEWHERE.iter().any(|name| casemapping.same(name, nick))
}

/// Why someone may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// `+i`: 473.
    InviteOnly,
    /// `+k`: 475.
    BadKey,
    /// `+l`: 471.
    Full,
    /// `+b`: 474.
    Banned,
    /// `+R`, and not logged in: 477.
    NotLoggedIn,
    /// `+z`, and not by TLS: 489.
    NotSecure,
}

/// Whether a user may join a channel with this key. An invitation opens `+i`, `+b`, `+k`, `+l` and `+R` once;
/// the founder of a registered channel comes in always, and so do accounts that are halfop or more in it (AMODE).
pub fn may_join(
    network: &Network,
    user: UserId,
    id: ChannelId,
    key: Option<&str>,
    now: u64,
) -> Result<(), JoinRefused> {
    let channel = &network.channels[id];
    let there = &network.users[user];
    if comes_in_always(channel, there.account) {
        return Ok(());
    }
    // Those inside count on `+z`: no invitation opens it.
    if channel.modes.has('z') && !there.secure {
        return Err(JoinRefused::NotSecure);
    }
    if there.invites().iter().any(|(invited, until)| *invited == channel.serial && *until > now) {
        return Ok(());
    }
    if channel.modes.has('R') && there.account.is_none() {
        return Err(JoinRefused::NotLoggedIn);
    }
    if channel.modes.has('i') && !listed(network, user, &channel.invexes, None) {
        return Err(JoinRefused::InviteOnly);
    }
    if is_banned(network, user, channel, None) {
        return Err(JoinRefused::Banned);
    }
    if channel.key.is_some() && channel.key.as_deref() != key {
        return Err(JoinRefused::BadKey);
    }
    if channel.limit.is_some_and(|limit| channel.members.len() >= limit as usize) {
        return Err(JoinRefused::Full);
    }
    Ok(())
}

/// Whether nothing keeps an account out of a channel: its founder, or halfop or more in it (AMODE).
pub fn comes_in_always(channel: &Channel, account: Option<AccountId>) -> bool {
    channel.standing(account).is_some_and(|rank| rank >= Rank::Halfop)
}

/// Whether a channel keeps strangers out: what is said in it is for those alone who were let in.
///
/// So do `i` and `k`; `R` and `z`, for those inside count on it that nobody is there without an account, or reads along
/// on the line; and a ban of everybody, or of all who are not logged in. A limit (`l`) lets in whoever comes early enough,
/// other bans keep only some out, and who knows the name of a secret channel (`s`) may join it.
pub fn is_closed(channel: &Channel) -> bool {
    let is_of_all = |entry: &ListEntry| {
        let entry = Entry::read(&entry.mask);
        // Every user name begins with a tilde here.
        let everyone = |mask: &str| mask.chars().all(|c| matches!(c, '*' | '?' | '!' | '@' | '~'));
        let fits_all = match entry.subject {
            None | Some(Subject::Unregistered | Subject::Realname) => everyone(entry.mask),
            _ => false,
        };
        entry.about.is_none() && fits_all
    };
    channel.key.is_some()
        || ['i', 'R', 'z'].iter().any(|mode| channel.modes.has(*mode))
        || channel.bans.iter().any(is_of_all)
}

/// Where someone goes who may not join a channel (`+f`); `None` where there is no such channel.
pub fn forward(network: &Network, id: ChannelId) -> Option<ChannelId> {
    let target = network.channel_by_name(network.channels[id].forward.as_deref()?)?;
    (target != id).then_some(target)
}

/// Why someone may not speak in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechRefused {
    /// `+n`, and not in the channel.
    NotThere,
    /// `+m`, and without voice.
    Moderated,
    /// Banned, and without voice.
    Banned,
    /// `+M`, and neither voiced nor logged in.
    NotLoggedIn,
    /// `+C`, and the text is a CTCP request or answer other than ACTION.
    NoCtcp,
    /// `+c`, and the text has colours or other formatting.
    NoFormatting,
    /// `+S`, and the text is nothing but formatting.
    NothingLeft,
}

impl SpeechRefused {
    /// The text of 404.
    pub fn text(self) -> &'static str {
        match self {
            SpeechRefused::NotThere => "Cannot send to channel (+n: only members may)",
            SpeechRefused::Moderated => "Cannot send to channel (+m: only voiced members may)",
            SpeechRefused::NotLoggedIn => "Cannot send to channel (+M: log in, or be voiced, first)",
            SpeechRefused::NoCtcp => "Cannot send to channel (+C: no CTCP)",
            SpeechRefused::Banned => "Cannot send to channel (+b: you are banned)",
            SpeechRefused::NoFormatting => "Cannot send to channel (+c: no colours or other formatting)",
            SpeechRefused::NothingLeft => "Cannot send to channel (+S: without its formatting the text is empty)",
        }
    }
}

/// Whether a text is CTCP other than ACTION (`/me`).
pub fn is_ctcp(text: &str) -> bool {
    text.strip_prefix('\u{1}').is_some_and(|text| !text.starts_with("ACTION"))
}

/// Whether a user may send PRIVMSG, NOTICE or TAGMSG with this text (empty for TAGMSG) to a channel.
pub fn may_speak(network: &Network, user: UserId, channel: &Channel, text: &str) -> Result<(), SpeechRefused> {
    let ranks = channel.ranks(user);
    if ranks.is_none() && channel.modes.has('n') {
        return Err(SpeechRefused::NotThere);
    }
    if channel.modes.has('C') && is_ctcp(text) {
        return Err(SpeechRefused::NoCtcp);
    }
    if channel.modes.has('c') && formatting::has_formatting(text) {
        return Err(SpeechRefused::NoFormatting);
    }
    if channel.modes.has('S') && !text.is_empty() && formatting::strip(text).trim_matches(['\n', '\r']).is_empty() {
        return Err(SpeechRefused::NothingLeft);
    }
    if ranks.is_some_and(|ranks| ranks.at_least(Rank::Voice)) {
        return Ok(());
    }
    if channel.modes.has('m') {
        return Err(SpeechRefused::Moderated);
    }
    if channel.modes.has('M') && network.users[user].account.is_none() {
        return Err(SpeechRefused::NotLoggedIn);
    }
    if is_banned(network, user, channel, Some(Deed::Speak)) {
        return Err(SpeechRefused::Banned);
    }
    Ok(())
}

/// A text as it is heard in a channel: under `+S` without its formatting.
pub fn heard<'a>(channel: &Channel, text: &'a str) -> Cow<'a, str> {
    if channel.modes.has('S') { formatting::strip(text) } else { Cow::Borrowed(text) }
}

/// Whether what a user says in a channel is for halfops and those above them alone (`+U`).
pub fn is_moderated_by_ops(channel: &Channel, user: UserId) -> bool {
    channel.modes.has('U') && !channel.ranks(user).is_some_and(|ranks| ranks.at_least(Rank::Voice))
}

/// Why someone may not write to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRefused {
    /// User mode `+R`, and the sender is not logged in.
    NotLoggedIn,
    /// User mode `+g`, and the sender is not accepted.
    NotAccepted,
    /// User mode `+T`, and the text is a CTCP request or answer other than ACTION.
    NoCtcp,
}

impl AddressRefused {
    /// The numeric that says so.
    pub fn numeric(self) -> Numeric {
        match self {
            AddressRefused::NotLoggedIn => Numeric::ERR_NEEDREGGEDNICK,
            AddressRefused::NotAccepted => Numeric::RPL_TARGUMODEG,
            AddressRefused::NoCtcp => Numeric::ERR_CANTSENDTOUSER,
        }
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        match self {
            AddressRefused::NotLoggedIn => "Cannot send to user (+R: only those who are logged in may)",
            AddressRefused::NotAccepted => "is in +g mode (server-side ignore): only those whom they accept may write",
            AddressRefused::NoCtcp => "Cannot send to user (+T: no CTCP)",
        }
    }
}

/// Whether a user may send this text (empty for TAGMSG) to another; to itself it may send anything. Those
/// whom the other accepted (ACCEPT), or wrote to, may answer in spite of `+R` and `+g`, and so may operators.
pub fn may_address(network: &Network, from: Viewer, target: UserId, text: &str) -> Result<(), AddressRefused> {
    let Viewer { user, is_oper } = from;
    let (from, there) = (&network.users[user], &network.users[target]);
    if user == target {
        return Ok(());
    }
    // DEFCON 3 is mode R for everyone.
    let registered_only = there.modes.has('R') || network.defcon <= 3;
    if (registered_only || there.modes.has('g')) && !is_oper && !accepts(there, from) {
        if registered_only && from.account.is_none() {
            return Err(AddressRefused::NotLoggedIn);
        }
        if there.modes.has('g') {
            return Err(AddressRefused::NotAccepted);
        }
    }
    if there.modes.has('T') && is_ctcp(text) {
        return Err(AddressRefused::NoCtcp);
    }
    Ok(())
}

fn accepts(user: &User, other: &User) -> bool {
    let is_it = |contact: &Contact| contact.is(other);
    user.contacts
        .as_ref()
        .is_some_and(|contacts| contacts.accepted.iter().any(is_it) || contacts.addressed.iter().any(is_it))
}

/// Whether a user has silenced another (SILENCE): nothing that it writes in private arrives.
pub fn is_silenced(network: &Network, user: UserId, by: UserId) -> bool {
    let contacts = network.users[by].contacts.as_deref();
    user != by
        && contacts.is_some_and(|contacts| contacts.silenced.iter().any(|mask| fits(network, user, &Entry::read(mask))))
}

/// Whether a user said what stands in the store: its account did, or, of what was said without one, the
/// same guest did since it came.
pub fn is_author(network: &Network, user: UserId, seq: Seq, row: &MessageRow) -> bool {
    let there = &network.users[user];
    match (&row.account, &there.account_name) {
        // An account of the same name may have been here before, and be gone.
        (Some(author), Some(account)) => {
            network.casemapping.same(author, account) && there.account.is_some_and(|id| seq > id)
        }
        (None, None) => seq > there.since && row.source == there.source,
        _ => false,
    }
}

/// Whether a ban holds for a user, and no exception does; of the entries that are about something alone
/// (`mute:`, `nickchange:`), those about `deed`.
pub fn is_banned(network: &Network, user: UserId, channel: &Channel, deed: Option<Deed>) -> bool {
    !channel.bans.is_empty()
        && listed(network, user, &channel.bans, deed)
        && !listed(network, user, &channel.excepts, deed)
}

/// Why someone has to keep its nick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NickHeld {
    /// Banned, and without voice, in this channel: another nick would take it out of the ban (as in
    /// Solanum, InspIRCd and UnrealIRCd).
    Banned(ChannelId),
    /// This channel has `+N`.
    NoChange(ChannelId),
}

/// Whether a user has to keep its nick, and why.
pub fn nick_held(network: &Network, user: UserId) -> Option<NickHeld> {
    network.users[user].channels.iter().copied().find_map(|id| {
        let channel = &network.channels[id];
        let ranks = channel.ranks(user).unwrap_or_default();
        if channel.modes.has('N') && !ranks.at_least(Rank::Halfop) {
            return Some(NickHeld::NoChange(id));
        }
        let banned = !ranks.at_least(Rank::Voice) && is_banned(network, user, channel, Some(Deed::ChangeNick));
        banned.then_some(NickHeld::Banned(id))
    })
}

/// Whether any entry of a list fits a user: those about everything, and those about `deed`.
pub fn listed(network: &Network, user: UserId, list: &[ListEntry], deed: Option<Deed>) -> bool {
    list.iter()
        .map(|entry| Entry::read(&entry.mask))
        .any(|entry| (entry.about.is_none() || entry.about == deed) && fits(network, user, &entry))
}

/// Whether an entry fits a user, as it is now.
fn fits(network: &Network, user: UserId, entry: &Entry<'_>) -> bool {
    let there = &network.users[user];
    let fits = |text: &str| mask::matches(entry.mask, text, network.casemapping);
    match entry.subject {
        None => fits_source(network, there, entry.mask),
        Some(Subject::Account) => there.account_name.as_deref().is_some_and(fits),
        Some(Subject::Unregistered) => there.account.is_none() && fits_source(network, there, entry.mask),
        // No entry has a space.
        Some(Subject::Realname) => fits(&there.realname) || fits(&there.realname.replace(' ', "_")),
        Some(Subject::Fingerprint) => there.certfps.iter().any(|certfp| fits(certfp)),
        Some(Subject::Channel) => is_in(network, user, entry.mask),
    }
}

/// Whether a mask fits what a user is shown as, or would be if its displayed host had not been changed:
/// another host takes nobody out of a ban, nor does a second connection, or that it was first shown where it is no more.
/// What it is not shown as now, with that of its other connections, has to be named exactly: no address is found out by
/// setting bans.
fn fits_source(network: &Network, user: &User, pattern: &str) -> bool {
    let fits = |host: &str| mask::matches(pattern, &source(&user.nick, &user.user, host), network.casemapping);
    let named = |host: &str| pattern.rsplit_once('@').is_some_and(|(_, named)| network.casemapping.same(named, host));
    mask::matches(pattern, &user.source, network.casemapping)
        || user.host != user.plain_host && fits(&user.plain_host)
        || user.session_hosts.iter().chain(&*user.former_hosts).any(|host| named(host) && fits(host))
}

/// Whether a user is in a channel that a mask fits, with a prefix before it in at least that rank. What
/// not everyone may know does not count: nobody finds it out by setting bans.
fn is_in(network: &Network, user: UserId, pattern: &str) -> bool {
    let (rank, pattern) = match pattern.chars().next().and_then(Rank::by_prefix) {
        Some(rank) => (Some(rank), &pattern[1..]),
        None => (None, pattern),
    };
    let there = &network.users[user];
    !there.modes.has('p')
        && there.channels.iter().map(|id| &network.channels[*id]).any(|channel| {
            !channel.is_secret()
                && channel.is_shown(user)
                && rank.is_none_or(|rank| channel.ranks(user).is_some_and(|ranks| ranks.at_least(rank)))
                && mask::matches(pattern, &channel.name, network.casemapping)
        })
}

/// The channel of this name, if a user may know of it.
pub fn channel_seen(network: &Network, viewer: Viewer, name: &str) -> Option<ChannelId> {
    network.channel_by_name(name).filter(|id| sees_channel(viewer, &network.channels[*id]))
}

/// Whether a user may see that another is in a channel, and the channel itself.
pub fn sees_channel(viewer: Viewer, channel: &Channel) -> bool {
    !channel.is_secret() || channel.members.contains_key(&viewer.user) || viewer.is_oper
}

/// The rank that a member needs to change a mode: founders and protected are made by founders, operators
/// and halfops by operators, voice by halfops.
pub fn rank_for_mode(letter: char) -> Rank {
    match letter {
        'q' | 'a' => Rank::Founder,
        'v' | 'b' | 'e' | 'I' | 't' | 'n' | 'i' | 'm' => Rank::Halfop,
        _ => Rank::Op,
    }
}

/// Whether a member may kick another: from halfop on, and nobody of a higher rank.
pub fn may_kick(kicker: Ranks, kicked: Ranks) -> bool {
    kicker.at_least(Rank::Halfop) && kicker.highest() >= kicked.highest()
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn c35_an_invitation_opens_all_but_tls_only() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "MODE #a +izk key");
        asked.ask(alice, "INVITE bob #a");
        let lines = asked.ask(bob, "JOIN #a");
        assert!(lines.len() == 1 && lines[0].contains(" 489 bob #a "), "{lines:?}");
        asked.ask(alice, "MODE #a -z");
        assert!(asked.ask(bob, "JOIN #a")[0].ends_with(" JOIN #a"));
    }

    /// Whether bob, outside, may join `#room` with this ban on it.
    fn banned(asked: &mut Asked, entry: &str) -> bool {
        let alice = asked.server.network.users[asked.id("alice")].sessions[0];
        let bob = asked.server.network.users[asked.id("bob")].sessions[0];
        assert_eq!(asked.ask(alice, &format!("MODE #room +b {entry}")).len(), 1, "{entry}");
        let joined = asked.ask(bob, "JOIN #room")[0].contains(" JOIN ");
        asked.ask(bob, "PART #room");
        asked.ask(alice, &format!("MODE #room -b {entry}"));
        !joined
    }

    #[test]
    fn each_kind_of_extended_ban_fits_whom_it_says() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "JOIN #room,#Garden,#secret,#hall");
        asked.ask(alice, "MODE #secret +s");
        asked.ask(alice, "MODE #hall +u");
        asked.ask(bob, "JOIN #garden,#secret,#hall,#own");
        let id = asked.id("bob");
        let user = &mut asked.server.network.users[id];
        user.certfps = Box::new(["ab12cd".into()]);
        user.realname = "Bob  the [x]".into();
        for (entry, fits) in [
            ("bob", true),
            ("*!*@10.0.0.1", true),
            ("a:*", false),
            ("account:bob", false),
            ("U:", true),
            ("unregistered:bob", true),
            ("U:alice", false),
            ("z:AB:12:CD", true),
            ("fingerprint:ab*", true),
            ("z:ab12", false),
            ("r:Bob__the_[x]", true),
            ("realname:bob*", true),
            ("r:Bob", false),
            ("j:#GARDEN", true),
            ("j:@#own", true),
            ("j:+#garden", false),
            ("channel:#g*", true),
            // Nobody finds out by bans what it may not know.
            ("j:#secret", false),
            ("j:#hall", false),
            // Not about joining.
            ("m:bob", false),
            ("n:U:", false),
        ] {
            assert_eq!(banned(&mut asked, entry), fits, "{entry}");
        }
        let user = &mut asked.server.network.users[id];
        (user.account, user.account_name) = (Some(7), Some("Bob".into()));
        for (entry, fits) in [("a:bob", true), ("a:b*", true), ("a:*", true), ("~account:BOB", true), ("U:", false)] {
            assert_eq!(banned(&mut asked, entry), fits, "{entry}");
        }
        asked.ask(bob, "MODE bob +p");
        assert!(!banned(&mut asked, "j:#garden"));
    }

    #[test]
    fn the_host_of_a_connection_that_nobody_is_shown_is_banned_by_its_name_and_found_by_no_wildcard() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.user("bob");
        asked.ask(alice, "JOIN #room");
        let id = asked.id("bob");
        asked.server.network.users[id].session_hosts = Box::new(["192.0.2.7".into()]);
        for (entry, fits) in [
            ("*!*@192.0.2.7", true),
            ("bob!*@192.0.2.7", true),
            ("carol!*@192.0.2.7", false),
            ("*!*@192.0.2.*", false),
            ("*!*@192.0.2.?", false),
            ("*!*@10.0.*", true),
        ] {
            assert_eq!(banned(&mut asked, entry), fits, "{entry}");
        }
    }

    #[test]
    fn c32_a_secret_channel_answers_strangers_as_one_that_is_not_there() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let bob = asked.user_with("bob", "message-tags");
        asked.ask(alice, "JOIN #Secret");
        asked.ask(alice, "MODE #Secret +s");
        for line in [
            "PRIVMSG #secret :text",
            "@+a=b TAGMSG #secret",
            "NOTICE #secret :text",
            "INVITE alice #secret",
            "KICK #secret alice",
            "PART #secret",
            "TOPIC #secret",
            "MODE #secret +b",
            "CS INFO #secret",
        ] {
            let nothing = asked.ask(bob, &line.replace("#secret", "#nosuch"));
            let told: Vec<String> = nothing.iter().map(|line| line.replace("#nosuch", "#secret")).collect();
            assert_eq!(asked.ask(bob, line), told, "{line}");
        }
    }
}
