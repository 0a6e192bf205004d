//! Which texts are names: nicks, accounts, channels, user names and hosts (Modern IRC).

use std::net::IpAddr;

use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use unicode_normalization::char::is_combining_mark;

use crate::casemapping::Casemapping;
use crate::message::cut;

/// Whether `text` is a nick of at most `max` bytes: ASCII letters, digits and `` []\`_^{|}- ``, not
/// beginning with a digit or `-`. So `0`, `*` and anything that begins like a channel, a status
/// prefix or a trailing parameter is none. Under `precis` there may be letters and digits of every
/// script, as UsernameCaseMapped allows them (RFC 8265, section 3.3).
pub fn is_nick(text: &str, max: usize, casemapping: Casemapping) -> bool {
    if text.len() > max {
        return false;
    }
    if text.is_ascii() {
        return is_like_nick(text);
    }
    if casemapping != Casemapping::Precis {
        return false;
    }
    // A mark at the beginning would become a part of the prefix or the colon before it.
    let may_be = |text: &str| {
        is_like_nick(text) && !text.starts_with(is_combining_mark) && UsernameCaseMapped::enforce(text).is_ok()
    };
    // As it is compared, too: what is written wide becomes ASCII, and not every small letter is in the profile.
    may_be(text) && may_be(casemapping.fold(text).as_str())
}

/// Whether what is ASCII in a text may be in a nick, at its place.
fn is_like_nick(text: &str) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    !first.is_ascii_digit() && first != b'-' && text.bytes().all(|byte| !byte.is_ascii() || is_nick_byte(byte))
}

/// Whether `text` is an account of at most `max` bytes. An account is what could be a nick, so that
/// a nick can always be held for its account.
pub fn is_account_name(text: &str, max: usize, casemapping: Casemapping) -> bool {
    is_nick(text, max, casemapping)
}

/// What a nick may be made of, in words.
pub fn nick_letters(casemapping: Casemapping) -> &'static str {
    match casemapping {
        Casemapping::Precis => "letters and digits of any script, and []\\`_^{|}-, not beginning with 0-9 or -",
        _ => "the letters A-Z a-z, digits and []\\`_^{|}-, not beginning with a digit or -",
    }
}

/// Whether `text` is a channel of at most `max` bytes: `#`, then at least one character, all of them
/// visible: no space, comma, control character, or invisible formatting character.
pub fn is_channel(text: &str, max: usize) -> bool {
    let Some(rest) = text.strip_prefix('#') else { return false };
    text.len() <= max && !rest.is_empty() && rest.chars().all(is_channel_char)
}

/// Whether `text` is the name of a host (RFC 952, RFC 1123): labels of 1 to 63 letters, digits and
/// hyphens, none beginning or ending with a hyphen; at least one dot, which may be the root's at
/// the end; 253 bytes at most.
pub fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.contains('.') && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// The user name that stands for what a client sent in USER: ASCII letters, digits and `` -._[]\`^{|} ``
/// are kept, up to `max` bytes; `user` where nothing is left. Whether it gets a `~` is the server's choice.
pub fn sanitize_user(text: &str, max: usize) -> String {
    let kept: String =
        text.chars().filter(|c| c.is_ascii() && (is_nick_byte(*c as u8) || *c == '.')).take(max).collect();
    if kept.is_empty() { cut("user", max).to_owned() } else { kept }
}

/// The text of an address as it may stand in a line: an IPv6 address that begins with `:` gets a
/// `0` before it, an IPv4 address that came as IPv6 is written as IPv4.
pub fn host_of(address: IpAddr) -> String {
    let text = address.to_canonical().to_string();
    if text.starts_with(':') { format!("0{text}") } else { text }
}

/// The parts of `nick!user@host`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source<'a> {
    /// The nick, or the name of a server.
    pub nick: &'a str,
    /// The user name; empty where there is none.
    pub user: &'a str,
    /// The host; empty where there is none.
    pub host: &'a str,
}

/// Takes a source apart; a part that is missing is empty.
pub fn split_source(source: &str) -> Source<'_> {
    let (rest, host) = source.split_once('@').unwrap_or((source, ""));
    let (nick, user) = rest.split_once('!').unwrap_or((rest, ""));
    Source { nick, user, host }
}

fn is_nick_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"[]\\`_^{|}-".contains(&byte)
}

fn is_channel_char(c: char) -> bool {
    // Zero-width and direction characters make two channels look like one.
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !(c == ',' || c.is_control() || c.is_whitespace() || invisible)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::{any, prop_assert, proptest};

    use super::{host_of, is_account_name, is_channel, is_nick, sanitize_user};
    use crate::casemapping::Casemapping::{self, Ascii, Precis};

    #[test]
    fn nicks_are_ascii_and_begin_like_nothing_else() {
        for nick in ["a", "bob", "[m]", "`x", "a1-", "_", "a\\b{|}^"] {
            assert!(Casemapping::ALL.iter().all(|casemapping| is_nick(nick, 32, *casemapping)), "{nick}");
        }
        for nick in ["", "*", "0", "1a", "-a", "#a", "~a", "&a", "@a", "%a", "+a", ":a", "$a", "a!b", "a b", "a,b", "é"]
        {
            assert!(!is_nick(nick, 32, Ascii), "{nick}");
            assert!(!is_account_name(nick, 32, Ascii), "{nick}");
            assert!(nick == "é" || !is_nick(nick, 32, Precis), "{nick}");
        }
        assert!(is_nick("abc", 3, Ascii) && !is_nick("abcd", 3, Ascii));
    }

    #[test]
    fn under_precis_nicks_have_letters_of_every_script() {
        for nick in ["Işıl", "élise", "日本", "Зоя_1", "ＢＯＢ", "e\u{301}a", "אבג", "_é"] {
            assert!(is_nick(nick, 32, Precis) && is_account_name(nick, 32, Precis), "{nick}");
        }
        for nick in [
            "é é",
            "é\u{a0}",
            "é\u{200b}",
            "é\u{202e}",
            "é!",
            "é@",
            "é,",
            "é*",
            "#é",
            "1é",
            "-é",
            "１é",
            "＃a",
            "a！b",
            "☃",
            "😀",
            "é/x",
            "é.x",
            "\u{212a}",
            "ﬁ",
            "\u{7f}é",
            "é\u{85}",
            "é\0",
            "Ꭰ",
            "\u{301}a",
        ] {
            assert!(!is_nick(nick, 32, Precis), "{nick:?}");
        }
        assert!(is_nick("éé", 4, Precis) && !is_nick("éé", 3, Precis), "bytes are counted");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic_and_every_nick_stays_one(text in any::<String>()) {
            for casemapping in Casemapping::ALL {
                if is_nick(&text, 64, casemapping) {
                    let folded = casemapping.fold(&text);
                    prop_assert!(is_nick(folded.as_str(), 128, casemapping), "{:?} {:?}", text, folded);
                    prop_assert!(!text.contains([' ', ':', '!', '@', ',', '*', '?']), "{:?}", text);
                }
            }
        }

        #[test]
        fn every_nick_stays_one(text in "\\PC{1,6}") {
            let folded = Precis.fold(&text);
            prop_assert!(!is_nick(&text, 64, Precis) || is_nick(folded.as_str(), 128, Precis), "{:?} {:?}", text, folded);
        }
    }

    #[test]
    fn channels_are_visible_text_after_a_hash() {
        for channel in ["#a", "##", "#rust:chat", "#日本", "#a!b@c*?", "#😀"] {
            assert!(is_channel(channel, 64), "{channel}");
        }
        for channel in
            ["", "#", "a", "&a", "#a b", "#a,b", "#a\u{7}", "#a\0", "#a\r", "#\u{a0}", "#a\u{200b}", "#\u{202e}a"]
        {
            assert!(!is_channel(channel, 64), "{channel:?}");
        }
        assert!(is_channel("#é", 3) && !is_channel("#é", 2));
    }

    #[test]
    fn a_user_name_never_ends_the_source_it_stands_in() {
        assert_eq!(sanitize_user("bob", 10), "bob");
        assert_eq!(sanitize_user("~b o!b@c:\u{e9}*", 10), "bobc");
        assert_eq!(sanitize_user("abcdef", 3), "abc");
        assert_eq!(sanitize_user("!@ ", 10), "user");
        assert_eq!(sanitize_user("", 2), "us");
    }

    #[test]
    fn no_address_begins_with_a_colon() {
        assert_eq!(host_of(IpAddr::V6(Ipv6Addr::LOCALHOST)), "0::1");
        assert_eq!(host_of(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped())), "192.0.2.1");
        assert_eq!(host_of(IpAddr::V4(Ipv4Addr::LOCALHOST)), "127.0.0.1");
    }
}
