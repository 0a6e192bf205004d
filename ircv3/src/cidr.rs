//! Networks of addresses in CIDR notation (RFC 4632, RFC 4291 2.3), for whoever is trusted, limited or banned.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// What stands before the slash is no address.
    #[error("is not an address or network; write \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"")]
    Address,
    /// What stands after it is no number of bits, or more than the address has.
    #[error("has a wrong length after the slash; give 0 to {0} bits")]
    Bits(u8),
    /// Bits past the length are set: the network begins elsewhere, and one of the two is a slip.
    #[error("has bits set past its length; write \"{0}\"")]
    Host(Cidr),
}

impl Cidr {
    /// The loopback networks, 127.0.0.0/8 and ::1.
    pub const LOOPBACK: [Cidr; 2] = [
        Cidr { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 },
        Cidr { address: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 },
    ];

    /// The network of `bits` bits that `address` is in; an IPv4-mapped IPv6 address is IPv4.
    pub fn of(address: IpAddr, bits: u8) -> Cidr {
        let address = address.to_canonical();
        let bits = bits.min(width(address));
        let address = match address {
            IpAddr::V4(v4) => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0),
            )),
        };
        Cidr { address, bits }
    }

    /// Whether `address` is in it; an IPv4-mapped IPv6 address is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Cidr::of(address, self.bits) == *self
    }

    /// How many bits count.
    pub fn bits(&self) -> u8 {
        self.bits
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let all = width(address);
        let digits = |bits: &str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => all,
            Some(bits) if digits(bits) => bits.parse().ok().filter(|bits| *bits <= all).ok_or(CidrError::Bits(all))?,
            Some(_) => return Err(CidrError::Bits(all)),
        };
        let mapped = address.to_canonical() != address;
        let cidr = match bits.checked_sub(96) {
            Some(bits) if mapped => Cidr::of(address, bits),
            // Half of an IPv4-mapped prefix is no network that anyone means.
            None if mapped => return Err(CidrError::Bits(all)),
            _ => Cidr::of(address, bits),
        };
        if cidr.address == address.to_canonical() { Ok(cidr) } else { Err(CidrError::Host(cidr)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;

    use super::{Cidr, CidrError};

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_its_network_and_not_in_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("10.0.0.0/31", "::ffff:10.0.0.1", "::ffff:10.0.0.2"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
        ] {
            assert!(cidr(network).contains(inside.parse::<IpAddr>().unwrap()), "{inside} in {network}");
            assert!(!cidr(network).contains(outside.parse::<IpAddr>().unwrap()), "{outside} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_would_be_right() {
        for text in ["", "10", "10.0.0.0.0/8", "localhost", "10.0.0.0 /8", "[::1]"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Address), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/999"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Bits(32)), "{text}");
        }
        assert_eq!("10.0.0.1/8".parse::<Cidr>(), Err(CidrError::Host(cidr("10.0.0.0/8"))));
        assert_eq!("2001:db8::1/64".parse::<Cidr>(), Err(CidrError::Host(cidr("2001:db8::/64"))));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "0.0.0.0/0"] {
            assert_eq!(cidr(text).to_string(), text);
        }
    }
}
