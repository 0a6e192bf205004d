//! WEBIRC (<https://ircv3.net/specs/extensions/webirc>): a gateway says whom it speaks for.

use std::net::IpAddr;

use crate::Message;
use crate::tags::unescape;

/// The parameters of WEBIRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIrc<'a> {
    /// What the gateway proves itself with.
    pub password: &'a str,
    /// What it calls itself.
    pub gateway: &'a str,
    /// The user's host as the gateway resolved it; the address where it has no name.
    pub hostname: &'a str,
    /// The user's address; an IPv4-mapped IPv6 address is IPv4.
    pub ip: IpAddr,
    /// Whether TLS protects the way from the user to the gateway. It says nothing of the way from there.
    pub secure: bool,
    /// SHA-256 of the certificate that the user showed the gateway, in lower-case hex.
    pub certfp: Option<Box<str>>,
    /// The user's port.
    pub remote_port: Option<u16>,
}

/// Why WEBIRC is not to be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebIrcError {
    /// Fewer than four parameters.
    #[error("WEBIRC has a password, the gateway's name, the user's host and the user's address")]
    Parameters,
    /// The fourth is no address.
    #[error("{0:?} is not an IP address")]
    Address(Box<str>),
}

impl WebIrc<'_> {
    /// Takes the parameters of `line`. Options that are not known are passed over, and so is the value
    /// of one that has none.
    ///
    /// # Errors
    /// A parameter is missing, or the address is none.
    pub fn parse(line: &Message) -> Result<WebIrc<'_>, WebIrcError> {
        let mut params = line.params();
        let (Some(password), Some(gateway), Some(hostname), Some(ip)) =
            (params.next(), params.next(), params.next(), params.next())
        else {
            return Err(WebIrcError::Parameters);
        };
        let address: IpAddr = ip.parse().map_err(|_| WebIrcError::Address(ip.into()))?;
        let mut webirc = WebIrc {
            password,
            gateway,
            hostname,
            ip: address.to_canonical(),
            secure: false,
            certfp: None,
            remote_port: None,
        };
        for option in params.next().unwrap_or_default().split(' ') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "secure" => webirc.secure = true,
                "certfp-sha-256" => webirc.certfp = fingerprint(&unescape(value)),
                "remote-port" => webirc.remote_port = unescape(value).parse().ok(),
                _ => {}
            }
        }
        Ok(webirc)
    }
}

/// A SHA-256 fingerprint in lower-case hex, of one that may have capitals and colons; `None` where it is none.
pub fn fingerprint(text: &str) -> Option<Box<str>> {
    let hex: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hex.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{WebIrc, WebIrcError, fingerprint};
    use crate::Message;

    fn line(params: &str) -> Message {
        Message::parse_client(format!("WEBIRC {params}")).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification() {
        let plain = line("hunter2 ExampleGateway 3-100-51-198.location.example-isp.com 198.51.100.3");
        let plain = WebIrc::parse(&plain).unwrap();
        assert_eq!((plain.password, plain.gateway), ("hunter2", "ExampleGateway"));
        assert_eq!(plain.hostname, "3-100-51-198.location.example-isp.com");
        assert_eq!(plain.ip.to_string(), "198.51.100.3");
        assert!(!plain.secure && plain.certfp.is_none());
        for (options, port) in
            [("secure", None), (":secure=examplevalue local-port=6697 remote-port=21726", Some(21_726))]
        {
            let secure = line(&format!("hunter2 ExampleGateway 198.51.100.3 198.51.100.3 {options}"));
            let secure = WebIrc::parse(&secure).unwrap();
            assert!(secure.secure);
            assert_eq!(secure.remote_port, port);
        }
    }

    #[test]
    fn options_that_are_not_known_are_passed_over() {
        let fp = "0F".repeat(32);
        let text = line(&format!("p g h 0::1 :  insecure certfp-sha-256={fp} x=y certfp-sha-512=00 secured"));
        let webirc = WebIrc::parse(&text).unwrap();
        assert_eq!(webirc.certfp.as_deref(), Some(&*fp.to_lowercase()));
        assert_eq!(webirc.ip.to_string(), "::1");
        assert!(!webirc.secure);
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert_eq!(WebIrc::parse(&line("p g h")), Err(WebIrcError::Parameters));
        for ip in ["198.51.100", "host.example", "198.51.100.3:80", "10.0.0.0/8"] {
            assert_eq!(WebIrc::parse(&line(&format!("p g h {ip}"))), Err(WebIrcError::Address(ip.into())));
        }
        let mapped = line("p g h 0::ffff:1.2.3.4");
        assert_eq!(WebIrc::parse(&mapped).unwrap().ip.to_string(), "1.2.3.4");
    }

    #[test]
    fn a_fingerprint_has_64_digits() {
        assert_eq!(fingerprint(&"A:b".repeat(32)).as_deref(), Some(&*"ab".repeat(32)));
        assert_eq!(fingerprint(&"a".repeat(63)), None);
        assert_eq!(fingerprint(&"g".repeat(64)), None);
    }
}
