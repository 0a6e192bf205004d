//! Who may do what: pure questions about the state.

use ircv3::mask;
use ircv3::mode::{Rank, Ranks};
use ircv3::numeric::Numeric;

use crate::server::channel::{Channel, ListEntry};
use crate::server::network::{ChannelId, Network, UserId};
use crate::server::record::{AccountId, MessageRow, Seq};

/// Whether a nick belongs to an account other than this one.
pub fn nick_reserved(network: &Network, nick: &str, account: Option<AccountId>) -> bool {
    is_service(nick) || network.account_by_name(nick).is_some_and(|owner| Some(owner.id) != account)
}

/// Whether a nick is that of a service.
pub fn is_service(nick: &str) -> bool {
    ["NickServ", "ChanServ", "HistServ", "HostServ"].iter().any(|name| name.eq_ignore_ascii_case(nick))
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
/// the founder of a registered channel comes in always.
pub fn may_join(
    network: &Network,
    user: UserId,
    id: ChannelId,
    key: Option<&str>,
    now: u64,
) -> Result<(), JoinRefused> {
    let channel = &network.channels[id];
    let there = &network.users[user];
    if channel.founder.is_some() && channel.founder == there.account {
        return Ok(());
    }
    // Those inside count on `+z`: no invitation opens it.
    if channel.modes.has('z') && !there.secure {
        return Err(JoinRefused::NotSecure);
    }
    if there.invites.iter().any(|(invited, until)| *invited == channel.serial && *until > now) {
        return Ok(());
    }
    if channel.modes.has('R') && there.account.is_none() {
        return Err(JoinRefused::NotLoggedIn);
    }
    if channel.modes.has('i') && !listed(network, user, &channel.invexes) {
        return Err(JoinRefused::InviteOnly);
    }
    if is_banned(network, user, channel) {
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
        }
    }
}

/// Whether a text is CTCP other than ACTION (`/me`).
fn is_ctcp(text: &str) -> bool {
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
    if ranks.is_some_and(|ranks| ranks.at_least(Rank::Voice)) {
        return Ok(());
    }
    if channel.modes.has('m') {
        return Err(SpeechRefused::Moderated);
    }
    if channel.modes.has('M') && network.users[user].account.is_none() {
        return Err(SpeechRefused::NotLoggedIn);
    }
    if !channel.bans.is_empty() && is_banned(network, user, channel) {
        return Err(SpeechRefused::Banned);
    }
    Ok(())
}

/// Why someone may not write to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRefused {
    /// User mode `+R`, and the sender is not logged in.
    NotLoggedIn,
    /// User mode `+T`, and the text is a CTCP request or answer other than ACTION.
    NoCtcp,
}

impl AddressRefused {
    /// The numeric that says so.
    pub fn numeric(self) -> Numeric {
        match self {
            AddressRefused::NotLoggedIn => Numeric::ERR_NEEDREGGEDNICK,
            AddressRefused::NoCtcp => Numeric::ERR_CANTSENDTOUSER,
        }
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        match self {
            AddressRefused::NotLoggedIn => "Cannot send to user (+R: only those who are logged in may)",
            AddressRefused::NoCtcp => "Cannot send to user (+T: no CTCP)",
        }
    }
}

/// Whether a user may send this text (empty for TAGMSG) to another; to itself it may send anything.
pub fn may_address(network: &Network, user: UserId, target: UserId, text: &str) -> Result<(), AddressRefused> {
    let there = &network.users[target];
    if user == target {
        return Ok(());
    }
    if there.modes.has('R') && network.users[user].account.is_none() && !network.users[user].is_oper() {
        return Err(AddressRefused::NotLoggedIn);
    }
    if there.modes.has('T') && is_ctcp(text) {
        return Err(AddressRefused::NoCtcp);
    }
    Ok(())
}

/// Whether a user said what stands in the store: its account did, or, of what was said without one, the
/// same guest did since it came.
pub fn is_author(network: &Network, user: UserId, seq: Seq, row: &MessageRow) -> bool {
    let there = &network.users[user];
    match (&row.account, &there.account_name) {
        (Some(author), Some(account)) => network.casemapping.same(author, account),
        (None, None) => seq > there.since && row.source == there.source,
        _ => false,
    }
}

/// Whether a ban holds for a user and no exception does.
pub fn is_banned(network: &Network, user: UserId, channel: &Channel) -> bool {
    listed(network, user, &channel.bans) && !listed(network, user, &channel.excepts)
}

/// The first channel in which a user is banned and without voice, so that it may not change its nick: that
/// would take it out of the ban (as in Solanum, InspIRCd and UnrealIRCd).
pub fn nick_held(network: &Network, user: UserId) -> Option<ChannelId> {
    network.users[user].channels.iter().copied().find(|id| {
        let channel = &network.channels[*id];
        let voiced = channel.ranks(user).is_some_and(|ranks| ranks.at_least(Rank::Voice));
        !voiced && is_banned(network, user, channel)
    })
}

/// Whether any mask of a list fits a user.
pub fn listed(network: &Network, user: UserId, list: &[ListEntry]) -> bool {
    let source = &network.users[user].source;
    list.iter().any(|entry| mask::matches(&entry.mask, source, network.casemapping))
}

/// Whether a user may see that another is in a channel, and the channel itself.
pub fn sees_channel(network: &Network, user: UserId, channel: &Channel) -> bool {
    !channel.is_secret() || channel.members.contains_key(&user) || network.users[user].is_oper()
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
