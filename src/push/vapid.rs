//! Voluntary application server identification (RFC 8292): the key by which push services know the server, and the
//! tokens that it signs with it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use crate::limits::VAPID_TOKEN_SECONDS;

/// A key pair on the curve P-256.
pub struct VapidKey {
    /// Which of the server's keys it is.
    pub id: u32,
    public: String,
    signer: EncodingKey,
}

/// What a token says (RFC 8292, section 2).
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub: &'a str,
}

impl VapidKey {
    /// A new private key, as [`VapidKey::read`] takes it: PKCS #8 in base64.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<String, aws_lc_rs::error::Unspecified> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        Ok(STANDARD.encode(key.as_ref()))
    }

    /// The key that was kept so; `None` where it is none.
    pub fn read(id: u32, private: &str) -> Option<VapidKey> {
        let der = STANDARD.decode(private).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok()?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Some(VapidKey { id, public, signer: EncodingKey::from_ec_der(&der) })
    }

    /// The public key as the ISUPPORT token VAPID has it: base64url of an uncompressed point, 87 characters.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The value of `Authorization` for a push service, until [`VAPID_TOKEN_SECONDS`] after `now` (seconds since
    /// 1970). `audience` is its origin, `contact` whom its operator may write to.
    ///
    /// # Errors
    /// The key cannot sign, in words.
    pub fn authorization(&self, audience: &str, contact: &str, now: u64) -> Result<String, String> {
        let claims = Claims { aud: audience, exp: now + VAPID_TOKEN_SECONDS, sub: contact };
        let token = encode(&Header::new(Algorithm::ES256), &claims, &self.signer).map_err(|error| error.to_string())?;
        Ok(format!("vapid t={token}, k={}", self.public))
    }
}

/// Its private half is in no log.
impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VapidKey({}, {})", self.id, self.public)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use p256::ecdsa::signature::Verifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};

    use super::VapidKey;

    #[test]
    fn a_token_is_signed_by_the_key_beside_it_and_says_for_whom_and_until_when() {
        let private = VapidKey::generate().unwrap();
        let key = VapidKey::read(3, &private).unwrap();
        assert_eq!(key.public().len(), 87);
        assert_eq!(VapidKey::read(3, &private).unwrap().public(), key.public());
        let value = key.authorization("https://push.example.org", "mailto:a@example.org", 1000).unwrap();
        let (token, public) = value.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(public, key.public());
        let parts: Vec<&str> = token.split('.').collect();
        let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(text(parts[0]), r#"{"typ":"JWT","alg":"ES256"}"#);
        let claims = r#"{"aud":"https://push.example.org","exp":44200,"sub":"mailto:a@example.org"}"#;
        assert_eq!(text(parts[1]), claims);
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
        let public = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(public).unwrap()).unwrap();
        public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).unwrap();
        assert!(!format!("{key:?}").contains(&private[60..]));
        assert!(VapidKey::read(1, "bm9uZQ==").is_none() && VapidKey::read(1, "*").is_none());
    }
}
