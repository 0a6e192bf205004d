//! AUTHENTICATE's chunks, the table of mechanisms, and what each of them says
//! (<https://ircv3.net/specs/extensions/sasl-3.1>, <https://ircv3.net/specs/extensions/sasl-3.2>).

pub mod bearer;
pub mod ecdsa;
pub mod plain;
pub mod scram;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use self::plain::{Plain, parse_plain};
use self::scram::Hash;

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// A password (RFC 4616).
    Plain,
    /// What the connection proved already: a client certificate (RFC 4422, appendix A).
    External,
    /// Proof of a password that is never sent (RFC 5802, RFC 7677).
    Scram(Hash),
    /// As `Scram`, bound to the TLS connection, so that nobody in between can pass the proof on.
    ScramPlus(Hash),
    /// A signature over a challenge of 32 bytes.
    Ecdsa,
    /// A token (RFC 7628).
    OauthBearer,
    /// A token, in the form of IRCv3's draft.
    Ircv3Bearer,
    /// The code of a second factor, after one of the others
    /// (<https://github.com/ircv3/ircv3-specifications/pull/610>).
    Totp,
}

impl Mechanism {
    /// All mechanisms with their names, in the order in which they are listed.
    pub const ALL: &'static [(Mechanism, &'static str)] = &[
        (Mechanism::Plain, "PLAIN"),
        (Mechanism::External, "EXTERNAL"),
        (Mechanism::Scram(Hash::Sha256), "SCRAM-SHA-256"),
        (Mechanism::ScramPlus(Hash::Sha256), "SCRAM-SHA-256-PLUS"),
        (Mechanism::Scram(Hash::Sha512), "SCRAM-SHA-512"),
        (Mechanism::ScramPlus(Hash::Sha512), "SCRAM-SHA-512-PLUS"),
        (Mechanism::Ecdsa, "ECDSA-NIST256P-CHALLENGE"),
        (Mechanism::OauthBearer, "OAUTHBEARER"),
        (Mechanism::Ircv3Bearer, "IRCV3BEARER"),
        (Mechanism::Totp, "TOTP"),
    ];

    /// The mechanism of this name, in any case.
    pub fn by_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(mechanism, _)| *mechanism)
    }

    /// Whether its name is one that RFC 4422 (section 3.1) allows: of at most 20 characters.
    pub fn has_proper_name(self) -> bool {
        self.name().len() <= 20
    }

    /// Its name, as in IANA's registry where it is there.
    pub fn name(self) -> &'static str {
        Mechanism::ALL.iter().find(|(mechanism, _)| *mechanism == self).map_or("", |(_, name)| name)
    }
}

/// The names of `mechanisms` with commas between them, as 908 and the value of `sasl` have them.
/// 908 is for names that are proper ([`Mechanism::has_proper_name`]).
pub fn list(mechanisms: impl IntoIterator<Item = Mechanism>) -> String {
    let names: Vec<&str> = mechanisms.into_iter().map(Mechanism::name).collect();
    names.join(",")
}

/// The length of every chunk but the last, in bytes of base64.
pub const CHUNK_BYTES: usize = 400;

/// What one chunk led to. After anything but [`Outcome::More`] the assembler is empty again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response goes on with the next line.
    More,
    /// The whole response, decoded.
    Done(Vec<u8>),
    /// The client gave up with `*` (906).
    Aborted,
    /// One chunk is longer than [`CHUNK_BYTES`], or all of them than the limit (905).
    TooLong,
    /// The response is not base64 (904).
    BadBase64,
}

/// Puts a client's response together from its chunks.
#[derive(Clone)]
pub struct Assembler {
    gathered: String,
    limit: usize,
}

impl Assembler {
    /// An assembler of responses of at most `limit` bytes of base64.
    pub fn new(limit: usize) -> Assembler {
        Assembler { gathered: String::new(), limit }
    }

    /// Takes the parameter of one AUTHENTICATE.
    pub fn push(&mut self, chunk: &str) -> Outcome {
        let gathered = std::mem::take(&mut self.gathered);
        if chunk == "*" {
            return Outcome::Aborted;
        }
        let chunk = if chunk == "+" { "" } else { chunk };
        if chunk.len() > CHUNK_BYTES || gathered.len() + chunk.len() > self.limit {
            return Outcome::TooLong;
        }
        let whole = gathered + chunk;
        if chunk.len() == CHUNK_BYTES {
            self.gathered = whole;
            return Outcome::More;
        }
        STANDARD.decode(whole).map_or(Outcome::BadBase64, Outcome::Done)
    }

    /// Whether a response has begun and goes on.
    pub fn is_midway(&self) -> bool {
        !self.gathered.is_empty()
    }
}

// What a client authenticates with never reaches a log.
impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler").field("gathered", &self.gathered.len()).field("limit", &self.limit).finish()
    }
}

/// The parameters of the AUTHENTICATE lines that carry `data`: base64 in chunks of
/// [`CHUNK_BYTES`], and `+` where the last of them is full or there is none.
pub fn chunks(data: &[u8]) -> Vec<String> {
    let encoded = STANDARD.encode(data);
    let mut rest = encoded.as_str();
    let mut chunks = Vec::with_capacity(rest.len() / CHUNK_BYTES + 1);
    while rest.len() >= CHUNK_BYTES {
        let (chunk, after) = rest.split_at(CHUNK_BYTES);
        chunks.push(chunk.to_owned());
        rest = after;
    }
    chunks.push(if rest.is_empty() { "+".to_owned() } else { rest.to_owned() });
    chunks
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::scram::Hash;
    use super::{Assembler, Mechanism, Outcome, chunks, list};

    /// A PLAIN response whose base64 is `length` characters, a multiple of 4.
    fn plain(length: usize) -> Vec<u8> {
        let bytes = length / 4 * 3;
        let mut response = b"\0alice\0".to_vec();
        response.resize(bytes, b'p');
        response
    }

    #[test]
    fn c13_chunks_of_exactly_400_wait_for_the_next() {
        for length in [396, 400, 404, 800, 1200] {
            let response = plain(length);
            let encoded = STANDARD.encode(&response);
            assert_eq!(encoded.len(), length);
            let mut assembler = Assembler::new(8192);
            let mut outcome = Outcome::More;
            for chunk in encoded.as_bytes().chunks(400) {
                assert_eq!(outcome, Outcome::More);
                outcome = assembler.push(std::str::from_utf8(chunk).expect("base64 is ASCII"));
            }
            if length % 400 == 0 {
                assert_eq!(outcome, Outcome::More, "{length}");
                assert!(assembler.is_midway());
                outcome = assembler.push("+");
            }
            assert_eq!(outcome, Outcome::Done(response), "{length}");
            assert!(!assembler.is_midway());
        }
    }

    #[test]
    fn c13_a_chunk_of_401_is_too_long_and_a_retry_works() {
        let mut assembler = Assembler::new(8192);
        assert_eq!(assembler.push(&"A".repeat(400)), Outcome::More);
        assert_eq!(assembler.push(&"A".repeat(401)), Outcome::TooLong);
        assert_eq!(assembler.push("YQ=="), Outcome::Done(b"a".to_vec()));
    }

    #[test]
    fn c13_challenges_are_chunked_in_the_same_way() {
        assert_eq!(chunks(b""), ["+"]);
        assert_eq!(chunks(b"a"), ["YQ=="]);
        let lengths = |bytes: usize| chunks(&vec![0; bytes]).iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(lengths(297), [396]);
        assert_eq!(lengths(300), [400, 1]);
        assert_eq!(lengths(301), [400, 4]);
        assert_eq!(lengths(600), [400, 400, 1]);
    }

    #[test]
    fn c14_a_star_gives_up_whenever_it_comes() {
        let mut assembler = Assembler::new(8192);
        assert_eq!(assembler.push("*"), Outcome::Aborted);
        assert_eq!(assembler.push(&"A".repeat(400)), Outcome::More);
        assert_eq!(assembler.push("*"), Outcome::Aborted);
        assert_eq!(assembler.push("+"), Outcome::Done(Vec::new()));
    }

    #[test]
    fn c15_what_is_not_base64_fails_and_a_retry_works() {
        let mut assembler = Assembler::new(8192);
        for bad in ["!!!", "YQ", "YQ=", "Y Q=", "YR==", "*a", "é"] {
            assert_eq!(assembler.push(bad), Outcome::BadBase64, "{bad}");
        }
        assert_eq!(assembler.push("YQ=="), Outcome::Done(b"a".to_vec()));
    }

    #[test]
    fn c17_endless_chunks_come_to_an_end() {
        let mut assembler = Assembler::new(1000);
        let chunk = "A".repeat(400);
        assert_eq!(assembler.push(&chunk), Outcome::More);
        assert_eq!(assembler.push(&chunk), Outcome::More);
        assert_eq!(assembler.push(&chunk), Outcome::TooLong);
        assert!(!assembler.is_midway());
    }

    #[test]
    fn every_mechanism_is_found_by_its_name_in_any_case() {
        for (mechanism, name) in Mechanism::ALL {
            assert_eq!(Mechanism::by_name(&name.to_lowercase()), Some(*mechanism));
            assert_eq!(mechanism.name(), *name);
        }
        assert_eq!(Mechanism::by_name("DH-AES"), None);
        let improper = Mechanism::ALL.iter().filter(|(mechanism, _)| !mechanism.has_proper_name());
        assert_eq!(improper.map(|(_, name)| *name).collect::<Vec<_>>(), ["ECDSA-NIST256P-CHALLENGE"]);
        assert_eq!(list([Mechanism::Plain, Mechanism::Scram(Hash::Sha256)]), "PLAIN,SCRAM-SHA-256");
    }

    #[test]
    fn nothing_secret_is_debugged() {
        let mut assembler = Assembler::new(8192);
        assembler.push(&"c2VjcmV0".repeat(50));
        assert!(!format!("{assembler:?}").contains("c2Vj"));
    }
}
