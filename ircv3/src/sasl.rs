//! AUTHENTICATE's chunks, and the PLAIN mechanism
//! (<https://ircv3.net/specs/extensions/sasl-3.1>, RFC 4616).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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

/// A PLAIN response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom the client wants to act as; empty: the same as `authcid`.
    pub authzid: &'a str,
    /// Whose password it is; never empty.
    pub authcid: &'a str,
    /// The password; never empty.
    pub password: &'a str,
}

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("authzid", &self.authzid).field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

/// Takes a PLAIN response apart: three parts of UTF-8 with a NUL between them, so that no part has
/// a NUL. `None` where it is anything else, or has no `authcid` or no password.
pub fn parse_plain(response: &[u8]) -> Option<Plain<'_>> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && !authcid.is_empty() && !password.is_empty()).then_some(Plain {
        authzid,
        authcid,
        password,
    })
}
