//! Codes of authenticators: TOTP (RFC 6238) with SHA-1, six digits and 30 seconds, which is what every
//! authenticator knows; and the key from which the secrets of all accounts are derived.
//!
//! The key is in a file beside the database and the database has only what it is used with, so that neither
//! alone tells a secret. Where it is lost, recovery codes still log in.

use std::io::Write as _;
use std::path::Path;
use std::{fs, io};

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// Seconds for which one code stands.
pub const STEP_SECONDS: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// Bytes of a secret, as RFC 4226 recommends (section 4, R6).
pub const SECRET_BYTES: usize = 20;

/// The name of the key's file.
const KEY_FILE: &str = "second-factor.key";

/// The key that is kept in `dir`; where there is none yet, one is made.
///
/// # Errors
/// The file cannot be read or written, or is not one of 64 digits of hex.
pub fn ensure_key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join(KEY_FILE);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
            bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
                let problem = "it is no key of 64 digits of hex; put the file of a backup there. Without one, remove it: \
                               authenticators are added anew then, and recovery codes log in";
                named(io::Error::new(io::ErrorKind::InvalidData, problem))
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = rand::random::<[u8; 32]>();
            write(dir, &path, &format!("{}\n", data_encoding::HEXLOWER.encode(&key))).map_err(named)?;
            Ok(key)
        }
        Err(error) => Err(named(error)),
    }
}

/// Under its name the file is whole, and readable by its owner alone.
fn write(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(dir)?.sync_all()
}

/// The secret of the authenticator of an account with this seed.
pub fn secret(key: &[u8; 32], account: u64, seed: &[u8; 16]) -> [u8; SECRET_BYTES] {
    let mut bytes = [0; SECRET_BYTES];
    if let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) {
        let derived = mac.chain_update(b"totp").chain_update(account.to_be_bytes()).chain_update(seed).finalize();
        bytes.copy_from_slice(&derived.into_bytes()[..SECRET_BYTES]);
    }
    bytes
}

/// The code of a step of time.
pub fn code(secret: &[u8], step: u64) -> String {
    // A key may have any length, so that there always is a code.
    let Ok(mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    let digest = mac.chain_update(step.to_be_bytes()).finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes([digest[at] & 0x7f, digest[at + 1], digest[at + 2], digest[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// The step of time whose code this is, at a moment in milliseconds since 1970, in a time that tells nothing: the
/// present one, the one before it or the one after it, and none up to `last`.
pub fn step(secret: &[u8], given: &str, unix_ms: u64, last: u64) -> Option<u64> {
    let now = unix_ms / 1000 / STEP_SECONDS;
    // What was used in the future was used while the clock was wrong.
    let last = if last > now + 1 { 0 } else { last };
    let mut found = 0;
    for step in now.saturating_sub(1)..=now + 1 {
        let right = code(secret, step).as_bytes().ct_eq(given.as_bytes());
        found = u64::conditional_select(&found, &step, right);
    }
    (found > last).then_some(found)
}

/// A secret as people type it into an authenticator.
pub fn base32(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// What an authenticator reads from a QR code.
pub fn uri(secret: &[u8], issuer: &str, account: &str) -> String {
    let issuer = utf8_percent_encode(issuer, NON_ALPHANUMERIC).to_string();
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    let secret = base32(secret);
    if issuer.is_empty() {
        return format!("otpauth://totp/{account}?secret={secret}");
    }
    format!("otpauth://totp/{account}?secret={secret}&issuer={issuer}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{base32, code, ensure_key, secret, step, uri};

    const RFC: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six of its eight digits.
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(RFC, seconds / 30), expected, "{seconds}");
        }
    }

    #[test]
    fn a_code_stands_for_its_step_and_its_neighbours_and_is_used_once() {
        let now = 1_111_111_109_000;
        let this: u64 = 1_111_111_109 / 30;
        for (at, found) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let given = code(RFC, this.checked_add_signed(at).unwrap());
            assert_eq!(step(RFC, &given, now, 0).is_some(), found, "{at}");
        }
        assert_eq!(step(RFC, &code(RFC, this), now, this - 1), Some(this));
        assert_eq!(step(RFC, &code(RFC, this), now, this), None);
        assert_eq!(step(RFC, &code(RFC, this - 1), now, this), None);
        assert_eq!(step(RFC, &code(RFC, this + 1), now, this), Some(this + 1));
        for wrong in ["", "000000", "81804", "0081804", " 081804"] {
            assert_eq!(step(RFC, wrong, now, 0), None, "{wrong}");
        }
        // A clock that was a year ahead does not lock anyone out.
        assert_eq!(step(RFC, &code(RFC, this), now, this + 1_000_000), Some(this));
    }

    #[test]
    fn an_authenticator_is_told_what_it_needs() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(uri(b"hello", "A & B", "\u{e4}"), "otpauth://totp/%C3%A4?secret=NBSWY3DP&issuer=A%20%26%20B");
    }

    #[test]
    fn the_key_is_made_once_and_secrets_differ_by_key_account_and_seed() {
        let dir = tempfile::tempdir().unwrap();
        let key = ensure_key(dir.path()).unwrap();
        assert_eq!(ensure_key(dir.path()).unwrap(), key);
        assert_ne!(key, [0; 32]);
        let first = secret(&key, 1, &[0; 16]);
        assert_ne!(first, secret(&key, 2, &[0; 16]));
        assert_ne!(first, secret(&key, 1, &[1; 16]));
        assert_ne!(first, secret(&[0; 32], 1, &[0; 16]));
        std::fs::write(dir.path().join("second-factor.key"), "nonsense").unwrap();
        let error = ensure_key(dir.path()).unwrap_err().to_string();
        assert!(error.contains("second-factor.key") && error.contains("64 digits"), "{error}");
    }
}
