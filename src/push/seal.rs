//! Message encryption for web push (RFC 8291, RFC 8188): what is sent can be read by the device alone.
//!
//! A message is one record, padded so that the whole body is exactly as long as the record size in its header:
//! Goguma takes no other, and nobody on the way learns how long the text is.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ircv3::webpush::Keys;

/// Bytes of a sealed message. Push services take 4096 (RFC 8030, section 7.2); soju and Ergo send as many as this.
pub const SIZE: usize = 2048;
/// Bytes of one for a push service that found that too large.
pub const SHORT_SIZE: usize = 512;

/// The salt, the record size, the length of the key, and the key (RFC 8188, section 2.1).
const HEADER: usize = 16 + 4 + 1 + 65;
/// The end of the text, and the tag of AES-GCM.
const FOOTER: usize = 1 + 16;

/// Bytes of text that a sealed message of `size` bytes has room for.
pub const fn room(size: usize) -> usize {
    size - HEADER - FOOTER
}

/// A text, cut where there is no room for it, sealed for a device into exactly `size` bytes.
///
/// # Errors
/// The device's key is no point on the curve, or the system has no randomness.
pub fn seal(keys: &Keys, text: &str, size: usize) -> Result<Vec<u8>, Unspecified> {
    let mut padded = ircv3::message::cut(text, room(size)).as_bytes().to_vec();
    // Of the last record, and there is but one.
    padded.push(2);
    padded.resize(size - HEADER - 16, 0);
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)?;
    record(keys, &PrivateKey::generate(&ECDH_P256)?, salt, size as u32, padded)
}

/// One record with its header: `padded` is the text, its end and the padding.
fn record(
    keys: &Keys,
    private: &PrivateKey,
    salt: [u8; 16],
    size: u32,
    mut padded: Vec<u8>,
) -> Result<Vec<u8>, Unspecified> {
    let public = private.compute_public_key()?;
    let device = UnparsedPublicKey::new(&ECDH_P256, &keys.p256dh);
    let secret = agreement::agree(private, device, Unspecified, |shared| {
        // RFC 8291, section 3.4.
        let info = [b"WebPush: info\0", &keys.p256dh[..], public.as_ref()];
        let mut secret = [0; 32];
        expand(&Salt::new(HKDF_SHA256, &keys.auth).extract(shared), &info, &mut secret)?;
        Ok(secret)
    })?;
    // RFC 8188, section 2.2 and 2.3; the first record has the nonce itself.
    let from_salt = Salt::new(HKDF_SHA256, &salt).extract(&secret);
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    expand(&from_salt, &[b"Content-Encoding: aes128gcm\0"], &mut key)?;
    expand(&from_salt, &[b"Content-Encoding: nonce\0"], &mut nonce)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut padded)?;
    let mut body = Vec::with_capacity(HEADER + padded.len() + 16);
    body.extend_from_slice(&salt);
    body.extend_from_slice(&size.to_be_bytes());
    body.push(public.as_ref().len() as u8);
    body.extend_from_slice(public.as_ref());
    body.extend_from_slice(&padded);
    body.extend_from_slice(tag.as_ref());
    Ok(body)
}

/// Bytes that are wanted of HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(from: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
    from.expand(info, Length(out.len()))?.fill(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ircv3::webpush::Keys;
    use web_push_native::{Auth, decrypt, p256};

    use super::{SHORT_SIZE, SIZE, record, room, seal};

    // RFC 8291, appendix A.
    const TEXT: &str = "When I grow up, I want to be a watermelon";
    const DEVICE_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const SERVER_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS\
        6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn keys() -> Keys {
        format!("p256dh={P256DH};auth={AUTH}").parse().unwrap()
    }

    fn auth() -> Auth {
        let bytes: [u8; 16] = decoded(AUTH).try_into().unwrap();
        bytes.into()
    }

    /// What the device reads, by an implementation that is not ours.
    fn opened(body: &[u8]) -> Vec<u8> {
        let private = p256::SecretKey::from_slice(&decoded(DEVICE_PRIVATE)).unwrap();
        decrypt(body.to_vec(), &private, &auth()).unwrap()
    }

    #[test]
    fn the_known_answer_of_rfc_8291_comes_out_and_is_read() {
        let private = PrivateKey::from_private_key(&ECDH_P256, &decoded(SERVER_PRIVATE)).unwrap();
        let salt = decoded(SALT).try_into().unwrap();
        let padded = [TEXT.as_bytes(), &[2]].concat();
        let body = record(&keys(), &private, salt, 4096, padded).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&body), BODY);
        assert_eq!(opened(&body), TEXT.as_bytes());
    }

    #[test]
    fn every_message_is_exactly_one_record_long_whatever_it_says() {
        for size in [SIZE, SHORT_SIZE] {
            let longest = "é".repeat(room(size));
            for text in ["x", TEXT, &"a".repeat(room(size) - 1), &"a".repeat(room(size)), &longest] {
                let body = seal(&keys(), text, size).unwrap();
                assert_eq!(body.len(), size);
                assert_eq!(u32::from_be_bytes(body[16..20].try_into().unwrap()) as usize, size);
                let text = ircv3::message::cut(text, room(size));
                assert_eq!(String::from_utf8(opened(&body)).unwrap(), text);
            }
        }
        assert_eq!((room(SIZE), room(SHORT_SIZE)), (1945, 409));
    }

    #[test]
    fn no_two_messages_are_alike_and_a_changed_one_is_not_read() {
        let (one, mut other) = (seal(&keys(), TEXT, SIZE).unwrap(), seal(&keys(), TEXT, SIZE).unwrap());
        assert_ne!(one[..16], other[..16]);
        assert_ne!(one[21..86], other[21..86]);
        *other.last_mut().unwrap() ^= 1;
        let private = p256::SecretKey::from_slice(&decoded(DEVICE_PRIVATE)).unwrap();
        assert!(decrypt(other, &private, &auth()).is_err());
        let off_curve = Keys { p256dh: [4; 65], ..keys() };
        assert!(seal(&off_curve, TEXT, SIZE).is_err());
    }
}
