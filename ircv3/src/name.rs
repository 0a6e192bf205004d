//! Which texts are names: nicks, accounts, channels, user names and hosts (Modern IRC).

use std::net::IpAddr;

use crate::message::cut;

/// Whether `text` is a nick of at most `max` bytes: ASCII letters, digits and `` []\`_^{|}- ``, not
/// beginning with a digit or `-`. So `0`, `*` and anything that begins like a channel, a status
/// prefix or a trailing parameter is none.
pub fn is_nick(text: &str, max: usize) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    text.len() <= max && !first.is_ascii_digit() && first != b'-' && text.bytes().all(is_nick_byte)
}

/// Whether `text` is an account of at most `max` bytes. An account is what could be a nick, so that
/// a nick can always be held for its account.
pub fn is_account_name(text: &str, max: usize) -> bool {
    is_nick(text, max)
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
