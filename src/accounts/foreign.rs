//! Passwords as other servers and services packages keep them. `roost import` takes such a hash as it is; at the
//! first login it is compared, and then replaced by our own.
//!
//! In the store it stands where our own hash would: the word of its [`Family`], a colon, and the text of the other
//! database. Nothing of ours looks so, and a version that does not know it lets nobody in by it.

use std::fmt;

use argon2::Argon2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ircv3::sasl::scram::{Credential, prepare};
use md5::Md5;
use pbkdf2::pbkdf2_hmac;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::Sha3_512;
use subtle::ConstantTimeEq as _;

use crate::limits;

/// Whose way of writing a hash it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Ergo, for accounts of its own: bcrypt of the SHA3-512 of the password.
    Ergo,
    /// Anope: `method:hash`, some with a third part.
    Anope,
    /// Atheme: as crypt(3) has it, `$method$...`, and some older ones.
    Atheme,
}

impl Family {
    const ALL: [Family; 3] = [Family::Ergo, Family::Anope, Family::Atheme];

    fn word(self) -> &'static str {
        match self {
            Family::Ergo => "ergo",
            Family::Anope => "anope",
            Family::Atheme => "atheme",
        }
    }
}

/// A hash that a password can be compared with.
#[derive(Clone, PartialEq, Eq)]
pub struct Foreign {
    family: Family,
    text: Box<str>,
    method: Method,
}

/// What another database keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A hash.
    Hash(Foreign),
    /// The password itself.
    Plain(String),
}

#[derive(Clone, PartialEq, Eq)]
enum Method {
    /// bcrypt of the password, of which it takes 72 bytes.
    Bcrypt(String),
    /// bcrypt of the password's SHA3-512.
    Sha3Bcrypt(String),
    /// One hash of the password, without salt.
    Raw(Hash, Vec<u8>),
    /// SHA-256 that starts from another state.
    Sha256From([u32; 8], Vec<u8>),
    /// HMAC of the password, with a key beside it.
    Keyed { hash: Hash, key: Vec<u8>, mac: Vec<u8> },
    /// PBKDF2.
    Pbkdf2 { hash: Hash, rounds: u32, salt: Vec<u8>, key: Vec<u8> },
    /// What SCRAM keeps (RFC 5802); its ServerKey is compared.
    Scram { hash: Hash, rounds: u32, salt: Vec<u8>, stored: Vec<u8>, server: Vec<u8> },
    /// SHA-crypt, `$5$` and `$6$`.
    ShaCrypt(String),
    /// Argon2, with its parameters.
    Argon2(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Runs an expression with `$D` as the hash's type.
macro_rules! with_hash {
    ($hash:expr, $D:ident => $body:expr) => {
        match $hash {
            Hash::Md5 => {
                type $D = Md5;
                $body
            }
            Hash::Sha1 => {
                type $D = Sha1;
                $body
            }
            Hash::Sha224 => {
                type $D = Sha224;
                $body
            }
            Hash::Sha256 => {
                type $D = Sha256;
                $body
            }
            Hash::Sha384 => {
                type $D = Sha384;
                $body
            }
            Hash::Sha512 => {
                type $D = Sha512;
                $body
            }
        }
    };
}

impl Hash {
    fn by_name(name: &str) -> Option<Hash> {
        Some(match name {
            "md5" => Hash::Md5,
            "sha1" => Hash::Sha1,
            "sha224" => Hash::Sha224,
            "sha256" => Hash::Sha256,
            "sha384" => Hash::Sha384,
            "sha512" => Hash::Sha512,
            _ => return None,
        })
    }

    /// Bytes of what it gives.
    fn len(self) -> usize {
        with_hash!(self, D => <D as Digest>::output_size())
    }

    fn digest(self, text: &[u8]) -> Vec<u8> {
        with_hash!(self, D => D::digest(text).to_vec())
    }

    /// `None` never happens: HMAC takes keys of any length.
    fn hmac(self, key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        with_hash!(self, D => {
            let mut mac = Hmac::<D>::new_from_slice(key).ok()?;
            mac.update(text);
            Some(mac.finalize().into_bytes().to_vec())
        })
    }

    fn pbkdf2(self, password: &[u8], salt: &[u8], rounds: u32, len: usize) -> Vec<u8> {
        let mut key = vec![0; len];
        with_hash!(self, D => pbkdf2_hmac::<D>(password, salt, rounds, &mut key));
        key
    }
}

impl Foreign {
    /// The hash of an account of Ergo's own.
    ///
    /// # Errors
    /// Why it cannot be compared, in words.
    pub fn ergo(text: &str) -> Result<Kept, String> {
        let method = Method::Sha3Bcrypt(bcrypt_of(text)?);
        Foreign::kept(Family::Ergo, text, method)
    }

    /// What Anope keeps, `method:hash`.
    ///
    /// # Errors
    /// Why it cannot be compared, in words.
    pub fn anope(text: &str) -> Result<Kept, String> {
        let mut parts = text.split(':');
        let (name, first, second) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let first = first.ok_or("its password has no method before a colon")?;
        let broken = || format!("its password is none of the method {name:?}");
        let second = || second.ok_or_else(broken);
        let sized = |hash: Hash, text: &str| hex(text).filter(|hex| hex.len() == hash.len()).ok_or_else(broken);
        let method = match name {
            "plain" => {
                let plain = STANDARD.decode(first).ok().and_then(|plain| String::from_utf8(plain).ok());
                return Ok(Kept::Plain(plain.ok_or_else(broken)?));
            }
            "bcrypt" => Method::Bcrypt(bcrypt_of(first)?),
            "md5" => Method::Raw(Hash::Md5, sized(Hash::Md5, first)?),
            "sha1" => Method::Raw(Hash::Sha1, sized(Hash::Sha1, first)?),
            "sha256" => {
                let state = hex(second()?).filter(|state| state.len() == 32).ok_or_else(broken)?;
                let mut words = [0; 8];
                for (word, bytes) in words.iter_mut().zip(state.as_chunks().0) {
                    *word = u32::from_be_bytes(*bytes);
                }
                Method::Sha256From(words, sized(Hash::Sha256, first)?)
            }
            "posix" => sha_crypt_of(first)?,
            "argon2d" | "argon2i" | "argon2id" => argon2_of(first)?,
            _ => match (name.strip_prefix("hmac-"), name.strip_prefix("raw-")) {
                (Some(hash), _) if let Some(hash) = Hash::by_name(hash) => {
                    let key = hex(second()?).ok_or_else(broken)?;
                    Method::Keyed { hash, key, mac: sized(hash, first)? }
                }
                (_, Some(hash)) if let Some(hash) = Hash::by_name(hash) => Method::Raw(hash, sized(hash, first)?),
                _ => return Err(format!("its password is hashed by the method {name:?}, which is not known here")),
            },
        };
        Foreign::kept(Family::Anope, text, method)
    }

    /// What Atheme keeps. Where `hashed` is false, the database says that it is the password itself.
    ///
    /// # Errors
    /// Why it cannot be compared, in words.
    pub fn atheme(text: &str, hashed: bool) -> Result<Kept, String> {
        let broken = |what: &str| format!("its password is none of the method {what:?}");
        let raw = |hash: Hash, name: &str, text: &str| {
            let hex = hex(text).filter(|hex| hex.len() == hash.len()).ok_or_else(|| broken(name))?;
            Ok::<_, String>(Method::Raw(hash, hex))
        };
        let (name, rest) = match text.strip_prefix('$').and_then(|text| text.split_once('$')) {
            Some((name, rest)) if hashed => (name, rest),
            _ if !hashed => return Ok(Kept::Plain(text.to_owned())),
            // The first module for PBKDF2 wrote 16 characters of salt, and 64 bytes in hex behind them.
            _ if text.len() == 144 && text.is_ascii() => {
                let (salt, key) = text.split_at(16);
                let key = hex(key).ok_or_else(|| broken("pbkdf2"))?;
                let method = Method::Pbkdf2 { hash: Hash::Sha512, rounds: 128_000, salt: salt.into(), key };
                return Foreign::kept(Family::Atheme, text, method);
            }
            _ => return Err("its password is hashed by crypt(3) of DES or another method without a name".to_owned()),
        };
        let method = match name {
            "base64" => {
                let plain = STANDARD.decode(rest).ok().and_then(|plain| String::from_utf8(plain).ok());
                return Ok(Kept::Plain(plain.ok_or_else(|| broken("base64"))?));
            }
            "z" => pbkdf2v2(rest)?,
            "2a" | "2b" | "2y" | "2x" => Method::Bcrypt(bcrypt_of(text)?),
            "5" | "6" => sha_crypt_of(text)?,
            "argon2d" | "argon2i" | "argon2id" => argon2_of(text)?,
            "rawmd5" => raw(Hash::Md5, name, rest)?,
            "rawsha1" => raw(Hash::Sha1, name, rest)?,
            "rawsha256" => raw(Hash::Sha256, name, rest)?,
            "rawsha512" => raw(Hash::Sha512, name, rest)?,
            _ => return Err(format!("its password is hashed by the method {name:?}, which is not known here")),
        };
        Foreign::kept(Family::Atheme, text, method)
    }

    fn kept(family: Family, text: &str, method: Method) -> Result<Kept, String> {
        // What no method looks at may be anything, and not every database takes that.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its password is no hash: there are characters in it that none has".to_owned());
        }
        Ok(Kept::Hash(Foreign { family, text: text.into(), method }))
    }

    /// The hash that stands in the store; `None` where that is one of ours, or none.
    pub fn parse(text: &str) -> Option<Foreign> {
        let (word, text) = text.split_once(':')?;
        let family = Family::ALL.into_iter().find(|family| family.word() == word)?;
        let kept = match family {
            Family::Ergo => Foreign::ergo(text),
            Family::Anope => Foreign::anope(text),
            Family::Atheme => Foreign::atheme(text, true),
        };
        match kept {
            Ok(Kept::Hash(foreign)) => Some(foreign),
            _ => None,
        }
    }

    /// Whether this is the password. It takes as long as the method takes.
    pub fn fits(&self, password: &str) -> bool {
        // What was written by a server that makes alike what looks alike, and by one that does not.
        let prepared = prepare(password);
        self.fits_bytes(password.as_bytes()) || (prepared != password && self.fits_bytes(prepared.as_bytes()))
    }

    fn fits_bytes(&self, password: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| bool::from(a.ct_eq(b));
        match &self.method {
            Method::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Method::Sha3Bcrypt(hash) => bcrypt::verify(Sha3_512::digest(password), hash).unwrap_or(false),
            Method::Raw(hash, digest) => same(&hash.digest(password), digest),
            Method::Sha256From(state, digest) => same(&sha256_from(*state, password), digest),
            Method::Keyed { hash, key, mac } => hash.hmac(key, password).is_some_and(|own| same(&own, mac)),
            Method::Pbkdf2 { hash, rounds, salt, key } => same(&hash.pbkdf2(password, salt, *rounds, key.len()), key),
            Method::Scram { hash, rounds, salt, server, .. } => {
                let salted = hash.pbkdf2(password, salt, *rounds, hash.len());
                hash.hmac(&salted, b"Server Key").is_some_and(|own| same(&own, server))
            }
            Method::ShaCrypt(hash) => ShaCrypt::default().verify_password(password, hash.as_str()).is_ok(),
            Method::Argon2(hash) => Argon2::default().verify_password(password, hash.as_str()).is_ok(),
        }
    }

    /// What of it SCRAM can use as it is.
    pub fn scram(&self) -> Option<Credential> {
        let Method::Scram { hash, rounds, salt, stored, server } = &self.method else { return None };
        let mechanism = match hash {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
            _ => return None,
        };
        let [salt, stored, server] = [salt, stored, server].map(|bytes| STANDARD.encode(bytes));
        format!("{mechanism}${rounds}:{salt}${stored}:{server}").parse().ok()
    }
}

/// As it stands in the store.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family.word(), self.text)
    }
}

/// It is in no log.
impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Foreign({:?})", self.family)
    }
}

/// A hash of bcrypt that takes no longer than anyone waits.
fn bcrypt_of(text: &str) -> Result<String, String> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| "its password is no hash of bcrypt".to_owned())?;
    if parts.get_cost() > limits::FOREIGN_BCRYPT_COST {
        let most = limits::FOREIGN_BCRYPT_COST;
        return Err(format!(
            "its password is hashed by bcrypt at a cost of {}, and {most} is the most",
            parts.get_cost()
        ));
    }
    Ok(text.to_owned())
}

fn rounds_of(rounds: u32) -> Result<u32, String> {
    match rounds {
        0 => Err("its password is hashed in no rounds".to_owned()),
        rounds if rounds > limits::FOREIGN_ROUNDS => {
            Err(format!("its password is hashed in {rounds} rounds, and {} are the most", limits::FOREIGN_ROUNDS))
        }
        rounds => Ok(rounds),
    }
}

/// `$5$` and `$6$`.
fn sha_crypt_of(text: &str) -> Result<Method, String> {
    let parts: Vec<&str> = text.split('$').collect();
    let rounds = match parts.as_slice() {
        ["", "5" | "6", _, _] => None,
        ["", "5" | "6", rounds, _, _] => Some(*rounds),
        _ => return Err("its password is hashed by crypt(3), and by none of SHA-256 and SHA-512".to_owned()),
    };
    if let Some(rounds) = rounds {
        let rounds = rounds.strip_prefix("rounds=").and_then(|rounds| rounds.parse().ok());
        rounds_of(rounds.ok_or("its password has rounds that are no number")?)?;
    }
    Ok(Method::ShaCrypt(text.to_owned()))
}

fn argon2_of(text: &str) -> Result<Method, String> {
    let hash = argon2::PasswordHash::new(text).map_err(|_| "its password is no hash of Argon2".to_owned())?;
    let params = argon2::Params::try_from(&hash).map_err(|_| "its password is no hash of Argon2".to_owned())?;
    let kib = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > limits::FOREIGN_ARGON2_KIB || kib > 16 * u64::from(limits::FOREIGN_ARGON2_KIB) {
        return Err("its password is hashed by Argon2 with more memory or time than a login may take".to_owned());
    }
    Ok(Method::Argon2(text.to_owned()))
}

/// `hash$rounds$salt$digest` of Atheme, whose number for the hash says what the rest is, too: from 20 on the salt is
/// base64, from 40 on the digest is the two keys of SCRAM, and from 60 on both.
fn pbkdf2v2(text: &str) -> Result<Method, String> {
    let broken = || "its password is none of the method \"z\"".to_owned();
    let parts: Vec<&str> = text.split('$').collect();
    let [number, rounds, salt, rest @ ..] = parts.as_slice() else { return Err(broken()) };
    let number: u32 = number.parse().map_err(|_| broken())?;
    let hash = match number % 10 {
        3 => Hash::Md5,
        4 => Hash::Sha1,
        5 => Hash::Sha256,
        6 => Hash::Sha512,
        _ => return Err(broken()),
    };
    let (in_base64, scram) = match number / 10 {
        0 => (false, false),
        2 => (true, false),
        4 => (false, true),
        6 => (true, true),
        _ => return Err(broken()),
    };
    let rounds = rounds_of(rounds.parse().map_err(|_| broken())?)?;
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| broken());
    let salt = if in_base64 { decoded(salt)? } else { salt.as_bytes().to_vec() };
    let sized =
        |text: &str| decoded(text).and_then(|key| if key.len() == hash.len() { Ok(key) } else { Err(broken()) });
    match (scram, rest) {
        (false, [key]) => Ok(Method::Pbkdf2 { hash, rounds, salt, key: sized(key)? }),
        (true, [server, stored]) => {
            Ok(Method::Scram { hash, rounds, salt, stored: sized(stored)?, server: sized(server)? })
        }
        _ => Err(broken()),
    }
}

/// SHA-256 (FIPS 180-4, section 6.2) from another initial state.
fn sha256_from(mut state: [u32; 8], text: &[u8]) -> Vec<u8> {
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((8 * text.len() as u64).to_be_bytes());
    sha2::block_api::compress256(&mut state, padded.as_chunks().0);
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::sasl::scram::{Credential, Hash};
    use proptest::prelude::any;
    use proptest::proptest;
    use sha2::Digest as _;
    use sha3::Sha3_512;

    use super::{Foreign, Kept};
    use crate::limits;

    #[track_caller]
    fn hash(kept: Result<Kept, String>) -> Foreign {
        match kept.unwrap() {
            Kept::Hash(hash) => hash,
            Kept::Plain(plain) => panic!("{plain:?} is no hash"),
        }
    }

    /// All of `sesame`, made with Python's hashlib and openssl.
    const ANOPE: &[&str] = &[
        "md5:c8dae1c50e092f3d877192fc555b1dcf",
        "md5:C8DAE1C50E092F3D877192FC555B1DCF",
        "sha1:084a3501edef6845f2f1e4198ec3a2b81cf5c6bc",
        "raw-sha256:d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272",
        "hmac-sha256:1101c1a53dd1d022656a1c3e29e2da9e71752c9dd51d6ec7a0501f1cdbce4479:01026b6579",
        // From the state that FIPS 180-4 has SHA-256 begin in.
        "sha256:d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272:\
         6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19",
        "posix:$5$abcdefgh$4PbtPZdUc33o7LmNsM4HTsjYbIhyCeh4aCe.rEbHkq1",
    ];
    const ATHEME: &[&str] = &[
        "$z$26$4096$MDEyMzQ1Njc4OWFiY2RlZg==$A8KAQvGfNVSToazsniiRvD8K5J08Lj5ivD/tHG+cZath6UYcRu1Ga8KHfCBgXScjX3mPQhOcXb\
         J+FOksK4leBg==",
        "$z$5$4096$0123456789abcdef$xsSjjfpQ9JzOVx5jXXcP9jpJqj1A1kIg/AwUXw1XwNE=",
        SCRAM_256,
        "$5$abcdefgh$4PbtPZdUc33o7LmNsM4HTsjYbIhyCeh4aCe.rEbHkq1",
        "$6$abcdefgh$Bk2D4uYVcw0FbFPsWa0iJZ1DNfy8v6OjKcRcuBfMkWD1KdADPVnmQf5cr0O8HfAYpq1XrrjdgIRINkwgSKJ8/1",
        "$rawmd5$c8dae1c50e092f3d877192fc555b1dcf",
        "$rawsha1$084a3501edef6845f2f1e4198ec3a2b81cf5c6bc",
        "$rawsha256$d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272",
        "$rawsha512$bb947e9c96a5620c696bd175a1b28eea6337fa8ca6c3dd19efb65e2cb1a4dfee0256cc87c21589354f1a9f5887af5d23ce05\
         d72a143ae2f1efea9c455bf3d056",
        "0123456789abcdef379e50b00c9be7666c68bb8d910f47afc464ac496b0973acc878e123f40f65db154cc368ae21a618f3a9ccc429e0f2c\
         d37b6e444d4d6b2bc7d4979fd0f1d030f",
    ];
    const SCRAM_256: &str = "$z$65$4096$MDEyMzQ1Njc4OWFiY2RlZg==$VN7TGXR2mKZKoVdTp1SdRWBKnlXaYulCWS/O1xCfZeI=$hn4FUIkYt7\
                             Fy4b6A2QilBRpntUViQLMX9F3hmowbDlg=";

    #[test]
    fn every_method_fits_the_password_and_no_other_before_and_after_the_store() {
        let all = ANOPE.iter().map(|text| Foreign::anope(text));
        for kept in all.chain(ATHEME.iter().map(|text| Foreign::atheme(text, true))) {
            let hash = hash(kept);
            let stored = Foreign::parse(&hash.to_string()).unwrap();
            assert!(stored == hash);
            assert!(stored.fits("sesame"), "{}", hash.text);
            assert!(!stored.fits("Sesame") && !stored.fits(""), "{}", hash.text);
        }
    }

    #[test]
    fn bcrypt_fits_with_and_without_a_hash_before_it() {
        // A digest may have any bytes; this is the reason for a hash whose input is not text.
        let digest = Sha3_512::digest("sesame");
        let hashed = bcrypt::hash(digest, 4).unwrap();
        assert!(hash(Foreign::ergo(&hashed)).fits("sesame") && !hash(Foreign::ergo(&hashed)).fits("secret"));
        for plain in [bcrypt::hash("sesame", 4).unwrap(), bcrypt::hash("sesame", 4).unwrap().replace("$2b$", "$2a$")] {
            assert!(hash(Foreign::atheme(&plain, true)).fits("sesame"));
            let anope = hash(Foreign::anope(&format!("bcrypt:{plain}")));
            assert!(anope.fits("sesame") && !anope.fits("secret"));
        }
    }

    #[test]
    fn argon2_fits() {
        // The vector that Anope's module checks itself with.
        let text = "argon2d:$argon2d$v=19$m=10,t=10,p=1$VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw$\
                    hTvpprMF0TwszQ";
        let hash = hash(Foreign::anope(text));
        assert!(hash.fits("The quick brown fox jumps over the lazy dog") && !hash.fits("sesame"));
    }

    #[test]
    fn what_scram_keeps_is_taken_as_it_is() {
        let kept = hash(Foreign::atheme(SCRAM_256, true)).scram().unwrap();
        assert!(kept == Credential::derive(Hash::Sha256, "sesame", b"0123456789abcdef", 4096));
        assert!(hash(Foreign::atheme(ATHEME[0], true)).scram().is_none());
    }

    #[test]
    fn a_password_in_the_clear_is_known_as_such() {
        assert_eq!(Foreign::anope("plain:c2VzYW1l").unwrap(), Kept::Plain("sesame".into()));
        assert_eq!(Foreign::atheme("$base64$c2VzYW1l", true).unwrap(), Kept::Plain("sesame".into()));
        assert_eq!(Foreign::atheme("$5$really", false).unwrap(), Kept::Plain("$5$really".into()));
        // It never stands in the store.
        assert!(Foreign::parse("anope:plain:c2VzYW1l").is_none());
    }

    #[test]
    fn what_cannot_be_compared_or_takes_too_long_is_named() {
        let much = limits::FOREIGN_ROUNDS + 1;
        let slow = format!("bcrypt:{}", bcrypt::hash("sesame", 4).unwrap().replace("$04$", "$20$"));
        for (kept, part) in [
            (Foreign::anope("oldmd5:00"), "\"oldmd5\", which is not known"),
            (Foreign::anope("md5:00"), "none of the method \"md5\""),
            (Foreign::anope("sesame"), "no method"),
            (Foreign::anope("hmac-sha256:00"), "none of"),
            (Foreign::anope(&slow), "cost of 20"),
            (Foreign::anope("md5:c8dae1c50e092f3d877192fc555b1dcf:\0"), "characters"),
            (Foreign::ergo("sesame"), "no hash of bcrypt"),
            (Foreign::atheme("$1$abcdefgh$5XhrJpGu.bBXAZh4lT8oY/", true), "\"1\", which is not known"),
            (Foreign::atheme("aa1234567890.", true), "DES"),
            (Foreign::atheme("$z$26$0$eA==$eA==", true), "no rounds"),
            (Foreign::atheme(&format!("$z$26${much}$eA==$eA=="), true), "rounds, and"),
            (Foreign::atheme("$z$99$4096$eA==$eA==", true), "none of the method \"z\""),
            (Foreign::atheme("$z$65$4096$eA==$eA==", true), "none of the method \"z\""),
            (Foreign::atheme(&format!("$6$rounds={much}$abcdefgh$x"), true), "rounds, and"),
            (Foreign::atheme("$argon2id$v=19$m=4000000,t=3,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", true), "memory"),
        ] {
            let why = kept.err().unwrap_or_else(|| panic!("{part}"));
            assert!(why.contains(part), "{why}");
        }
        assert!(Foreign::parse("$2b$04$abc").is_none() && Foreign::parse("").is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9$:=,./-]{0,80}", password in any::<String>()) {
            for kept in [Foreign::anope(&text), Foreign::atheme(&text, true), Foreign::ergo(&text)] {
                if let Ok(Kept::Hash(hash)) = kept {
                    hash.fits(&password);
                }
            }
        }
    }
}
