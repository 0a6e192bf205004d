//! Where a push service is, as a client says: an address outside, and never one of the house's own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ircv3::Cidr;
use thiserror::Error;
use url::{Host, Url};

use crate::limits::PUSH_ENDPOINT_BYTES;

/// An endpoint: the URL that messages for one device are posted to (RFC 8030, section 4). Whoever knows it can be a
/// nuisance to its owner, so that no log shows more than its origin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    url: Box<str>,
    origin: Box<str>,
}

/// Why a URL is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EndpointFault {
    /// It is no URL, or longer than any push service's.
    #[error(
        "The endpoint is no URL, or longer than {PUSH_ENDPOINT_BYTES} bytes; give the https:// URL of a push service"
    )]
    NotAUrl,
    /// Its scheme, or something about it that no endpoint has.
    #[error("The endpoint has to begin with https://, without a user, a password or a fragment")]
    NotHttps,
    /// A port that belongs to something else.
    #[error("The endpoint's port has to be 443, or 1024 or higher")]
    Port,
    /// An address of the house's own.
    #[error("The endpoint is at an address that this server does not send to")]
    Inside,
}

/// The host of an endpoint.
pub enum Place {
    /// An address.
    Address(IpAddr),
    /// A name, which has to be looked up.
    Name(String),
}

impl Endpoint {
    /// The endpoint that a client names. What its name resolves to is looked at when it is dialled.
    ///
    /// # Errors
    /// It is none, or at an address that nothing may be sent to and that is not in `allowed`.
    pub fn parse(text: &str, allowed: &[Cidr]) -> Result<Endpoint, EndpointFault> {
        if text.len() > PUSH_ENDPOINT_BYTES || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(EndpointFault::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| EndpointFault::NotAUrl)?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if is_own_name(name) && allowed.is_empty() => return Err(EndpointFault::Inside),
            Some(Host::Domain(_)) => None,
            None => return Err(EndpointFault::NotHttps),
        };
        let is_allowed = address.is_some_and(|address| allowed.iter().any(|network| network.contains(address)));
        let plain = url.scheme() == "http" && is_allowed;
        if url.scheme() != "https" && !plain {
            return Err(EndpointFault::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(EndpointFault::NotHttps);
        }
        if address.is_some_and(|address| !may_dial(address, allowed)) {
            return Err(EndpointFault::Inside);
        }
        if url.port().is_some_and(|port| port < 1024 && port != 443) && !is_allowed {
            return Err(EndpointFault::Port);
        }
        Ok(Endpoint { url: text.into(), origin: url.origin().ascii_serialization().into() })
    }

    /// One that was let in before.
    pub fn stored(text: &str) -> Option<Endpoint> {
        let url = Url::parse(text).ok()?;
        Some(Endpoint { url: text.into(), origin: url.origin().ascii_serialization().into() })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port (RFC 6454): the audience of tokens, and what several endpoints have in common.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether TLS protects it.
    pub fn is_secure(&self) -> bool {
        !self.origin.starts_with("http://")
    }

    /// Its host and port, and what is asked for there; `None` where it is no URL any more.
    pub fn parts(&self) -> Option<(Place, u16, String)> {
        let url = Url::parse(&self.url).ok()?;
        let place = match url.host()? {
            Host::Ipv4(address) => Place::Address(IpAddr::V4(address)),
            Host::Ipv6(address) => Place::Address(IpAddr::V6(address)),
            Host::Domain(name) => Place::Name(name.to_owned()),
        };
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Some((place, url.port_or_known_default()?, path))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}/…)", self.origin)
    }
}

/// Names that mean this machine or this network, whatever they resolve to.
fn is_own_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let below = |domain: &str| name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    ["localhost", "local", "internal", "home.arpa", "onion"].into_iter().any(below)
}

/// Whether the server may connect to an address that somebody else has chosen: one of the public Internet, or one of
/// the operator's choice. To be asked about the address that is dialled, and not about any that a name had before.
pub fn may_dial(address: IpAddr, allowed: &[Cidr]) -> bool {
    if allowed.iter().any(|network| network.contains(address)) {
        return true;
    }
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IPv4 addresses of the public Internet (the IANA special-purpose registry, RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0                            // this network
        || address.is_private()
        || (a == 100 && b & 0xc0 == 64)             // shared with a carrier's customers (RFC 6598)
        || address.is_loopback()
        || address.is_link_local()                  // clouds tell their secrets at one of these
        || (a, b, c) == (192, 0, 0)                 // protocol assignments
        || address.is_documentation()
        || (a, b, c) == (192, 88, 99)               // relays of 6to4
        || (a == 198 && b & 0xfe == 18)             // benchmarks
        || a >= 224; // multicast, reserved, broadcast
    !special
}

/// IPv6 addresses of the public Internet; those that stand for an IPv4 address are as that is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // Protocol assignments, of which Teredo hides an address of a house; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // All that is given out (RFC 4291); what is left is loopback, local, mapped, multicast or nobody's.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::Cidr;

    use super::{Endpoint, EndpointFault, may_dial};

    #[test]
    fn no_address_inside_the_house_is_dialled() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!may_dial(inside.parse().unwrap(), &[]), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "9.9.9.9",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2001:4860::8888",
            "2002:101:101::1",
            "2606:4700::1111",
        ] {
            assert!(may_dial(outside.parse().unwrap(), &[]), "{outside}");
        }
        let allowed: [Cidr; 1] = ["127.0.0.0/8".parse().unwrap()];
        assert!(may_dial("127.0.0.1".parse().unwrap(), &allowed));
        assert!(may_dial("::ffff:127.0.0.1".parse().unwrap(), &allowed));
        assert!(!may_dial("10.0.0.1".parse().unwrap(), &allowed) && !may_dial("::1".parse().unwrap(), &allowed));
    }

    #[test]
    fn an_endpoint_is_an_https_url_somewhere_else() {
        let parse = |text: &str| Endpoint::parse(text, &[]);
        for good in [
            "https://fcm.googleapis.com/fcm/send/abc:def?x=y",
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAA",
            "https://push.example.org:8443/up",
            "https://[2606:4700::1111]/x",
        ] {
            assert_eq!(parse(good).unwrap().as_str(), good);
        }
        let origin = |text: &str| parse(text).unwrap().origin().to_owned();
        assert_eq!(origin("https://Push.example.org:443/a"), "https://push.example.org");
        assert_eq!(origin("https://push.example.org:8443/a"), "https://push.example.org:8443");
        for (bad, fault) in [
            ("", EndpointFault::NotAUrl),
            ("push.example.org", EndpointFault::NotAUrl),
            ("https://", EndpointFault::NotAUrl),
            ("https://a b.example.org/", EndpointFault::NotAUrl),
            ("http://push.example.org/", EndpointFault::NotHttps),
            ("ftp://push.example.org/", EndpointFault::NotHttps),
            ("file:///etc/passwd", EndpointFault::NotHttps),
            ("https://user@push.example.org/", EndpointFault::NotHttps),
            ("https://:secret@push.example.org/", EndpointFault::NotHttps),
            ("https://push.example.org/#x", EndpointFault::NotHttps),
            ("https://push.example.org:25/", EndpointFault::Port),
            ("https://127.0.0.1/", EndpointFault::Inside),
            ("https://2130706433/", EndpointFault::Inside),
            ("https://0x7f.1/", EndpointFault::Inside),
            ("https://0177.0.0.1/", EndpointFault::Inside),
            ("https://[::1]/", EndpointFault::Inside),
            ("https://[::ffff:10.0.0.1]/", EndpointFault::Inside),
            ("https://169.254.169.254/latest/meta-data", EndpointFault::Inside),
            ("https://100.64.0.1/", EndpointFault::Inside),
            ("https://localhost/", EndpointFault::Inside),
            ("https://LOCALHOST./", EndpointFault::Inside),
            ("https://printer.local/", EndpointFault::Inside),
            ("https://metadata.google.internal/", EndpointFault::Inside),
            ("https://abc.onion/", EndpointFault::Inside),
        ] {
            assert_eq!(parse(bad), Err(fault), "{bad}");
        }
        assert_eq!(parse(&format!("https://a.example.org/{}", "x".repeat(1024))), Err(EndpointFault::NotAUrl));
        assert!(!format!("{:?}", parse("https://push.example.org/secret").unwrap()).contains("secret"));
    }

    #[test]
    fn plain_http_is_for_networks_that_are_named() {
        let allowed: [Cidr; 1] = ["127.0.0.0/8".parse().unwrap()];
        assert!(Endpoint::parse("http://127.0.0.1:80/x", &allowed).is_ok());
        assert!(Endpoint::parse("https://127.0.0.1:8080/x", &allowed).is_ok());
        for (bad, fault) in [
            ("http://10.0.0.1/x", EndpointFault::NotHttps),
            ("http://push.example.org/x", EndpointFault::NotHttps),
            ("https://10.0.0.1/x", EndpointFault::Inside),
        ] {
            assert_eq!(Endpoint::parse(bad, &allowed), Err(fault), "{bad}");
        }
    }
}
