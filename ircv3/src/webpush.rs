//! WEBPUSH (<https://github.com/ircv3/ircv3-specifications/pull/471>): the keys of a subscription.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use p256::ecdsa::VerifyingKey;
use thiserror::Error;

use crate::tags::Tags;

/// Bytes of a public key: an uncompressed point on the curve P-256 (SEC 1).
pub const PUBLIC_BYTES: usize = 65;
/// Bytes of an authentication secret (RFC 8291, section 3.2).
pub const AUTH_BYTES: usize = 16;

/// The keys that a device takes messages under (RFC 8291, section 3).
///
/// As text they are as WEBPUSH REGISTER has them: `p256dh=…;auth=…` in base64url without padding. They are read
/// in either alphabet of base64, padded or not, as clients write them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// The device's public key, a point on the curve.
    pub p256dh: [u8; PUBLIC_BYTES],
    /// The secret that the device shares with whoever may write to it.
    pub auth: [u8; AUTH_BYTES],
}

/// Why a text has no keys of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeysFault {
    /// One of them is not there.
    #[error("the key {0} is missing; give p256dh=<public key>;auth=<secret>")]
    Missing(&'static str),
    /// One of them is not base64 of what it has to be.
    #[error("the key {0} is not base64 of {1} bytes")]
    NotBase64(&'static str, usize),
    /// The public key is nobody's.
    #[error("the key p256dh is no uncompressed point on the curve P-256")]
    NotOnCurve,
}

impl FromStr for Keys {
    type Err = KeysFault;

    fn from_str(text: &str) -> Result<Keys, KeysFault> {
        let tags = Tags::new(text);
        let p256dh: [u8; PUBLIC_BYTES] = bytes(tags, "p256dh")?;
        let auth = bytes(tags, "auth")?;
        // 4 says that both coordinates follow.
        if p256dh[0] != 4 || VerifyingKey::from_sec1_bytes(&p256dh).is_err() {
            return Err(KeysFault::NotOnCurve);
        }
        Ok(Keys { p256dh, auth })
    }
}

fn bytes<const N: usize>(tags: Tags<'_>, name: &'static str) -> Result<[u8; N], KeysFault> {
    let text = tags.get(name).filter(|text| !text.is_empty()).ok_or(KeysFault::Missing(name))?;
    // No text of either alphabet is read otherwise in the other.
    let text = text.replace('+', "-").replace('/', "_");
    let forgiving = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&alphabet::URL_SAFE, forgiving).decode(text.as_bytes());
    decoded.ok().and_then(|bytes| bytes.try_into().ok()).ok_or(KeysFault::NotBase64(name, N))
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p256dh={};auth={}", URL_SAFE_NO_PAD.encode(self.p256dh), URL_SAFE_NO_PAD.encode(self.auth))
    }
}

/// With the secret anyone could write to the device: no log shows it.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Keys, KeysFault};

    /// Those of RFC 8291, appendix A.
    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn keys_are_read_in_every_form_of_base64_and_written_in_one() {
        let canonical = format!("p256dh={P256DH};auth={AUTH}");
        let keys: Keys = canonical.parse().unwrap();
        assert_eq!(keys.to_string(), canonical);
        let standard = |text: &str| text.replace('-', "+").replace('_', "/");
        for form in [
            format!("p256dh={P256DH}=;auth={AUTH}=="),
            format!("auth={AUTH};p256dh={P256DH}"),
            format!("p256dh={};auth={}", standard(P256DH), standard(AUTH)),
            format!("p256dh={}=;auth={}==", standard(P256DH), standard(AUTH)),
            format!("later=x;p256dh={P256DH};auth={AUTH}"),
        ] {
            assert_eq!(form.parse::<Keys>(), Ok(keys), "{form}");
        }
    }

    #[test]
    fn what_is_no_key_is_named() {
        for (text, fault) in [
            (String::new(), KeysFault::Missing("p256dh")),
            (format!("auth={AUTH}"), KeysFault::Missing("p256dh")),
            (format!("p256dh={P256DH}"), KeysFault::Missing("auth")),
            (format!("p256dh={P256DH};auth="), KeysFault::Missing("auth")),
            (format!("p256dh={P256DH};auth=BTBZ"), KeysFault::NotBase64("auth", 16)),
            (format!("p256dh={P256DH};auth={AUTH}AAAA"), KeysFault::NotBase64("auth", 16)),
            (format!("p256dh=*{P256DH};auth={AUTH}"), KeysFault::NotBase64("p256dh", 65)),
            (format!("p256dh={};auth={AUTH}", P256DH.replace("iw4", "iw8")), KeysFault::NotOnCurve),
            (format!("p256dh=C{};auth={AUTH}", &P256DH[1..]), KeysFault::NotOnCurve),
        ] {
            assert_eq!(text.parse::<Keys>(), Err(fault), "{text}");
        }
    }
}
