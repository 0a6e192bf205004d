//! Bearer tokens: JWTs (RFC 7519) that an identity provider signed, for whose keys the operator vouches.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// The shortest secret of HS256 (RFC 7518, section 3.2).
pub const LEAST_SECRET: usize = 32;

/// What a token must be like to log in.
pub struct Tokens {
    /// Whose signatures are taken.
    keys: Vec<Key>,
    /// `iss`; empty: any.
    issuer: String,
    /// `aud`; empty: any.
    audience: String,
    /// Seconds by which the other clock may be wrong.
    leeway: u64,
    /// The claim that has the account's name.
    claim: String,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

// Some keys are secrets.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys.len()).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

// Settings are compared: other keys that were read from the same files are other keys.
impl PartialEq for Tokens {
    fn eq(&self, other: &Tokens) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Tokens {
    /// Tokens of which no key is known yet.
    pub fn new(issuer: &str, audience: &str, leeway: u64, claim: &str) -> Tokens {
        Tokens { keys: Vec::new(), issuer: issuer.into(), audience: audience.into(), leeway, claim: claim.into() }
    }

    /// Adds a key: `HS256` and the secret itself, or `RS256`, `ES256` or `EdDSA` and the path of a file
    /// with the public key, PEM.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn add_key(&mut self, text: &str) -> Result<(), String> {
        const SHAPE: &str = "write \"HS256 <secret>\", or RS256, ES256 or EdDSA and the path of a public key (PEM)";
        // Nothing of the secret goes into a message.
        let (name, value) = text.split_once(' ').ok_or_else(|| format!("a key is two words; {SHAPE}"))?;
        let value = value.trim();
        let algorithm = algorithm(name).ok_or_else(|| format!("{name:?} is no algorithm that is known; {SHAPE}"))?;
        let key = if algorithm == Algorithm::HS256 {
            if value.len() < LEAST_SECRET {
                return Err(format!(
                    "a secret of HS256 has at least {LEAST_SECRET} bytes, and this has {}",
                    value.len()
                ));
            }
            DecodingKey::from_secret(value.as_bytes())
        } else {
            let pem = std::fs::read(Path::new(value)).map_err(|error| {
                format!("\"{value}\" cannot be read: {error}; give the path of the public key (PEM)")
            })?;
            let read = match algorithm {
                Algorithm::RS256 => DecodingKey::from_rsa_pem(&pem),
                Algorithm::ES256 => DecodingKey::from_ec_pem(&pem),
                _ => DecodingKey::from_ed_pem(&pem),
            };
            read.map_err(|_| format!("\"{value}\" has no public key for {name}; give one as PEM"))?
        };
        self.keys.push(Key { id: None, algorithm, key });
        Ok(())
    }

    /// Adds the keys of a JWKS file (RFC 7517) that are for signatures of a kind that is known.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn add_jwks(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("\"{shown}\" cannot be read: {error}; give the path of a JWKS file"))?;
        let set: JwkSet =
            serde_json::from_str(&text).map_err(|error| format!("\"{shown}\" is no JWKS ({error}); give one"))?;
        let before = self.keys.len();
        for jwk in &set.keys {
            if let Some(algorithm) = algorithm_of(jwk)
                && let Ok(key) = DecodingKey::from_jwk(jwk)
            {
                self.keys.push(Key { id: jwk.common.key_id.clone(), algorithm, key });
            }
        }
        if self.keys.len() == before {
            return Err(format!("\"{shown}\" has no key for HS256, RS256, ES256 or EdDSA; give a file that has"));
        }
        Ok(())
    }

    /// The account's name in a token, if the token is signed by one of the keys, is of this time, and is
    /// from the issuer and for the audience that are asked for.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub fn account(&self, token: &str) -> Result<String, String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        // Whatever a token says must be understood is not understood here (RFC 7515, section 4.1.11).
        if let Some(critical) = critical(token) {
            return Err(format!("its header asks that {critical} be understood (\"crit\"), which nothing is here"));
        }
        let mut validation = Validation::new(header.alg);
        let mut required = vec!["exp"];
        validation.leeway = self.leeway;
        validation.validate_nbf = true;
        if !self.issuer.is_empty() {
            validation.set_issuer(&[&self.issuer]);
            required.push("iss");
        }
        validation.validate_aud = !self.audience.is_empty();
        if validation.validate_aud {
            validation.set_audience(&[&self.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        // A key is used with the algorithm that the operator gave it, whatever the token says of itself.
        let fits = |key: &&Key| key.algorithm == header.alg && (key.id.is_none() || key.id == header.kid);
        let mut problem = "no key that is known has signed it".to_owned();
        for key in self.keys.iter().filter(fits) {
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(decoded) => {
                    let name = decoded.claims.get(&self.claim).and_then(Value::as_str);
                    return name.map(str::to_owned).ok_or_else(|| format!("it has no text as claim {:?}", self.claim));
                }
                Err(error) => problem = error.to_string(),
            }
        }
        Err(problem)
    }
}

/// The member "crit" of a token's header, which the decoder does not look at.
fn critical(token: &str) -> Option<Value> {
    let (header, _) = token.split_once('.')?;
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    serde_json::from_slice::<Map<String, Value>>(&header).ok()?.remove("crit")
}

fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// The algorithm that a key of a JWKS is for; `None` where it is none of ours, or not for signatures.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    let said = match jwk.common.key_algorithm {
        None => return Some(kind),
        Some(KeyAlgorithm::HS256) => Algorithm::HS256,
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        Some(_) => return None,
    };
    (said == kind).then_some(kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
    use serde_json::{Value, json};

    use super::Tokens;

    const SECRET: &str = "an-hmac-secret-of-more-than-32-bytes";

    fn now() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    fn tokens() -> Tokens {
        let mut tokens = Tokens::new("https://id.example", "roost", 60, "preferred_username");
        tokens.add_key(&format!("HS256 {SECRET}")).unwrap();
        tokens
    }

    fn claims() -> Value {
        json!({ "iss": "https://id.example", "aud": "roost", "exp": now() + 600, "preferred_username": "alice" })
    }

    fn signed(claims: &Value, secret: &str) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_names_its_account() {
        assert_eq!(tokens().account(&signed(&claims(), SECRET)).unwrap(), "alice");
        let mut several = claims();
        several["aud"] = json!(["other", "roost"]);
        assert_eq!(tokens().account(&signed(&several, SECRET)).unwrap(), "alice");
        // The clocks are a little apart.
        let mut late = claims();
        late["exp"] = json!(now() - 30);
        assert_eq!(tokens().account(&signed(&late, SECRET)).unwrap(), "alice");
    }

    #[test]
    fn every_claim_that_is_wrong_or_missing_refuses_the_token() {
        let changed = |name: &str, value: Option<Value>| {
            let mut claims = claims();
            match value {
                Some(value) => claims[name] = value,
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
            tokens().account(&signed(&claims, SECRET))
        };
        assert!(changed("exp", Some(json!(now() - 120))).is_err());
        assert!(changed("exp", None).is_err());
        assert!(changed("nbf", Some(json!(now() + 120))).is_err());
        assert!(changed("nbf", Some(json!(now() + 30))).is_ok());
        assert!(changed("iss", Some(json!("https://other.example"))).is_err());
        assert!(changed("iss", None).is_err());
        assert!(changed("aud", Some(json!("other"))).is_err());
        assert!(changed("aud", None).is_err());
        assert!(changed("preferred_username", Some(json!(7))).is_err());
        assert!(changed("preferred_username", None).is_err());
        assert!(tokens().account(&signed(&claims(), "another secret of more than 32 bytes")).is_err());
        assert!(tokens().account("no.token.atall").is_err() && tokens().account("").is_err());
    }

    #[test]
    fn without_a_signature_nothing_is_believed() {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&claims()));
        assert!(tokens().account(&unsigned).is_err());
        let right = signed(&claims(), SECRET);
        let cut = &right[..right.rfind('.').unwrap() + 1];
        assert!(tokens().account(cut).is_err());
    }

    #[test]
    fn a_token_that_asks_for_more_to_be_understood_than_is_known_is_refused() {
        let with_header = |header: Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(&header), part(&claims()));
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            tokens().account(&format!("{message}.{signature}"))
        };
        assert_eq!(with_header(json!({ "alg": "HS256", "other": 1 })).unwrap(), "alice");
        for crit in [json!(["exp"]), json!(["https://id.example/bound"]), json!([]), json!(null)] {
            let error = with_header(json!({ "alg": "HS256", "crit": crit, "https://id.example/bound": true }));
            assert!(error.unwrap_err().contains("\"crit\""), "{crit}");
        }
    }

    #[test]
    fn public_keys_are_read_from_pem_and_from_jwks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let (curve, edwards) =
            (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
        for (pair, name, algorithm) in [(&curve, "ES256", Algorithm::ES256), (&edwards, "EdDSA", Algorithm::EdDSA)] {
            std::fs::write(&path, pair.public_key_pem()).unwrap();
            let secret = match algorithm {
                Algorithm::ES256 => EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
                _ => EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(),
            };
            let header = Header { kid: Some("one".into()), ..Header::new(algorithm) };
            let token = encode(&header, &claims(), &secret).unwrap();
            let mut tokens = Tokens::new("https://id.example", "roost", 60, "preferred_username");
            tokens.add_key(&format!("{name} {}", path.display())).unwrap();
            assert_eq!(tokens.account(&token).unwrap(), "alice", "{name}");

            let raw = pair.der_bytes();
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let jwk = match algorithm {
                Algorithm::ES256 => {
                    json!({ "kty": "EC", "crv": "P-256", "x": text(&raw[1..33]), "y": text(&raw[33..]), "kid": "one" })
                }
                _ => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(raw), "use": "sig", "kid": "one" }),
            };
            let jwks = dir.path().join("keys.json");
            std::fs::write(&jwks, json!({ "keys": [jwk] }).to_string()).unwrap();
            let mut tokens = Tokens::new("https://id.example", "roost", 60, "preferred_username");
            tokens.add_jwks(&jwks).unwrap();
            assert_eq!(tokens.account(&token).unwrap(), "alice", "{name} by JWKS");
            let other = encode(&Header { kid: Some("two".into()), ..Header::new(algorithm) }, &claims(), &secret);
            assert!(tokens.account(&other.unwrap()).is_err(), "another key's id");
        }
    }

    #[test]
    fn a_public_key_is_no_secret_of_hs256() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().public_key_pem();
        std::fs::write(&path, &pem).unwrap();
        let mut tokens = Tokens::new("", "", 60, "preferred_username");
        tokens.add_key(&format!("ES256 {}", path.display())).unwrap();
        assert!(tokens.account(&signed(&claims(), &pem)).is_err());
    }

    #[test]
    fn a_key_that_will_not_do_is_described_without_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.pem");
        std::fs::write(&path, "").unwrap();
        let mut tokens = Tokens::new("", "", 60, "sub");
        for (text, word) in [
            ("HS256", "two words"),
            ("HS256 short-secret", "32 bytes"),
            ("HS512 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "HS512"),
            ("RS256 /no/such/file", "/no/such/file"),
            (&format!("ES256 {}", path.display()), "empty.pem"),
        ] {
            let error = tokens.add_key(text).unwrap_err();
            assert!(error.contains(word) && !error.contains("short-secret") && !error.contains("aaaa"), "{error}");
        }
        assert!(tokens.add_jwks(&path).unwrap_err().contains("no JWKS"));
        std::fs::write(&path, "{\"keys\": []}").unwrap();
        assert!(tokens.add_jwks(&path).unwrap_err().contains("no key"));
        assert!(!format!("{:?}", self::tokens()).contains(SECRET));
    }
}
