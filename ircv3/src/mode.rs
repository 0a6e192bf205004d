//! The table of modes, and MODE's parameters (Modern IRC, "Channel Modes", "User Modes").
//!
//! A mode is one row here and one predicate in the server; `CHANMODES`, `PREFIX` and 004 are made
//! from the table, so that what is announced is what is parsed.

use crate::message::middle;

/// When a channel mode takes a parameter, and so its place in `CHANMODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Type A: adds to and removes from a list; without a parameter it asks for the list.
    List,
    /// Type B: a parameter to set and to unset.
    Setting,
    /// Type C: a parameter to set, none to unset.
    SettingToSet,
    /// Type D: never a parameter.
    Flag,
    /// Gives or takes a rank; the parameter is a nick.
    Prefix,
}

/// A row of the table of channel modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelMode {
    /// The letter in MODE.
    pub letter: char,
    /// When it takes a parameter.
    pub kind: Kind,
    /// Its name in PROP (<https://github.com/ircv3/ircv3-specifications/pull/484>).
    pub prop: &'static str,
    /// Its name, as in Modern IRC.
    pub name: &'static str,
    /// What it takes, or who sets it where that is not an operator of the channel; empty for most flags.
    pub takes: &'static str,
    /// What it does, for people: a sentence without a full stop, with Markdown's backquotes.
    pub help: &'static str,
}

/// A row of the table of user modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserMode {
    /// The letter in MODE.
    pub letter: char,
    /// Its name in PROP.
    pub prop: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Who sets it, for people.
    pub whose: &'static str,
    /// What it does, for people: as in [`ChannelMode::help`].
    pub help: &'static str,
    /// Whether the user may set it; others are the server's to set, such as `o` by OPER.
    pub settable: bool,
    /// Whether the user may take it off.
    pub unsettable: bool,
}

macro_rules! channel_modes {
    ($($letter:literal $kind:ident $prop:literal $name:literal $takes:literal $help:literal)+) => {
        /// Channel modes other than ranks.
        pub const CHANNEL_MODES: &[ChannelMode] = &[$(ChannelMode {
            letter: $letter, kind: Kind::$kind, prop: $prop, name: $name, takes: $takes, help: $help,
        },)+];
    };
}

// letter, kind, name in PROP, name, what it takes, what it does
channel_modes! {
    'b' List "ban" "ban" "entry"
        "whoever it fits cannot join or, without voice, speak or change its nick (435)"
    'e' List "banex" "ban exception" "entry"
        "whoever it fits is not banned"
    'I' List "invex" "invite exception" "entry"
        "whoever it fits joins under `i` uninvited"
    'k' Setting "key" "key" "the key"
        "only those who give the key join: `/join #garden key`"
    'f' SettingToSet "roost/forward" "forward" "a channel"
        "whoever may not join is sent to that channel instead (470), once and no further; who sets it is operator in both"
    'l' SettingToSet "limit" "limit" "a number"
        "nobody joins while so many are there"
    'C' Flag "noctcp" "no CTCP" ""
        "CTCP other than `/me` is refused, to everyone"
    'c' Flag "roost/noformatting" "no formatting" ""
        "texts with colours, bold and the like are refused, to everyone"
    'D' Flag "roost/delayedjoin" "delayed join" ""
        "whoever joins is shown to the others when it first says something, or is given a rank"
    'd' Flag "roost/unshown" "unshown members" "the server"
        "`D` or `u` was taken off, and there are still members who have not been shown"
    'E' Flag "roost/roleplaying" "roleplaying" ""
        "members may speak for characters: `/npc #garden gandalf You shall not pass` (`NPC`, `NPCA`, `SCENE`)"
    'i' Flag "inviteonly" "invite-only" ""
        "only those who were invited join; others may `/knock`"
    'm' Flag "moderated" "moderated" ""
        "only those with voice or a higher rank speak"
    'M' Flag "roost/registeredspeak" "registered speak" ""
        "only those who are logged in, or have voice or a higher rank, speak"
    'N' Flag "roost/nonick" "no nick changes" ""
        "only halfops and those above them change their nick (447)"
    'n' Flag "noextmsg" "no external messages" ""
        "only members speak"
    'P' Flag "permanent" "permanent" "IRC operators"
        "the channel stays, with its modes, lists and topic, when the last member leaves and when the server is started again"
    'R' Flag "regonly" "registered only" ""
        "only those who are logged in join (477)"
    'r' Flag "roost/registered" "registered" "the server"
        "the channel is registered with ChanServ"
    'S' Flag "roost/stripformatting" "formatting stripped" ""
        "colours, bold and the like are taken off what is said"
    's' Flag "secret" "secret" ""
        "others do not see the channel in LIST, NAMES, WHOIS and WHO"
    't' Flag "topiclock" "protected topic" ""
        "only halfops and those above them set the topic"
    'U' Flag "roost/opmoderated" "op-moderated" ""
        "what those without voice say goes to halfops and those above them alone, and is not in history"
    'u' Flag "roost/auditorium" "auditorium" ""
        "members without voice are seen by halfops and those above them alone"
    'z' Flag "secureonly" "secure only" ""
        "only those who are connected by TLS join (489)"
}

macro_rules! user_modes {
    ($($letter:literal $set:ident $unset:ident $prop:literal $name:literal $whose:literal $help:literal)+) => {
        /// User modes.
        pub const USER_MODES: &[UserMode] = &[$(UserMode {
            letter: $letter, prop: $prop, name: $name, whose: $whose, help: $help,
            settable: $set, unsettable: $unset,
        },)+];
    };
}

// letter, may the user set it, may the user unset it, name in PROP, name, who sets it, what it does
user_modes! {
    'B' true true "bot" "bot" "you"
        "you are shown as a bot, your messages carry the `bot` tag; nothing is replayed to you"
    'D' true true "roost/deaf" "deaf" "you"
        "what is said in channels does not reach you; private messages do"
    'g' true true "roost/callerid" "caller id" "you"
        "only those whom you accepted can write to you (716); you are told who wants to, once a minute at most (718)"
    'i' true true "invisible" "invisible" "you; on for new users by `users.default_modes`"
        "only those who share a channel with you find you with WHO and a mask"
    'o' false true "oper" "operator" "OPER; you may take it off"
        "what your class of operators may do, see [OPERATORS.md](OPERATORS.md); you see secret channels"
    'p' true true "hidechans" "channels hidden" "you"
        "WHOIS, WHO and NAMES show your channels only to those who are in them"
    'R' true true "roost/regonly" "registered only" "you"
        "only those who are logged in, or whom you accepted, can write to you (477)"
    's' true true "snomask" "server notices" "operators: `/mode alice +s kox`"
        "you are told what happens on the server"
    'T' true true "roost/noctcp" "no CTCP" "you"
        "CTCP other than `/me` is refused (531)"
    'w' true true "wallops" "wallops" "you"
        "you get what operators say with WALLOPS"
    'x' true true "roost/cloak" "cloak" "the server, as you connect; you may take it off where `cloak.optional` lets you"
        "others see a cloak in place of your address; bans of channels go by it"
    'Z' false false "roost/secure" "secure" "the server"
        "all your connections are by TLS"
}

/// A rank in a channel, lowest first, so that `>` is "may do more".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// `+v`.
    Voice,
    /// `%h`.
    Halfop,
    /// `@o`.
    Op,
    /// `&a`.
    Admin,
    /// `~q`.
    Founder,
}

impl Rank {
    /// Every rank, highest first: the order of `PREFIX`.
    pub const ALL: &'static [Rank] = &[Rank::Founder, Rank::Admin, Rank::Op, Rank::Halfop, Rank::Voice];

    /// The letter in MODE.
    pub const fn letter(self) -> char {
        match self {
            Rank::Founder => 'q',
            Rank::Admin => 'a',
            Rank::Op => 'o',
            Rank::Halfop => 'h',
            Rank::Voice => 'v',
        }
    }

    /// The prefix before a nick.
    pub const fn prefix(self) -> char {
        match self {
            Rank::Founder => '~',
            Rank::Admin => '&',
            Rank::Op => '@',
            Rank::Halfop => '%',
            Rank::Voice => '+',
        }
    }

    /// The name in PROP.
    pub const fn prop(self) -> &'static str {
        match self {
            Rank::Founder => "owner",
            Rank::Admin => "admin",
            Rank::Op => "op",
            Rank::Halfop => "halfop",
            Rank::Voice => "voice",
        }
    }

    /// The name that people know.
    pub const fn name(self) -> &'static str {
        match self {
            Rank::Founder => "founder",
            Rank::Admin => "admin",
            Rank::Op => "operator",
            Rank::Halfop => "halfop",
            Rank::Voice => "voice",
        }
    }

    /// Who gives it, for people.
    pub const fn giver(self) -> &'static str {
        match self {
            Rank::Founder => "the founder; ChanServ, for whoever registered the channel",
            Rank::Admin => "the founder",
            Rank::Op | Rank::Halfop => "an operator",
            Rank::Voice => "a halfop",
        }
    }

    /// What it allows, for people: as in [`ChannelMode::help`].
    pub const fn help(self) -> &'static str {
        match self {
            Rank::Founder => "all of the below",
            Rank::Admin => "what an operator may; is not kicked by operators",
            Rank::Op => "kick, all modes, topic, invitations",
            Rank::Halfop => "kick up to its own rank; `b e I i m n t` and `v`; topic under `t`",
            Rank::Voice => "speak under `m`, and in spite of a ban",
        }
    }

    /// The rank of a mode letter.
    pub fn by_letter(letter: char) -> Option<Rank> {
        Rank::ALL.iter().copied().find(|rank| rank.letter() == letter)
    }

    /// The rank of a prefix.
    pub fn by_prefix(prefix: char) -> Option<Rank> {
        Rank::ALL.iter().copied().find(|rank| rank.prefix() == prefix)
    }
}

/// The ranks that one member has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranks(u8);

impl Ranks {
    /// No rank.
    pub const NONE: Ranks = Ranks(0);

    /// The set of one rank.
    pub const fn of(rank: Rank) -> Ranks {
        Ranks(1 << rank as u8)
    }

    /// Whether `rank` itself is in the set.
    pub const fn has(self, rank: Rank) -> bool {
        self.0 & (1 << rank as u8) != 0
    }

    /// Whether the set has `rank` or a higher one.
    pub fn at_least(self, rank: Rank) -> bool {
        self.highest() >= Some(rank)
    }

    /// The highest rank of the set.
    pub fn highest(self) -> Option<Rank> {
        self.iter().next()
    }

    /// Puts `rank` in.
    pub const fn insert(&mut self, rank: Rank) {
        self.0 |= 1 << rank as u8;
    }

    /// Takes `rank` out.
    pub const fn remove(&mut self, rank: Rank) {
        self.0 &= !(1 << rank as u8);
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The ranks of the set, highest first.
    pub fn iter(self) -> impl Iterator<Item = Rank> {
        Rank::ALL.iter().copied().filter(move |rank| self.has(*rank))
    }

    /// The prefixes before a nick: all of them with multi-prefix, else the highest.
    pub fn prefixes(self, multi_prefix: bool) -> &'static str {
        // Every set of five ranks, so that no answer of NAMES allocates.
        const ALL: [&str; 32] = [
            "", "+", "%", "%+", "@", "@+", "@%", "@%+", "&", "&+", "&%", "&%+", "&@", "&@+", "&@%", "&@%+", "~", "~+",
            "~%", "~%+", "~@", "~@+", "~@%", "~@%+", "~&", "~&+", "~&%", "~&%+", "~&@", "~&@+", "~&@%", "~&@%+",
        ];
        let all = ALL[usize::from(self.0 & 31)];
        if multi_prefix { all } else { &all[..all.len().min(1)] }
    }
}

/// What kind of channel mode `letter` is; `None` where there is no such mode (472).
pub fn kind(letter: char) -> Option<Kind> {
    if Rank::by_letter(letter).is_some() {
        return Some(Kind::Prefix);
    }
    CHANNEL_MODES.iter().find(|mode| mode.letter == letter).map(|mode| mode.kind)
}

/// The user mode `letter`; `None` where there is no such mode (501).
pub fn user_mode(letter: char) -> Option<UserMode> {
    USER_MODES.iter().copied().find(|mode| mode.letter == letter)
}

/// The value of `CHANMODES`, such as `beI,k,l,imnst`.
pub fn chanmodes_token() -> String {
    [Kind::List, Kind::Setting, Kind::SettingToSet, Kind::Flag].map(letters).join(",")
}

/// The value of `PREFIX`: `(qaohv)~&@%+`.
pub fn prefix_token() -> String {
    let letters: String = Rank::ALL.iter().map(|rank| rank.letter()).collect();
    let prefixes: String = Rank::ALL.iter().map(|rank| rank.prefix()).collect();
    format!("({letters}){prefixes}")
}

/// The three strings of RPL_MYINFO (004): user modes, channel modes, channel modes with a parameter.
pub fn my_info() -> [String; 3] {
    let ranks: String = Rank::ALL.iter().map(|rank| rank.letter()).collect();
    let sorted = |letters: String| {
        let mut letters: Vec<char> = letters.chars().collect();
        letters.sort_unstable();
        letters.into_iter().collect()
    };
    let with_parameter = letters(Kind::List) + &letters(Kind::Setting) + &letters(Kind::SettingToSet) + &ranks;
    [
        sorted(USER_MODES.iter().map(|mode| mode.letter).collect()),
        sorted(with_parameter.clone() + &letters(Kind::Flag)),
        sorted(with_parameter),
    ]
}

fn letters(kind: Kind) -> String {
    CHANNEL_MODES.iter().filter(|mode| mode.kind == kind).map(|mode| mode.letter).collect()
}

/// One change of one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeChange<'a> {
    /// `+` or `-`.
    pub add: bool,
    /// The letter, known or not.
    pub letter: char,
    /// The parameter, where the mode takes one and there was one left.
    pub param: Option<&'a str>,
}

/// The changes that `MODE #channel <modes> <params…>` asks for, in order. A letter that is no mode
/// is in the result too, without a parameter, for it has to be answered (472). A `k` that is unset
/// takes a parameter if there is one. Without a sign before it a mode is set.
pub fn parse_channel_modes<'a, I>(modes: &'a str, params: I) -> impl Iterator<Item = ModeChange<'a>>
where
    I: IntoIterator<Item = &'a str>,
{
    let mut params = params.into_iter();
    signed(modes).map(move |(add, letter)| {
        let param = if takes_param(letter, add) { params.next() } else { None };
        ModeChange { add, letter, param }
    })
}

/// The changes that `MODE <nick> <modes>` asks for: user modes take no parameters.
pub fn parse_user_modes(modes: &str) -> impl Iterator<Item = ModeChange<'_>> {
    signed(modes).map(|(add, letter)| ModeChange { add, letter, param: None })
}

fn signed(modes: &str) -> impl Iterator<Item = (bool, char)> {
    let mut add = true;
    modes.chars().filter_map(move |c| match c {
        '+' => {
            add = true;
            None
        }
        '-' => {
            add = false;
            None
        }
        letter => Some((add, letter)),
    })
}

fn takes_param(letter: char, add: bool) -> bool {
    match kind(letter) {
        Some(Kind::List | Kind::Setting | Kind::Prefix) => true,
        Some(Kind::SettingToSet) => add,
        Some(Kind::Flag) | None => false,
    }
}

/// The changes as MODE's parameters: `+o-v+b a b m`, one sign a run; empty where there are none.
/// A mode that takes a parameter always gets one, `*` where it is missing or cannot stand in the
/// middle of a line, so that no parameter moves to another mode.
pub fn encode(changes: &[ModeChange<'_>]) -> String {
    let mut line = Line::default();
    for change in changes {
        line.push(change);
    }
    line.finish()
}

/// The changes of user modes as MODE's parameter, which none of them has more of: `+Bi-o`.
pub fn encode_user_modes(changes: &[ModeChange<'_>]) -> String {
    let mut text = String::new();
    let mut sign = None;
    for change in changes {
        if sign != Some(change.add) {
            sign = Some(change.add);
            text.push(if change.add { '+' } else { '-' });
        }
        text.push(change.letter);
    }
    text
}

/// As [`encode`], over as many lines as it takes for none to be longer than `most_bytes` or to have
/// more than `most_params` parameters. A single change that is longer stands alone.
pub fn encode_lines(changes: &[ModeChange<'_>], most_bytes: usize, most_params: usize) -> Vec<String> {
    line_changes(changes, most_bytes, most_params).into_iter().map(encode).collect()
}

/// The changes of each line of [`encode_lines`].
pub fn line_changes<'a, 'b>(
    changes: &'a [ModeChange<'b>],
    most_bytes: usize,
    most_params: usize,
) -> Vec<&'a [ModeChange<'b>]> {
    let mut lines = Vec::new();
    let (mut line, mut first) = (Line::default(), 0);
    for (at, change) in changes.iter().enumerate() {
        let mut longer = line.clone();
        longer.push(change);
        if at > first && (longer.len() > most_bytes || longer.count > most_params) {
            lines.push(&changes[first..at]);
            (line, first) = (Line::default(), at);
            line.push(change);
        } else {
            line = longer;
        }
    }
    if first < changes.len() {
        lines.push(&changes[first..]);
    }
    lines
}

/// The name of a channel mode in PROP.
pub fn channel_prop(letter: char) -> Option<&'static str> {
    let rank = Rank::by_letter(letter).map(Rank::prop);
    rank.or_else(|| CHANNEL_MODES.iter().find(|mode| mode.letter == letter).map(|mode| mode.prop))
}

/// The name of a user mode in PROP.
pub fn user_prop(letter: char) -> Option<&'static str> {
    user_mode(letter).map(|mode| mode.prop)
}

/// The channel mode of this name in PROP.
pub fn channel_letter(prop: &str) -> Option<char> {
    let rank = Rank::ALL.iter().find(|rank| rank.prop() == prop).map(|rank| rank.letter());
    rank.or_else(|| CHANNEL_MODES.iter().find(|mode| mode.prop == prop).map(|mode| mode.letter))
}

/// The user mode of this name in PROP.
pub fn user_letter(prop: &str) -> Option<char> {
    USER_MODES.iter().find(|mode| mode.prop == prop).map(|mode| mode.letter)
}

/// An item of PROP, as a client sends it: `+key=value`, `-topiclock`; without a sign it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// `+` or `-`.
    pub sign: Option<bool>,
    /// The name.
    pub name: &'a str,
    /// The parameter.
    pub param: Option<&'a str>,
}

impl<'a> Item<'a> {
    /// Takes an item apart.
    pub fn parse(text: &'a str) -> Item<'a> {
        let (sign, rest) = match text.strip_prefix('+') {
            Some(rest) => (Some(true), rest),
            None => text.strip_prefix('-').map_or((None, text), |rest| (Some(false), rest)),
        };
        let (name, param) = rest.split_once('=').map_or((rest, None), |(name, param)| (name, Some(param)));
        Item { sign, name, param }
    }

    /// The change of a channel that it asks for, if there is such a mode. A parameter that the mode does not
    /// take is left out.
    pub fn channel_change(&self) -> Option<ModeChange<'a>> {
        let letter = channel_letter(self.name)?;
        let add = self.sign.unwrap_or(true);
        let param = self.param.filter(|_| takes_param(letter, add));
        Some(ModeChange { add, letter, param })
    }
}

/// A change of a channel as an item of PROP: `+key=value`.
pub fn prop_item(change: &ModeChange<'_>) -> String {
    let name = channel_prop(change.letter).unwrap_or_default();
    let sign = if change.add { '+' } else { '-' };
    match change.param.filter(|_| takes_param(change.letter, change.add)) {
        Some(param) => format!("{sign}{name}={param}"),
        None => format!("{sign}{name}"),
    }
}

/// A change of a user as an item of PROP: `-invisible`.
pub fn user_prop_item(change: &ModeChange<'_>) -> Option<String> {
    Some(format!("{}{}", if change.add { '+' } else { '-' }, user_prop(change.letter)?))
}

/// What RPL_CHMODELIST (964) lists: `<type>:<name>=<letter>`.
pub fn channel_list() -> Vec<String> {
    let ranks = Rank::ALL.iter().map(|rank| format!("5:{}={}", rank.prop(), rank.letter()));
    let others = CHANNEL_MODES.iter().map(|mode| {
        let kind = match mode.kind {
            Kind::List => 1,
            Kind::Setting => 2,
            Kind::SettingToSet => 3,
            Kind::Flag => 4,
            Kind::Prefix => 5,
        };
        format!("{kind}:{}={}", mode.prop, mode.letter)
    });
    ranks.chain(others).collect()
}

/// What RPL_UMODELIST (965) lists.
pub fn user_list() -> Vec<String> {
    // Of user modes, only the mask of server notices is a parameter.
    USER_MODES
        .iter()
        .map(|mode| format!("{}:{}={}", if mode.letter == 's' { 3 } else { 4 }, mode.prop, mode.letter))
        .collect()
}

#[derive(Clone, Default)]
struct Line {
    modes: String,
    params: String,
    count: usize,
    sign: Option<bool>,
}

impl Line {
    fn push(&mut self, change: &ModeChange<'_>) {
        if self.sign != Some(change.add) {
            self.modes.push(if change.add { '+' } else { '-' });
            self.sign = Some(change.add);
        }
        self.modes.push(change.letter);
        if takes_param(change.letter, change.add) {
            self.params.push(' ');
            self.params.push_str(middle(change.param.unwrap_or_default()));
            self.count += 1;
        }
    }

    fn len(&self) -> usize {
        self.modes.len() + self.params.len()
    }

    fn finish(self) -> String {
        self.modes + &self.params
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{
        CHANNEL_MODES, Item, ModeChange, Rank, Ranks, USER_MODES, chanmodes_token, channel_letter, channel_list,
        channel_prop, encode, encode_lines, my_info, parse_channel_modes, parse_user_modes, prefix_token, prop_item,
        user_letter, user_list, user_prop,
    };

    #[test]
    fn every_mode_has_one_name_in_prop_and_every_name_one_mode() {
        let ranks = Rank::ALL.iter().map(|rank| rank.letter());
        let letters: Vec<char> = CHANNEL_MODES.iter().map(|mode| mode.letter).chain(ranks).collect();
        for letter in &letters {
            let name = channel_prop(*letter).expect("a name");
            assert_eq!(channel_letter(name), Some(*letter));
            let words = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
            assert!(name.chars().all(words), "{name}");
        }
        for mode in USER_MODES {
            assert_eq!(user_letter(user_prop(mode.letter).expect("a name")), Some(mode.letter));
        }
        assert_eq!((channel_list().len(), user_list().len()), (letters.len(), USER_MODES.len()));
        assert!(channel_list().contains(&"5:op=o".to_owned()) && channel_list().contains(&"1:ban=b".to_owned()));
        assert_eq!((channel_letter("o"), channel_letter(""), user_letter("op")), (None, None, None));
    }

    #[test]
    fn items_of_prop_are_changes_and_back() {
        for text in ["+key=a=b", "-topiclock", "+ban=*!*@host", "-limit"] {
            let change = Item::parse(text).channel_change().expect("a mode");
            assert_eq!(prop_item(&change), text);
        }
        let superfluous = Item::parse("+topiclock=x").channel_change().expect("a mode");
        assert_eq!(prop_item(&superfluous), "+topiclock", "a parameter without meaning is left out");
        assert_eq!(Item::parse("ban"), Item { sign: None, name: "ban", param: None });
        assert_eq!(Item::parse("+nosuch").channel_change(), None);
    }

    fn change(add: bool, letter: char, param: Option<&str>) -> ModeChange<'_> {
        ModeChange { add, letter, param }
    }

    #[test]
    fn tokens_come_from_the_table() {
        assert_eq!(chanmodes_token(), "beI,k,fl,CcDdEimMNnPRrSstUuz");
        assert_eq!(prefix_token(), "(qaohv)~&@%+");
        assert_eq!(my_info(), ["BDRTZgiopswx", "CDEIMNPRSUabcdefhiklmnoqrstuvz", "Iabefhkloqv"]);
    }

    #[test]
    fn no_letter_has_two_meanings() {
        let mut letters = HashSet::new();
        let ranks = Rank::ALL.iter().map(|rank| rank.letter());
        for letter in CHANNEL_MODES.iter().map(|mode| mode.letter).chain(ranks) {
            assert!(letter.is_ascii_alphabetic() && letters.insert(letter), "{letter}");
        }
        let mut letters = HashSet::new();
        for mode in USER_MODES {
            assert!(mode.letter.is_ascii_alphabetic() && letters.insert(mode.letter), "{}", mode.letter);
        }
    }

    #[test]
    fn parameters_go_to_the_modes_that_take_one() {
        let changes: Vec<_> = parse_channel_modes("+o-v+lb-lk+mZ", ["a", "b", "5", "m", "key"]).collect();
        assert_eq!(
            changes,
            [
                change(true, 'o', Some("a")),
                change(false, 'v', Some("b")),
                change(true, 'l', Some("5")),
                change(true, 'b', Some("m")),
                change(false, 'l', None),
                change(false, 'k', Some("key")),
                change(true, 'm', None),
                change(true, 'Z', None),
            ]
        );
        assert_eq!(parse_channel_modes("b", []).collect::<Vec<_>>(), [change(true, 'b', None)]);
        assert_eq!(parse_channel_modes("-k", []).collect::<Vec<_>>(), [change(false, 'k', None)]);
        assert_eq!(parse_channel_modes("+-+", ["x"]).count(), 0);
        assert_eq!(
            parse_user_modes("+i-wo").collect::<Vec<_>>(),
            [change(true, 'i', None), change(false, 'w', None), change(false, 'o', None)]
        );
    }

    #[test]
    fn changes_are_grouped_without_moving_a_parameter() {
        let changes = [
            change(true, 'o', Some("a")),
            change(true, 'm', None),
            change(false, 'v', Some("b")),
            change(false, 'k', None),
            change(false, 'l', None),
            change(true, 'b', Some("x!*@*")),
        ];
        assert_eq!(encode(&changes), "+om-vkl+b a b * x!*@*");
        assert_eq!(encode(&[change(true, 'k', Some("two words")), change(true, 'o', Some("a"))]), "+ko two a");
        assert_eq!(encode(&[change(true, 'k', Some("")), change(true, 'k', Some(":a"))]), "+kk * *");
        assert_eq!(encode(&[]), "");
    }

    #[test]
    fn a_long_change_is_several_lines_each_with_its_sign() {
        let names: Vec<String> = (0..5).map(|n| format!("nick{n}")).collect();
        let changes: Vec<_> = names.iter().map(|name| change(false, 'v', Some(name))).collect();
        assert_eq!(encode_lines(&changes, 400, 2), ["-vv nick0 nick1", "-vv nick2 nick3", "-v nick4"]);
        assert_eq!(encode_lines(&changes, 15, 20), ["-vv nick0 nick1", "-vv nick2 nick3", "-v nick4"]);
        assert_eq!(encode_lines(&changes, 1, 20).len(), 5);
        assert!(encode_lines(&[], 400, 20).is_empty());
    }

    #[test]
    fn ranks_are_ordered_and_listed_from_the_highest() {
        assert!(Rank::Founder > Rank::Admin && Rank::Admin > Rank::Op && Rank::Op > Rank::Halfop);
        assert!(Rank::Halfop > Rank::Voice);
        // Every set, so that the table of prefixes is right throughout.
        for bits in 0..32 {
            let ranks = Ranks(bits);
            let all: String = ranks.iter().map(Rank::prefix).collect();
            assert_eq!(ranks.prefixes(true), all);
            assert_eq!(ranks.prefixes(false), all.get(..1).unwrap_or_default());
            assert_eq!(ranks.at_least(Rank::Op), ranks.highest() >= Some(Rank::Op));
        }
        let mut ranks = Ranks::of(Rank::Voice);
        assert!(!ranks.at_least(Rank::Halfop) && ranks.at_least(Rank::Voice));
        ranks.insert(Rank::Op);
        ranks.remove(Rank::Voice);
        assert_eq!((ranks, ranks.at_least(Rank::Voice), ranks.has(Rank::Voice)), (Ranks::of(Rank::Op), true, false));
        for rank in Rank::ALL {
            assert_eq!((Rank::by_letter(rank.letter()), Rank::by_prefix(rank.prefix())), (Some(*rank), Some(*rank)));
        }
    }
}
