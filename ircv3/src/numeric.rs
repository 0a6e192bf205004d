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

/// By number, for names differ: irc-proto's `RPL_INVITELIST` is 346, Modern IRC's is 336.
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
        RPL_MAP = 6,
        RPL_MAPEND = 7,
        RPL_SNOMASK = 8,
        RPL_SAVENICK = 43,
        RPL_STATSILINE = 215,
        RPL_STATSKLINE = 216,
        RPL_STATSDLINE = 225,
        RPL_STATSLLINE = 241,
        RPL_STATSXLINE = 247,
        RPL_STATSDEBUG = 249,
        RPL_STATSCONN = 250,
        RPL_SILELIST = 271,
        RPL_ENDOFSILELIST = 272,
        RPL_ACCEPTLIST = 281,
        RPL_ENDOFACCEPT = 282,
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
        ERR_BANONCHAN = 435,
        ERR_NONICKCHANGE = 447,
        ERR_ACCEPTFULL = 456,
        ERR_ACCEPTEXIST = 457,
        ERR_ACCEPTNOT = 458,
        ERR_ONLYSERVERSCANCHANGE = 468,
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
        ERR_CANNOTSENDRP = 573,
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
        RPL_ENDOFPROPLIST = 960,
        RPL_PROPLIST = 961,
        RPL_ENDOFLISTPROPLIST = 962,
        RPL_LISTPROPLIST = 963,
        RPL_CHMODELIST = 964,
        RPL_UMODELIST = 965,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use irc_proto::Response;

    use super::Numeric;

    /// The numerics of Modern IRC, copied from the document and not from the table above.
    const MODERN: &str = "\
        001 RPL_WELCOME\n\
        002 RPL_YOURHOST\n\
        003 RPL_CREATED\n\
        004 RPL_MYINFO\n\
        005 RPL_ISUPPORT\n\
        010 RPL_BOUNCE\n\
        212 RPL_STATSCOMMANDS\n\
        219 RPL_ENDOFSTATS\n\
        221 RPL_UMODEIS\n\
        242 RPL_STATSUPTIME\n\
        251 RPL_LUSERCLIENT\n\
        252 RPL_LUSEROP\n\
        253 RPL_LUSERUNKNOWN\n\
        254 RPL_LUSERCHANNELS\n\
        255 RPL_LUSERME\n\
        256 RPL_ADMINME\n\
        257 RPL_ADMINLOC1\n\
        258 RPL_ADMINLOC2\n\
        259 RPL_ADMINEMAIL\n\
        263 RPL_TRYAGAIN\n\
        265 RPL_LOCALUSERS\n\
        266 RPL_GLOBALUSERS\n\
        276 RPL_WHOISCERTFP\n\
        300 RPL_NONE\n\
        301 RPL_AWAY\n\
        302 RPL_USERHOST\n\
        305 RPL_UNAWAY\n\
        306 RPL_NOWAWAY\n\
        307 RPL_WHOISREGNICK\n\
        311 RPL_WHOISUSER\n\
        312 RPL_WHOISSERVER\n\
        313 RPL_WHOISOPERATOR\n\
        314 RPL_WHOWASUSER\n\
        315 RPL_ENDOFWHO\n\
        317 RPL_WHOISIDLE\n\
        318 RPL_ENDOFWHOIS\n\
        319 RPL_WHOISCHANNELS\n\
        320 RPL_WHOISSPECIAL\n\
        321 RPL_LISTSTART\n\
        322 RPL_LIST\n\
        323 RPL_LISTEND\n\
        324 RPL_CHANNELMODEIS\n\
        329 RPL_CREATIONTIME\n\
        330 RPL_WHOISACCOUNT\n\
        331 RPL_NOTOPIC\n\
        332 RPL_TOPIC\n\
        333 RPL_TOPICWHOTIME\n\
        336 RPL_INVITELIST\n\
        337 RPL_ENDOFINVITELIST\n\
        338 RPL_WHOISACTUALLY\n\
        341 RPL_INVITING\n\
        346 RPL_INVEXLIST\n\
        347 RPL_ENDOFINVEXLIST\n\
        348 RPL_EXCEPTLIST\n\
        349 RPL_ENDOFEXCEPTLIST\n\
        351 RPL_VERSION\n\
        352 RPL_WHOREPLY\n\
        353 RPL_NAMREPLY\n\
        364 RPL_LINKS\n\
        365 RPL_ENDOFLINKS\n\
        366 RPL_ENDOFNAMES\n\
        367 RPL_BANLIST\n\
        368 RPL_ENDOFBANLIST\n\
        369 RPL_ENDOFWHOWAS\n\
        371 RPL_INFO\n\
        372 RPL_MOTD\n\
        374 RPL_ENDOFINFO\n\
        375 RPL_MOTDSTART\n\
        376 RPL_ENDOFMOTD\n\
        378 RPL_WHOISHOST\n\
        379 RPL_WHOISMODES\n\
        381 RPL_YOUREOPER\n\
        382 RPL_REHASHING\n\
        391 RPL_TIME\n\
        400 ERR_UNKNOWNERROR\n\
        401 ERR_NOSUCHNICK\n\
        402 ERR_NOSUCHSERVER\n\
        403 ERR_NOSUCHCHANNEL\n\
        404 ERR_CANNOTSENDTOCHAN\n\
        405 ERR_TOOMANYCHANNELS\n\
        406 ERR_WASNOSUCHNICK\n\
        409 ERR_NOORIGIN\n\
        411 ERR_NORECIPIENT\n\
        412 ERR_NOTEXTTOSEND\n\
        417 ERR_INPUTTOOLONG\n\
        421 ERR_UNKNOWNCOMMAND\n\
        422 ERR_NOMOTD\n\
        431 ERR_NONICKNAMEGIVEN\n\
        432 ERR_ERRONEUSNICKNAME\n\
        433 ERR_NICKNAMEINUSE\n\
        436 ERR_NICKCOLLISION\n\
        441 ERR_USERNOTINCHANNEL\n\
        442 ERR_NOTONCHANNEL\n\
        443 ERR_USERONCHANNEL\n\
        451 ERR_NOTREGISTERED\n\
        461 ERR_NEEDMOREPARAMS\n\
        462 ERR_ALREADYREGISTERED\n\
        464 ERR_PASSWDMISMATCH\n\
        465 ERR_YOUREBANNEDCREEP\n\
        471 ERR_CHANNELISFULL\n\
        472 ERR_UNKNOWNMODE\n\
        473 ERR_INVITEONLYCHAN\n\
        474 ERR_BANNEDFROMCHAN\n\
        475 ERR_BADCHANNELKEY\n\
        476 ERR_BADCHANMASK\n\
        481 ERR_NOPRIVILEGES\n\
        482 ERR_CHANOPRIVSNEEDED\n\
        483 ERR_CANTKILLSERVER\n\
        491 ERR_NOOPERHOST\n\
        501 ERR_UMODEUNKNOWNFLAG\n\
        502 ERR_USERSDONTMATCH\n\
        524 ERR_HELPNOTFOUND\n\
        525 ERR_INVALIDKEY\n\
        670 RPL_STARTTLS\n\
        671 RPL_WHOISSECURE\n\
        691 ERR_STARTTLS\n\
        696 ERR_INVALIDMODEPARAM\n\
        704 RPL_HELPSTART\n\
        705 RPL_HELPTXT\n\
        706 RPL_ENDOFHELP\n\
        723 ERR_NOPRIVS\n\
        900 RPL_LOGGEDIN\n\
        901 RPL_LOGGEDOUT\n\
        902 ERR_NICKLOCKED\n\
        903 RPL_SASLSUCCESS\n\
        904 ERR_SASLFAIL\n\
        905 ERR_SASLTOOLONG\n\
        906 ERR_SASLABORTED\n\
        907 ERR_SASLALREADY\n\
        908 RPL_SASLMECHS";

    /// Numerics of other servers, copied from the public registry (ircdocs/irc-defs, `numerics.yaml`) and not from
    /// the table above.
    const PUBLIC: &str = "\
        006 RPL_MAP\n\
        007 RPL_MAPEND\n\
        008 RPL_SNOMASK\n\
        043 RPL_SAVENICK\n\
        204 RPL_TRACEOPERATOR\n\
        205 RPL_TRACEUSER\n\
        211 RPL_STATSLINKINFO\n\
        215 RPL_STATSILINE\n\
        216 RPL_STATSKLINE\n\
        225 RPL_STATSDLINE\n\
        234 RPL_SERVLIST\n\
        235 RPL_SERVLISTEND\n\
        241 RPL_STATSLLINE\n\
        243 RPL_STATSOLINE\n\
        247 RPL_STATSXLINE\n\
        249 RPL_STATSDEBUG\n\
        250 RPL_STATSCONN\n\
        262 RPL_TRACEEND\n\
        271 RPL_SILELIST\n\
        272 RPL_ENDOFSILELIST\n\
        281 RPL_ACCEPTLIST\n\
        282 RPL_ENDOFACCEPT\n\
        303 RPL_ISON\n\
        335 RPL_WHOISBOT\n\
        340 RPL_USERIP\n\
        354 RPL_WHOSPCRPL\n\
        392 RPL_USERSSTART\n\
        393 RPL_USERS\n\
        394 RPL_ENDOFUSERS\n\
        407 ERR_TOOMANYTARGETS\n\
        410 ERR_INVALIDCAPCMD\n\
        415 ERR_BADMASK\n\
        416 ERR_TOOMANYMATCHES\n\
        423 ERR_NOADMININFO\n\
        435 ERR_BANONCHAN\n\
        437 ERR_UNAVAILRESOURCE\n\
        445 ERR_SUMMONDISABLED\n\
        446 ERR_USERSDISABLED\n\
        447 ERR_NONICKCHANGE\n\
        456 ERR_ACCEPTFULL\n\
        457 ERR_ACCEPTEXIST\n\
        458 ERR_ACCEPTNOT\n\
        463 ERR_NOPERMFORHOST\n\
        467 ERR_KEYSET\n\
        468 ERR_ONLYSERVERSCANCHANGE\n\
        470 ERR_LINKCHANNEL\n\
        477 ERR_NEEDREGGEDNICK\n\
        478 ERR_BANLISTFULL\n\
        479 ERR_BADCHANNAME\n\
        484 ERR_RESTRICTED\n\
        486 ERR_NONONREG\n\
        489 ERR_SECUREONLYCHAN\n\
        511 ERR_SILELISTFULL\n\
        520 ERR_OPERONLY\n\
        521 ERR_LISTSYNTAX\n\
        531 ERR_CANTSENDTOUSER\n\
        710 RPL_KNOCK\n\
        711 RPL_KNOCKDLVR\n\
        712 ERR_TOOMANYKNOCK\n\
        713 ERR_CHANOPEN\n\
        714 ERR_KNOCKONCHAN\n\
        716 RPL_TARGUMODEG\n\
        717 RPL_TARGNOTIFY\n\
        718 RPL_UMODEGMSG\n\
        728 RPL_QUIETLIST\n\
        729 RPL_ENDOFQUIETLIST\n\
        730 RPL_MONONLINE\n\
        731 RPL_MONOFFLINE\n\
        732 RPL_MONLIST\n\
        733 RPL_ENDOFMONLIST\n\
        734 ERR_MONLISTFULL\n\
        760 RPL_WHOISKEYVALUE\n\
        761 RPL_KEYVALUE\n\
        908 RPL_SASLMECHS\n";

    /// Numerics that the registry has not: 396 has this name in ircu and UnrealIRCd, 573 in Ergo, the others
    /// are those of draft/metadata-2 and draft/named-modes.
    const DRAFTS: &str = "\
        396 RPL_HOSTHIDDEN\n\
        573 ERR_CANNOTSENDRP\n\
        766 RPL_KEYNOTSET\n\
        770 RPL_METADATASUBOK\n\
        771 RPL_METADATAUNSUBOK\n\
        772 RPL_METADATASUBS\n\
        774 RPL_METADATASYNCLATER\n\
        960 RPL_ENDOFPROPLIST\n\
        961 RPL_PROPLIST\n\
        962 RPL_ENDOFLISTPROPLIST\n\
        963 RPL_LISTPROPLIST\n\
        964 RPL_CHMODELIST\n\
        965 RPL_UMODELIST";

    #[test]
    fn every_numeric_of_the_table_is_known_elsewhere_by_its_name() {
        let known: HashSet<(&str, &str)> = [MODERN, PUBLIC, DRAFTS]
            .iter()
            .flat_map(|list| list.lines())
            .filter_map(|row| row.trim().split_once(' '))
            .collect();
        for (numeric, name) in Numeric::NAMES {
            assert!(known.contains(&(numeric.as_str(), name)), "{numeric} {name} is in no public list");
        }
    }

    #[test]
    fn every_numeric_of_modern_irc_has_its_name_and_number() {
        let table: HashMap<&str, Numeric> = Numeric::NAMES.iter().map(|(numeric, name)| (*name, *numeric)).collect();
        assert_eq!(table.len(), Numeric::NAMES.len(), "a name stands twice");
        let mut rows = 0;
        for row in MODERN.lines() {
            let (digits, name) = row.trim().split_once(' ').expect("digits and a name");
            assert_eq!(table.get(name).map(|numeric| numeric.as_str()), Some(digits), "{name}");
            rows += 1;
        }
        assert_eq!(rows, 130);
    }

    #[test]
    fn only_errors_are_from_400_to_599() {
        for (numeric, name) in Numeric::NAMES {
            let is_error = (400..600).contains(&numeric.number());
            assert!(!is_error || name.starts_with("ERR_"), "{name}");
            assert!(numeric.number() >= 400 || name.starts_with("RPL_"), "{name}");
        }
    }

    #[test]
    fn every_number_has_three_digits() {
        for number in 0..1000 {
            let numeric = Numeric::new(number).expect("below 1000");
            assert_eq!(numeric.as_str(), format!("{number:03}"));
        }
        assert_eq!(Numeric::new(1000), None);
    }

    #[test]
    fn irc_protos_responses_are_numerics() {
        assert_eq!(Numeric::from(Response::RPL_WELCOME), Numeric::RPL_WELCOME);
        assert_eq!(Numeric::RPL_WELCOME.as_str(), "001");
        // irc-proto has the name of 336 on 346.
        assert_eq!(Numeric::from(Response::RPL_INVITELIST), Numeric::RPL_INVEXLIST);
        assert_eq!(Numeric::RPL_INVITELIST.number(), 336);
    }
}
