//! The server's half of SCRAM (RFC 5802) with SHA-256 (RFC 7677) and SHA-512, and its channel
//! bindings (RFC 5929, RFC 9266). Nothing here chooses at random: nonces and salts are handed in.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::sasl::Mechanism;

/// The fewest iterations that RFC 7677 allows.
pub const LEAST_ITERATIONS: u32 = 4096;
/// The longest nonce that is taken from a client.
const NONCE_BYTES: usize = 256;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl Hash {
    /// Both.
    pub const ALL: [Hash; 2] = [Hash::Sha256, Hash::Sha512];

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(data).to_vec(),
            Hash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        // HMAC takes keys of any length, so that neither of these is ever refused.
        match self {
            Hash::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
            Hash::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Hash::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Hash::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }
}

/// A password as it is compared: SASLprep (RFC 4013) makes alike what looks alike. What SASLprep does
/// not take is as it was typed.
pub fn prepare(password: &str) -> std::borrow::Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(std::borrow::Cow::Borrowed(password))
}

/// What a server keeps of a password. It proves a client's knowledge of it, and does not tell it.
///
/// As text it is as in RFC 5803: `SCRAM-SHA-256$iterations:salt$stored-key:server-key`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Which hash it is for.
    pub hash: Hash,
    /// The salt.
    pub salt: Box<[u8]>,
    /// How often the password was hashed.
    pub iterations: u32,
    stored_key: Box<[u8]>,
    server_key: Box<[u8]>,
}

impl Credential {
    /// The credential of `password`.
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Credential {
        let salted = hash.stretch(prepare(password).as_bytes(), salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        Credential {
            hash,
            salt: salt.into(),
            iterations,
            stored_key: hash.digest(&client_key).into(),
            server_key: hash.hmac(&salted, b"Server Key").into(),
        }
    }

    /// A credential for somebody who has none: no password fits it, and who asks twice gets the same
    /// salt twice, so that asking does not tell who has one.
    pub fn fake(hash: Hash, secret: &[u8], user: &str, iterations: u32) -> Credential {
        let derived = |what: &str| hash.hmac(secret, format!("{what}\0{user}").as_bytes());
        let mut salt = derived("salt");
        salt.truncate(SALT_BYTES);
        Credential {
            hash,
            salt: salt.into(),
            iterations,
            stored_key: derived("stored key").into(),
            server_key: derived("server key").into(),
        }
    }
}

/// The length of a salt.
pub const SALT_BYTES: usize = 16;

// A stored key is enough to try passwords with.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credential { hash, iterations, .. } = self;
        f.debug_struct("Credential").field("hash", hash).field("iterations", iterations).finish_non_exhaustive()
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{}${}:{salt}${stored}:{server}", Mechanism::Scram(self.hash).name(), self.iterations)
    }
}

impl FromStr for Credential {
    type Err = ScramError;

    fn from_str(text: &str) -> Result<Credential, ScramError> {
        let parsed = || {
            let (mechanism, rest) = text.split_once('$')?;
            let Mechanism::Scram(hash) = Mechanism::by_name(mechanism)? else { return None };
            let (cost, keys) = rest.split_once('$')?;
            let (iterations, salt) = cost.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let bytes = |text: &str| STANDARD.decode(text).ok().map(Vec::into_boxed_slice);
            Some(Credential {
                hash,
                salt: bytes(salt)?,
                iterations: iterations.parse().ok()?,
                stored_key: bytes(stored)?,
                server_key: bytes(server)?,
            })
        };
        parsed().ok_or(ScramError::Malformed("that is no credential as in RFC 5803"))
    }
}

/// What one TLS connection can be told by. Without TLS there is neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): 32 bytes of keying material.
    pub exporter: Option<Box<[u8]>>,
    /// `tls-server-end-point` (RFC 5929): the hash of the server's certificate.
    pub end_point: Option<Box<[u8]>>,
}

impl ChannelBindings {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.exporter.is_some() || self.end_point.is_some()
    }

    fn data(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.end_point.as_deref(),
            _ => None,
        }
    }
}

/// Why an exchange ends without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message that is none of SCRAM's.
    #[error("{0}")]
    Malformed(&'static str),
    /// The client and the server do not see the same connection, or could have bound themselves to it
    /// and somebody kept them from it.
    #[error("{0}")]
    Binding(&'static str),
    /// The proof is wrong.
    #[error("the account or the password is wrong")]
    Proof,
}

/// A client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// Whom the client wants to act as; empty: the same as `user`.
    pub authzid: String,
    /// Whose password it is.
    pub user: String,
    flag: Flag,
    nonce: String,
    /// Up to and with the second comma.
    header: String,
    /// After that.
    bare: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Flag {
    /// `n`: the client cannot bind itself to the connection.
    Unable,
    /// `y`: it could, and believes that the server cannot.
    NotOffered,
    /// `p=`: it does, in this way.
    Bound(String),
}

impl ClientFirst {
    /// Parses the message.
    ///
    /// # Errors
    /// It is none, or asks for an extension that must be known.
    pub fn parse(message: &[u8]) -> Result<ClientFirst, ScramError> {
        const SHAPE: ScramError = ScramError::Malformed("a first message is n,,n=account,r=nonce");
        let text = std::str::from_utf8(message).map_err(|_| SHAPE)?;
        let (flag, rest) = text.split_once(',').ok_or(SHAPE)?;
        let (authzid, bare) = rest.split_once(',').ok_or(SHAPE)?;
        let flag = match flag {
            "n" => Flag::Unable,
            "y" => Flag::NotOffered,
            _ => Flag::Bound(flag.strip_prefix("p=").filter(|kind| !kind.is_empty()).ok_or(SHAPE)?.to_owned()),
        };
        let authzid = match authzid {
            "" => String::new(),
            _ => unescape(authzid.strip_prefix("a=").ok_or(SHAPE)?).ok_or(SHAPE)?,
        };
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|user| user.strip_prefix("n=")).ok_or(SHAPE)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(SHAPE)?;
        let user = unescape(user).filter(|user| !user.is_empty() && !user.contains('\0')).ok_or(SHAPE)?;
        let printable = |byte: u8| matches!(byte, 0x21..=0x7e);
        if nonce.is_empty() || nonce.len() > NONCE_BYTES || !nonce.bytes().all(printable) {
            return Err(ScramError::Malformed("a nonce is printable ASCII without a comma"));
        }
        Ok(ClientFirst {
            authzid,
            user,
            flag,
            nonce: nonce.to_owned(),
            header: text[..text.len() - bare.len()].to_owned(),
            bare: bare.to_owned(),
        })
    }

    /// What the client binds itself to, which must be of this connection and what `plus` asks for.
    /// `here` is what the connection can be told by, and empty where the `PLUS` mechanism is not offered.
    fn binding(&self, plus: bool, here: &ChannelBindings) -> Result<Box<[u8]>, ScramError> {
        match (&self.flag, plus) {
            (Flag::Bound(kind), true) => here.data(kind).map(Box::from).ok_or(ScramError::Binding(
                "this connection has no channel binding of that name; tls-exporter and tls-server-end-point are known",
            )),
            (Flag::Bound(_), false) => {
                Err(ScramError::Binding("a channel binding takes the mechanism with -PLUS in its name"))
            }
            (_, true) => Err(ScramError::Binding("a mechanism with -PLUS in its name takes a channel binding")),
            // Whoever took -PLUS off the list that the client saw would hear the proof.
            (Flag::NotOffered, false) if here.is_some() => Err(ScramError::Binding(
                "a mechanism with -PLUS in its name is offered here; did somebody change the list?",
            )),
            (Flag::NotOffered | Flag::Unable, false) => Ok(Box::default()),
        }
    }
}

/// An exchange for which the client's final message is due.
#[derive(Clone)]
pub struct Exchange {
    credential: Credential,
    /// All of the nonce.
    nonce: String,
    /// What `c=` must be.
    bound: Vec<u8>,
    /// The two first messages with a comma after each, which the proof is over.
    signed: String,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Begins an exchange with a client that sent `first`, and answers with the server's first message.
    ///
    /// `plus` says whether the mechanism is one with `-PLUS`, `here` what the connection can be told by,
    /// and `nonce` is what the server adds to the client's: printable ASCII without a comma, never used
    /// before and not to be guessed.
    ///
    /// # Errors
    /// The channel binding is wrong.
    pub fn new(
        first: &ClientFirst,
        plus: bool,
        here: &ChannelBindings,
        credential: Credential,
        nonce: &str,
    ) -> Result<(Exchange, String), ScramError> {
        let mut bound = first.header.clone().into_bytes();
        bound.extend_from_slice(&first.binding(plus, here)?);
        let nonce = format!("{}{nonce}", first.nonce);
        let salt = STANDARD.encode(&credential.salt);
        let answer = format!("r={nonce},s={salt},i={}", credential.iterations);
        let signed = format!("{},{answer},", first.bare);
        Ok((Exchange { credential, nonce, bound, signed }, answer))
    }

    /// Checks the client's final message and answers with the server's, which proves that the server
    /// knows the password's credential.
    ///
    /// # Errors
    /// The message is none, is for another exchange or another connection, or its proof is wrong.
    pub fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        const SHAPE: ScramError = ScramError::Malformed("a final message is c=binding,r=nonce,p=proof");
        let text = std::str::from_utf8(message).map_err(|_| SHAPE)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SHAPE)?;
        let proof = STANDARD.decode(proof).map_err(|_| SHAPE)?;
        let mut attributes = without_proof.split(',');
        let bound = attributes.next().and_then(|bound| bound.strip_prefix("c=")).ok_or(SHAPE)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(SHAPE)?;
        let bound = STANDARD.decode(bound).map_err(|_| SHAPE)?;
        if nonce != self.nonce {
            return Err(ScramError::Malformed("that is not the nonce of this exchange"));
        }
        if !bool::from(bound.ct_eq(&self.bound)) {
            return Err(ScramError::Binding("the channel binding is not that of this connection"));
        }
        let Credential { hash, stored_key, server_key, .. } = &self.credential;
        let signed = self.signed + without_proof;
        let mut client_key = hash.hmac(stored_key, signed.as_bytes());
        if proof.len() != client_key.len() {
            return Err(SHAPE);
        }
        for (key, proof) in client_key.iter_mut().zip(proof) {
            *key ^= proof;
        }
        if !bool::from(hash.digest(&client_key).ct_eq(stored_key)) {
            return Err(ScramError::Proof);
        }
        Ok(format!("v={}", STANDARD.encode(hash.hmac(server_key, signed.as_bytes()))))
    }
}

/// A nonce or challenge of the server's: from `secret` and a text that is never used twice, so that
/// nobody without the secret can guess it. 32 bytes.
pub fn nonce(secret: &[u8], unique: &str) -> Vec<u8> {
    Hash::Sha256.hmac(secret, format!("nonce\0{unique}").as_bytes())
}

/// [`nonce`] as text that SCRAM takes.
pub fn nonce_text(secret: &[u8], unique: &str) -> String {
    STANDARD.encode(nonce(secret, unique))
}

/// A name with its `=2C` and `=3D` as `,` and `=`; `None` where an `=` is anything else.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        text.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{ChannelBindings, ClientFirst, Credential, Exchange, Hash, ScramError, nonce_text, unescape};

    /// What the client sends last: RFC 5802, section 3, by itself and not by what is tested.
    fn client_final(hash: Hash, password: &str, bare: &str, server_first: &str, binding: &[u8]) -> String {
        let mut parts = server_first.split(',').map(|part| &part[2..]);
        let (nonce, salt, iterations) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let salted = hash.stretch(password.as_bytes(), &STANDARD.decode(salt).unwrap(), iterations.parse().unwrap());
        let client_key = hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(binding));
        let signed = format!("{bare},{server_first},{without_proof}");
        let signature = hash.hmac(&hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }

    fn bindings() -> ChannelBindings {
        ChannelBindings { exporter: Some([1; 32].into()), end_point: Some([2; 32].into()) }
    }

    #[test]
    fn the_exchange_of_rfc_7677_succeeds() {
        // Section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credential = Credential::derive(Hash::Sha256, "pencil", &salt, 4096);
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((first.user.as_str(), first.authzid.as_str()), ("user", ""));
        let (exchange, answer) =
            Exchange::new(&first, false, &ChannelBindings::default(), credential, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
                .unwrap();
        assert_eq!(answer, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(exchange.finish(last).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn sha_512_succeeds_too() {
        let credential = Credential::derive(Hash::Sha512, "pencil", b"0123456789abcdef", 4096);
        let first = ClientFirst::parse(b"n,,n=user,r=abc").unwrap();
        let (exchange, answer) = Exchange::new(&first, false, &ChannelBindings::default(), credential, "def").unwrap();
        let last = client_final(Hash::Sha512, "pencil", "n=user,r=abc", &answer, b"n,,");
        assert!(exchange.finish(last.as_bytes()).unwrap().starts_with("v="));
    }

    #[test]
    fn a_wrong_password_and_a_faked_credential_fail_in_the_same_way() {
        let real = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 4096);
        let faked = Credential::fake(Hash::Sha256, b"secret", "nobody", 4096);
        assert_eq!(faked.salt.len(), real.salt.len());
        for credential in [real, faked] {
            let first = ClientFirst::parse(b"n,,n=user,r=abc").unwrap();
            let (exchange, answer) =
                Exchange::new(&first, false, &ChannelBindings::default(), credential, "def").unwrap();
            let last = client_final(Hash::Sha256, "pencil2", "n=user,r=abc", &answer, b"n,,");
            assert_eq!(exchange.finish(last.as_bytes()), Err(ScramError::Proof));
        }
    }

    #[test]
    fn a_faked_salt_stays_and_is_another_for_each_name_hash_and_secret() {
        let salt = |hash, secret: &[u8], user| Credential::fake(hash, secret, user, 4096).salt;
        let faked = salt(Hash::Sha256, b"s", "nobody");
        assert_eq!(faked, salt(Hash::Sha256, b"s", "nobody"));
        assert_ne!(faked, salt(Hash::Sha256, b"s", "nobody2"));
        assert_ne!(faked, salt(Hash::Sha256, b"t", "nobody"));
        assert_ne!(faked, salt(Hash::Sha512, b"s", "nobody"));
    }

    #[test]
    fn a_client_that_binds_itself_must_see_the_same_connection() {
        let credential = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 4096);
        let attempt = |kind: &str, seen: &[u8]| {
            let header = format!("p={kind},,");
            let first = ClientFirst::parse(format!("{header}n=user,r=abc").as_bytes()).unwrap();
            let (exchange, answer) = Exchange::new(&first, true, &bindings(), credential.clone(), "def")?;
            let binding = [header.as_bytes(), seen].concat();
            exchange.finish(client_final(Hash::Sha256, "pencil", "n=user,r=abc", &answer, &binding).as_bytes())
        };
        assert!(attempt("tls-exporter", &[1; 32]).is_ok());
        assert!(attempt("tls-server-end-point", &[2; 32]).is_ok());
        assert!(matches!(attempt("tls-exporter", &[2; 32]), Err(ScramError::Binding(_))));
        assert!(matches!(attempt("tls-exporter", b""), Err(ScramError::Binding(_))));
        assert!(matches!(attempt("tls-unique", &[1; 32]), Err(ScramError::Binding(_))));
    }

    #[test]
    fn the_flag_must_fit_the_mechanism_and_what_is_offered() {
        let credential = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 4096);
        let begins = |header: &str, plus, here: &ChannelBindings| {
            let first = ClientFirst::parse(format!("{header}n=user,r=abc").as_bytes()).unwrap();
            Exchange::new(&first, plus, here, credential.clone(), "def").is_ok()
        };
        let none = ChannelBindings::default();
        assert!(begins("n,,", false, &none) && begins("n,,", false, &bindings()));
        assert!(begins("y,,", false, &none));
        // Somebody in between has taken -PLUS off the list.
        assert!(!begins("y,,", false, &bindings()));
        assert!(!begins("p=tls-exporter,,", false, &bindings()));
        assert!(!begins("n,,", true, &bindings()) && !begins("y,,", true, &bindings()));
        assert!(!begins("p=tls-exporter,,", true, &none));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,r=abc",
            "n,,n=,r=abc",
            "n,,n=user,r=",
            "n,,m=x,n=user,r=abc",
            "p=,,n=u,r=a",
            "x,,n=user,r=abc",
            "n,b=c,n=user,r=abc",
            "n,,n=us=er,r=abc",
            "n,,n=user=2,r=abc",
            "n,,n=user,r=a\u{e9}",
            "n,,n=us\0er,r=abc",
            "n,,n=user,r=a b",
        ] {
            assert!(matches!(ClientFirst::parse(bad.as_bytes()), Err(ScramError::Malformed(_))), "{bad:?}");
        }
        assert!(ClientFirst::parse(format!("n,,n=user,r={}", "a".repeat(257)).as_bytes()).is_err());
        let credential = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 4096);
        let first = ClientFirst::parse(b"n,a=bob,n=a=2Cb=3Dc,r=abc,x=y").unwrap();
        assert_eq!((first.authzid.as_str(), first.user.as_str()), ("bob", "a,b=c"));
        let (exchange, answer) = Exchange::new(&first, false, &ChannelBindings::default(), credential, "def").unwrap();
        let right = client_final(Hash::Sha256, "pencil", "n=a=2Cb=3Dc,r=abc,x=y", &answer, b"n,a=bob,");
        assert!(exchange.clone().finish(right.as_bytes()).is_ok());
        let other_nonce = right.replace("r=abcdef", "r=abcdeg");
        let without_proof = right.split(",p=").next().unwrap().to_owned();
        for bad in [
            "",
            "c=biws",
            "p=AAAA",
            &other_nonce,
            &without_proof,
            &format!("{without_proof},p=AAAA"),
            &format!("{without_proof},p=!"),
            &right.replace("c=", "d="),
        ] {
            assert!(matches!(exchange.clone().finish(bad.as_bytes()), Err(ScramError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_credential_as_text_is_that_of_rfc_5803_and_comes_back() {
        for hash in Hash::ALL {
            let credential = Credential::derive(hash, "pencil", b"0123456789abcdef", 4096);
            let text = credential.to_string();
            assert_eq!(text.parse::<Credential>().unwrap(), credential);
        }
        let text = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 5000).to_string();
        assert!(text.starts_with("SCRAM-SHA-256$5000:MDEyMzQ1Njc4OWFiY2RlZg==$"), "{text}");
        for bad in ["", "SCRAM-SHA-256", "PLAIN$1:YQ==$YQ==:YQ==", "SCRAM-SHA-256$x:YQ==$YQ==:YQ=="] {
            assert!(bad.parse::<Credential>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_that_look_alike_are_alike() {
        let key = |password| Credential::derive(Hash::Sha256, password, b"0123456789abcdef", 4096);
        // RFC 4013, section 3: a soft hyphen is nothing, a Roman numeral is its letters.
        assert_eq!(key("I\u{ad}X"), key("IX"));
        assert_eq!(key("\u{2168}"), key("IX"));
        assert_ne!(key("ix"), key("IX"));
        // What SASLprep refuses is as it is.
        assert_ne!(key("\u{7}"), key("\u{8}"));
    }

    #[test]
    fn nonces_are_made_of_what_scram_takes_and_differ() {
        let nonce = nonce_text(b"secret", "1");
        assert_ne!(nonce, nonce_text(b"secret", "2"));
        assert_ne!(nonce, nonce_text(b"other", "1"));
        assert!(nonce.len() >= 32 && !nonce.contains(','));
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape("a=2Cb=3D2C").as_deref(), Some("a,b=2C"));
        assert_eq!(unescape("a=2c"), None);
        assert_eq!(unescape("a="), None);
    }

    #[test]
    fn nothing_secret_is_debugged() {
        let credential = Credential::derive(Hash::Sha256, "pencil", b"0123456789abcdef", 4096);
        let shown = format!("{credential:?}");
        assert!(shown.contains("4096") && !shown.contains("stored"), "{shown}");
    }
}
