//! Cloaks: what is shown in place of an address, so that nobody but operators learns it.
//!
//! A cloak is a keyed hash of a whole network (an IPv4 address, or an IPv6 /64, unless the settings say
//! otherwise): it stays the same, two networks that lie side by side have nothing in common, and nothing of
//! the address can be asked for bit by bit. Channel bans, SILENCE and masks of WHO see the cloak alone.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of the hash that are shown: 80 bits are 16 letters, and enough that no two networks meet.
const SHOWN_BYTES: usize = 10;
/// The letters of a cloak: no two look alike (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of a cloak before its suffix.
pub const LETTERS_SHOWN: usize = SHOWN_BYTES * 8 / 5;

/// How cloaks are made.
#[derive(Clone, PartialEq, Eq)]
pub struct Cloak {
    /// What they are keyed with; `None` takes the database's secret.
    pub key: Option<Box<str>>,
    /// What stands after the dot.
    pub suffix: Box<str>,
    /// Bits of an IPv4 address that count.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 address that count.
    pub ipv6_bits: u8,
    /// Whether users may take it off (`MODE -x`).
    pub optional: bool,
}

// The key tells whoever has it everyone's address.
impl std::fmt::Debug for Cloak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloak").field("suffix", &self.suffix).field("optional", &self.optional).finish_non_exhaustive()
    }
}

impl Default for Cloak {
    fn default() -> Cloak {
        Cloak { key: None, suffix: "cloak".into(), ipv4_bits: 32, ipv6_bits: 64, optional: false }
    }
}

impl Cloak {
    /// The cloak of an address.
    pub fn of(&self, secret: &[u8; 32], address: IpAddr) -> String {
        let mut network = Vec::with_capacity(17);
        match address.to_canonical() {
            IpAddr::V4(ip) => {
                let kept = u32::MAX.checked_shl(u32::from(32 - self.ipv4_bits.min(32))).unwrap_or(0);
                network.push(4);
                network.extend((ip.to_bits() & kept).to_be_bytes());
            }
            IpAddr::V6(ip) => {
                let kept = u128::MAX.checked_shl(u32::from(128 - self.ipv6_bits.min(128))).unwrap_or(0);
                network.push(6);
                network.extend((ip.to_bits() & kept).to_be_bytes());
            }
        }
        // The database's secret is for more than this.
        let hash = match &self.key {
            Some(key) => keyed(key.as_bytes(), &network),
            None => keyed(&keyed(secret, b"cloak"), &network),
        };
        let mut cloak = String::with_capacity(LETTERS_SHOWN + 1 + self.suffix.len());
        for five in hash[..SHOWN_BYTES].chunks(5) {
            let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            cloak.extend((0..8).rev().map(|place| char::from(LETTERS[(bits >> (5 * place) & 31) as usize])));
        }
        cloak.push('.');
        cloak.push_str(&self.suffix);
        cloak
    }
}

/// HMAC-SHA-256 (RFC 2104).
fn keyed(key: &[u8], data: &[u8]) -> [u8; 32] {
    // It takes keys of any length, so that none is ever refused.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(data).finalize().into_bytes().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Cloak, LETTERS_SHOWN, keyed};

    const SECRET: [u8; 32] = [7; 32];

    fn cloak(address: &str) -> String {
        Cloak::default().of(&SECRET, address.parse().unwrap())
    }

    #[test]
    fn the_hash_is_that_of_rfc_4231() {
        let hash = keyed(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hash[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn c60_a_cloak_stays_for_an_address_or_a_64_and_has_nothing_of_its_neighbours() {
        let one = cloak("192.0.2.1");
        assert_eq!(one.len(), LETTERS_SHOWN + ".cloak".len());
        assert!(one.ends_with(".cloak") && one == cloak("192.0.2.1") && one == cloak("::ffff:192.0.2.1"));
        let other = cloak("192.0.2.2");
        let alike = one.bytes().zip(other.bytes()).take(LETTERS_SHOWN).filter(|(a, b)| a == b).count();
        assert!(alike < 6, "{one} {other}");
        assert_eq!(cloak("2001:db8::1"), cloak("2001:db8::ffff:1:2"));
        assert_ne!(cloak("2001:db8::1"), cloak("2001:db8:0:1::1"));
        assert_ne!(cloak("0.0.0.0"), cloak("::"));
    }

    #[test]
    fn key_and_bits_are_the_settings() {
        let address = "192.0.2.1".parse().unwrap();
        let of = |cloak: &Cloak, secret| cloak.of(secret, address);
        let plain = Cloak::default();
        assert_ne!(of(&plain, &SECRET), of(&plain, &[8; 32]));
        let keyed = Cloak { key: Some("a long key".into()), ..Cloak::default() };
        assert_eq!(of(&keyed, &SECRET), of(&keyed, &[8; 32]));
        assert_ne!(of(&keyed, &SECRET), of(&plain, &SECRET));
        let wide = Cloak { ipv4_bits: 24, ipv6_bits: 0, ..Cloak::default() };
        assert_eq!(wide.of(&SECRET, "192.0.2.200".parse().unwrap()), of(&wide, &SECRET));
        assert_eq!(wide.of(&SECRET, "::2".parse().unwrap()), wide.of(&SECRET, "2001:db8::1".parse().unwrap()));
    }
}
