//! The table of capabilities: one row a feature, with every name it is served under.
//!
//! A feature may have several names (a draft's old name, a vendor's). A connection's state is the
//! set of names it asked for; what the server does depends on the features those names stand for.

use std::ops::{BitAnd, BitOr, BitOrAssign};

macro_rules! capabilities {
    ($($(#[$doc:meta])* $feature:ident = [$($name:literal),+];)+) => {
        /// A feature that a client may negotiate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Cap { $($(#[$doc])* $feature,)+ }

        impl Cap {
            /// All features, in the order in which they are offered: what an old client, that gets
            /// one line only, must see first stands first.
            pub const ALL: &'static [Cap] = &[$(Cap::$feature,)+];

            /// The names of the feature, the preferred one first.
            pub const fn names(self) -> &'static [&'static str] {
                match self { $(Cap::$feature => &[$($name),+],)+ }
            }
        }
    };
}

capabilities! {
    /// <https://ircv3.net/specs/extensions/sasl-3.2>
    Sasl = ["sasl"];
    /// <https://ircv3.net/specs/extensions/message-tags>
    MessageTags = ["message-tags"];
    /// <https://ircv3.net/specs/extensions/server-time>
    ServerTime = ["server-time", "znc.in/server-time-iso"];
    /// <https://ircv3.net/specs/extensions/batch>
    Batch = ["batch"];
    /// <https://ircv3.net/specs/extensions/multi-prefix>
    MultiPrefix = ["multi-prefix"];
    /// <https://ircv3.net/specs/extensions/echo-message>
    EchoMessage = ["echo-message"];
    /// <https://ircv3.net/specs/extensions/account-notify>
    AccountNotify = ["account-notify"];
    /// <https://ircv3.net/specs/extensions/extended-join>
    ExtendedJoin = ["extended-join"];
    /// <https://ircv3.net/specs/extensions/away-notify>
    AwayNotify = ["away-notify"];
    /// <https://ircv3.net/specs/extensions/pre-away>
    PreAway = ["draft/pre-away"];
    /// <https://ircv3.net/specs/extensions/account-tag>
    AccountTag = ["account-tag"];
    /// <https://ircv3.net/specs/extensions/chghost>
    Chghost = ["chghost"];
    /// <https://ircv3.net/specs/extensions/invite-notify>
    InviteNotify = ["invite-notify"];
    /// <https://ircv3.net/specs/extensions/extended-monitor>
    ExtendedMonitor = ["extended-monitor", "draft/extended-monitor"];
    /// <https://ircv3.net/specs/extensions/no-implicit-names>
    NoImplicitNames = ["no-implicit-names", "draft/no-implicit-names", "soju.im/no-implicit-names"];
    /// <https://ircv3.net/specs/extensions/setname>
    Setname = ["setname"];
    /// <https://ircv3.net/specs/extensions/userhost-in-names>
    UserhostInNames = ["userhost-in-names"];
    /// <https://ircv3.net/specs/extensions/capability-negotiation#cap-notify>
    CapNotify = ["cap-notify"];
    /// <https://ircv3.net/specs/extensions/labeled-response>
    LabeledResponse = ["labeled-response"];
    /// <https://ircv3.net/specs/extensions/standard-replies>
    StandardReplies = ["standard-replies"];
    /// <https://ircv3.net/specs/extensions/chathistory>
    Chathistory = ["draft/chathistory"];
    /// <https://ircv3.net/specs/extensions/chathistory>
    EventPlayback = ["draft/event-playback"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/496>
    Search = ["draft/search", "soju.im/search"];
    /// <https://ircv3.net/specs/extensions/read-marker>
    ReadMarker = ["draft/read-marker"];
    /// <https://ircv3.net/specs/extensions/multiline>
    Multiline = ["draft/multiline"];
    /// <https://ircv3.net/specs/extensions/metadata>
    Metadata2 = ["draft/metadata-2"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/613>
    Metadata3 = ["draft/metadata-3"];
    /// <https://ircv3.net/specs/extensions/message-redaction>
    MessageRedaction = ["draft/message-redaction"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/425>
    MessageEdit = ["draft/message-edit"];
    /// <https://ircv3.net/specs/extensions/channel-rename>
    ChannelRename = ["draft/channel-rename"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/417>
    Relaymsg = ["draft/relaymsg"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/503>
    Persistence = ["draft/persistence"];
    /// <https://codeberg.org/emersion/soju/src/branch/master/doc/ext/bouncer-networks.md>
    BouncerNetworks = ["soju.im/bouncer-networks"];
    /// <https://codeberg.org/emersion/soju/src/branch/master/doc/ext/bouncer-networks.md>
    BouncerNetworksNotify = ["soju.im/bouncer-networks-notify"];
    /// <https://ircv3.net/specs/extensions/oper-tag>
    OperTag = ["draft/oper-tag"];
    /// The name of a message of one's own for clients without `echo-message`, as ZNC has it
    /// (<https://wiki.znc.in/Query_buffers>).
    SelfMessage = ["znc.in/self-message"];
    /// <https://wiki.znc.in/Playback>
    Playback = ["znc.in/playback"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/603>
    Whoami = ["draft/whoami"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/520>
    SaslIr = ["draft/sasl-ir"];
    /// <https://ircv3.net/specs/extensions/extended-isupport>
    ExtendedIsupport = ["draft/extended-isupport"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/484>
    NamedModes = ["draft/named-modes"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/471>
    Webpush = ["draft/webpush", "soju.im/webpush"];
    /// <https://ircv3.net/specs/extensions/account-registration>
    AccountRegistration = ["draft/account-registration"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/610>
    AccountTwofa = ["draft/account-2fa"];
    /// <https://github.com/ircv3/ircv3-specifications/pull/602>
    Authtoken = ["draft/authtoken"];
    /// <https://github.com/progval/ircv3-specifications/blob/nick-recovery/extensions/nick-recovery.md>
    NickRecovery = ["draft/nick-recovery"];
    /// <https://ircv3.net/specs/extensions/sts>: it informs, and is never requested.
    Sts = ["sts"];
}

impl Cap {
    /// The feature that a client means by `name`; names are case-sensitive.
    pub fn by_name(name: &str) -> Option<Cap> {
        Cap::ALL.iter().copied().find(|cap| cap.names().contains(&name))
    }

    /// Whether it only tells something by its value, so that clients cannot ask for it.
    pub const fn only_informs(self) -> bool {
        matches!(self, Cap::Sts)
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(u64);

impl CapSet {
    /// No feature at all.
    pub const EMPTY: CapSet = CapSet(0);

    /// The set of `caps`.
    pub const fn of(caps: &[Cap]) -> CapSet {
        let mut bits = 0;
        let mut at = 0;
        while at < caps.len() {
            bits |= caps[at].bit();
            at += 1;
        }
        CapSet(bits)
    }

    /// Whether `cap` is in the set.
    pub const fn has(self, cap: Cap) -> bool {
        self.0 & cap.bit() != 0
    }

    /// Whether every feature of `other` is in the set.
    pub const fn has_all(self, other: CapSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any feature of `other` is in the set.
    pub const fn has_any(self, other: CapSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Puts `cap` in.
    pub const fn insert(&mut self, cap: Cap) {
        self.0 |= cap.bit();
    }

    /// Takes `cap` out.
    pub const fn remove(&mut self, cap: Cap) {
        self.0 &= !cap.bit();
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The features, in the order of [`Cap::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL.iter().copied().filter(move |cap| self.has(*cap))
    }
}

impl BitOr for CapSet {
    type Output = CapSet;
    fn bitor(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }
}

impl BitOrAssign for CapSet {
    fn bitor_assign(&mut self, other: CapSet) {
        self.0 |= other.0;
    }
}

impl BitAnd for CapSet {
    type Output = CapSet;
    fn bitand(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }
}

impl FromIterator<Cap> for CapSet {
    fn from_iter<T: IntoIterator<Item = Cap>>(caps: T) -> CapSet {
        let mut set = CapSet::EMPTY;
        for cap in caps {
            set.insert(cap);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Cap, CapSet};

    #[test]
    fn no_name_stands_for_two_features() {
        let mut names = HashSet::new();
        for cap in Cap::ALL {
            assert!(!cap.names().is_empty(), "{cap:?}");
            for name in cap.names() {
                assert!(names.insert(*name), "{name}");
                assert!(!name.contains([' ', '=', ',']) && !name.starts_with(['-', '~', ':']), "{name}");
                assert_eq!(Cap::by_name(name), Some(*cap));
            }
        }
        assert_eq!((Cap::by_name("SASL"), Cap::by_name(""), Cap::by_name("tls")), (None, None, None));
    }

    #[test]
    fn what_old_clients_need_is_offered_first() {
        let first: Vec<&str> = Cap::ALL.iter().take(5).map(|cap| cap.names()[0]).collect();
        assert_eq!(first, ["sasl", "message-tags", "server-time", "batch", "multi-prefix"]);
    }

    #[test]
    fn sets_are_sets() {
        let mut set = CapSet::of(&[Cap::Sasl, Cap::Batch]);
        assert!(set.has(Cap::Sasl) && !set.has(Cap::Setname));
        assert!(set.has_all(CapSet::EMPTY) && !set.has_any(CapSet::EMPTY));
        assert!(set.has_any(CapSet::of(&[Cap::Batch, Cap::Setname])));
        assert!(!set.has_all(CapSet::of(&[Cap::Batch, Cap::Setname])));
        set.insert(Cap::Setname);
        set.remove(Cap::Sasl);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Cap::Batch, Cap::Setname]);
        assert_eq!(set, [Cap::Setname, Cap::Batch].into_iter().collect());
        assert_eq!(set & CapSet::of(&[Cap::Batch]), CapSet::of(&[Cap::Batch]));
        assert_eq!(CapSet::of(&[Cap::Batch]) | CapSet::of(&[Cap::Setname]), set);
    }
}
