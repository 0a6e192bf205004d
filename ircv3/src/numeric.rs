//! Numerics: three digits and a name (Modern IRC, "Numerics").
//!
//! [`irc_proto::Response`] is the list; this adds what it lacks and the names of Modern IRC, and
//! puts a numeric on the wire without allocating.

use std::fmt;

use irc_proto::Response;

/// A numeric below 1000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numeric(u16);

impl Numeric {
    /// The numeric `number`; `None` from 1000 on.
    pub const fn new(number: u16) -> Option<Numeric> {
        if number < 1000 { Some(Numeric(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The three digits.
    pub fn as_str(self) -> &'static str {
        std::str::from_utf8(&DIGITS[usize::from(self.0)]).unwrap_or("000")
    }

    /// The name, such as `RPL_WELCOME`; where two names share a number, the first of [`Numeric::NAMES`].
    pub fn name(self) -> Option<&'static str> {
        Numeric::NAMES.iter().find(|(numeric, _)| *numeric == self).map(|(_, name)| *name)
    }
}

impl From<Response> for Numeric {
    fn from(response: Response) -> Numeric {
        Numeric(response as u16)
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.as_str(), self.name().unwrap_or("?"))
    }
}

static DIGITS: [[u8; 3]; 1000] = {
    let mut digits = [[b'0'; 3]; 1000];
    let mut number = 0;
    while number < 1000 {
        digits[number] = [b'0' + (number / 100) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    digits
};

macro_rules! numerics {
    (
        shared { $($shared:ident)+ }
        renamed { $($renamed:ident = $response:ident,)+ }
        own { $($own:ident = $number:literal,)+ }
    ) => {
        #[allow(missing_docs)]
        impl Numeric {
            $(pub const $shared: Numeric = Numeric(Response::$shared as u16);)+
            $(pub const $renamed: Numeric = Numeric(Response::$response as u16);)+
            $(pub const $own: Numeric = Numeric($number);)+

            /// Every numeric that has a constant, with its name.
            pub const NAMES: &'static [(Numeric, &'static str)] = &[
                $((Numeric::$shared, stringify!($shared)),)+
                $((Numeric::$renamed, stringify!($renamed)),)+
                $((Numeric::$own, stringify!($own)),)+
            ];
        }
    };
}

numerics! {
    // What irc-proto knows under the same name.
    shared {
        RPL_WELCOME
        RPL_YOURHOST
        RPL_CREATED
        RPL_MYINFO
        RPL_ISUPPORT
        RPL_BOUNCE
        RPL_TRACEOPERATOR
        RPL_TRACEUSER
        RPL_STATSLINKINFO
        RPL_STATSCOMMANDS
        RPL_ENDOFSTATS
        RPL_UMODEIS
        RPL_SERVLIST
        RPL_SERVLISTEND
        RPL_STATSUPTIME
        RPL_STATSOLINE
        RPL_LUSERCLIENT
        RPL_LUSEROP
        RPL_LUSERUNKNOWN
        RPL_LUSERCHANNELS
        RPL_LUSERME
        RPL_ADMINME
        RPL_ADMINLOC1
        RPL_ADMINLOC2
        RPL_ADMINEMAIL
        RPL_TRACEEND
        RPL_TRYAGAIN
        RPL_LOCALUSERS
        RPL_GLOBALUSERS
        RPL_WHOISCERTFP
        RPL_NONE
        RPL_AWAY
        RPL_USERHOST
        RPL_ISON
        RPL_UNAWAY
        RPL_NOWAWAY
        RPL_WHOISUSER
        RPL_WHOISSERVER
        RPL_WHOISOPERATOR
        RPL_WHOWASUSER
        RPL_ENDOFWHO
        RPL_WHOISIDLE
        RPL_ENDOFWHOIS
        RPL_WHOISCHANNELS
        RPL_LISTSTART
        RPL_LIST
        RPL_LISTEND
        RPL_CHANNELMODEIS
        RPL_NOTOPIC
        RPL_TOPIC
        RPL_TOPICWHOTIME
        RPL_INVITING
        RPL_EXCEPTLIST
        RPL_ENDOFEXCEPTLIST
        RPL_VERSION
        RPL_WHOREPLY
        RPL_NAMREPLY
        RPL_LINKS
        RPL_ENDOFLINKS
        RPL_ENDOFNAMES
        RPL_BANLIST
        RPL_ENDOFBANLIST
        RPL_ENDOFWHOWAS
        RPL_INFO
        RPL_MOTD
        RPL_ENDOFINFO
        RPL_MOTDSTART
        RPL_ENDOFMOTD
        RPL_YOUREOPER
        RPL_REHASHING
        RPL_TIME
        RPL_USERSSTART
        RPL_USERS
        RPL_ENDOFUSERS
        RPL_HOSTHIDDEN
        ERR_UNKNOWNERROR
        ERR_NOSUCHNICK
        ERR_NOSUCHSERVER
        ERR_NOSUCHCHANNEL
        ERR_CANNOTSENDTOCHAN
        ERR_TOOMANYCHANNELS
        ERR_WASNOSUCHNICK
        ERR_TOOMANYTARGETS
        ERR_NOORIGIN
        ERR_NORECIPIENT
        ERR_NOTEXTTOSEND
        ERR_BADMASK
        ERR_UNKNOWNCOMMAND
        ERR_NOMOTD
        ERR_NOADMININFO
        ERR_NONICKNAMEGIVEN
        ERR_NICKNAMEINUSE
        ERR_NICKCOLLISION
        ERR_UNAVAILRESOURCE
        ERR_USERNOTINCHANNEL
        ERR_NOTONCHANNEL
        ERR_USERONCHANNEL
        ERR_SUMMONDISABLED
        ERR_USERSDISABLED
        ERR_NOTREGISTERED
        ERR_NEEDMOREPARAMS
        ERR_NOPERMFORHOST
        ERR_PASSWDMISMATCH
        ERR_YOUREBANNEDCREEP
        ERR_KEYSET
        ERR_CHANNELISFULL
        ERR_UNKNOWNMODE
        ERR_INVITEONLYCHAN
        ERR_BANNEDFROMCHAN
        ERR_BADCHANNELKEY
        ERR_BADCHANMASK
        ERR_BANLISTFULL
        ERR_NOPRIVILEGES
        ERR_CHANOPRIVSNEEDED
        ERR_CANTKILLSERVER
        ERR_RESTRICTED
        ERR_NOOPERHOST
        ERR_UMODEUNKNOWNFLAG
        ERR_USERSDONTMATCH
        ERR_NOPRIVS
        RPL_MONONLINE
        RPL_MONOFFLINE
        RPL_MONLIST
        RPL_ENDOFMONLIST
        ERR_MONLISTFULL
        RPL_WHOISKEYVALUE
        RPL_KEYVALUE
        RPL_LOGGEDIN
        RPL_LOGGEDOUT
        ERR_NICKLOCKED
        RPL_SASLSUCCESS
        ERR_SASLFAIL
        ERR_SASLTOOLONG
        ERR_SASLALREADY
        RPL_SASLMECHS
    }
    // What Modern IRC spells otherwise.
    renamed {
        RPL_INVEXLIST = RPL_INVITELIST,
        RPL_ENDOFINVEXLIST = RPL_ENDOFINVITELIST,
        ERR_ERRONEUSNICKNAME = ERR_ERRONEOUSNICKNAME,
        ERR_ALREADYREGISTERED = ERR_ALREADYREGISTRED,
        ERR_SASLABORTED = ERR_SASLABORT,
    }
    // What irc-proto lacks.
    own {
        RPL_SNOMASK = 8,
        RPL_MAP = 15,
        RPL_MAPEND = 17,
        RPL_SAVENICK = 43,
        RPL_STATSLLINE = 241,
        RPL_STATSDEBUG = 249,
        RPL_STATSCONN = 250,
        RPL_SILELIST = 271,
        RPL_ENDOFSILELIST = 272,
        RPL_WHOISREGNICK = 307,
        RPL_WHOISSPECIAL = 320,
        RPL_CREATIONTIME = 329,
        RPL_WHOISACCOUNT = 330,
        RPL_WHOISBOT = 335,
        RPL_INVITELIST = 336,
        RPL_ENDOFINVITELIST = 337,
        RPL_WHOISACTUALLY = 338,
        RPL_USERIP = 340,
        RPL_WHOSPCRPL = 354,
        RPL_WHOISHOST = 378,
        RPL_WHOISMODES = 379,
        ERR_INVALIDCAPCMD = 410,
        ERR_TOOMANYMATCHES = 416,
        ERR_INPUTTOOLONG = 417,
        ERR_LINKCHANNEL = 470,
        ERR_NEEDREGGEDNICK = 477,
        ERR_BADCHANNAME = 479,
        ERR_NONONREG = 486,
        ERR_SECUREONLYCHAN = 489,
        ERR_SILELISTFULL = 511,
        ERR_OPERONLY = 520,
        ERR_LISTSYNTAX = 521,
        ERR_HELPNOTFOUND = 524,
        ERR_INVALIDKEY = 525,
        ERR_CANTSENDTOUSER = 531,
        RPL_STARTTLS = 670,
        RPL_WHOISSECURE = 671,
        ERR_STARTTLS = 691,
        ERR_INVALIDMODEPARAM = 696,
        RPL_HELPSTART = 704,
        RPL_HELPTXT = 705,
        RPL_ENDOFHELP = 706,
        RPL_KNOCK = 710,
        RPL_KNOCKDLVR = 711,
        ERR_TOOMANYKNOCK = 712,
        ERR_CHANOPEN = 713,
        ERR_KNOCKONCHAN = 714,
        RPL_TARGUMODEG = 716,
        RPL_TARGNOTIFY = 717,
        RPL_UMODEGMSG = 718,
        RPL_QUIETLIST = 728,
        RPL_ENDOFQUIETLIST = 729,
        RPL_KEYNOTSET = 766,
        RPL_METADATASUBOK = 770,
        RPL_METADATAUNSUBOK = 771,
        RPL_METADATASUBS = 772,
        RPL_METADATASYNCLATER = 774,
    }
}
