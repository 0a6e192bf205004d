//! TLS: certificates from files, the one that Roost makes for itself, and client certificates.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use thiserror::Error;
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why TLS cannot be offered.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that is not there, or not readable.
    #[error("{path} cannot be read: {error}; check that the file is there and that this user may read it", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rustls_pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("{path} has no certificate; it must have the server's certificate and then its issuers, as PEM (-----BEGIN CERTIFICATE-----)", path = .0.display())]
    NoCertificate(PathBuf),
    /// A certificate and a key that do not fit, or that are of a kind that is not known.
    #[error("{certificate} and {key} cannot be used: {error}; the key must be the certificate's own", certificate = .certificate.display(), key = .key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A certificate that was made could not be kept.
    #[error("{path} cannot be written: {error}", path = .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What TLS is offered with. All copies of it change at once when it is loaded again.
#[derive(Clone, Debug)]
pub struct TlsSetup {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<RwLock<Loaded>>,
}

/// A certificate in use.
#[derive(Clone, Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
}

/// The server's side of a TLS connection.
#[derive(Debug)]
pub struct TlsServer {
    /// The connection.
    pub tls: ServerConnection,
    /// The channel binding `tls-server-end-point` (RFC 5929) of the certificate that it shows.
    pub end_point: Option<Arc<[u8]>>,
}

impl TlsSetup {
    /// Reads a certificate chain and its key, both PEM.
    pub fn load(certificate: &Path, key: &Path) -> Result<TlsSetup, TlsError> {
        let loaded = load(certificate, key)?;
        Ok(TlsSetup { certificate: certificate.into(), key: key.into(), config: Arc::new(RwLock::new(loaded)) })
    }

    /// Reads both files again, for connections that come from now on. Where they cannot be used,
    /// everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The server's side of a new connection.
    pub fn accept(&self) -> Result<TlsServer, rustls::Error> {
        let Loaded { config, end_point } = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(TlsServer { tls: ServerConnection::new(config)?, end_point })
    }
}

/// The certificate's hash, with the hash function of its signature, or SHA-256 where that is MD5 or
/// SHA-1 (RFC 5929, section 4.1). `None` where the signature has none, as Ed25519.
fn end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signed = &parsed.signature_algorithm.algorithm;
    let is_one_of = |known: &[Oid<'static>]| known.contains(signed);
    if is_one_of(&[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384]) {
        Some(Sha384::digest(certificate).as_slice().into())
    } else if is_one_of(&[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512]) {
        Some(Sha512::digest(certificate).as_slice().into())
    } else if is_one_of(&[
        OID_PKCS1_MD5WITHRSAENC,
        OID_PKCS1_SHA1WITHRSA,
        OID_PKCS1_SHA256WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
    ]) {
        Some(Sha256::digest(certificate).as_slice().into())
    } else {
        None
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Read { path, error }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .map_err(unreadable(certificate))?
        .collect::<Result<_, _>>()
        .map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.into()));
    }
    let end_point = chain.first().and_then(|own| end_point(own));
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let unusable = |error| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), error };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    Ok(Loaded { config: Arc::new(config), end_point })
}

/// Asks for a client certificate and takes any, or none: who it is is a matter of its fingerprint.
/// That the client has the key is checked, the chain is not.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The paths of `certificate.pem` and `key.pem` in `dir`; where there are none yet they are made,
/// for ten years, for `server_name` and the names of this machine's loopback.
pub fn ensure_certificate(dir: &Path, server_name: &str) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    if let Ok(name) = server_name.try_into() {
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    params.distinguished_name.push(DnType::CommonName, server_name);
    let year = this_year();
    // From the first of January, so that a client whose clock is behind takes it too.
    params.not_before = date_time_ymd(year, 1, 1);
    params.not_after = date_time_ymd(year + 10, 12, 31);
    let pair = KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;

    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Write { path, error }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    write(&key, &pair.serialize_pem(), 0o600).map_err(failed(&key))?;
    write(&certificate, &signed.pem(), 0o644).map_err(failed(&certificate))?;
    Ok((certificate, key))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // A file that is there already would keep its mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn this_year() -> i32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // 365.2425 days a year; a day too early or late at the turn of the year does not matter.
    1970 + i32::try_from(since.as_secs() / 31_556_952).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{TlsSetup, end_point, ensure_certificate};

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = ensure_certificate(&dir.path().join("tls"), "irc.example.org").unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&certificate).unwrap();
        ensure_certificate(&dir.path().join("tls"), "irc.example.org").unwrap();
        assert_eq!(fs::read(&certificate).unwrap(), before);
        TlsSetup::load(&certificate, &key).unwrap().reload().unwrap();
    }

    #[test]
    fn a_channel_binding_is_the_certificates_hash_by_the_hash_of_its_signature() {
        use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
        use sha2::{Digest as _, Sha256, Sha384};
        let made = |algorithm| {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(vec!["irc.example.org".into()]).unwrap().self_signed(&pair);
            certificate.unwrap().der().to_vec()
        };
        let certificate = made(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&certificate).as_deref(), Some(Sha256::digest(&certificate).as_slice()));
        let certificate = made(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&certificate).as_deref(), Some(Sha384::digest(&certificate).as_slice()));
        assert_eq!(end_point(&made(&PKCS_ED25519)), None);
        assert_eq!(end_point(b"no certificate"), None);
    }

    #[test]
    fn an_error_names_the_file_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = ensure_certificate(dir.path(), "irc.example.org").unwrap();
        let gone = dir.path().join("gone.pem");
        let error = TlsSetup::load(&gone, &key).unwrap_err().to_string();
        assert!(error.contains("gone.pem") && error.contains("read"), "{error}");
        let error = TlsSetup::load(&key, &key).unwrap_err().to_string();
        assert!(error.contains("no certificate"), "{error}");
        let other = tempfile::tempdir().unwrap();
        let (_, wrong) = ensure_certificate(other.path(), "irc.example.org").unwrap();
        let error = TlsSetup::load(&certificate, &wrong).unwrap_err().to_string();
        assert!(error.contains("certificate's own"), "{error}");
    }
}
