//! ECDSA-NIST256P-CHALLENGE, as Atheme serves it: the client names its account, the server sends 32
//! bytes, and the client signs these, unhashed, with its key on the curve P-256.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};
use thiserror::Error;

/// The length of a challenge.
pub const CHALLENGE_BYTES: usize = 32;

/// A client's first response: its account, and whom it wants to act as (empty: the same). `None` where
/// it is not UTF-8 or names no account.
pub fn parse_account(response: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(response).ok()?;
    let (account, authzid) = text.split_once('\0').unwrap_or((text, ""));
    // Some clients end the second name with a NUL as well.
    let authzid = authzid.strip_suffix('\0').unwrap_or(authzid);
    (!account.is_empty() && !authzid.contains('\0')).then_some((account, authzid))
}

/// The public half of a client's key.
///
/// As text it is base64 of the compressed point (33 bytes, SEC 1), as `ecdsatool pubkey` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("that is no public key: it is base64 of a point on the curve P-256, 44 characters when compressed")]
pub struct NotAKey;

impl PublicKey {
    /// Whether `signature` (ASN.1 DER) is the key's over `challenge`.
    pub fn has_signed(&self, challenge: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature).is_ok_and(|signature| self.0.verify_prehash(challenge, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_sec1_point(true).as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<PublicKey, NotAKey> {
        let bytes = STANDARD.decode(text).map_err(|_| NotAKey)?;
        VerifyingKey::from_sec1_bytes(&bytes).map(PublicKey).map_err(|_| NotAKey)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use p256::ecdsa::signature::hazmat::PrehashSigner as _;
    use p256::ecdsa::{DerSignature, SigningKey};

    use super::{CHALLENGE_BYTES, PublicKey, parse_account};

    #[test]
    fn an_account_may_be_named_twice() {
        assert_eq!(parse_account(b"alice"), Some(("alice", "")));
        assert_eq!(parse_account(b"alice\0"), Some(("alice", "")));
        assert_eq!(parse_account(b"alice\0bob"), Some(("alice", "bob")));
        assert_eq!(parse_account(b"alice\0bob\0"), Some(("alice", "bob")));
        for bad in [&b""[..], b"\0alice", b"alice\0b\0b", b"\xff"] {
            assert_eq!(parse_account(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_the_keys_own_signature_over_the_challenge_is_right() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let public: PublicKey = PublicKey(*key.verifying_key());
        let challenge = [9; CHALLENGE_BYTES];
        let signature: DerSignature = key.sign_prehash(&challenge).unwrap();
        assert!(public.has_signed(&challenge, signature.as_bytes()));
        assert!(!public.has_signed(&[8; CHALLENGE_BYTES], signature.as_bytes()));
        assert!(!public.has_signed(&challenge, b""));
        assert!(!public.has_signed(&challenge, &signature.as_bytes()[..40]));
        let other = PublicKey(*SigningKey::from_slice(&[6; 32]).unwrap().verifying_key());
        assert!(!other.has_signed(&challenge, signature.as_bytes()));
    }

    #[test]
    fn a_key_is_read_compressed_or_not_and_written_compressed() {
        use base64::Engine as _;
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let text = PublicKey(*key.verifying_key()).to_string();
        assert_eq!(text.len(), 44);
        let whole = super::STANDARD.encode(key.verifying_key().to_sec1_point(false).as_bytes());
        for written in [&text, &whole] {
            assert_eq!(written.parse::<PublicKey>().unwrap().to_string(), text);
        }
        for bad in ["", "AAAA", "!", &text[4..]] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
